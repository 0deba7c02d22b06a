/*
 * sched/dormant.h - tasks that will start when a time has come, or a future is done, and have
 * neither a stack nor a place in a queue until then.
 *
 * WHAT   An ordinary task object whose run is DORMANT, and whose agent is in the state it would
 *        have if it had committed a wait: of kind DUE, with the task's timer in a worker's heap, or
 *        of kind SOURCE, with the task's waiter at the source. So what ends it is what ends any
 *        wait: the heap and skua_future_complete() resolve the agent, and who finds it WAITING
 *        queues the task. It has no stack yet, and starts as an unstarted task does.
 *
 * STATE  The agent's state alone decides, by one compare-and-swap, as in any wait (agent.h):
 *          WAITING -> RESOLVED    its time has come, its source is done: the task will be queued,
 *                                 runs, and a cancel from now on is that of a started task: it
 *                                 finds its flag set, and ends without calling its function
 *          WAITING -> RESOLVED    skua_agent_take_back(): a canceller has it, and ends it
 *        run follows: DORMANT -> STARTED by whoever pops the queue's entry, DORMANT -> ENDED by the
 *        canceller that has won; never both. It is never UNSTARTED: an await must not run it in
 *        place before its time.
 *        The wait is deaf, since an interrupt that comes late (I3 in agent.h) must not start it;
 *        taking back is exact, since an agent that has started waits for other things.
 *
 * LIFE   One reference stands for the timer or the waiter, as it would for a queue entry, and
 *        passes to the entry, or to who takes the task back. It counts as live from the beginning,
 *        so a runtime that stops waits for it, and so the runtime and its workers are there when it
 *        is queued, from whatever thread.
 *        Who takes it back disarms before it ends it: the heap's lock, the source's lock make sure
 *        that nobody touches timer or waiter after that.
 *        cancel_all: the stopping thread looks at objects it has no reference of. That is safe: to
 *        win skua_agent_take_back() is to get the reference of a dormant task, be it another one
 *        than was looked at.
 *
 * ORDER  A timer may fire, and the stopping thread look, as soon as the timer is in the heap: so
 *        the agent becomes WAITING under the heap's lock. A source may be done as soon as the
 *        waiter is there: so a follower prepares, adds the waiter, and commits, as every wait does;
 *        if the source is done in between, the maker queues the task itself. Until the commit
 *        nobody can take it back.
 *
 * SOURCE A follower has a handle of its source until it starts, is taken back, or ends without
 *        having run.
 */
#ifndef SKUA_SRC_DORMANT_H
#define SKUA_SRC_DORMANT_H

#include "sched/task.h"

/* Both: never NULL; a failed future if none could be made. */

/* A task that calls @fn(@arg) from @deadline_ns on. */
skua_future *skua_dormant_until(uint64_t deadline_ns, skua_fn fn, void *arg, const char *site);

/* A task that calls @then when @source is done; consumes that handle. */
skua_future *skua_dormant_follow(skua_future *source, skua_then_fn then, void *arg,
                                 const char *site);

/* Ends @task with -ECANCELED if it is dormant; else false. */
bool skua_dormant_cancel(struct skua_task *task);

/* Drops the handle of a follower's source, if it still has it. */
void skua_dormant_drop_source(struct skua_thread *thread, struct skua_task *task);

#endif /* SKUA_SRC_DORMANT_H */
