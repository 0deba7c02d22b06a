/*
 * skua/future.h - one-shot results: await, take, peek, and promises that any thread may set.
 *
 * A future handle is a counted reference. Whoever gets one from skua_spawn(), skua_submit(),
 * skua_run_in_executor() or skua_promise_create() owns it and gives it up once, by awaiting, taking
 * or unreferencing it. A call that cannot make a future returns one that has already failed: the
 * error is read where every other result is read.
 */
#ifndef SKUA_FUTURE_H
#define SKUA_FUTURE_H

#include <skua/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Waits until @future is done, returns its result and drops the caller's handle.
 *
 * A task or job that has not started yet may be run in place, on the caller's stack, when enough of
 * it is left: waiting for it and running it are then the same thing.
 *
 * Context: any. A task on a worker parks; any other thread blocks.
 * Cancellation: as in asyncio, cancelling a task that awaits another forwards the cancel to the
 *   awaited task and the await returns when that one has ended, with its result. An await of a job
 *   or promise returns -ECANCELED at once; an unstarted job is removed from its queue.
 * Ownership: consumes the handle, whatever the result.
 * Returns: the result of the future; -EINVAL if @future is NULL; -ECANCELED as above or if the
 *   future was cancelled; -EDEADLK if a task awaits itself; -EOWNERDEAD if the last handle of a
 *   promise was dropped unset; -ECHILD in a forked child whose parent owns the runtime.
 * Source: asyncio, "await task"; Lace (in-place join), van Dijk and van de Pol 2014.
 */
SKUA_API intptr_t skua_await(skua_future *future);

/**
 * Waits for @future until @deadline_ns and, if it is done by then, takes its result.
 *
 * Context: any. A task on a worker parks; any other thread blocks. Never runs anything in place.
 * Cancellation: returns -ECANCELED without cancelling what it waits for. A result that is there
 *   beats both the cancel and the deadline.
 * Ownership: consumes the handle if it returns 0, and only then.
 * Units: @deadline_ns is absolute, on the clock of skua_now(); SKUA_FOREVER never passes.
 * Returns: 0 with the result in *@result (which may be NULL); -ETIMEDOUT; -ECANCELED; -EINVAL if
 *   @future is NULL; -EDEADLK if a task awaits itself; -ENOMEM if the timer could not be stored;
 *   -ECHILD in a forked child. On error *@result is untouched.
 */
SKUA_API int skua_await_until(skua_future *future, uint64_t deadline_ns, intptr_t *result);

/**
 * Reads the result of a finished future and keeps the handle.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0 with the result in *@result (which may be NULL); -EAGAIN if it is not done; -EINVAL if
 *   @future is NULL.
 */
SKUA_API int skua_future_peek(const skua_future *future, intptr_t *result);

/**
 * Reads the result of a finished future and drops the handle.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Ownership: consumes the handle if it returns 0, and only then.
 * Returns: 0 with the result in *@result (which may be NULL); -EAGAIN if it is not done; -EINVAL if
 *   @future is NULL.
 */
SKUA_API int skua_future_take(skua_future *future, intptr_t *result);

/**
 * Makes another handle of the same future.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: @future (NULL if it is NULL).
 */
SKUA_API skua_future *skua_future_ref(skua_future *future);

/**
 * Drops a handle without taking the result. The task or job behind it keeps running.
 *
 * If this was the last handle and the result is an error nobody has read, the failure hook of the
 * runtime is called (see skua_options).
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Ownership: consumes the handle. NULL is accepted.
 * Returns: nothing.
 */
SKUA_API void skua_future_unref(skua_future *future);

/**
 * Asks what stands behind @future to stop.
 *
 * A task: from now on every wait in it returns -ECANCELED, until it ends (level-triggered); a wait
 * it is in is interrupted; if it has not started, it never does. A job: removed if it has not
 * started; a running one is told, see skua_executor_options, but may go on. A promise: fails with
 * -ECANCELED.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0 if the request was delivered; -EALREADY if the future is done; -EBUSY if it is a
 *   running job; -EINVAL if @future is NULL.
 */
SKUA_API int skua_cancel(skua_future *future);

/**
 * Makes a future that somebody sets by hand, and its producing end.
 *
 * Context: any; never waits. Needs no runtime.
 * Cancellation: not a cancellation point.
 * Ownership: the caller owns the returned handle and *@promise.
 * Returns: the future; NULL if memory is exhausted or @promise is NULL (*@promise is untouched).
 */
SKUA_API SKUA_MUST_USE skua_future *skua_promise_create(skua_promise **promise);

/**
 * Completes the future of @promise with @value and wakes its waiters. The first set wins.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Ownership: keeps the promise handle: drop it with skua_promise_unref().
 * Returns: 0; -EALREADY if it was set, cancelled or abandoned before; -EINVAL if @promise is NULL.
 */
SKUA_API int skua_promise_set(skua_promise *promise, intptr_t value);

/**
 * Makes another producing handle of the same promise.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: @promise (NULL if it is NULL).
 */
SKUA_API skua_promise *skua_promise_ref(skua_promise *promise);

/**
 * Drops a producing handle. When the last one goes and the promise was never set, its future fails
 * with -EOWNERDEAD: a future nobody can complete any more does not hang.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Ownership: consumes the handle. NULL is accepted.
 * Returns: nothing.
 */
SKUA_API void skua_promise_unref(skua_promise *promise);

#ifdef __cplusplus
}
#endif

#endif /* SKUA_FUTURE_H */
