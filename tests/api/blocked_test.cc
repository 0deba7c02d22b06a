/*
 * Tests that a worker in a blocking system call is found and reported, that a stand-in takes its
 * place meanwhile, and that the system call notices nothing of it.
 */
#include "support/fd_guard.h"
#include "support/hang_guard.h"
#include "support/runtime_kit.h"

#include <atomic>
#include <ctime>
#include <cstring>
#include <dlfcn.h>
#include <fcntl.h>
#include <mutex>
#include <poll.h>
#include <string>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace skua_test;

namespace
{

/* What the hook was told. */
struct Reports {
    std::mutex mutex;
    std::vector<std::string> names;
    std::vector<std::string> sites;
    std::vector<long> syscalls;
    std::vector<skua_fn> entries;
    std::vector<std::vector<void *>> frames;
    std::atomic<unsigned> count{0};
};

void report(const skua_blockage *blockage, void *arg)
{
    auto *reports = static_cast<Reports *>(arg);
    std::lock_guard<std::mutex> lock(reports->mutex);
    reports->names.emplace_back(blockage->name != nullptr ? blockage->name : "");
    reports->sites.emplace_back(blockage->site != nullptr ? blockage->site : "");
    reports->syscalls.push_back(blockage->syscall);
    reports->entries.push_back(blockage->entry);
    reports->frames.emplace_back(blockage->frames, blockage->frames + blockage->frame_count);
    EXPECT_GE(blockage->for_ns, SKUA_NS_PER_MS);
    reports->count++;
}

skua_options options(Reports *reports, unsigned workers = 2, int stand_ins = 0)
{
    skua_options o = testOptions(workers);
    o.block_us = 4000;
    o.stand_ins = stand_ins;
    o.on_blocked = report;
    o.on_blocked_arg = reports;
    return o;
}

/* A pipe whose reader blocks its thread until let() is called. */
class Gate
{
  public:
    Gate()
    {
        EXPECT_EQ(pipe(fds_), 0);
    }
    ~Gate()
    {
        close(fds_[0]);
        close(fds_[1]);
    }
    Gate(const Gate &) = delete;
    Gate &operator=(const Gate &) = delete;
    /* read(2) itself, not the library's. */
    ssize_t block() const
    {
        char byte;
        ssize_t n = read(fds_[0], &byte, 1);
        return n < 0 ? -errno : n;
    }
    void let(int count) const
    {
        for (int i = 0; i < count; i++)
            EXPECT_EQ(write(fds_[1], "x", 1), 1);
    }

  private:
    int fds_[2] = {-1, -1};
};

/* Waits, on a thread of its own, until @condition holds. False: it took too long. */
template <class Condition> bool waitUntil(Condition condition)
{
    for (int i = 0; i < 10000; i++) {
        if (condition())
            return true;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return false;
}

skua_info infoOf(skua_runtime *runtime)
{
    skua_info info{};
    EXPECT_EQ(skua_runtime_info(runtime, &info), 0);
    return info;
}

class Blocked : public testing::Test
{
  protected:
    FdGuard guard_;
    HangGuard hang_;
    Reports reports_;
};

intptr_t blocksAtTheGate(void *arg)
{
    return static_cast<Gate *>(arg)->block();
}

TEST_F(Blocked, IsReportedWithTheTaskAndWhereItIs)
{
    Gate gate;
    Runtime runtime(options(&reports_));
    auto body = [&]() -> intptr_t {
        skua_task_options o{};
        o.name = "reader";
        skua_future *reader = nullptr;
        EXPECT_EQ(skua_spawn_with(&o, blocksAtTheGate, &gate, &reader), 0);
        skua_yield(); /* not run in place */
        return skua_await(reader);
    };
    skua_future *future = submitBody(runtime.get(), body);
    ASSERT_TRUE(waitUntil([&] { return reports_.count == 1; }));
    EXPECT_EQ(infoOf(runtime.get()).blocked, 1u);
    gate.let(1);
    EXPECT_EQ(skua_await(future), 1);
    std::lock_guard<std::mutex> lock(reports_.mutex);
    EXPECT_EQ(reports_.names[0], "reader");
    EXPECT_NE(reports_.sites[0].find("blocked_test.cc"), std::string::npos) << reports_.sites[0];
    EXPECT_EQ(reports_.syscalls[0], SYS_read);
    EXPECT_EQ(reports_.entries[0], blocksAtTheGate);
    ASSERT_GE(reports_.frames[0].size(), 2u);
    bool in_libc = false;
    for (void *frame : reports_.frames[0]) {
        Dl_info info{};
        in_libc |= dladdr(frame, &info) != 0 && strstr(info.dli_fname, "libc.so") != nullptr;
    }
    EXPECT_TRUE(in_libc || SKUA_TESTS_SANITIZED);
    EXPECT_EQ(sumOf(runtime.get(), &skua_worker_stats::blockages), 1u);
}

/* All of them at once: nobody but the monitor is there to see it. */
TEST_F(Blocked, AllWorkersMayBeWhileOthersGoOn)
{
    constexpr unsigned kWorkers = 3;
    Gate gate;
    Runtime runtime(options(&reports_, kWorkers));
    std::vector<skua_future *> blocked;
    auto blocks = [&]() -> intptr_t { return gate.block(); };
    for (unsigned i = 0; i < kWorkers; i++)
        blocked.push_back(submitBody(runtime.get(), blocks));
    ASSERT_TRUE(waitUntil([&] { return infoOf(runtime.get()).blocked == kWorkers; }));
    /* Timers, I/O, spawns, offloads: the whole of it. */
    auto works = [&]() -> intptr_t {
        int fds[2];
        EXPECT_EQ(pipe2(fds, O_CLOEXEC), 0);
        auto writes = [&]() -> intptr_t {
            EXPECT_EQ(skua_sleep(SKUA_NS_PER_MS), 0);
            return skua_write(fds[1], "x", 1);
        };
        skua_future *future = spawnBody(writes);
        char byte;
        EXPECT_EQ(skua_read(fds[0], &byte, 1), 1);
        EXPECT_EQ(skua_await(future), 1);
        EXPECT_EQ(close(fds[0]), 0); /* not the library's, which ThreadSanitizer does not see */
        EXPECT_EQ(close(fds[1]), 0);
        return 7;
    };
    std::vector<skua_future *> working;
    for (int i = 0; i < 20; i++)
        working.push_back(submitBody(runtime.get(), works));
    for (skua_future *future : working)
        EXPECT_EQ(skua_await(future), 7);
    /* More for a moment: a stand-in may wait for a lock of a sanitizer's; its holder has no CPU. */
    EXPECT_GE(infoOf(runtime.get()).blocked, kWorkers);
    EXPECT_TRUE(waitUntil([&] { return infoOf(runtime.get()).blocked == kWorkers; }));
    EXPECT_GE(infoOf(runtime.get()).stand_ins, 1u);
    gate.let(kWorkers);
    for (skua_future *future : blocked)
        EXPECT_EQ(skua_await(future), 1);
    EXPECT_TRUE(waitUntil([&] { return infoOf(runtime.get()).blocked == 0; }));
}

/* What waits on the worker that blocks: ready tasks, a receive, a sleep, a cancel. */
TEST_F(Blocked, WhatItsWorkerHadBegunGoesOn)
{
    Gate gate;
    Gate other;
    Runtime runtime(options(&reports_, 2));
    std::atomic<int> over{0};
    auto body = [&]() -> intptr_t {
        auto sleeps = [&]() -> intptr_t {
            int rc = skua_sleep(10 * SKUA_NS_PER_MS);
            over++;
            return rc;
        };
        std::vector<skua_future *> futures;
        for (int i = 0; i < 50; i++)
            futures.push_back(spawnBody(sleeps));
        skua_yield();
        EXPECT_EQ(gate.block(), 1);
        for (skua_future *future : futures)
            EXPECT_EQ(skua_await(future), 0);
        return 0;
    };
    auto blocks = [&]() -> intptr_t { return other.block(); };
    skua_future *first = submitBody(runtime.get(), body);
    skua_future *second = submitBody(runtime.get(), blocks);
    EXPECT_TRUE(waitUntil([&] { return over == 50; }));
    gate.let(1);
    other.let(1);
    EXPECT_EQ(skua_await(first), 0);
    EXPECT_EQ(skua_await(second), 1);
}

/* The test above and the one before would show nothing if they passed without stand-ins. */
TEST_F(Blocked, WithoutStandInsOthersWait)
{
    Gate gate;
    Runtime runtime(options(&reports_, 2, -1));
    auto blocks = [&]() -> intptr_t { return gate.block(); };
    skua_future *first = submitBody(runtime.get(), blocks);
    skua_future *second = submitBody(runtime.get(), blocks);
    ASSERT_TRUE(waitUntil([&] { return reports_.count == 2; }));
    std::atomic<bool> ran{false};
    auto runs = [&]() -> intptr_t { return ran = true; };
    skua_future *third = submitBody(runtime.get(), runs);
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    EXPECT_FALSE(ran);
    EXPECT_EQ(infoOf(runtime.get()).stand_ins, 0u);
    gate.let(2);
    EXPECT_EQ(skua_await(first), 1);
    EXPECT_EQ(skua_await(second), 1);
    EXPECT_EQ(skua_await(third), 1);
}

TEST_F(Blocked, AStandInRetiresAndIsBackWhenItIsNeededAgain)
{
    Gate gate;
    Runtime runtime(options(&reports_, 2, 1));
    auto blocks = [&]() -> intptr_t { return gate.block(); };
    auto yields = []() -> intptr_t {
        for (int i = 0; i < 200; i++)
            skua_yield();
        return 0;
    };
    auto work = [&] {
        std::vector<skua_future *> futures;
        for (int i = 0; i < 50; i++)
            futures.push_back(submitBody(runtime.get(), yields));
        for (skua_future *future : futures)
            EXPECT_EQ(skua_await(future), 0);
    };
    auto computes = []() -> intptr_t {
        uint64_t end_ns = skua_now() + 300 * SKUA_NS_PER_US;
        while (skua_now() < end_ns) {
        }
        return 0;
    };
    auto compute = [&] {
        std::vector<skua_future *> futures;
        for (int i = 0; i < 30; i++)
            futures.push_back(submitBody(runtime.get(), computes));
        for (skua_future *future : futures)
            EXPECT_EQ(skua_await(future), 0);
    };
    auto switchesOfStandIn = [&] {
        skua_worker_stats stats{};
        EXPECT_EQ(skua_runtime_stats(runtime.get(), 2, &stats), 0);
        return stats.switches;
    };
    for (int round = 0; round < 5; round++) {
        skua_future *first = submitBody(runtime.get(), blocks);
        skua_future *second = submitBody(runtime.get(), blocks);
        ASSERT_TRUE(waitUntil([&] { return infoOf(runtime.get()).blocked == 2; }));
        work(); /* the stand-in alone */
        EXPECT_EQ(infoOf(runtime.get()).stand_ins, 1u);
        uint64_t before = switchesOfStandIn();
        EXPECT_GT(before, 0u);
        gate.let(2);
        EXPECT_EQ(skua_await(first), 1);
        EXPECT_EQ(skua_await(second), 1);
        ASSERT_TRUE(waitUntil([&] { return infoOf(runtime.get()).blocked == 0; }));
        /*
         * So much work that it would take part if it were awake. Now and then workers seem to be
         * held up because the kernel has others to run, and then it is.
         */
        bool is_retired = false;
        for (int tries = 0; tries < 40 && !is_retired; tries++) {
            before = switchesOfStandIn();
            for (int i = 0; i < 5; i++)
                compute();
            is_retired = switchesOfStandIn() == before;
        }
        EXPECT_TRUE(is_retired);
    }
}

/* Blocks in @call with a receive in flight on the same worker, which ends meanwhile. */
template <class Call> intptr_t callWithIo(Call call)
{
    int fds[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    auto receives = [&]() -> intptr_t {
        char byte;
        return skua_recv(fds[0], &byte, 1, 0);
    };
    skua_future *future = spawnBody(receives);
    skua_yield();
    skua_yield();
    std::thread thread([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(15));
        EXPECT_EQ(write(fds[1], "x", 1), 1);
    });
    intptr_t rc = call() == 0 ? 0 : -errno;
    thread.join();
    EXPECT_EQ(skua_await(future), 1);
    EXPECT_EQ(close(fds[0]), 0);
    EXPECT_EQ(close(fds[1]), 0);
    return rc;
}

/* Those that are restarted after a signal handler: see skua_options.block_us on the others. */
TEST_F(Blocked, SystemCallsAreNotInterrupted)
{
    Runtime runtime(options(&reports_, 2));
    int event = eventfd(0, EFD_CLOEXEC);
    pollfd polled{event, POLLIN, 0};
    auto sleeps = []() -> intptr_t {
        timespec time{0, 40 * 1000000};
        return callWithIo([&] { return nanosleep(&time, nullptr); });
    };
    auto polls = [&]() -> intptr_t { return callWithIo([&] { return poll(&polled, 1, 40); }); };
    for (int i = 0; i < 3; i++) {
        skua_future *first = submitBody(runtime.get(), sleeps);
        skua_future *second = submitBody(runtime.get(), polls);
        EXPECT_EQ(skua_await(first), 0);
        EXPECT_EQ(skua_await(second), 0);
    }
    EXPECT_GE(reports_.count, 2u);
    close(event);
}

TEST_F(Blocked, AComputingTaskIsNot)
{
    Runtime runtime(options(&reports_, 2));
    auto computes = []() -> intptr_t {
        uint64_t end_ns = skua_now() + 60 * SKUA_NS_PER_MS;
        while (skua_now() < end_ns) {
        }
        return 0;
    };
    EXPECT_EQ(skua_await(submitBody(runtime.get(), computes)), 0);
    EXPECT_EQ(reports_.count, 0u);
}

/* Two compute on two workers: what else there is goes on, with a share of the CPUs. */
TEST_F(Blocked, WhenAllComputeAStandInServesTheOthers)
{
    Runtime runtime(options(&reports_, 2));
    std::atomic<bool> over{false};
    std::atomic<int> begun{0};
    auto computes = [&]() -> intptr_t {
        begun++;
        while (!over) {
        }
        return 0;
    };
    auto sleeps = []() -> intptr_t { return skua_sleep(SKUA_NS_PER_MS); };
    skua_future *first = submitBody(runtime.get(), computes);
    skua_future *second = submitBody(runtime.get(), computes);
    ASSERT_TRUE(waitUntil([&] { return begun == 2; }));
    EXPECT_EQ(skua_await(submitBody(runtime.get(), sleeps)), 0); /* for ever, without */
    EXPECT_GE(infoOf(runtime.get()).stand_ins, 1u);
    EXPECT_EQ(infoOf(runtime.get()).blocked, 0u);
    over = true;
    EXPECT_EQ(skua_await(first), 0);
    EXPECT_EQ(skua_await(second), 0);
}

/* Long before a worker in a system call would be looked for. */
TEST_F(Blocked, WhenAllComputeAStandInComesSoon)
{
    skua_options o = options(&reports_, 2);
    o.block_us = 2000000;
    Runtime runtime(o);
    std::atomic<int> begun{0};
    auto computes = [&]() -> intptr_t {
        begun++;
        uint64_t until_ns = skua_now() + SKUA_NS_PER_SEC;
        while (skua_now() < until_ns) {
        }
        return 0;
    };
    auto serves = []() -> intptr_t { return static_cast<intptr_t>(skua_now()); };
    skua_future *first = submitBody(runtime.get(), computes);
    skua_future *second = submitBody(runtime.get(), computes);
    ASSERT_TRUE(waitUntil([&] { return begun == 2; }));
    uint64_t begun_ns = skua_now();
    auto served_ns = static_cast<uint64_t>(skua_await(submitBody(runtime.get(), serves)));
    EXPECT_LT(served_ns - begun_ns, 500 * SKUA_NS_PER_MS);
    EXPECT_EQ(skua_await(first), 0);
    EXPECT_EQ(skua_await(second), 0);
    EXPECT_EQ(reports_.count, 0u);
}

TEST_F(Blocked, AnIdleWorkerIsNot)
{
    Runtime runtime(options(&reports_, 2));
    auto sleeps = []() -> intptr_t { return skua_sleep(40 * SKUA_NS_PER_MS); };
    EXPECT_EQ(skua_await(submitBody(runtime.get(), sleeps)), 0);
    EXPECT_EQ(reports_.count, 0u);
}

TEST_F(Blocked, TheOnlyWorkerIsReportedAndHasNoStandIn)
{
    Gate gate;
    Runtime runtime(options(&reports_, 1));
    auto blocks = [&]() -> intptr_t { return gate.block(); };
    skua_future *future = submitBody(runtime.get(), blocks);
    ASSERT_TRUE(waitUntil([&] { return reports_.count == 1; }));
    gate.let(1);
    EXPECT_EQ(skua_await(future), 1);
    EXPECT_EQ(infoOf(runtime.get()).stand_ins, 0u);
    EXPECT_TRUE(waitUntil([&] { return infoOf(runtime.get()).blocked == 0; }));
}

TEST_F(Blocked, NobodyLooksWhereItIsSwitchedOff)
{
    skua_options o = options(&reports_, 2);
    o.block_us = -1;
    Runtime runtime(o);
    auto sleeps = []() -> intptr_t {
        std::this_thread::sleep_for(std::chrono::milliseconds(40));
        return 0;
    };
    EXPECT_EQ(skua_await(submitBody(runtime.get(), sleeps)), 0);
    EXPECT_EQ(reports_.count, 0u);
}

/* How often the monitor comes by in a millisecond in which @body is called again and again. */
double visitsBeside(const skua_options &o, void (*body)())
{
    Runtime runtime(o);
    double visits = 0;
    auto task = [&]() -> intptr_t {
        EXPECT_TRUE(pollUntil([] { return waitsOf("skua-monitor") >= 0; })); /* has its name */
        body();
        uint64_t begun_ns = skua_now(), now_ns = begun_ns;
        long before = waitsOf("skua-monitor");
        while (now_ns - begun_ns < 300 * SKUA_NS_PER_MS) {
            body();
            now_ns = skua_now();
        }
        visits = static_cast<double>(waitsOf("skua-monitor") - before) /
                 (static_cast<double>(now_ns - begun_ns) / SKUA_NS_PER_MS);
        return 0;
    };
    EXPECT_EQ(skua_await(submitBody(runtime.get(), task)), 0);
    return visits;
}

void forkAndJoin()
{
    skua_job job;
    EXPECT_EQ(skua_fork(
                  &job, [](void *) -> intptr_t { return 0; }, nullptr),
              0);
    EXPECT_EQ(skua_join(&job), 0);
}

/* Each visit takes a CPU from a worker: a thousand in a second cost a computation 1.6 %. */
TEST_F(Blocked, TheMonitorDoesNotComeOftenerThanItMatters)
{
    skua_options o = options(&reports_, 1);
    o.block_us = 20000;
    EXPECT_LT(visitsBeside(o, forkAndJoin), 0.5);                 /* nobody is ever held */
    EXPECT_LT(visitsBeside(o, [] { (void)skua_yield(); }), 0.75); /* a turn each time */
    EXPECT_LT(visitsBeside(o, [] {}), 0.5);                       /* it has been found */
}

TEST_F(Blocked, LinesOnStderrTellWithoutAHook)
{
    Gate gate;
    skua_options o = options(nullptr, 2);
    o.on_blocked = nullptr;
    testing::internal::CaptureStderr();
    {
        Runtime runtime(o);
        auto blocks = [&]() -> intptr_t { return gate.block(); };
        skua_future *first = submitBody(runtime.get(), blocks);
        skua_future *second = submitBody(runtime.get(), blocks); /* within the same second */
        EXPECT_TRUE(waitUntil([&] { return infoOf(runtime.get()).blocked == 2; }));
        gate.let(2);
        EXPECT_EQ(skua_await(first), 1);
        EXPECT_EQ(skua_await(second), 1);
    }
    std::string text = testing::internal::GetCapturedStderr();
    size_t at = text.find(" has been blocked for ");
    EXPECT_NE(at, std::string::npos) << text;
    EXPECT_EQ(text.find(" has been blocked for ", at + 1), std::string::npos) << text;
    EXPECT_NE(text.find("in system call 0 by "), std::string::npos) << text;
    EXPECT_NE(text.find("runtime_kit.h"), std::string::npos) << text; /* the site of the spawn */
}

TEST_F(Blocked, BadOptionsAreRefused)
{
    skua_runtime *runtime = nullptr;
    for (int bad : {-2, 1, 999, 1000000001}) {
        skua_options o = options(&reports_);
        o.block_us = bad;
        EXPECT_EQ(skua_runtime_start(&runtime, &o), -EINVAL) << bad;
    }
    for (int bad : {-2, static_cast<int>(SKUA_WORKERS_MAX) + 1}) {
        skua_options o = options(&reports_);
        o.stand_ins = bad;
        EXPECT_EQ(skua_runtime_start(&runtime, &o), -EINVAL) << bad;
    }
}

/* Blocks of random length on all workers, amid spawns and sleeps: nothing is lost, all ends. */
TEST_F(Blocked, ComesAndGoesUnderLoad)
{
    skua_options o = options(&reports_, 3);
    o.block_us = 1000;
    Runtime runtime(o);
    std::atomic<uint64_t> done{0};
    auto leaf = [&]() -> intptr_t {
        if (skua_sleep(SKUA_NS_PER_MS) < 0)
            return -ECANCELED;
        done++;
        return 0;
    };
    auto body = [&]() -> intptr_t {
        for (unsigned i = 0; i < 60; i++) {
            skua_future *a = spawnBody(leaf);
            skua_future *b = spawnBody(leaf);
            if (i % 3 == 0)
                std::this_thread::sleep_for(std::chrono::microseconds(500 * (i % 10)));
            EXPECT_EQ(skua_await(a), 0);
            EXPECT_EQ(skua_await(b), 0);
        }
        return 0;
    };
    std::vector<skua_future *> futures;
    for (int i = 0; i < 8; i++)
        futures.push_back(submitBody(runtime.get(), body));
    for (skua_future *future : futures)
        EXPECT_EQ(skua_await(future), 0);
    EXPECT_EQ(done, 8u * 120);
}

/* The runtime stops while stand-ins are being started, and while workers are blocked. */
TEST_F(Blocked, AStopIsPossibleAtAnyTime)
{
    for (int i = 0; i < 40; i++) {
        skua_options o = options(&reports_, 2);
        o.block_us = 1000;
        Runtime runtime(o);
        auto sleeps = [&]() -> intptr_t {
            std::this_thread::sleep_for(std::chrono::microseconds(200 * i));
            return 0;
        };
        skua_future *first = submitBody(runtime.get(), sleeps);
        skua_future *second = submitBody(runtime.get(), sleeps);
        skua_future_unref(first);
        skua_future_unref(second);
        EXPECT_EQ(runtime.stop(SKUA_STOP_DRAIN), 0);
    }
}

} /* namespace */
