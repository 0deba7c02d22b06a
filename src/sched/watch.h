/*
 * sched/watch.h - one waiter for many futures, which is told which of them are done, and in which
 * order.
 *
 * WHAT   A watcher is a waiter at a future (struct skua_waiter, with no agent). When the future is
 *        completed the watcher is put at the end of its watch's list, and if that is what the
 *        owner of the watch waits for, the owner is woken. So n futures cost O(n) in all, and each
 *        look for the next one O(1), where an agent at n futures would have to look at all of them.
 *
 * WHO    One owner at a time adds, takes, waits and removes; completers, any number of them, call
 *        skua_watcher_done() with the future's lock held. The watch's lock is taken after that one,
 *        never before: the owner holds no future's lock.
 *
 * LAST TOUCH  A completer touches watcher and watch until it lets the watch's lock go, and holds
 *        the future's lock meanwhile. skua_watch_remove() waits for that one, so after it nobody
 *        touches the watcher; when all have been removed nobody touches the watch.
 *        The owner takes its agent back under the watch's lock after each of its waits, whatever
 *        ended it, and completers resolve it under that lock: so nobody ends a later wait for this
 *        one's sake. (To remove the watcher that is done would be enough for the latter.)
 *
 * ORDER  The watcher is put in the list before its future is DONE (the completer tells the waiters
 *        first, see task.h). Who takes it out and wants the value removes it first: that waits for
 *        DONE.
 */
#ifndef SKUA_SRC_WATCH_H
#define SKUA_SRC_WATCH_H

#include "base/spin.h"
#include "sched/task.h"
#include "sched/wakes.h"

struct skua_watch;

struct skua_watcher {
    struct skua_waiter waiter; /* first; its agent is NULL */
    struct skua_watch *watch;
    struct skua_watcher *next; /* in the list; guarded by the watch's lock */
};

/* All guarded by lock. done counts watchers put in the list, failed those with errors. */
struct skua_watch {
    struct skua_spin lock;
    struct skua_agent *agent; /* of the owner while it waits */
    size_t wake_at;           /* it wants that many done, */
    bool wake_on_error;       /* or one that failed */
    size_t done;
    size_t failed; /* cancelled ones not counted, unless count_cancelled */
    bool count_cancelled;
    intptr_t error; /* of the first that failed */
    struct skua_watcher *first;
    struct skua_watcher *last;
};

/* @count_cancelled: -ECANCELED is an error like others. */
void skua_watch_init(struct skua_watch *watch, bool count_cancelled);

/* Adds @watcher for @future; if that is done already, it is in the list at once. */
void skua_watch_add(struct skua_watch *watch, struct skua_watcher *watcher, skua_future *future);

/* Puts @watcher, which has no future, in the list, as one that has failed with @error. */
void skua_watch_add_failed(struct skua_watch *watch, struct skua_watcher *watcher, int error);

/* Takes @watcher back from @future; see LAST TOUCH. True if the future is done. */
static inline bool skua_watch_remove(struct skua_watcher *watcher, skua_future *future)
{
    return skua_future_remove_waiter(future, &watcher->waiter);
}

/* The oldest in the list, NULL if it is empty. */
struct skua_watcher *skua_watch_take(struct skua_watch *watch);

/* Waits until @count of them are done, counted from init, or, with @or_error, one has failed. */
struct skua_watch_until {
    size_t count;
    bool or_error;
    uint64_t deadline_ns; /* 0 only looks */
};

/* 0; -ETIMEDOUT; -ECANCELED if the caller's task is cancelled; -ENOMEM. */
int skua_watch_wait(struct skua_watch *watch, const struct skua_watch_until *until);

/* For skua_future_complete() only: with the future's lock held. */
void skua_watcher_done(struct skua_waiter *waiter, intptr_t value, struct skua_wakes *wakes);

#endif /* SKUA_SRC_WATCH_H */
