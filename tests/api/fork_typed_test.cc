/*
 * Tests skua/fork_macros.h: forkable functions of every shape, from C and from C++, in tasks, on
 * executors and on foreign threads; depth; thieves; the order of joins.
 */
#include "support/fd_guard.h"
#include "support/fork_kit.h"
#include "support/hang_guard.h"
#include "support/typed_forks.h"

#include <string>
#include <tuple>
#include <vector>

using namespace skua_test;

namespace
{

class ForkTyped : public testing::Test
{
  protected:
    FdGuard fds_;
    HangGuard hang_;
};

/* ---- the cases of typed_forks.h -------------------------------------------------------------- */

struct Compiled {
    const char *language;
    typed_case test;
};

std::vector<Compiled> allCases()
{
    std::vector<Compiled> cases;
    size_t count = 0;
    const typed_case *fromC = typed_cases_c(&count);
    for (size_t i = 0; i < count; i++)
        cases.push_back({"C", fromC[i]});
    for (const typed_case &test : typed_cases)
        cases.push_back({"Cxx", test});
    return cases;
}

void PrintTo(const Compiled &compiled, std::ostream *out)
{
    *out << compiled.test.name << "In" << compiled.language;
}

class ForkTypedCase : public ForkTyped, public testing::WithParamInterface<Compiled>
{
};

INSTANTIATE_TEST_SUITE_P(Cases, ForkTypedCase, testing::ValuesIn(allCases()),
                         testing::PrintToStringParamName());

void expectResult(const typed_case &test)
{
    EXPECT_EQ(test.fn(reinterpret_cast<void *>(test.arg)), test.expected) << test.name;
}

TEST_P(ForkTypedCase, GivesItsResultWithAnyNumberOfWorkers)
{
    const typed_case &test = GetParam().test;
    for (unsigned workers : {1u, 2u, 4u}) {
        skua_options options{};
        options.workers = workers;
        intptr_t result = skua_run(&options, test.fn, reinterpret_cast<void *>(test.arg));
        EXPECT_EQ(result, test.expected) << workers << " workers";
    }
}

TEST_P(ForkTypedCase, GivesItsResultOutsideTasks)
{
    const typed_case &test = GetParam().test;
    if (test.only_in_task)
        return;
    expectResult(test);
    runOnExecutor([&] { expectResult(test); });
}

TEST_P(ForkTypedCase, GivesItsResultInATaskThatHasHopped)
{
    const typed_case &test = GetParam().test;
    if (test.only_in_task)
        return;
    runInTask([&] {
        ASSERT_EQ(skua_hop(nullptr), 0);
        expectResult(test);
        ASSERT_EQ(skua_hop_back(), 0);
        expectResult(test);
    });
}

TEST_P(ForkTypedCase, GivesItsResultInAPlainJobAmongOthers)
{
    const typed_case &test = GetParam().test;
    runInTask(
        [&] {
            skua_job jobs[4];
            for (auto &job : jobs)
                skua_fork(&job, test.fn, reinterpret_cast<void *>(test.arg));
            for (int i : {1, 3, 0, 2})
                EXPECT_EQ(skua_join(&jobs[i]), test.expected);
        },
        4);
}

/* ---- memory ---------------------------------------------------------------------------------- */

long residentPages()
{
    long size = 0, resident = -1;
    FILE *file = std::fopen("/proc/self/statm", "re");
    if (file != nullptr) {
        if (std::fscanf(file, "%ld %ld", &size, &resident) != 2)
            resident = -1;
        std::fclose(file);
    }
    return resident;
}

TEST_F(ForkTyped, TheStacksOfADeepLadderAreGivenBack)
{
    if (SKUA_TESTS_SANITIZED)
        GTEST_SKIP() << "the sanitizers keep memory of their own";
    Runtime runtime(2);
    const long before = residentPages();
    long peak = 0;
    auto body = [&]() -> intptr_t {
        long rc = typed_ladder(TYPED_DEPTH);
        peak = residentPages();
        return rc;
    };
    ASSERT_EQ(runtime.run(body), TYPED_DEPTH);
    ASSERT_GT(peak - before, 10000) << "pages";
    /* Some stay warm for the next ones. */
    EXPECT_TRUE(pollUntil([&] { return residentPages() - before < (peak - before) / 2; }))
        << residentPages() - before << " of " << peak - before << " pages are still there";
}

/* ---- thieves --------------------------------------------------------------------------------- */

struct Seen {
    std::atomic<bool> started{false};
    skua_future *self = nullptr;
};

SKUA_FORKABLE(long, seenJob, Seen *, seen, long, value)
{
    seen->self = skua_self();
    seen->started = true;
    return value * 2;
}

SKUA_FORKABLE(long, awaitTheft, long, value)
{
    Seen seen;
    SKUA_JOB(seenJob) job;
    SKUA_FORK(seenJob, &job, &seen, value);
    bool stolen = spinUntil([&] { return seen.started.load(); });
    bool elsewhere = seen.self != nullptr && seen.self != skua_self();
    long twice = SKUA_JOIN(seenJob, &job);
    return stolen && elsewhere ? twice : -1;
}

TEST_F(ForkTyped, AnIdleWorkerTakesAJobFromOneThatComputes)
{
    runInTask([] { EXPECT_EQ(awaitTheft(21), 42); });
}

/* Every level's job is stolen before the level goes on. */
SKUA_FORKABLE(long, typedTower, int, left, std::atomic<bool> *, started)
{
    *started = true;
    if (left == 0)
        return 0;
    std::atomic<bool> below{false};
    SKUA_JOB(typedTower) job;
    SKUA_FORK(typedTower, &job, left - 1, &below);
    bool stolen = spinUntil([&] { return below.load(); });
    long height = SKUA_JOIN(typedTower, &job);
    return stolen ? height + 1 : -1;
}

TEST_F(ForkTyped, StolenJobsForkAndAreStolenFrom)
{
    runInTask(
        [] {
            std::atomic<bool> started{false};
            EXPECT_EQ(typedTower(3, &started), 3);
            EXPECT_GE(sumOf(skua_runtime_current(), &skua_worker_stats::jobs_stolen), 3u);
        },
        4);
}

TEST_F(ForkTyped, AJobNobodyTakesIsACallInItsForkersTask)
{
    runInTask(
        [] {
            Seen seen;
            EXPECT_EQ(seenJob(&seen, 4), 8);
            EXPECT_EQ(seen.self, skua_self());
        },
        1);
}

/* A task that waits with typed jobs unjoined: others, or its own worker, run them. */
SKUA_FORKABLE(long, countRun, std::atomic<int> *, ran, skua_promise *, all)
{
    if (++*ran == 10) {
        EXPECT_EQ(skua_promise_set(all, 1), 0);
    }
    return 1;
}

SKUA_FORKABLE(long, waitAmongJobs, std::atomic<int> *, ran)
{
    Promise all;
    SKUA_JOB(countRun) jobs[10];
    for (auto &job : jobs) {
        SKUA_FORK(countRun, &job, ran, all.promise);
    }
    intptr_t result = 0;
    EXPECT_EQ(skua_await_until(all.future, skua_after(10 * SKUA_NS_PER_SEC), &result), 0);
    EXPECT_EQ(*ran, 10);
    long sum = 0;
    for (int i = 9; i >= 0; i--)
        sum += SKUA_JOIN(countRun, &jobs[i]);
    skua_promise_unref(all.promise);
    return sum;
}

class ForkTypedByWorkers : public ForkTyped, public testing::WithParamInterface<unsigned>
{
};

INSTANTIATE_TEST_SUITE_P(Workers, ForkTypedByWorkers, testing::Values(1u, 2u, 4u));

TEST_P(ForkTypedByWorkers, JobsOfATaskThatWaitsAreRunByOthersOrItsOwnWorker)
{
    runInTask(
        [] {
            for (int round = 0; round < 20 && !HasFailure(); round++) {
                std::atomic<int> ran{0};
                EXPECT_EQ(waitAmongJobs(&ran), 10);
            }
        },
        GetParam());
}

TEST_P(ForkTypedByWorkers, BigFibonacciIsRight)
{
    runInTask(
        [] {
            EXPECT_EQ(typed_fib(SKUA_TESTS_SANITIZED ? 22 : 32),
                      SKUA_TESTS_SANITIZED ? 17711 : 2178309);
        },
        GetParam());
}

/* ---- misuse ---------------------------------------------------------------------------------- */

SKUA_FORKABLE(long, joinOldestFirst, int, dummy)
{
    SKUA_JOB(typed_leaf) jobs[2];
    (void)dummy;
    SKUA_FORK(typed_leaf, &jobs[0], 1);
    SKUA_FORK(typed_leaf, &jobs[1], 2);
    long first = SKUA_JOIN(typed_leaf, &jobs[0]);
    return first + SKUA_JOIN(typed_leaf, &jobs[1]);
}

intptr_t runJoinOldestFirst(void *)
{
    return joinOldestFirst(0);
}

SKUA_FORKABLE(long, forgetAJob, int, value)
{
    SKUA_JOB(typed_leaf) job;
    SKUA_FORK(typed_leaf, &job, value);
    return 0;
}

intptr_t runForgetAJob(void *)
{
    return forgetAJob(0);
}

SKUA_FORKABLE(long, forkOverAPlainJob, int, value)
{
    SKUA_JOB(typed_leaf) job;
    skua_job plain;
    EXPECT_EQ(skua_fork(
                  &plain, [](void *) -> intptr_t { return 0; }, nullptr),
              0);
    SKUA_FORK(typed_leaf, &job, value);
    return SKUA_JOIN(typed_leaf, &job) + skua_join(&plain);
}

TEST(ForkTypedMisuseDeathTest, AForkOverAPlainJobIsFound)
{
#ifdef NDEBUG
    GTEST_SKIP() << "NDEBUG";
#endif
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    skua_options options{};
    options.workers = 1;
    auto run = [](void *) -> intptr_t { return forkOverAPlainJob(0); };
    EXPECT_DEATH(skua_run(&options, run, nullptr),
                 "typed_leaf: forked before a plain job was joined");
}

TEST(ForkTypedMisuseDeathTest, JoinsInTheWrongOrderAreFound)
{
#ifdef NDEBUG
    GTEST_SKIP() << "NDEBUG";
#endif
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    skua_options options{};
    options.workers = 1;
    EXPECT_DEATH(skua_run(&options, runJoinOldestFirst, nullptr),
                 "typed_leaf: not the newest job is joined");
}

TEST(ForkTypedMisuseDeathTest, AnUnjoinedJobIsFoundWhenItsTaskEnds)
{
#ifndef SKUA_DEBUG
    GTEST_SKIP() << "the library was built without assertions";
#endif
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_DEATH(skua_run(nullptr, runForgetAJob, nullptr),
                 "not joined when its task ended: a typed job");
}

} // namespace
