/*
 * httpd_answer.c - answers, put together in the connection's output buffer.
 *
 * Putting never fails: a full buffer is sent, and what is put once nothing can be sent any more is
 * forgotten.
 */
#include "httpd_connection.h"

#include <http_parser.h>
#include <stdio.h>
#include <string.h>

const char *skua_httpd_text(const struct httpd_connection *connection, struct httpd_slice slice)
{
    return connection->in + connection->in_begin + slice.begin;
}

void skua_httpd_put(struct httpd_connection *connection, const void *data, size_t size)
{
    const char *from = data;
    while (size > sizeof(connection->out) - connection->out_used) {
        size_t room = sizeof(connection->out) - connection->out_used;
        memcpy(connection->out + connection->out_used, from, room);
        connection->out_used += room;
        from += room;
        size -= room;
        skua_httpd_flush(connection, 0);
    }
    if (size == 0)
        return; /* from may be NULL */
    memcpy(connection->out + connection->out_used, from, size);
    connection->out_used += size;
}

void skua_httpd_put_text(struct httpd_connection *connection, const char *text)
{
    skua_httpd_put(connection, text, strlen(text));
}

void skua_httpd_put_number(struct httpd_connection *connection, uint64_t number)
{
    char digits[20];
    char *begin = digits + sizeof(digits);
    do {
        *--begin = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    skua_httpd_put(connection, begin, (size_t)(digits + sizeof(digits) - begin));
}

/* ---- heads ----------------------------------------------------------------------------------- */

#define PUT_LITERAL(connection, text) skua_httpd_put((connection), (text), sizeof(text) - 1)

/* Made anew once a second, and only if somebody is answered. */
static void put_date(struct httpd_connection *connection)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (now.tv_sec != connection->date_time) {
        connection->date_time = now.tv_sec;
        skua_httpd_date_format(now.tv_sec, connection->date);
    }
    PUT_LITERAL(connection, "Date: ");
    skua_httpd_put(connection, connection->date, HTTPD_DATE_BYTES - 1);
    PUT_LITERAL(connection, "\r\n");
}

void skua_httpd_answer_begin(struct httpd_connection *connection, unsigned status)
{
    connection->status = status;
    connection->answer_bytes = 0;
    if (atomic_load_explicit(&connection->httpd->draining, memory_order_relaxed)) /* a hint */
        connection->closing = true;
    if (status == 200) {
        PUT_LITERAL(connection, "HTTP/1.1 200 OK\r\n");
    } else {
        PUT_LITERAL(connection, "HTTP/1.1 ");
        skua_httpd_put_number(connection, status);
        PUT_LITERAL(connection, " ");
        skua_httpd_put_text(connection, http_status_str((enum http_status)status));
        PUT_LITERAL(connection, "\r\n");
    }
    PUT_LITERAL(connection, "Server: skua\r\n");
    put_date(connection);
    if (connection->closing)
        PUT_LITERAL(connection, "Connection: close\r\n");
    else if (connection->request.minor == 0)
        PUT_LITERAL(connection, "Connection: keep-alive\r\n");
}

void skua_httpd_answer_end_bare(struct httpd_connection *connection)
{
    PUT_LITERAL(connection, "\r\n");
}

void skua_httpd_answer_end(struct httpd_connection *connection, const char *type, uint64_t length)
{
    if (type != NULL) {
        PUT_LITERAL(connection, "Content-Type: ");
        skua_httpd_put_text(connection, type);
        PUT_LITERAL(connection, "\r\n");
    }
    PUT_LITERAL(connection, "Content-Length: ");
    skua_httpd_put_number(connection, length);
    PUT_LITERAL(connection, "\r\n\r\n");
    if (connection->request.method != HTTPD_HEAD)
        connection->answer_bytes = length;
}

/* ---- whole answers --------------------------------------------------------------------------- */

void skua_httpd_answer(struct httpd_connection *connection, unsigned status, const char *type,
                       const char *body, size_t body_size)
{
    skua_httpd_answer_begin(connection, status);
    skua_httpd_answer_end(connection, type, body_size);
    if (connection->request.method == HTTPD_HEAD)
        return;
    if (body_size <= sizeof(connection->out) - connection->out_used)
        skua_httpd_put(connection, body, body_size);
    else
        skua_httpd_flush_with(connection, body, body_size);
}

void skua_httpd_answer_error(struct httpd_connection *connection, unsigned status,
                             const char *fields)
{
    char body[64];
    int size =
        snprintf(body, sizeof(body), "%u %s\n", status, http_status_str((enum http_status)status));
    skua_httpd_answer_begin(connection, status);
    if (fields != NULL)
        skua_httpd_put_text(connection, fields);
    skua_httpd_answer_end(connection, "text/plain; charset=utf-8", (uint64_t)size);
    if (connection->request.method != HTTPD_HEAD)
        skua_httpd_put(connection, body, (size_t)size);
}
