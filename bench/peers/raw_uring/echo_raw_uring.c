/*
 * bench/peers/raw_uring/echo_raw_uring.c - an echo server as a bare liburing loop: a ring for each
 * worker, with the flags that are fastest for a thread alone with its ring.
 *
 * One multishot accept; on each connection a receive, then a send, then the next receive. What is
 * allocated for a connection is kept for later ones.
 */
#include "common/bench_echo_loops.h"

#include <errno.h>
#include <liburing.h>
#include <unistd.h>

#define RING_ENTRIES 1024u
#define COMPLETIONS (32u * 1024)

struct connection {
    struct connection *next; /* while it is free */
    int fd;
    unsigned sent;   /* of the bytes that are in the buffer */
    unsigned filled; /* 0 while it receives */
    char buffer[BENCH_ECHO_MESSAGE_MAX];
};

struct loop {
    struct io_uring ring;
    struct connection *free;
    int listener;
};

static void ring_start(struct io_uring *ring)
{
    struct io_uring_params params = {.flags = IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER |
                                              IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE,
                                     .cq_entries = COMPLETIONS};
    int rc = io_uring_queue_init_params(RING_ENTRIES, ring, &params);
    if (rc == -EINVAL) { /* a kernel that does not know them */
        params = (struct io_uring_params){.flags = IORING_SETUP_CQSIZE, .cq_entries = COMPLETIONS};
        rc = io_uring_queue_init_params(RING_ENTRIES, ring, &params);
    }
    if (rc < 0)
        bench_echo_fail("io_uring_queue_init", rc);
    (void)io_uring_register_ring_fd(ring); /* only makes it faster */
}

static struct io_uring_sqe *next_sqe(struct loop *loop)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&loop->ring);
    if (sqe != NULL)
        return sqe;
    int rc = io_uring_submit(&loop->ring);
    sqe = io_uring_get_sqe(&loop->ring);
    if (sqe == NULL)
        bench_echo_fail("io_uring_submit", rc < 0 ? rc : -EBUSY);
    return sqe;
}

static void send_accept(struct loop *loop)
{
    struct io_uring_sqe *sqe = next_sqe(loop);
    io_uring_prep_multishot_accept(sqe, loop->listener, NULL, NULL, SOCK_CLOEXEC);
    io_uring_sqe_set_data(sqe, NULL);
}

static void send_receive(struct loop *loop, struct connection *connection)
{
    struct io_uring_sqe *sqe = next_sqe(loop);
    connection->filled = 0;
    io_uring_prep_recv(sqe, connection->fd, connection->buffer, sizeof(connection->buffer), 0);
    io_uring_sqe_set_data(sqe, connection);
}

static void send_send(struct loop *loop, struct connection *connection)
{
    struct io_uring_sqe *sqe = next_sqe(loop);
    io_uring_prep_send(sqe, connection->fd, connection->buffer + connection->sent,
                       connection->filled - connection->sent, MSG_NOSIGNAL);
    io_uring_sqe_set_data(sqe, connection);
}

static void on_accept(struct loop *loop, const struct io_uring_cqe *cqe)
{
    if (cqe->res < 0 && cqe->res != -ECONNABORTED)
        bench_echo_fail("accept", cqe->res);
    if ((cqe->flags & IORING_CQE_F_MORE) == 0)
        send_accept(loop);
    if (cqe->res < 0)
        return;
    struct connection *connection = loop->free;
    if (connection != NULL)
        loop->free = connection->next;
    else
        connection = malloc(sizeof(*connection));
    if (connection == NULL)
        bench_echo_fail("malloc", -ENOMEM);
    connection->fd = cqe->res;
    send_receive(loop, connection);
}

static void on_transfer(struct loop *loop, struct connection *connection, int result)
{
    if (result <= 0) {
        close(connection->fd);
        connection->next = loop->free;
        loop->free = connection;
    } else if (connection->filled == 0) {
        connection->filled = (unsigned)result;
        connection->sent = 0;
        send_send(loop, connection);
    } else {
        connection->sent += (unsigned)result;
        if (connection->sent < connection->filled)
            send_send(loop, connection);
        else
            send_receive(loop, connection);
    }
}

static void *serve(void *arg)
{
    struct loop loop = {.listener = *(int *)arg};
    ring_start(&loop.ring);
    send_accept(&loop);
    for (;;) {
        int rc = io_uring_submit_and_wait(&loop.ring, 1);
        if (rc < 0 && rc != -EINTR && rc != -EAGAIN && rc != -EBUSY)
            bench_echo_fail("io_uring_submit_and_wait", rc);
        struct io_uring_cqe *cqe;
        unsigned head;
        unsigned seen = 0;
        io_uring_for_each_cqe(&loop.ring, head, cqe)
        {
            struct connection *connection = io_uring_cqe_get_data(cqe);
            if (connection == NULL)
                on_accept(&loop, cqe);
            else
                on_transfer(&loop, connection, cqe->res);
            seen++;
        }
        io_uring_cq_advance(&loop.ring, seen);
    }
}

int main(int argc, char **argv)
{
    struct bench_echo echo = bench_echo_parse("echo_raw_uring", argc, argv);
    bench_echo_run_loops(&echo, 0, serve);
}
