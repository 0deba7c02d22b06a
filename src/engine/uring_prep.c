/*
 * engine/uring_prep.c - one skua_op as one submission queue entry.
 *
 * Owns nothing. Called by uring.c for every op submitted; skua/op.h tells what the fields of an op
 * mean, io_uring_enter(2) what those of an entry do. What must stay true: every descriptor opened
 * here is O_CLOEXEC, no length is cut silently other than to what read(2) and write(2) would carry,
 * and an entry has no field left over from its predecessor in the queue.
 */
#include "engine/uring_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

static uint64_t address(const void *pointer)
{
    return (uint64_t)(uintptr_t)pointer;
}

/* Counts and masks: the kernel refuses what is larger than 32 bits, so saturation keeps meaning. */
static uint32_t narrow(uint64_t value)
{
    return value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

static uint32_t rw_length(uint64_t length)
{
    return (uint32_t)(length > SKUA_URING_RW_MAX ? SKUA_URING_RW_MAX : length);
}

static void prep_rw(struct io_uring_sqe *sqe, const skua_op *op)
{
    sqe->fd = op->fd;
    sqe->off = op->offset;
    sqe->addr = address(op->addr);
    sqe->len = rw_length(op->len);
}

static void prep_rw_vector(struct io_uring_sqe *sqe, const skua_op *op)
{
    sqe->fd = op->fd;
    sqe->off = op->offset;
    sqe->addr = address(op->addr);
    sqe->len = narrow(op->len);
    sqe->rw_flags = (__kernel_rwf_t)op->flags;
}

/* A path, and in len what else the call has: mode, mask or nothing. */
static void prep_path(struct io_uring_sqe *sqe, const skua_op *op)
{
    sqe->fd = op->fd;
    sqe->addr = address(op->addr);
    sqe->len = narrow(op->len);
    sqe->rw_flags = (__kernel_rwf_t)op->flags; /* one union with all the other flags */
}

static void prep_two_paths(struct io_uring_sqe *sqe, const skua_op *op)
{
    sqe->fd = op->fd;
    sqe->addr = address(op->addr);
    sqe->len = (uint32_t)op->fd2;
    sqe->off = address(op->addr2);
    sqe->rw_flags = (__kernel_rwf_t)op->flags;
}

static void prep_splice(struct io_uring_sqe *sqe, const skua_op *op)
{
    sqe->fd = op->fd2;
    sqe->off = op->offset2;
    sqe->splice_fd_in = op->fd;
    sqe->splice_off_in = op->offset;
    sqe->len = rw_length(op->len);
    sqe->splice_flags = op->flags;
}

/*
 * Advice has 32 bits of length here, and 0 means "to the end" for fadvise. (6.11 takes 64 bits in
 * another field, which older kernels refuse; a caller can as well offload such a call.)
 */
static int prep_advice(struct io_uring_sqe *sqe, const skua_op *op)
{
    if (op->len > UINT32_MAX)
        return -ENOSYS;
    sqe->len = (uint32_t)op->len;
    sqe->fadvise_advice = op->flags;
    if (op->code == SKUA_OP_FADVISE) {
        sqe->fd = op->fd;
        sqe->off = op->offset;
    } else {
        sqe->fd = -1;
        sqe->addr = address(op->addr);
    }
    return 0;
}

/* Sends never raise SIGPIPE, on any thread. */
static void prep_message(const struct skua_uring *u, struct io_uring_sqe *sqe, const skua_op *op)
{
    bool sends = op->code == SKUA_OP_SEND || op->code == SKUA_OP_SENDMSG;
    bool whole = op->code == SKUA_OP_SENDMSG || op->code == SKUA_OP_RECVMSG;
    sqe->fd = op->fd;
    sqe->addr = address(op->addr);
    sqe->len = whole ? 1 : rw_length(op->len);
    sqe->msg_flags = op->flags | (sends ? MSG_NOSIGNAL : 0);
    /* Not with MSG_DONTWAIT: it would find nothing. */
    if (!sends && op->buf_index != 0 && (op->flags & MSG_DONTWAIT) == 0)
        sqe->ioprio = u->receive_flags;
}

static void prep_accept(struct io_uring_sqe *sqe, const skua_op *op)
{
    sqe->fd = op->fd;
    sqe->addr = address(op->addr);
    sqe->addr2 = address(op->addr2);
    sqe->accept_flags = op->flags | SOCK_CLOEXEC;
}

/* What is neither a transfer nor an accept. */
static int prep_other(struct io_uring_sqe *sqe, const skua_op *op)
{
    switch (op->code) {
    case SKUA_OP_NOP:
        return 0;
    case SKUA_OP_CLOSE:
        sqe->fd = op->fd;
        return 0;
    case SKUA_OP_OPENAT:
        prep_path(sqe, op);
        sqe->open_flags = op->flags | O_CLOEXEC;
        return 0;
    case SKUA_OP_FSYNC:
        sqe->fd = op->fd;
        sqe->fsync_flags = op->flags; /* IORING_FSYNC_DATASYNC is 1 too */
        return 0;
    case SKUA_OP_STATX:
        prep_path(sqe, op);
        sqe->off = address(op->addr2);
        return 0;
    case SKUA_OP_FALLOCATE:
        sqe->fd = op->fd;
        sqe->off = op->offset;
        sqe->addr = op->len;
        sqe->len = op->flags;
        return 0;
    case SKUA_OP_FTRUNCATE:
        sqe->fd = op->fd;
        sqe->off = op->len;
        return 0;
    case SKUA_OP_UNLINKAT:
        prep_path(sqe, op);
        sqe->len = 0;
        return 0;
    case SKUA_OP_MKDIRAT:
        prep_path(sqe, op);
        sqe->rw_flags = 0;
        return 0;
    case SKUA_OP_RENAMEAT:
    case SKUA_OP_LINKAT:
        prep_two_paths(sqe, op);
        return 0;
    case SKUA_OP_SYMLINKAT:
        sqe->fd = op->fd;
        sqe->addr = address(op->addr);
        sqe->off = address(op->addr2);
        return 0;
    case SKUA_OP_SPLICE:
        prep_splice(sqe, op);
        return 0;
    case SKUA_OP_FADVISE:
    case SKUA_OP_MADVISE:
        return prep_advice(sqe, op);
    case SKUA_OP_POLL:
        sqe->fd = op->fd;
        sqe->poll32_events = SKUA_URING_POLL_EVENTS(op->flags);
        return 0;
    case SKUA_OP_CONNECT:
        sqe->fd = op->fd;
        sqe->addr = address(op->addr);
        sqe->off = op->len;
        return 0;
    case SKUA_OP_SHUTDOWN:
        sqe->fd = op->fd;
        sqe->len = op->flags;
        return 0;
    default:
        return -ENOSYS;
    }
}

int skua_uring_prep(const struct skua_uring *u, struct io_uring_sqe *sqe, const skua_op *op)
{
    if (skua_unlikely(op->code >= SKUA_OP_CODE_COUNT))
        return -EINVAL;
    uint8_t opcode = u->opcodes[op->code];
    if (skua_unlikely(opcode == SKUA_URING_NO_OPCODE))
        return -ENOSYS;

    memset(sqe, 0, sizeof(*sqe));
    sqe->opcode = opcode;
    switch (op->code) {
    case SKUA_OP_READ:
    case SKUA_OP_WRITE:
        prep_rw(sqe, op);
        return 0;
    case SKUA_OP_READ_FIXED:
    case SKUA_OP_WRITE_FIXED:
        prep_rw(sqe, op);
        sqe->buf_index = op->buf_index; /* the plain opcodes ignore it */
        return 0;
    case SKUA_OP_READV:
    case SKUA_OP_WRITEV:
        prep_rw_vector(sqe, op);
        return 0;
    case SKUA_OP_SEND:
    case SKUA_OP_RECV:
    case SKUA_OP_SENDMSG:
    case SKUA_OP_RECVMSG:
        prep_message(u, sqe, op);
        return 0;
    case SKUA_OP_ACCEPT:
        prep_accept(sqe, op);
        return 0;
    default:
        return prep_other(sqe, op);
    }
}
