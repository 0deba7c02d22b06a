/*
 * sync/as_completed.c - futures in the order in which they are done. See sched/watch.h: its list is
 * that order.
 *
 * A watcher is removed when its index is returned, all others when the iterator is closed: from
 * then on the iterator does not touch that future, whose handle may be gone.
 */
#include "base/alloc.h"
#include "sync/combine_impl.h"

#include "sched/runtime_impl.h"

#include <errno.h>
#include <stdlib.h>

/* Stays where it is: watched.watchers may point to watched.few. */
struct skua_as_completed {
    size_t returned;
    struct skua_watched watched;
};

int skua_as_completed_open(skua_as_completed **iterator, skua_future *const *futures, size_t count)
{
    if (skua_unlikely(skua_fork_guard_in_child()))
        return -ECHILD;
    int rc = iterator == NULL ? -EINVAL : skua_combine_check_all(futures, count);
    if (rc < 0)
        return rc;
    skua_as_completed *it = skua_malloc(sizeof(*it));
    if (it == NULL)
        return -ENOMEM;
    it->returned = 0;
    rc = skua_watched_open(&it->watched, futures, count, false);
    if (rc < 0) {
        free(it);
        return rc;
    }
    *iterator = it;
    return 0;
}

ssize_t skua_as_completed_next(skua_as_completed *it, uint64_t deadline_ns)
{
    if (it == NULL)
        return -EINVAL;
    if (skua_unlikely(skua_fork_guard_in_child()))
        return -ECHILD;
    if (it->returned == it->watched.count)
        return -EALREADY;
    struct skua_watch_until until = {it->returned + 1, false, deadline_ns};
    int rc = skua_watch_wait(&it->watched.watch, &until);
    if (rc < 0)
        return rc;
    struct skua_watcher *watcher = skua_watch_take(&it->watched.watch);
    skua_check(watcher != NULL);
    ssize_t index = watcher - it->watched.watchers;
    bool done = skua_watch_remove(watcher, it->watched.futures[index]);
    skua_check(done);
    watcher->watch = NULL; /* returned */
    it->returned++;
    return index;
}

void skua_as_completed_close(skua_as_completed *it)
{
    if (it == NULL || skua_fork_guard_in_child())
        return;
    struct skua_watched *watched = &it->watched;
    for (size_t i = watched->count; i-- > 0;) { /* as skua_watched_close() */
        if (watched->watchers[i].watch != NULL)
            (void)skua_watch_remove(&watched->watchers[i], watched->futures[i]);
    }
    if (watched->watchers != watched->few)
        free(watched->watchers);
    free(it);
}
