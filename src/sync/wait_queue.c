/*
 * sync/wait_queue.c - see wait_queue.h.
 */
#include "sync/wait_queue.h"

#include "sched/runtime_impl.h"

#include <skua/time.h>

#include <errno.h>

/* Who waits until a time that has passed, again and again, must not keep those who are ready. */
static void give_way(struct skua_thread *thread)
{
    if (thread != NULL && thread->worker != NULL && thread->task != NULL)
        skua_thread_leave(thread, SKUA_POST_YIELD);
}

int skua_queue_wait_begin(struct skua_queue_wait *wait, enum skua_wait_kind kind, bool deaf,
                          uint64_t deadline_ns)
{
    struct skua_thread *thread = skua_thread_self();
    if (skua_unlikely(thread != NULL && thread->forked))
        return -ECHILD;
    if (!deaf && skua_unlikely(skua_wait_cancelled()))
        return -ECANCELED;
    if (deadline_ns != SKUA_FOREVER && deadline_ns <= skua_now()) {
        give_way(thread);
        return -ETIMEDOUT;
    }
    wait->deadline_ns = deadline_ns;
    wait->kind = kind;
    wait->deaf = deaf;
    int rc = skua_wait_begin(&wait->wait, kind, deaf, deadline_ns);
    if (skua_unlikely(rc < 0))
        return rc;
    wait->node.agent = wait->wait.agent;
    wait->node.race = NULL;
    wait->node.queued = false;
    return 0;
}

void skua_queue_wait_abandon(struct skua_queue_wait *wait)
{
    (void)skua_wait_abandon(&wait->wait);
}

/* Q2: takes the node out. False: it has been handed something. */
static bool leave(struct skua_queue_wait *wait, struct skua_wait_queue *queue,
                  const struct skua_queue_guard *guard, void *object)
{
    bool token = guard->lock(object);
    bool queued = wait->node.queued;
    if (queued)
        skua_wait_queue_remove(queue, &wait->node);
    guard->unlock(object, token);
    return queued;
}

/* The wait is announced again, the node still being in its queue. False: no need to park. */
static bool begin_again(struct skua_queue_wait *wait, struct skua_wait_queue *queue,
                        const struct skua_queue_guard *guard, void *object, int *rc)
{
    *rc = skua_wait_begin(&wait->wait, wait->kind, wait->deaf, wait->deadline_ns);
    if (*rc < 0) {
        if (!leave(wait, queue, guard, object))
            *rc = 0;
        return false;
    }
    bool token = guard->lock(object);
    bool queued = wait->node.queued;
    guard->unlock(object, token);
    if (!queued)
        (void)skua_wait_abandon(&wait->wait);
    return queued;
}

int skua_queue_wait_park_guarded(struct skua_queue_wait *wait, struct skua_wait_queue *queue,
                                 const struct skua_queue_guard *guard, void *object)
{
    for (;;) {
        int rc;
        if (!wait->deaf && skua_unlikely(skua_wait_cancelled())) {
            rc = leave(wait, queue, guard, object) ? -ECANCELED : 0;
            (void)skua_wait_abandon(&wait->wait);
            return rc;
        }
        enum skua_reason reason = skua_wait_park(&wait->wait);
        if (skua_likely(reason == SKUA_REASON_EVENT))
            return 0; /* Q3 */
        if (reason == SKUA_REASON_TIMEOUT)
            return leave(wait, queue, guard, object) ? -ETIMEDOUT : 0;
        /* An interrupt: for a reason, which the next round finds, or late (I3 in agent.h). */
        if (!begin_again(wait, queue, guard, object, &rc))
            return rc;
    }
}

static bool lock_spin(void *lock)
{
    skua_spin_lock(lock);
    return false;
}

static void unlock_spin(void *lock, bool token)
{
    (void)token;
    skua_spin_unlock(lock);
}

int skua_queue_wait_park(struct skua_queue_wait *wait, struct skua_wait_queue *queue,
                         struct skua_spin *lock)
{
    static const struct skua_queue_guard guard = {lock_spin, unlock_spin};
    return skua_queue_wait_park_guarded(wait, queue, &guard, lock);
}
