/*
 * Checks that mutex, semaphore and channel are linearizable: what several threads saw them do is
 * what they could have done one call at a time, each between its begin and its end.
 *
 * Histories are recorded from tasks on several workers and from foreign threads; they are short and
 * many. The checker looks for an order by depth first search over which calls have taken effect,
 * remembering the states it has been in.
 *
 * Source: J. Wing, C. Gong, Testing and verifying concurrent objects (1993); G. Lowe, Testing for
 *   linearizability (2017).
 */
#include "support/hang_guard.h"
#include "support/runtime_kit.h"

#include <atomic>
#include <deque>
#include <random>
#include <set>
#include <thread>
#include <vector>

using namespace skua_test;

namespace
{

struct Call {
    int what;
    long value; /* in or out */
    int result;
    uint64_t begin, end;
};

std::atomic<uint64_t> ticks{0};

/* Whether @calls can be put in an order that @Spec allows. */
template <class Spec> class Checker
{
  public:
    explicit Checker(const std::vector<Call> &calls) : calls_(calls)
    {
    }

    bool check()
    {
        return search(0, Spec());
    }

  private:
    bool search(uint64_t done, const Spec &state)
    {
        if (done == (uint64_t{1} << calls_.size()) - 1)
            return true;
        if (!seen_.insert({done, state.key()}).second)
            return false;
        uint64_t first_end = UINT64_MAX; /* nothing that begins later can come next */
        for (size_t i = 0; i < calls_.size(); i++) {
            if (!(done >> i & 1))
                first_end = std::min(first_end, calls_[i].end);
        }
        for (size_t i = 0; i < calls_.size(); i++) {
            if (done >> i & 1 || calls_[i].begin > first_end)
                continue;
            Spec next = state;
            if (next.apply(calls_[i]) && search(done | uint64_t{1} << i, next))
                return true;
        }
        return false;
    }

    const std::vector<Call> &calls_;
    std::set<std::pair<uint64_t, std::vector<long>>> seen_;
};

/* Records a call of @fn, which returns a result. */
template <class Fn> Call record(int what, long value, Fn &&fn)
{
    Call call{what, value, 0, ticks.fetch_add(1), 0};
    call.result = fn(call.value);
    call.end = ticks.fetch_add(1);
    return call;
}

/*
 * Runs @body(random) in two tasks, on an executor thread and on a foreign thread, @rounds times,
 * and checks what all of them recorded.
 */
template <class Spec, class Reset, class Body>
void checkHistories(int rounds, Reset &&reset, Body &&body)
{
    Runtime runtime(4);
    for (int round = 0; round < rounds && !testing::Test::HasFailure(); round++) {
        std::vector<Call> histories[4];
        std::atomic<int> here{0};
        reset();
        auto take_part = [&](int number) {
            std::minstd_rand random((unsigned)(round * 4 + number + 1));
            here++;
            while (here < 4) /* all at once, or calls would not overlap */
                std::this_thread::yield();
            body(random, histories[number]);
        };
        auto first = [&]() -> intptr_t { return take_part(0), 0; };
        auto second = [&]() -> intptr_t { return take_part(1), 0; };
        auto third = [&]() -> intptr_t { return take_part(2), 0; };
        skua_future *futures[] = {submitBody(runtime.get(), first),
                                  submitBody(runtime.get(), second),
                                  skua_run_in_executor(skua_executor_blocking(runtime.get()),
                                                       callValue<decltype(third)>, &third)};
        take_part(3);
        for (skua_future *future : futures)
            EXPECT_EQ(skua_await(future), 0);
        std::vector<Call> calls;
        for (std::vector<Call> &history : histories)
            calls.insert(calls.end(), history.begin(), history.end());
        ASSERT_LE(calls.size(), 40u);
        EXPECT_TRUE(Checker<Spec>(calls).check()) << "round " << round;
    }
}

constexpr int kRounds = SKUA_TESTS_SANITIZED ? 300 : 2000;

class Linearizability : public testing::Test
{
  protected:
    HangGuard hang_;
};

/* ---- the checker itself ---------------------------------------------------------------------- */

enum { kSend, kReceive, kTrySend, kTryReceive };
constexpr size_t kCapacity = 2;

struct ChannelSpec {
    std::deque<long> items;

    std::vector<long> key() const
    {
        return std::vector<long>(items.begin(), items.end());
    }

    bool apply(const Call &call)
    {
        bool sends = call.what == kSend || call.what == kTrySend;
        if (call.result == -EAGAIN)
            return sends ? items.size() == kCapacity : items.empty();
        if (sends) {
            if (items.size() == kCapacity)
                return false;
            items.push_back(call.value);
            return true;
        }
        if (items.empty() || items.front() != call.value)
            return false;
        items.pop_front();
        return true;
    }
};

TEST_F(Linearizability, TheCheckerTellsRightFromWrong)
{
    std::vector<Call> right = {{kSend, 1, 0, 0, 3}, {kSend, 2, 0, 1, 2}, {kReceive, 2, 0, 4, 5}};
    EXPECT_TRUE(Checker<ChannelSpec>(right).check()); /* the sends overlap */
    std::vector<Call> wrong = {{kSend, 1, 0, 0, 1}, {kSend, 2, 0, 2, 3}, {kReceive, 2, 0, 4, 5}};
    EXPECT_FALSE(Checker<ChannelSpec>(wrong).check());
    std::vector<Call> twice = {{kSend, 1, 0, 0, 1}, {kReceive, 1, 0, 2, 4}, {kReceive, 1, 0, 3, 5}};
    EXPECT_FALSE(Checker<ChannelSpec>(twice).check());
    std::vector<Call> empty = {{kSend, 1, 0, 0, 1}, {kTryReceive, 0, -EAGAIN, 2, 3}};
    EXPECT_FALSE(Checker<ChannelSpec>(empty).check());
}

/* ---- channel --------------------------------------------------------------------------------- */

TEST_F(Linearizability, Channel)
{
    skua_channel *channel = nullptr;
    std::atomic<long> number{0};
    auto reset = [&] {
        skua_channel_unref(channel);
        channel = skua_channel_create(sizeof(long), kCapacity);
        number = 0;
    };
    /* As many sends as receives by each, and a place for everybody: nobody waits for ever. */
    checkHistories<ChannelSpec>(kRounds, reset, [&](auto &random, std::vector<Call> &history) {
        for (int i = 0; i < 3; i++) {
            int what = random() % 3 == 0 ? kTrySend : kSend;
            history.push_back(record(what, ++number, [&](long &value) {
                return what == kSend ? skua_channel_send(channel, &value)
                                     : skua_channel_try_send(channel, &value);
            }));
            if (history.back().result != 0)
                continue;
            what = random() % 2 ? kReceive : kTryReceive;
            history.push_back(record(what, 0, [&](long &value) {
                return what == kReceive ? skua_channel_recv(channel, &value)
                                        : skua_channel_try_recv(channel, &value);
            }));
            if (history.back().result == -EAGAIN) /* somebody took it: theirs is due */
                history.push_back(record(
                    kReceive, 0, [&](long &value) { return skua_channel_recv(channel, &value); }));
        }
    });
    skua_channel_unref(channel);
}

/* ---- semaphore and mutex --------------------------------------------------------------------- */

enum { kTake, kTryTake, kGive };

template <int Permits> struct PermitSpec {
    long value = Permits;

    std::vector<long> key() const
    {
        return {value};
    }

    bool apply(const Call &call)
    {
        if (call.what == kGive)
            return ++value <= Permits;
        if (call.result != 0)
            return value == 0;
        return --value >= 0;
    }
};

/* Takes one, or tries to, and gives it back. */
template <class Take, class TryTake, class Give>
void takeAndGive(std::minstd_rand &random, std::vector<Call> &history, Take take, TryTake try_take,
                 Give give)
{
    for (int i = 0; i < 4; i++) {
        bool tries = random() % 2 == 0;
        history.push_back(record(tries ? kTryTake : kTake, 0,
                                 [&](long &) { return tries ? try_take() : take(); }));
        if (history.back().result == 0)
            history.push_back(record(kGive, 0, [&](long &) { return give(); }));
    }
}

TEST_F(Linearizability, Semaphore)
{
    static skua_semaphore semaphore;
    checkHistories<PermitSpec<2>>(
        kRounds, [&] { semaphore = skua_semaphore SKUA_SEMAPHORE_INIT(2); },
        [&](auto &random, std::vector<Call> &history) {
            takeAndGive(
                random, history, [&] { return skua_semaphore_acquire(&semaphore); },
                [&] { return skua_semaphore_try_acquire(&semaphore); },
                [&] { return skua_semaphore_release(&semaphore); });
        });
}

TEST_F(Linearizability, Mutex)
{
    skua_mutex mutex = SKUA_MUTEX_INIT;
    checkHistories<PermitSpec<1>>(
        kRounds, [&] { mutex = skua_mutex SKUA_MUTEX_INIT; },
        [&](auto &random, std::vector<Call> &history) {
            takeAndGive(
                random, history, [&] { return skua_mutex_lock(&mutex); },
                [&] { return skua_mutex_try_lock(&mutex); },
                [&] { return skua_mutex_unlock(&mutex); });
        });
}

} /* namespace */
