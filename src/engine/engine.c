/*
 * engine/engine.c - which engine a runtime gets. The one place that knows them all: sched/ and io/
 * see engine.h only.
 */
#include "engine/engine.h"

const struct skua_engine_ops *skua_engine_default(void)
{
    return &skua_engine_uring;
}
