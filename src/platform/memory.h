/*
 * platform/memory.h - address space: reserve, guard, give back.
 *
 * WHAT   Every mmap, munmap, madvise, mprotect and mincore of the library is made here, so that a
 *        test can refuse any of them (skua_memory_set_fault) and see what the callers do.
 *
 * GUARD  A guard page raises SIGSEGV when touched. Linux >= 6.13 marks it in the page table
 *        (MADV_GUARD_INSTALL) and leaves the mapping whole. Elsewhere, and on locked memory where
 *        that is refused, mprotect(PROT_NONE) does it, at the price of two mappings a guard, which
 *        vm.max_map_count bounds (65530 by default: some 32 thousand guards).
 *
 * Sizes and addresses are multiples of skua_memory_page_size(). Results are 0 or -errno. Any
 * thread may call anything.
 */
#ifndef SKUA_SRC_MEMORY_H
#define SKUA_SRC_MEMORY_H

#include <stddef.h>

/* Bytes in a page of this machine. */
size_t skua_memory_page_size(void);

/* Maps zeroed private memory, readable and writable. -ENOMEM, or what mmap(2) says. */
int skua_memory_map(void **address, size_t size_bytes);

/* Like skua_memory_map(), for stacks: no swap reserved, and never made of huge pages. */
int skua_memory_reserve(void **address, size_t size_bytes);

/* Says that huge pages suit this mapping. Best effort. */
void skua_memory_prefer_huge(void *address, size_t size_bytes);

/* Unmaps. -ENOMEM if that would split a mapping and there are too many: nothing has changed. */
int skua_memory_unmap(void *address, size_t size_bytes);

/* Gives pages back: they read as zero when touched again. Guard pages inside stay guards. */
int skua_memory_discard(void *address, size_t size_bytes);

/*
 * Makes guards of @count pages, the first at @first, each @stride_bytes above the one before.
 * After an error some may be guards already: unmap the range.
 */
int skua_memory_guard(void *first, size_t stride_bytes, size_t count);

/* Writes one byte per page into @resident, bit 0 set if the page is in memory. Touches none. */
int skua_memory_resident(void *address, size_t size_bytes, unsigned char *resident);

/* How guards are made here: "guard-install" or "mprotect". Probes at the first call. */
const char *skua_memory_guard_name(void);

/* For tests: the calls that can be refused. */
enum skua_memory_call {
    SKUA_MEMORY_MMAP,
    SKUA_MEMORY_MUNMAP,
    SKUA_MEMORY_DISCARD,       /* madvise(MADV_DONTNEED) */
    SKUA_MEMORY_GUARD_INSTALL, /* madvise(MADV_GUARD_INSTALL), one page or many */
    SKUA_MEMORY_GUARD_VECTOR,  /* process_madvise(MADV_GUARD_INSTALL), many pages at once */
    SKUA_MEMORY_MPROTECT,
    SKUA_MEMORY_MINCORE,
};

/* Asked before each call; 0 lets it happen, -errno is returned instead of making it. */
typedef int skua_memory_fault(enum skua_memory_call call, size_t size_bytes);

/* Sets the hook, NULL for none, and forgets what was probed. While no other thread maps memory. */
void skua_memory_set_fault(skua_memory_fault *fault);

#endif /* SKUA_SRC_MEMORY_H */
