/*
 * bench/peers/openmp/fib_openmp.c - bench/fib_bench.c with OpenMP tasks.
 */
#include "common/bench_workload.h"

#include <omp.h>

static uint64_t fib(int n)
{
    uint64_t left;
    if (n < 2)
        return (uint64_t)n;
#pragma omp task shared(left) firstprivate(n)
    left = fib(n - 1);
    uint64_t right = fib(n - 2);
#pragma omp taskwait
    return left + right;
}

static void run_once(struct bench_options *options)
{
    uint64_t result = 0;
    uint64_t start = bench_now();
#pragma omp parallel
#pragma omp single
    result = fib((int)options->size);
    bench_fib_finish(options, bench_now() - start, result);
}

int main(int argc, char **argv)
{
    struct bench_options options = bench_defaults("fib", "openmp", BENCH_FIB_WHOLE);
    bench_parse(&options, argc, argv);
    omp_set_num_threads((int)options.workers);
    bench_repeat(&options, run_once);
    return 0;
}
