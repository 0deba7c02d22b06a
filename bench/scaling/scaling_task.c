/*
 * scaling/scaling_task.c - see scaling_task.h.
 *
 * LAZY   What a task does by itself is known in advance. seek() skips every call, join and piece of
 *        work that has ended by then as a whole, and goes into the one that has not.
 */
#include "scaling_task.h"

#include <errno.h>
#include <stdlib.h>

struct scaling_task *scaling_task_create(struct scaling_tasks *tasks, struct scaling_node node,
                                         struct scaling_job *parent)
{
    struct scaling_task *task = tasks->free;
    if (task != NULL) {
        tasks->free = task->next_free;
    } else {
        task = calloc(1, sizeof(*task));
        if (task == NULL) {
            tasks->error = -ENOMEM;
            return NULL;
        }
        task->next = tasks->all;
        tasks->all = task;
    }
    task->generation = ++tasks->generations;
    task->parent = parent;
    task->range_ps = 0;
    task->wanted = task->asks_joins = task->offer_woke = false;
    task->offered_ps = task->pause_ps = 0;
    task->tail = task->split = task->head = 0;
    task->depth = 1;
    task->frames[0] = (struct scaling_frame){.node = node};
    return task;
}

void scaling_task_release(struct scaling_tasks *tasks, struct scaling_task *task)
{
    task->generation = 0;
    task->next_free = tasks->free;
    tasks->free = task;
}

void scaling_tasks_fini(struct scaling_tasks *tasks)
{
    while (tasks->all != NULL) {
        struct scaling_task *task = tasks->all;
        tasks->all = task->next;
        free(task);
    }
}

void scaling_task_enter(struct scaling_tasks *tasks, struct scaling_task *task,
                        struct scaling_node node)
{
    if (task->depth == SCALING_FRAMES_MAX) {
        tasks->error = -EOVERFLOW;
        return;
    }
    task->frames[task->depth++] = (struct scaling_frame){.node = node};
}

void scaling_task_push(struct scaling_tasks *tasks, struct scaling_task *task,
                       struct scaling_node node)
{
    if (task->head == SCALING_JOBS_MAX) {
        tasks->error = -EOVERFLOW;
        return;
    }
    task->jobs[task->head++] = (struct scaling_job){.node = node};
    scaling_task_top(task)->step++;
}

/* A call, or the join of a private job: skipped if it ends within *@left_ps, else entered. */
static void pass_call(struct scaling_tasks *tasks, struct scaling_task *task,
                      struct scaling_node node, uint64_t *left_ps)
{
    uint64_t cost_ps = scaling_tree_cost(tasks->tree, node);
    scaling_task_top(task)->step++;
    if (cost_ps <= *left_ps)
        *left_ps -= cost_ps;
    else
        scaling_task_enter(tasks, task, node);
}

static void pass_work(struct scaling_frame *frame, uint64_t work_ps, uint64_t *left_ps)
{
    uint64_t rest_ps = work_ps - frame->done_ps;
    if (rest_ps > *left_ps) {
        frame->done_ps += *left_ps;
        *left_ps = 0;
        return;
    }
    *left_ps -= rest_ps;
    frame->done_ps = 0;
    frame->step++;
}

/* Brings @task forward to @ps, which is not beyond its boundary. */
void scaling_task_seek(struct scaling_tasks *tasks, struct scaling_task *task, uint64_t ps)
{
    if (ps <= task->at_ps)
        return;
    uint64_t left_ps = ps - task->at_ps;
    tasks->work_ps += left_ps;
    task->at_ps = ps;
    while (left_ps > 0 && tasks->error == 0) {
        struct scaling_frame *frame = scaling_task_top(task);
        struct scaling_op op = scaling_task_op_of(tasks, frame);
        switch (op.kind) {
        case SCALING_WORK:
            pass_work(frame, op.work_ps, &left_ps);
            break;
        case SCALING_FORK:
            scaling_task_push(tasks, task, op.child);
            break;
        case SCALING_CALL:
            pass_call(tasks, task, op.child, &left_ps);
            break;
        case SCALING_JOIN:
            if (!scaling_task_newest_is_private(task)) {
                tasks->error = -EPROTO; /* beyond the boundary */
                break;
            }
            task->head--;
            pass_call(tasks, task, task->jobs[task->head].node, &left_ps);
            break;
        case SCALING_END:
            task->depth--;
            if (task->depth == 0)
                tasks->error = -EPROTO;
            break;
        }
    }
}

/* What is left of @frame until a join of a job that is not private; *@jobs: private ones. */
static bool rest_of_frame(const struct scaling_tasks *tasks, const struct scaling_task *task,
                          struct scaling_frame frame, unsigned *jobs, uint64_t *rest_ps)
{
    struct scaling_node forked[32];
    unsigned forked_count = 0;
    for (;; frame.step++, frame.done_ps = 0) {
        struct scaling_op op = scaling_task_op_of(tasks, &frame);
        switch (op.kind) {
        case SCALING_END:
            return false;
        case SCALING_WORK:
            *rest_ps += op.work_ps - frame.done_ps;
            break;
        case SCALING_FORK:
            forked[forked_count++] = op.child;
            break;
        case SCALING_CALL:
            *rest_ps += scaling_tree_cost(tasks->tree, op.child);
            break;
        case SCALING_JOIN:
            if (forked_count > 0)
                *rest_ps += scaling_tree_cost(tasks->tree, forked[--forked_count]);
            else if (*jobs > 0)
                *rest_ps += scaling_tree_cost(tasks->tree, task->jobs[task->split + --*jobs].node);
            else
                return true;
            break;
        }
    }
}

/* How long @task goes on by itself. */
uint64_t scaling_task_time_left(const struct scaling_tasks *tasks, const struct scaling_task *task)
{
    uint64_t rest_ps = 0;
    unsigned jobs = task->head - task->split;
    for (unsigned i = task->depth; i > 0; i--) {
        if (rest_of_frame(tasks, task, task->frames[i - 1], &jobs, &rest_ps))
            break;
    }
    return rest_ps;
}

/* ---- asked for work -------------------------------------------------------------------------- */

static void advance(struct scaling_tasks *tasks, struct scaling_task *task, uint64_t ps)
{
    task->at_ps += ps;
    tasks->work_ps += ps;
}

/*
 * A leaf of a loop at which somebody wants work goes on to where it looks round. There it splits,
 * if nothing is public; otherwise false: it is to look again.
 */
static bool look_round(struct scaling_tasks *tasks, struct scaling_task *task,
                       struct scaling_cut cut)
{
    struct scaling_frame *frame = scaling_task_top(task);
    advance(tasks, task, cut.at_ps - frame->done_ps);
    frame->done_ps = cut.at_ps;
    if (task->tail < task->split)
        return false;
    *frame = (struct scaling_frame){.node = cut.rest};
    return true;
}

/* The work op at the top. False: see look_round(). */
static bool finish_work(struct scaling_tasks *tasks, struct scaling_task *task, uint64_t work_ps)
{
    struct scaling_frame *frame = scaling_task_top(task);
    struct scaling_cut cut;
    uint64_t from_ps = frame->done_ps + (task->tail < task->split ? 1 : 0);
    if (scaling_tree_cut(tasks->tree, frame->node, from_ps, &cut))
        return look_round(tasks, task, cut);
    advance(tasks, task, work_ps - frame->done_ps);
    frame->done_ps = 0;
    frame->step++;
    return true;
}

/*
 * Brings a task that has been asked to the op where it answers: a fork, or a join if those answer;
 * to where a loop is to look again; or to its boundary.
 */
void scaling_task_go_to_answer(struct scaling_tasks *tasks, struct scaling_task *task)
{
    while (tasks->error == 0) {
        struct scaling_op op = scaling_task_op_of(tasks, scaling_task_top(task));
        switch (op.kind) {
        case SCALING_FORK:
            return;
        case SCALING_WORK:
            if (!finish_work(tasks, task, op.work_ps))
                return;
            break;
        case SCALING_CALL:
            scaling_task_top(task)->step++;
            scaling_task_enter(tasks, task, op.child);
            break;
        case SCALING_JOIN:
            if (!scaling_task_newest_is_private(task) || task->asks_joins)
                return;
            scaling_task_top(task)->step++;
            task->head--;
            scaling_task_enter(tasks, task, task->jobs[task->head].node);
            break;
        case SCALING_END:
            if (task->depth == 1)
                return;
            task->depth--;
            break;
        }
    }
}
