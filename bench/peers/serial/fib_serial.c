/*
 * bench/peers/serial/fib_serial.c - the calls of bench/fib_bench.c without any fork: what the
 * recursion itself costs, and so the limit at one worker.
 */
#include "common/bench_workload.h"

static uint64_t fib(int n)
{
    if (n < 2)
        return (uint64_t)n;
    return fib(n - 1) + fib(n - 2);
}

static void run_once(struct bench_options *options)
{
    int n = (int)bench_opaque(options->size);
    uint64_t start = bench_now();
    uint64_t result = bench_opaque(fib(n));
    bench_fib_finish(options, bench_now() - start, result);
}

int main(int argc, char **argv)
{
    struct bench_options options = bench_defaults("fib", "serial", BENCH_FIB_WHOLE);
    bench_parse(&options, argc, argv);
    options.workers = 1;
    bench_repeat(&options, run_once);
    return 0;
}
