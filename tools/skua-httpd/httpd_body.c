/*
 * httpd_body.c - bodies of requests, and the input buffer they come through.
 *
 * The head of the request stays where it is; its body comes piece by piece into the place behind
 * it.
 */
#include "httpd_connection.h"
#include "httpd_tls.h"

#include "httpd_chunk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define CAPACITY_FIRST 4096u

/* ---- the input buffer ------------------------------------------------------------------------ */

/* Moves the buffer to the heap, twice as large. */
static bool grow(struct httpd_connection *connection)
{
    size_t size = connection->in_size * 2;
    bool small = connection->in == connection->in_small;
    char *in = realloc(small ? NULL : connection->in, size);
    if (in == NULL)
        return false;
    if (small)
        memcpy(in, connection->in_small, connection->in_end);
    connection->in = in;
    connection->in_size = size;
    return true;
}

/* The bytes behind the head that are still to be looked at. */
static char *rest_begin(const struct httpd_connection *connection)
{
    return connection->in + connection->in_begin + connection->head_size + connection->body_used;
}

static size_t rest_size(const struct httpd_connection *connection)
{
    return connection->in_end - connection->in_begin - connection->head_size -
           connection->body_used;
}

/* Makes room behind what is in the buffer. */
static bool make_room(struct httpd_connection *connection)
{
    if (connection->body_used > 0) {
        /* More is only waited for when all of the body that is there has been consumed. */
        connection->in_end -= connection->body_used;
        connection->body_used = 0;
    }
    if (connection->in_end < connection->in_size)
        return true;
    if (connection->in_begin > 0) {
        connection->in_end -= connection->in_begin;
        memmove(connection->in, connection->in + connection->in_begin, connection->in_end);
        connection->in_begin = 0;
        return true;
    }
    return grow(connection);
}

bool skua_httpd_receive(struct httpd_connection *connection)
{
    if (!make_room(connection)) {
        connection->closing = true;
        return false;
    }
    ssize_t n = skua_httpd_recv(connection, connection->in + connection->in_end,
                                connection->in_size - connection->in_end);
    if (n > 0)
        connection->in_end += (size_t)n;
    else
        skua_httpd_failed(connection);
    return n > 0;
}

/* ---- the body -------------------------------------------------------------------------------- */

static bool reserve(struct httpd_body *body, size_t more)
{
    size_t capacity = body->capacity == 0 ? CAPACITY_FIRST : body->capacity;
    while (capacity < body->size + more)
        capacity *= 2;
    if (capacity == body->capacity)
        return true;
    char *data = realloc(body->data, capacity);
    if (data == NULL)
        return false;
    body->data = data;
    body->capacity = capacity;
    return true;
}

/* Takes @size bytes of the body. 0 or a status. */
static int take(struct httpd_connection *connection, struct httpd_body *body, const char *data,
                size_t size)
{
    if (size > connection->httpd->options.body_bytes_max - body->size)
        return -413;
    if (body->wanted && size > 0) {
        if (!reserve(body, size))
            return -503;
        memcpy(body->data + body->size, data, size);
    }
    body->size += size;
    return 0;
}

/* Before a wait for more of the body: the peer may be waiting for what has been answered. */
static void prepare_wait(struct httpd_connection *connection, struct httpd_body *body)
{
    skua_httpd_flush(connection, 0);
    if (body->waiting)
        return;
    body->waiting = true;
    skua_httpd_set_deadline(connection, skua_after(connection->httpd->options.body_timeout_ns));
}

/* Half a request is none; but if it took too long the peer is told. */
static int body_failed(struct httpd_connection *connection)
{
    if (connection->expired)
        return -408;
    connection->broken = true;
    return 0;
}

static int receive_body(struct httpd_connection *connection, struct httpd_body *body)
{
    prepare_wait(connection, body);
    return skua_httpd_receive(connection) ? 0 : body_failed(connection);
}

/* Receives the @left bytes that are to come where they are wanted. */
static int receive_in_place(struct httpd_connection *connection, struct httpd_body *body,
                            uint64_t left)
{
    prepare_wait(connection, body);
    while (left > 0) {
        ssize_t n = skua_httpd_recv(connection, body->data + body->size, (size_t)left);
        if (n <= 0) {
            skua_httpd_failed(connection);
            return body_failed(connection);
        }
        body->size += (size_t)n;
        left -= (uint64_t)n;
    }
    return 0;
}

static int read_counted(struct httpd_connection *connection, struct httpd_body *body)
{
    uint64_t left = connection->request.content_length;
    int rc = 0;
    if (body->wanted && !reserve(body, (size_t)left))
        return -503;
    while (rc == 0 && left > 0 && !connection->broken) {
        size_t size = rest_size(connection);
        if (size == 0 && body->wanted)
            return receive_in_place(connection, body, left);
        if (size == 0) {
            rc = receive_body(connection, body);
            continue;
        }
        if (size > left)
            size = (size_t)left;
        rc = take(connection, body, rest_begin(connection), size);
        connection->body_used += size;
        left -= size;
    }
    return rc;
}

static int read_chunked(struct httpd_connection *connection, struct httpd_body *body)
{
    struct httpd_chunks chunks = {0};
    int rc = 0;
    while (rc == 0 && chunks.state != HTTPD_CHUNK_DONE && !connection->broken) {
        size_t data_size = 0;
        const char *begin = rest_begin(connection);
        ssize_t used = skua_httpd_chunk_next(&chunks, begin, rest_size(connection), &data_size);
        if (used < 0)
            return (int)used;
        if (used == 0) {
            rc = receive_body(connection, body);
            continue;
        }
        if (chunks.left > connection->httpd->options.body_bytes_max)
            return -413; /* what has been announced need not come first */
        rc = take(connection, body, begin + used - data_size, data_size);
        connection->body_used += (size_t)used;
    }
    return rc;
}

int skua_httpd_body_read(struct httpd_connection *connection, struct httpd_body *body)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    const struct httpd_request *request = &connection->request;
    if (request->content_length > connection->httpd->options.body_bytes_max)
        return -413;
    if (request->expects_continue && rest_size(connection) == 0)
        skua_httpd_put(connection, go_on, sizeof(go_on) - 1);
    return request->chunked ? read_chunked(connection, body) : read_counted(connection, body);
}
