/*
 * support/sync_kit.h - what tests of mutexes, semaphores and their kin share: waiters that queue up
 * in a known order, and crowds of tasks, jobs and threads.
 */
#ifndef SKUA_TESTS_SYNC_KIT_H
#define SKUA_TESTS_SYNC_KIT_H

#include "support/fd_guard.h"
#include "support/hang_guard.h"
#include "support/runtime_kit.h"

#include <atomic>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace skua_test
{

using Value = std::function<intptr_t()>;

class Sync : public testing::Test
{
  protected:
    FdGuard fds_;
    HangGuard hang_;
};

/* Tasks that wait one behind the other. Made, used and ended in a task. */
class Line
{
  public:
    /*
     * @state: what skua_runtime_list() calls such a wait. @name: of its tasks, with a number; of
     * several lines at once each needs another.
     */
    explicit Line(const char *state, const char *name = "line") : state_(state), name_(name)
    {
    }
    Line(const Line &) = delete;
    Line &operator=(const Line &) = delete;

    /* Spawns a task that calls @wait, and returns when it is waiting. */
    size_t add(Value wait)
    {
        size_t index = bodies_.size();
        bodies_.push_back([this, index, wait]() -> intptr_t {
            intptr_t rc = wait();
            std::lock_guard<std::mutex> guard(mutex_);
            if (rc >= 0)
                went_.push_back(index);
            return rc;
        });
        names_.push_back(name_ + " " + std::to_string(index));
        futures_.push_back(spawnNamed(names_.back().c_str(), bodies_.back()));
        EXPECT_TRUE(yieldUntilState(names_.back().c_str(), state_));
        return index;
    }

    /* The same for @count tasks. */
    void addMany(size_t count, const Value &wait)
    {
        for (size_t i = 0; i < count; i++)
            add(wait);
    }

    void cancel(size_t index)
    {
        EXPECT_EQ(skua_cancel(futures_[index]), 0);
    }

    bool waits(size_t index)
    {
        return stateOf(skua_runtime_current(), names_[index]) == state_;
    }

    bool isDone(size_t index)
    {
        return skua_future_peek(futures_[index], nullptr) == 0;
    }

    /* The result of the task, once. */
    intptr_t result(size_t index)
    {
        return skua_await(futures_[index]);
    }

    /* Those who have been let go, in the order in which they went on. */
    std::vector<size_t> went()
    {
        std::lock_guard<std::mutex> guard(mutex_);
        return went_;
    }

  private:
    const char *state_;
    const std::string name_;
    std::mutex mutex_;
    std::vector<size_t> went_;
    std::deque<Value> bodies_;
    std::deque<std::string> names_;
    std::vector<skua_future *> futures_;
};

/* How many of each a crowd has. */
struct Crowd {
    unsigned tasks = 6;
    unsigned jobs = 3;
    unsigned threads = 3;

    unsigned size() const
    {
        return tasks + jobs + threads;
    }
};

/* Calls @body(i) in tasks on two workers, in jobs of an executor and on threads, at once. */
template <class Body> void runCrowd(Body &&body, Crowd crowd = {})
{
    Runtime runtime(2);
    std::deque<Value> bodies;
    std::vector<skua_future *> futures;
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < crowd.size(); i++)
        bodies.push_back([&body, i]() -> intptr_t {
            body(i);
            return 0;
        });
    for (unsigned i = 0; i < crowd.size(); i++) {
        if (i < crowd.tasks)
            futures.push_back(submitBody(runtime.get(), bodies[i]));
        else if (i < crowd.tasks + crowd.jobs)
            futures.push_back(offloadBody(skua_executor_blocking(runtime.get()), bodies[i]));
        else
            threads.emplace_back(bodies[i]);
    }
    for (std::thread &thread : threads)
        thread.join();
    for (skua_future *future : futures)
        EXPECT_EQ(skua_await(future), 0);
}

/* How often a crowd does what it does; fewer times where everything is slow. */
inline int rounds(int count)
{
    return SKUA_TESTS_SANITIZED ? count / 10 : count;
}

/* A deadline that comes sooner or later, but soon: for races. */
inline uint64_t soon(int i)
{
    return skua_after(static_cast<uint64_t>(i * 7 % 40) * SKUA_NS_PER_US);
}

/* A deadline that comes after a line has been made, on a slow machine too. */
inline uint64_t afterTheLine()
{
    return skua_after(100 * SKUA_NS_PER_MS);
}

/* @wait(deadline_ns) gives up at its deadline, not before, wherever it is called. */
template <class Wait> void expectGivesUpEverywhere(Wait &&wait)
{
    for (Where where : {Where::task, Where::executor, Where::foreignThread})
        runIn(where, [&] {
            uint64_t deadline = skua_after(SKUA_NS_PER_MS);
            EXPECT_EQ(wait(deadline), -ETIMEDOUT);
            EXPECT_GE(skua_now(), deadline);
            EXPECT_EQ(wait(0), -ETIMEDOUT);
        });
}

/*
 * What @grant() hands to somebody in @wait(deadline_ns), a wait called @state, is his: although his
 * deadline has passed, and he is cancelled before he runs. The wait returns @result.
 */
template <class Wait, class Grant>
void expectHandoverBeatsAll(const char *state, Wait &&wait, Grant &&grant, intptr_t result = 0)
{
    runInTask(
        [&] {
            Line line(state);
            uint64_t deadline = afterTheLine();
            line.add([&]() -> intptr_t {
                intptr_t rc = wait(deadline);
                EXPECT_EQ(skua_yield(), -ECANCELED);
                return rc;
            });
            while (skua_now() <= deadline) /* the worker is ours: it does not look at its timers */
                continue;
            EXPECT_EQ(grant(), 0);
            line.cancel(0);
            EXPECT_EQ(line.result(0), result);
        },
        1);
}

/*
 * Tasks that @lock() and @unlock() in turn are cancelled wherever they are: waiting, woken, inside.
 * After each round @free() must be true.
 */
template <class Lock, class Unlock, class Free>
void expectSurvivesCancels(Lock &&lock, Unlock &&unlock, Free &&free, int times)
{
    runInTask([&] {
        std::atomic<int> started{0};
        auto body = [&]() -> intptr_t {
            int rc;
            started++;
            while ((rc = lock()) == 0) {
                skua_yield();
                EXPECT_EQ(unlock(), 0);
                if (skua_cancelled())
                    return -ECANCELED;
            }
            return rc;
        };
        for (int i = 0; i < times; i++) {
            std::vector<skua_future *> futures;
            started = 0;
            for (int n = 0; n < 6; n++)
                futures.push_back(spawnBody(body));
            ASSERT_TRUE(yieldUntil([&] { return started == 6; }));
            for (skua_future *future : futures)
                skua_cancel(future);
            for (skua_future *future : futures)
                ASSERT_EQ(skua_await(future), -ECANCELED);
            ASSERT_TRUE(free());
        }
    });
}

/*
 * An object that is gone as soon as it is let go: @wait(object) waits for what @signal(object) does
 * in a task or on a thread, and then nobody may write to it any more. The race it looks for is
 * short, but the thread sanitizer sees whenever nothing orders the signal's last touch; between two
 * threads above all, where no run queue does.
 */
template <class Object, class Wait, class Signal>
void expectMayGoAway(const Object &fresh, Wait &&wait, Signal &&signal, int times)
{
    constexpr uint64_t gone = 0xa5a5a5a5a5a5a5a5;
    Runtime runtime(2);
    auto loop = [&]() -> intptr_t {
        bool good = true;
        for (int i = 0; good && i < times; i++) {
            Object object = fresh;
            auto body = [&]() -> intptr_t { return signal(&object); };
            skua_future *future = i % 2 == 0
                                      ? submitBody(runtime.get(), body)
                                      : offloadBody(skua_executor_blocking(runtime.get()), body);
            good = wait(&object) == 0;
            for (uint64_t &word : object.opaque)
                word = gone;
            good = skua_await(future) == 0 && good;
            for (uint64_t word : object.opaque)
                good = word == gone && good;
        }
        EXPECT_TRUE(good) << "an error, or a touch after the wait";
        return 0;
    };
    loop();
    EXPECT_EQ(runtime.run(loop), 0);
}

} /* namespace skua_test */

#endif /* SKUA_TESTS_SYNC_KIT_H */
