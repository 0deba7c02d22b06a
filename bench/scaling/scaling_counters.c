/*
 * scaling/scaling_counters.c - what the workers have counted, beside each figure of a benchmark.
 *
 * Linked with -Wl,--wrap=bench_report to the programs as they are: <name>_counters makes the same
 * runs and prints the same lines as <name>_bench, and after the first line of each run one for each
 * counter, of all workers together, since the run before. The counters run on while a program
 * prepares its data and checks its results, so an idle worker's attempts are in them.
 */
#include "common/bench.h"

#include <skua/runtime.h>

#include <string.h>

void __real_bench_report(const struct bench_options *options, struct bench_label label,
                         double value);
void __wrap_bench_report(const struct bench_options *options, struct bench_label label,
                         double value);

static const struct {
    const char *metric;
    size_t offset;
} counters[] = {
    {"jobs_stolen", offsetof(skua_worker_stats, jobs_stolen)},
    {"jobs_published", offsetof(skua_worker_stats, jobs_published)},
    {"jobs_forced", offsetof(skua_worker_stats, jobs_forced)},
    {"steal_attempts", offsetof(skua_worker_stats, steal_attempts)},
    {"parks", offsetof(skua_worker_stats, parks)},
    {"wakes", offsetof(skua_worker_stats, wakes)},
};

enum { COUNTERS = sizeof(counters) / sizeof(counters[0]) };

/* As they were when the last run was reported. */
static uint64_t before[COUNTERS];

static uint64_t sum(unsigned workers, size_t offset)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < workers; i++) {
        skua_worker_stats stats;
        uint64_t value = 0;
        if (skua_runtime_stats(skua_runtime_current(), i, &stats) == 0)
            memcpy(&value, (const char *)&stats + offset, sizeof(value));
        total += value;
    }
    return total;
}

/* Whether a line is the first of a run: its time, or the time for each fork if that is alone. */
static bool begins_run(const char *metric)
{
    static bool has_time;
    bool is_time = strcmp(metric, "time") == 0;
    bool begins = is_time || (strcmp(metric, "each") == 0 && !has_time);
    has_time = is_time;
    return begins;
}

void __wrap_bench_report(const struct bench_options *options, struct bench_label label,
                         double value)
{
    __real_bench_report(options, label, value);
    if (!begins_run(label.metric))
        return;
    for (size_t i = 0; i < COUNTERS; i++) {
        uint64_t now = sum(options->workers, counters[i].offset);
        struct bench_label counted = {label.name, counters[i].metric, "count"};
        __real_bench_report(options, counted, (double)(now - before[i]));
        before[i] = now;
    }
}
