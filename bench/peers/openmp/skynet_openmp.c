/*
 * bench/peers/openmp/skynet_openmp.c - bench/skynet_bench.c, case "fork", with OpenMP tasks.
 */
#include "common/bench_workload.h"

#include <omp.h>

static uint64_t skynet(uint64_t first, uint64_t leaves)
{
    uint64_t sums[10];
    uint64_t each = leaves / 10;
    if (leaves == 1)
        return first;
    for (uint64_t i = 0; i < 9; i++) {
#pragma omp task shared(sums) firstprivate(first, each, i)
        sums[i] = skynet(first + i * each, each);
    }
    sums[9] = skynet(first + 9 * each, each);
#pragma omp taskwait
    for (int i = 0; i < 9; i++)
        sums[9] += sums[i];
    return sums[9];
}

static void run_once(struct bench_options *options)
{
    uint64_t leaves = bench_skynet_leaves(options->size);
    uint64_t sum = 0;
    uint64_t start = bench_now();
#pragma omp parallel
#pragma omp single
    sum = skynet(0, leaves);
    bench_skynet_finish(options, bench_now() - start, sum);
}

int main(int argc, char **argv)
{
    struct bench_options options = bench_defaults("skynet", "openmp", BENCH_SKYNET_WHOLE);
    bench_parse(&options, argc, argv);
    omp_set_num_threads((int)options.workers);
    bench_repeat(&options, run_once);
    return 0;
}
