/*
 * sched/scope.h - scopes and shields: whose waits a cancel ends, and which tasks are joined when.
 *
 * WHAT   A scope stands in the frame of its body. The body's task has a chain of its open scopes
 *        and shields, which only that task changes, and walks: while it runs, or somebody for it
 *        while it is parked. What others need to know of the chain is in task.cancel:
 *          TASK    cancelled for good (skua_cancel(), or as the child of a cancelled scope)
 *          SCOPE   an open scope of it is cancelled
 *          SHIELD  it has an open shield: then the chain must be asked (skua_frames_cancelled())
 *
 * CHILDREN  Those the body spawns are in mine, a list that the body alone changes, without atomic
 *        read-modify-writes; all others are in theirs, under the lock. Both hold a reference of
 *        each child. Children are taken out when they have ended, by the body as it waits, or by
 *        whoever adds when there are many; not while a canceller walks.
 *
 * CANCEL cause goes from RUNNING to its reason by a compare-and-swap: one canceller wins. It sets
 *        walking, under the lock, then SCOPE in the body's task, interrupts that, cancels all
 *        children it finds, and ends walking. A child that is added meanwhile is either found, or
 *          theirs  who adds it, under the lock, sees the cause, and cancels it;
 *          mine    the body sees the cause when it next spawns, or waits for its children.
 *        A child's task is cancelled for good: its scope lasts longer than it does.
 *
 * LAST TOUCH  A child touches its scope before it stores DONE (skua_scope_child_failed), never
 *        after. A canceller: it clears walking under the lock, and wakes the body, if that waits
 *        for it, as the last thing; the body does not go before walking is false. A timer that
 *        fires sets walking under the timer lock, which the body takes to disarm it.
 *
 * ORDERING  cause, then task.cancel, then the interrupt, all seq_cst (POKE in agent.h). When the
 *        body leaves a scope it works out SCOPE and SHIELD anew and stores them; then it looks at
 *        the causes again: either it sees one that came meanwhile, or that canceller's setting of
 *        SCOPE comes after (store-load on both sides).
 *        mine: next and first are written with release, partner the canceller's acquire.
 *        Everything relaxed is the body's own, or guarded by the lock, or a report (by).
 */
#ifndef SKUA_SRC_SCOPE_H
#define SKUA_SRC_SCOPE_H

#include <skua/scope.h>

#include "sched/task.h"

/* A scope or shield in the chain of a task. */
struct skua_frame {
    struct skua_frame *outer;
    struct skua_task *task; /* whose; constant */
    bool is_shield;         /* constant */
    _Atomic uint8_t cause;  /* enum skua_scope_cause; of a scope */
};

/* Owner, or for a parked task: whether a scope inside its innermost shield is cancelled. */
bool skua_frames_cancelled(const struct skua_task *task);

/* A scoped child ends with an error; before its future is done. */
void skua_scope_child_failed(struct skua_task *child, intptr_t value);

#endif /* SKUA_SRC_SCOPE_H */
