/*
 * engine/uring.c - the io_uring engine: one ring, its owner's ops and its sleep.
 *
 * WHAT   Owns the ring between create() and destroy(). submit() writes an entry and makes no system
 *        call while there is room. poll() makes one, a second if the kernel refuses entries or if
 *        what it found over was no op, and none if it is not to wait, nothing is queued and the
 *        kernel has raised no flag. See uring_internal.h for the state and its invariants.
 *
 * WHO    sched/, through engine.h. Everything is the owner's but wake(), now(), describe() and the
 *        counters; a rescuer has it by turns with the owner, under the lock of their user.
 *        complete() may call submit() and cancel(), not poll(). Nobody may be inside or come to
 *        wake() when destroy() is called.
 *
 * IDENTITY  user_data is (address of the op << 16) | generation. Addresses have 48 bits, the lowest
 *        three 0, so bits 16..18 of it are 0; an op elsewhere is declined with -ENOSYS. There is no
 *        table: an op is found by a shift. skua_op_private.engine has the same layout:
 *
 *          63          19 18 17 16 15        0
 *          [next in list ][ flags ][generation]
 *
 *        Can a late cancel of A hit B, submitted in the same memory after A was over? (1) A cancel
 *        that is not yet an SQE leaves its list when A's completion is reaped. (2) One that is an
 *        SQE stands before B's in the queue, and the kernel consumes the queue in order and carries
 *        out a cancel while consuming it: it looks for A before B exists. (3) Were a kernel to
 *        defer it, B has another generation, until 65536 submissions later.
 *
 * CANCEL Fills an SQE. If the queue is full it is submitted first; if the kernel refuses, the op
 *        itself goes on the list of cancels, which the next poll() works off. So it cannot fail. A
 *        system call that the kernel interrupted because of a cancel ends with -EINTR, or with one
 *        of the kernel's restart codes (splice on 6.18: -512); that is given out as -ECANCELED.
 *        The kernel does not find a request that is on its way from a poll to its next attempt (a
 *        connect to a Unix socket with a full backlog is, again and again), and says -ENOENT, as it
 *        does of one that is over. Which of the two cannot be told here, so the user asks again.
 *
 * REAPING  A completion is taken off the CQ before its complete() runs, so that complete() may
 *        submit, find the queue full, and thereby reap: such completions are put on the list done,
 *        in order, not completed there. One poll() completes what was over when it began to reap,
 *        as far as batch_max goes; where that many are there, the kernel is not asked for more.
 *        Overflowed completions stay with the kernel, which raises IORING_SQ_CQ_OVERFLOW; an enter
 *        with GETEVENTS brings them into the CQ.
 *
 * FETCHING  While a completion is dealt with, what later ones will touch is fetched: first the op,
 *        then, of one whose op has come by now, the waiter. With a thousand connections nothing of
 *        them is in a cache, and so they are missed side by side instead of one after the other.
 *        An op whose completion is in the CQ is in flight, hence there to be looked at.
 *
 * WAKE   wake_state is RUNNING, NOTIFIED, SLEEPING_FUTEX (nothing is in flight) or SLEEPING_RING.
 *        A sleeper goes RUNNING -> SLEEPING by CAS; a waker exchanges NOTIFIED in and rouses the
 *        sleeper if it replaced SLEEPING. Both are read-modify-writes of one word, hence totally
 *        ordered: either the CAS finds NOTIFIED and there is no sleep, or the waker finds SLEEPING
 *        and rouses. No store-load pair over two words is involved, so acquire and release do, not
 *        seq_cst. Rousing is not lost either: a futex wait compares the word again, and the ring
 *        polls an eventfd, whose write completes that poll whether it was armed before or after.
 *        A waker must not skip the exchange when it sees NOTIFIED: the exchange is what publishes
 *        its writes to the poll that takes NOTIFIED away (W below; all exchanges up to the one
 *        taken are in one release sequence).
 *        The eventfd is never read; a multishot poll completes at every write. A write that comes
 *        after its sleeper was woken by something else ends the next sleep in the ring early: a
 *        waiting poll() may return 0 for no reason.
 *
 * RESCUE Another thread does poll()'s work while the owner computes. That needs a ring that others
 *        may enter, so neither SINGLE_ISSUER nor DEFER_TASKRUN (config.shared). With COOP_TASKRUN
 *        the kernel leaves completions to the owner's next entry into the kernel, which a computing
 *        owner puts off until the next timer tick (4 ms and more), and says so by
 *        IORING_SQ_TASKRUN. A membarrier(2) interrupts the CPUs that run threads of this process,
 *        and on its way back to user mode the owner's kernel does what it has to: no signal, no
 *        handler, no EINTR. Measured: 10 us from the barrier to the completion, 7.8 ms without.
 *        What the rescuer submits belongs to the rescuer's thread as far as the kernel is
 *        concerned: so a thread that rescues must outlive the ring's requests, and should it
 *        compute itself when such a request is over, that shows at its next tick.
 *
 * ORDERING
 *   W  wake_state: exchange in uring_wake (release) -> the exchanges in sleep_begin and sleep_end
 *      (acquire). What the waker wrote is visible after poll(). Without it a wake comes before the
 *      news it announces.
 *   K1 *sq.ktail: release store in sq_publish -> the kernel's acquire. The SQE is complete.
 *   K2 *sq.khead: the kernel's release -> acquire load in sq_room. The slot may be rewritten.
 *   K3 *cq.ktail: the kernel's release -> acquire load in cq_tail. The CQE is complete.
 *   K4 *cq.khead: release store in cq_take -> the kernel's acquire. The slot may be rewritten.
 *
 * PROGRESS  wake() is wait-free. A refused enter is not retried inside poll(): it waits a
 *        millisecond at most and returns.
 *
 * SEE    io_uring_enter(2), io_uring_register(2); liburing's barriers.
 *
 * TESTS  tests/unit/engine/uring_test.cc
 */
#include "engine/uring_internal.h"

#include "platform/clock.h"
#include "platform/futex.h"
#include "platform/membarrier.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum wake_state { RUNNING, NOTIFIED, SLEEPING_FUTEX, SLEEPING_RING };

/* user_data of what is no op. Ops have larger ones, no op being at address 0. */
#define DATA_CANCEL UINT64_C(1)
#define DATA_WAKE UINT64_C(2)
#define DATA_OP_MIN (UINT64_C(1) << 19)

/* Layout of user_data and skua_op_private.engine. */
#define ADDRESS_SHIFT 16
#define ADDRESS_BITS 48
#define GENERATION_MASK UINT64_C(0xffff)
#define FLAG_CANCEL_ASKED (UINT64_C(1) << 16)
#define FLAG_CANCEL_LISTED (UINT64_C(1) << 17)
#define FLAG_DONE (UINT64_C(1) << 18)
#define NEXT_MASK (~(DATA_OP_MIN - 1))

/* Longest wait while entries are queued that the kernel refused. */
#define REFUSED_WAIT_NS UINT64_C(1000000)

/* How long a rescuer waits for what its poke has set off: some microseconds. */
#define POKE_SPINS 200u

static struct skua_uring *uring_of(struct skua_engine *engine)
{
    return skua_container_of(engine, struct skua_uring, engine);
}

/* ---- identities and lists ---- */

static uint64_t op_address_bits(const skua_op *op)
{
    return (uint64_t)(uintptr_t)op << ADDRESS_SHIFT;
}

static skua_op *op_of_bits(uint64_t bits)
{
    return (skua_op *)(uintptr_t)((bits & NEXT_MASK) >> ADDRESS_SHIFT);
}

static bool op_addressable(const skua_op *op)
{
    return ((uint64_t)(uintptr_t)op >> ADDRESS_BITS) == 0;
}

static uint64_t op_user_data(skua_op *op)
{
    return op_address_bits(op) | (skua_op_private(op)->engine & GENERATION_MASK);
}

static void op_set_next(skua_op *op, const skua_op *next)
{
    struct skua_op_private *private = skua_op_private(op);
    private->engine = (private->engine & ~NEXT_MASK) | op_address_bits(next);
}

static void list_push(struct skua_uring_list *list, skua_op *op, uint64_t flag)
{
    op_set_next(op, NULL);
    skua_op_private(op)->engine |= flag;
    if (list->first == NULL)
        list->first = op;
    else
        op_set_next(list->last, op);
    list->last = op;
    list->count++;
}

static skua_op *list_pop(struct skua_uring_list *list, uint64_t flag)
{
    skua_op *op = list->first;
    if (op == NULL)
        return NULL;
    skua_assert(skua_op_private(op)->engine & flag);
    list->first = op_of_bits(skua_op_private(op)->engine);
    list->count--;
    skua_op_private(op)->engine &= ~flag;
    return op;
}

/* Linear, for the list of cancels, which is empty unless the kernel is out of memory. */
static void list_remove(struct skua_uring_list *list, skua_op *op, uint64_t flag)
{
    skua_op *previous = NULL;
    skua_op *at = list->first;
    while (at != op) {
        skua_check(at != NULL);
        previous = at;
        at = op_of_bits(skua_op_private(at)->engine);
    }
    skua_op *next = op_of_bits(skua_op_private(op)->engine);
    if (previous == NULL)
        list->first = next;
    else
        op_set_next(previous, next);
    if (next == NULL)
        list->last = previous;
    list->count--;
    skua_op_private(op)->engine &= ~flag;
}

/* ---- the two queues ---- */

static unsigned sq_room(struct skua_uring *u)
{
    struct io_uring_sq *sq = &u->ring.sq;
    return sq->ring_entries - (sq->sqe_tail - io_uring_smp_load_acquire(sq->khead)); /* K2 */
}

/* The next free entry. There is room. */
static struct io_uring_sqe *sq_next(struct skua_uring *u)
{
    return &u->ring.sq.sqes[u->ring.sq.sqe_tail & u->ring.sq.ring_mask];
}

/* Queues the entry that sq_next() gave. */
static void sq_push(struct skua_uring *u)
{
    u->ring.sq.sqe_tail++;
    skua_gauge_add(&u->engine.queued, 1);
}

/* Shows all queued entries to the kernel; returns how many it has not consumed. */
static unsigned sq_publish(struct skua_uring *u)
{
    struct io_uring_sq *sq = &u->ring.sq;
    sq->sqe_head = sq->sqe_tail;
    io_uring_smp_store_release(sq->ktail, sq->sqe_tail);  /* K1 */
    return sq->sqe_tail - IO_URING_READ_ONCE(*sq->khead); /* relaxed: a count only */
}

static unsigned cq_tail(struct skua_uring *u)
{
    return io_uring_smp_load_acquire(u->ring.cq.ktail); /* K3 */
}

static unsigned cq_ready(struct skua_uring *u)
{
    /* relaxed: khead is the owner's */
    return cq_tail(u) - IO_URING_READ_ONCE(*u->ring.cq.khead);
}

/* True if the kernel has completions that only an enter brings into the CQ. */
static bool kernel_has_more(struct skua_uring *u)
{
    /* relaxed: the flags are hints; one seen late is seen at the next poll */
    return (IO_URING_READ_ONCE(*u->ring.sq.kflags) & (IORING_SQ_CQ_OVERFLOW | IORING_SQ_TASKRUN)) !=
           0;
}

static void count_queued(struct skua_uring *u)
{
    skua_gauge_set(&u->engine.queued, u->ring.sq.ring_entries - sq_room(u) + u->cancels.count);
}

/*
 * Passes the queue on, and runs what the kernel has to run. With @min_complete 1 it waits; @arg is
 * then its timeout. 0 or -errno; a short submit is no error, the rest stays queued.
 */
static int ring_enter(struct skua_uring *u, unsigned submit, unsigned min_complete,
                      struct io_uring_getevents_arg *arg)
{
    bool mine = pthread_equal(u->owner, pthread_self());
    unsigned flags = (mine ? u->enter_flags : 0) | IORING_ENTER_GETEVENTS;
    int fd = mine ? u->ring.enter_ring_fd : u->ring.ring_fd; /* registered for the owner alone */
    size_t arg_size = _NSIG / 8;
    if (arg != NULL) {
        flags |= IORING_ENTER_EXT_ARG;
        if (u->timer_absolute)
            flags |= SKUA_IORING_ENTER_ABS_TIMER;
        arg_size = sizeof(*arg);
    }
    skua_counter_add(&u->engine.enters_total, 1);
    int rc = io_uring_enter2((unsigned)fd, submit, min_complete, flags, (sigset_t *)(void *)arg,
                             arg_size);
    count_queued(u);
    if (rc >= 0)
        skua_guess_entered(&u->guess, min_complete > 0, cq_tail(u));
    return rc < 0 ? rc : 0;
}

/*
 * Passes the queue on without waiting. If the kernel refuses, which it also does for the sake of
 * completions that nobody has taken, it still gets to run what it has to run.
 */
static void ring_flush(struct skua_uring *u)
{
    int rc = ring_enter(u, sq_publish(u), 0, NULL);
    if (skua_unlikely(rc == -EAGAIN || rc == -EBUSY))
        (void)ring_enter(u, 0, 0, NULL);
}

/* ---- reaping ---- */

/* How far ahead of the completion at hand; see FETCHING. */
#define AHEAD_OP 8u
#define AHEAD_WAITER 4u

/* @result < 0 of an op in state @state, with meanings fixed: interrupted by a cancel, cancelled. */
static SKUA_NOINLINE int error_of(int result, uint64_t state)
{
    switch (result) {
    case -EINTR:
    case -512: /* ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND, ERESTART_RESTARTBLOCK: */
    case -513: /* meant for the kernel's own signal return, and leaked by some opcodes */
    case -514:
    case -516:
        return state & FLAG_CANCEL_ASKED ? -ECANCELED : -EINTR;
    default:
        return result;
    }
}

/* The op that has @result now. It is still in flight for its submitter. */
static skua_op *op_over(struct skua_uring *u, uint64_t user_data, int result)
{
    skua_op *op = op_of_bits(user_data);
    struct skua_op_private *private = skua_op_private(op);
    uint64_t state = private->engine;
    skua_assert((state & GENERATION_MASK) == (user_data & GENERATION_MASK));
    skua_assert(!(state & FLAG_DONE));
    if (skua_unlikely(state & FLAG_CANCEL_LISTED)) {
        list_remove(&u->cancels, op, FLAG_CANCEL_LISTED);
        skua_gauge_add(&u->engine.queued, -1);
    }
    op->result = skua_unlikely(result < 0) ? error_of(result, state) : result;
    return op;
}

/* Takes one completion off the CQ, which is not empty. NULL if it was not an op's. */
static skua_op *cq_take(struct skua_uring *u)
{
    struct io_uring_cq *cq = &u->ring.cq;
    unsigned head = IO_URING_READ_ONCE(*cq->khead); /* relaxed: the owner's */
    const struct io_uring_cqe *cqe = &cq->cqes[head & cq->ring_mask];
    uint64_t user_data = cqe->user_data;
    int result = cqe->res;
    unsigned flags = cqe->flags;
    io_uring_smp_store_release(cq->khead, head + 1); /* K4 */

    bool is_op = user_data >= DATA_OP_MIN;
    skua_guess_taken(&u->guess, head, is_op ? op_of_bits(user_data) : NULL);
    if (skua_likely(is_op))
        return op_over(u, user_data, result);
    if (user_data == DATA_WAKE && !(flags & IORING_CQE_F_MORE))
        u->wake_armed = false;
    if (user_data == DATA_CANCEL && result == -ENOENT)
        u->engine.cancel_missed = true; /* over, mostly, or between two states: see CANCEL */
    return NULL;
}

/* Empties the CQ without calling complete(). */
static void reap_aside(struct skua_uring *u)
{
    for (unsigned left = cq_ready(u); left > 0; left--) {
        skua_op *op = cq_take(u);
        if (op != NULL)
            list_push(&u->done, op, FLAG_DONE);
    }
}

/* How many are over. */
static unsigned over(struct skua_uring *u)
{
    return u->done.count + cq_ready(u);
}

/* The op whose completion is number @at in the CQ. NULL: there is none, or it is not an op's. */
static skua_op *cq_peek(struct skua_uring *u, unsigned at)
{
    struct io_uring_cq *cq = &u->ring.cq;
    if (at >= cq_ready(u))
        return NULL;
    unsigned head = IO_URING_READ_ONCE(*cq->khead); /* relaxed: the owner's */
    uint64_t user_data = cq->cqes[(head + at) & cq->ring_mask].user_data;
    return user_data >= DATA_OP_MIN ? op_of_bits(user_data) : NULL;
}

/* See FETCHING. */
static void fetch_op(struct skua_uring *u, unsigned at)
{
    const skua_op *op = cq_peek(u, at);
    if (op == NULL)
        return;
    __builtin_prefetch(op, 1);
    __builtin_prefetch((const char *)op + sizeof(*op) - 1, 1);
}

static void fetch_waiter(struct skua_uring *u, unsigned at)
{
    skua_op *op = cq_peek(u, at);
    const char *waiter = op != NULL ? skua_op_private(op)->waiter : NULL;
    if (waiter == NULL)
        return;
    __builtin_prefetch(waiter, 1);
    __builtin_prefetch(waiter + SKUA_CACHE_LINE, 1);
}

/* For the first of @left completions. */
static void fetch_first(struct skua_uring *u, unsigned left)
{
    for (unsigned i = 0; i < skua_min(left, AHEAD_OP); i++)
        fetch_op(u, i);
    for (unsigned i = 0; i < skua_min(left, AHEAD_WAITER); i++)
        fetch_waiter(u, i);
}

/* Completes what is over by now, up to @max ops; returns how many. */
static unsigned reap(struct skua_uring *u, unsigned max)
{
    unsigned completed = 0;
    unsigned left = skua_min(over(u), max);
    if (left > 1)
        fetch_first(u, left);
    for (; left > 0; left--) {
        if (left > AHEAD_OP)
            fetch_op(u, AHEAD_OP);
        if (left > AHEAD_WAITER)
            fetch_waiter(u, AHEAD_WAITER);
        skua_op *op = list_pop(&u->done, FLAG_DONE);
        if (op == NULL && cq_ready(u) > 0)
            op = cq_take(u);
        if (op == NULL)
            continue;
        skua_assert(skua_gauge_get(&u->engine.in_flight) > 0);
        skua_gauge_add(&u->engine.in_flight, -1);
        completed++;
        skua_op_private(op)->complete(op); /* op may be gone after this */
    }
    if (completed > 0)
        skua_counter_add(&u->engine.completed_total, completed);
    return completed;
}

/* ---- submitting ---- */

/*
 * Makes room in a full queue by submitting it. If the kernel refuses, completions are in its way
 * (EBUSY) or hold the memory it needs (EAGAIN): they are set aside and it is asked once more.
 */
static SKUA_NOINLINE bool sq_make_room(struct skua_uring *u)
{
    if (kernel_has_more(u))
        reap_aside(u);
    ring_flush(u);
    if (sq_room(u) > 0)
        return true;
    reap_aside(u);
    ring_flush(u);
    return sq_room(u) > 0;
}

static int uring_submit(struct skua_engine *engine, skua_op *op)
{
    struct skua_uring *u = uring_of(engine);
    skua_assert(pthread_equal(u->owner, pthread_self()));
    skua_assert(skua_op_private(op)->complete != NULL);
    if (skua_unlikely(!op_addressable(op)))
        return -ENOSYS;
    if (skua_unlikely(sq_room(u) == 0) && !sq_make_room(u))
        return -EAGAIN;

    struct io_uring_sqe *sqe = sq_next(u);
    int rc = skua_uring_prep(u, sqe, op);
    if (skua_unlikely(rc < 0))
        return rc;
    if (sqe->ioprio == IORING_RECVSEND_POLL_FIRST && !skua_guess_polls_first(&u->guess, op))
        sqe->ioprio = 0;
    skua_op_private(op)->engine = ++u->generation & GENERATION_MASK;
    sqe->user_data = op_user_data(op);
    sq_push(u);
    skua_gauge_add(&engine->in_flight, 1);
    skua_counter_add(&engine->submitted_total, 1);
    return 0;
}

/* Queues the SQE of a cancel. There is room. */
static void sq_push_cancel(struct skua_uring *u, skua_op *op)
{
    struct io_uring_sqe *sqe = sq_next(u);
    memset(sqe, 0, sizeof(*sqe));
    sqe->opcode = IORING_OP_ASYNC_CANCEL;
    sqe->flags = (uint8_t)u->sqe_skip;
    sqe->fd = -1;
    sqe->addr = op_user_data(op);
    sqe->user_data = DATA_CANCEL;
    sq_push(u);
}

static void uring_cancel(struct skua_engine *engine, skua_op *op)
{
    struct skua_uring *u = uring_of(engine);
    skua_assert(u->shared || pthread_equal(u->owner, pthread_self()));
    skua_assert(skua_gauge_get(&engine->in_flight) > 0);
    struct skua_op_private *private = skua_op_private(op);
    if (private->engine & (FLAG_DONE | FLAG_CANCEL_LISTED))
        return;
    private->engine |= FLAG_CANCEL_ASKED;
    bool room = sq_room(u) > 0 || sq_make_room(u);
    if (private->engine & FLAG_DONE)
        return; /* making room found its completion */
    if (room) {
        sq_push_cancel(u, op);
    } else {
        list_push(&u->cancels, op, FLAG_CANCEL_LISTED);
        skua_gauge_add(&engine->queued, 1);
    }
}

/* Turns cancels that found no room into SQEs, as far as there is room now. */
static SKUA_NOINLINE void flush_cancels(struct skua_uring *u)
{
    while (u->cancels.count > 0 && (sq_room(u) > 0 || sq_make_room(u))) {
        skua_op *op = list_pop(&u->cancels, FLAG_CANCEL_LISTED);
        if (op == NULL)
            return; /* making room found the last one's completion */
        skua_gauge_add(&u->engine.queued, -1);
        sq_push_cancel(u, op);
    }
}

/* ---- sleeping ---- */

/* Goes to sleep unless there was a wake, which it then takes. */
static bool sleep_begin(struct skua_uring *u, uint32_t sleeping)
{
    uint32_t state = RUNNING;
    if (atomic_compare_exchange_strong_explicit(&u->wake_state, &state, sleeping,
                                                memory_order_relaxed, /* tells nobody anything */
                                                memory_order_relaxed /* taken below */))
        return true;
    skua_assert(state == NOTIFIED);
    (void)atomic_exchange_explicit(&u->wake_state, RUNNING, memory_order_acquire); /* W */
    return false;
}

/* Is awake, for whatever reason, and takes a wake if there was one. */
static void sleep_end(struct skua_uring *u)
{
    (void)atomic_exchange_explicit(&u->wake_state, RUNNING, memory_order_acquire); /* W */
}

/* Has the ring poll the eventfd. False if there is no room for that. */
static bool wake_arm(struct skua_uring *u)
{
    if (skua_likely(u->wake_armed))
        return true;
    if (sq_room(u) == 0 && !sq_make_room(u))
        return false;
    struct io_uring_sqe *sqe = sq_next(u);
    memset(sqe, 0, sizeof(*sqe));
    sqe->opcode = IORING_OP_POLL_ADD;
    sqe->fd = u->wake_fd;
    sqe->len = IORING_POLL_ADD_MULTI;
    sqe->poll32_events = SKUA_URING_POLL_EVENTS(POLLIN);
    sqe->user_data = DATA_WAKE;
    sq_push(u);
    u->wake_armed = true;
    return true;
}

/* Waits in the ring for one completion; @submit entries go first. */
static int ring_wait(struct skua_uring *u, unsigned submit, uint64_t deadline_ns)
{
    struct __kernel_timespec timeout;
    struct io_uring_getevents_arg arg;
    memset(&arg, 0, sizeof(arg));
    arg.sigmask_sz = _NSIG / 8;
    if (deadline_ns < INT64_MAX) { /* the kernel adds to its clock: no larger ones */
        uint64_t ns = deadline_ns;
        if (!u->timer_absolute) {
            uint64_t now_ns = skua_clock_now();
            ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
        }
        timeout.tv_sec = (int64_t)(ns / UINT64_C(1000000000));
        timeout.tv_nsec = (int64_t)(ns % UINT64_C(1000000000));
        arg.ts = (uint64_t)(uintptr_t)&timeout;
    }
    return ring_enter(u, submit, 1, &arg);
}

static void sleep_in_ring(struct skua_uring *u, uint64_t deadline_ns)
{
    int rc = ring_wait(u, sq_publish(u), deadline_ns);
    if (skua_likely(rc != -EAGAIN && rc != -EBUSY))
        return; /* ETIME, EINTR: reasons to return like any other */
    /* The kernel took no entry: what is in flight may make it able to, soon. */
    uint64_t soon_ns = skua_clock_now() + REFUSED_WAIT_NS;
    (void)ring_wait(u, 0, skua_min(deadline_ns, soon_ns));
}

/* Waits for a completion, a wake, a signal or the deadline. Nothing is over yet. */
static void wait_for_event(struct skua_uring *u, uint64_t deadline_ns)
{
    bool in_ring = skua_gauge_get(&u->engine.in_flight) > 0;
    if (in_ring ? !wake_arm(u) : skua_gauge_get(&u->engine.queued) > 0) {
        ring_flush(u);
        if (in_ring || skua_gauge_get(&u->engine.queued) > 0)
            return;
    }
    if (u->done.count > 0)
        return; /* making room for the poll of the eventfd found completions */
    if (!sleep_begin(u, in_ring ? SLEEPING_RING : SLEEPING_FUTEX)) {
        if (skua_gauge_get(&u->engine.queued) > 0)
            ring_flush(u);
        return;
    }
    if (in_ring)
        sleep_in_ring(u, deadline_ns);
    else
        (void)skua_futex_wait(&u->wake_state, SLEEPING_FUTEX, deadline_ns);
    sleep_end(u);
}

static unsigned uring_poll(struct skua_engine *engine, uint64_t deadline_ns)
{
    struct skua_uring *u = uring_of(engine);
    skua_assert(pthread_equal(u->owner, pthread_self()));
    if (skua_unlikely(u->cancels.count > 0))
        flush_cancels(u);

    unsigned max = skua_engine_batch(engine);
    if (deadline_ns == 0 || over(u) > 0) {
        if (skua_gauge_get(&engine->queued) > 0 || (over(u) < max && kernel_has_more(u)))
            ring_flush(u);
        unsigned completed = reap(u, max);
        if (completed > 0 || deadline_ns == 0)
            return completed;
    }
    wait_for_event(u, deadline_ns);
    return reap(u, max);
}

/* What a busy owner's kernel has to do for it, it does when that is interrupted; see RESCUE. */
static void poke_owner(struct skua_uring *u)
{
    skua_membarrier();
    for (unsigned i = 0; i < POKE_SPINS && cq_ready(u) == 0; i++)
        skua_cpu_relax();
}

static unsigned uring_rescue(struct skua_engine *engine)
{
    struct skua_uring *u = uring_of(engine);
    if (!u->shared)
        return 0;
    if (skua_unlikely(u->cancels.count > 0))
        flush_cancels(u);
    if (skua_gauge_get(&engine->queued) > 0)
        ring_flush(u);
    /* relaxed: a hint; one that is missed is seen next time */
    if (cq_ready(u) == 0 && u->may_poke &&
        (IO_URING_READ_ONCE(*u->ring.sq.kflags) & IORING_SQ_TASKRUN) != 0)
        poke_owner(u);
    return reap(u, UINT_MAX);
}

static void uring_wake(struct skua_engine *engine)
{
    struct skua_uring *u = uring_of(engine);
    uint32_t was = atomic_exchange_explicit(&u->wake_state, NOTIFIED, memory_order_release); /* W */
    skua_assert(was <= SLEEPING_RING);
    if (was == SLEEPING_FUTEX) {
        skua_futex_wake(&u->wake_state, 1);
    } else if (was == SLEEPING_RING) {
        const uint64_t one = 1;
        ssize_t written = write(u->wake_fd, &one, sizeof(one));
        (void)written; /* fails only at a count of 2^64 - 2 */
    }
}

/* ---- life ---- */

static int uring_create(struct skua_engine **engine, const struct skua_engine_config *config)
{
    struct skua_uring *u = aligned_alloc(_Alignof(struct skua_uring), sizeof(*u));
    if (u == NULL)
        return -ENOMEM;
    memset(u, 0, sizeof(*u));
    u->engine.ops = &skua_engine_uring;
    u->owner = pthread_self();
    atomic_init(&u->wake_state, RUNNING);
    atomic_init(&u->buffers_result, 1);
    int rc = skua_uring_open(u, config);
    if (rc < 0) {
        free(u);
        return rc;
    }
    *engine = &u->engine;
    return 0;
}

static void uring_destroy(struct skua_engine *engine)
{
    if (engine == NULL)
        return;
    struct skua_uring *u = uring_of(engine);
    skua_check(skua_gauge_get(&engine->in_flight) == 0);
    skua_assert(u->done.count == 0 && u->cancels.count == 0);
    skua_uring_close(u);
    free(u);
}

static uint64_t uring_now(struct skua_engine *engine)
{
    (void)engine;
    return skua_clock_now();
}

static int uring_buffers(struct skua_engine *engine, const struct iovec *buffers, unsigned count)
{
    struct skua_uring *u = uring_of(engine);
    skua_assert(pthread_equal(u->owner, pthread_self()));
    int rc = io_uring_register_buffers(&u->ring, buffers, count);
    if (rc == -EBUSY)
        return rc; /* there is a set, which stays */
    if (rc >= 0) {
        rc = 0;
        u->opcodes[SKUA_OP_READ_FIXED] = IORING_OP_READ_FIXED;
        u->opcodes[SKUA_OP_WRITE_FIXED] = IORING_OP_WRITE_FIXED;
    }
    /* relaxed: only described */
    atomic_store_explicit(&u->buffers_result, rc, memory_order_relaxed);
    return rc;
}

static void uring_describe(struct skua_engine *engine, char *text, size_t size)
{
    struct skua_uring *u = uring_of(engine);
    int result = atomic_load_explicit(&u->buffers_result, memory_order_relaxed); /* as above */
    if (result < 0)
        (void)snprintf(text, size, "%s (buffers not registered: %s)", u->text,
                       strerrorname_np(-result));
    else
        (void)snprintf(text, size, "%s%s", u->text, result == 0 ? " buffers" : "");
}

const struct skua_engine_ops skua_engine_uring = {
    .name = "uring",
    .gathers = true,
    .create = uring_create,
    .destroy = uring_destroy,
    .submit = uring_submit,
    .cancel = uring_cancel,
    .poll = uring_poll,
    .rescue = uring_rescue,
    .wake = uring_wake,
    .now = uring_now,
    .buffers = uring_buffers,
    .describe = uring_describe,
};
