/*
 * skua/runtime.h - starting, embedding, watching and stopping a runtime.
 */
#ifndef SKUA_RUNTIME_H
#define SKUA_RUNTIME_H

#include <skua/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SKUA_WORKERS_MAX 256u

/* What the failure hook is told about a task, job or promise whose error nobody read. */
typedef struct skua_failure {
    const char *name; /* of the task; NULL if it had none */
    const char *site; /* "fn at file:line"; NULL if spawned without the macro */
    skua_fn entry;    /* what it ran; NULL for a promise */
    intptr_t result;  /* the error */
    uint64_t reserved[2];
} skua_failure;

/* What the hook is told about a worker that sits in a blocking system call. */
typedef struct skua_blockage {
    unsigned worker;     /* its index, as for skua_runtime_stats() */
    long syscall;        /* the call's number; -1: none, it waits for a page of memory, say */
    uint64_t for_ns;     /* how long the task has kept the worker, at least */
    const char *name;    /* of the task; NULL if it had none or it cannot be read any more */
    const char *site;    /* as in skua_failure; likewise */
    skua_fn entry;       /* what the task runs; likewise */
    void *const *frames; /* code addresses: where it is, then what looks like those it was called
                            from; some may be left over from calls that have returned */
    size_t frame_count;
    uint64_t reserved[2];
} skua_blockage;

/* How to start a runtime. Zero-initialise; zero means default everywhere. */
typedef struct skua_options {
    unsigned workers;      /* default: $SKUA_WORKERS, else CPUs allowed, within the cgroup quota */
    unsigned ring_entries; /* submission queue of each worker's ring; default 256, 2..32768 */
    unsigned cq_entries;   /* completion queue; default 4096; at least ring_entries */
    unsigned flags;        /* zero */
    size_t stack_size_bytes;    /* default stack of a task; default 64 KiB, at least 16 KiB */
    unsigned cpu_threads;       /* of the cpu executor; default: CPUs allowed */
    unsigned blocking_threads;  /* limit of the blocking executor; default 64 */
    unsigned offload_queue_max; /* jobs waiting in each of the two; default 65536 */
    int spin_us;                /* an idle worker looks for work this long before it sleeps, where
                                   that has paid of late; default 50, -1 never. The default is never
                                   if the machine, or the cgroup's quota, is one CPU, and if several
                                   workers are bound to one */
    int rescue_us;              /* how long a worker may compute before others take over its I/O and
                                   timers; default 200, -1 never */
    /* Called once per error nobody read; NULL: one line on stderr. Any thread; must not wait. */
    void (*on_failure)(const skua_failure *failure, void *arg);
    void *on_failure_arg;
    const char *engine; /* "uring" or "epoll", and no other; default: $SKUA_ENGINE, else uring if
                           the kernel lets us, else epoll */
    int block_us;       /* how long a worker may sit in a system call that a task made itself
                           before that is reported; default 20000 (never in a build with
                           ThreadSanitizer), at least 1000, -1 never */
    int stand_ins;      /* workers started, at most, in place of those found so, or when all of
                           them have computed for 2 ms; default as many as workers, -1 none; none
                           if there is one worker or no rescue */
    /* Called once each time a worker is found so; NULL: lines on stderr, at most once a second.
       On a thread of the runtime's that is no worker; must not wait. Strings and frames are valid
       during the call. */
    void (*on_blocked)(const skua_blockage *blockage, void *arg);
    void *on_blocked_arg;
    uint64_t reserved[4]; /* zero */
} skua_options;

/* What runs: see skua_runtime_info(). */
typedef struct skua_info {
    char engine[16];       /* "uring", "epoll"; "sim" in a simulation */
    char engine_mode[112]; /* how it was set up, what it lacks, and why it is this one: readable,
                              for example "pwait2 nowait (io_uring refused: EPERM)" */
    unsigned workers;
    unsigned cpus_allowed;
    size_t stack_size_bytes;         /* default size, as reserved */
    char stack_guard[16];            /* "guard-install" or "mprotect" */
    uint64_t stacks_created;         /* stacks mapped so far */
    uint64_t stack_high_water_bytes; /* deepest use of any stack, to the page */
    uint64_t tasks_live;             /* tasks, jobs and promises not yet ended */
    unsigned stand_ins;              /* started so far; their counters follow the workers' */
    unsigned blocked;                /* workers found in a blocking system call, at present */
    uint64_t reserved[7];
} skua_info;

/*
 * Counters of one worker or stand-in, since start. Each is monotone; together they are not one
 * snapshot.
 */
typedef struct skua_worker_stats {
    uint64_t tasks_run;      /* tasks that ended here */
    uint64_t tasks_spawned;  /* by tasks on this worker */
    uint64_t tasks_inlined;  /* run in place by their awaiter */
    uint64_t switches;       /* tasks resumed or started here */
    uint64_t steals;         /* tasks taken from other workers */
    uint64_t steal_attempts; /* victims looked at */
    uint64_t parks;          /* times this worker slept */
    uint64_t wakes;          /* sleepers this worker woke */
    uint64_t ops_submitted;  /* I/O requests */
    uint64_t ops_completed;
    uint64_t enters;   /* system calls into the ring, or of epoll's */
    uint64_t offloads; /* jobs and hops sent to executors from here */
    uint64_t timers_fired;
    uint64_t stack_high_water_bytes; /* as skua_runtime_info(), or idle workers that gave stacks
                                        back, last found it: the same for all workers */
    uint64_t jobs_stolen;            /* of fork and join, taken by this worker */
    uint64_t jobs_published;         /* made public here because somebody asked */
    uint64_t jobs_forced;            /* times this worker forced jobs out of a busy one */
    uint64_t rescues;                /* times this worker took over from one that computed */
    uint64_t ops_rescued;            /* I/O requests it completed then */
    uint64_t blockages;              /* times it was found in a blocking system call */
} skua_worker_stats;

/* How skua_runtime_stop() treats what is still running. */
typedef enum skua_stop_mode {
    SKUA_STOP_DRAIN = 0, /* wait for every task and job to end by itself */
    SKUA_STOP_CANCEL = 1 /* cancel every task, drop unstarted jobs, then wait */
} skua_stop_mode;

/**
 * Starts a runtime, runs @fn(@arg) as its first task, and stops it when that task has ended: what
 * it left behind is cancelled and waited for.
 *
 * Context: a foreign thread; waits.
 * Cancellation: not a cancellation point.
 * Returns: what @fn returned; -EINVAL (@fn NULL, bad options); -EPERM on a worker or executor
 *   thread; -ENOMEM; -ECHILD in a forked child; whatever starting threads and rings returns
 *   (skua_runtime_start()).
 * Source: asyncio.run.
 */
SKUA_API intptr_t skua_run(const skua_options *options, skua_fn fn, void *arg);

/**
 * Starts a runtime beside the caller's own threads. @options may be NULL.
 *
 * System calls that tasks make themselves hold up their worker; see block_us and stand_ins, and
 * skua_run_in_executor() for better ways. No signal is sent to anybody. But where a worker has
 * requests in flight on io_uring the kernel may end a call of those signal(7) lists as never
 * restarted (epoll_wait(2), recv(2) with SO_RCVTIMEO ...) with EINTR when one completes.
 *
 * All its workers run on the same engine. If io_uring is refused to any of them (by seccomp,
 * kernel.io_uring_disabled, RLIMIT_MEMLOCK, an old kernel) that is epoll, which offloads files to
 * the blocking executor; skua_runtime_info() tells. An engine that was asked for by name, in
 * @options or $SKUA_ENGINE, is not replaced: then the start fails.
 *
 * Context: a foreign thread; waits until every worker is ready.
 * Cancellation: not a cancellation point.
 * Ownership: the caller ends *@runtime with skua_runtime_stop().
 * Returns: 0; -EINVAL (@runtime NULL, workers over SKUA_WORKERS_MAX, SKUA_WORKERS unreadable,
 *   SKUA_ENGINE or @options->engine no engine, nonzero reserved field, sizes out of range);
 *   -ENOMEM; -EAGAIN if a thread could not be started; -EMFILE, -ENFILE; -EPERM on a runtime's own
 *   thread; -ECHILD in a forked child. If uring was asked for by name also -EPERM (refused) and
 *   -ENOSYS. Nothing is left behind.
 */
SKUA_API int skua_runtime_start(skua_runtime **runtime, const skua_options *options);

/**
 * Starts @fn(@arg) as a task of @runtime from any thread; the function behind skua_submit().
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Ownership: the caller owns the returned handle.
 * Returns: a future, never NULL. If the task could not be made the future has already failed:
 *   -EINVAL (NULL), -ESHUTDOWN, -ENOMEM, -ECHILD in a forked child.
 * Source: asyncio.run_coroutine_threadsafe.
 */
SKUA_API SKUA_MUST_USE skua_future *skua_submit_at(skua_runtime *runtime, skua_fn fn, void *arg,
                                                   const char *site);
#define skua_submit(runtime, fn, arg) skua_submit_at((runtime), (fn), (arg), SKUA_SITE(#fn))

/**
 * Stops @runtime: refuses new work with -ESHUTDOWN, drains or cancels what there is, waits, ends
 * the threads and frees the runtime. Future handles stay valid until they are dropped.
 *
 * If @deadline_ns passes first the runtime stays, stopping: look at what still runs with
 * skua_runtime_list() and call again. Only one thread may stop a runtime, and no thread may use
 * @runtime itself (skua_submit(), skua_runtime_info() ...) when this returns 0, or later.
 *
 * Context: a foreign thread; waits.
 * Cancellation: not a cancellation point.
 * Ownership: consumes @runtime if it returns 0. NULL is accepted.
 * Units: @deadline_ns is absolute, on the clock of skua_now().
 * Returns: 0; -ETIMEDOUT; -EPERM on a thread of a runtime; -EINVAL for an unknown mode; -ECHILD in
 *   a forked child.
 */
SKUA_API int skua_runtime_stop(skua_runtime *runtime, skua_stop_mode mode, uint64_t deadline_ns);

/* One line of skua_runtime_list(). Pointers are those the program gave when it spawned. */
typedef struct skua_task_info {
    const char *name;
    const char *site;
    skua_fn entry;
    char kind[8];   /* "task" or "job" */
    char state[24]; /* "ready", "running", "sleeping", "awaiting", "reading", ... */
    bool cancelled;
    uint64_t reserved[2];
} skua_task_info;

/**
 * Lists the tasks and jobs that have not ended, as @runtime is running: a moving picture, each line
 * true at some moment during the call.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: how many there are, of which at most @count were stored; -EINVAL if @runtime is NULL, or
 *   @tasks is NULL and @count is not 0.
 */
SKUA_API ssize_t skua_runtime_list(skua_runtime *runtime, skua_task_info *tasks, size_t count);

/**
 * The runtime of the calling task or executor thread.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: the runtime; NULL on a foreign thread.
 */
SKUA_API skua_runtime *skua_runtime_current(void);

/**
 * Tells what runs: engine, ring mode, workers, stacks. Looks at the pages of all stacks for the
 * mark, so that with many of them it is nothing for a hot path, unlike skua_runtime_stats().
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0; -EINVAL if either pointer is NULL.
 */
SKUA_API int skua_runtime_info(skua_runtime *runtime, skua_info *info);

/**
 * Reads the counters of worker @index; stand-ins, as far as they have been started, follow the
 * workers. Costs the worker nothing.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0; -EINVAL if a pointer is NULL or there is no such worker.
 */
SKUA_API int skua_runtime_stats(skua_runtime *runtime, unsigned index, skua_worker_stats *stats);

#ifdef __cplusplus
}
#endif

#endif /* SKUA_RUNTIME_H */
