/*
 * Tests skua/executor.h: jobs and their queue, threads that come and go, nesting, priorities, hops.
 */
#include "support/fd_guard.h"
#include "support/hang_guard.h"
#include "support/runtime_kit.h"

#include <atomic>
#include <fcntl.h>
#include <functional>
#include <mutex>
#include <set>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace skua_test;

namespace
{

class Executor : public testing::Test
{
  protected:
    FdGuard fds_;
    HangGuard hang_;
};

skua_executor_options withThreads(unsigned threads_max)
{
    skua_executor_options options{};
    options.threads_max = threads_max;
    return options;
}

/* An executor of the running task's runtime. */
class Own
{
  public:
    explicit Own(const skua_executor_options &options, skua_runtime *runtime = nullptr)
    {
        EXPECT_EQ(skua_executor_create(runtime, &options, &executor_), 0);
    }
    Own(const Own &) = delete;
    Own &operator=(const Own &) = delete;
    ~Own()
    {
        EXPECT_EQ(skua_executor_destroy(executor_), 0);
    }
    skua_executor *get() const
    {
        return executor_;
    }

  private:
    skua_executor *executor_ = nullptr;
};

long tid()
{
    return syscall(SYS_gettid);
}

TEST_F(Executor, RunsAJobOnAThreadOfItsOwnAndGivesItsResult)
{
    runInTask([] {
        long here = tid();
        auto body = [&]() -> intptr_t {
            EXPECT_NE(tid(), here);
            EXPECT_NE(skua_runtime_current(), nullptr);
            return 12;
        };
        EXPECT_EQ(skua_await(offloadBody(nullptr, body)), 12);
        EXPECT_EQ(skua_await(offloadBody(skua_executor_cpu(nullptr), body)), 12);
        auto failing = []() -> intptr_t { return -EIO; };
        EXPECT_EQ(skua_await(offloadBody(nullptr, failing)), -EIO);
    });
}

TEST_F(Executor, OutsideARuntimeThereIsNoDefaultOne)
{
    auto body = []() -> intptr_t { return 0; };
    EXPECT_EQ(skua_executor_cpu(nullptr), nullptr);
    EXPECT_EQ(skua_executor_blocking(nullptr), nullptr);
    EXPECT_EQ(skua_await(offloadBody(nullptr, body)), -EPERM);
    EXPECT_EQ(skua_await(skua_run_in_executor(nullptr, nullptr, nullptr)), -EINVAL);
    EXPECT_EQ(skua_hop(nullptr), -EPERM);
    EXPECT_EQ(skua_hop_back(), -EPERM);
    skua_executor *executor = nullptr;
    EXPECT_EQ(skua_executor_create(nullptr, nullptr, &executor), -EPERM);
    EXPECT_EQ(executor, nullptr);
}

TEST_F(Executor, AForeignThreadMayUseOne)
{
    Runtime runtime;
    auto body = []() -> intptr_t { return 3; };
    EXPECT_EQ(skua_await(offloadBody(skua_executor_cpu(runtime.get()), body)), 3);
    EXPECT_EQ(skua_await(offloadBody(skua_executor_blocking(runtime.get()), body)), 3);
    Own own(withThreads(1), runtime.get());
    EXPECT_EQ(skua_await(offloadBody(own.get(), body)), 3);
}

TEST_F(Executor, CreateRefusesWhatTheHeaderForbids)
{
    runInTask([] {
        skua_executor *const untouched = reinterpret_cast<skua_executor *>(0x10);
        skua_executor *executor = untouched;
        EXPECT_EQ(skua_executor_create(nullptr, nullptr, nullptr), -EINVAL);
        skua_executor_options options = withThreads(2);
        options.threads_min = 3;
        EXPECT_EQ(skua_executor_create(nullptr, &options, &executor), -EINVAL);
        options = {};
        options.nice = 20;
        EXPECT_EQ(skua_executor_create(nullptr, &options, &executor), -EINVAL);
        options.nice = -1;
        EXPECT_EQ(skua_executor_create(nullptr, &options, &executor), -EINVAL);
        options = {};
        options.reserved[2] = 1;
        EXPECT_EQ(skua_executor_create(nullptr, &options, &executor), -EINVAL);
        EXPECT_EQ(executor, untouched);
    });
}

TEST_F(Executor, TheRuntimesOwnAreNotDestroyedByAnybodyElse)
{
    runInTask([] {
        EXPECT_EQ(skua_executor_destroy(skua_executor_cpu(nullptr)), -EPERM);
        EXPECT_EQ(skua_executor_destroy(skua_executor_blocking(nullptr)), -EPERM);
        EXPECT_EQ(skua_executor_destroy(nullptr), 0);
    });
}

TEST_F(Executor, IsNotDestroyedByItsOwnThread)
{
    runInTask([] {
        Own own(withThreads(1));
        auto body = [&]() -> intptr_t { return skua_executor_destroy(own.get()); };
        EXPECT_EQ(skua_await(offloadBody(own.get(), body)), -EBUSY);
        EXPECT_EQ(skua_hop(own.get()), 0);
        EXPECT_EQ(skua_executor_destroy(own.get()), -EBUSY);
        EXPECT_EQ(skua_hop_back(), 0);
    });
}

TEST_F(Executor, DestroyWaitsForWhatIsQueued)
{
    Runtime runtime(2);
    const intptr_t count = 100;
    std::atomic<intptr_t> ended{0};
    auto job = [&]() -> intptr_t { return ++ended > 0; };
    std::vector<skua_future *> futures;
    {
        Own own(withThreads(1), runtime.get());
        for (intptr_t i = 0; i < count; i++)
            futures.push_back(offloadBody(own.get(), job));
    }
    EXPECT_EQ(ended, count);
    for (skua_future *future : futures)
        EXPECT_EQ(skua_await(future), 1);
}

TEST_F(Executor, OneThreadRunsJobsInOrder)
{
    runInTask([] {
        Own own(withThreads(1));
        std::vector<int> order;
        std::vector<std::function<intptr_t()>> jobs;
        for (int i = 0; i < 500; i++)
            jobs.push_back([&order, i]() -> intptr_t {
                order.push_back(i);
                return i;
            });
        std::vector<skua_future *> futures;
        for (auto &job : jobs)
            futures.push_back(offloadBody(own.get(), job));
        /* Last first: an await that ran a job out of its turn would show. */
        for (int i = 499; i >= 0; i--)
            EXPECT_EQ(skua_await(futures[static_cast<size_t>(i)]), i);
        ASSERT_EQ(order.size(), 500u);
        for (int i = 0; i < 500; i++)
            ASSERT_EQ(order[static_cast<size_t>(i)], i);
    });
}

/* Jobs that hold their threads until the gate opens. */
struct Gate {
    Promise gate;
    std::atomic<unsigned> inside{0};

    intptr_t operator()()
    {
        inside++;
        /* Not a wait of the library: the thread is busy, not blocked. */
        uint64_t deadline = skua_after(10 * SKUA_NS_PER_SEC);
        while (skua_future_peek(gate.future, nullptr) == -EAGAIN && skua_now() < deadline)
            poll(nullptr, 0, 1);
        return 1;
    }
    void open()
    {
        EXPECT_EQ(skua_promise_set(gate.promise, 0), 0);
    }
    ~Gate()
    {
        skua_promise_unref(gate.promise);
        skua_future_unref(gate.future);
    }
};

TEST_F(Executor, AFullQueueRefuses)
{
    runInTask([] {
        skua_executor_options options = withThreads(1);
        options.queue_max = 3;
        Own own(options);
        Gate gate;
        skua_future *busy = offloadBody(own.get(), gate);
        EXPECT_TRUE(yieldUntil([&] { return gate.inside == 1; }));
        std::vector<skua_future *> queued;
        for (int i = 0; i < 3; i++)
            queued.push_back(offloadBody(own.get(), gate));
        EXPECT_EQ(skua_await(offloadBody(own.get(), gate)), -EAGAIN);
        EXPECT_EQ(skua_hop(own.get()), -EAGAIN);
        gate.open();
        EXPECT_EQ(skua_await(busy), 1);
        for (skua_future *future : queued)
            EXPECT_EQ(skua_await(future), 1);
        EXPECT_EQ(skua_await(offloadBody(own.get(), gate)), 1);
    });
}

TEST_F(Executor, GrowsToItsLimitAndNoFurther)
{
    runInTask([] {
        Own own(withThreads(5));
        Gate gate;
        int before = threadCount();
        std::vector<skua_future *> futures;
        for (int i = 0; i < 20; i++)
            futures.push_back(offloadBody(own.get(), gate));
        EXPECT_TRUE(yieldUntil([&] { return gate.inside == 5; }));
        EXPECT_EQ(threadCount(), before + 5);
        gate.open();
        for (skua_future *future : futures)
            EXPECT_EQ(skua_await(future), 1);
        EXPECT_LE(threadCount(), before + 5);
    });
}

TEST_F(Executor, IdleThreadsEnd)
{
    runInTask([] {
        skua_executor_options options = withThreads(4);
        options.idle_timeout_ns = 5 * SKUA_NS_PER_MS;
        Own own(options);
        int before = threadCount();
        for (int round = 0; round < 3; round++) {
            Gate gate;
            std::vector<skua_future *> futures;
            for (int i = 0; i < 4; i++)
                futures.push_back(offloadBody(own.get(), gate));
            EXPECT_TRUE(yieldUntil([&] { return gate.inside == 4; }));
            EXPECT_EQ(threadCount(), before + 4);
            gate.open();
            for (skua_future *future : futures)
                EXPECT_EQ(skua_await(future), 1);
            EXPECT_TRUE(yieldUntil([&] { return threadCount() == before; }));
        }
    });
}

TEST_F(Executor, CpuThreadsHaveALowerPriorityThanWorkers)
{
    runInTask([] {
        int worker = getpriority(PRIO_PROCESS, static_cast<id_t>(tid()));
        auto body = []() -> intptr_t {
            return getpriority(PRIO_PROCESS, static_cast<id_t>(tid())) + 100;
        };
        EXPECT_GT(skua_await(offloadBody(skua_executor_cpu(nullptr), body)), worker + 100);
        EXPECT_EQ(skua_await(offloadBody(skua_executor_blocking(nullptr), body)), worker + 100);
        skua_executor_options options = withThreads(1);
        options.nice = 3;
        Own own(options);
        EXPECT_EQ(skua_await(offloadBody(own.get(), body)), worker + 103);
    });
}

TEST_F(Executor, ItsNameIsThatOfItsThreads)
{
    runInTask([] {
        skua_executor_options options = withThreads(1);
        options.name = "a name that is too long";
        Own own(options);
        std::string seen;
        auto body = [&]() -> intptr_t {
            char name[32] = "";
            pthread_getname_np(pthread_self(), name, sizeof(name));
            seen = name;
            return 0;
        };
        EXPECT_EQ(skua_await(offloadBody(own.get(), body)), 0);
        EXPECT_EQ(seen, "a name that is ");
    });
}

/* ---- nesting --------------------------------------------------------------------------------- */

TEST_F(Executor, AJobMayAwaitAJobOfTheSameSingleThread)
{
    runInTask([] {
        Own own(withThreads(1));
        auto inner = []() -> intptr_t { return 2; };
        auto middle = [&]() -> intptr_t { return skua_await(offloadBody(own.get(), inner)) + 1; };
        auto outer = [&]() -> intptr_t { return skua_await(offloadBody(own.get(), middle)) + 1; };
        EXPECT_EQ(skua_await(offloadBody(own.get(), outer)), 4);
    });
}

TEST_F(Executor, AJobMayAwaitATaskThatAwaitsAJobOfTheSameSingleThread)
{
    for (unsigned workers : {1u, 2u})
        runInTask(
            [] {
                Own own(withThreads(1));
                auto inner = []() -> intptr_t { return 2; };
                auto task = [&]() -> intptr_t {
                    return skua_await(offloadBody(own.get(), inner)) + 1;
                };
                auto outer = [&]() -> intptr_t { return skua_await(spawnBody(task)) + 1; };
                EXPECT_EQ(skua_await(offloadBody(own.get(), outer)), 4);
            },
            workers);
}

TEST_F(Executor, ManyJobsThatAllAwaitOthersDoNotDeadlock)
{
    runInTask([] {
        Own own(withThreads(2));
        auto leaf = []() -> intptr_t { return skua_sleep(SKUA_NS_PER_MS) + 1; };
        auto branch = [&]() -> intptr_t {
            skua_future *a = offloadBody(own.get(), leaf);
            skua_future *b = offloadBody(own.get(), leaf);
            return skua_await(a) + skua_await(b);
        };
        std::vector<skua_future *> futures;
        for (int i = 0; i < 50; i++)
            futures.push_back(offloadBody(own.get(), branch));
        for (skua_future *future : futures)
            EXPECT_EQ(skua_await(future), 2);
    });
}

TEST_F(Executor, ACancelledUnstartedJobNeverRuns)
{
    runInTask([] {
        Own own(withThreads(1));
        Gate gate;
        std::atomic<bool> ran{false};
        auto body = [&]() -> intptr_t { return ran = true; };
        skua_future *busy = offloadBody(own.get(), gate);
        EXPECT_TRUE(yieldUntil([&] { return gate.inside == 1; }));
        skua_future *first = offloadBody(own.get(), body);
        skua_future *second = offloadBody(own.get(), body);
        EXPECT_EQ(skua_cancel(first), 0);
        EXPECT_EQ(skua_cancel(first), -EALREADY);
        auto awaiter = [&]() -> intptr_t { return skua_await(second); };
        skua_future *awaiting = spawnNamed("awaiter", awaiter);
        EXPECT_TRUE(yieldUntilState("awaiter", "awaiting"));
        EXPECT_EQ(skua_cancel(awaiting), 0);
        EXPECT_EQ(skua_await(awaiting), -ECANCELED);
        EXPECT_EQ(skua_await(first), -ECANCELED);
        gate.open();
        EXPECT_EQ(skua_await(busy), 1);
        EXPECT_FALSE(ran);
    });
}

/* ---- hops ------------------------------------------------------------------------------------ */

TEST_F(Executor, AHopKeepsTheTask)
{
    runInTask([] {
        skua_future *self = skua_self();
        std::string name = skua_task_name();
        long worker = tid(); /* not pthread_self(): compilers keep its value */
        EXPECT_EQ(skua_hop(nullptr), 0);
        EXPECT_NE(tid(), worker);
        EXPECT_EQ(skua_self(), self);
        EXPECT_EQ(skua_task_name(), name);
        EXPECT_NE(skua_runtime_current(), nullptr);
        EXPECT_EQ(skua_hop(nullptr), 0);
        EXPECT_EQ(skua_hop(skua_executor_cpu(nullptr)), 0);
        EXPECT_GT(getpriority(PRIO_PROCESS, static_cast<id_t>(tid())), 0);
        EXPECT_EQ(skua_hop_back(), 0);
        EXPECT_EQ(skua_hop_back(), 0);
        EXPECT_EQ(skua_self(), self);
        EXPECT_EQ(skua_yield(), 0);
    });
}

TEST_F(Executor, ATaskRunInPlaceMayHop)
{
    for (unsigned workers : {1u, 2u})
        runInTask(
            [] {
                skua_future *outer = skua_self();
                auto inner = [&]() -> intptr_t {
                    skua_future *self = skua_self();
                    EXPECT_NE(self, outer);
                    EXPECT_EQ(skua_hop(nullptr), 0);
                    EXPECT_EQ(skua_self(), self);
                    EXPECT_EQ(skua_sleep(1000), 0);
                    EXPECT_EQ(skua_hop_back(), 0);
                    EXPECT_EQ(skua_self(), self);
                    return 5;
                };
                EXPECT_EQ(skua_await(spawnBody(inner)), 5);
                EXPECT_EQ(skua_self(), outer);
            },
            workers);
}

TEST_F(Executor, ATaskThatEndsInPlaceOnAnExecutorBringsItsAwaiterBack)
{
    runInTask(
        [] {
            long worker = tid();
            auto inner = []() -> intptr_t { return skua_hop(nullptr) == 0 ? 6 : -EIO; };
            EXPECT_EQ(skua_await(spawnBody(inner)), 6);
            EXPECT_EQ(tid(), worker);
        },
        1);
}

TEST_F(Executor, ATaskMayEndWhereItHopped)
{
    runInTask([] {
        auto body = []() -> intptr_t { return skua_hop(nullptr) == 0 ? 6 : -EIO; };
        std::vector<skua_future *> futures;
        for (int i = 0; i < 100; i++)
            futures.push_back(spawnBody(body));
        for (skua_future *future : futures) {
            intptr_t rc = kNoResult;
            EXPECT_EQ(skua_await_until(future, SKUA_FOREVER, &rc), 0);
            EXPECT_EQ(rc, 6);
        }
    });
}

TEST_F(Executor, AJobIsNoTask)
{
    runOnExecutor([] {
        EXPECT_EQ(skua_hop(nullptr), -EPERM);
        EXPECT_EQ(skua_hop_back(), -EPERM);
        EXPECT_EQ(skua_self(), nullptr);
    });
}

TEST_F(Executor, AHopFreesTheWorker)
{
    runInTask(
        [] {
            Gate gate;
            auto hopper = [&]() -> intptr_t {
                int rc = skua_hop(nullptr);
                return rc < 0 ? rc : gate();
            };
            skua_future *future = spawnBody(hopper);
            EXPECT_TRUE(yieldUntil([&] { return gate.inside == 1; }));
            EXPECT_EQ(skua_sleep(SKUA_NS_PER_MS), 0);
            gate.open();
            EXPECT_EQ(skua_await(future), 1);
        },
        1);
}

/* Everything a task may call, from a place that is not a worker. */
void useTheWholeApi()
{
    auto child = []() -> intptr_t { return skua_sleep(1000) + 3; };
    EXPECT_EQ(skua_await(spawnBody(child)), 3);
    intptr_t result = kNoResult;
    EXPECT_EQ(skua_await_until(spawnBody(child), SKUA_FOREVER, &result), 0);
    EXPECT_EQ(result, 3);
    EXPECT_EQ(skua_await(offloadBody(skua_executor_cpu(nullptr), child)), 3);
    EXPECT_EQ(skua_sleep(SKUA_NS_PER_MS), 0);
    EXPECT_EQ(skua_yield(), 0);
    Promise never;
    EXPECT_EQ(skua_await_until(never.future, skua_after(1000), nullptr), -ETIMEDOUT);
    skua_promise_unref(never.promise);
    EXPECT_EQ(skua_await(never.future), -EOWNERDEAD);
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    char byte = 0;
    EXPECT_EQ(skua_write(ends[1], "x", 1), 1);
    EXPECT_EQ(skua_read(ends[0], &byte, 1), 1);
    EXPECT_EQ(byte, 'x');
    EXPECT_EQ(skua_close(ends[0]), 0);
    EXPECT_EQ(skua_close(ends[1]), 0);
}

TEST_F(Executor, TheWholeApiWorksFromAJob)
{
    runOnExecutor([] { useTheWholeApi(); });
}

TEST_F(Executor, TheWholeApiWorksFromATaskOnAnExecutor)
{
    runInTask([] {
        EXPECT_EQ(skua_hop(nullptr), 0);
        useTheWholeApi();
        EXPECT_EQ(skua_hop_back(), 0);
        useTheWholeApi();
    });
}

TEST_F(Executor, HopsAndJobsFromManyTasksAtOnce)
{
    const int rounds = SKUA_TESTS_SANITIZED ? 20 : 100;
    runInTask(
        [rounds] {
            std::atomic<intptr_t> hops{0};
            auto job = []() -> intptr_t { return 1; };
            auto body = [&]() -> intptr_t {
                intptr_t sum = 0;
                for (int i = 0; i < rounds; i++) {
                    skua_executor *to =
                        i % 2 ? skua_executor_cpu(nullptr) : skua_executor_blocking(nullptr);
                    if (skua_hop(to) == 0)
                        hops++;
                    sum += skua_await(offloadBody(to, job));
                    if (i % 3 == 0)
                        skua_hop_back();
                    sum += skua_await(spawnBody(job));
                }
                return sum;
            };
            std::vector<skua_future *> futures;
            for (int i = 0; i < 20; i++)
                futures.push_back(spawnBody(body));
            for (skua_future *future : futures)
                EXPECT_EQ(skua_await(future), 2 * rounds);
            EXPECT_EQ(hops, 20 * rounds);
        },
        2);
}

TEST_F(Executor, ManyForeignThreadsShareOneExecutor)
{
    Runtime runtime;
    Own own(withThreads(3), runtime.get());
    const int rounds = SKUA_TESTS_SANITIZED ? 200 : 2000;
    std::atomic<int> runs{0};
    auto job = [&]() -> intptr_t { return ++runs > 0; };
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++)
        threads.emplace_back([&] {
            for (int j = 0; j < rounds; j++)
                EXPECT_EQ(skua_await(offloadBody(own.get(), job)), 1);
        });
    for (auto &thread : threads)
        thread.join();
    EXPECT_EQ(runs, 4 * rounds);
}

} // namespace
