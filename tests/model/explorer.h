/*
 * tests/model/explorer.h - explores every execution of a few threads under a weak memory model.
 *
 * A scenario is a setup, run alone; up to MODEL_THREADS_MAX threads; and a finish, run alone when
 * all threads are through. The explorer visits every interleaving of their atomic operations and
 * for every load every value the model lets it return. See explorer.c for the model.
 *
 * A thread is a plain function, run again from its start for every step and fed what it has already
 * seen. So it must depend on nothing but the results of the operations below and keep its state in
 * local variables.
 *
 * Items are what is handed over: numbers 1 .. MODEL_ITEMS_MAX. An item is made once and must be
 * taken exactly once, by somebody to whom its making is visible (happens-before).
 */
#ifndef SKUA_TESTS_MODEL_EXPLORER_H
#define SKUA_TESTS_MODEL_EXPLORER_H

#include "model_atomics.h"

#include <stdbool.h>
#include <stdint.h>

#define MODEL_THREADS_MAX 3
#define MODEL_ITEMS_MAX 16
#define MODEL_SITES_MAX 16

struct model_scenario {
    const char *name;
    void (*setup)(void);
    void (*threads[MODEL_THREADS_MAX])(void); /* NULL beyond the last */
    void (*finish)(void);
};

struct model_result {
    bool is_bug;
    bool is_cut_short; /* there were more states than the explorer keeps */
    char bug[160];
    uint64_t state_count;
    uint64_t end_count; /* distinct final states */
};

/*
 * Explores until the first bug or the end. The operations of the source line @weakened are taken as
 * relaxed (0: none). With @trace the execution that leads to a bug is printed.
 */
struct model_result model_explore(const struct model_scenario *scenario, unsigned weakened,
                                  bool trace);

/* The operations with an order other than relaxed, met by all explorations so far: how many. */
unsigned model_sites(const struct model_site **sites);

/* In a thread, setup or finish: the item is made, is taken. */
void *model_make(unsigned item);
void model_take(const void *item);

/* In a thread: an observation that must not be. */
void model_fail(const char *what);

/*
 * In a thread: all that matters of what it has seen so far is @carry and what it took. Lets the
 * explorer see that two executions have reached the same state.
 */
void model_boundary(uint64_t carry);

/* In setup: only @thread writes @location, so its own loads of it are no choice points. */
void model_owner(const volatile void *location, unsigned thread);

/*
 * In setup: a read of @location by a thread whose next CAS succeeds must happen before any later
 * write of @location.
 */
void model_guard(const volatile void *location);

#endif /* SKUA_TESTS_MODEL_EXPLORER_H */
