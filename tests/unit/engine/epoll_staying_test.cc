/*
 * unit/engine/epoll_staying_test.cc - registrations that stay in the epoll set: what they save, and
 * what must not be missed because of them; see STAYING in engine/epoll_fd.c.
 */
#include "unit/engine/engine_sockets.h"

#include <netinet/tcp.h>
#include <thread>

namespace
{

const EngineParam kEngines[] = {
    {"Epoll", engine_shim_epoll, 0, true},
    {"EpollMilliseconds", engine_shim_epoll, 1, true},
    {"EpollPlain", engine_shim_epoll, 2, true},
};

std::string NameOf(const ::testing::TestParamInfo<EngineParam> &info)
{
    return info.param.name;
}

constexpr uint64_t kDoubtNs = 20 * SKUA_NS_PER_MS; /* as in epoll_fd.c */

/* What stays are registrations of TCP sockets. */
struct TcpPair : SocketPair {
    TcpPair()
    {
        Close(0);
        Close(1);
        Listener listener;
        fds[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        EXPECT_EQ(connect(fds[1], reinterpret_cast<sockaddr *>(&listener.address),
                          sizeof(listener.address)),
                  0);
        fds[0] = accept4(listener.fd, nullptr, nullptr, SOCK_CLOEXEC);
        int on = 1;
        EXPECT_EQ(setsockopt(fds[1], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
    }
};

class EpollStaying : public EngineSockets
{
  protected:
    uint64_t Enters()
    {
        return e.Counts().enters_total;
    }

    /* One look at epoll that is to see what was sent just now. */
    void Look()
    {
        std::this_thread::sleep_for(std::chrono::milliseconds(1)); /* packets are under way */
        e.Poll(kDoubtNs / 4);
    }

    void Receive(Request &request, int fd)
    {
        skua_op op = MakeTransfer(SKUA_OP_RECV, fd, in_, sizeof(in_));
        op.buf_index = kReceivesAgain; /* as of a task that has just used it */
        ASSERT_NO_FATAL_FAILURE(Begin(request, op));
    }

    /* Requests without a pause, until one is not told of: from now on @pair is relied on. */
    void MakeQuick(const SocketPair &pair)
    {
        bool is_told = true;
        for (int round = 0; is_told && round < 100; round++) {
            Request request;
            ASSERT_NO_FATAL_FAILURE(Receive(request, pair.fds[0]));
            uint64_t before = Enters();
            e.Poll(0);
            is_told = Enters() - before > 1;
            pair.Put("abc");
            Look();
            ASSERT_EQ(request.completions, 1);
        }
        ASSERT_FALSE(is_told);
    }

    /* Something waits, so that polls look at epoll. */
    void WaitBeside()
    {
        ASSERT_NO_FATAL_FAILURE(
            Begin(beside_, MakeTransfer(SKUA_OP_RECV, beside_pair_.fds[0], &beside_byte_, 1)));
    }
    void EndBeside()
    {
        e.Cancel(beside_);
        EXPECT_EQ(End(beside_), -ECANCELED);
    }

    /* @fd stands for the first end of @pair, behind the engine's back, and @pair has no other. */
    static void Replace(int fd, SocketPair &pair)
    {
        ASSERT_EQ(dup3(pair.fds[0], fd, O_CLOEXEC), fd);
        pair.Close(0);
    }

    char in_[16] = {};

  private:
    SocketPair beside_pair_;
    Request beside_;
    char beside_byte_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Modes, EpollStaying, ::testing::ValuesIn(kEngines), NameOf);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(EngineSockets); /* epoll_test has those */

TEST_P(EpollStaying, AnAnswerCostsOneEpollWait)
{
    TcpPair pair;
    char out[] = "answer";
    uint64_t before = 0;
    for (int round = 0; round < 102; round++) {
        if (round == 2)
            before = Enters();
        Request request;
        ASSERT_NO_FATAL_FAILURE(Receive(request, pair.fds[0]));
        pair.Put("question");
        e.Poll(kWaitMaxNs);
        ASSERT_EQ(request.completions, 1);
        ASSERT_EQ(e.Run(MakeTransfer(SKUA_OP_SEND, pair.fds[0], out, 6)), 6);
    }
    EXPECT_EQ(Enters() - before, 100u);
}

TEST_P(EpollStaying, AQuietConnectionIsToldOfOnceAndThenAtTheBeginning)
{
    TcpPair pair;
    ASSERT_NO_FATAL_FAILURE(MakeQuick(pair));
    Request request;
    ASSERT_NO_FATAL_FAILURE(Receive(request, pair.fds[0]));
    uint64_t before = Enters();
    e.Poll(3 * kDoubtNs);
    EXPECT_EQ(Enters() - before, 3u); /* a wait, what is told, the rest of the wait */
    pair.Put("abc");
    EXPECT_EQ(End(request), 3);
    for (int round = 0; round < 2; round++) {
        ASSERT_NO_FATAL_FAILURE(Receive(request, pair.fds[0]));
        before = Enters();
        e.Poll(2 * kDoubtNs);
        EXPECT_EQ(Enters() - before, 2u); /* told, and one wait */
        pair.Put("abc");
        EXPECT_EQ(End(request), 3);
    }
    ASSERT_NO_FATAL_FAILURE(MakeQuick(pair)); /* and it may be again */
}

TEST_P(EpollStaying, ANumberThatWasClosedBehindItsBackIsNoticedInTime)
{
    for (bool sleeps : {true, false}) {
        TcpPair pair;
        TcpPair other;
        ASSERT_NO_FATAL_FAILURE(MakeQuick(pair));
        Replace(pair.fds[0], other);
        Request request;
        ASSERT_NO_FATAL_FAILURE(Receive(request, pair.fds[0]));
        uint64_t begun_ns = e.Now();
        uint64_t before = Enters();
        e.Poll(0);
        EXPECT_EQ(Enters() - before, 1u); /* it did rely on it */
        other.Put("new");
        while (request.completions == 0 && e.Now() - begun_ns < 100 * kDoubtNs)
            e.Poll(sleeps ? 100 * kDoubtNs : 0);
        EXPECT_EQ(request.completions, 1);
        EXPECT_EQ(request.op.result, 3);
        EXPECT_GE(e.Now() - begun_ns, kDoubtNs / 2);
        EXPECT_EQ(std::string(in_, 3), "new");
    }
}

TEST_P(EpollStaying, WhoHasNotJustUsedTheNumberIsToldOfAtOnce)
{
    for (bool is_another_task : {true, false}) {
        TcpPair pair;
        TcpPair other;
        char elsewhere[128];
        Request request;
        if (is_another_task)
            request.waiter = elsewhere;
        ASSERT_NO_FATAL_FAILURE(MakeQuick(pair));
        Replace(pair.fds[0], other);
        skua_op op = MakeTransfer(SKUA_OP_RECV, pair.fds[0], in_, sizeof(in_));
        op.buf_index = is_another_task ? kReceivesAgain : 0;
        ASSERT_NO_FATAL_FAILURE(Begin(request, op));
        other.Put("new");
        uint64_t before = Enters();
        Look();
        EXPECT_EQ(request.completions, 1);
        EXPECT_EQ(Enters() - before, 3u); /* changed, then added; and a look */
    }
}

TEST_P(EpollStaying, AFirstReceiveThatNeedNotWaitForgetsTheNumberToo)
{
    TcpPair pair;
    TcpPair other;
    Request request;
    ASSERT_NO_FATAL_FAILURE(MakeQuick(pair));
    pair.Put(std::string(sizeof(in_), 'x')); /* a full receive: the next one is tried */
    ASSERT_NO_FATAL_FAILURE(Receive(request, pair.fds[0]));
    EXPECT_EQ(End(request), static_cast<int64_t>(sizeof(in_)));
    Replace(pair.fds[0], other);
    other.Put(std::string(sizeof(in_), 'x'));
    for (uint16_t hint : {uint16_t{0}, kReceivesAgain}) {
        skua_op op = MakeTransfer(SKUA_OP_RECV, pair.fds[0], in_, sizeof(in_) / 2);
        op.buf_index = hint;
        ASSERT_NO_FATAL_FAILURE(Begin(request, op));
        EXPECT_EQ(End(request), static_cast<int64_t>(sizeof(in_) / 2));
    }
    ASSERT_NO_FATAL_FAILURE(Receive(request, pair.fds[0]));
    uint64_t before = Enters();
    e.Poll(0);
    EXPECT_EQ(Enters() - before, 3u);
    other.Put("abc");
    Look();
    EXPECT_EQ(request.completions, 1);
}

/* Without the doubt: what is looked for takes no time at all. */
TEST_P(EpollStaying, TheEndBehindDataIsNotMissed)
{
    for (bool is_waited_for : {true, false}) {
        TcpPair pair;
        Request request;
        ASSERT_NO_FATAL_FAILURE(MakeQuick(pair));
        ASSERT_NO_FATAL_FAILURE(WaitBeside());
        if (is_waited_for) {
            ASSERT_NO_FATAL_FAILURE(Receive(request, pair.fds[0]));
        }
        pair.Put("abc");
        EXPECT_EQ(shutdown(pair.fds[1], SHUT_WR), 0);
        Look();
        if (!is_waited_for) {
            ASSERT_NO_FATAL_FAILURE(Receive(request, pair.fds[0]));
            e.Poll(0);
        }
        ASSERT_EQ(request.completions, 1);
        EXPECT_EQ(request.op.result, 3);
        for (int round = 0; round < 2; round++) { /* the end has no end */
            ASSERT_NO_FATAL_FAILURE(Receive(request, pair.fds[0]));
            e.Poll(0);
            e.Poll(0);
            ASSERT_EQ(request.completions, 1);
            EXPECT_EQ(request.op.result, 0);
        }
        EndBeside();
    }
}

TEST_P(EpollStaying, WhatCameWhileNobodyWaitedIsReceivedAtOnce)
{
    TcpPair pair;
    Request request;
    ASSERT_NO_FATAL_FAILURE(MakeQuick(pair));
    ASSERT_NO_FATAL_FAILURE(WaitBeside());
    for (int round = 0; round < 10; round++) {
        pair.Put("abc");
        Look(); /* the edge, and no other */
        e.Poll(0);
        e.Poll(0);
        ASSERT_NO_FATAL_FAILURE(Receive(request, pair.fds[0]));
        e.Poll(0);
        ASSERT_EQ(request.completions, 1) << round;
        EXPECT_EQ(request.op.result, 3);
    }
    EndBeside();
}

TEST_P(EpollStaying, AnEdgeThatNobodyWaitsForChangesNothingIfTheNextIsWaitedFor)
{
    TcpPair pair;
    Request request;
    ASSERT_NO_FATAL_FAILURE(MakeQuick(pair));
    ASSERT_NO_FATAL_FAILURE(WaitBeside());
    e.Poll(0);
    for (int round = 0; round < 5; round++) {
        uint64_t before = Enters();
        pair.Put("abc");
        Look(); /* the edge, and no other */
        e.Poll(0);
        e.Poll(0);
        ASSERT_NO_FATAL_FAILURE(Receive(request, pair.fds[0]));
        e.Poll(0);
        ASSERT_EQ(request.completions, 1);
        ASSERT_NO_FATAL_FAILURE(Receive(request, pair.fds[0]));
        e.Poll(0);
        ASSERT_EQ(request.completions, 0);
        pair.Put("abc");
        Look();
        ASSERT_EQ(request.completions, 1);
        EXPECT_EQ(Enters() - before, 6u); /* looks only */
    }
    EndBeside();
}

TEST_P(EpollStaying, EdgesThatNobodyWaitsForComeTwiceAtMost)
{
    TcpPair pair;
    Request request;
    ASSERT_NO_FATAL_FAILURE(MakeQuick(pair));
    ASSERT_NO_FATAL_FAILURE(WaitBeside());
    e.Poll(0);
    for (uint64_t enters : {1, 2, 1, 1}) {
        pair.Put("a");
        uint64_t before = Enters();
        Look();
        EXPECT_EQ(Enters() - before, enters);
    }
    /* Nor do they wake anybody. */
    uint64_t begun_ns = e.Now();
    pair.Put("a");
    e.Poll(kDoubtNs);
    EXPECT_GE(e.Now() - begun_ns, kDoubtNs);
    ASSERT_NO_FATAL_FAILURE(Receive(request, pair.fds[0]));
    EXPECT_EQ(End(request), 5);
    ASSERT_NO_FATAL_FAILURE(Receive(request, pair.fds[0]));
    EXPECT_TRUE(Waits(request));
    pair.Put("a");
    Look();
    EXPECT_EQ(request.completions, 1);
    EndBeside();
}

TEST_P(EpollStaying, AWaitOfAnotherKindIsServedBesideAndAfter)
{
    TcpPair pair;
    Request request;
    Request poll;
    Request out;
    ASSERT_NO_FATAL_FAILURE(MakeQuick(pair));
    ASSERT_GT(pair.Fill(0), 0u);
    ASSERT_NO_FATAL_FAILURE(Receive(request, pair.fds[0]));
    ASSERT_NO_FATAL_FAILURE(Begin(out, MakeTransfer(SKUA_OP_SEND, pair.fds[0], in_, 1)));
    uint64_t before = Enters();
    e.Poll(0);
    EXPECT_EQ(Enters() - before, 2u);
    EXPECT_TRUE(Waits(out));
    pair.Drain(1);
    EXPECT_EQ(End(out), 1);
    ASSERT_EQ(request.completions, 0);
    pair.Put("abc");
    EXPECT_EQ(End(request), 3);
    ASSERT_NO_FATAL_FAILURE(MakeQuick(pair));
    ASSERT_NO_FATAL_FAILURE(Begin(poll, MakePoll(pair.fds[0], POLLIN)));
    EXPECT_TRUE(Waits(poll));
    pair.Put("abc");
    EXPECT_EQ(End(poll), POLLIN);
    ASSERT_NO_FATAL_FAILURE(Receive(request, pair.fds[0]));
    EXPECT_EQ(End(request), 3);
}

/* A receive stops short of it, and goes on behind it. */
TEST_P(EpollStaying, WhatStandsBehindUrgentDataIsNotMissed)
{
    TcpPair pair;
    Request request;
    ASSERT_NO_FATAL_FAILURE(MakeQuick(pair));
    ASSERT_NO_FATAL_FAILURE(Receive(request, pair.fds[0]));
    pair.Put("abc");
    EXPECT_EQ(send(pair.fds[1], "!", 1, MSG_OOB), 1);
    pair.Put("def");
    Look();
    ASSERT_EQ(request.completions, 1);
    EXPECT_EQ(request.op.result, 3);
    ASSERT_NO_FATAL_FAILURE(Receive(request, pair.fds[0]));
    e.Poll(0);
    ASSERT_EQ(request.completions, 1);
    EXPECT_EQ(request.op.result, 3);
}

/* B, whose number was closed behind the engine's back, is asked about though A never is. */
TEST_P(EpollStaying, WhoWaitsAndGivesUpAgainAndAgainKeepsNobodyFromBeingAskedAbout)
{
    TcpPair a;
    TcpPair b;
    TcpPair other;
    Request given_up;
    Request request;
    ASSERT_NO_FATAL_FAILURE(MakeQuick(a));
    ASSERT_NO_FATAL_FAILURE(MakeQuick(b));
    Replace(b.fds[0], other);
    ASSERT_NO_FATAL_FAILURE(Receive(given_up, a.fds[0]));
    ASSERT_NO_FATAL_FAILURE(Receive(request, b.fds[0]));
    other.Put("new");
    uint64_t begun_ns = e.Now();
    while (request.completions == 0 && e.Now() - begun_ns < 20 * kDoubtNs) {
        e.Poll(kDoubtNs / 4);
        e.Cancel(given_up);
        EXPECT_EQ(End(given_up), -ECANCELED);
        ASSERT_NO_FATAL_FAILURE(Receive(given_up, a.fds[0]));
    }
    EXPECT_LT(e.Now() - begun_ns, 10 * kDoubtNs);
    EXPECT_EQ(request.completions, 1);
    e.Cancel(given_up);
    EXPECT_EQ(End(given_up), -ECANCELED);
}

TEST_P(EpollStaying, WhoReceivesHereOnceAndElsewhereThenWakesNobodyForLong)
{
    TcpPair pair;
    Request request;
    ASSERT_NO_FATAL_FAILURE(MakeQuick(pair));
    ASSERT_NO_FATAL_FAILURE(WaitBeside());
    pair.Put("abc");
    Look();
    skua_op op = MakeTransfer(SKUA_OP_RECV, pair.fds[0], in_, sizeof(in_)); /* of another task */
    ASSERT_NO_FATAL_FAILURE(Begin(request, op));
    EXPECT_EQ(End(request), 3);
    for (int i = 0; i < 3; i++) {
        pair.Put("abc");
        Look();
        EXPECT_EQ(pair.Drain(0), 3u); /* by another worker */
    }
    pair.Put("abc");
    uint64_t begun_ns = e.Now();
    e.Poll(kDoubtNs);
    EXPECT_GE(e.Now() - begun_ns, kDoubtNs);
    EndBeside();
}

/* Bytes may stay behind a short receive. */
TEST_P(EpollStaying, AUnixSocketIsToldOfEachTime)
{
    SocketPair pair;
    for (int round = 0; round < 5; round++) {
        Request request;
        ASSERT_NO_FATAL_FAILURE(Receive(request, pair.fds[0]));
        uint64_t before = Enters();
        e.Poll(0);
        EXPECT_EQ(Enters() - before, 2u);
        pair.Put("a");
        EXPECT_EQ(End(request), 1);
    }
}

TEST_P(EpollStaying, ADatagramSocketIsToldOfEachTime)
{
    SocketPair pair(SOCK_DGRAM);
    for (int round = 0; round < 5; round++) {
        Request request;
        ASSERT_NO_FATAL_FAILURE(Receive(request, pair.fds[0]));
        uint64_t before = Enters();
        e.Poll(0);
        EXPECT_EQ(Enters() - before, 2u);
        pair.Put("a");
        pair.Put("b");
        EXPECT_EQ(End(request), 1);
        EXPECT_EQ(pair.Drain(0), 1u);
    }
}

/* ---- ops that are over at once ---- */

TEST_P(EpollStaying, AsManyOpsAsTheCallerAllowsAreOverAtOnce)
{
    TcpPair pair;
    Request request;
    char out = 'x';
    engine_shim_at_once(e.get(), 2);
    for (int round = 0; round < 4; round++) {
        request.completions = 0;
        request.op = MakeTransfer(SKUA_OP_SEND, pair.fds[0], &out, 1);
        request.op.result = -1;
        int rc = engine_shim_submit(e.get(), &request.op, OnComplete, request.waiter);
        EXPECT_EQ(rc, round < 2 ? 1 : 0);
        EXPECT_EQ(e.Counts().in_flight, round < 2 ? 0u : 1u);
        e.Poll(0);
        EXPECT_EQ(request.completions, round < 2 ? 0 : 1);
        EXPECT_EQ(request.op.result, 1);
    }
    engine_counts counts = e.Counts();
    EXPECT_EQ(counts.submitted_total, 4u);
    EXPECT_EQ(counts.completed_total, 4u);
    std::vector<char> much(1 << 16);
    engine_shim_at_once(e.get(), 5); /* as many bytes as four ops more: the second is not */
    for (int rc : {1, 0}) {
        request.completions = 0;
        request.op = MakeTransfer(SKUA_OP_SEND, pair.fds[0], much.data(), much.size());
        EXPECT_EQ(engine_shim_submit(e.get(), &request.op, OnComplete, request.waiter), rc);
        e.Poll(0);
    }
    engine_shim_at_once(e.get(), 1);
    ASSERT_NO_FATAL_FAILURE(Receive(request, pair.fds[0])); /* what waits is not */
    EXPECT_TRUE(Waits(request));
    pair.Put("abc");
    EXPECT_EQ(End(request), 3);
}

} // namespace
