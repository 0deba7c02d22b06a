/*
 * skua/combine.h - several futures as one: gather, wait, as_completed, race, map; and what changes
 * one: shield, wait_for, then.
 *
 * All of them take any future: of a task, a job, a promise, a timer. In an array a future may occur
 * more than once, with a handle for each where handles are consumed.
 *
 * To cancel and await, where it says so, is what skua_await() does when its caller is cancelled: a
 * task is waited for until it has ended, a promise fails at once, and a job that is already running
 * cannot be stopped and is not waited for. An error of a future whose handle was consumed counts as
 * read.
 */
#ifndef SKUA_COMBINE_H
#define SKUA_COMBINE_H

#include <skua/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* After the first error the others are cancelled and awaited. */
#define SKUA_GATHER_CANCEL 1u
/* Errors are results like others: all are waited for. */
#define SKUA_GATHER_COLLECT 2u

/**
 * Waits for all of @futures and stores their results in their order.
 *
 * The first error, in order of completion, is returned at once, while the other tasks go on (with
 * SKUA_GATHER_CANCEL they do not). A cancelled one counts as failed with -ECANCELED, a NULL one
 * with -EINVAL, the calling task's own with -EDEADLK.
 *
 * Context: any. A task on a worker parks; any other thread blocks.
 * Cancellation: if the caller is cancelled, so are all of @futures; they are awaited, then
 *   -ECANCELED is returned. If all are done by the time the cancel is seen, their results are.
 * Ownership: consumes all handles, whatever the result. The arrays stay the caller's.
 * Returns: 0 with all results in @results (which may be NULL), for @count 0 too; with
 *   SKUA_GATHER_COLLECT the number of errors among them; otherwise the first error; -ECANCELED;
 *   -EINVAL (@futures NULL, unknown flag, both flags: the tasks go on); -ENOMEM, with all futures
 *   cancelled and awaited; -ECHILD in a forked child. On error @results is untouched.
 * Source: asyncio.gather.
 */
SKUA_API intptr_t skua_gather(skua_future *const *futures, size_t count, unsigned flags,
                              intptr_t *results);

/* When skua_wait() returns. A cancelled future is no exception, as in asyncio. */
typedef enum skua_wait_when {
    SKUA_ALL_COMPLETED = 0,
    SKUA_FIRST_COMPLETED,
    SKUA_FIRST_EXCEPTION /* one has failed, or all are done */
} skua_wait_when;

/**
 * Waits until all, or the first, of @futures are done, or until @deadline_ns; cancels nothing.
 *
 * Context: any. A task on a worker parks; any other thread blocks.
 * Cancellation: returns -ECANCELED and leaves @futures alone. What it waits for beats the cancel.
 * Ownership: keeps all handles.
 * Units: @deadline_ns is absolute, on the clock of skua_now(); 0 only looks; SKUA_FOREVER never
 *   passes.
 * Returns: how many are done, 0 only after the deadline, with @done[i] telling for each whether it
 *   is (@done may be NULL); -ECANCELED; -EINVAL (@futures or one of them NULL, @count 0, an unknown
 *   @when); -EDEADLK if the calling task is among them; -ENOMEM; -ECHILD in a forked child. On
 *   error @done is untouched.
 * Source: asyncio.wait.
 */
SKUA_API ssize_t skua_wait(skua_future *const *futures, size_t count, skua_wait_when when,
                           uint64_t deadline_ns, bool *done);

/* Futures in the order in which they are done. */
typedef struct skua_as_completed skua_as_completed;

/**
 * Begins to watch @futures.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Ownership: the caller closes *@iterator, and keeps all handles: each until its index was returned
 *   or the iterator is closed. @futures must stay in place as long.
 * Returns: 0, for @count 0 too; -EINVAL (@iterator, @futures or one of them NULL); -EDEADLK if the
 *   calling task is among them; -ENOMEM; -ECHILD in a forked child. On error *@iterator is
 *   untouched.
 * Source: asyncio.as_completed.
 */
SKUA_API int skua_as_completed_open(skua_as_completed **iterator, skua_future *const *futures,
                                    size_t count);

/**
 * Waits for the next future that is done and returns its index; each once, those that were done
 * from the beginning first. Takes the same time however many there are.
 *
 * Context: any, one caller at a time. A task on a worker parks; any other thread blocks.
 * Cancellation: returns -ECANCELED and leaves the futures alone. One that is done beats the cancel.
 * Units: @deadline_ns is absolute, on the clock of skua_now(); 0 only looks; SKUA_FOREVER never
 *   passes.
 * Returns: an index; -EALREADY when all have been returned; -ETIMEDOUT; -ECANCELED; -EINVAL if
 *   @iterator is NULL; -ENOMEM if the timer could not be stored; -ECHILD in a forked child.
 */
SKUA_API ssize_t skua_as_completed_next(skua_as_completed *iterator, uint64_t deadline_ns);

/**
 * Ends the watch. The futures go on.
 *
 * Context: any; never waits. Nobody is in skua_as_completed_next().
 * Cancellation: not a cancellation point.
 * Ownership: consumes @iterator. NULL is accepted.
 * Returns: nothing.
 */
SKUA_API void skua_as_completed_close(skua_as_completed *iterator);

/**
 * Waits for the first of @futures, whether it succeeds or fails, and cancels and awaits the others.
 * Of several that are done from the beginning the first in the array wins.
 *
 * Context: any. A task on a worker parks; any other thread blocks.
 * Cancellation: if the caller is cancelled, all are cancelled and awaited, and -ECANCELED is
 *   returned. One that is done beats the cancel, and wins.
 * Ownership: consumes all handles, whatever the result.
 * Returns: the winner's index with its result in *@result (which may be NULL); -ECANCELED; -EINVAL
 *   (@futures or one of them NULL, @count 0), -EDEADLK if the calling task is among them, -ENOMEM:
 *   all (others) are cancelled and awaited; -ECHILD in a forked child. On error *@result is
 *   untouched.
 * Source: Promise.race of ECMAScript; trio's nursery with a cancel by the first.
 */
SKUA_API ssize_t skua_race(skua_future *const *futures, size_t count, intptr_t *result);

/**
 * Waits for @future for at most @timeout_ns; then cancels it and waits for its end.
 *
 * Context: any. A task on a worker parks; any other thread blocks. Never runs anything in place.
 * Cancellation: if the caller is cancelled, so is @future, and it is awaited.
 * Ownership: consumes the handle, whatever the result.
 * Units: @timeout_ns is relative; 0 cancels it unless it is done; SKUA_FOREVER never passes.
 * Returns: 0 with the result in *@result (which may be NULL): also one that it came to after the
 *   cancel, whoever's that was, if it is not -ECANCELED; else -ETIMEDOUT, or -ECANCELED if the
 *   caller is cancelled; -EINVAL if @future is NULL; -EDEADLK if a task awaits itself; -ENOMEM if
 *   the timer could not be stored (it was cancelled and awaited); -ECHILD in a forked child. On
 *   error *@result is untouched.
 * Source: asyncio.wait_for.
 */
SKUA_API int skua_wait_for(skua_future *future, uint64_t timeout_ns, intptr_t *result);

/**
 * Waits for @future without handing a cancel of the caller on to it.
 *
 * Context: any. A task on a worker parks; any other thread blocks. Never runs anything in place.
 * Cancellation: returns -ECANCELED; what is behind @future goes on. A result beats the cancel.
 * Ownership: consumes the handle if it returns 0, and only then.
 * Returns: 0 with the result in *@result (which may be NULL), -ECANCELED if @future was cancelled
 *   itself; otherwise as skua_await_until(). On error *@result is untouched.
 * Source: asyncio, "await shield(task)".
 */
SKUA_API int skua_await_shielded(skua_future *future, intptr_t *result);

/**
 * A future with the result of @future whose cancel does not reach that: to be passed on to
 * skua_gather(), skua_wait_for() and others that cancel.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point. Cancelling @future itself cancels the shield too.
 * Ownership: consumes the handle, whatever the result; the caller owns the returned one.
 * Returns: a future, never NULL, that fails as that of skua_future_then().
 * Source: asyncio.shield.
 */
SKUA_API SKUA_MUST_USE skua_future *skua_future_shield(skua_future *future);

/* What is called with the result of a future, an error too. */
typedef intptr_t (*skua_then_fn)(intptr_t value, void *arg);

/**
 * Runs @fn(result of @future, @arg) as a task when @future is done; the function behind
 * skua_future_then(). Until then there is no stack.
 *
 * The returned future is that of a task. Cancelled before @future is done it fails at once, @fn is
 * never called, and @future goes on. A runtime that stops waits for such tasks or cancels them, as
 * any others.
 *
 * Context: any; never waits. The task is one of the current runtime; of a thread outside one, of
 *   the runtime behind @future.
 * Cancellation: not a cancellation point.
 * Ownership: consumes the handle, whatever the result; the caller owns the returned one.
 * Returns: a future, never NULL. If it could not be made it has already failed: -EINVAL if @future
 *   or @fn is NULL, -EPERM if there is no runtime, -ESHUTDOWN, -ENOMEM, -ECHILD in a forked child.
 * Source: Future.add_done_callback of asyncio; Promise.then of ECMAScript.
 */
SKUA_API SKUA_MUST_USE skua_future *skua_future_then_at(skua_future *future, skua_then_fn fn,
                                                        void *arg, const char *site);
#define skua_future_then(future, fn, arg) skua_future_then_at((future), (fn), (arg), SKUA_SITE(#fn))

/* How to map. Zero-initialise; zero means default everywhere. */
typedef struct skua_map_options {
    skua_executor *executor; /* whose threads call the function; default NULL: tasks do */
    size_t window;           /* how many at a time; default 64 */
    unsigned flags;          /* SKUA_GATHER_... */
    unsigned reserved_flags; /* zero */
    uint64_t reserved[4];    /* zero */
} skua_map_options;

/**
 * Calls @fn for each of the @count items of @item_size_bytes at @items, with its address, a limited
 * number at a time, and stores the results in their order.
 *
 * The first error is returned at once: no more are started, and those that run go on and still use
 * their items (with SKUA_GATHER_CANCEL they are cancelled and waited for, running jobs too). A full
 * queue of the executor is waited for while anything of this call is in it. What cannot be started
 * otherwise has failed with the reason.
 *
 * Context: a task, or an executor thread of a runtime; with an executor any thread. Waits.
 * Cancellation: if the caller is cancelled, no more are started, those that run are cancelled and
 *   waited for, running jobs too, and -ECANCELED is returned.
 * Ownership: @items must stay until the call has returned, and what it has left running has ended.
 * Returns: 0 with all results in @results (which may be NULL), for @count 0 too; with
 *   SKUA_GATHER_COLLECT the number of errors among them; otherwise the first error; -ECANCELED;
 *   -EINVAL (@fn or @items NULL, unknown flag, both flags, nonzero reserved field); -ENOMEM;
 *   -ECHILD in a forked child. On error @results has the results of those that have ended.
 * Source: concurrent.futures.Executor.map with its buffersize.
 */
SKUA_API intptr_t skua_map(const skua_map_options *options, skua_fn fn, void *items,
                           size_t item_size_bytes, size_t count, intptr_t *results);

#ifdef __cplusplus
}
#endif

#endif /* SKUA_COMBINE_H */
