/*
 * bench/reduce_bench.c - loops over a range.
 *
 * Cases:
 *   sum      of --size doubles (default 100 million): bound by memory, so two workers are twice as
 *            fast only where one leaves bandwidth over. Time of a run and bytes read. "skua"
 *            divides where workers are idle; "skua deterministic" always at the same places
 *   skewed   a loop of --size / 100 iterations of which a few cost as much as all others: what
 *            dividing a range fairly in advance, or in equal pieces, loses. Time of a run
 *
 * The inner loops are those of common/bench_reduce.h in all programs. All results are checked.
 */
#include "common/bench_reduce.h"
#include "common/bench_runtime.h"

#include <skua/parallel.h>

static int sum_range(size_t begin, size_t end, void *accumulator, void *arg)
{
    *(double *)accumulator += bench_reduce_sum(arg, begin, end);
    return 0;
}

static void sum_combine(void *left, const void *right, void *arg)
{
    (void)arg;
    *(double *)left += *(const double *)right;
}

static void measure_sum(const struct bench_options *options, const char *by, unsigned flags,
                        double *values)
{
    const skua_reduce_ops ops = {
        .size_bytes = sizeof(double), .range = sum_range, .combine = sum_combine, .flags = flags};
    struct bench_options line = bench_named(options, by);
    double sum = 0;
    uint64_t start = bench_now();
    int rc = skua_parallel_reduce(0, options->size, 0, &ops, values, &sum);
    uint64_t ns = bench_now() - start;
    bench_must(options, "skua_parallel_reduce", rc);
    bench_reduce_finish(&line, ns, sum);
}

static int skewed_range(size_t begin, size_t end, void *arg)
{
    uint64_t *results = arg;
    for (size_t i = begin; i < end; i++)
        results[i] = bench_skewed_work(i);
    return 0;
}

static void measure_skewed(const struct bench_options *options)
{
    struct bench_options line = bench_skewed_options(options);
    uint64_t *results = bench_skewed_create(&line);
    uint64_t start = bench_now();
    int rc = skua_parallel_for(0, line.size, 0, skewed_range, results);
    uint64_t ns = bench_now() - start;
    bench_must(options, "skua_parallel_for", rc);
    bench_skewed_finish(&line, ns, results);
    free(results);
}

static void run_once(struct bench_options *options)
{
    if (bench_wants(options, "sum")) {
        double *values = bench_reduce_create(options);
        measure_sum(options, "skua", 0, values);
        measure_sum(options, "skua deterministic", SKUA_REDUCE_DETERMINISTIC, values);
        free(values);
    }
    if (bench_wants(options, "skewed"))
        measure_skewed(options);
}

static intptr_t run_all(void *arg)
{
    bench_repeat(arg, run_once);
    return 0;
}

int main(int argc, char **argv)
{
    struct bench_options options = bench_defaults("reduce", "skua", BENCH_REDUCE_WHOLE);
    bench_parse(&options, argc, argv);
    bench_run_task(&options, run_all, &options);
    return 0;
}
