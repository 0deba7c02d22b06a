/*
 * sum_out.c - the printer task: shows slots in order, judges them under --check, draws progress.
 *
 * It alone writes to standard output and, while it runs, to standard error, so nothing needs a
 * lock. Standard output is written in pieces of whole lines of at most PIPE_BUF bytes, which a pipe
 * takes whole or not at all: an interrupted run leaves no part of a line behind (unless a single
 * line is longer). What is pending is written before any message, so that both streams into one
 * file stay in order, and after SUM_FLUSH_NS without a new line.
 *
 * Formats and messages are those of coreutils' digest programs and of xxhsum.
 */
#include "sum_out.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#define SUM_FLUSH_NS (100 * SKUA_NS_PER_MS)
#define SUM_RETRY_NS (SKUA_NS_PER_MS)

/* Writes everything to @fd; a descriptor that is set not to block is asked again. */
static int write_all(int fd, const char *bytes, size_t size)
{
    while (size) {
        ssize_t count = skua_write(fd, bytes, size);

        if (count == -EAGAIN) {
            count = skua_sleep(SUM_RETRY_NS);
            if (count == -ECANCELED)
                return -ECANCELED;
            continue;
        }
        if (count < 0)
            return (int)count;
        if (count == 0)
            return -EIO;
        bytes += count;
        size -= (size_t)count;
    }
    return 0;
}

static int flush(struct sum_out *out)
{
    int rc;

    if (!out->pending.size)
        return 0;
    skua_sum_report_clear(&out->report);
    rc = write_all(STDOUT_FILENO, out->pending.data, out->pending.size);
    skua_sum_text_clear(&out->pending);
    if (rc && rc != -ECANCELED)
        out->write_error = rc;
    return rc;
}

/* Adds the finished line to what is to be written. */
static int put_line(struct sum_out *out)
{
    int rc = 0;

    if (out->line.failed)
        return -ENOMEM;
    if (out->pending.size + out->line.size > PIPE_BUF)
        rc = flush(out);
    if (rc)
        return rc;
    skua_sum_text_put(&out->pending, skua_sum_text_string(&out->line), out->line.size);
    return out->pending.failed ? -ENOMEM : 0;
}

/* Starts a message to standard error: "skua-sum: ". */
static struct sum_text *message(struct sum_out *out)
{
    skua_sum_text_clear(&out->line);
    skua_sum_text_puts(&out->line, SUM_PROGRAM ": ");
    return &out->line;
}

/* Sends the message in out->line. */
static int put_message(struct sum_out *out)
{
    int rc = flush(out);

    if (rc)
        return rc;
    skua_sum_report_clear(&out->report);
    skua_sum_text_putc(&out->line, '\n');
    rc = write_all(STDERR_FILENO, skua_sum_text_string(&out->line), out->line.size);
    return rc == -ECANCELED ? rc : 0; /* nobody to tell that standard error fails */
}

static int put_failure(struct sum_out *out, const struct sum_slot *slot)
{
    struct sum_text *text = message(out);

    out->failed = true;
    skua_sum_text_quote(text, skua_sum_text_string(&slot->name));
    skua_sum_text_puts(text, ": ");
    skua_sum_text_error(text, slot->error);
    return put_message(out);
}

/* "SHA256 (name) = hex", or "hex  name". */
static int put_digest(struct sum_out *out, const struct sum_slot *slot)
{
    const struct sum_options *options = out->pipeline->options;
    const struct sum_digest *digest = out->pipeline->digest;
    const char *name = skua_sum_text_string(&slot->name);
    bool escape = !options->zero && !digest->xxhash && skua_sum_name_needs_escape(name);

    if (digest->xxhash && slot->standard_input)
        name = "stdin";
    skua_sum_text_clear(&out->line);
    if (escape)
        skua_sum_text_putc(&out->line, '\\');
    if (options->tag || digest->always_tagged) {
        skua_sum_text_puts(&out->line, digest->tag);
        if (digest->size != digest->size_max)
            skua_sum_text_printf(&out->line, "-%zu", 8 * digest->size);
        skua_sum_text_puts(&out->line, " (");
        skua_sum_text_name(&out->line, name, escape);
        skua_sum_text_puts(&out->line, ") = ");
        skua_sum_text_hex(&out->line, slot->digest, digest->size);
    } else {
        skua_sum_text_hex(&out->line, slot->digest, digest->size);
        skua_sum_text_puts(&out->line, options->binary && !digest->xxhash ? " *" : "  ");
        skua_sum_text_name(&out->line, name, escape);
    }
    skua_sum_text_putc(&out->line, options->zero ? 0 : '\n');
    return put_line(out);
}

static int put_verdict(struct sum_out *out, const struct sum_slot *slot, const char *verdict)
{
    const char *name = skua_sum_text_string(&slot->name);
    bool escape =
        strchr(name, '\n') != NULL; /* here, unlike above, a backslash alone is no cause */

    if (out->pipeline->options->status)
        return 0;
    skua_sum_text_clear(&out->line);
    if (escape)
        skua_sum_text_putc(&out->line, '\\');
    skua_sum_text_name(&out->line, name, escape);
    skua_sum_text_puts(&out->line, verdict);
    return put_line(out);
}

/* A file named in a checksum file. */
static int judge(struct sum_out *out, const struct sum_slot *slot)
{
    const struct sum_options *options = out->pipeline->options;

    if (slot->error) {
        int rc;

        if (slot->error == -ENOENT && options->ignore_missing)
            return 0;
        out->unreadable++;
        rc = put_failure(out, slot);
        return rc ? rc : put_verdict(out, slot, ": FAILED open or read\n");
    }
    if (memcmp(slot->digest, slot->expected, slot->expected_size) != 0) {
        out->mismatched++;
        out->failed = true;
        return put_verdict(out, slot, ": FAILED\n");
    }
    out->matched = true;
    return options->quiet ? 0 : put_verdict(out, slot, ": OK\n");
}

static int put_warning(struct sum_out *out, uint64_t count, const char *one, const char *many)
{
    if (!count)
        return 0;
    skua_sum_text_printf(message(out), "WARNING: %ju ", (uintmax_t)count);
    skua_sum_text_puts(&out->line, count == 1 ? one : many);
    return put_message(out);
}

/* "NAME: what", about the checksum file itself; the exit status is 1. */
static int put_complaint(struct sum_out *out, const struct sum_slot *slot, const char *what)
{
    struct sum_text *text = message(out);

    skua_sum_text_quote(text, skua_sum_text_string(&slot->name));
    skua_sum_text_puts(text, what);
    return put_message(out);
}

static int put_summary(struct sum_out *out, const struct sum_slot *slot)
{
    const struct sum_options *options = out->pipeline->options;
    int rc;

    if (slot->error)
        return put_complaint(out, slot, ": read error");
    if (!slot->lines_good)
        return put_complaint(out, slot, ": no properly formatted checksum lines found");
    if (options->status)
        return 0;
    rc = put_warning(out, slot->lines_bad, "line is improperly formatted",
                     "lines are improperly formatted");
    if (!rc)
        rc = put_warning(out, out->unreadable, "listed file could not be read",
                         "listed files could not be read");
    if (!rc)
        rc = put_warning(out, out->mismatched, "computed checksum did NOT match",
                         "computed checksums did NOT match");
    if (!rc && options->ignore_missing && !out->matched)
        rc = put_complaint(out, slot, ": no file was verified");
    return rc;
}

/* The end of a checksum file. */
static int conclude(struct sum_out *out, const struct sum_slot *slot)
{
    int rc = put_summary(out, slot);

    out->failed |= slot->error || !slot->lines_good || !out->matched || out->mismatched ||
                   out->unreadable || (out->pipeline->options->strict && slot->lines_bad);
    out->unreadable = out->mismatched = 0;
    out->matched = false;
    return rc;
}

static int show(struct sum_out *out, const struct sum_slot *slot)
{
    switch (slot->kind) {
    case SUM_FILE:
    case SUM_FAILED:
        out->files += !slot->error;
        if (slot->expected_size)
            return judge(out, slot);
        return slot->error ? put_failure(out, slot) : put_digest(out, slot);
    case SUM_NOTE:
        out->failed |= slot->error != 0;
        if (out->pipeline->options->status && !slot->error)
            return 0;
        skua_sum_text_put(message(out), skua_sum_text_string(&slot->name), slot->name.size);
        return put_message(out);
    case SUM_CHECK_END:
        return conclude(out, slot);
    }
    assert(false);
    return -EINVAL;
}

/* Waits for slot @sequence; meanwhile writes what is pending and draws progress. */
static int next_slot(struct sum_out *out, uint64_t sequence, struct sum_slot **slot)
{
    for (;;) {
        uint64_t deadline_ns = skua_sum_report_deadline(&out->report);
        int rc;

        if (out->pending.size && deadline_ns > skua_after(SUM_FLUSH_NS))
            deadline_ns = skua_after(SUM_FLUSH_NS);
        rc = skua_sum_slot_wait(out->pipeline, sequence, deadline_ns, slot);
        if (rc == -ETIMEDOUT) {
            rc = flush(out);
            if (rc)
                return rc;
            skua_sum_report_draw(&out->report, out->files);
            continue;
        }
        return rc;
    }
}

intptr_t skua_sum_out_run(void *arg)
{
    struct sum_out *out = arg;
    struct sum_slot *slot;
    uint64_t sequence = 0;
    int rc;

    while ((rc = next_slot(out, sequence, &slot)) > 0) {
        rc = show(out, slot);
        if (rc)
            break;
        sequence++;
        skua_sum_slot_release(out->pipeline, sequence);
        skua_sum_report_tick(&out->report, out->files);
    }
    if (!rc)
        rc = flush(out);
    skua_sum_report_clear(&out->report);
    return rc;
}

void skua_sum_out_fini(struct sum_out *out)
{
    skua_sum_text_fini(&out->pending);
    skua_sum_text_fini(&out->line);
}
