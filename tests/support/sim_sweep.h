/*
 * support/sim_sweep.h - googletest's cases under many seeds, and several ways to simulate.
 *
 * A failure names the seed and the set, and prints the line that runs just that once more:
 *     SKUA_SIM_SEED=7 SKUA_SIM_SET=cuts ./sim_network_test --gtest_filter=Suite.Case
 * With SKUA_SIM_SHRINK=1 it looks for the faults that matter; see skua/sim.h.
 */
#ifndef SKUA_TESTS_SIM_SWEEP_H
#define SKUA_TESTS_SIM_SWEEP_H

#include "support/runtime_kit.h"

#include <cerrno>
#include <cstdlib>
#include <string>
#include <vector>

namespace skua_test
{

/*
 * How many seeds a long sweep has: SKUA_SIM_SEEDS, which scales all of them, else @dev, or a
 * twentieth of that where a sanitizer makes each some twenty times as slow.
 */
inline uint64_t seedCount(uint64_t dev)
{
    const char *given = getenv("SKUA_SIM_SEEDS");
    if (given != nullptr)
        return strtoull(given, nullptr, 10);
    return SKUA_TESTS_SANITIZED ? dev / 20 + 1 : dev;
}

/* The command that runs the current case. */
inline std::string replayCommand()
{
    const testing::TestInfo *info = testing::UnitTest::GetInstance()->current_test_info();
    std::string command = program_invocation_name;
    if (info != nullptr)
        command += std::string(" --gtest_filter=") + info->test_suite_name() + "." + info->name();
    return command;
}

/* Stacks that googletest can run on. */
inline skua_sim_options withTestStack(skua_sim_options options)
{
    if (options.stack_size_bytes == 0)
        options.stack_size_bytes = size_t{256} << 10;
    return options;
}

/*
 * Runs @body, which returns nothing, under the seeds from 1 on with each of @sets; the first that
 * fails an expectation, or that hangs, ends it. The report, if given, is of the last run.
 */
template <class Body>
void sweepSets(Body &&body, uint64_t seeds, const std::vector<skua_sim_set> &sets,
               skua_sim_report *report = nullptr)
{
    auto once = [&]() -> intptr_t {
        body();
        return testing::Test::HasFailure() ? -EPROTO : 0;
    };
    std::vector<skua_sim_options> options;
    std::vector<skua_sim_set> stacked = sets;
    for (const skua_sim_set &set : sets)
        options.push_back(
            withTestStack(set.options != nullptr ? *set.options : skua_sim_options{}));
    for (size_t i = 0; i < sets.size(); i++)
        stacked[i].options = &options[i];
    std::string replay = replayCommand();
    skua_sim_plan plan{};
    skua_sim_report last{};
    size_t failed = 0;
    plan.first = 1;
    plan.count = seeds;
    plan.sets = stacked.data();
    plan.set_count = stacked.size();
    plan.replay = replay.c_str();
    intptr_t result = skua_sim_sweep_sets(&plan, callValue<decltype(once)>, &once, &last, &failed);
    const char *name = failed < sets.size() ? sets[failed].name : nullptr;
    EXPECT_EQ(result, 0) << "seed " << last.seed << (name != nullptr ? ", set " : "")
                         << (name != nullptr ? name : "");
    if (report != nullptr)
        *report = last;
}

/* The same in one way. */
template <class Body>
void sweepSeeds(Body &&body, uint64_t seeds, const skua_sim_options &options = {})
{
    sweepSets(body, seeds, {{nullptr, &options}});
}

} /* namespace skua_test */

#endif /* SKUA_TESTS_SIM_SWEEP_H */
