/*
 * bench/peers/raw_epoll/http_raw_epoll.c - the least that answers in the workload http: a bare
 * epoll loop, one a worker, that looks for the empty line behind a request and sends a constant.
 *
 * It is no server: nothing of a request is understood, and an answer that the kernel does not take
 * at once ends the connection. So it shows what the kernel alone costs. See bench/http_bench.py.
 */
#include "common/bench_echo_loops.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS 512

static const char answer[] = "HTTP/1.1 200 OK\r\n"
                             "Server: raw\r\n"
                             "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
                             "Content-Type: text/plain\r\n"
                             "Content-Length: 13\r\n"
                             "\r\n"
                             "Hello, World!";
#define ANSWER_BYTES (sizeof(answer) - 1)

struct connection {
    int fd;
    unsigned matched; /* of the empty line's "\r\n\r\n", across what is received */
};

/* How many requests end in what was received. */
static unsigned count_requests(struct connection *connection, const char *bytes, size_t size)
{
    static const char end[] = "\r\n\r\n";
    unsigned count = 0;
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] == end[connection->matched])
            connection->matched++;
        else
            connection->matched = bytes[i] == '\r';
        if (connection->matched == sizeof(end) - 1) {
            connection->matched = 0;
            count++;
        }
    }
    return count;
}

/* False if the connection is over. */
static bool answer_all(struct connection *connection, char *buffer)
{
    ssize_t got = recv(connection->fd, buffer, BENCH_ECHO_SHARED_BYTES, 0);
    if (got <= 0)
        return got < 0 && errno == EAGAIN;
    for (unsigned count = count_requests(connection, buffer, (size_t)got); count > 0; count--) {
        if (send(connection->fd, answer, ANSWER_BYTES, MSG_NOSIGNAL) != (ssize_t)ANSWER_BYTES)
            return false;
    }
    return true;
}

static void accept_all(int epoll, int listener)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct connection *connection = calloc(1, sizeof(*connection));
        if (connection == NULL)
            bench_echo_fail("calloc", -ENOMEM);
        connection->fd = fd;
        struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data = {.ptr = connection}};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
            bench_echo_fail("epoll_ctl", errno);
    }
    if (errno != EAGAIN && errno != ECONNABORTED)
        bench_echo_fail("accept4", errno);
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
            struct connection *connection = events[i].data.ptr;
            if (connection == NULL) {
                accept_all(epoll, listener);
            } else if (!answer_all(connection, buffer)) {
                close(connection->fd);
                free(connection);
            }
        }
    }
}

int main(int argc, char **argv)
{
    struct bench_echo echo = bench_echo_parse("http_raw_epoll", argc, argv);
    bench_echo_run_loops(&echo, SOCK_NONBLOCK, serve);
}
