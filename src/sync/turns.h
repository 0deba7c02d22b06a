/*
 * sync/turns.h - waiting at something that holds items, to take one or to give one: what channels
 * and queues share.
 *
 * TURNS  Who waits where there are items is not handed one, but woken to take its turn: it tries
 *        again, and so do those that are running and come first. So a giver that has woken one
 *        taker goes on giving, and that one finds many items: one wake for many. At most one waiter
 *        of each side is woken and on its way (waking); it wakes the next when it comes and there
 *        is more for it. A waiter that has lost SKUA_TURNS_LOST_MAX turns is handed its item, or
 *        has it taken, where it stands, so that nobody waits for ever; so are the waiters of a
 *        select, which have no turns.
 *
 * INVARIANTS, whenever the object's lock is free (the owner sees to them by skua_turns_next())
 *   R1  If there are items and takers wait, one of them is waking.
 *   R2  If there is room and givers wait, one of them is waking.
 *   Waiters whose race is lost (wait_queue.h) do not count: they are on their way out. Who is
 *   waking tries again in any case, also if its wait has been cancelled or is too late: then for
 *   the last time. So a wake is never lost with the one who was woken.
 *
 * node.item is where a waiter's item is, or goes to. node.value: how many turns it has lost; when
 * it is taken out of the queue 0 (it has been served), SKUA_TURN, or an error of the owner's.
 */
#ifndef SKUA_SRC_TURNS_H
#define SKUA_SRC_TURNS_H

#include "core/biased_lock.h"
#include "sync/wait_queue.h"

#define SKUA_TURN 1
#define SKUA_TURNS_LOST_MAX 4

enum skua_side { SKUA_TAKE = 0, SKUA_GIVE = 1 };

/* All zero: nobody waits. Guarded by the owner's lock. */
struct skua_turns {
    struct skua_wait_queue waiters[2]; /* by side */
    bool waking[2];
};

/* One put or get, send or receive. */
struct skua_turn {
    void *object;
    void *item; /* a giver only reads it */
    enum skua_side side;
    bool is_waking; /* this one has been woken to try again */
    intptr_t lost;
};

/* A lock whose most frequent user is a worker, as the calling thread takes it; see biased_lock.h.
 */
static SKUA_ALWAYS_INLINE bool skua_turns_lock(struct skua_biased_lock *lock, void (*barrier)(void))
{
    skua_vthread_point();
    struct skua_thread *thread = skua_thread_self();
    const void *self = thread != NULL && thread->worker != NULL ? thread : NULL;
    return skua_biased_lock(lock, self, barrier);
}

/* Under the lock: whether nobody needs to be served. */
static SKUA_ALWAYS_INLINE bool skua_turns_quiet(const struct skua_turns *turns)
{
    return (skua_wait_queue_empty(&turns->waiters[SKUA_TAKE]) || turns->waking[SKUA_TAKE]) &&
           (skua_wait_queue_empty(&turns->waiters[SKUA_GIVE]) || turns->waking[SKUA_GIVE]);
}

/*
 * Under the lock, there being something for @side: the waiter who is to go on, NULL if none is. The
 * caller wakes it. *@handed: it is to be served here and now; otherwise it is waking.
 */
static inline struct skua_queued *skua_turns_next(struct skua_turns *turns, enum skua_side side,
                                                  bool *handed)
{
    if (turns->waking[side])
        return NULL;
    struct skua_queued *waiter = skua_wait_queue_pop(&turns->waiters[side]);
    if (waiter == NULL)
        return NULL;
    *handed = waiter->race != NULL || waiter->value >= SKUA_TURNS_LOST_MAX;
    waiter->value = *handed ? 0 : SKUA_TURN;
    turns->waking[side] = !*handed;
    return waiter;
}

/* Under the lock, before it tries: @turn has come. */
static inline void skua_turns_arrive(struct skua_turns *turns, struct skua_turn *turn)
{
    if (turn->is_waking)
        turns->waking[turn->side] = false;
    turn->is_waking = false;
}

/* Under the lock: it did not work, and @turn waits, with @node. */
static inline void skua_turns_wait(struct skua_turns *turns, const struct skua_turn *turn,
                                   struct skua_queued *node)
{
    node->item = turn->item;
    node->value = turn->lost;
    if (turn->lost != 0)
        skua_wait_queue_add_first(&turns->waiters[turn->side], node);
    else
        skua_wait_queue_add(&turns->waiters[turn->side], node);
}

/* What stands around the turns: an object with a lock, and what is tried there. */
struct skua_turns_owner {
    struct skua_queue_guard guard;
    enum skua_wait_kind kind;
    /*
     * Tries under the lock (skua_turns_arrive first), and if that does not work queues up with
     * @node, unless it is NULL. -EAGAIN: it did not work.
     */
    int (*attempt)(struct skua_turn *turn, struct skua_queued *node);
};

/* Tries, and waits, until it has worked, or the deadline, or a cancel. */
int skua_turns_take_part(const struct skua_turns_owner *owner, struct skua_turns *turns,
                         struct skua_turn *turn, uint64_t deadline_ns);

#endif /* SKUA_SRC_TURNS_H */
