/*
 * sum_report.h - the progress line and the statistics, both on standard error.
 */
#ifndef SKUA_SUM_REPORT_H
#define SKUA_SUM_REPORT_H

#include <stdatomic.h>

#include <skua/skua.h>

#include "sum_pipeline.h"

/* What there is to do, counted by a job beside the work. */
struct sum_totals {
    const struct sum_options *options;
    _Atomic uint64_t bytes;
    _Atomic bool complete; /* bytes is final */
    _Atomic bool stop;     /* asks the job to end early */
};

/* Of the printer task, except @totals. */
struct sum_report {
    const struct sum_pipeline *pipeline;
    struct sum_totals totals;
    bool enabled;
    bool shown; /* a progress line is on the terminal */
    uint64_t start_ns;
    uint64_t draw_ns; /* not before this */
};

void skua_sum_report_init(struct sum_report *report, const struct sum_pipeline *pipeline);

/* When the printer should draw, if nothing else happens; SKUA_FOREVER without progress. */
uint64_t skua_sum_report_deadline(const struct sum_report *report);
/* Draws the line, or draws it if it is time. */
void skua_sum_report_draw(struct sum_report *report, uint64_t files);
void skua_sum_report_tick(struct sum_report *report, uint64_t files);
/* Takes the line off the terminal, before something else is written there. */
void skua_sum_report_clear(struct sum_report *report);

/* The job that counts. @arg is a struct sum_totals. Runs on an executor. */
intptr_t skua_sum_totals_run(void *arg);

/* Writes --stats. Called by main when all tasks have ended and the runtime still exists. */
void skua_sum_stats_print(const struct sum_report *report, skua_runtime *runtime, uint64_t files);

#endif /* SKUA_SUM_REPORT_H */
