/*
 * skua/time.h - the clock and sleeping. All times are nanoseconds of the monotonic clock.
 */
#ifndef SKUA_TIME_H
#define SKUA_TIME_H

#include <skua/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * The current time of the clock that every deadline of this library is on.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Units: nanoseconds of CLOCK_MONOTONIC.
 * Returns: the time.
 */
SKUA_API uint64_t skua_now(void);

/**
 * The deadline that lies @delay_ns in the future, saturating at SKUA_FOREVER.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Units: nanoseconds.
 * Returns: skua_now() + @delay_ns.
 */
SKUA_API uint64_t skua_after(uint64_t delay_ns);

/**
 * Sleeps for at least @delay_ns. Zero yields.
 *
 * Context: any. A task on a worker parks; any other thread blocks.
 * Cancellation: returns -ECANCELED before the time is over.
 * Units: nanoseconds.
 * Returns: 0; -ECANCELED; -ENOMEM if the timer could not be stored (nothing was slept).
 * Source: asyncio.sleep.
 */
SKUA_API int skua_sleep(uint64_t delay_ns);

/**
 * Sleeps until @deadline_ns. A deadline that has passed yields.
 *
 * Context: any. A task on a worker parks; any other thread blocks.
 * Cancellation: returns -ECANCELED before the time is over.
 * Units: absolute nanoseconds of skua_now(); SKUA_FOREVER sleeps until cancelled.
 * Returns: 0; -ECANCELED; -ENOMEM if the timer could not be stored (nothing was slept).
 */
SKUA_API int skua_sleep_until(uint64_t deadline_ns);

#ifdef __cplusplus
}
#endif

#endif /* SKUA_TIME_H */
