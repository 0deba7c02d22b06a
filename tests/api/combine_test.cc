/*
 * Tests skua/combine.h on several futures: gather, wait, as_completed, race; and wait_for and the
 * awaited shield on one. What follows a future is tested in then_test.cc, map in map_test.cc.
 */
#include "support/fd_guard.h"
#include "support/hang_guard.h"
#include "support/runtime_kit.h"

#include <atomic>
#include <numeric>
#include <set>
#include <thread>
#include <vector>

using namespace skua_test;

namespace
{

using Futures = std::vector<skua_future *>;

intptr_t number(void *arg)
{
    return reinterpret_cast<intptr_t>(arg);
}

skua_future *spawnNumber(intptr_t value)
{
    return skua_spawn(number, reinterpret_cast<void *>(value));
}

/* Yields some times first, so that it ends after others. */
intptr_t yieldsThenNumber(void *arg)
{
    for (int i = 0; i < 20; i++)
        (void)skua_yield();
    return reinterpret_cast<intptr_t>(arg);
}

std::atomic<int> g_started{0}, g_cancelled{0};

/* Runs until it is cancelled, and says so. */
intptr_t sleepsForEver(void *)
{
    g_started++;
    int rc = skua_sleep_until(SKUA_FOREVER);
    if (rc == -ECANCELED)
        g_cancelled++;
    return rc;
}

/* The same, but then it has a result after all. */
intptr_t stubborn(void *)
{
    g_started++;
    EXPECT_EQ(skua_sleep_until(SKUA_FOREVER), -ECANCELED);
    return 77;
}

/* From anywhere: waits until @count of the two above have started. A task that has not never does,
 * if it is cancelled. */
void waitUntilStarted(int count)
{
    while (g_started < count)
        ASSERT_EQ(skua_sleep(100 * SKUA_NS_PER_US), 0);
}

/* Several promises, set by the test. */
struct Promises {
    std::vector<Promise> all;
    Futures futures;

    explicit Promises(size_t count) : all(count)
    {
        for (Promise &one : all)
            futures.push_back(one.future);
    }

    void set(size_t index, intptr_t value)
    {
        EXPECT_EQ(skua_promise_set(all[index].promise, value), 0);
    }

    /* Futures: where they have not been consumed. */
    void drop(bool futures_too)
    {
        for (Promise &one : all) {
            if (futures_too)
                (void)skua_cancel(one.future); /* so that nothing is reported */
            skua_promise_unref(one.promise);
            if (futures_too)
                skua_future_unref(one.future);
        }
    }
};

class Combine : public testing::Test
{
  protected:
    void SetUp() override
    {
        g_started = 0;
        g_cancelled = 0;
    }

    FdGuard fds_;
    HangGuard hang_;
};

/* ---- gather ---------------------------------------------------------------------------------- */

TEST_F(Combine, GatherGivesResultsInTheOrderOfTheArgumentsFromEverywhere)
{
    for (Where where : {Where::task, Where::executor, Where::foreignThread})
        for (size_t count : {1, 5, 16, 17, 300})
            runIn(where, [=] {
                Promises promises(count);
                std::thread setter([&] {
                    for (size_t i = count; i-- > 0;)
                        promises.set(i, static_cast<intptr_t>(i));
                });
                std::vector<intptr_t> results(count, kNoResult);
                EXPECT_EQ(skua_gather(promises.futures.data(), count, 0, results.data()), 0);
                for (size_t i = 0; i < count; i++)
                    EXPECT_EQ(results[i], static_cast<intptr_t>(i));
                setter.join();
                promises.drop(false);
            });
}

TEST_F(Combine, GatherOfTasksOnSeveralWorkers)
{
    for (unsigned workers : {1u, 3u})
        runInTask(
            [] {
                Futures futures;
                for (intptr_t i = 0; i < 1000; i++)
                    futures.push_back(i % 7 == 0 ? skua_spawn(yieldsThenNumber, (void *)i)
                                                 : spawnNumber(i));
                std::vector<intptr_t> results(1000);
                EXPECT_EQ(skua_gather(futures.data(), 1000, 0, results.data()), 0);
                for (intptr_t i = 0; i < 1000; i++)
                    EXPECT_EQ(results[static_cast<size_t>(i)], i);
            },
            workers);
}

TEST_F(Combine, GatherOfNothingIsDone)
{
    runInTask([] {
        EXPECT_EQ(skua_gather(nullptr, 0, 0, nullptr), 0);
        EXPECT_EQ(skua_gather(nullptr, 0, SKUA_GATHER_COLLECT, nullptr), 0);
        skua_future *none[1] = {};
        EXPECT_EQ(skua_gather(none, 0, 0, nullptr), 0);
    });
}

TEST_F(Combine, GatherRefusesBadArguments)
{
    runInTask([] {
        intptr_t result = kNoResult;
        EXPECT_EQ(skua_gather(nullptr, 1, 0, &result), -EINVAL);
        EXPECT_EQ(skua_gather(nullptr, 0, 8, &result), -EINVAL);
        skua_future *one = spawnNumber(1);
        EXPECT_EQ(skua_gather(&one, 1, SKUA_GATHER_CANCEL | SKUA_GATHER_COLLECT, &result), -EINVAL);
        EXPECT_EQ(result, kNoResult);
    });
}

TEST_F(Combine, GatherTakesNullAndItselfForFailures)
{
    runInTask([] {
        skua_future *futures[3] = {nullptr, spawnNumber(4), skua_future_ref(skua_self())};
        intptr_t results[3] = {kNoResult, kNoResult, kNoResult};
        EXPECT_EQ(skua_gather(futures, 3, SKUA_GATHER_COLLECT, results), 2);
        EXPECT_EQ(results[0], -EINVAL);
        EXPECT_EQ(results[1], 4);
        EXPECT_EQ(results[2], -EDEADLK);
        skua_future *other[2] = {spawnNumber(5), nullptr};
        EXPECT_EQ(skua_gather(other, 2, 0, results), -EINVAL);
    });
}

TEST_F(Combine, GatherReturnsTheFirstErrorAndTheOthersGoOn)
{
    runInTask([] {
        Promises promises(3);
        auto body = [&]() -> intptr_t { return skua_await(promises.futures[0]); };
        skua_future *other = spawnBody(body);
        skua_future *futures[3] = {skua_future_ref(other), promises.futures[1],
                                   promises.futures[2]};
        intptr_t results[3] = {kNoResult, kNoResult, kNoResult};
        promises.set(2, -EIO);
        EXPECT_EQ(skua_gather(futures, 3, 0, results), -EIO);
        EXPECT_EQ(results[2], kNoResult);
        promises.set(0, 8);
        EXPECT_EQ(skua_await(other), 8);
        promises.drop(false);
    });
}

TEST_F(Combine, TheFirstErrorIsFirstInTime)
{
    runInTask([] {
        Promises promises(3);
        auto body = [&]() -> intptr_t {
            return skua_gather(promises.futures.data(), 3, 0, nullptr);
        };
        skua_future *gathering = spawnNamed("gathering", body);
        EXPECT_TRUE(yieldUntilState("gathering", "awaiting"));
        promises.set(1, 3);
        promises.set(2, -EPIPE);
        promises.set(0, -EIO);
        EXPECT_EQ(skua_await(gathering), -EPIPE);
        promises.drop(false);
    });
}

TEST_F(Combine, GatherMayCancelTheOthersAndWaitsForTheirEnd)
{
    runInTask(
        [] {
            Futures futures;
            for (int i = 0; i < 20; i++)
                futures.push_back(skua_spawn(sleepsForEver, nullptr));
            waitUntilStarted(20);
            futures.push_back(spawnNumber(-EIO));
            EXPECT_EQ(skua_gather(futures.data(), futures.size(), SKUA_GATHER_CANCEL, nullptr),
                      -EIO);
            EXPECT_EQ(g_cancelled, 20);
        },
        1);
}

TEST_F(Combine, GatherMayCollectAllErrors)
{
    runInTask([] {
        skua_future *futures[4] = {spawnNumber(-EIO), spawnNumber(2), spawnNumber(-EPIPE),
                                   skua_spawn(yieldsThenNumber, reinterpret_cast<void *>(4))};
        intptr_t results[4] = {};
        EXPECT_EQ(skua_gather(futures, 4, SKUA_GATHER_COLLECT, results), 2);
        EXPECT_EQ(results[0], -EIO);
        EXPECT_EQ(results[1], 2);
        EXPECT_EQ(results[2], -EPIPE);
        EXPECT_EQ(results[3], 4);
    });
}

TEST_F(Combine, ACancelledChildIsAnErrorOfGather)
{
    runInTask([] {
        skua_future *victim = skua_spawn(sleepsForEver, nullptr);
        skua_future *futures[2] = {skua_future_ref(victim), spawnNumber(1)};
        EXPECT_EQ(skua_cancel(victim), 0);
        EXPECT_EQ(skua_gather(futures, 2, 0, nullptr), -ECANCELED);
        EXPECT_FALSE(skua_cancelled());
        EXPECT_EQ(skua_await(victim), -ECANCELED);
    });
}

TEST_F(Combine, ACancelledGatherCancelsItsChildrenAndWaitsForThem)
{
    runInTask(
        [] {
            intptr_t result = kNoResult;
            auto body = [&]() -> intptr_t {
                Futures futures;
                for (int i = 0; i < 30; i++)
                    futures.push_back(skua_spawn(sleepsForEver, nullptr));
                std::vector<intptr_t> results(30, kNoResult);
                result = skua_gather(futures.data(), 30, 0, results.data());
                EXPECT_EQ(results[0], kNoResult);
                return 0;
            };
            skua_future *gathering = spawnNamed("gathering", body);
            EXPECT_TRUE(yieldUntilState("gathering", "awaiting"));
            waitUntilStarted(30);
            EXPECT_EQ(skua_cancel(gathering), 0);
            EXPECT_EQ(skua_await(gathering), 0);
            EXPECT_EQ(result, -ECANCELED);
            EXPECT_EQ(g_cancelled, 30);
        },
        1);
}

TEST_F(Combine, ResultsThatAreThereBeatACancelOfGather)
{
    runInTask([] {
        auto body = [&]() -> intptr_t {
            EXPECT_EQ(skua_cancel(skua_self()), 0);
            Promises promises(2);
            promises.set(0, 1);
            promises.set(1, 2);
            intptr_t rc = skua_gather(promises.futures.data(), 2, 0, nullptr);
            promises.drop(false);
            return rc;
        };
        EXPECT_EQ(skua_await(spawnBody(body)), 0);
    });
}

TEST_F(Combine, TheSameFutureMayBeGatheredTwice)
{
    runInTask([] {
        Promises promises(1);
        Futures futures;
        for (int i = 0; i < 100; i++)
            futures.push_back(skua_future_ref(promises.futures[0]));
        auto setter = [&]() -> intptr_t {
            promises.set(0, 6);
            return 0;
        };
        skua_future *setting = spawnBody(setter);
        std::vector<intptr_t> results(100);
        EXPECT_EQ(skua_gather(futures.data(), 100, 0, results.data()), 0);
        EXPECT_EQ(std::accumulate(results.begin(), results.end(), intptr_t{0}), 600);
        EXPECT_EQ(skua_await(setting), 0);
        promises.drop(true);
    });
}

/* ---- wait ------------------------------------------------------------------------------------ */

TEST_F(Combine, WaitForAllTellsWhichAreDoneAtTheDeadline)
{
    for (Where where : {Where::task, Where::executor, Where::foreignThread})
        runIn(where, [] {
            Promises promises(20);
            for (size_t i = 0; i < 20; i += 2)
                promises.set(i, 1);
            bool done[20];
            uint64_t deadline = skua_after(2 * SKUA_NS_PER_MS);
            EXPECT_EQ(skua_wait(promises.futures.data(), 20, SKUA_ALL_COMPLETED, deadline, done),
                      10);
            EXPECT_GE(skua_now(), deadline);
            for (size_t i = 0; i < 20; i++)
                EXPECT_EQ(done[i], i % 2 == 0);
            for (size_t i = 1; i < 20; i += 2)
                promises.set(i, 1);
            EXPECT_EQ(skua_wait(promises.futures.data(), 20, SKUA_ALL_COMPLETED, 0, nullptr), 20);
            promises.drop(true);
        });
}

TEST_F(Combine, WaitForTheFirstReturnsWithTheFirst)
{
    for (size_t count : {1, 16, 500})
        runInTask([=] {
            Promises promises(count);
            auto setter = [&]() -> intptr_t {
                promises.set(count / 2, 5);
                return 0;
            };
            skua_future *setting = spawnBody(setter);
            std::vector<char> done(count, 2);
            ssize_t n = skua_wait(promises.futures.data(), count, SKUA_FIRST_COMPLETED,
                                  SKUA_FOREVER, reinterpret_cast<bool *>(done.data()));
            EXPECT_EQ(n, 1);
            for (size_t i = 0; i < count; i++)
                EXPECT_EQ(done[i], i == count / 2);
            intptr_t result = kNoResult;
            EXPECT_EQ(skua_future_peek(promises.futures[count / 2], &result), 0);
            EXPECT_EQ(result, 5);
            EXPECT_EQ(skua_await(setting), 0);
            promises.drop(true);
        });
}

TEST_F(Combine, WaitForTheFirstExceptionDoesNotCountCancelledOnes)
{
    runInTask([] {
        Promises promises(4);
        skua_future **futures = promises.futures.data();
        promises.set(0, 5);
        EXPECT_EQ(skua_cancel(futures[1]), 0);
        EXPECT_EQ(skua_wait(futures, 4, SKUA_FIRST_EXCEPTION, 0, nullptr), 2);
        bool done[4];
        auto setter = [&]() -> intptr_t {
            promises.set(3, -EIO);
            return 0;
        };
        skua_future *setting = spawnBody(setter);
        EXPECT_EQ(skua_wait(futures, 4, SKUA_FIRST_EXCEPTION, SKUA_FOREVER, done), 3);
        EXPECT_FALSE(done[2]);
        EXPECT_EQ(skua_future_peek(futures[3], nullptr), 0);
        EXPECT_EQ(skua_await(setting), 0);
        promises.set(2, 1);
        EXPECT_EQ(skua_wait(futures, 3, SKUA_FIRST_EXCEPTION, SKUA_FOREVER, nullptr), 3);
        promises.drop(true);
    });
}

TEST_F(Combine, ACancelledWaitLeavesTheFuturesAlone)
{
    runInTask([] {
        Promises promises(3);
        bool done[3] = {true, true, true};
        auto body = [&]() -> intptr_t {
            return skua_wait(promises.futures.data(), 3, SKUA_ALL_COMPLETED, SKUA_FOREVER, done);
        };
        skua_future *waiting = spawnNamed("waiting", body);
        EXPECT_TRUE(yieldUntilState("waiting", "awaiting"));
        promises.set(0, 1);
        EXPECT_EQ(skua_cancel(waiting), 0);
        EXPECT_EQ(skua_await(waiting), -ECANCELED);
        EXPECT_TRUE(done[1]);
        EXPECT_EQ(skua_future_peek(promises.futures[1], nullptr), -EAGAIN);
        promises.set(1, 1);
        promises.set(2, 1);
        promises.drop(true);
    });
}

TEST_F(Combine, WaitRefusesBadArguments)
{
    runInTask([] {
        skua_future *futures[2] = {spawnNumber(1), nullptr};
        EXPECT_EQ(skua_wait(nullptr, 1, SKUA_ALL_COMPLETED, 0, nullptr), -EINVAL);
        EXPECT_EQ(skua_wait(futures, 0, SKUA_ALL_COMPLETED, 0, nullptr), -EINVAL);
        EXPECT_EQ(skua_wait(futures, 2, SKUA_ALL_COMPLETED, 0, nullptr), -EINVAL);
        EXPECT_EQ(skua_wait(futures, 1, static_cast<skua_wait_when>(9), 0, nullptr), -EINVAL);
        futures[1] = skua_self();
        EXPECT_EQ(skua_wait(futures, 2, SKUA_FIRST_COMPLETED, 0, nullptr), -EDEADLK);
        EXPECT_EQ(skua_await(futures[0]), 1);
    });
}

/* ---- as_completed ---------------------------------------------------------------------------- */

TEST_F(Combine, AsCompletedFollowsTheOrderInTime)
{
    for (Where where : {Where::task, Where::executor, Where::foreignThread})
        for (size_t count : {3, 40})
            runIn(where, [=] {
                Promises promises(count);
                promises.set(2, 2);
                skua_as_completed *iterator = nullptr;
                ASSERT_EQ(skua_as_completed_open(&iterator, promises.futures.data(), count), 0);
                EXPECT_EQ(skua_as_completed_next(iterator, SKUA_FOREVER), 2);
                EXPECT_EQ(skua_as_completed_next(iterator, 0), -ETIMEDOUT);
                EXPECT_EQ(skua_as_completed_next(iterator, skua_after(1000)), -ETIMEDOUT);
                promises.set(1, 1);
                promises.set(0, 0);
                EXPECT_EQ(skua_as_completed_next(iterator, SKUA_FOREVER), 1);
                EXPECT_EQ(skua_as_completed_next(iterator, SKUA_FOREVER), 0);
                for (size_t i = count; i-- > 3;) {
                    promises.set(i, 0);
                    EXPECT_EQ(skua_as_completed_next(iterator, 0), static_cast<ssize_t>(i));
                }
                EXPECT_EQ(skua_as_completed_next(iterator, SKUA_FOREVER), -EALREADY);
                skua_as_completed_close(iterator);
                promises.drop(true);
            });
}

TEST_F(Combine, AsCompletedLetsFuturesGoAsItReturnsThem)
{
    runInTask(
        [] {
            const size_t count = 2000;
            Futures futures;
            for (size_t i = 0; i < count; i++)
                futures.push_back(spawnNumber(static_cast<intptr_t>(i)));
            skua_as_completed *iterator = nullptr;
            ASSERT_EQ(skua_as_completed_open(&iterator, futures.data(), count), 0);
            std::set<intptr_t> seen;
            for (size_t i = 0; i < count; i++) {
                ssize_t index = skua_as_completed_next(iterator, SKUA_FOREVER);
                ASSERT_GE(index, 0);
                intptr_t result = kNoResult;
                EXPECT_EQ(skua_future_take(futures[static_cast<size_t>(index)], &result), 0);
                EXPECT_EQ(result, index);
                seen.insert(result);
            }
            EXPECT_EQ(seen.size(), count);
            skua_as_completed_close(iterator);
        },
        3);
}

TEST_F(Combine, AsCompletedMayBeClosedEarly)
{
    runInTask(
        [] {
            for (int round = 0; round < 100; round++) {
                Futures futures;
                for (intptr_t i = 0; i < 30; i++)
                    futures.push_back(skua_spawn(yieldsThenNumber, (void *)i));
                skua_as_completed *iterator = nullptr;
                ASSERT_EQ(skua_as_completed_open(&iterator, futures.data(), 30), 0);
                for (int i = 0; i < round % 30; i++)
                    EXPECT_GE(skua_as_completed_next(iterator, SKUA_FOREVER), 0);
                skua_as_completed_close(iterator);
                for (skua_future *future : futures)
                    EXPECT_GE(skua_await(future), 0);
            }
        },
        3);
}

TEST_F(Combine, ACancelledNextReturnsWhatIsDoneFirst)
{
    runInTask([] {
        Promises promises(2);
        auto body = [&]() -> intptr_t {
            EXPECT_EQ(skua_cancel(skua_self()), 0);
            skua_as_completed *iterator = nullptr;
            EXPECT_EQ(skua_as_completed_open(&iterator, promises.futures.data(), 2), 0);
            promises.set(1, 0);
            EXPECT_EQ(skua_as_completed_next(iterator, SKUA_FOREVER), 1);
            EXPECT_EQ(skua_as_completed_next(iterator, SKUA_FOREVER), -ECANCELED);
            EXPECT_EQ(skua_as_completed_next(iterator, 0), -ECANCELED);
            promises.set(0, 0);
            EXPECT_EQ(skua_as_completed_next(iterator, SKUA_FOREVER), 0);
            skua_as_completed_close(iterator);
            return 0;
        };
        EXPECT_EQ(skua_await(spawnBody(body)), 0);
        promises.drop(true);
    });
}

TEST_F(Combine, WhatNextReturnsIsDoneHoweverManyElseAreToBeTold)
{
    runInTask(
        [] {
            auto nothing = [](intptr_t value, void *) -> intptr_t { return value; };
            for (int round = 0; round < 20; round++) {
                Promises promises(1);
                Futures others;
                for (int i = 0; i < 300; i++)
                    others.push_back(
                        skua_future_then(skua_future_ref(promises.futures[0]), nothing, nullptr));
                skua_as_completed *iterator = nullptr;
                ASSERT_EQ(skua_as_completed_open(&iterator, promises.futures.data(), 1), 0);
                std::thread setter([&] { promises.set(0, 5); });
                while (skua_as_completed_next(iterator, 0) == -ETIMEDOUT) {
                }
                EXPECT_EQ(skua_future_peek(promises.futures[0], nullptr), 0);
                skua_as_completed_close(iterator);
                setter.join();
                EXPECT_EQ(skua_gather(others.data(), others.size(), 0, nullptr), 0);
                promises.drop(true);
            }
        },
        1);
}

/* What ends after a wait of the same task has timed out must not end its next wait. */
TEST_F(Combine, ANextThatHasTimedOutIsOver)
{
    runInTask([] {
        Promises promises(2);
        skua_as_completed *iterator = nullptr;
        ASSERT_EQ(skua_as_completed_open(&iterator, promises.futures.data(), 2), 0);
        EXPECT_EQ(skua_as_completed_next(iterator, skua_after(1000)), -ETIMEDOUT);
        auto body = [&]() -> intptr_t {
            promises.set(1, 1);
            return 0;
        };
        skua_future *setting = spawnBody(body);
        EXPECT_EQ(skua_park(skua_after(3 * SKUA_NS_PER_MS)), -ETIMEDOUT);
        EXPECT_EQ(skua_await(setting), 0); /* on a machine that is busy it may not have run yet */
        EXPECT_EQ(skua_as_completed_next(iterator, 0), 1);
        skua_as_completed_close(iterator);
        promises.drop(true);
    });
}

TEST_F(Combine, CompletionsThatRaceWithTheDeadlineEndNoLaterWait)
{
    std::atomic<uint64_t> at{0};
    std::atomic<skua_promise *> next{nullptr};
    std::atomic<bool> over{false};
    std::thread setter([&] {
        while (!over) {
            skua_promise *promise = next.exchange(nullptr);
            if (promise == nullptr)
                continue;
            while (skua_now() < at) {
            }
            EXPECT_EQ(skua_promise_set(promise, 1), 0);
            skua_promise_unref(promise);
        }
    });
    runInTask(
        [&] {
            auto busy = [&]() -> intptr_t { /* the worker never sleeps: the timers are punctual */
                                            while (!over)
                                                skua_yield();
                                            return 0;
            };
            skua_future *yielding = spawnBody(busy);
            for (uint64_t round = 0; round < 300; round++) {
                Promise one;
                skua_as_completed *iterator = nullptr;
                ASSERT_EQ(skua_as_completed_open(&iterator, &one.future, 1), 0);
                uint64_t deadline = skua_after(20 * SKUA_NS_PER_US);
                at = deadline - 5 * SKUA_NS_PER_US + round % 80 * 100;
                next = one.promise;
                ssize_t rc = skua_as_completed_next(iterator, deadline);
                EXPECT_TRUE(rc == 0 || rc == -ETIMEDOUT);
                EXPECT_EQ(skua_park(skua_after(20 * SKUA_NS_PER_US)), -ETIMEDOUT);
                skua_as_completed_close(iterator);
                EXPECT_EQ(skua_await(one.future), 1);
            }
            over = true;
            EXPECT_EQ(skua_await(yielding), 0);
        },
        1);
    setter.join();
}

TEST_F(Combine, AsCompletedRefusesBadArguments)
{
    runInTask([] {
        skua_as_completed *iterator = nullptr;
        skua_future *futures[2] = {nullptr, skua_self()};
        EXPECT_EQ(skua_as_completed_open(nullptr, futures, 0), -EINVAL);
        EXPECT_EQ(skua_as_completed_open(&iterator, nullptr, 1), -EINVAL);
        EXPECT_EQ(skua_as_completed_open(&iterator, futures, 1), -EINVAL);
        EXPECT_EQ(skua_as_completed_open(&iterator, futures + 1, 1), -EDEADLK);
        EXPECT_EQ(iterator, nullptr);
        EXPECT_EQ(skua_as_completed_next(nullptr, 0), -EINVAL);
        skua_as_completed_close(nullptr);
        EXPECT_EQ(skua_as_completed_open(&iterator, nullptr, 0), 0);
        EXPECT_EQ(skua_as_completed_next(iterator, SKUA_FOREVER), -EALREADY);
        skua_as_completed_close(iterator);
    });
}

/* ---- race ------------------------------------------------------------------------------------ */

TEST_F(Combine, RaceCancelsTheLosersAndWaitsForThem)
{
    runInTask(
        [] {
            Futures futures;
            for (int i = 0; i < 20; i++)
                futures.push_back(skua_spawn(sleepsForEver, nullptr));
            futures[13] = (skua_future_unref(futures[13]), skua_spawn(yieldsThenNumber, (void *)9));
            intptr_t result = kNoResult;
            EXPECT_EQ(skua_race(futures.data(), futures.size(), &result), 13);
            EXPECT_EQ(result, 9);
            EXPECT_EQ(g_cancelled, 19);
        },
        1);
}

TEST_F(Combine, RaceIsWonByAnErrorTooAndByTheFirstThatIsDone)
{
    runInTask([] {
        Promises promises(3);
        promises.set(2, 5);
        promises.set(1, -EIO);
        intptr_t result = kNoResult;
        EXPECT_EQ(skua_race(promises.futures.data(), 3, &result), 1);
        EXPECT_EQ(result, -EIO);
        EXPECT_EQ(skua_promise_set(promises.all[0].promise, 1), -EALREADY); /* cancelled */
        promises.drop(false);
    });
}

TEST_F(Combine, ACancelledRaceCancelsAll)
{
    runInTask(
        [] {
            intptr_t result = kNoResult;
            auto body = [&]() -> intptr_t {
                skua_future *futures[2] = {skua_spawn(sleepsForEver, nullptr),
                                           skua_spawn(sleepsForEver, nullptr)};
                return skua_race(futures, 2, &result);
            };
            skua_future *racing = spawnNamed("racing", body);
            EXPECT_TRUE(yieldUntilState("racing", "awaiting"));
            waitUntilStarted(2);
            EXPECT_EQ(skua_cancel(racing), 0);
            EXPECT_EQ(skua_await(racing), -ECANCELED);
            EXPECT_EQ(result, kNoResult);
            EXPECT_EQ(g_cancelled, 2);
        },
        1);
}

TEST_F(Combine, RaceRefusesBadArguments)
{
    runInTask([] {
        EXPECT_EQ(skua_race(nullptr, 1, nullptr), -EINVAL);
        skua_future *futures[2] = {skua_spawn(sleepsForEver, nullptr), nullptr};
        EXPECT_EQ(skua_race(futures, 0, nullptr), -EINVAL);
        EXPECT_EQ(skua_race(futures, 2, nullptr), -EINVAL);
        skua_future *others[2] = {skua_spawn(sleepsForEver, nullptr), skua_future_ref(skua_self())};
        EXPECT_EQ(skua_race(others, 2, nullptr), -EDEADLK);
    });
}

/* ---- wait_for, shield ------------------------------------------------------------------------ */

TEST_F(Combine, WaitForCancelsAtTheTimeoutAndWaitsForTheEnd)
{
    for (Where where : {Where::task, Where::executor})
        runIn(where, [] {
            g_started = 0;
            g_cancelled = 0;
            intptr_t result = kNoResult;
            skua_future *sleeper = skua_spawn(sleepsForEver, nullptr);
            waitUntilStarted(1);
            skua_future *same = skua_future_ref(sleeper);
            EXPECT_EQ(skua_wait_for(sleeper, 5 * SKUA_NS_PER_MS, &result), -ETIMEDOUT);
            EXPECT_EQ(result, kNoResult);
            EXPECT_EQ(skua_future_peek(same, nullptr), 0);
            EXPECT_EQ(g_cancelled, 1);
            skua_future_unref(same);
        });
}

TEST_F(Combine, WaitForGivesAResultThatCameToo)
{
    runInTask([] {
        intptr_t result = kNoResult;
        EXPECT_EQ(skua_wait_for(spawnNumber(4), SKUA_FOREVER, &result), 0);
        EXPECT_EQ(result, 4);
        skua_future *late = skua_spawn(stubborn, nullptr);
        waitUntilStarted(1);
        EXPECT_EQ(skua_wait_for(late, SKUA_NS_PER_MS, &result), 0);
        EXPECT_EQ(result, 77);
        EXPECT_EQ(skua_wait_for(spawnNumber(-EIO), SKUA_NS_PER_SEC, &result), 0);
        EXPECT_EQ(result, -EIO);
    });
}

TEST_F(Combine, WaitForWithoutTimeTakesOnlyWhatIsDone)
{
    runInTask([] {
        Promises promises(2);
        promises.set(0, 3);
        intptr_t result = kNoResult;
        EXPECT_EQ(skua_wait_for(promises.futures[0], 0, &result), 0);
        EXPECT_EQ(result, 3);
        EXPECT_EQ(skua_wait_for(promises.futures[1], 0, &result), -ETIMEDOUT);
        EXPECT_EQ(skua_promise_set(promises.all[1].promise, 1), -EALREADY);
        promises.drop(false);
    });
}

TEST_F(Combine, ACancelledWaitForCancelsTheTask)
{
    runInTask([] {
        skua_future *sleeper = skua_spawn(sleepsForEver, nullptr);
        auto body = [&]() -> intptr_t { return skua_wait_for(sleeper, SKUA_FOREVER, nullptr); };
        skua_future *waiting = spawnNamed("waiting", body);
        EXPECT_TRUE(yieldUntilState("waiting", "awaiting"));
        waitUntilStarted(1);
        EXPECT_EQ(skua_cancel(waiting), 0);
        EXPECT_EQ(skua_await(waiting), -ECANCELED);
        EXPECT_EQ(g_cancelled, 1);
    });
}

TEST_F(Combine, WaitForDoesNotWaitForARunningJob)
{
    runInTask([] {
        std::atomic<bool> go{false}, running{false};
        auto job = [&]() -> intptr_t {
            running = true;
            return pollUntil([&] { return go.load(); }) ? 0 : -EIO;
        };
        skua_future *future = offloadBody(nullptr, job);
        skua_future *same = skua_future_ref(future);
        EXPECT_TRUE(yieldUntil([&] { return running.load(); }));
        EXPECT_EQ(skua_wait_for(future, SKUA_NS_PER_MS, nullptr), -ETIMEDOUT);
        EXPECT_EQ(skua_future_peek(same, nullptr), -EAGAIN);
        go = true;
        EXPECT_EQ(skua_await(same), 0);
    });
}

TEST_F(Combine, WaitForRefusesBadArguments)
{
    runInTask([] {
        EXPECT_EQ(skua_wait_for(nullptr, 0, nullptr), -EINVAL);
        EXPECT_EQ(skua_wait_for(skua_future_ref(skua_self()), 0, nullptr), -EDEADLK);
        EXPECT_EQ(skua_await_shielded(nullptr, nullptr), -EINVAL);
    });
}

TEST_F(Combine, AShieldedAwaitIsCancelledWithoutWhatItAwaits)
{
    runInTask([] {
        Promises promises(1);
        auto body = [&]() -> intptr_t { return skua_await_shielded(promises.futures[0], nullptr); };
        skua_future *waiting = spawnNamed("waiting", body);
        EXPECT_TRUE(yieldUntilState("waiting", "awaiting"));
        EXPECT_EQ(skua_cancel(waiting), 0);
        EXPECT_EQ(skua_await(waiting), -ECANCELED);
        intptr_t result = kNoResult;
        promises.set(0, 6);
        EXPECT_EQ(skua_await_shielded(promises.futures[0], &result), 0);
        EXPECT_EQ(result, 6);
        promises.drop(false);
    });
}

/* ---- all at once ----------------------------------------------------------------------------- */

/* Deadlines and completions meet: whatever is counted as done is done, and nothing is lost. */
TEST_F(Combine, WaitsThatEndAsTheirFuturesDo)
{
    runInTask(
        [] {
            for (int round = 0; round < 300; round++) {
                Futures futures;
                for (intptr_t i = 0; i < 8; i++)
                    futures.push_back(skua_spawn(yieldsThenNumber, (void *)i));
                bool done[8];
                uint64_t deadline = skua_after(static_cast<uint64_t>(round % 30) * 1000);
                ssize_t n = skua_wait(futures.data(), 8,
                                      round % 2 ? SKUA_ALL_COMPLETED : SKUA_FIRST_COMPLETED,
                                      deadline, done);
                ASSERT_GE(n, 0);
                for (size_t i = 0; i < 8; i++) {
                    EXPECT_TRUE(!done[i] || skua_future_peek(futures[i], nullptr) == 0);
                    n -= done[i];
                }
                EXPECT_EQ(n, 0);
                EXPECT_EQ(skua_gather(futures.data(), 8, 0, nullptr), 0);
            }
        },
        3);
}

} // namespace
