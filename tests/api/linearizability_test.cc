/*
 * Checks that mutex, semaphore, channel and queue are linearizable: what several threads saw them
 * do is what they could have done one call at a time, each between its begin and its end.
 *
 * Histories are recorded from tasks on several workers and from foreign threads, those of queues
 * from simulated ones too; they are short and many. The checker looks for an order by depth first
 * search over which calls have taken effect, remembering the states it has been in.
 *
 * Source: J. Wing, C. Gong, Testing and verifying concurrent objects (1993); G. Lowe, Testing for
 *   linearizability (2017).
 */
#include "support/hang_guard.h"
#include "support/runtime_kit.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <functional>
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

/* Whether what four have recorded, each on its own, can be put in an order. */
template <class Spec> bool isLinearizable(const std::vector<Call> (&histories)[4])
{
    std::vector<Call> calls;
    for (const std::vector<Call> &history : histories)
        calls.insert(calls.end(), history.begin(), history.end());
    EXPECT_LE(calls.size(), 50u);
    return Checker<Spec>(calls).check();
}

std::minstd_rand randomOf(uint64_t round, int number)
{
    return std::minstd_rand((unsigned)(round * 4) + (unsigned)number + 1);
}

/*
 * Runs @body(random, history, number) in two tasks, on an executor thread and on a foreign thread,
 * @rounds times, and checks what all of them recorded.
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
            std::minstd_rand random = randomOf((uint64_t)round, number);
            here++;
            while (here < 4) /* all at once, or calls would not overlap */
                std::this_thread::yield();
            body(random, histories[number], number);
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
        EXPECT_TRUE(isLinearizable<Spec>(histories)) << "round " << round;
    }
}

/* The same in four tasks of a simulation, for each seed. */
template <class Spec, class Reset, class Body>
void checkSimulated(uint64_t seeds, Reset &&reset, Body &&body)
{
    skua_sim_options options{};
    options.workers = 3;
    options.stalls_per_million = 2000;
    options.stack_size_bytes = size_t{256} << 10;
    for (uint64_t seed = 1; seed <= seeds && !testing::Test::HasFailure(); seed++) {
        std::vector<Call> histories[4];
        std::function<intptr_t()> parts[4];
        reset();
        auto all = [&]() -> intptr_t {
            skua_future *futures[4];
            for (int number = 0; number < 4; number++) {
                parts[number] = [&, number]() -> intptr_t {
                    std::minstd_rand random = randomOf(seed, number);
                    return body(random, histories[number], number), 0;
                };
                futures[number] = spawnBody(parts[number]);
            }
            intptr_t rc = 0;
            for (skua_future *future : futures)
                rc |= skua_await(future);
            return rc;
        };
        ASSERT_EQ(skua_sim_run(seed, &options, callValue<decltype(all)>, &all, nullptr), 0);
        EXPECT_TRUE(isLinearizable<Spec>(histories)) << "seed " << seed;
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
    checkHistories<ChannelSpec>(kRounds, reset, [&](auto &random, std::vector<Call> &history, int) {
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
        [&](auto &random, std::vector<Call> &history, int) {
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
        [&](auto &random, std::vector<Call> &history, int) {
            takeAndGive(
                random, history, [&] { return skua_mutex_lock(&mutex); },
                [&] { return skua_mutex_try_lock(&mutex); },
                [&] { return skua_mutex_unlock(&mutex); });
        });
}

/* ---- queue ----------------------------------------------------------------------------------- */

enum { kPut, kTryPut, kGet, kTryGet, kCount, kDone, kJoin, kShutDown };

/* An item is a key, by which a priority queue orders, times a hundred, plus a number of its own. */
constexpr long kKey = 100;

template <int Order, size_t Capacity> struct QueueSpec {
    std::vector<long> items; /* in order of their arrival */
    long undone = 0;
    long shut = 0; /* by mode, plus 1 */

    std::vector<long> key() const
    {
        std::vector<long> all = items;
        all.push_back(undone);
        all.push_back(shut);
        return all;
    }

    bool apply(const Call &call)
    {
        switch (call.what) {
        case kPut:
        case kTryPut:
            return put(call);
        case kGet:
        case kTryGet:
            return get(call);
        case kCount:
            return static_cast<size_t>(call.result) == items.size();
        case kDone:
            return call.result == 0 && undone-- > static_cast<long>(items.size());
        case kJoin:
            return call.result == (undone == 0 ? 0 : -ETIMEDOUT);
        default:
            return shutDown(call);
        }
    }

  private:
    /* Who has waited in vain has found it so, at some moment. */
    static bool waits(int result)
    {
        return result == -EAGAIN || result == -ECANCELED || result == -ETIMEDOUT;
    }

    bool put(const Call &call)
    {
        bool is_full = Capacity != 0 && items.size() == Capacity;
        if (call.result == -EPIPE)
            return shut != 0;
        if (waits(call.result))
            return is_full && shut == 0;
        if (call.result != 0 || is_full || shut != 0)
            return false;
        items.push_back(call.value);
        undone++;
        return true;
    }

    bool get(const Call &call)
    {
        if (call.result == -EPIPE)
            return items.empty() && shut != 0;
        if (waits(call.result))
            return items.empty() && shut == 0;
        if (call.result != 0 || items.empty())
            return false;
        auto next = items.begin();
        if (Order == SKUA_QUEUE_LIFO)
            next = items.end() - 1;
        if (Order == SKUA_QUEUE_PRIORITY)
            next = std::min_element(items.begin(), items.end(),
                                    [](long a, long b) { return a / kKey < b / kKey; });
        bool is_right = *next == call.value;
        items.erase(next);
        return is_right;
    }

    bool shutDown(const Call &call)
    {
        if (shut >= call.value + 1)
            return call.result == -EALREADY;
        shut = call.value + 1;
        if (call.value == SKUA_QUEUE_DROP) {
            undone -= static_cast<long>(items.size());
            items.clear();
        }
        return call.result == 0;
    }
};

using Fifo = QueueSpec<SKUA_QUEUE_FIFO, 2>;
using Lifo = QueueSpec<SKUA_QUEUE_LIFO, 0>;
using Priority = QueueSpec<SKUA_QUEUE_PRIORITY, 3>;

/* Whether these calls, one after the other, are what such a queue does. */
template <class Spec> bool isAllowed(std::vector<Call> calls)
{
    uint64_t tick = 0;
    for (Call &call : calls) {
        call.begin = tick++;
        call.end = tick++;
    }
    return Checker<Spec>(calls).check();
}

Call did(int what, long value = 0, int result = 0)
{
    return {what, value, result, 0, 0};
}

TEST_F(Linearizability, TheCheckerKnowsTheOrdersOfQueues)
{
    std::vector<Call> puts = {did(kPut, 201), did(kPut, 102)};
    auto then = [&](std::vector<Call> more) {
        more.insert(more.begin(), puts.begin(), puts.end());
        return more;
    };
    EXPECT_TRUE(isAllowed<Fifo>(then({did(kGet, 201), did(kGet, 102)})));
    EXPECT_FALSE(isAllowed<Fifo>(then({did(kGet, 102), did(kGet, 201)}))); /* swapped */
    EXPECT_TRUE(isAllowed<Lifo>(then({did(kGet, 102), did(kGet, 201)})));
    EXPECT_FALSE(isAllowed<Lifo>(then({did(kGet, 201), did(kGet, 102)})));
    EXPECT_TRUE(isAllowed<Priority>(then({did(kPut, 103), did(kGet, 102), did(kGet, 103)})));
    EXPECT_FALSE(isAllowed<Priority>(then({did(kPut, 103), did(kGet, 103), did(kGet, 102)})));
    EXPECT_FALSE(isAllowed<Priority>(then({did(kGet, 201)})));
    EXPECT_FALSE(isAllowed<Fifo>(then({did(kGet, 201), did(kGet, 201)}))); /* twice */
    EXPECT_FALSE(isAllowed<Fifo>(then({did(kGet, 201), did(kCount, 0, 2)})));
    EXPECT_FALSE(isAllowed<Fifo>(then({did(kTryGet, 0, -EAGAIN)}))); /* lost */
    EXPECT_FALSE(isAllowed<Fifo>(then({did(kPut, 103)})));           /* over its bound */
    EXPECT_TRUE(isAllowed<Fifo>(then({did(kPut, 103, -ECANCELED)})));
    EXPECT_FALSE(isAllowed<Fifo>({did(kPut, 103, -ECANCELED)})); /* it need not have waited */
    EXPECT_FALSE(isAllowed<Fifo>(then({did(kGet, 0, -ETIMEDOUT)})));
}

TEST_F(Linearizability, TheCheckerKnowsWhatAShutdownDoes)
{
    Call drain = did(kShutDown, SKUA_QUEUE_DRAIN);
    Call drop = did(kShutDown, SKUA_QUEUE_DROP);
    Call put = did(kPut, 101);
    EXPECT_TRUE(isAllowed<Fifo>({put, drain, did(kGet, 101), did(kGet, 0, -EPIPE)}));
    EXPECT_TRUE(isAllowed<Fifo>({put, drain, drop, did(kGet, 0, -EPIPE), did(kJoin)}));
    EXPECT_FALSE(isAllowed<Fifo>({put, drain, did(kGet, 0, -EPIPE)}));
    EXPECT_FALSE(isAllowed<Fifo>({put, drop, did(kGet, 101)}));
    EXPECT_FALSE(isAllowed<Fifo>({drain, put}));
    EXPECT_FALSE(isAllowed<Fifo>({drain, drain}));
    EXPECT_FALSE(isAllowed<Fifo>({did(kPut, 1, -EPIPE), drain}));
    EXPECT_FALSE(isAllowed<Fifo>({put, did(kJoin)}));
    EXPECT_FALSE(isAllowed<Fifo>({put, did(kDone)}));
    EXPECT_TRUE(isAllowed<Fifo>({put, did(kGet, 101), did(kDone), did(kJoin)}));
    EXPECT_FALSE(isAllowed<Fifo>({put, did(kGet, 101), did(kDone), did(kDone)}));
}

/* One queue, and calls of it that are recorded. */
template <int Order, size_t Capacity> class QueueUnderTest
{
  public:
    using Spec = QueueSpec<Order, Capacity>;

    ~QueueUnderTest()
    {
        skua_queue_unref(queue_);
    }

    void reset()
    {
        skua_queue_options options{};
        options.item_size = sizeof(long);
        options.capacity = Capacity;
        options.order = static_cast<skua_queue_order>(Order);
        if (Order == SKUA_QUEUE_PRIORITY)
            options.compare = [](const void *a, const void *b, void *) {
                long difference =
                    *static_cast<const long *>(a) / kKey - *static_cast<const long *>(b) / kKey;
                return static_cast<int>(difference);
            };
        skua_queue_unref(queue_);
        queue_ = skua_queue_create(&options);
        number_ = 0;
    }

    /* As many puts as gets by each, and each says that it is done: nobody waits for ever. */
    void putAndGet(std::minstd_rand &random, std::vector<Call> &history)
    {
        for (int i = 0; i < 2; i++) {
            call(random() % 3 == 0 ? kTryPut : kPut, random, history);
            if (history.back().result != 0)
                continue;
            call(random() % 2 ? kGet : kTryGet, random, history);
            if (history.back().result == -EAGAIN) /* somebody took it: theirs is due */
                call(kGet, random, history);
            call(kDone, random, history);
        }
        call(random() % 2 ? kJoin : kCount, random, history);
    }

    /* Whatever comes, with deadlines and cancels; the last one never waits, and shuts it down. */
    void untilShutDown(std::minstd_rand &random, std::vector<Call> &history, int number)
    {
        static const int kinds[] = {kPut, kPut, kGet, kGet, kTryPut, kTryGet, kCount};
        for (int i = 0; i < 5; i++) {
            int what = kinds[random() % 7];
            if (number == 3)
                call(random() % 2 ? kTryPut : kTryGet, random, history);
            else if (number < 2 && what <= kGet && random() % 2)
                cancel(what, random, history);
            else
                call(what, random, history);
            if (!history.empty() && history.back().what >= kGet && history.back().what <= kTryGet &&
                history.back().result == 0)
                call(kDone, random, history);
        }
        for (auto times = random() % 2 + 1; number == 3 && times > 0; times--)
            call(kShutDown, random, history);
        if (number == 3)
            call(kJoin, random, history); /* what was dropped is done; the rest may never be */
    }

  private:
    void call(int what, std::minstd_rand &random, std::vector<Call> &history)
    {
        long value = 0;
        if (what == kPut || what == kTryPut)
            value = static_cast<long>(random() % 3) * kKey + ++number_;
        if (what == kShutDown)
            value = static_cast<long>(random() % 2);
        bool is_hasty = random() % 4 == 0 || what == kJoin;
        uint64_t deadline_ns = SKUA_FOREVER;
        if (is_hasty && may_give_up_)
            deadline_ns = skua_after(random() % 20 * SKUA_NS_PER_US);
        history.push_back(
            record(what, value, [&](long &item) { return make(what, &item, deadline_ns); }));
    }

    int make(int what, long *item, uint64_t deadline_ns)
    {
        switch (what) {
        case kPut:
            return skua_queue_put_until(queue_, item, deadline_ns);
        case kTryPut:
            return skua_queue_try_put(queue_, item);
        case kGet:
            return skua_queue_get_until(queue_, item, deadline_ns);
        case kTryGet:
            return skua_queue_try_get(queue_, item);
        case kCount:
            return static_cast<int>(skua_queue_count(queue_));
        case kDone:
            return skua_queue_task_done(queue_);
        case kJoin:
            return skua_queue_join_until(queue_, deadline_ns);
        default:
            return skua_queue_shutdown(queue_, static_cast<skua_queue_shutdown_mode>(*item));
        }
    }

    /* A call by a task that is cancelled some turns later. It records nothing if it never ran. */
    void cancel(int what, std::minstd_rand &random, std::vector<Call> &history)
    {
        std::minstd_rand own = random;
        auto body = [&]() -> intptr_t { return call(what, own, history), 0; };
        skua_future *future = spawnBody(body);
        for (auto turns = random() % 4; turns > 0; turns--)
            (void)skua_yield();
        (void)skua_cancel(future);
        (void)skua_await(future);
    }

  public:
    bool may_give_up_ = false; /* calls that wait have deadlines now and then */

  private:
    skua_queue *queue_ = nullptr;
    std::atomic<long> number_{0};
};

template <class Queue> class QueueLinearizability : public Linearizability
{
  protected:
    auto balanced()
    {
        return [this](std::minstd_rand &random, std::vector<Call> &history, int) {
            queue_.putAndGet(random, history);
        };
    }
    auto shutDown()
    {
        queue_.may_give_up_ = true;
        return [this](std::minstd_rand &random, std::vector<Call> &history, int number) {
            queue_.untilShutDown(random, history, number);
        };
    }
    auto reset()
    {
        return [this] { queue_.reset(); };
    }
    static bool isSimulable()
    {
        auto nothing = []() -> intptr_t { return 0; };
        return skua_sim_run(0, nullptr, callValue<decltype(nothing)>, &nothing, nullptr) == 0;
    }

    Queue queue_;
};

using Queues =
    testing::Types<QueueUnderTest<SKUA_QUEUE_FIFO, 2>, QueueUnderTest<SKUA_QUEUE_FIFO, 0>,
                   QueueUnderTest<SKUA_QUEUE_LIFO, 2>, QueueUnderTest<SKUA_QUEUE_LIFO, 0>,
                   QueueUnderTest<SKUA_QUEUE_PRIORITY, 1>, QueueUnderTest<SKUA_QUEUE_PRIORITY, 0>>;
TYPED_TEST_SUITE(QueueLinearizability, Queues);

constexpr int kQueueRounds = kRounds / 4;

TYPED_TEST(QueueLinearizability, OfWhatIsPutAndGot)
{
    checkHistories<typename TypeParam::Spec>(kQueueRounds, this->reset(), this->balanced());
}

TYPED_TEST(QueueLinearizability, WithDeadlinesCancelsAndAShutdown)
{
    checkHistories<typename TypeParam::Spec>(kQueueRounds, this->reset(), this->shutDown());
}

TYPED_TEST(QueueLinearizability, InASimulation)
{
    if (!this->isSimulable())
        GTEST_SKIP() << "no simulations with ThreadSanitizer";
    checkSimulated<typename TypeParam::Spec>(kQueueRounds, this->reset(), this->balanced());
    checkSimulated<typename TypeParam::Spec>(kQueueRounds, this->reset(), this->shutDown());
}

} /* namespace */
