/*
 * sched/agent.h - whatever can wait: a task on a worker, or a thread (executor, foreign).
 *
 * WHAT   One wait of an agent may be ended by several parties: what it waits for, its deadline, a
 *        cancel. Exactly one of them wins, by a compare-and-swap on the agent's state.
 *
 * STATE  RUNNING    not waiting
 *        PREPARING  wants to wait: sources may be armed; still on its stack
 *        WAITING    off its stack (a thread: in or on its way to a futex)
 *        RESOLVED   somebody has ended the wait; the reason stands beside the phase
 *
 *          RUNNING -> PREPARING            the agent           skua_agent_prepare()
 *          PREPARING, RESOLVED -> RUNNING  the agent           skua_agent_abandon()
 *          PREPARING -> WAITING            its worker, after the switch   skua_agent_commit()
 *          PREPARING, WAITING -> RESOLVED  the winner          skua_agent_resolve()
 *          RESOLVED -> RUNNING             the agent           skua_agent_resumed()
 *
 * INVARIANTS
 *   I1  A task is put in a run queue by the resolver that found it WAITING, or by the commit that
 *       found it RESOLVED: once for each wait, and never while it is on its stack.
 *   I2  Sources are armed between prepare and commit and disarmed by the agent after it resumed; no
 *       source keeps a reference to the agent or its frame after it has been disarmed.
 *   I3  An INTERRUPT is advice: it may come late and hit a later wait. Whoever waits looks at the
 *       reason for the interrupt (its cancel flag, its token) after prepare and after an INTERRUPT,
 *       and waits again if there is none. The memory of a task's agent is type-stable, so a late
 *       interrupt is harmless.
 *   I4  poked is set by every interrupter before it looks at the state, and cleared by the agent in
 *       prepare, before it looks at the reasons. So a reason given after that look leaves poked
 *       set.
 *
 * ORDERING
 *   POKE   The waiter commits (seq_cst read-modify-write of state), then loads poked; the
 *          interrupter sets poked (seq_cst), then loads state (seq_cst). Store-load on both sides,
 *          hence seq_cst: either the interrupter sees the wait, or the commit sees the poke and
 *          interrupts itself. Prepare alone needs no order: an interrupter that misses it leaves
 *          poked set.
 *          The reason itself (cancel flag, token) is stored before that, seq_cst, and looked at
 *          after prepare, seq_cst: with two interrupters the later one's poke may hide the
 *          earlier's, and only the total order says that the earlier's reason is seen.
 *   CLEAR  prepare's exchange that clears a poke it has seen, seq_cst, partner the interrupters'
 *          stores of poked. Acquire would make the reason visible whose poke it reads; that the
 *          reasons of the pokes before are seen as well follows from the total order: reason,
 *          poked, later poked, this, look.
 *   COMMIT commit's seq_cst compare-and-swap, partner RESOLVE: release hands the suspended stack to
 *          the resolver, and through the run queue to the worker that resumes it.
 *   RESOLVE resolve's acq_rel compare-and-swap, partners COMMIT, and the acquire in
 *          skua_agent_resumed() and skua_agent_abandon(): what the resolver wrote (a result) is
 *          visible after.
 *
 * TESTS  tests/model/park_model.c: these functions under a weak memory model, each order weakened.
 *
 * LAST TOUCH  For a task the winner's last touch is putting it in a queue; until then its link is
 *        the winner's. For a thread agent it is the resolve itself: the thread may see it and be
 *        gone at once. Only the address of the state is used after that, for a futex wake, which
 *        does nothing to memory nobody waits on (see platform/futex.h).
 */
#ifndef SKUA_SRC_AGENT_H
#define SKUA_SRC_AGENT_H

#include "base/check.h"
#include "core/inject_queue.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    SKUA_AGENT_RUNNING = 0,
    SKUA_AGENT_PREPARING = 1,
    SKUA_AGENT_WAITING = 2,
    SKUA_AGENT_RESOLVED = 3,
    SKUA_AGENT_PHASE_MASK = 3
};

/* Why a wait ended; in bits 2-3 of a RESOLVED state. */
enum skua_reason { SKUA_REASON_EVENT = 0, SKUA_REASON_TIMEOUT = 1, SKUA_REASON_INTERRUPT = 2 };
#define SKUA_AGENT_REASON_SHIFT 2

/* Not to be interrupted: the wait ends by its event alone. */
#define SKUA_AGENT_DEAF (1u << 4)

/* What is waited for, for reports; in bits 8-15. */
enum skua_wait_kind {
    SKUA_WAIT_NONE = 0,
    SKUA_WAIT_FUTURE,
    SKUA_WAIT_SLEEP,
    SKUA_WAIT_PARK,          /* of a task on its own stack: skua_agent_unpark() may end it */
    SKUA_WAIT_PARK_INDIRECT, /* of one in place, or on an executor thread */
    SKUA_WAIT_IO,
    SKUA_WAIT_JOIN,  /* for a stolen job */
    SKUA_WAIT_SCOPE, /* for its children */
    SKUA_WAIT_MUTEX,
    SKUA_WAIT_RWLOCK,
    SKUA_WAIT_CONDITION,
    SKUA_WAIT_ONCE,
    SKUA_WAIT_SEMAPHORE,
    SKUA_WAIT_EVENT,
    SKUA_WAIT_BARRIER,
    SKUA_WAIT_GROUP,
    SKUA_WAIT_QUEUE,
    SKUA_WAIT_CHANNEL,
    SKUA_WAIT_SELECT,
    SKUA_WAIT_DUE,    /* of a dormant task: for its time; see sched/dormant.h */
    SKUA_WAIT_SOURCE, /* the same: for its source */
    SKUA_WAIT_KIND_COUNT
};
#define SKUA_AGENT_KIND_SHIFT 8

enum skua_agent_type { SKUA_AGENT_TASK = 0, SKUA_AGENT_THREAD = 1 };

struct skua_agent {
    struct skua_link link;  /* in a run queue or a chain to wake; first: queues hold it */
    _Atomic uint32_t state; /* see above */
    _Atomic bool poked;     /* see I4 */
    _Atomic uint8_t type;   /* constant; atomic because a recycled object may be looked at */
    uint16_t socket_hint;   /* a host's own: the socket its task used last; see io/socket_hint.h */
};

static inline enum skua_agent_type skua_agent_type(const struct skua_agent *agent)
{
    /* relaxed: constant */
    return (enum skua_agent_type)atomic_load_explicit(
        &((struct skua_agent *)(uintptr_t)agent)->type, memory_order_relaxed);
}

/* Who won. */
enum skua_resolve { SKUA_RESOLVE_LOST, SKUA_RESOLVE_PREPARING, SKUA_RESOLVE_WAITING };

static inline void skua_agent_init(struct skua_agent *agent, enum skua_agent_type type)
{
    /*
     * relaxed: published with the agent itself. Not atomic_init: a late interrupt may be reading.
     */
    atomic_store_explicit(&agent->type, (uint8_t)type, memory_order_relaxed);
    atomic_store_explicit(&agent->state, SKUA_AGENT_RUNNING, memory_order_relaxed);
    atomic_store_explicit(&agent->poked, false, memory_order_relaxed);
}

/* The agent: announces a wait. Look at the reasons not to wait, and arm the sources, after it. */
static SKUA_ALWAYS_INLINE void skua_agent_prepare(struct skua_agent *agent,
                                                  enum skua_wait_kind kind, bool deaf)
{
    uint32_t state = SKUA_AGENT_PREPARING | ((uint32_t)kind << SKUA_AGENT_KIND_SHIFT);
    if (deaf)
        state |= SKUA_AGENT_DEAF;
    /* relaxed: POKE */
    atomic_store_explicit(&agent->state, state, memory_order_relaxed);
    if (skua_unlikely(atomic_load_explicit(&agent->poked, memory_order_relaxed)))
        (void)atomic_exchange_explicit(&agent->poked, false, memory_order_seq_cst); /* CLEAR */
}

/*
 * The agent: will not wait after all. Disarm the sources before or after, but before their frame
 * ends. True if the event came meanwhile.
 */
static inline bool skua_agent_abandon(struct skua_agent *agent)
{
    /* acquire: partner RESOLVE */
    uint32_t state =
        atomic_exchange_explicit(&agent->state, SKUA_AGENT_RUNNING, memory_order_acquire);
    return (state & SKUA_AGENT_PHASE_MASK) == SKUA_AGENT_RESOLVED &&
           (state >> SKUA_AGENT_REASON_SHIFT & 3) == SKUA_REASON_EVENT;
}

/*
 * After the switch: true if the agent now waits, false if it has been resolved and must be resumed.
 */
static inline bool skua_agent_commit(struct skua_agent *agent)
{
    /* relaxed: the compare-and-swap below decides */
    uint32_t state = atomic_load_explicit(&agent->state, memory_order_relaxed);
    while ((state & SKUA_AGENT_PHASE_MASK) == SKUA_AGENT_PREPARING) {
        uint32_t waiting = (state & ~(uint32_t)SKUA_AGENT_PHASE_MASK) | SKUA_AGENT_WAITING;
        /* COMMIT, POKE. relaxed on failure: skua_agent_resumed() acquires */
        if (atomic_compare_exchange_weak_explicit(&agent->state, &state, waiting,
                                                  memory_order_seq_cst, memory_order_relaxed))
            return true;
    }
    skua_assert((state & SKUA_AGENT_PHASE_MASK) == SKUA_AGENT_RESOLVED);
    return false;
}

/* Anybody: ends the wait for @reason. On SKUA_RESOLVE_WAITING the caller makes the agent ready. */
static inline enum skua_resolve skua_agent_resolve(struct skua_agent *agent,
                                                   enum skua_reason reason)
{
    uint32_t state = atomic_load_explicit(&agent->state, memory_order_seq_cst); /* POKE */
    for (;;) {
        uint32_t phase = state & SKUA_AGENT_PHASE_MASK;
        if (phase != SKUA_AGENT_PREPARING && phase != SKUA_AGENT_WAITING)
            return SKUA_RESOLVE_LOST;
        if (reason == SKUA_REASON_INTERRUPT && (state & SKUA_AGENT_DEAF))
            return SKUA_RESOLVE_LOST;
        uint32_t resolved = SKUA_AGENT_RESOLVED | ((uint32_t)reason << SKUA_AGENT_REASON_SHIFT);
        /* RESOLVE. relaxed on failure: who loses reads nothing of the agent's */
        if (atomic_compare_exchange_weak_explicit(&agent->state, &state, resolved,
                                                  memory_order_acq_rel, memory_order_relaxed))
            return phase == SKUA_AGENT_WAITING ? SKUA_RESOLVE_WAITING : SKUA_RESOLVE_PREPARING;
    }
}

/* The agent, resumed: why. */
static inline enum skua_reason skua_agent_resumed(struct skua_agent *agent)
{
    /* acquire: partner RESOLVE (a no-op where the run queue already ordered it) */
    uint32_t state = atomic_load_explicit(&agent->state, memory_order_acquire);
    skua_assert((state & SKUA_AGENT_PHASE_MASK) == SKUA_AGENT_RESOLVED);
    /* relaxed: only the agent leaves RESOLVED */
    atomic_store_explicit(&agent->state, SKUA_AGENT_RUNNING, memory_order_relaxed);
    return (enum skua_reason)((state >> SKUA_AGENT_REASON_SHIFT) & 3);
}

/* The state of a dormant task's agent (sched/dormant.h): as if it had committed a wait, deaf. */
static inline uint32_t skua_agent_dormant(enum skua_wait_kind kind)
{
    return SKUA_AGENT_WAITING | SKUA_AGENT_DEAF | ((uint32_t)kind << SKUA_AGENT_KIND_SHIFT);
}

/* Its maker, before anybody knows the agent: it waits, without prepare and commit. */
static inline void skua_agent_make_dormant(struct skua_agent *agent, enum skua_wait_kind kind)
{
    /* release: partner is the acquire in skua_agent_take_back() */
    atomic_store_explicit(&agent->state, skua_agent_dormant(kind), memory_order_release);
}

/*
 * Anybody: ends the wait of a dormant task's agent instead of what it waits for. True: the caller
 * has won, and nobody makes the agent ready. Waits of other kinds are left alone: so it does no
 * harm if the task has started meanwhile.
 */
static inline bool skua_agent_take_back(struct skua_agent *agent, enum skua_wait_kind kind)
{
    uint32_t state = skua_agent_dormant(kind);
    uint32_t resolved =
        SKUA_AGENT_RESOLVED | ((uint32_t)SKUA_REASON_INTERRUPT << SKUA_AGENT_REASON_SHIFT);
    /* acquire: partners skua_agent_make_dormant() and COMMIT. relaxed on failure: reads nothing */
    return atomic_compare_exchange_strong_explicit(&agent->state, &state, resolved,
                                                   memory_order_acq_rel, memory_order_relaxed);
}

/*
 * Anybody: ends a wait of kind SKUA_WAIT_PARK as its event. False if the agent is in no such wait.
 * A token given in this way needs no other word to be written.
 */
static inline bool skua_agent_unpark(struct skua_agent *agent, bool *waiting)
{
    /* relaxed: the compare-and-swap verifies; a wait missed here is found by the slow way */
    uint32_t state = atomic_load_explicit(&agent->state, memory_order_relaxed);
    while ((state >> SKUA_AGENT_KIND_SHIFT & 0xff) == SKUA_WAIT_PARK) {
        uint32_t phase = state & SKUA_AGENT_PHASE_MASK;
        if (phase != SKUA_AGENT_PREPARING && phase != SKUA_AGENT_WAITING)
            return false;
        uint32_t resolved =
            SKUA_AGENT_RESOLVED | ((uint32_t)SKUA_REASON_EVENT << SKUA_AGENT_REASON_SHIFT);
        *waiting = phase == SKUA_AGENT_WAITING;
        /* RESOLVE */
        if (atomic_compare_exchange_weak_explicit(&agent->state, &state, resolved,
                                                  memory_order_acq_rel, memory_order_relaxed))
            return true;
    }
    return false;
}

/* True if an interrupter may have missed the wait that has just been committed. */
static inline bool skua_agent_poked(struct skua_agent *agent)
{
    return atomic_load_explicit(&agent->poked, memory_order_seq_cst); /* POKE */
}

/*
 * Pokes, resolves with INTERRUPT and, if that won, makes the agent ready. Anybody, any time (I3).
 * The reason has been stored (seq_cst) before.
 */
void skua_agent_interrupt(struct skua_agent *agent);

#endif /* SKUA_SRC_AGENT_H */
