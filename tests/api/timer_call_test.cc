/*
 * Tests skua/timer.h: calls that are put off, cancelled in time and too late, and stopped with
 * their runtime; ticks that do not drift.
 */
#include "support/fd_guard.h"
#include "support/hang_guard.h"
#include "support/runtime_kit.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

using namespace skua_test;

namespace
{

class TimerCall : public testing::Test
{
  protected:
    FdGuard fds_;
    HangGuard hang_;
};

intptr_t number(void *arg)
{
    return reinterpret_cast<intptr_t>(arg);
}

void *pointer(intptr_t value)
{
    return reinterpret_cast<void *>(value);
}

intptr_t count(void *arg)
{
    ++*static_cast<std::atomic<int> *>(arg);
    return 0;
}

/* The time of the call. */
intptr_t now(void *)
{
    return static_cast<intptr_t>(skua_now());
}

TEST_F(TimerCall, NoCallComesEarly)
{
    for (Where where : {Where::task, Where::executor})
        runIn(where, [] {
            uint64_t at = skua_after(3 * SKUA_NS_PER_MS);
            skua_future *exact = skua_call_at(at, now, nullptr);
            skua_future *later = skua_call_later(SKUA_NS_PER_MS, now, nullptr);
            skua_future *soon = skua_call_soon(number, pointer(5));
            EXPECT_EQ(skua_await(soon), 5);
            EXPECT_GE(static_cast<uint64_t>(skua_await(later)), at - 2 * SKUA_NS_PER_MS);
            EXPECT_GE(static_cast<uint64_t>(skua_await(exact)), at);
        });
}

TEST_F(TimerCall, AnAwaitDoesNotRunItInPlaceBeforeItsTime)
{
    runInTask(
        [] {
            uint64_t at = skua_after(2 * SKUA_NS_PER_MS);
            EXPECT_GE(static_cast<uint64_t>(skua_await(skua_call_at(at, now, nullptr))), at);
        },
        1);
}

TEST_F(TimerCall, ADeadlineThatHasPassedMeansSoon)
{
    runInTask([] {
        EXPECT_EQ(skua_await(skua_call_at(0, number, pointer(3))), 3);
        EXPECT_EQ(skua_await(skua_call_later(0, number, pointer(4))), 4);
    });
}

/* The worker looks at its timers all the time: one may fire as soon as it is in the heap. */
TEST_F(TimerCall, CallsFromAnExecutorFireAtOnceWhereTheWorkerIsBusy)
{
    runInTask(
        [] {
            std::atomic<bool> over{false};
            auto job = [&]() -> intptr_t {
                for (int i = 0; i < 300; i++)
                    EXPECT_EQ(skua_await(skua_call_at(0, number, pointer(i))), i);
                over = true;
                return 0;
            };
            skua_future *offloaded = offloadBody(nullptr, job);
            EXPECT_TRUE(yieldUntil([&] { return over.load(); }));
            EXPECT_EQ(skua_await(offloaded), 0);
        },
        1);
}

/* Calls of one worker, and in which order they are made. */
class CallOrder
{
  public:
    explicit CallOrder(intptr_t count) : count_(count)
    {
        made_.reserve(static_cast<size_t>(count));
    }

    /* 37 is prime to the count; pairs have one deadline. */
    uint64_t after(intptr_t call) const
    {
        return static_cast<uint64_t>(call * 37 % count_ / 2) * 1000;
    }

    void arm(uint64_t base_ns)
    {
        for (intptr_t i = 0; i < count_; i++)
            notes_.push_back({this, i});
        for (Note &note : notes_)
            calls_.push_back(skua_call_at(base_ns + after(note.call), make, &note));
    }

    bool over() const
    {
        return made_.size() == static_cast<size_t>(count_);
    }

    void expectOrder()
    {
        for (skua_future *call : calls_)
            EXPECT_EQ(skua_await(call), 0);
        ASSERT_TRUE(over());
        for (size_t i = 1; i < made_.size(); i++) {
            uint64_t before = after(made_[i - 1]), now = after(made_[i]);
            ASSERT_TRUE(before < now || (before == now && made_[i - 1] < made_[i])) << i;
        }
    }

  private:
    struct Note {
        CallOrder *order;
        intptr_t call;
    };

    static intptr_t make(void *arg)
    {
        auto *note = static_cast<Note *>(arg);
        note->order->made_.push_back(note->call);
        return 0;
    }

    intptr_t count_;
    std::vector<Note> notes_;
    std::vector<skua_future *> calls_;
    std::vector<intptr_t> made_;
};

TEST_F(TimerCall, CallsAreMadeInTheOrderOfTheirDeadlines)
{
    runInTask(
        [] {
            CallOrder order(200);
            order.arm(skua_after(2 * SKUA_NS_PER_MS));
            order.expectOrder();
        },
        1);
}

/* More than a run queue holds: what would not fit must not be overtaken by what comes later. */
TEST_F(TimerCall, ThousandsThatAreDueAtOnceKeepThatOrder)
{
    runInTask(
        [] {
            CallOrder order(5000);
            uint64_t first_ns = skua_after(50 * SKUA_NS_PER_MS);
            order.arm(first_ns);
            while (skua_now() < first_ns + 3 * SKUA_NS_PER_MS)
                continue;
            EXPECT_TRUE(yieldUntil([&] { return order.over(); }));
            order.expectOrder();
        },
        1);
}

/* A tree of jobs of some microseconds each that computes until it is told that it is enough. */
class Forest
{
  public:
    explicit Forest(std::atomic<bool> *over) : over_(over)
    {
    }

    /* Returns when *over is set, or after some seconds. */
    void compute()
    {
        Node root{this, 17};
        branch(&root);
    }

  private:
    struct Node {
        Forest *forest;
        int depth;
    };

    static intptr_t branch(void *arg)
    {
        auto *node = static_cast<Node *>(arg);
        if (*node->forest->over_)
            return 0;
        if (node->depth == 0) {
            uint64_t until_ns = skua_after(20 * SKUA_NS_PER_US);
            while (skua_now() < until_ns)
                continue;
            return 0;
        }
        Node half{node->forest, node->depth - 1};
        skua_job job;
        EXPECT_EQ(skua_fork(&job, branch, &half), 0);
        branch(&half);
        return skua_join(&job);
    }

    std::atomic<bool> *over_;
};

/* Its tasks yield for the sake of calls that are due; other jobs of it must not go first. */
TEST_F(TimerCall, CallsBesideForkAndJoinDoNotWaitForJobs)
{
    runInTask(
        [] {
            constexpr size_t kCalls = 20;
            static std::vector<uint64_t> late_ns;
            static std::atomic<bool> over;
            static uint64_t first_ns;
            late_ns.clear();
            over = false;
            auto call = [](void *arg) -> intptr_t {
                late_ns.push_back(skua_now() - first_ns - reinterpret_cast<uintptr_t>(arg));
                over = late_ns.size() == kCalls;
                return 0;
            };
            first_ns = skua_after(200 * SKUA_NS_PER_MS);
            std::vector<skua_future *> calls;
            for (uintptr_t i = 0; i < kCalls; i++) {
                uint64_t after_ns = i * 7 * SKUA_NS_PER_MS;
                calls.push_back(
                    skua_call_at(first_ns + after_ns, call, reinterpret_cast<void *>(after_ns)));
            }
            Forest(&over).compute();
            for (skua_future *future : calls)
                EXPECT_EQ(skua_await(future), 0);
            std::sort(late_ns.begin(), late_ns.end());
            EXPECT_LT(late_ns[kCalls / 2], 50 * SKUA_NS_PER_MS);
        },
        1);
}

/* The worker comes to its timers every millisecond or two: each time all that are due must fire. */
TEST_F(TimerCall, ManyCallsThatAreDueFireAtOnceBesideForkAndJoin)
{
    runInTask(
        [] {
            constexpr int kCalls = SKUA_TESTS_SANITIZED ? 5000 : 200000;
            std::atomic<int> made{0};
            std::atomic<bool> over{false};
            struct Seen {
                std::atomic<int> *made;
                std::atomic<bool> *over;
            } seen{&made, &over};
            auto call = [](void *arg) -> intptr_t {
                auto *all = static_cast<Seen *>(arg);
                *all->over = ++*all->made == kCalls;
                return 0;
            };
            uint64_t due_ns = skua_after(300 * SKUA_NS_PER_MS);
            std::vector<skua_future *> calls;
            for (int i = 0; i < kCalls; i++)
                calls.push_back(skua_call_at(due_ns, call, &seen));
            Forest(&over).compute();
            EXPECT_TRUE(over);
            EXPECT_LT(skua_now() - due_ns, 600 * SKUA_NS_PER_MS);
            for (skua_future *future : calls)
                EXPECT_EQ(skua_await(future), 0);
        },
        1);
}

/* On a machine that is busy the first cancels may come too late. */
TEST_F(TimerCall, ACancelInTimeTakesItAway)
{
    for (Where where : {Where::task, Where::executor})
        runIn(where, [] {
            bool in_time = false;
            for (uint64_t delay = SKUA_NS_PER_MS; !in_time && delay < SKUA_NS_PER_SEC; delay *= 4) {
                std::atomic<int> calls{0};
                skua_future *call = skua_call_later(delay, count, &calls);
                skua_future *other = skua_call_later(2 * delay, count, &calls);
                int first = skua_cancel(call);
                int second = skua_cancel(call);
                intptr_t result = skua_await(call);
                in_time = first == 0 && second == -EALREADY && result == -ECANCELED;
                EXPECT_TRUE(result == 0 || result == -ECANCELED) << result;
                EXPECT_EQ(skua_await(other), 0);
                EXPECT_EQ(calls, result == 0 ? 2 : 1);
            }
            EXPECT_TRUE(in_time);
        });
}

TEST_F(TimerCall, AForeignThreadMayCancelIt)
{
    Runtime runtime;
    skua_future *call = nullptr;
    auto body = [&]() -> intptr_t {
        call = skua_call_at(SKUA_FOREVER, number, nullptr);
        return 0;
    };
    EXPECT_EQ(runtime.run(body), 0);
    EXPECT_EQ(skua_cancel(call), 0);
    EXPECT_EQ(skua_await(call), -ECANCELED);
    EXPECT_EQ(runtime.stop(SKUA_STOP_DRAIN), 0);
}

TEST_F(TimerCall, ACancelledAwaitCancelsTheCall)
{
    runInTask([] {
        skua_future *call = skua_call_at(SKUA_FOREVER, number, nullptr);
        skua_future *same = skua_future_ref(call);
        auto body = [&]() -> intptr_t { return skua_await(call); };
        skua_future *waiting = spawnNamed("waiting", body);
        EXPECT_TRUE(yieldUntilState("waiting", "awaiting"));
        EXPECT_EQ(skua_cancel(waiting), 0);
        EXPECT_EQ(skua_await(waiting), -ECANCELED);
        EXPECT_EQ(skua_await(same), -ECANCELED);
    });
}

TEST_F(TimerCall, TheHandleMayBeDropped)
{
    runInTask([] {
        std::atomic<int> calls{0};
        for (int i = 0; i < 10; i++)
            skua_future_unref(skua_call_later(SKUA_NS_PER_MS, count, &calls));
        EXPECT_TRUE(yieldUntil([&] { return calls == 10; }));
    });
}

TEST_F(TimerCall, ItsFutureWorksWithTheOthers)
{
    runInTask([] {
        skua_future *calls[2] = {skua_call_later(SKUA_NS_PER_MS, number, pointer(1)),
                                 skua_call_at(SKUA_FOREVER, number, pointer(2))};
        intptr_t result = kNoResult;
        EXPECT_EQ(skua_race(calls, 2, &result), 0);
        EXPECT_EQ(result, 1);
        EXPECT_EQ(
            skua_wait_for(skua_call_at(SKUA_FOREVER, number, nullptr), SKUA_NS_PER_MS, &result),
            -ETIMEDOUT);
        skua_future *then = skua_future_then(
            skua_call_later(1000, number, pointer(3)),
            [](intptr_t value, void *) -> intptr_t { return 2 * value; }, nullptr);
        EXPECT_EQ(skua_await(then), 6);
    });
}

TEST_F(TimerCall, ALateInterruptOrTokenDoesNotStartIt)
{
    runInTask([] {
        std::atomic<int> calls{0};
        skua_future *call = skua_call_at(SKUA_FOREVER, count, &calls);
        EXPECT_EQ(skua_unpark(call), 0);
        for (int i = 0; i < 5; i++)
            EXPECT_EQ(skua_yield(), 0);
        EXPECT_EQ(calls, 0);
        EXPECT_EQ(skua_cancel(call), 0);
        skua_future_unref(call);
    });
}

TEST_F(TimerCall, IsListedAsNotYetDue)
{
    runInTask([] {
        skua_future *call = skua_call_at(SKUA_FOREVER, number, nullptr);
        skua_task_info tasks[8];
        ssize_t found = skua_runtime_list(skua_runtime_current(), tasks, 8);
        bool listed = false;
        for (ssize_t i = 0; i < found; i++)
            listed = listed || std::string(tasks[i].state) == "not yet due";
        EXPECT_TRUE(listed);
        EXPECT_EQ(skua_cancel(call), 0);
        skua_future_unref(call);
    });
}

TEST_F(TimerCall, RefusesBadArgumentsAndPlaces)
{
    EXPECT_EQ(skua_await(skua_call_at(0, number, nullptr)), -EPERM);
    runInTask([] { EXPECT_EQ(skua_await(skua_call_at(0, nullptr, nullptr)), -EINVAL); });
}

TEST_F(TimerCall, AStopThatDrainsWaitsForTheCallAndOneThatCancelsDoesNot)
{
    std::atomic<int> calls{0};
    for (skua_stop_mode mode : {SKUA_STOP_DRAIN, SKUA_STOP_CANCEL}) {
        calls = 0;
        Runtime runtime;
        std::vector<skua_future *> all;
        auto body = [&]() -> intptr_t {
            for (int i = 0; i < 100; i++)
                all.push_back(skua_call_later(
                    (mode == SKUA_STOP_DRAIN ? 5 : 100000) * SKUA_NS_PER_MS, count, &calls));
            return 0;
        };
        EXPECT_EQ(runtime.run(body), 0);
        EXPECT_EQ(runtime.stop(mode), 0);
        EXPECT_EQ(calls, mode == SKUA_STOP_DRAIN ? 100 : 0);
        for (skua_future *call : all)
            EXPECT_EQ(skua_await(call), mode == SKUA_STOP_DRAIN ? 0 : -ECANCELED);
    }
}

TEST_F(TimerCall, AStoppingRuntimeRefusesNewCalls)
{
    Runtime runtime;
    intptr_t refused = 0;
    auto body = [&]() -> intptr_t {
        while (skua_sleep(SKUA_NS_PER_MS) == 0) {
        }
        refused = skua_await(skua_call_later(0, number, nullptr));
        return 0;
    };
    skua_future *task = submitBody(runtime.get(), body);
    EXPECT_EQ(runtime.stop(SKUA_STOP_CANCEL), 0);
    if (skua_await(task) == 0) {
        EXPECT_EQ(refused, -ESHUTDOWN);
    }
}

/* Calls come due, are cancelled and awaited at the same time on three workers. */
TEST_F(TimerCall, CancelsThatRaceWithTheClock)
{
    runInTask(
        [] {
            std::atomic<int> calls{0};
            std::atomic<int> ran{0};
            auto racer = [&]() -> intptr_t {
                for (uint64_t round = 0; round < 300; round++) {
                    skua_future *call[4];
                    for (uint64_t i = 0; i < 4; i++)
                        call[i] = skua_call_later((round * 7 + i * 3) % 40 * 1000, count, &calls);
                    if (round % 2)
                        (void)skua_sleep(round % 20 * 1000);
                    for (skua_future *one : call)
                        (void)skua_cancel(one);
                    for (skua_future *one : call)
                        ran += skua_await(one) == 0;
                }
                return 0;
            };
            skua_future *racers[6];
            for (skua_future *&one : racers)
                one = spawnBody(racer);
            EXPECT_EQ(skua_gather(racers, 6, 0, nullptr), 0);
            EXPECT_EQ(calls, ran);
        },
        3);
}

TEST_F(TimerCall, ForeignThreadsCancelWhileTheClockFires)
{
    Runtime runtime(3);
    std::atomic<int> calls{0};
    int ran = 0;
    for (int round = 0; round < 40; round++) {
        std::vector<skua_future *> all;
        auto body = [&]() -> intptr_t {
            for (uint64_t i = 0; i < 300; i++)
                all.push_back(skua_call_later(i * 1000, count, &calls));
            return 0;
        };
        EXPECT_EQ(runtime.run(body), 0);
        for (size_t i = all.size(); i-- > 0;)
            (void)skua_cancel(all[i]);
        for (skua_future *call : all)
            ran += skua_await(call) == 0;
    }
    EXPECT_EQ(calls, ran);
}

TEST_F(TimerCall, RuntimesThatStopWhileTheClockFires)
{
    for (int round = 0; round < 40; round++) {
        std::atomic<int> calls{0};
        Runtime runtime;
        std::vector<skua_future *> all;
        auto body = [&]() -> intptr_t {
            for (uint64_t i = 0; i < 50; i++)
                all.push_back(skua_call_later(i * 4000, count, &calls));
            return 0;
        };
        EXPECT_EQ(runtime.run(body), 0);
        for (volatile int spin = 0; spin < round * 500; spin = spin + 1) {
        }
        EXPECT_EQ(runtime.stop(SKUA_STOP_CANCEL), 0);
        int ran = 0;
        for (skua_future *call : all)
            ran += skua_await(call) == 0;
        EXPECT_EQ(calls, ran);
    }
}

/* ---- ticks ----------------------------------------------------------------------------------- */

/* An interval and what is known of its ticks, however late the test's thread runs. */
struct Beat {
    uint64_t period;
    skua_interval interval;
    uint64_t before = skua_now(); /* it began after that, ... */
    int rc;
    uint64_t after; /* ... and before that */
    uint64_t ticks = 0;

    explicit Beat(uint64_t period_ns)
        : period(period_ns), rc(skua_interval_init(&interval, period_ns, 0)), after(skua_now())
    {
        EXPECT_EQ(rc, 0);
    }

    /* The tick that comes is never early, and none that was due before it is left to come. */
    ssize_t next()
    {
        uint64_t called = skua_now();
        ssize_t missed = skua_interval_next(&interval);
        if (missed < 0)
            return missed;
        ticks += 1 + static_cast<uint64_t>(missed);
        EXPECT_GE(skua_now(), before + ticks * period);
        EXPECT_LT(called, after + (ticks + 1) * period);
        return missed;
    }
};

TEST_F(TimerCall, AnIntervalDoesNotDrift)
{
    for (Where where : {Where::task, Where::executor, Where::foreignThread})
        runIn(where, [] {
            Beat beat(2 * SKUA_NS_PER_MS);
            for (int i = 0; i < 10; i++)
                EXPECT_GE(beat.next(), 0);
        });
}

/* Sleeps for at least that long without a wait. */
void burn(uint64_t ns)
{
    uint64_t end = skua_now() + ns;
    while (skua_now() < end) {
    }
}

TEST_F(TimerCall, MissedTicksAreCountedAndLeftOut)
{
    runInTask([] {
        Beat beat(2 * SKUA_NS_PER_MS);
        burn(5 * beat.period + beat.period / 2);
        EXPECT_GE(beat.next(), 4);
        burn(beat.period / 4);
        EXPECT_GE(beat.next(), 0);
        EXPECT_GE(beat.next(), 0);
    });
}

TEST_F(TimerCall, ABurstGivesEveryTick)
{
    runInTask([] {
        const uint64_t period = SKUA_NS_PER_MS;
        skua_interval interval;
        ASSERT_EQ(skua_interval_init(&interval, period, SKUA_INTERVAL_BURST), 0);
        burn(6 * period);
        uint64_t before = skua_now();
        for (int i = 0; i < 5; i++)
            EXPECT_EQ(skua_interval_next(&interval), 0);
        EXPECT_GE(before + SKUA_NS_PER_SEC, skua_now());
    });
}

TEST_F(TimerCall, ACancelledTickIsStillToCome)
{
    runInTask([] {
        /* long enough to be seen asleep by a machine that has other things to do */
        skua_interval interval;
        ASSERT_EQ(skua_interval_init(&interval, SKUA_NS_PER_SEC / 2, 0), 0);
        auto body = [&]() -> intptr_t { return skua_interval_next(&interval); };
        skua_future *waiting = spawnNamed("ticking", body);
        EXPECT_TRUE(yieldUntilState("ticking", "sleeping"));
        EXPECT_EQ(skua_cancel(waiting), 0);
        EXPECT_EQ(skua_await(waiting), -ECANCELED);
        EXPECT_GE(skua_interval_next(&interval), 0);
    });
}

TEST_F(TimerCall, IntervalRefusesBadArguments)
{
    skua_interval interval;
    EXPECT_EQ(skua_interval_init(nullptr, 1, 0), -EINVAL);
    EXPECT_EQ(skua_interval_init(&interval, 0, 0), -EINVAL);
    EXPECT_EQ(skua_interval_init(&interval, 1, 8), -EINVAL);
    EXPECT_EQ(skua_interval_next(nullptr), -EINVAL);
    EXPECT_EQ(skua_interval_init(&interval, SKUA_FOREVER, 0), 0);
}

} // namespace
