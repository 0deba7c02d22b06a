/*
 * io/blocking_section.h - a stretch of blocking system calls inside a file call.
 *
 * Used by io/dir.c and io/copy_file.c for calls that no ring has. A task on a worker moves to the
 * blocking executor for the stretch; on executor and foreign threads the caller just blocks.
 *
 * The task itself moves, instead of sending a job and awaiting it, because an await returns from a
 * cancelled task at once while a job that has started runs on: with descriptors the task is about
 * to close and memory it is about to free. A task that has moved is cancelled when it looks.
 */
#ifndef SKUA_SRC_BLOCKING_SECTION_H
#define SKUA_SRC_BLOCKING_SECTION_H

#include <skua/executor.h>
#include <skua/task.h>

#include "base/check.h"
#include "sched/worker.h"

#include <errno.h>
#include <stdbool.h>

/* Whether the caller would hold up other tasks: not on executor and foreign threads. */
static inline bool skua_blocking_section_on_worker(void)
{
    const struct skua_thread *thread = skua_thread_self();
    return thread && thread->worker;
}

/*
 * Begins a stretch. Returns 0, and end() must follow; -ECANCELED; -EAGAIN if the executor is full;
 * -ESHUTDOWN. On error the caller is where it was and must not block.
 */
static inline int skua_blocking_section_begin(bool *moved)
{
    *moved = false;
    if (skua_cancelled())
        return -ECANCELED;
    if (!skua_blocking_section_on_worker())
        return 0;
    int result = skua_hop(NULL);
    *moved = result == 0;
    return result;
}

/* Ends it: a task that moved comes back, a cancelled one too. */
static inline void skua_blocking_section_end(bool moved)
{
    if (!moved)
        return;
    int result = skua_hop_back();
    skua_check(result == 0); /* it fails outside a task only */
}

#endif /* SKUA_SRC_BLOCKING_SECTION_H */
