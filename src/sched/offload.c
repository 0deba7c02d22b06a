/*
 * sched/offload.c - sending work to executors: run_in_executor makes a job with a future, hop moves
 * the running task itself. The pools are in executor.c.
 *
 * HOP    The task leaves its stack with SKUA_POST_HOP and only then is queued, so no thread of the
 *        pool can run it while it is still here. Its place in the bounded queue is reserved before,
 *        so that the queueing cannot fail. On the executor its waits block the thread, whose agent
 *        stands in for the task's (task.h, proxy).
 */
#include "sched/executor_impl.h"
#include "sched/local.h"
#include "sched/runtime_impl.h"

#include <errno.h>

/* The executor meant by @executor, NULL being the blocking one of the current runtime. */
static skua_executor *resolve(skua_executor *executor)
{
    return executor != NULL ? executor : skua_executor_blocking(NULL);
}

static void count_offload(struct skua_thread *thread)
{
    if (thread != NULL && thread->worker != NULL)
        skua_counter_add(&thread->worker->counters.offloads, 1);
}

skua_future *skua_run_in_executor_at(skua_executor *executor, skua_fn fn, void *arg,
                                     const char *site)
{
    struct skua_thread *thread = skua_thread_self();
    if (fn == NULL)
        return skua_future_failed(-EINVAL);
    if (skua_fork_guard_in_child())
        return skua_future_failed(-ECHILD);
    executor = resolve(executor);
    if (executor == NULL)
        return skua_future_failed(-EPERM);
    if (skua_runtime_refuses(skua_executor_runtime(executor)))
        return skua_future_failed(-ESHUTDOWN);
    skua_runtime *runtime = skua_executor_runtime(executor);
    struct skua_task *job = skua_object_create(thread, runtime, SKUA_OBJECT_JOB, 2);
    if (job == NULL)
        return skua_future_failed(-ENOMEM);
    atomic_store_explicit(&job->fn, fn, memory_order_relaxed);
    atomic_store_explicit(&job->site, site, memory_order_relaxed);
    job->arg = arg;
    job->executor = executor;
    skua_locals_inherit(thread, job);
    skua_runtime_count_start(thread, runtime);
    int rc = skua_executor_accept(executor, job);
    if (rc < 0) {
        skua_runtime_count_end(thread, runtime);
        skua_future_mark_read(&job->future);
        skua_object_unref(thread, job);
        skua_object_unref(thread, job);
        return skua_future_failed(rc);
    }
    count_offload(thread);
    return &job->future;
}

int skua_executor_move_here(struct skua_thread *thread, skua_executor *executor)
{
    int rc = skua_executor_accept(executor, NULL);
    if (rc < 0)
        return rc;
    count_offload(thread);
    struct skua_task *host = thread->host;
    host->executor = executor;
    host->agent.socket_hint = 0; /* there nothing is noted */
    /* From an executor to another: no longer behind that thread's agent. */
    atomic_store_explicit(&host->proxy, NULL, memory_order_seq_cst);
    skua_thread_leave(thread, SKUA_POST_HOP);
    return skua_thread_self()->executor == executor ? 0 : -EAGAIN; /* sent back: no thread */
}

int skua_hop(skua_executor *executor)
{
    struct skua_thread *thread = skua_thread_self();
    if (thread == NULL || thread->task == NULL)
        return thread != NULL && thread->forked ? -ECHILD : -EPERM;
    executor = resolve(executor);
    if (thread->executor == executor)
        return 0;
    if (skua_task_cancelled(thread->task))
        return -ECANCELED;
    if (skua_executor_runtime(executor) != thread->runtime)
        return -EPERM;
    return skua_executor_move_here(thread, executor);
}

int skua_hop_back(void)
{
    struct skua_thread *thread = skua_thread_self();
    if (thread == NULL || thread->task == NULL)
        return thread != NULL && thread->forked ? -ECHILD : -EPERM;
    if (thread->worker != NULL)
        return 0;
    if (thread->host == NULL)
        return -EPERM; /* a job is not a task */
    atomic_store_explicit(&thread->host->proxy, NULL, memory_order_seq_cst);
    skua_thread_leave(thread, SKUA_POST_BACK);
    return 0;
}

skua_executor *skua_executor_cpu(skua_runtime *runtime)
{
    struct skua_thread *thread = skua_thread_self();
    if (runtime == NULL && thread != NULL)
        runtime = thread->runtime;
    return runtime != NULL ? runtime->cpu : NULL;
}

skua_executor *skua_executor_blocking(skua_runtime *runtime)
{
    struct skua_thread *thread = skua_thread_self();
    if (runtime == NULL && thread != NULL)
        runtime = thread->runtime;
    return runtime != NULL ? runtime->blocking : NULL;
}
