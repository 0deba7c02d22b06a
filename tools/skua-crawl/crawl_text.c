/*
 * crawl_text.c - see crawl_text.h.
 */
#include "crawl_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAPACITY_MIN 256u

void skua_crawl_text_fini(struct crawl_text *text)
{
    free(text->data);
    *text = (struct crawl_text){0};
}

/* Room for @size bytes more and the terminator. */
static bool reserve(struct crawl_text *text, size_t size)
{
    if (text->failed)
        return false;
    if (size < text->capacity - text->size)
        return true;
    size_t capacity = text->capacity > 0 ? text->capacity : CAPACITY_MIN;
    while (capacity - text->size <= size && capacity <= SIZE_MAX / 4)
        capacity *= 2;
    char *data = capacity - text->size > size ? realloc(text->data, capacity) : NULL;
    if (data == NULL) {
        text->failed = true;
        return false;
    }
    data[text->size] = 0;
    text->data = data;
    text->capacity = capacity;
    return true;
}

void skua_crawl_text_put(struct crawl_text *text, const void *bytes, size_t size)
{
    if (!reserve(text, size))
        return;
    if (size > 0)
        memcpy(text->data + text->size, bytes, size);
    text->size += size;
    text->data[text->size] = 0;
}

void skua_crawl_text_puts(struct crawl_text *text, const char *string)
{
    skua_crawl_text_put(text, string, strlen(string));
}

void skua_crawl_text_printf(struct crawl_text *text, const char *format, ...)
{
    char buffer[512];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(buffer, sizeof(buffer), format, args);
    va_end(args);
    if (size > 0)
        skua_crawl_text_put(text, buffer,
                            (size_t)size < sizeof(buffer) ? (size_t)size : sizeof(buffer) - 1);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

/* How many bytes the UTF-8 sequence at @s has; 0 if there is none. A terminator ends every one. */
static size_t utf8_length(const unsigned char *s)
{
    static const struct {
        unsigned char lead_min, lead_max, next_min, next_max, length;
    } forms[] = {
        {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
        {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
        {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    if (*s < 0x80)
        return 1;
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (*s < forms[i].lead_min || *s > forms[i].lead_max)
            continue;
        if (s[1] < forms[i].next_min || s[1] > forms[i].next_max)
            return 0;
        for (size_t k = 2; k < forms[i].length; k++) {
            if (s[k] < 0x80 || s[k] > 0xbf)
                return 0;
        }
        return forms[i].length;
    }
    return 0;
}

bool skua_crawl_is_utf8(const char *string)
{
    const unsigned char *s = (const unsigned char *)string;
    size_t length = 1;
    while (*s != 0 && (length = utf8_length(s)) > 0)
        s += length;
    return length > 0;
}

void skua_crawl_text_json(struct crawl_text *text, const char *string)
{
    if (string == NULL) {
        skua_crawl_text_puts(text, "null");
        return;
    }
    skua_crawl_text_put(text, "\"", 1);
    for (const unsigned char *s = (const unsigned char *)string; *s != 0;) {
        size_t length = utf8_length(s);
        if (length == 0)
            skua_crawl_text_puts(text, "\xef\xbf\xbd");
        else if (*s < ' ' || *s == 0x7f)
            skua_crawl_text_printf(text, "\\u%04x", *s);
        else if (*s == '"' || *s == '\\')
            skua_crawl_text_printf(text, "\\%c", *s);
        else
            skua_crawl_text_put(text, s, length);
        s += length > 0 ? length : 1;
    }
    skua_crawl_text_put(text, "\"", 1);
}

/* ---- ASCII ----------------------------------------------------------------------------------- */

char skua_crawl_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool skua_crawl_is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

bool skua_crawl_same(const char *bytes, size_t size, const char *lower_case_word)
{
    for (size_t i = 0; i < size; i++) {
        if (lower_case_word[i] == 0 || skua_crawl_lower(bytes[i]) != lower_case_word[i])
            return false;
    }
    return lower_case_word[size] == 0;
}

int skua_crawl_hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = skua_crawl_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* RFC 3986, 2.3. */
static bool is_unreserved(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static size_t put_octet(char *out, int octet)
{
    static const char digits[] = "0123456789ABCDEF";
    out[0] = '%';
    out[1] = digits[octet >> 4];
    out[2] = digits[octet & 15];
    return 3;
}

size_t skua_crawl_percent_normalize(char *out, const char *bytes, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)bytes[i];
        int high = c == '%' && size - i > 2 ? skua_crawl_hex(bytes[i + 1]) : -1;
        int low = high >= 0 ? skua_crawl_hex(bytes[i + 2]) : -1;
        if (low >= 0) {
            int octet = high << 4 | low;
            if (is_unreserved(octet))
                out[used++] = (char)octet;
            else
                used += put_octet(out + used, octet);
            i += 2;
        } else if (c <= ' ' || c >= 0x7f || c == '%') {
            used += put_octet(out + used, c);
        } else {
            out[used++] = (char)c;
        }
    }
    return used;
}
