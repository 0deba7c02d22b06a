/*
 * httpd_bytes.c - receiving and sending: by the socket, or through TLS.
 *
 * A file goes from the kernel to the socket without passing through here; in TLS it is read and
 * written in pieces.
 */
#include "httpd_tls.h"

#include <errno.h>
#include <stdlib.h>

#define FILE_BYTES ((size_t)64 << 10) /* what one write of TLS takes */

ssize_t skua_httpd_recv(struct httpd_connection *connection, void *buffer, size_t size)
{
    if (connection->tls != NULL)
        return skua_httpd_tls_read(connection, buffer, size);
    return skua_recv(connection->fd, buffer, size, 0);
}

ssize_t skua_httpd_send(struct httpd_connection *connection, const struct iovec iov[2], int flags)
{
    const struct iovec *first = iov[0].iov_len > 0 ? &iov[0] : &iov[1];
    if (connection->tls != NULL)
        return skua_httpd_tls_write(connection, first->iov_base, first->iov_len);
    if (iov[0].iov_len == 0 || iov[1].iov_len == 0)
        return skua_send(connection->fd, first->iov_base, first->iov_len, flags);
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = 2};
    return skua_sendmsg(connection->fd, &message, flags);
}

/* Sends @size bytes through TLS. Their number or -errno. */
static ssize_t write_all(struct httpd_connection *connection, const char *data, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n = skua_httpd_tls_write(connection, data + done, size - done);
        if (n < 0)
            return n;
        done += (size_t)n;
    }
    return (ssize_t)size;
}

static ssize_t copy_file(struct httpd_connection *connection, int file_fd, uint64_t offset,
                         size_t size)
{
    size_t done = 0;
    ssize_t n = 0;
    char *buffer = malloc(FILE_BYTES);
    if (buffer == NULL)
        return -ENOMEM;
    while (done < size) {
        size_t piece = size - done < FILE_BYTES ? size - done : FILE_BYTES;
        n = skua_pread(file_fd, buffer, piece, offset + done);
        if (n > 0)
            n = write_all(connection, buffer, (size_t)n);
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    free(buffer);
    return done > 0 ? (ssize_t)done : n;
}

ssize_t skua_httpd_send_file(struct httpd_connection *connection, int file_fd, uint64_t offset,
                             size_t size)
{
    if (connection->tls != NULL)
        return copy_file(connection, file_fd, offset, size);
    return skua_sendfile(connection->fd, file_fd, offset, size);
}
