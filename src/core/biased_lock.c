/*
 * core/biased_lock.c - see biased_lock.h.
 */
#include "core/biased_lock.h"

#define PAUSE_MIN 8u
#define PAUSE_MAX 256u

/* Under the lock: waits until the owner is out, and will come by the lock from now on. */
static SKUA_NOINLINE void take_bias_away(struct skua_biased_lock *lock, void (*barrier)(void))
{
    /* relaxed, both: written under the lock */
    const void *owner = atomic_load_explicit(&lock->owner, memory_order_relaxed);
    atomic_store_explicit(&lock->former, owner, memory_order_relaxed);
    atomic_store_explicit(&lock->owner, NULL, memory_order_relaxed); /* [enter] */
    barrier();
    skua_spin_until_false(&lock->busy); /* [leave] */
    if (lock->losses < SKUA_BIAS_LOSSES_MAX)
        lock->losses++;
}

/*
 * Who finds it taken stays away for a while, and longer each time: meanwhile the holder does many
 * of its short sections in a row, all in its own cache. Two workers that take turns at each section
 * would fetch the same lines from one another every time.
 */
static SKUA_ALWAYS_INLINE void lock_patiently(struct skua_spin *lock)
{
    unsigned pause = PAUSE_MIN;
    while (skua_unlikely(!skua_spin_try_lock(lock))) {
        for (unsigned i = 0; i < pause; i++)
            skua_cpu_relax();
        if (pause < PAUSE_MAX)
            pause *= 2;
        else
            skua_spin_give_way();
    }
}

/* Under the lock: whether @self may become the owner. */
static bool may_own(struct skua_biased_lock *lock, const void *self)
{
    const void *former = atomic_load_explicit(&lock->former, memory_order_relaxed);
    if (former == self) /* here it is */
        atomic_store_explicit(&lock->former, NULL, memory_order_relaxed);
    return former == NULL || former == self;
}

void skua_biased_lock_slow(struct skua_biased_lock *lock, const void *self, void (*barrier)(void))
{
    lock_patiently(&lock->lock);
    /* relaxed, here and below: written under the lock */
    if (skua_unlikely(atomic_load_explicit(&lock->owner, memory_order_relaxed) != NULL))
        take_bias_away(lock, barrier);
    bool free = may_own(lock, self);
    if (lock->last != self || self == NULL) {
        lock->last = self;
        lock->entries = 0;
    } else if (++lock->entries >= SKUA_BIAS_ENTRIES << lock->losses && barrier != NULL && free) {
        lock->entries = 0;
        atomic_store_explicit(&lock->owner, self, memory_order_relaxed); /* [bias] */
    }
}
