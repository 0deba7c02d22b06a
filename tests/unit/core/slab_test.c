/*
 * unit/core/slab_test.c - the object pool: every object once, batches between threads' caches, a
 * pool that outlives its owner, exhausted memory. A plain program, because slab.h is not C++.
 */
#include "core/slab.h"

#include "platform/memory.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZE 128u
#define MANY 10000u

static int failures;

#define EXPECT(cond)                                                                               \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                             \
            failures++;                                                                            \
        }                                                                                          \
    } while (0)

static int by_address(const void *a, const void *b)
{
    const char *x = *(char *const *)a;
    const char *y = *(char *const *)b;
    return x < y ? -1 : x > y;
}

/* All different, and at least an object apart. */
static void expect_disjoint(void **objects, size_t count)
{
    qsort(objects, count, sizeof(*objects), by_address);
    size_t close = 0;
    for (size_t i = 1; i < count; i++)
        close += (size_t)((char *)objects[i] - (char *)objects[i - 1]) < SIZE;
    EXPECT(close == 0);
}

static void set_true(void *arg)
{
    *(bool *)arg = true;
}

static void objects_are_disjoint_and_come_again(void)
{
    static void *objects[MANY];
    struct skua_slab_pool *pool = skua_slab_pool_create(SIZE);
    struct skua_slab_cache cache;
    bool gone = false;
    skua_slab_cache_init(&cache, pool);
    for (unsigned round = 0; round < 3; round++) {
        for (size_t i = 0; i < MANY; i++) {
            objects[i] = skua_slab_alloc(&cache);
            EXPECT(objects[i] != NULL);
            memset(objects[i], (int)round, SIZE);
        }
        expect_disjoint(objects, MANY);
        for (size_t i = 0; i < MANY; i++)
            skua_slab_free(&cache, objects[i]);
    }
    skua_slab_cache_fini(&cache);
    skua_slab_pool_retire(pool, set_true, &gone);
    EXPECT(gone);
}

struct relay {
    struct skua_slab_pool *pool;
    void *objects[MANY];
};

static void *free_all(void *arg)
{
    struct relay *relay = arg;
    struct skua_slab_cache cache;
    skua_slab_cache_init(&cache, relay->pool);
    for (size_t i = 0; i < MANY; i++)
        skua_slab_free(&cache, relay->objects[i]);
    skua_slab_cache_fini(&cache);
    return NULL;
}

static void count_object(void *object, void *arg)
{
    (void)object;
    ++*(size_t *)arg;
}

/* One thread allocates, another frees: what it gave back is used again, nothing new is mapped. */
static void memory_freed_by_another_thread_is_used_again(void)
{
    static struct relay relay;
    struct skua_slab_cache cache;
    pthread_t thread;
    size_t carved[2] = {0, 0};
    bool gone = false;
    relay.pool = skua_slab_pool_create(SIZE);
    skua_slab_cache_init(&cache, relay.pool);
    for (unsigned round = 0; round < 20; round++) {
        for (size_t i = 0; i < MANY; i++)
            relay.objects[i] = skua_slab_alloc(&cache);
        EXPECT(pthread_create(&thread, NULL, free_all, &relay) == 0);
        EXPECT(pthread_join(thread, NULL) == 0);
        if (round == 0)
            skua_slab_for_each(relay.pool, count_object, &carved[0]);
    }
    skua_slab_for_each(relay.pool, count_object, &carved[1]);
    EXPECT(carved[0] >= MANY && carved[1] <= carved[0] + 512);
    skua_slab_cache_fini(&cache);
    skua_slab_pool_retire(relay.pool, set_true, &gone);
    EXPECT(gone);
}

static void a_retired_pool_lives_until_its_last_object_is_freed(void)
{
    struct skua_slab_pool *pool = skua_slab_pool_create(SIZE);
    struct skua_slab_cache cache;
    bool gone = false;
    skua_slab_cache_init(&cache, pool);
    void *a = skua_slab_alloc(&cache);
    void *b = skua_slab_alloc_shared(pool);
    EXPECT(a != NULL && b != NULL && a != b);
    skua_slab_cache_fini(&cache);
    skua_slab_pool_retire(pool, set_true, &gone);
    EXPECT(!gone);
    memset(a, 1, SIZE);
    skua_slab_free_shared(pool, a);
    EXPECT(!gone);
    skua_slab_free_shared(pool, b);
    EXPECT(gone);
}

static int refuse_mmap(enum skua_memory_call call, size_t size_bytes)
{
    (void)size_bytes;
    return call == SKUA_MEMORY_MMAP ? -ENOMEM : 0;
}

static void exhausted_memory_is_null_and_passes(void)
{
    struct skua_slab_pool *pool = skua_slab_pool_create(SIZE);
    struct skua_slab_cache cache;
    bool gone = false;
    skua_slab_cache_init(&cache, pool);
    skua_memory_set_fault(refuse_mmap);
    EXPECT(skua_slab_alloc(&cache) == NULL);
    EXPECT(skua_slab_alloc_shared(pool) == NULL);
    skua_memory_set_fault(NULL);
    void *object = skua_slab_alloc(&cache);
    EXPECT(object != NULL);
    skua_slab_free(&cache, object);
    skua_slab_cache_fini(&cache);
    skua_slab_pool_retire(pool, set_true, &gone);
    EXPECT(gone);
}

int main(void)
{
    objects_are_disjoint_and_come_again();
    memory_freed_by_another_thread_is_used_again();
    a_retired_pool_lives_until_its_last_object_is_freed();
    exhausted_memory_is_null_and_passes();
    printf("%s\n", failures == 0 ? "ok" : "FAILED");
    return failures == 0 ? 0 : 1;
}
