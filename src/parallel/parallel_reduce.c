/*
 * parallel/parallel_reduce.c - reductions. How they are split is told in pieces.h.
 *
 * ORDER  Every piece adds its part of the range to an accumulator in which everything on the
 *        accumulator's left is already, or to one of its own that is combined with its left
 *        neighbour's afterwards. So nothing is ever combined out of order.
 *
 * LAZY   A job that starts after its left neighbour has ended needs no accumulator of its own: it
 *        goes on with the neighbour's. That is every job that nobody took, so accumulators are made
 *        and combined only where work has changed hands. The forker says so before its join:
 *          LEFT_DONE   release store, partner: the acquire load of the job. What the left part did
 *                      to its accumulator is visible; without it the job might start from a stale
 *                      one. A job that misses the store has an accumulator of its own, no harm.
 *
 * FIXED  With SKUA_REDUCE_DETERMINISTIC the tree of pieces follows from the range and the grain
 *        alone, every piece has an accumulator that starts with the identity, and every inner node
 *        combines. Who runs which part of that tree is as free as before.
 *
 * Accumulators up to SMALL_BYTES stand in the frame of whoever adds to them, and are copied once:
 * the frame of the forker is hot, and not to be written to by another worker all the time.
 */
#include <skua/parallel.h>

#include "base/alloc.h"
#include "parallel/pieces.h"

#include <stdlib.h>
#include <string.h>

enum { ACCUMULATOR_MAX_BYTES = 65536, SMALL_BYTES = 128, FIXED_GRAIN = 1024 };

struct reduction {
    struct skua_pieces pieces;
    const skua_reduce_ops *ops;
    void *arg;
};

/* An accumulator: bytes is small or, if it does not fit there, allocated. */
struct accumulator {
    char *bytes; /* NULL: none */
    max_align_t small[SMALL_BYTES / sizeof(max_align_t)];
};

/* What a job is given; in the frame that forked it. */
struct reduce_piece {
    struct reduction *reduction;
    size_t begin;
    size_t end;
    char *left;               /* the accumulator on the left */
    _Atomic bool left_done;   /* LEFT_DONE: the forker will not touch left before the join */
    struct accumulator right; /* the job's own, if it needed one; read after the join */
};

/* Starts an accumulator with the identity. False: no memory, and the call has been told. */
static bool accumulator_init(struct accumulator *accumulator, struct reduction *reduction)
{
    const skua_reduce_ops *ops = reduction->ops;
    accumulator->bytes = (char *)accumulator->small;
    if (ops->size_bytes > SMALL_BYTES)
        accumulator->bytes = skua_malloc(ops->size_bytes);
    if (skua_unlikely(accumulator->bytes == NULL)) {
        skua_pieces_fail(&reduction->pieces, -ENOMEM);
        return false;
    }
    if (ops->identity != NULL)
        memcpy(accumulator->bytes, ops->identity, ops->size_bytes);
    else
        memset(accumulator->bytes, 0, ops->size_bytes);
    return true;
}

static void accumulator_fini(struct accumulator *accumulator)
{
    if (accumulator->bytes != (char *)accumulator->small)
        free(accumulator->bytes);
}

/* Hands the contents of @from, which is gone then, to @to, which has none. */
static void accumulator_move(struct accumulator *to, struct accumulator *from, size_t size_bytes)
{
    to->bytes = from->bytes;
    if (from->bytes == (char *)from->small) {
        to->bytes = (char *)to->small;
        memcpy(to->bytes, from->bytes, size_bytes);
    }
}

/* Calls the user's function. False: it failed, and the call has been told. */
static bool add_range(struct reduction *reduction, size_t begin, size_t end, char *accumulator)
{
    int rc = reduction->ops->range(begin, end, accumulator, reduction->arg);
    if (skua_likely(rc >= 0))
        return true;
    skua_pieces_fail(&reduction->pieces, rc);
    return false;
}

/* *@left combined with what a joined job has left, if it has. */
static void combine_right(struct reduce_piece *piece)
{
    const struct reduction *reduction = piece->reduction;
    if (piece->right.bytes == NULL)
        return;
    reduction->ops->combine(piece->left, piece->right.bytes, reduction->arg);
    accumulator_fini(&piece->right);
}

/* ---- pieces as the load wants them ----------------------------------------------------------- */

static void add_piece(struct reduction *reduction, size_t begin, size_t end, char *accumulator);

static intptr_t add_job(void *arg)
{
    struct reduce_piece *piece = arg;
    struct accumulator own;
    /* acquire: LEFT_DONE */
    if (atomic_load_explicit(&piece->left_done, memory_order_acquire)) {
        add_piece(piece->reduction, piece->begin, piece->end, piece->left);
    } else if (accumulator_init(&own, piece->reduction)) {
        add_piece(piece->reduction, piece->begin, piece->end, own.bytes);
        accumulator_move(&piece->right, &own, piece->reduction->ops->size_bytes);
    }
    return 0;
}

/* Offers the upper half, does the lower. */
static void add_halves(struct reduction *reduction, size_t begin, size_t end, char *accumulator)
{
    size_t middle = begin + (end - begin) / 2;
    struct reduce_piece upper;
    skua_job job;
    upper.reduction = reduction;
    upper.begin = middle;
    upper.end = end;
    upper.left = accumulator;
    upper.right.bytes = NULL;
    atomic_init(&upper.left_done, false);
    (void)skua_fork(&job, add_job, &upper);
    add_piece(reduction, begin, middle, accumulator);
    /* release: LEFT_DONE */
    atomic_store_explicit(&upper.left_done, true, memory_order_release);
    skua_pieces_join(&reduction->pieces, &job);
    combine_right(&upper);
}

static void add_leaf(struct reduction *reduction, size_t begin, size_t end, char *accumulator)
{
    struct skua_pace pace;
    skua_pace_begin(&pace, &reduction->pieces);
    while (begin < end && !skua_pieces_stopped(&reduction->pieces)) {
        if (skua_pace_split(&pace, end - begin)) {
            add_halves(reduction, begin, end, accumulator);
            return;
        }
        size_t count = skua_pace_take(&pace, end - begin);
        if (!add_range(reduction, begin, begin + count, accumulator))
            return;
        begin += count;
        skua_pace_note(&pace, count);
    }
}

static void add_piece(struct reduction *reduction, size_t begin, size_t end, char *accumulator)
{
    if (skua_pieces_eager(&reduction->pieces, end - begin))
        add_halves(reduction, begin, end, accumulator);
    else
        add_leaf(reduction, begin, end, accumulator);
}

/* ---- pieces as the range wants them ---------------------------------------------------------- */

static void fixed_piece(struct reduction *reduction, size_t begin, size_t end, char *accumulator);

static intptr_t fixed_job(void *arg)
{
    struct reduce_piece *piece = arg;
    struct accumulator own;
    if (accumulator_init(&own, piece->reduction)) {
        fixed_piece(piece->reduction, piece->begin, piece->end, own.bytes);
        accumulator_move(&piece->right, &own, piece->reduction->ops->size_bytes);
    }
    return 0;
}

/* Both halves, the upper one offered to others if @offer. */
static void fixed_halves(struct reduction *reduction, size_t begin, size_t end, char *accumulator,
                         bool offer)
{
    size_t middle = begin + (end - begin) / 2;
    struct reduce_piece upper;
    skua_job job;
    upper.reduction = reduction;
    upper.begin = middle;
    upper.end = end;
    upper.left = accumulator;
    upper.right.bytes = NULL;
    if (offer)
        (void)skua_fork(&job, fixed_job, &upper);
    fixed_piece(reduction, begin, middle, accumulator);
    if (offer)
        skua_pieces_join(&reduction->pieces, &job);
    else
        (void)fixed_job(&upper);
    combine_right(&upper);
}

/* *@accumulator is the identity. */
static void fixed_piece(struct reduction *reduction, size_t begin, size_t end, char *accumulator)
{
    struct skua_pieces *pieces = &reduction->pieces;
    size_t count = end - begin;
    if (count > pieces->grain) {
        bool offer = !pieces->alone && (count > pieces->leaf || skua_fork_hungry());
        fixed_halves(reduction, begin, end, accumulator, offer);
    } else if (!skua_pieces_stopped(pieces)) {
        (void)add_range(reduction, begin, end, accumulator);
    }
}

/* ---- the call -------------------------------------------------------------------------------- */

static bool ops_valid(const skua_reduce_ops *ops)
{
    return ops != NULL && ops->range != NULL && ops->combine != NULL && ops->size_bytes != 0 &&
           ops->size_bytes <= ACCUMULATOR_MAX_BYTES &&
           (ops->flags & ~SKUA_REDUCE_DETERMINISTIC) == 0 && ops->reserved_flags == 0 &&
           ops->reserved[0] == 0 && ops->reserved[1] == 0 && ops->reserved[2] == 0 &&
           ops->reserved[3] == 0;
}

/* Reduces a range that is not empty into *@accumulator, which is the identity. 0 or -errno. */
static int reduce(struct reduction *reduction, size_t begin, size_t end, char *accumulator)
{
    if (reduction->ops->flags & SKUA_REDUCE_DETERMINISTIC)
        fixed_piece(reduction, begin, end, accumulator);
    else
        add_piece(reduction, begin, end, accumulator);
    return skua_pieces_error(&reduction->pieces);
}

int skua_parallel_reduce(size_t begin, size_t end, size_t grain, const skua_reduce_ops *ops,
                         void *arg, void *result)
{
    if (!ops_valid(ops) || result == NULL || begin > end)
        return -EINVAL;
    if (grain == 0 && (ops->flags & SKUA_REDUCE_DETERMINISTIC))
        grain = FIXED_GRAIN;
    struct reduction reduction = {.ops = ops, .arg = arg};
    struct accumulator whole;
    int rc = skua_pieces_init(&reduction.pieces, skua_max(end - begin, (size_t)1), grain);
    if (rc < 0)
        return rc;
    if (!accumulator_init(&whole, &reduction))
        return -ENOMEM;
    if (begin < end)
        rc = reduce(&reduction, begin, end, whole.bytes);
    if (rc == 0)
        memcpy(result, whole.bytes, ops->size_bytes);
    accumulator_fini(&whole);
    return rc;
}
