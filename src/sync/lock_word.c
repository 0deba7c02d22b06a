/*
 * sync/lock_word.c - see lock_word.h.
 */
#include "sync/lock_word.h"

/* Until whoever has woken the caller has let go of the object: L2. */
static void pass(struct skua_lock_word *lock)
{
    unsigned spins = 0;
    while (atomic_load_explicit(&lock->word, memory_order_acquire) & SKUA_WORD_LOCKED) /* PASS */
        skua_spin_wait(&spins);
}

int skua_word_park_guarded(struct skua_queue_wait *wait, struct skua_lock_word *lock,
                           const struct skua_queue_guard *guard, void *object)
{
    int rc = skua_queue_wait_park_guarded(wait, &lock->waiters, guard, object);
    if (rc == 0)
        pass(lock);
    return rc;
}

static bool lock_word(void *object)
{
    (void)skua_word_lock(object);
    return false;
}

static void unlock_word(void *object, bool token)
{
    (void)token;
    skua_word_unlock(object, skua_word_value(object));
}

int skua_word_park(struct skua_queue_wait *wait, struct skua_lock_word *lock)
{
    static const struct skua_queue_guard guard = {lock_word, unlock_word};
    return skua_word_park_guarded(wait, lock, &guard, lock);
}
