/*
 * skua/semaphore.h - a number of permits, for tasks and threads alike.
 *
 * A task that waits for a permit parks, and its worker runs others; a thread blocks. Permits are
 * granted in the order in which they were asked for, and handed over: one that is released while
 * somebody waits goes to the one who has waited longest, and nobody overtakes. Any task or thread
 * may release a permit, whoever acquired it.
 *
 * A bounded semaphore refuses to hold more permits than it had at first: a release too many is a
 * mistake that it finds.
 *
 * An object that is zero has no permits and no bound. It needs no destruction, and may go away as
 * soon as every acquire has returned and nobody is going to call another function for it; a release
 * that has let the last one go need not have returned.
 */
#ifndef SKUA_SEMAPHORE_H
#define SKUA_SEMAPHORE_H

#include <skua/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct skua_semaphore {
    uint64_t opaque[4];
} skua_semaphore;

/* @value permits, below 2^61. */
#define SKUA_SEMAPHORE_INIT(value)                                                                 \
    {                                                                                              \
        {                                                                                          \
            (uint64_t)(value) << 2, 0, 0, 0                                                        \
        }                                                                                          \
    }

/* @value permits, and never more. */
#define SKUA_SEMAPHORE_BOUNDED_INIT(value)                                                         \
    {                                                                                              \
        {                                                                                          \
            (uint64_t)(value) << 2, 0, 0, ~((uint64_t)(value) << 2)                                \
        }                                                                                          \
    }

/**
 * Takes a permit, waiting as long as it takes.
 *
 * Context: any. A task on a worker parks; any other thread blocks.
 * Cancellation: a wait returns -ECANCELED, without a permit. A permit that is free, or has been
 *   handed over, beats the cancel.
 * Returns: 0 with a permit; -ECANCELED; -EINVAL if @semaphore is NULL; -ECHILD in a forked child.
 * Source: asyncio.Semaphore.acquire; sem_wait(3).
 */
SKUA_API int skua_semaphore_acquire(skua_semaphore *semaphore);

/**
 * Takes a permit, waiting until @deadline_ns.
 *
 * Context: any. A task on a worker parks; any other thread blocks.
 * Cancellation: as skua_semaphore_acquire().
 * Units: @deadline_ns is absolute, on the clock of skua_now(); SKUA_FOREVER never passes.
 * Returns: 0 with a permit; -ETIMEDOUT; -ECANCELED; -EINVAL if @semaphore is NULL; -ENOMEM if the
 *   timer could not be stored; -ECHILD in a forked child.
 * Source: sem_timedwait(3).
 */
SKUA_API int skua_semaphore_acquire_until(skua_semaphore *semaphore, uint64_t deadline_ns);

/**
 * Takes a permit if that needs no wait.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0 with a permit; -EAGAIN if there is none; -EINVAL if @semaphore is NULL.
 * Source: sem_trywait(3).
 */
SKUA_API int skua_semaphore_try_acquire(skua_semaphore *semaphore);

/**
 * Gives a permit back: hands it to the one who has waited longest, if anybody waits.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0; -EOVERFLOW if the semaphore is bounded and has all its permits; -EINVAL if @semaphore
 *   is NULL.
 * Source: asyncio.BoundedSemaphore.release.
 */
SKUA_API int skua_semaphore_release(skua_semaphore *semaphore);

/**
 * How many permits are free, which may have changed by the time the caller looks at the answer.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: the number; 0 if @semaphore is NULL.
 * Source: sem_getvalue(3).
 */
SKUA_API uint64_t skua_semaphore_value(const skua_semaphore *semaphore);

#ifdef __cplusplus
}
#endif

#endif /* SKUA_SEMAPHORE_H */
