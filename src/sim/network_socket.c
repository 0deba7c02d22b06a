/*
 * sim/network_socket.c - simulated sockets: their pairs, the calls of io/net_call.h, and the ops.
 *
 * READY   What a stream's program's end is ready for the kernel knows, but for room to write, of
 *         which the simulated buffer has less. A connect under way fills the pair with junk if the
 *         program polls for its end by itself (epoll(7) in io/dial.c): a full pair is not ready to
 *         be written.
 */
#include "sim/network.h"

#include "io/op_blocking.h"
#include "platform/vthread.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define JUNK_BYTES 16384u
#define PIECE_BYTES ((size_t)4096) /* what the kernel takes of one send, if it is ready */
#define PORTS_LAST 60999u

/* ---- sockets --------------------------------------------------------------------------------- */

/* 0: none. */
static ino_t inode_of(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode) ? status.st_ino : 0;
}

struct sim_socket *sim_socket_find(struct sim_network *net, int fd)
{
    ino_t inode = net != NULL ? inode_of(fd) : 0;
    if (inode == 0)
        return NULL;
    struct sim_socket *s = net->buckets[inode % SIM_BUCKETS];
    while (s != NULL && s->inode != inode)
        s = s->next_in_bucket;
    return s;
}

void sim_socket_list(struct sim_network *net, struct sim_socket *s)
{
    if (s->is_listed)
        return;
    s->is_listed = true;
    s->next = NULL;
    *net->last_socket = s;
    net->last_socket = &s->next;
}

struct sim_socket *sim_socket_create(struct sim_network *net, int domain, int type, int *program_fd)
{
    int pair[2];
    struct sim_socket *s = calloc(1, sizeof(*s));
    if (s == NULL || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        *program_fd = s == NULL ? -ENOMEM : -errno;
        free(s);
        return NULL;
    }
    if ((type & SOCK_NONBLOCK) != 0)
        (void)fcntl(pair[0], F_SETFL, O_NONBLOCK);
    *program_fd = pair[0];
    s->fd = pair[1];
    s->inode = inode_of(pair[0]);
    s->domain = domain;
    s->is_datagram = (type & SOCK_DGRAM) == SOCK_DGRAM;
    s->program_fd = -1;
    s->last_packet = &s->packets;
    s->own.family = domain == AF_UNIX ? AF_UNIX : AF_INET;
    s->own.size = domain == AF_UNIX ? 0 : 16;
    if (domain == AF_INET)
        memset(s->own.host + 10, 0xff, 2);
    s->peer_name.family = AF_UNSPEC;
    struct sim_socket **bucket = &net->buckets[s->inode % SIM_BUCKETS];
    s->next_in_bucket = *bucket;
    *bucket = s;
    sim_socket_list(net, s);
    net->open_count++;
    return s;
}

void sim_socket_over(struct sim_network *net, struct sim_socket *s, int error)
{
    if (s->fd >= 0) {
        (void)close(s->fd);
        s->fd = -1;
        net->open_count--;
    }
    s->state = SIM_OVER;
    s->may_be_readable = true; /* the end */
    if (error != 0)
        s->error = error;
}

void sim_socket_uncork(struct sim_socket *s)
{
    char junk[JUNK_BYTES];
    if (s->is_corked) {
        while (recv(s->fd, junk, sizeof(junk), MSG_DONTWAIT) > 0) {
        }
    }
    s->is_corked = false;
}

static bool can_write(int fd)
{
    struct pollfd entry = {.fd = fd, .events = POLLOUT};
    return poll(&entry, 1, 0) > 0;
}

/* @fd is the program's end. */
static void cork(struct sim_socket *s, int fd)
{
    static const char junk[JUNK_BYTES];
    s->is_corked = true;
    while (can_write(fd) && send(fd, junk, sizeof(junk), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
    }
}

int sim_socket_take_error(struct sim_socket *s)
{
    int error = s->error;
    s->error = 0;
    return -error;
}

/* ---- addresses ------------------------------------------------------------------------------- */

static bool is_bound(const struct sim_socket *s)
{
    return s->domain == AF_UNIX ? s->own.size > 0 : s->own.port != 0;
}

static bool is_taken_by(const struct sim_socket *other, const struct sim_socket *s,
                        const struct sim_name *name)
{
    return other != s && other->fd >= 0 && !other->is_accepted &&
           other->is_datagram == s->is_datagram && is_bound(other) &&
           !(other->shares_port && s->shares_port) &&
           (sim_name_reaches(&other->own, other->domain, name) ||
            sim_name_reaches(name, s->domain, &other->own));
}

static bool is_taken(struct sim_network *net, const struct sim_socket *s,
                     const struct sim_name *name)
{
    for (int look = 0; look < 2; look++) {
        const struct sim_socket *other = net->sockets;
        while (other != NULL && !is_taken_by(other, s, name))
            other = other->next;
        if (other == NULL)
            return false;
        if (look == 0)
            sim_wire_pick_up(net); /* it may have been closed */
    }
    return true;
}

/* A port nobody has. 0; -EADDRINUSE. */
static int choose_port(struct sim_network *net, const struct sim_socket *s, struct sim_name *name)
{
    for (unsigned tries = 0; tries < PORTS_LAST; tries++) {
        name->port = net->next_port;
        net->next_port = net->next_port < PORTS_LAST ? (uint16_t)(net->next_port + 1) : 32768;
        if (!is_taken(net, s, name))
            return 0;
    }
    return -EADDRINUSE;
}

int sim_socket_bind_any(struct sim_network *net, struct sim_socket *s, const struct sim_name *to)
{
    struct sim_name own = s->own;
    if (sim_name_is_wildcard(&own))
        sim_name_default(&own, to);
    int rc = own.port == 0 ? choose_port(net, s, &own) : 0;
    if (rc == 0)
        s->own = own;
    return rc;
}

/* The file of a Unix socket; an abstract name has none. */
static int make_file(const struct sim_name *name)
{
    char path[SIM_HOST_BYTES + 1] = {0};
    if (name->host[0] == '\0')
        return 0;
    memcpy(path, name->host, name->size);
    if (mknod(path, S_IFSOCK | 0777, 0) == 0)
        return 0;
    return errno == EEXIST ? -EADDRINUSE : -errno;
}

static int bind_unix(struct sim_network *net, struct sim_socket *s, struct sim_name *name)
{
    if (name->size == 0) { /* unix(7): autobind */
        char text[8];
        (void)snprintf(text, sizeof(text), "%05x", net->next_name++);
        memcpy(name->host + 1, text, 5);
        name->size = 6;
    }
    if (name->host[0] == '\0' && is_taken(net, s, name))
        return -EADDRINUSE;
    int rc = make_file(name);
    if (rc == 0)
        s->own = *name;
    return rc;
}

static int call_bind(struct sim_network *net, struct sim_socket *s,
                     const struct skua_net_call *call)
{
    struct sim_name name;
    if (is_bound(s) || s->state != SIM_NEW)
        return -EINVAL;
    int rc = sim_name_read(&name, s->domain, call->data, call->data_size);
    if (rc < 0)
        return rc;
    if (s->domain == AF_UNIX)
        return bind_unix(net, s, &name);
    if (name.port == 0)
        rc = choose_port(net, s, &name);
    else if (is_taken(net, s, &name))
        rc = -EADDRINUSE;
    if (rc == 0)
        s->own = name;
    return rc;
}

/* ---- the other calls ------------------------------------------------------------------------- */

static int call_listen(struct sim_network *net, struct sim_socket *s, int backlog)
{
    if (s->is_datagram)
        return -EOPNOTSUPP;
    if (s->state != SIM_NEW && s->state != SIM_LISTENING)
        return -EINVAL;
    if (!is_bound(s)) {
        int rc = s->domain == AF_UNIX ? -EINVAL : choose_port(net, s, &s->own);
        if (rc < 0)
            return rc;
    }
    s->state = SIM_LISTENING;
    s->backlog = backlog < 0 ? 0 : (unsigned)backlog;
    return 0;
}

/* A path without a file: nobody can be there. */
static bool is_path_missing(const struct sim_name *name)
{
    struct stat status;
    char path[SIM_HOST_BYTES + 1] = {0};
    memcpy(path, name->host, name->size);
    return name->family == AF_UNIX && path[0] != '\0' && stat(path, &status) < 0;
}

static int connect_datagram(struct sim_network *net, struct sim_socket *s,
                            const struct sim_name *to)
{
    int rc = s->domain == AF_UNIX ? 0 : sim_socket_bind_any(net, s, to);
    if (rc < 0)
        return rc;
    s->peer_name = *to;
    s->state = SIM_CONNECTED;
    return 0;
}

/* Begins a connect, or tells of one that has been begun. -EINPROGRESS: it goes on. */
static int connect_now(struct sim_network *net, struct sim_socket *s, const void *address,
                       socklen_t size)
{
    struct sim_name to;
    if (s->error != 0 && (s->state == SIM_NEW || s->state == SIM_OVER))
        return sim_socket_take_error(s);
    if (s->state == SIM_LISTENING || s->state == SIM_OVER)
        return s->state == SIM_OVER ? -EISCONN : -EINVAL;
    if (s->state == SIM_CONNECTING)
        return -EINPROGRESS;
    if (s->state == SIM_CONNECTED && !s->is_datagram) {
        bool was_told = s->is_connect_told || s->is_accepted;
        s->is_connect_told = true;
        return was_told ? -EISCONN : 0;
    }
    int rc = sim_name_read(&to, s->domain, address, size);
    if (rc < 0)
        return rc;
    if (is_path_missing(&to))
        return -ENOENT;
    if (s->is_datagram)
        return connect_datagram(net, s, &to);
    rc = sim_connect_begin(net, s, &to);
    if (rc == 0 && s->state == SIM_CONNECTED)
        s->is_connect_told = true;
    return rc == 0 && s->state == SIM_CONNECTING ? -EINPROGRESS : rc;
}

/* The call does not wait, though the descriptor may block: only dialling makes it, and does not. */
static int call_connect(struct sim_network *net, struct sim_socket *s,
                        const struct skua_net_call *call)
{
    bool was_connecting = s->state == SIM_CONNECTING;
    int rc = connect_now(net, s, call->data, call->data_size);
    if (rc == -EINPROGRESS && !was_connecting)
        cork(s, call->fd);
    return was_connecting && rc == -EINPROGRESS ? -EALREADY : rc;
}

/* A descriptor; -EAGAIN: nobody waits. */
static int accept_now(struct sim_socket *s, int fd, void *address, socklen_t *size, int flags)
{
    char token;
    struct sim_socket *first = s->first_waiting;
    if (s->state != SIM_LISTENING)
        return -EINVAL;
    if (first == NULL)
        return -EAGAIN;
    s->first_waiting = first->next_waiting;
    s->waiting--;
    (void)recv(fd, &token, 1, MSG_DONTWAIT);
    int accepted = first->program_fd;
    first->program_fd = -1;
    if ((flags & SOCK_NONBLOCK) != 0)
        (void)fcntl(accepted, F_SETFL, O_NONBLOCK);
    if (address != NULL)
        sim_name_write(&first->peer_name, s->domain, address, size);
    return accepted;
}

static int call_shutdown(struct sim_socket *s, int fd, int how)
{
    if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR)
        return -EINVAL;
    if (s->state != SIM_CONNECTED && s->state != SIM_LISTENING && s->state != SIM_OVER)
        return -ENOTCONN;
    if (s->state == SIM_LISTENING && how != SHUT_WR)
        how = SHUT_RDWR; /* the network sees it as closed */
    if (how != SHUT_WR)
        s->ignores_input = s->may_be_readable = true;
    return shutdown(fd, how) < 0 ? -errno : 0;
}

static int call_get_option(struct sim_socket *s, const struct skua_net_call *call)
{
    int *value = call->data;
    if (call->numbers[0] != SOL_SOCKET)
        return -ENOPROTOOPT;
    switch (call->numbers[1]) {
    case SO_ERROR:
        *value = -sim_socket_take_error(s);
        return 0;
    case SO_ACCEPTCONN:
        *value = s->state == SIM_LISTENING;
        return 0;
    case SO_TYPE:
        *value = s->is_datagram ? SOCK_DGRAM : SOCK_STREAM;
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

/* Those that mean something here do; the others do no harm. */
static int call_set_option(struct sim_socket *s, const struct skua_net_call *call)
{
    if (call->numbers[0] == SOL_SOCKET && call->numbers[1] == SO_REUSEPORT)
        s->shares_port = *(const int *)call->data != 0;
    return call->numbers[0] == IPPROTO_TCP && s->domain == AF_UNIX ? -EOPNOTSUPP : 0;
}

static int call_name(const struct sim_socket *s, const struct skua_net_call *call)
{
    bool is_peers = call->code == SKUA_NET_PEER;
    if (is_peers && s->peer_name.family == AF_UNSPEC)
        return -ENOTCONN;
    sim_name_write(is_peers ? &s->peer_name : &s->own, s->domain, call->data, call->size);
    return 0;
}

/* Whether the network makes such sockets. */
static bool is_simulated(const struct skua_world *world, const int numbers[3])
{
    int type = numbers[1] & ~(SOCK_CLOEXEC | SOCK_NONBLOCK);
    bool has_unix = world->options.network != NULL && world->options.network->has_unix;
    if (type != SOCK_STREAM && type != SOCK_DGRAM)
        return false;
    return numbers[0] == AF_INET || numbers[0] == AF_INET6 || (numbers[0] == AF_UNIX && has_unix);
}

static int call_socket(struct sim_network *net, const int numbers[3])
{
    int fd = skua_world_descriptor_fault(net->world); /* or an error */
    if (fd == 0)
        (void)sim_socket_create(net, numbers[0], numbers[1], &fd);
    return fd;
}

static int make_call(struct sim_network *net, struct sim_socket *s,
                     const struct skua_net_call *call)
{
    switch (call->code) {
    case SKUA_NET_SOCKET:
        return call_socket(net, call->numbers);
    case SKUA_NET_BIND:
        return call_bind(net, s, call);
    case SKUA_NET_LISTEN:
        return call_listen(net, s, call->numbers[0]);
    case SKUA_NET_CONNECT:
        return call_connect(net, s, call);
    case SKUA_NET_ACCEPT: {
        int rc = s->first_waiting != NULL ? skua_world_descriptor_fault(net->world) : 0;
        return rc < 0 ? rc : accept_now(s, call->fd, call->data, call->size, call->numbers[0]);
    }
    case SKUA_NET_SHUTDOWN:
        return call_shutdown(s, call->fd, call->numbers[0]);
    case SKUA_NET_NAME:
    case SKUA_NET_PEER:
        return call_name(s, call);
    case SKUA_NET_GET_OPTION:
        return call_get_option(s, call);
    case SKUA_NET_SET_OPTION:
        return call_set_option(s, call);
    }
    return -EINVAL;
}

bool skua_network_call(struct skua_net_call *call)
{
    struct skua_world *world = skua_sim_world();
    int saved_errno = errno;
    struct sim_socket *s = NULL;
    if (call->code == SKUA_NET_SOCKET ? !is_simulated(world, call->numbers)
                                      : (s = sim_socket_find(world->network, call->fd)) == NULL) {
        errno = saved_errno;
        return false;
    }
    struct sim_network *net = sim_network_of(world);
    call->result = net != NULL ? make_call(net, s, call) : -ENOMEM;
    errno = saved_errno;
    return true;
}

/* ---- ops: are they ready? -------------------------------------------------------------------- */

static unsigned poll_now(int fd, unsigned events)
{
    struct pollfd entry = {.fd = fd, .events = (short)events};
    return poll(&entry, 1, 0) > 0 ? (unsigned short)entry.revents : 0;
}

/* Nothing but the network makes a stream readable, so the kernel need not be asked all the time. */
static bool is_readable(struct sim_socket *s, int fd)
{
    if (s->error != 0)
        return true;
    if (s->is_datagram)
        return s->received != NULL || s->ignores_input;
    if (s->state != SIM_CONNECTED && s->state != SIM_OVER)
        return s->state != SIM_CONNECTING; /* the call will tell */
    if (s->may_be_readable)
        s->may_be_readable = poll_now(fd, POLLIN) != 0;
    return s->may_be_readable;
}

/* Bytes a send may take now; 0: it waits. */
static size_t room_of(const struct sim_network *net, const struct sim_socket *s, int fd)
{
    int used = 0;
    size_t size = net->options.buffer_bytes;
    if (s->error != 0 || s->state == SIM_NEW || s->state == SIM_LISTENING || s->state == SIM_OVER)
        return size; /* the call will tell */
    if (s->state == SIM_CONNECTING || (poll_now(fd, POLLOUT) & (POLLOUT | POLLERR)) == 0)
        return 0;
    if (ioctl(s->fd, FIONREAD, &used) < 0 || (size_t)used >= size)
        return 0;
    return size - (size_t)used;
}

static bool is_writable(const struct sim_network *net, const struct sim_socket *s, int fd)
{
    return s->is_datagram ? sim_datagram_can_send(net, s) : room_of(net, s, fd) > 0;
}

/* What poll(2) would tell of @fd. */
static unsigned poll_events(const struct sim_network *net, struct sim_socket *s, const skua_op *op)
{
    bool wants_input = (op->flags & ~(unsigned)POLLIN) == 0;
    if (s->state == SIM_CONNECTING)
        return 0;
    if (s->state == SIM_LISTENING && wants_input && s->first_waiting == NULL)
        return 0;
    if (s->state == SIM_CONNECTED && wants_input && !is_readable(s, op->fd))
        return 0;
    unsigned events = poll_now(op->fd, op->flags);
    if ((op->flags & POLLOUT) != 0 && !is_writable(net, s, op->fd))
        events &= ~(unsigned)POLLOUT;
    if (s->error != 0)
        events |= POLLERR | (op->flags & (POLLIN | POLLOUT));
    return events;
}

static bool is_ready(struct sim_network *net, struct sim_socket *s, const skua_op *op)
{
    switch (op->code) {
    case SKUA_OP_POLL:
        return poll_events(net, s, op) != 0;
    case SKUA_OP_ACCEPT:
        return s->state != SIM_LISTENING || s->first_waiting != NULL;
    case SKUA_OP_CONNECT: {
        if (s->state != SIM_NEW || s->error != 0)
            return s->state != SIM_CONNECTING;
        int rc = connect_now(net, s, op->addr, (socklen_t)op->len);
        if (rc == 0)
            s->is_connect_told = s->is_datagram; /* by the op */
        else if (rc != -EINPROGRESS && rc != -EAGAIN)
            s->error = -rc;
        return rc != -EINPROGRESS && rc != -EAGAIN;
    }
    case SKUA_OP_READ:
    case SKUA_OP_READ_FIXED:
    case SKUA_OP_READV:
    case SKUA_OP_RECV:
    case SKUA_OP_RECVMSG:
    case SKUA_OP_SPLICE:
        return is_readable(s, op->fd);
    case SKUA_OP_WRITE:
    case SKUA_OP_WRITE_FIXED:
    case SKUA_OP_WRITEV:
    case SKUA_OP_SEND:
    case SKUA_OP_SENDMSG:
        return is_writable(net, s, op->fd);
    default:
        return true;
    }
}

struct sim_socket *skua_network_find(struct skua_world *world, const skua_op *op)
{
    return op->code != SKUA_OP_CLOSE ? sim_socket_find(world->network, op->fd) : NULL;
}

struct sim_socket *skua_network_find_target(struct skua_world *world, const skua_op *op)
{
    return op->code == SKUA_OP_SPLICE ? sim_socket_find(world->network, op->fd2) : NULL;
}

bool skua_network_is_ready(struct skua_world *world, struct sim_socket *socket, const skua_op *op)
{
    return is_ready(world->network, socket, op);
}

bool skua_network_has_room(struct skua_world *world, struct sim_socket *socket, int fd)
{
    return is_writable(world->network, socket, fd);
}

/* ---- ops: carrying them out ------------------------------------------------------------------ */

static int64_t receive(struct sim_socket *s, skua_op *op)
{
    if (s->is_datagram)
        return sim_datagram_receive(s, op);
    if (s->state == SIM_NEW || s->state == SIM_LISTENING)
        return s->error != 0 ? sim_socket_take_error(s) : -ENOTCONN;
    if (s->state == SIM_CONNECTING)
        return -EAGAIN;
    bool has_flags = op->code == SKUA_OP_RECV || op->code == SKUA_OP_RECVMSG;
    if (has_flags)
        op->flags = (op->flags | MSG_DONTWAIT) & ~(uint32_t)MSG_WAITALL;
    else if (poll_now(op->fd, POLLIN) == 0)
        return s->error != 0 ? sim_socket_take_error(s) : -EAGAIN;
    skua_op_perform(op);
    if (op->result > 0 && !(has_flags && (op->flags & MSG_PEEK) != 0))
        s->unread -= skua_min(s->unread, (size_t)op->result);
    if (op->code == SKUA_OP_RECVMSG && op->result >= 0)
        ((struct msghdr *)op->addr)->msg_namelen = 0;
    if (op->result == -ECONNRESET)
        s->error = 0; /* the kernel has told it */
    if (op->result <= 0 && s->error != 0)
        return sim_socket_take_error(s);
    return op->result;
}

/* The first bytes of what @op sends, as a plain send. */
static skua_op first_piece(const skua_op *op, size_t room)
{
    skua_op piece = {.code = SKUA_OP_SEND, .fd = op->fd, .addr = op->addr, .len = op->len};
    const struct iovec *iov = op->addr;
    size_t count = op->len;
    if (op->code == SKUA_OP_SENDMSG) {
        iov = ((const struct msghdr *)op->addr)->msg_iov;
        count = ((const struct msghdr *)op->addr)->msg_iovlen;
    }
    if (op->code == SKUA_OP_SENDMSG || op->code == SKUA_OP_WRITEV) {
        while (count > 1 && iov->iov_len == 0) {
            iov++;
            count--;
        }
        piece.addr = count > 0 ? iov->iov_base : NULL;
        piece.len = count > 0 ? iov->iov_len : 0;
    }
    piece.len = skua_min(piece.len, skua_min(room, PIECE_BYTES));
    piece.flags = MSG_DONTWAIT;
    return piece;
}

static int64_t transmit(struct sim_network *net, struct sim_socket *s, const skua_op *op)
{
    if (s->is_datagram)
        return sim_datagram_send(net, s, op);
    if (s->error != 0)
        return sim_socket_take_error(s);
    if (s->state == SIM_NEW || s->state == SIM_LISTENING)
        return s->domain == AF_UNIX ? -ENOTCONN : -EPIPE;
    size_t room = room_of(net, s, op->fd);
    if (room == 0)
        return -EAGAIN;
    skua_op piece = first_piece(op, room);
    skua_op_perform(&piece);
    return piece.result;
}

static int64_t perform(struct sim_network *net, struct sim_socket *s, skua_op *op)
{
    switch (op->code) {
    case SKUA_OP_POLL:
        return poll_events(net, s, op);
    case SKUA_OP_ACCEPT:
        return accept_now(s, op->fd, op->addr, op->addr2, (int)op->flags);
    case SKUA_OP_CONNECT:
        return connect_now(net, s, op->addr, (socklen_t)op->len);
    case SKUA_OP_SHUTDOWN:
        return call_shutdown(s, op->fd, (int)op->flags);
    case SKUA_OP_READ:
    case SKUA_OP_READ_FIXED:
    case SKUA_OP_READV:
    case SKUA_OP_RECV:
    case SKUA_OP_RECVMSG:
        return receive(s, op);
    case SKUA_OP_WRITE:
    case SKUA_OP_WRITE_FIXED:
    case SKUA_OP_WRITEV:
    case SKUA_OP_SEND:
    case SKUA_OP_SENDMSG:
        return transmit(net, s, op);
    default:
        skua_op_perform(op); /* an fsync, a splice: as of any socket */
        return op->result;
    }
}

void skua_network_perform(struct skua_world *world, struct sim_socket *socket, skua_op *op)
{
    op->result = perform(world->network, socket, op);
}

bool skua_network_is_datagram(const struct sim_socket *socket)
{
    return socket->is_datagram;
}

bool skua_network_reset_socket(struct skua_world *world, struct sim_socket *socket)
{
    if (socket == NULL || socket->is_datagram || socket->state != SIM_CONNECTED)
        return false;
    sim_reset_connection(world->network, socket);
    return true;
}
