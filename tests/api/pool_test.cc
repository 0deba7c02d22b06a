/*
 * Tests skua/pool.h: making, lending, order, age, health, closing.
 */
#include "support/sim_kit.h"
#include "support/sync_kit.h"

#include <array>
#include <atomic>

using namespace skua_test;

namespace
{

const uint64_t kMs = SKUA_NS_PER_MS;
const uint64_t kSec = SKUA_NS_PER_SEC;

class Pool : public Sync
{
};

class PoolInTime : public Simulated
{
};

/* Connections, of which there are never more than @max, each used by one at a time. */
class Connections
{
  public:
    struct Connection {
        int number;
        bool isBroken = false;
        std::atomic<int> users{0};
    };

    explicit Connections(size_t max, uint64_t idleTimeout = 0) : max_(static_cast<int>(max))
    {
        skua_pool_options options{};
        options.create = create;
        options.destroy = destroy;
        options.is_healthy = isHealthy;
        options.arg = this;
        options.count_max = max;
        options.idle_timeout_ns = idleTimeout;
        EXPECT_EQ(skua_pool_create(&options, &pool), 0);
    }
    Connections(const Connections &) = delete;
    Connections &operator=(const Connections &) = delete;

    ~Connections()
    {
        skua_pool_destroy(pool);
        EXPECT_EQ(live, 0);
    }

    Connection *acquire()
    {
        void *resource = nullptr;
        EXPECT_EQ(skua_pool_acquire(pool, &resource), 0);
        return static_cast<Connection *>(resource);
    }

    intptr_t acquireUntil(uint64_t deadline)
    {
        void *resource = this;
        intptr_t rc = skua_pool_acquire_until(pool, &resource, deadline);
        EXPECT_EQ(rc < 0, resource == this);
        return rc < 0 ? rc : skua_pool_release(pool, resource);
    }

    void release(Connection *connection)
    {
        EXPECT_EQ(skua_pool_release(pool, connection), 0);
    }

    skua_pool *pool = nullptr;
    std::atomic<int> live{0}, made{0};
    std::atomic<int> refusal{0}; /* what create returns instead */

  private:
    static int create(void **resource, void *arg)
    {
        auto *self = static_cast<Connections *>(arg);
        if (self->refusal != 0)
            return self->refusal;
        EXPECT_LE(++self->live, self->max_);
        if (skua_yield() < 0) { /* it may wait, and be cancelled */
            self->live--;
            return -ECANCELED;
        }
        auto *connection = new Connection;
        connection->number = self->made++;
        *resource = connection;
        return 0;
    }

    static void destroy(void *resource, void *arg)
    {
        auto *connection = static_cast<Connection *>(resource);
        EXPECT_EQ(connection->users, 0);
        static_cast<Connections *>(arg)->live--;
        delete connection;
    }

    static bool isHealthy(void *resource, void *)
    {
        return !static_cast<Connection *>(resource)->isBroken;
    }

    int max_;
};

TEST_F(Pool, RefusesWhatItCannotDo)
{
    skua_pool_options options{};
    skua_pool *pool = nullptr;
    void *resource = nullptr;
    EXPECT_EQ(skua_pool_create(nullptr, &pool), -EINVAL);
    EXPECT_EQ(skua_pool_create(&options, &pool), -EINVAL);
    options.create = [](void **, void *) { return 0; };
    EXPECT_EQ(skua_pool_create(&options, &pool), -EINVAL);
    options.destroy = [](void *, void *) {};
    EXPECT_EQ(skua_pool_create(&options, nullptr), -EINVAL);
    options.reserved[1] = 1;
    EXPECT_EQ(skua_pool_create(&options, &pool), -EINVAL);
    options.reserved[1] = 0;
    options.count_max = SIZE_MAX;
    EXPECT_EQ(skua_pool_create(&options, &pool), -EINVAL);
    EXPECT_EQ(pool, nullptr);
    EXPECT_EQ(skua_pool_acquire(nullptr, &resource), -EINVAL);
    EXPECT_EQ(skua_pool_try_acquire(nullptr, &resource), -EINVAL);
    EXPECT_EQ(skua_pool_release(nullptr, nullptr), -EINVAL);
    EXPECT_EQ(skua_pool_discard(nullptr, nullptr), -EINVAL);
    EXPECT_EQ(skua_pool_trim(nullptr), -EINVAL);
    EXPECT_EQ(skua_pool_close(nullptr), -EINVAL);
    EXPECT_EQ(skua_pool_idle_count(nullptr), 0u);
    skua_pool_destroy(nullptr);
    Connections connections(1);
    EXPECT_EQ(skua_pool_acquire(connections.pool, nullptr), -EINVAL);
}

TEST_F(Pool, MakesWhatIsNeededAndLendsTheYoungestAgain)
{
    Connections connections(3);
    auto *a = connections.acquire(), *b = connections.acquire();
    EXPECT_EQ(connections.made, 2);
    connections.release(a);
    connections.release(b);
    EXPECT_EQ(skua_pool_idle_count(connections.pool), 2u);
    for (int i = 0; i < 5; i++) {
        auto *again = connections.acquire();
        EXPECT_EQ(again, b);
        connections.release(again);
    }
    b = connections.acquire();
    a = connections.acquire();
    auto *c = connections.acquire();
    EXPECT_EQ(connections.made, 3);
    void *none = nullptr;
    EXPECT_EQ(skua_pool_try_acquire(connections.pool, &none), -EAGAIN);
    EXPECT_EQ(skua_pool_acquire_until(connections.pool, &none, 0), -ETIMEDOUT);
    EXPECT_EQ(none, nullptr);
    EXPECT_EQ(skua_pool_discard(connections.pool, c), 0);
    EXPECT_EQ(connections.live, 2);
    EXPECT_EQ(skua_pool_try_acquire(connections.pool, &none), 0);
    EXPECT_EQ(connections.made, 4);
    EXPECT_EQ(skua_pool_release(connections.pool, none), 0);
    connections.release(a);
    connections.release(b);
}

TEST_F(Pool, DoesNotLendWhatIsBroken)
{
    Connections connections(3);
    auto *a = connections.acquire(), *b = connections.acquire();
    b->isBroken = true;
    connections.release(a);
    connections.release(b);
    EXPECT_EQ(connections.acquire(), a);
    EXPECT_EQ(connections.live, 1);
    a->isBroken = true;
    connections.release(a);
    auto *c = connections.acquire();
    EXPECT_EQ(c->number, 2);
    EXPECT_EQ(connections.live, 1);
    connections.release(c);
}

TEST_F(Pool, AFailureToMakeOneIsTheCallersAndCostsNobodyAPlace)
{
    Connections connections(2);
    void *resource = nullptr;
    connections.refusal = -ECONNREFUSED;
    for (int i = 0; i < 5; i++)
        EXPECT_EQ(skua_pool_acquire(connections.pool, &resource), -ECONNREFUSED);
    EXPECT_EQ(resource, nullptr);
    connections.refusal = 0;
    auto *a = connections.acquire(), *b = connections.acquire();
    connections.release(a);
    connections.release(b);
}

TEST_F(Pool, ServesThoseWhoWaitInOrder)
{
    runInTask(
        [] {
            Connections connections(1);
            auto *only = connections.acquire();
            Line line("at a semaphore");
            line.addMany(4, [&] { return connections.acquireUntil(SKUA_FOREVER); });
            line.cancel(1);
            EXPECT_EQ(line.result(1), -ECANCELED);
            connections.release(only);
            for (size_t i : {0, 2, 3})
                EXPECT_EQ(line.result(i), 0);
            EXPECT_EQ(line.went(), (std::vector<size_t>{0, 2, 3}));
            EXPECT_EQ(connections.made, 1);
        },
        1);
}

TEST_F(PoolInTime, WaitsUntilADeadline)
{
    runSimulated([] {
        Connections connections(1);
        auto *only = connections.acquire();
        uint64_t start = skua_now();
        EXPECT_EQ(connections.acquireUntil(start + 300 * kMs), -ETIMEDOUT);
        EXPECT_EQ(skua_now() - start, 300 * kMs);
        connections.release(only);
        EXPECT_EQ(connections.acquireUntil(start), 0);
    });
}

TEST_F(PoolInTime, ThrowsAwayWhatHasLainTooLong)
{
    runSimulated([] {
        Connections connections(4, 10 * kSec);
        auto *a = connections.acquire(), *b = connections.acquire(), *c = connections.acquire();
        connections.release(a);
        EXPECT_EQ(skua_sleep(6 * kSec), 0);
        connections.release(b);
        EXPECT_EQ(skua_sleep(4 * kSec), 0);
        EXPECT_EQ(skua_pool_trim(connections.pool), 0); /* not longer than its timeout */
        EXPECT_EQ(skua_sleep(kMs), 0);
        connections.release(c);
        EXPECT_EQ(connections.live, 2); /* a is gone */
        EXPECT_EQ(skua_sleep(6 * kSec), 0);
        EXPECT_EQ(connections.acquire(), c);
        EXPECT_EQ(connections.live, 1);
        connections.release(c);
        EXPECT_EQ(skua_sleep(3600 * kSec), 0);
        auto *d = connections.acquire(); /* too old is never lent */
        EXPECT_EQ(d->number, 3);
        connections.release(d);
        EXPECT_EQ(skua_sleep(3600 * kSec), 0);
        EXPECT_EQ(skua_pool_trim(connections.pool), 1);
        EXPECT_EQ(connections.live, 0);
    });
}

TEST_F(PoolInTime, ClosingTurnsAwayThoseWhoWaitAndTakesBackWhatIsLent)
{
    runSimulated([] {
        Connections connections(2);
        auto *a = connections.acquire(), *b = connections.acquire();
        Tasks tasks;
        for (int i = 0; i < 5; i++)
            tasks.addAndLetWait([&] { return connections.acquireUntil(SKUA_FOREVER); });
        EXPECT_EQ(skua_pool_close(connections.pool), 0);
        EXPECT_EQ(skua_pool_close(connections.pool), -EALREADY);
        for (size_t i = 0; i < 5; i++)
            EXPECT_EQ(tasks.result(i), -EPIPE);
        EXPECT_EQ(connections.acquireUntil(SKUA_FOREVER), -EPIPE);
        EXPECT_EQ(connections.live, 2);
        connections.release(a);
        EXPECT_EQ(connections.live, 1);
        void *resource = nullptr;
        EXPECT_EQ(skua_pool_try_acquire(connections.pool, &resource), -EPIPE);
        EXPECT_EQ(skua_pool_discard(connections.pool, b), 0);
        EXPECT_EQ(connections.live, 0);
    });
}

TEST_F(PoolInTime, ItsEndWaitsForWhatIsLentInSpiteOfACancel)
{
    runSimulated([] {
        auto connections = std::make_unique<Connections>(3);
        auto *a = connections->acquire(), *b = connections->acquire();
        connections->release(b);
        skua_pool *pool = connections->pool;
        uint64_t start = skua_now();
        Tasks tasks;
        tasks.addAndLetWait([&]() -> intptr_t {
            EXPECT_EQ(skua_sleep(kSec), 0);
            return skua_pool_release(pool, a);
        });
        tasks.addAndLetWait([&]() -> intptr_t {
            EXPECT_EQ(connections->live, 2);
            skua_pool_destroy(std::exchange(connections->pool, nullptr));
            EXPECT_EQ(connections->live, 0);
            EXPECT_EQ(skua_now() - start, kSec);
            return skua_yield();
        });
        tasks.cancel(1);
        EXPECT_EQ(tasks.result(1), -ECANCELED);
        EXPECT_EQ(tasks.result(0), 0);
    });
}

TEST_F(PoolInTime, LosesNothingWhoeverIsCancelledOrGivesUp)
{
    runSimulated(
        [] {
            Connections connections(3, 200 * kMs);
            Tasks tasks;
            for (int i = 0; i < 10; i++)
                tasks.add([&, i]() -> intptr_t {
                    for (int n = 0; i < 5 ? !skua_cancelled() : n < 10; n++) {
                        uint64_t wait = (1 + skua_sim_random(300)) * kMs;
                        void *resource = nullptr;
                        if (skua_pool_acquire_until(connections.pool, &resource,
                                                    skua_after(wait)) != 0)
                            continue;
                        (void)skua_sleep(skua_sim_random(100) * kMs);
                        auto *giveBack =
                            skua_sim_random(4) == 0 ? skua_pool_discard : skua_pool_release;
                        EXPECT_EQ(giveBack(connections.pool, resource), 0);
                        (void)skua_sleep(skua_sim_random(400) * kMs);
                    }
                    return 0;
                });
            for (size_t i = 0; i < 5; i++) {
                EXPECT_EQ(skua_sleep(skua_sim_random(300) * kMs), 0);
                tasks.cancel(i);
            }
            for (size_t i = 0; i < tasks.count(); i++)
                (void)tasks.result(i);
            std::array<Connections::Connection *, 3> all; /* so many can still be lent */
            for (auto *&connection : all)
                connection = connections.acquire();
            for (auto *connection : all)
                connections.release(connection);
        },
        20);
}

TEST_F(Pool, LendsEachToOneAtATimeInACrowd)
{
    Connections connections(3, 30 * SKUA_NS_PER_US);
    runCrowd([&](unsigned who) {
        for (int i = 0; i < rounds(100); i++) {
            void *resource = nullptr;
            uint64_t deadline = i % 3 == 0 ? soon(i) : SKUA_FOREVER;
            if (skua_pool_acquire_until(connections.pool, &resource, deadline) != 0)
                continue;
            auto *connection = static_cast<Connections::Connection *>(resource);
            EXPECT_EQ(connection->users++, 0);
            skua_yield();
            connection->users--;
            connection->isBroken = (who + static_cast<unsigned>(i)) % 5 == 0;
            auto *giveBack = i % 7 == 0 ? skua_pool_discard : skua_pool_release;
            EXPECT_EQ(giveBack(connections.pool, resource), 0);
        }
    });
    EXPECT_LE(connections.live, 3);
}

TEST_F(Pool, MayGoAwayWhenWhatWasLentIsBack)
{
    Runtime runtime(2);
    for (int i = 0; i < rounds(200); i++) {
        auto connections = std::make_unique<Connections>(2);
        auto *lent = connections->acquire();
        skua_pool *pool = connections->pool;
        auto body = [&]() -> intptr_t { return skua_pool_release(pool, lent); };
        skua_future *future = i % 2 == 0 ? submitBody(runtime.get(), body)
                                         : offloadBody(skua_executor_blocking(runtime.get()), body);
        connections.reset();
        EXPECT_EQ(skua_await(future), 0);
    }
}

} /* namespace */
