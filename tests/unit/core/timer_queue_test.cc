/*
 * tests/unit/core/timer_queue_test.cc - core/timer_queue.c against an ordered map.
 */
extern "C" {
#include "core/timer_queue.h"
}

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <random>
#include <utility>
#include <vector>

namespace
{

/* One that ends empty, whatever the test left in it. */
struct Queue : skua_timer_queue {
    Queue()
    {
        skua_timer_queue_init(this);
    }
    ~Queue()
    {
        while (skua_timer_queue_pop(this, UINT64_MAX) != nullptr)
            continue;
        skua_timer_queue_fini(this);
    }
    Queue(const Queue &) = delete;
    Queue &operator=(const Queue &) = delete;
};

std::vector<skua_timer> make_timers(size_t count)
{
    std::vector<skua_timer> timers(count);
    for (skua_timer &timer : timers)
        skua_timer_init(&timer);
    return timers;
}

TEST(TimerQueue, AnEmptyQueueHasNoDeadline)
{
    Queue queue;

    EXPECT_EQ(skua_timer_queue_deadline(&queue), UINT64_MAX);
    EXPECT_EQ(skua_timer_queue_pop(&queue, UINT64_MAX), nullptr);
}

TEST(TimerQueue, ATimerFiresAtItsDeadlineAndNotBefore)
{
    auto timers = make_timers(1);
    Queue queue;

    ASSERT_EQ(skua_timer_queue_add(&queue, &timers[0], 100), 0);
    EXPECT_EQ(skua_timer_queue_deadline(&queue), 100u);
    EXPECT_EQ(skua_timer_queue_pop(&queue, 99), nullptr);
    EXPECT_EQ(skua_timer_queue_pop(&queue, 100), &timers[0]);
    EXPECT_EQ(timers[0].index, SKUA_TIMER_NONE);
    EXPECT_EQ(skua_timer_queue_deadline(&queue), UINT64_MAX);
}

TEST(TimerQueue, EqualDeadlinesFireInTheOrderTheyWereAdded)
{
    auto timers = make_timers(300);
    Queue queue;

    for (size_t i = 0; i < timers.size(); i++)
        ASSERT_EQ(skua_timer_queue_add(&queue, &timers[i], i % 3), 0);
    for (size_t deadline = 0; deadline < 3; deadline++) {
        for (size_t i = deadline; i < timers.size(); i += 3)
            ASSERT_EQ(skua_timer_queue_pop(&queue, 10), &timers[i]);
    }
}

TEST(TimerQueue, AnyNodeCanBeRemoved)
{
    const size_t count = 100;

    for (size_t victim = 0; victim < count; victim++) {
        auto timers = make_timers(count);
        Queue queue;
        std::minstd_rand rng(7);
        for (skua_timer &timer : timers)
            ASSERT_EQ(skua_timer_queue_add(&queue, &timer, rng() % 1000), 0);
        skua_timer *removed = &timers[victim];
        ASSERT_TRUE(skua_timer_queue_remove(&queue, removed));
        ASSERT_FALSE(skua_timer_queue_remove(&queue, removed));
        uint64_t before = 0;
        for (size_t left = count - 1; left > 0; left--) {
            skua_timer *timer = skua_timer_queue_pop(&queue, UINT64_MAX);
            ASSERT_NE(timer, nullptr);
            ASSERT_NE(timer, removed);
            ASSERT_GE(timer->deadline_ns, before);
            before = timer->deadline_ns;
        }
        ASSERT_EQ(skua_timer_queue_count(&queue), 0u);
    }
}

TEST(TimerQueue, APoppedTimerCanNotBeRemovedButCanBeAddedAgain)
{
    auto timers = make_timers(1);
    Queue queue;

    ASSERT_EQ(skua_timer_queue_add(&queue, &timers[0], 1), 0);
    ASSERT_EQ(skua_timer_queue_pop(&queue, 1), &timers[0]);
    EXPECT_FALSE(skua_timer_queue_remove(&queue, &timers[0]));
    ASSERT_EQ(skua_timer_queue_add(&queue, &timers[0], 2), 0);
    EXPECT_TRUE(skua_timer_queue_remove(&queue, &timers[0]));
}

TEST(TimerQueue, MemoryOfABurstIsGivenBack)
{
    auto timers = make_timers(10000);
    Queue queue;

    for (size_t i = 0; i < timers.size(); i++)
        ASSERT_EQ(skua_timer_queue_add(&queue, &timers[i], i), 0);
    EXPECT_GE(queue.due_capacity, timers.size());
    for (size_t i = 0; i < timers.size(); i++)
        ASSERT_EQ(skua_timer_queue_pop(&queue, UINT64_MAX), &timers[i]);
    EXPECT_LE(queue.due_capacity, 64u);
    EXPECT_LE(queue.number_capacity, 64u);
    EXPECT_LE(queue.chunk_count, 64u);
}

TEST(TimerQueue, AFailedAddLeavesTheQueueAndTheTimerAsTheyWere)
{
    auto timers = make_timers(2);
    Queue queue;

    ASSERT_EQ(skua_timer_queue_add(&queue, &timers[0], 5), 0);
    uint32_t capacity = queue.number_capacity, count = queue.number_count;
    uint32_t age = queue.age_next;
    queue.number_capacity = queue.number_count = UINT32_MAX / 2 + 1; /* as if all were in use */
    EXPECT_EQ(skua_timer_queue_add(&queue, &timers[1], 1), -ENOMEM);
    queue.number_capacity = capacity;
    queue.number_count = count;
    EXPECT_EQ(queue.age_next, age);
    EXPECT_EQ(skua_timer_queue_count(&queue), 1u);
    EXPECT_EQ(timers[1].index, SKUA_TIMER_NONE);
    EXPECT_EQ(skua_timer_queue_pop(&queue, 5), &timers[0]);
}

/* Deadlines of all magnitudes, time that comes on by leaps: all fire once, in order, on time. */
TEST(TimerQueue, TimeMayLeap)
{
    for (unsigned seed = 1; seed <= 20; seed++) {
        auto timers = make_timers(3000);
        Queue queue;
        std::mt19937_64 rng(seed);
        uint64_t now = rng() >> 20;
        size_t fired = 0;
        (void)skua_timer_queue_pop(&queue, now);
        for (skua_timer &timer : timers)
            ASSERT_EQ(skua_timer_queue_add(&queue, &timer, now + (rng() >> (rng() % 64))), 0);
        while (fired < timers.size()) {
            uint64_t next = skua_timer_queue_deadline(&queue);
            now = rng() % 3 == 0 ? next : std::max(now, now + (rng() >> (rng() % 64)));
            ASSERT_TRUE(now >= next || skua_timer_queue_pop(&queue, now) == nullptr);
            uint64_t before = 0;
            while (skua_timer *timer = skua_timer_queue_pop(&queue, now)) {
                ASSERT_LE(timer->deadline_ns, now);
                ASSERT_GE(timer->deadline_ns, before);
                before = timer->deadline_ns;
                fired++;
            }
        }
        EXPECT_EQ(skua_timer_queue_deadline(&queue), UINT64_MAX);
    }
}

/* Timers that are taken back leave nothing behind that grows. */
TEST(TimerQueue, RemovedTimersDoNotPileUp)
{
    auto timers = make_timers(3);
    Queue queue;

    ASSERT_EQ(skua_timer_queue_add(&queue, &timers[0], 1000), 0);
    for (uint64_t i = 0; i < 100000; i++) {
        ASSERT_EQ(skua_timer_queue_add(&queue, &timers[1], 1000000 + i), 0);
        ASSERT_EQ(skua_timer_queue_add(&queue, &timers[2], i % 7), 0);
        ASSERT_TRUE(skua_timer_queue_remove(&queue, &timers[1]));
        ASSERT_TRUE(skua_timer_queue_remove(&queue, &timers[2]));
    }
    EXPECT_LT(queue.number_capacity, 2000u);
    EXPECT_LT(queue.chunk_count, 200u);
    EXPECT_EQ(skua_timer_queue_pop(&queue, 1000), &timers[0]);
}

TEST(TimerQueue, BehavesLikeAnOrderedMap)
{
    using Key = std::pair<uint64_t, uint64_t>; /* deadline, age */
    auto timers = make_timers(2000);
    std::vector<Key> keys(timers.size(), Key(UINT64_MAX, UINT64_MAX));
    std::map<Key, skua_timer *> model;
    std::minstd_rand rng(42);
    Queue queue;
    uint64_t age = 0;

    for (unsigned step = 0; step < 100000; step++) {
        /* Long tides, so that it grows and shrinks. */
        bool is_rising = (step / 5000) % 2 == 0;
        size_t pick = rng() % timers.size();
        unsigned dice = static_cast<unsigned>(rng() % 10);
        if (dice < (is_rising ? 7u : 2u)) {
            if (timers[pick].index != SKUA_TIMER_NONE)
                continue;
            uint64_t deadline = rng() % 500;
            ASSERT_EQ(skua_timer_queue_add(&queue, &timers[pick], deadline), 0);
            keys[pick] = Key(deadline, age++);
            model[keys[pick]] = &timers[pick];
        } else if (dice < 9) {
            bool is_in = timers[pick].index != SKUA_TIMER_NONE;
            ASSERT_EQ(is_in, model.erase(keys[pick]) == 1);
            ASSERT_EQ(skua_timer_queue_remove(&queue, &timers[pick]), is_in);
            keys[pick] = Key(UINT64_MAX, UINT64_MAX);
        } else {
            uint64_t now = rng() % 500;
            bool is_due = !model.empty() && model.begin()->first.first <= now;
            skua_timer *want = is_due ? model.begin()->second : nullptr;
            ASSERT_EQ(skua_timer_queue_pop(&queue, now), want);
            if (is_due) {
                keys[static_cast<size_t>(want - timers.data())] = Key(UINT64_MAX, UINT64_MAX);
                model.erase(model.begin());
            }
        }
        ASSERT_EQ(skua_timer_queue_count(&queue), model.size());
        uint64_t look = skua_timer_queue_deadline(&queue);
        ASSERT_LE(look, model.empty() ? UINT64_MAX : model.begin()->first.first);
        ASSERT_TRUE(!model.empty() || look == UINT64_MAX);
    }
}

} // namespace
