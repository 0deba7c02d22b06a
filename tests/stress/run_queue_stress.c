/*
 * tests/stress/run_queue_stress.c - an owner and three thieves, each item exactly once.
 *
 * The owner pushes numbered items, pops now and then and spills half on overflow; the thieves rob
 * the owner and one another, each into its own queue, which it then drains. An item carries a
 * plain (not atomic) word that its taker reads, so ThreadSanitizer sees a hand-over that is not
 * ordered. Every queue starts just below 2^32 and wraps it.
 *
 * SKUA_STRESS_SCALE (default 1) multiplies the number of items. Exit code 0 and "ok" if all is
 * well; a run that makes no progress ends at a deadline.
 */
#include "core/run_queue.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define THIEVES 3
#define QUEUES (THIEVES + 1)
#define ITEMS_PER_SCALE ((size_t)3000000)
#define DEADLINE_S 300
#define INDEX_FIRST ((UINT64_C(1) << 32) - 1000)

struct item {
    size_t number;          /* plain: handed over by the queue */
    _Atomic unsigned taken; /* how often; must end at 1 */
};

static struct skua_run_queue queues[QUEUES];
static struct item *items;
static size_t item_count;
static _Atomic size_t taken_count;
static _Atomic unsigned wrong_count;
static _Atomic size_t stolen_count;
static struct timespec deadline;

static bool is_late(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec > deadline.tv_sec;
}

/* Relaxed counters: they are summed up after the threads were joined, or only end a loop. */
static void take(struct item *item)
{
    size_t number = item->number;

    if (number != (size_t)(item - items))
        atomic_fetch_add_explicit(&wrong_count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&item->taken, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&taken_count, 1, memory_order_relaxed);
}

static uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void push_or_spill(struct skua_run_queue *q, struct item *item)
{
    void *half[SKUA_RUN_QUEUE_SIZE / 2];

    while (!skua_run_queue_push(q, item)) {
        unsigned count = skua_run_queue_take_half(q, half);
        for (unsigned i = 0; i < count; i++)
            take(half[i]);
    }
}

static void *owner_run(void *arg)
{
    struct skua_run_queue *q = arg;
    uint64_t seed = 88172645463325252u;

    for (size_t i = 0; i < item_count; i++) {
        items[i].number = i;
        push_or_spill(q, &items[i]);
        /* Mostly short of work, at times in floods, so that all of the edges are met. */
        bool is_flood = (i / 4096) % 4 == 3;
        if (!is_flood && random_next(&seed) % 2 == 0) {
            struct item *mine = skua_run_queue_pop(q);
            if (mine != NULL)
                take(mine);
        }
        if (i % 64 == 0)
            sched_yield();
    }
    for (struct item *mine; (mine = skua_run_queue_pop(q)) != NULL;)
        take(mine);
    return NULL;
}

static void *thief_run(void *arg)
{
    struct skua_run_queue *mine = arg;
    size_t self = (size_t)(mine - queues);
    uint64_t seed = 0x9e3779b97f4a7c15u * (self + 1);
    size_t stolen = 0;

    for (size_t turn = 0;; turn++) {
        unsigned count;
        size_t victim = random_next(&seed) % QUEUES;
        if (victim == self)
            continue;
        struct item *item = skua_run_queue_steal(&queues[victim], mine, &count);
        if (item == NULL) {
            if (atomic_load_explicit(&taken_count, memory_order_relaxed) >= item_count)
                break;
            if (turn % 1024 == 0 && is_late())
                break;
            sched_yield();
            continue;
        }
        stolen += count;
        do {
            take(item);
            /* Leaves time to be robbed. */
            if (random_next(&seed) % 16 == 0)
                sched_yield();
            item = skua_run_queue_pop(mine);
        } while (item != NULL);
    }
    atomic_fetch_add_explicit(&stolen_count, stolen, memory_order_relaxed);
    return NULL;
}

static void prepare(void)
{
    const char *scale = getenv("SKUA_STRESS_SCALE");
    double factor = scale != NULL ? atof(scale) : 1.0;

    item_count = (size_t)((double)ITEMS_PER_SCALE * (factor > 0.001 ? factor : 0.001));
    items = calloc(item_count, sizeof(*items));
    if (items == NULL) {
        fprintf(stderr, "no memory for %zu items\n", item_count);
        exit(2);
    }
    for (unsigned i = 0; i < QUEUES; i++) {
        skua_run_queue_init(&queues[i]);
        atomic_store_explicit(&queues[i].head, INDEX_FIRST, memory_order_relaxed);
        atomic_store_explicit(&queues[i].tail, INDEX_FIRST, memory_order_relaxed);
    }
    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += DEADLINE_S;
}

static size_t count_bad(void)
{
    size_t bad = wrong_count;

    for (size_t i = 0; i < item_count; i++) {
        if (items[i].taken != 1) {
            if (bad < 10)
                printf("item %zu was taken %u times\n", i, items[i].taken);
            bad++;
        }
    }
    return bad;
}

int main(void)
{
    pthread_t threads[QUEUES];

    prepare();
    for (unsigned i = 0; i < QUEUES; i++) {
        if (pthread_create(&threads[i], NULL, i == 0 ? owner_run : thief_run, &queues[i]) != 0) {
            fprintf(stderr, "no thread\n");
            return 2;
        }
    }
    for (unsigned i = 0; i < QUEUES; i++)
        pthread_join(threads[i], NULL);
    size_t bad = count_bad();
    printf("%zu items, %zu moved by thieves, %zu bad\n%s\n", item_count, stolen_count, bad,
           bad == 0 ? "ok" : "FAILED");
    free(items);
    return bad == 0 ? 0 : 1;
}
