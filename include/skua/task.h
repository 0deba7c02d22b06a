/*
 * skua/task.h - tasks: functions on their own stacks, scheduled by the runtime.
 *
 * A task waits by calling a function; while it waits its worker runs other tasks, and any worker
 * may resume it. Do not keep the address of a thread-local variable (errno included) or hold a
 * pthread mutex across a wait: the task may come back on another thread.
 */
#ifndef SKUA_TASK_H
#define SKUA_TASK_H

#include <skua/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Nobody will await the task: no handle is returned and a failure is reported when it ends. */
#define SKUA_TASK_DETACHED 1u

/*
 * It gets its stack at once, and if there is none is not spawned (-ENOMEM): what is spawned will
 * run, even if it is cancelled first. Without this flag a task may end with -ENOMEM before its
 * first statement. Never run in place.
 */
#define SKUA_TASK_STACK_NOW 2u

/* How to spawn a task. Zero-initialise; zero means default everywhere. */
typedef struct skua_task_options {
    const char *name;        /* for reports; not copied, must outlive the task; default NULL */
    size_t stack_size_bytes; /* guaranteed; default: the runtime's (see skua_options) */
    unsigned flags;          /* SKUA_TASK_... */
    unsigned reserved_flags; /* zero */
    const char *site;        /* set by the macro; see SKUA_SITE */
    uint64_t reserved[4];    /* zero */
} skua_task_options;

/**
 * Starts @fn(@arg) as a task on the current runtime; the function behind skua_spawn().
 *
 * The task is queued; it gets a stack when it first runs. The default stack guarantees half of
 * its size (32 KiB of 64): a task nobody gave a size may be run in place by its awaiter when at
 * least that much is left. Without memory for a stack when it is to start its result is -ENOMEM.
 *
 * Context: a task, or an executor thread of a runtime; never waits.
 * Cancellation: not a cancellation point; a cancelled task may still spawn.
 * Ownership: the caller owns the returned handle.
 * Returns: a future, never NULL. If the task could not be made the future has already failed:
 *   -EPERM outside a runtime (use skua_submit()), -ESHUTDOWN, -ENOMEM, -EINVAL if @fn is NULL,
 *   -ECHILD in a forked child.
 * Source: asyncio.create_task.
 */
SKUA_API SKUA_MUST_USE skua_future *skua_spawn_at(skua_fn fn, void *arg, const char *site);
#define skua_spawn(fn, arg) skua_spawn_at((fn), (arg), SKUA_SITE(#fn))

/**
 * Starts a task with options; the function behind skua_spawn_with().
 *
 * Context: a task, or an executor thread of a runtime; never waits.
 * Cancellation: not a cancellation point.
 * Ownership: the caller owns *@future.
 * Returns: 0 with the handle in *@future (@future may be NULL only for a detached task, and a
 *   detached task stores NULL); -EINVAL (@fn NULL, no place for the handle, unknown flag, nonzero
 *   reserved field, stack over 1 GiB); -EPERM outside a runtime; -ESHUTDOWN; -ENOMEM; -ECHILD in a
 *   forked child. On error *@future is untouched and @fn will not run.
 */
SKUA_API int skua_spawn_with_at(const skua_task_options *options, skua_fn fn, void *arg,
                                skua_future **future, const char *site);
#define skua_spawn_with(options, fn, arg, future)                                                  \
    skua_spawn_with_at((options), (fn), (arg), (future), SKUA_SITE(#fn))

/**
 * Lets other ready tasks run; the caller goes behind everything that is ready now.
 *
 * Context: any; outside a worker it is sched_yield().
 * Cancellation: a cancellation point.
 * Returns: 0; -ECANCELED; -ECHILD in a forked child.
 */
SKUA_API int skua_yield(void);

/**
 * The future of the running task.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Ownership: borrowed: valid while the task runs; use skua_future_ref() to keep it.
 * Returns: the running task's future; NULL outside a task.
 */
SKUA_API skua_future *skua_self(void);

/**
 * The name of the running task.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: the name given in its options, else its spawn site; NULL outside a task.
 */
SKUA_API const char *skua_task_name(void);

/**
 * Tells whether the running task or job has been cancelled. Long computations poll it.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: true if a wait would return -ECANCELED now; false outside a task.
 */
SKUA_API bool skua_cancelled(void);

/**
 * Waits for a wake-up token of this task (see skua_unpark()) and consumes it. What other
 * synchronisation can be built on.
 *
 * Context: a task, on a worker or an executor thread.
 * Cancellation: returns -ECANCELED; a token that is there beats the cancel.
 * Units: @deadline_ns is absolute, on the clock of skua_now(); SKUA_FOREVER never passes.
 * Returns: 0 if a token was consumed; -ETIMEDOUT; -ECANCELED; -EPERM outside a task; -ENOMEM if the
 *   timer could not be stored (a token given meanwhile is kept); -ECHILD in a forked child.
 * Source: java.util.concurrent.locks.LockSupport; Rust std::thread::park.
 */
SKUA_API int skua_park(uint64_t deadline_ns);

/**
 * Gives @task a wake-up token: it leaves skua_park(), now or when it next calls it. Tokens do not
 * add up.
 *
 * Context: any; never waits. The caller must hold a handle of @task or know that it runs.
 * Cancellation: not a cancellation point.
 * Returns: 0; -EINVAL if @task is NULL or not a task; -EALREADY if it has ended.
 */
SKUA_API int skua_unpark(skua_future *task);

#ifdef __cplusplus
}
#endif

#endif /* SKUA_TASK_H */
