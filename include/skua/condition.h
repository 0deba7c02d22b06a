/*
 * skua/condition.h - waiting, with a mutex, for what somebody else is going to change.
 *
 * Whoever holds the mutex and finds that it cannot go on waits: the mutex is released, and locked
 * again before the wait returns. Whoever changes what is waited for notifies, with the mutex held
 * as a rule. Waiters are notified in the order of their arrival. A wait returns 0 only if it was
 * notified, but others may have held the mutex since, so look again:
 *
 *     skua_mutex_lock(&mutex);
 *     while (queue_is_empty(&queue) && rc == 0)
 *         rc = skua_condition_wait(&condition, &mutex);
 *
 * An object that is zero, or set with its _INIT, is ready for use. It needs no destruction, but
 * must not go away while somebody uses it.
 */
#ifndef SKUA_CONDITION_H
#define SKUA_CONDITION_H

#include <skua/mutex.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct skua_condition {
    uint64_t opaque[3];
} skua_condition;

#define SKUA_CONDITION_INIT                                                                        \
    {                                                                                              \
        {                                                                                          \
            0, 0, 0                                                                                \
        }                                                                                          \
    }

/**
 * Releases @mutex, waits until notified, and locks @mutex again.
 *
 * The release and the beginning of the wait are one step for whoever notifies with the mutex held.
 * The mutex is held by the caller after the wait in every case, and during it if it returns an
 * error at once.
 *
 * Context: any. A task on a worker parks; any other thread blocks.
 * Cancellation: returns -ECANCELED, with the mutex: locking it again is shielded. A notification
 *   that has come beats the cancel, so that none is lost.
 * Returns: 0 if notified; -ECANCELED; -EPERM if @mutex is not locked (then it is not locked after
 *   either); -EINVAL if an argument is NULL; -ECHILD in a forked child.
 * Source: asyncio.Condition.wait; pthread_cond_wait(3).
 */
SKUA_API int skua_condition_wait(skua_condition *condition, skua_mutex *mutex);

/**
 * Releases @mutex, waits until notified or until @deadline_ns, and locks @mutex again, which may
 * take longer.
 *
 * Context: any. A task on a worker parks; any other thread blocks.
 * Cancellation: as skua_condition_wait().
 * Units: @deadline_ns is absolute, on the clock of skua_now(); SKUA_FOREVER never passes.
 * Returns: 0 if notified; -ETIMEDOUT, at once if the deadline has passed; -ECANCELED; -EPERM if
 *   @mutex is not locked (then it is not locked after either); -EINVAL if an argument is NULL;
 *   -ENOMEM if the timer could not be stored; -ECHILD in a forked child.
 * Source: pthread_cond_timedwait(3).
 */
SKUA_API int skua_condition_wait_until(skua_condition *condition, skua_mutex *mutex,
                                       uint64_t deadline_ns);

/**
 * Notifies the @count waiters who have waited longest, or all if there are fewer.
 *
 * Context: any, with the mutex of the waiters held or not; never waits. Without it, whoever is
 *   about to wait may be missed.
 * Cancellation: not a cancellation point.
 * Returns: 0; -EINVAL if @condition is NULL.
 * Source: asyncio.Condition.notify.
 */
SKUA_API int skua_condition_notify(skua_condition *condition, size_t count);

/**
 * Notifies all waiters.
 *
 * Context: as skua_condition_notify().
 * Cancellation: not a cancellation point.
 * Returns: 0; -EINVAL if @condition is NULL.
 * Source: asyncio.Condition.notify_all.
 */
SKUA_API int skua_condition_notify_all(skua_condition *condition);

#ifdef __cplusplus
}
#endif

#endif /* SKUA_CONDITION_H */
