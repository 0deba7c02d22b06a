/*
 * Tests what the watcher, a worker that has nothing to do beside one that computes, still notices
 * in time when it has begun to doze (QUIET in sched/rescue.h).
 */
#include "support/fd_guard.h"
#include "support/hang_guard.h"
#include "support/two_workers.h"

#include <algorithm>
#include <sys/socket.h>
#include <thread>
#include <vector>

using namespace skua_test;

namespace
{

constexpr size_t kTrials = 15;
constexpr uint64_t kQuiet = 45 * SKUA_NS_PER_MS; /* of computing; then it dozes, 10 ms at a time */
constexpr int kAsleepMs = 250; /* then the others and the monitor sleep for ever */
constexpr uint64_t kLong = 200 * SKUA_NS_PER_MS;  /* it must notice within this time */
constexpr uint64_t kLate = 2500 * SKUA_NS_PER_US; /* typical; half a doze is 5 ms */

class Watch : public testing::Test
{
  protected:
    void SetUp() override
    {
        if (hasOneCpu())
            GTEST_SKIP() << "one CPU";
        if (SKUA_TESTS_SANITIZED)
            GTEST_SKIP() << "times would be a sanitizer's";
    }

    /*
     * A trial returns when what it waits for was due, and that has set @noticed_ns_; the body of a
     * task, which computes meanwhile. Fails if it is late more often than not. A trial counts if
     * both workers got their CPUs when they wanted them. Each has its own runtime: after a rescue
     * a watcher does not doze for a second.
     */
    template <class Body> void expectInTime(Body &&trial)
    {
        std::vector<uint64_t> late;
        uint64_t deadline = skua_after(10 * SKUA_NS_PER_SEC);
        while (late.size() < kTrials && !HasFailure() && skua_now() < deadline) {
            Runtime runtime(2);
            Workers workers(runtime);
            runtime.run([&]() -> intptr_t {
                uint64_t delay = workers.delay();
                noticed_ns_ = 0;
                uint64_t due_ns = trial();
                EXPECT_NE(noticed_ns_, 0u) << "not noticed at all";
                if (workers.delay() - delay < kLate / 2)
                    late.push_back(noticed_ns_ - std::min(due_ns, noticed_ns_.load()));
                return 0;
            });
        }
        if (HasFailure())
            return;
        if (late.size() < kTrials)
            GTEST_SKIP() << "the CPUs are too busy with others";
        std::sort(late.begin(), late.end());
        std::printf("typically %.0f us late\n", double(late[kTrials / 2]) / 1e3);
        EXPECT_LT(late[kTrials / 2], kLate);
    }

    void computeUntilNoticed()
    {
        uint64_t end = skua_after(kLong);
        while (noticed_ns_ == 0 && skua_now() < end)
            ;
    }

    intptr_t receive(int fd)
    {
        char byte;
        EXPECT_EQ(skua_recv(fd, &byte, 1, 0), 1);
        noticed_ns_ = skua_now();
        return 0;
    }

    FdGuard guard_;
    HangGuard hang_;
    std::atomic<uint64_t> noticed_ns_{0};
};

/* It stands in the next slot of the worker that computes, of which nobody is told. */
TEST_F(Watch, ATaskMadeReadyByOneThatComputesOnIsRun)
{
    expectInTime([&] {
        skua_event event = SKUA_EVENT_INIT;
        auto waiter = [&]() -> intptr_t {
            EXPECT_EQ(skua_event_wait(&event), 0);
            noticed_ns_ = skua_now();
            return 0;
        };
        skua_future *future = spawnBody(waiter);
        skua_yield();
        spinFor(kQuiet);
        uint64_t due_ns = skua_now();
        skua_event_set(&event);
        computeUntilNoticed();
        EXPECT_EQ(skua_await(future), 0);
        return due_ns;
    });
}

TEST_F(Watch, ATimerOfOneThatComputesIsFired)
{
    expectInTime([&] {
        uint64_t due_ns = skua_after(kQuiet);
        auto sleeper = [&]() -> intptr_t {
            EXPECT_EQ(skua_sleep_until(due_ns), 0);
            noticed_ns_ = skua_now();
            return 0;
        };
        skua_future *future = spawnBody(sleeper);
        skua_yield();
        spinFor(kQuiet);
        computeUntilNoticed();
        EXPECT_EQ(skua_await(future), 0);
        return due_ns;
    });
}

TEST_F(Watch, AReceiveOfOneThatComputesEnds)
{
    int fds[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    expectInTime([&] {
        auto receiver = [&]() -> intptr_t { return receive(fds[0]); };
        skua_future *future = spawnBody(receiver);
        skua_yield();
        spinFor(kQuiet);
        uint64_t due_ns = skua_now();
        EXPECT_EQ(write(fds[1], "x", 1), 1); /* not by the library */
        computeUntilNoticed();
        EXPECT_EQ(skua_await(future), 0);
        return due_ns;
    });
    close(fds[0]);
    close(fds[1]);
}

/* All sleep, and a completion has one go on, of which nobody is told: there is no watcher then. */
TEST_F(Watch, AReceiveOfOneThatHasWokenAloneEnds)
{
    int fds[2], wake_fds[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, wake_fds), 0);
    expectInTime([&] {
        auto receiver = [&]() -> intptr_t { return receive(fds[0]); };
        skua_future *future = spawnBody(receiver);
        skua_yield();
        std::thread waker([&] {
            poll(nullptr, 0, kAsleepMs);
            EXPECT_EQ(write(wake_fds[1], "x", 1), 1);
        });
        char byte;
        EXPECT_EQ(skua_recv(wake_fds[0], &byte, 1, 0), 1);
        spinFor(kQuiet);
        uint64_t due_ns = skua_now();
        EXPECT_EQ(write(fds[1], "x", 1), 1);
        computeUntilNoticed();
        waker.join();
        EXPECT_EQ(skua_await(future), 0);
        return due_ns;
    });
    for (int fd : {fds[0], fds[1], wake_fds[0], wake_fds[1]})
        close(fd);
}

} // namespace
