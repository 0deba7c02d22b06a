/*
 * skua/server.h - a server: accepts connections and runs a task for each.
 *
 *     intptr_t echo(skua_connection *connection, void *arg)
 *     {
 *         char buffer[4096];
 *         ssize_t n;
 *         while ((n = skua_recv(skua_connection_fd(connection), buffer, sizeof(buffer), 0)) > 0)
 *             skua_send_all(skua_connection_fd(connection), buffer, (size_t)n);
 *         return n;
 *     }
 *     ...
 *     skua_server_options options = {.listeners = &fd, .listener_count = 1, .handle = echo};
 *     rc = skua_serve(&options);
 *
 * skua_serve() ends when its task is cancelled. For a server that ends well on Ctrl-C, block the
 * signals in main(), before skua_run(), so that every thread has them blocked, and wait for one:
 *
 *     sigaddset(&signals, SIGINT);
 *     pthread_sigmask(SIG_BLOCK, &signals, NULL);
 *     ...
 *     rc = skua_server_start(&options, &server);
 *     fd = signalfd(-1, &signals, SFD_CLOEXEC);
 *     skua_read(fd, &info, sizeof(info));
 *     skua_server_stop(server, skua_after(5 * SKUA_NS_PER_SEC));
 *
 * With SKUA_SERVER_IDLE the handler is called whenever bytes have arrived, and returns
 * SKUA_CONNECTION_KEEP to be called for the next ones. In between the connection has no task and no
 * stack, and takes less than 200 bytes of this process's memory.
 */
#ifndef SKUA_SERVER_H
#define SKUA_SERVER_H

#include <skua/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A server, and one of its connections. */
typedef struct skua_server skua_server;
typedef struct skua_connection skua_connection;

/*
 * Handles a connection, in a task of its own; it may wait. Afterwards the connection is closed,
 * whatever is returned; an error (-errno) is counted. It is cancelled if the server stops and its
 * patience ends. With SKUA_SERVER_IDLE see there.
 */
typedef intptr_t (*skua_connection_fn)(skua_connection *connection, void *arg);

/* What a handler of SKUA_SERVER_IDLE returns to be called again. */
#define SKUA_CONNECTION_KEEP 1

/* Connections at rest hold no task: see above. */
#define SKUA_SERVER_IDLE 1u

/* How to serve. Zero-initialise; zero means default everywhere. */
typedef struct skua_server_options {
    const int *listeners; /* sockets that listen; not copied until start returns, never closed */
    size_t listener_count;
    skua_connection_fn handle;
    void *arg;

    /* Called when a connection is about to be closed, in a task or not: must not wait. */
    void (*closed)(skua_connection *connection, void *arg);

    unsigned flags;           /* SKUA_SERVER_... */
    unsigned connections_max; /* beyond these none is accepted; default 1 million */
    unsigned accept_max;      /* accepted at once, before others run; default 16 */
    unsigned reserved_field;
    size_t stack_size_bytes;  /* of a handler; default: the runtime's */
    uint64_t idle_timeout_ns; /* SKUA_SERVER_IDLE: a connection at rest is closed then; 0: never */
    uint64_t drain_ns;        /* skua_serve(): handlers may go on this long when it is cancelled */
    const char *name;         /* of the tasks, for reports; must outlive them */
    uint64_t reserved[4];     /* zero */
} skua_server_options;

/* What a server has done so far. */
typedef struct skua_server_stats {
    uint64_t accepted;
    uint64_t refused; /* accepted and closed at once: no descriptor or no memory for more */
    uint64_t failed;  /* handlers that returned an error */
    uint64_t open;    /* connections there are now */
    uint64_t pauses;  /* times accepting paused for want of descriptors */
    uint64_t reserved[3];
} skua_server_stats;

/**
 * Starts to serve on listening sockets. Sets O_NONBLOCK on them, and TCP_NODELAY, which the
 * connections inherit, where there is one.
 *
 * At the limit of connections new ones wait in the backlog. When the process or the system runs out
 * of descriptors (EMFILE, ENFILE) the oldest waiting connection is closed by means of a descriptor
 * held in reserve, and accepting pauses until another one is closed, or for a tenth of a second.
 *
 * Context: a task, or an executor thread of a runtime; never waits.
 * Cancellation: not a cancellation point.
 * Ownership: the caller ends *@server with skua_server_stop(), before the runtime stops. The
 *   listeners stay the caller's, and must stay open until then.
 * Returns: 0; -EINVAL (a NULL or zero argument that is needed, an unknown flag, a nonzero reserved
 *   field); -EPERM outside a runtime; -ENOTSOCK and others of fcntl(2); -EMFILE; -ENOMEM;
 *   -ESHUTDOWN; -ECHILD in a forked child. On error *@server is untouched.
 * Source: asyncio.start_server.
 */
SKUA_API int skua_server_start(const skua_server_options *options, skua_server **server);

/**
 * Stops @server: accepts no more, closes connections at rest, waits until the handlers have
 * returned, cancels those that have not by @deadline_ns, and waits for them. A handler that waits
 * for its peer is not woken before the deadline: only those of SKUA_SERVER_IDLE rest. One that
 * serves many requests asks skua_connection_draining() between them.
 *
 * Context: a task, or an executor thread, of the runtime, but no handler of @server; waits.
 * Cancellation: not a cancellation point, since it is cleanup; if the caller is cancelled the
 *   deadline counts all the same.
 * Ownership: consumes @server. NULL is accepted.
 * Units: @deadline_ns is absolute, on the clock of skua_now(); 0 cancels at once.
 * Returns: how many handlers had to be cancelled; -ECHILD in a forked child.
 */
SKUA_API int64_t skua_server_stop(skua_server *server, uint64_t deadline_ns);

/**
 * Tells what @server has done.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0; -EINVAL if an argument is NULL.
 */
SKUA_API int skua_server_get_stats(skua_server *server, skua_server_stats *stats);

/**
 * Serves until the caller is cancelled, then stops as skua_server_stop() does, with what
 * @options->drain_ns says from then on.
 *
 * Context: a task, or an executor thread, of a runtime; waits.
 * Cancellation: the way to end it.
 * Returns: -ECANCELED; what skua_server_start() returns on error.
 * Source: asyncio.Server.serve_forever.
 */
SKUA_API int skua_serve(const skua_server_options *options);

/**
 * The descriptor of @connection.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Ownership: borrowed; the server closes it. See skua_connection_take().
 * Returns: a descriptor; -EINVAL if @connection is NULL; -EBADF if it has been taken.
 */
SKUA_API int skua_connection_fd(const skua_connection *connection);

/**
 * Takes the descriptor away from the server, which will not close it then.
 *
 * Context: the handler; never waits.
 * Cancellation: not a cancellation point.
 * Ownership: the caller closes the descriptor.
 * Returns: a descriptor; -EINVAL if @connection is NULL; -EBADF if it has been taken.
 */
SKUA_API int skua_connection_take(skua_connection *connection);

/**
 * Whether the server is stopping: a handler that would wait for another request should return.
 *
 * Context: the handler; never waits.
 * Cancellation: not a cancellation point.
 * Returns: true if it is; false if not, or @connection is NULL.
 */
SKUA_API bool skua_connection_draining(const skua_connection *connection);

/**
 * A pointer of the user's own, kept with @connection: NULL at first. For what outlives one call of
 * an idle handler; options.closed is the place to free it.
 *
 * Context: the handler, and options.closed; never waits.
 * Cancellation: not a cancellation point.
 * Returns: the place of the pointer; NULL if @connection is NULL.
 */
SKUA_API void **skua_connection_data(skua_connection *connection);

#ifdef __cplusplus
}
#endif

#endif /* SKUA_SERVER_H */
