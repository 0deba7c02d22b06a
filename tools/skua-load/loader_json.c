/*
 * loader_json.c - what was measured, for programs: one object. Times are nanoseconds, unless their
 * name says else. A bucket is [least, greatest, count].
 */
#include "loader_report.h"

#include <inttypes.h>

#define FIELD_U64 "\"%s\":%" PRIu64

/* As a string. Bytes that are not ASCII are copied: they come from the command line as they are. */
static void print_text(const char *text, FILE *out)
{
    fputc('"', out);
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c < ' ')
            fprintf(out, "\\u%04x", c);
        else
            fputc(c, out);
    }
    fputc('"', out);
}

static const char *show_bool(bool value)
{
    return value ? "true" : "false";
}

static void print_plan(const struct loader_report *report, FILE *out)
{
    const struct loader_options *options = &report->loader->options;
    fputs("{\"program\":\"" LOADER_PROGRAM "\",\"version\":\"" SKUA_STRINGIFY(
              SKUA_VERSION_MAJOR) "." SKUA_STRINGIFY(SKUA_VERSION_MINOR) "." //
          SKUA_STRINGIFY(SKUA_VERSION_PATCH) "\",\"url\":",
          out);
    print_text(options->url, out);
    fprintf(out, ",\"loop\":\"%s\"", options->rate > 0 ? "open" : "closed");
    if (options->rate > 0)
        fprintf(out, ",\"arrivals\":\"%s\",\"rate\":%.9g",
                options->poisson ? "poisson" : "constant", options->rate);
    fprintf(out, ",\"connections\":%u,\"pipeline\":%u,\"churn\":%s,\"workers\":%u",
            options->connections, options->pipeline, show_bool(options->churn), report->workers);
    fprintf(out, "," FIELD_U64 "," FIELD_U64 "," FIELD_U64, "seed", options->seed, "warmup_ns",
            options->warmup_ns, "timeout_ns", options->timeout_ns);
    fprintf(out, "," FIELD_U64 ",\"interrupted\":%s", "window_ns", report->window_ns,
            show_bool(report->interrupted));
}

static void print_requests(const struct loader_report *report, FILE *out)
{
    const struct loader_counts *counts = &report->loader->counts;
    const struct loader_tally *tally = report->tally;
    fprintf(out, ",\"requests\":{" FIELD_U64 "," FIELD_U64 "," FIELD_U64 "," FIELD_U64, "begun",
            counts->begun, "answered", tally->answered, "failed", skua_loader_tally_failed(tally),
            "unfinished", counts->unfinished);
    fprintf(out, "},\"throughput\":{" FIELD_U64 ",\"requests_per_s\":%.3f", "requests",
            tally->arrived, skua_loader_report_rate(report, tally->arrived));
    fprintf(out, "," FIELD_U64 ",\"bytes_in_per_s\":%.3f", "bytes_in", tally->bytes_in,
            skua_loader_report_rate(report, tally->bytes_in));
    fprintf(out, "," FIELD_U64 ",\"bytes_out_per_s\":%.3f}", "bytes_out", tally->bytes_out,
            skua_loader_report_rate(report, tally->bytes_out));
    fputs(",\"statuses\":{", out);
    for (unsigned i = 1; i < LOADER_STATUS_CLASSES; i++)
        fprintf(out, "\"%uxx\":%" PRIu64 ",", i, tally->statuses[i]);
    fprintf(out, FIELD_U64 "},\"errors\":{", "other", tally->statuses[0]);
    for (unsigned i = 0; i < LOADER_ERROR_COUNT; i++)
        fprintf(out, "%s" FIELD_U64, i == 0 ? "" : ",", skua_loader_error_names[i],
                tally->errors[i]);
    fputc('}', out);
}

static void print_connections(const struct loader_report *report, FILE *out)
{
    const struct loader_counts *counts = &report->loader->counts;
    fprintf(out, ",\"connects\":{" FIELD_U64 "," FIELD_U64 "," FIELD_U64, "opened", counts->opened,
            "reconnects", counts->reconnects, "failed", counts->connects_failed);
    fprintf(out, "," FIELD_U64 "," FIELD_U64 "}", "surplus", counts->surplus, "given_up",
            counts->given_up);
    if (report->loader->options.rate > 0)
        fprintf(out, ",\"open_loop\":{" FIELD_U64 "," FIELD_U64 "," FIELD_U64 "," FIELD_U64 "}",
                "due", counts->begun + counts->unsent, "late", counts->late, "late_max_ns",
                counts->late_max_ns, "unsent", counts->unsent);
}

static void print_histogram(const struct tool_histogram *histogram, const char *name, FILE *out)
{
    const char *comma = "";
    fprintf(out, ",\"%s\":{" FIELD_U64 "," FIELD_U64 ",\"mean\":%.1f", name, "count",
            histogram->total, "min", histogram->min_ns, tool_histogram_mean(histogram));
    for (unsigned i = 0; i < LOADER_QUANTILES; i++)
        fprintf(out, ",\"%s\":%.1f", skua_loader_quantiles[i].name,
                tool_histogram_quantile(histogram, skua_loader_quantiles[i].share));
    fprintf(out, "," FIELD_U64 ",\"buckets\":[", "max", histogram->max_ns);
    for (unsigned i = 0; i < TOOL_HISTOGRAM_CLASSES; i++) {
        uint64_t first_ns, last_ns;
        if (histogram->counts[i] == 0)
            continue;
        tool_histogram_bounds(i, &first_ns, &last_ns);
        fprintf(out, "%s[%" PRIu64 ",%" PRIu64 ",%" PRIu64 "]", comma, first_ns, last_ns,
                histogram->counts[i]);
        comma = ",";
    }
    fputs("]}", out);
}

void skua_loader_json_print(const struct loader_report *report, FILE *out)
{
    print_plan(report, out);
    print_requests(report, out);
    print_connections(report, out);
    print_histogram(&report->tally->service, "service_time_ns", out);
    if (report->loader->options.rate > 0)
        print_histogram(&report->tally->response, "response_time_ns", out);
    fputs("}\n", out);
}
