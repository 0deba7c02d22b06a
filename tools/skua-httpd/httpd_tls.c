/*
 * httpd_tls.c - HTTPS, by the library skua_tls.
 *
 * The connection's descriptor stays the server's, which shuts it down to end a connection at rest:
 * TLS is over a stream that does not close it.
 */
#include "httpd_tls.h"

#include <skua/tls.h>

#include <errno.h>
#include <stdio.h>

int skua_httpd_tls_open(struct httpd *httpd)
{
    static const char *const protocols[] = {"http/1.1", NULL};
    const struct httpd_options *given = &httpd->options;
    skua_tls_context_options options = {.role = SKUA_TLS_SERVER,
                                        .certificate.file = given->tls_cert,
                                        .key.file = given->tls_key,
                                        .alpn = protocols};
    skua_tls_error error;
    if (given->tls_cert == NULL)
        return 0;
    if (skua_tls_context_create(&options, &error, &httpd->tls) == 0)
        return 0;
    fprintf(stderr, HTTPD_PROGRAM ": %s: %s\n", given->tls_cert, error.text);
    return -1;
}

void skua_httpd_tls_close(struct httpd *httpd)
{
    skua_tls_context_unref(httpd->tls);
}

int skua_httpd_tls_begin(struct httpd_connection *connection)
{
    struct httpd *httpd = connection->httpd;
    /* No buffers: TLS has its own. */
    skua_stream_options how = {
        .read_buffer_bytes = 1, .write_buffer_bytes = 1, .flags = SKUA_STREAM_KEEP_FDS};
    skua_tls_options options = {.timeout_ns = httpd->options.header_timeout_ns};
    skua_stream *below;
    if (httpd->tls == NULL)
        return 0;
    int rc = skua_stream_open(connection->fd, connection->fd, &how, &below);
    if (rc < 0)
        return rc;
    rc = skua_tls_accept_over(httpd->tls, below, &options, &connection->tls);
    if (rc < 0)
        (void)skua_stream_abort(below);
    return rc;
}

int skua_httpd_tls_shutdown(struct httpd_connection *connection)
{
    return connection->tls != NULL ? skua_tls_shutdown_write(connection->tls) : 0;
}

void skua_httpd_tls_end(struct httpd_connection *connection)
{
    /* An answer that is not whole must not look so. */
    if (connection->broken || connection->cancelled)
        (void)skua_tls_abort(connection->tls);
    else
        (void)skua_tls_close(connection->tls);
}

ssize_t skua_httpd_tls_read(struct httpd_connection *connection, void *buffer, size_t size)
{
    return skua_tls_read(connection->tls, buffer, size);
}

ssize_t skua_httpd_tls_write(struct httpd_connection *connection, const void *data, size_t size)
{
    return skua_tls_write(connection->tls, data, size);
}
