/*
 * loader_connection.h - a connection: a task that sends requests and receives answers.
 */
#ifndef SKUA_LOADER_CONNECTION_H
#define SKUA_LOADER_CONNECTION_H

#include <http_parser.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loader.h"

/* Received at once. Pages that are never filled are never touched. */
#define LOADER_INPUT_BYTES ((size_t)16 * 1024)
#define LOADER_LATE_NS SKUA_NS_PER_MS

/* A request from its beginning to its outcome. */
struct loader_slot {
    uint64_t due_ns;
    uint64_t begun_ns;
    uint32_t which; /* of the heads; of echo: the place in the noise */
    bool counted;
};

/*
 * INVARIANTS  slots is a ring of options.pipeline, of which count are in use, from first on, in the
 *             order in which they begin. sent of them, and part_bytes of the next, have been given
 *             to the socket: sent <= count, and part_bytes = 0 if sent = count.
 */
struct loader_connection {
    struct loader *loader;       /* constant, as the next three */
    struct loader_shard *shard;  /* where it counts */
    char *input;                 /* LOADER_INPUT_BYTES */
    struct loader_slot *slots;   /* options.pipeline of them */
    int fd;                      /* -1: not connected */
    unsigned first, count, sent; /* of slots; see INVARIANTS */
    size_t part_bytes;
    uint64_t now_ns;             /* when it last looked at the clock */
    struct loader_ticket ticket; /* the next request, if has_ticket */
    bool has_ticket;
    bool connected_once;
    bool rested;     /* the connection had nothing to do: the server may have closed it */
    bool closing;    /* no more answers come on this connection */
    bool mute;       /* sending has failed; what was received is still to be read */
    bool stopped;    /* the task is to end */
    uint64_t losses; /* connects that have failed since one succeeded */
    uint64_t random;
    uint64_t next_head; /* which path comes next */
    /* The answer that is being received. */
    http_parser parser;
    size_t echoed_bytes;
    /* Not yet in the tally. */
    uint64_t bytes_in;
    uint64_t bytes_out;
    struct loader_counts counts;
    /* One scope around all gives waits their deadline; it is let pass and renewed if that is too
       early, so that it need not be moved for every request. */
    skua_scope scope;
    uint64_t deadline_ns;
};

/* The task. */
intptr_t skua_loader_connection_run(void *connection);

/* ---- for loader_answer.c --------------------------------------------------------------------- */

/* The oldest request has its answer, wholly. @status is that of HTTP, or 0. */
void skua_loader_connection_answered(struct loader_connection *connection, unsigned status);

enum loader_taken {
    LOADER_TAKEN_ALL,
    LOADER_TAKEN_SURPLUS,  /* there was more than had been asked for */
    LOADER_TAKEN_CLOSED,   /* the end came before that of the oldest request's answer */
    LOADER_TAKEN_PROTOCOL, /* the oldest request's answer is not HTTP */
    LOADER_TAKEN_CONTENT   /* it is not an echo of the request */
};

/* A new connection begins with a new answer. */
void skua_loader_answer_reset(struct loader_connection *connection);

/*
 * Takes @size bytes that were received; 0 at the end of the connection. Tells the connection of
 * each answer. What it returns is about the rest of the bytes.
 */
enum loader_taken skua_loader_answer_take(struct loader_connection *connection, const char *data,
                                          size_t size);

#endif /* SKUA_LOADER_CONNECTION_H */
