/*
 * skua/local.h - task-local values: what a task has set is seen by it and by all it starts.
 *
 * What Python has as contextvars: a request's identity, the user on whose behalf something is done,
 * a trace. A key is a static object, whose address tells it from others:
 *
 *     static const skua_local_key request_key;
 *
 *     skua_local_set(&request_key, 17);
 *     skua_spawn(serve, NULL);           serve(): skua_local_get(&request_key, -1) is 17
 *
 * Whatever starts a function in the background hands the values on as they are at that moment: a
 * spawn, a submit, a call in an executor, a timer, skua_future_then(). What the parent sets after
 * it is not seen by the child, nor the reverse. A spawn costs one more increment if there are
 * values, and else nothing; a set copies what has been set, so set few and seldom, and read often.
 *
 * Functions that are forked (fork.h, parallel.h) belong to the task that forks them and see its
 * values. Set none between a fork and its join, nor in a forked function: who sees that depends on
 * whether it was stolen.
 */
#ifndef SKUA_LOCAL_H
#define SKUA_LOCAL_H

#include <skua/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A key; zero will do. */
typedef struct skua_local_key {
    /*
     * NULL, or what is called with a value that is not 0 when nobody can see it any more: on any
     * thread, by whichever task was the last to see it, set another one or end. It must not wait.
     */
    void (*destroy)(intptr_t value);
} skua_local_key;

/**
 * Sets the calling task's value of @key, for itself and all it starts from now on.
 *
 * Context: a task or a job of an executor; never waits.
 * Cancellation: not a cancellation point.
 * Ownership: a value of a key with destroy belongs to the tasks that see it. Setting the value that
 *   is set changes nothing.
 * Returns: 0; -EPERM outside a task or job; -ENOMEM; -EINVAL if @key is NULL; -ECHILD in a forked
 *   child. On error the value is the caller's, and the one before stays.
 * Source: contextvars.ContextVar.set.
 */
SKUA_API int skua_local_set(const skua_local_key *key, intptr_t value);

/**
 * The calling task's value of @key: set by itself, or before that by who started it, and so on.
 *
 * A value of a key with destroy stays valid until the calling task sets another one or ends.
 *
 * Context: any; never waits. Outside a task or job nothing is set.
 * Cancellation: not a cancellation point.
 * Returns: the value; @fallback if none is set.
 * Source: contextvars.ContextVar.get.
 */
SKUA_API intptr_t skua_local_get(const skua_local_key *key, intptr_t fallback);

#ifdef __cplusplus
}
#endif

#endif /* SKUA_LOCAL_H */
