/*
 * sched/scope.c - see scope.h.
 */
#include "sched/scope.h"

#include "base/spin.h"
#include "sched/await.h"
#include "sched/fork.h"
#include "sched/ops.h"
#include "sched/runtime_impl.h"
#include "sched/wait.h"
#include "sched/wakes.h"

#include <skua/time.h>

#include <errno.h>
#include <string.h>

#define PRUNE_MIN 64u /* children added before the ended ones are looked for */

struct children {
    _Atomic(struct skua_task *) first;
    struct skua_task *last;
    size_t added;    /* since the last prune */
    size_t prune_at; /* how many to add before the next; 0: PRUNE_MIN */
};

struct scope {
    struct skua_frame frame;
    uint8_t flags;         /* SKUA_SCOPE_...; constant */
    bool walking;          /* guarded by lock */
    struct skua_spin lock; /* of theirs, failures, walking, walk_waiter */
    struct skua_agent *walk_waiter;
    struct children mine;
    struct children theirs;
    struct skua_task *awaited; /* one of theirs that the body waits for; guarded by lock */
    struct skua_task *first_failure;
    struct skua_task *last_failure;
    _Atomic(const char *) by;
    uint64_t deadline_ns; /* the body's own */
    struct skua_wait_timer timer;
    struct skua_worker *timer_worker; /* whose heap holds timer; the body's own */
    skua_scope_cleanup *cleanups;     /* the body's own */
};

_Static_assert(sizeof(struct scope) <= sizeof(skua_scope), "skua_scope is its opaque storage");
_Static_assert(sizeof(struct skua_frame) <= sizeof(skua_shield), "skua_shield is its storage");

static struct scope *scope_of(const skua_scope *opaque)
{
    return (struct scope *)(uintptr_t)opaque;
}

static uint8_t cause_of(const struct scope *scope)
{
    return atomic_load_explicit(&((struct scope *)(uintptr_t)scope)->frame.cause,
                                memory_order_seq_cst);
}

/* ---- the chain of a task --------------------------------------------------------------------- */

bool skua_frames_cancelled(const struct skua_task *task)
{
    for (struct skua_frame *at = task->frames; at != NULL && !at->is_shield; at = at->outer) {
        if (atomic_load_explicit(&at->cause, memory_order_seq_cst) != SKUA_SCOPE_RUNNING)
            return true;
    }
    return false;
}

static uint8_t cancel_of_frames(const struct skua_task *task)
{
    uint8_t cancel = 0;
    for (struct skua_frame *at = task->frames; at != NULL; at = at->outer) {
        if (at->is_shield)
            cancel |= SKUA_CANCEL_SHIELD;
        else if (atomic_load_explicit(&at->cause, memory_order_seq_cst) != SKUA_SCOPE_RUNNING)
            cancel |= SKUA_CANCEL_SCOPE;
    }
    return cancel;
}

static void push_frame(struct skua_task *task, struct skua_frame *frame, bool is_shield)
{
    frame->outer = task->frames;
    frame->task = task;
    frame->is_shield = is_shield;
    atomic_store_explicit(&frame->cause, SKUA_SCOPE_RUNNING, memory_order_relaxed);
    task->frames = frame;
    if (is_shield)
        atomic_fetch_or_explicit(&task->cancel, SKUA_CANCEL_SHIELD, memory_order_seq_cst);
}

static void pop_frame(struct skua_task *task)
{
    task->frames = task->frames->outer;
    uint8_t old = atomic_load_explicit(&task->cancel, memory_order_seq_cst);
    if (skua_likely(!(old & (SKUA_CANCEL_SCOPE | SKUA_CANCEL_SHIELD))))
        return;
    uint8_t cancel;
    do {
        cancel = (uint8_t)((old & SKUA_CANCEL_TASK) | cancel_of_frames(task));
    } while (!atomic_compare_exchange_strong_explicit(&task->cancel, &old, cancel,
                                                      memory_order_seq_cst, memory_order_seq_cst));
    if (cancel_of_frames(task) & (uint8_t)~cancel & SKUA_CANCEL_SCOPE) { /* see ORDERING */
        atomic_fetch_or_explicit(&task->cancel, SKUA_CANCEL_SCOPE, memory_order_seq_cst);
        skua_fork_cancelled(task);
    }
}

/* The scope or shield, if it is the innermost one of the running task. */
static struct skua_task *body_of(const struct skua_frame *frame)
{
    struct skua_thread *thread = skua_thread_self();
    struct skua_task *task = thread != NULL ? thread->task : NULL;
    return task != NULL && task->frames == frame ? task : NULL;
}

/* ---- children -------------------------------------------------------------------------------- */

static struct skua_task *next_of(struct skua_task *child)
{
    return atomic_load_explicit(&child->sibling, memory_order_acquire);
}

static void append(struct children *children, struct skua_task *child)
{
    /* release, both: partner is a canceller's acquire */
    if (children->last == NULL)
        atomic_store_explicit(&children->first, child, memory_order_release);
    else
        atomic_store_explicit(&children->last->sibling, child, memory_order_release);
    children->last = child;
    children->added++;
}

/* Takes out those that have ended, but for @keep and the newest; returns them as a list. */
static struct skua_task *prune(struct children *children, struct skua_task *keep)
{
    struct skua_task *ended = NULL;
    size_t left = 1;
    _Atomic(struct skua_task *) *at = &children->first;
    for (;;) {
        struct skua_task *child = atomic_load_explicit(at, memory_order_relaxed);
        if (child == children->last)
            break;
        if (child == keep || !skua_future_done(&child->future)) {
            at = &child->sibling;
            left++;
            continue;
        }
        atomic_store_explicit(at, next_of(child), memory_order_relaxed);
        atomic_store_explicit(&child->sibling, ended, memory_order_relaxed);
        ended = child;
    }
    children->added = 0;
    children->prune_at = skua_max(left, (size_t)PRUNE_MIN);
    return ended;
}

static bool prune_is_due(const struct children *children)
{
    return children->added >= skua_max(children->prune_at, (size_t)PRUNE_MIN);
}

static void unref_all(struct skua_thread *thread, struct skua_task *child)
{
    while (child != NULL) {
        struct skua_task *next = atomic_load_explicit(&child->sibling, memory_order_relaxed);
        skua_object_unref(thread, child);
        child = next;
    }
}

static void add_mine(struct skua_thread *thread, struct scope *scope, struct skua_task *child)
{
    append(&scope->mine, child);
    if (skua_likely(!prune_is_due(&scope->mine)))
        return;
    struct skua_task *ended = NULL;
    skua_spin_lock(&scope->lock);
    if (!scope->walking)
        ended = prune(&scope->mine, NULL);
    skua_spin_unlock(&scope->lock);
    unref_all(thread, ended);
}

static void add_theirs(struct skua_thread *thread, struct scope *scope, struct skua_task *child)
{
    struct skua_task *ended = NULL;
    skua_spin_lock(&scope->lock);
    append(&scope->theirs, child);
    if (prune_is_due(&scope->theirs) && !scope->walking)
        ended = prune(&scope->theirs, scope->awaited);
    skua_spin_unlock(&scope->lock);
    unref_all(thread, ended);
}

static void cancel_child(struct skua_task *child)
{
    if (!(atomic_load_explicit(&child->cancel, memory_order_relaxed) & SKUA_CANCEL_TASK))
        (void)skua_future_cancel(&child->future);
}

int skua_scope_spawn_at(skua_scope *opaque, skua_fn fn, void *arg, skua_future **future,
                        const char *site)
{
    struct scope *scope = scope_of(opaque);
    struct skua_thread *thread = skua_thread_self();
    if (skua_unlikely(scope == NULL || fn == NULL))
        return -EINVAL;
    if (skua_unlikely(cause_of(scope) != SKUA_SCOPE_RUNNING))
        return -ECANCELED;
    struct skua_task *child;
    int rc = skua_task_spawn_scoped(thread, scope, fn, arg, site, &child);
    if (skua_unlikely(rc < 0))
        return rc;
    if (future != NULL) /* relaxed: the list's reference keeps it alive meanwhile */
        atomic_fetch_add_explicit(&child->future.refs, 1, memory_order_relaxed);
    if (thread->task == scope->frame.task)
        add_mine(thread, scope, child);
    else
        add_theirs(thread, scope, child);
    if (skua_unlikely(cause_of(scope) != SKUA_SCOPE_RUNNING))
        cancel_child(child); /* the list keeps it */
    if (future != NULL)
        *future = &child->future;
    return 0;
}

/* ---- cancelling ------------------------------------------------------------------------------ */

/* True: the caller has won, and must walk. */
static bool begin_cancel(struct scope *scope, enum skua_scope_cause cause, const char *by)
{
    uint8_t running = SKUA_SCOPE_RUNNING;
    skua_spin_lock(&scope->lock);
    bool won = atomic_compare_exchange_strong_explicit(
        &scope->frame.cause, &running, (uint8_t)cause, memory_order_seq_cst, memory_order_seq_cst);
    if (won) {
        scope->walking = true;
        atomic_store_explicit(&scope->by, by, memory_order_relaxed);
    }
    skua_spin_unlock(&scope->lock);
    return won;
}

static void cancel_all(struct children *children)
{
    struct skua_task *child = atomic_load_explicit(&children->first, memory_order_acquire);
    for (; child != NULL; child = next_of(child))
        cancel_child(child);
}

static void walk(struct scope *scope)
{
    struct skua_task *task = scope->frame.task;
    atomic_fetch_or_explicit(&task->cancel, SKUA_CANCEL_SCOPE, memory_order_seq_cst);
    skua_task_interrupt(task);
    skua_ops_cancel(task);
    skua_fork_cancelled(task);
    cancel_all(&scope->mine);
    cancel_all(&scope->theirs);
    skua_spin_lock(&scope->lock);
    struct skua_agent *waiter = scope->walk_waiter;
    scope->walk_waiter = NULL;
    scope->walking = false;
    skua_spin_unlock(&scope->lock); /* last touch if nobody waits */
    if (waiter == NULL)
        return;
    struct skua_wakes wakes;
    skua_wakes_init(&wakes);
    skua_wakes_add(&wakes, waiter, true);
    skua_wakes_flush(&wakes);
}

/* Body, at its end: waits until nobody walks. Returns with the lock. */
static void lock_still(struct scope *scope)
{
    for (;;) {
        struct skua_wait wait;
        skua_spin_lock(&scope->lock);
        if (skua_likely(!scope->walking))
            return;
        skua_spin_unlock(&scope->lock);
        (void)skua_wait_begin(&wait, SKUA_WAIT_SCOPE, true, SKUA_FOREVER); /* cannot fail */
        skua_spin_lock(&scope->lock);
        bool walking = scope->walking;
        if (walking)
            scope->walk_waiter = wait.agent;
        skua_spin_unlock(&scope->lock);
        if (walking)
            (void)skua_wait_park(&wait);
        else
            (void)skua_wait_abandon(&wait);
    }
}

static const char *running_label(void)
{
    struct skua_thread *thread = skua_thread_self();
    return thread != NULL && thread->task != NULL ? skua_task_label(thread->task) : NULL;
}

int skua_scope_cancel(skua_scope *opaque)
{
    struct scope *scope = scope_of(opaque);
    if (scope == NULL)
        return -EINVAL;
    if (!begin_cancel(scope, SKUA_SCOPE_REQUESTED, running_label()))
        return -EALREADY;
    walk(scope);
    return 0;
}

void skua_scope_child_failed(struct skua_task *child, intptr_t value)
{
    struct scope *scope = child->scope;
    /* Written again, with the same, when the future is completed: failures are read before that. */
    child->future.value = value;
    atomic_store_explicit(&child->failed_next, NULL, memory_order_relaxed);
    atomic_fetch_add_explicit(&child->future.refs, 1, memory_order_relaxed);
    skua_spin_lock(&scope->lock);
    if (scope->last_failure == NULL)
        scope->first_failure = child;
    else
        atomic_store_explicit(&scope->last_failure->failed_next, child, memory_order_relaxed);
    scope->last_failure = child;
    skua_spin_unlock(&scope->lock);
    if (!(scope->flags & SKUA_SCOPE_COLLECT) &&
        begin_cancel(scope, SKUA_SCOPE_CHILD_FAILED, skua_task_label(child)))
        walk(scope);
}

/* ---- the deadline ---------------------------------------------------------------------------- */

static struct scope *scope_of_timer(struct skua_wait_timer *timer)
{
    return skua_container_of(timer, struct scope, timer);
}

static bool expire(struct skua_wait_timer *timer)
{
    return begin_cancel(scope_of_timer(timer), SKUA_SCOPE_EXPIRED, NULL);
}

static void expired(struct skua_wait_timer *timer)
{
    walk(scope_of_timer(timer));
}

static void disarm(struct scope *scope)
{
    skua_wait_timer_disarm(&scope->timer, &scope->timer_worker);
}

static int arm(struct scope *scope, uint64_t deadline_ns)
{
    static const struct skua_timer_kind kind = {expire, expired};
    scope->deadline_ns = SKUA_FOREVER;
    if (deadline_ns == SKUA_FOREVER)
        return 0;
    scope->timer.kind = &kind;
    int rc = skua_wait_timer_arm(&scope->timer, &scope->timer_worker, deadline_ns);
    if (rc == 0)
        scope->deadline_ns = deadline_ns;
    return rc;
}

int skua_scope_set_deadline(skua_scope *opaque, uint64_t deadline_ns)
{
    struct scope *scope = scope_of(opaque);
    struct skua_thread *thread = skua_thread_self();
    if (scope == NULL)
        return -EINVAL;
    if (thread == NULL || thread->task != scope->frame.task)
        return -EPERM;
    disarm(scope);
    if (cause_of(scope) != SKUA_SCOPE_RUNNING)
        return -EALREADY;
    return arm(scope, deadline_ns);
}

uint64_t skua_scope_deadline(const skua_scope *opaque)
{
    return opaque != NULL ? scope_of(opaque)->deadline_ns : SKUA_FOREVER;
}

/* ---- opening and closing --------------------------------------------------------------------- */

static bool is_valid(const skua_scope_options *options)
{
    uint64_t reserved = options->reserved_flags;
    for (size_t i = 0; i < sizeof(options->reserved) / sizeof(options->reserved[0]); i++)
        reserved |= options->reserved[i];
    return reserved == 0 && (options->flags & ~SKUA_SCOPE_COLLECT) == 0;
}

int skua_scope_open(skua_scope *opaque, const skua_scope_options *options)
{
    struct scope *scope = scope_of(opaque);
    struct skua_thread *thread = skua_thread_self();
    if (scope == NULL || (options != NULL && !is_valid(options)))
        return -EINVAL;
    if (thread != NULL && thread->forked)
        return -ECHILD;
    if (thread == NULL || thread->task == NULL)
        return -EPERM;
    memset(scope, 0, sizeof(*scope));
    scope->deadline_ns = SKUA_FOREVER;
    if (options != NULL)
        scope->flags = (uint8_t)options->flags;
    push_frame(thread->task, &scope->frame, false);
    if (options == NULL || options->deadline_ns == 0)
        return 0;
    int rc = arm(scope, options->deadline_ns);
    if (rc < 0)
        pop_frame(thread->task);
    return rc;
}

/* Body: cancels its scope if it is cancelled itself. True if the scope is cancelled. */
static bool is_cancelled(struct scope *scope)
{
    if (skua_likely(!skua_task_cancelled(scope->frame.task)))
        return cause_of(scope) != SKUA_SCOPE_RUNNING;
    if (begin_cancel(scope, SKUA_SCOPE_BODY, NULL))
        walk(scope);
    return true;
}

/* Body: waits until @child has ended. */
static void await_child(struct scope *scope, struct skua_task *child)
{
    if (skua_future_done(&child->future))
        return;
    do {
        if (skua_unlikely(is_cancelled(scope))) {
            cancel_child(child);
            (void)skua_future_wait(&child->future, SKUA_FOREVER, true);
        } else if (!skua_future_run_in_place(skua_thread_self(), &child->future)) {
            (void)skua_future_wait(&child->future, SKUA_FOREVER, false);
        }
    } while (!skua_future_done(&child->future));
    (void)is_cancelled(scope); /* a child in place has waited for the body, too */
}

static void join_mine(struct scope *scope)
{
    struct skua_task *first = atomic_load_explicit(&scope->mine.first, memory_order_relaxed);
    if (first == NULL)
        return;
    for (struct skua_task *child = first; child != NULL; child = next_of(child))
        await_child(scope, child);
    lock_still(scope);
    memset(&scope->mine, 0, sizeof(scope->mine));
    skua_spin_unlock(&scope->lock);
    unref_all(skua_thread_self(), first);
}

static void join_theirs(struct scope *scope)
{
    for (;;) {
        skua_spin_lock(&scope->lock);
        struct children *theirs = &scope->theirs;
        struct skua_task *child = atomic_load_explicit(&theirs->first, memory_order_relaxed);
        scope->awaited = child;
        skua_spin_unlock(&scope->lock);
        if (child == NULL)
            return;
        await_child(scope, child);
        lock_still(scope);
        /* It is still the first: nobody takes out the awaited one, and others are added behind. */
        atomic_store_explicit(&theirs->first, next_of(child), memory_order_relaxed);
        if (theirs->last == child)
            theirs->last = NULL;
        scope->awaited = NULL;
        skua_spin_unlock(&scope->lock);
        skua_object_unref(skua_thread_self(), child);
    }
}

/* What a scope whose children have ended comes to. */
static int outcome(const struct scope *scope)
{
    if (scope->first_failure != NULL)
        return (int)scope->first_failure->future.value;
    uint8_t cause = cause_of(scope);
    if (skua_likely(cause == SKUA_SCOPE_RUNNING))
        return 0;
    return cause == SKUA_SCOPE_EXPIRED ? -ETIMEDOUT : -ECANCELED;
}

static int join(struct scope *scope)
{
    join_mine(scope);
    join_theirs(scope);
    return outcome(scope);
}

int skua_scope_wait(skua_scope *opaque)
{
    struct scope *scope = scope_of(opaque);
    if (scope == NULL)
        return -EINVAL;
    return body_of(&scope->frame) == NULL ? -EPERM : join(scope);
}

static void run_cleanups(struct scope *scope)
{
    skua_shield shield;
    if (skua_likely(scope->cleanups == NULL) || skua_shield_open(&shield) < 0)
        return;
    while (scope->cleanups != NULL) {
        skua_scope_cleanup *cleanup = scope->cleanups;
        scope->cleanups = cleanup->next;
        cleanup->fn(cleanup->arg);
    }
    (void)skua_shield_close(&shield);
}

int skua_scope_close(skua_scope *opaque)
{
    struct scope *scope = scope_of(opaque);
    if (scope == NULL)
        return -EINVAL;
    struct skua_task *task = body_of(&scope->frame);
    if (task == NULL)
        return -EPERM;
    int rc = join(scope);
    disarm(scope);
    if (skua_unlikely(scope->cleanups != NULL)) {
        run_cleanups(scope);
        rc = join(scope); /* they may have spawned */
    }
    if (skua_unlikely(cause_of(scope) != SKUA_SCOPE_RUNNING)) {
        lock_still(scope);
        skua_spin_unlock(&scope->lock);
        rc = outcome(scope);
    }
    pop_frame(task);
    struct skua_task *failed = scope->first_failure;
    while (skua_unlikely(failed != NULL)) {
        struct skua_task *next = atomic_load_explicit(&failed->failed_next, memory_order_relaxed);
        skua_object_unref(skua_thread_self(), failed);
        failed = next;
    }
    return rc;
}

void skua_scope_leave(skua_scope **scope)
{
    if (*scope != NULL)
        (void)skua_scope_close(*scope);
}

int skua_scope_defer(skua_scope *opaque, skua_scope_cleanup *cleanup, void (*fn)(void *arg),
                     void *arg)
{
    struct scope *scope = scope_of(opaque);
    struct skua_thread *thread = skua_thread_self();
    if (scope == NULL || cleanup == NULL || fn == NULL)
        return -EINVAL;
    if (thread == NULL || thread->task != scope->frame.task)
        return -EPERM;
    cleanup->fn = fn;
    cleanup->arg = arg;
    cleanup->next = scope->cleanups;
    scope->cleanups = cleanup;
    return 0;
}

/* ---- looking --------------------------------------------------------------------------------- */

skua_scope_cause skua_scope_cancelled(const skua_scope *scope)
{
    return scope != NULL ? (skua_scope_cause)cause_of(scope_of(scope)) : SKUA_SCOPE_RUNNING;
}

const char *skua_scope_cancelled_by(const skua_scope *scope)
{
    return scope != NULL ? atomic_load_explicit(&scope_of(scope)->by, memory_order_relaxed) : NULL;
}

bool skua_scope_next_failure(const skua_scope *opaque, skua_scope_failure *failure)
{
    if (opaque == NULL || failure == NULL)
        return false;
    struct scope *scope = scope_of(opaque);
    const struct skua_task *last = failure->next;
    skua_spin_lock(&scope->lock);
    const struct skua_task *failed =
        last == NULL ? scope->first_failure
                     : atomic_load_explicit(&((struct skua_task *)(uintptr_t)last)->failed_next,
                                            memory_order_relaxed);
    skua_spin_unlock(&scope->lock);
    if (failed == NULL)
        return false;
    failure->result = failed->future.value;
    failure->name = skua_task_given_name(failed);
    failure->site = atomic_load_explicit(&failed->site, memory_order_relaxed);
    failure->next = failed;
    return true;
}

/* ---- shields and timeouts -------------------------------------------------------------------- */

int skua_shield_open(skua_shield *shield)
{
    struct skua_thread *thread = skua_thread_self();
    if (shield == NULL)
        return -EINVAL;
    if (thread == NULL || thread->task == NULL)
        return -EPERM;
    push_frame(thread->task, (struct skua_frame *)(void *)shield, true);
    return 0;
}

int skua_shield_close(skua_shield *shield)
{
    if (shield == NULL)
        return -EINVAL;
    struct skua_task *task = body_of((struct skua_frame *)(void *)shield);
    if (task == NULL)
        return -EPERM;
    pop_frame(task);
    return 0;
}

intptr_t skua_timeout(uint64_t delay_ns, skua_fn fn, void *arg)
{
    skua_scope scope;
    if (fn == NULL)
        return -EINVAL;
    skua_scope_options options = {.deadline_ns = skua_max(skua_after(delay_ns), UINT64_C(1))};
    int rc = skua_scope_open(&scope, &options);
    if (rc < 0)
        return rc;
    intptr_t value = fn(arg);
    rc = skua_scope_close(&scope);
    return rc == -ETIMEDOUT && SKUA_IS_ERROR(value) ? -ETIMEDOUT : value;
}
