/*
 * sync/retry.c - calling again, later each time, as long as there is a budget for it.
 *
 * BUDGET  The balance counts hundredths of a retry. It is one atomic word that orders nothing: all
 *         of its operations are relaxed, since what is decided by it concerns the caller alone.
 */
#include "base/compiler.h"
#include "platform/vthread.h"

#include <skua/resilience.h>
#include <skua/scope.h>
#include <skua/task.h>
#include <skua/time.h>

#include <errno.h>

#define ATTEMPTS_MAX 3u
#define DELAY_NS (100 * SKUA_NS_PER_MS)
#define DELAY_MAX_NS (10 * SKUA_NS_PER_SEC)
#define RETRY 100u /* in the balance of a budget */

struct budget {
    _Atomic uint64_t balance;
    uint64_t balance_max; /* constant, as what follows */
    uint64_t deposit;
};

_Static_assert(sizeof(struct budget) <= sizeof(skua_retry_budget),
               "skua_retry_budget is its opaque storage");

static struct budget *budget_of(skua_retry_budget *opaque)
{
    return (struct budget *)(void *)opaque;
}

int skua_retry_budget_init(skua_retry_budget *opaque, unsigned percent, unsigned burst)
{
    struct budget *budget = budget_of(opaque);
    if (budget == NULL || percent > 100 || burst == 0)
        return -EINVAL;
    budget->balance_max = (uint64_t)burst * RETRY;
    budget->deposit = percent;
    atomic_init(&budget->balance, budget->balance_max);
    return 0;
}

static void pay_in(struct budget *budget)
{
    uint64_t next, balance = atomic_load_explicit(&budget->balance, memory_order_relaxed);
    do
        next = skua_min(balance + budget->deposit, budget->balance_max);
    while (!atomic_compare_exchange_weak_explicit(&budget->balance, &balance, next,
                                                  memory_order_relaxed, memory_order_relaxed));
}

static bool take_retry(struct budget *budget)
{
    uint64_t balance = atomic_load_explicit(&budget->balance, memory_order_relaxed);
    do {
        if (balance < RETRY)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&budget->balance, &balance, balance - RETRY,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

/* 62 random bits: the simulator's, or the next of splitmix64 from *@state, the call's own. */
static uint64_t random_bits(uint64_t *state)
{
    if (skua_vthread_simulated()) {
        uint64_t high = skua_vthread_random(1u << 31);
        return high << 31 | skua_vthread_random(1u << 31);
    }
    uint64_t bits = *state += UINT64_C(0x9e3779b97f4a7c15);
    bits = (bits ^ bits >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    bits = (bits ^ bits >> 27) * UINT64_C(0x94d049bb133111eb);
    return (bits ^ bits >> 31) >> 2;
}

/* Before retry @number, counted from 0. */
static uint64_t delay_before(const skua_retry_options *options, unsigned number, uint64_t *state)
{
    uint64_t longest_ns = options->delay_max_ns != 0 ? options->delay_max_ns : DELAY_MAX_NS;
    uint64_t delay_ns = options->delay_ns != 0 ? options->delay_ns : DELAY_NS;
    /* A shift that lost bits would come out too small. */
    delay_ns = number < 64 && delay_ns <= longest_ns >> number ? delay_ns << number : longest_ns;
    if (options->flags & SKUA_RETRY_EXACT)
        return delay_ns;
    uint64_t bits = random_bits(state);
    return delay_ns == UINT64_MAX ? bits : bits % (delay_ns + 1);
}

/* Whether another attempt could help. */
static bool is_retryable(const skua_retry_options *options, intptr_t error)
{
    if (error == -ECANCELED && skua_cancelled())
        return false;
    if (options->is_retryable != NULL)
        return options->is_retryable(error, options->is_retryable_arg);
    return error != -ECANCELED;
}

static bool is_bad(const skua_retry_options *options)
{
    uint64_t reserved = 0;
    for (size_t i = 0; i < sizeof(options->reserved) / sizeof(options->reserved[0]); i++)
        reserved |= options->reserved[i];
    return reserved != 0 || (options->flags & ~SKUA_RETRY_EXACT) != 0;
}

static intptr_t retry(const skua_retry_options *options, skua_fn fn, void *arg)
{
    unsigned attempts_max = options->attempts_max != 0 ? options->attempts_max : ATTEMPTS_MAX;
    uint64_t deadline_ns = options->deadline_ns != 0 ? options->deadline_ns : SKUA_FOREVER;
    struct budget *budget = budget_of(options->budget);
    uint64_t state = skua_now() ^ (uint64_t)(uintptr_t)&state << 16;
    if (skua_now() > deadline_ns)
        return -ETIMEDOUT;
    skua_vthread_point();
    if (budget != NULL)
        pay_in(budget);
    for (unsigned retries = 0;; retries++) {
        intptr_t result = options->attempt_timeout_ns != 0
                              ? skua_timeout(options->attempt_timeout_ns, fn, arg)
                              : fn(arg);
        if (!SKUA_IS_ERROR(result) || retries == attempts_max - 1 || !is_retryable(options, result))
            return result;
        uint64_t due_ns = skua_after(delay_before(options, retries, &state));
        /* The budget last: who gives up for another reason leaves it alone. */
        if (due_ns > deadline_ns || (budget != NULL && !take_retry(budget)))
            return result;
        int rc = skua_sleep_until(due_ns);
        if (rc < 0)
            return rc;
    }
}

intptr_t skua_retry(const skua_retry_options *options, skua_fn fn, void *arg)
{
    static const skua_retry_options defaults = {0};
    if (options == NULL)
        options = &defaults;
    if (fn == NULL || is_bad(options))
        return -EINVAL;
    if (options->attempt_timeout_ns != 0 && skua_self() == NULL)
        return -EPERM;
    return retry(options, fn, arg);
}
