/*
 * sync/channel.h - the channel as skua_select() sees it.
 *
 * WHAT   A ring of items, and two queues of waiters, under one lock (core/biased_lock.h: both ends
 *        of a channel often run on one worker).
 *
 *        Waiters take turns (turns.h): senders give, receivers take. At a channel of capacity 0
 *        nobody has turns: each meeting is handed over.
 *
 * INVARIANTS  R1 and R2 of turns.h, and: nobody waits at a closed channel, C3. node.value becomes
 *        -EPIPE by a close.
 */
#ifndef SKUA_SRC_CHANNEL_H
#define SKUA_SRC_CHANNEL_H

#include <skua/channel.h>

#include "sync/turns.h"

struct skua_channel {
    struct skua_biased_lock lock;
    bool closed; /* this and all below: guarded by lock, but for what is constant */
    size_t head; /* the oldest item */
    size_t count;
    size_t capacity;  /* constant */
    size_t item_size; /* constant */
    struct skua_turns turns;
    void (*barrier)(void); /* constant; see biased_lock.h */
    _Atomic uint32_t refs;
    char items[] SKUA_CACHE_ALIGNED;
};

/* The lock, as the calling thread takes it. */
static SKUA_ALWAYS_INLINE bool skua_channel_lock(struct skua_channel *channel)
{
    return skua_turns_lock(&channel->lock, channel->barrier);
}

static SKUA_ALWAYS_INLINE void skua_channel_unlock(struct skua_channel *channel, bool biased)
{
    skua_biased_unlock(&channel->lock, biased);
}

/* Under the lock: sends or receives if that needs no wait. 0, -EAGAIN or -EPIPE. */
int skua_channel_offer(struct skua_channel *channel, const void *item, struct skua_wakes *wakes);
int skua_channel_take(struct skua_channel *channel, void *item, struct skua_wakes *wakes);

#endif /* SKUA_SRC_CHANNEL_H */
