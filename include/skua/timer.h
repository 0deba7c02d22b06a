/*
 * skua/timer.h - functions that are called later, and ticks.
 *
 * A call that is put off is a task without a stack: its future can be awaited, gathered, cancelled.
 * Who wants neither drops the handle; the call is made all the same.
 */
#ifndef SKUA_TIMER_H
#define SKUA_TIMER_H

#include <skua/base.h>
#include <skua/task.h>
#include <skua/time.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Runs @fn(@arg) as a task from @deadline_ns on; the function behind skua_call_at() and
 * skua_call_later(). Calls that are due are queued in the order of their deadlines, those with the
 * same deadline in the order in which they were made on one worker.
 *
 * skua_cancel() before that takes the timer away, and the future fails at once. A runtime that
 * stops waits for such calls, or cancels them, as any other tasks.
 *
 * Context: a task, or an executor thread of a runtime; never waits.
 * Cancellation: not a cancellation point; a cancelled task may still put calls off.
 * Ownership: the caller owns the returned handle.
 * Units: @deadline_ns is absolute, on the clock of skua_now(); one that has passed means soon;
 *   SKUA_FOREVER never comes.
 * Returns: a future, never NULL. If it could not be made it has already failed: -EINVAL if @fn is
 *   NULL, -EPERM outside a runtime, -ESHUTDOWN, -ENOMEM, -ECHILD in a forked child.
 * Source: asyncio.loop.call_at, call_later.
 */
SKUA_API SKUA_MUST_USE skua_future *skua_call_until(uint64_t deadline_ns, skua_fn fn, void *arg,
                                                    const char *site);

/* At an absolute time; after a delay; as soon as it is its turn (which is skua_spawn()). */
#define skua_call_at(deadline_ns, fn, arg)                                                         \
    skua_call_until((deadline_ns), (fn), (arg), SKUA_SITE(#fn))
#define skua_call_later(delay_ns, fn, arg)                                                         \
    skua_call_until(skua_after(delay_ns), (fn), (arg), SKUA_SITE(#fn))
#define skua_call_soon(fn, arg) skua_spawn_at((fn), (arg), SKUA_SITE(#fn))

/* Ticks that have been missed all come at once, instead of being left out. */
#define SKUA_INTERVAL_BURST 1u

/* Ticks at equal distances. In the caller's memory; nothing to give back. */
typedef struct skua_interval {
    uint64_t opaque[4];
} skua_interval;

/**
 * Begins to count: the first tick is @period_ns from now, and each later one as far from the one
 * before, however long the caller takes.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Units: @period_ns is relative, at least 1.
 * Returns: 0; -EINVAL (@interval NULL, @period_ns 0, unknown flag).
 * Source: Go's time.Ticker; tokio::time::interval, MissedTickBehavior.
 */
SKUA_API int skua_interval_init(skua_interval *interval, uint64_t period_ns, unsigned flags);

/**
 * Waits for the next tick. If it has passed already, it returns soon, and, without
 * SKUA_INTERVAL_BURST, the ticks after it whose time has passed as well are left out.
 *
 * Context: any, one caller at a time. A task on a worker parks, or at least yields; any other
 *   thread blocks.
 * Cancellation: returns -ECANCELED; the tick is still to come.
 * Returns: how many ticks were left out, with SKUA_INTERVAL_BURST 0; -ECANCELED; -EINVAL if
 *   @interval is NULL; -ENOMEM if the timer could not be stored; -ECHILD in a forked child.
 */
SKUA_API ssize_t skua_interval_next(skua_interval *interval);

#ifdef __cplusplus
}
#endif

#endif /* SKUA_TIMER_H */
