/*
 * bench/common/bench_workload.h - what the programs of the fork/join workloads share: defaults, the
 * end of a run, and the known results. C and C++.
 */
#ifndef SKUA_BENCH_WORKLOAD_H
#define SKUA_BENCH_WORKLOAD_H

#include "bench.h"

#include <string.h>

/* Options before the command line is read. */
static inline struct bench_options bench_defaults(const char *bench, const char *by, size_t size)
{
    struct bench_options options;
    memset(&options, 0, sizeof(options));
    options.bench = bench;
    options.by = by;
    options.workers = 2;
    options.runs = 7;
    options.warmups = 1;
    options.size = size;
    options.seconds = 2;
    return options;
}

/* The same options for the lines of another competitor in the same program. */
static inline struct bench_options bench_named(const struct bench_options *options, const char *by)
{
    struct bench_options named = *options;
    named.by = by;
    return named;
}

/* @value, of which the compiler knows nothing any more: a call cannot be moved out of a run. */
static inline uint64_t bench_opaque(uint64_t value)
{
    __asm__ volatile("" : "+r"(value) : : "memory");
    return value;
}

/* The same for a step of a loop, which compilers cannot unroll into fewer multiplications then. */
static inline uint64_t bench_step(uint64_t value)
{
    __asm__ volatile("" : "+r"(value));
    return value;
}

static inline void bench_report_as(const struct bench_options *options, const char *name,
                                   const char *metric, const char *unit, double value)
{
    struct bench_label label;
    label.name = name;
    label.metric = metric;
    label.unit = unit;
    bench_report(options, label, value);
}

/* Ends a run that took @ns: checks its result and reports its time in milliseconds. */
static inline void bench_finish(struct bench_options *options, const char *name, uint64_t ns,
                                uint64_t got, uint64_t expected)
{
    bench_check(options, name, got, expected);
    bench_report_as(options, name, "time", "ms", (double)ns / 1e6);
}

/* ---- fork/join ------------------------------------------------------------------------------- */

/*
 * Every program of a fork/join workload makes the same calls and forks, all in the case "fork". A
 * run at the whole size reports its time; every run reports the time for each fork, by which
 * programs can be compared that would take minutes at the whole size.
 */
static inline void bench_finish_forks(struct bench_options *options, uint64_t ns, bool whole,
                                      uint64_t forks)
{
    if (whole)
        bench_report_as(options, "fork", "time", "ms", (double)ns / 1e6);
    if (forks > 0)
        bench_report_as(options, "fork", "each", "ns/fork", (double)ns / (double)forks);
}

#define BENCH_FIB_WHOLE 39u
#define BENCH_SKYNET_WHOLE 10000000u
#define BENCH_QUEENS_WHOLE 14u

static inline uint64_t bench_fib_expected(size_t n)
{
    uint64_t a = 0;
    uint64_t b = 1;
    while (n-- > 0) {
        uint64_t next = a + b;
        a = b;
        b = next;
    }
    return a;
}

/* fib(n) forks once for each n of at least 2. */
static inline void bench_fib_finish(struct bench_options *options, uint64_t ns, uint64_t got)
{
    size_t n = options->size;
    bench_check(options, "fib", got, bench_fib_expected(n));
    bench_finish_forks(options, ns, n == BENCH_FIB_WHOLE, bench_fib_expected(n + 1) - 1);
}

/* The leaves of the largest whole tree of at most @size leaves: a power of ten. */
static inline size_t bench_skynet_leaves(size_t size)
{
    size_t leaves = 1;
    while (leaves * 10 <= size)
        leaves *= 10;
    return leaves;
}

static inline uint64_t bench_skynet_nodes(size_t leaves)
{
    return ((uint64_t)leaves * 10 - 1) / 9;
}

/* The sum of the numbers of all leaves. */
static inline uint64_t bench_skynet_expected(size_t leaves)
{
    return (uint64_t)leaves * (leaves - 1) / 2;
}

/* An inner node forks nine of its ten children and calls the last. */
static inline void bench_skynet_finish(struct bench_options *options, uint64_t ns, uint64_t got)
{
    size_t leaves = bench_skynet_leaves(options->size);
    bench_check(options, "sum", got, bench_skynet_expected(leaves));
    bench_finish_forks(options, ns, leaves == BENCH_SKYNET_WHOLE, leaves - 1);
}

/* Every board but the empty one is forked. The solutions are OEIS's A000170; the boards were
 * counted by another method, with bit masks. */
static inline void bench_queens_finish(struct bench_options *options, uint64_t ns, uint64_t got)
{
    static const uint64_t solutions[] = {1,  1,   0,   0,    2,     10,    4,     40,
                                         92, 352, 724, 2680, 14200, 73712, 365596};
    static const uint64_t boards[] = {0,    1,    2,     5,      16,     53,      152,     551,
                                      2056, 8393, 35538, 166925, 856188, 4674889, 27358552};
    bench_check(options, "solutions", got, solutions[options->size]);
    bench_finish_forks(options, ns, options->size == BENCH_QUEENS_WHOLE, boards[options->size]);
}

#endif /* SKUA_BENCH_WORKLOAD_H */
