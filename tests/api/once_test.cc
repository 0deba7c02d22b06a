/*
 * Tests skua/once.h: one success, failures and who tries again, giving up, threads of all kinds.
 */
#include "support/sync_kit.h"

#include <atomic>

using namespace skua_test;

namespace
{

const char *const kState = "at a once";

class Once : public Sync
{
};

/* Calls @value for @once. */
intptr_t call(skua_once *once, Value &value, uint64_t deadline = SKUA_FOREVER)
{
    return skua_once_call_until(once, callValue<Value>, &value, deadline);
}

TEST_F(Once, RefusesNull)
{
    skua_once once{};
    Value value = [] { return 1; };
    EXPECT_EQ(skua_once_call(nullptr, callValue<Value>, &value), -EINVAL);
    EXPECT_EQ(skua_once_call(&once, nullptr, nullptr), -EINVAL);
    EXPECT_EQ(skua_once_call_until(nullptr, callValue<Value>, &value, 0), -EINVAL);
    EXPECT_EQ(skua_once_call_until(&once, nullptr, nullptr, 0), -EINVAL);
    EXPECT_FALSE(skua_once_done(nullptr));
}

TEST_F(Once, CallsUntilOneSucceedsAndKeepsItsResult)
{
    skua_once once = SKUA_ONCE_INIT;
    int calls = 0;
    Value value = [&]() -> intptr_t { return ++calls < 3 ? -EIO : calls; };
    EXPECT_EQ(call(&once, value), -EIO);
    EXPECT_EQ(call(&once, value), -EIO);
    EXPECT_FALSE(skua_once_done(&once));
    EXPECT_EQ(call(&once, value), 3);
    EXPECT_TRUE(skua_once_done(&once));
    EXPECT_EQ(call(&once, value), 3);
    EXPECT_EQ(call(&once, value, 0), 3);
    EXPECT_EQ(calls, 3);
}

/* A call that ends with what its promise is set to. */
struct Slow {
    Promise gate;
    std::atomic<int> calls{0};
    Value value = [this]() -> intptr_t {
        calls++;
        return skua_await(skua_future_ref(gate.future));
    };

    void end(intptr_t result)
    {
        EXPECT_EQ(skua_promise_set(gate.promise, result), 0);
        skua_promise_unref(gate.promise);
        skua_future_unref(gate.future);
    }
};

TEST_F(Once, OthersWaitForTheResult)
{
    runInTask([] {
        skua_once once{};
        Slow slow;
        Value first = [&] { return call(&once, slow.value); };
        skua_future *future = spawnBody(first);
        EXPECT_TRUE(yieldUntil([&] { return slow.calls == 1; }));
        Line line(kState);
        Value never = []() -> intptr_t { return -EDOM; };
        line.addMany(3, [&] { return call(&once, never); });
        EXPECT_FALSE(skua_once_done(&once));
        slow.end(7);
        EXPECT_EQ(skua_await(future), 7);
        for (size_t i = 0; i < 3; i++)
            EXPECT_EQ(line.result(i), 7);
    });
}

TEST_F(Once, AfterAFailureTheNextInLineTries)
{
    runInTask(
        [] {
            skua_once once{};
            Slow slow;
            Value first = [&] { return call(&once, slow.value); };
            skua_future *future = spawnBody(first);
            EXPECT_TRUE(yieldUntil([&] { return slow.calls == 1; }));
            std::vector<int> calls;
            std::deque<Value> values;
            for (int i = 0; i < 5; i++)
                values.push_back([&, i]() -> intptr_t {
                    calls.push_back(i);
                    skua_yield();
                    return i == 3 ? 33 : -i - 1;
                });
            Line line(kState);
            for (Value &value : values)
                line.add([&] { return call(&once, value); });
            line.cancel(1);
            EXPECT_EQ(line.result(1), -ECANCELED);
            slow.end(-EIO);
            EXPECT_EQ(skua_await(future), -EIO);
            EXPECT_EQ(line.result(0), -1);
            EXPECT_EQ(line.result(2), -3);
            EXPECT_EQ(line.result(3), 33);
            EXPECT_EQ(line.result(4), 33);
            EXPECT_EQ(calls, (std::vector<int>{0, 2, 3}));
        },
        1);
}

TEST_F(Once, WhatWasHandedOverBeatsCancelAndDeadline)
{
    for (bool fails : {false, true}) {
        skua_once once{};
        Slow slow;
        std::thread runner([&] { EXPECT_EQ(call(&once, slow.value), fails ? -EIO : 7); });
        std::atomic<int> calls{0};
        Value second = [&]() -> intptr_t {
            calls++;
            return 8;
        };
        EXPECT_TRUE(pollUntil([&] { return slow.calls == 1; }));
        expectHandoverBeatsAll(
            kState, [&](uint64_t at) { return call(&once, second, at); },
            [&] {
                slow.end(fails ? -EIO : 7);
                runner.join();
                return 0;
            },
            fails ? 8 : 7);
        EXPECT_EQ(calls, fails ? 1 : 0);
        EXPECT_TRUE(skua_once_done(&once));
    }
}

TEST_F(Once, WaitsUntilItsDeadlineEverywhere)
{
    skua_once once{};
    Slow slow;
    std::thread runner([&] { EXPECT_EQ(call(&once, slow.value), 7); });
    EXPECT_TRUE(pollUntil([&] { return slow.calls == 1; }));
    Value never = []() -> intptr_t { return -EDOM; };
    expectGivesUpEverywhere([&](uint64_t at) { return call(&once, never, at); });
    slow.end(7);
    runner.join();
    EXPECT_EQ(call(&once, never, 0), 7);
}

TEST_F(Once, ACrowdCallsUntilOneSucceeds)
{
    struct Entry {
        skua_once once{};
        std::atomic<int> inside{0};
        int calls = 0; /* not atomic: one caller at a time */
        long made = 0;
    };
    std::vector<Entry> entries(static_cast<size_t>(rounds(400)));
    std::atomic<long> failures{0};
    runCrowd([&](unsigned) {
        for (size_t i = 0; i < entries.size(); i++) {
            Entry &entry = entries[i];
            const int needed = static_cast<int>(i % 4) + 1;
            Value value = [&]() -> intptr_t {
                EXPECT_EQ(++entry.inside, 1);
                bool last = ++entry.calls == needed;
                skua_yield();
                if (last)
                    entry.made = 11;
                --entry.inside;
                return last ? needed : -EIO;
            };
            intptr_t rc;
            while ((rc = call(&entry.once, value)) == -EIO)
                failures++;
            ASSERT_EQ(rc, needed);
            ASSERT_EQ(entry.made, 11);
        }
    });
    long expected = 0;
    for (size_t i = 0; i < entries.size(); i++) {
        EXPECT_EQ(entries[i].calls, static_cast<int>(i % 4) + 1);
        expected += static_cast<long>(i % 4);
    }
    EXPECT_EQ(failures, expected);
}

TEST_F(Once, NothingIsLostToADeadline)
{
    std::vector<skua_once> onces(static_cast<size_t>(rounds(300)));
    std::vector<std::atomic<int>> calls(onces.size());
    runCrowd([&](unsigned who) {
        for (size_t i = 0; i < onces.size(); i++) {
            Value value = [&]() -> intptr_t {
                int count = ++calls[i];
                skua_yield();
                return count == 4 ? 4 : -EIO;
            };
            intptr_t rc;
            int tries = static_cast<int>(who);
            do {
                rc = call(&onces[i], value, soon(tries++));
            } while (rc == -EIO || rc == -ETIMEDOUT);
            ASSERT_EQ(rc, 4);
        }
    });
    for (const std::atomic<int> &count : calls)
        EXPECT_EQ(count, 4);
}

} // namespace
