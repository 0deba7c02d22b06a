/*
 * skua/pool.h - pools of things that are dear to make and are used by one at a time: connections.
 *
 * A pool makes them on demand, up to a number, lends them out, and keeps those that come back for a
 * while. Who finds all of them lent waits, in order of arrival; what comes back goes to the one who
 * has waited longest. The one that was used last is lent first, so that the others grow old.
 *
 * The functions the pool is given are called by those who acquire and release, without a lock held:
 * they may wait.
 */
#ifndef SKUA_POOL_H
#define SKUA_POOL_H

#include <skua/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct skua_pool skua_pool;

/* How to make a pool. Zero-initialise; zero means default, except for create and destroy. */
typedef struct skua_pool_options {
    /* Makes one, and stores it in *@resource. 0, or an error that is acquire's result. */
    int (*create)(void **resource, void *arg);
    void (*destroy)(void *resource, void *arg);
    /* Whether one that lay in the pool may be lent; else it is destroyed. Default NULL: any may. */
    bool (*is_healthy)(void *resource, void *arg);
    void *arg;
    size_t count_max;         /* how many there may be; default 8 */
    uint64_t idle_timeout_ns; /* what lies in the pool longer is not lent; default 0: none */
    uint64_t reserved[4];     /* zero */
} skua_pool_options;

/**
 * Makes a pool with nothing in it.
 *
 * Context: any; never waits. Needs no runtime.
 * Cancellation: not a cancellation point.
 * Ownership: the caller destroys *@pool.
 * Returns: 0; -EINVAL (an argument, create or destroy NULL; nonzero reserved field; count_max over
 *   2^32); -ENOMEM. On error *@pool is untouched.
 */
SKUA_API int skua_pool_create(const skua_pool_options *options, skua_pool **pool);

/**
 * Closes @pool, waits until everything lent has come back, and destroys all of it.
 *
 * Context: any, but nobody who holds something of the pool. A task on a worker parks; any other
 *   thread blocks. Nobody begins another call for @pool.
 * Cancellation: not a cancellation point: it waits in spite of a cancel.
 * Ownership: consumes @pool, except in a forked child, where nothing is done. NULL is accepted.
 * Returns: nothing.
 */
SKUA_API void skua_pool_destroy(skua_pool *pool);

/**
 * Borrows a resource: one from the pool, a new one, or, if there may be no more, the next that
 * comes back.
 *
 * Context: any. A task on a worker parks; any other thread blocks. Calls the pool's functions.
 * Cancellation: a wait returns -ECANCELED, with nothing borrowed. What needs no wait, or has been
 *   handed over, beats the cancel; the pool's functions see it.
 * Ownership: the caller gives *@resource back: skua_pool_release() or skua_pool_discard().
 * Returns: 0 with *@resource; -EPIPE if the pool is closed, or is closed during the wait; what
 *   create returned; -ECANCELED; -EINVAL if an argument is NULL; -ECHILD in a forked child. On
 *   error *@resource is untouched.
 */
SKUA_API int skua_pool_acquire(skua_pool *pool, void **resource);

/**
 * As skua_pool_acquire(), waiting for others until @deadline_ns. How long the pool's functions may
 * take is for them to say.
 *
 * Context: any. A task on a worker parks; any other thread blocks. Calls the pool's functions.
 * Cancellation: as skua_pool_acquire().
 * Ownership: as skua_pool_acquire().
 * Units: @deadline_ns is absolute, on the clock of skua_now(); SKUA_FOREVER never passes.
 * Returns: as skua_pool_acquire(); -ETIMEDOUT; -ENOMEM if the timer could not be stored.
 */
SKUA_API int skua_pool_acquire_until(skua_pool *pool, void **resource, uint64_t deadline_ns);

/**
 * As skua_pool_acquire(), without waiting for others.
 *
 * Context: any; waits only if the pool's functions do.
 * Cancellation: not a cancellation point.
 * Ownership: as skua_pool_acquire().
 * Returns: as skua_pool_acquire(); -EAGAIN if all are lent.
 */
SKUA_API int skua_pool_try_acquire(skua_pool *pool, void **resource);

/**
 * Gives a resource back, to be lent again. A closed pool destroys it.
 *
 * Context: any; waits only if the pool's functions do.
 * Cancellation: not a cancellation point.
 * Ownership: consumes @resource.
 * Returns: 0; -EINVAL if @pool is NULL.
 */
SKUA_API int skua_pool_release(skua_pool *pool, void *resource);

/**
 * Gives a resource back that is broken: it is destroyed, and another may be made in its place.
 *
 * Context: any; waits only if destroy does.
 * Cancellation: not a cancellation point.
 * Ownership: consumes @resource.
 * Returns: 0; -EINVAL if @pool is NULL.
 */
SKUA_API int skua_pool_discard(skua_pool *pool, void *resource);

/**
 * Destroys what has been in the pool for longer than its idle timeout. So do acquire and release; a
 * pool that may be left alone needs somebody who calls this now and then.
 *
 * Context: any; waits only if destroy does.
 * Cancellation: not a cancellation point.
 * Returns: how many it destroyed; -EINVAL if @pool is NULL.
 */
SKUA_API ssize_t skua_pool_trim(skua_pool *pool);

/**
 * Closes @pool: from now on nothing is lent, those who wait learn it, and what lies in the pool is
 * destroyed. What is lent may still be used and given back.
 *
 * Context: any; waits only if destroy does.
 * Cancellation: not a cancellation point.
 * Returns: 0; -EALREADY if it is closed; -EINVAL if @pool is NULL.
 */
SKUA_API int skua_pool_close(skua_pool *pool);

/**
 * How many resources lie in the pool, which may have changed by the time the caller looks.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: the count; 0 if @pool is NULL.
 */
SKUA_API size_t skua_pool_idle_count(const skua_pool *pool);

#ifdef __cplusplus
}
#endif

#endif /* SKUA_POOL_H */
