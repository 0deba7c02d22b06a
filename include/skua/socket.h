/*
 * skua/socket.h - sockets: POSIX's calls, through the ring of the worker the task runs on.
 *
 * Common to all of them:
 *   A task on a worker parks until the call is over, if it has to wait; on executor and foreign
 *   threads the call blocks the thread. -EINTR is retried. A call waits whether or not the
 *   descriptor is O_NONBLOCK (only MSG_DONTWAIT does not wait, and returns -EAGAIN), and
 *   SO_RCVTIMEO and SO_SNDTIMEO are not looked at: put the call in a scope with a deadline. Sends
 *   never raise SIGPIPE. Descriptors are made close-on-exec. A cancelled call returns -ECANCELED
 *   only if nothing was done: a connection that was accepted and bytes that were moved are
 *   returned. Where it says "any order", several tasks may use a descriptor at once, as in POSIX:
 *   one that sends and one that receives never disturb each other. Do not close a descriptor
 *   another task waits on: cancel that task first, or shut the socket down. Buffers and addresses
 *   must stay valid until the call returns. Each also returns -ENOMEM if the kernel could not take
 *   the request, -ECHILD in a forked child, and every -errno of the system call of its name.
 */
#ifndef SKUA_SOCKET_H
#define SKUA_SOCKET_H

#include <skua/base.h>

#include <sys/socket.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Makes a socket; SOCK_CLOEXEC is always set.
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Ownership: the caller closes it with skua_close().
 * Returns: a descriptor, or -errno of socket(2).
 */
SKUA_API int skua_socket(int domain, int type, int protocol);

/**
 * Gives @fd the address @address.
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0, or -errno of bind(2); -EINVAL if @address is NULL.
 */
SKUA_API int skua_bind(int fd, const struct sockaddr *address, socklen_t size);

/**
 * Has @fd take connections, up to @backlog of which wait to be accepted.
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0, or -errno of listen(2).
 */
SKUA_API int skua_listen(int fd, int backlog);

/**
 * Waits for a connection and accepts it. @address and @size may be NULL. @flags: SOCK_NONBLOCK or
 * 0. Several tasks may accept on one socket; each connection goes to one of them.
 * Context: any; waits.
 * Cancellation: -ECANCELED, and then no connection was accepted.
 * Ownership: the caller closes the descriptor.
 * Returns: a descriptor, or -errno of accept4(2): -EMFILE and -ENFILE do not go away by themselves,
 *   so wait before the next try; the errors of a connection that failed before it was accepted
 *   (-ECONNABORTED and others) are tried again here. -EINVAL if only one of the pointers is NULL.
 */
SKUA_API int skua_accept(int fd, struct sockaddr *address, socklen_t *size, int flags);

/**
 * Connects @fd to @address, or gives a datagram socket its peer.
 * Context: any; waits.
 * Cancellation: -ECANCELED; the socket is then good for nothing but skua_close().
 * Returns: 0, or -errno of connect(2); -EINVAL if @address is NULL.
 */
SKUA_API int skua_connect(int fd, const struct sockaddr *address, socklen_t size);

/**
 * Receives up to @size bytes, or one datagram.
 * Context: any; waits. Any order.
 * Cancellation: -ECANCELED if nothing was received.
 * Returns: the number of bytes, 0 at the end of a stream, or -errno of recv(2).
 */
SKUA_API ssize_t skua_recv(int fd, void *buffer, size_t size, int flags);

/**
 * Sends up to @size bytes, or one datagram.
 * Context: any; waits. Any order.
 * Cancellation: -ECANCELED if nothing was sent.
 * Returns: the number of bytes, or -errno of send(2); -EPIPE if the peer does not listen any more.
 */
SKUA_API ssize_t skua_send(int fd, const void *buffer, size_t size, int flags);

/**
 * Receives on a stream until @size bytes are there or it ends.
 * Context: any; waits. One caller at a time.
 * Cancellation: -ECANCELED if nothing was received; bytes received before the cancel are returned.
 * Returns: the number of bytes (short only at the end, or if an error or cancel came after some),
 *   or -errno of recv(2); -EINVAL if @size is over INT64_MAX.
 */
SKUA_API ssize_t skua_recv_all(int fd, void *buffer, size_t size);

/**
 * Sends all of @size bytes on a stream.
 * Context: any; waits. One caller at a time.
 * Cancellation: -ECANCELED if nothing was sent; the number of bytes sent before it is returned.
 * Returns: the number of bytes (short only if an error or cancel came after some), or -errno of
 *   send(2); -EINVAL if @size is over INT64_MAX.
 */
SKUA_API ssize_t skua_send_all(int fd, const void *buffer, size_t size);

/**
 * Receives and tells from whom. @address and @address_size may be NULL.
 * Context: any; waits. Any order.
 * Cancellation: -ECANCELED if nothing was received.
 * Returns: the number of bytes, or -errno of recvfrom(2); -EINVAL if only one of the two is NULL.
 */
SKUA_API ssize_t skua_recvfrom(int fd, void *buffer, size_t size, int flags,
                               struct sockaddr *address, socklen_t *address_size);

/**
 * Sends a datagram to @address; NULL is the connected peer.
 * Context: any; waits. Any order.
 * Cancellation: -ECANCELED if nothing was sent.
 * Returns: the number of bytes, or -errno of sendto(2).
 */
SKUA_API ssize_t skua_sendto(int fd, const void *buffer, size_t size, int flags,
                             const struct sockaddr *address, socklen_t address_size);

/**
 * Receives into several buffers, with ancillary data. MSG_CMSG_CLOEXEC is always set. Descriptors
 * that came in it are the caller's.
 * Context: any; waits. Any order.
 * Cancellation: -ECANCELED if nothing was received.
 * Returns: the number of bytes, or -errno of recvmsg(2); -EINVAL if @message is NULL.
 */
SKUA_API ssize_t skua_recvmsg(int fd, struct msghdr *message, int flags);

/**
 * Sends from several buffers, with ancillary data.
 * Context: any; waits. Any order.
 * Cancellation: -ECANCELED if nothing was sent.
 * Returns: the number of bytes, or -errno of sendmsg(2); -EINVAL if @message is NULL.
 */
SKUA_API ssize_t skua_sendmsg(int fd, const struct msghdr *message, int flags);

/**
 * Ends one direction or both (SHUT_RD, SHUT_WR, SHUT_RDWR). Tasks that wait for it are woken: they
 * see the end of the stream, or -EPIPE.
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0, or -errno of shutdown(2).
 */
SKUA_API int skua_shutdown(int fd, int how);

/**
 * Waits until @fd is ready for any of @events (POLLIN, POLLOUT, ...; see poll(2)). POLLERR and
 * POLLHUP are always among them. For libraries that do their own I/O on a descriptor they give out.
 * Context: any; waits. Any order.
 * Cancellation: -ECANCELED if it was not ready.
 * Returns: the events, or -errno of poll(2); -EBADF if @fd is not open.
 */
SKUA_API int skua_poll(int fd, unsigned events);

/**
 * Sends @size bytes of the file @file_fd, from @offset on, without copying them through this
 * process, until all are sent or the file ends. Sets O_NONBLOCK on @fd. What is not in the page
 * cache is read by the blocking executor.
 * Context: any; waits. One sender at a time.
 * Cancellation: -ECANCELED if nothing was sent; the number of bytes sent before it is returned.
 * Returns: the number of bytes (short at the end of the file, or if an error or cancel came after
 *   some), or -errno of sendfile(2); -EINVAL if @offset or @size is over INT64_MAX.
 * Source: sendfile(2); preadv2(2), RWF_NOWAIT.
 */
SKUA_API ssize_t skua_sendfile(int fd, int file_fd, uint64_t offset, size_t size);

#ifdef __cplusplus
}
#endif

#endif /* SKUA_SOCKET_H */
