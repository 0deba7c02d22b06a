/*
 * platform/vthread.h - virtual threads: contexts that take turns on one real thread, with a virtual
 * clock. What a simulated runtime has instead of the operating system's.
 *
 * WHAT   While a real thread runs a simulation, the calls of platform/ (threads, futexes, the
 *        clock) and the waits of base/spin.h end up here. Exactly one virtual thread runs at a
 *        time; another gets its turn only at a point (skua_vthread_point), in a wait, or when one
 *        spins. Who is next the simulator decides (choose), which is how one seed makes one
 *        execution.
 *
 * TIME   Stands still while anybody can run. When nobody can it jumps to the earliest deadline of a
 *        wait, or of what happens outside. If there is none either, nothing will ever happen again:
 *        then the main thread's wait ends with -EDEADLK.
 *
 * STATE  of a virtual thread: READY, WAITING (for a word, with a deadline), ENDED. The one that
 *        runs is READY. The main one is the real thread's own stack; it begins and ends the
 *        simulation.
 *
 * WHO    Everything here belongs to the one real thread, so all of it is relaxed; several may run
 *        simulations of their own.
 *        skua_vthread_sims counts them, so that outside simulations a call costs one look at it.
 */
#ifndef SKUA_SRC_VTHREAD_H
#define SKUA_SRC_VTHREAD_H

#include "base/compiler.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct skua_vthread;

/* What the simulator decides. */
struct skua_vthread_policy {
    /* The library is at a point: calls skua_vthread_switch(), or stalls, or both. */
    void (*point)(void *arg);
    /* Which of @count threads that could run goes on; 0 is the one that runs now, if it can. */
    unsigned (*choose)(void *arg, unsigned count);
    /* Nobody can run: true if something outside has made somebody ready. */
    bool (*idle)(void *arg);
    /* When something outside happens next, for which idle() is to be called; UINT64_MAX: never. */
    uint64_t (*next)(void *arg);
    /* Time has jumped to @now_ns. */
    void (*advance)(void *arg, uint64_t now_ns);
    void *arg;
};

extern _Atomic unsigned skua_vthread_sims;

/* For skua_vthread_simulated() only. */
bool skua_vthread_simulated_slow(void);

/* Whether the calling thread is in a simulation. */
static SKUA_ALWAYS_INLINE bool skua_vthread_simulated(void)
{
    /* relaxed: who is in one has counted it itself */
    return skua_unlikely(atomic_load_explicit(&skua_vthread_sims, memory_order_relaxed) != 0) &&
           skua_vthread_simulated_slow();
}

/* Begins a simulation on the calling thread. 0, -ENOMEM, -EBUSY: it is in one. */
int skua_vthread_begin(const struct skua_vthread_policy *policy, uint64_t start_ns);

/* Ends it. All threads but the main one have ended, or are abandoned with all they have. */
void skua_vthread_end(void);

/* All that follow: only in a simulation. */

int skua_vthread_create(struct skua_vthread **thread, void *(*main)(void *arg), void *arg);
void skua_vthread_join(struct skua_vthread *thread);

/* The lowest address of the stack of the running thread; NULL for the main one. */
const char *skua_vthread_stack_low(void);

uint64_t skua_vthread_now(void);

/* Another thread may go on here. */
void skua_vthread_switch(void);

/* As futex(2): 0, -EAGAIN, -ETIMEDOUT; the main thread also -EDEADLK. */
int skua_vthread_wait(const _Atomic uint32_t *word, uint32_t expected, uint64_t deadline_ns);
int skua_vthread_wake(const _Atomic uint32_t *word, int count); /* how many it woke */

/* The main thread's wait, if it is in one, ends with -EDEADLK. */
void skua_vthread_wake_main(void);

/* Keeps the running thread from its turn until @until_ns: it has stalled. */
void skua_vthread_stall(uint64_t until_ns);

/* Whether a thread stalls, and so may be anywhere in what it does; the others wait for a word. */
bool skua_vthread_any_stalls(void);

/* A number below @count, from the simulator's. */
unsigned skua_vthread_random(unsigned count);

/* For skua_vthread_point() only. */
void skua_vthread_point_slow(void);

/* In the library's calls: where a simulation may let another thread go on. Elsewhere nothing. */
static SKUA_ALWAYS_INLINE void skua_vthread_point(void)
{
    /* relaxed: as above */
    if (skua_unlikely(atomic_load_explicit(&skua_vthread_sims, memory_order_relaxed) != 0))
        skua_vthread_point_slow();
}

#endif /* SKUA_SRC_VTHREAD_H */
