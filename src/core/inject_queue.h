/*
 * core/inject_queue.h - the runtime's global FIFO: work from outside and overflow of run queues.
 *
 * Unbounded, because it links the items themselves (no allocation can fail): the first word of an
 * item is its link while it is here. One mutex; every call is short. The length can be read without
 * the lock.
 */
#ifndef SKUA_SRC_INJECT_QUEUE_H
#define SKUA_SRC_INJECT_QUEUE_H

#include "base/compiler.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

struct skua_link {
    struct skua_link *next;
};

struct skua_inject_queue {
    _Atomic size_t count SKUA_CACHE_ALIGNED; /* written under the lock, read by anybody */
    pthread_mutex_t lock;
    struct skua_link *head; /* guarded by lock */
    struct skua_link *tail; /* guarded by lock; meaningless if head is NULL */
};

void skua_inject_queue_init(struct skua_inject_queue *q);

/* The queue must be empty: its items are not the queue's to drop. */
void skua_inject_queue_fini(struct skua_inject_queue *q);

/* Anybody: appends the chain @first .. @last of @count items (last->next need not be NULL). */
void skua_inject_queue_push(struct skua_inject_queue *q, struct skua_link *first,
                            struct skua_link *last, size_t count);

/* Anybody: takes up to @max of the oldest items into @items, in order. Returns how many. */
size_t skua_inject_queue_pop(struct skua_inject_queue *q, struct skua_link **items, size_t max);

/* Anybody: the length at some moment; ordered after the caller's earlier seq_cst operations. */
static inline size_t skua_inject_queue_count(struct skua_inject_queue *q)
{
    /* [look] partner [grow] in inject_queue.c. */
    return atomic_load_explicit(&q->count, memory_order_seq_cst);
}

#endif /* SKUA_SRC_INJECT_QUEUE_H */
