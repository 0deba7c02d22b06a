/*
 * sum_main.c - start, root task, signals, end.
 *
 * The main thread starts a runtime and has it run the root task (tool_run.h), with which a signal
 * cancels all.
 *
 * The end, in order: the printer has shown everything (or standard output failed, or a cancel
 * came); the root task cancels the producer and the lanes, awaits them, and only then drops its
 * handles, which late wake-ups may still use; main prints statistics, stops the runtime and closes
 * standard output, whose errors may come as late as that.
 */
#include "sum.h"

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sum_out.h"
#include "sum_pipeline.h"
#include "sum_report.h"
#include "tool_process.h"
#include "tool_run.h"

#define SUM_STOP_NS (500 * SKUA_NS_PER_MS) /* a signal gives the tasks this long */

struct run {
    struct sum_options options;
    struct sum_digest digest;
    struct sum_pipeline *pipeline;
    struct sum_out out;
    struct tool_run process;
};

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
    return rc;
}

/* Returns the exit status, standard output closed. */
static int finish(struct run *run, intptr_t rc)
{
    int status = run->out.failed;

    if (run->process.signal)
        return 128 + run->process.signal;
    if (!run->out.write_error && close(STDOUT_FILENO) && errno != EBADF)
        run->out.write_error = -errno;
    if (run->out.write_error)
        return skua_tool_error(SUM_PROGRAM, "write error", run->out.write_error);
    if (rc)
        return skua_tool_error(SUM_PROGRAM, "stopped", (int)rc);
    return status;
}

static int start_runtime(struct run *run)
{
    skua_options options = {.workers = run->options.workers};
    skua_info info;
    int rc;

    run->process = (struct tool_run){
        .program = SUM_PROGRAM,
        .patience_ns = SUM_STOP_NS,
        .stop_ns = SUM_STOP_NS,
        .arg = run,
    };
    if (skua_tool_run_start(&run->process, &options) != 0)
        return EXIT_FAILURE;
    (void)skua_runtime_info(run->process.runtime, &info);
    rc = skua_sum_pipeline_init(run->pipeline, &run->options, &run->digest, info.workers);
    return rc ? skua_tool_error(SUM_PROGRAM, "cannot start", rc) : 0;
}

/* Everything between the options and the exit status. */
static int run_all(struct run *run)
{
    intptr_t rc;

    if (start_runtime(run) != 0)
        return EXIT_FAILURE;
    run->out.pipeline = run->pipeline;
    skua_sum_report_init(&run->out.report, run->pipeline);
    rc = skua_tool_run_root(&run->process, run_root);
    if (run->options.stats && !run->process.signal)
        skua_sum_stats_print(&run->out.report, run->process.runtime, run->out.files);
    skua_tool_run_stop(&run->process);
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
    if (!run.pipeline)
        return skua_tool_error(SUM_PROGRAM, "cannot start", -ENOMEM);
    status = run_all(&run);
    skua_sum_pipeline_fini(run.pipeline);
    skua_sum_out_fini(&run.out);
    skua_sum_digest_fini(&run.digest);
    free(run.pipeline);
    return status;
}
