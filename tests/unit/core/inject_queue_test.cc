/*
 * tests/unit/core/inject_queue_test.cc - core/inject_queue.c: order, chains, and many threads.
 */
#include "../../support/inject_queue_shim.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

namespace
{

struct Destroy {
    void operator()(inject_queue_shim *q) const
    {
        inject_queue_shim_destroy(q);
    }
};
using Queue = std::unique_ptr<inject_queue_shim, Destroy>;

Queue make_queue()
{
    return Queue(inject_queue_shim_create());
}

TEST(InjectQueue, AnEmptyQueueGivesNothing)
{
    Queue q = make_queue();
    size_t item = 0;

    EXPECT_EQ(inject_queue_shim_pop(q.get(), &item, 1), 0u);
    EXPECT_EQ(inject_queue_shim_count(q.get()), 0u);
}

TEST(InjectQueue, ChainsComeOutInTheOrderTheyWentIn)
{
    Queue q = make_queue();
    size_t items[16] = {};

    ASSERT_EQ(inject_queue_shim_push(q.get(), 1, 1), 0);
    ASSERT_EQ(inject_queue_shim_push(q.get(), 2, 5), 0);
    ASSERT_EQ(inject_queue_shim_push(q.get(), 7, 2), 0);
    EXPECT_EQ(inject_queue_shim_count(q.get()), 8u);
    ASSERT_EQ(inject_queue_shim_pop(q.get(), items, 16), 8u);
    for (size_t i = 0; i < 8; i++)
        EXPECT_EQ(items[i], i + 1);
    EXPECT_EQ(inject_queue_shim_count(q.get()), 0u);
}

TEST(InjectQueue, PopTakesNoMoreThanAsked)
{
    Queue q = make_queue();
    size_t items[4] = {};

    ASSERT_EQ(inject_queue_shim_push(q.get(), 1, 3), 0);
    EXPECT_EQ(inject_queue_shim_pop(q.get(), items, 0), 0u);
    ASSERT_EQ(inject_queue_shim_pop(q.get(), items, 2), 2u);
    EXPECT_EQ(items[0], 1u);
    EXPECT_EQ(items[1], 2u);
    EXPECT_EQ(inject_queue_shim_count(q.get()), 1u);
    ASSERT_EQ(inject_queue_shim_pop(q.get(), items, 4), 1u);
    EXPECT_EQ(items[0], 3u);
}

TEST(InjectQueue, CanBeFilledAgainAfterItRanEmpty)
{
    Queue q = make_queue();
    size_t items[4] = {};

    for (size_t round = 0; round < 3; round++) {
        ASSERT_EQ(inject_queue_shim_push(q.get(), round * 10, 2), 0);
        ASSERT_EQ(inject_queue_shim_pop(q.get(), items, 4), 2u);
        EXPECT_EQ(items[0], round * 10);
        EXPECT_EQ(items[1], round * 10 + 1);
    }
}

TEST(InjectQueue, ManyThreadsTakeEachItemOnce)
{
    const size_t producers = 2, consumers = 2, chains = 2000, chain = 3;
    const size_t total = producers * chains * chain;
    Queue q = make_queue();
    std::vector<std::atomic<unsigned>> taken(total);
    std::atomic<size_t> taken_count{0};
    std::vector<std::thread> threads;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);

    for (size_t p = 0; p < producers; p++) {
        threads.emplace_back([&, p] {
            for (size_t i = 0; i < chains; i++)
                ASSERT_EQ(inject_queue_shim_push(q.get(), (p * chains + i) * chain, chain), 0);
        });
    }
    for (size_t c = 0; c < consumers; c++) {
        threads.emplace_back([&] {
            size_t items[8];
            while (taken_count.load() < total && std::chrono::steady_clock::now() < deadline) {
                size_t n = inject_queue_shim_pop(q.get(), items, 8);
                for (size_t i = 0; i < n; i++)
                    taken[items[i]].fetch_add(1);
                taken_count.fetch_add(n);
                if (n == 0)
                    std::this_thread::yield();
            }
        });
    }
    for (std::thread &thread : threads)
        thread.join();
    ASSERT_EQ(taken_count.load(), total);
    for (size_t i = 0; i < total; i++)
        ASSERT_EQ(taken[i].load(), 1u) << i;
    EXPECT_EQ(inject_queue_shim_count(q.get()), 0u);
}

} // namespace
