/*
 * httpd_routes.c - which path is what. Whatever is no path of its own here is a file.
 */
#include "httpd_connection.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define METHODS_READ "Allow: GET, HEAD, OPTIONS\r\n"
#define METHODS_ECHO "Allow: POST, OPTIONS\r\n"
#define METHODS_ALL "Allow: GET, HEAD, POST, OPTIONS\r\n"

static bool path_is(const struct httpd_connection *connection, const char *path)
{
    struct httpd_slice slice = connection->request.path;
    return slice.size == strlen(path) &&
           memcmp(skua_httpd_text(connection, slice), path, slice.size) == 0;
}

bool skua_httpd_route_wants_body(const struct httpd_connection *connection)
{
    return connection->request.method == HTTPD_POST && path_is(connection, "/echo");
}

/* ---- /cpu ------------------------------------------------------------------------------------ */

/* The number in "ms=N"; -1 if there is none that is allowed. */
static int parse_ms(const struct httpd_connection *connection)
{
    struct httpd_slice query = connection->request.query;
    const char *text = skua_httpd_text(connection, query);
    unsigned ms = 0;
    if (query.size < 4 || query.size > 9 || memcmp(text, "ms=", 3) != 0)
        return -1;
    for (size_t i = 3; i < query.size; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        ms = ms * 10 + (unsigned)(text[i] - '0');
    }
    return ms <= connection->httpd->options.cpu_ms_max ? (int)ms : -1;
}

static int64_t thread_cpu_ns(void)
{
    struct timespec used;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (int64_t)used.tv_sec * 1000000000 + used.tv_nsec;
}

/* Computes for @ms of processor time, whoever else wants the processor. Returns how many steps. */
static uint64_t compute(int ms)
{
    int64_t end_ns = thread_cpu_ns() + (int64_t)ms * 1000000;
    uint64_t state = 88172645463325252u;
    uint64_t steps = 0;
    while (thread_cpu_ns() < end_ns && !skua_cancelled()) {
        for (int i = 0; i < 10000; i++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
        }
        steps += 10000u + (state == 0); /* so that it is not left out */
    }
    return steps;
}

static void answer_cpu(struct httpd_connection *connection)
{
    char text[64];
    int ms = parse_ms(connection);
    if (ms < 0) {
        skua_httpd_answer_error(connection, 400, NULL);
        return;
    }
    /* Others of this batch need not wait for it. */
    skua_httpd_flush(connection, 0);
    skua_httpd_set_deadline(connection, SKUA_FOREVER); /* the queue is as long as it is */
    int rc = skua_hop(skua_executor_cpu(NULL));
    uint64_t steps = rc < 0 ? 0 : compute(ms);
    (void)skua_hop_back();
    skua_httpd_set_deadline(connection, skua_after(connection->httpd->options.write_timeout_ns));
    if (rc < 0) {
        skua_httpd_answer_error(connection, 503, "Retry-After: 1\r\n");
        return;
    }
    int size = snprintf(text, sizeof(text), "%d ms, %llu steps\n", ms, (unsigned long long)steps);
    skua_httpd_answer(connection, 200, "text/plain", text, (size_t)size);
}

/* ---- all of them ----------------------------------------------------------------------------- */

static void answer_options(struct httpd_connection *connection, const char *methods)
{
    skua_httpd_answer_begin(connection, 204);
    skua_httpd_put_text(connection, methods);
    skua_httpd_answer_end_bare(connection);
}

static void answer_read(struct httpd_connection *connection)
{
    static const char plaintext[] = "Hello, World!";
    static const char json[] = "{\"message\":\"Hello, World!\"}";
    if (path_is(connection, "/plaintext"))
        skua_httpd_answer(connection, 200, "text/plain", plaintext, sizeof(plaintext) - 1);
    else if (path_is(connection, "/json"))
        skua_httpd_answer(connection, 200, "application/json", json, sizeof(json) - 1);
    else if (path_is(connection, "/cpu"))
        answer_cpu(connection);
    else
        skua_httpd_file(connection);
}

void skua_httpd_route(struct httpd_connection *connection, const struct httpd_body *body)
{
    bool echo = path_is(connection, "/echo");
    const char *methods = echo ? METHODS_ECHO : METHODS_READ;
    switch (connection->request.method) {
    case HTTPD_GET:
    case HTTPD_HEAD:
        if (echo)
            skua_httpd_answer_error(connection, 405, methods);
        else
            answer_read(connection);
        return;
    case HTTPD_POST:
        if (echo)
            skua_httpd_answer(connection, 200, "application/octet-stream", body->data, body->size);
        else
            skua_httpd_answer_error(connection, 405, methods);
        return;
    case HTTPD_OPTIONS:
        answer_options(connection, path_is(connection, "*") ? METHODS_ALL : methods);
        return;
    case HTTPD_OTHER:
        break;
    }
    skua_httpd_answer_error(connection, 405, methods);
}
