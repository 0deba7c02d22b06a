/*
 * sync/channel.h - the channel as skua_select() sees it.
 *
 * WHAT   A ring of items, and two queues of waiters, under one lock (core/biased_lock.h: both ends
 *        of a channel often run on one worker).
 *
 * TURNS  Who waits at a channel that holds items is not handed one, but woken to take its turn: it
 *        tries again, and so do those that are running and come first. So a sender that has woken
 *        one receiver goes on filling the channel, and that finds many items: one wake for many.
 *        At most one waiter of each kind is woken and on its way (waking); it wakes the next when
 *        it comes and there is more for it. A waiter that has lost TURNS_LOST_MAX turns is handed
 *        its item or place; so are the waiters of a select, and all waiters of a channel of
 *        capacity 0.
 *
 * INVARIANTS, whenever the lock is free
 *   C1  If the channel holds items and receivers wait, one of them is waking.
 *   C2  If it has room and senders wait, one of them is waking.
 *   C3  Nobody waits at a closed channel.
 *   Waiters whose race is lost (wait_queue.h) do not count: they are on their way out. Who is
 *   waking tries again in any case, also if its wait was ended by something else.
 *
 * node.item is where a waiter's item is, or goes to. node.value: how many turns it has lost; when
 * it is taken out of the queue 0 (it has been served), TURN, or -EPIPE (the channel has been
 * closed).
 */
#ifndef SKUA_SRC_CHANNEL_H
#define SKUA_SRC_CHANNEL_H

#include <skua/channel.h>

#include "core/biased_lock.h"
#include "sync/wait_queue.h"

#define SKUA_CHANNEL_TURN 1

struct skua_channel {
    struct skua_biased_lock lock;
    bool closed; /* this and all below: guarded by lock, but for what is constant */
    size_t head; /* the oldest item */
    size_t count;
    size_t capacity;  /* constant */
    size_t item_size; /* constant */
    bool receiver_waking;
    bool sender_waking;
    struct skua_wait_queue receivers;
    struct skua_wait_queue senders;
    void (*barrier)(void); /* constant; see biased_lock.h */
    _Atomic uint32_t refs;
    char items[] SKUA_CACHE_ALIGNED;
};

/* The lock, as the calling thread takes it. */
static SKUA_ALWAYS_INLINE bool skua_channel_lock(struct skua_channel *channel)
{
    skua_vthread_point();
    struct skua_thread *thread = skua_thread_self();
    const void *self = thread != NULL && thread->worker != NULL ? thread : NULL;
    return skua_biased_lock(&channel->lock, self, channel->barrier);
}

static SKUA_ALWAYS_INLINE void skua_channel_unlock(struct skua_channel *channel, bool biased)
{
    skua_biased_unlock(&channel->lock, biased);
}

/* Under the lock: sends or receives if that needs no wait. 0, -EAGAIN or -EPIPE. */
int skua_channel_offer(struct skua_channel *channel, const void *item, struct skua_wakes *wakes);
int skua_channel_take(struct skua_channel *channel, void *item, struct skua_wakes *wakes);

#endif /* SKUA_SRC_CHANNEL_H */
