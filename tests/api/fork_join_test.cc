/*
 * Tests skua/fork.h, the plain form: results, orders of joins, depth, waits in and around jobs.
 */
#include "support/fd_guard.h"
#include "support/fork_kit.h"
#include "support/hang_guard.h"
#include "support/temp_dir.h"

#include <algorithm>
#include <cstring>
#include <fcntl.h>
#include <random>
#include <string>
#include <tuple>
#include <unistd.h>
#include <vector>

using namespace skua_test;

namespace
{

class ForkJoin : public testing::Test
{
  protected:
    FdGuard fds_;
    HangGuard hang_;
};

class ForkJoinByWorkers : public ForkJoin, public testing::WithParamInterface<unsigned>
{
};

INSTANTIATE_TEST_SUITE_P(Workers, ForkJoinByWorkers, testing::Values(1u, 2u, 4u));

class ForkJoinEverywhere : public ForkJoin, public testing::WithParamInterface<Where>
{
};

INSTANTIATE_TEST_SUITE_P(Places, ForkJoinEverywhere, everywhere(), WhereName());

intptr_t returnArg(void *arg)
{
    return reinterpret_cast<intptr_t>(arg);
}

void *asArg(intptr_t value)
{
    return reinterpret_cast<void *>(value);
}

TEST_P(ForkJoinEverywhere, JoinGivesWhatTheJobReturned)
{
    runIn(GetParam(), [] {
        for (intptr_t value : {intptr_t{42}, intptr_t{0}, intptr_t{-EIO}, INTPTR_MIN}) {
            skua_job job;
            EXPECT_EQ(skua_fork(&job, returnArg, asArg(value)), 0);
            EXPECT_EQ(skua_join(&job), value);
        }
    });
}

TEST_P(ForkJoinEverywhere, JobsMayBeJoinedInAnyOrder)
{
    runIn(GetParam(), [] {
        constexpr intptr_t count = 7;
        intptr_t order[count] = {0, 1, 2, 3, 4, 5, 6};
        do {
            skua_job jobs[count];
            for (intptr_t i = 0; i < count; i++)
                ASSERT_EQ(skua_fork(&jobs[i], returnArg, asArg(i + 100)), 0);
            for (intptr_t i : order)
                ASSERT_EQ(skua_join(&jobs[i]), i + 100);
        } while (std::next_permutation(order, order + count));
    });
}

intptr_t fib(void *arg)
{
    intptr_t n = reinterpret_cast<intptr_t>(arg);
    if (n < 2)
        return n;
    skua_job job;
    skua_fork(&job, fib, asArg(n - 1));
    intptr_t right = fib(asArg(n - 2));
    return skua_join(&job) + right;
}

TEST_P(ForkJoinEverywhere, NestedForksComputeFibonacci)
{
    runIn(GetParam(), [] {
        EXPECT_EQ(fib(asArg(SKUA_TESTS_SANITIZED ? 16 : 22)), SKUA_TESTS_SANITIZED ? 987 : 17711);
    });
}

TEST_P(ForkJoinByWorkers, NestedForksComputeFibonacci)
{
    skua_options options{};
    options.workers = GetParam();
    bool slow = SKUA_TESTS_SANITIZED;
    EXPECT_EQ(skua_run(&options, fib, asArg(slow ? 20 : 30)), slow ? 6765 : 832040);
}

/* ---- random programs ------------------------------------------------------------------------- */

/* A call with up to six calls below it, decided by its seed. */
struct Node {
    uint32_t seed;
    int depth;

    unsigned width() const
    {
        return depth == 0 ? 0 : std::minstd_rand(seed)() % 7;
    }

    Node below(unsigned i) const
    {
        return {seed * 31 + i * 1013 + 7, depth - 1};
    }
};

intptr_t serialValue(const Node &node)
{
    intptr_t sum = node.seed % 1009;
    for (unsigned i = 0; i < node.width(); i++)
        sum += serialValue(node.below(i)) * (i + 1);
    return sum;
}

/* The same with a job for each call below; forks, joins and yields in random order. */
intptr_t parallelValue(void *arg)
{
    Node node = *static_cast<Node *>(arg);
    std::minstd_rand random(node.seed + 1);
    Node below[6];
    skua_job jobs[6];
    std::vector<unsigned> unjoined;
    intptr_t sum = node.seed % 1009;
    unsigned forked = 0;
    while (forked < node.width() || !unjoined.empty()) {
        if (random() % 16 == 0)
            skua_yield();
        if (forked < node.width() && (unjoined.empty() || random() % 3 != 0)) {
            below[forked] = node.below(forked);
            skua_fork(&jobs[forked], parallelValue, &below[forked]);
            unjoined.push_back(forked++);
        } else {
            size_t at = random() % unjoined.size();
            unsigned i = unjoined[at];
            sum += skua_join(&jobs[i]) * (i + 1);
            unjoined.erase(unjoined.begin() + static_cast<ptrdiff_t>(at));
        }
    }
    return sum;
}

TEST_P(ForkJoinByWorkers, AThousandRandomProgramsGiveTheirSerialResults)
{
    runInTask(
        [] {
            const uint32_t programs = SKUA_TESTS_SANITIZED ? 100 : 1000;
            for (uint32_t seed = 1; seed <= programs; seed++) {
                Node node = {seed * 7919, 4};
                ASSERT_EQ(parallelValue(&node), serialValue(node)) << "seed " << seed;
            }
        },
        GetParam());
}

/* ---- many, deep ------------------------------------------------------------------------------ */

enum class Order { newestFirst, oldestFirst, shuffled };

void forkManyInOneFrame(size_t count, Order order)
{
    std::vector<skua_job> jobs(count);
    std::vector<size_t> joins(count);
    for (size_t i = 0; i < count; i++) {
        ASSERT_EQ(skua_fork(&jobs[i], returnArg, asArg(static_cast<intptr_t>(i))), 0);
        joins[i] = order == Order::newestFirst ? count - 1 - i : i;
    }
    if (order == Order::shuffled)
        std::shuffle(joins.begin(), joins.end(), std::minstd_rand(17));
    for (size_t i : joins)
        ASSERT_EQ(skua_join(&jobs[i]), static_cast<intptr_t>(i));
}

TEST_P(ForkJoinByWorkers, MoreJobsThanPlacesInOneFrame)
{
    runInTask(
        [] {
            for (Order order : {Order::newestFirst, Order::oldestFirst, Order::shuffled}) {
                for (size_t count : {249, 250, 251, 252, 253, 300, 10000})
                    forkManyInOneFrame(count, order);
            }
        },
        GetParam());
}

/* Many jobs in each of several nested frames. */
intptr_t crowd(void *arg)
{
    intptr_t depth = reinterpret_cast<intptr_t>(arg);
    if (depth == 0)
        return 1;
    constexpr int width = 100;
    skua_job jobs[width];
    for (auto &job : jobs)
        skua_fork(&job, crowd, asArg(0));
    intptr_t sum = crowd(asArg(depth - 1));
    for (int i = width - 1; i >= 0; i--)
        sum += skua_join(&jobs[i]);
    return sum;
}

TEST_P(ForkJoinByWorkers, FramesMayShareAFullDeque)
{
    runInTask([] { EXPECT_EQ(crowd(asArg(8)), 801); }, GetParam());
}

/* One job in the other; what comes after each join keeps the calls from becoming a loop. */
intptr_t chain(void *arg)
{
    intptr_t left = reinterpret_cast<intptr_t>(arg);
    if (left == 0)
        return 0;
    skua_job job;
    skua_fork(&job, chain, asArg(left - 1));
    intptr_t below = skua_join(&job);
    __asm__ volatile("" : "+r"(below) : : "memory");
    return below + 1;
}

TEST_P(ForkJoinByWorkers, AChainOfJobsMayBeAMillionDeep)
{
    skua_options options{};
    options.workers = GetParam();
    const intptr_t depth = SKUA_TESTS_SANITIZED ? 20000 : 1000000;
    EXPECT_EQ(skua_run(&options, chain, asArg(depth)), depth);
}

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

TEST_F(ForkJoin, TheStacksOfADeepChainAreGivenBack)
{
    if (SKUA_TESTS_SANITIZED)
        GTEST_SKIP() << "the sanitizers keep memory of their own";
    Runtime runtime(2);
    const long before = residentPages();
    long peak = 0;
    auto body = [&]() -> intptr_t {
        intptr_t rc = chain(asArg(1000000));
        peak = residentPages();
        return rc;
    };
    ASSERT_EQ(runtime.run(body), 1000000);
    ASSERT_GT(peak - before, 10000) << "pages";
    /* Some stay warm for the next ones. */
    EXPECT_TRUE(pollUntil([&] { return residentPages() - before < (peak - before) / 2; }))
        << residentPages() - before << " of " << peak - before << " pages are still there";
}

/* ---- thieves --------------------------------------------------------------------------------- */

TEST_F(ForkJoin, AnIdleWorkerTakesAJobFromOneThatComputes)
{
    runInTask([] {
        std::atomic<bool> started{false};
        skua_future *thief = nullptr;
        auto body = [&]() -> intptr_t {
            thief = skua_self();
            started = true;
            return 5;
        };
        skua_job job;
        EXPECT_EQ(forkBody(&job, body), 0);
        EXPECT_TRUE(spinUntil([&] { return started.load(); }));
        EXPECT_EQ(skua_join(&job), 5);
        EXPECT_NE(thief, nullptr);
        EXPECT_NE(thief, skua_self());
        EXPECT_GE(sumOf(skua_runtime_current(), &skua_worker_stats::jobs_stolen), 1u);
    });
}

TEST_F(ForkJoin, AJobNobodyTakesIsACallInItsForkersTask)
{
    runInTask(
        [] {
            skua_future *self = nullptr;
            auto body = [&]() -> intptr_t {
                self = skua_self();
                return 0;
            };
            skua_job job;
            EXPECT_EQ(forkBody(&job, body), 0);
            EXPECT_EQ(self, nullptr) << "it ran before its join";
            EXPECT_EQ(skua_join(&job), 0);
            EXPECT_EQ(self, skua_self());
        },
        1);
}

/* Each level waits until its job runs elsewhere, so every job is stolen, from a stolen one. */
intptr_t tower(void *arg)
{
    intptr_t left = reinterpret_cast<intptr_t>(arg);
    if (left == 0)
        return 0;
    std::atomic<bool> started{false};
    auto body = [&]() -> intptr_t {
        started = true;
        return tower(asArg(left - 1));
    };
    skua_job job;
    forkBody(&job, body);
    bool stolen = spinUntil([&] { return started.load(); });
    intptr_t below = skua_join(&job);
    return stolen ? below + 1 : -ETIMEDOUT;
}

TEST_F(ForkJoin, StolenJobsForkAndAreStolenFrom)
{
    runInTask(
        [] {
            EXPECT_EQ(tower(asArg(3)), 3);
            EXPECT_GE(sumOf(skua_runtime_current(), &skua_worker_stats::jobs_stolen), 3u);
        },
        4);
}

TEST_F(ForkJoin, AJoinOfARunningJobLeavesTheWorkerToOthers)
{
    runInTask([] {
        std::atomic<bool> started{false}, other_ran{false};
        auto body = [&]() -> intptr_t {
            started = true;
            return spinUntil([&] { return other_ran.load(); }) ? 1 : -ETIMEDOUT;
        };
        auto other = [&]() -> intptr_t {
            other_ran = true;
            return 2;
        };
        skua_job job;
        forkBody(&job, body);
        ASSERT_TRUE(spinUntil([&] { return started.load(); }));
        skua_future *task = spawnBody(other); /* behind us: the other worker is busy */
        EXPECT_EQ(skua_join(&job), 1);
        EXPECT_EQ(skua_await(task), 2);
    });
}

/* ---- waits in jobs --------------------------------------------------------------------------- */

/* Runs @count jobs of @body(i), with the joins newest first, and adds up. */
template <class Body> intptr_t sumOfJobs(int count, Body &&body)
{
    struct Item {
        Body *body;
        int number;
        skua_job job;
    };
    std::vector<Item> items(static_cast<size_t>(count));
    auto run = [](void *arg) -> intptr_t {
        Item *item = static_cast<Item *>(arg);
        return (*item->body)(item->number);
    };
    for (int i = 0; i < count; i++) {
        Item &item = items[static_cast<size_t>(i)];
        item.body = &body;
        item.number = i;
        skua_fork(&item.job, run, &item);
    }
    intptr_t sum = 0;
    for (int i = count - 1; i >= 0; i--)
        sum += skua_join(&items[static_cast<size_t>(i)].job);
    return sum;
}

TEST_P(ForkJoinByWorkers, JobsMayReadFiles)
{
    TempDir dir;
    const std::string contents = pattern(64 * 1024);
    writeFile(dir.file("data"), contents);
    int fd = open(dir.file("data").c_str(), O_RDONLY | O_CLOEXEC);
    ASSERT_GE(fd, 0);
    runInTask(
        [&] {
            EXPECT_EQ(sumOfJobs(64,
                                [&](int i) -> intptr_t {
                                    char buffer[1024];
                                    ssize_t got = skua_pread(fd, buffer, sizeof(buffer), i * 1024);
                                    return got == 1024 &&
                                           std::memcmp(buffer, &contents[size_t(i) * 1024], 1024) ==
                                               0;
                                }),
                      64);
        },
        GetParam());
    close(fd);
}

TEST_P(ForkJoinByWorkers, JobsMaySleep)
{
    runInTask(
        [] {
            EXPECT_EQ(sumOfJobs(20,
                                [](int i) -> intptr_t {
                                    int rc = skua_sleep(unsigned(i) % 4 * SKUA_NS_PER_MS);
                                    return rc == 0;
                                }),
                      20);
        },
        GetParam());
}

TEST_P(ForkJoinByWorkers, JobsMayYieldAmongUnjoinedOnes)
{
    runInTask(
        [] {
            EXPECT_EQ(sumOfJobs(50,
                                [](int) -> intptr_t {
                                    skua_job inner;
                                    skua_fork(&inner, returnArg, asArg(1));
                                    intptr_t rc = skua_yield();
                                    rc += skua_yield();
                                    return rc + skua_join(&inner);
                                }),
                      50);
        },
        GetParam());
}

TEST_P(ForkJoinByWorkers, JobsMayAwaitTasksThatFork)
{
    runInTask(
        [] {
            EXPECT_EQ(sumOfJobs(20,
                                [](int i) -> intptr_t {
                                    skua_job inner;
                                    skua_fork(&inner, fib, asArg(8));
                                    intptr_t rc = skua_await(skua_spawn(fib, asArg(10 + i % 3)));
                                    return rc * 1000 + skua_join(&inner);
                                }),
                      (7 * 55 + 7 * 89 + 6 * 144) * 1000 + 20 * 21);
        },
        GetParam());
}

TEST_P(ForkJoinByWorkers, ATaskAwaitedInPlaceForksBesideTheJobsOfItsAwaiter)
{
    runInTask(
        [] {
            skua_job jobs[3];
            for (intptr_t i = 0; i < 3; i++)
                skua_fork(&jobs[i], returnArg, asArg(i + 1));
            EXPECT_EQ(skua_await(skua_spawn(fib, asArg(15))), 610);
            skua_job newest;
            skua_fork(&newest, returnArg, asArg(9));
            EXPECT_EQ(skua_join(&jobs[1]), 2);
            EXPECT_EQ(skua_await(skua_spawn(fib, asArg(12))), 144);
            EXPECT_EQ(skua_join(&newest), 9);
            EXPECT_EQ(skua_join(&jobs[2]), 3);
            EXPECT_EQ(skua_join(&jobs[0]), 1);
        },
        GetParam());
}

TEST_P(ForkJoinByWorkers, AJobMayWaitForAPromise)
{
    Runtime runtime(GetParam());
    Promise promise;
    std::atomic<bool> waits{false};
    auto body = [&]() -> intptr_t {
        auto waiter = [&]() -> intptr_t {
            skua_job inner;
            skua_fork(&inner, returnArg, asArg(3));
            waits = true;
            intptr_t got = skua_await(promise.future);
            return got + skua_join(&inner);
        };
        skua_job before, job, after;
        skua_fork(&before, returnArg, asArg(100));
        forkBody(&job, waiter);
        skua_fork(&after, returnArg, asArg(1000));
        intptr_t sum = skua_join(&after);
        sum += skua_join(&job);
        return sum + skua_join(&before);
    };
    skua_future *future = submitBody(runtime.get(), body);
    EXPECT_TRUE(pollUntil([&] { return waits.load(); }));
    EXPECT_EQ(skua_promise_set(promise.promise, 40), 0);
    EXPECT_EQ(skua_await(future), 1143);
    skua_promise_unref(promise.promise);
}

/* ---- waits around jobs ----------------------------------------------------------------------- */

/* Ten jobs, the last of which completes a future, and a pipe. */
struct Orphans {
    static constexpr int count = 10;
    std::atomic<int> ran{0};
    Promise all;
    int ends[2] = {-1, -1};
    skua_job jobs[count];

    Orphans()
    {
        EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    }
    Orphans(const Orphans &) = delete;
    Orphans &operator=(const Orphans &) = delete;
    ~Orphans()
    {
        skua_future_unref(all.future);
        skua_promise_unref(all.promise);
        close(ends[0]);
        close(ends[1]);
    }

    intptr_t operator()()
    {
        if (++ran < count)
            return 1;
        EXPECT_EQ(write(ends[1], "x", 1), 1);
        EXPECT_EQ(skua_promise_set(all.promise, 1), 0);
        return 1;
    }

    bool done() const
    {
        return ran == count;
    }

    void forkAll()
    {
        for (auto &job : jobs)
            ASSERT_EQ(forkBody(&job, *this), 0);
    }

    void joinAll()
    {
        for (auto &job : jobs)
            EXPECT_EQ(skua_join(&job), 1);
        EXPECT_EQ(ran, count);
    }
};

/* A wait with jobs unjoined, which ends when others have run them all. */
struct OrphanWait {
    const char *name;
    void (*wait)(Orphans &orphans);
};

void waitInAwait(Orphans &orphans)
{
    intptr_t result = 0;
    EXPECT_EQ(skua_await_until(skua_future_ref(orphans.all.future),
                               skua_after(10 * SKUA_NS_PER_SEC), &result),
              0);
}

void waitInSleep(Orphans &orphans)
{
    uint64_t deadline = skua_after(10 * SKUA_NS_PER_SEC);
    while (!orphans.done() && skua_now() < deadline)
        EXPECT_EQ(skua_sleep(SKUA_NS_PER_MS), 0);
}

void waitInYield(Orphans &orphans)
{
    EXPECT_TRUE(yieldUntil([&] { return orphans.done(); }));
}

void waitInRead(Orphans &orphans)
{
    char byte = 0;
    EXPECT_EQ(skua_read(orphans.ends[0], &byte, 1), 1);
}

void waitOnAnExecutor(Orphans &orphans)
{
    ASSERT_EQ(skua_hop(nullptr), 0);
    EXPECT_TRUE(spinUntil([&] { return orphans.done(); }));
    EXPECT_EQ(skua_hop_back(), 0);
}

void waitOnAnExecutorAndJoinThere(Orphans &orphans)
{
    waitOnAnExecutor(orphans);
    ASSERT_EQ(skua_hop(nullptr), 0);
    orphans.joinAll();
    EXPECT_EQ(skua_hop_back(), 0);
    orphans.ran = 0;
    Promise again;
    std::swap(orphans.all.future, again.future);
    std::swap(orphans.all.promise, again.promise);
    skua_future_unref(again.future);
    skua_promise_unref(again.promise);
    orphans.forkAll();
    waitInAwait(orphans);
}

/* A task that ends in place, on our stack, meanwhile. */
void waitInPlace(Orphans &orphans)
{
    auto body = [&]() -> intptr_t {
        waitInAwait(orphans);
        return 1;
    };
    EXPECT_EQ(skua_await(spawnBody(body)), 1);
}

const OrphanWait orphanWaits[] = {
    {"Await", waitInAwait},        {"Sleep", waitInSleep},
    {"Yield", waitInYield},        {"Read", waitInRead},
    {"Hop", waitOnAnExecutor},     {"JoinAfterAHop", waitOnAnExecutorAndJoinThere},
    {"AwaitInPlace", waitInPlace},
};

class ForkJoinOrphans : public ForkJoin,
                        public testing::WithParamInterface<std::tuple<OrphanWait, unsigned>>
{
};

std::string orphansName(const testing::TestParamInfo<std::tuple<OrphanWait, unsigned>> &info)
{
    unsigned workers = std::get<1>(info.param);
    return std::string(std::get<0>(info.param).name) + "With" + std::to_string(workers) +
           (workers == 1 ? "Worker" : "Workers");
}

INSTANTIATE_TEST_SUITE_P(Waits, ForkJoinOrphans,
                         testing::Combine(testing::ValuesIn(orphanWaits),
                                          testing::Values(1u, 2u, 4u)),
                         orphansName);

TEST_P(ForkJoinOrphans, JobsOfATaskThatWaitsAreRunByOthersOrItsOwnWorker)
{
    runInTask(
        [] {
            for (int round = 0; round < 20 && !HasFailure(); round++) {
                Orphans orphans;
                orphans.forkAll();
                std::get<0>(GetParam()).wait(orphans);
                EXPECT_TRUE(orphans.done());
                orphans.joinAll();
            }
        },
        std::get<1>(GetParam()));
}

TEST_P(ForkJoinByWorkers, HopsAmongUnjoinedJobsLoseNone)
{
    runInTask(
        [] {
            for (int round = 0; round < 200 && !HasFailure(); round++) {
                skua_job jobs[6];
                for (intptr_t i = 0; i < 3; i++)
                    skua_fork(&jobs[i], fib, asArg(5 + i));
                ASSERT_EQ(skua_hop(nullptr), 0);
                for (intptr_t i = 3; i < 6; i++)
                    skua_fork(&jobs[i], returnArg, asArg(i)); /* not offered */
                EXPECT_EQ(skua_join(&jobs[4]), 4);
                EXPECT_EQ(skua_join(&jobs[1]), 8);
                ASSERT_EQ(skua_hop_back(), 0);
                EXPECT_EQ(skua_join(&jobs[3]), 3);
                EXPECT_EQ(skua_join(&jobs[2]), 13);
                EXPECT_EQ(skua_join(&jobs[0]), 5);
                EXPECT_EQ(skua_join(&jobs[5]), 5);
            }
        },
        GetParam());
}

TEST_P(ForkJoinByWorkers, ATaskMayJoinAndEndOnAnExecutor)
{
    runInTask(
        [] {
            auto body = []() -> intptr_t {
                skua_job jobs[8];
                for (intptr_t i = 0; i < 8; i++)
                    skua_fork(&jobs[i], returnArg, asArg(i));
                int rc = skua_hop(nullptr);
                intptr_t sum = rc;
                for (int i = 7; i >= 0; i--)
                    sum += skua_join(&jobs[i]);
                return sum; /* its deque may be listed as an orphan's still */
            };
            for (int round = 0; round < 300 && !HasFailure(); round++) {
                skua_future *tasks[4];
                for (auto &task : tasks)
                    task = spawnBody(body);
                for (skua_future *task : tasks)
                    EXPECT_EQ(skua_await(task), 28);
                EXPECT_EQ(fib(asArg(12)), 144);
            }
        },
        GetParam());
}

/* Leaves for an executor and does not come back. */
intptr_t hopAway(void *arg)
{
    int rc = skua_hop(nullptr);
    return rc < 0 ? rc : reinterpret_cast<intptr_t>(arg);
}

TEST_P(ForkJoinByWorkers, AJobMayHopAndEndElsewhere)
{
    runInTask(
        [] {
            for (int round = 0; round < 50 && !HasFailure(); round++) {
                skua_job before, job, after;
                skua_fork(&before, returnArg, asArg(1));
                skua_fork(&job, hopAway, asArg(2));
                skua_fork(&after, fib, asArg(10));
                EXPECT_EQ(skua_join(&after), 55);
                EXPECT_EQ(skua_join(&job), 2);
                EXPECT_EQ(skua_join(&before), 1);
                EXPECT_EQ(skua_hop_back(), 0); /* a job that ran in our task took it along */
                EXPECT_EQ(fib(asArg(8)), 21);
            }
        },
        GetParam());
}

TEST_F(ForkJoin, AStolenJobMayHopAndEndElsewhere)
{
    runInTask([] {
        for (int round = 0; round < 20 && !HasFailure(); round++) {
            std::atomic<bool> started{false};
            auto body = [&]() -> intptr_t {
                started = true;
                skua_job inner;
                skua_fork(&inner, returnArg, asArg(4));
                int rc = skua_hop(nullptr);
                return rc < 0 ? rc : skua_join(&inner);
            };
            skua_job job;
            forkBody(&job, body);
            ASSERT_TRUE(spinUntil([&] { return started.load(); }));
            EXPECT_EQ(skua_join(&job), 4);
        }
    });
}

TEST_F(ForkJoin, SelfIsTheTaskAJobRunsIn)
{
    runInTask([] {
        EXPECT_EQ(sumOfJobs(200,
                            [](int) -> intptr_t {
                                skua_future *self = skua_self();
                                EXPECT_NE(self, nullptr);
                                EXPECT_EQ(skua_future_peek(self, nullptr), -EAGAIN);
                                EXPECT_EQ(skua_yield(), 0);
                                return skua_self() == self && skua_task_name() != nullptr;
                            }),
                  200);
    });
}

/* ---- bad input ------------------------------------------------------------------------------- */

TEST_P(ForkJoinEverywhere, BadInputIsRefused)
{
    runIn(GetParam(), [] {
        skua_job job{};
        EXPECT_EQ(skua_fork(nullptr, returnArg, nullptr), -EINVAL);
        EXPECT_EQ(skua_join(nullptr), -EINVAL);
        EXPECT_EQ(skua_join(&job), -EINVAL) << "of a zeroed job";
        EXPECT_EQ(skua_fork(&job, nullptr, nullptr), -EINVAL);
        EXPECT_EQ(skua_join(&job), -EINVAL) << "of a refused job";
        EXPECT_EQ(skua_fork(&job, returnArg, asArg(3)), 0);
        EXPECT_EQ(skua_join(&job), 3);
        EXPECT_EQ(skua_join(&job), -EINVAL) << "of a joined job";
        EXPECT_EQ(skua_join(&job), -EINVAL);
        EXPECT_EQ(skua_fork(&job, returnArg, asArg(4)), 0) << "storage may be used again";
        EXPECT_EQ(skua_join(&job), 4);
    });
}

TEST_F(ForkJoin, AJoinedOlderJobIsRefusedLikeAnyOther)
{
    runInTask([] {
        skua_job old, young;
        skua_fork(&old, returnArg, asArg(1));
        skua_fork(&young, returnArg, asArg(2));
        EXPECT_EQ(skua_join(&old), 1);
        EXPECT_EQ(skua_join(&old), -EINVAL);
        EXPECT_EQ(skua_join(&young), 2);
        EXPECT_EQ(skua_join(&old), -EINVAL);
    });
}

/* Programmers' errors that only builds with assertions find. */
class ForkJoinMisuseDeathTest : public testing::Test
{
  protected:
    void SetUp() override
    {
#ifndef SKUA_DEBUG
        GTEST_SKIP() << "the library was built without assertions";
#endif
        GTEST_FLAG_SET(death_test_style, "threadsafe");
    }
};

intptr_t moveAJob(void *)
{
    skua_job job;
    skua_fork(&job, returnArg, nullptr);
    skua_job moved = job;
    return skua_join(&moved);
}

TEST_F(ForkJoinMisuseDeathTest, AMovedJobIsFound)
{
    EXPECT_DEATH(skua_run(nullptr, moveAJob, nullptr), "fork_plain.c");
}

intptr_t forgetAJob(void *)
{
    skua_job job;
    return skua_fork(&job, returnArg, nullptr);
}

intptr_t awaitOneThatForgets(void *)
{
    return skua_await(skua_spawn(forgetAJob, nullptr));
}

TEST_F(ForkJoinMisuseDeathTest, ATaskThatEndsWithAnUnjoinedJobIsFoundAndTheForkNamed)
{
    EXPECT_DEATH(skua_run(nullptr, forgetAJob, nullptr),
                 "not joined when its task ended: returnArg at .*fork_join_test.cc:[0-9]+");
}

TEST_F(ForkJoinMisuseDeathTest, SoIsOneThatRanInPlace)
{
    EXPECT_DEATH(skua_run(nullptr, awaitOneThatForgets, nullptr),
                 "not joined when its task ended: returnArg at .*fork_join_test.cc:[0-9]+");
}

} // namespace
