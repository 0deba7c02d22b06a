/*
 * tests/model/run_queue_model.c - explores core/run_queue.c, the file itself, with a small ring.
 *
 * Build: run_queue.c, this file, explorer.c, memory.c and mutants.c with -DSKUA_RUN_QUEUE_SIZE=4
 * -DSKUA_DEBUG, all with -include model_atomics.h (see there). For what it does, and its arguments,
 * see mutants.h.
 *
 * Thread 0 owns queues[0], thread 1 queues[1], thread 2 queues[2]. The indices start just below
 * 2^64, so every scenario wraps them, and the ring of four wraps in most.
 */
#include "core/run_queue.h"
#include "explorer.h"
#include "model_atomics.h"
#include "mutants.h"

#include <stdlib.h>

#define QUEUES 3u
#define INDEX_FIRST (UINT64_MAX - 1)
/* [reuse], [publish], [reuse-dst], [see], [taken], [publish-dst]. */
#define LABELS 6u

_Static_assert(SKUA_RUN_QUEUE_SIZE == 4, "the scenarios count on it");

static struct skua_run_queue queues[QUEUES];

static void queues_init(void)
{
    for (unsigned i = 0; i < QUEUES; i++) {
        struct skua_run_queue *q = &queues[i];
        skua_run_queue_init(q);
        atomic_store_explicit(&q->head, INDEX_FIRST, memory_order_relaxed);
        atomic_store_explicit(&q->tail, INDEX_FIRST, memory_order_relaxed);
        model_owner(&q->tail, i);
        for (unsigned k = 0; k < SKUA_RUN_QUEUE_SIZE; k++) {
            model_owner(&q->slots[k], i);
            model_guard(&q->slots[k]);
        }
    }
}

/* Pushes the items @first .. @last, in setup. */
static void fill(unsigned queue, unsigned first, unsigned last)
{
    for (unsigned item = first; item <= last; item++) {
        if (!skua_run_queue_push(&queues[queue], model_make(item)))
            abort();
    }
}

static void finish(void)
{
    for (unsigned i = 0; i < QUEUES; i++) {
        unsigned count = skua_run_queue_count(&queues[i]);
        void *item;
        while ((item = skua_run_queue_pop(&queues[i])) != NULL) {
            model_take(item);
            count--;
        }
        if (count != 0)
            model_fail("the count was wrong");
    }
}

/* --- what threads do ------------------------------------------------------------------------ */

static void push(unsigned queue, unsigned item)
{
    void *made = model_make(item);

    if (!skua_run_queue_push(&queues[queue], made))
        model_take(made);
    model_boundary(0);
}

static bool pop(unsigned queue)
{
    void *item = skua_run_queue_pop(&queues[queue]);

    if (item != NULL)
        model_take(item);
    model_boundary(item != NULL);
    return item != NULL;
}

static unsigned steal(unsigned from, unsigned to)
{
    unsigned count;
    void *item = skua_run_queue_steal(&queues[from], &queues[to], &count);

    if ((item == NULL) != (count == 0))
        model_fail("steal: the count does not fit the item");
    if (item != NULL)
        model_take(item);
    model_boundary(count);
    return count;
}

static void take_half(unsigned queue)
{
    void *items[SKUA_RUN_QUEUE_SIZE / 2];
    unsigned count = skua_run_queue_take_half(&queues[queue], items);

    for (unsigned i = 0; i < count; i++)
        model_take(items[i]);
    model_boundary(count);
}

static void drain(unsigned queue)
{
    while (pop(queue))
        ;
}

/* --- scenarios ------------------------------------------------------------------------------ */

static void owner_push_pop(void)
{
    push(0, 1);
    push(0, 2);
    pop(0);
    push(0, 3);
    pop(0);
    pop(0);
}

static void thief_1_steals_twice(void)
{
    steal(0, 1);
    drain(1);
    steal(0, 1);
}

static void thief_1_steals(void)
{
    steal(0, 1);
}

static void thief_2_steals(void)
{
    steal(0, 2);
}

static void setup_full(void)
{
    queues_init();
    fill(0, 1, 4);
}

static void setup_two(void)
{
    queues_init();
    fill(0, 1, 2);
}

/* The ring is full: what it pushes lands in slots that a thief has just read. */
static void owner_push_on_full(void)
{
    push(0, 5);
    push(0, 6);
    push(0, 7);
}

static void owner_pop_and_push_on_full(void)
{
    pop(0);
    push(0, 5);
    push(0, 6);
    pop(0);
}

static void owner_push_one_pop_one(void)
{
    push(0, 3);
    pop(0);
}

/* As the worker does on a full queue: spill half, then push; one of the two must make room. */
static void owner_overflow(void)
{
    void *made = model_make(5);

    if (!skua_run_queue_push(&queues[0], made)) {
        take_half(0);
        if (!skua_run_queue_push(&queues[0], made))
            model_fail("no room after take_half");
    }
    model_boundary(0);
    push(0, 6);
    pop(0);
}

static void owner_pop_two_push_two(void)
{
    pop(0);
    pop(0);
    push(0, 5);
    push(0, 6);
}

static void thief_2_robs_thief_1(void)
{
    steal(1, 2);
    drain(2);
}

static void owner_push_one(void)
{
    push(0, 5);
}

static void setup_both_full(void)
{
    queues_init();
    fill(0, 1, 4);
    fill(1, 5, 8);
}

/* What it steals into its queue lands in a slot that thread 2 has just read. */
static void thief_1_drains_then_steals(void)
{
    drain(1);
    steal(0, 1);
}

static void thief_2_robs_thief_1_twice(void)
{
    steal(1, 2);
    drain(2);
    steal(1, 2);
}

static void nothing(void)
{
}

static const struct model_scenario scenarios[] = {
    {"owner against one thief", queues_init, {owner_push_pop, thief_1_steals_twice}, finish},
    {"owner against two thieves",
     queues_init,
     {owner_push_pop, thief_1_steals, thief_2_steals},
     finish},
    {"slots filled anew, one thief",
     setup_full,
     {owner_push_on_full, thief_1_steals_twice},
     finish},
    {"slots filled anew, two thieves",
     setup_full,
     {owner_push_on_full, thief_1_steals, thief_2_steals},
     finish},
    {"slots filled anew after the owner's own pop",
     setup_full,
     {owner_pop_and_push_on_full, thief_1_steals, thief_2_steals},
     finish},
    {"the last items, two thieves",
     setup_two,
     {owner_push_one_pop_one, thief_1_steals, thief_2_steals},
     finish},
    {"overflow against one thief", setup_full, {owner_overflow, thief_1_steals_twice}, finish},
    {"overflow against two thieves",
     setup_full,
     {owner_overflow, thief_1_steals, thief_2_steals},
     finish},
    {"owner pops past a late thief",
     setup_full,
     {owner_pop_two_push_two, thief_1_steals, thief_2_steals},
     finish},
    {"a thief is robbed",
     setup_full,
     {owner_push_one, thief_1_steals, thief_2_robs_thief_1},
     finish},
    {"a thief is robbed before it steals again",
     setup_both_full,
     {nothing, thief_1_drains_then_steals, thief_2_robs_thief_1_twice},
     finish},
};

int main(int argc, char **argv)
{
    static const struct model_suite suite = {
        .scenarios = scenarios, .scenario_count = MODEL_COUNT(scenarios), .site_count = LABELS};

    return model_main(&suite, argc, argv);
}
