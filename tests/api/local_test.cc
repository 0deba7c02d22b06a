/*
 * Tests skua/local.h: who inherits what from whom, on workers, executors, in timers and forked
 * functions; and when values are destroyed.
 */
#include "support/sync_kit.h"

#include <algorithm>
#include <atomic>

using namespace skua_test;

namespace
{

std::atomic<int> destroyed{0};
std::atomic<intptr_t> destroyedSum{0};

void destroy(intptr_t value)
{
    destroyed++;
    destroyedSum += value;
}

const skua_local_key number{nullptr};
const skua_local_key other{nullptr};
const skua_local_key owned{destroy};

class Local : public Sync
{
  protected:
    void SetUp() override
    {
        destroyed = 0;
        destroyedSum = 0;
    }
};

/* What a skua_fn sees of a key; -1 if nothing. */
intptr_t see(void *key)
{
    return skua_local_get(static_cast<const skua_local_key *>(key), -1);
}

void *arg(const skua_local_key &key)
{
    return const_cast<skua_local_key *>(&key);
}

TEST_F(Local, IsOfTasksAndJobs)
{
    EXPECT_EQ(skua_local_set(&number, 1), -EPERM);
    EXPECT_EQ(skua_local_get(&number, 7), 7);
    EXPECT_EQ(skua_local_get(nullptr, 7), 7);
    runInTask([] {
        EXPECT_EQ(skua_local_set(nullptr, 1), -EINVAL);
        EXPECT_EQ(skua_local_get(nullptr, 7), 7);
        EXPECT_EQ(skua_local_get(&number, 7), 7);
        EXPECT_EQ(skua_local_set(&number, 1), 0);
        EXPECT_EQ(skua_local_set(&other, 2), 0);
        EXPECT_EQ(skua_local_get(&number, 7), 1);
        EXPECT_EQ(skua_local_set(&number, 3), 0);
        EXPECT_EQ(skua_local_get(&number, 7), 3);
        EXPECT_EQ(skua_local_get(&other, 7), 2);
        EXPECT_EQ(skua_local_set(&other, 0), 0); /* a value like others */
        EXPECT_EQ(skua_local_get(&other, 7), 0);
    });
}

TEST_F(Local, HoldsAsManyKeysAsThereAre)
{
    static const skua_local_key keys[50] = {};
    runInTask([] {
        for (intptr_t round = 0; round < 2; round++)
            for (intptr_t i = 0; i < 50; i++)
                EXPECT_EQ(skua_local_set(&keys[i], i + round), 0);
        for (intptr_t i = 0; i < 50; i++)
            EXPECT_EQ(skua_await(skua_spawn(see, arg(keys[i]))), i + 1);
    });
}

/* Neither what the parent sets after the spawn nor what the child sets is seen by the other. */
TEST_F(Local, AChildHasItsParentsValuesOfTheSpawn)
{
    for (unsigned workers : {1u, 2u})
        runInTask(
            [] {
                EXPECT_EQ(skua_await(skua_spawn(see, arg(number))), -1);
                EXPECT_EQ(skua_local_set(&number, 1), 0);
                auto child = []() -> intptr_t {
                    intptr_t before = skua_local_get(&number, -1);
                    EXPECT_EQ(skua_local_set(&number, 50), 0);
                    EXPECT_EQ(skua_local_set(&other, 60), 0);
                    EXPECT_EQ(skua_await(skua_spawn(see, arg(other))), 60); /* the grandchild */
                    return before;
                };
                skua_future *first = spawnBody(child);
                skua_future *second = skua_spawn(see, arg(number));
                EXPECT_EQ(skua_local_set(&number, 2), 0);
                skua_future *third = skua_spawn(see, arg(number));
                EXPECT_EQ(skua_await(third), 2);
                EXPECT_EQ(skua_await(second), 1);
                EXPECT_EQ(skua_await(first), 1);
                EXPECT_EQ(skua_local_get(&number, -1), 2);
                EXPECT_EQ(skua_local_get(&other, -1), -1);
            },
            workers);
}

TEST_F(Local, GoesWithATaskWhereverItGoes)
{
    runInTask([] {
        EXPECT_EQ(skua_local_set(&number, 4), 0);
        EXPECT_EQ(skua_yield(), 0);
        EXPECT_EQ(skua_hop(nullptr), 0);
        EXPECT_EQ(skua_local_get(&number, -1), 4);
        EXPECT_EQ(skua_local_set(&number, 5), 0);
        EXPECT_EQ(skua_hop_back(), 0);
        EXPECT_EQ(skua_local_get(&number, -1), 5);
    });
}

/* Everything that starts something in the background. */
TEST_F(Local, IsInheritedInEveryWay)
{
    runInTask([] {
        EXPECT_EQ(skua_local_set(&number, 9), 0);
        skua_runtime *runtime = skua_runtime_current();
        EXPECT_EQ(skua_await(skua_submit(runtime, see, arg(number))), 9);
        EXPECT_EQ(skua_await(skua_run_in_executor(nullptr, see, arg(number))), 9);
        EXPECT_EQ(skua_await(skua_call_later(1000, see, arg(number))), 9);
        auto follow = [](intptr_t value, void *key) -> intptr_t { return value + see(key); };
        EXPECT_EQ(skua_await(skua_future_then(skua_spawn(see, arg(other)), follow, arg(number))),
                  8);
        auto inner =
            []() -> intptr_t { /* a job starts a task, and another job in its place */
                               EXPECT_EQ(skua_local_set(&other, 3), 0);
                               EXPECT_EQ(skua_await(skua_spawn(see, arg(other))), 3);
                               EXPECT_EQ(skua_await(skua_run_in_executor(nullptr, see, arg(other))),
                                         3);
                               return skua_local_get(&other, -1) + skua_local_get(&number, -1);
        };
        EXPECT_EQ(skua_await(offloadBody(nullptr, inner)), 12);
        EXPECT_EQ(skua_await(skua_run_in_executor(nullptr, see, arg(other))), -1);
        skua_scope scope;
        ASSERT_EQ(skua_scope_open(&scope, nullptr), 0);
        for (int i = 0; i < 3; i++)
            EXPECT_EQ(skua_scope_spawn(
                          &scope, [](void *key) -> intptr_t { return see(key) == 9 ? 0 : -EIO; },
                          arg(number), nullptr),
                      0);
        EXPECT_EQ(skua_scope_close(&scope), 0);
        skua_task_options options{};
        options.name = "named";
        skua_future *future = nullptr;
        EXPECT_EQ(skua_spawn_with(&options, see, arg(number), &future), 0);
        EXPECT_EQ(skua_await(future), 9);
    });
}

TEST_F(Local, AFailedChildOfAScopeStillHasThem)
{
    runInTask([] {
        EXPECT_EQ(skua_local_set(&owned, 9), 0);
        skua_scope scope;
        ASSERT_EQ(skua_scope_open(&scope, nullptr), 0);
        auto fail = [](void *) -> intptr_t {
            EXPECT_EQ(skua_local_get(&owned, -1), 9);
            return -EPROTO;
        };
        for (int i = 0; i < 3; i++)
            (void)skua_scope_spawn(&scope, fail, nullptr, nullptr);
        EXPECT_EQ(skua_scope_close(&scope), -EPROTO);
        EXPECT_EQ(destroyed, 0);
    });
    EXPECT_EQ(destroyed, 1);
}

/* ---- forked functions ------------------------------------------------------------------------ */

/* Functions that are stolen see what those see that are not, and hand it on. */
TEST_F(Local, ForkedFunctionsSeeTheValuesOfTheirTask)
{
    struct Ranges {
        std::atomic<size_t> wrong{0};
        std::atomic<size_t> seen{0};
    };
    Ranges ranges;
    runInTask([&] {
        EXPECT_EQ(skua_local_set(&number, 6), 0);
        EXPECT_EQ(skua_local_set(&owned, 5), 0);
        auto body = [](size_t begin, size_t end, void *p) -> int {
            auto *r = static_cast<Ranges *>(p);
            for (size_t i = begin; i < end; i++) {
                bool good = skua_local_get(&owned, -1) == 5;
                if (i % 100 == 0)
                    good = skua_await(skua_spawn(see, arg(number))) == 6 && good;
                r->wrong += !good;
                r->seen++;
            }
            return 0;
        };
        skua_runtime *runtime = skua_runtime_current();
        auto stolen = [&] { return sumOf(runtime, &skua_worker_stats::jobs_stolen); };
        for (int i = 0; i < 2000 && stolen() < 20; i++)
            EXPECT_EQ(skua_parallel_for(0, 4000, 10, body, &ranges), 0);
        EXPECT_GE(stolen(), 20u);
    });
    EXPECT_EQ(ranges.wrong, 0u);
    EXPECT_EQ(ranges.seen % 4000, 0u);
    EXPECT_EQ(destroyed, 1);
}

/*
 * A binary tree of forks with 256 leaves. One half of it is cheap: whoever has that one steals from
 * the other, which is likely to be a stolen job that has not looked yet, for only the last 64
 * leaves of a half look.
 */
struct Node {
    unsigned depth;
    unsigned number; /* from the left */
    unsigned cheap;  /* which half */
};

intptr_t look(void *p)
{
    const Node node = *static_cast<Node *>(p);
    if (node.depth == 0) {
        uint64_t end = node.number / 128 == node.cheap ? 0 : skua_after(5 * SKUA_NS_PER_US);
        while (skua_now() < end)
            continue;
        return node.number % 128 < 64 || skua_local_get(&owned, -1) == 5 ? 0 : -EIO;
    }
    Node nodes[2] = {node, node};
    skua_call calls[2] = {};
    for (int i = 0; i < 2; i++) {
        nodes[i].depth--;
        nodes[i].number = node.number * 2 + static_cast<unsigned>(i);
        calls[i].fn = look;
        calls[i].arg = &nodes[i];
    }
    intptr_t rc = skua_parallel_invoke(calls, 2);
    return rc < 0 ? rc : std::min(calls[0].result, calls[1].result);
}

TEST_F(Local, ValuesComeThroughForkersThatNeverLooked)
{
    runInTask([] {
        skua_runtime *runtime = skua_runtime_current();
        auto stolen = [&] { return sumOf(runtime, &skua_worker_stats::jobs_stolen); };
        EXPECT_EQ(skua_local_set(&owned, 5), 0);
        for (unsigned i = 0; i < 200 && stolen() < 300; i++) {
            Node root = {8, 0, i % 2};
            EXPECT_EQ(look(&root), 0);
        }
        EXPECT_GE(stolen(), 20u);
    });
    EXPECT_EQ(destroyed, 1);
}

/* A set while thieves look: what they see is one of the values, and it is alive. */
TEST_F(Local, ASetDuringAForkIsSeenOrNot)
{
    runInTask([&] {
        skua_runtime *runtime = skua_runtime_current();
        auto stolen = [&] { return sumOf(runtime, &skua_worker_stats::jobs_stolen); };
        for (intptr_t i = 1; i <= 20000 && stolen() < 100; i++) {
            EXPECT_EQ(skua_local_set(&owned, i), 0);
            skua_call calls[8] = {};
            for (skua_call &call : calls) {
                /* Long enough for one that sleeps to come for it. */
                call.fn = [](void *) -> intptr_t {
                    uint64_t end_ns = skua_after(20 * SKUA_NS_PER_US);
                    intptr_t value = skua_local_get(&owned, -1);
                    EXPECT_EQ(skua_local_set(&owned, value + 1000000), 0);
                    while (skua_now() < end_ns)
                        ;
                    return value > 0 ? 0 : -EIO;
                };
            }
            EXPECT_EQ(skua_parallel_invoke(calls, 8), 0);
            for (const skua_call &call : calls)
                EXPECT_EQ(call.result, 0);
        }
        EXPECT_GE(stolen(), 100u);
    });
}

/* ---- destroying ------------------------------------------------------------------------------ */

TEST_F(Local, AValueIsDestroyedWithTheLastTaskThatSeesIt)
{
    runInTask([] {
        Promise gate;
        auto child = [&]() -> intptr_t {
            EXPECT_EQ(skua_await(gate.future), 0);
            return skua_local_get(&owned, -1);
        };
        auto parent = [&]() -> intptr_t {
            EXPECT_EQ(skua_local_set(&owned, 100), 0);
            EXPECT_EQ(skua_local_set(&owned, 100), 0); /* nothing new */
            return reinterpret_cast<intptr_t>(spawnBody(child));
        };
        auto *future = reinterpret_cast<skua_future *>(skua_await(spawnBody(parent)));
        EXPECT_EQ(destroyed, 0);
        EXPECT_EQ(skua_promise_set(gate.promise, 0), 0);
        EXPECT_EQ(skua_await(future), 100);
        EXPECT_EQ(destroyed, 1);
        skua_promise_unref(gate.promise);
    });
    EXPECT_EQ(destroyedSum, 100);
}

TEST_F(Local, AnotherValueDestroysTheOneBefore)
{
    runInTask([] {
        EXPECT_EQ(skua_local_set(&owned, 1), 0);
        EXPECT_EQ(skua_local_set(&number, 1), 0); /* a list more, not a task */
        EXPECT_EQ(skua_local_set(&owned, 2), 0);
        EXPECT_EQ(destroyed, 1);
        EXPECT_EQ(destroyedSum, 1);
        EXPECT_EQ(skua_local_set(&owned, 0), 0); /* which is not destroyed */
        EXPECT_EQ(destroyed, 2);
        EXPECT_EQ(skua_local_get(&owned, -1), 0);
    });
    EXPECT_EQ(destroyed, 2);
    EXPECT_EQ(destroyedSum, 3);
}

/* Cancelled before they start, refused by a full executor, or not yet due: they never run. */
TEST_F(Local, WhoNeverRunsLetsGoToo)
{
    auto body = [] {
        EXPECT_EQ(skua_local_set(&owned, 1), 0);
        skua_future *futures[] = {skua_spawn(see, arg(owned)),
                                  skua_call_later(SKUA_NS_PER_SEC, see, arg(owned))};
        for (skua_future *future : futures) {
            EXPECT_EQ(skua_cancel(future), 0);
            EXPECT_EQ(skua_await(future), -ECANCELED);
        }
        skua_executor_options options{};
        options.threads_max = 1;
        options.queue_max = 1;
        skua_executor *executor = nullptr;
        ASSERT_EQ(skua_executor_create(nullptr, &options, &executor), 0);
        std::vector<skua_future *> jobs;
        int refused = 0;
        for (int i = 0; i < 1000 && refused == 0; i++) {
            skua_future *job = skua_run_in_executor(executor, see, arg(owned));
            intptr_t rc = 0;
            refused += skua_future_peek(job, &rc) == 0 && rc == -EAGAIN;
            jobs.push_back(job);
        }
        EXPECT_EQ(refused, 1);
        for (skua_future *job : jobs) {
            intptr_t rc = skua_await(job);
            EXPECT_TRUE(rc == 1 || rc == -EAGAIN);
        }
        EXPECT_EQ(skua_executor_destroy(executor), 0);
        EXPECT_EQ(destroyed, 0);
    };
    runInTask(body, 1);
    EXPECT_EQ(destroyed, 1);
}

TEST_F(Local, EachValueIsDestroyedOnceInACrowd)
{
    const int each = rounds(200);
    std::atomic<int> set{0};
    runCrowd([&](unsigned i) {
        if (skua_local_set(&number, static_cast<intptr_t>(i)) == -EPERM)
            return; /* a thread */
        for (int n = 0; n < each; n++) {
            EXPECT_EQ(skua_local_set(&owned, 1 + n), 0);
            set++;
            skua_future *child = skua_spawn(see, arg(owned));
            if (n % 3 == 0)
                (void)skua_cancel(child);
            intptr_t seen = skua_await(child);
            EXPECT_TRUE(seen == 1 + n || seen == -ECANCELED);
            EXPECT_EQ(skua_local_get(&number, -1), static_cast<intptr_t>(i));
        }
    });
    EXPECT_EQ(destroyed, set);
    EXPECT_EQ(destroyedSum, static_cast<intptr_t>(set / each) * each * (each + 1) / 2);
}

} /* namespace */
