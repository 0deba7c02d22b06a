/*
 * unit/core/deque_pool_test.c - the pool of fork deques: each once, numbers, alignment, reuse,
 * exhausted memory, many threads. A plain program, because deque_pool.h is not C++.
 */
#include "core/deque_pool.h"

#include "platform/memory.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#define MANY 200u
#define THREADS 4u
#define ROUNDS 20000u

static int failures;

#define EXPECT(cond)                                                                               \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                             \
            failures++;                                                                            \
        }                                                                                          \
    } while (0)

static void every_deque_is_empty_aligned_and_found_by_its_number(void)
{
    static struct skua_deque *deques[MANY];
    struct skua_deque_pool *pool = skua_deque_pool_create();
    EXPECT(skua_deque_pool_count(pool) == 0);
    for (uint32_t i = 0; i < MANY; i++) {
        deques[i] = skua_deque_pool_acquire(pool);
        EXPECT(deques[i] != NULL);
        EXPECT(skua_deque_pool_count(pool) == i + 1);
        EXPECT(deques[i]->number == i);
        EXPECT((uintptr_t)deques[i] % SKUA_DEQUE_BYTES == 0);
        EXPECT(skua_deque_is_empty(deques[i]));
        EXPECT(deques[i]->slow_only);
        EXPECT(skua_deque_head(deques[i]) == &deques[i]->slots[SKUA_DEQUE_FIRST]);
    }
    for (uint32_t i = 0; i < MANY; i++) {
        EXPECT(skua_deque_pool_get(pool, i) == deques[i]);
        for (uint32_t slot = 0; slot < SKUA_DEQUE_SLOTS; slot += SKUA_DEQUE_SLOTS - 1)
            EXPECT(skua_deque_of_slot(&deques[i]->slots[slot]) == deques[i]);
        skua_deque_pool_release(pool, deques[i]);
    }
    skua_deque_pool_destroy(pool);
}

static void what_is_given_back_is_handed_out_again(void)
{
    struct skua_deque_pool *pool = skua_deque_pool_create();
    struct skua_deque *first = skua_deque_pool_acquire(pool);
    struct skua_deque *second = skua_deque_pool_acquire(pool);
    EXPECT(first != second);
    for (unsigned i = 0; i < 100; i++) {
        skua_deque_pool_release(pool, first);
        EXPECT(skua_deque_pool_acquire(pool) == first);
    }
    EXPECT(skua_deque_pool_count(pool) == 2);
    skua_deque_pool_release(pool, first);
    skua_deque_pool_release(pool, second);
    EXPECT(skua_deque_pool_acquire(pool) == second);
    EXPECT(skua_deque_pool_acquire(pool) == first);
    EXPECT(skua_deque_pool_acquire(pool)->number == 2);
    skua_deque_pool_release(pool, skua_deque_pool_get(pool, 2));
    skua_deque_pool_release(pool, second);
    skua_deque_pool_release(pool, first);
    skua_deque_pool_destroy(pool);
}

static void a_deque_that_was_given_back_may_still_be_looked_at(void)
{
    struct skua_deque_pool *pool = skua_deque_pool_create();
    struct skua_deque *deque = skua_deque_pool_acquire(pool);
    skua_deque_pool_release(pool, deque);
    EXPECT(!skua_deque_has_public(deque));
    EXPECT(!skua_deque_has_private(deque));
    EXPECT(skua_deque_steal(deque) == NULL);
    skua_deque_request(deque);
    skua_deque_disturb(deque);
    struct skua_deque *again = skua_deque_pool_acquire(pool);
    EXPECT(again == deque && skua_deque_is_empty(again));
    skua_deque_pool_release(pool, again);
    skua_deque_pool_destroy(pool);
}

static int refuse_maps(enum skua_memory_call call, size_t size_bytes)
{
    (void)size_bytes;
    return call == SKUA_MEMORY_MMAP ? -ENOMEM : 0;
}

static void exhausted_memory_is_null_and_may_pass(void)
{
    struct skua_deque_pool *pool = skua_deque_pool_create();
    skua_memory_set_fault(refuse_maps);
    EXPECT(skua_deque_pool_acquire(pool) == NULL);
    EXPECT(skua_deque_pool_count(pool) == 0);
    skua_memory_set_fault(NULL);
    struct skua_deque *deque = skua_deque_pool_acquire(pool);
    EXPECT(deque != NULL);
    skua_deque_pool_release(pool, deque);
    skua_deque_pool_destroy(pool);
}

static void the_limit_holds(void)
{
    static struct skua_deque *deques[SKUA_DEQUES_MAX];
    struct skua_deque_pool *pool = skua_deque_pool_create();
    for (uint32_t i = 0; i < SKUA_DEQUES_MAX; i++)
        deques[i] = skua_deque_pool_acquire(pool);
    EXPECT(deques[SKUA_DEQUES_MAX - 1] != NULL);
    EXPECT(skua_deque_pool_acquire(pool) == NULL);
    EXPECT(skua_deque_pool_count(pool) == SKUA_DEQUES_MAX);
    skua_deque_pool_release(pool, deques[7]);
    EXPECT(skua_deque_pool_acquire(pool) == deques[7]);
    skua_deque_pool_destroy(pool);
}

static void null_can_be_destroyed(void)
{
    skua_deque_pool_destroy(NULL);
}

/* ---- many threads ---------------------------------------------------------------------------- */

static void *take_and_give(void *arg)
{
    struct skua_deque_pool *pool = arg;
    size_t wrong = 0;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct skua_deque *deque = skua_deque_pool_acquire(pool);
        if (deque == NULL) {
            wrong++;
            continue;
        }
        /* relaxed: ordered by the pool, or it is handed out twice */
        wrong += atomic_exchange_explicit(&deque->task, pool, memory_order_relaxed) != NULL;
        wrong += skua_deque_pool_get(pool, deque->number) != deque;
        atomic_store_explicit(&deque->task, NULL, memory_order_relaxed);
        skua_deque_pool_release(pool, deque);
    }
    return (void *)wrong;
}

static void no_deque_is_handed_out_twice(void)
{
    struct skua_deque_pool *pool = skua_deque_pool_create();
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++)
        EXPECT(pthread_create(&threads[i], NULL, take_and_give, pool) == 0);
    for (unsigned i = 0; i < THREADS; i++) {
        void *wrong = NULL;
        pthread_join(threads[i], &wrong);
        EXPECT(wrong == NULL);
    }
    EXPECT(skua_deque_pool_count(pool) <= THREADS);
    skua_deque_pool_destroy(pool);
}

int main(void)
{
    every_deque_is_empty_aligned_and_found_by_its_number();
    what_is_given_back_is_handed_out_again();
    a_deque_that_was_given_back_may_still_be_looked_at();
    exhausted_memory_is_null_and_may_pass();
    the_limit_holds();
    null_can_be_destroyed();
    no_deque_is_handed_out_twice();
    return failures == 0 ? 0 : 1;
}
