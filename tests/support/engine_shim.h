/*
 * support/engine_shim.h - engine/engine.h for tests in C++, which cannot read its atomics.
 *
 * Owns nothing. Same contract as engine.h; the shim adds the submitter's part of an op.
 */
#ifndef SKUA_TESTS_ENGINE_SHIM_H
#define SKUA_TESTS_ENGINE_SHIM_H

#include <skua/op.h>

#ifdef __cplusplus
extern "C" {
#endif

struct skua_engine;
struct skua_engine_ops;

struct engine_counts {
    unsigned queued;
    unsigned in_flight;
    uint64_t submitted_total;
    uint64_t completed_total;
    uint64_t enters_total;
};

const struct skua_engine_ops *engine_shim_uring(void);
const struct skua_engine_ops *engine_shim_epoll(void);
const struct skua_engine_ops *engine_shim_toy(void);

int engine_shim_create(const struct skua_engine_ops *ops, unsigned entries, unsigned cq_entries,
                       unsigned mode_skip, struct skua_engine **engine);
/* One that others may rescue, which then is not NULL in its ops. */
int engine_shim_create_shared(const struct skua_engine_ops *ops, struct skua_engine **engine);
unsigned engine_shim_rescue(struct skua_engine *engine);

void engine_shim_destroy(struct skua_engine *engine);

/* Sets complete and waiter, then submits. */
int engine_shim_submit(struct skua_engine *engine, skua_op *op, void (*complete)(skua_op *op),
                       void *waiter);

/* As the caller's blocking executor does what submit() declined. */
void engine_shim_perform(skua_op *op);

void engine_shim_cancel(struct skua_engine *engine, skua_op *op);
void engine_shim_at_once(struct skua_engine *engine, unsigned count);
void engine_shim_batch(struct skua_engine *engine, unsigned max);
unsigned engine_shim_poll(struct skua_engine *engine, uint64_t deadline_ns);
void engine_shim_wake(struct skua_engine *engine);
uint64_t engine_shim_now(struct skua_engine *engine);
int engine_shim_buffers(struct skua_engine *engine, const struct iovec *buffers, unsigned count);
void engine_shim_describe(struct skua_engine *engine, char *text, size_t size);
struct engine_counts engine_shim_counts(struct skua_engine *engine);

#ifdef __cplusplus
}
#endif

#endif /* SKUA_TESTS_ENGINE_SHIM_H */
