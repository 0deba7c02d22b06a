/*
 * core/deque_pool.c - see deque_pool.h.
 */
#include "core/deque_pool.h"

#include "base/alloc.h"
#include "base/check.h"
#include "platform/memory.h"

#include <stdlib.h>

#define CHUNK_DEQUES 16u
#define CHUNKS_MAX (SKUA_DEQUES_MAX / CHUNK_DEQUES)
/* One deque more than there are, to align the first. */
#define CHUNK_BYTES ((CHUNK_DEQUES + 1) * (size_t)SKUA_DEQUE_BYTES)

struct skua_deque_pool {
    struct skua_spin lock;
    struct skua_deque *free;    /* guarded by lock */
    _Atomic uint32_t count;     /* written under lock */
    void *mappings[CHUNKS_MAX]; /* guarded by lock */
    /* Written under lock, before the first number in it is handed out. */
    _Atomic(struct skua_deque *) chunks[CHUNKS_MAX];
};

struct skua_deque_pool *skua_deque_pool_create(void)
{
    return skua_calloc(1, sizeof(struct skua_deque_pool));
}

void skua_deque_pool_destroy(struct skua_deque_pool *pool)
{
    if (pool == NULL)
        return;
    for (unsigned i = 0; i < CHUNKS_MAX && pool->mappings[i] != NULL; i++)
        (void)skua_memory_unmap(pool->mappings[i], CHUNK_BYTES);
    free(pool);
}

/*
 * Maps @chunk, without the lock, and adds it unless somebody else has been faster. False: out of
 * memory, or all are in use.
 */
static bool map_chunk(struct skua_deque_pool *pool, unsigned chunk)
{
    void *mapping;
    if (chunk >= CHUNKS_MAX || skua_memory_map(&mapping, CHUNK_BYTES) < 0)
        return false;
    uintptr_t first = (uintptr_t)mapping + SKUA_DEQUE_BYTES - 1;
    first &= ~(uintptr_t)(SKUA_DEQUE_BYTES - 1);
    skua_spin_lock(&pool->lock);
    bool late = pool->mappings[chunk] != NULL;
    if (!late) {
        pool->mappings[chunk] = mapping;
        /* release: partner is the acquire in skua_deque_pool_get() */
        atomic_store_explicit(&pool->chunks[chunk], (struct skua_deque *)first,
                              memory_order_release);
    }
    skua_spin_unlock(&pool->lock);
    if (late)
        (void)skua_memory_unmap(mapping, CHUNK_BYTES);
    return true;
}

struct skua_deque *skua_deque_pool_get(struct skua_deque_pool *pool, uint32_t number)
{
    struct skua_deque *first =
        atomic_load_explicit(&pool->chunks[number / CHUNK_DEQUES], memory_order_acquire);
    return first + number % CHUNK_DEQUES;
}

uint32_t skua_deque_pool_count(struct skua_deque_pool *pool)
{
    /* acquire: partner is the release below; the deques counted have been initialised */
    return atomic_load_explicit(&pool->count, memory_order_acquire);
}

/* Under the lock: a deque, or NULL and the number of the chunk that is missing. */
static struct skua_deque *take(struct skua_deque_pool *pool, unsigned *missing)
{
    struct skua_deque *deque = pool->free;
    uint32_t number = atomic_load_explicit(&pool->count, memory_order_relaxed);
    if (deque != NULL) {
        pool->free = deque->next;
        deque->next = NULL;
        return deque;
    }
    *missing = number / CHUNK_DEQUES;
    if (*missing >= CHUNKS_MAX || pool->mappings[*missing] == NULL)
        return NULL;
    deque = skua_deque_pool_get(pool, number);
    skua_deque_init(deque, number);
    atomic_store_explicit(&pool->count, number + 1, memory_order_release);
    return deque;
}

struct skua_deque *skua_deque_pool_acquire(struct skua_deque_pool *pool)
{
    for (;;) {
        unsigned missing;
        skua_spin_lock(&pool->lock);
        struct skua_deque *deque = take(pool, &missing);
        skua_spin_unlock(&pool->lock);
        if (deque != NULL || !map_chunk(pool, missing))
            return deque;
    }
}

void skua_deque_pool_release(struct skua_deque_pool *pool, struct skua_deque *deque)
{
    skua_assert(skua_deque_is_empty(deque));
    skua_spin_lock(&pool->lock);
    deque->next = pool->free;
    pool->free = deque;
    skua_spin_unlock(&pool->lock);
}
