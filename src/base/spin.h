/*
 * base/spin.h - a lock for a few instructions that almost nobody contends for.
 *
 * Held never across a system call, a switch or a callback. A waiter spins a little, then yields the
 * CPU, because the holder may have been preempted. Not recursive.
 */
#ifndef SKUA_SRC_SPIN_H
#define SKUA_SRC_SPIN_H

#include "base/compiler.h"

#include <stdatomic.h>
#include <stdbool.h>

#define SKUA_SPINS_BEFORE_YIELD 64u

/* What gives way in a simulation (platform/vthread.h); NULL while there has been none. */
extern void (*_Atomic skua_spin_give_way_hook)(void);

/* Lets somebody else run who may hold what is waited for. */
void skua_spin_give_way(void);

/* One step of waiting for somebody else's few instructions; *@spins starts at 0. */
static inline void skua_spin_wait(unsigned *spins)
{
    if (++*spins < SKUA_SPINS_BEFORE_YIELD)
        skua_cpu_relax();
    else
        skua_spin_give_way();
}

struct skua_spin {
    _Atomic bool locked;
};

static inline void skua_spin_init(struct skua_spin *lock)
{
    atomic_init(&lock->locked, false);
}

static inline void skua_spin_lock(struct skua_spin *lock)
{
    unsigned spins = 0;
    /* acquire: partner is the release of the unlock */
    while (atomic_exchange_explicit(&lock->locked, true, memory_order_acquire))
        skua_spin_wait(&spins);
}

/* True if it was free: one look, and one attempt if that says so. */
static inline bool skua_spin_try_lock(struct skua_spin *lock)
{
    /* relaxed: a hint. acquire: as skua_spin_lock() */
    return !atomic_load_explicit(&lock->locked, memory_order_relaxed) &&
           !atomic_exchange_explicit(&lock->locked, true, memory_order_acquire);
}

static inline void skua_spin_unlock(struct skua_spin *lock)
{
    /* release: partner is the acquire of the next lock */
    atomic_store_explicit(&lock->locked, false, memory_order_release);
}

/* Waits for somebody else's few instructions to end. acquire: partner is the store of false. */
static inline void skua_spin_until_false(_Atomic bool *flag)
{
    unsigned spins = 0;
    while (atomic_load_explicit(flag, memory_order_acquire))
        skua_spin_wait(&spins);
}

#endif /* SKUA_SRC_SPIN_H */
