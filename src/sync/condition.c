/*
 * sync/condition.c - condition variables.
 *
 * STATE  The lock word has no value: there is only the queue.
 *
 * INVARIANTS
 *   V1  A waiter is queued before it releases the mutex. So whoever takes the mutex after finds it.
 *   V2  A notification is handed to a waiter who is queued: it neither comes early nor is lost with
 *       a waiter that gives up.
 *
 * ORDERING
 *   LOOK   a notify's load of the word may be relaxed: whoever notifies with the mutex held, or has
 *          held it, comes after the waiter's add by the order of the mutex (its unlock and lock),
 *          and therefore sees WAITED, or that the waiter has left the queue. Who never held it has
 *          no claim to find anybody.
 *   LOCK, UNLOCK and PASS are lock_word.h's. What the notifier has written is visible to the waiter
 *   by the resolve of its wait (RESOLVE in sched/agent.h), and by the mutex.
 */
#include "sync/lock_word.h"
#include "sync/mutex.h"

#include <skua/condition.h>

#include <errno.h>

struct condition {
    struct skua_lock_word lock;
};

_Static_assert(sizeof(struct condition) == sizeof(skua_condition),
               "skua_condition is its opaque storage");

static struct condition *condition_of(skua_condition *opaque)
{
    return (struct condition *)(void *)opaque;
}

int skua_condition_wait(skua_condition *opaque, skua_mutex *mutex)
{
    return skua_condition_wait_until(opaque, mutex, SKUA_FOREVER);
}

int skua_condition_wait_until(skua_condition *opaque, skua_mutex *mutex, uint64_t deadline_ns)
{
    struct condition *condition = condition_of(opaque);
    struct skua_queue_wait wait;
    if (condition == NULL || mutex == NULL)
        return -EINVAL;
    if (!skua_mutex_locked(mutex))
        return -EPERM;
    int rc = skua_queue_wait_begin(&wait, SKUA_WAIT_CONDITION, false, deadline_ns);
    if (rc < 0)
        return rc;
    (void)skua_word_lock(&condition->lock);
    skua_wait_queue_add(&condition->lock.waiters, &wait.node); /* V1 */
    skua_word_unlock(&condition->lock, 0);
    (void)skua_mutex_unlock(mutex); /* it does not wait, which it must not here */
    rc = skua_word_park(&wait, &condition->lock);
    skua_mutex_lock_shielded(mutex);
    return rc;
}

int skua_condition_notify(skua_condition *opaque, size_t count)
{
    struct condition *condition = condition_of(opaque);
    if (condition == NULL)
        return -EINVAL;
    if (atomic_load_explicit(&condition->lock.word, memory_order_relaxed) == 0) /* LOOK */
        return 0;
    struct skua_wakes wakes;
    skua_wakes_init(&wakes);
    (void)skua_word_lock(&condition->lock);
    struct skua_queued *node;
    for (size_t i = 0; i < count; i++) {
        if ((node = skua_wait_queue_pop(&condition->lock.waiters)) == NULL)
            break;
        skua_queued_wake(node, &wakes);
    }
    skua_word_unlock(&condition->lock, 0);
    skua_wakes_flush(&wakes);
    return 0;
}

int skua_condition_notify_all(skua_condition *opaque)
{
    return skua_condition_notify(opaque, SIZE_MAX);
}
