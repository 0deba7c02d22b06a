/*
 * bench/peers/onetbb/idle_onetbb.cc - bench/idle_bench.c with oneTBB: its threads after some work,
 * and while one thread runs and waits for one task at a time.
 */
#include "common/bench_idle.h"

#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <tbb/task_group.h>

/* Starts the pool, or wakes it. */
static void use_all()
{
    tbb::parallel_for(0, 1000, [](int) { (void)bench_idle_work(1, BENCH_IDLE_SERIAL_STEPS); });
}

static uint64_t links(uint64_t value)
{
    for (unsigned i = 0; i < BENCH_IDLE_CHAIN_LINKS; i++) {
        tbb::task_group group;
        group.run([&value] { value = bench_idle_work(value, BENCH_IDLE_CHAIN_STEPS); });
        group.wait();
    }
    return value;
}

static void measure_chain(struct bench_options *options)
{
    uint64_t value = 1;
    uint64_t count = 0;
    struct bench_idle start = bench_idle_now();
    for (; bench_idle_goes_on(options, start); count += BENCH_IDLE_CHAIN_LINKS)
        value = links(value);
    bench_idle_chain_end(options, start, count);
}

static void run_once(struct bench_options *options)
{
    use_all();
    if (bench_wants(options, "serial"))
        bench_idle_serial(options);
    if (bench_wants(options, "chain"))
        measure_chain(options);
    if (bench_wants(options, "idle"))
        bench_idle_idle(options);
    use_all();
}

int main(int argc, char **argv)
{
    struct bench_options options = bench_defaults("idle", "onetbb", 1);
    options.warmups = 0;
    bench_parse(&options, argc, argv);
    tbb::global_control limit(tbb::global_control::max_allowed_parallelism, options.workers);
    bench_repeat(&options, run_once);
    return 0;
}
