/*
 * Tests skua_map(): order, window, errors, cancels, on tasks and on executors.
 */
#include "support/fd_guard.h"
#include "support/hang_guard.h"
#include "support/runtime_kit.h"

#include <atomic>
#include <vector>

using namespace skua_test;

namespace
{

std::atomic<int> g_started{0}, g_cancelled{0};

class Map : public testing::Test
{
  protected:
    void SetUp() override
    {
        g_started = 0;
        g_cancelled = 0;
    }

    FdGuard fds_;
    HangGuard hang_;
};

/* Runs until it is cancelled, and says so. */
intptr_t sleepsForEver(void *)
{
    g_started++;
    int rc = skua_sleep_until(SKUA_FOREVER);
    if (rc == -ECANCELED)
        g_cancelled++;
    return rc;
}

/* A task that has not started never does, if it is cancelled. */
void waitUntilStarted(int count)
{
    while (g_started < count)
        ASSERT_EQ(skua_sleep(100 * SKUA_NS_PER_US), 0);
}

struct Item {
    intptr_t value;
    std::atomic<int> *running;
    std::atomic<int> *most;
    std::atomic<int> *started;
};

intptr_t runItem(void *arg)
{
    auto *item = static_cast<Item *>(arg);
    int now = ++*item->running;
    ++*item->started;
    int most = item->most->load();
    while (now > most && !item->most->compare_exchange_weak(most, now)) {
    }
    for (int i = 0; i < 3; i++)
        (void)skua_yield();
    --*item->running;
    return item->value;
}

struct Items {
    std::atomic<int> running{0}, most{0}, started{0};
    std::vector<Item> items;
    explicit Items(size_t count)
    {
        for (size_t i = 0; i < count; i++)
            items.push_back({static_cast<intptr_t>(i), &running, &most, &started});
    }
};

TEST_F(Map, MapRunsAWindowAtATimeAndKeepsTheOrder)
{
    for (bool offload : {false, true})
        runInTask(
            [=] {
                Items items(200);
                skua_map_options options{};
                options.window = 4;
                options.executor = offload ? skua_executor_cpu(nullptr) : nullptr;
                std::vector<intptr_t> results(200, kNoResult);
                EXPECT_EQ(skua_map(&options, runItem, items.items.data(), sizeof(Item), 200,
                                   results.data()),
                          0);
                for (size_t i = 0; i < 200; i++)
                    EXPECT_EQ(results[i], static_cast<intptr_t>(i));
                EXPECT_LE(items.most, 4);
                EXPECT_EQ(items.started, 200);
            },
            3);
}

TEST_F(Map, MapStopsAtTheFirstErrorOrCollects)
{
    runInTask([] {
        Items items(100);
        items.items[10].value = -EIO;
        items.items[20].value = -EPIPE;
        skua_map_options options{};
        options.window = 1;
        std::vector<intptr_t> results(100, kNoResult);
        EXPECT_EQ(
            skua_map(&options, runItem, items.items.data(), sizeof(Item), 100, results.data()),
            -EIO);
        EXPECT_EQ(items.started, 11);
        EXPECT_EQ(results[9], 9);
        EXPECT_EQ(results[11], kNoResult);
        options.flags = SKUA_GATHER_COLLECT;
        options.window = 0;
        EXPECT_EQ(
            skua_map(&options, runItem, items.items.data(), sizeof(Item), 100, results.data()), 2);
        EXPECT_EQ(results[20], -EPIPE);
        EXPECT_EQ(results[99], 99);
    });
}

intptr_t failsOrSleeps(void *arg)
{
    return *static_cast<int *>(arg) ? -EIO : sleepsForEver(nullptr);
}

TEST_F(Map, MapMayCancelWhatRunsAfterAnError)
{
    runInTask(
        [] {
            int items[5] = {0, 0, 0, 0, 1};
            skua_map_options options{};
            options.flags = SKUA_GATHER_CANCEL;
            EXPECT_EQ(skua_map(&options, failsOrSleeps, items, sizeof(int), 5, nullptr), -EIO);
            EXPECT_EQ(g_cancelled, 4);
        },
        1);
}

TEST_F(Map, ACancelledMapEndsWhatRuns)
{
    runInTask(
        [] {
            auto body = [&]() -> intptr_t {
                int items[10] = {};
                skua_map_options options{};
                options.window = 4;
                return skua_map(&options, failsOrSleeps, items, sizeof(int), 10, nullptr);
            };
            skua_future *mapping = spawnNamed("mapping", body);
            EXPECT_TRUE(yieldUntilState("mapping", "awaiting"));
            waitUntilStarted(4);
            EXPECT_EQ(skua_cancel(mapping), 0);
            EXPECT_EQ(skua_await(mapping), -ECANCELED);
            EXPECT_EQ(g_cancelled, 4);
        },
        1);
}

TEST_F(Map, MapWaitsForAFullQueueOfTheExecutor)
{
    runInTask([] {
        skua_executor_options executor_options{};
        executor_options.threads_max = 1;
        executor_options.queue_max = 2;
        skua_executor *executor = nullptr;
        ASSERT_EQ(skua_executor_create(nullptr, &executor_options, &executor), 0);
        Items items(60);
        skua_map_options options{};
        options.executor = executor;
        std::vector<intptr_t> results(60, kNoResult);
        EXPECT_EQ(skua_map(&options, runItem, items.items.data(), sizeof(Item), 60, results.data()),
                  0);
        EXPECT_EQ(items.started, 60);
        EXPECT_EQ(skua_executor_destroy(executor), 0);
    });
}

TEST_F(Map, MapRefusesBadArguments)
{
    int items[2] = {1, 1};
    EXPECT_EQ(skua_map(nullptr, failsOrSleeps, items, sizeof(int), 2, nullptr), -EPERM);
    runInTask([&] {
        skua_map_options options{};
        EXPECT_EQ(skua_map(nullptr, failsOrSleeps, nullptr, 4, 0, nullptr), 0);
        EXPECT_EQ(skua_map(nullptr, nullptr, items, 4, 1, nullptr), -EINVAL);
        EXPECT_EQ(skua_map(nullptr, failsOrSleeps, nullptr, 4, 1, nullptr), -EINVAL);
        options.flags = 3;
        EXPECT_EQ(skua_map(&options, failsOrSleeps, items, 4, 1, nullptr), -EINVAL);
        options.flags = 0;
        options.reserved[3] = 1;
        EXPECT_EQ(skua_map(&options, failsOrSleeps, items, 4, 1, nullptr), -EINVAL);
    });
}

} // namespace
