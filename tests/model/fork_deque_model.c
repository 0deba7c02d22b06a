/*
 * tests/model/fork_deque_model.c - explores core/fork_deque.c, the file itself, with three places
 * for jobs, and the owner's fast paths, the real macros of skua/fork_macros.h.
 *
 * Build: fork_deque.c, this file, explorer.c, memory.c and mutants.c with -DSKUA_DEQUE_SLOTS=5u
 * -DSKUA_DEBUG, all with -include model_atomics.h (see there). For what it does, and its arguments,
 * see mutants.h.
 *
 * Thread 0 owns the deque; the others steal, ask for work, force it out, and disturb. A job's
 * payload is a plain location: whatever is not ordered by happens-before is a bug. So are a job run
 * twice or never, a result the joiner does not see, a slot reused while a thief is in it, and an
 * owner that waits for ever.
 *
 * COPIES  What is taken from sched/fork_typed.c, fork.c and fork_plain.c stands here with its
 *         labels: skua_fork_slow() and its sisters without tasks; the wait for a stolen job without
 *         agents (they have park_model.c); the join of a job that is not the newest.
 *
 * GENMC   fork_deque_genmc.c, the same code without this explorer, was checked with GenMC v0.10.3
 *         (commit c26195b, LLVM 14), its scenarios 1 to 7: no errors under --rc11 (83059 complete
 *         executions, 21 s) and --imm (83267, 44 s). With -DNO_FENCE it reports a data race (--imm:
 *         a job that has not run once) in 1, 2, 5, 6 and 7; nothing is forced out in 3 and 4.
 *         Earlier, each label of core/fork_deque.h weakened to relaxed, and the fence of [claim]
 *         left out on the other side, were a data race, too. For the command see there.
 *
 * NIDHUGG Version 0.4 (commit 0aea4d23, LLVM 14) on the same file, --tso: no errors in scenarios 1
 *         to 7 (5: 50579 traces, 51 s; the others 4 s at most). With -DNO_FENCE it reports that a
 *         job has not run once, in the same five.
 */
#include "core/fork_deque.h"
#include "explorer.h"
#include "model_atomics.h"
#include "mutants.h"

#include <stdlib.h>
#include <string.h>

/* [mark] twice, [see], [publish], [steal], [done], [result], [claim]. */
#define LABELS 8u
#define JOBS 4u /* at the same time */
#define RESULT(item) (0x100u + (item))

_Static_assert(SKUA_DEQUE_SLOTS == 5, "the scenarios count on three places");

static struct skua_deque deque;
static _Atomic bool cancelled;
static _Atomic bool cancel_seen;

/* ---- the owner ------------------------------------------------------------------------------- */

/* Set before they are read, within one run of the owner's function. */
static unsigned forked; /* the item that is being forked; 0: a join is going on */
static unsigned ran;    /* the last item whose job was run here */

/* Where the macros touch a payload: to write arguments, or to read arguments or a result. */
static void *owner_payload(struct skua_fork_slot *slot)
{
    if (forked != 0)
        model_plain_write(slot->payload, forked);
    else
        model_plain_write(slot->payload, model_plain_read(slot->payload));
    return slot->payload;
}

#define skua_fork_payload_(slot) owner_payload(slot)

SKUA_FORKABLE_VOID(job, unsigned, item)
{
    ran = item;
    model_take((void *)(uintptr_t)item);
}

/* As in sched/fork_typed.c. */
bool skua_fork_slow(struct skua_fork_deque *face, struct skua_fork_slot *head)
{
    (void)face;
    if (deque.aside_count == 0 && head < &deque.slots[SKUA_DEQUE_END])
        return true;
    if (deque.aside_count++ == 0)
        skua_deque_set_slow(&deque, true);
    return false;
}

void skua_fork_offer(struct skua_fork_deque *face)
{
    (void)face;
    (void)skua_deque_publish(&deque, false, true);
}

/* As skua_fork_wait() in sched/fork.c. */
static void wait_for(struct skua_fork_slot *slot)
{
    (void)MODEL_AWAIT(&slot->state, UINT64_MAX, SKUA_JOB_DONE, memory_order_acquire); /* [result] */
}

enum skua_fork_how skua_join_slow(struct skua_fork_deque *face, struct skua_fork_slot *slot)
{
    (void)face;
    if (deque.aside_count != 0) {
        if (--deque.aside_count == 0)
            skua_deque_set_slow(&deque, false);
        return SKUA_FORK_ASIDE;
    }
    if (skua_deque_take_back(&deque, slot))
        return SKUA_FORK_RUN;
    wait_for(slot);
    skua_deque_settle(&deque, slot);
    return SKUA_FORK_TAKEN;
}

void skua_fork_aside(struct skua_fork_deque *face, struct skua_fork_slot *head,
                     skua_fork_entry entry, void *payload)
{
    entry(face, head, payload);
}

/* The outermost call, and misuse: not in these scenarios. */
void skua_fork_call(skua_fork_entry entry, void *payload)
{
    (void)entry;
    (void)payload;
    abort();
}

void skua_fork_misuse(const char *what)
{
    model_fail(what);
    abort();
}

struct owner {
    struct skua_fork_slot *head;
    SKUA_JOB(job) jobs[JOBS]; /* by their items */
};

static void fork_item(struct owner *owner, unsigned item)
{
    struct skua_fork_deque *skua_deque = &deque.face;
    struct skua_fork_slot *skua_head = owner->head;

    (void)model_make(item);
    forked = item;
    SKUA_FORK(job, &owner->jobs[item % JOBS], item);
    owner->head = skua_head;
}

/* What a join must come to, of the job in @slot; ran has been set to 0 before it. */
static void check_join(struct skua_fork_slot *slot, unsigned item)
{
    if (ran == 0 && model_plain_read(slot->payload) != RESULT(item))
        model_fail("the joiner does not see the result");
    if (ran != 0 && ran != item)
        model_fail("another job was run");
    model_boundary(0);
}

static void join_item(struct owner *owner, unsigned item)
{
    struct skua_fork_deque *skua_deque = &deque.face;
    struct skua_fork_slot *skua_head = owner->head;
    SKUA_JOB(job) *handle = &owner->jobs[item % JOBS];

    forked = 0;
    ran = 0;
    SKUA_JOIN(job, handle);
    owner->head = skua_head;
    check_join(handle->slot, item);
}

static void tombstone(struct skua_fork_deque *face, struct skua_fork_slot *head, void *payload)
{
    (void)face;
    (void)head;
    (void)payload;
}

/* As join_older() in sched/fork_plain.c: not the newest. */
static void join_older(struct owner *owner, unsigned item)
{
    struct skua_fork_slot *slot = owner->jobs[item % JOBS].slot;

    ran = 0;
    if (skua_deque_take_older(&deque, slot, &tombstone)) {
        model_take((void *)(uintptr_t)item);
        ran = item;
    } else {
        wait_for(slot);
        __atomic_store_n(&slot->fn, &tombstone, __ATOMIC_RELAXED);
    }
    skua_deque_set_slow(&deque, true);
    check_join(slot, item);
}

/* As pop_tombstones() there, of one. */
static void pop_tombstone(struct owner *owner)
{
    struct skua_fork_slot *slot = --owner->head;

    __atomic_store_n(&slot->fn, (skua_fork_entry)NULL, __ATOMIC_RELAXED);
    if (!skua_deque_take_back(&deque, slot)) {
        wait_for(slot);
        skua_deque_settle(&deque, slot);
    }
    skua_deque_set_slow(&deque, false);
    model_boundary(0);
}

/* ---- thieves --------------------------------------------------------------------------------- */

/* As stolen_main() in sched/fork.c. */
static bool steal(void)
{
    struct skua_fork_slot *slot = skua_deque_steal(&deque);

    if (slot != NULL) {
        skua_fork_entry entry = __atomic_load_n(&slot->entry, __ATOMIC_RELAXED);
        if (entry == &job_skua_entry) {
            unsigned item = (unsigned)model_plain_read(slot->payload);
            model_take((void *)(uintptr_t)item);
            model_plain_write(slot->payload, RESULT(item));
        } else if (entry != &tombstone) {
            model_fail("a stolen slot has no entry");
        }
        (void)__atomic_exchange_n(&slot->state, SKUA_JOB_DONE, __ATOMIC_RELEASE); /* [done] */
    }
    model_boundary(slot != NULL);
    return slot != NULL;
}

static void barrier(void)
{
    model_barrier();
}

static void force(void)
{
    if (skua_deque_has_private(&deque))
        (void)skua_deque_force(&deque, barrier); /* [claim] */
    model_boundary(0);
}

/* ---- setup and finish ------------------------------------------------------------------------ */

static struct owner first;
static unsigned first_count; /* jobs forked in setup: 1, 2 ... */

static void deque_init(void)
{
    memset(&deque, 0, sizeof(deque));
    model_init(&deque.face.fork_limit, 0);
    model_init(&deque.face.join_limit, 0);
    for (unsigned i = 0; i < SKUA_DEQUE_SLOTS; i++) {
        struct skua_fork_slot *slot = &deque.slots[i];
        model_init(&slot->fn, 0);
        if (i < SKUA_DEQUE_FIRST || i >= SKUA_DEQUE_END)
            continue;
        model_init(&slot->state, 0);
        model_plain(&slot->entry, 0);
        model_plain(slot->payload, 0);
    }
    model_guarded_by_lock(&deque.slow_only);
    model_guarded_by_lock(&deque.disturbed);
    model_guarded_by_lock(&deque.forcing);
    skua_deque_init(&deque, 0);
    skua_deque_set_slow(&deque, false);
}

/* @count jobs have been forked, @public_count published. */
static void setup(unsigned count, unsigned public_count)
{
    deque_init();
    first = (struct owner){.head = &deque.slots[SKUA_DEQUE_FIRST]};
    first_count = 0;
    while (first_count < count) {
        if (first_count == public_count)
            (void)skua_deque_publish(&deque, true, false);
        fork_item(&first, ++first_count);
    }
    if (count == public_count)
        (void)skua_deque_publish(&deque, true, false);
}

/* As setup has left it. The macros read arguments from the slots themselves. */
static struct owner owner_begin(void)
{
    for (unsigned i = 0; i < first_count; i++) {
        struct skua_fork_slot *slot = &deque.slots[SKUA_DEQUE_FIRST + i];
        ((union job_skua_payload *)(void *)slot->payload)->args.item = i + 1;
    }
    deque.aside_count = 0;
    return first;
}

static void setup_cancel(void)
{
    setup(1, 0);
    atomic_init(&cancelled, false);
    atomic_init(&cancel_seen, false);
}

static void finish(void)
{
    uint64_t range = atomic_load_explicit(&deque.range, memory_order_relaxed);
    uint32_t split = skua_deque_split(range);

    if (!skua_deque_is_empty(&deque) || skua_deque_has_public(&deque))
        model_fail("not empty in the end");
    if (__atomic_load_n(&deque.face.join_limit, __ATOMIC_RELAXED) < &deque.slots[split])
        model_fail("join_limit is below split");
    skua_deque_request(&deque);
    if (__atomic_load_n(&deque.face.fork_limit, __ATOMIC_RELAXED) != NULL)
        model_fail("a request does not reach the owner");
}

/* Either the owner has seen that it is cancelled, or its next fork and join will look. */
static void finish_cancel(void)
{
    finish();
    if (!atomic_load_explicit(&cancel_seen, memory_order_relaxed) &&
        (__atomic_load_n(&deque.face.fork_limit, __ATOMIC_RELAXED) != NULL ||
         __atomic_load_n(&deque.face.join_limit, __ATOMIC_RELAXED) !=
             (struct skua_fork_slot *)UINTPTR_MAX))
        model_fail("a cancel was lost");
}

/* ---- scenarios ------------------------------------------------------------------------------- */

static void setup_empty(void)
{
    setup(0, 0);
}

static void setup_private(void)
{
    setup(1, 0);
}

static void setup_two_private(void)
{
    setup(2, 0);
}

static void setup_three_private(void)
{
    setup(3, 0);
}

static void setup_public(void)
{
    setup(1, 1);
}

static void setup_two_public(void)
{
    setup(2, 2);
}

static void setup_three_public(void)
{
    setup(3, 3);
}

static void setup_public_and_private(void)
{
    setup(2, 1);
}

static void owner_fork_two_join_two(void)
{
    struct owner owner = owner_begin();
    fork_item(&owner, 1);
    fork_item(&owner, 2);
    join_item(&owner, 2);
    join_item(&owner, 1);
}

static void owner_join_one(void)
{
    struct owner owner = owner_begin();
    join_item(&owner, 1);
}

static void owner_join_two(void)
{
    struct owner owner = owner_begin();
    join_item(&owner, 2);
    join_item(&owner, 1);
}

static void owner_join_three(void)
{
    struct owner owner = owner_begin();
    join_item(&owner, 3);
    join_item(&owner, 2);
    join_item(&owner, 1);
}

static void owner_join_fork_join(void)
{
    struct owner owner = owner_begin();
    join_item(&owner, 1);
    fork_item(&owner, 2);
    join_item(&owner, 2);
}

/* The same range again and again. */
static void owner_publish_twice(void)
{
    struct owner owner = owner_begin();
    join_item(&owner, 1);
    fork_item(&owner, 2);
    (void)skua_deque_publish(&deque, true, false);
    join_item(&owner, 2);
    fork_item(&owner, 3);
    (void)skua_deque_publish(&deque, true, false);
    join_item(&owner, 3);
}

/* As when its task leaves its stack, and comes back. */
static void owner_detach_and_attach(void)
{
    struct owner owner = owner_begin();
    skua_deque_set_slow(&deque, true);
    (void)skua_deque_publish(&deque, true, false);
    skua_deque_set_slow(&deque, false);
    fork_item(&owner, 3);
    join_item(&owner, 3);
    join_item(&owner, 2);
    join_item(&owner, 1);
}

static void owner_beyond_the_end(void)
{
    struct owner owner = owner_begin();
    fork_item(&owner, 4);
    join_item(&owner, 4);
    join_item(&owner, 3);
    join_item(&owner, 2);
    join_item(&owner, 1);
}

static void owner_join_older_first(void)
{
    struct owner owner = owner_begin();
    join_older(&owner, 1);
    join_item(&owner, 2);
    pop_tombstone(&owner);
}

/* The middle one, so that there is an older one to publish. */
static void owner_join_middle_first(void)
{
    struct owner owner = owner_begin();
    join_older(&owner, 2);
    join_item(&owner, 3);
    pop_tombstone(&owner);
    join_item(&owner, 1);
}

/* The fast join with its steps in the wrong order. */
static void owner_looks_then_claims(void)
{
    struct owner owner = owner_begin();
    struct skua_fork_slot *slot = owner.jobs[1].slot;
    bool is_slow = slot < __atomic_load_n(&deque.face.join_limit, __ATOMIC_RELAXED);
    __atomic_store_n(&slot->fn, (skua_fork_entry)NULL, __ATOMIC_RELAXED);
    if (is_slow && skua_join_slow(&deque.face, slot) == SKUA_FORK_TAKEN)
        return;
    model_take((void *)(uintptr_t)1);
}

/* As a task whose cancelling is looked at, as attach() and join_slow() in sched/ do. */
static void owner_calms(void)
{
    struct owner owner = owner_begin();
    skua_deque_calm(&deque);
    bool is_seen = atomic_load_explicit(&cancelled, memory_order_relaxed);
    join_item(&owner, 1);
    atomic_store_explicit(&cancel_seen, is_seen, memory_order_relaxed);
}

static void canceller(void)
{
    atomic_store_explicit(&cancelled, true, memory_order_relaxed);
    skua_deque_disturb(&deque);
}

static void thief_steals(void)
{
    (void)steal();
}

static void thief_steals_twice(void)
{
    (void)steal();
    (void)steal();
}

static void thief_asks_and_steals(void)
{
    if (!steal())
        skua_deque_request(&deque);
    model_boundary(0);
    (void)steal();
}

static void thief_forces_and_steals(void)
{
    force();
    (void)steal();
}

static void thief_forces(void)
{
    force();
}

static void thief_asks(void)
{
    skua_deque_request(&deque);
}

static const struct model_scenario scenarios[] = {
    {"fork and join, a thief asks",
     setup_empty,
     {owner_fork_two_join_two, thief_asks_and_steals},
     finish},
    {"join of the only job, forced meanwhile",
     setup_private,
     {owner_join_one, thief_forces_and_steals},
     finish},
    {"join and fork anew, forced meanwhile",
     setup_private,
     {owner_join_fork_join, thief_forces_and_steals},
     finish},
    {"joins, forced meanwhile",
     setup_two_private,
     {owner_join_two, thief_forces_and_steals},
     finish},
    {"joins, forced, another thief",
     setup_two_private,
     {owner_join_two, thief_forces, thief_steals},
     finish},
    {"the only job is public, two thieves",
     setup_public,
     {owner_join_one, thief_steals, thief_steals},
     finish},
    {"two public jobs, two thieves",
     setup_two_public,
     {owner_join_two, thief_steals_twice, thief_steals},
     finish},
    {"three public jobs, two thieves",
     setup_three_public,
     {owner_join_three, thief_steals_twice, thief_steals},
     finish},
    {"public and private, forced",
     setup_public_and_private,
     {owner_join_two, thief_forces_and_steals, thief_steals},
     finish},
    {"the same range again, two thieves",
     setup_public,
     {owner_publish_twice, thief_steals_twice, thief_steals},
     finish},
    {"detached and attached",
     setup_two_private,
     {owner_detach_and_attach, thief_forces_and_steals},
     finish},
    {"no place for a job",
     setup_three_public,
     {owner_beyond_the_end, thief_steals, thief_steals},
     finish},
    {"an older job first, a thief asks",
     setup_two_private,
     {owner_join_older_first, thief_asks_and_steals},
     finish},
    {"joins, forced twice",
     setup_two_private,
     {owner_join_two, thief_forces_and_steals, thief_forces_and_steals},
     finish},
    {"join and fork anew, forced, a thief asks",
     setup_private,
     {owner_join_fork_join, thief_forces_and_steals, thief_asks},
     finish},
    {"detached and attached, two thieves",
     setup_two_private,
     {owner_detach_and_attach, thief_steals_twice, thief_steals},
     finish},
    {"three jobs joined, forced",
     setup_three_private,
     {owner_join_three, thief_forces_and_steals, thief_steals},
     finish},
    {"no place for a job, forced",
     setup_three_private,
     {owner_beyond_the_end, thief_forces_and_steals},
     finish},
    {"the middle job first, a thief asks",
     setup_three_private,
     {owner_join_middle_first, thief_asks_and_steals},
     finish},
    {"the middle job first, forced",
     setup_three_private,
     {owner_join_middle_first, thief_forces_and_steals},
     finish},
    {"cancelled and forced", setup_cancel, {owner_calms, canceller, thief_forces}, finish_cancel},
    {"an older job first, forced",
     setup_two_private,
     {owner_join_older_first, thief_forces_and_steals},
     finish},
    /* Large: two and a half million states. */
    {"fork and join, a thief asks, another forces",
     setup_empty,
     {owner_fork_two_join_two, thief_asks, thief_forces_and_steals},
     finish},
};

/* Without the compiler barrier the owner could look before it claims. */
static const struct model_scenario broken[] = {
    {"a join that looks, then claims",
     setup_private,
     {owner_looks_then_claims, thief_forces_and_steals},
     finish},
};

int main(int argc, char **argv)
{
    static const struct model_suite suite = {.scenarios = scenarios,
                                             .scenario_count = MODEL_COUNT(scenarios),
                                             .large_count = 1,
                                             .broken = broken,
                                             .broken_count = MODEL_COUNT(broken),
                                             .site_count = LABELS};

    return model_main(&suite, argc, argv);
}
