/*
 * Tests skua/mutex.h: exclusion, order, handing over, giving up, threads of all kinds.
 */
#include "support/sync_kit.h"

#include <atomic>

using namespace skua_test;

namespace
{

const char *const kState = "at a mutex";

class Mutex : public Sync
{
};

TEST_F(Mutex, RefusesNull)
{
    EXPECT_EQ(skua_mutex_lock(nullptr), -EINVAL);
    EXPECT_EQ(skua_mutex_lock_until(nullptr, 0), -EINVAL);
    EXPECT_EQ(skua_mutex_try_lock(nullptr), -EINVAL);
    EXPECT_EQ(skua_mutex_unlock(nullptr), -EINVAL);
    EXPECT_FALSE(skua_mutex_locked(nullptr));
}

TEST_F(Mutex, IsHeldOnceAndReleasedOnce)
{
    skua_mutex mutex = SKUA_MUTEX_INIT;
    EXPECT_EQ(skua_mutex_unlock(&mutex), -EPERM);
    EXPECT_FALSE(skua_mutex_locked(&mutex));
    EXPECT_EQ(skua_mutex_lock(&mutex), 0);
    EXPECT_TRUE(skua_mutex_locked(&mutex));
    EXPECT_EQ(skua_mutex_try_lock(&mutex), -EBUSY);
    EXPECT_EQ(skua_mutex_lock_until(&mutex, 0), -ETIMEDOUT);
    EXPECT_EQ(skua_mutex_unlock(&mutex), 0);
    EXPECT_EQ(skua_mutex_unlock(&mutex), -EPERM);
    EXPECT_EQ(skua_mutex_lock_until(&mutex, 0), 0);
    EXPECT_EQ(skua_mutex_unlock(&mutex), 0);
    EXPECT_EQ(skua_mutex_try_lock(&mutex), 0);
    EXPECT_EQ(skua_mutex_unlock(&mutex), 0);
}

TEST_F(Mutex, LetsWaitersGoInOrder)
{
    runInTask(
        [] {
            skua_mutex mutex{};
            EXPECT_EQ(skua_mutex_lock(&mutex), 0);
            Line line(kState);
            line.addMany(5, [&]() -> intptr_t {
                int rc = skua_mutex_lock(&mutex);
                EXPECT_EQ(skua_yield(), 0);
                EXPECT_EQ(skua_mutex_unlock(&mutex), 0);
                return rc;
            });
            EXPECT_EQ(skua_mutex_unlock(&mutex), 0);
            EXPECT_EQ(skua_mutex_lock(&mutex), 0); /* behind them all */
            EXPECT_EQ(line.went(), (std::vector<size_t>{0, 1, 2, 3, 4}));
            EXPECT_EQ(skua_mutex_unlock(&mutex), 0);
            for (size_t i = 0; i < 5; i++)
                EXPECT_EQ(line.result(i), 0);
            EXPECT_FALSE(skua_mutex_locked(&mutex));
        },
        1);
}

TEST_F(Mutex, NobodyOvertakesTheOneItWasHandedTo)
{
    runInTask(
        [] {
            skua_mutex mutex{};
            EXPECT_EQ(skua_mutex_lock(&mutex), 0);
            Line line(kState);
            line.add([&] { return skua_mutex_lock(&mutex); });
            EXPECT_EQ(skua_mutex_unlock(&mutex), 0);
            EXPECT_EQ(skua_mutex_try_lock(&mutex), -EBUSY);
            EXPECT_EQ(line.result(0), 0);
            EXPECT_EQ(skua_mutex_unlock(&mutex), 0); /* by another task */
        },
        1);
}

TEST_F(Mutex, WhoGivesUpInTheMiddleDoesNotGetIt)
{
    for (bool cancels : {false, true})
        runInTask([=] {
            skua_mutex mutex{};
            EXPECT_EQ(skua_mutex_lock(&mutex), 0);
            Line line(kState);
            uint64_t deadline = cancels ? SKUA_FOREVER : afterTheLine();
            line.add([&] { return skua_mutex_lock(&mutex); });
            line.add([&] { return skua_mutex_lock_until(&mutex, deadline); });
            line.add([&] { return skua_mutex_lock(&mutex); });
            if (cancels)
                line.cancel(1);
            EXPECT_EQ(line.result(1), cancels ? -ECANCELED : -ETIMEDOUT);
            EXPECT_EQ(skua_mutex_unlock(&mutex), 0);
            EXPECT_EQ(line.result(0), 0);
            EXPECT_TRUE(line.waits(2));
            EXPECT_EQ(skua_mutex_unlock(&mutex), 0);
            EXPECT_EQ(line.result(2), 0);
            EXPECT_EQ(skua_mutex_unlock(&mutex), 0);
            EXPECT_FALSE(skua_mutex_locked(&mutex));
        });
}

TEST_F(Mutex, OnceHandedOverBeatsCancelAndDeadline)
{
    skua_mutex mutex{};
    EXPECT_EQ(skua_mutex_lock(&mutex), 0);
    expectHandoverBeatsAll(
        kState, [&](uint64_t at) { return skua_mutex_lock_until(&mutex, at); },
        [&] { return skua_mutex_unlock(&mutex); });
    EXPECT_EQ(skua_mutex_unlock(&mutex), 0);
}

TEST_F(Mutex, ThatIsFreeBeatsTheCancel)
{
    runInTask([] {
        skua_mutex mutex{};
        auto body = [&]() -> intptr_t {
            EXPECT_EQ(skua_cancel(skua_self()), 0);
            EXPECT_EQ(skua_mutex_lock(&mutex), 0);
            EXPECT_EQ(skua_mutex_lock(&mutex), -ECANCELED);
            return skua_mutex_unlock(&mutex);
        };
        EXPECT_EQ(skua_await(spawnBody(body)), 0);
    });
}

TEST_F(Mutex, WaitsUntilItsDeadlineEverywhere)
{
    skua_mutex mutex{};
    EXPECT_EQ(skua_mutex_lock(&mutex), 0);
    expectGivesUpEverywhere([&](uint64_t at) { return skua_mutex_lock_until(&mutex, at); });
    EXPECT_EQ(skua_mutex_unlock(&mutex), 0);
}

TEST_F(Mutex, ExcludesACrowd)
{
    skua_mutex mutex{};
    long count = 0; /* not atomic: the mutex guards it */
    Crowd crowd;
    runCrowd(
        [&](unsigned) {
            for (int i = 0; i < rounds(2000); i++) {
                ASSERT_EQ(skua_mutex_lock(&mutex), 0);
                long before = count;
                if (i % 16 == 0)
                    skua_yield(); /* it may be held across a wait */
                count = before + 1;
                ASSERT_EQ(skua_mutex_unlock(&mutex), 0);
            }
        },
        crowd);
    EXPECT_EQ(count, static_cast<long>(crowd.size()) * rounds(2000));
    EXPECT_FALSE(skua_mutex_locked(&mutex));
}

TEST_F(Mutex, IsNotLostToADeadline)
{
    skua_mutex mutex{};
    long count = 0;
    std::atomic<long> got{0};
    runCrowd([&](unsigned who) {
        for (int i = 0; i < rounds(800); i++) {
            int rc = skua_mutex_lock_until(&mutex, soon(i + static_cast<int>(who)));
            if (rc < 0) {
                ASSERT_EQ(rc, -ETIMEDOUT);
                continue;
            }
            got++;
            long before = count;
            skua_yield();
            count = before + 1;
            ASSERT_EQ(skua_mutex_unlock(&mutex), 0);
        }
    });
    EXPECT_EQ(count, got);
    EXPECT_GT(got, 0);
    EXPECT_FALSE(skua_mutex_locked(&mutex));
}

TEST_F(Mutex, IsNotLostToACancel)
{
    skua_mutex mutex{};
    expectSurvivesCancels([&] { return skua_mutex_lock(&mutex); },
                          [&] { return skua_mutex_unlock(&mutex); },
                          [&] { return !skua_mutex_locked(&mutex); }, rounds(1000));
}

} // namespace
