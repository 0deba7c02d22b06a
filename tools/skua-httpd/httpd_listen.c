/*
 * httpd_listen.c - sockets to listen on.
 */
#include "httpd_listen.h"

#include "httpd.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 4096

static int complain(const char *text, const char *why)
{
    fprintf(stderr, HTTPD_PROGRAM ": cannot listen at %s: %s\n", text, why);
    return -2;
}

/* Splits "HOST:PORT", "[HOST]:PORT" and ":PORT". Returns the port; NULL if it is none of these. */
static const char *split(const char *text, char *host, size_t host_size)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon[1] == '\0' || strspn(colon + 1, "0123456789") != strlen(colon + 1) ||
        strlen(colon + 1) > 5)
        return NULL;
    size_t size = (size_t)(colon - text);
    if (size >= 2 && text[0] == '[' && text[size - 1] == ']') {
        text++;
        size -= 2;
    } else if (memchr(text, ':', size) != NULL) {
        return NULL;
    }
    if (size == 0) {
        text = "127.0.0.1";
        size = strlen(text);
    }
    if (size >= host_size)
        return NULL;
    memcpy(host, text, size);
    host[size] = '\0';
    return colon + 1;
}

static int listen_at(const struct addrinfo *info)
{
    const int on = 1;
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC, info->ai_protocol);
    if (fd < 0)
        return -errno;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (info->ai_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    if (bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int rc = -errno;
    (void)close(fd);
    return rc;
}

int skua_httpd_listen(const char *text)
{
    char host[256];
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    const char *port = split(text, host, sizeof(host));
    if (port == NULL || strtoul(port, NULL, 10) > 65535) {
        fprintf(stderr, HTTPD_PROGRAM ": not an address, HOST:PORT: '%s'; try --help\n", text);
        return -1;
    }
    int rc = getaddrinfo(host, port, &hints, &found);
    if (rc != 0)
        return complain(text, gai_strerror(rc));
    int fd = -EADDRNOTAVAIL;
    for (const struct addrinfo *info = found; info != NULL && fd < 0; info = info->ai_next)
        fd = listen_at(info);
    freeaddrinfo(found);
    return fd < 0 ? complain(text, strerror(-fd)) : fd;
}

void skua_httpd_listen_name(int fd, char *name, size_t size)
{
    struct sockaddr_storage address;
    socklen_t address_size = sizeof(address);
    char host[64] = "?";
    char port[8] = "?";
    if (getsockname(fd, (struct sockaddr *)&address, &address_size) == 0)
        (void)getnameinfo((struct sockaddr *)&address, address_size, host, sizeof(host), port,
                          sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV);
    bool six = strchr(host, ':') != NULL;
    snprintf(name, size, "%s%s%s:%s", six ? "[" : "", host, six ? "]" : "", port);
}
