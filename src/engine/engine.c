/*
 * engine/engine.c - which engine a runtime gets. The one place that knows them all: sched/ and io/
 * see engine.h only.
 */
#include "engine/engine.h"

#include "platform/vthread.h"

/* Set by the first simulation and never changed. */
static _Atomic(const struct skua_sim_hooks *) sim_hooks;

void skua_sim_set_hooks(const struct skua_sim_hooks *hooks)
{
    atomic_store_explicit(&sim_hooks, hooks, memory_order_release);
}

const struct skua_sim_hooks *skua_sim_hooks(void)
{
    /* acquire: partner is the release above */
    return atomic_load_explicit(&sim_hooks, memory_order_acquire);
}

const struct skua_engine_ops *skua_engine_default(void)
{
    return skua_vthread_simulated() ? skua_sim_hooks()->engine : &skua_engine_uring;
}
