/*
 * sched/executor_impl.h - executors as the scheduler sees them. See executor.c.
 */
#ifndef SKUA_SRC_EXECUTOR_IMPL_H
#define SKUA_SRC_EXECUTOR_IMPL_H

#include <skua/executor.h>

#include "sched/worker.h"

/*
 * Queues @job, or, without one, reserves a place for a host. 0; -ESHUTDOWN; -EAGAIN if the queue is
 * full. A host is refused with -EAGAIN too if there is no thread and none could be made; a job's
 * future fails then.
 */
int skua_executor_accept(skua_executor *executor, struct skua_task *job);

/* Calls the function of @job, which the caller has claimed, and ends it; @drop as there. */
void skua_executor_call_job(struct skua_thread *thread, struct skua_task *job, bool drop);

/* The job, which may be running, is cancelled: ends its wait; sends the executor's signal. */
void skua_executor_interrupt_job(struct skua_task *job);

/* Takes a cancelled job out of the queue. True: its entry's reference is the caller's to drop. */
bool skua_executor_withdraw(skua_executor *executor, struct skua_task *job);

/* Whose executor it is. */
skua_runtime *skua_executor_runtime(const skua_executor *executor);

/* skua_hop() for the running task, cancelled or not. */
int skua_executor_move_here(struct skua_thread *thread, skua_executor *executor);

/* Queues a host whose place was reserved by skua_hop(), now that it has left its stack. */
void skua_executor_push_hop(skua_executor *executor, struct skua_task *host);

/* A thread of an executor is about to sleep in a wait, and has woken. NULL and others: nothing. */
void skua_executor_block_begin(struct skua_thread *thread);
void skua_executor_block_end(struct skua_thread *thread);

/* Fails every unstarted job with -ECANCELED. */
void skua_executor_cancel_all(skua_executor *executor);

/* As the public calls, for the two the runtime owns. */
int skua_executor_create_owned(skua_runtime *runtime, const skua_executor_options *options,
                               skua_executor **executor);
void skua_executor_destroy_owned(skua_executor *executor);

#endif /* SKUA_SRC_EXECUTOR_IMPL_H */
