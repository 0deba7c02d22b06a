/*
 * bench/peers/openmp/reduce_openmp.c - the loops of bench/reduce_bench.c with "parallel for".
 *
 * "sum": one range for each thread, as schedule(static) divides it. "skewed": schedule(static),
 * schedule(guided), and schedule(dynamic, n) with several n, of which the best counts.
 */
#include "common/bench_reduce.h"

#include <omp.h>

static void measure_sum(struct bench_options *options)
{
    struct bench_options line = bench_named(options, "openmp static");
    double *values = bench_reduce_create(options);
    size_t pieces = options->workers;
    size_t count = options->size;
    double sum = 0;
    uint64_t start = bench_now();
#pragma omp parallel for schedule(static) reduction(+ : sum)
    for (size_t i = 0; i < pieces; i++)
        sum += bench_reduce_sum(values, i * count / pieces, (i + 1) * count / pieces);
    bench_reduce_finish(&line, bench_now() - start, sum);
    free(values);
}

static void measure_skewed(const struct bench_options *options, const char *schedule,
                           omp_sched_t kind, int chunk)
{
    struct bench_options line = bench_skewed_options(options);
    uint64_t *results = bench_skewed_create(&line);
    size_t count = line.size;
    line.by = schedule;
    omp_set_schedule(kind, chunk);
    uint64_t start = bench_now();
#pragma omp parallel for schedule(runtime)
    for (size_t i = 0; i < count; i++)
        results[i] = bench_skewed_work(i);
    bench_skewed_finish(&line, bench_now() - start, results);
    free(results);
}

static void run_once(struct bench_options *options)
{
    if (bench_wants(options, "sum"))
        measure_sum(options);
    if (!bench_wants(options, "skewed"))
        return;
    measure_skewed(options, "openmp static", omp_sched_static, 0);
    measure_skewed(options, "openmp guided", omp_sched_guided, 0);
    measure_skewed(options, "openmp dynamic,1", omp_sched_dynamic, 1);
    measure_skewed(options, "openmp dynamic,64", omp_sched_dynamic, 64);
    measure_skewed(options, "openmp dynamic,1024", omp_sched_dynamic, 1024);
}

int main(int argc, char **argv)
{
    struct bench_options options = bench_defaults("reduce", "openmp", BENCH_REDUCE_WHOLE);
    bench_parse(&options, argc, argv);
    omp_set_num_threads((int)options.workers);
    bench_repeat(&options, run_once);
    return 0;
}
