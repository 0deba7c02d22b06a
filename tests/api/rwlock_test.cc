/*
 * Tests skua/rwlock.h: readers beside readers, order between readers and writers, handing over,
 * giving up, threads of all kinds.
 */
#include "support/sync_kit.h"

#include <atomic>

using namespace skua_test;

namespace
{

const char *const kState = "at a read-write lock";

class Rwlock : public Sync
{
};

/* Locks for reading or writing, passes through the ready tasks, and unlocks. */
Value reader(skua_rwlock *lock, uint64_t deadline = SKUA_FOREVER)
{
    return [=]() -> intptr_t {
        int rc = skua_rwlock_read_lock_until(lock, deadline);
        if (rc < 0)
            return rc;
        skua_yield();
        return skua_rwlock_read_unlock(lock);
    };
}

Value writer(skua_rwlock *lock, uint64_t deadline = SKUA_FOREVER)
{
    return [=]() -> intptr_t {
        int rc = skua_rwlock_write_lock_until(lock, deadline);
        if (rc < 0)
            return rc;
        skua_yield();
        return skua_rwlock_write_unlock(lock);
    };
}

/* Nobody holds it and nobody waits. */
void expectFree(skua_rwlock *lock)
{
    EXPECT_EQ(skua_rwlock_try_write_lock(lock), 0);
    EXPECT_EQ(skua_rwlock_write_unlock(lock), 0);
}

TEST_F(Rwlock, RefusesNull)
{
    EXPECT_EQ(skua_rwlock_read_lock(nullptr), -EINVAL);
    EXPECT_EQ(skua_rwlock_read_lock_until(nullptr, 0), -EINVAL);
    EXPECT_EQ(skua_rwlock_try_read_lock(nullptr), -EINVAL);
    EXPECT_EQ(skua_rwlock_read_unlock(nullptr), -EINVAL);
    EXPECT_EQ(skua_rwlock_write_lock(nullptr), -EINVAL);
    EXPECT_EQ(skua_rwlock_write_lock_until(nullptr, 0), -EINVAL);
    EXPECT_EQ(skua_rwlock_try_write_lock(nullptr), -EINVAL);
    EXPECT_EQ(skua_rwlock_write_unlock(nullptr), -EINVAL);
}

TEST_F(Rwlock, HasOneWriterOrManyReaders)
{
    skua_rwlock lock = SKUA_RWLOCK_INIT;
    EXPECT_EQ(skua_rwlock_read_lock(&lock), 0);
    EXPECT_EQ(skua_rwlock_read_lock_until(&lock, 0), 0);
    EXPECT_EQ(skua_rwlock_try_read_lock(&lock), 0);
    EXPECT_EQ(skua_rwlock_try_write_lock(&lock), -EBUSY);
    EXPECT_EQ(skua_rwlock_write_lock_until(&lock, 0), -ETIMEDOUT);
    for (int i = 0; i < 3; i++)
        EXPECT_EQ(skua_rwlock_read_unlock(&lock), 0);
    EXPECT_EQ(skua_rwlock_write_lock(&lock), 0);
    EXPECT_EQ(skua_rwlock_try_read_lock(&lock), -EBUSY);
    EXPECT_EQ(skua_rwlock_try_write_lock(&lock), -EBUSY);
    EXPECT_EQ(skua_rwlock_read_lock_until(&lock, 0), -ETIMEDOUT);
    EXPECT_EQ(skua_rwlock_write_lock_until(&lock, 0), -ETIMEDOUT);
    EXPECT_EQ(skua_rwlock_write_unlock(&lock), 0);
    expectFree(&lock);
}

TEST_F(Rwlock, RefusesAnUnlockOfWhatIsNotHeld)
{
    skua_rwlock lock{};
    EXPECT_EQ(skua_rwlock_read_unlock(&lock), -EPERM);
    EXPECT_EQ(skua_rwlock_write_unlock(&lock), -EPERM);
    EXPECT_EQ(skua_rwlock_read_lock(&lock), 0);
    EXPECT_EQ(skua_rwlock_write_unlock(&lock), -EPERM);
    EXPECT_EQ(skua_rwlock_read_unlock(&lock), 0);
    EXPECT_EQ(skua_rwlock_write_lock(&lock), 0);
    EXPECT_EQ(skua_rwlock_read_unlock(&lock), -EPERM);
    EXPECT_EQ(skua_rwlock_write_unlock(&lock), 0);
    expectFree(&lock);
}

TEST_F(Rwlock, AReaderQueuesUpBehindAWriterWhoWaits)
{
    runInTask(
        [] {
            skua_rwlock lock{};
            EXPECT_EQ(skua_rwlock_read_lock(&lock), 0);
            Line line(kState);
            line.add(writer(&lock));
            EXPECT_EQ(skua_rwlock_try_read_lock(&lock), -EBUSY);
            line.add(reader(&lock));
            EXPECT_EQ(skua_rwlock_read_unlock(&lock), 0);
            EXPECT_EQ(skua_rwlock_try_read_lock(&lock), -EBUSY); /* it is the writer's */
            EXPECT_EQ(line.result(1), 0);
            EXPECT_EQ(line.result(0), 0);
            EXPECT_EQ(line.went(), (std::vector<size_t>{0, 1}));
            expectFree(&lock);
        },
        1);
}

TEST_F(Rwlock, LetsWaitersGoInOrderAndReadersTogether)
{
    runInTask(
        [] {
            skua_rwlock lock{};
            EXPECT_EQ(skua_rwlock_write_lock(&lock), 0);
            Line line(kState);
            int inside = 0;
            std::vector<int> beside; /* how many readers a reader has seen */
            Value read = [&]() -> intptr_t {
                int rc = skua_rwlock_read_lock(&lock);
                inside++;
                skua_yield();
                beside.push_back(inside);
                skua_yield();
                inside--;
                EXPECT_EQ(skua_rwlock_read_unlock(&lock), 0);
                return rc;
            };
            line.add(writer(&lock));
            line.add(read);
            line.add(read);
            line.add(writer(&lock));
            line.add(read);
            EXPECT_EQ(skua_rwlock_write_unlock(&lock), 0);
            EXPECT_EQ(skua_rwlock_write_lock(&lock), 0); /* behind them all */
            EXPECT_EQ(line.went(), (std::vector<size_t>{0, 1, 2, 3, 4}));
            EXPECT_EQ(beside, (std::vector<int>{2, 2, 1}));
            EXPECT_EQ(skua_rwlock_write_unlock(&lock), 0);
            for (size_t i = 0; i < 5; i++)
                EXPECT_EQ(line.result(i), 0);
        },
        1);
}

TEST_F(Rwlock, AWriterWhoGivesUpLetsTheReadersBehindItGo)
{
    for (bool cancels : {false, true})
        runInTask([=] {
            skua_rwlock lock{};
            EXPECT_EQ(skua_rwlock_read_lock(&lock), 0);
            Line line(kState);
            line.add(writer(&lock, cancels ? SKUA_FOREVER : afterTheLine()));
            line.add(reader(&lock));
            line.add(reader(&lock));
            line.add(writer(&lock));
            line.add(reader(&lock));
            if (cancels)
                line.cancel(0);
            EXPECT_EQ(line.result(0), cancels ? -ECANCELED : -ETIMEDOUT);
            EXPECT_EQ(line.result(1), 0); /* beside us */
            EXPECT_EQ(line.result(2), 0);
            EXPECT_TRUE(line.waits(3));
            EXPECT_TRUE(line.waits(4));
            EXPECT_EQ(skua_rwlock_read_unlock(&lock), 0);
            EXPECT_EQ(line.result(3), 0);
            EXPECT_EQ(line.result(4), 0);
            expectFree(&lock);
        });
}

TEST_F(Rwlock, WhoGivesUpInTheMiddleDoesNotGetIt)
{
    runInTask([] {
        skua_rwlock lock{};
        EXPECT_EQ(skua_rwlock_write_lock(&lock), 0);
        Line line(kState);
        uint64_t deadline = afterTheLine();
        line.add(writer(&lock));
        line.add(writer(&lock, deadline));
        line.add(reader(&lock, deadline));
        line.add(reader(&lock));
        line.add(writer(&lock));
        EXPECT_EQ(line.result(1), -ETIMEDOUT);
        EXPECT_EQ(line.result(2), -ETIMEDOUT);
        line.cancel(3);
        EXPECT_EQ(line.result(3), -ECANCELED);
        EXPECT_TRUE(line.waits(0));
        EXPECT_EQ(skua_rwlock_write_unlock(&lock), 0);
        EXPECT_EQ(line.result(0), 0);
        EXPECT_EQ(line.result(4), 0);
        expectFree(&lock);
    });
}

TEST_F(Rwlock, OnceHandedOverBeatsCancelAndDeadline)
{
    skua_rwlock lock{};
    EXPECT_EQ(skua_rwlock_write_lock(&lock), 0);
    expectHandoverBeatsAll(
        kState, [&](uint64_t at) { return skua_rwlock_read_lock_until(&lock, at); },
        [&] { return skua_rwlock_write_unlock(&lock); });
    expectHandoverBeatsAll(
        kState, [&](uint64_t at) { return skua_rwlock_write_lock_until(&lock, at); },
        [&] { return skua_rwlock_read_unlock(&lock); });
    EXPECT_EQ(skua_rwlock_write_unlock(&lock), 0);
    expectFree(&lock);
}

TEST_F(Rwlock, WaitsUntilItsDeadlineEverywhere)
{
    skua_rwlock lock{};
    EXPECT_EQ(skua_rwlock_read_lock(&lock), 0);
    expectGivesUpEverywhere([&](uint64_t at) { return skua_rwlock_write_lock_until(&lock, at); });
    EXPECT_EQ(skua_rwlock_read_unlock(&lock), 0);
    EXPECT_EQ(skua_rwlock_write_lock(&lock), 0);
    expectGivesUpEverywhere([&](uint64_t at) { return skua_rwlock_read_lock_until(&lock, at); });
    EXPECT_EQ(skua_rwlock_write_unlock(&lock), 0);
    expectFree(&lock);
}

/* What a crowd writes and reads; not atomic, for the lock guards it. */
struct Pair {
    skua_rwlock lock{};
    long first = 0;
    long second = 0;

    void write(bool yields)
    {
        long before = first;
        first = before + 1;
        if (yields)
            skua_yield();
        second = before + 1;
    }
};

TEST_F(Rwlock, ExcludesACrowd)
{
    Pair pair;
    std::atomic<int> readers{0}, most{0};
    std::atomic<long> writes{0};
    runCrowd([&](unsigned who) {
        for (int i = 0; i < rounds(1500); i++) {
            if ((static_cast<unsigned>(i) + who) % 4 == 0) {
                ASSERT_EQ(skua_rwlock_write_lock(&pair.lock), 0);
                ASSERT_EQ(readers, 0);
                pair.write(i % 8 == 0);
                writes++;
                ASSERT_EQ(skua_rwlock_write_unlock(&pair.lock), 0);
                continue;
            }
            ASSERT_EQ(skua_rwlock_read_lock(&pair.lock), 0);
            int now = ++readers;
            if (now > most)
                most = now;
            if (i % 8 == 0)
                skua_yield();
            ASSERT_EQ(pair.first, pair.second);
            readers--;
            ASSERT_EQ(skua_rwlock_read_unlock(&pair.lock), 0);
        }
    });
    EXPECT_EQ(pair.first, writes);
    EXPECT_GT(most, 1);
    expectFree(&pair.lock);
}

TEST_F(Rwlock, IsNotLostToADeadline)
{
    Pair pair;
    std::atomic<long> writes{0};
    runCrowd([&](unsigned who) {
        for (int i = 0; i < rounds(800); i++) {
            uint64_t at = soon(i + static_cast<int>(who));
            bool writes_now = (static_cast<unsigned>(i) + who) % 3 == 0;
            int rc = writes_now ? skua_rwlock_write_lock_until(&pair.lock, at)
                                : skua_rwlock_read_lock_until(&pair.lock, at);
            if (rc < 0) {
                ASSERT_EQ(rc, -ETIMEDOUT);
            } else if (writes_now) {
                pair.write(true);
                writes++;
                ASSERT_EQ(skua_rwlock_write_unlock(&pair.lock), 0);
            } else {
                skua_yield();
                ASSERT_EQ(pair.first, pair.second);
                ASSERT_EQ(skua_rwlock_read_unlock(&pair.lock), 0);
            }
        }
    });
    EXPECT_EQ(pair.first, writes);
    expectFree(&pair.lock);
}

TEST_F(Rwlock, IsNotLostToACancel)
{
    skua_rwlock lock{};
    std::atomic<unsigned> turn{0};
    auto unlock = [&] {
        int rc = skua_rwlock_read_unlock(&lock);
        return rc == -EPERM ? skua_rwlock_write_unlock(&lock) : rc;
    };
    auto take = [&] {
        return turn++ % 3 == 0 ? skua_rwlock_write_lock(&lock) : skua_rwlock_read_lock(&lock);
    };
    auto isFree = [&] {
        return skua_rwlock_try_write_lock(&lock) == 0 && skua_rwlock_write_unlock(&lock) == 0;
    };
    expectSurvivesCancels(take, unlock, isFree, rounds(1000));
}

TEST_F(Rwlock, NeitherSideStarves)
{
    skua_rwlock lock{};
    std::atomic<int> over{0};
    const Crowd crowd{4, 1, 1};
    runCrowd(
        [&](unsigned who) {
            /* The others do not stop before one of each side has done its work. */
            int left = who < 2 ? rounds(300) : INT32_MAX;
            while (left > 0 && over < 2) {
                bool writes = who % 2 == 0;
                ASSERT_EQ(writes ? skua_rwlock_write_lock(&lock) : skua_rwlock_read_lock(&lock), 0);
                skua_yield();
                ASSERT_EQ(writes ? skua_rwlock_write_unlock(&lock) : skua_rwlock_read_unlock(&lock),
                          0);
                left--;
            }
            if (who < 2)
                over++;
        },
        crowd);
    EXPECT_EQ(over, 2);
    expectFree(&lock);
}

} // namespace
