/*
 * loader_main.c - start, root task, signals, progress, end.
 *
 * The main thread makes what can fail for reasons a user should read about, starts a runtime
 * and has it run the root task (tool_run.h). A signal cancels that, and with it all connections;
 * what has been measured is told all the same.
 */
#include "loader.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loader_report.h"
#include "loader_root.h"
#include "tool_process.h"
#include "tool_run.h"

#define STOP_NS (2 * SKUA_NS_PER_SEC)   /* for what is left after a signal, and at the end */
#define STACK_BYTES ((size_t)32 * 1024) /* of every task: none calls deep */
#define SPARE_DESCRIPTORS 64u           /* of the runtime */

struct run {
    struct loader loader;
    struct tool_run process;
    unsigned workers;
    FILE *json; /* or NULL; opened at the start, so that no measurement is in vain */
    /* The progress line. */
    bool shows_progress, on_terminal;
    uint64_t began_ns, shown_ns, shown_arrived;
};

static intptr_t run_root(void *arg)
{
    struct run *run = arg;
    return skua_loader_root_run(&run->loader);
}

/* ---- before there are threads ---------------------------------------------------------------- */

static int check_descriptors(const struct run *run)
{
    uint64_t limit = skua_tool_raise_descriptors();
    uint64_t wanted = (uint64_t)run->loader.options.connections + SPARE_DESCRIPTORS;
    if (wanted <= limit)
        return 0;
    fprintf(stderr,
            LOADER_PROGRAM ": %u connections need %" PRIu64
                           " descriptors, and the limit is %" PRIu64 " (ulimit -Hn)\n",
            run->loader.options.connections, wanted, limit);
    return EXIT_FAILURE;
}

/* What is in the file stays until there is something else to be written. */
static FILE *open_json(const char *path)
{
    if (strcmp(path, "-") == 0)
        return stdout;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    if (file == NULL && fd >= 0)
        (void)close(fd);
    return file;
}

/* Returns an exit status; 0 if all is there. */
static int open_all(struct run *run)
{
    struct loader *loader = &run->loader;
    int status = skua_loader_target_init(&loader->target, &loader->options);
    if (status == 0)
        status = check_descriptors(run);
    if (status != 0)
        return status;
    const char *json = loader->options.json;
    run->json = json == NULL ? NULL : open_json(json);
    if (json != NULL && run->json == NULL)
        return skua_tool_error(LOADER_PROGRAM, json, -errno);
    int rc = skua_loader_root_init(loader);
    if (rc < 0)
        return skua_tool_error(LOADER_PROGRAM, "cannot start", rc);
    run->on_terminal = isatty(STDERR_FILENO) == 1;
    run->shows_progress = loader->options.progress || (run->on_terminal && !loader->options.quiet);
    return 0;
}

static void close_all(struct run *run)
{
    if (run->json != NULL && run->json != stdout)
        (void)fclose(run->json);
    skua_loader_root_fini(&run->loader);
    skua_loader_schedule_fini(&run->loader.schedule);
    skua_loader_target_fini(&run->loader.target);
    skua_loader_options_fini(&run->loader.options);
}

/* ---- progress -------------------------------------------------------------------------------- */

static void show_progress(void *arg)
{
    struct run *run = arg;
    uint64_t arrived, failed;
    uint64_t now_ns = skua_now();
    skua_loader_tallies_peek(&run->loader.tallies, &arrived, &failed);
    double seconds = (double)(now_ns - run->shown_ns) / 1e9;
    fprintf(stderr, "%s%4.0f s  %10.1f requests/s  %" PRIu64 " errors%s",
            run->on_terminal ? "\r" : "", (double)(now_ns - run->began_ns) / 1e9,
            (double)(arrived - run->shown_arrived) / seconds, failed,
            run->on_terminal ? "  " : "\n");
    run->shown_ns = now_ns;
    run->shown_arrived = arrived;
}

static void end_progress(const struct run *run)
{
    if (run->shows_progress && run->on_terminal)
        fputs("\r\033[K", stderr);
}

/* ---- the run --------------------------------------------------------------------------------- */

/* Why there was nothing to load. */
static int print_first_error(const struct loader *loader)
{
    const struct loader_target *target = &loader->target;
    char buffer[128];
    int rc = loader->first_error;
    const char *why = strerror_r(-rc, buffer, sizeof(buffer));
    if (!loader->found && rc == -ENOENT)
        why = "no such host";
    else if (!loader->found && rc == -EAGAIN)
        why = "no answer from the name server";
    fprintf(stderr,
            strchr(target->host, ':') ? LOADER_PROGRAM ": cannot %s [%s]:%s: %s\n"
                                      : LOADER_PROGRAM ": cannot %s %s:%s: %s\n",
            loader->found ? "connect to" : "resolve", target->host, target->port, why);
    return EXIT_FAILURE;
}

/* ---- results --------------------------------------------------------------------------------- */

/* Writes and closes. */
static int print_json(struct run *run, const struct loader_report *report)
{
    FILE *out = run->json;
    run->json = NULL;
    if (out != stdout)
        (void)!ftruncate(fileno(out), 0); /* a pipe or a device has nothing to be cut */
    skua_loader_json_print(report, out);
    bool failed = ferror(out) != 0;
    failed |= (out == stdout ? fflush(out) : fclose(out)) != 0;
    return failed ? skua_tool_error(LOADER_PROGRAM, run->loader.options.json,
                                    errno != 0 ? -errno : -EIO)
                  : 0;
}

/* Tells what was measured. Returns the exit status. */
static int tell(struct run *run)
{
    static struct loader_tally sum;
    const struct loader *loader = &run->loader;
    const struct loader_options *options = &loader->options;
    struct loader_report report = {
        .loader = loader,
        .tally = &sum,
        .workers = run->workers,
        .interrupted = run->process.signal != 0,
    };
    bool json_only = options->json != NULL && strcmp(options->json, "-") == 0;
    skua_loader_tallies_sum(&loader->tallies, &sum);
    if (loader->schedule.start_ns != 0 && loader->end_ns > loader->schedule.window_ns)
        report.window_ns = loader->end_ns - loader->schedule.window_ns;
    int status = 0;
    if (!options->quiet && !json_only) {
        skua_loader_report_print(&report, stdout);
        if (fflush(stdout) || ferror(stdout))
            status = skua_tool_error(LOADER_PROGRAM, "write error", errno != 0 ? -errno : -EIO);
    }
    if (run->json != NULL && print_json(run, &report) != 0)
        status = EXIT_FAILURE;
    uint64_t failed = skua_loader_tally_failed(&sum) + loader->counts.surplus;
    if (failed > options->errors_max) {
        if (options->quiet)
            fprintf(stderr, LOADER_PROGRAM ": %" PRIu64 " errors\n", failed);
        status = EXIT_FAILURE;
    }
    if (loader->counts.given_up == options->connections) {
        fputs(LOADER_PROGRAM ": no connection was left\n", stderr);
        status = EXIT_FAILURE;
    }
    return run->process.signal != 0 ? 128 + run->process.signal : status;
}

static int run_all(struct run *run)
{
    struct loader *loader = &run->loader;
    skua_options options = {
        .workers = loader->options.workers,
        .stack_size_bytes = STACK_BYTES,
    };
    run->process = (struct tool_run){
        .program = LOADER_PROGRAM,
        .patience_ns = STOP_NS,
        .stop_ns = STOP_NS,
        .on_second = run->shows_progress ? show_progress : NULL,
        .arg = run,
    };
    if (skua_tool_run_start(&run->process, &options) != 0)
        return EXIT_FAILURE;
    skua_info info;
    (void)skua_runtime_info(run->process.runtime, &info);
    run->workers = info.workers;
    run->began_ns = run->shown_ns = skua_now();
    int rc = (int)skua_tool_run_root(&run->process, run_root);
    skua_tool_run_stop(&run->process);
    end_progress(run);
    if (loader->first_error < 0 && !run->process.signal)
        return print_first_error(loader);
    if (rc < 0 && !run->process.signal)
        return skua_tool_error(LOADER_PROGRAM, "stopped", rc);
    return tell(run);
}

int main(int argc, char **argv)
{
    static struct run run;
    skua_tool_open_standard_streams();
    enum tool_parse parse = skua_loader_options_parse(argc, argv, &run.loader.options);
    skua_loader_schedule_init(&run.loader.schedule, &run.loader.options);
    int status = skua_tool_parse_status(parse);
    if (parse == TOOL_PARSE_RUN)
        status = open_all(&run);
    if (status == 0 && parse == TOOL_PARSE_RUN)
        status = run_all(&run);
    close_all(&run);
    return status;
}
