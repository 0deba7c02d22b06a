/*
 * tests/unit/platform/membarrier_test.cc - platform/membarrier.c: one fence for two threads.
 */
extern "C" {
#include "platform/membarrier.h"
}

#include "support/child.h"
#include "support/refuse_syscall.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <sched.h>
#include <sys/syscall.h>
#include <thread>

namespace
{

using namespace skua_test;

#define SKIP_WITHOUT_MEMBARRIER()                                                                  \
    do {                                                                                           \
        if (!skua_membarrier_init())                                                               \
            GTEST_SKIP() << "membarrier(2) is refused";                                            \
    } while (0)

/*
 * Store, then load, on both sides; one side without a fence. Without the other's barrier both may
 * miss the other's store (on x86, too).
 */
struct Litmus {
    using Clock = std::chrono::steady_clock;

    alignas(64) std::atomic<unsigned> x{0};
    alignas(64) std::atomic<unsigned> y{0};
    alignas(64) std::atomic<unsigned> round{0};
    alignas(64) std::atomic<unsigned> answered{0};
    std::atomic<bool> over{false};
    unsigned seen = 0; /* ordered by answered */

    /* Closely, if the other one has a CPU, too. */
    bool await(const std::atomic<unsigned> &word, unsigned value)
    {
        for (unsigned spins = 1; word.load(std::memory_order_acquire) != value; spins++) {
            if (over)
                return false;
            if (spins % 4096 == 0)
                std::this_thread::yield();
        }
        return true;
    }

    /* The hot side: no fence. */
    void answer()
    {
        for (unsigned i = 1; await(round, i); i++) {
            x.store(i, std::memory_order_relaxed);
            std::atomic_signal_fence(std::memory_order_seq_cst);
            unsigned value = y.load(std::memory_order_relaxed);
            seen = value;
            answered.store(i, std::memory_order_release);
        }
    }

    /* The cold side. How often both missed the other, in rounds that could have shown it. */
    unsigned ask(unsigned close_rounds, void (*barrier)())
    {
        auto end = Clock::now() + std::chrono::seconds(2);
        unsigned misses = 0;
        for (unsigned i = 1, close = 0; close < close_rounds && Clock::now() < end; i++) {
            auto began = Clock::now();
            round.store(i, std::memory_order_release);
            for (unsigned delay = i % 512; delay > 0; delay--)
                std::atomic_signal_fence(std::memory_order_seq_cst);
            y.store(i, std::memory_order_relaxed);
            barrier();
            bool seen_here = x.load(std::memory_order_relaxed) == i;
            await(answered, i);
            misses += !seen_here && seen != i;
            close += Clock::now() - began < std::chrono::microseconds(10); /* each has a CPU */
        }
        over = true;
        return misses;
    }
};

TEST(Membarrier, OrdersBothSidesOfAStoreLoadPair)
{
    SKIP_WITHOUT_MEMBARRIER();
    cpu_set_t allowed;
    ASSERT_EQ(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
    if (CPU_COUNT(&allowed) < 2)
        GTEST_SKIP() << "one CPU";
    Litmus litmus;
    std::thread hot([&] { litmus.answer(); });
    EXPECT_EQ(litmus.ask(20000, skua_membarrier), 0u);
    hot.join();
}

TEST(Membarrier, MayBeRegisteredTwiceAndByAnyThread)
{
    SKIP_WITHOUT_MEMBARRIER();
    EXPECT_TRUE(skua_membarrier_init());
    std::thread other([] {
        EXPECT_TRUE(skua_membarrier_init());
        skua_membarrier();
    });
    other.join();
    skua_membarrier();
}

TEST(Membarrier, SaysSoWhenTheKernelRefuses)
{
    ChildResult result = run_child([] {
        if (!refuseSyscall(SYS_membarrier, EPERM))
            return 77;
        return skua_membarrier_init() ? 1 : 0;
    });
    if (result.exit_code == 77)
        GTEST_SKIP() << "no seccomp filters";
    EXPECT_EQ(result.exit_code, 0) << result.output;
}

TEST(Membarrier, SaysSoWhereTheKernelHasNone)
{
    ChildResult result = run_child([] {
        if (!refuseSyscall(SYS_membarrier, ENOSYS))
            return 77;
        return skua_membarrier_init() ? 1 : 0;
    });
    if (result.exit_code == 77)
        GTEST_SKIP() << "no seccomp filters";
    EXPECT_EQ(result.exit_code, 0) << result.output;
}

} // namespace
