/*
 * core/fork_deque.c - see fork_deque.h for states, invariants and ordering.
 */
#include "core/fork_deque.h"

#include "base/check.h"

#define ASK_ON_FORK ((struct skua_fork_slot *)0)
#define ASK_ON_JOIN ((struct skua_fork_slot *)UINTPTR_MAX)

/* The fields of the public header are not _Atomic, for C++'s sake; these are the only accesses. */

static void set_fork_limit(struct skua_deque *deque, struct skua_fork_slot *limit)
{
    __atomic_store_n(&deque->face.fork_limit, limit, __ATOMIC_RELAXED); /* relaxed: advice */
}

static void set_join_limit(struct skua_deque *deque, struct skua_fork_slot *limit)
{
    /* relaxed: ordered by program order for the owner, by [claim] for a forcer */
    __atomic_store_n(&deque->face.join_limit, limit, __ATOMIC_RELAXED);
}

static bool is_taken(struct skua_fork_slot *slot)
{
    /* relaxed: the owner's own writes */
    return __atomic_load_n(&slot->fn, __ATOMIC_RELAXED) != NULL;
}

/* Under the lock: what the fast paths are to compare with, now that split is where it is. */
static void set_limits(struct skua_deque *deque, uint32_t split)
{
    /* relaxed: a request that is missed here is made again */
    bool wanted = atomic_load_explicit(&deque->wanted, memory_order_relaxed);
    bool slow = deque->slow_only || deque->disturbed || deque->forcing;
    set_fork_limit(deque, slow || wanted ? ASK_ON_FORK : &deque->slots[SKUA_DEQUE_END]);
    set_join_limit(deque, slow ? ASK_ON_JOIN : &deque->slots[split]);
}

/* Never called: the bottom slot only has to be taken. */
static void bottom(struct skua_fork_deque *deque, struct skua_fork_slot *head, void *payload)
{
    (void)deque;
    (void)head;
    (void)payload;
}

void skua_deque_init(struct skua_deque *deque, uint32_t number)
{
    deque->number = number;
    deque->face.head = &deque->slots[SKUA_DEQUE_FIRST];
    deque->typed_base = 0;
    deque->slow_only = true;
    deque->disturbed = false;
    deque->forcing = false;
    deque->orphan = false;
    deque->next = NULL;
    atomic_init(&deque->task, NULL);
    deque->face.stack_limit = NULL;
    deque->aside_count = 0;
    deque->offered_ns = 0;
    atomic_init(&deque->visits, 0);
    deque->offer_woke = false;
    deque->offer_pause_ns = 0;
    deque->tombstone_count = 0;
    skua_spin_init(&deque->lock);
    atomic_init(&deque->wanted, false);
    atomic_init(&deque->range, skua_deque_range(SKUA_DEQUE_FIRST, SKUA_DEQUE_FIRST));
    __atomic_store_n(&deque->slots[SKUA_DEQUE_BOTTOM].fn, &bottom, __ATOMIC_RELAXED);
    set_limits(deque, SKUA_DEQUE_FIRST);
}

void skua_fork_stub_init(struct skua_fork_stub *stub)
{
    stub->face.fork_limit = ASK_ON_FORK;
    stub->face.join_limit = ASK_ON_JOIN;
    stub->face.stack_limit = NULL;
    stub->face.head = NULL;
    __atomic_store_n(&stub->scratch.fn, (skua_fork_entry)NULL, __ATOMIC_RELAXED); /* its own */
}

struct skua_fork_slot *skua_deque_head(struct skua_deque *deque)
{
    if (deque->typed_base == 0)
        return deque->face.head;
    struct skua_fork_slot *head = &deque->slots[deque->typed_base];
    while (is_taken(head))
        head++;
    return head;
}

struct skua_deque_mode skua_deque_enter(struct skua_deque *deque, struct skua_fork_slot *head,
                                        bool typed)
{
    struct skua_deque_mode mode = {deque->face.head, deque->typed_base};
    deque->typed_base = typed ? (uint8_t)(head - deque->slots) : 0;
    deque->face.head = typed ? &deque->slots[SKUA_DEQUE_END] : head;
    return mode;
}

void skua_deque_leave(struct skua_deque *deque, struct skua_deque_mode mode)
{
    deque->face.head = mode.head;
    deque->typed_base = mode.typed_base;
}

bool skua_deque_is_empty(struct skua_deque *deque)
{
    return !is_taken(&deque->slots[SKUA_DEQUE_FIRST]);
}

/* How many taken slots there are from @first on. With acquire when not the owner asks: [see]. */
static uint32_t count_taken(struct skua_deque *deque, uint32_t first, bool owner)
{
    uint32_t index = first;
    while (index < SKUA_DEQUE_END) {
        struct skua_fork_slot *slot = &deque->slots[index];
        skua_fork_entry fn = owner ? __atomic_load_n(&slot->fn, __ATOMIC_RELAXED)
                                   : __atomic_load_n(&slot->fn, __ATOMIC_ACQUIRE); /* [see] */
        if (fn == NULL)
            break;
        index++;
    }
    return index - first;
}

/*
 * Under the lock: makes @count jobs from split on public. Returns the new split. Fewer if one of
 * them is being joined: while a forcer works, the owner may claim its newest job, and then comes to
 * wait for the lock.
 */
static uint32_t move_split_up(struct skua_deque *deque, uint32_t count)
{
    uint64_t range = atomic_load_explicit(&deque->range, memory_order_relaxed);
    uint32_t split = skua_deque_split(range);
    uint32_t end = split;
    for (; end < split + count; end++) {
        struct skua_fork_slot *slot = &deque->slots[end];
        /* relaxed: seen with acquire by count_taken(); published by range */
        skua_fork_entry fn = __atomic_load_n(&slot->fn, __ATOMIC_RELAXED);
        if (fn == NULL)
            break;
        __atomic_store_n(&slot->entry, fn, __ATOMIC_RELAXED);
        __atomic_store_n(&slot->state, (uintptr_t)0, __ATOMIC_RELAXED);
    }
    while (!atomic_compare_exchange_strong_explicit(
        &deque->range, &range, skua_deque_range(skua_deque_tail(range), end), memory_order_release,
        memory_order_relaxed)) /* [publish] */
        ;
    return end;
}

/* Under the lock. Returns how many jobs were published. */
static uint32_t publish(struct skua_deque *deque, bool all, bool owner)
{
    uint64_t range = atomic_load_explicit(&deque->range, memory_order_relaxed);
    uint32_t split = skua_deque_split(range);
    uint32_t count = count_taken(deque, split, owner);
    if (!all)
        count = (count + 1) / 2;
    uint32_t end = count > 0 ? move_split_up(deque, count) : split;
    if (end > split)
        atomic_store_explicit(&deque->wanted, false, memory_order_relaxed);
    set_limits(deque, end);
    return end - split;
}

uint32_t skua_deque_publish(struct skua_deque *deque, bool all, bool only_wanted)
{
    uint32_t count = 0;
    skua_spin_lock(&deque->lock);
    bool wanted = atomic_load_explicit(&deque->wanted, memory_order_relaxed);
    if (wanted || !only_wanted) {
        count = publish(deque, all, true);
    } else {
        uint64_t range = atomic_load_explicit(&deque->range, memory_order_relaxed);
        set_limits(deque, skua_deque_split(range));
    }
    skua_spin_unlock(&deque->lock);
    return count;
}

void skua_deque_set_slow(struct skua_deque *deque, bool slow_only)
{
    skua_spin_lock(&deque->lock);
    deque->slow_only = slow_only;
    uint64_t range = atomic_load_explicit(&deque->range, memory_order_relaxed);
    set_limits(deque, skua_deque_split(range));
    skua_spin_unlock(&deque->lock);
}

void skua_deque_disturb(struct skua_deque *deque)
{
    /* Under the lock: what the owner does after it has looked at the reason, it does after this. */
    skua_spin_lock(&deque->lock);
    deque->disturbed = true; /* kept: the next to move split may be a forcer, who does not look */
    set_fork_limit(deque, ASK_ON_FORK);
    set_join_limit(deque, ASK_ON_JOIN);
    skua_spin_unlock(&deque->lock);
}

void skua_deque_calm(struct skua_deque *deque)
{
    skua_spin_lock(&deque->lock);
    deque->disturbed = false;
    uint64_t range = atomic_load_explicit(&deque->range, memory_order_relaxed);
    set_limits(deque, skua_deque_split(range));
    skua_spin_unlock(&deque->lock);
}

/* Takes the job in @slot back and, under the lock, leaves @left in its place. */
static bool take_back(struct skua_deque *deque, struct skua_fork_slot *slot, skua_fork_entry left)
{
    uint32_t index = (uint32_t)(slot - deque->slots);
    bool mine = true;
    skua_spin_lock(&deque->lock);
    uint64_t range = atomic_load_explicit(&deque->range, memory_order_relaxed);
    uint32_t split = skua_deque_split(range);
    while (index < split) {
        uint32_t tail = skua_deque_tail(range);
        if (tail > index) {
            mine = false;
            break;
        }
        /* Half of what thieves have left becomes private again, this one at least. */
        uint32_t lower = (tail + index + 1) / 2;
        /* relaxed: all that is in these slots has been written by us, or under this lock */
        if (atomic_compare_exchange_strong_explicit(&deque->range, &range,
                                                    skua_deque_range(tail, lower),
                                                    memory_order_relaxed, memory_order_relaxed)) {
            split = lower;
            break;
        }
    }
    if (mine) {
        __atomic_store_n(&slot->fn, left, __ATOMIC_RELAXED); /* relaxed: ordered by the lock */
        /* A request is answered from what is private and older than this job, if anything is. */
        if (index > split && atomic_load_explicit(&deque->wanted, memory_order_relaxed) &&
            !skua_deque_has_public(deque))
            (void)publish(deque, false, true);
        else
            set_limits(deque, split);
    }
    skua_spin_unlock(&deque->lock);
    return mine;
}

bool skua_deque_take_back(struct skua_deque *deque, struct skua_fork_slot *slot)
{
    skua_assert(!is_taken(slot));
    return take_back(deque, slot, NULL);
}

bool skua_deque_take_older(struct skua_deque *deque, struct skua_fork_slot *slot,
                           skua_fork_entry left)
{
    return take_back(deque, slot, left);
}

void skua_deque_settle(struct skua_deque *deque, struct skua_fork_slot *slot)
{
    uint32_t index = (uint32_t)(slot - deque->slots);
    skua_spin_lock(&deque->lock);
    skua_assert(skua_deque_tail(atomic_load_explicit(&deque->range, memory_order_relaxed)) ==
                skua_deque_split(atomic_load_explicit(&deque->range, memory_order_relaxed)));
    /* relaxed: D3; nothing is public, and the next [publish] starts anew */
    atomic_store_explicit(&deque->range, skua_deque_range(index, index), memory_order_relaxed);
    set_limits(deque, index);
    skua_spin_unlock(&deque->lock);
}

struct skua_fork_slot *skua_deque_steal(struct skua_deque *deque)
{
    /* relaxed: the CAS decides */
    uint64_t range = atomic_load_explicit(&deque->range, memory_order_relaxed);
    uint32_t tail = skua_deque_tail(range);
    if (tail >= skua_deque_split(range))
        return NULL;
    /* [steal]. relaxed on failure: nothing has been read */
    if (!atomic_compare_exchange_strong_explicit(&deque->range, &range, range + 1,
                                                 memory_order_acquire, memory_order_relaxed))
        return NULL;
    return &deque->slots[tail];
}

void skua_deque_request(struct skua_deque *deque)
{
    /*
     * relaxed, all of them: advice, given again while it is not followed. An owner that has missed
     * it in set_limits() has put the limit back.
     */
    if (atomic_load_explicit(&deque->wanted, memory_order_relaxed) &&
        __atomic_load_n(&deque->face.fork_limit, __ATOMIC_RELAXED) == ASK_ON_FORK)
        return;
    atomic_store_explicit(&deque->wanted, true, memory_order_relaxed);
    set_fork_limit(deque, ASK_ON_FORK);
    set_join_limit(deque, ASK_ON_JOIN);
}

bool skua_deque_has_private(struct skua_deque *deque)
{
    uint64_t range = atomic_load_explicit(&deque->range, memory_order_relaxed);
    return is_taken(&deque->slots[skua_deque_split(range)]);
}

uint32_t skua_deque_force(struct skua_deque *deque, void (*barrier)(void))
{
    skua_spin_lock(&deque->lock);
    bool busy = deque->forcing;
    if (!busy) {
        deque->forcing = true;
        set_join_limit(deque, ASK_ON_JOIN);
    }
    skua_spin_unlock(&deque->lock);
    if (busy)
        return 0;
    barrier(); /* [claim]. A system call: not under the lock; forcing keeps the limit up */
    skua_spin_lock(&deque->lock);
    deque->forcing = false;
    uint32_t count = publish(deque, false, false);
    skua_spin_unlock(&deque->lock);
    return count;
}
