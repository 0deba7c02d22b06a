/*
 * httpd_chunk.h - takes a chunked body apart, strictly (RFC 9112, 7.1). No sockets, no tasks.
 */
#ifndef SKUA_HTTPD_CHUNK_H
#define SKUA_HTTPD_CHUNK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum httpd_chunk_state {
    HTTPD_CHUNK_SIZE, /* zero: how a body begins */
    HTTPD_CHUNK_EXTENSION,
    HTTPD_CHUNK_SIZE_LF,
    HTTPD_CHUNK_DATA,
    HTTPD_CHUNK_DATA_CR,
    HTTPD_CHUNK_DATA_LF,
    HTTPD_CHUNK_TRAILER,      /* at the beginning of a line */
    HTTPD_CHUNK_TRAILER_LINE, /* within it */
    HTTPD_CHUNK_TRAILER_LF,
    HTTPD_CHUNK_END_LF,
    HTTPD_CHUNK_DONE,
    HTTPD_CHUNK_BAD
};

/* Zero-initialise for each body. */
struct httpd_chunks {
    uint64_t left; /* bytes of the chunk yet to come */
    uint32_t digits;
    uint32_t overhead; /* bytes of extensions and trailers, of which there is a limit */
    enum httpd_chunk_state state;
};

/*
 * Consumes some of the @size bytes at @data. Returns how many, at least one unless @size is 0 or
 * the body is done; -400 for what is no chunked body. What was data of those bytes is the last
 * *@data_size of them, and may be none.
 */
ssize_t skua_httpd_chunk_next(struct httpd_chunks *chunks, const char *data, size_t size,
                              size_t *data_size);

#endif /* SKUA_HTTPD_CHUNK_H */
