/*
 * bench/peers/onetbb/skynet_onetbb.cc - bench/skynet_bench.c, case "fork", with oneTBB's
 * task_group.
 */
#include "common/bench_workload.h"

#include <tbb/global_control.h>
#include <tbb/task_group.h>

static uint64_t skynet(uint64_t first, uint64_t leaves)
{
    if (leaves == 1)
        return first;
    uint64_t sums[10];
    uint64_t each = leaves / 10;
    tbb::task_group group;
    for (uint64_t i = 0; i < 9; i++)
        group.run([&sums, first, each, i] { sums[i] = skynet(first + i * each, each); });
    sums[9] = skynet(first + 9 * each, each);
    group.wait();
    for (int i = 0; i < 9; i++)
        sums[9] += sums[i];
    return sums[9];
}

static void run_once(struct bench_options *options)
{
    uint64_t leaves = bench_skynet_leaves(options->size);
    uint64_t start = bench_now();
    uint64_t sum = skynet(0, leaves);
    bench_skynet_finish(options, bench_now() - start, sum);
}

int main(int argc, char **argv)
{
    struct bench_options options = bench_defaults("skynet", "onetbb", BENCH_SKYNET_WHOLE);
    bench_parse(&options, argc, argv);
    tbb::global_control limit(tbb::global_control::max_allowed_parallelism, options.workers);
    bench_repeat(&options, run_once);
    return 0;
}
