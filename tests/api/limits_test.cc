/*
 * Tests a runtime that is short of something: descriptors, locked memory, threads, ring entries,
 * stack; and one whose threads are interrupted all the time. Each in a process of its own.
 */
#include "support/child.h"
#include "support/fd_guard.h"
#include "support/runtime_kit.h"

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <functional>
#include <string>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>
#include <vector>

using namespace skua_test;

namespace
{

/* The exit codes of children. 0 is well. */
enum { kNotStarted = 100, kWrong = 101, kLeaked = 102, kNotPossible = 103 };

class Limits : public testing::Test
{
  protected:
    void expectWell(const std::function<int()> &body)
    {
        ChildResult result = run_child(body);
        EXPECT_FALSE(result.timed_out) << result.output;
        if (result.exit_code == kNotPossible)
            GTEST_SKIP() << "this limit cannot be set here";
        EXPECT_EQ(result.signal, 0) << result.output;
        EXPECT_EQ(result.exit_code, 0) << result.output;
    }

    FdGuard fds_;
};

int limit(int resource, rlim_t value)
{
    struct rlimit rl = {value, value};
    return setrlimit(static_cast<__rlimit_resource_t>(resource), &rl);
}

/* Some of everything: tasks, sleeps, a pipe, jobs, hops. 0 if all of it was right. */
intptr_t useEverything(void *)
{
    auto leaf = []() -> intptr_t { return skua_sleep(1000) + 1; };
    auto job = []() -> intptr_t { return 2; };
    intptr_t sum = 0;
    std::vector<skua_future *> futures;
    for (int i = 0; i < 50; i++)
        futures.push_back(spawnBody(leaf));
    for (skua_future *future : futures)
        sum += skua_await(future);
    sum += skua_await(offloadBody(nullptr, job));
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -errno;
    char byte = 0;
    sum += skua_write(ends[1], "x", 1);
    sum += skua_read(ends[0], &byte, 1);
    skua_close(ends[0]);
    skua_close(ends[1]);
    int rc = skua_hop(nullptr);
    if (rc == 0)
        rc = skua_hop_back();
    return sum == 54 && byte == 'x' ? rc : kWrong;
}

int startUseStop(unsigned workers)
{
    skua_options options{};
    options.workers = workers;
    options.stack_size_bytes = size_t{128} << 10;
    skua_runtime *runtime = nullptr;
    int rc = skua_runtime_start(&runtime, &options);
    if (rc < 0)
        return rc;
    intptr_t result = skua_await(skua_submit(runtime, useEverything, nullptr));
    if (result != 0)
        fprintf(stderr, "the tasks gave %ld\n", static_cast<long>(result));
    rc = skua_runtime_stop(runtime, SKUA_STOP_DRAIN, SKUA_FOREVER);
    return result != 0 ? kWrong : rc;
}

/* How a start for which there is too little ended; nothing may be left of it. */
int failToStart(unsigned workers, std::initializer_list<int> expected)
{
    size_t fds = openDescriptors().size();
    int threads = threadCount();
    int rc = startUseStop(workers);
    for (int error : expected) {
        if (rc == error)
            /* ThreadSanitizer starts a thread of its own with the first one. */
            return openDescriptors().size() == fds &&
                           (SKUA_TESTS_SANITIZED || threadCount() == threads)
                       ? 0
                       : kLeaked;
    }
    fprintf(stderr, "start gave %d\n", rc);
    return kWrong;
}

TEST_F(Limits, TooFewDescriptorsForManyWorkersIsACleanError)
{
    expectWell([] {
        if (limit(RLIMIT_NOFILE, 32) != 0)
            return int{kNotPossible};
        int rc = failToStart(64, {-EMFILE});
        return rc != 0 ? rc : startUseStop(1);
    });
}

TEST_F(Limits, NoDescriptorAtAllIsACleanError)
{
    expectWell([] {
        int last = dup(STDERR_FILENO);
        close(last);
        if (last < 0 || limit(RLIMIT_NOFILE, static_cast<rlim_t>(last)) != 0)
            return int{kNotPossible};
        skua_runtime *runtime = nullptr;
        int rc = skua_runtime_start(&runtime, nullptr);
        if (rc != -EMFILE)
            fprintf(stderr, "start gave %d\n", rc);
        return rc == -EMFILE && runtime == nullptr ? 0 : int{kWrong};
    });
}

TEST_F(Limits, NoLockedMemoryMakesNoDifference)
{
    expectWell([] {
        if (limit(RLIMIT_MEMLOCK, 0) != 0)
            return int{kNotPossible};
        return startUseStop(4);
    });
}

TEST_F(Limits, NoLockedMemoryForAnOrdinaryUserWorksOrIsACleanError)
{
    expectWell([] {
        if (limit(RLIMIT_MEMLOCK, 0) != 0 || setgid(65534) != 0 || setuid(65534) != 0)
            return int{kNotPossible};
        return failToStart(2, {0, -ENOMEM}); /* some kernels charge rings to it */
    });
}

TEST_F(Limits, AThreadThatCannotBeStartedIsACleanError)
{
    if (SKUA_TESTS_SANITIZED)
        GTEST_SKIP() << "the sanitizers start threads of their own";
    expectWell([] {
        if (setgid(65534) != 0 || setuid(65534) != 0 || limit(RLIMIT_NPROC, 3) != 0)
            return int{kNotPossible};
        return failToStart(64, {-EAGAIN});
    });
}

TEST_F(Limits, AnExecutorWithoutAThreadSaysSo)
{
    if (SKUA_TESTS_SANITIZED)
        GTEST_SKIP() << "the sanitizers start threads of their own";
    expectWell([] {
        if (setgid(65534) != 0 || setuid(65534) != 0)
            return int{kNotPossible};
        skua_options options{};
        options.workers = 1;
        options.stack_size_bytes = size_t{128} << 10;
        auto body = []() -> intptr_t {
            auto job = []() -> intptr_t { return 5; };
            if (limit(RLIMIT_NPROC, 1) != 0)
                return kNotPossible;
            intptr_t rc = skua_await(offloadBody(nullptr, job));
            if (rc != -EAGAIN)
                return kWrong;
            return skua_hop(nullptr) == -EAGAIN ? skua_yield() : kWrong;
        };
        return static_cast<int>(skua_run(&options, callValue<decltype(body)>, &body));
    });
}

TEST_F(Limits, TinyRingsCarryAThousandRequests)
{
    expectWell([] {
        skua_options options{};
        options.workers = 2;
        options.ring_entries = 2;
        options.cq_entries = 2;
        auto body = []() -> intptr_t {
            std::vector<skua_op> ops(1000);
            memset(ops.data(), 0, ops.size() * sizeof(ops[0]));
            for (skua_op &op : ops)
                op.result = -1;
            int rc = skua_op_submit(ops.data(), ops.size());
            for (const skua_op &op : ops) {
                if (op.result != 0)
                    return kWrong;
            }
            return rc;
        };
        auto many = [&]() -> intptr_t {
            std::vector<skua_future *> futures;
            for (int i = 0; i < 20; i++)
                futures.push_back(spawnBody(body));
            intptr_t sum = 0;
            for (skua_future *future : futures)
                sum |= skua_await(future);
            return sum;
        };
        return static_cast<int>(skua_run(&options, callValue<decltype(many)>, &many));
    });
}

/* ---- signals --------------------------------------------------------------------------------- */

std::atomic<uint64_t> alarms{0};

void countAlarm(int)
{
    alarms.fetch_add(1, std::memory_order_relaxed);
}

void alarmsEvery(long us, int flags)
{
    struct sigaction action = {};
    action.sa_handler = countAlarm;
    action.sa_flags = SA_ONSTACK | flags;
    sigaction(SIGALRM, &action, nullptr);
    struct itimerval timer = {{0, us}, {0, us}};
    setitimer(ITIMER_REAL, &timer, nullptr);
}

TEST_F(Limits, SignalsThatArriveAllTheTimeDisturbNothing)
{
    expectWell([] {
        alarmsEvery(1000, 0); /* not SA_RESTART: calls fail with EINTR */
        uint64_t deadline = skua_after(SKUA_NS_PER_SEC / 2);
        uint64_t patience = skua_after(10 * SKUA_NS_PER_SEC); /* where there is little CPU time */
        int rc = 0;
        while (rc == 0 && (skua_now() < deadline || (alarms < 20 && skua_now() < patience)))
            rc = startUseStop(2);
        if (alarms < 20)
            fprintf(stderr, "only %lu alarms\n", static_cast<unsigned long>(alarms));
        return rc != 0 ? rc : (alarms < 20 ? int{kWrong} : 0);
    });
}

TEST_F(Limits, SignalsToEveryThreadDisturbNoSleep)
{
    expectWell([] {
        alarmsEvery(500, 0);
        skua_options options{};
        options.workers = 2;
        auto sleeper = []() -> intptr_t {
            for (int i = 0; i < 50; i++) {
                uint64_t at = skua_after(2 * SKUA_NS_PER_MS);
                if (skua_sleep_until(at) != 0 || skua_now() < at)
                    return kWrong;
            }
            return 0;
        };
        auto body = [&]() -> intptr_t {
            skua_future *onExecutor = offloadBody(nullptr, sleeper);
            skua_future *inTask = spawnBody(sleeper);
            intptr_t rc = skua_await(inTask);
            return rc | skua_await(onExecutor);
        };
        skua_runtime *runtime;
        if (skua_runtime_start(&runtime, &options) != 0)
            return int{kNotStarted};
        skua_future *future = submitBody(runtime, body);
        intptr_t rc = sleeper();
        rc |= skua_await(future);
        rc |= skua_runtime_stop(runtime, SKUA_STOP_DRAIN, SKUA_FOREVER);
        return static_cast<int>(rc);
    });
}

/* ---- stack overflow -------------------------------------------------------------------------- */

volatile int bottomless = 1;

__attribute__((noinline)) intptr_t overflow(void *arg)
{
    volatile char room[512];
    room[0] = static_cast<char>(bottomless);
    room[511] = 1;
    intptr_t below = bottomless ? overflow(arg) : 0;
    return below + room[0];
}

ChildResult overflowInA(const char *name, size_t stack, const std::function<void()> &prepare)
{
    return run_child([=] {
        if (prepare)
            prepare();
        struct Given {
            const char *name;
            size_t stack;
        } given{name, stack};
        auto body = [&given]() -> intptr_t {
            skua_task_options options{};
            options.name = given.name;
            options.stack_size_bytes = given.stack;
            skua_future *future = nullptr;
            int rc = skua_spawn_with(&options, overflow, nullptr, &future);
            return rc < 0 ? rc : skua_await(future);
        };
        skua_run(nullptr, callValue<decltype(body)>, &body);
        return 0;
    });
}

TEST_F(Limits, AStackOverflowIsReportedWithTheTask)
{
    if (SKUA_TESTS_SANITIZED)
        GTEST_SKIP() << "the sanitizers claim SIGSEGV";
    for (size_t stack : {size_t{0}, size_t{256} << 10, size_t{4} << 20}) {
        ChildResult result = overflowInA("deep thinker", stack, nullptr);
        EXPECT_EQ(result.signal, SIGSEGV) << result.output;
        EXPECT_NE(result.output.find("stack overflow in task deep thinker"), std::string::npos)
            << result.output;
        EXPECT_NE(result.output.find("overflow at "), std::string::npos) << result.output;
        EXPECT_NE(result.output.find("limits_test.cc:"), std::string::npos) << result.output;
        char entry[32];
        snprintf(entry, sizeof(entry), "%p", reinterpret_cast<void *>(overflow));
        EXPECT_NE(result.output.find(entry), std::string::npos) << result.output << entry;
    }
}

void leaveWithSeven(int)
{
    _exit(7);
}

TEST_F(Limits, TheHandlerThatWasThereBeforeRunsAfterTheReport)
{
    if (SKUA_TESTS_SANITIZED)
        GTEST_SKIP() << "the sanitizers claim SIGSEGV";
    ChildResult result = overflowInA("deep thinker", 0, [] {
        struct sigaction action = {};
        action.sa_handler = leaveWithSeven;
        action.sa_flags = SA_ONSTACK;
        sigaction(SIGSEGV, &action, nullptr);
    });
    EXPECT_EQ(result.exit_code, 7);
    EXPECT_NE(result.output.find("stack overflow"), std::string::npos) << result.output;
}

TEST_F(Limits, AnOverflowOnAnExecutorIsReportedToo)
{
    if (SKUA_TESTS_SANITIZED)
        GTEST_SKIP() << "the sanitizers claim SIGSEGV";
    ChildResult result = run_child([] {
        auto body = []() -> intptr_t {
            int rc = skua_hop(nullptr);
            return rc < 0 ? rc : overflow(nullptr);
        };
        skua_run(nullptr, callValue<decltype(body)>, &body);
        return 0;
    });
    EXPECT_EQ(result.signal, SIGSEGV);
    EXPECT_NE(result.output.find("stack overflow in task"), std::string::npos) << result.output;
}

TEST_F(Limits, AnOtherFaultIsNotCalledAnOverflow)
{
    if (SKUA_TESTS_SANITIZED)
        GTEST_SKIP() << "the sanitizers claim SIGSEGV";
    ChildResult result = run_child([] {
        auto body = []() -> intptr_t {
            volatile int *nowhere = reinterpret_cast<volatile int *>(intptr_t{bottomless} * 16);
            return *nowhere;
        };
        skua_run(nullptr, callValue<decltype(body)>, &body);
        return 0;
    });
    EXPECT_EQ(result.signal, SIGSEGV);
    EXPECT_EQ(result.output, "");
}

} // namespace
