/*
 * base/alloc.h - memory from the heap, as malloc(3) and its kin give it; a simulation may refuse
 * it, to see what the library does then. What is given is freed by free(3).
 */
#ifndef SKUA_SRC_ALLOC_H
#define SKUA_SRC_ALLOC_H

#include "base/compiler.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

/* Set by the first simulation (sim/) and never changed: whether this allocation is to fail. */
extern bool (*_Atomic skua_alloc_fails_hook)(void);

static inline bool skua_alloc_fails(void)
{
    /* relaxed: who is in a simulation has set it itself */
    bool (*fails)(void) = atomic_load_explicit(&skua_alloc_fails_hook, memory_order_relaxed);
    return skua_unlikely(fails != NULL) && fails();
}

static inline void *skua_malloc(size_t size)
{
    return skua_alloc_fails() ? NULL : malloc(size);
}

static inline void *skua_calloc(size_t count, size_t size)
{
    return skua_alloc_fails() ? NULL : calloc(count, size);
}

static inline void *skua_realloc(void *memory, size_t size)
{
    return skua_alloc_fails() ? NULL : realloc(memory, size);
}

static inline void *skua_aligned_alloc(size_t alignment, size_t size)
{
    return skua_alloc_fails() ? NULL : aligned_alloc(alignment, size);
}

#endif /* SKUA_SRC_ALLOC_H */
