/*
 * sync/combine_impl.h - what the calls on several futures have in common. See sched/watch.h.
 */
#ifndef SKUA_SRC_COMBINE_IMPL_H
#define SKUA_SRC_COMBINE_IMPL_H

#include <skua/combine.h>

#include "sched/watch.h"

#define SKUA_WATCHED_INLINE 16u /* half a KiB of a task's stack */

/* An array of futures under one watch. Stays where it is: watchers may point to few. */
struct skua_watched {
    struct skua_watch watch;
    skua_future *const *futures;   /* the caller's; constant */
    size_t count;                  /* constant */
    struct skua_watcher *watchers; /* one for each; constant */
    struct skua_watcher few[SKUA_WATCHED_INLINE];
};

/* What is wrong with @future as one of several: -EINVAL if NULL, -EDEADLK if the caller's own. */
int skua_combine_check(const skua_future *future);

/* The first of these in an array, 0 if all are good; -EINVAL without an array. */
int skua_combine_check_all(skua_future *const *futures, size_t count);

/*
 * Begins to watch @futures. Those that skua_combine_check() refuses are done, with that error. 0 or
 * -ENOMEM.
 */
int skua_watched_open(struct skua_watched *watched, skua_future *const *futures, size_t count,
                      bool count_cancelled);

/* Ends it; tells in @done (may be NULL) which are done, and returns how many. */
size_t skua_watched_close(struct skua_watched *watched, bool *done);

/* Cancels all that skua_combine_check() accepts, then waits for them; see combine.h. */
void skua_combine_cancel(skua_future *const *futures, size_t count, bool running_jobs_too);

/* The result of a future that is done, or what skua_combine_check() says; drops the handle. */
intptr_t skua_combine_take(skua_future *future);

/* Drops handles, whose results count as read. */
void skua_combine_drop(skua_future *const *futures, size_t count);

#endif /* SKUA_SRC_COMBINE_IMPL_H */
