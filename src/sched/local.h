/*
 * sched/local.h - task-local values: see skua/local.h.
 *
 * WHAT   The values a task sees are a list that never changes and is counted: a set makes another
 *        one. So a spawn shares it by one increment, and neither side sees what the other one sets.
 *        The list is one piece of memory, for it is read more often than it is made. A value that
 *        is to be destroyed has a count of its own: of the lists that it is in.
 *
 * WHERE  future.flags has LOCALS if the task has a list; only then locals and locals_lock are
 *        valid. So a task without one pays a look at a flag when it starts another, and when it
 *        ends.
 *
 * STOLEN The task that runs a stolen job has nothing of its own at first: it takes over its
 *        forker's list when it first needs it, while the forker may be setting another. Hence the
 *        lock: the owner writes under it, others read under it, the owner reads as it likes. A
 *        forker does not end before its jobs, so it has a list if it ever had one.
 *          [first]  LOCALS is set, release, after list and lock; partner the acquire of who is
 *                   stolen from it. All others that look are the owner, or have the object to
 *                   themselves.
 *
 * END    A task lets go of its list when it ends, before its future is done: whoever has awaited
 *        the last task that saw a value knows it destroyed (but not if a job was stolen: that ends
 *        a little after its join). One that never runs does so when it is freed.
 *
 * TESTS  tests/api/local_test.cc
 */
#ifndef SKUA_SRC_LOCAL_H
#define SKUA_SRC_LOCAL_H

#include "sched/worker.h"

/* For skua_locals_inherit() and skua_locals_drop() only. */
void skua_locals_inherit_slow(struct skua_task *from, struct skua_task *child);
void skua_locals_drop_slow(struct skua_task *task);

/* Whoever runs on @thread starts @child, which is not yet published, its flags set. */
static SKUA_ALWAYS_INLINE void skua_locals_inherit(struct skua_thread *thread,
                                                   struct skua_task *child)
{
    if (skua_unlikely(thread == NULL))
        return;
    struct skua_task *from = thread->task;
    if (skua_unlikely(from == NULL) && (from = thread->job) == NULL)
        return;
    /* relaxed: its own */
    if (skua_unlikely(atomic_load_explicit(&from->future.flags, memory_order_relaxed) &
                      (SKUA_FUTURE_LOCALS | SKUA_FUTURE_STOLEN)))
        skua_locals_inherit_slow(from, child);
}

/* @task ends, or is freed: lets go of its list if it has one. Calls destructors. */
static SKUA_ALWAYS_INLINE void skua_locals_drop(struct skua_task *task)
{
    /* relaxed: its own, or whoever holds it alone */
    if (skua_unlikely(atomic_load_explicit(&task->future.flags, memory_order_relaxed) &
                      SKUA_FUTURE_LOCALS))
        skua_locals_drop_slow(task);
}

#endif /* SKUA_SRC_LOCAL_H */
