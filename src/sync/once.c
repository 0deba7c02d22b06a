/*
 * sync/once.c - one call that succeeds.
 *
 * STATE  The value of the lock word, changed under the lock only:
 *
 *          0 -> RUNNING         the first one comes
 *          RUNNING -> DONE      its call has succeeded: everybody goes
 *          RUNNING -> 0         it has failed, and nobody waits
 *          RUNNING -> RUNNING   it has failed: the call is handed to the first waiter
 *
 * INVARIANTS
 *   O1  In RUNNING there is exactly one caller whose call it is. Waiters exist in RUNNING only.
 *   O2  result is written by that caller, before DONE, and not after.
 *   O3  A call that is handed over is the waiter's to make, whatever else ends its wait. So a
 *       waiter that gives up has no call to pass on, and lets nobody go.
 *
 * ORDERING
 *   SEE    the load that finds DONE, acquire, partner UNLOCK: result, and what the call has done,
 *          are visible. A waiter sees them by the resolve of its wait (RESOLVE in sched/agent.h).
 *   LOCK, UNLOCK and PASS are lock_word.h's.
 *
 * COST   Once it is done, one load.
 */
#include "sync/lock_word.h"

#include <skua/once.h>

#include <errno.h>

#define RUNNING SKUA_WORD_ONE
#define DONE (SKUA_WORD_ONE << 1)

/* What a waiter is told. */
enum { TOLD_DONE, TOLD_TO_CALL };

struct once {
    struct skua_lock_word lock;
    intptr_t result; /* O2 */
};

_Static_assert(sizeof(struct once) <= sizeof(skua_once), "skua_once is its opaque storage");

static SKUA_ALWAYS_INLINE bool is_done(const struct once *once)
{
    return atomic_load_explicit(&((struct once *)(uintptr_t)once)->lock.word,
                                memory_order_acquire) & /* SEE */
           DONE;
}

/* TOLD_DONE; TOLD_TO_CALL: the call is the caller's to make; or an error. */
static int claim(struct once *once, uint64_t deadline_ns)
{
    struct skua_queue_wait wait;
    int begun = skua_queue_wait_begin(&wait, SKUA_WAIT_ONCE, false, deadline_ns);
    if (begun == -ECHILD)
        return begun;
    uint64_t value = skua_word_lock(&once->lock);
    bool waits = value == RUNNING;
    if (waits && begun == 0)
        skua_wait_queue_add(&once->lock.waiters, &wait.node);
    skua_word_unlock(&once->lock, value == 0 ? RUNNING : value);
    if (!waits && begun == 0)
        skua_queue_wait_abandon(&wait);
    if (!waits)
        return value == DONE ? TOLD_DONE : TOLD_TO_CALL;
    int rc = begun < 0 ? begun : skua_word_park(&wait, &once->lock);
    return rc < 0 ? rc : (int)wait.node.value;
}

/* The caller's call has returned. */
static void finish(struct once *once, intptr_t result)
{
    struct skua_wakes wakes;
    skua_wakes_init(&wakes);
    uint64_t value = skua_word_lock(&once->lock);
    skua_assert(value == RUNNING); /* O1 */
    if (!SKUA_IS_ERROR(result)) {
        once->result = result;
        value = DONE;
        skua_word_wake_all(&once->lock, TOLD_DONE, &wakes);
    } else {
        struct skua_queued *heir = skua_wait_queue_pop(&once->lock.waiters);
        if (heir == NULL)
            value = 0;
        else {
            heir->value = TOLD_TO_CALL;
            skua_queued_wake(heir, &wakes);
        }
    }
    skua_word_unlock(&once->lock, value);
    skua_wakes_flush(&wakes);
}

static SKUA_NOINLINE intptr_t call_slow(struct once *once, skua_fn fn, void *arg,
                                        uint64_t deadline_ns)
{
    int told = claim(once, deadline_ns);
    if (told < 0)
        return told;
    if (told == TOLD_DONE)
        return once->result;
    intptr_t result = fn(arg);
    finish(once, result);
    return result;
}

static SKUA_ALWAYS_INLINE intptr_t call_until(skua_once *opaque, skua_fn fn, void *arg,
                                              uint64_t deadline_ns)
{
    skua_vthread_point();
    struct once *once = (struct once *)(void *)opaque;
    if (skua_unlikely(once == NULL || fn == NULL))
        return -EINVAL;
    return skua_likely(is_done(once)) ? once->result : call_slow(once, fn, arg, deadline_ns);
}

intptr_t skua_once_call(skua_once *opaque, skua_fn fn, void *arg)
{
    return call_until(opaque, fn, arg, SKUA_FOREVER);
}

intptr_t skua_once_call_until(skua_once *opaque, skua_fn fn, void *arg, uint64_t deadline_ns)
{
    return call_until(opaque, fn, arg, deadline_ns);
}

bool skua_once_done(const skua_once *opaque)
{
    return opaque != NULL && is_done((const struct once *)(const void *)opaque);
}
