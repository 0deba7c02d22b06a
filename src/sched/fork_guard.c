/*
 * sched/fork_guard.c - what a forked child finds: its one thread has no workers behind it.
 *
 * The child handler, registered once for the process, marks the child: every call that starts or
 * waits returns -ECHILD there. If the forking thread was one of the runtime's, its copy of the
 * thread structure is replaced by one that has nothing, so that no call touches queues or rings
 * whose other side is gone.
 *
 * File statics, because fork() is the process's affair, not a runtime's.
 */
#include "sched/runtime_impl.h"

#include <pthread.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int register_error;
static _Atomic unsigned runtimes; /* alive in this process */
static _Atomic bool in_child;     /* of a process that had some */
static struct skua_thread child_thread = {.forked = true};

static void after_fork_in_child(void)
{
    /* relaxed: the child has one thread */
    if (atomic_load_explicit(&runtimes, memory_order_relaxed) == 0)
        return;
    atomic_store_explicit(&in_child, true, memory_order_relaxed);
    skua_tls_set(&child_thread);
}

static void register_handler(void)
{
    register_error = pthread_atfork(NULL, NULL, after_fork_in_child);
}

int skua_fork_guard_acquire(void)
{
    (void)pthread_once(&once, register_handler);
    if (register_error != 0)
        return -register_error;
    /* relaxed: only its being zero at a fork matters, and the forking thread ordered that */
    atomic_fetch_add_explicit(&runtimes, 1, memory_order_relaxed);
    return 0;
}

void skua_fork_guard_release(void)
{
    atomic_fetch_sub_explicit(&runtimes, 1, memory_order_relaxed);
}

bool skua_fork_guard_in_child(void)
{
    /* relaxed: set before the child's only thread returns from fork() */
    return atomic_load_explicit(&in_child, memory_order_relaxed);
}
