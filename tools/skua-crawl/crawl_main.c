/*
 * crawl_main.c - start, root task, signals, end.
 *
 * The main thread opens what can fail for reasons a user should read about, starts a runtime,
 * submits the root task and waits on two descriptors: a signalfd and an eventfd that the root task
 * writes at its end. The signals are blocked before there are other threads. A signal sets the
 * run's stop event; THE END in crawl_state.h says what follows. If even that takes too long, or a
 * second signal comes, main leaves without waiting.
 */
#include "crawl_state.h"

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
#include <sys/stat.h>
#include <unistd.h>

#include "crawl_hosts.h"
#include "crawl_queue.h"
#include "tool_process.h"

#define STOP_NS (3 * SKUA_NS_PER_SEC) /* beyond the grace, for what is left then */
/* OpenSSL and libcurl call deeper than the default allows; only what is touched costs memory. */
#define STACK_BYTES ((size_t)256 * 1024)

struct run {
    struct crawl crawl;
    skua_runtime *runtime;
    uint64_t start_ns;
    int end_fd; /* eventfd, written when the root task ends */
    int signal_fd;
    int signal; /* the one that ended the run, or 0 */
};

static int print_error(const char *what, int error)
{
    char buffer[128];
    fprintf(stderr, CRAWL_PROGRAM ": %s: %s\n", what, strerror_r(-error, buffer, sizeof(buffer)));
    return EXIT_FAILURE;
}

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
    uint64_t one = 1;
    skua_shield shield;
    skua_future *writer = skua_spawn(skua_crawl_out_run, &crawl->out);
    skua_future *driver = skua_spawn(skua_crawl_driver_run, crawl->driver);
    int rc = crawl_all(crawl);
    (void)skua_shield_open(&shield);
    end_task(driver);
    (void)skua_channel_close(crawl->out.lines);
    (void)skua_await(writer);
    (void)skua_shield_close(&shield);
    /* Cannot wait or fail: the counter is 0. */
    (void)!write(run->end_fd, &one, sizeof(one));
    return rc;
}

/* ---- before there are threads ---------------------------------------------------------------- */

static int catch_signals(struct run *run)
{
    run->signal_fd = skua_tool_catch_signals(0);
    run->end_fd = eventfd(0, EFD_CLOEXEC);
    return run->signal_fd < 0 || run->end_fd < 0 ? -EMFILE : 0;
}

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
        return print_error(options->list, -errno);
    if (options->save != NULL && stat(options->save, &folder) != 0)
        return print_error(options->save, -errno);
    if (options->save != NULL && !S_ISDIR(folder.st_mode))
        return print_error(options->save, -ENOTDIR);
    if (options->save != NULL && access(options->save, W_OK | X_OK) != 0)
        return print_error(options->save, -errno);
    if (options->ca_file != NULL && access(options->ca_file, R_OK) != 0)
        return print_error(options->ca_file, -errno);
    return 0;
}

static int open_all(struct crawl *crawl)
{
    const struct crawl_options *options = &crawl->options;
    int status = open_files(crawl);
    if (status != 0)
        return status;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return print_error("cannot start libcurl", -ENOMEM);
    set_agent(crawl);
    crawl->slots = (skua_semaphore)SKUA_SEMAPHORE_INIT(options->concurrency);
    crawl->room = (skua_semaphore)SKUA_SEMAPHORE_INIT(CRAWL_PENDING_MAX);
    skua_crawl_seen_init(&crawl->seen, options->visited_max);
    int rc = make_headers(crawl);
    if (rc == 0)
        rc = skua_crawl_driver_create(options->concurrency, &crawl->driver);
    if (rc < 0)
        return print_error("cannot start", rc);
    rc = skua_crawl_out_open(&crawl->out, options, &crawl->counters, &crawl->stop);
    return rc < 0 ? print_error(options->output != NULL ? options->output : "cannot start", rc) : 0;
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

/* Leaves without waiting for anything. */
static _Noreturn void leave(const struct run *run)
{
    _exit(run->signal != 0 ? 128 + run->signal : EXIT_FAILURE);
}

/* Waits for the end of the root task; a second signal or a delay ends at once. */
static void wait_for_end(struct run *run)
{
    struct pollfd fds[2] = {{run->end_fd, POLLIN, 0}, {run->signal_fd, POLLIN, 0}};
    uint64_t deadline_ns = SKUA_FOREVER;
    struct signalfd_siginfo info;
    for (;;) {
        int timeout_ms = -1;
        if (deadline_ns != SKUA_FOREVER) {
            uint64_t now_ns = skua_now();
            if (now_ns >= deadline_ns)
                leave(run);
            uint64_t left_ms = (deadline_ns - now_ns) / SKUA_NS_PER_MS + 1;
            timeout_ms = left_ms < 1000 ? (int)left_ms : 1000;
        }
        fds[0].revents = fds[1].revents = 0;
        (void)poll(fds, 2, timeout_ms); /* EINTR: nothing has happened */
        if (fds[0].revents)
            return;
        if (!fds[1].revents || read(run->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
            continue;
        if (run->signal != 0)
            leave(run);
        run->signal = (int)info.ssi_signo;
        deadline_ns = skua_after(run->crawl.options.grace_ns + STOP_NS);
        (void)skua_event_set(&run->crawl.stop);
    }
}

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
        return print_error("write error", error);
    if (run->signal != 0)
        return 128 + run->signal;
    if (rc < 0)
        return print_error("stopped", rc);
    if (crawl->list_error < 0)
        return print_error(crawl->options.list, crawl->list_error);
    return left > 0 || count(&crawl->counters.failed) > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int run_all(struct run *run)
{
    const skua_options options = {
        .workers = run->crawl.options.workers,
        .stack_size_bytes = STACK_BYTES,
    };
    run->start_ns = skua_now();
    int rc = skua_runtime_start(&run->runtime, &options);
    if (rc < 0) {
        (void)skua_crawl_out_close(&run->crawl.out);
        return skua_tool_start_error(CRAWL_PROGRAM, rc);
    }
    skua_future *root = skua_submit(run->runtime, run_root, run);
    /* Done already: it was quick, or it never started and nothing will be heard of it. */
    if (skua_future_peek(root, NULL))
        wait_for_end(run);
    rc = (int)skua_await(root);
    if (skua_runtime_stop(run->runtime, SKUA_STOP_CANCEL, skua_after(STOP_NS)) < 0)
        leave(run);
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
    if (status == 0 && catch_signals(&run) < 0)
        status = print_error("cannot start", -EMFILE);
    if (status == 0)
        status = run_all(&run);
    free_all(&run.crawl);
    return status;
}
