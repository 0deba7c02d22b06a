/*
 * sum_main.c - start, root task, signals, end.
 *
 * The main thread starts a runtime, submits the root task and waits on two descriptors: a signalfd
 * and an eventfd that the root task writes at its end. SIGINT and SIGTERM are blocked in every
 * thread before there are others, so they arrive nowhere else; each cancels the root task, and with
 * it all.
 *
 * The end, in order: the printer has shown everything (or standard output failed, or a cancel
 * came); the root task cancels the producer and the lanes, awaits them, and only then drops its
 * handles, which late wake-ups may still use; main prints statistics, stops the runtime and closes
 * standard output, whose errors may come as late as that.
 */
#include "sum.h"

#include <errno.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "sum_out.h"
#include "sum_pipeline.h"
#include "sum_report.h"
#include "tool_process.h"

#define SUM_STOP_NS (500 * SKUA_NS_PER_MS) /* a signal gives the tasks this long */

struct run {
    struct sum_options options;
    struct sum_digest digest;
    struct sum_pipeline *pipeline;
    struct sum_out out;
    skua_runtime *runtime;
    int end_fd; /* eventfd, written when the root task ends */
    int signal_fd;
    int signal; /* the one that ended the run, or 0 */
};

/* Prints "skua-sum: what: error". Main only, when the printer does not run. */
static void print_error(const char *what, int error)
{
    char buffer[128];

    fprintf(stderr, SUM_PROGRAM ": %s: %s\n", what, strerror_r(-error, buffer, sizeof(buffer)));
}

/* Spawns a task whose handle outlives its await: late wake-ups may use it. */
static skua_future *spawn(const char *name, skua_fn fn, void *arg, skua_future **handle)
{
    skua_task_options options = {.name = name};
    skua_future *future = NULL;

    if (skua_spawn_with(&options, fn, arg, &future))
        return NULL;
    *handle = skua_future_ref(future);
    return future;
}

/* Cancels @future and waits for its end. */
static intptr_t end_task(skua_future *future)
{
    if (!future)
        return 0;
    (void)skua_cancel(future); /* -EALREADY: it has ended by itself */
    return skua_await(future);
}

/* Runs producer, lanes and printer to their end. @handles has room for all of them. */
static intptr_t run_tasks(struct run *run, skua_future **futures, skua_future **handles)
{
    struct sum_pipeline *pipeline = run->pipeline;
    unsigned lanes = pipeline->lane_count;
    skua_future **producer = &futures[lanes];
    skua_future *printer = NULL;
    unsigned running = 0;
    intptr_t rc = -ENOMEM;
    intptr_t rc_producer;

    for (unsigned i = 0; i < lanes; i++) {
        futures[i] = spawn("lane", skua_sum_lane_run, &pipeline->lanes[i], &handles[i]);
        running += futures[i] != NULL;
    }
    if (running)
        *producer = spawn("names", run->options.check ? skua_sum_verify_run : skua_sum_names_run,
                          pipeline, &handles[lanes]);
    if (*producer)
        printer = spawn("printer", skua_sum_out_run, &run->out, &handles[lanes + 1]);
    if (printer)
        rc = skua_await(printer);
    rc_producer = end_task(*producer);
    for (unsigned i = 0; i < lanes; i++)
        (void)end_task(futures[i]);
    if (!rc && rc_producer != -ECANCELED)
        rc = rc_producer;
    return rc;
}

static intptr_t run_root(void *arg)
{
    struct run *run = arg;
    struct sum_totals *totals = &run->out.report.totals;
    unsigned count = run->pipeline->lane_count + 2;
    skua_future **futures = calloc(count, sizeof(skua_future *));
    skua_future **handles = calloc(count, sizeof(skua_future *));
    skua_future *counter = NULL;
    uint64_t one = 1;
    intptr_t rc = -ENOMEM;

    if (run->options.progress && !run->options.check)
        counter = skua_run_in_executor(NULL, skua_sum_totals_run, totals);
    if (futures && handles)
        rc = run_tasks(run, futures, handles);
    atomic_store_explicit(&totals->stop, true, memory_order_relaxed); /* a flag that asks */
    if (counter) {
        (void)skua_cancel(counter);
        (void)skua_await(counter);
    }
    for (unsigned i = 0; handles && i < count; i++)
        skua_future_unref(handles[i]);
    free(futures);
    free(handles);
    /* Cannot wait or fail: the counter is 0. */
    (void)!write(run->end_fd, &one, sizeof(one));
    return rc;
}

static int catch_signals(struct run *run)
{
    run->signal_fd = skua_tool_catch_signals(0);
    run->end_fd = eventfd(0, EFD_CLOEXEC);
    return run->signal_fd < 0 || run->end_fd < 0 ? -EMFILE : 0;
}

/* Leaves without waiting for anything. */
static _Noreturn void leave(const struct run *run)
{
    _exit(128 + run->signal);
}

/* Waits for the end of the root task; a signal cancels it, a second one or a delay ends at once. */
static void wait_for_end(struct run *run, skua_future *root)
{
    struct pollfd fds[2] = {{run->end_fd, POLLIN, 0}, {run->signal_fd, POLLIN, 0}};
    uint64_t deadline_ns = SKUA_FOREVER;
    struct signalfd_siginfo info;

    for (;;) {
        int timeout_ms = -1;

        if (deadline_ns != SKUA_FOREVER) {
            uint64_t now = skua_now();

            if (now >= deadline_ns)
                leave(run);
            timeout_ms = (int)((deadline_ns - now) / SKUA_NS_PER_MS) + 1;
        }
        if (poll(fds, 2, timeout_ms) < 0 || !(fds[0].revents | fds[1].revents))
            continue;
        if (fds[0].revents)
            return;
        if (read(run->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
            continue;
        if (run->signal)
            leave(run);
        run->signal = (int)info.ssi_signo;
        deadline_ns = skua_after(SUM_STOP_NS);
        (void)skua_cancel(root);
    }
}

/* Returns the exit status, standard output closed. */
static int finish(struct run *run, intptr_t rc)
{
    int status = run->out.failed;

    if (run->signal)
        return 128 + run->signal;
    if (!run->out.write_error && close(STDOUT_FILENO) && errno != EBADF)
        run->out.write_error = -errno;
    if (run->out.write_error) {
        print_error("write error", run->out.write_error);
        return EXIT_FAILURE;
    }
    if (rc) {
        print_error("stopped", (int)rc);
        return EXIT_FAILURE;
    }
    return status;
}

static int start_runtime(struct run *run)
{
    skua_options options = {.workers = run->options.workers};
    skua_info info;
    int rc = skua_runtime_start(&run->runtime, &options);

    if (rc) {
        (void)skua_tool_start_error(SUM_PROGRAM, rc);
        return rc;
    }
    (void)skua_runtime_info(run->runtime, &info);
    rc = skua_sum_pipeline_init(run->pipeline, &run->options, &run->digest, info.workers);
    if (rc)
        print_error("cannot start", rc);
    return rc;
}

/* Everything between the options and the exit status. */
static int run_all(struct run *run)
{
    intptr_t rc = start_runtime(run);
    skua_future *root;

    if (rc)
        return EXIT_FAILURE;
    run->out.pipeline = run->pipeline;
    skua_sum_report_init(&run->out.report, run->pipeline);
    root = skua_submit(run->runtime, run_root, run);
    /* Done already: it was quick, or it never started and nothing will be heard of it. */
    if (skua_future_peek(root, NULL))
        wait_for_end(run, root);
    rc = skua_await(root);
    if (run->options.stats && !run->signal)
        skua_sum_stats_print(&run->out.report, run->runtime, run->out.files);
    (void)skua_runtime_stop(run->runtime, SKUA_STOP_CANCEL, skua_after(SUM_STOP_NS));
    return finish(run, rc);
}

int main(int argc, char **argv)
{
    static struct run run;
    enum tool_parse parse;
    int status;

    skua_tool_open_standard_streams();
    setlocale(LC_CTYPE, "");
    parse = skua_sum_options_parse(argc, argv, &run.options);
    if (parse != TOOL_PARSE_RUN)
        return parse == TOOL_PARSE_SHOWN ? EXIT_SUCCESS : EXIT_FAILURE;
    if (skua_sum_digest_init(&run.digest, run.options.algorithm, run.options.bits)) {
        fputs(run.options.bits ? SUM_PROGRAM ": this OpenSSL makes BLAKE2b of 512 bits only\n"
                               : SUM_PROGRAM ": this OpenSSL lacks the algorithm\n",
              stderr);
        return EXIT_FAILURE;
    }
    run.pipeline = calloc(1, sizeof(*run.pipeline));
    if (!run.pipeline || catch_signals(&run)) {
        print_error("cannot start", run.pipeline ? -EMFILE : -ENOMEM);
        return EXIT_FAILURE;
    }
    status = run_all(&run);
    skua_sum_pipeline_fini(run.pipeline);
    skua_sum_out_fini(&run.out);
    skua_sum_digest_fini(&run.digest);
    free(run.pipeline);
    return status;
}
