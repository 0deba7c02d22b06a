/*
 * io/net_call.h - the calls of sockets that never wait: the kernel's, or the network's that a
 * simulation (sim/) has instead.
 *
 * Results are 0, a descriptor, or -errno; errno is read where it was set.
 */
#ifndef SKUA_SRC_NET_CALL_H
#define SKUA_SRC_NET_CALL_H

#include "base/compiler.h"

#include <stdint.h>
#include <sys/socket.h>

enum skua_net_call_code {
    SKUA_NET_SOCKET,     /* numbers: domain, type, protocol */
    SKUA_NET_BIND,       /* address */
    SKUA_NET_LISTEN,     /* numbers: backlog */
    SKUA_NET_CONNECT,    /* address; as O_NONBLOCK says */
    SKUA_NET_ACCEPT,     /* the address may be NULL; numbers: flags; as O_NONBLOCK says */
    SKUA_NET_SHUTDOWN,   /* numbers: how */
    SKUA_NET_NAME,       /* address and *size: the socket's own */
    SKUA_NET_PEER,       /* address and *size: its peer's */
    SKUA_NET_GET_OPTION, /* numbers: level, name; data and *size */
    SKUA_NET_SET_OPTION  /* numbers: level, name; data */
};

struct skua_net_call {
    enum skua_net_call_code code;
    int fd;
    int numbers[3];
    void *data; /* an address, a value */
    socklen_t data_size;
    socklen_t *size; /* of what is returned in data */
    int result;
};

/* Makes @call: its result. */
int skua_net_call(struct skua_net_call *call);

static inline int skua_net_socket(int domain, int type, int protocol)
{
    struct skua_net_call call = {.code = SKUA_NET_SOCKET, .numbers = {domain, type, protocol}};
    return skua_net_call(&call);
}

static inline int skua_net_bind(int fd, const struct sockaddr *address, socklen_t size)
{
    struct skua_net_call call = {
        .code = SKUA_NET_BIND, .fd = fd, .data = (void *)(uintptr_t)address, .data_size = size};
    return skua_net_call(&call);
}

static inline int skua_net_listen(int fd, int backlog)
{
    struct skua_net_call call = {.code = SKUA_NET_LISTEN, .fd = fd, .numbers = {backlog}};
    return skua_net_call(&call);
}

static inline int skua_net_connect(int fd, const struct sockaddr *address, socklen_t size)
{
    struct skua_net_call call = {
        .code = SKUA_NET_CONNECT, .fd = fd, .data = (void *)(uintptr_t)address, .data_size = size};
    return skua_net_call(&call);
}

static inline int skua_net_accept(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    struct skua_net_call call = {
        .code = SKUA_NET_ACCEPT, .fd = fd, .numbers = {flags}, .data = address, .size = size};
    return skua_net_call(&call);
}

static inline int skua_net_shutdown(int fd, int how)
{
    struct skua_net_call call = {.code = SKUA_NET_SHUTDOWN, .fd = fd, .numbers = {how}};
    return skua_net_call(&call);
}

/* The socket's own address: @code SKUA_NET_NAME; its peer's: SKUA_NET_PEER. */
static inline int skua_net_name(enum skua_net_call_code code, int fd, struct sockaddr *address,
                                socklen_t *size)
{
    struct skua_net_call call = {.code = code, .fd = fd, .data = address, .size = size};
    return skua_net_call(&call);
}

/* An option that is an int. */
static inline int skua_net_get_option(int fd, int level, int name, int *value)
{
    socklen_t size = sizeof(*value);
    struct skua_net_call call = {.code = SKUA_NET_GET_OPTION,
                                 .fd = fd,
                                 .numbers = {level, name},
                                 .data = value,
                                 .size = &size};
    return skua_net_call(&call);
}

static inline int skua_net_set_option(int fd, int level, int name, int value)
{
    struct skua_net_call call = {.code = SKUA_NET_SET_OPTION,
                                 .fd = fd,
                                 .numbers = {level, name},
                                 .data = &value,
                                 .data_size = sizeof(value)};
    return skua_net_call(&call);
}

#endif /* SKUA_SRC_NET_CALL_H */
