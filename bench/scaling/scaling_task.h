/*
 * scaling/scaling_task.h - a simulated task: a stack of calls in a tree, and a deque of forked
 * jobs, [stolen | public | private], as in src/core/fork_deque.h.
 *
 * A task's state stands as of at_ps and is brought forward when somebody needs it. Its boundary is
 * the next thing it cannot do alone: the join of a public or stolen job, or its end.
 */
#ifndef SKUA_SCALING_TASK_H
#define SKUA_SCALING_TASK_H

#include "scaling_tree.h"

enum { SCALING_FRAMES_MAX = 256, SCALING_JOBS_MAX = 250 };

struct scaling_task;

struct scaling_job {
    struct scaling_node node;
    bool done;
    struct scaling_task *waiter;
};

struct scaling_frame {
    struct scaling_node node;
    uint32_t step;
    uint64_t done_ps; /* of the work op at step */
};

/* Invariant: tail <= split <= head. */
struct scaling_task {
    uint64_t generation;        /* another one when the memory is used again */
    uint64_t at_ps;             /* when what follows was so */
    struct scaling_job *parent; /* in the deque it was stolen from; NULL: the root */
    uint64_t range_ps;          /* when the line of range is free */
    bool wanted;
    bool asks_joins;     /* the next join answers, too */
    bool offer_woke;     /* the last fork that answered has woken a thief */
    uint64_t offered_ps; /* when that was */
    uint64_t pause_ps;   /* no fork answers for so long after: BACKOFF in src/sched/fork.h */
    unsigned tail;
    unsigned split;
    unsigned head;
    unsigned depth;
    struct scaling_task *next_free;
    struct scaling_task *next;
    struct scaling_job jobs[SCALING_JOBS_MAX];
    struct scaling_frame frames[SCALING_FRAMES_MAX];
};

/* All tasks of a run. */
struct scaling_tasks {
    const struct scaling_tree *tree;
    uint64_t work_ps; /* done by all of them */
    int error;        /* the first: -ENOMEM, -EOVERFLOW; -EPROTO: the simulation is wrong */
    uint64_t generations;
    struct scaling_task *all;
    struct scaling_task *free;
};

/* NULL: no memory, and tasks->error says so. */
struct scaling_task *scaling_task_create(struct scaling_tasks *tasks, struct scaling_node node,
                                         struct scaling_job *parent);
void scaling_task_release(struct scaling_tasks *tasks, struct scaling_task *task);
void scaling_tasks_fini(struct scaling_tasks *tasks);

/* Calls @node. */
void scaling_task_enter(struct scaling_tasks *tasks, struct scaling_task *task,
                        struct scaling_node node);

/* The fork at the top. */
void scaling_task_push(struct scaling_tasks *tasks, struct scaling_task *task,
                       struct scaling_node node);

/* Brings @task forward to @ps, which is not beyond its boundary. */
void scaling_task_seek(struct scaling_tasks *tasks, struct scaling_task *task, uint64_t ps);

/* How long @task goes on to its boundary. */
uint64_t scaling_task_time_left(const struct scaling_tasks *tasks, const struct scaling_task *task);

/*
 * Brings a task that has been asked to the op where it answers: a fork, or a join if those answer;
 * to where a loop is to look again; or to its boundary.
 */
void scaling_task_go_to_answer(struct scaling_tasks *tasks, struct scaling_task *task);

static inline struct scaling_frame *scaling_task_top(struct scaling_task *task)
{
    return &task->frames[task->depth - 1];
}

static inline struct scaling_op scaling_task_op_of(const struct scaling_tasks *tasks,
                                                   const struct scaling_frame *frame)
{
    return scaling_tree_op(tasks->tree, frame->node, frame->step);
}

static inline bool scaling_task_newest_is_private(const struct scaling_task *task)
{
    return task->head > task->split;
}

#endif /* SKUA_SCALING_TASK_H */
