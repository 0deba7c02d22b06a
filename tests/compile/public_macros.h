/*
 * compile/public_macros.h - uses every macro of the public headers once; C and C++ compile it.
 */
#ifndef SKUA_TESTS_PUBLIC_MACROS_H
#define SKUA_TESTS_PUBLIC_MACROS_H

#include <skua/skua.h>

#include <string.h>

static inline intptr_t uses_nothing(void *arg)
{
    (void)arg;
    return SKUA_IS_ERROR(-1) ? 0 : 1;
}

static inline int uses_macros(skua_runtime *runtime, skua_executor *executor)
{
    const char *site = SKUA_SITE("uses_macros");
    const uint64_t delay_ns = SKUA_NS_PER_SEC + SKUA_NS_PER_MS + SKUA_NS_PER_US;
    skua_task_options options;
    skua_future *future = NULL;
    memset(&options, 0, sizeof(options));
    options.flags = SKUA_TASK_DETACHED;
    options.site = site;
    if (skua_spawn_with(&options, uses_nothing, NULL, &future) < 0)
        return -1;
    if (skua_await(skua_spawn(uses_nothing, NULL)) < 0)
        return -1;
    if (skua_await(skua_submit(runtime, uses_nothing, NULL)) < 0)
        return -1;
    if (skua_await(skua_run_in_executor(executor, uses_nothing, NULL)) < 0)
        return -1;
    return skua_sleep_until(delay_ns < SKUA_FOREVER ? skua_after(delay_ns) : SKUA_OFFSET_CURRENT);
}

#endif /* SKUA_TESTS_PUBLIC_MACROS_H */
