/*
 * Tests skua/condition.h: notifying one, some and all, the mutex after the wait, giving up, threads
 * of all kinds.
 */
#include "support/sync_kit.h"

#include <atomic>

using namespace skua_test;

namespace
{

const char *const kState = "at a condition";

class Condition : public Sync
{
};

/* A condition, its mutex, and a wait that checks that the mutex is the waiter's after it. */
struct Monitor {
    skua_mutex mutex{};
    skua_condition condition{};

    intptr_t wait(uint64_t deadline = SKUA_FOREVER)
    {
        EXPECT_EQ(skua_mutex_lock(&mutex), 0);
        int rc = skua_condition_wait_until(&condition, &mutex, deadline);
        EXPECT_EQ(skua_mutex_try_lock(&mutex), -EBUSY);
        EXPECT_EQ(skua_mutex_unlock(&mutex), 0);
        return rc;
    }

    Value waiter(uint64_t deadline = SKUA_FOREVER)
    {
        return [=] { return wait(deadline); };
    }
};

TEST_F(Condition, RefusesNull)
{
    skua_mutex mutex{};
    skua_condition condition{};
    EXPECT_EQ(skua_condition_wait(nullptr, &mutex), -EINVAL);
    EXPECT_EQ(skua_condition_wait(&condition, nullptr), -EINVAL);
    EXPECT_EQ(skua_condition_wait_until(nullptr, &mutex, 0), -EINVAL);
    EXPECT_EQ(skua_condition_wait_until(&condition, nullptr, 0), -EINVAL);
    EXPECT_EQ(skua_condition_notify(nullptr, 1), -EINVAL);
    EXPECT_EQ(skua_condition_notify_all(nullptr), -EINVAL);
}

TEST_F(Condition, RefusesAMutexThatIsNotLocked)
{
    skua_mutex mutex{};
    skua_condition condition = SKUA_CONDITION_INIT;
    EXPECT_EQ(skua_condition_wait(&condition, &mutex), -EPERM);
    EXPECT_FALSE(skua_mutex_locked(&mutex));
}

TEST_F(Condition, ForgetsANotificationThatNobodyWaitsFor)
{
    Monitor monitor;
    EXPECT_EQ(skua_condition_notify(&monitor.condition, 1), 0);
    EXPECT_EQ(skua_condition_notify_all(&monitor.condition), 0);
    EXPECT_EQ(monitor.wait(skua_after(SKUA_NS_PER_MS)), -ETIMEDOUT);
    EXPECT_EQ(monitor.wait(0), -ETIMEDOUT);
    EXPECT_FALSE(skua_mutex_locked(&monitor.mutex));
}

TEST_F(Condition, NotifiesAsManyAsItIsToldInOrder)
{
    runInTask(
        [] {
            Monitor monitor;
            Line line(kState);
            line.addMany(6, monitor.waiter());
            EXPECT_EQ(skua_condition_notify(&monitor.condition, 0), 0);
            EXPECT_TRUE(line.waits(0));
            EXPECT_EQ(skua_condition_notify(&monitor.condition, 1), 0);
            EXPECT_EQ(line.result(0), 0);
            EXPECT_TRUE(line.waits(1));
            EXPECT_EQ(skua_condition_notify(&monitor.condition, 2), 0);
            EXPECT_EQ(line.result(2), 0);
            EXPECT_EQ(line.result(1), 0);
            EXPECT_TRUE(line.waits(3));
            EXPECT_EQ(skua_condition_notify_all(&monitor.condition), 0);
            for (size_t i = 3; i < 6; i++)
                EXPECT_EQ(line.result(i), 0);
            EXPECT_EQ(line.went(), (std::vector<size_t>{0, 1, 2, 3, 4, 5}));
        },
        1);
}

TEST_F(Condition, AWaiterReturnsOnlyWithTheMutexThoughItIsCancelled)
{
    for (bool cancels : {false, true})
        runInTask([=] {
            Monitor monitor;
            Line line(kState);
            line.add(monitor.waiter());
            EXPECT_EQ(skua_mutex_lock(&monitor.mutex), 0);
            if (cancels)
                line.cancel(0);
            else
                EXPECT_EQ(skua_condition_notify(&monitor.condition, 1), 0);
            EXPECT_TRUE(yieldUntil(
                [&] { return stateOf(skua_runtime_current(), "line 0") == "at a mutex"; }));
            EXPECT_EQ(skua_yield(), 0);
            EXPECT_FALSE(line.isDone(0));
            EXPECT_EQ(skua_mutex_unlock(&monitor.mutex), 0);
            EXPECT_EQ(line.result(0), cancels ? -ECANCELED : 0);
            EXPECT_FALSE(skua_mutex_locked(&monitor.mutex));
        });
}

TEST_F(Condition, WhoIsCancelledBeforeKeepsTheMutex)
{
    runInTask([] {
        Monitor monitor;
        auto body = [&]() -> intptr_t {
            EXPECT_EQ(skua_cancel(skua_self()), 0);
            return monitor.wait();
        };
        EXPECT_EQ(skua_await(spawnBody(body)), -ECANCELED);
        EXPECT_FALSE(skua_mutex_locked(&monitor.mutex));
    });
}

TEST_F(Condition, WhoGivesUpInTheMiddleTakesNoNotification)
{
    for (bool cancels : {false, true})
        runInTask([=] {
            Monitor monitor;
            Line line(kState);
            line.add(monitor.waiter());
            line.add(monitor.waiter(cancels ? SKUA_FOREVER : afterTheLine()));
            line.add(monitor.waiter());
            line.add(monitor.waiter());
            if (cancels)
                line.cancel(1);
            EXPECT_EQ(line.result(1), cancels ? -ECANCELED : -ETIMEDOUT);
            EXPECT_EQ(skua_condition_notify(&monitor.condition, 2), 0);
            EXPECT_EQ(line.result(0), 0);
            EXPECT_EQ(line.result(2), 0);
            EXPECT_TRUE(line.waits(3));
            EXPECT_EQ(skua_condition_notify(&monitor.condition, 1), 0);
            EXPECT_EQ(line.result(3), 0);
        });
}

TEST_F(Condition, ANotificationBeatsCancelAndDeadline)
{
    Monitor monitor;
    expectHandoverBeatsAll(
        kState, [&](uint64_t at) { return monitor.wait(at); },
        [&] { return skua_condition_notify(&monitor.condition, 1); });
}

TEST_F(Condition, WaitsUntilItsDeadlineEverywhere)
{
    Monitor monitor;
    expectGivesUpEverywhere([&](uint64_t at) { return monitor.wait(at); });
}

/* Two take turns; a notification that came between the unlock and the wait would be missed. */
TEST_F(Condition, NoNotificationComesBetweenTheUnlockAndTheWait)
{
    Monitor monitor;
    unsigned turn = 0; /* guarded by the mutex */
    auto play = [&](unsigned who) {
        bool good = true;
        for (int i = 0; good && i < rounds(20000); i++) {
            good = skua_mutex_lock(&monitor.mutex) == 0;
            while (turn != who && good)
                good = skua_condition_wait_until(&monitor.condition, &monitor.mutex,
                                                 skua_after(2 * SKUA_NS_PER_SEC)) == 0;
            turn = 1 - who;
            good = skua_condition_notify(&monitor.condition, 1) == 0 && good;
            good = skua_mutex_unlock(&monitor.mutex) == 0 && good;
        }
        EXPECT_TRUE(good);
    };
    runCrowd(play, Crowd{2, 0, 0});
    runCrowd(play, Crowd{1, 0, 1});
}

/* A queue of a few places, as conditions are used for. */
struct Store {
    skua_mutex mutex{};
    skua_condition notEmpty{};
    skua_condition notFull{};
    std::deque<int> items; /* this and all below: guarded by mutex */
    long taken = 0;
    long sum = 0;

    void put(int item)
    {
        ASSERT_EQ(skua_mutex_lock(&mutex), 0);
        while (items.size() >= 3)
            ASSERT_EQ(skua_condition_wait(&notFull, &mutex), 0);
        items.push_back(item);
        ASSERT_EQ(skua_condition_notify(&notEmpty, 1), 0);
        ASSERT_EQ(skua_mutex_unlock(&mutex), 0);
    }

    /* Until @all have been taken. Each wait may give up; that must lose nothing. */
    void takeAll(long all)
    {
        ASSERT_EQ(skua_mutex_lock(&mutex), 0);
        for (int i = 0; taken < all; i++) {
            if (items.empty()) {
                int rc = i % 3 == 0 ? skua_condition_wait_until(&notEmpty, &mutex, soon(i))
                                    : skua_condition_wait(&notEmpty, &mutex);
                ASSERT_TRUE(rc == 0 || rc == -ETIMEDOUT) << rc;
                continue;
            }
            sum += items.front();
            items.pop_front();
            taken++;
            ASSERT_LE(items.size(), 3u);
            ASSERT_EQ(skua_condition_notify(&notFull, 1), 0);
        }
        ASSERT_EQ(skua_condition_notify_all(&notEmpty), 0);
        ASSERT_EQ(skua_mutex_unlock(&mutex), 0);
    }
};

TEST_F(Condition, ACrowdOfProducersAndConsumersLosesNothing)
{
    Store store;
    const Crowd crowd;
    const int each = rounds(1000);
    const long all = static_cast<long>(crowd.size() / 2) * each;
    runCrowd(
        [&](unsigned who) {
            if (who % 2 == 0)
                store.takeAll(all);
            else
                for (int i = 1; i <= each; i++)
                    store.put(i);
        },
        crowd);
    EXPECT_EQ(store.taken, all);
    EXPECT_EQ(store.sum, all * (each + 1) / 2);
    EXPECT_FALSE(skua_mutex_locked(&store.mutex));
}

} // namespace
