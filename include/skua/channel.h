/*
 * skua/channel.h - channels: items of one size from those who send to those who receive, in order.
 *
 * A channel of capacity 0 is a meeting point: each send waits for its receiver. Any number of tasks
 * and threads may use either end. Waiters are woken in order of arrival, but one that is woken
 * takes its turn: somebody who comes just then may be faster, a few times at most. The order of the
 * items is kept in any case. skua_select() waits for several channels at once.
 */
#ifndef SKUA_CHANNEL_H
#define SKUA_CHANNEL_H

#include <skua/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct skua_channel skua_channel;

/**
 * Makes a channel for items of @item_size bytes that holds up to @capacity of them.
 *
 * Context: any; never waits. Needs no runtime.
 * Cancellation: not a cancellation point.
 * Ownership: the caller owns the returned handle.
 * Returns: the channel; NULL if memory is exhausted or @item_size * @capacity is over PTRDIFF_MAX.
 *   @item_size may be 0: then items are mere signals.
 * Source: Go's make(chan).
 */
SKUA_API SKUA_MUST_USE skua_channel *skua_channel_create(size_t item_size, size_t capacity);

/**
 * Makes another handle of the same channel.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: @channel (NULL if it is NULL).
 */
SKUA_API skua_channel *skua_channel_ref(skua_channel *channel);

/**
 * Drops a handle. The last one frees the channel, with the items that are in it.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Ownership: consumes the handle. NULL is accepted. Whoever waits on a channel needs a handle.
 * Returns: nothing.
 */
SKUA_API void skua_channel_unref(skua_channel *channel);

/**
 * Sends a copy of *@item: to a waiting receiver, or into the channel; waits while it is full.
 *
 * Context: any. A task on a worker parks; any other thread blocks.
 * Cancellation: a wait returns -ECANCELED, and the item was not sent. A send that needs no wait, or
 *   whose item has been taken, beats the cancel.
 * Returns: 0 when the item is in the channel or with its receiver; -EPIPE if the channel is closed,
 *   or is closed during the wait; -ECANCELED; -EINVAL if @channel or @item is NULL (@item may be
 *   NULL if the item size is 0); -ECHILD in a forked child.
 */
SKUA_API int skua_channel_send(skua_channel *channel, const void *item);

/**
 * As skua_channel_send(), waiting until @deadline_ns.
 *
 * Context: any. A task on a worker parks; any other thread blocks.
 * Cancellation: as skua_channel_send().
 * Units: @deadline_ns is absolute, on the clock of skua_now(); SKUA_FOREVER never passes.
 * Returns: as skua_channel_send(); -ETIMEDOUT; -ENOMEM if the timer could not be stored. On error
 *   the item was not sent.
 */
SKUA_API int skua_channel_send_until(skua_channel *channel, const void *item, uint64_t deadline_ns);

/**
 * Sends if that needs no wait.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0; -EAGAIN if the channel is full (of capacity 0: nobody waits); -EPIPE; -EINVAL as
 *   skua_channel_send().
 */
SKUA_API int skua_channel_try_send(skua_channel *channel, const void *item);

/**
 * Receives the oldest item into *@item, waiting while there is none.
 *
 * Context: any. A task on a worker parks; any other thread blocks.
 * Cancellation: a wait returns -ECANCELED, and nothing was taken. An item that is there beats the
 *   cancel.
 * Returns: 0 with the item; -EPIPE if the channel is closed and empty; -ECANCELED; -EINVAL if
 *   @channel or @item is NULL (@item may be NULL if the item size is 0); -ECHILD in a forked child.
 *   On error *@item is untouched.
 */
SKUA_API int skua_channel_recv(skua_channel *channel, void *item);

/**
 * As skua_channel_recv(), waiting until @deadline_ns.
 *
 * Context: any. A task on a worker parks; any other thread blocks.
 * Cancellation: as skua_channel_recv().
 * Units: @deadline_ns is absolute, on the clock of skua_now(); SKUA_FOREVER never passes.
 * Returns: as skua_channel_recv(); -ETIMEDOUT; -ENOMEM if the timer could not be stored. On error
 *   nothing was taken.
 */
SKUA_API int skua_channel_recv_until(skua_channel *channel, void *item, uint64_t deadline_ns);

/**
 * Receives if that needs no wait.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0 with the item; -EAGAIN if there is none; -EPIPE if the channel is closed and empty;
 *   -EINVAL as skua_channel_recv().
 */
SKUA_API int skua_channel_try_recv(skua_channel *channel, void *item);

/* The iterator: while (...) over the items until the channel is closed and empty, or an error. */
#define SKUA_CHANNEL_FOR_EACH(channel, item) while (skua_channel_recv((channel), (item)) == 0)

/**
 * Closes @channel: sends fail from now on, those that wait too; what it holds can be received.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0; -EALREADY if it is closed; -EINVAL if @channel is NULL.
 * Source: Go's close(), which panics where this returns an error.
 */
SKUA_API int skua_channel_close(skua_channel *channel);

/**
 * How many items the channel holds, which may have changed by the time the caller looks.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: the count; 0 if @channel is NULL.
 */
SKUA_API size_t skua_channel_count(const skua_channel *channel);

/**
 * Whether @channel has been closed.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: true if so; false if not, or if @channel is NULL.
 */
SKUA_API bool skua_channel_closed(const skua_channel *channel);

#ifdef __cplusplus
}
#endif

#endif /* SKUA_CHANNEL_H */
