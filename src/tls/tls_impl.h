/*
 * tls/tls_impl.h - contexts and connections of TLS inside.
 *
 * WHAT   An SSL object between two buffers of ciphertext: `in`, that was received, and `out`, that
 *        is to be sent. OpenSSL reads and writes them through a BIO that says "retry" instead of
 *        waiting; whoever is told to retry feeds `in` from the stream below, or drains `out` into
 *        it, outside OpenSSL. So no task changes its thread in a call of OpenSSL, and the thread's
 *        queue of errors is read before any wait.
 *
 *        A memory BIO would copy as often and move its bytes about besides; a BIO that calls
 *        recv(2) itself would save the copy into OpenSSL's buffer, and cost a poll for each wait,
 *        and work over descriptors only.
 *
 * LOCKS, in the order they are taken
 *   feed_lock, send_lock   Held while bytes come from or go to the stream below, so across waits:
 *        the library's own mutexes. Mostly nobody else wants them: a writer feeds only if the peer
 *        has sent half of a message of the handshake, a reader drains only alerts.
 *   lock   Of the SSL object and both buffers; held for one record, some microseconds, and never
 *        across a wait, so a plain mutex: it must be had even if the task is cancelled.
 *
 * INVARIANTS
 *   I1   Ciphertext goes below in the order `sending`, `out`; unsent is the size of both.
 *   I2   in.start <= visible <= in.end; OpenSSL gets the bytes before visible. In a handshake that
 *        is a number of whole records, so that no step runs for a part of one; after it, all.
 *   I3   Who feeds, after the handshake, does so when OpenSSL has taken all: in is empty.
 *   I4   After a fatal error (failed) SSL is not called for bytes again.
 *
 * TESTS  tests/api/tls_test.cc, tls_io_test.cc, tests/tls/.
 */
#ifndef SKUA_SRC_TLS_IMPL_H
#define SKUA_SRC_TLS_IMPL_H

#include <skua/mutex.h>
#include <skua/tls.h>

#include "base/compiler.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>

/* The largest record there is: a header, and what TLS 1.2 lets it grow by. */
#define SKUA_TLS_HEADER_BYTES ((size_t)5)
#define SKUA_TLS_RECORD_BYTES (SKUA_TLS_HEADER_BYTES + 16384 + 2048)
/* What one write seals before it is sent: four records. */
#define SKUA_TLS_BATCH_BYTES ((size_t)64 << 10)

struct skua_tls_buffer {
    char *data;
    size_t start;
    size_t end;
    size_t capacity;
};

/* A server's other certificate, for clients who ask for that name. */
struct skua_tls_name {
    char *name; /* lower case */
    skua_tls_context *context;
    struct skua_tls_name *next;
};

/* A client's session with a server. */
struct skua_tls_cached {
    char *name;
    SSL_SESSION *session;
};

struct skua_tls_context {
    _Atomic unsigned references;
    SSL_CTX *ssl_ctx;
    BIO_METHOD *bio_method; /* constant, as all up to the lock */
    skua_tls_role role;
    skua_tls_verify verify; /* never the default */
    unsigned char *alpn;    /* protocols with their lengths, as in the message */
    unsigned alpn_size;
    skua_tls_choose_fn choose;
    void *choose_arg;
    struct skua_tls_name *names;
    struct skua_tls_name **names_end;
    pthread_mutex_t cache_lock;
    struct skua_tls_cached *cache; /* guarded by cache_lock, as the two below */
    unsigned cache_count;
    unsigned cache_next; /* whose place is taken next */
    unsigned cache_max;  /* constant; 0: no sessions */
};

struct skua_tls {
    SSL *ssl;                  /* guarded by lock after the handshake */
    skua_tls_context *context; /* constant; a reference */
    skua_tls_context *chosen;  /* of a server: by name; NULL: context. A reference; constant after
                                  the handshake */
    skua_stream *below;        /* constant after the handshake */
    int fd;                    /* what below is of, if we have opened it; else -1 */
    char *server_name;         /* of a client: key of the cache; may be NULL */
    skua_mutex feed_lock;
    skua_mutex send_lock;
    struct skua_tls_buffer sending; /* guarded by send_lock */
    pthread_mutex_t lock;
    struct skua_tls_buffer in; /* guarded by lock; past visible, by feed_lock */
    size_t visible;            /* guarded by lock, as everything below */
    uint64_t feeds;            /* times that bytes have come */
    struct skua_tls_buffer out;
    size_t unsent;        /* of sending and out */
    bool below_is_dirty;  /* below may hold bytes that it was given */
    int failed;           /* -errno, for both directions */
    int read_error;       /* -errno, for reading */
    bool has_shut_down;   /* close_notify was made */
    bool is_short;        /* the BIO found no memory */
    skua_tls_error error; /* of failed or read_error */
};

/* ---- tls_error.c ----------------------------------------------------------------------------- */

/*
 * Takes the thread's queue of OpenSSL errors and makes *@error of it (@error may be NULL): @result,
 * or what fits better. @ssl may be NULL. Returns error->result.
 */
int skua_tls_note(skua_tls_error *error, int result, const char *what, const SSL *ssl);

/* The same for an error that is not OpenSSL's. */
int skua_tls_note_plain(skua_tls_error *error, int result, const char *what);

/* ---- tls_pem.c: loads what the options name. 0 or -errno, with the reason in *@error --------- */

int skua_tls_load_own(SSL_CTX *ssl_ctx, const skua_tls_context_options *options,
                      skua_tls_error *error);
int skua_tls_load_trust(SSL_CTX *ssl_ctx, const skua_tls_context_options *options,
                        skua_tls_error *error);

/* ---- tls_names.c: protocols and names -------------------------------------------------------- */

int skua_tls_set_alpn(skua_tls_context *context, const char *const *alpn, skua_tls_error *error);
void skua_tls_set_choice(skua_tls_context *context);
void skua_tls_free_names(skua_tls_context *context);

/* Has @tls, a client's, ask for and check @name. 0 or -errno. */
int skua_tls_set_server_name(skua_tls *tls, const char *name, bool checks);

/* ---- tls_session.c --------------------------------------------------------------------------- */

/* Sets how sessions are kept or given; @wanted of a client's cache. 0, -ENOMEM. */
int skua_tls_set_sessions(skua_tls_context *context, unsigned wanted, bool none);
void skua_tls_free_sessions(skua_tls_context *context);

/* Has @tls, a client's, try to resume @given, or what the context knows. */
void skua_tls_offer_session(skua_tls *tls, skua_tls_session *given);

/* ---- tls_bio.c ------------------------------------------------------------------------------- */

BIO_METHOD *skua_tls_bio_method(void);

/* Gives @tls->ssl its BIO. 0, -ENOMEM. */
int skua_tls_bio_attach(skua_tls *tls);

/* ---- tls_flow.c: bytes between the buffers and the stream below ------------------------ */

/*
 * Reads some bytes from below, unless somebody has since @feeds. 1; 0 at the end; -errno. The first
 * waits for one more whole record, in a handshake.
 */
int skua_tls_feed_record(skua_tls *tls);
int skua_tls_feed(skua_tls *tls, uint64_t feeds);

/* Sends all there is. 0 or -errno. */
int skua_tls_drain(skua_tls *tls);

/* The same if nobody else is at it, who would. */
void skua_tls_drain_alert(skua_tls *tls);

/* ---- tls_io.c -------------------------------------------------------------------------------- */

/* Frees @tls, but what is below. */
void skua_tls_free(skua_tls *tls);

#endif /* SKUA_SRC_TLS_IMPL_H */
