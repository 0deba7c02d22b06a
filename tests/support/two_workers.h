/*
 * tests/support/two_workers.h - tests of time beside a worker that computes: which thread is the
 * other worker's, what CPU time it has used, and whether both got their CPUs when they wanted them.
 */
#ifndef SKUA_TESTS_TWO_WORKERS_H
#define SKUA_TESTS_TWO_WORKERS_H

#include "support/fork_kit.h"

#include <fstream>
#include <sched.h>
#include <string>
#include <time.h>
#include <unistd.h>

namespace skua_test
{

inline bool hasOneCpu()
{
    cpu_set_t allowed;
    return sched_getaffinity(0, sizeof(allowed), &allowed) == 0 && CPU_COUNT(&allowed) < 2;
}

inline intptr_t storeThread(void *arg)
{
    *static_cast<std::atomic<int> *>(arg) = gettid();
    return 0;
}

/* How long a thread has waited for a CPU; 0 if the kernel does not tell. */
inline uint64_t runDelay(int thread)
{
    std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/schedstat");
    uint64_t ran = 0, waited = 0;
    file >> ran >> waited;
    return file ? waited : 0;
}

/* The threads of a runtime's two workers. */
struct Workers {
    int threads[2] = {0, 0};

    explicit Workers(Runtime &runtime)
    {
        auto body = [this]() -> intptr_t {
            std::atomic<int> thief{0};
            skua_job job;
            threads[0] = gettid();
            skua_fork(&job, storeThread, &thief);
            EXPECT_TRUE(spinUntil([&] { return thief != 0; }));
            skua_join(&job);
            threads[1] = thief;
            return 0;
        };
        EXPECT_EQ(runtime.run(body), 0);
        EXPECT_NE(threads[0], threads[1]);
    }

    /* The one that does not run the caller. */
    int other() const
    {
        return gettid() == threads[0] ? threads[1] : threads[0];
    }

    uint64_t delay() const
    {
        return runDelay(threads[0]) + runDelay(threads[1]);
    }
};

inline uint64_t cpuTimeOf(clockid_t clock)
{
    struct timespec time = {};
    EXPECT_EQ(clock_gettime(clock, &time), 0);
    return uint64_t(time.tv_sec) * SKUA_NS_PER_SEC + uint64_t(time.tv_nsec);
}

/* The clock of another thread's CPU time, as pthread_getcpuclockid() makes it. */
inline uint64_t cpuTime(int thread)
{
    return cpuTimeOf(static_cast<clockid_t>(~static_cast<unsigned>(thread) << 3 | 6));
}

inline uint64_t cpuTimeOfAll()
{
    return cpuTimeOf(CLOCK_PROCESS_CPUTIME_ID);
}

} // namespace skua_test

#endif
