/*
 * io/stream_copy.c - skua_stream_copy().
 *
 * Bytes are sent from the buffer of the stream they come from, and consumed there when the other
 * has taken them: so no error, timeout or cancel, of either side, can lose any. A file goes to a
 * socket by sendfile(2), which moves no position of the file before its bytes are sent. splice(2)
 * is not used: a ring hands each to a kernel thread, and between two sockets it leaves bytes in a
 * pipe when it is cancelled.
 */
#include "io/stream_impl.h"

#include <skua/scope.h>
#include <skua/socket.h>
#include <skua/time.h>

#include "base/compiler.h"

#include <unistd.h>

/* One skua_sendfile(): what a timeout is for. */
#define SENDFILE_BYTES ((uint64_t)1 << 20)

/* ---- by the kernel --------------------------------------------------------------------------- */

static bool can_sendfile(skua_stream *from, skua_stream *to)
{
    if (!skua_stream_is_over_fds(from) || !skua_stream_is_over_fds(to) || !from->read_is_file ||
        !to->write_is_socket || from->reader.error < 0 || from->reader.has_ended)
        return false;
    return to->options.write_timeout_ns == 0 || skua_stream_on_worker();
}

static SKUA_NOINLINE int64_t position(int fd, int64_t offset, int whence)
{
    off_t at = lseek(fd, (off_t)offset, whence);
    return at < 0 ? -(int64_t)errno : at;
}

/* skua_sendfile() with the timeout of a write. */
static ssize_t sendfile_timed(const skua_stream *to, int file_fd, uint64_t offset, size_t size)
{
    if (to->options.write_timeout_ns == 0)
        return skua_sendfile(to->write_fd, file_fd, offset, size);
    skua_scope scope;
    skua_scope_options options = {.deadline_ns = skua_after(to->options.write_timeout_ns),
                                  .name = "timeout of a stream"};
    int rc = skua_scope_open(&scope, &options);
    if (rc < 0)
        return rc;
    ssize_t sent = skua_sendfile(to->write_fd, file_fd, offset, size);
    rc = skua_scope_close(&scope);
    return sent == -ECANCELED && rc == -ETIMEDOUT ? -ETIMEDOUT : sent;
}

/*
 * Sends up to @limit bytes of the file behind @from, whose buffer is empty; adds to *@copied. 1 if
 * it goes on, 0 at the end; -ENOTSUP if it cannot be done in this way; -errno.
 */
static int copy_by_kernel(skua_stream *from, skua_stream *to, uint64_t limit, uint64_t *copied)
{
    int64_t offset = position(from->read_fd, 0, SEEK_CUR);
    if (offset < 0)
        return -ENOTSUP;
    to->writer.deadline_ns = 0; /* every piece has its own */
    int rc = skua_stream_drain(to);
    if (rc < 0)
        return rc;
    size_t size = (size_t)skua_min(limit, SENDFILE_BYTES);
    ssize_t sent = sendfile_timed(to, from->read_fd, (uint64_t)offset, size);
    if (sent == -EINVAL || sent == -ENOSYS || sent == -EOVERFLOW)
        return -ENOTSUP;
    from->reader.has_ended = sent == 0;
    if (sent > 0) {
        (void)position(from->read_fd, offset + sent, SEEK_SET); /* it could be asked, so it can */
        *copied += (uint64_t)sent;
        return 1;
    }
    if (sent == -EPIPE || sent == -ECONNRESET)
        to->writer.error = (int)sent; /* no file says that */
    return (int)sent;
}

/* ---- through the buffer ---------------------------------------------------------------------- */

/*
 * Sends what @from holds, up to @limit, reading once if that is nothing; adds to *@copied. 1 if it
 * goes on, 0 at the end, -errno.
 */
static int copy_by_buffer(skua_stream *from, skua_stream *to, uint64_t limit, uint64_t *copied)
{
    struct skua_stream_side *reader = &from->reader;
    if (skua_stream_held(reader) == 0) {
        reader->deadline_ns = 0; /* every piece has its own */
        ssize_t result = skua_stream_fill(from);
        if (result <= 0)
            return (int)result;
    }
    size_t taken;
    size_t size = (size_t)skua_min(limit, (uint64_t)skua_stream_held(reader));
    to->writer.deadline_ns = 0;
    int rc = skua_stream_send(to, reader->data + reader->start, size, &taken);
    skua_stream_drop(reader, taken);
    *copied += taken;
    return rc < 0 ? rc : 1;
}

static int copy(skua_stream *from, skua_stream *to, uint64_t limit, uint64_t *copied)
{
    bool by_kernel = can_sendfile(from, to);
    *copied = 0;
    if (to->writer.error < 0)
        return to->writer.error;
    while (*copied < limit) {
        int rc;
        if (by_kernel && skua_stream_held(&from->reader) == 0)
            rc = copy_by_kernel(from, to, limit - *copied, copied);
        else
            rc = copy_by_buffer(from, to, limit - *copied, copied);
        if (rc == -ENOTSUP && by_kernel)
            by_kernel = false;
        else if (rc < 0)
            return rc;
        else if (rc == 0)
            break;
    }
    return skua_stream_drain(to);
}

int skua_stream_copy(skua_stream *from, skua_stream *to, uint64_t limit, uint64_t *copied)
{
    uint64_t count;
    if (from == NULL || to == NULL)
        return -EINVAL;
    if (!skua_stream_enter(&from->reader))
        return -EBUSY;
    if (!skua_stream_enter(&to->writer)) {
        skua_stream_leave(&from->reader);
        return -EBUSY;
    }
    int rc = copy(from, to, limit, copied != NULL ? copied : &count);
    skua_stream_leave(&to->writer);
    skua_stream_leave(&from->reader);
    return rc;
}
