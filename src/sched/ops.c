/*
 * sched/ops.c - see ops.h.
 */
#include "sched/ops.h"

#include "sched/runtime_impl.h"
#include "sched/wait.h"

#include <errno.h>

/* In skua_op.reserved. */
#define IN_FLIGHT 1u
#define CANCEL_SENT 2u

/*
 * What the ops of one call have in common. In the task's frame; touched on its ring's thread only.
 */
struct batch {
    struct skua_task *host;
    struct skua_task *task; /* whose cancel counts */
    skua_op *ops;
    size_t count;
    size_t remaining; /* in flight, plus one while the call is still submitting */
    bool shielded;
};

/* None of @host's ops is in flight any more: resumes it, after which its frames may be gone. */
static void resume(struct skua_task *host)
{
    /* release: FIND. A canceller that still sees the worker has it look for nothing. */
    atomic_store_explicit(&host->io_worker, SKUA_NO_WORKER, memory_order_release);
    if (skua_agent_resolve(&host->agent, SKUA_REASON_EVENT) != SKUA_RESOLVE_WAITING)
        return;
    skua_task_prefetch(host);
    skua_schedule(host);
}

/* Of the only op of a call: touches the op and its host, which the engine has fetched. */
static void only_op_done(skua_op *op)
{
    struct skua_op_private *private_ = skua_op_private(op);
    skua_list_remove(&private_->link);
    op->reserved = 0;
    resume(private_->waiter);
}

/* Of one of several. */
static void op_done(skua_op *op)
{
    struct skua_op_private *private_ = skua_op_private(op);
    struct skua_task *host = private_->waiter;
    struct batch *batch = (struct batch *)(void *)host->agent.link.next; /* FIND */
    skua_list_remove(&private_->link);
    op->reserved = 0;
    if (--batch->remaining == 0)
        resume(host);
}

/* Buffers are registered with a ring when it first needs them. */
static void register_buffers(struct skua_worker *worker)
{
    /* acquire: partner is the store in skua_buffers_register() */
    struct skua_buffers *buffers =
        atomic_load_explicit(&worker->thread.runtime->buffers, memory_order_acquire);
    if (buffers == NULL || worker->buffers_epoch != 0)
        return;
    worker->buffers_epoch = 1;
    /* Refused (RLIMIT_MEMLOCK): the engine does them as plain reads and writes. */
    (void)worker->engine->ops->buffers(worker->engine, buffers->iov, buffers->count);
}

static void submit_one(struct skua_worker *worker, struct batch *batch, skua_op *op)
{
    struct skua_op_private *private_ = skua_op_private(op);
    if (op->code == SKUA_OP_READ_FIXED || op->code == SKUA_OP_WRITE_FIXED)
        register_buffers(worker);
    private_->complete = batch->count == 1 ? only_op_done : op_done;
    private_->waiter = batch->host;
    int rc = worker->engine->ops->submit(worker->engine, op);
    if (rc < 0) {
        op->reserved = 0;
        op->result = rc == -ENOSYS ? SKUA_OP_UNSUPPORTED : rc;
        return;
    }
    if (rc > 0) { /* over */
        op->reserved = 0;
        return;
    }
    op->reserved = IN_FLIGHT;
    skua_list_init(&private_->link);
    batch->remaining++;
}

static void cancel_one(struct skua_worker *worker, skua_op *op)
{
    if (op->reserved != IN_FLIGHT)
        return; /* over, never begun, or asked before */
    op->reserved |= CANCEL_SENT;
    skua_list_remove(&skua_op_private(op)->link);
    skua_list_push(&worker->cancelled, &skua_op_private(op)->link);
    worker->engine->ops->cancel(worker->engine, op);
}

void skua_ops_after_poll(struct skua_worker *worker)
{
    if (skua_likely(!worker->engine->cancel_missed))
        return;
    worker->engine->cancel_missed = false;
    for (struct skua_list *link = worker->cancelled.next; link != &worker->cancelled;
         link = link->next)
        worker->engine->ops->cancel(worker->engine, skua_op_of_link(link));
}

static void cancel_batch(struct skua_worker *worker, struct batch *batch)
{
    if (batch->shielded || !skua_task_cancelled(batch->task))
        return;
    for (size_t i = 0; i < batch->count; i++)
        cancel_one(worker, &batch->ops[i]);
}

void skua_ops_submit(skua_op *ops, size_t count, bool shielded)
{
    struct skua_wait wait;
    struct skua_thread *thread = skua_thread_self();
    struct skua_worker *worker = thread->worker;
    (void)skua_wait_begin(&wait, SKUA_WAIT_IO, true, SKUA_FOREVER); /* no timer: cannot fail */
    struct batch batch = {.host = thread->host,
                          .task = thread->task,
                          .ops = ops,
                          .count = count,
                          .remaining = 1,
                          .shielded = shielded};
    thread->host->agent.link.next = (struct skua_link *)(void *)&batch; /* FIND */
    /* seq_cst: CANCEL */
    atomic_store_explicit(&thread->host->io_worker, (uint16_t)worker->index, memory_order_seq_cst);
    skua_worker_engine_lock(worker);
    for (size_t i = 0; i < count; i++)
        submit_one(worker, &batch, &ops[i]);
    bool none = batch.remaining == 1;
    if (none)
        atomic_store_explicit(&thread->host->io_worker, SKUA_NO_WORKER, memory_order_release);
    else
        cancel_batch(worker, &batch);
    batch.remaining--; /* completions come from poll(), or rescue(): not before the unlock */
    skua_worker_engine_unlock(worker);
    if (none)
        (void)skua_wait_abandon(&wait);
    else
        (void)skua_wait_park(&wait);
}

int skua_ops_submit_bare(struct skua_worker *worker, skua_op *op, void (*complete)(skua_op *))
{
    struct skua_op_private *private_ = skua_op_private(op);
    op->reserved = 0;
    private_->complete = complete;
    private_->waiter = NULL;
    skua_list_init(&private_->link);
    skua_worker_engine_lock(worker);
    unsigned at_once = worker->engine->at_once;
    worker->engine->at_once = 0; /* @complete is to be called */
    int rc = worker->engine->ops->submit(worker->engine, op);
    worker->engine->at_once = at_once;
    skua_worker_engine_unlock(worker);
    return rc;
}

/* FIND: the batch of @host if it waits for ops of @worker, whose engine_lock is held; else NULL. */
static struct batch *batch_of(struct skua_worker *worker, struct skua_task *host)
{
    /* acquire: partner is the owner's store, and so what it wrote before, if this is a rescuer */
    if (atomic_load_explicit(&host->io_worker, memory_order_acquire) != worker->index)
        return NULL;
    return (struct batch *)(void *)host->agent.link.next;
}

/* Of any object there is or was: only one that is a task which has started has a batch. */
static void cancel_object(void *object, void *arg)
{
    struct skua_task *host = object;
    struct skua_worker *worker = arg;
    /* acquire: partner CLAIM; io_worker is set before */
    if (atomic_load_explicit(&host->run, memory_order_acquire) != SKUA_RUN_STARTED)
        return;
    struct batch *batch = batch_of(worker, host);
    if (batch != NULL)
        cancel_batch(worker, batch);
}

static void cancel_all(struct skua_worker *worker)
{
    skua_slab_for_each(worker->thread.runtime->objects, cancel_object, worker);
}

/* Takes the hosts that were left. Their number, or one more than the maximum: there were more. */
static unsigned take_cancels(struct skua_worker *worker, struct skua_task **hosts)
{
    skua_spin_lock(&worker->cancels.lock);
    unsigned count = worker->cancels.count;
    for (unsigned i = 0; i < count && i < SKUA_OPS_CANCELS_MAX; i++)
        hosts[i] = worker->cancels.hosts[i];
    worker->cancels.count = 0;
    skua_spin_unlock(&worker->cancels.lock);
    return count;
}

void skua_ops_cancel_scan_locked(struct skua_worker *worker)
{
    /* seq_cst: first cleared, then looked; who sets it later makes us look again */
    atomic_store_explicit(&worker->cancel_scan, false, memory_order_seq_cst);
    struct skua_task *hosts[SKUA_OPS_CANCELS_MAX];
    unsigned count = take_cancels(worker, hosts);
    if (count > SKUA_OPS_CANCELS_MAX ||
        atomic_load_explicit(&worker->thread.runtime->cancel_all, memory_order_seq_cst)) {
        cancel_all(worker);
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        struct batch *batch = batch_of(worker, hosts[i]);
        if (batch != NULL)
            cancel_batch(worker, batch);
    }
}

void skua_ops_cancel_scan(struct skua_worker *worker)
{
    skua_worker_engine_lock(worker);
    skua_ops_cancel_scan_locked(worker);
    skua_worker_engine_unlock(worker);
}

static void note_cancel(struct skua_worker *worker, struct skua_task *host)
{
    skua_spin_lock(&worker->cancels.lock);
    if (worker->cancels.count < SKUA_OPS_CANCELS_MAX)
        worker->cancels.hosts[worker->cancels.count++] = host;
    else
        worker->cancels.count = SKUA_OPS_CANCELS_MAX + 1;
    skua_spin_unlock(&worker->cancels.lock);
    atomic_store_explicit(&worker->cancel_scan, true, memory_order_seq_cst);
    worker->engine->ops->wake(worker->engine);
}

void skua_ops_cancel(struct skua_task *task)
{
    struct skua_task *host = skua_task_host(task);
    /* seq_cst: CANCEL */
    uint16_t index = atomic_load_explicit(&host->io_worker, memory_order_seq_cst);
    if (index == SKUA_NO_WORKER)
        return;
    skua_runtime *runtime = task->runtime;
    if (!skua_runtime_pin(runtime))
        return;
    note_cancel(&runtime->workers[index], host);
    skua_runtime_unpin(runtime);
}
