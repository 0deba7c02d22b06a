/*
 * proxy_splice.c - a direction of a connection whose bytes do not pass through this process.
 *
 * The pipe is empty whenever the source is looked at, so a source that is not ready has nothing to
 * give, and polling it does not spin. A lane that always finds bytes and room makes no wait in
 * which others could run; so it yields now and then.
 */
#include "proxy_connection.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#define PIECE_BYTES ((size_t)64 * 1024) /* what a pipe holds */
#define YIELD_BYTES ((size_t)512 * 1024)

/* Not inlined: errno is read on the thread that made the call. */
static __attribute__((noinline)) ssize_t splice_now(int from_fd, int to_fd, size_t size)
{
    ssize_t n = splice(from_fd, NULL, to_fd, NULL, size, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    return n < 0 ? -errno : n;
}

/* Waits until @poll_fd is ready whenever it is not. At least one byte, 0 at the end, or -errno. */
static ssize_t splice_some(int from_fd, int to_fd, size_t size, int poll_fd, unsigned events)
{
    for (;;) {
        ssize_t n = splice_now(from_fd, to_fd, size);
        if (n == -EINTR)
            continue;
        if (n != -EAGAIN)
            return n;
        int ready = skua_poll(poll_fd, events);
        if (ready < 0)
            return ready;
    }
}

/* Empties the pipe, which holds @size bytes. */
static ssize_t drain_pipe(struct proxy_lane *lane, int pipe_fd, size_t size)
{
    while (size > 0) {
        ssize_t n = splice_some(pipe_fd, lane->to_fd, size, lane->to_fd, POLLOUT);
        if (n <= 0)
            return n < 0 ? n : -EPIPE;
        skua_proxy_connection_touch(lane->connection);
        lane->carried += (uint64_t)n;
        size -= (size_t)n;
    }
    return 0;
}

void skua_proxy_splice(struct proxy_lane *lane, const int pipe_fds[2], ssize_t *from_rc,
                       ssize_t *to_rc)
{
    size_t moved = 0; /* since the last yield */
    (void)fcntl(lane->from_fd, F_SETFL, O_RDWR | O_NONBLOCK);
    (void)fcntl(lane->to_fd, F_SETFL, O_RDWR | O_NONBLOCK);
    for (;;) {
        ssize_t n = splice_some(lane->from_fd, pipe_fds[1], PIECE_BYTES, lane->from_fd, POLLIN);
        if (n > 0) {
            skua_proxy_connection_touch(lane->connection);
            *to_rc = drain_pipe(lane, pipe_fds[0], (size_t)n);
            moved += (size_t)n;
        }
        if (n <= 0 || *to_rc != 0) {
            *from_rc = n < 0 ? n : 0;
            return;
        }
        if (moved >= YIELD_BYTES) {
            moved = 0;
            *from_rc = skua_yield();
            if (*from_rc < 0)
                return;
        }
    }
}
