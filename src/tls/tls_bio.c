/*
 * tls/tls_bio.c - what OpenSSL reads from and writes to: the two buffers of a connection.
 *
 * Never waits. A read that finds nothing says "retry". A write takes everything: what it takes is
 * bounded by who calls SSL_write(), which sends before it seals more than a batch. The caller of
 * OpenSSL holds the connection's lock, but for the handshake, in which there is nobody else.
 */
#include "tls/tls_impl.h"

#include <openssl/bio.h>
#include <stdlib.h>
#include <string.h>

static int bio_read(BIO *bio, char *data, int size)
{
    skua_tls *tls = BIO_get_data(bio);
    size_t held = tls->visible - tls->in.start;
    BIO_clear_retry_flags(bio);
    if (held == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t taken = skua_min(held, (size_t)size);
    memcpy(data, tls->in.data + tls->in.start, taken);
    tls->in.start += taken;
    return (int)taken;
}

/* Room for @size more bytes at the end. */
static bool grow(struct skua_tls_buffer *buffer, size_t size)
{
    if (buffer->capacity - buffer->end >= size)
        return true;
    size_t capacity = skua_max(buffer->capacity * 2, buffer->end + size);
    char *data = realloc(buffer->data, capacity);
    if (data == NULL)
        return false;
    buffer->data = data;
    buffer->capacity = capacity;
    return true;
}

static int bio_write(BIO *bio, const char *data, int size)
{
    skua_tls *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (size <= 0)
        return 0;
    if (!grow(&tls->out, (size_t)size)) {
        tls->is_short = true;
        return -1;
    }
    memcpy(tls->out.data + tls->out.end, data, (size_t)size);
    tls->out.end += (size_t)size;
    tls->unsent += (size_t)size;
    return size;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0; /* the flush is ours, after OpenSSL has returned */
}

BIO_METHOD *skua_tls_bio_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "skua");
    if (method == NULL)
        return NULL;
    if (BIO_meth_set_read(method, bio_read) == 1 && BIO_meth_set_write(method, bio_write) == 1 &&
        BIO_meth_set_ctrl(method, bio_ctrl) == 1)
        return method;
    BIO_meth_free(method);
    return NULL;
}

int skua_tls_bio_attach(skua_tls *tls)
{
    BIO *bio = BIO_new(tls->context->bio_method);
    if (bio == NULL)
        return -ENOMEM;
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    SSL_set_bio(tls->ssl, bio, bio); /* one reference serves both ways */
    return 0;
}
