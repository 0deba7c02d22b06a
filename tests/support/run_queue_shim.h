/*
 * tests/support/run_queue_shim.h - core/run_queue.h for C++: items are numbers, 0 is "none".
 */
#ifndef SKUA_TESTS_RUN_QUEUE_SHIM_H
#define SKUA_TESTS_RUN_QUEUE_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct run_queue_shim;

/* An empty queue whose two indices stand at @index. NULL if there is no memory. */
struct run_queue_shim *run_queue_shim_create(uint64_t index);
void run_queue_shim_destroy(struct run_queue_shim *shim);

unsigned run_queue_shim_size(void);
bool run_queue_shim_push(struct run_queue_shim *shim, uintptr_t item);
uintptr_t run_queue_shim_pop(struct run_queue_shim *shim);
unsigned run_queue_shim_take_half(struct run_queue_shim *shim, uintptr_t *items);
uintptr_t run_queue_shim_steal(struct run_queue_shim *victim, struct run_queue_shim *dst,
                               unsigned *count);
unsigned run_queue_shim_count(const struct run_queue_shim *shim);

#ifdef __cplusplus
}
#endif

#endif /* SKUA_TESTS_RUN_QUEUE_SHIM_H */
