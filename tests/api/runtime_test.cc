/*
 * Tests skua/runtime.h: options, the environment, what a runtime tells about itself, many of them.
 */
#include "support/child.h"
#include "support/fd_guard.h"
#include "support/hang_guard.h"
#include "support/runtime_kit.h"

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sched.h>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace skua_test;

namespace
{

class RuntimeTest : public testing::Test
{
  protected:
    FdGuard fds_;
    HangGuard hang_;
};

/* Starts runtimes in children: no thread of the test's own may be there when it forks. */
class RuntimeInAChild : public testing::Test
{
  protected:
    FdGuard fds_;
};

int startError(const skua_options &options)
{
    skua_runtime *const untouched = reinterpret_cast<skua_runtime *>(0x10);
    skua_runtime *runtime = untouched;
    int rc = skua_runtime_start(&runtime, &options);
    if (rc == 0)
        EXPECT_EQ(skua_runtime_stop(runtime, SKUA_STOP_DRAIN, SKUA_FOREVER), 0);
    else
        EXPECT_EQ(runtime, untouched);
    return rc;
}

struct BadOptions {
    const char *name;
    void (*spoil)(skua_options *options);
};

void PrintTo(const BadOptions &bad, std::ostream *out)
{
    *out << bad.name;
}

class RuntimeBadOptions : public RuntimeTest, public testing::WithParamInterface<BadOptions>
{
};

INSTANTIATE_TEST_SUITE_P(
    Each, RuntimeBadOptions,
    testing::Values(
        BadOptions{"TooManyWorkers", [](skua_options *o) { o->workers = SKUA_WORKERS_MAX + 1; }},
        BadOptions{"Flags", [](skua_options *o) { o->flags = 1; }},
        BadOptions{"FirstReserved", [](skua_options *o) { o->reserved[0] = 1; }},
        BadOptions{"LastReserved", [](skua_options *o) { o->reserved[3] = 1; }},
        BadOptions{"RingOfOne", [](skua_options *o) { o->ring_entries = 1; }},
        BadOptions{"RingTooLarge", [](skua_options *o) { o->ring_entries = 32769; }},
        BadOptions{"CqSmallerThanRing",
                   [](skua_options *o) {
                       o->ring_entries = 8;
                       o->cq_entries = 4;
                   }},
        BadOptions{"StackTooSmall", [](skua_options *o) { o->stack_size_bytes = (16u << 10) - 1; }},
        BadOptions{"StackTooLarge", [](skua_options *o) { o->stack_size_bytes = SIZE_MAX; }},
        BadOptions{"SpinTooNegative", [](skua_options *o) { o->spin_us = -2; }}),
    [](const auto &bad) { return std::string(bad.param.name); });

TEST_P(RuntimeBadOptions, AreRefused)
{
    skua_options options{};
    GetParam().spoil(&options);
    EXPECT_EQ(startError(options), -EINVAL);
    auto body = []() -> intptr_t { return 1; };
    EXPECT_EQ(skua_run(&options, callValue<decltype(body)>, &body), -EINVAL);
}

TEST_F(RuntimeTest, NullIsRefused)
{
    EXPECT_EQ(skua_runtime_start(nullptr, nullptr), -EINVAL);
    EXPECT_EQ(skua_runtime_stop(nullptr, SKUA_STOP_DRAIN, 0), 0);
    EXPECT_EQ(skua_runtime_list(nullptr, nullptr, 0), -EINVAL);
    skua_info info;
    EXPECT_EQ(skua_runtime_info(nullptr, &info), -EINVAL);
    skua_worker_stats stats;
    EXPECT_EQ(skua_runtime_stats(nullptr, 0, &stats), -EINVAL);
    auto body = []() -> intptr_t { return 1; };
    EXPECT_EQ(skua_await(submitBody(nullptr, body)), -EINVAL);
    Runtime runtime(1);
    EXPECT_EQ(skua_runtime_info(runtime.get(), nullptr), -EINVAL);
    EXPECT_EQ(skua_runtime_stats(runtime.get(), 0, nullptr), -EINVAL);
    EXPECT_EQ(skua_runtime_stats(runtime.get(), 1, &stats), -EINVAL);
    EXPECT_EQ(skua_runtime_list(runtime.get(), nullptr, 1), -EINVAL);
    EXPECT_EQ(skua_await(skua_submit(runtime.get(), nullptr, nullptr)), -EINVAL);
}

TEST_F(RuntimeTest, ExtremeOptionsThatAreAllowedWork)
{
    skua_options options = testOptions(1);
    options.spin_us = -1;
    options.ring_entries = 2;
    options.cq_entries = 2;
    options.cpu_threads = 1;
    options.blocking_threads = 1;
    options.offload_queue_max = 1;
    EXPECT_EQ(startError(options), 0);
    options = testOptions(2);
    options.spin_us = 1000;
    options.ring_entries = 32768;
    EXPECT_EQ(startError(options), 0);
    options = {};
    options.stack_size_bytes = 16u << 10;
    EXPECT_EQ(startError(options), 0);
    options = {};
    options.cq_entries = 1;
    int rc = startError(options); /* less than the default of ring_entries */
    EXPECT_TRUE(rc == 0 || rc == -EINVAL) << rc;
}

/* The number of workers of a runtime started with @text in the environment, or the error. */
int workersWith(const char *text)
{
    ChildResult result = run_child([text] {
        setenv("SKUA_WORKERS", text, 1);
        skua_runtime *runtime;
        int rc = skua_runtime_start(&runtime, nullptr);
        if (rc < 0)
            return 128 - rc;
        skua_info info;
        rc = skua_runtime_info(runtime, &info);
        skua_runtime_stop(runtime, SKUA_STOP_DRAIN, SKUA_FOREVER);
        return rc < 0 ? 127 : static_cast<int>(info.workers);
    });
    return result.exit_code > 128 ? 128 - result.exit_code : result.exit_code;
}

TEST_F(RuntimeInAChild, TheEnvironmentGivesTheNumberOfWorkers)
{
    EXPECT_EQ(workersWith("1"), 1);
    EXPECT_EQ(workersWith("3"), 3);
    EXPECT_EQ(workersWith("17"), 17);
    EXPECT_GE(workersWith(""), 1);
}

TEST_F(RuntimeInAChild, AnUnreadableNumberOfWorkersIsRefused)
{
    for (const char *text :
         {"0", "-1", "257", "two", "3 ", "3x", "0x2", "1.5", "+", "-", "99999999999999999999"})
        EXPECT_EQ(workersWith(text), -EINVAL) << text;
}

TEST_F(RuntimeInAChild, TheOptionBeatsTheEnvironment)
{
    ChildResult result = run_child([] {
        setenv("SKUA_WORKERS", "nonsense", 1);
        skua_options options{};
        options.workers = 2;
        skua_runtime *runtime;
        int rc = skua_runtime_start(&runtime, &options);
        return rc < 0 ? 1 : skua_runtime_stop(runtime, SKUA_STOP_DRAIN, SKUA_FOREVER);
    });
    EXPECT_EQ(result.exit_code, 0);
}

TEST_F(RuntimeInAChild, ByDefaultThereAreAsManyWorkersAsTheAffinityMaskAllows)
{
    ChildResult result = run_child([] {
        unsetenv("SKUA_WORKERS");
        cpu_set_t allowed, one;
        CPU_ZERO(&one);
        sched_getaffinity(0, sizeof(allowed), &allowed);
        for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
            if (CPU_ISSET(cpu, &allowed)) {
                CPU_SET(cpu, &one);
                break;
            }
        }
        if (sched_setaffinity(0, sizeof(one), &one) != 0)
            return 77;
        skua_runtime *runtime;
        skua_info info;
        if (skua_runtime_start(&runtime, nullptr) != 0 || skua_runtime_info(runtime, &info) != 0)
            return 1;
        skua_runtime_stop(runtime, SKUA_STOP_DRAIN, SKUA_FOREVER);
        return info.workers == 1 && info.cpus_allowed == 1 ? 0 : 2;
    });
    if (result.exit_code == 77)
        GTEST_SKIP() << "sched_setaffinity is refused";
    EXPECT_EQ(result.exit_code, 0);
}

TEST_F(RuntimeTest, NoRuntimeIsStartedOnARuntimesOwnThread)
{
    runInTask([] {
        skua_runtime *runtime = nullptr;
        auto body = []() -> intptr_t { return 1; };
        EXPECT_EQ(skua_runtime_start(&runtime, nullptr), -EPERM);
        EXPECT_EQ(skua_run(nullptr, callValue<decltype(body)>, &body), -EPERM);
        EXPECT_EQ(skua_runtime_stop(skua_runtime_current(), SKUA_STOP_DRAIN, 0), -EPERM);
        EXPECT_EQ(skua_hop(nullptr), 0);
        EXPECT_EQ(skua_runtime_start(&runtime, nullptr), -EPERM);
        EXPECT_EQ(skua_run(nullptr, callValue<decltype(body)>, &body), -EPERM);
        EXPECT_EQ(skua_runtime_stop(skua_runtime_current(), SKUA_STOP_DRAIN, 0), -EPERM);
    });
    runOnExecutor([] {
        skua_runtime *runtime = nullptr;
        EXPECT_EQ(skua_runtime_start(&runtime, nullptr), -EPERM);
        EXPECT_EQ(skua_runtime_stop(skua_runtime_current(), SKUA_STOP_DRAIN, 0), -EPERM);
    });
}

TEST_F(RuntimeTest, CurrentIsTheOneOfTheTaskOrJob)
{
    EXPECT_EQ(skua_runtime_current(), nullptr);
    Runtime one(1), two(1);
    auto current = []() -> intptr_t { return reinterpret_cast<intptr_t>(skua_runtime_current()); };
    EXPECT_EQ(one.run(current), reinterpret_cast<intptr_t>(one.get()));
    EXPECT_EQ(two.run(current), reinterpret_cast<intptr_t>(two.get()));
    EXPECT_EQ(skua_await(offloadBody(skua_executor_cpu(two.get()), current)),
              reinterpret_cast<intptr_t>(two.get()));
    EXPECT_EQ(skua_executor_cpu(one.get()) == skua_executor_cpu(two.get()), false);
}

TEST_F(RuntimeTest, InfoTellsWhatRuns)
{
    skua_options options = testOptions(3);
    Runtime runtime(options);
    Promise gate;
    auto body = [&]() -> intptr_t { return skua_await(skua_future_ref(gate.future)); };
    std::vector<skua_future *> futures;
    for (int i = 0; i < 10; i++)
        futures.push_back(submitBody(runtime.get(), body));
    skua_info info;
    ASSERT_EQ(skua_runtime_info(runtime.get(), &info), 0);
    std::string engine = info.engine;
    EXPECT_TRUE(engine == "uring" || engine == "epoll") << engine; /* see engine_choice_test.cc */
    EXPECT_GT(strlen(info.engine_mode), 0u);
    EXPECT_EQ(info.workers, 3u);
    EXPECT_GE(info.cpus_allowed, 1u);
    EXPECT_EQ(info.stack_size_bytes, size_t{256} << 10);
    std::string guard = info.stack_guard;
    EXPECT_TRUE(guard == "guard-install" || guard == "mprotect") << guard;
    EXPECT_EQ(info.tasks_live, 10u);
    EXPECT_EQ(skua_promise_set(gate.promise, 0), 0);
    for (skua_future *future : futures)
        EXPECT_EQ(skua_await(future), 0);
    EXPECT_TRUE(pollUntil(
        [&] { return skua_runtime_info(runtime.get(), &info) == 0 && info.tasks_live == 0; }));
    EXPECT_GE(info.stacks_created, 1u);
    skua_promise_unref(gate.promise);
    skua_future_unref(gate.future);
}

TEST_F(RuntimeTest, EveryTaskSpawnedIsCountedAsRunOnce)
{
    for (unsigned workers : {1u, 2u, 4u}) {
        Runtime runtime(workers);
        const intptr_t outer_count = SKUA_TESTS_SANITIZED ? 10 : 50, inner_count = 100;
        auto inner = []() -> intptr_t { return skua_yield() + 1; };
        auto outer = [&]() -> intptr_t {
            std::vector<skua_future *> futures;
            for (intptr_t i = 0; i < inner_count; i++)
                futures.push_back(spawnBody(inner));
            intptr_t sum = 0;
            for (skua_future *future : futures)
                sum += skua_await(future);
            return sum;
        };
        auto first = [&]() -> intptr_t {
            std::vector<skua_future *> futures;
            for (intptr_t i = 0; i < outer_count; i++)
                futures.push_back(spawnBody(outer));
            intptr_t sum = 0;
            for (skua_future *future : futures)
                sum += skua_await(future);
            return sum;
        };
        EXPECT_EQ(runtime.run(first), outer_count * inner_count);
        uint64_t spawned = static_cast<uint64_t>(outer_count + outer_count * inner_count);
        EXPECT_TRUE(pollUntil(
            [&] { return sumOf(runtime.get(), &skua_worker_stats::tasks_run) == spawned + 1; }));
        EXPECT_EQ(sumOf(runtime.get(), &skua_worker_stats::tasks_spawned), spawned);
        EXPECT_LE(sumOf(runtime.get(), &skua_worker_stats::tasks_inlined), spawned);
        EXPECT_GT(sumOf(runtime.get(), &skua_worker_stats::switches), 0u);
        EXPECT_LE(sumOf(runtime.get(), &skua_worker_stats::steals), spawned * 4);
    }
}

TEST_F(RuntimeTest, TheOtherCountersCountToo)
{
    Runtime runtime(1);
    auto job = []() -> intptr_t { return 0; };
    auto body = [&]() -> intptr_t {
        int ends[2];
        if (pipe(ends) != 0)
            return -errno;
        char byte;
        auto read = [&]() -> intptr_t { return skua_read(ends[0], &byte, 1); };
        skua_future *reader = spawnBody(read);         /* it waits in the engine */
        EXPECT_EQ(skua_sleep(50 * SKUA_NS_PER_MS), 0); /* a worker that is held up parks too */
        EXPECT_EQ(skua_write(ends[1], "x", 1), 1);
        EXPECT_EQ(skua_await(reader), 1);
        EXPECT_EQ(skua_await(offloadBody(nullptr, job)), 0);
        EXPECT_EQ(skua_hop(nullptr), 0);
        EXPECT_EQ(skua_hop_back(), 0);
        close(ends[0]);
        close(ends[1]);
        return 0;
    };
    EXPECT_EQ(runtime.run(body), 0);
    skua_worker_stats stats;
    ASSERT_EQ(skua_runtime_stats(runtime.get(), 0, &stats), 0);
    EXPECT_GE(stats.ops_submitted, 1u);
    EXPECT_GE(stats.ops_completed, 1u);
    EXPECT_GE(stats.enters, 1u);
    EXPECT_GE(stats.timers_fired, 1u);
    EXPECT_GE(stats.parks, 1u);
    EXPECT_EQ(stats.offloads, 2u);
    EXPECT_EQ(stats.steals, 0u);
}

TEST_F(RuntimeTest, ListNamesWhatHasNotEnded)
{
    Runtime runtime(2);
    Promise gate;
    std::string site;
    auto waiter = [&]() -> intptr_t { return skua_await(skua_future_ref(gate.future)); };
    auto job = [&]() -> intptr_t { return skua_await(skua_future_ref(gate.future)); };
    auto spawner = [&]() -> intptr_t {
        skua_future *named = spawnNamed("waiter", waiter);
        skua_future *running = offloadBody(nullptr, job);
        intptr_t rc = kNoResult;
        EXPECT_EQ(skua_await_until(named, SKUA_FOREVER, &rc), 0);
        return skua_await(running);
    };
    skua_future *future = submitBody(runtime.get(), spawner);
    EXPECT_TRUE(pollUntil([&] { return stateOf(runtime.get(), "waiter") == "awaiting"; }));
    EXPECT_TRUE(pollUntil([&] { return skua_runtime_list(runtime.get(), nullptr, 0) == 3; }));
    skua_task_info tasks[4];
    ASSERT_EQ(skua_runtime_list(runtime.get(), tasks, 4), 3);
    int jobs = 0;
    for (int i = 0; i < 3; i++) {
        std::string kind = tasks[i].kind;
        EXPECT_TRUE(kind == "task" || kind == "job") << kind;
        jobs += kind == "job";
        EXPECT_NE(tasks[i].site, nullptr);
        EXPECT_NE(tasks[i].entry, nullptr);
        EXPECT_FALSE(tasks[i].cancelled);
    }
    EXPECT_EQ(jobs, 1);
    skua_task_info one{};
    EXPECT_EQ(skua_runtime_list(runtime.get(), &one, 1), 3);
    EXPECT_EQ(skua_promise_set(gate.promise, 0), 0);
    EXPECT_EQ(skua_await(future), 0);
    EXPECT_TRUE(pollUntil([&] { return skua_runtime_list(runtime.get(), nullptr, 0) == 0; }));
    skua_promise_unref(gate.promise);
    skua_future_unref(gate.future);
}

TEST_F(RuntimeTest, ListMayBeCalledAllTheTime)
{
    Runtime runtime(2);
    const int rounds = SKUA_TESTS_SANITIZED ? 2000 : 20000;
    auto child = []() -> intptr_t { return skua_yield(); };
    auto body = [&]() -> intptr_t {
        intptr_t sum = 0;
        for (int i = 0; i < rounds; i++)
            sum += skua_await(spawnBody(child));
        return sum;
    };
    skua_future *future = submitBody(runtime.get(), body);
    skua_task_info tasks[8];
    size_t looks = 0;
    for (; skua_future_peek(future, nullptr) == -EAGAIN; looks++) {
        ssize_t count = skua_runtime_list(runtime.get(), tasks, 8);
        ASSERT_GE(count, 0);
        ASSERT_LE(count, 8);
    }
    EXPECT_EQ(skua_await(future), 0);
    RecordProperty("looks", static_cast<int>(looks));
}

/* In pages: resident memory of this process. */
long residentPages()
{
    std::ifstream statm("/proc/self/statm");
    long size = 0, resident = 0;
    statm >> size >> resident;
    return resident;
}

TEST_F(RuntimeTest, AThousandStartsAndStopsLeaveNothingBehind)
{
    const int cycles = SKUA_TESTS_SANITIZED ? 100 : 1000;
    int threads = threadCount();
    long resident = 0;
    auto job = []() -> intptr_t { return 1; };
    for (int i = 0; i < cycles; i++) {
        Runtime runtime(1 + static_cast<unsigned>(i) % 3);
        auto body = [&]() -> intptr_t {
            skua_future_unref(spawnBody(job));
            return skua_await(offloadBody(nullptr, job)) + skua_await(spawnBody(job));
        };
        ASSERT_EQ(runtime.run(body), 2);
        ASSERT_EQ(runtime.stop(i % 2 ? SKUA_STOP_DRAIN : SKUA_STOP_CANCEL), 0);
        if (i == cycles / 5)
            resident = residentPages();
    }
    EXPECT_EQ(threadCount(), threads);
    if (!SKUA_TESTS_SANITIZED) {
        EXPECT_LT(residentPages(), resident + 1024); /* 4 MiB over 800 cycles */
    }
}

TEST_F(RuntimeTest, SeveralThreadsStartAndStopTheirOwn)
{
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++)
        threads.emplace_back([] {
            for (int j = 0; j < 25; j++) {
                auto body = []() -> intptr_t { return skua_sleep(1000) + 7; };
                EXPECT_EQ(Runtime(2).run(body), 7);
            }
        });
    for (auto &thread : threads)
        thread.join();
}

TEST_F(RuntimeTest, SixtyFourWorkersOnFewCpusWork)
{
    Runtime runtime(64);
    constexpr intptr_t kLeaves = SKUA_TESTS_SANITIZED ? 1000 : 5000; /* each has a stack */
    std::atomic<intptr_t> runs{0};
    auto leaf = [&]() -> intptr_t { return skua_yield() + ++runs * 0 + 1; };
    auto body = [&]() -> intptr_t {
        std::vector<skua_future *> futures;
        for (intptr_t i = 0; i < kLeaves; i++)
            futures.push_back(spawnBody(leaf));
        intptr_t sum = 0;
        for (skua_future *future : futures)
            sum += skua_await(future);
        return sum + skua_sleep(SKUA_NS_PER_MS);
    };
    EXPECT_EQ(runtime.run(body), kLeaves);
    EXPECT_EQ(runs, kLeaves);
}

TEST_F(RuntimeTest, ThreadsAreWorkersAndTheMonitorUntilSomethingIsOffloaded)
{
    int before = threadCount();
    {
        skua_options options = testOptions(5);
        options.block_us = 1000000; /* there is a monitor, even with ThreadSanitizer */
        Runtime runtime(options);
        EXPECT_EQ(threadCount(), before + 5 + 1);
        auto job = []() -> intptr_t { return 1; };
        EXPECT_EQ(skua_await(offloadBody(skua_executor_cpu(runtime.get()), job)), 1);
        EXPECT_EQ(threadCount(), before + 5 + 1 + 1);
    }
    EXPECT_EQ(threadCount(), before);
}

} // namespace
