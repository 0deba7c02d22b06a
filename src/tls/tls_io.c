/*
 * tls/tls_io.c - reading and writing of a connection, its ends, and the transport of streams.
 *
 * Every call of OpenSSL is made by one of the `_once` functions, under the lock and without a wait,
 * and its result is made ours there: SSL_get_error() and the thread's queue of errors are about the
 * last call of this thread, and after a wait the thread may be another.
 */
#include "tls/tls_impl.h"

#include <skua/stream.h>

#include <stdlib.h>
#include <string.h>

#define RECORD_DATA_BYTES ((size_t)16384)

/* What a call of OpenSSL asks for, besides -errno and a number of bytes. */
#define WANTS_BYTES (-4096)

/* ---- results --------------------------------------------------------------------------------- */

/* Under the lock: keeps the error that ends both directions. */
static int fail(skua_tls *tls)
{
    if (tls->is_short)
        tls->failed = skua_tls_note_plain(&tls->error, -ENOMEM, "no memory for a record");
    else
        tls->failed = skua_tls_note(&tls->error, -EPROTO, "TLS failed", tls->ssl);
    ERR_clear_error();
    return tls->failed;
}

/* Under the lock, right after a call that returned @returned <= 0. 0: the peer has ended. */
static ssize_t result_of(skua_tls *tls, int returned)
{
    switch (SSL_get_error(tls->ssl, returned)) {
    case SSL_ERROR_WANT_READ:
        return WANTS_BYTES;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        return fail(tls);
    }
}

/* The stream below has ended without close_notify. */
static int note_truncation(skua_tls *tls)
{
    pthread_mutex_lock(&tls->lock);
    tls->read_error = skua_tls_note_plain(&tls->error, -ECONNRESET,
                                          "the peer closed the connection without close_notify");
    pthread_mutex_unlock(&tls->lock);
    return -ECONNRESET;
}

/* ---- reading --------------------------------------------------------------------------------- */

static ssize_t read_once(skua_tls *tls, void *buffer, size_t size, uint64_t *feeds)
{
    ssize_t result;
    pthread_mutex_lock(&tls->lock);
    *feeds = tls->feeds;
    if (tls->failed < 0 || tls->read_error < 0) {
        result = tls->failed < 0 ? tls->failed : tls->read_error;
    } else {
        ERR_clear_error();
        int n = SSL_read(tls->ssl, buffer, (int)skua_min(size, (size_t)INT32_MAX));
        result = n > 0 ? n : result_of(tls, n);
    }
    pthread_mutex_unlock(&tls->lock);
    return result;
}

ssize_t skua_tls_read(skua_tls *tls, void *buffer, size_t size)
{
    if (tls == NULL || (buffer == NULL && size > 0))
        return -EINVAL;
    if (size == 0)
        return 0;
    for (;;) { /* each turn waits for bytes */
        uint64_t feeds;
        ssize_t result = read_once(tls, buffer, size, &feeds);
        if (result == -EPROTO)
            skua_tls_drain_alert(tls);
        if (result != WANTS_BYTES)
            return result;
        int rc = skua_tls_feed(tls, feeds);
        if (rc <= 0)
            return rc < 0 ? rc : note_truncation(tls);
    }
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Seals one record. How many bytes of @data it has. */
static ssize_t write_once(skua_tls *tls, const char *data, size_t size, uint64_t *feeds)
{
    ssize_t result;
    pthread_mutex_lock(&tls->lock);
    *feeds = tls->feeds;
    if (tls->failed < 0 || tls->has_shut_down) {
        result = tls->failed < 0 ? tls->failed : -EPIPE;
    } else {
        ERR_clear_error();
        int n = SSL_write(tls->ssl, data, (int)skua_min(size, RECORD_DATA_BYTES));
        result = n > 0 ? n : result_of(tls, n);
        if (result == 0)
            result = -EPIPE;
    }
    pthread_mutex_unlock(&tls->lock);
    return result;
}

/* Seals one record, when it may: in the middle of a message of the peer's it may not. */
static ssize_t seal(skua_tls *tls, const char *data, size_t size)
{
    for (;;) { /* each turn waits for bytes */
        uint64_t feeds;
        ssize_t result = write_once(tls, data, size, &feeds);
        if (result != WANTS_BYTES)
            return result;
        int rc = skua_tls_feed(tls, feeds);
        if (rc <= 0)
            return rc < 0 ? rc : note_truncation(tls);
    }
}

/* Seals as many bytes of @size as a batch has room for; adds to *@total. 0 or -errno. */
static int seal_all(skua_tls *tls, const char *data, size_t size, size_t *total)
{
    size_t room = SKUA_TLS_BATCH_BYTES - *total;
    size = skua_min(size, room);
    while (size > 0) {
        ssize_t sealed = seal(tls, data, size);
        if (sealed < 0)
            return (int)sealed;
        data += sealed;
        size -= (size_t)sealed;
        *total += (size_t)sealed;
    }
    return 0;
}

static ssize_t tls_writev(void *user, const struct iovec *iov, unsigned count)
{
    skua_tls *tls = user;
    size_t total = 0;
    int rc = skua_tls_drain(tls); /* so there is never more than a batch */
    if (rc < 0)
        return rc;
    for (unsigned i = 0; rc == 0 && i < count && total < SKUA_TLS_BATCH_BYTES; i++)
        rc = seal_all(tls, iov[i].iov_base, iov[i].iov_len, &total);
    int drained = skua_tls_drain(tls);
    if (total > 0)
        return (ssize_t)total;
    return rc < 0 ? rc : drained;
}

ssize_t skua_tls_write(skua_tls *tls, const void *data, size_t size)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
    if (tls == NULL || (data == NULL && size > 0))
        return -EINVAL;
    return tls_writev(tls, &iov, 1);
}

int skua_tls_flush(skua_tls *tls)
{
    return tls == NULL ? -EINVAL : skua_tls_drain(tls);
}

/* ---- ends ------------------------------------------------------------------------------------ */

/* Makes close_notify, once. 0 or -errno. */
static int shutdown_once(skua_tls *tls)
{
    int result = 0;
    pthread_mutex_lock(&tls->lock);
    if (tls->failed < 0 || tls->has_shut_down) {
        result = tls->failed < 0 ? tls->failed : -EPIPE;
    } else {
        ERR_clear_error();
        tls->has_shut_down = true;
        if (SSL_shutdown(tls->ssl) < 0)
            result = fail(tls);
    }
    pthread_mutex_unlock(&tls->lock);
    return result;
}

int skua_tls_shutdown_write(skua_tls *tls)
{
    if (tls == NULL)
        return -EINVAL;
    int rc = shutdown_once(tls);
    return rc < 0 ? rc : skua_tls_drain(tls);
}

void skua_tls_free(skua_tls *tls)
{
    if (tls->ssl != NULL && tls->failed == 0 && SSL_is_init_finished(tls->ssl) == 1)
        SSL_set_shutdown(tls->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* keeps sessions */
    SSL_free(tls->ssl);
    skua_tls_context_unref(tls->chosen);
    skua_tls_context_unref(tls->context);
    pthread_mutex_destroy(&tls->lock);
    free(tls->server_name);
    free(tls->sending.data);
    free(tls->in.data);
    free(tls->out.data);
    free(tls);
}

/*
 * Sends what is left and close_notify. 0; -errno if other bytes than that could not be sent.
 * *@is_sent: nothing at all is left, not even below.
 */
static int say_goodbye(skua_tls *tls, bool *is_sent)
{
    *is_sent = false;
    int rc = skua_tls_drain(tls);
    if (rc < 0)
        return rc;
    (void)shutdown_once(tls); /* what has failed is closed all the same */
    rc = skua_tls_drain(tls);
    *is_sent = rc == 0;
    return rc == -EPIPE || rc == -ECONNRESET ? 0 : rc; /* who has gone need not be told */
}

int skua_tls_close(skua_tls *tls)
{
    bool is_sent;
    if (tls == NULL)
        return 0;
    int rc = say_goodbye(tls, &is_sent);
    int closed = is_sent ? skua_stream_close(tls->below) : skua_stream_abort(tls->below);
    skua_tls_free(tls);
    return rc < 0 ? rc : closed;
}

int skua_tls_abort(skua_tls *tls)
{
    if (tls == NULL)
        return 0;
    int rc = skua_stream_abort(tls->below);
    skua_tls_free(tls);
    return rc;
}

/* ---- the transport --------------------------------------------------------------------------- */

static ssize_t tls_readv(void *user, const struct iovec *iov, unsigned count)
{
    (void)count; /* a record is at most what a buffer of a stream holds */
    return skua_tls_read(user, iov[0].iov_base, iov[0].iov_len);
}

static int tls_shutdown_write(void *user)
{
    return skua_tls_shutdown_write(user);
}

static int tls_close(void *user)
{
    return skua_tls_close(user);
}

static int tls_abort(void *user)
{
    return skua_tls_abort(user);
}

static const skua_stream_transport transport = {
    .readv = tls_readv,
    .writev = tls_writev,
    .shutdown_write = tls_shutdown_write,
    .close = tls_close,
    .abort = tls_abort,
};

int skua_tls_stream_open(skua_tls *tls, const skua_stream_options *options, skua_stream **stream)
{
    return tls == NULL ? -EINVAL : skua_stream_open_over(&transport, tls, options, stream);
}
