/*
 * bench/common/bench_reduce.h - the data and the inner loops of the reduce workload. C and C++.
 *
 * Case "sum": whole numbers below 1000 as doubles, so that every order of adding them gives the
 * same sum. The inner loop keeps up with memory: eight sums in vectors of two.
 *
 * Case "skewed": iteration i makes some steps of a linear congruential generator that starts at i.
 * How many depends on which 256 iterations it belongs to, by a heavy-tailed (Pareto) distribution
 * between 16 and 65536: half of them cost 32 steps at most, and one in 4096 costs 65536. Where the
 * generator ends up is checked by jumping ahead.
 */
#ifndef SKUA_BENCH_REDUCE_H
#define SKUA_BENCH_REDUCE_H

#include "bench_workload.h"

#include <stdlib.h>

#define BENCH_REDUCE_WHOLE 100000000u
#define BENCH_SKEWED_SHARE 100u /* the case "skewed" has --size / 100 iterations */

/* ---- sum ------------------------------------------------------------------------------------- */

typedef double bench_double_pair __attribute__((vector_size(16), aligned(8), may_alias));

/* Numbers @begin .. @end - 1. */
static inline double bench_reduce_sum(const double *values, size_t begin, size_t end)
{
    bench_double_pair sums[4] = {{0, 0}, {0, 0}, {0, 0}, {0, 0}};
    double sum = 0;
    for (; end - begin >= 8; begin += 8) {
        for (size_t i = 0; i < 4; i++)
            sums[i] += *(const bench_double_pair *)(values + begin + 2 * i);
    }
    for (; begin < end; begin++)
        sum += values[begin];
    for (size_t i = 0; i < 4; i++)
        sum += sums[i][0] + sums[i][1];
    return sum;
}

static inline double *bench_reduce_create(const struct bench_options *options)
{
    double *values = (double *)malloc(options->size * sizeof(double));
    if (values == NULL)
        bench_fail(options, "malloc", -12);
    for (size_t i = 0; i < options->size; i++)
        values[i] = (double)(i % 1000);
    return values;
}

/* Ends a run that took @ns: checks, and reports the time and the memory read in it. */
static inline void bench_reduce_finish(struct bench_options *options, uint64_t ns, double sum)
{
    uint64_t whole = options->size / 1000;
    uint64_t rest = options->size % 1000;
    double bytes = (double)options->size * sizeof(double);
    bench_finish(options, "sum", ns, (uint64_t)sum, whole * 499500 + rest * (rest - 1) / 2);
    bench_report_as(options, "sum", "rate", "GB/s", bytes / (double)ns);
}

/* ---- skewed ---------------------------------------------------------------------------------- */

#define BENCH_SKEWED_FACTOR UINT64_C(6364136223846793005)
#define BENCH_SKEWED_ADDEND UINT64_C(1442695040888963407)

static inline unsigned bench_skewed_steps(uint64_t i)
{
    /* A number between 1 and 2^24 that looks random; Steele, Lea, Flood, splitmix64. */
    uint64_t x = (i / 256 + 1) * UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    unsigned uniform = (unsigned)((x ^ (x >> 31)) >> 40) + 1;
    unsigned steps = (16u << 24) / uniform;
    return uniform < 1u << 12 ? 65536 : steps;
}

/* Not inlined, and aligned: inlined it was 3 % faster or slower from one program to the other. */
static __attribute__((noinline, aligned(64), unused)) uint64_t bench_skewed_work(uint64_t i)
{
    uint64_t value = i;
    for (unsigned steps = bench_skewed_steps(i); steps > 0; steps--)
        value = bench_step(value * BENCH_SKEWED_FACTOR + BENCH_SKEWED_ADDEND);
    return value;
}

/* The same by jumping: the pair (factor, addend) of twice as many steps, for each bit. */
static inline uint64_t bench_skewed_jump(uint64_t i)
{
    uint64_t value = i;
    uint64_t factor = BENCH_SKEWED_FACTOR;
    uint64_t addend = BENCH_SKEWED_ADDEND;
    for (unsigned steps = bench_skewed_steps(i); steps > 0; steps /= 2) {
        if (steps % 2 == 1)
            value = value * factor + addend;
        addend *= factor + 1;
        factor *= factor;
    }
    return value;
}

/* Options for the lines of this case. */
static inline struct bench_options bench_skewed_options(const struct bench_options *options)
{
    struct bench_options skewed = *options;
    skewed.size = options->size < BENCH_SKEWED_SHARE ? 1 : options->size / BENCH_SKEWED_SHARE;
    return skewed;
}

/* Where iteration i stores what it got. */
static inline uint64_t *bench_skewed_create(const struct bench_options *options)
{
    uint64_t *results = (uint64_t *)malloc(options->size * sizeof(uint64_t));
    if (results == NULL)
        bench_fail(options, "malloc", -12);
    memset(results, 0xff, options->size * sizeof(uint64_t));
    return results;
}

/* Ends a run that took @ns: checks every result and forgets it, and reports. */
static inline void bench_skewed_finish(struct bench_options *options, uint64_t ns,
                                       uint64_t *results)
{
    uint64_t right = 0;
    for (size_t i = 0; i < options->size; i++)
        right += results[i] == bench_skewed_jump(i);
    memset(results, 0xff, options->size * sizeof(uint64_t));
    bench_finish(options, "skewed", ns, right, options->size);
}

#endif /* SKUA_BENCH_REDUCE_H */
