/*
 * sched/idle.c - see idle.h for states, invariants and ordering.
 */
#include "sched/idle.h"

#include "sched/ops.h"
#include "sched/rescue.h"
#include "sched/runtime_impl.h"

/*
 * An idle worker waits this long before it gives memory of stacks back, then this many at a time.
 */
#define TRIM_AFTER_NS (UINT64_C(100) * SKUA_NS_PER_MS)
#define TRIM_STACKS 64u

void skua_idle_init(struct skua_idle *idle)
{
    atomic_init(&idle->word, 0);
    atomic_init(&idle->watcher, false);
    for (unsigned i = 0; i < SKUA_IDLE_WORDS; i++)
        atomic_init(&idle->sleepers[i], 0);
}

/* Clears the bit of worker @index. True if it was set: the caller accounts for the waking. */
static bool take_bit(struct skua_idle *idle, unsigned index)
{
    uint64_t bit = UINT64_C(1) << (index % 64);
    /* seq_cst: part of SLEEP's total order */
    uint64_t old =
        atomic_fetch_and_explicit(&idle->sleepers[index / 64], ~bit, memory_order_seq_cst);
    return (old & bit) != 0;
}

/*
 * Picks a sleeper and takes its bit. -1 if there is none. Never @self, which completes its ops
 * before it has taken its own bit back.
 */
static int take_sleeper(skua_runtime *runtime, const struct skua_worker *self)
{
    unsigned present = skua_runtime_present(runtime);
    for (unsigned i = 0; i * 64 < present; i++) {
        uint64_t bits = atomic_load_explicit(&runtime->idle.sleepers[i], memory_order_seq_cst);
        if (self != NULL && self->index / 64 == i)
            bits &= ~(UINT64_C(1) << (self->index % 64));
        while (bits != 0) {
            unsigned index = i * 64 + (unsigned)__builtin_ctzll(bits);
            if (take_bit(&runtime->idle, index))
                return (int)index;
            bits &= bits - 1;
        }
    }
    return -1;
}

void skua_idle_notify(skua_runtime *runtime, struct skua_thread *thread)
{
    uint32_t word = atomic_load_explicit(&runtime->idle.word, memory_order_seq_cst); /* INJECT */
    if (skua_idle_sleeping(word) == 0 || skua_idle_searching(word) > 0)
        return;
    bool mine = thread != NULL && thread->runtime == runtime;
    int index = take_sleeper(runtime, mine ? thread->worker : NULL);
    if (index < 0)
        return;
    /* J1: asleep -> searching, in one step */
    atomic_fetch_add_explicit(&runtime->idle.word, SKUA_IDLE_SEARCHING - SKUA_IDLE_SLEEPING,
                              memory_order_seq_cst);
    struct skua_worker *sleeper = &runtime->workers[index];
    if (thread != NULL && thread->worker != NULL)
        skua_counter_add(&thread->worker->counters.wakes, 1);
    sleeper->engine->ops->wake(sleeper->engine);
}

SKUA_NOINLINE void skua_idle_announce_slow(skua_runtime *runtime, struct skua_thread *thread)
{
    skua_idle_notify(runtime, thread);
}

bool skua_idle_search_begin(struct skua_worker *worker)
{
    if (worker->searching)
        return true;
    skua_runtime *runtime = worker->thread.runtime;
    /* relaxed: a bound on effort, not on correctness */
    uint32_t word = atomic_load_explicit(&runtime->idle.word, memory_order_relaxed);
    if (2 * skua_idle_searching(word) >= skua_runtime_present(runtime))
        return false;
    atomic_fetch_add_explicit(&runtime->idle.word, SKUA_IDLE_SEARCHING, memory_order_seq_cst);
    worker->searching = true;
    return true;
}

/*
 * Somebody sleeps, somebody besides the caller is awake, and nobody will look at its next slot.
 * (The caller's own is seen to by skua_worker_wake_task(), as is that of whoever wakes from now
 * on.)
 */
static bool unwatched(skua_runtime *runtime, uint32_t word)
{
    /* seq_cst: WATCH */
    return skua_idle_sleeping(word) != 0 &&
           skua_idle_sleeping(word) + 1 < skua_runtime_present(runtime) &&
           !atomic_load_explicit(&runtime->idle.watcher, memory_order_seq_cst);
}

void skua_idle_search_end(struct skua_worker *worker, bool found)
{
    if (!worker->searching && !worker->watched)
        return;
    skua_runtime *runtime = worker->thread.runtime;
    uint32_t change = worker->searching ? SKUA_IDLE_SEARCHING : 0u;
    worker->searching = false;
    worker->watched = false;
    uint32_t now =
        atomic_fetch_sub_explicit(&runtime->idle.word, change, memory_order_seq_cst) - change;
    /*
     * The last searcher that finds work wakes one more: makers skip the wake while one searches,
     * or one watches. The watch passes on with it: who is woken and finds nothing is the watcher.
     */
    if (found && skua_idle_searching(now) == 0 &&
        (skua_worker_any_work(worker) || unwatched(runtime, now)))
        skua_idle_notify(runtime, &worker->thread);
}

/* Tries to be the watcher. Nobody watches when all sleep, itself included. */
static bool watch(skua_runtime *runtime)
{
    struct skua_idle *idle = &runtime->idle;
    bool expected = false;
    if (!atomic_compare_exchange_strong_explicit(&idle->watcher, &expected, true,
                                                 memory_order_seq_cst, memory_order_relaxed))
        return false;
    for (;;) {
        uint32_t word = atomic_load_explicit(&idle->word, memory_order_seq_cst);
        if (skua_idle_sleeping(word) < skua_runtime_present(runtime))
            return true;
        atomic_store_explicit(&idle->watcher, false, memory_order_seq_cst); /* WATCH */
        word = atomic_load_explicit(&idle->word, memory_order_seq_cst);
        if (skua_idle_sleeping(word) == skua_runtime_present(runtime))
            return false;
        expected = false;
        if (!atomic_compare_exchange_strong_explicit(&idle->watcher, &expected, true,
                                                     memory_order_seq_cst, memory_order_relaxed))
            return false;
    }
}

/*
 * Until when to sleep: the next timer; @look_ns, when to watch the others again; and @trim_ns, when
 * it will have been idle for long enough to give memory of unused stacks back.
 */
static uint64_t sleep_deadline(struct skua_worker *worker, uint64_t look_ns, uint64_t trim_ns)
{
    skua_spin_lock(&worker->timer_lock);
    uint64_t deadline = skua_timer_queue_deadline(&worker->timers);
    skua_spin_unlock(&worker->timer_lock);
    deadline = skua_min(deadline, skua_min(look_ns, trim_ns));
    return skua_max(deadline, 1); /* 0 would mean "do not wait", as a deadline in the past does */
}

/* When @worker, which is idle, is to give memory back. */
static uint64_t trim_time(struct skua_worker *worker)
{
    if (worker->trim == SKUA_TRIM_DONE)
        return UINT64_MAX;
    uint64_t now_ns = worker->engine->ops->now(worker->engine);
    return worker->trim == SKUA_TRIM_MORE ? now_ns : now_ns + TRIM_AFTER_NS;
}

/* Slept until @trim_ns for nothing: a small step, so that what comes meanwhile does not wait. */
static void trim(struct skua_worker *worker, uint64_t trim_ns)
{
    if (trim_ns == UINT64_MAX || worker->engine->ops->now(worker->engine) < trim_ns)
        return;
    bool more = skua_stack_pool_trim(worker->thread.runtime->stacks, TRIM_STACKS);
    worker->trim = more ? SKUA_TRIM_MORE : SKUA_TRIM_DONE;
}

/* Waits in the engine, until @look_ns at most. */
static void poll(struct skua_worker *worker, uint64_t look_ns)
{
    skua_counter_add(&worker->counters.parks, 1);
    uint64_t trim_ns = trim_time(worker);
    skua_worker_engine_lock(worker); /* all the time: who sleeps needs no rescue */
    (void)worker->engine->ops->poll(worker->engine, sleep_deadline(worker, look_ns, trim_ns));
    skua_ops_after_poll(worker);
    skua_worker_engine_unlock(worker);
    trim(worker, trim_ns);
}

/* As the watcher, though one that dozes (rescue.h) is so in name only: makers of work wake it. */
static void poll_watching(struct skua_worker *worker, struct skua_idle *idle)
{
    uint64_t now_ns = worker->engine->ops->now(worker->engine);
    uint64_t interval_ns = skua_rescue_interval(worker, now_ns);
    bool dozing = interval_ns > SKUA_WATCH_NS;
    if (dozing) { /* no look at word, as in WATCH: this is not for ever */
        atomic_store_explicit(&idle->watcher, false, memory_order_seq_cst);
        /* Makers who saw a watcher until now have woken nobody: what they made is there to see. */
        interval_ns = skua_rescue_interval(worker, now_ns);
    }
    poll(worker, now_ns + interval_ns);
    if (!dozing)
        atomic_store_explicit(&idle->watcher, false, memory_order_seq_cst);
    worker->watched = true;
}

/* Not among those who are woken for work, but counted: else it would seem that somebody is up. */
static void sleep_retired(struct skua_worker *worker)
{
    struct skua_idle *idle = &worker->thread.runtime->idle;
    atomic_fetch_add_explicit(&idle->word, SKUA_IDLE_SLEEPING, memory_order_seq_cst);
    if (!skua_worker_own_work(worker))
        poll(worker, UINT64_MAX);
    atomic_fetch_sub_explicit(&idle->word, SKUA_IDLE_SLEEPING, memory_order_seq_cst); /* AWAKE */
}

/* J1; and what there is to do need not be had at the first look: no dozing for a while. */
static void woken(struct skua_worker *worker)
{
    worker->searching = true;
    worker->seen_activity = UINT64_MAX;
}

void skua_idle_sleep(struct skua_worker *worker)
{
    if (skua_worker_is_retired(worker) && !worker->searching) {
        sleep_retired(worker);
        return;
    }
    skua_runtime *runtime = worker->thread.runtime;
    struct skua_idle *idle = &runtime->idle;
    uint64_t bit = UINT64_C(1) << (worker->index % 64);

    /* SLEEP: announce, then look once more */
    atomic_fetch_or_explicit(&idle->sleepers[worker->index / 64], bit, memory_order_seq_cst);
    uint32_t change = SKUA_IDLE_SLEEPING - (worker->searching ? SKUA_IDLE_SEARCHING : 0u);
    atomic_fetch_add_explicit(&idle->word, change, memory_order_seq_cst);
    worker->searching = false;

    if (!skua_worker_any_work(worker)) {
        if (!worker->alone && watch(runtime))
            poll_watching(worker, idle);
        else
            poll(worker, UINT64_MAX);
    }

    if (take_bit(idle, worker->index)) /* AWAKE: nobody woke us; we came by ourselves */
        atomic_fetch_sub_explicit(&idle->word, SKUA_IDLE_SLEEPING, memory_order_seq_cst);
    else
        woken(worker);
}

bool skua_idle_all_asleep(skua_runtime *runtime)
{
    /* seq_cst: ASLEEP in monitor.h */
    uint32_t word = atomic_load_explicit(&runtime->idle.word, memory_order_seq_cst);
    return skua_idle_sleeping(word) == skua_runtime_present(runtime);
}

bool skua_idle_any_asleep(skua_runtime *runtime)
{
    /* relaxed: a guess */
    return skua_idle_sleeping(atomic_load_explicit(&runtime->idle.word, memory_order_relaxed)) != 0;
}

bool skua_idle_is_asleep(struct skua_worker *worker)
{
    /* relaxed: a guess */
    uint64_t bits = atomic_load_explicit(&worker->thread.runtime->idle.sleepers[worker->index / 64],
                                         memory_order_relaxed);
    return (bits >> (worker->index % 64)) & 1;
}

void skua_idle_wake_all(skua_runtime *runtime)
{
    unsigned present = skua_runtime_present(runtime);
    for (unsigned i = 0; i < present; i++)
        runtime->workers[i].engine->ops->wake(runtime->workers[i].engine);
}
