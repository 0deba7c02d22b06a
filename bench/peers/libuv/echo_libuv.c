/*
 * bench/peers/libuv/echo_libuv.c - an echo server with libuv, a loop for each worker.
 *
 * All connections of a loop share a buffer: libuv receives and calls back at once, and mostly
 * uv_try_write() has sent everything before the next receive. What it has not is copied for
 * uv_write(), and nothing is received until that is sent.
 *
 * With --stalls it is a server of the workload stalls (load/load_stalls.h), and has a single loop
 * whatever --workers says, as a program on libuv has as a rule.
 */
#include "common/bench_echo_loops.h"
#include "load/load_stalls.h"

#include <errno.h>
#include <uv.h>

static bool stalls; /* constant once main() has read the command line */

struct connection {
    uv_tcp_t tcp;
    uv_write_t write;
    char *rest; /* while uv_write() has it; else NULL */
};

static void must(const char *what, int rc)
{
    if (rc < 0)
        bench_echo_fail(what, rc);
}

static void on_close(uv_handle_t *handle)
{
    struct connection *connection = handle->data;
    free(connection->rest);
    free(connection);
}

static void give_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    (void)suggested;
    *buffer = uv_buf_init(handle->loop->data, BENCH_ECHO_SHARED_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buffer);

static void on_written(uv_write_t *write, int status)
{
    struct connection *connection = write->data;
    free(connection->rest);
    connection->rest = NULL;
    if (status < 0)
        uv_close((uv_handle_t *)&connection->tcp, on_close);
    else
        must("uv_read_start", uv_read_start((uv_stream_t *)&connection->tcp, give_buffer, on_read));
}

static void write_rest(struct connection *connection, const char *bytes, size_t size)
{
    uv_stream_t *stream = (uv_stream_t *)&connection->tcp;
    connection->rest = malloc(size);
    if (connection->rest == NULL)
        bench_echo_fail("malloc", -ENOMEM);
    memcpy(connection->rest, bytes, size);
    connection->write.data = connection;
    uv_buf_t rest = uv_buf_init(connection->rest, (unsigned)size);
    must("uv_read_stop", uv_read_stop(stream));
    must("uv_write", uv_write(&connection->write, stream, &rest, 1, on_written));
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buffer)
{
    if (got == 0) /* EAGAIN */
        return;
    if (got < 0) {
        uv_close((uv_handle_t *)stream, on_close);
        return;
    }
    if (stalls)
        load_stalls_compute(buffer->base, (size_t)got);
    uv_buf_t all = uv_buf_init(buffer->base, (unsigned)got);
    int sent = uv_try_write(stream, &all, 1);
    if (sent == UV_EAGAIN)
        sent = 0;
    if (sent < 0)
        uv_close((uv_handle_t *)stream, on_close);
    else if (sent < got)
        write_rest(stream->data, buffer->base + sent, (size_t)(got - sent));
}

static void on_connection(uv_stream_t *server, int status)
{
    must("uv_listen", status);
    struct connection *connection = calloc(1, sizeof(*connection));
    if (connection == NULL)
        bench_echo_fail("calloc", -ENOMEM);
    uv_stream_t *stream = (uv_stream_t *)&connection->tcp;
    must("uv_tcp_init", uv_tcp_init(server->loop, &connection->tcp));
    stream->data = connection;
    must("uv_accept", uv_accept(server, stream));
    must("uv_read_start", uv_read_start(stream, give_buffer, on_read));
}

static void *serve(void *arg)
{
    uv_loop_t loop;
    uv_tcp_t server;
    must("uv_loop_init", uv_loop_init(&loop));
    loop.data = malloc(BENCH_ECHO_SHARED_BYTES);
    if (loop.data == NULL)
        bench_echo_fail("malloc", -ENOMEM);
    must("uv_tcp_init", uv_tcp_init(&loop, &server));
    must("uv_tcp_open", uv_tcp_open(&server, *(int *)arg));
    must("uv_listen", uv_listen((uv_stream_t *)&server, BENCH_ECHO_BACKLOG, on_connection));
    uv_run(&loop, UV_RUN_DEFAULT);
    return NULL;
}

int main(int argc, char **argv)
{
    stalls = load_stalls_take(&argc, argv);
    struct bench_echo echo = bench_echo_parse("echo_libuv", argc, argv);
    if (stalls)
        echo.workers = 1;
    bench_echo_run_loops(&echo, SOCK_NONBLOCK, serve);
    return 0;
}
