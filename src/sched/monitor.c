/*
 * sched/monitor.c - see monitor.h.
 */
#include "sched/monitor.h"

#include "base/alloc.h"
#include "platform/clock.h"
#include "platform/futex.h"
#include "platform/thread.h"
#include "sched/runtime_impl.h"

#include <stdlib.h>

/* With nothing to look at; then it sleeps until there is something. */
#define IDLE_NS (UINT64_C(50) * SKUA_NS_PER_MS)

/* Between two visits while workers have deques and nothing waits for them. */
#define QUIET_NS (UINT64_C(4) * SKUA_NS_PER_MS)
/* The longest of all: a deque that is attached meanwhile does not wake a monitor that is awake. */
#define QUIET_WATCHED_NS (UINT64_C(20) * SKUA_NS_PER_MS)

void skua_monitor_init(struct skua_monitor *monitor)
{
    atomic_init(&monitor->awake, 0);
    atomic_init(&monitor->stop, 0);
    atomic_init(&monitor->started, false);
    monitor->running = false;
    monitor->seen = NULL;
    monitor->blocked = (struct skua_blocked){.watches = NULL};
}

/* How long it is until the next timer of @worker is due, 0 if one is. */
static uint64_t until_timer(struct skua_worker *worker)
{
    skua_spin_lock(&worker->timer_lock);
    uint64_t deadline_ns = skua_timer_queue_deadline(&worker->timers);
    skua_spin_unlock(&worker->timer_lock);
    uint64_t now_ns = skua_clock_now();
    return deadline_ns > now_ns ? deadline_ns - now_ns : 0;
}

/* Whether something waits for @worker to come back to its loop; of its timers another tells. */
static bool has_waiting(struct skua_worker *worker)
{
    struct skua_engine *engine = worker->engine;
    return atomic_load_explicit(&engine->submitted_total, memory_order_relaxed) !=
               atomic_load_explicit(&engine->completed_total, memory_order_relaxed) ||
           atomic_load_explicit(&worker->next, memory_order_relaxed) != NULL ||
           skua_run_queue_count(&worker->queue) != 0 ||
           skua_inject_queue_count(&worker->thread.runtime->inject) != 0;
}

/*
 * Whether @worker, which has made no switch since the last visit, needs somebody to watch it: it
 * came from its sleep by itself, and then nobody is told (J2 in idle.h is about makers of work).
 */
static bool is_unwatched(struct skua_worker *worker)
{
    /* relaxed: a guess. A retired one has no bit when it sleeps. */
    return !atomic_load_explicit(&worker->thread.runtime->idle.watcher, memory_order_relaxed) &&
           !skua_idle_is_asleep(worker) && !skua_worker_is_retired(worker) &&
           (has_waiting(worker) || until_timer(worker) == 0);
}

/*
 * Looks at every worker for fork/join's sake. How soon to do so again; 0: none has a deque. While
 * any worker sleeps there is a watcher, too, who comes to the rescue.
 */
static uint64_t visit_deques(skua_runtime *runtime)
{
    uint64_t again_ns = 0;
    bool watched = skua_idle_any_asleep(runtime);
    unsigned present = skua_runtime_present(runtime);
    for (unsigned i = 0; i < present; i++) {
        struct skua_worker *worker = &runtime->workers[i];
        /* acquire: partner is the release in sched/fork.c */
        struct skua_deque *deque = atomic_load_explicit(&worker->fork_deque, memory_order_acquire);
        uint64_t switches = atomic_load_explicit(&worker->counters.switches, memory_order_relaxed);
        bool stuck = switches == runtime->monitor.seen[i];
        runtime->monitor.seen[i] = switches;
        if (watched && stuck && is_unwatched(worker))
            skua_idle_notify(runtime, NULL);
        if (deque == NULL)
            continue;
        if (again_ns == 0)
            again_ns = watched ? QUIET_WATCHED_NS : QUIET_NS;
        uint64_t timer_ns = until_timer(worker);
        if (timer_ns != 0 && !has_waiting(worker)) {
            again_ns = skua_min(again_ns, skua_max(timer_ns, SKUA_MONITOR_NS));
            continue;
        }
        again_ns = SKUA_MONITOR_NS;
        if (!stuck)
            continue;
        atomic_store_explicit(&worker->service, true, memory_order_relaxed);
        skua_deque_disturb(deque);
    }
    return again_ns;
}

/* How soon to come again; 0 if there was nothing to look at. */
static uint64_t visit(skua_runtime *runtime)
{
    uint64_t now_ns = skua_clock_now();
    uint64_t deques_ns = visit_deques(runtime);
    uint64_t blocked_ns = runtime->block_ns != 0 ? skua_blocked_visit(runtime, now_ns) : 0;
    if (deques_ns == 0 || blocked_ns == 0)
        return skua_min(skua_max(deques_ns, blocked_ns), QUIET_WATCHED_NS);
    return skua_min(skua_min(deques_ns, blocked_ns), QUIET_WATCHED_NS);
}

static void sleep_until_wanted(struct skua_monitor *monitor, skua_runtime *runtime)
{
    atomic_store_explicit(&monitor->awake, 0, memory_order_seq_cst); /* ASLEEP */
    if (visit(runtime) != 0)
        atomic_store_explicit(&monitor->awake, 1, memory_order_relaxed);
    while (!atomic_load_explicit(&monitor->stop, memory_order_acquire) &&
           !atomic_load_explicit(&monitor->awake, memory_order_seq_cst))
        (void)skua_futex_wait(&monitor->awake, 0, SKUA_FOREVER);
}

static void *monitor_main(void *arg)
{
    skua_runtime *runtime = arg;
    struct skua_monitor *monitor = &runtime->monitor;
    uint64_t next_ns = SKUA_MONITOR_NS;
    uint64_t busy_ns = skua_clock_now();
    skua_thread_name("skua-monitor");
    while (!atomic_load_explicit(&monitor->stop, memory_order_acquire)) {
        (void)skua_futex_wait(&monitor->stop, 0, skua_clock_now() + next_ns);
        uint64_t again_ns = visit(runtime);
        uint64_t now_ns = skua_clock_now();
        next_ns = again_ns != 0 ? again_ns : QUIET_NS;
        if (again_ns != 0) {
            busy_ns = now_ns;
        } else if (now_ns - busy_ns > IDLE_NS) {
            sleep_until_wanted(monitor, runtime);
            busy_ns = skua_clock_now();
        }
    }
    return NULL;
}

/* Once for a runtime. */
static SKUA_NOINLINE void start(skua_runtime *runtime)
{
    struct skua_monitor *monitor = &runtime->monitor;
    if (atomic_exchange_explicit(&monitor->started, true, memory_order_relaxed))
        return;
    if (skua_vthread_simulated())
        return; /* nobody computes for long there: time stands still */
    monitor->seen = skua_calloc(runtime->workers_max, sizeof(*monitor->seen));
    monitor->blocked.watches = skua_calloc(runtime->workers_max, sizeof(*monitor->blocked.watches));
    if (monitor->seen == NULL || monitor->blocked.watches == NULL)
        return;
    monitor->running = skua_os_thread_create(&monitor->thread, monitor_main, runtime) == 0;
}

void skua_monitor_start(skua_runtime *runtime)
{
    if (runtime->block_ns == 0)
        return;
    atomic_store_explicit(&runtime->monitor.awake, 1, memory_order_relaxed);
    start(runtime);
}

void skua_monitor_wake(skua_runtime *runtime)
{
    struct skua_monitor *monitor = &runtime->monitor;
    if (skua_likely(atomic_load_explicit(&monitor->awake, memory_order_relaxed) != 0))
        return; /* ASLEEP */
    atomic_store_explicit(&monitor->awake, 1, memory_order_seq_cst);
    if (skua_unlikely(!atomic_load_explicit(&monitor->started, memory_order_relaxed)))
        start(runtime);
    else
        skua_futex_wake(&monitor->awake, 1);
}

void skua_monitor_worker_awake(skua_runtime *runtime)
{
    struct skua_monitor *monitor = &runtime->monitor;
    /*
     * seq_cst: ASLEEP. Until it has been started it has not been put to sleep either; relaxed: what
     * stored that sleep came after. Starting it is not for workers, who may still be at it when the
     * runtime ends.
     */
    if (runtime->block_ns != 0 && !atomic_load_explicit(&monitor->awake, memory_order_seq_cst) &&
        atomic_load_explicit(&monitor->started, memory_order_relaxed))
        skua_monitor_wake(runtime);
}

void skua_monitor_fini(skua_runtime *runtime)
{
    struct skua_monitor *monitor = &runtime->monitor;
    if (monitor->running) {
        atomic_store_explicit(&monitor->stop, 1, memory_order_release);
        skua_futex_wake(&monitor->stop, 1);
        skua_futex_wake(&monitor->awake, 1);
        skua_os_thread_join(&monitor->thread);
        monitor->running = false;
    }
    free(monitor->seen);
    free(monitor->blocked.watches);
    monitor->seen = NULL;
    monitor->blocked.watches = NULL;
}
