/*
 * sched/idle.h - who looks for work, who sleeps, who is woken.
 *
 * STATE  word packs two counts: searching (workers looking at others' queues) and sleeping (workers
 *        in, or about to be in, a waiting poll). sleepers has a bit for each sleeping worker: who
 *        clears a bit owns the right and the duty to account for that worker's waking.
 *        watcher: one sleeper, while somebody is awake, sleeps at most SKUA_WATCH_NS at a time and
 *        looks at the others' queues and next slots. One that dozes (QUIET in rescue.h) sleeps
 *        longer, and has resigned.
 *
 *        A retired stand-in (blocked.h) has no bit, but is counted when it sleeps.
 *
 * INVARIANTS
 *   J1  A worker whose bit was cleared by another is counted as searching from that moment, and is
 *       woken by engine wake (sticky), so it will look for work.
 *   J2  Work made by an awake worker is never lost, only found late: that worker will run it, and
 *       if another sleeps, there is a watcher or there will be one (it becomes watcher, or one
 *       notices that the maker is awake, before sleeping for ever). So a push by a worker needs no
 *       fence.
 *       A watcher that leaves with work hands the watch on (skua_idle_search_end()).
 *   J3  Work injected from outside when every worker sleeps wakes one: see ORDERING.
 *
 * ORDERING
 *   SLEEP  seq_cst bit set and count, then a seq_cst load of the inject queue's length (a look at
 *          the run queues too, whose counts are estimates: J2 covers them); partner INJECT: the
 *          outside makes its push visible (the queue's seq_cst count), then loads word (seq_cst).
 *          Store-load on both sides: one of them sees the other.
 *   WATCH  a resigning watcher stores watcher = 0, then loads word; partner AWAKE: a worker that
 *          wakes changes word, then (later, when it makes work) loads watcher. All seq_cst: either
 *          the resigning one sees somebody awake and stays, or the awake one sees no watcher and
 *          notifies.
 *   tests/model/idle_model.c runs idle.c under a weak memory model and finds which seq_cst these
 *   two need: SLEEP's change of word and look at the inject queue; INJECT's count and load of word;
 *   WATCH's store and load; AWAKE's last change of word (of skua_idle_search_end(), or of a sleep
 *   that ended by itself) and load of watcher. The others are seq_cst only because these words are
 *   easier to reason about so, and none is on a fast path: acq_rel would do.
 */
#ifndef SKUA_SRC_IDLE_H
#define SKUA_SRC_IDLE_H

#include "base/compiler.h"

#include <skua/runtime.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SKUA_IDLE_WORDS (SKUA_WORKERS_MAX / 64)
#define SKUA_WATCH_NS UINT64_C(1000000)

struct skua_worker;

struct skua_idle {
    _Atomic uint32_t word SKUA_CACHE_ALIGNED; /* searching in the low half, sleeping in the high */
    _Atomic bool watcher;
    _Atomic uint64_t sleepers[SKUA_IDLE_WORDS];
};

#define SKUA_IDLE_SEARCHING 1u
#define SKUA_IDLE_SLEEPING (1u << 16)

static inline uint32_t skua_idle_searching(uint32_t word)
{
    return word & 0xffff;
}

static inline uint32_t skua_idle_sleeping(uint32_t word)
{
    return word >> 16;
}

void skua_idle_init(struct skua_idle *idle);

/* Wakes one sleeper if there is one and nobody is searching. @thread: the caller's, may be NULL. */
struct skua_thread;
void skua_idle_notify(skua_runtime *runtime, struct skua_thread *thread);

/* A worker wants to search: false if enough others do. */
bool skua_idle_search_begin(struct skua_worker *worker);

/*
 * A searching worker stops searching; @found: it has work, and the last one to stop wakes another.
 */
void skua_idle_search_end(struct skua_worker *worker, bool found);

/* Sleeps in the engine until there may be something to do. */
void skua_idle_sleep(struct skua_worker *worker);

/* Whether no worker is awake; any is not; @worker is not. Guesses, the first in ASLEEP's order. */
bool skua_idle_all_asleep(skua_runtime *runtime);
bool skua_idle_any_asleep(skua_runtime *runtime);
bool skua_idle_is_asleep(struct skua_worker *worker);

/* Wakes every worker. */
void skua_idle_wake_all(skua_runtime *runtime);

/* A worker's new work is visible: wakes somebody if that may help. Cheap when nobody sleeps. */
void skua_idle_announce_slow(skua_runtime *runtime, struct skua_thread *thread);

/* Whether an announcement would wake somebody. A guess. */
static inline bool skua_idle_would_wake(struct skua_idle *idle)
{
    /* relaxed: J2 */
    uint32_t word = atomic_load_explicit(&idle->word, memory_order_relaxed);
    return skua_idle_sleeping(word) != 0 && skua_idle_searching(word) == 0;
}

static SKUA_ALWAYS_INLINE void skua_idle_announce(struct skua_idle *idle, skua_runtime *runtime,
                                                  struct skua_thread *thread)
{
    if (skua_unlikely(skua_idle_would_wake(idle)))
        skua_idle_announce_slow(runtime, thread);
}

#endif /* SKUA_SRC_IDLE_H */
