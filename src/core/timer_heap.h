/*
 * core/timer_heap.h - a worker's timers: a 4-ary min-heap ordered by deadline, then by age.
 *
 * The caller guards it. Nodes belong to the waiters (they stand in their frames); the heap holds
 * pointers and keeps each node's index, so that a timer is removed in O(log n). Room is made by
 * skua_timer_heap_add(), which alone can fail.
 */
#ifndef SKUA_SRC_TIMER_HEAP_H
#define SKUA_SRC_TIMER_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SKUA_TIMER_NONE SIZE_MAX

struct skua_timer {
    uint64_t deadline_ns;
    size_t index; /* in the heap; SKUA_TIMER_NONE when it is in none */
};

struct skua_timer_entry {
    uint64_t deadline_ns;
    uint64_t sequence; /* equal deadlines fire in the order they were added */
    struct skua_timer *timer;
};

struct skua_timer_heap {
    struct skua_timer_entry *entries;
    size_t count;
    size_t capacity;
    uint64_t sequence_next;
};

void skua_timer_heap_init(struct skua_timer_heap *heap);

/* The heap must be empty: the waiters of what is left would never be told. */
void skua_timer_heap_fini(struct skua_timer_heap *heap);

static inline void skua_timer_init(struct skua_timer *timer)
{
    timer->index = SKUA_TIMER_NONE;
}

/*
 * Adds @timer, which is in no heap, to fire at @deadline_ns. Returns 0 or -ENOMEM; then neither the
 * heap nor @timer has changed.
 */
int skua_timer_heap_add(struct skua_timer_heap *heap, struct skua_timer *timer,
                        uint64_t deadline_ns);

/* Removes @timer. False if it was in no heap (it has been popped). */
bool skua_timer_heap_remove(struct skua_timer_heap *heap, struct skua_timer *timer);

/* The earliest deadline, UINT64_MAX if there is none. */
static inline uint64_t skua_timer_heap_deadline(const struct skua_timer_heap *heap)
{
    return heap->count > 0 ? heap->entries[0].deadline_ns : UINT64_MAX;
}

/* Takes the earliest timer that is due at @now_ns, NULL if none is. */
struct skua_timer *skua_timer_heap_pop(struct skua_timer_heap *heap, uint64_t now_ns);

#endif /* SKUA_SRC_TIMER_HEAP_H */
