/*
 * skua/resilience.h - calls to what may be slow, busy or broken: no more than so many a second, one
 * for all who ask the same, again if it failed, and not at all while it is known to be down.
 *
 * All of it is for tasks and threads alike: a task that waits parks, a thread blocks. No lock is
 * held while a function of the caller's runs. skua/pool.h has pools of connections and the like.
 *
 * They go together: a breaker inside a retry, so that the retry sees the breaker's refusals, a
 * limiter inside both, so that every attempt counts, and a single flight around all.
 */
#ifndef SKUA_RESILIENCE_H
#define SKUA_RESILIENCE_H

#include <skua/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- rate limiter ---------------------------------------------------------------------------- */

/*
 * A token bucket: it holds @burst tokens, fills evenly, and whoever wants to go on takes some out.
 * In the caller's memory; nothing to give back, but it must not go away while somebody uses it.
 */
typedef struct skua_rate_limiter {
    uint64_t opaque[12];
} skua_rate_limiter;

/**
 * Makes a limiter, full, that gets @rate tokens in each @period_ns.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Units: @period_ns is relative: SKUA_NS_PER_SEC for a rate per second.
 * Returns: 0; -EINVAL (@limiter NULL, a number 0, @burst * @period_ns over 2^62).
 * Source: golang.org/x/time/rate; ITU-T I.371, the generic cell rate algorithm.
 */
SKUA_API int skua_rate_limiter_init(skua_rate_limiter *limiter, uint64_t rate, uint64_t period_ns,
                                    uint64_t burst);

/**
 * Takes @count tokens, waiting as long as it takes; in order of arrival, whatever the counts.
 *
 * Context: any. A task on a worker parks; any other thread blocks.
 * Cancellation: a wait returns -ECANCELED. No tokens are taken then, and those behind move up.
 * Returns: 0 with the tokens; -ECANCELED; -EINVAL if @limiter is NULL or @count over its burst;
 *   -ENOMEM if the timer could not be stored; -ECHILD in a forked child.
 */
SKUA_API int skua_rate_limiter_acquire(skua_rate_limiter *limiter, uint64_t count);

/**
 * Takes @count tokens, waiting until @deadline_ns. The first in the line does not wait for tokens
 * that will come later than that, and returns at once.
 *
 * Context: any. A task on a worker parks; any other thread blocks.
 * Cancellation: as skua_rate_limiter_acquire().
 * Units: @deadline_ns is absolute, on the clock of skua_now(); SKUA_FOREVER never passes.
 * Returns: as skua_rate_limiter_acquire(); -ETIMEDOUT, without tokens.
 */
SKUA_API int skua_rate_limiter_acquire_until(skua_rate_limiter *limiter, uint64_t count,
                                             uint64_t deadline_ns);

/**
 * Takes @count tokens if they are there and nobody waits.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0 with the tokens; -EAGAIN; -EINVAL as skua_rate_limiter_acquire().
 */
SKUA_API int skua_rate_limiter_try_acquire(skua_rate_limiter *limiter, uint64_t count);

/* ---- single flight --------------------------------------------------------------------------- */

/*
 * Calls with the same key that come while one of them runs do not run, but get its result. All zero
 * is ready for use. In the caller's memory; nothing to give back, but it must not go away while
 * somebody uses it.
 */
typedef struct skua_single_flight {
    uint64_t opaque[17];
} skua_single_flight;

/**
 * Calls @fn(@arg), or waits for the result of a call with the same key that is running: its error
 * too. The next call after that has returned runs again.
 *
 * Who runs @fn and is cancelled hands over, if -ECANCELED is all that @fn returned: the one who has
 * waited longest calls his own @fn, and the others wait on.
 *
 * Context: any. A task on a worker parks; any other thread blocks. @fn must not call this with the
 *   same key.
 * Cancellation: who waits returns -ECANCELED, and the others do not notice; a result that is there
 *   beats the cancel. @fn is called by the caller, and sees the caller's cancels.
 * Ownership: @key is copied. If the result stands for something that is to be given back, all of
 *   those who get it have to agree on who does.
 * Returns: the result of @fn, with *@is_shared telling whether another caller's @fn it was
 *   (@is_shared may be NULL); -ECANCELED; -EINVAL (@flight, @fn or @key NULL; @key may be NULL if
 *   its size is 0); -EDEADLK if @fn's own task asks again; -ENOMEM; -ECHILD in a forked child.
 * Source: golang.org/x/sync/singleflight.
 */
SKUA_API intptr_t skua_single_flight_call(skua_single_flight *flight, const void *key,
                                          size_t key_size, skua_fn fn, void *arg, bool *is_shared);

/* ---- retry ----------------------------------------------------------------------------------- */

/*
 * What retries of many callers have in common: each call pays a share of a retry in, each retry
 * takes a whole one out. When everything fails, retries stay that share of the calls, instead of
 * multiplying them. In the caller's memory; nothing to give back.
 */
typedef struct skua_retry_budget {
    uint64_t opaque[4];
} skua_retry_budget;

/**
 * Makes a budget of @burst retries, which is also the most it holds, to which each call adds
 * @percent hundredths of one. Of N calls there are at most @burst + N * @percent / 100 retries.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0; -EINVAL (@budget NULL, @percent over 100, @burst 0).
 * Source: Finagle's RetryBudget; gRPC's retry throttling.
 */
SKUA_API int skua_retry_budget_init(skua_retry_budget *budget, unsigned percent, unsigned burst);

/* The delays are as they are computed, without jitter. */
#define SKUA_RETRY_EXACT 1u

/* How to retry. Zero-initialise; zero means default everywhere. */
typedef struct skua_retry_options {
    unsigned attempts_max;       /* with the first; default 3 */
    unsigned flags;              /* SKUA_RETRY_... */
    uint64_t delay_ns;           /* before the first retry; doubles each time; default 100 ms */
    uint64_t delay_max_ns;       /* default 10 s */
    uint64_t attempt_timeout_ns; /* of each attempt, in a task; default 0: none */
    uint64_t deadline_ns;        /* absolute; no attempt is begun after it; default 0: none */
    /* Whether an error may pass; default NULL: all but -ECANCELED do. */
    bool (*is_retryable)(intptr_t error, void *arg);
    void *is_retryable_arg;
    skua_retry_budget *budget; /* default NULL: no limit but attempts_max */
    uint64_t reserved[4];      /* zero */
} skua_retry_options;

/**
 * Calls @fn(@arg) until its result is no error, at most options->attempts_max times, and sleeps in
 * between. @options may be NULL.
 *
 * Before retry n it sleeps for a random time from 0 to delay_ns * 2^(n-1), at most delay_max_ns
 * ("full jitter": those who failed together do not come again together). In a simulation its random
 * numbers decide; otherwise a generator of the call's own, seeded from clock and stack.
 *
 * It gives up early, with the last error, if that is not retryable, if the budget is used up, or if
 * the deadline would pass during the sleep.
 *
 * Context: any; with attempt_timeout_ns a task. A task on a worker parks; any other thread blocks.
 * Cancellation: the sleep returns -ECANCELED; a -ECANCELED of @fn is returned at once if the caller
 *   is cancelled. An attempt sees the caller's cancels and, as -ECANCELED, the end of its timeout.
 * Returns: the result of the last attempt, -ETIMEDOUT if it took too long; -ETIMEDOUT too if the
 *   deadline had passed before the first; -ECANCELED; -EINVAL (@fn NULL, unknown flag, nonzero
 *   reserved field); -EPERM (attempt_timeout_ns outside a task); -ENOMEM if a timer could not be
 *   stored.
 * Source: M. Brooker, Exponential backoff and jitter (AWS architecture blog, 2015).
 */
SKUA_API intptr_t skua_retry(const skua_retry_options *options, skua_fn fn, void *arg);

/* ---- circuit breaker ------------------------------------------------------------------------- */

/* Closed: calls are made. Open: they are refused. Half open: a few are made, to see. */
typedef enum skua_breaker_state_kind {
    SKUA_BREAKER_CLOSED = 0,
    SKUA_BREAKER_OPEN,
    SKUA_BREAKER_HALF_OPEN
} skua_breaker_state_kind;

/* How to make a breaker. Zero-initialise; zero means default everywhere. */
typedef struct skua_breaker_options {
    unsigned failures_max;    /* so many within the window open it; default 5, or with a
                                 failure_percent: none */
    unsigned failure_percent; /* such a share of the calls within the window too; default 0: none */
    unsigned calls_min;       /* so many calls it takes for a share; default 10 */
    unsigned probes_max;      /* calls in half-open state, all of which must succeed; default 1 */
    uint64_t window_ns;       /* what is older does not count; to an eighth; default 10 s */
    uint64_t open_ns;         /* how long it stays open; default 5 s */
    /* Whether a result counts as a failure; default NULL: errors but -ECANCELED do. */
    bool (*is_failure)(intptr_t result, void *arg);
    void *is_failure_arg;
    uint64_t reserved[4]; /* zero */
} skua_breaker_options;

/*
 * Counts failures of something, and while there are too many refuses to try. In the caller's
 * memory; nothing to give back, but it must not go away while somebody uses it.
 */
typedef struct skua_breaker {
    uint64_t opaque[24];
} skua_breaker;

/**
 * Makes a closed breaker. @options may be NULL.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0; -EINVAL (@breaker NULL, failure_percent over 100, nonzero reserved field).
 * Source: M. Nygard, Release It! (2007); Hystrix; resilience4j.
 */
SKUA_API int skua_breaker_init(skua_breaker *breaker, const skua_breaker_options *options);

/**
 * Calls @fn(@arg) if the breaker lets it, and counts the result. A call that was cancelled, with
 * the result -ECANCELED, tells nothing, unless is_failure says that it does.
 *
 * Context: as @fn.
 * Cancellation: @fn sees the caller's cancels.
 * Returns: the result of @fn; -EHOSTDOWN if the breaker is open, or half open with as many calls as
 *   it may have; -EINVAL if @breaker or @fn is NULL.
 */
SKUA_API intptr_t skua_breaker_call(skua_breaker *breaker, skua_fn fn, void *arg);

/**
 * Asks whether a call may be made; after it skua_breaker_after() must be called. A half-open
 * breaker waits for it without end: give a probe a timeout.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0 with a ticket for skua_breaker_after() in *@ticket; -EHOSTDOWN; -EINVAL if an argument
 *   is NULL. On error *@ticket is untouched.
 */
SKUA_API int skua_breaker_before(skua_breaker *breaker, uint64_t *ticket);

/**
 * Tells what came of a call. One that began before the breaker last changed its state is ignored.
 *
 * Context: any; never waits; may call is_failure.
 * Cancellation: not a cancellation point.
 * Returns: 0; -EINVAL if @breaker is NULL.
 */
SKUA_API int skua_breaker_after(skua_breaker *breaker, uint64_t ticket, intptr_t result);

/**
 * The state, which may have changed by the time the caller looks at the answer.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: the state; SKUA_BREAKER_HALF_OPEN as soon as the next call would be a probe;
 *   SKUA_BREAKER_CLOSED if @breaker is NULL.
 */
SKUA_API skua_breaker_state_kind skua_breaker_state(const skua_breaker *breaker);

#ifdef __cplusplus
}
#endif

#endif /* SKUA_RESILIENCE_H */
