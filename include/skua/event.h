/*
 * skua/event.h - a flag that tasks and threads alike can wait for.
 *
 * A task that waits parks, and its worker runs others; a thread blocks. Setting the event lets
 * everybody go who waits, in the order of their arrival, even if it is cleared at once; while it is
 * set nobody waits.
 *
 * An object that is zero is an event that is not set. It needs no destruction, and may go away as
 * soon as every wait has returned and nobody is going to call another function for it; the set that
 * has let them go need not have returned.
 */
#ifndef SKUA_EVENT_H
#define SKUA_EVENT_H

#include <skua/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct skua_event {
    uint64_t opaque[3];
} skua_event;

#define SKUA_EVENT_INIT                                                                            \
    {                                                                                              \
        {                                                                                          \
            0, 0, 0                                                                                \
        }                                                                                          \
    }

/**
 * Sets @event and lets everybody go who waits for it. What was done before is visible to them, and
 * to whoever finds or clears the event after; also if it was set before.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0; -EINVAL if @event is NULL.
 * Source: asyncio.Event.set.
 */
SKUA_API int skua_event_set(skua_event *event);

/**
 * Clears @event: who waits from now on waits for the next skua_event_set().
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0; -EINVAL if @event is NULL.
 * Source: asyncio.Event.clear.
 */
SKUA_API int skua_event_clear(skua_event *event);

/**
 * Whether @event is set.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: true if it is; false if not, or if @event is NULL.
 */
SKUA_API bool skua_event_is_set(const skua_event *event);

/**
 * Waits until @event is set, as long as it takes.
 *
 * Context: any. A task on a worker parks; any other thread blocks.
 * Cancellation: a wait returns -ECANCELED. An event that is set, or was while the caller waited,
 *   beats the cancel.
 * Returns: 0; -ECANCELED; -EINVAL if @event is NULL; -ECHILD in a forked child.
 * Source: asyncio.Event.wait.
 */
SKUA_API int skua_event_wait(skua_event *event);

/**
 * Waits until @event is set, or @deadline_ns.
 *
 * Context: any. A task on a worker parks; any other thread blocks.
 * Cancellation: as skua_event_wait().
 * Units: @deadline_ns is absolute, on the clock of skua_now(); SKUA_FOREVER never passes.
 * Returns: 0; -ETIMEDOUT; -ECANCELED; -EINVAL if @event is NULL; -ENOMEM if the timer could not be
 *   stored; -ECHILD in a forked child.
 */
SKUA_API int skua_event_wait_until(skua_event *event, uint64_t deadline_ns);

#ifdef __cplusplus
}
#endif

#endif /* SKUA_EVENT_H */
