/*
 * sched/wakes.h - ending the waits of several agents under a lock, and waking them after it.
 *
 * WHAT   Whoever ends a wait while it holds a lock must not queue a task or make a system call
 *        there. So it resolves the agents under the lock, notes whom to wake, and flushes after.
 *
 * LAST TOUCH  As in agent.h: the frame of a resolved waiter may be gone at once. A task's agent
 *        stays until it is queued, by the flush; of a thread only the address of its futex is kept.
 *
 * More threads than WAKE_THREADS_MAX in one batch are woken at once, under the caller's lock: more
 * than is usual wait for one thing then.
 */
#ifndef SKUA_SRC_WAKES_H
#define SKUA_SRC_WAKES_H

#include "sched/agent.h"

#define SKUA_WAKE_THREADS_MAX 8u

struct skua_wakes {
    struct skua_link *tasks; /* through agent.link, which is ours until queued */
    struct skua_link *last;
    unsigned thread_count;
    _Atomic uint32_t *threads[SKUA_WAKE_THREADS_MAX]; /* futexes: addresses, not to be read */
};

static inline void skua_wakes_init(struct skua_wakes *wakes)
{
    wakes->tasks = NULL;
    wakes->thread_count = 0;
}

/* For skua_wakes_add() only. */
void skua_wakes_add_thread(struct skua_wakes *wakes, _Atomic uint32_t *futex);

/* Ends the wait of @agent as its event. It is woken last of those added, or first. */
static inline void skua_wakes_add(struct skua_wakes *wakes, struct skua_agent *agent, bool first)
{
    enum skua_agent_type type = skua_agent_type(agent);
    if (skua_agent_resolve(agent, SKUA_REASON_EVENT) != SKUA_RESOLVE_WAITING)
        return;
    if (skua_unlikely(type != SKUA_AGENT_TASK)) {
        skua_wakes_add_thread(wakes, &agent->state);
        return;
    }
    bool empty = wakes->tasks == NULL;
    if (first || empty) {
        agent->link.next = wakes->tasks;
        wakes->tasks = &agent->link;
        if (empty)
            wakes->last = &agent->link;
    } else {
        agent->link.next = NULL;
        wakes->last->next = &agent->link;
        wakes->last = &agent->link;
    }
}

/* For skua_wakes_flush() only. */
void skua_wakes_flush_slow(struct skua_wakes *wakes);

/* After the lock: wakes them. */
static inline void skua_wakes_flush(struct skua_wakes *wakes)
{
    if (wakes->tasks != NULL || wakes->thread_count != 0)
        skua_wakes_flush_slow(wakes);
}

#endif /* SKUA_SRC_WAKES_H */
