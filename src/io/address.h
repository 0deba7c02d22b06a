/*
 * io/address.h - addresses and ports made of text, for the rest of io/.
 */
#ifndef SKUA_SRC_ADDRESS_H
#define SKUA_SRC_ADDRESS_H

#include <skua/net.h>

/* A decimal port without leading zeros. -EINVAL. */
int skua_port_parse(const char *text);

/*
 * A numeric IPv4 or IPv6 address, the latter without brackets and perhaps with an interface. 0;
 * -EINVAL; -ENODEV: no such interface.
 */
int skua_host_parse(const char *host, unsigned port, skua_address *address);

/* Addresses with nothing but a number in them. */
void skua_address_set_in(skua_address *address, struct in_addr host, unsigned port);
void skua_address_set_in6(skua_address *address, const struct in6_addr *host, unsigned port);

/* Whether @address could be given to the kernel: not NULL, and its size within bounds. */
bool skua_address_is_sized(const skua_address *address);

#endif /* SKUA_SRC_ADDRESS_H */
