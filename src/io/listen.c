/*
 * io/listen.c - a socket that listens at an address.
 *
 * Owns nothing. Must stay true: a file is removed only if it was a socket and a connect(2) to it
 * was refused just before, or if it was made here; and nobody can connect before the file has its
 * mode, since listen(2) comes last.
 */
#include <skua/net.h>

#include "base/compiler.h"
#include "io/address.h"
#include "io/net_call.h"
#include "sched/worker.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#define FLAGS_ALL (SKUA_LISTEN_REUSEPORT | SKUA_LISTEN_REPLACE)
#define MODE_ALL 0777u

static SKUA_NOINLINE int result_of(int returned)
{
    return returned < 0 ? -errno : returned;
}

/* The path of a Unix address that has a file; NULL: it has none. It ends within the address. */
static const char *path_of(const skua_address *address)
{
    bool is_path = address->any.sa_family == AF_UNIX &&
                   address->size > offsetof(struct sockaddr_un, sun_path) &&
                   address->un.sun_path[0] != '\0';
    return is_path ? address->un.sun_path : NULL;
}

/* Whether the file at @path is a socket nobody listens at. Does not wait. */
static bool is_stale(const char *path, const skua_address *address)
{
    struct stat status;
    if (lstat(path, &status) < 0 || !S_ISSOCK(status.st_mode))
        return false;
    int fd = skua_net_socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    /* A datagram socket says EPROTOTYPE, a full backlog EAGAIN: both are in use. */
    int rc = skua_net_connect(fd, &address->any, address->size);
    (void)close(fd);
    return rc == -ECONNREFUSED;
}

static int prepare(int fd, const skua_address *address, const skua_listen_options *options)
{
    int rc = skua_net_set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (rc == 0 && (options->flags & SKUA_LISTEN_REUSEPORT))
        rc = skua_net_set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (rc == 0 && address->any.sa_family == AF_INET6)
        rc = skua_net_set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    return rc;
}

static int bind_here(int fd, const skua_address *address, const skua_listen_options *options)
{
    const char *path = path_of(address);
    int rc = skua_net_bind(fd, &address->any, address->size);
    if (rc != -EADDRINUSE || path == NULL || !(options->flags & SKUA_LISTEN_REPLACE) ||
        !is_stale(path, address))
        return rc;
    rc = result_of(unlink(path));
    if (rc < 0 && rc != -ENOENT)
        return rc;
    return skua_net_bind(fd, &address->any, address->size);
}

static int listen_on(int fd, const skua_address *address, const skua_listen_options *options)
{
    const char *path = path_of(address);
    int rc = prepare(fd, address, options);
    if (rc == 0)
        rc = bind_here(fd, address, options);
    if (rc < 0)
        return rc;
    if (path != NULL && options->mode != 0)
        rc = result_of(chmod(path, options->mode));
    if (rc == 0)
        rc = skua_net_listen(fd, options->backlog != 0 ? options->backlog : SOMAXCONN);
    if (rc < 0 && path != NULL)
        (void)unlink(path);
    return rc;
}

static int check_arguments(const skua_address *address, const skua_listen_options *options)
{
    uint64_t reserved = options->reserved_mode | (options->flags & ~FLAGS_ALL);
    for (size_t i = 0; i < sizeof(options->reserved) / sizeof(options->reserved[0]); i++)
        reserved |= options->reserved[i];
    if (reserved != 0 || options->backlog < 0 || !skua_address_is_sized(address))
        return -EINVAL;
    if (options->mode != 0 && ((options->mode & ~MODE_ALL) || path_of(address) == NULL))
        return -EINVAL;
    return 0;
}

static bool is_any_in6(const skua_address *address)
{
    return address->any.sa_family == AF_INET6 && address->size >= sizeof(address->in6) &&
           IN6_IS_ADDR_UNSPECIFIED(&address->in6.sin6_addr);
}

int skua_listen_at(const skua_address *given, const skua_listen_options *options)
{
    static const skua_listen_options defaults = {0};
    const struct skua_thread *thread = skua_thread_self();
    if (options == NULL)
        options = &defaults;
    int rc = check_arguments(given, options);
    if (rc < 0)
        return rc;
    if (thread != NULL && thread->forked)
        return -ECHILD;
    skua_address address = *given; /* a copy, in which every path ends */
    if (address.size < sizeof(address.storage))
        ((char *)&address.storage)[address.size] = '\0';
    int fd = skua_net_socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd == -EAFNOSUPPORT && is_any_in6(&address)) { /* a kernel without IPv6 */
        struct in_addr any = {.s_addr = htonl(INADDR_ANY)};
        skua_address_set_in(&address, any, ntohs(given->in6.sin6_port));
        fd = skua_net_socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    }
    if (fd < 0)
        return fd;
    rc = listen_on(fd, &address, options);
    if (rc < 0) {
        (void)close(fd);
        return rc;
    }
    return fd;
}
