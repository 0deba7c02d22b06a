/*
 * Tests fork(): the child of a process with a runtime gets errors, nothing hangs, the parent goes
 * on.
 */
#include "support/fd_guard.h"
#include "support/hang_guard.h"
#include "support/runtime_kit.h"

#include <atomic>
#include <csignal>
#include <cstdio>
#include <functional>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

using namespace skua_test;

namespace
{

class Fork : public testing::Test
{
  protected:
    void SetUp() override
    {
        if (SKUA_TESTS_SANITIZED)
            GTEST_SKIP() << "the sanitizers' own locks do not survive a fork";
    }

    FdGuard fds_;
    HangGuard hang_;
};

/* Handles made before the fork, used after it. */
struct Before {
    skua_runtime *runtime;
    skua_future *parked;  /* a task in skua_park() */
    skua_future *pending; /* of a promise */
    skua_promise *promise;
};

/* In the child: counts the calls that answered something else than they must. */
struct Report {
    int wrong = 0;

    void expect(const char *call, intptr_t got, intptr_t want)
    {
        if (got == want)
            return;
        dprintf(STDERR_FILENO, "in the child %s gave %ld, not %ld\n", call, static_cast<long>(got),
                static_cast<long>(want));
        wrong++;
    }
};

intptr_t one(void *)
{
    return 1;
}

#define GIVES(call, want) report.expect(#call, static_cast<intptr_t>(call), (want))

void callStarters(Report &report, const Before &before)
{
    skua_future *future = nullptr;
    skua_runtime *runtime = nullptr;
    GIVES(skua_await(skua_submit(before.runtime, one, nullptr)), -ECHILD);
    GIVES(skua_await(skua_run_in_executor(skua_executor_cpu(before.runtime), one, nullptr)),
          -ECHILD);
    GIVES(skua_await(skua_run_in_executor(nullptr, one, nullptr)), -ECHILD);
    GIVES(skua_await(skua_spawn(one, nullptr)), -ECHILD);
    GIVES(skua_spawn_with(nullptr, one, nullptr, &future), -ECHILD);
    GIVES(skua_run(nullptr, one, nullptr), -ECHILD);
    GIVES(skua_runtime_start(&runtime, nullptr), -ECHILD);
    GIVES(skua_runtime_stop(before.runtime, SKUA_STOP_DRAIN, SKUA_FOREVER), -ECHILD);
    GIVES(skua_runtime_stop(before.runtime, SKUA_STOP_CANCEL, SKUA_FOREVER), -ECHILD);
}

void callWaits(Report &report, const Before &before)
{
    intptr_t result = kNoResult;
    char byte;
    GIVES(skua_await(before.pending), -ECHILD);
    GIVES(skua_await_until(before.parked, SKUA_FOREVER, &result), -ECHILD);
    GIVES(skua_sleep(3600 * SKUA_NS_PER_SEC), -ECHILD);
    GIVES(skua_sleep_until(SKUA_FOREVER), -ECHILD);
    GIVES(skua_park(SKUA_FOREVER), -ECHILD);
    GIVES(skua_hop(nullptr), -ECHILD);
    GIVES(skua_hop_back(), -ECHILD);
    GIVES(skua_read(STDIN_FILENO, &byte, 0), -ECHILD);
    GIVES(skua_open("/dev/null", 0, 0), -ECHILD);
}

void callOthers(Report &report)
{
    report.expect("skua_self()", skua_self() != nullptr, 0);
    report.expect("skua_task_name()", skua_task_name() != nullptr, 0);
    report.expect("skua_runtime_current()", skua_runtime_current() != nullptr, 0);
    GIVES(skua_cancelled(), 0);
    GIVES(skua_now() > 0, 1);
}

/* Forks here; the child calls everything and leaves. Returns its exit code, or minus its signal. */
int callEverythingInAChild(const Before &before)
{
    pid_t child = fork();
    if (child == 0) {
        alarm(20); /* nothing may hang */
        Report report;
        callStarters(report, before);
        callWaits(report, before);
        callOthers(report);
        _exit(report.wrong);
    }
    if (child < 0)
        return -1000;
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* A runtime with a parked task, a pending promise and something going on all the time. */
class Busy
{
  public:
    Busy()
    {
        parker_ = []() -> intptr_t { return skua_park(SKUA_FOREVER); };
        noise_ = [this]() -> intptr_t {
            auto child = []() -> intptr_t { return skua_sleep(1000); };
            intptr_t rounds = 0;
            for (; !stop_; rounds++) {
                skua_await(spawnBody(child));
                skua_await(offloadBody(nullptr, child));
            }
            return rounds;
        };
        before = {runtime.get(), submitBody(runtime.get(), parker_), gate_.future, gate_.promise};
        noisy_ = submitBody(runtime.get(), noise_);
    }

    void finish()
    {
        stop_ = true;
        EXPECT_GE(skua_await(noisy_), 0);
        EXPECT_EQ(skua_unpark(before.parked), 0);
        EXPECT_EQ(skua_await(before.parked), 0);
        EXPECT_EQ(skua_promise_set(before.promise, 3), 0);
        skua_promise_unref(before.promise);
        EXPECT_EQ(skua_await(before.pending), 3);
        EXPECT_EQ(runtime.stop(SKUA_STOP_DRAIN), 0);
    }

    Runtime runtime{2};
    Before before;

  private:
    Promise gate_;
    std::atomic<bool> stop_{false};
    std::function<intptr_t()> parker_, noise_;
    skua_future *noisy_;
};

TEST_F(Fork, InAForeignThreadGivesAChildThatGetsErrors)
{
    Busy busy;
    for (int i = 0; i < 10; i++)
        EXPECT_EQ(callEverythingInAChild(busy.before), 0);
    busy.finish();
}

TEST_F(Fork, InATaskGivesAChildThatGetsErrors)
{
    Busy busy;
    auto forker = [&]() -> intptr_t {
        skua_future *self = skua_self();
        for (int i = 0; i < 10; i++) {
            EXPECT_EQ(callEverythingInAChild(busy.before), 0);
            EXPECT_EQ(skua_self(), self);
            EXPECT_EQ(skua_sleep(1000), 0);
        }
        return 4;
    };
    EXPECT_EQ(busy.runtime.run(forker), 4);
    busy.finish();
}

TEST_F(Fork, InAJobGivesAChildThatGetsErrors)
{
    Busy busy;
    auto forker = [&]() -> intptr_t {
        for (int i = 0; i < 10; i++)
            EXPECT_EQ(callEverythingInAChild(busy.before), 0);
        return skua_sleep(1000);
    };
    skua_executor *cpu = skua_executor_cpu(busy.runtime.get());
    EXPECT_EQ(skua_await(offloadBody(cpu, forker)), 0);
    busy.finish();
}

TEST_F(Fork, InATaskOnAnExecutorGivesAChildThatGetsErrors)
{
    Busy busy;
    auto forker = [&]() -> intptr_t {
        EXPECT_EQ(skua_hop(nullptr), 0);
        EXPECT_EQ(callEverythingInAChild(busy.before), 0);
        EXPECT_EQ(skua_hop_back(), 0);
        return skua_sleep(1000);
    };
    EXPECT_EQ(busy.runtime.run(forker), 0);
    busy.finish();
}

TEST_F(Fork, ThenExecIsFine)
{
    runInTask([] {
        pid_t child = fork();
        if (child == 0) {
            execl("/bin/true", "true", static_cast<char *>(nullptr));
            _exit(127);
        }
        int status = -1;
        EXPECT_EQ(waitpid(child, &status, 0), child);
        EXPECT_EQ(status, 0);
    });
}

TEST_F(Fork, AfterTheRuntimeHasStoppedIsAFreshStart)
{
    runInTask([] {});
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        _exit(skua_run(nullptr, one, nullptr) == 1 ? 0 : 1);
    }
    int status = -1;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
}

} // namespace
