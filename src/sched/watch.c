/*
 * sched/watch.c - see watch.h.
 */
#include "sched/watch.h"

#include "sched/wait.h"

#include <errno.h>

void skua_watch_init(struct skua_watch *watch, bool count_cancelled)
{
    *watch = (struct skua_watch){.count_cancelled = count_cancelled};
    skua_spin_init(&watch->lock);
}

/* With the lock: puts @watcher in the list. */
static void append(struct skua_watch *watch, struct skua_watcher *watcher, intptr_t value)
{
    watcher->next = NULL;
    if (watch->first == NULL)
        watch->first = watcher;
    else
        watch->last->next = watcher;
    watch->last = watcher;
    watch->done++;
    if (SKUA_IS_ERROR(value) && (value != -ECANCELED || watch->count_cancelled)) {
        if (watch->failed++ == 0)
            watch->error = value;
    }
}

static bool is_met(const struct skua_watch *watch, size_t count, bool or_error)
{
    return watch->done >= count || (or_error && watch->failed > 0);
}

void skua_watcher_done(struct skua_waiter *waiter, intptr_t value, struct skua_wakes *wakes)
{
    struct skua_watcher *watcher = skua_container_of(waiter, struct skua_watcher, waiter);
    struct skua_watch *watch = watcher->watch;
    skua_spin_lock(&watch->lock);
    append(watch, watcher, value);
    struct skua_agent *agent = watch->agent;
    if (agent != NULL && is_met(watch, watch->wake_at, watch->wake_on_error)) {
        watch->agent = NULL;
        skua_wakes_add(wakes, agent, true); /* under the lock: see LAST TOUCH */
    }
    skua_spin_unlock(&watch->lock);
}

void skua_watch_add(struct skua_watch *watch, struct skua_watcher *watcher, skua_future *future)
{
    watcher->waiter.agent = NULL;
    watcher->watch = watch;
    if (skua_future_add_waiter(future, &watcher->waiter))
        return;
    skua_spin_lock(&watch->lock);
    append(watch, watcher, future->value);
    skua_spin_unlock(&watch->lock);
}

void skua_watch_add_failed(struct skua_watch *watch, struct skua_watcher *watcher, int error)
{
    watcher->watch = watch;
    skua_spin_lock(&watch->lock);
    append(watch, watcher, error);
    skua_spin_unlock(&watch->lock);
}

struct skua_watcher *skua_watch_take(struct skua_watch *watch)
{
    skua_spin_lock(&watch->lock);
    struct skua_watcher *watcher = watch->first;
    if (watcher != NULL)
        watch->first = watcher->next;
    skua_spin_unlock(&watch->lock);
    return watcher;
}

/* Leaves @agent (NULL: takes it back) for completers, unless it is met. True if it is. */
static bool announce(struct skua_watch *watch, const struct skua_watch_until *until,
                     struct skua_agent *agent)
{
    skua_spin_lock(&watch->lock);
    bool met = is_met(watch, until->count, until->or_error);
    watch->agent = met ? NULL : agent;
    watch->wake_at = until->count;
    watch->wake_on_error = until->or_error;
    skua_spin_unlock(&watch->lock);
    return met;
}

int skua_watch_wait(struct skua_watch *watch, const struct skua_watch_until *until)
{
    if (announce(watch, until, NULL))
        return 0;
    if (until->deadline_ns == 0)
        return skua_wait_cancelled() ? -ECANCELED : -ETIMEDOUT;
    for (;;) {
        struct skua_wait wait;
        int rc = skua_wait_begin(&wait, SKUA_WAIT_FUTURE, false, until->deadline_ns);
        if (rc < 0)
            return rc;
        bool met = announce(watch, until, wait.agent);
        if (met || skua_wait_cancelled()) {
            met = announce(watch, until, NULL);
            (void)skua_wait_abandon(&wait);
            return met ? 0 : -ECANCELED;
        }
        enum skua_reason reason = skua_wait_park(&wait);
        if (announce(watch, until, NULL))
            return 0;
        if (reason == SKUA_REASON_TIMEOUT)
            return -ETIMEDOUT;
        if (skua_wait_cancelled())
            return -ECANCELED;
    }
}
