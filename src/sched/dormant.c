/*
 * sched/dormant.c - see dormant.h.
 */
#include "sched/dormant.h"

#include "sched/local.h"
#include "sched/runtime_impl.h"
#include "sched/wait.h"

#include <errno.h>

/*
 * Counts a new task of @runtime, 0, or says why there can be none. A thread that is not of the
 * runtime counts first and then looks at the phase, the stopping thread does it the other way round
 * (seq_cst, both): so either this is refused, or the count is seen and waited for.
 */
static int count_in(struct skua_thread *thread, skua_runtime *runtime)
{
    if (runtime == NULL)
        return -EPERM;
    if (skua_runtime_refuses(runtime))
        return -ESHUTDOWN;
    skua_runtime_count_start(thread, runtime);
    if (thread != NULL && thread->runtime == runtime)
        return 0;
    if (atomic_load_explicit(&runtime->phase, memory_order_seq_cst) == SKUA_PHASE_RUNNING)
        return 0;
    skua_runtime_count_end(thread, runtime);
    return -ESHUTDOWN;
}

/* A task, counted, with a reference for the caller and one for what it will wait for. */
static struct skua_task *create(struct skua_thread *thread, skua_runtime *runtime, skua_fn fn,
                                void *arg, const char *site)
{
    struct skua_task *task = skua_object_create(thread, runtime, SKUA_OBJECT_TASK, 2);
    if (skua_unlikely(task == NULL)) {
        skua_runtime_count_end(thread, runtime);
        return NULL;
    }
    /* relaxed, both: published with the agent's state, or by the queue */
    atomic_store_explicit(&task->fn, fn, memory_order_relaxed);
    atomic_store_explicit(&task->site, site, memory_order_relaxed);
    task->arg = arg;
    return task;
}

/* ---- until a time ---------------------------------------------------------------------------- */

static int arm(struct skua_thread *thread, struct skua_task *task, uint64_t deadline_ns)
{
    bool own = thread->worker != NULL;
    struct skua_worker *holder = own ? thread->worker : &thread->runtime->workers[0];
    task->timer_worker = holder;
    task->timer.kind = NULL;
    task->timer.agent = &task->agent;
    skua_timer_init(&task->timer.timer);
    /* relaxed: published with the agent's state */
    atomic_store_explicit(&task->run, SKUA_RUN_DORMANT, memory_order_relaxed);
    skua_spin_lock(&holder->timer_lock);
    bool earliest = deadline_ns < skua_timer_queue_deadline(&holder->timers);
    int rc = skua_timer_queue_add(&holder->timers, &task->timer.timer, deadline_ns);
    if (skua_likely(rc == 0))
        skua_agent_make_dormant(&task->agent, SKUA_WAIT_DUE);
    skua_spin_unlock(&holder->timer_lock);
    if (rc == 0 && !own && earliest) /* it may sleep for longer. The caller keeps it there */
        holder->engine->ops->wake(holder->engine);
    return rc;
}

skua_future *skua_dormant_until(uint64_t deadline_ns, skua_fn fn, void *arg, const char *site)
{
    struct skua_thread *thread = skua_thread_self();
    if (skua_unlikely(thread == NULL || thread->forked || fn == NULL)) {
        if (skua_fork_guard_in_child())
            return skua_future_failed(-ECHILD);
        return skua_future_failed(fn == NULL ? -EINVAL : -EPERM);
    }
    int rc = count_in(thread, thread->runtime);
    if (skua_unlikely(rc < 0))
        return skua_future_failed(rc);
    struct skua_task *task = create(thread, thread->runtime, fn, arg, site);
    if (skua_unlikely(task == NULL))
        return skua_future_failed(-ENOMEM);
    skua_locals_inherit(thread, task);
    rc = arm(thread, task, deadline_ns);
    if (skua_unlikely(rc < 0)) {
        skua_task_end(thread, task, -ECANCELED, true); /* nobody is to be told of it */
        skua_object_unref(thread, task);
        return skua_future_failed(rc);
    }
    return &task->future;
}

/* ---- until a future is done ------------------------------------------------------------------ */

static void drop(struct skua_thread *thread, skua_future *future)
{
    if (future == NULL || skua_future_kind(future) == SKUA_OBJECT_FAILED)
        return;
    skua_future_mark_read(future); /* it was for the follower to read, which has, or gave up */
    skua_object_unref(thread, skua_task_of_future(future));
}

void skua_dormant_drop_source(struct skua_thread *thread, struct skua_task *task)
{
    skua_future *source = task->source;
    task->source = NULL;
    drop(thread, source);
}

/* What a follower runs. */
static intptr_t run_follower(void *arg)
{
    struct skua_thread *thread = skua_thread_self();
    struct skua_task *task = thread->task;
    skua_then_fn then = task->then;
    /* The completer resolves its waiters before it stores DONE: waits for that. */
    bool done = skua_future_remove_waiter(task->source, &task->waiter);
    skua_check(done);
    intptr_t value = task->source->value;
    skua_dormant_drop_source(thread, task);
    return then(value, arg);
}

/* Waits at @source on behalf of @task, or queues it if there is nothing to wait for. */
static void follow(struct skua_task *task, skua_future *source)
{
    task->waiter.agent = &task->agent;
    /* relaxed: published with the agent's state */
    atomic_store_explicit(&task->run, SKUA_RUN_DORMANT, memory_order_relaxed);
    skua_agent_prepare(&task->agent, SKUA_WAIT_SOURCE, true);
    if (!skua_future_add_waiter(source, &task->waiter)) {
        (void)skua_agent_abandon(&task->agent);
        /* relaxed: published by the queue. An await may run it in place */
        atomic_store_explicit(&task->run, SKUA_RUN_UNSTARTED, memory_order_relaxed);
        skua_schedule(task);
    } else if (!skua_agent_commit(&task->agent)) {
        skua_schedule(task); /* done meanwhile: see ORDER */
    }
}

skua_future *skua_dormant_follow(skua_future *source, skua_then_fn then, void *arg,
                                 const char *site)
{
    struct skua_thread *thread = skua_thread_self();
    int rc = source == NULL || then == NULL ? -EINVAL : 0;
    if (skua_fork_guard_in_child())
        return skua_future_failed(-ECHILD); /* the parent's objects are left alone */
    skua_runtime *runtime = thread != NULL ? thread->runtime : NULL;
    if (rc == 0 && runtime == NULL)
        runtime = skua_task_of_future(source)->runtime;
    if (rc == 0)
        rc = count_in(thread, runtime);
    struct skua_task *task = rc == 0 ? create(thread, runtime, run_follower, arg, site) : NULL;
    if (skua_unlikely(task == NULL)) {
        drop(thread, source);
        return skua_future_failed(rc < 0 ? rc : -ENOMEM);
    }
    atomic_store_explicit(&task->future.flags, SKUA_FUTURE_FOLLOWER, memory_order_relaxed);
    task->source = source;
    task->then = then;
    skua_locals_inherit(thread, task);
    follow(task, source);
    return &task->future;
}

/* ---- cancelling ------------------------------------------------------------------------------ */

bool skua_dormant_cancel(struct skua_task *task)
{
    struct skua_thread *thread = skua_thread_self();
    /* relaxed: a hint, the agent's state decides */
    if (skua_likely(atomic_load_explicit(&task->run, memory_order_relaxed) != SKUA_RUN_DORMANT))
        return false;
    if (skua_agent_take_back(&task->agent, SKUA_WAIT_DUE)) {
        struct skua_worker *holder = task->timer_worker;
        skua_spin_lock(&holder->timer_lock);
        (void)skua_timer_queue_remove(&holder->timers, &task->timer.timer);
        skua_spin_unlock(&holder->timer_lock);
    } else if (skua_agent_take_back(&task->agent, SKUA_WAIT_SOURCE)) {
        (void)skua_future_remove_waiter(task->source, &task->waiter);
        skua_dormant_drop_source(thread, task);
    } else {
        return false;
    }
    skua_task_end(thread, task, -ECANCELED, true);
    return true;
}
