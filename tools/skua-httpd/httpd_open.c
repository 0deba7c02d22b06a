/*
 * httpd_open.c - opening files below the root.
 *
 * openat2(2) with RESOLVE_BENEATH has the kernel see to it that neither ".." nor a symbolic link
 * leads out, also if names are changed meanwhile. It is tried at once with RESOLVE_CACHED, which
 * fails rather than wait for a disk; only then is a thread of the blocking executor taken.
 *
 * Kernels before 5.6, and sandboxes that know no openat2, get a walk from directory to directory
 * that follows no links at all, not even those that stay inside.
 */
#include "httpd_open.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <skua/skua.h>

/* O_NONBLOCK: a fifo somebody put there must not hold a thread. */
#define OPEN_FLAGS (O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)

#define NOINLINE __attribute__((noinline))

static _Atomic bool no_openat2;
static _Atomic bool no_cached;

static NOINLINE int open_beneath(int root_fd, const char *path, uint64_t resolve)
{
    struct open_how how = {.flags = OPEN_FLAGS,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | resolve};
    long fd = syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
    return fd < 0 ? -errno : (int)fd;
}

static NOINLINE int open_part(int dir_fd, const char *name, int flags)
{
    int fd = openat(dir_fd, name, flags | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? -errno : fd;
}

/* Goes down part by part. */
static int open_by_walk(int root_fd, const char *path)
{
    char part[NAME_MAX + 1];
    int dir_fd = root_fd;
    for (;;) {
        size_t size = strcspn(path, "/");
        bool last = path[size] == '\0';
        int fd = -ENAMETOOLONG;
        if (size <= NAME_MAX) {
            memcpy(part, path, size);
            part[size] = '\0';
            fd = open_part(dir_fd, part, last ? OPEN_FLAGS : O_PATH | O_DIRECTORY);
        }
        if (dir_fd != root_fd)
            (void)close(dir_fd);
        if (last || fd < 0)
            return fd;
        dir_fd = fd;
        path += size + 1;
    }
}

/* relaxed, both flags: they only save a call that fails */
static int open_waiting(int root_fd, const char *path)
{
    int rc = skua_hop(NULL);
    if (rc < 0)
        return rc;
    int fd = -ENOSYS;
    if (!atomic_load_explicit(&no_openat2, memory_order_relaxed))
        fd = open_beneath(root_fd, path, 0);
    if (fd == -ENOSYS || fd == -EPERM) {
        atomic_store_explicit(&no_openat2, true, memory_order_relaxed);
        fd = open_by_walk(root_fd, path);
    }
    (void)skua_hop_back();
    return fd;
}

static int open_any(int root_fd, const char *path)
{
    if (!atomic_load_explicit(&no_openat2, memory_order_relaxed) &&
        !atomic_load_explicit(&no_cached, memory_order_relaxed)) {
        int fd = open_beneath(root_fd, path, RESOLVE_CACHED);
        if (fd == -EINVAL)
            atomic_store_explicit(&no_cached, true, memory_order_relaxed); /* before Linux 5.12 */
        else if (fd != -EAGAIN && fd != -ENOSYS && fd != -EPERM)
            return fd;
    }
    return open_waiting(root_fd, path);
}

static NOINLINE int stat_now(int fd, struct stat *stat)
{
    return fstat(fd, stat) < 0 ? -errno : 0;
}

int skua_httpd_open(int root_fd, const char *path, struct stat *stat)
{
    int fd = open_any(root_fd, path[0] == '\0' ? "." : path);
    if (fd < 0)
        return fd;
    int rc = stat_now(fd, stat);
    if (rc == 0 && !S_ISREG(stat->st_mode) && !S_ISDIR(stat->st_mode))
        rc = -EACCES;
    if (rc == 0)
        return fd;
    (void)close(fd);
    return rc;
}
