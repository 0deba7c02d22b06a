/*
 * loader_report.c - what was measured, for people.
 */
#include "loader_report.h"

#include <inttypes.h>
#include <string.h>

#define BAR_WIDTH 50u
#define ROW_SIZE 64u /* for a number with its unit */

const struct loader_quantile skua_loader_quantiles[LOADER_QUANTILES] = {
    {"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}, {"p99.99", 0.9999},
};

double skua_loader_report_rate(const struct loader_report *report, uint64_t count)
{
    return report->window_ns == 0 ? 0 : (double)count / ((double)report->window_ns / 1e9);
}

/* ---- numbers --------------------------------------------------------------------------------- */

/* Three digits at least, and a unit. */
static const char *show_time(double ns, char text[ROW_SIZE])
{
    static const struct {
        double ns;
        const char *name;
    } units[] = {{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}, {1, "ns"}};
    unsigned i = 0;
    while (i < 3 && ns < units[i].ns)
        i++;
    double value = ns / units[i].ns;
    int digits = value >= 100 || i == 3 ? 0 : value >= 10 ? 1 : 2;
    (void)snprintf(text, ROW_SIZE, "%.*f %s", digits, value, units[i].name);
    return text;
}

static const char *show_bytes(double bytes, char text[ROW_SIZE])
{
    static const char *const names[] = {"B", "kB", "MB", "GB", "TB"};
    unsigned i = 0;
    while (i < 4 && bytes >= 1000) {
        bytes /= 1000;
        i++;
    }
    (void)snprintf(text, ROW_SIZE, "%.*f %s", i == 0 ? 0 : 2, bytes, names[i]);
    return text;
}

/* ---- the summary ----------------------------------------------------------------------------- */

static void print_bytes(const struct loader_report *report, const char *name, uint64_t bytes,
                        FILE *out)
{
    char all[ROW_SIZE], rate[ROW_SIZE];
    fprintf(out, "  %-11s %s, %s/s\n", name, show_bytes((double)bytes, all),
            show_bytes(skua_loader_report_rate(report, bytes), rate));
}

static void print_head(const struct loader_report *report, FILE *out)
{
    const struct loader_options *options = &report->loader->options;
    char time[ROW_SIZE];
    fprintf(out, "%s: %u connection%s", options->url, options->connections,
            options->connections == 1 ? "" : "s");
    if (options->pipeline > 1)
        fprintf(out, ", pipelines of %u", options->pipeline);
    if (options->churn)
        fputs(", a new one for each request", out);
    if (options->rate > 0)
        fprintf(out, ", open loop, %g requests/s%s", options->rate,
                options->poisson ? " at random times" : "");
    fprintf(out, ", %s%s\n", show_time((double)report->window_ns, time),
            report->interrupted ? " (interrupted)" : "");
}

static void print_statuses(const struct loader_tally *tally, FILE *out)
{
    const char *comma = "";
    uint64_t all = 0;
    for (unsigned i = 0; i < LOADER_STATUS_CLASSES; i++)
        all += tally->statuses[i];
    if (all == 0)
        return;
    fprintf(out, "  %-11s ", "statuses");
    for (unsigned i = 1; i <= LOADER_STATUS_CLASSES; i++) {
        unsigned group = i % LOADER_STATUS_CLASSES; /* the others last */
        if (tally->statuses[group] == 0)
            continue;
        if (group == 0)
            fprintf(out, "%sother %" PRIu64, comma, tally->statuses[group]);
        else
            fprintf(out, "%s%uxx %" PRIu64, comma, group, tally->statuses[group]);
        comma = ", ";
    }
    fputc('\n', out);
}

static void print_errors(const struct loader_report *report, FILE *out)
{
    const struct loader_counts *counts = &report->loader->counts;
    const char *comma = "";
    uint64_t failed = skua_loader_tally_failed(report->tally);
    fprintf(out, "  %-11s %" PRIu64, "errors", failed);
    for (unsigned i = 0; i < LOADER_ERROR_COUNT; i++) {
        if (report->tally->errors[i] == 0)
            continue;
        fprintf(out, "%s%s %" PRIu64, *comma ? comma : ": ", skua_loader_error_names[i],
                report->tally->errors[i]);
        comma = ", ";
    }
    fputc('\n', out);
    if (counts->unfinished > 0)
        fprintf(out, "  %-11s %" PRIu64 " requests had no answer yet at the end\n", "unfinished",
                counts->unfinished);
    if (counts->surplus > 0)
        fprintf(out, "  %-11s %" PRIu64 " connections had bytes nobody had asked for\n", "surplus",
                counts->surplus);
}

static void print_open_loop(const struct loader_report *report, FILE *out)
{
    const struct loader_counts *counts = &report->loader->counts;
    char time[ROW_SIZE];
    if (report->loader->options.rate <= 0)
        return;
    fprintf(out, "  %-11s %" PRIu64 " due, %" PRIu64 " late (at most %s), %" PRIu64 " unsent\n",
            "open loop", counts->begun + counts->unsent, counts->late,
            show_time((double)counts->late_max_ns, time), counts->unsent);
    if (counts->unsent > 0)
        fputs("              what was never sent is not in the times below\n", out);
}

static void print_times(const struct tool_histogram *histogram, const char *name, FILE *out)
{
    char text[ROW_SIZE];
    fprintf(out, "  %-11s", name);
    if (histogram->total == 0) {
        fputs(" no answers\n", out);
        return;
    }
    fprintf(out, " %9s", show_time((double)histogram->min_ns, text));
    fprintf(out, " %9s", show_time(tool_histogram_mean(histogram), text));
    for (unsigned i = 0; i < LOADER_QUANTILES; i++)
        fprintf(
            out, " %9s",
            show_time(tool_histogram_quantile(histogram, skua_loader_quantiles[i].share), text));
    fprintf(out, " %9s\n", show_time((double)histogram->max_ns, text));
}

void skua_loader_report_print(const struct loader_report *report, FILE *out)
{
    const struct loader *loader = report->loader;
    const struct loader_counts *counts = &loader->counts;
    print_head(report, out);
    fprintf(out, "  %-11s %" PRIu64 " answered, %.1f/s\n", "requests", report->tally->answered,
            skua_loader_report_rate(report, report->tally->arrived));
    print_bytes(report, "received", report->tally->bytes_in, out);
    print_bytes(report, "sent", report->tally->bytes_out, out);
    print_statuses(report->tally, out);
    print_errors(report, out);
    fprintf(out, "  %-11s %" PRIu64 " opened, %" PRIu64 " reconnects, %" PRIu64 " failed",
            "connections", counts->opened, counts->reconnects, counts->connects_failed);
    if (counts->given_up > 0)
        fprintf(out, ", %" PRIu64 " given up", counts->given_up);
    fputc('\n', out);
    print_open_loop(report, out);
    fprintf(out, "  %-11s %9s %9s", "", "min", "mean");
    for (unsigned i = 0; i < LOADER_QUANTILES; i++)
        fprintf(out, " %9s", skua_loader_quantiles[i].name);
    fprintf(out, " %9s\n", "max");
    print_times(&report->tally->service, "service", out);
    if (loader->options.rate > 0)
        print_times(&report->tally->response, "response", out);
    if (!loader->options.histogram)
        return;
    if (loader->options.rate > 0)
        skua_loader_histogram_print(&report->tally->response, "response time", out);
    skua_loader_histogram_print(&report->tally->service, "service time", out);
}

/* ---- the histogram --------------------------------------------------------------------------- */

/* A row is half a power of two. */
#define ROW_CLASSES (TOOL_HISTOGRAM_STEPS / 2)

void skua_loader_histogram_print(const struct tool_histogram *histogram, const char *name,
                                 FILE *out)
{
    uint64_t rows[TOOL_HISTOGRAM_CLASSES / ROW_CLASSES] = {0};
    uint64_t most = 1, seen = 0;
    if (histogram->total == 0)
        return;
    unsigned first = tool_histogram_class(histogram->min_ns) / ROW_CLASSES;
    unsigned last = tool_histogram_class(histogram->max_ns) / ROW_CLASSES;
    for (unsigned i = 0; i < TOOL_HISTOGRAM_CLASSES; i++)
        rows[i / ROW_CLASSES] += histogram->counts[i];
    for (unsigned i = first; i <= last; i++)
        most = rows[i] > most ? rows[i] : most;
    fprintf(out, "  %s, up to:\n", name);
    for (unsigned i = first; i <= last; i++) {
        char bar[BAR_WIDTH + 1], text[ROW_SIZE];
        uint64_t low_ns, high_ns;
        tool_histogram_bounds((i + 1) * ROW_CLASSES - 1, &low_ns, &high_ns);
        /* Rounded up, so that one request in a million shows. */
        size_t length = (size_t)((double)rows[i] / (double)most * BAR_WIDTH + 0.999);
        length = length > BAR_WIDTH ? BAR_WIDTH : length;
        memset(bar, '#', length);
        bar[length] = '\0';
        seen += rows[i];
        fprintf(out, "  %11s %12" PRIu64 " %8.4f%% %s\n", show_time((double)high_ns + 1, text),
                rows[i], 100 * (double)seen / (double)histogram->total, bar);
    }
}
