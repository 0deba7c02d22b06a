/*
 * Tests skua/sim.h: that a seed is an execution, that time is virtual, that what can go wrong does,
 * when it is told to, and that deadlocks and failing seeds are found.
 */
#include "support/sim_kit.h"

#include <chrono>
#include <cstring>
#include <fcntl.h>
#include <set>
#include <thread>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

using namespace skua_test;

namespace
{

class Sim : public Simulated
{
};

/* Runs @body under @seed; it may be run many times. */
template <class Body>
intptr_t simulate(uint64_t seed, Body &&body, const skua_sim_options *options = nullptr,
                  skua_sim_report *report = nullptr)
{
    using Plain = std::remove_reference_t<Body>;
    return skua_sim_run(seed, options, callValue<Plain>, &body, report);
}

skua_sim_options quiet()
{
    skua_sim_options options{};
    options.is_quiet = true;
    return options;
}

/* Two tasks that forget about each other between a read and a write. */
intptr_t racyCounter()
{
    int counter = 0;
    auto body = [&]() -> intptr_t {
        int seen = counter;
        EXPECT_EQ(skua_yield(), 0);
        counter = seen + 1;
        return 0;
    };
    skua_future *one = spawnBody(body), *other = spawnBody(body);
    EXPECT_EQ(skua_await(one), 0);
    EXPECT_EQ(skua_await(other), 0);
    return counter == 2 ? 0 : -EIO;
}

TEST_F(Sim, RefusesWhatItCannotRun)
{
    auto body = []() -> intptr_t { return 0; };
    skua_sim_options options = quiet();
    EXPECT_EQ(skua_sim_run(1, &options, nullptr, nullptr, nullptr), -EINVAL);
    options.reserved[1] = 1;
    EXPECT_EQ(simulate(1, body, &options), -EINVAL);
    options = quiet();
    options.script_count = 1;
    EXPECT_EQ(simulate(1, body, &options), -EINVAL);
    skua_sim_fault faults[2] = {{3, SKUA_SIM_EIO, 0, 0}, {3, SKUA_SIM_EIO, 0, 0}};
    options.script = faults;
    options.script_count = 2;
    EXPECT_EQ(simulate(1, body, &options), -EINVAL); /* not in order */
    faults[0].operation = 2;
    faults[1].kind = SKUA_SIM_FAULT_KINDS;
    EXPECT_EQ(simulate(1, body, &options), -EINVAL);
    options = quiet();
    options.workers = SKUA_WORKERS_MAX + 1;
    EXPECT_EQ(simulate(1, body, &options), -EINVAL);
    EXPECT_EQ(skua_sim_shrink(nullptr, nullptr, nullptr, nullptr), -EINVAL);
    EXPECT_EQ(skua_sim_random(10), 0u);
    skua_sim_point();
    runInTask([&] { EXPECT_EQ(simulate(1, body), -EPERM); });
    EXPECT_EQ(simulate(1, [&]() -> intptr_t { return simulate(2, body); }), -EBUSY);
}

TEST_F(Sim, OneSeedIsOneExecution)
{
    auto body = [] { return racyCounter(); };
    std::set<uint64_t> hashes;
    int failures = 0;
    skua_sim_options options = quiet();
    for (uint64_t seed = 0; seed < 200; seed++) {
        skua_sim_report first, again;
        intptr_t result = simulate(seed, body, &options, &first);
        EXPECT_EQ(simulate(seed, body, &options, &again), result);
        EXPECT_EQ(first.trace_hash, again.trace_hash);
        EXPECT_EQ(first.steps, again.steps);
        EXPECT_EQ(first.seed, seed);
        hashes.insert(first.trace_hash);
        failures += result != 0;
    }
    EXPECT_GT(hashes.size(), 20u); /* and seeds differ */
    EXPECT_GT(failures, 20);       /* the bug shows with some */
    EXPECT_LT(failures, 180);      /* and not with others */
}

TEST_F(Sim, SweepFindsTheSeedThatFails)
{
    auto body = [] { return racyCounter(); };
    skua_sim_options options = quiet();
    skua_sim_report report;
    intptr_t result = skua_sim_sweep(0, 1000, &options, callValue<decltype(body)>, &body, &report);
    EXPECT_EQ(result, -EIO);
    EXPECT_EQ(simulate(report.seed, body, &options), -EIO);
    testing::internal::CaptureStderr();
    result = skua_sim_sweep(report.seed, 1, nullptr, callValue<decltype(body)>, &body, nullptr);
    std::string text = testing::internal::GetCapturedStderr();
    EXPECT_NE(text.find("seed " + std::to_string(report.seed)), std::string::npos) << text;
    auto fine = []() -> intptr_t { return 0; };
    EXPECT_EQ(skua_sim_sweep(0, 50, &options, callValue<decltype(fine)>, &fine, nullptr), 0);
}

TEST_F(Sim, AnHourOfSleepTakesNoTime)
{
    auto start = std::chrono::steady_clock::now();
    skua_sim_report report;
    EXPECT_EQ(simulate(
                  7,
                  []() -> intptr_t {
                      uint64_t begun = skua_now();
                      EXPECT_EQ(skua_sleep(3600 * SKUA_NS_PER_SEC), 0);
                      EXPECT_EQ(skua_now() - begun, 3600 * SKUA_NS_PER_SEC);
                      return 0;
                  },
                  nullptr, &report),
              0);
    EXPECT_GE(report.virtual_ns, 3600 * SKUA_NS_PER_SEC);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
}

TEST_F(Sim, ADeadlockIsFoundAndEveryTaskNamed)
{
    auto body = []() -> intptr_t {
        skua_channel *channel = skua_channel_create(1, 0);
        skua_mutex mutex = SKUA_MUTEX_INIT;
        EXPECT_EQ(skua_mutex_lock(&mutex), 0);
        auto stuck = [&]() -> intptr_t { return skua_mutex_lock(&mutex); };
        skua_future *task = spawnNamed("the one behind", stuck);
        EXPECT_EQ(skua_yield(), 0);
        char byte;
        int rc = skua_channel_recv(channel, &byte);
        EXPECT_EQ(rc, -ECANCELED);
        EXPECT_EQ(skua_await(task), -ECANCELED);
        skua_channel_unref(channel);
        return rc;
    };
    skua_sim_report report;
    testing::internal::CaptureStderr();
    EXPECT_EQ(simulate(3, body, nullptr, &report), -EDEADLK);
    std::string text = testing::internal::GetCapturedStderr();
    EXPECT_TRUE(report.is_deadlock);
    EXPECT_NE(text.find("at a channel"), std::string::npos) << text;
    EXPECT_NE(text.find("the one behind"), std::string::npos) << text;
    EXPECT_NE(text.find("at a mutex"), std::string::npos) << text;
}

TEST_F(Sim, ALivelockEndsAtTheStepLimit)
{
    skua_sim_options options = quiet();
    options.step_limit = 10000;
    skua_sim_report report;
    EXPECT_EQ(simulate(
                  1,
                  []() -> intptr_t {
                      while (skua_yield() == 0)
                          skua_sim_point();
                      return 0;
                  },
                  &options, &report),
              -EDEADLK);
    EXPECT_TRUE(report.is_deadlock);
}

TEST_F(Sim, ExecutorsHopsAndForkJoinAreSimulatedToo)
{
    for (uint64_t seed = 0; seed < 50; seed++) {
        EXPECT_EQ(simulate(seed,
                           []() -> intptr_t {
                               auto job = []() -> intptr_t {
                                   EXPECT_EQ(skua_sleep(SKUA_NS_PER_SEC), 0);
                                   return 3;
                               };
                               skua_future *futures[4];
                               for (skua_future *&future : futures)
                                   future = offloadBody(nullptr, job);
                               intptr_t sum = 0;
                               for (skua_future *future : futures)
                                   sum += skua_await(future);
                               EXPECT_EQ(skua_hop(nullptr), 0);
                               EXPECT_EQ(skua_sleep(5), 0);
                               EXPECT_EQ(skua_hop_back(), 0);
                               uint64_t total = 0;
                               auto leaf = [](size_t begin, size_t end, void *arg) -> int {
                                   *static_cast<uint64_t *>(arg) += end - begin;
                                   return 0;
                               };
                               EXPECT_EQ(skua_parallel_for(0, 1000, 100, leaf, &total), 0);
                               EXPECT_EQ(total, 1000u);
                               return sum;
                           }),
                  12);
    }
}

/* A variable of the environment, as long as this lives. */
class Variable
{
  public:
    Variable(const char *name, const std::string &value) : name_(name)
    {
        setenv(name, value.c_str(), 1);
    }
    Variable(const Variable &) = delete;
    Variable &operator=(const Variable &) = delete;
    ~Variable()
    {
        unsetenv(name_);
    }

  private:
    const char *name_;
};

/* Fails with seed 5 if its operations are late. */
struct Picky {
    std::vector<std::pair<uint64_t, bool>> runs; /* seed, late */
    skua_sim_options late = quiet();
    skua_sim_options plain = quiet();
    skua_sim_set sets[2] = {{"plain", &plain}, {"late", &late}};
    skua_sim_plan plan{};

    Picky()
    {
        late.is_quiet = false;
        late.late_per_million = 1000000;
        late.late_max_ns = 3600 * SKUA_NS_PER_SEC;
        plan.first = 3;
        plan.count = 10;
        plan.sets = sets;
        plan.set_count = 2;
        plan.replay = "./program";
    }

    intptr_t sweep(skua_sim_report *report = nullptr, size_t *failed = nullptr)
    {
        auto body = [&]() -> intptr_t {
            uint64_t begun = skua_now();
            EXPECT_EQ(skua_close(skua_open("/dev/null", O_RDONLY, 0)), 0);
            bool is_late = skua_now() - begun > SKUA_NS_PER_SEC;
            uint64_t seed = plan.first + runs.size() / 2;
            runs.emplace_back(seed, is_late);
            return is_late && runs.size() == 6 ? -EPROTO : 0;
        };
        return skua_sim_sweep_sets(&plan, callValue<decltype(body)>, &body, report, failed);
    }
};

TEST_F(Sim, ASweepOfSetsTellsHowToRunTheOneThatFailsAgain)
{
    Picky picky;
    skua_sim_report report;
    size_t failed = 99;
    testing::internal::CaptureStderr();
    EXPECT_EQ(picky.sweep(&report, &failed), -EPROTO);
    std::string text = testing::internal::GetCapturedStderr();
    EXPECT_EQ(report.seed, 5u);
    EXPECT_EQ(failed, 1u);
    std::vector<std::pair<uint64_t, bool>> expected = {{3, false}, {3, true},  {4, false},
                                                       {4, true},  {5, false}, {5, true}};
    EXPECT_EQ(picky.runs, expected);
    EXPECT_NE(text.find("SKUA_SIM_SEED=5 SKUA_SIM_SET=late ./program\n"), std::string::npos)
        << text;
}

TEST_F(Sim, TheEnvironmentChoosesOneRunOfASweep)
{
    Variable seed("SKUA_SIM_SEED", "77");
    {
        Picky picky;
        skua_sim_report report;
        EXPECT_EQ(picky.sweep(&report), 0);
        EXPECT_EQ(picky.runs.size(), 2u);
        EXPECT_EQ(report.seed, 77u);
    }
    Variable set("SKUA_SIM_SET", "late");
    Picky picky;
    EXPECT_EQ(picky.sweep(), 0);
    ASSERT_EQ(picky.runs.size(), 1u);
    EXPECT_TRUE(picky.runs[0].second);
    Variable unknown("SKUA_SIM_SET", "other");
    EXPECT_EQ(picky.sweep(), -EINVAL);
    Variable bad("SKUA_SIM_SEED", "7x");
    EXPECT_EQ(picky.sweep(), -EINVAL);
    EXPECT_EQ(skua_sim_sweep_sets(nullptr, nullptr, nullptr, nullptr, nullptr), -EINVAL);
}

/* Bytes through a pipe between two tasks. */
const auto copyThroughPipe = []() -> intptr_t {
    constexpr size_t kBytes = 10000;
    int fds[2];
    if (pipe(fds) < 0)
        return -errno;
    auto writer = [&]() -> intptr_t {
        char data[kBytes] = {};
        ssize_t rc = 0;
        for (size_t sent = 0; sent < kBytes && rc >= 0; sent += (size_t)rc)
            rc = skua_write(fds[1], data + sent, kBytes - sent);
        close(fds[1]);
        return rc < 0 ? rc : 0;
    };
    skua_future *future = spawnBody(writer);
    size_t got = 0;
    ssize_t rc;
    char data[777];
    while ((rc = skua_read(fds[0], data, sizeof(data))) > 0)
        got += (size_t)rc;
    close(fds[0]);
    intptr_t written = skua_await(future);
    if (rc < 0 || written < 0)
        return rc < 0 ? rc : written;
    return got == kBytes ? 0 : -EIO;
};

TEST_F(Sim, ShortReadsAndInterruptsAreSurvived)
{
    struct sigaction ignore = {}, old;
    ignore.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &ignore, &old);
    skua_sim_options options = quiet();
    options.faults_per_million[SKUA_SIM_SHORT] = 200000;
    options.faults_per_million[SKUA_SIM_EINTR] = 100000;
    options.stalls_per_million = 20000;
    auto body = copyThroughPipe;
    size_t faults = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        skua_sim_report report, again;
        EXPECT_EQ(simulate(seed, body, &options, &report), 0) << "seed " << seed;
        EXPECT_EQ(simulate(seed, body, &options, &again), 0);
        EXPECT_EQ(report.trace_hash, again.trace_hash) << "seed " << seed;
        EXPECT_GT(report.operations, 10u);
        faults += report.fault_count;
    }
    EXPECT_GT(faults, 200u);
    sigaction(SIGPIPE, &old, nullptr);
}

TEST_F(Sim, AFailureIsShrunkToTheFaultThatMatters)
{
    struct sigaction ignore = {}, old;
    ignore.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &ignore, &old);
    skua_sim_options options = quiet();
    options.faults_per_million[SKUA_SIM_SHORT] = 200000;
    options.faults_per_million[SKUA_SIM_ENOMEM] = 20000;
    skua_sim_report report;
    auto body = copyThroughPipe;
    using Body = decltype(body);
    ASSERT_EQ(skua_sim_sweep(0, 1000, &options, callValue<Body>, &body, &report), -ENOMEM);
    EXPECT_GT(skua_sim_shrink(&options, callValue<Body>, &body, &report), 0);
    ASSERT_EQ(report.fault_count, 1u);
    EXPECT_EQ(report.faults[0].kind, SKUA_SIM_ENOMEM);
    skua_sim_options script = quiet();
    script.script = report.faults;
    script.script_count = report.fault_count;
    EXPECT_EQ(simulate(report.seed, body, &script), -ENOMEM);
    sigaction(SIGPIPE, &old, nullptr);
}

TEST_F(Sim, ASweepShrinksWhatFailsIfItIsToldTo)
{
    struct sigaction ignore = {}, old;
    ignore.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &ignore, &old);
    Variable shrink("SKUA_SIM_SHRINK", "1");
    skua_sim_options options{};
    options.faults_per_million[SKUA_SIM_SHORT] = 200000;
    options.faults_per_million[SKUA_SIM_ENOMEM] = 20000;
    auto body = copyThroughPipe;
    using Body = decltype(body);
    testing::internal::CaptureStderr();
    EXPECT_EQ(skua_sim_sweep(0, 1000, &options, callValue<Body>, &body, nullptr), -ENOMEM);
    std::string text = testing::internal::GetCapturedStderr();
    EXPECT_NE(text.find("skua: 1 of "), std::string::npos) << text;
    EXPECT_NE(text.find("SKUA_SIM_ENOMEM"), std::string::npos) << text;
    sigaction(SIGPIPE, &old, nullptr);
}

/* Tasks, a channel and a stream: 0, or the error that an allocation's failure led to. */
intptr_t needsMemory()
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    skua_stream *stream = nullptr;
    skua_channel *channel = skua_channel_create(1, 1);
    intptr_t rc = channel == nullptr ? -ENOMEM : 0;
    if (rc == 0)
        rc = skua_stream_open(ends[0], ends[0], nullptr, &stream);
    auto child = [&]() -> intptr_t {
        int sent = skua_channel_send(channel, "x");
        return sent < 0 ? sent : skua_sleep(SKUA_NS_PER_MS);
    };
    if (rc == 0)
        rc = skua_await(spawnBody(child));
    if (rc == 0)
        rc = std::min<intptr_t>(skua_stream_write(stream, "x", 1), 0);
    if (rc == 0)
        rc = skua_stream_flush(stream);
    if (stream != nullptr)
        (void)skua_stream_abort(stream);
    else
        close(ends[0]);
    close(ends[1]);
    skua_channel_unref(channel);
    return rc;
}

TEST_F(Sim, EveryAllocationMayFail)
{
    auto body = [] { return needsMemory(); };
    skua_sim_options options = quiet();
    skua_sim_report report{};
    EXPECT_EQ(simulate(9, body, &options, &report), 0);
    EXPECT_GT(report.allocations, 5u);
    skua_sim_fault fault = {0, SKUA_SIM_ALLOCATION, 0, 0};
    options.script = &fault;
    options.script_count = 1;
    int failures = 0;
    for (uint64_t count = report.allocations; fault.operation < count; fault.operation++) {
        intptr_t rc = simulate(9, body, &options, &report);
        EXPECT_TRUE(rc == 0 || rc == -ENOMEM || rc == -EAGAIN) << rc << " " << fault.operation;
        EXPECT_EQ(report.fault_count, 1u) << fault.operation;
        EXPECT_FALSE(report.is_deadlock) << fault.operation;
        failures += rc == -ENOMEM;
    }
    EXPECT_GT(failures, 3);
    EXPECT_EQ(simulate(9, body, &options, &report), 0); /* there are no more */
    EXPECT_EQ(report.fault_count, 0u);
}

TEST_F(Sim, AllocationsFailByRateAndTheFaultsAreAScript)
{
    auto body = [] { return needsMemory(); };
    skua_sim_options options = quiet();
    options.faults_per_million[SKUA_SIM_ALLOCATION] = 100000;
    size_t failed = 0;
    for (uint64_t seed = 0; seed < 100; seed++) {
        skua_sim_report first, again;
        intptr_t rc = simulate(seed, body, &options, &first);
        EXPECT_EQ(simulate(seed, body, &options, &again), rc);
        EXPECT_EQ(first.trace_hash, again.trace_hash) << seed;
        failed += rc == -ENOMEM;
        if (rc != -ENOMEM)
            continue;
        skua_sim_options script = quiet();
        script.script = first.faults;
        script.script_count = first.fault_count;
        EXPECT_EQ(simulate(seed, body, &script, &again), rc) << seed;
    }
    EXPECT_GT(failed, 20u);
    EXPECT_LT(failed, 100u);
}

TEST_F(Sim, OperationsAndCancelsMayBeLate)
{
    skua_sim_options options = quiet();
    options.late_per_million = 1000000;
    options.late_max_ns = 10 * SKUA_NS_PER_SEC;
    int cancelled = 0, results = 0;
    for (uint64_t seed = 0; seed < 60; seed++)
        simulate(
            seed,
            [&]() -> intptr_t {
                int fds[2];
                EXPECT_EQ(pipe(fds), 0);
                char byte;
                auto reader = [&]() -> intptr_t { return skua_read(fds[0], &byte, 1); };
                skua_future *future = spawnBody(reader);
                EXPECT_EQ(skua_sleep(10 * SKUA_NS_PER_SEC), 0);
                (void)skua_cancel(future);
                EXPECT_EQ(skua_sleep(SKUA_NS_PER_SEC), 0);
                EXPECT_EQ(write(fds[1], "y", 1), 1);
                intptr_t rc = skua_await(future);
                cancelled += rc == -ECANCELED;
                results += rc == 1; /* it came a second after the cancel, and before it */
                EXPECT_TRUE(rc == 1 || rc == -ECANCELED) << rc;
                close(fds[0]);
                close(fds[1]);
                return 0;
            },
            &options);
    EXPECT_GT(cancelled, 1);
    EXPECT_GT(results, 30);
}

TEST_F(Sim, AWorkerThatStallsHoldsUpItsTask)
{
    auto body = []() -> intptr_t {
        uint64_t begun = skua_now();
        skua_mutex mutex = SKUA_MUTEX_INIT;
        for (int i = 0; i < 10; i++) {
            EXPECT_EQ(skua_mutex_lock(&mutex), 0);
            EXPECT_EQ(skua_mutex_unlock(&mutex), 0);
        }
        return intptr_t((skua_now() - begun) / SKUA_NS_PER_MS);
    };
    skua_sim_options options = quiet();
    EXPECT_EQ(simulate(1, body, &options), 0);
    options.stalls_per_million = 500000;
    options.stall_max_ns = SKUA_NS_PER_SEC;
    EXPECT_GT(simulate(1, body, &options), 100);
}

TEST_F(Sim, WhatIsNotToWaitDoesNot)
{
    EXPECT_EQ(simulate(1,
                       []() -> intptr_t {
                           int ends[2];
                           char byte = 0;
                           EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
                           ssize_t rc = skua_recv(ends[0], &byte, 1, MSG_DONTWAIT);
                           close(ends[0]);
                           close(ends[1]);
                           return rc;
                       }),
              -EAGAIN);
}

TEST_F(Sim, ATraceDoesNotDependOnWhatElseIsOpen)
{
    auto body = []() -> intptr_t { return skua_close(skua_open("/dev/null", O_RDONLY, 0)); };
    skua_sim_report first, again;
    EXPECT_EQ(simulate(1, body, nullptr, &first), 0);
    int other = open("/dev/null", O_RDONLY | O_CLOEXEC);
    EXPECT_EQ(simulate(1, body, nullptr, &again), 0);
    close(other);
    EXPECT_EQ(first.trace_hash, again.trace_hash);
}

TEST_F(Sim, FilesFailAsTheyAreTold)
{
    struct Case {
        skua_sim_fault_kind kind;
        int error;
    };
    for (Case c : {Case{SKUA_SIM_EMFILE, EMFILE}, Case{SKUA_SIM_ENOSPC, ENOSPC},
                   Case{SKUA_SIM_ENOMEM, ENOMEM}}) {
        skua_sim_options options = quiet();
        options.faults_per_million[c.kind] = 1000000;
        EXPECT_EQ(
            simulate(
                5, []() -> intptr_t { return skua_open("/dev/null", O_RDONLY, 0); }, &options),
            -c.error);
    }
}

/* An op that is cancelled ends once, with what it had got or not: both come up. */
TEST_F(Sim, CancelsRaceWithResults)
{
    int cancelled = 0, done = 0;
    for (uint64_t seed = 0; seed < 300; seed++) {
        intptr_t result = simulate(seed, []() -> intptr_t {
            int fds[2];
            EXPECT_EQ(pipe(fds), 0);
            char byte = 'x';
            auto reader = [&]() -> intptr_t { return skua_read(fds[0], &byte, 1); };
            skua_future *future = spawnBody(reader);
            EXPECT_EQ(skua_sleep(skua_sim_random(200) * SKUA_NS_PER_US), 0);
            EXPECT_EQ(write(fds[1], "y", 1), 1);
            (void)skua_cancel(future);
            intptr_t rc = skua_await(future);
            EXPECT_TRUE((rc == 1 && byte == 'y') || (rc == -ECANCELED && byte == 'x')) << rc;
            char left;
            EXPECT_EQ(rc == 1 ? 1 : read(fds[0], &left, 1), 1); /* not a byte is lost */
            close(fds[0]);
            close(fds[1]);
            return rc;
        });
        cancelled += result == -ECANCELED;
        done += result == 1;
    }
    EXPECT_GT(cancelled, 30);
    EXPECT_GT(done, 30);
}

TEST_F(Sim, SeveralThreadsSimulateAtOnce)
{
    auto run = [] {
        auto body = [] { return racyCounter(); };
        skua_sim_options options = quiet();
        uint64_t sum = 0;
        for (uint64_t seed = 0; seed < 50; seed++) {
            skua_sim_report report;
            (void)simulate(seed, body, &options, &report);
            sum += report.trace_hash;
        }
        return sum;
    };
    uint64_t here = run(), there = 0;
    std::thread other([&] { there = run(); });
    EXPECT_EQ(run(), here);
    other.join();
    EXPECT_EQ(there, here);
}

} /* namespace */
