/*
 * skua/stream.h - buffered reading and writing of anything that has bytes: sockets, pipes, files,
 * terminals, or a transport of your own (TLS, for one).
 *
 * The names and their counterparts in asyncio:
 *   skua_stream_read, _read_exactly, _read_until, _read_line, _at_eof     StreamReader's
 *   skua_stream_peek, _consume                                            (Go: bufio Peek, Discard)
 *   skua_stream_write                  write(), and drain() if it is over the high-water mark
 *   skua_stream_flush                  drain() until nothing is left; nobody else sends the rest
 *   skua_stream_shutdown_write         write_eof()
 *   skua_stream_close, _abort          close() and wait_closed(); transport.abort()
 * asyncio's write() sends at once if it can and never waits. Here nothing is sent before there is
 * more than the high-water mark or a flush, and a write waits when it has to: so write an answer
 * in pieces, then flush, once.
 *
 * Common to all of them:
 *   SIDES. One task or thread may read and one may write, at the same time. Reading: read,
 *   read_exactly, read_until, read_line, next_line, peek, consume, at_eof, clear_eof, and copy of
 *   what it copies from. Writing: write, writev, printf, flush, pending, shutdown_write, and copy
 *   of what it copies to. Close and abort are both. A call while another is under way on the same
 *   side changes nothing and returns -EBUSY.
 *
 *   NOTHING IS LOST. A reading call that fails, whatever the reason (cancel, timeout, limit, error)
 *   has consumed nothing: all that was received is in the buffer, for the next call of any task. A
 *   writing call tells how many of the caller's bytes it took: they are sent, or in the buffer in
 *   their order; the others are still the caller's.
 *
 *   ERRORS STAY. After an error of the descriptor every later call of that side that needs it
 *   returns the same error: reading still gives what is in the buffer before that, and the other
 *   side goes on. Not kept are -ECANCELED, -ETIMEDOUT, -ENOMEM and -ENOBUFS: call again. The end of
 *   the stream is kept, too; skua_stream_clear_eof() forgets it (a file that grows, a terminal).
 *
 *   TIMEOUTS. The two of the options are for all the waits of one call together, so that a peer
 *   that sends a byte now and then cannot stretch it; -ETIMEDOUT. On executor and foreign threads
 *   they work for descriptors, not for other transports. Scopes (skua/scope.h) work as ever.
 *
 *   MEMORY. A buffer is made when it is first needed. What was enlarged for a long line is given
 *   back when it is empty; with SKUA_STREAM_LEAN every empty buffer is, also while a call waits for
 *   the first byte.
 *
 * O_NONBLOCK makes no difference. No signal is raised on a socket whose peer has gone; on a pipe
 * SIGPIPE is, as in POSIX, so ignore it. Datagrams are not for streams. -EINVAL also means that
 * @stream or another pointer is NULL, where nothing else is said.
 */
#ifndef SKUA_STREAM_H
#define SKUA_STREAM_H

#include <skua/base.h>

#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct skua_stream skua_stream;

/* skua_stream_close() and skua_stream_abort() leave the descriptors open. */
#define SKUA_STREAM_KEEP_FDS 1u
/* Idle streams have no buffers: for very many connections, at the price of a poll for each wait. */
#define SKUA_STREAM_LEAN 2u

/* How to open a stream. Zero-initialise; zero means default everywhere. */
typedef struct skua_stream_options {
    size_t read_buffer_bytes;  /* default 16 KiB */
    size_t write_buffer_bytes; /* the high-water mark; default 16 KiB */
    size_t low_water_bytes;    /* a write over the high one waits until this; default a quarter */
    size_t limit_bytes;        /* of a line, with its separator, and of peek; default 64 KiB */
    uint64_t read_timeout_ns;  /* of one call; default 0: none */
    uint64_t write_timeout_ns; /* of one call; default 0: none */
    unsigned flags;            /* SKUA_STREAM_... */
    unsigned reserved_flags;
    uint64_t reserved[4]; /* zero */
} skua_stream_options;

/*
 * What a stream reads from and writes to, if that is no descriptor. Each function returns as
 * readv(2) and writev(2) do, with -errno: at least one byte, or 0 at the end (readv). They wait by
 * calls of this library, and return -ECANCELED only if no byte was moved. At most one call of
 * readv and one of the others are under way at once. NULL: it cannot do that (-EBADF; for
 * shutdown_write -EOPNOTSUPP; close may well be NULL).
 */
typedef struct skua_stream_transport {
    ssize_t (*readv)(void *user, const struct iovec *iov, unsigned count);
    ssize_t (*writev)(void *user, const struct iovec *iov, unsigned count);
    int (*shutdown_write)(void *user); /* after a flush */
    int (*close)(void *user);          /* the last call */
    int (*abort)(void *user);          /* instead of close, if bytes may be dropped; NULL: close */
} skua_stream_transport;

/**
 * Opens a stream that reads from @read_fd and writes to @write_fd, which may be one and the same;
 * -1: it does not do that.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Ownership: the caller closes *@stream, which closes the descriptors (but see
 *   SKUA_STREAM_KEEP_FDS). On error they stay the caller's, and *@stream is untouched.
 * Returns: 0; -EBADF if a descriptor is not open or both are -1; -EINVAL (@stream NULL, unknown
 *   flag, nonzero reserved field, the low mark over the high one, a size over INT32_MAX); -ENOMEM;
 *   -ECHILD in a forked child.
 * Source: asyncio.StreamReader, asyncio.StreamWriter.
 */
SKUA_API int skua_stream_open(int read_fd, int write_fd, const skua_stream_options *options,
                              skua_stream **stream);

/**
 * Opens a stream over @transport, whose functions get @user.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Ownership: the caller closes *@stream, which calls close. *@transport outlives the stream.
 * Returns: as skua_stream_open(); -EINVAL if @transport is NULL.
 */
SKUA_API int skua_stream_open_over(const skua_stream_transport *transport, void *user,
                                   const skua_stream_options *options, skua_stream **stream);

/**
 * Flushes, closes what the stream is over, and frees it, in any case but -EBUSY: flush before if a
 * failed flush is to be tried again.
 *
 * Context: any; waits.
 * Cancellation: the flush is cut short, and what was not sent is dropped; it closes all the same.
 * Ownership: consumes @stream. NULL is accepted.
 * Returns: 0; the error for which bytes were dropped; else that of closing; -EBUSY, and nothing was
 *   done: end the task that reads or writes first.
 */
SKUA_API int skua_stream_close(skua_stream *stream);

/**
 * As skua_stream_close(), but drops what was not sent.
 *
 * Context: any; does not wait for the peer.
 * Cancellation: not a cancellation point.
 * Ownership: consumes @stream. NULL is accepted.
 * Returns: 0; the error of closing; -EBUSY, and nothing was done.
 */
SKUA_API int skua_stream_abort(skua_stream *stream);

/* ---- reading --------------------------------------------------------------------------------- */

/**
 * Reads what is there, up to @size bytes: from the buffer, or else with one system call.
 *
 * Context: any; waits if the buffer is empty. Reading.
 * Cancellation: -ECANCELED if it had to wait, and nothing was read.
 * Returns: the number of bytes, 0 at the end (or if @size is 0); -errno of the descriptor;
 *   -ETIMEDOUT; -EBUSY; -EINVAL; -ENOMEM.
 */
SKUA_API ssize_t skua_stream_read(skua_stream *stream, void *buffer, size_t size);

/**
 * Reads @size bytes. What is larger than the read buffer is read into @buffer itself, and if the
 * call fails put back into the stream's, for which memory is set aside beforehand.
 *
 * Context: any; waits. Reading.
 * Cancellation: -ECANCELED; what was received stays in the stream.
 * Returns: @size, or less if the stream ends there, which are consumed as well (asyncio:
 *   IncompleteReadError.partial); an error consumes nothing: -errno of the descriptor; -ETIMEDOUT;
 *   -EBUSY; -EINVAL (@size over INT64_MAX, too); -ENOMEM.
 */
SKUA_API ssize_t skua_stream_read_exactly(skua_stream *stream, void *buffer, size_t size);

/**
 * Reads until @separator has come. *@data points to the bytes, the separator among them, until the
 * next call that reads.
 *
 * Context: any; waits. Reading.
 * Cancellation: -ECANCELED; what was received stays in the stream.
 * Ownership: *@data is the stream's; untouched on error.
 * Returns: the number of bytes; 0 at the end; -ENODATA if the stream ends with bytes and no
 *   separator: they are still there to be read; -EMSGSIZE if more than limit_bytes would be needed,
 *   and nothing is consumed; -errno of the descriptor; -ETIMEDOUT; -EBUSY; -EINVAL (@separator_size
 *   0, too); -ENOMEM.
 * Source: asyncio.StreamReader.readuntil.
 */
SKUA_API ssize_t skua_stream_read_until(skua_stream *stream, const void *separator,
                                        size_t separator_size, const void **data);

/**
 * Reads a line with its newline; the last one may have none.
 *
 * Context: any; waits. Reading.
 * Cancellation: -ECANCELED; what was received stays in the stream.
 * Ownership: *@line is the stream's until the next call that reads; untouched on error.
 * Returns: the number of bytes; 0 at the end; -EMSGSIZE and others as skua_stream_read_until().
 * Source: asyncio.StreamReader.readline.
 */
SKUA_API ssize_t skua_stream_read_line(skua_stream *stream, const char **line);

/**
 * Reads a line and takes "\n" or "\r\n" off its end; a zero byte is put there. @length may be NULL.
 *
 * Context: any; waits. Reading.
 * Cancellation: -ECANCELED; what was received stays in the stream.
 * Ownership: *@line is the stream's until the next call that reads, and may be written to; outputs
 *   are untouched unless 1 is returned.
 * Returns: 1 with a line, which may be empty; 0 at the end; -EMSGSIZE and others as
 *   skua_stream_read_until().
 */
SKUA_API int skua_stream_next_line(skua_stream *stream, char **line, size_t *length);

/**
 * Waits until at least @min bytes are buffered, and has *@data, if not NULL, point to them until
 * the next call that reads. Nothing is consumed. With @min 0 it does not wait: how many are there.
 *
 * Context: any; waits. Reading.
 * Cancellation: -ECANCELED if it had to wait; what was received stays in the stream.
 * Ownership: *@data is the stream's; untouched on error.
 * Returns: the number of bytes that are buffered, less than @min only if the stream ends there;
 *   -EMSGSIZE if @min is over both limit_bytes and read_buffer_bytes; -errno of the descriptor;
 *   -ETIMEDOUT; -EBUSY; -EINVAL; -ENOMEM.
 */
SKUA_API ssize_t skua_stream_peek(skua_stream *stream, size_t min, const void **data);

/**
 * Consumes @size bytes that are buffered. *@data of a peek before stays valid.
 *
 * Context: any; never waits. Reading.
 * Cancellation: not a cancellation point.
 * Returns: 0; -EINVAL if there are fewer, and none was consumed; -EBUSY.
 */
SKUA_API int skua_stream_consume(skua_stream *stream, size_t size);

/**
 * Whether the end has been seen and all before it consumed. Does not look for it.
 *
 * Context: any; never waits. Reading.
 * Cancellation: not a cancellation point.
 * Returns: true at the end; false if not, if another call is reading, or @stream is NULL.
 */
SKUA_API bool skua_stream_at_eof(skua_stream *stream);

/**
 * Forgets that the end has been seen: the next call that needs bytes tries to read again.
 *
 * Context: any; never waits. Reading.
 * Cancellation: not a cancellation point.
 * Returns: 0; -EBUSY; -EINVAL.
 * Source: clearerr(3).
 */
SKUA_API int skua_stream_clear_eof(skua_stream *stream);

/* ---- writing --------------------------------------------------------------------------------- */

/**
 * Writes @size bytes: copies them if there is room below the high-water mark, else sends what is
 * buffered and them, from where they are, until what is left is below the low one.
 *
 * Context: any; waits. Writing.
 * Cancellation: -ECANCELED if it had to wait and none of the bytes was taken; else their number.
 * Returns: @size; less if an error, timeout or cancel came after some; -errno of the descriptor;
 *   -ETIMEDOUT; -EBUSY; -EPIPE after skua_stream_shutdown_write(); -EINVAL (@size over INT64_MAX,
 *   too).
 */
SKUA_API ssize_t skua_stream_write(skua_stream *stream, const void *data, size_t size);

/**
 * Writes the bytes of @count buffers, as if they were one.
 *
 * Context: any; waits. Writing.
 * Cancellation: as skua_stream_write().
 * Returns: as skua_stream_write(), of all of them together.
 */
SKUA_API ssize_t skua_stream_writev(skua_stream *stream, const struct iovec *iov, unsigned count);

/**
 * Writes what printf(3) would print; all of it or nothing: the buffer grows if it must.
 *
 * Context: any; waits. Writing.
 * Cancellation: -ECANCELED if it had to wait; nothing of it was taken.
 * Returns: the number of bytes; -errno of the descriptor or of vsnprintf(3); -ETIMEDOUT; -EBUSY;
 *   -EPIPE; -EINVAL; -ENOMEM.
 */
SKUA_API ssize_t skua_stream_printf(skua_stream *stream, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/**
 * Sends all that is buffered.
 *
 * Context: any; waits. Writing.
 * Cancellation: -ECANCELED; what was not sent stays in the buffer.
 * Returns: 0; -errno of the descriptor; -ETIMEDOUT; -EBUSY; -EINVAL.
 * Source: asyncio.StreamWriter.drain.
 */
SKUA_API int skua_stream_flush(skua_stream *stream);

/**
 * How many bytes wait to be sent.
 *
 * Context: any; never waits. Writing.
 * Cancellation: not a cancellation point.
 * Returns: their number; -EBUSY; -EINVAL.
 */
SKUA_API ssize_t skua_stream_pending(skua_stream *stream);

/**
 * Flushes and tells the peer that no more will come; reading goes on. A socket is shut down; a
 * write_fd that is not the read_fd as well is closed.
 *
 * Context: any; waits. Writing.
 * Cancellation: -ECANCELED if not all was sent; the stream is as before.
 * Returns: 0; -EPIPE if it was done before; -errno of the descriptor; -ETIMEDOUT; -EBUSY; -EINVAL;
 *   -EOPNOTSUPP if it is one descriptor that is no socket, or not the stream's to close.
 */
SKUA_API int skua_stream_shutdown_write(skua_stream *stream);

/* ---- both ------------------------------------------------------------------------------------ */

/**
 * Copies @from to @to until the end, or @limit bytes (UINT64_MAX: no limit), and flushes. The two
 * may be one stream, which is an echo. A file goes to a socket by skua_sendfile() (which sets
 * O_NONBLOCK on it); other bytes pass through the buffer of @from.
 *
 * Context: any; waits. Reading of @from, writing of @to.
 * Cancellation: -ECANCELED; what was received and not taken by @to is still in @from.
 * Returns: 0, and *@copied says how many; an error of either side; -ETIMEDOUT, each side's timeout
 *   being for every piece anew; -EBUSY; -EINVAL; -ENOMEM. @copied may be NULL, and is set on error
 *   too, if not -EBUSY or -EINVAL: those bytes were taken by @to.
 * Source: Go's io.Copy.
 */
SKUA_API int skua_stream_copy(skua_stream *from, skua_stream *to, uint64_t limit, uint64_t *copied);

#ifdef __cplusplus
}
#endif

#endif /* SKUA_STREAM_H */
