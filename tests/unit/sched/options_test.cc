/*
 * options_test.cc - defaults that depend on the machine: where workers spin before they sleep.
 */
extern "C" {
#include "platform/cpus.h"
#include "sched/options.h"
}

#include <gtest/gtest.h>
#include <sched.h>
#include <thread>

namespace
{

constexpr int kNever = -1;
constexpr int kDefault = 50;

int SpinOf(unsigned workers, int spin_us = 0)
{
    skua_options given{}, full{};
    unsigned cpus;
    given.workers = workers;
    given.spin_us = spin_us;
    EXPECT_EQ(skua_options_complete(&given, &full, &cpus), 0);
    return full.spin_us;
}

/* Calls @body on a thread that is bound to one CPU. */
template <typename Body> void OnOneCpu(Body body)
{
    std::thread([&] {
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(sched_getcpu(), &one);
        ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
        body();
    }).join();
}

TEST(Options, AWorkerBoundToOneCpuOfSeveralSpins)
{
    if (skua_cpus_online() < 2 || skua_cpus_quota() == 1)
        GTEST_SKIP() << "one CPU";
    OnOneCpu([] { EXPECT_EQ(SpinOf(1), kDefault); });
}

TEST(Options, WorkersThatShareACpuDoNotSpin)
{
    OnOneCpu([] { EXPECT_EQ(SpinOf(2), kNever); });
}

TEST(Options, WorkersWithCpusOfTheirOwnSpin)
{
    if (skua_cpus_affinity() < 2 || skua_cpus_quota() == 1)
        GTEST_SKIP() << "one CPU";
    EXPECT_EQ(SpinOf(1), kDefault);
    EXPECT_EQ(SpinOf(2), kDefault);
}

TEST(Options, WhatIsAskedForIsDone)
{
    OnOneCpu([] {
        EXPECT_EQ(SpinOf(2, 7), 7);
        EXPECT_EQ(SpinOf(1, kNever), kNever);
    });
}

} // namespace
