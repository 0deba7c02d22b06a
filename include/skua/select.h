/*
 * skua/select.h - waiting for the first of several things: channels, futures, descriptors, times.
 */
#ifndef SKUA_SELECT_H
#define SKUA_SELECT_H

#include <skua/base.h>
#include <skua/channel.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A select has at most this many cases. */
#define SKUA_SELECT_MAX 64

typedef enum skua_select_op {
    SKUA_SELECT_NONE = 0, /* never ready: a case that is switched off */
    SKUA_SELECT_SEND,     /* channel, item: sends it */
    SKUA_SELECT_RECV,     /* channel, item: receives into it */
    SKUA_SELECT_FUTURE,   /* future: it is done. The handle stays the caller's */
    SKUA_SELECT_FD,       /* fd, events of poll(2): it is ready */
    SKUA_SELECT_TIMER     /* deadline_ns, on the clock of skua_now(): it has passed */
} skua_select_op;

/* One alternative. Zero-initialise; zero means unused. */
typedef struct skua_select_case {
    skua_select_op op;
    int fd;
    unsigned events;
    int result; /* of the case that was taken; see skua_select() */
    skua_channel *channel;
    skua_future *future;
    void *item;
    uint64_t deadline_ns;
    uint64_t reserved[2]; /* zero */
} skua_select_case;

/**
 * Waits until one of @cases can be carried out, carries it out, and leaves the others undone. Among
 * several that are ready one is chosen at random.
 *
 * The case's result is: for channels 0, or -EPIPE if the channel is closed (that makes a case
 * ready); for a future 0; for a descriptor the ready events, or -errno; for a timer 0.
 *
 * Context: any; with SKUA_SELECT_FD a task, or an executor thread of a runtime. A task on a worker
 *   parks; any other thread blocks.
 * Cancellation: a wait returns -ECANCELED with no case carried out. A case that is ready, or has
 *   been carried out by the other side meanwhile, beats the cancel.
 * Units: @deadline_ns is absolute, on the clock of skua_now(); 0 does not wait; SKUA_FOREVER never
 *   passes.
 * Returns: the index of the case; -ETIMEDOUT; -ECANCELED; -EINVAL (@cases NULL, @count 0 or over
 *   SKUA_SELECT_MAX, an unknown op, a NULL channel, future or item); -EPERM (SKUA_SELECT_FD outside
 *   a runtime); -ENOMEM; -ECHILD in a forked child. On error no case was carried out.
 * Source: Go's select statement; poll(2).
 */
SKUA_API int skua_select(skua_select_case *cases, size_t count, uint64_t deadline_ns);

#ifdef __cplusplus
}
#endif

#endif /* SKUA_SELECT_H */
