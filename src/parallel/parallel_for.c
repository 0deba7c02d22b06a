/*
 * parallel/parallel_for.c - loops. How they are split is told in pieces.h.
 */
#include <skua/parallel.h>

#include "parallel/pieces.h"

struct loop {
    struct skua_pieces pieces;
    skua_range_fn fn;
    void *arg;
};

/* What a job is given; in the frame that forked it. */
struct loop_piece {
    struct loop *loop;
    size_t begin;
    size_t end;
};

static void run_piece(struct loop *loop, size_t begin, size_t end);

static intptr_t piece_job(void *arg)
{
    struct loop_piece *piece = arg;
    run_piece(piece->loop, piece->begin, piece->end);
    return 0;
}

/* Offers the upper half, does the lower. */
static void run_halves(struct loop *loop, size_t begin, size_t end)
{
    size_t middle = begin + (end - begin) / 2;
    struct loop_piece upper = {.loop = loop, .begin = middle, .end = end};
    skua_job job;
    (void)skua_fork(&job, piece_job, &upper);
    run_piece(loop, begin, middle);
    skua_pieces_join(&loop->pieces, &job);
}

static void run_leaf(struct loop *loop, size_t begin, size_t end)
{
    struct skua_pace pace;
    skua_pace_begin(&pace, &loop->pieces);
    while (begin < end && !skua_pieces_stopped(&loop->pieces)) {
        if (skua_pace_split(&pace, end - begin)) {
            run_halves(loop, begin, end);
            return;
        }
        size_t count = skua_pace_take(&pace, end - begin);
        int rc = loop->fn(begin, begin + count, loop->arg);
        if (skua_unlikely(rc < 0)) {
            skua_pieces_fail(&loop->pieces, rc);
            return;
        }
        begin += count;
        skua_pace_note(&pace, count);
    }
}

static void run_piece(struct loop *loop, size_t begin, size_t end)
{
    if (skua_pieces_eager(&loop->pieces, end - begin))
        run_halves(loop, begin, end);
    else
        run_leaf(loop, begin, end);
}

int skua_parallel_for(size_t begin, size_t end, size_t grain, skua_range_fn fn, void *arg)
{
    if (fn == NULL || begin > end)
        return -EINVAL;
    if (begin == end)
        return 0;
    struct loop loop = {.fn = fn, .arg = arg};
    int rc = skua_pieces_init(&loop.pieces, end - begin, grain);
    if (rc < 0)
        return rc;
    run_piece(&loop, begin, end);
    return skua_pieces_error(&loop.pieces);
}
