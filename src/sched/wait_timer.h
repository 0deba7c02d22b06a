/*
 * sched/wait_timer.h - a timer in a worker's heap: it ends a wait, or does what its kind says.
 *
 * Armed and disarmed by sched/wait.c and sched/dormant.c, fired by skua_worker_timers().
 */
#ifndef SKUA_SRC_WAIT_TIMER_H
#define SKUA_SRC_WAIT_TIMER_H

#include "core/timer_queue.h"

struct skua_agent;
struct skua_timer_kind;

struct skua_wait_timer {
    struct skua_timer timer;
    const struct skua_timer_kind *kind; /* NULL: it ends the wait of agent */
    struct skua_agent *agent;
};

/* Both are called by the worker, on its base context or in a task of it; they do not wait. */
struct skua_timer_kind {
    /* Under the heap's lock: whether to call fire. After a disarm the timer is not touched, ... */
    bool (*begin)(struct skua_wait_timer *timer);
    /* ... but by this: who disarms must find out from what begin has done, and wait for it. */
    void (*fire)(struct skua_wait_timer *timer);
};

#endif /* SKUA_SRC_WAIT_TIMER_H */
