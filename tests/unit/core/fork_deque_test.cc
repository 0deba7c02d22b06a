/*
 * tests/unit/core/fork_deque_test.cc - core/fork_deque.c: what is private, what is public, who gets
 * which job; by one thread, and by an owner among thieves.
 */
extern "C" {
#include "platform/membarrier.h"
}

#include "support/fork_deque_shim.h"

#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <memory>
#include <random>
#include <thread>
#include <vector>

namespace
{

struct Destroy {
    void operator()(deque_shim *d) const
    {
        deque_shim_destroy(d);
    }
};
using Deque = std::unique_ptr<deque_shim, Destroy>;

Deque make_deque()
{
    return Deque(deque_shim_create());
}

const unsigned capacity = deque_shim_capacity();

int barriers = 0;

void count_barrier()
{
    barriers++;
}

/* Forks 1 .. @count, all on the fast path. */
void fork_all(deque_shim *d, uint64_t count)
{
    for (uint64_t job = 1; job <= count; job++)
        ASSERT_EQ(deque_shim_fork(d, job), DEQUE_SHIM_FAST) << job;
}

uint64_t steal(deque_shim *d)
{
    void *token = nullptr;
    uint64_t job = deque_shim_steal(d, &token, nullptr);
    if (token != nullptr)
        deque_shim_finish(token, 1000 + job);
    return job;
}

void expect_join(deque_shim *d, deque_shim_path path, uint64_t job)
{
    uint64_t got = 0;
    ASSERT_EQ(deque_shim_join(d, &got), path) << job;
    ASSERT_EQ(got, job);
}

/* The newest job was stolen and is done. */
void expect_stolen(deque_shim *d, uint64_t result)
{
    uint64_t got = 0;
    ASSERT_EQ(deque_shim_join(d, &got), DEQUE_SHIM_STOLEN);
    ASSERT_TRUE(deque_shim_settle(d, &got));
    ASSERT_EQ(got, result);
}

TEST(ForkDeque, AnEmptyDequeGivesNothing)
{
    Deque d = make_deque();

    EXPECT_TRUE(deque_shim_is_empty(d.get()));
    EXPECT_EQ(steal(d.get()), 0u);
    EXPECT_FALSE(deque_shim_has_public(d.get()));
    EXPECT_FALSE(deque_shim_has_private(d.get()));
    EXPECT_EQ(deque_shim_publish(d.get(), true, false), 0u);
    EXPECT_EQ(deque_shim_head_from(d.get(), 0), 0u);
}

TEST(ForkDeque, PrivateJobsAreTheOwnersAloneAndNeedNoLibrary)
{
    Deque d = make_deque();

    fork_all(d.get(), 10);
    EXPECT_FALSE(deque_shim_is_empty(d.get()));
    EXPECT_TRUE(deque_shim_has_private(d.get()));
    EXPECT_EQ(steal(d.get()), 0u);
    for (uint64_t job = 10; job > 0; job--)
        expect_join(d.get(), DEQUE_SHIM_FAST, job);
    EXPECT_TRUE(deque_shim_is_empty(d.get()));
}

TEST(ForkDeque, AFullDequeHasNoPlaceUntilOneIsJoined)
{
    Deque d = make_deque();

    fork_all(d.get(), capacity);
    EXPECT_EQ(deque_shim_fork(d.get(), 999), DEQUE_SHIM_FULL);
    EXPECT_EQ(deque_shim_publish(d.get(), true, false), capacity);
    EXPECT_EQ(deque_shim_fork(d.get(), 999), DEQUE_SHIM_FULL);
    expect_join(d.get(), DEQUE_SHIM_ASKED, capacity);
    EXPECT_EQ(deque_shim_fork(d.get(), 999), DEQUE_SHIM_FAST);
    EXPECT_EQ(deque_shim_fork(d.get(), 1000), DEQUE_SHIM_FULL);
}

TEST(ForkDeque, ARequestIsAnsweredByTheNextForkWithTheOlderHalfRoundedUp)
{
    for (uint64_t n = 0; n <= 9; n++) {
        Deque d = make_deque();
        fork_all(d.get(), n);
        deque_shim_request(d.get());
        EXPECT_TRUE(deque_shim_is_hungry(d.get()));
        ASSERT_EQ(deque_shim_fork(d.get(), n + 1), DEQUE_SHIM_ASKED);
        EXPECT_FALSE(deque_shim_is_hungry(d.get()));
        for (uint64_t job = 1; job <= (n + 2) / 2; job++)
            ASSERT_EQ(steal(d.get()), job) << n;
        EXPECT_EQ(steal(d.get()), 0u);
    }
}

TEST(ForkDeque, AfterAnAnswerTheFastPathsAreBack)
{
    Deque d = make_deque();

    fork_all(d.get(), 4);
    deque_shim_request(d.get());
    EXPECT_EQ(deque_shim_fork(d.get(), 5), DEQUE_SHIM_ASKED);
    EXPECT_EQ(deque_shim_fork(d.get(), 6), DEQUE_SHIM_FAST);
    expect_join(d.get(), DEQUE_SHIM_FAST, 6);
    expect_join(d.get(), DEQUE_SHIM_FAST, 5);
    expect_join(d.get(), DEQUE_SHIM_FAST, 4);
    expect_join(d.get(), DEQUE_SHIM_ASKED, 3);
}

TEST(ForkDeque, ARequestIsAnsweredByTheNextJoinFromWhatIsOlder)
{
    Deque d = make_deque();

    fork_all(d.get(), 5);
    deque_shim_request(d.get());
    expect_join(d.get(), DEQUE_SHIM_ASKED, 5);
    EXPECT_EQ(steal(d.get()), 1u);
    EXPECT_EQ(steal(d.get()), 2u);
    EXPECT_EQ(steal(d.get()), 0u);
}

TEST(ForkDeque, ARequestNobodyCouldAnswerStands)
{
    Deque d = make_deque();

    fork_all(d.get(), 1);
    deque_shim_request(d.get());
    expect_join(d.get(), DEQUE_SHIM_ASKED, 1);
    EXPECT_TRUE(deque_shim_is_hungry(d.get()));
    EXPECT_EQ(deque_shim_fork(d.get(), 2), DEQUE_SHIM_ASKED);
    EXPECT_EQ(steal(d.get()), 2u);
}

TEST(ForkDeque, PublishingOnlyWhatIsWantedDoesNothingUnasked)
{
    Deque d = make_deque();

    fork_all(d.get(), 3);
    EXPECT_EQ(deque_shim_publish(d.get(), false, true), 0u);
    EXPECT_FALSE(deque_shim_has_public(d.get()));
    EXPECT_EQ(deque_shim_publish(d.get(), true, false), 3u);
    EXPECT_TRUE(deque_shim_has_public(d.get()));
    EXPECT_FALSE(deque_shim_has_private(d.get()));
}

TEST(ForkDeque, ThievesTakeTheOldestFirstAndTheOwnerTheNewest)
{
    Deque d = make_deque();

    fork_all(d.get(), 6);
    deque_shim_publish(d.get(), true, false);
    EXPECT_EQ(steal(d.get()), 1u);
    EXPECT_EQ(steal(d.get()), 2u);
    expect_join(d.get(), DEQUE_SHIM_ASKED, 6);
    expect_join(d.get(), DEQUE_SHIM_FAST, 5);
    EXPECT_EQ(steal(d.get()), 3u);
    expect_join(d.get(), DEQUE_SHIM_ASKED, 4);
    expect_stolen(d.get(), 1003);
    expect_stolen(d.get(), 1002);
    expect_stolen(d.get(), 1001);
    EXPECT_TRUE(deque_shim_is_empty(d.get()));
}

TEST(ForkDeque, TakingOnePublicJobBackTakesHalfOfThem)
{
    Deque d = make_deque();

    fork_all(d.get(), 8);
    deque_shim_publish(d.get(), true, false);
    expect_join(d.get(), DEQUE_SHIM_ASKED, 8);
    for (uint64_t job = 7; job > 4; job--)
        expect_join(d.get(), DEQUE_SHIM_FAST, job);
    for (uint64_t job = 1; job <= 4; job++)
        EXPECT_EQ(steal(d.get()), job);
    EXPECT_EQ(steal(d.get()), 0u);
}

TEST(ForkDeque, AJoinOfAStolenJobWaitsForItsEnd)
{
    Deque d = make_deque();
    void *token = nullptr;
    uint64_t got = 0;

    fork_all(d.get(), 1);
    deque_shim_publish(d.get(), true, false);
    ASSERT_EQ(deque_shim_steal(d.get(), &token, nullptr), 1u);
    EXPECT_EQ(deque_shim_join(d.get(), &got), DEQUE_SHIM_STOLEN);
    EXPECT_FALSE(deque_shim_settle(d.get(), &got));
    deque_shim_finish(token, 77);
    EXPECT_TRUE(deque_shim_settle(d.get(), &got));
    EXPECT_EQ(got, 77u);
    fork_all(d.get(), 3);
    for (uint64_t job = 3; job > 0; job--)
        expect_join(d.get(), DEQUE_SHIM_FAST, job);
}

TEST(ForkDeque, PlacesBelowASettledOneStayStolen)
{
    Deque d = make_deque();

    fork_all(d.get(), 3);
    deque_shim_publish(d.get(), true, false);
    for (uint64_t job = 1; job <= 3; job++)
        EXPECT_EQ(steal(d.get()), job);
    expect_stolen(d.get(), 1003);
    EXPECT_EQ(deque_shim_fork(d.get(), 4), DEQUE_SHIM_FAST);
    EXPECT_EQ(steal(d.get()), 0u);
    deque_shim_publish(d.get(), true, false);
    EXPECT_EQ(steal(d.get()), 4u);
    expect_stolen(d.get(), 1004);
    expect_stolen(d.get(), 1002);
    expect_stolen(d.get(), 1001);
}

TEST(ForkDeque, ForcingPublishesTheOlderHalfWithOneBarrier)
{
    for (uint64_t n = 1; n <= 9; n++) {
        Deque d = make_deque();
        fork_all(d.get(), n);
        barriers = 0;
        EXPECT_EQ(deque_shim_force(d.get(), count_barrier), (n + 1) / 2);
        EXPECT_EQ(barriers, 1);
        for (uint64_t job = 1; job <= (n + 1) / 2; job++)
            ASSERT_EQ(steal(d.get()), job);
        EXPECT_EQ(steal(d.get()), 0u);
        EXPECT_EQ(deque_shim_fork(d.get(), n + 1), DEQUE_SHIM_FAST);
    }
}

TEST(ForkDeque, ForcingGoesOnWhereTheLastOneStopped)
{
    Deque d = make_deque();

    fork_all(d.get(), 8);
    EXPECT_EQ(deque_shim_force(d.get(), count_barrier), 4u);
    EXPECT_EQ(deque_shim_force(d.get(), count_barrier), 2u);
    EXPECT_EQ(deque_shim_force(d.get(), count_barrier), 1u);
    EXPECT_EQ(deque_shim_force(d.get(), count_barrier), 1u);
    EXPECT_EQ(deque_shim_force(d.get(), count_barrier), 0u);
    for (uint64_t job = 1; job <= 8; job++)
        EXPECT_EQ(steal(d.get()), job);
}

/* What the owner does between a forcer's two steps. */
deque_shim *forced = nullptr;

void claim_meanwhile()
{
    deque_shim_claim(forced); /* the rest of a join waits for the lock the forcer holds */
}

TEST(ForkDeque, AForcerDoesNotPublishWhatHasBeenClaimedMeanwhile)
{
    Deque d = make_deque();

    forced = d.get();
    fork_all(d.get(), 1);
    EXPECT_EQ(deque_shim_force(d.get(), claim_meanwhile), 0u);
    EXPECT_FALSE(deque_shim_has_public(d.get()));
    EXPECT_EQ(steal(d.get()), 0u);
}

TEST(ForkDeque, SlowOnlyHoldsUntilItIsTakenBack)
{
    Deque d = make_deque();

    deque_shim_set_slow(d.get(), true);
    EXPECT_EQ(deque_shim_fork(d.get(), 1), DEQUE_SHIM_ASKED);
    EXPECT_EQ(deque_shim_fork(d.get(), 2), DEQUE_SHIM_ASKED);
    EXPECT_EQ(deque_shim_force(d.get(), count_barrier), 1u);
    expect_join(d.get(), DEQUE_SHIM_ASKED, 2);
    EXPECT_EQ(deque_shim_fork(d.get(), 2), DEQUE_SHIM_ASKED);
    deque_shim_set_slow(d.get(), false);
    EXPECT_EQ(deque_shim_fork(d.get(), 3), DEQUE_SHIM_FAST);
}

TEST(ForkDeque, ADisturbanceHoldsUntilTheOwnerCalmsItWhateverThievesDo)
{
    Deque d = make_deque();

    fork_all(d.get(), 6);
    deque_shim_disturb(d.get());
    EXPECT_EQ(deque_shim_force(d.get(), count_barrier), 3u);
    EXPECT_EQ(steal(d.get()), 1u);
    expect_join(d.get(), DEQUE_SHIM_ASKED, 6);
    EXPECT_EQ(deque_shim_fork(d.get(), 7), DEQUE_SHIM_ASKED);
    deque_shim_set_slow(d.get(), false);
    EXPECT_EQ(deque_shim_fork(d.get(), 8), DEQUE_SHIM_ASKED);
    expect_join(d.get(), DEQUE_SHIM_ASKED, 8);
    deque_shim_calm(d.get());
    expect_join(d.get(), DEQUE_SHIM_FAST, 7);
    EXPECT_EQ(deque_shim_fork(d.get(), 9), DEQUE_SHIM_FAST);
}

TEST(ForkDeque, AnOlderJobThatIsTakenBackIsNotPublishedAsAJob)
{
    Deque d = make_deque();
    uint64_t job = 0;

    fork_all(d.get(), 6);
    deque_shim_request(d.get());
    ASSERT_TRUE(deque_shim_take_older(d.get(), 0, &job)); /* answers the request */
    EXPECT_EQ(job, 1u);
    EXPECT_TRUE(deque_shim_is_tombstone(d.get(), 0));
    deque_shim_publish(d.get(), true, false);
    for (uint64_t want = 1; want <= 6; want++) {
        void *token = nullptr;
        bool tombstone = false;
        ASSERT_EQ(deque_shim_steal(d.get(), &token, &tombstone), want);
        EXPECT_EQ(tombstone, want == 1);
    }
}

TEST(ForkDeque, AnOlderPublicJobIsTakenBackAndAStolenOneIsNot)
{
    Deque d = make_deque();
    uint64_t job = 0;

    fork_all(d.get(), 6);
    deque_shim_publish(d.get(), true, false);
    EXPECT_EQ(steal(d.get()), 1u);
    EXPECT_FALSE(deque_shim_take_older(d.get(), 0, &job));
    EXPECT_FALSE(deque_shim_is_tombstone(d.get(), 0));
    EXPECT_TRUE(deque_shim_take_older(d.get(), 3, &job));
    EXPECT_TRUE(deque_shim_is_tombstone(d.get(), 3));
    EXPECT_EQ(steal(d.get()), 2u);
    EXPECT_EQ(steal(d.get()), 0u) << "half of what was left is private again";
}

TEST(ForkDeque, TheHeadIsFoundFromAnywhere)
{
    for (unsigned n : {0u, 1u, 7u, capacity}) {
        Deque d = make_deque();
        fork_all(d.get(), n);
        for (unsigned hint = 0; hint <= n; hint++)
            ASSERT_EQ(deque_shim_head_from(d.get(), hint), n) << "from " << hint;
    }
}

/* The same random story told to a deque and to a model of it. */
struct Story {
    Deque deque = make_deque();
    std::minstd_rand random{4711};
    std::vector<uint64_t> jobs; /* unjoined, oldest first */
    std::vector<bool> stolen;
    uint64_t next = 1;
    size_t steals = 0;

    void tell()
    {
        deque_shim *d = deque.get();
        switch (random() % 12) {
        case 0:
            deque_shim_request(d);
            break;
        case 1:
            deque_shim_force(d, count_barrier);
            break;
        case 2:
            deque_shim_publish(d, random() % 8 == 0, random() % 2 == 0);
            break;
        case 3:
            take();
            break;
        case 4:
        case 5:
        case 6:
        case 7:
            join();
            break;
        default:
            fork();
        }
    }

    void fork()
    {
        deque_shim_path path = deque_shim_fork(deque.get(), next);
        ASSERT_EQ(path == DEQUE_SHIM_FULL, jobs.size() == capacity);
        if (path == DEQUE_SHIM_FULL)
            return;
        jobs.push_back(next++);
        stolen.push_back(false);
    }

    /* Thieves take the oldest that has not been taken. */
    void take()
    {
        uint64_t got = steal(deque.get());
        size_t first = 0;
        while (first < stolen.size() && stolen[first])
            first++;
        if (got == 0)
            return;
        ASSERT_LT(first, jobs.size());
        ASSERT_EQ(got, jobs[first]);
        stolen[first] = true;
        steals++;
    }

    void join()
    {
        uint64_t got = 0;
        deque_shim_path path = deque_shim_join(deque.get(), &got);
        ASSERT_EQ(path == DEQUE_SHIM_FULL, jobs.empty());
        if (jobs.empty())
            return;
        ASSERT_EQ(path == DEQUE_SHIM_STOLEN, stolen.back());
        if (stolen.back()) {
            ASSERT_TRUE(deque_shim_settle(deque.get(), &got));
        }
        ASSERT_EQ(got, jobs.back() + (stolen.back() ? 1000 : 0));
        jobs.pop_back();
        stolen.pop_back();
    }
};

TEST(ForkDeque, BehavesLikeAStackAndAQueueInARandomStory)
{
    Story story;

    for (int step = 0; step < 300000 && !testing::Test::HasFatalFailure(); step++)
        story.tell();
    EXPECT_GT(story.steals, 1000u);
}

/* Thieves that steal, ask and force while the owner forks and joins: each job runs once. */
struct Fray {
    static constexpr size_t jobs = 3000000; /* at most */
    static constexpr size_t enough = 2000;  /* thefts */
    Deque deque = make_deque();
    std::vector<std::atomic<uint8_t>> runs = std::vector<std::atomic<uint8_t>>(jobs + 1);
    std::atomic<bool> over{false};
    std::atomic<size_t> steals{0};
    size_t made = 0;
    bool forces = skua_membarrier_init();

    void thief()
    {
        for (size_t turn = 0; !over; turn++) {
            void *token = nullptr;
            uint64_t job = deque_shim_steal(deque.get(), &token, nullptr);
            if (token != nullptr) {
                runs[job].fetch_add(1, std::memory_order_relaxed);
                steals++;
                deque_shim_finish(token, ~job);
            } else if (turn % 8 == 0 && forces && deque_shim_has_private(deque.get())) {
                deque_shim_force(deque.get(), skua_membarrier);
            } else {
                deque_shim_request(deque.get());
            }
        }
    }

    void join(uint64_t want)
    {
        uint64_t got = 0;
        if (deque_shim_join(deque.get(), &got) != DEQUE_SHIM_STOLEN) {
            ASSERT_EQ(got, want);
            runs[got].fetch_add(1, std::memory_order_relaxed);
            return;
        }
        while (!deque_shim_settle(deque.get(), &got))
            std::this_thread::yield();
        ASSERT_EQ(got, ~want);
    }

    void owner()
    {
        std::minstd_rand random{99};
        std::vector<uint64_t> unjoined;
        for (uint64_t job = 1; job <= jobs && steals < enough;) {
            size_t burst = 1 + random() % 12;
            for (size_t i = 0; i < burst && job <= jobs && unjoined.size() < capacity; i++) {
                ASSERT_NE(deque_shim_fork(deque.get(), job), DEQUE_SHIM_FULL);
                unjoined.push_back(job++);
            }
            size_t left = random() % (unjoined.size() + 1);
            for (; unjoined.size() > left; unjoined.pop_back())
                join(unjoined.back());
            made = job - 1;
            if (testing::Test::HasFatalFailure())
                return;
        }
        for (; !unjoined.empty(); unjoined.pop_back())
            join(unjoined.back());
    }
};

TEST(ForkDeque, EachJobRunsOnceAmongThieves)
{
    Fray fray;
    std::thread thieves[2];

    for (auto &thread : thieves)
        thread = std::thread([&] { fray.thief(); });
    fray.owner();
    fray.over = true;
    for (auto &thread : thieves)
        thread.join();
    for (size_t job = 1; job <= fray.made; job++)
        ASSERT_EQ(fray.runs[job], 1) << job;
    EXPECT_GT(fray.steals, 100u) << fray.made << " jobs";
    EXPECT_TRUE(deque_shim_is_empty(fray.deque.get()));
}

} // namespace
