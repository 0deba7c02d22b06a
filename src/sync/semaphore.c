/*
 * sync/semaphore.c - permits that are handed over in order.
 *
 * STATE  The value of the lock word is the number of free permits.
 *
 *          n > 0 -> n - 1     a newcomer, CAS from a word that is not BUSY
 *          n -> n + 1         a release while nobody waits, CAS from a word that is not BUSY
 *          0 | WAITED         a release hands its permit to the first waiter, under the lock; the
 *                             number of free permits stays 0
 *
 * INVARIANTS
 *   S1  Nobody waits while a permit is free. So nobody who gives up lets another one go.
 *   S2  The number of free permits does not exceed the limit. A release is refused that would.
 *
 * ORDERING
 *   GIVE   the compare-and-swap of a release, release, partners TAKE and LOCK: what was done before
 *          a permit was given back is visible to whoever takes it. A permit that is handed over is
 *          ordered by the lock and the resolve of the waiter (RESOLVE in sched/agent.h).
 *   TAKE   that of an acquire, acquire, partners GIVE and UNLOCK.
 *   LOCK, UNLOCK and PASS are lock_word.h's.
 *
 * COST   Uncontended, two compare-and-swaps, as with the mutex.
 */
#include "sync/lock_word.h"

#include <skua/semaphore.h>

#include <errno.h>

#define ONE SKUA_WORD_ONE

struct semaphore {
    struct skua_lock_word lock;
    uint64_t not_limit; /* constant: the complement of the largest value, so that zero is none */
};

_Static_assert(sizeof(struct semaphore) == sizeof(skua_semaphore),
               "skua_semaphore is its opaque storage");
_Static_assert(SKUA_WORD_SHIFT == 2, "SKUA_SEMAPHORE_INIT knows the place of the value");

static struct semaphore *semaphore_of(skua_semaphore *opaque)
{
    return (struct semaphore *)(void *)opaque;
}

/* Takes a permit: 0. -EAGAIN: there is none. -EBUSY: only who has the lock can tell. */
static SKUA_ALWAYS_INLINE int try_take(struct semaphore *semaphore)
{
    skua_vthread_point();
    /* relaxed: the compare-and-swap verifies */
    uint64_t word = atomic_load_explicit(&semaphore->lock.word, memory_order_relaxed);
    while (word >= ONE && !(word & SKUA_WORD_BUSY)) {
        /* TAKE. relaxed on failure: nothing is read */
        if (skua_likely(atomic_compare_exchange_weak_explicit(&semaphore->lock.word, &word,
                                                              word - ONE, memory_order_acquire,
                                                              memory_order_relaxed)))
            return 0;
    }
    return word & SKUA_WORD_LOCKED ? -EBUSY : -EAGAIN; /* S1 */
}

static SKUA_NOINLINE int acquire_slow(struct semaphore *semaphore, uint64_t deadline_ns)
{
    struct skua_queue_wait wait;
    int begun = skua_queue_wait_begin(&wait, SKUA_WAIT_SEMAPHORE, false, deadline_ns);
    if (begun == -ECHILD)
        return begun;
    uint64_t value = skua_word_lock(&semaphore->lock);
    bool mine = value >= ONE;
    if (mine)
        value -= ONE;
    else if (begun == 0)
        skua_wait_queue_add(&semaphore->lock.waiters, &wait.node);
    skua_word_unlock(&semaphore->lock, value);
    if (mine && begun == 0)
        skua_queue_wait_abandon(&wait);
    if (mine)
        return 0;
    return begun < 0 ? begun : skua_word_park(&wait, &semaphore->lock);
}

/* Somebody waits, or has the lock. */
static SKUA_NOINLINE int release_slow(struct semaphore *semaphore)
{
    struct skua_wakes wakes;
    skua_wakes_init(&wakes);
    int rc = 0;
    struct skua_queued *heir = NULL;
    uint64_t value = skua_word_lock(&semaphore->lock);
    if (value >= ~semaphore->not_limit)
        rc = -EOVERFLOW;
    else
        heir = skua_wait_queue_pop(&semaphore->lock.waiters);
    skua_assert(heir == NULL || value == 0); /* S1 */
    if (heir != NULL)
        skua_queued_wake(heir, &wakes);
    else if (rc == 0)
        value += ONE;
    skua_word_unlock(&semaphore->lock, value);
    skua_wakes_flush(&wakes);
    return rc;
}

static SKUA_ALWAYS_INLINE int acquire_until(skua_semaphore *opaque, uint64_t deadline_ns)
{
    struct semaphore *semaphore = semaphore_of(opaque);
    if (skua_unlikely(semaphore == NULL))
        return -EINVAL;
    return skua_likely(try_take(semaphore) == 0) ? 0 : acquire_slow(semaphore, deadline_ns);
}

int skua_semaphore_acquire(skua_semaphore *opaque)
{
    return acquire_until(opaque, SKUA_FOREVER);
}

int skua_semaphore_acquire_until(skua_semaphore *opaque, uint64_t deadline_ns)
{
    return acquire_until(opaque, deadline_ns);
}

int skua_semaphore_try_acquire(skua_semaphore *opaque)
{
    struct semaphore *semaphore = semaphore_of(opaque);
    if (skua_unlikely(semaphore == NULL))
        return -EINVAL;
    int rc = try_take(semaphore);
    if (skua_likely(rc != -EBUSY))
        return rc;
    uint64_t value = skua_word_lock(&semaphore->lock);
    bool mine = value >= ONE;
    skua_word_unlock(&semaphore->lock, mine ? value - ONE : value);
    return mine ? 0 : -EAGAIN;
}

int skua_semaphore_release(skua_semaphore *opaque)
{
    skua_vthread_point();
    struct semaphore *semaphore = semaphore_of(opaque);
    if (skua_unlikely(semaphore == NULL))
        return -EINVAL;
    /* relaxed: the compare-and-swap verifies */
    uint64_t word = atomic_load_explicit(&semaphore->lock.word, memory_order_relaxed);
    while (skua_likely(!(word & SKUA_WORD_BUSY))) {
        if (skua_unlikely(word >= ~semaphore->not_limit))
            return -EOVERFLOW;
        /* GIVE. relaxed on failure: nothing is read */
        if (skua_likely(atomic_compare_exchange_weak_explicit(&semaphore->lock.word, &word,
                                                              word + ONE, memory_order_release,
                                                              memory_order_relaxed)))
            return 0;
    }
    return release_slow(semaphore);
}

uint64_t skua_semaphore_value(const skua_semaphore *opaque)
{
    if (opaque == NULL)
        return 0;
    const struct semaphore *semaphore = (const struct semaphore *)(const void *)opaque;
    /* relaxed: a guess */
    return atomic_load_explicit(&semaphore->lock.word, memory_order_relaxed) >> SKUA_WORD_SHIFT;
}
