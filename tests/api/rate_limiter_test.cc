/*
 * Tests the rate limiter of skua/resilience.h: how many in which time, order, giving up.
 */
#include "support/sim_kit.h"
#include "support/sync_kit.h"

#include <atomic>

using namespace skua_test;

namespace
{

class RateLimiter : public Sync
{
};

class RateLimiterInTime : public Simulated
{
};

const uint64_t kMs = SKUA_NS_PER_MS;

/* A limiter that gets a token each 100 ms, with nothing in it. */
struct Drained {
    skua_rate_limiter limiter;
    uint64_t start;

    explicit Drained(uint64_t burst)
    {
        EXPECT_EQ(skua_rate_limiter_init(&limiter, 10, SKUA_NS_PER_SEC, burst), 0);
        EXPECT_EQ(skua_rate_limiter_acquire(&limiter, burst), 0);
        start = skua_now();
    }

    uint64_t passed() const
    {
        return skua_now() - start;
    }

    /* Takes @count, which must be there @ms after the start. */
    intptr_t acquireAt(uint64_t count, uint64_t ms)
    {
        EXPECT_EQ(skua_rate_limiter_acquire(&limiter, count), 0);
        EXPECT_EQ(passed(), ms * kMs);
        return 0;
    }
};

TEST_F(RateLimiter, RefusesWhatItCannotDo)
{
    skua_rate_limiter limiter;
    EXPECT_EQ(skua_rate_limiter_init(nullptr, 1, 1, 1), -EINVAL);
    EXPECT_EQ(skua_rate_limiter_init(&limiter, 0, 1, 1), -EINVAL);
    EXPECT_EQ(skua_rate_limiter_init(&limiter, 1, 0, 1), -EINVAL);
    EXPECT_EQ(skua_rate_limiter_init(&limiter, 1, 1, 0), -EINVAL);
    EXPECT_EQ(skua_rate_limiter_init(&limiter, 1, UINT64_C(1) << 61, 3), -EINVAL);
    EXPECT_EQ(skua_rate_limiter_init(&limiter, UINT64_MAX, UINT64_C(1) << 61, 2), 0);
    EXPECT_EQ(skua_rate_limiter_init(&limiter, 1, 3600 * SKUA_NS_PER_SEC, 5), 0);
    EXPECT_EQ(skua_rate_limiter_acquire(&limiter, 6), -EINVAL);
    EXPECT_EQ(skua_rate_limiter_try_acquire(&limiter, 6), -EINVAL);
    EXPECT_EQ(skua_rate_limiter_acquire(nullptr, 1), -EINVAL);
    EXPECT_EQ(skua_rate_limiter_acquire_until(nullptr, 1, 0), -EINVAL);
    EXPECT_EQ(skua_rate_limiter_try_acquire(nullptr, 1), -EINVAL);
    EXPECT_EQ(skua_rate_limiter_acquire_until(&limiter, 5, 0), 0);
    EXPECT_EQ(skua_rate_limiter_acquire(&limiter, 0), 0);
    EXPECT_EQ(skua_rate_limiter_try_acquire(&limiter, 1), -EAGAIN);
    EXPECT_EQ(skua_rate_limiter_acquire_until(&limiter, 1, 0), -ETIMEDOUT);
}

TEST_F(RateLimiterInTime, GivesABurstAtOnceAndThenEvenly)
{
    runSimulated([] {
        Drained drained(5);
        for (uint64_t i = 1; i <= 20; i++)
            drained.acquireAt(1, i * 100);
        EXPECT_EQ(skua_sleep(3600 * SKUA_NS_PER_SEC), 0); /* no more than a burst comes together */
        EXPECT_EQ(skua_rate_limiter_try_acquire(&drained.limiter, 5), 0);
        EXPECT_EQ(skua_rate_limiter_try_acquire(&drained.limiter, 1), -EAGAIN);
    });
}

TEST_F(RateLimiterInTime, DoesNotDrift)
{
    runSimulated(
        [] {
            skua_rate_limiter limiter;
            ASSERT_EQ(skua_rate_limiter_init(&limiter, 7, SKUA_NS_PER_SEC, 2), 0);
            uint64_t start = skua_now();
            for (int i = 0; i < 2 + 7 * 300; i++)
                ASSERT_EQ(skua_rate_limiter_acquire(&limiter, 1), 0);
            EXPECT_EQ(skua_now() - start, 300 * SKUA_NS_PER_SEC);
        },
        1);
}

TEST_F(RateLimiterInTime, KeepsTheOrderWhateverTheCounts)
{
    runSimulated([] {
        Drained drained(5);
        Tasks tasks;
        tasks.addAndLetWait([&] { return drained.acquireAt(5, 500); });
        tasks.addAndLetWait([&] { return drained.acquireAt(1, 600); });
        tasks.addAndLetWait([&] { return drained.acquireAt(2, 800); });
        EXPECT_EQ(skua_sleep(200 * kMs), 0);
        EXPECT_EQ(skua_rate_limiter_try_acquire(&drained.limiter, 1), -EAGAIN); /* two are there */
        for (size_t i = 0; i < tasks.count(); i++)
            EXPECT_EQ(tasks.result(i), 0);
    });
}

TEST_F(RateLimiterInTime, WhoIsCancelledTakesNothingAndThoseBehindMoveUp)
{
    runSimulated([] {
        Drained drained(5);
        Tasks tasks;
        tasks.addAndLetWait([&] { return skua_rate_limiter_acquire(&drained.limiter, 5); });
        tasks.addAndLetWait([&] { return skua_rate_limiter_acquire(&drained.limiter, 4); });
        tasks.addAndLetWait([&] { return drained.acquireAt(2, 250); });
        tasks.addAndLetWait([&] { return drained.acquireAt(1, 300); });
        EXPECT_EQ(skua_sleep_until(drained.start + 150 * kMs), 0);
        tasks.cancel(1);
        EXPECT_EQ(tasks.result(1), -ECANCELED);
        EXPECT_EQ(drained.passed(), 150 * kMs);
        EXPECT_EQ(skua_sleep_until(drained.start + 250 * kMs), 0);
        tasks.cancel(0);
        EXPECT_EQ(tasks.result(0), -ECANCELED);
        EXPECT_EQ(tasks.result(2), 0);
        EXPECT_EQ(tasks.result(3), 0);
    });
}

TEST_F(RateLimiterInTime, GivesUpAtItsDeadlineOrWhenItIsHopeless)
{
    runSimulated([] {
        Drained drained(5);
        auto until = [&](uint64_t count, uint64_t ms) -> intptr_t {
            return skua_rate_limiter_acquire_until(&drained.limiter, count,
                                                   drained.start + ms * kMs);
        };
        EXPECT_EQ(until(1, 99), -ETIMEDOUT); /* the first in the line knows */
        EXPECT_EQ(drained.passed(), 0u);
        EXPECT_EQ(until(1, 100), 0);
        EXPECT_EQ(drained.passed(), 100 * kMs);
        Tasks tasks;
        tasks.addAndLetWait([&] { return drained.acquireAt(3, 400); });
        tasks.addAndLetWait([&] { return until(5, 200); });
        tasks.addAndLetWait([&] { return until(2, 600); });
        EXPECT_EQ(tasks.result(1), -ETIMEDOUT);
        EXPECT_EQ(drained.passed(), 200 * kMs);
        EXPECT_EQ(tasks.result(0), 0);
        EXPECT_EQ(tasks.result(2), 0);
        EXPECT_EQ(drained.passed(), 600 * kMs);
    });
}

TEST_F(RateLimiterInTime, LetsNoMoreThroughThanItShouldWhoeverGivesUp)
{
    runSimulated(
        [] {
            Drained drained(4);
            Tasks tasks;
            std::atomic<uint64_t> taken{0};
            for (int i = 0; i < 12; i++)
                tasks.add([&, i]() -> intptr_t {
                    for (int n = 0; i < 6 ? !skua_cancelled() : n < 6; n++) {
                        uint64_t count = 1 + skua_sim_random(4);
                        uint64_t deadline = skua_after(skua_sim_random(5000) * kMs);
                        if (skua_rate_limiter_acquire_until(&drained.limiter, count, deadline) == 0)
                            taken += count;
                    }
                    return 0;
                });
            for (int i = 0; i < 6; i++) {
                EXPECT_EQ(skua_sleep(skua_sim_random(3000) * kMs), 0);
                tasks.cancel(static_cast<size_t>(i));
            }
            for (size_t i = 0; i < tasks.count(); i++)
                (void)tasks.result(i);
            EXPECT_LE(taken * 100 * kMs, drained.passed());
            EXPECT_GT(taken, 0u);
            EXPECT_EQ(skua_sleep(400 * kMs), 0);
            EXPECT_EQ(skua_rate_limiter_try_acquire(&drained.limiter, 4), 0); /* nobody waits */
        },
        20);
}

TEST_F(RateLimiter, HoldsForTasksJobsAndThreadsTogether)
{
    const unsigned times = 20;
    const uint64_t rate = 50000, burst = 10;
    skua_rate_limiter limiter;
    std::atomic<uint64_t> taken{0};
    uint64_t start = skua_now();
    ASSERT_EQ(skua_rate_limiter_init(&limiter, rate, SKUA_NS_PER_SEC, burst), 0);
    runCrowd([&](unsigned who) {
        for (unsigned i = 0; i < times; i++) {
            uint64_t count = 1 + (who + i) % 3;
            if (skua_rate_limiter_acquire_until(
                    &limiter, count, i % 4 == 0 ? soon(static_cast<int>(i)) : SKUA_FOREVER) == 0)
                taken += count;
        }
    });
    uint64_t passed = skua_now() - start;
    EXPECT_GE(passed * rate / SKUA_NS_PER_SEC + burst, taken);
    EXPECT_GT(taken, burst);
}

TEST_F(RateLimiter, CancelledTasksLeaveNobodyInTheLine)
{
    skua_rate_limiter limiter;
    ASSERT_EQ(skua_rate_limiter_init(&limiter, 100000, SKUA_NS_PER_SEC, 3), 0);
    expectSurvivesCancels([&] { return skua_rate_limiter_acquire(&limiter, 2); }, [] { return 0; },
                          [&] { /* once they are there, nobody is to be waited for */
                                return skua_rate_limiter_acquire(&limiter, 3) == 0 &&
                                       skua_sleep(SKUA_NS_PER_MS) == 0 &&
                                       skua_rate_limiter_try_acquire(&limiter, 3) == 0;
                          },
                          rounds(50));
}

} /* namespace */
