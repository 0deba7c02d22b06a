/*
 * sched/fork_typed.c - what the macros of skua/fork_macros.h call when the fast path is not enough.
 *
 * STACKS  Each call that the macros make looks at the stack pointer, and where less than
 *         SKUA_FORK_STACK_LEFT is left goes on on a stack of SKUA_FORK_STACK. It is a call: the
 *         caller's stack is resumed when it returns. The task has one context at any time, that of
 *         the stack it is on.
 */
#include "sched/fork.h"

#include "platform/clock.h"
#include "sched/fork_impl.h"
#include "sched/runtime_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* BACKOFF in fork.h. */
#define OFFER_WORTH_NS UINT64_C(100000)
#define PAUSE_MIN_NS 20000u
#define PAUSE_MAX_NS 10000000u

/* ---- another stack --------------------------------------------------------------------------- */

/* A call on another stack. In the frame of the caller, which waits for it. */
struct aside_call {
    struct skua_ctx caller;
    struct skua_task *host;
    struct skua_deque *deque;
    struct skua_fork_slot *head;
    skua_fork_entry entry;
    void *payload;
};

static void aside_main(void *arg)
{
    struct aside_call *call = arg;
    call->entry(&call->deque->face, call->head, call->payload);
    skua_ctx_leave(&call->host->ctx, &call->caller);
}

/*
 * Makes @call on a fresh stack. False: there is none. The host's context is that of the new stack
 * meanwhile; waits in the call suspend that one.
 */
static bool call_on_fresh_stack(struct aside_call *call)
{
    struct skua_thread *thread = skua_thread_self();
    struct skua_stack *stack = skua_stack_acquire(&thread->stacks, SKUA_FORK_STACK);
    if (stack == NULL)
        return false;
    struct skua_task *host = thread->host;
    struct skua_stack *old_stack = host->stack;
    const char *old_limit = call->deque->face.stack_limit;
    call->host = host;
    call->caller = host->ctx;
    memset(&host->ctx, 0, sizeof(host->ctx));
    skua_ctx_init(&host->ctx, skua_stack_low(stack), skua_stack_size(stack),
                  skua_stack_color(stack), aside_main, call);
    host->stack = stack;
    call->deque->face.stack_limit = skua_fork_stack_limit(host);
    skua_ctx_switch(&call->caller, &host->ctx);
    /* Back, on whatever thread. */
    skua_ctx_fini(&host->ctx);
    host->ctx = call->caller;
    host->stack = old_stack;
    call->deque->face.stack_limit = old_limit;
    thread = skua_thread_self();
    skua_stack_release(&thread->stacks, stack);
    return true;
}

static void make_call(struct skua_deque *deque, struct skua_fork_slot *head, skua_fork_entry entry,
                      void *payload)
{
    struct aside_call call = {.deque = deque, .head = head, .entry = entry, .payload = payload};
    if (!call_on_fresh_stack(&call))
        entry(&deque->face, head, payload); /* the guard page is the last resort */
}

/* ---- for the macros -------------------------------------------------------------------------- */

/* The running task's deque, attached if that is possible. */
static void ensure_attached(struct skua_deque *deque)
{
    struct skua_thread *thread = skua_thread_self();
    if (thread->deque == deque || thread->worker == NULL)
        return;
    struct skua_deque *attached = skua_fork_attach(thread);
    skua_assert(attached == deque); /* forks and joins are made by the task they belong to */
    (void)attached;
}

/* Whether a job can be offered: the deque is attached and has a place. */
static bool can_offer(struct skua_deque *deque, struct skua_fork_slot *head)
{
    return head < &deque->slots[SKUA_DEQUE_END] && skua_thread_self()->deque == deque;
}

bool skua_fork_slow(struct skua_fork_deque *face, struct skua_fork_slot *head)
{
    if (skua_fork_stub_of(face) != NULL)
        return false;
    struct skua_deque *deque = (struct skua_deque *)face;
    ensure_attached(deque);
    if (deque->aside_count == 0 && can_offer(deque, head))
        return true;
    /* Its join claims @head, which is free, and then comes to skua_join_slow(). */
    if (deque->aside_count++ == 0 && !deque->slow_only)
        skua_deque_set_slow(deque, true);
    return false;
}

void skua_fork_offer(struct skua_fork_deque *face)
{
    struct skua_deque *deque = (struct skua_deque *)face;
    struct skua_thread *thread = skua_thread_self();
    skua_deque_count_visit(deque);
    uint64_t now_ns = skua_clock_now();
    if (now_ns - deque->offered_ns < deque->offer_pause_ns)
        return; /* BACKOFF */
    uint32_t count = skua_deque_publish(deque, false, true);
    if (count == 0)
        return;
    deque->offered_ns = now_ns;
    deque->offer_woke = skua_idle_would_wake(&thread->runtime->idle);
    skua_counter_add(&thread->worker->counters.jobs_published, count);
    skua_fork_announce(thread, deque);
}

/* BACKOFF: the first job that is joined after an offer that woke a thief. */
static void judge_offer(struct skua_deque *deque)
{
    if (!deque->offer_woke)
        return;
    deque->offer_woke = false;
    uint64_t lasted_ns = skua_clock_now() - deque->offered_ns;
    uint32_t pause_ns = skua_max(2 * deque->offer_pause_ns, PAUSE_MIN_NS);
    deque->offer_pause_ns = lasted_ns < OFFER_WORTH_NS ? skua_min(pause_ns, PAUSE_MAX_NS) : 0;
}

bool skua_fork_join_newest(struct skua_deque *deque, struct skua_fork_slot *slot)
{
    struct skua_thread *thread = skua_thread_self();
    skua_deque_count_visit(deque);
    if (thread->worker != NULL &&
        skua_unlikely(atomic_load_explicit(&thread->worker->service, memory_order_relaxed)))
        skua_worker_service(thread->worker);
    ensure_attached(deque);
    if (skua_unlikely(deque->slow_only))
        skua_fork_reset_slow(deque);
    bool was_public = slot < skua_deque_first_private(deque);
    if (skua_deque_take_back(deque, slot)) {
        if (was_public)
            judge_offer(deque);
        skua_fork_announce(skua_thread_self(), deque);
        return false;
    }
    judge_offer(deque);
    skua_fork_wait(slot);
    ensure_attached(deque);
    skua_deque_settle(deque, slot);
    return true;
}

enum skua_fork_how skua_join_slow(struct skua_fork_deque *face, struct skua_fork_slot *slot)
{
    if (skua_fork_stub_of(face) != NULL)
        return SKUA_FORK_ASIDE;
    struct skua_deque *deque = (struct skua_deque *)face;
    if (deque->aside_count != 0) {
        /* The newest, which is joined here, was not offered. Slow until one is joined that was. */
        deque->aside_count--;
        return SKUA_FORK_ASIDE;
    }
    if (skua_fork_join_newest(deque, slot))
        return SKUA_FORK_TAKEN;
    return skua_fork_stack_is_low(deque) ? SKUA_FORK_FAR : SKUA_FORK_RUN;
}

void skua_fork_aside(struct skua_fork_deque *face, struct skua_fork_slot *head,
                     skua_fork_entry entry, void *payload)
{
    struct skua_deque *deque = (struct skua_deque *)face;
    if (skua_fork_stub_of(face) == NULL && skua_fork_stack_is_low(deque))
        make_call(deque, head, entry, payload);
    else
        entry(face, head, payload);
}

void skua_fork_call(skua_fork_entry entry, void *payload)
{
    struct skua_thread *thread = skua_thread_self();
    struct skua_deque *deque = skua_fork_attach(thread);
    if (deque == NULL) {
        struct skua_fork_stub stub;
        skua_fork_stub_init(&stub);
        entry(&stub.face, &stub.scratch, payload);
        return;
    }
    struct skua_fork_slot *head = skua_deque_head(deque);
    struct skua_deque_mode mode = skua_deque_enter(deque, head, true);
    if (skua_fork_stack_is_low(deque))
        make_call(deque, head, entry, payload);
    else
        entry(&deque->face, head, payload);
    skua_deque_leave(deque, mode);
}

void skua_fork_misuse(const char *what)
{
    (void)fprintf(stderr, "skua: fork and join misused: %s\n", what);
    abort();
}
