/*
 * Tests that a fork/join computation does not keep the rest of its worker waiting: timers, ready
 * tasks and I/O of the only worker go on while it forks and joins for long (sched/monitor.h).
 */
#include "support/fork_kit.h"
#include "support/hang_guard.h"
#include "support/temp_dir.h"

#include <fcntl.h>
#include <fstream>

using namespace skua_test;

namespace
{

/* A computation that forks all the time and never waits. */
SKUA_FORKABLE(long, busyFib, int, n)
{
    if (n < 2)
        return n;
    SKUA_JOB(busyFib) job;
    SKUA_FORK(busyFib, &job, n - 1);
    long b = SKUA_CALL(busyFib, n - 2);
    return SKUA_JOIN(busyFib, &job) + b;
}

/* Computes until @done() or thirty seconds have passed, in pieces of some milliseconds. */
template <class Done> bool computeUntil(Done &&done)
{
    uint64_t deadline = skua_after(30 * SKUA_NS_PER_SEC);
    while (!done()) {
        if (skua_now() > deadline)
            return false;
        EXPECT_EQ(busyFib(24), 46368);
    }
    return true;
}

class ForkService : public testing::TestWithParam<unsigned>
{
};

TEST_P(ForkService, SleepersWakeWhileTheirWorkerForksAndJoins)
{
    HangGuard guard;
    runInTask(
        [] {
            std::atomic<int> naps{0};
            auto nap = [&]() -> intptr_t {
                for (int i = 0; i < 20; i++) {
                    EXPECT_EQ(skua_sleep(SKUA_NS_PER_MS), 0);
                    naps++;
                }
                return 0;
            };
            skua_future *sleeper = skua_spawn(callValue<decltype(nap)>, &nap);
            EXPECT_TRUE(computeUntil([&] { return naps == 20; }));
            EXPECT_EQ(skua_await(sleeper), 0);
        },
        GetParam());
}

TEST_P(ForkService, ReadyTasksRunWhileTheirWorkerForksAndJoins)
{
    HangGuard guard;
    runInTask(
        [] {
            std::atomic<int> turns{0};
            auto turn = [&]() -> intptr_t {
                for (int i = 0; i < 100; i++) {
                    turns++;
                    EXPECT_EQ(skua_yield(), 0);
                }
                return 0;
            };
            skua_future *other = skua_spawn(callValue<decltype(turn)>, &turn);
            EXPECT_TRUE(computeUntil([&] { return turns == 100; }));
            EXPECT_EQ(skua_await(other), 0);
        },
        GetParam());
}

TEST_P(ForkService, ReadsCompleteWhileTheirWorkerForksAndJoins)
{
    HangGuard guard;
    TempDir directory;
    std::string path = directory.file("data");
    std::ofstream(path) << std::string(65536, 'x');
    runInTask(
        [&] {
            std::atomic<int> reads{0};
            auto read = [&]() -> intptr_t {
                char buffer[4096];
                int fd = skua_open(path.c_str(), O_RDONLY, 0);
                EXPECT_GE(fd, 0);
                for (int i = 0; i < 16; i++) {
                    EXPECT_EQ(skua_pread(fd, buffer, sizeof(buffer), i * 4096), 4096);
                    reads++;
                }
                return skua_close(fd);
            };
            skua_future *reader = skua_spawn(callValue<decltype(read)>, &read);
            EXPECT_TRUE(computeUntil([&] { return reads == 16; }));
            EXPECT_EQ(skua_await(reader), 0);
        },
        GetParam());
}

INSTANTIATE_TEST_SUITE_P(Workers, ForkService, testing::Values(1u, 2u),
                         testing::PrintToStringParamName());

} // namespace
