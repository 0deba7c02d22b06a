/*
 * tests/support/fork_deque_shim.c - see fork_deque_shim.h.
 */
#include "fork_deque_shim.h"

#include "core/fork_deque.h"

#include <stdlib.h>
#include <string.h>

struct deque_shim {
    struct skua_deque deque;
    struct skua_fork_slot *head; /* the owner's own, as in a register */
};

static void job_entry(struct skua_fork_deque *deque, struct skua_fork_slot *head, void *payload)
{
    (void)deque;
    (void)head;
    (void)payload;
}

static void tombstone_entry(struct skua_fork_deque *deque, struct skua_fork_slot *head,
                            void *payload)
{
    (void)deque;
    (void)head;
    *(uint64_t *)payload = 0;
}

struct deque_shim *deque_shim_create(void)
{
    struct deque_shim *shim = aligned_alloc(_Alignof(struct deque_shim), sizeof(*shim));
    if (shim == NULL)
        return NULL;
    memset(shim, 0, sizeof(*shim));
    skua_deque_init(&shim->deque, 0);
    skua_deque_set_slow(&shim->deque, false);
    shim->head = skua_deque_head(&shim->deque);
    return shim;
}

void deque_shim_destroy(struct deque_shim *shim)
{
    free(shim);
}

struct skua_deque *deque_shim_deque(struct deque_shim *shim)
{
    return &shim->deque;
}

unsigned deque_shim_capacity(void)
{
    return SKUA_DEQUE_END - SKUA_DEQUE_FIRST;
}

enum deque_shim_path deque_shim_fork(struct deque_shim *shim, uint64_t job)
{
    struct skua_deque *deque = &shim->deque;
    struct skua_fork_slot *slot = shim->head;
    bool asked = slot >= __atomic_load_n(&deque->face.fork_limit, __ATOMIC_RELAXED);
    if (asked && slot >= &deque->slots[SKUA_DEQUE_END])
        return DEQUE_SHIM_FULL;
    slot->payload[0] = job;
    __atomic_store_n(&slot->fn, &job_entry, __ATOMIC_RELEASE); /* [mark] */
    shim->head = slot + 1;
    if (asked)
        (void)skua_deque_publish(deque, false, true);
    return asked ? DEQUE_SHIM_ASKED : DEQUE_SHIM_FAST;
}

enum deque_shim_path deque_shim_join(struct deque_shim *shim, uint64_t *job)
{
    struct skua_deque *deque = &shim->deque;
    struct skua_fork_slot *slot = shim->head - 1;
    if (slot < &deque->slots[SKUA_DEQUE_FIRST])
        return DEQUE_SHIM_FULL;
    __atomic_store_n(&slot->fn, (skua_fork_entry)NULL, __ATOMIC_RELAXED); /* [claim] */
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    bool asked = slot < __atomic_load_n(&deque->face.join_limit, __ATOMIC_RELAXED);
    if (asked && !skua_deque_take_back(deque, slot))
        return DEQUE_SHIM_STOLEN;
    *job = slot->payload[0];
    shim->head = slot;
    return asked ? DEQUE_SHIM_ASKED : DEQUE_SHIM_FAST;
}

void deque_shim_claim(struct deque_shim *shim)
{
    __atomic_store_n(&shim->head[-1].fn, (skua_fork_entry)NULL, __ATOMIC_RELAXED); /* [claim] */
}

bool deque_shim_settle(struct deque_shim *shim, uint64_t *job)
{
    struct skua_fork_slot *slot = shim->head - 1;
    if (__atomic_load_n(&slot->state, __ATOMIC_ACQUIRE) != SKUA_JOB_DONE) /* [result] */
        return false;
    skua_deque_settle(&shim->deque, slot);
    *job = slot->payload[0];
    shim->head = slot;
    return true;
}

bool deque_shim_take_older(struct deque_shim *shim, unsigned nth, uint64_t *job)
{
    struct skua_fork_slot *slot = &shim->deque.slots[SKUA_DEQUE_FIRST + nth];
    *job = slot->payload[0];
    return skua_deque_take_older(&shim->deque, slot, &tombstone_entry);
}

bool deque_shim_is_tombstone(struct deque_shim *shim, unsigned nth)
{
    struct skua_fork_slot *slot = &shim->deque.slots[SKUA_DEQUE_FIRST + nth];
    return __atomic_load_n(&slot->fn, __ATOMIC_RELAXED) == &tombstone_entry;
}

unsigned deque_shim_publish(struct deque_shim *shim, bool all, bool only_wanted)
{
    return skua_deque_publish(&shim->deque, all, only_wanted);
}

void deque_shim_set_slow(struct deque_shim *shim, bool slow_only)
{
    skua_deque_set_slow(&shim->deque, slow_only);
}

void deque_shim_disturb(struct deque_shim *shim)
{
    skua_deque_disturb(&shim->deque);
}

void deque_shim_calm(struct deque_shim *shim)
{
    skua_deque_calm(&shim->deque);
}

unsigned deque_shim_head_from(struct deque_shim *shim, unsigned hint)
{
    struct skua_fork_slot *first = &shim->deque.slots[SKUA_DEQUE_FIRST];
    struct skua_deque_mode mode = skua_deque_enter(&shim->deque, first + hint, true);
    unsigned head = (unsigned)(skua_deque_head(&shim->deque) - first);
    skua_deque_leave(&shim->deque, mode);
    return head;
}

bool deque_shim_is_empty(struct deque_shim *shim)
{
    return skua_deque_is_empty(&shim->deque);
}

uint64_t deque_shim_steal(struct deque_shim *shim, void **token, bool *tombstone)
{
    struct skua_fork_slot *slot = skua_deque_steal(&shim->deque);
    *token = slot;
    if (slot == NULL)
        return 0;
    skua_fork_entry entry = __atomic_load_n(&slot->entry, __ATOMIC_RELAXED); /* [steal] */
    if (tombstone != NULL)
        *tombstone = entry == &tombstone_entry;
    return slot->payload[0];
}

void deque_shim_finish(void *token, uint64_t result)
{
    struct skua_fork_slot *slot = token;
    slot->payload[0] = result;
    __atomic_store_n(&slot->state, SKUA_JOB_DONE, __ATOMIC_RELEASE); /* [done] */
}

void deque_shim_request(struct deque_shim *shim)
{
    skua_deque_request(&shim->deque);
}

unsigned deque_shim_force(struct deque_shim *shim, void (*barrier)(void))
{
    return skua_deque_force(&shim->deque, barrier);
}

bool deque_shim_has_public(struct deque_shim *shim)
{
    return skua_deque_has_public(&shim->deque);
}

bool deque_shim_has_private(struct deque_shim *shim)
{
    return skua_deque_has_private(&shim->deque);
}

bool deque_shim_is_hungry(struct deque_shim *shim)
{
    return skua_deque_is_hungry(&shim->deque);
}
