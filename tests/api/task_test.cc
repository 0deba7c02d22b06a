/*
 * Tests skua/task.h: spawning, results, running in place, yielding, names, options.
 */
#include "support/fd_guard.h"
#include "support/hang_guard.h"
#include "support/runtime_kit.h"

#include <atomic>
#include <cstring>
#include <fcntl.h>
#include <functional>
#include <string>
#include <unistd.h>
#include <vector>

using namespace skua_test;

namespace
{

class Task : public testing::Test
{
  protected:
    FdGuard fds_;
    HangGuard hang_;
};

intptr_t returnArg(void *arg)
{
    return reinterpret_cast<intptr_t>(arg);
}

void *asArg(intptr_t value)
{
    return reinterpret_cast<void *>(value);
}

TEST_F(Task, AwaitGivesTheValueTheTaskReturned)
{
    runInTask([] {
        EXPECT_EQ(skua_await(skua_spawn(returnArg, asArg(42))), 42);
        EXPECT_EQ(skua_await(skua_spawn(returnArg, asArg(0))), 0);
        EXPECT_EQ(skua_await(skua_spawn(returnArg, asArg(INTPTR_MIN))), INTPTR_MIN);
        EXPECT_EQ(skua_await(skua_spawn(returnArg, asArg(-4096))), -4096);
    });
}

TEST_F(Task, AwaitGivesTheErrorTheTaskReturned)
{
    runInTask([] {
        EXPECT_EQ(skua_await(skua_spawn(returnArg, asArg(-EIO))), -EIO);
        EXPECT_EQ(skua_await(skua_spawn(returnArg, asArg(-4095))), -4095);
    });
}

TEST_F(Task, SpawnOfNothingIsAFailedFuture)
{
    runInTask([] {
        skua_future *future = skua_spawn(nullptr, nullptr);
        ASSERT_NE(future, nullptr);
        intptr_t result = kNoResult;
        EXPECT_EQ(skua_future_peek(future, &result), 0);
        EXPECT_EQ(result, -EINVAL);
        EXPECT_EQ(skua_await(future), -EINVAL);
    });
}

TEST_F(Task, SpawnOutsideARuntimeIsAFailedFuture)
{
    EXPECT_EQ(skua_await(skua_spawn(returnArg, nullptr)), -EPERM);
}

TEST_F(Task, SpawnWithRefusesWhatTheHeaderForbids)
{
    runInTask([] {
        skua_future *const untouched = reinterpret_cast<skua_future *>(0x10);
        skua_future *future = untouched;
        skua_task_options options{};
        EXPECT_EQ(skua_spawn_with(&options, nullptr, nullptr, &future), -EINVAL);
        EXPECT_EQ(skua_spawn_with(&options, returnArg, nullptr, nullptr), -EINVAL);
        EXPECT_EQ(skua_spawn_with(nullptr, returnArg, nullptr, nullptr), -EINVAL);
        options.flags = 4;
        EXPECT_EQ(skua_spawn_with(&options, returnArg, nullptr, &future), -EINVAL);
        options = {};
        options.reserved_flags = 1;
        EXPECT_EQ(skua_spawn_with(&options, returnArg, nullptr, &future), -EINVAL);
        options = {};
        options.reserved[3] = 1;
        EXPECT_EQ(skua_spawn_with(&options, returnArg, nullptr, &future), -EINVAL);
        options = {};
        options.stack_size_bytes = (size_t{1} << 30) + 1;
        EXPECT_EQ(skua_spawn_with(&options, returnArg, nullptr, &future), -EINVAL);
        options.stack_size_bytes = SIZE_MAX;
        EXPECT_EQ(skua_spawn_with(&options, returnArg, nullptr, &future), -EINVAL);
        EXPECT_EQ(future, untouched);
    });
}

TEST_F(Task, SpawnWithOutsideARuntimeIsRefused)
{
    skua_future *future = nullptr;
    EXPECT_EQ(skua_spawn_with(nullptr, returnArg, nullptr, &future), -EPERM);
    EXPECT_EQ(future, nullptr);
}

/* A cancel before the first statement: without the flag the task would not run at all. */
TEST_F(Task, WithItsStackAtOnceItRunsInAnyCase)
{
    runInTask(
        [] {
            bool is_cancelled = false;
            auto body = [&]() -> intptr_t {
                is_cancelled = skua_cancelled();
                return 7;
            };
            skua_task_options options{};
            options.flags = SKUA_TASK_STACK_NOW;
            skua_future *future = nullptr;
            ASSERT_EQ(skua_spawn_with(&options, callValue<decltype(body)>, &body, &future), 0);
            EXPECT_EQ(skua_cancel(future), 0);
            EXPECT_EQ(skua_await(future), 7);
            EXPECT_TRUE(is_cancelled);
            options.stack_size_bytes = size_t{1} << 20;
            ASSERT_EQ(skua_spawn_with(&options, callValue<decltype(body)>, &body, &future), 0);
            EXPECT_EQ(skua_await(future), 7); /* at once: not in place, for it has a stack */
            EXPECT_FALSE(is_cancelled);
        },
        1);
}

TEST_F(Task, SpawnWithoutOptionsIsAPlainSpawn)
{
    runInTask([] {
        skua_future *future = nullptr;
        ASSERT_EQ(skua_spawn_with(nullptr, returnArg, asArg(7), &future), 0);
        EXPECT_EQ(skua_await(future), 7);
    });
}

TEST_F(Task, ADetachedTaskRunsAndGivesNoHandle)
{
    runInTask([] {
        std::atomic<int> runs{0};
        auto body = [&]() -> intptr_t { return ++runs; };
        skua_task_options options{};
        options.flags = SKUA_TASK_DETACHED;
        skua_future *future = reinterpret_cast<skua_future *>(0x10);
        EXPECT_EQ(skua_spawn_with(&options, callValue<decltype(body)>, &body, &future), 0);
        EXPECT_EQ(future, nullptr);
        EXPECT_EQ(skua_spawn_with(&options, callValue<decltype(body)>, &body, nullptr), 0);
        EXPECT_TRUE(yieldUntil([&] { return runs == 2; }));
    });
}

TEST_F(Task, AMillionTasksEachRunOnce)
{
    const size_t count = SKUA_TESTS_SANITIZED ? 50000 : 1000000;
    runInTask([count] {
        std::atomic<uint64_t> sum{0};
        auto body = [&]() -> intptr_t {
            sum.fetch_add(1, std::memory_order_relaxed);
            return 1;
        };
        std::vector<skua_future *> futures(count);
        for (auto &future : futures)
            future = spawnBody(body);
        intptr_t results = 0;
        for (skua_future *future : futures)
            results += skua_await(future);
        EXPECT_EQ(results, static_cast<intptr_t>(count));
        EXPECT_EQ(sum.load(), count);
    });
}

intptr_t fib(void *arg)
{
    intptr_t n = reinterpret_cast<intptr_t>(arg);
    if (n < 2)
        return n;
    skua_future *left = skua_spawn(fib, asArg(n - 1));
    intptr_t right = fib(asArg(n - 2));
    return skua_await(left) + right;
}

class TaskByWorkers : public Task, public testing::WithParamInterface<unsigned>
{
};

INSTANTIATE_TEST_SUITE_P(Workers, TaskByWorkers, testing::Values(1u, 2u, 4u));

TEST_P(TaskByWorkers, FibonacciBySpawnAndAwaitIsRight)
{
    skua_options options{};
    options.workers = GetParam();
    bool slow = SKUA_TESTS_SANITIZED;
    EXPECT_EQ(skua_run(&options, fib, asArg(slow ? 18 : 25)), slow ? 2584 : 75025);
}

/* Each task awaits the next one: in place until the stack is short, then parked. */
intptr_t chain(void *arg)
{
    intptr_t left = reinterpret_cast<intptr_t>(arg);
    if (left == 0)
        return 0;
    intptr_t below = skua_await(skua_spawn(chain, asArg(left - 1)));
    return below < 0 ? below : below + 1;
}

TEST_P(TaskByWorkers, AChainOfAwaitsMayBeDeeperThanAnyStack)
{
    skua_options options{};
    options.workers = GetParam();
    const intptr_t depth = SKUA_TESTS_SANITIZED ? 500 : 10000;
    EXPECT_EQ(skua_run(&options, chain, asArg(depth)), depth);
}

intptr_t alternate(void *arg)
{
    auto *trace = static_cast<std::pair<std::string *, char> *>(arg);
    for (int i = 0; i < 1000; i++) {
        trace->first->push_back(trace->second);
        skua_yield();
    }
    return 0;
}

TEST_F(Task, TwoYieldersAlternate)
{
    std::string trace;
    runInTask(
        [&] {
            std::pair<std::string *, char> a{&trace, 'a'}, b{&trace, 'b'};
            skua_future *first = skua_spawn(alternate, &a);
            skua_future *second = skua_spawn(alternate, &b);
            intptr_t rc = 0;
            EXPECT_EQ(skua_await_until(first, SKUA_FOREVER, &rc), 0);
            EXPECT_EQ(skua_await_until(second, SKUA_FOREVER, &rc), 0);
        },
        1);
    ASSERT_EQ(trace.size(), 2000u);
    for (size_t i = 0; i < trace.size(); i += 2)
        ASSERT_NE(trace[i], trace[i + 1]) << "at " << i;
}

TEST_F(Task, AYieldGoesBehindEverythingReady)
{
    runInTask(
        [] {
            std::vector<int> order;
            std::vector<skua_future *> futures;
            std::vector<std::function<intptr_t()>> bodies;
            for (int i = 0; i < 20; i++)
                bodies.push_back([&order, i]() -> intptr_t {
                    order.push_back(i);
                    return 0;
                });
            for (auto &body : bodies)
                futures.push_back(spawnBody(body));
            EXPECT_EQ(skua_yield(), 0);
            ASSERT_EQ(order.size(), 20u);
            for (int i = 0; i < 20; i++)
                EXPECT_EQ(order[static_cast<size_t>(i)], i);
            for (skua_future *future : futures)
                skua_await(future);
        },
        1);
}

/* Yields until told to stop or ten seconds have passed. */
struct Yielder {
    std::atomic<bool> stop{false};
    uint64_t deadline = skua_after(10 * SKUA_NS_PER_SEC);

    intptr_t operator()()
    {
        intptr_t turns = 0;
        for (; !stop && skua_now() < deadline; turns++)
            skua_yield();
        return stop ? turns : -ETIMEDOUT;
    }
};

TEST_F(Task, AYielderStarvesNoTimer)
{
    runInTask(
        [] {
            Yielder yielder;
            skua_future *future = spawnBody(yielder);
            EXPECT_EQ(skua_sleep(SKUA_NS_PER_MS), 0);
            yielder.stop = true;
            EXPECT_GE(skua_await(future), 0);
        },
        1);
}

TEST_F(Task, AYielderStarvesNoIo)
{
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    runInTask(
        [&] {
            Yielder yielder;
            auto reader = [&]() -> intptr_t {
                char byte;
                ssize_t got = skua_read(ends[0], &byte, 1);
                yielder.stop = true;
                return got;
            };
            skua_future *yielding = spawnBody(yielder);
            skua_future *reading = spawnNamed("reader", reader);
            EXPECT_TRUE(yieldUntilState("reader", "in I/O"));
            EXPECT_EQ(write(ends[1], "x", 1), 1);
            EXPECT_GE(skua_await(yielding), 0);
            EXPECT_EQ(skua_await(reading), 1);
        },
        1);
    close(ends[0]);
    close(ends[1]);
}

TEST_F(Task, AYielderStarvesNothingSubmittedFromOutside)
{
    Runtime runtime(1);
    Yielder yielder;
    skua_future *yielding = submitBody(runtime.get(), yielder);
    auto stopper = [&]() -> intptr_t {
        yielder.stop = true;
        return 0;
    };
    EXPECT_EQ(skua_await(submitBody(runtime.get(), stopper)), 0);
    EXPECT_GE(skua_await(yielding), 0);
}

/* Two tasks that wake each other all the time go through the next slot. */
struct PingPong {
    std::atomic<bool> stop{false};
    skua_future *tasks[2] = {nullptr, nullptr};
    uint64_t deadline = skua_after(10 * SKUA_NS_PER_SEC);

    intptr_t play(int me)
    {
        while (!stop && skua_now() < deadline) {
            skua_unpark(tasks[1 - me]);
            skua_park(skua_after(SKUA_NS_PER_MS));
        }
        skua_unpark(tasks[1 - me]);
        return stop ? 0 : -ETIMEDOUT;
    }
};

TEST_F(Task, TasksThatWakeEachOtherDoNotStarveTheQueue)
{
    runInTask(
        [] {
            PingPong game;
            auto ping = [&]() -> intptr_t { return game.play(0); };
            auto pong = [&]() -> intptr_t { return game.play(1); };
            auto stopper = [&]() -> intptr_t {
                game.stop = true;
                return 0;
            };
            game.tasks[0] = spawnBody(ping);
            game.tasks[1] = spawnBody(pong);
            EXPECT_EQ(skua_sleep(SKUA_NS_PER_MS), 0);
            skua_future *last = spawnBody(stopper);
            intptr_t rc = kNoResult;
            EXPECT_EQ(skua_await_until(last, SKUA_FOREVER, &rc), 0);
            skua_future *handles[2] = {skua_future_ref(game.tasks[0]),
                                       skua_future_ref(game.tasks[1])};
            EXPECT_EQ(skua_await(game.tasks[0]), 0);
            EXPECT_EQ(skua_await(game.tasks[1]), 0);
            skua_future_unref(handles[0]);
            skua_future_unref(handles[1]);
        },
        1);
}

TEST_F(Task, YieldWorksEverywhere)
{
    EXPECT_EQ(skua_yield(), 0);
    runOnExecutor([] { EXPECT_EQ(skua_yield(), 0); });
    runInTask([] { EXPECT_EQ(skua_yield(), 0); });
}

TEST_F(Task, SelfIsTheFutureOfTheRunningTask)
{
    EXPECT_EQ(skua_self(), nullptr);
    runOnExecutor([] { EXPECT_EQ(skua_self(), nullptr); });
    runInTask([] {
        skua_future *seen = nullptr;
        auto body = [&]() -> intptr_t {
            seen = skua_self();
            EXPECT_EQ(skua_future_peek(seen, nullptr), -EAGAIN);
            EXPECT_EQ(skua_yield(), 0);
            EXPECT_EQ(skua_self(), seen);
            return 0;
        };
        skua_future *future = spawnBody(body);
        skua_future *again = skua_future_ref(future);
        EXPECT_EQ(skua_await(future), 0);
        EXPECT_EQ(seen, again);
        EXPECT_NE(skua_self(), again);
        skua_future_unref(again);
    });
}

TEST_F(Task, AHandleTakenFromSelfOutlivesTheTask)
{
    runInTask([] {
        skua_future *kept = nullptr;
        auto body = [&]() -> intptr_t {
            kept = skua_future_ref(skua_self());
            return 5;
        };
        EXPECT_EQ(skua_await(spawnBody(body)), 5);
        EXPECT_EQ(skua_await(kept), 5);
    });
}

/* Tasks whose timers fire all the time do not keep what was submitted from its turn. */
TEST_F(Task, WhatIsSubmittedHasItsTurnBesideShortWaits)
{
    Runtime runtime(1);
    std::atomic<bool> stop{false};
    std::atomic<int> running{0};
    auto waiter = [&]() -> intptr_t {
        running++;
        while (!stop)
            EXPECT_EQ(skua_sleep(300), 0);
        return 0;
    };
    auto stopper = [&]() -> intptr_t {
        stop = true;
        return 0;
    };
    std::vector<skua_future *> futures;
    for (int i = 0; i < 20; i++) /* fewer than the turns between two looks */
        futures.push_back(submitBody(runtime.get(), waiter));
    EXPECT_TRUE(pollUntil([&] { return running == 20; }));
    futures.push_back(submitBody(runtime.get(), stopper));
    EXPECT_TRUE(pollUntil([&] { return stop.load(); }));
    stop = true;
    for (skua_future *future : futures)
        EXPECT_EQ(skua_await(future), 0);
}

TEST_F(Task, TheNameIsTheGivenOneElseTheSpawnSite)
{
    EXPECT_EQ(skua_task_name(), nullptr);
    runOnExecutor([] { EXPECT_EQ(skua_task_name(), nullptr); });
    runInTask([] {
        static const char name[] = "a name";
        std::string seen;
        auto body = [&]() -> intptr_t {
            seen = skua_task_name();
            return 0;
        };
        EXPECT_EQ(skua_await(spawnNamed(name, body)), 0);
        EXPECT_EQ(seen, name);
        std::string here = std::string("entry at ") + __FILE__ + ":" + std::to_string(__LINE__ + 2);
        skua_fn entry = callValue<decltype(body)>;
        EXPECT_EQ(skua_await(skua_spawn(entry, &body)), 0);
        EXPECT_EQ(seen, here);
    });
}

TEST_F(Task, CancelledIsFalseOutsideATaskAndInOneThatIsNot)
{
    EXPECT_FALSE(skua_cancelled());
    runOnExecutor([] { EXPECT_FALSE(skua_cancelled()); });
    runInTask([] { EXPECT_FALSE(skua_cancelled()); });
}

TEST_F(Task, ATaskThatAwaitsItselfIsTold)
{
    runInTask([] {
        EXPECT_EQ(skua_await(skua_future_ref(skua_self())), -EDEADLK);
        skua_future *self = skua_self();
        EXPECT_EQ(skua_await_until(self, SKUA_FOREVER, nullptr), -EDEADLK);
    });
}

TEST_F(Task, TheResultOfRunIsThatOfItsTask)
{
    EXPECT_EQ(skua_run(nullptr, returnArg, asArg(11)), 11);
    EXPECT_EQ(skua_run(nullptr, returnArg, asArg(-EIO)), -EIO);
    EXPECT_EQ(skua_run(nullptr, nullptr, nullptr), -EINVAL);
}

/* Touches every page of @bytes of the stack below the caller. */
__attribute__((noinline)) intptr_t useStack(size_t bytes)
{
    volatile char *room = static_cast<volatile char *>(__builtin_alloca(bytes));
    for (size_t at = bytes; at > 4096; at -= 4096)
        room[at - 1] = 1;
    room[0] = 1;
    return room[0];
}

class TaskStack : public Task, public testing::WithParamInterface<size_t>
{
};

INSTANTIATE_TEST_SUITE_P(Sizes, TaskStack,
                         testing::Values(size_t{1}, size_t{16} << 10, size_t{40} << 10,
                                         size_t{64} << 10, size_t{100000}, size_t{256} << 10,
                                         size_t{1} << 20, size_t{5} << 20));

TEST_P(TaskStack, AsManyBytesAsAskedForAreUsable)
{
    if (SKUA_TESTS_SANITIZED)
        GTEST_SKIP() << "sanitizer frames are larger";
    skua_options defaults{};
    auto first = []() -> intptr_t {
        auto body = []() -> intptr_t { return useStack(GetParam() - 4096); };
        auto small = []() -> intptr_t { return 1; };
        skua_task_options options{};
        options.stack_size_bytes = GetParam();
        skua_future *future = nullptr;
        int rc = GetParam() > 8192
                     ? skua_spawn_with(&options, callValue<decltype(body)>, &body, &future)
                     : skua_spawn_with(&options, callValue<decltype(small)>, &small, &future);
        return rc < 0 ? rc : skua_await(future);
    };
    EXPECT_EQ(skua_run(&defaults, callValue<decltype(first)>, &first), 1);
}

TEST_F(Task, ATaskRunInPlaceHasTheGuaranteedStack)
{
    if (SKUA_TESTS_SANITIZED)
        GTEST_SKIP() << "sanitizer frames are larger";
    skua_options options{};
    options.workers = 1;
    /* Awaited at every depth, in place or not: 32 KiB less the page must always be there. */
    auto deep = []() -> intptr_t { return useStack((size_t{32} << 10) - 4096); };
    auto first = [&]() -> intptr_t {
        auto at = [&](size_t used) __attribute__((noinline))
        {
            volatile char *room = static_cast<volatile char *>(__builtin_alloca(used));
            room[0] = 1;
            return skua_await(spawnBody(deep));
        };
        for (size_t used = 512; used < (size_t{48} << 10); used += 512) {
            if (at(used) != 1)
                return -EIO;
        }
        return 1;
    };
    EXPECT_EQ(skua_run(&options, callValue<decltype(first)>, &first), 1);
}

/* Each of these awaits runs its task in place, and none of them waits. */
void awaitInPlace(int count)
{
    auto nothing = []() -> intptr_t { return 1; };
    for (int i = 0; i < count; i++)
        ASSERT_EQ(skua_await(spawnBody(nothing)), 1);
}

TEST_F(Task, ARowOfAwaitsInPlaceLetsOthersRun)
{
    runInTask(
        [] {
            bool ran = false;
            auto other = [&]() -> intptr_t { return ran = true; };
            skua_future *future = spawnBody(other);
            uint64_t deadline_ns = skua_after(10 * SKUA_NS_PER_SEC);
            while (!ran && skua_now() < deadline_ns)
                awaitInPlace(10);
            EXPECT_TRUE(ran);
            EXPECT_EQ(skua_await(future), 1);
        },
        1);
}

/* A queue full of what is stale is rid of it, and of nothing else. */
TEST_F(Task, ThoseWhoAreReadyKeepTheirOrderInAQueueOfCancelledOnes)
{
    runInTask(
        [] {
            std::vector<int> order;
            std::vector<std::function<intptr_t()>> bodies;
            std::vector<skua_future *> futures;
            for (int i = 0; i < 300; i++)
                bodies.push_back([&order, i]() -> intptr_t {
                    order.push_back(i);
                    return i;
                });
            for (auto &body : bodies) {
                futures.push_back(spawnBody(body));
                if (futures.size() <= 200) {
                    EXPECT_EQ(skua_cancel(futures.back()), 0);
                }
            }
            ASSERT_TRUE(yieldUntil([&] { return order.size() == 100; }));
            for (int i = 0; i < 300; i++)
                EXPECT_EQ(skua_await(futures[i]), i < 200 ? -ECANCELED : i);
            for (int i = 0; i < 100; i++)
                EXPECT_EQ(order[i], 200 + i);
        },
        1);
}

} // namespace
