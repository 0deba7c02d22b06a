/*
 * sum_report.c - the progress line (printer task), the count behind its ETA (a job of its own), and
 * --stats (main, at the end).
 */
#include "sum_report.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sum_walk.h"

#define SUM_DRAW_NS (200 * SKUA_NS_PER_MS)

void skua_sum_report_init(struct sum_report *report, const struct sum_pipeline *pipeline)
{
    report->pipeline = pipeline;
    report->totals.options = pipeline->options;
    report->enabled = pipeline->options->progress;
    report->start_ns = skua_now();
    report->draw_ns = report->start_ns + SUM_DRAW_NS;
}

uint64_t skua_sum_report_deadline(const struct sum_report *report)
{
    return report->enabled ? report->draw_ns : SKUA_FOREVER;
}

/* 12345678 as "12.3 MB". */
static const char *show_bytes(char *buffer, size_t size, double bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    unsigned unit = 0;

    while (bytes >= 999.95 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        bytes /= 1000;
        unit++;
    }
    snprintf(buffer, size, unit ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
    return buffer;
}

/* A write that fails here is a progress line less. */
static void put_terminal(const char *text, size_t size)
{
    (void)skua_write(STDERR_FILENO, text, size);
}

void skua_sum_report_clear(struct sum_report *report)
{
    if (report->shown)
        put_terminal("\r\033[K", 4);
    report->shown = false;
}

void skua_sum_report_draw(struct sum_report *report, uint64_t files)
{
    uint64_t now = skua_now();
    double seconds = (double)(now - report->start_ns) / (double)SKUA_NS_PER_SEC;
    double bytes = (double)skua_sum_bytes_hashed(report->pipeline);
    double rate = seconds > 0 ? bytes / seconds : 0;
    char done[32];
    char speed[32];
    char eta[48] = "";
    char line[192];
    int size;

    if (!report->enabled)
        return;
    /* Acquire: with it comes the final number of bytes. Pairs with skua_sum_totals_run(). */
    if (atomic_load_explicit(&report->totals.complete, memory_order_acquire) && rate > 0) {
        double total = (double)atomic_load_explicit(&report->totals.bytes, memory_order_relaxed);
        double left = total > bytes ? (total - bytes) / rate : 0;
        uint64_t left_s = left < 1e9 ? (uint64_t)(left + 0.5) : UINT64_C(1000000000);

        snprintf(eta, sizeof(eta), ", %.0f%%, ETA %" PRIu64 ":%02" PRIu64,
                 total > bytes ? 100 * bytes / total : 100.0, left_s / 60, left_s % 60);
    }
    size = snprintf(line, sizeof(line), "\r%s, %" PRIu64 " files, %s/s%s\033[K",
                    show_bytes(done, sizeof(done), bytes), files,
                    show_bytes(speed, sizeof(speed), rate), eta);
    put_terminal(line, (size_t)size);
    report->shown = true;
    report->draw_ns = now + SUM_DRAW_NS;
}

void skua_sum_report_tick(struct sum_report *report, uint64_t files)
{
    if (report->enabled && skua_now() >= report->draw_ns)
        skua_sum_report_draw(report, files);
}

/* Relaxed, here and in the two functions below: a flag that asks, and a sum one job makes. */
static int count_stop(struct sum_totals *totals)
{
    return atomic_load_explicit(&totals->stop, memory_order_relaxed) ? 1 : 0;
}

static int count_file(void *arg, const char *path)
{
    struct sum_totals *totals = arg;
    struct statx stx;

    if (!skua_statx(AT_FDCWD, path, 0, STATX_SIZE | STATX_TYPE, &stx) && S_ISREG(stx.stx_mode))
        atomic_fetch_add_explicit(&totals->bytes, stx.stx_size, memory_order_relaxed);
    return count_stop(totals);
}

static int count_failure(void *arg, const char *path, int error)
{
    (void)path;
    (void)error; /* the producer of names meets it too, and reports it */
    return count_stop(arg);
}

static bool count_again(void *arg, int error, unsigned retries)
{
    (void)arg;
    (void)error;
    (void)retries;
    return false;
}

intptr_t skua_sum_totals_run(void *arg)
{
    struct sum_totals *totals = arg;
    const struct sum_options *options = totals->options;
    const struct sum_walk_calls calls = {count_file, count_failure, count_again, totals};
    struct statx stx;

    for (int i = 0; i < options->name_count && !count_stop(totals); i++) {
        const char *name = options->names[i];

        if (!strcmp(name, "-") || skua_statx(AT_FDCWD, name, 0, STATX_TYPE, &stx))
            continue;
        if (!S_ISDIR(stx.stx_mode))
            (void)count_file(totals, name);
        else if (options->recurse && skua_sum_walk(name, options->follow, &calls))
            return 0;
    }
    /* Release: with it goes the sum. Pairs with skua_sum_report_draw(). */
    atomic_store_explicit(&totals->complete, !count_stop(totals), memory_order_release);
    return 0;
}

static void print_worker(skua_runtime *runtime, unsigned index)
{
    skua_worker_stats stats;

    if (skua_runtime_stats(runtime, index, &stats))
        return;
    fprintf(stderr,
            SUM_PROGRAM ": worker %u: tasks %" PRIu64 ", switches %" PRIu64 ", steals %" PRIu64
                        "/%" PRIu64 ", parks %" PRIu64 ", wakes %" PRIu64 ", ops %" PRIu64
                        ", enters %" PRIu64 ", offloads %" PRIu64 "\n",
            index, stats.tasks_run, stats.switches, stats.steals, stats.steal_attempts, stats.parks,
            stats.wakes, stats.ops_completed, stats.enters, stats.offloads);
}

void skua_sum_stats_print(const struct sum_report *report, skua_runtime *runtime, uint64_t files)
{
    double seconds = (double)(skua_now() - report->start_ns) / (double)SKUA_NS_PER_SEC;
    uint64_t bytes = skua_sum_bytes_hashed(report->pipeline);
    skua_info info;

    if (seconds <= 0)
        seconds = 1e-9;
    fprintf(stderr,
            SUM_PROGRAM ": %" PRIu64 " bytes, %" PRIu64 " files, %.3f s, %.1f MB/s, %.0f files/s\n",
            bytes, files, seconds, (double)bytes / 1e6 / seconds, (double)files / seconds);
    if (skua_runtime_info(runtime, &info))
        return;
    fprintf(stderr, SUM_PROGRAM ": engine %s (%s), %u workers\n", info.engine, info.engine_mode,
            info.workers);
    for (unsigned i = 0; i < info.workers; i++)
        print_worker(runtime, i);
}
