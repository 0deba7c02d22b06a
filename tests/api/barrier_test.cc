/*
 * Tests skua/barrier.h: rounds, indices, leaving, breaking and resetting as in asyncio, threads of
 * all kinds.
 */
#include "support/sync_kit.h"

#include <atomic>
#include <climits>

using namespace skua_test;

namespace
{

const char *const kState = "at a barrier";

class Barrier : public Sync
{
};

TEST_F(Barrier, RefusesNullAndNobody)
{
    skua_barrier barrier{};
    EXPECT_EQ(skua_barrier_init(nullptr, 1), -EINVAL);
    EXPECT_EQ(skua_barrier_init(&barrier, 0), -EINVAL);
    EXPECT_EQ(skua_barrier_init(&barrier, UINT_MAX), -EINVAL);
    for (skua_barrier *none : {static_cast<skua_barrier *>(nullptr), &barrier}) {
        EXPECT_EQ(skua_barrier_wait(none), -EINVAL);
        EXPECT_EQ(skua_barrier_wait_until(none, 0), -EINVAL);
        EXPECT_EQ(skua_barrier_reset(none), -EINVAL);
        EXPECT_EQ(skua_barrier_abort(none), -EINVAL);
        EXPECT_EQ(skua_barrier_waiting(none), 0u);
        EXPECT_FALSE(skua_barrier_broken(none));
    }
}

TEST_F(Barrier, OfOnePartyStopsNobody)
{
    skua_barrier barrier;
    ASSERT_EQ(skua_barrier_init(&barrier, 1), 0);
    EXPECT_EQ(skua_barrier_wait(&barrier), 0);
    EXPECT_EQ(skua_barrier_wait_until(&barrier, 0), 0);
}

TEST_F(Barrier, LetsAllGoInOrderWithTheIndicesOfTheirArrival)
{
    runInTask(
        [] {
            skua_barrier barrier = SKUA_BARRIER_INIT(4);
            for (int round = 0; round < 2; round++) {
                Line line(kState);
                line.addMany(3, [&] { return skua_barrier_wait(&barrier); });
                EXPECT_EQ(skua_barrier_waiting(&barrier), 3u);
                EXPECT_EQ(skua_barrier_wait(&barrier), 3);
                EXPECT_EQ(skua_barrier_waiting(&barrier), 0u);
                for (size_t i = 0; i < 3; i++)
                    EXPECT_EQ(line.result(i), static_cast<intptr_t>(i));
                EXPECT_EQ(line.went(), (std::vector<size_t>{0, 1, 2}));
            }
        },
        1);
}

/* As asyncio does: the barrier is whole, waits for one more, and counts who is there. */
TEST_F(Barrier, WhoGivesUpLeavesAndTheOthersWaitOn)
{
    for (bool cancels : {false, true})
        runInTask([=] {
            skua_barrier barrier = SKUA_BARRIER_INIT(4);
            Line line(kState);
            uint64_t deadline = cancels ? SKUA_FOREVER : afterTheLine();
            line.add([&] { return skua_barrier_wait(&barrier); });
            line.add([&] { return skua_barrier_wait_until(&barrier, deadline); });
            line.add([&] { return skua_barrier_wait(&barrier); });
            if (cancels)
                line.cancel(1);
            EXPECT_EQ(line.result(1), cancels ? -ECANCELED : -ETIMEDOUT);
            EXPECT_EQ(skua_barrier_waiting(&barrier), 2u);
            EXPECT_FALSE(skua_barrier_broken(&barrier));
            line.add([&] { return skua_barrier_wait(&barrier); });
            EXPECT_TRUE(line.waits(0));
            EXPECT_EQ(skua_barrier_wait(&barrier), 3);
            EXPECT_EQ(line.result(0), 0);
            EXPECT_EQ(line.result(2), 2);
            EXPECT_EQ(line.result(3), 2); /* two were waiting then, too */
        });
}

TEST_F(Barrier, WhoComesCancelledOrTooLateDoesNotWait)
{
    runInTask([] {
        skua_barrier barrier = SKUA_BARRIER_INIT(2);
        EXPECT_EQ(skua_barrier_wait_until(&barrier, 0), -ETIMEDOUT);
        Line line(kState);
        auto body = [&]() -> intptr_t {
            EXPECT_EQ(skua_cancel(skua_self()), 0);
            return skua_barrier_wait(&barrier);
        };
        EXPECT_EQ(skua_await(spawnBody(body)), -ECANCELED);
        EXPECT_EQ(skua_barrier_waiting(&barrier), 0u);
        line.add([&] { return skua_barrier_wait(&barrier); });
        EXPECT_EQ(skua_await(spawnBody(body)), 1); /* but it may be the last one */
        EXPECT_EQ(line.result(0), 0);
    });
}

TEST_F(Barrier, AnAbortBreaksItUntilItIsReset)
{
    runInTask([] {
        skua_barrier barrier = SKUA_BARRIER_INIT(3);
        Line line(kState);
        line.addMany(2, [&] { return skua_barrier_wait(&barrier); });
        EXPECT_EQ(skua_barrier_abort(&barrier), 0);
        EXPECT_TRUE(skua_barrier_broken(&barrier));
        EXPECT_EQ(skua_barrier_waiting(&barrier), 0u);
        EXPECT_EQ(line.result(0), -EPIPE);
        EXPECT_EQ(line.result(1), -EPIPE);
        EXPECT_EQ(skua_barrier_wait(&barrier), -EPIPE);
        EXPECT_EQ(skua_barrier_wait_until(&barrier, 0), -EPIPE);
        EXPECT_EQ(skua_barrier_reset(&barrier), 0);
        EXPECT_FALSE(skua_barrier_broken(&barrier));
        line.addMany(2, [&] { return skua_barrier_wait(&barrier); });
        EXPECT_EQ(skua_barrier_wait(&barrier), 2);
        EXPECT_EQ(line.result(2), 0);
        EXPECT_EQ(line.result(3), 1);
    });
}

TEST_F(Barrier, AResetSendsAwayWhoWaits)
{
    runInTask([] {
        skua_barrier barrier = SKUA_BARRIER_INIT(3);
        EXPECT_EQ(skua_barrier_reset(&barrier), 0);
        Line line(kState);
        line.addMany(2, [&] { return skua_barrier_wait(&barrier); });
        EXPECT_EQ(skua_barrier_reset(&barrier), 0);
        EXPECT_EQ(line.result(0), -EPIPE);
        EXPECT_EQ(line.result(1), -EPIPE);
        line.addMany(2, [&] { return skua_barrier_wait(&barrier); });
        EXPECT_EQ(skua_barrier_wait(&barrier), 2);
        EXPECT_EQ(line.result(2), 0);
        EXPECT_EQ(line.result(3), 1);
    });
}

TEST_F(Barrier, ACompleteRoundBeatsCancelDeadlineAndAbort)
{
    skua_barrier barrier = SKUA_BARRIER_INIT(2);
    expectHandoverBeatsAll(
        kState, [&](uint64_t at) { return skua_barrier_wait_until(&barrier, at); },
        [&] { return skua_barrier_wait(&barrier) == 1 ? skua_barrier_abort(&barrier) : -1; });
    EXPECT_TRUE(skua_barrier_broken(&barrier));
}

TEST_F(Barrier, WaitsUntilItsDeadlineEverywhere)
{
    skua_barrier barrier = SKUA_BARRIER_INIT(2);
    expectGivesUpEverywhere([&](uint64_t at) { return skua_barrier_wait_until(&barrier, at); });
    EXPECT_EQ(skua_barrier_waiting(&barrier), 0u);
}

TEST_F(Barrier, ACrowdPassesItTogether)
{
    const Crowd crowd;
    skua_barrier barrier;
    ASSERT_EQ(skua_barrier_init(&barrier, crowd.size()), 0);
    const size_t times = static_cast<size_t>(rounds(300));
    std::vector<std::atomic<unsigned>> came(times), indices(times);
    runCrowd(
        [&](unsigned) {
            for (size_t i = 0; i < times; i++) {
                came[i]++;
                int index = skua_barrier_wait(&barrier);
                ASSERT_GE(index, 0);
                ASSERT_EQ(came[i], crowd.size());
                indices[i] |= 1u << index;
            }
        },
        crowd);
    for (const std::atomic<unsigned> &seen : indices)
        EXPECT_EQ(seen, (1u << crowd.size()) - 1);
}

TEST_F(Barrier, NoPartyIsLostToADeadline)
{
    const Crowd crowd{4, 1, 1};
    skua_barrier barrier;
    ASSERT_EQ(skua_barrier_init(&barrier, 3), 0);
    std::atomic<long> passed{0};
    runCrowd(
        [&](unsigned who) {
            for (int i = 0; i < rounds(800); i++) {
                int rc = skua_barrier_wait_until(&barrier, soon(i + static_cast<int>(who)));
                if (rc >= 0)
                    passed++;
                else
                    ASSERT_EQ(rc, -ETIMEDOUT);
            }
        },
        crowd);
    EXPECT_EQ(passed % 3, 0);
    EXPECT_EQ(skua_barrier_waiting(&barrier), 0u);
    RecordProperty("passed", static_cast<int>(passed));
}

TEST_F(Barrier, MayGoAwayWhenTheWaitHasReturned)
{
    skua_barrier two = SKUA_BARRIER_INIT(2);
    auto wait = [](skua_barrier *barrier) { return skua_barrier_wait(barrier) == -EPIPE ? 0 : -1; };
    expectMayGoAway(two, wait, skua_barrier_abort, rounds(2000));
}

} // namespace
