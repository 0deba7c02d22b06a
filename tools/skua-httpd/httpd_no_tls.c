/*
 * httpd_no_tls.c - in the place of httpd_tls.c where the TLS library is not built.
 */
#include "httpd_tls.h"

#include <errno.h>
#include <stdio.h>

int skua_httpd_tls_open(struct httpd *httpd)
{
    if (httpd->options.tls_cert == NULL)
        return 0;
    fputs(HTTPD_PROGRAM ": this program was built without TLS\n", stderr);
    return -1;
}

void skua_httpd_tls_close(struct httpd *httpd)
{
    (void)httpd;
}

int skua_httpd_tls_begin(struct httpd_connection *connection)
{
    (void)connection;
    return 0;
}

int skua_httpd_tls_shutdown(struct httpd_connection *connection)
{
    (void)connection;
    return 0;
}

void skua_httpd_tls_end(struct httpd_connection *connection)
{
    (void)connection;
}

ssize_t skua_httpd_tls_read(struct httpd_connection *connection, void *buffer, size_t size)
{
    (void)connection;
    (void)buffer;
    (void)size;
    return -EOPNOTSUPP;
}

ssize_t skua_httpd_tls_write(struct httpd_connection *connection, const void *data, size_t size)
{
    (void)connection;
    (void)data;
    (void)size;
    return -EOPNOTSUPP;
}
