/*
 * skua/queue.h - queues of work: first in first out, last in first out, or by priority; and a count
 * of what has not been done yet.
 *
 * What asyncio has as Queue, LifoQueue and PriorityQueue. Beside a channel (channel.h) a queue may
 * hold any number of items, and in another order than that of their arrival; and whoever has put
 * items into it can wait until all of them have been dealt with:
 *
 *     while (skua_queue_get(queue, &request) == 0) {       the workers
 *         serve(&request);
 *         skua_queue_task_done(queue);
 *     }
 *
 *     skua_queue_put(queue, &request);                     who has work for them
 *     skua_queue_join(queue);
 *
 * Any number of tasks and threads may put and get. They wait in order of arrival; one who waits may
 * be overtaken by others that come meanwhile, but only a few times.
 */
#ifndef SKUA_QUEUE_H
#define SKUA_QUEUE_H

#include <skua/base.h>
#include <skua/parallel.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct skua_queue skua_queue;

typedef enum skua_queue_order {
    SKUA_QUEUE_FIFO = 0, /* the oldest item is next */
    SKUA_QUEUE_LIFO,     /* the newest */
    SKUA_QUEUE_PRIORITY  /* the smallest, and of equal ones the oldest */
} skua_queue_order;

typedef struct skua_queue_options {
    size_t item_size;        /* bytes; 0: items are mere signals */
    size_t capacity;         /* how many items it holds; 0: no bound */
    skua_queue_order order;  /* default: SKUA_QUEUE_FIFO */
    skua_compare_fn compare; /* which of two items is smaller; for SKUA_QUEUE_PRIORITY only */
    void *arg;               /* for compare */
    uint64_t reserved[3];    /* zero */
} skua_queue_options;

typedef enum skua_queue_shutdown_mode {
    SKUA_QUEUE_DRAIN = 0, /* what the queue holds can still be got */
    SKUA_QUEUE_DROP       /* it is dropped, and counts as done */
} skua_queue_shutdown_mode;

/**
 * Makes a queue for items of options.item_size bytes.
 *
 * options.compare is called while the queue is locked: it must be short, must not wait, and must
 * call nothing of this library. A queue with a bound gets all its memory here; one without grows,
 * and keeps the memory of its fullest moment.
 *
 * Context: any; never waits. Needs no runtime.
 * Cancellation: not a cancellation point.
 * Ownership: the caller owns the returned handle.
 * Returns: the queue; NULL if memory is exhausted, the items would not fit into the address space,
 *   or @options are not valid: NULL, of an unknown order, with a reserved field that is not zero,
 *   SKUA_QUEUE_PRIORITY without compare, or another order with it.
 * Source: asyncio.Queue, asyncio.PriorityQueue, asyncio.LifoQueue.
 */
SKUA_API SKUA_MUST_USE skua_queue *skua_queue_create(const skua_queue_options *options);

/**
 * Makes another handle of the same queue.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: @queue (NULL if it is NULL).
 */
SKUA_API skua_queue *skua_queue_ref(skua_queue *queue);

/**
 * Drops a handle. The last one frees the queue, with the items that are in it.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Ownership: consumes the handle. NULL is accepted. Whoever waits at a queue needs a handle.
 * Returns: nothing.
 */
SKUA_API void skua_queue_unref(skua_queue *queue);

/**
 * Puts a copy of *@item into the queue, waiting while it is full.
 *
 * Context: any. A task on a worker parks; any other thread blocks.
 * Cancellation: a wait returns -ECANCELED, and the item was not put. A put that needs no wait beats
 *   the cancel.
 * Returns: 0 when the item is in the queue; -EPIPE if the queue is shut down, or is during the
 *   wait; -ECANCELED; -ENOMEM if a queue without a bound could not grow; -EINVAL if @queue or @item
 *   is NULL (@item may be NULL if the item size is 0); -ECHILD in a forked child.
 * Source: asyncio.Queue.put.
 */
SKUA_API int skua_queue_put(skua_queue *queue, const void *item);

/**
 * As skua_queue_put(), waiting until @deadline_ns.
 *
 * Context: any. A task on a worker parks; any other thread blocks.
 * Cancellation: as skua_queue_put().
 * Units: @deadline_ns is absolute, on the clock of skua_now(); SKUA_FOREVER never passes.
 * Returns: as skua_queue_put(); -ETIMEDOUT; -ENOMEM also if the timer could not be stored. On error
 *   the item was not put.
 */
SKUA_API int skua_queue_put_until(skua_queue *queue, const void *item, uint64_t deadline_ns);

/**
 * Puts if that needs no wait.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0; -EAGAIN if the queue is full; -EPIPE; -ENOMEM; -EINVAL as skua_queue_put().
 * Source: asyncio.Queue.put_nowait.
 */
SKUA_API int skua_queue_try_put(skua_queue *queue, const void *item);

/**
 * Gets the next item into *@item, waiting while there is none.
 *
 * Context: any. A task on a worker parks; any other thread blocks.
 * Cancellation: a wait returns -ECANCELED, and nothing was taken. An item that is there beats the
 *   cancel.
 * Returns: 0 with the item; -EPIPE if the queue is shut down and empty; -ECANCELED; -EINVAL if
 *   @queue or @item is NULL (@item may be NULL if the item size is 0); -ECHILD in a forked child.
 *   On error *@item is untouched.
 * Source: asyncio.Queue.get.
 */
SKUA_API int skua_queue_get(skua_queue *queue, void *item);

/**
 * As skua_queue_get(), waiting until @deadline_ns.
 *
 * Context: any. A task on a worker parks; any other thread blocks.
 * Cancellation: as skua_queue_get().
 * Units: @deadline_ns is absolute, on the clock of skua_now(); SKUA_FOREVER never passes.
 * Returns: as skua_queue_get(); -ETIMEDOUT; -ENOMEM if the timer could not be stored. On error
 *   nothing was taken.
 */
SKUA_API int skua_queue_get_until(skua_queue *queue, void *item, uint64_t deadline_ns);

/**
 * Gets if that needs no wait.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0 with the item; -EAGAIN if there is none; -EPIPE if the queue is shut down and empty;
 *   -EINVAL as skua_queue_get().
 * Source: asyncio.Queue.get_nowait.
 */
SKUA_API int skua_queue_try_get(skua_queue *queue, void *item);

/**
 * How many items the queue holds, which may have changed by the time the caller looks.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: the number; 0 if @queue is NULL.
 * Source: asyncio.Queue.qsize.
 */
SKUA_API size_t skua_queue_count(const skua_queue *queue);

/**
 * Says that an item that was got has been dealt with.
 *
 * What was done before it is visible to whoever then returns from skua_queue_join().
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0; -EINVAL if as many items have been done as were got, or @queue is NULL.
 * Source: asyncio.Queue.task_done, which raises where this returns an error.
 */
SKUA_API int skua_queue_task_done(skua_queue *queue);

/**
 * Waits until every item that was put has been followed by a skua_queue_task_done(), or dropped.
 *
 * Context: any. A task on a worker parks; any other thread blocks.
 * Cancellation: a wait returns -ECANCELED. That all is done beats the cancel.
 * Returns: 0: it was so, at some moment during the call; -ECANCELED; -EINVAL if @queue is NULL;
 *   -ECHILD in a forked child. A shutdown does not end the wait, unless it drops what was not done.
 * Source: asyncio.Queue.join.
 */
SKUA_API int skua_queue_join(skua_queue *queue);

/**
 * As skua_queue_join(), waiting until @deadline_ns.
 *
 * Context: any. A task on a worker parks; any other thread blocks.
 * Cancellation: as skua_queue_join().
 * Units: @deadline_ns is absolute, on the clock of skua_now(); SKUA_FOREVER never passes.
 * Returns: as skua_queue_join(); -ETIMEDOUT; -ENOMEM if the timer could not be stored.
 */
SKUA_API int skua_queue_join_until(skua_queue *queue, uint64_t deadline_ns);

/**
 * Shuts @queue down: puts fail from now on, those that wait too; gets fail once it is empty.
 *
 * With SKUA_QUEUE_DROP it is empty at once. A queue that is shut down with SKUA_QUEUE_DRAIN may be
 * so again with SKUA_QUEUE_DROP. What the items own is for the caller to release: shut down with
 * SKUA_QUEUE_DRAIN then, and get them.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0; -EALREADY if it was shut down in that way; -EINVAL if @queue is NULL or @mode
 *   unknown.
 * Source: asyncio.Queue.shutdown of Python 3.13.
 */
SKUA_API int skua_queue_shutdown(skua_queue *queue, skua_queue_shutdown_mode mode);

#ifdef __cplusplus
}
#endif

#endif /* SKUA_QUEUE_H */
