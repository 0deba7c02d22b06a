/*
 * tests/unit/core/timer_heap_test.cc - core/timer_heap.c against an ordered map.
 */
extern "C" {
#include "core/timer_heap.h"
}

#include <gtest/gtest.h>

#include <cerrno>
#include <map>
#include <random>
#include <utility>
#include <vector>

namespace
{

/* A heap that ends empty, whatever the test left in it. */
struct Heap : skua_timer_heap {
    Heap()
    {
        skua_timer_heap_init(this);
    }
    ~Heap()
    {
        while (skua_timer_heap_pop(this, UINT64_MAX) != nullptr)
            continue;
        skua_timer_heap_fini(this);
    }
    Heap(const Heap &) = delete;
    Heap &operator=(const Heap &) = delete;
};

std::vector<skua_timer> make_timers(size_t count)
{
    std::vector<skua_timer> timers(count);
    for (skua_timer &timer : timers)
        skua_timer_init(&timer);
    return timers;
}

TEST(TimerHeap, AnEmptyHeapHasNoDeadline)
{
    Heap heap;

    EXPECT_EQ(skua_timer_heap_deadline(&heap), UINT64_MAX);
    EXPECT_EQ(skua_timer_heap_pop(&heap, UINT64_MAX), nullptr);
}

TEST(TimerHeap, ATimerFiresAtItsDeadlineAndNotBefore)
{
    auto timers = make_timers(1);
    Heap heap;

    ASSERT_EQ(skua_timer_heap_add(&heap, &timers[0], 100), 0);
    EXPECT_EQ(skua_timer_heap_deadline(&heap), 100u);
    EXPECT_EQ(skua_timer_heap_pop(&heap, 99), nullptr);
    EXPECT_EQ(skua_timer_heap_pop(&heap, 100), &timers[0]);
    EXPECT_EQ(timers[0].index, SKUA_TIMER_NONE);
    EXPECT_EQ(skua_timer_heap_deadline(&heap), UINT64_MAX);
}

TEST(TimerHeap, EqualDeadlinesFireInTheOrderTheyWereAdded)
{
    auto timers = make_timers(300);
    Heap heap;

    for (size_t i = 0; i < timers.size(); i++)
        ASSERT_EQ(skua_timer_heap_add(&heap, &timers[i], i % 3), 0);
    for (size_t deadline = 0; deadline < 3; deadline++) {
        for (size_t i = deadline; i < timers.size(); i += 3)
            ASSERT_EQ(skua_timer_heap_pop(&heap, 10), &timers[i]);
    }
}

TEST(TimerHeap, AnyNodeCanBeRemoved)
{
    const size_t count = 100;

    for (size_t victim = 0; victim < count; victim++) {
        auto timers = make_timers(count);
        Heap heap;
        std::minstd_rand rng(7);
        for (skua_timer &timer : timers)
            ASSERT_EQ(skua_timer_heap_add(&heap, &timer, rng() % 1000), 0);
        skua_timer *removed = heap.entries[victim].timer;
        ASSERT_TRUE(skua_timer_heap_remove(&heap, removed));
        ASSERT_FALSE(skua_timer_heap_remove(&heap, removed));
        uint64_t before = 0;
        for (size_t left = count - 1; left > 0; left--) {
            skua_timer *timer = skua_timer_heap_pop(&heap, UINT64_MAX);
            ASSERT_NE(timer, nullptr);
            ASSERT_NE(timer, removed);
            ASSERT_GE(timer->deadline_ns, before);
            before = timer->deadline_ns;
        }
        ASSERT_EQ(heap.count, 0u);
    }
}

TEST(TimerHeap, APoppedTimerCanNotBeRemovedButCanBeAddedAgain)
{
    auto timers = make_timers(1);
    Heap heap;

    ASSERT_EQ(skua_timer_heap_add(&heap, &timers[0], 1), 0);
    ASSERT_EQ(skua_timer_heap_pop(&heap, 1), &timers[0]);
    EXPECT_FALSE(skua_timer_heap_remove(&heap, &timers[0]));
    ASSERT_EQ(skua_timer_heap_add(&heap, &timers[0], 2), 0);
    EXPECT_TRUE(skua_timer_heap_remove(&heap, &timers[0]));
}

TEST(TimerHeap, MemoryOfABurstIsGivenBack)
{
    auto timers = make_timers(10000);
    Heap heap;

    for (size_t i = 0; i < timers.size(); i++)
        ASSERT_EQ(skua_timer_heap_add(&heap, &timers[i], i), 0);
    EXPECT_GE(heap.capacity, timers.size());
    for (size_t i = 0; i < timers.size(); i++)
        ASSERT_EQ(skua_timer_heap_pop(&heap, UINT64_MAX), &timers[i]);
    EXPECT_LE(heap.capacity, 64u);
}

TEST(TimerHeap, AFailedAddLeavesTheHeapAndTheTimerAsTheyWere)
{
    auto timers = make_timers(2);
    Heap heap;

    ASSERT_EQ(skua_timer_heap_add(&heap, &timers[0], 5), 0);
    skua_timer_entry *entries = heap.entries;
    size_t capacity = heap.capacity;
    uint64_t sequence = heap.sequence_next;
    /* As if it were full, and twice that more than there are addresses. */
    heap.count = heap.capacity = SIZE_MAX / sizeof(skua_timer_entry);
    EXPECT_EQ(skua_timer_heap_add(&heap, &timers[1], 1), -ENOMEM);
    EXPECT_EQ(heap.count, SIZE_MAX / sizeof(skua_timer_entry));
    heap.count = 1;
    heap.capacity = capacity;
    EXPECT_EQ(heap.entries, entries);
    EXPECT_EQ(heap.sequence_next, sequence);
    EXPECT_EQ(timers[1].index, SKUA_TIMER_NONE);
    EXPECT_EQ(skua_timer_heap_pop(&heap, 5), &timers[0]);
}

TEST(TimerHeap, BehavesLikeAnOrderedMap)
{
    using Key = std::pair<uint64_t, uint64_t>; /* deadline, age */
    auto timers = make_timers(2000);
    std::vector<Key> keys(timers.size(), Key(UINT64_MAX, UINT64_MAX));
    std::map<Key, skua_timer *> model;
    std::minstd_rand rng(42);
    Heap heap;
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
            ASSERT_EQ(skua_timer_heap_add(&heap, &timers[pick], deadline), 0);
            keys[pick] = Key(deadline, age++);
            model[keys[pick]] = &timers[pick];
        } else if (dice < 9) {
            bool is_in = timers[pick].index != SKUA_TIMER_NONE;
            ASSERT_EQ(is_in, model.erase(keys[pick]) == 1);
            ASSERT_EQ(skua_timer_heap_remove(&heap, &timers[pick]), is_in);
            keys[pick] = Key(UINT64_MAX, UINT64_MAX);
        } else {
            uint64_t now = rng() % 500;
            bool is_due = !model.empty() && model.begin()->first.first <= now;
            skua_timer *want = is_due ? model.begin()->second : nullptr;
            ASSERT_EQ(skua_timer_heap_pop(&heap, now), want);
            if (is_due) {
                keys[static_cast<size_t>(want - timers.data())] = Key(UINT64_MAX, UINT64_MAX);
                model.erase(model.begin());
            }
        }
        ASSERT_EQ(heap.count, model.size());
        ASSERT_EQ(skua_timer_heap_deadline(&heap),
                  model.empty() ? UINT64_MAX : model.begin()->first.first);
    }
}

} // namespace
