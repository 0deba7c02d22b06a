/*
 * sched/runtime_impl.h - the runtime as its own code sees it.
 *
 * STOP   phase goes RUNNING -> STOPPING -> EXITING, set by the stopping thread alone.
 *        STOPPING: new work is refused. The stopping thread waits until as many objects have ended
 *        as were started (sums of counters; see skua_runtime_live()). EXITING: every queue is empty
 *        and stays so; workers leave their loop.
 *
 * UP     Workers and their count are made at the start, all or none. Stand-ins come later, one at a
 *        time and at the monitor's request alone; the monitor ends before the workers do.
 *
 * PIN    A thread that is not of this runtime may be about to queue a task or wake a worker when
 *        the last task ends. It pins the runtime first: skua_runtime_pin() counts, then looks at
 *        the phase; the stopping thread sets EXITING, then waits until nobody is counted (seq_cst
 *        on both sides: store-load). The memory of the runtime itself stays until the last future
 *        handle is dropped, so a pin may be tried as long as one is held.
 */
#ifndef SKUA_SRC_RUNTIME_IMPL_H
#define SKUA_SRC_RUNTIME_IMPL_H

#include <skua/executor.h>

#include "core/inject_queue.h"
#include "sched/fork.h"
#include "sched/idle.h"
#include "sched/monitor.h"
#include "sched/worker.h"

enum { SKUA_PHASE_RUNNING = 0, SKUA_PHASE_STOPPING = 1, SKUA_PHASE_EXITING = 2 };

struct skua_buffers {
    unsigned count;
    struct iovec iov[];
};

struct skua_runtime {
    /* constant after start */
    unsigned worker_count; /* asked for; stand-ins follow them: blocked.h */
    unsigned workers_max;  /* with all the stand-ins there may ever be */
    unsigned cpus_allowed;
    uint64_t spin_ns;
    uint64_t rescue_ns;                       /* 0: off */
    uint64_t block_ns;                        /* 0: off */
    uint64_t hold_ns;                         /* not longer than that; see COMPUTE in blocked.h */
    skua_options options;                     /* with the defaults filled in */
    const struct skua_engine_ops *engine_ops; /* of all workers */
    const char *engine_why;                   /* "" or who asked for it, for people */
    int engine_refusal;                       /* why not the better engine; 0: it was not refused */
    struct skua_slab_pool *objects;
    struct skua_stack_pool *stacks;
    skua_executor *cpu;
    skua_executor *blocking;

    /* read on every spawn, written once or twice */
    _Atomic uint32_t phase SKUA_CACHE_ALIGNED;
    _Atomic bool cancel_all;  /* stopping by cancel: every task counts as cancelled */
    _Atomic unsigned present; /* workers there are; grows by stand-ins. See blocked.h */
    _Atomic unsigned blocked; /* workers found in a system call */

    struct skua_inject_queue inject;
    struct skua_idle idle;
    struct skua_forks forks;
    struct skua_monitor monitor;
    _Atomic uint64_t rescued_ns; /* when somebody last rescued something; see rescue.h */

    /* objects started and ended outside workers */
    _Atomic uint64_t foreign_started SKUA_CACHE_ALIGNED;
    _Atomic uint64_t foreign_ended;
    _Atomic uint32_t drained; /* futex: bumped by ends while stopping */
    _Atomic uint32_t pins;    /* outside threads inside a queue or a wake; see PIN */

    /* hand-shakes of the workers, under one lock: all up, all out of their loops */
    pthread_mutex_t lock;
    struct skua_os_condition changed;
    unsigned up;     /* workers that have come up or failed; guarded by lock */
    unsigned quiet;  /* workers out of their loop, and the stopper done waking; guarded by lock */
    int start_error; /* of the first worker that failed; guarded by lock */
    bool go;         /* start_runtime has decided; guarded by lock */

    _Atomic(struct skua_buffers *) buffers; /* set once */

    struct skua_worker *workers; /* workers_max of them, of which present have an engine */
};

/* The workers there are, stand-ins included: those whose index is below. */
static inline unsigned skua_runtime_present(skua_runtime *runtime)
{
    /* acquire: partner is the release of whoever has come up */
    return atomic_load_explicit(&runtime->present, memory_order_acquire);
}

static inline bool skua_runtime_refuses(skua_runtime *runtime)
{
    /* relaxed: a spawn that races with the stop may fall on either side */
    return atomic_load_explicit(&runtime->phase, memory_order_relaxed) != SKUA_PHASE_RUNNING;
}

/* Objects started and not ended; 0 is exact once new work is refused. */
uint64_t skua_runtime_live(skua_runtime *runtime);

/* Counts the end of an object and, when stopping, tells the stopping thread. */
void skua_runtime_count_end(struct skua_thread *thread, skua_runtime *runtime);

/* Counts the start of an object. */
void skua_runtime_count_start(struct skua_thread *thread, skua_runtime *runtime);

/*
 * Keeps the workers from going away. False: they are going; touch nothing but the runtime's memory.
 */
bool skua_runtime_pin(skua_runtime *runtime);
void skua_runtime_unpin(skua_runtime *runtime);

/* Where objects of @runtime came from, even after it has stopped. */
struct skua_slab_pool *skua_runtime_objects(skua_runtime *runtime);

/* A worker has come up (0) or failed. Waits for the others. False: start-up failed, leave. */
bool skua_runtime_worker_ready(skua_runtime *runtime, int error);

/* The monitor: starts one more worker and waits until it is up. 0, or -errno: there is none. */
int skua_runtime_add_worker(skua_runtime *runtime);

/* A worker has left its loop. Waits until all have and the stopper is done: no more wakes. */
void skua_runtime_workers_quiet(skua_runtime *runtime);

/* Calls the failure hook for @task, whose error nobody read. */
void skua_report_failure(const struct skua_task *task);

/* Calls the hook for a worker found in a system call, or prints it. The monitor only. */
void skua_report_blockage(skua_runtime *runtime, const skua_blockage *blockage);

/* Stack overflow reports: installed with the first runtime, removed with the last. */
int skua_overflow_install(void);
void skua_overflow_uninstall(void);

/* fork(): counts runtimes, and marks the child's copy of the forking thread. */
int skua_fork_guard_acquire(void);
void skua_fork_guard_release(void);
bool skua_fork_guard_in_child(void);

#endif /* SKUA_SRC_RUNTIME_IMPL_H */
