/*
 * Tests promises: set once, dropped, cancelled, from every kind of thread, with and without a
 * runtime.
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

class PromiseAt : public testing::TestWithParam<Where>
{
  protected:
    template <class Body> void run(Body &&body)
    {
        runIn(GetParam(), body);
    }

    FdGuard fds_;
    HangGuard hang_;
};

INSTANTIATE_TEST_SUITE_P(Everywhere, PromiseAt, everywhere(), WhereName());

TEST_P(PromiseAt, TheFirstSetWins)
{
    run([] {
        Promise p;
        ASSERT_NE(p.future, nullptr);
        EXPECT_EQ(skua_future_peek(p.future, nullptr), -EAGAIN);
        EXPECT_EQ(skua_promise_set(p.promise, 1), 0);
        EXPECT_EQ(skua_promise_set(p.promise, 2), -EALREADY);
        skua_promise_unref(p.promise);
        EXPECT_EQ(skua_await(p.future), 1);
    });
}

TEST_P(PromiseAt, NullIsRefused)
{
    run([] {
        EXPECT_EQ(skua_promise_create(nullptr), nullptr);
        EXPECT_EQ(skua_promise_set(nullptr, 1), -EINVAL);
        EXPECT_EQ(skua_promise_ref(nullptr), nullptr);
        skua_promise_unref(nullptr);
    });
}

TEST_P(PromiseAt, DroppedUnsetFailsItsFuture)
{
    run([] {
        Promise p;
        EXPECT_EQ(skua_promise_ref(p.promise), p.promise);
        skua_promise_unref(p.promise);
        EXPECT_EQ(skua_future_peek(p.future, nullptr), -EAGAIN);
        skua_promise_unref(p.promise);
        EXPECT_EQ(skua_await(p.future), -EOWNERDEAD);
    });
}

TEST_P(PromiseAt, CancelledFailsItsFutureAndRefusesASet)
{
    run([] {
        Promise p;
        EXPECT_EQ(skua_cancel(p.future), 0);
        EXPECT_EQ(skua_cancel(p.future), -EALREADY);
        EXPECT_EQ(skua_promise_set(p.promise, 1), -EALREADY);
        skua_promise_unref(p.promise);
        EXPECT_EQ(skua_await(p.future), -ECANCELED);
    });
}

TEST_P(PromiseAt, MayBeSetWhenNobodyHoldsItsFuture)
{
    run([] {
        Promise p;
        skua_future_unref(p.future);
        EXPECT_EQ(skua_promise_set(p.promise, 1), 0);
        skua_promise_unref(p.promise);
    });
}

TEST_P(PromiseAt, ItsWaiterIsWokenByAForeignThread)
{
    run([] {
        for (int i = 0; i < 20; i++) {
            Promise p;
            std::thread setter([&] {
                EXPECT_EQ(skua_promise_set(p.promise, i), 0);
                skua_promise_unref(p.promise);
            });
            EXPECT_EQ(skua_await(p.future), i);
            setter.join();
        }
    });
}

TEST_P(PromiseAt, ItsWaiterIsWokenWhenItIsDropped)
{
    run([] {
        Promise p;
        std::thread dropper([&] { skua_promise_unref(p.promise); });
        EXPECT_EQ(skua_await(p.future), -EOWNERDEAD);
        dropper.join();
    });
}

TEST_P(PromiseAt, IsNeitherParkedNorATask)
{
    run([] {
        Promise p;
        EXPECT_EQ(skua_unpark(p.future), -EINVAL);
        skua_promise_unref(p.promise);
        EXPECT_EQ(skua_await(p.future), -EOWNERDEAD);
    });
}

class PromiseTest : public testing::Test
{
  protected:
    FdGuard fds_;
    HangGuard hang_;
};

TEST_F(PromiseTest, OneOfManySettersWins)
{
    runInTask([] {
        for (int round = 0; round < 200; round++) {
            Promise p;
            std::atomic<int> winners{0};
            std::atomic<intptr_t> value{0};
            auto setter = [&]() -> intptr_t {
                intptr_t mine = reinterpret_cast<intptr_t>(skua_self());
                if (skua_promise_set(p.promise, mine) == 0) {
                    winners++;
                    value = mine;
                }
                return 0;
            };
            std::vector<skua_future *> setters;
            for (int i = 0; i < 8; i++)
                setters.push_back(spawnBody(setter));
            intptr_t result = skua_await(p.future);
            for (skua_future *future : setters)
                EXPECT_EQ(skua_await(future), 0);
            EXPECT_EQ(winners, 1);
            EXPECT_EQ(result, value);
            skua_promise_unref(p.promise);
        }
    });
}

TEST_F(PromiseTest, MadeInARuntimeMayBeSetAndReadAfterItStopped)
{
    skua_promise *promise = nullptr;
    skua_future *future = nullptr;
    runInTask([&] { future = skua_promise_create(&promise); });
    EXPECT_EQ(skua_future_peek(future, nullptr), -EAGAIN);
    std::thread setter([&] { EXPECT_EQ(skua_promise_set(promise, 6), 0); });
    EXPECT_EQ(skua_await(future), 6);
    setter.join();
    skua_promise_unref(promise);
}

TEST_F(PromiseTest, MadeInOneRuntimeServesAnother)
{
    Runtime other(1);
    Promise answer;
    {
        Promise question{nullptr, nullptr};
        Runtime maker(1);
        auto body = [&]() -> intptr_t {
            question = Promise();
            return 0;
        };
        EXPECT_EQ(maker.run(body), 0);
        auto reader = [&]() -> intptr_t {
            return skua_promise_set(answer.promise, skua_await(question.future) + 1);
        };
        skua_future *reading = submitBody(other.get(), reader);
        auto setter = [&]() -> intptr_t { return skua_promise_set(question.promise, 1); };
        EXPECT_EQ(maker.run(setter), 0);
        EXPECT_EQ(skua_await(reading), 0);
        skua_promise_unref(question.promise);
    }
    EXPECT_EQ(skua_await(answer.future), 2);
    skua_promise_unref(answer.promise);
}

TEST_F(PromiseTest, DoesNotKeepARuntimeFromStopping)
{
    Promise left{nullptr, nullptr};
    {
        Runtime runtime;
        auto body = [&]() -> intptr_t {
            left = Promise();
            return 0;
        };
        EXPECT_EQ(runtime.run(body), 0);
        EXPECT_EQ(runtime.stop(SKUA_STOP_DRAIN, skua_after(10 * SKUA_NS_PER_SEC)), 0);
    }
    skua_promise_unref(left.promise);
    EXPECT_EQ(skua_await(left.future), -EOWNERDEAD);
}

TEST_F(PromiseTest, SetRacesWithDropOfTheFutureAndWithCancel)
{
    const int rounds = SKUA_TESTS_SANITIZED ? 300 : 2000;
    Runtime runtime(2);
    auto body = [&]() -> intptr_t {
        for (int i = 0; i < rounds; i++) {
            Promise p;
            auto setter = [&]() -> intptr_t {
                int rc = skua_promise_set(p.promise, 1);
                skua_promise_unref(p.promise);
                return rc;
            };
            skua_future *setting = spawnBody(setter);
            int canceled = skua_cancel(p.future);
            intptr_t set = skua_await(setting);
            EXPECT_TRUE((canceled == 0) != (set == 0)) << canceled << ' ' << set;
            EXPECT_EQ(skua_await(p.future), set == 0 ? 1 : -ECANCELED);
        }
        return 0;
    };
    EXPECT_EQ(runtime.run(body), 0);
}

} // namespace
