/*
 * httpd.h - skua-httpd: files and a few benchmark answers over HTTP/1.1. What every file of the
 * tool shares.
 *
 * Life of a run: main parses the options, opens the sockets and the root, starts a runtime and
 * submits one root task, which starts a server and sleeps. Every connection has a task, which reads
 * requests, answers them in order and waits for more. A signal cancels the root task, which drains
 * the server.
 */
#ifndef SKUA_HTTPD_H
#define SKUA_HTTPD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <skua/skua.h>

#include "tool_options.h"

#define HTTPD_PROGRAM "skua-httpd"
#define HTTPD_LISTEN_MAX 16u

struct httpd_connection;
struct httpd_log;

struct httpd_options {
    const char *listen[HTTPD_LISTEN_MAX]; /* at least one */
    unsigned listen_count;
    unsigned workers; /* 0: the runtime's default */
    unsigned connections_max;
    unsigned cpu_ms_max; /* the most /cpu computes for one request */
    const char *root;
    const char *access_log; /* a path, "-" or NULL */
    const char *tls_cert;   /* PEM; NULL: no TLS */
    const char *tls_key;    /* NULL: it stands there, too */
    size_t header_bytes_max;
    size_t body_bytes_max;
    uint64_t header_timeout_ns; /* from the first byte of a request to the end of its header */
    uint64_t body_timeout_ns;   /* for a whole body */
    uint64_t idle_timeout_ns;   /* between requests */
    uint64_t write_timeout_ns;  /* for a piece of an answer */
    uint64_t drain_ns;
    bool quiet;
};

/* The running server. */
struct httpd {
    struct httpd_options options; /* constant */
    int root_fd;                  /* constant */
    struct httpd_log *log;        /* NULL: none is kept */
    struct skua_tls_context *tls; /* NULL: no TLS; constant */
    _Atomic bool draining;
    _Atomic uint64_t requests; /* of connections that have ended */
    pthread_mutex_t lock;
    struct httpd_connection *connections; /* guarded by lock */
};

enum tool_parse skua_httpd_options_parse(int argc, char **argv, struct httpd_options *options);

#endif /* SKUA_HTTPD_H */
