/*
 * tests/model/explorer.h - explores every execution of a few threads under a weak memory model.
 *
 * A scenario is a setup, run alone; up to MODEL_THREADS_MAX threads; and a finish, run alone when
 * all threads are through or wait for what will not come. The explorer visits every interleaving of
 * their atomic operations and for every load every value the model lets it return. See memory.h
 * for the model, explorer.c for the search.
 *
 * A thread is a plain function, run again from its start for every step and fed what it has already
 * seen. So it must depend on nothing but the results of the operations below and keep its state in
 * local variables, or in variables that it sets before it reads them.
 *
 * Items are what is handed over: numbers 1 .. MODEL_ITEMS_MAX. An item is made once and must be
 * taken exactly once, by somebody to whom its making is visible (happens-before).
 */
#ifndef SKUA_TESTS_MODEL_EXPLORER_H
#define SKUA_TESTS_MODEL_EXPLORER_H

#include "model_atomics.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MODEL_THREADS_MAX 4
#define MODEL_ITEMS_MAX 16
#define MODEL_SITES_MAX 40

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

enum model_access { MODEL_READS, MODEL_WRITES, MODEL_UPDATES, MODEL_FENCES };

/* An operation with an order other than relaxed, or a barrier, in the source under test. */
struct model_site_use {
    struct model_site site;
    memory_order order;
    enum model_access access;
    bool is_failure; /* of a compare-and-swap: its order when it fails */
};

/* What is to be taken weaker than it stands. */
struct model_mutant {
    struct model_site_use use;
    memory_order order; /* instead; a barrier is left out */
};

/*
 * Explores until the first bug or the end, the source as it stands or a @mutant of it. With @trace
 * the execution that leads to a bug is printed.
 */
struct model_result model_explore(const struct model_scenario *scenario,
                                  const struct model_mutant *mutant, bool trace);

/* The sites met by all explorations so far: how many. */
unsigned model_sites(const struct model_site_use **uses);

/* In a thread, setup or finish: the item is made, is taken. */
void *model_make(unsigned item);
void model_take(const void *item);

/* In a thread or finish: an observation that must not be. */
void model_fail(const char *what);

/*
 * In a thread: all that matters of what it has seen so far is @carry and what it took. Lets the
 * explorer see that two executions have reached the same state.
 */
void model_boundary(uint64_t carry);

/* In a thread: some number below @count; all are tried. */
unsigned model_choose(unsigned count);

/*
 * In a thread: a load that waits until (value & @mask) == @want. @may_last: it may wait for ever;
 * otherwise that is a bug.
 */
uint64_t model_await(const volatile void *address, uint64_t mask, uint64_t want, memory_order order,
                     bool may_last, struct model_site site);
#define MODEL_AWAIT(p, mask, want, order)                                                          \
    model_await((p), (mask), (want), (order), false, MODEL_SITE(p))

/*
 * In a thread: a full barrier in all threads, as of membarrier(2): in the caller, then in the
 * others, one by one and in any order, while all go on; then in the caller again. A site.
 */
void model_barrier_at(struct model_site site);
#define model_barrier() model_barrier_at((struct model_site){__func__, __LINE__, 0})

/*
 * In setup: @location, which need not be atomic, is given from thread to thread: each read and
 * write of it must happen after the writes, each write also after the reads before it.
 */
void model_plain(const volatile void *location, uint64_t value);
uint64_t model_plain_read(const volatile void *location);
void model_plain_write(const volatile void *location, uint64_t value);

/* In setup: only @thread writes @location; anything else is a bug. */
void model_owner(const volatile void *location, unsigned thread);

/*
 * In setup: a read of @location by a thread whose next CAS succeeds must happen before any later
 * write of @location.
 */
void model_guard(const volatile void *location);

/*
 * In setup: a variable that is not atomic and only accessed under a lock. It is kept with the
 * state; that the lock is held is not checked.
 */
void model_guarded_by_lock(bool *variable);

/* In setup: what stands there is of no interest, statistics for example; read and written as is. */
void model_ignore(const volatile void *address, size_t size);

#endif /* SKUA_TESTS_MODEL_EXPLORER_H */
