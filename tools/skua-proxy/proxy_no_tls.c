/*
 * proxy_no_tls.c - in the place of proxy_tls.c where the TLS library is not built.
 */
#include "proxy_tls.h"

#include <errno.h>
#include <stdio.h>

int skua_proxy_tls_open(struct proxy *proxy)
{
    if (proxy->options.tls_cert == NULL)
        return 0;
    fputs(PROXY_PROGRAM ": this program was built without TLS\n", stderr);
    return -1;
}

void skua_proxy_tls_close(struct proxy *proxy)
{
    (void)proxy;
}

int skua_proxy_tls_begin(struct proxy_connection *connection)
{
    (void)connection;
    return 0;
}

void skua_proxy_tls_end(struct proxy_connection *connection, bool is_whole)
{
    (void)connection;
    (void)is_whole;
}

ssize_t skua_proxy_tls_read(struct skua_tls *tls, void *buffer, size_t size)
{
    (void)tls;
    (void)buffer;
    (void)size;
    return -EOPNOTSUPP;
}

ssize_t skua_proxy_tls_write(struct skua_tls *tls, const void *data, size_t size)
{
    (void)tls;
    (void)data;
    (void)size;
    return -EOPNOTSUPP;
}

int skua_proxy_tls_shutdown(struct skua_tls *tls)
{
    (void)tls;
    return -EOPNOTSUPP;
}
