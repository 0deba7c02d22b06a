/*
 * bench/peers/serial/skynet_serial.c - the calls of bench/skynet_bench.c, case "fork", without any
 * fork.
 */
#include "common/bench_workload.h"

static uint64_t skynet(uint64_t first, uint64_t leaves)
{
    uint64_t sum = 0;
    if (leaves == 1)
        return first;
    for (uint64_t i = 0; i < 10; i++)
        sum += skynet(first + i * (leaves / 10), leaves / 10);
    return sum;
}

static void run_once(struct bench_options *options)
{
    uint64_t leaves = bench_opaque(bench_skynet_leaves(options->size));
    uint64_t start = bench_now();
    uint64_t sum = bench_opaque(skynet(0, leaves));
    bench_skynet_finish(options, bench_now() - start, sum);
}

int main(int argc, char **argv)
{
    struct bench_options options = bench_defaults("skynet", "serial", BENCH_SKYNET_WHOLE);
    bench_parse(&options, argc, argv);
    options.workers = 1;
    bench_repeat(&options, run_once);
    return 0;
}
