/*
 * io/dir.c - listing directories.
 *
 * Owns skua_dir: a descriptor and one getdents64(2) buffer. The public calls are the only users.
 * io_uring has no getdents, so the system call runs in a blocking section, 32 KiB at a time
 * (several hundred entries: the price of the hop is shared among them).
 *
 * Must stay true:
 *   - buffer[at, filled) holds the entries not yet handed out: 0 <= at <= filled <= BUFFER_BYTES.
 *   - Names handed out point into buffer, so it is refilled only by a call that has handed out
 *     none: one skua_dir_read() never gives entries of two fills.
 *   - A cancelled read has consumed nothing: a fill that took place is kept.
 */
#include <skua/file.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdalign.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/compiler.h"
#include "io/blocking_section.h"

#define BUFFER_BYTES ((size_t)32768)

struct skua_dir {
    int fd;
    size_t at;     /* the next entry to hand out */
    size_t filled; /* end of the entries */
    alignas(struct dirent64) char buffer[BUFFER_BYTES];
};

int skua_dir_open(int dirfd, const char *path, int flags, skua_dir **dir)
{
    if (!path || !dir || (flags & ~O_NOFOLLOW))
        return -EINVAL;
    struct skua_dir *opened = skua_malloc(sizeof(*opened));
    if (!opened)
        return -ENOMEM;
    opened->at = 0;
    opened->filled = 0;
    opened->fd = skua_openat(dirfd, path, O_RDONLY | O_DIRECTORY | flags, 0);
    if (opened->fd < 0) {
        int result = opened->fd;
        free(opened);
        return result;
    }
    *dir = opened;
    return 0;
}

/* The system call, on a thread that may block. Its own frame: errno belongs to this thread only. */
static SKUA_NOINLINE ssize_t read_entries(struct skua_dir *dir)
{
    int saved_errno = errno;
    ssize_t n = getdents64(dir->fd, dir->buffer, BUFFER_BYTES);
    if (n < 0)
        n = -errno;
    errno = saved_errno;
    return n;
}

/* Fills the empty buffer. Returns the bytes, 0 at the end, or -errno. */
static ssize_t fill(struct skua_dir *dir)
{
    skua_assert(dir->at == dir->filled);
    ssize_t n;
    do {
        bool moved;
        int result = skua_blocking_section_begin(&moved);
        if (result < 0)
            return result;
        n = read_entries(dir);
        skua_blocking_section_end(moved);
    } while (n == -EINTR); /* a signal each turn; a cancel ends it above */
    if (n > 0) {
        dir->at = 0;
        dir->filled = (size_t)n;
    }
    return n;
}

static bool is_self_or_parent(const char *name)
{
    return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

/* Hands out what the buffer has. Returns how many entries; 0 leaves it empty. */
static ssize_t take_entries(struct skua_dir *dir, skua_dirent *entries, size_t count)
{
    size_t taken = 0;
    while (taken < count && dir->at < dir->filled) {
        const struct dirent64 *entry = (const struct dirent64 *)(void *)(dir->buffer + dir->at);
        if (entry->d_reclen <= offsetof(struct dirent64, d_name) ||
            entry->d_reclen > dir->filled - dir->at)
            return taken > 0 ? (ssize_t)taken : -EIO;
        dir->at += entry->d_reclen;
        if (is_self_or_parent(entry->d_name))
            continue;
        entries[taken++] = (skua_dirent){
            .name = entry->d_name,
            .inode = entry->d_ino,
            .type = entry->d_type,
        };
    }
    skua_assert(dir->at <= dir->filled);
    return (ssize_t)taken;
}

ssize_t skua_dir_read(skua_dir *dir, skua_dirent *entries, size_t count)
{
    if (!dir || !entries || count == 0)
        return -EINVAL;
    for (;;) { /* a second turn only after a fill of nothing but "." and ".." */
        ssize_t taken = take_entries(dir, entries, count);
        if (taken != 0)
            return taken;
        ssize_t filled = fill(dir);
        if (filled <= 0)
            return filled;
    }
}

int skua_dir_fd(const skua_dir *dir)
{
    return dir ? dir->fd : -EINVAL;
}

void skua_dir_close(skua_dir *dir)
{
    if (!dir)
        return;
    (void)skua_close(dir->fd); /* nothing was written: there is no error to lose */
    free(dir);
}
