/*
 * support/engine_shim.c - see engine_shim.h.
 */
#include "support/engine_shim.h"

#include "engine/engine.h"
#include "io/op_blocking.h"
#include "unit/engine/toy_engine.h"

const struct skua_engine_ops *engine_shim_uring(void)
{
    return &skua_engine_uring;
}

const struct skua_engine_ops *engine_shim_epoll(void)
{
    return &skua_engine_epoll;
}

const struct skua_engine_ops *engine_shim_toy(void)
{
    return &toy_engine;
}

int engine_shim_create(const struct skua_engine_ops *ops, unsigned entries, unsigned cq_entries,
                       unsigned mode_skip, struct skua_engine **engine)
{
    struct skua_engine_config config = {
        .entries = entries, .cq_entries = cq_entries, .mode_skip = mode_skip};
    return ops->create(engine, &config);
}

int engine_shim_create_shared(const struct skua_engine_ops *ops, struct skua_engine **engine)
{
    struct skua_engine_config config = {.shared = true};
    return ops->create(engine, &config);
}

unsigned engine_shim_rescue(struct skua_engine *engine)
{
    return engine->ops->rescue(engine);
}

void engine_shim_destroy(struct skua_engine *engine)
{
    engine->ops->destroy(engine);
}

int engine_shim_submit(struct skua_engine *engine, skua_op *op, void (*complete)(skua_op *op),
                       void *waiter)
{
    struct skua_op_private *private = skua_op_private(op);
    private->complete = complete;
    private->waiter = waiter;
    return engine->ops->submit(engine, op);
}

void engine_shim_perform(skua_op *op)
{
    skua_op_perform(op);
}

void engine_shim_cancel(struct skua_engine *engine, skua_op *op)
{
    engine->ops->cancel(engine, op);
}

void engine_shim_at_once(struct skua_engine *engine, unsigned count)
{
    engine->at_once = count;
}

void engine_shim_batch(struct skua_engine *engine, unsigned max)
{
    engine->batch_max = max;
}

unsigned engine_shim_poll(struct skua_engine *engine, uint64_t deadline_ns)
{
    return engine->ops->poll(engine, deadline_ns);
}

void engine_shim_wake(struct skua_engine *engine)
{
    engine->ops->wake(engine);
}

uint64_t engine_shim_now(struct skua_engine *engine)
{
    return engine->ops->now(engine);
}

int engine_shim_buffers(struct skua_engine *engine, const struct iovec *buffers, unsigned count)
{
    return engine->ops->buffers(engine, buffers, count);
}

void engine_shim_describe(struct skua_engine *engine, char *text, size_t size)
{
    engine->ops->describe(engine, text, size);
}

struct engine_counts engine_shim_counts(struct skua_engine *engine)
{
    /* relaxed: counters only */
    struct engine_counts counts = {
        .queued = engine->queued,
        .in_flight = engine->in_flight,
        .submitted_total = atomic_load_explicit(&engine->submitted_total, memory_order_relaxed),
        .completed_total = atomic_load_explicit(&engine->completed_total, memory_order_relaxed),
        .enters_total = atomic_load_explicit(&engine->enters_total, memory_order_relaxed),
    };
    return counts;
}
