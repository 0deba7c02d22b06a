/*
 * sched/blocked.c - see blocked.h.
 */
#include "sched/blocked.h"

#include "platform/thread_look.h"
#include "sched/runtime_impl.h"

#define FRAMES_MAX 24u
#define NAME_BYTES 64u
#define SITE_BYTES 128u

/* ---- what it is about ------------------------------------------------------------------------ */

/* Copies what is left of the string at @from. @to, or NULL if there is none. */
static const char *look_at_string(char *to, size_t size, const char *from)
{
    if (from == NULL)
        return NULL;
    for (size_t i = 0; i < size - 1; i++) {
        if (!skua_memory_look(to + i, from + i, 1))
            return NULL;
        if (to[i] == '\0')
            return to;
    }
    to[size - 1] = '\0';
    return to;
}

static void report(struct skua_worker *worker, const struct skua_thread_look *look, uint64_t for_ns)
{
    void *frames[FRAMES_MAX];
    char name[NAME_BYTES];
    char site[SITE_BYTES];
    struct skua_task *task;
    struct skua_task copy;
    skua_blockage blockage = {
        .worker = worker->index, .syscall = look->syscall, .for_ns = for_ns, .frames = frames};
    blockage.frame_count = skua_thread_frames(look, frames, FRAMES_MAX);
    if (skua_memory_look(&task, &worker->thread.task, sizeof(task)) && task != NULL &&
        skua_memory_look(&copy, task, sizeof(copy))) {
        /* relaxed, both: of a copy that is nobody else's */
        const char *at = atomic_load_explicit(&copy.site, memory_order_relaxed);
        blockage.entry = atomic_load_explicit(&copy.fn, memory_order_relaxed);
        blockage.name = look_at_string(name, sizeof(name), skua_task_given_name(&copy));
        blockage.site = look_at_string(site, sizeof(site), at);
    }
    skua_report_blockage(worker->thread.runtime, &blockage);
}

/* ---- stand-ins ------------------------------------------------------------------------------- */

/* Whether each of the workers that the user asked for is held up. */
static bool are_all_held(skua_runtime *runtime)
{
    for (unsigned i = 0; i < runtime->worker_count; i++) {
        if (!runtime->monitor.blocked.watches[i].held)
            return false;
    }
    return true;
}

/* As many stand-ins as are needed, as far as they go. */
static void stand_in(skua_runtime *runtime)
{
    struct skua_blocked *blocked = &runtime->monitor.blocked;
    /* relaxed: the monitor's own */
    unsigned wanted = atomic_load_explicit(&runtime->blocked, memory_order_relaxed);
    if (are_all_held(runtime))
        wanted = skua_max(wanted, runtime->worker_count);
    wanted = skua_min(wanted, runtime->workers_max - runtime->worker_count);
    while (blocked->standing_in < wanted && !blocked->exhausted) {
        unsigned index = runtime->worker_count + blocked->standing_in;
        if (index < skua_runtime_present(runtime))
            skua_worker_retire(&runtime->workers[index], false);
        else
            blocked->exhausted = skua_runtime_add_worker(runtime) < 0;
        if (!blocked->exhausted)
            blocked->standing_in++;
    }
    while (blocked->standing_in > wanted) {
        blocked->standing_in--;
        unsigned index = runtime->worker_count + blocked->standing_in;
        skua_worker_retire(&runtime->workers[index], true);
    }
}

/* ---- finding --------------------------------------------------------------------------------- */

/* Whether @worker is in its engine, asleep or not; or another, which rescues it. */
static bool is_in_engine(struct skua_worker *worker)
{
    if (worker->alone)
        return skua_idle_is_asleep(worker);
    if (!skua_spin_try_lock(&worker->engine_lock))
        return true;
    skua_spin_unlock(&worker->engine_lock);
    return skua_idle_is_asleep(worker);
}

/* How often @worker has gone on with another task or to its engine. relaxed: its own counters */
static uint64_t turns_of(struct skua_worker *worker)
{
    return atomic_load_explicit(&worker->counters.switches, memory_order_relaxed) +
           atomic_load_explicit(&worker->counters.parks, memory_order_relaxed);
}

/*
 * True if @worker sleeps in the kernel, for the second visit in a row, and has done little else
 * before either. Its CPU time is asked first, which costs a thirtieth of a look: beside a worker
 * that computes, this is all a visit does. Not in its engine: it may have gone there since it was
 * last looked for, so that is asked once more.
 */
static bool is_asleep_twice(struct skua_worker *worker, struct skua_blocked_watch *watch,
                            struct skua_thread_look *look, uint64_t now_ns)
{
    struct skua_blocked_watch before = *watch;
    watch->looked_ns = now_ns;
    watch->cpu_ns = skua_thread_cpu_ns(worker->tid);
    /* A look at another task says nothing of this one. */
    watch->computes = before.looked_ns >= watch->since_ns &&
                      watch->cpu_ns - before.cpu_ns >= (now_ns - before.looked_ns) / 2;
    watch->asleep = !watch->computes && skua_thread_look(worker->tid, look) == 1 &&
                    turns_of(worker) == watch->turns && !is_in_engine(worker);
    return before.asleep && watch->asleep;
}

/* relaxed, both: for skua_runtime_info(); only the monitor writes */
static void count_blocked(skua_runtime *runtime, int change)
{
    unsigned count = atomic_load_explicit(&runtime->blocked, memory_order_relaxed);
    atomic_store_explicit(&runtime->blocked, count + (unsigned)change, memory_order_relaxed);
}

/* It is in no task, or not in the same one as before. */
static void goes_on(struct skua_worker *worker, struct skua_blocked_watch *watch)
{
    if (watch->blocked)
        count_blocked(worker->thread.runtime, -1);
    watch->blocked = false;
    watch->asleep = false;
    watch->computes = false;
    watch->outside = false;
    watch->held = false;
}

static void look_at(struct skua_worker *worker, struct skua_blocked_watch *watch, uint64_t now_ns)
{
    uint64_t turns = turns_of(worker);
    if (turns != watch->turns || watch->since_ns == 0) {
        watch->turns = turns;
        watch->since_ns = now_ns;
        goes_on(worker, watch);
        return;
    }
    uint64_t for_ns = now_ns - watch->since_ns;
    /* Found, and no turn since: it still is, even if its engine is locked, by a rescuer. */
    if (watch->blocked || for_ns < worker->thread.runtime->hold_ns)
        return;
    if (is_in_engine(worker)) {
        goes_on(worker, watch);
        return;
    }
    /* Twice: an idle one may be looking for work just now. relaxed: whether there is a deque */
    watch->held =
        watch->outside && atomic_load_explicit(&worker->fork_deque, memory_order_relaxed) == NULL;
    watch->outside = true;
    struct skua_thread_look look;
    if (for_ns < worker->thread.runtime->block_ns || !is_asleep_twice(worker, watch, &look, now_ns))
        return;
    watch->blocked = true;
    count_blocked(worker->thread.runtime, 1);
    skua_counter_add(&worker->counters.blockages, 1);
    report(worker, &look, for_ns);
}

/*
 * How soon all workers may be found to be held; of those that fork none ever is. One that has made
 * a turn since the last visit has been seen in another task then.
 */
static uint64_t until_all_held(skua_runtime *runtime, uint64_t now_ns)
{
    uint64_t until_ns = runtime->block_ns / 4;
    for (unsigned i = 0; i < runtime->worker_count; i++) {
        struct skua_worker *worker = &runtime->workers[i];
        const struct skua_blocked_watch *watch = &runtime->monitor.blocked.watches[i];
        /* relaxed: as in look_at() */
        if (atomic_load_explicit(&worker->fork_deque, memory_order_relaxed) != NULL)
            return skua_min(runtime->block_ns / 4, 2 * runtime->hold_ns);
        if (!watch->held)
            until_ns = skua_min(until_ns, watch->since_ns == now_ns ? runtime->hold_ns
                                                                    : runtime->hold_ns / 2);
    }
    return until_ns;
}

/*
 * How soon to come again. Not sooner than it matters: where there is no CPU left, a visit costs
 * those who compute some ten microseconds. Early while every worker is up: they may all be held.
 * Not before block_ns if somebody sleeps, so that no stand-in will be needed for those who compute,
 * and nobody who is up can be close to being found blocked.
 */
static uint64_t next_visit(skua_runtime *runtime, uint64_t now_ns)
{
    bool anybody_sleeps = false;
    bool all_compute = true;
    /* Not the stand-ins: none is awake, or it is retired, and those have no bit when they sleep. */
    for (unsigned i = 0; i < runtime->worker_count; i++) {
        bool sleeps = skua_idle_is_asleep(&runtime->workers[i]);
        all_compute &= sleeps || runtime->monitor.blocked.watches[i].computes;
        anybody_sleeps |= sleeps;
    }
    if (anybody_sleeps && all_compute && runtime->monitor.blocked.standing_in == 0)
        return runtime->block_ns;
    uint64_t until_ns = anybody_sleeps ? runtime->block_ns / 4 : until_all_held(runtime, now_ns);
    return skua_max(until_ns, SKUA_MONITOR_NS);
}

uint64_t skua_blocked_visit(skua_runtime *runtime, uint64_t now_ns)
{
    struct skua_blocked *blocked = &runtime->monitor.blocked;
    unsigned present = skua_runtime_present(runtime);
    for (unsigned i = 0; i < present; i++)
        look_at(&runtime->workers[i], &blocked->watches[i], now_ns);
    stand_in(runtime);
    return skua_idle_all_asleep(runtime) ? 0 : next_visit(runtime, now_ns);
}
