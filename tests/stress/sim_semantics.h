/*
 * stress/sim_semantics.h - what a program of sim_semantics is about, and what must hold of it at
 * every step of its run.
 */
#ifndef SKUA_TESTS_SIM_SEMANTICS_H
#define SKUA_TESTS_SIM_SEMANTICS_H

#include <skua/skua.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TASKS 8
#define PERMITS 3
#define SCOPES 16 /* of a tree: 1 + 3 + 9 */

/* A scope of a tree; its children count themselves, from their first statement to their last. */
struct scope_note {
    int children;
    bool is_closed;
};

/*
 * Set anew by each run. A simulation is one thread, so what a task does here between two calls of
 * the library is done at once for every other task, and for the invariants.
 */
struct sim_state {
    skua_mutex mutex;
    skua_semaphore semaphore;
    skua_rwlock rwlock;
    skua_condition condition;
    skua_event event;
    skua_barrier barrier;
    skua_wait_group group;
    skua_channel *channels[3];
    skua_queue *queue;
    skua_broadcast *broadcast;
    skua_subscriber *subscribers[TASKS];
    skua_watch *watch;
    skua_future *tasks[TASKS];
    struct scope_note scopes[SCOPES];
    int scope_count;
    int inside;
    int writers;
    int running;
    int64_t sent;
    int64_t received;
    int64_t sending;   /* in a call that may have sent, or acquired, already */
    int64_t receiving; /* in one that may have received, or released */
    int64_t counts[TASKS];
    uint64_t next[TASKS]; /* of each sender: what must come next */
    bool any_order;       /* that is not so */
    bool drops;           /* somebody may drop what has been sent */
    bool is_closed;
    const char *wrong;
};

extern struct sim_state now;

/* The first that is not so counts: what comes after it may come of it. */
#define EXPECT(condition)                                                                          \
    ((condition) || now.wrong != NULL ? (void)0 : (void)(now.wrong = #condition))

/* Invariants, as skua_sim_options has them: 0, or -EIO with now.wrong set. @arg is not used. */
int sim_nothing_wrong(void *arg); /* what the tasks themselves expect */
int sim_mutex_holds(void *arg);
int sim_semaphore_holds(void *arg);
int sim_rwlock_holds(void *arg);
int sim_event_holds(void *arg);
int sim_barrier_holds(void *arg);
int sim_group_holds(void *arg);
int sim_channels_hold(void *arg);
int sim_selects_hold(void *arg);
int sim_queue_holds(void *arg);
int sim_broadcast_holds(void *arg);
int sim_scopes_hold(void *arg);
int sim_siblings_hold(void *arg);
int sim_promises_hold(void *arg);
int sim_jobs_hold(void *arg);

#endif /* SKUA_TESTS_SIM_SEMANTICS_H */
