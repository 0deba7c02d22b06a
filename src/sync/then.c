/*
 * sync/then.c - what runs when a future is done, and the shield, which is that with nothing to do.
 * The mechanism is in sched/dormant.h.
 */
#include <skua/combine.h>
#include <skua/future.h>

#include "sched/dormant.h"

skua_future *skua_future_then_at(skua_future *future, skua_then_fn fn, void *arg, const char *site)
{
    return skua_dormant_follow(future, fn, arg, site);
}

static intptr_t same(intptr_t value, void *arg)
{
    (void)arg;
    return value;
}

skua_future *skua_future_shield(skua_future *future)
{
    if (future != NULL && skua_future_done(future))
        return future; /* no cancel reaches it any more */
    return skua_dormant_follow(future, same, NULL, SKUA_SITE("skua_future_shield"));
}
