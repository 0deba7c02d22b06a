/*
 * crawl_out.c - see crawl_out.h.
 *
 * The writer alone writes to the output and, while it runs, to standard error, so nothing needs a
 * lock. What is there is written at once, in pieces of whole lines of at most PIPE_BUF bytes, which
 * a pipe takes whole or not at all: an interrupted run leaves no part of a line behind (unless a
 * single line is longer). After an error lines are thrown away: nobody waits for the writer.
 */
#include "crawl_out.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINES_CAPACITY 64u
#define DRAW_NS (200 * SKUA_NS_PER_MS)
#define AGAIN_NS SKUA_NS_PER_MS /* until a descriptor that is set not to block is asked again */

int skua_crawl_out_open(struct crawl_out *out, const struct crawl_options *options,
                        const struct crawl_counters *counters, skua_event *stop)
{
    *out = (struct crawl_out){.counters = counters, .stop = stop, .fd = STDOUT_FILENO};
    out->start_ns = skua_now();
    out->draw_ns = out->start_ns + DRAW_NS;
    out->progress = !options->quiet && isatty(STDERR_FILENO) == 1;
    out->lines = skua_channel_create(sizeof(struct crawl_text), LINES_CAPACITY);
    if (out->lines == NULL)
        return -ENOMEM;
    if (options->output != NULL)
        out->fd = open(options->output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0644);
    if (out->fd >= 0)
        return 0;
    int rc = -errno;
    skua_channel_unref(out->lines);
    return rc;
}

int skua_crawl_out_error(const struct crawl_out *out)
{
    /* Relaxed: a number and nothing beside it. */
    return atomic_load_explicit(&out->error, memory_order_relaxed);
}

static void set_error(struct crawl_out *out, int error)
{
    /* Relaxed, as above. */
    if (skua_crawl_out_error(out) == 0)
        atomic_store_explicit(&out->error, error, memory_order_relaxed);
}

int skua_crawl_out_close(struct crawl_out *out)
{
    struct crawl_text line;
    while (skua_channel_try_recv(out->lines, &line) == 0)
        skua_crawl_text_fini(&line);
    skua_channel_unref(out->lines);
    skua_crawl_text_fini(&out->pending);
    /* Some errors come only now. A standard output that was never there is no error here. */
    if (close(out->fd) != 0 && errno != EBADF)
        set_error(out, -errno);
    return skua_crawl_out_error(out);
}

/* ---- progress -------------------------------------------------------------------------------- */

/* Relaxed: numbers for people. */
static uint64_t count(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void clear_progress(struct crawl_out *out)
{
    if (out->shown)
        (void)skua_write(STDERR_FILENO, "\r\033[K", 4); /* a progress line less, if it fails */
    out->shown = false;
}

static void draw_progress(struct crawl_out *out)
{
    const struct crawl_counters *counters = out->counters;
    char line[192];
    uint64_t fetched = count(&counters->fetched), failed = count(&counters->failed);
    uint64_t ended = fetched + failed + count(&counters->disallowed);
    uint64_t accepted = count(&counters->accepted);
    int size = snprintf(line, sizeof(line),
                        "\r%" PRIu64 " fetched, %" PRIu64 " failed, %" PRIu64 " left, %" PRIu64
                        " transfers, %.1f MB\033[K",
                        fetched, failed, accepted > ended ? accepted - ended : 0,
                        count(&counters->running), (double)count(&counters->bytes) / 1e6);
    (void)skua_write(STDERR_FILENO, line, (size_t)size);
    out->shown = true;
    out->draw_ns = skua_after(DRAW_NS);
}

/* ---- writing --------------------------------------------------------------------------------- */

static int write_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t n = skua_write(fd, bytes, size);
        if (n == -EAGAIN) {
            int rc = skua_sleep(AGAIN_NS);
            if (rc < 0)
                return rc;
            continue;
        }
        if (n <= 0)
            return n == 0 ? -EIO : (int)n;
        bytes += n;
        size -= (size_t)n;
    }
    return 0;
}

static void flush(struct crawl_out *out)
{
    if (out->pending.size > 0 && skua_crawl_out_error(out) == 0) {
        clear_progress(out);
        int rc = write_all(out->fd, out->pending.data, out->pending.size);
        if (rc < 0) {
            set_error(out, rc);
            (void)skua_event_set(out->stop);
        }
    }
    out->pending.size = 0;
}

static void add(struct crawl_out *out, struct crawl_text *line)
{
    if (out->pending.size + line->size > PIPE_BUF)
        flush(out);
    skua_crawl_text_put(&out->pending, line->data, line->size);
    if (line->failed || out->pending.failed) {
        set_error(out, -ENOMEM);
        (void)skua_event_set(out->stop);
    }
    skua_crawl_text_fini(line);
}

intptr_t skua_crawl_out_run(void *arg)
{
    struct crawl_out *out = arg;
    struct crawl_text line;
    for (;;) {
        uint64_t deadline_ns = out->progress ? out->draw_ns : SKUA_FOREVER;
        int rc = skua_channel_recv_until(out->lines, &line, deadline_ns);
        while (rc == 0) {
            add(out, &line);
            rc = skua_channel_try_recv(out->lines, &line);
        }
        flush(out);
        if (rc == -EPIPE || rc == -ECANCELED)
            break;
        if (out->progress && skua_now() >= out->draw_ns)
            draw_progress(out);
    }
    clear_progress(out);
    return 0;
}

void skua_crawl_out_put(struct crawl_out *out, struct crawl_text *line)
{
    if (skua_channel_send(out->lines, line) < 0)
        skua_crawl_text_fini(line);
    *line = (struct crawl_text){0};
}
