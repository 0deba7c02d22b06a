/*
 * Tests cancellation: of a task in every state, level-triggered, forwarded through awaits; of jobs.
 */
#include "support/fd_guard.h"
#include "support/hang_guard.h"
#include "support/runtime_kit.h"

#include <atomic>
#include <poll.h>
#include <csignal>
#include <fcntl.h>
#include <functional>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace skua_test;

namespace
{

class Cancel : public testing::Test
{
  protected:
    FdGuard fds_;
    HangGuard hang_;
};

/* A pipe nobody writes to. */
struct Pipe {
    int ends[2] = {-1, -1};

    Pipe()
    {
        EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    }
    Pipe(const Pipe &) = delete;
    Pipe &operator=(const Pipe &) = delete;
    ~Pipe()
    {
        close(ends[0]);
        close(ends[1]);
    }
};

intptr_t sleepForever(void *)
{
    return skua_sleep_until(SKUA_FOREVER);
}

TEST_F(Cancel, AnUnstartedTaskNeverRuns)
{
    runInTask(
        [] {
            bool ran = false;
            auto body = [&]() -> intptr_t { return ran = true; };
            skua_future *future = spawnBody(body);
            EXPECT_EQ(skua_cancel(future), 0);
            EXPECT_EQ(skua_cancel(future), -EALREADY);
            EXPECT_EQ(skua_await(future), -ECANCELED);
            EXPECT_EQ(skua_yield(), 0);
            EXPECT_FALSE(ran);
        },
        1);
}

TEST_F(Cancel, ADoneTaskSaysAlready)
{
    runInTask([] {
        auto body = []() -> intptr_t { return 5; };
        skua_future *future = spawnBody(body);
        EXPECT_TRUE(yieldUntil([&] { return skua_future_peek(future, nullptr) == 0; }));
        EXPECT_EQ(skua_cancel(future), -EALREADY);
        EXPECT_EQ(skua_await(future), 5);
    });
}

TEST_F(Cancel, WhatCouldNotBeMadeSaysAlready)
{
    skua_future *future = skua_spawn(sleepForever, nullptr);
    EXPECT_EQ(skua_cancel(future), -EALREADY);
    EXPECT_EQ(skua_await(future), -EPERM);
}

/* A wait of each kind, entered by a task that is cancelled in it. */
struct Wait {
    const char *name;
    const char *state;
    std::function<intptr_t()> enter;
};

std::vector<Wait> waits(const Promise &never, const Pipe &silent)
{
    return {
        {"sleeper", "sleeping", [] { return skua_sleep(3600 * SKUA_NS_PER_SEC); }},
        {"eternal", "sleeping", [] { return skua_sleep_until(SKUA_FOREVER); }},
        {"parker", "parked", [] { return skua_park(SKUA_FOREVER); }},
        {"late parker", "parked", [] { return skua_park(skua_after(3600 * SKUA_NS_PER_SEC)); }},
        {"awaiter", "awaiting", [&] { return skua_await(skua_future_ref(never.future)); }},
        {"late awaiter", "awaiting",
         [&] {
             return skua_await_until(never.future, skua_after(3600 * SKUA_NS_PER_SEC), nullptr);
         }},
        {"reader", "in I/O",
         [&]() -> intptr_t {
             char byte;
             return skua_read(silent.ends[0], &byte, 1);
         }},
    };
}

class CancelByWorkers : public Cancel, public testing::WithParamInterface<unsigned>
{
};

INSTANTIATE_TEST_SUITE_P(Workers, CancelByWorkers, testing::Values(1u, 2u, 4u));

TEST_P(CancelByWorkers, EndsEveryKindOfWait)
{
    runInTask(
        [] {
            Promise never;
            Pipe silent;
            for (Wait &wait : waits(never, silent)) {
                skua_future *future = spawnNamed(wait.name, wait.enter);
                ASSERT_TRUE(yieldUntilState(wait.name, wait.state)) << wait.name;
                EXPECT_EQ(skua_cancel(future), 0) << wait.name;
                EXPECT_EQ(skua_await(future), -ECANCELED) << wait.name;
            }
            EXPECT_EQ(skua_future_peek(never.future, nullptr), -EAGAIN);
            skua_future_unref(never.future);
            skua_promise_unref(never.promise);
        },
        GetParam());
}

TEST_P(CancelByWorkers, EndsEveryKindOfWaitFromAForeignThread)
{
    Runtime runtime(GetParam());
    Promise never;
    Pipe silent;
    for (Wait &wait : waits(never, silent)) {
        auto body = [&]() -> intptr_t { return skua_await(spawnNamed(wait.name, wait.enter)); };
        skua_future *future = submitBody(runtime.get(), body);
        ASSERT_TRUE(pollUntil([&] { return stateOf(runtime.get(), wait.name) == wait.state; }));
        EXPECT_EQ(skua_cancel(future), 0) << wait.name;
        EXPECT_EQ(skua_await(future), -ECANCELED) << wait.name;
    }
    skua_future_unref(never.future);
    skua_promise_unref(never.promise);
}

TEST_F(Cancel, EveryWaitOfACancelledTaskIsCancelledUntilItEnds)
{
    runInTask([] {
        Promise never;
        Pipe silent;
        auto body = [&]() -> intptr_t {
            EXPECT_EQ(skua_sleep_until(SKUA_FOREVER), -ECANCELED);
            EXPECT_TRUE(skua_cancelled());
            for (int i = 0; i < 3; i++) {
                char byte;
                EXPECT_EQ(skua_sleep_until(SKUA_FOREVER), -ECANCELED);
                EXPECT_EQ(skua_sleep(1), -ECANCELED);
                EXPECT_EQ(skua_yield(), -ECANCELED);
                EXPECT_EQ(skua_park(SKUA_FOREVER), -ECANCELED);
                EXPECT_EQ(skua_await(skua_future_ref(never.future)), -ECANCELED);
                EXPECT_EQ(skua_await_until(never.future, SKUA_FOREVER, nullptr), -ECANCELED);
                EXPECT_EQ(skua_read(silent.ends[0], &byte, 1), -ECANCELED);
                EXPECT_EQ(skua_hop(nullptr), -ECANCELED);
                EXPECT_EQ(skua_hop_back(), 0);
            }
            return 8;
        };
        skua_future *future = spawnNamed("stubborn", body);
        EXPECT_TRUE(yieldUntilState("stubborn", "sleeping"));
        EXPECT_EQ(skua_cancel(future), 0);
        EXPECT_EQ(skua_await(future), 8);
        skua_future_unref(never.future);
        skua_promise_unref(never.promise);
    });
}

TEST_F(Cancel, ACancelledTaskMayStillSpawnAndSeesResultsThatAreThere)
{
    runInTask([] {
        auto child = []() -> intptr_t { return 3; };
        auto body = [&]() -> intptr_t {
            skua_future *done = spawnBody(child);
            EXPECT_TRUE(yieldUntil([&] { return skua_future_peek(done, nullptr) == 0; }));
            EXPECT_EQ(skua_sleep_until(SKUA_FOREVER), -ECANCELED);
            intptr_t result = kNoResult;
            EXPECT_EQ(skua_await_until(skua_future_ref(done), 0, &result), 0);
            EXPECT_EQ(result, 3);
            EXPECT_EQ(skua_await(done), 3);
            EXPECT_EQ(skua_unpark(skua_self()), 0);
            EXPECT_EQ(skua_park(SKUA_FOREVER), 0); /* a token that is there beats the cancel */
            bool ran = false;
            auto late = [&]() -> intptr_t { return ran = true; };
            skua_future *spawned = spawnBody(late);
            /* An await of an unstarted task cancels it; somebody may have started it before. */
            intptr_t rc = skua_await(spawned);
            EXPECT_TRUE(ran ? rc == 1 : rc == -ECANCELED) << rc;
            return 0;
        };
        skua_future *future = spawnNamed("cancelled", body);
        EXPECT_TRUE(yieldUntilState("cancelled", "sleeping"));
        EXPECT_EQ(skua_cancel(future), 0);
        EXPECT_EQ(skua_await(future), 0);
    });
}

TEST_F(Cancel, ARunningTaskSeesItWhenItLooks)
{
    runInTask([] {
        std::atomic<bool> started{false};
        auto body = [&]() -> intptr_t {
            started = true;
            uint64_t deadline = skua_after(10 * SKUA_NS_PER_SEC);
            while (!skua_cancelled() && skua_now() < deadline)
                ;
            return skua_yield();
        };
        skua_future *future = spawnBody(body);
        EXPECT_TRUE(yieldUntil([&] { return started.load(); }));
        EXPECT_EQ(skua_cancel(future), 0);
        EXPECT_EQ(skua_await(future), -ECANCELED);
    });
}

TEST_F(Cancel, OfATaskThatAwaitsAnotherIsForwarded)
{
    for (unsigned workers : {1u, 2u})
        runInTask(
            [] {
                skua_future *inner = nullptr;
                auto sleeper = []() -> intptr_t {
                    EXPECT_EQ(skua_sleep_until(SKUA_FOREVER), -ECANCELED);
                    return 21;
                };
                inner = spawnNamed("inner", sleeper);
                EXPECT_TRUE(yieldUntilState("inner", "sleeping"));
                auto awaiter = [&]() -> intptr_t {
                    EXPECT_EQ(skua_await(skua_future_ref(inner)), 21);
                    EXPECT_TRUE(skua_cancelled());
                    return 22;
                };
                skua_future *outer = spawnNamed("outer", awaiter);
                EXPECT_TRUE(yieldUntilState("outer", "awaiting"));
                EXPECT_EQ(skua_cancel(outer), 0);
                EXPECT_EQ(skua_await(outer), 22);
                EXPECT_EQ(skua_await(inner), 21);
            },
            workers);
}

/* Each awaits the next, in place as far as the stack goes; the last one sleeps. */
intptr_t nest(void *arg)
{
    intptr_t left = reinterpret_cast<intptr_t>(arg);
    if (left == 0)
        return skua_sleep_until(SKUA_FOREVER) == -ECANCELED ? 1 : -EIO;
    intptr_t rc = skua_await(skua_spawn(nest, reinterpret_cast<void *>(left - 1)));
    return rc < 0 || !skua_cancelled() ? -EIO : rc + 1;
}

TEST_F(Cancel, ReachesTheBottomOfANestOfAwaits)
{
    for (unsigned workers : {1u, 2u})
        runInTask(
            [] {
                skua_runtime *runtime = skua_runtime_current();
                skua_future *future = skua_spawn(nest, reinterpret_cast<void *>(20));
                skua_task_info list[32];
                EXPECT_TRUE(yieldUntil([&] {
                    ssize_t n = skua_runtime_list(runtime, list, 32);
                    for (ssize_t i = 0; i < n && i < 32; i++) {
                        if (std::string(list[i].state) == "sleeping")
                            return true;
                    }
                    return false;
                }));
                EXPECT_EQ(skua_cancel(future), 0);
                EXPECT_EQ(skua_await(future), 21);
            },
            workers);
}

TEST_F(Cancel, OfATaskInPlaceLeavesItsAwaiterAlone)
{
    runInTask(
        [] {
            std::atomic<skua_future *> inner{nullptr};
            auto canceller = [&]() -> intptr_t {
                EXPECT_TRUE(yieldUntil([&] { return inner != nullptr; }));
                return skua_cancel(inner);
            };
            auto sleeper = [&]() -> intptr_t {
                inner = skua_self();
                return skua_sleep_until(SKUA_FOREVER);
            };
            skua_future *cancelling = spawnBody(canceller);
            EXPECT_EQ(skua_await(spawnBody(sleeper)), -ECANCELED);
            EXPECT_FALSE(skua_cancelled());
            EXPECT_EQ(skua_sleep(1000), 0);
            EXPECT_EQ(skua_await(cancelling), 0);
        },
        1);
}

TEST_F(Cancel, OfAnAwaitWithADeadlineIsNotForwarded)
{
    runInTask([] {
        Promise gate;
        auto slow = [&]() -> intptr_t { return skua_await(gate.future); };
        skua_future *inner = spawnNamed("slow", slow);
        auto awaiter = [&]() -> intptr_t { return skua_await_until(inner, SKUA_FOREVER, nullptr); };
        skua_future *outer = spawnNamed("outer", awaiter);
        EXPECT_TRUE(yieldUntilState("outer", "awaiting"));
        EXPECT_EQ(skua_cancel(outer), 0);
        EXPECT_EQ(skua_await(outer), -ECANCELED);
        EXPECT_EQ(skua_future_peek(inner, nullptr), -EAGAIN);
        EXPECT_EQ(skua_promise_set(gate.promise, 5), 0);
        skua_promise_unref(gate.promise);
        EXPECT_EQ(skua_await(inner), 5);
    });
}

TEST_F(Cancel, OfATaskOnAnExecutorEndsItsWait)
{
    runInTask([] {
        auto sleeper = []() -> intptr_t {
            EXPECT_EQ(skua_hop(nullptr), 0);
            EXPECT_EQ(skua_sleep_until(SKUA_FOREVER), -ECANCELED);
            EXPECT_EQ(skua_yield(), -ECANCELED);
            EXPECT_EQ(skua_hop_back(), 0);
            return skua_sleep_until(SKUA_FOREVER);
        };
        skua_future *future = spawnNamed("hopped", sleeper);
        EXPECT_TRUE(yieldUntilState("hopped", "sleeping"));
        EXPECT_EQ(skua_cancel(future), 0);
        EXPECT_EQ(skua_await(future), -ECANCELED);
    });
}

/* It is refused, for the job may go on; but its waits end, and it can ask. */
TEST_F(Cancel, ARunningJobIsTold)
{
    runInTask([] {
        Promise gate;
        std::atomic<bool> started{false};
        auto body = [&]() -> intptr_t {
            EXPECT_FALSE(skua_cancelled());
            started = true;
            EXPECT_EQ(skua_await(gate.future), -ECANCELED);
            EXPECT_TRUE(skua_cancelled());
            EXPECT_EQ(skua_sleep(SKUA_NS_PER_SEC), -ECANCELED); /* and stay so */
            return 4;
        };
        skua_future *job = offloadBody(nullptr, body);
        EXPECT_TRUE(yieldUntil([&] { return started.load(); }));
        EXPECT_EQ(skua_cancel(job), -EBUSY);
        EXPECT_TRUE(yieldUntil([&] { return skua_future_peek(job, nullptr) == 0; }));
        EXPECT_EQ(skua_cancel(job), -EALREADY);
        EXPECT_EQ(skua_await(job), 4);
        skua_promise_unref(gate.promise);
        auto next = []() -> intptr_t { return skua_cancelled(); };
        EXPECT_EQ(skua_await(offloadBody(nullptr, next)), 0); /* that was the job, not the thread */
    });
}

/* A system call of the job's own is interrupted, where the executor is to do so. */
TEST_F(Cancel, ASignalEndsABlockingCallOfARunningJob)
{
    struct sigaction action = {}, old;
    action.sa_handler = [](int) {};
    ASSERT_EQ(sigaction(SIGUSR2, &action, &old), 0);
    runInTask([] {
        skua_executor_options options{};
        options.cancel_signal = SIGRTMAX + 1;
        skua_executor *executor = nullptr;
        EXPECT_EQ(skua_executor_create(nullptr, &options, &executor), -EINVAL);
        options.cancel_signal = SIGUSR2;
        ASSERT_EQ(skua_executor_create(nullptr, &options, &executor), 0);
        int fds[2];
        ASSERT_EQ(pipe(fds), 0);
        std::atomic<bool> started{false};
        auto body = [&]() -> intptr_t {
            char byte;
            started = true;
            return read(fds[0], &byte, 1) < 0 ? -errno : 0;
        };
        skua_future *job = offloadBody(executor, body);
        EXPECT_TRUE(yieldUntil([&] { return started.load(); }));
        while (skua_future_peek(job, nullptr) != 0) { /* one that comes too early is lost */
            int rc = skua_cancel(job);
            EXPECT_TRUE(rc == -EBUSY || rc == -EALREADY);
            EXPECT_EQ(skua_sleep(SKUA_NS_PER_MS), 0);
        }
        EXPECT_EQ(skua_await(job), -EINTR);
        EXPECT_EQ(skua_executor_destroy(executor), 0);
        close(fds[0]);
        close(fds[1]);
    });
    sigaction(SIGUSR2, &old, nullptr);
}

TEST_F(Cancel, ATaskLeavesARunningJobItAwaits)
{
    runInTask([] {
        std::atomic<bool> ended{false}, started{false}, open{false};
        auto body = [&]() -> intptr_t {
            started = true;
            while (!open)
                poll(nullptr, 0, 1);
            ended = true;
            return 0;
        };
        auto awaiter = [&]() -> intptr_t { return skua_await(offloadBody(nullptr, body)); };
        skua_future *outer = spawnNamed("outer", awaiter);
        EXPECT_TRUE(yieldUntilState("outer", "awaiting"));
        EXPECT_TRUE(yieldUntil([&] { return started.load(); }));
        EXPECT_EQ(skua_cancel(outer), 0);
        EXPECT_EQ(skua_await(outer), -ECANCELED);
        EXPECT_FALSE(ended);
        open = true;
        EXPECT_TRUE(yieldUntil([&] { return ended.load(); }));
    });
}

TEST_F(Cancel, RacesWithTheEndOfTheTask)
{
    const int rounds = SKUA_TESTS_SANITIZED ? 1000 : 10000;
    runInTask([rounds] {
        for (int i = 0; i < rounds; i++) {
            auto body = []() -> intptr_t {
                int rc = skua_yield();
                return rc < 0 ? rc : skua_sleep(10 * SKUA_NS_PER_US);
            };
            skua_future *future = spawnBody(body);
            for (int spin = 0; spin < i % 4; spin++)
                skua_yield();
            int rc = skua_cancel(future);
            intptr_t result = skua_await(future);
            ASSERT_TRUE(rc == 0 || rc == -EALREADY) << rc;
            ASSERT_TRUE(result == 0 || (rc == 0 && result == -ECANCELED)) << rc << ' ' << result;
        }
    });
}

TEST_F(Cancel, RacesWithReadsThatComplete)
{
    const int rounds = SKUA_TESTS_SANITIZED ? 300 : 2000;
    runInTask([rounds] {
        Pipe pipe;
        intptr_t delivered = 0, sent = 0;
        for (int i = 0; i < rounds; i++) {
            auto reader = [&]() -> intptr_t {
                char byte;
                return skua_read(pipe.ends[0], &byte, 1);
            };
            skua_future *reading = spawnNamed("reader", reader);
            /* A byte that a cancelled one left there may end it at once. */
            EXPECT_TRUE(yieldUntil([&] {
                return skua_future_peek(reading, nullptr) == 0 ||
                       stateOf(skua_runtime_current(), "reader") == "in I/O";
            }));
            EXPECT_EQ(write(pipe.ends[1], "x", 1), 1);
            sent++;
            skua_cancel(reading);
            intptr_t got = skua_await(reading);
            ASSERT_TRUE(got == 1 || got == -ECANCELED) << got;
            delivered += got == 1;
        }
        /* A byte is in the pipe or was given to somebody. */
        std::vector<char> rest(static_cast<size_t>(rounds) + 1);
        close(pipe.ends[1]);
        ssize_t left = read(pipe.ends[0], rest.data(), rest.size());
        pipe.ends[1] = dup(pipe.ends[0]);
        EXPECT_EQ(delivered + left, sent);
    });
}

} // namespace
