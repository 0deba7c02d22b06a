/*
 * platform/safe_print.h - text for a file descriptor from inside a signal handler.
 *
 * Async-signal-safe: no allocation, no locale, no stdio, one write(2) for a whole message, so that
 * messages of several threads do not mix. Text beyond the buffer is cut off. Used by reports of
 * overflows and failed checks.
 */
#ifndef SKUA_SRC_SAFE_PRINT_H
#define SKUA_SRC_SAFE_PRINT_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#define SKUA_SAFE_PRINT_MAX 512

/* Invariant: length <= SKUA_SAFE_PRINT_MAX. */
struct skua_safe_print {
    size_t length;
    char text[SKUA_SAFE_PRINT_MAX];
};

static inline void skua_safe_print_init(struct skua_safe_print *out)
{
    out->length = 0;
}

/* Appends @string; NULL reads as "(null)". */
static inline void skua_safe_print_string(struct skua_safe_print *out, const char *string)
{
    if (string == NULL)
        string = "(null)";
    while (*string != '\0' && out->length < SKUA_SAFE_PRINT_MAX)
        out->text[out->length++] = *string++;
}

static inline void skua_safe_print_digits(struct skua_safe_print *out, uint64_t number,
                                          unsigned base)
{
    char digits[21];
    size_t at = sizeof(digits);
    digits[--at] = '\0';
    do {
        digits[--at] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number != 0);
    skua_safe_print_string(out, digits + at);
}

static inline void skua_safe_print_decimal(struct skua_safe_print *out, uint64_t number)
{
    skua_safe_print_digits(out, number, 10);
}

static inline void skua_safe_print_signed(struct skua_safe_print *out, int64_t number)
{
    if (number < 0)
        skua_safe_print_string(out, "-");
    skua_safe_print_digits(out, number < 0 ? 0 - (uint64_t)number : (uint64_t)number, 10);
}

/* With 0x in front: addresses. */
static inline void skua_safe_print_hex(struct skua_safe_print *out, uint64_t number)
{
    skua_safe_print_string(out, "0x");
    skua_safe_print_digits(out, number, 16);
}

/* Writes what was appended and empties the buffer. Keeps errno. Gives up at the first error. */
static inline void skua_safe_print_write(struct skua_safe_print *out, int fd)
{
    int saved = errno;
    size_t done = 0;
    while (done < out->length) {
        ssize_t rc = write(fd, out->text + done, out->length - done);
        if (rc < 0 && errno == EINTR)
            continue;
        if (rc <= 0)
            break;
        done += (size_t)rc;
    }
    out->length = 0;
    errno = saved;
}

#endif /* SKUA_SRC_SAFE_PRINT_H */
