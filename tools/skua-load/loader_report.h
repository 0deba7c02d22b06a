/*
 * loader_report.h - what was measured, for people and for programs.
 */
#ifndef SKUA_LOADER_REPORT_H
#define SKUA_LOADER_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "loader.h"

struct loader_report {
    const struct loader *loader;
    struct loader_tally *tally; /* the sum */
    uint64_t window_ns;         /* how long the window was */
    unsigned workers;
    bool interrupted; /* by a signal */
};

/* Writes the summary. */
void skua_loader_report_print(const struct loader_report *report, FILE *out);

/* Writes how @histogram is distributed, with @name. */
void skua_loader_histogram_print(const struct tool_histogram *histogram, const char *name,
                                 FILE *out);

/* Writes one JSON object and a newline. */
void skua_loader_json_print(const struct loader_report *report, FILE *out);

/* @count each second, of the window. */
double skua_loader_report_rate(const struct loader_report *report, uint64_t count);

/* The quantiles that are told. */
#define LOADER_QUANTILES 5u
extern const struct loader_quantile {
    const char *name;
    double share;
} skua_loader_quantiles[LOADER_QUANTILES];

#endif /* SKUA_LOADER_REPORT_H */
