/*
 * crawl_save.c - see crawl_save.h.
 */
#include "crawl_save.h"

#include <skua/skua.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES 200u /* of an escaped URL; beyond, a hash takes the place of the rest */

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_' || c == '~';
}

/* FNV-1a: names have to differ, not to withstand anybody. */
static uint64_t hash(const char *text)
{
    uint64_t value = UINT64_C(14695981039346656037);
    for (; *text != 0; text++)
        value = (value ^ (unsigned char)*text) * UINT64_C(1099511628211);
    return value;
}

void skua_crawl_file_name(char name[CRAWL_FILE_NAME_MAX], const char *url)
{
    const char *rest = strstr(url, "://");
    size_t used = 0;
    if (rest != NULL) {
        used = (size_t)(rest - url);
        memcpy(name, url, used);
        name[used++] = '_';
        rest += 3;
    } else {
        rest = url;
    }
    for (; *rest != 0 && used < NAME_BYTES; rest++) {
        if (is_plain(*rest))
            name[used++] = *rest;
        else
            used += (size_t)snprintf(name + used, 4, "%%%02X", (unsigned char)*rest);
    }
    name[used] = 0;
    if (*rest != 0)
        snprintf(name + used, CRAWL_FILE_NAME_MAX - used, "-%016llx",
                 (unsigned long long)hash(url));
}

static char *path_of(const char *folder, const char *name, const char *suffix)
{
    size_t size = strlen(folder) + strlen(name) + strlen(suffix) + 2;
    char *path = malloc(size);
    if (path != NULL)
        snprintf(path, size, "%s/%s%s", folder, name, suffix);
    return path;
}

static int write_file(const char *path, const void *data, size_t size)
{
    int fd = skua_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0)
        return fd;
    ssize_t n = size > 0 ? skua_pwrite_all(fd, data, size, 0) : 0;
    int rc = skua_close(fd);
    if (n < 0)
        return (int)n;
    return (size_t)n < size ? -EIO : rc;
}

int skua_crawl_save(const char *folder, const char *name, const void *data, size_t size)
{
    char *path = path_of(folder, name, "");
    char *part = path_of(folder, name, ".part");
    int rc = path != NULL && part != NULL ? write_file(part, data, size) : -ENOMEM;
    if (rc == 0)
        rc = skua_rename(part, path);
    if (rc < 0 && part != NULL)
        (void)skua_unlink(part);
    free(path);
    free(part);
    return rc;
}
