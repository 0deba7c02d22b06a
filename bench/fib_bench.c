/*
 * bench/fib_bench.c - the price of a fork and its join: Fibonacci numbers by recursion, without any
 * cutoff. fib(39) forks 102 million times, and a call does nothing else.
 *
 * Case "fork": --size is n (default 39). Reported are the time of a run, at the default size, and
 * the time for each fork, at any.
 *   "skua typed"   SKUA_FORKABLE()
 *   "skua plain"   skua_fork() and skua_join()
 *
 * Every program forks fib(n - 1), calls fib(n - 2) and joins, down to n < 2. The result is checked.
 */
#include "common/bench_runtime.h"
#include "common/bench_workload.h"

#include <skua/fork.h>

SKUA_FORKABLE(uint64_t, fib_typed, int, n)
{
    if (n < 2)
        return (uint64_t)n;
    SKUA_JOB(fib_typed) job;
    SKUA_FORK(fib_typed, &job, n - 1);
    uint64_t right = SKUA_CALL(fib_typed, n - 2);
    return SKUA_JOIN(fib_typed, &job) + right;
}

static intptr_t fib_plain(void *arg)
{
    intptr_t n = (intptr_t)arg;
    skua_job job;
    if (n < 2)
        return n;
    (void)skua_fork(&job, fib_plain, (void *)(n - 1)); /* cannot fail with a function */
    intptr_t right = fib_plain((void *)(n - 2));
    return skua_join(&job) + right;
}

static void run_once(struct bench_options *options)
{
    struct bench_options typed = bench_named(options, "skua typed");
    struct bench_options plain = bench_named(options, "skua plain");
    uint64_t start = bench_now();
    uint64_t result = fib_typed((int)options->size);
    bench_fib_finish(&typed, bench_now() - start, result);
    start = bench_now();
    result = (uint64_t)fib_plain((void *)options->size);
    bench_fib_finish(&plain, bench_now() - start, result);
}

static intptr_t run_all(void *arg)
{
    bench_repeat(arg, run_once);
    return 0;
}

int main(int argc, char **argv)
{
    struct bench_options options = bench_defaults("fib", "skua", BENCH_FIB_WHOLE);
    bench_parse(&options, argc, argv);
    bench_run_task(&options, run_all, &options);
    return 0;
}
