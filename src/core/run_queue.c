/*
 * core/run_queue.c - the bounded ring of ready work. Called by sched/worker (owner and thieves).
 *
 * WHAT    A ring of SKUA_RUN_QUEUE_SIZE pointers, first in, first out. The owner pushes at the tail
 *         and pops at the head; a thief moves the oldest half of one queue into its own at once.
 *
 * STATE   head: index of the oldest item. tail: index of the next free slot. Item i stands in
 *         slots[i % SIZE]. The two indices count for ever and are never masked.
 *
 * INVARIANTS
 *         head <= tail <= head + SIZE.  (differences of 64-bit numbers, so they survive a wrap)
 *         tail and slots are written by the owner only; head only by a successful CAS, which adds.
 *         Who moves head from h to h + n owns the items h .. h + n - 1, and nobody else does.
 *         A slot is filled anew only after the owner has seen head beyond its last item.
 *
 *   No ABA: head only grows and 2^64 items take 500 years at a billion a second, so a CAS that
 *   finds head unchanged knows that nothing was taken in between, hence that none of the slots
 *   from head on was filled anew before it. With 32-bit indices a thief asleep for 2^32 items
 *   would wake to the right number and the wrong items.
 *
 *   Slots are atomic because a thief reads them before it knows whether its CAS will succeed; a
 *   late thief reads a slot the owner is filling. That is no data race but a value thrown away when
 *   the CAS fails. Relaxed suffices: a value that counts is ordered by tail (it has been
 *   written) and by head (it has not been overwritten).
 *
 * ORDERING   Each label stands at its operation. There are no fences and no seq_cst.
 *
 *   [publish]      push: tail, release         partner [see]
 *   [publish-dst]  steal: dst's tail, release  partner [see] of the next thief
 *   [see]          steal: tail, acquire        partners [publish], [publish-dst]
 *                  The slots below tail, and what the items point to, are visible to the thief;
 *                  also the head the owner had seen, so that tail - head <= SIZE for the thief.
 *   [taken]        steal: CAS of head, release partners [reuse], [reuse-dst]
 *   [reuse]        push: head, acquire         partner [taken]
 *   [reuse-dst]    steal: dst's head, acquire  partner [taken] of a thief that emptied dst
 *                  The thief has finished reading a slot before the owner fills it anew. The owner
 *                  may read head from a later CAS, its own relaxed one included: those are
 *                  read-modify-writes and continue the release sequence of [taken]. A plain store
 *                  of head would cut it.
 *
 *   Everything else is relaxed. The owner's CAS in pop and take_half in particular: the slots it
 *   reads are its own writes, and it is itself the one who will overwrite them.
 *
 *   What breaks when one is weakened to relaxed; the model checker finds each:
 *   [publish] [see]          a thief takes the slot's previous item, or an item whose content is
 *                            not visible; with [see] it may also see more than SIZE items.
 *   [publish-dst]            the same for a thief that robs a thief.
 *   [taken]                  the slot is read after the CAS, as a processor may: the owner has
 *                            filled it anew, one item is taken twice and one is lost.
 *   [reuse] [reuse-dst]      the same in the language; processors keep a store behind the branch
 *                            it depends on, but C does not promise it.
 *
 * PROGRESS   push, take_half and count are wait-free. pop: each failed CAS means that a thief took
 *         something and the owner adds nothing meanwhile, so at most SIZE rounds. steal is
 *         lock-free: a failed CAS is another's success. NULL from steal means that what had been
 *         pushed before the call (in the sense of happens-before) has been taken; a push during the
 *         call may be missed.
 *
 * COST    push: two loads, two stores, no locked instruction. pop: one CAS.
 *
 * SEE     Go's runtime/proc.go (runqget, runqgrab), whose scheme this is; Tokio's
 *         scheduler/multi_thread/queue.rs, which packs a second head to let thieves copy after
 *         they claimed. Differences from Go: 64-bit indices, the tail is read before the head (so
 *         no torn pair needs a retry), and the thief keeps the oldest item rather than the newest.
 *
 * TESTS   tests/unit/core/run_queue_test.cc, tests/stress/run_queue_stress.c, and
 *         tests/model/run_queue_model.c, which explores this file under a weak memory model.
 */
#include "core/run_queue.h"

#include "base/check.h"

_Static_assert(SKUA_RUN_QUEUE_SIZE >= 2 && (SKUA_RUN_QUEUE_SIZE & (SKUA_RUN_QUEUE_SIZE - 1)) == 0,
               "indices are masked, and half of the queue is at least one");

static inline void *slot_get(struct skua_run_queue *q, uint64_t index)
{
    /* Relaxed: see "Slots are atomic" above. */
    return atomic_load_explicit(&q->slots[index % SKUA_RUN_QUEUE_SIZE], memory_order_relaxed);
}

static inline void slot_set(struct skua_run_queue *q, uint64_t index, void *item)
{
    /* Relaxed: published by tail. */
    atomic_store_explicit(&q->slots[index % SKUA_RUN_QUEUE_SIZE], item, memory_order_relaxed);
}

void skua_run_queue_init(struct skua_run_queue *q)
{
    atomic_init(&q->head, 0);
    atomic_init(&q->tail, 0);
    for (unsigned i = 0; i < SKUA_RUN_QUEUE_SIZE; i++)
        atomic_init(&q->slots[i], NULL);
}

bool skua_run_queue_push(struct skua_run_queue *q, void *item)
{
    skua_assert(item != NULL);
    /* Relaxed: only the owner, that is the caller, writes tail. */
    uint64_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed);
    /* [reuse] partner [taken]: the thieves have read what stood in the slot filled below. */
    uint64_t head = atomic_load_explicit(&q->head, memory_order_acquire);

    skua_assert(tail - head <= SKUA_RUN_QUEUE_SIZE);
    if (tail - head >= SKUA_RUN_QUEUE_SIZE)
        return false;
    slot_set(q, tail, item);
    /* [publish] partner [see]: the slot and what the item points to. */
    atomic_store_explicit(&q->tail, tail + 1, memory_order_release);
    return true;
}

void *skua_run_queue_pop(struct skua_run_queue *q)
{
    /* Relaxed: only the owner writes tail. */
    uint64_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed);
    /* Relaxed: a guess that the CAS verifies. */
    uint64_t head = atomic_load_explicit(&q->head, memory_order_relaxed);

    while (head != tail) {
        skua_assert(tail - head <= SKUA_RUN_QUEUE_SIZE);
        void *item = slot_get(q, head);
        /* Relaxed: the slot is the owner's own write, and only the owner will overwrite it. */
        if (skua_likely(atomic_compare_exchange_strong_explicit(
                &q->head, &head, head + 1, memory_order_relaxed, memory_order_relaxed)))
            return item;
    }
    return NULL;
}

void *skua_run_queue_pop_alone(struct skua_run_queue *q)
{
    /* Relaxed, all of it: one thread. */
    uint64_t head = atomic_load_explicit(&q->head, memory_order_relaxed);
    if (head == atomic_load_explicit(&q->tail, memory_order_relaxed))
        return NULL;
    void *item = slot_get(q, head);
    atomic_store_explicit(&q->head, head + 1, memory_order_relaxed);
    return item;
}

unsigned skua_run_queue_take_half(struct skua_run_queue *q, void **items)
{
    const unsigned half = SKUA_RUN_QUEUE_SIZE / 2;
    /* Relaxed: only the owner writes tail. */
    uint64_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed);
    /* Relaxed: a guess that the CAS verifies. */
    uint64_t head = atomic_load_explicit(&q->head, memory_order_relaxed);

    skua_assert(tail - head <= SKUA_RUN_QUEUE_SIZE);
    if (tail - head < SKUA_RUN_QUEUE_SIZE)
        return 0;
    for (unsigned i = 0; i < half; i++)
        items[i] = slot_get(q, head + i);
    /*
     * Relaxed: as in pop. If it fails, a thief has made room, and this thread has now read a head
     * that shows it: the next push succeeds.
     */
    if (!atomic_compare_exchange_strong_explicit(&q->head, &head, head + half, memory_order_relaxed,
                                                 memory_order_relaxed))
        return 0;
    return half;
}

/*
 * Copies the @take oldest items of @victim as of @head: the first is returned, the others go to
 * @dst, where they stay invisible until its tail is moved.
 */
static void *copy_oldest(struct skua_run_queue *victim, uint64_t head, unsigned take,
                         struct skua_run_queue *dst, uint64_t dst_tail)
{
    void *first = slot_get(victim, head);

    for (unsigned i = 1; i < take; i++)
        slot_set(dst, dst_tail + i - 1, slot_get(victim, head + i));
    return first;
}

void *skua_run_queue_steal(struct skua_run_queue *victim, struct skua_run_queue *dst,
                           unsigned *count)
{
    skua_assert(victim != dst);
    /* Relaxed: the caller owns dst. */
    uint64_t dst_tail = atomic_load_explicit(&dst->tail, memory_order_relaxed);
    /* [reuse-dst] partner [taken]: those who emptied dst have read what stood in its slots. */
    uint64_t dst_head = atomic_load_explicit(&dst->head, memory_order_acquire);

    skua_check(dst_head == dst_tail);
    for (;;) {
        /* [see] partners [publish], [publish-dst]: the slots below tail and what is behind them. */
        uint64_t tail = atomic_load_explicit(&victim->tail, memory_order_acquire);
        /* Relaxed: a guess that the CAS verifies; not older than tail - SIZE, thanks to [see]. */
        uint64_t head = atomic_load_explicit(&victim->head, memory_order_relaxed);
        int64_t found = (int64_t)(tail - head);

        if (found <= 0) {
            *count = 0;
            return NULL;
        }
        skua_assert(found <= (int64_t)SKUA_RUN_QUEUE_SIZE);
        unsigned take = (unsigned)found - (unsigned)found / 2;
        void *first = copy_oldest(victim, head, take, dst, dst_tail);
        /* [taken] partners [reuse], [reuse-dst]: the slots have been read. */
        if (!atomic_compare_exchange_strong_explicit(&victim->head, &head, head + take,
                                                     memory_order_release, memory_order_relaxed))
            continue;
        /* [publish-dst] partner [see]: after the CAS, for until then the items were not ours. */
        if (take > 1)
            atomic_store_explicit(&dst->tail, dst_tail + take - 1, memory_order_release);
        *count = take;
        return first;
    }
}

unsigned skua_run_queue_count(const struct skua_run_queue *q)
{
    /* Relaxed, both: an estimate; who sleeps on it orders it with what he did before. */
    uint64_t head = atomic_load_explicit(&q->head, memory_order_relaxed);
    uint64_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed);
    int64_t found = (int64_t)(tail - head);

    if (found <= 0)
        return 0;
    return (unsigned)skua_min(found, (int64_t)SKUA_RUN_QUEUE_SIZE);
}
