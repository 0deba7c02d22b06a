/*
 * parallel/pieces.h - what the parallel calls share: when to stop, and how long pieces are.
 *
 * WHAT   A call halves its range, forking the upper half, until a piece is a sixteenth of a
 *        worker's share; so much is offered whether anybody is idle or not, for a fork costs a few
 *        nanoseconds. What is left, a leaf, is done in chunks. Between chunks the leaf looks round:
 *        somebody failed or cancelled: stop; somebody is idle: fork half of the rest. So a loop
 *        whose iterations cost the same runs in large chunks, and one whose do not is split where
 *        the work turns out to be.
 *
 * PACE   How many indices last SKUA_PACE_NS is learned from chunk to chunk, and passed from leaf to
 *        leaf. It grows fourfold at most at a time. A chunk is a small part of a pace, and of a
 *        leaf, for nobody knows whether the next iterations cost what the last did: what a chunk
 *        turns out to hide others cannot help with. But it is no shorter than what makes looking
 *        round cheap; a piece that short is not forked, either. The clock costs more than all else
 *        here, so chunks are measured several at a time.
 *
 * SLOW   Where even a chunk of one grain lasts long, a leaf that looks round after it may keep an
 *        idle worker waiting. There everything is forked down to the grain, and measured, until it
 *        is fast again.
 *
 * STATE  struct skua_pieces stands in the frame of the call, which outlives every piece of it. Its
 *        atomic fields are hints (pace, slow), or are read for their value after the joins, which
 *        order everything (error): all of it is relaxed.
 *
 * SEE    A. Tzannes, G. C. Caragea, R. Barua, U. Vishkin, Lazy binary-splitting (PPoPP 2010), where
 *        every piece looks at its own deque; here it looks at whether anybody asks.
 */
#ifndef SKUA_SRC_PIECES_H
#define SKUA_SRC_PIECES_H

#include <skua/fork.h>
#include <skua/task.h>
#include <skua/time.h>

#include "base/check.h"
#include "sched/fork.h"
#include "sched/runtime_impl.h"

#include <errno.h>
#include <stdatomic.h>

/* What a pace lasts at least; twice as much is too long. */
#define SKUA_PACE_NS (10 * SKUA_NS_PER_US)

/* Grains that last longer than this are slow. */
#define SKUA_PACE_SLOW_NS (100 * SKUA_NS_PER_US)

enum {
    SKUA_PIECES_EAGER = 16,  /* pieces forked without asking, for each worker */
    SKUA_PACE_CHUNKS = 8,    /* chunks in such a piece, at least, if they are not too short */
    SKUA_PACE_MOST = 2,      /* a chunk is half of a pace, at most ... */
    SKUA_PACE_LEAST = 32,    /* ... and a 32nd, at least; looking round costs a tenth of that */
    SKUA_PACE_UNMEASURED = 8 /* chunks from one look at the clock to the next, at most */
};

struct skua_pieces {
    /* constant */
    size_t grain;     /* >= 1; no piece is shorter, unless the whole range is */
    size_t leaf;      /* >= grain; longer pieces are forked without asking */
    size_t chunk_max; /* >= grain */
    bool alone;       /* not a task on a worker: nothing is forked */
    /* shared */
    _Atomic bool slow;   /* see SLOW */
    _Atomic size_t pace; /* >= grain: indices that last about SKUA_PACE_NS, as far as is known */
    _Atomic int error;   /* the first one; 0: none, go on */
};

/* Prepares a call over @count indices, 1 at least. 0, or -ECHILD in a forked child. */
static inline int skua_pieces_init(struct skua_pieces *pieces, size_t count, size_t grain)
{
    struct skua_thread *thread = skua_thread_self();
    if (skua_unlikely(skua_fork_guard_in_child()))
        return -ECHILD;
    pieces->alone = thread == NULL || thread->worker == NULL || thread->task == NULL;
    pieces->grain = skua_max(grain, (size_t)1);
    pieces->leaf = pieces->chunk_max = SIZE_MAX;
    if (!pieces->alone) {
        size_t eager = (size_t)thread->runtime->worker_count * SKUA_PIECES_EAGER;
        size_t share = (count - 1) / eager + 1;
        pieces->leaf = skua_max(share, pieces->grain);
        pieces->chunk_max = skua_max(share / SKUA_PACE_CHUNKS, pieces->grain);
    }
    atomic_init(&pieces->slow, false);
    atomic_init(&pieces->pace, pieces->grain);
    atomic_init(&pieces->error, 0);
    return 0;
}

/* The first error, 0 if there was none. */
static inline int skua_pieces_error(struct skua_pieces *pieces)
{
    /* relaxed: see STATE */
    return atomic_load_explicit(&pieces->error, memory_order_relaxed);
}

/* Stops the call with @error, unless somebody was first. */
static inline void skua_pieces_fail(struct skua_pieces *pieces, int error)
{
    int none = 0;
    skua_assert(error < 0);
    /* relaxed: see STATE */
    atomic_compare_exchange_strong_explicit(&pieces->error, &none, error, memory_order_relaxed,
                                            memory_order_relaxed);
}

/* Whether no more work is to be begun. Looks at the running task's cancel flag, too. */
static inline bool skua_pieces_stopped(struct skua_pieces *pieces)
{
    if (skua_unlikely(skua_pieces_error(pieces) != 0))
        return true;
    if (skua_likely(!skua_cancelled()))
        return false;
    skua_pieces_fail(pieces, -ECANCELED);
    return true;
}

/* Joins a job whose function reports errors through @pieces and returns 0. */
static inline void skua_pieces_join(struct skua_pieces *pieces, skua_job *job)
{
    intptr_t rc = skua_join(job);
    if (skua_unlikely(rc < 0))
        skua_pieces_fail(pieces, (int)rc);
}

/* Whether @count indices are to be forked in two halves at once, without asking who is idle. */
static inline bool skua_pieces_eager(struct skua_pieces *pieces, size_t count)
{
    if (pieces->alone || count / 2 < pieces->grain)
        return false;
    /* relaxed: see STATE */
    size_t pace = atomic_load_explicit(&pieces->pace, memory_order_relaxed);
    return (count > pieces->leaf && count > pace / SKUA_PACE_LEAST) ||
           atomic_load_explicit(&pieces->slow, memory_order_relaxed);
}

/* ---- the chunks of one leaf ------------------------------------------------------------------ */

struct skua_pace {
    struct skua_pieces *pieces;
    size_t pace;      /* as pieces.pace */
    size_t done;      /* indices since last_ns */
    unsigned chunks;  /* the same in chunks */
    bool begun;       /* a chunk has been done */
    uint64_t last_ns; /* when the clock was last looked at */
};

static inline void skua_pace_begin(struct skua_pace *pace, struct skua_pieces *pieces)
{
    pace->pieces = pieces;
    /* relaxed: see STATE */
    pace->pace = atomic_load_explicit(&pieces->pace, memory_order_relaxed);
    pace->done = 0;
    pace->chunks = 0;
    pace->begun = false;
    pace->last_ns = skua_now();
}

/* How many of the @rest indices to do now. What would be left is none or a grain at least. */
static inline size_t skua_pace_take(const struct skua_pace *pace, size_t rest)
{
    size_t chunk = skua_min(pace->pace / SKUA_PACE_MOST, pace->pieces->chunk_max);
    chunk = skua_max(chunk, pace->pace / SKUA_PACE_LEAST);
    chunk = skua_max(chunk, pace->pieces->grain);
    return rest <= chunk || rest - chunk < pace->pieces->grain ? rest : chunk;
}

/* Looks at the clock, learns, and tells the other leaves. Something has been done since. */
static inline void skua_pace_measure(struct skua_pace *pace)
{
    struct skua_pieces *pieces = pace->pieces;
    uint64_t now_ns = skua_now();
    uint64_t lasted_ns = now_ns - pace->last_ns;
    uint64_t part = skua_max(pace->pace / pace->done, (size_t)1); /* of a pace, that was done */
    bool is_slow = false;
    if (lasted_ns >= SKUA_PACE_NS) {
        size_t fits = pace->done / (size_t)(lasted_ns / SKUA_PACE_NS);
        size_t grains = skua_max(pace->done / pieces->grain, (size_t)1);
        is_slow = lasted_ns / grains > SKUA_PACE_SLOW_NS;
        if (fits < pace->pace / 2)
            pace->pace = skua_max(fits, pieces->grain);
    } else if (lasted_ns < SKUA_PACE_NS / part) {
        size_t factor = lasted_ns < SKUA_PACE_NS / 8 / part ? 4 : 2;
        pace->pace = pace->pace < SIZE_MAX / factor ? pace->pace * factor : SIZE_MAX;
    }
    /* Written only when they change, for everybody reads them. relaxed: see STATE */
    if (atomic_load_explicit(&pieces->pace, memory_order_relaxed) != pace->pace)
        atomic_store_explicit(&pieces->pace, pace->pace, memory_order_relaxed);
    if (atomic_load_explicit(&pieces->slow, memory_order_relaxed) != is_slow)
        atomic_store_explicit(&pieces->slow, is_slow, memory_order_relaxed);
    pace->done = 0;
    pace->chunks = 0;
    pace->last_ns = now_ns;
}

/*
 * Whether the @rest of this leaf, 1 at least, is to be forked in two: grains are slow, or an idle
 * worker wants work and half of the rest lasts a microsecond or two, which it costs to hand over.
 * How long it lasts only a leaf knows that has begun; and one that has not would split for ever
 * where a request is not answered at once.
 */
static inline bool skua_pace_split(struct skua_pace *pace, size_t rest)
{
    struct skua_pieces *pieces = pace->pieces;
    if (skua_pieces_eager(pieces, rest))
        return true;
    if (!pace->begun || pieces->alone || rest / 2 < pieces->grain || !skua_fork_hungry())
        return false;
    if (pace->chunks > 0)
        skua_pace_measure(pace);
    return rest / 2 >= pace->pace / 8;
}

/* A chunk of @count indices has just been done. */
static inline void skua_pace_note(struct skua_pace *pace, size_t count)
{
    pace->done += count;
    pace->chunks++;
    pace->begun = true;
    /* relaxed: see STATE */
    if (pace->done >= pace->pace || pace->chunks == SKUA_PACE_UNMEASURED ||
        atomic_load_explicit(&pace->pieces->slow, memory_order_relaxed))
        skua_pace_measure(pace);
}

#endif /* SKUA_SRC_PIECES_H */
