/*
 * stream_read_fuzz.c - reading calls of skua/stream.h over a transport that gives bytes in pieces.
 *
 * An input is options, a script and bytes; the script says which calls are made, how large the
 * pieces are, and when the transport fails in a way that passes. Beside what sanitizers see, every
 * call must return what the documentation says of these bytes, whatever the pieces: a plain model
 * knows all of them. A call that fails has consumed nothing.
 */
#include "fuzz_kit.h"

#include <errno.h>
#include <skua/stream.h>

#define HEAD_BYTES 3u
#define SIZE_MAX_BYTES 64u /* of buffers, limits and calls */

struct model {
    skua_stream *stream;
    const char *bytes;
    size_t size;
    size_t given; /* by the transport */
    size_t at;    /* consumed */
    size_t limit;
    size_t buffer;
    const uint8_t *script;
    size_t script_size;
    size_t script_at;
};

/* The next byte of the script, which begins again when it is over. */
static unsigned next(struct model *model)
{
    if (model->script_size == 0)
        return 0;
    return model->script[model->script_at++ % model->script_size];
}

/* ---- the transport --------------------------------------------------------------------------- */

static ssize_t give(void *user, const struct iovec *iov, unsigned count)
{
    struct model *model = user;
    unsigned word = next(model);
    size_t piece = 1 + word % 16, done = 0;
    if (word >= 0xf0 && model->script_at <= model->script_size)
        return word % 2 == 0 ? -ECANCELED : -ETIMEDOUT;
    for (unsigned i = 0; i < count; i++) {
        size_t part = model->size - model->given;
        part = part < iov[i].iov_len ? part : iov[i].iov_len;
        part = part < piece - done ? part : piece - done;
        if (part > 0)
            memcpy(iov[i].iov_base, model->bytes + model->given, part);
        model->given += part;
        done += part;
    }
    return (ssize_t)done;
}

static const skua_stream_transport transport = {.readv = give};

/* ---- the model ------------------------------------------------------------------------------- */

static bool passes(ssize_t n)
{
    return n == -ECANCELED || n == -ETIMEDOUT;
}

static size_t left(const struct model *model)
{
    return model->size - model->at;
}

static void took(struct model *model, const void *data, size_t size)
{
    fuzz_check(size <= left(model), "bytes from nowhere");
    fuzz_check(size == 0 || memcmp(data, model->bytes + model->at, size) == 0, "other bytes");
    model->at += size;
}

/* What a call for @separator must return; @rest: if there is none before the end. */
static ssize_t expected(const struct model *model, const char *separator, size_t size, ssize_t rest)
{
    const char *from = model->bytes + model->at;
    const char *found = left(model) > 0 ? memmem(from, left(model), separator, size) : NULL;
    size_t needed = found == NULL ? left(model) + 1 : (size_t)(found - from) + size;
    if (needed > model->limit)
        return -EMSGSIZE;
    if (found != NULL)
        return (ssize_t)needed;
    return left(model) == 0 ? 0 : rest;
}

/* ---- calls ----------------------------------------------------------------------------------- */

static void do_read(struct model *model, size_t size)
{
    char got[SIZE_MAX_BYTES * 4];
    ssize_t n = skua_stream_read(model->stream, got, size);
    if (passes(n))
        return;
    fuzz_check(n >= 0 && (size_t)n <= size, "a read of the wrong size");
    fuzz_check(n > 0 || size == 0 || left(model) == 0, "an end too early");
    took(model, got, (size_t)n);
}

static void do_read_exactly(struct model *model, size_t size)
{
    char got[SIZE_MAX_BYTES * 4];
    ssize_t n = skua_stream_read_exactly(model->stream, got, size);
    if (passes(n))
        return;
    fuzz_check(n == (ssize_t)(size < left(model) ? size : left(model)), "not exactly");
    took(model, got, (size_t)n);
}

static void do_read_until(struct model *model, size_t which)
{
    /* Those of which a part may be found before the whole, too. */
    static const char *const separators[] = {"\n", "\r\n", "ab", "aba", "aab", "x\0y", "\r\n\r\n"};
    static const size_t sizes[] = {1, 2, 2, 3, 3, 3, 4};
    const char *separator = separators[which % 7];
    size_t size = sizes[which % 7];
    const void *data = NULL;
    ssize_t n = skua_stream_read_until(model->stream, separator, size, &data);
    if (passes(n))
        return;
    fuzz_check(n == expected(model, separator, size, -ENODATA), "another separator");
    fuzz_check((n > 0) == (data != NULL), "data without bytes");
    if (n > 0)
        took(model, data, (size_t)n);
}

static void do_read_line(struct model *model)
{
    const char *line = NULL;
    ssize_t n = skua_stream_read_line(model->stream, &line);
    if (passes(n))
        return;
    fuzz_check(n == expected(model, "\n", 1, (ssize_t)left(model)), "another line");
    if (n > 0)
        took(model, line, (size_t)n);
}

static void do_next_line(struct model *model)
{
    char *line = NULL;
    size_t length = 0;
    int rc = skua_stream_next_line(model->stream, &line, &length);
    if (passes(rc))
        return;
    ssize_t whole = expected(model, "\n", 1, (ssize_t)left(model));
    fuzz_check(rc == (whole > 0 ? 1 : (int)whole), "another line");
    if (rc <= 0)
        return;
    const char *text = model->bytes + model->at;
    size_t size = (size_t)whole;
    if (text[size - 1] == '\n') {
        size--;
        size -= size > 0 && text[size - 1] == '\r';
    }
    fuzz_check(length == size && line[length] == '\0', "a line of another length");
    took(model, line, length);
    model->at += (size_t)whole - length;
}

static void do_peek(struct model *model, size_t min)
{
    const void *data = NULL;
    ssize_t n = skua_stream_peek(model->stream, min, &data);
    if (passes(n))
        return;
    if (min > model->limit && min > model->buffer) {
        fuzz_check(n == -EMSGSIZE, "a look too far");
        return;
    }
    fuzz_check(n >= 0 && (size_t)n <= left(model), "a look beyond the end");
    fuzz_check((size_t)n >= min || (size_t)n == left(model), "too little to see");
    fuzz_check(n == 0 || memcmp(data, model->bytes + model->at, (size_t)n) == 0, "other bytes");
}

static void do_consume(struct model *model, size_t size)
{
    ssize_t held = skua_stream_peek(model->stream, 0, NULL);
    fuzz_check(held >= 0, "a look that does not wait fails");
    size_t part = size < (size_t)held ? size : (size_t)held;
    fuzz_check(skua_stream_consume(model->stream, (size_t)held + 1) == -EINVAL, "too much");
    fuzz_check(skua_stream_consume(model->stream, part) == 0, "not consumed");
    model->at += part;
}

static void step(struct model *model)
{
    unsigned word = next(model);
    size_t size = next(model) % (3 * SIZE_MAX_BYTES);
    switch (word % 7) {
    case 0:
        do_read(model, size);
        return;
    case 1:
        do_read_exactly(model, size);
        return;
    case 2:
        do_read_until(model, size);
        return;
    case 3:
        do_read_line(model);
        return;
    case 4:
        do_next_line(model);
        return;
    case 5:
        do_peek(model, size);
        return;
    default:
        do_consume(model, size);
        return;
    }
}

/* After a script without an end, what is left is read; then it is over. */
static void finish(struct model *model)
{
    char byte;
    while (left(model) > 0)
        do_read(model, SIZE_MAX_BYTES);
    ssize_t n;
    do {
        n = skua_stream_read(model->stream, &byte, 1);
    } while (passes(n));
    fuzz_check(n == 0 && skua_stream_at_eof(model->stream), "no end");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD_BYTES || size > FUZZ_INPUT_BYTES)
        return 0;
    skua_stream_options options = {
        .read_buffer_bytes = 1 + data[0] % SIZE_MAX_BYTES,
        .limit_bytes = 1 + data[1] % SIZE_MAX_BYTES,
        .flags = data[0] >= 0x80 ? SKUA_STREAM_LEAN : 0,
    };
    size_t script_size = data[2] < size - HEAD_BYTES ? data[2] : size - HEAD_BYTES;
    char *bytes = fuzz_copy(data + HEAD_BYTES + script_size, size - HEAD_BYTES - script_size);
    struct model model = {.bytes = bytes,
                          .size = size - HEAD_BYTES - script_size,
                          .limit = options.limit_bytes,
                          .buffer = options.read_buffer_bytes,
                          .script = data + HEAD_BYTES,
                          .script_size = script_size};
    fuzz_check(skua_stream_open_over(&transport, &model, &options, &model.stream) == 0,
               "no stream");
    for (size_t i = 0; i < script_size; i++)
        step(&model);
    finish(&model);
    fuzz_check(skua_stream_close(model.stream) == 0, "it does not close");
    free(bytes);
    return 0;
}

/* ---- seeds ----------------------------------------------------------------------------------- */

#define TEXT "GET / HTTP/1.1\r\nHost: a\r\n\r\nabaabaab\nx\0y\r\r\n\nlast"

static const struct fuzz_seed seeds[] = {
    FUZZ_SEED("\x10\x3f\x06\x03\x01\x02\x04\x03\x01\x0b" TEXT),
    FUZZ_SEED("\x01\x3f\x08\x02\x06\x0f\x02\x06\x00\x02\x03\xf0" TEXT TEXT),
    FUZZ_SEED("\x88\x07\x0a\x05\x04\x0f\x06\x02\x00\x05\x40\x01\x02\x21" TEXT),
    FUZZ_SEED("\x20\x10\x0c\x01\x30\xf1\x01\x70\x02\x00\x21\x05\x02\x03\x01\x04" TEXT TEXT),
    FUZZ_SEED("\x00\x00\x02\x03\x03\n\n\n"),
};

static void check_seeds(void)
{
}

static const char special[] = "\r\nabxy\0\x01\x02\x03\x04\x05\x06\x3f\x40\x80\xf0\xff";

const struct fuzz_subject fuzz_subject = {
    .name = "stream_read_fuzz",
    .seeds = seeds,
    .seed_count = sizeof(seeds) / sizeof(seeds[0]),
    .special = special,
    .special_size = sizeof(special) - 1,
    .rounds = 20000,
    .check_seeds = check_seeds,
};
