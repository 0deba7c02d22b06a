/*
 * httpd_path.h - names of files in URLs. No sockets, no tasks.
 */
#ifndef SKUA_HTTPD_PATH_H
#define SKUA_HTTPD_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define HTTPD_PATH_BYTES 4096u

/*
 * Decodes the path of a URL, which begins with '/', to a name below the root without leading '/',
 * "." and empty parts; "" is the root. *@directory: it ended with '/'. Returns 0; -400 for a bad
 * escape or a NUL; -404 for what can name no file here: a ".." part, an encoded '/', too long.
 */
int skua_httpd_path_decode(const char *url, size_t size, char path[HTTPD_PATH_BYTES],
                           bool *directory);

/* Encodes @path as a URL, without leading '/'. Returns its size. @url has room for 3 * size. */
size_t skua_httpd_path_encode(const char *path, char *url);

/* The type of a file by the end of its name. */
const char *skua_httpd_path_type(const char *path);

#endif /* SKUA_HTTPD_PATH_H */
