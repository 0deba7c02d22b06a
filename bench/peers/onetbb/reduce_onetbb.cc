/*
 * bench/peers/onetbb/reduce_onetbb.cc - the loops of bench/reduce_bench.c with tbb::parallel_reduce
 * and tbb::parallel_for, both with the auto_partitioner.
 */
#include "common/bench_reduce.h"

#include <functional>
#include <tbb/blocked_range.h>
#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <tbb/parallel_reduce.h>

typedef tbb::blocked_range<size_t> range_of_size;

static void measure_sum(struct bench_options *options)
{
    double *values = bench_reduce_create(options);
    uint64_t start = bench_now();
    double sum = tbb::parallel_reduce(
        range_of_size(0, options->size), 0.0,
        [values](const range_of_size &range, double before) {
            return before + bench_reduce_sum(values, range.begin(), range.end());
        },
        std::plus<double>(), tbb::auto_partitioner());
    bench_reduce_finish(options, bench_now() - start, sum);
    free(values);
}

static void measure_skewed(const struct bench_options *options)
{
    struct bench_options line = bench_skewed_options(options);
    uint64_t *results = bench_skewed_create(&line);
    uint64_t start = bench_now();
    tbb::parallel_for(
        range_of_size(0, line.size),
        [results](const range_of_size &range) {
            for (size_t i = range.begin(); i < range.end(); i++)
                results[i] = bench_skewed_work(i);
        },
        tbb::auto_partitioner());
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
    struct bench_options options = bench_defaults("reduce", "onetbb", BENCH_REDUCE_WHOLE);
    bench_parse(&options, argc, argv);
    tbb::global_control limit(tbb::global_control::max_allowed_parallelism, options.workers);
    bench_repeat(&options, run_once);
    return 0;
}
