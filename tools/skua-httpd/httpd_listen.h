/*
 * httpd_listen.h - sockets to listen on, made from what the command line says.
 */
#ifndef SKUA_HTTPD_LISTEN_H
#define SKUA_HTTPD_LISTEN_H

#include <stddef.h>

/*
 * Listens at @text, "[HOST]:PORT". Called by main, before there are threads; names are looked up.
 * Returns a descriptor; -1 for a wrong address and -2 for one that cannot be had: a line has been
 * printed.
 */
int skua_httpd_listen(const char *text);

/* Writes "HOST:PORT" of a listening socket. */
void skua_httpd_listen_name(int fd, char *name, size_t size);

#endif /* SKUA_HTTPD_LISTEN_H */
