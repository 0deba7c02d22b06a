/*
 * support/cancel_sweep.h - an operation cancelled at every moment of its life, one after the other.
 *
 * A scenario has a call, a peer that makes it possible step by step, and a sum that must come out
 * whatever the call says. A sweep makes the scenario anew for each count 0, 1, 2, ..., cancels the
 * call after so many turns of its worker, or steps of its peer, and goes on until the cancel comes
 * too late. On one worker nothing but the count decides how far the call has come; on two it races.
 */
#ifndef SKUA_TESTS_CANCEL_SWEEP_H
#define SKUA_TESTS_CANCEL_SWEEP_H

#include "support/fd_guard.h"
#include "support/hang_guard.h"
#include "support/runtime_kit.h"

#include <functional>
#include <memory>
#include <ostream>

namespace skua_test
{

class Scenario
{
  public:
    Scenario() = default;
    Scenario(const Scenario &) = delete;
    Scenario &operator=(const Scenario &) = delete;
    virtual ~Scenario() = default;

    /* The operation; in a task, which is cancelled. */
    virtual intptr_t call() = 0;
    /* The peer's next step, which does not wait. Whether there was anything to do. */
    virtual bool step() = 0;
    /* After the call: lets the peer go on to the end, and adds up. */
    virtual void check(intptr_t result) = 0;
    /* Whether a cancel that is not too late ends the call, without help of the peer. */
    virtual bool endsByCancel() const
    {
        return true;
    }
};

using Make = std::function<std::unique_ptr<Scenario>()>;

/* What a sweep counts, and what happens meanwhile. */
enum class Pace {
    turnsWithAll,     /* turns; all that the peer does has happened before */
    turnsAfterWaking, /* turns; the call waits, then the peer does all it can */
    turnAndStep,      /* turns, with a step of the peer in each */
    stepsSettled,     /* steps; the call has done what it can after each */
    stepsUnseen       /* the same, but the last step is not seen before the cancel */
};

inline void PrintTo(Pace pace, std::ostream *out)
{
    static const char *const names[] = {"TurnsWithAll", "TurnsAfterWaking", "TurnAndStep",
                                        "StepsSettled", "StepsUnseen"};
    *out << names[static_cast<int>(pace)];
}

struct PaceName {
    std::string operator()(const testing::TestParamInfo<Pace> &info) const
    {
        return testing::PrintToString(info.param);
    }
};

inline auto everyPace()
{
    return testing::Values(Pace::turnsWithAll, Pace::turnsAfterWaking, Pace::turnAndStep,
                           Pace::stepsSettled, Pace::stepsUnseen);
}

class Sweep
{
  public:
    Sweep(Pace pace, Make make) : pace_(pace), make_(std::move(make))
    {
    }

    /* On one worker, to the count at which the cancel is too late. */
    void untilTooLate()
    {
        runInTask(
            [this] {
                int late = 0;
                for (int count = 0; late < 3 && count < kMost; count += stride(count)) {
                    late = cancelAt(count) ? late + 1 : 0;
                    if (testing::Test::HasFailure())
                        return;
                }
                EXPECT_EQ(late, 3) << "it never came to its end by itself";
            },
            1, kNoStandIns);
        EXPECT_GT(cancelled_ + completed_, 0);
    }

    /* On two workers, as many counts. */
    void upTo(int counts, unsigned workers = 2)
    {
        runInTask(
            [this, counts] {
                for (int count = 0; count < counts && !testing::Test::HasFailure(); count++)
                    (void)cancelAt(count);
            },
            workers, kNoStandIns);
    }

    int cancelled() const
    {
        return cancelled_;
    }
    int completed() const
    {
        return completed_;
    }

  private:
    static constexpr int kMost = 4000;
    /* Turns in which a worker looks at its engine twice, and resumes whom that wakes. */
    static constexpr int kSettle = 150;

    /* The first ones each; with a sanitizer not all of the others. */
    static int stride(int count)
    {
        return SKUA_TESTS_SANITIZED && count > 10 ? 6 : 1;
    }

    static void turns(int count)
    {
        for (int i = 0; i < count; i++)
            (void)skua_yield();
    }

    void advance(Scenario &scenario, int count) const
    {
        switch (pace_) {
        case Pace::turnsWithAll:
        case Pace::turnsAfterWaking:
            turns(count);
            break;
        case Pace::turnAndStep:
            for (int i = 0; i < count; i++) {
                (void)scenario.step();
                turns(1);
            }
            break;
        case Pace::stepsSettled:
        case Pace::stepsUnseen:
            for (int i = 0; i < count; i++) {
                turns(kSettle);
                (void)scenario.step();
            }
            if (pace_ == Pace::stepsSettled)
                turns(kSettle);
            break;
        }
    }

    /* True if the call was over before the cancel. */
    bool cancelAt(int count)
    {
        std::map<int, std::string> before = openDescriptors();
        bool is_late;
        intptr_t result;
        {
            std::unique_ptr<Scenario> scenario = make_();
            auto body = [&]() -> intptr_t { return scenario->call(); };
            if (pace_ == Pace::turnsWithAll)
                allSteps(*scenario);
            skua_future *future = spawnBody(body);
            if (pace_ == Pace::turnsAfterWaking) {
                turns(kSettle);
                allSteps(*scenario);
            }
            advance(*scenario, count);
            is_late = skua_future_peek(future, nullptr) == 0;
            int rc = skua_cancel(future);
            EXPECT_TRUE(rc == 0 || rc == -EALREADY) << rc;
            while (!scenario->endsByCancel() && skua_future_peek(future, nullptr) != 0) {
                (void)scenario->step();
                turns(1);
            }
            result = skua_await(future);
            (result == -ECANCELED ? cancelled_ : completed_)++;
            scenario->check(result);
        }
        EXPECT_EQ(openDescriptors(), before) << "descriptors";
        if (testing::Test::HasFailure())
            ADD_FAILURE() << testing::PrintToString(pace_) << ", count " << count << ": result "
                          << result;
        return is_late;
    }

    static void allSteps(Scenario &scenario)
    {
        while (scenario.step()) {
        }
    }

    const Pace pace_;
    const Make make_;
    int cancelled_ = 0;
    int completed_ = 0;
};

/* Its tests are made for each pace. */
class SweepTest : public testing::TestWithParam<Pace>
{
  protected:
    /* To the end on one worker, and some races on two. */
    template <class Kind, class... Args> void sweep(Args... args)
    {
        Make make = [=] { return std::make_unique<Kind>(args...); };
        Sweep sweep(GetParam(), make);
        sweep.untilTooLate();
        sweep.upTo(kRaces);
    }

    /* For calls whose end a count of turns does not bring about: other threads or clocks do. */
    template <class Kind, class... Args> void sweepUpTo(int counts, Args... args)
    {
        Make make = [=] { return std::make_unique<Kind>(args...); };
        Sweep sweep(GetParam(), make);
        sweep.upTo(counts, 1);
        sweep.upTo(kRaces);
    }

    /* For calls that need the peer again and again: turns alone do not end them. */
    template <class Kind, class... Args> void sweepWithPeer(Args... args)
    {
        if (GetParam() == Pace::turnsWithAll || GetParam() == Pace::turnsAfterWaking)
            sweepUpTo<Kind>(200, args...);
        else
            sweep<Kind>(args...);
    }

  private:
    static constexpr int kRaces = SKUA_TESTS_SANITIZED ? 15 : 60;

    FdGuard fds_;
    HangGuard hang_;
};

/* A value, or -ECANCELED. */
inline void expectCountOrCancel(intptr_t result, size_t most)
{
    if (result < 0)
        EXPECT_EQ(result, -ECANCELED);
    else
        EXPECT_LE(static_cast<size_t>(result), most);
}

inline size_t bytesOf(intptr_t result)
{
    return result > 0 ? static_cast<size_t>(result) : 0;
}

} /* namespace skua_test */

#endif /* SKUA_TESTS_CANCEL_SWEEP_H */
