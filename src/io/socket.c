/*
 * io/socket.c - the calls of skua/socket.h.
 *
 * Owns nothing: each call describes one op on the caller's stack and runs it through io/op.c. What
 * never waits (socket, bind, listen, shutdown) is the system call itself.
 *
 * A LONE SEND IS TRIED AT ONCE  A socket nearly always has room. If the worker has nothing else to
 * do, a send asks the kernel without waiting, and saves a park and a turn of the ring: one
 * connection gains 10 % in CPU and rate. If others are ready, or requests wait in the ring's queue,
 * sends go with them in one system call: with 64 connections that is 10 % cheaper, for 16 KiB too.
 * A task that only sends would never let others run if each succeeded at once: a worker gives so
 * many of these away between two looks at its engine (skua_worker.direct), and then sends are ops
 * again. A receive is not tried, unless it is not to wait: whoever has just answered mostly has to
 * wait for the next request.
 *
 * A RECEIVE BY A TASK THAT HAS JUST USED THE SOCKET  tells the ring not to look first whether bytes
 * have come, but to wait for them at once (-5 % of an echo's CPU time). Any other receive looks
 * first: what is no socket, or is not connected, is an error then, and would be waited on else.
 * The epoll engine is told besides whether the task has received from it before: what it has
 * registered then still holds (socket_hint.h).
 *
 * Must stay true:
 *   - A result that is there beats the cancel: dropping it would leak a descriptor or lose bytes.
 *   - errno is read where it was set, in functions that are not inlined and do not switch.
 */
#include <skua/socket.h>

#include <skua/file.h>
#include <skua/op.h>

#include "base/compiler.h"
#include "io/blocking_section.h"
#include "io/net_call.h"
#include "io/op.h"
#include "io/socket_hint.h"
#include "platform/vthread.h"
#include "sched/wait.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

/* The most that one sendfile(2) is asked for: the piece whose ends are looked for in the cache. */
#define SENDFILE_BYTES ((size_t)256 << 10)

static bool is_forked(void)
{
    const struct skua_thread *thread = skua_thread_self();
    return thread != NULL && thread->forked;
}

int skua_socket(int domain, int type, int protocol)
{
    return is_forked() ? -ECHILD : skua_net_socket(domain, type | SOCK_CLOEXEC, protocol);
}

int skua_bind(int fd, const struct sockaddr *address, socklen_t size)
{
    if (address == NULL)
        return -EINVAL;
    return is_forked() ? -ECHILD : skua_net_bind(fd, address, size);
}

int skua_listen(int fd, int backlog)
{
    return is_forked() ? -ECHILD : skua_net_listen(fd, backlog);
}

int skua_shutdown(int fd, int how)
{
    return is_forked() ? -ECHILD : skua_net_shutdown(fd, how);
}

/* accept4(2): the connection had failed before it was accepted; the next one may be good. */
static bool is_passing(int64_t error)
{
    return error == -ECONNABORTED || error == -EPROTO || error == -ENETDOWN ||
           error == -ENOPROTOOPT || error == -EHOSTDOWN || error == -ENONET ||
           error == -EHOSTUNREACH || error == -ENETUNREACH;
}

int skua_accept(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    if ((address == NULL) != (size == NULL) || (flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) != 0)
        return -EINVAL;
    for (;;) {
        skua_op op = {.code = SKUA_OP_ACCEPT,
                      .fd = fd,
                      .addr = address,
                      .addr2 = size,
                      .flags = (uint32_t)flags};
        int64_t result = skua_op_run(&op);
        if (!is_passing(result))
            return (int)result;
    }
}

int skua_connect(int fd, const struct sockaddr *address, socklen_t size)
{
    if (address == NULL)
        return -EINVAL;
    skua_op op = {.code = SKUA_OP_CONNECT, .fd = fd, .addr = (void *)address, .len = size};
    return (int)skua_op_run(&op);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static ssize_t run_transfer(skua_op_code code, int fd, void *data, size_t size, int flags)
{
    bool receives = code == SKUA_OP_RECV || code == SKUA_OP_RECVMSG;
    skua_op op = {.code = (uint8_t)code,
                  .fd = fd,
                  .addr = data,
                  .len = skua_op_transfer_bytes(size),
                  .buf_index = skua_socket_hint_for(fd),
                  .flags = (uint32_t)flags};
    int64_t result = skua_op_run(&op);
    skua_socket_hint_note(fd, result, receives);
    return result;
}

/* On a worker that has some to give: counts one call that is made without the ring. */
static bool may_try(void)
{
    struct skua_thread *thread = skua_thread_self();
    if (thread == NULL || thread->worker == NULL || thread->worker->direct == 0 || thread->forked ||
        skua_vthread_simulated() || skua_wait_cancelled())
        return false;
    thread->worker->direct--;
    return true;
}

/* The same, if there is nobody for the ring to serve in the same turn. */
static bool may_try_alone(void)
{
    struct skua_thread *thread = skua_thread_self();
    if (thread == NULL || thread->worker == NULL || skua_worker_has_company(thread->worker))
        return false;
    return may_try();
}

static SKUA_NOINLINE ssize_t send_now(int fd, const void *buffer, size_t size, int flags)
{
    ssize_t sent = send(fd, buffer, size, flags | MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 ? -errno : sent;
}

static SKUA_NOINLINE ssize_t recv_now(int fd, void *buffer, size_t size, int flags)
{
    ssize_t received = recv(fd, buffer, size, flags | MSG_DONTWAIT);
    return received < 0 ? -errno : received;
}

static SKUA_NOINLINE ssize_t sendmsg_now(int fd, const struct msghdr *message, int flags)
{
    ssize_t sent = sendmsg(fd, message, flags | MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 ? -errno : sent;
}

/* What another try, by the ring, may change. */
static bool is_pending(ssize_t result)
{
    return result == -EAGAIN || result == -EINTR;
}

ssize_t skua_recv(int fd, void *buffer, size_t size, int flags)
{
    if ((flags & MSG_DONTWAIT) && may_try()) {
        ssize_t received = recv_now(fd, buffer, size, flags);
        if (received != -EINTR)
            return received;
    }
    return run_transfer(SKUA_OP_RECV, fd, buffer, size, flags);
}

ssize_t skua_send(int fd, const void *buffer, size_t size, int flags)
{
    if (may_try_alone()) {
        ssize_t sent = send_now(fd, buffer, size, flags);
        if (!is_pending(sent)) {
            skua_socket_hint_note(fd, sent, false);
            return sent;
        }
    }
    return run_transfer(SKUA_OP_SEND, fd, (void *)buffer, size, flags);
}

ssize_t skua_recv_all(int fd, void *buffer, size_t size)
{
    if (size > INT64_MAX)
        return -EINVAL;
    size_t done = 0;
    do {
        ssize_t n = skua_recv(fd, (char *)buffer + done, size - done, 0);
        if (n < 0)
            return done > 0 ? (ssize_t)done : n;
        if (n == 0)
            break;
        done += (size_t)n;
    } while (done < size);
    return (ssize_t)done;
}

ssize_t skua_send_all(int fd, const void *buffer, size_t size)
{
    if (size > INT64_MAX)
        return -EINVAL;
    size_t done = 0;
    do {
        ssize_t n = skua_send(fd, (const char *)buffer + done, size - done, 0);
        if (n == 0 && size > 0)
            n = -EIO; /* no progress and no reason: going on could last for ever */
        if (n < 0)
            return done > 0 ? (ssize_t)done : n;
        done += (size_t)n;
    } while (done < size);
    return (ssize_t)done;
}

ssize_t skua_recvmsg(int fd, struct msghdr *message, int flags)
{
    if (message == NULL)
        return -EINVAL;
    return run_transfer(SKUA_OP_RECVMSG, fd, message, 1, flags | MSG_CMSG_CLOEXEC);
}

ssize_t skua_sendmsg(int fd, const struct msghdr *message, int flags)
{
    if (message == NULL)
        return -EINVAL;
    if (may_try_alone()) {
        ssize_t sent = sendmsg_now(fd, message, flags);
        if (!is_pending(sent))
            return sent;
    }
    return run_transfer(SKUA_OP_SENDMSG, fd, (void *)message, 1, flags);
}

ssize_t skua_recvfrom(int fd, void *buffer, size_t size, int flags, struct sockaddr *address,
                      socklen_t *address_size)
{
    if ((address == NULL) != (address_size == NULL))
        return -EINVAL;
    struct iovec iov = {.iov_base = buffer, .iov_len = size};
    struct msghdr message = {.msg_name = address,
                             .msg_namelen = address_size != NULL ? *address_size : 0,
                             .msg_iov = &iov,
                             .msg_iovlen = 1};
    ssize_t received = skua_recvmsg(fd, &message, flags);
    if (received >= 0 && address_size != NULL)
        *address_size = message.msg_namelen;
    return received;
}

ssize_t skua_sendto(int fd, const void *buffer, size_t size, int flags,
                    const struct sockaddr *address, socklen_t address_size)
{
    struct iovec iov = {.iov_base = (void *)buffer, .iov_len = size};
    struct msghdr message = {.msg_name = (void *)address,
                             .msg_namelen = address != NULL ? address_size : 0,
                             .msg_iov = &iov,
                             .msg_iovlen = 1};
    return skua_sendmsg(fd, &message, flags);
}

int skua_poll(int fd, unsigned events)
{
    skua_op op = {.code = SKUA_OP_POLL, .fd = fd, .flags = events};
    return (int)skua_op_run(&op);
}

/* ---- files ----------------------------------------------------------------------------------- */

static SKUA_NOINLINE int set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return -errno;
    if ((flags & O_NONBLOCK) == 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    return 0;
}

/*
 * sendfile(2) has no MSG_NOSIGNAL: SIGPIPE is blocked meanwhile, and one that has come is taken,
 * unless there was one before. It is sent to the thread that made the call.
 */
static SKUA_NOINLINE ssize_t sendfile_now(int fd, int file_fd, off_t offset, size_t size)
{
    sigset_t pipe_signal;
    sigset_t before;
    sigset_t pending;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    sigemptyset(&pending);
    (void)sigpending(&pending);
    (void)pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
    ssize_t sent = sendfile(fd, file_fd, &offset, size);
    sent = sent < 0 ? -errno : sent;
    if (sent == -EPIPE && !sigismember(&pending, SIGPIPE)) {
        const struct timespec now = {0, 0};
        (void)sigtimedwait(&pipe_signal, NULL, &now);
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return sent;
}

/* Whether the byte at @offset would have to come from the device. */
static SKUA_NOINLINE bool is_uncached(int file_fd, off_t offset)
{
    char byte;
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};
    return preadv2(file_fd, &iov, 1, offset, RWF_NOWAIT) < 0 && errno == EAGAIN;
}

/* One piece, which waits for the device on the blocking executor and for the peer nowhere. */
static ssize_t sendfile_piece(int fd, int file_fd, off_t offset, size_t size)
{
    if (!skua_blocking_section_on_worker() || skua_vthread_simulated() ||
        (!is_uncached(file_fd, offset) && !is_uncached(file_fd, offset + (off_t)size - 1)))
        return sendfile_now(fd, file_fd, offset, size);
    bool moved;
    int rc = skua_blocking_section_begin(&moved);
    if (rc < 0)
        return rc;
    ssize_t sent = sendfile_now(fd, file_fd, offset, size);
    skua_blocking_section_end(moved);
    return sent;
}

/* As many bytes as one call sends, at least one unless the file ends. */
static ssize_t sendfile_some(int fd, int file_fd, uint64_t offset, size_t size)
{
    bool waits = !may_try();
    for (;;) {
        int ready = waits ? skua_poll(fd, POLLOUT) : 0;
        if (ready < 0)
            return ready;
        ssize_t sent = sendfile_piece(fd, file_fd, (off_t)offset, size);
        if (!is_pending(sent))
            return sent;
        waits = true;
    }
}

ssize_t skua_sendfile(int fd, int file_fd, uint64_t offset, size_t size)
{
    if (size > INT64_MAX || offset > INT64_MAX - size)
        return -EINVAL;
    if (is_forked())
        return -ECHILD;
    int rc = set_nonblocking(fd);
    if (rc < 0)
        return rc;
    size_t done = 0;
    while (done < size) {
        size_t piece = skua_min(size - done, SENDFILE_BYTES);
        ssize_t n = sendfile_some(fd, file_fd, offset + done, piece);
        if (n < 0)
            return done > 0 ? (ssize_t)done : n;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}
