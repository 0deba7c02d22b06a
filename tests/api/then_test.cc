/*
 * Tests skua_future_then() and skua_future_shield(): what runs when a future is done, without a
 * stack until then; cancelled, stopped, raced in every way.
 */
#include "support/fd_guard.h"
#include "support/hang_guard.h"
#include "support/runtime_kit.h"

#include <atomic>
#include <string>
#include <thread>
#include <vector>

using namespace skua_test;

namespace
{

class Then : public testing::Test
{
  protected:
    FdGuard fds_;
    HangGuard hang_;
};

std::atomic<int> g_calls{0};

intptr_t addArg(intptr_t value, void *arg)
{
    g_calls++;
    return value + reinterpret_cast<intptr_t>(arg);
}

intptr_t asIs(intptr_t value, void *)
{
    g_calls++;
    return value;
}

intptr_t negated(intptr_t value, void *)
{
    return -value;
}

intptr_t number(void *arg)
{
    return reinterpret_cast<intptr_t>(arg);
}

void *pointer(intptr_t value)
{
    return reinterpret_cast<void *>(value);
}

TEST_F(Then, RunsWithTheResultWhenTheFutureIsDone)
{
    runInTask([] {
        g_calls = 0;
        Promise source;
        skua_future *then = skua_future_then(source.future, addArg, pointer(10));
        for (int i = 0; i < 5; i++)
            EXPECT_EQ(skua_yield(), 0);
        EXPECT_EQ(g_calls, 0);
        EXPECT_EQ(skua_future_peek(then, nullptr), -EAGAIN);
        EXPECT_EQ(skua_promise_set(source.promise, 5), 0);
        EXPECT_EQ(skua_await(then), 15);
        EXPECT_EQ(g_calls, 1);
        skua_promise_unref(source.promise);
    });
}

TEST_F(Then, RunsForAFutureThatIsDoneAlready)
{
    runInTask([] {
        Promise source;
        EXPECT_EQ(skua_promise_set(source.promise, 5), 0);
        EXPECT_EQ(skua_await(skua_future_then(source.future, addArg, pointer(1))), 6);
        skua_promise_unref(source.promise);
        skua_future *failed = skua_spawn(nullptr, nullptr);
        EXPECT_EQ(skua_await(skua_future_then(failed, negated, nullptr)), EINVAL);
    });
}

TEST_F(Then, ErrorsAreResultsAndCountAsRead)
{
    std::atomic<int> failures{0};
    skua_options options = testOptions();
    options.on_failure = [](const skua_failure *, void *arg) {
        ++*static_cast<std::atomic<int> *>(arg);
    };
    options.on_failure_arg = &failures;
    Runtime runtime(options);
    runtime.run([]() -> intptr_t {
        Promise source;
        skua_future *then = skua_future_then(source.future, negated, nullptr);
        EXPECT_EQ(skua_promise_set(source.promise, -EIO), 0);
        EXPECT_EQ(skua_await(then), EIO);
        skua_promise_unref(source.promise);
        skua_future *task = skua_spawn(number, pointer(-EPIPE));
        EXPECT_EQ(skua_await(skua_future_then(task, negated, nullptr)), EPIPE);
        return 0;
    });
    EXPECT_EQ(runtime.stop(SKUA_STOP_DRAIN), 0);
    EXPECT_EQ(failures, 0);
}

TEST_F(Then, FollowsTasksJobsAndChains)
{
    for (unsigned workers : {1u, 3u})
        runInTask(
            [] {
                skua_future *chain = skua_spawn(number, pointer(1));
                for (int i = 0; i < 1000; i++)
                    chain = skua_future_then(chain, addArg, pointer(1));
                EXPECT_EQ(skua_await(chain), 1001);
                skua_future *job = skua_run_in_executor(nullptr, number, pointer(1));
                EXPECT_EQ(skua_await(skua_future_then(job, addArg, pointer(2))), 3);
            },
            workers);
}

TEST_F(Then, ManyMayFollowOneFuture)
{
    runInTask(
        [] {
            Promise source;
            std::vector<skua_future *> all;
            for (intptr_t i = 0; i < 500; i++)
                all.push_back(skua_future_then(skua_future_ref(source.future), addArg, pointer(i)));
            std::thread setter([&] { EXPECT_EQ(skua_promise_set(source.promise, 7), 0); });
            for (intptr_t i = 0; i < 500; i++)
                EXPECT_EQ(skua_await(all[static_cast<size_t>(i)]), 7 + i);
            setter.join();
            skua_promise_unref(source.promise);
            skua_future_unref(source.future);
        },
        3);
}

TEST_F(Then, ACancelBeforeItRunsLeavesTheSourceAlone)
{
    runInTask([] {
        g_calls = 0;
        Promise source;
        skua_future *then = skua_future_then(skua_future_ref(source.future), asIs, nullptr);
        skua_future *other = skua_future_then(skua_future_ref(source.future), asIs, nullptr);
        EXPECT_EQ(skua_cancel(then), 0);
        EXPECT_EQ(skua_cancel(then), -EALREADY);
        EXPECT_EQ(skua_await(then), -ECANCELED);
        EXPECT_EQ(skua_future_peek(source.future, nullptr), -EAGAIN);
        EXPECT_EQ(skua_promise_set(source.promise, 5), 0);
        EXPECT_EQ(skua_await(other), 5);
        EXPECT_EQ(g_calls, 1);
        skua_promise_unref(source.promise);
        skua_future_unref(source.future);
    });
}

/* Each takes the object of the one before: its place at the source must have been given back. */
TEST_F(Then, CancelledFollowersLeaveNothingAtTheSource)
{
    runInTask(
        [] {
            Promise source;
            for (int i = 0; i < 100; i++) {
                skua_future *then = skua_future_then(skua_future_ref(source.future), asIs, nullptr);
                EXPECT_EQ(skua_cancel(then), 0);
                skua_future_unref(then);
            }
            skua_future *last = skua_future_then(skua_future_ref(source.future), asIs, nullptr);
            EXPECT_EQ(skua_promise_set(source.promise, 5), 0);
            EXPECT_EQ(skua_await(last), 5);
            skua_promise_unref(source.promise);
            skua_future_unref(source.future);
        },
        1);
}

TEST_F(Then, ACancelAfterTheSourceIsDoneStopsTheCall)
{
    Promise source; /* of no runtime: the sanitizers see whether it is given back */
    runInTask(
        [&] {
            g_calls = 0;
            skua_future *then = skua_future_then(source.future, asIs, nullptr);
            EXPECT_EQ(skua_promise_set(source.promise, 5), 0);
            skua_promise_unref(source.promise);
            EXPECT_EQ(skua_cancel(then), 0); /* queued: the only worker is here */
            EXPECT_EQ(skua_await(then), -ECANCELED);
            /* Its place in the queue must not be another task's. */
            skua_future *others[3];
            for (intptr_t i = 0; i < 3; i++)
                others[i] = skua_future_then(skua_spawn(number, pointer(i)), asIs, nullptr);
            for (intptr_t i = 0; i < 3; i++)
                EXPECT_EQ(skua_await(others[i]), i);
            EXPECT_EQ(g_calls, 3);
        },
        1);
}

TEST_F(Then, CancellingTheSourceCallsWithTheCancel)
{
    runInTask([] {
        Promise source;
        skua_future *then = skua_future_then(skua_future_ref(source.future), negated, nullptr);
        EXPECT_EQ(skua_cancel(source.future), 0);
        EXPECT_EQ(skua_await(then), ECANCELED);
        skua_promise_unref(source.promise);
        skua_future_unref(source.future);
    });
}

TEST_F(Then, ACancelledAwaitCancelsIt)
{
    runInTask([] {
        Promise source;
        skua_future *then = skua_future_then(source.future, asIs, nullptr);
        auto body = [&]() -> intptr_t { return skua_await(then); };
        skua_future *waiting = spawnNamed("waiting", body);
        EXPECT_TRUE(yieldUntilState("waiting", "awaiting"));
        EXPECT_EQ(skua_cancel(waiting), 0);
        EXPECT_EQ(skua_await(waiting), -ECANCELED);
        EXPECT_EQ(skua_promise_set(source.promise, 1), 0);
        skua_promise_unref(source.promise);
    });
}

TEST_F(Then, TheCallMayWait)
{
    runInTask([] {
        Promise source;
        auto sleeps = [](intptr_t value, void *) -> intptr_t {
            return skua_sleep(SKUA_NS_PER_MS) == 0 ? value : -EIO;
        };
        skua_future *then = skua_future_then(source.future, sleeps, nullptr);
        skua_promise_set(source.promise, 4);
        skua_promise_unref(source.promise);
        EXPECT_EQ(skua_await(then), 4);
    });
}

TEST_F(Then, AForeignThreadUsesTheRuntimeBehindTheFuture)
{
    Runtime runtime;
    Promise gate;
    auto body = [&]() -> intptr_t { return skua_await(skua_future_ref(gate.future)); };
    skua_future *then = skua_future_then(submitBody(runtime.get(), body), addArg, pointer(2));
    EXPECT_EQ(skua_future_peek(then, nullptr), -EAGAIN);
    EXPECT_EQ(skua_promise_set(gate.promise, 3), 0);
    EXPECT_EQ(skua_await(then), 5);
    /* A promise made here belongs to no runtime. */
    EXPECT_EQ(skua_await(skua_future_then(gate.future, asIs, nullptr)), -EPERM);
    skua_promise_unref(gate.promise);
}

TEST_F(Then, AFutureOfARuntimeThatHasStoppedIsRefused)
{
    skua_future *future = nullptr;
    {
        Runtime runtime;
        future = skua_submit(runtime.get(), number, pointer(3));
        EXPECT_EQ(runtime.stop(SKUA_STOP_DRAIN), 0);
    }
    EXPECT_EQ(skua_await(skua_future_then(future, asIs, nullptr)), -ESHUTDOWN);
}

TEST_F(Then, RefusesBadArguments)
{
    runInTask([] {
        EXPECT_EQ(skua_await(skua_future_then(nullptr, asIs, nullptr)), -EINVAL);
        EXPECT_EQ(skua_await(skua_future_then(skua_spawn(number, nullptr), nullptr, nullptr)),
                  -EINVAL);
        EXPECT_EQ(skua_await(skua_future_shield(nullptr)), -EINVAL);
    });
    EXPECT_EQ(skua_await(skua_future_then(nullptr, asIs, nullptr)), -EINVAL);
}

TEST_F(Then, IsListedWithWhatItWaitsFor)
{
    runInTask([] {
        Promise source;
        skua_future *then = skua_future_then(source.future, asIs, nullptr);
        skua_task_info tasks[8];
        ssize_t count = skua_runtime_list(skua_runtime_current(), tasks, 8);
        bool found = false;
        for (ssize_t i = 0; i < count; i++)
            found = found || std::string(tasks[i].state) == "awaiting its source";
        EXPECT_TRUE(found);
        skua_promise_set(source.promise, 0);
        skua_promise_unref(source.promise);
        EXPECT_EQ(skua_await(then), 0);
    });
}

TEST_F(Then, AStopWithCancelEndsThoseThatWait)
{
    g_calls = 0;
    Promise gate;
    std::vector<skua_future *> all;
    {
        Runtime runtime;
        auto body = [&]() -> intptr_t {
            for (int i = 0; i < 100; i++)
                all.push_back(skua_future_then(skua_future_ref(gate.future), asIs, nullptr));
            return 0;
        };
        EXPECT_EQ(runtime.run(body), 0);
        EXPECT_EQ(runtime.stop(SKUA_STOP_DRAIN, skua_after(5 * SKUA_NS_PER_MS)), -ETIMEDOUT);
        EXPECT_EQ(runtime.stop(SKUA_STOP_CANCEL), 0);
    }
    EXPECT_EQ(skua_promise_set(gate.promise, 1), 0); /* touches none of them */
    for (skua_future *future : all)
        EXPECT_EQ(skua_await(future), -ECANCELED);
    EXPECT_EQ(g_calls, 0);
    skua_promise_unref(gate.promise);
    skua_future_unref(gate.future);
}

TEST_F(Then, AStopThatDrainsWaitsForTheSource)
{
    g_calls = 0;
    Promise gate;
    Runtime runtime;
    skua_future *then = nullptr;
    auto body = [&]() -> intptr_t {
        then = skua_future_then(gate.future, asIs, nullptr);
        return 0;
    };
    EXPECT_EQ(runtime.run(body), 0);
    std::thread setter([&] {
        poll(nullptr, 0, 3);
        EXPECT_EQ(skua_promise_set(gate.promise, 1), 0);
    });
    EXPECT_EQ(runtime.stop(SKUA_STOP_DRAIN), 0);
    EXPECT_EQ(g_calls, 1);
    EXPECT_EQ(skua_await(then), 1);
    setter.join();
    skua_promise_unref(gate.promise);
}

/*
 * Foreign threads set sources while the runtime stops: what is made ready late runs, or is
 * cancelled, and the thread that makes it ready finds the runtime there.
 */
TEST_F(Then, SourcesThatAreSetWhileTheRuntimeStops)
{
    for (int round = 0; round < 60; round++) {
        const size_t count = 20;
        std::vector<Promise> gates(count);
        std::vector<skua_future *> all;
        Runtime runtime;
        auto body = [&]() -> intptr_t {
            for (Promise &gate : gates)
                all.push_back(skua_future_then(gate.future, asIs, nullptr));
            return 0;
        };
        EXPECT_EQ(runtime.run(body), 0);
        std::thread setter([&] {
            for (Promise &gate : gates)
                EXPECT_EQ(skua_promise_set(gate.promise, 3), 0);
        });
        for (volatile int spin = 0; spin < round * 200; spin = spin + 1) {
        }
        EXPECT_EQ(runtime.stop(SKUA_STOP_CANCEL), 0);
        setter.join();
        for (skua_future *future : all) {
            intptr_t value = skua_await(future);
            EXPECT_TRUE(value == 3 || value == -ECANCELED);
        }
        for (Promise &gate : gates)
            skua_promise_unref(gate.promise);
    }
}

/* A cancel and the source's end meet: one of them wins, and the function is called or is not. */
TEST_F(Then, CancelsThatRaceWithTheSource)
{
    runInTask(
        [] {
            std::atomic<int> called{0};
            auto count = [](intptr_t value, void *arg) -> intptr_t {
                ++*static_cast<std::atomic<int> *>(arg);
                return value;
            };
            int ran = 0;
            for (int round = 0; round < 2000; round++) {
                Promise gate;
                skua_future *then = skua_future_then(gate.future, count, &called);
                std::atomic<bool> go{false};
                auto setter = [&]() -> intptr_t {
                    while (!go)
                        skua_yield();
                    return skua_promise_set(gate.promise, 1);
                };
                skua_future *setting = spawnBody(setter);
                if (round % 4 != 0) {
                    EXPECT_EQ(skua_yield(), 0);
                }
                go = true;
                (void)skua_cancel(then);
                intptr_t value = skua_await(then);
                ran += value == 1;
                EXPECT_TRUE(value == 1 || value == -ECANCELED) << value;
                EXPECT_EQ(skua_await(setting), 0);
                skua_promise_unref(gate.promise);
            }
            EXPECT_EQ(called, ran);
        },
        3);
}

TEST_F(Then, FollowersMadeWhileTheSourceEnds)
{
    std::atomic<skua_promise *> next{nullptr};
    std::atomic<bool> over{false};
    std::thread setter([&] {
        while (!over) {
            skua_promise *promise = next.exchange(nullptr);
            if (promise != nullptr) {
                EXPECT_EQ(skua_promise_set(promise, 1), 0);
                skua_promise_unref(promise);
            } else {
                std::this_thread::yield(); /* others may have to run on this CPU first */
            }
        }
    });
    runInTask(
        [&] {
            for (int round = 0; round < 3000; round++) {
                Promise gate;
                skua_future *all[8];
                next = gate.promise;
                for (intptr_t i = 0; i < 8; i++)
                    all[i] = skua_future_then(skua_future_ref(gate.future), addArg, pointer(i));
                if (round % 3 == 0)
                    (void)skua_cancel(all[2]);
                for (intptr_t i = 0; i < 8; i++) {
                    intptr_t value = skua_await(all[i]);
                    EXPECT_TRUE(value == i + 1 || (i == 2 && value == -ECANCELED));
                }
                skua_future_unref(gate.future);
            }
        },
        1);
    over = true;
    setter.join();
}

/* ---- shield ---------------------------------------------------------------------------------- */

TEST_F(Then, AShieldKeepsACancelFromItsFuture)
{
    runInTask([] {
        Promise inner;
        skua_future *shield = skua_future_shield(skua_future_ref(inner.future));
        EXPECT_EQ(skua_wait_for(shield, SKUA_NS_PER_MS, nullptr), -ETIMEDOUT);
        EXPECT_EQ(skua_future_peek(inner.future, nullptr), -EAGAIN);
        shield = skua_future_shield(skua_future_ref(inner.future));
        EXPECT_EQ(skua_promise_set(inner.promise, 5), 0);
        EXPECT_EQ(skua_await(shield), 5);
        skua_promise_unref(inner.promise);
        EXPECT_EQ(skua_await(skua_future_shield(inner.future)), 5);
    });
}

TEST_F(Then, CancellingTheInnerFutureCancelsTheShield)
{
    runInTask([] {
        Promise inner;
        skua_future *shield = skua_future_shield(skua_future_ref(inner.future));
        EXPECT_EQ(skua_cancel(inner.future), 0);
        EXPECT_EQ(skua_await(shield), -ECANCELED);
        skua_promise_unref(inner.promise);
        skua_future_unref(inner.future);
    });
}

} // namespace
