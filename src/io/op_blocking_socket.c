/*
 * io/op_blocking_socket.c - the ops of sockets by plain system calls on the calling thread.
 *
 * Owns nothing; called by op_blocking.c. Must stay true: the result is the one io_uring gives for
 * the same op, so
 *   - a call waits though the descriptor is O_NONBLOCK, and though SO_RCVTIMEO or SO_SNDTIMEO
 *     passes: after EAGAIN it polls, and tries again. MSG_DONTWAIT alone does not wait;
 *   - no send raises SIGPIPE, and every descriptor made is close-on-exec;
 *   - a connect that a signal has interrupted goes on when it is called again.
 */
#include "io/op_blocking.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>

static int64_t outcome(int64_t returned)
{
    return returned < 0 ? -(int64_t)errno : returned;
}

/* 0 when @fd is ready for @events or has failed; -EINTR. */
static int64_t wait_ready(int fd, short events)
{
    struct pollfd entry = {.fd = fd, .events = events};
    int64_t result = outcome(poll(&entry, 1, -1));
    return result < 0 ? result : 0;
}

static int64_t transfer_once(const skua_op *op)
{
    int flags = (int)op->flags;
    switch (op->code) {
    case SKUA_OP_SEND:
        return outcome(send(op->fd, op->addr, op->len, flags | MSG_NOSIGNAL));
    case SKUA_OP_RECV:
        return outcome(recv(op->fd, op->addr, op->len, flags));
    case SKUA_OP_SENDMSG:
        return outcome(sendmsg(op->fd, op->addr, flags | MSG_NOSIGNAL));
    default:
        return outcome(recvmsg(op->fd, op->addr, flags));
    }
}

static int64_t transfer(const skua_op *op)
{
    bool sends = op->code == SKUA_OP_SEND || op->code == SKUA_OP_SENDMSG;
    for (;;) {
        int64_t result = transfer_once(op);
        if (result != -EAGAIN || (op->flags & MSG_DONTWAIT))
            return result;
        result = wait_ready(op->fd, sends ? POLLOUT : POLLIN);
        if (result < 0)
            return result;
    }
}

static int64_t run_accept(const skua_op *op)
{
    int flags = (int)op->flags | SOCK_CLOEXEC;
    for (;;) {
        int64_t result = outcome(accept4(op->fd, op->addr, op->addr2, flags));
        if (result != -EAGAIN)
            return result;
        result = wait_ready(op->fd, POLLIN);
        if (result < 0)
            return result;
    }
}

static int64_t run_connect(const skua_op *op)
{
    for (;;) {
        int64_t result = outcome(connect(op->fd, op->addr, (socklen_t)op->len));
        if (result != -EINPROGRESS && result != -EALREADY)
            return result; /* EAGAIN too: a Unix socket whose peer has a full backlog */
        result = wait_ready(op->fd, POLLOUT);
        if (result < 0)
            return result; /* connecting goes on; the next call joins it */
    }
}

int64_t skua_op_perform_socket(const skua_op *op)
{
    switch (op->code) {
    case SKUA_OP_ACCEPT:
        return run_accept(op);
    case SKUA_OP_CONNECT:
        return run_connect(op);
    case SKUA_OP_SEND:
    case SKUA_OP_RECV:
    case SKUA_OP_SENDMSG:
    case SKUA_OP_RECVMSG:
        return transfer(op);
    case SKUA_OP_SHUTDOWN:
        return outcome(shutdown(op->fd, (int)op->flags));
    default:
        return -EINVAL;
    }
}
