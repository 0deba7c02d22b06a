/*
 * support/sim_kit.h - tests whose time is the simulator's: hours are free, and exact.
 */
#ifndef SKUA_TESTS_SIM_KIT_H
#define SKUA_TESTS_SIM_KIT_H

#include "support/fd_guard.h"
#include "support/hang_guard.h"
#include "support/runtime_kit.h"
#include "support/sim_sweep.h"

#include <deque>
#include <functional>

namespace skua_test
{

/* Skips its tests where there is no simulator. */
class Simulated : public testing::Test
{
  protected:
    explicit Simulated(std::chrono::seconds limit = std::chrono::seconds(50)) : hang_(limit)
    {
    }

    void SetUp() override
    {
        auto body = []() -> intptr_t { return 0; };
        if (skua_sim_run(0, nullptr, callValue<decltype(body)>, &body, nullptr) == -ENOTSUP)
            GTEST_SKIP() << "no simulations with ThreadSanitizer";
    }

    FdGuard fds_;
    HangGuard hang_;
};

/* Runs @body under the first @seeds seeds; no deadlock, no error that googletest sees. */
template <class Body> void runSimulated(Body &&body, uint64_t seeds = 5)
{
    sweepSeeds(body, seeds);
}

/* Tasks that are begun one after the other. Made, used and ended in a task. */
class Tasks
{
  public:
    ~Tasks()
    {
        for (skua_future *future : futures_)
            skua_future_unref(future);
    }

    void add(std::function<intptr_t()> body)
    {
        bodies_.push_back(std::move(body));
        futures_.push_back(spawnBody(bodies_.back()));
    }

    /* The same, and a millisecond of the simulation's for it to come to its wait. */
    void addAndLetWait(std::function<intptr_t()> body)
    {
        add(std::move(body));
        EXPECT_EQ(skua_sleep(SKUA_NS_PER_MS), 0);
    }

    void cancel(size_t index)
    {
        EXPECT_EQ(skua_cancel(futures_[index]), 0);
    }

    size_t count() const
    {
        return futures_.size();
    }

    /* The result of a task, once. */
    intptr_t result(size_t index)
    {
        return skua_await(std::exchange(futures_[index], nullptr));
    }

  private:
    std::deque<std::function<intptr_t()>> bodies_;
    std::deque<skua_future *> futures_;
};

} /* namespace skua_test */

#endif /* SKUA_TESTS_SIM_KIT_H */
