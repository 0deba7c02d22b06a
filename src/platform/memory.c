/*
 * platform/memory.c - see memory.h.
 *
 * Owns what was probed: two facts about the kernel. Threads may learn them at the same time and
 * store the same value, so relaxed is enough; a stale read costs one refused call more.
 *
 * Guards of one slab are set in one process_madvise() call where the kernel lets a process name
 * itself without a descriptor (PIDFD_SELF, Linux 6.15): 450 ns a guard instead of 570. Filling the
 * pages in the same manner (MADV_POPULATE_WRITE) was measured too: 1480 ns a page against 1270 for
 * a plain fault, so nothing here does it.
 *
 * Source: madvise(2), process_madvise(2), mincore(2).
 */
#include "platform/memory.h"

#include "base/check.h"
#include "platform/valgrind.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* Of <linux/mman.h>, <linux/pidfd.h>: newer than the headers this builds with. */
#define ADVICE_GUARD_INSTALL 102
#define PIDFD_SELF_THREAD_ID (-10000)
#define GUARD_VECTOR_MAX 64

static skua_memory_fault *_Atomic fault_hook;
enum { GUARD_INSTALL_UNKNOWN, GUARD_INSTALL_WORKS, GUARD_INSTALL_REFUSED };
static _Atomic int guard_install = GUARD_INSTALL_UNKNOWN;
static _Atomic bool guard_vector_refused;

/* Relaxed: the hook is set while nobody else maps; in production it is always NULL. */
static int refused(enum skua_memory_call call, size_t size_bytes)
{
    skua_memory_fault *fault = atomic_load_explicit(&fault_hook, memory_order_relaxed);
    return skua_unlikely(fault != NULL) ? fault(call, size_bytes) : 0;
}

/* A kernel that lacks a call, or a sandbox that hides it: worth remembering. */
static bool is_missing(int rc)
{
    return rc == -EINVAL || rc == -ENOSYS || rc == -EPERM || rc == -EBADF;
}

static bool is_aligned(const void *address, size_t size_bytes)
{
    size_t mask = skua_memory_page_size() - 1;
    return (((uintptr_t)address | size_bytes) & mask) == 0;
}

size_t skua_memory_page_size(void)
{
    /* Relaxed: every thread computes the same number. */
    static _Atomic size_t cached;
    size_t size = atomic_load_explicit(&cached, memory_order_relaxed);
    if (skua_unlikely(size == 0)) {
        size = (size_t)sysconf(_SC_PAGESIZE);
        atomic_store_explicit(&cached, size, memory_order_relaxed);
    }
    return size;
}

static int map(void **address, size_t size_bytes, int extra_flags)
{
    int rc = refused(SKUA_MEMORY_MMAP, size_bytes);
    if (rc != 0)
        return rc;
    void *base = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | extra_flags, -1, 0);
    if (base == MAP_FAILED)
        return -errno;
    *address = base;
    return 0;
}

int skua_memory_map(void **address, size_t size_bytes)
{
    return map(address, size_bytes, 0);
}

int skua_memory_reserve(void **address, size_t size_bytes)
{
    int rc = map(address, size_bytes, MAP_NORESERVE | MAP_STACK);
    /* Fails only on kernels without huge pages, where there is nothing to avoid. */
    if (rc == 0)
        (void)madvise(*address, size_bytes, MADV_NOHUGEPAGE);
    return rc;
}

int skua_memory_unmap(void *address, size_t size_bytes)
{
    skua_check(is_aligned(address, size_bytes));
    int rc = refused(SKUA_MEMORY_MUNMAP, size_bytes);
    if (rc != 0)
        return rc;
    return munmap(address, size_bytes) == 0 ? 0 : -errno;
}

int skua_memory_discard(void *address, size_t size_bytes)
{
    skua_check(is_aligned(address, size_bytes));
    int rc = refused(SKUA_MEMORY_DISCARD, size_bytes);
    if (rc != 0)
        return rc;
    return madvise(address, size_bytes, MADV_DONTNEED) == 0 ? 0 : -errno;
}

static int install_one(char *page, size_t page_size)
{
    int rc = refused(SKUA_MEMORY_GUARD_INSTALL, page_size);
    if (rc != 0)
        return rc;
    return madvise(page, page_size, ADVICE_GUARD_INSTALL) == 0 ? 0 : -errno;
}

/* Sets @count guards in one call. Anything but all of them is an error; some may then be set. */
static int install_vector(char *first, size_t stride_bytes, size_t count)
{
    size_t page_size = skua_memory_page_size();
    int rc = refused(SKUA_MEMORY_GUARD_VECTOR, count * page_size);
    if (rc != 0)
        return rc;
#if SKUA_VALGRIND
    if (RUNNING_ON_VALGRIND)
        return -ENOSYS; /* what it would say itself, at length */
#endif
#ifdef SYS_process_madvise
    struct iovec pages[GUARD_VECTOR_MAX];
    skua_assert(count <= GUARD_VECTOR_MAX);
    for (size_t i = 0; i < count; i++)
        pages[i] = (struct iovec){.iov_base = first + i * stride_bytes, .iov_len = page_size};
    long done =
        syscall(SYS_process_madvise, PIDFD_SELF_THREAD_ID, pages, count, ADVICE_GUARD_INSTALL, 0u);
    if (done < 0)
        return -errno;
    return (size_t)done == count * page_size ? 0 : -EAGAIN;
#else
    (void)first;
    (void)stride_bytes;
    return -ENOSYS;
#endif
}

static int protect_one(char *page, size_t page_size)
{
    int rc = refused(SKUA_MEMORY_MPROTECT, page_size);
    if (rc != 0)
        return rc;
    return mprotect(page, page_size, PROT_NONE) == 0 ? 0 : -errno;
}

/* Learns once, on a page of its own, whether MADV_GUARD_INSTALL exists. */
static bool guard_install_works(void)
{
    /* Relaxed, all: a fact about the kernel; see the head. */
    int state = atomic_load_explicit(&guard_install, memory_order_relaxed);
    if (skua_likely(state != GUARD_INSTALL_UNKNOWN))
        return state == GUARD_INSTALL_WORKS;
    void *page = NULL;
    size_t page_size = skua_memory_page_size();
    if (map(&page, page_size, MAP_NORESERVE) != 0)
        return true; /* not learnt now; a guard that fails takes the other way by itself */
    int rc = install_one(page, page_size);
    (void)skua_memory_unmap(page, page_size);
    if (rc != 0 && !is_missing(rc))
        return true; /* likewise */
    state = rc == 0 ? GUARD_INSTALL_WORKS : GUARD_INSTALL_REFUSED;
    atomic_store_explicit(&guard_install, state, memory_order_relaxed);
    return state == GUARD_INSTALL_WORKS;
}

/* One guard by whatever means works: locked memory refuses the first one on some kernels. */
static int guard_one(char *page, size_t page_size)
{
    if (guard_install_works()) {
        int rc = install_one(page, page_size);
        if (!is_missing(rc))
            return rc;
    }
    return protect_one(page, page_size);
}

int skua_memory_guard(void *first, size_t stride_bytes, size_t count)
{
    size_t page_size = skua_memory_page_size();
    skua_check(is_aligned(first, stride_bytes));
    char *page = first;
    while (count > 0) {
        size_t batch = skua_min(count, (size_t)GUARD_VECTOR_MAX);
        int rc = -ENOSYS;
        /* Relaxed, both: facts about the kernel; see the head. */
        if (batch > 1 && guard_install_works() &&
            !atomic_load_explicit(&guard_vector_refused, memory_order_relaxed)) {
            rc = install_vector(page, stride_bytes, batch);
            if (is_missing(rc))
                atomic_store_explicit(&guard_vector_refused, true, memory_order_relaxed);
        }
        for (size_t i = 0; rc != 0 && i < batch; i++) {
            int one = guard_one(page + i * stride_bytes, page_size);
            if (one != 0)
                return one;
        }
        page += batch * stride_bytes;
        count -= batch;
    }
    return 0;
}

int skua_memory_resident(void *address, size_t size_bytes, unsigned char *resident)
{
    skua_check(is_aligned(address, 0));
    int rc = refused(SKUA_MEMORY_MINCORE, size_bytes);
    if (rc != 0)
        return rc;
    return mincore(address, size_bytes, resident) == 0 ? 0 : -errno;
}

const char *skua_memory_guard_name(void)
{
    return guard_install_works() ? "guard-install" : "mprotect";
}

void skua_memory_set_fault(skua_memory_fault *fault)
{
    /* Relaxed, all: the caller sees to it that nobody else is here. */
    atomic_store_explicit(&fault_hook, fault, memory_order_relaxed);
    atomic_store_explicit(&guard_install, GUARD_INSTALL_UNKNOWN, memory_order_relaxed);
    atomic_store_explicit(&guard_vector_refused, false, memory_order_relaxed);
}

void skua_memory_prefer_huge(void *address, size_t size_bytes)
{
    (void)madvise(address, size_bytes, MADV_HUGEPAGE);
}
