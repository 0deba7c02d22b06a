/*
 * httpd_files.c - files: conditions, ranges, compressed copies, sending.
 *
 * A small file that is in the page cache goes into the output buffer with its head; a larger one is
 * sent by the kernel, in pieces each of which has the write timeout, so that a slow reader is not
 * cut off as long as it reads.
 */
#include "httpd_connection.h"
#include "httpd_tls.h"

#include "httpd_open.h"
#include "httpd_path.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define PIECE_BYTES ((size_t)256 * 1024)
#define ETAG_BYTES 64u

struct file {
    struct stat stat;
    int fd;
    bool compressed; /* it is the .gz of what was asked for */
    const char *type;
    char etag[ETAG_BYTES];
    char modified[HTTPD_DATE_BYTES];
    uint64_t begin; /* of what is sent */
    uint64_t size;
};

enum range { RANGE_ALL, RANGE_PART, RANGE_NONE };

/* ---- conditions ------------------------------------------------------------------------------ */

static struct httpd_slice field_of(const struct httpd_connection *connection,
                                   enum httpd_field field)
{
    return connection->request.fields[field];
}

static void describe(struct file *file)
{
    snprintf(file->etag, sizeof(file->etag), "\"%llx.%lx-%llx%s\"",
             (unsigned long long)file->stat.st_mtim.tv_sec,
             (unsigned long)file->stat.st_mtim.tv_nsec, (unsigned long long)file->stat.st_size,
             file->compressed ? "-gz" : "");
    skua_httpd_date_format(file->stat.st_mtim.tv_sec, file->modified);
}

/* Whether a list of entity tags has this one; the comparison is the weak one. */
static bool etags_match(const char *text, size_t size, const char *etag)
{
    size_t etag_size = strlen(etag);
    if (size == 1 && text[0] == '*')
        return true;
    for (size_t i = 0; i + etag_size <= size; i++) {
        if (memcmp(text + i, etag, etag_size) == 0)
            return true;
    }
    return false;
}

static bool is_unmodified(const struct httpd_connection *connection, const struct file *file)
{
    struct httpd_slice tags = field_of(connection, HTTPD_IF_NONE_MATCH);
    struct httpd_slice since = field_of(connection, HTTPD_IF_MODIFIED_SINCE);
    if (tags.size > 0)
        return etags_match(skua_httpd_text(connection, tags), tags.size, file->etag);
    if (since.size == 0)
        return false;
    time_t when = skua_httpd_date_parse(skua_httpd_text(connection, since), since.size);
    return when != -1 && file->stat.st_mtim.tv_sec <= when;
}

/* Whether a range may be given: If-Range names this very file, or is not there. */
static bool may_give_range(const struct httpd_connection *connection, const struct file *file)
{
    struct httpd_slice value = field_of(connection, HTTPD_IF_RANGE);
    const char *text = skua_httpd_text(connection, value);
    if (value.size == 0)
        return true;
    if (text[0] == '"')
        return value.size == strlen(file->etag) && memcmp(text, file->etag, value.size) == 0;
    return value.size == HTTPD_DATE_BYTES - 1 && memcmp(text, file->modified, value.size) == 0;
}

/* ---- ranges ---------------------------------------------------------------------------------- */

/* Reads digits; false if there are none. Saturates. */
static bool parse_digits(const char **text, const char *end, uint64_t *number)
{
    const char *begin = *text;
    *number = 0;
    for (; *text < end && **text >= '0' && **text <= '9'; (*text)++) {
        uint64_t digit = (uint64_t)(**text - '0');
        *number = *number > (UINT64_MAX - digit) / 10 ? UINT64_MAX : *number * 10 + digit;
    }
    return *text > begin;
}

/* "a-b", "a-" and "-n" of a file of @size bytes. What is none of these is no range: all is sent. */
static enum range parse_range(const char *text, const char *end, uint64_t size, struct file *file)
{
    uint64_t first = 0;
    uint64_t last = UINT64_MAX;
    bool has_first = parse_digits(&text, end, &first);
    if (text == end || *text++ != '-')
        return RANGE_ALL;
    bool has_last = parse_digits(&text, end, &last);
    if (text != end || (!has_first && !has_last))
        return RANGE_ALL;
    if (!has_first) {
        first = last >= size ? 0 : size - last;
        if (last == 0)
            return RANGE_NONE;
        last = UINT64_MAX;
    } else if (!has_last) {
        last = UINT64_MAX;
    }
    if (last < first)
        return RANGE_ALL;
    if (first >= size)
        return RANGE_NONE;
    file->begin = first;
    file->size = (last >= size ? size - 1 : last) - first + 1;
    return RANGE_PART;
}

static enum range choose_range(const struct httpd_connection *connection, struct file *file)
{
    static const char unit[] = "bytes=";
    struct httpd_slice value = field_of(connection, HTTPD_RANGE);
    const char *text = skua_httpd_text(connection, value);
    file->begin = 0;
    file->size = (uint64_t)file->stat.st_size;
    if (value.size < sizeof(unit) || connection->request.method != HTTPD_GET ||
        memcmp(text, unit, sizeof(unit) - 1) != 0 || !may_give_range(connection, file))
        return RANGE_ALL;
    return parse_range(text + sizeof(unit) - 1, text + value.size, file->size, file);
}

/* ---- sending --------------------------------------------------------------------------------- */

static __attribute__((noinline)) ssize_t read_cached(int fd, void *data, size_t size, off_t offset)
{
    struct iovec iov = {.iov_base = data, .iov_len = size};
    return preadv2(fd, &iov, 1, offset, RWF_NOWAIT);
}

/* What was promised cannot be kept: only closing tells the peer. */
static void give_up(struct httpd_connection *connection)
{
    connection->closing = true;
    connection->broken = true;
}

static void send_small(struct httpd_connection *connection, const struct file *file)
{
    char *to = connection->out + connection->out_used;
    size_t size = (size_t)file->size;
    if (read_cached(file->fd, to, size, (off_t)file->begin) != (ssize_t)size &&
        skua_pread_all(file->fd, to, size, file->begin) != (ssize_t)size) {
        skua_httpd_flush(connection, 0); /* as far as it goes */
        give_up(connection);
        return;
    }
    connection->out_used += size;
}

static void send_large(struct httpd_connection *connection, const struct file *file)
{
    uint64_t sent = 0;
    skua_httpd_flush(connection, MSG_MORE);
    while (sent < file->size && !connection->broken) {
        size_t piece = file->size - sent < PIECE_BYTES ? (size_t)(file->size - sent) : PIECE_BYTES;
        skua_httpd_limit(connection, connection->httpd->options.write_timeout_ns);
        ssize_t n = skua_httpd_send_file(connection, file->fd, file->begin + sent, piece);
        if (n <= 0) {
            skua_httpd_failed(connection);
            give_up(connection);
            return;
        }
        sent += (uint64_t)n;
    }
}

static void put_fields(struct httpd_connection *connection, const struct file *file)
{
    skua_httpd_put_text(connection, "Last-Modified: ");
    skua_httpd_put_text(connection, file->modified);
    skua_httpd_put_text(connection, "\r\nETag: ");
    skua_httpd_put_text(connection, file->etag);
    skua_httpd_put_text(connection, "\r\nVary: Accept-Encoding\r\n");
}

static void put_content_range(struct httpd_connection *connection, const struct file *file)
{
    char line[128];
    int size = snprintf(line, sizeof(line), "Content-Range: bytes %llu-%llu/%llu\r\n",
                        (unsigned long long)file->begin,
                        (unsigned long long)(file->begin + file->size - 1),
                        (unsigned long long)file->stat.st_size);
    skua_httpd_put(connection, line, (size_t)size);
}

static void answer_unsatisfiable(struct httpd_connection *connection, const struct file *file)
{
    char line[64];
    snprintf(line, sizeof(line), "Content-Range: bytes */%llu\r\n",
             (unsigned long long)file->stat.st_size);
    skua_httpd_answer_error(connection, 416, line);
}

static void answer_file(struct httpd_connection *connection, struct file *file)
{
    describe(file);
    if (is_unmodified(connection, file)) {
        skua_httpd_answer_begin(connection, 304);
        put_fields(connection, file);
        skua_httpd_answer_end_bare(connection);
        return;
    }
    enum range range = choose_range(connection, file);
    if (range == RANGE_NONE) {
        answer_unsatisfiable(connection, file);
        return;
    }
    skua_httpd_answer_begin(connection, range == RANGE_PART ? 206 : 200);
    put_fields(connection, file);
    skua_httpd_put_text(connection, "Accept-Ranges: bytes\r\n");
    if (range == RANGE_PART)
        put_content_range(connection, file);
    if (file->compressed)
        skua_httpd_put_text(connection, "Content-Encoding: gzip\r\n");
    skua_httpd_answer_end(connection, file->type, file->size);
    if (connection->request.method == HTTPD_HEAD || file->size == 0)
        return;
    if (file->size <= sizeof(connection->out) - connection->out_used)
        send_small(connection, file);
    else
        send_large(connection, file);
}

/* ---- finding --------------------------------------------------------------------------------- */

static unsigned status_of(int error)
{
    switch (error) {
    case -EACCES:
    case -EPERM:
        return 403;
    case -EMFILE:
    case -ENFILE:
    case -ENOMEM:
    case -EAGAIN:
    case -ESHUTDOWN:
    case -ECANCELED:
        return 503;
    case -EIO:
        return 500;
    default: /* not there, not a directory, a link that leads out ... */
        return 404;
    }
}

/* The copy "NAME.gz", if the client takes it and there is one. Ranges are of the plain file. */
static void prefer_compressed(struct httpd_connection *connection, char *path, struct file *file)
{
    struct httpd_slice accepted = field_of(connection, HTTPD_ACCEPT_ENCODING);
    struct stat stat;
    size_t size = strlen(path);
    if (field_of(connection, HTTPD_RANGE).size > 0 || accepted.size == 0 ||
        !skua_httpd_list_has(skua_httpd_text(connection, accepted), accepted.size, "gzip"))
        return;
    memcpy(path + size, ".gz", 4);
    int fd = skua_httpd_open(connection->httpd->root_fd, path, &stat);
    path[size] = '\0';
    if (fd < 0)
        return;
    if (!S_ISREG(stat.st_mode)) {
        (void)close(fd);
        return;
    }
    (void)close(file->fd);
    file->fd = fd;
    file->stat = stat;
    file->compressed = true;
}

/* To the name with the '/' that relative links in an index need. */
static void redirect(struct httpd_connection *connection, const char *path)
{
    struct httpd_slice query = connection->request.query;
    char *url = malloc(3 * strlen(path) + 1);
    if (url == NULL) {
        skua_httpd_answer_error(connection, 503, NULL);
        return;
    }
    size_t size = skua_httpd_path_encode(path, url);
    skua_httpd_answer_begin(connection, 301);
    skua_httpd_put_text(connection, "Location: /");
    skua_httpd_put(connection, url, size);
    skua_httpd_put_text(connection, "/");
    if (query.size > 0) {
        skua_httpd_put_text(connection, "?");
        skua_httpd_put(connection, skua_httpd_text(connection, query), query.size);
    }
    skua_httpd_put_text(connection, "\r\n");
    skua_httpd_answer_end(connection, NULL, 0);
    free(url);
}

/* Opens the file for @path, its index if it is a directory. 0, a redirect (1), or -errno. */
static int find(struct httpd_connection *connection, char *path, bool directory, struct file *file)
{
    int root_fd = connection->httpd->root_fd;
    file->fd = skua_httpd_open(root_fd, path, &file->stat);
    if (file->fd < 0)
        return file->fd;
    if (S_ISDIR(file->stat.st_mode)) {
        (void)close(file->fd);
        file->fd = -1;
        if (!directory)
            return 1;
        memcpy(path + strlen(path), path[0] == '\0' ? "index.html" : "/index.html",
               path[0] == '\0' ? 11 : 12);
        file->fd = skua_httpd_open(root_fd, path, &file->stat);
        if (file->fd < 0)
            return file->fd;
        directory = false;
    }
    return directory || !S_ISREG(file->stat.st_mode) ? -ENOENT : 0;
}

void skua_httpd_file(struct httpd_connection *connection)
{
    struct httpd_slice slice = connection->request.path;
    char path[HTTPD_PATH_BYTES];
    struct file file = {.fd = -1};
    bool directory = false;
    int rc =
        skua_httpd_path_decode(skua_httpd_text(connection, slice), slice.size, path, &directory);
    if (rc < 0) {
        skua_httpd_answer_error(connection, (unsigned)-rc, NULL);
        return;
    }
    rc = connection->httpd->root_fd < 0 ? -ENOENT : find(connection, path, directory, &file);
    if (rc == 0) {
        file.type = skua_httpd_path_type(path);
        prefer_compressed(connection, path, &file);
        answer_file(connection, &file);
    } else if (rc > 0) {
        redirect(connection, path);
    } else {
        skua_httpd_answer_error(connection, status_of(rc), NULL);
    }
    if (file.fd >= 0)
        (void)close(file.fd);
}
