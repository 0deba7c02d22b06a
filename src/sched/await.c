/*
 * sched/await.c - see await.h.
 *
 * IN PLACE  Waiting for a task that has not started and running it are the same thing, if its frame
 *        fits: the waiter can do nothing else meanwhile. The child then has no stack of its own;
 *        the host's agent waits on its behalf (task.host), and its cancel is that of every task
 *        between it and the host (task.outer). Only for awaits that end when the child does: not
 *        for those with a deadline.
 */
#include "sched/await.h"

#include "sched/dormant.h"
#include "sched/executor_impl.h"
#include "sched/fork.h"
#include "sched/ops.h"
#include "sched/runtime_impl.h"
#include "sched/wait.h"

#include <errno.h>

/* A default task is promised this much, and half of the runtime's default; see skua_spawn(). */
#define IN_PLACE_STACK_MIN ((size_t)32 << 10)

/* What a job run in place finds at least. */
#define JOB_IN_PLACE_STACK_MIN ((size_t)1 << 20)

int skua_future_wait(skua_future *future, uint64_t deadline_ns, bool deaf)
{
    while (!skua_future_done(future)) {
        struct skua_wait wait;
        struct skua_waiter waiter;
        int rc = skua_wait_begin(&wait, SKUA_WAIT_FUTURE, deaf, deadline_ns);
        if (rc < 0)
            return rc;
        waiter.agent = wait.agent;
        if (!skua_future_add_waiter(future, &waiter)) {
            (void)skua_wait_abandon(&wait);
            return 0;
        }
        if (!deaf && skua_wait_cancelled()) {
            bool done = skua_future_remove_waiter(future, &waiter);
            (void)skua_wait_abandon(&wait);
            return done ? 0 : -ECANCELED;
        }
        enum skua_reason reason = skua_wait_park(&wait);
        /* After an EVENT too: the completer resolves us before it stores DONE; waits for that. */
        if (skua_future_remove_waiter(future, &waiter))
            return 0;
        if (reason == SKUA_REASON_TIMEOUT)
            return -ETIMEDOUT;
        if (!deaf && skua_wait_cancelled())
            return -ECANCELED;
    }
    return 0;
}

/* Bytes below the current frame on the host's stack. */
static size_t stack_left(const struct skua_task *host)
{
    const char *here = __builtin_frame_address(0);
    return (size_t)(here - (const char *)skua_stack_low(host->stack));
}

static bool run_task_in_place(struct skua_thread *thread, struct skua_task *task)
{
    struct skua_task *outer = thread->task;
    struct skua_task *host = thread->host;
    if (task->future.stack_log2 & SKUA_STACK_SURE)
        return false; /* it has its own */
    size_t needed = task->future.stack_log2
                        ? (size_t)1 << task->future.stack_log2
                        : skua_max(IN_PLACE_STACK_MIN, task->runtime->options.stack_size_bytes / 2);
    if (stack_left(host) < needed || !skua_task_claim(task, SKUA_RUN_INPLACE))
        return false;
    if (skua_unlikely(thread->deque != NULL))
        skua_fork_detach(thread); /* the child has its own */
    task->outer = outer;
    /* release: partner the acquire in skua_task_interrupt(), which waits for it */
    atomic_store_explicit(&task->host, host, memory_order_release);
    thread->task = task;
    host->agent.socket_hint = 0; /* this task has used none */
    skua_fn fn = atomic_load_explicit(&task->fn, memory_order_relaxed);
    intptr_t value = skua_task_cancelled(task) ? -ECANCELED : fn(task->arg);
    thread = skua_thread_self();
    if (skua_unlikely(atomic_load_explicit(&task->deque, memory_order_relaxed) != 0)) {
        skua_fork_release(thread, task);
        thread = skua_thread_self();
    }
    if (skua_unlikely(thread->worker == NULL)) { /* it has hopped; its awaiter has not */
        (void)skua_hop_back();
        thread = skua_thread_self();
    }
    thread->task = outer;
    skua_task_end(thread, task, value, false);
    struct skua_worker *worker = thread->worker;
    skua_counter_add(&worker->counters.inlined, 1);
    /* A row of these is a row of turns. */
    if (--worker->budget < 0)
        skua_worker_row(worker);
    return true;
}

/* A job awaited by a thread of its own executor. */
static bool run_job_in_place(struct skua_thread *thread, struct skua_task *job)
{
    const char *here = __builtin_frame_address(0);
    if (thread->executor == NULL || thread->executor != job->executor)
        return false;
    /* Only on the thread's own stack, with room: a job counts on that of a thread. */
    if (thread->host != NULL || thread->stack_low == NULL ||
        here < thread->stack_low + JOB_IN_PLACE_STACK_MIN)
        return false;
    if (!skua_task_claim(job, SKUA_RUN_INPLACE))
        return false;
    job->outer = NULL;
    skua_executor_call_job(thread, job, false);
    return true;
}

bool skua_future_run_in_place(struct skua_thread *thread, skua_future *future)
{
    struct skua_task *task = skua_task_of_future(future);
    /* relaxed: a hint; the claim decides */
    if (thread == NULL ||
        atomic_load_explicit(&task->run, memory_order_relaxed) != SKUA_RUN_UNSTARTED)
        return false;
    if (skua_future_kind(future) == SKUA_OBJECT_JOB)
        return run_job_in_place(thread, task);
    if (skua_future_kind(future) != SKUA_OBJECT_TASK || thread->worker == NULL ||
        thread->host == NULL || thread->runtime != task->runtime)
        return false;
    return run_task_in_place(thread, task);
}

/* Unstarted: it never runs. */
static bool cancel_unstarted(struct skua_task *task)
{
    if (!skua_task_claim(task, SKUA_RUN_ENDED))
        return false;
    /*
     * A job gives up its place in the bounded queue; a task's entry is dropped when it is popped.
     */
    bool withdrawn = skua_future_kind(&task->future) == SKUA_OBJECT_JOB &&
                     skua_executor_withdraw(task->executor, task);
    skua_task_end(skua_thread_self(), task, -ECANCELED, withdrawn);
    return true;
}

static int cancel_job(struct skua_task *job)
{
    if (!skua_runtime_pin(job->runtime)) /* the executor stays meanwhile */
        return -EALREADY;
    int rc = 0;
    if (!cancel_unstarted(job)) {
        rc = skua_future_done(&job->future) ? -EALREADY : -EBUSY;
        if (rc == -EBUSY) {
            /* seq_cst: POKE in agent.h */
            atomic_fetch_or_explicit(&job->cancel, SKUA_CANCEL_TASK, memory_order_seq_cst);
            skua_executor_interrupt_job(job);
        }
    }
    skua_runtime_unpin(job->runtime);
    return rc;
}

int skua_future_cancel(skua_future *future)
{
    struct skua_task *task = skua_task_of_future(future);
    if (skua_future_done(future))
        return -EALREADY;
    if (skua_future_kind(future) == SKUA_OBJECT_PROMISE)
        return skua_future_complete(future, -ECANCELED) ? 0 : -EALREADY;
    if (skua_future_kind(future) == SKUA_OBJECT_JOB)
        return cancel_job(task);
    if (skua_dormant_cancel(task) || cancel_unstarted(task))
        return 0;
    /* seq_cst: POKE in agent.h */
    atomic_fetch_or_explicit(&task->cancel, SKUA_CANCEL_TASK, memory_order_seq_cst);
    skua_task_interrupt(task);
    skua_ops_cancel(task);
    skua_fork_cancelled(task);
    return 0;
}
