/*
 * core/run_queue.h - a worker's bounded FIFO of ready work, from which others steal half.
 *
 *   who may run with whom     push  pop  take_half  steal  count
 *   owner:  push, pop,         no    no     no       yes    yes
 *           take_half
 *   thief:  steal              yes   yes    yes      yes    yes     (dst is the thief's own queue)
 *
 * The queue holds pointers it never looks behind. See run_queue.c for the invariants and ordering.
 */
#ifndef SKUA_SRC_RUN_QUEUE_H
#define SKUA_SRC_RUN_QUEUE_H

#include "base/compiler.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#ifndef SKUA_RUN_QUEUE_SIZE /* the model checker explores a small one */
#define SKUA_RUN_QUEUE_SIZE 256u
#endif

struct skua_run_queue {
    _Atomic uint64_t head SKUA_CACHE_ALIGNED; /* next to take; CAS by owner and thieves */
    _Atomic uint64_t tail SKUA_CACHE_ALIGNED; /* next to fill; written by the owner only */
    _Atomic(void *) slots[SKUA_RUN_QUEUE_SIZE] SKUA_CACHE_ALIGNED;
};

void skua_run_queue_init(struct skua_run_queue *q);

/* Owner: appends @item (not NULL). False if the queue is full. */
bool skua_run_queue_push(struct skua_run_queue *q, void *item);

/* Owner: takes the oldest item, NULL if there is none. */
void *skua_run_queue_pop(struct skua_run_queue *q);

/* The same for a queue that has no thieves, ever: no locked instruction. */
void *skua_run_queue_pop_alone(struct skua_run_queue *q);

/*
 * Owner, on a full queue: takes the oldest half out, in order, into @items (of size
 * SKUA_RUN_QUEUE_SIZE / 2). Returns how many; 0 if thieves emptied it meanwhile enough to push.
 */
unsigned skua_run_queue_take_half(struct skua_run_queue *q, void **items);

/*
 * Thief: moves the oldest half (rounded up) of @victim to @dst, which the caller owns and which is
 * empty, except for the oldest item, which is returned. NULL if there was nothing; a push during
 * the call may be missed. *@count (not NULL) tells how many were moved, the returned one included.
 */
void *skua_run_queue_steal(struct skua_run_queue *victim, struct skua_run_queue *dst,
                           unsigned *count);

/*
 * Anybody: how many there are, exact for the owner while no thief is at work, else an estimate that
 * is never more than SKUA_RUN_QUEUE_SIZE. 0 means that all that was pushed before the call (in the
 * sense of happens-before) has been taken; the loads are relaxed, so a caller that goes to sleep on
 * it first does a read-modify-write that the pushers' own read-modify-write after the push meets.
 */
unsigned skua_run_queue_count(const struct skua_run_queue *q);

#endif /* SKUA_SRC_RUN_QUEUE_H */
