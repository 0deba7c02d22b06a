/*
 * sim/network_datagram.c - datagrams: UDP's are lost, doubled, late and out of order, as their link
 * says; those of Unix sockets are not.
 */
#include "sim/network.h"

#include "platform/vthread.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#define DATAGRAM_BYTES_MAX 65507u
#define LATE_FACTOR 10u
#define OVERHEAD_BYTES 32u /* of one in a receiver's buffer */

void sim_datagrams_free(struct sim_datagram *first)
{
    while (first != NULL) {
        struct sim_datagram *next = first->next;
        free(first);
        first = next;
    }
}

/* ---- the buffers of an op -------------------------------------------------------------------- */

/* The buffers of @op as a message; what it has of its own for that is *@iov. */
static struct msghdr message_of(const skua_op *op, struct iovec *iov)
{
    if (op->code == SKUA_OP_SENDMSG || op->code == SKUA_OP_RECVMSG)
        return *(const struct msghdr *)op->addr;
    if (op->code == SKUA_OP_READV || op->code == SKUA_OP_WRITEV)
        return (struct msghdr){.msg_iov = op->addr, .msg_iovlen = op->len};
    *iov = (struct iovec){.iov_base = op->addr, .iov_len = op->len};
    return (struct msghdr){.msg_iov = iov, .msg_iovlen = 1};
}

static size_t size_of(const struct msghdr *message)
{
    size_t size = 0;
    for (size_t i = 0; i < message->msg_iovlen; i++)
        size += message->msg_iov[i].iov_len;
    return size;
}

/* ---- sending --------------------------------------------------------------------------------- */

/* Who gets a datagram from @from to @to; NULL: nobody. */
static struct sim_socket *receiver_of(const struct sim_network *net, const struct sim_name *from,
                                      const struct sim_name *to)
{
    struct sim_socket *found = NULL;
    for (struct sim_socket *s = net->sockets; s != NULL; s = s->next) {
        if (!s->is_datagram || s->fd < 0 || !sim_name_reaches(&s->own, s->domain, to))
            continue;
        if (s->state == SIM_CONNECTED && !sim_same_name(&s->peer_name, from))
            continue;
        if (found == NULL || s->state == SIM_CONNECTED)
            found = s;
    }
    return found;
}

/* Room for all of one: a datagram larger than the buffer would fit never. */
static bool has_room(const struct sim_network *net, const struct sim_socket *s)
{
    return s->received_bytes < net->options.buffer_bytes;
}

bool sim_datagram_can_send(const struct sim_network *net, const struct sim_socket *s)
{
    if (s->domain != AF_UNIX || s->state != SIM_CONNECTED)
        return true; /* without a connection a Unix datagram may find no room, as in Linux */
    const struct sim_socket *receiver = receiver_of(net, &s->own, &s->peer_name);
    return receiver == NULL || has_room(net, receiver);
}

/* @message's address, or that of the connection. 0, or -errno. */
static int64_t destination(struct sim_socket *s, const struct msghdr *message, struct sim_name *to)
{
    if (message->msg_name != NULL && message->msg_namelen > 0)
        return sim_name_read(to, s->domain, message->msg_name, message->msg_namelen);
    if (s->state != SIM_CONNECTED)
        return s->domain == AF_UNIX ? -ENOTCONN : -EDESTADDRREQ;
    *to = s->peer_name;
    return 0;
}

static struct sim_datagram *datagram_create(const struct sim_socket *s, const struct sim_name *to,
                                            const struct msghdr *message, size_t size)
{
    struct sim_datagram *made = malloc(sizeof(*made) + size);
    if (made == NULL)
        return NULL;
    *made = (struct sim_datagram){
        .sender = (struct sim_socket *)(uintptr_t)s, .from = s->own, .to = *to, .size = size};
    size_t at = 0;
    for (size_t i = 0; i < message->msg_iovlen; i++) {
        if (message->msg_iov[i].iov_len > 0)
            memcpy(made->bytes + at, message->msg_iov[i].iov_base, message->msg_iov[i].iov_len);
        at += message->msg_iov[i].iov_len;
    }
    return made;
}

static void receive(struct sim_socket *s, struct sim_datagram *datagram)
{
    struct sim_datagram **last = &s->received;
    while (*last != NULL)
        last = &(*last)->next;
    datagram->next = NULL;
    *last = datagram;
    s->received_bytes += datagram->size + OVERHEAD_BYTES;
    (void)send(s->fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Puts one on its way, unless it gets lost. */
static void put_on_way(struct sim_network *net, struct sim_datagram *datagram)
{
    struct sim_path *path = sim_path_of(net, &datagram->from, &datagram->to);
    if (path == NULL || skua_world_network_fault(net->world, SKUA_SIM_DATAGRAM_LOST,
                                                 path->link.losses_per_million, NULL)) {
        net->stats.packets++;
        net->stats.losses++;
        free(datagram);
        return;
    }
    datagram->due_ns = sim_path_send(net, path, datagram->size);
    uint64_t late_ns = LATE_FACTOR * (path->link.latency_ns + 1);
    if (skua_world_network_fault(net->world, SKUA_SIM_DATAGRAM_LATE, path->link.late_per_million,
                                 &late_ns))
        datagram->due_ns = sim_sum_ns(datagram->due_ns, late_ns);
    datagram->next = net->datagrams;
    net->datagrams = datagram;
}

/* There and then: the kernel's neither lose nor delay them. */
static int64_t send_unix(struct sim_network *net, struct sim_datagram *datagram)
{
    int64_t size = (int64_t)datagram->size;
    struct sim_socket *receiver = receiver_of(net, &datagram->from, &datagram->to);
    if (receiver != NULL && has_room(net, receiver)) {
        net->stats.packets++;
        receive(receiver, datagram);
        return size;
    }
    free(datagram);
    return receiver == NULL ? -ECONNREFUSED : -EAGAIN;
}

int64_t sim_datagram_send(struct sim_network *net, struct sim_socket *s, const skua_op *op)
{
    struct iovec iov;
    struct sim_name to;
    const struct msghdr message = message_of(op, &iov);
    size_t size = size_of(&message);
    if (s->error != 0)
        return sim_socket_take_error(s);
    int64_t rc = destination(s, &message, &to);
    if (rc == 0 && size > DATAGRAM_BYTES_MAX)
        rc = -EMSGSIZE;
    if (rc == 0 && s->domain != AF_UNIX)
        rc = sim_socket_bind_any(net, s, &to);
    if (rc < 0)
        return rc;
    struct sim_datagram *datagram = datagram_create(s, &to, &message, size);
    if (datagram == NULL)
        return -ENOBUFS;
    if (s->domain == AF_UNIX)
        return send_unix(net, datagram);
    const struct sim_path *path = sim_path_of(net, &datagram->from, &to);
    if (path != NULL && skua_world_network_fault(net->world, SKUA_SIM_DATAGRAM_DOUBLED,
                                                 path->link.duplicates_per_million, NULL)) {
        struct sim_datagram *twin = datagram_create(s, &to, &message, size);
        if (twin != NULL)
            put_on_way(net, twin);
    }
    put_on_way(net, datagram);
    return (int64_t)size;
}

/* ---- arriving -------------------------------------------------------------------------------- */

static void arrive(struct sim_network *net, struct sim_datagram *datagram)
{
    bool is_cut = sim_is_cut(net, &datagram->from, &datagram->to);
    struct sim_socket *receiver = receiver_of(net, &datagram->from, &datagram->to);
    skua_world_trace(net->world, datagram->due_ns ^ datagram->size << 1 ^ (uint64_t)is_cut);
    if (!is_cut && receiver != NULL && has_room(net, receiver)) {
        receive(receiver, datagram);
        return;
    }
    net->stats.losses++;
    /* "Port unreachable" is told to who has a connection. */
    if (!is_cut && receiver == NULL && datagram->sender->state == SIM_CONNECTED)
        datagram->sender->error = ECONNREFUSED;
    free(datagram);
}

/* The first that is due, out of the list; of those due at once the one sent last. */
static struct sim_datagram *take_due(struct sim_network *net, uint64_t now_ns)
{
    struct sim_datagram **first = NULL;
    for (struct sim_datagram **at = &net->datagrams; *at != NULL; at = &(*at)->next) {
        if ((*at)->due_ns <= now_ns && (first == NULL || (*at)->due_ns < (*first)->due_ns))
            first = at;
    }
    if (first == NULL)
        return NULL;
    struct sim_datagram *taken = *first;
    *first = taken->next;
    return taken;
}

void sim_datagrams_deliver(struct sim_network *net, uint64_t now_ns)
{
    struct sim_datagram *datagram;
    while ((datagram = take_due(net, now_ns)) != NULL)
        arrive(net, datagram);
}

uint64_t sim_datagrams_next(const struct sim_network *net)
{
    uint64_t next_ns = UINT64_MAX;
    for (const struct sim_datagram *at = net->datagrams; at != NULL; at = at->next)
        next_ns = skua_min(next_ns, at->due_ns);
    return next_ns;
}

/* ---- receiving ------------------------------------------------------------------------------- */

static size_t copy_out(const struct sim_datagram *datagram, const struct msghdr *message)
{
    size_t at = 0;
    for (size_t i = 0; i < message->msg_iovlen && at < datagram->size; i++) {
        size_t part = skua_min(message->msg_iov[i].iov_len, datagram->size - at);
        if (part > 0)
            memcpy(message->msg_iov[i].iov_base, datagram->bytes + at, part);
        at += part;
    }
    return at;
}

/* A RECVMSG tells more than the bytes. */
static void fill_header(const struct sim_socket *s, const struct sim_datagram *datagram,
                        struct msghdr *message, bool is_cut_short)
{
    if (message->msg_name != NULL)
        sim_name_write(&datagram->from, s->domain, message->msg_name, &message->msg_namelen);
    message->msg_controllen = 0;
    message->msg_flags = is_cut_short ? MSG_TRUNC : 0;
}

int64_t sim_datagram_receive(struct sim_socket *s, const skua_op *op)
{
    struct iovec iov;
    char token;
    struct sim_datagram *datagram = s->received;
    const struct msghdr message = message_of(op, &iov);
    bool has_flags = op->code == SKUA_OP_RECV || op->code == SKUA_OP_RECVMSG;
    int flags = has_flags ? (int)op->flags : 0;
    if (s->error != 0)
        return sim_socket_take_error(s);
    if (datagram == NULL)
        return s->ignores_input ? 0 : -EAGAIN;
    size_t copied = copy_out(datagram, &message);
    size_t size = datagram->size;
    if (op->code == SKUA_OP_RECVMSG)
        fill_header(s, datagram, op->addr, copied < size);
    if ((flags & MSG_PEEK) == 0) {
        s->received = datagram->next;
        s->received_bytes -= size + OVERHEAD_BYTES;
        (void)recv(op->fd, &token, 1, MSG_DONTWAIT);
        free(datagram);
    }
    return (int64_t)((flags & MSG_TRUNC) != 0 ? size : copied);
}
