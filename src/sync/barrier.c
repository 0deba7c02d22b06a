/*
 * sync/barrier.c - a barrier with the semantics of asyncio's (CPython 3.11, Lib/asyncio/locks.py).
 *
 * STATE  The value of the lock word is BROKEN, or the number of those who wait times ARRIVAL;
 *        changed under the lock only.
 *
 *          n -> n + 1           one comes, and is not the last
 *          n -> n - 1           one gives up
 *          parties - 1 -> 0     the last one comes: everybody goes, with the index of its arrival
 *          any -> 0             a reset: everybody goes, with -EPIPE
 *          any -> BROKEN        an abort: the same
 *
 * asyncio has two more states, for the time in which those who have been woken leave: a coroutine
 * that is woken looks at the state again. Here what has come of a wait is handed over with it.
 *
 * INVARIANTS
 *   B1  The number of those who wait is the length of the queue. So a waiter that gives up is
 *       taken off in the same hold of the lock in which it leaves the queue (guard_unlock), and has
 *       no other to let go: the count only falls.
 *   B2  node.value is the index while a waiter is queued; a reset or an abort makes it -EPIPE.
 *
 * ORDERING  LOCK, UNLOCK and PASS are lock_word.h's. What each party did before its arrival is
 *        visible to all after: by the lock to the last one, by its resolves (RESOLVE in
 *        sched/agent.h) to the others.
 */
#include "sync/lock_word.h"

#include <skua/barrier.h>

#include <errno.h>
#include <limits.h>

#define BROKEN SKUA_WORD_ONE
#define ARRIVAL_SHIFT (SKUA_WORD_SHIFT + 1)
#define ARRIVAL (UINT64_C(1) << ARRIVAL_SHIFT)

struct barrier {
    struct skua_lock_word lock;
    uint64_t parties; /* constant */
};

_Static_assert(sizeof(struct barrier) == sizeof(skua_barrier),
               "skua_barrier is its opaque storage");

/* A wait, as the guard of its queue knows it. */
struct place {
    struct skua_queue_wait wait;
    struct barrier *barrier;
};

/* NULL if it is none. */
static struct barrier *barrier_of(skua_barrier *opaque)
{
    struct barrier *barrier = (struct barrier *)(void *)opaque;
    bool usable = barrier != NULL && barrier->parties != 0 && barrier->parties <= INT_MAX;
    return usable ? barrier : NULL;
}

/* The token: whether it was queued. */
static bool guard_lock(void *object)
{
    struct place *place = object;
    (void)skua_word_lock(&place->barrier->lock);
    return place->wait.node.queued;
}

static void guard_unlock(void *object, bool was_queued)
{
    struct place *place = object;
    uint64_t value = skua_word_value(&place->barrier->lock);
    if (was_queued && !place->wait.node.queued)
        value -= ARRIVAL; /* B1 */
    skua_word_unlock(&place->barrier->lock, value);
}

/* Under the lock, to its release: lets everybody go with the index of its arrival. */
static void release_all(struct barrier *barrier)
{
    struct skua_wakes wakes;
    skua_wakes_init(&wakes);
    struct skua_queued *node;
    while ((node = skua_wait_queue_pop(&barrier->lock.waiters)) != NULL)
        skua_queued_wake(node, &wakes);
    skua_word_unlock(&barrier->lock, 0);
    skua_wakes_flush(&wakes);
}

/* One comes. The index of its arrival if all are here; -EAGAIN: it is queued; or an error. */
static int arrive(struct barrier *barrier, struct skua_queue_wait *wait, int begun)
{
    uint64_t value = skua_word_lock(&barrier->lock);
    uint64_t index = value >> ARRIVAL_SHIFT;
    if (!(value & BROKEN) && index + 1 == barrier->parties) {
        release_all(barrier);
        return (int)index;
    }
    int rc = value & BROKEN ? -EPIPE : begun < 0 ? begun : -EAGAIN;
    if (rc == -EAGAIN) {
        wait->node.value = (intptr_t)index;
        skua_wait_queue_add(&barrier->lock.waiters, &wait->node);
        value += ARRIVAL;
    }
    skua_word_unlock(&barrier->lock, value);
    return rc;
}

int skua_barrier_init(skua_barrier *opaque, unsigned parties)
{
    if (opaque == NULL || parties == 0 || parties > INT_MAX)
        return -EINVAL;
    *opaque = (skua_barrier)SKUA_BARRIER_INIT(parties);
    return 0;
}

int skua_barrier_wait(skua_barrier *opaque)
{
    return skua_barrier_wait_until(opaque, SKUA_FOREVER);
}

int skua_barrier_wait_until(skua_barrier *opaque, uint64_t deadline_ns)
{
    static const struct skua_queue_guard guard = {guard_lock, guard_unlock};
    struct place place;
    place.barrier = barrier_of(opaque);
    if (place.barrier == NULL)
        return -EINVAL;
    int begun = skua_queue_wait_begin(&place.wait, SKUA_WAIT_BARRIER, false, deadline_ns);
    if (begun == -ECHILD)
        return begun;
    int rc = arrive(place.barrier, &place.wait, begun);
    if (rc != -EAGAIN) {
        if (begun == 0)
            skua_queue_wait_abandon(&place.wait);
        return rc;
    }
    rc = skua_word_park_guarded(&place.wait, &place.barrier->lock, &guard, &place);
    return rc < 0 ? rc : (int)place.wait.node.value;
}

/* Everybody goes with -EPIPE, and the barrier has @value. */
static int interrupt_all(struct barrier *barrier, uint64_t value)
{
    if (barrier == NULL)
        return -EINVAL;
    struct skua_wakes wakes;
    skua_wakes_init(&wakes);
    (void)skua_word_lock(&barrier->lock);
    skua_word_wake_all(&barrier->lock, -EPIPE, &wakes);
    skua_word_unlock(&barrier->lock, value);
    skua_wakes_flush(&wakes);
    return 0;
}

int skua_barrier_reset(skua_barrier *opaque)
{
    return interrupt_all(barrier_of(opaque), 0);
}

int skua_barrier_abort(skua_barrier *opaque)
{
    return interrupt_all(barrier_of(opaque), BROKEN);
}

/* The word, for a guess. */
static uint64_t peek(const skua_barrier *opaque)
{
    if (opaque == NULL)
        return 0;
    const struct barrier *barrier = (const struct barrier *)(const void *)opaque;
    return atomic_load_explicit(&barrier->lock.word, memory_order_relaxed); /* relaxed: a guess */
}

unsigned skua_barrier_waiting(const skua_barrier *opaque)
{
    return (unsigned)(peek(opaque) >> ARRIVAL_SHIFT);
}

bool skua_barrier_broken(const skua_barrier *opaque)
{
    return (peek(opaque) & BROKEN) != 0;
}
