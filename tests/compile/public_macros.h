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

/* Forkable functions: of no and of six parameters, void, declared before they are defined. */
SKUA_FORKABLE(int, uses_no_parameter)
{
    return 1;
}

SKUA_FORKABLE(double, uses_six_parameters, char, a, short, b, int, c, float, d, double, e,
              const void *, f)
{
    return a + b + c + (double)d + e + (f != NULL);
}

SKUA_FORKABLE_DECLARE(long, uses_a_declaration, long, n)
SKUA_FORKABLE_VOID_DECLARE(uses_a_void_declaration, long, n, long *, result)

SKUA_FORKABLE_BODY(long, uses_a_declaration, long, n)
{
    long result = 0;
    SKUA_JOB(uses_a_void_declaration) job;
    SKUA_FORK(uses_a_void_declaration, &job, n, &result);
    SKUA_JOIN(uses_a_void_declaration, &job);
    return result;
}

SKUA_FORKABLE_VOID_BODY(uses_a_void_declaration, long, n, long *, result)
{
    *result = n > 0 ? SKUA_CALL(uses_a_declaration, n - 1) : 0;
}

SKUA_FORKABLE_VOID(uses_forks, int, dummy)
{
    SKUA_JOB(uses_no_parameter) none;
    SKUA_JOB(uses_six_parameters) six[2];
    (void)dummy;
    SKUA_FORK(uses_no_parameter, &none);
    SKUA_FORK(uses_six_parameters, &six[0], 1, 2, 3, 4.0f, 5.0, NULL);
    (void)SKUA_JOIN(uses_six_parameters, &six[0]);
    (void)SKUA_CALL(uses_no_parameter);
    (void)SKUA_JOIN(uses_no_parameter, &none);
}

static inline intptr_t uses_plain_forks(void *arg)
{
    skua_job job;
    if (skua_fork(&job, uses_nothing, arg) < 0)
        return -1;
    uses_forks(SKUA_FORK_PAYLOAD_BYTES);
    return skua_join(&job) + (intptr_t)uses_a_declaration(3) + uses_no_parameter();
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
    if (skua_await(skua_spawn(uses_plain_forks, NULL)) < 0)
        return -1;
    if (skua_await(skua_submit(runtime, uses_nothing, NULL)) < 0)
        return -1;
    if (skua_await(skua_run_in_executor(executor, uses_nothing, NULL)) < 0)
        return -1;
    return skua_sleep_until(delay_ns < SKUA_FOREVER ? skua_after(delay_ns) : SKUA_OFFSET_CURRENT);
}

#endif /* SKUA_TESTS_PUBLIC_MACROS_H */
