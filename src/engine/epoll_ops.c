/*
 * engine/epoll_ops.c - one attempt at an op by a system call that does not block.
 *
 * Owns nothing. Called by epoll.c when an op is submitted and when its descriptor has become ready.
 * The results are those of the ring, see io/op_blocking.c for where they differ from the plain
 * call's. What has no form that does not block is left to the caller's blocking executor: files,
 * directories, names.
 *
 * NOT BLOCKING, AND ITS PRICE
 *   Sockets    MSG_DONTWAIT. No descriptor's flags are touched.
 *   READ, WRITE and their vectors on pipes, sockets and others: RWF_NOWAIT, after one fstat(2) that
 *              tells them from files. Where the kernel lacks that for the descriptor (pipes before
 *              6.4, eventfds when written): O_NONBLOCK is not set, since other processes may share
 *              the open file. Sockets take MSG_DONTWAIT; others are polled first, and a write is
 *              cut to PIPE_BUF bytes, which a pipe that polls writable takes at once. Another
 *              reader or writer in between may then make the worker wait, as may a write to an
 *              eventfd that is nearly full. Writing to a device (a terminal may have been stopped)
 *              is offloaded.
 *   READ of a file at an offset: RWF_NOWAIT, for what is in the page cache; offloaded if that gives
 *              less than asked for and the file does not end there.
 *   ACCEPT     Sets O_NONBLOCK on the listening socket and leaves it: a connection may be gone
 *              between poll(2) and accept(2). Threads that accept by blocking calls of this library
 *              do not notice.
 *   CONNECT    O_NONBLOCK is set around connect(2) and put back, if it was not set. A Unix socket
 *              whose backlog is full gives EAGAIN and no readiness: LATER.
 *   SEND that fails though its socket polls writable (the queue of the datagram's addressee is
 *              full): LATER.
 *   SPLICE     Between pipes; with a socket only if that is O_NONBLOCK. Otherwise offloaded.
 *   CLOSE      At once: a close that is dropped on the way leaks a descriptor. A socket with
 *              SO_LINGER, or a file of a network file system, holds the worker up, as with a ring.
 *
 * MSG_WAITALL is gone on with for SEND and RECV; RECVMSG and SENDMSG return what one call moved.
 */
#include "engine/epoll_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* The most read(2) and write(2) carry at once, the kernel's MAX_RW_COUNT for 4 KiB pages. */
#define RW_MAX UINT64_C(0x7ffff000)
#define POLL_EVENTS 0xffffu /* poll(2) has 16 bits of events */

static int64_t outcome(int64_t returned)
{
    return returned < 0 ? -(int64_t)errno : returned;
}

static int64_t wait_for(struct skua_epoll_attempt *attempt, int fd, uint32_t events)
{
    attempt->fd = fd;
    attempt->events = events;
    return SKUA_EPOLL_WAIT;
}

/* What @fd is ready for now: poll's events, 0, or -errno. */
static int64_t ready_now(int fd, uint32_t events)
{
    if (fd < 0)
        return -EBADF;
    struct pollfd entry = {.fd = fd, .events = (short)events};
    int64_t result = outcome(poll(&entry, 1, 0));
    if (result <= 0)
        return result;
    return entry.revents & POLLNVAL ? -EBADF : (int64_t)(unsigned short)entry.revents;
}

static int64_t socket_option(int fd, int name)
{
    int value = 0;
    socklen_t size = sizeof(value);
    int64_t result = outcome(getsockopt(fd, SOL_SOCKET, name, &value, &size));
    return result < 0 ? result : value;
}

enum skua_epoll_kind skua_epoll_kind_of(int fd)
{
    if (socket_option(fd, SO_PROTOCOL) == IPPROTO_TCP)
        return SKUA_EPOLL_TCP;
    int64_t type = socket_option(fd, SO_TYPE);
    return type < 0 || type == SOCK_STREAM ? SKUA_EPOLL_STREAM : SKUA_EPOLL_DATAGRAM;
}

/* ---- sockets --------------------------------------------------------------------------------- */

static bool sends(const skua_op *op)
{
    return op->code == SKUA_OP_SEND || op->code == SKUA_OP_SENDMSG;
}

static int64_t transfer_once(const skua_op *op, uint64_t moved)
{
    int flags = (int)op->flags | MSG_DONTWAIT;
    uint64_t left = skua_min(op->len - moved, RW_MAX);
    switch (op->code) {
    case SKUA_OP_SEND:
        return outcome(send(op->fd, (char *)op->addr + moved, left, flags | MSG_NOSIGNAL));
    case SKUA_OP_RECV:
        return outcome(recv(op->fd, (char *)op->addr + moved, left, flags));
    case SKUA_OP_SENDMSG:
        return outcome(sendmsg(op->fd, op->addr, flags | MSG_NOSIGNAL));
    default:
        return outcome(recvmsg(op->fd, op->addr, flags));
    }
}

/* Whether a transfer that moved less than all goes on. */
static bool wants_all(const skua_op *op)
{
    return (op->flags & MSG_WAITALL) && !(op->flags & (MSG_PEEK | MSG_DONTWAIT)) &&
           (op->code == SKUA_OP_SEND || op->code == SKUA_OP_RECV) &&
           socket_option(op->fd, SO_TYPE) == SOCK_STREAM;
}

/* SEND, RECV, SENDMSG, RECVMSG */
static int64_t try_transfer(const skua_op *op, struct skua_epoll_attempt *attempt)
{
    uint32_t events = sends(op) ? EPOLLOUT : op->flags & MSG_ERRQUEUE ? EPOLLERR : EPOLLIN;
    bool may_wait = !(op->flags & MSG_DONTWAIT);
    if (attempt->is_drained && may_wait && events == EPOLLIN)
        return wait_for(attempt, op->fd, events);

    int64_t result = transfer_once(op, attempt->moved);
    if (result == -EAGAIN && may_wait) {
        attempt->is_drained = events == EPOLLIN;
        if (events == EPOLLOUT && (attempt->ready & EPOLLOUT))
            return SKUA_EPOLL_LATER;
        return wait_for(attempt, op->fd, events);
    }
    if (result <= 0) /* the end, or an error, which comes again if it matters */
        return attempt->moved > 0 ? (int64_t)attempt->moved : result;
    attempt->moved += (uint64_t)result;
    bool is_short = op->code == SKUA_OP_RECV && attempt->moved < op->len;
    attempt->is_drained = is_short && !(op->flags & (MSG_PEEK | MSG_OOB));
    if (skua_unlikely(attempt->moved < op->len && wants_all(op)))
        return wait_for(attempt, op->fd, events);
    return (int64_t)attempt->moved;
}

/* Has accept(2) on @fd, if that is a listening socket, not block. 0 or -errno. */
static int64_t make_nonblocking(int fd)
{
    int64_t flags = outcome(fcntl(fd, F_GETFL));
    if (flags < 0 || (flags & O_NONBLOCK))
        return skua_min(flags, 0);
    if (socket_option(fd, SO_ACCEPTCONN) <= 0)
        return 0; /* accept(2) will say what is wrong with it, and not wait */
    return outcome(fcntl(fd, F_SETFL, (int)flags | O_NONBLOCK));
}

static int64_t try_accept(const skua_op *op, struct skua_epoll_attempt *attempt)
{
    int64_t result = make_nonblocking(op->fd);
    if (result == 0)
        result = outcome(accept4(op->fd, op->addr, op->addr2, (int)op->flags | SOCK_CLOEXEC));
    return result == -EAGAIN ? wait_for(attempt, op->fd, EPOLLIN) : result;
}

/* What became of a connect(2) that was in progress. */
static int64_t connect_outcome(const skua_op *op, struct skua_epoll_attempt *attempt)
{
    int64_t error = socket_option(op->fd, SO_ERROR);
    if (error != 0)
        return error < 0 ? error : -error;
    int64_t ready = ready_now(op->fd, POLLOUT);
    return ready == 0 ? wait_for(attempt, op->fd, EPOLLOUT) : skua_min(ready, 0);
}

static int64_t connect_nonblocking(const skua_op *op)
{
    int64_t flags = socket_option(op->fd, SO_TYPE); /* what is no socket keeps its flags */
    if (flags >= 0)
        flags = outcome(fcntl(op->fd, F_GETFL));
    if (flags < 0)
        return flags;
    bool blocks = !(flags & O_NONBLOCK);
    if (blocks && fcntl(op->fd, F_SETFL, (int)flags | O_NONBLOCK) < 0)
        return outcome(-1);
    socklen_t size = (socklen_t)skua_min(op->len, UINT32_MAX);
    int64_t result = outcome(connect(op->fd, op->addr, size));
    if (blocks)
        (void)fcntl(op->fd, F_SETFL, (int)flags);
    return result;
}

static int64_t try_connect(const skua_op *op, struct skua_epoll_attempt *attempt)
{
    if (attempt->is_connecting)
        return connect_outcome(op, attempt);
    int64_t result = connect_nonblocking(op);
    if (result == -EINPROGRESS) {
        attempt->is_connecting = true;
        return wait_for(attempt, op->fd, EPOLLOUT);
    }
    if (result == -EAGAIN && socket_option(op->fd, SO_DOMAIN) == AF_UNIX)
        return SKUA_EPOLL_LATER;
    return result;
}

/* ---- reads and writes ------------------------------------------------------------------------ */

/* One buffer or several, to or from. */
struct transfer {
    const struct iovec *iov;
    int count;
    int flags; /* RWF_... */
    bool is_write;
};

static uint64_t transfer_size(const struct transfer *t)
{
    uint64_t size = 0;
    for (int i = 0; i < t->count; i++)
        size += t->iov[i].iov_len;
    return size;
}

static int64_t by_message(int fd, const struct transfer *t)
{
    struct msghdr message = {.msg_iov = (struct iovec *)t->iov, .msg_iovlen = (size_t)t->count};
    return outcome(t->is_write ? sendmsg(fd, &message, MSG_DONTWAIT)
                               : recvmsg(fd, &message, MSG_DONTWAIT));
}

/* By poll(2) and a call that may block; see the head. -EAGAIN if it is not ready. */
static int64_t by_readiness(int fd, const struct transfer *t)
{
    int64_t flags = outcome(fcntl(fd, F_GETFL));
    if (flags < 0)
        return flags;
    if (flags & O_NONBLOCK)
        return outcome(t->is_write ? writev(fd, t->iov, t->count) : readv(fd, t->iov, t->count));
    int64_t ready = ready_now(fd, t->is_write ? POLLOUT : POLLIN);
    if (ready <= 0)
        return ready == 0 ? -EAGAIN : ready;
    if (!t->is_write || transfer_size(t) <= PIPE_BUF)
        return outcome(t->is_write ? writev(fd, t->iov, t->count) : readv(fd, t->iov, t->count));
    const struct iovec *first = t->iov;
    while (first->iov_len == 0)
        first++;
    return outcome(write(fd, first->iov_base, skua_min(first->iov_len, (size_t)PIPE_BUF)));
}

/* @fd is no file. A result, or -EAGAIN; OFFLOAD. */
static int64_t transfer_now(int fd, mode_t mode, const struct transfer *t, bool is_plain)
{
    int64_t result = -EOPNOTSUPP;
    if (!is_plain) {
        int flags = t->flags | RWF_NOWAIT;
        result = outcome(t->is_write ? pwritev2(fd, t->iov, t->count, -1, flags)
                                     : preadv2(fd, t->iov, t->count, -1, flags));
    }
    if (result != -EOPNOTSUPP || (t->flags & ~RWF_NOWAIT) != 0)
        return result;
    if (S_ISSOCK(mode))
        return by_message(fd, t);
    return S_ISCHR(mode) && t->is_write ? SKUA_EPOLL_OFFLOAD : by_readiness(fd, t);
}

/* A file: what the page cache has, if it has all. */
static int64_t read_cached(const skua_op *op, const struct transfer *t, const struct stat *status)
{
    if (t->is_write || op->offset > INT64_MAX || !S_ISREG(status->st_mode) || t->flags != 0)
        return SKUA_EPOLL_OFFLOAD;
    off_t offset = (off_t)op->offset;
    int64_t result = outcome(preadv2(op->fd, t->iov, t->count, offset, RWF_NOWAIT));
    if (result < 0)
        return SKUA_EPOLL_OFFLOAD;
    bool whole = (uint64_t)result == transfer_size(t) || offset >= status->st_size - result;
    return whole && status->st_size > 0 ? result : SKUA_EPOLL_OFFLOAD;
}

/* READ, WRITE, their vectors and _FIXED forms */
static int64_t try_rw(const skua_op *op, struct skua_epoll_attempt *attempt)
{
    struct iovec one = {.iov_base = op->addr, .iov_len = skua_min(op->len, RW_MAX)};
    struct transfer t = {.iov = &one, .count = 1};
    t.is_write =
        op->code == SKUA_OP_WRITE || op->code == SKUA_OP_WRITE_FIXED || op->code == SKUA_OP_WRITEV;
    if (op->code == SKUA_OP_READV || op->code == SKUA_OP_WRITEV) {
        if (op->len > IOV_MAX)
            return -EINVAL;
        if (op->addr == NULL && op->len > 0)
            return -EFAULT;
        t.iov = op->addr;
        t.count = (int)op->len;
        t.flags = (int)op->flags;
    }
    struct stat status;
    int64_t result = outcome(fstat(op->fd, &status));
    if (result < 0)
        return result;
    if (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode) || S_ISBLK(status.st_mode))
        return read_cached(op, &t, &status);

    bool may_wait = !(t.flags & RWF_NOWAIT);
    if (attempt->is_drained && may_wait && !t.is_write)
        return wait_for(attempt, op->fd, EPOLLIN);
    result = transfer_now(op->fd, status.st_mode, &t, attempt->is_plain);
    if (!t.is_write)
        attempt->is_drained =
            result == -EAGAIN || (result > 0 && t.count == 1 && (uint64_t)result < t.iov->iov_len);
    if (result == -EAGAIN && may_wait)
        return wait_for(attempt, op->fd, t.is_write ? EPOLLOUT : EPOLLIN);
    return result;
}

/* ---- others ---------------------------------------------------------------------------------- */

static int64_t try_poll(const skua_op *op, struct skua_epoll_attempt *attempt)
{
    if (op->flags > POLL_EVENTS)
        return -EINVAL;
    int64_t ready = attempt->ready & (op->flags | SKUA_EPOLL_ALWAYS);
    if (ready == 0)
        ready = ready_now(op->fd, op->flags);
    return ready == 0 ? wait_for(attempt, op->fd, op->flags) : ready;
}

/* Whether splice(2) with SPLICE_F_NONBLOCK does not block on this end of it. 1, 0 or -errno. */
static int64_t splices_without_blocking(int fd)
{
    struct stat status;
    int64_t result = outcome(fstat(fd, &status));
    if (result < 0)
        return result;
    if (S_ISFIFO(status.st_mode))
        return 1;
    if (!S_ISSOCK(status.st_mode))
        return 0;
    result = outcome(fcntl(fd, F_GETFL));
    return result < 0 ? result : (result & O_NONBLOCK) != 0;
}

static int64_t try_splice(const skua_op *op, struct skua_epoll_attempt *attempt)
{
    int64_t from = splices_without_blocking(op->fd);
    int64_t to = splices_without_blocking(op->fd2);
    if (from < 0 || to < 0)
        return skua_min(from, to);
    if (from == 0 || to == 0)
        return SKUA_EPOLL_OFFLOAD;
    off_t offset = (off_t)op->offset;
    off_t offset2 = (off_t)op->offset2;
    int64_t result = outcome(splice(op->fd, op->offset == SKUA_OFFSET_CURRENT ? NULL : &offset,
                                    op->fd2, op->offset2 == SKUA_OFFSET_CURRENT ? NULL : &offset2,
                                    skua_min(op->len, RW_MAX), op->flags | SPLICE_F_NONBLOCK));
    if (result != -EAGAIN || (op->flags & SPLICE_F_NONBLOCK))
        return result;
    if (ready_now(op->fd, POLLIN) == 0)
        return wait_for(attempt, op->fd, EPOLLIN);
    if (ready_now(op->fd2, POLLOUT) == 0)
        return wait_for(attempt, op->fd2, EPOLLOUT);
    return SKUA_EPOLL_LATER;
}

bool skua_epoll_takes_bytes(const skua_op *op)
{
    return (op->code == SKUA_OP_RECV || op->code == SKUA_OP_RECVMSG) &&
           (op->flags & (MSG_PEEK | MSG_OOB | MSG_ERRQUEUE)) == 0;
}

uint32_t skua_epoll_direction(const skua_op *op)
{
    switch (op->code) {
    case SKUA_OP_RECV:
    case SKUA_OP_RECVMSG:
        return op->flags & (MSG_DONTWAIT | MSG_ERRQUEUE) ? 0 : EPOLLIN;
    case SKUA_OP_SEND:
    case SKUA_OP_SENDMSG:
        return op->flags & MSG_DONTWAIT ? 0 : EPOLLOUT;
    case SKUA_OP_READ:
    case SKUA_OP_READ_FIXED:
    case SKUA_OP_ACCEPT:
        return EPOLLIN;
    case SKUA_OP_WRITE:
    case SKUA_OP_WRITE_FIXED:
        return EPOLLOUT;
    case SKUA_OP_READV:
        return op->flags & RWF_NOWAIT ? 0 : EPOLLIN;
    case SKUA_OP_WRITEV:
        return op->flags & RWF_NOWAIT ? 0 : EPOLLOUT;
    default:
        return 0;
    }
}

int64_t skua_epoll_attempt(const skua_op *op, struct skua_epoll_attempt *attempt)
{
    switch (op->code) {
    case SKUA_OP_NOP:
        return 0;
    case SKUA_OP_CLOSE:
        return outcome(close(op->fd));
    case SKUA_OP_SHUTDOWN:
        return outcome(shutdown(op->fd, (int)op->flags));
    case SKUA_OP_SEND:
    case SKUA_OP_RECV:
    case SKUA_OP_SENDMSG:
    case SKUA_OP_RECVMSG:
        return try_transfer(op, attempt);
    case SKUA_OP_READ:
    case SKUA_OP_WRITE:
    case SKUA_OP_READV:
    case SKUA_OP_WRITEV:
    case SKUA_OP_READ_FIXED:
    case SKUA_OP_WRITE_FIXED:
        return try_rw(op, attempt);
    case SKUA_OP_ACCEPT:
        return try_accept(op, attempt);
    case SKUA_OP_CONNECT:
        return try_connect(op, attempt);
    case SKUA_OP_POLL:
        return try_poll(op, attempt);
    case SKUA_OP_SPLICE:
        return try_splice(op, attempt);
    default:
        return SKUA_EPOLL_OFFLOAD;
    }
}
