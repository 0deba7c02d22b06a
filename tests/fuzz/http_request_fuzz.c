/*
 * http_request_fuzz.c - what skua-httpd reads from strangers: heads, chunks, paths, dates, lists.
 *
 * One input is read as each of them. Beside what sanitizers see, it must hold that
 *   - it makes no difference in how many pieces a head or a chunked body arrives;
 *   - every slice of a parsed request lies in its head, and no line of it ends but in CR LF;
 *   - a decoded path has neither a leading '/', an empty part nor "..".
 *
 * Run without arguments it mutates its own seeds, the same way every time. Arguments are files with
 * inputs. Built with -fsanitize=fuzzer and -DSKUA_LIBFUZZER it is a target of libFuzzer.
 */
#include "../../tools/skua-httpd/httpd_chunk.h"
#include "../../tools/skua-httpd/httpd_connection.h"
#include "../../tools/skua-httpd/httpd_path.h"
#include "../../tools/skua-httpd/httpd_request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_BYTES 4096u
#define ROUNDS 200000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "http_request_fuzz: %s\n", what);
    abort();
}

/* ---- heads ----------------------------------------------------------------------------------- */

static ssize_t scan_in_pieces(const char *data, size_t size, size_t piece)
{
    struct httpd_scan scan = {0};
    ssize_t result = 0;
    for (size_t there = 0; result == 0 && there < size;) {
        there = size - there < piece ? size : there + piece;
        result = skua_httpd_head_scan(&scan, data, there);
    }
    return result;
}

static void check_slice(struct httpd_slice slice, size_t size)
{
    check(slice.begin <= size && slice.size <= size - slice.begin, "a slice leaves the head");
}

static void check_request(const char *head, size_t size)
{
    struct httpd_request request;
    int rc = skua_httpd_request_parse(&request, head, size);
    check(rc == 0 || (rc <= -400 && rc >= -505), "not a status");
    check_slice(request.line, size);
    if (rc < 0)
        return;
    check_slice(request.target, size);
    check_slice(request.path, size);
    check_slice(request.query, size);
    for (size_t i = 0; i < HTTPD_FIELDS; i++) {
        check_slice(request.fields[i], size);
        check(memchr(head + request.fields[i].begin, '\n', request.fields[i].size) == NULL,
              "a value of several lines");
    }
    check(!request.chunked || request.content_length == 0, "two lengths");
    check(request.minor == 0 || request.field_counts[HTTPD_HOST] == 1, "no host");
}

static void check_head(const char *data, size_t size)
{
    ssize_t whole = scan_in_pieces(data, size, size);
    check(whole == scan_in_pieces(data, size, 1), "a head depends on its pieces");
    check(whole == scan_in_pieces(data, size, 7), "a head depends on its pieces");
    if (whole <= 0)
        return;
    check(memcmp(data + whole - 4, "\r\n\r\n", 4) == 0, "a head without its end");
    check_request(data, (size_t)whole);
}

/* ---- chunks ---------------------------------------------------------------------------------- */

struct unchunked {
    char data[INPUT_BYTES];
    size_t size;
    size_t used; /* of the input */
    enum httpd_chunk_state state;
};

static void unchunk(const char *data, size_t size, size_t piece, struct unchunked *out)
{
    struct httpd_chunks chunks = {0};
    size_t there = piece < size ? piece : size;
    out->size = out->used = 0;
    while (chunks.state != HTTPD_CHUNK_DONE && chunks.state != HTTPD_CHUNK_BAD) {
        size_t data_size = 0;
        ssize_t used =
            skua_httpd_chunk_next(&chunks, data + out->used, there - out->used, &data_size);
        if (used < 0)
            break;
        check((size_t)used <= there - out->used && data_size <= (size_t)used, "too much used");
        memcpy(out->data + out->size, data + out->used + (size_t)used - data_size, data_size);
        out->size += data_size;
        out->used += (size_t)used;
        if (used == 0 && there == size)
            break;
        if (used == 0)
            there = size - there < piece ? size : there + piece;
    }
    out->state = chunks.state;
}

static void check_chunks(const char *data, size_t size)
{
    static struct unchunked whole;
    static struct unchunked pieces;
    unchunk(data, size, size, &whole);
    for (size_t piece = 1; piece <= 5; piece += 2) {
        unchunk(data, size, piece, &pieces);
        check(pieces.state == whole.state, "a chunked body depends on its pieces");
        if (whole.state == HTTPD_CHUNK_DONE)
            check(pieces.size == whole.size && pieces.used == whole.used &&
                      memcmp(pieces.data, whole.data, whole.size) == 0,
                  "the data of chunks depends on their pieces");
    }
}

/* ---- the rest -------------------------------------------------------------------------------- */

static void check_path(const char *data, size_t size)
{
    char path[HTTPD_PATH_BYTES];
    char url[3 * HTTPD_PATH_BYTES + 1];
    char again[HTTPD_PATH_BYTES];
    bool directory = false;
    if (size == 0 || data[0] != '/' || skua_httpd_path_decode(data, size, path, &directory) < 0)
        return;
    check(strlen(path) < HTTPD_PATH_BYTES - 15, "no room for a suffix");
    check(path[0] != '/' && strstr(path, "//") == NULL, "an empty part");
    for (const char *part = path; part != NULL; part = strchr(part, '/')) {
        part += *part == '/';
        size_t part_size = strcspn(part, "/");
        check(part_size != 2 || memcmp(part, "..", 2) != 0, "a path leads up");
        check(part_size != 1 || part[0] != '.', "a path has a dot");
    }
    url[0] = '/';
    size_t url_size = 1 + skua_httpd_path_encode(path, url + 1);
    check(memchr(url, '\r', url_size) == NULL && memchr(url, '\n', url_size) == NULL, "a split");
    check(skua_httpd_path_decode(url, url_size, again, &directory) == 0 && strcmp(path, again) == 0,
          "encoding loses something");
    check(skua_httpd_path_type(path) != NULL, "no type");
}

static void check_date(const char *data, size_t size)
{
    char date[HTTPD_DATE_BYTES];
    time_t when = skua_httpd_date_parse(data, size);
    if (when < 0)
        return;
    skua_httpd_date_format(when, date);
    check(skua_httpd_date_parse(date, HTTPD_DATE_BYTES - 1) == when, "a date does not come back");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > INPUT_BYTES)
        return 0;
    /* On the heap and no larger than it is, so that a byte too far is seen. */
    char *copy = malloc(size > 0 ? size : 1);
    check(copy != NULL, "no memory");
    if (size > 0)
        memcpy(copy, data, size);
    check_head(copy, size);
    check_chunks(copy, size);
    check_path(copy, size);
    check_date(copy, size);
    (void)skua_httpd_list_has(copy, size, "gzip");
    free(copy);
    return 0;
}

/* ---- without libFuzzer ----------------------------------------------------------------------- */

#ifndef SKUA_LIBFUZZER

/* The first HEADS are good heads, the next BODIES good bodies. */
#define HEADS 5u
#define BODIES 2u

static const char *const seeds[] = {
    "GET /plaintext HTTP/1.1\r\nHost: a\r\n\r\n",
    "\r\nPOST /echo?x=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
    "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
    "HEAD http://a:80/b%20c HTTP/1.0\r\nConnection: keep-alive\r\nReferer:\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1\r\nIf-None-Match: \"x\"\r\n\r\n",
    "5;x=y\r\nhello\r\n0a\r\n0123456789\r\n0\r\nA: b\r\n\r\n",
    "1\r\na\r\n0\r\n\r\n",
    "/a/./b//c%20d/%2e%2e/e.html",
    "/%c3%a9/../index.html",
    "Sun, 06 Nov 1994 08:49:37 GMT",
    "Sunday, 06-Nov-94 08:49:37 GMT",
    "Sun Nov  6 08:49:37 1994",
    "br, gzip ;q=0.0, *",
};

static uint64_t next_random(void)
{
    static uint64_t state = 0x9e3779b97f4a7c15u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* One change: a byte overwritten, removed, doubled, or a piece of another seed put in. */
static size_t mutate(uint8_t *data, size_t size)
{
    static const char special[] = "\r\n\0 \t:;,/%.0123456789abcfX-=\"*?#";
    size_t at = size > 0 ? next_random() % size : 0;
    const char *other = seeds[next_random() % (sizeof(seeds) / sizeof(seeds[0]))];
    size_t piece = next_random() % (strlen(other) + 1);
    switch (next_random() % 5) {
    case 0:
        data[at] = (uint8_t)next_random();
        return size > 0 ? size : 1;
    case 1:
        data[at] = (uint8_t)special[next_random() % (sizeof(special) - 1)];
        return size > 0 ? size : 1;
    case 2:
        if (size == 0)
            return 0;
        memmove(data + at, data + at + 1, size - at - 1);
        return size - 1;
    case 3:
        if (size == 0 || size == INPUT_BYTES)
            return size;
        memmove(data + at + 1, data + at, size - at);
        return size + 1;
    default:
        if (size + piece > INPUT_BYTES)
            return size;
        memmove(data + at + piece, data + at, size - at);
        memcpy(data + at, other, piece);
        return size + piece;
    }
}

static int run_file(const char *name)
{
    static uint8_t data[INPUT_BYTES];
    FILE *file = fopen(name, "rb");
    if (file == NULL) {
        perror(name);
        return 1;
    }
    size_t size = fread(data, 1, sizeof(data), file);
    fclose(file);
    return LLVMFuzzerTestOneInput(data, size);
}

/* What refuses everything would pass all the other checks. */
static void check_seeds(void)
{
    static struct unchunked body;
    struct httpd_request request;
    for (size_t i = 0; i < HEADS; i++) {
        ssize_t size = scan_in_pieces(seeds[i], strlen(seeds[i]), 3);
        check(size > 0 && skua_httpd_request_parse(&request, seeds[i], (size_t)size) == 0,
              "a good head is refused");
    }
    for (size_t i = HEADS; i < HEADS + BODIES; i++) {
        unchunk(seeds[i], strlen(seeds[i]), 2, &body);
        check(body.state == HTTPD_CHUNK_DONE, "a good body is refused");
    }
}

int main(int argc, char **argv)
{
    static uint8_t data[INPUT_BYTES];
    check_seeds();
    for (int i = 1; i < argc; i++) {
        if (run_file(argv[i]) != 0)
            return 1;
    }
    for (unsigned round = 0; argc == 1 && round < ROUNDS; round++) {
        const char *seed = seeds[round % (sizeof(seeds) / sizeof(seeds[0]))];
        size_t size = strlen(seed);
        memcpy(data, seed, size);
        for (uint64_t n = round < 13 ? 0 : next_random() % 8; n > 0; n--)
            size = mutate(data, size);
        (void)LLVMFuzzerTestOneInput(data, size);
    }
    return 0;
}

#endif
