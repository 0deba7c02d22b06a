/*
 * http_request_fuzz.c - what skua-httpd reads from strangers: heads, chunks, paths, dates, lists.
 *
 * One input is read as each of them. Beside what sanitizers see, it must hold that
 *   - it makes no difference in how many pieces a head or a chunked body arrives;
 *   - every slice of a parsed request lies in its head, and no line of it ends but in CR LF;
 *   - a decoded path has neither a leading '/', an empty part nor "..".
 */
#include "../../tools/skua-httpd/httpd_chunk.h"
#include "../../tools/skua-httpd/httpd_connection.h"
#include "../../tools/skua-httpd/httpd_path.h"
#include "../../tools/skua-httpd/httpd_request.h"
#include "fuzz_kit.h"

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
    fuzz_check(slice.begin <= size && slice.size <= size - slice.begin, "a slice leaves the head");
}

static void check_request(const char *head, size_t size)
{
    struct httpd_request request;
    int rc = skua_httpd_request_parse(&request, head, size);
    fuzz_check(rc == 0 || (rc <= -400 && rc >= -505), "not a status");
    check_slice(request.line, size);
    if (rc < 0)
        return;
    check_slice(request.target, size);
    check_slice(request.path, size);
    check_slice(request.query, size);
    for (size_t i = 0; i < HTTPD_FIELDS; i++) {
        check_slice(request.fields[i], size);
        fuzz_check(memchr(head + request.fields[i].begin, '\n', request.fields[i].size) == NULL,
                   "a value of several lines");
    }
    fuzz_check(!request.chunked || request.content_length == 0, "two lengths");
    fuzz_check(request.minor == 0 || request.field_counts[HTTPD_HOST] == 1, "no host");
}

static void check_head(const char *data, size_t size)
{
    ssize_t whole = scan_in_pieces(data, size, size);
    fuzz_check(whole == scan_in_pieces(data, size, 1), "a head depends on its pieces");
    fuzz_check(whole == scan_in_pieces(data, size, 7), "a head depends on its pieces");
    if (whole <= 0)
        return;
    fuzz_check(memcmp(data + whole - 4, "\r\n\r\n", 4) == 0, "a head without its end");
    check_request(data, (size_t)whole);
}

/* ---- chunks ---------------------------------------------------------------------------------- */

struct unchunked {
    char data[FUZZ_INPUT_BYTES];
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
        fuzz_check((size_t)used <= there - out->used && data_size <= (size_t)used, "too much used");
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
        fuzz_check(pieces.state == whole.state, "a chunked body depends on its pieces");
        if (whole.state == HTTPD_CHUNK_DONE)
            fuzz_check(pieces.size == whole.size && pieces.used == whole.used &&
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
    fuzz_check(strlen(path) < HTTPD_PATH_BYTES - 15, "no room for a suffix");
    fuzz_check(path[0] != '/' && strstr(path, "//") == NULL, "an empty part");
    for (const char *part = path; part != NULL; part = strchr(part, '/')) {
        part += *part == '/';
        size_t part_size = strcspn(part, "/");
        fuzz_check(part_size != 2 || memcmp(part, "..", 2) != 0, "a path leads up");
        fuzz_check(part_size != 1 || part[0] != '.', "a path has a dot");
    }
    url[0] = '/';
    size_t url_size = 1 + skua_httpd_path_encode(path, url + 1);
    fuzz_check(memchr(url, '\r', url_size) == NULL && memchr(url, '\n', url_size) == NULL,
               "a split");
    fuzz_check(skua_httpd_path_decode(url, url_size, again, &directory) == 0 &&
                   strcmp(path, again) == 0,
               "encoding loses something");
    fuzz_check(skua_httpd_path_type(path) != NULL, "no type");
}

static void check_date(const char *data, size_t size)
{
    char date[HTTPD_DATE_BYTES];
    time_t when = skua_httpd_date_parse(data, size);
    if (when < 0)
        return;
    skua_httpd_date_format(when, date);
    fuzz_check(skua_httpd_date_parse(date, HTTPD_DATE_BYTES - 1) == when,
               "a date does not come back");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > FUZZ_INPUT_BYTES)
        return 0;
    /* On the heap and no larger than it is, so that a byte too far is seen. */
    char *copy = malloc(size > 0 ? size : 1);
    fuzz_check(copy != NULL, "no memory");
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

/* ---- seeds ----------------------------------------------------------------------------------- */

/* The first HEADS are good heads, the next BODIES good bodies. */
#define HEADS 5u
#define BODIES 2u

static const struct fuzz_seed seeds[] = {
    FUZZ_SEED("GET /plaintext HTTP/1.1\r\nHost: a\r\n\r\n"),
    FUZZ_SEED("\r\nPOST /echo?x=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: "
              "close\r\n\r\nabc"),
    FUZZ_SEED("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: "
              "100-continue\r\n\r\n"),
    FUZZ_SEED("HEAD http://a:80/b%20c HTTP/1.0\r\nConnection: keep-alive\r\nReferer:\r\n\r\n"),
    FUZZ_SEED("OPTIONS * HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1\r\nIf-None-Match: \"x\"\r\n\r\n"),
    FUZZ_SEED("5;x=y\r\nhello\r\n0a\r\n0123456789\r\n0\r\nA: b\r\n\r\n"),
    FUZZ_SEED("1\r\na\r\n0\r\n\r\n"),
    FUZZ_SEED("/a/./b//c%20d/%2e%2e/e.html"),
    FUZZ_SEED("/%c3%a9/../index.html"),
    FUZZ_SEED("Sun, 06 Nov 1994 08:49:37 GMT"),
    FUZZ_SEED("Sunday, 06-Nov-94 08:49:37 GMT"),
    FUZZ_SEED("Sun Nov  6 08:49:37 1994"),
    FUZZ_SEED("br, gzip ;q=0.0, *"),
};

static void check_seeds(void)
{
    static struct unchunked body;
    struct httpd_request request;
    for (size_t i = 0; i < HEADS; i++) {
        ssize_t size = scan_in_pieces(seeds[i].data, seeds[i].size, 3);
        fuzz_check(size > 0 && skua_httpd_request_parse(&request, seeds[i].data, (size_t)size) == 0,
                   "a good head is refused");
    }
    for (size_t i = HEADS; i < HEADS + BODIES; i++) {
        unchunk(seeds[i].data, seeds[i].size, 2, &body);
        fuzz_check(body.state == HTTPD_CHUNK_DONE, "a good body is refused");
    }
}

static const char special[] = "\r\n\0 \t:;,/%.0123456789abcfX-=\"*?#";

const struct fuzz_subject fuzz_subject = {
    .name = "http_request_fuzz",
    .seeds = seeds,
    .seed_count = sizeof(seeds) / sizeof(seeds[0]),
    .special = special,
    .special_size = sizeof(special) - 1,
    .rounds = 200000,
    .check_seeds = check_seeds,
};
