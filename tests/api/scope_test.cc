/*
 * Tests skua/scope.h: joining, failures, cancelling from within and without, deadlines, nesting,
 * shields, cleanup, long-lived scopes, and misuse.
 */
#include "support/fd_guard.h"
#include "support/hang_guard.h"
#include "support/runtime_kit.h"

#include <atomic>
#include <cstring>
#include <set>
#include <string>
#include <thread>
#include <vector>

using namespace skua_test;

namespace
{

class Scope : public testing::Test
{
  protected:
    FdGuard fds_;
    HangGuard hang_;
};

intptr_t waitForEver(void *)
{
    return skua_sleep_until(SKUA_FOREVER);
}

intptr_t returnIt(void *arg)
{
    return reinterpret_cast<intptr_t>(arg);
}

intptr_t yieldThenReturn(void *arg)
{
    int rc = skua_yield();
    return rc < 0 ? rc : reinterpret_cast<intptr_t>(arg);
}

void *error(int code)
{
    return reinterpret_cast<void *>(static_cast<intptr_t>(-code));
}

/* Spawns @body as a child of @scope; it must outlive it. */
template <class Body> int spawnIn(skua_scope *scope, Body &body, skua_future **child = nullptr)
{
    return skua_scope_spawn(scope, callValue<Body>, &body, child);
}

TEST_F(Scope, RefusesWhatIsNotThereAndNotAllowed)
{
    skua_scope scope;
    skua_scope_failure failure{};
    skua_scope_cleanup cleanup;
    EXPECT_EQ(skua_scope_open(&scope, nullptr), -EPERM); /* no task */
    EXPECT_EQ(skua_timeout(1, returnIt, nullptr), -EPERM);
    runInTask([&] {
        EXPECT_EQ(skua_scope_open(nullptr, nullptr), -EINVAL);
        skua_scope_options options{};
        options.flags = 8;
        EXPECT_EQ(skua_scope_open(&scope, &options), -EINVAL);
        options.flags = 0;
        options.reserved[3] = 1;
        EXPECT_EQ(skua_scope_open(&scope, &options), -EINVAL);
        EXPECT_EQ(skua_scope_close(nullptr), -EINVAL);
        EXPECT_EQ(skua_scope_wait(nullptr), -EINVAL);
        EXPECT_EQ(skua_scope_cancel(nullptr), -EINVAL);
        EXPECT_EQ(skua_scope_set_deadline(nullptr, 1), -EINVAL);
        EXPECT_EQ(skua_scope_deadline(nullptr), SKUA_FOREVER);
        EXPECT_EQ(skua_scope_cancelled(nullptr), SKUA_SCOPE_RUNNING);
        EXPECT_EQ(skua_scope_cancelled_by(nullptr), nullptr);
        EXPECT_FALSE(skua_scope_next_failure(nullptr, &failure));
        EXPECT_EQ(skua_scope_spawn(nullptr, returnIt, nullptr, nullptr), -EINVAL);
        EXPECT_EQ(skua_timeout(1, nullptr, nullptr), -EINVAL);
        ASSERT_EQ(skua_scope_open(&scope, nullptr), 0);
        EXPECT_EQ(skua_scope_spawn(&scope, nullptr, nullptr, nullptr), -EINVAL);
        EXPECT_EQ(skua_scope_defer(&scope, nullptr, nullptr, nullptr), -EINVAL);
        EXPECT_FALSE(skua_scope_next_failure(&scope, nullptr));
        skua_scope inner;
        ASSERT_EQ(skua_scope_open(&inner, nullptr), 0);
        EXPECT_EQ(skua_scope_close(&scope), -EPERM); /* not the innermost */
        EXPECT_EQ(skua_scope_wait(&scope), -EPERM);
        auto other = [&]() -> intptr_t {
            EXPECT_EQ(skua_scope_close(&inner), -EPERM); /* not its body */
            EXPECT_EQ(skua_scope_set_deadline(&inner, 1), -EPERM);
            EXPECT_EQ(skua_scope_defer(
                          &inner, &cleanup, [](void *) {}, nullptr),
                      -EPERM);
            return 0;
        };
        EXPECT_EQ(skua_await(spawnBody(other)), 0);
        EXPECT_EQ(skua_scope_close(&inner), 0);
        EXPECT_EQ(skua_scope_close(&scope), 0);
    });
}

TEST_F(Scope, WaitsForAllItsChildren)
{
    runInTask([] {
        std::atomic<int> ended{0};
        auto child = [&]() -> intptr_t {
            EXPECT_EQ(skua_sleep(SKUA_NS_PER_MS), 0);
            ended++;
            return 5;
        };
        skua_scope scope;
        ASSERT_EQ(skua_scope_open(&scope, nullptr), 0);
        skua_future *handle = nullptr;
        for (int i = 0; i < 20; i++)
            ASSERT_EQ(spawnIn(&scope, child, i == 7 ? &handle : nullptr), 0);
        EXPECT_EQ(skua_scope_close(&scope), 0);
        EXPECT_EQ(ended, 20);
        EXPECT_EQ(skua_await(handle), 5);
    });
}

TEST_F(Scope, RunsChildrenInTheOrderOfTheirSpawns)
{
    runInTask(
        [] {
            std::vector<int> order;
            struct Child {
                std::vector<int> *order;
                int number;
                intptr_t operator()()
                {
                    order->push_back(number);
                    return 0;
                }
            };
            std::vector<Child> children;
            for (int i = 0; i < 10; i++)
                children.push_back({&order, i});
            skua_scope scope;
            ASSERT_EQ(skua_scope_open(&scope, nullptr), 0);
            for (Child &child : children)
                ASSERT_EQ(spawnIn(&scope, child), 0);
            EXPECT_EQ(skua_scope_close(&scope), 0);
            EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
        },
        1);
}

TEST_F(Scope, TheFirstFailureCancelsTheOthersAndTheBody)
{
    runInTask([] {
        skua_scope scope;
        ASSERT_EQ(skua_scope_open(&scope, nullptr), 0);
        skua_future *patient = nullptr;
        ASSERT_EQ(skua_scope_spawn(&scope, waitForEver, nullptr, &patient), 0);
        ASSERT_EQ(skua_scope_spawn(&scope, yieldThenReturn, error(EIO), nullptr), 0);
        EXPECT_EQ(skua_sleep_until(SKUA_FOREVER), -ECANCELED);
        EXPECT_EQ(skua_scope_cancelled(&scope), SKUA_SCOPE_CHILD_FAILED);
        EXPECT_NE(std::string(skua_scope_cancelled_by(&scope)).find("yieldThenReturn"),
                  std::string::npos);
        EXPECT_EQ(skua_scope_spawn(&scope, waitForEver, nullptr, nullptr), -ECANCELED);
        EXPECT_EQ(skua_scope_wait(&scope), -EIO);
        skua_scope_failure failure{};
        ASSERT_TRUE(skua_scope_next_failure(&scope, &failure));
        EXPECT_EQ(failure.result, -EIO);
        EXPECT_EQ(failure.name, nullptr);
        EXPECT_NE(std::string(failure.site).find("yieldThenReturn"), std::string::npos);
        EXPECT_FALSE(skua_scope_next_failure(&scope, &failure));
        EXPECT_EQ(skua_scope_close(&scope), -EIO);
        EXPECT_EQ(skua_await(patient), -ECANCELED);
        EXPECT_EQ(skua_sleep(1), 0); /* the scope is over, and its cancel too */
        EXPECT_FALSE(skua_cancelled());
    });
}

TEST_F(Scope, CollectsEveryFailureIfToldTo)
{
    runInTask([] {
        skua_scope_options options{};
        options.flags = SKUA_SCOPE_COLLECT;
        skua_scope scope;
        ASSERT_EQ(skua_scope_open(&scope, &options), 0);
        for (int code : {EIO, ENOENT, EBADF})
            ASSERT_EQ(skua_scope_spawn(&scope, yieldThenReturn, error(code), nullptr), 0);
        skua_future *fine = nullptr;
        ASSERT_EQ(skua_scope_spawn(&scope, yieldThenReturn, reinterpret_cast<void *>(3), &fine), 0);
        intptr_t first = skua_scope_wait(&scope);
        std::multiset<intptr_t> seen;
        skua_scope_failure failure{};
        while (skua_scope_next_failure(&scope, &failure))
            seen.insert(failure.result);
        EXPECT_EQ(seen, (std::multiset<intptr_t>{-EIO, -ENOENT, -EBADF}));
        EXPECT_EQ(seen.count(first), 1u);
        EXPECT_EQ(skua_scope_cancelled(&scope), SKUA_SCOPE_RUNNING);
        EXPECT_EQ(skua_scope_close(&scope), first);
        EXPECT_EQ(skua_await(fine), 3);
    });
}

TEST_F(Scope, AChildThatIsCancelledAloneIsNoFailure)
{
    runInTask([] {
        skua_scope scope;
        ASSERT_EQ(skua_scope_open(&scope, nullptr), 0);
        skua_future *child = nullptr;
        ASSERT_EQ(skua_scope_spawn(&scope, waitForEver, nullptr, &child), 0);
        EXPECT_EQ(skua_yield(), 0);
        EXPECT_EQ(skua_cancel(child), 0);
        EXPECT_EQ(skua_scope_close(&scope), 0);
        EXPECT_EQ(skua_await(child), -ECANCELED);
    });
}

/* A scope with a deadline that soon, and so many children. How many were spawned before it. */
unsigned expireWithChildren(unsigned children, uint64_t delay_ns)
{
    unsigned spawned = 0;
    skua_scope_options options{};
    options.deadline_ns = skua_after(delay_ns);
    skua_scope scope;
    EXPECT_EQ(skua_scope_open(&scope, &options), 0);
    EXPECT_EQ(skua_scope_deadline(&scope), options.deadline_ns);
    for (int rc = 0; rc == 0 && spawned < children; spawned += rc == 0) {
        rc = skua_scope_spawn(&scope, waitForEver, nullptr, nullptr);
        if (rc != 0) {
            EXPECT_EQ(rc, -ECANCELED);
            EXPECT_GE(skua_now(), options.deadline_ns);
        }
    }
    EXPECT_EQ(skua_sleep(10 * SKUA_NS_PER_SEC), -ECANCELED);
    EXPECT_GE(skua_now(), options.deadline_ns);
    EXPECT_EQ(skua_scope_cancelled(&scope), SKUA_SCOPE_EXPIRED);
    EXPECT_EQ(skua_scope_cancelled_by(&scope), nullptr);
    EXPECT_EQ(skua_scope_set_deadline(&scope, SKUA_FOREVER), -EALREADY);
    EXPECT_EQ(skua_scope_close(&scope), -ETIMEDOUT);
    EXPECT_EQ(skua_sleep(1), 0);
    return spawned;
}

/* A body that is held up until its deadline has fewer children; then it tries with more time. */
TEST_F(Scope, ADeadlineCancelsBodyAndChildren)
{
    runInTask([] {
        for (unsigned children : {0u, 1u, 50u}) {
            unsigned spawned = 0;
            uint64_t delay_ns = 2 * SKUA_NS_PER_MS;
            for (int i = 0; i < 6 && (i == 0 || spawned < children); i++, delay_ns *= 4)
                spawned = expireWithChildren(children, delay_ns);
            EXPECT_EQ(spawned, children);
        }
    });
}

/* A task that is held up for longer than the first deadline comes too late, and tries with more. */
TEST_F(Scope, ADeadlineCanBeMoved)
{
    runInTask([] {
        bool moved = false;
        for (uint64_t delay = 3 * SKUA_NS_PER_MS; !moved && delay < SKUA_NS_PER_SEC; delay *= 4) {
            skua_scope_options options{};
            options.deadline_ns = skua_after(delay);
            skua_scope scope;
            ASSERT_EQ(skua_scope_open(&scope, &options), 0);
            moved = skua_scope_set_deadline(&scope, SKUA_FOREVER) == 0;
            if (moved) {
                EXPECT_EQ(skua_scope_deadline(&scope), SKUA_FOREVER);
                EXPECT_EQ(skua_sleep(2 * delay), 0);
                EXPECT_EQ(skua_scope_set_deadline(&scope, skua_after(SKUA_NS_PER_MS)), 0);
                EXPECT_EQ(skua_sleep(10 * SKUA_NS_PER_SEC), -ECANCELED);
            }
            EXPECT_EQ(skua_scope_close(&scope), -ETIMEDOUT);
        }
        EXPECT_TRUE(moved);
    });
}

TEST_F(Scope, IsCancelledFromAForeignThread)
{
    runInTask([] {
        skua_scope scope;
        ASSERT_EQ(skua_scope_open(&scope, nullptr), 0);
        for (int i = 0; i < 10; i++)
            ASSERT_EQ(skua_scope_spawn(&scope, waitForEver, nullptr, nullptr), 0);
        std::thread other([&] {
            EXPECT_EQ(skua_scope_cancel(&scope), 0);
            EXPECT_EQ(skua_scope_cancel(&scope), -EALREADY);
        });
        EXPECT_EQ(skua_sleep_until(SKUA_FOREVER), -ECANCELED);
        other.join();
        EXPECT_EQ(skua_scope_cancelled(&scope), SKUA_SCOPE_REQUESTED);
        EXPECT_EQ(skua_scope_close(&scope), -ECANCELED);
    });
}

TEST_F(Scope, CancellingTheTaskCancelsItsScopesChildren)
{
    runInTask([] {
        skua_future *patient = nullptr;
        auto body = [&]() -> intptr_t {
            skua_scope scope;
            EXPECT_EQ(skua_scope_open(&scope, nullptr), 0);
            EXPECT_EQ(skua_scope_spawn(&scope, waitForEver, nullptr, &patient), 0);
            int rc = skua_scope_close(&scope);
            EXPECT_EQ(rc, -ECANCELED);
            EXPECT_EQ(skua_sleep(1), -ECANCELED); /* the task itself stays cancelled */
            return rc;
        };
        skua_future *task = spawnNamed("body", body);
        ASSERT_TRUE(yieldUntilState("body", "sleeping")); /* the child runs in place */
        EXPECT_EQ(skua_cancel(task), 0);
        EXPECT_EQ(skua_await(task), -ECANCELED);
        EXPECT_EQ(skua_await(patient), -ECANCELED);
    });
}

TEST_F(Scope, ACancelledScopeEndsTheWaitsOfInnerOnesButNotOfOuterOnes)
{
    runInTask([] {
        skua_scope outer, middle, inner;
        ASSERT_EQ(skua_scope_open(&outer, nullptr), 0);
        ASSERT_EQ(skua_scope_open(&middle, nullptr), 0);
        ASSERT_EQ(skua_scope_open(&inner, nullptr), 0);
        ASSERT_EQ(skua_scope_spawn(&inner, waitForEver, nullptr, nullptr), 0);
        EXPECT_EQ(skua_scope_cancel(&middle), 0);
        EXPECT_EQ(skua_sleep(1), -ECANCELED);
        EXPECT_EQ(skua_scope_cancelled(&inner), SKUA_SCOPE_RUNNING);
        EXPECT_EQ(skua_scope_close(&inner), -ECANCELED);
        EXPECT_EQ(skua_sleep(1), -ECANCELED);
        EXPECT_EQ(skua_scope_close(&middle), -ECANCELED);
        EXPECT_EQ(skua_sleep(1), 0);
        EXPECT_EQ(skua_scope_close(&outer), 0);
    });
}

TEST_F(Scope, AShieldHoldsOffEverythingFromOutside)
{
    runInTask([] {
        auto body = [&]() -> intptr_t {
            skua_scope outer, inner;
            skua_shield shield;
            EXPECT_EQ(skua_scope_open(&outer, nullptr), 0);
            EXPECT_EQ(skua_shield_open(&shield), 0);
            EXPECT_EQ(skua_scope_cancel(&outer), 0);
            EXPECT_EQ(skua_cancel(skua_self()), 0);
            EXPECT_FALSE(skua_cancelled());
            EXPECT_EQ(skua_sleep(1), 0);
            EXPECT_EQ(skua_scope_open(&inner, nullptr), 0);
            EXPECT_EQ(skua_scope_spawn(&inner, waitForEver, nullptr, nullptr), 0);
            EXPECT_EQ(skua_sleep(1), 0);
            EXPECT_EQ(skua_scope_cancel(&inner), 0); /* inside: it counts */
            EXPECT_EQ(skua_sleep(1), -ECANCELED);
            EXPECT_EQ(skua_shield_close(&shield), -EPERM); /* not the innermost */
            EXPECT_EQ(skua_scope_close(&inner), -ECANCELED);
            EXPECT_EQ(skua_sleep(1), 0);
            EXPECT_EQ(skua_shield_close(&shield), 0);
            EXPECT_EQ(skua_sleep(1), -ECANCELED);
            EXPECT_EQ(skua_scope_close(&outer), -ECANCELED);
            return 1;
        };
        EXPECT_EQ(skua_await(spawnBody(body)), 1);
        EXPECT_EQ(skua_shield_open(nullptr), -EINVAL);
        EXPECT_EQ(skua_shield_close(nullptr), -EINVAL);
    });
}

/* The children hear of it at once, not only when the body comes to wait for them. */
TEST_F(Scope, ACancelReachesChildrenWhileTheBodyIsShielded)
{
    runInTask([] {
        skua_scope scope;
        skua_shield shield;
        skua_future *children[2];
        ASSERT_EQ(skua_scope_open(&scope, nullptr), 0);
        ASSERT_EQ(skua_scope_spawn(&scope, waitForEver, nullptr, &children[0]), 0);
        auto spawner = [&]() -> intptr_t {
            return skua_scope_spawn(&scope, waitForEver, nullptr, &children[1]);
        };
        EXPECT_EQ(skua_await(spawnBody(spawner)), 0);
        ASSERT_EQ(skua_shield_open(&shield), 0);
        auto canceller = [&]() -> intptr_t { return skua_scope_cancel(&scope); };
        EXPECT_EQ(skua_await(spawnBody(canceller)), 0);
        for (skua_future *child : children)
            EXPECT_EQ(skua_await(child), -ECANCELED);
        EXPECT_EQ(skua_shield_close(&shield), 0);
        EXPECT_EQ(skua_scope_close(&scope), -ECANCELED);
    });
}

TEST_F(Scope, WhatIsDeferredRunsLastFirstAndMayWait)
{
    runInTask([] {
        static std::vector<int> order;
        order.clear();
        skua_scope_cleanup cleanups[3];
        skua_scope scope;
        ASSERT_EQ(skua_scope_open(&scope, nullptr), 0);
        static int numbers[3] = {0, 1, 2};
        for (int i = 0; i < 3; i++) {
            auto note = [](void *arg) {
                EXPECT_EQ(skua_sleep(1), 0); /* although the scope is cancelled */
                order.push_back(*static_cast<int *>(arg));
            };
            ASSERT_EQ(skua_scope_defer(&scope, &cleanups[i], note, &numbers[i]), 0);
        }
        ASSERT_EQ(skua_scope_spawn(&scope, waitForEver, nullptr, nullptr), 0);
        EXPECT_EQ(skua_scope_cancel(&scope), 0);
        EXPECT_EQ(skua_scope_close(&scope), -ECANCELED);
        EXPECT_EQ(order, (std::vector<int>{2, 1, 0}));
    });
}

TEST_F(Scope, TheBlockFormClosesOnEveryWayOut)
{
    runInTask([] {
        std::atomic<int> ended{0};
        auto child = [&]() -> intptr_t {
            EXPECT_EQ(skua_sleep(1), 0);
            ended++;
            return 0;
        };
        auto leaveEarly = [&] {
            SKUA_SCOPE(scope, nullptr)
            {
                EXPECT_EQ(spawnIn(scope, child), 0);
                return 1;
            }
            return 0;
        };
        EXPECT_EQ(leaveEarly(), 1);
        EXPECT_EQ(ended, 1);
        SKUA_SCOPE(scope, nullptr)
        {
            EXPECT_EQ(spawnIn(scope, child), 0);
            break;
        }
        EXPECT_EQ(ended, 2);
        int runs = 0;
        SKUA_SCOPE(scope, nullptr)
        {
            runs++;
            EXPECT_EQ(spawnIn(scope, child), 0);
        }
        EXPECT_EQ(ended, 3);
        EXPECT_EQ(runs, 1);
    });
    SKUA_SCOPE(scope, nullptr)
    {
        ADD_FAILURE() << "no task, no scope";
    }
}

TEST_F(Scope, ChildrenMaySpawnSiblings)
{
    runInTask([] {
        std::atomic<int> ended{0};
        skua_scope scope;
        ASSERT_EQ(skua_scope_open(&scope, nullptr), 0);
        auto leaf = [&]() -> intptr_t {
            EXPECT_EQ(skua_yield(), 0);
            ended++;
            return 0;
        };
        auto branch = [&]() -> intptr_t {
            for (int i = 0; i < 300; i++)
                EXPECT_EQ(spawnIn(&scope, leaf), 0);
            return 0;
        };
        for (int i = 0; i < 4; i++)
            ASSERT_EQ(spawnIn(&scope, branch), 0);
        EXPECT_EQ(skua_scope_close(&scope), 0);
        EXPECT_EQ(ended, 1200);
    });
}

/* A scope that lives long does not keep its ended children: as in a server's accept loop. */
TEST_F(Scope, EndedChildrenDoNotPileUp)
{
    runInTask(
        [] {
            skua_scope scope;
            ASSERT_EQ(skua_scope_open(&scope, nullptr), 0);
            auto liveObjects = [] { return skua_runtime_list(skua_runtime_current(), nullptr, 0); };
            auto loop = [&]() -> intptr_t {
                for (int i = 0; i < 20000; i++) {
                    EXPECT_EQ(skua_scope_spawn(&scope, returnIt, nullptr, nullptr), 0);
                    EXPECT_EQ(i % 16 == 0 ? skua_yield() : 0, 0);
                }
                return liveObjects();
            };
            skua_future *child = nullptr;
            ASSERT_EQ(spawnIn(&scope, loop, &child), 0); /* theirs, while the body waits */
            EXPECT_EQ(skua_scope_wait(&scope), 0);
            EXPECT_LT(skua_await(child), 500);
            EXPECT_LT(loop(), 500); /* mine */
            EXPECT_EQ(skua_scope_close(&scope), 0);
        },
        1);
}

TEST_F(Scope, TimeoutTellsWhetherTheTimeWasEnough)
{
    runInTask([] {
        EXPECT_EQ(skua_timeout(SKUA_NS_PER_MS, waitForEver, nullptr), -ETIMEDOUT);
        EXPECT_EQ(skua_timeout(SKUA_NS_PER_SEC, yieldThenReturn, reinterpret_cast<void *>(9)), 9);
        EXPECT_EQ(skua_timeout(SKUA_NS_PER_SEC, yieldThenReturn, error(EIO)), -EIO);
        EXPECT_EQ(skua_timeout(0, waitForEver, nullptr), -ETIMEDOUT);
        EXPECT_EQ(skua_timeout(UINT64_MAX, returnIt, nullptr), 0);
        auto late = [](void *) -> intptr_t {
            (void)skua_sleep(SKUA_NS_PER_SEC);
            return 4; /* it has a result all the same */
        };
        EXPECT_EQ(skua_timeout(SKUA_NS_PER_MS, late, nullptr), 4);
    });
}

TEST_F(Scope, ABodyOnAnExecutorIsCancelledByItsDeadline)
{
    runInTask([] {
        ASSERT_EQ(skua_hop(nullptr), 0);
        EXPECT_EQ(skua_timeout(2 * SKUA_NS_PER_MS, waitForEver, nullptr), -ETIMEDOUT);
        EXPECT_EQ(skua_hop_back(), 0);
    });
}

TEST_F(Scope, CancelReachesReadsInFlight)
{
    runInTask([] {
        int fds[2];
        ASSERT_EQ(pipe(fds), 0);
        skua_scope scope;
        ASSERT_EQ(skua_scope_open(&scope, nullptr), 0);
        char byte;
        auto child = [&]() -> intptr_t { return skua_read(fds[0], &byte, 1); };
        skua_future *reader = nullptr;
        ASSERT_EQ(spawnIn(&scope, child, &reader), 0);
        ASSERT_EQ(skua_scope_set_deadline(&scope, skua_after(2 * SKUA_NS_PER_MS)), 0);
        EXPECT_EQ(skua_read(fds[0], &byte, 1), -ECANCELED); /* the body's own */
        EXPECT_EQ(skua_scope_close(&scope), -ETIMEDOUT);
        EXPECT_EQ(skua_await(reader), -ECANCELED);
        close(fds[0]);
        close(fds[1]);
    });
}

/*
 * The task inside is cancelled with the body's scope, and awaited to its end. (On a machine that is
 * busy the deadline may come before it has begun; then it never does.)
 */
TEST_F(Scope, CancelIsForwardedToAnAwaitedTask)
{
    runInTask([] {
        bool begun = false, cleaned = false;
        auto slow = [&]() -> intptr_t {
            begun = true;
            int rc = skua_sleep_until(SKUA_FOREVER);
            cleaned = true;
            return rc;
        };
        for (uint64_t delay = SKUA_NS_PER_MS; !begun && delay < SKUA_NS_PER_SEC; delay *= 4) {
            skua_scope_options options{};
            options.deadline_ns = skua_after(delay);
            skua_scope scope;
            ASSERT_EQ(skua_scope_open(&scope, &options), 0);
            EXPECT_EQ(skua_await(spawnBody(slow)), -ECANCELED);
            EXPECT_EQ(cleaned, begun);
            EXPECT_EQ(skua_scope_close(&scope), -ETIMEDOUT);
        }
        EXPECT_TRUE(begun);
    });
}

/* Children, failures and cancels from all sides at once: nothing is lost and nothing left. */
TEST_F(Scope, ManyScopesUnderCancelFromOutside)
{
    Runtime runtime(3);
    std::atomic<bool> stop{false};
    std::atomic<skua_future *> victim{nullptr};
    std::thread canceller([&] {
        while (!stop) {
            skua_future *future = victim.exchange(nullptr);
            if (future) {
                skua_cancel(future);
                skua_future_unref(future);
            }
        }
    });
    for (int round = 0; round < 300; round++) {
        std::atomic<int> running{0};
        auto leaf = [&]() -> intptr_t {
            running++;
            intptr_t rc = skua_sleep(SKUA_NS_PER_US * 50);
            running--;
            return rc == 0 && round % 7 == 0 ? -EIO : rc;
        };
        auto body = [&]() -> intptr_t {
            skua_scope_options options{};
            if (round % 3 == 0)
                options.deadline_ns = skua_after(60 * SKUA_NS_PER_US);
            skua_scope scope;
            EXPECT_EQ(skua_scope_open(&scope, &options), 0);
            for (int i = 0; i < 8; i++)
                (void)spawnIn(&scope, leaf);
            int rc = skua_scope_close(&scope);
            EXPECT_EQ(running, 0);
            return rc;
        };
        skua_future *future = submitBody(runtime.get(), body);
        victim = skua_future_ref(future);
        intptr_t rc = skua_await(future);
        EXPECT_TRUE(rc == 0 || rc == -EIO || rc == -ETIMEDOUT || rc == -ECANCELED) << rc;
        if (skua_future *left = victim.exchange(nullptr))
            skua_future_unref(left);
    }
    stop = true;
    canceller.join();
}

} /* namespace */
