/*
 * skua/fork.h - fork and join: calls that an idle worker may take over.
 *
 * A fork offers a call to the other workers and costs a few stores; the join makes the call itself,
 * in place, unless a worker has taken it, and then waits for it. So parallel recursion needs no
 * cutoff. Jobs stand in the forker's frame and in a deque of its task: nothing is allocated.
 *
 * There are two forms. The plain one takes any function:
 *
 *     intptr_t left(void *arg); ...
 *     skua_job job;
 *     skua_fork(&job, left, arg);
 *     right(arg);
 *     intptr_t result = skua_join(&job);
 *
 * The typed one declares a function that can be forked. Arguments and result keep their types, and
 * a job that nobody took is an ordinary call that the compiler sees through:
 *
 *     SKUA_FORKABLE(long, fib, int, n)
 *     {
 *         if (n < 2)
 *             return n;
 *         SKUA_JOB(fib) job;
 *         SKUA_FORK(fib, &job, n - 1);
 *         long b = SKUA_CALL(fib, n - 2);
 *         return SKUA_JOIN(fib, &job) + b;
 *     }
 *     ... fib(39) ...
 *
 * What holds for both
 *   - Every job is joined, before the function that forked it returns, and only once.
 *   - Jobs must not wait for one another, or for what their forker does between fork and join:
 *     a job nobody takes does not run before its join.
 *   - A job runs on its forker's stack or as a task of its own: it may do I/O, wait, fork.
 *     skua_self() in a job is the task it runs in. Like any code that can wait, it may come back
 *     from a join on another thread.
 *   - A job finds 32 KiB of stack at least; when less is left the call goes on on another stack.
 *     So recursion may be a million deep.
 *   - Idle workers find jobs of a worker that computes for long: within 1 ms.
 *   - On executor threads, on foreign threads and without a free place (250 unjoined jobs in a
 *     task) the jobs are simply not offered: they run at the join.
 *
 * Source: J. van Dijk and J. van de Pol, Lace: non-blocking split deque for work-stealing (2014),
 * for the split between a private and a public part. See src/core/fork_deque.h.
 */
#ifndef SKUA_FORK_H
#define SKUA_FORK_H

#include <skua/base.h>
#include <skua/fork_macros.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A job of the plain form. In the caller's frame; opaque; must not be moved before its join. */
typedef struct skua_job {
    void *opaque[6];
} skua_job;

/**
 * Offers the call @fn(@arg) to idle workers; the function behind skua_fork().
 *
 * Jobs of a task may be joined in any order; the newest first is the fast one.
 *
 * Context: any; never waits. Outside a task on a worker the job runs at its join.
 * Cancellation: not a cancellation point. Once the task is cancelled, a job that has not started is
 *   not run: its join returns -ECANCELED.
 * Ownership: *@job is the library's until skua_join() returns.
 * Returns: 0; -EINVAL if @job or @fn is NULL (the join of @job returns the same).
 * Source: Cilk's spawn; Frigo, Leiserson, Randall, The implementation of the Cilk-5 multithreaded
 *   language (1998).
 */
SKUA_API int skua_fork_at(skua_job *job, skua_fn fn, void *arg, const char *site);
#define skua_fork(job, fn, arg) skua_fork_at((job), (fn), (arg), SKUA_SITE(#fn))

/**
 * Runs the job if nobody has taken it; otherwise waits until it has ended.
 *
 * Context: the task or thread that forked it; may wait, and resume on another thread.
 * Cancellation: does not end before the job does. A job of a cancelled task that has not started is
 *   not run; one that was taken is cancelled with the task, and its result is waited for.
 * Returns: the job's result; -ECANCELED if it was not run; -EINVAL if @job is NULL, was not forked,
 *   or has been joined (found in a job that was zeroed, forked or joined before; reading one that
 *   never was anything is undefined, and an assertion in debug builds).
 */
SKUA_API intptr_t skua_join(skua_job *job);

/**
 * For skua_join() as a macro: the job is claimed, but may be public, or little stack is left.
 *
 * Context: as skua_join().
 * Cancellation: as skua_join().
 * Returns: as skua_join().
 */
SKUA_API intptr_t skua_join_claimed(skua_job *job);

/* Deques are aligned to their size. */
#define SKUA_FORK_DEQUE_BYTES 16384

/*
 * The newest job, which nobody took, is run here. Where NDEBUG is not defined the function is
 * called instead, which checks more in debug builds of the library.
 */
#ifdef NDEBUG
#define skua_join(job) skua_join_inline_(job)
#endif

SKUA_FORK_INLINE_ intptr_t skua_join_inline_(skua_job *job)
{
    struct skua_fork_slot *slot =
        job != NULL ? (struct skua_fork_slot *)job->opaque[0] : (struct skua_fork_slot *)0;
    struct skua_fork_deque *deque =
        (struct skua_fork_deque *)((uintptr_t)slot & ~(uintptr_t)(SKUA_FORK_DEQUE_BYTES - 1));
    /* Without a slot, or with the mark for one that was not offered, this is NULL. */
    if (SKUA_FORK_UNLIKELY_(deque == NULL) || SKUA_FORK_UNLIKELY_(deque->head != slot + 1))
        return (skua_join)(job);
    __atomic_store_n(&slot->fn, (skua_fork_entry)0, __ATOMIC_RELAXED); /* CLAIM */
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (SKUA_FORK_UNLIKELY_(slot < __atomic_load_n(&deque->join_limit, __ATOMIC_RELAXED)) ||
        SKUA_FORK_UNLIKELY_(skua_fork_is_low_(deque)))
        return skua_join_claimed(job);
    job->opaque[0] = NULL;
    deque->head = slot;
    return ((skua_fn)(uintptr_t)slot->payload[0])((void *)(uintptr_t)slot->payload[1]);
}

#ifdef __cplusplus
}
#endif

#endif /* SKUA_FORK_H */
