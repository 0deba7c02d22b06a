/*
 * core/slab.c - see slab.h.
 *
 * A pool is a list of chunks (64 KiB, doubling to 32 MiB, where transparent huge pages help) cut
 * into objects by bumping, and a depot of freed objects kept as batches. Everything in the pool is
 * guarded by its lock; chunks are only added, so for_each walks them without it.
 */
#include "core/slab.h"

#include "base/alloc.h"
#include "base/check.h"
#include "platform/memory.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#define CHUNK_MIN ((size_t)64 << 10)
#define CHUNK_MAX ((size_t)32 << 20)
#define CHUNK_HUGE ((size_t)4 << 20)
#define CARVE_OBJECTS 256u /* handed to a cache's bump region at a time */

struct chunk {
    struct chunk *next; /* constant after publication */
    char *memory;
    size_t size;
    _Atomic size_t carved; /* objects handed to caches; grows under the lock, read by anybody */
};

/*
 * A batch of freed objects: the first object links the batches through its third word. The second
 * is left alone because a stale reader may look at it (the wait state of a task that has ended).
 */
struct batch {
    struct skua_slab_free *next_object;
    uint64_t untouched;
    struct batch *next_batch;
};

struct skua_slab_pool {
    pthread_mutex_t lock;
    size_t object_size;
    _Atomic(struct chunk *) chunks; /* newest first; pushed under the lock, read by anybody */
    char *bump;                     /* rest of the newest chunk; guarded by lock */
    char *bump_end;
    struct batch *batches;       /* of SKUA_SLAB_BATCH objects each; guarded by lock */
    struct skua_slab_free *free; /* single objects; guarded by lock */
    uint64_t handed_out;         /* objects carved and not in batches or free; guarded by lock */
    bool retired;                /* guarded by lock */
    void (*gone)(void *arg);     /* constant once retired */
    void *gone_arg;
};

struct skua_slab_pool *skua_slab_pool_create(size_t object_size)
{
    skua_check(object_size % SKUA_CACHE_LINE == 0);
    struct skua_slab_pool *pool = skua_calloc(1, sizeof(*pool));
    if (pool == NULL)
        return NULL;
    pool->object_size = object_size;
    atomic_init(&pool->chunks, NULL);
    pthread_mutex_init(&pool->lock, NULL);
    return pool;
}

static void pool_destroy(struct skua_slab_pool *pool)
{
    /* relaxed: nobody else is left */
    struct chunk *chunk = atomic_load_explicit(&pool->chunks, memory_order_relaxed);
    while (chunk != NULL) {
        struct chunk *next = chunk->next;
        (void)skua_memory_unmap(chunk->memory, chunk->size);
        free(chunk);
        chunk = next;
    }
    pthread_mutex_destroy(&pool->lock);
    void (*gone)(void *arg) = pool->gone;
    void *gone_arg = pool->gone_arg;
    free(pool);
    if (gone != NULL)
        gone(gone_arg);
}

void skua_slab_pool_retire(struct skua_slab_pool *pool, void (*gone)(void *arg), void *arg)
{
    pthread_mutex_lock(&pool->lock);
    pool->gone = gone;
    pool->gone_arg = arg;
    pool->retired = true;
    bool last = pool->handed_out == 0;
    pthread_mutex_unlock(&pool->lock);
    if (last)
        pool_destroy(pool);
}

/* Makes room to bump. The lock is held. */
static bool pool_grow(struct skua_slab_pool *pool)
{
    /* relaxed: written under the lock we hold */
    struct chunk *newest = atomic_load_explicit(&pool->chunks, memory_order_relaxed);
    size_t size = newest == NULL ? CHUNK_MIN : skua_min(newest->size * 2, CHUNK_MAX);
    struct chunk *chunk = skua_calloc(1, sizeof(*chunk));
    if (chunk == NULL)
        return false;
    void *memory;
    if (skua_memory_map(&memory, size) < 0) {
        free(chunk);
        return false;
    }
    if (size >= CHUNK_HUGE)
        skua_memory_prefer_huge(memory, size);
    chunk->memory = memory;
    chunk->size = size;
    atomic_init(&chunk->carved, 0);
    chunk->next = newest;
    pool->bump = chunk->memory;
    pool->bump_end = chunk->memory + size / pool->object_size * pool->object_size;
    /* release CHUNK: for_each sees the fields; partner: its acquire */
    atomic_store_explicit(&pool->chunks, chunk, memory_order_release);
    return true;
}

void skua_slab_cache_init(struct skua_slab_cache *cache, struct skua_slab_pool *pool)
{
    *cache = (struct skua_slab_cache){.pool = pool, .object_size = (unsigned)pool->object_size};
}

/* Cuts up to @max fresh objects off; *@count how many. NULL: out of memory. The lock is held. */
static char *carve(struct skua_slab_pool *pool, size_t max, size_t *count)
{
    if (pool->bump == pool->bump_end && !pool_grow(pool))
        return NULL;
    char *memory = pool->bump;
    *count = skua_min((size_t)(pool->bump_end - pool->bump) / pool->object_size, max);
    pool->bump += *count * pool->object_size;
    pool->handed_out += *count;
    struct chunk *chunk = atomic_load_explicit(&pool->chunks, memory_order_relaxed);
    /* relaxed: for_each may miss the newest objects */
    atomic_fetch_add_explicit(&chunk->carved, *count, memory_order_relaxed);
    return memory;
}

/* Takes a batch, or fresh memory, for @cache. The lock is held. */
static bool refill(struct skua_slab_cache *cache, struct skua_slab_pool *pool)
{
    struct batch *batch = pool->batches;
    if (batch != NULL) {
        pool->batches = batch->next_batch;
        cache->free = (struct skua_slab_free *)(void *)batch;
        cache->count = SKUA_SLAB_BATCH;
        pool->handed_out += SKUA_SLAB_BATCH;
        return true;
    }
    if (pool->free != NULL) {
        struct skua_slab_free *object = pool->free;
        pool->free = object->next;
        object->next = NULL;
        cache->free = object;
        cache->count = 1;
        pool->handed_out++;
        return true;
    }
    size_t count;
    char *memory = carve(pool, CARVE_OBJECTS, &count);
    if (memory == NULL)
        return false;
    cache->bump = memory;
    cache->bump_end = memory + count * pool->object_size;
    return true;
}

void *skua_slab_alloc_slow(struct skua_slab_cache *cache)
{
    pthread_mutex_lock(&cache->pool->lock);
    bool ok = refill(cache, cache->pool);
    pthread_mutex_unlock(&cache->pool->lock);
    return ok ? skua_slab_alloc(cache) : NULL;
}

void skua_slab_spill(struct skua_slab_cache *cache)
{
    skua_assert(cache->count >= SKUA_SLAB_BATCH);
    struct skua_slab_free *first = cache->free;
    struct skua_slab_free *last = first;
    for (unsigned i = 1; i < SKUA_SLAB_BATCH; i++)
        last = last->next;
    cache->free = last->next;
    cache->count -= SKUA_SLAB_BATCH;
    last->next = NULL;
    struct batch *batch = (struct batch *)(void *)first;
    pthread_mutex_lock(&cache->pool->lock);
    batch->next_batch = cache->pool->batches;
    cache->pool->batches = batch;
    cache->pool->handed_out -= SKUA_SLAB_BATCH;
    pthread_mutex_unlock(&cache->pool->lock);
}

void skua_slab_cache_fini(struct skua_slab_cache *cache)
{
    struct skua_slab_pool *pool = cache->pool;
    pthread_mutex_lock(&pool->lock);
    while (cache->free != NULL) {
        struct skua_slab_free *object = cache->free;
        cache->free = object->next;
        object->next = pool->free;
        pool->free = object;
        pool->handed_out--;
    }
    for (char *fresh = cache->bump; fresh != cache->bump_end; fresh += cache->object_size) {
        struct skua_slab_free *object = (struct skua_slab_free *)(void *)fresh;
        object->next = pool->free;
        pool->free = object;
        pool->handed_out--;
    }
    pthread_mutex_unlock(&pool->lock);
    *cache = (struct skua_slab_cache){.pool = pool};
}

void *skua_slab_alloc_shared(struct skua_slab_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    struct skua_slab_free *object = pool->free;
    if (object != NULL) {
        pool->free = object->next;
        pool->handed_out++;
    } else if (pool->batches != NULL) {
        struct batch *batch = pool->batches;
        pool->batches = batch->next_batch;
        object = (struct skua_slab_free *)(void *)batch;
        pool->free = object->next;
        pool->handed_out++;
    } else {
        size_t count;
        object = (struct skua_slab_free *)(void *)carve(pool, 1, &count);
    }
    pthread_mutex_unlock(&pool->lock);
    return object;
}

void skua_slab_free_shared(struct skua_slab_pool *pool, void *memory)
{
    struct skua_slab_free *object = memory;
    pthread_mutex_lock(&pool->lock);
    object->next = pool->free;
    pool->free = object;
    skua_assert(pool->handed_out > 0);
    bool last = --pool->handed_out == 0 && pool->retired;
    pthread_mutex_unlock(&pool->lock);
    if (last)
        pool_destroy(pool);
}

void skua_slab_for_each(struct skua_slab_pool *pool, void (*visit)(void *object, void *arg),
                        void *arg)
{
    /* acquire CHUNK: partner is pool_grow()'s release */
    struct chunk *chunk = atomic_load_explicit(&pool->chunks, memory_order_acquire);
    for (; chunk != NULL; chunk = chunk->next) {
        size_t count = atomic_load_explicit(&chunk->carved, memory_order_relaxed);
        for (size_t i = 0; i < count; i++)
            visit(chunk->memory + i * pool->object_size, arg);
    }
}
