/*
 * Tests skua/broadcast.h: positions, what falls out of the ring, versions, closing, giving up,
 * threads of all kinds.
 */
#include "support/sync_kit.h"

#include <atomic>
#include <memory>

using namespace skua_test;

namespace
{

const char *const kState = "at a channel";

class Broadcast : public Sync
{
};

class Watch : public Sync
{
};

struct Subscriber {
    skua_subscriber *handle;
    explicit Subscriber(skua_broadcast *broadcast) : handle(skua_subscriber_open(broadcast))
    {
        EXPECT_NE(handle, nullptr);
    }
    Subscriber(const Subscriber &) = delete;
    Subscriber &operator=(const Subscriber &) = delete;
    ~Subscriber()
    {
        skua_subscriber_close(handle);
    }
    long recv() const
    {
        long item = -1;
        int rc = skua_subscriber_recv(handle, &item, nullptr);
        return rc < 0 ? rc : item;
    }
    long tryRecv() const
    {
        long item = -1;
        int rc = skua_subscriber_try_recv(handle, &item, nullptr);
        return rc < 0 ? rc : item;
    }
};

/* A broadcast of longs with an end. */
struct Longs {
    skua_broadcast *broadcast;
    explicit Longs(size_t capacity) : broadcast(skua_broadcast_create(sizeof(long), capacity))
    {
        EXPECT_NE(broadcast, nullptr);
    }
    Longs(const Longs &) = delete;
    Longs &operator=(const Longs &) = delete;
    ~Longs()
    {
        skua_broadcast_unref(broadcast);
    }
    int send(long item) const
    {
        return skua_broadcast_send(broadcast, &item);
    }
};

TEST_F(Broadcast, RefusesNullAndTheImpossible)
{
    long item = 0;
    EXPECT_EQ(skua_broadcast_create(8, 0), nullptr);
    EXPECT_EQ(skua_broadcast_create(SIZE_MAX / 2, 3), nullptr);
    EXPECT_EQ(skua_broadcast_create(1, SIZE_MAX / 2), nullptr);
    EXPECT_EQ(skua_broadcast_ref(nullptr), nullptr);
    skua_broadcast_unref(nullptr);
    skua_subscriber_close(nullptr);
    EXPECT_EQ(skua_broadcast_send(nullptr, &item), -EINVAL);
    EXPECT_EQ(skua_broadcast_close(nullptr), -EINVAL);
    EXPECT_EQ(skua_subscriber_open(nullptr), nullptr);
    EXPECT_EQ(skua_subscriber_recv(nullptr, &item, nullptr), -EINVAL);
    EXPECT_EQ(skua_subscriber_try_recv(nullptr, &item, nullptr), -EINVAL);
    Longs longs(1);
    Subscriber subscriber(longs.broadcast);
    EXPECT_EQ(skua_broadcast_send(longs.broadcast, nullptr), -EINVAL);
    EXPECT_EQ(skua_subscriber_recv(subscriber.handle, nullptr, nullptr), -EINVAL);
}

TEST_F(Broadcast, EverySubscriberGetsWhatIsSentFromThenOn)
{
    Longs longs(4);
    EXPECT_EQ(longs.send(1), 0); /* to nobody */
    Subscriber early(longs.broadcast);
    EXPECT_EQ(longs.send(2), 0);
    Subscriber late(longs.broadcast);
    EXPECT_EQ(late.tryRecv(), -EAGAIN);
    EXPECT_EQ(longs.send(3), 0);
    EXPECT_EQ(early.recv(), 2);
    EXPECT_EQ(early.recv(), 3);
    EXPECT_EQ(early.tryRecv(), -EAGAIN);
    EXPECT_EQ(late.recv(), 3);
    EXPECT_EQ(late.tryRecv(), -EAGAIN);
}

TEST_F(Broadcast, WhoFallsBehindIsToldOnceAndGoesOnWithTheOldest)
{
    for (size_t capacity : {size_t{1}, size_t{3}, size_t{4}}) {
        const long kept = static_cast<long>(capacity);
        Longs longs(capacity);
        Subscriber subscriber(longs.broadcast);
        for (long i = 0; i < kept; i++)
            EXPECT_EQ(longs.send(i), 0);
        EXPECT_EQ(subscriber.recv(), 0); /* as far behind as can be */
        for (long i = kept; i < 2 * kept + 6; i++)
            EXPECT_EQ(longs.send(i), 0);
        long item = -5;
        uint64_t missed = 0;
        EXPECT_EQ(skua_subscriber_recv(subscriber.handle, &item, &missed), -EOVERFLOW);
        EXPECT_EQ(missed, static_cast<uint64_t>(kept + 5));
        EXPECT_EQ(item, -5);
        for (long i = kept + 6; i < 2 * kept + 6; i++)
            EXPECT_EQ(subscriber.recv(), i);
        EXPECT_EQ(subscriber.tryRecv(), -EAGAIN);
        for (long i = 0; i < kept + 1; i++)
            EXPECT_EQ(longs.send(i), 0);
        EXPECT_EQ(subscriber.tryRecv(), -EOVERFLOW); /* nobody wants to know how many */
        EXPECT_EQ(subscriber.tryRecv(), 1);
    }
}

TEST_F(Broadcast, ASendWakesAllWhoWait)
{
    runInTask([] {
        Longs longs(2);
        std::vector<std::unique_ptr<Subscriber>> subscribers;
        Line line(kState);
        for (int i = 0; i < 5; i++) {
            subscribers.push_back(std::make_unique<Subscriber>(longs.broadcast));
            Subscriber *subscriber = subscribers.back().get();
            line.add([=] { return subscriber->recv(); });
        }
        EXPECT_EQ(longs.send(7), 0);
        for (size_t i = 0; i < 5; i++)
            EXPECT_EQ(line.result(i), 7);
    });
}

TEST_F(Broadcast, OneSubscriberMayServeSeveral)
{
    runInTask([] {
        Longs longs(4);
        Subscriber subscriber(longs.broadcast);
        Line line(kState);
        line.addMany(2, [&] { return subscriber.recv(); });
        EXPECT_EQ(longs.send(1), 0);
        ASSERT_TRUE(yieldUntil([&] { return line.isDone(0) || line.isDone(1); }));
        EXPECT_EQ(longs.send(2), 0);
        EXPECT_EQ(line.result(0) + line.result(1), 3);
    });
}

TEST_F(Broadcast, CloseLeavesWhatIsKept)
{
    runInTask([] {
        Longs longs(2), empty(1);
        Subscriber subscriber(longs.broadcast), waiting(empty.broadcast);
        Line line(kState);
        line.add([&] { return waiting.recv(); });
        EXPECT_EQ(longs.send(1), 0);
        for (const Longs *both : {&longs, &empty}) {
            EXPECT_EQ(skua_broadcast_close(both->broadcast), 0);
            EXPECT_EQ(skua_broadcast_close(both->broadcast), -EALREADY);
            EXPECT_EQ(both->send(2), -EPIPE);
        }
        EXPECT_EQ(line.result(0), -EPIPE);
        EXPECT_EQ(subscriber.recv(), 1);
        EXPECT_EQ(subscriber.recv(), -EPIPE);
        EXPECT_EQ(subscriber.tryRecv(), -EPIPE);
        Subscriber late(longs.broadcast);
        EXPECT_EQ(late.recv(), -EPIPE);
    });
}

TEST_F(Broadcast, ASubscriberKeepsTheBroadcast)
{
    auto longs = std::make_unique<Longs>(2);
    Subscriber subscriber(longs->broadcast);
    EXPECT_EQ(longs->send(5), 0);
    longs.reset();
    EXPECT_EQ(subscriber.recv(), 5);
    EXPECT_EQ(subscriber.tryRecv(), -EAGAIN);
}

TEST_F(Broadcast, ItemsOfAnySizeEvenNone)
{
    for (size_t size : {size_t{0}, size_t{1}, size_t{7}, size_t{4096}}) {
        skua_broadcast *broadcast = skua_broadcast_create(size, 3);
        ASSERT_NE(broadcast, nullptr);
        Subscriber subscriber(broadcast);
        std::vector<unsigned char> in(size + 1, 0x5a), out(size + 1, 0);
        EXPECT_EQ(skua_broadcast_send(broadcast, size ? in.data() : nullptr), 0);
        EXPECT_EQ(skua_subscriber_recv(subscriber.handle, size ? out.data() : nullptr, nullptr), 0);
        EXPECT_TRUE(std::equal(out.begin(), out.begin() + static_cast<long>(size), in.begin()));
        EXPECT_EQ(out[size], 0);
        skua_broadcast_unref(broadcast);
    }
}

TEST_F(Broadcast, WhoGivesUpTakesNothing)
{
    for (bool cancels : {false, true})
        runInTask([=] {
            Longs longs(2);
            Subscriber subscriber(longs.broadcast), other(longs.broadcast);
            Line line(kState);
            uint64_t deadline = cancels ? SKUA_FOREVER : afterTheLine();
            long item = -5;
            line.add([&] {
                return skua_subscriber_recv_until(subscriber.handle, &item, nullptr, deadline);
            });
            line.add([&] { return other.recv(); });
            if (cancels)
                line.cancel(0);
            EXPECT_EQ(line.result(0), cancels ? -ECANCELED : -ETIMEDOUT);
            EXPECT_EQ(item, -5);
            EXPECT_EQ(longs.send(3), 0);
            EXPECT_EQ(subscriber.recv(), 3);
            EXPECT_EQ(line.result(1), 3);
        });
}

TEST_F(Broadcast, WhatIsThereBeatsCancelAndDeadline)
{
    Longs longs(2);
    Subscriber subscriber(longs.broadcast);
    long item = 0;
    expectHandoverBeatsAll(
        kState,
        [&](uint64_t at) {
            return skua_subscriber_recv_until(subscriber.handle, &item, nullptr, at);
        },
        [&] { return longs.send(8); });
    EXPECT_EQ(item, 8);
    expectGivesUpEverywhere([&](uint64_t at) {
        return skua_subscriber_recv_until(subscriber.handle, &item, nullptr, at);
    });
}

/* Three send, nine receive with and without deadlines: each counts every item, got or missed. */
TEST_F(Broadcast, AccountsForEveryItemAmongThreadsOfAllKinds)
{
    for (size_t capacity : {size_t{1}, size_t{64}}) {
        Longs longs(capacity);
        const long each = rounds(2000);
        std::atomic<unsigned> listening{0}, sending{3};
        runCrowd([&](unsigned i) {
            if (i % 4 == 0) {
                while (listening < 9)
                    EXPECT_EQ(skua_sleep(SKUA_NS_PER_US), 0);
                for (long n = 0; n < each; n++)
                    EXPECT_EQ(longs.send(n), 0);
                EXPECT_EQ(--sending == 0 ? skua_broadcast_close(longs.broadcast) : 0, 0);
                return;
            }
            Subscriber subscriber(longs.broadcast);
            listening++;
            uint64_t all = 0;
            for (int turn = 0;; turn++) {
                long item;
                uint64_t missed = 0;
                int rc = skua_subscriber_recv_until(subscriber.handle, &item, &missed,
                                                    turn % 2 ? SKUA_FOREVER : soon(turn));
                if (rc == -EPIPE)
                    break;
                ASSERT_TRUE(rc == 0 || rc == -ETIMEDOUT || (rc == -EOVERFLOW && missed > 0));
                all += rc == 0 ? 1 : missed;
            }
            EXPECT_EQ(all, static_cast<uint64_t>(3 * each));
        });
    }
}

/* ---- watches --------------------------------------------------------------------------------- */

struct Watched {
    skua_watch *watch;
    explicit Watched(long first) : watch(skua_watch_create(sizeof(first), &first))
    {
        EXPECT_NE(watch, nullptr);
    }
    Watched(const Watched &) = delete;
    Watched &operator=(const Watched &) = delete;
    ~Watched()
    {
        skua_watch_unref(watch);
    }
    int set(long value) const
    {
        return skua_watch_set(watch, &value);
    }
    long wait(uint64_t *version) const
    {
        long value = -1;
        int rc = skua_watch_next(watch, &value, version);
        return rc < 0 ? rc : value;
    }
};

TEST_F(Watch, RefusesNullAndTheImpossible)
{
    long value = 0;
    uint64_t version = 0;
    EXPECT_EQ(skua_watch_create(8, nullptr), nullptr);
    EXPECT_EQ(skua_watch_create(SIZE_MAX / 2 + 1, &value), nullptr);
    EXPECT_EQ(skua_watch_ref(nullptr), nullptr);
    skua_watch_unref(nullptr);
    EXPECT_EQ(skua_watch_set(nullptr, &value), -EINVAL);
    EXPECT_EQ(skua_watch_get(nullptr, &value, nullptr), -EINVAL);
    EXPECT_EQ(skua_watch_next(nullptr, &value, &version), -EINVAL);
    EXPECT_EQ(skua_watch_close(nullptr), -EINVAL);
    Watched watched(1);
    EXPECT_EQ(skua_watch_set(watched.watch, nullptr), -EINVAL);
    EXPECT_EQ(skua_watch_get(watched.watch, nullptr, nullptr), -EINVAL);
    EXPECT_EQ(skua_watch_next(watched.watch, nullptr, &version), -EINVAL);
    EXPECT_EQ(skua_watch_next(watched.watch, &value, nullptr), -EINVAL);
}

TEST_F(Watch, ShowsTheNewestVersionToWhoHasNotSeenIt)
{
    Watched watched(1);
    uint64_t version = 0;
    EXPECT_EQ(watched.wait(&version), 1);
    EXPECT_EQ(version, 1u);
    long value = 0;
    EXPECT_EQ(skua_watch_next_until(watched.watch, &value, &version, 0), -ETIMEDOUT);
    EXPECT_EQ(watched.set(2), 0);
    EXPECT_EQ(watched.set(3), 0);
    EXPECT_EQ(watched.wait(&version), 3);
    EXPECT_EQ(version, 3u);
    EXPECT_EQ(watched.set(3), 0); /* equal, but newer */
    uint64_t read = 0;
    EXPECT_EQ(skua_watch_get(watched.watch, &value, &read), 0);
    EXPECT_EQ(read, 4u);
    EXPECT_EQ(watched.wait(&version), 3);
    EXPECT_EQ(version, 4u);
    EXPECT_EQ(skua_watch_get(watched.watch, &value, nullptr), 0);
    EXPECT_EQ(value, 3);
    skua_watch *none = skua_watch_create(0, nullptr);
    ASSERT_NE(none, nullptr);
    EXPECT_EQ(skua_watch_set(none, nullptr), 0);
    EXPECT_EQ(skua_watch_get(none, nullptr, &read), 0);
    EXPECT_EQ(read, 2u);
    skua_watch_unref(none);
}

TEST_F(Watch, AChangeWakesAllWhoWait)
{
    runInTask([] {
        Watched watched(1);
        std::vector<uint64_t> versions(4, 1);
        Line line(kState);
        for (size_t i = 0; i < versions.size(); i++)
            line.add([&, i] { return watched.wait(&versions[i]); });
        EXPECT_EQ(watched.set(9), 0);
        for (size_t i = 0; i < versions.size(); i++)
            EXPECT_EQ(line.result(i), 9);
        EXPECT_EQ(versions, std::vector<uint64_t>(4, 2));
    });
}

TEST_F(Watch, CloseLeavesTheLastVersion)
{
    runInTask([] {
        Watched watched(1);
        uint64_t version = 1, fresh = 0;
        Line line(kState);
        line.add([&] { return watched.wait(&version); });
        EXPECT_EQ(skua_watch_close(watched.watch), 0);
        EXPECT_EQ(skua_watch_close(watched.watch), -EALREADY);
        EXPECT_EQ(line.result(0), -EPIPE);
        EXPECT_EQ(version, 1u);
        EXPECT_EQ(watched.set(2), -EPIPE);
        EXPECT_EQ(watched.wait(&fresh), 1);
        EXPECT_EQ(watched.wait(&fresh), -EPIPE);
    });
}

TEST_F(Watch, WhoGivesUpHasSeenNothing)
{
    runInTask([] {
        Watched watched(1);
        uint64_t version = 1;
        Line line(kState);
        line.add([&] { return watched.wait(&version); });
        line.cancel(0);
        EXPECT_EQ(line.result(0), -ECANCELED);
        EXPECT_EQ(version, 1u);
        EXPECT_EQ(watched.set(2), 0);
        EXPECT_EQ(watched.wait(&version), 2);
    });
    Watched watched(1);
    uint64_t version = 1;
    long value;
    expectGivesUpEverywhere(
        [&](uint64_t at) { return skua_watch_next_until(watched.watch, &value, &version, at); });
    expectHandoverBeatsAll(
        kState,
        [&](uint64_t at) { return skua_watch_next_until(watched.watch, &value, &version, at); },
        [&] { return watched.set(8); });
}

/* All see ever newer versions, whole ones, and the last. */
TEST_F(Watch, NeverGoesBackAmongThreadsOfAllKinds)
{
    struct Wide {
        uint64_t words[16];
    };
    Wide wide{};
    skua_watch *watch = skua_watch_create(sizeof(wide), &wide);
    const uint64_t last = static_cast<uint64_t>(rounds(5000));
    runCrowd([&](unsigned i) {
        Wide mine{};
        for (uint64_t n = 1; i == 0 && n <= last; n++) {
            for (uint64_t &word : mine.words)
                word = n;
            EXPECT_EQ(skua_watch_set(watch, &mine), 0);
            EXPECT_EQ(n % 64 == 0 ? skua_sleep(SKUA_NS_PER_US) : 0, 0);
        }
        EXPECT_EQ(i == 0 ? skua_watch_close(watch) : 0, 0);
        uint64_t version = 0, value = 0;
        for (int turn = 0;; turn++) {
            uint64_t before = version;
            int rc =
                skua_watch_next_until(watch, &mine, &version, turn % 2 ? SKUA_FOREVER : soon(turn));
            if (rc == -EPIPE)
                break;
            ASSERT_TRUE(rc == 0 || rc == -ETIMEDOUT);
            if (rc < 0)
                continue;
            EXPECT_GT(version, before);
            value = version - 1;
            for (uint64_t word : mine.words)
                ASSERT_EQ(word, value);
        }
        EXPECT_EQ(value, last);
    });
    skua_watch_unref(watch);
}

} /* namespace */
