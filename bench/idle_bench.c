/*
 * bench/idle_bench.c - what a runtime costs when there is nothing for it to do: workers must not
 * burn CPUs that others could use.
 *
 * Cases, each for --seconds (default 2); what is counted in them stands in common/bench_idle.h:
 *   serial   a task computes, alone
 *   chain    a task forks and joins one short call after the other: there is work for one worker.
 *            "skua typed" and "skua plain"
 *   idle     nobody has anything to do, for --seconds
 */
#include "common/bench_idle.h"
#include "common/bench_runtime.h"

#include <skua/fork.h>

SKUA_FORKABLE(uint64_t, work_typed, uint64_t, value)
{
    return bench_idle_work(value, BENCH_IDLE_CHAIN_STEPS);
}

SKUA_FORKABLE(uint64_t, links_typed, uint64_t, value)
{
    for (unsigned i = 0; i < BENCH_IDLE_CHAIN_LINKS; i++) {
        SKUA_JOB(work_typed) job;
        SKUA_FORK(work_typed, &job, value);
        value = SKUA_JOIN(work_typed, &job);
    }
    return value;
}

static intptr_t work_plain(void *arg)
{
    uint64_t *value = arg;
    *value = bench_idle_work(*value, BENCH_IDLE_CHAIN_STEPS);
    return 0;
}

static void links_plain(uint64_t *value)
{
    for (unsigned i = 0; i < BENCH_IDLE_CHAIN_LINKS; i++) {
        skua_job job;
        (void)skua_fork(&job, work_plain, value); /* cannot fail with a function */
        (void)skua_join(&job);
    }
}

static intptr_t chain_task(void *arg)
{
    const struct bench_options *options = arg;
    struct bench_options typed = bench_named(options, "skua typed");
    struct bench_options plain = bench_named(options, "skua plain");
    uint64_t value = 1;
    uint64_t count = 0;
    struct bench_idle start = bench_idle_now();
    for (; bench_idle_goes_on(options, start); count += BENCH_IDLE_CHAIN_LINKS)
        value = links_typed(value);
    bench_idle_chain_end(&typed, start, count);
    start = bench_idle_now();
    for (count = 0; bench_idle_goes_on(options, start); count += BENCH_IDLE_CHAIN_LINKS)
        links_plain(&value);
    bench_idle_chain_end(&plain, start, count);
    return 0;
}

static intptr_t serial_task(void *arg)
{
    bench_idle_serial(arg);
    return 0;
}

static intptr_t answering_task(void *arg)
{
    (void)arg;
    return 1;
}

static void measure_idle(struct bench_options *options)
{
    const skua_options settings = {.workers = options->workers};
    skua_runtime *runtime;
    bench_must(options, "skua_runtime_start", skua_runtime_start(&runtime, &settings));
    bench_must(options, "a task", skua_await(skua_submit(runtime, answering_task, NULL)));
    bench_idle_idle(options);
    bench_must(options, "a task", skua_await(skua_submit(runtime, answering_task, NULL)));
    bench_must(options, "skua_runtime_stop",
               skua_runtime_stop(runtime, SKUA_STOP_DRAIN, skua_after(30 * SKUA_NS_PER_SEC)));
}

static void run_once(struct bench_options *options)
{
    if (bench_wants(options, "serial"))
        bench_run_task(options, serial_task, options);
    if (bench_wants(options, "chain"))
        bench_run_task(options, chain_task, options);
    if (bench_wants(options, "idle"))
        measure_idle(options);
}

int main(int argc, char **argv)
{
    struct bench_options options = bench_defaults("idle", "skua", 1);
    options.warmups = 0;
    bench_parse(&options, argc, argv);
    bench_repeat(&options, run_once);
    return 0;
}
