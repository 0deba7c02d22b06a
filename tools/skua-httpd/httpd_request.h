/*
 * httpd_request.h - the head of a request: where it ends, and what it says.
 *
 * Knows neither sockets nor tasks, so that it can be tested alone. Results are 0 (or a size) if all
 * is well and otherwise the status the request must be answered with, negative: -400.
 */
#ifndef SKUA_HTTPD_REQUEST_H
#define SKUA_HTTPD_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define HTTPD_TARGET_BYTES_MAX 8000u /* as RFC 9112, 3 recommends */

/* A piece of the head, told by offsets: the buffer may move while a body is read. */
struct httpd_slice {
    uint32_t begin;
    uint32_t size;
};

enum httpd_method { HTTPD_GET, HTTPD_HEAD, HTTPD_POST, HTTPD_OPTIONS, HTTPD_OTHER };

/* Which header a slice of struct httpd_request is. */
enum httpd_field {
    HTTPD_FIELD_NONE,
    HTTPD_HOST,
    HTTPD_EXPECT,
    HTTPD_TRANSFER_ENCODING,
    HTTPD_RANGE,
    HTTPD_IF_RANGE,
    HTTPD_IF_NONE_MATCH,
    HTTPD_IF_MODIFIED_SINCE,
    HTTPD_ACCEPT_ENCODING,
    HTTPD_USER_AGENT,
    HTTPD_REFERER,
    HTTPD_FIELDS
};

struct httpd_request {
    struct httpd_slice line;   /* without its end */
    struct httpd_slice target; /* of which path and query are parts */
    struct httpd_slice path;   /* begins with '/', or is "*" */
    struct httpd_slice query;
    struct httpd_slice fields[HTTPD_FIELDS]; /* the last one of a name; size 0: none or empty */
    uint8_t field_counts[HTTPD_FIELDS];      /* saturating */
    enum httpd_method method;
    unsigned minor; /* HTTP/1.minor */
    uint64_t content_length;
    bool chunked;
    bool keep_alive;
    bool expects_continue;
};

/* How far a head has been looked at. Zero-initialise for each request. */
struct httpd_scan {
    size_t line_begin;
    size_t position;
    unsigned lines; /* complete ones, the request line among them */
};

/*
 * Looks for the end of the head in the @size bytes at @data, which begin as they did in earlier
 * calls with @scan. Returns the size of the head; 0 if there must be more bytes; -400.
 */
ssize_t skua_httpd_head_scan(struct httpd_scan *scan, const char *data, size_t size);

/* Parses a head that skua_httpd_head_scan() has found. Returns 0 or a negative status. */
int skua_httpd_request_parse(struct httpd_request *request, const char *head, size_t size);

/* Whether the comma-separated list in @value has @token, not with a weight of zero. */
bool skua_httpd_list_has(const char *value, size_t size, const char *token);

#endif /* SKUA_HTTPD_REQUEST_H */
