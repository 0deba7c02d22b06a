/*
 * crawl_text.h - growable strings, JSON strings, and one spelling for each percent-encoding.
 *
 * One owner at a time; no locking. What only the fuzz target and the parsers need stands here too,
 * so that they do without libcurl.
 */
#ifndef SKUA_CRAWL_TEXT_H
#define SKUA_CRAWL_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Invariant: size < capacity and data[size] == 0, or data == NULL and both are 0. */
struct crawl_text {
    char *data;
    size_t size;
    size_t capacity;
    bool failed; /* memory ran out: the contents are incomplete */
};

void skua_crawl_text_fini(struct crawl_text *text);
void skua_crawl_text_put(struct crawl_text *text, const void *bytes, size_t size);
void skua_crawl_text_puts(struct crawl_text *text, const char *string);
void skua_crawl_text_printf(struct crawl_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Appends @string in quotes, or null if it is NULL. What is not UTF-8 becomes U+FFFD. */
void skua_crawl_text_json(struct crawl_text *text, const char *string);

bool skua_crawl_is_utf8(const char *string);

/* ASCII only, whatever the locale. */
char skua_crawl_lower(char c);
bool skua_crawl_is_space(char c); /* also tab, CR, LF and form feed */
bool skua_crawl_same(const char *bytes, size_t size, const char *lower_case_word);

/* The value of a hexadecimal digit; -1 if @c is none. */
int skua_crawl_hex(char c);

/*
 * Writes @size bytes of a URL to @out, which has room for 3 * @size, with one spelling for each
 * octet: what need not be encoded is not, what is encoded has upper-case digits, and octets beyond
 * ASCII, controls and spaces are, as is a '%' that encodes nothing. Returns the number of bytes
 * written. Applied again it changes nothing.
 *
 * Source: RFC 3986, 6.2.2.
 */
size_t skua_crawl_percent_normalize(char *out, const char *bytes, size_t size);

#endif /* SKUA_CRAWL_TEXT_H */
