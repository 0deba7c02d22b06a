/*
 * sync/channel.c - see channel.h. The fast way is a look, a copy and nobody who waits; all else
 * goes through attempt().
 */
#include "sync/channel.h"

#include "base/alloc.h"
#include "platform/membarrier.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static SKUA_ALWAYS_INLINE void copy_item(void *to, const void *from, size_t size)
{
    skua_assert(size == 0 || (to != NULL && from != NULL));
    if (size == 8)
        memcpy(to, from, 8);
    else if (size != 0)
        memcpy(to, from, size);
}

static char *slot(struct skua_channel *channel, size_t index)
{
    return channel->items + index * channel->item_size;
}

/* Under the lock: @item becomes the newest. */
static void put(struct skua_channel *channel, const void *item)
{
    size_t index = channel->head + channel->count;
    if (index >= channel->capacity)
        index -= channel->capacity;
    copy_item(slot(channel, index), item, channel->item_size);
    channel->count++;
}

/* Under the lock: the oldest goes to @item. */
static void get(struct skua_channel *channel, void *item)
{
    copy_item(item, slot(channel, channel->head), channel->item_size);
    if (++channel->head == channel->capacity)
        channel->head = 0;
    channel->count--;
}

/* Under the lock: R1. True if anybody has been handed an item. */
static bool serve_receivers(struct skua_channel *channel, struct skua_wakes *wakes)
{
    struct skua_queued *waiter;
    bool handed = false, any = false;
    while (channel->count != 0 &&
           (waiter = skua_turns_next(&channel->turns, SKUA_TAKE, &handed)) != NULL) {
        if (handed)
            get(channel, waiter->item);
        any |= handed;
        skua_queued_wake(waiter, wakes);
    }
    return any;
}

/* Under the lock: R2. True if anybody's item has been taken. */
static bool serve_senders(struct skua_channel *channel, struct skua_wakes *wakes)
{
    struct skua_queued *waiter;
    bool handed = false, any = false;
    while (channel->count != channel->capacity &&
           (waiter = skua_turns_next(&channel->turns, SKUA_GIVE, &handed)) != NULL) {
        if (handed)
            put(channel, waiter->item);
        any |= handed;
        skua_queued_wake(waiter, wakes);
    }
    return any;
}

/* Under the lock: what one side is handed makes room or items for the other, and again. */
static void serve_both(struct skua_channel *channel, struct skua_wakes *wakes)
{
    bool handed;
    do {
        handed = serve_receivers(channel, wakes);
        handed |= serve_senders(channel, wakes);
    } while (handed);
}

int skua_channel_offer(struct skua_channel *channel, const void *item, struct skua_wakes *wakes)
{
    if (channel->closed)
        return -EPIPE;
    if (channel->count != channel->capacity) {
        put(channel, item);
        serve_both(channel, wakes);
        return 0;
    }
    if (channel->capacity != 0)
        return -EAGAIN;
    struct skua_queued *receiver = skua_wait_queue_pop(&channel->turns.waiters[SKUA_TAKE]);
    if (receiver == NULL)
        return -EAGAIN;
    copy_item(receiver->item, item, channel->item_size);
    receiver->value = 0;
    skua_queued_wake(receiver, wakes);
    return 0;
}

int skua_channel_take(struct skua_channel *channel, void *item, struct skua_wakes *wakes)
{
    if (channel->count != 0) {
        get(channel, item);
        serve_both(channel, wakes);
        return 0;
    }
    struct skua_queued *sender = skua_wait_queue_pop(&channel->turns.waiters[SKUA_GIVE]);
    if (sender == NULL)
        return channel->closed ? -EPIPE : -EAGAIN;
    copy_item(item, sender->item, channel->item_size);
    sender->value = 0;
    skua_queued_wake(sender, wakes);
    return 0;
}

/* ---- waiting --------------------------------------------------------------------------------- */

static bool guard_lock(void *channel)
{
    return skua_channel_lock(channel);
}

static void guard_unlock(void *channel, bool biased)
{
    skua_channel_unlock(channel, biased);
}

/* As the owner of turns; also what is left to do when the easy way is closed. */
static SKUA_NOINLINE int attempt(struct skua_turn *turn, struct skua_queued *node)
{
    struct skua_channel *channel = turn->object;
    struct skua_wakes wakes;
    skua_wakes_init(&wakes);
    bool biased = skua_channel_lock(channel);
    skua_turns_arrive(&channel->turns, turn);
    int rc = turn->side == SKUA_GIVE ? skua_channel_offer(channel, turn->item, &wakes)
                                     : skua_channel_take(channel, turn->item, &wakes);
    if (rc == -EAGAIN && node != NULL)
        skua_turns_wait(&channel->turns, turn, node);
    skua_channel_unlock(channel, biased);
    skua_wakes_flush(&wakes);
    return rc;
}

/* A send or a receive that has to wait, or so it seemed. */
static SKUA_NOINLINE int wait_at(struct skua_channel *channel, enum skua_side side, void *item,
                                 uint64_t deadline_ns)
{
    static const struct skua_turns_owner owner = {
        {guard_lock, guard_unlock}, SKUA_WAIT_CHANNEL, attempt};
    struct skua_turn turn = {.object = channel, .item = item, .side = side};
    return skua_turns_take_part(&owner, &channel->turns, &turn, deadline_ns);
}

/* Somebody waits at the channel, or nothing goes. */
static SKUA_NOINLINE int try_slow(struct skua_channel *channel, enum skua_side side, void *item)
{
    struct skua_turn turn = {.object = channel, .item = item, .side = side};
    return attempt(&turn, NULL);
}

static SKUA_ALWAYS_INLINE bool is_bad(const struct skua_channel *channel, const void *item)
{
    return channel == NULL || (item == NULL && channel->item_size != 0);
}

/* What a look at the channel says. */
enum look { EASY, HOPELESS, HARD };

static SKUA_ALWAYS_INLINE int try_send(struct skua_channel *channel, const void *item)
{
    enum look look = HARD;
    bool biased = skua_channel_lock(channel);
    if (skua_likely(!channel->closed)) {
        if (channel->count == channel->capacity)
            look = skua_wait_queue_empty(&channel->turns.waiters[SKUA_TAKE]) ? HOPELESS : HARD;
        else if (skua_likely(skua_turns_quiet(&channel->turns)))
            look = EASY;
    }
    if (skua_likely(look == EASY))
        put(channel, item);
    skua_channel_unlock(channel, biased);
    if (skua_likely(look == EASY))
        return 0;
    return look == HOPELESS ? -EAGAIN : try_slow(channel, SKUA_GIVE, (void *)(uintptr_t)item);
}

static SKUA_ALWAYS_INLINE int try_recv(struct skua_channel *channel, void *item)
{
    enum look look = HARD;
    bool biased = skua_channel_lock(channel);
    if (channel->count == 0)
        look = skua_wait_queue_empty(&channel->turns.waiters[SKUA_GIVE]) && !channel->closed
                   ? HOPELESS
                   : HARD;
    else if (skua_likely(skua_turns_quiet(&channel->turns)))
        look = EASY;
    if (skua_likely(look == EASY))
        get(channel, item);
    skua_channel_unlock(channel, biased);
    if (skua_likely(look == EASY))
        return 0;
    return look == HOPELESS ? -EAGAIN : try_slow(channel, SKUA_TAKE, item);
}

int skua_channel_send_until(skua_channel *channel, const void *item, uint64_t deadline_ns)
{
    if (skua_unlikely(is_bad(channel, item)))
        return -EINVAL;
    int rc = try_send(channel, item);
    if (skua_likely(rc != -EAGAIN))
        return rc;
    return wait_at(channel, SKUA_GIVE, (void *)(uintptr_t)item, deadline_ns); /* only read from */
}

int skua_channel_send(skua_channel *channel, const void *item)
{
    return skua_channel_send_until(channel, item, SKUA_FOREVER);
}

int skua_channel_try_send(skua_channel *channel, const void *item)
{
    return skua_unlikely(is_bad(channel, item)) ? -EINVAL : try_send(channel, item);
}

int skua_channel_recv_until(skua_channel *channel, void *item, uint64_t deadline_ns)
{
    if (skua_unlikely(is_bad(channel, item)))
        return -EINVAL;
    int rc = try_recv(channel, item);
    return skua_likely(rc != -EAGAIN) ? rc : wait_at(channel, SKUA_TAKE, item, deadline_ns);
}

int skua_channel_recv(skua_channel *channel, void *item)
{
    return skua_channel_recv_until(channel, item, SKUA_FOREVER);
}

int skua_channel_try_recv(skua_channel *channel, void *item)
{
    return skua_unlikely(is_bad(channel, item)) ? -EINVAL : try_recv(channel, item);
}

/* ---- life ------------------------------------------------------------------------------------ */

skua_channel *skua_channel_create(size_t item_size, size_t capacity)
{
    size_t bytes;
    if (__builtin_mul_overflow(item_size, capacity, &bytes) ||
        bytes > (size_t)PTRDIFF_MAX - 2 * sizeof(struct skua_channel))
        return NULL;
    /* A multiple of the alignment, as aligned_alloc() wants it. */
    size_t size = (sizeof(struct skua_channel) + bytes + SKUA_CACHE_LINE - 1) / SKUA_CACHE_LINE *
                  SKUA_CACHE_LINE;
    struct skua_channel *channel = skua_aligned_alloc(SKUA_CACHE_LINE, size);
    if (channel == NULL)
        return NULL;
    memset(channel, 0, sizeof(*channel));
    channel->capacity = capacity;
    channel->item_size = item_size;
    channel->barrier = skua_membarrier_init() ? skua_membarrier : NULL;
    atomic_init(&channel->refs, 1);
    return channel;
}

skua_channel *skua_channel_ref(skua_channel *channel)
{
    /* relaxed: the caller's handle keeps it alive meanwhile */
    if (channel != NULL)
        atomic_fetch_add_explicit(&channel->refs, 1, memory_order_relaxed);
    return channel;
}

void skua_channel_unref(skua_channel *channel)
{
    /* acq_rel: the last one frees what the others have used */
    if (channel == NULL || atomic_fetch_sub_explicit(&channel->refs, 1, memory_order_acq_rel) != 1)
        return;
    skua_assert(skua_wait_queue_empty(&channel->turns.waiters[SKUA_TAKE]));
    skua_assert(skua_wait_queue_empty(&channel->turns.waiters[SKUA_GIVE]));
    free(channel);
}

/* Under the lock: nobody waits at a closed channel. What is in it goes to those who have waited. */
static void turn_away(struct skua_channel *channel, struct skua_wakes *wakes)
{
    struct skua_queued *waiter;
    while ((waiter = skua_wait_queue_pop(&channel->turns.waiters[SKUA_TAKE])) != NULL) {
        bool has_item = channel->count != 0; /* while one is waking there may be some */
        if (has_item)
            get(channel, waiter->item);
        waiter->value = has_item ? 0 : -EPIPE;
        skua_queued_wake(waiter, wakes);
    }
    while ((waiter = skua_wait_queue_pop(&channel->turns.waiters[SKUA_GIVE])) != NULL) {
        waiter->value = -EPIPE;
        skua_queued_wake(waiter, wakes);
    }
}

int skua_channel_close(skua_channel *channel)
{
    if (channel == NULL)
        return -EINVAL;
    struct skua_wakes wakes;
    skua_wakes_init(&wakes);
    bool biased = skua_channel_lock(channel);
    bool was_closed = channel->closed;
    channel->closed = true;
    turn_away(channel, &wakes);
    skua_channel_unlock(channel, biased);
    skua_wakes_flush(&wakes);
    return was_closed ? -EALREADY : 0;
}

size_t skua_channel_count(const skua_channel *opaque)
{
    skua_channel *channel = (skua_channel *)(uintptr_t)opaque;
    if (channel == NULL)
        return 0;
    bool biased = skua_channel_lock(channel);
    size_t count = channel->count;
    skua_channel_unlock(channel, biased);
    return count;
}

bool skua_channel_closed(const skua_channel *opaque)
{
    skua_channel *channel = (skua_channel *)(uintptr_t)opaque;
    if (channel == NULL)
        return false;
    bool biased = skua_channel_lock(channel);
    bool closed = channel->closed;
    skua_channel_unlock(channel, biased);
    return closed;
}
