/*
 * sync/queue_store.h - the items of a queue: a ring, a stack or a heap in one piece of memory.
 * Guarded by the queue's lock.
 *
 * WHAT   FIFO      a ring: the oldest item is in slot head
 *        LIFO      a stack: the newest is in slot count - 1
 *        PRIORITY  items stay in their slots; a binary heap of entries says which is next. An entry
 *                  has the number of its item's arrival, which decides between equal items.
 *
 * GROWTH is in three steps, so that no memory is allocated under the lock: alloc, without it; move,
 *        under it; free what the move returns, without it.
 *
 * INVARIANTS
 *   Q1  count <= slots, and head < slots unless there are none.
 *   Q2  heap[0 .. used) has each of the slots 0 .. used - 1 once; the first count of them hold
 *       items, the others are free. No slot from used on has ever held one.
 *   Q3  No entry is before its parent, heap[(i - 1) / 2].
 */
#ifndef SKUA_SRC_QUEUE_STORE_H
#define SKUA_SRC_QUEUE_STORE_H

#include <skua/queue.h>

#include "base/compiler.h"

#include <string.h>

struct skua_queue_entry {
    uint64_t number; /* of arrival */
    size_t slot;
};

struct skua_queue_store {
    char *items;
    struct skua_queue_entry *heap; /* PRIORITY; in the same piece of memory, behind the items */
    size_t head;                   /* FIFO */
    size_t count;
    size_t slots;
    size_t used;       /* PRIORITY: see Q2 */
    uint64_t arrivals; /* PRIORITY */
    size_t item_size;  /* this and all below: constant */
    skua_queue_order order;
    skua_compare_fn compare;
    void *arg;
};

/* Memory for @slots items. NULL: there is none. */
void *skua_queue_store_alloc(const struct skua_queue_store *store, size_t slots);

/* Moves the items into @memory, which has more slots than before. Returns what is to be freed. */
void *skua_queue_store_move(struct skua_queue_store *store, void *memory, size_t slots);

/* For PRIORITY. */
void skua_queue_store_put_heap(struct skua_queue_store *store, const void *item);
void skua_queue_store_take_heap(struct skua_queue_store *store, void *item);

static inline char *skua_queue_store_slot(const struct skua_queue_store *store, size_t index)
{
    return store->items + index * store->item_size;
}

static SKUA_ALWAYS_INLINE void skua_queue_store_copy(void *to, const void *from, size_t size)
{
    if (size == 8)
        memcpy(to, from, 8);
    else if (size != 0)
        memcpy(to, from, size);
}

/* Puts a copy of *@item where there is a free slot. */
static SKUA_ALWAYS_INLINE void skua_queue_store_put(struct skua_queue_store *store,
                                                    const void *item)
{
    if (store->order == SKUA_QUEUE_PRIORITY) {
        skua_queue_store_put_heap(store, item);
        return;
    }
    size_t index = store->count++;
    if (store->order == SKUA_QUEUE_FIFO) {
        index += store->head;
        if (index >= store->slots)
            index -= store->slots;
    }
    skua_queue_store_copy(skua_queue_store_slot(store, index), item, store->item_size);
}

/* Takes the next item where there is one. */
static SKUA_ALWAYS_INLINE void skua_queue_store_take(struct skua_queue_store *store, void *item)
{
    if (store->order == SKUA_QUEUE_PRIORITY) {
        skua_queue_store_take_heap(store, item);
        return;
    }
    size_t index = --store->count;
    if (store->order == SKUA_QUEUE_FIFO) {
        index = store->head;
        if (++store->head == store->slots)
            store->head = 0;
    }
    skua_queue_store_copy(item, skua_queue_store_slot(store, index), store->item_size);
}

#endif /* SKUA_SRC_QUEUE_STORE_H */
