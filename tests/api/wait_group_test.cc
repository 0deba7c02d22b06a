/*
 * Tests skua/wait_group.h: counting, order, reuse, giving up, latches, threads of all kinds.
 */
#include "support/sync_kit.h"

#include <atomic>

using namespace skua_test;

namespace
{

const char *const kState = "at a wait group";

class WaitGroup : public Sync
{
};

class Latch : public Sync
{
};

TEST_F(WaitGroup, RefusesNull)
{
    EXPECT_EQ(skua_wait_group_add(nullptr, 1), -EINVAL);
    EXPECT_EQ(skua_wait_group_done(nullptr), -EINVAL);
    EXPECT_EQ(skua_wait_group_wait(nullptr), -EINVAL);
    EXPECT_EQ(skua_wait_group_wait_until(nullptr, 0), -EINVAL);
    EXPECT_EQ(skua_wait_group_try_wait(nullptr), -EINVAL);
}

TEST_F(WaitGroup, CountsUpAndDown)
{
    skua_wait_group group = SKUA_WAIT_GROUP_INIT;
    EXPECT_EQ(skua_wait_group_wait(&group), 0);
    EXPECT_EQ(skua_wait_group_wait_until(&group, 0), 0);
    EXPECT_EQ(skua_wait_group_try_wait(&group), 0);
    EXPECT_EQ(skua_wait_group_add(&group, 3), 0);
    EXPECT_EQ(skua_wait_group_add(&group, -1), 0);
    EXPECT_EQ(skua_wait_group_done(&group), 0);
    EXPECT_EQ(skua_wait_group_try_wait(&group), -EAGAIN);
    EXPECT_EQ(skua_wait_group_wait_until(&group, 0), -ETIMEDOUT);
    EXPECT_EQ(skua_wait_group_done(&group), 0);
    EXPECT_EQ(skua_wait_group_try_wait(&group), 0);
}

TEST_F(WaitGroup, RefusesACountBelowZeroOrTooLarge)
{
    skua_wait_group group{};
    EXPECT_EQ(skua_wait_group_done(&group), -EINVAL);
    EXPECT_EQ(skua_wait_group_add(&group, 2), 0);
    EXPECT_EQ(skua_wait_group_add(&group, -3), -EINVAL);
    EXPECT_EQ(skua_wait_group_add(&group, INT64_MIN), -EINVAL);
    EXPECT_EQ(skua_wait_group_add(&group, INT64_MAX), -EOVERFLOW);
    EXPECT_EQ(skua_wait_group_add(&group, 0), 0);
    EXPECT_EQ(skua_wait_group_add(&group, -2), 0);
    EXPECT_EQ(skua_wait_group_try_wait(&group), 0);
}

TEST_F(WaitGroup, LetsAllWaitersGoInOrderAndCanBeUsedAgain)
{
    runInTask(
        [] {
            skua_wait_group group{};
            for (int round = 0; round < 2; round++) {
                Line line(kState);
                EXPECT_EQ(skua_wait_group_add(&group, 2), 0);
                line.addMany(4, [&] { return skua_wait_group_wait(&group); });
                EXPECT_EQ(skua_wait_group_done(&group), 0);
                EXPECT_TRUE(line.waits(0));
                EXPECT_EQ(skua_wait_group_add(&group, -2), -EINVAL);
                EXPECT_EQ(skua_wait_group_done(&group), 0);
                for (size_t i = 0; i < 4; i++)
                    EXPECT_EQ(line.result(i), 0);
                EXPECT_EQ(line.went(), (std::vector<size_t>{0, 1, 2, 3}));
            }
        },
        1);
}

TEST_F(WaitGroup, WhoGivesUpInTheMiddleLeavesTheOthersWaiting)
{
    for (bool cancels : {false, true})
        runInTask([=] {
            skua_wait_group group{};
            EXPECT_EQ(skua_wait_group_add(&group, 1), 0);
            Line line(kState);
            uint64_t deadline = cancels ? SKUA_FOREVER : afterTheLine();
            line.add([&] { return skua_wait_group_wait(&group); });
            line.add([&] { return skua_wait_group_wait_until(&group, deadline); });
            line.add([&] { return skua_wait_group_wait(&group); });
            if (cancels)
                line.cancel(1);
            EXPECT_EQ(line.result(1), cancels ? -ECANCELED : -ETIMEDOUT);
            EXPECT_TRUE(line.waits(0));
            EXPECT_TRUE(line.waits(2));
            EXPECT_EQ(skua_wait_group_done(&group), 0);
            EXPECT_EQ(line.result(0), 0);
            EXPECT_EQ(line.result(2), 0);
        });
}

TEST_F(WaitGroup, ACountOfZeroBeatsCancelAndDeadline)
{
    skua_wait_group group{};
    EXPECT_EQ(skua_wait_group_add(&group, 1), 0);
    expectHandoverBeatsAll(
        kState, [&](uint64_t at) { return skua_wait_group_wait_until(&group, at); },
        [&] { return skua_wait_group_done(&group) + skua_wait_group_add(&group, 1); });
}

TEST_F(WaitGroup, WaitsUntilItsDeadlineEverywhere)
{
    skua_wait_group group{};
    EXPECT_EQ(skua_wait_group_add(&group, 1), 0);
    expectGivesUpEverywhere([&](uint64_t at) { return skua_wait_group_wait_until(&group, at); });
}

TEST_F(WaitGroup, ShowsWhatACrowdHasDone)
{
    const Crowd crowd;
    const size_t times = static_cast<size_t>(rounds(300));
    std::vector<skua_wait_group> groups(times);
    std::vector<std::vector<int>> done(times, std::vector<int>(crowd.size())); /* not atomic */
    for (skua_wait_group &group : groups)
        EXPECT_EQ(skua_wait_group_add(&group, crowd.size()), 0);
    runCrowd(
        [&](unsigned who) {
            for (size_t i = 0; i < times; i++) {
                done[i][who] = 1;
                ASSERT_EQ(skua_wait_group_done(&groups[i]), 0);
                while (i % 2 == 1 &&
                       skua_wait_group_wait_until(&groups[i], skua_after(SKUA_NS_PER_MS)) != 0)
                    continue;
                ASSERT_EQ(skua_wait_group_wait(&groups[i]), 0);
                for (int one : done[i])
                    ASSERT_EQ(one, 1);
            }
        },
        crowd);
}

TEST_F(WaitGroup, MayGoAwayWhenTheWaitHasReturned)
{
    skua_wait_group one{};
    EXPECT_EQ(skua_wait_group_add(&one, 1), 0);
    expectMayGoAway(one, skua_wait_group_wait, skua_wait_group_done, rounds(2000));
}

TEST_F(Latch, RefusesNull)
{
    EXPECT_EQ(skua_latch_count_down(nullptr, 1), -EINVAL);
    EXPECT_EQ(skua_latch_wait(nullptr), -EINVAL);
    EXPECT_EQ(skua_latch_wait_until(nullptr, 0), -EINVAL);
    EXPECT_EQ(skua_latch_try_wait(nullptr), -EINVAL);
    EXPECT_EQ(skua_latch_arrive_and_wait(nullptr), -EINVAL);
}

TEST_F(Latch, CountsDownToZeroAndStaysThere)
{
    skua_latch latch = SKUA_LATCH_INIT(4);
    EXPECT_EQ(skua_latch_count_down(&latch, 5), -EINVAL);
    EXPECT_EQ(skua_latch_count_down(&latch, UINT64_MAX), -EINVAL);
    EXPECT_EQ(skua_latch_count_down(&latch, 0), 0);
    EXPECT_EQ(skua_latch_count_down(&latch, 3), 0);
    EXPECT_EQ(skua_latch_try_wait(&latch), -EAGAIN);
    EXPECT_EQ(skua_latch_wait_until(&latch, 0), -ETIMEDOUT);
    EXPECT_EQ(skua_latch_arrive_and_wait(&latch), 0);
    EXPECT_EQ(skua_latch_try_wait(&latch), 0);
    EXPECT_EQ(skua_latch_wait(&latch), 0);
    EXPECT_EQ(skua_latch_count_down(&latch, 1), -EINVAL);
    EXPECT_EQ(skua_latch_arrive_and_wait(&latch), -EINVAL);
}

TEST_F(Latch, AnArrivalCountsEvenIfTheWaitIsCancelled)
{
    runInTask([] {
        skua_latch latch = SKUA_LATCH_INIT(2);
        Line line(kState);
        line.add([&] { return skua_latch_arrive_and_wait(&latch); });
        line.cancel(0);
        EXPECT_EQ(line.result(0), -ECANCELED);
        EXPECT_EQ(skua_latch_arrive_and_wait(&latch), 0);
    });
}

TEST_F(Latch, ACrowdPassesItTogether)
{
    const Crowd crowd;
    const size_t times = static_cast<size_t>(rounds(300));
    std::vector<skua_latch> latches(times, skua_latch SKUA_LATCH_INIT(crowd.size()));
    std::vector<std::vector<int>> came(times, std::vector<int>(crowd.size())); /* not atomic */
    runCrowd(
        [&](unsigned who) {
            for (size_t i = 0; i < times; i++) {
                came[i][who] = 1;
                ASSERT_EQ(skua_latch_arrive_and_wait(&latches[i]), 0);
                for (int one : came[i])
                    ASSERT_EQ(one, 1);
            }
        },
        crowd);
}

TEST_F(Latch, MayGoAwayWhenTheWaitHasReturned)
{
    skua_latch one = SKUA_LATCH_INIT(1);
    auto arrive = [](skua_latch *latch) { return skua_latch_count_down(latch, 1); };
    expectMayGoAway(one, skua_latch_wait, arrive, rounds(2000));
}

} // namespace
