/*
 * bench/timers_bench.c - a million waits with a deadline, half of which are cancelled.
 *
 * By "skua": --size tasks (default 1 million) sleep until their deadlines; those with an odd number
 * are cancelled, the others wake up. A timer is a whole task here, with a stack of its own (about
 * 5 GiB for a million). By "skua call_at": calls at these times, which have no stack until then,
 * like the callbacks that are the timers of other libraries. In the case "armed" they fire one by
 * one, in "burst" (call_at only) as fast as can be. Reported are
 *   arm      for each timer, until the last one is armed, or task sleeps
 *   cancel   for each cancelled one, until the last of them has ended
 *   cpu      of the whole run, for each timer
 *   late     how long after their deadlines the others woke up: median and p95
 *   fire     "burst": from the first deadline until the last has fired, for each that does
 *
 * common/bench_timers.h says when the deadlines are. Every timer is checked: it fires once, not too
 * early, and only if it was not cancelled.
 */
#include "common/bench_runtime.h"
#include "common/bench_timers.h"

#include <errno.h>
#include <stdatomic.h>

struct sleeper {
    struct bench_timers *timers;
    atomic_size_t *asleep; /* how many sleep, or are about to */
    size_t index;
};

static intptr_t sleeping_task(void *arg)
{
    struct sleeper *sleeper = arg;
    /* Relaxed: a count, which orders nothing. */
    atomic_fetch_add_explicit(sleeper->asleep, 1, memory_order_relaxed);
    int rc = skua_sleep_until(sleeper->timers->deadlines[sleeper->index]);
    if (rc == 0)
        bench_timer_fired(sleeper->timers, sleeper->index);
    return rc;
}

static intptr_t called(void *arg)
{
    struct sleeper *sleeper = arg;
    bench_timer_fired(sleeper->timers, sleeper->index);
    return 0;
}

static void arm_calls(struct bench_timers *timers, struct sleeper *sleepers, skua_future **futures)
{
    for (size_t i = 0; i < timers->count; i++) {
        sleepers[i] = (struct sleeper){.timers = timers, .index = i};
        futures[i] = skua_call_at(timers->deadlines[i], called, &sleepers[i]);
    }
    timers->armed_ns = bench_now();
}

static void arm_tasks(struct bench_timers *timers, struct sleeper *sleepers, skua_future **futures)
{
    atomic_size_t asleep = 0;
    for (size_t i = 0; i < timers->count; i++) {
        sleepers[i] = (struct sleeper){.timers = timers, .asleep = &asleep, .index = i};
        futures[i] = skua_spawn(sleeping_task, &sleepers[i]);
    }
    while (atomic_load_explicit(&asleep, memory_order_relaxed) < timers->count)
        bench_must(timers->options, "skua_yield", skua_yield());
    timers->armed_ns = bench_now();
}

static void cancel(struct bench_timers *timers, skua_future **futures)
{
    for (size_t i = 1; i < timers->count; i += 2)
        bench_must(timers->options, "skua_cancel", skua_cancel(futures[i]));
    for (size_t i = 1; i < timers->count; i += 2) {
        intptr_t result = skua_await(futures[i]);
        if (result != -ECANCELED)
            bench_fail(timers->options, "a cancelled sleep", (long)result);
    }
    timers->cancelled_ns = bench_now();
}

static void run_as(struct bench_options *options, const char *name, bool calls)
{
    struct sleeper *sleepers = calloc(options->size, sizeof(*sleepers));
    skua_future **futures = calloc(options->size, sizeof(skua_future *));
    if (sleepers == NULL || futures == NULL)
        bench_fail(options, "calloc", -ENOMEM);
    struct bench_timers timers =
        bench_timers_begin(options, name, calls ? BENCH_TIMER_CALLBACK_NS : BENCH_TIMER_TASK_NS);
    if (calls)
        arm_calls(&timers, sleepers, futures);
    else
        arm_tasks(&timers, sleepers, futures);
    cancel(&timers, futures);
    for (size_t i = 0; i < timers.count; i += 2)
        bench_must(options, "a sleep", skua_await(futures[i]));
    bench_timers_end(&timers);
    free(sleepers);
    free(futures);
}

static void run_once(struct bench_options *options)
{
    struct bench_options calls = *options;
    calls.by = "skua call_at";
    if (bench_wants(options, "armed")) {
        run_as(&calls, "armed", true);
        run_as(options, "armed", false);
    }
    if (bench_wants(options, "burst"))
        run_as(&calls, "burst", true);
}

static intptr_t run_all(void *arg)
{
    bench_repeat(arg, run_once);
    return 0;
}

int main(int argc, char **argv)
{
    struct bench_options options = bench_defaults("timers", "skua", 1000000);
    bench_parse(&options, argc, argv);
    bench_run_task(&options, run_all, &options);
    return 0;
}
