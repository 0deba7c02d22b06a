/*
 * io/op_blocking.c - one op by plain system calls on the calling thread.
 *
 * Owns nothing: an op in, its result out. io/op.c calls it on executor and foreign threads, and on
 * the blocking executor for what a worker's engine lacks.
 *
 * Must stay true: the result is the one io_uring gives for the same op. Where the two differ the
 * ring wins, so that a call means the same on every thread:
 *   - READ, WRITE, READV and WRITEV ignore the offset of a descriptor without a position (pipe,
 *     socket, terminal); pread(2) fails there with ESPIPE.
 *   - POLL of a bad descriptor is -EBADF; poll(2) answers POLLNVAL, or waits for ever if negative.
 *   - FSYNC knows one flag.
 *   - what is said in op_blocking_socket.c of sockets.
 * errno is read right after the system call on the same thread and then put back: no call of this
 * library sets it.
 */
#include "io/op_blocking.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/check.h"
#include "base/compiler.h"
#include "engine/engine.h"
#include "platform/vthread.h"

/* FSYNC's flag; the ring's IORING_FSYNC_DATASYNC. */
#define FSYNC_DATA_ONLY 1u

static int64_t outcome(int64_t returned)
{
    return returned < 0 ? -(int64_t)errno : returned;
}

static int64_t run_read(const skua_op *op)
{
    if (op->offset != SKUA_OFFSET_CURRENT) {
        int64_t result = outcome(pread(op->fd, op->addr, op->len, (off_t)op->offset));
        if (result != -ESPIPE)
            return result;
    }
    return outcome(read(op->fd, op->addr, op->len));
}

static int64_t run_write(const skua_op *op)
{
    if (op->offset != SKUA_OFFSET_CURRENT) {
        int64_t result = outcome(pwrite(op->fd, op->addr, op->len, (off_t)op->offset));
        if (result != -ESPIPE)
            return result;
    }
    return outcome(write(op->fd, op->addr, op->len));
}

typedef ssize_t vectored_fn(int fd, const struct iovec *iov, int count, off_t offset, int flags);

/* preadv2() and pwritev2() use the position themselves if the offset is -1. */
static int64_t run_vectored(const skua_op *op, vectored_fn *call)
{
    if (op->len > INT_MAX)
        return -EINVAL;
    int flags = (int)op->flags;
    int64_t result = outcome(call(op->fd, op->addr, (int)op->len, (off_t)op->offset, flags));
    if (result != -ESPIPE || op->offset == SKUA_OFFSET_CURRENT)
        return result;
    return outcome(call(op->fd, op->addr, (int)op->len, -1, flags));
}

static int64_t run_fsync(const skua_op *op)
{
    if (op->flags & ~FSYNC_DATA_ONLY)
        return -EINVAL;
    return outcome(op->flags & FSYNC_DATA_ONLY ? fdatasync(op->fd) : fsync(op->fd));
}

static int64_t run_splice(const skua_op *op)
{
    off_t from = (off_t)op->offset;
    off_t to = (off_t)op->offset2;
    return outcome(splice(op->fd, op->offset == SKUA_OFFSET_CURRENT ? NULL : &from, op->fd2,
                          op->offset2 == SKUA_OFFSET_CURRENT ? NULL : &to, op->len, op->flags));
}

static int64_t run_poll(const skua_op *op)
{
    if (op->flags > USHRT_MAX)
        return -EINVAL; /* poll(2) has 16 bits of events */
    if (op->fd < 0)
        return -EBADF;
    struct pollfd entry = {.fd = op->fd, .events = (short)op->flags};
    int64_t result = outcome(poll(&entry, 1, -1));
    if (result <= 0)
        return result;
    if (entry.revents & POLLNVAL)
        return -EBADF;
    return (unsigned short)entry.revents;
}

/* The codes that name a path. The C library declares its paths non-null; the kernel has EFAULT. */
static int64_t run_on_path(const skua_op *op)
{
    const char *path = op->addr;
    bool two_pointers = op->code == SKUA_OP_STATX || op->code == SKUA_OP_RENAMEAT ||
                        op->code == SKUA_OP_LINKAT || op->code == SKUA_OP_SYMLINKAT;
    if (!path || (two_pointers && !op->addr2))
        return -EFAULT;
    int flags = (int)op->flags;
    switch (op->code) {
    case SKUA_OP_OPENAT:
        return outcome(openat(op->fd, path, flags | O_CLOEXEC, (mode_t)op->len));
    case SKUA_OP_STATX:
        return outcome(statx(op->fd, path, flags, (unsigned)op->len, op->addr2));
    case SKUA_OP_RENAMEAT:
        return outcome(renameat2(op->fd, path, op->fd2, op->addr2, op->flags));
    case SKUA_OP_UNLINKAT:
        return outcome(unlinkat(op->fd, path, flags));
    case SKUA_OP_MKDIRAT:
        return outcome(mkdirat(op->fd, path, (mode_t)op->len));
    case SKUA_OP_LINKAT:
        return outcome(linkat(op->fd, path, op->fd2, op->addr2, flags));
    case SKUA_OP_SYMLINKAT:
        return outcome(symlinkat(path, op->fd, op->addr2));
    default:
        return -EINVAL;
    }
}

static int64_t run(const skua_op *op)
{
    switch (op->code) {
    case SKUA_OP_NOP:
        return 0;
    case SKUA_OP_CLOSE:
        return outcome(close(op->fd));
    case SKUA_OP_READ:
    case SKUA_OP_READ_FIXED:
        return run_read(op);
    case SKUA_OP_WRITE:
    case SKUA_OP_WRITE_FIXED:
        return run_write(op);
    case SKUA_OP_READV:
        return run_vectored(op, preadv2);
    case SKUA_OP_WRITEV:
        return run_vectored(op, pwritev2);
    case SKUA_OP_FSYNC:
        return run_fsync(op);
    case SKUA_OP_FALLOCATE:
        return outcome(fallocate(op->fd, (int)op->flags, (off_t)op->offset, (off_t)op->len));
    case SKUA_OP_FTRUNCATE:
        return outcome(ftruncate(op->fd, (off_t)op->len));
    case SKUA_OP_SPLICE:
        return run_splice(op);
    case SKUA_OP_FADVISE: /* the only one that returns its error, and positive */
        return -posix_fadvise(op->fd, (off_t)op->offset, (off_t)op->len, (int)op->flags);
    case SKUA_OP_MADVISE:
        return outcome(madvise(op->addr, op->len, (int)op->flags));
    case SKUA_OP_POLL:
        return run_poll(op);
    case SKUA_OP_OPENAT:
    case SKUA_OP_STATX:
    case SKUA_OP_RENAMEAT:
    case SKUA_OP_UNLINKAT:
    case SKUA_OP_MKDIRAT:
    case SKUA_OP_LINKAT:
    case SKUA_OP_SYMLINKAT:
        return run_on_path(op);
    default:
        return skua_op_perform_socket(op);
    }
}

/* Not inlined: nobody may share an errno address with a caller that can switch threads. */
SKUA_NOINLINE void skua_op_perform(skua_op *op)
{
    skua_assert(op != NULL);
    int saved_errno = errno;
    op->result = run(op);
    errno = saved_errno;
}

void skua_op_run_blocking(skua_op *op)
{
    if (skua_vthread_simulated())
        skua_sim_hooks()->run_blocking(op);
    else
        skua_op_perform(op);
}
