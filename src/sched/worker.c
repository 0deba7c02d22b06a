/*
 * sched/worker.c - the worker's loop: take, steal, poll, sleep. See worker.h for what must hold.
 *
 * ORDER OF LOOKING  next slot (at most NEXT_STREAK times running), own queue, inject queue, engine
 *        and timers, others' queues. Every TURNS switches the loop visits the engine and moves a
 *        share of the inject queue to its own, whatever is ready, so that neither starves.
 *
 * NEXT   The slot holds the oldest task woken by the task now running: it shares its data, and runs
 *        next. Others woken meanwhile queue up behind in order. A thief takes it only when it has
 *        been stuck for SKUA_NEXT_STUCK_NS without its owner switching at all.
 *          NEXTPUT release store by the owner, partner NEXTTAKE acquire exchange or
 *          compare-and-swap
 */
#include "sched/worker.h"

#include "sched/executor_impl.h"
#include "sched/fork.h"
#include "sched/ops.h"
#include "sched/rescue.h"
#include "sched/runtime_impl.h"
#include "sched/wait.h"

#include <errno.h>

#define TURNS 61          /* prime, as in Go: does not beat with program loops */
#define TURNS_WITH_OPS 16 /* requests wait to be passed on for at most this many switches */
#define READY_MAX 64u     /* no more tasks are woken at once by completions ... */
#define READY_TIMERS_MAX (SKUA_RUN_QUEUE_SIZE / 4 * 3) /* ... or by timers */
#define DIRECT_CALLS 64u /* of io/, without the ring, between two visits */
#define NEXT_STREAK 16u  /* then the queue goes first once */
#define INJECT_BATCH 64u
#define OVERFLOW_MAX (SKUA_RUN_QUEUE_SIZE / 2)
#define SKUA_POLL_DUE_NS UINT64_C(50000)
#define SKUA_NEXT_STUCK_NS UINT64_C(20000)
#define ROW_NS UINT64_C(100000)
#define FORCE_EVERY_NS UINT64_C(100000)
#define SPIN_SKIP_MAX 256u

static uint64_t worker_now(struct skua_worker *worker)
{
    return worker->engine->ops->now(worker->engine);
}

static uint64_t next_random(struct skua_worker *worker)
{
    /* xorshift64*: Marsaglia 2003 */
    uint64_t x = worker->random;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    worker->random = x;
    return x * UINT64_C(2685821657736338717);
}

/* ---- queueing -------------------------------------------------------------------------------- */

/* Whether a queue entry has nothing to run any more. */
static bool is_stale(struct skua_task *task)
{
    /* acquire: partner CLAIM; what is not stale here is looked at again when it is popped */
    uint8_t run = atomic_load_explicit(&task->run, memory_order_acquire);
    return run == SKUA_RUN_INPLACE || run == SKUA_RUN_ENDED;
}

/*
 * Whether a queue entry is a task that has left its stack and waits to go on: whoever popped it is
 * the only one to touch it. One that has not started may be run in place by who awaits it.
 */
static bool is_suspended(struct skua_task *task)
{
    /* acquire: partner CLAIM */
    return atomic_load_explicit(&task->run, memory_order_acquire) == SKUA_RUN_STARTED;
}

static SKUA_ALWAYS_INLINE struct skua_task *pop(struct skua_worker *worker)
{
    return worker->alone ? skua_run_queue_pop_alone(&worker->queue)
                         : skua_run_queue_pop(&worker->queue);
}

/* Drops what is stale of @items[0 .. @count - 1]. Returns how many are left, in order. */
static unsigned drop_stale(struct skua_worker *worker, void **items, unsigned count)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < count; i++) {
        struct skua_task *task = items[i];
        if (is_stale(task))
            skua_object_unref(&worker->thread, task);
        else
            items[kept++] = task;
    }
    return kept;
}

static void push_injected(struct skua_worker *worker, void *const *items, unsigned count)
{
    struct skua_link head = {NULL};
    struct skua_link *last = &head;
    for (unsigned i = 0; i < count; i++) {
        struct skua_task *task = items[i];
        last->next = &task->agent.link;
        last = last->next;
    }
    last->next = NULL;
    skua_inject_queue_push(&worker->thread.runtime->inject, head.next, last, count);
}

/*
 * The own queue is full. Mostly of what is stale, if tasks await those they have just spawned, who
 * then run in place: that is dropped, and the others go back in order. (In the inject queue they
 * would be stale by the time they are found, and out of the caches.) Else the oldest half moves to
 * the inject queue.
 */
static SKUA_NOINLINE void overflow(struct skua_worker *worker, struct skua_task *task)
{
    void *items[OVERFLOW_MAX];
    unsigned count = skua_run_queue_take_half(&worker->queue, items);
    unsigned kept = drop_stale(worker, items, count);
    if (count > 0 && kept <= count / 2) {
        void *next = NULL;
        while (kept < OVERFLOW_MAX && (next = pop(worker)) != NULL) {
            items[kept] = next;
            kept += drop_stale(worker, &items[kept], 1);
        }
        /* With the queue empty all of them find room, and the order is as it was. */
        for (unsigned i = 0; next == NULL && i < kept; i++)
            (void)skua_run_queue_push(&worker->queue, items[i]);
        kept = next == NULL ? 0 : kept;
    }
    if (kept > 0)
        push_injected(worker, items, kept);
    if (!skua_run_queue_push(&worker->queue, task))
        push_injected(worker, (void *const[]){task}, 1);
}

void skua_worker_push(struct skua_worker *worker, struct skua_task *task)
{
    if (skua_unlikely(!skua_run_queue_push(&worker->queue, task)))
        overflow(worker, task);
}

void skua_worker_spawned(struct skua_worker *worker, struct skua_task *task)
{
    skua_worker_push(worker, task);
    skua_idle_announce(&worker->thread.runtime->idle, worker->thread.runtime, &worker->thread);
}

void skua_worker_wake_task(struct skua_worker *worker, struct skua_task *task)
{
    skua_runtime *runtime = worker->thread.runtime;
    /* relaxed: only the owner fills the slot; a thief may only empty it */
    if (atomic_load_explicit(&worker->next, memory_order_relaxed) != NULL) {
        skua_worker_spawned(worker, task);
        return;
    }
    atomic_store_explicit(&worker->next, task, memory_order_release); /* NEXTPUT */
    if (worker->thread.task == NULL)
        return; /* the loop itself has polled it up, and runs it next */
    /* seq_cst: WATCH, AWAKE in idle.h. Usually there is a watcher, or nobody sleeps. */
    uint32_t word = atomic_load_explicit(&runtime->idle.word, memory_order_relaxed);
    if (skua_idle_sleeping(word) != 0 &&
        !atomic_load_explicit(&runtime->idle.watcher, memory_order_seq_cst))
        skua_idle_announce_slow(runtime, &worker->thread);
}

/*
 * From anywhere. The task has not ended, so the runtime is there; a thread that is no worker of it
 * pins it, because the task may end, and the workers' engines go, before the wake is through. That
 * holds for the runtime's executor threads too: they are joined after the workers.
 */
static SKUA_NOINLINE void inject(skua_runtime *runtime, struct skua_task *task)
{
    struct skua_thread *thread = skua_thread_self();
    bool pin = thread == NULL || thread->worker == NULL || thread->runtime != runtime;
    if (pin)
        atomic_fetch_add_explicit(&runtime->pins, 1, memory_order_seq_cst); /* PIN */
    skua_inject_queue_push(&runtime->inject, &task->agent.link, &task->agent.link, 1);
    skua_idle_notify(runtime, thread);
    if (pin)
        skua_runtime_unpin(runtime);
}

void skua_schedule(struct skua_task *task)
{
    skua_vthread_point();
    struct skua_thread *thread = skua_thread_self();
    if (skua_likely(thread != NULL && thread->worker != NULL && thread->runtime == task->runtime))
        skua_worker_wake_task(thread->worker, task);
    else
        inject(task->runtime, task);
}

/* ---- taking ---------------------------------------------------------------------------------- */

/*
 * A queue entry: claims an unstarted task, drops a stale one. True if @task is to be run. A dormant
 * one in a queue has been made ready, and cannot be taken back any more.
 */
static bool accept(struct skua_worker *worker, struct skua_task *task)
{
    /* acquire: partner CLAIM */
    uint8_t run = atomic_load_explicit(&task->run, memory_order_acquire);
    if (run == SKUA_RUN_STARTED)
        return true;
    if (run == SKUA_RUN_UNSTARTED && skua_task_claim(task, SKUA_RUN_STARTED))
        return true;
    if (run == SKUA_RUN_DORMANT || run == SKUA_RUN_PROVIDED) {
        /* release: as CLAIM; the queue entry alone gives the right to it */
        atomic_store_explicit(&task->run, SKUA_RUN_STARTED, memory_order_release);
        return true;
    }
    skua_object_unref(&worker->thread, task);
    return false;
}

static struct skua_task *take_next(struct skua_worker *worker)
{
    /* relaxed: a hint; the exchange decides */
    if (atomic_load_explicit(&worker->next, memory_order_relaxed) == NULL)
        return NULL;
    if (worker->alone) {
        struct skua_task *task = atomic_load_explicit(&worker->next, memory_order_relaxed);
        atomic_store_explicit(&worker->next, NULL, memory_order_relaxed);
        return task;
    }
    return atomic_exchange_explicit(&worker->next, NULL, memory_order_acquire); /* NEXTTAKE */
}

/* The next task at hand, without looking outside this worker. Claimed; may lack a stack. */
static struct skua_task *take_local(struct skua_worker *worker)
{
    for (;;) {
        struct skua_task *task = NULL;
        if (worker->next_streak < NEXT_STREAK) {
            task = take_next(worker);
            worker->next_streak++;
        }
        if (task == NULL) {
            worker->next_streak = 0;
            task = pop(worker);
            if (task == NULL)
                task = take_next(worker);
        }
        if (task == NULL)
            return NULL;
        if (accept(worker, task))
            return task;
    }
}

/*
 * Moves a fair share of the inject queue, at most @max, to the own one. Returns one. Stale entries
 * do not count: whole batches of them are dropped, or tasks run in place would pile up here.
 */
static struct skua_task *take_injected(struct skua_worker *worker, size_t max)
{
    skua_runtime *runtime = worker->thread.runtime;
    struct skua_task *first = NULL;
    size_t count = skua_inject_queue_count(&runtime->inject);
    while (first == NULL && count > 0) {
        struct skua_link *items[INJECT_BATCH];
        size_t share = count / runtime->worker_count + 1;
        size_t popped = skua_inject_queue_pop(&runtime->inject, items, skua_min(share, max));
        for (size_t i = 0; i < popped; i++) {
            struct skua_task *task = (struct skua_task *)(void *)items[i];
            if (is_stale(task)) {
                skua_object_unref(&worker->thread, task);
                continue;
            }
            if (is_suspended(task))
                skua_task_prefetch(task);
            if (first != NULL)
                skua_worker_push(worker, task);
            else if (accept(worker, task))
                first = task;
        }
        if (popped == 0)
            break;
        count = skua_inject_queue_count(&runtime->inject);
    }
    return first;
}

/* A task stuck in @victim's next slot while that runs something long. Late pass only. */
static struct skua_task *steal_next(struct skua_worker *worker, struct skua_worker *victim)
{
    struct skua_task *task = atomic_load_explicit(&victim->next, memory_order_acquire);
    if (task == NULL)
        return NULL;
    uint64_t switches = atomic_load_explicit(&victim->counters.switches, memory_order_relaxed);
    uint64_t now_ns = worker_now(worker);
    if (worker->next_seen != task || worker->next_seen_switches != switches) {
        worker->next_seen = task;
        worker->next_seen_switches = switches;
        worker->next_seen_ns = now_ns;
        return NULL;
    }
    if (now_ns - worker->next_seen_ns < SKUA_NEXT_STUCK_NS)
        return NULL;
    worker->next_seen = NULL;
    /* NEXTTAKE. relaxed on failure: somebody else has it */
    if (!atomic_compare_exchange_strong_explicit(&victim->next, &task, NULL, memory_order_acquire,
                                                 memory_order_relaxed))
        return NULL;
    return task;
}

/* One pass over the others, from a random start. */
static struct skua_task *steal(struct skua_worker *worker)
{
    skua_runtime *runtime = worker->thread.runtime;
    unsigned count = skua_runtime_present(runtime);
    unsigned start = (unsigned)(next_random(worker) % count);
    struct skua_task *task = skua_fork_steal_orphan(worker);
    if (task != NULL)
        return task;
    for (unsigned i = 0; i < count; i++) {
        struct skua_worker *victim = &runtime->workers[(start + i) % count];
        if (victim == worker)
            continue;
        skua_counter_add(&worker->counters.steal_attempts, 1);
        unsigned taken = 0;
        task = skua_run_queue_steal(&victim->queue, &worker->queue, &taken);
        if (task == NULL && (task = steal_next(worker, victim)) != NULL)
            taken = 1;
        if (task == NULL && (task = skua_fork_steal(worker, victim)) != NULL)
            return task;
        skua_counter_add(&worker->counters.steals, taken);
        if (task != NULL && accept(worker, task))
            return task;
        if (task != NULL && (task = take_local(worker)) != NULL)
            return task;
    }
    return NULL;
}

bool skua_worker_any_work(struct skua_worker *self)
{
    skua_runtime *runtime = self->thread.runtime;
    if (skua_inject_queue_count(&runtime->inject) != 0)
        return true;
    unsigned present = skua_runtime_present(runtime);
    for (unsigned i = 0; i < present; i++) {
        if (skua_run_queue_count(&runtime->workers[i].queue) != 0)
            return true;
    }
    return skua_fork_any_public(self) || skua_worker_own_work(self);
}

bool skua_worker_own_work(struct skua_worker *self)
{
    skua_runtime *runtime = self->thread.runtime;
    return atomic_load_explicit(&self->next, memory_order_seq_cst) != NULL ||
           atomic_load_explicit(&self->cancel_scan, memory_order_seq_cst) ||
           atomic_load_explicit(&runtime->phase, memory_order_seq_cst) == SKUA_PHASE_EXITING;
}

/* ---- switching ------------------------------------------------------------------------------- */

/* Gives a claimed task a stack if it has none. False: there is none to be had; it has failed. */
static bool ready_to_run(struct skua_worker *worker, struct skua_task *task)
{
    if (task->stack != NULL)
        return true;
    size_t size = task->future.stack_log2 ? (size_t)1 << task->future.stack_log2 : 0;
    struct skua_stack *stack = skua_stack_acquire(&worker->thread.stacks, size);
    if (stack == NULL) {
        skua_task_end(&worker->thread, task, -ENOMEM, true);
        return false;
    }
    skua_task_give_stack(task, stack);
    return true;
}

/* The next task at hand that can be switched to; NULL when the loop is to decide. */
static struct skua_task *take_runnable(struct skua_worker *worker)
{
    if (--worker->budget < 0 || skua_gauge_get(&worker->engine->queued) > SKUA_OPS_QUEUED_MAX)
        return NULL;
    struct skua_task *task;
    while ((task = take_local(worker)) != NULL) {
        if (ready_to_run(worker, task))
            return task;
    }
    return NULL;
}

SKUA_NOINLINE void skua_thread_post(struct skua_thread *thread)
{
    struct skua_task *host = thread->post_host;
    enum skua_post post = thread->post;
    thread->post = SKUA_POST_NONE;
    switch (post) {
    case SKUA_POST_NONE:
        break;
    case SKUA_POST_COMMIT:
        if (!skua_agent_commit(&host->agent))
            skua_schedule(host);
        else if (skua_unlikely(skua_agent_poked(&host->agent)))
            skua_agent_interrupt(&host->agent);
        break;
    case SKUA_POST_YIELD:
        skua_worker_push(thread->worker, host);
        break;
    case SKUA_POST_HOP:
        skua_executor_push_hop(host->executor, host);
        break;
    case SKUA_POST_BACK:
        inject(host->runtime, host);
        break;
    case SKUA_POST_DEAD:
        skua_ctx_fini(&thread->dead_ctx);
        skua_stack_release(&thread->stacks, thread->dead_stack);
        break;
    }
}

/*
 * Whether completions may have waited for long. A task that computes between its yields would count
 * them by turns, and each may last.
 */
static bool is_poll_due(struct skua_worker *worker)
{
    /* relaxed: the owner's own */
    return skua_gauge_get(&worker->engine->in_flight) != 0 &&
           worker_now(worker) - atomic_load_explicit(&worker->polled_ns, memory_order_relaxed) >
               SKUA_POLL_DUE_NS;
}

void skua_thread_leave(struct skua_thread *thread, enum skua_post post)
{
    struct skua_task *host = thread->host;
    struct skua_task *task = thread->task;
    struct skua_worker *worker = thread->worker;
    skua_assert(thread->post == SKUA_POST_NONE);
    if (skua_unlikely(thread->deque != NULL))
        skua_fork_detach(thread);
    struct skua_task *to = worker != NULL ? take_runnable(worker) : NULL;
    if (to == NULL && post == SKUA_POST_YIELD && worker != NULL && worker->budget >= 0 &&
        !skua_fork_has_orphans(thread->runtime) && !is_poll_due(worker))
        return; /* nobody else is ready */
    thread->post = post;
    thread->post_host = host;
    if (to != NULL) {
        skua_counter_add(&worker->counters.switches, 1);
        thread->host = to;
        thread->task = to;
        skua_ctx_switch(&host->ctx, &to->ctx);
    } else {
        skua_ctx_switch(&host->ctx, &thread->base);
    }
    thread = skua_thread_self();
    thread->host = host;
    thread->task = task;
    skua_thread_post(thread);
}

_Noreturn void skua_thread_exit_task(struct skua_thread *thread, struct skua_ctx ctx,
                                     struct skua_stack *stack)
{
    thread->dead_ctx = ctx;
    thread->dead_stack = stack;
    thread->post = SKUA_POST_DEAD;
    thread->post_host = NULL;
    struct skua_worker *worker = thread->worker;
    struct skua_task *to = worker != NULL ? take_runnable(worker) : NULL;
    if (to != NULL) {
        skua_counter_add(&worker->counters.switches, 1);
        thread->host = to;
        thread->task = to;
        skua_ctx_leave(&thread->dead_ctx, &to->ctx);
    }
    skua_ctx_leave(&thread->dead_ctx, &thread->base);
}

struct skua_task *skua_worker_reuse(struct skua_worker *worker)
{
    if (worker->budget <= 0 || skua_gauge_get(&worker->engine->queued) > SKUA_OPS_QUEUED_MAX)
        return NULL;
    /* relaxed: a woken task goes first, through the ordinary way */
    if (atomic_load_explicit(&worker->next, memory_order_relaxed) != NULL)
        return NULL;
    for (;;) {
        struct skua_task *task = pop(worker);
        if (task == NULL)
            return NULL;
        if (!accept(worker, task))
            continue;
        if (task->stack == NULL && task->future.stack_log2 == 0) {
            worker->budget--;
            skua_counter_add(&worker->counters.switches, 1);
            return task;
        }
        /*
         * Popped but not for this stack: the slot is free (looked at above, and only we fill it).
         */
        worker->next_streak = 0; /* it had its turn in the queue: order is kept */
        atomic_store_explicit(&worker->next, task, memory_order_release); /* NEXTPUT */
        return NULL;
    }
}

/* ---- the loop -------------------------------------------------------------------------------- */

/* From the base context: runs @task, and whatever it switches to, until somebody comes back. */
static void execute(struct skua_worker *worker, struct skua_task *task)
{
    if (!ready_to_run(worker, task))
        return;
    skua_counter_add(&worker->counters.switches, 1);
    worker->trim = SKUA_TRIM_WANTED;
    worker->thread.host = task;
    worker->thread.task = task;
    skua_ctx_switch(&worker->thread.base, &task->ctx);
    worker->thread.host = NULL;
    worker->thread.task = NULL;
    skua_thread_post(&worker->thread);
}

/*
 * How many switches until the next look at the engine. One that passes nothing on is looked at no
 * oftener for having ops: each look is a system call (epoll, 1000 connections: p99 of an echo
 * 12 ms, and 48 with TURNS_WITH_OPS).
 */
static int turns(struct skua_worker *worker)
{
    bool has_ops = skua_gauge_get(&worker->engine->in_flight) != 0;
    return has_ops && worker->engine->ops->gathers ? TURNS_WITH_OPS : TURNS;
}

/*
 * How many completions, or timers, to take: @least, as many as run until the next look, and more
 * while fewer than @most tasks are ready. Engine and timer queue keep the others in order; a full
 * run queue would not, and what is taken long before its task runs has left the caches by then.
 */
static unsigned take_max(struct skua_worker *worker, int least, unsigned most)
{
    unsigned ready = skua_min(skua_run_queue_count(&worker->queue), most);
    return skua_max(most - ready, (unsigned)least);
}

/* Fires the first timer of @whose, if it is due. */
static bool fire_timer(struct skua_worker *worker, struct skua_worker *whose, uint64_t now_ns)
{
    /* The lock is held over the resolve: a waiter that removes its timer waits for it here. */
    skua_spin_lock(&whose->timer_lock);
    struct skua_timer *timer = skua_timer_queue_pop(&whose->timers, now_ns);
    struct skua_agent *ready = NULL;
    const struct skua_timer_kind *kind = NULL;
    struct skua_wait_timer *wait = skua_container_of(timer, struct skua_wait_timer, timer);
    if (timer != NULL && wait->kind != NULL) {
        if (wait->kind->begin(wait))
            kind = wait->kind;
    } else if (timer != NULL) {
        struct skua_agent *agent = wait->agent;
        if (skua_agent_resolve(agent, SKUA_REASON_TIMEOUT) == SKUA_RESOLVE_WAITING)
            ready = agent;
    }
    skua_spin_unlock(&whose->timer_lock);
    if (timer == NULL)
        return false;
    skua_counter_add(&worker->counters.timers_fired, 1);
    if (kind != NULL)
        kind->fire(wait);
    else if (ready != NULL) /* not by the next slot: in the order of their deadlines */
        skua_worker_spawned(worker, skua_task_of_agent(ready));
    return true;
}

bool skua_worker_timers(struct skua_worker *worker, struct skua_worker *whose)
{
    skua_spin_lock(&whose->timer_lock);
    bool none = skua_timer_queue_count(&whose->timers) == 0;
    skua_spin_unlock(&whose->timer_lock);
    if (none)
        return false;
    uint64_t now_ns = worker_now(worker);
    unsigned max = take_max(worker, turns(worker), READY_TIMERS_MAX);
    unsigned fired = 0;
    while (fired < max && fire_timer(worker, whose, now_ns))
        fired++;
    return fired != 0;
}

/* Engine and timers, without waiting. */
static void poll_engine(struct skua_worker *worker)
{
    /* relaxed: set again by whoever cancels; looked at with seq_cst before sleeping */
    if (atomic_load_explicit(&worker->cancel_scan, memory_order_relaxed))
        skua_ops_cancel_scan(worker);
    worker->direct = DIRECT_CALLS;
    worker->engine->at_once = DIRECT_CALLS;
    bool has_ops = skua_gauge_get(&worker->engine->in_flight) != 0;
    if (has_ops) {
        skua_worker_engine_lock(worker);
        worker->engine->batch_max = take_max(worker, TURNS_WITH_OPS, READY_MAX);
        (void)worker->engine->ops->poll(worker->engine, 0);
        skua_ops_after_poll(worker);
        skua_worker_engine_unlock(worker);
    }
    (void)skua_worker_timers(worker, worker);
    if (has_ops || !worker->alone) {
        uint64_t now_ns = worker_now(worker);
        atomic_store_explicit(&worker->polled_ns, now_ns, memory_order_relaxed); /* advice */
        skua_rescue_look(worker, now_ns);
    }
}

SKUA_NOINLINE void skua_worker_service(struct skua_worker *worker)
{
    atomic_store_explicit(&worker->service, false, memory_order_relaxed);
    poll_engine(worker);
    while (skua_worker_timers(worker, worker)) /* all: the next service is some time off */
        continue;
    worker->budget = 0; /* through the loop: what others have injected counts too */
    skua_thread_leave(&worker->thread, SKUA_POST_YIELD);
}

/*
 * Not each time through the loop: that starts another of the tasks that the row is going to await,
 * where it stands; a tree would be grown in breadth. Those who are ready wait for ROW_NS at most.
 */
SKUA_NOINLINE void skua_worker_row(struct skua_worker *worker)
{
    uint64_t now_ns = worker_now(worker);
    if (now_ns - worker->row_ns < ROW_NS && !skua_vthread_simulated()) { /* no time passes there */
        poll_engine(worker);
        worker->budget = TURNS;
        return;
    }
    worker->row_ns = now_ns;
    skua_thread_leave(&worker->thread, SKUA_POST_YIELD);
}

/*
 * Whether to look for as long as spin_ns this time. It pays where work comes within that time: one
 * that has come to nothing is left out for the next 2, then 4, ... at most SPIN_SKIP_MAX sleeps.
 */
static bool spin_begin(struct skua_worker *worker)
{
    if (worker->thread.runtime->spin_ns == 0 || worker->watched)
        return false; /* the watcher looks once: it comes every millisecond */
    if (worker->spin_skip == 0)
        return true;
    worker->spin_skip--;
    return false;
}

/* A timer that fired meanwhile was known of before: there was nothing to be looked for. */
static void spin_end(struct skua_worker *worker, bool found, uint64_t fired_before)
{
    /* relaxed: the owner's own counter */
    uint64_t fired = atomic_load_explicit(&worker->counters.timers_fired, memory_order_relaxed);
    if (found && fired == fired_before) {
        worker->spin_penalty = 1;
        return;
    }
    worker->spin_penalty = skua_min(worker->spin_penalty * 2, SPIN_SKIP_MAX);
    worker->spin_skip = worker->spin_penalty;
}

/* One look at everything outside. */
static struct skua_task *search_once(struct skua_worker *worker, bool force)
{
    struct skua_task *task = steal(worker);
    if (task == NULL && force) /* a long spin must not put it off */
        task = skua_fork_force(worker);
    if (task == NULL)
        task = take_injected(worker, INJECT_BATCH);
    if (task == NULL) {
        poll_engine(worker);
        task = take_local(worker);
    }
    return task;
}

/* Looks at the others until something turns up or the time for it is over. */
static struct skua_task *search(struct skua_worker *worker)
{
    skua_runtime *runtime = worker->thread.runtime;
    if (!skua_idle_search_begin(worker))
        return NULL;
    uint64_t now_ns = worker_now(worker);
    uint64_t deadline_ns = now_ns + runtime->spin_ns;
    uint64_t force_ns = now_ns + FORCE_EVERY_NS;
    struct skua_task *task = search_once(worker, false);
    bool spins = task == NULL && spin_begin(worker);
    uint64_t fired = atomic_load_explicit(&worker->counters.timers_fired, memory_order_relaxed);
    while (spins && task == NULL && now_ns < deadline_ns) {
        for (unsigned i = 0; i < 8; i++)
            skua_cpu_relax();
        now_ns = worker_now(worker);
        task = search_once(worker, now_ns >= force_ns);
        if (now_ns >= force_ns)
            force_ns = now_ns + FORCE_EVERY_NS;
    }
    if (spins)
        spin_end(worker, task != NULL, fired);
    if (task == NULL)
        task = skua_fork_force(worker);
    if (task != NULL)
        skua_idle_search_end(worker, true);
    return task; /* NULL: still counted as searching: skua_idle_sleep() takes care of that */
}

/* What a retired stand-in still runs: its own. */
static struct skua_task *find_own(struct skua_worker *worker)
{
    poll_engine(worker);
    worker->budget = TURNS_WITH_OPS;
    struct skua_task *task = take_local(worker);
    skua_idle_search_end(worker, true); /* whoever was to be found by it needs another */
    return task;
}

static struct skua_task *find(struct skua_worker *worker)
{
    if (skua_worker_is_retired(worker))
        return find_own(worker);
    /*
     * Whatever there is to do here, a share of what comes from outside: it would wait for ever
     * behind a computation that always has jobs. Visits count too: tasks that wait for a moment,
     * again and again, never use a budget up.
     */
    bool due = ++worker->visits % TURNS == 0;
    bool share = due || worker->budget < 0;
    struct skua_task *task = share ? take_injected(worker, INJECT_BATCH) : NULL;
    /*
     * Now and then jobs whose task has left its stack: one that only yields until they are done
     * must not keep them waiting. Not each time: forkers yield for the sake of those who are ready.
     */
    if (task == NULL && due)
        task = skua_fork_steal_orphan(worker);
    poll_engine(worker);
    worker->budget = turns(worker);
    if (task == NULL)
        task = take_local(worker);
    if (task == NULL)
        task = skua_fork_steal_orphan(worker);
    if (task == NULL)
        task = take_injected(worker, INJECT_BATCH);
    if (task == NULL)
        task = search(worker);
    else
        skua_idle_search_end(worker, true);
    return task;
}

static void run_loop(struct skua_worker *worker)
{
    skua_runtime *runtime = worker->thread.runtime;
    for (;;) {
        /*
         * acquire: partner is the store by the stopping thread. Before the look at the queues:
         * what was queued until then, a cancelled task from outside say, is dropped by it.
         */
        bool exiting =
            atomic_load_explicit(&runtime->phase, memory_order_acquire) == SKUA_PHASE_EXITING;
        struct skua_task *task = find(worker);
        if (task != NULL) {
            execute(worker, task);
            continue;
        }
        if (exiting)
            return;
        skua_idle_sleep(worker);
        skua_monitor_worker_awake(runtime);
        (void)skua_worker_timers(worker, worker);
    }
}

void skua_worker_retire(struct skua_worker *worker, bool retired)
{
    /* relaxed: what counts is that it is seen some time after the wake */
    atomic_store_explicit(&worker->retired, retired, memory_order_relaxed);
    worker->engine->ops->wake(worker->engine);
}

static int worker_init(struct skua_worker *worker)
{
    skua_runtime *runtime = worker->thread.runtime;
    struct skua_engine_config config = {.entries = runtime->options.ring_entries,
                                        .cq_entries = runtime->options.cq_entries,
                                        .shared = runtime->rescue_ns != 0};
    worker->budget = TURNS;
    worker->spin_penalty = 1;
    worker->random = (worker->index + 1) * UINT64_C(0x9E3779B97F4A7C15);
    int rc = skua_fault_thread_init(&worker->thread.fault);
    if (rc < 0)
        return rc;
    rc = runtime->engine_ops->create(&worker->engine, &config);
    if (rc < 0)
        skua_fault_thread_fini(&worker->thread.fault);
    return rc;
}

void *skua_worker_main(void *arg)
{
    struct skua_worker *worker = arg;
    skua_runtime *runtime = worker->thread.runtime;
    worker->tid = skua_thread_id();
    skua_tls_set(&worker->thread);
    skua_ctx_init_thread(&worker->thread.base);
    skua_slab_cache_init(&worker->thread.objects, runtime->objects);
    skua_stack_cache_init(&worker->thread.stacks, runtime->stacks);
    int rc = worker_init(worker);
    if (skua_runtime_worker_ready(runtime, rc)) {
        run_loop(worker);
        skua_runtime_workers_quiet(runtime);
    }
    skua_fork_worker_fini(worker);
    if (rc == 0) {
        skua_fault_thread_fini(&worker->thread.fault);
        worker->engine->ops->destroy(worker->engine);
    }
    skua_stack_cache_fini(&worker->thread.stacks);
    skua_slab_cache_fini(&worker->thread.objects);
    skua_ctx_fini(&worker->thread.base);
    skua_tls_set(NULL);
    return NULL;
}
