/*
 * skua/op.h - I/O requests as values: describe some, submit them together, await them all.
 *
 * The calls of skua/file.h are one-request batches. An op lives in the caller's memory and is
 * untouchable between submission and the return of skua_op_submit(), as are the buffers it names.
 */
#ifndef SKUA_OP_H
#define SKUA_OP_H

#include <skua/base.h>

#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What an op does. The names are POSIX's. */
typedef enum skua_op_code {
    SKUA_OP_NOP = 0,
    SKUA_OP_OPENAT,     /* fd dirfd, addr path, flags open flags, len mode */
    SKUA_OP_CLOSE,      /* fd */
    SKUA_OP_READ,       /* fd, addr, len, offset (SKUA_OFFSET_CURRENT: the file position) */
    SKUA_OP_WRITE,      /* fd, addr, len, offset */
    SKUA_OP_READV,      /* fd, addr iovec array, len its count, offset, flags RWF_... */
    SKUA_OP_WRITEV,     /* fd, addr iovec array, len its count, offset, flags RWF_... */
    SKUA_OP_READ_FIXED, /* as READ, into registered buffer buf_index */
    SKUA_OP_WRITE_FIXED,
    SKUA_OP_FSYNC,     /* fd, flags: 1 = data only */
    SKUA_OP_STATX,     /* fd dirfd, addr path, flags AT_..., len mask, addr2 struct statx */
    SKUA_OP_FALLOCATE, /* fd, flags mode, offset, len */
    SKUA_OP_FTRUNCATE, /* fd, len */
    SKUA_OP_RENAMEAT,  /* fd, addr old path, fd2, addr2 new path, flags RENAME_... */
    SKUA_OP_UNLINKAT,  /* fd, addr path, flags AT_REMOVEDIR */
    SKUA_OP_MKDIRAT,   /* fd, addr path, len mode */
    SKUA_OP_LINKAT,    /* fd, addr old path, fd2, addr2 new path, flags AT_... */
    SKUA_OP_SYMLINKAT, /* addr target, fd dirfd, addr2 link path */
    SKUA_OP_SPLICE,    /* fd in, offset in, fd2 out, offset2 out, len, flags SPLICE_F_... */
    SKUA_OP_FADVISE,   /* fd, offset, len, flags advice */
    SKUA_OP_MADVISE,   /* addr, len, flags advice */
    SKUA_OP_POLL,      /* fd, flags events; result: revents */
    SKUA_OP_ACCEPT,    /* fd, addr sockaddr or NULL, addr2 its socklen_t, flags SOCK_...: an fd */
    SKUA_OP_CONNECT,   /* fd, addr sockaddr, len its size */
    SKUA_OP_SEND,      /* fd, addr, len, flags MSG_... */
    SKUA_OP_RECV,      /* fd, addr, len, flags MSG_..., buf_index 0 or SKUA_OP_RECV_LATER */
    SKUA_OP_SENDMSG,   /* fd, addr msghdr, flags MSG_... */
    SKUA_OP_RECVMSG,   /* fd, addr msghdr, flags MSG_..., buf_index the same */
    SKUA_OP_SHUTDOWN,  /* fd, flags SHUT_... */
    SKUA_OP_CODE_COUNT
} skua_op_code;

/* For a socket: nothing has come yet, most likely, so waiting begins without a look. */
#define SKUA_OP_RECV_LATER 1

/* Offset of READ, WRITE, READV, WRITEV and SPLICE: use and move the file position. */
#define SKUA_OFFSET_CURRENT UINT64_MAX

/*
 * One I/O request. Fill it with a designated initialiser, so that what the code does not use is
 *   zero: skua_op op = {.code = SKUA_OP_READ, .fd = fd, .addr = buffer, .len = size, .offset = 0};
 * Read @result after the wait.
 */
typedef struct skua_op {
    uint8_t code;       /* skua_op_code */
    uint8_t reserved;   /* zero; the runtime uses it while the op is in flight */
    uint16_t buf_index; /* registered buffer, for the _FIXED codes */
    int32_t fd;
    uint64_t offset;
    void *addr;
    uint64_t len;
    uint32_t flags;
    int32_t fd2;
    uint64_t offset2;
    void *addr2;
    int64_t result;       /* when done: a count, 0, an fd, or -errno */
    uint64_t private_[5]; /* the runtime's */
} skua_op;

/**
 * Submits @count ops at once and waits until every one of them is over. Ops run in no order.
 *
 * Results stand in each op: a short read or write is a result like any other, and is not retried;
 * -EINTR and -EAGAIN come back as the kernel gave them (the calls of skua/file.h retry -EINTR).
 *
 * Context: any. On a worker the ops go to its ring, and the task parks until they are over (on
 *   epoll those that need not wait are over at once, a limited number in a row). Elsewhere the ops
 *   are carried out one by one by blocking system calls.
 * Cancellation: a cancel is passed to every op in flight; each is over only at its own end, with
 *   -ECANCELED or with the result it had got by then. If the task was cancelled before, no op is
 *   submitted and every result is -ECANCELED.
 * Ownership: ops and buffers are the library's until it returns.
 * Returns: 0 when all are over, whatever their results; -ECANCELED if the task was cancelled
 *   (results are valid); -EINVAL if @ops is NULL or an op has an unknown code (none was submitted).
 */
SKUA_API int skua_op_submit(skua_op *ops, size_t count);

/**
 * Registers buffers for SKUA_OP_READ_FIXED and SKUA_OP_WRITE_FIXED on every worker of the current
 * runtime. The kernel pins the pages once; if it refuses (RLIMIT_MEMLOCK), ops that name the
 * buffers are carried out as plain reads and writes.
 *
 * Context: a task or an executor thread; never waits. One set for each runtime, until it stops.
 * Cancellation: not a cancellation point.
 * Ownership: the memory stays the caller's and must outlive the runtime. @buffers is copied.
 * Returns: 0; -EBUSY if there is a set already; -EINVAL (NULL, @count 0 or over 16384); -EPERM
 *   outside a runtime; -ENOMEM.
 * Source: io_uring_register(2), IORING_REGISTER_BUFFERS.
 */
SKUA_API int skua_buffers_register(const struct iovec *buffers, unsigned count);

#ifdef __cplusplus
}
#endif

#endif /* SKUA_OP_H */
