/*
 * skua/file.h - files: POSIX's calls, through the ring of the worker the task runs on.
 *
 * Common to all of them:
 *   On a worker the task parks and the request goes to that worker's ring; what the running
 *   kernel's io_uring lacks is offloaded to the blocking executor. On executor and foreign threads
 *   the call is the plain system call. -EINTR is retried. A read or write may be short, as in
 *   POSIX; the _all forms go on. One request moves 0x7ffff000 bytes at most, as in Linux. A
 *   descriptor without a position (pipe, socket, terminal) ignores the offset of a read or write,
 *   on every thread. O_NONBLOCK: a ring waits for a pipe, socket or terminal all the same; on other
 *   threads -EAGAIN is returned. (An op with RWF_NOWAIT, see skua/op.h, waits nowhere.) A cancelled
 *   call returns -ECANCELED only if nothing was done; a result that is there is returned. Buffers
 *   and paths must stay valid until the call returns. Each also returns -ENOMEM if the kernel could
 *   not take the request, and every -errno of the system call of its name.
 */
#ifndef SKUA_FILE_H
#define SKUA_FILE_H

#include <skua/base.h>

#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

struct statx;

/**
 * Opens @path relative to the working directory. O_CLOEXEC is always set.
 * Context: any; waits.
 * Cancellation: -ECANCELED, and then no descriptor was left open.
 * Returns: a descriptor, or -errno of open(2); -EINVAL if @path is NULL.
 */
SKUA_API int skua_open(const char *path, int flags, mode_t mode);

/**
 * Opens @path relative to @dirfd (AT_FDCWD: the working directory). O_CLOEXEC is always set.
 * Context: any; waits.
 * Cancellation: -ECANCELED, and then no descriptor was left open.
 * Returns: a descriptor, or -errno of openat(2); -EINVAL if @path is NULL.
 */
SKUA_API int skua_openat(int dirfd, const char *path, int flags, mode_t mode);

/**
 * Closes @fd. It is closed whatever is returned, unless that is -EBADF: never close it again, not
 * even after -EINTR. Not interrupted by a cancel: cleanup works in a cancelled task.
 * Context: any; waits.
 * Cancellation: not a cancellation point.
 * Returns: 0, or -errno of close(2).
 */
SKUA_API int skua_close(int fd);

/**
 * Reads at the file position. Tasks reading one descriptor at once get the bytes in no order.
 * Context: any; waits.
 * Cancellation: -ECANCELED if nothing was read.
 * Returns: the number of bytes, 0 at the end, or -errno of read(2).
 */
SKUA_API ssize_t skua_read(int fd, void *buffer, size_t size);

/**
 * Writes at the file position (O_APPEND: at the end).
 * Context: any; waits.
 * Cancellation: -ECANCELED if nothing was written.
 * Returns: the number of bytes, or -errno of write(2).
 */
SKUA_API ssize_t skua_write(int fd, const void *buffer, size_t size);

/**
 * Reads at @offset.
 * Context: any; waits.
 * Cancellation: -ECANCELED if nothing was read.
 * Returns: the number of bytes, 0 at the end, or -errno of pread(2); -EINVAL if @offset is over
 *   INT64_MAX.
 */
SKUA_API ssize_t skua_pread(int fd, void *buffer, size_t size, uint64_t offset);

/**
 * Writes at @offset.
 * Context: any; waits.
 * Cancellation: -ECANCELED if nothing was written.
 * Returns: the number of bytes, or -errno of pwrite(2); -EINVAL if @offset is over INT64_MAX.
 */
SKUA_API ssize_t skua_pwrite(int fd, const void *buffer, size_t size, uint64_t offset);

/**
 * Reads at @offset until @size bytes are there or the file ends.
 * Context: any; waits.
 * Cancellation: -ECANCELED if nothing was read; bytes read before the cancel are returned.
 * Returns: the number of bytes (short only at the end, or if an error or cancel came after some),
 *   or -errno of pread(2); -EINVAL if @offset or @size is over INT64_MAX.
 */
SKUA_API ssize_t skua_pread_all(int fd, void *buffer, size_t size, uint64_t offset);

/**
 * Writes all of @size bytes at @offset.
 * Context: any; waits.
 * Cancellation: -ECANCELED if nothing was written; bytes written before the cancel are returned.
 * Returns: the number of bytes (short only if an error or cancel came after some), or -errno of
 *   pwrite(2); -EINVAL if @offset or @size is over INT64_MAX; -EIO if the kernel writes nothing
 *   without saying why.
 */
SKUA_API ssize_t skua_pwrite_all(int fd, const void *buffer, size_t size, uint64_t offset);

/**
 * Reads into @count buffers at @offset (SKUA_OFFSET_CURRENT: at the file position).
 * Context: any; waits.
 * Cancellation: -ECANCELED if nothing was read.
 * Returns: the number of bytes, 0 at the end, or -errno of preadv2(2).
 */
SKUA_API ssize_t skua_preadv(int fd, const struct iovec *iov, unsigned count, uint64_t offset);

/**
 * Writes from @count buffers at @offset (SKUA_OFFSET_CURRENT: at the file position).
 * Context: any; waits.
 * Cancellation: -ECANCELED if nothing was written.
 * Returns: the number of bytes, or -errno of pwritev2(2).
 */
SKUA_API ssize_t skua_pwritev(int fd, const struct iovec *iov, unsigned count, uint64_t offset);

/**
 * Reads into @count buffers at the file position.
 * Context: any; waits.
 * Cancellation: -ECANCELED if nothing was read.
 * Returns: the number of bytes, 0 at the end, or -errno of readv(2).
 */
SKUA_API ssize_t skua_readv(int fd, const struct iovec *iov, unsigned count);

/**
 * Writes from @count buffers at the file position.
 * Context: any; waits.
 * Cancellation: -ECANCELED if nothing was written.
 * Returns: the number of bytes, or -errno of writev(2).
 */
SKUA_API ssize_t skua_writev(int fd, const struct iovec *iov, unsigned count);

/**
 * Writes data and metadata of @fd to the device.
 * Context: any; waits.
 * Cancellation: -ECANCELED; what was written until then is unknown.
 * Returns: 0, or -errno of fsync(2).
 */
SKUA_API int skua_fsync(int fd);

/**
 * Writes the data of @fd, and the metadata needed to read it back, to the device.
 * Context: any; waits.
 * Cancellation: -ECANCELED; what was written until then is unknown.
 * Returns: 0, or -errno of fdatasync(2).
 */
SKUA_API int skua_fdatasync(int fd);

/**
 * Asks for the attributes in @mask of @path. @flags are statx(2)'s; AT_EMPTY_PATH works.
 * Context: any; waits.
 * Cancellation: -ECANCELED.
 * Returns: 0, or -errno of statx(2); -EINVAL if a pointer is NULL.
 */
SKUA_API int skua_statx(int dirfd, const char *path, int flags, unsigned mask,
                        struct statx *statxbuf);

/**
 * Allocates or frees space of a file.
 * Context: any; waits.
 * Cancellation: -ECANCELED.
 * Returns: 0, or -errno of fallocate(2).
 */
SKUA_API int skua_fallocate(int fd, int mode, uint64_t offset, uint64_t size);

/**
 * Sets the length of a file. In the ring since Linux 6.9, else offloaded.
 * Context: any; waits.
 * Cancellation: -ECANCELED.
 * Returns: 0, or -errno of ftruncate(2).
 */
SKUA_API int skua_ftruncate(int fd, uint64_t size);

/**
 * Renames @from to @to, replacing it. Paths are relative to the working directory.
 * Context: any; waits.
 * Cancellation: -ECANCELED if it was not done.
 * Returns: 0, or -errno of rename(2); -EINVAL if a path is NULL.
 */
SKUA_API int skua_rename(const char *from, const char *to);

/**
 * Renames with directories and flags (RENAME_NOREPLACE, RENAME_EXCHANGE).
 * Context: any; waits.
 * Cancellation: -ECANCELED if it was not done.
 * Returns: 0, or -errno of renameat2(2); -EINVAL if a path is NULL.
 */
SKUA_API int skua_renameat(int from_dirfd, const char *from, int to_dirfd, const char *to,
                           unsigned flags);

/**
 * Removes the name @path.
 * Context: any; waits.
 * Cancellation: -ECANCELED if it was not done.
 * Returns: 0, or -errno of unlink(2); -EINVAL if @path is NULL.
 */
SKUA_API int skua_unlink(const char *path);

/**
 * Removes a name relative to @dirfd; AT_REMOVEDIR in @flags removes a directory.
 * Context: any; waits.
 * Cancellation: -ECANCELED if it was not done.
 * Returns: 0, or -errno of unlinkat(2); -EINVAL if @path is NULL.
 */
SKUA_API int skua_unlinkat(int dirfd, const char *path, int flags);

/**
 * Makes a directory.
 * Context: any; waits.
 * Cancellation: -ECANCELED if it was not done.
 * Returns: 0, or -errno of mkdir(2); -EINVAL if @path is NULL.
 */
SKUA_API int skua_mkdir(const char *path, mode_t mode);

/**
 * Makes a directory relative to @dirfd.
 * Context: any; waits.
 * Cancellation: -ECANCELED if it was not done.
 * Returns: 0, or -errno of mkdirat(2); -EINVAL if @path is NULL.
 */
SKUA_API int skua_mkdirat(int dirfd, const char *path, mode_t mode);

/**
 * Makes @to another name of the file @from.
 * Context: any; waits.
 * Cancellation: -ECANCELED if it was not done.
 * Returns: 0, or -errno of link(2); -EINVAL if a path is NULL.
 */
SKUA_API int skua_link(const char *from, const char *to);

/**
 * Makes @path a symbolic link that holds @target.
 * Context: any; waits.
 * Cancellation: -ECANCELED if it was not done.
 * Returns: 0, or -errno of symlink(2); -EINVAL if a pointer is NULL.
 */
SKUA_API int skua_symlink(const char *target, const char *path);

/**
 * Moves up to @size bytes between a pipe and another descriptor without copying through user space.
 * An offset of SKUA_OFFSET_CURRENT uses the descriptor's position; pipes need it.
 * Context: any; waits.
 * Cancellation: -ECANCELED if nothing was moved.
 * Returns: the number of bytes, 0 at the end, or -errno of splice(2).
 */
SKUA_API ssize_t skua_splice(int from_fd, uint64_t from_offset, int to_fd, uint64_t to_offset,
                             size_t size, unsigned flags);

/**
 * Tells the kernel how a part of a file will be used (POSIX_FADV_...).
 * Context: any; waits.
 * Cancellation: -ECANCELED.
 * Returns: 0, or -errno of posix_fadvise(2).
 */
SKUA_API int skua_fadvise(int fd, uint64_t offset, uint64_t size, int advice);

/**
 * Tells the kernel how a range of memory will be used (MADV_...).
 * Context: any; waits.
 * Cancellation: -ECANCELED.
 * Returns: 0, or -errno of madvise(2).
 */
SKUA_API int skua_madvise(void *addr, size_t size, int advice);

/* An open directory listing. */
typedef struct skua_dir skua_dir;

/* One entry. @name is valid until the next skua_dir_read() or skua_dir_close(). */
typedef struct skua_dirent {
    const char *name;
    uint64_t inode;
    uint8_t type; /* DT_REG, DT_DIR, ... or DT_UNKNOWN, as in readdir(3) */
} skua_dirent;

/**
 * Opens the directory @path relative to @dirfd for listing. @flags: 0 or O_NOFOLLOW.
 * Context: any; waits.
 * Cancellation: -ECANCELED, and then nothing was left open.
 * Ownership: the caller closes *@dir.
 * Returns: 0; -errno of openat(2); -EINVAL if a pointer is NULL or @flags has another bit; -ENOMEM.
 */
SKUA_API int skua_dir_open(int dirfd, const char *path, int flags, skua_dir **dir);

/**
 * Reads up to @count entries at once, without "." and "..", in the order the file system has them.
 * The system call runs on the blocking executor, a large batch at a time; a short count does not
 * mean the end.
 * Context: any; waits. One caller at a time.
 * Cancellation: -ECANCELED; no entry is lost. Entries that are there are returned.
 * Returns: the number of entries, 0 at the end; -errno of getdents64(2) (-ENOENT if the directory
 *   has been removed); -EINVAL if a pointer is NULL or @count is 0; -EAGAIN if the executor is
 *   full; -ESHUTDOWN; -EIO if the kernel's list is malformed. After an error the next call goes on.
 */
SKUA_API ssize_t skua_dir_read(skua_dir *dir, skua_dirent *entries, size_t count);

/**
 * The descriptor of the directory, for the ...at() calls.
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Ownership: borrowed.
 * Returns: a descriptor; -EINVAL if @dir is NULL.
 */
SKUA_API int skua_dir_fd(const skua_dir *dir);

/**
 * Closes a listing.
 * Context: any; waits.
 * Cancellation: not a cancellation point.
 * Ownership: consumes @dir. NULL is accepted.
 * Returns: nothing.
 */
SKUA_API void skua_dir_close(skua_dir *dir);

/**
 * Copies the contents of the regular file @from to @to, which is created with @from's permission
 * bits (within the umask) or overwritten; symbolic links are followed. The kernel copies or shares
 * the blocks where the file systems can (copy_file_range(2), offloaded); otherwise the bytes go
 * through this process. Holes may be filled with zeros. After a failure @to stays, with the part
 * that was copied. @to may be a device or pipe; these are written to as they are.
 * Context: any; waits.
 * Cancellation: -ECANCELED, after the chunk of a few MiB being copied; @to may hold a part.
 * Returns: the number of bytes; -errno of what failed; -EISDIR if either is a directory; -EINVAL if
 *   a path is NULL, @from is no regular file, or @from and @to are one file, which is not harmed.
 * Source: copy_file_range(2).
 */
SKUA_API int64_t skua_copy_file(const char *from, const char *to);

#ifdef __cplusplus
}
#endif

#endif /* SKUA_FILE_H */
