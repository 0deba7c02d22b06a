/*
 * tests/support/run_queue_shim.c - see run_queue_shim.h.
 */
#include "run_queue_shim.h"

#include "core/run_queue.h"

#include <stdlib.h>

struct run_queue_shim {
    struct skua_run_queue queue;
};

struct run_queue_shim *run_queue_shim_create(uint64_t index)
{
    struct run_queue_shim *shim = aligned_alloc(_Alignof(struct run_queue_shim), sizeof(*shim));

    if (shim == NULL)
        return NULL;
    skua_run_queue_init(&shim->queue);
    /* Relaxed, both: no other thread knows the queue yet. */
    atomic_store_explicit(&shim->queue.head, index, memory_order_relaxed);
    atomic_store_explicit(&shim->queue.tail, index, memory_order_relaxed);
    return shim;
}

void run_queue_shim_destroy(struct run_queue_shim *shim)
{
    free(shim);
}

unsigned run_queue_shim_size(void)
{
    return SKUA_RUN_QUEUE_SIZE;
}

bool run_queue_shim_push(struct run_queue_shim *shim, uintptr_t item)
{
    return skua_run_queue_push(&shim->queue, (void *)item);
}

uintptr_t run_queue_shim_pop(struct run_queue_shim *shim)
{
    return (uintptr_t)skua_run_queue_pop(&shim->queue);
}

unsigned run_queue_shim_take_half(struct run_queue_shim *shim, uintptr_t *items)
{
    void *taken[SKUA_RUN_QUEUE_SIZE / 2];
    unsigned count = skua_run_queue_take_half(&shim->queue, taken);

    for (unsigned i = 0; i < count; i++)
        items[i] = (uintptr_t)taken[i];
    return count;
}

uintptr_t run_queue_shim_steal(struct run_queue_shim *victim, struct run_queue_shim *dst,
                               unsigned *count)
{
    return (uintptr_t)skua_run_queue_steal(&victim->queue, &dst->queue, count);
}

unsigned run_queue_shim_count(const struct run_queue_shim *shim)
{
    return skua_run_queue_count(&shim->queue);
}
