/*
 * loader_answer.c - what comes back: answers of HTTP, found by http_parser, and echoes, compared
 * with what was sent.
 *
 * Debian builds http_parser without its strict mode, so after an answer that ends the connection it
 * would take what follows for another one. It is paused after the last answer that is due, and what
 * is left then is surplus.
 */
#include "loader_connection.h"

#include <string.h>

/* ---- HTTP ------------------------------------------------------------------------------------ */

static int on_headers_complete(http_parser *parser)
{
    const struct loader_connection *connection = parser->data;
    return connection->loader->target.bodiless ? 1 : 0;
}

static int on_message_complete(http_parser *parser)
{
    struct loader_connection *connection = parser->data;
    unsigned status = parser->status_code;
    /* 100 Continue and its like come before the answer; 101 is one, and the end of HTTP. */
    if (status / 100 == 1 && status != 101)
        return 0;
    if (status == 101 || !http_should_keep_alive(parser))
        connection->closing = true;
    skua_loader_connection_answered(connection, status);
    if (connection->closing || connection->count == 0)
        http_parser_pause(parser, 1);
    return 0;
}

static const http_parser_settings settings = {
    .on_headers_complete = on_headers_complete,
    .on_message_complete = on_message_complete,
};

/* Some servers end a body with an empty line that is not part of it; it begins no answer. */
static bool is_empty_line(const char *data, size_t size)
{
    return (size == 1 && data[0] == '\n') || (size == 2 && memcmp(data, "\r\n", 2) == 0);
}

static enum loader_taken take_http(struct loader_connection *connection, const char *data,
                                   size_t size)
{
    http_parser *parser = &connection->parser;
    unsigned before = connection->count;
    size_t parsed = http_parser_execute(parser, &settings, data, size);
    enum http_errno error = HTTP_PARSER_ERRNO(parser);
    if (error == HPE_PAUSED) {
        http_parser_pause(parser, 0);
        /* Behind the last answer of a connection there may be anything: it is not read. */
        if (parsed == size || connection->closing || is_empty_line(data + parsed, size - parsed))
            return LOADER_TAKEN_ALL;
        return LOADER_TAKEN_SURPLUS;
    }
    if (size == 0)
        return connection->count < before ? LOADER_TAKEN_ALL : LOADER_TAKEN_CLOSED;
    return error == HPE_OK && parsed == size ? LOADER_TAKEN_ALL : LOADER_TAKEN_PROTOCOL;
}

/* ---- echo ------------------------------------------------------------------------------------ */

static enum loader_taken take_echo(struct loader_connection *connection, const char *data,
                                   size_t size)
{
    const struct loader_target *target = &connection->loader->target;
    while (size > 0 && connection->count > 0) {
        const struct loader_slot *slot = &connection->slots[connection->first];
        const char *expected = target->noise + slot->which * LOADER_PLACE_BYTES;
        size_t part = target->message_bytes - connection->echoed_bytes;
        if (part > size)
            part = size;
        if (memcmp(data, expected + connection->echoed_bytes, part) != 0)
            return LOADER_TAKEN_CONTENT;
        data += part;
        size -= part;
        connection->echoed_bytes += part;
        if (connection->echoed_bytes < target->message_bytes)
            break;
        connection->echoed_bytes = 0;
        skua_loader_connection_answered(connection, 0);
    }
    return size == 0 ? LOADER_TAKEN_ALL : LOADER_TAKEN_SURPLUS;
}

/* ---- both ------------------------------------------------------------------------------------ */

void skua_loader_answer_reset(struct loader_connection *connection)
{
    connection->echoed_bytes = 0;
    http_parser_init(&connection->parser, HTTP_RESPONSE);
    connection->parser.data = connection;
}

enum loader_taken skua_loader_answer_take(struct loader_connection *connection, const char *data,
                                          size_t size)
{
    if (!connection->loader->target.echo)
        return take_http(connection, data, size);
    return size == 0 ? LOADER_TAKEN_CLOSED : take_echo(connection, data, size);
}
