/*
 * sim/network_name.c - addresses of simulated sockets, and hosts as users name them.
 */
#include "sim/network.h"

#include <skua/net.h>

#include <errno.h>
#include <string.h>

#define IN6_BYTES 16u

static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff}; /* before an IPv4 address */
static const unsigned char this_host[2][IN6_BYTES] = {
    {[10] = 0xff, [11] = 0xff, [12] = 192, [13] = 0, [14] = 2, [15] = 1}, /* RFC 5737 */
    {0x20, 0x01, 0x0d, 0xb8, [15] = 1},                                   /* RFC 3849 */
};
static const unsigned char loopback[2][IN6_BYTES] = {
    {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1},
    {[15] = 1},
};

static bool is_mapped(const struct sim_name *name)
{
    return memcmp(name->host, mapped, sizeof(mapped)) == 0;
}

static int read_unix(struct sim_name *name, const struct sockaddr *address, socklen_t size)
{
    const struct sockaddr_un *un = (const void *)address;
    size_t length = size - offsetof(struct sockaddr_un, sun_path);
    if (size < offsetof(struct sockaddr_un, sun_path) || length > sizeof(un->sun_path))
        return -EINVAL;
    if (length > 0 && un->sun_path[0] != '\0')
        length = strnlen(un->sun_path, length);
    name->family = AF_UNIX;
    name->size = (uint16_t)length;
    memcpy(name->host, un->sun_path, length);
    return 0;
}

int sim_name_read(struct sim_name *name, int domain, const struct sockaddr *address, socklen_t size)
{
    memset(name, 0, sizeof(*name));
    if (address == NULL || size < sizeof(address->sa_family))
        return -EINVAL;
    if (address->sa_family != domain)
        return -EAFNOSUPPORT;
    if (domain == AF_UNIX)
        return read_unix(name, address, size);
    name->family = AF_INET;
    name->size = IN6_BYTES;
    if (domain == AF_INET) {
        const struct sockaddr_in *in = (const void *)address;
        if (size < sizeof(*in))
            return -EINVAL;
        memcpy(name->host, mapped, sizeof(mapped));
        memcpy(name->host + sizeof(mapped), &in->sin_addr, sizeof(in->sin_addr));
        name->port = ntohs(in->sin_port);
        return 0;
    }
    const struct sockaddr_in6 *in6 = (const void *)address;
    if (size < sizeof(*in6))
        return -EINVAL;
    memcpy(name->host, &in6->sin6_addr, IN6_BYTES);
    name->port = ntohs(in6->sin6_port);
    return 0;
}

void sim_name_write(const struct sim_name *name, int domain, void *address, socklen_t *size)
{
    skua_address made;
    memset(&made, 0, sizeof(made));
    made.any.sa_family = (sa_family_t)domain;
    if (domain == AF_UNIX) {
        made.size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + name->size);
        memcpy(made.un.sun_path, name->host, name->size);
        made.size += name->size > 0 && name->host[0] != '\0' && name->size < SIM_HOST_BYTES;
    } else if (domain == AF_INET) {
        made.size = sizeof(made.in);
        memcpy(&made.in.sin_addr, name->host + sizeof(mapped), sizeof(made.in.sin_addr));
        made.in.sin_port = htons(name->port);
    } else {
        made.size = sizeof(made.in6);
        memcpy(&made.in6.sin6_addr, name->host, IN6_BYTES);
        made.in6.sin6_port = htons(name->port);
    }
    memcpy(address, &made.storage, skua_min(*size, made.size));
    *size = made.size;
}

bool sim_name_is_wildcard(const struct sim_name *name)
{
    static const unsigned char zero[IN6_BYTES];
    if (name->family != AF_INET)
        return false;
    size_t from = is_mapped(name) ? sizeof(mapped) : 0;
    return memcmp(name->host + from, zero, IN6_BYTES - from) == 0;
}

bool sim_name_is_loopback(const struct sim_name *name)
{
    return name->family == AF_INET && ((is_mapped(name) && name->host[sizeof(mapped)] == 127) ||
                                       memcmp(name->host, loopback[1], IN6_BYTES) == 0);
}

bool sim_same_host(const struct sim_name *a, const struct sim_name *b)
{
    return a->family == b->family && a->size == b->size && memcmp(a->host, b->host, a->size) == 0;
}

bool sim_same_name(const struct sim_name *a, const struct sim_name *b)
{
    return sim_same_host(a, b) && a->port == b->port;
}

bool sim_name_reaches(const struct sim_name *bound, int domain, const struct sim_name *to)
{
    if (sim_same_name(bound, to))
        return true;
    return bound->family == AF_INET && bound->family == to->family && bound->port == to->port &&
           sim_name_is_wildcard(bound) && (domain == AF_INET6 || is_mapped(to));
}

void sim_name_default(struct sim_name *name, const struct sim_name *to)
{
    uint16_t port = name->port;
    *name = (struct sim_name){.family = AF_INET, .port = port, .size = IN6_BYTES};
    bool is_six = !is_mapped(to);
    memcpy(name->host, sim_name_is_loopback(to) ? loopback[is_six] : this_host[is_six], IN6_BYTES);
}

void sim_name_loopback(struct sim_name *name)
{
    memcpy(name->host, loopback[!is_mapped(name)], IN6_BYTES);
}

int sim_host_parse(struct sim_host *host, const char *text)
{
    skua_address address;
    memset(host, 0, sizeof(*host));
    host->is_any = text == NULL;
    if (text == NULL)
        return 0;
    if (skua_address_parse(text, &address) < 0)
        return -EINVAL;
    return sim_name_read(&host->name, address.any.sa_family, &address.any, address.size);
}

bool sim_host_matches(const struct sim_host *host, const struct sim_name *name)
{
    return host->is_any || (sim_same_host(&host->name, name) &&
                            (host->name.port == 0 || host->name.port == name->port));
}
