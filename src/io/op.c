/*
 * io/op.c - batches of ops: through the ring on a worker, by system calls elsewhere, and by the
 * blocking executor where this kernel's ring cannot.
 */
#include "io/op.h"

#include <skua/executor.h>
#include <skua/future.h>

#include "base/alloc.h"
#include "io/op_blocking.h"
#include "io/socket_hint.h"
#include "sched/await.h"
#include "sched/ops.h"
#include "sched/runtime_impl.h"
#include "sched/wait.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUFFERS_MAX 16384u

static intptr_t run_blocking(void *arg)
{
    skua_op_run_blocking(arg);
    return 0;
}

/*
 * Carries out @op on the blocking executor. Its memory is in use until the job is over: no way out.
 */
static void offload(skua_op *op, bool shielded)
{
    skua_future *job = skua_run_in_executor(NULL, run_blocking, op);
    intptr_t rc = 0;
    if (skua_future_wait(job, SKUA_FOREVER, shielded) < 0) {
        (void)skua_future_cancel(job); /* works if it has not started */
        (void)skua_future_wait(job, SKUA_FOREVER, true);
    }
    if (skua_future_take(job, &rc) == 0 && rc < 0)
        op->result = rc; /* it did not run */
}

/*
 * A close that did not reach the kernel leaves the descriptor open: the one op that has no retry.
 */
static bool must_be_done_here(const skua_op *op)
{
    return op->code == SKUA_OP_CLOSE &&
           (op->result == -EAGAIN || op->result == -ENOMEM || op->result == -ESHUTDOWN);
}

/* Whether the number of a descriptor may stand for another file after that. */
static bool gives_numbers_away(uint8_t code)
{
    return code == SKUA_OP_CLOSE || code == SKUA_OP_ACCEPT || code == SKUA_OP_CONNECT;
}

static int submit(skua_op *ops, size_t count, bool shielded)
{
    struct skua_thread *thread = skua_thread_self();
    if (ops == NULL && count > 0)
        return -EINVAL;
    for (size_t i = 0; i < count; i++) {
        if (ops[i].code >= SKUA_OP_CODE_COUNT)
            return -EINVAL;
        if (gives_numbers_away(ops[i].code))
            skua_socket_hint_forget();
    }
    if (thread != NULL && thread->forked)
        return -ECHILD;
    if (!shielded && skua_wait_cancelled()) {
        for (size_t i = 0; i < count; i++)
            ops[i].result = -ECANCELED;
        return -ECANCELED;
    }
    if (thread != NULL && thread->worker != NULL) {
        skua_ops_submit(ops, count, shielded);
        for (size_t i = 0; i < count; i++) {
            if (skua_unlikely(ops[i].result == SKUA_OP_UNSUPPORTED))
                offload(&ops[i], shielded);
            if (skua_unlikely(must_be_done_here(&ops[i])))
                skua_op_run_blocking(&ops[i]);
        }
    } else {
        for (size_t i = 0; i < count; i++)
            skua_op_run_blocking(&ops[i]);
    }
    return !shielded && skua_wait_cancelled() ? -ECANCELED : 0;
}

int skua_op_submit(skua_op *ops, size_t count)
{
    return submit(ops, count, false);
}

int skua_op_submit_shielded(skua_op *ops, size_t count)
{
    return submit(ops, count, true);
}

int64_t skua_op_run(skua_op *op)
{
    for (;;) {
        int submitted = submit(op, 1, false);
        if (submitted < 0 && submitted != -ECANCELED)
            return submitted;
        if (op->result != -EINTR)
            return op->result;
        if (submitted == -ECANCELED || skua_wait_cancelled())
            return -ECANCELED;
    }
}

int skua_buffers_register(const struct iovec *buffers, unsigned count)
{
    struct skua_thread *thread = skua_thread_self();
    if (buffers == NULL || count == 0 || count > BUFFERS_MAX)
        return -EINVAL;
    if (thread == NULL || thread->runtime == NULL)
        return -EPERM;
    struct skua_buffers *set = skua_malloc(sizeof(*set) + count * sizeof(set->iov[0]));
    if (set == NULL)
        return -ENOMEM;
    set->count = count;
    memcpy(set->iov, buffers, count * sizeof(set->iov[0]));
    struct skua_buffers *expected = NULL;
    /* release: partner is the acquire in sched/ops.c. relaxed on failure: not looked behind */
    if (atomic_compare_exchange_strong_explicit(&thread->runtime->buffers, &expected, set,
                                                memory_order_release, memory_order_relaxed))
        return 0;
    free(set);
    return -EBUSY;
}
