/*
 * core/stack_pool.h - stacks of tasks: reserved in slabs, cached per worker, given back when idle.
 *
 * A stack is SKUA_STACK_MIN .. 1 GiB, a power of two, its lowest page a guard. Sizes asked for
 * include the guard, as with pthread_attr_setstacksize(). Size classes up to 1 MiB are cut from
 * slabs; larger ones are mapped alone. Records of slabs are never freed, only marked dead when the
 * memory goes, so the fault handler may look an address up at any time without a lock.
 *
 * Threads: a struct skua_stack_cache belongs to one thread; the pool behind it has a lock.
 */
#ifndef SKUA_SRC_STACK_POOL_H
#define SKUA_SRC_STACK_POOL_H

#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SKUA_STACK_MIN ((size_t)16 << 10)
#define SKUA_STACK_DEFAULT ((size_t)64 << 10)
#define SKUA_STACK_MAX ((size_t)1 << 30)

/* At most this much of a stack is guard and colouring; the rest is the task's. */
#define SKUA_STACK_RESERVE ((size_t)8 << 10)

/* One stack. Small: it is part of the price of a parked task. */
struct skua_stack {
    struct skua_stack *next; /* in a free list */
    uint32_t slot;           /* position in its slab: leads to slab and memory */
    uint32_t user;           /* for the holder */
};

struct skua_stack_pool;

/* A thread's own stacks of the default class, at most SKUA_STACK_CACHE_MAX. */
#define SKUA_STACK_CACHE_MAX 64u
struct skua_stack_cache {
    struct skua_stack_pool *pool;
    struct skua_stack *free; /* owner only */
    unsigned count;          /* owner only */
};

/* What the pool is and has done; see skua_stack_pool_info(). */
struct skua_stack_pool_info {
    const char *guard;         /* "guard-install" or "mprotect" */
    uint64_t created;          /* stacks mapped so far */
    uint64_t high_water_bytes; /* deepest use of any stack, to the page */
};

/* Makes a pool whose default class holds @default_size_bytes. Returns 0, -EINVAL or -ENOMEM. */
int skua_stack_pool_create(struct skua_stack_pool **pool, size_t default_size_bytes);

/* Unmaps everything. No stack may be in use. NULL is accepted. */
void skua_stack_pool_destroy(struct skua_stack_pool *pool);

void skua_stack_cache_init(struct skua_stack_cache *cache, struct skua_stack_pool *pool);

/* Gives all cached stacks back to the pool. */
void skua_stack_cache_fini(struct skua_stack_cache *cache);

/* A stack of at least @size_bytes (0: the default). NULL if memory or addresses are exhausted. */
struct skua_stack *skua_stack_acquire(struct skua_stack_cache *cache, size_t size_bytes);

/* Gives a stack back: to the cache, and half of a full cache to the pool. Any thread's cache. */
void skua_stack_release(struct skua_stack_cache *cache, struct skua_stack *stack);

/* The lowest usable byte (above the guard), the usable size, and the cache-colouring offset. */
void *skua_stack_low(const struct skua_stack *stack);
size_t skua_stack_size(const struct skua_stack *stack);
size_t skua_stack_color(const struct skua_stack *stack);

/*
 * Returns memory of unused stacks beyond the pool's warm reserve to the kernel, for at most about
 * @budget stacks. Called by idle workers. Returns true if there is more to do.
 */
bool skua_stack_pool_trim(struct skua_stack_pool *pool, unsigned budget);

/* Reads sizes and the high-water mark (by mincore, page by page: slow, harmless to everybody). */
void skua_stack_pool_info(struct skua_stack_pool *pool, struct skua_stack_pool_info *info);

/* The high-water mark as that, or a trim, last found it: nothing is looked at. */
uint64_t skua_stack_pool_high_water(struct skua_stack_pool *pool);

/*
 * The stack whose guard page, or the page below it, holds @address; NULL if none does.
 * Async-signal-safe, any thread, all live pools of the process.
 */
const struct skua_stack *skua_stack_find_guard(const void *address);

#endif /* SKUA_SRC_STACK_POOL_H */
