/*
 * bench/common/bench_runtime.h - how Skua's own benchmarks start a runtime: with the workers that
 * were asked for and nothing else set, so that what is measured is the default.
 */
#ifndef SKUA_BENCH_RUNTIME_H
#define SKUA_BENCH_RUNTIME_H

#include "bench.h"

#include <skua/skua.h>

/* Runs @fn(@arg) as the first task of a runtime. Ends the program if the result is an error. */
static inline void bench_run_task(const struct bench_options *options, skua_fn fn, void *arg)
{
    const skua_options settings = {.workers = options->workers};
    intptr_t result = skua_run(&settings, fn, arg);
    if (SKUA_IS_ERROR(result))
        bench_fail(options, "skua_run", (long)result);
}

/* Ends the program if @rc is an error. */
static inline void bench_must(const struct bench_options *options, const char *what, intptr_t rc)
{
    if (SKUA_IS_ERROR(rc))
        bench_fail(options, what, (long)rc);
}

#endif /* SKUA_BENCH_RUNTIME_H */
