/*
 * httpd_chunk.c - chunked bodies. Every line ends with CR LF, sizes are hexadecimal digits and
 * nothing else, and a chunk is followed by its CR LF: what a lenient reader would let pass is where
 * two readers come to differ about where the next request begins.
 */
#include "httpd_chunk.h"

#define DIGITS_MAX 15u      /* so that a size cannot overflow */
#define OVERHEAD_MAX 16384u /* of extensions and trailers */

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static enum httpd_chunk_state after_size(struct httpd_chunks *chunks, char c)
{
    int value = digit_value(c);
    if (value >= 0) {
        if (chunks->digits++ == DIGITS_MAX)
            return HTTPD_CHUNK_BAD;
        chunks->left = chunks->left * 16 + (unsigned)value;
        return HTTPD_CHUNK_SIZE;
    }
    if (chunks->digits == 0)
        return HTTPD_CHUNK_BAD;
    if (c == ';')
        return HTTPD_CHUNK_EXTENSION;
    return c == '\r' ? HTTPD_CHUNK_SIZE_LF : HTTPD_CHUNK_BAD;
}

/* In a line that is not looked at: an extension or a trailer. */
static enum httpd_chunk_state within_line(struct httpd_chunks *chunks, char c,
                                          enum httpd_chunk_state same, enum httpd_chunk_state end)
{
    if (c == '\r')
        return end;
    if (c == '\n' || c == '\0' || ++chunks->overhead > OVERHEAD_MAX)
        return HTTPD_CHUNK_BAD;
    return same;
}

/* The state after @c, in any state but DATA and DONE. */
static enum httpd_chunk_state step(struct httpd_chunks *chunks, char c)
{
    switch (chunks->state) {
    case HTTPD_CHUNK_SIZE:
        return after_size(chunks, c);
    case HTTPD_CHUNK_EXTENSION:
        return within_line(chunks, c, HTTPD_CHUNK_EXTENSION, HTTPD_CHUNK_SIZE_LF);
    case HTTPD_CHUNK_SIZE_LF:
        chunks->digits = 0;
        if (c != '\n')
            return HTTPD_CHUNK_BAD;
        return chunks->left > 0 ? HTTPD_CHUNK_DATA : HTTPD_CHUNK_TRAILER;
    case HTTPD_CHUNK_DATA_CR:
        return c == '\r' ? HTTPD_CHUNK_DATA_LF : HTTPD_CHUNK_BAD;
    case HTTPD_CHUNK_DATA_LF:
        return c == '\n' ? HTTPD_CHUNK_SIZE : HTTPD_CHUNK_BAD;
    case HTTPD_CHUNK_TRAILER:
        if (c == ' ' || c == '\t' || c == ':')
            return HTTPD_CHUNK_BAD;
        return within_line(chunks, c, HTTPD_CHUNK_TRAILER_LINE, HTTPD_CHUNK_END_LF);
    case HTTPD_CHUNK_TRAILER_LINE:
        return within_line(chunks, c, HTTPD_CHUNK_TRAILER_LINE, HTTPD_CHUNK_TRAILER_LF);
    case HTTPD_CHUNK_TRAILER_LF:
        return c == '\n' ? HTTPD_CHUNK_TRAILER : HTTPD_CHUNK_BAD;
    case HTTPD_CHUNK_END_LF:
        return c == '\n' ? HTTPD_CHUNK_DONE : HTTPD_CHUNK_BAD;
    case HTTPD_CHUNK_DATA:
    case HTTPD_CHUNK_DONE:
    case HTTPD_CHUNK_BAD:
        break;
    }
    return HTTPD_CHUNK_BAD;
}

ssize_t skua_httpd_chunk_next(struct httpd_chunks *chunks, const char *data, size_t size,
                              size_t *data_size)
{
    size_t used = 0;
    *data_size = 0;
    while (used < size && chunks->state != HTTPD_CHUNK_DONE) {
        if (chunks->state == HTTPD_CHUNK_DATA) {
            size_t n = size - used < chunks->left ? size - used : (size_t)chunks->left;
            chunks->left -= n;
            if (chunks->left == 0)
                chunks->state = HTTPD_CHUNK_DATA_CR;
            *data_size = n;
            return (ssize_t)(used + n);
        }
        chunks->state = step(chunks, data[used++]);
        if (chunks->state == HTTPD_CHUNK_BAD)
            return -400;
    }
    return (ssize_t)used;
}
