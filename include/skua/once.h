/*
 * skua/once.h - doing something once, whoever comes first.
 *
 * Tasks and threads that come while it is being done wait: a task parks, and its worker runs
 * others; a thread blocks. If it fails, the one who has waited longest tries again.
 *
 * An object that is zero, or set with its _INIT, is ready for use. It needs no destruction, but
 * must not go away while somebody uses it.
 */
#ifndef SKUA_ONCE_H
#define SKUA_ONCE_H

#include <skua/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct skua_once {
    uint64_t opaque[4];
} skua_once;

#define SKUA_ONCE_INIT                                                                             \
    {                                                                                              \
        {                                                                                          \
            0, 0, 0, 0                                                                             \
        }                                                                                          \
    }

/**
 * Calls @fn(@arg) on the caller's stack if no call for @once has succeeded; waits while somebody
 * else's call is running. It has succeeded if its result is no error (see SKUA_IS_ERROR). What it
 * has done is visible to all who come after.
 *
 * Context: any. A task on a worker parks; any other thread blocks. @fn may wait, but not call this
 *   for the same @once: it would wait for itself.
 * Cancellation: a wait returns -ECANCELED, without a call. A result that is there, or a call that
 *   has become the caller's to make, beats the cancel.
 * Returns: the result of the call that succeeded, whoever made it; the error of the caller's own
 *   call; -ECANCELED; -EINVAL if @once or @fn is NULL; -ECHILD in a forked child.
 * Source: pthread_once(3p); C++11, std::call_once.
 */
SKUA_API intptr_t skua_once_call(skua_once *once, skua_fn fn, void *arg);

/**
 * The same, but waits for other calls until @deadline_ns only. It is no deadline for @fn.
 *
 * Context: as skua_once_call().
 * Cancellation: as skua_once_call().
 * Units: @deadline_ns is absolute, on the clock of skua_now(); SKUA_FOREVER never passes.
 * Returns: as skua_once_call(); -ETIMEDOUT; -ENOMEM if the timer could not be stored.
 */
SKUA_API intptr_t skua_once_call_until(skua_once *once, skua_fn fn, void *arg,
                                       uint64_t deadline_ns);

/**
 * Whether a call has succeeded: skua_once_call() would return its result at once.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: true if one has, and what it has done is visible; false if not, or if @once is NULL.
 */
SKUA_API bool skua_once_done(const skua_once *once);

#ifdef __cplusplus
}
#endif

#endif /* SKUA_ONCE_H */
