/*
 * loader_connection.c - see loader_connection.h.
 *
 * A step takes what requests are due and have room, sends them together, and receives once. So
 * requests that were answered together are followed by others together, and the clock is read once
 * for each receive: its time ends requests and begins the next ones.
 *
 * A server may refuse to read before it is read from. So sending does not wait for the socket
 * alone: while it has no room, what comes is received.
 */
#include "loader_connection.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define GATHER_MAX 16u                      /* requests in one system call */
#define BYTES_UNTOLD_MAX ((uint64_t)262144) /* more are counted before the answer is whole */
#define PAUSE_MIN_NS (10 * SKUA_NS_PER_MS)  /* after a connect that failed; doubles each time */
#define PAUSE_MAX_NS SKUA_NS_PER_SEC

/* ---- counting -------------------------------------------------------------------------------- */

static bool in_window(const struct loader_connection *connection)
{
    const struct loader_schedule *schedule = &connection->loader->schedule;
    return connection->now_ns >= schedule->window_ns && connection->now_ns < schedule->end_ns;
}

/* Called with the shard's lock. */
static void tell_bytes(struct loader_connection *connection)
{
    if (in_window(connection)) {
        connection->shard->tally.bytes_in += connection->bytes_in;
        connection->shard->tally.bytes_out += connection->bytes_out;
    }
    connection->bytes_in = connection->bytes_out = 0;
}

/* Takes the oldest request out of the ring. */
static struct loader_slot pop(struct loader_connection *connection)
{
    struct loader_slot slot = connection->slots[connection->first];
    connection->first++;
    if (connection->first == connection->loader->options.pipeline)
        connection->first = 0;
    connection->count--;
    if (connection->sent > 0)
        connection->sent--;
    else
        connection->part_bytes = 0;
    return slot;
}

void skua_loader_connection_answered(struct loader_connection *connection, unsigned status)
{
    struct loader_tally *tally = &connection->shard->tally;
    /* The rest of a request that is answered before it is sent will not be sent. */
    if (connection->sent == 0)
        connection->closing = true;
    struct loader_slot slot = pop(connection);
    if (connection->loader->options.churn)
        connection->closing = true;
    unsigned group = status / 100 < LOADER_STATUS_CLASSES ? status / 100 : 0;
    pthread_mutex_lock(&connection->shard->lock);
    tell_bytes(connection);
    tally->arrived += in_window(connection);
    if (slot.counted) {
        tally->answered++;
        tally->last_ns = connection->now_ns;
        if (status != 0)
            tally->statuses[group]++;
        if (status >= 400)
            tally->errors[LOADER_ERROR_STATUS]++;
        tool_histogram_add(&tally->service, connection->now_ns - slot.begun_ns);
        if (connection->loader->schedule.gap_ns > 0)
            tool_histogram_add(&tally->response, connection->now_ns - slot.due_ns);
    }
    pthread_mutex_unlock(&connection->shard->lock);
}

/* The oldest request has failed. */
static void fail(struct loader_connection *connection, enum loader_error error)
{
    if (connection->count == 0)
        return;
    struct loader_slot slot = pop(connection);
    if (!slot.counted)
        return;
    pthread_mutex_lock(&connection->shard->lock);
    connection->shard->tally.errors[error]++;
    connection->shard->tally.last_ns = connection->now_ns;
    pthread_mutex_unlock(&connection->shard->lock);
}

/* ---- waits ----------------------------------------------------------------------------------- */

/* Has the scope end waits at @deadline_ns, or before: then they are tried again. */
static void limit(struct loader_connection *connection, uint64_t deadline_ns)
{
    if (connection->deadline_ns <= deadline_ns)
        return;
    connection->deadline_ns = deadline_ns;
    (void)skua_scope_set_deadline(&connection->scope, deadline_ns); /* -EALREADY: it has passed */
}

/* A wait was cancelled: by the scope's deadline, and then there is a new one, or the task is. */
static void after_cancel(struct loader_connection *connection)
{
    connection->now_ns = skua_now();
    if (skua_scope_cancelled(&connection->scope) != SKUA_SCOPE_EXPIRED) {
        connection->stopped = true;
        return;
    }
    connection->deadline_ns = SKUA_FOREVER;
    (void)skua_scope_close(&connection->scope);
    /* Cannot fail: it asks for no timer. */
    (void)skua_scope_open(&connection->scope, &(skua_scope_options){.name = "connection"});
}

/* Sleeps until @until_ns, or less. */
static void rest(struct loader_connection *connection, uint64_t until_ns)
{
    if (skua_sleep_until(until_ns) < 0)
        after_cancel(connection);
    connection->now_ns = skua_now();
}

/* ---- connecting ------------------------------------------------------------------------------ */

static enum loader_error connect_error(int rc)
{
    if (rc == -ECONNREFUSED)
        return LOADER_ERROR_REFUSED;
    return rc == -ETIMEDOUT ? LOADER_ERROR_CONNECT_TIMEOUT : LOADER_ERROR_CONNECT;
}

/* Requests that were on the connection are to be sent again. */
static void close_connection(struct loader_connection *connection)
{
    if (connection->fd >= 0)
        (void)skua_close(connection->fd);
    connection->fd = -1;
    connection->sent = 0;
    connection->part_bytes = 0;
    connection->closing = connection->mute = false;
}

static int dial(struct loader_connection *connection)
{
    const struct loader *loader = connection->loader;
    skua_dial_options options = {
        .deadline_ns = skua_after(loader->options.connect_timeout_ns),
    };
    int fd = -ECANCELED;
    while (fd == -ECANCELED && !connection->stopped) {
        fd = skua_dial_addresses(loader->target.addresses, loader->target.address_count, &options);
        if (fd == -ECANCELED)
            after_cancel(connection);
    }
    connection->now_ns = skua_now();
    if (fd >= 0) {
        connection->fd = fd;
        connection->losses = 0;
        connection->connected_once = true;
        connection->rested = false;
        connection->counts.opened++;
        skua_loader_answer_reset(connection);
    } else if (fd != -ECANCELED) {
        connection->counts.connects_failed++;
    }
    return fd < 0 ? fd : 0;
}

/* It may not be connected once more: what it has begun fails, and it takes no more. */
static void give_up(struct loader_connection *connection)
{
    while (connection->count > 0)
        fail(connection, LOADER_ERROR_GIVEN_UP);
    connection->counts.given_up++;
    connection->stopped = true;
}

/* A connect has failed: the request that needed it does, and the next one waits a little. */
static void pause_after(struct loader_connection *connection, int rc)
{
    uint64_t pause_ns = PAUSE_MIN_NS << (connection->losses < 8 ? connection->losses : 8);
    if (connection->stopped)
        return;
    fail(connection, connect_error(rc));
    connection->losses++;
    if (pause_ns > PAUSE_MAX_NS)
        pause_ns = PAUSE_MAX_NS;
    uint64_t until_ns = connection->now_ns + pause_ns;
    uint64_t last_ns = connection->loader->schedule.last_ns;
    rest(connection, until_ns < last_ns ? until_ns : last_ns);
}

/* For the requests that have begun. */
static void reconnect(struct loader_connection *connection)
{
    const struct loader_options *options = &connection->loader->options;
    if (connection->connected_once && !options->churn) {
        if (connection->counts.reconnects == options->reconnects_max) {
            give_up(connection);
            return;
        }
        connection->counts.reconnects++;
    }
    int rc = dial(connection);
    if (rc < 0)
        pause_after(connection, rc);
}

/* Whether the server has closed a connection that had nothing to do, which is its right. */
static void look(struct loader_connection *connection)
{
    char byte;
    connection->rested = false;
    ssize_t n = skua_recv(connection->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n == -EAGAIN)
        return;
    if (n == -ECANCELED) {
        after_cancel(connection);
        return;
    }
    if (n > 0)
        connection->counts.surplus++;
    close_connection(connection);
}

/* ---- losing ---------------------------------------------------------------------------------- */

/* The oldest request has failed, and nothing more can be done on the connection. */
static void lose(struct loader_connection *connection, enum loader_error error)
{
    fail(connection, error);
    close_connection(connection);
}

static enum loader_error error_of(ssize_t rc)
{
    if (rc == -EPIPE)
        return LOADER_ERROR_CLOSED;
    return rc == -ECONNRESET ? LOADER_ERROR_RESET : LOADER_ERROR_IO;
}

static uint64_t timeout_at(const struct loader_connection *connection)
{
    const struct loader_slot *slot = &connection->slots[connection->first];
    return slot->begun_ns + connection->loader->options.timeout_ns;
}

/* Fails the requests that have waited too long. */
static void expire(struct loader_connection *connection)
{
    if (connection->count == 0 || connection->now_ns < timeout_at(connection))
        return;
    while (connection->count > 0 && connection->now_ns >= timeout_at(connection))
        fail(connection, LOADER_ERROR_TIMEOUT);
    close_connection(connection);
}

/* ---- receiving ------------------------------------------------------------------------------- */

/* The connection has ended, with @rc. */
static void at_end(struct loader_connection *connection, ssize_t rc)
{
    if (rc < 0)
        lose(connection, error_of(rc));
    else if (skua_loader_answer_take(connection, NULL, 0) == LOADER_TAKEN_ALL)
        close_connection(connection);
    else
        lose(connection, LOADER_ERROR_CLOSED);
}

/* Whether no answer is due to what was sent. */
static bool has_all_of_sent(const struct loader_connection *connection)
{
    return connection->sent == 0 && connection->part_bytes == 0;
}

static void take(struct loader_connection *connection, size_t size)
{
    connection->bytes_in += size;
    enum loader_taken taken = skua_loader_answer_take(connection, connection->input, size);
    if (connection->bytes_in >= BYTES_UNTOLD_MAX) {
        pthread_mutex_lock(&connection->shard->lock);
        tell_bytes(connection);
        pthread_mutex_unlock(&connection->shard->lock);
    }
    if (taken == LOADER_TAKEN_PROTOCOL) {
        lose(connection, LOADER_ERROR_PROTOCOL);
    } else if (taken == LOADER_TAKEN_CONTENT) {
        lose(connection, LOADER_ERROR_CONTENT);
    } else if (taken == LOADER_TAKEN_SURPLUS) {
        connection->counts.surplus++;
        close_connection(connection);
    } else if (connection->closing || (connection->mute && has_all_of_sent(connection))) {
        close_connection(connection);
    }
}

/* Receives until a request times out or another one is due, or less. */
static void receive(struct loader_connection *connection)
{
    uint64_t until_ns = timeout_at(connection);
    bool has_room = connection->count < connection->loader->options.pipeline;
    if (has_room && connection->has_ticket && connection->ticket.due_ns < until_ns)
        until_ns = connection->ticket.due_ns;
    limit(connection, until_ns);
    ssize_t n = skua_recv(connection->fd, connection->input, LOADER_INPUT_BYTES, 0);
    connection->now_ns = skua_now();
    if (n > 0)
        take(connection, (size_t)n);
    else if (n == -ECANCELED)
        after_cancel(connection);
    else
        at_end(connection, n);
}

/* ---- sending --------------------------------------------------------------------------------- */

/* The pieces of @slot. Returns how many there are. */
static unsigned pieces_of(const struct loader_target *target, const struct loader_slot *slot,
                          struct iovec *iov)
{
    if (target->echo) {
        iov[0].iov_base = target->noise + slot->which * LOADER_PLACE_BYTES;
        iov[0].iov_len = target->message_bytes;
        return 1;
    }
    iov[0].iov_base = target->heads[slot->which].text;
    iov[0].iov_len = target->heads[slot->which].size;
    iov[1].iov_base = target->body;
    iov[1].iov_len = target->body_size;
    return target->body_size > 0 ? 2 : 1;
}

static const struct loader_slot *unsent_slot(const struct loader_connection *connection,
                                             unsigned index)
{
    unsigned place = connection->first + connection->sent + index;
    return &connection->slots[place % connection->loader->options.pipeline];
}

/* Gathers what is to be sent. Returns the number of pieces. */
static unsigned gather(const struct loader_connection *connection, struct iovec *iov)
{
    const struct loader_target *target = &connection->loader->target;
    unsigned requests = connection->count - connection->sent;
    unsigned pieces = 0;
    size_t skip = connection->part_bytes;
    for (unsigned i = 0; i < requests && i < GATHER_MAX; i++)
        pieces += pieces_of(target, unsent_slot(connection, i), iov + pieces);
    for (unsigned i = 0; i < pieces && skip > 0; i++) {
        size_t part = skip < iov[i].iov_len ? skip : iov[i].iov_len;
        iov[i].iov_base = (char *)iov[i].iov_base + part;
        iov[i].iov_len -= part;
        skip -= part;
    }
    return pieces;
}

static void note_sent(struct loader_connection *connection, size_t size)
{
    connection->bytes_out += size;
    size += connection->part_bytes;
    while (connection->sent < connection->count) {
        struct iovec iov[2];
        size_t whole = 0;
        unsigned pieces = pieces_of(&connection->loader->target, unsent_slot(connection, 0), iov);
        for (unsigned i = 0; i < pieces; i++)
            whole += iov[i].iov_len;
        if (size < whole)
            break;
        size -= whole;
        connection->sent++;
    }
    connection->part_bytes = size;
}

/* Waits for room in the socket, or for something to receive, which is received. */
static void wait_for_room(struct loader_connection *connection)
{
    limit(connection, timeout_at(connection));
    int events = skua_poll(connection->fd, POLLIN | POLLOUT);
    connection->now_ns = skua_now();
    if (events == -ECANCELED)
        after_cancel(connection);
    else if (events < 0)
        lose(connection, LOADER_ERROR_IO);
    else if (events & POLLIN)
        receive(connection);
    else if (events & (POLLERR | POLLHUP))
        connection->mute = true;
}

/* Sends a part of what is to be sent. */
static void send_some(struct loader_connection *connection)
{
    struct iovec iov[GATHER_MAX * 2]; /* of up to two pieces each */
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = gather(connection, iov)};
    ssize_t n = skua_sendmsg(connection->fd, &message, MSG_DONTWAIT);
    if (n >= 0)
        note_sent(connection, (size_t)n);
    else if (n == -EAGAIN)
        wait_for_room(connection);
    else if (n == -ECANCELED)
        after_cancel(connection);
    else
        connection->mute = true; /* there may be an answer that says why */
}

/* ---- requests -------------------------------------------------------------------------------- */

static void begin(struct loader_connection *connection)
{
    const struct loader *loader = connection->loader;
    unsigned place = (connection->first + connection->count) % loader->options.pipeline;
    struct loader_slot *slot = &connection->slots[place];
    slot->due_ns = connection->ticket.due_ns;
    slot->counted = connection->ticket.counted;
    slot->begun_ns = connection->now_ns;
    if (loader->target.echo)
        slot->which = (uint32_t)(skua_loader_random(&connection->random) % LOADER_NOISE_PLACES);
    else
        slot->which = (uint32_t)(connection->next_head++ % loader->target.head_count);
    /* In a closed loop there was no pause. */
    if (connection->count == 0 && loader->schedule.gap_ns > 0)
        connection->rested = true;
    connection->count++;
    connection->has_ticket = false;
    if (!slot->counted)
        return;
    connection->counts.begun++;
    uint64_t late_ns = slot->begun_ns - slot->due_ns;
    connection->counts.late += late_ns > LOADER_LATE_NS;
    if (late_ns > connection->counts.late_max_ns)
        connection->counts.late_max_ns = late_ns;
}

/* Begins what is due and has room. */
static void begin_due(struct loader_connection *connection)
{
    struct loader *loader = connection->loader;
    while (connection->count < loader->options.pipeline) {
        if (!connection->has_ticket)
            connection->has_ticket = skua_loader_schedule_take(
                &loader->schedule, connection->now_ns, &connection->ticket);
        if (!connection->has_ticket || connection->ticket.due_ns > connection->now_ns)
            break;
        begin(connection);
    }
}

/* Returns false if there is nothing to do any more. */
static bool step(struct loader_connection *connection)
{
    begin_due(connection);
    if (connection->count == 0 && !connection->has_ticket)
        return false;
    if (connection->count == 0) {
        rest(connection, connection->ticket.due_ns);
        return !connection->stopped;
    }
    if (connection->fd >= 0 && connection->rested)
        look(connection);
    if (connection->fd < 0)
        reconnect(connection);
    else if (connection->sent < connection->count && !connection->mute)
        send_some(connection);
    else
        receive(connection);
    expire(connection);
    return !connection->stopped;
}

/* Tells what became of what has no outcome. */
static void account(struct loader_connection *connection)
{
    while (connection->count > 0)
        connection->counts.unfinished += pop(connection).counted;
    if (connection->has_ticket)
        connection->counts.unsent += connection->ticket.counted;
    pthread_mutex_lock(&connection->shard->lock);
    tell_bytes(connection);
    pthread_mutex_unlock(&connection->shard->lock);
}

/* Connects before the start, if requests do not each have a connection of their own. */
static void open_early(struct loader_connection *connection)
{
    struct loader *loader = connection->loader;
    if (loader->options.churn)
        return;
    if (connection->fd >= 0) {
        connection->connected_once = true;
        connection->counts.opened++;
        skua_loader_answer_reset(connection);
        return;
    }
    if (skua_semaphore_acquire(&loader->dialling) < 0)
        return;
    (void)dial(connection); /* the first request will try again */
    (void)skua_semaphore_release(&loader->dialling);
}

intptr_t skua_loader_connection_run(void *arg)
{
    struct loader_connection *connection = arg;
    struct loader *loader = connection->loader;
    connection->deadline_ns = SKUA_FOREVER;
    int rc = skua_scope_open(&connection->scope, &(skua_scope_options){.name = "connection"});
    if (rc == 0)
        open_early(connection);
    (void)skua_wait_group_done(&loader->opening);
    if (rc < 0)
        return rc;
    if (skua_event_wait(&loader->started) == 0 && !connection->stopped) {
        connection->now_ns = skua_now();
        connection->rested = true;
        while (step(connection)) {
        }
        account(connection);
    }
    close_connection(connection);
    (void)skua_scope_close(&connection->scope);
    return 0;
}
