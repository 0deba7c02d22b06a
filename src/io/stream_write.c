/*
 * io/stream_write.c - the calls of skua/stream.h that write.
 *
 * One rule for small and large: while what is held and what is to be written are together over the
 * high-water mark, both are sent, in one call of the transport, the latter from where they are.
 * What is left when that is below the low mark is copied. So no more is ever held than the high
 * mark, but for skua_stream_printf(), and large data is not copied at all.
 */
#include "io/stream_impl.h"

#include "base/compiler.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEGMENTS_MAX 16u /* of one call of the transport, the buffer's among them */

/* Where one is in the caller's buffers. */
struct cursor {
    const struct iovec *iov;
    unsigned count;
    size_t offset; /* in the first one */
    size_t left;   /* bytes, in all */
};

static void advance(struct cursor *cursor, size_t size)
{
    cursor->left -= size;
    cursor->offset += size;
    while (cursor->count > 0 && cursor->offset >= cursor->iov->iov_len) {
        cursor->offset -= cursor->iov->iov_len;
        cursor->iov++;
        cursor->count--;
    }
}

/* What is held, and what @cursor is at, as far as there is room for it. How many. */
static unsigned gather(const struct skua_stream_side *side, struct cursor cursor,
                       struct iovec *segments)
{
    unsigned count = 0;
    if (skua_stream_held(side) > 0)
        segments[count++] =
            (struct iovec){.iov_base = side->data + side->start, .iov_len = skua_stream_held(side)};
    advance(&cursor, 0); /* past empty ones */
    while (cursor.iov != NULL && cursor.left > 0 && count < SEGMENTS_MAX) {
        size_t size = cursor.iov->iov_len - cursor.offset;
        segments[count++] = (struct iovec){.iov_base = (char *)cursor.iov->iov_base + cursor.offset,
                                           .iov_len = size};
        advance(&cursor, size);
    }
    return count;
}

/* Sends until no more than @target bytes are left of those held and the cursor's. 0 or -errno. */
static int send_down_to(skua_stream *stream, struct cursor *cursor, size_t target)
{
    struct skua_stream_side *side = &stream->writer;
    while (skua_stream_held(side) + cursor->left > target) {
        struct iovec segments[SEGMENTS_MAX];
        unsigned count = gather(side, *cursor, segments);
        ssize_t result = skua_stream_raw_write(stream, segments, count);
        if (result < 0)
            return (int)result;
        size_t of_held = skua_min(skua_stream_held(side), (size_t)result);
        skua_stream_drop(side, of_held);
        advance(cursor, (size_t)result - of_held);
    }
    return 0;
}

/* Copies the rest of the cursor's bytes; there is room. */
static void append(struct skua_stream_side *side, struct cursor *cursor)
{
    while (cursor->left > 0) {
        advance(cursor, 0);
        size_t size = cursor->iov->iov_len - cursor->offset;
        memcpy(side->data + side->end, (char *)cursor->iov->iov_base + cursor->offset, size);
        side->end += size;
        advance(cursor, size);
    }
}

static void end(skua_stream *stream)
{
    bool is_lean = (stream->options.flags & SKUA_STREAM_LEAN) != 0;
    skua_stream_shrink(&stream->writer, is_lean ? 0 : stream->options.write_buffer_bytes);
    skua_stream_leave(&stream->writer);
}

/* ---- for others ------------------------------------------------------------------------------ */

int skua_stream_drain(skua_stream *stream)
{
    struct cursor none = {0};
    return send_down_to(stream, &none, 0);
}

int skua_stream_send(skua_stream *stream, const void *data, size_t size, size_t *taken)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
    struct cursor cursor = {.iov = &iov, .count = 1, .left = size};
    int rc = send_down_to(stream, &cursor, 0);
    *taken = size - cursor.left;
    return rc;
}

/* ---- writing --------------------------------------------------------------------------------- */

static ssize_t write_all(skua_stream *stream, struct cursor *cursor)
{
    struct skua_stream_side *side = &stream->writer;
    size_t high = stream->options.write_buffer_bytes;
    size_t low = stream->options.low_water_bytes;
    size_t total = cursor->left;
    if (side->error < 0)
        return side->error;
    if (total == 0)
        return 0;
    int rc = 0;
    if (skua_stream_held(side) + total > high)
        rc = send_down_to(stream, cursor, low);
    size_t kept = skua_stream_held(side) + cursor->left;
    if (rc == 0 && cursor->left > 0 && skua_stream_reserve(side, skua_max(high, kept)) < 0)
        rc = send_down_to(stream, cursor, 0); /* out of memory: it can do without */
    if (rc == 0)
        append(side, cursor);
    size_t taken = total - cursor->left;
    return taken > 0 ? (ssize_t)taken : rc;
}

ssize_t skua_stream_writev(skua_stream *stream, const struct iovec *iov, unsigned count)
{
    struct cursor cursor = {.iov = iov, .count = count};
    if (stream == NULL || (iov == NULL && count > 0))
        return -EINVAL;
    for (unsigned i = 0; i < count; i++) {
        if (iov[i].iov_len > INT64_MAX - cursor.left ||
            (iov[i].iov_base == NULL && iov[i].iov_len > 0))
            return -EINVAL;
        cursor.left += iov[i].iov_len;
    }
    if (!skua_stream_enter(&stream->writer))
        return -EBUSY;
    ssize_t result = write_all(stream, &cursor);
    end(stream);
    return result;
}

ssize_t skua_stream_write(skua_stream *stream, const void *data, size_t size)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
    return skua_stream_writev(stream, &iov, 1);
}

/* ---- formatting ------------------------------------------------------------------------------ */

/*
 * Has room for @size more bytes, of a text, below the high-water mark if that can be; for which it
 * may send what is held. 0 or -errno.
 */
static int make_room(skua_stream *stream, size_t size)
{
    struct skua_stream_side *side = &stream->writer;
    struct cursor none = {0};
    size_t high = stream->options.write_buffer_bytes;
    if (skua_stream_held(side) + size > high) {
        size_t target = size < high ? high - size : 0;
        int rc = send_down_to(stream, &none, skua_min(target, stream->options.low_water_bytes));
        if (rc < 0)
            return rc;
    }
    return skua_stream_reserve(side, skua_max(skua_stream_held(side) + size, high));
}

/* Prints to where the buffer ends, a zero behind the @room bytes. How many it takes; -errno. */
static SKUA_NOINLINE __attribute__((format(printf, 3, 0))) int
print_at_end(struct skua_stream_side *side, size_t room, const char *format, va_list arguments)
{
    int size = vsnprintf(side->data + side->end, room + 1, format, arguments);
    return size < 0 ? -errno : size;
}

/* Prints below the high-water mark, if it fits; else once more, into room made for it. */
static __attribute__((format(printf, 2, 0))) ssize_t print(skua_stream *stream, const char *format,
                                                           va_list arguments)
{
    struct skua_stream_side *side = &stream->writer;
    va_list again;
    if (side->error < 0)
        return side->error;
    size_t high = skua_max(stream->options.write_buffer_bytes, skua_stream_held(side));
    int rc = skua_stream_reserve(side, high);
    if (rc < 0)
        return rc;
    size_t room = high - skua_stream_held(side);
    va_copy(again, arguments);
    int size = print_at_end(side, room, format, again);
    va_end(again);
    if (size < 0)
        return size;
    if ((size_t)size > room) {
        rc = make_room(stream, (size_t)size);
        if (rc < 0)
            return rc;
        if (print_at_end(side, (size_t)size, format, arguments) != size)
            return -EINVAL; /* what is printed was changed meanwhile */
    }
    side->end += (size_t)size;
    return size;
}

ssize_t skua_stream_printf(skua_stream *stream, const char *format, ...)
{
    va_list arguments;
    if (stream == NULL || format == NULL)
        return -EINVAL;
    if (!skua_stream_enter(&stream->writer))
        return -EBUSY;
    va_start(arguments, format);
    ssize_t result = print(stream, format, arguments);
    va_end(arguments);
    end(stream);
    return result;
}

/* ---- sending --------------------------------------------------------------------------------- */

int skua_stream_flush(skua_stream *stream)
{
    if (stream == NULL)
        return -EINVAL;
    if (!skua_stream_enter(&stream->writer))
        return -EBUSY;
    int rc = skua_stream_drain(stream);
    end(stream);
    return rc;
}

ssize_t skua_stream_pending(skua_stream *stream)
{
    if (stream == NULL)
        return -EINVAL;
    if (!skua_stream_enter(&stream->writer))
        return -EBUSY;
    ssize_t pending = (ssize_t)skua_stream_held(&stream->writer);
    skua_stream_leave(&stream->writer);
    return pending;
}

static int shut_down(skua_stream *stream)
{
    struct skua_stream_side *side = &stream->writer;
    if (side->error < 0)
        return side->error;
    int rc = skua_stream_drain(stream);
    if (rc < 0)
        return rc;
    if (stream->transport->shutdown_write == NULL)
        return -EOPNOTSUPP;
    rc = stream->transport->shutdown_write(stream->user);
    if (rc == 0)
        side->error = -EPIPE;
    return rc;
}

int skua_stream_shutdown_write(skua_stream *stream)
{
    if (stream == NULL)
        return -EINVAL;
    if (!skua_stream_enter(&stream->writer))
        return -EBUSY;
    int rc = shut_down(stream);
    end(stream);
    return rc;
}
