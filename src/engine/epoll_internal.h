/*
 * engine/epoll_internal.h - what the two files of the epoll engine share.
 *
 *   epoll.c      waiting for readiness, submit, cancel, poll, wake
 *   epoll_fd.c   descriptors: what the kernel has been told of them, and whether that still holds
 *   epoll_ops.c  one attempt at an op by a system call that does not block
 *
 * Nobody else includes this file. See epoll.c for waking and ordering.
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

/* Whether @op receives from a socket, and takes away what it receives. */
bool skua_epoll_takes_bytes(const skua_op *op);

/* What a short receive leaves behind: nothing, but of datagrams the next ones. */
enum skua_epoll_kind { SKUA_EPOLL_DATAGRAM, SKUA_EPOLL_STREAM, SKUA_EPOLL_TCP };
enum skua_epoll_kind skua_epoll_kind_of(int fd);

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
 * Invariant: if waits is not empty, the descriptor is on engine.dirty, or the kernel has been told
 * of all their events under generation, or it is on engine.unsure: the kernel was told before, of a
 * file that may have been another. is_known, kind and is_drained are guesses, which a close
 * elsewhere may have made wrong; see epoll_fd.c, STALE.
 */
struct skua_epoll_fd {
    struct skua_list waits;  /* in the order of their coming */
    struct skua_list dirty;  /* on engine.dirty, or alone */
    struct skua_list unsure; /* on engine.unsure, or alone */
    int fd;
    uint32_t generation; /* of what the kernel was told last; 0 once nothing more comes of it */
    uint8_t kind;        /* enum skua_epoll_kind */
    bool is_known;       /* it may be in the epoll set */
    bool is_drained;     /* the last receive took all there was */
    bool stays;          /* the registration does: see epoll_fd.c, STAYING */
    bool is_trusted;     /* and it is the last waiter's, who may rely on it */
    bool is_quick;       /* the last wait did not last long */
    bool is_unwanted;    /* the last event came while nobody waited */
    uint64_t since_ns;   /* when the first of the waits came */
    const void *waiter;  /* whose the last wait was: skua_op_private.waiter */
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
    struct skua_list unsure; /* descriptors to be asked about if nothing comes, oldest first */
    uint64_t now_ns;         /* when epoll was last looked at */
    struct skua_list later;  /* waits to be tried again at later_ns */
    uint64_t later_ns;
    skua_op *done_first; /* over, result set, complete() not called yet */
    skua_op *done_last;
    unsigned done_count;
    unsigned waiting;        /* ops with a wait */
    unsigned skips;          /* polls since epoll was last looked at */
    struct skua_list spares; /* waits not in use */
    uint32_t generation;     /* of the last arming, never 0 */
    pthread_t owner;         /* constant after init; debug */
    struct epoll_event events[SKUA_EPOLL_EVENTS];

    _Atomic uint32_t wake_state SKUA_CACHE_ALIGNED; /* anybody; see epoll.c, WAKE */
};

/* What is known of @fd; NULL if nothing was ever waited for on it. */
struct skua_epoll_fd *skua_epoll_fd_find(struct skua_epoll *e, int fd);

/* The same, made if need be. @fd was open just now. NULL: no memory. */
struct skua_epoll_fd *skua_epoll_fd_make(struct skua_epoll *e, int fd);

/* Puts @wait behind the others of its descriptor, wait->at. */
void skua_epoll_fd_wait(struct skua_epoll *e, struct skua_epoll_wait *wait);

/* The kernel has to be told of @at's waits. */
void skua_epoll_fd_mark_dirty(struct skua_epoll *e, struct skua_epoll_fd *at);

/* Tells it, if need be. 0 or -errno. */
int skua_epoll_fd_register(struct skua_epoll *e, struct skua_epoll_fd *at);

/* @op is about to be tried, or to wait behind others: what is known of @at for its task? */
void skua_epoll_fd_first_try(struct skua_epoll_fd *at, const skua_op *op);

/* The number's next file will not be the one that is known. */
void skua_epoll_fd_forget(struct skua_epoll_fd *at);

/* An event of @at, of its generation; its waits are to be tried after that. */
void skua_epoll_fd_event(struct skua_epoll *e, struct skua_epoll_fd *at, uint32_t ready);

/* Marks dirty whom nothing has come for until now; until when the others are left alone. */
uint64_t skua_epoll_fd_doubt(struct skua_epoll *e);

/* Frees all of them. */
void skua_epoll_fd_fini(struct skua_epoll *e);

#endif /* SKUA_SRC_EPOLL_INTERNAL_H */
