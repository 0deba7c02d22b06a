/*
 * Tests what cancelling a task means for its jobs: those that have not started never do, those that
 * others run are cancelled with it, those of other tasks are left alone.
 */
#include "support/fd_guard.h"
#include "support/fork_kit.h"
#include "support/hang_guard.h"

#include <fcntl.h>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace skua_test;

namespace
{

constexpr uint64_t kLong = 3600 * SKUA_NS_PER_SEC; /* never within a test */

class ForkCancel : public testing::Test
{
  protected:
    FdGuard fds_;
    HangGuard hang_;
};

class ForkCancelByWorkers : public ForkCancel, public testing::WithParamInterface<unsigned>
{
};

INSTANTIATE_TEST_SUITE_P(Workers, ForkCancelByWorkers, testing::Values(1u, 2u, 4u));

intptr_t countRuns(void *arg)
{
    ++*static_cast<std::atomic<int> *>(arg);
    return 1;
}

/* ---- jobs that have not started -------------------------------------------------------------- */

TEST_P(ForkCancelByWorkers, JobsOfATaskCancelledBeforeItsFirstForkDoNotRun)
{
    runInTask(
        [] {
            std::atomic<int> ran{0};
            auto body = [&]() -> intptr_t {
                EXPECT_EQ(skua_cancel(skua_self()), 0);
                skua_job jobs[3];
                for (auto &job : jobs)
                    EXPECT_EQ(skua_fork(&job, countRuns, &ran), 0);
                EXPECT_EQ(skua_join(&jobs[1]), -ECANCELED);
                EXPECT_EQ(skua_join(&jobs[2]), -ECANCELED);
                EXPECT_EQ(skua_join(&jobs[0]), -ECANCELED);
                return 5;
            };
            EXPECT_EQ(skua_await(spawnBody(body)), 5);
            EXPECT_EQ(ran, 0);
        },
        GetParam());
}

TEST_F(ForkCancel, UnstartedJobsOfACancelledTaskDoNotRun)
{
    runInTask(
        [] {
            std::atomic<int> ran{0};
            auto body = [&]() -> intptr_t {
                skua_job before[3], after[3];
                for (auto &job : before)
                    EXPECT_EQ(skua_fork(&job, countRuns, &ran), 0);
                EXPECT_EQ(skua_join(&before[2]), 1);
                EXPECT_EQ(skua_cancel(skua_self()), 0);
                for (auto &job : after)
                    EXPECT_EQ(skua_fork(&job, countRuns, &ran), 0);
                for (int i = 2; i >= 0; i--)
                    EXPECT_EQ(skua_join(&after[i]), -ECANCELED) << i;
                EXPECT_EQ(skua_join(&before[0]), -ECANCELED);
                EXPECT_EQ(skua_join(&before[1]), -ECANCELED);
                return 5;
            };
            EXPECT_EQ(skua_await(spawnBody(body)), 5);
            EXPECT_EQ(ran, 1);
        },
        1);
}

TEST_F(ForkCancel, AForkAfterTheCancelDoesNotMakeJobsBeforeItRun)
{
    runInTask(
        [] {
            std::atomic<int> ran{0};
            auto body = [&]() -> intptr_t {
                skua_job first, second, third;
                skua_fork(&first, countRuns, &ran);
                skua_cancel(skua_self());
                skua_fork(&second, countRuns, &ran); /* takes note of whatever was left for us */
                EXPECT_EQ(skua_join(&second), -ECANCELED);
                skua_fork(&third, countRuns, &ran);
                EXPECT_EQ(skua_join(&third), -ECANCELED);
                EXPECT_EQ(skua_join(&first), -ECANCELED);
                return 5;
            };
            EXPECT_EQ(skua_await(spawnBody(body)), 5);
            EXPECT_EQ(ran, 0);
        },
        1);
}

TEST_P(ForkCancelByWorkers, ACancelFromAnotherThreadReachesATaskThatComputes)
{
    Runtime runtime(GetParam());
    std::atomic<bool> forked{false}, cancelled{false};
    std::atomic<int> ran{0};
    auto body = [&]() -> intptr_t {
        skua_job jobs[20];
        for (auto &job : jobs)
            skua_fork(&job, countRuns, &ran);
        forked = true;
        EXPECT_TRUE(spinUntil([&] { return cancelled.load(); }));
        int results = 0;
        for (int i = 19; i >= 0; i--) {
            intptr_t rc = skua_join(&jobs[i]);
            EXPECT_TRUE(rc == 1 || rc == -ECANCELED) << rc;
            results += rc == 1;
        }
        EXPECT_EQ(results, ran); /* thieves may have been faster than the cancel */
        skua_job late;
        skua_fork(&late, countRuns, &ran);
        EXPECT_EQ(skua_join(&late), -ECANCELED);
        EXPECT_EQ(results, ran);
        return 5;
    };
    skua_future *future = submitBody(runtime.get(), body);
    EXPECT_TRUE(pollUntil([&] { return forked.load(); }));
    EXPECT_EQ(skua_cancel(future), 0);
    cancelled = true;
    EXPECT_EQ(skua_await(future), 5);
    if (GetParam() == 1) {
        EXPECT_EQ(ran, 0);
    }
}

/* The deque's flags for the owner are used by thieves, too: none may be lost. */
TEST_F(ForkCancel, ACancelAmongThievesIsNotLost)
{
    Runtime runtime(4);
    const int rounds = SKUA_TESTS_SANITIZED ? 100 : 500;
    for (int round = 0; round < rounds && !HasFailure(); round++) {
        std::atomic<bool> forked{false}, cancelled{false};
        std::atomic<int> ran{0};
        auto body = [&]() -> intptr_t {
            skua_job first;
            skua_fork(&first, countRuns, &ran);
            for (int i = 0; !cancelled; i++) {
                skua_job job;
                skua_fork(&job, countRuns, &ran);
                if (i % 4 == 0)
                    spinFor(2000);
                skua_join(&job);
                forked = true;
            }
            std::atomic<int> ran_late{0};
            skua_job late;
            skua_fork(&late, countRuns, &ran_late);
            EXPECT_EQ(skua_join(&late), -ECANCELED);
            EXPECT_EQ(ran_late, 0);
            skua_join(&first); /* a thief may run it all the while */
            return 5;
        };
        skua_future *future = submitBody(runtime.get(), body);
        EXPECT_TRUE(pollUntil([&] { return forked.load(); }));
        EXPECT_EQ(skua_cancel(future), 0);
        cancelled = true;
        EXPECT_EQ(skua_await(future), 5);
    }
}

/* ---- jobs that others run -------------------------------------------------------------------- */

/* A job of a task that is cancelled while a thief runs it and it waits in @wait. */
template <class Wait> void expectStolenWaitEnds(Wait &&wait)
{
    std::atomic<bool> started{false};
    std::atomic<intptr_t> seen{kNoResult};
    auto job = [&]() -> intptr_t {
        started = true;
        seen = wait();
        return seen;
    };
    auto body = [&]() -> intptr_t {
        skua_job stolen;
        forkBody(&stolen, job);
        EXPECT_TRUE(spinUntil([&] { return started.load(); }));
        return skua_join(&stolen);
    };
    skua_future *future = spawnNamed("forker", body);
    ASSERT_TRUE(yieldUntilState("forker", "joining"));
    EXPECT_EQ(skua_sleep(2 * SKUA_NS_PER_MS), 0);
    EXPECT_EQ(skua_future_peek(future, nullptr), -EAGAIN);
    EXPECT_EQ(skua_cancel(future), 0);
    EXPECT_EQ(skua_await(future), -ECANCELED);
    EXPECT_EQ(seen, -ECANCELED);
}

TEST_F(ForkCancel, WakesAStolenJobThatSleeps)
{
    runInTask([] { expectStolenWaitEnds([] { return skua_sleep(kLong); }); }, 3);
}

TEST_F(ForkCancel, WakesAStolenJobThatParks)
{
    runInTask([] { expectStolenWaitEnds([] { return skua_park(SKUA_FOREVER); }); }, 3);
}

TEST_F(ForkCancel, WakesAStolenJobThatReads)
{
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    runInTask(
        [&] {
            expectStolenWaitEnds([&]() -> intptr_t {
                char byte;
                return skua_read(ends[0], &byte, 1);
            });
        },
        3);
    close(ends[0]);
    close(ends[1]);
}

TEST_F(ForkCancel, WakesAStolenJobThatAwaits)
{
    Promise never;
    runInTask(
        [&] {
            expectStolenWaitEnds([&] { return skua_await(skua_future_ref(never.future)); });
            expectStolenWaitEnds([] {
                auto sleeper = []() -> intptr_t { return skua_sleep(kLong); };
                return skua_await(spawnBody(sleeper));
            });
        },
        3);
    skua_future_unref(never.future);
    skua_promise_unref(never.promise);
}

TEST_F(ForkCancel, WakesAStolenJobOnAnExecutor)
{
    runInTask(
        [] {
            expectStolenWaitEnds([]() -> intptr_t {
                int rc = skua_hop(nullptr);
                return rc < 0 ? rc : skua_sleep(kLong);
            });
        },
        3);
}

TEST_F(ForkCancel, WakesAJobThatAStolenJobForked)
{
    runInTask(
        [] {
            expectStolenWaitEnds([]() -> intptr_t {
                std::atomic<bool> started{false};
                auto inner = [&]() -> intptr_t {
                    started = true;
                    return skua_sleep(kLong);
                };
                skua_job job;
                forkBody(&job, inner);
                /* The cancel may come before anybody has started it; then it does not run. */
                EXPECT_TRUE(spinUntil([&] { return started || skua_cancelled(); }));
                return skua_join(&job);
            });
        },
        4);
}

/* The task that is cancelled has forked nothing itself, or has too. */
void expectStolenWaitOfATaskInPlaceEnds(bool forks_too)
{
    std::atomic<bool> started{false};
    auto sleeper = [&]() -> intptr_t {
        started = true;
        return skua_sleep(kLong);
    };
    auto inner = [&]() -> intptr_t {
        skua_job job;
        forkBody(&job, sleeper);
        EXPECT_TRUE(spinUntil([&] { return started.load(); }));
        return skua_join(&job);
    };
    auto middle = [&]() -> intptr_t { return skua_await(spawnBody(inner)); };
    auto outer = [&]() -> intptr_t {
        std::atomic<int> ran{0};
        skua_job job;
        if (forks_too) {
            skua_fork(&job, countRuns, &ran);
            skua_join(&job);
        }
        return skua_await(spawnBody(middle));
    };
    skua_future *future = spawnNamed("outer", outer);
    ASSERT_TRUE(yieldUntil([&] { return started.load(); }));
    EXPECT_EQ(skua_sleep(5 * SKUA_NS_PER_MS), 0);
    EXPECT_EQ(skua_cancel(future), 0);
    EXPECT_EQ(skua_await(future), -ECANCELED);
}

TEST_F(ForkCancel, WakesAStolenJobOfATaskRunInPlaceByTheCancelledOne)
{
    runInTask([] { expectStolenWaitOfATaskInPlaceEnds(false); }, 3);
}

TEST_F(ForkCancel, WakesAStolenJobOfATaskRunInPlaceByACancelledForker)
{
    runInTask([] { expectStolenWaitOfATaskInPlaceEnds(true); }, 3);
}

SKUA_FORKABLE(intptr_t, typedSleep, std::atomic<bool> *, started)
{
    *started = true;
    return skua_sleep(kLong);
}

SKUA_FORKABLE(intptr_t, typedForker, int, dummy)
{
    std::atomic<bool> started{false};
    SKUA_JOB(typedSleep) job;
    (void)dummy;
    SKUA_FORK(typedSleep, &job, &started);
    EXPECT_TRUE(spinUntil([&] { return started.load(); }));
    return SKUA_JOIN(typedSleep, &job);
}

TEST_F(ForkCancel, WakesAStolenTypedJobThatSleeps)
{
    runInTask(
        [] {
            auto body = []() -> intptr_t { return typedForker(0); };
            skua_future *future = spawnNamed("forker", body);
            ASSERT_TRUE(yieldUntilState("forker", "joining"));
            EXPECT_EQ(skua_cancel(future), 0);
            EXPECT_EQ(skua_await(future), -ECANCELED);
        },
        3);
}

TEST_F(ForkCancel, AJobThatHadEndedKeepsItsResult)
{
    runInTask([] {
        std::atomic<int> ran{0};
        auto body = [&]() -> intptr_t {
            skua_job job;
            skua_fork(&job, countRuns, &ran);
            EXPECT_TRUE(spinUntil([&] { return ran == 1; }));
            EXPECT_EQ(skua_cancel(skua_self()), 0);
            return skua_join(&job);
        };
        intptr_t rc = skua_await(spawnBody(body));
        EXPECT_EQ(rc, 1);
    });
}

/* ---- others ---------------------------------------------------------------------------------- */

TEST_F(ForkCancel, JobsOfOtherTasksWaitOn)
{
    runInTask(
        [] {
            Promise promise;
            std::atomic<int> started{0};
            auto wait = [&]() -> intptr_t {
                started++;
                intptr_t got = skua_await(skua_future_ref(promise.future));
                return got == 9 ? skua_sleep(SKUA_NS_PER_MS) : got;
            };
            auto body = [&]() -> intptr_t {
                int before = started;
                skua_job job;
                forkBody(&job, wait);
                EXPECT_TRUE(spinUntil([&] { return started > before; }));
                return skua_join(&job);
            };
            skua_future *kept = spawnNamed("kept", body);
            ASSERT_TRUE(yieldUntilState("kept", "joining"));
            for (int round = 0; round < 20; round++) {
                skua_future *cancelled = spawnNamed("cancelled", body);
                ASSERT_TRUE(yieldUntilState("cancelled", "joining"));
                EXPECT_EQ(skua_cancel(cancelled), 0);
                EXPECT_EQ(skua_await(cancelled), -ECANCELED);
            }
            EXPECT_EQ(skua_future_peek(kept, nullptr), -EAGAIN);
            EXPECT_EQ(skua_promise_set(promise.promise, 9), 0);
            EXPECT_EQ(skua_await(kept), 0);
            skua_future_unref(promise.future);
            skua_promise_unref(promise.promise);
        },
        4);
}

/* A tree of jobs that sleep, park, compute and fork further. */
intptr_t restlessTree(void *arg)
{
    intptr_t depth = reinterpret_cast<intptr_t>(arg);
    if (depth == 0) {
        int rc = skua_sleep(kLong);
        return rc == -ECANCELED ? rc : -EIO;
    }
    skua_job jobs[3];
    for (auto &job : jobs)
        skua_fork(&job, restlessTree, reinterpret_cast<void *>(depth - 1));
    int rc = depth % 2 ? skua_park(SKUA_FOREVER) : skua_sleep(kLong);
    intptr_t sum = rc == -ECANCELED ? 0 : 1;
    for (int i = 2; i >= 0; i--)
        sum += skua_join(&jobs[i]) == -ECANCELED ? 0 : 1;
    return sum == 0 ? -ECANCELED : -EIO;
}

TEST_P(ForkCancelByWorkers, StoppingByCancelEndsJobsEverywhere)
{
    Runtime runtime(GetParam());
    skua_future *futures[4];
    for (auto &future : futures)
        future = skua_submit(runtime.get(), restlessTree, reinterpret_cast<void *>(intptr_t{3}));
    poll(nullptr, 0, 20); /* they are somewhere on their way: any moment will do */
    EXPECT_EQ(runtime.stop(SKUA_STOP_CANCEL, skua_after(20 * SKUA_NS_PER_SEC)), 0);
    for (skua_future *future : futures)
        EXPECT_EQ(skua_await(future), -ECANCELED);
}

TEST_P(ForkCancelByWorkers, CancellingTheForkerEndsAllOfATree)
{
    runInTask(
        [] {
            for (int round = 0; round < 10; round++) {
                skua_future *future =
                    skua_spawn(restlessTree, reinterpret_cast<void *>(intptr_t{3}));
                EXPECT_EQ(skua_sleep(SKUA_NS_PER_MS), 0);
                EXPECT_EQ(skua_cancel(future), 0);
                EXPECT_EQ(skua_await(future), -ECANCELED);
            }
        },
        GetParam());
}

} // namespace
