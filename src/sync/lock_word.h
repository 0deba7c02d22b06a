/*
 * sync/lock_word.h - the state of an object, the lock of its queue, and whether anybody waits, in
 * one word: what the primitives of this folder but for mutex and channel are made of.
 *
 * STATE  LOCKED   somebody looks at the queue, or changes it. Nobody else writes the word.
 *        WAITED   the queue is not empty. As the lock is released, it is made to say so.
 *        value    what the object counts, in the bits from SKUA_WORD_ONE on.
 *
 *        A fast path is one compare-and-swap from a word that is not LOCKED, and that does not
 *        concern the waiters: from one that is not WAITED either, or to a value that lets none of
 *        them go. Everything else takes the lock.
 *
 * INVARIANTS
 *   L1  While LOCKED is clear, WAITED is set exactly if the queue is not empty.
 *   L2  The release of the lock is the last that its holder does to the object, and whoever waits
 *       returns after it: who is woken by its event looks that the lock is free (skua_word_park).
 *       A value that lets a newcomer go appears only with that release, or with the
 *       compare-and-swap of a fast path, which touches nothing after. So an object may go away as
 *       soon as all those who wait at it have returned, although the one who let them go has not:
 *       it often stands in the frame of the waiter.
 *
 * ORDERING
 *   LOCK   the acquire of the lock, partners UNLOCK and the compare-and-swaps of the fast paths,
 *          which release what they say they do. Between them there are but read-modify-writes,
 *          which continue a release, or a holder of the lock, who has acquired it and releases it
 *          again.
 *   UNLOCK its release, partners LOCK, PASS and the acquires of the fast paths.
 *   PASS   the acquire of skua_word_park(), partner UNLOCK: what the holder did to the object is
 *          over when a waiter takes the object away.
 *
 * PROGRESS  As with any spin lock: the lock is held for a few instructions, longer only by who
 *        wakes many threads at once (wakes.h).
 */
#ifndef SKUA_SRC_LOCK_WORD_H
#define SKUA_SRC_LOCK_WORD_H

#include "sync/wait_queue.h"

#define SKUA_WORD_LOCKED UINT64_C(1)
#define SKUA_WORD_WAITED UINT64_C(2)
#define SKUA_WORD_BUSY (SKUA_WORD_LOCKED | SKUA_WORD_WAITED)
#define SKUA_WORD_ONE UINT64_C(4)
#define SKUA_WORD_SHIFT 2

/* All zero: no value, nobody waits. */
struct skua_lock_word {
    _Atomic uint64_t word;
    struct skua_wait_queue waiters; /* guarded by LOCKED */
};

/* Takes the lock. The value. */
static inline uint64_t skua_word_lock(struct skua_lock_word *lock)
{
    unsigned spins = 0;
    for (;;) {
        /* relaxed: the compare-and-swap verifies */
        uint64_t word = atomic_load_explicit(&lock->word, memory_order_relaxed);
        if (!(word & SKUA_WORD_LOCKED) && /* LOCK. relaxed on failure: nothing is read */
            atomic_compare_exchange_weak_explicit(&lock->word, &word, word | SKUA_WORD_LOCKED,
                                                  memory_order_acquire, memory_order_relaxed))
            return word & ~SKUA_WORD_BUSY;
        skua_spin_wait(&spins);
    }
}

/* Under the lock: the value. */
static inline uint64_t skua_word_value(const struct skua_lock_word *lock)
{
    /* relaxed: only the holder of the lock writes */
    return atomic_load_explicit(&((struct skua_lock_word *)(uintptr_t)lock)->word,
                                memory_order_relaxed) &
           ~SKUA_WORD_BUSY;
}

/* Releases the lock, @value being the new one. The last touch. */
static inline void skua_word_unlock(struct skua_lock_word *lock, uint64_t value)
{
    skua_assert(!(value & SKUA_WORD_BUSY));
    uint64_t waited = skua_wait_queue_empty(&lock->waiters) ? 0 : SKUA_WORD_WAITED; /* L1 */
    atomic_store_explicit(&lock->word, value | waited, memory_order_release);       /* UNLOCK */
}

/* Under the lock: lets everybody go, with @value. */
static inline void skua_word_wake_all(struct skua_lock_word *lock, intptr_t value,
                                      struct skua_wakes *wakes)
{
    struct skua_queued *node;
    while ((node = skua_wait_queue_pop(&lock->waiters)) != NULL) {
        node->value = value;
        skua_queued_wake(node, wakes);
    }
}

/* skua_queue_wait_park_guarded(), and PASS. */
int skua_word_park_guarded(struct skua_queue_wait *wait, struct skua_lock_word *lock,
                           const struct skua_queue_guard *guard, void *object);

/* The same for objects to which it does not matter that a waiter gives up. */
int skua_word_park(struct skua_queue_wait *wait, struct skua_lock_word *lock);

#endif /* SKUA_SRC_LOCK_WORD_H */
