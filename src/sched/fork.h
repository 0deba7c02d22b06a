/*
 * sched/fork.h - fork and join on workers: which deque is whose, who steals from it, and how a
 * joiner waits for a stolen job.
 *
 * WHAT   A task gets a deque (core/fork_deque.h) at its first fork and keeps it until it ends. The
 *        deque is attached while its task runs on a worker and forks: then the worker shows it to
 *        thieves. When the task leaves its stack the deque is detached: everything in it becomes
 *        public, and if there is anything it joins the orphans, a list all workers look at. The
 *        next fork or join attaches it again, wherever the task is then.
 *
 * STEAL  A stolen job becomes a task, with a stack of 1 MiB of which only the touched pages cost.
 *        Task and stack are there before the CAS: a job that has been taken can be run.
 *
 * JOIN   slot.state: 0 -> the joiner's agent -> DONE, or 0 -> DONE. The joiner adds itself by a CAS
 *        (JOIN, release; partner DONE), the thief ends with an exchange (DONE, acq_rel): whoever is
 *        second sees the other. Only the exchange ends that wait, which is deaf, so the agent is
 *        there when the thief resolves it, and the slot is not touched after it. The joiner reads
 *        the result after an acquire load of DONE.
 *
 * HUNGRY Thieves that find a deque but no job in it leave a request, and go to sleep. The owner's
 *        next fork or join answers it and wakes one. Before a thief sleeps it forces private jobs
 *        out (once for each search), so it never sleeps while there are any; and every millisecond
 *        the watcher (idle.h) comes by, who dozes only beside deques that hold a request. So a job
 *        forked by a worker that then computes for long is found in less than a millisecond.
 *
 * BACKOFF  Waking a thief takes tens of microseconds. If the next join of a public job comes sooner
 *        than OFFER_WORTH after a fork has woken one, it was not worth it, and both workers have
 *        lost time. So then the owner's forks answer no request
 *        for a while, which doubles from PAUSE_MIN to PAUSE_MAX each time; a job that lasts longer
 *        ends that. Meanwhile jobs that turn out long are found by force.
 *
 * CANCEL A plain job that has not started is not run when its task is cancelled. The canceller
 *        stores the flag, then disturbs the deque, under its lock; a join that takes the slow path
 *        looks at the flag. Only attaching calms the deque, under the lock, and looks at the flag
 *        after that. A stolen job is cancelled when the task it was forked in is:
 *        skua_task_cancelled() goes up through the deque, and the canceller interrupts all stolen
 *        jobs there are if its task has a deque, or one in place on its stack has had one.
 *        Store-load on both sides: the canceller stores the flag, then loads skua_task.deque and
 *        stolen_count; an attach stores the one, a thief the other, before looking at the flag.
 *
 * LOCKS  orphans before deque; deque alone otherwise. Neither is held across a switch.
 */
#ifndef SKUA_SRC_FORK_H
#define SKUA_SRC_FORK_H

#include "core/deque_pool.h"
#include "sched/worker.h"

/* What is left of the stack below which a job runs on another one. */
#define SKUA_FORK_STACK_LEFT ((size_t)32 << 10)
#define SKUA_FORK_STACK_LOG2 20
#define SKUA_FORK_STACK ((size_t)1 << SKUA_FORK_STACK_LOG2)

/* A runtime's part. */
struct skua_forks {
    struct skua_deque_pool *deques; /* constant */
    bool can_force;                 /* membarrier works; constant */
    struct skua_spin lock;
    struct skua_deque *orphans;    /* detached, with jobs; guarded by lock */
    _Atomic uint32_t orphan_count; /* written under lock */
    _Atomic uint32_t stolen_count; /* jobs that are run by thieves */
};

int skua_forks_init(struct skua_forks *forks);
void skua_forks_fini(struct skua_forks *forks);

/*
 * True if an idle worker wants work and the calling task has none for it: time to fork. Cheap, and
 * false where nobody could take a job.
 */
bool skua_fork_hungry(void);

/* The deque of the running task, attached. NULL: not on a worker, or out of memory. */
struct skua_deque *skua_fork_attach(struct skua_thread *thread);

/* The running task leaves its stack. */
void skua_fork_detach(struct skua_thread *thread);

/* The running task, which has a deque, ends. */
void skua_fork_release(struct skua_thread *thread, struct skua_task *task);

/* For @worker, a job as a task that is ready to run, or NULL. */
struct skua_task *skua_fork_steal(struct skua_worker *worker, struct skua_worker *victim);
struct skua_task *skua_fork_steal_orphan(struct skua_worker *worker);

/* Whether tasks that are off their stacks have public jobs. */
bool skua_fork_has_orphans(skua_runtime *runtime);

/* Before sleep: publishes private jobs of others and takes one. */
struct skua_task *skua_fork_force(struct skua_worker *worker);

/* Whether any worker but @self shows public jobs, or there are orphans. */
bool skua_fork_any_public(struct skua_worker *self);

/* @worker ends: gives back what it kept in hand. */
void skua_fork_worker_fini(struct skua_worker *worker);

/* @task has been cancelled, and may have forked; every task has been. */
void skua_fork_cancelled(struct skua_task *task);
void skua_fork_disturb_all(skua_runtime *runtime);

/* The task in which the stolen job that @task runs was forked; NULL: it is over. */
struct skua_task *skua_fork_parent(struct skua_task *task);

/* Waits until the stolen job in @slot is done. */
void skua_fork_wait(struct skua_fork_slot *slot);

/* Whether less than SKUA_FORK_STACK_LEFT of the stack is left. */
static inline bool skua_fork_stack_is_low(const struct skua_deque *deque)
{
    return (const char *)__builtin_frame_address(0) < deque->face.stack_limit;
}

/* Wakes somebody for jobs that have just become public. */
void skua_fork_announce(struct skua_thread *thread, struct skua_deque *deque);

#endif /* SKUA_SRC_FORK_H */
