/*
 * proxy_relay.c - both directions of a connection.
 *
 * ENDS   A lane that has read the end of its source shuts its target's sending side down and is
 *        over; the other lane goes on. So a half-closed connection stays one, either way round.
 * ERRORS If a source fails (a reset), nothing can come from it or go to it any more: the scope is
 *        cancelled, which ends both lanes. If a target fails, the lane that reads from it goes on:
 *        what the target sent before it went away (an early answer to a request that it did not
 *        want to read to the end) is still delivered, and then that lane finds the end, or the
 *        error, by itself. skua_proxy_serve() then resets both sockets, so that neither side can
 *        take the rest of a broken connection for a complete one.
 * RESET  A lane that waits for its target would not hear that its source was reset. For a backend
 *        that is right: what it has sent is delivered. A client that was reset is not interested in
 *        anything any more, and a backend that takes nothing could keep the connection for long. So
 *        the first time the way up has to wait it starts a task that waits for an error of the
 *        client's socket; a client that has only ended its direction makes none. A socket tells its
 *        error once, to whoever asks first: the other lane when it sends, or that task. To the
 *        lane that reads there is an end then, which must not be passed on as one. The word source
 *        of a lane says so. Its two bits are only changed by read-modify-writes: of a reset and a
 *        wait that begins at least one sees the other. Relaxed ones: nothing else hangs on them. A
 *        reset behind the end of the direction (EPIPE) is none: all that was to be said has been.
 * IDLE   A connection is idle if neither lane has moved a byte for some time; every receive and
 *        every send notes the time, and one task looks at all connections now and then. It cancels
 *        the scope under the list's lock: a connection leaves the list before its scope is closed.
 */
#include "proxy_connection.h"
#include "proxy_tls.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#define REAP_NS_MIN (10 * SKUA_NS_PER_MS)
#define REAP_NS_MAX SKUA_NS_PER_SEC

void skua_proxy_connection_note(struct proxy_connection *connection, enum proxy_end end)
{
    int none = PROXY_END_DONE;
    /* Relaxed: it is read by the same task, or after the scope has been closed. */
    (void)atomic_compare_exchange_strong_explicit(&connection->end, &none, (int)end,
                                                  memory_order_relaxed, memory_order_relaxed);
}

/* Relaxed: a time that is read late makes a connection look idle for a moment longer. */
void skua_proxy_connection_touch(struct proxy_connection *connection)
{
    atomic_store_explicit(&connection->active_ns, skua_now(), memory_order_relaxed);
}

/* ---- sources that are reset ------------------------------------------------------------------ */

static void break_off(struct proxy_lane *lane)
{
    skua_proxy_connection_note(lane->connection, lane->from_end);
    (void)skua_scope_cancel(&lane->connection->scope);
}

/* @lane's source failed with @error, and the lane itself may never be told. */
static void source_failed(struct proxy_lane *lane, ssize_t error)
{
    if (error == 0 || error == -EPIPE || error == -ECANCELED)
        return;
    unsigned before =
        atomic_fetch_or_explicit(&lane->source, PROXY_SOURCE_RESET, memory_order_relaxed);
    if (before & PROXY_SOURCE_WATCHED)
        break_off(lane);
}

/* Takes the error of a socket. Not inlined: errno is read on the thread that made the call. */
static __attribute__((noinline)) int take_error(int fd)
{
    int error = 0;
    socklen_t size = sizeof(error);
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 ? -errno : -error;
}

/* The task that waits for an error of the client's socket; the way up ends it. */
static intptr_t watch_client(void *arg)
{
    struct proxy_connection *connection = arg;
    int events = skua_poll(connection->client_fd, POLLERR);
    if (events > 0 && (events & POLLERR))
        source_failed(&connection->up, take_error(connection->client_fd));
    return 0;
}

void skua_proxy_wait_begin(struct proxy_lane *lane)
{
    struct proxy_connection *connection = lane->connection;
    if (lane != &connection->up)
        return;
    /* Without memory for it: the idle timeout will have to do. */
    if (connection->watcher == NULL)
        (void)skua_scope_spawn(&connection->scope, watch_client, connection, &connection->watcher);
    unsigned before =
        atomic_fetch_or_explicit(&lane->source, PROXY_SOURCE_WATCHED, memory_order_relaxed);
    if (before & PROXY_SOURCE_RESET)
        break_off(lane);
}

void skua_proxy_wait_end(struct proxy_lane *lane)
{
    if (lane == &lane->connection->up)
        (void)atomic_fetch_and_explicit(&lane->source, ~PROXY_SOURCE_WATCHED, memory_order_relaxed);
}

static bool was_reset(const struct proxy_lane *lane)
{
    return atomic_load_explicit(&lane->source, memory_order_relaxed) & PROXY_SOURCE_RESET;
}

/* ---- one lane -------------------------------------------------------------------------------- */

static ssize_t receive(const struct proxy_lane *lane, size_t size)
{
    if (lane->from_tls != NULL)
        return skua_proxy_tls_read(lane->from_tls, lane->buffer, size);
    return skua_recv(lane->from_fd, lane->buffer, size, 0);
}

/* A wait is watched from the first one on: before that no send is known to need one. */
static ssize_t send_some(struct proxy_lane *lane, const char *data, size_t size)
{
    if (lane->to_tls != NULL)
        return skua_proxy_tls_write(lane->to_tls, data, size);
    if (lane != &lane->connection->up)
        return skua_send(lane->to_fd, data, size, 0);
    if (lane->connection->watcher == NULL) {
        ssize_t n = skua_send(lane->to_fd, data, size, MSG_DONTWAIT);
        if (n != -EAGAIN)
            return n;
    }
    skua_proxy_wait_begin(lane);
    ssize_t n = skua_send(lane->to_fd, data, size, 0);
    skua_proxy_wait_end(lane);
    return n;
}

/* Sends @size bytes of the buffer. Each part counts as activity: a slow peer is not an idle one. */
static ssize_t send_buffer(struct proxy_lane *lane, size_t size)
{
    for (size_t sent = 0; sent < size;) {
        ssize_t n = send_some(lane, lane->buffer + sent, size - sent);
        if (n < 0)
            return n;
        skua_proxy_connection_touch(lane->connection);
        sent += (size_t)n;
        lane->carried += (uint64_t)n;
    }
    return 0;
}

/* Carries the lane's bytes to the end of its source, or until one of the two fails. */
static void copy(struct proxy_lane *lane, ssize_t *from_rc, ssize_t *to_rc)
{
    size_t buffer_bytes = lane->connection->proxy->options.buffer_bytes;
    ssize_t n = receive(lane, buffer_bytes);
    while (n > 0 && *to_rc == 0) {
        skua_proxy_connection_touch(lane->connection);
        *to_rc = send_buffer(lane, (size_t)n);
        if (*to_rc == 0)
            n = receive(lane, buffer_bytes);
    }
    *from_rc = n < 0 ? n : 0;
}

/* As copy(), but through pipes, as long as there are any. */
static void copy_or_splice(struct proxy_lane *lane, ssize_t *from_rc, ssize_t *to_rc)
{
    struct proxy_connection *connection = lane->connection;
    if (!connection->proxy->options.splice || connection->tls != NULL ||
        !skua_proxy_splice(lane, from_rc, to_rc))
        copy(lane, from_rc, to_rc);
}

/* Tells the target that no more will come. */
static void pass_end_on(struct proxy_lane *lane)
{
    if (lane->to_tls != NULL && skua_proxy_tls_shutdown(lane->to_tls) == -ECANCELED)
        skua_proxy_connection_note(lane->connection, PROXY_END_CUT); /* as below */
    (void)skua_shutdown(lane->to_fd, SHUT_WR); /* it may be gone: the other lane will see */
}

static void lane_run(struct proxy_lane *lane)
{
    struct proxy_connection *connection = lane->connection;
    struct proxy_lane *other = lane == &connection->up ? &connection->down : &connection->up;
    ssize_t from_rc = 0;
    ssize_t to_rc = send_buffer(lane, lane->filled);
    if (to_rc == 0)
        copy_or_splice(lane, &from_rc, &to_rc);
    if (to_rc < 0)
        atomic_store_explicit(&connection->is_short, true, memory_order_relaxed); /* as end */
    if (from_rc == -ECANCELED || to_rc == -ECANCELED) {
        skua_proxy_connection_note(connection, PROXY_END_CUT); /* unless who did it has said why */
    } else if (to_rc < 0) {
        skua_proxy_connection_note(connection, lane->to_end);
        source_failed(other, to_rc);
    } else if (from_rc < 0 || was_reset(lane)) {
        break_off(lane);
    } else {
        pass_end_on(lane);
    }
    skua_proxy_connection_touch(connection); /* an end moves something, too */
    /* Release, for limit_of(): who sees that it is half open sees the time of it. */
    atomic_store_explicit(&connection->is_half, true, memory_order_release);
}

static intptr_t run_up(void *arg)
{
    struct proxy_connection *connection = arg;
    lane_run(&connection->up);
    if (connection->watcher != NULL) {
        (void)skua_cancel(connection->watcher);
        skua_future_unref(connection->watcher);
    }
    return 0;
}

/* ---- both ------------------------------------------------------------------------------------ */

static void list_add(struct proxy_connection *connection)
{
    struct proxy *proxy = connection->proxy;
    pthread_mutex_lock(&proxy->lock);
    connection->next = proxy->connections;
    connection->link = &proxy->connections;
    if (connection->next != NULL)
        connection->next->link = &connection->next;
    proxy->connections = connection;
    pthread_mutex_unlock(&proxy->lock);
}

static void list_remove(struct proxy_connection *connection)
{
    pthread_mutex_lock(&connection->proxy->lock);
    *connection->link = connection->next;
    if (connection->next != NULL)
        connection->next->link = connection->link;
    pthread_mutex_unlock(&connection->proxy->lock);
}

void skua_proxy_relay(struct proxy_connection *connection)
{
    int rc = skua_scope_open(&connection->scope, NULL);
    if (rc < 0) {
        skua_proxy_connection_note(connection, PROXY_END_SHORTAGE);
        return;
    }
    skua_proxy_connection_touch(connection);
    list_add(connection);
    rc = skua_scope_spawn(&connection->scope, run_up, connection, NULL);
    if (rc == 0)
        lane_run(&connection->down);
    else
        skua_proxy_connection_note(connection,
                                   rc == -ECANCELED ? PROXY_END_CUT : PROXY_END_SHORTAGE);
    (void)skua_scope_wait(&connection->scope);
    list_remove(connection);
    (void)skua_scope_close(&connection->scope);
}

/* ---- idle connections ------------------------------------------------------------------------ */

/* How long @connection may be idle; 0: for ever. */
static uint64_t limit_of(const struct proxy_connection *connection)
{
    const struct proxy_options *options = &connection->proxy->options;
    uint64_t idle_ns = options->idle_timeout_ns;
    uint64_t half_ns = options->half_timeout_ns;
    if (half_ns == 0 || !atomic_load_explicit(&connection->is_half, memory_order_acquire))
        return idle_ns;
    return idle_ns == 0 || half_ns < idle_ns ? half_ns : idle_ns;
}

static void reap(struct proxy *proxy)
{
    pthread_mutex_lock(&proxy->lock);
    uint64_t now_ns = skua_now();
    for (struct proxy_connection *connection = proxy->connections; connection != NULL;
         connection = connection->next) {
        uint64_t limit_ns = limit_of(connection);
        uint64_t active_ns = atomic_load_explicit(&connection->active_ns, memory_order_relaxed);
        if (limit_ns != 0 && active_ns < now_ns && now_ns - active_ns >= limit_ns) {
            skua_proxy_connection_note(connection, PROXY_END_IDLE);
            (void)skua_scope_cancel(&connection->scope);
        }
    }
    pthread_mutex_unlock(&proxy->lock);
}

intptr_t skua_proxy_reap(void *arg)
{
    struct proxy *proxy = arg;
    uint64_t limit_ns = proxy->options.idle_timeout_ns;
    if (limit_ns == 0 ||
        (proxy->options.half_timeout_ns != 0 && proxy->options.half_timeout_ns < limit_ns))
        limit_ns = proxy->options.half_timeout_ns;
    uint64_t pause_ns = limit_ns / 8;
    if (pause_ns < REAP_NS_MIN)
        pause_ns = REAP_NS_MIN;
    if (pause_ns > REAP_NS_MAX)
        pause_ns = REAP_NS_MAX;
    while (limit_ns != 0 && skua_sleep(pause_ns) == 0)
        reap(proxy);
    return 0;
}
