/*
 * sync/mutex.c - a lock that is handed over in order.
 *
 * STATE  0, LOCKED, or LOCKED | WAITED. WAITED means that the queue is, or is about to be, not
 *        empty: then the unlocker comes to the spin lock, and no newcomer can take the mutex.
 *
 *          0 -> LOCKED                       anybody, CAS                  acquire
 *          LOCKED -> 0                       the holder, CAS               release
 *          LOCKED -> LOCKED | WAITED         a waiter, under the spin lock, CAS
 *          LOCKED | WAITED -> LOCKED         the holder that hands over to the last waiter, or a
 *                                            waiter that gives up as the last, under the spin lock
 *
 * INVARIANTS
 *   M1  WAITED is set and cleared under the spin lock, and set whenever the queue is not empty
 *       there. It is set without a waiter only while a select or a give-up has emptied the queue.
 *   M2  A mutex that is handed over stays LOCKED all the time.
 *
 * ORDERING  What one holder wrote the next one sees: by the pair of CAS above, or, handed over, by
 *        the spin lock and the resolve of the waiter (RESOLVE in sched/agent.h).
 *
 *   PASS the acquire of the heir, partner the release of the spin lock: who has handed over touches
 *        the mutex no more when the heir has it, and may take it away.
 *
 * COST   Uncontended, two compare-and-swaps, as with a pthread mutex.
 */
#include "sync/mutex.h"

#include "sync/wait_queue.h"

#include <errno.h>

#define LOCKED 1u
#define WAITED 2u

struct mutex {
    _Atomic uint32_t state;
    struct skua_spin lock;
    struct skua_wait_queue waiters; /* guarded by lock */
};

_Static_assert(sizeof(struct mutex) <= sizeof(skua_mutex), "skua_mutex is its opaque storage");

static struct mutex *mutex_of(skua_mutex *opaque)
{
    return (struct mutex *)(void *)opaque;
}

static SKUA_ALWAYS_INLINE bool try_lock(struct mutex *mutex)
{
    skua_vthread_point();
    uint32_t state = 0;
    /* acquire: partner is the release of unlock. relaxed on failure: nothing is read */
    return atomic_compare_exchange_strong_explicit(&mutex->state, &state, LOCKED,
                                                   memory_order_acquire, memory_order_relaxed);
}

/* Under the spin lock: true if the mutex was free and is now the caller's; else WAITED is set. */
static bool lock_or_mark(struct mutex *mutex)
{
    uint32_t state = atomic_load_explicit(&mutex->state, memory_order_relaxed);
    for (;;) {
        uint32_t to = state == 0 ? LOCKED : state | WAITED;
        /* acquire: as try_lock() */
        if (atomic_compare_exchange_weak_explicit(&mutex->state, &state, to, memory_order_acquire,
                                                  memory_order_relaxed))
            return state == 0;
    }
}

/* A waiter has given up: M1. */
static void unmark(struct mutex *mutex)
{
    skua_spin_lock(&mutex->lock);
    if (skua_wait_queue_empty(&mutex->waiters)) /* relaxed: M1; nothing else changes WAITED */
        atomic_fetch_and_explicit(&mutex->state, ~WAITED, memory_order_relaxed);
    skua_spin_unlock(&mutex->lock);
}

static SKUA_NOINLINE int lock_slow(struct mutex *mutex, bool deaf, uint64_t deadline_ns)
{
    struct skua_queue_wait wait;
    int rc = skua_queue_wait_begin(&wait, SKUA_WAIT_MUTEX, deaf, deadline_ns);
    if (rc < 0)
        return rc;
    skua_spin_lock(&mutex->lock);
    bool mine = lock_or_mark(mutex);
    if (!mine)
        skua_wait_queue_add(&mutex->waiters, &wait.node);
    skua_spin_unlock(&mutex->lock);
    if (mine) {
        skua_queue_wait_abandon(&wait);
        return 0;
    }
    rc = skua_queue_wait_park(&wait, &mutex->waiters, &mutex->lock);
    if (skua_unlikely(rc < 0))
        unmark(mutex);
    else
        skua_spin_until_false(&mutex->lock.locked); /* PASS */
    return rc;
}

/* Somebody waits, or the mutex is not locked. */
static SKUA_NOINLINE int unlock_slow(struct mutex *mutex)
{
    struct skua_wakes wakes;
    skua_wakes_init(&wakes);
    int rc = 0;
    skua_spin_lock(&mutex->lock);
    uint32_t state = atomic_load_explicit(&mutex->state, memory_order_relaxed);
    struct skua_queued *heir = NULL;
    if (!(state & LOCKED))
        rc = -EPERM;
    else
        heir = skua_wait_queue_pop(&mutex->waiters);
    if (heir != NULL && skua_wait_queue_empty(&mutex->waiters))
        atomic_store_explicit(&mutex->state, LOCKED, memory_order_relaxed); /* relaxed: M2 */
    else if (heir == NULL && rc == 0) /* release: partner try_lock() */
        atomic_store_explicit(&mutex->state, 0, memory_order_release);
    if (heir != NULL)
        skua_queued_wake(heir, &wakes);
    skua_spin_unlock(&mutex->lock);
    skua_wakes_flush(&wakes);
    return rc;
}

int skua_mutex_lock(skua_mutex *opaque)
{
    return skua_mutex_lock_until(opaque, SKUA_FOREVER);
}

int skua_mutex_lock_until(skua_mutex *opaque, uint64_t deadline_ns)
{
    struct mutex *mutex = mutex_of(opaque);
    if (skua_unlikely(mutex == NULL))
        return -EINVAL;
    return skua_likely(try_lock(mutex)) ? 0 : lock_slow(mutex, false, deadline_ns);
}

void skua_mutex_lock_shielded(skua_mutex *opaque)
{
    struct mutex *mutex = mutex_of(opaque);
    if (!try_lock(mutex))
        (void)lock_slow(mutex, true, SKUA_FOREVER); /* fails in a forked child only */
}

int skua_mutex_try_lock(skua_mutex *opaque)
{
    struct mutex *mutex = mutex_of(opaque);
    if (skua_unlikely(mutex == NULL))
        return -EINVAL;
    return try_lock(mutex) ? 0 : -EBUSY;
}

int skua_mutex_unlock(skua_mutex *opaque)
{
    skua_vthread_point();
    struct mutex *mutex = mutex_of(opaque);
    uint32_t state = LOCKED;
    if (skua_unlikely(mutex == NULL))
        return -EINVAL;
    /* release: partner try_lock(). relaxed on failure: unlock_slow() looks again */
    if (skua_likely(atomic_compare_exchange_strong_explicit(
            &mutex->state, &state, 0, memory_order_release, memory_order_relaxed)))
        return 0;
    return unlock_slow(mutex);
}

bool skua_mutex_locked(const skua_mutex *opaque)
{
    /* relaxed: a guess */
    return opaque != NULL &&
           atomic_load_explicit(&((const struct mutex *)(const void *)opaque)->state,
                                memory_order_relaxed) != 0;
}
