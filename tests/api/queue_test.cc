/*
 * Tests skua/queue.h: the three orders, bounds, growth, join, shutdown, giving up, threads of all
 * kinds.
 */
#include "support/sync_kit.h"

#include <algorithm>
#include <atomic>
#include <numeric>

using namespace skua_test;

namespace
{

const char *const kState = "at a queue";

class Queue : public Sync
{
};

/* Of longs, by their tens: of 23 and 21 neither is smaller. */
int compareTens(const void *a, const void *b, void *)
{
    long x = *static_cast<const long *>(a) / 10;
    long y = *static_cast<const long *>(b) / 10;
    return (x > y) - (x < y);
}

/* A queue of longs with an end. */
struct Longs {
    skua_queue *queue;
    explicit Longs(size_t capacity, skua_queue_order order = SKUA_QUEUE_FIFO)
    {
        skua_queue_options options{};
        options.item_size = sizeof(long);
        options.capacity = capacity;
        options.order = order;
        options.compare = order == SKUA_QUEUE_PRIORITY ? compareTens : nullptr;
        queue = skua_queue_create(&options);
        EXPECT_NE(queue, nullptr);
    }
    Longs(const Longs &) = delete;
    Longs &operator=(const Longs &) = delete;
    ~Longs()
    {
        skua_queue_unref(queue);
    }
    int put(long value) const
    {
        return skua_queue_put(queue, &value);
    }
    int tryPut(long value) const
    {
        return skua_queue_try_put(queue, &value);
    }
    long get() const
    {
        long value = -1;
        int rc = skua_queue_get(queue, &value);
        return rc < 0 ? rc : value;
    }
    long tryGet() const
    {
        long value = -1;
        int rc = skua_queue_try_get(queue, &value);
        return rc < 0 ? rc : value;
    }
    std::vector<long> rest() const
    {
        std::vector<long> all;
        for (long value; (value = tryGet()) >= 0;)
            all.push_back(value);
        return all;
    }
};

TEST_F(Queue, RefusesNullAndTheImpossible)
{
    long item = 0;
    EXPECT_EQ(skua_queue_create(nullptr), nullptr);
    EXPECT_EQ(skua_queue_ref(nullptr), nullptr);
    skua_queue_unref(nullptr);
    EXPECT_EQ(skua_queue_put(nullptr, &item), -EINVAL);
    EXPECT_EQ(skua_queue_try_put(nullptr, &item), -EINVAL);
    EXPECT_EQ(skua_queue_get(nullptr, &item), -EINVAL);
    EXPECT_EQ(skua_queue_try_get(nullptr, &item), -EINVAL);
    EXPECT_EQ(skua_queue_count(nullptr), 0u);
    EXPECT_EQ(skua_queue_task_done(nullptr), -EINVAL);
    EXPECT_EQ(skua_queue_join(nullptr), -EINVAL);
    EXPECT_EQ(skua_queue_shutdown(nullptr, SKUA_QUEUE_DRAIN), -EINVAL);
    Longs longs(1);
    EXPECT_EQ(skua_queue_put(longs.queue, nullptr), -EINVAL);
    EXPECT_EQ(skua_queue_get_until(longs.queue, nullptr, 0), -EINVAL);
    EXPECT_EQ(skua_queue_shutdown(longs.queue, static_cast<skua_queue_shutdown_mode>(7)), -EINVAL);
    skua_queue_options options{};
    options.item_size = SIZE_MAX / 2;
    options.capacity = 3;
    EXPECT_EQ(skua_queue_create(&options), nullptr);
    options.item_size = 1;
    options.capacity = SIZE_MAX / 2;
    EXPECT_EQ(skua_queue_create(&options), nullptr);
    options.capacity = 1;
    options.compare = compareTens;
    EXPECT_EQ(skua_queue_create(&options), nullptr); /* what for? */
    options.order = SKUA_QUEUE_PRIORITY;
    options.compare = nullptr;
    EXPECT_EQ(skua_queue_create(&options), nullptr);
    options.order = static_cast<skua_queue_order>(9);
    EXPECT_EQ(skua_queue_create(&options), nullptr);
    options.order = SKUA_QUEUE_FIFO;
    options.reserved[2] = 1;
    EXPECT_EQ(skua_queue_create(&options), nullptr);
}

TEST_F(Queue, HoldsItsCapacityOnAnyThread)
{
    for (skua_queue_order order : {SKUA_QUEUE_FIFO, SKUA_QUEUE_LIFO, SKUA_QUEUE_PRIORITY}) {
        Longs longs(3, order);
        for (long i = 0; i < 3; i++)
            EXPECT_EQ(longs.put(i), 0);
        long item = 3;
        EXPECT_EQ(longs.tryPut(item), -EAGAIN);
        EXPECT_EQ(skua_queue_put_until(longs.queue, &item, 0), -ETIMEDOUT);
        EXPECT_EQ(skua_queue_put_until(longs.queue, &item, skua_after(SKUA_NS_PER_MS)), -ETIMEDOUT);
        EXPECT_EQ(skua_queue_count(longs.queue), 3u);
        EXPECT_EQ(longs.rest().size(), 3u);
        EXPECT_EQ(longs.tryGet(), -EAGAIN);
        EXPECT_EQ(skua_queue_get_until(longs.queue, &item, skua_after(SKUA_NS_PER_MS)), -ETIMEDOUT);
        EXPECT_EQ(item, 3);
    }
}

TEST_F(Queue, GivesTheOldestTheNewestOrTheSmallest)
{
    const std::vector<long> in = {35, 11, 34, 10, 22, 12};
    const std::vector<long> newest(in.rbegin(), in.rend());
    const std::vector<long> smallest = {11, 10, 12, 22, 35, 34}; /* of equal ones the oldest */
    for (size_t capacity : {size_t{0}, in.size()}) {
        Longs fifo(capacity), lifo(capacity, SKUA_QUEUE_LIFO),
            priority(capacity, SKUA_QUEUE_PRIORITY);
        for (const Longs *longs : {&fifo, &lifo, &priority})
            for (long value : in)
                EXPECT_EQ(longs->put(value), 0);
        EXPECT_EQ(fifo.rest(), in);
        EXPECT_EQ(lifo.rest(), newest);
        EXPECT_EQ(priority.rest(), smallest);
    }
}

/* Against a sorted vector, with growth in between and slots that are used again. */
TEST_F(Queue, PriorityIsStableThroughAnyMixOfPutsAndGets)
{
    Longs longs(0, SKUA_QUEUE_PRIORITY);
    std::vector<long> model;
    uint64_t random = 1;
    auto next = [&](uint64_t below) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        return static_cast<long>((random >> 33) % below);
    };
    for (int i = 0; i < 20000; i++) {
        bool grows = i / 2000 % 2 == 0;
        if (next(3) < (grows ? 2 : 1)) {
            long value = next(300);
            EXPECT_EQ(longs.put(value), 0);
            auto place = std::upper_bound(model.begin(), model.end(), value,
                                          [](long a, long b) { return a / 10 < b / 10; });
            model.insert(place, value);
        } else if (model.empty()) {
            EXPECT_EQ(longs.tryGet(), -EAGAIN);
        } else {
            ASSERT_EQ(longs.tryGet(), model.front());
            model.erase(model.begin());
        }
    }
    EXPECT_EQ(longs.rest(), model);
}

TEST_F(Queue, WithoutABoundItGrowsWhereverItsHeadIs)
{
    Longs longs(0);
    long put = 0, got = 0;
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < 7; i++)
            EXPECT_EQ(longs.tryPut(put++), 0);
        for (int i = 0; i < 3; i++)
            ASSERT_EQ(longs.tryGet(), got++);
    }
    EXPECT_EQ(skua_queue_count(longs.queue), static_cast<size_t>(put - got));
    while (got < put)
        ASSERT_EQ(longs.tryGet(), got++);
}

TEST_F(Queue, ItemsOfAnySizeEvenNone)
{
    for (size_t size : {size_t{0}, size_t{1}, size_t{7}, size_t{8}, size_t{16}, size_t{4096}}) {
        skua_queue_options options{};
        options.item_size = size;
        skua_queue *queue = skua_queue_create(&options);
        ASSERT_NE(queue, nullptr);
        std::vector<unsigned char> in(size + 1, 0x5a), out(size + 1, 0);
        for (int i = 0; i < 40; i++)
            EXPECT_EQ(skua_queue_put(queue, size ? in.data() : nullptr), 0);
        for (int i = 0; i < 39; i++) {
            std::fill(out.begin(), out.end(), 0);
            EXPECT_EQ(skua_queue_get(queue, size ? out.data() : nullptr), 0);
            EXPECT_TRUE(std::equal(out.begin(), out.begin() + static_cast<long>(size), in.begin()));
            EXPECT_EQ(out[size], 0);
        }
        skua_queue_unref(queue); /* with what is in it */
    }
}

TEST_F(Queue, ServesWaitersInOrder)
{
    runInTask(
        [] {
            Longs longs(1);
            std::vector<long> got(4);
            Line line(kState);
            for (size_t i = 0; i < 4; i++)
                line.add([&, i] { return (got[i] = longs.get()) < 0 ? -EIO : 0; });
            for (long i = 0; i < 4; i++)
                EXPECT_EQ(longs.put(i), 0);
            for (size_t i = 0; i < 4; i++)
                EXPECT_EQ(line.result(i), 0);
            EXPECT_EQ(line.went(), (std::vector<size_t>{0, 1, 2, 3}));
            EXPECT_EQ(got, (std::vector<long>{0, 1, 2, 3}));
        },
        1);
}

/* One who waits to get is woken by a put, and a put that waits by a get. */
TEST_F(Queue, OneWakeIsEnoughForManyWaiters)
{
    for (unsigned workers : {1u, 2u})
        runInTask(
            [] {
                Longs empty(0), full(4);
                Line getters(kState, "getters"), putters(kState, "putters");
                getters.addMany(4, [&] { return empty.get() > 0 ? 0 : -EIO; });
                for (long i = 1; i <= 4; i++)
                    EXPECT_EQ(empty.tryPut(i), 0);
                for (size_t i = 0; i < 4; i++)
                    EXPECT_EQ(getters.result(i), 0);
                for (long i = 0; i < 4; i++)
                    EXPECT_EQ(full.tryPut(1), 0);
                putters.addMany(4, [&] { return full.put(2); });
                EXPECT_EQ(full.rest(), (std::vector<long>(4, 1)));
                for (size_t i = 0; i < 4; i++)
                    EXPECT_EQ(putters.result(i), 0);
                EXPECT_EQ(full.rest(), (std::vector<long>(4, 2)));
            },
            workers);
}

/* Others take what the waiter was woken for, again and again: then it is served where it stands. */
TEST_F(Queue, NobodyIsOvertakenForEver)
{
    runInTask(
        [] {
            Longs empty(0), full(1);
            EXPECT_EQ(full.put(0), 0);
            Line getter(kState, "getter"), putter(kState, "putter");
            getter.add([&] { return empty.get(); });
            putter.add([&] { return full.put(7); });
            int overtaken = 0;
            do {
                EXPECT_EQ(empty.tryPut(overtaken), 0);
                if (empty.tryGet() < 0)
                    break;
                EXPECT_EQ(skua_yield(), 0);
            } while (++overtaken < 100);
            EXPECT_EQ(getter.result(0), overtaken);
            EXPECT_LT(overtaken, 10);
            overtaken = 0;
            do {
                EXPECT_EQ(full.tryGet(), 0);
                if (full.tryPut(0) < 0)
                    break;
                EXPECT_EQ(skua_yield(), 0);
            } while (++overtaken < 100);
            EXPECT_EQ(putter.result(0), 0);
            EXPECT_LT(overtaken, 10);
            EXPECT_EQ(full.tryGet(), 7);
        },
        1);
}

TEST_F(Queue, WhoLosesATurnKeepsItsPlace)
{
    runInTask(
        [] {
            Longs empty(0), full(1);
            EXPECT_EQ(full.put(0), 0);
            Line getters(kState, "getters"), putters(kState, "putters");
            getters.addMany(2, [&] { return empty.get() > 0 ? 0 : -EIO; });
            putters.addMany(2, [&] { return full.put(1); });
            EXPECT_EQ(empty.tryPut(1), 0);
            EXPECT_EQ(empty.tryGet(), 1);
            EXPECT_EQ(full.tryGet(), 0);
            EXPECT_EQ(full.tryPut(0), 0);
            EXPECT_EQ(skua_yield(), 0);
            EXPECT_TRUE(getters.waits(0) && putters.waits(0));
            EXPECT_EQ(empty.tryPut(2), 0);
            EXPECT_EQ(full.tryGet(), 0);
            EXPECT_EQ(getters.result(0), 0);
            EXPECT_EQ(putters.result(0), 0);
            EXPECT_TRUE(getters.waits(1) && putters.waits(1));
            EXPECT_EQ(empty.tryPut(3), 0);
            EXPECT_EQ(full.tryGet(), 1);
            EXPECT_EQ(getters.result(1), 0);
            EXPECT_EQ(putters.result(1), 0);
        },
        1);
}

/*
 * A getter has been woken and does not run, a putter is due to be served where it stands: its item
 * is for the other getter, who must be told of it. Two runtimes, so that one can be kept busy.
 */
TEST_F(Queue, TheItemOfAServedPutterWakesTheNextWhoWaitsToGet)
{
    Longs longs(1);
    Runtime busy(1), other(1);
    std::atomic<bool> ready{false}, release{false};
    auto gets = [&]() -> intptr_t {
        Line getters(kState);
        getters.addMany(2, [&] { return longs.get() > 0 ? 0 : -EIO; });
        ready = true;
        while (!release) /* nobody else runs */
            continue;
        EXPECT_EQ(getters.result(0), 0);
        EXPECT_EQ(getters.result(1), 0);
        return 0;
    };
    skua_future *getting = submitBody(busy.get(), gets);
    auto puts = [&]() -> intptr_t {
        EXPECT_TRUE(yieldUntil([&] { return ready.load(); }));
        EXPECT_EQ(longs.tryPut(1), 0);
        Line putters(kState);
        putters.add([&] { return longs.put(2); });
        for (int turn = 0; turn < 4; turn++) { /* it loses as many as it may */
            EXPECT_EQ(longs.tryGet(), 1);
            EXPECT_EQ(longs.tryPut(1), 0);
            EXPECT_EQ(skua_yield(), 0);
            EXPECT_TRUE(putters.waits(0));
        }
        release = true;
        return putters.result(0);
    };
    EXPECT_EQ(other.run(puts), 0);
    EXPECT_EQ(skua_await(getting), 0);
}

TEST_F(Queue, AnItemThatIsThereBeatsCancelAndDeadline)
{
    Longs longs(0);
    long value = 5;
    expectHandoverBeatsAll(
        kState, [&](uint64_t at) { return skua_queue_get_until(longs.queue, &value, at); },
        [&] { return longs.tryPut(8); });
    EXPECT_EQ(value, 8);
}

TEST_F(Queue, WhoGivesUpTakesNothingAndPutsNothing)
{
    for (bool cancels : {false, true})
        runInTask([=] {
            Longs empty(0), full(1);
            EXPECT_EQ(full.put(1), 0);
            Line getters(kState, "getters"), putters(kState, "putters");
            uint64_t deadline = cancels ? SKUA_FOREVER : afterTheLine();
            long item = 4;
            getters.add([&] { return skua_queue_get_until(empty.queue, &item, deadline); });
            getters.add([&] { return empty.get() == 2 ? 0 : -EIO; });
            putters.add([&] { return skua_queue_put_until(full.queue, &item, deadline); });
            putters.add([&] { return full.put(3); });
            if (cancels) {
                getters.cancel(0);
                putters.cancel(0);
            }
            EXPECT_EQ(getters.result(0), cancels ? -ECANCELED : -ETIMEDOUT);
            EXPECT_EQ(putters.result(0), cancels ? -ECANCELED : -ETIMEDOUT);
            EXPECT_EQ(item, 4);
            EXPECT_EQ(empty.put(2), 0);
            EXPECT_EQ(getters.result(1), 0);
            EXPECT_EQ(full.get(), 1);
            EXPECT_EQ(putters.result(1), 0);
            EXPECT_EQ(full.get(), 3);
        });
}

/* The first is woken, and cancelled before it runs; somebody else has its item. */
TEST_F(Queue, AWokenWaiterThatGivesUpPassesTheWakeOn)
{
    runInTask(
        [] {
            Longs empty(0), full(2);
            Line getters(kState, "getters"), putters(kState, "putters");
            getters.addMany(
                2, [&] { return empty.get() < 0 ? skua_cancelled() ? -ECANCELED : -EIO : 0; });
            EXPECT_EQ(empty.tryPut(1), 0);
            getters.cancel(0);
            EXPECT_EQ(empty.tryGet(), 1);
            EXPECT_EQ(getters.result(0), -ECANCELED);
            EXPECT_EQ(empty.tryPut(2), 0);
            EXPECT_EQ(getters.result(1), 0);
            EXPECT_EQ(full.tryPut(1), 0);
            EXPECT_EQ(full.tryPut(1), 0);
            putters.addMany(2, [&] { return full.put(2); });
            EXPECT_EQ(full.tryGet(), 1);
            putters.cancel(0);
            EXPECT_EQ(full.tryPut(1), 0);
            EXPECT_EQ(putters.result(0), -ECANCELED);
            EXPECT_EQ(full.tryGet(), 1);
            EXPECT_EQ(putters.result(1), 0);
        },
        1);
}

TEST_F(Queue, GivesUpEverywhere)
{
    Longs empty(0), full(1);
    EXPECT_EQ(full.put(1), 0);
    long item = 0;
    expectGivesUpEverywhere(
        [&](uint64_t at) { return skua_queue_get_until(empty.queue, &item, at); });
    expectGivesUpEverywhere(
        [&](uint64_t at) { return skua_queue_put_until(full.queue, &item, at); });
    expectGivesUpEverywhere([&](uint64_t at) { return skua_queue_join_until(full.queue, at); });
}

/* ---- join ------------------------------------------------------------------------------------ */

TEST_F(Queue, JoinWaitsUntilAllIsDone)
{
    runInTask([] {
        Longs longs(0);
        EXPECT_EQ(skua_queue_join(longs.queue), 0);
        EXPECT_EQ(skua_queue_task_done(longs.queue), -EINVAL);
        for (long i = 0; i < 3; i++)
            EXPECT_EQ(longs.put(i), 0);
        EXPECT_EQ(skua_queue_task_done(longs.queue), -EINVAL); /* none has been got */
        EXPECT_EQ(skua_queue_join_until(longs.queue, 0), -ETIMEDOUT);
        Line line(kState);
        line.addMany(2, [&] { return skua_queue_join(longs.queue); });
        for (long i = 0; i < 3; i++) {
            EXPECT_TRUE(line.waits(0) && line.waits(1));
            EXPECT_EQ(longs.get(), i);
            EXPECT_TRUE(line.waits(0) && line.waits(1));
            EXPECT_EQ(skua_queue_task_done(longs.queue), 0);
        }
        EXPECT_EQ(skua_queue_task_done(longs.queue), -EINVAL);
        EXPECT_EQ(line.result(0), 0);
        EXPECT_EQ(line.result(1), 0);
        EXPECT_EQ(skua_queue_join_until(longs.queue, 0), 0); /* it needs no wait */
    });
}

TEST_F(Queue, WhoGivesUpJoiningLeavesTheOthers)
{
    runInTask([] {
        Longs longs(0);
        EXPECT_EQ(longs.put(1), 0);
        Line line(kState);
        line.addMany(2, [&] { return skua_queue_join(longs.queue); });
        line.cancel(0);
        EXPECT_EQ(line.result(0), -ECANCELED);
        EXPECT_EQ(longs.get(), 1);
        EXPECT_EQ(skua_queue_task_done(longs.queue), 0);
        EXPECT_EQ(line.result(1), 0);
    });
}

/* ---- shutdown -------------------------------------------------------------------------------- */

TEST_F(Queue, ShutdownLetsTheRestBeGot)
{
    runInTask([] {
        Longs longs(2), empty(2);
        EXPECT_EQ(longs.put(1), 0);
        EXPECT_EQ(longs.put(2), 0);
        Line putters(kState, "putters"), getters(kState, "getters"), joiners(kState, "joiners");
        putters.addMany(2, [&] { return longs.put(3); });
        getters.addMany(2, [&] { return (int)empty.get(); });
        joiners.add([&] { return skua_queue_join(longs.queue); });
        for (const Longs *both : {&longs, &empty})
            EXPECT_EQ(skua_queue_shutdown(both->queue, SKUA_QUEUE_DRAIN), 0);
        EXPECT_EQ(skua_queue_shutdown(longs.queue, SKUA_QUEUE_DRAIN), -EALREADY);
        for (size_t i = 0; i < 2; i++) {
            EXPECT_EQ(putters.result(i), -EPIPE);
            EXPECT_EQ(getters.result(i), -EPIPE);
        }
        EXPECT_EQ(longs.put(4), -EPIPE);
        EXPECT_EQ(longs.tryPut(4), -EPIPE);
        EXPECT_EQ(longs.get(), 1);
        EXPECT_EQ(longs.tryGet(), 2);
        EXPECT_EQ(longs.get(), -EPIPE);
        EXPECT_EQ(longs.tryGet(), -EPIPE);
        EXPECT_TRUE(joiners.waits(0));
        EXPECT_EQ(skua_queue_task_done(longs.queue), 0);
        EXPECT_EQ(skua_queue_task_done(longs.queue), 0);
        EXPECT_EQ(joiners.result(0), 0);
    });
}

TEST_F(Queue, ShutdownMayDropTheRest)
{
    for (bool drains : {false, true})
        runInTask([=] {
            for (skua_queue_order order : {SKUA_QUEUE_FIFO, SKUA_QUEUE_LIFO, SKUA_QUEUE_PRIORITY}) {
                Longs longs(3, order);
                for (long i = 0; i < 3; i++)
                    EXPECT_EQ(longs.put(i), 0);
                EXPECT_GE(longs.get(), 0);
                Line joiners(kState, "joiners");
                joiners.add([&] { return skua_queue_join(longs.queue); });
                EXPECT_EQ(drains ? skua_queue_shutdown(longs.queue, SKUA_QUEUE_DRAIN) : 0, 0);
                EXPECT_EQ(skua_queue_shutdown(longs.queue, SKUA_QUEUE_DROP), 0);
                EXPECT_EQ(skua_queue_shutdown(longs.queue, SKUA_QUEUE_DROP), -EALREADY);
                EXPECT_EQ(skua_queue_shutdown(longs.queue, SKUA_QUEUE_DRAIN), -EALREADY);
                EXPECT_EQ(skua_queue_count(longs.queue), 0u);
                EXPECT_EQ(longs.get(), -EPIPE);
                EXPECT_TRUE(joiners.waits(0)); /* for the one that was got */
                EXPECT_EQ(skua_queue_task_done(longs.queue), 0);
                EXPECT_EQ(skua_queue_task_done(longs.queue), -EINVAL);
                EXPECT_EQ(joiners.result(0), 0);
            }
        });
}

TEST_F(Queue, DroppingAllThatIsUndoneEndsTheJoin)
{
    runInTask([] {
        Longs longs(0);
        EXPECT_EQ(longs.put(1), 0);
        Line joiners(kState, "joiners");
        joiners.add([&] { return skua_queue_join(longs.queue); });
        EXPECT_EQ(skua_queue_shutdown(longs.queue, SKUA_QUEUE_DROP), 0);
        EXPECT_EQ(joiners.result(0), 0);
    });
}

/* Two items, two who wait, of whom one has been woken: the other gets its item as well. */
TEST_F(Queue, ShutdownTurnsNobodyAwayWhileThereIsSomethingForHim)
{
    runInTask(
        [] {
            Longs longs(0);
            Line getters(kState, "getters");
            getters.addMany(3, [&] { return (int)longs.get(); });
            EXPECT_EQ(longs.tryPut(1), 0);
            EXPECT_EQ(longs.tryPut(2), 0);
            EXPECT_EQ(skua_queue_shutdown(longs.queue, SKUA_QUEUE_DRAIN), 0);
            EXPECT_EQ(getters.result(0), 1);
            EXPECT_EQ(getters.result(1), 2);
            EXPECT_EQ(getters.result(2), -EPIPE);
        },
        1);
}

/* ---- crowds ---------------------------------------------------------------------------------- */

/* Half put, half get, some give up all the time: everything arrives once, and is done. */
TEST_F(Queue, ConservesItemsAmongThreadsOfAllKinds)
{
    for (size_t capacity : {size_t{0}, size_t{1}, size_t{16}}) {
        for (skua_queue_order order : {SKUA_QUEUE_FIFO, SKUA_QUEUE_LIFO, SKUA_QUEUE_PRIORITY}) {
            Longs longs(capacity, order);
            const long each = rounds(600);
            std::atomic<long> sum{0}, count{0};
            std::atomic<unsigned> putting{6};
            runCrowd([&](unsigned i) {
                int turn = 0;
                for (long value = 1; i % 2 == 0 && value <= each; turn++) {
                    int rc = turn % 3 == 0 ? longs.put(value)
                                           : skua_queue_put_until(longs.queue, &value, soon(turn));
                    ASSERT_TRUE(rc == 0 || rc == -ETIMEDOUT);
                    value += rc == 0;
                }
                if (i % 2 == 0 && --putting == 0) {
                    EXPECT_EQ(skua_queue_join(longs.queue), 0);
                    EXPECT_EQ(count, 6 * each);
                    EXPECT_EQ(skua_queue_shutdown(longs.queue, SKUA_QUEUE_DRAIN), 0);
                }
                for (; i % 2 == 1; turn++) {
                    long value;
                    int rc = turn % 3 == 0 ? skua_queue_get(longs.queue, &value)
                                           : skua_queue_get_until(longs.queue, &value, soon(turn));
                    if (rc == -EPIPE)
                        break;
                    ASSERT_TRUE(rc == 0 || rc == -ETIMEDOUT);
                    if (rc < 0)
                        continue;
                    sum += value;
                    count++;
                    EXPECT_EQ(skua_queue_task_done(longs.queue), 0);
                }
            });
            EXPECT_EQ(count, 6 * each);
            EXPECT_EQ(sum, 6 * each * (each + 1) / 2);
        }
    }
}

} /* namespace */
