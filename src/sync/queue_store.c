/*
 * sync/queue_store.c - see queue_store.h.
 */
#include "sync/queue_store.h"

#include "base/alloc.h"
#include "base/check.h"

#include <stdlib.h>

/* Where the heap begins behind @slots items; false if that is beyond the address space. */
static bool layout(const struct skua_queue_store *store, size_t slots, size_t *heap, size_t *size)
{
    size_t entries = 0;
    if (__builtin_mul_overflow(store->item_size, slots, heap) ||
        __builtin_add_overflow(*heap, _Alignof(max_align_t) - 1, heap))
        return false;
    *heap -= *heap % _Alignof(max_align_t);
    if (store->order == SKUA_QUEUE_PRIORITY &&
        __builtin_mul_overflow(sizeof(struct skua_queue_entry), slots, &entries))
        return false;
    return !__builtin_add_overflow(*heap, entries, size) && *size <= (size_t)PTRDIFF_MAX;
}

void *skua_queue_store_alloc(const struct skua_queue_store *store, size_t slots)
{
    size_t heap, size;
    if (!layout(store, slots, &heap, &size))
        return NULL;
    return skua_malloc(size != 0 ? size : 1);
}

void *skua_queue_store_move(struct skua_queue_store *store, void *memory, size_t slots)
{
    char *old = store->items;
    size_t heap, size;
    bool fits = layout(store, slots, &heap, &size);
    skua_check(fits && slots > store->slots);
    size_t first = store->order == SKUA_QUEUE_FIFO ? store->head : 0;
    size_t items = store->order == SKUA_QUEUE_PRIORITY ? store->used : store->count;
    size_t before_end = items < store->slots - first ? items : store->slots - first;
    char *to = memory;
    if (items != 0 && store->item_size != 0) {
        memcpy(to, skua_queue_store_slot(store, first), before_end * store->item_size);
        memcpy(to + before_end * store->item_size, old, (items - before_end) * store->item_size);
    }
    if (store->order == SKUA_QUEUE_PRIORITY) {
        struct skua_queue_entry *entries = (struct skua_queue_entry *)(void *)(to + heap);
        if (items != 0)
            memcpy(entries, store->heap, items * sizeof(*entries));
        store->heap = entries;
    }
    store->items = to;
    store->head = 0;
    store->slots = slots;
    return old;
}

/* ---- the heap -------------------------------------------------------------------------------- */

static bool before(const struct skua_queue_store *store, const struct skua_queue_entry *a,
                   const struct skua_queue_entry *b)
{
    int order = store->compare(skua_queue_store_slot(store, a->slot),
                               skua_queue_store_slot(store, b->slot), store->arg);
    return order != 0 ? order < 0 : a->number < b->number;
}

void skua_queue_store_put_heap(struct skua_queue_store *store, const void *item)
{
    struct skua_queue_entry *heap = store->heap;
    size_t at = store->count++;
    if (at == store->used) { /* Q2: no freed slot is left */
        heap[at].slot = at;
        store->used++;
    }
    struct skua_queue_entry entry = {.number = store->arrivals++, .slot = heap[at].slot};
    skua_queue_store_copy(skua_queue_store_slot(store, entry.slot), item, store->item_size);
    for (; at > 0 && before(store, &entry, &heap[(at - 1) / 2]); at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = entry;
}

void skua_queue_store_take_heap(struct skua_queue_store *store, void *item)
{
    struct skua_queue_entry *heap = store->heap;
    skua_assert(store->count != 0);
    size_t freed = heap[0].slot;
    skua_queue_store_copy(item, skua_queue_store_slot(store, freed), store->item_size);
    size_t count = --store->count;
    struct skua_queue_entry entry = heap[count];
    heap[count].slot = freed;
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && before(store, &heap[child + 1], &heap[child]))
            child++;
        if (!before(store, &heap[child], &entry))
            break;
        heap[at] = heap[child];
    }
    if (count != 0)
        heap[at] = entry;
}
