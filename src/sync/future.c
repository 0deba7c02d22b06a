/*
 * sync/future.c - the public face of futures and promises. The mechanism is in sched/task.c (state
 * and waiters) and sched/await.c (waiting, running in place, cancelling).
 */
#include <skua/future.h>

#include "base/alloc.h"
#include "sched/await.h"
#include "sched/runtime_impl.h"
#include "sched/wait.h"

#include <errno.h>
#include <stdlib.h>

/* Drops a handle that the user gave up. */
static void drop(skua_future *future)
{
    if (skua_future_kind(future) != SKUA_OBJECT_FAILED)
        skua_object_unref(skua_thread_self(), skua_task_of_future(future));
}

/* The result of a done future, and the end of the handle. */
static intptr_t take(skua_future *future)
{
    intptr_t value = future->value;
    if (SKUA_IS_ERROR(value))
        skua_future_mark_read(future);
    drop(future);
    return value;
}

/* Why the caller may not wait for @future. 0 or -errno. */
static int may_wait(const struct skua_thread *thread, const skua_future *future)
{
    if (skua_unlikely(skua_fork_guard_in_child()))
        return -ECHILD;
    if (thread == NULL || thread->task == NULL)
        return 0;
    if (skua_unlikely(&thread->task->future == future))
        return -EDEADLK;
    return 0;
}

/* The awaiting task is cancelled: hands it on. 0 if the wait is to go on until the end. */
static int forward_cancel(skua_future *future)
{
    if (skua_future_kind(future) == SKUA_OBJECT_PROMISE)
        return -ECANCELED;
    int rc = skua_future_cancel(future);
    return rc == -EBUSY ? -ECANCELED
                        : 0; /* a running job cannot be stopped, and is not waited for */
}

static SKUA_NOINLINE intptr_t await_slow(struct skua_thread *thread, skua_future *future)
{
    int rc = may_wait(thread, future);
    if (rc == -EDEADLK || rc == -ECHILD) {
        if (rc == -EDEADLK)
            drop(future);
        return rc;
    }
    if (skua_future_run_in_place(thread, future))
        return take(future);
    rc = skua_future_wait(future, SKUA_FOREVER, false);
    if (rc == -ECANCELED) {
        rc = forward_cancel(future);
        if (rc == 0)
            rc = skua_future_wait(future, SKUA_FOREVER, true);
    }
    if (rc == 0)
        return take(future);
    skua_future_mark_read(future); /* the waiter gave up; nobody promised to look again */
    drop(future);
    return rc;
}

intptr_t skua_await(skua_future *future)
{
    if (skua_unlikely(future == NULL))
        return -EINVAL;
    if (skua_future_done(future))
        return take(future);
    return await_slow(skua_thread_self(), future);
}

int skua_await_until(skua_future *future, uint64_t deadline_ns, intptr_t *result)
{
    if (future == NULL)
        return -EINVAL;
    int rc = skua_future_done(future) ? 0 : may_wait(skua_thread_self(), future);
    if (rc == 0)
        rc = skua_future_wait(future, deadline_ns, false);
    if (rc < 0)
        return rc;
    intptr_t value = take(future);
    if (result != NULL)
        *result = value;
    return 0;
}

int skua_future_peek(const skua_future *future, intptr_t *result)
{
    if (future == NULL)
        return -EINVAL;
    if (!skua_future_done(future))
        return -EAGAIN;
    skua_future_mark_read((skua_future *)(uintptr_t)future);
    if (result != NULL)
        *result = future->value;
    return 0;
}

int skua_future_take(skua_future *future, intptr_t *result)
{
    int rc = skua_future_peek(future, result);
    if (rc == 0)
        drop(future);
    return rc;
}

skua_future *skua_future_ref(skua_future *future)
{
    /* relaxed: the caller's handle keeps it alive meanwhile */
    if (future != NULL && skua_future_kind(future) != SKUA_OBJECT_FAILED)
        atomic_fetch_add_explicit(&future->refs, 1, memory_order_relaxed);
    return future;
}

void skua_future_unref(skua_future *future)
{
    if (future != NULL)
        drop(future);
}

int skua_cancel(skua_future *future)
{
    return future == NULL ? -EINVAL : skua_future_cancel(future);
}

/* ---- promises -------------------------------------------------------------------------------- */

/*
 * A promise is its future's object: the producing handle is the same pointer under another type.
 * producers counts producing handles; together they hold one reference of the object.
 */
static struct skua_task *object_of(skua_promise *promise)
{
    return (struct skua_task *)(void *)promise;
}

skua_future *skua_promise_create(skua_promise **promise)
{
    struct skua_thread *thread = skua_thread_self();
    struct skua_task *object;
    if (promise == NULL)
        return NULL;
    if (thread != NULL && thread->runtime != NULL) {
        object = skua_object_create(thread, thread->runtime, SKUA_OBJECT_PROMISE, 2);
        if (object == NULL)
            return NULL;
    } else {
        object = skua_calloc(1, sizeof(*object));
        if (object == NULL)
            return NULL;
        atomic_init(&object->future.kind, SKUA_OBJECT_PROMISE);
        atomic_init(&object->future.refs, 2);
        atomic_init(&object->future.flags, SKUA_FUTURE_MALLOCED);
    }
    /* relaxed: published with the handle */
    atomic_store_explicit(&object->run, SKUA_RUN_ENDED, memory_order_relaxed);
    atomic_store_explicit(&object->producers, 1, memory_order_relaxed);
    *promise = (skua_promise *)(void *)object;
    return &object->future;
}

int skua_promise_set(skua_promise *promise, intptr_t value)
{
    if (promise == NULL)
        return -EINVAL;
    return skua_future_complete(&object_of(promise)->future, value) ? 0 : -EALREADY;
}

skua_promise *skua_promise_ref(skua_promise *promise)
{
    /* relaxed: the caller's handle keeps it alive meanwhile */
    if (promise != NULL)
        atomic_fetch_add_explicit(&object_of(promise)->producers, 1, memory_order_relaxed);
    return promise;
}

void skua_promise_unref(skua_promise *promise)
{
    if (promise == NULL)
        return;
    struct skua_task *object = object_of(promise);
    /* acq_rel: the last one completes after whatever the others did. The only one needs no RMW. */
    if (atomic_load_explicit(&object->producers, memory_order_acquire) != 1 &&
        atomic_fetch_sub_explicit(&object->producers, 1, memory_order_acq_rel) != 1)
        return;
    /* relaxed: no handle but this, so none will come: nobody could ever have read the error */
    if (!skua_future_done(&object->future) &&
        atomic_load_explicit(&object->future.refs, memory_order_relaxed) == 1)
        skua_future_mark_read(&object->future);
    (void)skua_future_complete(&object->future, -EOWNERDEAD);
    skua_object_unref(skua_thread_self(), object);
}
