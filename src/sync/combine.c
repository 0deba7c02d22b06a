/*
 * sync/combine.c - gather, wait, race, wait_for: one wait for several futures. See sched/watch.h
 * for how the waiting is done.
 *
 * While the watch is open the caller touches no handle. It is closed before anything is cancelled
 * or dropped; then every future that has told the watch is DONE.
 */
#include "base/alloc.h"
#include "sync/combine_impl.h"

#include <skua/future.h>
#include <skua/time.h>

#include "sched/await.h"
#include "sched/runtime_impl.h"

#include <errno.h>
#include <stdlib.h>

/* ---- what they have in common ---------------------------------------------------------------- */

int skua_combine_check(const skua_future *future)
{
    if (skua_unlikely(future == NULL))
        return -EINVAL;
    return skua_unlikely(future == skua_self()) ? -EDEADLK : 0;
}

int skua_combine_check_all(skua_future *const *futures, size_t count)
{
    int rc = futures == NULL && count != 0 ? -EINVAL : 0;
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = skua_combine_check(futures[i]);
    return rc;
}

int skua_watched_open(struct skua_watched *watched, skua_future *const *futures, size_t count,
                      bool count_cancelled)
{
    watched->futures = futures;
    watched->count = count;
    watched->watchers = watched->few;
    if (count > SKUA_WATCHED_INLINE) {
        if (count > SIZE_MAX / sizeof(*watched->watchers))
            return -ENOMEM;
        watched->watchers = skua_malloc(count * sizeof(*watched->watchers));
        if (watched->watchers == NULL)
            return -ENOMEM;
    }
    skua_watch_init(&watched->watch, count_cancelled);
    for (size_t i = 0; i < count; i++) {
        int rc = skua_combine_check(futures[i]);
        if (skua_likely(rc == 0))
            skua_watch_add(&watched->watch, &watched->watchers[i], futures[i]);
        else
            skua_watch_add_failed(&watched->watch, &watched->watchers[i], rc);
    }
    return 0;
}

size_t skua_watched_close(struct skua_watched *watched, bool *done)
{
    size_t done_count = 0;
    /* The last first: a future's newest waiter is found at once, if it stands there often. */
    for (size_t i = watched->count; i-- > 0;) {
        skua_future *future = watched->futures[i];
        bool is_done =
            skua_combine_check(future) != 0 || skua_watch_remove(&watched->watchers[i], future);
        done_count += is_done;
        if (done != NULL)
            done[i] = is_done;
    }
    if (watched->watchers != watched->few)
        free(watched->watchers);
    return done_count;
}

void skua_combine_cancel(skua_future *const *futures, size_t count, bool running_jobs_too)
{
    for (size_t i = 0; i < count; i++) {
        if (skua_combine_check(futures[i]) == 0)
            (void)skua_future_cancel(futures[i]);
    }
    for (size_t i = 0; i < count; i++) {
        if (skua_combine_check(futures[i]) != 0)
            continue;
        /* A job that is not done by now is running. */
        if (running_jobs_too || skua_future_kind(futures[i]) != SKUA_OBJECT_JOB)
            (void)skua_future_wait(futures[i], SKUA_FOREVER, true);
    }
}

static void drop(skua_future *future)
{
    if (future == NULL || skua_future_kind(future) == SKUA_OBJECT_FAILED)
        return;
    skua_future_mark_read(future);
    skua_object_unref(skua_thread_self(), skua_task_of_future(future));
}

intptr_t skua_combine_take(skua_future *future)
{
    int rc = skua_combine_check(future);
    skua_assert(rc < 0 || skua_future_done(future));
    intptr_t value = rc < 0 ? rc : future->value;
    drop(future);
    return value;
}

void skua_combine_drop(skua_future *const *futures, size_t count)
{
    for (size_t i = 0; i < count; i++)
        drop(futures[i]);
}

/* ---- gather ---------------------------------------------------------------------------------- */

static bool are_gather_flags(unsigned flags)
{
    return flags == 0 || flags == SKUA_GATHER_CANCEL || flags == SKUA_GATHER_COLLECT;
}

/* All are done: hands the results out. How many are errors. */
static intptr_t take_all(skua_future *const *futures, size_t count, intptr_t *results)
{
    intptr_t errors = 0;
    for (size_t i = 0; i < count; i++) {
        intptr_t value = skua_combine_take(futures[i]);
        errors += SKUA_IS_ERROR(value);
        if (results != NULL)
            results[i] = value;
    }
    return errors;
}

intptr_t skua_gather(skua_future *const *futures, size_t count, unsigned flags, intptr_t *results)
{
    struct skua_watched watched;
    if (skua_unlikely(skua_fork_guard_in_child()))
        return -ECHILD;
    if (futures == NULL)
        return count == 0 && are_gather_flags(flags) ? 0 : -EINVAL;
    if (!are_gather_flags(flags)) {
        skua_combine_drop(futures, count);
        return -EINVAL;
    }
    bool collect = flags == SKUA_GATHER_COLLECT;
    int rc = skua_watched_open(&watched, futures, count, true);
    if (rc == 0) {
        struct skua_watch_until until = {count, !collect, SKUA_FOREVER};
        rc = skua_watch_wait(&watched.watch, &until);
        (void)skua_watched_close(&watched, NULL);
    }
    bool failed = rc == 0 && !collect && watched.watch.failed > 0;
    if (rc == 0 && !failed)
        return take_all(futures, count, results);
    if (!failed || flags == SKUA_GATHER_CANCEL)
        skua_combine_cancel(futures, count, false);
    skua_combine_drop(futures, count);
    return failed ? watched.watch.error : rc;
}

/* ---- wait, race ------------------------------------------------------------------------------ */

ssize_t skua_wait(skua_future *const *futures, size_t count, skua_wait_when when,
                  uint64_t deadline_ns, bool *done)
{
    struct skua_watched watched;
    struct skua_watch_until until = {count, false, deadline_ns};
    if (skua_unlikely(skua_fork_guard_in_child()))
        return -ECHILD;
    if (count == 0)
        return -EINVAL;
    switch (when) {
    case SKUA_ALL_COMPLETED:
        break;
    case SKUA_FIRST_COMPLETED:
        until.count = 1;
        break;
    case SKUA_FIRST_EXCEPTION:
        until.or_error = true;
        break;
    default:
        return -EINVAL;
    }
    int rc = skua_combine_check_all(futures, count);
    if (rc == 0)
        rc = skua_watched_open(&watched, futures, count, false);
    if (rc < 0)
        return rc;
    rc = skua_watch_wait(&watched.watch, &until);
    bool failed = rc < 0 && rc != -ETIMEDOUT;
    size_t done_count = skua_watched_close(&watched, failed ? NULL : done);
    return failed ? rc : (ssize_t)done_count;
}

ssize_t skua_race(skua_future *const *futures, size_t count, intptr_t *result)
{
    struct skua_watched watched;
    struct skua_watch_until until = {1, false, SKUA_FOREVER};
    ssize_t winner = -1;
    if (skua_unlikely(skua_fork_guard_in_child()))
        return -ECHILD;
    if (futures == NULL || count == 0)
        return -EINVAL;
    int rc = skua_combine_check_all(futures, count);
    if (rc == 0)
        rc = skua_watched_open(&watched, futures, count, true);
    if (rc == 0) {
        rc = skua_watch_wait(&watched.watch, &until);
        if (rc == 0)
            winner = skua_watch_take(&watched.watch) - watched.watchers;
        (void)skua_watched_close(&watched, NULL);
    }
    skua_combine_cancel(futures, count, false);
    if (rc == 0 && result != NULL)
        *result = futures[winner]->value;
    skua_combine_drop(futures, count);
    return rc < 0 ? rc : winner;
}

/* ---- one future ------------------------------------------------------------------------------ */

int skua_wait_for(skua_future *future, uint64_t timeout_ns, intptr_t *result)
{
    intptr_t value = 0;
    if (future == NULL)
        return -EINVAL;
    if (skua_unlikely(skua_fork_guard_in_child()))
        return -ECHILD;
    int rc = skua_combine_check(future);
    if (rc == 0 && timeout_ns == 0)
        rc = skua_future_take(future, &value) == 0 ? 0 : -ETIMEDOUT;
    else if (rc == 0)
        rc = skua_await_until(future, skua_after(timeout_ns), &value);
    if (rc < 0) {
        skua_combine_cancel(&future, 1, false);
        if (rc == -EDEADLK || !skua_future_done(future)) { /* a running job */
            drop(future);
            return rc;
        }
        value = skua_combine_take(future);
        if (value == -ECANCELED)
            return rc;
    }
    if (result != NULL)
        *result = value;
    return 0;
}

int skua_await_shielded(skua_future *future, intptr_t *result)
{
    return skua_await_until(future, SKUA_FOREVER, result);
}
