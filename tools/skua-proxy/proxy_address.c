/*
 * proxy_address.c - addresses as the command line has them, and as logs show them.
 */
#include "proxy_address.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LISTEN_ADDRESSES_MAX 8u
#define PORT_MAX 65535u

/* A number, or the name of a service. */
static bool is_service(const char *text)
{
    bool is_number = strspn(text, "0123456789") == strlen(text);
    return *text != '\0' &&
           (!is_number || (strlen(text) <= 5 && strtoul(text, NULL, 10) <= PORT_MAX));
}

int skua_proxy_address_split(const char *text, char host_text[PROXY_HOST_SIZE], const char **host,
                             const char **service)
{
    skua_address address;
    size_t size = strlen(text);
    bool is_unix = strncmp(text, "unix:", 5) == 0;
    const char *colon = strrchr(text, ':');
    if (is_unix) {
        if (size == 5 || skua_address_parse(text, &address) < 0)
            return -EINVAL;
    } else {
        if (colon == NULL || !is_service(colon + 1))
            return -EINVAL;
        size = (size_t)(colon - text);
        if (size > 2 && text[0] == '[' && text[size - 1] == ']') {
            text++;
            size -= 2;
        } else if (memchr(text, ':', size) != NULL || memchr(text, '[', size) != NULL) {
            return -EINVAL;
        }
    }
    if (size >= PROXY_HOST_SIZE)
        return -EINVAL;
    memcpy(host_text, text, size);
    host_text[size] = '\0';
    *host = size == 0 ? NULL : host_text;
    *service = is_unix ? NULL : colon + 1;
    return 0;
}

int skua_proxy_listen(const char *text)
{
    skua_listen_options options = {.flags = SKUA_LISTEN_REPLACE};
    skua_address addresses[LISTEN_ADDRESSES_MAX];
    char host_text[PROXY_HOST_SIZE];
    const char *host, *service;
    if (skua_address_parse(text, &addresses[0]) == 0)
        return skua_listen_at(&addresses[0], &options);
    if (skua_proxy_address_split(text, host_text, &host, &service) < 0 || service == NULL)
        return -EINVAL;
    ssize_t count = skua_resolve(host, service, NULL, addresses, LISTEN_ADDRESSES_MAX);
    int fd = count < 0 ? (int)count : -EADDRNOTAVAIL;
    for (ssize_t i = 0; i < count && fd < 0; i++)
        fd = skua_listen_at(&addresses[i], &options);
    return fd;
}

void skua_proxy_unlisten(int fd)
{
    skua_address address;
    if (skua_address_of_socket(fd, &address) == 0 && address.any.sa_family == AF_UNIX &&
        address.un.sun_path[0] != '\0')
        (void)unlink(address.un.sun_path);
    (void)shutdown(fd, SHUT_RDWR);
}

void skua_proxy_address_show(const skua_address *address, char name[PROXY_NAME_SIZE])
{
    if (address == NULL || skua_address_format(address, name, PROXY_NAME_SIZE) < 0)
        memcpy(name, address == NULL ? "-" : "?", 2);
    /* A Unix name is its owner's choice: nothing in it may end a line or be taken for a field. */
    for (char *c = name; *c != '\0'; c++)
        if (*c <= ' ' || *c > '~')
            *c = '?';
}
