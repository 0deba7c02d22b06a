/*
 * sync/wait_group.c - wait groups and latches: a count, and those who wait until it is zero.
 *
 * STATE  The value of the lock word is the count.
 *
 *          n -> m              m not 0, or nobody waits: CAS, WAITED staying as it is
 *          n | WAITED -> 0     under the lock: everybody goes
 *
 * INVARIANTS
 *   G1  Nobody waits while the count is zero. So nobody who gives up lets another one go.
 *   G2  A count of zero appears with the last touch of the call that has counted down to it (L2 in
 *       lock_word.h).
 *
 * ORDERING
 *   DONE   the compare-and-swap of an add, release, partners SEE and LOCK: what was done before any
 *          of the decrements is visible when the count is seen to be zero. Each continues the
 *          release of those before it.
 *   SEE    the load of a wait, acquire, partners DONE and UNLOCK.
 *   LOCK, UNLOCK and PASS are lock_word.h's.
 *
 * A latch is a group that is counted down only.
 */
#include "sync/lock_word.h"

#include <skua/wait_group.h>

#include <errno.h>

#define COUNT_END (UINT64_C(1) << 61)

struct group {
    struct skua_lock_word lock;
};

_Static_assert(sizeof(struct group) == sizeof(skua_wait_group), "its opaque storage");
_Static_assert(sizeof(struct group) == sizeof(skua_latch), "its opaque storage");
_Static_assert(SKUA_WORD_SHIFT == 2, "SKUA_LATCH_INIT knows the place of the value");

static struct group *group_of(skua_wait_group *opaque)
{
    return (struct group *)(void *)opaque;
}

static struct group *latch_of(skua_latch *opaque)
{
    return (struct group *)(void *)opaque;
}

/* The value after @value that counts @delta more. 0, or an error. */
static int add_to(uint64_t value, int64_t delta, uint64_t *next)
{
    uint64_t count = value >> SKUA_WORD_SHIFT;
    uint64_t sum = count + (uint64_t)delta; /* wraps round as it should */
    if (delta < 0 && sum > count)
        return -EINVAL;
    if (delta > 0 && sum >= COUNT_END)
        return -EOVERFLOW;
    *next = sum << SKUA_WORD_SHIFT;
    return 0;
}

/* The count reaches zero and somebody waits, or somebody has the lock. */
static SKUA_NOINLINE int add_slow(struct group *group, int64_t delta)
{
    struct skua_wakes wakes;
    skua_wakes_init(&wakes);
    uint64_t value = skua_word_lock(&group->lock);
    int rc = add_to(value, delta, &value);
    if (value == 0)
        skua_word_wake_all(&group->lock, 0, &wakes);
    skua_word_unlock(&group->lock, value);
    skua_wakes_flush(&wakes);
    return rc;
}

static int add(struct group *group, int64_t delta)
{
    if (group == NULL)
        return -EINVAL;
    /* relaxed: the compare-and-swap verifies */
    uint64_t word = atomic_load_explicit(&group->lock.word, memory_order_relaxed);
    while (!(word & SKUA_WORD_LOCKED)) {
        uint64_t waited = word & SKUA_WORD_WAITED;
        uint64_t next;
        int rc = add_to(word, delta, &next);
        if (rc < 0)
            return rc;
        if (next == 0 && waited != 0)
            break;
        /* DONE. relaxed on failure: nothing is read */
        if (atomic_compare_exchange_weak_explicit(&group->lock.word, &word, next | waited,
                                                  memory_order_release, memory_order_relaxed))
            return 0;
    }
    return add_slow(group, delta);
}

static SKUA_ALWAYS_INLINE bool is_zero(struct group *group)
{
    return atomic_load_explicit(&group->lock.word, memory_order_acquire) == 0; /* SEE */
}

static SKUA_NOINLINE int wait_slow(struct group *group, uint64_t deadline_ns)
{
    struct skua_queue_wait wait;
    int begun = skua_queue_wait_begin(&wait, SKUA_WAIT_GROUP, false, deadline_ns);
    if (begun == -ECHILD)
        return begun;
    uint64_t value = skua_word_lock(&group->lock);
    if (value != 0 && begun == 0)
        skua_wait_queue_add(&group->lock.waiters, &wait.node);
    skua_word_unlock(&group->lock, value);
    if (value == 0 && begun == 0)
        skua_queue_wait_abandon(&wait);
    if (value == 0)
        return 0;
    return begun < 0 ? begun : skua_word_park(&wait, &group->lock);
}

static int wait_until(struct group *group, uint64_t deadline_ns)
{
    if (group == NULL)
        return -EINVAL;
    return is_zero(group) ? 0 : wait_slow(group, deadline_ns);
}

static int try_wait(struct group *group)
{
    if (group == NULL)
        return -EINVAL;
    if (is_zero(group))
        return 0;
    /* One that is zero, but locked for a moment, must not look as if it were not. */
    uint64_t value = skua_word_lock(&group->lock);
    skua_word_unlock(&group->lock, value);
    return value == 0 ? 0 : -EAGAIN;
}

int skua_wait_group_add(skua_wait_group *opaque, int64_t delta)
{
    skua_vthread_point();
    return add(group_of(opaque), delta);
}

int skua_wait_group_done(skua_wait_group *opaque)
{
    return add(group_of(opaque), -1);
}

int skua_wait_group_wait(skua_wait_group *opaque)
{
    return wait_until(group_of(opaque), SKUA_FOREVER);
}

int skua_wait_group_wait_until(skua_wait_group *opaque, uint64_t deadline_ns)
{
    return wait_until(group_of(opaque), deadline_ns);
}

int skua_wait_group_try_wait(skua_wait_group *opaque)
{
    return try_wait(group_of(opaque));
}

int skua_latch_count_down(skua_latch *opaque, uint64_t count)
{
    skua_vthread_point();
    return count < COUNT_END ? add(latch_of(opaque), -(int64_t)count) : -EINVAL;
}

int skua_latch_wait(skua_latch *opaque)
{
    return wait_until(latch_of(opaque), SKUA_FOREVER);
}

int skua_latch_wait_until(skua_latch *opaque, uint64_t deadline_ns)
{
    return wait_until(latch_of(opaque), deadline_ns);
}

int skua_latch_try_wait(skua_latch *opaque)
{
    return try_wait(latch_of(opaque));
}

int skua_latch_arrive_and_wait(skua_latch *opaque)
{
    int rc = skua_latch_count_down(opaque, 1);
    return rc < 0 ? rc : skua_latch_wait(opaque);
}
