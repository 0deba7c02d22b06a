/*
 * Tests skua/channel.h and skua/select.h: order, capacity, closing, deadlines, cancels, threads of
 * all kinds; selects among channels, futures, descriptors and times.
 */
#include "support/fd_guard.h"
#include "support/hang_guard.h"
#include "support/runtime_kit.h"

#include <atomic>
#include <map>
#include <numeric>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace skua_test;

namespace
{

class Channel : public testing::Test
{
  protected:
    FdGuard fds_;
    HangGuard hang_;
};

class Select : public Channel
{
};

/* A channel of longs with an end. */
struct Longs {
    skua_channel *channel;
    explicit Longs(size_t capacity) : channel(skua_channel_create(sizeof(long), capacity))
    {
    }
    Longs(const Longs &) = delete;
    Longs &operator=(const Longs &) = delete;
    ~Longs()
    {
        skua_channel_unref(channel);
    }
    int send(long value) const
    {
        return skua_channel_send(channel, &value);
    }
    long recv() const
    {
        long value = -1;
        int rc = skua_channel_recv(channel, &value);
        return rc < 0 ? rc : value;
    }
};

TEST_F(Channel, RefusesNullAndTheImpossible)
{
    long item = 0;
    EXPECT_EQ(skua_channel_create(SIZE_MAX / 2, 3), nullptr);
    EXPECT_EQ(skua_channel_create(1, SIZE_MAX / 2), nullptr);
    EXPECT_EQ(skua_channel_send(nullptr, &item), -EINVAL);
    EXPECT_EQ(skua_channel_recv(nullptr, &item), -EINVAL);
    EXPECT_EQ(skua_channel_try_send(nullptr, &item), -EINVAL);
    EXPECT_EQ(skua_channel_try_recv(nullptr, &item), -EINVAL);
    EXPECT_EQ(skua_channel_close(nullptr), -EINVAL);
    EXPECT_EQ(skua_channel_count(nullptr), 0u);
    EXPECT_FALSE(skua_channel_closed(nullptr));
    EXPECT_EQ(skua_channel_ref(nullptr), nullptr);
    skua_channel_unref(nullptr);
    Longs longs(1);
    EXPECT_EQ(skua_channel_send(longs.channel, nullptr), -EINVAL);
    EXPECT_EQ(skua_channel_recv(longs.channel, nullptr), -EINVAL);
    EXPECT_EQ(skua_channel_send_until(longs.channel, nullptr, 0), -EINVAL);
    EXPECT_EQ(skua_channel_recv_until(longs.channel, nullptr, 0), -EINVAL);
}

TEST_F(Channel, HoldsItsCapacityInOrderOnAnyThread)
{
    Longs longs(3);
    for (long i = 0; i < 3; i++)
        EXPECT_EQ(longs.send(i), 0);
    long item = 3;
    EXPECT_EQ(skua_channel_try_send(longs.channel, &item), -EAGAIN);
    EXPECT_EQ(skua_channel_send_until(longs.channel, &item, 0), -ETIMEDOUT);
    EXPECT_EQ(skua_channel_send_until(longs.channel, &item, skua_after(SKUA_NS_PER_MS)),
              -ETIMEDOUT);
    EXPECT_EQ(skua_channel_count(longs.channel), 3u);
    for (long round = 0; round < 10; round++) { /* round the ring */
        EXPECT_EQ(longs.recv(), round);
        EXPECT_EQ(longs.send(round + 3), 0);
    }
    for (long i = 10; i < 13; i++)
        EXPECT_EQ(longs.recv(), i);
    EXPECT_EQ(skua_channel_try_recv(longs.channel, &item), -EAGAIN);
    EXPECT_EQ(skua_channel_recv_until(longs.channel, &item, skua_after(SKUA_NS_PER_MS)),
              -ETIMEDOUT);
    EXPECT_EQ(item, 3);
}

TEST_F(Channel, ItemsOfAnySizeEvenNone)
{
    runInTask([] {
        for (size_t size : {size_t{0}, size_t{1}, size_t{7}, size_t{8}, size_t{16}, size_t{4096}}) {
            for (size_t capacity : {size_t{0}, size_t{2}}) {
                skua_channel *channel = skua_channel_create(size, capacity);
                ASSERT_NE(channel, nullptr);
                std::vector<unsigned char> in(size + 1, 0x5a), out(size + 1, 0);
                auto sender = [&]() -> intptr_t { return skua_channel_send(channel, in.data()); };
                skua_future *future = spawnBody(sender);
                EXPECT_EQ(skua_channel_recv(channel, size ? out.data() : nullptr), 0);
                EXPECT_EQ(skua_await(future), 0);
                EXPECT_TRUE(std::equal(out.begin(), out.begin() + (long)size, in.begin()));
                EXPECT_EQ(out[size], 0);
                skua_channel_unref(channel);
            }
        }
    });
}

TEST_F(Channel, OfNoCapacityIsAMeeting)
{
    runInTask(
        [] {
            Longs longs(0);
            long item = 1;
            EXPECT_EQ(skua_channel_try_send(longs.channel, &item), -EAGAIN);
            EXPECT_EQ(skua_channel_try_recv(longs.channel, &item), -EAGAIN);
            bool sent = false;
            auto sender = [&]() -> intptr_t {
                int rc = longs.send(42);
                sent = true;
                return rc;
            };
            skua_future *future = spawnBody(sender);
            EXPECT_EQ(skua_yield(), 0);
            EXPECT_FALSE(sent);
            EXPECT_EQ(longs.recv(), 42);
            EXPECT_EQ(skua_await(future), 0);
        },
        1);
}

TEST_F(Channel, ServesWaitersInOrder)
{
    runInTask(
        [] {
            Longs longs(1);
            std::vector<long> got;
            struct Receiver {
                Longs *longs;
                std::vector<long> *got;
                long number;
                intptr_t operator()()
                {
                    long value = longs->recv();
                    got->push_back(number * 100 + value);
                    return 0;
                }
            };
            std::vector<Receiver> receivers;
            for (long i = 0; i < 4; i++)
                receivers.push_back({&longs, &got, i});
            std::vector<skua_future *> futures;
            for (Receiver &receiver : receivers)
                futures.push_back(spawnBody(receiver));
            EXPECT_EQ(skua_yield(), 0);
            for (long i = 0; i < 4; i++)
                EXPECT_EQ(longs.send(i), 0);
            for (skua_future *future : futures)
                EXPECT_EQ(skua_await(future), 0);
            EXPECT_EQ(got, (std::vector<long>{0, 101, 202, 303}));
        },
        1);
}

/* Room that is there is used, and an item that is there is taken, with nobody else coming by. */
TEST_F(Channel, NobodyWaitsWhoseTurnItIs)
{
    runInTask(
        [] {
            Longs longs(2);
            std::vector<skua_future *> futures;
            auto sender = [&]() -> intptr_t { return longs.send(1); };
            auto receiver = [&]() -> intptr_t { return longs.recv(); };
            EXPECT_EQ(longs.send(1), 0);
            EXPECT_EQ(longs.send(1), 0);
            for (int i = 0; i < 2; i++)
                futures.push_back(spawnBody(sender));
            EXPECT_EQ(skua_yield(), 0);
            EXPECT_EQ(longs.recv(), 1); /* two places at once, for two who wait */
            EXPECT_EQ(longs.recv(), 1);
            for (skua_future *future : futures)
                EXPECT_EQ(skua_await(future), 0);
            EXPECT_EQ(longs.recv(), 1);
            EXPECT_EQ(longs.recv(), 1);
            futures.clear();
            for (int i = 0; i < 2; i++)
                futures.push_back(spawnBody(receiver));
            EXPECT_EQ(skua_yield(), 0);
            EXPECT_EQ(longs.send(1), 0);
            EXPECT_EQ(longs.send(1), 0);
            for (skua_future *future : futures)
                EXPECT_EQ(skua_await(future), 1);
        },
        1);
}

TEST_F(Channel, CloseTurnsWaitersAwayAndLeavesTheRest)
{
    runInTask([] {
        Longs full(1), empty(1);
        ASSERT_EQ(full.send(7), 0);
        auto sender = [&]() -> intptr_t { return full.send(8); };
        auto receiver = [&]() -> intptr_t { return empty.recv(); };
        skua_future *sending = spawnNamed("sender", sender);
        skua_future *receiving = spawnNamed("receiver", receiver);
        ASSERT_TRUE(yieldUntilState("sender", "at a channel"));
        ASSERT_TRUE(yieldUntilState("receiver", "at a channel"));
        EXPECT_EQ(skua_channel_close(full.channel), 0);
        EXPECT_EQ(skua_channel_close(empty.channel), 0);
        EXPECT_EQ(skua_channel_close(empty.channel), -EALREADY);
        EXPECT_TRUE(skua_channel_closed(empty.channel));
        EXPECT_EQ(skua_await(sending), -EPIPE);
        EXPECT_EQ(skua_await(receiving), -EPIPE);
        EXPECT_EQ(full.send(9), -EPIPE);
        EXPECT_EQ(full.recv(), 7);
        EXPECT_EQ(full.recv(), -EPIPE);
    });
}

TEST_F(Channel, TheIteratorEndsWithTheChannel)
{
    runInTask([] {
        Longs longs(2);
        auto producer = [&]() -> intptr_t {
            for (long i = 1; i <= 100; i++)
                EXPECT_EQ(longs.send(i), 0);
            return skua_channel_close(longs.channel);
        };
        skua_future *future = spawnBody(producer);
        long item, sum = 0;
        SKUA_CHANNEL_FOR_EACH(longs.channel, &item)
        {
            sum += item;
        }
        EXPECT_EQ(sum, 5050);
        EXPECT_EQ(skua_await(future), 0);
    });
}

TEST_F(Channel, WhoGivesUpTakesNothing)
{
    runInTask([] {
        Longs longs(0);
        auto receiver = [&]() -> intptr_t { return longs.recv(); };
        skua_future *cancelled = spawnNamed("cancelled", receiver);
        ASSERT_TRUE(yieldUntilState("cancelled", "at a channel"));
        skua_future *other = spawnNamed("other", receiver);
        ASSERT_TRUE(yieldUntilState("other", "at a channel"));
        EXPECT_EQ(skua_cancel(cancelled), 0);
        EXPECT_EQ(skua_await(cancelled), -ECANCELED);
        EXPECT_EQ(longs.send(5), 0);
        EXPECT_EQ(skua_await(other), 5);
        auto sender = [&]() -> intptr_t { return longs.send(6); };
        cancelled = spawnNamed("sender", sender);
        ASSERT_TRUE(yieldUntilState("sender", "at a channel"));
        EXPECT_EQ(skua_cancel(cancelled), 0);
        EXPECT_EQ(skua_await(cancelled), -ECANCELED);
        long item;
        EXPECT_EQ(skua_channel_try_recv(longs.channel, &item), -EAGAIN);
    });
}

/* An item that is there beats the cancel; the next wait does not. */
TEST_F(Channel, AnItemBeatsTheCancel)
{
    runInTask([] {
        Longs longs(1);
        ASSERT_EQ(longs.send(3), 0);
        auto body = [&]() -> intptr_t {
            EXPECT_EQ(skua_cancel(skua_self()), 0);
            EXPECT_EQ(longs.recv(), 3);
            return longs.recv();
        };
        EXPECT_EQ(skua_await(spawnBody(body)), -ECANCELED);
    });
}

/* Workers, executor threads and foreign ones at both ends: every item arrives once. */
TEST_F(Channel, ConservesItemsAmongThreadsOfAllKinds)
{
    for (size_t capacity : {size_t{0}, size_t{1}, size_t{64}}) {
        Longs longs(capacity);
        constexpr long kEach = 3000;
        std::atomic<long> sum{0}, count{0};
        auto produce = [&]() -> intptr_t {
            for (long i = 1; i <= kEach; i++)
                EXPECT_EQ(longs.send(i), 0);
            return 0;
        };
        auto consume = [&]() -> intptr_t {
            long item;
            SKUA_CHANNEL_FOR_EACH(longs.channel, &item)
            {
                sum += item;
                count++;
            }
            return 0;
        };
        Runtime runtime(2);
        std::thread producer(produce), consumer(consume);
        EXPECT_EQ(runtime.run([&]() -> intptr_t {
            skua_future *consumers[] = {spawnBody(consume), spawnBody(consume),
                                        offloadBody(nullptr, consume)};
            skua_future *producers[] = {spawnBody(produce), spawnBody(produce),
                                        offloadBody(nullptr, produce)};
            for (skua_future *future : producers)
                EXPECT_EQ(skua_await(future), 0);
            EXPECT_EQ(skua_await(skua_run_in_executor(
                          nullptr,
                          [](void *thread) -> intptr_t {
                              static_cast<std::thread *>(thread)->join();
                              return 0;
                          },
                          &producer)),
                      0);
            EXPECT_EQ(skua_channel_close(longs.channel), 0);
            for (skua_future *future : consumers)
                EXPECT_EQ(skua_await(future), 0);
            return 0;
        }),
                  0);
        consumer.join();
        EXPECT_EQ(count, 4 * kEach);
        EXPECT_EQ(sum, 4 * kEach * (kEach + 1) / 2);
    }
}

/* Receivers with deadlines that pass all the time, and cancels: nothing is lost or doubled. */
TEST_F(Channel, ConservesItemsAmongWaitersThatGiveUp)
{
    runInTask([] {
        Longs longs(0);
        constexpr long kItems = 20000;
        std::atomic<long> sum{0};
        std::atomic<bool> done{false};
        auto consume = [&]() -> intptr_t {
            long item;
            for (;;) {
                int rc = skua_channel_recv_until(longs.channel, &item, skua_after(3000));
                if (rc == 0)
                    sum += item;
                else if (rc == -EPIPE)
                    return 0;
                else
                    EXPECT_EQ(rc, -ETIMEDOUT);
            }
        };
        auto produce = [&]() -> intptr_t {
            for (long i = 1; i <= kItems;) {
                int rc = skua_channel_send_until(longs.channel, &i, skua_after(2000));
                if (rc == 0)
                    i++;
                else
                    EXPECT_EQ(rc, -ETIMEDOUT);
            }
            return 0;
        };
        skua_future *consumers[] = {spawnBody(consume), spawnBody(consume)};
        EXPECT_EQ(skua_await(spawnBody(produce)), 0);
        EXPECT_EQ(skua_channel_close(longs.channel), 0);
        for (skua_future *future : consumers)
            EXPECT_EQ(skua_await(future), 0);
        EXPECT_EQ(sum, kItems * (kItems + 1) / 2);
    });
}

/* ---- select ---------------------------------------------------------------------------------- */

skua_select_case receiveCase(const Longs &longs, long *item)
{
    skua_select_case c{};
    c.op = SKUA_SELECT_RECV;
    c.channel = longs.channel;
    c.item = item;
    return c;
}

skua_select_case sendCase(const Longs &longs, long *item)
{
    skua_select_case c = receiveCase(longs, item);
    c.op = SKUA_SELECT_SEND;
    return c;
}

skua_select_case futureCase(skua_future *future)
{
    skua_select_case c{};
    c.op = SKUA_SELECT_FUTURE;
    c.future = future;
    return c;
}

skua_select_case fdCase(int fd, unsigned events)
{
    skua_select_case c{};
    c.op = SKUA_SELECT_FD;
    c.fd = fd;
    c.events = events;
    return c;
}

TEST_F(Select, RefusesWhatItCannotWaitFor)
{
    skua_select_case cases[SKUA_SELECT_MAX + 1] = {};
    EXPECT_EQ(skua_select(nullptr, 1, 0), -EINVAL);
    EXPECT_EQ(skua_select(cases, 0, 0), -EINVAL);
    EXPECT_EQ(skua_select(cases, SKUA_SELECT_MAX + 1, 0), -EINVAL);
    EXPECT_EQ(skua_select(cases, SKUA_SELECT_MAX, 0), -ETIMEDOUT);
    cases[1].op = static_cast<skua_select_op>(99);
    EXPECT_EQ(skua_select(cases, 2, 0), -EINVAL);
    for (skua_select_op op : {SKUA_SELECT_SEND, SKUA_SELECT_RECV, SKUA_SELECT_FUTURE}) {
        cases[1].op = op;
        EXPECT_EQ(skua_select(cases, 2, 0), -EINVAL);
    }
    cases[1].op = SKUA_SELECT_FD;
    EXPECT_EQ(skua_select(cases, 2, 0), -EPERM); /* outside a runtime */
}

TEST_F(Select, TakesOneCaseAndLeavesTheOthers)
{
    Longs a(1), b(1);
    long in = -1, out = 5;
    skua_select_case cases[] = {receiveCase(a, &in), sendCase(b, &out)};
    EXPECT_EQ(skua_select(cases, 2, 0), 1);
    EXPECT_EQ(cases[1].result, 0);
    EXPECT_EQ(skua_select(cases, 2, 0), -ETIMEDOUT); /* b is full now */
    EXPECT_EQ(a.send(9), 0);
    EXPECT_EQ(skua_select(cases, 2, 0), 0);
    EXPECT_EQ(in, 9);
    EXPECT_EQ(b.recv(), 5);
    EXPECT_EQ(skua_channel_count(b.channel), 0u);
    EXPECT_EQ(skua_channel_close(a.channel), 0);
    cases[1].op = SKUA_SELECT_NONE;
    EXPECT_EQ(skua_select(cases, 2, SKUA_FOREVER), 0);
    EXPECT_EQ(cases[0].result, -EPIPE);
}

TEST_F(Select, ChoosesAmongReadyCases)
{
    Longs a(1000), b(1000);
    for (long i = 0; i < 1000; i++) {
        ASSERT_EQ(a.send(i), 0);
        ASSERT_EQ(b.send(i), 0);
    }
    int taken[2] = {0, 0};
    for (int i = 0; i < 1000; i++) {
        long in;
        skua_select_case cases[] = {receiveCase(a, &in), receiveCase(b, &in)};
        int index = skua_select(cases, 2, 0);
        ASSERT_GE(index, 0);
        taken[index]++;
    }
    EXPECT_GT(taken[0], 300);
    EXPECT_GT(taken[1], 300);
}

TEST_F(Select, WaitsForWhatComesFirst)
{
    runInTask([] {
        Longs a(0), b(0);
        Promise promise;
        int fds[2];
        ASSERT_EQ(pipe(fds), 0);
        for (int what = 0; what < 5; what++) {
            long in = -1, out = 8;
            skua_select_case cases[] = {receiveCase(a, &in), sendCase(b, &out),
                                        futureCase(promise.future), fdCase(fds[0], POLLIN),
                                        skua_select_case{}};
            cases[4].op = SKUA_SELECT_TIMER;
            cases[4].deadline_ns = what == 4 ? skua_after(SKUA_NS_PER_MS) : SKUA_FOREVER;
            auto trigger = [&]() -> intptr_t {
                EXPECT_TRUE(what == 4 || yieldUntilState("selector", "selecting"));
                if (what == 0)
                    return a.send(77);
                if (what == 1)
                    return b.recv() == 8 ? 0 : -EIO;
                if (what == 2)
                    return skua_promise_set(promise.promise, 6);
                if (what == 3)
                    return write(fds[1], "x", 1) == 1 ? 0 : -EIO;
                return 0;
            };
            auto selector = [&]() -> intptr_t { return skua_select(cases, 5, SKUA_FOREVER); };
            skua_future *selecting = spawnNamed("selector", selector);
            skua_future *triggering = spawnBody(trigger);
            EXPECT_EQ(skua_await(triggering), 0);
            int index = (int)skua_await(selecting);
            EXPECT_EQ(index, what);
            EXPECT_EQ(in, what == 0 ? 77 : -1);
            if (what == 2) { /* a fresh one for the rest */
                EXPECT_EQ(skua_await(promise.future), 6);
                skua_promise_unref(promise.promise);
                promise = Promise();
            }
            if (what == 3) {
                EXPECT_EQ(cases[3].result & POLLIN, POLLIN);
                char byte;
                EXPECT_EQ(read(fds[0], &byte, 1), 1);
            }
            long item;
            EXPECT_EQ(skua_channel_try_recv(a.channel, &item), -EAGAIN);
            EXPECT_EQ(skua_channel_try_send(b.channel, &item), -EAGAIN); /* nobody waits */
        }
        skua_promise_unref(promise.promise);
        EXPECT_EQ(skua_await(promise.future), -EOWNERDEAD);
        close(fds[0]);
        close(fds[1]);
    });
}

/* Its time comes while the select looks: it is the timer's, and no deadline of the caller's. */
TEST_F(Select, ATimerThatComesDueDuringTheCallIsItsCase)
{
    auto body = [] {
        Longs a(0);
        long in;
        skua_select_case cases[] = {receiveCase(a, &in), skua_select_case{}};
        cases[1].op = SKUA_SELECT_TIMER;
        for (uint64_t i = 0; i < 20000; i++) {
            cases[1].deadline_ns = skua_after(i % 500);
            ASSERT_EQ(skua_select(cases, 2, SKUA_FOREVER), 1);
            ASSERT_EQ(cases[1].result, 0);
        }
    };
    body();
    runInTask(body);
}

TEST_F(Select, GivesUpByDeadlineAndCancel)
{
    runInTask([] {
        Longs a(0);
        long in;
        skua_select_case cases[] = {receiveCase(a, &in)};
        EXPECT_EQ(skua_select(cases, 1, skua_after(SKUA_NS_PER_MS)), -ETIMEDOUT);
        int fds[2];
        ASSERT_EQ(pipe(fds), 0);
        auto selector = [&]() -> intptr_t {
            skua_select_case two[] = {receiveCase(a, &in), fdCase(fds[0], POLLIN)};
            return skua_select(two, 2, SKUA_FOREVER);
        };
        skua_future *future = spawnNamed("selector", selector);
        ASSERT_TRUE(yieldUntilState("selector", "selecting"));
        EXPECT_EQ(skua_cancel(future), 0);
        EXPECT_EQ(skua_await(future), -ECANCELED);
        EXPECT_EQ(skua_channel_try_send(a.channel, &in), -EAGAIN);
        skua_select_case bad[] = {fdCase(987654, POLLIN)};
        EXPECT_EQ(skua_select(bad, 1, SKUA_FOREVER), 0);
        EXPECT_EQ(bad[0].result, -EBADF);
        close(fds[0]);
        close(fds[1]);
    });
}

/* What a select is handed makes room for another, and that an item for a third: to the end. */
TEST_F(Select, AreServedOnBothSidesUntilNobodyCanBe)
{
    runInTask(
        [] {
            Longs longs(1);
            auto selectOn = [&](skua_select_op op) -> intptr_t {
                long item = 1;
                skua_select_case c = sendCase(longs, &item);
                c.op = op;
                return skua_select(&c, 1, skua_after(10 * SKUA_NS_PER_SEC));
            };
            auto receive = [&]() -> intptr_t { return longs.recv(); };
            auto receiveSelect = [&]() -> intptr_t { return selectOn(SKUA_SELECT_RECV); };
            skua_future *plain = spawnNamed("plain", receive);
            ASSERT_TRUE(yieldUntilState("plain", "at a channel"));
            skua_future *one = spawnNamed("one", receiveSelect);
            ASSERT_TRUE(yieldUntilState("one", "selecting"));
            skua_future *other = spawnNamed("other", receiveSelect);
            ASSERT_TRUE(yieldUntilState("other", "selecting"));
            EXPECT_EQ(longs.send(1), 0); /* plain's turn: it does not come before we wait */
            int results[2] = {-1, -1};
            std::thread senders[2];
            for (int i = 0; i < 2; i++)
                senders[i] = std::thread([&, i] { results[i] = (int)selectOn(SKUA_SELECT_SEND); });
            uint64_t end = skua_after(20 * SKUA_NS_PER_MS);
            while (skua_now() < end)
                continue;
            EXPECT_EQ(skua_await(plain), 1);
            EXPECT_EQ(skua_await(one), 0);
            EXPECT_EQ(skua_await(other), 0);
            for (int i = 0; i < 2; i++) {
                senders[i].join();
                EXPECT_EQ(results[i], 0);
            }
        },
        1);
}

/* Two selects may meet; one channel may stand in both directions and twice. */
TEST_F(Select, MeetsAnotherSelectAndNotItself)
{
    runInTask([] {
        Longs a(0), b(0);
        long in = 0, out = 3;
        skua_select_case self[] = {receiveCase(a, &in), sendCase(a, &out), receiveCase(a, &in)};
        EXPECT_EQ(skua_select(self, 3, skua_after(SKUA_NS_PER_MS)), -ETIMEDOUT);
        std::atomic<long> received{0};
        auto one = [&]() -> intptr_t {
            for (long i = 0; i < 2000; i++) {
                long item, mine = 1;
                skua_select_case cases[] = {receiveCase(a, &item), sendCase(b, &mine)};
                int index = skua_select(cases, 2, SKUA_FOREVER);
                EXPECT_GE(index, 0);
                received += index == 0;
            }
            return 0;
        };
        auto other = [&]() -> intptr_t {
            for (long i = 0; i < 2000; i++) {
                long item, mine = 2;
                skua_select_case cases[] = {receiveCase(b, &item), sendCase(a, &mine)};
                int index = skua_select(cases, 2, SKUA_FOREVER);
                EXPECT_GE(index, 0);
                received += index == 0;
            }
            return 0;
        };
        skua_future *futures[] = {spawnBody(one), spawnBody(other)};
        for (skua_future *future : futures)
            EXPECT_EQ(skua_await(future), 0);
        EXPECT_EQ(received, 2000); /* each meeting is one send and one receive */
    });
}

TEST_F(Select, ConservesItemsAmongManySelects)
{
    Longs a(0), b(1), c(4);
    const Longs *channels[] = {&a, &b, &c};
    constexpr long kEach = 3000;
    std::atomic<long> sum{0}, count{0};
    auto produce = [&]() -> intptr_t {
        for (long i = 1; i <= kEach; i++) {
            skua_select_case cases[3];
            for (int k = 0; k < 3; k++)
                cases[k] = sendCase(*channels[k], &i);
            int index = skua_select(cases, 3, SKUA_FOREVER);
            EXPECT_TRUE(index >= 0 && cases[index].result == 0);
        }
        return 0;
    };
    auto consume = [&]() -> intptr_t {
        while (count < 4 * kEach) {
            long item;
            skua_select_case cases[3];
            for (int k = 0; k < 3; k++)
                cases[k] = receiveCase(*channels[2 - k], &item);
            int index = skua_select(cases, 3, skua_after(SKUA_NS_PER_MS));
            if (index >= 0) {
                sum += item;
                count++;
            }
        }
        return 0;
    };
    Runtime runtime(2);
    std::thread foreign(produce);
    EXPECT_EQ(runtime.run([&]() -> intptr_t {
        skua_future *futures[] = {spawnBody(consume), spawnBody(produce), spawnBody(consume),
                                  offloadBody(nullptr, produce), offloadBody(nullptr, produce)};
        for (skua_future *future : futures)
            EXPECT_EQ(skua_await(future), 0);
        return 0;
    }),
              0);
    foreign.join();
    EXPECT_EQ(sum, 4 * kEach * (kEach + 1) / 2);
}

} /* namespace */
