/*
 * Tests skua_parallel_for(): every index once, wherever it is called; grains; errors; cancelling;
 * callbacks that wait, loop in parallel themselves, or meet another thread.
 */
#include "support/fd_guard.h"
#include "support/hang_guard.h"
#include "support/runtime_kit.h"

#include <skua/parallel.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <set>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace skua_test;

namespace
{

class ParallelFor : public testing::Test
{
  protected:
    FdGuard fds_;
    HangGuard hang_;
};

class ParallelForAnywhere : public testing::TestWithParam<Where>
{
  protected:
    FdGuard fds_;
    HangGuard hang_;
};

INSTANTIATE_TEST_SUITE_P(Everywhere, ParallelForAnywhere, everywhere(), WhereName());

/* Calls a body int(begin, end) through a skua_range_fn. */
template <class Body> int callRange(size_t begin, size_t end, void *body)
{
    return (*static_cast<Body *>(body))(begin, end);
}

template <class Body> int parallelFor(size_t begin, size_t end, size_t grain, Body &body)
{
    return skua_parallel_for(begin, end, grain, callRange<Body>, &body);
}

/* Counts how often each index of a range is done, and what the pieces look like. */
class Coverage
{
  public:
    Coverage(size_t begin, size_t end)
        : begin_(begin), end_(end), counts_(new std::atomic<int>[end - begin]())
    {
    }

    int operator()(size_t begin, size_t end)
    {
        if (begin >= end || begin < begin_ || end > end_) {
            outside_++;
            return 0;
        }
        pieces_++;
        size_t length = end - begin;
        size_t shortest = shortest_;
        while (length < shortest && !shortest_.compare_exchange_weak(shortest, length))
            ;
        for (size_t i = begin; i < end; i++)
            counts_[i - begin_]++;
        return 0;
    }

    bool eachOnce() const
    {
        for (size_t i = 0; i < end_ - begin_; i++) {
            if (counts_[i] != 1)
                return false;
        }
        return outside_ == 0;
    }

    size_t pieces() const
    {
        return pieces_;
    }
    size_t shortest() const
    {
        return shortest_;
    }

  private:
    size_t begin_, end_;
    std::unique_ptr<std::atomic<int>[]> counts_;
    std::atomic<size_t> pieces_{0}, shortest_{SIZE_MAX};
    std::atomic<int> outside_{0};
};

void expectEachOnce(size_t begin, size_t end, size_t grain)
{
    Coverage coverage(begin, end);
    EXPECT_EQ(parallelFor(begin, end, grain, coverage), 0);
    EXPECT_TRUE(coverage.eachOnce()) << begin << " " << end << " grain " << grain;
    if (end > begin) {
        EXPECT_GE(coverage.shortest(), std::min(end - begin, std::max(grain, size_t{1})));
    }
}

TEST_P(ParallelForAnywhere, DoesEachIndexOnce)
{
    runIn(GetParam(), [] {
        for (size_t count : {0, 1, 2, 3, 7, 31, 32, 33, 64, 100, 1023, 1024, 1025, 65537})
            for (size_t grain : {size_t{0}, size_t{1}, size_t{3}, size_t{1000}, SIZE_MAX})
                expectEachOnce(17, 17 + count, grain);
    });
}

TEST_P(ParallelForAnywhere, DoesRangesThatEndAtTheLastSize)
{
    runIn(GetParam(), [] {
        for (size_t count : {1, 2, 3, 100, 1023, 70001})
            for (size_t grain : {size_t{0}, size_t{1}, size_t{1000}, SIZE_MAX})
                expectEachOnce(SIZE_MAX - count, SIZE_MAX, grain);
    });
}

TEST_P(ParallelForAnywhere, DoesTheLongestRangeThereIs)
{
    runIn(GetParam(), [] {
        std::atomic<size_t> sum{0}, pieces{0};
        auto body = [&](size_t begin, size_t end) {
            sum += end - begin;
            pieces++;
            return 0;
        };
        EXPECT_EQ(parallelFor(0, SIZE_MAX, 0, body), 0);
        EXPECT_EQ(sum, SIZE_MAX);
        sum = 0;
        EXPECT_EQ(parallelFor(0, SIZE_MAX, SIZE_MAX / 2, body), 0);
        EXPECT_EQ(sum, SIZE_MAX);
        sum = pieces = 0;
        EXPECT_EQ(parallelFor(0, SIZE_MAX, SIZE_MAX, body), 0);
        EXPECT_EQ(sum, SIZE_MAX);
        EXPECT_EQ(pieces, 1u);
    });
}

TEST_P(ParallelForAnywhere, RefusesWhatTheHeaderForbids)
{
    runIn(GetParam(), [] {
        int calls = 0;
        auto body = [&](size_t, size_t) { return ++calls; };
        EXPECT_EQ(skua_parallel_for(0, 10, 0, nullptr, nullptr), -EINVAL);
        EXPECT_EQ(skua_parallel_for(0, 0, 0, nullptr, nullptr), -EINVAL);
        EXPECT_EQ(parallelFor(10, 9, 0, body), -EINVAL);
        EXPECT_EQ(parallelFor(SIZE_MAX, 0, 0, body), -EINVAL);
        EXPECT_EQ(calls, 0);
    });
}

TEST_P(ParallelForAnywhere, ReturnsAtOnceIfTheRangeIsEmpty)
{
    runIn(GetParam(), [] {
        int calls = 0;
        auto body = [&](size_t, size_t) { return ++calls; };
        EXPECT_EQ(parallelFor(0, 0, 0, body), 0);
        EXPECT_EQ(parallelFor(5, 5, 1, body), 0);
        EXPECT_EQ(parallelFor(SIZE_MAX, SIZE_MAX, SIZE_MAX, body), 0);
        EXPECT_EQ(calls, 0);
    });
}

TEST_P(ParallelForAnywhere, ReturnsTheErrorOfACallback)
{
    runIn(GetParam(), [] {
        for (size_t bad : {0, 1, 499, 500, 998, 999}) {
            auto body = [=](size_t begin, size_t end) {
                return begin <= bad && bad < end ? -EIO : 0;
            };
            EXPECT_EQ(parallelFor(0, 1000, 1, body), -EIO);
            EXPECT_EQ(parallelFor(0, 1000, 0, body), -EIO);
            EXPECT_EQ(parallelFor(0, 1000, 5000, body), -EIO);
        }
    });
}

TEST_P(ParallelForAnywhere, ReturnsOneOfSeveralErrors)
{
    runIn(GetParam(), [] {
        auto body = [](size_t begin, size_t) { return begin % 2 ? -EIO : -ENOENT; };
        int rc = parallelFor(0, 1000, 1, body);
        EXPECT_TRUE(rc == -EIO || rc == -ENOENT) << rc;
    });
}

TEST_P(ParallelForAnywhere, TakesOnlyNegativeValuesForErrors)
{
    runIn(GetParam(), [] {
        auto body = [](size_t begin, size_t) { return static_cast<int>(begin) + 1; };
        EXPECT_EQ(parallelFor(0, 1000, 1, body), 0);
    });
}

TEST_F(ParallelFor, BeginsNothingAfterAnErrorOnOneWorker)
{
    auto loop = [] {
        int calls = 0;
        auto body = [&](size_t, size_t) { return ++calls == 4 ? -EIO : 0; };
        EXPECT_EQ(parallelFor(0, 1000000, 1, body), -EIO);
        EXPECT_EQ(calls, 4);
    };
    loop();
    runOnExecutor(loop);
    runInTask(loop, 1);
}

TEST_F(ParallelFor, LeavesOutMostOfTheRangeAfterAnError)
{
    runInTask([] {
        std::atomic<size_t> done{0};
        auto body = [&](size_t begin, size_t end) {
            if (begin == 0)
                return -EIO;
            for (size_t i = begin; i < end; i++)
                skua_sleep(SKUA_NS_PER_MS);
            done += end - begin;
            return 0;
        };
        EXPECT_EQ(parallelFor(0, 1000000, 1, body), -EIO);
        EXPECT_LT(done, 1000u);
    });
}

TEST_F(ParallelFor, OfACancelledTaskRunsNothing)
{
    runInTask([] {
        int calls = 0;
        auto body = [&](size_t, size_t) { return ++calls; };
        EXPECT_EQ(skua_cancel(skua_self()), 0);
        EXPECT_EQ(parallelFor(0, 1000, 0, body), -ECANCELED);
        EXPECT_EQ(parallelFor(0, 1, 0, body), -ECANCELED);
        EXPECT_EQ(parallelFor(0, 0, 0, body), 0);
        EXPECT_EQ(parallelFor(1, 0, 0, body), -EINVAL);
        EXPECT_EQ(calls, 0);
    });
}

TEST_F(ParallelFor, BeginsNothingAfterACancelOnOneWorker)
{
    runInTask(
        [] {
            int calls = 0;
            skua_future *self = skua_self();
            auto body = [&](size_t, size_t) {
                if (++calls == 3) {
                    EXPECT_EQ(skua_cancel(self), 0);
                }
                return 0;
            };
            EXPECT_EQ(parallelFor(0, 1000000, 1, body), -ECANCELED);
            EXPECT_EQ(calls, 3);
        },
        1);
}

TEST_F(ParallelFor, CompletesIfTheCancelComesWithTheLastPiece)
{
    runInTask([] {
        auto body = [](size_t, size_t) { return skua_cancel(skua_self()); };
        EXPECT_EQ(parallelFor(0, 1000, SIZE_MAX, body), 0);
    });
}

TEST_F(ParallelFor, PassesACancelOnToCallbacksThatWait)
{
    runInTask(
        [] {
            std::atomic<int> waiting{0};
            auto body = [&](size_t, size_t) {
                waiting++;
                return skua_sleep(3600 * SKUA_NS_PER_SEC);
            };
            auto loop = [&]() -> intptr_t { return parallelFor(0, 1000, 0, body); };
            skua_future *future = spawnBody(loop);
            EXPECT_TRUE(yieldUntil([&] { return waiting > 0; }));
            EXPECT_EQ(skua_cancel(future), 0);
            EXPECT_EQ(skua_await(future), -ECANCELED);
        },
        4);
}

TEST_F(ParallelFor, MayBeCancelledAtAnyTime)
{
    runInTask(
        [] {
            for (int i = 0; i < 300; i++) {
                std::atomic<size_t> done{0};
                auto body = [&](size_t begin, size_t end) {
                    done += end - begin;
                    return 0;
                };
                auto loop = [&]() -> intptr_t { return parallelFor(0, 20000, 7, body); };
                skua_future *future = spawnBody(loop);
                for (int k = 0; k < i % 10; k++)
                    skua_yield();
                skua_cancel(future);
                intptr_t rc = skua_await(future);
                EXPECT_TRUE(rc == 0 || rc == -ECANCELED) << rc;
                EXPECT_EQ(done == 20000, rc == 0);
            }
        },
        4);
}

TEST_P(ParallelForAnywhere, MayBeNested)
{
    runIn(GetParam(), [] {
        std::atomic<size_t> sum{0};
        auto innermost = [&](size_t begin, size_t end) {
            sum += end - begin;
            return 0;
        };
        auto inner = [&](size_t begin, size_t end) {
            int rc = 0;
            for (size_t i = begin; i < end && rc == 0; i++)
                rc = parallelFor(0, 20, 0, innermost);
            return rc;
        };
        auto outer = [&](size_t begin, size_t end) {
            int rc = 0;
            for (size_t i = begin; i < end && rc == 0; i++)
                rc = parallelFor(i, i + 30, 0, inner);
            return rc;
        };
        EXPECT_EQ(parallelFor(0, 40, 0, outer), 0);
        EXPECT_EQ(sum, 40u * 30u * 20u);
    });
}

TEST_P(ParallelForAnywhere, LetsAnErrorOutOfANestedLoop)
{
    runIn(GetParam(), [] {
        auto inner = [](size_t begin, size_t end) { return begin <= 7 && 7 < end ? -EXDEV : 0; };
        auto outer = [&](size_t, size_t) { return parallelFor(0, 20, 1, inner); };
        EXPECT_EQ(parallelFor(0, 40, 0, outer), -EXDEV);
    });
}

TEST_P(ParallelForAnywhere, LetsCallbacksWait)
{
    runIn(GetParam(), [] {
        std::atomic<size_t> sum{0};
        auto body = [&](size_t begin, size_t end) {
            for (size_t i = begin; i < end; i++) {
                int rc = i % 3 == 0 ? skua_sleep(20 * SKUA_NS_PER_US) : skua_yield();
                if (rc < 0)
                    return rc;
                sum += i;
            }
            return 0;
        };
        EXPECT_EQ(parallelFor(0, 2000, 0, body), 0);
        EXPECT_EQ(sum, 2000u * 1999u / 2);
    });
}

/* Threads that have called spin(). */
class Threads
{
  public:
    /* Computes until another thread has come, or @delay_ns has passed. */
    void spin(uint64_t delay_ns)
    {
        uint64_t end = skua_after(delay_ns);
        {
            std::lock_guard<std::mutex> lock(mutex_);
            threads_.insert(std::this_thread::get_id());
            count_ = threads_.size();
        }
        while (count_ < 2 && skua_now() < end)
            ;
    }

    size_t count() const
    {
        return count_;
    }

  private:
    std::mutex mutex_;
    std::set<std::thread::id> threads_;
    std::atomic<size_t> count_{0};
};

TEST_F(ParallelFor, RunsCallbacksOnSeveralThreads)
{
    runInTask([] {
        Threads threads;
        auto body = [&](size_t, size_t) {
            threads.spin(100 * SKUA_NS_PER_MS);
            return 0;
        };
        EXPECT_EQ(parallelFor(0, 64, 0, body), 0);
        EXPECT_EQ(threads.count(), 2u);
    });
}

TEST_F(ParallelFor, SplitsALeafWhereTheWorkTurnsOutToBe)
{
    /* All of the work is in the last twentieth of the range, less than what is forked at first. */
    runInTask([] {
        Threads threads;
        auto body = [&](size_t begin, size_t end) {
            for (size_t i = begin; i < end; i++) {
                if (i >= 7600)
                    threads.spin(SKUA_NS_PER_MS);
            }
            return 0;
        };
        EXPECT_EQ(parallelFor(0, 8000, 0, body), 0);
        EXPECT_EQ(threads.count(), 2u);
    });
}

TEST_F(ParallelFor, CallsBackWithLongPiecesWhereIterationsAreShort)
{
    auto loop = [] {
        std::atomic<size_t> pieces{0};
        std::vector<float> values(1000000);
        auto body = [&](size_t begin, size_t end) {
            pieces++;
            for (size_t i = begin; i < end; i++)
                values[i] = static_cast<float>(i);
            return 0;
        };
        EXPECT_EQ(parallelFor(0, values.size(), 0, body), 0);
        EXPECT_LT(pieces, values.size() / 50);
    };
    loop();
    runInTask(loop);
}

TEST_F(ParallelFor, MayBeCalledBySeveralTasksAtOnce)
{
    runInTask(
        [] {
            std::vector<skua_future *> futures;
            std::atomic<size_t> sum{0};
            auto body = [&](size_t begin, size_t end) {
                sum += end - begin;
                return skua_yield();
            };
            auto loop = [&]() -> intptr_t { return parallelFor(0, 1000, 3, body); };
            for (int i = 0; i < 50; i++)
                futures.push_back(spawnBody(loop));
            for (skua_future *future : futures)
                EXPECT_EQ(skua_await(future), 0);
            EXPECT_EQ(sum, 50u * 1000u);
        },
        4);
}

/* The default stack is 64 KiB, of which half is guaranteed. */
TEST_F(ParallelFor, NeedsNoLargeStack)
{
    std::atomic<size_t> sum{0};
    auto innermost = [&](size_t begin, size_t end) {
        sum += end - begin;
        return 0;
    };
    auto inner = [&](size_t begin, size_t end) { return parallelFor(begin, end, 1, innermost); };
    auto outer = [&]() -> intptr_t {
        int rc = 0;
        for (int i = 0; i < 20 && rc == 0; i++)
            rc = parallelFor(0, 100000, 100, inner);
        return rc;
    };
    skua_options options{};
    options.workers = 4;
    EXPECT_EQ(skua_run(&options, callValue<decltype(outer)>, &outer), 0);
    EXPECT_EQ(sum, 20u * 100000u);
}

TEST_F(ParallelFor, InAForkedChildIsRefused)
{
    if (SKUA_TESTS_SANITIZED)
        GTEST_SKIP() << "the sanitizers' own locks do not survive a fork";
    runInTask([] {
        int calls = 0;
        auto body = [&](size_t, size_t) { return ++calls; };
        pid_t child = fork();
        if (child == 0) {
            alarm(20);
            _exit(parallelFor(0, 100, 0, body) == -ECHILD && calls == 0 ? 0 : 1);
        }
        int status = -1;
        EXPECT_EQ(waitpid(child, &status, 0), child);
        EXPECT_EQ(status, 0);
    });
}

} // namespace
