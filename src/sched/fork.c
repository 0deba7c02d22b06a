/*
 * sched/fork.c - see fork.h. The interface for users is in fork_typed.c and fork_plain.c.
 */
#include "sched/fork.h"

#include "sched/fork_impl.h"

#include "platform/futex.h"
#include "platform/membarrier.h"
#include "sched/ops.h"
#include "sched/runtime_impl.h"
#include "sched/wait.h"

#include <errno.h>

/* skua_task.deque of a task that has none, but a task in place on its stack has had one. */
#define HOSTS_A_DEQUE UINT32_MAX

/* See is_stuck(): together about ten microseconds. */
#define STUCK_LOOKS 16u
#define STUCK_RELAXES 16u

int skua_forks_init(struct skua_forks *forks)
{
    skua_spin_init(&forks->lock);
    forks->orphans = NULL;
    atomic_init(&forks->orphan_count, 0);
    atomic_init(&forks->stolen_count, 0);
    forks->can_force = skua_membarrier_init();
    forks->deques = skua_deque_pool_create();
    return forks->deques != NULL ? 0 : -ENOMEM;
}

void skua_forks_fini(struct skua_forks *forks)
{
    skua_deque_pool_destroy(forks->deques);
    forks->deques = NULL;
}

/* ---- attached and detached ------------------------------------------------------------------- */

static struct skua_deque *deque_of(struct skua_task *task)
{
    /* relaxed: set by the task itself */
    uint32_t number = atomic_load_explicit(&task->deque, memory_order_relaxed);
    if (number == 0 || number == HOSTS_A_DEQUE)
        return NULL;
    return skua_deque_pool_get(task->runtime->forks.deques, number - 1);
}

/* @task, which has got a deque: those whose stack it is on must hand a cancel on; see CANCEL. */
static void mark_hosts(struct skua_task *task)
{
    /* relaxed: constant while it runs */
    while (atomic_load_explicit(&task->run, memory_order_relaxed) == SKUA_RUN_INPLACE) {
        task = task->outer;
        uint32_t none = 0;
        /* seq_cst: CANCEL, before the look at the outer task's flag */
        (void)atomic_compare_exchange_strong_explicit(&task->deque, &none, HOSTS_A_DEQUE,
                                                      memory_order_seq_cst, memory_order_relaxed);
    }
}

/* Under the lock of the orphans. */
static void orphan_remove(struct skua_forks *forks, struct skua_deque **at)
{
    struct skua_deque *deque = *at;
    *at = deque->next;
    deque->next = NULL;
    deque->orphan = false;
    atomic_fetch_sub_explicit(&forks->orphan_count, 1, memory_order_relaxed);
}

static void orphan_add(struct skua_forks *forks, struct skua_deque *deque)
{
    skua_spin_lock(&forks->lock);
    deque->next = forks->orphans;
    forks->orphans = deque;
    deque->orphan = true;
    /* seq_cst: SLEEP in idle.h looks at it */
    atomic_fetch_add_explicit(&forks->orphan_count, 1, memory_order_seq_cst);
    skua_spin_unlock(&forks->lock);
}

static void adopt(struct skua_forks *forks, struct skua_deque *deque)
{
    skua_spin_lock(&forks->lock);
    struct skua_deque **at = &forks->orphans;
    while (deque->orphan && *at != deque)
        at = &(*at)->next;
    if (deque->orphan)
        orphan_remove(forks, at);
    skua_spin_unlock(&forks->lock);
}

const char *skua_fork_stack_limit(const struct skua_task *host)
{
    size_t left = skua_min(SKUA_FORK_STACK_LEFT, skua_stack_size(host->stack) / 2);
    return (const char *)skua_stack_low(host->stack) + left;
}

void skua_fork_reset_slow(struct skua_deque *deque)
{
    struct skua_thread *thread = skua_thread_self();
    if (thread->deque != deque)
        return; /* stays slow until it is attached */
    bool slow = deque->aside_count != 0 || deque->tombstone_count != 0;
    if (slow != deque->slow_only) /* only the owner writes it */
        skua_deque_set_slow(deque, slow);
    /* CANCEL: after set_slow(), whose lock the canceller takes after it has set the flag */
    if (skua_task_cancelled(thread->task))
        skua_deque_set_slow(deque, true);
}

static SKUA_NOINLINE struct skua_deque *attach(struct skua_thread *thread)
{
    struct skua_worker *worker = thread->worker;
    struct skua_task *task = thread->task;
    if (worker == NULL || task == NULL || thread->forked)
        return NULL;
    struct skua_forks *forks = &thread->runtime->forks;
    struct skua_deque *deque = deque_of(task);
    if (deque == NULL) {
        deque = skua_deque_pool_acquire(forks->deques);
        if (deque == NULL)
            return NULL;
        /* relaxed: for thieves of its jobs; seq_cst: CANCEL, before the look at the flag below */
        atomic_store_explicit(&deque->task, task, memory_order_relaxed);
        atomic_store_explicit(&task->deque, deque->number + 1, memory_order_seq_cst);
        mark_hosts(task);
    } else {
        adopt(forks, deque);
    }
    deque->face.stack_limit = skua_fork_stack_limit(thread->host);
    thread->deque = deque;
    /* relaxed: HUNGRY; who is asleep would have asked. Nobody to ask: nothing to answer. */
    uint32_t word = atomic_load_explicit(&thread->runtime->idle.word, memory_order_relaxed);
    bool wanted = !worker->alone && word != 0;
    atomic_store_explicit(&deque->wanted, wanted, memory_order_relaxed);
    skua_deque_set_slow(deque, deque->aside_count != 0 || deque->tombstone_count != 0);
    skua_deque_calm(deque);
    if (skua_task_cancelled(task))
        skua_deque_disturb(deque); /* CANCEL */
    /* release: partner is the acquire in skua_fork_steal() */
    atomic_store_explicit(&worker->fork_deque, deque, memory_order_release);
    skua_monitor_wake(thread->runtime);
    return deque;
}

struct skua_deque *skua_fork_attach(struct skua_thread *thread)
{
    if (thread == NULL)
        return NULL;
    return thread->deque != NULL ? thread->deque : attach(thread);
}

static void hide(struct skua_thread *thread)
{
    thread->deque = NULL;
    /* relaxed: a thief that still sees it may steal; the deque stays a deque */
    atomic_store_explicit(&thread->worker->fork_deque, NULL, memory_order_relaxed);
}

SKUA_NOINLINE void skua_fork_detach(struct skua_thread *thread)
{
    struct skua_deque *deque = thread->deque;
    hide(thread);
    skua_deque_set_slow(deque, true);
    (void)skua_deque_publish(deque, true, false);
    if (!skua_deque_has_public(deque))
        return;
    orphan_add(&thread->runtime->forks, deque);
    skua_fork_announce(thread, deque);
}

/* Jobs that were never joined: a programmer's error. None may be left to a thief. */
static SKUA_NOINLINE void abandon(struct skua_deque *deque)
{
#ifdef SKUA_DEBUG
    skua_fork_report_unjoined(skua_deque_head(deque) - 1);
#endif
    while (!skua_deque_is_empty(deque)) {
        struct skua_fork_slot *slot = skua_deque_head(deque) - 1;
        __atomic_store_n(&slot->fn, (skua_fork_entry)NULL, __ATOMIC_RELAXED);
        if (skua_deque_take_back(deque, slot))
            continue;
        skua_fork_wait(slot);
        skua_deque_settle(deque, slot);
    }
    deque->aside_count = 0;
    deque->tombstone_count = 0;
}

SKUA_NOINLINE void skua_fork_release(struct skua_thread *thread, struct skua_task *task)
{
    struct skua_deque *deque = deque_of(task);
    if (deque == NULL) { /* HOSTS_A_DEQUE */
        atomic_store_explicit(&task->deque, 0, memory_order_relaxed);
        return;
    }
    if (skua_unlikely(!skua_deque_is_empty(deque)))
        abandon(deque);
    thread = skua_thread_self(); /* abandoning may have waited */
    if (thread->deque == deque)
        hide(thread);
    else
        adopt(&task->runtime->forks, deque); /* the pool links it otherwise */
    skua_deque_set_slow(deque, true);
    atomic_store_explicit(&task->deque, 0, memory_order_relaxed);
    atomic_store_explicit(&deque->task, NULL, memory_order_relaxed);
    skua_deque_pool_release(task->runtime->forks.deques, deque);
}

bool skua_fork_hungry(void)
{
    struct skua_thread *thread = skua_thread_self();
    if (thread == NULL || thread->worker == NULL || thread->worker->alone)
        return false;
    struct skua_deque *deque = thread->deque != NULL ? thread->deque : attach(thread);
    return deque != NULL && skua_deque_is_hungry(deque);
}

void skua_fork_announce(struct skua_thread *thread, struct skua_deque *deque)
{
    if (thread->worker != NULL && skua_deque_has_public(deque))
        skua_idle_announce(&thread->runtime->idle, thread->runtime, thread);
}

/* ---- stolen jobs ----------------------------------------------------------------------------- */

/* Runs without a deque of its own: everything its job forks runs at the join. */
static void run_without_deque(struct skua_fork_slot *slot, skua_fork_entry entry)
{
    struct skua_fork_stub stub;
    skua_fork_stub_init(&stub);
    entry(&stub.face, &stub.scratch, slot->payload);
}

/* The task a stolen job runs in. */
static intptr_t stolen_main(void *arg)
{
    struct skua_fork_slot *slot = arg;
    /* relaxed: ordered by [steal] */
    skua_fork_entry entry = __atomic_load_n(&slot->entry, __ATOMIC_RELAXED);
    struct skua_deque *deque = skua_fork_attach(skua_thread_self());
    if (deque != NULL) {
        /* As for typed code; a plain job knows better. */
        struct skua_fork_slot *head = skua_deque_head(deque);
        struct skua_deque_mode mode = skua_deque_enter(deque, head, true);
        entry(&deque->face, head, slot->payload);
        skua_deque_leave(deque, mode);
    } else {
        run_without_deque(slot, entry);
    }
    /* relaxed: from here on there is no wait to interrupt */
    atomic_fetch_sub_explicit(&skua_thread_self()->runtime->forks.stolen_count, 1,
                              memory_order_relaxed);
    uintptr_t waiter =
        __atomic_exchange_n(&slot->state, SKUA_JOB_DONE, __ATOMIC_ACQ_REL); /* DONE */
    if (waiter == 0)
        return 0;
    struct skua_agent *agent = (struct skua_agent *)waiter;
    enum skua_agent_type type = skua_agent_type(agent);
    if (skua_agent_resolve(agent, SKUA_REASON_EVENT) != SKUA_RESOLVE_WAITING)
        return 0;
    if (type == SKUA_AGENT_TASK)
        skua_schedule(skua_task_of_agent(agent));
    else
        skua_futex_wake(&agent->state, 1);
    return 0;
}

struct skua_task *skua_fork_parent(struct skua_task *task)
{
    struct skua_deque *deque = skua_deque_of_slot(task->arg);
    /* relaxed: constant while a job of it runs */
    return atomic_load_explicit(&deque->task, memory_order_relaxed);
}

void skua_fork_wait(struct skua_fork_slot *slot)
{
    if (__atomic_load_n(&slot->state, __ATOMIC_ACQUIRE) == SKUA_JOB_DONE) /* [result] */
        return;
    struct skua_wait wait;
    (void)skua_wait_begin(&wait, SKUA_WAIT_JOIN, true, SKUA_FOREVER); /* no timer: cannot fail */
    uintptr_t expected = 0;
    /* JOIN; acquire on failure: [result] */
    if (!__atomic_compare_exchange_n(&slot->state, &expected, (uintptr_t)wait.agent, false,
                                     __ATOMIC_RELEASE, __ATOMIC_ACQUIRE)) {
        (void)skua_wait_abandon(&wait);
        return;
    }
    (void)skua_wait_park(&wait);
    skua_assert(__atomic_load_n(&slot->state, __ATOMIC_RELAXED) == SKUA_JOB_DONE);
    (void)__atomic_load_n(&slot->state, __ATOMIC_ACQUIRE); /* [result] */
}

/* ---- thieves --------------------------------------------------------------------------------- */

/* A task with a stack, in hand for the next theft. False: out of memory. */
static bool prepare(struct skua_worker *worker)
{
    if (worker->fork_spare != NULL)
        return true;
    struct skua_thread *thread = &worker->thread;
    struct skua_task *task = skua_object_create(thread, thread->runtime, SKUA_OBJECT_TASK, 1);
    if (task == NULL)
        return false;
    /* relaxed, all of them: published when it is started. Until then nobody is to list it. */
    atomic_store_explicit(&task->run, SKUA_RUN_FREE, memory_order_relaxed);
    task->future.value = 0;
    struct skua_stack *stack = skua_stack_acquire(&thread->stacks, SKUA_FORK_STACK);
    if (stack == NULL) {
        skua_object_unref(thread, task);
        return false;
    }
    skua_task_give_stack(task, stack);
    task->future.stack_log2 = SKUA_FORK_STACK_LOG2;
    atomic_store_explicit(&task->future.flags, SKUA_FUTURE_DETACHED | SKUA_FUTURE_STOLEN,
                          memory_order_relaxed);
    atomic_store_explicit(&task->fn, stolen_main, memory_order_relaxed);
    atomic_store_explicit(&task->site, "stolen job", memory_order_relaxed);
    worker->fork_spare = task;
    return true;
}

static struct skua_task *steal_from(struct skua_worker *worker, struct skua_deque *deque)
{
    if (!skua_deque_has_public(deque) || !prepare(worker))
        return NULL;
    struct skua_fork_slot *slot = skua_deque_steal(deque);
    if (slot == NULL)
        return NULL;
    struct skua_task *task = worker->fork_spare;
    worker->fork_spare = NULL;
    task->arg = slot;
    /* release: partner is the acquire of who lists or interrupts it */
    atomic_store_explicit(&task->run, SKUA_RUN_STARTED, memory_order_release);
    /* seq_cst: CANCEL, before the job looks at any flag */
    atomic_fetch_add_explicit(&worker->thread.runtime->forks.stolen_count, 1, memory_order_seq_cst);
    skua_counter_add(&worker->counters.spawned, 1);
    skua_counter_add(&worker->counters.jobs_stolen, 1);
    return task;
}

struct skua_task *skua_fork_steal(struct skua_worker *worker, struct skua_worker *victim)
{
    /* acquire: partner is the release in attach() */
    struct skua_deque *deque = atomic_load_explicit(&victim->fork_deque, memory_order_acquire);
    if (deque == NULL)
        return NULL;
    struct skua_task *task = steal_from(worker, deque);
    /* relaxed: advice. Others sleep: the owner shall have something for them too. */
    uint32_t word = atomic_load_explicit(&worker->thread.runtime->idle.word, memory_order_relaxed);
    if (task == NULL || skua_idle_sleeping(word) != 0)
        skua_deque_request(deque);
    return task;
}

bool skua_fork_has_orphans(skua_runtime *runtime)
{
    /* relaxed: looked at again, with seq_cst, before sleep */
    return atomic_load_explicit(&runtime->forks.orphan_count, memory_order_relaxed) != 0;
}

struct skua_task *skua_fork_steal_orphan(struct skua_worker *worker)
{
    struct skua_forks *forks = &worker->thread.runtime->forks;
    if (!skua_fork_has_orphans(worker->thread.runtime))
        return NULL;
    struct skua_task *task = NULL;
    if (!prepare(worker)) /* not under the lock: it may map memory */
        return NULL;
    skua_spin_lock(&forks->lock);
    struct skua_deque **at = &forks->orphans;
    while (task == NULL && *at != NULL) {
        task = steal_from(worker, *at);
        if (!skua_deque_has_public(*at))
            orphan_remove(forks, at);
        else if (task == NULL)
            at = &(*at)->next;
    }
    skua_spin_unlock(&forks->lock);
    return task;
}

/*
 * Whether the owner of @deque, who has been asked, neither forks nor joins and has private jobs.
 * One that comes by has its reasons not to publish (BACKOFF), or will do so itself.
 */
static bool is_stuck(struct skua_deque *deque)
{
    uint16_t visits = atomic_load_explicit(&deque->visits, memory_order_relaxed);
    for (unsigned look = 0; look < STUCK_LOOKS; look++) {
        if (!skua_deque_has_private(deque) ||
            atomic_load_explicit(&deque->visits, memory_order_relaxed) != visits)
            return false;
        for (unsigned i = 0; i < STUCK_RELAXES; i++)
            skua_cpu_relax();
    }
    return true;
}

struct skua_task *skua_fork_force(struct skua_worker *worker)
{
    skua_runtime *runtime = worker->thread.runtime;
    if (!runtime->forks.can_force)
        return NULL;
    unsigned present = skua_runtime_present(runtime);
    for (unsigned i = 1; i < present; i++) {
        struct skua_worker *victim = &runtime->workers[(worker->index + i) % present];
        struct skua_deque *deque = atomic_load_explicit(&victim->fork_deque, memory_order_acquire);
        if (deque == NULL || !is_stuck(deque))
            continue;
        if (skua_deque_force(deque, skua_membarrier) == 0)
            continue;
        skua_counter_add(&worker->counters.jobs_forced, 1);
        struct skua_task *task = steal_from(worker, deque);
        if (task != NULL)
            return task;
    }
    return NULL;
}

bool skua_fork_any_public(struct skua_worker *self)
{
    skua_runtime *runtime = self->thread.runtime;
    if (atomic_load_explicit(&runtime->forks.orphan_count, memory_order_seq_cst) != 0)
        return true;
    unsigned present = skua_runtime_present(runtime);
    for (unsigned i = 0; i < present; i++) {
        struct skua_worker *victim = &runtime->workers[i];
        struct skua_deque *deque = atomic_load_explicit(&victim->fork_deque, memory_order_acquire);
        if (victim != self && deque != NULL && skua_deque_has_public(deque))
            return true;
    }
    return false;
}

void skua_fork_worker_fini(struct skua_worker *worker)
{
    struct skua_task *task = worker->fork_spare;
    worker->fork_spare = NULL;
    if (task == NULL)
        return;
    skua_stack_release(&worker->thread.stacks, task->stack);
    task->stack = NULL;
    skua_ctx_fini(&task->ctx);
    skua_object_unref(&worker->thread, task);
}

/* ---- cancelling ------------------------------------------------------------------------------ */

/* Advice: whoever waits and is not cancelled waits again (I3 in agent.h). */
static void interrupt_stolen(void *object, void *arg)
{
    struct skua_task *task = object;
    (void)arg;
    if (atomic_load_explicit(&task->run, memory_order_acquire) != SKUA_RUN_STARTED ||
        !(atomic_load_explicit(&task->future.flags, memory_order_relaxed) & SKUA_FUTURE_STOLEN))
        return;
    skua_task_interrupt(task);
    skua_ops_cancel(task);
}

void skua_fork_cancelled(struct skua_task *task)
{
    skua_runtime *runtime = task->runtime;
    uint32_t number = atomic_load_explicit(&task->deque, memory_order_seq_cst); /* CANCEL */
    if (number == 0 || !skua_runtime_pin(runtime))
        return;
    /* It may have become another task's meanwhile: a disturbance, no more. */
    if (number != HOSTS_A_DEQUE)
        skua_deque_disturb(skua_deque_pool_get(runtime->forks.deques, number - 1));
    if (atomic_load_explicit(&runtime->forks.stolen_count, memory_order_seq_cst) != 0) /* CANCEL */
        skua_slab_for_each(runtime->objects, interrupt_stolen, NULL);
    skua_runtime_unpin(runtime);
}

void skua_fork_disturb_all(skua_runtime *runtime)
{
    uint32_t count = skua_deque_pool_count(runtime->forks.deques);
    for (uint32_t i = 0; i < count; i++)
        skua_deque_disturb(skua_deque_pool_get(runtime->forks.deques, i));
}
