/*
 * io/address.c - addresses to text and back.
 *
 * Owns nothing. Must stay true: what is not zero of an address is what its text says, so that two
 * addresses of the same text are equal byte for byte, and parse(format(x)) is x.
 *
 * inet_pton(3) does the numbers: unlike inet_aton(3) it takes neither octal nor short forms, in
 * which programs have disagreed about where a text leads.
 */
#include "io/address.h"

#include "base/check.h"
#include "base/compiler.h"
#include "io/net_call.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#define PORT_MAX 65535u
#define UNIX_PREFIX "unix:"
#define UNIX_OFFSET offsetof(struct sockaddr_un, sun_path)
#define UNIX_NAME_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) - 1) /* without its end */

_Static_assert(SKUA_ADDRESS_TEXT_SIZE > sizeof(UNIX_PREFIX "@") + UNIX_NAME_MAX,
               "the longest text is that of an abstract name");
_Static_assert(SKUA_ADDRESS_TEXT_SIZE > INET6_ADDRSTRLEN + sizeof("[%4294967295]:65535"),
               "that of IPv6 is shorter");

/* ---- reading --------------------------------------------------------------------------------- */

/* A decimal number up to @max, the whole of @text, no leading zeros. False: it is none. */
static bool parse_number(const char *text, uint64_t max, uint64_t *number)
{
    uint64_t value = 0;
    if (*text == '\0' || (text[0] == '0' && text[1] != '\0'))
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return false;
        value = value * 10 + (uint64_t)(*text - '0');
        if (value > max)
            return false;
    }
    *number = value;
    return true;
}

int skua_port_parse(const char *text)
{
    uint64_t port;
    return parse_number(text, PORT_MAX, &port) ? (int)port : -EINVAL;
}

void skua_address_set_in(skua_address *address, struct in_addr host, unsigned port)
{
    skua_assert(port <= PORT_MAX);
    memset(address, 0, sizeof(*address));
    address->size = sizeof(address->in);
    address->in.sin_family = AF_INET;
    address->in.sin_addr = host;
    address->in.sin_port = htons((uint16_t)port);
}

void skua_address_set_in6(skua_address *address, const struct in6_addr *host, unsigned port)
{
    skua_assert(port <= PORT_MAX);
    memset(address, 0, sizeof(*address));
    address->size = sizeof(address->in6);
    address->in6.sin6_family = AF_INET6;
    address->in6.sin6_addr = *host;
    address->in6.sin6_port = htons((uint16_t)port);
}

/* The number of an interface that is given by number or name. 0 if there is none. */
static uint32_t parse_scope(const char *text)
{
    uint64_t number;
    if (parse_number(text, UINT32_MAX, &number))
        return (uint32_t)number;
    return if_nametoindex(text);
}

int skua_host_parse(const char *host, unsigned port, skua_address *address)
{
    char text[INET6_ADDRSTRLEN];
    struct in_addr in;
    struct in6_addr in6;
    if (inet_pton(AF_INET, host, &in) == 1) {
        skua_address_set_in(address, in, port);
        return 0;
    }
    const char *percent = strchr(host, '%');
    size_t length = percent != NULL ? (size_t)(percent - host) : strlen(host);
    if (length >= sizeof(text))
        return -EINVAL;
    memcpy(text, host, length);
    text[length] = '\0';
    if (inet_pton(AF_INET6, text, &in6) != 1 || (percent != NULL && percent[1] == '\0'))
        return -EINVAL;
    uint32_t scope = percent != NULL ? parse_scope(percent + 1) : 0;
    if (percent != NULL && scope == 0)
        return -ENODEV;
    skua_address_set_in6(address, &in6, port);
    address->in6.sin6_scope_id = scope;
    return 0;
}

/* What follows "unix:". */
static int parse_unix(const char *name, skua_address *address)
{
    bool is_abstract = name[0] == '@';
    size_t length = strlen(name);
    if (length > UNIX_NAME_MAX + is_abstract || (is_abstract && length == 1))
        return -EINVAL;
    memset(address, 0, sizeof(*address));
    address->un.sun_family = AF_UNIX;
    if (is_abstract)
        memcpy(address->un.sun_path + 1, name + 1, length - 1);
    else
        memcpy(address->un.sun_path, name, length);
    /* A path counts with its end, an abstract name with the zero before it. */
    address->size = (socklen_t)(UNIX_OFFSET + length + (length > 0 && !is_abstract));
    return 0;
}

/* host:port, [host]:port, :port. */
static int parse_inet(const char *text, skua_address *address)
{
    char host[INET6_ADDRSTRLEN + 1 + IF_NAMESIZE];
    const char *colon = strrchr(text, ':');
    int port = colon != NULL ? skua_port_parse(colon + 1) : -EINVAL;
    if (port < 0)
        return port;
    size_t length = (size_t)(colon - text);
    if (length == 0) {
        skua_address_set_in6(address, &in6addr_any, (unsigned)port);
        return 0;
    }
    bool is_bracketed = length >= 2 && text[0] == '[' && colon[-1] == ']';
    if (is_bracketed) {
        text++;
        length -= 2;
    }
    if (length >= sizeof(host))
        return -EINVAL;
    memcpy(host, text, length);
    host[length] = '\0';
    /* IPv6 has colons and brackets, IPv4 neither. */
    if (is_bracketed != (strchr(host, ':') != NULL))
        return -EINVAL;
    return skua_host_parse(host, (unsigned)port, address);
}

int skua_address_parse(const char *text, skua_address *address)
{
    skua_address parsed;
    if (text == NULL || address == NULL)
        return -EINVAL;
    int rc = strncmp(text, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0
                 ? parse_unix(text + strlen(UNIX_PREFIX), &parsed)
                 : parse_inet(text, &parsed);
    if (rc == 0)
        *address = parsed;
    return rc;
}

/* ---- writing --------------------------------------------------------------------------------- */

bool skua_address_is_sized(const skua_address *address)
{
    return address != NULL && address->size >= sizeof(sa_family_t) &&
           address->size <= sizeof(address->storage);
}

/* Each writes into @text of SKUA_ADDRESS_TEXT_SIZE and returns the length, or -EINVAL. */

static int format_in(const skua_address *address, char *text)
{
    char host[INET_ADDRSTRLEN];
    if (address->size < sizeof(address->in))
        return -EINVAL;
    (void)inet_ntop(AF_INET, &address->in.sin_addr, host, sizeof(host));
    return snprintf(text, SKUA_ADDRESS_TEXT_SIZE, "%s:%u", host, ntohs(address->in.sin_port));
}

static int format_in6(const skua_address *address, char *text)
{
    char host[INET6_ADDRSTRLEN];
    unsigned port = ntohs(address->in6.sin6_port);
    if (address->size < sizeof(address->in6))
        return -EINVAL;
    (void)inet_ntop(AF_INET6, &address->in6.sin6_addr, host, sizeof(host));
    if (address->in6.sin6_scope_id == 0)
        return snprintf(text, SKUA_ADDRESS_TEXT_SIZE, "[%s]:%u", host, port);
    return snprintf(text, SKUA_ADDRESS_TEXT_SIZE, "[%s%%%u]:%u", host,
                    (unsigned)address->in6.sin6_scope_id, port);
}

static int format_un(const skua_address *address, char *text)
{
    const char *path = address->un.sun_path;
    size_t size = address->size - UNIX_OFFSET;
    bool is_abstract = size > 0 && path[0] == '\0';
    if (is_abstract) { /* all of it is its name */
        path++;
        size--;
    }
    size_t room = UNIX_NAME_MAX + 1 - is_abstract; /* the zero before its name is in it */
    size_t length = strnlen(path, skua_min(size, room));
    if (is_abstract ? length != size || length == 0
                    : length > UNIX_NAME_MAX || (length > 0 && path[0] == '@'))
        return -EINVAL;
    return snprintf(text, SKUA_ADDRESS_TEXT_SIZE, UNIX_PREFIX "%s%.*s", is_abstract ? "@" : "",
                    (int)length, path);
}

ssize_t skua_address_format(const skua_address *address, char *text, size_t text_size)
{
    char formatted[SKUA_ADDRESS_TEXT_SIZE];
    int length;
    if (!skua_address_is_sized(address) || text == NULL)
        return -EINVAL;
    switch (address->any.sa_family) {
    case AF_INET:
        length = format_in(address, formatted);
        break;
    case AF_INET6:
        length = format_in6(address, formatted);
        break;
    case AF_UNIX:
        length = format_un(address, formatted);
        break;
    default:
        return -EAFNOSUPPORT;
    }
    if (length < 0)
        return length;
    skua_assert((size_t)length < sizeof(formatted));
    if ((size_t)length >= text_size)
        return -ENOSPC;
    memcpy(text, formatted, (size_t)length + 1);
    return length;
}

/* ---- of sockets ------------------------------------------------------------------------------ */

static int name_of(int fd, enum skua_net_call_code code, skua_address *address)
{
    skua_address found;
    if (address == NULL)
        return -EINVAL;
    memset(&found, 0, sizeof(found));
    found.size = sizeof(found.storage);
    int rc = skua_net_name(code, fd, &found.any, &found.size);
    if (rc < 0)
        return rc;
    /* The kernel tells how long it is, even if it had no room for all of it. */
    found.size = skua_min(found.size, (socklen_t)sizeof(found.storage));
    *address = found;
    return 0;
}

int skua_address_of_socket(int fd, skua_address *address)
{
    return name_of(fd, SKUA_NET_NAME, address);
}

int skua_address_of_peer(int fd, skua_address *address)
{
    return name_of(fd, SKUA_NET_PEER, address);
}
