/*
 * engine/uring_internal.h - what the three files of the io_uring engine share.
 *
 *   uring.c        submit, cancel, poll, wake: the ring at work
 *   uring_probe.c  the ring's making: modes, limits, which opcodes the kernel has
 *   uring_prep.c   one skua_op as one submission queue entry
 *
 * and uring_guess.h, whether a receive polls first.
 *
 * Nobody else includes this file. See uring.c for identities, waking and ordering.
 */
#ifndef SKUA_SRC_URING_INTERNAL_H
#define SKUA_SRC_URING_INTERNAL_H

#include "base/compiler.h"
#include "engine/engine.h"
#include "engine/uring_guess.h"

#include <liburing.h>
#include <pthread.h>

/* In skua_uring.opcodes: the kernel lacks it. No such IORING_OP exists. */
#define SKUA_URING_NO_OPCODE 0xffu

/* The most read(2) and write(2) carry at once, the kernel's MAX_RW_COUNT for 4 KiB pages. */
#define SKUA_URING_RW_MAX UINT64_C(0x7ffff000)

/* Values liburing 2.3 lacks; the kernel's own since 6.9, 6.12, 6.12, 6.15 and 6.15. */
#define SKUA_IORING_OP_FTRUNCATE 55
#define SKUA_IORING_ENTER_ABS_TIMER (1U << 5)
#define SKUA_IORING_FEAT_MIN_TIMEOUT (1U << 15)
#define SKUA_IORING_ENTER_NO_IOWAIT (1U << 7)
#define SKUA_IORING_FEAT_NO_IOWAIT (1U << 17)

/* The kernel takes poll events as two 16-bit halves in little-endian order. */
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define SKUA_URING_POLL_EVENTS(events) ((uint32_t)(events) << 16 | (uint32_t)(events) >> 16)
#else
#define SKUA_URING_POLL_EVENTS(events) ((uint32_t)(events))
#endif

/* Ops on a singly linked list threaded through skua_op_private.engine. */
struct skua_uring_list {
    skua_op *first;
    skua_op *last;
    unsigned count;
};

/*
 * One ring.
 *
 * Invariants: engine.queued == SQEs not consumed by the kernel + cancels.count;
 * done.count <= engine.in_flight; an op is on at most one of done and cancels.
 */
struct skua_uring {
    struct skua_engine engine;

    /* owner only */
    struct io_uring ring;
    unsigned enter_flags;                /* constant after init: on every enter */
    unsigned sqe_skip;                   /* constant after init: IOSQE_CQE_SKIP_SUCCESS or 0 */
    uint16_t receive_flags;              /* constant after init: IORING_RECVSEND_... */
    bool timer_absolute;                 /* constant after init: waits take absolute deadlines */
    bool shared;                         /* constant after init: rescue() is possible */
    bool may_poke;                       /* constant after init: there is membarrier(2) */
    bool wake_armed;                     /* the ring polls wake_fd */
    int wake_fd;                         /* constant after init; any thread writes to the eventfd */
    uint32_t generation;                 /* of the op submitted last */
    struct skua_uring_guess guess;       /* whether receives poll first */
    struct skua_uring_list done;         /* over, result set, complete() not called yet */
    struct skua_uring_list cancels;      /* cancel asked, no room for its SQE yet */
    pthread_t owner;                     /* constant after init; debug */
    uint8_t opcodes[SKUA_OP_CODE_COUNT]; /* IORING_OP for each code */

    char text[400];             /* constant after init: mode and degradations */
    _Atomic int buffers_result; /* owner writes: 1 not tried, 0 registered, -errno */

    _Atomic uint32_t wake_state SKUA_CACHE_ALIGNED; /* anybody; see uring.c, WAKE */
};

/*
 * Sets up u->ring and all that init decides; u is zeroed. 0 or -errno, and then no descriptor is
 * open. Context: the owner.
 */
int skua_uring_open(struct skua_uring *u, const struct skua_engine_config *config);

/* Undoes skua_uring_open(). */
void skua_uring_close(struct skua_uring *u);

/*
 * Fills @sqe, user_data aside. 0; -ENOSYS if the opcode cannot say this (@sqe is spoilt, not used),
 * -EINVAL for an unknown code.
 */
int skua_uring_prep(const struct skua_uring *u, struct io_uring_sqe *sqe, const skua_op *op);

#endif /* SKUA_SRC_URING_INTERNAL_H */
