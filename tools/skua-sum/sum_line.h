/*
 * sum_line.h - the lines of checksum files.
 */
#ifndef SKUA_SUM_LINE_H
#define SKUA_SUM_LINE_H

#include <stdbool.h>
#include <stddef.h>

#include "sum_digest.h"

struct sum_line {
    const char *name; /* in the line's own memory */
    unsigned char digest[SUM_DIGEST_SIZE_MAX];
    size_t digest_size;
    bool binary;
};

/* Whether untagged lines have one space or two before the name: whatever the first one has. */
enum sum_spacing { SUM_SPACING_UNKNOWN, SUM_SPACING_TWO, SUM_SPACING_ONE };

/*
 * Takes @line (@size bytes and a terminator, without the newline) apart, in place.
 * Returns false if it is not a line of @digest's algorithm.
 */
bool skua_sum_line_parse(const struct sum_digest *digest, char *line, size_t size,
                         enum sum_spacing *spacing, struct sum_line *result);

#endif /* SKUA_SUM_LINE_H */
