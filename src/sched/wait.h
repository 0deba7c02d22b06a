/*
 * sched/wait.h - one wait of the caller, whoever it is: the frame around skua_agent.
 *
 * USE    struct skua_wait wait;
 *        rc = skua_wait_begin(&wait, kind, deaf, deadline_ns);     0 or -ENOMEM (timer)
 *        ... arm the source with wait.agent; it may resolve at once ...
 *        reason = skua_wait_park(&wait);                           sleeps, disarms the timer
 *        ... disarm the source if the reason is not EVENT ...
 *        or, instead of park, skua_wait_abandon(&wait).
 *
 *        Nothing may wait between begin and park. After an INTERRUPT look at what there is to look
 *        at (cancel, token), and begin again.
 *
 * WHO    A task on a worker parks, its timer in that worker's heap. A task or job on an executor
 *        thread, and a foreign thread, sleep on a futex; the executor is told meanwhile.
 */
#ifndef SKUA_SRC_WAIT_H
#define SKUA_SRC_WAIT_H

#include "sched/wait_timer.h"
#include "sched/worker.h"

/*
 * Arms @timer, which is not armed, in the calling worker's heap; from elsewhere in another's.
 * @worker is where that one is kept; NULL while it is not armed. 0, -ENOMEM.
 */
int skua_wait_timer_arm(struct skua_wait_timer *timer, struct skua_worker **worker,
                        uint64_t deadline_ns);

/* After it the heap has no pointer to @timer, and nobody is about to use one it had; but see fire.
 */
void skua_wait_timer_disarm(struct skua_wait_timer *timer, struct skua_worker **worker);

struct skua_wait {
    struct skua_agent *agent; /* arm sources with it */
    struct skua_thread *thread;
    struct skua_worker *timer_worker; /* whose heap holds timer; NULL if none does */
    uint64_t deadline_ns;             /* for threads */
    struct skua_wait_timer timer;
    struct skua_agent own; /* of a foreign thread */
};

/* See USE. @deaf: interrupts do not end it. */
int skua_wait_begin(struct skua_wait *wait, enum skua_wait_kind kind, bool deaf,
                    uint64_t deadline_ns);
enum skua_reason skua_wait_park(struct skua_wait *wait);

/* Instead of park. True if the event came meanwhile. */
bool skua_wait_abandon(struct skua_wait *wait);

/* The running task if waits of the caller must return -ECANCELED; see skua_task_cancelled(). */
bool skua_wait_cancelled(void);

#endif /* SKUA_SRC_WAIT_H */
