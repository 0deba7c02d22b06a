/*
 * bench/peers/onetbb/fib_onetbb.cc - bench/fib_bench.c with oneTBB's task_group.
 */
#include "common/bench_workload.h"

#include <tbb/global_control.h>
#include <tbb/task_group.h>

static uint64_t fib(int n)
{
    if (n < 2)
        return static_cast<uint64_t>(n);
    uint64_t left;
    tbb::task_group group;
    group.run([&left, n] { left = fib(n - 1); });
    uint64_t right = fib(n - 2);
    group.wait();
    return left + right;
}

static void run_once(struct bench_options *options)
{
    uint64_t start = bench_now();
    uint64_t result = fib(static_cast<int>(options->size));
    bench_fib_finish(options, bench_now() - start, result);
}

int main(int argc, char **argv)
{
    struct bench_options options = bench_defaults("fib", "onetbb", BENCH_FIB_WHOLE);
    bench_parse(&options, argc, argv);
    tbb::global_control limit(tbb::global_control::max_allowed_parallelism, options.workers);
    bench_repeat(&options, run_once);
    return 0;
}
