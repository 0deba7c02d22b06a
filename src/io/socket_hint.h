/*
 * io/socket_hint.h - what a task has last done with a socket: skua_agent.socket_hint of its host.
 *
 * The number of the descriptor, 15 bits of it, and whether the task has received from it. It is no
 * more than a hint: descriptor numbers are used again. So it is forgotten wherever the task may
 * have got another socket of the number: when a task begins, in place too, when it closes,
 * accepts, connects or dials, and when it leaves its worker.
 */
#ifndef SKUA_SRC_SOCKET_HINT_H
#define SKUA_SRC_SOCKET_HINT_H

#include "engine/engine.h"
#include "sched/worker.h"

#define SKUA_HINT_RECEIVED 0x8000u /* not only sent */
#define SKUA_HINT_NUMBERS 0x7fffu

/* The running task's; NULL on threads that have no engine. */
static inline uint16_t *skua_socket_hint(void)
{
    struct skua_thread *thread = skua_thread_self();
    return thread != NULL && thread->worker != NULL ? &thread->host->agent.socket_hint : NULL;
}

/* What is noted of the descriptor, never 0. */
static inline uint16_t skua_socket_hint_of(int fd)
{
    return (uint16_t)((unsigned)fd % SKUA_HINT_NUMBERS + 1);
}

/* The number used last may stand for another socket from now on. */
static inline void skua_socket_hint_forget(void)
{
    uint16_t *hint = skua_socket_hint();
    if (hint != NULL)
        *hint = 0;
}

/* What a receive or send on @fd may take for granted: buf_index of its op. */
static inline uint16_t skua_socket_hint_for(int fd)
{
    const uint16_t *hint = skua_socket_hint();
    if (hint == NULL || (*hint & ~SKUA_HINT_RECEIVED) != skua_socket_hint_of(fd))
        return 0;
    return *hint & SKUA_HINT_RECEIVED ? SKUA_OP_RECV_AGAIN : SKUA_OP_RECV_LATER;
}

/* A transfer on @fd has ended with @result. */
static inline void skua_socket_hint_note(int fd, int64_t result, bool received)
{
    uint16_t *hint = skua_socket_hint();
    if (hint == NULL)
        return;
    unsigned before = *hint;
    unsigned noted = skua_socket_hint_of(fd) | (received ? SKUA_HINT_RECEIVED : 0);
    if ((before & ~SKUA_HINT_RECEIVED) == skua_socket_hint_of(fd))
        noted |= before & SKUA_HINT_RECEIVED;
    *hint = result >= 0 ? (uint16_t)noted : 0;
}

#endif /* SKUA_SRC_SOCKET_HINT_H */
