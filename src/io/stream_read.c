/*
 * io/stream_read.c - the calls of skua/stream.h that read.
 *
 * Must stay true: a call that fails has consumed nothing. Most fill the buffer until it has what
 * they want, and consume at the end; skua_stream_read_exactly() of much reads into the caller's
 * memory, and puts that back if it fails, into room that it has reserved before it reads.
 */
#include "io/stream_impl.h"

#include "base/compiler.h"

#include <string.h>

/* What the buffer holds at most, but for a large skua_stream_read_exactly() that was put back. */
static size_t held_max(const skua_stream *stream)
{
    return skua_max(stream->options.limit_bytes, stream->options.read_buffer_bytes);
}

/* Begins a reading call: buffers that the last one's result was in may go now. */
static int begin(skua_stream *stream)
{
    if (!skua_stream_enter(&stream->reader))
        return -EBUSY;
    bool is_lean = (stream->options.flags & SKUA_STREAM_LEAN) != 0;
    skua_stream_shrink(&stream->reader, is_lean ? 0 : stream->options.read_buffer_bytes);
    return 0;
}

static void consume_to(struct skua_stream_side *side, void *buffer, size_t size)
{
    if (size > 0)
        memcpy(buffer, side->data + side->start, size);
    skua_stream_drop(side, size);
}

/* Before a read into an empty buffer: a lean stream waits without one. 0 or -errno. */
static int await_first(skua_stream *stream)
{
    bool is_lean = (stream->options.flags & SKUA_STREAM_LEAN) != 0;
    if (!is_lean || skua_stream_held(&stream->reader) > 0 || !skua_stream_is_over_fds(stream))
        return 0;
    skua_stream_shrink(&stream->reader, 0);
    return skua_stream_await_input(stream);
}

/*
 * Reads once into the buffer, which has then room for @total bytes at least. The number of new
 * bytes; 0 at the end; -errno.
 */
static ssize_t read_more(skua_stream *stream, size_t total)
{
    struct skua_stream_side *side = &stream->reader;
    int rc = await_first(stream);
    if (rc == 0)
        rc = skua_stream_reserve(side, skua_max(total, stream->options.read_buffer_bytes));
    if (rc < 0)
        return rc;
    struct iovec iov = {.iov_base = side->data + side->end, .iov_len = side->capacity - side->end};
    ssize_t result = skua_stream_raw_read(stream, &iov, 1);
    if (result > 0)
        side->end += (size_t)result;
    return result;
}

ssize_t skua_stream_fill(skua_stream *stream)
{
    return read_more(stream, 0);
}

/* Fills the buffer until it has @min bytes or the stream has ended. 0 or -errno. */
static int fill_until(skua_stream *stream, size_t min)
{
    while (skua_stream_held(&stream->reader) < min) {
        ssize_t result = read_more(stream, min);
        if (result <= 0)
            return (int)result;
    }
    return 0;
}

/* Reads once, past the buffer, which is empty; what comes beyond @size goes there, if it exists. */
static ssize_t read_directly(skua_stream *stream, void *memory, size_t size)
{
    struct skua_stream_side *side = &stream->reader;
    skua_assert(skua_stream_held(side) == 0);
    size_t ahead = skua_min(side->capacity, stream->options.read_buffer_bytes);
    struct iovec iov[] = {{.iov_base = memory, .iov_len = size},
                          {.iov_base = side->data, .iov_len = ahead}};
    ssize_t result = skua_stream_raw_read(stream, iov, ahead > 0 ? 2 : 1);
    if (result <= (ssize_t)size)
        return result;
    side->end = (size_t)result - size;
    return (ssize_t)size;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static ssize_t read_some(skua_stream *stream, void *buffer, size_t size)
{
    struct skua_stream_side *side = &stream->reader;
    size_t held = skua_stream_held(side);
    if (held == 0 && size > 0) {
        int rc = await_first(stream);
        if (rc == 0 && size < stream->options.read_buffer_bytes)
            rc = skua_stream_reserve(side, stream->options.read_buffer_bytes);
        return rc < 0 ? rc : read_directly(stream, buffer, size);
    }
    size_t taken = skua_min(held, size);
    consume_to(side, buffer, taken);
    return (ssize_t)taken;
}

ssize_t skua_stream_read(skua_stream *stream, void *buffer, size_t size)
{
    if (stream == NULL || (buffer == NULL && size > 0))
        return -EINVAL;
    int rc = begin(stream);
    if (rc < 0)
        return rc;
    ssize_t result = read_some(stream, buffer, size);
    skua_stream_leave(&stream->reader);
    return result;
}

/* More than the read buffer, and than is held: into @buffer itself. */
static ssize_t read_large(skua_stream *stream, char *buffer, size_t size)
{
    struct skua_stream_side *side = &stream->reader;
    int rc = await_first(stream);
    if (rc == 0)
        rc = skua_stream_reserve(side, size);
    if (rc < 0)
        return rc;
    size_t done = skua_stream_held(side);
    consume_to(side, buffer, done);
    while (done < size) {
        ssize_t result = read_directly(stream, buffer + done, size - done);
        if (result == 0)
            break;
        if (result < 0) {
            memcpy(side->data, buffer, done);
            side->end = done;
            return result;
        }
        done += (size_t)result;
    }
    return (ssize_t)done;
}

static ssize_t read_exactly(skua_stream *stream, char *buffer, size_t size)
{
    struct skua_stream_side *side = &stream->reader;
    if (size > stream->options.read_buffer_bytes && size > skua_stream_held(side))
        return read_large(stream, buffer, size);
    int rc = fill_until(stream, size);
    if (rc < 0)
        return rc;
    size_t taken = skua_min(skua_stream_held(side), size);
    consume_to(side, buffer, taken);
    return (ssize_t)taken;
}

ssize_t skua_stream_read_exactly(skua_stream *stream, void *buffer, size_t size)
{
    if (stream == NULL || (buffer == NULL && size > 0) || size > INT64_MAX)
        return -EINVAL;
    int rc = begin(stream);
    if (rc < 0)
        return rc;
    ssize_t result = read_exactly(stream, buffer, size);
    skua_stream_leave(&stream->reader);
    return result;
}

/* ---- separators ------------------------------------------------------------------------------ */

/* Fills the buffer until it has @separator. The bytes up to its end; 0: the stream ends before. */
static ssize_t find_separator(skua_stream *stream, const char *separator, size_t size)
{
    struct skua_stream_side *side = &stream->reader;
    size_t limit = stream->options.limit_bytes;
    size_t seen = 0; /* bytes in which no separator begins */
    for (;;) {       /* each turn reads, to the limit at most */
        size_t held = skua_stream_held(side);
        const char *data = held > 0 ? side->data + side->start : "";
        const char *found = memmem(data + seen, held - seen, separator, size);
        size_t needed = found != NULL ? (size_t)(found - data) + size : held + 1;
        if (needed > limit)
            return -EMSGSIZE;
        if (found != NULL)
            return (ssize_t)needed;
        if (held >= size)
            seen = held - size + 1;
        /* Twice as much each time, so that moving what is there costs no more than reading it. */
        size_t room = held < side->capacity ? 0 : skua_min(2 * held, held_max(stream));
        ssize_t result = read_more(stream, skua_max(room, needed));
        if (result <= 0)
            return result;
    }
}

/* The same, consumed; @takes_rest: or what there is at the end. Inside the side. */
static ssize_t read_until(skua_stream *stream, const char *separator, size_t size, bool takes_rest,
                          char **data)
{
    struct skua_stream_side *side = &stream->reader;
    ssize_t result = find_separator(stream, separator, size);
    if (result == 0 && skua_stream_held(side) > 0)
        result = takes_rest ? (ssize_t)skua_stream_held(side) : -ENODATA;
    if (result > 0) {
        *data = side->data + side->start;
        skua_stream_drop(side, (size_t)result);
    }
    return result;
}

ssize_t skua_stream_read_until(skua_stream *stream, const void *separator, size_t separator_size,
                               const void **data)
{
    char *found;
    if (stream == NULL || separator == NULL || separator_size == 0 || data == NULL)
        return -EINVAL;
    int rc = begin(stream);
    if (rc < 0)
        return rc;
    ssize_t result = read_until(stream, separator, separator_size, false, &found);
    skua_stream_leave(&stream->reader);
    if (result > 0)
        *data = found;
    return result;
}

ssize_t skua_stream_read_line(skua_stream *stream, const char **line)
{
    char *found;
    if (stream == NULL || line == NULL)
        return -EINVAL;
    int rc = begin(stream);
    if (rc < 0)
        return rc;
    ssize_t result = read_until(stream, "\n", 1, true, &found);
    skua_stream_leave(&stream->reader);
    if (result > 0)
        *line = found;
    return result;
}

/*
 * Takes the terminator off a line and puts a zero there: over a byte that was consumed or, behind a
 * last line without one, over the byte that is kept for it (I2). The length.
 */
static size_t terminate(char *line, size_t size)
{
    if (line[size - 1] == '\n') {
        size--;
        if (size > 0 && line[size - 1] == '\r')
            size--;
    }
    line[size] = '\0';
    return size;
}

int skua_stream_next_line(skua_stream *stream, char **line, size_t *length)
{
    char *found;
    size_t size = 0;
    if (stream == NULL || line == NULL)
        return -EINVAL;
    int rc = begin(stream);
    if (rc < 0)
        return rc;
    ssize_t result = read_until(stream, "\n", 1, true, &found);
    if (result > 0)
        size = terminate(found, (size_t)result);
    skua_stream_leave(&stream->reader);
    if (result <= 0)
        return (int)result;
    *line = found;
    if (length != NULL)
        *length = size;
    return 1;
}

/* ---- looking --------------------------------------------------------------------------------- */

static ssize_t peek(skua_stream *stream, size_t min, const void **data)
{
    struct skua_stream_side *side = &stream->reader;
    if (min > held_max(stream))
        return -EMSGSIZE;
    int rc = fill_until(stream, min);
    if (rc < 0)
        return rc;
    if (data != NULL)
        *data = skua_stream_held(side) > 0 ? side->data + side->start : "";
    return (ssize_t)skua_stream_held(side);
}

ssize_t skua_stream_peek(skua_stream *stream, size_t min, const void **data)
{
    if (stream == NULL)
        return -EINVAL;
    int rc = begin(stream);
    if (rc < 0)
        return rc;
    ssize_t result = peek(stream, min, data);
    skua_stream_leave(&stream->reader);
    return result;
}

int skua_stream_consume(skua_stream *stream, size_t size)
{
    if (stream == NULL)
        return -EINVAL;
    struct skua_stream_side *side = &stream->reader;
    if (!skua_stream_enter(side))
        return -EBUSY;
    int rc = size <= skua_stream_held(side) ? 0 : -EINVAL;
    if (rc == 0)
        skua_stream_drop(side, size);
    skua_stream_leave(side);
    return rc;
}

bool skua_stream_at_eof(skua_stream *stream)
{
    if (stream == NULL || !skua_stream_enter(&stream->reader))
        return false;
    bool at_eof = stream->reader.has_ended && skua_stream_held(&stream->reader) == 0;
    skua_stream_leave(&stream->reader);
    return at_eof;
}

int skua_stream_clear_eof(skua_stream *stream)
{
    if (stream == NULL)
        return -EINVAL;
    if (!skua_stream_enter(&stream->reader))
        return -EBUSY;
    stream->reader.has_ended = false;
    skua_stream_leave(&stream->reader);
    return 0;
}
