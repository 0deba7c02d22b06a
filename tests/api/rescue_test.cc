/*
 * Tests that a task which computes for long delays nobody's I/O, timers and cancels but its own:
 * what its worker had begun is taken over by another.
 */
#include "support/fd_guard.h"
#include "support/hang_guard.h"
#include "support/runtime_kit.h"

#include <array>
#include <atomic>
#include <functional>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace skua_test;

namespace
{

constexpr uint64_t kHogNs = 400 * SKUA_NS_PER_MS;

skua_options options(int rescue_us, unsigned workers = 2)
{
    skua_options o = testOptions(workers);
    o.rescue_us = rescue_us;
    return o;
}

/*
 * Has @wait begin in a task, and then computes on the same worker until that has ended, or for
 * kHogNs. @end is called, on a thread of its own, once it computes. Returns how long @wait lasted
 * from then on; kHogNs or more if it had to wait for the computing.
 */
uint64_t heldUpFor(const skua_options &o, const std::function<void()> &wait,
                   const std::function<void(skua_future *)> &end, uint64_t *rescues = nullptr)
{
    Runtime runtime(o);
    uint64_t held_ns = 0;
    runtime.run([&]() -> intptr_t {
        std::atomic<pid_t> where{0};
        std::atomic<bool> over{false};
        std::atomic<bool> computing{false};
        auto waiter = [&]() -> intptr_t {
            where = gettid();
            wait();
            over = true;
            return 0;
        };
        skua_future *future = spawnBody(waiter);
        skua_yield();
        while (where == 0 || gettid() != where)
            skua_yield();
        std::thread thread([&] {
            while (!computing) {
            }
            end(future);
        });
        uint64_t begin_ns = skua_now();
        computing = true;
        while (!over && skua_now() - begin_ns < kHogNs) {
        }
        held_ns = skua_now() - begin_ns;
        thread.join();
        EXPECT_EQ(skua_await(future), 0);
        return 0;
    });
    if (rescues != nullptr)
        *rescues = sumOf(runtime.get(), &skua_worker_stats::rescues);
    return held_ns;
}

class Rescue : public testing::Test
{
  protected:
    void SetUp() override
    {
        ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    }
    void TearDown() override
    {
        close(fds[0]);
        close(fds[1]);
    }

    FdGuard guard_;
    HangGuard hang_;
    int fds[2] = {-1, -1};
};

TEST_F(Rescue, AReceiveEndsWhileItsWorkerComputes)
{
    uint64_t rescues = 0;
    uint64_t held_ns = heldUpFor(
        options(0),
        [&] {
            char byte;
            EXPECT_EQ(skua_recv(fds[0], &byte, 1, 0), 1);
        },
        [&](skua_future *) { EXPECT_EQ(write(fds[1], "x", 1), 1); }, &rescues);
    EXPECT_LT(held_ns, kHogNs);
    EXPECT_GE(rescues, 1u);
}

/* Without it the receive waits: or the test above would show nothing. */
TEST_F(Rescue, ItDoesNotWhereItIsSwitchedOff)
{
    uint64_t rescues = 0;
    uint64_t held_ns = heldUpFor(
        options(-1),
        [&] {
            char byte;
            EXPECT_EQ(skua_recv(fds[0], &byte, 1, 0), 1);
        },
        [&](skua_future *) { EXPECT_EQ(write(fds[1], "x", 1), 1); }, &rescues);
    EXPECT_GE(held_ns, kHogNs);
    EXPECT_EQ(rescues, 0u);
}

TEST_F(Rescue, ASleepEndsWhileItsWorkerComputes)
{
    uint64_t held_ns = heldUpFor(
        options(0), [] { EXPECT_EQ(skua_sleep(SKUA_NS_PER_MS), 0); }, [](skua_future *) {});
    EXPECT_LT(held_ns, kHogNs);
}

/* With this threshold there are forty looks at most: each must take all that is due. */
TEST_F(Rescue, OneLookFiresAllThatIsDue)
{
    Runtime runtime(options(20000));
    runtime.run([&]() -> intptr_t {
        std::atomic<int> made{0};
        auto count = [](void *arg) -> intptr_t { return ++*static_cast<std::atomic<int> *>(arg); };
        uint64_t at_ns = skua_after(2 * SKUA_NS_PER_MS);
        std::vector<skua_future *> calls;
        for (int i = 0; i < 5000; i++)
            calls.push_back(skua_call_at(at_ns, count, &made));
        while (made < 5000 && skua_now() < at_ns + kHogNs)
            continue;
        EXPECT_EQ(made, 5000);
        for (skua_future *call : calls)
            EXPECT_GT(skua_await(call), 0);
        return 0;
    });
}

TEST_F(Rescue, ACancelReachesIoWhileItsWorkerComputes)
{
    uint64_t held_ns = heldUpFor(
        options(0),
        [&] {
            char byte;
            EXPECT_EQ(skua_recv(fds[0], &byte, 1, 0), -ECANCELED);
        },
        [](skua_future *future) { EXPECT_EQ(skua_cancel(future), 0); });
    EXPECT_LT(held_ns, kHogNs);
}

TEST_F(Rescue, BadThresholdsAreRefused)
{
    for (int bad : {-2, 1000001}) {
        skua_options o = options(bad);
        skua_runtime *runtime = nullptr;
        EXPECT_EQ(skua_runtime_start(&runtime, &o), -EINVAL);
    }
}

/* Computes now and then, for less than the threshold or for longer, and sleeps now and then. */
class Whims
{
  public:
    explicit Whims(unsigned seed) : state_(seed * 7919u + 1)
    {
    }
    void have()
    {
        state_ = state_ * 1103515245u + 12345u;
        if (state_ >> 16 & 1) {
            uint64_t end = skua_now() + (state_ >> 17) % 100 * SKUA_NS_PER_US;
            while (skua_now() < end) {
            }
        }
        if ((state_ >> 20) % 8 == 0) {
            EXPECT_EQ(skua_sleep((state_ >> 21) % 50 * SKUA_NS_PER_US), 0);
        }
    }

  private:
    unsigned state_;
};

/* Says numbers and is told them back. */
void talk(int fd, unsigned rounds)
{
    Whims whims(static_cast<unsigned>(fd));
    for (unsigned i = 0; i < rounds; i++) {
        unsigned told = ~i;
        ASSERT_EQ(skua_send_all(fd, &i, sizeof(i)), ssize_t{sizeof(i)});
        whims.have();
        ASSERT_EQ(skua_recv_all(fd, &told, sizeof(told)), ssize_t{sizeof(told)});
        ASSERT_EQ(told, i);
    }
    EXPECT_EQ(skua_shutdown(fd, SHUT_WR), 0);
}

void answer(int fd)
{
    Whims whims(static_cast<unsigned>(fd));
    unsigned value;
    while (skua_recv_all(fd, &value, sizeof(value)) == ssize_t{sizeof(value)}) {
        whims.have();
        ASSERT_EQ(skua_send_all(fd, &value, sizeof(value)), ssize_t{sizeof(value)});
    }
}

/* Owners come back to their engines at any moment of a rescue. */
TEST_F(Rescue, NothingIsLostOrDoneTwice)
{
    const unsigned rounds = SKUA_TESTS_SANITIZED ? 60 : 400;
    for (unsigned workers : {2u, 4u}) {
        Runtime runtime(options(5, workers));
        runtime.run([&]() -> intptr_t {
            std::vector<std::array<int, 2>> pairs(16);
            std::vector<std::function<intptr_t()>> bodies;
            for (auto &pair : pairs) {
                EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()), 0);
                bodies.emplace_back([&pair, rounds]() -> intptr_t {
                    talk(pair[0], rounds);
                    return 0;
                });
                bodies.emplace_back([&pair]() -> intptr_t {
                    answer(pair[1]);
                    return 0;
                });
            }
            std::vector<skua_future *> futures;
            for (auto &body : bodies)
                futures.push_back(spawnBody(body));
            for (skua_future *future : futures)
                EXPECT_EQ(skua_await(future), 0);
            for (auto &pair : pairs) {
                close(pair[0]);
                close(pair[1]);
            }
            return 0;
        });
        EXPECT_GT(sumOf(runtime.get(), &skua_worker_stats::ops_rescued), 0u);
    }
}

} // namespace
