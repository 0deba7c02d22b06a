/*
 * sched/fork_impl.h - what fork.c, fork_typed.c and fork_plain.c share.
 */
#ifndef SKUA_SRC_FORK_IMPL_H
#define SKUA_SRC_FORK_IMPL_H

#include "sched/fork.h"

/* Below this address of @host's stack a job runs on another one. */
const char *skua_fork_stack_limit(const struct skua_task *host);

/*
 * The newest job, in @slot and claimed, is joined. True: it was stolen, has been waited for, and
 * its result is in the slot. False: it is the caller's to run.
 */
bool skua_fork_join_newest(struct skua_deque *deque, struct skua_fork_slot *slot);

/* Owner: lets the fast paths work again, or not, whatever holds now: asides, tombstones, cancel. */
void skua_fork_reset_slow(struct skua_deque *deque);

/* Debug builds: aborts with the fork site of the job in @slot, whose task ends. */
_Noreturn void skua_fork_report_unjoined(struct skua_fork_slot *slot);

#endif /* SKUA_SRC_FORK_IMPL_H */
