/*
 * parallel/parallel_invoke.c - several calls at once. Halved down to single calls, each of which is
 * offered: calls may wait, and all of them can wait at the same time.
 */
#include <skua/parallel.h>

#include "parallel/pieces.h"

struct invocation {
    struct skua_pieces pieces; /* error: calls were left out */
};

/* What a job is given; in the frame that forked it. */
struct invoke_piece {
    struct invocation *invocation;
    skua_call *calls;
    size_t count;
};

static void make_calls(struct invocation *invocation, skua_call *calls, size_t count);

static intptr_t piece_job(void *arg)
{
    struct invoke_piece *piece = arg;
    make_calls(piece->invocation, piece->calls, piece->count);
    return 0;
}

static void make_calls(struct invocation *invocation, skua_call *calls, size_t count)
{
    if (count == 1) {
        if (!skua_pieces_stopped(&invocation->pieces))
            calls->result = calls->fn(calls->arg);
        return;
    }
    size_t half = count / 2;
    struct invoke_piece upper = {invocation, calls + half, count - half};
    skua_job job;
    if (invocation->pieces.alone) {
        make_calls(invocation, calls, half);
        make_calls(invocation, upper.calls, upper.count);
        return;
    }
    (void)skua_fork(&job, piece_job, &upper);
    make_calls(invocation, calls, half);
    skua_pieces_join(&invocation->pieces, &job);
}

int skua_parallel_invoke(skua_call *calls, size_t count)
{
    if (count == 0)
        return 0;
    if (calls == NULL)
        return -EINVAL;
    for (size_t i = 0; i < count; i++) {
        if (calls[i].fn == NULL)
            return -EINVAL;
    }
    struct invocation invocation;
    int rc = skua_pieces_init(&invocation.pieces, count, 1);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < count; i++)
        calls[i].result = -ECANCELED;
    make_calls(&invocation, calls, count);
    return skua_pieces_error(&invocation.pieces);
}
