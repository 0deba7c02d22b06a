/*
 * skua/rwlock.h - many readers or one writer, for tasks and threads alike.
 *
 * A task that waits for a lock parks, and its worker runs others; a thread blocks. Locks are
 * granted in the order in which they were asked for, and handed over: a reader queues up behind a
 * writer who waits, so neither side can starve the other; readers who stand next to each other go
 * together. A lock may be held across a wait, and released by another task than the one that took
 * it. It is not recursive: who holds a lock and asks for another one, even to read, waits for ever
 * if a writer has come between.
 *
 * An object that is zero, or set with its _INIT, is ready for use. It needs no destruction, but
 * must not go away while somebody uses it.
 */
#ifndef SKUA_RWLOCK_H
#define SKUA_RWLOCK_H

#include <skua/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct skua_rwlock {
    uint64_t opaque[3];
} skua_rwlock;

#define SKUA_RWLOCK_INIT                                                                           \
    {                                                                                              \
        {                                                                                          \
            0, 0, 0                                                                                \
        }                                                                                          \
    }

/**
 * Locks @rwlock for reading, waiting as long as it takes.
 *
 * Context: any. A task on a worker parks; any other thread blocks.
 * Cancellation: a wait returns -ECANCELED, without the lock. A lock that is free, or has been
 *   handed over, beats the cancel.
 * Returns: 0 with the lock; -ECANCELED; -EINVAL if @rwlock is NULL; -ECHILD in a forked child.
 * Source: pthread_rwlock_rdlock(3p).
 */
SKUA_API int skua_rwlock_read_lock(skua_rwlock *rwlock);

/**
 * Locks @rwlock for reading, waiting until @deadline_ns.
 *
 * Context: any. A task on a worker parks; any other thread blocks.
 * Cancellation: as skua_rwlock_read_lock().
 * Units: @deadline_ns is absolute, on the clock of skua_now(); SKUA_FOREVER never passes.
 * Returns: 0 with the lock; -ETIMEDOUT; -ECANCELED; -EINVAL if @rwlock is NULL; -ENOMEM if the
 *   timer could not be stored; -ECHILD in a forked child.
 */
SKUA_API int skua_rwlock_read_lock_until(skua_rwlock *rwlock, uint64_t deadline_ns);

/**
 * Locks @rwlock for reading if that needs no wait.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0 with the lock; -EBUSY if a writer holds it or waits; -EINVAL if @rwlock is NULL.
 */
SKUA_API int skua_rwlock_try_read_lock(skua_rwlock *rwlock);

/**
 * Releases a lock for reading. The last reader hands over to the writer who waits.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0; -EPERM if nobody holds it for reading; -EINVAL if @rwlock is NULL.
 */
SKUA_API int skua_rwlock_read_unlock(skua_rwlock *rwlock);

/**
 * Locks @rwlock for writing, waiting as long as it takes.
 *
 * Context: any. A task on a worker parks; any other thread blocks.
 * Cancellation: as skua_rwlock_read_lock(). If it gives up, readers behind it need not wait for it.
 * Returns: 0 with the lock; -ECANCELED; -EINVAL if @rwlock is NULL; -ECHILD in a forked child.
 * Source: pthread_rwlock_wrlock(3p).
 */
SKUA_API int skua_rwlock_write_lock(skua_rwlock *rwlock);

/**
 * Locks @rwlock for writing, waiting until @deadline_ns.
 *
 * Context: any. A task on a worker parks; any other thread blocks.
 * Cancellation: as skua_rwlock_write_lock().
 * Units: @deadline_ns is absolute, on the clock of skua_now(); SKUA_FOREVER never passes.
 * Returns: 0 with the lock; -ETIMEDOUT; -ECANCELED; -EINVAL if @rwlock is NULL; -ENOMEM if the
 *   timer could not be stored; -ECHILD in a forked child.
 */
SKUA_API int skua_rwlock_write_lock_until(skua_rwlock *rwlock, uint64_t deadline_ns);

/**
 * Locks @rwlock for writing if that needs no wait.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0 with the lock; -EBUSY if anybody holds it; -EINVAL if @rwlock is NULL.
 */
SKUA_API int skua_rwlock_try_write_lock(skua_rwlock *rwlock);

/**
 * Releases a lock for writing: hands it to the one who has waited longest, and if that is a reader,
 * to the readers that stand next to it as well.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0; -EPERM if nobody holds it for writing; -EINVAL if @rwlock is NULL.
 */
SKUA_API int skua_rwlock_write_unlock(skua_rwlock *rwlock);

#ifdef __cplusplus
}
#endif

#endif /* SKUA_RWLOCK_H */
