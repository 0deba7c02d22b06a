/*
 * unit/engine/engine_sockets.h - what every engine must do with sockets, pipes and readiness, as
 * one suite of tests. See engine_conformance.h, which has what is common to all ops.
 *
 * A test file includes this and instantiates EngineSockets with its engines.
 */
#ifndef SKUA_TESTS_ENGINE_SOCKETS_H
#define SKUA_TESTS_ENGINE_SOCKETS_H

#include "support/engine_harness.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <vector>

/* Two connected Unix sockets, closed at the end. They block, as skua_socket() makes them. */
struct SocketPair {
    std::array<int, 2> fds{-1, -1};
    explicit SocketPair(int type = SOCK_STREAM)
    {
        EXPECT_EQ(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds.data()), 0);
    }
    SocketPair(const SocketPair &) = delete;
    SocketPair &operator=(const SocketPair &) = delete;
    ~SocketPair()
    {
        Close(0);
        Close(1);
    }
    void Close(size_t index)
    {
        if (fds[index] >= 0)
            close(fds[index]);
        fds[index] = -1;
    }
    void Put(const std::string &text) const
    {
        EXPECT_EQ(send(fds[1], text.data(), text.size(), MSG_DONTWAIT),
                  static_cast<ssize_t>(text.size()));
    }
    /* Takes all there is; how much that was. */
    size_t Drain(size_t index) const
    {
        std::vector<char> memory(1 << 16);
        size_t total = 0;
        ssize_t got;
        while ((got = recv(fds[index], memory.data(), memory.size(), MSG_DONTWAIT)) > 0)
            total += static_cast<size_t>(got);
        return total;
    }
    /* Until no more fits. */
    size_t Fill(size_t index) const
    {
        std::vector<char> memory(1 << 12);
        size_t total = 0;
        ssize_t sent;
        while ((sent = send(fds[index], memory.data(), memory.size(), MSG_DONTWAIT)) > 0)
            total += static_cast<size_t>(sent);
        return total;
    }
};

/* A TCP listener on the loopback that blocks, at a port of the kernel's choice. */
struct Listener {
    int fd;
    sockaddr_in address{};
    Listener() : fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0))
    {
        socklen_t size = sizeof(address);
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr *>(&address), size), 0);
        EXPECT_EQ(listen(fd, 64), 0);
        EXPECT_EQ(getsockname(fd, reinterpret_cast<sockaddr *>(&address), &size), 0);
    }
    Listener(const Listener &) = delete;
    Listener &operator=(const Listener &) = delete;
    ~Listener()
    {
        if (fd >= 0)
            close(fd);
    }
};

inline skua_op MakeTransfer(skua_op_code code, int fd, void *memory, size_t size, int flags = 0)
{
    skua_op op = MakeRw(code, fd, memory, size, 0);
    op.flags = static_cast<uint32_t>(flags);
    return op;
}

constexpr uint16_t kReceivesAgain = 2; /* SKUA_OP_RECV_AGAIN, which engine.h has */

inline skua_op MakeConnect(int fd, void *address, size_t size)
{
    return MakeRw(SKUA_OP_CONNECT, fd, address, size, 0);
}

inline skua_op MakeSplice(int from, int to, size_t size)
{
    skua_op op = MakeOp(SKUA_OP_SPLICE, from);
    op.fd2 = to;
    op.len = size;
    op.offset = SKUA_OFFSET_CURRENT;
    op.offset2 = SKUA_OFFSET_CURRENT;
    return op;
}

inline skua_op MakePoll(int fd, unsigned events)
{
    skua_op op = MakeOp(SKUA_OP_POLL, fd);
    op.flags = events;
    return op;
}

class EngineSockets : public ::testing::TestWithParam<EngineParam>
{
  protected:
    void SetUp() override
    {
        descriptors_ = OpenDescriptors();
        ASSERT_EQ(e.Create(GetParam(), 64, 256), 0);
    }

    void TearDown() override
    {
        e.Destroy();
        EXPECT_EQ(OpenDescriptors(), descriptors_);
    }

    void Begin(Request &request, const skua_op &op)
    {
        request.completions = 0;
        request.op = op;
        ASSERT_EQ(e.Submit(request), 0);
    }

    bool Waits(const Request &request)
    {
        for (int i = 0; i < 3; i++)
            e.Poll(0);
        return request.completions == 0;
    }

    int64_t End(Request &request)
    {
        EXPECT_TRUE(e.PollUntil([&] { return request.completions > 0; }));
        EXPECT_EQ(request.completions, 1);
        return request.op.result;
    }

    /* The op waits, and is cancelled at every point of its life before it has a result. */
    void ExpectCancelWorks(const skua_op &op)
    {
        for (int polls = 0; polls < 3; polls++) {
            Request request;
            ASSERT_NO_FATAL_FAILURE(Begin(request, op));
            for (int i = 0; i < polls; i++)
                e.Poll(0);
            ASSERT_EQ(request.completions, 0) << "code " << int{op.code};
            e.Cancel(request);
            e.Cancel(request);
            EXPECT_EQ(End(request), -ECANCELED) << "code " << int{op.code} << " polls " << polls;
            e.Poll(0);
            EXPECT_EQ(request.completions, 1);
        }
    }

    TestedEngine e;

  private:
    int descriptors_ = 0;
};

/* ---- transfers ---- */

TEST_P(EngineSockets, AReceiveWaitsForDataAgainAndAgain)
{
    SocketPair pair;
    for (skua_op_code code : {SKUA_OP_RECV, SKUA_OP_READ}) {
        for (int round = 0; round < 100; round++) {
            char in[16] = {};
            Request request;
            bool before = round % 3 == 0;
            if (before)
                pair.Put("abc");
            ASSERT_NO_FATAL_FAILURE(Begin(request, MakeTransfer(code, pair.fds[0], in, 16)));
            if (round % 2 == 0)
                e.Poll(0);
            if (!before)
                pair.Put("abc");
            ASSERT_EQ(End(request), 3) << "round " << round;
            ASSERT_STREQ(in, "abc");
        }
    }
}

TEST_P(EngineSockets, DataLeftBehindIsThereForTheNextReceive)
{
    SocketPair pair;
    char in[3] = {};
    pair.Put("abcdef");
    EXPECT_EQ(e.Run(MakeTransfer(SKUA_OP_RECV, pair.fds[0], in, 2)), 2);
    EXPECT_EQ(e.Run(MakeTransfer(SKUA_OP_RECV, pair.fds[0], in, 2, MSG_PEEK)), 2);
    EXPECT_STREQ(in, "cd");
    EXPECT_EQ(e.Run(MakeTransfer(SKUA_OP_RECV, pair.fds[0], in, 3)), 3);
    EXPECT_EQ(e.Run(MakeTransfer(SKUA_OP_READ, pair.fds[0], in, 1)), 1);
    EXPECT_EQ(in[0], 'f');
}

TEST_P(EngineSockets, SeveralReceiversOfOneSocketEachGetTheirShare)
{
    SocketPair pair;
    std::array<Request, 7> requests;
    std::array<char, 7> bytes{};
    for (size_t i = 0; i < requests.size(); i++)
        ASSERT_NO_FATAL_FAILURE(
            Begin(requests[i], MakeTransfer(SKUA_OP_RECV, pair.fds[0], &bytes[i], 1)));
    e.Poll(0);
    pair.Put("a");
    ASSERT_TRUE(e.PollUntil([&] { return e.Counts().in_flight == 6; }));
    pair.Put("bcd");
    ASSERT_TRUE(e.PollUntil([&] { return e.Counts().in_flight == 3; }));
    pair.Put("efg");
    ASSERT_TRUE(e.PollUntil([&] { return e.Counts().in_flight == 0; }));
    std::string all(bytes.begin(), bytes.end());
    std::sort(all.begin(), all.end());
    EXPECT_EQ(all, "abcdefg");
}

TEST_P(EngineSockets, AReceiverAndASenderWaitOnOneSocketAndDoNotDisturbEachOther)
{
    for (bool sender_first : {false, true}) {
        SocketPair pair;
        size_t filled = pair.Fill(0);
        char in = 0;
        char out = 'x';
        Request sender;
        Request receiver;
        skua_op send_op = MakeTransfer(SKUA_OP_SEND, pair.fds[0], &out, 1);
        if (sender_first) {
            ASSERT_NO_FATAL_FAILURE(Begin(sender, send_op));
        }
        ASSERT_NO_FATAL_FAILURE(Begin(receiver, MakeTransfer(SKUA_OP_RECV, pair.fds[0], &in, 1)));
        if (!sender_first) {
            ASSERT_NO_FATAL_FAILURE(Begin(sender, send_op));
        }
        EXPECT_TRUE(Waits(sender));
        EXPECT_TRUE(Waits(receiver));
        pair.Put("y");
        EXPECT_EQ(End(receiver), 1);
        EXPECT_EQ(in, 'y');
        EXPECT_TRUE(Waits(sender));
        size_t drained = pair.Drain(1); /* it may be sent, and taken, before this ends */
        EXPECT_EQ(End(sender), 1);
        EXPECT_EQ(drained + pair.Drain(1), filled + 1);
    }
}

TEST_P(EngineSockets, ASendThatIsTooBigIsPartial)
{
    for (skua_op_code code : {SKUA_OP_SEND, SKUA_OP_WRITE}) {
        SocketPair pair;
        std::vector<char> out(size_t{8} << 20, 'x');
        int64_t sent = e.Run(MakeTransfer(code, pair.fds[0], out.data(), out.size()));
        EXPECT_GT(sent, 0);
        EXPECT_LT(sent, static_cast<int64_t>(out.size()));
        EXPECT_EQ(pair.Drain(1), static_cast<size_t>(sent));
    }
}

TEST_P(EngineSockets, AWriteIntoAFullPipeWaitsForRoomAndMayBePartial)
{
    Pipe pipe;
    std::vector<char> memory(size_t{1} << 20, 'x');
    int64_t first = e.Run(MakeRw(SKUA_OP_WRITE, pipe.fds[1], memory.data(), memory.size()));
    ASSERT_GT(first, 0);
    while (first < 65536) /* in pieces where the kernel cannot write without blocking */
        first += e.Run(MakeRw(SKUA_OP_WRITE, pipe.fds[1], memory.data(), memory.size()));
    Request request;
    iovec parts[3] = {{nullptr, 0}, {memory.data(), 5000}, {memory.data(), 4000}};
    ASSERT_NO_FATAL_FAILURE(Begin(request, MakeRw(SKUA_OP_WRITEV, pipe.fds[1], parts, 3)));
    EXPECT_TRUE(Waits(request));
    EXPECT_EQ(read(pipe.in(), memory.data(), 16384), 16384);
    int64_t second = End(request);
    EXPECT_GE(second, 4096);
    EXPECT_LE(second, 9000);
}

TEST_P(EngineSockets, SendingToAClosedPeerGivesEpipeAndNoSignal)
{
    SocketPair pair;
    pair.Close(1);
    char out = 'x';
    EXPECT_EQ(e.Run(MakeTransfer(SKUA_OP_SEND, pair.fds[0], &out, 1)), -EPIPE);
    iovec part = {&out, 1};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    EXPECT_EQ(e.Run(MakeTransfer(SKUA_OP_SENDMSG, pair.fds[0], &message, 1)), -EPIPE);
}

TEST_P(EngineSockets, AWaitingSenderSeesItsPeerGo)
{
    SocketPair pair;
    pair.Fill(0);
    char out = 'x';
    Request request;
    ASSERT_NO_FATAL_FAILURE(Begin(request, MakeTransfer(SKUA_OP_SEND, pair.fds[0], &out, 1)));
    EXPECT_TRUE(Waits(request));
    pair.Close(1);
    int64_t result = End(request);
    EXPECT_TRUE(result == -EPIPE || result == -ECONNRESET) << result;
}

TEST_P(EngineSockets, AWaitingReceiverSeesTheEndOfTheStream)
{
    char in;
    for (bool by_shutdown : {false, true}) {
        SocketPair pair;
        Request request;
        ASSERT_NO_FATAL_FAILURE(Begin(request, MakeTransfer(SKUA_OP_RECV, pair.fds[0], &in, 1)));
        e.Poll(0);
        skua_op shut = MakeOp(SKUA_OP_SHUTDOWN, pair.fds[0]);
        shut.flags = SHUT_RDWR;
        if (by_shutdown) {
            EXPECT_EQ(e.Run(shut), 0);
        } else {
            pair.Close(1);
        }
        EXPECT_EQ(End(request), 0);
        EXPECT_EQ(e.Run(MakeTransfer(SKUA_OP_RECV, pair.fds[0], &in, 1)), 0);
    }
}

TEST_P(EngineSockets, WhatMustNotWaitGivesEagain)
{
    SocketPair pair;
    Pipe pipe;
    char in[2];
    iovec part = {in, 2};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    for (int round = 0; round < 2; round++) { /* the second time after a short receive */
        EXPECT_EQ(e.Run(MakeTransfer(SKUA_OP_RECV, pair.fds[0], in, 2, MSG_DONTWAIT)), -EAGAIN);
        EXPECT_EQ(e.Run(MakeTransfer(SKUA_OP_RECVMSG, pair.fds[0], &message, 1, MSG_DONTWAIT)),
                  -EAGAIN);
        Request request;
        ASSERT_NO_FATAL_FAILURE(Begin(request, MakeTransfer(SKUA_OP_RECV, pair.fds[0], in, 2)));
        e.Poll(0);
        EXPECT_EQ(e.Run(MakeTransfer(SKUA_OP_RECV, pair.fds[0], in, 2, MSG_DONTWAIT)), -EAGAIN);
        pair.Put("x");
        EXPECT_EQ(End(request), 1);
    }
    pair.Fill(0);
    EXPECT_EQ(e.Run(MakeTransfer(SKUA_OP_SEND, pair.fds[0], in, 1, MSG_DONTWAIT)), -EAGAIN);
    EXPECT_EQ(e.Run(MakeTransfer(SKUA_OP_SENDMSG, pair.fds[0], &message, 1, MSG_DONTWAIT)),
              -EAGAIN);
    skua_op vector = MakeRw(SKUA_OP_READV, pipe.in(), &part, 1);
    vector.flags = RWF_NOWAIT;
    EXPECT_EQ(e.Run(vector), -EAGAIN);
}

TEST_P(EngineSockets, WaitallCollectsUntilAllIsThere)
{
    SocketPair pair;
    char in[7] = {};
    Request request;
    skua_op op = MakeTransfer(SKUA_OP_RECV, pair.fds[0], in, 6, MSG_WAITALL);
    pair.Put("ab");
    ASSERT_NO_FATAL_FAILURE(Begin(request, op));
    EXPECT_TRUE(Waits(request));
    pair.Put("cd");
    EXPECT_TRUE(Waits(request));
    pair.Put("efgh");
    EXPECT_EQ(End(request), 6);
    EXPECT_STREQ(in, "abcdef");
    ASSERT_NO_FATAL_FAILURE(Begin(request, op)); /* two bytes are there */
    EXPECT_TRUE(Waits(request));
    e.Cancel(request);
    EXPECT_EQ(End(request), 2);
    ASSERT_NO_FATAL_FAILURE(Begin(request, op));
    pair.Put("xyz");
    EXPECT_TRUE(Waits(request));
    pair.Close(1);
    EXPECT_EQ(End(request), 3);
}

TEST_P(EngineSockets, DatagramsComeOneByOneHoweverSmall)
{
    for (int type : {int{SOCK_DGRAM}, int{SOCK_SEQPACKET}}) {
        SocketPair pair(type);
        char in[64] = {};
        Request request;
        ASSERT_NO_FATAL_FAILURE(Begin(request, MakeTransfer(SKUA_OP_RECV, pair.fds[0], in, 64)));
        e.Poll(0);
        for (const char *text : {"one", "three", "", "four"})
            pair.Put(text);
        EXPECT_EQ(End(request), 3);
        int flags = type == SOCK_DGRAM ? MSG_WAITALL : 0; /* which means nothing there */
        EXPECT_EQ(e.Run(MakeTransfer(SKUA_OP_RECV, pair.fds[0], in, 64, flags)), 5);
        EXPECT_EQ(e.Run(MakeTransfer(SKUA_OP_RECV, pair.fds[0], in, 64)), 0);
        EXPECT_EQ(e.Run(MakeTransfer(SKUA_OP_RECV, pair.fds[0], in, 64)), 4);
    }
}

TEST_P(EngineSockets, MessagesGatherAndScatter)
{
    SocketPair pair;
    char first[] = "abc";
    char second[] = "defg";
    iovec out[2] = {{first, 3}, {second, 4}};
    msghdr message{};
    message.msg_iov = out;
    message.msg_iovlen = 2;
    EXPECT_EQ(e.Run(MakeTransfer(SKUA_OP_SENDMSG, pair.fds[0], &message, 1)), 7);
    char back[8] = {};
    iovec in[2] = {{back, 5}, {back + 5, 2}};
    message.msg_iov = in;
    EXPECT_EQ(e.Run(MakeTransfer(SKUA_OP_RECVMSG, pair.fds[1], &message, 1)), 7);
    EXPECT_STREQ(back, "abcdefg");
}

/* ---- connections ---- */

TEST_P(EngineSockets, AcceptGivesAConnectionAndItsAddress)
{
    Listener listener;
    sockaddr_in peer{};
    socklen_t size = sizeof(peer);
    skua_op op = MakeOp(SKUA_OP_ACCEPT, listener.fd);
    op.addr = &peer;
    op.addr2 = &size;
    op.flags = SOCK_NONBLOCK;
    for (bool accept_first : {true, false}) {
        Request accepting;
        Request connecting;
        size = sizeof(peer);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (accept_first) {
            ASSERT_NO_FATAL_FAILURE(Begin(accepting, op));
            EXPECT_TRUE(Waits(accepting));
        }
        ASSERT_NO_FATAL_FAILURE(
            Begin(connecting, MakeConnect(fd, &listener.address, sizeof(listener.address))));
        EXPECT_EQ(End(connecting), 0);
        if (!accept_first) {
            ASSERT_NO_FATAL_FAILURE(Begin(accepting, op));
        }
        int accepted = static_cast<int>(End(accepting));
        ASSERT_GE(accepted, 0);
        EXPECT_EQ(fcntl(accepted, F_GETFD), FD_CLOEXEC);
        EXPECT_TRUE(fcntl(accepted, F_GETFL) & O_NONBLOCK);
        EXPECT_FALSE(fcntl(fd, F_GETFL) & O_NONBLOCK); /* as it was */
        EXPECT_EQ(peer.sin_family, AF_INET);
        EXPECT_EQ(size, sizeof(peer));
        char byte = 'x';
        EXPECT_EQ(e.Run(MakeTransfer(SKUA_OP_SEND, fd, &byte, 1)), 1);
        EXPECT_EQ(e.Run(MakeTransfer(SKUA_OP_RECV, accepted, &byte, 1)), 1);
        EXPECT_EQ(e.Run(MakeOp(SKUA_OP_CLOSE, accepted)), 0);
        EXPECT_EQ(e.Run(MakeOp(SKUA_OP_CLOSE, fd)), 0);
    }
}

TEST_P(EngineSockets, SeveralAcceptersOfOneListenerEachGetAConnection)
{
    Listener listener;
    std::array<Request, 4> accepters;
    std::array<int, 4> clients;
    for (Request &accepter : accepters)
        ASSERT_NO_FATAL_FAILURE(Begin(accepter, MakeOp(SKUA_OP_ACCEPT, listener.fd)));
    e.Poll(0);
    for (int &client : clients) {
        client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ASSERT_EQ(connect(client, reinterpret_cast<sockaddr *>(&listener.address),
                          sizeof(listener.address)),
                  0);
    }
    ASSERT_TRUE(e.PollUntil([&] { return e.Counts().in_flight == 0; }));
    for (Request &accepter : accepters) {
        EXPECT_EQ(accepter.completions, 1);
        EXPECT_GE(accepter.op.result, 0);
        close(static_cast<int>(accepter.op.result));
    }
    for (int client : clients)
        close(client);
}

TEST_P(EngineSockets, AConnectThatIsRefusedSaysSo)
{
    Listener listener;
    close(listener.fd); /* nobody listens at its address any more */
    listener.fd = -1;
    for (int flags : {0, int{SOCK_NONBLOCK}}) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
        EXPECT_EQ(e.Run(MakeConnect(fd, &listener.address, sizeof(listener.address))),
                  -ECONNREFUSED);
        close(fd);
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un nowhere{};
    nowhere.sun_family = AF_UNIX;
    strcpy(nowhere.sun_path, "/nonexistent/skua");
    EXPECT_EQ(e.Run(MakeConnect(fd, &nowhere, sizeof(nowhere))), -ENOENT);
    close(fd);
}

/* A listening Unix socket without room for another connection. */
class FullBacklog
{
  public:
    sockaddr_un address{};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    FullBacklog()
    {
        socklen_t size = sizeof(sa_family_t); /* the kernel chooses an abstract name */
        address.sun_family = AF_UNIX;
        EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr *>(&address), size), 0);
        size = sizeof(address);
        EXPECT_EQ(getsockname(fd, reinterpret_cast<sockaddr *>(&address), &size), 0);
        size_ = size;
        EXPECT_EQ(listen(fd, 0), 0);
        for (;;) {
            int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
            waiting_.push_back(client);
            if (connect(client, reinterpret_cast<sockaddr *>(&address), size) != 0)
                break;
        }
        EXPECT_EQ(errno, EAGAIN);
    }
    FullBacklog(const FullBacklog &) = delete;
    FullBacklog &operator=(const FullBacklog &) = delete;
    ~FullBacklog()
    {
        for (int client : waiting_)
            close(client);
        close(fd);
    }
    size_t size() const
    {
        return size_;
    }

  private:
    size_t size_ = 0;
    std::vector<int> waiting_;
};

TEST_P(EngineSockets, AConnectWaitsForRoomInTheBacklog)
{
    FullBacklog backlog;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    Request request;
    ASSERT_NO_FATAL_FAILURE(Begin(request, MakeConnect(fd, &backlog.address, backlog.size())));
    EXPECT_TRUE(Waits(request));
    int accepted = accept(backlog.fd, nullptr, nullptr);
    EXPECT_EQ(End(request), 0);
    close(accepted);
    close(fd);
}

/* ---- readiness ---- */

TEST_P(EngineSockets, PollAndReceiveOnOneSocketBothEnd)
{
    SocketPair pair;
    char in;
    Request polling;
    Request polling_out;
    Request receiving;
    ASSERT_NO_FATAL_FAILURE(Begin(receiving, MakeTransfer(SKUA_OP_RECV, pair.fds[0], &in, 1)));
    ASSERT_NO_FATAL_FAILURE(Begin(polling, MakePoll(pair.fds[0], POLLIN | POLLPRI)));
    ASSERT_NO_FATAL_FAILURE(Begin(polling_out, MakePoll(pair.fds[0], POLLOUT)));
    EXPECT_EQ(End(polling_out), POLLOUT);
    EXPECT_TRUE(Waits(polling));
    EXPECT_TRUE(Waits(receiving));
    pair.Put("xy");
    EXPECT_EQ(End(receiving), 1);
    EXPECT_EQ(End(polling) & ~POLLPRI, POLLIN); /* the kernel's ring adds POLLPRI */
}

TEST_P(EngineSockets, PollTellsOfAnEndThoughNotAsked)
{
    Pipe pipe;
    Request request;
    ASSERT_NO_FATAL_FAILURE(Begin(request, MakePoll(pipe.in(), 0)));
    EXPECT_TRUE(Waits(request));
    close(pipe.fds[1]);
    EXPECT_EQ(End(request), POLLHUP);
    pipe.fds[1] = -1;
}

TEST_P(EngineSockets, SpliceBetweenPipesWaitsForEitherEnd)
{
    Pipe from;
    Pipe to;
    Request request;
    ASSERT_NO_FATAL_FAILURE(Begin(request, MakeSplice(from.in(), to.fds[1], 4)));
    EXPECT_TRUE(Waits(request));
    from.Put('a');
    EXPECT_EQ(End(request), 1);
    std::vector<char> memory(1 << 16);
    EXPECT_EQ(fcntl(to.fds[1], F_SETFL, O_NONBLOCK), 0);
    while (write(to.fds[1], memory.data(), memory.size()) > 0)
        ;
    EXPECT_EQ(fcntl(to.fds[1], F_SETFL, 0), 0);
    from.Put('b');
    ASSERT_NO_FATAL_FAILURE(Begin(request, MakeSplice(from.in(), to.fds[1], 4)));
    EXPECT_TRUE(Waits(request));
    EXPECT_GT(read(to.in(), memory.data(), memory.size()), 0);
    EXPECT_EQ(End(request), 1);
    skua_op no_wait = MakeSplice(from.in(), to.fds[1], 4);
    no_wait.flags = SPLICE_F_NONBLOCK;
    EXPECT_EQ(e.Run(no_wait), -EAGAIN);
}

/* ---- cancel ---- */

TEST_P(EngineSockets, CancelEndsEveryKindOfWait)
{
    SocketPair pair;
    SocketPair full;
    Listener listener;
    Pipe empty;
    Pipe other;
    char byte = 0;
    full.Fill(0);
    ExpectCancelWorks(MakeTransfer(SKUA_OP_RECV, pair.fds[0], &byte, 1));
    ExpectCancelWorks(MakeTransfer(SKUA_OP_SEND, full.fds[0], &byte, 1));
    ExpectCancelWorks(MakeOp(SKUA_OP_ACCEPT, listener.fd));
    ExpectCancelWorks(MakeRw(SKUA_OP_READ, empty.in(), &byte, 1));
    ExpectCancelWorks(MakePoll(empty.in(), POLLIN));
    ExpectCancelWorks(MakeSplice(empty.in(), other.fds[1], 1));
    pair.Put("z"); /* nothing has been taken, nothing is lost */
    EXPECT_EQ(e.Run(MakeTransfer(SKUA_OP_RECV, pair.fds[0], &byte, 1)), 1);
    EXPECT_EQ(byte, 'z');
}

TEST_P(EngineSockets, CancelOfOneWaitLeavesTheOthersOfItsSocket)
{
    SocketPair pair;
    std::array<Request, 3> requests;
    std::array<char, 3> bytes{};
    for (size_t gone = 0; gone < requests.size(); gone++) {
        for (bool told : {false, true}) {
            for (size_t i = 0; i < requests.size(); i++)
                ASSERT_NO_FATAL_FAILURE(
                    Begin(requests[i], MakeTransfer(SKUA_OP_RECV, pair.fds[0], &bytes[i], 1)));
            if (told)
                e.Poll(0);
            e.Cancel(requests[gone]);
            EXPECT_EQ(End(requests[gone]), -ECANCELED);
            pair.Put("ab");
            for (size_t i = 0; i < requests.size(); i++)
                EXPECT_EQ(End(requests[i]), i == gone ? -ECANCELED : 1);
        }
    }
}

/* ---- descriptors that are used again ---- */

TEST_P(EngineSockets, ANumberThatIsUsedAgainIsTheNewSocket)
{
    char byte;
    Request request;
    int number = -1;
    for (int round = 0; round < 300; round++) {
        SocketPair pair;
        if (number < 0)
            number = pair.fds[0];
        ASSERT_EQ(pair.fds[0], number);
        ASSERT_NO_FATAL_FAILURE(Begin(request, MakeTransfer(SKUA_OP_RECV, number, &byte, 1)));
        ASSERT_TRUE(Waits(request));
        if (round % 4 == 3) {
            e.Cancel(request);
            ASSERT_EQ(End(request), -ECANCELED);
        } else {
            pair.Put("x");
            ASSERT_EQ(End(request), 1) << "round " << round;
        }
        if (round % 2 == 1) { /* otherwise behind the engine's back */
            ASSERT_EQ(e.Run(MakeOp(SKUA_OP_CLOSE, pair.fds[0])), 0);
            pair.fds[0] = -1;
        }
    }
}

/* The old socket lives on under another number, and so does what the kernel knows of it. */
TEST_P(EngineSockets, NewsOfAnOldSocketDoNotReachANewOneOfItsNumber)
{
    char byte;
    Request request;
    SocketPair old;
    ASSERT_NO_FATAL_FAILURE(Begin(request, MakeTransfer(SKUA_OP_RECV, old.fds[0], &byte, 1)));
    ASSERT_TRUE(Waits(request));
    e.Cancel(request);
    ASSERT_EQ(End(request), -ECANCELED);
    int kept = fcntl(old.fds[0], F_DUPFD_CLOEXEC, 100);
    ASSERT_GE(kept, 100);
    SocketPair fresh;
    ASSERT_EQ(dup3(fresh.fds[0], old.fds[0], O_CLOEXEC), old.fds[0]);
    ASSERT_NO_FATAL_FAILURE(Begin(request, MakePoll(old.fds[0], POLLIN)));
    ASSERT_TRUE(Waits(request));
    old.Put("x");
    EXPECT_TRUE(Waits(request));
    fresh.Put("y");
    EXPECT_EQ(End(request), POLLIN);
    EXPECT_EQ(recv(old.fds[0], &byte, 1, MSG_DONTWAIT), 1);
    EXPECT_EQ(byte, 'y');
    close(kept);
}

/* Closed and opened again, and what the kernel knows of the pair has outlived that. */
TEST_P(EngineSockets, ASocketThatComesBackToItsNumberIsServed)
{
    char byte;
    Request request;
    SocketPair pair;
    for (int round = 0; round < 2; round++) {
        ASSERT_NO_FATAL_FAILURE(Begin(request, MakeTransfer(SKUA_OP_RECV, pair.fds[0], &byte, 1)));
        ASSERT_TRUE(Waits(request));
        pair.Put("x");
        EXPECT_EQ(End(request), 1);
        int kept = fcntl(pair.fds[0], F_DUPFD_CLOEXEC, 100);
        ASSERT_EQ(e.Run(MakeOp(SKUA_OP_CLOSE, pair.fds[0])), 0);
        ASSERT_EQ(dup3(kept, pair.fds[0], O_CLOEXEC), pair.fds[0]);
        close(kept);
    }
}

TEST_P(EngineSockets, BadDescriptorsAndOtherFilesGiveTheirErrors)
{
    char byte = 0;
    Pipe pipe;
    Listener listener;
    int closed = dup(pipe.in());
    close(closed);
    for (int fd : {-1, closed}) {
        for (skua_op_code code : {SKUA_OP_RECV, SKUA_OP_SEND, SKUA_OP_READ, SKUA_OP_WRITE})
            EXPECT_EQ(e.Run(MakeTransfer(code, fd, &byte, 1)), -EBADF) << code;
        for (skua_op_code code : {SKUA_OP_ACCEPT, SKUA_OP_SHUTDOWN, SKUA_OP_CLOSE, SKUA_OP_POLL})
            EXPECT_EQ(e.Run(MakeOp(code, fd)), -EBADF) << code;
        EXPECT_EQ(e.Run(MakeConnect(fd, &listener.address, sizeof(listener.address))), -EBADF);
        EXPECT_EQ(e.Run(MakeSplice(fd, pipe.fds[1], 1)), -EBADF);
    }
    EXPECT_EQ(e.Run(MakeTransfer(SKUA_OP_RECV, pipe.in(), &byte, 1)), -ENOTSOCK);
    EXPECT_EQ(e.Run(MakeTransfer(SKUA_OP_SEND, pipe.in(), &byte, 1)), -ENOTSOCK);
    EXPECT_EQ(e.Run(MakeOp(SKUA_OP_ACCEPT, pipe.in())), -ENOTSOCK);
    EXPECT_EQ(e.Run(MakeOp(SKUA_OP_SHUTDOWN, pipe.in())), -ENOTSOCK);
    EXPECT_EQ(e.Run(MakeConnect(pipe.in(), &listener.address, sizeof(listener.address))),
              -ENOTSOCK);
    SocketPair pair;
    EXPECT_EQ(e.Run(MakeOp(SKUA_OP_ACCEPT, pair.fds[0])), -EINVAL);
    EXPECT_FALSE(fcntl(pair.fds[0], F_GETFL) & O_NONBLOCK);
}

#endif /* SKUA_TESTS_ENGINE_SOCKETS_H */
