/*
 * sim/network_wire.c - streams: connecting, and packets between two ends.
 *
 * ORDER   What an end sends arrives in order: bytes, the end, a reset. A packet waits for those
 *         before it, whenever it would have arrived itself. A cut holds up the first that is due,
 *         and with it all behind it; when it is healed what was due is sent again.
 *
 * WINDOW  An end has room for so many bytes that the program has not read: those on their way to it
 *         count, and those delivered. What the program reads is seen where it goes through the
 *         library; otherwise when it has read all there is.
 *
 * MUST STAY TRUE  The network's end is closed once nothing can come or go any more, or the
 *         connection is reset. The kernel then ends the program's end likewise: it reads what has
 *         been delivered, and then the end; who writes gets EPIPE.
 */
#include "sim/network.h"

#include "platform/vthread.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define PACKET_BYTES 4096u
#define SYN_AGAIN_NS SKUA_NS_PER_SEC /* a listener without room does not answer */

/* ---- packets --------------------------------------------------------------------------------- */

void sim_packets_drop(struct sim_socket *s)
{
    while (s->packets != NULL) {
        struct sim_packet *packet = s->packets;
        s->packets = packet->next;
        free(packet);
    }
    s->last_packet = &s->packets;
    s->in_flight = 0;
}

void sim_packet_send(struct sim_network *net, struct sim_socket *from, enum sim_packet_kind kind,
                     const void *bytes, size_t size)
{
    struct sim_packet *packet = malloc(sizeof(*packet) + size);
    struct sim_path *path = sim_path_of(net, &from->own, &from->peer_name);
    if (packet == NULL || path == NULL) { /* the tests' machine has none: not what is simulated */
        free(packet);
        sim_reset_connection(net, from);
        return;
    }
    uint64_t due_ns = sim_path_send(net, path, size);
    *packet = (struct sim_packet){.due_ns = due_ns, .kind = kind, .size = size};
    if (size > 0)
        memcpy(packet->bytes, bytes, size);
    from->in_flight += size;
    sim_socket_list(net, from);
    *from->last_packet = packet;
    from->last_packet = &packet->next;
}

/* What is on its way from there is sent anew, for a cut link let nothing through. */
static void resend(struct sim_network *net, struct sim_socket *s)
{
    struct sim_path *path = sim_path_of(net, &s->own, &s->peer_name);
    for (struct sim_packet *at = s->packets; at != NULL && path != NULL; at = at->next) {
        if (at->due_ns <= skua_vthread_now())
            at->due_ns = sim_path_send(net, path, at->size);
    }
    if (s->state == SIM_CONNECTING && path != NULL && s->step_ns <= skua_vthread_now())
        s->step_ns = sim_path_send(net, path, 0);
}

void sim_packets_resend(struct sim_network *net)
{
    for (struct sim_socket *s = net->sockets; s != NULL; s = s->next) {
        bool waits = s->packets != NULL || s->state == SIM_CONNECTING;
        if (waits && !sim_is_cut(net, &s->own, &s->peer_name))
            resend(net, s);
    }
}

/* ---- resets ---------------------------------------------------------------------------------- */

/* @s learns of a reset. */
static void reset_end(struct sim_network *net, struct sim_socket *s)
{
    sim_packets_drop(s);
    if (s->state == SIM_OVER)
        return; /* both directions were over, or the program has closed it */
    net->stats.resets++;
    sim_socket_over(net, s, ECONNRESET);
}

void sim_reset_connection(struct sim_network *net, struct sim_socket *s)
{
    struct sim_socket *peer = s->peer;
    reset_end(net, s);
    if (peer != NULL)
        reset_end(net, peer);
}

/* The program has closed @s with bytes unread or to come: the peer is told when that arrives. */
static void abort_end(struct sim_network *net, struct sim_socket *s)
{
    sim_packets_drop(s);
    sim_socket_over(net, s, 0);
    if (s->peer != NULL)
        sim_packet_send(net, s, SIM_RST, NULL, 0);
}

/* ---- connecting ------------------------------------------------------------------------------ */

/* Who listens at @to; if several share the port, one of them. */
static struct sim_socket *listener_of(struct sim_network *net, const struct sim_name *to)
{
    struct sim_socket *found = NULL;
    unsigned count = 0;
    for (struct sim_socket *s = net->sockets; s != NULL; s = s->next) {
        if (s->state != SIM_LISTENING || !sim_name_reaches(&s->own, s->domain, to))
            continue;
        if (skua_world_random(net->world, ++count) == 0)
            found = s;
    }
    return found;
}

/* The other end of @client, in the backlog of @listener. NULL: there is no room. */
static struct sim_socket *join(struct sim_network *net, struct sim_socket *listener,
                               struct sim_socket *client)
{
    int program_fd;
    if (listener->waiting > listener->backlog)
        return NULL;
    struct sim_socket *made = sim_socket_create(net, listener->domain, SOCK_STREAM, &program_fd);
    if (made == NULL)
        return NULL;
    made->program_fd = program_fd;
    made->state = SIM_CONNECTED;
    made->is_accepted = true;
    made->own = client->peer_name;
    made->peer_name = client->own;
    made->peer = client;
    client->peer = made;
    struct sim_socket **last = &listener->first_waiting;
    while (*last != NULL)
        last = &(*last)->next_waiting;
    *last = made;
    listener->waiting++;
    net->stats.connections++;
    (void)send(listener->fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    return made;
}

static void connected(struct sim_socket *s)
{
    s->state = SIM_CONNECTED;
    sim_socket_uncork(s);
}

static void failed(struct sim_network *net, struct sim_socket *s, int error)
{
    net->stats.refusals += error == ECONNREFUSED;
    sim_socket_uncork(s);
    s->state = SIM_NEW; /* it may be tried again */
    s->error = error;
    struct sim_socket *peer = s->peer;
    s->peer = NULL;
    if (peer != NULL)
        reset_end(net, peer);
}

static int connect_unix(struct sim_network *net, struct sim_socket *s)
{
    struct sim_socket *listener = listener_of(net, &s->peer_name);
    s->state = SIM_NEW;
    if (listener == NULL)
        return -ECONNREFUSED;
    if (join(net, listener, s) == NULL)
        return -EAGAIN;
    connected(s);
    return 0;
}

int sim_connect_begin(struct sim_network *net, struct sim_socket *s, const struct sim_name *to)
{
    s->peer_name = *to;
    if (sim_name_is_wildcard(to))
        sim_name_loopback(&s->peer_name); /* as Linux takes it */
    if (s->domain == AF_UNIX)
        return connect_unix(net, s);
    int rc = sim_socket_bind_any(net, s, &s->peer_name);
    struct sim_path *path = rc == 0 ? sim_path_of(net, &s->own, &s->peer_name) : NULL;
    if (path == NULL)
        return rc < 0 ? rc : -ENOMEM;
    s->state = SIM_CONNECTING;
    s->is_connect_told = false;
    s->is_answered = false;
    s->answer = 0;
    s->timeout_ns = skua_vthread_now() + net->options.connect_timeout_ns;
    s->step_ns = sim_path_send(net, path, 0);
    if (skua_world_network_fault(net->world, SKUA_SIM_CONNECT_UNANSWERED,
                                 net->options.unanswered_per_million, NULL))
        s->step_ns = UINT64_MAX;
    return 0;
}

/* The first packet of a connect has arrived. */
static void answer(struct sim_network *net, struct sim_socket *s)
{
    struct sim_socket *listener = listener_of(net, &s->peer_name);
    struct sim_path *back = sim_path_of(net, &s->peer_name, &s->own);
    struct sim_socket *made = NULL;
    bool is_refused =
        listener == NULL || skua_world_network_fault(net->world, SKUA_SIM_CONNECT_REFUSED,
                                                     net->options.refusals_per_million, NULL);
    if (!is_refused)
        made = join(net, listener, s);
    if ((!is_refused && made == NULL) || back == NULL) {
        s->step_ns = skua_vthread_now() + SYN_AGAIN_NS;
        return;
    }
    s->is_answered = true;
    s->answer = is_refused ? ECONNREFUSED : 0;
    s->step_ns = sim_path_send(net, back, 0);
}

static void step_connect(struct sim_network *net, struct sim_socket *s, uint64_t now_ns)
{
    if (s->timeout_ns <= now_ns) {
        failed(net, s, ETIMEDOUT);
    } else if (s->step_ns <= now_ns && !sim_is_cut(net, &s->own, &s->peer_name)) {
        if (!s->is_answered)
            answer(net, s);
        else if (s->answer != 0)
            failed(net, s, s->answer);
        else
            connected(s);
    }
}

/* ---- from the program to the network --------------------------------------------------------- */

static size_t bytes_in(int fd)
{
    int count = 0;
    return ioctl(fd, FIONREAD, &count) == 0 ? (size_t)count : 0;
}

/* How many more bytes may be on their way to @to. */
static size_t window_of(const struct sim_network *net, const struct sim_socket *from)
{
    struct sim_socket *to = from->peer;
    int memory = 1;
    size_t size = net->options.buffer_bytes;
    if (to == NULL || to->fd < 0)
        return size;
    if (from->in_flight + to->unread >= size && ioctl(to->fd, SIOCOUTQ, &memory) == 0 &&
        memory == 0)
        to->unread = 0; /* read, by other ways than the library's */
    size_t used = from->in_flight + to->unread;
    return used < size ? size - used : 0;
}

static void read_stream(struct sim_network *net, struct sim_socket *s)
{
    unsigned char bytes[PACKET_BYTES];
    while (s->fd >= 0 && !s->has_sent_fin) { /* ends with what the kernel holds */
        size_t window = window_of(net, s);
        if (window == 0 && bytes_in(s->fd) > 0)
            return;
        ssize_t n =
            recv(s->fd, bytes, skua_max(skua_min(window, sizeof(bytes)), (size_t)1), MSG_DONTWAIT);
        if (n < 0 && errno != ECONNRESET)
            return;
        if (n > 0) {
            if (skua_world_network_fault(net->world, SKUA_SIM_CONNECTION_RESET,
                                         net->options.resets_per_million, NULL))
                sim_reset_connection(net, s);
            else
                sim_packet_send(net, s, SIM_DATA, bytes, (size_t)n);
        } else if (n == 0) {
            s->has_sent_fin = true;
            sim_packet_send(net, s, SIM_FIN, NULL, 0);
        } else {
            abort_end(net, s);
        }
    }
}

/* The program has closed a listener: who was not accepted is reset. */
static void close_listener(struct sim_network *net, struct sim_socket *s)
{
    while (s->first_waiting != NULL) {
        struct sim_socket *waiting = s->first_waiting;
        s->first_waiting = waiting->next_waiting;
        (void)close(waiting->program_fd);
        waiting->program_fd = -1;
        if (waiting->state != SIM_OVER)
            abort_end(net, waiting);
    }
    s->waiting = 0;
    sim_socket_over(net, s, 0);
}

static void pick_up(struct sim_network *net, struct sim_socket *s, short events)
{
    bool has_hung_up = (events & POLLHUP) != 0;
    if (s->state == SIM_CONNECTED && !s->is_datagram)
        read_stream(net, s);
    if (!has_hung_up || s->fd < 0)
        return;
    if (s->state == SIM_LISTENING) {
        close_listener(net, s);
    } else if (s->state == SIM_CONNECTING) {
        failed(net, s, ECONNABORTED);
        sim_socket_over(net, s, 0);
    } else if (s->state == SIM_CONNECTED && !s->is_datagram) {
        if (s->has_sent_fin) /* and got one, or been closed: bytes that come make a reset */
            sim_socket_over(net, s, 0);
    } else {
        sim_socket_over(net, s, 0);
    }
}

/* False: no memory. */
static bool make_room(struct sim_network *net)
{
    if (net->open_count <= net->polled_capacity)
        return true;
    size_t capacity = 2 * net->open_count;
    struct pollfd *polled = realloc(net->polled, capacity * sizeof(*polled));
    if (polled == NULL)
        return false;
    net->polled = polled;
    struct sim_socket **sockets =
        realloc(net->polled_sockets, capacity * sizeof(struct sim_socket *));
    if (sockets == NULL)
        return false;
    net->polled_sockets = sockets;
    net->polled_capacity = capacity;
    return true;
}

/* A socket that is over, until it has something to send. */
static void unlist(struct sim_network *net, struct sim_socket **at)
{
    struct sim_socket *s = *at;
    *at = s->next;
    s->is_listed = false;
    if (net->last_socket == &s->next)
        net->last_socket = at;
}

void sim_wire_pick_up(struct sim_network *net)
{
    size_t count = 0;
    if (net->open_count == 0 || !make_room(net))
        return;
    for (struct sim_socket **at = &net->sockets; *at != NULL;) {
        struct sim_socket *s = *at;
        if (s->state == SIM_OVER && s->packets == NULL) {
            unlist(net, at);
            continue;
        }
        at = &s->next;
        if (s->fd < 0)
            continue;
        bool reads = s->state == SIM_CONNECTED && !s->is_datagram && !s->has_sent_fin;
        net->polled[count] = (struct pollfd){.fd = s->fd, .events = reads ? POLLIN : 0};
        net->polled_sockets[count++] = s;
    }
    if (poll(net->polled, count, 0) <= 0)
        return;
    for (size_t i = 0; i < count; i++) {
        struct sim_socket *s = net->polled_sockets[i];
        if (net->polled[i].revents != 0 && s->fd == net->polled[i].fd)
            pick_up(net, s, net->polled[i].revents);
    }
}

/* ---- from the network to the program --------------------------------------------------------- */

static void drop_first(struct sim_socket *s)
{
    struct sim_packet *packet = s->packets;
    s->packets = packet->next;
    s->in_flight -= packet->size;
    if (s->packets == NULL)
        s->last_packet = &s->packets;
    free(packet);
}

/* False: the kernel has no room for the rest. */
static bool deliver_bytes(struct sim_network *net, struct sim_socket *to, struct sim_packet *packet)
{
    if (to->ignores_input)
        return true;
    ssize_t n = to->fd < 0 ? -1
                           : send(to->fd, packet->bytes + packet->at, packet->size - packet->at,
                                  MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && to->fd >= 0 && errno == EAGAIN)
        n = 0;
    if (n < 0) { /* nobody is there any more */
        if (to->state != SIM_OVER)
            abort_end(net, to);
        else if (to->packets == NULL)
            sim_packet_send(net, to, SIM_RST, NULL, 0);
        return true;
    }
    to->unread += (size_t)n;
    to->may_be_readable = true;
    packet->at += (size_t)n;
    packet->due_ns = skua_vthread_now() + SIM_RETRY_NS; /* of the rest */
    return packet->at == packet->size;
}

static void deliver(struct sim_network *net, struct sim_socket *from)
{
    struct sim_packet *packet = from->packets;
    struct sim_socket *to = from->peer;
    skua_world_trace(net->world, packet->due_ns ^ (uint64_t)packet->kind << 60 ^ packet->size);
    if (to == NULL) {
        drop_first(from);
        return;
    }
    switch (packet->kind) {
    case SIM_DATA:
        if (!deliver_bytes(net, to, packet))
            return;
        break;
    case SIM_FIN:
        to->may_be_readable = true;
        if (to->fd >= 0)
            (void)shutdown(to->fd, SHUT_WR);
        break;
    case SIM_RST:
        reset_end(net, to);
        break;
    }
    if (from->packets == packet) /* no reset has dropped it */
        drop_first(from);
}

/* The socket whose packet, or connect, is the first that is due; NULL: none by then. */
static struct sim_socket *first_due(const struct sim_network *net, uint64_t *due_ns)
{
    struct sim_socket *first = NULL;
    for (struct sim_socket *s = net->sockets; s != NULL; s = s->next) {
        uint64_t at_ns = UINT64_MAX;
        if (s->packets == NULL && s->state != SIM_CONNECTING)
            continue;
        bool is_cut = sim_is_cut(net, &s->own, &s->peer_name);
        if (s->packets != NULL && !is_cut)
            at_ns = s->packets->due_ns;
        if (s->state == SIM_CONNECTING)
            at_ns = skua_min(is_cut ? UINT64_MAX : s->step_ns, s->timeout_ns);
        if (at_ns >= *due_ns)
            continue;
        first = s;
        *due_ns = at_ns;
    }
    return first;
}

void sim_wire_deliver(struct sim_network *net, uint64_t now_ns)
{
    for (;;) { /* ends with what is due now: what is sent meanwhile is due later */
        uint64_t due_ns = now_ns + 1;
        struct sim_socket *s = first_due(net, &due_ns);
        if (s == NULL)
            return;
        if (s->state == SIM_CONNECTING)
            step_connect(net, s, now_ns);
        else
            deliver(net, s);
    }
}

uint64_t sim_wire_next(const struct sim_network *net)
{
    uint64_t due_ns = UINT64_MAX;
    (void)first_due(net, &due_ns);
    return due_ns;
}
