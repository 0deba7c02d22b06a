/*
 * sched/task.c - tasks from spawn to end, and the future every one of them carries. See task.h.
 */
#include "sched/task.h"

#include "sched/dormant.h"
#include "sched/fork.h"
#include "sched/local.h"
#include "sched/runtime_impl.h"
#include "sched/scope.h"
#include "sched/wait.h"
#include "sched/wakes.h"
#include "sched/watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- objects --------------------------------------------------------------------------------- */

struct skua_task *skua_object_create(struct skua_thread *thread, skua_runtime *runtime,
                                     enum skua_object_kind kind, uint32_t refs)
{
    skua_vthread_point();
    struct skua_task *task;
    bool mine = thread != NULL && thread->runtime == runtime;
    if (skua_likely(mine))
        task = skua_slab_alloc(&thread->objects);
    else
        task = skua_slab_alloc_shared(runtime->objects);
    if (skua_unlikely(task == NULL))
        return NULL;
    skua_agent_init(&task->agent, SKUA_AGENT_TASK);
    task->agent.socket_hint = 0;
    task->stack = NULL;
    task->runtime = runtime;
    task->executor = NULL;
    /* relaxed, all of them: published by the queue the object goes into, or with its handle */
    atomic_store_explicit(&task->future.state, 0, memory_order_relaxed);
    atomic_store_explicit(&task->future.refs, refs, memory_order_relaxed);
    atomic_store_explicit(&task->future.flags, 0, memory_order_relaxed);
    atomic_store_explicit(&task->future.token, 0, memory_order_relaxed);
    atomic_store_explicit(&task->future.kind, (uint8_t)kind, memory_order_relaxed);
    task->future.stack_log2 = 0;
    atomic_store_explicit(&task->host, task, memory_order_relaxed);
    atomic_store_explicit(&task->proxy, NULL, memory_order_relaxed);
    atomic_store_explicit(&task->cancel, 0, memory_order_relaxed);
    task->frames = NULL;
    atomic_store_explicit(&task->io_worker, SKUA_NO_WORKER, memory_order_relaxed);
    atomic_store_explicit(&task->deque, 0, memory_order_relaxed);
    atomic_store_explicit(&task->run, SKUA_RUN_UNSTARTED, memory_order_relaxed);
    return task;
}

static SKUA_NOINLINE void object_destroy(struct skua_thread *thread, struct skua_task *task)
{
    uint8_t flags = atomic_load_explicit(&task->future.flags, memory_order_relaxed);
    if (SKUA_IS_ERROR(task->future.value) && !(flags & SKUA_FUTURE_READ) &&
        task->future.value != -ECANCELED)
        skua_report_failure(task);
    skua_locals_drop(task); /* it was never to run */
    if (flags & SKUA_FUTURE_MALLOCED) {
        free(task);
        return;
    }
    /* relaxed: for skua_runtime_list(), which copes with any order */
    atomic_store_explicit(&task->run, SKUA_RUN_FREE, memory_order_relaxed);
    if (thread != NULL && thread->runtime == task->runtime)
        skua_slab_free(&thread->objects, task);
    else
        skua_slab_free_shared(skua_runtime_objects(task->runtime), task);
}

void skua_object_unref(struct skua_thread *thread, struct skua_task *task)
{
    /* acquire: partner the release of the others' decrements. The only holder needs no RMW. */
    if (atomic_load_explicit(&task->future.refs, memory_order_acquire) != 1 &&
        atomic_fetch_sub_explicit(&task->future.refs, 1, memory_order_acq_rel) != 1)
        return;
    object_destroy(thread, task);
}

const char *skua_task_label(const struct skua_task *task)
{
    const char *name = skua_task_given_name(task);
    return name != NULL ? name : atomic_load_explicit(&task->site, memory_order_relaxed);
}

/* ---- futures --------------------------------------------------------------------------------- */

skua_future *skua_future_failed(int error)
{
    /*
     * One for each error this library gives; constant but for refs and flags, which nobody changes.
     */
    static struct skua_task failed[] = {
#define FAILED(code)                                                                               \
    {                                                                                              \
        .future = {.state = SKUA_FUTURE_DONE, .value = -(code), .kind = SKUA_OBJECT_FAILED }       \
    }
        FAILED(EINVAL), FAILED(ENOMEM), FAILED(ESHUTDOWN), FAILED(EPERM),
        FAILED(EAGAIN), FAILED(ECHILD), FAILED(ECANCELED),
#undef FAILED
    };
    for (size_t i = 0; i < sizeof(failed) / sizeof(failed[0]); i++) {
        if (failed[i].future.value == error)
            return &failed[i].future;
    }
    skua_check(false); /* an error without a failed future */
}

/* The waiters of @future, locked; DONE if it is done (then not locked). */
static uintptr_t future_lock(skua_future *future)
{
    unsigned spins = 0;
    uintptr_t state = atomic_load_explicit(&future->state, memory_order_acquire);
    for (;;) {
        if (state == SKUA_FUTURE_DONE)
            return state;
        if (state & SKUA_FUTURE_LOCKED) {
            skua_spin_wait(&spins);
            state = atomic_load_explicit(&future->state, memory_order_acquire);
            continue;
        }
        /* acquire: partner PUSH and the unlocking stores */
        if (atomic_compare_exchange_weak_explicit(&future->state, &state,
                                                  state | SKUA_FUTURE_LOCKED, memory_order_acquire,
                                                  memory_order_acquire))
            return state;
    }
}

bool skua_future_add_waiter(skua_future *future, struct skua_waiter *waiter)
{
    unsigned spins = 0;
    uintptr_t state = atomic_load_explicit(&future->state, memory_order_acquire);
    for (;;) {
        if (state == SKUA_FUTURE_DONE)
            return false;
        if (state & SKUA_FUTURE_LOCKED) {
            skua_spin_wait(&spins);
            state = atomic_load_explicit(&future->state, memory_order_acquire);
            continue;
        }
        waiter->next = (struct skua_waiter *)state;
        /* PUSH; acquire on failure: DONE */
        if (atomic_compare_exchange_weak_explicit(&future->state, &state, (uintptr_t)waiter,
                                                  memory_order_release, memory_order_acquire))
            return true;
    }
}

bool skua_future_remove_waiter(skua_future *future, struct skua_waiter *waiter)
{
    uintptr_t state = future_lock(future);
    if (state == SKUA_FUTURE_DONE)
        return true;
    struct skua_waiter *head = (struct skua_waiter *)state;
    for (struct skua_waiter **at = &head; *at != NULL; at = &(*at)->next) {
        if (*at == waiter) {
            *at = waiter->next;
            break;
        }
    }
    /* release: partner the acquire of the next lock or push */
    atomic_store_explicit(&future->state, (uintptr_t)head, memory_order_release);
    return false;
}

bool skua_future_complete(skua_future *future, intptr_t value)
{
    skua_vthread_point();
    uintptr_t state = future_lock(future);
    if (state == SKUA_FUTURE_DONE)
        return false;
    future->value = value;
    /* The stack of waiters is newest first; prepending turns it round: first come, first woken. */
    struct skua_wakes wakes;
    skua_wakes_init(&wakes);
    for (struct skua_waiter *waiter = (struct skua_waiter *)state; waiter != NULL;) {
        struct skua_waiter *next = waiter->next;
        if (skua_likely(waiter->agent != NULL))
            skua_wakes_add(&wakes, waiter->agent, true);
        else
            skua_watcher_done(waiter, value, &wakes);
        waiter = next;
    }
    /* DONE */
    atomic_store_explicit(&future->state, SKUA_FUTURE_DONE, memory_order_release);
    skua_wakes_flush(&wakes);
    return true;
}

/* ---- the life of a task ---------------------------------------------------------------------- */

/* As skua_future_complete(), for the one and only completer of a task or job. */
static void complete_own(skua_future *future, intptr_t value)
{
    uintptr_t expected = 0;
    future->value = value;
    /* DONE. relaxed on failure: somebody waits, the lock will order it */
    if (!atomic_compare_exchange_strong_explicit(&future->state, &expected, SKUA_FUTURE_DONE,
                                                 memory_order_release, memory_order_relaxed))
        (void)skua_future_complete(future, value);
}

/* A task ends with an error: who must know of it before its future is done. */
static SKUA_NOINLINE void end_failed(struct skua_thread *thread, struct skua_task *task,
                                     intptr_t value)
{
    uint8_t flags = atomic_load_explicit(&task->future.flags, memory_order_relaxed);
    if ((flags & SKUA_FUTURE_SCOPED) && value != -ECANCELED)
        skua_scope_child_failed(task, value);
    if (flags & SKUA_FUTURE_FOLLOWER)
        skua_dormant_drop_source(thread, task); /* it may never have run */
}

void skua_task_end(struct skua_thread *thread, struct skua_task *task, intptr_t value, bool drop)
{
    skua_runtime *runtime = task->runtime;
    skua_check(task->frames == NULL); /* a scope or shield was left open: its frame is gone */
    if (skua_unlikely(SKUA_IS_ERROR(value)))
        end_failed(thread, task, value);
    skua_locals_drop(task);
    /* release: a stale queue entry that sees ENDED drops its reference, no more */
    atomic_store_explicit(&task->run, SKUA_RUN_ENDED, memory_order_release);
    complete_own(&task->future, value);
    if (drop)
        skua_object_unref(thread, task);
    skua_runtime_count_end(thread, runtime);
}

void skua_task_give_stack(struct skua_task *task, struct skua_stack *stack)
{
    task->stack = stack;
    memset(&task->ctx, 0, sizeof(task->ctx));
    skua_ctx_init(&task->ctx, skua_stack_low(stack), skua_stack_size(stack),
                  skua_stack_color(stack), skua_task_main, task);
}

void skua_task_main(void *arg)
{
    struct skua_task *task = arg;
    struct skua_thread *thread = skua_thread_self();
    skua_thread_post(thread);
    for (;;) {
        /* relaxed: constant since the spawn, which the queue ordered */
        skua_fn fn = atomic_load_explicit(&task->fn, memory_order_relaxed);
        /* relaxed: constant. A stolen job has a joiner: stolen_main() always runs. */
        bool sure =
            (atomic_load_explicit(&task->future.flags, memory_order_relaxed) & SKUA_FUTURE_STOLEN) |
            (task->future.stack_log2 & SKUA_STACK_SURE);
        intptr_t value = !sure && skua_task_cancelled(task) ? -ECANCELED : fn(task->arg);
        thread = skua_thread_self();
        skua_check(!thread->forked); /* a task must not return in a forked child: _exit() or exec */
        /* relaxed: its own */
        if (skua_unlikely(atomic_load_explicit(&task->deque, memory_order_relaxed) != 0)) {
            skua_fork_release(thread, task);
            thread = skua_thread_self();
        }
        struct skua_ctx ctx = task->ctx;
        struct skua_stack *stack = task->stack;
        bool plain = (task->future.stack_log2 & ~SKUA_STACK_SURE) == 0;
        thread->task = NULL;
        if (thread->worker == NULL) /* seq_cst: before the thread can go; see interrupt_object() */
            atomic_store_explicit(&task->proxy, NULL, memory_order_seq_cst);
        skua_task_end(thread, task, value, true);
        struct skua_task *next =
            plain && thread->worker != NULL ? skua_worker_reuse(thread->worker) : NULL;
        if (next == NULL)
            skua_thread_exit_task(thread, ctx, stack);
        next->ctx = ctx;
        next->stack = stack;
        task = next;
        thread->host = task;
        thread->task = task;
    }
}

bool skua_task_cancelled(struct skua_task *task)
{
    bool stolen = false;
    for (struct skua_task *at = task;;) {
        /* seq_cst: POKE in agent.h */
        uint8_t cancel = atomic_load_explicit(&at->cancel, memory_order_seq_cst);
        if (skua_unlikely(cancel & SKUA_CANCEL_SHIELD)) /* a forker's chain may be changing */
            return !stolen && skua_frames_cancelled(at);
        if (cancel != 0)
            return true;
        /* relaxed: constant while it runs */
        if (atomic_load_explicit(&at->run, memory_order_relaxed) == SKUA_RUN_INPLACE) {
            at = at->outer;
            if (at == NULL) /* a job */
                break;
        } else if (atomic_load_explicit(&at->future.flags, memory_order_relaxed) &
                   SKUA_FUTURE_STOLEN) {
            stolen = true;
            at = skua_fork_parent(at);
            if (at == NULL)
                break;
        } else {
            break;
        }
    }
    return atomic_load_explicit(&task->runtime->cancel_all, memory_order_seq_cst);
}

/* ---- spawning -------------------------------------------------------------------------------- */

/* Whether the calling thread may start work on @runtime. 0 or -errno. */
static int may_start(const struct skua_thread *thread, skua_runtime *runtime)
{
    if (thread != NULL && thread->forked)
        return -ECHILD;
    if (runtime == NULL)
        return -EPERM;
    return skua_runtime_refuses(runtime) ? -ESHUTDOWN : 0;
}

/* Fills in a fresh task and queues it. */
static void start(struct skua_thread *thread, struct skua_task *task, skua_fn fn, void *arg,
                  const char *site)
{
    atomic_store_explicit(&task->fn, fn, memory_order_relaxed);
    atomic_store_explicit(&task->site, site, memory_order_relaxed);
    task->arg = arg;
    skua_locals_inherit(thread, task);
    if (skua_likely(thread != NULL && thread->worker != NULL && thread->runtime == task->runtime)) {
        skua_counter_add(&thread->worker->counters.spawned, 1);
        skua_worker_spawned(thread->worker, task);
    } else {
        skua_runtime_count_start(thread, task->runtime);
        skua_schedule(task);
    }
}

skua_future *skua_spawn_at(skua_fn fn, void *arg, const char *site)
{
    struct skua_thread *thread = skua_thread_self();
    skua_runtime *runtime = thread != NULL ? thread->runtime : NULL;
    int rc = may_start(thread, runtime);
    if (skua_unlikely(rc < 0 || fn == NULL))
        return skua_future_failed(rc < 0 ? rc : -EINVAL);
    struct skua_task *task = skua_object_create(thread, runtime, SKUA_OBJECT_TASK, 2);
    if (skua_unlikely(task == NULL))
        return skua_future_failed(-ENOMEM);
    start(thread, task, fn, arg, site);
    return &task->future;
}

int skua_task_spawn_scoped(struct skua_thread *thread, struct scope *scope, skua_fn fn, void *arg,
                           const char *site, struct skua_task **child)
{
    skua_runtime *runtime = thread != NULL ? thread->runtime : NULL;
    int rc = may_start(thread, runtime);
    if (skua_unlikely(rc < 0))
        return rc;
    struct skua_task *task = skua_object_create(thread, runtime, SKUA_OBJECT_TASK, 2);
    if (skua_unlikely(task == NULL))
        return -ENOMEM;
    /* relaxed, both: published by the queue, or by the scope's list */
    atomic_store_explicit(&task->future.flags, SKUA_FUTURE_SCOPED | SKUA_FUTURE_READ,
                          memory_order_relaxed);
    atomic_store_explicit(&task->sibling, NULL, memory_order_relaxed);
    task->scope = scope;
    start(thread, task, fn, arg, site);
    *child = task;
    return 0;
}

skua_future *skua_submit_at(skua_runtime *runtime, skua_fn fn, void *arg, const char *site)
{
    struct skua_thread *thread = skua_thread_self();
    if (fn == NULL || runtime == NULL)
        return skua_future_failed(-EINVAL);
    if (skua_fork_guard_in_child())
        return skua_future_failed(-ECHILD);
    int rc = may_start(thread, runtime);
    if (rc < 0)
        return skua_future_failed(rc);
    struct skua_task *task = skua_object_create(thread, runtime, SKUA_OBJECT_TASK, 2);
    if (task == NULL)
        return skua_future_failed(-ENOMEM);
    start(thread, task, fn, arg, site);
    return &task->future;
}

/* log2 of the stack class for @size, 0 for the default one. */
static uint8_t stack_log2(size_t size)
{
    if (size == 0)
        return 0;
    size = skua_max(size + SKUA_STACK_RESERVE, SKUA_STACK_MIN);
    uint8_t log2 = 0;
    while (((size_t)1 << log2) < size)
        log2++;
    return log2;
}

#define TASK_FLAGS (SKUA_TASK_DETACHED | SKUA_TASK_STACK_NOW)

int skua_spawn_with_at(const skua_task_options *options, skua_fn fn, void *arg,
                       skua_future **future, const char *site)
{
    static const skua_task_options defaults = {0};
    struct skua_thread *thread = skua_thread_self();
    const skua_task_options *o = options != NULL ? options : &defaults;
    bool detached = (o->flags & SKUA_TASK_DETACHED) != 0;
    uint64_t reserved = o->reserved_flags;
    for (size_t i = 0; i < sizeof(o->reserved) / sizeof(o->reserved[0]); i++)
        reserved |= o->reserved[i];
    if (fn == NULL || (future == NULL && !detached) || (o->flags & ~TASK_FLAGS) != 0 ||
        reserved != 0 || o->stack_size_bytes > SKUA_STACK_MAX - SKUA_STACK_RESERVE)
        return -EINVAL;
    int rc = may_start(thread, thread != NULL ? thread->runtime : NULL);
    if (rc < 0)
        return rc;
    uint8_t log2 = stack_log2(o->stack_size_bytes);
    struct skua_stack *stack = NULL;
    if ((o->flags & SKUA_TASK_STACK_NOW) != 0) {
        stack = skua_stack_acquire(&thread->stacks, log2 != 0 ? (size_t)1 << log2 : 0);
        if (stack == NULL)
            return -ENOMEM;
    }
    struct skua_task *task =
        skua_object_create(thread, thread->runtime, SKUA_OBJECT_TASK, detached ? 1 : 2);
    if (task == NULL) {
        if (stack != NULL)
            skua_stack_release(&thread->stacks, stack);
        return -ENOMEM;
    }
    task->future.stack_log2 = log2;
    uint8_t flags = detached ? SKUA_FUTURE_DETACHED : 0;
    if (o->name != NULL) {
        atomic_store_explicit(&task->name, o->name, memory_order_relaxed);
        flags |= SKUA_FUTURE_NAMED;
    }
    atomic_store_explicit(&task->future.flags, flags, memory_order_relaxed);
    if (stack != NULL) {
        skua_task_give_stack(task, stack);
        task->future.stack_log2 |= SKUA_STACK_SURE;
        /* relaxed: published by the queue */
        atomic_store_explicit(&task->run, SKUA_RUN_PROVIDED, memory_order_relaxed);
    }
    if (future != NULL)
        *future = detached ? NULL : &task->future;
    start(thread, task, fn, arg, o->site != NULL ? o->site : site);
    return 0;
}

/* ---- the running task ------------------------------------------------------------------------ */

int skua_yield(void)
{
    struct skua_thread *thread = skua_thread_self();
    if (skua_unlikely(thread == NULL || thread->task == NULL || thread->worker == NULL)) {
        if (thread != NULL && thread->forked)
            return -ECHILD;
        if (skua_wait_cancelled())
            return -ECANCELED;
        skua_spin_give_way();
        return 0;
    }
    if (skua_unlikely(skua_task_cancelled(thread->task)))
        return -ECANCELED;
    skua_thread_leave(thread, SKUA_POST_YIELD);
    return 0;
}

skua_future *skua_self(void)
{
    struct skua_thread *thread = skua_thread_self();
    return thread != NULL && thread->task != NULL ? &thread->task->future : NULL;
}

const char *skua_task_name(void)
{
    struct skua_thread *thread = skua_thread_self();
    return thread != NULL && thread->task != NULL ? skua_task_label(thread->task) : NULL;
}

bool skua_cancelled(void)
{
    return skua_wait_cancelled();
}

/* Takes the token if there is one. */
static bool take_token(struct skua_task *task)
{
    /* The plain look first: most of the time there is none. seq_cst: POKE's reason */
    return atomic_load_explicit(&task->future.token, memory_order_seq_cst) &&
           atomic_exchange_explicit(&task->future.token, 0, memory_order_seq_cst);
}

/*
 * A token comes in one of two ways: by ending the wait itself (skua_agent_unpark), when the task
 * waits on its own stack, or by the flag and an interrupt.
 */
int skua_park(uint64_t deadline_ns)
{
    struct skua_thread *thread = skua_thread_self();
    if (skua_unlikely(thread == NULL || thread->task == NULL))
        return thread != NULL && thread->forked ? -ECHILD : -EPERM;
    struct skua_task *task = thread->task;
    bool own_stack = thread->worker != NULL && thread->host == task;
    for (;;) {
        struct skua_wait wait;
        int rc = skua_wait_begin(&wait, own_stack ? SKUA_WAIT_PARK : SKUA_WAIT_PARK_INDIRECT, false,
                                 deadline_ns);
        if (rc < 0)
            return rc;
        bool token = take_token(task);
        if (token || skua_task_cancelled(task))
            return skua_wait_abandon(&wait) || token ? 0 : -ECANCELED;
        enum skua_reason reason = skua_wait_park(&wait);
        if (reason == SKUA_REASON_EVENT)
            return 0;
        if (reason == SKUA_REASON_TIMEOUT)
            return take_token(task) ? 0 : -ETIMEDOUT;
    }
}

/*
 * Who runs a task in place claims it first and names the host a few instructions later: until then
 * there is no right answer, so this waits for it.
 */
struct skua_task *skua_task_host(struct skua_task *task)
{
    unsigned spins = 0;
    for (;;) {
        /* seq_cst: HOST in task.h */
        uint8_t run = atomic_load_explicit(&task->run, memory_order_seq_cst);
        /* acquire: partner is the release in run_task_in_place() */
        struct skua_task *host = atomic_load_explicit(&task->host, memory_order_acquire);
        if (run != SKUA_RUN_INPLACE || host != task)
            return host;
        skua_spin_wait(&spins);
    }
}

void skua_task_interrupt(struct skua_task *task)
{
    struct skua_task *host = skua_task_host(task);
    if (skua_likely(atomic_load_explicit(&host->proxy, memory_order_seq_cst) == NULL)) {
        skua_agent_interrupt(&host->agent);
        return;
    }
    /* The agent is an executor thread's: it stays while the runtime is pinned. */
    if (!skua_runtime_pin(task->runtime))
        return;
    struct skua_agent *proxy = atomic_load_explicit(&host->proxy, memory_order_seq_cst);
    skua_agent_interrupt(proxy != NULL ? proxy : &host->agent);
    skua_runtime_unpin(task->runtime);
}

int skua_unpark(skua_future *future)
{
    if (future == NULL || skua_future_kind(future) != SKUA_OBJECT_TASK)
        return -EINVAL;
    if (skua_future_done(future))
        return -EALREADY;
    struct skua_task *task = skua_task_of_future(future);
    bool waiting;
    /* relaxed: a hint. A task in place waits in a kind of its own, one on an executor elsewhere. */
    if (atomic_load_explicit(&task->proxy, memory_order_relaxed) == NULL &&
        skua_agent_unpark(&task->agent, &waiting)) {
        if (waiting)
            skua_schedule(task);
        return 0;
    }
    /* seq_cst: POKE's reason */
    if (!atomic_exchange_explicit(&future->token, 1, memory_order_seq_cst))
        skua_task_interrupt(task);
    return 0;
}
