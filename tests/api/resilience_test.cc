/*
 * Tests retries and circuit breakers of skua/resilience.h.
 */
#include "support/sim_kit.h"
#include "support/sync_kit.h"

#include <algorithm>
#include <atomic>

using namespace skua_test;

namespace
{

const uint64_t kMs = SKUA_NS_PER_MS;
const uint64_t kSec = SKUA_NS_PER_SEC;

/* ---- retry ----------------------------------------------------------------------------------- */

class Retry : public Sync
{
};

class RetryInTime : public Simulated
{
};

/* Fails until it has been called often enough; notes when it was. */
struct Flaky {
    int failures;
    intptr_t error = -EIO;
    std::vector<uint64_t> times{};

    static intptr_t run(void *self)
    {
        auto *flaky = static_cast<Flaky *>(self);
        flaky->times.push_back(skua_now());
        return flaky->times.size() <= static_cast<size_t>(flaky->failures) ? flaky->error : 42;
    }

    intptr_t retry(const skua_retry_options *options)
    {
        times.clear();
        return skua_retry(options, run, this);
    }

    std::vector<uint64_t> delays() const
    {
        std::vector<uint64_t> delays;
        for (size_t i = 1; i < times.size(); i++)
            delays.push_back((times[i] - times[i - 1]) / kMs);
        return delays;
    }
};

TEST_F(Retry, RefusesWhatItCannotDo)
{
    Flaky flaky{0};
    skua_retry_options options{};
    EXPECT_EQ(skua_retry(nullptr, nullptr, nullptr), -EINVAL);
    options.flags = 2;
    EXPECT_EQ(flaky.retry(&options), -EINVAL);
    options = {};
    options.reserved[3] = 1;
    EXPECT_EQ(flaky.retry(&options), -EINVAL);
    options = {};
    options.attempt_timeout_ns = 1;
    EXPECT_EQ(flaky.retry(&options), -EPERM);
    options = {};
    options.deadline_ns = 1;
    EXPECT_EQ(flaky.retry(&options), -ETIMEDOUT);
    EXPECT_TRUE(flaky.times.empty());
    skua_retry_budget budget;
    EXPECT_EQ(skua_retry_budget_init(nullptr, 1, 1), -EINVAL);
    EXPECT_EQ(skua_retry_budget_init(&budget, 101, 1), -EINVAL);
    EXPECT_EQ(skua_retry_budget_init(&budget, 1, 0), -EINVAL);
}

TEST_F(Retry, CallsUntilItSucceedsOnAThreadToo)
{
    skua_retry_options options{};
    options.delay_ns = kMs;
    options.attempts_max = 4;
    for (Where where : {Where::task, Where::executor, Where::foreignThread})
        runIn(where, [&] {
            for (int failures : {0, 1, 3}) {
                Flaky flaky{failures};
                EXPECT_EQ(flaky.retry(&options), 42);
                EXPECT_EQ(flaky.times.size(), static_cast<size_t>(failures) + 1);
            }
            Flaky hopeless{9};
            EXPECT_EQ(hopeless.retry(&options), -EIO);
            EXPECT_EQ(hopeless.times.size(), 4u);
        });
}

TEST_F(RetryInTime, DoublesTheDelayUpToALimit)
{
    runSimulated([] {
        Flaky flaky{99};
        skua_retry_options options{};
        options.flags = SKUA_RETRY_EXACT;
        EXPECT_EQ(flaky.retry(&options), -EIO);
        EXPECT_EQ(flaky.delays(), (std::vector<uint64_t>{100, 200}));
        options.attempts_max = 7;
        options.delay_ns = 50 * kMs;
        options.delay_max_ns = 300 * kMs;
        EXPECT_EQ(flaky.retry(&options), -EIO);
        EXPECT_EQ(flaky.delays(), (std::vector<uint64_t>{50, 100, 200, 300, 300, 300}));
        options.attempts_max = 80; /* no shift too far */
        EXPECT_EQ(flaky.retry(&options), -EIO);
        EXPECT_EQ(flaky.delays().back(), 300u);
    });
}

TEST_F(RetryInTime, JitterIsAnythingUpToTheDelay)
{
    std::vector<uint64_t> first, all;
    for (int round = 0; round < 2; round++) {
        all.clear();
        runSimulated([&] {
            Flaky flaky{99};
            skua_retry_options options{};
            options.attempts_max = 50;
            options.delay_ns = options.delay_max_ns = 1000 * kMs;
            EXPECT_EQ(flaky.retry(&options), -EIO);
            for (uint64_t delay : flaky.delays())
                all.push_back(delay);
        });
        if (round == 0)
            first = all;
    }
    EXPECT_EQ(first, all); /* a seed is an execution */
    ASSERT_EQ(all.size(), 5u * 49);
    EXPECT_LE(*std::max_element(all.begin(), all.end()), 1000u);
    EXPECT_GT(*std::max_element(all.begin(), all.end()), 900u);
    EXPECT_LT(*std::min_element(all.begin(), all.end()), 100u);
}

TEST_F(RetryInTime, AsksWhichErrorsMayPass)
{
    runSimulated([] {
        skua_retry_options options{};
        intptr_t fatal = -EACCES;
        options.is_retryable_arg = &fatal;
        options.is_retryable = [](intptr_t error, void *arg) {
            return error != *static_cast<intptr_t *>(arg);
        };
        for (intptr_t error : {intptr_t{-EACCES}, intptr_t{-EIO}, intptr_t{-ECANCELED}}) {
            Flaky flaky{9, error};
            EXPECT_EQ(flaky.retry(&options), error);
            EXPECT_EQ(flaky.times.size(), error == -EACCES ? 1u : 3u);
        }
        options.is_retryable = nullptr;
        Flaky cancelled{9, -ECANCELED};
        EXPECT_EQ(cancelled.retry(&options), -ECANCELED);
        EXPECT_EQ(cancelled.times.size(), 1u);
    });
}

TEST_F(RetryInTime, BeginsNothingAfterItsDeadline)
{
    runSimulated([] {
        Flaky flaky{99};
        uint64_t start = skua_now();
        skua_retry_options options{};
        options.flags = SKUA_RETRY_EXACT;
        options.attempts_max = 9;
        options.deadline_ns = start + 500 * kMs;
        EXPECT_EQ(flaky.retry(&options), -EIO);
        EXPECT_EQ(flaky.times.size(), 3u); /* at 0, 100, 300, and not at 700 */
        EXPECT_EQ(skua_now() - start, 300 * kMs);
    });
}

TEST_F(RetryInTime, ACancelEndsTheSleepAndIsNotRetried)
{
    runSimulated([] {
        skua_retry_options options{};
        options.flags = SKUA_RETRY_EXACT;
        options.delay_ns = 1000 * kMs;
        options.is_retryable = [](intptr_t, void *) { return true; };
        Flaky flaky{99};
        int sleeps = 0;
        auto sleep = [&]() -> intptr_t {
            sleeps++;
            return skua_sleep(kSec);
        };
        Tasks tasks;
        tasks.addAndLetWait([&] { return flaky.retry(&options); });
        tasks.addAndLetWait(
            [&] { return skua_retry(&options, callValue<decltype(sleep)>, &sleep); });
        for (size_t i : {0, 1}) {
            tasks.cancel(i);
            EXPECT_EQ(tasks.result(i), -ECANCELED);
        }
        EXPECT_EQ(flaky.times.size(), 1u);
        EXPECT_EQ(sleeps, 1);
    });
}

TEST_F(RetryInTime, AnAttemptThatTakesTooLongHasFailed)
{
    runSimulated([] {
        int calls = 0;
        auto slowAtFirst = [&]() -> intptr_t {
            int rc = skua_sleep(++calls < 3 ? 3600 * kSec : kMs);
            return rc < 0 ? rc : 42;
        };
        skua_retry_options options{};
        options.flags = SKUA_RETRY_EXACT;
        options.attempt_timeout_ns = 500 * kMs;
        uint64_t start = skua_now();
        EXPECT_EQ(skua_retry(&options, callValue<decltype(slowAtFirst)>, &slowAtFirst), 42);
        EXPECT_EQ(skua_now() - start, (500 + 100 + 500 + 200 + 1) * kMs);
        options.attempts_max = 2;
        calls = 0;
        EXPECT_EQ(skua_retry(&options, callValue<decltype(slowAtFirst)>, &slowAtFirst), -ETIMEDOUT);
    });
}

TEST_F(RetryInTime, ABudgetKeepsRetriesAShareOfTheCalls)
{
    runSimulated([] {
        skua_retry_budget budget;
        ASSERT_EQ(skua_retry_budget_init(&budget, 10, 5), 0);
        skua_retry_options options{};
        options.budget = &budget;
        size_t retries = 0;
        Tasks tasks;
        for (int i = 0; i < 200; i++)
            tasks.add([&]() -> intptr_t {
                Flaky flaky{99};
                EXPECT_EQ(flaky.retry(&options), -EIO);
                retries += flaky.times.size() - 1;
                return 0;
            });
        for (size_t i = 0; i < 200; i++)
            EXPECT_EQ(tasks.result(i), 0);
        EXPECT_LE(retries, 5u + 200 / 10);
        EXPECT_GE(retries, 20u);
        Flaky good{0}; /* those that succeed pay in */
        for (int i = 0; i < 20; i++)
            EXPECT_EQ(good.retry(&options), 42);
        Flaky once{1};
        EXPECT_EQ(once.retry(&options), 42);
    });
}

TEST_F(Retry, ABudgetHoldsForACrowd)
{
    skua_retry_budget budget;
    ASSERT_EQ(skua_retry_budget_init(&budget, 20, 10), 0);
    std::atomic<size_t> retries{0}, calls{0};
    runCrowd([&](unsigned) {
        skua_retry_options options{};
        options.budget = &budget;
        options.delay_ns = options.delay_max_ns = 1;
        for (int i = 0; i < rounds(100); i++) {
            Flaky flaky{99};
            EXPECT_EQ(flaky.retry(&options), -EIO);
            retries += flaky.times.size() - 1;
            calls++;
        }
    });
    EXPECT_LE(retries, 10 + calls / 5);
    EXPECT_GE(retries, calls / 5);
}

/* ---- circuit breaker ------------------------------------------------------------------------- */

class Breaker : public Sync
{
};

class BreakerInTime : public Simulated
{
};

/* A breaker and a service that does what it is told. */
struct Guarded {
    skua_breaker breaker;
    intptr_t outcome = -EIO;
    int calls = 0;

    explicit Guarded(const skua_breaker_options &options)
    {
        EXPECT_EQ(skua_breaker_init(&breaker, &options), 0);
    }

    static intptr_t run(void *self)
    {
        auto *guarded = static_cast<Guarded *>(self);
        guarded->calls++;
        return guarded->outcome;
    }

    intptr_t call(intptr_t result)
    {
        outcome = result;
        return skua_breaker_call(&breaker, run, this);
    }

    uint64_t before()
    {
        uint64_t ticket = 0;
        EXPECT_EQ(skua_breaker_before(&breaker, &ticket), 0);
        return ticket;
    }

    bool refuses()
    {
        uint64_t ticket = 77;
        return skua_breaker_before(&breaker, &ticket) == -EHOSTDOWN && ticket == 77;
    }

    void after(uint64_t ticket, intptr_t result)
    {
        EXPECT_EQ(skua_breaker_after(&breaker, ticket, result), 0);
    }

    skua_breaker_state_kind state() const
    {
        return skua_breaker_state(&breaker);
    }
};

skua_breaker_options threeFailures()
{
    skua_breaker_options options{};
    options.failures_max = 3;
    options.window_ns = 8 * kSec;
    options.open_ns = kSec;
    return options;
}

TEST_F(Breaker, RefusesWhatItCannotDo)
{
    skua_breaker breaker;
    skua_breaker_options options{};
    uint64_t ticket = 0;
    EXPECT_EQ(skua_breaker_init(nullptr, nullptr), -EINVAL);
    options.failure_percent = 101;
    EXPECT_EQ(skua_breaker_init(&breaker, &options), -EINVAL);
    options = {};
    options.reserved[0] = 1;
    EXPECT_EQ(skua_breaker_init(&breaker, &options), -EINVAL);
    EXPECT_EQ(skua_breaker_init(&breaker, nullptr), 0);
    EXPECT_EQ(skua_breaker_call(&breaker, nullptr, nullptr), -EINVAL);
    EXPECT_EQ(skua_breaker_call(nullptr, Guarded::run, nullptr), -EINVAL);
    EXPECT_EQ(skua_breaker_before(nullptr, &ticket), -EINVAL);
    EXPECT_EQ(skua_breaker_before(&breaker, nullptr), -EINVAL);
    EXPECT_EQ(skua_breaker_after(nullptr, 0, 0), -EINVAL);
    EXPECT_EQ(skua_breaker_state(nullptr), SKUA_BREAKER_CLOSED);
}

TEST_F(BreakerInTime, OpensAfterFailuresAndClosesAfterAProbe)
{
    runSimulated([] {
        Guarded guarded(threeFailures());
        EXPECT_EQ(guarded.call(-EIO), -EIO);
        EXPECT_EQ(guarded.call(7), 7); /* within the window, not in a row */
        EXPECT_EQ(guarded.call(-EIO), -EIO);
        EXPECT_EQ(guarded.state(), SKUA_BREAKER_CLOSED);
        EXPECT_EQ(guarded.call(-EIO), -EIO);
        EXPECT_EQ(guarded.state(), SKUA_BREAKER_OPEN);
        EXPECT_EQ(guarded.call(7), -EHOSTDOWN);
        EXPECT_EQ(guarded.calls, 4);

        EXPECT_EQ(skua_sleep(999 * kMs), 0);
        EXPECT_EQ(guarded.call(7), -EHOSTDOWN);
        EXPECT_EQ(skua_sleep(kMs), 0);
        EXPECT_EQ(guarded.state(), SKUA_BREAKER_HALF_OPEN);
        EXPECT_EQ(guarded.call(-EIO), -EIO); /* one failure is enough */
        EXPECT_EQ(guarded.call(7), -EHOSTDOWN);
        EXPECT_EQ(skua_sleep(kSec), 0);
        EXPECT_EQ(guarded.call(7), 7);
        EXPECT_EQ(guarded.state(), SKUA_BREAKER_CLOSED);
        EXPECT_EQ(guarded.call(-EIO), -EIO); /* it begins anew */
        EXPECT_EQ(guarded.call(-EIO), -EIO);
        EXPECT_EQ(guarded.state(), SKUA_BREAKER_CLOSED);
    });
}

TEST_F(BreakerInTime, ForgetsWhatIsOlderThanTheWindow)
{
    runSimulated([] {
        Guarded guarded(threeFailures());
        for (int i = 0; i < 20; i++) {
            EXPECT_EQ(guarded.call(-EIO), -EIO);
            EXPECT_EQ(skua_sleep(4500 * kMs), 0);
        }
        EXPECT_EQ(guarded.call(-EIO), -EIO);
        EXPECT_EQ(guarded.state(), SKUA_BREAKER_CLOSED);
        EXPECT_EQ(guarded.call(-EIO), -EIO);
        EXPECT_EQ(guarded.state(), SKUA_BREAKER_OPEN);
    });
}

TEST_F(BreakerInTime, OpensAtAShareOfFailuresOfEnoughCalls)
{
    runSimulated([] {
        skua_breaker_options options{};
        options.failure_percent = 50;
        Guarded few(options);
        for (int i = 0; i < 9; i++)
            EXPECT_EQ(few.call(-EIO), -EIO);
        EXPECT_EQ(few.state(), SKUA_BREAKER_CLOSED);
        EXPECT_EQ(few.call(-EIO), -EIO);
        EXPECT_EQ(few.state(), SKUA_BREAKER_OPEN);
        Guarded mixed(options);
        for (int i = 0; i < 100; i++)
            EXPECT_NE(mixed.call(i % 5 > 2 ? -EIO : 0), -EHOSTDOWN);
        EXPECT_EQ(mixed.state(), SKUA_BREAKER_CLOSED);
        for (int i = 0; mixed.state() == SKUA_BREAKER_CLOSED; i++) {
            ASSERT_LT(i, 21); /* of 120, 60 */
            EXPECT_EQ(mixed.call(-EIO), -EIO);
        }
    });
}

TEST_F(BreakerInTime, LetsAFewProbesThroughAllOfWhichMustSucceed)
{
    runSimulated([] {
        skua_breaker_options options = threeFailures();
        options.probes_max = 2;
        Guarded guarded(options);
        for (int i = 0; i < 3; i++)
            EXPECT_EQ(guarded.call(-EIO), -EIO);
        EXPECT_EQ(skua_sleep(kSec), 0);
        uint64_t one = guarded.before(), other = guarded.before();
        EXPECT_TRUE(guarded.refuses());
        guarded.after(one, -ECANCELED); /* tells nothing: another may go in its place */
        EXPECT_EQ(guarded.state(), SKUA_BREAKER_HALF_OPEN);
        one = guarded.before();
        EXPECT_TRUE(guarded.refuses());
        guarded.after(one, 0);
        EXPECT_EQ(guarded.state(), SKUA_BREAKER_HALF_OPEN);
        EXPECT_TRUE(guarded.refuses());
        guarded.after(other, 0);
        EXPECT_EQ(guarded.state(), SKUA_BREAKER_CLOSED);
    });
}

TEST_F(BreakerInTime, IgnoresWhatCallsOfAnotherTimeTell)
{
    runSimulated([] {
        Guarded guarded(threeFailures());
        uint64_t slow = guarded.before(), slower = guarded.before();
        for (int i = 0; i < 3; i++)
            EXPECT_EQ(guarded.call(-EIO), -EIO);
        guarded.after(slow, 0);
        EXPECT_EQ(guarded.state(), SKUA_BREAKER_OPEN);
        EXPECT_EQ(skua_sleep(kSec), 0);
        uint64_t probe = guarded.before();
        guarded.after(slower, -EIO);
        EXPECT_EQ(guarded.state(), SKUA_BREAKER_HALF_OPEN);
        EXPECT_TRUE(guarded.refuses());
        guarded.after(probe, 0);
        EXPECT_EQ(guarded.state(), SKUA_BREAKER_CLOSED);
    });
}

TEST_F(Breaker, AsksWhatIsAFailure)
{
    skua_breaker_options options = threeFailures();
    options.is_failure = [](intptr_t result, void *arg) {
        return result == *static_cast<intptr_t *>(arg);
    };
    intptr_t unavailable = 503;
    options.is_failure_arg = &unavailable;
    Guarded guarded(options);
    for (int i = 0; i < 9; i++)
        EXPECT_EQ(guarded.call(-ENOENT), -ENOENT);
    for (int i = 0; i < 3; i++)
        EXPECT_EQ(guarded.call(503), 503);
    EXPECT_EQ(guarded.call(200), -EHOSTDOWN);
}

TEST_F(Breaker, ProbesAreFewForACrowdToo)
{
    skua_breaker_options options{};
    options.failures_max = 1;
    options.probes_max = 2;
    options.open_ns = 20 * SKUA_NS_PER_US;
    skua_breaker breaker;
    ASSERT_EQ(skua_breaker_init(&breaker, &options), 0);
    uint64_t ticket = 0;
    ASSERT_EQ(skua_breaker_before(&breaker, &ticket), 0);
    ASSERT_EQ(skua_breaker_after(&breaker, ticket, -EIO), 0);
    std::atomic<int> inside{0}, probes{0};
    runCrowd([&](unsigned) { /* all probes tell nothing, so it stays half open */
                             for (int i = 0; i < rounds(300); i++) {
                                 uint64_t own = 0;
                                 if (skua_breaker_before(&breaker, &own) == 0) {
                                     EXPECT_LE(++inside, 2);
                                     probes++;
                                     skua_yield();
                                     inside--;
                                     EXPECT_EQ(skua_breaker_after(&breaker, own, -ECANCELED), 0);
                                 } else {
                                     skua_yield();
                                 }
                             }
    });
    EXPECT_GT(probes, 0);
}

} /* namespace */
