/*
 * httpd_connection.h - one connection: its two buffers, its deadline, and what answers are made of.
 *
 * It lives on the stack of its task, which alone touches it but for the fields that say otherwise.
 * Both buffers are small and in the frame; the one for input grows on the heap for a large head and
 * is given back when it is empty, so a connection at rest holds none.
 *
 * INVARIANT in_begin <= in_end <= in_size; from in_begin on stands the request being read. While it
 * is being answered its head stays there, and what follows it is the body (the first body_used
 * bytes of which are done with) and later requests.
 */
#ifndef SKUA_HTTPD_CONNECTION_H
#define SKUA_HTTPD_CONNECTION_H

#include "httpd.h"
#include "httpd_request.h"

#include <time.h>

#define HTTPD_IN_BYTES 4096u
#define HTTPD_OUT_BYTES 4096u
#define HTTPD_DATE_BYTES 30u /* "Fri, 27 Nov 2026 17:00:00 GMT" and its NUL */
#define HTTPD_PEER_BYTES 64u

struct httpd_connection {
    struct httpd *httpd;
    skua_scope scope; /* ends waits that take too long */
    uint64_t deadline_ns;
    int fd;
    struct skua_tls *tls; /* NULL: bytes go as they are */
    bool closing;         /* no further request is read */
    bool broken;          /* nothing can be sent any more */
    bool linger;          /* the peer may still be sending: see end_gently() */
    bool expired;         /* a wait has taken too long */
    bool cancelled;
    _Atomic bool resting; /* waits for a request of which nothing is there; read by the drain */
    struct httpd_connection *next; /* guarded by the server's lock */
    struct httpd_connection **link;

    char *in; /* in_small, or on the heap */
    size_t in_size;
    size_t in_begin;
    size_t in_end;
    size_t head_size; /* of the request being answered */
    size_t body_used; /* bytes behind the head that are done with */
    size_t out_used;

    struct httpd_request request; /* the one being answered */
    unsigned status;              /* of its answer */
    uint64_t answer_bytes;        /* of its body */
    uint64_t requests;

    time_t date_time; /* what date says */
    char date[HTTPD_DATE_BYTES];
    char peer[HTTPD_PEER_BYTES]; /* set if there is a log */
    char out[HTTPD_OUT_BYTES];
    char in_small[HTTPD_IN_BYTES];
};

/* ---- httpd_connection.c ---------------------------------------------------------------------- */

/* The handler of the server. @arg: the struct httpd. */
intptr_t skua_httpd_serve(skua_connection *connection, void *arg);

/* Connections at rest are ended, others after the answers they owe. */
void skua_httpd_drain(struct httpd *httpd);

/* The next waits may take @timeout_ns and no longer; does nothing if that is nearly so already. */
void skua_httpd_limit(struct httpd_connection *connection, uint64_t timeout_ns);

/* From now on waits end at @deadline_ns. */
void skua_httpd_set_deadline(struct httpd_connection *connection, uint64_t deadline_ns);

/* Sends what is in the output buffer. @flags are send(2)'s. */
void skua_httpd_flush(struct httpd_connection *connection, int flags);

/* Sends the output buffer and then @size bytes at @data, without copying these. */
void skua_httpd_flush_with(struct httpd_connection *connection, const void *data, size_t size);

/* Notes why a wait failed. */
void skua_httpd_failed(struct httpd_connection *connection);

/* ---- httpd_body.c ---------------------------------------------------------------------------- */

/* A body that has been read; zero-initialise. */
struct httpd_body {
    char *data;
    size_t size;
    size_t capacity;
    bool wanted;  /* else it is read and forgotten */
    bool waiting; /* its deadline has been set */
};

/*
 * Reads the body of the request. Returns 0; a negative status; 0 with the connection broken.
 * *@body is to be freed by the caller in any case.
 */
int skua_httpd_body_read(struct httpd_connection *connection, struct httpd_body *body);

/* Receives more behind what is in the input buffer. True if anything came. */
bool skua_httpd_receive(struct httpd_connection *connection);

/* ---- httpd_answer.c -------------------------------------------------------------------------- */

/* A piece of the request. */
const char *skua_httpd_text(const struct httpd_connection *connection, struct httpd_slice slice);

void skua_httpd_put(struct httpd_connection *connection, const void *data, size_t size);
void skua_httpd_put_text(struct httpd_connection *connection, const char *text);
void skua_httpd_put_number(struct httpd_connection *connection, uint64_t number);

/* Begins an answer: status line, Date, Connection. */
void skua_httpd_answer_begin(struct httpd_connection *connection, unsigned status);

/* Ends its head with Content-Type (unless NULL) and Content-Length. */
void skua_httpd_answer_end(struct httpd_connection *connection, const char *type, uint64_t length);

/* Ends the head of an answer that has no body by definition. */
void skua_httpd_answer_end_bare(struct httpd_connection *connection);

/* A whole answer with a body of text. */
void skua_httpd_answer(struct httpd_connection *connection, unsigned status, const char *type,
                       const char *body, size_t body_size);

/* A whole answer that says what is wrong in its body. @fields: more header lines, or NULL. */
void skua_httpd_answer_error(struct httpd_connection *connection, unsigned status,
                             const char *fields);

/* Writes @when as HTTP wants dates. */
void skua_httpd_date_format(time_t when, char date[HTTPD_DATE_BYTES]);

/* Reads a date in any of HTTP's three forms. -1: it is none. */
time_t skua_httpd_date_parse(const char *text, size_t size);

/* ---- httpd_routes.c, httpd_files.c ----------------------------------------------------------- */

/* Answers the request. Its body has been read. */
void skua_httpd_route(struct httpd_connection *connection, const struct httpd_body *body);

/* Whether the answer will need the body. */
bool skua_httpd_route_wants_body(const struct httpd_connection *connection);

void skua_httpd_file(struct httpd_connection *connection);

#endif /* SKUA_HTTPD_CONNECTION_H */
