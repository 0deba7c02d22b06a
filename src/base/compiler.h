/*
 * base/compiler.h - what the compiler is told, and the tools to tell it.
 *
 * Owns nothing. Every file may include it.
 */
#ifndef SKUA_SRC_COMPILER_H
#define SKUA_SRC_COMPILER_H

#include <stddef.h>
#include <stdint.h>

#define skua_likely(x) __builtin_expect(!!(x), 1)
#define skua_unlikely(x) __builtin_expect(!!(x), 0)
#define SKUA_NOINLINE __attribute__((noinline))
#define SKUA_ALWAYS_INLINE inline __attribute__((always_inline))
#define SKUA_CACHE_LINE 64
#define SKUA_CACHE_ALIGNED __attribute__((aligned(SKUA_CACHE_LINE)))

#define skua_container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define skua_min(a, b) ((a) < (b) ? (a) : (b))
#define skua_max(a, b) ((a) > (b) ? (a) : (b))

/* Tells the processor that this is a spin loop. */
static inline void skua_cpu_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("isb" ::: "memory");
#endif
}

#endif /* SKUA_SRC_COMPILER_H */
