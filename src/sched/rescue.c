/*
 * sched/rescue.c - see rescue.h.
 */
#include "sched/rescue.h"

#include "sched/ops.h"
#include "sched/runtime_impl.h"

/* How long a watcher stays attentive. */
#define ALERT_NS SKUA_NS_PER_SEC

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
    /* relaxed: the owner's own counter */
    uint64_t fired = atomic_load_explicit(&worker->counters.timers_fired, memory_order_relaxed);
    skua_worker_timers(worker, victim);
    fired = atomic_load_explicit(&worker->counters.timers_fired, memory_order_relaxed) - fired;
    if (completed == 0 && fired == 0)
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

uint64_t skua_rescue_interval(skua_runtime *runtime, uint64_t now_ns)
{
    /* relaxed: ORDER */
    uint64_t rescued_ns = atomic_load_explicit(&runtime->rescued_ns, memory_order_relaxed);
    bool alert = runtime->rescue_ns != 0 && rescued_ns != 0 && now_ns - rescued_ns < ALERT_NS;
    return alert && runtime->rescue_ns < SKUA_WATCH_NS ? runtime->rescue_ns : SKUA_WATCH_NS;
}
