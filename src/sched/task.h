/*
 * sched/task.h - the descriptor of a task, of an offloaded job and of a promise, and its future.
 *
 * WHAT   One object of three cache lines for all three: each is "something that will have a
 *        result". The third line is seldom touched: its fields are valid only as their comments
 *        say. It comes from the runtime's slab pool (promises made outside a runtime: malloc), and
 *        its memory is type-stable until the pool ends.
 *
 * LIFE   refs counts handles, plus one for whoever will still touch the object: the queue entry and
 *        the running task (one reference passes from one to the other), the executor's queue, or
 *        the producers of a promise. Who drops the last one reports an unread error and frees.
 *
 * RUN    run says who executes it:
 *          UNSTARTED -> STARTED   popped from a queue: gets its own stack, or an executor thread
 *          UNSTARTED -> INPLACE   its awaiter runs it on the awaiter's stack
 *          UNSTARTED -> ENDED     cancelled before it started
 *          DORMANT -> STARTED     popped from a queue, where what it waited for has put it
 *          DORMANT -> ENDED       taken back by a cancel; see sched/dormant.h
 *          STARTED, INPLACE -> ENDED
 *        The transitions out of UNSTARTED are compare-and-swaps: one wins. A queue entry that finds
 *        INPLACE or ENDED is stale: it drops its reference and nothing else.
 *
 *          CLAIM  acq_rel at least; the partners are each other and the loads of run
 *          HOST   seq_cst: an interrupter stores its reason, then loads run; who runs the task in
 *                 place claims it, and looks at the reasons in each of its waits. Either the
 *                 interrupter sees INPLACE, and finds the host's agent, or the reason is seen.
 *
 * FUTURE state is 0, a pointer to the newest waiter (a Treiber stack of frames), or DONE; LOCKED
 *        may be set with either of the first two. value is written before DONE.
 *          DONE   release store or compare-and-swap, partner: every acquire load of state
 *          PUSH   release compare-and-swap of a waiter, partner: the acquire of the lock
 *        LOCKED is a spin lock held for the length of a walk over the waiters, never across a
 *        switch, and across a futex wake only if more threads wait than skua_future_complete() can
 *        note. After DONE nobody touches a waiter node: the completer has let go of all of them
 *        before it stored DONE.
 */
#ifndef SKUA_SRC_TASK_H
#define SKUA_SRC_TASK_H

#include <skua/combine.h>
#include <skua/future.h>
#include <skua/runtime.h>
#include <skua/task.h>

#include "base/spin.h"
#include "core/stack_pool.h"
#include "platform/ctx.h"
#include "sched/agent.h"
#include "sched/wait_timer.h"

struct skua_executor;
struct skua_frame;
struct skua_worker;
struct scope;

enum skua_object_kind {
    SKUA_OBJECT_TASK = 1,
    SKUA_OBJECT_JOB = 2,
    SKUA_OBJECT_PROMISE = 3,
    SKUA_OBJECT_FAILED = 4 /* static, already done: what a failed spawn returns */
};

/* skua_future.flags */
enum {
    SKUA_FUTURE_READ = 1u,      /* somebody has looked at the result */
    SKUA_FUTURE_MALLOCED = 2u,  /* free() it; constant */
    SKUA_FUTURE_DETACHED = 4u,  /* constant */
    SKUA_FUTURE_STOLEN = 8u,    /* runs a stolen job; constant; see sched/fork.h */
    SKUA_FUTURE_SCOPED = 16u,   /* the child of a scope; constant; see sched/scope.h */
    SKUA_FUTURE_NAMED = 32u,    /* has a name; constant */
    SKUA_FUTURE_FOLLOWER = 64u, /* made by skua_future_then(); constant */
    SKUA_FUTURE_LOCALS = 128u   /* has task-local values; see sched/local.h */
};

/* skua_task.cancel; see sched/scope.h */
enum { SKUA_CANCEL_TASK = 1u, SKUA_CANCEL_SCOPE = 2u, SKUA_CANCEL_SHIELD = 4u };

#define SKUA_FUTURE_DONE ((uintptr_t)1)
#define SKUA_FUTURE_LOCKED ((uintptr_t)2)

/* A frame's place among the waiters of a future. */
struct skua_waiter {
    struct skua_waiter *next;
    struct skua_agent *agent; /* NULL: it is a watcher's; see sched/watch.h */
};

struct skua_future {
    _Atomic uintptr_t state;
    intptr_t value;        /* guarded by state: written before DONE, then constant */
    _Atomic uint32_t refs; /* see LIFE */
    _Atomic uint8_t kind;  /* enum skua_object_kind; constant; atomic for skua_runtime_list() */
    _Atomic uint8_t flags; /* SKUA_FUTURE_... */
    uint8_t stack_log2;    /* asked-for stack size, 0 default; SKUA_STACK_SURE; constant */
    _Atomic uint8_t token; /* skua_unpark()'s */
};

enum skua_run {
    SKUA_RUN_FREE = 0,
    SKUA_RUN_UNSTARTED,
    SKUA_RUN_STARTED,
    SKUA_RUN_INPLACE,
    SKUA_RUN_DORMANT,
    SKUA_RUN_PROVIDED, /* unstarted, with its stack: nobody but the worker that pops it starts it */
    SKUA_RUN_ENDED
};

#define SKUA_NO_WORKER UINT16_MAX
#define SKUA_PREFETCH_BYTES 512u /* the frames of a wait in an ordinary task */
#define SKUA_STACK_SURE 0x80     /* in stack_log2: was PROVIDED, and runs even if it is cancelled */

/*
 * The order of fields is by first use: a spawn, a start and an end touch the first line most. fn,
 * name and site are atomic only because skua_runtime_list() reads objects that may be being
 * recycled.
 */
struct skua_task {
    struct skua_agent agent; /* first: queues hold its link */
    struct skua_ctx ctx;     /* while suspended */
    union {
        struct skua_stack *stack; /* STARTED: its own; NULL for a job */
        struct skua_task *outer;  /* INPLACE: whose stack it runs on */
    };
    _Atomic(skua_fn) fn;
    union {
        void *arg;
        _Atomic uint64_t producers; /* promise */
    };
    struct skua_future future;
    skua_runtime *runtime;     /* NULL for a promise made outside one */
    struct skua_frame *frames; /* the innermost of its open scopes and shields; its own */
    _Atomic(const char *) site;
    _Atomic(struct skua_task *)
        host; /* whose agent waits on behalf of this: itself, or INPLACE: the host */
    _Atomic(struct skua_agent *) proxy; /* of a host on an executor thread: that thread's agent */
    struct skua_executor *executor;     /* of a job, or of a hopped host */
    _Atomic uint8_t run;                /* enum skua_run */
    _Atomic uint8_t cancel;             /* SKUA_CANCEL_... */
    _Atomic uint16_t io_worker;         /* of a host: whose ring holds its ops */
    _Atomic uint32_t deque; /* its fork deque's number + 1; 0: it has none; see sched/fork.h */

    _Atomic(const char *) name; /* if NAMED */
    union {
        struct scope *scope;              /* if SCOPED: whose child it is; constant */
        struct skua_worker *timer_worker; /* of a timer: whose heap holds it; constant */
    };
    struct skua_locals *locals;   /* if LOCALS; see sched/local.h */
    struct skua_spin locals_lock; /* if LOCALS */
    union {
        struct {                                     /* SCOPED: never dormant */
            _Atomic(struct skua_task *) sibling;     /* the next one; see sched/scope.h */
            _Atomic(struct skua_task *) failed_next; /* guarded by the scope's lock */
        };
        struct skua_wait_timer timer;  /* DORMANT until a time */
        struct {                       /* FOLLOWER */
            struct skua_waiter waiter; /* at source, while DORMANT */
            skua_future *source;       /* a handle, until it starts or ends; then NULL */
            skua_then_fn then;         /* constant */
        };
    };
};

#if !SKUA_ASAN && !SKUA_TSAN
_Static_assert(offsetof(struct skua_task, name) == 128, "what a spawn touches: two cache lines");
_Static_assert(sizeof(struct skua_task) == 192, "three cache lines");
#endif
#define SKUA_OBJECT_SIZE ((sizeof(struct skua_task) + 63) / 64 * 64)

static inline enum skua_object_kind skua_future_kind(const skua_future *future)
{
    /* relaxed: constant */
    return (enum skua_object_kind)atomic_load_explicit(&((skua_future *)(uintptr_t)future)->kind,
                                                       memory_order_relaxed);
}

static inline struct skua_task *skua_task_of_future(const skua_future *future)
{
    return skua_container_of((uintptr_t)future, struct skua_task, future);
}

/*
 * Fetches what resuming @task, which is suspended, will touch. Tasks that are woken many at a time
 * have mostly been cold for long: so all of them miss the caches at once instead of one after the
 * other. (A million parked tasks, woken and joined by one worker: 420 -> 267 ns each.)
 */
static inline void skua_task_prefetch(const struct skua_task *task)
{
    const char *sp = task->ctx.sp;
    for (size_t i = 0; i < SKUA_PREFETCH_BYTES; i += SKUA_CACHE_LINE)
        __builtin_prefetch(sp + i, 1, 2);
}

static inline struct skua_task *skua_task_of_agent(struct skua_agent *agent)
{
    skua_assert(skua_agent_type(agent) == SKUA_AGENT_TASK);
    return skua_container_of(agent, struct skua_task, agent);
}

static inline bool skua_future_done(const skua_future *future)
{
    /* acquire: partner DONE */
    return atomic_load_explicit(&((skua_future *)(uintptr_t)future)->state, memory_order_acquire) ==
           SKUA_FUTURE_DONE;
}

/* Adds @waiter. False if the future is done. */
bool skua_future_add_waiter(skua_future *future, struct skua_waiter *waiter);

/* Takes @waiter back. After it nobody touches the node. True if the future is done. */
bool skua_future_remove_waiter(skua_future *future, struct skua_waiter *waiter);

/* Sets the result and wakes the waiters. False if it was done before (then nothing changed). */
bool skua_future_complete(skua_future *future, intptr_t value);

/* Marks the result as seen by somebody. */
static inline void skua_future_mark_read(skua_future *future)
{
    /* relaxed: ordered for the last unref by refs */
    uint8_t flags = atomic_load_explicit(&future->flags, memory_order_relaxed);
    if (!(flags & SKUA_FUTURE_READ) && skua_future_kind(future) != SKUA_OBJECT_FAILED)
        atomic_fetch_or_explicit(&future->flags, SKUA_FUTURE_READ, memory_order_relaxed);
}

/* A done future that carries @error (-errno) and belongs to nobody. */
skua_future *skua_future_failed(int error);

/* Wins or loses the right to run an UNSTARTED object; see RUN. */
static inline bool skua_task_claim(struct skua_task *task, enum skua_run to)
{
    uint8_t expected = SKUA_RUN_UNSTARTED;
    /* CLAIM, HOST; the fields were published with the object */
    return atomic_compare_exchange_strong_explicit(&task->run, &expected, (uint8_t)to,
                                                   memory_order_seq_cst, memory_order_seq_cst);
}

/* Whether waits of @task must return -ECANCELED: its own flag, an outer task's, the runtime's. */
bool skua_task_cancelled(struct skua_task *task);

/* Whose agent waits on behalf of @task: itself, or the host whose stack it is on. */
struct skua_task *skua_task_host(struct skua_task *task);

/*
 * Interrupts the wait @task is in. The caller has set what the task will look at (seq_cst); see
 * POKE in agent.h.
 */
void skua_task_interrupt(struct skua_task *task);

/* Makes a task or job. NULL: no memory. @thread may be NULL. */
struct skua_thread;
struct skua_task *skua_object_create(struct skua_thread *thread, skua_runtime *runtime,
                                     enum skua_object_kind kind, uint32_t refs);

/*
 * Ends a task or job: stores the result and wakes waiters. @drop: the runner has the reference that
 * came with the queue entry, and gives it up (otherwise the entry is still queued, and stale).
 */
void skua_task_end(struct skua_thread *thread, struct skua_task *task, intptr_t value, bool drop);

/* Drops a reference of the library's own. */
void skua_object_unref(struct skua_thread *thread, struct skua_task *task);

/* Gives a task that has none a stack, and makes its context call skua_task_main(). */
void skua_task_give_stack(struct skua_task *task, struct skua_stack *stack);

/* The entry of every task stack. */
void skua_task_main(void *arg);

/* Spawns a child of @scope, with a reference for the scope. 0 or -errno. */
int skua_task_spawn_scoped(struct skua_thread *thread, struct scope *scope, skua_fn fn, void *arg,
                           const char *site, struct skua_task **child);

/* Its name, NULL if it was given none. */
static inline const char *skua_task_given_name(const struct skua_task *task)
{
    struct skua_task *t = (struct skua_task *)(uintptr_t)task;
    /* relaxed, both: constant; a recycled object may tell the next one's */
    if (!(atomic_load_explicit(&t->future.flags, memory_order_relaxed) & SKUA_FUTURE_NAMED))
        return NULL;
    return atomic_load_explicit(&t->name, memory_order_relaxed);
}

/* Its name if it has one, else the site of its spawn. */
const char *skua_task_label(const struct skua_task *task);

#endif /* SKUA_SRC_TASK_H */
