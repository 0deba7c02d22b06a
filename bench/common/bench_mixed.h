/*
 * bench/common/bench_mixed.h - the mixed workload: computing on all workers beside readers. C.
 *
 * First the program computes alone, for --seconds, then the same beside 64 readers. Each reads 4
 * KiB of a file in the page cache every 10 ms: 6400 reads a second, a few percent of one CPU. The
 * readers' first reads are spread over the 10 ms. What is computed is fib(BENCH_MIXED_FIB), again
 * and again, each time on all workers.
 */
#ifndef SKUA_BENCH_MIXED_H
#define SKUA_BENCH_MIXED_H

#include "bench_file.h"
#include "bench_workload.h"

#include <stdlib.h>

#define BENCH_MIXED_READERS 64u
#define BENCH_MIXED_EACH 100u /* reads of each reader in a second */
#define BENCH_MIXED_PERIOD_NS (1000000000u / BENCH_MIXED_EACH)
#define BENCH_MIXED_FIB 27

/* One run. */
struct bench_mixed {
    struct bench_options *options;
    int fd;
    size_t reads;     /* of each reader */
    double *read_us;  /* of each read: from its start to its end */
    double *due_us;   /* of each read: from when it was due to its end */
    double alone_us;  /* fib alone, on average */
    double beside_us; /* fib beside the readers */
};

static inline struct bench_mixed bench_mixed_begin(struct bench_options *options)
{
    struct bench_mixed mixed = {.options = options, .fd = bench_file_open(options, false)};
    mixed.reads = (size_t)options->seconds * BENCH_MIXED_EACH;
    mixed.read_us = malloc(mixed.reads * BENCH_MIXED_READERS * sizeof(double));
    mixed.due_us = malloc(mixed.reads * BENCH_MIXED_READERS * sizeof(double));
    if (mixed.read_us == NULL || mixed.due_us == NULL)
        bench_fail(options, "malloc", -12);
    return mixed;
}

/* When read @index of @reader is due, if the readers start at @start_ns. */
static inline uint64_t bench_mixed_due(uint64_t start_ns, unsigned reader, size_t index)
{
    return start_ns + (index + 1) * BENCH_MIXED_PERIOD_NS +
           (uint64_t)reader * (BENCH_MIXED_PERIOD_NS / BENCH_MIXED_READERS);
}

static inline void bench_mixed_store(struct bench_mixed *mixed, unsigned reader, size_t index,
                                     uint64_t due_ns, uint64_t start_ns)
{
    uint64_t now = bench_now();
    mixed->read_us[reader * mixed->reads + index] = (double)(now - start_ns) / 1e3;
    mixed->due_us[reader * mixed->reads + index] = (double)(now - due_ns) / 1e3;
}

/* bench_report_samples() has sorted them, except in a silent run. */
static inline void bench_mixed_latency(const struct bench_options *options, const char *metric,
                                       const char *metric_p99, double *us, size_t count)
{
    struct bench_label label = {"readers", metric, "us"};
    bench_report_samples(options, label, us, count);
    bench_report_as(options, "readers", metric_p99, "us", us[(count * 99 - 1) / 100]);
}

/* All is done, with @right reads of what was expected: checks and reports. */
static inline void bench_mixed_end(struct bench_mixed *mixed, uint64_t right)
{
    struct bench_options *options = mixed->options;
    size_t count = mixed->reads * BENCH_MIXED_READERS;
    bench_check(options, "reads", right, count);
    bench_mixed_latency(options, "read", "read p99", mixed->read_us, count);
    bench_mixed_latency(options, "due", "due p99", mixed->due_us, count);
    bench_report_as(options, "fork", "alone", "us", mixed->alone_us);
    bench_report_as(options, "fork", "beside", "us", mixed->beside_us);
    bench_report_as(options, "fork", "slowdown", "ratio", mixed->beside_us / mixed->alone_us);
    free(mixed->read_us);
    free(mixed->due_us);
}

#endif /* SKUA_BENCH_MIXED_H */
