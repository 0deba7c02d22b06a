/*
 * skua/mutex.h - mutual exclusion for tasks and threads alike.
 *
 * A task that waits for a mutex parks, and its worker runs others; a thread blocks. Locks are
 * granted in the order in which they were asked for, and handed over: whoever unlocks a mutex that
 * somebody waits for gives it to the one who has waited longest, so nobody starves and nobody
 * overtakes. Unlike a pthread mutex it may be held across a wait, and unlocked by another task than
 * the one that locked it; like asyncio's it is not recursive and knows no owner.
 *
 * An object that is zero, or set with its _INIT, is ready for use. It needs no destruction, but
 * must not go away while somebody uses it.
 */
#ifndef SKUA_MUTEX_H
#define SKUA_MUTEX_H

#include <skua/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct skua_mutex {
    uint64_t opaque[3];
} skua_mutex;

#define SKUA_MUTEX_INIT                                                                            \
    {                                                                                              \
        {                                                                                          \
            0, 0, 0                                                                                \
        }                                                                                          \
    }

/**
 * Locks @mutex, waiting as long as it takes.
 *
 * Context: any. A task on a worker parks; any other thread blocks.
 * Cancellation: a wait returns -ECANCELED, without the lock. A lock that is free, or has been
 *   handed over, beats the cancel.
 * Returns: 0 with the lock; -ECANCELED; -EINVAL if @mutex is NULL; -ECHILD in a forked child.
 * Source: asyncio.Lock.acquire; pthread_mutex_lock(3).
 */
SKUA_API int skua_mutex_lock(skua_mutex *mutex);

/**
 * Locks @mutex, waiting until @deadline_ns.
 *
 * Context: any. A task on a worker parks; any other thread blocks.
 * Cancellation: as skua_mutex_lock().
 * Units: @deadline_ns is absolute, on the clock of skua_now(); SKUA_FOREVER never passes.
 * Returns: 0 with the lock; -ETIMEDOUT; -ECANCELED; -EINVAL if @mutex is NULL; -ENOMEM if the timer
 *   could not be stored; -ECHILD in a forked child.
 * Source: pthread_mutex_timedlock(3).
 */
SKUA_API int skua_mutex_lock_until(skua_mutex *mutex, uint64_t deadline_ns);

/**
 * Locks @mutex if that needs no wait.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0 with the lock; -EBUSY if it is locked; -EINVAL if @mutex is NULL.
 */
SKUA_API int skua_mutex_try_lock(skua_mutex *mutex);

/**
 * Unlocks @mutex: hands it to the one who has waited longest, if anybody waits.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0; -EPERM if it is not locked; -EINVAL if @mutex is NULL.
 * Source: asyncio.Lock.release.
 */
SKUA_API int skua_mutex_unlock(skua_mutex *mutex);

/**
 * Whether somebody holds @mutex, which may have changed by the time the caller looks at the answer.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: true if it is locked; false if not, or if @mutex is NULL.
 */
SKUA_API bool skua_mutex_locked(const skua_mutex *mutex);

#ifdef __cplusplus
}
#endif

#endif /* SKUA_MUTEX_H */
