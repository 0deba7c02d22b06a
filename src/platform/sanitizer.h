/*
 * platform/sanitizer.h - which dynamic checker this build is for.
 *
 * SKUA_ASAN, SKUA_TSAN: 1 if the compiler instruments for AddressSanitizer, ThreadSanitizer. Both
 * must be told of every stack and switch; ctx.c and stack_pool.c do that, nobody else.
 */
#ifndef SKUA_SRC_SANITIZER_H
#define SKUA_SRC_SANITIZER_H

#ifndef __has_feature
#define __has_feature(x) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define SKUA_ASAN 1
#else
#define SKUA_ASAN 0
#endif

#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
#define SKUA_TSAN 1
#else
#define SKUA_TSAN 0
#endif

/*
 * An order that ThreadSanitizer cannot see because the kernel makes it: what was done before a
 * release happens before what follows an acquire of the same address. Nothing in other builds.
 */
#if SKUA_TSAN
#include <sanitizer/tsan_interface.h>
#define SKUA_TSAN_RELEASE(address) __tsan_release(address)
#define SKUA_TSAN_ACQUIRE(address) __tsan_acquire(address)
#else
#define SKUA_TSAN_RELEASE(address) ((void)(address))
#define SKUA_TSAN_ACQUIRE(address) ((void)(address))
#endif

#endif /* SKUA_SRC_SANITIZER_H */
