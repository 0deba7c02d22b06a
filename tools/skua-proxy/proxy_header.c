/*
 * proxy_header.c - headers of the PROXY protocol.
 *
 * A header is believed, so nothing that is not one may pass for one: version 1 has single spaces,
 * numbers without leading zeros and a line end within 107 bytes; version 2 has a known command and
 * family, room for its addresses, extensions that fill it to the last byte, and a right checksum if
 * it has one. Bytes that begin no header, or one that is too long, are refused without waiting for
 * its end.
 */
#include "proxy_header.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <arpa/inet.h>

#define V1_SIZE_MAX 107u
#define V1_FIELDS 4u
#define V2_HEAD_SIZE 16u
#define V2_PATH_SIZE 108u

#define V2_LOCAL 0x20u
#define V2_PROXY 0x21u
#define V2_UNSPECIFIED 0x00u
#define V2_TCP4 0x11u
#define V2_TCP6 0x21u
#define V2_UNIX 0x31u
#define V2_EXTENSION_CRC32C 0x03u

static const char v1_begin[] = "PROXY ";
static const unsigned char v2_begin[12] = "\r\n\r\n\0\r\nQUIT\n";

static void set_in(skua_address *address, const void *host, uint16_t port_be)
{
    memset(address, 0, sizeof(*address));
    address->size = sizeof(address->in);
    address->in.sin_family = AF_INET;
    address->in.sin_port = port_be;
    memcpy(&address->in.sin_addr, host, 4);
}

static void set_in6(skua_address *address, const void *host, uint16_t port_be)
{
    memset(address, 0, sizeof(*address));
    address->size = sizeof(address->in6);
    address->in6.sin6_family = AF_INET6;
    address->in6.sin6_port = port_be;
    memcpy(&address->in6.sin6_addr, host, 16);
}

/* ---- version 1, read ------------------------------------------------------------------------- */

static int parse_port(const char *text, uint16_t *port_be)
{
    size_t digits = strspn(text, "0123456789");
    unsigned port = 0;
    if (digits == 0 || digits > 5 || text[digits] != '\0' || (text[0] == '0' && digits > 1))
        return -EPROTO;
    for (size_t i = 0; i < digits; i++)
        port = port * 10 + (unsigned)(text[i] - '0');
    if (port > 65535)
        return -EPROTO;
    *port_be = htons((uint16_t)port);
    return 0;
}

static int parse_end(int family, const char *host_text, const char *port_text,
                     skua_address *address)
{
    unsigned char host[16];
    uint16_t port_be;
    if (inet_pton(family, host_text, host) != 1 || parse_port(port_text, &port_be) < 0)
        return -EPROTO;
    if (family == AF_INET)
        set_in(address, host, port_be);
    else
        set_in6(address, host, port_be);
    return 0;
}

/* @line is what stands between "PROXY " and the line end; it is cut into its fields. */
static int parse_v1_line(char *line, struct proxy_endpoints *endpoints, bool *known)
{
    char *fields[V1_FIELDS];
    *known = false;
    if (strncmp(line, "UNKNOWN", 7) == 0 && (line[7] == '\0' || line[7] == ' '))
        return 0;
    if (strncmp(line, "TCP4 ", 5) != 0 && strncmp(line, "TCP6 ", 5) != 0)
        return -EPROTO;
    int family = line[3] == '4' ? AF_INET : AF_INET6;
    char *at = line + 5;
    for (unsigned i = 0; i < V1_FIELDS; i++) {
        fields[i] = at;
        at += strcspn(at, " ");
        if ((*at == '\0') != (i == V1_FIELDS - 1))
            return -EPROTO;
        *at++ = '\0';
    }
    struct proxy_endpoints found;
    if (parse_end(family, fields[0], fields[2], &found.source) < 0 ||
        parse_end(family, fields[1], fields[3], &found.destination) < 0)
        return -EPROTO;
    *endpoints = found;
    *known = true;
    return 0;
}

static ssize_t parse_v1(const unsigned char *data, size_t size, struct proxy_endpoints *endpoints,
                        bool *known)
{
    char line[V1_SIZE_MAX + 1];
    size_t seen = size < V1_SIZE_MAX ? size : V1_SIZE_MAX;
    const unsigned char *end = memchr(data, '\r', seen);
    size_t length = end == NULL ? seen : (size_t)(end - data);
    for (size_t i = 0; i < length; i++)
        if (data[i] < ' ' || data[i] > '~')
            return -EPROTO;
    if (length + 2 > V1_SIZE_MAX)
        return -EPROTO;
    if (end == NULL || length + 1 == size)
        return -EAGAIN;
    if (end[1] != '\n')
        return -EPROTO;
    size_t begin = sizeof(v1_begin) - 1;
    memcpy(line, data + begin, length - begin);
    line[length - begin] = '\0';
    int rc = parse_v1_line(line, endpoints, known);
    return rc < 0 ? rc : (ssize_t)length + 2;
}

/* ---- version 2, read ------------------------------------------------------------------------- */

/* Of the whole header, the four bytes at @hole taken for zeros. Bitwise: headers are short. */
static uint32_t crc32c(const unsigned char *data, size_t size, size_t hole)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < size; i++) {
        crc ^= i >= hole && i < hole + 4 ? 0u : data[i];
        for (unsigned bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (UINT32_C(0x82f63b78) & (0u - (crc & 1u)));
    }
    return ~crc;
}

/* The extensions from @at on: type, length, value, up to the end. */
static int check_extensions(const unsigned char *data, size_t at, size_t end)
{
    while (at < end) {
        if (end - at < 3)
            return -EPROTO;
        size_t length = (size_t)data[at + 1] << 8 | data[at + 2];
        size_t value = at + 3;
        if (length > end - value)
            return -EPROTO;
        if (data[at] == V2_EXTENSION_CRC32C) {
            uint32_t crc_be;
            if (length != sizeof(crc_be))
                return -EPROTO;
            memcpy(&crc_be, data + value, sizeof(crc_be));
            if (ntohl(crc_be) != crc32c(data, end, value))
                return -EPROTO;
        }
        at = value + length;
    }
    return 0;
}

static void set_unix(skua_address *address, const unsigned char *path)
{
    memset(address, 0, sizeof(*address));
    address->un.sun_family = AF_UNIX;
    memcpy(address->un.sun_path, path, V2_PATH_SIZE);
    /* An abstract name has no end of its own: here it ends where only zeros follow. */
    size_t length = V2_PATH_SIZE;
    while (length > 0 && path[length - 1] == '\0')
        length--;
    address->size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    if (length > 0 && path[0] != '\0' && length < V2_PATH_SIZE)
        address->size++; /* the zero that ends a path */
}

/* Returns the size of the two addresses, or -EPROTO. @room is what the header has for them. */
static ssize_t parse_v2_addresses(unsigned family, const unsigned char *at, size_t room,
                                  struct proxy_endpoints *endpoints)
{
    uint16_t ports_be[2];
    switch (family) {
    case V2_TCP4:
        if (room < 12)
            return -EPROTO;
        memcpy(ports_be, at + 8, sizeof(ports_be));
        set_in(&endpoints->source, at, ports_be[0]);
        set_in(&endpoints->destination, at + 4, ports_be[1]);
        return 12;
    case V2_TCP6:
        if (room < 36)
            return -EPROTO;
        memcpy(ports_be, at + 32, sizeof(ports_be));
        set_in6(&endpoints->source, at, ports_be[0]);
        set_in6(&endpoints->destination, at + 16, ports_be[1]);
        return 36;
    case V2_UNIX:
        if (room < (size_t)(2 * V2_PATH_SIZE))
            return -EPROTO;
        set_unix(&endpoints->source, at);
        set_unix(&endpoints->destination, at + V2_PATH_SIZE);
        return (ssize_t)(2 * V2_PATH_SIZE);
    default: /* datagrams, or nothing that is specified */
        return -EPROTO;
    }
}

static ssize_t parse_v2(const unsigned char *data, size_t size, struct proxy_endpoints *endpoints,
                        bool *known)
{
    if (size > 12 && data[12] != V2_LOCAL && data[12] != V2_PROXY)
        return -EPROTO;
    if (size < V2_HEAD_SIZE)
        return -EAGAIN;
    size_t room = (size_t)data[14] << 8 | data[15];
    size_t end = V2_HEAD_SIZE + room;
    if (end > PROXY_HEADER_SIZE_MAX)
        return -EPROTO;
    if (size < end)
        return -EAGAIN;
    *known = data[12] == V2_PROXY && data[13] != V2_UNSPECIFIED;
    if (!*known)
        return (ssize_t)end; /* what follows is to be passed over, whatever it is */
    struct proxy_endpoints found;
    ssize_t used = parse_v2_addresses(data[13], data + V2_HEAD_SIZE, room, &found);
    if (used < 0 || check_extensions(data, V2_HEAD_SIZE + (size_t)used, end) < 0)
        return -EPROTO;
    *endpoints = found;
    return (ssize_t)end;
}

ssize_t skua_proxy_header_parse(const unsigned char *data, size_t size,
                                struct proxy_endpoints *endpoints, bool *known)
{
    size_t v1_size = sizeof(v1_begin) - 1;
    size_t v2_size = sizeof(v2_begin);
    if (memcmp(data, v1_begin, size < v1_size ? size : v1_size) == 0)
        return size < v1_size ? -EAGAIN : parse_v1(data, size, endpoints, known);
    if (memcmp(data, v2_begin, size < v2_size ? size : v2_size) == 0)
        return size < v2_size ? -EAGAIN : parse_v2(data, size, endpoints, known);
    return -EPROTO;
}

/* ---- made ------------------------------------------------------------------------------------ */

/* An IPv4 address in an IPv6 one, as a socket for both has it, is an IPv4 address. */
static skua_address unmapped(const skua_address *address)
{
    skua_address plain = *address;
    if (address->any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&address->in6.sin6_addr))
        set_in(&plain, address->in6.sin6_addr.s6_addr + 12, address->in6.sin6_port);
    return plain;
}

static void map(skua_address *address)
{
    unsigned char host[16] = {[10] = 0xff, [11] = 0xff};
    if (address->any.sa_family != AF_INET)
        return;
    memcpy(host + 12, &address->in.sin_addr, 4);
    set_in6(address, host, address->in.sin_port);
}

/* Makes both of one family, and returns it; AF_UNSPEC if that cannot be. */
static int make_alike(struct proxy_endpoints *ends)
{
    ends->source = unmapped(&ends->source);
    ends->destination = unmapped(&ends->destination);
    int source = ends->source.any.sa_family;
    int destination = ends->destination.any.sa_family;
    if (source == destination)
        return source;
    if (source == AF_UNIX || destination == AF_UNIX)
        return AF_UNSPEC;
    map(&ends->source);
    map(&ends->destination);
    return AF_INET6;
}

static size_t make_v1(int family, const struct proxy_endpoints *ends, char *header)
{
    char source[INET6_ADDRSTRLEN] = "", destination[INET6_ADDRSTRLEN] = "";
    const void *from = family == AF_INET ? (const void *)&ends->source.in.sin_addr
                                         : (const void *)&ends->source.in6.sin6_addr;
    const void *to = family == AF_INET ? (const void *)&ends->destination.in.sin_addr
                                       : (const void *)&ends->destination.in6.sin6_addr;
    if (family != AF_INET && family != AF_INET6)
        return (size_t)snprintf(header, PROXY_HEADER_MADE_MAX, "PROXY UNKNOWN\r\n");
    (void)inet_ntop(family, from, source, sizeof(source));
    (void)inet_ntop(family, to, destination, sizeof(destination));
    /* A port has the same place in both kinds of address. */
    return (size_t)snprintf(header, PROXY_HEADER_MADE_MAX, "PROXY TCP%d %s %s %u %u\r\n",
                            family == AF_INET ? 4 : 6, source, destination,
                            ntohs(ends->source.in.sin_port), ntohs(ends->destination.in.sin_port));
}

static size_t put(unsigned char *header, size_t at, const void *data, size_t size)
{
    memcpy(header + at, data, size);
    return at + size;
}

static void put_path(unsigned char *at, const skua_address *address)
{
    size_t begin = offsetof(struct sockaddr_un, sun_path);
    size_t size = address->size > begin ? address->size - begin : 0;
    memset(at, 0, V2_PATH_SIZE);
    memcpy(at, address->un.sun_path, size < V2_PATH_SIZE ? size : V2_PATH_SIZE);
}

static size_t make_v2(unsigned command, int family, const struct proxy_endpoints *ends,
                      unsigned char *header)
{
    size_t at = put(header, 0, v2_begin, sizeof(v2_begin));
    header[at] = (unsigned char)command;
    header[at + 1] = V2_UNSPECIFIED;
    at = V2_HEAD_SIZE;
    if (family == AF_INET) {
        header[13] = V2_TCP4;
        at = put(header, at, &ends->source.in.sin_addr, 4);
        at = put(header, at, &ends->destination.in.sin_addr, 4);
    } else if (family == AF_INET6) {
        header[13] = V2_TCP6;
        at = put(header, at, &ends->source.in6.sin6_addr, 16);
        at = put(header, at, &ends->destination.in6.sin6_addr, 16);
    } else if (family == AF_UNIX) {
        header[13] = V2_UNIX;
        put_path(header + at, &ends->source);
        put_path(header + at + V2_PATH_SIZE, &ends->destination);
        at += (size_t)(2 * V2_PATH_SIZE);
    }
    if (family == AF_INET || family == AF_INET6) {
        at = put(header, at, &ends->source.in.sin_port, 2);
        at = put(header, at, &ends->destination.in.sin_port, 2);
    }
    header[14] = 0;
    header[15] = (unsigned char)(at - V2_HEAD_SIZE);
    return at;
}

size_t skua_proxy_header_make(unsigned version, const struct proxy_endpoints *endpoints,
                              unsigned char header[PROXY_HEADER_MADE_MAX])
{
    struct proxy_endpoints alike = {{0}, {0}};
    int family = AF_UNSPEC;
    if (endpoints != NULL) {
        alike = *endpoints;
        family = make_alike(&alike);
    }
    if (version == 1)
        return make_v1(family, &alike, (char *)header);
    return make_v2(endpoints == NULL ? V2_LOCAL : V2_PROXY, family, &alike, header);
}
