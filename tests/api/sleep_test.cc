/*
 * Tests skua/time.h: the clock, sleeps that are never early, many sleepers in order.
 */
#include "support/fd_guard.h"
#include "support/hang_guard.h"
#include "support/runtime_kit.h"

#include <algorithm>
#include <atomic>
#include <ctime>
#include <vector>

using namespace skua_test;

namespace
{

class Sleep : public testing::TestWithParam<Where>
{
  protected:
    template <class Body> void run(Body &&body)
    {
        runIn(GetParam(), body);
    }

    FdGuard fds_;
    HangGuard hang_;
};

INSTANTIATE_TEST_SUITE_P(Everywhere, Sleep, everywhere(), WhereName());

uint64_t monotonic()
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return static_cast<uint64_t>(ts.tv_sec) * SKUA_NS_PER_SEC + static_cast<uint64_t>(ts.tv_nsec);
}

TEST_P(Sleep, NowIsTheMonotonicClock)
{
    run([] {
        uint64_t before = monotonic();
        uint64_t now = skua_now();
        uint64_t after = monotonic();
        EXPECT_LE(before, now);
        EXPECT_LE(now, after);
    });
}

TEST_P(Sleep, AfterSaturates)
{
    run([] {
        EXPECT_EQ(skua_after(SKUA_FOREVER), SKUA_FOREVER);
        EXPECT_EQ(skua_after(SKUA_FOREVER - 1), SKUA_FOREVER);
        uint64_t before = skua_now();
        EXPECT_GE(skua_after(1000), before + 1000);
        EXPECT_LE(before, skua_after(0));
    });
}

TEST_P(Sleep, IsNeverEarly)
{
    run([] {
        for (uint64_t us : {1u, 10u, 50u, 100u, 333u, 1000u, 1999u, 5000u}) {
            uint64_t before = monotonic();
            EXPECT_EQ(skua_sleep(us * SKUA_NS_PER_US), 0);
            EXPECT_GE(monotonic(), before + us * SKUA_NS_PER_US);
            uint64_t deadline = skua_after(us * SKUA_NS_PER_US);
            EXPECT_EQ(skua_sleep_until(deadline), 0);
            EXPECT_GE(monotonic(), deadline);
        }
    });
}

TEST_P(Sleep, OfNothingOrThePastIsOverAtOnce)
{
    run([] {
        EXPECT_EQ(skua_sleep(0), 0);
        EXPECT_EQ(skua_sleep_until(0), 0);
        EXPECT_EQ(skua_sleep_until(1), 0);
        EXPECT_EQ(skua_sleep_until(skua_now()), 0);
    });
}

class Sleepers : public testing::Test
{
  protected:
    FdGuard fds_;
    HangGuard hang_;
};

TEST_F(Sleepers, OfNothingYields)
{
    runInTask(
        [] {
            int runs = 0;
            auto body = [&]() -> intptr_t { return ++runs; };
            skua_future *first = spawnBody(body);
            EXPECT_EQ(skua_sleep(0), 0);
            EXPECT_EQ(runs, 1);
            skua_future *second = spawnBody(body);
            EXPECT_EQ(skua_sleep_until(1), 0);
            EXPECT_EQ(runs, 2);
            EXPECT_EQ(skua_await(first), 1);
            EXPECT_EQ(skua_await(second), 2);
        },
        1);
}

struct Sleeper {
    uint64_t deadline;
    std::vector<uint64_t> *order;
    uint64_t asleep_ns = 0;

    intptr_t operator()()
    {
        asleep_ns = skua_now();
        int rc = skua_sleep_until(deadline);
        EXPECT_GE(skua_now(), deadline);
        order->push_back(deadline);
        return rc;
    }
};

struct Night {
    std::vector<uint64_t> order; /* of waking */
    bool late = false;           /* somebody was due before all were asleep: no order to speak of */
};

/* Sleeps until @count deadlines, each once, in no order; the first is @lead_ns away. */
Night sleepAll(size_t count, uint64_t gap_ns, uint64_t lead_ns = 50 * SKUA_NS_PER_MS)
{
    Night night;
    runInTask(
        [&] {
            std::vector<Sleeper> sleepers;
            std::vector<skua_future *> futures;
            uint64_t base = skua_after(lead_ns);
            for (size_t i = 0; i < count; i++)
                sleepers.push_back({base + (i * 7919 % count) * gap_ns, &night.order});
            for (auto &sleeper : sleepers)
                futures.push_back(spawnBody(sleeper));
            for (skua_future *future : futures) {
                intptr_t rc = kNoResult;
                EXPECT_EQ(skua_await_until(future, SKUA_FOREVER, &rc), 0);
                EXPECT_EQ(rc, 0);
            }
            for (const Sleeper &sleeper : sleepers)
                night.late = night.late || sleeper.asleep_ns + SKUA_NS_PER_MS > base;
        },
        1);
    return night;
}

TEST_F(Sleepers, WakeInTheOrderOfTheirDeadlines)
{
    for (uint64_t gap_ns : {1u, 1000u, 1000000u}) {
        Night night = sleepAll(50, gap_ns);
        for (uint64_t lead_ms = 100; night.late && lead_ms <= 6400; lead_ms *= 2)
            night = sleepAll(50, gap_ns, lead_ms * SKUA_NS_PER_MS);
        EXPECT_FALSE(night.late) << "this machine is too busy";
        EXPECT_EQ(night.order.size(), 50u);
        EXPECT_TRUE(std::is_sorted(night.order.begin(), night.order.end())) << gap_ns;
    }
}

TEST_F(Sleepers, TenThousandAllWakeAndNoneEarly)
{
    const size_t count = SKUA_TESTS_SANITIZED ? 2000 : 10000;
    std::vector<uint64_t> order = sleepAll(count, 10000).order;
    std::sort(order.begin(), order.end());
    EXPECT_EQ(order.size(), count);
    EXPECT_TRUE(std::adjacent_find(order.begin(), order.end()) == order.end());
}

TEST_F(Sleepers, SleepOnManyWorkers)
{
    runInTask(
        [] {
            std::atomic<int> awake{0};
            auto body = [&]() -> intptr_t {
                for (uint64_t i = 0; i < 20; i++) {
                    uint64_t deadline = skua_after((i % 5) * 200 * SKUA_NS_PER_US);
                    if (skua_sleep_until(deadline) != 0 || skua_now() < deadline)
                        return -EIO;
                }
                return ++awake > 0;
            };
            std::vector<skua_future *> futures;
            for (int i = 0; i < 200; i++)
                futures.push_back(spawnBody(body));
            for (skua_future *future : futures)
                EXPECT_EQ(skua_await(future), 1);
            EXPECT_EQ(awake, 200);
        },
        4);
}

TEST_F(Sleepers, AnEarlierDeadlineIsNotHeldUpByALaterOne)
{
    runInTask([] {
        auto late = []() -> intptr_t { return skua_sleep_until(SKUA_FOREVER); };
        auto later = []() -> intptr_t { return skua_sleep(3600 * SKUA_NS_PER_SEC); };
        skua_future *futures[] = {spawnNamed("late", late), spawnNamed("later", later)};
        EXPECT_TRUE(yieldUntilState("late", "sleeping"));
        EXPECT_TRUE(yieldUntilState("later", "sleeping"));
        uint64_t before = skua_now();
        EXPECT_EQ(skua_sleep(SKUA_NS_PER_MS), 0);
        EXPECT_LT(skua_now() - before, 10 * SKUA_NS_PER_SEC);
        for (skua_future *future : futures) {
            EXPECT_EQ(skua_cancel(future), 0);
            EXPECT_EQ(skua_await(future), -ECANCELED);
        }
    });
}

} // namespace
