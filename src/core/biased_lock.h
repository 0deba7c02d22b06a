/*
 * core/biased_lock.h - a spin lock that costs its most frequent user no atomic operation.
 *
 * WHAT   A lock most of whose users run on one worker, as when both ends of a channel do, is biased
 *        towards that worker: it enters by two plain stores. Anybody else first takes the bias
 *        away, which costs a membarrier, some microseconds; then it is a spin lock, until one
 *        worker has been alone with it for long. Each time that takes twice as long.
 *
 * STATE  owner   NULL, or who may enter without the lock
 *        busy    the owner is inside, or is looking whether it may be
 *        lock    held by everybody else; and to change owner
 *        former  whose bias has been taken away, until it comes by the lock: it may have looked at
 *                owner when it still was one, and been preempted. It will say that it is busy, look
 *                again, and take that back. If somebody else were the owner by then, it would take
 *                back what that one has said. So nobody else is, until it has been seen.
 *
 * ORDERING
 *   [enter]   owner: busy = true, then load owner. Others, under the lock: owner = NULL, then load
 *             busy. Store-load on both sides; membarrier is the fence for both. Either the owner
 *             sees that it is none any more, or the other one sees that it is busy, and waits.
 *   [leave]   owner: busy = false, release; partner the acquire of who waits for it: what the owner
 *             has done inside is visible.
 *   [bias]    owner is set by its new owner, under the lock. So whoever enters by it has seen all
 *             that was done under the lock before.
 *
 * This is the one spin lock that is held across a system call: nobody could use it meanwhile
 * anyway.
 *
 * SEE    D. Dice, M. Moir, W. Scherer, Quickly reacquirable locks (2003).
 * TESTS  tests/model/biased_lock_model.c, tests/api/channel_test.cc
 */
#ifndef SKUA_SRC_BIASED_LOCK_H
#define SKUA_SRC_BIASED_LOCK_H

#include "base/compiler.h"
#include "base/spin.h"

#include <stdint.h>

/* So many entries in a row make a worker the owner; the double after each time it was wrong. */
#define SKUA_BIAS_ENTRIES 256u
#define SKUA_BIAS_LOSSES_MAX 12u

/* All zero: free, unbiased. */
struct skua_biased_lock {
    _Atomic(const void *) owner;
    _Atomic bool busy;
    struct skua_spin lock;
    _Atomic(const void *) former; /* guarded by lock; atomic for the model, which rolls it back */
    uint8_t losses;               /* guarded by lock: how often the bias has been taken away */
    uint32_t entries;             /* guarded by lock: in a row by last */
    const void *last;             /* guarded by lock */
};

/* For skua_biased_lock() only. @barrier is NULL if there is none: then there is no bias. */
void skua_biased_lock_slow(struct skua_biased_lock *lock, const void *self, void (*barrier)(void));

/*
 * @self stands for the calling worker; NULL for other threads. Returns what the unlock is to be
 * told. No switch in between.
 */
static SKUA_ALWAYS_INLINE bool skua_biased_lock(struct skua_biased_lock *lock, const void *self,
                                                void (*barrier)(void))
{
    /* relaxed, twice: only @self makes itself owner */
    if (skua_likely(atomic_load_explicit(&lock->owner, memory_order_relaxed) == self &&
                    self != NULL)) {
        atomic_store_explicit(&lock->busy, true, memory_order_relaxed); /* [enter] */
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
        if (skua_likely(atomic_load_explicit(&lock->owner, memory_order_relaxed) == self))
            return true;
        atomic_store_explicit(&lock->busy, false, memory_order_release); /* [leave] */
    }
    skua_biased_lock_slow(lock, self, barrier);
    return false;
}

static SKUA_ALWAYS_INLINE void skua_biased_unlock(struct skua_biased_lock *lock, bool biased)
{
    if (skua_likely(biased))
        atomic_store_explicit(&lock->busy, false, memory_order_release); /* [leave] */
    else
        skua_spin_unlock(&lock->lock);
}

#endif /* SKUA_SRC_BIASED_LOCK_H */
