/*
 * Tests park and unpark: the token, deadlines, who may call, and no wake-up is ever lost.
 */
#include "support/fd_guard.h"
#include "support/hang_guard.h"
#include "support/runtime_kit.h"

#include <atomic>
#include <thread>
#include <vector>

using namespace skua_test;

namespace
{

class Park : public testing::Test
{
  protected:
    FdGuard fds_;
    HangGuard hang_;
};

TEST_F(Park, OutsideATaskIsRefused)
{
    EXPECT_EQ(skua_park(0), -EPERM);
    runOnExecutor([] { EXPECT_EQ(skua_park(0), -EPERM); });
}

TEST_F(Park, UnparkRefusesWhatIsNotATask)
{
    EXPECT_EQ(skua_unpark(nullptr), -EINVAL);
    runInTask([] {
        auto job = []() -> intptr_t { return 0; };
        skua_future *future = offloadBody(nullptr, job);
        EXPECT_EQ(skua_unpark(future), -EINVAL);
        EXPECT_EQ(skua_await(future), 0);
        EXPECT_EQ(skua_unpark(skua_spawn(nullptr, nullptr)), -EINVAL);
    });
}

TEST_F(Park, UnparkOfAnEndedTaskSaysAlready)
{
    runInTask([] {
        auto body = []() -> intptr_t { return 1; };
        skua_future *future = spawnBody(body);
        EXPECT_EQ(skua_await(skua_future_ref(future)), 1);
        EXPECT_EQ(skua_unpark(future), -EALREADY);
        skua_future_unref(future);
    });
}

TEST_F(Park, ATokenGivenBeforeIsConsumedAtOnce)
{
    runInTask([] {
        EXPECT_EQ(skua_unpark(skua_self()), 0);
        EXPECT_EQ(skua_park(SKUA_FOREVER), 0);
        EXPECT_EQ(skua_park(skua_after(SKUA_NS_PER_MS)), -ETIMEDOUT);
    });
}

TEST_F(Park, TokensDoNotAddUp)
{
    runInTask([] {
        EXPECT_EQ(skua_unpark(skua_self()), 0);
        EXPECT_EQ(skua_unpark(skua_self()), 0);
        EXPECT_EQ(skua_park(0), 0);
        EXPECT_EQ(skua_park(0), -ETIMEDOUT);
    });
}

TEST_F(Park, ATokenGivenToAnUnstartedTaskIsKept)
{
    runInTask(
        [] {
            auto body = []() -> intptr_t { return skua_park(SKUA_FOREVER); };
            skua_future *future = spawnBody(body);
            EXPECT_EQ(skua_unpark(future), 0);
            EXPECT_EQ(skua_await(future), 0);
        },
        1);
}

TEST_F(Park, AnUnparkEndsIt)
{
    runInTask([] {
        auto body = []() -> intptr_t { return skua_park(SKUA_FOREVER); };
        skua_future *future = spawnNamed("parker", body);
        EXPECT_TRUE(yieldUntilState("parker", "parked"));
        EXPECT_EQ(skua_unpark(future), 0);
        EXPECT_EQ(skua_await(future), 0);
    });
}

TEST_F(Park, ItNeverTimesOutEarly)
{
    runInTask([] {
        for (int i = 1; i <= 20; i++) {
            uint64_t deadline = skua_after(static_cast<uint64_t>(i) * 50 * SKUA_NS_PER_US);
            EXPECT_EQ(skua_park(deadline), -ETIMEDOUT);
            EXPECT_GE(skua_now(), deadline);
        }
        EXPECT_EQ(skua_park(1), -ETIMEDOUT);
    });
}

TEST_F(Park, WorksForATaskOnAnExecutor)
{
    runInTask([] {
        auto body = []() -> intptr_t {
            EXPECT_EQ(skua_hop(nullptr), 0);
            return skua_park(SKUA_FOREVER);
        };
        skua_future *future = spawnNamed("hopped", body);
        EXPECT_TRUE(yieldUntilState("hopped", "parked"));
        EXPECT_EQ(skua_unpark(future), 0);
        EXPECT_EQ(skua_await(future), 0);
        EXPECT_EQ(skua_hop(nullptr), 0);
        EXPECT_EQ(skua_park(skua_after(SKUA_NS_PER_MS)), -ETIMEDOUT);
        EXPECT_EQ(skua_unpark(skua_self()), 0);
        EXPECT_EQ(skua_park(skua_after(SKUA_NS_PER_MS)), 0);
        EXPECT_EQ(skua_hop_back(), 0);
    });
}

TEST_F(Park, ATaskRunInPlaceHasATokenOfItsOwn)
{
    runInTask(
        [] {
            skua_future *outer = skua_self();
            auto body = [&]() -> intptr_t {
                EXPECT_NE(skua_self(), outer);
                EXPECT_EQ(skua_unpark(outer), 0);
                EXPECT_EQ(skua_park(skua_after(SKUA_NS_PER_MS)), -ETIMEDOUT);
                EXPECT_EQ(skua_unpark(skua_self()), 0);
                return skua_park(SKUA_FOREVER);
            };
            EXPECT_EQ(skua_await(spawnBody(body)), 0);
            EXPECT_EQ(skua_park(0), 0);
            EXPECT_EQ(skua_park(0), -ETIMEDOUT);
        },
        1);
}

TEST_F(Park, AnotherTaskWakesOneThatParksInPlace)
{
    runInTask(
        [] {
            skua_future *parker = nullptr;
            auto waker = [&]() -> intptr_t {
                EXPECT_TRUE(yieldUntil([&] { return parker != nullptr; }));
                return skua_unpark(parker);
            };
            auto body = [&]() -> intptr_t {
                parker = skua_self();
                return skua_park(SKUA_FOREVER);
            };
            skua_future *waking = spawnBody(waker);
            EXPECT_EQ(skua_await(spawnBody(body)), 0);
            EXPECT_EQ(skua_await(waking), 0);
        },
        1);
}

/* One flag each way, a token to say it has changed: hangs if one wake-up is lost. */
struct Game {
    const int rounds;
    std::atomic<int> turn{0};
    std::atomic<skua_future *> parker{nullptr};

    intptr_t park()
    {
        parker = skua_self();
        for (int i = 0; i < rounds; i++) {
            while (turn.load(std::memory_order_acquire) != 2 * i + 1) {
                int rc = skua_park(SKUA_FOREVER);
                if (rc < 0)
                    return rc;
            }
            turn.store(2 * i + 2, std::memory_order_release);
        }
        return rounds;
    }

    void wake()
    {
        while (!parker)
            skua_yield();
        for (int i = 0; i < rounds; i++) {
            turn.store(2 * i + 1, std::memory_order_release);
            EXPECT_EQ(skua_unpark(parker), 0);
            while (turn.load(std::memory_order_acquire) != 2 * i + 2)
                skua_yield();
        }
    }
};

TEST_F(Park, NoWakeUpIsLostBetweenTasks)
{
    const int rounds = SKUA_TESTS_SANITIZED ? 3000 : 50000;
    for (unsigned workers : {1u, 2u, 4u})
        runInTask(
            [rounds] {
                Game game{rounds};
                auto parker = [&]() -> intptr_t { return game.park(); };
                skua_future *future = skua_future_ref(spawnBody(parker));
                game.wake();
                EXPECT_EQ(skua_await(skua_future_ref(future)), rounds);
                skua_future_unref(future);
                skua_future_unref(future);
            },
            workers);
}

TEST_F(Park, NoWakeUpIsLostFromForeignThreads)
{
    const int rounds = SKUA_TESTS_SANITIZED ? 500 : 5000;
    for (bool hopped : {false, true})
        for (unsigned workers : {1u, 2u}) {
            Runtime runtime(workers);
            Game first{rounds}, second{rounds};
            auto parker = [&](Game &game) -> intptr_t {
                int rc = hopped ? skua_hop(nullptr) : 0;
                return rc < 0 ? rc : game.park();
            };
            auto one = [&]() -> intptr_t { return parker(first); };
            auto two = [&]() -> intptr_t { return parker(second); };
            skua_future *a = submitBody(runtime.get(), one);
            skua_future *b = submitBody(runtime.get(), two);
            skua_future *held[2] = {skua_future_ref(a), skua_future_ref(b)};
            std::thread waker([&] { first.wake(); });
            second.wake();
            waker.join();
            EXPECT_EQ(skua_await(a), rounds);
            EXPECT_EQ(skua_await(b), rounds);
            for (skua_future *future : held)
                skua_future_unref(future);
        }
}

/* Unparks come from two sides, while deadlines pass too: tokens are counted, none invented. */
TEST_F(Park, AWakeAndADeadlineAtOnceGiveOneOfThem)
{
    const int rounds = SKUA_TESTS_SANITIZED ? 1000 : 10000;
    runInTask([rounds] {
        for (int i = 0; i < rounds; i++) {
            uint64_t at = skua_after(static_cast<uint64_t>(i % 30) * SKUA_NS_PER_US);
            skua_future *me = skua_self();
            auto waker = [&]() -> intptr_t {
                while (skua_now() < at)
                    skua_yield();
                return skua_unpark(me);
            };
            skua_future *waking = spawnBody(waker);
            int rc = skua_park(at);
            ASSERT_TRUE(rc == 0 || rc == -ETIMEDOUT) << rc;
            ASSERT_EQ(skua_await(waking), 0);
            ASSERT_EQ(skua_park(0), rc == 0 ? -ETIMEDOUT : 0);
        }
    });
}

} // namespace
