/*
 * httpd_path.c - names of files in URLs.
 *
 * ".." is refused rather than resolved: clients resolve it before they ask, so what still has it
 * means to leave the root. The kernel refuses it a second time; see httpd_open.c.
 */
#include "httpd_path.h"

#include <string.h>
#include <strings.h>

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* One character of a URL. Advances *@at. Negative: a status. */
static int decode_one(const char *url, size_t size, size_t *at)
{
    char c = url[(*at)++];
    if (c == '\0')
        return -400;
    if (c != '%')
        return (unsigned char)c;
    int high = *at < size ? hex_value(url[*at]) : -1;
    int low = *at + 1 < size ? hex_value(url[*at + 1]) : -1;
    if (high < 0 || low < 0 || high + low == 0)
        return -400;
    *at += 2;
    int value = high * 16 + low;
    return value == '/' ? -404 : value;
}

/* Ends the part that began at @begin. Returns the new size; -404 for "..". */
static ssize_t end_part(const char *path, size_t begin, size_t size)
{
    const char *part = path + begin;
    if (size - begin == 1 && part[0] == '.')
        return (ssize_t)begin;
    if (size - begin == 2 && part[0] == '.' && part[1] == '.')
        return -404;
    return (ssize_t)size;
}

int skua_httpd_path_decode(const char *url, size_t size, char path[HTTPD_PATH_BYTES],
                           bool *directory)
{
    size_t used = 0;
    size_t begin = 0;
    size_t at = 1;
    while (at < size) {
        bool separator = url[at] == '/';
        int c = decode_one(url, size, &at);
        if (c < 0)
            return c;
        if (separator) {
            ssize_t ended = end_part(path, begin, used);
            if (ended < 0)
                return (int)ended;
            used = (size_t)ended;
            if (used == 0 || path[used - 1] == '/')
                continue;
            begin = used + 1;
        }
        if (used >= HTTPD_PATH_BYTES - 16) /* room for "/index.html.gz" */
            return -404;
        path[used++] = (char)c;
    }
    ssize_t ended = end_part(path, begin, used);
    if (ended < 0)
        return (int)ended;
    used = (size_t)ended;
    *directory = used == 0 || path[used - 1] == '/' || (at > 1 && url[size - 1] == '/');
    while (used > 0 && path[used - 1] == '/')
        used--;
    path[used] = '\0';
    return 0;
}

size_t skua_httpd_path_encode(const char *path, char *url)
{
    static const char digits[] = "0123456789ABCDEF";
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "-._~!$&'()*+,;=:@/";
    size_t used = 0;
    for (; *path != '\0'; path++) {
        unsigned char c = (unsigned char)*path;
        if (strchr(plain, c) != NULL) {
            url[used++] = (char)c;
        } else {
            url[used++] = '%';
            url[used++] = digits[c >> 4];
            url[used++] = digits[c & 15];
        }
    }
    return used;
}

static const struct type {
    const char *extension;
    const char *type;
} types[] = {
    {"html", "text/html; charset=utf-8"},
    {"htm", "text/html; charset=utf-8"},
    {"css", "text/css; charset=utf-8"},
    {"js", "text/javascript; charset=utf-8"},
    {"mjs", "text/javascript; charset=utf-8"},
    {"json", "application/json"},
    {"map", "application/json"},
    {"xml", "application/xml"},
    {"txt", "text/plain; charset=utf-8"},
    {"md", "text/markdown; charset=utf-8"},
    {"csv", "text/csv; charset=utf-8"},
    {"svg", "image/svg+xml"},
    {"png", "image/png"},
    {"jpg", "image/jpeg"},
    {"jpeg", "image/jpeg"},
    {"gif", "image/gif"},
    {"webp", "image/webp"},
    {"avif", "image/avif"},
    {"ico", "image/vnd.microsoft.icon"},
    {"woff", "font/woff"},
    {"woff2", "font/woff2"},
    {"ttf", "font/ttf"},
    {"mp3", "audio/mpeg"},
    {"ogg", "audio/ogg"},
    {"mp4", "video/mp4"},
    {"webm", "video/webm"},
    {"pdf", "application/pdf"},
    {"wasm", "application/wasm"},
    {"zip", "application/zip"},
    {"gz", "application/gzip"},
    {"tar", "application/x-tar"},
};

const char *skua_httpd_path_type(const char *path)
{
    const char *name = strrchr(path, '/');
    const char *dot = strrchr(name == NULL ? path : name, '.');
    for (size_t i = 0; dot != NULL && i < sizeof(types) / sizeof(types[0]); i++) {
        if (strcasecmp(dot + 1, types[i].extension) == 0)
            return types[i].type;
    }
    return "application/octet-stream";
}
