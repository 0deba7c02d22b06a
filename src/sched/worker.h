/*
 * sched/worker.h - worker threads: what a thread of the runtime is, and how tasks change on it.
 *
 * WHAT   struct skua_thread is what the thread pointer (platform/tls.h) leads to on workers and
 *        executor threads; foreign threads have none. A worker adds queues, an engine, timers.
 *
 * SWITCH A task leaves its stack in one of the ways of enum skua_post. It switches straight to the
 *        next ready task if there is one at hand, otherwise to the thread's base context. Whoever
 *        it switched to first carries out the post (skua_thread_post()), when nobody is on the old
 *        stack any more: "park = switch first, commit after". So between the switch and the post no
 *        code of the library or the user runs, and a post never runs on the stack it gives away.
 *
 * INVARIANTS
 *   thread.task is the running task, the innermost of those in place; thread.host is the task whose
 *   stack it is on. Both NULL on the base context. A suspended task has both in its own frame and
 *   puts them back when it resumes, on whatever thread that is.
 *   Nothing but the owner touches a worker, except: next (CAS), queue (as its header says), timers
 *   (under timer_lock), cancel_scan, counters (read), engine (wake; the rest under engine_lock).
 */
#ifndef SKUA_SRC_WORKER_H
#define SKUA_SRC_WORKER_H

#include "base/list.h"
#include "base/spin.h"
#include "core/run_queue.h"
#include "core/slab.h"
#include "core/timer_queue.h"
#include "engine/engine.h"
#include "platform/fault.h"
#include "platform/thread.h"
#include "platform/tls.h"
#include "platform/vthread.h"
#include "sched/task.h"

/* How a task has left its stack, and what must be done now that it has. */
enum skua_post {
    SKUA_POST_NONE = 0,
    SKUA_POST_COMMIT, /* it waits: skua_agent_commit() */
    SKUA_POST_YIELD,  /* it is ready: behind the others */
    SKUA_POST_HOP,    /* it goes to its executor */
    SKUA_POST_BACK,   /* it goes to the workers */
    SKUA_POST_DEAD    /* it has ended: the stack is free */
};

struct skua_deque;

struct skua_thread {
    struct skua_worker *worker; /* NULL on an executor thread; constant */
    skua_runtime *runtime;      /* constant */
    struct skua_task *task;
    struct skua_task *host;
    struct skua_deque *deque;    /* of the running task, while attached; see sched/fork.h */
    struct skua_task *post_host; /* for post; NULL for DEAD */
    enum skua_post post;
    bool forked;                   /* a copy in a forked child: nothing works */
    struct skua_ctx base;          /* the thread's own stack */
    struct skua_ctx dead_ctx;      /* for SKUA_POST_DEAD */
    struct skua_stack *dead_stack; /* for SKUA_POST_DEAD */
    struct skua_slab_cache objects;
    struct skua_stack_cache stacks;
    struct skua_executor *executor; /* of an executor thread; constant */
    struct skua_task *job;          /* the one that runs on it, while task is NULL */
    const char *stack_low;          /* of an executor thread's own stack; constant */
    struct skua_agent agent;        /* of an executor thread */
    struct skua_fault_thread fault; /* alternate signal stack */
};

/* Read by anybody, written by the owner with skua_counter_add(). */
struct skua_worker_counters {
    _Atomic uint64_t ended;
    _Atomic uint64_t spawned;
    _Atomic uint64_t inlined;
    _Atomic uint64_t switches;
    _Atomic uint64_t steals;
    _Atomic uint64_t steal_attempts;
    _Atomic uint64_t parks;
    _Atomic uint64_t wakes;
    _Atomic uint64_t offloads;
    _Atomic uint64_t timers_fired;
    _Atomic uint64_t jobs_stolen;
    _Atomic uint64_t jobs_published;
    _Atomic uint64_t jobs_forced;
    _Atomic uint64_t rescues;
    _Atomic uint64_t ops_rescued;
    _Atomic uint64_t blockages; /* this one is the monitor's */
};

/* Giving unused stacks' memory back, in idle time. */
enum skua_trim {
    SKUA_TRIM_WANTED = 0, /* tasks have run since the last time */
    SKUA_TRIM_MORE,       /* begun, there is more to do */
    SKUA_TRIM_DONE
};

/* Hosts whose ops are to be cancelled; see FIND in sched/ops.h. */
#define SKUA_OPS_CANCELS_MAX 16u
struct skua_ops_cancels {
    struct skua_spin lock;
    unsigned count; /* one more than the maximum: too many, look at all. Guarded by lock */
    struct skua_task *hosts[SKUA_OPS_CANCELS_MAX]; /* guarded by lock */
};

struct skua_worker {
    struct skua_thread thread; /* first: the thread pointer leads here */

    /* owner only */
    int budget;      /* direct switches left before the loop looks at engine and inject queue */
    unsigned visits; /* of the loop to its queues */
    unsigned direct; /* calls io/ may still make without the ring until the loop looks at it */
    unsigned next_streak; /* times in a row the next slot was preferred to the queue */
    uint64_t random;
    unsigned spin_skip;    /* sleeps before which not to look for long */
    unsigned spin_penalty; /* the last spin_skip, or 1 */
    bool alone;            /* the only worker: nobody takes from it; constant */
    bool searching;        /* counted in runtime.idle */
    bool watched;          /* was the watcher in its last sleep, and has found nothing since */
    enum skua_trim trim;
    struct skua_task *fork_spare; /* for the next stolen job; see sched/fork.c */
    uint64_t row_ns;              /* when a row of awaits in place last let others run */
    uint64_t looked_ns;           /* when others were last looked at; see rescue.h */
    uint64_t seen_activity;       /* of the others, when this was last the watcher ... */
    uint64_t quiet_ns;            /* ... and since when it has not changed; QUIET in rescue.h */
    struct skua_list cancelled;   /* ops that a cancel was asked of; guarded by engine_lock */
    unsigned buffers_epoch;       /* of the registered buffers this ring has */
    uint64_t
        next_seen_ns; /* late pass: when next_seen was first seen in a victim's next slot ... */
    void *next_seen;
    uint64_t next_seen_switches; /* ... and how many switches that victim had made by then */
    struct skua_worker_counters counters;

    /* constant after start */
    unsigned index;
    pid_t tid;
    struct skua_engine *engine;
    struct skua_os_thread os_thread;

    /* shared */
    _Atomic(struct skua_task *) next SKUA_CACHE_ALIGNED; /* put by the owner, taken by CAS */
    _Atomic(struct skua_deque *) fork_deque;             /* thread.deque, for thieves */
    /*
     * Around all of the engine but wake(), now() and counters, a sleep in poll() included; taken by
     * the owner, and tried by rescuers. Not if the worker is alone.
     */
    struct skua_spin engine_lock;
    _Atomic uint64_t polled_ns; /* when the engine was last looked at */
    _Atomic bool service;       /* the monitor asks for a visit to the engine; see monitor.h */
    _Atomic bool retired;       /* a stand-in that is not needed; see blocked.h */
    _Atomic bool cancel_scan;   /* look for cancelled tasks among ops */
    struct skua_ops_cancels cancels;
    struct skua_spin timer_lock;
    struct skua_timer_queue timers; /* guarded by timer_lock */
    struct skua_run_queue queue;
};

static SKUA_ALWAYS_INLINE struct skua_thread *skua_thread_self(void)
{
    return skua_tls_get();
}

/* The monitor: a stand-in is to retire, or to be back. */
void skua_worker_retire(struct skua_worker *worker, bool retired);

static inline bool skua_worker_is_retired(struct skua_worker *worker)
{
    /* relaxed: it is woken after a change */
    return skua_unlikely(atomic_load_explicit(&worker->retired, memory_order_relaxed));
}

/* A worker thread's main function; @arg is the struct skua_worker. */
void *skua_worker_main(void *arg);

/* Leaves the running host's stack, for @post; returns when it is resumed, on whatever thread. */
void skua_thread_leave(struct skua_thread *thread, enum skua_post post);

/* First thing after any switch: carries out what the one who left asked for. */
void skua_thread_post(struct skua_thread *thread);

/* The running host has ended and its stack is free: goes elsewhere for good. */
_Noreturn void skua_thread_exit_task(struct skua_thread *thread, struct skua_ctx ctx,
                                     struct skua_stack *stack);

/*
 * The next unstarted task that can run on the stack of one that has just ended here, already
 * claimed; NULL if something else is to be done first.
 */
struct skua_task *skua_worker_reuse(struct skua_worker *worker);

/* Puts a new or yielded task behind the others, without and with the wake of a sleeper. */
void skua_worker_push(struct skua_worker *worker, struct skua_task *task);
void skua_worker_spawned(struct skua_worker *worker, struct skua_task *task);

/* Puts a task that was waiting where it runs soon. */
void skua_worker_wake_task(struct skua_worker *worker, struct skua_task *task);

/* Queues a ready task from anywhere. */
void skua_schedule(struct skua_task *task);

/*
 * Whether any worker but @self has, or the inject queue holds, work; for the last look before
 * sleep.
 */
bool skua_worker_any_work(struct skua_worker *self);

/* Whether @self has work that is for nobody else. */
bool skua_worker_own_work(struct skua_worker *self);

/*
 * From a task that has run for long: polls the engine, and lets others run if any are ready. May
 * return on another thread.
 */
void skua_worker_service(struct skua_worker *worker);

/* From a task that has awaited a row of others in place, a turn each: as above, now and then. */
void skua_worker_row(struct skua_worker *worker);

/*
 * Fires some of what is due of @whose, the earliest; what becomes ready is queued on @worker, the
 * caller. False: nothing was due.
 */
bool skua_worker_timers(struct skua_worker *worker, struct skua_worker *whose);

/*
 * Owner: whether a request would go to the kernel together with others: tasks are ready, or
 * requests wait to be passed on. A guess.
 */
static inline bool skua_worker_has_company(struct skua_worker *worker)
{
    if (!worker->engine->ops->gathers)
        return false;
    /* relaxed: a thief may be faster */
    return skua_gauge_get(&worker->engine->queued) != 0 ||
           atomic_load_explicit(&worker->next, memory_order_relaxed) != NULL ||
           skua_run_queue_count(&worker->queue) != 0;
}

static inline void skua_worker_engine_lock(struct skua_worker *worker)
{
    if (!worker->alone)
        skua_spin_lock(&worker->engine_lock);
}

static inline void skua_worker_engine_unlock(struct skua_worker *worker)
{
    if (!worker->alone)
        skua_spin_unlock(&worker->engine_lock);
}

#endif /* SKUA_SRC_WORKER_H */
