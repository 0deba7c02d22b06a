/*
 * Tests skua/event.h: setting and clearing, order, giving up, messages, threads of all kinds.
 */
#include "support/sync_kit.h"

#include <atomic>

using namespace skua_test;

namespace
{

const char *const kState = "at an event";

class Event : public Sync
{
};

TEST_F(Event, RefusesNull)
{
    EXPECT_EQ(skua_event_set(nullptr), -EINVAL);
    EXPECT_EQ(skua_event_clear(nullptr), -EINVAL);
    EXPECT_EQ(skua_event_wait(nullptr), -EINVAL);
    EXPECT_EQ(skua_event_wait_until(nullptr, 0), -EINVAL);
    EXPECT_FALSE(skua_event_is_set(nullptr));
}

TEST_F(Event, IsSetUntilItIsCleared)
{
    skua_event event = SKUA_EVENT_INIT;
    EXPECT_FALSE(skua_event_is_set(&event));
    EXPECT_EQ(skua_event_clear(&event), 0);
    EXPECT_EQ(skua_event_wait_until(&event, 0), -ETIMEDOUT);
    for (int i = 0; i < 2; i++) {
        EXPECT_EQ(skua_event_set(&event), 0);
        EXPECT_EQ(skua_event_set(&event), 0);
        EXPECT_TRUE(skua_event_is_set(&event));
        EXPECT_EQ(skua_event_wait(&event), 0);
        EXPECT_EQ(skua_event_wait_until(&event, 0), 0);
        EXPECT_EQ(skua_event_clear(&event), 0);
        EXPECT_FALSE(skua_event_is_set(&event));
    }
}

TEST_F(Event, LetsAllWaitersGoInOrderEvenIfClearedAtOnce)
{
    runInTask(
        [] {
            skua_event event{};
            Line line(kState);
            line.addMany(5, [&] { return skua_event_wait(&event); });
            EXPECT_EQ(skua_event_set(&event), 0);
            EXPECT_EQ(skua_event_clear(&event), 0);
            EXPECT_EQ(skua_event_wait_until(&event, 0), -ETIMEDOUT);
            for (size_t i = 0; i < 5; i++)
                EXPECT_EQ(line.result(i), 0);
            EXPECT_EQ(line.went(), (std::vector<size_t>{0, 1, 2, 3, 4}));
        },
        1);
}

TEST_F(Event, WhoGivesUpInTheMiddleLeavesTheOthersWaiting)
{
    for (bool cancels : {false, true})
        runInTask([=] {
            skua_event event{};
            Line line(kState);
            uint64_t deadline = cancels ? SKUA_FOREVER : afterTheLine();
            line.add([&] { return skua_event_wait(&event); });
            line.add([&] { return skua_event_wait_until(&event, deadline); });
            line.add([&] { return skua_event_wait(&event); });
            if (cancels)
                line.cancel(1);
            EXPECT_EQ(line.result(1), cancels ? -ECANCELED : -ETIMEDOUT);
            EXPECT_TRUE(line.waits(0));
            EXPECT_TRUE(line.waits(2));
            EXPECT_FALSE(skua_event_is_set(&event));
            EXPECT_EQ(skua_event_set(&event), 0);
            EXPECT_EQ(line.result(0), 0);
            EXPECT_EQ(line.result(2), 0);
        });
}

TEST_F(Event, ASetBeatsCancelAndDeadline)
{
    skua_event event{};
    expectHandoverBeatsAll(
        kState, [&](uint64_t at) { return skua_event_wait_until(&event, at); },
        [&] { return skua_event_set(&event) + skua_event_clear(&event); });
}

TEST_F(Event, WaitsUntilItsDeadlineEverywhere)
{
    skua_event event{};
    expectGivesUpEverywhere([&](uint64_t at) { return skua_event_wait_until(&event, at); });
}

TEST_F(Event, ACrowdGoesAtEverySet)
{
    const Crowd crowd;
    const int times = rounds(300);
    std::vector<skua_event> events(static_cast<size_t>(times));
    std::vector<std::atomic<unsigned>> came(static_cast<size_t>(times));
    runCrowd(
        [&](unsigned) {
            for (size_t i = 0; i < events.size(); i++) {
                if (++came[i] == crowd.size()) { /* the last one */
                    ASSERT_EQ(skua_event_set(&events[i]), 0);
                }
                ASSERT_EQ(skua_event_wait(&events[i]), 0);
                ASSERT_EQ(came[i], crowd.size());
            }
        },
        crowd);
}

/*
 * One side leaves messages and sets the event, two in a row, so that the second set may find it
 * set; the other one clears it, looks, and waits.
 */
TEST_F(Event, NoMessageIsMissedByOneWhoClearsFirst)
{
    skua_event event{};
    std::atomic<int> sent{0}, seen{0};
    const int last = rounds(40000);
    std::thread receiver([&] {
        while (seen < last) {
            ASSERT_EQ(skua_event_wait_until(&event, skua_after(2 * SKUA_NS_PER_SEC)), 0);
            ASSERT_EQ(skua_event_clear(&event), 0);
            seen = sent.load(std::memory_order_relaxed); /* ordered by the event */
        }
    });
    while (sent < last && !HasFailure()) {
        for (int i = 0; i < 2; i++) {
            sent.store(sent.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
            ASSERT_EQ(skua_event_set(&event), 0);
        }
        for (int spins = 0; seen < sent && !HasFailure(); spins++) {
            if (spins > 1000)
                skua_yield();
        }
    }
    receiver.join();
    EXPECT_EQ(seen, last);
}

TEST_F(Event, NoSetIsLostToADeadline)
{
    skua_event event{};
    const Crowd crowd{4, 2, 2};
    std::atomic<unsigned> left{crowd.size() - 1};
    runCrowd(
        [&](unsigned who) {
            if (who == 0) { /* a setter, until nobody waits any more */
                while (left > 0) {
                    ASSERT_EQ(skua_event_set(&event), 0);
                    skua_yield();
                    ASSERT_EQ(skua_event_clear(&event), 0);
                    skua_yield();
                }
                return;
            }
            for (int i = 0; i < rounds(500); i++) {
                int rc = skua_event_wait_until(&event, soon(i + static_cast<int>(who)));
                ASSERT_TRUE(rc == 0 || rc == -ETIMEDOUT) << rc;
            }
            left--;
        },
        crowd);
}

TEST_F(Event, MayGoAwayWhenTheWaitHasReturned)
{
    expectMayGoAway(skua_event{}, skua_event_wait, skua_event_set, rounds(2000));
}

} // namespace
