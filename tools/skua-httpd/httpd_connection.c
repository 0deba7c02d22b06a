/*
 * httpd_connection.c - the task of a connection: reads requests, has them answered, in order.
 *
 * Requests that have arrived together are answered into one buffer, which is sent when there is
 * none left to answer, or when it is full. So a batch of pipelined requests costs one receive and
 * one send, and nothing is allocated for it.
 *
 * One scope around all gives the waits their deadline. It is moved only if it is more than an
 * eighth too early or late, which in a conversation without pauses is seldom.
 *
 * DRAIN  A task that goes to rest stores resting, then looks at draining; the drain stores
 *        draining, then looks at resting. Both seq_cst: one of them shuts the socket's reading side
 *        down (both may). What has been received before that is still read, and answered.
 */
#include "httpd_connection.h"

#include "httpd_log.h"
#include "httpd_tls.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <arpa/inet.h>

#define LINGER_NS (2 * SKUA_NS_PER_SEC)
#define LINGER_BYTES_MAX (1u << 20)

/* ---- deadlines ------------------------------------------------------------------------------- */

/* A new scope in the place of one whose time is over. */
static bool renew(struct httpd_connection *connection, uint64_t timeout_ns)
{
    connection->deadline_ns = skua_after(timeout_ns);
    skua_scope_options options = {.deadline_ns = connection->deadline_ns, .name = "connection"};
    (void)skua_scope_close(&connection->scope);
    /* There is memory: the timer of the old one has just been given back. */
    return skua_scope_open(&connection->scope, &options) == 0;
}

void skua_httpd_set_deadline(struct httpd_connection *connection, uint64_t deadline_ns)
{
    connection->deadline_ns = deadline_ns;
    int rc = skua_scope_set_deadline(&connection->scope, deadline_ns);
    /* What came was complete just as its time ended: that is in time. */
    if (rc == -EALREADY && skua_scope_cancelled(&connection->scope) == SKUA_SCOPE_EXPIRED) {
        uint64_t now_ns = skua_now();
        (void)renew(connection, deadline_ns > now_ns ? deadline_ns - now_ns : 0);
    }
}

void skua_httpd_limit(struct httpd_connection *connection, uint64_t timeout_ns)
{
    uint64_t now_ns = skua_now();
    uint64_t slack_ns = timeout_ns / 8;
    if (connection->deadline_ns < now_ns + timeout_ns - slack_ns ||
        connection->deadline_ns > now_ns + timeout_ns + slack_ns)
        skua_httpd_set_deadline(connection, now_ns + timeout_ns);
}

void skua_httpd_failed(struct httpd_connection *connection)
{
    connection->closing = true;
    skua_scope_cause cause = skua_scope_cancelled(&connection->scope);
    if (cause == SKUA_SCOPE_EXPIRED)
        connection->expired = true;
    else if (cause != SKUA_SCOPE_RUNNING)
        connection->cancelled = true;
}

/* ---- sending --------------------------------------------------------------------------------- */

static void send_failed(struct httpd_connection *connection)
{
    connection->broken = true;
    skua_httpd_failed(connection);
}

void skua_httpd_flush(struct httpd_connection *connection, int flags)
{
    size_t sent = 0;
    size_t size = connection->out_used;
    connection->out_used = 0;
    if (size == 0 || connection->broken)
        return;
    skua_httpd_limit(connection, connection->httpd->options.write_timeout_ns);
    while (sent < size) {
        const struct iovec iov[2] = {{connection->out + sent, size - sent}, {NULL, 0}};
        ssize_t n = skua_httpd_send(connection, iov, flags);
        if (n < 0) {
            send_failed(connection);
            return;
        }
        sent += (size_t)n;
    }
}

void skua_httpd_flush_with(struct httpd_connection *connection, const void *data, size_t size)
{
    struct iovec iov[2] = {{.iov_base = connection->out, .iov_len = connection->out_used},
                           {.iov_base = (void *)(uintptr_t)data, .iov_len = size}};
    connection->out_used = 0;
    while (!connection->broken && iov[0].iov_len + iov[1].iov_len > 0) {
        skua_httpd_limit(connection, connection->httpd->options.write_timeout_ns);
        ssize_t n = skua_httpd_send(connection, iov, 0);
        if (n < 0) {
            send_failed(connection);
            return;
        }
        for (int i = 0; i < 2; i++) {
            size_t part = (size_t)n < iov[i].iov_len ? (size_t)n : iov[i].iov_len;
            iov[i].iov_base = (char *)iov[i].iov_base + part;
            iov[i].iov_len -= part;
            n -= (ssize_t)part;
        }
    }
}

/* ---- receiving ------------------------------------------------------------------------------- */

/* Nothing is in the buffer, so it may begin anew, in the frame. */
static void reset_input(struct httpd_connection *connection)
{
    if (connection->in != connection->in_small) {
        free(connection->in);
        connection->in = connection->in_small;
        connection->in_size = sizeof(connection->in_small);
    }
    connection->in_begin = connection->in_end = 0;
}

/* Nothing of a request is there, but for an empty line, perhaps: see await_request(). */
static bool is_quiet(const struct httpd_connection *connection)
{
    size_t size = connection->in_end - connection->in_begin;
    return size == 0 ||
           (size == 2 && memcmp(connection->in + connection->in_begin, "\r\n", 2) == 0);
}

/* Waits for some bytes of a request. */
static bool rest(struct httpd_connection *connection)
{
    bool has_line = connection->in_begin != connection->in_end;
    reset_input(connection);
    if (has_line) {
        memcpy(connection->in, "\r\n", 2);
        connection->in_end = 2;
    }
    atomic_store_explicit(&connection->resting, true, memory_order_seq_cst);      /* DRAIN */
    if (atomic_load_explicit(&connection->httpd->draining, memory_order_seq_cst)) /* DRAIN */
        (void)skua_shutdown(connection->fd, SHUT_RD);
    ssize_t n = skua_httpd_recv(connection, connection->in + connection->in_end,
                                connection->in_size - connection->in_end);
    atomic_store_explicit(&connection->resting, false, memory_order_seq_cst);
    if (n > 0)
        connection->in_end += (size_t)n;
    else
        skua_httpd_failed(connection);
    return n > 0;
}

/*
 * Has the first bytes of a request in the buffer. False: there will be none. Some clients end a
 * body with an empty line that is not part of it (RFC 9112, 2.2). It begins no request, and does
 * not prolong the wait; a second one is refused, however the two are cut into segments.
 */
static bool await_request(struct httpd_connection *connection)
{
    if (!is_quiet(connection))
        return true;
    skua_httpd_flush(connection, 0);
    if (connection->closing)
        return false;
    skua_httpd_limit(connection, connection->httpd->options.idle_timeout_ns);
    while (is_quiet(connection)) {
        if (!rest(connection))
            return false;
    }
    return true;
}

/* Why a head that is not complete will not be waited for. 0: it will. */
static int head_too_large(const struct httpd_connection *connection, const struct httpd_scan *scan)
{
    size_t size = connection->in_end - connection->in_begin;
    if (scan->lines == 0 && size > HTTPD_TARGET_BYTES_MAX + 64)
        return -414;
    if (size < connection->httpd->options.header_bytes_max)
        return 0;
    return scan->lines == 0 ? -414 : -431;
}

/* Waits for the rest of a head. 0; or a status, or the connection is closing. */
static int receive_head(struct httpd_connection *connection, const struct httpd_scan *scan,
                        uint64_t *deadline_ns)
{
    int rc = head_too_large(connection, scan);
    if (rc < 0)
        return rc;
    if (*deadline_ns == 0) {
        *deadline_ns = skua_after(connection->httpd->options.header_timeout_ns);
        skua_httpd_set_deadline(connection, *deadline_ns);
    }
    if (skua_httpd_receive(connection))
        return 0;
    return connection->expired ? -408 : 0;
}

/*
 * Has a complete head in the buffer. Returns its size; 0 if there will be none; a negative status.
 * What has been answered is sent before this waits.
 */
static ssize_t next_head(struct httpd_connection *connection)
{
    struct httpd_scan scan = {0};
    uint64_t deadline_ns = 0;
    if (!await_request(connection))
        return 0;
    for (;;) {
        ssize_t size = skua_httpd_head_scan(&scan, connection->in + connection->in_begin,
                                            connection->in_end - connection->in_begin);
        if (size > 0 && (size_t)size > connection->httpd->options.header_bytes_max)
            return -431;
        if (size != 0)
            return size;
        skua_httpd_flush(connection, 0);
        int rc = connection->closing ? 0 : receive_head(connection, &scan, &deadline_ns);
        if (rc < 0 || connection->closing)
            return rc;
    }
}

/* ---- one request ----------------------------------------------------------------------------- */

/* Answers what cannot be understood or not be taken; where the next request begins is unknown. */
static void refuse(struct httpd_connection *connection, int status)
{
    if (connection->cancelled)
        return;
    if (connection->expired && !renew(connection, LINGER_NS))
        return;
    connection->closing = true;
    connection->linger = true;
    const char *allow = status == 501 ? "Allow: GET, HEAD, POST, OPTIONS\r\n" : NULL;
    skua_httpd_answer_error(connection, (unsigned)status, allow);
}

static void answer(struct httpd_connection *connection)
{
    struct httpd_request *request = &connection->request;
    struct httpd_body body = {.wanted = skua_httpd_route_wants_body(connection)};
    connection->closing = !request->keep_alive;
    int rc = 0;
    if (request->chunked || request->content_length > 0)
        rc = skua_httpd_body_read(connection, &body);
    if (rc < 0)
        refuse(connection, -rc);
    else if (!connection->broken)
        skua_httpd_route(connection, &body);
    free(body.data);
}

/* True if there may be another one. */
static bool serve_one(struct httpd_connection *connection)
{
    ssize_t size = next_head(connection);
    if (size == 0)
        return false;
    int rc = (int)size;
    if (size > 0) {
        connection->head_size = (size_t)size;
        rc = skua_httpd_request_parse(&connection->request, connection->in + connection->in_begin,
                                      (size_t)size);
    } else {
        connection->request = (struct httpd_request){.minor = 1};
    }
    connection->requests++;
    connection->status = 0; /* if the peer goes away in the middle, it remains so */
    if (rc < 0)
        refuse(connection, -rc);
    else
        answer(connection);
    if (connection->httpd->log != NULL && connection->status != 0)
        skua_httpd_log_add(connection->httpd->log, connection);
    connection->in_begin += connection->head_size + connection->body_used;
    connection->head_size = connection->body_used = 0;
    return !connection->closing;
}

/* ---- the connection -------------------------------------------------------------------------- */

/*
 * Closing while bytes arrive that nobody reads would reset the connection, and the peer might lose
 * the answer that tells it why. So the peer is told that this is the end, and listened to a little.
 */
static void end_gently(struct httpd_connection *connection)
{
    size_t left = LINGER_BYTES_MAX;
    if (!renew(connection, LINGER_NS) || skua_httpd_tls_shutdown(connection) < 0 ||
        skua_shutdown(connection->fd, SHUT_WR) < 0)
        return;
    while (left > 0) {
        ssize_t n =
            skua_recv(connection->fd, connection->in_small, sizeof(connection->in_small), 0);
        if (n <= 0)
            return;
        left -= (size_t)n < left ? (size_t)n : left;
    }
}

static void enlist(struct httpd_connection *connection)
{
    struct httpd *httpd = connection->httpd;
    pthread_mutex_lock(&httpd->lock);
    connection->next = httpd->connections;
    connection->link = &httpd->connections;
    if (connection->next != NULL)
        connection->next->link = &connection->next;
    httpd->connections = connection;
    pthread_mutex_unlock(&httpd->lock);
}

static void delist(struct httpd_connection *connection)
{
    struct httpd *httpd = connection->httpd;
    pthread_mutex_lock(&httpd->lock);
    *connection->link = connection->next;
    if (connection->next != NULL)
        connection->next->link = connection->link;
    pthread_mutex_unlock(&httpd->lock);
    /* relaxed: a counter */
    atomic_fetch_add_explicit(&httpd->requests, connection->requests, memory_order_relaxed);
}

void skua_httpd_drain(struct httpd *httpd)
{
    atomic_store_explicit(&httpd->draining, true, memory_order_seq_cst); /* DRAIN */
    pthread_mutex_lock(&httpd->lock);
    for (struct httpd_connection *c = httpd->connections; c != NULL; c = c->next) {
        if (atomic_load_explicit(&c->resting, memory_order_seq_cst)) /* DRAIN */
            (void)skua_shutdown(c->fd, SHUT_RD);
    }
    pthread_mutex_unlock(&httpd->lock);
}

static void name_peer(struct httpd_connection *connection)
{
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t size = sizeof(address);
    const void *host = NULL;
    if (getpeername(connection->fd, (struct sockaddr *)&address, &size) == 0) {
        if (address.ss_family == AF_INET)
            host = &((const struct sockaddr_in *)(const void *)&address)->sin_addr;
        else if (address.ss_family == AF_INET6)
            host = &((const struct sockaddr_in6 *)(const void *)&address)->sin6_addr;
    }
    if (host == NULL ||
        inet_ntop(address.ss_family, host, connection->peer, sizeof(connection->peer)) == NULL)
        memcpy(connection->peer, "-", 2);
}

intptr_t skua_httpd_serve(skua_connection *handle, void *arg)
{
    /* Not initialised as a whole: its buffers would be cleared, and their pages touched. */
    struct httpd_connection connection;
    memset(&connection, 0, offsetof(struct httpd_connection, date));
    connection.httpd = arg;
    connection.fd = skua_connection_fd(handle);
    connection.in = connection.in_small;
    connection.in_size = sizeof(connection.in_small);
    connection.deadline_ns = skua_after(connection.httpd->options.idle_timeout_ns);
    skua_scope_options options = {.deadline_ns = connection.deadline_ns, .name = "connection"};
    int rc = skua_scope_open(&connection.scope, &options);
    if (rc < 0)
        return rc;
    if (connection.httpd->log != NULL)
        name_peer(&connection);
    rc = skua_httpd_tls_begin(&connection);
    if (rc < 0) {
        (void)skua_scope_close(&connection.scope);
        return rc;
    }
    enlist(&connection);
    while (serve_one(&connection)) {
    }
    skua_httpd_flush(&connection, 0);
    if (!is_quiet(&connection)) /* requests that came behind the last one */
        connection.linger = true;
    if (connection.linger && !connection.broken && !connection.cancelled)
        end_gently(&connection);
    skua_httpd_tls_end(&connection);
    delist(&connection);
    reset_input(&connection);
    (void)skua_scope_close(&connection.scope);
    return 0;
}
