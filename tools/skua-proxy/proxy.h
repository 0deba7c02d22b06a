/*
 * proxy.h - skua-proxy: carries TCP connections to one of several backends. What every file of the
 * tool shares.
 *
 * Life of a run: main parses the options, opens the sockets, starts a runtime and submits one root
 * task, which starts a server and sleeps. Every connection has a task and, while bytes are carried,
 * a child for the other direction. Beside them there are a task for each log, one that looks for
 * idle connections, and one for each backend if they are checked. A signal cancels the root task,
 * which drains the server.
 */
#ifndef SKUA_PROXY_H
#define SKUA_PROXY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <skua/skua.h>

#include "tool_options.h"

#define PROXY_PROGRAM "skua-proxy"
#define PROXY_LISTEN_MAX 16u
#define PROXY_BACKENDS_MAX 256u
#define PROXY_PIPES_SPARE_MAX 16u

struct proxy_backends;
struct proxy_connection;
struct proxy_log;

enum proxy_balance { PROXY_LEAST_CONNECTIONS, PROXY_ROUND_ROBIN };

struct proxy_options {
    const char *listen[PROXY_LISTEN_MAX]; /* at least one */
    unsigned listen_count;
    const char *backends[PROXY_BACKENDS_MAX]; /* at least one */
    unsigned backend_count;
    enum proxy_balance balance;
    unsigned workers; /* 0: the runtime's default */
    unsigned connections_max;
    unsigned check_fall; /* so many failed checks in a row: down */
    unsigned check_rise; /* so many good ones: up again */
    unsigned send_proxy; /* version of the PROXY header backends get; 0: none */
    bool accept_proxy;   /* clients begin with a PROXY header */
    bool splice;         /* bytes pass through pipes, not through this process */
    bool quiet;
    const char *access_log; /* a path, "-" or NULL */
    const char *tls_cert;   /* PEM; clients speak TLS. NULL: they do not */
    const char *tls_key;    /* NULL: it stands there, too */
    size_t buffer_bytes;    /* of each direction */
    uint64_t connect_timeout_ns;
    uint64_t fail_ns;           /* a backend that fails is left out this long at first */
    uint64_t check_interval_ns; /* 0: no checks */
    uint64_t idle_timeout_ns;   /* 0: never */
    uint64_t half_timeout_ns;   /* the same once one direction has ended; 0: as idle_timeout_ns */
    uint64_t header_timeout_ns; /* for the PROXY header of a client */
    uint64_t drain_ns;
};

/* How a connection came to its end. */
enum proxy_end {
    PROXY_END_DONE,       /* both directions to their ends */
    PROXY_END_CLIENT,     /* the client's socket, or its TLS after the handshake, failed */
    PROXY_END_BACKEND,    /* the backend's socket failed */
    PROXY_END_IDLE,       /* nothing moved for the idle timeout */
    PROXY_END_NO_BACKEND, /* none could be connected to */
    PROXY_END_BAD_HEADER, /* no PROXY header, or a wrong one */
    PROXY_END_HANDSHAKE,  /* the client's TLS handshake failed, or took too long */
    PROXY_END_SHORTAGE,   /* no memory or no descriptor */
    PROXY_END_CUT,        /* the drain's time was over */
    PROXY_END_COUNT
};

/* Empty pipes that nobody has at the moment. */
struct proxy_pipes {
    pthread_mutex_t lock;
    unsigned count; /* guarded by lock, as the next */
    int fds[PROXY_PIPES_SPARE_MAX][2];
};

/* The running proxy. */
struct proxy {
    struct proxy_options options; /* constant, as the next three */
    struct proxy_backends *backends;
    struct proxy_log *access_log; /* NULL: none is kept */
    struct proxy_log *notices;    /* standard error; NULL: quiet */
    struct skua_tls_context *tls; /* NULL: clients speak no TLS; constant */
    struct proxy_pipes pipes;
    _Atomic uint64_t open;
    _Atomic uint64_t bytes_up; /* to backends, by connections that have ended; likewise down */
    _Atomic uint64_t bytes_down;
    _Atomic uint64_t ends[PROXY_END_COUNT];
    pthread_mutex_t lock;
    struct proxy_connection *connections; /* that carry bytes; guarded by lock */
};

enum tool_parse skua_proxy_options_parse(int argc, char **argv, struct proxy_options *options);

#endif /* SKUA_PROXY_H */
