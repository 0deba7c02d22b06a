/*
 * bench/peers/serial/reduce_serial.c - the loops of bench/reduce_bench.c in one thread.
 */
#include "common/bench_reduce.h"

static void measure_sum(struct bench_options *options)
{
    double *values = bench_reduce_create(options);
    uint64_t start = bench_now();
    double sum = bench_reduce_sum(values, 0, options->size);
    bench_reduce_finish(options, bench_now() - start, sum);
    free(values);
}

static void measure_skewed(const struct bench_options *options)
{
    struct bench_options line = bench_skewed_options(options);
    uint64_t *results = bench_skewed_create(&line);
    uint64_t start = bench_now();
    for (size_t i = 0; i < line.size; i++)
        results[i] = bench_skewed_work(i);
    bench_skewed_finish(&line, bench_now() - start, results);
    free(results);
}

static void run_once(struct bench_options *options)
{
    if (bench_wants(options, "sum"))
        measure_sum(options);
    if (bench_wants(options, "skewed"))
        measure_skewed(options);
}

int main(int argc, char **argv)
{
    struct bench_options options = bench_defaults("reduce", "serial", BENCH_REDUCE_WHOLE);
    bench_parse(&options, argc, argv);
    options.workers = 1;
    bench_repeat(&options, run_once);
    return 0;
}
