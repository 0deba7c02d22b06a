/*
 * platform/clock.h - the monotonic clock in nanoseconds. Engines hand it up as their now(). In a
 * simulation (vthread.h) it is the virtual one.
 */
#ifndef SKUA_SRC_CLOCK_H
#define SKUA_SRC_CLOCK_H

#include "platform/vthread.h"

#include <stdint.h>
#include <time.h>

static inline uint64_t skua_clock_now(void)
{
    struct timespec ts;
    if (skua_vthread_simulated())
        return skua_vthread_now();
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

/* Absolute nanoseconds as a timespec; the largest values saturate at what time_t can hold. */
static inline void skua_clock_to_timespec(uint64_t ns, struct timespec *ts)
{
    ts->tv_sec = (time_t)(ns / UINT64_C(1000000000));
    ts->tv_nsec = (long)(ns % UINT64_C(1000000000));
}

#endif /* SKUA_SRC_CLOCK_H */
