/*
 * core/fork_deque.h - the jobs a task has forked and not joined: a stack for the owner, and at its
 * old end a queue for thieves. Knows nothing of tasks; sched/fork.c uses it.
 *
 * WHAT   A deque belongs to one task, not to a worker: it moves with the task, so that a forked
 *        function may keep its place in registers across waits. Slots are cache lines in an array.
 *        The public header has the two fast paths (skua/fork_macros.h); here is the rest.
 *
 *            slots: [bottom] [ stolen | public | private ...... ] free ... [end]
 *                            first    tail     split              head
 *
 *        Private jobs are the owner's: fork and join of them cost no atomic read-modify-write and
 *        no fence. Public ones can be stolen, oldest first, by a CAS that moves tail. The owner
 *        moves split: up when somebody asks for work, down when it joins a public job.
 *
 * STATE  slot.fn     not NULL: the slot is taken. Set by a fork (MARK), cleared by a join (CLAIM).
 *        slot.entry, slot.state   of a public job: what to run; 0, its waiting joiner, or DONE.
 *        range       tail in the low half, split in the high.
 *        face        fork_limit and join_limit: what the fast paths compare with. Normally the end
 *                    of the array and slots[split]; "ask me first" (0, the highest address) when
 *                    work is wanted or slow_only, disturbed or forcing is set.
 *        face.head   the plain form's idea of head: right, but for
 *        TYPED       while typed code runs, which keeps head in registers: then it is the end, so
 *                    that the plain form comes to its slow paths, and typed_base tells from where
 *                    to look.
 *        lock        held by whoever moves split; by thieves only to force. Never while waiting.
 *        forcing     a thief is between raising join_limit and publishing: the limit stays up.
 *
 * INVARIANTS
 *   D1  first <= tail <= split <= head, and slots [first, head) are taken, those from head on are
 *       free; but for the moment of a fork or join, which only the owner can observe.
 *   D2  slots [first, tail) are stolen: run by thieves, or done. So if the newest job is stolen,
 *       all are.
 *   D3  tail only moves up, except when it equals split: then no CAS of a thief can succeed, and
 *       the owner may put both anywhere (settle).
 *   D4  Who moves tail from t to t + 1 owns job t until it stores DONE. It touches the slot no more
 *       after that; the memory of a deque stays as long as its pool.
 *   D5  join_limit is never below slots[split] when the owner's next join looks, so every join of a
 *       public job comes to skua_deque_take_back().
 *
 * ORDERING  Labels stand at the operations; MARK and CLAIM are in skua/fork_macros.h.
 *   [mark]     fork: slot.fn, release              partner [see] : the payload is visible to
 *              whoever publishes the job in the owner's stead, and through [publish] to the thief.
 *   [see]      force: slot.fn, acquire             partner [mark]
 *   [publish]  split moves up: CAS of range, release    partner [steal]: entry, state and payload
 *   [steal]    CAS of range that moves tail, acquire    partner [publish]. The CAS reads the latest
 *              value; CASes in between are read-modify-writes and continue the release sequence.
 *   [done]     the thief: slot.state = DONE, release    partner [result]  (sched/fork.c): payload
 *   [result]   the joiner: slot.state, acquire          partner [done]
 *   [claim]    join: slot.fn = 0, then join_limit. force: join_limit, then slot.fn. Store-load on
 *              both sides, and the owner has no fence: the forcer brings the fence for both, by
 *              membarrier(2), between its two steps. Either the join sees the limit and takes the
 *              lock, or the forcer sees that the job is gone. The owner's compiler barrier keeps
 *              its two steps in program order.
 *   Everything else is relaxed: taking public jobs back needs no order, for the owner (or a forcer
 *   it is ordered with by lock) wrote all it reads; a request is advice.
 *
 *   No ABA: a thief reads a slot after its CAS has made it the owner; that range had the same value
 *   before, too, does not matter.
 *
 * PROGRESS  steal: one CAS, which fails if another thief or the owner succeeded. The owner's
 *         take_back: each failed CAS is a steal, at most as many as there are public jobs.
 *
 * WHO    with whom        owner's fast path  owner's others  thief's steal  request  force
 *        owner                 -                 -               yes          yes     yes
 *        thieves              yes               yes              yes          yes   one at a time
 *
 * SEE    T. van Dijk, J. van de Pol, Lace (2014); U. Acar, A. Chargueraud, M. Rainey, Scheduling
 *        parallel programs by work stealing with private deques (2013); asymmetric barriers as in
 *        folly and in liburcu-memb. Differences from Lace: the deque is the task's, not the
 *        worker's; all shared fields are atomic; the owner takes public jobs back by CAS instead
 *        of a fence; jobs can be forced out of the private part; occupied slots are marked, so
 *        that no head needs to be known.
 *
 * TESTS  tests/unit/core/fork_deque_test.cc, tests/model/fork_deque_model.c (this code under a weak
 *        memory model, each label weakened; and by GenMC under RC11 and IMM, see there),
 *        tests/stress/fork_stress.c
 */
#ifndef SKUA_SRC_FORK_DEQUE_H
#define SKUA_SRC_FORK_DEQUE_H

#include "base/compiler.h"
#include "base/spin.h"

#include <skua/fork_macros.h>

#include <stdatomic.h>

#ifndef SKUA_DEQUE_SLOTS
#define SKUA_DEQUE_SLOTS 253u
#endif
#define SKUA_DEQUE_BYTES (sizeof(struct skua_deque))

enum {
    SKUA_DEQUE_BOTTOM = 0, /* always taken: the search for head ends here */
    SKUA_DEQUE_FIRST = 1,
    SKUA_DEQUE_END = SKUA_DEQUE_SLOTS - 1 /* always free */
};

/* slot.state of a public job: 0, the address of its waiting joiner, or this. */
#define SKUA_JOB_DONE ((uintptr_t)1)

struct skua_deque {
    struct skua_fork_deque face; /* first: the fast paths. Owner, and thieves that ask */
    uint64_t offered_ns;         /* owner only: when a fork last answered a request */
    bool offer_woke;             /* owner only: that woke a thief */
    uint32_t offer_pause_ns;     /* owner only: none does for so long after; see BACKOFF */
    _Atomic uint16_t visits;     /* to the slow paths; owner only, thieves look */
    uint8_t tombstone_count;     /* owner only: see sched/fork_plain.c */
    uint8_t typed_base;          /* owner only: 0, or TYPED: the first slot of the typed code */
    unsigned aside_count;        /* owner only: typed jobs, the newest, that are not offered */

    _Atomic uint64_t range SKUA_CACHE_ALIGNED;
    _Atomic bool wanted; /* an idle worker has found nothing here */
    bool orphan;         /* in the list of sched/fork.c; guarded by that list's lock */

    /* Flags of different guards stand apart: compilers read neighbours together. */
    struct skua_spin lock SKUA_CACHE_ALIGNED;
    uint32_t number;         /* in the pool; constant */
    void *_Atomic task;      /* whose it is; see sched/fork.c */
    bool slow_only;          /* no fast paths; guarded by lock */
    struct skua_deque *next; /* in the pool's free list, or that of sched/fork.c */
    bool disturbed;          /* no fast paths, for another reason; guarded by lock */
    bool forcing;            /* no fast joins, a thief forces; guarded by lock */

    struct skua_fork_slot slots[SKUA_DEQUE_SLOTS] SKUA_CACHE_ALIGNED;
};

_Static_assert(sizeof(struct skua_fork_slot) == 64, "a cache line");

/* Stands for a deque where there is none: nothing is offered. In the frame of an outermost call. */
struct skua_fork_stub {
    struct skua_fork_deque face;                      /* as in struct skua_deque */
    struct skua_fork_slot *head;                      /* NULL: what tells the two apart */
    struct skua_fork_slot scratch SKUA_CACHE_ALIGNED; /* the fast path of a join writes here */
};

void skua_fork_stub_init(struct skua_fork_stub *stub);

/* The stub @face belongs to; NULL if it belongs to a deque. */
static inline struct skua_fork_stub *skua_fork_stub_of(struct skua_fork_deque *face)
{
    return face->head == NULL ? (struct skua_fork_stub *)face : NULL;
}

static inline uint32_t skua_deque_tail(uint64_t range)
{
    return (uint32_t)range;
}

static inline uint32_t skua_deque_split(uint64_t range)
{
    return (uint32_t)(range >> 32);
}

static inline uint64_t skua_deque_range(uint32_t tail, uint32_t split)
{
    return tail | (uint64_t)split << 32;
}

/* True if a thief could steal now. A guess for everybody else. */
static inline bool skua_deque_has_public(struct skua_deque *deque)
{
    /* relaxed: a guess */
    uint64_t range = atomic_load_explicit(&deque->range, memory_order_relaxed);
    return skua_deque_tail(range) < skua_deque_split(range);
}

/* Owner: it has come to a slow path. */
static inline void skua_deque_count_visit(struct skua_deque *deque)
{
    /* relaxed: only the owner writes it, and thieves only compare */
    uint16_t visits = atomic_load_explicit(&deque->visits, memory_order_relaxed);
    atomic_store_explicit(&deque->visits, (uint16_t)(visits + 1), memory_order_relaxed);
}

/* Owner: jobs below are public, or stolen. */
static inline struct skua_fork_slot *skua_deque_first_private(struct skua_deque *deque)
{
    /* relaxed: a forcer may move it up; a guess then */
    uint64_t range = atomic_load_explicit(&deque->range, memory_order_relaxed);
    return &deque->slots[skua_deque_split(range)];
}

/* Whether an idle worker has asked and nothing is there for it to take. */
static inline bool skua_deque_is_hungry(struct skua_deque *deque)
{
    /* relaxed: advice */
    return atomic_load_explicit(&deque->wanted, memory_order_relaxed) &&
           !skua_deque_has_public(deque);
}

/* Prepares the zeroed memory of a deque, once. */
void skua_deque_init(struct skua_deque *deque, uint32_t number);

/* Owner: where the next job goes. */
struct skua_fork_slot *skua_deque_head(struct skua_deque *deque);

/* Owner: the plain form's head, where typed code does not hide it. */
static inline void skua_deque_set_head(struct skua_deque *deque, struct skua_fork_slot *head)
{
    if (deque->typed_base == 0)
        deque->face.head = head;
}

/* What skua_deque_enter() found. */
struct skua_deque_mode {
    struct skua_fork_slot *head;
    uint8_t typed_base;
};

/* Owner: code of the typed form, or not, runs from @head on; and back to what was before. */
struct skua_deque_mode skua_deque_enter(struct skua_deque *deque, struct skua_fork_slot *head,
                                        bool typed);
void skua_deque_leave(struct skua_deque *deque, struct skua_deque_mode mode);

/* Owner: whether any job is forked and not joined. */
bool skua_deque_is_empty(struct skua_deque *deque);

/*
 * Owner: makes half of the private jobs public, or all. Returns how many. @only_wanted: does
 * nothing unless somebody has asked.
 */
uint32_t skua_deque_publish(struct skua_deque *deque, bool all, bool only_wanted);

/* Owner: turns the fast paths off or on. */
void skua_deque_set_slow(struct skua_deque *deque, bool slow_only);

/* Anybody: sends all forks and joins of the owner to the slow paths, until it calms the deque. */
void skua_deque_disturb(struct skua_deque *deque);
void skua_deque_calm(struct skua_deque *deque);

/*
 * Owner, joining the job in @slot, which it has claimed: true if it is the owner's to run. False:
 * it is stolen; wait for DONE, then skua_deque_settle().
 */
bool skua_deque_take_back(struct skua_deque *deque, struct skua_fork_slot *slot);

/*
 * Owner, joining a job that is not the newest and not claimed: as skua_deque_take_back(), and if it
 * returns true @left stands in the slot. Under the lock, since a forcer or the publishing of older
 * jobs must not find a job there that is being run.
 */
bool skua_deque_take_older(struct skua_deque *deque, struct skua_fork_slot *slot,
                           skua_fork_entry left);

/* Owner: the newest job, in @slot, was stolen and is done: the slot is free. */
void skua_deque_settle(struct skua_deque *deque, struct skua_fork_slot *slot);

/* Thief: takes the oldest public job. NULL if there is none, or somebody was faster. */
struct skua_fork_slot *skua_deque_steal(struct skua_deque *deque);

/* Thief: asks the owner to publish at its next fork or join. Cheap when that has been asked. */
void skua_deque_request(struct skua_deque *deque);

/* Thief: whether forcing may be of use. */
bool skua_deque_has_private(struct skua_deque *deque);

/*
 * Thief: publishes half of the private jobs without the owner's help. @barrier makes every thread
 * of the process pass a full memory barrier. Returns how many were published.
 */
uint32_t skua_deque_force(struct skua_deque *deque, void (*barrier)(void));

#endif /* SKUA_SRC_FORK_DEQUE_H */
