/*
 * skua/barrier.h - a point that a number of tasks or threads pass together.
 *
 * A task that waits parks, and its worker runs others; a thread blocks. When as many have come as
 * there are parties, all of them go, in the order of their arrival, and the barrier can be used
 * again.
 *
 * It is asyncio's Barrier, of Python 3.11. As there, one that gives up (cancelled, or at its
 * deadline) leaves the barrier, and the others wait on for one more; it does not break the barrier,
 * unlike in Python's threading. The index of an arrival is the number of those who were waiting
 * then; so two of one round have the same index if somebody who came before them has left in
 * between. What is different: a round that is complete goes, whatever comes after. In asyncio,
 * which wakes the parties first and lets them look then, an abort or a reset may still catch them,
 * and the next round waits until they have looked.
 *
 * The object may go away as soon as every wait has returned and nobody is going to call another
 * function for it.
 */
#ifndef SKUA_BARRIER_H
#define SKUA_BARRIER_H

#include <skua/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct skua_barrier {
    uint64_t opaque[4];
} skua_barrier;

/* For @parties, 1 to INT_MAX. */
#define SKUA_BARRIER_INIT(parties)                                                                 \
    {                                                                                              \
        {                                                                                          \
            0, 0, 0, (uint64_t)(parties)                                                           \
        }                                                                                          \
    }

/**
 * Makes a barrier of @barrier. It needs no destruction.
 *
 * Context: any; never waits. Nobody uses @barrier.
 * Cancellation: not a cancellation point.
 * Returns: 0; -EINVAL if @barrier is NULL, or @parties is 0 or more than INT_MAX.
 * Source: asyncio.Barrier.
 */
SKUA_API int skua_barrier_init(skua_barrier *barrier, unsigned parties);

/**
 * Waits until all parties are here, as long as it takes. The last one does not wait.
 *
 * Context: any. A task on a worker parks; any other thread blocks.
 * Cancellation: a wait returns -ECANCELED, and the caller no longer counts as one of the parties. A
 *   round that is complete, by the caller's own arrival also, beats the cancel.
 * Returns: the index of the arrival, from 0 to one less than there are parties, which is that of
 *   the last; -EPIPE if the barrier is broken, or is reset or broken while the caller waits;
 *   -ECANCELED; -EINVAL if @barrier is NULL or has no parties; -ECHILD in a forked child.
 * Source: asyncio.Barrier.wait.
 */
SKUA_API int skua_barrier_wait(skua_barrier *barrier);

/**
 * Waits until all parties are here, or @deadline_ns.
 *
 * Context: any. A task on a worker parks; any other thread blocks.
 * Cancellation: as skua_barrier_wait(). The same goes for the deadline.
 * Units: @deadline_ns is absolute, on the clock of skua_now(); SKUA_FOREVER never passes.
 * Returns: as skua_barrier_wait(); -ETIMEDOUT; -ENOMEM if the timer could not be stored.
 */
SKUA_API int skua_barrier_wait_until(skua_barrier *barrier, uint64_t deadline_ns);

/**
 * Makes those who wait return -EPIPE, and the barrier as good as new, if it was broken also.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0; -EINVAL if @barrier is NULL or has no parties.
 * Source: asyncio.Barrier.reset.
 */
SKUA_API int skua_barrier_reset(skua_barrier *barrier);

/**
 * Breaks the barrier: those who wait, and those who come until it is reset, return -EPIPE. For a
 * party that cannot go on.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0; -EINVAL if @barrier is NULL or has no parties.
 * Source: asyncio.Barrier.abort.
 */
SKUA_API int skua_barrier_abort(skua_barrier *barrier);

/**
 * How many wait, which may have changed by the time the caller looks at the answer.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: the number; 0 if @barrier is NULL.
 * Source: asyncio.Barrier.n_waiting.
 */
SKUA_API unsigned skua_barrier_waiting(const skua_barrier *barrier);

/**
 * Whether @barrier is broken.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: true if it is; false if not, or if @barrier is NULL.
 * Source: asyncio.Barrier.broken.
 */
SKUA_API bool skua_barrier_broken(const skua_barrier *barrier);

#ifdef __cplusplus
}
#endif

#endif /* SKUA_BARRIER_H */
