/*
 * bench/common/bench_idle.h - CPU time that nobody asked for: the measurements of the idle
 * workload. C and C++.
 *
 *   serial   one thread computes, for --seconds, while the others have nothing to do: what they
 *            use, that is the CPU time of the process less that of this thread
 *   chain    a program that forks all the time, one call at a time, so that there is never work for
 *            two: the time and the CPU time of the process for each call, of which about 0.1 us is
 *            work. The same with one worker shows what the others add
 *   idle     nothing at all happens: the CPU time of the process
 *
 * "serial" and "idle" are in milliseconds of CPU time for a second of wall time: 1000 is one CPU
 * that is always busy.
 */
#ifndef SKUA_BENCH_IDLE_H
#define SKUA_BENCH_IDLE_H

#include "bench_workload.h"

#include <time.h>

#define BENCH_IDLE_SETTLE_NS 500000000u /* before "idle": threads that just worked go to sleep */

struct bench_idle {
    uint64_t wall_ns;
    uint64_t cpu_ns;
    uint64_t thread_ns;
};

static inline struct bench_idle bench_idle_now(void)
{
    struct bench_idle now;
    struct timespec thread;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &thread); /* cannot fail */
    now.wall_ns = bench_now();
    now.cpu_ns = bench_cpu_now();
    now.thread_ns = (uint64_t)thread.tv_sec * 1000000000u + (uint64_t)thread.tv_nsec;
    return now;
}

/* True until --seconds have passed since @start. */
static inline bool bench_idle_goes_on(const struct bench_options *options, struct bench_idle start)
{
    return bench_now() - start.wall_ns < (uint64_t)options->seconds * 1000000000u;
}

/* About a tenth of a microsecond of work, for "chain", and a hundred of that for "serial". */
static inline uint64_t bench_idle_work(uint64_t value, unsigned steps)
{
    for (; steps > 0; steps--)
        value = bench_step(value * UINT64_C(6364136223846793005) + 1);
    return value;
}

#define BENCH_IDLE_CHAIN_STEPS 100u
#define BENCH_IDLE_CHAIN_LINKS 100u /* made between two looks at the clock */
#define BENCH_IDLE_SERIAL_STEPS 10000u

/* Reports @cpu_ns, less @own_ns of it, of a case that began at @start. */
static inline void bench_idle_report(struct bench_options *options, const char *name,
                                     struct bench_idle start, struct bench_idle end,
                                     uint64_t own_ns)
{
    uint64_t cpu_ns = end.cpu_ns - start.cpu_ns;
    uint64_t more_ns = cpu_ns > own_ns ? cpu_ns - own_ns : 0;
    bench_check(options, name, end.wall_ns > start.wall_ns, 1);
    bench_report_as(options, name, "cpu", "ms/s",
                    (double)more_ns * 1e3 / (double)(end.wall_ns - start.wall_ns));
}

/* The case "serial", in the thread that calls it. */
static inline void bench_idle_serial(struct bench_options *options)
{
    struct bench_idle start = bench_idle_now();
    while (bench_idle_goes_on(options, start))
        (void)bench_idle_work(1, BENCH_IDLE_SERIAL_STEPS);
    struct bench_idle end = bench_idle_now();
    bench_idle_report(options, "serial", start, end, end.thread_ns - start.thread_ns);
}

/* Ends the case "chain", which ran @links calls. */
static inline void bench_idle_chain_end(struct bench_options *options, struct bench_idle start,
                                        uint64_t links)
{
    struct bench_idle end = bench_idle_now();
    bench_check(options, "chain", links > 0, 1);
    bench_report_as(options, "chain", "time", "ns/call",
                    (double)(end.wall_ns - start.wall_ns) / (double)links);
    bench_report_as(options, "chain", "cpu", "ns/call",
                    (double)(end.cpu_ns - start.cpu_ns) / (double)links);
}

static inline void bench_idle_sleep(uint64_t ns)
{
    struct timespec time;
    time.tv_sec = (time_t)(ns / 1000000000u);
    time.tv_nsec = (long)(ns % 1000000000u);
    (void)nanosleep(&time, NULL);
}

/* The case "idle". */
static inline void bench_idle_idle(struct bench_options *options)
{
    bench_idle_sleep(BENCH_IDLE_SETTLE_NS);
    struct bench_idle start = bench_idle_now();
    bench_idle_sleep((uint64_t)options->seconds * 1000000000u);
    bench_idle_report(options, "idle", start, bench_idle_now(), 0);
}

#endif /* SKUA_BENCH_IDLE_H */
