/*
 * sum_line.c - takes the lines of checksum files apart, as coreutils' digest programs do.
 *
 *     HEX  NAME      HEX *NAME      HEX NAME (BSD's own, all lines or none)
 *     ALGORITHM (NAME) = HEX        ALGORITHM(NAME)= HEX (OpenSSL's)
 *
 * A leading backslash says that the name is escaped. BLAKE2b-256 and the like carry a length;
 * without a tag the length of BLAKE2b is that of the hexadecimal number. Pure functions, called by
 * the producer of sum_verify.c.
 */
#include "sum_line.h"

#include <assert.h>
#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sum_text.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_hex(char c)
{
    return isxdigit((unsigned char)c) != 0;
}

static unsigned char hex_value(char c)
{
    assert(is_hex(c));
    return (unsigned char)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
}

/* Reads @size bytes written as hexadecimal digits. */
static bool parse_hex(const char *hex, unsigned char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (!is_hex(hex[2 * i]) || !is_hex(hex[2 * i + 1]))
            return false;
        bytes[i] = (unsigned char)(hex_value(hex[2 * i]) << 4 | hex_value(hex[2 * i + 1]));
    }
    return true;
}

/* What follows the "(" of a tagged line. */
static bool parse_tagged(char *s, bool escaped, struct sum_line *result)
{
    char *end = strrchr(s, ')');

    if (!end)
        return false;
    *end++ = 0;
    if (escaped && !skua_sum_name_unescape(s))
        return false;
    while (is_blank(*end))
        end++;
    if (*end++ != '=')
        return false;
    while (is_blank(*end))
        end++;
    result->name = s;
    return parse_hex(end, result->digest, result->digest_size) && !end[2 * result->digest_size];
}

/* The "-256" after a BLAKE2b tag, if it is there. Advances *@s. */
static bool parse_tag_length(const struct sum_digest *digest, char **s, struct sum_line *result)
{
    unsigned long bits;
    char *end;

    result->digest_size = digest->size_max;
    if (digest->algorithm != SUM_BLAKE2B || **s != '-')
        return true;
    if (!isdigit((unsigned char)(*s)[1]))
        return false;
    bits = strtoul(*s + 1, &end, 10);
    if (!bits || bits > 8 * digest->size_max || bits % 8)
        return false;
    result->digest_size = bits / 8;
    *s = end;
    return true;
}

static bool parse_untagged(const struct sum_digest *digest, char *s, size_t size, bool escaped,
                           enum sum_spacing *spacing, struct sum_line *result)
{
    size_t digits = 2 * digest->size_max;

    if (digest->algorithm == SUM_BLAKE2B) {
        for (digits = 0; is_hex(s[digits]);)
            digits++;
        if (digits < 2 || digits % 2 || digits > 2 * digest->size_max)
            return false;
    }
    if (size < digits + 2 || !is_blank(s[digits]))
        return false;
    result->digest_size = digits / 2;
    if (!parse_hex(s, result->digest, result->digest_size))
        return false;
    s += digits + 1;
    size -= digits + 1;
    if (size == 1 || (*s != ' ' && *s != '*')) {
        /* Mixing the two forms would let a file with a leading space pass for another. */
        if (*spacing == SUM_SPACING_TWO)
            return false;
        *spacing = SUM_SPACING_ONE;
    } else if (*spacing != SUM_SPACING_ONE) {
        *spacing = SUM_SPACING_TWO;
        result->binary = *s++ == '*';
    }
    result->name = s;
    return !escaped || skua_sum_name_unescape(s);
}

bool skua_sum_line_parse(const struct sum_digest *digest, char *line, size_t size,
                         enum sum_spacing *spacing, struct sum_line *result)
{
    size_t tag_size = strlen(digest->tag);
    char *s = line;
    bool escaped;

    *result = (struct sum_line){0};
    if (strlen(line) != size)
        return false; /* a NUL: no file name has one */
    while (is_blank(*s))
        s++;
    escaped = *s == '\\';
    s += escaped;
    if (strncmp(s, digest->tag, tag_size) != 0)
        return parse_untagged(digest, s, size - (size_t)(s - line), escaped, spacing, result);
    s += tag_size;
    if (!parse_tag_length(digest, &s, result))
        return false;
    if (*s == ' ')
        s++;
    return *s == '(' && parse_tagged(s + 1, escaped, result);
}
