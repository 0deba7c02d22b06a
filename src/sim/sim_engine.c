/*
 * sim/sim_engine.c - the engine of a simulated worker.
 *
 * WHAT   An operation takes a virtual time that the seed decides. When that is over it is carried
 *        out at once by a system call, if the descriptor is ready; if not it is blocked, and waits
 *        until it is: nobody but the threads of the simulation can make it so, so it is enough to
 *        look when none of them can run. What the kernel does with pipes, Unix sockets and files of
 *        one process depends on nothing but the order of the calls. Sockets that are simulated are
 *        asked first (network.h).
 *
 * STATE  An op is in the list of its engine from submit to completion. private_.engine is its entry
 *        there.
 *
 * TRACE  An op's result, but of what makes a descriptor only that it did: its number depends on
 *        what else the process has open.
 */
#include "sim/world.h"

#include "base/list.h"
#include "io/op_blocking.h"
#include "platform/vthread.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define PIECE_BYTES 4096u /* what a pipe or socket that is ready to be written takes at least */
#define NEVER UINT64_MAX

struct sim_engine {
    struct skua_engine base; /* first */
    struct skua_world *world;
    struct sim_engine *next; /* of the world */
    struct sim_op *ops;      /* in flight, in order of submission */
    struct sim_op **last;
    _Atomic uint32_t word; /* futex of a waiting poll; bumped by wakes */
};

struct sim_op {
    struct sim_op *next;
    skua_op *op;
    struct sim_socket *socket; /* that it is of, if that is simulated */
    uint64_t due_ns;
    uint64_t cancelled_ns; /* when a cancel reaches it; NEVER: there is none */
};

static struct sim_engine *engine_of(struct skua_engine *engine)
{
    return (struct sim_engine *)(void *)engine;
}

/* ---- carrying out ---------------------------------------------------------------------------- */

static bool is_read(const skua_op *op)
{
    return op->code == SKUA_OP_READ || op->code == SKUA_OP_READ_FIXED ||
           op->code == SKUA_OP_READV || op->code == SKUA_OP_RECV || op->code == SKUA_OP_RECVMSG;
}

static bool is_write(const skua_op *op)
{
    return op->code == SKUA_OP_WRITE || op->code == SKUA_OP_WRITE_FIXED ||
           op->code == SKUA_OP_WRITEV || op->code == SKUA_OP_SEND || op->code == SKUA_OP_SENDMSG;
}

static bool is_vectored(const skua_op *op)
{
    return op->code == SKUA_OP_READV || op->code == SKUA_OP_WRITEV || op->code == SKUA_OP_RECVMSG ||
           op->code == SKUA_OP_SENDMSG;
}

static bool is_stream(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode));
}

/* A short datagram would be another one. */
static bool is_datagram(int fd, const struct sim_socket *socket)
{
    int type = SOCK_STREAM;
    if (socket != NULL)
        return skua_network_is_datagram(socket);
    socklen_t size = sizeof(type);
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type != SOCK_STREAM;
}

static bool poll_now(int fd, short events)
{
    struct pollfd entry = {.fd = fd, .events = events};
    return poll(&entry, 1, 0) != 0; /* an error: the call itself will tell */
}

static bool is_told_not_to_wait(const skua_op *op)
{
    bool has_flags = op->code == SKUA_OP_RECV || op->code == SKUA_OP_RECVMSG ||
                     op->code == SKUA_OP_SEND || op->code == SKUA_OP_SENDMSG;
    return has_flags && (op->flags & MSG_DONTWAIT) != 0;
}

static bool is_splice_ready(struct skua_world *world, const skua_op *op, struct sim_socket *from)
{
    struct sim_socket *to = skua_network_find_target(world, op);
    bool can_read = from != NULL ? skua_network_is_ready(world, from, op)
                                 : !is_stream(op->fd) || poll_now(op->fd, POLLIN);
    return can_read && (to != NULL ? skua_network_has_room(world, to, op->fd2)
                                   : !is_stream(op->fd2) || poll_now(op->fd2, POLLOUT));
}

bool skua_world_is_ready(struct skua_world *world, const skua_op *op, struct sim_socket *socket)
{
    if (is_told_not_to_wait(op))
        return true;
    if (op->code == SKUA_OP_SPLICE)
        return is_splice_ready(world, op, socket);
    if (socket != NULL)
        return skua_network_is_ready(world, socket, op);
    if (op->code == SKUA_OP_POLL)
        return poll_now(op->fd, (short)op->flags);
    if (op->code == SKUA_OP_ACCEPT)
        return poll_now(op->fd, POLLIN);
    if (is_read(op))
        return !is_stream(op->fd) || poll_now(op->fd, POLLIN);
    if (is_write(op))
        return !is_stream(op->fd) || poll_now(op->fd, POLLOUT);
    return true;
}

static int error_of(skua_sim_fault_kind kind)
{
    static const int errors[SKUA_SIM_FAULT_KINDS] = {
        [SKUA_SIM_EINTR] = EINTR,   [SKUA_SIM_EAGAIN] = EAGAIN,  [SKUA_SIM_ECONNRESET] = ECONNRESET,
        [SKUA_SIM_ENOSPC] = ENOSPC, [SKUA_SIM_EIO] = EIO,        [SKUA_SIM_EMFILE] = EMFILE,
        [SKUA_SIM_ENOMEM] = ENOMEM, [SKUA_SIM_ENOBUFS] = ENOBUFS};
    return errors[kind];
}

static bool can_fail(const skua_op *op, const struct sim_socket *socket, skua_sim_fault_kind kind)
{
    bool moves = is_read(op) || is_write(op);
    switch (kind) {
    case SKUA_SIM_SHORT:
        return (is_read(op) || is_write(op)) && !is_vectored(op) && op->len > 1 &&
               !is_datagram(op->fd, socket);
    case SKUA_SIM_EINTR:
        return moves || op->code == SKUA_OP_FSYNC || op->code == SKUA_OP_OPENAT ||
               op->code == SKUA_OP_ACCEPT;
    case SKUA_SIM_EAGAIN:
        return moves && is_stream(op->fd);
    case SKUA_SIM_ECONNRESET:
    case SKUA_SIM_ENOBUFS:
        return moves && is_stream(op->fd);
    case SKUA_SIM_ENOSPC:
        return is_write(op) || op->code == SKUA_OP_FALLOCATE || op->code == SKUA_OP_OPENAT ||
               op->code == SKUA_OP_MKDIRAT;
    case SKUA_SIM_EIO:
        return moves || op->code == SKUA_OP_FSYNC;
    case SKUA_SIM_EMFILE:
        return op->code == SKUA_OP_OPENAT || op->code == SKUA_OP_ACCEPT;
    case SKUA_SIM_ENOMEM:
        return op->code != SKUA_OP_CLOSE && op->code != SKUA_OP_POLL;
    default: /* not of operations */
        return false;
    }
}

/* The fault that operation number @number is to suffer; false: none. */
static bool choose_fault(struct skua_world *world, const skua_op *op,
                         const struct sim_socket *socket, skua_sim_fault *fault)
{
    uint64_t number = world->counts[SIM_OPERATIONS]++;
    const skua_sim_options *options = &world->options;
    if (options->script != NULL) {
        const skua_sim_fault *next = skua_world_scripted(world, SKUA_SIM_SHORT, number);
        if (next == NULL || !can_fail(op, socket, next->kind))
            return false;
        *fault = *next;
        return true;
    }
    for (unsigned kind = 0; kind < SKUA_SIM_ALLOCATION; kind++) {
        unsigned rate = options->faults_per_million[kind];
        if (rate == 0 || !can_fail(op, socket, (skua_sim_fault_kind)kind) ||
            !skua_world_draw(world, rate))
            continue;
        *fault = (skua_sim_fault){.operation = number, .kind = (skua_sim_fault_kind)kind};
        if (kind == SKUA_SIM_SHORT)
            fault->length =
                (unsigned)(1 + skua_world_fault_random(
                                   world, (op->len < PIECE_BYTES ? op->len : PIECE_BYTES) - 1));
        return true;
    }
    return false;
}

int skua_world_descriptor_fault(struct skua_world *world)
{
    const skua_op op = {.code = SKUA_OP_ACCEPT, .fd = -1};
    skua_sim_fault fault;
    if (!choose_fault(world, &op, NULL, &fault) || fault.kind != SKUA_SIM_EMFILE)
        return 0;
    skua_world_note_fault(world, &fault);
    return -EMFILE;
}

static bool makes_descriptor(const skua_op *op)
{
    return op->code == SKUA_OP_OPENAT || op->code == SKUA_OP_ACCEPT;
}

/* Of the kernel's descriptors. */
static void perform_by_kernel(const skua_op *op, skua_op *part)
{
    if (is_write(op) && part->len > PIECE_BYTES && !is_vectored(op) && is_stream(op->fd) &&
        !is_datagram(op->fd, NULL))
        part->len = PIECE_BYTES; /* more could block */
    if (op->code == SKUA_OP_SENDMSG)
        part->flags |= MSG_DONTWAIT; /* the same; a stream takes a part, a datagram must fit */
    if (op->code == SKUA_OP_RECV || op->code == SKUA_OP_RECVMSG)
        part->flags &= ~(uint32_t)MSG_WAITALL;
    skua_op_perform(part);
}

void skua_world_perform(struct skua_world *world, skua_op *op, struct sim_socket *socket)
{
    skua_sim_fault fault;
    skua_op part = *op;
    bool spoiled = choose_fault(world, op, socket, &fault);
    if (spoiled)
        skua_world_note_fault(world, &fault);
    bool is_real_reset = spoiled && fault.kind == SKUA_SIM_ECONNRESET &&
                         skua_network_reset_socket(world, socket); /* then the call tells it */
    if (spoiled && fault.kind != SKUA_SIM_SHORT && !is_real_reset) {
        op->result = -error_of(fault.kind);
    } else {
        if (spoiled && fault.kind == SKUA_SIM_SHORT && fault.length < part.len)
            part.len = fault.length;
        if (socket != NULL)
            skua_network_perform(world, socket, &part);
        else
            perform_by_kernel(op, &part);
        op->result = part.result;
    }
    int64_t traced = makes_descriptor(op) ? skua_min(op->result, 0) : op->result;
    skua_world_trace(world, ((uint64_t)op->code << 56) ^ (uint64_t)traced);
}

/* ---- checking -------------------------------------------------------------------------------- */

static const char *engine_broken(const struct sim_engine *engine)
{
    const struct skua_engine *base = &engine->base;
    unsigned in_flight = skua_gauge_get((_Atomic unsigned *)(uintptr_t)&base->in_flight);
    unsigned count = 0;
    for (const struct sim_op *at = engine->ops; at != NULL && count <= in_flight; at = at->next) {
        if (skua_op_private(at->op)->engine != (uint64_t)(uintptr_t)at)
            return "an op is in flight once";
        count++;
    }
    if (count != in_flight)
        return "as many ops are in flight as are counted";
    /* relaxed: a simulation is one thread */
    uint64_t submitted = atomic_load_explicit(&base->submitted_total, memory_order_relaxed);
    uint64_t completed = atomic_load_explicit(&base->completed_total, memory_order_relaxed);
    return submitted == completed + in_flight ? NULL : "an op is completed once";
}

const char *skua_world_engines_broken(const struct skua_world *world)
{
    const char *broken = NULL;
    const struct sim_engine *engine = world->engines;
    for (; engine != NULL && broken == NULL; engine = engine->next)
        broken = engine_broken(engine);
    return broken;
}

/* ---- waiting for descriptors ----------------------------------------------------------------- */

bool skua_world_wake_ready(struct skua_world *world)
{
    bool woken = false;
    skua_network_run(world);
    uint64_t now_ns = skua_vthread_now();
    for (struct sim_engine *engine = world->engines; engine != NULL; engine = engine->next) {
        for (struct sim_op *at = engine->ops; at != NULL; at = at->next) {
            if (at->due_ns > now_ns || !skua_world_is_ready(world, at->op, at->socket))
                continue;
            woken |= skua_vthread_wake(&engine->word, 1) > 0; /* it may be stalled, too */
            break;
        }
    }
    return woken;
}

/* A thread without an engine: looks again when time has passed, for nobody can tell it. */
static void run_blocking(skua_op *op)
{
    struct skua_world *world = skua_sim_world();
    struct sim_socket *socket = skua_network_find(world, op);
    skua_vthread_stall(skua_vthread_now() + 1 +
                       skua_world_random(world, world->options.latency_max_ns));
    while (!skua_world_is_ready(world, op, socket))
        skua_vthread_stall(skua_vthread_now() + world->options.latency_max_ns + 1);
    skua_world_perform(world, op, socket);
}

/* ---- the engine ------------------------------------------------------------------------------ */

static int sim_create(struct skua_engine **out, const struct skua_engine_config *config)
{
    (void)config;
    struct sim_engine *engine = calloc(1, sizeof(*engine));
    if (engine == NULL)
        return -ENOMEM;
    engine->base.ops = skua_world_hooks.engine;
    engine->world = skua_sim_world();
    engine->last = &engine->ops;
    engine->next = engine->world->engines;
    engine->world->engines = engine;
    *out = &engine->base;
    return 0;
}

static void sim_destroy(struct skua_engine *base)
{
    struct sim_engine *engine = engine_of(base);
    skua_assert(engine->ops == NULL);
    struct sim_engine **at = &engine->world->engines;
    while (*at != engine)
        at = &(*at)->next;
    *at = engine->next;
    free(engine);
}

/* How much later than others an operation or a cancel takes effect. */
static uint64_t lateness(struct skua_world *world)
{
    unsigned rate = world->options.late_per_million;
    return rate != 0 && skua_world_random(world, 1000000) < rate
               ? skua_world_random(world, world->options.late_max_ns)
               : 0;
}

static int sim_submit(struct skua_engine *base, skua_op *op)
{
    struct sim_engine *engine = engine_of(base);
    struct sim_op *entry = malloc(sizeof(*entry));
    if (entry == NULL)
        return -ENOMEM;
    const skua_sim_options *options = &engine->world->options;
    uint64_t latency = skua_world_random(engine->world, options->latency_max_ns);
    *entry = (struct sim_op){.op = op,
                             .socket = skua_network_find(engine->world, op),
                             .due_ns = skua_vthread_now() + latency + 1 + lateness(engine->world),
                             .cancelled_ns = NEVER};
    *engine->last = entry;
    engine->last = &entry->next;
    skua_op_private(op)->engine = (uint64_t)(uintptr_t)entry;
    skua_gauge_add(&base->in_flight, 1);
    atomic_fetch_add_explicit(&base->submitted_total, 1, memory_order_relaxed);
    return 0;
}

static void sim_cancel(struct skua_engine *base, skua_op *op)
{
    struct sim_op *entry = (struct sim_op *)(uintptr_t)skua_op_private(op)->engine;
    if (entry->cancelled_ns == NEVER)
        entry->cancelled_ns = skua_vthread_now() + lateness(engine_of(base)->world);
}

/* What has ended by now goes back to its submitter. */
static unsigned complete_due(struct sim_engine *engine)
{
    struct skua_world *world = engine->world;
    unsigned count = 0;
    unsigned max = skua_engine_batch(&engine->base);
    for (struct sim_op **at = &engine->ops; *at != NULL && count < max;) {
        struct sim_op *entry = *at;
        uint64_t now_ns = skua_vthread_now();
        bool is_due =
            entry->due_ns <= now_ns && skua_world_is_ready(world, entry->op, entry->socket);
        /* A result that is there may beat the cancel, or not. */
        bool is_lost =
            entry->cancelled_ns <= now_ns && (!is_due || skua_world_random(world, 2) == 0);
        if (!is_due && !is_lost) {
            at = &entry->next;
            continue;
        }
        *at = entry->next;
        if (entry->next == NULL)
            engine->last = at;
        if (is_lost) {
            entry->op->result = -ECANCELED;
            skua_world_trace(world, ECANCELED);
        } else {
            skua_world_perform(world, entry->op, entry->socket);
        }
        skua_op *op = entry->op;
        free(entry);
        skua_gauge_add(&engine->base.in_flight, -1);
        skua_counter_add(&engine->base.completed_total, 1);
        count++;
        skua_op_private(op)->complete(op);
    }
    return count;
}

static uint64_t first_due(const struct sim_engine *engine, uint64_t deadline_ns)
{
    uint64_t now_ns = skua_vthread_now();
    for (const struct sim_op *at = engine->ops; at != NULL; at = at->next) {
        if (at->cancelled_ns <= now_ns)
            return now_ns;
        deadline_ns = skua_min(deadline_ns, at->cancelled_ns);
        if (at->due_ns > now_ns && at->due_ns < deadline_ns) /* else it is blocked */
            deadline_ns = at->due_ns;
    }
    return deadline_ns;
}

static unsigned sim_poll(struct skua_engine *base, uint64_t deadline_ns)
{
    struct sim_engine *engine = engine_of(base);
    unsigned count = complete_due(engine);
    if (count > 0 || deadline_ns == 0)
        return count;
    uint32_t woken = atomic_exchange_explicit(&engine->word, 0, memory_order_relaxed);
    uint64_t until_ns = first_due(engine, deadline_ns);
    if (woken == 0 && until_ns > skua_vthread_now()) {
        (void)skua_vthread_wait(&engine->word, 0, until_ns);
        atomic_store_explicit(&engine->word, 0, memory_order_relaxed);
    }
    return complete_due(engine);
}

static void sim_wake(struct skua_engine *base)
{
    struct sim_engine *engine = engine_of(base);
    atomic_store_explicit(&engine->word, 1, memory_order_relaxed);
    (void)skua_vthread_wake(&engine->word, 1);
}

static uint64_t sim_now(struct skua_engine *base)
{
    (void)base;
    return skua_vthread_now();
}

static int sim_buffers(struct skua_engine *base, const struct iovec *buffers, unsigned count)
{
    (void)base;
    (void)buffers;
    (void)count;
    return 0;
}

static void sim_describe(struct skua_engine *base, char *text, size_t size)
{
    (void)base;
    (void)snprintf(text, size, "simulated");
}

static const struct skua_engine_ops sim_ops = {
    .name = "sim",
    .gathers = true,
    .create = sim_create,
    .destroy = sim_destroy,
    .submit = sim_submit,
    .cancel = sim_cancel,
    .poll = sim_poll,
    .wake = sim_wake,
    .now = sim_now,
    .buffers = sim_buffers,
    .describe = sim_describe,
};

const struct skua_sim_hooks skua_world_hooks = {&sim_ops, run_blocking, skua_network_call};
