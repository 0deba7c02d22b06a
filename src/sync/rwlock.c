/*
 * sync/rwlock.c - many readers or one writer, in order.
 *
 * STATE  The value of the lock word is WRITER, or the number of readers times READER.
 *
 *          n -> n + 1 readers       a reader, CAS from a word without WRITER that is not BUSY
 *          n -> n - 1 readers       a reader, CAS; the last one only if nobody waits
 *          0 -> WRITER              a writer, CAS from 0
 *          WRITER -> 0              the writer, CAS, if nobody waits
 *          anything else            under the lock, which is released by settle(): it lets those go
 *                                   at the head of the queue for whom there is room
 *
 * INVARIANTS
 *   R1  There is a writer or there are readers, not both, and one writer at most.
 *   R2  There is no room for the first one that waits. Newcomers who would have to overtake it to
 *       get the lock queue up behind it.
 *   R3  A lock that is handed over is counted in the value from then on, so that nobody can come
 *       between.
 *   R4  node.value is MODE_READ or MODE_WRITE, constant while the waiter is queued.
 *   A writer that gives up may have been what readers behind it waited for, so a waiter that leaves
 *   releases the lock by settle() as well: R2.
 *
 * ORDERING
 *   TAKE   the compare-and-swap of a read lock or a write lock, acquire, partners GIVE and UNLOCK:
 *          a reader sees what the writers before it have written, a writer also that the readers
 *          have read.
 *   GIVE   the compare-and-swap of either unlock, release, partners TAKE and LOCK. Each reader
 *          continues the release of those who left before it. What is handed over is ordered by
 *          the lock and the resolve of the waiter (RESOLVE in sched/agent.h).
 *   LOCK, UNLOCK and PASS are lock_word.h's.
 *
 * COST   Uncontended, two compare-and-swaps for reading and for writing.
 */
#include "sync/lock_word.h"

#include <skua/rwlock.h>

#include <errno.h>

#define WRITER SKUA_WORD_ONE
#define READER (SKUA_WORD_ONE << 1)

enum { MODE_READ, MODE_WRITE };

struct rwlock {
    struct skua_lock_word lock;
};

_Static_assert(sizeof(struct rwlock) == sizeof(skua_rwlock), "skua_rwlock is its opaque storage");

static struct rwlock *rwlock_of(skua_rwlock *opaque)
{
    return (struct rwlock *)(void *)opaque;
}

/* Whether there is room beside those who hold the lock. */
static SKUA_ALWAYS_INLINE bool has_room(uint64_t value, intptr_t mode)
{
    return mode == MODE_READ ? !(value & WRITER) : value == 0;
}

static SKUA_ALWAYS_INLINE uint64_t share_of(intptr_t mode)
{
    return mode == MODE_READ ? READER : WRITER;
}

/* Takes the lock: 0. -EAGAIN: one has to wait. -EBUSY: only who locks the word can tell. */
static SKUA_ALWAYS_INLINE int try_take(struct rwlock *rwlock, intptr_t mode)
{
    skua_vthread_point();
    /* relaxed: the compare-and-swap verifies */
    uint64_t word = atomic_load_explicit(&rwlock->lock.word, memory_order_relaxed);
    while (!(word & SKUA_WORD_BUSY) && has_room(word, mode)) {
        /* TAKE. relaxed on failure: nothing is read */
        if (skua_likely(atomic_compare_exchange_weak_explicit(
                &rwlock->lock.word, &word, word + share_of(mode), memory_order_acquire,
                memory_order_relaxed)))
            return 0;
    }
    return word & SKUA_WORD_LOCKED ? -EBUSY : -EAGAIN; /* R2 */
}

/* Releases the lock of the word with @value, and those for whom there is room. */
static void settle(struct rwlock *rwlock, uint64_t value)
{
    struct skua_wait_queue *waiters = &rwlock->lock.waiters;
    struct skua_wakes wakes;
    skua_wakes_init(&wakes);
    while (!skua_wait_queue_empty(waiters) && has_room(value, waiters->first->value)) {
        struct skua_queued *heir = skua_wait_queue_pop(waiters);
        value += share_of(heir->value); /* R3 */
        skua_queued_wake(heir, &wakes);
    }
    skua_assert(!(value & WRITER) || value == WRITER); /* R1 */
    skua_word_unlock(&rwlock->lock, value);
    skua_wakes_flush(&wakes);
}

static bool guard_lock(void *rwlock)
{
    (void)skua_word_lock(&((struct rwlock *)rwlock)->lock);
    return false;
}

static void guard_unlock(void *rwlock, bool token)
{
    (void)token;
    settle(rwlock, skua_word_value(&((struct rwlock *)rwlock)->lock));
}

static SKUA_NOINLINE int lock_slow(struct rwlock *rwlock, intptr_t mode, uint64_t deadline_ns)
{
    static const struct skua_queue_guard guard = {guard_lock, guard_unlock};
    struct skua_queue_wait wait;
    int begun = skua_queue_wait_begin(&wait, SKUA_WAIT_RWLOCK, false, deadline_ns);
    if (begun == -ECHILD)
        return begun;
    wait.node.value = mode;
    uint64_t value = skua_word_lock(&rwlock->lock);
    bool mine = skua_wait_queue_empty(&rwlock->lock.waiters) && has_room(value, mode);
    if (mine)
        value += share_of(mode);
    else if (begun == 0)
        skua_wait_queue_add(&rwlock->lock.waiters, &wait.node);
    skua_word_unlock(&rwlock->lock, value); /* R2 holds: settle() would find nobody */
    if (mine && begun == 0)
        skua_queue_wait_abandon(&wait);
    if (mine)
        return 0;
    return begun < 0 ? begun : skua_word_park_guarded(&wait, &rwlock->lock, &guard, rwlock);
}

static SKUA_ALWAYS_INLINE int lock_until(struct rwlock *rwlock, intptr_t mode, uint64_t deadline_ns)
{
    if (skua_unlikely(rwlock == NULL))
        return -EINVAL;
    return skua_likely(try_take(rwlock, mode) == 0) ? 0 : lock_slow(rwlock, mode, deadline_ns);
}

static int try_lock(struct rwlock *rwlock, intptr_t mode)
{
    if (skua_unlikely(rwlock == NULL))
        return -EINVAL;
    int rc = try_take(rwlock, mode);
    if (skua_likely(rc == 0))
        return 0;
    if (rc == -EAGAIN)
        return -EBUSY;
    uint64_t value = skua_word_lock(&rwlock->lock);
    bool mine = skua_wait_queue_empty(&rwlock->lock.waiters) && has_room(value, mode);
    skua_word_unlock(&rwlock->lock, mine ? value + share_of(mode) : value);
    return mine ? 0 : -EBUSY;
}

static SKUA_ALWAYS_INLINE bool is_held(uint64_t value, intptr_t mode)
{
    return mode == MODE_READ ? value >= READER : (value & WRITER) != 0;
}

/* Somebody may have to be let go, or has the lock of the word. */
static SKUA_NOINLINE int unlock_slow(struct rwlock *rwlock, intptr_t mode)
{
    uint64_t value = skua_word_lock(&rwlock->lock);
    bool held = is_held(value, mode);
    settle(rwlock, held ? value - share_of(mode) : value);
    return held ? 0 : -EPERM;
}

static SKUA_ALWAYS_INLINE int unlock(struct rwlock *rwlock, intptr_t mode)
{
    skua_vthread_point();
    if (skua_unlikely(rwlock == NULL))
        return -EINVAL;
    /* relaxed: the compare-and-swap verifies */
    uint64_t word = atomic_load_explicit(&rwlock->lock.word, memory_order_relaxed);
    while (skua_likely(!(word & SKUA_WORD_LOCKED) && is_held(word, mode))) {
        uint64_t next = word - share_of(mode);
        if (next == SKUA_WORD_WAITED) /* free, and somebody waits */
            break;
        /* GIVE. relaxed on failure: nothing is read */
        if (skua_likely(atomic_compare_exchange_weak_explicit(
                &rwlock->lock.word, &word, next, memory_order_release, memory_order_relaxed)))
            return 0;
    }
    return unlock_slow(rwlock, mode);
}

int skua_rwlock_read_lock(skua_rwlock *opaque)
{
    return lock_until(rwlock_of(opaque), MODE_READ, SKUA_FOREVER);
}

int skua_rwlock_read_lock_until(skua_rwlock *opaque, uint64_t deadline_ns)
{
    return lock_until(rwlock_of(opaque), MODE_READ, deadline_ns);
}

int skua_rwlock_try_read_lock(skua_rwlock *opaque)
{
    return try_lock(rwlock_of(opaque), MODE_READ);
}

int skua_rwlock_read_unlock(skua_rwlock *opaque)
{
    return unlock(rwlock_of(opaque), MODE_READ);
}

int skua_rwlock_write_lock(skua_rwlock *opaque)
{
    return lock_until(rwlock_of(opaque), MODE_WRITE, SKUA_FOREVER);
}

int skua_rwlock_write_lock_until(skua_rwlock *opaque, uint64_t deadline_ns)
{
    return lock_until(rwlock_of(opaque), MODE_WRITE, deadline_ns);
}

int skua_rwlock_try_write_lock(skua_rwlock *opaque)
{
    return try_lock(rwlock_of(opaque), MODE_WRITE);
}

int skua_rwlock_write_unlock(skua_rwlock *opaque)
{
    return unlock(rwlock_of(opaque), MODE_WRITE);
}
