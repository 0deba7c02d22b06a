/*
 * httpd_tls.h - bytes of a connection, in TLS or as they are.
 *
 * httpd_tls.c has them in TLS, httpd_no_tls.c is built in its place where the TLS library is not.
 */
#ifndef SKUA_HTTPD_TLS_H
#define SKUA_HTTPD_TLS_H

#include "httpd_connection.h"

/*
 * Reads the certificate of the options, if there is one. 0; -1 with a line on stderr. Before there
 * are threads.
 */
int skua_httpd_tls_open(struct httpd *httpd);
void skua_httpd_tls_close(struct httpd *httpd);

/* Shakes hands, if the server speaks TLS. 0 or -errno. */
int skua_httpd_tls_begin(struct httpd_connection *connection);

/* Tells the peer that no more will come. 0 or -errno. */
int skua_httpd_tls_shutdown(struct httpd_connection *connection);

/* Ends what skua_httpd_tls_begin() has begun. */
void skua_httpd_tls_end(struct httpd_connection *connection);

/* Of a connection in TLS: as skua_recv() and skua_send(). */
ssize_t skua_httpd_tls_read(struct httpd_connection *connection, void *buffer, size_t size);
ssize_t skua_httpd_tls_write(struct httpd_connection *connection, const void *data, size_t size);

/* ---- httpd_bytes.c: of any connection -------------------------------------------------------- */

ssize_t skua_httpd_recv(struct httpd_connection *connection, void *buffer, size_t size);

/* Sends some bytes at least of two pieces, not both empty. @flags are send(2)'s. */
ssize_t skua_httpd_send(struct httpd_connection *connection, const struct iovec iov[2], int flags);

/* Sends up to @size bytes of a file; less if it ends. */
ssize_t skua_httpd_send_file(struct httpd_connection *connection, int file_fd, uint64_t offset,
                             size_t size);

#endif /* SKUA_HTTPD_TLS_H */
