/*
 * proxy_connection.c - one connection: whose it is, which backend gets it, how it ends.
 */
#include "proxy_connection.h"

#include "proxy_log.h"
#include "proxy_tls.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sys/socket.h>

static const char *const end_names[PROXY_END_COUNT] = {
    "done",       "client-reset",  "backend-reset", "idle", "no-backend",
    "bad-header", "bad-handshake", "shortage",      "cut",
};

/* ---- the PROXY header of the client ---------------------------------------------------------- */

/* Reads it into the buffer of the way up; what has come with it stays there, to be carried. */
static intptr_t read_header(void *arg)
{
    struct proxy_connection *connection = arg;
    struct proxy_lane *up = &connection->up;
    size_t size = connection->proxy->options.buffer_bytes;
    unsigned char *buffer = (unsigned char *)up->buffer;
    bool known = false;
    ssize_t header = -EAGAIN;
    while (header == -EAGAIN) {
        ssize_t n = skua_recv(up->from_fd, buffer + up->filled, size - up->filled, 0);
        if (n <= 0)
            return n == 0 ? -EPROTO : n;
        up->filled += (size_t)n;
        header = skua_proxy_header_parse(buffer, up->filled, &connection->endpoints, &known);
    }
    if (header < 0)
        return header;
    up->filled -= (size_t)header;
    memmove(buffer, buffer + header, up->filled);
    return 0;
}

static bool accept_header(struct proxy_connection *connection)
{
    const struct proxy_options *options = &connection->proxy->options;
    if (!options->accept_proxy)
        return true;
    intptr_t rc = skua_timeout(options->header_timeout_ns, read_header, connection);
    if (rc == 0)
        return true;
    skua_proxy_connection_note(connection, rc == -ECANCELED ? PROXY_END_CUT : PROXY_END_BAD_HEADER);
    return false;
}

static bool accept_tls(struct proxy_connection *connection)
{
    int rc = skua_proxy_tls_begin(connection);
    if (rc == -ECANCELED || rc == -ESHUTDOWN)
        skua_proxy_connection_note(connection, PROXY_END_CUT);
    else if (rc == -ENOMEM || rc == -EAGAIN) /* the latter: too many shake hands */
        skua_proxy_connection_note(connection, PROXY_END_SHORTAGE);
    else if (rc < 0)
        skua_proxy_connection_note(connection, PROXY_END_HANDSHAKE);
    return rc == 0;
}

/* ---- the backend ----------------------------------------------------------------------------- */

static int send_header(const struct proxy_connection *connection, int fd)
{
    unsigned char header[PROXY_HEADER_MADE_MAX];
    unsigned version = connection->proxy->options.send_proxy;
    if (version == 0)
        return 0;
    size_t size = skua_proxy_header_make(version, &connection->endpoints, header);
    ssize_t n = skua_send_all(fd, header, size);
    return n == (ssize_t)size ? 0 : n < 0 ? (int)n : -EPIPE;
}

/* Connects to the backend that was picked. A descriptor or -errno. */
static int dial(const struct proxy_connection *connection)
{
    const struct proxy_backend *backend = connection->pick.backend;
    skua_dial_options options = {
        .deadline_ns = skua_after(connection->proxy->options.connect_timeout_ns),
    };
    int fd = skua_dial(backend->host, backend->service, &options);
    int rc = fd < 0 ? fd : send_header(connection, fd);
    if (fd >= 0 && rc < 0) {
        (void)skua_close(fd);
        return rc;
    }
    return fd;
}

/* Whether an error of dialling says something about this process and nothing about the peer. */
static bool is_own_shortage(int error)
{
    return error == -EMFILE || error == -ENFILE || error == -ENOMEM || error == -ENOBUFS;
}

static void tell_failure(struct proxy *proxy, const struct proxy_backend *backend, int error,
                         uint64_t out_ns)
{
    char buffer[128];
    skua_proxy_log_printf(proxy->notices, PROXY_PROGRAM ": backend %s: %s; left out for %llu ms",
                          backend->name, strerror_r(-error, buffer, sizeof(buffer)),
                          (unsigned long long)(out_ns / SKUA_NS_PER_MS));
}

/* Tries one backend after the other, each once. */
static bool connect_backend(struct proxy_connection *connection)
{
    struct proxy *proxy = connection->proxy;
    struct proxy_pick *pick = &connection->pick;
    for (;;) {
        skua_proxy_backend_pick(proxy->backends, pick);
        if (pick->backend == NULL) {
            skua_proxy_connection_note(connection, PROXY_END_NO_BACKEND);
            return false;
        }
        int fd = dial(connection);
        if (fd >= 0) {
            connection->backend_fd = fd;
            if (skua_proxy_backend_reached(proxy->backends, pick))
                skua_proxy_log_printf(proxy->notices, PROXY_PROGRAM ": backend %s: is back",
                                      pick->backend->name);
            return true;
        }
        if (fd == -ECANCELED || is_own_shortage(fd)) {
            skua_proxy_backend_forgone(proxy->backends, pick);
            skua_proxy_connection_note(connection,
                                       fd == -ECANCELED ? PROXY_END_CUT : PROXY_END_SHORTAGE);
            return false;
        }
        uint64_t out_ns = skua_proxy_backend_failed(proxy->backends, pick);
        if (out_ns > 0)
            tell_failure(proxy, pick->backend, fd, out_ns);
    }
}

/* ---- the end --------------------------------------------------------------------------------- */

/* When @fd is closed its peer gets a reset, not an end. */
static void reset_at_close(int fd)
{
    const struct linger none = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
}

static void finish_sockets(struct proxy_connection *connection, enum proxy_end end)
{
    bool is_broken = end == PROXY_END_CLIENT || end == PROXY_END_BACKEND || end == PROXY_END_CUT ||
                     atomic_load_explicit(&connection->is_short, memory_order_relaxed);
    if (is_broken)
        reset_at_close(connection->client_fd);
    if (connection->backend_fd < 0)
        return;
    if (is_broken)
        reset_at_close(connection->backend_fd);
    (void)skua_close(connection->backend_fd);
    skua_proxy_backend_released(connection->proxy->backends, connection->pick.backend);
}

static void write_log(const struct proxy_connection *connection, enum proxy_end end)
{
    struct proxy_log *log = connection->proxy->access_log;
    const char *backend = "-";
    char client[PROXY_NAME_SIZE];
    char when[32];
    struct tm tm;
    if (log == NULL)
        return;
    if (connection->backend_fd >= 0)
        backend = connection->pick.backend->name;
    time_t now = time(NULL);
    (void)gmtime_r(&now, &tm);
    (void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
    skua_proxy_address_show(&connection->endpoints.source, client);
    skua_proxy_log_printf(
        log, "%s %s %s %llu %llu %llu %s", when, client, backend,
        (unsigned long long)connection->up.carried, (unsigned long long)connection->down.carried,
        (unsigned long long)((skua_now() - connection->start_ns) / 1000000), end_names[end]);
}

static void finish(struct proxy_connection *connection)
{
    struct proxy *proxy = connection->proxy;
    enum proxy_end end =
        (enum proxy_end)atomic_load_explicit(&connection->end, memory_order_relaxed);
    if (connection->tls != NULL)
        skua_proxy_tls_end(connection, end == PROXY_END_DONE || end == PROXY_END_NO_BACKEND);
    finish_sockets(connection, end);
    write_log(connection, end);
    /* Counters, read by people. */
    atomic_fetch_add_explicit(&proxy->ends[end], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&proxy->bytes_up, connection->up.carried, memory_order_relaxed);
    atomic_fetch_add_explicit(&proxy->bytes_down, connection->down.carried, memory_order_relaxed);
    atomic_fetch_sub_explicit(&proxy->open, 1, memory_order_relaxed);
}

/* ---- all of it ------------------------------------------------------------------------------- */

static void find_endpoints(struct proxy_connection *connection)
{
    struct proxy_endpoints *ends = &connection->endpoints;
    if (skua_address_of_peer(connection->client_fd, &ends->source) < 0)
        ends->source = (skua_address){.size = 0}; /* gone already */
    if (skua_address_of_socket(connection->client_fd, &ends->destination) < 0)
        ends->destination = (skua_address){.size = 0};
}

static void start_lanes(struct proxy_connection *connection)
{
    struct proxy_lane *up = &connection->up;
    struct proxy_lane *down = &connection->down;
    up->connection = down->connection = connection;
    up->from_end = down->to_end = PROXY_END_CLIENT;
    up->to_end = down->from_end = PROXY_END_BACKEND;
    up->from_fd = down->to_fd = connection->client_fd;
    up->from_tls = down->to_tls = connection->tls;
    up->to_fd = down->from_fd = connection->backend_fd;
}

intptr_t skua_proxy_serve(skua_connection *server_connection, void *arg)
{
    static const int on = 1;
    struct proxy *proxy = arg;
    size_t size = proxy->options.buffer_bytes;
    struct proxy_connection connection = {
        .proxy = proxy,
        .client_fd = skua_connection_fd(server_connection),
        .backend_fd = -1,
        .start_ns = skua_now(),
    };
    atomic_fetch_add_explicit(&proxy->open, 1, memory_order_relaxed); /* a counter */
    (void)setsockopt(connection.client_fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    if (proxy->options.send_proxy != 0 || proxy->access_log != NULL)
        find_endpoints(&connection);
    connection.up.buffer = malloc(size);
    connection.down.buffer = malloc(size);
    connection.up.from_fd = connection.client_fd;
    if (connection.up.buffer == NULL || connection.down.buffer == NULL) {
        skua_proxy_connection_note(&connection, PROXY_END_SHORTAGE);
    } else if (accept_header(&connection) && accept_tls(&connection) &&
               connect_backend(&connection)) {
        (void)setsockopt(connection.backend_fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
        start_lanes(&connection);
        skua_proxy_relay(&connection);
    }
    free(connection.up.buffer);
    free(connection.down.buffer);
    finish(&connection);
    return 0;
}
