/*
 * engine/epoll.c - the epoll engine: for kernels, containers and limits that refuse io_uring.
 *
 * WHAT   submit() tries the op by a system call that does not block (epoll_ops.c). If there is a
 *        result the op is over, if the caller allows that (at_once), or is put on the list done,
 *        and the next poll() completes it. If not, it waits in the list of its descriptor; poll()
 *        tells epoll of those lists, where it need be told (epoll_fd.c), sleeps, and tries the
 *        first waits of every descriptor that has become ready. What has no form that does not
 *        block is declined with -ENOSYS: the caller has a blocking executor. So an answer to a
 *        request costs one receive and one send, and its share of an epoll_wait(2).
 *
 * WHO    sched/, through engine.h. Everything is the owner's but wake(), now(), describe() and the
 *        counters; a rescuer has it by turns with the owner, under the lock of their user. epoll
 *        does not care which thread it serves, so rescue() is a poll() that does not wait.
 *        complete() may call submit() and cancel(), not poll(). Nobody may be inside or come to
 *        wake() when destroy() is called.
 *
 * IDENTITY  skua_op_private.engine is the address of the op's wait, or, once it is over, that of
 *        the next op on done, plus 1. No message to the kernel names an op, so no late answer can
 *        hit the next use of one. An event names a descriptor number and a generation.
 *
 * SKIPPING THE TRY  After a receive from a stream that took less than it could, the next one is not
 *        tried but waits at once (is_drained): whoever has just answered has to wait for the next
 *        request. If the guess is wrong epoll reports the descriptor when it is told of it. An op
 *        behind waits of its kind on the same descriptor is not tried either, so it does not
 *        overtake them.
 *
 * CANCEL Takes the wait from its list and puts the op on done. A result that is on done stays; data
 *        that has come and was not looked at yet stays in the kernel.
 *
 * LATER  What fails though its descriptor is ready, or has no readiness at all, is tried again
 *        after a millisecond: see epoll_ops.c.
 *
 * FAIR   A poll() takes at most SKUA_EPOLL_EVENTS events, each tries the waits of one descriptor
 *        until one finds nothing, and completes what was over by then. While more is on done than a
 *        poll() completes only one in SKIPS_MAX looks at epoll. Waits of one kind are served in
 *        order.
 *
 * WAKE   As in uring.c: wake_state is RUNNING, NOTIFIED, SLEEPING_FUTEX (nothing waits) or
 *        SLEEPING_EPOLL. A sleeper goes RUNNING -> SLEEPING by CAS; a waker exchanges NOTIFIED in
 *        and rouses the sleeper if it replaced SLEEPING. Both are read-modify-writes of one word,
 *        hence totally ordered, so acquire and release do. A futex wait compares the word again; an
 *        eventfd is in the epoll set, edge-triggered and never read: every write is an edge. An
 *        edge that comes after its sleeper was woken by something else ends a later sleep early.
 *
 * ORDERING
 *   W  wake_state: exchange in epoll_wake (release) -> the exchanges in sleep_begin and sleep_end
 *      (acquire). What the waker wrote is visible after poll(). Without it a wake comes before the
 *      news it announces. A waker must not skip the exchange when it sees NOTIFIED.
 *
 * MEMORY One wait per waiting op and one skua_epoll_fd per descriptor number waited on; both are
 *        kept for reuse until destroy(). submit() fails with -ENOMEM before it has done anything;
 *        an op that is the first to wait on its descriptor, and finds no memory, ends with -ENOMEM.
 *
 * PROGRESS  wake() is wait-free. Deadlines need epoll_pwait2 (5.11); without it they are rounded up
 *        to a millisecond, never down.
 *
 * SEE    epoll(7), question 6; epoll_ctl(2).
 *
 * TESTS  tests/unit/engine/epoll_test.cc
 */
#include "engine/epoll_internal.h"

#include "platform/clock.h"
#include "platform/futex.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

enum wake_state { RUNNING, NOTIFIED, SLEEPING_FUTEX, SLEEPING_EPOLL };

#define DONE UINT64_C(1)           /* in skua_op_private.engine: the rest is the next op on done */
#define DATA_WAKE UINT64_C(0)      /* of events; others have a generation, which is not 0 */
#define LATER_NS UINT64_C(1000000) /* between two tries of what has no readiness */
#define AT_ONCE_BYTES 16384u       /* a transfer of so many more counts as another op */
#define SKIPS_MAX 8                /* polls in a row that need not look at epoll */
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_SEC UINT64_C(1000000000)

static struct skua_epoll *epoll_of(struct skua_engine *engine)
{
    return skua_container_of(engine, struct skua_epoll, engine);
}

static struct skua_epoll_wait *wait_of_link(struct skua_list *link)
{
    return skua_container_of(link, struct skua_epoll_wait, link);
}

/* ---- ops that are over ----------------------------------------------------------------------- */

static void done_push(struct skua_epoll *e, skua_op *op, int64_t result)
{
    op->result = result;
    skua_op_private(op)->engine = DONE;
    if (e->done_count == 0)
        e->done_first = op;
    else
        skua_op_private(e->done_last)->engine = (uint64_t)(uintptr_t)op | DONE;
    e->done_last = op;
    e->done_count++;
    skua_gauge_add(&e->engine.queued, 1);
}

static skua_op *done_pop(struct skua_epoll *e)
{
    skua_assert(e->done_count > 0);
    skua_op *op = e->done_first;
    e->done_first = (skua_op *)(uintptr_t)(skua_op_private(op)->engine & ~DONE);
    e->done_count--;
    skua_gauge_add(&e->engine.queued, -1);
    return op;
}

/* Completes what is over by now, up to @max ops; returns how many. */
static unsigned reap(struct skua_epoll *e, unsigned max)
{
    unsigned completed = skua_min(e->done_count, max);
    for (unsigned left = completed; left > 0; left--) {
        skua_op *op = done_pop(e);
        skua_assert(skua_gauge_get(&e->engine.in_flight) > 0);
        skua_gauge_add(&e->engine.in_flight, -1);
        skua_op_private(op)->complete(op); /* op may be gone after this */
    }
    if (completed > 0)
        skua_counter_add(&e->engine.completed_total, completed);
    return completed;
}

/* ---- waits ----------------------------------------------------------------------------------- */

/* Sees to it that there is a spare wait. */
static bool wait_reserve(struct skua_epoll *e)
{
    if (skua_likely(!skua_list_empty(&e->spares)))
        return true;
    struct skua_epoll_wait *wait = malloc(sizeof(*wait));
    if (wait == NULL)
        return false;
    skua_list_push(&e->spares, &wait->link);
    return true;
}

/* Has @wait's attempt, which did not come to a result, wait for what it asks for. */
static bool wait_place(struct skua_epoll *e, struct skua_epoll_wait *wait, int64_t why)
{
    wait->attempt.is_drained = false; /* it has told */
    if (why == SKUA_EPOLL_LATER) {
        if (skua_list_empty(&e->later))
            e->later_ns = skua_clock_now() + LATER_NS;
        wait->at = NULL;
        skua_list_push(&e->later, &wait->link);
        return true;
    }
    wait->at = skua_epoll_fd_make(e, wait->attempt.fd);
    if (wait->at == NULL)
        return false;
    skua_epoll_fd_wait(e, wait);
    return true;
}

/* Ends @wait, which is on no list, with @result for its op. */
static void wait_end(struct skua_epoll *e, struct skua_epoll_wait *wait, int64_t result)
{
    if (result < 0 && wait->attempt.moved > 0)
        result = (int64_t)wait->attempt.moved;
    skua_assert(e->waiting > 0);
    e->waiting--;
    done_push(e, wait->op, result);
    skua_list_push(&e->spares, &wait->link);
}

/* Tries @wait, which is on no list, and says what came of it; its op may be over then. */
static int64_t wait_try(struct skua_epoll_wait *wait, uint32_t ready)
{
    struct skua_epoll_fd *was_at = wait->at;
    wait->attempt.ready = ready;
    wait->attempt.is_drained = false;
    int64_t result = skua_epoll_attempt(wait->op, &wait->attempt);
    if (was_at != NULL && skua_epoll_direction(wait->op) == EPOLLIN)
        was_at->is_drained = wait->attempt.is_drained && was_at->kind != SKUA_EPOLL_DATAGRAM;
    return result;
}

/* What became of a try: over, or waiting again. */
static void wait_settle(struct skua_epoll *e, struct skua_epoll_wait *wait, int64_t result)
{
    if (result == SKUA_EPOLL_OFFLOAD)
        result = -EOPNOTSUPP; /* the number now stands for something else; see STALE */
    if (result != SKUA_EPOLL_WAIT && result != SKUA_EPOLL_LATER)
        wait_end(e, wait, result);
    else if (!wait_place(e, wait, result))
        wait_end(e, wait, -ENOMEM);
}

/* ---- arming ---------------------------------------------------------------------------------- */

/* @at cannot be waited for: each of its ops gets its own error if it has one, @error if not. */
static void fd_fail(struct skua_epoll *e, struct skua_epoll_fd *at, int error)
{
    struct skua_list *link;
    while ((link = skua_list_pop(&at->waits)) != NULL) {
        struct skua_epoll_wait *wait = wait_of_link(link);
        int64_t result = wait_try(wait, 0);
        bool is_result = result != SKUA_EPOLL_WAIT && result != SKUA_EPOLL_LATER;
        wait_settle(e, wait, is_result ? result : error);
    }
}

static void arm_dirty(struct skua_epoll *e)
{
    struct skua_list *link;
    while ((link = skua_list_pop(&e->dirty)) != NULL) {
        struct skua_epoll_fd *at = skua_container_of(link, struct skua_epoll_fd, dirty);
        skua_gauge_add(&e->engine.queued, -1);
        int rc = skua_epoll_fd_register(e, at);
        if (skua_unlikely(rc < 0))
            fd_fail(e, at, rc);
    }
}

/* ---- events ---------------------------------------------------------------------------------- */

/*
 * @at is ready: tries its waits in order, those for one direction until one finds nothing. Those
 * that stay keep their order, since each goes to the end of a new list.
 */
static void fd_ready(struct skua_epoll *e, struct skua_epoll_fd *at, uint32_t ready)
{
    struct skua_list waits;
    struct skua_list *link;
    uint32_t blocked = 0;
    skua_list_init(&waits);
    while ((link = skua_list_pop(&at->waits)) != NULL)
        skua_list_push(&waits, link);
    while ((link = skua_list_pop(&waits)) != NULL) {
        struct skua_epoll_wait *wait = wait_of_link(link);
        uint32_t direction = skua_epoll_direction(wait->op);
        bool is_wanted = (ready & (wait->attempt.events | SKUA_EPOLL_ALWAYS)) != 0;
        if (!is_wanted || (direction & blocked) != 0) {
            skua_list_push(&at->waits, link);
            skua_epoll_fd_mark_dirty(e, at);
            continue;
        }
        int64_t result = wait_try(wait, ready);
        if (result == SKUA_EPOLL_WAIT)
            blocked |= direction;
        wait_settle(e, wait, result);
    }
}

static void take_event(struct skua_epoll *e, const struct epoll_event *event)
{
    uint64_t data = event->data.u64;
    if (data == DATA_WAKE)
        return;
    struct skua_epoll_fd *at = skua_epoll_fd_find(e, (int)(uint32_t)data);
    skua_assert(at != NULL);
    if (at->generation != data >> 32)
        return; /* of an open file that had this number before */
    skua_epoll_fd_event(e, at, event->events);
    fd_ready(e, at, event->events);
}

/* As epoll_wait(2): until @deadline_ns, 0 does not wait. */
static int wait_events(struct skua_epoll *e, uint64_t deadline_ns)
{
    uint64_t timeout_ns = 0;
    bool is_for_ever = deadline_ns >= INT64_MAX; /* the kernel adds to its clock */
    if (deadline_ns != 0 && !is_for_ever) {
        uint64_t now_ns = skua_clock_now();
        timeout_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
    }
    skua_counter_add(&e->engine.enters_total, 1);
    if (e->has_pwait2) {
        struct timespec timeout;
        skua_clock_to_timespec(timeout_ns, &timeout);
        return (int)syscall(SYS_epoll_pwait2, e->epoll_fd, e->events, SKUA_EPOLL_EVENTS,
                            is_for_ever ? NULL : &timeout, NULL, 0);
    }
    uint64_t timeout_ms = (timeout_ns + NS_PER_MS - 1) / NS_PER_MS;
    return epoll_wait(e->epoll_fd, e->events, SKUA_EPOLL_EVENTS,
                      is_for_ever ? -1 : (int)skua_min(timeout_ms, (uint64_t)INT_MAX));
}

/* How many there were. */
static int take_events(struct skua_epoll *e, uint64_t deadline_ns)
{
    int count = wait_events(e, deadline_ns);
    e->now_ns = skua_clock_now();
    e->skips = 0;
    for (int i = 0; i < count; i++) /* negative: EINTR, a reason to return like any other */
        take_event(e, &e->events[i]);
    return count;
}

/* Tries what has no readiness, if it is time. */
static void take_later(struct skua_epoll *e)
{
    if (skua_likely(skua_list_empty(&e->later)) || skua_clock_now() < e->later_ns)
        return;
    struct skua_list due;
    struct skua_list *link;
    skua_list_init(&due);
    while ((link = skua_list_pop(&e->later)) != NULL)
        skua_list_push(&due, link);
    while ((link = skua_list_pop(&due)) != NULL) {
        struct skua_epoll_wait *wait = wait_of_link(link);
        wait_settle(e, wait, wait_try(wait, 0));
    }
}

/* ---- submitting ------------------------------------------------------------------------------ */

/* Whether a wait of @op's kind stands before it. */
static bool is_behind(const struct skua_epoll_fd *at, uint32_t direction)
{
    const struct skua_list *link = at->waits.next;
    for (; link != &at->waits; link = link->next) {
        const struct skua_epoll_wait *wait =
            skua_container_of(link, const struct skua_epoll_wait, link);
        if (skua_epoll_direction(wait->op) & direction)
            return true;
    }
    return false;
}

/* What trying @op comes to; it is not tried where that is idle or would overtake. */
static int64_t first_try(struct skua_epoll *e, const skua_op *op,
                         struct skua_epoll_attempt *attempt)
{
    struct skua_epoll_fd *at = skua_epoll_fd_find(e, op->fd);
    if (at == NULL)
        return skua_epoll_attempt(op, attempt);
    skua_epoll_fd_first_try(at, op);
    uint32_t direction = skua_epoll_direction(op);
    if (skua_unlikely(!skua_list_empty(&at->waits)) && is_behind(at, direction)) {
        attempt->fd = op->fd;
        attempt->events = direction;
        return SKUA_EPOLL_WAIT;
    }
    attempt->is_drained = at->is_drained && direction == EPOLLIN;
    int64_t result = skua_epoll_attempt(op, attempt);
    if (direction == EPOLLIN)
        at->is_drained = attempt->is_drained && at->kind != SKUA_EPOLL_DATAGRAM;
    if (op->code == SKUA_OP_CLOSE && skua_list_empty(&at->waits))
        skua_epoll_fd_forget(at);
    return result;
}

/* @op is over without having waited. */
static int submit_over(struct skua_epoll *e, skua_op *op, int64_t result)
{
    if (e->engine.at_once > 0) {
        uint64_t cost = 1 + (uint64_t)skua_max(result, 0) / AT_ONCE_BYTES;
        e->engine.at_once -= (unsigned)skua_min(cost, (uint64_t)e->engine.at_once);
        op->result = result;
        skua_counter_add(&e->engine.completed_total, 1);
        return 1;
    }
    skua_gauge_add(&e->engine.in_flight, 1);
    done_push(e, op, result);
    return 0;
}

static int submit(struct skua_epoll *e, skua_op *op)
{
    struct skua_epoll_attempt attempt = {.is_plain = e->is_plain};
    if (skua_unlikely(op->code >= SKUA_OP_CODE_COUNT))
        return -EINVAL;
    if (skua_unlikely(!wait_reserve(e)))
        return -ENOMEM;
    int64_t result = first_try(e, op, &attempt);
    if (result == SKUA_EPOLL_OFFLOAD)
        return -ENOSYS;
    skua_counter_add(&e->engine.submitted_total, 1);
    if (result != SKUA_EPOLL_WAIT && result != SKUA_EPOLL_LATER)
        return submit_over(e, op, result);
    struct skua_epoll_wait *wait = wait_of_link(skua_list_pop(&e->spares));
    *wait = (struct skua_epoll_wait){.op = op, .attempt = attempt};
    skua_op_private(op)->engine = (uint64_t)(uintptr_t)wait;
    skua_gauge_add(&e->engine.in_flight, 1);
    e->waiting++;
    wait_settle(e, wait, result);
    return 0;
}

static int epoll_submit(struct skua_engine *engine, skua_op *op)
{
    struct skua_epoll *e = epoll_of(engine);
    skua_assert(e->is_shared || pthread_equal(e->owner, pthread_self()));
    skua_assert(skua_op_private(op)->complete != NULL);
    int saved_errno = errno;
    int rc = submit(e, op);
    errno = saved_errno;
    return rc;
}

static void epoll_cancel(struct skua_engine *engine, skua_op *op)
{
    struct skua_epoll *e = epoll_of(engine);
    skua_assert(e->is_shared || pthread_equal(e->owner, pthread_self()));
    skua_assert(skua_gauge_get(&engine->in_flight) > 0);
    uint64_t state = skua_op_private(op)->engine;
    if (state & DONE)
        return;
    struct skua_epoll_wait *wait = (struct skua_epoll_wait *)(uintptr_t)state;
    skua_assert(wait->op == op);
    skua_list_remove(&wait->link);
    if (wait->at != NULL && skua_list_empty(&wait->at->waits))
        skua_list_remove(&wait->at->unsure);
    wait_end(e, wait, -ECANCELED);
}

/* ---- sleeping -------------------------------------------------------------------------------- */

/* Goes to sleep unless there was a wake, which it then takes. */
static bool sleep_begin(struct skua_epoll *e, uint32_t sleeping)
{
    uint32_t state = RUNNING;
    if (atomic_compare_exchange_strong_explicit(&e->wake_state, &state, sleeping,
                                                memory_order_relaxed, /* tells nobody anything */
                                                memory_order_relaxed /* taken below */))
        return true;
    skua_assert(state == NOTIFIED);
    (void)atomic_exchange_explicit(&e->wake_state, RUNNING, memory_order_acquire); /* W */
    return false;
}

/* Is awake, for whatever reason, and takes a wake if there was one. */
static void sleep_end(struct skua_epoll *e)
{
    (void)atomic_exchange_explicit(&e->wake_state, RUNNING, memory_order_acquire); /* W */
}

/* With questions in between about descriptors that nothing comes for: see epoll_fd.c, STAYING. */
static void sleep_in_epoll(struct skua_epoll *e, uint64_t deadline_ns)
{
    for (;;) {
        uint64_t doubt_ns = skua_epoll_fd_doubt(e);
        arm_dirty(e);
        if (e->done_count > 0) /* some could not be asked about */
            return;
        bool has_come = take_events(e, skua_min(deadline_ns, doubt_ns)) != 0;
        if (has_come || doubt_ns >= deadline_ns || e->now_ns >= deadline_ns)
            return;
    }
}

/* Waits for a readiness, a wake, a signal or the deadline. Nothing is over yet. */
static void wait_for_event(struct skua_epoll *e, uint64_t deadline_ns)
{
    bool in_epoll = e->waiting > 0;
    if (!sleep_begin(e, in_epoll ? SLEEPING_EPOLL : SLEEPING_FUTEX)) {
        if (in_epoll)
            (void)take_events(e, 0);
        return;
    }
    if (!skua_list_empty(&e->later))
        deadline_ns = skua_min(deadline_ns, e->later_ns);
    if (in_epoll)
        sleep_in_epoll(e, deadline_ns);
    else
        (void)skua_futex_wait(&e->wake_state, SLEEPING_FUTEX, deadline_ns);
    sleep_end(e);
}

static unsigned poll_until(struct skua_epoll *e, uint64_t deadline_ns, unsigned max)
{
    int saved_errno = errno;
    take_later(e);
    (void)skua_epoll_fd_doubt(e);
    arm_dirty(e);
    if (deadline_ns != 0 && e->done_count == 0)
        wait_for_event(e, deadline_ns);
    else if (e->waiting > 0 && (e->done_count < max || ++e->skips > SKIPS_MAX))
        (void)take_events(e, 0);
    errno = saved_errno;
    return reap(e, max);
}

static unsigned epoll_poll(struct skua_engine *engine, uint64_t deadline_ns)
{
    struct skua_epoll *e = epoll_of(engine);
    skua_assert(pthread_equal(e->owner, pthread_self()));
    return poll_until(e, deadline_ns, skua_engine_batch(engine));
}

static unsigned epoll_rescue(struct skua_engine *engine)
{
    struct skua_epoll *e = epoll_of(engine);
    return e->is_shared ? poll_until(e, 0, UINT_MAX) : 0;
}

static void epoll_wake(struct skua_engine *engine)
{
    struct skua_epoll *e = epoll_of(engine);
    uint32_t was = atomic_exchange_explicit(&e->wake_state, NOTIFIED, memory_order_release); /* W */
    skua_assert(was <= SLEEPING_EPOLL);
    if (was == SLEEPING_FUTEX) {
        skua_futex_wake(&e->wake_state, 1);
    } else if (was == SLEEPING_EPOLL) {
        const uint64_t one = 1;
        ssize_t written = write(e->wake_fd, &one, sizeof(one));
        (void)written; /* fails only at a count of 2^64 - 2 */
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

/* Opens the descriptors. 0 or -errno, and then none is open. */
static int open_descriptors(struct skua_epoll *e)
{
    e->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (e->wake_fd < 0)
        return -errno;
    e->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = DATA_WAKE};
    if (e->epoll_fd >= 0 && epoll_ctl(e->epoll_fd, EPOLL_CTL_ADD, e->wake_fd, &event) == 0)
        return 0;
    int error = errno;
    if (e->epoll_fd >= 0)
        (void)close(e->epoll_fd);
    (void)close(e->wake_fd);
    return -error;
}

static bool probe_pwait2(struct skua_epoll *e)
{
    struct timespec none = {0};
    return syscall(SYS_epoll_pwait2, e->epoll_fd, e->events, SKUA_EPOLL_EVENTS, &none, NULL, 0) ==
           0;
}

static int epoll_create_engine(struct skua_engine **engine, const struct skua_engine_config *config)
{
    struct skua_epoll *e = aligned_alloc(_Alignof(struct skua_epoll), sizeof(*e));
    if (e == NULL)
        return -ENOMEM;
    memset(e, 0, sizeof(*e));
    e->engine.ops = &skua_engine_epoll;
    e->owner = pthread_self();
    atomic_init(&e->wake_state, RUNNING);
    skua_list_init(&e->dirty);
    skua_list_init(&e->later);
    skua_list_init(&e->unsure);
    skua_list_init(&e->spares);
    int rc = open_descriptors(e);
    if (rc < 0) {
        free(e);
        return rc;
    }
    e->has_pwait2 = config->mode_skip < 1 && probe_pwait2(e);
    e->is_plain = config->mode_skip >= 2;
    e->is_shared = config->shared;
    *engine = &e->engine;
    return 0;
}

static void epoll_destroy(struct skua_engine *engine)
{
    if (engine == NULL)
        return;
    struct skua_epoll *e = epoll_of(engine);
    skua_check(skua_gauge_get(&engine->in_flight) == 0);
    skua_assert(e->done_count == 0 && e->waiting == 0 && skua_list_empty(&e->later));
    (void)close(e->epoll_fd);
    (void)close(e->wake_fd);
    struct skua_list *next;
    for (struct skua_list *link = e->spares.next; link != &e->spares; link = next) {
        next = link->next;
        free(wait_of_link(link));
    }
    skua_epoll_fd_fini(e);
    free(e);
}

static uint64_t epoll_now(struct skua_engine *engine)
{
    (void)engine;
    return skua_clock_now();
}

/* There is nothing to register: such ops are plain ones. */
static int epoll_buffers(struct skua_engine *engine, const struct iovec *buffers, unsigned count)
{
    (void)engine;
    return buffers == NULL || count == 0 ? -EINVAL : 0;
}

static void epoll_describe(struct skua_engine *engine, char *text, size_t size)
{
    const struct skua_epoll *e = epoll_of(engine);
    (void)snprintf(text, size, "%s%s", e->has_pwait2 ? "pwait2" : "(timeouts in ms)",
                   e->is_plain ? " (no RWF_NOWAIT)" : " nowait");
}

const struct skua_engine_ops skua_engine_epoll = {
    .name = "epoll",
    .create = epoll_create_engine,
    .destroy = epoll_destroy,
    .submit = epoll_submit,
    .cancel = epoll_cancel,
    .poll = epoll_poll,
    .rescue = epoll_rescue,
    .wake = epoll_wake,
    .now = epoll_now,
    .buffers = epoll_buffers,
    .describe = epoll_describe,
};
