/*
 * core/timer_heap.c - the 4-ary heap of timers. Called by sched/ and time/, which guard it.
 *
 * Invariants:
 *   entries[i] does not come before its parent entries[(i - 1) / 4];
 *   entries[i].timer->index == i, and the deadline in the timer is the one in the entry;
 *   count <= capacity; sequences differ, so the order is total and equal deadlines keep their age.
 *
 * Four children rather than two: half the levels, and the keys of four siblings (24 bytes each,
 * inline) lie in at most three cache lines, so sifting never follows a pointer to compare. An entry
 * on the move is held in a register and the others are shifted into the hole (no swaps).
 *
 * Room doubles when it is full and halves when three quarters are unused, so that a burst of timers
 * gives its memory back and neither bound is hit again at once. A failed halving is no failure.
 */
#include "core/timer_heap.h"

#include "base/check.h"

#include <errno.h>
#include <stdlib.h>

#define ARITY ((size_t)4)
#define CAPACITY_MIN ((size_t)64)

static inline bool comes_before(const struct skua_timer_entry *a, const struct skua_timer_entry *b)
{
    if (a->deadline_ns != b->deadline_ns)
        return a->deadline_ns < b->deadline_ns;
    return a->sequence < b->sequence;
}

/* The whole-structure validator of skua_assert_slow; unused in other builds. */
__attribute__((unused)) static bool is_valid(const struct skua_timer_heap *heap)
{
    if (heap->count > heap->capacity)
        return false;
    for (size_t i = 0; i < heap->count; i++) {
        const struct skua_timer_entry *entry = &heap->entries[i];
        if (entry->timer->index != i || entry->timer->deadline_ns != entry->deadline_ns)
            return false;
        if (entry->sequence >= heap->sequence_next)
            return false;
        if (i > 0 && comes_before(entry, &heap->entries[(i - 1) / ARITY]))
            return false;
    }
    return true;
}

static inline void place(struct skua_timer_heap *heap, size_t index,
                         const struct skua_timer_entry *entry)
{
    heap->entries[index] = *entry;
    entry->timer->index = index;
}

/* Puts @entry at @hole or, while its parent comes later, above. */
static void sift_up(struct skua_timer_heap *heap, size_t hole, const struct skua_timer_entry *entry)
{
    while (hole > 0) {
        size_t parent = (hole - 1) / ARITY;
        if (!comes_before(entry, &heap->entries[parent]))
            break;
        place(heap, hole, &heap->entries[parent]);
        hole = parent;
    }
    place(heap, hole, entry);
}

/* Puts @entry at @hole or, while a child comes before it, below. */
static void sift_down(struct skua_timer_heap *heap, size_t hole,
                      const struct skua_timer_entry *entry)
{
    for (;;) {
        size_t best = hole * ARITY + 1;
        if (best >= heap->count)
            break;
        size_t end = skua_min(best + ARITY, heap->count);
        for (size_t child = best + 1; child < end; child++) {
            if (comes_before(&heap->entries[child], &heap->entries[best]))
                best = child;
        }
        if (!comes_before(&heap->entries[best], entry))
            break;
        place(heap, hole, &heap->entries[best]);
        hole = best;
    }
    place(heap, hole, entry);
}

static int resize(struct skua_timer_heap *heap, size_t capacity)
{
    skua_assert(capacity >= heap->count);
    if (capacity > SIZE_MAX / sizeof(*heap->entries))
        return -ENOMEM;
    struct skua_timer_entry *entries = realloc(heap->entries, capacity * sizeof(*entries));
    if (entries == NULL)
        return -ENOMEM;
    heap->entries = entries;
    heap->capacity = capacity;
    return 0;
}

/* Takes out entries[@index], which may be any. */
static void remove_at(struct skua_timer_heap *heap, size_t index)
{
    skua_check(index < heap->count);
    heap->entries[index].timer->index = SKUA_TIMER_NONE;
    heap->count--;
    if (index != heap->count) {
        /* A copy: its old place may be overwritten while it moves. */
        struct skua_timer_entry last = heap->entries[heap->count];
        if (index > 0 && comes_before(&last, &heap->entries[(index - 1) / ARITY]))
            sift_up(heap, index, &last);
        else
            sift_down(heap, index, &last);
    }
    if (heap->capacity > CAPACITY_MIN && heap->count <= heap->capacity / 4)
        (void)resize(heap, heap->capacity / 2);
    skua_assert_slow(is_valid(heap));
}

void skua_timer_heap_init(struct skua_timer_heap *heap)
{
    *heap = (struct skua_timer_heap){0};
}

void skua_timer_heap_fini(struct skua_timer_heap *heap)
{
    skua_assert(heap->count == 0);
    free(heap->entries);
    *heap = (struct skua_timer_heap){0};
}

int skua_timer_heap_add(struct skua_timer_heap *heap, struct skua_timer *timer,
                        uint64_t deadline_ns)
{
    skua_assert(timer->index == SKUA_TIMER_NONE);
    if (heap->count == heap->capacity) {
        /* No overflow: an array of capacity entries of 24 bytes exists. */
        int rc = resize(heap, skua_max(heap->capacity * 2, CAPACITY_MIN));
        if (rc < 0)
            return rc;
    }
    struct skua_timer_entry entry = {
        .deadline_ns = deadline_ns, .sequence = heap->sequence_next++, .timer = timer};
    timer->deadline_ns = deadline_ns;
    sift_up(heap, heap->count++, &entry);
    skua_assert_slow(is_valid(heap));
    return 0;
}

bool skua_timer_heap_remove(struct skua_timer_heap *heap, struct skua_timer *timer)
{
    if (timer->index == SKUA_TIMER_NONE)
        return false;
    skua_check(timer->index < heap->count && heap->entries[timer->index].timer == timer);
    remove_at(heap, timer->index);
    return true;
}

struct skua_timer *skua_timer_heap_pop(struct skua_timer_heap *heap, uint64_t now_ns)
{
    if (heap->count == 0 || heap->entries[0].deadline_ns > now_ns)
        return NULL;
    struct skua_timer *timer = heap->entries[0].timer;
    remove_at(heap, 0);
    return timer;
}
