/*
 * bench/peers/raw_epoll/echo_raw_epoll.c - an echo server as a bare epoll loop, one a worker.
 *
 * Edge-triggered, so that one epoll_ctl() does for a connection. All connections share a buffer
 * with more room than a message takes: a receive that does not fill it has left nothing, so a
 * second one that would only return EAGAIN is saved; the end of the stream has an event of its own,
 * EPOLLRDHUP. What the kernel does not take at once is kept aside, and nothing is received until it
 * is sent.
 *
 * With --stalls it is a server of the workload stalls, see load/load_stalls.h.
 */
#include "common/bench_echo_loops.h"
#include "load/load_stalls.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS 512

static bool stalls; /* constant once main() has read the command line */

/* What a connection has still to send. */
struct rest {
    size_t start;
    size_t end;
    char bytes[BENCH_ECHO_SHARED_BYTES];
};

/* Allocated for a connection, and freed when it is closed. */
struct connection {
    int fd;
    struct rest *rest; /* NULL: nothing */
};

static void hang_up(struct connection *connection)
{
    close(connection->fd);
    free(connection->rest);
    free(connection);
}

/* Sends until the kernel takes no more. The number of bytes, or -errno. */
static ssize_t send_some(int fd, const char *bytes, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t sent = send(fd, bytes + done, size - done, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN)
            return -errno;
        if (sent < 0)
            break;
        done += (size_t)sent;
    }
    return (ssize_t)done;
}

static void keep_rest(struct connection *connection, const char *bytes, size_t size)
{
    connection->rest = malloc(sizeof(*connection->rest));
    if (connection->rest == NULL)
        bench_echo_fail("malloc", -ENOMEM);
    connection->rest->start = 0;
    connection->rest->end = size;
    memcpy(connection->rest->bytes, bytes, size);
}

/* Sends what was kept. False if the connection is broken. */
static bool send_rest(struct connection *connection)
{
    struct rest *rest = connection->rest;
    ssize_t sent = send_some(connection->fd, rest->bytes + rest->start, rest->end - rest->start);
    if (sent < 0)
        return false;
    rest->start += (size_t)sent;
    if (rest->start == rest->end) {
        free(rest);
        connection->rest = NULL;
    }
    return true;
}

/* Echoes what is there; @ended: until the end of the stream. False if the connection is over. */
static bool echo_all(struct connection *connection, char *buffer, bool ended)
{
    for (;;) {
        ssize_t got = recv(connection->fd, buffer, BENCH_ECHO_SHARED_BYTES, 0);
        if (got < 0)
            return errno == EAGAIN;
        if (got == 0)
            return false;
        if (stalls)
            load_stalls_compute(buffer, (size_t)got);
        ssize_t sent = send_some(connection->fd, buffer, (size_t)got);
        if (sent < 0)
            return false;
        if (sent < got) {
            keep_rest(connection, buffer + sent, (size_t)(got - sent));
            return true;
        }
        if ((size_t)got < BENCH_ECHO_SHARED_BYTES && !ended)
            return true;
    }
}

static void on_event(struct connection *connection, uint32_t events, char *buffer)
{
    bool had_rest = connection->rest != NULL;
    bool open = !had_rest || send_rest(connection);
    /* Edges that came while there was a rest were not looked at: so receive until there is nothing,
     * or the end of the stream. */
    bool ended = had_rest || (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    if (open && connection->rest == NULL && (ended || (events & EPOLLIN) != 0))
        open = echo_all(connection, buffer, ended);
    if (!open)
        hang_up(connection);
}

static void accept_all(int epoll, int listener)
{
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && errno == EAGAIN)
            return;
        if (fd < 0 && errno == ECONNABORTED)
            continue;
        if (fd < 0)
            bench_echo_fail("accept4", errno);
        struct connection *connection = calloc(1, sizeof(*connection));
        if (connection == NULL)
            bench_echo_fail("calloc", -ENOMEM);
        connection->fd = fd;
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                    .data = {.ptr = connection}};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
            bench_echo_fail("epoll_ctl", errno);
    }
}

static void *serve(void *arg)
{
    int listener = *(int *)arg;
    char *buffer = malloc(BENCH_ECHO_SHARED_BYTES);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = NULL}};
    if (buffer == NULL || epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) != 0)
        bench_echo_fail("epoll_create1", errno);
    for (;;) {
        struct epoll_event events[EVENTS];
        int count = epoll_wait(epoll, events, EVENTS, -1);
        if (count < 0 && errno != EINTR)
            bench_echo_fail("epoll_wait", errno);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == NULL)
                accept_all(epoll, listener);
            else
                on_event(events[i].data.ptr, events[i].events, buffer);
        }
    }
}

int main(int argc, char **argv)
{
    stalls = load_stalls_take(&argc, argv);
    struct bench_echo echo = bench_echo_parse("echo_raw_epoll", argc, argv);
    bench_echo_run_loops(&echo, SOCK_NONBLOCK, serve);
}
