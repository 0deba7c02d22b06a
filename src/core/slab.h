/*
 * core/slab.h - fixed-size objects in memory that stays an object for as long as the pool lives.
 *
 * Type-stable: a freed object's memory is handed out again as the same type and never unmapped
 * before the pool ends, so a late reader of a stale pointer reads an object, not a hole. Objects
 * can outlive their owner: skua_slab_pool_retire() lets the last free end the pool.
 *
 * Threads: a struct skua_slab_cache belongs to one thread; the pool behind it has a lock, taken
 * once for SKUA_SLAB_BATCH objects. Threads without a cache use the _shared calls.
 */
#ifndef SKUA_SRC_SLAB_H
#define SKUA_SRC_SLAB_H

#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>

#define SKUA_SLAB_BATCH 64u

/* The first word of a free object; whoever allocates overwrites it. */
struct skua_slab_free {
    struct skua_slab_free *next;
};

struct skua_slab_pool;

/*
 * A thread's free objects. Invariant: count is the length of free, at most 2 * SKUA_SLAB_BATCH;
 * [bump, bump_end) is memory never handed out, a whole number of objects.
 */
struct skua_slab_cache {
    struct skua_slab_free *free;
    unsigned count;
    unsigned object_size;
    char *bump;
    char *bump_end;
    struct skua_slab_pool *pool;
};

/*
 * A pool of zero-initialised-once objects of @object_size bytes (a multiple of 64). NULL: ENOMEM.
 */
struct skua_slab_pool *skua_slab_pool_create(size_t object_size);

/*
 * The owner is done: no cache is attached any more. The pool is unmapped now if no object is in
 * use, otherwise by the free of the last one; then @gone(@arg) is called.
 */
void skua_slab_pool_retire(struct skua_slab_pool *pool, void (*gone)(void *arg), void *arg);

void skua_slab_cache_init(struct skua_slab_cache *cache, struct skua_slab_pool *pool);
void skua_slab_cache_fini(struct skua_slab_cache *cache);

/* For skua_slab_alloc() and skua_slab_free() only. */
void *skua_slab_alloc_slow(struct skua_slab_cache *cache);
void skua_slab_spill(struct skua_slab_cache *cache);

/* An object with the contents it had when it was freed (zeroes at first). NULL: out of memory. */
static SKUA_ALWAYS_INLINE void *skua_slab_alloc(struct skua_slab_cache *cache)
{
    struct skua_slab_free *object = cache->free;
    if (skua_likely(object != NULL)) {
        cache->free = object->next;
        cache->count--;
        return object;
    }
    if (skua_likely(cache->bump != cache->bump_end)) {
        void *fresh = cache->bump;
        cache->bump += cache->object_size;
        return fresh;
    }
    return skua_slab_alloc_slow(cache);
}

static SKUA_ALWAYS_INLINE void skua_slab_free(struct skua_slab_cache *cache, void *memory)
{
    struct skua_slab_free *object = memory;
    object->next = cache->free;
    cache->free = object;
    if (skua_unlikely(++cache->count >= 2 * SKUA_SLAB_BATCH))
        skua_slab_spill(cache);
}

/* The same for threads without a cache, under the pool's lock. */
void *skua_slab_alloc_shared(struct skua_slab_pool *pool);
void skua_slab_free_shared(struct skua_slab_pool *pool, void *memory);

/*
 * Calls @visit for every object ever handed out to a cache, in use or free; it must tell which by
 * reading atomics of the object. Runs without the lock held during visits.
 */
void skua_slab_for_each(struct skua_slab_pool *pool, void (*visit)(void *object, void *arg),
                        void *arg);

#endif /* SKUA_SRC_SLAB_H */
