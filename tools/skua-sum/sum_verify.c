/*
 * sum_verify.c - the producer of --check: reads checksum files and puts what they name into the
 * pipeline, with the digest that is expected.
 *
 * One task. The verdicts and the summary at the end of each file are the printer's, because it sees
 * everything in order.
 */
#include "sum_pipeline.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sum_line.h"
#include "sum_names.h"

#define SUM_LINE_MAX ((size_t)1 << 18) /* longer than any name can make a line */
#define SUM_READ_SIZE ((size_t)1 << 15)

struct reader {
    struct sum_pipeline *pipeline;
    const char *name; /* of the checksum file, as messages show it */
    struct sum_text line;
    enum sum_spacing spacing;
    bool too_long;       /* the line is over the limit: the rest of it is skipped */
    bool standard_input; /* the list is */
    bool seen_stdin;     /* some file was */
    uint64_t line_number;
    uint64_t lines_good;
    uint64_t lines_bad;
};

/* Sends a message down the pipeline; @error says whether the exit status knows of it. */
static int put_note(struct sum_pipeline *pipeline, const struct sum_text *text, int error)
{
    struct sum_slot *slot;
    int rc = skua_sum_slot_take(pipeline, &slot);

    if (rc)
        return rc;
    slot->kind = SUM_NOTE;
    slot->error = error;
    skua_sum_text_put(&slot->name, skua_sum_text_string(text), text->size);
    skua_sum_slot_publish(pipeline);
    return 0;
}

static int bad_line(struct reader *reader, const char *why)
{
    struct sum_text text = {0};
    int rc;

    reader->lines_bad++;
    skua_sum_text_quote(&text, reader->name);
    skua_sum_text_printf(&text, ": %ju: ", (uintmax_t)reader->line_number);
    skua_sum_text_puts(&text, why);
    rc = put_note(reader->pipeline, &text, 0);
    skua_sum_text_fini(&text);
    return rc;
}

static int improper_line(struct reader *reader)
{
    char why[64] = "improperly formatted ";

    if (!reader->pipeline->options->warn) {
        reader->lines_bad++;
        return 0;
    }
    strncat(why, reader->pipeline->digest->tag, 16);
    strncat(why, " checksum line", 16);
    return bad_line(reader, why);
}

/* Deals with a line that is complete. */
static int take_line(struct reader *reader)
{
    struct sum_pipeline *pipeline = reader->pipeline;
    const struct sum_digest *digest = pipeline->digest;
    struct sum_text *text = &reader->line;
    struct sum_slot *slot;
    struct sum_line line;
    int rc;

    reader->line_number++;
    if (text->failed)
        return -ENOMEM;
    if (!text->size || text->data[0] == '#')
        return 0;
    if (text->data[text->size - 1] == '\r')
        text->data[--text->size] = 0;
    if (!text->size)
        return 0;
    if (reader->too_long ||
        !skua_sum_line_parse(digest, text->data, text->size, &reader->spacing, &line))
        return improper_line(reader);
    if (line.digest_size != digest->size_max && !digest->resizable)
        return bad_line(reader, "this OpenSSL makes BLAKE2b of 512 bits only");
    /* "-" in a list that itself comes from standard input would eat the list. */
    if (reader->standard_input && skua_sum_names_stdin(pipeline, line.name))
        return improper_line(reader);
    rc = skua_sum_names_put(pipeline, line.name, &reader->seen_stdin, &slot);
    if (rc)
        return rc;
    slot->binary = line.binary;
    slot->digest_size = slot->expected_size = line.digest_size;
    memcpy(slot->expected, line.digest, line.digest_size);
    skua_sum_slot_publish(pipeline);
    reader->lines_good++;
    return 0;
}

static int take_bytes(struct reader *reader, const char *bytes, size_t size)
{
    while (size) {
        const char *newline = memchr(bytes, '\n', size);
        size_t part = newline ? (size_t)(newline - bytes) : size;
        int rc;

        reader->too_long |= reader->line.size + part > SUM_LINE_MAX;
        if (!reader->too_long)
            skua_sum_text_put(&reader->line, bytes, part);
        if (!newline)
            return 0;
        rc = take_line(reader);
        if (rc)
            return rc;
        skua_sum_text_clear(&reader->line);
        reader->too_long = false;
        bytes += part + 1;
        size -= part + 1;
    }
    return 0;
}

/* Reads the checksum file @fd. An error of the file itself is left in *@error. */
static int read_lines(struct reader *reader, int fd, int *error)
{
    char *buffer = malloc(SUM_READ_SIZE);
    ssize_t count = 0;
    int rc = buffer ? 0 : -ENOMEM;

    while (!rc && (count = skua_read(fd, buffer, SUM_READ_SIZE)) > 0)
        rc = take_bytes(reader, buffer, (size_t)count);
    free(buffer);
    if (rc || count == -ECANCELED)
        return rc ? rc : -ECANCELED;
    *error = (int)count;
    if (reader->line.size || reader->too_long)
        return take_line(reader);
    return 0;
}

/* Listings and look-ups go to the blocking executor, unless the list itself may keep us waiting. */
static void choose_place(int fd)
{
    struct stat st;

    if (!fstat(fd, &st) && S_ISREG(st.st_mode))
        (void)skua_hop(NULL);
    else
        (void)skua_hop_back();
}

static int open_failed(struct sum_pipeline *pipeline, const char *name, int error)
{
    struct sum_text text = {0};
    int rc;

    skua_sum_text_quote(&text, name);
    skua_sum_text_puts(&text, ": ");
    skua_sum_text_error(&text, error);
    rc = put_note(pipeline, &text, error);
    skua_sum_text_fini(&text);
    return rc;
}

static int verify_list(struct reader *reader, const char *name)
{
    struct sum_pipeline *pipeline = reader->pipeline;
    bool standard_input = !strcmp(name, "-");
    struct sum_slot *slot = NULL;
    int fd = standard_input ? STDIN_FILENO : skua_open(name, O_RDONLY | O_NOCTTY, 0);
    int error = 0;
    int rc;

    if (fd < 0)
        return fd == -ECANCELED ? fd : open_failed(pipeline, name, fd);
    reader->standard_input = standard_input;
    reader->name = standard_input ? "standard input" : name;
    reader->line_number = reader->lines_good = reader->lines_bad = 0;
    skua_sum_text_clear(&reader->line);
    reader->too_long = false;
    choose_place(fd);
    rc = read_lines(reader, fd, &error);
    if (!standard_input)
        (void)skua_close(fd);
    if (!rc)
        rc = skua_sum_slot_take(pipeline, &slot);
    if (rc)
        return rc;
    slot->kind = SUM_CHECK_END;
    slot->error = error;
    slot->lines_good = reader->lines_good;
    slot->lines_bad = reader->lines_bad;
    skua_sum_text_puts(&slot->name, reader->name);
    skua_sum_slot_publish(pipeline);
    return 0;
}

intptr_t skua_sum_verify_run(void *arg)
{
    struct sum_pipeline *pipeline = arg;
    struct reader reader = {.pipeline = pipeline};
    int rc = 0;

    for (int i = 0; i < pipeline->options->name_count && !rc; i++)
        rc = verify_list(&reader, pipeline->options->names[i]);
    skua_sum_text_fini(&reader.line);
    skua_sum_pipeline_close(pipeline);
    (void)skua_hop_back();
    return rc;
}
