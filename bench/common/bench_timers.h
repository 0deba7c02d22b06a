/*
 * bench/common/bench_timers.h - what is armed in the timers workload, and what is reported. C and
 * C++.
 *
 * --size timers are armed; those with an odd number, which are due in minutes, are cancelled; the
 * others fire. The first is due when all should be armed, and half of them cancelled; from then on
 * one fires every 6 us, in another order than they were armed. So the three are measured apart from
 * one another, and waiting costs nobody anything. That is the case "armed", where a program sleeps
 * between two timers if it can; in the case "burst" one is due every 40 ns, which nobody keeps up
 * with.
 */
#ifndef SKUA_BENCH_TIMERS_H
#define SKUA_BENCH_TIMERS_H

#include "bench_workload.h"

#include <stdlib.h>

#define BENCH_TIMER_CALLBACK_NS 3000u /* time for arming, and perhaps cancelling, a callback */
#define BENCH_TIMER_TASK_NS 12000u    /* and a task with a stack */
#define BENCH_TIMER_APART_NS 3000u    /* between two deadlines, if none were cancelled */
#define BENCH_TIMER_BURST_NS 20u      /* the same in "burst" */
#define BENCH_TIMER_FAR_NS UINT64_C(600000000000)

/* One run. Programs fill in armed_ns, cancelled_ns, the counters and the lateness. */
struct bench_timers {
    struct bench_options *options;
    const char *name; /* of the case */
    size_t count;
    uint64_t *deadlines; /* of bench_now(): CLOCK_MONOTONIC */
    double *late_us;     /* of timer i; negative until it has fired */
    uint64_t first_ns;   /* no deadline is before this */
    uint64_t start_ns;
    uint64_t start_cpu_ns;
    uint64_t armed_ns;     /* when the last was armed */
    uint64_t cancelled_ns; /* when the last was cancelled, and known to be */
};

static inline bool bench_timer_cancelled(size_t index)
{
    return index % 2 == 1;
}

/* Starts the clock of case @name. The first timer is due in @each_ns for every timer, and 0.2 s. */
static inline struct bench_timers bench_timers_begin(struct bench_options *options,
                                                     const char *name, uint64_t each_ns)
{
    struct bench_timers timers;
    uint64_t apart_ns = strcmp(name, "burst") == 0 ? BENCH_TIMER_BURST_NS : BENCH_TIMER_APART_NS;
    uint64_t state = 1;
    size_t count = options->size;
    memset(&timers, 0, sizeof(timers));
    timers.options = options;
    timers.name = name;
    timers.count = count;
    timers.deadlines = (uint64_t *)malloc(count * sizeof(uint64_t));
    timers.late_us = (double *)malloc(count * sizeof(double));
    if (timers.deadlines == NULL || timers.late_us == NULL)
        bench_fail(options, "malloc", -12);
    timers.first_ns = bench_now() + 200000000u + count * each_ns;
    for (size_t i = 0; i < count; i++) {
        uint64_t after_ns = bench_random(&state) % (count * apart_ns);
        timers.deadlines[i] =
            timers.first_ns + after_ns + (bench_timer_cancelled(i) ? BENCH_TIMER_FAR_NS : 0);
        timers.late_us[i] = -1;
    }
    timers.start_ns = bench_now();
    timers.start_cpu_ns = bench_cpu_now();
    return timers;
}

/* Timer @index fires now. Firing too early, or twice, ends the program. */
static inline void bench_timer_fired(struct bench_timers *timers, size_t index)
{
    uint64_t now = bench_now();
    if (now < timers->deadlines[index] || timers->late_us[index] >= 0)
        bench_fail(timers->options, "a timer that fires once, when it is due", -22);
    timers->late_us[index] = (double)(now - timers->deadlines[index]) / 1e3;
}

static inline double bench_timers_each(uint64_t ns, size_t count)
{
    return (double)ns / (double)(count > 0 ? count : 1);
}

/* All have fired or been cancelled: checks and reports, and gives the memory back. */
static inline void bench_timers_end(struct bench_timers *timers)
{
    struct bench_options *options = timers->options;
    uint64_t cpu_ns = bench_cpu_now() - timers->start_cpu_ns;
    struct bench_label late = {timers->name, "late", "us"};
    uint64_t last_ns = timers->first_ns; /* when the last one fired */
    size_t fired = 0;
    uint64_t wrong = 0;
    for (size_t i = 0; i < timers->count; i++) {
        double late_us = timers->late_us[i];
        wrong += (late_us >= 0) == bench_timer_cancelled(i);
        if (late_us < 0)
            continue;
        uint64_t fired_ns = timers->deadlines[i] + (uint64_t)(late_us * 1e3);
        if (fired_ns > last_ns)
            last_ns = fired_ns;
        timers->late_us[fired++] = late_us;
    }
    bench_check(options, "timers that did what they should not", wrong, 0);
    bench_check(options, "timers that fired", fired, timers->count - timers->count / 2);
    bench_report_as(options, timers->name, "arm", "ns/timer",
                    bench_timers_each(timers->armed_ns - timers->start_ns, timers->count));
    bench_report_as(options, timers->name, "cancel", "ns/timer",
                    bench_timers_each(timers->cancelled_ns - timers->armed_ns, timers->count / 2));
    bench_report_as(options, timers->name, "cpu", "ns/timer",
                    bench_timers_each(cpu_ns, timers->count));
    if (timers->cancelled_ns > timers->first_ns) {
        bench_skip(options, timers->name,
                   "lateness: arming took so long that timers were due before its end");
    } else {
        bench_report_samples(options, late, timers->late_us, fired);
        if (strcmp(timers->name, "burst") == 0)
            bench_report_as(options, "burst", "fire", "ns/timer",
                            bench_timers_each(last_ns - timers->first_ns, fired));
    }
    free(timers->deadlines);
    free(timers->late_us);
}

#endif /* SKUA_BENCH_TIMERS_H */
