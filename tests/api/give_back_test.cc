/*
 * Memory of stacks that many tasks needed for a moment goes back to the kernel when the runtime is
 * idle again.
 */
#include "support/hang_guard.h"
#include "support/runtime_kit.h"

#include <atomic>
#include <cstdio>
#include <unistd.h>
#include <vector>

using namespace skua_test;

namespace
{

constexpr int kTasks = 20000;

long residentPages()
{
    long size = 0, resident = 0;
    FILE *file = std::fopen("/proc/self/statm", "re");
    if (file == nullptr || std::fscanf(file, "%ld %ld", &size, &resident) != 2)
        resident = -1;
    if (file != nullptr)
        std::fclose(file);
    return resident;
}

bool isInstrumented()
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return true;
#else
    return false;
#endif
}

TEST(GiveBack, StacksOfABurstAreReturnedWhenTheRuntimeIsIdle)
{
    if (isInstrumented())
        GTEST_SKIP() << "the sanitizers keep memory of their own";
    HangGuard hang;
    Runtime runtime(2);
    long peak = 0;
    auto body = [&]() -> intptr_t {
        std::vector<skua_future *> tasks;
        std::atomic<int> count{0};
        auto parked = [&count]() -> intptr_t {
            count++;
            return skua_park(SKUA_FOREVER);
        };
        for (int i = 0; i < kTasks; i++)
            tasks.push_back(spawnBody(parked));
        while (count < kTasks)
            EXPECT_EQ(skua_yield(), 0);
        peak = residentPages();
        for (skua_future *task : tasks)
            EXPECT_EQ(skua_unpark(task), 0);
        for (skua_future *task : tasks)
            EXPECT_EQ(skua_await(task), 0);
        return 0;
    };
    ASSERT_EQ(runtime.run(body), 0);
    ASSERT_GT(peak, kTasks);
    uint64_t deadline = skua_after(20 * SKUA_NS_PER_SEC);
    while (residentPages() > peak / 4 && skua_now() < deadline)
        skua_sleep(20 * SKUA_NS_PER_MS); /* from a foreign thread: sleeps */
    EXPECT_LE(residentPages(), peak / 4);
}

} // namespace
