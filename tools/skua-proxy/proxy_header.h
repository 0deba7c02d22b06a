/*
 * proxy_header.h - headers of the PROXY protocol, which tell a server whose connection it is that a
 * proxy makes. Source: "The PROXY protocol, versions 1 & 2", HAProxy Technologies.
 */
#ifndef SKUA_PROXY_HEADER_H
#define SKUA_PROXY_HEADER_H

#include "proxy.h"

#define PROXY_HEADER_SIZE_MAX 4096u /* of one that is accepted; a version 1 has at most 107 */
#define PROXY_HEADER_MADE_MAX 232u  /* of one that is made */

/* Who has connected, and to what. */
struct proxy_endpoints {
    skua_address source;
    skua_address destination;
};

/*
 * Reads the header at the beginning of @data. @known tells whether it names endpoints, which are
 * then in @endpoints; "UNKNOWN", LOCAL and unspecified families do not. Returns its size; -EAGAIN
 * if there is more to come; -EPROTO for what is no header as specified.
 */
ssize_t skua_proxy_header_parse(const unsigned char *data, size_t size,
                                struct proxy_endpoints *endpoints, bool *known);

/*
 * Writes a header of @version, 1 or 2. @endpoints NULL: of a connection that is the proxy's own.
 * Returns its size.
 */
size_t skua_proxy_header_make(unsigned version, const struct proxy_endpoints *endpoints,
                              unsigned char header[PROXY_HEADER_MADE_MAX]);

#endif /* SKUA_PROXY_HEADER_H */
