/*
 * io/stream.c - streams: opening, closing, buffers, and the one place where they wait.
 *
 * A wait with a timeout, on a worker, is a scope with a deadline around the transport's call: that
 * works for transports that know nothing of time. Elsewhere a scope ends no system call, so there
 * the transport of descriptors polls until the deadline first (stream_fd.c).
 *
 * Must stay true: bytes that have been moved beat the timeout and the cancel.
 */
#include "base/alloc.h"
#include "io/stream_impl.h"

#include <skua/scope.h>
#include <skua/time.h>

#include "base/compiler.h"
#include "sched/worker.h"

#include <stdlib.h>
#include <string.h>

#define BUFFER_BYTES ((size_t)16 << 10)
#define LIMIT_BYTES ((size_t)64 << 10)
#define FLAGS_KNOWN (SKUA_STREAM_KEEP_FDS | SKUA_STREAM_LEAN)

/* ---- buffers --------------------------------------------------------------------------------- */

int skua_stream_reserve(struct skua_stream_side *side, size_t total)
{
    if (side->capacity - side->start >= total)
        return 0;
    size_t held = skua_stream_held(side);
    if (side->capacity < total) {
        char *data = skua_realloc(side->data, total + 1);
        if (data == NULL)
            return -ENOMEM;
        side->data = data;
        side->capacity = total;
    }
    if (held > 0)
        memmove(side->data, side->data + side->start, held);
    side->start = 0;
    side->end = held;
    return 0;
}

void skua_stream_shrink(struct skua_stream_side *side, size_t keep_bytes)
{
    if (skua_stream_held(side) > 0 || side->capacity <= keep_bytes)
        return;
    free(side->data);
    side->data = NULL;
    side->start = side->end = side->capacity = 0;
}

/* ---- waits ----------------------------------------------------------------------------------- */

bool skua_stream_on_worker(void)
{
    const struct skua_thread *thread = skua_thread_self();
    return thread != NULL && thread->worker != NULL;
}

bool skua_stream_timed_by_poll(const struct skua_stream_side *side)
{
    return side->deadline_ns != SKUA_FOREVER && !skua_stream_on_worker();
}

typedef ssize_t transfer_fn(void *user, const struct iovec *iov, unsigned count);

/* @transfer with the timeout of the call, which begins with its first wait. */
static ssize_t timed(skua_stream *stream, struct skua_stream_side *side, uint64_t timeout_ns,
                     transfer_fn *transfer, const struct iovec *iov, unsigned count)
{
    if (side->deadline_ns == 0)
        side->deadline_ns = timeout_ns == 0 ? SKUA_FOREVER : skua_after(timeout_ns);
    else if (side->deadline_ns != SKUA_FOREVER && skua_now() >= side->deadline_ns)
        return -ETIMEDOUT;
    if (side->deadline_ns == SKUA_FOREVER || skua_stream_timed_by_poll(side))
        return transfer(stream->user, iov, count);
    skua_scope scope;
    skua_scope_options options = {.deadline_ns = side->deadline_ns, .name = "timeout of a stream"};
    int rc = skua_scope_open(&scope, &options);
    if (rc < 0)
        return rc;
    ssize_t moved = transfer(stream->user, iov, count);
    rc = skua_scope_close(&scope);
    return moved == -ECANCELED && rc == -ETIMEDOUT ? -ETIMEDOUT : moved;
}

/* What may be otherwise at the next call, the descriptor being as good as before. */
static bool is_passing(ssize_t error)
{
    return error == -ECANCELED || error == -ETIMEDOUT || error == -ENOMEM || error == -ENOBUFS ||
           error == -ECHILD;
}

static ssize_t keep_error(struct skua_stream_side *side, ssize_t result)
{
    if (result < 0 && !is_passing(result))
        side->error = (int)result;
    return result;
}

static ssize_t await_input(void *user, const struct iovec *iov, unsigned count)
{
    (void)iov;
    (void)count;
    return skua_stream_fd_await_input(user);
}

ssize_t skua_stream_raw_read(skua_stream *stream, const struct iovec *iov, unsigned count)
{
    struct skua_stream_side *side = &stream->reader;
    skua_assert(count > 0 && iov[0].iov_len > 0);
    if (side->error < 0)
        return side->error;
    if (side->has_ended)
        return 0;
    if (stream->transport->readv == NULL)
        return -EBADF;
    ssize_t result =
        timed(stream, side, stream->options.read_timeout_ns, stream->transport->readv, iov, count);
    side->has_ended = result == 0;
    return keep_error(side, result);
}

int skua_stream_await_input(skua_stream *stream)
{
    struct skua_stream_side *side = &stream->reader;
    if (side->error < 0 || side->has_ended)
        return 0; /* the read will tell */
    return (int)keep_error(
        side, timed(stream, side, stream->options.read_timeout_ns, await_input, NULL, 0));
}

ssize_t skua_stream_raw_write(skua_stream *stream, const struct iovec *iov, unsigned count)
{
    struct skua_stream_side *side = &stream->writer;
    skua_assert(count > 0);
    if (side->error < 0)
        return side->error;
    if (stream->transport->writev == NULL)
        return -EBADF;
    ssize_t result = timed(stream, side, stream->options.write_timeout_ns,
                           stream->transport->writev, iov, count);
    if (result == 0)
        result = -EIO; /* no progress and no reason: going on could last for ever */
    return keep_error(side, result);
}

/* ---- open and close -------------------------------------------------------------------------- */

static bool is_valid(const skua_stream_options *options)
{
    if ((options->flags & ~FLAGS_KNOWN) != 0 || options->reserved_flags != 0 ||
        options->read_buffer_bytes > INT32_MAX || options->write_buffer_bytes > INT32_MAX ||
        options->limit_bytes > INT32_MAX)
        return false;
    for (size_t i = 0; i < sizeof(options->reserved) / sizeof(options->reserved[0]); i++) {
        if (options->reserved[i] != 0)
            return false;
    }
    return true;
}

static int set_options(skua_stream *stream, const skua_stream_options *given)
{
    skua_stream_options *options = &stream->options;
    if (given != NULL) {
        if (!is_valid(given))
            return -EINVAL;
        *options = *given;
    }
    if (options->read_buffer_bytes == 0)
        options->read_buffer_bytes = BUFFER_BYTES;
    if (options->write_buffer_bytes == 0)
        options->write_buffer_bytes = BUFFER_BYTES;
    if (options->low_water_bytes == 0)
        options->low_water_bytes = options->write_buffer_bytes / 4;
    if (options->limit_bytes == 0)
        options->limit_bytes = LIMIT_BYTES;
    return options->low_water_bytes <= options->write_buffer_bytes ? 0 : -EINVAL;
}

static int create(const skua_stream_options *options, skua_stream **out)
{
    const struct skua_thread *thread = skua_thread_self();
    if (thread != NULL && thread->forked)
        return -ECHILD;
    skua_stream *stream = skua_calloc(1, sizeof(*stream));
    if (stream == NULL)
        return -ENOMEM;
    stream->read_fd = stream->write_fd = -1;
    int rc = set_options(stream, options);
    if (rc < 0)
        free(stream);
    else
        *out = stream;
    return rc;
}

int skua_stream_open(int read_fd, int write_fd, const skua_stream_options *options,
                     skua_stream **out)
{
    skua_stream *stream;
    if (out == NULL)
        return -EINVAL;
    int rc = create(options, &stream);
    if (rc < 0)
        return rc;
    stream->transport = &skua_stream_fd_transport;
    stream->user = stream;
    stream->read_fd = read_fd;
    stream->write_fd = write_fd;
    rc = skua_stream_fd_examine(stream);
    if (rc < 0)
        free(stream);
    else
        *out = stream;
    return rc;
}

int skua_stream_open_over(const skua_stream_transport *transport, void *user,
                          const skua_stream_options *options, skua_stream **out)
{
    if (transport == NULL || out == NULL)
        return -EINVAL;
    int rc = create(options, out);
    if (rc < 0)
        return rc;
    (*out)->transport = transport;
    (*out)->user = user;
    return 0;
}

/* Enters both sides, or neither. */
static bool enter_both(skua_stream *stream)
{
    if (!skua_stream_enter(&stream->reader))
        return false;
    if (skua_stream_enter(&stream->writer))
        return true;
    skua_stream_leave(&stream->reader);
    return false;
}

static int destroy(skua_stream *stream, bool is_whole)
{
    const skua_stream_transport *transport = stream->transport;
    bool aborts = !is_whole && transport->abort != NULL;
    int (*end)(void *user) = aborts ? transport->abort : transport->close;
    int rc = end != NULL ? end(stream->user) : 0;
    free(stream->reader.data);
    free(stream->writer.data);
    free(stream);
    return rc;
}

int skua_stream_close(skua_stream *stream)
{
    if (stream == NULL)
        return 0;
    if (!enter_both(stream))
        return -EBUSY;
    int flushed = skua_stream_drain(stream);
    int closed = destroy(stream, flushed == 0);
    return flushed < 0 ? flushed : closed;
}

int skua_stream_abort(skua_stream *stream)
{
    if (stream == NULL)
        return 0;
    return enter_both(stream) ? destroy(stream, false) : -EBUSY;
}
