/*
 * sync/event.c - a flag and those who wait for it.
 *
 * STATE  The value of the lock word is 0 or SET.
 *
 *          0 -> SET, SET -> SET   a set while nobody waits, CAS
 *          0 | WAITED -> SET      a set that lets everybody go, under the lock
 *          SET -> 0               a clear, CAS, or under the lock
 *
 * INVARIANTS
 *   E1  Nobody waits while the event is set. So nobody who gives up lets another one go.
 *   E2  SET appears with the last touch of the set (L2 in lock_word.h).
 *
 * ORDERING
 *   SET    the compare-and-swap of a set, release, partners SEE, CLEAR and LOCK: what was done
 *          before the set is visible after. It writes also if the event is set already. If it did
 *          not, this would lose a wake-up: one side stores a message and sets the event, the other
 *          one clears it, finds no message, and waits. The clear might come after the set in the
 *          order of the word, the look before the store in that of the message. As it is, a clear
 *          that comes after a set acquires it, and the message is seen.
 *   SEE    the load of a wait or an is_set, acquire, partners SET and UNLOCK.
 *   CLEAR  the compare-and-swap of a clear, acquire, partners SET and UNLOCK; see SET.
 *   LOCK, UNLOCK and PASS are lock_word.h's.
 */
#include "sync/lock_word.h"

#include <skua/event.h>

#include <errno.h>

#define SET SKUA_WORD_ONE

struct event {
    struct skua_lock_word lock;
};

_Static_assert(sizeof(struct event) == sizeof(skua_event), "skua_event is its opaque storage");

static struct event *event_of(skua_event *opaque)
{
    return (struct event *)(void *)opaque;
}

static SKUA_ALWAYS_INLINE bool is_set(const struct event *event)
{
    return atomic_load_explicit(&((struct event *)(uintptr_t)event)->lock.word,
                                memory_order_acquire) & /* SEE */
           SET;
}

static SKUA_NOINLINE int wait_slow(struct event *event, uint64_t deadline_ns)
{
    struct skua_queue_wait wait;
    int begun = skua_queue_wait_begin(&wait, SKUA_WAIT_EVENT, false, deadline_ns);
    if (begun == -ECHILD)
        return begun;
    uint64_t value = skua_word_lock(&event->lock);
    if (value != SET && begun == 0)
        skua_wait_queue_add(&event->lock.waiters, &wait.node);
    skua_word_unlock(&event->lock, value);
    if (value == SET && begun == 0)
        skua_queue_wait_abandon(&wait);
    if (value == SET)
        return 0;
    return begun < 0 ? begun : skua_word_park(&wait, &event->lock);
}

/* Somebody waits, or has the lock. */
static SKUA_NOINLINE void set_slow(struct event *event)
{
    struct skua_wakes wakes;
    skua_wakes_init(&wakes);
    (void)skua_word_lock(&event->lock);
    skua_word_wake_all(&event->lock, 0, &wakes);
    skua_word_unlock(&event->lock, SET);
    skua_wakes_flush(&wakes);
}

int skua_event_set(skua_event *opaque)
{
    skua_vthread_point();
    struct event *event = event_of(opaque);
    if (event == NULL)
        return -EINVAL;
    /* relaxed: the compare-and-swap verifies */
    uint64_t word = atomic_load_explicit(&event->lock.word, memory_order_relaxed);
    while (!(word & SKUA_WORD_BUSY)) {
        /* SET. relaxed on failure: nothing is read */
        if (atomic_compare_exchange_weak_explicit(&event->lock.word, &word, SET,
                                                  memory_order_release, memory_order_relaxed))
            return 0;
    }
    set_slow(event);
    return 0;
}

int skua_event_clear(skua_event *opaque)
{
    skua_vthread_point();
    struct event *event = event_of(opaque);
    if (event == NULL)
        return -EINVAL;
    /* relaxed: the compare-and-swap verifies; what is not set has nothing to make visible */
    uint64_t word = atomic_load_explicit(&event->lock.word, memory_order_relaxed);
    while (!(word & SKUA_WORD_LOCKED)) {
        if (!(word & SET))
            return 0;
        /* CLEAR. relaxed on failure: nothing is read */
        if (atomic_compare_exchange_weak_explicit(&event->lock.word, &word, 0, memory_order_acquire,
                                                  memory_order_relaxed))
            return 0;
    }
    (void)skua_word_lock(&event->lock);
    skua_word_unlock(&event->lock, 0);
    return 0;
}

bool skua_event_is_set(const skua_event *opaque)
{
    return opaque != NULL && is_set((const struct event *)(const void *)opaque);
}

static SKUA_ALWAYS_INLINE int wait_until(skua_event *opaque, uint64_t deadline_ns)
{
    skua_vthread_point();
    struct event *event = event_of(opaque);
    if (skua_unlikely(event == NULL))
        return -EINVAL;
    return skua_likely(is_set(event)) ? 0 : wait_slow(event, deadline_ns);
}

int skua_event_wait(skua_event *opaque)
{
    return wait_until(opaque, SKUA_FOREVER);
}

int skua_event_wait_until(skua_event *opaque, uint64_t deadline_ns)
{
    return wait_until(opaque, deadline_ns);
}
