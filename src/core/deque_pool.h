/*
 * core/deque_pool.h - memory of fork deques: handed out, taken back, never unmapped before the pool
 * is destroyed, so a thief may look at a deque that has just been given back.
 *
 * Deques have numbers, which fit in a task's descriptor, and are aligned to their size, so that the
 * deque of a slot is found by masking. Any thread; a lock inside.
 */
#ifndef SKUA_SRC_DEQUE_POOL_H
#define SKUA_SRC_DEQUE_POOL_H

#include "core/fork_deque.h"

_Static_assert((SKUA_DEQUE_BYTES & (SKUA_DEQUE_BYTES - 1)) == 0, "aligned to its size");

#define SKUA_DEQUES_MAX 65536u

struct skua_deque_pool;

/* NULL: out of memory. */
struct skua_deque_pool *skua_deque_pool_create(void);

/* Unmaps everything. NULL is accepted. */
void skua_deque_pool_destroy(struct skua_deque_pool *pool);

/* A deque, empty and slow_only. NULL: no memory, or SKUA_DEQUES_MAX are in use. */
struct skua_deque *skua_deque_pool_acquire(struct skua_deque_pool *pool);
void skua_deque_pool_release(struct skua_deque_pool *pool, struct skua_deque *deque);

/* The deque with @number, which has been handed out at some time. */
struct skua_deque *skua_deque_pool_get(struct skua_deque_pool *pool, uint32_t number);

/* Deques made so far: their numbers are below. */
uint32_t skua_deque_pool_count(struct skua_deque_pool *pool);

static inline struct skua_deque *skua_deque_of_slot(struct skua_fork_slot *slot)
{
    return (struct skua_deque *)((uintptr_t)slot & ~(uintptr_t)(SKUA_DEQUE_BYTES - 1));
}

#endif /* SKUA_SRC_DEQUE_POOL_H */
