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
 *          PREPARING -> RUNNING            the agent           skua_agent_abandon()
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
 *       reason for the interrupt (its cancel flag, its token) and waits again if there is none. The
 *       memory of an agent of a task is type-stable, so a late interrupt is harmless.
 *
 * ORDERING
 *   PREP   prepare's seq_cst exchange, partner INTR: the waiter stores PREPARING, then loads its
 *          cancel flag or token; the interrupter stores that flag (seq_cst), then loads the state
 *          (seq_cst). One of them sees the other (store-load on both sides: seq_cst). Without it a
 *          cancel between the check and the wait is lost.
 *   COMMIT commit's acq_rel compare-and-swap, partner RESOLVE: release hands the suspended stack to
 *          the resolver, and through the run queue to the worker that resumes it.
 *   RESOLVE resolve's acq_rel compare-and-swap, partner COMMIT; for a thread agent its partner is
 *          the acquire load in the futex loop: what the resolver wrote (a result) is visible after.
 *
 * LAST TOUCH  For a task the winner's last touch is putting it in a queue. For a thread agent it is
 *        the futex wake after the store; the agent may be gone by then, and a wake of a word nobody
 *        waits on does nothing (see platform/futex.h).
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
    SKUA_WAIT_PARK,
    SKUA_WAIT_IO,
    SKUA_WAIT_EXECUTOR,
    SKUA_WAIT_KIND_COUNT
};
#define SKUA_AGENT_KIND_SHIFT 8

enum skua_agent_type { SKUA_AGENT_TASK = 0, SKUA_AGENT_THREAD = 1 };

struct skua_agent {
    struct skua_link link;  /* in a run queue or a chain to wake; first: queues hold it */
    _Atomic uint32_t state; /* see above */
    uint32_t type;          /* constant */
};

/* Who won. */
enum skua_resolve { SKUA_RESOLVE_LOST, SKUA_RESOLVE_PREPARING, SKUA_RESOLVE_WAITING };

static inline void skua_agent_init(struct skua_agent *agent, enum skua_agent_type type)
{
    agent->link.next = NULL;
    agent->type = (uint32_t)type;
    /*
     * relaxed: published with the agent itself. Not atomic_init: a late interrupt may be reading.
     */
    atomic_store_explicit(&agent->state, SKUA_AGENT_RUNNING, memory_order_relaxed);
}

/* The agent: announces a wait. Arm the sources after it. */
static inline void skua_agent_prepare(struct skua_agent *agent, enum skua_wait_kind kind, bool deaf)
{
    uint32_t state = SKUA_AGENT_PREPARING | ((uint32_t)kind << SKUA_AGENT_KIND_SHIFT);
    if (deaf)
        state |= SKUA_AGENT_DEAF;
    /* PREP */
    (void)atomic_exchange_explicit(&agent->state, state, memory_order_seq_cst);
}

/*
 * The agent: will not wait after all. Disarm the sources before or after, but before their frame
 * ends.
 */
static inline void skua_agent_abandon(struct skua_agent *agent)
{
    /* relaxed: whoever resolved meanwhile did nothing but this word; the sources carry the order */
    atomic_store_explicit(&agent->state, SKUA_AGENT_RUNNING, memory_order_relaxed);
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
        /* COMMIT */
        if (atomic_compare_exchange_weak_explicit(&agent->state, &state, waiting,
                                                  memory_order_acq_rel, memory_order_acquire))
            return true;
    }
    skua_assert((state & SKUA_AGENT_PHASE_MASK) == SKUA_AGENT_RESOLVED);
    return false;
}

/* Anybody: ends the wait for @reason. On SKUA_RESOLVE_WAITING the caller makes the agent ready. */
static inline enum skua_resolve skua_agent_resolve(struct skua_agent *agent,
                                                   enum skua_reason reason)
{
    uint32_t state = atomic_load_explicit(&agent->state, memory_order_seq_cst); /* INTR */
    for (;;) {
        uint32_t phase = state & SKUA_AGENT_PHASE_MASK;
        if (phase != SKUA_AGENT_PREPARING && phase != SKUA_AGENT_WAITING)
            return SKUA_RESOLVE_LOST;
        if (reason == SKUA_REASON_INTERRUPT && (state & SKUA_AGENT_DEAF))
            return SKUA_RESOLVE_LOST;
        uint32_t resolved = SKUA_AGENT_RESOLVED | ((uint32_t)reason << SKUA_AGENT_REASON_SHIFT);
        /* RESOLVE */
        if (atomic_compare_exchange_weak_explicit(&agent->state, &state, resolved,
                                                  memory_order_acq_rel, memory_order_acquire))
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

/* Makes a resolved agent run again: queues the task, or wakes the thread. Anybody. */
void skua_agent_ready(struct skua_agent *agent);

/* Resolves with INTERRUPT and, if it won, makes the agent ready. Anybody, any time (I3). */
void skua_agent_interrupt(struct skua_agent *agent);

#endif /* SKUA_SRC_AGENT_H */
