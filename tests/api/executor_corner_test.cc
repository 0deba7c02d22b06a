/*
 * Corners of executors that once were bugs: destroying from a task, places of cancelled jobs,
 * stacks of jobs run in place, threads that end as a job comes.
 */
#include "support/child.h"
#include "support/fd_guard.h"
#include "support/hang_guard.h"
#include "support/runtime_kit.h"
#include <algorithm>
#include <atomic>
#include <thread>
#include <unistd.h>
#include <vector>
using namespace skua_test;
namespace
{
skua_executor *make(unsigned threads, unsigned queue_max)
{
    skua_executor_options options{};
    options.threads_max = threads;
    options.queue_max = queue_max;
    skua_executor *ex = nullptr;
    EXPECT_EQ(skua_executor_create(nullptr, &options, &ex), 0);
    return ex;
}
/* destroy from a task blocks its worker, which a job may need. */
TEST(ExecutorCorner, DestroyFromATaskDoesNotBlockItsWorker)
{
    auto result = run_child(
        [] {
            runInTask(
                [] {
                    skua_executor *ex = make(1, 0);
                    std::atomic<bool> in{false};
                    auto task = []() -> intptr_t { return skua_sleep(1000) + 1; };
                    auto job = [&]() -> intptr_t {
                        in = true;
                        return skua_await(spawnBody(task));
                    };
                    skua_future *f = offloadBody(ex, job);
                    while (!in)
                        skua_yield();
                    EXPECT_EQ(skua_executor_destroy(ex), 0);
                    EXPECT_EQ(skua_await(f), 1);
                },
                1);
            return testing::Test::HasFailure();
        },
        5000);
    EXPECT_FALSE(result.timed_out);
}
/* a cancelled job keeps its place in the bounded queue. */
TEST(ExecutorCorner, ACancelledJobMakesRoomInTheQueue)
{
    runInTask([] {
        skua_executor *ex = make(1, 1);
        std::atomic<bool> in{false}, go{false};
        auto busy = [&]() -> intptr_t {
            in = true;
            while (!go)
                poll(nullptr, 0, 1);
            return 0;
        };
        auto quick = []() -> intptr_t { return 1; };
        skua_future *first = offloadBody(ex, busy);
        while (!in)
            skua_yield();
        skua_future *second = offloadBody(ex, quick);
        EXPECT_EQ(skua_cancel(second), 0);
        skua_future *third = offloadBody(ex, quick);
        go = true;
        EXPECT_EQ(skua_await(third), 1);
        EXPECT_EQ(skua_await(second), -ECANCELED);
        EXPECT_EQ(skua_await(first), 0);
        EXPECT_EQ(skua_executor_destroy(ex), 0);
    });
}
__attribute__((noinline)) intptr_t useStack(size_t bytes)
{
    volatile char *room = static_cast<volatile char *>(__builtin_alloca(bytes));
    for (size_t at = bytes; at > 4096; at -= 4096)
        room[at - 1] = 1;
    room[0] = 1;
    return room[0];
}
/* a job run in place by a hopped task has the task's stack, unchecked. */
TEST(ExecutorCorner, AJobAwaitedByAHoppedTaskHasAThreadsStack)
{
    auto result = run_child([] {
        skua_options options{};
        auto first = []() -> intptr_t {
            auto job = []() -> intptr_t { return useStack(size_t{200} << 10); };
            skua_executor *ex = make(1, 0);
            if (skua_hop(ex) < 0)
                return -1;
            intptr_t rc = skua_await(offloadBody(ex, job));
            skua_hop_back();
            return rc == 1 && skua_executor_destroy(ex) == 0 ? 0 : 1;
        };
        return static_cast<int>(skua_run(&options, callValue<decltype(first)>, &first));
    });
    EXPECT_EQ(result.signal, 0) << result.output;
    EXPECT_EQ(result.exit_code, 0);
}
/* 3b: jobs that await jobs of the same executor nest without a stack check. */
intptr_t nest(void *arg)
{
    intptr_t left = reinterpret_cast<intptr_t>(arg);
    volatile char room[4096];
    room[0] = 1;
    if (left == 0)
        return 0;
    intptr_t rc =
        skua_await(skua_run_in_executor(nullptr, nest, reinterpret_cast<void *>(left - 1)));
    return rc < 0 ? rc : rc + room[0];
}
TEST(ExecutorCorner, ALongChainOfJobsThatAwaitOneAnotherDoesNotOverflowAThread)
{
    auto result = run_child([] {
        skua_options options{};
        options.blocking_threads = 1;
        auto first = []() -> intptr_t {
            return skua_await(skua_run_in_executor(nullptr, nest, reinterpret_cast<void *>(3000)));
        };
        intptr_t rc = skua_run(&options, callValue<decltype(first)>, &first);
        return rc == 3000 ? 0 : 1;
    });
    EXPECT_EQ(result.signal, 0) << result.output;
    EXPECT_EQ(result.exit_code, 0);
}
/* a thread that has decided to end is still counted: a job that comes then has nobody. */
TEST(ExecutorCorner, AJobThatComesAsTheLastThreadEndsIsRun)
{
    HangGuard hang;
    Runtime runtime(1);
    skua_executor_options options{};
    options.threads_max = 1;
    options.idle_timeout_ns = 20 * SKUA_NS_PER_US;
    skua_executor *executor = nullptr;
    ASSERT_EQ(skua_executor_create(runtime.get(), &options, &executor), 0);
    auto job = []() -> intptr_t { return 1; };
    for (int i = 0; i < 20000; i++) {
        uint64_t until = skua_after(static_cast<uint64_t>(i % 200) * SKUA_NS_PER_US);
        while (skua_now() < until)
            ;
        skua_future *f = offloadBody(executor, job);
        intptr_t rc = kNoResult;
        int got = skua_await_until(f, skua_after(20 * SKUA_NS_PER_SEC), &rc);
        ASSERT_EQ(got, 0) << "round " << i;
    }
    EXPECT_EQ(skua_executor_destroy(executor), 0);
}

/* Two threads that time out at once both ended, below the minimum. */
TEST(ExecutorCorner, IdleThreadsEndDownToTheMinimumAndNoFurther)
{
    runInTask([] {
        skua_executor_options options{};
        options.threads_max = 4;
        options.threads_min = 1;
        options.idle_timeout_ns = 5 * SKUA_NS_PER_MS;
        skua_executor *ex = nullptr;
        ASSERT_EQ(skua_executor_create(nullptr, &options, &ex), 0);
        int before = threadCount();
        std::atomic<int> in{0}, go{0};
        auto job = [&]() -> intptr_t {
            in++;
            while (in < 4)
                poll(nullptr, 0, 1);
            return 1;
        };
        for (int round = 0; round < 50; round++) {
            in = 0;
            skua_future *f[4];
            for (auto &x : f)
                x = offloadBody(ex, job);
            for (auto x : f)
                EXPECT_EQ(skua_await(x), 1);
            uint64_t until = skua_after(30 * SKUA_NS_PER_MS);
            while (skua_now() < until) {
                /* A listing made while threads end may miss one that lives; ten do not. */
                int most = 0;
                for (int look = 0; look < 10 && most < before + 1; look++)
                    most = std::max(most, threadCount());
                ASSERT_GE(most, before + 1) << "round " << round;
                skua_yield();
            }
        }
        EXPECT_EQ(skua_executor_destroy(ex), 0);
    });
}

} // namespace
