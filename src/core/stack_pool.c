/*
 * core/stack_pool.c - see stack_pool.h.
 *
 * WHAT   Size classes 16 KiB << n. A class is cut from slabs of up to 64 stacks, mapped at once,
 *        with the lowest page of each stack a guard. Nothing of the bookkeeping is in the stacks: a
 *        slab record holds 16 bytes per stack and some 120 for itself, 18 bytes a stack in all. A
 *        stack that was never touched costs no memory but its share of a page table.
 *
 * STATE  Each stack is held (by a task or a cache), warm (given back, its pages still there), cold
 *        (no pages: fresh or trimmed) or in transit (a trimmer is returning its pages). Warm and
 *        cold are bits in masks of the slab. Slabs with a warm bit are on the class's warm list,
 *        the latest used last; those with cold bits only are on its cold list.
 *
 * INVARIANTS (under the pool's lock)
 *        warm & cold == 0 and (warm | cold) within the slab's stacks
 *        class.warm_count, cold_count == bits in the masks of its slabs
 *        a record is live iff its range is not 0; owner is the pool whose memory it describes
 *
 * RECORDS live in one list for the process, which only grows and is never freed: the fault handler
 *        walks it at any time. A record whose slab is unmapped is dead (range 0) and is used again
 *        for the next slab, of whatever pool and class.
 *
 * ORDERING
 *  [R1]  registry head, release, pairs with [R2] acquire in the walkers: they see the record's
 *        next pointer and slots. Without it a walk could follow an unwritten pointer.
 *  [G1]  slab.range, release, pairs with [G2] acquire in the lookup: a live range means the slots
 *        of the record are filled and its guards are in place. All the lookup needs of a slab is
 *        in this one word, so it never sees a mixture of two slabs. Range 0 is stored before the
 *        munmap in program order; a lookup that still sees the old range runs beside the munmap.
 *
 * GUARDS What is caught: a frame that reaches into the page below the stack. A frame with a hole
 *        larger than a page (a big array that is not touched from the top) may step over the guard
 *        into the stack below it, which is another task's; compile with -fstack-clash-protection,
 *        which touches every page on the way, and no frame can.
 *
 * PROGRESS  skua_stack_find_guard() is wait-free for a given number of records. The pool's lock is
 *        taken once per 32 stacks of the default class, and never held across a system call but
 *        mincore() in skua_stack_pool_info().
 *
 * TESTS  tests/unit/core/stack_pool_test.cc, bench/stack_bench.c
 */
#include "core/stack_pool.h"

#include "base/alloc.h"
#include "base/check.h"
#include "base/list.h"
#include "platform/memory.h"
#include "platform/sanitizer.h"
#include "platform/valgrind.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#if SKUA_ASAN
#include <sanitizer/asan_interface.h>
#endif

#define CLASS_SHIFT_MIN 14u /* SKUA_STACK_MIN */
#define CLASS_COUNT 17u     /* .. SKUA_STACK_MAX */
#define SLAB_STACKS_MAX 64u
#define SLAB_BYTES_SHIFT 23u /* a slab of many stacks is at most 8 MiB */
#define SHARED_SHIFT_MAX 20u /* larger stacks are mapped alone */
#define WARM_BYTES_MAX ((size_t)16 << 20)
#define WARM_STACKS_MAX 256u
#define WARM_STACKS_MIN 4u
#define COLD_STACKS_MAX 1024u
#define TRANSFER_COUNT (SKUA_STACK_CACHE_MAX / 2)
#define RESIDENT_PAGES 1024u
#define COLOR_COUNT 32u

_Static_assert(sizeof(struct skua_stack) == 16, "part of the price of a parked task");
_Static_assert((SKUA_STACK_MIN >> CLASS_SHIFT_MIN) == 1, "the smallest class");
_Static_assert((SKUA_STACK_MAX >> (CLASS_SHIFT_MIN + CLASS_COUNT - 1)) == 1, "the largest class");
_Static_assert(ATOMIC_LONG_LOCK_FREE == 2 && sizeof(uintptr_t) == sizeof(long),
               "the fault handler needs lock-free words");

/*
 * Where a slab is, in one word: base | log2(stacks) << 5 | log2(stack size). Bases are aligned to
 * pages, sizes at least SKUA_STACK_MIN, so no live range is 0.
 */
#define RANGE_SHIFT_MASK ((uintptr_t)31)
#define RANGE_COUNT_BIT 5
#define RANGE_COUNT_MASK ((uintptr_t)7)
#define RANGE_BASE_MASK (~(uintptr_t)4095)

struct slab {
    struct slab *next_record;              /* constant once registered */
    _Atomic uintptr_t range;               /* 0: dead. Written by the owner's lock holder */
    struct skua_stack_pool *_Atomic owner; /* NULL: none. Likewise */
    struct skua_list link;                 /* guarded by the owner's lock; class list or none */
    uint64_t warm;                         /* guarded by the owner's lock */
    uint64_t cold;                         /* guarded by the owner's lock */
    struct slab *next_dead;                /* guarded by records.lock; while dead */
    unsigned *valgrind_ids;                /* constant while live; NULL outside valgrind */
    struct skua_stack stacks[SLAB_STACKS_MAX];
};

struct size_class {
    struct skua_list warm; /* slabs with warm stacks, latest used last */
    struct skua_list cold; /* slabs with cold stacks only */
    size_t warm_count;
    size_t cold_count;
    size_t warm_max; /* constant */
};

struct skua_stack_pool {
    unsigned default_class; /* constant */
    pthread_mutex_t lock;   /* guards all below, and the slabs' masks and links */
    uint64_t created;
    uint64_t high_water_bytes;
    struct size_class classes[CLASS_COUNT];
};

/* The records of the process. */
static struct {
    struct slab *_Atomic head; /* all of them; pushed under the lock */
    pthread_mutex_t lock;
    struct slab *dead; /* guarded by lock */
} records = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Ranges and slots */

static uintptr_t range_make(void *base, unsigned shift, unsigned count_shift)
{
    skua_check(((uintptr_t)base & ~RANGE_BASE_MASK) == 0);
    return (uintptr_t)base | (uintptr_t)count_shift << RANGE_COUNT_BIT | shift;
}

static char *range_base(uintptr_t range)
{
    return (char *)(range & RANGE_BASE_MASK);
}

static unsigned range_shift(uintptr_t range)
{
    return (unsigned)(range & RANGE_SHIFT_MASK);
}

static unsigned range_count(uintptr_t range)
{
    return 1u << ((range >> RANGE_COUNT_BIT) & RANGE_COUNT_MASK);
}

static size_t range_bytes(uintptr_t range)
{
    return (size_t)range_count(range) << range_shift(range);
}

static struct slab *slab_of(const struct skua_stack *stack)
{
    skua_assert(stack->slot < SLAB_STACKS_MAX);
    return skua_container_of((struct skua_stack *)stack - stack->slot, struct slab, stacks);
}

/* Relaxed: the caller holds a stack of the slab, or the owner's lock, and so came after [G1]. */
static uintptr_t slab_range(const struct slab *slab)
{
    return atomic_load_explicit(&slab->range, memory_order_relaxed);
}

static uint64_t slab_full_mask(const struct slab *slab)
{
    return ~UINT64_C(0) >> (SLAB_STACKS_MAX - range_count(slab_range(slab)));
}

/* The smallest class that holds @size_bytes, the guard page included; CLASS_COUNT if none. */
static unsigned class_for(size_t size_bytes)
{
    size_t floor = skua_max(SKUA_STACK_MIN, 4 * skua_memory_page_size());
    size_t size = skua_max(size_bytes, floor);
    unsigned class = 0;
    while (class < CLASS_COUNT && (SKUA_STACK_MIN << class) < size)
        class ++;
    return class;
}

/* Records */

static struct slab *record_acquire(void)
{
    if (skua_alloc_fails()) /* whether or not an earlier simulation has left one */
        return NULL;
    pthread_mutex_lock(&records.lock);
    struct slab *slab = records.dead;
    if (slab != NULL)
        records.dead = slab->next_dead;
    pthread_mutex_unlock(&records.lock);
    if (slab != NULL)
        return slab;

    slab = calloc(1, sizeof(*slab));
    if (slab == NULL)
        return NULL;
    skua_list_init(&slab->link);
    for (unsigned i = 0; i < SLAB_STACKS_MAX; i++)
        slab->stacks[i].slot = i;
    pthread_mutex_lock(&records.lock);
    /* Relaxed: all stores are made under this lock. */
    slab->next_record = atomic_load_explicit(&records.head, memory_order_relaxed);
    atomic_store_explicit(&records.head, slab, memory_order_release); /* [R1] */
    pthread_mutex_unlock(&records.lock);
    return slab;
}

static void record_release(struct slab *slab)
{
    skua_assert(slab_range(slab) == 0);
    pthread_mutex_lock(&records.lock);
    slab->next_dead = records.dead;
    records.dead = slab;
    pthread_mutex_unlock(&records.lock);
}

/* Valgrind wants to know where stacks are. Outside it the first registration answers 0. */
static void slab_tell_valgrind(struct slab *slab, char *base, unsigned shift, unsigned count)
{
    size_t page = skua_memory_page_size();
    size_t size = (size_t)1 << shift;
    unsigned id = skua_valgrind_stack_register(base + page, base + size);
    if (id == 0)
        return;
    slab->valgrind_ids = calloc(count, sizeof(*slab->valgrind_ids));
    if (slab->valgrind_ids == NULL) {
        skua_valgrind_stack_deregister(id);
        return;
    }
    slab->valgrind_ids[0] = id;
    for (unsigned i = 1; i < count; i++) {
        char *low = base + ((size_t)i << shift);
        slab->valgrind_ids[i] = skua_valgrind_stack_register(low + page, low + size);
    }
}

static void slab_untell_valgrind(struct slab *slab, unsigned count)
{
    for (unsigned i = 0; slab->valgrind_ids != NULL && i < count; i++)
        skua_valgrind_stack_deregister(slab->valgrind_ids[i]);
    free(slab->valgrind_ids);
    slab->valgrind_ids = NULL;
}

/* Maps and guards 1 << @count_shift stacks of 1 << @shift bytes. */
static int map_stacks(char **base, unsigned shift, unsigned count_shift)
{
    size_t bytes = (size_t)1 << (shift + count_shift);
    void *memory;
    int rc = skua_alloc_fails() ? -ENOMEM : skua_memory_reserve(&memory, bytes);
    if (rc != 0)
        return rc;
    rc = skua_memory_guard(memory, (size_t)1 << shift, (size_t)1 << count_shift);
    if (rc != 0) {
        (void)skua_memory_unmap(memory, bytes);
        return rc;
    }
    *base = memory;
    return 0;
}

/*
 * A new slab, all its stacks held by the caller. When memory is short a smaller one is tried, so
 * that the last stacks that fit are had.
 */
static struct slab *slab_create(unsigned class)
{
    struct slab *slab = record_acquire();
    if (slab == NULL)
        return NULL;
    unsigned shift = CLASS_SHIFT_MIN + class;
    unsigned count_shift = 0;
    if (shift <= SHARED_SHIFT_MAX)
        count_shift = skua_min(6u, SLAB_BYTES_SHIFT - shift);
    char *base;
    while (map_stacks(&base, shift, count_shift) != 0) {
        if (count_shift == 0) {
            record_release(slab);
            return NULL;
        }
        count_shift -= skua_min(2u, count_shift);
    }
    slab->warm = 0;
    slab->cold = 0;
    slab_tell_valgrind(slab, base, shift, 1u << count_shift);
    uintptr_t range = range_make(base, shift, count_shift);
    atomic_store_explicit(&slab->range, range, memory_order_release); /* [G1] */
    return slab;
}

/*
 * Says whose the slab is, under that pool's lock. Relaxed: a pool only compares it with itself,
 * under its own lock, and nobody else makes a pool the owner or ends that.
 */
static void slab_set_owner(struct slab *slab, struct skua_stack_pool *owner)
{
    atomic_store_explicit(&slab->owner, owner, memory_order_relaxed);
}

static struct skua_stack_pool *slab_owner(const struct slab *slab)
{
    return atomic_load_explicit(&slab->owner, memory_order_relaxed); /* see slab_set_owner() */
}

/*
 * Unmaps a slab that is on no list, has no stack held and no owner any more. False if the kernel
 * refuses: the slab is as before.
 */
static bool slab_destroy(struct slab *slab)
{
    skua_assert(slab_owner(slab) == NULL && slab->warm == 0 && slab->cold == 0);
    uintptr_t range = slab_range(slab);
    /*
     * Dead first: another mapping may appear at the same address at once. Relaxed: it publishes
     * nothing, and a lookup that misses it is one that ran beside the munmap.
     */
    atomic_store_explicit(&slab->range, 0, memory_order_relaxed);
    if (skua_memory_unmap(range_base(range), range_bytes(range)) != 0) {
        atomic_store_explicit(&slab->range, range, memory_order_release); /* [G1] */
        return false;
    }
    slab_untell_valgrind(slab, range_count(range));
    record_release(slab);
    return true;
}

/* The deepest use of any stack in @slab, to the page: the lowest page that is in memory. */
static size_t slab_high_water(uintptr_t range)
{
    unsigned char resident[RESIDENT_PAGES];
    size_t page = skua_memory_page_size();
    size_t size = (size_t)1 << range_shift(range);
    size_t bytes = range_bytes(range);
    size_t deepest = 0;
    for (size_t done = 0; done < bytes;) {
        size_t chunk = skua_min(bytes - done, RESIDENT_PAGES * page);
        if (skua_memory_resident(range_base(range) + done, chunk, resident) != 0)
            break;
        for (size_t i = 0; i < chunk / page; i++) {
            if ((resident[i] & 1) != 0) {
                size_t depth = size - ((done + i * page) & (size - 1));
                deepest = skua_max(deepest, depth);
            }
        }
        done += chunk;
    }
    return deepest;
}

/* Masks and lists; the pool's lock is held */

static struct size_class *class_of(struct skua_stack_pool *pool, const struct slab *slab)
{
    return &pool->classes[range_shift(slab_range(slab)) - CLASS_SHIFT_MIN];
}

/* Puts the slab on the list its masks ask for, as the latest used. */
static void slab_place(struct size_class *class, struct slab *slab)
{
    skua_assert((slab->warm & slab->cold) == 0);
    skua_list_remove(&slab->link);
    if (slab->warm != 0)
        skua_list_push(&class->warm, &slab->link);
    else if (slab->cold != 0)
        skua_list_push(&class->cold, &slab->link);
}

static void slab_put_warm(struct size_class *class, struct slab *slab, uint64_t mask)
{
    skua_check(((slab->warm | slab->cold) & mask) == 0); /* given back twice */
    bool listed = slab->warm != 0;
    slab->warm |= mask;
    class->warm_count += (size_t)__builtin_popcountll(mask);
    if (!listed)
        slab_place(class, slab);
}

static void slab_put_cold(struct size_class *class, struct slab *slab, uint64_t mask)
{
    skua_assert(((slab->warm | slab->cold) & mask) == 0);
    bool listed = (slab->warm | slab->cold) != 0;
    slab->cold |= mask;
    class->cold_count += (size_t)__builtin_popcountll(mask);
    if (!listed)
        slab_place(class, slab);
}

/* Takes at most @want stacks out of @mask of @slab; returns how many and pushes them on @list. */
static unsigned slab_take(struct slab *slab, uint64_t *mask, unsigned want,
                          struct skua_stack **list)
{
    unsigned taken = 0;
    while (taken < want && *mask != 0) {
        struct skua_stack *stack = &slab->stacks[__builtin_ctzll(*mask)];
        *mask &= *mask - 1;
        stack->next = *list;
        *list = stack;
        taken++;
    }
    return taken;
}

/* Takes at most @want stacks, warm before cold. */
static unsigned class_take(struct size_class *class, unsigned want, struct skua_stack **list)
{
    unsigned taken = 0;
    while (taken < want && !skua_list_empty(&class->warm)) {
        struct slab *slab = skua_container_of(class->warm.prev, struct slab, link);
        unsigned got = slab_take(slab, &slab->warm, want - taken, list);
        class->warm_count -= got;
        taken += got;
        if (slab->warm == 0)
            slab_place(class, slab);
    }
    while (taken < want && !skua_list_empty(&class->cold)) {
        struct slab *slab = skua_container_of(class->cold.prev, struct slab, link);
        unsigned got = slab_take(slab, &slab->cold, want - taken, list);
        class->cold_count -= got;
        taken += got;
        if (slab->cold == 0)
            slab_place(class, slab);
    }
    return taken;
}

/* The pool's side of acquire and release */

/* Makes a slab of @class and gives all its stacks to the pool. */
static bool pool_grow(struct skua_stack_pool *pool, unsigned class)
{
    struct slab *slab = slab_create(class);
    if (slab == NULL)
        return false;
    pthread_mutex_lock(&pool->lock);
    slab_set_owner(slab, pool);
    pool->created += range_count(slab_range(slab));
    slab_put_cold(&pool->classes[class], slab, slab_full_mask(slab));
    pthread_mutex_unlock(&pool->lock);
    return true;
}

/* Unmaps the free stacks that are mapped alone, to make room. True if there were any. */
static bool pool_reclaim_large(struct skua_stack_pool *pool)
{
    bool any = false;
    for (unsigned class = SHARED_SHIFT_MAX + 1 - CLASS_SHIFT_MIN; class < CLASS_COUNT; class ++) {
        for (;;) {
            struct skua_stack *stack = NULL;
            pthread_mutex_lock(&pool->lock);
            unsigned got = class_take(&pool->classes[class], 1, &stack);
            if (got == 1)
                slab_set_owner(slab_of(stack), NULL);
            pthread_mutex_unlock(&pool->lock);
            if (got == 0)
                break;
            struct slab *slab = slab_of(stack);
            if (!slab_destroy(slab)) {
                pthread_mutex_lock(&pool->lock);
                slab_set_owner(slab, pool);
                slab_put_warm(&pool->classes[class], slab, 1);
                pthread_mutex_unlock(&pool->lock);
                break;
            }
            any = true;
        }
    }
    return any;
}

/* Takes 1 .. @want stacks onto @list; 0 if there is no memory. */
static unsigned pool_take(struct skua_stack_pool *pool, unsigned class, unsigned want,
                          struct skua_stack **list)
{
    bool reclaimed = false;
    /* Ends: each turn finds stacks, grows by a slab others may empty again, or gives up. */
    for (;;) {
        pthread_mutex_lock(&pool->lock);
        unsigned taken = class_take(&pool->classes[class], want, list);
        pthread_mutex_unlock(&pool->lock);
        if (taken > 0)
            return taken;
        if (pool_grow(pool, class))
            continue;
        if (reclaimed || !pool_reclaim_large(pool))
            return 0;
        reclaimed = true;
    }
}

static void pool_put(struct skua_stack_pool *pool, struct skua_stack *list)
{
    pthread_mutex_lock(&pool->lock);
    while (list != NULL) {
        struct skua_stack *stack = list;
        list = stack->next;
        struct slab *slab = slab_of(stack);
        slab_put_warm(class_of(pool, slab), slab, UINT64_C(1) << stack->slot);
    }
    pthread_mutex_unlock(&pool->lock);
}

int skua_stack_pool_create(struct skua_stack_pool **pool_out, size_t default_size_bytes)
{
    unsigned default_class = class_for(default_size_bytes);
    if (default_class == CLASS_COUNT)
        return -EINVAL;
    struct skua_stack_pool *pool = skua_calloc(1, sizeof(*pool));
    if (pool == NULL)
        return -ENOMEM;
    int rc = pthread_mutex_init(&pool->lock, NULL);
    if (rc != 0) {
        free(pool);
        return -rc;
    }
    pool->default_class = default_class;
    for (unsigned i = 0; i < CLASS_COUNT; i++) {
        struct size_class *class = &pool->classes[i];
        size_t max = WARM_BYTES_MAX / (SKUA_STACK_MIN << i);
        skua_list_init(&class->warm);
        skua_list_init(&class->cold);
        class->warm_max = skua_max(WARM_STACKS_MIN, skua_min(max, WARM_STACKS_MAX));
    }
    *pool_out = pool;
    return 0;
}

void skua_stack_pool_destroy(struct skua_stack_pool *pool)
{
    if (pool == NULL)
        return;
    struct slab *slab = atomic_load_explicit(&records.head, memory_order_acquire); /* [R2] */
    for (; slab != NULL; slab = slab->next_record) {
        if (slab_owner(slab) != pool)
            continue;
        skua_check((slab->warm | slab->cold) == slab_full_mask(slab)); /* a stack is still in use */
        skua_list_remove(&slab->link);
        slab->warm = 0;
        slab->cold = 0;
        slab_set_owner(slab, NULL);
        if (!slab_destroy(slab)) {
            /* Cannot be unmapped: leave it behind as memory nobody owns. */
            (void)skua_memory_discard(range_base(slab_range(slab)), range_bytes(slab_range(slab)));
            atomic_store_explicit(&slab->range, 0, memory_order_relaxed); /* as there */
            record_release(slab);
        }
    }
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

void skua_stack_cache_init(struct skua_stack_cache *cache, struct skua_stack_pool *pool)
{
    *cache = (struct skua_stack_cache){.pool = pool};
}

void skua_stack_cache_fini(struct skua_stack_cache *cache)
{
    struct skua_stack *list = cache->free;
    cache->free = NULL;
    cache->count = 0;
    if (list != NULL)
        pool_put(cache->pool, list);
}

struct skua_stack *skua_stack_acquire(struct skua_stack_cache *cache, size_t size_bytes)
{
    struct skua_stack_pool *pool = cache->pool;
    struct skua_stack *stack = NULL;
    if (size_bytes != 0) {
        unsigned class = class_for(size_bytes);
        if (class == CLASS_COUNT)
            return NULL;
        if (class != pool->default_class) {
            (void)pool_take(pool, class, 1, &stack);
            return stack;
        }
    }
    if (skua_unlikely(cache->count == 0))
        cache->count = pool_take(pool, pool->default_class, TRANSFER_COUNT, &cache->free);
    stack = cache->free;
    if (stack != NULL) {
        cache->free = stack->next;
        cache->count--;
    }
    return stack;
}

/* Gives the half of a full cache that was used longest ago to the pool. */
static SKUA_NOINLINE void cache_overflow(struct skua_stack_cache *cache)
{
    struct skua_stack *last = cache->free;
    for (unsigned i = 1; i < TRANSFER_COUNT; i++)
        last = last->next;
    struct skua_stack *rest = last->next;
    last->next = NULL;
    cache->count = TRANSFER_COUNT;
    pool_put(cache->pool, rest);
}

void skua_stack_release(struct skua_stack_cache *cache, struct skua_stack *stack)
{
    struct slab *slab = slab_of(stack);
    skua_assert(slab_owner(slab) == cache->pool);
#if SKUA_ASAN
    ASAN_UNPOISON_MEMORY_REGION(skua_stack_low(stack), skua_stack_size(stack));
#endif
    if (range_shift(slab_range(slab)) - CLASS_SHIFT_MIN != cache->pool->default_class) {
        stack->next = NULL;
        pool_put(cache->pool, stack);
        return;
    }
    if (skua_unlikely(cache->count == SKUA_STACK_CACHE_MAX))
        cache_overflow(cache);
    stack->next = cache->free;
    cache->free = stack;
    cache->count++;
}

void *skua_stack_low(const struct skua_stack *stack)
{
    uintptr_t range = slab_range(slab_of(stack));
    return range_base(range) + ((size_t)stack->slot << range_shift(range)) +
           skua_memory_page_size();
}

size_t skua_stack_size(const struct skua_stack *stack)
{
    return ((size_t)1 << range_shift(slab_range(slab_of(stack)))) - skua_memory_page_size();
}

size_t skua_stack_color(const struct skua_stack *stack)
{
    return (size_t)(stack->slot % COLOR_COUNT) * SKUA_CACHE_LINE;
}

/* What skua_stack_pool_trim() has taken out of a slab, to work on without the lock. */
struct trim_work {
    struct slab *slab;
    uint64_t mask; /* in transit */
    bool whole;    /* the slab goes */
};

/* Picks warm stacks of the slab used longest ago, at most what is beyond the reserve. */
static bool trim_pick(struct size_class *class, struct trim_work *work)
{
    if (class->warm_count <= class->warm_max)
        return false;
    size_t excess = class->warm_count - class->warm_max;
    struct slab *slab = skua_container_of(class->warm.next, struct slab, link);
    uint64_t mask = slab->warm;
    while ((size_t)__builtin_popcountll(mask) > excess)
        mask &= mask - 1;
    size_t count = (size_t)__builtin_popcountll(mask);
    bool all_free = (mask | slab->cold) == slab_full_mask(slab);
    bool alone = range_count(slab_range(slab)) == 1;
    work->slab = slab;
    work->mask = mask;
    work->whole = all_free && (alone || class->cold_count + count > COLD_STACKS_MAX);
    slab->warm &= ~mask;
    class->warm_count -= count;
    if (work->whole) {
        class->cold_count -= (size_t)__builtin_popcountll(slab->cold);
        work->mask |= slab->cold;
        slab->cold = 0;
        slab_set_owner(slab, NULL);
    }
    if (slab->warm == 0)
        slab_place(class, slab);
    return true;
}

/* Returns the pages of neighbouring stacks in one call each; guards between them survive it. */
static void trim_discard(const struct trim_work *work)
{
    uintptr_t range = slab_range(work->slab);
    unsigned shift = range_shift(range);
    uint64_t mask = work->mask;
    while (mask != 0) {
        unsigned first = (unsigned)__builtin_ctzll(mask);
        uint64_t run = ~(mask >> first); /* its lowest set bit ends the run */
        unsigned count = run == 0 ? SLAB_STACKS_MAX : (unsigned)__builtin_ctzll(run);
        char *low = range_base(range) + ((size_t)first << shift);
        /* Refused on locked memory: then the pages stay, and nothing else changes. */
        (void)skua_memory_discard(low, (size_t)count << shift);
        mask &= count == SLAB_STACKS_MAX ? 0 : ~(((UINT64_C(1) << count) - 1) << first);
    }
}

/* Trims one slab of one class. Returns how many stacks, 0 if none are beyond the reserve. */
static unsigned trim_one(struct skua_stack_pool *pool, struct size_class *class)
{
    struct trim_work work;
    pthread_mutex_lock(&pool->lock);
    bool picked = trim_pick(class, &work);
    pthread_mutex_unlock(&pool->lock);
    if (!picked)
        return 0;
    unsigned count = (unsigned)__builtin_popcountll(work.mask);
    size_t high_water = slab_high_water(slab_range(work.slab));
    bool gone = work.whole && slab_destroy(work.slab);
    if (!gone)
        trim_discard(&work);
    pthread_mutex_lock(&pool->lock);
    pool->high_water_bytes = skua_max(pool->high_water_bytes, high_water);
    if (!gone) {
        slab_set_owner(work.slab, pool);
        slab_put_cold(class, work.slab, work.mask);
    }
    pthread_mutex_unlock(&pool->lock);
    return count;
}

bool skua_stack_pool_trim(struct skua_stack_pool *pool, unsigned budget)
{
    unsigned done = 0;
    for (unsigned i = 0; i < CLASS_COUNT; i++) {
        for (;;) {
            if (done >= budget)
                return true;
            unsigned count = trim_one(pool, &pool->classes[i]);
            if (count == 0)
                break;
            done += count;
        }
    }
    return false;
}

void skua_stack_pool_info(struct skua_stack_pool *pool, struct skua_stack_pool_info *info)
{
    struct slab *slab = atomic_load_explicit(&records.head, memory_order_acquire); /* [R2] */
    for (; slab != NULL; slab = slab->next_record) {
        /* One slab at a time: the lock keeps it mapped, and is free again in between. */
        pthread_mutex_lock(&pool->lock);
        if (slab_owner(slab) == pool) {
            size_t deepest = slab_high_water(slab_range(slab));
            pool->high_water_bytes = skua_max(pool->high_water_bytes, deepest);
        }
        pthread_mutex_unlock(&pool->lock);
    }
    pthread_mutex_lock(&pool->lock);
    info->created = pool->created;
    info->high_water_bytes = pool->high_water_bytes;
    pthread_mutex_unlock(&pool->lock);
    info->guard = skua_memory_guard_name();
}

uint64_t skua_stack_pool_high_water(struct skua_stack_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    uint64_t high_water_bytes = pool->high_water_bytes;
    pthread_mutex_unlock(&pool->lock);
    return high_water_bytes;
}

const struct skua_stack *skua_stack_find_guard(const void *address)
{
    uintptr_t at = (uintptr_t)address;
    uintptr_t page = skua_memory_page_size();
    const struct skua_stack *below = NULL;
    const struct slab *slab = atomic_load_explicit(&records.head, memory_order_acquire); /* [R2] */
    for (; slab != NULL; slab = slab->next_record) {
        uintptr_t range = atomic_load_explicit(&slab->range, memory_order_acquire); /* [G2] */
        if (range == 0)
            continue;
        uintptr_t base = (uintptr_t)range_base(range);
        if (at < base - page || at >= base + range_bytes(range))
            continue;
        /* Counted from one page below the slab, a stack begins with the two pages asked about. */
        uintptr_t offset = at - (base - page);
        uintptr_t slot = offset >> range_shift(range);
        uintptr_t in_stack = offset & (((uintptr_t)1 << range_shift(range)) - 1);
        if (in_stack >= 2 * page || slot >= range_count(range))
            continue;
        if (in_stack >= page)
            return &slab->stacks[slot];
        below = &slab->stacks[slot]; /* the page below: unless it is the guard of another slab */
    }
    return below;
}
