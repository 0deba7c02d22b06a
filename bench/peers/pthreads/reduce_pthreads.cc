/*
 * bench/peers/pthreads/reduce_pthreads.cc - the loops of bench/reduce_bench.c with threads that are
 * made and joined in each run, one equal range for each: the limit for "sum", and what a division
 * in advance makes of "skewed".
 */
#include "common/bench_reduce.h"

#include <thread>
#include <vector>

/* Calls @fn(index, begin, end) in as many threads as there are workers, this one among them. */
template <typename Fn> static void divide(const struct bench_options *options, Fn fn)
{
    std::vector<std::thread> threads;
    size_t count = options->workers;
    for (size_t i = 1; i < count; i++)
        threads.emplace_back(fn, i, i * options->size / count, (i + 1) * options->size / count);
    fn(0, 0, options->size / count);
    for (std::thread &thread : threads)
        thread.join();
}

static void measure_sum(struct bench_options *options)
{
    double *values = bench_reduce_create(options);
    std::vector<double> sums(options->workers);
    double sum = 0;
    uint64_t start = bench_now();
    divide(options, [&](size_t index, size_t begin, size_t end) {
        sums[index] = bench_reduce_sum(values, begin, end);
    });
    for (double part : sums)
        sum += part;
    bench_reduce_finish(options, bench_now() - start, sum);
    free(values);
}

static void measure_skewed(const struct bench_options *options)
{
    struct bench_options line = bench_skewed_options(options);
    uint64_t *results = bench_skewed_create(&line);
    uint64_t start = bench_now();
    divide(&line, [&](size_t, size_t begin, size_t end) {
        for (size_t i = begin; i < end; i++)
            results[i] = bench_skewed_work(i);
    });
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
    struct bench_options options = bench_defaults("reduce", "pthreads", BENCH_REDUCE_WHOLE);
    bench_parse(&options, argc, argv);
    bench_repeat(&options, run_once);
    return 0;
}
