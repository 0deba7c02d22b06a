/*
 * sync/rate_limiter.c - token buckets.
 *
 * STATE  credit    what is in the bucket as of filled_ns, in units of 1/period_ns of a token: so in
 *                  each nanosecond rate units come in, and rounding loses none below the brim.
 *        waiting   how many are in the line: they have come before, so nobody takes without lining
 *                  up while there are any.
 *        line      the turnstile. Who holds it is the first in the line, and the only one who waits
 *                  for tokens; the others wait for it, in order.
 *
 * INVARIANTS
 *   R1  Tokens are taken out when they are there, never ahead of time. So who gives up has taken
 *       none, and those behind it do not wait for it.
 *   R2  waiting > 0 while anybody has, or wants, the line.
 *
 * ORDERING  Everything but the line is guarded by the spin lock.
 */
#include "base/check.h"
#include "base/compiler.h"
#include "base/spin.h"
#include "platform/vthread.h"

#include <skua/mutex.h>
#include <skua/resilience.h>
#include <skua/time.h>

#include <errno.h>

#define CREDIT_MAX (UINT64_C(1) << 62)

struct rate_limiter {
    skua_mutex line;
    uint64_t rate; /* constant, as the next two */
    uint64_t period_ns;
    uint64_t credit_max; /* a multiple of period_ns */
    uint64_t credit;     /* guarded by lock, as what follows */
    uint64_t filled_ns;
    uint64_t waiting;
    struct skua_spin lock;
};

_Static_assert(sizeof(struct rate_limiter) <= sizeof(skua_rate_limiter),
               "skua_rate_limiter is its opaque storage");

static struct rate_limiter *limiter_of(skua_rate_limiter *opaque)
{
    return (struct rate_limiter *)(void *)opaque;
}

static uint64_t divide_up(uint64_t a, uint64_t b)
{
    return a / b + (a % b != 0);
}

/* Under the lock: what has come in until @now_ns. */
static void fill(struct rate_limiter *limiter, uint64_t now_ns)
{
    if (now_ns <= limiter->filled_ns) /* who looked at the clock earlier had the lock later */
        return;
    uint64_t missing = limiter->credit_max - limiter->credit;
    uint64_t elapsed_ns = now_ns - limiter->filled_ns;
    /* Less than what is missing cannot overflow. */
    if (elapsed_ns >= divide_up(missing, limiter->rate))
        limiter->credit = limiter->credit_max;
    else
        limiter->credit += elapsed_ns * limiter->rate;
    limiter->filled_ns = now_ns;
}

/* Under the lock: takes @need units: 0. Else when they will be there. */
static uint64_t take(struct rate_limiter *limiter, uint64_t need)
{
    fill(limiter, skua_now());
    if (limiter->credit < need)
        return limiter->filled_ns + divide_up(need - limiter->credit, limiter->rate);
    limiter->credit -= need;
    return 0;
}

/* Having the line. */
static int wait_for_tokens(struct rate_limiter *limiter, uint64_t need, uint64_t deadline_ns)
{
    for (;;) {
        skua_spin_lock(&limiter->lock);
        uint64_t due_ns = take(limiter, need);
        skua_spin_unlock(&limiter->lock);
        if (due_ns == 0)
            return 0;
        if (due_ns > deadline_ns)
            return -ETIMEDOUT;
        int rc = skua_sleep_until(due_ns);
        if (rc < 0)
            return rc;
    }
}

/* Takes @need units if nobody waits; else, if the caller @is_waiter, it is counted. */
static bool take_or_line_up(struct rate_limiter *limiter, uint64_t need, bool is_waiter)
{
    skua_vthread_point();
    skua_spin_lock(&limiter->lock);
    bool taken = limiter->waiting == 0 && take(limiter, need) == 0;
    if (!taken && is_waiter)
        limiter->waiting++; /* R2 */
    skua_spin_unlock(&limiter->lock);
    return taken;
}

int skua_rate_limiter_init(skua_rate_limiter *opaque, uint64_t rate, uint64_t period_ns,
                           uint64_t burst)
{
    struct rate_limiter *limiter = limiter_of(opaque);
    if (limiter == NULL || rate == 0 || period_ns == 0 || burst == 0 ||
        burst > CREDIT_MAX / period_ns)
        return -EINVAL;
    *limiter = (struct rate_limiter){.line = SKUA_MUTEX_INIT,
                                     .rate = rate,
                                     .period_ns = period_ns,
                                     .credit_max = burst * period_ns,
                                     .credit = burst * period_ns,
                                     .filled_ns = skua_now()};
    return 0;
}

/* Whether there is a limiter and @count fits; 0 with the units. */
static int units_of(const struct rate_limiter *limiter, uint64_t count, uint64_t *need)
{
    if (limiter == NULL || count > limiter->credit_max / limiter->period_ns)
        return -EINVAL;
    *need = count * limiter->period_ns;
    return 0;
}

int skua_rate_limiter_acquire_until(skua_rate_limiter *opaque, uint64_t count, uint64_t deadline_ns)
{
    struct rate_limiter *limiter = limiter_of(opaque);
    uint64_t need = 0;
    int rc = units_of(limiter, count, &need);
    if (rc < 0 || take_or_line_up(limiter, need, true))
        return rc;
    rc = skua_mutex_lock_until(&limiter->line, deadline_ns);
    bool has_line = rc == 0;
    if (has_line)
        rc = wait_for_tokens(limiter, need, deadline_ns);
    skua_spin_lock(&limiter->lock);
    skua_assert(limiter->waiting > 0);
    limiter->waiting--;
    skua_spin_unlock(&limiter->lock);
    if (has_line)
        (void)skua_mutex_unlock(&limiter->line);
    return rc;
}

int skua_rate_limiter_acquire(skua_rate_limiter *opaque, uint64_t count)
{
    return skua_rate_limiter_acquire_until(opaque, count, SKUA_FOREVER);
}

int skua_rate_limiter_try_acquire(skua_rate_limiter *opaque, uint64_t count)
{
    struct rate_limiter *limiter = limiter_of(opaque);
    uint64_t need = 0;
    int rc = units_of(limiter, count, &need);
    if (rc < 0)
        return rc;
    return take_or_line_up(limiter, need, false) ? 0 : -EAGAIN;
}
