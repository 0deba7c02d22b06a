/*
 * engine/uring_guess.h - whether a receive that may have to wait is to poll first.
 *
 * WHAT   A receive that finds nothing costs the kernel an attempt, which IORING_RECVSEND_POLL_FIRST
 *        saves (5 % of an echo's CPU time). One whose data is there by then costs more with the
 *        flag: a poll, and another turn in the kernel's queue (5 to 10 % of an echo with a
 *        thousand connections, whose clients have answered when the worker comes round to them).
 *        Which of the two it will be depends on how busy the worker and its peers are, so it is
 *        learned: as long as few are found ready one in TRY_EACH goes without the flag, else all
 *        do; of those one at a time is watched.
 *
 * WHO    The ring's owner, or its rescuer under the same lock. One for each ring.
 *
 * STATE  tried == NULL: nobody is watched.
 *        tried, !passed: it is in the submission queue.
 *        tried, passed: an enter has taken it. Had its data been there, then its completion is in
 *        the CQ by now, before the one numbered end: so it was not ready when that one is taken.
 *        After an enter that waited nothing can be told, and that counts as not ready: where the
 *        worker has time to wait it should poll first.
 *
 * The op is compared, never looked at. It is forgotten when it is over, so its address is not that
 * of another.
 */
#ifndef SKUA_SRC_URING_GUESS_H
#define SKUA_SRC_URING_GUESS_H

#include <skua/op.h>

#include <stdbool.h>
#include <stddef.h>

struct skua_uring_guess {
    const skua_op *tried;
    bool passed;
    unsigned end;
    unsigned untried; /* receives since the last that did not poll first */
    unsigned ready;   /* how many of SKUA_GUESS_ALL have been ready of late, estimated */
};

#define SKUA_GUESS_ALL 256u
#define SKUA_GUESS_PAYS (SKUA_GUESS_ALL / 4) /* what is saved is less than what else is paid */
#define SKUA_GUESS_LAST 8u                   /* how many count, about */
#define SKUA_GUESS_TRY_EACH 16u

static inline void skua_guess_judge(struct skua_uring_guess *guess, bool was_ready)
{
    guess->tried = NULL;
    guess->ready -= guess->ready / SKUA_GUESS_LAST;
    if (was_ready)
        guess->ready += SKUA_GUESS_ALL / SKUA_GUESS_LAST;
}

/* Whether the receive @op, about to be queued, is to poll first. */
static inline bool skua_guess_polls_first(struct skua_uring_guess *guess, const skua_op *op)
{
    if (guess->ready < SKUA_GUESS_PAYS && ++guess->untried < SKUA_GUESS_TRY_EACH)
        return true;
    guess->untried = 0;
    if (guess->tried == NULL) {
        guess->tried = op;
        guess->passed = false;
    }
    return false;
}

/* After an enter that has taken the queue; @tail: of the CQ. */
static inline void skua_guess_entered(struct skua_uring_guess *guess, bool waited, unsigned tail)
{
    if (guess->tried == NULL)
        return;
    if (waited)
        skua_guess_judge(guess, false);
    else if (!guess->passed)
        guess->end = tail;
    guess->passed = true;
}

/* The completion numbered @number is taken off the CQ. @op: whose it is, or NULL. */
static inline void skua_guess_taken(struct skua_uring_guess *guess, unsigned number,
                                    const skua_op *op)
{
    if (guess->tried == NULL)
        return;
    bool late = guess->passed && (int)(number - guess->end) >= 0;
    if (late || op == guess->tried)
        skua_guess_judge(guess, !late);
}

#endif /* SKUA_SRC_URING_GUESS_H */
