/*
 * io/stream_impl.h - a stream inside: what stream.c, stream_fd.c, stream_read.c, stream_write.c and
 * stream_copy.c share.
 *
 * WHAT   A stream has two sides that know nothing of each other: the reader, a buffer of bytes that
 *        were received, and the writer, one of bytes that are to be sent. Below them is a transport
 *        (skua_stream_transport); that of descriptors is one like any other.
 *
 * SIDES  A call first enters its side (skua_stream_enter) and leaves it at its end; who finds it
 *        entered goes away with -EBUSY. Everything of a side is touched between the two only.
 *
 * INVARIANTS, of each buffer
 *   I1   start <= end <= capacity; the bytes are data[start, end).
 *   I2   data == NULL if and only if capacity == 0; one byte more than capacity is allocated, for
 *        the zero that skua_stream_next_line() puts behind the last line.
 *   of the writer
 *   I3   The bytes are those that were taken from callers and not sent, in their order. An error
 *        removes none of them.
 *   of the reader
 *   I4   The bytes are those that were received and not consumed, in their order; a call that fails
 *        leaves them all.
 *
 * ORDERING
 *   ENTER  the acquire exchange in skua_stream_enter(), partner LEAVE, the release store in
 *          skua_stream_leave(): a side is seen as the call before left it, whatever the thread.
 *
 * TESTS  tests/api/stream_test.cc, stream_io_test.cc, stream_fault_test.cc.
 */
#ifndef SKUA_SRC_STREAM_IMPL_H
#define SKUA_SRC_STREAM_IMPL_H

#include <skua/stream.h>

#include "base/check.h"

#include <errno.h>
#include <stdatomic.h>

struct skua_stream_side {
    char *data;
    size_t start;
    size_t end;
    size_t capacity;
    uint64_t deadline_ns; /* of the call; 0: it has not waited yet. SKUA_FOREVER: no timeout */
    int error;            /* that stays; 0 or -errno */
    bool has_ended;       /* the reader: the end has been seen */
    _Atomic bool entered;
};

struct skua_stream {
    struct skua_stream_side reader;
    struct skua_stream_side writer;
    const skua_stream_transport *transport; /* constant */
    void *user;                             /* constant; of descriptors: the stream itself */
    skua_stream_options options;            /* constant; defaults filled in */
    int read_fd;                            /* -1: none; constant */
    int write_fd;        /* -1: none, or closed by shutdown_write; guarded by the writer's side */
    bool read_is_socket; /* constant, as the three below */
    bool read_is_file;   /* a regular one */
    bool write_is_socket;
    bool write_is_file;
};

/* The transport of descriptors; its user is the stream. */
extern const skua_stream_transport skua_stream_fd_transport;

/* stream_fd.c: looks what the descriptors are. 0, -EBADF. */
int skua_stream_fd_examine(skua_stream *stream);

/* stream_fd.c: waits, until the deadline of the reader, for something to read. 0 or -errno. */
int skua_stream_fd_await_input(skua_stream *stream);

static inline bool skua_stream_is_over_fds(const skua_stream *stream)
{
    return stream->transport == &skua_stream_fd_transport;
}

/* Begins a call on a side. False: another one is under way. */
static inline bool skua_stream_enter(struct skua_stream_side *side)
{
    /* ENTER */
    if (atomic_exchange_explicit(&side->entered, true, memory_order_acquire))
        return false;
    side->deadline_ns = 0;
    return true;
}

static inline void skua_stream_leave(struct skua_stream_side *side)
{
    skua_assert(side->start <= side->end && side->end <= side->capacity);
    atomic_store_explicit(&side->entered, false, memory_order_release); /* LEAVE */
}

static inline size_t skua_stream_held(const struct skua_stream_side *side)
{
    return side->end - side->start;
}

/* Takes @size bytes off the front. */
static inline void skua_stream_drop(struct skua_stream_side *side, size_t size)
{
    skua_assert(size <= skua_stream_held(side));
    side->start += size;
    if (side->start == side->end)
        side->start = side->end = 0;
}

/* ---- stream.c: buffers and waits ------------------------------------------------------------- */

/* Makes room for @total bytes from the start of the held ones on. 0, -ENOMEM: as it was. */
int skua_stream_reserve(struct skua_stream_side *side, size_t total);

/* Frees the buffer of a side if it is empty, and larger than @keep_bytes. */
void skua_stream_shrink(struct skua_stream_side *side, size_t keep_bytes);

/*
 * One call of the transport, timed; keeps errors that stay, and the end. At least one byte; 0 at
 * the end (read); -errno. @iov is not empty and has no empty first buffer.
 */
ssize_t skua_stream_raw_read(skua_stream *stream, const struct iovec *iov, unsigned count);
ssize_t skua_stream_raw_write(skua_stream *stream, const struct iovec *iov, unsigned count);

/* Over descriptors: waits, timed, until a raw read would not wait. 0, -errno. */
int skua_stream_await_input(skua_stream *stream);

/* Whether the caller is on a worker, where a scope ends a wait. */
bool skua_stream_on_worker(void);

/* Whether the deadline of @side has to be kept by somebody else than a scope: not on a worker. */
bool skua_stream_timed_by_poll(const struct skua_stream_side *side);

/* ---- for stream_copy.c, inside both sides ---------------------------------------------------- */

/* Reads once into the buffer, which is empty. The bytes there are; 0 at the end; -errno. */
ssize_t skua_stream_fill(skua_stream *stream);

/* Sends what is buffered. 0 or -errno. */
int skua_stream_drain(skua_stream *stream);

/* Sends what is buffered and @size bytes at @data; *@taken of these are sent. 0 or -errno. */
int skua_stream_send(skua_stream *stream, const void *data, size_t size, size_t *taken);

#endif /* SKUA_SRC_STREAM_IMPL_H */
