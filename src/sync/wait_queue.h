/*
 * sync/wait_queue.h - waiters in order of arrival: what mutexes, semaphores and channels are made
 * of.
 *
 * WHAT   A queue belongs to an object and is guarded by the object's lock. Waiters stand in the
 *        frames of those who wait. Whoever has something for a waiter takes it out under the lock
 *        (skua_wait_queue_pop), hands it over there, and ends its wait (skua_queued_wake): what is
 *        handed over is the waiter's, so nobody can snatch it on the way, and order is kept.
 *
 * WAIT   struct skua_queue_wait w;
 *        rc = skua_queue_wait_begin(&w, kind, deaf, deadline_ns);      0 or an error: no wait
 *        lock; look again; if there is no need to wait: unlock, skua_queue_wait_abandon(&w)
 *        else skua_wait_queue_add(&queue, &w.node); unlock
 *        rc = skua_queue_wait_park(&w, &lock, &queue)     0: handed over. -ETIMEDOUT, -ECANCELED:
 *                                                         it is out of the queue, with nothing
 *
 * INVARIANTS
 *   Q1  node.queued is written under the lock. False after the add: somebody has taken the waiter
 *       out, and hands over, and resolves its agent, before it releases the lock.
 *   Q2  So a waiter that was woken by something else takes the lock and looks: still queued, it
 *       takes itself out and has nothing; not queued, it has been handed what it waited for, and
 *       that beats its cancel and its deadline.
 *   Q3  A waiter whose wait ended as its EVENT has been handed over; it need not take the lock.
 *       Nobody touches its node any more: what is done to it is done before the resolve.
 *
 * RACE   The waiters of a select stand in several queues and share a race. Who pops one of them
 *        must win the race first (compare-and-swap of winner), for the select takes one offer only;
 *        a waiter whose race is lost is dropped from the queue. The select itself ends the race
 *        before it looks elsewhere.
 */
#ifndef SKUA_SRC_WAIT_QUEUE_H
#define SKUA_SRC_WAIT_QUEUE_H

#include "base/spin.h"
#include "sched/wait.h"
#include "sched/wakes.h"

/* race.winner: the index of the case that has been taken, or: */
#define SKUA_RACE_OPEN (-1)
#define SKUA_RACE_ENDED (-2)

struct skua_race {
    _Atomic int winner;
};

struct skua_queued {
    struct skua_queued *next;
    struct skua_queued *prev;
    struct skua_agent *agent;
    struct skua_race *race; /* NULL outside a select */
    void *item;             /* between the object and its waiters: where to take from or put to */
    intptr_t value;         /* the same: how much, or what came of it */
    int index;              /* of the case in a select */
    bool queued;            /* see Q1 */
};

/* All zero: empty. */
struct skua_wait_queue {
    struct skua_queued *first;
    struct skua_queued *last;
};

static inline bool skua_wait_queue_empty(const struct skua_wait_queue *queue)
{
    return queue->first == NULL;
}

static inline void skua_wait_queue_add(struct skua_wait_queue *queue, struct skua_queued *node)
{
    node->queued = true;
    node->next = NULL;
    node->prev = queue->last;
    if (queue->last != NULL)
        queue->last->next = node;
    else
        queue->first = node;
    queue->last = node;
}

/* For one that has waited before. */
static inline void skua_wait_queue_add_first(struct skua_wait_queue *queue,
                                             struct skua_queued *node)
{
    node->queued = true;
    node->prev = NULL;
    node->next = queue->first;
    if (queue->first != NULL)
        queue->first->prev = node;
    else
        queue->last = node;
    queue->first = node;
}

static inline void skua_wait_queue_remove(struct skua_wait_queue *queue, struct skua_queued *node)
{
    node->queued = false;
    if (node->prev != NULL)
        node->prev->next = node->next;
    else
        queue->first = node->next;
    if (node->next != NULL)
        node->next->prev = node->prev;
    else
        queue->last = node->prev;
}

/* Under the lock: whether @race may be decided for case @index, and then it is. */
static inline bool skua_race_win(struct skua_race *race, int index)
{
    int open = SKUA_RACE_OPEN;
    /* relaxed: a decision; what is handed over is ordered by the object's lock and the resolve */
    return atomic_compare_exchange_strong_explicit(&race->winner, &open, index,
                                                   memory_order_relaxed, memory_order_relaxed);
}

/* Under the lock: the oldest waiter that can be handed something. NULL: nobody waits. */
static inline struct skua_queued *skua_wait_queue_pop(struct skua_wait_queue *queue)
{
    struct skua_queued *node;
    while ((node = queue->first) != NULL) {
        /* It waits on in other queues, or leaves this one itself: it is not ours if it has lost. */
        bool won = node->race == NULL || skua_race_win(node->race, node->index);
        skua_wait_queue_remove(queue, node);
        if (won)
            break;
    }
    return node;
}

/* Under the lock: last touch of a popped node. */
static inline void skua_queued_wake(struct skua_queued *node, struct skua_wakes *wakes)
{
    skua_wakes_add(wakes, node->agent, false);
}

struct skua_queue_wait {
    struct skua_wait wait;
    struct skua_queued node;
    uint64_t deadline_ns;
    enum skua_wait_kind kind;
    bool deaf; /* no cancel ends it */
};

/*
 * Announces a wait. 0; -ECANCELED, -ETIMEDOUT (the deadline has passed), -ENOMEM (timer), -ECHILD.
 */
int skua_queue_wait_begin(struct skua_queue_wait *wait, enum skua_wait_kind kind, bool deaf,
                          uint64_t deadline_ns);

/* Instead of the park; the node is in no queue. */
void skua_queue_wait_abandon(struct skua_queue_wait *wait);

/* What takes @object's lock, and releases it; the unlock is told what the lock returned. */
struct skua_queue_guard {
    bool (*lock)(void *object);
    void (*unlock)(void *object, bool token);
};

/* Waits until somebody has handed over. The node is in @queue, or has been, and nowhere after. */
int skua_queue_wait_park_guarded(struct skua_queue_wait *wait, struct skua_wait_queue *queue,
                                 const struct skua_queue_guard *guard, void *object);

/* The same for objects with a plain spin lock. */
int skua_queue_wait_park(struct skua_queue_wait *wait, struct skua_wait_queue *queue,
                         struct skua_spin *lock);

#endif /* SKUA_SRC_WAIT_QUEUE_H */
