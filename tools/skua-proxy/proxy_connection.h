/*
 * proxy_connection.h - one connection, from the client's first byte to the last.
 *
 * STATE  serve: PROXY header of the client, if there is to be one -> a backend -> the header for
 *        it, if there is to be one -> relay -> end. It is in the frame of the connection's task.
 *        Only while it is being relayed does anybody else know it: the child of its scope, which
 *        carries the other direction, and, through the proxy's list, who looks for idle ones.
 */
#ifndef SKUA_PROXY_CONNECTION_H
#define SKUA_PROXY_CONNECTION_H

#include "proxy.h"

#include "proxy_backends.h"
#include "proxy_header.h"

#define PROXY_SOURCE_RESET 1u   /* the source was reset before it ended its direction */
#define PROXY_SOURCE_WATCHED 2u /* the lane waits for its target, and not if the source is reset */

/* One direction. Its carrier's own, but for what the source has become. */
struct proxy_lane {
    struct proxy_connection *connection;
    int from_fd;
    int to_fd;
    struct skua_tls *from_tls; /* NULL: bytes go as they are; likewise to */
    struct skua_tls *to_tls;
    enum proxy_end from_end; /* what it means if that socket fails; likewise to */
    enum proxy_end to_end;
    char *buffer;
    size_t filled; /* bytes that are in the buffer before it begins */
    uint64_t carried;
    _Atomic unsigned source; /* PROXY_SOURCE_...; anybody's, see RESET in proxy_relay.c */
};

struct proxy_connection {
    struct proxy *proxy;
    int client_fd;
    struct skua_tls *tls; /* the client's; NULL: none */
    int backend_fd;       /* -1: none yet */
    struct proxy_pick pick;
    struct proxy_endpoints endpoints; /* of the client; as its PROXY header says, if it has one */
    uint64_t start_ns;
    struct proxy_lane up; /* from the client */
    struct proxy_lane down;
    skua_scope scope;
    _Atomic uint64_t active_ns;    /* when bytes were last moved */
    skua_future *watcher;          /* of the client's socket; NULL: none. The way up's own */
    _Atomic bool is_half;          /* a direction has ended */
    _Atomic bool is_short;         /* bytes that were read have reached nobody */
    _Atomic int end;               /* the first enum proxy_end that came up; PROXY_END_DONE: none */
    struct proxy_connection *next; /* in the proxy's list; guarded by its lock, as the next */
    struct proxy_connection **link;
};

/* Serves one connection. @arg: the proxy. */
intptr_t skua_proxy_serve(skua_connection *connection, void *arg);

/* Notes why the connection ends, unless that is known already. */
void skua_proxy_connection_note(struct proxy_connection *connection, enum proxy_end end);

/* Bytes were moved: the connection is not idle. */
void skua_proxy_connection_touch(struct proxy_connection *connection);

/*
 * Around a wait for the lane's target: it is broken off if the client is reset meanwhile, or was
 * before. Once begun it is cheap. Only the way up has such waits.
 */
void skua_proxy_wait_begin(struct proxy_lane *lane);
void skua_proxy_wait_end(struct proxy_lane *lane);

/*
 * Carries bytes through pipes until the end of the lane's source. Sets O_NONBLOCK on both sockets.
 * Returns what ended it, 0 or -errno, in *@from_rc for the source and *@to_rc for the target. False
 * if there was no pipe to be had: all that was read has been sent, and the lane is to go on in
 * another way.
 */
bool skua_proxy_splice(struct proxy_lane *lane, ssize_t *from_rc, ssize_t *to_rc);

/* Carries bytes both ways until both directions have ended, or something breaks that off. */
void skua_proxy_relay(struct proxy_connection *connection);

/* The task that ends connections that are idle for too long. @arg: the proxy. */
intptr_t skua_proxy_reap(void *arg);

#endif /* SKUA_PROXY_CONNECTION_H */
