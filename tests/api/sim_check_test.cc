/*
 * Tests the invariants of skua/sim.h, which a simulation checks at every step, and how many runs it
 * makes in a second.
 */
#include "support/sim_kit.h"

#include <cstring>
#include <ctime>

using namespace skua_test;

namespace
{

class SimCheck : public Simulated
{
};

template <class Body>
intptr_t simulate(uint64_t seed, Body &&body, const skua_sim_options &options,
                  skua_sim_report *report = nullptr)
{
    using Plain = std::remove_reference_t<Body>;
    return skua_sim_run(seed, &options, callValue<Plain>, &body, report);
}

/* An invariant that is a lambda, which must outlive the options. */
template <class Check> int callCheck(void *check)
{
    return (*static_cast<Check *>(check))();
}

template <class Check> skua_sim_options quietWith(Check &check)
{
    skua_sim_options options = withTestStack({});
    options.is_quiet = true;
    options.invariant = callCheck<Check>;
    options.invariant_arg = &check;
    return options;
}

/* Two tasks that are in the same place for a moment, of which nothing is left at the end. */
struct Meeting {
    int inside = 0;
    bool hasEnded = false;

    intptr_t run()
    {
        auto body = [this]() -> intptr_t {
            inside++;
            skua_sim_point();
            inside--;
            return skua_yield(); /* which is cancelled, once the run has failed */
        };
        skua_future *one = spawnBody(body), *other = spawnBody(body);
        intptr_t rc = std::min(skua_await(one), skua_await(other));
        EXPECT_EQ(inside, 0);
        hasEnded = rc == 0;
        return rc;
    }
};

TEST_F(SimCheck, WhatIsBrokenForAMomentIsNoticedAtItsStep)
{
    int broken = 0, fine = 0;
    for (uint64_t seed = 0; seed < 100; seed++) {
        Meeting meeting;
        auto body = [&] { return meeting.run(); };
        auto check = [&] { return meeting.inside > 1 ? -ERANGE : 0; };
        skua_sim_report report{}, again{};
        intptr_t rc = simulate(seed, body, quietWith(check), &report);
        EXPECT_FALSE(report.is_deadlock);
        EXPECT_EQ(report.broken_step != 0, rc != 0);
        EXPECT_EQ(report.broken != nullptr, rc != 0);
        broken += rc == -ERANGE;
        fine += rc == 0 && meeting.hasEnded;
        EXPECT_TRUE(rc == 0 || rc == -ERANGE) << rc;
        meeting = {};
        EXPECT_EQ(simulate(seed, body, quietWith(check), &again), rc);
        EXPECT_EQ(again.broken_step, report.broken_step) << seed;
        EXPECT_EQ(again.trace_hash, report.trace_hash) << seed;
        EXPECT_LE(report.broken_step, report.steps);
    }
    EXPECT_GT(broken, 20);
    EXPECT_GT(fine, 5);
}

TEST_F(SimCheck, ASweepTellsSeedStepAndInvariant)
{
    Meeting meeting;
    auto body = [&] {
        meeting = {};
        return meeting.run();
    };
    auto check = [&] { return meeting.inside > 1 ? -ERANGE : 0; };
    skua_sim_options options = quietWith(check);
    options.is_quiet = false;
    skua_sim_report report{};
    testing::internal::CaptureStderr();
    EXPECT_EQ(skua_sim_sweep(0, 100, &options, callValue<decltype(body)>, &body, &report), -ERANGE);
    std::string text = testing::internal::GetCapturedStderr();
    EXPECT_NE(text.find("step " + std::to_string(report.broken_step)), std::string::npos) << text;
    EXPECT_NE(text.find("the program's invariant"), std::string::npos) << text;
    EXPECT_NE(text.find("SKUA_SIM_SEED=" + std::to_string(report.seed)), std::string::npos) << text;
}

/* A program that would go on for ever, and one that waits for ever. */
TEST_F(SimCheck, ABrokenInvariantEndsWhatWouldNotEndByItself)
{
    uint64_t steps = 0;
    auto check = [&] { return ++steps > 500 ? -ERANGE : 0; };
    auto busy = []() -> intptr_t {
        while (skua_yield() == 0)
            skua_sim_point();
        return 0;
    };
    skua_sim_report report{};
    EXPECT_EQ(simulate(1, busy, quietWith(check), &report), -ERANGE);
    EXPECT_FALSE(report.is_deadlock);
    EXPECT_EQ(steps, 501u); /* and it is not asked again */
    EXPECT_LT(report.steps, 5000u);
    steps = 490;
    auto waits = []() -> intptr_t {
        skua_event event = SKUA_EVENT_INIT;
        while (skua_event_wait_until(&event, skua_after(SKUA_NS_PER_SEC)) == -ETIMEDOUT) {
        }
        return 0;
    };
    EXPECT_EQ(simulate(1, waits, quietWith(check), &report), -ERANGE);
    EXPECT_FALSE(report.is_deadlock);
    EXPECT_LT(report.steps, 5000u);
}

TEST_F(SimCheck, AResultThatIsNoErrorIsOne)
{
    auto check = [] { return 1; };
    auto body = []() -> intptr_t {
        skua_sim_point();
        return 0;
    };
    EXPECT_EQ(simulate(1, body, quietWith(check)), -EPROTO);
}

TEST_F(SimCheck, LookingChangesNothing)
{
    skua_semaphore semaphore = SKUA_SEMAPHORE_INIT(2);
    skua_channel *channel = nullptr;
    int looks = 0;
    bool isInside = false;
    auto body = [&]() -> intptr_t {
        isInside = true;
        channel = skua_channel_create(sizeof(int), 2);
        auto sender = [&]() -> intptr_t {
            for (int i = 0; i < 5; i++) {
                EXPECT_EQ(skua_semaphore_acquire(&semaphore), 0);
                EXPECT_EQ(skua_channel_send(channel, &i), 0);
                EXPECT_EQ(skua_sleep(skua_sim_random(100)), 0);
                EXPECT_EQ(skua_semaphore_release(&semaphore), 0);
            }
            return 0;
        };
        skua_future *future = spawnBody(sender);
        int sum = 0;
        for (int i = 0, item; i < 5; i++, sum += item)
            EXPECT_EQ(skua_channel_recv(channel, &item), 0);
        EXPECT_EQ(skua_await(future), 0);
        skua_channel_unref(std::exchange(channel, nullptr));
        isInside = false;
        return sum;
    };
    auto check = [&] {
        looks++;
        bool isFine = skua_semaphore_value(&semaphore) <= 2 && skua_channel_count(channel) <= 2 &&
                      skua_sim_random(1000) == 0;
        skua_sim_point();
        return isFine ? 0 : -ERANGE;
    };
    skua_sim_options unchecked = withTestStack({});
    for (uint64_t seed = 0; seed < 50; seed++) {
        skua_sim_report without{}, with{};
        EXPECT_EQ(simulate(seed, body, unchecked, &without), 10);
        looks = 0;
        EXPECT_EQ(simulate(seed, body, quietWith(check), &with), 10);
        EXPECT_EQ(with.trace_hash, without.trace_hash) << seed;
        EXPECT_EQ(with.steps, without.steps) << seed;
        EXPECT_GT(uint64_t(looks), with.steps / 2); /* the rest is the runtime's start and stop */
        EXPECT_LT(uint64_t(looks), with.steps + 2);
    }
}

/* What the invariant is about may be on the stack of the first task. */
TEST_F(SimCheck, NobodyAsksBeforeTheProgramAndAfterIt)
{
    bool isInside = false;
    auto check = [&] { return isInside ? 0 : -ERANGE; };
    auto body = [&]() -> intptr_t {
        isInside = true;
        auto later = []() -> intptr_t { return skua_sleep(SKUA_NS_PER_SEC); };
        skua_future *future = spawnBody(later);
        EXPECT_EQ(skua_sleep(SKUA_NS_PER_MS), 0);
        EXPECT_EQ(skua_cancel(future), 0);
        skua_future_unref(future); /* it ends after this */
        isInside = false;
        return 0;
    };
    for (uint64_t seed = 0; seed < 20; seed++)
        EXPECT_EQ(simulate(seed, body, quietWith(check)), 0) << seed;
}

TEST_F(SimCheck, AFaultThatBreaksAnInvariantIsFoundByShrinking)
{
    int64_t written = 0, moved = 0;
    auto body = [&]() -> intptr_t {
        int fds[2];
        written = moved = 0;
        EXPECT_EQ(pipe(fds), 0);
        char data[100] = {};
        for (int i = 0; i < 5; i++) {
            moved += std::max<ssize_t>(skua_write(fds[1], data, sizeof(data)), 0);
            written += sizeof(data);
            (void)skua_yield();
        }
        close(fds[0]);
        close(fds[1]);
        return 0;
    };
    auto check = [&] { return written <= moved ? 0 : -ERANGE; };
    skua_sim_options options = quietWith(check);
    options.faults_per_million[SKUA_SIM_SHORT] = 100000;
    skua_sim_report report{};
    EXPECT_EQ(skua_sim_sweep(0, 200, &options, callValue<decltype(body)>, &body, &report), -ERANGE);
    EXPECT_GT(skua_sim_shrink(&options, callValue<decltype(body)>, &body, &report), 0);
    ASSERT_EQ(report.fault_count, 1u);
    EXPECT_EQ(report.faults[0].kind, SKUA_SIM_SHORT);
    EXPECT_GT(report.broken_step, 0u);
}

/* ---- how many runs --------------------------------------------------------------------------- */

/* Of the process: what others do with the machine counts for nothing. */
double cpuSeconds()
{
    timespec now{};
    EXPECT_EQ(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now), 0);
    return double(now.tv_sec) + double(now.tv_nsec) / 1e9;
}

/* Ten tasks that lock, sleep and send: some hundred steps. */
intptr_t tenTasks(void *)
{
    skua_mutex mutex = SKUA_MUTEX_INIT;
    skua_channel *channel = skua_channel_create(sizeof(int), 3);
    auto body = [&]() -> intptr_t {
        int rc = skua_mutex_lock(&mutex);
        if (rc == 0)
            rc = skua_mutex_unlock(&mutex);
        if (rc == 0)
            rc = skua_sleep(SKUA_NS_PER_MS);
        return rc == 0 ? skua_channel_send(channel, &rc) : rc;
    };
    skua_future *futures[10];
    for (skua_future *&future : futures)
        future = spawnBody(body);
    intptr_t rc = 0;
    for (int i = 0, item; i < 10; i++)
        rc = std::min<intptr_t>(rc, skua_channel_recv(channel, &item));
    for (skua_future *future : futures)
        rc = std::min(rc, skua_await(future));
    skua_channel_unref(channel);
    return rc;
}

/*
 * What is promised is 2000 runs in a second of a release build. Here it is the process's CPU time,
 * and the best of several batches, against kRunsWanted: a quarter, or less, of what a development
 * build has. Sanitizers make it many times as slow: there it is enough that all runs end well.
 */
constexpr double kRunsWanted = 500;

TEST_F(SimCheck, TenTasksRunManyTimesInASecond)
{
    constexpr uint64_t kBatches = SKUA_TESTS_SANITIZED ? 1 : 5;
    constexpr uint64_t kRuns = SKUA_TESTS_SANITIZED ? 50 : 200;
    double best = 0;
    for (uint64_t batch = 0; batch < kBatches; batch++) {
        double begun = cpuSeconds();
        EXPECT_EQ(skua_sim_sweep(batch * kRuns, kRuns, nullptr, tenTasks, nullptr, nullptr), 0);
        best = std::max(best, double(kRuns) / (cpuSeconds() - begun));
    }
    RecordProperty("runs_per_cpu_second", int(best));
    EXPECT_GE(best, SKUA_TESTS_SANITIZED ? 0 : kRunsWanted);
}

} /* namespace */
