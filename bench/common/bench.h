/*
 * bench/common/bench.h - what every benchmark and every peer written in C shares: the command line,
 * the clocks, checked results, and one JSON line for each run.
 *
 * Words. A run is one execution of the workload; it yields one or more samples, and one line tells
 * their median, p95 and minimum. A program repeats its runs in one process (--runs) after one that
 * is not reported; tools/bench_run starts the programs in turns.
 *
 * A wrong result ends the program with status 1: bench_check(). Plain C without Skua, which
 * C++ can include: peers use it.
 */
#ifndef SKUA_BENCH_H
#define SKUA_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The command line. Constant after bench_parse(). */
struct bench_options {
    const char *bench; /* name of the benchmark, for the lines */
    const char *by;    /* who does the work: "skua" or the peer */
    unsigned workers;  /* --workers: threads that do the work */
    unsigned runs;     /* --runs: reported runs */
    unsigned warmups;  /* --warmup: runs before them that are not reported */
    size_t size;       /* --size: operations, tasks or messages in a run */
    unsigned seconds;  /* --seconds: of what is measured by time */
    const char *only;  /* --case: cases whose name contains this; NULL: all */
    const char *file;  /* --file: data file of the programs that read; NULL: a default */
    bool json;         /* --json: JSON lines instead of lines for people */
    int run;           /* the current one; -1 while warming up */
    uint64_t checksum; /* of the result checked last; stands in the lines that follow */
};

/* Reads the command line over what stands in *@options. Ends the program if it is wrong. */
void bench_parse(struct bench_options *options, int argc, char **argv);

/* True if the case @name was asked for. */
bool bench_wants(const struct bench_options *options, const char *name);

/* Calls @fn once for each run; bench_report() is silent in the first --warmup of them. */
void bench_repeat(struct bench_options *options, void (*fn)(struct bench_options *options));

/* Nanoseconds of the monotonic clock, and of CPU time used by the whole process. */
uint64_t bench_now(void);
uint64_t bench_cpu_now(void);

/* Ends the program with status 1 unless @got is @expected; keeps it as the checksum. */
void bench_check(struct bench_options *options, const char *what, uint64_t got, uint64_t expected);

/* Ends the program with status 1 and a line that says why. */
__attribute__((noreturn)) void bench_fail(const struct bench_options *options, const char *what,
                                          long code);

/* What a line says: the case, what was measured, the unit: e.g. "all", "time", "ns/task". */
struct bench_label {
    const char *name;
    const char *metric;
    const char *unit;
};

/* Prints one line about @count samples, which are sorted. */
void bench_report_samples(const struct bench_options *options, struct bench_label label,
                          double *samples, size_t count);

/* Prints one line about one value. */
void bench_report(const struct bench_options *options, struct bench_label label, double value);

/* Prints a line saying that case @name was not measured, and why. */
void bench_skip(const struct bench_options *options, const char *name, const char *reason);

/* The next number of a xorshift generator; *@state must not be 0. The same on every machine. */
uint64_t bench_random(uint64_t *state);

#ifdef __cplusplus
}
#endif

#endif /* SKUA_BENCH_H */
