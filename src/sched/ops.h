/*
 * sched/ops.h - I/O requests of tasks on a worker: from the task to the engine and back.
 *
 * The task's frame holds the ops and their batch; submits and completions happen under the worker's
 * engine_lock, which guards the batch. The task parks deaf: only the completion of its last op
 * resumes it, since the kernel may write to its buffers until then. There is no list of ops: its
 * links would be in the frames of other tasks, four lines that are in no cache for each op.
 *
 * CANCEL A canceller sets the task's flag, then (seq_cst) reads the host's io_worker; if there is
 *        one it leaves the host in that worker's cancels, sets cancel_scan and wakes it. The task
 *        stores io_worker (seq_cst), submits, then reads its flag: one of them sees the other. That
 *        io_worker is cleared again needs no such order: who sees it late looks for nothing, and
 *        who sees the clearing of one wait has not read past the store of the next.
 *
 * DONE   What an op that is over touches is its own lines, its host's and, if it was not the only
 *        op of its call, its batch's; see skua_op_private.waiter, the host.
 *
 * FIND   A host that waits for ops has its batch's address in agent.link, which no queue uses until
 *        it is woken. It is written before io_worker is set to the worker, and looked at under that
 *        one's engine_lock while io_worker is that worker, which it ceases to be under the same
 *        lock. So the worker finds the ops of a cancelled task without looking at those
 *        of the ten thousand others; if there are too many for cancels, it goes through all tasks.
 *        Who left a host in cancels did not keep it: the object may have ended and be another by
 *        now, which is safe (objects of tasks are never given back to the allocator), and is
 *        cancelled only if it is to be.
 */
#ifndef SKUA_SRC_OPS_H
#define SKUA_SRC_OPS_H

#include "sched/worker.h"

/*
 * The loop visits the engine early when more requests than this wait to be passed on. Measured with
 * 32 tasks reading: 8 instead of 32 costs cached reads 8 % more CPU and gains O_DIRECT 5 % in rate.
 */
#define SKUA_OPS_QUEUED_MAX 32u

/* The result of an op that the engine cannot do here: the caller finds another way. */
#define SKUA_OP_UNSUPPORTED INT64_MIN

/*
 * For a task on a worker: submits @count ops and waits until all are over; their results are set.
 * A cancel is passed on to the ops unless @shielded.
 */
void skua_ops_submit(skua_op *ops, size_t count, bool shielded);

/*
 * For a worker's own thread, in a task or in its loop: submits an op that no task waits for.
 * @complete is called in the worker's loop, or in that of its rescuer, which may be before this
 * returns; on the base context, under engine_lock: it must not wait, nor submit. 0, or -errno as an
 * engine's submit() gives it.
 */
int skua_ops_submit_bare(struct skua_worker *worker, skua_op *op, void (*complete)(skua_op *));

/* Owner: cancels the ops of cancelled tasks. _locked: whoever holds engine_lock. */
void skua_ops_cancel_scan(struct skua_worker *worker);
void skua_ops_cancel_scan_locked(struct skua_worker *worker);

/* After poll() or rescue(), still under engine_lock: asks again for cancels the kernel missed. */
void skua_ops_after_poll(struct skua_worker *worker);

/* Anybody: the task has been cancelled; sees to it that its ops are. */
void skua_ops_cancel(struct skua_task *task);

#endif /* SKUA_SRC_OPS_H */
