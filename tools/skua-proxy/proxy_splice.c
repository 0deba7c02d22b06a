/*
 * proxy_splice.c - a direction of a connection whose bytes do not pass through this process.
 *
 * PIPES  A lane takes a pipe when its source is readable and gives it back when it is going to wait
 *        for the source again. The pipe is empty then: whatever comes out of the source is written
 *        before anything else is read. Only a lane whose target takes no more keeps one while it
 *        waits.
 * WAITS  A short piece is most often a message with nothing behind it, so the source is waited for
 *        rather than asked. A lane that always finds bytes and room makes no wait in which others
 *        could run; so it yields now and then.
 */
#include "proxy_connection.h"
#include "proxy_pipes.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#define PIECE_BYTES ((size_t)256 * 1024) /* what a pipe holds */
#define SHORT_BYTES ((ssize_t)4096)
#define YIELD_BYTES ((size_t)512 * 1024)

/* Not inlined: errno is read on the thread that made the call. */
static __attribute__((noinline)) ssize_t splice_now(int from_fd, int to_fd, size_t size)
{
    ssize_t n = splice(from_fd, NULL, to_fd, NULL, size, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    return n < 0 ? -errno : n;
}

static ssize_t splice_once(int from_fd, int to_fd, size_t size)
{
    ssize_t n;
    do
        n = splice_now(from_fd, to_fd, size);
    while (n == -EINTR);
    return n;
}

/* Empties the pipe, which holds @size bytes. */
static ssize_t drain_pipe(struct proxy_lane *lane, int pipe_fd, size_t size)
{
    while (size > 0) {
        ssize_t n = splice_once(pipe_fd, lane->to_fd, size);
        if (n == -EAGAIN) {
            skua_proxy_wait_begin(lane);
            int ready = skua_poll(lane->to_fd, POLLOUT);
            skua_proxy_wait_end(lane);
            if (ready < 0)
                return ready;
            continue;
        }
        if (n <= 0)
            return n < 0 ? n : -EPIPE;
        skua_proxy_connection_touch(lane->connection);
        lane->carried += (uint64_t)n;
        size -= (size_t)n;
    }
    return 0;
}

/*
 * Moves what the source has. -EAGAIN when it is to be waited for, 0 at its end, or -errno; what
 * went wrong with the target is in *@to_rc, and then the pipe may hold bytes.
 */
static ssize_t move(struct proxy_lane *lane, const int pipe_fds[2], ssize_t *to_rc)
{
    size_t moved = 0; /* since the last yield */
    for (;;) {
        ssize_t n = splice_once(lane->from_fd, pipe_fds[1], PIECE_BYTES);
        if (n <= 0)
            return n;
        skua_proxy_connection_touch(lane->connection);
        *to_rc = drain_pipe(lane, pipe_fds[0], (size_t)n);
        if (*to_rc != 0)
            return 0;
        if (n < SHORT_BYTES)
            return -EAGAIN;
        moved += (size_t)n;
        if (moved >= YIELD_BYTES) {
            moved = 0;
            int rc = skua_yield();
            if (rc < 0)
                return rc;
        }
    }
}

bool skua_proxy_splice(struct proxy_lane *lane, ssize_t *from_rc, ssize_t *to_rc)
{
    struct proxy_pipes *pipes = &lane->connection->proxy->pipes;
    (void)fcntl(lane->from_fd, F_SETFL, O_RDWR | O_NONBLOCK);
    (void)fcntl(lane->to_fd, F_SETFL, O_RDWR | O_NONBLOCK);
    for (;;) {
        int pipe_fds[2];
        int ready = skua_poll(lane->from_fd, POLLIN);
        if (ready < 0) {
            *from_rc = ready;
            return true;
        }
        if (!skua_proxy_pipe_take(pipes, pipe_fds))
            return false;
        ssize_t n = move(lane, pipe_fds, to_rc);
        skua_proxy_pipe_give(pipes, pipe_fds, *to_rc == 0);
        if (n != -EAGAIN) {
            *from_rc = n;
            return true;
        }
    }
}
