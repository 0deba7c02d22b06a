/*
 * tests/unit/core/run_queue_cross_test.c - core/run_queue.c in plain C, for machines that have a
 * compiler and an emulator but no test framework. Prints "ok"; exit code 0 if all is well.
 */
#include "core/run_queue.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <time.h>

#define ITEMS 20000u
#define DEADLINE_S 120

static struct skua_run_queue a, b;
static _Atomic unsigned taken[ITEMS + 1];
static _Atomic unsigned taken_count;
static unsigned failures;

#define EXPECT(cond)                                                                               \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            printf("line %d: %s\n", __LINE__, #cond);                                              \
            failures++;                                                                            \
        }                                                                                          \
    } while (0)

static void *item(uintptr_t number)
{
    return (void *)number;
}

/* Relaxed: nobody else knows the queues yet. */
static void reset(uint64_t index)
{
    skua_run_queue_init(&a);
    skua_run_queue_init(&b);
    atomic_store_explicit(&a.head, index, memory_order_relaxed);
    atomic_store_explicit(&a.tail, index, memory_order_relaxed);
}

static void test_order_and_limits(uint64_t index)
{
    void *half[SKUA_RUN_QUEUE_SIZE / 2];

    reset(index);
    EXPECT(skua_run_queue_pop(&a) == NULL);
    for (uintptr_t i = 1; i <= SKUA_RUN_QUEUE_SIZE; i++)
        EXPECT(skua_run_queue_push(&a, item(i)));
    EXPECT(!skua_run_queue_push(&a, item(999)));
    EXPECT(skua_run_queue_count(&a) == SKUA_RUN_QUEUE_SIZE);
    EXPECT(skua_run_queue_take_half(&a, half) == SKUA_RUN_QUEUE_SIZE / 2);
    for (uintptr_t i = 0; i < SKUA_RUN_QUEUE_SIZE / 2; i++)
        EXPECT(half[i] == item(i + 1));
    for (uintptr_t i = SKUA_RUN_QUEUE_SIZE / 2 + 1; i <= SKUA_RUN_QUEUE_SIZE; i++)
        EXPECT(skua_run_queue_pop(&a) == item(i));
    EXPECT(skua_run_queue_pop(&a) == NULL);
}

static void test_steal(uint64_t index)
{
    unsigned count = 0;

    reset(index);
    EXPECT(skua_run_queue_steal(&a, &b, &count) == NULL && count == 0);
    for (uintptr_t i = 1; i <= 7; i++)
        EXPECT(skua_run_queue_push(&a, item(i)));
    EXPECT(skua_run_queue_steal(&a, &b, &count) == item(1) && count == 4);
    for (uintptr_t i = 2; i <= 4; i++)
        EXPECT(skua_run_queue_pop(&b) == item(i));
    EXPECT(skua_run_queue_pop(&b) == NULL);
    EXPECT(skua_run_queue_pop(&a) == item(5));
}

/* Relaxed: the counts are checked after the threads were joined, or only end a loop. */
static void take(void *taken_item)
{
    atomic_fetch_add_explicit(&taken[(uintptr_t)taken_item], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&taken_count, 1, memory_order_relaxed);
}

static void *thief_run(void *arg)
{
    struct timespec now, start;

    (void)arg;
    clock_gettime(CLOCK_MONOTONIC, &start);
    now = start;
    while (atomic_load_explicit(&taken_count, memory_order_relaxed) < ITEMS &&
           now.tv_sec - start.tv_sec < DEADLINE_S) {
        unsigned count;
        void *stolen = skua_run_queue_steal(&a, &b, &count);
        if (stolen == NULL)
            sched_yield();
        for (; stolen != NULL; stolen = skua_run_queue_pop(&b))
            take(stolen);
        clock_gettime(CLOCK_MONOTONIC, &now);
    }
    return NULL;
}

static void test_owner_and_thief(void)
{
    pthread_t thief;
    void *half[SKUA_RUN_QUEUE_SIZE / 2];

    reset((UINT64_C(1) << 32) - 1000);
    if (pthread_create(&thief, NULL, thief_run, NULL) != 0) {
        printf("no thread\n");
        failures++;
        return;
    }
    for (uintptr_t i = 1; i <= ITEMS; i++) {
        while (!skua_run_queue_push(&a, item(i))) {
            unsigned count = skua_run_queue_take_half(&a, half);
            for (unsigned k = 0; k < count; k++)
                take(half[k]);
        }
        void *mine = i % 3 == 0 ? skua_run_queue_pop(&a) : NULL;
        if (mine != NULL)
            take(mine);
    }
    for (void *mine; (mine = skua_run_queue_pop(&a)) != NULL;)
        take(mine);
    pthread_join(thief, NULL);
    for (unsigned i = 1; i <= ITEMS; i++)
        EXPECT(taken[i] == 1);
}

int main(void)
{
    static const uint64_t starts[] = {0, UINT64_C(4294967290), UINT64_MAX - 100, UINT64_MAX};

    for (unsigned i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        test_order_and_limits(starts[i]);
        test_steal(starts[i]);
    }
    test_owner_and_thief();
    printf("%s\n", failures == 0 ? "ok" : "FAILED");
    return failures == 0 ? 0 : 1;
}
