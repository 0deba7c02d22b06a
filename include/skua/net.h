/*
 * skua/net.h - addresses, and what is made of them: resolving names, dialling, listening.
 *
 * Common to all of them:
 *   An address is a plain struct in the caller's memory. Names are looked up by getaddrinfo(3) and
 *   getnameinfo(3), so /etc/hosts, nsswitch.conf and the system's resolver count; what is numeric
 *   never waits. A task on a worker parks; executor and foreign threads block, and a connect that
 *   blocks an executor's thread is ended by its deadline, but not by a cancel. Descriptors are made
 *   close-on-exec and blocking. Each also returns -ECHILD in a forked child if it makes something
 *   or waits for it.
 */
#ifndef SKUA_NET_H
#define SKUA_NET_H

#include <skua/base.h>

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- addresses ------------------------------------------------------------------------------- */

/*
 * An address of IPv4, IPv6 or a Unix socket, for every call that takes one:
 *     skua_connect(fd, &address.any, address.size)
 *     peer.size = sizeof(peer.storage); skua_accept(fd, &peer.any, &peer.size, 0)
 */
typedef struct skua_address {
    socklen_t size; /* of what is used of the union */
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
        struct sockaddr_storage storage;
    };
} skua_address;

/* Room for every address as text, its end included. */
#define SKUA_ADDRESS_TEXT_SIZE 128

/**
 * Reads an address. These are addresses, and nothing else is:
 *     127.0.0.1:80        IPv4: four decimal numbers
 *     [::1]:80            IPv6; [fe80::1%eth0]:80 and [fe80::1%2]:80 with an interface
 *     :80                 any address of this host, as [::]:80
 *     unix:/run/a.sock    a path of 1 to 107 bytes that does not begin with @; it may be relative
 *     unix:@name          an abstract name of 1 to 107 bytes
 *     unix:               a Unix socket without a name; bind(2) finds it an abstract one
 * A port is a decimal number from 0 to 65535. No number has leading zeros. No name is looked up.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0; -EINVAL if @text is not an address, or a pointer is NULL; -ENODEV if there is no such
 *   interface. On error *@address is untouched.
 * Source: RFC 4291, 2.2; RFC 4007, 11; unix(7).
 */
SKUA_API int skua_address_parse(const char *text, skua_address *address);

/**
 * Writes @address as the text that skua_address_parse() reads the same address from. An interface
 * is written as its number; the flow of an IPv6 address is left out.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: the length of the text; -ENOSPC if @text_size is not over it; -EAFNOSUPPORT for other
 *   families; -EINVAL for a pointer that is NULL, a size that is not one of the family, and a Unix
 *   name that no text has: an abstract one that is empty or holds a zero, a path that begins with @
 *   or has no end. On error @text is untouched.
 */
SKUA_API ssize_t skua_address_format(const skua_address *address, char *text, size_t text_size);

/**
 * The address @fd is bound to.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0, or -errno of getsockname(2); -EINVAL if @address is NULL. On error *@address is
 *   untouched.
 */
SKUA_API int skua_address_of_socket(int fd, skua_address *address);

/**
 * The address of the peer of @fd.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0, or -errno of getpeername(2); -EINVAL if @address is NULL. On error *@address is
 *   untouched.
 */
SKUA_API int skua_address_of_peer(int fd, skua_address *address);

/* ---- names ----------------------------------------------------------------------------------- */

/* Without a host: any address of this host, to listen at, instead of the loopback ones. */
#define SKUA_RESOLVE_ANY 1u

/* How to resolve. Zero-initialise; zero means default everywhere. */
typedef struct skua_resolve_options {
    uint64_t deadline_ns; /* absolute, on the clock of skua_now(); default 0: none */
    int family;           /* AF_INET or AF_INET6; default 0: both */
    int socktype;         /* for whose protocol a service is; default 0: SOCK_STREAM */
    unsigned flags;       /* SKUA_RESOLVE_... */
    unsigned reserved_flags;
    uint64_t reserved[4]; /* zero */
} skua_resolve_options;

/**
 * Finds the addresses of @service at @host, the best first, as the system orders them, each once.
 *
 * @host is a name, or an IPv4 or IPv6 address as in skua_address_parse() but without brackets;
 * NULL is this host: [::1] and 127.0.0.1, or, with SKUA_RESOLVE_ANY, [::] and 0.0.0.0. @service is
 * a port, a name, or NULL for port 0. A port in @host is not understood. If neither is a name,
 * nothing is looked up.
 *
 * A lookup cannot be stopped: it runs as a job on the blocking executor, and when its caller is
 * cancelled or out of time, goes on without it. No more than 16 jobs of all runtimes look up at a
 * time, and the others wait for their turn; those that run do not count as threads of the executor,
 * so a name server that is dead holds up other lookups and nothing else. A runtime that stops waits
 * for them. On a thread without a runtime it is a plain call, which no deadline ends.
 *
 * Context: any; waits.
 * Cancellation: -ECANCELED, at once. A numeric address beats the cancel.
 * Units: options.deadline_ns is absolute, on the clock of skua_now().
 * Returns: how many were stored, at least 1 and at most @max: further ones are left out; -ETIMEDOUT
 *   after the deadline; -EINVAL (@addresses NULL, @max 0, neither @host nor @service, @host empty,
 *   a number over 65535 or with leading zeros as @service, unknown flag, nonzero reserved field);
 *   -ENAMETOOLONG for a @host or @service over 1024 bytes; -ENOMEM; -EAGAIN if the executor's queue
 *   is full; -ESHUTDOWN; and of what getaddrinfo(3) says
 *     -ENOENT           EAI_NONAME, EAI_SERVICE: no such host or service
 *     -EADDRNOTAVAIL    EAI_NODATA, EAI_ADDRFAMILY: the host has no address of that family
 *     -EAGAIN           EAI_AGAIN: no answer from the name server, for now
 *     -EIO              EAI_FAIL: the name server has failed; any other
 *     -EAFNOSUPPORT     EAI_FAMILY
 *     -ESOCKTNOSUPPORT  EAI_SOCKTYPE
 *     -ENOMEM           EAI_MEMORY
 *     -EINVAL           EAI_BADFLAGS, EAI_IDN_ENCODE
 *     -errno            EAI_SYSTEM.
 *   On error @addresses is untouched.
 * Source: getaddrinfo(3); asyncio.loop.getaddrinfo; RFC 6724.
 */
SKUA_API ssize_t skua_resolve(const char *host, const char *service,
                              const skua_resolve_options *options, skua_address *addresses,
                              size_t max);

/**
 * Finds the name of the host @address belongs to. (skua_address_format() writes the address
 * itself.) The lookup is one as those of skua_resolve().
 *
 * Context: any; waits.
 * Cancellation: -ECANCELED, at once.
 * Units: @deadline_ns is absolute, on the clock of skua_now(); SKUA_FOREVER never passes.
 * Returns: the length of the name; -ENOENT if it has none; -ENOSPC if @host_size is not over it;
 *   -ETIMEDOUT; -EINVAL if a pointer is NULL; -EAFNOSUPPORT for a Unix address; otherwise as
 *   skua_resolve(). On error @host is untouched.
 * Source: getnameinfo(3); asyncio.loop.getnameinfo.
 */
SKUA_API ssize_t skua_resolve_name(const skua_address *address, uint64_t deadline_ns, char *host,
                                   size_t host_size);

/* ---- dialling -------------------------------------------------------------------------------- */

/* Leave Nagle's algorithm on: do not set TCP_NODELAY. */
#define SKUA_DIAL_NAGLE 1u

/* So many addresses are dialled. */
#define SKUA_DIAL_ADDRESSES_MAX 32u

/* How to dial. Zero-initialise; zero means default everywhere. */
typedef struct skua_dial_options {
    uint64_t deadline_ns;      /* of all of it; absolute, of skua_now(); default 0: none */
    uint64_t attempt_delay_ns; /* before the next address is tried too; default 250 ms */
    const skua_address *local; /* to be bound to; the peer's is of this family; default NULL */
    int family;                /* AF_INET or AF_INET6; default 0: both */
    unsigned flags;            /* SKUA_DIAL_... */
    uint64_t reserved[4];      /* zero */
} skua_dial_options;

/**
 * Connects a stream to @service at @host; or to a Unix socket, @host being "unix:..." as in
 * skua_address_parse() and @service NULL.
 *
 * Resolves the name as skua_resolve() does, and dials the addresses as skua_dial_addresses() does.
 *
 * Context: any; waits.
 * Cancellation: -ECANCELED, and then no descriptor was left open.
 * Ownership: the caller closes the descriptor with skua_close().
 * Units: the times of the options are nanoseconds.
 * Returns: a connected descriptor; -EINVAL if @service is NULL or @host a bad Unix address;
 *   -errno of skua_resolve(), or of skua_dial_addresses().
 * Source: RFC 8305; asyncio.loop.create_connection(happy_eyeballs_delay=...); Go's net.Dial.
 */
SKUA_API int skua_dial(const char *host, const char *service, const skua_dial_options *options);

/**
 * Connects a stream to the first of @addresses that answers.
 *
 * They are tried in their order, but families take turns, beginning with that of the first. While
 * one is being tried, the next is tried as well after options.attempt_delay_ns, or as soon as one
 * has failed. The first connection wins; the other attempts are given up. A Unix address is tried
 * to its end before the next: while its listener has no room, again and again.
 *
 * Context: any; waits.
 * Cancellation: -ECANCELED, and then no descriptor was left open. A connection that is there beats
 *   the cancel and the deadline.
 * Ownership: the caller closes the descriptor with skua_close().
 * Units: the times of the options are nanoseconds.
 * Returns: a connected descriptor; -ETIMEDOUT after the deadline; -ECANCELED; -EINVAL (@addresses
 *   NULL, @count 0 or over SKUA_DIAL_ADDRESSES_MAX, unknown flag, nonzero reserved field);
 *   -EADDRNOTAVAIL if none is of the family of options.local or options.family; -EMFILE, -ENFILE,
 *   -ENOMEM; if all attempts have failed, the -errno of the first whose failure came from the
 *   peer or the network (such as -ECONNREFUSED), else, as where no route leads there, of the first.
 * Source: RFC 8305, 4 and 5.
 */
SKUA_API int skua_dial_addresses(const skua_address *addresses, size_t count,
                                 const skua_dial_options *options);

/* ---- listening ------------------------------------------------------------------------------- */

/* SO_REUSEPORT: several sockets may listen there, and the kernel spreads connections over them. */
#define SKUA_LISTEN_REUSEPORT 1u
/* Take away a Unix socket's file that nobody listens at any more. */
#define SKUA_LISTEN_REPLACE 2u

/* How to listen. Zero-initialise; zero means default everywhere. */
typedef struct skua_listen_options {
    int backlog;    /* connections that wait to be accepted; default SOMAXCONN (4096) */
    unsigned flags; /* SKUA_LISTEN_... */
    mode_t mode;    /* of a Unix socket's file, such as 0600; default 0: as the umask says */
    unsigned reserved_mode;
    uint64_t reserved[4]; /* zero */
} skua_listen_options;

/**
 * Makes a stream socket that listens at @address. skua_address_of_socket() tells which port it has
 * if @address leaves that open.
 *
 * SO_REUSEADDR is set; an IPv6 socket takes IPv4 connections too, and where the kernel has no IPv6
 * [::] is taken for 0.0.0.0. With SKUA_LISTEN_REPLACE the file of a Unix socket to which a
 * connect(2) is refused is removed, but nothing that is no socket or that somebody listens at; two
 * programs that do so at the same moment may still take it from each other. The file stays when the
 * descriptor is closed: remove it with skua_unlink().
 *
 * Context: any; does not wait, but for the file system of a Unix socket.
 * Cancellation: not a cancellation point.
 * Ownership: the caller closes the descriptor with skua_close().
 * Returns: a descriptor; -EADDRINUSE if somebody listens there, or there is such a file; -EINVAL
 *   (@address NULL, unknown flag, nonzero reserved field, a negative backlog, mode over 0777 or for
 *   another family); -errno of socket(2), setsockopt(2), bind(2), chmod(2), listen(2). On error no
 *   file is left that was not there.
 * Source: Go's net.Listen; systemd.socket(5), SocketMode=.
 */
SKUA_API int skua_listen_at(const skua_address *address, const skua_listen_options *options);

#ifdef __cplusplus
}
#endif

#endif /* SKUA_NET_H */
