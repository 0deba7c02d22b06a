/*
 * sum_text.c - growable byte strings, name escaping and shell quoting.
 *
 * Memory that runs out is remembered in the text (failed), so that a line is built without a check
 * after every append and dropped as a whole.
 *
 * Quoting is that of GNU's "shell-escape" style with the colon added, which is how coreutils shows
 * file names in messages: 'a b', "it's", 'a'$'\n''b'.
 */
#include "sum_text.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>

void skua_sum_text_clear(struct sum_text *text)
{
    text->size = 0;
    text->failed = false;
    if (text->data)
        text->data[0] = 0;
}

void skua_sum_text_fini(struct sum_text *text)
{
    free(text->data);
    *text = (struct sum_text){0};
}

const char *skua_sum_text_string(const struct sum_text *text)
{
    return text->data ? text->data : "";
}

/* Makes room for @size more bytes and the terminator. */
static bool reserve(struct sum_text *text, size_t size)
{
    size_t capacity = text->capacity ? text->capacity : 64;
    char *data;

    if (text->failed)
        return false;
    if (text->capacity > text->size && size < text->capacity - text->size)
        return true;
    while (capacity - text->size <= size) {
        if (capacity > SIZE_MAX / 2) {
            text->failed = true;
            return false;
        }
        capacity *= 2;
    }
    data = realloc(text->data, capacity);
    if (!data) {
        text->failed = true;
        return false;
    }
    text->data = data;
    text->capacity = capacity;
    return true;
}

void skua_sum_text_put(struct sum_text *text, const char *bytes, size_t size)
{
    if (!reserve(text, size))
        return;
    memcpy(text->data + text->size, bytes, size);
    text->size += size;
    text->data[text->size] = 0;
}

void skua_sum_text_puts(struct sum_text *text, const char *string)
{
    skua_sum_text_put(text, string, strlen(string));
}

void skua_sum_text_putc(struct sum_text *text, char byte)
{
    skua_sum_text_put(text, &byte, 1);
}

void skua_sum_text_printf(struct sum_text *text, const char *format, ...)
{
    char buffer[512];
    va_list args;
    int size;

    va_start(args, format);
    size = vsnprintf(buffer, sizeof(buffer), format, args);
    va_end(args);
    /* Only numbers and fixed words go through here; names are appended by the calls above. */
    assert(size >= 0 && (size_t)size < sizeof(buffer));
    skua_sum_text_put(text, buffer, (size_t)size);
}

void skua_sum_text_hex(struct sum_text *text, const unsigned char *bytes, size_t size)
{
    static const char digits[] = "0123456789abcdef";

    if (!reserve(text, 2 * size))
        return;
    for (size_t i = 0; i < size; i++) {
        text->data[text->size++] = digits[bytes[i] >> 4];
        text->data[text->size++] = digits[bytes[i] & 15];
    }
    text->data[text->size] = 0;
}

bool skua_sum_name_needs_escape(const char *name)
{
    return name[strcspn(name, "\\\n\r")] != 0;
}

void skua_sum_text_name(struct sum_text *text, const char *name, bool escape)
{
    if (!escape) {
        skua_sum_text_puts(text, name);
        return;
    }
    for (; *name; name++) {
        if (*name == '\n')
            skua_sum_text_puts(text, "\\n");
        else if (*name == '\r')
            skua_sum_text_puts(text, "\\r");
        else if (*name == '\\')
            skua_sum_text_puts(text, "\\\\");
        else
            skua_sum_text_putc(text, *name);
    }
}

bool skua_sum_name_unescape(char *name)
{
    char *to = name;

    for (const char *from = name; *from; from++) {
        if (*from != '\\') {
            *to++ = *from;
            continue;
        }
        from++;
        if (*from == 'n')
            *to++ = '\n';
        else if (*from == 'r')
            *to++ = '\r';
        else if (*from == '\\')
            *to++ = '\\';
        else
            return false;
    }
    *to = 0;
    return true;
}

/* What is known of a name before it is quoted. */
struct quote_scan {
    bool needs_quotes; /* something in it is special to a shell, or it is empty */
    bool single_quote;
    bool double_ok; /* "..." shows it without any escape */
};

/* The bytes of the character at @s and whether it can be shown; never 0. */
static size_t character_size(const char *s, bool *printable)
{
    mbstate_t state = {0};
    wchar_t wide = 0;
    size_t size = mbrtowc(&wide, s, strlen(s), &state);

    if (size == (size_t)-1 || size == (size_t)-2 || size == 0) {
        *printable = false;
        return 1;
    }
    *printable = iswprint((wint_t)wide) != 0;
    return size;
}

static struct quote_scan scan_name(const char *name)
{
    struct quote_scan scan = {.needs_quotes = !*name, .double_ok = true};
    size_t size;

    for (size_t i = 0; name[i]; i += size) {
        bool printable;
        bool alone = i == 0 && !name[1];
        char c = name[i];

        size = character_size(name + i, &printable);
        if (!printable || strchr("!\"$&()*;<=>[^`|?\\", c)) {
            scan.needs_quotes = true;
            scan.double_ok = false;
        } else if (c == ' ' || c == ':' || c == '\'' || ((c == '#' || c == '~') && i == 0)) {
            scan.needs_quotes = true;
            scan.single_quote |= c == '\'';
        } else if (c == '{' || c == '}') {
            scan.needs_quotes |= alone;
            scan.double_ok &= alone;
        } else if (c == '#' || c == '~') {
            scan.double_ok = false;
        }
    }
    return scan;
}

static void put_escaped_byte(struct sum_text *text, unsigned char c)
{
    static const char named[] = "\a\b\t\n\v\f\r";
    const char *at = strchr(named, c);

    if (at)
        skua_sum_text_printf(text, "\\%c", "abtnvfr"[at - named]);
    else
        skua_sum_text_printf(text, "\\%03o", c);
}

/*
 * Appends the inside of '...'. @escaped says whether a $'...' is taken to be open at the start;
 * returns whether one is at the end.
 */
static bool put_single_quoted(struct sum_text *text, const char *name, bool escaped)
{
    size_t size;

    for (; *name; name += size) {
        bool printable;

        size = character_size(name, &printable);
        if (!printable) {
            skua_sum_text_puts(text, escaped ? "" : "'$'");
            escaped = true;
            put_escaped_byte(text, (unsigned char)*name);
            size = 1;
            continue;
        }
        if (*name == '\'')
            skua_sum_text_puts(text, "'\\'");
        else if (escaped)
            skua_sum_text_puts(text, "''");
        escaped = false;
        skua_sum_text_put(text, name, size);
    }
    return escaped;
}

void skua_sum_text_quote(struct sum_text *text, const char *name)
{
    struct quote_scan scan = scan_name(name);
    struct sum_text draft = {0};
    bool escaped;

    if (!scan.needs_quotes) {
        skua_sum_text_puts(text, name);
        return;
    }
    if (scan.single_quote && scan.double_ok) {
        skua_sum_text_putc(text, '"');
        skua_sum_text_puts(text, name);
        skua_sum_text_putc(text, '"');
        return;
    }
    /* GNU's quoting scans a name with a single quote twice and keeps the escape state between the
       passes: a name that ends in an escape then starts with an empty ''. Same bytes here. */
    escaped = put_single_quoted(&draft, name, false);
    skua_sum_text_putc(text, '\'');
    if (scan.single_quote)
        put_single_quoted(text, name, escaped);
    else
        skua_sum_text_put(text, skua_sum_text_string(&draft), draft.size);
    text->failed |= draft.failed;
    skua_sum_text_putc(text, '\'');
    skua_sum_text_fini(&draft);
}

void skua_sum_text_error(struct sum_text *text, int error)
{
    char buffer[128];

    skua_sum_text_puts(text, strerror_r(-error, buffer, sizeof(buffer)));
}
