/*
 * proxy_tls.c - TLS of clients, by the library skua_tls.
 *
 * Below it is a transport that first gives what has come with a client's PROXY header. The
 * descriptor stays the server's.
 */
#include "proxy_tls.h"

#include <skua/tls.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- what is below --------------------------------------------------------------------------- */

static ssize_t below_readv(void *user, const struct iovec *iov, unsigned count)
{
    struct proxy_connection *connection = user;
    struct proxy_lane *up = &connection->up;
    (void)count;
    if (up->filled == 0)
        return skua_recv(connection->client_fd, iov[0].iov_base, iov[0].iov_len, 0);
    size_t size = up->filled < iov[0].iov_len ? up->filled : iov[0].iov_len;
    memcpy(iov[0].iov_base, up->buffer, size);
    up->filled -= size;
    memmove(up->buffer, up->buffer + size, up->filled);
    return (ssize_t)size;
}

static ssize_t below_writev(void *user, const struct iovec *iov, unsigned count)
{
    struct proxy_connection *connection = user;
    (void)count;
    return skua_send(connection->client_fd, iov[0].iov_base, iov[0].iov_len, 0);
}

static const skua_stream_transport below_transport = {
    .readv = below_readv,
    .writev = below_writev,
};

/* ---- contexts and connections ---------------------------------------------------------------- */

int skua_proxy_tls_open(struct proxy *proxy)
{
    const struct proxy_options *given = &proxy->options;
    skua_tls_context_options options = {
        .role = SKUA_TLS_SERVER, .certificate.file = given->tls_cert, .key.file = given->tls_key};
    skua_tls_error error;
    if (given->tls_cert == NULL)
        return 0;
    if (skua_tls_context_create(&options, &error, &proxy->tls) == 0)
        return 0;
    fprintf(stderr, PROXY_PROGRAM ": %s: %s\n", given->tls_cert, error.text);
    return -1;
}

void skua_proxy_tls_close(struct proxy *proxy)
{
    skua_tls_context_unref(proxy->tls);
}

int skua_proxy_tls_begin(struct proxy_connection *connection)
{
    struct proxy *proxy = connection->proxy;
    /* No buffers: TLS has its own. */
    skua_stream_options how = {.read_buffer_bytes = 1, .write_buffer_bytes = 1};
    skua_tls_options options = {.timeout_ns = proxy->options.header_timeout_ns};
    skua_stream *below;
    if (proxy->tls == NULL)
        return 0;
    int rc = skua_stream_open_over(&below_transport, connection, &how, &below);
    if (rc < 0)
        return rc;
    rc = skua_tls_accept_over(proxy->tls, below, &options, &connection->tls);
    if (rc < 0)
        (void)skua_stream_abort(below);
    else if (connection->up.filled > 0)
        rc = -EPROTO; /* more than a ClientHello before it was answered */
    return rc;
}

void skua_proxy_tls_end(struct proxy_connection *connection, bool is_whole)
{
    if (is_whole)
        (void)skua_tls_close(connection->tls);
    else
        (void)skua_tls_abort(connection->tls);
}

ssize_t skua_proxy_tls_read(struct skua_tls *tls, void *buffer, size_t size)
{
    return skua_tls_read(tls, buffer, size);
}

ssize_t skua_proxy_tls_write(struct skua_tls *tls, const void *data, size_t size)
{
    return skua_tls_write(tls, data, size);
}

int skua_proxy_tls_shutdown(struct skua_tls *tls)
{
    return skua_tls_shutdown_write(tls);
}
