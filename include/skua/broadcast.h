/*
 * skua/broadcast.h - one sender's word to many: every item to every subscriber, or the newest value
 * to whoever wants to know.
 *
 * A broadcast keeps the last items it was sent. Each subscriber has a position of its own among
 * them; one who falls behind by more than is kept is told how many items he has missed, and goes on
 * with the oldest that is left. Sending never waits.
 *
 * A watch keeps one value, and counts its versions. Whoever watches waits for a version he has not
 * seen; the ones in between are of no interest to him (a configuration, a state, progress).
 *
 * Any number of tasks and threads may use either.
 */
#ifndef SKUA_BROADCAST_H
#define SKUA_BROADCAST_H

#include <skua/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct skua_broadcast skua_broadcast;
typedef struct skua_subscriber skua_subscriber;
typedef struct skua_watch_cell skua_watch;

/* ---- broadcasts ------------------------------------------------------------------------------ */

/**
 * Makes a broadcast of items of @item_size bytes that keeps the last @capacity of them.
 *
 * Context: any; never waits. Needs no runtime.
 * Cancellation: not a cancellation point.
 * Ownership: the caller owns the returned handle.
 * Returns: the broadcast; NULL if memory is exhausted, @capacity is 0, or @item_size * @capacity is
 *   over PTRDIFF_MAX. @item_size may be 0: then items are mere signals.
 * Source: tokio::sync::broadcast.
 */
SKUA_API SKUA_MUST_USE skua_broadcast *skua_broadcast_create(size_t item_size, size_t capacity);

/**
 * Makes another handle of the same broadcast.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: @broadcast (NULL if it is NULL).
 */
SKUA_API skua_broadcast *skua_broadcast_ref(skua_broadcast *broadcast);

/**
 * Drops a handle. The last one frees the broadcast; a subscriber counts as one. It does not close.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Ownership: consumes the handle. NULL is accepted.
 * Returns: nothing.
 */
SKUA_API void skua_broadcast_unref(skua_broadcast *broadcast);

/**
 * Sends a copy of *@item to all who have subscribed, in place of the oldest item kept if need be.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0, also if nobody has subscribed; -EPIPE if the broadcast is closed; -EINVAL if
 *   @broadcast or @item is NULL (@item may be NULL if the item size is 0).
 */
SKUA_API int skua_broadcast_send(skua_broadcast *broadcast, const void *item);

/**
 * Closes @broadcast: sends fail from now on; subscribers receive what is kept, then -EPIPE.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0; -EALREADY if it is closed; -EINVAL if @broadcast is NULL.
 */
SKUA_API int skua_broadcast_close(skua_broadcast *broadcast);

/**
 * Subscribes to what @broadcast is sent from now on.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Ownership: the caller owns the subscriber, which has a handle of the broadcast.
 * Returns: the subscriber; NULL if memory is exhausted or @broadcast is NULL.
 */
SKUA_API SKUA_MUST_USE skua_subscriber *skua_subscriber_open(skua_broadcast *broadcast);

/**
 * Ends a subscription. Nobody may be receiving by it.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Ownership: consumes the subscriber. NULL is accepted.
 * Returns: nothing.
 */
SKUA_API void skua_subscriber_close(skua_subscriber *subscriber);

/**
 * Receives the next item of the broadcast into *@item, waiting for it to be sent.
 *
 * Several may receive by one subscriber; each item then goes to one of them.
 *
 * Context: any. A task on a worker parks; any other thread blocks.
 * Cancellation: a wait returns -ECANCELED, and nothing was taken. An item that is there beats the
 *   cancel.
 * Returns: 0 with the item; -EOVERFLOW if items were sent that are not kept any more: *@missed (if
 *   @missed is not NULL) is their number, and the next call gets the oldest that is kept; -EPIPE if
 *   the broadcast is closed and all has been received; -ECANCELED; -EINVAL if @subscriber or @item
 *   is NULL (@item may be NULL if the item size is 0); -ECHILD in a forked child. On error *@item
 *   is untouched, and *@missed but for -EOVERFLOW.
 */
SKUA_API int skua_subscriber_recv(skua_subscriber *subscriber, void *item, uint64_t *missed);

/**
 * As skua_subscriber_recv(), waiting until @deadline_ns.
 *
 * Context: any. A task on a worker parks; any other thread blocks.
 * Cancellation: as skua_subscriber_recv().
 * Units: @deadline_ns is absolute, on the clock of skua_now(); SKUA_FOREVER never passes.
 * Returns: as skua_subscriber_recv(); -ETIMEDOUT; -ENOMEM if the timer could not be stored.
 */
SKUA_API int skua_subscriber_recv_until(skua_subscriber *subscriber, void *item, uint64_t *missed,
                                        uint64_t deadline_ns);

/**
 * Receives if that needs no wait.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0 with the item; -EAGAIN if there is none; -EOVERFLOW, -EPIPE and -EINVAL as
 *   skua_subscriber_recv().
 */
SKUA_API int skua_subscriber_try_recv(skua_subscriber *subscriber, void *item, uint64_t *missed);

/* ---- watches --------------------------------------------------------------------------------- */

/**
 * Makes a watch whose first version is a copy of the @value_size bytes at @value.
 *
 * Context: any; never waits. Needs no runtime.
 * Cancellation: not a cancellation point.
 * Ownership: the caller owns the returned handle.
 * Returns: the watch; NULL if memory is exhausted, @value_size is over PTRDIFF_MAX, or @value is
 *   NULL (which it may be if @value_size is 0).
 * Source: tokio::sync::watch.
 */
SKUA_API SKUA_MUST_USE skua_watch *skua_watch_create(size_t value_size, const void *value);

/**
 * Makes another handle of the same watch.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: @watch (NULL if it is NULL).
 */
SKUA_API skua_watch *skua_watch_ref(skua_watch *watch);

/**
 * Drops a handle. The last one frees the watch. It does not close it.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Ownership: consumes the handle. NULL is accepted. Whoever waits at a watch needs a handle.
 * Returns: nothing.
 */
SKUA_API void skua_watch_unref(skua_watch *watch);

/**
 * Makes a copy of *@value the new version, and wakes all who wait for one.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0; -EPIPE if the watch is closed; -EINVAL if @watch or @value is NULL (@value may be
 *   NULL if the value size is 0).
 */
SKUA_API int skua_watch_set(skua_watch *watch, const void *value);

/**
 * Copies the newest version to *@value, and its number to *@version. Closed watches have one too.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0; -EINVAL if @watch or @value is NULL (@value may be NULL if the value size is 0).
 *   @version may be NULL.
 */
SKUA_API int skua_watch_get(skua_watch *watch, void *value, uint64_t *version);

/**
 * Waits for a version newer than *@version, and copies it to *@value and its number to *@version.
 *
 * Versions are numbered from 1: whoever begins with 0 has not seen any.
 *
 * Context: any. A task on a worker parks; any other thread blocks.
 * Cancellation: a wait returns -ECANCELED. A newer version that is there beats the cancel.
 * Returns: 0; -EPIPE if the watch is closed and *@version is the last; -ECANCELED; -EINVAL if
 *   @watch, @version or @value is NULL (@value may be NULL if the value size is 0); -ECHILD in a
 *   forked child. On error *@value and *@version are untouched.
 */
SKUA_API int skua_watch_next(skua_watch *watch, void *value, uint64_t *version);

/**
 * As skua_watch_next(), waiting until @deadline_ns.
 *
 * Context: any. A task on a worker parks; any other thread blocks.
 * Cancellation: as skua_watch_next().
 * Units: @deadline_ns is absolute, on the clock of skua_now(); SKUA_FOREVER never passes.
 * Returns: as skua_watch_next(); -ETIMEDOUT; -ENOMEM if the timer could not be stored.
 */
SKUA_API int skua_watch_next_until(skua_watch *watch, void *value, uint64_t *version,
                                   uint64_t deadline_ns);

/**
 * Closes @watch: it stays at its newest version, and who waits for another one is told so.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0; -EALREADY if it is closed; -EINVAL if @watch is NULL.
 */
SKUA_API int skua_watch_close(skua_watch *watch);

#ifdef __cplusplus
}
#endif

#endif /* SKUA_BROADCAST_H */
