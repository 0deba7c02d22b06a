/*
 * Tests the single flight of skua/resilience.h: one execution for all, failures, handing over.
 */
#include "support/sim_kit.h"
#include "support/sync_kit.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <iterator>

using namespace skua_test;

namespace
{

class SingleFlight : public Sync
{
};

class SingleFlightInTime : public Simulated
{
};

const uint64_t kMs = SKUA_NS_PER_MS;

/* A function of 100 ms that is called by many. */
struct Slow {
    skua_single_flight flight{};
    std::atomic<int> runs{0};
    std::atomic<int> shared{0};
    intptr_t outcome = 42;

    static intptr_t run(void *self)
    {
        auto *slow = static_cast<Slow *>(self);
        slow->runs++;
        int rc = skua_sleep(100 * kMs);
        return rc < 0 ? rc : slow->outcome;
    }

    intptr_t call(const std::string &key)
    {
        bool isShared = false;
        intptr_t rc =
            skua_single_flight_call(&flight, key.data(), key.size(), run, this, &isShared);
        shared += isShared;
        return rc;
    }
};

TEST_F(SingleFlight, RefusesNull)
{
    Slow slow;
    EXPECT_EQ(skua_single_flight_call(nullptr, "", 0, Slow::run, &slow, nullptr), -EINVAL);
    EXPECT_EQ(skua_single_flight_call(&slow.flight, nullptr, 1, Slow::run, &slow, nullptr),
              -EINVAL);
    EXPECT_EQ(skua_single_flight_call(&slow.flight, "", 0, nullptr, &slow, nullptr), -EINVAL);
    EXPECT_EQ(skua_single_flight_call(&slow.flight, nullptr, 0, Slow::run, &slow, nullptr), 42);
    EXPECT_EQ(slow.runs, 1);
}

TEST_F(SingleFlightInTime, RunsOnceForAllWhoCallMeanwhile)
{
    runSimulated([] {
        for (intptr_t outcome : {intptr_t{42}, intptr_t{-EIO}}) {
            Slow slow;
            slow.outcome = outcome;
            Tasks tasks;
            for (int i = 0; i < 10; i++)
                tasks.add([&] { return slow.call("key"); });
            for (size_t i = 0; i < 10; i++)
                EXPECT_EQ(tasks.result(i), outcome);
            EXPECT_EQ(slow.runs, 1);
            EXPECT_EQ(slow.shared, 9);
            EXPECT_EQ(slow.call("key"), outcome); /* again */
            EXPECT_EQ(slow.runs, 2);
        }
    });
}

TEST_F(SingleFlightInTime, TellsKeysApartByTheirBytes)
{
    runSimulated([] {
        Slow slow;
        Tasks tasks;
        for (int i = 0; i < 60; i++) /* more than there are buckets */
            tasks.add([&slow, i] { return slow.call("key " + std::to_string(i % 30)); });
        tasks.add([&] { return slow.call(""); });
        tasks.add([&] { return slow.call(std::string(1, '\0')); });
        for (size_t i = 0; i < tasks.count(); i++)
            EXPECT_EQ(tasks.result(i), 42);
        EXPECT_EQ(slow.runs, 32);
        EXPECT_EQ(slow.shared, 30);
    });
}

TEST_F(SingleFlightInTime, ACancelledLeaderHandsOver)
{
    runSimulated([] {
        Slow slow;
        Tasks tasks;
        uint64_t start = skua_now();
        for (int i = 0; i < 5; i++)
            tasks.addAndLetWait([&] { return slow.call("key"); });
        EXPECT_EQ(skua_sleep_until(start + 50 * kMs), 0);
        tasks.cancel(0);
        EXPECT_EQ(tasks.result(0), -ECANCELED);
        for (size_t i = 1; i < 5; i++)
            EXPECT_EQ(tasks.result(i), 42);
        EXPECT_EQ(skua_now() - start, 150 * kMs);
        EXPECT_EQ(slow.runs, 2);
        EXPECT_EQ(slow.shared, 3);
    });
}

TEST_F(SingleFlightInTime, AnHeirThatIsCancelledTooHandsOn)
{
    runSimulated([] {
        Slow slow;
        Tasks tasks;
        for (int i = 0; i < 4; i++)
            tasks.addAndLetWait([&] { return slow.call("key"); });
        for (size_t i : {0, 1, 2})
            tasks.cancel(i);
        for (size_t i : {0, 1, 2})
            EXPECT_EQ(tasks.result(i), -ECANCELED);
        EXPECT_EQ(tasks.result(3), 42);
        EXPECT_LE(slow.runs, 4);
        Tasks alone; /* and with nobody to hand over to it is over */
        alone.addAndLetWait([&] { return slow.call("key"); });
        alone.cancel(0);
        EXPECT_EQ(alone.result(0), -ECANCELED);
        EXPECT_EQ(slow.call("key"), 42);
    });
}

TEST_F(SingleFlightInTime, WhoWaitsAndGivesUpIsNotMissed)
{
    runSimulated([] {
        Slow slow;
        Tasks tasks;
        uint64_t start = skua_now();
        for (int i = 0; i < 3; i++)
            tasks.addAndLetWait([&] { return slow.call("key"); });
        tasks.cancel(1);
        EXPECT_EQ(tasks.result(1), -ECANCELED);
        EXPECT_LT(skua_now() - start, 100 * kMs);
        EXPECT_EQ(tasks.result(0), 42);
        EXPECT_EQ(tasks.result(2), 42);
        EXPECT_EQ(slow.runs, 1);
    });
}

TEST_F(SingleFlightInTime, AnErrorThatIsNotTheLeadersCancelIsShared)
{
    runSimulated([] {
        Slow slow;
        slow.outcome = -ECANCELED;
        Tasks tasks;
        for (int i = 0; i < 3; i++)
            tasks.add([&] { return slow.call("key"); });
        for (size_t i = 0; i < 3; i++)
            EXPECT_EQ(tasks.result(i), -ECANCELED);
        EXPECT_EQ(slow.runs, 1);
    });
}

TEST_F(SingleFlight, FindsOneWhoWaitsForHimself)
{
    runInTask([] {
        skua_single_flight flight{};
        auto inner = [&]() -> intptr_t { return 7; };
        auto outer = [&]() -> intptr_t {
            return skua_single_flight_call(&flight, "k", 1, callValue<decltype(inner)>, &inner,
                                           nullptr);
        };
        EXPECT_EQ(
            skua_single_flight_call(&flight, "k", 1, callValue<decltype(outer)>, &outer, nullptr),
            -EDEADLK);
        EXPECT_EQ(skua_single_flight_call(&flight, "other", 5, callValue<decltype(outer)>, &outer,
                                          nullptr),
                  7);
    });
}

TEST_F(SingleFlight, CancelledTasksLeaveNothingBehind)
{
    skua_single_flight flight{};
    auto body = [&]() -> intptr_t { return skua_yield(); };
    expectSurvivesCancels(
        [&] {
            return static_cast<int>(skua_single_flight_call(
                &flight, "key", 3, callValue<decltype(body)>, &body, nullptr));
        },
        [] { return 0; },
        [&] {
            return std::all_of(std::begin(flight.opaque), std::end(flight.opaque),
                               [](uint64_t word) { return word == 0; });
        },
        rounds(200));
}

/* Of calls with the same key there are never two at a time. */
TEST_F(SingleFlight, RunsOneAtATimeForTasksJobsAndThreads)
{
    struct Key {
        std::atomic<int> inside{0};
        std::atomic<int> runs{0};
    };
    std::array<Key, 4> keys;
    skua_single_flight flight{};
    std::atomic<int> calls{0}, shared{0};
    runCrowd([&](unsigned who) {
        for (unsigned i = 0; i < static_cast<unsigned>(rounds(200)); i++) {
            unsigned index = (who + i) % 4;
            auto body = [&]() -> intptr_t {
                EXPECT_EQ(keys[index].inside++, 0);
                keys[index].runs++;
                skua_yield();
                keys[index].inside--;
                return index + 100;
            };
            bool isShared = false;
            EXPECT_EQ(skua_single_flight_call(&flight, &index, sizeof(index),
                                              callValue<decltype(body)>, &body, &isShared),
                      index + 100);
            calls++;
            shared += isShared;
        }
    });
    int runs = 0;
    for (Key &key : keys)
        runs += key.runs;
    EXPECT_EQ(runs + shared, calls);
}

TEST_F(SingleFlightInTime, SurvivesCancelsWhereverTheyCome)
{
    runSimulated(
        [] {
            Slow slow;
            Tasks tasks;
            for (int i = 0; i < 12; i++)
                tasks.add([&slow, i]() -> intptr_t {
                    intptr_t rc = 0;
                    for (int n = 0; (n < 4 || i < 6) && rc >= 0; n++) {
                        (void)skua_sleep(skua_sim_random(200) * kMs);
                        rc = slow.call("key");
                    }
                    return rc;
                });
            for (size_t i = 0; i < 6; i++) {
                EXPECT_EQ(skua_sleep(skua_sim_random(60) * kMs), 0);
                tasks.cancel(i);
            }
            for (size_t i = 0; i < 12; i++)
                EXPECT_EQ(tasks.result(i), i < 6 ? -ECANCELED : 42);
        },
        30);
}

} /* namespace */
