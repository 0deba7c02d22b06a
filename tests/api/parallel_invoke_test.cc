/*
 * Tests skua_parallel_invoke(): every call once, results, refusals, cancelling, calls that wait.
 */
#include "support/fd_guard.h"
#include "support/hang_guard.h"
#include "support/runtime_kit.h"

#include <skua/parallel.h>

#include <atomic>
#include <vector>

using namespace skua_test;

namespace
{

class ParallelInvoke : public testing::Test
{
  protected:
    FdGuard fds_;
    HangGuard hang_;
};

class ParallelInvokeAnywhere : public testing::TestWithParam<Where>
{
  protected:
    FdGuard fds_;
    HangGuard hang_;
};

INSTANTIATE_TEST_SUITE_P(Everywhere, ParallelInvokeAnywhere, everywhere(), WhereName());

skua_call callOf(skua_fn fn, void *arg)
{
    return {fn, arg, kNoResult};
}

/* Adds one to the counter it is given, and returns its old value. */
intptr_t count(void *arg)
{
    return (*static_cast<std::atomic<int> *>(arg))++;
}

TEST_P(ParallelInvokeAnywhere, MakesEachCallOnce)
{
    runIn(GetParam(), [] {
        for (size_t calls_count : {1, 2, 3, 4, 7, 100, 10001}) {
            std::vector<std::atomic<int>> made(calls_count);
            std::vector<skua_call> calls;
            for (std::atomic<int> &counter : made)
                calls.push_back(callOf(count, &counter));
            EXPECT_EQ(skua_parallel_invoke(calls.data(), calls.size()), 0);
            for (size_t i = 0; i < calls_count; i++) {
                EXPECT_EQ(made[i], 1);
                EXPECT_EQ(calls[i].result, 0);
            }
        }
    });
}

TEST_P(ParallelInvokeAnywhere, KeepsResultsAndErrorsWithTheirCalls)
{
    runIn(GetParam(), [] {
        auto fn = [](void *arg) { return reinterpret_cast<intptr_t>(arg); };
        const intptr_t results[] = {0, 1, -EIO, INTPTR_MAX, INTPTR_MIN, -ECANCELED, 17};
        std::vector<skua_call> calls;
        for (intptr_t result : results)
            calls.push_back(callOf(fn, reinterpret_cast<void *>(result)));
        EXPECT_EQ(skua_parallel_invoke(calls.data(), calls.size()), 0);
        for (size_t i = 0; i < calls.size(); i++)
            EXPECT_EQ(calls[i].result, results[i]);
    });
}

TEST_P(ParallelInvokeAnywhere, OfNothingIsDone)
{
    runIn(GetParam(), [] {
        skua_call call = callOf(nullptr, nullptr);
        EXPECT_EQ(skua_parallel_invoke(nullptr, 0), 0);
        EXPECT_EQ(skua_parallel_invoke(&call, 0), 0);
        EXPECT_EQ(call.result, kNoResult);
    });
}

TEST_P(ParallelInvokeAnywhere, MakesNoneIfAFunctionIsMissing)
{
    runIn(GetParam(), [] {
        std::atomic<int> made{0};
        std::vector<skua_call> calls(5, callOf(count, &made));
        calls[4].fn = nullptr;
        EXPECT_EQ(skua_parallel_invoke(calls.data(), calls.size()), -EINVAL);
        EXPECT_EQ(skua_parallel_invoke(nullptr, 1), -EINVAL);
        EXPECT_EQ(made, 0);
    });
}

TEST_F(ParallelInvoke, OfACancelledTaskMakesNone)
{
    runInTask([] {
        std::atomic<int> made{0};
        std::vector<skua_call> calls(100, callOf(count, &made));
        EXPECT_EQ(skua_cancel(skua_self()), 0);
        EXPECT_EQ(skua_parallel_invoke(calls.data(), calls.size()), -ECANCELED);
        EXPECT_EQ(made, 0);
        for (const skua_call &call : calls)
            EXPECT_EQ(call.result, -ECANCELED);
        EXPECT_EQ(skua_parallel_invoke(nullptr, 0), 0);
    });
}

/* Counts, and cancels the task that has made the calls with the third. */
struct Canceller {
    std::atomic<int> made{0};
    skua_future *task = skua_self();
};

intptr_t countAndCancel(void *arg)
{
    Canceller *canceller = static_cast<Canceller *>(arg);
    if (++canceller->made == 3)
        skua_cancel(canceller->task);
    return 1;
}

TEST_F(ParallelInvoke, LeavesOutTheRestAfterACancel)
{
    runInTask(
        [] {
            Canceller canceller;
            std::vector<skua_call> calls(100, callOf(countAndCancel, &canceller));
            EXPECT_EQ(skua_parallel_invoke(calls.data(), calls.size()), -ECANCELED);
            EXPECT_EQ(canceller.made, 3);
            int done = 0;
            for (const skua_call &call : calls) {
                EXPECT_TRUE(call.result == 1 || call.result == -ECANCELED);
                done += call.result == 1;
            }
            EXPECT_EQ(done, 3);
        },
        1);
}

TEST_F(ParallelInvoke, MayBeCancelledAtAnyTime)
{
    runInTask(
        [] {
            for (int i = 0; i < 300; i++) {
                std::atomic<int> made{0};
                auto fn = [](void *arg) -> intptr_t { return count(arg) >= 0; };
                std::vector<skua_call> calls(2000, callOf(fn, &made));
                auto body = [&]() -> intptr_t {
                    return skua_parallel_invoke(calls.data(), calls.size());
                };
                skua_future *future = spawnBody(body);
                for (int k = 0; k < i % 10; k++)
                    skua_yield();
                skua_cancel(future);
                intptr_t rc = skua_await(future);
                int done = 0;
                for (const skua_call &call : calls)
                    done += call.result == 1;
                EXPECT_EQ(done, made);
                EXPECT_EQ(done == 2000, rc == 0);
            }
        },
        4);
}

/* Waits until two calls have been in here at the same time, or the deadline has passed. */
struct Meeting {
    std::atomic<int> inside{0};
    std::atomic<bool> met{false};
    uint64_t deadline = skua_after(5 * SKUA_NS_PER_SEC);
};

intptr_t meet(void *arg)
{
    Meeting *meeting = static_cast<Meeting *>(arg);
    if (++meeting->inside > 1)
        meeting->met = true;
    while (!meeting->met && skua_now() < meeting->deadline)
        skua_yield();
    meeting->inside--;
    return 0;
}

TEST_F(ParallelInvoke, LetsCallsWaitAtTheSameTime)
{
    for (unsigned workers : {1u, 2u}) {
        runInTask(
            [] {
                Meeting meeting;
                std::vector<skua_call> calls(10, callOf(meet, &meeting));
                EXPECT_EQ(skua_parallel_invoke(calls.data(), calls.size()), 0);
                EXPECT_TRUE(meeting.met);
            },
            workers);
    }
}

TEST_P(ParallelInvokeAnywhere, MayBeNested)
{
    runIn(GetParam(), [] {
        std::atomic<int> made{0};
        auto outer = [](void *arg) -> intptr_t {
            std::vector<skua_call> calls(20, callOf(count, arg));
            return skua_parallel_invoke(calls.data(), calls.size());
        };
        std::vector<skua_call> calls(30, callOf(outer, &made));
        EXPECT_EQ(skua_parallel_invoke(calls.data(), calls.size()), 0);
        EXPECT_EQ(made, 30 * 20);
        for (const skua_call &call : calls)
            EXPECT_EQ(call.result, 0);
    });
}

} // namespace
