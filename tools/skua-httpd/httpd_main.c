/*
 * httpd_main.c - start, root task, signals, end.
 *
 * The main thread opens what can fail for reasons a user should read about, starts a runtime
 * and has it run the root task (tool_run.h).
 *
 * The end, in order: a signal cancels the root task; it marks the server as draining, which ends
 * connections at rest, and stops it, which waits for those that owe an answer, but not for ever;
 * the log writes its last lines; main stops the runtime.
 */
#include "httpd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "httpd_connection.h"
#include "httpd_listen.h"
#include "httpd_log.h"
#include "httpd_tls.h"
#include "tool_process.h"
#include "tool_run.h"

#define STOP_NS (2 * SKUA_NS_PER_SEC) /* beyond the drain, for what is left then */

struct run {
    struct httpd httpd;
    struct tool_run process;
    skua_server_stats stats;
    int listeners[HTTPD_LISTEN_MAX];
    unsigned listener_count;
};

/* ---- the root task --------------------------------------------------------------------------- */

/* A connection that fails is its peer's affair; the server counts it. */
static void ignore_failure(const skua_failure *failure, void *arg)
{
    (void)failure;
    (void)arg;
}

/* Tells where it listens, so that a program that starts this one can read it. */
static void announce(const struct run *run)
{
    char name[128];
    for (unsigned i = 0; i < run->listener_count && !run->httpd.options.quiet; i++) {
        skua_httpd_listen_name(run->listeners[i], name, sizeof(name));
        printf("listening on %s://%s\n", run->httpd.tls != NULL ? "https" : "http", name);
    }
    (void)fflush(stdout); /* nobody reads it: no reason not to serve */
}

static intptr_t serve(struct run *run)
{
    struct httpd *httpd = &run->httpd;
    skua_server_options options = {
        .listeners = run->listeners,
        .listener_count = run->listener_count,
        .handle = skua_httpd_serve,
        .arg = httpd,
        .connections_max = httpd->options.connections_max,
    };
    skua_server *server = NULL;
    int rc = skua_server_start(&options, &server);
    if (rc < 0)
        return rc;
    announce(run);
    while (skua_sleep_until(SKUA_FOREVER) == 0) {
    }
    skua_httpd_drain(httpd);
    (void)skua_server_get_stats(server, &run->stats);
    (void)skua_server_stop(server, skua_after(httpd->options.drain_ns));
    return 0;
}

static intptr_t run_root(void *arg)
{
    struct run *run = arg;
    skua_future *log = NULL;
    if (run->httpd.log != NULL)
        log = skua_spawn(skua_httpd_log_run, run->httpd.log);
    intptr_t rc = serve(run);
    if (log != NULL) {
        skua_shield shield;
        (void)skua_shield_open(&shield);
        (void)skua_cancel(log);
        (void)skua_await(log);
        (void)skua_shield_close(&shield);
    }
    return rc;
}

/* ---- before there are threads ---------------------------------------------------------------- */

/* Root, log and sockets. Returns an exit status; 0 if all is there. */
static int open_all(struct run *run)
{
    struct httpd *httpd = &run->httpd;
    httpd->root_fd = -1;
    if (skua_httpd_tls_open(httpd) < 0)
        return EXIT_FAILURE;
    if (httpd->options.root != NULL) {
        httpd->root_fd = open(httpd->options.root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (httpd->root_fd < 0)
            return skua_tool_error(HTTPD_PROGRAM, httpd->options.root, -errno);
    }
    if (httpd->options.access_log != NULL) {
        int rc = skua_httpd_log_open(httpd->options.access_log, &httpd->log);
        if (rc < 0)
            return skua_tool_error(HTTPD_PROGRAM, httpd->options.access_log, rc);
    }
    for (unsigned i = 0; i < httpd->options.listen_count; i++) {
        int fd = skua_httpd_listen(httpd->options.listen[i]);
        if (fd < 0)
            return fd == -1 ? TOOL_EXIT_USAGE : EXIT_FAILURE;
        run->listeners[run->listener_count++] = fd;
    }
    return 0;
}

static void close_all(struct run *run)
{
    for (unsigned i = 0; i < run->listener_count; i++)
        (void)close(run->listeners[i]);
    if (run->httpd.root_fd >= 0)
        (void)close(run->httpd.root_fd);
    skua_httpd_log_close(run->httpd.log);
    skua_httpd_tls_close(&run->httpd);
    pthread_mutex_destroy(&run->httpd.lock);
}

/* ---- the run --------------------------------------------------------------------------------- */

static int run_all(struct run *run)
{
    skua_options options = {.workers = run->httpd.options.workers, .on_failure = ignore_failure};
    run->process = (struct tool_run){
        .program = HTTPD_PROGRAM,
        .patience_ns = run->httpd.options.drain_ns + STOP_NS,
        .stop_ns = STOP_NS,
        .arg = run,
    };
    if (skua_tool_run_start(&run->process, &options) != 0)
        return EXIT_FAILURE;
    int rc = (int)skua_tool_run_root(&run->process, run_root);
    skua_tool_run_stop(&run->process);
    if (rc < 0 && rc != -ECANCELED) /* that: a signal came before it began */
        return skua_tool_error(HTTPD_PROGRAM, "cannot serve", rc);
    /* relaxed: the tasks that counted have ended */
    uint64_t requests = atomic_load_explicit(&run->httpd.requests, memory_order_relaxed);
    if (!run->httpd.options.quiet)
        fprintf(stderr, HTTPD_PROGRAM ": answered %llu requests on %llu connections\n",
                (unsigned long long)requests, (unsigned long long)run->stats.accepted);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    static struct run run;
    skua_tool_open_standard_streams();
    enum tool_parse parse = skua_httpd_options_parse(argc, argv, &run.httpd.options);
    if (parse != TOOL_PARSE_RUN)
        return skua_tool_parse_status(parse);
    pthread_mutex_init(&run.httpd.lock, NULL);
    (void)skua_tool_raise_descriptors();
    int status = open_all(&run);
    if (status == 0)
        status = run_all(&run);
    close_all(&run);
    return status;
}
