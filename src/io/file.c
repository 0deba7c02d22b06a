/*
 * io/file.c - the calls of skua/file.h that are one request each.
 *
 * Owns nothing: each call describes one op on the caller's stack, submits it through io/op.c and
 * returns its result. Listings are in io/dir.c, skua_copy_file() in io/copy_file.c.
 *
 * Must stay true:
 *   - A result that is there beats the cancel: skua_op_submit() may say -ECANCELED of an op that
 *     was carried out, and dropping its result would leak a descriptor or lose bytes.
 *   - -EINTR never leaves this file, but for close(): retrying that one could close a descriptor
 *     somebody else has just been given.
 *   - skua_close() is submitted shielded: cleanup works in a cancelled task.
 *   - Counts fit the 32 bits a ring has for them.
 */
#include <skua/file.h>

#include <skua/op.h>

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/compiler.h"
#include "io/op.h"

/* pread(2) takes no negative offset; SKUA_OFFSET_CURRENT is one. */
static bool offset_valid(uint64_t offset)
{
    return offset <= INT64_MAX;
}

int skua_open(const char *path, int flags, mode_t mode)
{
    return skua_openat(AT_FDCWD, path, flags, mode);
}

int skua_openat(int dirfd, const char *path, int flags, mode_t mode)
{
    if (!path)
        return -EINVAL;
    skua_op op = {
        .code = SKUA_OP_OPENAT,
        .fd = dirfd,
        .addr = (void *)path,
        .flags = (uint32_t)flags | O_CLOEXEC,
        .len = mode,
    };
    return (int)skua_op_run(&op);
}

int skua_close(int fd)
{
    skua_op op = {.code = SKUA_OP_CLOSE, .fd = fd};
    int submitted = skua_op_submit_shielded(&op, 1);
    return submitted < 0 ? submitted : (int)op.result;
}

ssize_t skua_read(int fd, void *buffer, size_t size)
{
    skua_op op = {
        .code = SKUA_OP_READ,
        .fd = fd,
        .addr = buffer,
        .len = skua_op_transfer_bytes(size),
        .offset = SKUA_OFFSET_CURRENT,
    };
    return skua_op_run(&op);
}

ssize_t skua_write(int fd, const void *buffer, size_t size)
{
    skua_op op = {
        .code = SKUA_OP_WRITE,
        .fd = fd,
        .addr = (void *)buffer,
        .len = skua_op_transfer_bytes(size),
        .offset = SKUA_OFFSET_CURRENT,
    };
    return skua_op_run(&op);
}

ssize_t skua_pread(int fd, void *buffer, size_t size, uint64_t offset)
{
    if (!offset_valid(offset))
        return -EINVAL;
    skua_op op = {
        .code = SKUA_OP_READ,
        .fd = fd,
        .addr = buffer,
        .len = skua_op_transfer_bytes(size),
        .offset = offset,
    };
    return skua_op_run(&op);
}

ssize_t skua_pwrite(int fd, const void *buffer, size_t size, uint64_t offset)
{
    if (!offset_valid(offset))
        return -EINVAL;
    skua_op op = {
        .code = SKUA_OP_WRITE,
        .fd = fd,
        .addr = (void *)buffer,
        .len = skua_op_transfer_bytes(size),
        .offset = offset,
    };
    return skua_op_run(&op);
}

ssize_t skua_pread_all(int fd, void *buffer, size_t size, uint64_t offset)
{
    if (size > INT64_MAX || !offset_valid(offset))
        return -EINVAL;
    size_t done = 0;
    do {
        ssize_t n = skua_pread(fd, (char *)buffer + done, size - done, offset + done);
        if (n < 0)
            return done > 0 ? (ssize_t)done : n;
        if (n == 0)
            break;
        done += (size_t)n;
    } while (done < size);
    return (ssize_t)done;
}

ssize_t skua_pwrite_all(int fd, const void *buffer, size_t size, uint64_t offset)
{
    if (size > INT64_MAX || !offset_valid(offset))
        return -EINVAL;
    size_t done = 0;
    do {
        ssize_t n = skua_pwrite(fd, (const char *)buffer + done, size - done, offset + done);
        if (n == 0 && size > 0)
            n = -EIO; /* no progress and no reason: going on could last for ever */
        if (n < 0)
            return done > 0 ? (ssize_t)done : n;
        done += (size_t)n;
    } while (done < size);
    return (ssize_t)done;
}

/* readv(2) and its kin, at @offset or at the position. */
static ssize_t run_vectored(skua_op_code code, int fd, const struct iovec *iov, unsigned count,
                            uint64_t offset)
{
    skua_op op = {
        .code = (uint8_t)code,
        .fd = fd,
        .addr = (void *)iov,
        .len = count,
        .offset = offset,
    };
    return skua_op_run(&op);
}

ssize_t skua_preadv(int fd, const struct iovec *iov, unsigned count, uint64_t offset)
{
    return run_vectored(SKUA_OP_READV, fd, iov, count, offset);
}

ssize_t skua_pwritev(int fd, const struct iovec *iov, unsigned count, uint64_t offset)
{
    return run_vectored(SKUA_OP_WRITEV, fd, iov, count, offset);
}

ssize_t skua_readv(int fd, const struct iovec *iov, unsigned count)
{
    return run_vectored(SKUA_OP_READV, fd, iov, count, SKUA_OFFSET_CURRENT);
}

ssize_t skua_writev(int fd, const struct iovec *iov, unsigned count)
{
    return run_vectored(SKUA_OP_WRITEV, fd, iov, count, SKUA_OFFSET_CURRENT);
}

int skua_fsync(int fd)
{
    skua_op op = {.code = SKUA_OP_FSYNC, .fd = fd};
    return (int)skua_op_run(&op);
}

int skua_fdatasync(int fd)
{
    skua_op op = {.code = SKUA_OP_FSYNC, .fd = fd, .flags = 1};
    return (int)skua_op_run(&op);
}

int skua_statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *statxbuf)
{
    if (!path || !statxbuf)
        return -EINVAL;
    skua_op op = {
        .code = SKUA_OP_STATX,
        .fd = dirfd,
        .addr = (void *)path,
        .flags = (uint32_t)flags,
        .len = mask,
        .addr2 = statxbuf,
    };
    return (int)skua_op_run(&op);
}

int skua_fallocate(int fd, int mode, uint64_t offset, uint64_t size)
{
    skua_op op = {
        .code = SKUA_OP_FALLOCATE,
        .fd = fd,
        .flags = (uint32_t)mode,
        .offset = offset,
        .len = size,
    };
    return (int)skua_op_run(&op);
}

int skua_ftruncate(int fd, uint64_t size)
{
    skua_op op = {.code = SKUA_OP_FTRUNCATE, .fd = fd, .len = size};
    return (int)skua_op_run(&op);
}

int skua_rename(const char *from, const char *to)
{
    return skua_renameat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int skua_renameat(int from_dirfd, const char *from, int to_dirfd, const char *to, unsigned flags)
{
    if (!from || !to)
        return -EINVAL;
    skua_op op = {
        .code = SKUA_OP_RENAMEAT,
        .fd = from_dirfd,
        .addr = (void *)from,
        .fd2 = to_dirfd,
        .addr2 = (void *)to,
        .flags = flags,
    };
    return (int)skua_op_run(&op);
}

int skua_unlink(const char *path)
{
    return skua_unlinkat(AT_FDCWD, path, 0);
}

int skua_unlinkat(int dirfd, const char *path, int flags)
{
    if (!path)
        return -EINVAL;
    skua_op op = {
        .code = SKUA_OP_UNLINKAT,
        .fd = dirfd,
        .addr = (void *)path,
        .flags = (uint32_t)flags,
    };
    return (int)skua_op_run(&op);
}

int skua_mkdir(const char *path, mode_t mode)
{
    return skua_mkdirat(AT_FDCWD, path, mode);
}

int skua_mkdirat(int dirfd, const char *path, mode_t mode)
{
    if (!path)
        return -EINVAL;
    skua_op op = {.code = SKUA_OP_MKDIRAT, .fd = dirfd, .addr = (void *)path, .len = mode};
    return (int)skua_op_run(&op);
}

int skua_link(const char *from, const char *to)
{
    if (!from || !to)
        return -EINVAL;
    skua_op op = {
        .code = SKUA_OP_LINKAT,
        .fd = AT_FDCWD,
        .addr = (void *)from,
        .fd2 = AT_FDCWD,
        .addr2 = (void *)to,
    };
    return (int)skua_op_run(&op);
}

int skua_symlink(const char *target, const char *path)
{
    if (!target || !path)
        return -EINVAL;
    skua_op op = {
        .code = SKUA_OP_SYMLINKAT,
        .addr = (void *)target,
        .fd = AT_FDCWD,
        .addr2 = (void *)path,
    };
    return (int)skua_op_run(&op);
}

ssize_t skua_splice(int from_fd, uint64_t from_offset, int to_fd, uint64_t to_offset, size_t size,
                    unsigned flags)
{
    skua_op op = {
        .code = SKUA_OP_SPLICE,
        .fd = from_fd,
        .offset = from_offset,
        .fd2 = to_fd,
        .offset2 = to_offset,
        .len = skua_op_transfer_bytes(size),
        .flags = flags,
    };
    return skua_op_run(&op);
}

int skua_fadvise(int fd, uint64_t offset, uint64_t size, int advice)
{
    skua_op op = {
        .code = SKUA_OP_FADVISE,
        .fd = fd,
        .offset = offset,
        .len = size,
        .flags = (uint32_t)advice,
    };
    return (int)skua_op_run(&op);
}

int skua_madvise(void *addr, size_t size, int advice)
{
    skua_op op = {
        .code = SKUA_OP_MADVISE,
        .addr = addr,
        .len = size,
        .flags = (uint32_t)advice,
    };
    return (int)skua_op_run(&op);
}
