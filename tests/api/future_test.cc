/*
 * Tests skua/future.h on tasks and jobs: await, deadlines, peek and take, handles, the failure
 * hook, futures that outlive their runtime, awaits between two runtimes.
 */
#include "support/fd_guard.h"
#include "support/hang_guard.h"
#include "support/runtime_kit.h"

#include <atomic>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

using namespace skua_test;

namespace
{

class Future : public testing::Test
{
  protected:
    FdGuard fds_;
    HangGuard hang_;
};

intptr_t seven(void *)
{
    return 7;
}

intptr_t ioError(void *)
{
    return -EIO;
}

TEST_F(Future, EveryCallRefusesNull)
{
    intptr_t result = kNoResult;
    EXPECT_EQ(skua_await(nullptr), -EINVAL);
    EXPECT_EQ(skua_await_until(nullptr, 0, &result), -EINVAL);
    EXPECT_EQ(skua_future_peek(nullptr, &result), -EINVAL);
    EXPECT_EQ(skua_future_take(nullptr, &result), -EINVAL);
    EXPECT_EQ(skua_future_ref(nullptr), nullptr);
    skua_future_unref(nullptr);
    EXPECT_EQ(skua_cancel(nullptr), -EINVAL);
    EXPECT_EQ(result, kNoResult);
}

TEST_F(Future, PeekAndTakeSayAgainUntilTheTaskHasEnded)
{
    runInTask([] {
        Promise gate;
        auto body = [&]() -> intptr_t { return skua_await(gate.future); };
        skua_future *future = spawnBody(body);
        intptr_t result = kNoResult;
        EXPECT_EQ(skua_future_peek(future, &result), -EAGAIN);
        EXPECT_EQ(skua_future_take(future, &result), -EAGAIN);
        EXPECT_EQ(result, kNoResult);
        EXPECT_EQ(skua_promise_set(gate.promise, 3), 0);
        skua_promise_unref(gate.promise);
        EXPECT_TRUE(yieldUntil([&] { return skua_future_peek(future, nullptr) == 0; }));
        EXPECT_EQ(skua_future_peek(future, &result), 0);
        EXPECT_EQ(result, 3);
        result = kNoResult;
        EXPECT_EQ(skua_future_take(future, &result), 0);
        EXPECT_EQ(result, 3);
    });
}

TEST_F(Future, ManyMayAwaitTheSameFuture)
{
    for (unsigned workers : {1u, 3u})
        runInTask(
            [] {
                Promise gate;
                auto waiter = [&]() -> intptr_t {
                    return skua_await(skua_future_ref(gate.future));
                };
                std::vector<skua_future *> futures;
                for (int i = 0; i < 200; i++)
                    futures.push_back(spawnBody(waiter));
                std::thread foreign([&] { EXPECT_EQ(waiter(), 9); });
                EXPECT_EQ(skua_yield(), 0);
                EXPECT_EQ(skua_promise_set(gate.promise, 9), 0);
                for (skua_future *future : futures)
                    EXPECT_EQ(skua_await(future), 9);
                foreign.join();
                skua_promise_unref(gate.promise);
                EXPECT_EQ(skua_await(gate.future), 9);
            },
            workers);
}

TEST_F(Future, AwaitUntilGivesTheResultOrKeepsTheHandle)
{
    for (Where where : {Where::task, Where::executor, Where::foreignThread})
        runIn(where, [] {
            Promise gate;
            intptr_t result = kNoResult;
            uint64_t before = skua_now();
            EXPECT_EQ(skua_await_until(gate.future, before + SKUA_NS_PER_MS, &result), -ETIMEDOUT);
            EXPECT_GE(skua_now(), before + SKUA_NS_PER_MS);
            EXPECT_EQ(skua_await_until(gate.future, 0, &result), -ETIMEDOUT);
            EXPECT_EQ(result, kNoResult);
            EXPECT_EQ(skua_promise_set(gate.promise, 4), 0);
            EXPECT_EQ(skua_await_until(skua_future_ref(gate.future), 0, nullptr), 0);
            EXPECT_EQ(skua_await_until(gate.future, 0, &result), 0);
            EXPECT_EQ(result, 4);
            skua_promise_unref(gate.promise);
        });
}

TEST_F(Future, AwaitUntilWithoutADeadlineWaits)
{
    runInTask([] {
        intptr_t result = kNoResult;
        EXPECT_EQ(skua_await_until(skua_spawn(seven, nullptr), SKUA_FOREVER, &result), 0);
        EXPECT_EQ(result, 7);
    });
}

/* The deadline and the result come at about the same time: one of them wins, nothing is lost. */
void raceDeadlineAndResult(int rounds)
{
    int done = 0;
    for (int i = 0; i < rounds; i++) {
        uint64_t at = skua_after(static_cast<uint64_t>(i % 40) * SKUA_NS_PER_US);
        auto body = [&]() -> intptr_t {
            while (skua_now() < at)
                skua_yield();
            return i;
        };
        skua_future *future = spawnBody(body);
        intptr_t result = kNoResult;
        int rc = skua_await_until(future, at, &result);
        if (rc == 0) {
            done++;
        } else {
            ASSERT_EQ(rc, -ETIMEDOUT);
            ASSERT_EQ(result, kNoResult);
            result = skua_await(future);
        }
        ASSERT_EQ(result, i);
    }
    testing::Test::RecordProperty("results_that_beat_the_deadline", done);
}

TEST_F(Future, AResultIsNeverLostToADeadline)
{
    runInTask([] { raceDeadlineAndResult(SKUA_TESTS_SANITIZED ? 2000 : 10000); });
    runInTask([] { raceDeadlineAndResult(SKUA_TESTS_SANITIZED ? 500 : 2000); }, 1);
}

TEST_F(Future, AHandleMayBeDroppedBeforeTheTaskEnds)
{
    runInTask([] {
        std::atomic<int> ended{0};
        auto body = [&]() -> intptr_t {
            skua_yield();
            return ++ended;
        };
        for (int i = 0; i < 100; i++)
            skua_future_unref(spawnBody(body));
        EXPECT_TRUE(yieldUntil([&] { return ended == 100; }));
    });
}

TEST_F(Future, OutlivesItsRuntime)
{
    skua_future *task, *failed, *never, *job;
    {
        Runtime runtime;
        task = skua_submit(runtime.get(), seven, nullptr);
        failed = skua_submit(runtime.get(), ioError, nullptr);
        auto sleeper = []() -> intptr_t { return skua_sleep_until(SKUA_FOREVER); };
        never = submitBody(runtime.get(), sleeper);
        job = skua_run_in_executor(skua_executor_cpu(runtime.get()), seven, nullptr);
        EXPECT_EQ(skua_await(skua_future_ref(task)), 7);
        EXPECT_EQ(skua_await(skua_future_ref(failed)), -EIO);
        EXPECT_EQ(skua_await(skua_future_ref(job)), 7);
        EXPECT_TRUE(pollUntil([&] { return sumOf(runtime.get(), &skua_worker_stats::switches); }));
        EXPECT_EQ(runtime.stop(SKUA_STOP_CANCEL), 0);
    }
    intptr_t result = kNoResult;
    EXPECT_EQ(skua_future_peek(task, &result), 0);
    EXPECT_EQ(result, 7);
    EXPECT_EQ(skua_cancel(task), -EALREADY);
    EXPECT_EQ(skua_unpark(task), -EALREADY);
    EXPECT_EQ(skua_await(task), 7);
    EXPECT_EQ(skua_await(failed), -EIO);
    EXPECT_EQ(skua_await_until(job, 0, &result), 0);
    EXPECT_EQ(skua_future_take(never, &result), 0);
    EXPECT_EQ(result, -ECANCELED);
}

TEST_F(Future, IsReadFromAnotherRuntimesTasks)
{
    Runtime one(1), two(2);
    Promise gate;
    auto inner = [&]() -> intptr_t { return skua_await(skua_future_ref(gate.future)); };
    std::vector<skua_future *> inners;
    for (int i = 0; i < 50; i++)
        inners.push_back(submitBody(one.get(), inner));
    auto outer = [&]() -> intptr_t {
        intptr_t sum = 0;
        for (skua_future *future : inners)
            sum += skua_await(future);
        return sum;
    };
    skua_future *result = submitBody(two.get(), outer);
    EXPECT_EQ(skua_promise_set(gate.promise, 2), 0);
    EXPECT_EQ(skua_await(result), 100);
    skua_promise_unref(gate.promise);
    skua_future_unref(gate.future);
}

TEST_F(Future, AnAwaitBetweenRuntimesRunsNothingInPlace)
{
    Runtime one(1), two(1);
    auto where = []() -> intptr_t { return reinterpret_cast<intptr_t>(skua_runtime_current()); };
    auto outer = [&]() -> intptr_t { return skua_await(submitBody(one.get(), where)); };
    EXPECT_EQ(two.run(outer), reinterpret_cast<intptr_t>(one.get()));
}

TEST_F(Future, TwoRuntimesWakeEachOthersTasksWithoutEnd)
{
    Runtime one(2), two(2);
    const int rounds = SKUA_TESTS_SANITIZED ? 500 : 5000;
    auto echo = []() -> intptr_t { return 1; };
    auto ask = [&](Runtime &other) {
        intptr_t sum = 0;
        for (int i = 0; i < rounds; i++)
            sum += skua_await(submitBody(other.get(), echo));
        return sum;
    };
    auto first = [&]() -> intptr_t { return ask(two); };
    auto second = [&]() -> intptr_t { return ask(one); };
    skua_future *a = submitBody(one.get(), first);
    skua_future *b = submitBody(two.get(), second);
    EXPECT_EQ(skua_await(a), rounds);
    EXPECT_EQ(skua_await(b), rounds);
}

/* What the hook was told. */
struct Failures {
    std::mutex lock;
    std::vector<skua_failure> seen;

    static void add(const skua_failure *failure, void *arg)
    {
        Failures *self = static_cast<Failures *>(arg);
        std::lock_guard<std::mutex> guard(self->lock);
        self->seen.push_back(*failure);
    }

    size_t count()
    {
        std::lock_guard<std::mutex> guard(lock);
        return seen.size();
    }
};

class FutureFailure : public Future
{
  protected:
    template <class Body> void run(Body &&body)
    {
        using Plain = std::remove_reference_t<Body>;
        skua_options options = testOptions();
        options.on_failure = Failures::add;
        options.on_failure_arg = &failures_;
        EXPECT_EQ(skua_run(&options, callBody<Plain>, &body), 0);
    }

    Failures failures_;
};

/* Nobody could have read it: there was no handle left. */
TEST_F(FutureFailure, OfAPromiseThatWasGivenUpOnBothSidesIsNotReported)
{
    run([] {
        Promise given_up;
        skua_future_unref(given_up.future);
        skua_promise_unref(given_up.promise);
        Promise unread;
        skua_promise_unref(unread.promise);
        skua_future_unref(unread.future);
    });
    EXPECT_EQ(failures_.count(), 1u);
}

TEST_F(FutureFailure, IsReportedOnceWithItsSiteWhenNobodyReadsIt)
{
    std::string site;
    run([&] {
        site = std::string("ioError at ") + __FILE__ + ":" + std::to_string(__LINE__ + 1);
        skua_future *future = skua_spawn(ioError, nullptr);
        skua_future *other = skua_future_ref(future);
        skua_future_unref(future);
        EXPECT_TRUE(
            yieldUntil([&] { return skua_runtime_list(skua_runtime_current(), nullptr, 0) == 1; }));
        EXPECT_EQ(failures_.count(), 0u);
        skua_future_unref(other);
        EXPECT_TRUE(yieldUntil([&] { return failures_.count() > 0; }));
    });
    ASSERT_EQ(failures_.count(), 1u);
    EXPECT_EQ(failures_.seen[0].site, site);
    EXPECT_EQ(failures_.seen[0].name, nullptr);
    EXPECT_EQ(failures_.seen[0].entry, ioError);
    EXPECT_EQ(failures_.seen[0].result, -EIO);
}

TEST_F(FutureFailure, OfADetachedTaskIsReportedWithItsName)
{
    run([&] {
        skua_task_options options{};
        options.name = "loner";
        options.flags = SKUA_TASK_DETACHED;
        EXPECT_EQ(skua_spawn_with(&options, ioError, nullptr, nullptr), 0);
        EXPECT_TRUE(yieldUntil([&] { return failures_.count() > 0; }));
    });
    ASSERT_EQ(failures_.count(), 1u);
    EXPECT_STREQ(failures_.seen[0].name, "loner");
    EXPECT_NE(failures_.seen[0].site, nullptr);
}

TEST_F(FutureFailure, OfAJobIsReported)
{
    run([&] {
        skua_future_unref(skua_run_in_executor(nullptr, ioError, nullptr));
        EXPECT_TRUE(yieldUntil([&] { return failures_.count() > 0; }));
    });
    ASSERT_EQ(failures_.count(), 1u);
    EXPECT_EQ(failures_.seen[0].entry, ioError);
}

TEST_F(FutureFailure, OfAPromiseIsReportedWithoutAnEntry)
{
    run([&] {
        Promise gate;
        EXPECT_EQ(skua_promise_set(gate.promise, -EIO), 0);
        skua_promise_unref(gate.promise);
        EXPECT_EQ(failures_.count(), 0u);
        skua_future_unref(gate.future);
    });
    ASSERT_EQ(failures_.count(), 1u);
    EXPECT_EQ(failures_.seen[0].entry, nullptr);
    EXPECT_EQ(failures_.seen[0].result, -EIO);
}

TEST_F(FutureFailure, IsNotReportedIfSomebodyReadIt)
{
    run([&] {
        EXPECT_EQ(skua_await(skua_spawn(ioError, nullptr)), -EIO);
        EXPECT_EQ(skua_await_until(skua_spawn(ioError, nullptr), SKUA_FOREVER, nullptr), 0);
        skua_future *peeked = skua_spawn(ioError, nullptr);
        EXPECT_TRUE(yieldUntil([&] { return skua_future_peek(peeked, nullptr) == 0; }));
        skua_future_unref(peeked);
        skua_future *taken = skua_spawn(ioError, nullptr);
        EXPECT_TRUE(yieldUntil([&] { return skua_future_take(taken, nullptr) == 0; }));
        skua_future *shared = skua_spawn(ioError, nullptr);
        skua_future *other = skua_future_ref(shared);
        EXPECT_EQ(skua_await(shared), -EIO);
        skua_future_unref(other);
    });
    EXPECT_EQ(failures_.count(), 0u);
}

TEST_F(FutureFailure, ACancelIsNoFailure)
{
    run([&] {
        auto sleeper = []() -> intptr_t { return skua_sleep_until(SKUA_FOREVER); };
        skua_future *future = spawnBody(sleeper);
        EXPECT_EQ(skua_yield(), 0);
        EXPECT_EQ(skua_cancel(future), 0);
        skua_future_unref(future);
        skua_future *unstarted = spawnBody(sleeper);
        EXPECT_EQ(skua_cancel(unstarted), 0);
        skua_future_unref(unstarted);
    });
    EXPECT_EQ(failures_.count(), 0u);
}

TEST_F(FutureFailure, ASuccessIsNoFailure)
{
    run([&] {
        skua_future_unref(skua_spawn(seven, nullptr));
        skua_future_unref(skua_run_in_executor(nullptr, seven, nullptr));
    });
    EXPECT_EQ(failures_.count(), 0u);
}

TEST_F(FutureFailure, IsReportedAfterTheRuntimeHasStopped)
{
    skua_options options = testOptions();
    options.on_failure = Failures::add;
    options.on_failure_arg = &failures_;
    skua_future *future;
    {
        Runtime runtime(options);
        future = skua_submit(runtime.get(), ioError, nullptr);
        EXPECT_EQ(runtime.stop(SKUA_STOP_DRAIN), 0);
    }
    EXPECT_EQ(failures_.count(), 0u);
    skua_future_unref(future);
    EXPECT_EQ(failures_.count(), 1u);
}

TEST_F(Future, AFailureNobodyReadsIsOneLineOnStderrByDefault)
{
    testing::internal::CaptureStderr();
    runInTask([] { skua_future_unref(skua_spawn(ioError, nullptr)); });
    runInTask([] {
        skua_future_unref(skua_spawn(ioError, nullptr));
        EXPECT_TRUE(
            yieldUntil([] { return skua_runtime_list(skua_runtime_current(), nullptr, 0) == 1; }));
    });
    std::string output = testing::internal::GetCapturedStderr();
    EXPECT_NE(output.find("ioError at "), std::string::npos) << output;
    EXPECT_NE(output.find("Input/output error"), std::string::npos) << output;
    EXPECT_EQ(output.back(), '\n');
}

} // namespace
