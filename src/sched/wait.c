/*
 * sched/wait.c - see wait.h.
 */
#include "sched/wait.h"

#include "platform/clock.h"
#include "platform/futex.h"
#include "sched/executor_impl.h"
#include "sched/runtime_impl.h"

#include <errno.h>

static int arm_in(struct skua_worker *worker, struct skua_wait_timer *timer, uint64_t deadline_ns,
                  bool *earliest)
{
    skua_timer_init(&timer->timer);
    skua_spin_lock(&worker->timer_lock);
    *earliest = deadline_ns < skua_timer_queue_deadline(&worker->timers);
    int rc = skua_timer_queue_add(&worker->timers, &timer->timer, deadline_ns);
    skua_spin_unlock(&worker->timer_lock);
    return rc;
}

int skua_wait_timer_arm(struct skua_wait_timer *timer, struct skua_worker **worker,
                        uint64_t deadline_ns)
{
    struct skua_thread *thread = skua_thread_self();
    bool own = thread->worker != NULL;
    struct skua_worker *holder = own ? thread->worker : &thread->runtime->workers[0];
    bool earliest;
    int rc = arm_in(holder, timer, deadline_ns, &earliest);
    if (rc < 0)
        return rc;
    *worker = holder;
    if (!own && earliest) /* it may sleep for longer than that. The caller's task keeps it there */
        holder->engine->ops->wake(holder->engine);
    return 0;
}

void skua_wait_timer_disarm(struct skua_wait_timer *timer, struct skua_worker **worker)
{
    struct skua_worker *holder = *worker;
    if (holder == NULL)
        return;
    skua_spin_lock(&holder->timer_lock);
    (void)skua_timer_queue_remove(&holder->timers, &timer->timer);
    skua_spin_unlock(&holder->timer_lock);
    *worker = NULL;
}

static void disarm_timer(struct skua_wait *wait)
{
    skua_wait_timer_disarm(&wait->timer, &wait->timer_worker);
}

int skua_wait_begin(struct skua_wait *wait, enum skua_wait_kind kind, bool deaf,
                    uint64_t deadline_ns)
{
    skua_vthread_point();
    struct skua_thread *thread = skua_thread_self();
    wait->thread = thread;
    wait->timer_worker = NULL;
    wait->deadline_ns = deadline_ns;
    if (thread != NULL && thread->worker != NULL) {
        skua_assert(thread->host != NULL);
        wait->agent = &thread->host->agent;
    } else if (thread != NULL) {
        wait->agent = &thread->agent;
    } else {
        wait->agent = &wait->own;
        skua_agent_init(wait->agent, SKUA_AGENT_THREAD);
    }
    skua_agent_prepare(wait->agent, kind, deaf);
    if (deadline_ns == SKUA_FOREVER || thread == NULL || thread->worker == NULL)
        return 0;
    bool earliest;
    wait->timer.kind = NULL;
    wait->timer.agent = wait->agent;
    int rc = arm_in(thread->worker, &wait->timer, deadline_ns, &earliest);
    if (rc == 0)
        wait->timer_worker = thread->worker;
    if (rc < 0 && skua_agent_abandon(wait->agent)) {
        /* Only skua_agent_unpark() can have come: its token stays. seq_cst: as skua_unpark()'s */
        atomic_store_explicit(&thread->task->future.token, 1, memory_order_seq_cst);
    }
    return rc;
}

bool skua_wait_abandon(struct skua_wait *wait)
{
    disarm_timer(wait);
    return skua_agent_abandon(wait->agent);
}

static enum skua_reason park_thread(struct skua_wait *wait)
{
    struct skua_agent *agent = wait->agent;
    if (skua_agent_commit(agent)) {
        if (skua_agent_poked(agent))
            (void)skua_agent_resolve(agent, SKUA_REASON_INTERRUPT);
        skua_executor_block_begin(wait->thread);
        for (;;) {
            /* acquire: partner RESOLVE */
            uint32_t state = atomic_load_explicit(&agent->state, memory_order_acquire);
            if ((state & SKUA_AGENT_PHASE_MASK) == SKUA_AGENT_RESOLVED)
                break;
            int rc = skua_futex_wait(&agent->state, state, wait->deadline_ns);
            if (rc == -ETIMEDOUT || rc == -EDEADLK) /* the latter in a simulation, at its end */
                (void)skua_agent_resolve(agent, SKUA_REASON_TIMEOUT);
        }
        skua_executor_block_end(wait->thread);
    }
    return skua_agent_resumed(agent);
}

enum skua_reason skua_wait_park(struct skua_wait *wait)
{
    if (skua_agent_type(wait->agent) == SKUA_AGENT_THREAD)
        return park_thread(wait);
    skua_thread_leave(wait->thread, SKUA_POST_COMMIT);
    wait->thread = NULL; /* may be another one now */
    enum skua_reason reason = skua_agent_resumed(wait->agent);
    disarm_timer(wait);
    return reason;
}

bool skua_wait_cancelled(void)
{
    struct skua_thread *thread = skua_thread_self();
    if (thread == NULL)
        return false;
    struct skua_task *task = thread->task != NULL ? thread->task : thread->job;
    return task != NULL && skua_task_cancelled(task);
}

void skua_agent_interrupt(struct skua_agent *agent)
{
    atomic_store_explicit(&agent->poked, true, memory_order_seq_cst); /* POKE */
    enum skua_agent_type type = skua_agent_type(agent);               /* before the last touch */
    if (skua_agent_resolve(agent, SKUA_REASON_INTERRUPT) != SKUA_RESOLVE_WAITING)
        return;
    if (type == SKUA_AGENT_TASK)
        skua_schedule(skua_task_of_agent(agent));
    else
        skua_futex_wake(&agent->state, 1);
}
