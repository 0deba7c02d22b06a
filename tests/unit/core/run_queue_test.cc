/*
 * tests/unit/core/run_queue_test.cc - core/run_queue.c by one thread at a time: order, limits and
 * wrap.
 */
#include "../../support/run_queue_shim.h"

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace
{

struct Destroy {
    void operator()(run_queue_shim *q) const
    {
        run_queue_shim_destroy(q);
    }
};
using Queue = std::unique_ptr<run_queue_shim, Destroy>;

Queue make_queue(uint64_t index = 0)
{
    return Queue(run_queue_shim_create(index));
}

const unsigned size = run_queue_shim_size();

void push_range(run_queue_shim *q, uintptr_t first, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        ASSERT_TRUE(run_queue_shim_push(q, first + i));
}

void expect_range(run_queue_shim *q, uintptr_t first, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        ASSERT_EQ(run_queue_shim_pop(q), first + i);
    EXPECT_EQ(run_queue_shim_pop(q), 0u);
}

TEST(RunQueue, AnEmptyQueueGivesNothing)
{
    Queue q = make_queue();
    Queue dst = make_queue();
    std::vector<uintptr_t> items(size);
    unsigned count = 77;

    EXPECT_EQ(run_queue_shim_pop(q.get()), 0u);
    EXPECT_EQ(run_queue_shim_steal(q.get(), dst.get(), &count), 0u);
    EXPECT_EQ(count, 0u);
    EXPECT_EQ(run_queue_shim_take_half(q.get(), items.data()), 0u);
    EXPECT_EQ(run_queue_shim_count(q.get()), 0u);
}

TEST(RunQueue, TheOwnerPopsInTheOrderOfItsPushes)
{
    Queue q = make_queue();

    push_range(q.get(), 1, 10);
    EXPECT_EQ(run_queue_shim_count(q.get()), 10u);
    expect_range(q.get(), 1, 10);
    EXPECT_EQ(run_queue_shim_count(q.get()), 0u);
}

TEST(RunQueue, AFullQueueRefusesUntilOneIsTaken)
{
    Queue q = make_queue();

    push_range(q.get(), 1, size);
    EXPECT_FALSE(run_queue_shim_push(q.get(), 999));
    EXPECT_EQ(run_queue_shim_count(q.get()), size);
    EXPECT_EQ(run_queue_shim_pop(q.get()), 1u);
    EXPECT_TRUE(run_queue_shim_push(q.get(), size + 1));
    EXPECT_FALSE(run_queue_shim_push(q.get(), 999));
    expect_range(q.get(), 2, size);
}

TEST(RunQueue, ThiefTakesHalfRoundedUp)
{
    for (unsigned n = 1; n <= size; n++) {
        Queue q = make_queue();
        Queue dst = make_queue();
        unsigned count = 0;

        push_range(q.get(), 1, n);
        ASSERT_EQ(run_queue_shim_steal(q.get(), dst.get(), &count), 1u);
        ASSERT_EQ(count, (n + 1) / 2);
        ASSERT_EQ(run_queue_shim_count(dst.get()), count - 1);
        expect_range(dst.get(), 2, count - 1);
        expect_range(q.get(), 1 + count, n - count);
    }
}

TEST(RunQueue, WhatWasStolenCanBeStolenAgain)
{
    Queue a = make_queue();
    Queue b = make_queue(5);
    Queue c = make_queue(size - 1);
    unsigned count = 0;

    push_range(a.get(), 1, 8);
    EXPECT_EQ(run_queue_shim_steal(a.get(), b.get(), &count), 1u);
    EXPECT_EQ(count, 4u);
    EXPECT_EQ(run_queue_shim_steal(b.get(), c.get(), &count), 2u);
    EXPECT_EQ(count, 2u);
    expect_range(c.get(), 3, 1);
    expect_range(b.get(), 4, 1);
    expect_range(a.get(), 5, 4);
}

TEST(RunQueue, StealingOneLeavesTheThiefsQueueEmpty)
{
    Queue q = make_queue();
    Queue dst = make_queue();
    unsigned count = 0;

    push_range(q.get(), 7, 1);
    EXPECT_EQ(run_queue_shim_steal(q.get(), dst.get(), &count), 7u);
    EXPECT_EQ(count, 1u);
    EXPECT_EQ(run_queue_shim_count(dst.get()), 0u);
    EXPECT_EQ(run_queue_shim_count(q.get()), 0u);
}

TEST(RunQueue, TakeHalfTakesTheOldestHalfOfAFullQueueOnly)
{
    Queue q = make_queue(3);
    std::vector<uintptr_t> items(size / 2);

    push_range(q.get(), 1, size - 1);
    EXPECT_EQ(run_queue_shim_take_half(q.get(), items.data()), 0u);
    push_range(q.get(), size, 1);
    ASSERT_EQ(run_queue_shim_take_half(q.get(), items.data()), size / 2);
    for (unsigned i = 0; i < size / 2; i++)
        EXPECT_EQ(items[i], i + 1);
    expect_range(q.get(), size / 2 + 1, size / 2);
}

/* The same random story told to the queue and to a deque, from indices about to wrap. */
class RunQueueWrap : public testing::TestWithParam<uint64_t>
{
};

TEST_P(RunQueueWrap, BehavesLikeADequeWhileItsIndicesWrap)
{
    Queue q = make_queue(GetParam());
    Queue dst = make_queue(GetParam() + 3);
    std::deque<uintptr_t> model;
    std::vector<uintptr_t> items(size / 2);
    std::minstd_rand rng(1234);
    uintptr_t next = 1;

    for (unsigned step = 0; step < 20000; step++) {
        unsigned dice = static_cast<unsigned>(rng() % 100);
        if (dice < 55) {
            ASSERT_EQ(run_queue_shim_push(q.get(), next), model.size() < size);
            if (model.size() < size)
                model.push_back(next++);
        } else if (dice < 97) {
            uintptr_t want = model.empty() ? 0 : model.front();
            ASSERT_EQ(run_queue_shim_pop(q.get()), want);
            if (want != 0)
                model.pop_front();
        } else if (dice < 98) {
            unsigned want = model.size() == size ? size / 2 : 0;
            ASSERT_EQ(run_queue_shim_take_half(q.get(), items.data()), want);
            for (unsigned i = 0; i < want; i++, model.pop_front())
                ASSERT_EQ(items[i], model.front());
        } else {
            unsigned count = 0;
            uintptr_t got = run_queue_shim_steal(q.get(), dst.get(), &count);
            ASSERT_EQ(count, (model.size() + 1) / 2);
            for (; count > 0; count--, model.pop_front()) {
                ASSERT_EQ(got, model.front());
                got = run_queue_shim_pop(dst.get());
            }
            ASSERT_EQ(got, 0u);
        }
        ASSERT_EQ(run_queue_shim_count(q.get()), model.size());
    }
    EXPECT_GT(next, 1000u);
}

INSTANTIATE_TEST_SUITE_P(Start, RunQueueWrap,
                         testing::Values(UINT64_C(0), UINT64_C(250), (UINT64_C(1) << 32) - 300,
                                         (UINT64_C(1) << 63) - 300, UINT64_MAX - 300, UINT64_MAX));

TEST(RunQueueDeathTest, AThiefWhoseOwnQueueIsNotEmptyIsStopped)
{
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    Queue q = make_queue();
    Queue dst = make_queue();
    unsigned count = 0;

    push_range(q.get(), 1, 2);
    push_range(dst.get(), 3, 1);
    EXPECT_DEATH(run_queue_shim_steal(q.get(), dst.get(), &count), "");
}

} // namespace
