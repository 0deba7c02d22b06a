/*
 * Tests skua_runtime_stop() and what a program sees while and after it.
 */
#include "support/fd_guard.h"
#include "support/hang_guard.h"
#include "support/runtime_kit.h"

#include <atomic>
#include <fcntl.h>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace skua_test;

namespace
{

class Stop : public testing::Test
{
  protected:
    FdGuard fds_;
    HangGuard hang_;
};

intptr_t sleepForever(void *)
{
    return skua_sleep_until(SKUA_FOREVER);
}

TEST_F(Stop, ModesThatDoNotExistAreRefused)
{
    Runtime runtime(1);
    EXPECT_EQ(runtime.stop(static_cast<skua_stop_mode>(7)), -EINVAL);
    auto body = []() -> intptr_t { return 1; };
    EXPECT_EQ(runtime.run(body), 1);
}

TEST_F(Stop, DrainWaitsForEveryTaskAndJob)
{
    Runtime runtime(2);
    std::atomic<int> ended{0};
    auto task = [&]() -> intptr_t {
        EXPECT_EQ(skua_sleep(5 * SKUA_NS_PER_MS), 0);
        return ++ended > 0;
    };
    auto hopped = [&]() -> intptr_t {
        EXPECT_EQ(skua_hop(nullptr), 0);
        EXPECT_EQ(skua_sleep(5 * SKUA_NS_PER_MS), 0);
        return ++ended > 0;
    };
    std::vector<skua_future *> futures;
    for (int i = 0; i < 20; i++) {
        futures.push_back(submitBody(runtime.get(), task));
        futures.push_back(submitBody(runtime.get(), hopped));
        futures.push_back(offloadBody(skua_executor_cpu(runtime.get()), task));
    }
    EXPECT_TRUE(pollUntil([&] { return ended > 0; }));
    EXPECT_EQ(runtime.stop(SKUA_STOP_DRAIN), 0);
    EXPECT_EQ(ended, 60);
    for (skua_future *future : futures) {
        intptr_t result = kNoResult;
        EXPECT_EQ(skua_future_take(future, &result), 0);
        EXPECT_EQ(result, 1);
    }
}

TEST_F(Stop, CancelEndsTasksInEveryState)
{
    Runtime runtime(2);
    Promise never;
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    auto sleeper = []() -> intptr_t { return skua_sleep_until(SKUA_FOREVER); };
    auto parker = []() -> intptr_t { return skua_park(SKUA_FOREVER); };
    auto awaiter = [&]() -> intptr_t { return skua_await(skua_future_ref(never.future)); };
    auto reader = [&]() -> intptr_t {
        char byte;
        return skua_read(ends[0], &byte, 1);
    };
    auto hopper = []() -> intptr_t {
        int rc = skua_hop(nullptr);
        return rc < 0 ? rc : skua_sleep_until(SKUA_FOREVER);
    };
    auto nested = [&]() -> intptr_t { return skua_await(spawnBody(sleeper)); };
    std::vector<skua_future *> futures;
    for (int i = 0; i < 10; i++) {
        futures.push_back(submitBody(runtime.get(), sleeper));
        futures.push_back(submitBody(runtime.get(), parker));
        futures.push_back(submitBody(runtime.get(), awaiter));
        futures.push_back(submitBody(runtime.get(), reader));
        futures.push_back(submitBody(runtime.get(), hopper));
        futures.push_back(submitBody(runtime.get(), nested));
    }
    skua_task_info tasks[128];
    EXPECT_TRUE(pollUntil([&] {
        ssize_t count = skua_runtime_list(runtime.get(), tasks, 128);
        ssize_t waiting = 0;
        for (ssize_t i = 0; i < count; i++) {
            std::string state = tasks[i].state;
            waiting += state != "ready" && state != "running" && state != "hopping";
        }
        return count == 70 && waiting == 70;
    }));
    EXPECT_EQ(runtime.stop(SKUA_STOP_CANCEL), 0);
    for (skua_future *future : futures) {
        intptr_t result = kNoResult;
        EXPECT_EQ(skua_future_take(future, &result), 0);
        EXPECT_EQ(result, -ECANCELED);
    }
    skua_promise_unref(never.promise);
    EXPECT_EQ(skua_await(never.future), -EOWNERDEAD);
    close(ends[0]);
    close(ends[1]);
}

TEST_F(Stop, CancelDropsJobsThatHaveNotStartedAndWaitsForTheOthers)
{
    skua_options options = testOptions(1);
    options.blocking_threads = 1;
    Runtime runtime(options);
    std::atomic<int> started{0};
    auto job = [&]() -> intptr_t {
        started++;
        uint64_t deadline = skua_after(5 * SKUA_NS_PER_MS);
        while (skua_now() < deadline)
            poll(nullptr, 0, 1);
        return 4;
    };
    std::vector<skua_future *> futures;
    constexpr int kJobs = 400; /* for two seconds, however late the stop comes */
    for (int i = 0; i < kJobs; i++)
        futures.push_back(offloadBody(skua_executor_blocking(runtime.get()), job));
    EXPECT_TRUE(pollUntil([&] { return started > 0; }));
    EXPECT_EQ(runtime.stop(SKUA_STOP_CANCEL), 0);
    int ran = 0, dropped = 0;
    for (skua_future *future : futures) {
        intptr_t result = skua_await(future);
        ran += result == 4;
        dropped += result == -ECANCELED;
    }
    EXPECT_EQ(ran, started);
    EXPECT_EQ(ran + dropped, kJobs);
    EXPECT_GT(dropped, 0);
}

TEST_F(Stop, ADeadlineThatPassesLeavesTheRuntimeAndNamesWhatIsStuck)
{
    Runtime runtime(2);
    Promise gate;
    skua_future *stuck = nullptr;
    auto waiter = [&]() -> intptr_t { return skua_await(skua_future_ref(gate.future)); };
    auto spawner = [&]() -> intptr_t {
        stuck = spawnNamed("stuck", waiter);
        return 0;
    };
    EXPECT_EQ(runtime.run(spawner), 0);
    EXPECT_TRUE(pollUntil([&] { return stateOf(runtime.get(), "stuck") == "awaiting"; }));
    uint64_t deadline = skua_after(10 * SKUA_NS_PER_MS);
    EXPECT_EQ(runtime.stop(SKUA_STOP_DRAIN, deadline), -ETIMEDOUT);
    EXPECT_GE(skua_now(), deadline);
    EXPECT_EQ(runtime.stop(SKUA_STOP_DRAIN, 0), -ETIMEDOUT);
    skua_task_info tasks[2];
    ASSERT_EQ(skua_runtime_list(runtime.get(), tasks, 2), 1);
    EXPECT_STREQ(tasks[0].name, "stuck");
    EXPECT_STREQ(tasks[0].state, "awaiting");
    EXPECT_NE(std::string(tasks[0].site).find("runtime_kit.h"), std::string::npos);
    EXPECT_EQ(skua_promise_set(gate.promise, 6), 0);
    EXPECT_EQ(runtime.stop(SKUA_STOP_DRAIN), 0);
    EXPECT_EQ(skua_await(stuck), 6);
    skua_promise_unref(gate.promise);
    skua_future_unref(gate.future);
}

TEST_F(Stop, ADrainThatTimesOutMayBeFollowedByACancel)
{
    Runtime runtime(1);
    skua_future *future = skua_submit(runtime.get(), sleepForever, nullptr);
    EXPECT_EQ(runtime.stop(SKUA_STOP_DRAIN, skua_after(SKUA_NS_PER_MS)), -ETIMEDOUT);
    EXPECT_EQ(runtime.stop(SKUA_STOP_CANCEL), 0);
    EXPECT_EQ(skua_await(future), -ECANCELED);
}

TEST_F(Stop, NewWorkIsRefusedOnceItHasBegun)
{
    Runtime runtime(2);
    Promise gate;
    auto child = []() -> intptr_t { return 1; };
    auto witness = [&]() -> intptr_t {
        EXPECT_EQ(skua_await(skua_future_ref(gate.future)), 0);
        EXPECT_EQ(skua_await(spawnBody(child)), -ESHUTDOWN);
        skua_future *future = nullptr;
        EXPECT_EQ(skua_spawn_with(nullptr, callValue<decltype(child)>, &child, &future),
                  -ESHUTDOWN);
        EXPECT_EQ(skua_await(offloadBody(nullptr, child)), -ESHUTDOWN);
        skua_executor *executor = nullptr;
        EXPECT_EQ(skua_executor_create(nullptr, nullptr, &executor), -ESHUTDOWN);
        EXPECT_EQ(skua_sleep(1000), 0);
        return 5;
    };
    skua_future *future = submitBody(runtime.get(), witness);
    EXPECT_EQ(runtime.stop(SKUA_STOP_DRAIN, skua_after(5 * SKUA_NS_PER_MS)), -ETIMEDOUT);
    EXPECT_EQ(skua_await(submitBody(runtime.get(), child)), -ESHUTDOWN);
    EXPECT_EQ(skua_await(offloadBody(skua_executor_cpu(runtime.get()), child)), -ESHUTDOWN);
    skua_executor *executor = nullptr;
    EXPECT_EQ(skua_executor_create(runtime.get(), nullptr, &executor), -ESHUTDOWN);
    EXPECT_EQ(skua_promise_set(gate.promise, 0), 0);
    EXPECT_EQ(runtime.stop(SKUA_STOP_DRAIN), 0);
    EXPECT_EQ(skua_await(future), 5);
    skua_promise_unref(gate.promise);
    skua_future_unref(gate.future);
}

TEST_F(Stop, ATaskThatDoesNotGiveUpIsWaitedFor)
{
    Runtime runtime(2);
    std::atomic<bool> go{false}, runs{false};
    auto stubborn = [&]() -> intptr_t {
        runs = true;
        while (!go)
            (void)skua_yield();
        return 9;
    };
    skua_future *future = submitBody(runtime.get(), stubborn);
    EXPECT_TRUE(pollUntil([&] { return runs.load(); }));
    EXPECT_EQ(runtime.stop(SKUA_STOP_CANCEL, skua_after(10 * SKUA_NS_PER_MS)), -ETIMEDOUT);
    skua_task_info task;
    EXPECT_EQ(skua_runtime_list(runtime.get(), &task, 1), 1);
    go = true;
    EXPECT_EQ(runtime.stop(SKUA_STOP_CANCEL), 0);
    EXPECT_EQ(skua_await(future), 9);
}

TEST_F(Stop, RunCancelsWhatItsTaskLeavesBehind)
{
    std::atomic<int> cancelled{0};
    auto child = [&]() -> intptr_t {
        int rc = skua_sleep_until(SKUA_FOREVER);
        cancelled += rc == -ECANCELED;
        return rc;
    };
    runInTask([&] {
        for (int i = 0; i < 10; i++)
            skua_future_unref(spawnNamed("left", child));
        skua_task_info tasks[16];
        EXPECT_TRUE(yieldUntil([&] {
            ssize_t count = skua_runtime_list(skua_runtime_current(), tasks, 16);
            int asleep = 0;
            for (ssize_t i = 0; i < count; i++)
                asleep += std::string(tasks[i].state) == "sleeping";
            return asleep == 10;
        }));
    });
    EXPECT_EQ(cancelled, 10);
}

TEST_F(Stop, CancelBeforeAnythingStartedRunsNothing)
{
    for (int i = 0; i < 50; i++) {
        Runtime runtime(1);
        std::vector<skua_future *> futures;
        for (int j = 0; j < 20; j++)
            futures.push_back(skua_submit(runtime.get(), sleepForever, nullptr));
        EXPECT_EQ(runtime.stop(SKUA_STOP_CANCEL), 0);
        for (skua_future *future : futures)
            EXPECT_EQ(skua_await(future), -ECANCELED);
    }
}

TEST_F(Stop, RacesWithSubmitsFromForeignThreads)
{
    for (int round = 0; round < (SKUA_TESTS_SANITIZED ? 5 : 30); round++) {
        Runtime runtime(2);
        skua_runtime *handle = runtime.get();
        std::atomic<int> accepted{0}, ran{0};
        std::atomic<int> refusals{0};
        auto task = [&]() -> intptr_t { return ++ran > 0; };
        std::vector<std::thread> threads;
        for (int i = 0; i < 3; i++)
            threads.emplace_back([&] {
                for (;;) {
                    intptr_t rc = skua_await(submitBody(handle, task));
                    if (rc != 1) {
                        EXPECT_EQ(rc, -ESHUTDOWN);
                        refusals++;
                        return;
                    }
                    accepted++;
                }
            });
        EXPECT_TRUE(pollUntil([&] { return accepted > 50; }));
        /* A task of the test's own keeps the runtime there until the last submit was refused. */
        auto keeper = [&]() -> intptr_t {
            while (refusals < 3)
                (void)skua_yield();
            return 0;
        };
        skua_future *keeping = submitBody(handle, keeper);
        EXPECT_EQ(runtime.stop(SKUA_STOP_DRAIN), 0);
        for (auto &thread : threads)
            thread.join();
        EXPECT_EQ(skua_await(keeping), 0);
        EXPECT_EQ(accepted, ran);
    }
}

TEST_F(Stop, RacesWithForeignUnparksAndSets)
{
    for (int round = 0; round < (SKUA_TESTS_SANITIZED ? 20 : 200); round++) {
        Runtime runtime(2);
        Promise gate;
        auto parker = []() -> intptr_t { return skua_park(SKUA_FOREVER); };
        auto awaiter = [&]() -> intptr_t { return skua_await(skua_future_ref(gate.future)); };
        skua_future *parked = submitBody(runtime.get(), parker);
        skua_future *awaiting = submitBody(runtime.get(), awaiter);
        std::thread other([&] {
            skua_unpark(parked);
            skua_promise_set(gate.promise, 1);
            skua_promise_unref(gate.promise);
        });
        EXPECT_EQ(runtime.stop(round % 2 ? SKUA_STOP_DRAIN : SKUA_STOP_CANCEL), 0);
        other.join();
        intptr_t rc = skua_await(parked);
        EXPECT_TRUE(rc == 0 || (round % 2 == 0 && rc == -ECANCELED)) << rc;
        rc = skua_await(awaiting);
        EXPECT_TRUE(rc == 1 || (round % 2 == 0 && rc == -ECANCELED)) << rc;
        skua_future_unref(gate.future);
    }
}

} // namespace
