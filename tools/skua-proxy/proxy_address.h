/*
 * proxy_address.h - addresses as the command line has them, and as logs show them.
 */
#ifndef SKUA_PROXY_ADDRESS_H
#define SKUA_PROXY_ADDRESS_H

#include "proxy.h"

#define PROXY_HOST_SIZE 256u
#define PROXY_NAME_SIZE SKUA_ADDRESS_TEXT_SIZE

/*
 * Splits @text, HOST:PORT and its like, for skua_dial(): *@host points to @host_text, or is NULL
 * for this host; *@service is a part of @text, or NULL for a Unix socket. 0, or -EINVAL.
 */
int skua_proxy_address_split(const char *text, char host_text[PROXY_HOST_SIZE], const char **host,
                             const char **service);

/* Opens a socket that listens at @text. A descriptor, or -errno; -EINVAL if it is no address. */
int skua_proxy_listen(const char *text);

/* Shuts the listening socket, so that connecting is refused, and removes the file of a Unix one. */
void skua_proxy_unlisten(int fd);

/* Writes an address in printable characters; "?" if it cannot be written. NULL: "-". */
void skua_proxy_address_show(const skua_address *address, char name[PROXY_NAME_SIZE]);

#endif /* SKUA_PROXY_ADDRESS_H */
