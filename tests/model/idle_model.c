/*
 * tests/model/idle_model.c - explores sched/idle.c, the file itself: SLEEP and INJECT, WATCH and
 * AWAKE.
 *
 * Build: sched/idle.c, this file, explorer.c, memory.c and mutants.c with -DSKUA_DEBUG, all with
 * -include model_atomics.h (see there). For what it does, and its arguments, see mutants.h.
 *
 * Workers look for work and sleep, some of them for ever; others inject work from outside, or make
 * it and then compute without end. A sleep is a wait for the engine's wake. One that has a deadline
 * may end by itself, once in a scenario's life or not at all: what matters is whether anybody is
 * left who will look. In the end nothing may lie in the inject queue while all workers sleep, and
 * nothing in the next slot of one that computes while others sleep and nobody watches.
 *
 * COPIES  What is taken from sched/worker.c (find, search, steal, inject, skua_worker_any_work,
 *         skua_worker_wake_task) and core/inject_queue.c stands here with its orders, without tasks:
 *         queues are counts.
 */
#include "explorer.h"
#include "model_atomics.h"
#include "mutants.h"

#include "sched/runtime_impl.h"

#include <string.h>

#define WORKERS_MAX 3u
#define LABELS 20u

static struct skua_runtime runtime;
static struct skua_worker workers[WORKERS_MAX];
static struct skua_engine engines[WORKERS_MAX];
static _Atomic bool woken[WORKERS_MAX];   /* what wake() leaves for poll() */
static _Atomic bool looking[WORKERS_MAX]; /* awake, and not followed any further */
static _Atomic bool timed[WORKERS_MAX];   /* asleep until a deadline; nobody else looks */
static _Atomic uint32_t injected;         /* the inject queue's count */
static struct skua_spin inject_lock;
static _Atomic uint32_t next[WORKERS_MAX]; /* 1: a task in the next slot */

/* ---- the engine, and others that idle.c calls ------------------------------------------------ */

static void engine_wake(struct skua_engine *engine)
{
    /* release, partner poll: what the waker wrote is visible to who is woken */
    atomic_store_explicit(&woken[engine - engines], true, memory_order_release);
}

static unsigned engine_poll(struct skua_engine *engine, uint64_t deadline_ns)
{
    unsigned index = (unsigned)(engine - engines);
    bool is_timed = deadline_ns != UINT64_MAX;

    atomic_store_explicit(&timed[index], is_timed, memory_order_relaxed);
    if (!is_timed || model_choose(2) == 0) {
        (void)model_await(&woken[index], 1, 1, memory_order_acquire, true,
                          MODEL_SITE(&woken[index]));
        atomic_store_explicit(&woken[index], false, memory_order_relaxed);
    }
    atomic_store_explicit(&timed[index], false, memory_order_relaxed);
    return 0;
}

static uint64_t engine_now(struct skua_engine *engine)
{
    (void)engine;
    return 0;
}

bool skua_stack_pool_trim(struct skua_stack_pool *pool, unsigned count)
{
    (void)pool;
    (void)count;
    return false;
}

bool skua_worker_any_work(struct skua_worker *self)
{
    /* [look] in inject_queue.h */
    if (atomic_load_explicit(&injected, memory_order_seq_cst) != 0)
        return true;
    return atomic_load_explicit(&next[self->index], memory_order_seq_cst) != 0;
}

/* ---- workers --------------------------------------------------------------------------------- */

static bool take_injected(void)
{
    if (atomic_load_explicit(&injected, memory_order_seq_cst) == 0) /* [look] */
        return false;
    skua_spin_lock(&inject_lock);
    uint32_t count = atomic_load_explicit(&injected, memory_order_relaxed);
    if (count > 0)
        atomic_store_explicit(&injected, count - 1, memory_order_relaxed);
    skua_spin_unlock(&inject_lock);
    return count > 0;
}

/* The late pass over the others' next slots. */
static bool steal(const struct skua_worker *worker)
{
    for (unsigned i = 0; i < runtime.worker_count; i++) {
        uint32_t expected = 1;
        if (i != worker->index && atomic_load_explicit(&next[i], memory_order_relaxed) == 1 &&
            atomic_compare_exchange_strong_explicit(&next[i], &expected, 0, memory_order_relaxed,
                                                    memory_order_relaxed))
            return true;
    }
    return false;
}

static bool find(struct skua_worker *worker)
{
    bool is_found = take_injected();

    if (!is_found && !skua_idle_search_begin(worker))
        return false;
    is_found = is_found || steal(worker) || take_injected();
    if (is_found)
        skua_idle_search_end(worker, true);
    return is_found;
}

/*
 * A worker that has found nothing: sleeps, and looks again, up to @naps times. True: it has found
 * something. Otherwise it goes on looking, which is not followed any further.
 */
static bool sleep_until_found(struct skua_worker *worker, unsigned naps)
{
    worker->searching = false;
    worker->watched = false;
    worker->trim = SKUA_TRIM_DONE;
    while (naps-- > 0) {
        skua_idle_sleep(worker);
        if (find(worker))
            return true;
        model_boundary(worker->searching + 2u * worker->watched);
    }
    atomic_store_explicit(&looking[worker->index], true, memory_order_relaxed);
    return false;
}

/* In a task: makes another one ready, as skua_worker_wake_task(). */
static void wake_task(struct skua_worker *worker)
{
    if (atomic_load_explicit(&next[worker->index], memory_order_relaxed) != 0)
        return;
    atomic_store_explicit(&next[worker->index], 1, memory_order_relaxed);
    uint32_t word = atomic_load_explicit(&runtime.idle.word, memory_order_relaxed);
    if (skua_idle_sleeping(word) != 0 &&
        !atomic_load_explicit(&runtime.idle.watcher, memory_order_seq_cst)) /* WATCH, AWAKE */
        skua_idle_announce_slow(&runtime, &worker->thread);
}

static void worker_0_naps(void)
{
    (void)sleep_until_found(&workers[0], 1);
}

static void worker_0_naps_twice(void)
{
    (void)sleep_until_found(&workers[0], 2);
}

static void worker_1_naps(void)
{
    (void)sleep_until_found(&workers[1], 1);
}

static void worker_2_naps(void)
{
    (void)sleep_until_found(&workers[2], 1);
}

/* The task it finds wakes another one and computes without end. */
static void worker_0_naps_and_hogs(void)
{
    if (sleep_until_found(&workers[0], 1))
        wake_task(&workers[0]);
}

static void worker_0_hogs(void)
{
    wake_task(&workers[0]);
}

static void worker_0_hogs_and_wakes_twice(void)
{
    wake_task(&workers[0]);
    wake_task(&workers[0]);
}

static void inject(void)
{
    skua_spin_lock(&inject_lock);
    uint32_t before = atomic_load_explicit(&injected, memory_order_relaxed);
    atomic_store_explicit(&injected, before + 1, memory_order_seq_cst); /* [grow] */
    skua_spin_unlock(&inject_lock);
    skua_idle_notify(&runtime, NULL);
}

static void outside_once(void)
{
    inject();
}

static void outside_twice(void)
{
    inject();
    model_boundary(0);
    inject();
}

/* ---- scenarios ------------------------------------------------------------------------------- */

static const struct skua_engine_ops engine_ops = {
    .poll = engine_poll, .wake = engine_wake, .now = engine_now};

static void setup(unsigned count)
{
    memset(&runtime, 0, sizeof(runtime));
    memset(workers, 0, sizeof(workers));
    runtime.worker_count = count;
    runtime.workers = workers;
    model_ignore(workers, sizeof(workers));
    skua_idle_init(&runtime.idle);
    skua_spin_init(&inject_lock);
    atomic_init(&injected, 0);
    for (unsigned i = 0; i < count; i++) {
        workers[i].thread.runtime = &runtime;
        workers[i].thread.worker = &workers[i];
        workers[i].index = i;
        workers[i].engine = &engines[i];
        engines[i].ops = &engine_ops;
        atomic_init(&woken[i], false);
        atomic_init(&timed[i], false);
        atomic_init(&looking[i], false);
        atomic_init(&next[i], 0);
    }
}

static void setup_one(void)
{
    setup(1);
}

static void setup_two(void)
{
    setup(2);
}

static void setup_three(void)
{
    setup(3);
}

static void finish(void)
{
    uint64_t bits = atomic_load_explicit(&runtime.idle.sleepers[0], memory_order_relaxed);
    uint32_t word = atomic_load_explicit(&runtime.idle.word, memory_order_relaxed);
    bool is_watched = false;
    bool is_left = false;

    for (unsigned i = 0; i < runtime.worker_count; i++) {
        if (atomic_load_explicit(&looking[i], memory_order_relaxed))
            return;
    }
    if (skua_idle_sleeping(word) != (uint32_t)__builtin_popcountll(bits))
        model_fail("the count of sleepers is wrong");
    if (bits == (UINT64_C(1) << runtime.worker_count) - 1 &&
        atomic_load_explicit(&injected, memory_order_relaxed) != 0)
        model_fail("work was injected, and all sleep");
    for (unsigned i = 0; i < runtime.worker_count; i++) {
        is_watched |= atomic_load_explicit(&timed[i], memory_order_relaxed);
        is_left |= atomic_load_explicit(&next[i], memory_order_relaxed) != 0;
    }
    if (is_left && bits != 0 && !is_watched)
        model_fail("a task waits behind one that computes, others sleep, and nobody watches");
}

static const struct model_scenario scenarios[] = {
    {"one worker, one from outside", setup_one, {worker_0_naps, outside_once}, finish},
    {"one worker, two from outside", setup_one, {worker_0_naps_twice, outside_twice}, finish},
    {"one hogs", setup_two, {worker_0_hogs, worker_1_naps}, finish},
    {"one hogs, two sleep",
     setup_three,
     {worker_0_hogs, worker_1_naps, worker_2_naps},
     finish},
    {"the watcher leaves",
     setup_three,
     {worker_0_hogs_and_wakes_twice, worker_1_naps, worker_2_naps},
     finish},
    {"woken to hog", setup_two, {worker_0_naps_and_hogs, worker_1_naps, outside_once}, finish},
    {"two workers, one from outside",
     setup_two,
     {worker_0_naps, worker_1_naps, outside_once},
     finish},
};

int main(int argc, char **argv)
{
    static const struct model_suite suite = {
        .scenarios = scenarios, .scenario_count = MODEL_COUNT(scenarios), .site_count = LABELS};

    return model_main(&suite, argc, argv);
}
