/*
 * io/stream_fd.c - the transport of descriptors, for streams.
 *
 * Owns the descriptors of a stream until its close, unless they are to be kept.
 *
 * Sockets go through the calls of skua/socket.h, which raise no SIGPIPE; everything else through
 * those of skua/file.h, at the file position.
 *
 * WHERE NO RING WAITS  A descriptor that is O_NONBLOCK answers -EAGAIN on threads that are no
 * workers; then it is polled and the call made again. If there is a deadline, and no scope to keep
 * it (see stream.c), the poll comes first and has the deadline, and the call after it must not
 * block: a read does not, as nobody else reads; a send is told not to; of anything else so little
 * is written that it fits where poll(2) has seen room.
 *
 * SIMULATION  One buffer at a time: a write of several to a pipe could block the only thread there
 * is, and short reads and writes are made of plain ones alone.
 */
#include "io/stream_impl.h"

#include <skua/file.h>
#include <skua/socket.h>
#include <skua/time.h>

#include "base/compiler.h"
#include "platform/vthread.h"

#include <limits.h>
#include <poll.h>
#include <sys/stat.h>

#define SIM_LOOK_NS (50 * SKUA_NS_PER_US) /* between two looks of a thread without a ring */

/* ---- what it is ------------------------------------------------------------------------------ */

static SKUA_NOINLINE int mode_of(int fd, mode_t *mode)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return -errno;
    *mode = status.st_mode;
    return 0;
}

int skua_stream_fd_examine(skua_stream *stream)
{
    mode_t read_mode = 0;
    mode_t write_mode = 0;
    if (stream->read_fd < 0 && stream->write_fd < 0)
        return -EBADF;
    int rc = stream->read_fd == -1 ? 0 : mode_of(stream->read_fd, &read_mode);
    if (rc == 0 && stream->write_fd != -1)
        rc = mode_of(stream->write_fd, &write_mode);
    stream->read_is_socket = S_ISSOCK(read_mode);
    stream->read_is_file = S_ISREG(read_mode);
    stream->write_is_socket = S_ISSOCK(write_mode);
    stream->write_is_file = S_ISREG(write_mode);
    return rc;
}

/* ---- waiting where no ring does -------------------------------------------------------------- */

/* Milliseconds until @deadline_ns, rounded up: poll(2) must not come back before. */
static int milliseconds_until(uint64_t deadline_ns)
{
    uint64_t now_ns = skua_now();
    if (now_ns >= deadline_ns)
        return 0;
    uint64_t left_ms = (deadline_ns - now_ns + SKUA_NS_PER_MS - 1) / SKUA_NS_PER_MS;
    return (int)skua_min(left_ms, (uint64_t)INT_MAX);
}

/* 1: ready; 0: not within @timeout_ms, or interrupted; -errno. Leaves errno as it was. */
static SKUA_NOINLINE int poll_once(int fd, short events, int timeout_ms)
{
    int saved_errno = errno;
    struct pollfd entry = {.fd = fd, .events = events};
    int rc = poll(&entry, 1, timeout_ms);
    if (rc < 0)
        rc = errno == EINTR ? 0 : -errno;
    else if (rc > 0 && (entry.revents & POLLNVAL))
        rc = -EBADF;
    errno = saved_errno;
    return rc;
}

/* 0: ready, or failed, which the call will tell; -ETIMEDOUT; -errno. */
static int poll_until(int fd, short events, uint64_t deadline_ns)
{
    for (;;) { /* until the deadline */
        bool simulated = skua_vthread_simulated();
        int ready = poll_once(fd, events, simulated ? 0 : milliseconds_until(deadline_ns));
        if (ready != 0)
            return ready < 0 ? ready : 0;
        if (skua_now() >= deadline_ns)
            return -ETIMEDOUT;
        int rc = simulated ? skua_sleep(SIM_LOOK_NS) : 0;
        if (rc < 0)
            return rc;
    }
}

/* Waits for @events until the deadline of @side. */
static int await_ready(const struct skua_stream_side *side, int fd, short events)
{
    if (skua_stream_timed_by_poll(side))
        return poll_until(fd, events, side->deadline_ns);
    int ready = skua_poll(fd, (unsigned)events);
    return ready < 0 ? ready : 0;
}

int skua_stream_fd_await_input(skua_stream *stream)
{
    return await_ready(&stream->reader, stream->read_fd, POLLIN);
}

/* ---- moving bytes ---------------------------------------------------------------------------- */

static ssize_t read_once(const skua_stream *stream, const struct iovec *iov, unsigned count)
{
    int fd = stream->read_fd;
    if (count == 1 && stream->read_is_socket)
        return skua_recv(fd, iov->iov_base, iov->iov_len, 0);
    if (count == 1)
        return skua_read(fd, iov->iov_base, iov->iov_len);
    if (!stream->read_is_socket)
        return skua_readv(fd, iov, count);
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = count};
    return skua_recvmsg(fd, &message, 0);
}

static ssize_t fd_readv(void *user, const struct iovec *iov, unsigned count)
{
    skua_stream *stream = user;
    bool polls_first = skua_stream_timed_by_poll(&stream->reader);
    if (stream->read_fd < 0)
        return -EBADF;
    if (skua_vthread_simulated())
        count = 1;
    for (bool waits = polls_first;; waits = true) { /* each turn waits for the descriptor */
        int rc = waits ? skua_stream_fd_await_input(stream) : 0;
        if (rc < 0)
            return rc;
        ssize_t result = read_once(stream, iov, count);
        if (result != -EAGAIN)
            return result;
    }
}

/* @flags are for sockets. */
static ssize_t write_once(const skua_stream *stream, const struct iovec *iov, unsigned count,
                          int flags)
{
    int fd = stream->write_fd;
    if (count == 1 && stream->write_is_socket)
        return skua_send(fd, iov->iov_base, iov->iov_len, flags);
    if (count == 1)
        return skua_write(fd, iov->iov_base, iov->iov_len);
    if (!stream->write_is_socket)
        return skua_writev(fd, iov, count);
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = count};
    return skua_sendmsg(fd, &message, flags);
}

static ssize_t fd_writev(void *user, const struct iovec *iov, unsigned count)
{
    skua_stream *stream = user;
    bool polls_first = skua_stream_timed_by_poll(&stream->writer);
    struct iovec little = iov[0];
    if (stream->write_fd < 0)
        return -EBADF;
    if (skua_vthread_simulated() || (polls_first && !stream->write_is_socket))
        count = 1;
    if (polls_first && !stream->write_is_socket && !stream->write_is_file) {
        little.iov_len = skua_min(little.iov_len, (size_t)PIPE_BUF);
        iov = &little;
    }
    for (bool waits = polls_first;; waits = true) { /* each turn waits for the descriptor */
        int rc = waits ? await_ready(&stream->writer, stream->write_fd, POLLOUT) : 0;
        if (rc < 0)
            return rc;
        ssize_t result = write_once(stream, iov, count, polls_first ? MSG_DONTWAIT : 0);
        if (result != -EAGAIN)
            return result;
    }
}

/* ---- ends ------------------------------------------------------------------------------------ */

static int fd_shutdown_write(void *user)
{
    skua_stream *stream = user;
    if (stream->write_is_socket)
        return skua_shutdown(stream->write_fd, SHUT_WR);
    bool keeps = (stream->options.flags & SKUA_STREAM_KEEP_FDS) != 0;
    if (stream->write_fd < 0 || stream->write_fd == stream->read_fd || keeps)
        return -EOPNOTSUPP;
    int fd = stream->write_fd;
    stream->write_fd = -1; /* closed whatever is returned */
    return skua_close(fd);
}

static int fd_close(void *user)
{
    skua_stream *stream = user;
    if ((stream->options.flags & SKUA_STREAM_KEEP_FDS) != 0)
        return 0;
    int closed = stream->write_fd < 0 ? 0 : skua_close(stream->write_fd);
    if (stream->read_fd < 0 || stream->read_fd == stream->write_fd)
        return closed;
    int rc = skua_close(stream->read_fd);
    return closed < 0 ? closed : rc;
}

const skua_stream_transport skua_stream_fd_transport = {
    .readv = fd_readv,
    .writev = fd_writev,
    .shutdown_write = fd_shutdown_write,
    .close = fd_close,
};
