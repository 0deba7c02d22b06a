/*
 * engine/engine.h - the seam between the scheduler and whatever performs I/O and tells the time.
 *
 * WHAT   An engine serves one worker. uring does it with an io_uring ring, epoll with readiness,
 *        sim with a virtual clock. sched/ and io/ see this file only.
 *
 * WHO    The owner is the thread that called create(). submit, cancel, poll, buffers and destroy
 *        are the owner's; wake, now and the counters are anybody's. rescue is another thread's,
 *        while the owner is in none of the others: the user of engines sees to that with a lock.
 *
 * OPS    An op is handed over by submit() and comes back exactly once, through op->complete(),
 *        which poll() calls on the owner, or rescue() on its caller, with op->result set. Never
 *        from inside submit() or cancel(); unless submit() says that it is over. Until then op and
 *        the memory it names belong to the engine. The engine keeps identities, so that a late
 *        kernel answer to a cancel cannot hit a reused op.
 *
 * CANCEL cancel() asks; the op still comes back once, with -ECANCELED or with the result it had
 *        got. It needs no memory and no free submission slot, so it cannot fail. A kernel may miss
 *        an op that is between two of its states; then cancel_missed is set, and who still waits
 *        for a cancelled op calls cancel() again.
 *
 * WAKE   wake() makes the current or the next waiting poll() return. Wakes do not add up. What the
 *        waker wrote before wake() is visible after that poll() returns. A waiting poll() may also
 *        return for no reason. No wake() may be running, or come, when destroy() is called.
 */
#ifndef SKUA_SRC_ENGINE_H
#define SKUA_SRC_ENGINE_H

#include <skua/op.h>

#include "base/check.h"
#include "base/list.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct skua_engine;

/* buf_index, as SKUA_OP_RECV_LATER: the task has received from this socket before. Not public. */
#define SKUA_OP_RECV_AGAIN 2

/* The runtime's view of skua_op.private_, hence may_alias. */
struct __attribute__((may_alias)) skua_op_private {
    struct skua_list link;         /* in the submitter's list of ops in flight */
    void (*complete)(skua_op *op); /* set by the submitter */
    void *waiter;                  /* the submitter's; 128 bytes there are fetched, if not NULL */
    uint64_t engine;               /* the engine's: identity of the request */
};
_Static_assert(sizeof(struct skua_op_private) <= sizeof(((skua_op *)0)->private_),
               "skua_op.private_ holds the runtime's part");

static inline struct skua_op_private *skua_op_private(skua_op *op)
{
    return (struct skua_op_private *)(void *)op->private_;
}

static inline skua_op *skua_op_of_link(struct skua_list *link)
{
    return (skua_op *)(void *)((char *)link - offsetof(struct skua_op_private, link) -
                               offsetof(skua_op, private_));
}

struct skua_engine_config {
    unsigned entries;    /* submission queue */
    unsigned cq_entries; /* completion queue */
    bool shared;         /* rescue() is to be possible */
    unsigned mode_skip;  /* tests: how many of an engine's better modes not to try */
};

/* What every engine does. All functions are set. */
struct skua_engine_ops {
    const char *name;
    bool gathers; /* one system call passes on many ops; else each makes its own */

    /* Makes an engine owned by the calling thread. 0 or -errno; nothing is left behind. */
    int (*create)(struct skua_engine **engine, const struct skua_engine_config *config);

    /* Frees it. No op may be in flight. */
    void (*destroy)(struct skua_engine *engine);

    /*
     * Takes @op. 0, or -errno and the op stays the caller's: -ENOSYS if this engine or kernel
     * cannot do it (the caller offloads it), -ENOMEM, -EAGAIN. 1: it is over at once, its result is
     * set, and nobody calls complete(); only if the caller has set at_once, which counts these.
     */
    int (*submit)(struct skua_engine *engine, skua_op *op);

    /* Asks for an end of @op, which is in flight on this engine. */
    void (*cancel)(struct skua_engine *engine, skua_op *op);

    /*
     * Passes on what was submitted, then completes what is over, but no more than batch_max ops.
     * Waits until something completes, a wake, a signal or @deadline_ns (0: does not wait,
     * UINT64_MAX: for ever). Returns how many ops it completed.
     */
    unsigned (*poll)(struct skua_engine *engine, uint64_t deadline_ns);

    /*
     * poll() without a wait, by a thread that is not the owner; see WHO. cancel() is the rescuer's
     * too meanwhile. NULL: this engine cannot.
     */
    unsigned (*rescue)(struct skua_engine *engine);

    /* Ends a waiting poll(), now or next. Any thread. */
    void (*wake)(struct skua_engine *engine);

    /* Nanoseconds of the clock deadlines are on. Any thread. */
    uint64_t (*now)(struct skua_engine *engine);

    /* Registers buffers for the _FIXED codes. 0 or -errno; afterwards such ops work either way. */
    int (*buffers)(struct skua_engine *engine, const struct iovec *buffers, unsigned count);

    /* Writes mode and degradations as text. Any thread. */
    void (*describe)(struct skua_engine *engine, char *text, size_t size);
};

/* The common head. Counters are written by the owner and read by anybody, relaxed. */
struct skua_engine {
    const struct skua_engine_ops *ops;
    /* Written by who may use the engine at that time; read by anybody, relaxed. */
    _Atomic unsigned queued;    /* submitted here, not yet passed to the kernel */
    _Atomic unsigned in_flight; /* submitted and not completed, the queued included */
    unsigned batch_max; /* the owner's, who may change it; 0: no limit. What is left comes first */
    unsigned at_once;   /* the owner's: how many submit() may end at once; see there */
    bool cancel_missed; /* set by poll() and rescue(), cleared by their caller; see CANCEL */
    _Atomic uint64_t submitted_total;
    _Atomic uint64_t completed_total;
    _Atomic uint64_t enters_total;
};

/* batch_max as a number that counts can be compared with. */
static inline unsigned skua_engine_batch(const struct skua_engine *engine)
{
    return engine->batch_max != 0 ? engine->batch_max : UINT_MAX;
}

/* The engines there are: for engine.c and the tests. */
extern const struct skua_engine_ops skua_engine_uring;
extern const struct skua_engine_ops skua_engine_epoll;

/* What a runtime is to run on. */
struct skua_engine_choice {
    const struct skua_engine_ops *first;
    const struct skua_engine_ops *second; /* if create() of the first refuses; NULL: none */
    const char *why;                      /* of the first, for people; "" if nobody asked for it */
};

/*
 * Chooses for a runtime that the calling thread starts: @name, else $SKUA_ENGINE, else the best
 * there is. NULL and "" name nothing. 0, or -EINVAL for a name that is none.
 */
int skua_engine_choose(const char *name, struct skua_engine_choice *choice);

/* Whether @error of create() says that this engine cannot be had here, so another may do. */
bool skua_engine_is_refusal(int error);

/* Adds to a counter only its owner writes: a load and a store, no locked instruction. */
static inline void skua_counter_add(_Atomic uint64_t *counter, uint64_t n)
{
    /* relaxed: one writer; readers want some recent value */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

/* The same for a gauge, up and down; by turns of its writers. */
static inline void skua_gauge_add(_Atomic unsigned *gauge, int n)
{
    /* relaxed: as above; the writers' turns are ordered by their lock */
    atomic_store_explicit(gauge, atomic_load_explicit(gauge, memory_order_relaxed) + (unsigned)n,
                          memory_order_relaxed);
}

static inline void skua_gauge_set(_Atomic unsigned *gauge, unsigned value)
{
    atomic_store_explicit(gauge, value, memory_order_relaxed); /* relaxed: as above */
}

static inline unsigned skua_gauge_get(_Atomic unsigned *gauge)
{
    return atomic_load_explicit(gauge, memory_order_relaxed); /* relaxed: as above */
}

/* What a simulation (sim/) has instead: known to it alone, and handed down. */
struct skua_net_call;
struct skua_sim_hooks {
    const struct skua_engine_ops *engine;
    void (*run_blocking)(
        skua_op *op); /* for threads without an engine; as skua_op_run_blocking() */
    bool (*net_call)(struct skua_net_call *call); /* io/net_call.h; false: it is the kernel's */
};

void skua_sim_set_hooks(const struct skua_sim_hooks *hooks);
const struct skua_sim_hooks *skua_sim_hooks(void);

#endif /* SKUA_SRC_ENGINE_H */
