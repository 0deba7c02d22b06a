/*
 * bench/spawn_bench.c - what a task costs from spawn to await.
 *
 * Cases, all in nanoseconds of wall time for one task, --size tasks (default 1,000,000):
 *   all       one task spawns them all, then awaits them all, in the order of spawning
 *   one       spawn, await, spawn, await ...
 *   parked    as "all", but each task yields once: every one really has a stack of its own, and all
 *             of these exist at once (about 5 GiB for a million)
 *   window    as "parked", 1000 at a time: the stacks are reused and warm
 *
 * A task returns its number; the sum of all is checked. The array of handles was touched before.
 */
#include "common/bench_runtime.h"

#include <stdlib.h>

#define WINDOW 1000

struct spawn {
    struct bench_options *options;
    skua_future **handles; /* of options->size */
};

static intptr_t empty_task(void *arg)
{
    return (intptr_t)arg;
}

static intptr_t yielding_task(void *arg)
{
    return skua_yield() == 0 ? (intptr_t)arg : 0;
}

static uint64_t await_all(skua_future **handles, size_t count)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (uint64_t)skua_await(handles[i]);
    return sum;
}

static uint64_t spawn_all(struct spawn *spawn)
{
    size_t count = spawn->options->size;
    for (size_t i = 0; i < count; i++)
        spawn->handles[i] = skua_spawn(empty_task, (void *)(i + 1));
    return await_all(spawn->handles, count);
}

static uint64_t spawn_one(struct spawn *spawn)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < spawn->options->size; i++)
        sum += (uint64_t)skua_await(skua_spawn(empty_task, (void *)(i + 1)));
    return sum;
}

/* Numbers from @first on. The yield lets them all start before one could be run in place. */
static uint64_t spawn_yielding(struct spawn *spawn, size_t first, size_t count)
{
    for (size_t i = 0; i < count; i++)
        spawn->handles[i] = skua_spawn(yielding_task, (void *)(first + i + 1));
    (void)skua_yield();
    return await_all(spawn->handles, count);
}

static uint64_t spawn_parked(struct spawn *spawn)
{
    return spawn_yielding(spawn, 0, spawn->options->size);
}

static uint64_t spawn_window(struct spawn *spawn)
{
    uint64_t sum = 0;
    size_t size = spawn->options->size;
    for (size_t first = 0; first < size; first += WINDOW)
        sum += spawn_yielding(spawn, first, size - first < WINDOW ? size - first : WINDOW);
    return sum;
}

static void measure(struct spawn *spawn, const char *name, uint64_t (*workload)(struct spawn *))
{
    struct bench_options *options = spawn->options;
    if (!bench_wants(options, name))
        return;
    uint64_t start = bench_now();
    uint64_t sum = workload(spawn);
    double ns = (double)(bench_now() - start) / (double)options->size;
    uint64_t n = options->size;
    bench_check(options, name, sum, n * (n + 1) / 2);
    bench_report(options, (struct bench_label){name, "time", "ns/task"}, ns);
}

static intptr_t measure_all(void *arg)
{
    struct spawn *spawn = arg;
    measure(spawn, "all", spawn_all);
    measure(spawn, "one", spawn_one);
    measure(spawn, "window", spawn_window);
    measure(spawn, "parked", spawn_parked);
    return 0;
}

static void run_once(struct bench_options *options)
{
    struct spawn spawn = {.options = options};
    spawn.handles = malloc(options->size * sizeof(skua_future *));
    if (spawn.handles == NULL)
        bench_fail(options, "malloc", -12);
    for (size_t i = 0; i < options->size; i++)
        spawn.handles[i] = NULL;
    bench_run_task(options, measure_all, &spawn);
    free(spawn.handles);
}

int main(int argc, char **argv)
{
    struct bench_options options = {
        .bench = "spawn", .by = "skua", .workers = 2, .runs = 7, .warmups = 1, .size = 1000000};
    bench_parse(&options, argc, argv);
    bench_repeat(&options, run_once);
    return 0;
}
