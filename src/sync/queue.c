/*
 * sync/queue.c - queues of work, with a count of what is not done.
 *
 * WHAT   A store of items (queue_store.h) and three queues of waiters, under one lock
 *        (core/biased_lock.h: both ends of a queue often run on one worker).
 *
 *        Who waits to put or to get takes turns (turns.h). Who joins waits for a moment when
 *        nothing is undone, and that is told to all of them at that moment.
 *
 * INVARIANTS, whenever the lock is free
 *   R1, R2 of turns.h.
 *   U3  Nobody waits to put once it is shut down, nor to get.
 *   U4  undone >= count of items; nobody joins while it is zero.
 *
 * node.value becomes -EPIPE by a shutdown, which gives all getters a turn at once: none of them
 * waits again, so it does not matter who is waking.
 */
#include "base/alloc.h"
#include "sync/queue_store.h"

#include "platform/membarrier.h"
#include "sync/turns.h"

#include <errno.h>
#include <stdlib.h>

#define SLOTS_FIRST 16u

/* What has been done about a shutdown; it only grows. */
enum shut { SHUT_NOT = 0, SHUT_DRAINING, SHUT_DROPPED };

struct skua_queue {
    struct skua_biased_lock lock;
    enum shut shut; /* this and all below: guarded by lock, but for what is constant */
    bool bounded;   /* constant: then the store has as many slots as it may have items */
    uint64_t undone;
    struct skua_queue_store store;
    struct skua_turns turns; /* getters take, putters give */
    struct skua_wait_queue joiners;
    void (*barrier)(void); /* constant; see biased_lock.h */
    _Atomic uint32_t refs;
};

/* No error that is seen outside: the store must grow first. */
#define NEEDS_ROOM (-ENOBUFS)

static SKUA_ALWAYS_INLINE bool lock(struct skua_queue *queue)
{
    return skua_turns_lock(&queue->lock, queue->barrier);
}

static SKUA_ALWAYS_INLINE void unlock(struct skua_queue *queue, bool biased)
{
    skua_assert(queue->undone >= queue->store.count); /* U4 */
    skua_biased_unlock(&queue->lock, biased);
}

/* ---- under the lock -------------------------------------------------------------------------- */

static SKUA_ALWAYS_INLINE void put(struct skua_queue *queue, const void *item)
{
    skua_queue_store_put(&queue->store, item);
    queue->undone++;
}

/* R1 */
static void serve_getters(struct skua_queue *queue, struct skua_wakes *wakes)
{
    struct skua_queued *waiter;
    bool handed;
    while (queue->store.count != 0 &&
           (waiter = skua_turns_next(&queue->turns, SKUA_TAKE, &handed)) != NULL) {
        if (handed)
            skua_queue_store_take(&queue->store, waiter->item);
        skua_queued_wake(waiter, wakes);
    }
}

/* R2. True if anybody's item has been taken. */
static bool serve_putters(struct skua_queue *queue, struct skua_wakes *wakes)
{
    struct skua_queued *waiter;
    bool handed = false, any = false;
    while (queue->store.count != queue->store.slots &&
           (waiter = skua_turns_next(&queue->turns, SKUA_GIVE, &handed)) != NULL) {
        if (handed)
            put(queue, waiter->item);
        any |= handed;
        skua_queued_wake(waiter, wakes);
    }
    return any;
}

/* A putter that is served brings an item, a getter makes room: again, until neither helps. */
static void serve_all(struct skua_queue *queue, struct skua_wakes *wakes)
{
    do
        serve_getters(queue, wakes);
    while (serve_putters(queue, wakes));
}

/* All who wait in @waiters go on, with @value. */
static void release(struct skua_wait_queue *waiters, intptr_t value, struct skua_wakes *wakes)
{
    struct skua_queued *waiter;
    while ((waiter = skua_wait_queue_pop(waiters)) != NULL) {
        waiter->value = value;
        skua_queued_wake(waiter, wakes);
    }
}

/* @count items are not undone any more. */
static void count_done(struct skua_queue *queue, uint64_t count, struct skua_wakes *wakes)
{
    queue->undone -= count;
    if (queue->undone == 0)
        release(&queue->joiners, 0, wakes); /* U4 */
}

static int try_put(struct skua_queue *queue, const void *item)
{
    if (queue->shut != SHUT_NOT)
        return -EPIPE;
    if (queue->store.count == queue->store.slots)
        return queue->bounded ? -EAGAIN : NEEDS_ROOM;
    put(queue, item);
    return 0;
}

static int try_get(struct skua_queue *queue, void *item)
{
    if (queue->store.count == 0)
        return queue->shut != SHUT_NOT ? -EPIPE : -EAGAIN;
    skua_queue_store_take(&queue->store, item);
    return 0;
}

/* ---- putting and getting --------------------------------------------------------------------- */

static bool guard_lock(void *queue)
{
    return lock(queue);
}

static void guard_unlock(void *queue, bool biased)
{
    unlock(queue, biased);
}

/* Makes room in a store that was full when it had @slots slots. 0, -ENOMEM. */
static SKUA_NOINLINE int grow(struct skua_queue *queue, size_t slots)
{
    size_t more = slots != 0 ? 2 * slots : SLOTS_FIRST;
    void *memory = more > slots ? skua_queue_store_alloc(&queue->store, more) : NULL;
    if (memory == NULL)
        return -ENOMEM;
    bool biased = lock(queue);
    if (queue->store.slots == slots) /* else somebody else has */
        memory = skua_queue_store_move(&queue->store, memory, more);
    unlock(queue, biased);
    free(memory);
    return 0;
}

/* Tries once, and if that does not work queues up with @node, unless it is NULL. */
static int attempt_once(struct skua_turn *turn, struct skua_queued *node, size_t *slots)
{
    struct skua_queue *queue = turn->object;
    struct skua_wakes wakes;
    skua_wakes_init(&wakes);
    bool biased = lock(queue);
    skua_turns_arrive(&queue->turns, turn);
    int rc = turn->side == SKUA_GIVE ? try_put(queue, turn->item) : try_get(queue, turn->item);
    if (rc == -EAGAIN && node != NULL)
        skua_turns_wait(&queue->turns, turn, node);
    serve_all(queue, &wakes);
    *slots = queue->store.slots;
    unlock(queue, biased);
    skua_wakes_flush(&wakes);
    return rc;
}

static int attempt(struct skua_turn *turn, struct skua_queued *node)
{
    for (;;) {
        size_t slots;
        int rc = attempt_once(turn, node, &slots);
        if (skua_likely(rc != NEEDS_ROOM))
            return rc;
        rc = grow(turn->object, slots);
        if (rc < 0)
            return rc;
    }
}

static const struct skua_turns_owner owner = {{guard_lock, guard_unlock}, SKUA_WAIT_QUEUE, attempt};

/* A put or a get that has to wait, or so it seemed. */
static SKUA_NOINLINE int wait_at(struct skua_queue *queue, enum skua_side side, void *item,
                                 uint64_t deadline_ns)
{
    struct skua_turn turn = {.object = queue, .item = item, .side = side};
    return skua_turns_take_part(&owner, &queue->turns, &turn, deadline_ns);
}

/* Somebody waits at the queue, or nothing goes. */
static SKUA_NOINLINE int try_slow(struct skua_queue *queue, enum skua_side side, void *item)
{
    struct skua_turn turn = {.object = queue, .item = item, .side = side};
    return attempt(&turn, NULL);
}

static SKUA_ALWAYS_INLINE bool is_bad(const struct skua_queue *queue, const void *item)
{
    return queue == NULL || (item == NULL && queue->store.item_size != 0);
}

static SKUA_ALWAYS_INLINE int put_now(struct skua_queue *queue, const void *item)
{
    bool biased = lock(queue);
    bool easy = queue->store.count != queue->store.slots && queue->shut == SHUT_NOT &&
                skua_turns_quiet(&queue->turns);
    if (skua_likely(easy))
        put(queue, item);
    unlock(queue, biased);
    return skua_likely(easy) ? 0 : try_slow(queue, SKUA_GIVE, (void *)(uintptr_t)item);
}

static SKUA_ALWAYS_INLINE int get_now(struct skua_queue *queue, void *item)
{
    bool biased = lock(queue);
    bool easy = queue->store.count != 0 && skua_turns_quiet(&queue->turns);
    if (skua_likely(easy))
        skua_queue_store_take(&queue->store, item);
    unlock(queue, biased);
    return skua_likely(easy) ? 0 : try_slow(queue, SKUA_TAKE, item);
}

int skua_queue_put_until(skua_queue *queue, const void *item, uint64_t deadline_ns)
{
    if (skua_unlikely(is_bad(queue, item)))
        return -EINVAL;
    int rc = put_now(queue, item);
    if (skua_likely(rc != -EAGAIN))
        return rc;
    return wait_at(queue, SKUA_GIVE, (void *)(uintptr_t)item, deadline_ns); /* only read from */
}

int skua_queue_put(skua_queue *queue, const void *item)
{
    return skua_queue_put_until(queue, item, SKUA_FOREVER);
}

int skua_queue_try_put(skua_queue *queue, const void *item)
{
    return skua_unlikely(is_bad(queue, item)) ? -EINVAL : put_now(queue, item);
}

int skua_queue_get_until(skua_queue *queue, void *item, uint64_t deadline_ns)
{
    if (skua_unlikely(is_bad(queue, item)))
        return -EINVAL;
    int rc = get_now(queue, item);
    return skua_likely(rc != -EAGAIN) ? rc : wait_at(queue, SKUA_TAKE, item, deadline_ns);
}

int skua_queue_get(skua_queue *queue, void *item)
{
    return skua_queue_get_until(queue, item, SKUA_FOREVER);
}

int skua_queue_try_get(skua_queue *queue, void *item)
{
    return skua_unlikely(is_bad(queue, item)) ? -EINVAL : get_now(queue, item);
}

size_t skua_queue_count(const skua_queue *opaque)
{
    skua_queue *queue = (skua_queue *)(uintptr_t)opaque;
    if (queue == NULL)
        return 0;
    bool biased = lock(queue);
    size_t count = queue->store.count;
    unlock(queue, biased);
    return count;
}

/* ---- what is done ---------------------------------------------------------------------------- */

int skua_queue_task_done(skua_queue *queue)
{
    if (queue == NULL)
        return -EINVAL;
    struct skua_wakes wakes;
    skua_wakes_init(&wakes);
    bool biased = lock(queue);
    bool too_many = queue->undone == queue->store.count; /* what is in it has not even been got */
    if (!too_many)
        count_done(queue, 1, &wakes);
    unlock(queue, biased);
    skua_wakes_flush(&wakes);
    return too_many ? -EINVAL : 0;
}

int skua_queue_join_until(skua_queue *queue, uint64_t deadline_ns)
{
    if (queue == NULL)
        return -EINVAL;
    struct skua_queue_wait wait;
    int begun = skua_queue_wait_begin(&wait, SKUA_WAIT_QUEUE, false, deadline_ns);
    if (begun == -ECHILD)
        return begun;
    bool biased = lock(queue);
    bool done = queue->undone == 0;
    if (!done && begun == 0)
        skua_wait_queue_add(&queue->joiners, &wait.node);
    unlock(queue, biased);
    if (done && begun == 0)
        skua_queue_wait_abandon(&wait);
    if (done)
        return 0;
    return begun < 0 ? begun
                     : skua_queue_wait_park_guarded(&wait, &queue->joiners, &owner.guard, queue);
}

int skua_queue_join(skua_queue *queue)
{
    return skua_queue_join_until(queue, SKUA_FOREVER);
}

/* ---- life ------------------------------------------------------------------------------------ */

int skua_queue_shutdown(skua_queue *queue, skua_queue_shutdown_mode mode)
{
    if (queue == NULL || (mode != SKUA_QUEUE_DRAIN && mode != SKUA_QUEUE_DROP))
        return -EINVAL;
    enum shut shut = mode == SKUA_QUEUE_DROP ? SHUT_DROPPED : SHUT_DRAINING;
    struct skua_wakes wakes;
    skua_wakes_init(&wakes);
    bool biased = lock(queue);
    bool already = queue->shut >= shut;
    if (!already) {
        queue->shut = shut;
        release(&queue->turns.waiters[SKUA_GIVE], -EPIPE, &wakes);
        if (shut == SHUT_DROPPED) {
            uint64_t dropped = queue->store.count;
            queue->store.count = 0;
            count_done(queue, dropped, &wakes);
        }
        release(&queue->turns.waiters[SKUA_TAKE], SKUA_TURN, &wakes); /* for what there is, or
 * -EPIPE; U3
         */
    }
    unlock(queue, biased);
    skua_wakes_flush(&wakes);
    return already ? -EALREADY : 0;
}

static bool is_valid(const skua_queue_options *options)
{
    if (options == NULL || (options->reserved[0] | options->reserved[1] | options->reserved[2]))
        return false;
    switch (options->order) {
    case SKUA_QUEUE_FIFO:
    case SKUA_QUEUE_LIFO:
        return options->compare == NULL;
    case SKUA_QUEUE_PRIORITY:
        return options->compare != NULL;
    default:
        return false;
    }
}

skua_queue *skua_queue_create(const skua_queue_options *options)
{
    skua_queue *queue = is_valid(options) ? skua_calloc(1, sizeof(*queue)) : NULL;
    if (queue == NULL)
        return NULL;
    queue->bounded = options->capacity != 0;
    queue->store.item_size = options->item_size;
    queue->store.order = options->order;
    queue->store.compare = options->compare;
    queue->store.arg = options->arg;
    queue->barrier = skua_membarrier_init() ? skua_membarrier : NULL;
    atomic_init(&queue->refs, 1);
    if (queue->bounded) {
        void *memory = skua_queue_store_alloc(&queue->store, options->capacity);
        if (memory == NULL) {
            free(queue);
            return NULL;
        }
        (void)skua_queue_store_move(&queue->store, memory, options->capacity);
    }
    return queue;
}

skua_queue *skua_queue_ref(skua_queue *queue)
{
    /* relaxed: the caller's handle keeps it alive meanwhile */
    if (queue != NULL)
        atomic_fetch_add_explicit(&queue->refs, 1, memory_order_relaxed);
    return queue;
}

void skua_queue_unref(skua_queue *queue)
{
    /* acq_rel: the last one frees what the others have used */
    if (queue == NULL || atomic_fetch_sub_explicit(&queue->refs, 1, memory_order_acq_rel) != 1)
        return;
    skua_assert(skua_wait_queue_empty(&queue->turns.waiters[SKUA_TAKE]));
    skua_assert(skua_wait_queue_empty(&queue->turns.waiters[SKUA_GIVE]));
    skua_assert(skua_wait_queue_empty(&queue->joiners));
    free(queue->store.items);
    free(queue);
}
