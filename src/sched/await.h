/*
 * sched/await.h - waiting for a future, below the public calls of sync/future.c.
 */
#ifndef SKUA_SRC_AWAIT_H
#define SKUA_SRC_AWAIT_H

#include "sched/task.h"

/*
 * Waits until @future is done. 0; -ETIMEDOUT; -ECANCELED if the caller's task is cancelled and not
 * @deaf. The handle stays the caller's.
 */
int skua_future_wait(skua_future *future, uint64_t deadline_ns, bool deaf);

/*
 * If @future is an unstarted task or job that may run on the caller's stack, runs it. True if it
 * has been run.
 */
bool skua_future_run_in_place(struct skua_thread *thread, skua_future *future);

/* skua_cancel() without the checks. */
int skua_future_cancel(skua_future *future);

#endif /* SKUA_SRC_AWAIT_H */
