/*
 * sum_text.h - growable byte strings, and the two ways a file name is shown: escaped in output
 * lines, shell-quoted in messages.
 *
 * Used by every file of the tool. One owner at a time; no locking.
 */
#ifndef SKUA_SUM_TEXT_H
#define SKUA_SUM_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Invariant: size < capacity and data[size] == 0, or data == NULL and both are 0. */
struct sum_text {
    char *data;
    size_t size;
    size_t capacity;
    bool failed; /* memory ran out since the last clear: the contents are incomplete */
};

void skua_sum_text_clear(struct sum_text *text);
void skua_sum_text_fini(struct sum_text *text);

/* The contents as a C string, never NULL. */
const char *skua_sum_text_string(const struct sum_text *text);

void skua_sum_text_put(struct sum_text *text, const char *bytes, size_t size);
void skua_sum_text_puts(struct sum_text *text, const char *string);
void skua_sum_text_putc(struct sum_text *text, char byte);
void skua_sum_text_printf(struct sum_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void skua_sum_text_hex(struct sum_text *text, const unsigned char *bytes, size_t size);

/* True if an output line must escape @name: it has a newline, a carriage return or a backslash. */
bool skua_sum_name_needs_escape(const char *name);

/* Appends @name, escaped if @escape. The leading backslash of the line is the caller's. */
void skua_sum_text_name(struct sum_text *text, const char *name, bool escape);

/* Undoes the escaping in place. Returns false if @name was not made by it. */
bool skua_sum_name_unescape(char *name);

/* Appends @name as messages show it: bare if that is plain, else quoted for a shell. */
void skua_sum_text_quote(struct sum_text *text, const char *name);

/* Appends the text of the error -@error. */
void skua_sum_text_error(struct sum_text *text, int error);

#endif /* SKUA_SUM_TEXT_H */
