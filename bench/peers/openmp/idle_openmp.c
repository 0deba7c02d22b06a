/*
 * bench/peers/openmp/idle_openmp.c - bench/idle_bench.c with OpenMP: the threads of its pool
 * between two parallel regions, and in one where only one thread has something to do. The waiting
 * policy is the default.
 */
#include "common/bench_idle.h"

#include <omp.h>

/* Starts the pool, or wakes it. */
static void use_all(struct bench_options *options)
{
    unsigned count = 0;
#pragma omp parallel reduction(+ : count)
    count++;
    bench_check(options, "threads", count, options->workers);
}

static uint64_t links(uint64_t value)
{
    for (unsigned i = 0; i < BENCH_IDLE_CHAIN_LINKS; i++) {
#pragma omp task shared(value)
        value = bench_idle_work(value, BENCH_IDLE_CHAIN_STEPS);
#pragma omp taskwait
    }
    return value;
}

static void measure_chain(struct bench_options *options)
{
    uint64_t value = 1;
    uint64_t count = 0;
    struct bench_idle start = bench_idle_now();
#pragma omp parallel
#pragma omp single
    for (; bench_idle_goes_on(options, start); count += BENCH_IDLE_CHAIN_LINKS)
        value = links(value);
    bench_idle_chain_end(options, start, count);
}

static void run_once(struct bench_options *options)
{
    use_all(options);
    if (bench_wants(options, "serial"))
        bench_idle_serial(options);
    if (bench_wants(options, "chain"))
        measure_chain(options);
    if (bench_wants(options, "idle"))
        bench_idle_idle(options);
    use_all(options);
}

int main(int argc, char **argv)
{
    struct bench_options options = bench_defaults("idle", "openmp", 1);
    options.warmups = 0;
    bench_parse(&options, argc, argv);
    omp_set_num_threads((int)options.workers);
    bench_repeat(&options, run_once);
    return 0;
}
