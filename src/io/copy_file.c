/*
 * io/copy_file.c - skua_copy_file().
 *
 * Owns the two descriptors of a copy for the length of the call.
 *
 * The kernel copies by copy_file_range(2), in a blocking section because no ring has it: the task
 * moves once, copies chunk after chunk, looks for a cancel between them, and comes back. What the
 * kernel or the file systems refuse is read and written through the ring from where the kernel
 * stopped; both ways use the positions of the descriptors, so either can follow the other.
 *
 * Must stay true:
 *   - The source is looked at before it is opened: opening a FIFO would wait for a writer.
 *   - The target is truncated only once it is known to be another file than the source.
 *   - On failure and cancel the target keeps what it has got: removing it would destroy a name the
 *     caller may have had before.
 */
#include <skua/file.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/compiler.h"
#include "io/blocking_section.h"

/* One copy_file_range(): what a cancel may have to wait for. Some 10 ms through the page cache. */
#define RANGE_BYTES ((size_t)8 << 20)

/* The buffer of the other way: beyond this size larger requests gain little. */
#define BLOCK_BYTES ((size_t)128 << 10)

#define STATX_WANTED (STATX_TYPE | STATX_MODE | STATX_INO)

struct copy {
    int from_fd;
    int to_fd;
    int64_t done; /* bytes in the target */
};

/* What is left to do after the kernel's way. */
enum { COPY_COMPLETE = 0, COPY_GO_ON = 1 };

static int check_source(const struct statx *source)
{
    if (S_ISDIR(source->stx_mode))
        return -EISDIR;
    return S_ISREG(source->stx_mode) ? 0 : -EINVAL;
}

static int open_source(struct copy *copy, const char *path, struct statx *source)
{
    int result = skua_statx(AT_FDCWD, path, 0, STATX_WANTED, source);
    if (result == 0)
        result = check_source(source);
    if (result < 0)
        return result;
    copy->from_fd = skua_open(path, O_RDONLY | O_NOCTTY, 0);
    if (copy->from_fd < 0)
        return copy->from_fd;
    /* Again, of what was opened: the name may have been given to another file. */
    result = skua_statx(copy->from_fd, "", AT_EMPTY_PATH, STATX_WANTED, source);
    return result < 0 ? result : check_source(source);
}

static bool same_file(const struct statx *a, const struct statx *b)
{
    return a->stx_dev_major == b->stx_dev_major && a->stx_dev_minor == b->stx_dev_minor &&
           a->stx_ino == b->stx_ino;
}

static int open_target(struct copy *copy, const char *path, const struct statx *source)
{
    mode_t mode = source->stx_mode & (S_IRWXU | S_IRWXG | S_IRWXO);
    copy->to_fd = skua_open(path, O_WRONLY | O_CREAT | O_NOCTTY, mode);
    if (copy->to_fd < 0)
        return copy->to_fd;
    struct statx target;
    int result = skua_statx(copy->to_fd, "", AT_EMPTY_PATH, STATX_WANTED, &target);
    if (result < 0)
        return result;
    if (same_file(source, &target))
        return -EINVAL;
    /* Devices and pipes have no length to cut. */
    return S_ISREG(target.stx_mode) ? skua_ftruncate(copy->to_fd, 0) : 0;
}

/* True of the errors that say "not this way". EPERM: a filter that does not know the call. */
static bool range_unsupported(int error)
{
    return error == EXDEV || error == EINVAL || error == ENOSYS || error == EOPNOTSUPP ||
           error == EPERM;
}

/*
 * Copies on a thread that may block, until the source ends. Returns COPY_COMPLETE, COPY_GO_ON or
 * -errno. A first answer of 0 is not believed: files of /proc and the like have bytes but no size.
 */
static SKUA_NOINLINE int copy_ranges(struct copy *copy)
{
    int saved_errno = errno;
    int result = COPY_GO_ON;
    for (;;) { /* every turn moves bytes, or a signal came */
        if (skua_cancelled()) {
            result = -ECANCELED;
            break;
        }
        ssize_t n = copy_file_range(copy->from_fd, NULL, copy->to_fd, NULL, RANGE_BYTES, 0);
        if (n > 0) {
            copy->done += n;
        } else if (n == 0) {
            result = copy->done > 0 ? COPY_COMPLETE : COPY_GO_ON;
            break;
        } else if (errno != EINTR) {
            result = range_unsupported(errno) ? COPY_GO_ON : -errno;
            break;
        }
    }
    errno = saved_errno;
    return result;
}

/* Moves one block through @buffer. Returns its bytes, 0 at the end, or -errno. */
static ssize_t copy_block(struct copy *copy, char *buffer)
{
    ssize_t size = skua_read(copy->from_fd, buffer, BLOCK_BYTES);
    if (size <= 0)
        return size;
    ssize_t written = 0;
    while (written < size) {
        ssize_t n = skua_write(copy->to_fd, buffer + written, (size_t)(size - written));
        if (n <= 0)
            return n < 0 ? n : -EIO; /* no progress and no reason */
        written += n;
        copy->done += n;
    }
    return size;
}

static int copy_blocks(struct copy *copy)
{
    char *buffer = skua_malloc(BLOCK_BYTES);
    if (!buffer)
        return -ENOMEM;
    ssize_t result;
    do
        result = copy_block(copy, buffer);
    while (result > 0);
    free(buffer);
    return (int)result;
}

static int copy_contents(struct copy *copy)
{
    bool moved;
    int result = skua_blocking_section_begin(&moved);
    if (result == 0) {
        result = copy_ranges(copy);
        skua_blocking_section_end(moved);
    } else if (result != -ECANCELED) {
        result = COPY_GO_ON; /* the executor takes nothing: the ring does */
    }
    skua_assert(result <= COPY_GO_ON);
    return result == COPY_GO_ON ? copy_blocks(copy) : result;
}

int64_t skua_copy_file(const char *from, const char *to)
{
    if (!from || !to)
        return -EINVAL;
    struct copy copy = {.from_fd = -1, .to_fd = -1};
    struct statx source;
    int result = open_source(&copy, from, &source);
    if (result == 0)
        result = open_target(&copy, to, &source);
    if (result == 0)
        result = copy_contents(&copy);
    if (copy.to_fd >= 0) {
        int closed = skua_close(copy.to_fd); /* may be the first to tell of a full quota */
        if (result == 0)
            result = closed;
    }
    if (copy.from_fd >= 0)
        (void)skua_close(copy.from_fd);
    return result < 0 ? result : copy.done;
}
