/*
 * skua/executor.h - offloading: pools of plain threads for functions that block or compute.
 *
 * Every runtime has two. "cpu" has as many threads as there are CPUs, at a lower scheduling
 * priority than the workers, so that I/O stays prompt. "blocking" grows to a limit and shrinks when
 * idle. Queues are bounded: a full one fails the submission with -EAGAIN.
 *
 * A thread of an executor that waits for something (an await inside a job) is replaced for that
 * time, and an unstarted job it awaits is run in place: nested use of one executor does not
 * deadlock.
 */
#ifndef SKUA_EXECUTOR_H
#define SKUA_EXECUTOR_H

#include <skua/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How to make an executor. Zero-initialise; zero means default everywhere. */
typedef struct skua_executor_options {
    const char *name;     /* for thread names and reports; copied (15 bytes); default "executor" */
    unsigned threads_max; /* default: the number of CPUs */
    unsigned threads_min; /* threads kept when idle; default 0 */
    unsigned queue_max;   /* jobs waiting for a thread; default 65536 */
    int nice;             /* added to the threads' nice value, 0..19; default 0 */
    uint64_t idle_timeout_ns; /* an idle thread above threads_min ends after this; default 10 s */
    int cancel_signal;    /* sent to a thread whose running job is cancelled; see below; default 0:
                             none */
    int reserved_int;     /* zero */
    uint64_t reserved[3]; /* zero */
} skua_executor_options;

/*
 * A running job learns that it is cancelled by skua_cancelled(), and from its waits in this
 * library, which return -ECANCELED. A system call of its own that blocks does not know;
 * cancel_signal makes it return EINTR, if the program has a handler for that signal, installed
 * without SA_RESTART. A signal that comes just before the call is lost: cancel again, or block with
 * a timeout.
 */

/**
 * The executor for CPU-heavy functions of @runtime (NULL: the current one).
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Ownership: borrowed from the runtime.
 * Returns: the executor; NULL if @runtime is NULL outside a runtime.
 */
SKUA_API skua_executor *skua_executor_cpu(skua_runtime *runtime);

/**
 * The executor for blocking functions of @runtime (NULL: the current one).
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Ownership: borrowed from the runtime.
 * Returns: the executor; NULL if @runtime is NULL outside a runtime.
 */
SKUA_API skua_executor *skua_executor_blocking(skua_runtime *runtime);

/**
 * Makes an executor of its own for one kind of work. Threads start on demand.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Ownership: the caller destroys *@executor before the runtime stops.
 * Returns: 0; -EINVAL (NULL, threads_min over threads_max, nonzero reserved field, nice or
 *   cancel_signal out of range); -EPERM if @runtime is NULL outside a runtime; -ENOMEM; -ESHUTDOWN.
 */
SKUA_API int skua_executor_create(skua_runtime *runtime, const skua_executor_options *options,
                                  skua_executor **executor);

/**
 * Refuses new jobs, waits for the running and queued ones, ends the threads and frees the executor.
 *
 * Context: any thread or task that is not itself on @executor; waits.
 * Cancellation: not a cancellation point.
 * Ownership: consumes @executor if it returns 0. NULL is accepted.
 * Returns: 0; -EBUSY on a thread of this executor; -EPERM for an executor the runtime owns.
 */
SKUA_API int skua_executor_destroy(skua_executor *executor);

/**
 * Runs @fn(@arg) on a thread of @executor; the function behind skua_run_in_executor().
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point. skua_cancel() removes a job that has not started.
 * Ownership: the caller owns the returned handle.
 * Returns: a future, never NULL. If the job could not be queued the future has already failed:
 *   -EAGAIN if the queue is full or no thread could be started, -ESHUTDOWN, -ENOMEM, -EINVAL if
 *   @fn is NULL, -EPERM if @executor is NULL (the blocking one of the current runtime) outside a
 *   runtime, -ECHILD in a forked child.
 * Source: asyncio.loop.run_in_executor.
 */
SKUA_API SKUA_MUST_USE skua_future *skua_run_in_executor_at(skua_executor *executor, skua_fn fn,
                                                            void *arg, const char *site);
#define skua_run_in_executor(executor, fn, arg)                                                    \
    skua_run_in_executor_at((executor), (fn), (arg), SKUA_SITE(#fn))

/**
 * Moves the running task to a thread of @executor (NULL: the blocking one): what follows may block
 * or compute without delaying anybody. On an executor every skua call works; it blocks the thread.
 *
 * Context: a task. On the same executor already: returns 0 at once.
 * Cancellation: returns -ECANCELED if the task was cancelled before it moved.
 * Returns: 0, now on a thread of @executor; -EAGAIN if its queue is full or no thread could be
 *   started; -ESHUTDOWN; -ECANCELED; -EPERM outside a task, or if @executor is of another runtime.
 *   On error the task is where it was, or, if it came from another executor, on a worker.
 */
SKUA_API int skua_hop(skua_executor *executor);

/**
 * Returns the running task from an executor to a worker.
 *
 * Context: a task. On a worker already: returns 0 at once.
 * Cancellation: not a cancellation point: a cancelled task comes back too.
 * Returns: 0, now on a worker; -EPERM outside a task.
 */
SKUA_API int skua_hop_back(void);

#ifdef __cplusplus
}
#endif

#endif /* SKUA_EXECUTOR_H */
