/*
 * skua/tls.h - TLS over sockets and streams, by OpenSSL 3. A library of its own: libskua_tls
 * (CMake: skua::tls; pkg-config: skua_tls). skua.h does not include this header.
 *
 *     skua_tls_context_options how = {.role = SKUA_TLS_CLIENT};
 *     skua_tls_context_create(&how, NULL, &context);
 *     skua_tls_options to = {.server_name = "example.org"};
 *     int fd = skua_dial("example.org", "443", NULL);
 *     skua_tls_connect(context, fd, &to, &tls);
 *     skua_tls_stream_open(tls, NULL, &stream);      the calls of skua/stream.h do the rest
 *
 * Common to all of it:
 *   SAFE BY DEFAULT. A client checks the server's chain and its name; TLS 1.2 is the least. What is
 *   not checked was asked for by name.
 *
 *   WAITS. OpenSSL never waits inside: it gets and leaves bytes in memory, and this library moves
 *   them by skua_stream calls, which a cancel or the deadline of a scope ends.
 *
 *   WHERE IT COMPUTES. The steps of a handshake run on the runtime's cpu executor, so that many at
 *   once delay no other connection; if its queue is full the handshake fails with -EAGAIN. On
 *   threads outside a task they run where they are. Records are sealed and opened where one reads
 *   and writes. No kTLS: OpenSSL has it only where it reads from the socket itself.
 *
 *   STACK. Reading and writing need less than 12 KiB of it (OpenSSL 3.0, x86-64): every default
 *   stack has that, but do not make one smaller than 32 KiB (skua_task_options) for TLS.
 *
 *   DIRECTIONS. One may read while another writes, as with any stream.
 *
 *   ERRORS, where they are of TLS: -EKEYREJECTED: the peer's certificate was not accepted here.
 *   -EPROTO: the peer broke the protocol, sent an alert (it did not like ours), or there was
 *   nothing both sides can do. -ECONNRESET: it ended the connection without saying so in TLS
 *   (close_notify), so that what came may not be all; 0, the end, is only what the peer has signed.
 *   skua_tls_error has the reason in words. Others are those of the stream below, -ENOMEM,
 *   -ECANCELED, -ETIMEDOUT. -EPROTO stays for both directions, -ECONNRESET for reading.
 *
 * No SIGPIPE is raised for a descriptor that is a socket.
 */
#ifndef SKUA_TLS_H
#define SKUA_TLS_H

#include <skua/stream.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What connections have in common: certificates, whom to trust, protocols. Counted references. */
typedef struct skua_tls_context skua_tls_context;
/* A connection after its handshake. */
typedef struct skua_tls skua_tls;
/* What lets a client resume: see skua_tls_session_get(). */
typedef struct skua_tls_session skua_tls_session;

/* Why something failed. */
typedef struct skua_tls_error {
    int result;         /* -errno, as it was returned; 0: nothing has failed */
    int verify_code;    /* X509_V_ERR_...; 0: not the certificate */
    int alert;          /* that the peer sent; 0: none */
    unsigned long code; /* OpenSSL's; 0: none */
    char text[208];     /* such as "certificate verify failed: self-signed certificate" */
} skua_tls_error;

/* ---- contexts -------------------------------------------------------------------------------- */

typedef enum skua_tls_role {
    SKUA_TLS_CLIENT = 0,
    SKUA_TLS_SERVER,
} skua_tls_role;

/* What is asked of the peer's certificate. */
typedef enum skua_tls_verify {
    SKUA_TLS_VERIFY_DEFAULT = 0, /* required of servers, not asked of clients */
    SKUA_TLS_VERIFY_NONE,
    SKUA_TLS_VERIFY_OPTIONAL, /* a client may have none; one that it has must be good */
    SKUA_TLS_VERIFY_REQUIRED,
} skua_tls_verify;

/* Versions. */
#define SKUA_TLS_1_2 0x0303
#define SKUA_TLS_1_3 0x0304

/* PEM text: a file, or bytes in memory; all zero: none. */
typedef struct skua_tls_pem {
    const char *file;
    const void *data;
    size_t size;
} skua_tls_pem;

/*
 * Chooses by the name a client asks for (NULL: it names none) whose certificate to show. Returns a
 * context of servers; NULL: the one that was accepted with. Must not wait; runs on any thread.
 */
typedef skua_tls_context *(*skua_tls_choose_fn)(const char *server_name, void *arg);

/* A client: do not keep sessions. A server: give no tickets. */
#define SKUA_TLS_NO_SESSIONS 1u

/* How to make a context. Zero-initialise; zero means default everywhere. Nothing is kept of it. */
typedef struct skua_tls_context_options {
    skua_tls_role role;
    skua_tls_verify verify;
    skua_tls_pem certificate;   /* our own, then those between it and the root */
    skua_tls_pem key;           /* default: it stands in the certificate's PEM as well */
    const char *key_password;   /* default: it needs none; nobody is ever asked for one */
    skua_tls_pem ca;            /* whom to trust; a server's are named to its clients */
    const char *ca_dir;         /* as openssl-rehash(1) makes them; default of both: the system's */
    int min_version;            /* SKUA_TLS_1_...; default 1.2, and nothing less is possible */
    int max_version;            /* default: the latest */
    const char *const *alpn;    /* protocols, the best first, then NULL. No common one: -EPROTO */
    const char *ciphers;        /* of TLS 1.2, see openssl-ciphers(1); default OpenSSL's */
    const char *ciphersuites;   /* of TLS 1.3 */
    skua_tls_choose_fn choose;  /* of servers; asked after the added names */
    void *choose_arg;           /* of choose */
    unsigned session_cache_max; /* a client's sessions, one for each name; default 256 */
    unsigned flags;             /* SKUA_TLS_NO_SESSIONS */
    uint64_t reserved[4];       /* zero */
} skua_tls_context_options;

/**
 * Makes a context. Reads the files, on the blocking executor if in a task.
 *
 * Context: any; waits.
 * Cancellation: not a cancellation point.
 * Ownership: the caller drops *@context with skua_tls_context_unref(); connections have references
 *   of their own. @error may be NULL.
 * Returns: 0; -EINVAL (NULL, a server without certificate, options that contradict each other, no
 *   such cipher, nonzero reserved field); -EBADMSG: what is there is no certificate or key, or the
 *   password is wrong, or the key is another certificate's; the -errno of opening a file; -ENOMEM;
 *   -EAGAIN, -ESHUTDOWN as skua_run_in_executor(). On error *@context is untouched and *@error
 *   says why.
 */
SKUA_API int skua_tls_context_create(const skua_tls_context_options *options, skua_tls_error *error,
                                     skua_tls_context **context);

/**
 * One more reference.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: @context (NULL if it is NULL).
 */
SKUA_API skua_tls_context *skua_tls_context_ref(skua_tls_context *context);

/**
 * Drops a reference; the last one frees it.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Ownership: consumes the reference. NULL is accepted.
 * Returns: nothing.
 */
SKUA_API void skua_tls_context_unref(skua_tls_context *context);

/**
 * Clients that ask @context for @name (or "*.rest": any one label before the rest) get @other, with
 * its certificate, protocols and demands. The first name that fits counts; case does not.
 *
 * Context: any; never waits. Before the first connection of @context.
 * Cancellation: not a cancellation point.
 * Ownership: keeps a reference of @other.
 * Returns: 0; -EINVAL (NULL, the same, or not both of servers); -ENOMEM.
 * Source: RFC 6066, server name indication.
 */
SKUA_API int skua_tls_context_add_name(skua_tls_context *context, const char *name,
                                       skua_tls_context *other);

/**
 * OpenSSL's SSL_CTX of @context, for what is not here. Before the first connection only.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: an SSL_CTX, the context's; NULL if @context is NULL.
 */
SKUA_API void *skua_tls_context_native(skua_tls_context *context);

/* ---- connections ----------------------------------------------------------------------------- */

/* A client that checks the chain does not check the name: any certificate of those CAs will do. */
#define SKUA_TLS_ANY_NAME 1u

/* How to connect or accept. Zero-initialise; zero means default everywhere. */
typedef struct skua_tls_options {
    const char *server_name;   /* a client's: name or address to check, and name to ask for */
    uint64_t timeout_ns;       /* of the handshake; default 60 s; SKUA_FOREVER: none */
    skua_tls_session *session; /* a client's, to be resumed; default: the context's for the name */
    skua_tls_error *error;     /* where the reason of a failure is stored; default NULL */
    unsigned flags;            /* SKUA_TLS_ANY_NAME */
    unsigned reserved_flags;
    uint64_t reserved[4]; /* zero */
} skua_tls_options;

/**
 * Shakes hands on @fd, a connected stream socket, as the client.
 *
 * Context: any; waits.
 * Cancellation: -ECANCELED; the socket is then good for nothing but skua_close().
 * Ownership: the caller ends *@tls with skua_tls_close() or hands it to skua_tls_stream_open(); @fd
 *   is then its own. On error @fd stays the caller's, and *@tls is untouched.
 * Returns: 0; -EKEYREJECTED, -EPROTO, -ECONNRESET as above; -ETIMEDOUT; -EAGAIN if too many shake
 *   hands; -EINVAL (NULL, a server's context, no server_name where it must be checked, nonzero
 *   reserved field); -EBADF; -ENOMEM; -ESHUTDOWN; -errno of the socket.
 */
SKUA_API int skua_tls_connect(skua_tls_context *context, int fd, const skua_tls_options *options,
                              skua_tls **tls);

/**
 * The same over @below, in which bytes may be buffered already, or which is of a transport of your
 * own; for STARTTLS. On executor and foreign threads the timeout is looked at between reads only.
 *
 * Context: any; waits.
 * Cancellation: as skua_tls_connect().
 * Ownership: as skua_tls_connect(): @below is *@tls's own if it returns 0.
 * Returns: as skua_tls_connect().
 */
SKUA_API int skua_tls_connect_over(skua_tls_context *context, skua_stream *below,
                                   const skua_tls_options *options, skua_tls **tls);

/**
 * Shakes hands on @fd, a connected stream socket, as the server.
 *
 * Context: any; waits.
 * Cancellation: as skua_tls_connect().
 * Ownership: as skua_tls_connect().
 * Returns: as skua_tls_connect().
 */
SKUA_API int skua_tls_accept(skua_tls_context *context, int fd, const skua_tls_options *options,
                             skua_tls **tls);

/**
 * The same over @below.
 *
 * Context: any; waits.
 * Cancellation: as skua_tls_connect().
 * Ownership: as skua_tls_connect_over().
 * Returns: as skua_tls_connect_over().
 */
SKUA_API int skua_tls_accept_over(skua_tls_context *context, skua_stream *below,
                                  const skua_tls_options *options, skua_tls **tls);

/**
 * Opens a stream over @tls: buffers, lines, timeouts. Closing it closes @tls, gracefully;
 * skua_stream_abort() does not tell the peer, who then knows that bytes may be missing.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Ownership: the caller closes *@stream, whose own @tls is from now on; it may still be asked by
 *   the calls below that do not wait. On error @tls stays the caller's.
 * Returns: as skua_stream_open_over().
 */
SKUA_API int skua_tls_stream_open(skua_tls *tls, const skua_stream_options *options,
                                  skua_stream **stream);

/**
 * Reads what is there, one record at most.
 *
 * Context: any; waits.
 * Cancellation: -ECANCELED, and nothing was read.
 * Returns: the number of bytes; 0 when the peer has ended its side in TLS (or @size is 0);
 *   -ECONNRESET, -EPROTO as above; -EINVAL; -ENOMEM; -errno of what is below.
 */
SKUA_API ssize_t skua_tls_read(skua_tls *tls, void *buffer, size_t size);

/**
 * Writes up to 64 KiB of @size bytes. Bytes of a record that was sealed are taken, also if a cancel
 * came before the socket took all of it: the rest goes with the next write, flush or close.
 *
 * Context: any; waits.
 * Cancellation: -ECANCELED if no byte was taken; else their number.
 * Returns: the number of bytes; -EPIPE after skua_tls_shutdown_write(); -EPROTO as above; -EINVAL;
 *   -ENOMEM; -errno of what is below.
 */
SKUA_API ssize_t skua_tls_write(skua_tls *tls, const void *data, size_t size);

/**
 * Sends what a cut-short write has left.
 *
 * Context: any; waits. Writing.
 * Cancellation: -ECANCELED; call again.
 * Returns: 0; -EINVAL; -errno of what is below.
 */
SKUA_API int skua_tls_flush(skua_tls *tls);

/**
 * Tells the peer that no more will come (close_notify); reading goes on.
 *
 * Context: any; waits. Writing.
 * Cancellation: -ECANCELED; it is sent by the next flush or close.
 * Returns: 0; -EPIPE if it was done before; -EPROTO as above; -EINVAL; -errno of what is below.
 * Source: RFC 8446, 6.1.
 */
SKUA_API int skua_tls_shutdown_write(skua_tls *tls);

/**
 * Sends close_notify, if it is not sent, and closes what is below. Does not wait for the peer's.
 *
 * Context: any, when nobody reads or writes; waits until the socket has taken everything.
 * Cancellation: what was not sent is dropped; it closes all the same.
 * Ownership: consumes @tls. NULL is accepted.
 * Returns: 0; the error for which bytes were dropped; else that of closing.
 */
SKUA_API int skua_tls_close(skua_tls *tls);

/**
 * Closes what is below and tells the peer nothing.
 *
 * Context: any, when nobody reads or writes; does not wait for the peer.
 * Cancellation: not a cancellation point.
 * Ownership: consumes @tls. NULL is accepted.
 * Returns: 0; the error of closing.
 */
SKUA_API int skua_tls_abort(skua_tls *tls);

/* ---- questions ------------------------------------------------------------------------------- */

/* What was agreed on. */
typedef struct skua_tls_info {
    const char *version; /* "TLSv1.3"; constant */
    const char *cipher;  /* "TLS_AES_256_GCM_SHA384"; constant */
    bool resumed;        /* without a new exchange of certificates */
    bool has_peer;       /* the peer has shown a certificate */
    int verify_code;   /* X509_V_..., of the peer's certificate; 0: it is good, or there is none */
    unsigned reserved; /* zero */
    char alpn[256];    /* "" if none */
    char server_name[256]; /* that was asked for; "" if none */
} skua_tls_info;

/**
 * What was agreed on.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0; -EINVAL if a pointer is NULL.
 */
SKUA_API int skua_tls_get_info(skua_tls *tls, skua_tls_info *info);

/**
 * The subject of the peer's certificate, such as "CN=example.org,O=Example", cut to @size bytes.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: its length, also if it was cut; -ENODATA if the peer has shown none; -EINVAL; -ENOMEM.
 * Source: RFC 2253.
 */
SKUA_API ssize_t skua_tls_peer_subject(skua_tls *tls, char *text, size_t size);

/**
 * The SHA-256 of the peer's certificate.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0; -ENODATA if the peer has shown none; -EINVAL; -ENOMEM.
 */
SKUA_API int skua_tls_peer_fingerprint(skua_tls *tls, unsigned char digest[32]);

/**
 * Why the connection failed, since the handshake.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0 (error->result is 0 if nothing has failed); -EINVAL if a pointer is NULL.
 */
SKUA_API int skua_tls_get_error(skua_tls *tls, skua_tls_error *error);

/**
 * The session of a client's connection, for skua_tls_options.session of another one, of the same
 * context and to the same server: its certificate is not checked again. With TLS 1.3 there is none
 * before the server's ticket was read.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Ownership: the caller drops *@session.
 * Returns: 0; -ENODATA if there is none to be resumed; -EINVAL.
 */
SKUA_API int skua_tls_session_get(skua_tls *tls, skua_tls_session **session);

/**
 * Drops a session.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Ownership: consumes @session. NULL is accepted.
 * Returns: nothing.
 */
SKUA_API void skua_tls_session_unref(skua_tls_session *session);

/**
 * OpenSSL's SSL of @tls, for what is not here; while nobody reads or writes, and never to do so.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: an SSL, the connection's; NULL if @tls is NULL.
 */
SKUA_API void *skua_tls_native(skua_tls *tls);

#ifdef __cplusplus
}
#endif

#endif /* SKUA_TLS_H */
