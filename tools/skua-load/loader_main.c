/*
 * loader_main.c - start, root task, signals, progress, end.
 *
 * The main thread makes what can fail for reasons a user should read about, starts a runtime,
 * submits the root task and waits on two descriptors: a signalfd and an eventfd that the root task
 * writes at its end. SIGINT and SIGTERM are blocked before there are other threads. A signal
 * cancels the root task, and with it all connections; what has been measured is told all the same.
 */
#include "loader.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "loader_report.h"
#include "loader_root.h"
#include "tool_process.h"

#define LOOK_MS 100                     /* after a signal main looks at the root task this often */
#define STOP_NS (2 * SKUA_NS_PER_SEC)   /* for what is left after a signal, and at the end */
#define STACK_BYTES ((size_t)32 * 1024) /* of every task: none calls deep */
#define SPARE_DESCRIPTORS 64u           /* of the runtime */

struct run {
    struct loader loader;
    skua_runtime *runtime;
    unsigned workers;
    int end_fd; /* eventfd, written when the root task ends */
    int signal_fd;
    int signal; /* the one that ended the run, or 0 */
    FILE *json; /* or NULL; opened at the start, so that no measurement is in vain */
    /* The progress line. */
    bool shows_progress, on_terminal;
    uint64_t began_ns, shown_ns, shown_arrived;
};

static int print_error(const char *what, int error)
{
    char buffer[128];
    fprintf(stderr, LOADER_PROGRAM ": %s: %s\n", what, strerror_r(-error, buffer, sizeof(buffer)));
    return EXIT_FAILURE;
}

static intptr_t run_root(void *arg)
{
    struct run *run = arg;
    uint64_t one = 1;
    intptr_t rc = skua_loader_root_run(&run->loader);
    /* Cannot wait or fail: the counter is 0. */
    (void)!write(run->end_fd, &one, sizeof(one));
    return rc;
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
        return print_error(json, -errno);
    int rc = skua_loader_root_init(loader);
    if (rc < 0)
        return print_error("cannot start", rc);
    run->signal_fd = skua_tool_catch_signals(0);
    run->end_fd = eventfd(0, EFD_CLOEXEC);
    if (run->signal_fd < 0 || run->end_fd < 0)
        return print_error("cannot start", -EMFILE);
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

static void show_progress(struct run *run)
{
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

/* Leaves without waiting for anything. */
static _Noreturn void leave(const struct run *run)
{
    _exit(128 + run->signal);
}

/* How long to wait for an event until there is something else to do. */
static int timeout_of(const struct run *run, uint64_t deadline_ns)
{
    uint64_t now_ns = skua_now();
    if (deadline_ns != SKUA_FOREVER) {
        if (now_ns >= deadline_ns)
            leave(run);
        return LOOK_MS;
    }
    if (!run->shows_progress)
        return -1;
    uint64_t next_ns = run->shown_ns + SKUA_NS_PER_SEC;
    return now_ns >= next_ns ? 0 : (int)((next_ns - now_ns) / SKUA_NS_PER_MS) + 1;
}

/* Waits for the end of the root task; a signal cancels it, a second one or a delay ends at once. */
static void wait_for_end(struct run *run, skua_future *root)
{
    struct pollfd fds[2] = {{run->end_fd, POLLIN, 0}, {run->signal_fd, POLLIN, 0}};
    uint64_t deadline_ns = SKUA_FOREVER;
    struct signalfd_siginfo info;
    run->began_ns = run->shown_ns = skua_now();
    for (;;) {
        fds[0].revents = fds[1].revents = 0;
        (void)poll(fds, 2, timeout_of(run, deadline_ns)); /* EINTR: nothing has happened */
        /* A root task that was cancelled before it began has ended and written nothing. */
        if (fds[0].revents || (run->signal && skua_future_peek(root, NULL) == 0))
            return;
        if (run->shows_progress && skua_now() >= run->shown_ns + SKUA_NS_PER_SEC)
            show_progress(run);
        if (!fds[1].revents || read(run->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
            continue;
        if (run->signal)
            leave(run);
        run->signal = (int)info.ssi_signo;
        deadline_ns = skua_after(STOP_NS);
        (void)skua_cancel(root);
    }
}

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
    return failed ? print_error(run->loader.options.json, errno != 0 ? -errno : -EIO) : 0;
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
        .interrupted = run->signal != 0,
    };
    bool json_only = options->json != NULL && strcmp(options->json, "-") == 0;
    skua_loader_tallies_sum(&loader->tallies, &sum);
    if (loader->schedule.start_ns != 0 && loader->end_ns > loader->schedule.window_ns)
        report.window_ns = loader->end_ns - loader->schedule.window_ns;
    int status = 0;
    if (!options->quiet && !json_only) {
        skua_loader_report_print(&report, stdout);
        if (fflush(stdout) || ferror(stdout))
            status = print_error("write error", errno != 0 ? -errno : -EIO);
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
    return run->signal != 0 ? 128 + run->signal : status;
}

static int run_all(struct run *run)
{
    struct loader *loader = &run->loader;
    skua_options options = {
        .workers = loader->options.workers,
        .stack_size_bytes = STACK_BYTES,
    };
    skua_info info;
    int rc = skua_runtime_start(&run->runtime, &options);
    if (rc < 0)
        return skua_tool_start_error(LOADER_PROGRAM, rc);
    (void)skua_runtime_info(run->runtime, &info);
    run->workers = info.workers;
    skua_future *root = skua_submit(run->runtime, run_root, run);
    /* Done already: it was quick, or it never started and nothing will be heard of it. */
    if (skua_future_peek(root, NULL))
        wait_for_end(run, root);
    rc = (int)skua_await(root);
    if (skua_runtime_stop(run->runtime, SKUA_STOP_CANCEL, skua_after(STOP_NS)) < 0)
        leave(run);
    end_progress(run);
    if (loader->first_error < 0 && !run->signal)
        return print_first_error(loader);
    if (rc < 0 && !run->signal)
        return print_error("stopped", rc);
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
