/*
 * sync/resource_pool.c - pools of resources; see skua/pool.h.
 *
 * STATE  permits   one for each resource there may be. Who borrows has one from before it gets its
 *                  resource until after it has given it back; who waits, waits for one: the order
 *                  is the semaphore's.
 *        idle      what lies in the pool, a ring, in the order in which it came back: the youngest,
 *                  at the end, is lent first, the oldest grows too old first.
 *        closed    nothing is lent any more.
 *
 * INVARIANTS
 *   P1  Each resource that is neither idle nor being thrown away belongs to somebody with a permit.
 *       Who has one and sees nothing idle may therefore make a resource: there are fewer others
 *       than permits. A resource is put back before its permit.
 *   P2  close() adds a permit. Who gets one of a closed pool gives it back, and so wakes the next:
 *       all who wait learn it. Who has all count_max + 1 of them knows that nothing is lent, and
 *       nobody waits.
 *   P3  The permit is the last that a caller touches: then the pool may go away.
 *
 * ORDERING  idle and closed are guarded by the spin lock; a resource is ordered by it, or by the
 *        permit.
 */
#include "base/alloc.h"
#include "base/check.h"
#include "base/compiler.h"
#include "base/spin.h"
#include "platform/vthread.h"

#include <skua/pool.h>
#include <skua/scope.h>
#include <skua/semaphore.h>
#include <skua/time.h>

#include <errno.h>
#include <stdlib.h>

#define COUNT_MAX 8u
#define COUNT_LIMIT (UINT64_C(1) << 32)

struct idle {
    void *resource;
    uint64_t since_ns;
};

struct skua_pool {
    int (*create)(void **resource, void *arg); /* constant, as what follows */
    void (*destroy)(void *resource, void *arg);
    bool (*is_healthy)(void *resource, void *arg);
    void *arg;
    uint64_t idle_timeout_ns;
    size_t count_max;
    skua_semaphore permits;
    struct skua_spin lock;
    bool closed; /* guarded by lock, as what follows */
    size_t head; /* of the oldest */
    size_t count;
    struct idle idle[];
};

/* Under the lock: the place of the @index-th oldest. */
static struct idle *place(struct skua_pool *pool, size_t index)
{
    size_t at = pool->head + index;
    return &pool->idle[at >= pool->count_max ? at - pool->count_max : at];
}

/* Takes the oldest out, if it is too old, or whatever its age: true with *@resource. */
static bool take_oldest(struct skua_pool *pool, bool whatever_age, void **resource)
{
    uint64_t now_ns = skua_now();
    skua_spin_lock(&pool->lock);
    bool take = false;
    if (pool->count != 0) {
        const struct idle *oldest = place(pool, 0);
        bool too_old = pool->idle_timeout_ns != 0 && now_ns > oldest->since_ns &&
                       now_ns - oldest->since_ns > pool->idle_timeout_ns;
        take = whatever_age || too_old;
        *resource = oldest->resource;
    }
    if (take) {
        pool->head = pool->head + 1 == pool->count_max ? 0 : pool->head + 1;
        pool->count--;
    }
    skua_spin_unlock(&pool->lock);
    return take;
}

static size_t destroy_oldest(struct skua_pool *pool, bool whatever_age)
{
    void *resource = NULL;
    size_t count = 0;
    for (; take_oldest(pool, whatever_age, &resource); count++)
        pool->destroy(resource, pool->arg);
    return count;
}

/* With a permit: 0 with the youngest that is idle. -EAGAIN: there is none. -EPIPE: closed. */
static int take_youngest(struct skua_pool *pool, void **resource)
{
    int rc = -EAGAIN;
    skua_vthread_point();
    skua_spin_lock(&pool->lock);
    if (pool->closed) {
        rc = -EPIPE;
    } else if (pool->count != 0) {
        *resource = place(pool, --pool->count)->resource;
        rc = 0;
    }
    skua_spin_unlock(&pool->lock);
    return rc;
}

/* With a permit: an idle resource that is healthy, or a new one. */
static int borrow(struct skua_pool *pool, void **resource)
{
    void *found = NULL;
    int rc;
    (void)destroy_oldest(pool, false); /* so that what is found is not too old */
    while ((rc = take_youngest(pool, &found)) == 0) {
        if (pool->is_healthy == NULL || pool->is_healthy(found, pool->arg))
            break;
        pool->destroy(found, pool->arg);
    }
    if (rc == -EAGAIN)
        rc = pool->create(&found, pool->arg); /* P1 */
    if (rc == 0)
        *resource = found;
    else
        (void)skua_semaphore_release(&pool->permits); /* P2, P3 */
    return rc;
}

int skua_pool_create(const skua_pool_options *options, skua_pool **opaque)
{
    if (options == NULL || opaque == NULL || options->create == NULL || options->destroy == NULL)
        return -EINVAL;
    uint64_t reserved = 0;
    for (size_t i = 0; i < sizeof(options->reserved) / sizeof(options->reserved[0]); i++)
        reserved |= options->reserved[i];
    size_t count_max = options->count_max != 0 ? options->count_max : COUNT_MAX;
    if (reserved != 0 || count_max > COUNT_LIMIT)
        return -EINVAL;
    struct skua_pool *pool = skua_calloc(1, sizeof(*pool) + count_max * sizeof(pool->idle[0]));
    if (pool == NULL)
        return -ENOMEM;
    pool->create = options->create;
    pool->destroy = options->destroy;
    pool->is_healthy = options->is_healthy;
    pool->arg = options->arg;
    pool->idle_timeout_ns = options->idle_timeout_ns;
    pool->count_max = count_max;
    pool->permits = (skua_semaphore)SKUA_SEMAPHORE_INIT(count_max);
    skua_spin_init(&pool->lock);
    *opaque = pool;
    return 0;
}

void skua_pool_destroy(skua_pool *pool)
{
    if (pool == NULL)
        return;
    (void)skua_pool_close(pool);
    skua_shield shield;
    bool is_task = skua_shield_open(&shield) == 0;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < pool->count_max + 1; i++) /* P2 */
        rc = skua_semaphore_acquire(&pool->permits);
    if (is_task)
        (void)skua_shield_close(&shield);
    if (rc < 0) /* in a forked child: who has the resources does not exist here */
        return;
    skua_assert(pool->count == 0);
    free(pool);
}

int skua_pool_acquire_until(skua_pool *pool, void **resource, uint64_t deadline_ns)
{
    if (pool == NULL || resource == NULL)
        return -EINVAL;
    int rc = skua_semaphore_acquire_until(&pool->permits, deadline_ns);
    return rc < 0 ? rc : borrow(pool, resource);
}

int skua_pool_acquire(skua_pool *pool, void **resource)
{
    return skua_pool_acquire_until(pool, resource, SKUA_FOREVER);
}

int skua_pool_try_acquire(skua_pool *pool, void **resource)
{
    if (pool == NULL || resource == NULL)
        return -EINVAL;
    int rc = skua_semaphore_try_acquire(&pool->permits);
    return rc < 0 ? rc : borrow(pool, resource);
}

int skua_pool_release(skua_pool *pool, void *resource)
{
    if (pool == NULL)
        return -EINVAL;
    skua_vthread_point();
    uint64_t now_ns = skua_now();
    skua_spin_lock(&pool->lock);
    bool closed = pool->closed;
    if (!closed) {
        skua_assert(pool->count < pool->count_max);
        *place(pool, pool->count++) = (struct idle){resource, now_ns};
    }
    skua_spin_unlock(&pool->lock);
    if (closed)
        pool->destroy(resource, pool->arg);
    else
        (void)destroy_oldest(pool, false);
    (void)skua_semaphore_release(&pool->permits); /* P1, P3 */
    return 0;
}

int skua_pool_discard(skua_pool *pool, void *resource)
{
    if (pool == NULL)
        return -EINVAL;
    pool->destroy(resource, pool->arg);
    (void)skua_semaphore_release(&pool->permits); /* P1, P3 */
    return 0;
}

ssize_t skua_pool_trim(skua_pool *pool)
{
    return pool == NULL ? -EINVAL : (ssize_t)destroy_oldest(pool, false);
}

int skua_pool_close(skua_pool *pool)
{
    if (pool == NULL)
        return -EINVAL;
    skua_spin_lock(&pool->lock);
    bool was_closed = pool->closed;
    pool->closed = true;
    skua_spin_unlock(&pool->lock);
    if (was_closed)
        return -EALREADY;
    (void)destroy_oldest(pool, true);             /* nothing comes back to the pool any more */
    (void)skua_semaphore_release(&pool->permits); /* P2 */
    return 0;
}

size_t skua_pool_idle_count(const skua_pool *opaque)
{
    struct skua_pool *pool = (struct skua_pool *)(uintptr_t)opaque;
    if (pool == NULL)
        return 0;
    skua_spin_lock(&pool->lock);
    size_t count = pool->count;
    skua_spin_unlock(&pool->lock);
    return count;
}
