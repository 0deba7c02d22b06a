/*
 * httpd_request.c - heads of requests.
 *
 * The parser is http_parser 2.9.4, which Node.js used for a decade and which has been fuzzed ever
 * since: Debian has it as a C library (libhttp-parser-dev). Its successor llhttp is packaged there
 * only as the sources of a JavaScript module, so every user would compile half a megabyte of
 * generated code and install parts of Node.js.
 *
 * The packaged library is built without its strict mode: it takes bare line feeds, folded lines,
 * blanks before a colon, "HTTX/1.1" and anything at all after a chunk. Most of these have been used
 * to smuggle requests past a proxy that reads them otherwise. So the lines are checked here before
 * the parser sees them, it only ever sees one complete head, and chunks are taken apart by
 * httpd_chunk.c.
 */
#include "httpd_request.h"

#include <http_parser.h>
#include <string.h>
#include <strings.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* ---- the lines ------------------------------------------------------------------------------- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "METHOD TARGET HTTP/d.d", one space each; what is in the first two is the parser's. */
static bool is_request_line(const char *line, size_t size)
{
    const char *first = memchr(line, ' ', size);
    if (first == NULL || first == line)
        return false;
    size_t rest = size - (size_t)(first + 1 - line);
    const char *second = memchr(first + 1, ' ', rest);
    if (second == NULL || second == first + 1)
        return false;
    const char *version = second + 1;
    return size - (size_t)(version - line) == 8 && memcmp(version, "HTTP/", 5) == 0 &&
           is_digit(version[5]) && version[6] == '.' && is_digit(version[7]);
}

/* "Name: value", not folded, no blank before the colon. */
static bool is_field_line(const char *line, size_t size)
{
    if (is_blank(line[0]))
        return false;
    const char *colon = memchr(line, ':', size);
    return colon != NULL && colon != line && !is_blank(colon[-1]);
}

static bool is_good_line(const struct httpd_scan *scan, const char *line, size_t size)
{
    if (memchr(line, '\r', size) != NULL || memchr(line, '\0', size) != NULL)
        return false;
    return scan->lines == 0 ? is_request_line(line, size) : is_field_line(line, size);
}

ssize_t skua_httpd_head_scan(struct httpd_scan *scan, const char *data, size_t size)
{
    while (scan->position < size) {
        const char *end = memchr(data + scan->position, '\n', size - scan->position);
        if (end == NULL) {
            scan->position = size;
            return 0;
        }
        const char *line = data + scan->line_begin;
        scan->line_begin = scan->position = (size_t)(end + 1 - data);
        if (end == line || end[-1] != '\r')
            return -400;
        size_t line_size = (size_t)(end - 1 - line);
        if (line_size == 0) {
            if (scan->lines > 0)
                return (ssize_t)scan->position;
            if (scan->position > 2)
                return -400; /* one empty line before a request is forgiven (RFC 9112, 2.2) */
            continue;
        }
        if (!is_good_line(scan, line, line_size))
            return -400;
        scan->lines++;
    }
    return 0;
}

/* ---- the fields ------------------------------------------------------------------------------ */

struct parse {
    struct httpd_request *request;
    const char *head;
    enum httpd_field field; /* whose value comes next */
};

static const struct field_name {
    const char *name;
    uint8_t size;
    uint8_t field;
} field_names[] = {
    {"host", 4, HTTPD_HOST},
    {"range", 5, HTTPD_RANGE},
    {"expect", 6, HTTPD_EXPECT},
    {"referer", 7, HTTPD_REFERER},
    {"if-range", 8, HTTPD_IF_RANGE},
    {"user-agent", 10, HTTPD_USER_AGENT},
    {"if-none-match", 13, HTTPD_IF_NONE_MATCH},
    {"accept-encoding", 15, HTTPD_ACCEPT_ENCODING},
    {"if-modified-since", 17, HTTPD_IF_MODIFIED_SINCE},
    {"transfer-encoding", 17, HTTPD_TRANSFER_ENCODING},
};

static struct httpd_slice slice_of(const struct parse *parse, const char *at, size_t size)
{
    return (struct httpd_slice){(uint32_t)(at - parse->head), (uint32_t)size};
}

static int on_url(http_parser *parser, const char *at, size_t size)
{
    struct parse *parse = parser->data;
    parse->request->target = slice_of(parse, at, size);
    return 0;
}

static int on_field(http_parser *parser, const char *at, size_t size)
{
    struct parse *parse = parser->data;
    parse->field = HTTPD_FIELD_NONE;
    for (size_t i = 0; i < sizeof(field_names) / sizeof(field_names[0]); i++) {
        if (field_names[i].size == size && strncasecmp(field_names[i].name, at, size) == 0)
            parse->field = (enum httpd_field)field_names[i].field;
    }
    return 0;
}

static int on_value(http_parser *parser, const char *at, size_t size)
{
    struct parse *parse = parser->data;
    while (size > 0 && is_blank(at[size - 1]))
        size--;
    if (parse->request->field_counts[parse->field] < UINT8_MAX)
        parse->request->field_counts[parse->field]++;
    parse->request->fields[parse->field] = slice_of(parse, at, size);
    return 0;
}

static int on_headers_complete(http_parser *parser)
{
    struct parse *parse = parser->data;
    struct httpd_request *request = parse->request;
    request->keep_alive = http_should_keep_alive(parser) != 0;
    request->chunked = (parser->flags & F_CHUNKED) != 0;
    if ((parser->flags & F_CONTENTLENGTH) != 0)
        request->content_length = parser->content_length;
    return 1; /* the body is not for the parser */
}

static const http_parser_settings settings = {
    .on_url = on_url,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_headers_complete,
};

/* ---- what they mean together ----------------------------------------------------------------- */

static bool value_is(const struct httpd_request *request, const char *head, enum httpd_field field,
                     const char *text)
{
    struct httpd_slice value = request->fields[field];
    return value.size == strlen(text) && strncasecmp(head + value.begin, text, value.size) == 0;
}

static enum httpd_method method_of(unsigned method)
{
    switch (method) {
    case HTTP_GET:
        return HTTPD_GET;
    case HTTP_HEAD:
        return HTTPD_HEAD;
    case HTTP_POST:
        return HTTPD_POST;
    case HTTP_OPTIONS:
        return HTTPD_OPTIONS;
    default:
        return HTTPD_OTHER;
    }
}

/* Where path and query are in the target, which may be a path or a whole URL. */
static int split_target(struct httpd_request *request, const char *head)
{
    struct httpd_slice target = request->target;
    const char *text = head + target.begin;
    size_t path = 0;
    if (target.size == 1 && text[0] == '*') {
        request->path = target;
        return request->method == HTTPD_OPTIONS ? 0 : -400;
    }
    if (text[0] != '/') {
        struct http_parser_url url;
        http_parser_url_init(&url);
        if (http_parser_parse_url(text, target.size, 0, &url) != 0 ||
            (url.field_set & (1u << UF_HOST)) == 0)
            return request->method == HTTPD_OTHER ? 0 : -400; /* "CONNECT host:port" gets its 405 */
        if ((url.field_set & (1u << UF_PATH)) == 0)
            return -400;
        path = url.field_data[UF_PATH].off;
    }
    const char *end = memchr(text + path, '#', target.size - path);
    size_t size = end == NULL ? target.size : (size_t)(end - text);
    const char *question = memchr(text + path, '?', size - path);
    size_t path_end = question == NULL ? size : (size_t)(question - text);
    request->path =
        (struct httpd_slice){target.begin + (uint32_t)path, (uint32_t)(path_end - path)};
    if (question != NULL)
        request->query = (struct httpd_slice){target.begin + (uint32_t)path_end + 1,
                                              (uint32_t)(size - path_end - 1)};
    return 0;
}

static int check_framing(const struct httpd_request *request, const char *head)
{
    unsigned hosts = request->field_counts[HTTPD_HOST];
    unsigned encodings = request->field_counts[HTTPD_TRANSFER_ENCODING];
    if (hosts > 1 || (hosts == 0 && request->minor > 0))
        return -400;
    if (encodings == 0)
        return 0;
    /* One coding, known, and no way for an HTTP/1.0 proxy to have passed it on unread. */
    if (encodings > 1 || !request->chunked || request->minor == 0 ||
        !value_is(request, head, HTTPD_TRANSFER_ENCODING, "chunked"))
        return -400;
    return 0;
}

static int check_expectation(struct httpd_request *request, const char *head)
{
    if (request->field_counts[HTTPD_EXPECT] == 0 || request->minor == 0)
        return 0;
    if (request->field_counts[HTTPD_EXPECT] > 1 ||
        !value_is(request, head, HTTPD_EXPECT, "100-continue"))
        return -417;
    request->expects_continue = true;
    return 0;
}

/* The status for what the parser did not like. */
static int status_of_error(enum http_errno error, const char *head)
{
    if (error == HPE_INVALID_METHOD) {
        /* A word nobody knows is another thing than bytes that are no word. */
        size_t size = strcspn(head, " ");
        size_t token = strspn(head, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                    "0123456789!#$%&'*+-.^_`|~");
        return size == token ? -501 : -400;
    }
    return -400;
}

int skua_httpd_request_parse(struct httpd_request *request, const char *head, size_t size)
{
    struct parse parse = {.request = request, .head = head};
    http_parser parser;
    *request = (struct httpd_request){0};
    size_t begin = head[0] == '\r' ? 2 : 0; /* the empty line that is forgiven */
    const char *line_end = memchr(head + begin, '\r', size - begin);
    request->line = slice_of(&parse, head + begin, (size_t)(line_end - head) - begin);
    http_parser_init(&parser, HTTP_REQUEST);
    parser.data = &parse;
    size_t parsed = http_parser_execute(&parser, &settings, head + begin, size - begin);
    request->minor = parser.http_minor;
    if (HTTP_PARSER_ERRNO(&parser) != HPE_OK)
        return status_of_error(HTTP_PARSER_ERRNO(&parser), head + begin);
    if (parsed != size - begin)
        return -400;
    if (parser.http_major != 1)
        return parser.http_major == 0 ? -400 : -505;
    request->method = method_of(parser.method);
    int rc = request->target.size > HTTPD_TARGET_BYTES_MAX ? -414 : 0;
    if (rc == 0)
        rc = split_target(request, head);
    if (rc == 0)
        rc = check_framing(request, head);
    if (rc == 0)
        rc = check_expectation(request, head);
    return rc;
}

/* ---- lists ----------------------------------------------------------------------------------- */

/* Whether the parameters say q=0, q=0.0 ... */
static bool weighs_nothing(const char *text, size_t size)
{
    while (size > 0 && (is_blank(*text) || *text == ';')) {
        text++;
        size--;
    }
    if (size < 3 || strncasecmp(text, "q=0", 3) != 0)
        return false;
    for (size_t i = 3; i < size; i++) {
        if (text[i] >= '1' && text[i] <= '9')
            return false;
    }
    return true;
}

bool skua_httpd_list_has(const char *value, size_t size, const char *token)
{
    size_t token_size = strlen(token);
    const char *end = value + size;
    while (value < end) {
        const char *comma = memchr(value, ',', (size_t)(end - value));
        const char *next = comma == NULL ? end : comma;
        while (value < next && is_blank(*value))
            value++;
        size_t left = (size_t)(next - value);
        if (left >= token_size && strncasecmp(value, token, token_size) == 0) {
            char after = left == token_size ? ';' : value[token_size];
            if (after == ';' || is_blank(after))
                return !weighs_nothing(value + token_size, left - token_size);
        }
        value = next + 1;
    }
    return false;
}
