/*
 * engine/engine.c - which engine a runtime gets. The one place that knows them all: sched/ and io/
 * see engine.h only.
 *
 * CHOICE A simulation has its own. Otherwise what the program names, else what $SKUA_ENGINE names,
 *        and then nothing else; else uring, and epoll if uring's create() refuses on any worker.
 *        There is no probe beforehand: what a limit allows (RLIMIT_MEMLOCK on older kernels) shows
 *        only when all workers have their rings.
 */
#include "engine/engine.h"

#include "platform/vthread.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

static bool is_given(const char *name)
{
    return name != NULL && name[0] != '\0';
}

int skua_engine_choose(const char *name, struct skua_engine_choice *choice)
{
    static const struct skua_engine_ops *const engines[] = {&skua_engine_uring, &skua_engine_epoll};
    if (skua_vthread_simulated()) {
        *choice = (struct skua_engine_choice){.first = skua_sim_hooks()->engine, .why = ""};
        return 0;
    }
    const char *why = "asked for by the program";
    if (!is_given(name)) {
        name = getenv("SKUA_ENGINE");
        why = "asked for by SKUA_ENGINE";
    }
    if (!is_given(name)) {
        *choice = (struct skua_engine_choice){
            .first = &skua_engine_uring, .second = &skua_engine_epoll, .why = ""};
        return 0;
    }
    for (size_t i = 0; i < sizeof(engines) / sizeof(engines[0]); i++) {
        if (strcmp(name, engines[i]->name) == 0) {
            *choice = (struct skua_engine_choice){.first = engines[i], .why = why};
            return 0;
        }
    }
    return -EINVAL;
}

bool skua_engine_is_refusal(int error)
{
    switch (error) {
    case -EMFILE: /* another engine needs as many descriptors, */
    case -ENFILE:
    case -EAGAIN: /* and as many threads */
        return false;
    default:
        return error < 0;
    }
}
