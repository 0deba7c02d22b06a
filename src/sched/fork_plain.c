/*
 * sched/fork_plain.c - skua_fork() and skua_join(): the plain form of fork and join.
 *
 * SLOT   payload: the function, its argument, the fork's site, and in debug builds the job. A thief
 *        runs run_stolen(); the result takes the function's place. So a job that is offered has
 *        nothing but its slot to remember; one that is not has a slot of its own in the job.
 *
 * ORDER  The newest job first is the fast way. A job joined out of order leaves a tombstone, a job
 *        that does nothing, so that taken slots stay without gaps (D1 in core/fork_deque.h). While
 *        there are any the deque is slow_only, and the join of the newest takes those below with
 *        it.
 *
 * MISUSE A job that is joined, or whose fork was refused, has no slot: its join is -EINVAL. So is
 *        that of a zeroed one. What was never written at all is beyond that.
 */
#include <skua/fork.h>

#include "sched/fork_impl.h"

#include "base/check.h"
#include "sched/runtime_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct job {
    struct skua_fork_slot *slot; /* NULL: not to be joined; NOT_OFFERED */
    skua_fn fn;                  /* of a job that is not offered */
    void *arg;                   /* of a job that is not offered */
    void *unused[3];
};

_Static_assert(sizeof(struct job) == sizeof(skua_job), "skua_job is its opaque storage");
_Static_assert(SKUA_DEQUE_BYTES == SKUA_FORK_DEQUE_BYTES, "what skua/fork.h masks by");

#define NOT_OFFERED ((struct skua_fork_slot *)1)

enum { PAYLOAD_FN, PAYLOAD_ARG, PAYLOAD_SITE, PAYLOAD_JOB };

/* A job in a thief's task, or on another stack. */
static void run_stolen(struct skua_fork_deque *face, struct skua_fork_slot *head, void *payload)
{
    uint64_t *words = payload;
    skua_fn fn = (skua_fn)(uintptr_t)words[PAYLOAD_FN];
    void *arg = (void *)(uintptr_t)words[PAYLOAD_ARG];
    if (skua_cancelled()) {
        words[PAYLOAD_FN] = (uint64_t)-ECANCELED;
    } else if (skua_fork_stub_of(face) != NULL) {
        words[PAYLOAD_FN] = (uint64_t)fn(arg);
    } else {
        struct skua_deque *deque = (struct skua_deque *)face;
        struct skua_deque_mode mode = skua_deque_enter(deque, head, false);
        words[PAYLOAD_FN] = (uint64_t)fn(arg);
        skua_deque_leave(deque, mode);
    }
}

static void run_tombstone(struct skua_fork_deque *face, struct skua_fork_slot *head, void *payload)
{
    (void)face;
    (void)head;
    (void)payload;
}

static bool is_tombstone(struct skua_fork_slot *slot)
{
    /* relaxed: the owner's own */
    return __atomic_load_n(&slot->fn, __ATOMIC_RELAXED) == &run_tombstone;
}

static bool is_taken(struct skua_fork_slot *slot)
{
    /* relaxed: the owner's own */
    return __atomic_load_n(&slot->fn, __ATOMIC_RELAXED) != NULL;
}

static SKUA_ALWAYS_INLINE void offer(struct skua_fork_slot *slot, struct job *job, skua_fn fn,
                                     void *arg, const char *site)
{
    job->slot = slot;
    slot->payload[PAYLOAD_FN] = (uintptr_t)fn;
    slot->payload[PAYLOAD_ARG] = (uintptr_t)arg;
    slot->payload[PAYLOAD_SITE] = (uintptr_t)site;
#ifdef SKUA_DEBUG
    slot->payload[PAYLOAD_JOB] = (uintptr_t)job;
#endif
    __atomic_store_n(&slot->fn, &run_stolen, __ATOMIC_RELEASE); /* [mark] */
}

static SKUA_NOINLINE int fork_slow(struct job *job, skua_fn fn, void *arg, const char *site)
{
    job->slot = NULL;
    if (fn == NULL)
        return -EINVAL;
    struct skua_deque *deque = skua_fork_attach(skua_thread_self());
    /* Behind typed jobs that are not offered none may be: those count on being the newest. */
    struct skua_fork_slot *head = deque != NULL ? skua_deque_head(deque) : NULL;
    if (deque == NULL || deque->aside_count != 0 || head >= &deque->slots[SKUA_DEQUE_END]) {
        job->slot = NOT_OFFERED;
        job->fn = fn;
        job->arg = arg;
        return 0;
    }
    offer(head, job, fn, arg, site);
    skua_deque_set_head(deque, head + 1);
    skua_fork_offer(&deque->face);
    return 0;
}

int skua_fork_at(skua_job *opaque, skua_fn fn, void *arg, const char *site)
{
    struct job *job = (struct job *)(void *)opaque;
    if (skua_unlikely(job == NULL))
        return -EINVAL;
    struct skua_thread *thread = skua_thread_self();
    struct skua_deque *deque = thread != NULL ? thread->deque : NULL;
    if (skua_unlikely(deque == NULL || fn == NULL))
        return fork_slow(job, fn, arg, site);
    struct skua_fork_slot *slot = deque->face.head;
    /* relaxed: advice */
    if (skua_unlikely(slot >= __atomic_load_n(&deque->face.fork_limit, __ATOMIC_RELAXED)))
        return fork_slow(job, fn, arg, site);
    offer(slot, job, fn, arg, site);
    deque->face.head = slot + 1;
    return 0;
}

/* ---- join ------------------------------------------------------------------------------------ */

/* Runs a job that nobody else can have, on another stack if need be. */
static SKUA_NOINLINE intptr_t run_here(skua_fn fn, void *arg)
{
    struct skua_thread *thread = skua_thread_self();
    if (skua_cancelled())
        return -ECANCELED;
    struct skua_deque *deque = skua_fork_attach(thread);
    if (deque == NULL || !skua_fork_stack_is_low(deque))
        return fn(arg);
    uint64_t payload[SKUA_FORK_PAYLOAD_BYTES / 8];
    payload[PAYLOAD_FN] = (uintptr_t)fn;
    payload[PAYLOAD_ARG] = (uintptr_t)arg;
    skua_fork_aside(&deque->face, skua_deque_head(deque), &run_stolen, payload);
    return (intptr_t)payload[PAYLOAD_FN];
}

/* The newest slots are tombstones: frees them. */
static SKUA_NOINLINE void pop_tombstones(struct skua_deque *deque, struct skua_fork_slot *newest)
{
    for (; is_tombstone(newest); newest--) {
        __atomic_store_n(&newest->fn, (skua_fork_entry)NULL, __ATOMIC_RELAXED);
        deque->tombstone_count--;
        if (skua_deque_take_back(deque, newest))
            continue;
        skua_fork_wait(newest); /* stolen, as a tombstone or before */
        skua_deque_settle(deque, newest);
    }
    skua_deque_set_head(deque, newest + 1);
    skua_fork_reset_slow(deque);
}

/* Joins a job that is not the newest: a tombstone takes its place. */
static SKUA_NOINLINE intptr_t join_older(struct skua_deque *deque, struct skua_fork_slot *slot)
{
    /* Not a store after taking back: a forcer may publish the job in between. */
    bool mine = skua_deque_take_older(deque, slot, &run_tombstone);
    if (!mine) {
        skua_fork_wait(slot);
        /* relaxed: stolen jobs are not published again */
        __atomic_store_n(&slot->fn, &run_tombstone, __ATOMIC_RELAXED);
    }
    skua_fn fn = (skua_fn)(uintptr_t)slot->payload[PAYLOAD_FN];
    void *arg = (void *)(uintptr_t)slot->payload[PAYLOAD_ARG];
    intptr_t value = (intptr_t)slot->payload[PAYLOAD_FN];
    deque->tombstone_count++;
    skua_deque_set_slow(deque, true);
    return mine ? run_here(fn, arg) : value;
}

/* The newest job, claimed, may be public, or work is wanted, or the task cancelled. */
static SKUA_NOINLINE intptr_t join_slow(struct skua_deque *deque, struct skua_fork_slot *slot)
{
    bool taken = skua_fork_join_newest(deque, slot);
    skua_fn fn = (skua_fn)(uintptr_t)slot->payload[PAYLOAD_FN];
    void *arg = (void *)(uintptr_t)slot->payload[PAYLOAD_ARG];
    intptr_t value = (intptr_t)slot->payload[PAYLOAD_FN];
    skua_deque_set_head(deque, slot);
    if (is_tombstone(slot - 1))
        pop_tombstones(deque, slot - 1);
    if (taken)
        return value;
    skua_fork_reset_slow(deque); /* CANCEL in fork.h */
    return run_here(fn, arg);
}

intptr_t skua_join_claimed(skua_job *opaque)
{
    struct job *job = (struct job *)(void *)opaque;
    struct skua_fork_slot *slot = job->slot;
    job->slot = NULL;
    return join_slow(skua_deque_of_slot(slot), slot);
}

intptr_t(skua_join)(skua_job *opaque)
{
    struct job *job = (struct job *)(void *)opaque;
    if (skua_unlikely(job == NULL))
        return -EINVAL;
    struct skua_fork_slot *slot = job->slot;
    job->slot = NULL;
    if (skua_unlikely((uintptr_t)slot <= (uintptr_t)NOT_OFFERED))
        return slot == NULL ? -EINVAL : run_here(job->fn, job->arg);
    struct skua_deque *deque = skua_deque_of_slot(slot);
    skua_assert(slot->payload[PAYLOAD_JOB] == (uintptr_t)job); /* not moved */
    if (skua_unlikely(is_taken(slot + 1)))
        return join_older(deque, slot);
    __atomic_store_n(&slot->fn, (skua_fork_entry)NULL, __ATOMIC_RELAXED); /* [claim] */
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    /* relaxed: [claim] */
    if (skua_unlikely(slot < __atomic_load_n(&deque->face.join_limit, __ATOMIC_RELAXED) ||
                      skua_fork_stack_is_low(deque)))
        return join_slow(deque, slot);
    skua_deque_set_head(deque, slot);
    skua_fn fn = (skua_fn)(uintptr_t)slot->payload[PAYLOAD_FN];
    return fn((void *)(uintptr_t)slot->payload[PAYLOAD_ARG]);
}

/* ---- misuse ---------------------------------------------------------------------------------- */

void skua_fork_report_unjoined(struct skua_fork_slot *slot)
{
    char what[256];
    const char *site = "a typed job";
    if (__atomic_load_n(&slot->fn, __ATOMIC_RELAXED) == &run_stolen)
        site = (const char *)(uintptr_t)slot->payload[PAYLOAD_SITE];
    (void)snprintf(what, sizeof(what), "not joined when its task ended: %s",
                   site != NULL ? site : "?");
    skua_fork_misuse(what);
}
