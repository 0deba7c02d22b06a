/*
 * engine/epoll_internal.h - what the two files of the epoll engine share.
 *
 *   epoll.c      waiting for readiness, submit, cancel, poll, wake
 *   epoll_ops.c  one attempt at an op by a system call that does not block
 *
 * Nobody else includes this file. See epoll.c for stale registrations, waking and ordering.
 */
#ifndef SKUA_SRC_EPOLL_INTERNAL_H
#define SKUA_SRC_EPOLL_INTERNAL_H

#include "base/compiler.h"
#include "engine/engine.h"

#include <pthread.h>
#include <sys/epoll.h>

/* What an attempt comes to besides a result; no -errno and no count has these values. */
#define SKUA_EPOLL_WAIT INT64_MIN          /* until attempt.fd is ready for attempt.events */
#define SKUA_EPOLL_LATER (INT64_MIN + 1)   /* nothing will tell when: again after a moment */
#define SKUA_EPOLL_OFFLOAD (INT64_MIN + 2) /* there is no way to do it without blocking */

/* Reported by epoll whether asked for or not: any call on the descriptor has an answer then. */
#define SKUA_EPOLL_ALWAYS ((uint32_t)(EPOLLERR | EPOLLHUP))

/* How an op stands between two attempts. Zero before the first. */
struct skua_epoll_attempt {
    int fd;             /* out, with WAIT: what to wait for; one of the op's two descriptors */
    uint32_t events;    /* out, with WAIT */
    uint32_t ready;     /* in: what epoll has reported for it, 0 if nothing */
    uint64_t moved;     /* kept: bytes of a MSG_WAITALL transfer so far */
    bool is_connecting; /* kept: connect(2) has begun */
    bool is_plain;      /* in: as on kernels without RWF_NOWAIT for this kind of descriptor */
    bool is_drained;    /* in: the last receive took all there was. out: this one did */
};

/*
 * Tries @op. A result as the ring would give it, or one of the three above; never blocks, but see
 * the head of epoll_ops.c. errno is spoilt.
 */
int64_t skua_epoll_attempt(const skua_op *op, struct skua_epoll_attempt *attempt);

/*
 * What @op is to wait for behind others on its descriptor, in place of an attempt: EPOLLIN or
 * EPOLLOUT, or 0 if it may always be tried.
 */
uint32_t skua_epoll_direction(const skua_op *op);

/* Whether @fd is no datagram socket: what a short receive leaves behind is nothing. */
bool skua_epoll_is_stream(int fd);

/* An op that waits. On a list: its descriptor's waits, or engine.later. */
struct skua_epoll_wait {
    struct skua_list link;
    skua_op *op;
    struct skua_epoll_fd *at; /* NULL: on later */
    struct skua_epoll_attempt attempt;
};

/*
 * One descriptor number, as far as this engine has waited on it.
 *
 * Invariant: if waits is not empty, the descriptor is on engine.dirty or the kernel has been told
 * of all their events under generation. is_known, is_stream and is_drained are guesses, which a
 * close elsewhere may have made wrong; see epoll.c, STALE.
 */
struct skua_epoll_fd {
    struct skua_list waits; /* in the order of their coming */
    struct skua_list dirty; /* on engine.dirty, or alone */
    int fd;
    uint32_t generation; /* of the last arming; 0 once its event has come */
    bool is_known;       /* it may be in the epoll set */
    bool is_stream;
    bool is_drained; /* the last receive took all there was */
};

#define SKUA_EPOLL_CHUNK 64u  /* descriptors whose state is allocated together */
#define SKUA_EPOLL_EVENTS 128 /* events taken at once */

/*
 * Invariants: engine.queued == done_count + descriptors on dirty; engine.in_flight == done_count +
 * waiting; an op in flight is on done or has a wait.
 */
struct skua_epoll {
    struct skua_engine engine;

    /* who may use the engine at that time: the owner, a rescuer */
    int epoll_fd;    /* constant after init */
    int wake_fd;     /* constant after init; any thread writes to the eventfd */
    bool has_pwait2; /* constant after init */
    bool is_plain;   /* constant after init: see skua_epoll_attempt */
    bool is_shared;  /* constant after init: others may rescue() */
    unsigned chunk_count;
    struct skua_epoll_fd **chunks; /* chunk_count of them, NULL where nothing was waited for yet */
    struct skua_list dirty;        /* descriptors whose waits the kernel has not been told of */
    struct skua_list later;        /* waits to be tried again at later_ns */
    uint64_t later_ns;
    skua_op *done_first; /* over, result set, complete() not called yet */
    skua_op *done_last;
    unsigned done_count;
    unsigned waiting;        /* ops with a wait */
    struct skua_list spares; /* waits not in use */
    uint32_t generation;     /* of the last arming, never 0 */
    pthread_t owner;         /* constant after init; debug */
    struct epoll_event events[SKUA_EPOLL_EVENTS];

    _Atomic uint32_t wake_state SKUA_CACHE_ALIGNED; /* anybody; see epoll.c, WAKE */
};

#endif /* SKUA_SRC_EPOLL_INTERNAL_H */
