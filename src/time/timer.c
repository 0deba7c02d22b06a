/*
 * time/timer.c - calls that are put off (see sched/dormant.h), and ticks.
 */
#include <skua/timer.h>

#include "base/check.h"
#include "sched/dormant.h"

#include <errno.h>
#include <limits.h>

skua_future *skua_call_until(uint64_t deadline_ns, skua_fn fn, void *arg, const char *site)
{
    return skua_dormant_until(deadline_ns, fn, arg, site);
}

struct interval {
    uint64_t period_ns; /* constant */
    uint64_t next_ns;   /* the tick to come; SKUA_FOREVER if it is beyond the clock */
    unsigned flags;     /* constant */
};

_Static_assert(sizeof(struct interval) <= sizeof(skua_interval), "skua_interval is its storage");

static struct interval *interval_of(skua_interval *opaque)
{
    return (struct interval *)(void *)opaque;
}

int skua_interval_init(skua_interval *opaque, uint64_t period_ns, unsigned flags)
{
    if (opaque == NULL || period_ns == 0 || (flags & ~SKUA_INTERVAL_BURST) != 0)
        return -EINVAL;
    *interval_of(opaque) =
        (struct interval){.period_ns = period_ns, .next_ns = skua_after(period_ns), .flags = flags};
    return 0;
}

ssize_t skua_interval_next(skua_interval *opaque)
{
    if (opaque == NULL)
        return -EINVAL;
    struct interval *interval = interval_of(opaque);
    int rc = skua_sleep_until(interval->next_ns);
    if (rc < 0)
        return rc;
    uint64_t now_ns = skua_now();
    uint64_t missed = 0;
    skua_assert(now_ns >= interval->next_ns);
    if (!(interval->flags & SKUA_INTERVAL_BURST))
        missed = (now_ns - interval->next_ns) / interval->period_ns;
    /* No overflow: it is at most now. */
    uint64_t last_ns = interval->next_ns + missed * interval->period_ns;
    bool beyond = interval->period_ns >= SKUA_FOREVER - last_ns;
    interval->next_ns = beyond ? SKUA_FOREVER : last_ns + interval->period_ns;
    return (ssize_t)skua_min(missed, (uint64_t)SSIZE_MAX);
}
