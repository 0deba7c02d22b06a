/*
 * Tests of interleavings found by reviewing the scheduler: each case is named for its symptom.
 */
#include "support/fd_guard.h"
#include "support/hang_guard.h"
#include "support/runtime_kit.h"

#include <atomic>
#include <pthread.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace skua_test;

namespace
{

class Review : public testing::Test
{
  protected:
    FdGuard fds_;
    HangGuard hang_;
};

intptr_t one(void *)
{
    return 1;
}

/* For threads: passes @ns without sleeping in the kernel, for an exact moment. */
void spinFor(uint64_t ns)
{
    uint64_t end = skua_now() + ns;
    while (skua_now() < end) {
    }
}

/* A thread that has decided to leave is no thread any more for those who queue a job. */
TEST_F(Review, AJobQueuedWhileTheLastIdleThreadLeavesIsRun)
{
    constexpr uint64_t kIdleNs = 100 * SKUA_NS_PER_US;
    skua_options options = testOptions(1);
    options.spin_us = -1;
    Runtime runtime(options);
    skua_executor_options own{};
    own.threads_max = 1;
    own.idle_timeout_ns = kIdleNs;
    skua_executor *executor = nullptr;
    ASSERT_EQ(skua_executor_create(runtime.get(), &own, &executor), 0);
    uint64_t end = skua_after(2 * SKUA_NS_PER_SEC);
    for (uint64_t round = 0; skua_now() < end; round++) {
        skua_future *job = skua_run_in_executor(executor, one, nullptr);
        intptr_t result = 0;
        int rc = skua_await_until(job, skua_after(3 * SKUA_NS_PER_SEC), &result);
        EXPECT_EQ(rc, 0) << "round " << round;
        if (rc < 0) {
            skua_future_unref(job);
            /* The next job makes a thread, which finds the lost one too. */
            EXPECT_EQ(skua_await(skua_run_in_executor(executor, one, nullptr)), 1);
            break;
        }
        spinFor(round * 7919 % (5 * kIdleNs));
    }
    EXPECT_EQ(skua_executor_destroy(executor), 0);
}

TEST_F(Review, ThreadsThatIdleTogetherLeaveTheirMinimumBehind)
{
    Runtime runtime(1);
    skua_executor_options own{};
    own.threads_max = 4;
    own.threads_min = 2;
    own.idle_timeout_ns = 2 * SKUA_NS_PER_MS;
    skua_executor *executor = nullptr;
    int before = threadCount();
    ASSERT_EQ(skua_executor_create(runtime.get(), &own, &executor), 0);
    int left = 2;
    for (int round = 0; round < 60 && left == 2; round++) {
        std::atomic<int> in{0};
        auto body = [&]() -> intptr_t {
            in++;
            while (in < 4)
                std::this_thread::yield();
            return 1;
        };
        std::vector<skua_future *> jobs;
        for (int i = 0; i < 4; i++)
            jobs.push_back(offloadBody(executor, body));
        for (skua_future *job : jobs)
            EXPECT_EQ(skua_await(job), 1);
        EXPECT_TRUE(pollUntil([&] { return threadCount() <= before + 2; }));
        spinFor(10 * SKUA_NS_PER_MS);
        left = threadCount() - before;
    }
    EXPECT_EQ(left, 2);
    EXPECT_EQ(skua_executor_destroy(executor), 0);
}

void countFailure(const skua_failure *, void *arg)
{
    (*static_cast<std::atomic<int> *>(arg))++;
}

/* An object freed under the canceller shows what its memory held before: the error of another. */
TEST_F(Review, UnstartedJobsDroppedByAStopAreFreedOnce)
{
    std::atomic<int> reported{0};
    for (int round = 0; round < 20; round++) {
        skua_options options = testOptions(1);
        options.blocking_threads = 1;
        options.on_failure = countFailure;
        options.on_failure_arg = &reported;
        Runtime runtime(options);
        skua_executor *executor = skua_executor_blocking(runtime.get());
        std::vector<skua_future *> failing;
        auto fail = []() -> intptr_t { return -EIO; };
        for (int i = 0; i < 2000; i++)
            failing.push_back(offloadBody(executor, fail));
        for (skua_future *job : failing)
            EXPECT_EQ(skua_await(job), -EIO);
        std::atomic<bool> started{false}, go{false};
        auto hold = [&]() -> intptr_t {
            started = true;
            while (!go) {
            }
            return 1;
        };
        skua_future *held = offloadBody(executor, hold);
        EXPECT_TRUE(pollUntil([&] { return started.load(); }));
        for (int i = 0; i < 2000; i++)
            skua_future_unref(skua_run_in_executor(executor, one, nullptr));
        std::thread release([&] {
            spinFor(static_cast<uint64_t>(round) * 10 * SKUA_NS_PER_US);
            go = true;
        });
        EXPECT_EQ(runtime.stop(SKUA_STOP_CANCEL), 0);
        release.join();
        EXPECT_EQ(skua_await(held), 1);
    }
    EXPECT_EQ(reported, 0);
}

/* Whether @address is on the stack the system gave this thread. */
bool onThreadStack(const void *address)
{
    pthread_attr_t attributes;
    void *low = nullptr;
    size_t size = 0;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0)
        return false;
    pthread_attr_getstack(&attributes, &low, &size);
    pthread_attr_destroy(&attributes);
    return address >= low && address < static_cast<char *>(low) + size;
}

TEST_F(Review, AJobHasAThreadsStackWhoeverAwaitsIt)
{
    Runtime runtime(1);
    EXPECT_EQ(runtime.run([]() -> intptr_t {
        EXPECT_EQ(skua_hop(nullptr), 0);
        auto body = []() -> intptr_t {
            char here = 0;
            return onThreadStack(&here);
        };
        /* Many, so that some have not started when they are awaited. */
        std::vector<skua_future *> jobs;
        for (int i = 0; i < 200; i++)
            jobs.push_back(offloadBody(skua_executor_blocking(nullptr), body));
        intptr_t good = 0;
        for (auto job = jobs.rbegin(); job != jobs.rend(); ++job)
            good += skua_await(*job);
        EXPECT_EQ(skua_hop_back(), 0);
        return good;
    }),
              200);
}

/* Uses most of half a stack of 1 MiB, then awaits another that does, @levels deep. */
intptr_t deep(void *levels)
{
    volatile char used[size_t{400} << 10];
    for (size_t i = 0; i < sizeof(used); i += 1024)
        used[i] = 1;
    auto left = reinterpret_cast<intptr_t>(levels);
    intptr_t below = 0;
    if (left > 1)
        below = skua_await(skua_spawn(deep, reinterpret_cast<void *>(left - 1)));
    return below + used[1024];
}

/* Unless it is fixed, the third level overflows the stack of the first. */
TEST_F(Review, ATaskRunInPlaceHasRoomInProportionToTheRuntimesDefaultStack)
{
    skua_options options = testOptions(1);
    options.stack_size_bytes = size_t{1} << 20;
    Runtime runtime(options);
    EXPECT_EQ(skua_await(skua_submit(runtime.get(), deep, reinterpret_cast<void *>(6))), 6);
}

TEST_F(Review, DestroyingAnExecutorDoesNotHoldUpTheTasksItsJobsAwait)
{
    Runtime runtime(1);
    EXPECT_EQ(runtime.run([]() -> intptr_t {
        skua_executor *executor = nullptr;
        EXPECT_EQ(skua_executor_create(nullptr, nullptr, &executor), 0);
        std::atomic<bool> started{false};
        auto body = [&]() -> intptr_t {
            started = true;
            skua_future *task = skua_spawn(one, nullptr);
            intptr_t result = 0;
            int rc = skua_await_until(task, skua_after(2 * SKUA_NS_PER_SEC), &result);
            if (rc < 0)
                skua_future_unref(task);
            return rc < 0 ? rc : result;
        };
        skua_future *job = offloadBody(executor, body);
        while (!started) {
        }
        EXPECT_EQ(skua_executor_destroy(executor), 0);
        return skua_await(job);
    }),
              1);
}

TEST_F(Review, AnExecutorCanBeDestroyedByATaskOfARuntimeThatIsStopping)
{
    Runtime runtime(1);
    std::atomic<int> phase{0};
    auto owner = [&]() -> intptr_t {
        skua_executor *executor = nullptr;
        EXPECT_EQ(skua_executor_create(nullptr, nullptr, &executor), 0);
        auto sleeper = []() -> intptr_t { return skua_sleep(200 * SKUA_NS_PER_MS); };
        skua_future *task = spawnBody(sleeper);
        auto body = [&]() -> intptr_t {
            intptr_t result = -EIO;
            int rc = skua_await_until(task, skua_after(2 * SKUA_NS_PER_SEC), &result);
            return rc < 0 ? rc : result;
        };
        skua_future *job = offloadBody(executor, body);
        phase = 1;
        /* Spawning is refused from the moment the runtime stops. */
        EXPECT_TRUE(yieldUntil([] {
            skua_future *probe = skua_spawn(one, nullptr);
            intptr_t result = 0;
            if (skua_future_peek(probe, &result) == 0 && result == -ESHUTDOWN)
                return true;
            skua_future_unref(probe);
            return false;
        }));
        EXPECT_EQ(skua_executor_destroy(executor), 0);
        intptr_t result = skua_await(job);
        if (result < 0)
            skua_await(task);
        return result;
    };
    skua_future *future = submitBody(runtime.get(), owner);
    EXPECT_TRUE(pollUntil([&] { return phase == 1; }));
    EXPECT_EQ(runtime.stop(SKUA_STOP_DRAIN), 0);
    EXPECT_EQ(skua_await(future), 0);
}

TEST_F(Review, DestroyingAnExecutorDoesNotTakeTheLastThreadItsJobsNeed)
{
    skua_options options = testOptions(1);
    options.blocking_threads = 1;
    Runtime runtime(options);
    EXPECT_EQ(runtime.run([]() -> intptr_t {
        skua_executor *executor = nullptr;
        EXPECT_EQ(skua_executor_create(nullptr, nullptr, &executor), 0);
        std::atomic<bool> started{false};
        auto body = [&]() -> intptr_t {
            started = true;
            poll(nullptr, 0, 50); /* until the destroyer is where it waits */
            skua_future *inner = skua_run_in_executor(nullptr, one, nullptr);
            intptr_t result = 0;
            int rc = skua_await_until(inner, skua_after(2 * SKUA_NS_PER_SEC), &result);
            if (rc < 0)
                skua_future_unref(inner);
            return rc < 0 ? rc : result;
        };
        skua_future *job = offloadBody(executor, body);
        while (!started) {
        }
        EXPECT_EQ(skua_executor_destroy(executor), 0);
        return skua_await(job);
    }),
              1);
}

TEST_F(Review, AWorkerThatIsWokenByItsOwnInputDoesNotWakeItself)
{
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    Runtime runtime(1);
    std::atomic<int> taken{0};
    auto reader = [&]() -> intptr_t {
        char c;
        while (taken < 20 && skua_read(ends[0], &c, 1) == 1)
            taken++;
        return taken;
    };
    skua_future *task = submitBody(runtime.get(), reader);
    for (int i = 0; i < 20; i++) {
        EXPECT_TRUE(pollUntil([&] { return taken == i; }));
        EXPECT_EQ(write(ends[1], "x", 1), 1);
    }
    EXPECT_EQ(skua_await(task), 20);
    EXPECT_EQ(sumOf(runtime.get(), &skua_worker_stats::wakes), 0u);
    close(ends[0]);
    close(ends[1]);
}

/* An await that returns before its future is done leaves other handles in the dark. */
TEST_F(Review, AFutureIsDoneForAllHandlesWhenAnAwaitOfItReturns)
{
    constexpr int kParked = 300;
    Runtime runtime(1);
    int early = 0;
    uint64_t end = skua_after(2 * SKUA_NS_PER_SEC);
    while (early == 0 && skua_now() < end) {
        Promise p;
        std::vector<skua_future *> parked;
        std::atomic<int> waiting{0};
        auto waiter = [&]() -> intptr_t {
            waiting++;
            return skua_await(skua_future_ref(p.future));
        };
        for (int i = 0; i < kParked; i++)
            parked.push_back(submitBody(runtime.get(), waiter));
        while (waiting < kParked)
            std::this_thread::yield();
        std::atomic<bool> ready{false};
        std::thread thread([&] {
            skua_future *mine = skua_future_ref(p.future);
            skua_future *other = skua_future_ref(p.future);
            ready = true;
            EXPECT_EQ(skua_await(mine), 5);
            early += skua_future_peek(other, nullptr) != 0;
            skua_future_unref(other);
        });
        while (!ready) {
        }
        EXPECT_EQ(skua_promise_set(p.promise, 5), 0);
        thread.join();
        for (skua_future *task : parked)
            EXPECT_EQ(skua_await(task), 5);
        skua_promise_unref(p.promise);
        skua_future_unref(p.future);
    }
    EXPECT_EQ(early, 0);
}

/*
 * A task woken by one that computes on waits in its worker's next slot. If the sleeper that watches
 * such slots goes to other work, another sleeper must take the watch.
 */
TEST_F(Review, TheWatchIsHandedOnWhenTheWatcherFindsWork)
{
    constexpr uint64_t kHogNs = 300 * SKUA_NS_PER_MS;
    uint64_t worst = 0;
    for (int round = 0; round < 8; round++) {
        int ends[2];
        ASSERT_EQ(pipe(ends), 0);
        Runtime runtime(3);
        std::atomic<bool> parked{false}, reading{false};
        std::atomic<uint64_t> woken{0};
        auto sleeper = [&]() -> intptr_t {
            parked = true;
            int rc = skua_park(SKUA_FOREVER);
            woken = skua_now();
            return rc;
        };
        auto reader = [&]() -> intptr_t {
            char c;
            reading = true;
            ssize_t rc = skua_read(ends[0], &c, 1);
            spinFor(kHogNs);
            return rc;
        };
        skua_future *s = submitBody(runtime.get(), sleeper);
        skua_future *r = submitBody(runtime.get(), reader);
        EXPECT_TRUE(pollUntil([&] { return parked && reading; }));
        auto hog = [&]() -> intptr_t {
            spinFor(20 * SKUA_NS_PER_MS); /* the others fall asleep, one watches */
            uint64_t from = skua_now();
            skua_unpark(s);
            EXPECT_EQ(write(ends[1], "x", 1), 1);
            spinFor(kHogNs);
            return static_cast<intptr_t>(from);
        };
        uint64_t from = static_cast<uint64_t>(runtime.run(hog));
        EXPECT_EQ(skua_await(s), 0);
        EXPECT_EQ(skua_await(r), 1);
        worst = std::max(worst, woken - from);
        close(ends[0]);
        close(ends[1]);
    }
    EXPECT_LT(worst, kHogNs / 2);
}

} /* namespace */
