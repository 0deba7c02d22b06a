/*
 * proxy_main.c - start, root task, signals, end.
 *
 * The main thread opens what can fail for reasons a user should read about, starts a runtime
 * and has it run the root task (tool_run.h). SIGUSR1 prints what has been counted.
 *
 * The end, in order: a signal cancels the root task, which shuts the listening sockets, so that
 * whoever connects is refused at once, and stops the server, which waits for the connections, but
 * not for ever; then it ends the checks and the reaper, and last the logs; main stops the runtime.
 */
#include "proxy.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy_address.h"
#include "proxy_backends.h"
#include "proxy_check.h"
#include "proxy_connection.h"
#include "proxy_log.h"
#include "proxy_pipes.h"
#include "proxy_tls.h"
#include "tool_process.h"
#include "tool_run.h"

#define STOP_NS (3 * SKUA_NS_PER_SEC)   /* beyond the drain, for what is left then */
#define STACK_BYTES ((size_t)32 * 1024) /* of every task: none calls deep */

struct run {
    struct proxy proxy;
    struct tool_run process;
    pthread_mutex_t server_lock;
    skua_server *server; /* guarded by server_lock; NULL when there is none to be asked */
    skua_server_stats stats;
    int64_t cut; /* connections that the drain did not wait for */
    int listeners[PROXY_LISTEN_MAX];
    unsigned listener_count;
    struct proxy_check checks[PROXY_BACKENDS_MAX];
};

/* ---- the root task --------------------------------------------------------------------------- */

static void publish_server(struct run *run, skua_server *server)
{
    pthread_mutex_lock(&run->server_lock);
    if (server == NULL)
        (void)skua_server_get_stats(run->server, &run->stats);
    run->server = server;
    pthread_mutex_unlock(&run->server_lock);
}

/* Tells where it listens, so that a program that starts this one can read it. */
static void announce(const struct run *run)
{
    for (unsigned i = 0; i < run->listener_count && !run->proxy.options.quiet; i++) {
        skua_address address;
        char name[PROXY_NAME_SIZE];
        int rc = skua_address_of_socket(run->listeners[i], &address);
        skua_proxy_address_show(rc < 0 ? NULL : &address, name);
        printf("listening on %s\n", name);
    }
    (void)fflush(stdout); /* nobody reads it: no reason not to serve */
}

static intptr_t serve(struct run *run)
{
    const struct proxy_options *options = &run->proxy.options;
    skua_server_options server_options = {
        .listeners = run->listeners,
        .listener_count = run->listener_count,
        .handle = skua_proxy_serve,
        .arg = &run->proxy,
        .connections_max = options->connections_max,
        .name = "connection",
    };
    skua_server *server = NULL;
    int rc = skua_server_start(&server_options, &server);
    if (rc < 0)
        return rc;
    publish_server(run, server);
    announce(run);
    while (skua_sleep_until(SKUA_FOREVER) == 0) {
    }
    for (unsigned i = 0; i < run->listener_count; i++)
        skua_proxy_unlisten(run->listeners[i]);
    publish_server(run, NULL);
    run->cut = skua_server_stop(server, skua_after(options->drain_ns));
    return 0;
}

/* The server, and in a scope what it needs beside it. */
static intptr_t serve_with_helpers(struct run *run)
{
    struct proxy *proxy = &run->proxy;
    skua_scope scope;
    int rc = skua_scope_open(&scope, &(skua_scope_options){.name = "helpers"});
    if (rc < 0)
        return rc;
    rc = skua_scope_spawn(&scope, skua_proxy_reap, proxy, NULL);
    for (unsigned i = 0; i < proxy->options.backend_count && rc == 0; i++) {
        run->checks[i] = (struct proxy_check){
            .proxy = proxy,
            .backend = skua_proxy_backend_at(proxy->backends, i),
        };
        if (proxy->options.check_interval_ns != 0)
            rc = skua_scope_spawn(&scope, skua_proxy_check, &run->checks[i], NULL);
    }
    intptr_t result = rc == 0 ? serve(run) : rc;
    (void)skua_scope_cancel(&scope);
    (void)skua_scope_close(&scope);
    return result;
}

static void end_log(skua_future *writer)
{
    if (writer == NULL)
        return;
    (void)skua_cancel(writer);
    (void)skua_await(writer);
}

static intptr_t run_root(void *arg)
{
    struct run *run = arg;
    struct proxy *proxy = &run->proxy;
    skua_shield shield;
    skua_future *notices = NULL, *access_log = NULL;
    if (proxy->notices != NULL)
        notices = skua_spawn(skua_proxy_log_run, proxy->notices);
    if (proxy->access_log != NULL)
        access_log = skua_spawn(skua_proxy_log_run, proxy->access_log);
    intptr_t rc = serve_with_helpers(run);
    (void)skua_shield_open(&shield);
    end_log(access_log);
    end_log(notices);
    (void)skua_shield_close(&shield);
    return rc;
}

/* ---- before there are threads ---------------------------------------------------------------- */

static int complain_address(const char *text)
{
    fprintf(stderr, PROXY_PROGRAM ": not an address, HOST:PORT: '%s'; try --help\n", text);
    return TOOL_EXIT_USAGE;
}

static int open_listeners(struct run *run)
{
    for (unsigned i = 0; i < run->proxy.options.listen_count; i++) {
        const char *text = run->proxy.options.listen[i];
        int fd = skua_proxy_listen(text);
        if (fd == -EINVAL)
            return complain_address(text);
        if (fd < 0) {
            fprintf(stderr, PROXY_PROGRAM ": cannot listen at %s: %s\n", text, strerror(-fd));
            return EXIT_FAILURE;
        }
        run->listeners[run->listener_count++] = fd;
    }
    return 0;
}

/* Backends, logs and sockets. Returns an exit status; 0 if all is there. */
static int open_all(struct run *run)
{
    struct proxy *proxy = &run->proxy;
    const char *bad = NULL;
    int rc = skua_proxy_backends_create(&proxy->options, &proxy->backends, &bad);
    if (rc == -EINVAL)
        return complain_address(bad);
    if (rc == 0 && !proxy->options.quiet)
        rc = skua_proxy_log_open(NULL, STDERR_FILENO, &proxy->notices);
    if (rc < 0)
        return skua_tool_error(PROXY_PROGRAM, "cannot start", rc);
    if (skua_proxy_tls_open(proxy) < 0)
        return EXIT_FAILURE;
    const char *path = proxy->options.access_log;
    if (path != NULL) {
        rc = skua_proxy_log_open(strcmp(path, "-") == 0 ? NULL : path, STDOUT_FILENO,
                                 &proxy->access_log);
        if (rc < 0)
            return skua_tool_error(PROXY_PROGRAM, path, rc);
    }
    return open_listeners(run);
}

static void close_all(struct run *run)
{
    for (unsigned i = 0; i < run->listener_count; i++)
        (void)close(run->listeners[i]);
    skua_proxy_log_close(run->proxy.access_log);
    skua_proxy_log_close(run->proxy.notices);
    skua_proxy_tls_close(&run->proxy);
    skua_proxy_backends_destroy(run->proxy.backends);
    skua_proxy_pipes_fini(&run->proxy.pipes);
    pthread_mutex_destroy(&run->proxy.lock);
    pthread_mutex_destroy(&run->server_lock);
}

/* ---- counters -------------------------------------------------------------------------------- */

/* Relaxed: numbers for people, each true at some moment. */
static uint64_t count(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void print_totals(struct run *run)
{
    struct proxy *proxy = &run->proxy;
    pthread_mutex_lock(&run->server_lock);
    if (run->server != NULL)
        (void)skua_server_get_stats(run->server, &run->stats);
    skua_server_stats stats = run->stats;
    pthread_mutex_unlock(&run->server_lock);
    uint64_t ends[PROXY_END_COUNT];
    for (unsigned i = 0; i < PROXY_END_COUNT; i++)
        ends[i] = count(&proxy->ends[i]);
    fprintf(stderr,
            PROXY_PROGRAM ": %" PRIu64 " connections, %" PRIu64 " open, %" PRIu64
                          " bytes up, %" PRIu64 " bytes down\n",
            stats.accepted, count(&proxy->open), count(&proxy->bytes_up),
            count(&proxy->bytes_down));
    fprintf(
        stderr,
        PROXY_PROGRAM ": ended: %" PRIu64 " done, %" PRIu64 " by the client, %" PRIu64
                      " by the backend, %" PRIu64 " idle, %" PRIu64 " without backend, %" PRIu64
                      " with a bad header, %" PRIu64 " with a bad handshake, %" PRIu64
                      " for want of memory or descriptors, %" PRIu64 " cut, %" PRIu64 " refused\n",
        ends[PROXY_END_DONE], ends[PROXY_END_CLIENT], ends[PROXY_END_BACKEND], ends[PROXY_END_IDLE],
        ends[PROXY_END_NO_BACKEND], ends[PROXY_END_BAD_HEADER], ends[PROXY_END_HANDSHAKE],
        ends[PROXY_END_SHORTAGE], ends[PROXY_END_CUT], stats.refused);
}

/* ---- the run --------------------------------------------------------------------------------- */

/* SIGUSR1 */
static void tell(void *arg)
{
    struct run *run = arg;
    print_totals(run);
    skua_proxy_backends_print(run->proxy.backends);
}

static int run_all(struct run *run)
{
    skua_options options = {
        .workers = run->proxy.options.workers,
        .stack_size_bytes = STACK_BYTES,
    };
    run->process = (struct tool_run){
        .program = PROXY_PROGRAM,
        .patience_ns = run->proxy.options.drain_ns + STOP_NS,
        .stop_ns = STOP_NS,
        .extra_signal = SIGUSR1,
        .on_extra = tell,
        .arg = run,
    };
    if (skua_tool_run_start(&run->process, &options) != 0)
        return EXIT_FAILURE;
    int rc = (int)skua_tool_run_root(&run->process, run_root);
    skua_tool_run_stop(&run->process);
    if (rc < 0 && rc != -ECANCELED) /* that: a signal came before it began */
        return skua_tool_error(PROXY_PROGRAM, "cannot serve", rc);
    if (!run->proxy.options.quiet)
        print_totals(run);
    if (run->cut > 0)
        fprintf(stderr, PROXY_PROGRAM ": %" PRId64 " connections were cut\n", run->cut);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    static struct run run;
    skua_tool_open_standard_streams();
    enum tool_parse parse = skua_proxy_options_parse(argc, argv, &run.proxy.options);
    if (parse != TOOL_PARSE_RUN)
        return skua_tool_parse_status(parse);
    pthread_mutex_init(&run.proxy.lock, NULL);
    skua_proxy_pipes_init(&run.proxy.pipes);
    pthread_mutex_init(&run.server_lock, NULL);
    (void)skua_tool_raise_descriptors();
    int status = open_all(&run);
    if (status == 0)
        status = run_all(&run);
    close_all(&run);
    return status;
}
