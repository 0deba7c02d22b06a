/*
 * core/inject_queue.c - the global FIFO. Called by sched/ from workers and foreign threads.
 *
 * Invariant, under the lock: count is the length of the chain from head; tail is its last item, and
 * tail->next is NULL.
 *
 * ORDERING   count is written under the lock, so its modification order is that of the pushes and
 * pops. Two operations matter to those who read it without the lock:
 *
 *   [grow]  push: count, seq_cst                            partner [look]
 *   [look]  skua_inject_queue_count and pop: count, seq_cst  partner [grow]
 *           A store-load pair: a pusher writes count and then reads who sleeps; a worker writes
 *           that it sleeps and then reads count. If both sides are seq_cst, one of them sees the
 *           other. With release and acquire both may read the old value, and the item lies there
 *           while everybody sleeps.
 *
 * The store in pop is relaxed: it only lowers count, and whoever reads the older, higher number
 * takes the lock and finds out. The items themselves are handed over by the lock.
 *
 * PROGRESS   Blocking; the lock is held for a few instructions, or for @max steps of a chain.
 */
#include "core/inject_queue.h"

#include "base/check.h"

void skua_inject_queue_init(struct skua_inject_queue *q)
{
    atomic_init(&q->count, 0);
    int rc = pthread_mutex_init(&q->lock, NULL);
    /* With default attributes it has nothing to fail at. */
    skua_check(rc == 0);
    q->head = NULL;
    q->tail = NULL;
}

void skua_inject_queue_fini(struct skua_inject_queue *q)
{
    skua_assert(q->head == NULL);
    pthread_mutex_destroy(&q->lock);
}

void skua_inject_queue_push(struct skua_inject_queue *q, struct skua_link *first,
                            struct skua_link *last, size_t count)
{
    skua_assert(first != NULL && last != NULL && count > 0);
    last->next = NULL;
    pthread_mutex_lock(&q->lock);
    if (q->head == NULL)
        q->head = first;
    else
        q->tail->next = first;
    q->tail = last;
    /* Relaxed: written under the lock, which we hold. */
    size_t before = atomic_load_explicit(&q->count, memory_order_relaxed);
    /* [grow] partner [look]. */
    atomic_store_explicit(&q->count, before + count, memory_order_seq_cst);
    pthread_mutex_unlock(&q->lock);
}

size_t skua_inject_queue_pop(struct skua_inject_queue *q, struct skua_link **items, size_t max)
{
    size_t taken = 0;

    /* [look] partner [grow]: an empty queue costs its readers no lock. */
    if (atomic_load_explicit(&q->count, memory_order_seq_cst) == 0)
        return 0;
    pthread_mutex_lock(&q->lock);
    while (taken < max && q->head != NULL) {
        items[taken++] = q->head;
        q->head = q->head->next;
    }
    /* Relaxed, both: under the lock; a late reader sees too many, never too few. */
    size_t before = atomic_load_explicit(&q->count, memory_order_relaxed);
    skua_assert(before >= taken && (before == taken) == (q->head == NULL));
    atomic_store_explicit(&q->count, before - taken, memory_order_relaxed);
    pthread_mutex_unlock(&q->lock);
    return taken;
}
