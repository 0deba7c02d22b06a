/*
 * proxy_tls.h - clients that speak TLS, which ends here: backends get plain bytes.
 *
 * proxy_no_tls.c is built in the place of proxy_tls.c where the TLS library is not.
 */
#ifndef SKUA_PROXY_TLS_H
#define SKUA_PROXY_TLS_H

#include "proxy_connection.h"

/*
 * Reads the certificate of the options, if there is one. 0; -1 with a line on stderr. Before there
 * are threads.
 */
int skua_proxy_tls_open(struct proxy *proxy);
void skua_proxy_tls_close(struct proxy *proxy);

/* Shakes hands with the client, if the proxy speaks TLS. 0 or -errno. */
int skua_proxy_tls_begin(struct proxy_connection *connection);

/* Ends what that has begun; gracefully, or so that the client knows that bytes may be missing. */
void skua_proxy_tls_end(struct proxy_connection *connection, bool is_whole);

/* As skua_recv(), skua_send() and skua_shutdown() of the sending side. */
ssize_t skua_proxy_tls_read(struct skua_tls *tls, void *buffer, size_t size);
ssize_t skua_proxy_tls_write(struct skua_tls *tls, const void *data, size_t size);
int skua_proxy_tls_shutdown(struct skua_tls *tls);

#endif /* SKUA_PROXY_TLS_H */
