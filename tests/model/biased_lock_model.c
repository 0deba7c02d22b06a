/*
 * tests/model/biased_lock_model.c - explores core/biased_lock.c, the real functions: nobody is
 * inside together with anybody else, and each sees what those before have done there.
 *
 * Build: biased_lock.c, this file, explorer.c, memory.c and mutants.c, all with -include
 * model_atomics.h (see there). For what it does, and its arguments, see mutants.h.
 *
 * What the lock guards is a plain location; two accesses that happen-before does not order are a
 * bug. Thread 0 is the owner from the start.
 */
#include "explorer.h"
#include "model_atomics.h"
#include "mutants.h"

#include "core/biased_lock.h"

/* [enter]'s barrier; [leave] in the unlock and in the lock, and the acquire that waits for it. */
#define LABELS 4u

static struct skua_biased_lock lock;
static uint64_t guarded; /* plain */
static char owner, other;

static void setup(void)
{
    atomic_init(&lock.owner, (const void *)&owner);
    atomic_init(&lock.busy, false);
    skua_spin_init(&lock.lock);
    atomic_init(&lock.former, NULL);
    model_ignore(&lock.losses, sizeof(lock.losses));
    model_ignore(&lock.entries, sizeof(lock.entries));
    model_ignore(&lock.last, sizeof(lock.last));
    lock.losses = SKUA_BIAS_LOSSES_MAX;
    model_plain(&guarded, 0);
}

static void barrier(void)
{
    model_barrier();
}

/* @entries are those before: nobody is made owner unless it is told so by that. */
static void enter_after(const void *self, uint32_t entries)
{
    lock.entries = entries; /* not by the model: threads are run again and again from their start */
    lock.last = self;
    bool biased = skua_biased_lock(&lock, self, barrier);
    model_plain_write(&guarded, model_plain_read(&guarded) + 1);
    skua_biased_unlock(&lock, biased);
}

static void enter(const void *self)
{
    enter_after(self, 0);
}

/* Becomes the owner if it may, and enters as such. */
static void next_owner_twice(void)
{
    enter_after(&other, (SKUA_BIAS_ENTRIES << SKUA_BIAS_LOSSES_MAX) - 1);
    enter(&other);
}

static void owner_once(void)
{
    enter(&owner);
}

static void owner_twice(void)
{
    enter(&owner);
    enter(&owner);
}

static void other_once(void)
{
    enter(&other);
}

static void foreign_once(void)
{
    enter(NULL);
}

/* Looks whether it is the owner, then says that it is busy. */
static void owner_looks_first(void)
{
    if (atomic_load_explicit(&lock.owner, memory_order_relaxed) != &owner)
        return;
    atomic_store_explicit(&lock.busy, true, memory_order_relaxed);
    model_plain_write(&guarded, 1);
    skua_biased_unlock(&lock, true);
}

static void finish(void)
{
    if (atomic_load_explicit(&lock.busy, memory_order_relaxed))
        model_fail("busy, and nobody is inside");
}

static const struct model_scenario scenarios[] = {
    {"the owner alone", setup, {owner_twice}, finish},
    {"the owner and another worker", setup, {owner_twice, other_once}, finish},
    {"the owner, another worker, a foreign thread",
     setup,
     {owner_once, other_once, foreign_once},
     finish},
    {"the owner, the next one, a foreign thread",
     setup,
     {owner_once, next_owner_twice, foreign_once},
     finish},
};

static const struct model_scenario broken[] = {
    {"an owner that looks, then says so", setup, {owner_looks_first, other_once}, finish},
};

int main(int argc, char **argv)
{
    static const struct model_suite suite = {.scenarios = scenarios,
                                             .scenario_count = MODEL_COUNT(scenarios),
                                             .broken = broken,
                                             .broken_count = MODEL_COUNT(broken),
                                             .site_count = LABELS};

    return model_main(&suite, argc, argv);
}
