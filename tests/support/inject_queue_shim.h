/*
 * tests/support/inject_queue_shim.h - core/inject_queue.h for C++: items are numbers in nodes that
 * the shim allocates.
 */
#ifndef SKUA_TESTS_INJECT_QUEUE_SHIM_H
#define SKUA_TESTS_INJECT_QUEUE_SHIM_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct inject_queue_shim;

/* NULL if there is no memory. */
struct inject_queue_shim *inject_queue_shim_create(void);

/* The queue must be empty. */
void inject_queue_shim_destroy(struct inject_queue_shim *shim);

/* Pushes @first, @first + 1, ... as one chain of @count. Returns 0 or -ENOMEM. */
int inject_queue_shim_push(struct inject_queue_shim *shim, size_t first, size_t count);

/* Pops up to @max numbers into @items. Returns how many. */
size_t inject_queue_shim_pop(struct inject_queue_shim *shim, size_t *items, size_t max);

size_t inject_queue_shim_count(struct inject_queue_shim *shim);

#ifdef __cplusplus
}
#endif

#endif /* SKUA_TESTS_INJECT_QUEUE_SHIM_H */
