/*
 * sync/select.c - one wait with several ends.
 *
 * WHAT   The select locks all its channels, in the order of their addresses, and carries out what
 *        is possible; otherwise it queues up at each of them before it unlocks any. So no other
 *        side can come between the look and the queueing. Its waiters share a race
 *        (sync/wait_queue.h). Futures have a waiter each; what they wake the select for it finds by
 *        looking. For a descriptor a task polls, whose future is one of the select's; it is
 *        cancelled and awaited before the select returns.
 *
 * END    Woken, by whatever, the select ends the race. If it is too late for that, somebody has
 *        carried out a case: the other side finishes it under that channel's lock, which the select
 *        takes to leave the queue. Then it looks at the futures, the time, the cancel; if it was
 *        nothing (a late interrupt), it starts again, and has lost its place in the queues.
 */
#include <skua/select.h>

#include <skua/future.h>
#include <skua/op.h>
#include <skua/task.h>
#include <skua/time.h>

#include "sched/await.h"
#include "sched/runtime_impl.h"
#include "sync/channel.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

/* What the select has for each case. */
struct alternative {
    struct skua_queued node;   /* at its channel */
    struct skua_waiter waiter; /* at its future */
    skua_future *future;       /* the case's, or that of the task which polls its descriptor */
    bool waits;                /* the waiter is at the future */
};

struct selection {
    skua_select_case *cases;
    size_t count;
    size_t first; /* where looking starts */
    size_t locked_count;
    uint64_t deadline_ns; /* the caller's or the earliest timer's */
    int timer;            /* the case whose timer that is; -1 */
    struct skua_race race;
    struct skua_channel *locked[SKUA_SELECT_MAX]; /* in order, each once */
    bool biased[SKUA_SELECT_MAX];
    struct alternative alternatives[SKUA_SELECT_MAX];
};

static bool is_channel(const skua_select_case *c)
{
    return c->op == SKUA_SELECT_SEND || c->op == SKUA_SELECT_RECV;
}

static int check(const skua_select_case *c)
{
    switch (c->op) {
    case SKUA_SELECT_NONE:
    case SKUA_SELECT_TIMER:
        return 0;
    case SKUA_SELECT_SEND:
    case SKUA_SELECT_RECV:
        return c->channel == NULL || (c->item == NULL && c->channel->item_size != 0) ? -EINVAL : 0;
    case SKUA_SELECT_FUTURE:
        return c->future == NULL ? -EINVAL : 0;
    case SKUA_SELECT_FD:
        return skua_runtime_current() == NULL ? -EPERM : 0;
    }
    return -EINVAL;
}

/* Where to start looking: anywhere, so that no case starves. */
static size_t choose_first(size_t count)
{
    static _Atomic uint64_t turn;
    if (skua_vthread_simulated())
        return skua_vthread_random((unsigned)count);
    /* relaxed: any number will do. The multiplier: Knuth's, from the golden ratio */
    uint64_t n = atomic_fetch_add_explicit(&turn, 1, memory_order_relaxed);
    return (size_t)((n * UINT64_C(11400714819323198485)) >> 40) % count;
}

/* ---- channels -------------------------------------------------------------------------------- */

/* Collects the channels in the order of their addresses, each once. */
static void collect_channels(struct selection *s)
{
    s->locked_count = 0;
    for (size_t i = 0; i < s->count; i++) {
        if (!is_channel(&s->cases[i]))
            continue;
        struct skua_channel *channel = s->cases[i].channel;
        size_t at = s->locked_count;
        while (at > 0 && (uintptr_t)s->locked[at - 1] > (uintptr_t)channel)
            at--;
        if (at > 0 && s->locked[at - 1] == channel)
            continue;
        for (size_t j = s->locked_count; j > at; j--)
            s->locked[j] = s->locked[j - 1];
        s->locked[at] = channel;
        s->locked_count++;
    }
}

static void lock_channels(struct selection *s)
{
    for (size_t i = 0; i < s->locked_count; i++)
        s->biased[i] = skua_channel_lock(s->locked[i]);
}

static void unlock_channels(struct selection *s)
{
    for (size_t i = s->locked_count; i-- > 0;)
        skua_channel_unlock(s->locked[i], s->biased[i]);
}

/* With the channels locked: the case that has been carried out, or -1. */
static int try_channels(struct selection *s, struct skua_wakes *wakes)
{
    for (size_t n = 0; n < s->count; n++) {
        size_t i = (s->first + n) % s->count;
        skua_select_case *c = &s->cases[i];
        if (!is_channel(c))
            continue;
        int rc = c->op == SKUA_SELECT_SEND ? skua_channel_offer(c->channel, c->item, wakes)
                                           : skua_channel_take(c->channel, c->item, wakes);
        if (rc != -EAGAIN) {
            c->result = rc;
            return (int)i;
        }
    }
    return -1;
}

/* With the channels locked: queues up at all of them. */
static void enqueue(struct selection *s, struct skua_agent *agent)
{
    for (size_t i = 0; i < s->count; i++) {
        skua_select_case *c = &s->cases[i];
        if (!is_channel(c))
            continue;
        struct skua_queued *node = &s->alternatives[i].node;
        *node = (struct skua_queued){
            .agent = agent, .race = &s->race, .item = c->item, .index = (int)i};
        bool is_send = c->op == SKUA_SELECT_SEND;
        skua_wait_queue_add(&c->channel->turns.waiters[is_send ? SKUA_GIVE : SKUA_TAKE], node);
    }
}

/* Leaves the queues it is still in. After it no other side touches the nodes. */
static void dequeue(struct selection *s)
{
    lock_channels(s);
    for (size_t i = 0; i < s->count; i++) {
        skua_select_case *c = &s->cases[i];
        struct skua_queued *node = &s->alternatives[i].node;
        if (!is_channel(c) || !node->queued)
            continue;
        bool is_send = c->op == SKUA_SELECT_SEND;
        skua_wait_queue_remove(&c->channel->turns.waiters[is_send ? SKUA_GIVE : SKUA_TAKE], node);
    }
    unlock_channels(s);
}

/* ---- futures, descriptors, timers ------------------------------------------------------------ */

static intptr_t poll_descriptor(void *arg)
{
    const skua_select_case *c = arg;
    skua_op op = {.code = SKUA_OP_POLL, .fd = c->fd, .flags = c->events};
    int rc = skua_op_submit(&op, 1);
    return op.result == -ECANCELED && rc < 0 ? rc : (intptr_t)op.result;
}

/* What a case other than a channel's is right now: ready, its result set, or not. */
static bool is_ready(skua_select_case *c, const struct alternative *alternative)
{
    struct pollfd now = {.fd = c->fd, .events = (short)c->events};
    switch (c->op) {
    case SKUA_SELECT_FUTURE:
        c->result = 0;
        return skua_future_done(c->future);
    case SKUA_SELECT_TIMER:
        c->result = 0;
        return c->deadline_ns <= skua_now();
    case SKUA_SELECT_FD:
        if (alternative->future != NULL) {
            intptr_t value;
            bool done = skua_future_peek(alternative->future, &value) == 0;
            c->result = done ? (int)value : 0;
            return done;
        }
        c->result = poll(&now, 1, 0) > 0 ? now.revents : 0;
        if (c->result & POLLNVAL)
            c->result = -EBADF;
        return c->result != 0;
    default:
        return false;
    }
}

static int find_ready(struct selection *s)
{
    for (size_t n = 0; n < s->count; n++) {
        size_t i = (s->first + n) % s->count;
        if (is_ready(&s->cases[i], &s->alternatives[i]))
            return (int)i;
    }
    return -1;
}

/* Starts a task for each descriptor. 0, or the error of one that cannot be started. */
static int start_polls(struct selection *s)
{
    for (size_t i = 0; i < s->count; i++) {
        skua_select_case *c = &s->cases[i];
        struct alternative *a = &s->alternatives[i];
        if (c->op == SKUA_SELECT_FUTURE) {
            a->future = c->future;
        } else if (c->op == SKUA_SELECT_FD && a->future == NULL) {
            a->future = skua_spawn(poll_descriptor, c);
            intptr_t rc;
            if (skua_future_peek(a->future, &rc) == 0 && (rc == -ENOMEM || rc == -ESHUTDOWN))
                return (int)rc;
        }
    }
    return 0;
}

/* No task polls any more, and none uses the cases. */
static void stop_polls(struct selection *s)
{
    for (size_t i = 0; i < s->count; i++) {
        if (s->cases[i].op == SKUA_SELECT_FD && s->alternatives[i].future != NULL)
            (void)skua_future_cancel(s->alternatives[i].future);
    }
    for (size_t i = 0; i < s->count; i++) {
        struct alternative *a = &s->alternatives[i];
        if (s->cases[i].op != SKUA_SELECT_FD || a->future == NULL)
            continue;
        (void)skua_future_wait(a->future, SKUA_FOREVER, true);
        skua_future_mark_read(a->future);
        skua_future_unref(a->future);
    }
}

/* Waits at all futures. False: one of them is done. */
static bool add_waiters(struct selection *s, struct skua_agent *agent)
{
    for (size_t i = 0; i < s->count; i++) {
        struct alternative *a = &s->alternatives[i];
        if (a->future == NULL)
            continue;
        a->waiter.agent = agent;
        a->waits = skua_future_add_waiter(a->future, &a->waiter);
        if (!a->waits)
            return false;
    }
    return true;
}

static void remove_waiters(struct selection *s)
{
    for (size_t i = 0; i < s->count; i++) {
        struct alternative *a = &s->alternatives[i];
        if (a->waits)
            (void)skua_future_remove_waiter(a->future, &a->waiter);
        a->waits = false;
    }
}

/* ---- the select ------------------------------------------------------------------------------ */

/* Announces the wait everywhere. The index of a case that needs none, -1, or an error below that.
 */
static int prepare(struct selection *s, struct skua_wait *wait, bool *queued)
{
    atomic_init(&s->race.winner, SKUA_RACE_OPEN);
    struct skua_wakes wakes;
    skua_wakes_init(&wakes);
    if (!add_waiters(s, wait->agent))
        return -1; /* the caller will look */
    lock_channels(s);
    int taken = try_channels(s, &wakes);
    *queued = taken < 0;
    if (*queued)
        enqueue(s, wait->agent);
    unlock_channels(s);
    skua_wakes_flush(&wakes);
    return taken;
}

/* One wait. The index of the case carried out; -1: look, and wait again; or -errno. */
static int wait_once(struct selection *s)
{
    struct skua_wait wait;
    bool queued = false;
    enum skua_reason reason = SKUA_REASON_INTERRUPT;
    int rc = skua_wait_begin(&wait, SKUA_WAIT_SELECT, false, s->deadline_ns);
    if (rc < 0)
        return rc;
    int taken = prepare(s, &wait, &queued);
    if (queued && !skua_wait_cancelled()) {
        reason = skua_wait_park(&wait);
        wait.agent = NULL;
    }
    if (queued) {
        if (!skua_race_win(&s->race, SKUA_RACE_ENDED))
            taken = atomic_load_explicit(&s->race.winner, memory_order_relaxed);
        dequeue(s);
        if (taken >= 0)
            s->cases[taken].result = (int)s->alternatives[taken].node.value;
    }
    if (wait.agent != NULL)
        (void)skua_wait_abandon(&wait);
    remove_waiters(s);
    if (taken < 0)
        taken = find_ready(s);
    if (taken >= 0)
        return taken;
    if (reason == SKUA_REASON_TIMEOUT)
        return s->timer >= 0 ? s->timer : -ETIMEDOUT;
    return skua_wait_cancelled() ? -ECANCELED : -EAGAIN;
}

/* The first look, without waiting. The index of the case carried out, or -1. */
static int look(struct selection *s)
{
    struct skua_wakes wakes;
    skua_wakes_init(&wakes);
    lock_channels(s);
    int taken = try_channels(s, &wakes);
    unlock_channels(s);
    skua_wakes_flush(&wakes);
    return taken >= 0 ? taken : find_ready(s);
}

int skua_select(skua_select_case *cases, size_t count, uint64_t deadline_ns)
{
    struct skua_thread *thread = skua_thread_self();
    if (cases == NULL || count == 0 || count > SKUA_SELECT_MAX)
        return -EINVAL;
    if (thread != NULL && thread->forked)
        return -ECHILD;
    struct selection s; /* large: only what is used is set */
    s.cases = cases;
    s.count = count;
    s.deadline_ns = deadline_ns;
    s.timer = -1;
    memset(s.alternatives, 0, count * sizeof(s.alternatives[0]));
    for (size_t i = 0; i < count; i++) {
        int rc = check(&cases[i]);
        if (rc < 0)
            return rc;
        if (cases[i].op == SKUA_SELECT_TIMER && cases[i].deadline_ns < s.deadline_ns) {
            s.deadline_ns = cases[i].deadline_ns;
            s.timer = (int)i;
        }
    }
    s.first = choose_first(count);
    collect_channels(&s);
    int taken = look(&s);
    if (taken >= 0)
        return taken;
    if (s.deadline_ns != SKUA_FOREVER && s.deadline_ns <= skua_now())
        return s.timer >= 0 ? s.timer : -ETIMEDOUT; /* the timer was not due in find_ready() yet */
    if (skua_wait_cancelled())
        return -ECANCELED;
    int rc = start_polls(&s);
    if (rc == 0) {
        do {
            rc = wait_once(&s);
        } while (rc == -EAGAIN);
    }
    stop_polls(&s);
    return rc;
}
