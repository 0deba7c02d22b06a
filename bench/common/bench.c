/*
 * bench/common/bench.c - see bench.h.
 */
#include "bench.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

enum {
    OPTION_JSON = 256,
    OPTION_WORKERS,
    OPTION_RUNS,
    OPTION_WARMUP,
    OPTION_SIZE,
    OPTION_SECONDS,
    OPTION_CASE,
    OPTION_FILE,
    OPTION_HELP
};

static const struct option long_options[] = {
    {"json", no_argument, NULL, OPTION_JSON},
    {"workers", required_argument, NULL, OPTION_WORKERS},
    {"runs", required_argument, NULL, OPTION_RUNS},
    {"warmup", required_argument, NULL, OPTION_WARMUP},
    {"size", required_argument, NULL, OPTION_SIZE},
    {"seconds", required_argument, NULL, OPTION_SECONDS},
    {"case", required_argument, NULL, OPTION_CASE},
    {"file", required_argument, NULL, OPTION_FILE},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

static _Noreturn void usage(const struct bench_options *options, int status)
{
    fprintf(status == 0 ? stdout : stderr,
            "usage: %s [--workers N] [--runs N] [--warmup N] [--size N] [--seconds N]\n"
            "          [--case PART] [--file PATH] [--json]\n"
            "Benchmark %s of %s; --size is %zu by default. See bench/README.md.\n",
            program_invocation_short_name, options->bench, options->by, options->size);
    exit(status);
}

static uint64_t number(const struct bench_options *options, const char *text, uint64_t min,
                       uint64_t max)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || value < min || value > max)
        usage(options, 2);
    return value;
}

void bench_parse(struct bench_options *options, int argc, char **argv)
{
    int option;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        switch (option) {
        case OPTION_JSON:
            options->json = true;
            break;
        case OPTION_WORKERS:
            options->workers = (unsigned)number(options, optarg, 1, 256);
            break;
        case OPTION_RUNS:
            options->runs = (unsigned)number(options, optarg, 1, 10000);
            break;
        case OPTION_WARMUP:
            options->warmups = (unsigned)number(options, optarg, 0, 100);
            break;
        case OPTION_SIZE:
            options->size = (size_t)number(options, optarg, 1, UINT32_MAX);
            break;
        case OPTION_SECONDS:
            options->seconds = (unsigned)number(options, optarg, 1, 3600);
            break;
        case OPTION_CASE:
            options->only = optarg;
            break;
        case OPTION_FILE:
            options->file = optarg;
            break;
        default:
            usage(options, option == OPTION_HELP ? 0 : 2);
        }
    }
    if (optind != argc)
        usage(options, 2);
}

bool bench_wants(const struct bench_options *options, const char *name)
{
    return options->only == NULL || strstr(name, options->only) != NULL;
}

void bench_repeat(struct bench_options *options, void (*fn)(struct bench_options *options))
{
    for (options->run = -(int)options->warmups; options->run < (int)options->runs; options->run++)
        fn(options);
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now); /* cannot fail for these clocks */
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t bench_now(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t bench_cpu_now(void)
{
    return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

void bench_check(struct bench_options *options, const char *what, uint64_t got, uint64_t expected)
{
    options->checksum = got;
    if (got == expected)
        return;
    fprintf(stderr, "%s (%s): wrong result: %s is %" PRIu64 ", expected %" PRIu64 "\n",
            options->bench, options->by, what, got, expected);
    exit(1);
}

_Noreturn void bench_fail(const struct bench_options *options, const char *what, long code)
{
    fprintf(stderr, "%s (%s): %s failed: %s (%ld)\n", options->bench, options->by, what,
            strerror((int)(code < 0 ? -code : code)), code);
    exit(1);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* @text without what would end a JSON string. */
static void print_string(const char *key, const char *text)
{
    printf("\"%s\":\"", key);
    for (; *text != '\0'; text++) {
        if (*text != '"' && *text != '\\' && (unsigned char)*text >= ' ')
            putchar(*text);
    }
    printf("\",");
}

/* What is the same in every line of this process. */
static void print_common(const struct bench_options *options, const char *name)
{
    const char *commit = getenv("SKUA_BENCH_COMMIT");
    struct utsname system;
    if (uname(&system) != 0)
        memset(&system, 0, sizeof(system));
    putchar('{');
    print_string("bench", options->bench);
    print_string("case", name);
    print_string("by", options->by);
    print_string("commit", commit != NULL ? commit : "unknown");
    print_string("kernel", system.release);
    print_string("machine", system.machine);
#ifdef __clang__
    print_string("compiler", __VERSION__);
#else
    print_string("compiler", "gcc " __VERSION__);
#endif
    printf("\"cpus\":%ld,\"workers\":%u,\"size\":%zu,\"run\":%d,", sysconf(_SC_NPROCESSORS_ONLN),
           options->workers, options->size, options->run);
}

void bench_report_samples(const struct bench_options *options, struct bench_label label,
                          double *samples, size_t count)
{
    if (options->run < 0 || count == 0)
        return;
    qsort(samples, count, sizeof(*samples), compare);
    double median = samples[count / 2];
    double p95 = samples[(count * 95 - 1) / 100];
    if (!options->json) {
        printf("%-8s %-20s %-16s %-8s workers %u: %12.1f %s (p95 %.1f, min %.1f)\n", options->bench,
               label.name, options->by, label.metric, options->workers, median, label.unit, p95,
               samples[0]);
        return;
    }
    print_common(options, label.name);
    print_string("metric", label.metric);
    print_string("unit", label.unit);
    printf("\"samples\":%zu,\"median\":%.3f,\"p95\":%.3f,\"min\":%.3f,\"checksum\":%" PRIu64 "}\n",
           count, median, p95, samples[0], options->checksum);
    fflush(stdout);
}

void bench_report(const struct bench_options *options, struct bench_label label, double value)
{
    bench_report_samples(options, label, &value, 1);
}

void bench_skip(const struct bench_options *options, const char *name, const char *reason)
{
    if (options->run < 0)
        return;
    if (!options->json) {
        printf("%-8s %-20s %-16s skipped: %s\n", options->bench, name, options->by, reason);
        return;
    }
    print_common(options, name);
    print_string("skipped", reason);
    printf("\"samples\":0}\n");
    fflush(stdout);
}

uint64_t bench_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}
