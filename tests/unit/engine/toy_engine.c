/*
 * unit/engine/toy_engine.c - an engine for tests: a helper thread does ops by plain system calls.
 *
 * It shows that the conformance suite tests the contract of engine.h and not io_uring, and that the
 * contract can be met in another way. Slow on purpose: one mutex guards everything shared.
 *
 * The owner collects submitted ops; poll() hands them to the helper. The helper does each op whose
 * descriptor is ready (regular files always are), gives back the cancelled, and sleeps in poll(2)
 * on the others and an eventfd. Each op has a node, which skua_op_private.engine points to.
 */
#include "toy_engine.h"

#include "engine/engine.h"
#include "platform/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PENDING_POLL_MAX 64

struct node {
    struct skua_list link; /* in fresh (owner), pending (helper) or done (mutex) */
    skua_op *op;
    int64_t result;
    bool cancelled; /* guarded by mutex */
};

struct toy {
    struct skua_engine engine;
    struct skua_list fresh;   /* owner only */
    struct skua_list pending; /* helper only */

    pthread_mutex_t mutex;
    pthread_cond_t wakeup;
    struct skua_list handed; /* guarded by mutex: from the owner to the helper */
    struct skua_list done;   /* guarded by mutex: from the helper to the owner */
    bool notified;           /* guarded by mutex */
    bool stop;               /* guarded by mutex */

    int kick_fd; /* eventfd, makes the helper look */
    pthread_t helper;
};

static struct toy *toy_of(struct skua_engine *engine)
{
    return skua_container_of(engine, struct toy, engine);
}

static struct node *node_of(struct skua_list *link)
{
    return skua_container_of(link, struct node, link);
}

static struct node *node_of_op(skua_op *op)
{
    return (struct node *)(uintptr_t)skua_op_private(op)->engine;
}

static int64_t result_of(int64_t rc)
{
    return rc < 0 ? -errno : rc;
}

/* ---- ops as system calls ---- */

static int64_t do_rw(const skua_op *op)
{
    struct iovec one = {op->addr, op->len};
    bool vector = op->code == SKUA_OP_READV || op->code == SKUA_OP_WRITEV;
    const struct iovec *iov = vector ? op->addr : &one;
    int count = vector ? (int)op->len : 1;
    int flags = vector ? (int)op->flags : 0;
    bool reads =
        op->code == SKUA_OP_READ || op->code == SKUA_OP_READ_FIXED || op->code == SKUA_OP_READV;
    off_t offset = (off_t)op->offset;
    return result_of(reads ? preadv2(op->fd, iov, count, offset, flags)
                           : pwritev2(op->fd, iov, count, offset, flags));
}

static int64_t do_splice(const skua_op *op)
{
    off_t in = (off_t)op->offset;
    off_t out = (off_t)op->offset2;
    return result_of(splice(op->fd, in == -1 ? NULL : &in, op->fd2, out == -1 ? NULL : &out,
                            op->len, op->flags));
}

static int64_t do_path(const skua_op *op)
{
    const char *path = op->addr;
    const char *other = op->addr2;
    switch (op->code) {
    case SKUA_OP_OPENAT:
        return result_of(openat(op->fd, path, (int)op->flags | O_CLOEXEC, (mode_t)op->len));
    case SKUA_OP_STATX:
        return result_of(statx(op->fd, path, (int)op->flags, (unsigned)op->len, op->addr2));
    case SKUA_OP_RENAMEAT:
        return result_of(renameat2(op->fd, path, op->fd2, other, op->flags));
    case SKUA_OP_UNLINKAT:
        return result_of(unlinkat(op->fd, path, (int)op->flags));
    case SKUA_OP_MKDIRAT:
        return result_of(mkdirat(op->fd, path, (mode_t)op->len));
    case SKUA_OP_LINKAT:
        return result_of(linkat(op->fd, path, op->fd2, other, (int)op->flags));
    default:
        return result_of(symlinkat(path, op->fd, other));
    }
}

static int64_t perform(const skua_op *op)
{
    switch (op->code) {
    case SKUA_OP_NOP:
        return 0;
    case SKUA_OP_CLOSE:
        return result_of(close(op->fd));
    case SKUA_OP_FSYNC:
        return result_of(op->flags & 1 ? fdatasync(op->fd) : fsync(op->fd));
    case SKUA_OP_FALLOCATE:
        return result_of(fallocate(op->fd, (int)op->flags, (off_t)op->offset, (off_t)op->len));
    case SKUA_OP_FTRUNCATE:
        return result_of(ftruncate(op->fd, (off_t)op->len));
    case SKUA_OP_SPLICE:
        return do_splice(op);
    case SKUA_OP_FADVISE:
        return -posix_fadvise(op->fd, (off_t)op->offset, (off_t)op->len, (int)op->flags);
    case SKUA_OP_MADVISE:
        return result_of(madvise(op->addr, op->len, (int)op->flags));
    case SKUA_OP_READ:
    case SKUA_OP_WRITE:
    case SKUA_OP_READV:
    case SKUA_OP_WRITEV:
    case SKUA_OP_READ_FIXED:
    case SKUA_OP_WRITE_FIXED:
        return do_rw(op);
    default:
        return do_path(op);
    }
}

/* What the op waits for before it can be done without blocking; 0: nothing. */
static short events_of(const skua_op *op)
{
    switch (op->code) {
    case SKUA_OP_READ:
    case SKUA_OP_READV:
    case SKUA_OP_READ_FIXED:
    case SKUA_OP_SPLICE:
        return POLLIN;
    case SKUA_OP_WRITE:
    case SKUA_OP_WRITEV:
    case SKUA_OP_WRITE_FIXED:
        return POLLOUT;
    case SKUA_OP_POLL:
        return (short)op->flags;
    default:
        return 0;
    }
}

/* ---- the helper ---- */

static void finish(struct toy *t, struct node *node, int64_t result)
{
    skua_list_remove(&node->link);
    node->result = result;
    (void)pthread_mutex_lock(&t->mutex);
    skua_list_push(&t->done, &node->link);
    (void)pthread_cond_signal(&t->wakeup);
    (void)pthread_mutex_unlock(&t->mutex);
}

/* Ends the op if it can be ended now. */
static bool attempt(struct toy *t, struct node *node)
{
    (void)pthread_mutex_lock(&t->mutex);
    bool cancelled = node->cancelled;
    (void)pthread_mutex_unlock(&t->mutex);
    const skua_op *op = node->op;
    struct pollfd ready = {.fd = op->fd, .events = events_of(op)};
    if (cancelled) {
        finish(t, node, -ECANCELED);
        return true;
    }
    /* poll(2) passes over negative descriptors; the system call has something to say of them. */
    if (ready.events != 0 && op->fd >= 0 && poll(&ready, 1, 0) == 0)
        return false;
    if (op->code != SKUA_OP_POLL)
        finish(t, node, perform(op));
    else
        finish(t, node, op->fd < 0 || (ready.revents & POLLNVAL) ? -EBADF : ready.revents);
    return true;
}

static void sleep_on_pending(struct toy *t)
{
    struct pollfd fds[1 + PENDING_POLL_MAX] = {{.fd = t->kick_fd, .events = POLLIN}};
    nfds_t count = 1;
    for (struct skua_list *at = t->pending.next; at != &t->pending; at = at->next) {
        const skua_op *op = node_of(at)->op;
        skua_check(count <= PENDING_POLL_MAX);
        fds[count++] = (struct pollfd){.fd = op->fd, .events = events_of(op)};
    }
    (void)poll(fds, count, -1);
    uint64_t kicks;
    ssize_t got = read(t->kick_fd, &kicks, sizeof(kicks));
    (void)got;
}

static void *helper_main(void *arg)
{
    struct toy *t = arg;
    for (;;) {
        (void)pthread_mutex_lock(&t->mutex);
        bool stop = t->stop;
        struct skua_list *link;
        while ((link = skua_list_pop(&t->handed)) != NULL)
            skua_list_push(&t->pending, link);
        (void)pthread_mutex_unlock(&t->mutex);
        if (stop)
            return NULL;
        struct skua_list *next;
        for (link = t->pending.next; link != &t->pending; link = next) {
            next = link->next;
            (void)attempt(t, node_of(link));
        }
        sleep_on_pending(t);
    }
}

static void kick(struct toy *t)
{
    const uint64_t one = 1;
    ssize_t written = write(t->kick_fd, &one, sizeof(one));
    (void)written;
}

/* ---- the owner ---- */

static int toy_submit(struct skua_engine *engine, skua_op *op)
{
    struct toy *t = toy_of(engine);
    if (op->code >= SKUA_OP_CODE_COUNT)
        return -EINVAL;
    struct node *node = calloc(1, sizeof(*node));
    if (node == NULL)
        return -ENOMEM;
    node->op = op;
    skua_op_private(op)->engine = (uint64_t)(uintptr_t)node;
    skua_list_push(&t->fresh, &node->link);
    engine->queued++;
    engine->in_flight++;
    skua_counter_add(&engine->submitted_total, 1);
    return 0;
}

static void toy_cancel(struct skua_engine *engine, skua_op *op)
{
    struct toy *t = toy_of(engine);
    (void)pthread_mutex_lock(&t->mutex);
    node_of_op(op)->cancelled = true;
    (void)pthread_mutex_unlock(&t->mutex);
    kick(t);
}

static void hand_over(struct toy *t)
{
    if (t->engine.queued == 0)
        return;
    struct skua_list *link;
    (void)pthread_mutex_lock(&t->mutex);
    while ((link = skua_list_pop(&t->fresh)) != NULL)
        skua_list_push(&t->handed, link);
    (void)pthread_mutex_unlock(&t->mutex);
    t->engine.queued = 0;
    skua_counter_add(&t->engine.enters_total, 1);
    kick(t);
}

/* Waits for something done, a wake or the deadline, then takes what is done, up to a batch. */
static void take_done(struct toy *t, uint64_t deadline_ns, struct skua_list *taken)
{
    struct timespec until;
    skua_clock_to_timespec(skua_min(deadline_ns, (uint64_t)INT64_MAX), &until);
    (void)pthread_mutex_lock(&t->mutex);
    if (deadline_ns != 0 && skua_list_empty(&t->done)) {
        while (skua_list_empty(&t->done) && !t->notified)
            if (pthread_cond_timedwait(&t->wakeup, &t->mutex, &until) == ETIMEDOUT)
                break;
        t->notified = false;
    }
    struct skua_list *link;
    unsigned left = skua_engine_batch(&t->engine);
    while (left-- > 0 && (link = skua_list_pop(&t->done)) != NULL)
        skua_list_push(taken, link);
    (void)pthread_mutex_unlock(&t->mutex);
}

static unsigned toy_poll(struct skua_engine *engine, uint64_t deadline_ns)
{
    struct toy *t = toy_of(engine);
    struct skua_list taken;
    skua_list_init(&taken);
    hand_over(t);
    take_done(t, deadline_ns, &taken);

    unsigned completed = 0;
    struct skua_list *link;
    struct skua_list *next;
    for (link = taken.next; link != &taken; link = next) {
        next = link->next;
        struct node *node = node_of(link);
        skua_op *op = node->op;
        op->result = node->result;
        engine->in_flight--;
        completed++;
        skua_op_private(op)->complete(op);
        /* Freed after complete(), which may have cancelled an op that is on taken. */
    }
    while ((link = skua_list_pop(&taken)) != NULL)
        free(node_of(link));
    skua_counter_add(&engine->completed_total, completed);
    return completed;
}

static void toy_wake(struct skua_engine *engine)
{
    struct toy *t = toy_of(engine);
    (void)pthread_mutex_lock(&t->mutex);
    t->notified = true;
    (void)pthread_cond_signal(&t->wakeup);
    (void)pthread_mutex_unlock(&t->mutex);
}

static uint64_t toy_now(struct skua_engine *engine)
{
    (void)engine;
    return skua_clock_now();
}

static int toy_buffers(struct skua_engine *engine, const struct iovec *buffers, unsigned count)
{
    (void)engine;
    return buffers == NULL || count == 0 ? -EINVAL : 0;
}

static void toy_describe(struct skua_engine *engine, char *text, size_t size)
{
    (void)engine;
    (void)snprintf(text, size, "toy helper-thread");
}

static int toy_create(struct skua_engine **engine, const struct skua_engine_config *config)
{
    (void)config;
    struct toy *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return -ENOMEM;
    t->engine.ops = &toy_engine;
    skua_list_init(&t->fresh);
    skua_list_init(&t->pending);
    skua_list_init(&t->handed);
    skua_list_init(&t->done);
    pthread_condattr_t attr;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&t->mutex, NULL);
    (void)pthread_cond_init(&t->wakeup, &attr);
    (void)pthread_condattr_destroy(&attr);
    t->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int rc = t->kick_fd < 0 ? -errno : -pthread_create(&t->helper, NULL, helper_main, t);
    if (rc < 0) {
        if (t->kick_fd >= 0)
            (void)close(t->kick_fd);
        free(t);
        return rc;
    }
    *engine = &t->engine;
    return 0;
}

static void toy_destroy(struct skua_engine *engine)
{
    struct toy *t = toy_of(engine);
    skua_check(engine->in_flight == 0);
    (void)pthread_mutex_lock(&t->mutex);
    t->stop = true;
    (void)pthread_mutex_unlock(&t->mutex);
    kick(t);
    (void)pthread_join(t->helper, NULL);
    (void)pthread_cond_destroy(&t->wakeup);
    (void)pthread_mutex_destroy(&t->mutex);
    (void)close(t->kick_fd);
    free(t);
}

const struct skua_engine_ops toy_engine = {
    .name = "toy",
    .create = toy_create,
    .destroy = toy_destroy,
    .submit = toy_submit,
    .cancel = toy_cancel,
    .poll = toy_poll,
    .wake = toy_wake,
    .now = toy_now,
    .buffers = toy_buffers,
    .describe = toy_describe,
};
