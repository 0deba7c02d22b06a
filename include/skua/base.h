/*
 * skua/base.h - the words every other header uses: calling convention of tasks, results,
 * deadlines, spawn sites, visibility.
 *
 * Results. Every call returns 0, a count or a pointer on success, and -errno on failure. errno is
 * neither set nor read: a task may resume on another thread, and compilers cache errno's address
 * across a call. A task returns intptr_t; values in [-4095, -1] are errors, as in the kernel.
 */
#ifndef SKUA_BASE_H
#define SKUA_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SKUA_VERSION_MAJOR 0
#define SKUA_VERSION_MINOR 1
#define SKUA_VERSION_PATCH 0

#if defined(__GNUC__) && __GNUC__ >= 4
#define SKUA_API __attribute__((visibility("default")))
#define SKUA_MUST_USE __attribute__((warn_unused_result))
#else
#define SKUA_API
#define SKUA_MUST_USE
#endif

/* A runtime: workers, their rings and queues, two executors. Created by skua_runtime_start(). */
typedef struct skua_runtime skua_runtime;

/* A one-shot, thread-safe result. A task, an offloaded job and a promise all end in one. */
typedef struct skua_future skua_future;

/* The producing end of a future that somebody sets by hand. */
typedef struct skua_promise skua_promise;

/* A pool of plain threads for blocking or CPU-heavy functions. */
typedef struct skua_executor skua_executor;

/* What a task, a job and a submission run. Values in [-4095, -1] are errors. */
typedef intptr_t (*skua_fn)(void *arg);

/* True if a task's result or any other skua return value is an error (-errno). */
#define SKUA_IS_ERROR(value) ((uintptr_t)(value) >= (uintptr_t)-4095)

/* A deadline that never passes. Deadlines are absolute nanoseconds of skua_now(). */
#define SKUA_FOREVER UINT64_MAX

#define SKUA_NS_PER_US UINT64_C(1000)
#define SKUA_NS_PER_MS UINT64_C(1000000)
#define SKUA_NS_PER_SEC UINT64_C(1000000000)

/*
 * Where a task was spawned and what it runs, as one string literal: "fn at file.c:12". The spawning
 * macros pass it on; reports of failed, overflowing and stuck tasks print it.
 */
#define SKUA_STRINGIFY_(x) #x
#define SKUA_STRINGIFY(x) SKUA_STRINGIFY_(x)
#define SKUA_SITE(what) what " at " __FILE__ ":" SKUA_STRINGIFY(__LINE__)

#ifdef __cplusplus
}
#endif

#endif /* SKUA_BASE_H */
