/*
 * uring_guess_test.cc - engine/uring_guess.h, by a CQ that is only numbered.
 */
#include "engine/uring_guess.h"

#include <gtest/gtest.h>

namespace
{

/* A ring with receives that find their data at once, later, or only after others' completions. */
class UringGuess : public ::testing::Test
{
  protected:
    /* One receive, from its submission to its completion. Returns whether it polled first. */
    bool Receive(bool ready)
    {
        skua_op op{};
        bool polled = skua_guess_polls_first(&guess_, &op);
        if (ready && !polled)
            tail_++; /* its completion, within the enter that takes it */
        Enter(false);
        if (!ready || polled)
            tail_++; /* after it */
        Take(&op);
        return polled;
    }

    void Enter(bool waited)
    {
        skua_guess_entered(&guess_, waited, tail_);
    }

    void Take(const skua_op *op)
    {
        skua_guess_taken(&guess_, head_++, op);
    }

    /* How many of @count polled first. */
    unsigned Receives(unsigned count, bool ready)
    {
        unsigned polled = 0;
        for (unsigned i = 0; i < count; i++)
            polled += Receive(ready);
        return polled;
    }

    skua_uring_guess guess_{};
    unsigned head_ = 0;
    unsigned tail_ = 0;
};

TEST_F(UringGuess, OneInSixteenIsTriedWhereNoneIsReady)
{
    EXPECT_EQ(Receives(1600, false), 1500u);
}

TEST_F(UringGuess, NoneWaitsWhereAllAreReadyAfterAFewTries)
{
    EXPECT_LE(Receives(100, true), 60u);
    EXPECT_EQ(Receives(1000, true), 0u);
}

TEST_F(UringGuess, ItPollsFirstAgainOnceTheyAreNot)
{
    (void)Receives(200, true);
    EXPECT_GE(Receives(100, false), 70u);
}

TEST_F(UringGuess, AFewThatAreReadyDoNotCount)
{
    for (int i = 0; i < 100; i++) { /* of those that are tried one in eight */
        (void)Receives(112, false);
        ASSERT_GE(Receives(16, true), 15u);
    }
}

/* Completions that nobody has taken for long say the same as fresh ones. */
TEST_F(UringGuess, AReadyOneIsReadyHoweverLateItIsTaken)
{
    for (int i = 0; i < 200; i++) {
        skua_op op{};
        bool polled = skua_guess_polls_first(&guess_, &op);
        tail_ += 10;
        for (int enters = 0; enters < 5; enters++, tail_ += 10)
            Enter(false);
        for (int other = 0; other < 9; other++)
            Take(nullptr);
        Take(&op);
        while (head_ != tail_)
            Take(nullptr);
        ASSERT_TRUE(!polled || i < 100) << i;
    }
}

TEST_F(UringGuess, OneThatIsNeverOverIsGivenUp)
{
    skua_op idle{};
    while (skua_guess_polls_first(&guess_, &idle))
        continue;
    Enter(false);
    tail_++;
    Take(nullptr);
    EXPECT_LE(Receives(100, true), 60u);
    EXPECT_EQ(Receives(1000, true), 0u);
}

TEST_F(UringGuess, WhatComesInAnEnterThatWaitedWasNotReady)
{
    for (int i = 0; i < 160; i++) {
        skua_op op{};
        bool polled = skua_guess_polls_first(&guess_, &op);
        EXPECT_EQ(polled, i % 16 != 15) << i;
        tail_++;
        Enter(true);
        Take(&op);
    }
}

TEST_F(UringGuess, TheNumbersMayWrap)
{
    head_ = tail_ = 0u - 300;
    EXPECT_LE(Receives(200, true), 60u);
    for (int i = 0; i < 200; i++) {
        unsigned before = guess_.ready;
        EXPECT_FALSE(Receive(true)) << i;
        EXPECT_GE(guess_.ready, before) << i;
    }
}

TEST_F(UringGuess, OneThatIsOverAfterAnotherEnterWasNotReady)
{
    for (int i = 0; i < 160; i++) {
        skua_op op{};
        bool polled = skua_guess_polls_first(&guess_, &op);
        EXPECT_EQ(polled, i % 16 != 15) << i;
        Enter(false);
        tail_++; /* its own, and the kernel may have more of them by the next enter */
        Enter(false);
        Take(&op);
    }
}

/* The next one is submitted, each time, before the last is over. */
TEST_F(UringGuess, TheOneThatIsWatchedIsSoUntilItIsOver)
{
    (void)Receives(200, true);
    skua_op ops[2] = {};
    (void)skua_guess_polls_first(&guess_, &ops[0]);
    unsigned polled = 0;
    for (int i = 1; i <= 100; i++) {
        Enter(false);
        tail_++;
        polled += skua_guess_polls_first(&guess_, &ops[i % 2]);
        Take(&ops[(i - 1) % 2]);
    }
    EXPECT_GE(polled, 60u);
}

} // namespace
