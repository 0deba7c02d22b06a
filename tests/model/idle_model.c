/*
 * tests/model/idle_model.c - explores sched/idle.c, the file itself: SLEEP and INJECT, WATCH and
 * AWAKE.
 *
 * Build: sched/idle.c, this file, explorer.c, memory.c and mutants.c with -DSKUA_DEBUG, all with
 * -include model_atomics.h (see there). For what it does, and its arguments, see mutants.h.
 *
 * Workers sleep and look for work, others inject it from outside, or have made some and compute
 * without end. A sleep is a wait for the engine's wake, perhaps for ever; one with a deadline may
 * end by itself or go on. What counts is who is left in the end: nothing may lie in the inject
 * queue while all workers sleep, and nothing in the next slot of a worker that computes while
 * others sleep and none of them has a deadline.
 *
 * COPIES  What is taken from sched/worker.c (find, search, steal, inject, skua_worker_any_work,
 *         skua_worker_wake_task) and core/inject_queue.c stands here with its orders, without
 *         tasks: queues are counts.
 */
#include "explorer.h"
#include "model_atomics.h"
#include "mutants.h"

#include "sched/ops.h"
#include "sched/rescue.h"
#include "sched/runtime_impl.h"

#include <string.h>

#define WORKERS_MAX 3u
#define LABELS 24u /* 19 in idle.c, 5 in the copies */

static struct skua_runtime runtime;
static struct skua_worker workers[WORKERS_MAX];
static struct skua_engine engines[WORKERS_MAX];
static _Atomic bool woken[WORKERS_MAX];   /* what wake() leaves for poll() */
static _Atomic bool looking[WORKERS_MAX]; /* awake, and not followed any further */
static _Atomic bool timed[WORKERS_MAX];   /* asleep until a deadline; nobody else looks */
static _Atomic bool resting[WORKERS_MAX]; /* asleep, retired */
static _Atomic uint32_t injected;         /* the inject queue's count */
static struct skua_spin inject_lock;
static bool dozes;                         /* whoever watches; constant after setup */
static unsigned timer_of;                  /* whose next sleep ends at once; constant after setup */
static _Atomic uint32_t next[WORKERS_MAX]; /* 1: a task in the next slot */

/* ---- the engine, and others that idle.c calls ------------------------------------------------ */

static void engine_wake(struct skua_engine *engine)
{
    /* relaxed: idle.c does not count on what engines promise */
    atomic_store_explicit(&woken[engine - engines], true, memory_order_relaxed);
}

static unsigned engine_poll(struct skua_engine *engine, uint64_t deadline_ns)
{
    unsigned index = (unsigned)(engine - engines);
    bool is_timed = deadline_ns != UINT64_MAX;

    if (index == timer_of)
        return 0;
    atomic_store_explicit(&timed[index], is_timed, memory_order_relaxed);
    bool rests = skua_worker_is_retired(&workers[index]) && !skua_idle_is_asleep(&workers[index]);
    atomic_store_explicit(&resting[index], rests, memory_order_relaxed);
    if (!is_timed || model_choose(2) == 0) {
        (void)model_await(&woken[index], 1, 1, memory_order_relaxed, true,
                          MODEL_SITE(&woken[index]));
        atomic_store_explicit(&woken[index], false, memory_order_relaxed);
    }
    atomic_store_explicit(&timed[index], false, memory_order_relaxed);
    atomic_store_explicit(&resting[index], false, memory_order_relaxed);
    return 0;
}

static uint64_t engine_now(struct skua_engine *engine)
{
    (void)engine;
    return 0;
}

/* No timers. */
uint64_t skua_timer_queue_deadline(const struct skua_timer_queue *queue)
{
    (void)queue;
    return UINT64_MAX;
}

uint64_t skua_rescue_interval(struct skua_worker *whose, uint64_t now_ns)
{
    (void)whose;
    (void)now_ns;
    return dozes ? 2 * SKUA_WATCH_NS : SKUA_WATCH_NS;
}

void skua_ops_after_poll(struct skua_worker *worker)
{
    (void)worker; /* there are no ops here */
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
    return skua_worker_own_work(self);
}

bool skua_worker_own_work(struct skua_worker *self)
{
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

static void begin(struct skua_worker *worker)
{
    worker->searching = false;
    worker->watched = false;
    worker->trim = SKUA_TRIM_DONE;
}

/*
 * A worker that has found nothing: sleeps, and looks again, up to @naps times. True: it has found
 * something. Otherwise it goes on looking, which is not followed any further.
 */
static bool sleep_until_found(struct skua_worker *worker, unsigned naps)
{
    begin(worker);
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

/* The task it finds wakes another one and computes without end. */
static void worker_0_naps_and_hogs(void)
{
    if (sleep_until_found(&workers[0], 1))
        wake_task(&workers[0]);
}

/*
 * The same, asleep from the start: of skua_idle_sleep() only what comes after the wake. A wake by
 * others is all that can come, so it is counted as searching.
 */
static void worker_0_is_woken_and_hogs(void)
{
    begin(&workers[0]);
    (void)engine_poll(&engines[0], UINT64_MAX);
    workers[0].searching = true; /* J1 */
    if (find(&workers[0]))
        wake_task(&workers[0]);
    else
        atomic_store_explicit(&looking[0], true, memory_order_relaxed);
}

/* Asleep from the start, and retired when it is woken, which was to find what is there. */
static void worker_0_is_woken_and_retires(void)
{
    begin(&workers[0]);
    (void)engine_poll(&engines[0], UINT64_MAX);
    workers[0].searching = true;             /* J1 */
    skua_idle_search_end(&workers[0], true); /* find_own() */
    skua_idle_sleep(&workers[0]);
}

/* A timer ends its sleep, and the timer's task wakes another one and computes without end. */
static void worker_0_sleeps_and_hogs(void)
{
    begin(&workers[0]);
    skua_idle_sleep(&workers[0]);
    skua_idle_search_end(&workers[0], true); /* find() has found it among its own */
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
    model_ignore(&runtime.present, sizeof(runtime.present));
    atomic_store_explicit(&runtime.present, count, memory_order_relaxed);
    timer_of = WORKERS_MAX;
    dozes = false;
    runtime.workers = workers;
    model_ignore(workers, sizeof(workers));
    skua_idle_init(&runtime.idle);
    skua_spin_init(&inject_lock);
    atomic_init(&injected, 0);
    for (unsigned i = 0; i < count; i++) {
        workers[i].thread.runtime = &runtime;
        workers[i].thread.worker = &workers[i];
        workers[i].index = i;
        workers[i].alone = count == 1;
        workers[i].engine = &engines[i];
        engines[i].ops = &engine_ops;
        atomic_init(&woken[i], false);
        atomic_init(&timed[i], false);
        atomic_init(&resting[i], false);
        atomic_init(&looking[i], false);
        atomic_init(&next[i], 0);
    }
}

/* Asleep from the start, and not followed: if it is woken, it will look. */
static void put_to_sleep(unsigned index)
{
    atomic_fetch_or_explicit(&runtime.idle.sleepers[0], UINT64_C(1) << index, memory_order_relaxed);
    atomic_fetch_add_explicit(&runtime.idle.word, SKUA_IDLE_SLEEPING, memory_order_relaxed);
}

static void setup_one(void)
{
    setup(1);
}

static void setup_two(void)
{
    setup(2);
}

static void setup_two_dozing(void)
{
    setup(2);
    dozes = true;
}

static void setup_two_with_timer(void)
{
    setup(2);
    timer_of = 0;
}

static void retire(unsigned index)
{
    atomic_store_explicit(&workers[index].retired, true, memory_order_relaxed);
}

static void setup_two_first_retired_with_timer(void)
{
    setup_two_with_timer();
    retire(0);
}

static void setup_two_first_asleep(void)
{
    setup(2);
    put_to_sleep(0);
}

static void setup_two_first_asleep_and_retired(void)
{
    setup_two_first_asleep();
    retire(0);
}

static void setup_two_last_asleep(void)
{
    setup(2);
    put_to_sleep(1);
}

static void setup_three_last_asleep(void)
{
    setup(3);
    put_to_sleep(2);
}

static void finish(void)
{
    uint64_t bits = atomic_load_explicit(&runtime.idle.sleepers[0], memory_order_relaxed);
    uint32_t word = atomic_load_explicit(&runtime.idle.word, memory_order_relaxed);
    uint64_t retired = 0;
    bool is_watched = false;
    bool is_left = false;

    for (unsigned i = 0; i < runtime.worker_count; i++) {
        if (atomic_load_explicit(&looking[i], memory_order_relaxed) ||
            atomic_load_explicit(&woken[i], memory_order_relaxed))
            return;
        if (atomic_load_explicit(&resting[i], memory_order_relaxed))
            retired |= UINT64_C(1) << i;
    }
    if (skua_idle_sleeping(word) != (uint32_t)__builtin_popcountll(bits | retired))
        model_fail("the count of sleepers is wrong");
    if ((bits | retired) == (UINT64_C(1) << runtime.worker_count) - 1 &&
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
    {"two workers, one from outside", setup_two_last_asleep, {worker_0_naps, outside_once}, finish},
    {"one hogs", setup_two, {worker_0_hogs, worker_1_naps}, finish},
    {"one hogs, one dozes", setup_two_dozing, {worker_0_hogs, worker_1_naps}, finish},
    {"one hogs, one sleeps", setup_three_last_asleep, {worker_0_hogs, worker_1_naps}, finish},
    {"the watcher leaves",
     setup_three_last_asleep,
     {worker_0_hogs_and_wakes_twice, worker_1_naps},
     finish},
    {"woken to hog",
     setup_two_first_asleep,
     {worker_0_is_woken_and_hogs, worker_1_naps, outside_once},
     finish},
    {"woken by a timer to hog",
     setup_two_with_timer,
     {worker_0_sleeps_and_hogs, worker_1_naps},
     finish},
    {"a retired one is woken",
     setup_two_first_asleep_and_retired,
     {worker_0_is_woken_and_retires, worker_1_naps, outside_once},
     finish},
    {"a retired one is woken by a timer to hog",
     setup_two_first_retired_with_timer,
     {worker_0_sleeps_and_hogs, worker_1_naps},
     finish},
    {"two workers fall asleep, one from outside",
     setup_two,
     {worker_0_naps, worker_1_naps, outside_once},
     finish},
    /* Large: nearly three million states. */
    {"woken to hog, from the start",
     setup_two,
     {worker_0_naps_and_hogs, worker_1_naps, outside_once},
     finish},
};

#define BY_WORD "whoever reads the bits has read word, which comes later"
#define NO_DECISION "at worst somebody looks, or is woken, once more"

static const struct model_spared spared[] = {
    {"skua_idle_sleep", memory_order_seq_cst, MODEL_UPDATES, 1, BY_WORD},
    {"take_sleeper", memory_order_seq_cst, MODEL_READS, 1, BY_WORD},
    {"take_bit", memory_order_seq_cst, MODEL_UPDATES, 1, BY_WORD},
    {"skua_idle_notify", memory_order_seq_cst, MODEL_UPDATES, 1,
     "who is woken changes word once more when it has found work"},
    {"skua_idle_search_begin", memory_order_seq_cst, MODEL_UPDATES, 1, NO_DECISION},
    {"watch", memory_order_seq_cst, MODEL_UPDATES, 2, NO_DECISION},
    {"watch", memory_order_seq_cst, MODEL_READS, 1, NO_DECISION},
    {"sleep_retired", memory_order_seq_cst, MODEL_UPDATES, 1, NO_DECISION},
    {"poll_watching", memory_order_seq_cst, MODEL_WRITES, 2,
     "who leaves the watch changes word after it, and who dozes looks again soon"},
    {"unwatched", memory_order_seq_cst, MODEL_READS, 1, "word has been changed just before"},
    {"skua_worker_own_work", memory_order_seq_cst, MODEL_READS, 1, "of the own slot"},
    {"take_injected", memory_order_seq_cst, MODEL_READS, 1, "looked at again before sleep"},
};

int main(int argc, char **argv)
{
    static const struct model_suite suite = {.scenarios = scenarios,
                                             .scenario_count = MODEL_COUNT(scenarios),
                                             .large_count = 1,
                                             .spared = spared,
                                             .spared_count = MODEL_COUNT(spared),
                                             .site_count = LABELS};

    return model_main(&suite, argc, argv);
}
