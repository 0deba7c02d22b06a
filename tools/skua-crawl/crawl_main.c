/*
 * crawl_main.c - start, root task, signals, end.
 *
 * The main thread opens what can fail for reasons a user should read about, starts a runtime
 * and has it run the root task (tool_run.h). A signal sets the run's stop event; THE END in
 * crawl_state.h says what follows.
 */
#include "crawl_state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crawl_hosts.h"
#include "crawl_queue.h"
#include "tool_process.h"
#include "tool_run.h"

#define STOP_NS (3 * SKUA_NS_PER_SEC) /* beyond the grace, for what is left then */
/* OpenSSL and libcurl call deeper than the default allows; only what is touched costs memory. */
#define STACK_BYTES ((size_t)256 * 1024)

struct run {
    struct crawl crawl;
    struct tool_run process;
    uint64_t start_ns;
};

/* ---- the root task --------------------------------------------------------------------------- */

/* The stopper: cancels the scope when a stop has been asked for and what runs has had its time. */
static intptr_t run_stopper(void *arg)
{
    struct crawl *crawl = arg;
    int rc = skua_event_wait(&crawl->stop);
    if (rc == 0 && skua_crawl_out_error(&crawl->out) == 0)
        rc = skua_wait_group_wait_until(&crawl->active, skua_after(crawl->options.grace_ns));
    if (rc != -ECANCELED)
        (void)skua_scope_cancel(&crawl->scope);
    return 0;
}

static void end_task(skua_future *task)
{
    (void)skua_cancel(task);
    (void)skua_await(task);
}

/* The scope outlives the stopper, which is ended before the scope is closed. */
static int crawl_all(struct crawl *crawl)
{
    const skua_scope_options options = {.name = "crawl", .flags = SKUA_SCOPE_COLLECT};
    int rc = skua_scope_open(&crawl->scope, &options);
    if (rc < 0)
        return rc;
    skua_future *stopper = skua_spawn(run_stopper, crawl);
    rc = skua_scope_spawn(&crawl->scope, skua_crawl_read_list, crawl, NULL);
    (void)skua_scope_wait(&crawl->scope);
    end_task(stopper);
    (void)skua_scope_close(&crawl->scope);
    return rc;
}

static intptr_t run_root(void *arg)
{
    struct run *run = arg;
    struct crawl *crawl = &run->crawl;
    skua_shield shield;
    skua_future *writer = skua_spawn(skua_crawl_out_run, &crawl->out);
    skua_future *driver = skua_spawn(skua_crawl_driver_run, crawl->driver);
    int rc = crawl_all(crawl);
    (void)skua_shield_open(&shield);
    end_task(driver);
    (void)skua_channel_close(crawl->out.lines);
    (void)skua_await(writer);
    (void)skua_shield_close(&shield);
    return rc;
}

/* ---- before there are threads ---------------------------------------------------------------- */

/* The product token: what a robots.txt knows us by. */
static void set_agent(struct crawl *crawl)
{
    size_t size =
        strspn(crawl->options.user_agent, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_");
    if (size >= sizeof(crawl->agent))
        size = sizeof(crawl->agent) - 1;
    memcpy(crawl->agent, crawl->options.user_agent, size);
}

static int make_headers(struct crawl *crawl)
{
    for (unsigned i = 0; i < crawl->options.header_count; i++) {
        struct curl_slist *longer = curl_slist_append(crawl->headers, crawl->options.headers[i]);
        if (longer == NULL)
            return -ENOMEM;
        crawl->headers = longer;
    }
    return 0;
}

/* Returns an exit status; 0 if all is there. */
static int open_files(struct crawl *crawl)
{
    const struct crawl_options *options = &crawl->options;
    struct stat folder;
    crawl->list_fd = -1;
    if (options->list != NULL && strcmp(options->list, "-") == 0)
        crawl->list_fd = STDIN_FILENO;
    else if (options->list != NULL)
        crawl->list_fd = open(options->list, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (options->list != NULL && crawl->list_fd < 0)
        return skua_tool_error(CRAWL_PROGRAM, options->list, -errno);
    if (options->save != NULL && stat(options->save, &folder) != 0)
        return skua_tool_error(CRAWL_PROGRAM, options->save, -errno);
    if (options->save != NULL && !S_ISDIR(folder.st_mode))
        return skua_tool_error(CRAWL_PROGRAM, options->save, -ENOTDIR);
    if (options->save != NULL && access(options->save, W_OK | X_OK) != 0)
        return skua_tool_error(CRAWL_PROGRAM, options->save, -errno);
    if (options->ca_file != NULL && access(options->ca_file, R_OK) != 0)
        return skua_tool_error(CRAWL_PROGRAM, options->ca_file, -errno);
    return 0;
}

static int open_all(struct crawl *crawl)
{
    const struct crawl_options *options = &crawl->options;
    int status = open_files(crawl);
    if (status != 0)
        return status;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return skua_tool_error(CRAWL_PROGRAM, "cannot start libcurl", -ENOMEM);
    set_agent(crawl);
    crawl->slots = (skua_semaphore)SKUA_SEMAPHORE_INIT(options->concurrency);
    crawl->room = (skua_semaphore)SKUA_SEMAPHORE_INIT(CRAWL_PENDING_MAX);
    skua_crawl_seen_init(&crawl->seen, options->visited_max);
    int rc = make_headers(crawl);
    if (rc == 0)
        rc = skua_crawl_driver_create(options->concurrency, &crawl->driver);
    if (rc < 0)
        return skua_tool_error(CRAWL_PROGRAM, "cannot start", rc);
    rc = skua_crawl_out_open(&crawl->out, options, &crawl->counters, &crawl->stop);
    return rc < 0 ? skua_tool_error(CRAWL_PROGRAM,
                                    options->output != NULL ? options->output : "cannot start", rc)
                  : 0;
}

static void free_all(struct crawl *crawl)
{
    skua_crawl_hosts_fini(crawl);
    skua_crawl_seen_fini(&crawl->seen);
    skua_crawl_driver_destroy(crawl->driver);
    curl_slist_free_all(crawl->headers);
    if (crawl->list_fd > STDERR_FILENO)
        (void)close(crawl->list_fd);
    pthread_mutex_destroy(&crawl->lock);
    curl_global_cleanup();
}

/* ---- the run --------------------------------------------------------------------------------- */

/* Relaxed: nobody counts any more. */
static uint64_t count(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* URLs that were queued and not visited. */
static uint64_t count_left(const struct crawl_counters *counters, uint64_t rejected)
{
    uint64_t ended =
        count(&counters->fetched) + count(&counters->failed) + count(&counters->disallowed);
    uint64_t all = count(&counters->accepted) + rejected;
    return all > ended ? all - ended : 0;
}

static void print_totals(const struct run *run, uint64_t left)
{
    const struct crawl_counters *counters = &run->crawl.counters;
    double seconds = (double)(skua_now() - run->start_ns) / (double)SKUA_NS_PER_SEC;
    fprintf(stderr,
            CRAWL_PROGRAM ": %" PRIu64 " fetched, %" PRIu64 " failed, %" PRIu64
                          " not visited, %" PRIu64 " disallowed, %" PRIu64 " duplicate, %" PRIu64
                          " over a limit; %" PRIu64 " requests, %" PRIu64 " bytes, %.1f s\n",
            count(&counters->fetched), count(&counters->failed), left, count(&counters->disallowed),
            count(&counters->duplicate), count(&counters->dropped), count(&counters->requests),
            count(&counters->bytes), seconds);
}

/* The exit status, after the output has been closed. */
static int finish(struct run *run, int rc)
{
    struct crawl *crawl = &run->crawl;
    uint64_t left = count_left(&crawl->counters, count(&crawl->counters.rejected));
    int error = skua_crawl_out_close(&crawl->out);
    if (!crawl->options.quiet)
        print_totals(run, left);
    if (error < 0)
        return skua_tool_error(CRAWL_PROGRAM, "write error", error);
    if (run->process.signal != 0)
        return 128 + run->process.signal;
    if (rc < 0)
        return skua_tool_error(CRAWL_PROGRAM, "stopped", rc);
    if (crawl->list_error < 0)
        return skua_tool_error(CRAWL_PROGRAM, crawl->options.list, crawl->list_error);
    return left > 0 || count(&crawl->counters.failed) > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* THE END in crawl_state.h. */
static void ask_to_stop(void *arg)
{
    struct run *run = arg;
    (void)skua_event_set(&run->crawl.stop);
}

static int run_all(struct run *run)
{
    const skua_options options = {
        .workers = run->crawl.options.workers,
        .stack_size_bytes = STACK_BYTES,
    };
    run->process = (struct tool_run){
        .program = CRAWL_PROGRAM,
        .patience_ns = run->crawl.options.grace_ns + STOP_NS,
        .stop_ns = STOP_NS,
        .on_stop = ask_to_stop,
        .arg = run,
    };
    run->start_ns = skua_now();
    if (skua_tool_run_start(&run->process, &options) != 0) {
        (void)skua_crawl_out_close(&run->crawl.out);
        return EXIT_FAILURE;
    }
    int rc = (int)skua_tool_run_root(&run->process, run_root);
    skua_tool_run_stop(&run->process);
    return finish(run, rc);
}

int main(int argc, char **argv)
{
    static struct run run;
    skua_tool_open_standard_streams();
    enum tool_parse parse = skua_crawl_options_parse(argc, argv, &run.crawl.options);
    if (parse != TOOL_PARSE_RUN)
        return skua_tool_parse_status(parse);
    pthread_mutex_init(&run.crawl.lock, NULL);
    (void)skua_tool_raise_descriptors(); /* each transfer needs two */
    int status = open_all(&run.crawl);
    if (status == 0)
        status = run_all(&run);
    free_all(&run.crawl);
    return status;
}
