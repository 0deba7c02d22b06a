/*
 * Tests skua/semaphore.h: permits, bounds, order, handing over, giving up, threads of all kinds.
 */
#include "support/sync_kit.h"

#include <atomic>

using namespace skua_test;

namespace
{

const char *const kState = "at a semaphore";

class Semaphore : public Sync
{
};

TEST_F(Semaphore, RefusesNull)
{
    EXPECT_EQ(skua_semaphore_acquire(nullptr), -EINVAL);
    EXPECT_EQ(skua_semaphore_acquire_until(nullptr, 0), -EINVAL);
    EXPECT_EQ(skua_semaphore_try_acquire(nullptr), -EINVAL);
    EXPECT_EQ(skua_semaphore_release(nullptr), -EINVAL);
    EXPECT_EQ(skua_semaphore_value(nullptr), 0u);
}

TEST_F(Semaphore, GrantsWhatItHasWithoutWaiting)
{
    skua_semaphore semaphore = SKUA_SEMAPHORE_INIT(2);
    EXPECT_EQ(skua_semaphore_value(&semaphore), 2u);
    EXPECT_EQ(skua_semaphore_acquire(&semaphore), 0);
    EXPECT_EQ(skua_semaphore_acquire_until(&semaphore, 0), 0);
    EXPECT_EQ(skua_semaphore_try_acquire(&semaphore), -EAGAIN);
    EXPECT_EQ(skua_semaphore_acquire_until(&semaphore, 0), -ETIMEDOUT);
    for (unsigned i = 1; i <= 3; i++) {
        EXPECT_EQ(skua_semaphore_release(&semaphore), 0);
        EXPECT_EQ(skua_semaphore_value(&semaphore), i);
    }
    EXPECT_EQ(skua_semaphore_try_acquire(&semaphore), 0);
    skua_semaphore none{};
    EXPECT_EQ(skua_semaphore_try_acquire(&none), -EAGAIN);
    EXPECT_EQ(skua_semaphore_release(&none), 0);
    EXPECT_EQ(skua_semaphore_try_acquire(&none), 0);
}

TEST_F(Semaphore, ABoundedOneFindsAReleaseTooMany)
{
    skua_semaphore semaphore = SKUA_SEMAPHORE_BOUNDED_INIT(2);
    EXPECT_EQ(skua_semaphore_release(&semaphore), -EOVERFLOW);
    EXPECT_EQ(skua_semaphore_acquire(&semaphore), 0);
    EXPECT_EQ(skua_semaphore_release(&semaphore), 0);
    EXPECT_EQ(skua_semaphore_release(&semaphore), -EOVERFLOW);
    EXPECT_EQ(skua_semaphore_value(&semaphore), 2u);
    skua_semaphore none = SKUA_SEMAPHORE_BOUNDED_INIT(0);
    EXPECT_EQ(skua_semaphore_release(&none), -EOVERFLOW);
}

TEST_F(Semaphore, ABoundedOneOfZeroLetsNobodyGo)
{
    runInTask(
        [] {
            skua_semaphore none = SKUA_SEMAPHORE_BOUNDED_INIT(0);
            Line line(kState);
            line.add([&] { return skua_semaphore_acquire(&none); });
            EXPECT_EQ(skua_semaphore_release(&none), -EOVERFLOW);
            line.cancel(0);
            EXPECT_EQ(line.result(0), -ECANCELED);
        },
        1);
}

TEST_F(Semaphore, LetsWaitersGoInOrder)
{
    runInTask(
        [] {
            skua_semaphore semaphore{};
            Line line(kState);
            line.addMany(5, [&] { return skua_semaphore_acquire(&semaphore); });
            for (int i = 0; i < 5; i++)
                EXPECT_EQ(skua_semaphore_release(&semaphore), 0);
            for (size_t i = 0; i < 5; i++)
                EXPECT_EQ(line.result(i), 0);
            EXPECT_EQ(line.went(), (std::vector<size_t>{0, 1, 2, 3, 4}));
            EXPECT_EQ(skua_semaphore_value(&semaphore), 0u);
        },
        1);
}

TEST_F(Semaphore, NobodyOvertakesTheOneAPermitWasHandedTo)
{
    runInTask(
        [] {
            skua_semaphore semaphore{};
            Line line(kState);
            line.addMany(2, [&] { return skua_semaphore_acquire(&semaphore); });
            EXPECT_EQ(skua_semaphore_release(&semaphore), 0);
            EXPECT_EQ(skua_semaphore_try_acquire(&semaphore), -EAGAIN);
            EXPECT_EQ(skua_semaphore_release(&semaphore), 0);
            EXPECT_EQ(skua_semaphore_try_acquire(&semaphore), -EAGAIN);
            EXPECT_EQ(skua_semaphore_release(&semaphore), 0);
            EXPECT_EQ(skua_semaphore_try_acquire(&semaphore), 0);
            EXPECT_EQ(line.result(0), 0);
            EXPECT_EQ(line.result(1), 0);
        },
        1);
}

TEST_F(Semaphore, WhoGivesUpInTheMiddleTakesNoPermit)
{
    for (bool cancels : {false, true})
        runInTask([=] {
            skua_semaphore semaphore{};
            Line line(kState);
            uint64_t deadline = cancels ? SKUA_FOREVER : afterTheLine();
            line.add([&] { return skua_semaphore_acquire(&semaphore); });
            line.add([&] { return skua_semaphore_acquire_until(&semaphore, deadline); });
            line.add([&] { return skua_semaphore_acquire(&semaphore); });
            if (cancels)
                line.cancel(1);
            EXPECT_EQ(line.result(1), cancels ? -ECANCELED : -ETIMEDOUT);
            EXPECT_EQ(skua_semaphore_release(&semaphore), 0);
            EXPECT_EQ(line.result(0), 0);
            EXPECT_TRUE(line.waits(2));
            EXPECT_EQ(skua_semaphore_release(&semaphore), 0);
            EXPECT_EQ(line.result(2), 0);
            EXPECT_EQ(skua_semaphore_value(&semaphore), 0u);
        });
}

TEST_F(Semaphore, TheLastWhoGivesUpLeavesItAsItWas)
{
    runInTask([] {
        skua_semaphore semaphore{};
        for (int i = 0; i < 3; i++) {
            EXPECT_EQ(skua_semaphore_acquire_until(&semaphore, skua_after(SKUA_NS_PER_US)),
                      -ETIMEDOUT);
            EXPECT_EQ(skua_semaphore_release(&semaphore), 0);
            EXPECT_EQ(skua_semaphore_value(&semaphore), 1u);
            EXPECT_EQ(skua_semaphore_try_acquire(&semaphore), 0);
        }
    });
}

TEST_F(Semaphore, APermitThatWasHandedOverBeatsCancelAndDeadline)
{
    skua_semaphore semaphore{};
    expectHandoverBeatsAll(
        kState, [&](uint64_t at) { return skua_semaphore_acquire_until(&semaphore, at); },
        [&] { return skua_semaphore_release(&semaphore); });
    EXPECT_EQ(skua_semaphore_value(&semaphore), 0u);
}

TEST_F(Semaphore, AFreePermitBeatsTheCancel)
{
    runInTask([] {
        skua_semaphore semaphore = SKUA_SEMAPHORE_INIT(1);
        auto body = [&]() -> intptr_t {
            EXPECT_EQ(skua_cancel(skua_self()), 0);
            EXPECT_EQ(skua_semaphore_acquire(&semaphore), 0);
            EXPECT_EQ(skua_semaphore_acquire(&semaphore), -ECANCELED);
            return skua_semaphore_release(&semaphore);
        };
        EXPECT_EQ(skua_await(spawnBody(body)), 0);
        EXPECT_EQ(skua_semaphore_value(&semaphore), 1u);
    });
}

TEST_F(Semaphore, WaitsUntilItsDeadlineEverywhere)
{
    skua_semaphore semaphore{};
    expectGivesUpEverywhere(
        [&](uint64_t at) { return skua_semaphore_acquire_until(&semaphore, at); });
}

TEST_F(Semaphore, ACrowdNeverHoldsMoreThanThereAre)
{
    skua_semaphore semaphore = SKUA_SEMAPHORE_BOUNDED_INIT(3);
    std::atomic<int> inside{0}, most{0};
    runCrowd([&](unsigned) {
        for (int i = 0; i < rounds(1500); i++) {
            ASSERT_EQ(skua_semaphore_acquire(&semaphore), 0);
            int now = ++inside;
            ASSERT_LE(now, 3);
            if (now > most)
                most = now;
            if (i % 8 == 0)
                skua_yield();
            --inside;
            ASSERT_EQ(skua_semaphore_release(&semaphore), 0);
        }
    });
    EXPECT_EQ(skua_semaphore_value(&semaphore), 3u);
    EXPECT_GT(most, 1);
}

TEST_F(Semaphore, NoPermitIsLostToADeadline)
{
    skua_semaphore semaphore = SKUA_SEMAPHORE_BOUNDED_INIT(2);
    std::atomic<int> got{0}, gaveUp{0};
    runCrowd([&](unsigned who) {
        for (int i = 0; i < rounds(800); i++) {
            int rc = skua_semaphore_acquire_until(&semaphore, soon(i + static_cast<int>(who)));
            if (rc == 0) {
                got++;
                skua_yield();
                ASSERT_EQ(skua_semaphore_release(&semaphore), 0);
            } else {
                gaveUp++;
                ASSERT_EQ(rc, -ETIMEDOUT);
            }
        }
    });
    EXPECT_EQ(skua_semaphore_value(&semaphore), 2u);
    EXPECT_GT(got, 0);
    RecordProperty("gave_up", gaveUp);
}

TEST_F(Semaphore, NoPermitIsLostToACancel)
{
    skua_semaphore semaphore = SKUA_SEMAPHORE_BOUNDED_INIT(1);
    expectSurvivesCancels([&] { return skua_semaphore_acquire(&semaphore); },
                          [&] { return skua_semaphore_release(&semaphore); },
                          [&] { return skua_semaphore_value(&semaphore) == 1; }, rounds(1000));
}

TEST_F(Semaphore, MayGoAwayWhenTheWaitHasReturned)
{
    expectMayGoAway(skua_semaphore{}, skua_semaphore_acquire, skua_semaphore_release, rounds(2000));
}

} // namespace
