/*
 * skua/wait_group.h - waiting until a number of things are done.
 *
 * A wait group counts what is under way, up and down, and can be used again. A latch counts down
 * once. A task that waits for either parks, and its worker runs others; a thread blocks. When the
 * count reaches zero everybody goes who waits, in the order of their arrival. (For tasks that one
 * task starts, a scope is better: see skua/scope.h.)
 *
 * An object that is zero counts zero. It needs no destruction, and may go away as soon as every
 * wait has returned and nobody is going to call another function for it; the call that has counted
 * to zero need not have returned. So it may stand in the frame of the one who waits.
 */
#ifndef SKUA_WAIT_GROUP_H
#define SKUA_WAIT_GROUP_H

#include <skua/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct skua_wait_group {
    uint64_t opaque[3];
} skua_wait_group;

#define SKUA_WAIT_GROUP_INIT                                                                       \
    {                                                                                              \
        {                                                                                          \
            0, 0, 0                                                                                \
        }                                                                                          \
    }

/**
 * Adds @delta, which may be negative, to the count of @group.
 *
 * What is to be waited for is added before the wait, and by somebody who knows that it comes
 * before: before what decrements is started, as a rule.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0; -EINVAL if the count would be negative, or @group is NULL; -EOVERFLOW if it would
 *   reach 2^61. On error the count is as it was.
 * Source: Go's sync.WaitGroup.Add.
 */
SKUA_API int skua_wait_group_add(skua_wait_group *group, int64_t delta);

/**
 * Takes one from the count of @group: something is done. What was done before is visible to those
 * who have waited.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0; -EINVAL if the count is zero, or @group is NULL.
 * Source: Go's sync.WaitGroup.Done.
 */
SKUA_API int skua_wait_group_done(skua_wait_group *group);

/**
 * Waits until the count of @group is zero, as long as it takes.
 *
 * Context: any. A task on a worker parks; any other thread blocks.
 * Cancellation: a wait returns -ECANCELED. A count that is zero, or was while the caller waited,
 *   beats the cancel.
 * Returns: 0; -ECANCELED; -EINVAL if @group is NULL; -ECHILD in a forked child.
 * Source: Go's sync.WaitGroup.Wait.
 */
SKUA_API int skua_wait_group_wait(skua_wait_group *group);

/**
 * Waits until the count of @group is zero, or @deadline_ns.
 *
 * Context: any. A task on a worker parks; any other thread blocks.
 * Cancellation: as skua_wait_group_wait().
 * Units: @deadline_ns is absolute, on the clock of skua_now(); SKUA_FOREVER never passes.
 * Returns: 0; -ETIMEDOUT; -ECANCELED; -EINVAL if @group is NULL; -ENOMEM if the timer could not be
 *   stored; -ECHILD in a forked child.
 */
SKUA_API int skua_wait_group_wait_until(skua_wait_group *group, uint64_t deadline_ns);

/**
 * Whether the count of @group is zero: whether a wait would return at once.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0 if it is; -EAGAIN; -EINVAL if @group is NULL.
 */
SKUA_API int skua_wait_group_try_wait(skua_wait_group *group);

typedef struct skua_latch {
    uint64_t opaque[3];
} skua_latch;

/* Opens after @count arrivals; below 2^61. */
#define SKUA_LATCH_INIT(count)                                                                     \
    {                                                                                              \
        {                                                                                          \
            (uint64_t)(count) << 2, 0, 0                                                           \
        }                                                                                          \
    }

/**
 * Takes @count from the count of @latch. What was done before is visible to those who have waited.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0; -EINVAL if @count is more than is left, which changes nothing, or @latch is NULL.
 * Source: C++20, std::latch::count_down.
 */
SKUA_API int skua_latch_count_down(skua_latch *latch, uint64_t count);

/**
 * Waits until the count of @latch is zero, as long as it takes.
 *
 * Context: any. A task on a worker parks; any other thread blocks.
 * Cancellation: as skua_wait_group_wait().
 * Returns: 0; -ECANCELED; -EINVAL if @latch is NULL; -ECHILD in a forked child.
 * Source: C++20, std::latch::wait.
 */
SKUA_API int skua_latch_wait(skua_latch *latch);

/**
 * Waits until the count of @latch is zero, or @deadline_ns.
 *
 * Context: any. A task on a worker parks; any other thread blocks.
 * Cancellation: as skua_wait_group_wait().
 * Units: @deadline_ns is absolute, on the clock of skua_now(); SKUA_FOREVER never passes.
 * Returns: 0; -ETIMEDOUT; -ECANCELED; -EINVAL if @latch is NULL; -ENOMEM if the timer could not be
 *   stored; -ECHILD in a forked child.
 */
SKUA_API int skua_latch_wait_until(skua_latch *latch, uint64_t deadline_ns);

/**
 * Whether the count of @latch is zero: whether a wait would return at once.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0 if it is; -EAGAIN; -EINVAL if @latch is NULL.
 * Source: C++20, std::latch::try_wait.
 */
SKUA_API int skua_latch_try_wait(skua_latch *latch);

/**
 * Takes one from the count of @latch and waits until it is zero.
 *
 * Context: any. A task on a worker parks; any other thread blocks.
 * Cancellation: as skua_wait_group_wait(). The arrival counts in any case.
 * Returns: 0; -ECANCELED; -EINVAL if the count was zero already, or @latch is NULL; -ECHILD in a
 *   forked child.
 * Source: C++20, std::latch::arrive_and_wait.
 */
SKUA_API int skua_latch_arrive_and_wait(skua_latch *latch);

#ifdef __cplusplus
}
#endif

#endif /* SKUA_WAIT_GROUP_H */
