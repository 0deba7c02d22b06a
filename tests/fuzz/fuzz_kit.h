/*
 * fuzz_kit.h - what the programs in this folder share.
 *
 * Each is a target of libFuzzer, and without that a test. Run without arguments it mutates its own
 * seeds, the same way every time; arguments are inputs: files, or folders of them, as the corpus
 * is. To look for more, with libFuzzer: tools/fuzz. What it finds new is in build/fuzz/found; a
 * target run with "-merge=1" and an empty folder before those makes a corpus small again. Keep it
 * under 60 files and 100 KiB.
 */
#ifndef SKUA_TESTS_FUZZ_KIT_H
#define SKUA_TESTS_FUZZ_KIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FUZZ_INPUT_BYTES 4096u

struct fuzz_seed {
    const char *data;
    size_t size;
};

#define FUZZ_SEED(text)                                                                            \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }

/* Of a program: what it is fed with. */
struct fuzz_subject {
    const char *name;
    const struct fuzz_seed *seeds;
    size_t seed_count;
    const char *special; /* bytes that mean something to the parsers */
    size_t special_size;
    unsigned rounds;
    void (*check_seeds)(void); /* what refuses everything would pass all the other checks */
};

extern const struct fuzz_subject fuzz_subject;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void fuzz_check(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "fuzz: %s\n", what);
    abort();
}

/* A copy no larger than the input, so that a byte too far is seen; the caller frees it. */
static inline char *fuzz_copy(const uint8_t *data, size_t size)
{
    char *copy = malloc(size > 0 ? size : 1);
    fuzz_check(copy != NULL, "no memory");
    if (size > 0)
        memcpy(copy, data, size);
    return copy;
}

/* The same as a string: it ends at the first zero, or at the zero behind the input. */
static inline char *fuzz_string(const uint8_t *data, size_t size)
{
    size_t length = size > 0 ? strnlen((const char *)data, size) : 0;
    char *copy = malloc(length + 1);
    fuzz_check(copy != NULL, "no memory");
    if (length > 0)
        memcpy(copy, data, length);
    copy[length] = '\0';
    return copy;
}

#endif /* SKUA_TESTS_FUZZ_KIT_H */
