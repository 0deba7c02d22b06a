/*
 * sched/rescue.c - see rescue.h.
 */
#include "sched/rescue.h"

#include "sched/ops.h"
#include "sched/runtime_impl.h"

/* How long a watcher stays attentive. */
#define ALERT_NS SKUA_NS_PER_SEC

/* Where nothing has happened for QUIET_NS it comes by every DOZE_NS. */
#define QUIET_NS (UINT64_C(20) * SKUA_NS_PER_MS)
#define DOZE_NS (UINT64_C(10) * SKUA_NS_PER_MS)

/* True if there was something to do. */
static bool rescue(struct skua_worker *worker, struct skua_worker *victim)
{
    if (!skua_spin_try_lock(&victim->engine_lock))
        return false;
    unsigned completed = 0;
    /* relaxed: set again by whoever cancels */
    if (atomic_load_explicit(&victim->cancel_scan, memory_order_relaxed))
        skua_ops_cancel_scan_locked(victim);
    if (skua_gauge_get(&victim->engine->in_flight) != 0)
        completed = victim->engine->ops->rescue(victim->engine);
    skua_ops_after_poll(victim);
    skua_spin_unlock(&victim->engine_lock);
    bool fired = false;
    while (skua_worker_timers(worker, victim)) /* all: the next look is some time off */
        fired = true;
    if (completed == 0 && !fired)
        return false;
    skua_counter_add(&worker->counters.rescues, 1);
    skua_counter_add(&worker->counters.ops_rescued, completed);
    return true;
}

void skua_rescue_look(struct skua_worker *worker, uint64_t now_ns)
{
    skua_runtime *runtime = worker->thread.runtime;
    if (runtime->rescue_ns == 0 || worker->engine->ops->rescue == NULL)
        return;
    if (now_ns - worker->looked_ns < runtime->rescue_ns / 2)
        return;
    worker->looked_ns = now_ns;
    unsigned present = skua_runtime_present(runtime);
    for (unsigned i = 0; i < present; i++) {
        struct skua_worker *victim = &runtime->workers[i];
        /* relaxed: ORDER */
        uint64_t polled_ns = atomic_load_explicit(&victim->polled_ns, memory_order_relaxed);
        if (victim == worker || polled_ns + runtime->rescue_ns >= now_ns)
            continue;
        if (rescue(worker, victim))
            atomic_store_explicit(&runtime->rescued_ns, now_ns, memory_order_relaxed);
    }
}

/* Changes when @victim comes to its loop, starts an op, or forks or joins the slow way. */
static uint64_t activity_of(struct skua_worker *victim, struct skua_deque *deque)
{
    /* relaxed, all: QUIET */
    uint64_t visits =
        deque != NULL ? atomic_load_explicit(&deque->visits, memory_order_relaxed) : 0;
    return visits + atomic_load_explicit(&victim->counters.switches, memory_order_relaxed) +
           atomic_load_explicit(&victim->engine->submitted_total, memory_order_relaxed);
}

/* How long nothing can be ready for want of @victim's loop, DOZE_NS at most. */
static uint64_t nothing_before(struct skua_worker *victim, struct skua_deque *deque,
                               uint64_t now_ns)
{
    if (skua_gauge_get(&victim->engine->in_flight) != 0)
        return now_ns;
    /* Nobody need have been told (J2), and a thief takes it at its second look. relaxed: QUIET */
    if (atomic_load_explicit(&victim->next, memory_order_relaxed) != NULL)
        return now_ns;
    if (deque != NULL && !skua_deque_is_hungry(deque))
        return now_ns; /* its next fork is not sure to wake somebody */
    skua_spin_lock(&victim->timer_lock);
    uint64_t timer_ns = skua_timer_queue_deadline(&victim->timers);
    skua_spin_unlock(&victim->timer_lock);
    return skua_min(timer_ns, now_ns + DOZE_NS);
}

/* Until when a watcher may doze; not after @now_ns: it may not. */
static uint64_t doze_until(struct skua_worker *worker, uint64_t now_ns)
{
    skua_runtime *runtime = worker->thread.runtime;
    unsigned present = skua_runtime_present(runtime);
    uint64_t activity = 0;
    uint64_t until_ns = UINT64_MAX;
    for (unsigned i = 0; i < present; i++) {
        struct skua_worker *victim = &runtime->workers[i];
        if (victim == worker)
            continue;
        /* acquire: partner is the release in sched/fork.c */
        struct skua_deque *deque = atomic_load_explicit(&victim->fork_deque, memory_order_acquire);
        activity += activity_of(victim, deque);
        until_ns = skua_min(until_ns, nothing_before(victim, deque, now_ns));
    }
    if (activity != worker->seen_activity || until_ns <= now_ns) {
        worker->seen_activity = activity;
        worker->quiet_ns = now_ns;
    }
    return now_ns - worker->quiet_ns >= QUIET_NS ? until_ns : now_ns;
}

uint64_t skua_rescue_interval(struct skua_worker *worker, uint64_t now_ns)
{
    skua_runtime *runtime = worker->thread.runtime;
    /* relaxed: ORDER */
    uint64_t rescued_ns = atomic_load_explicit(&runtime->rescued_ns, memory_order_relaxed);
    bool alert = runtime->rescue_ns != 0 && rescued_ns != 0 && now_ns - rescued_ns < ALERT_NS;
    if (alert)
        return skua_min(runtime->rescue_ns, SKUA_WATCH_NS);
    return skua_max(doze_until(worker, now_ns) - now_ns, SKUA_WATCH_NS);
}
