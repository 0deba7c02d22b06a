/*
 * unit/engine/epoll_test.cc - the epoll engine: conformance in every mode, and what is its own.
 */
#include "unit/engine/engine_conformance.h"
#include "unit/engine/engine_sockets.h"

#include "support/child.h"

#include <csignal>
#include <deque>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

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

INSTANTIATE_TEST_SUITE_P(Engines, EngineConformance, ::testing::ValuesIn(kEngines), NameOf);
INSTANTIATE_TEST_SUITE_P(Engines, EngineSockets, ::testing::ValuesIn(kEngines), NameOf);

class Epoll : public EngineSockets
{
  protected:
    std::string Describe()
    {
        char text[600];
        engine_shim_describe(e.get(), text, sizeof(text));
        return text;
    }

    uint64_t Enters()
    {
        return e.Counts().enters_total;
    }

    /* System calls while the owner waits for ten milliseconds, in which nothing completes. */
    uint64_t EntersOfAWait()
    {
        e.Poll(0);
        uint64_t before = Enters();
        uint64_t deadline_ns = e.Now() + 10 * SKUA_NS_PER_MS;
        while (e.Now() < deadline_ns)
            EXPECT_EQ(engine_shim_poll(e.get(), deadline_ns), 0u);
        return Enters() - before;
    }
};

INSTANTIATE_TEST_SUITE_P(Best, Epoll, ::testing::Values(kEngines[0]), NameOf);

/* ---- modes ---- */

TEST_P(Epoll, EachModeDescribesItself)
{
    EXPECT_EQ(Describe(), "pwait2 nowait");
    e.Destroy();
    ASSERT_EQ(e.Create(kEngines[1], 0, 0), 0);
    EXPECT_EQ(Describe(), "(timeouts in ms) nowait");
    e.Destroy();
    ASSERT_EQ(e.Create(kEngines[2], 0, 0), 0);
    EXPECT_EQ(Describe(), "(timeouts in ms) (no RWF_NOWAIT)");
}

/* ---- system calls ---- */

TEST_P(Epoll, WhatCanBeDoneAtOnceNeedsNoEpollCall)
{
    SocketPair pair;
    char in[4];
    char out = 'x';
    uint64_t before = Enters();
    pair.Put("abc");
    EXPECT_EQ(e.Run(MakeTransfer(SKUA_OP_RECV, pair.fds[0], in, 4)), 3);
    EXPECT_EQ(e.Run(MakeTransfer(SKUA_OP_SEND, pair.fds[0], &out, 1)), 1);
    e.Poll(0);
    e.Poll(SKUA_NS_PER_US); /* nothing waits: this sleeps on a futex */
    EXPECT_EQ(Enters(), before);
}

TEST_P(Epoll, AnAnswerCostsOneEpollCtlAndOneEpollWait)
{
    SocketPair pair;
    char in[16];
    char out[] = "answer";
    uint64_t before = 0;
    for (int round = 0; round < 102; round++) {
        if (round == 2)
            before = Enters();
        Request request;
        ASSERT_NO_FATAL_FAILURE(Begin(request, MakeTransfer(SKUA_OP_RECV, pair.fds[0], in, 16)));
        pair.Put("question");
        e.Poll(kWaitMaxNs);
        ASSERT_EQ(request.completions, 1);
        ASSERT_EQ(e.Run(MakeTransfer(SKUA_OP_SEND, pair.fds[0], out, 6)), 6);
    }
    EXPECT_EQ(Enters() - before, 200u);
}

/* Seen where the guess is wrong: data that has come already costs a look at epoll. */
TEST_P(Epoll, AfterAShortReceiveFromAStreamTheNextOneIsNotTried)
{
    for (int type : {int{SOCK_STREAM}, int{SOCK_DGRAM}}) {
        for (skua_op_code code : {SKUA_OP_RECV, SKUA_OP_READ}) {
            SocketPair pair(type);
            char in[16];
            Request request;
            ASSERT_NO_FATAL_FAILURE(Begin(request, MakeTransfer(code, pair.fds[0], in, 16)));
            EXPECT_TRUE(Waits(request));
            pair.Put("abc");
            EXPECT_EQ(End(request), 3);
            uint64_t before = Enters();
            pair.Put("de");
            EXPECT_EQ(e.Run(MakeTransfer(code, pair.fds[0], in, 16)), 2);
            EXPECT_EQ(Enters() - before, type == SOCK_STREAM ? 2u : 0u);
        }
    }
}

TEST_P(Epoll, WaitsThatComeTogetherAreToldTogether)
{
    SocketPair pair;
    std::array<Request, 5> requests;
    std::array<char, 5> bytes{};
    for (size_t i = 0; i < requests.size(); i++)
        ASSERT_NO_FATAL_FAILURE(
            Begin(requests[i], MakeTransfer(SKUA_OP_RECV, pair.fds[0], &bytes[i], 1)));
    uint64_t before = Enters();
    e.Poll(0);
    EXPECT_EQ(Enters() - before, 2u);
    e.Poll(0);
    EXPECT_EQ(Enters() - before, 3u); /* nothing new to tell */
    pair.Put("abcde");
    ASSERT_TRUE(e.PollUntil([&] { return e.Counts().in_flight == 0; }));
    EXPECT_EQ(Enters() - before, 4u);
}

TEST_P(Epoll, LeavesTheFlagsOfDescriptorsButThoseOfListeners)
{
    Listener listener;
    SocketPair pair;
    Pipe pipe;
    char byte;
    Request requests[3];
    ASSERT_NO_FATAL_FAILURE(Begin(requests[0], MakeOp(SKUA_OP_ACCEPT, listener.fd)));
    ASSERT_NO_FATAL_FAILURE(Begin(requests[1], MakeTransfer(SKUA_OP_RECV, pair.fds[0], &byte, 1)));
    ASSERT_NO_FATAL_FAILURE(Begin(requests[2], MakeRw(SKUA_OP_READ, pipe.in(), &byte, 1)));
    EXPECT_TRUE(fcntl(listener.fd, F_GETFL) & O_NONBLOCK);
    EXPECT_FALSE(fcntl(pair.fds[0], F_GETFL) & O_NONBLOCK);
    EXPECT_FALSE(fcntl(pipe.in(), F_GETFL) & O_NONBLOCK);
    for (Request &request : requests) {
        e.Cancel(request);
        EXPECT_EQ(End(request), -ECANCELED);
    }
}

TEST_P(Epoll, LeavesErrnoAsItWas)
{
    Pipe pipe;
    char byte;
    Request request;
    errno = 12345;
    request.op = MakeRw(SKUA_OP_READ, -1, &byte, 1);
    EXPECT_EQ(e.Submit(request), 0);
    EXPECT_EQ(errno, 12345);
    EXPECT_EQ(End(request), -EBADF);
    errno = 12345;
    ASSERT_NO_FATAL_FAILURE(Begin(request, MakeRw(SKUA_OP_READ, pipe.in(), &byte, 1)));
    e.Poll(0);
    e.Poll(SKUA_NS_PER_US);
    EXPECT_EQ(errno, 12345);
    e.Cancel(request);
    EXPECT_EQ(End(request), -ECANCELED);
}

/* ---- order ---- */

TEST_P(Epoll, WaitsOfOneKindAreServedInOrderAndNobodyOvertakes)
{
    for (bool told : {false, true}) {
        SocketPair pair;
        std::deque<Request> requests(4);
        std::array<char, 4> bytes{};
        auto begin = [&](size_t i) {
            requests[i].completions = 0;
            Begin(requests[i], MakeTransfer(SKUA_OP_RECV, pair.fds[0], &bytes[i], 1));
        };
        begin(0);
        begin(1);
        begin(2);
        if (told)
            e.Poll(0);
        pair.Put("ab");
        begin(3); /* there is data for it, but others were here before */
        EXPECT_EQ(End(requests[0]), 1);
        EXPECT_EQ(End(requests[1]), 1);
        EXPECT_TRUE(Waits(requests[2]));
        EXPECT_TRUE(Waits(requests[3]));
        pair.Put("c");
        EXPECT_EQ(End(requests[2]), 1);
        EXPECT_TRUE(Waits(requests[3]));
        pair.Put("d");
        EXPECT_EQ(End(requests[3]), 1);
        EXPECT_EQ(std::string(bytes.begin(), bytes.end()), "abcd");
    }
}

TEST_P(Epoll, AnOpThatWaitsIsSeenThoughOthersAreDoneAtOnceAllTheTime)
{
    Pipe pipe;
    char byte;
    Request waiting;
    Request busy;
    busy.op = MakeOp(SKUA_OP_NOP);
    busy.then = [&](Request &r) {
        if (waiting.completions == 0 && r.completions < 1000)
            e.Submit(r);
    };
    ASSERT_NO_FATAL_FAILURE(Begin(waiting, MakeRw(SKUA_OP_READ, pipe.in(), &byte, 1)));
    ASSERT_EQ(e.Submit(busy), 0);
    e.Poll(0);
    pipe.Put('x');
    ASSERT_TRUE(e.PollUntil([&] { return waiting.completions > 0; }));
    EXPECT_LT(busy.completions, 10);
    ASSERT_TRUE(e.PollUntil([&] { return e.Counts().in_flight == 0; }));
}

/* More are over all the time than a poll may complete. */
TEST_P(Epoll, AnOpThatWaitsIsSeenThoughPollsCannotKeepUp)
{
    SocketPair pair;
    char byte;
    Request waiting;
    ASSERT_NO_FATAL_FAILURE(Begin(waiting, MakeTransfer(SKUA_OP_RECV, pair.fds[0], &byte, 1)));
    EXPECT_TRUE(Waits(waiting));
    engine_shim_batch(e.get(), 2);
    pair.Put("x");
    std::deque<Request> others;
    for (int polls = 0; polls < 50; polls++) {
        for (int i = 0; i < 3; i++)
            ASSERT_NO_FATAL_FAILURE(Begin(others.emplace_back(), MakeOp(SKUA_OP_NOP)));
        e.Poll(0);
    }
    EXPECT_EQ(waiting.completions, 1);
    engine_shim_batch(e.get(), 0);
    EXPECT_TRUE(e.PollUntil([&] { return e.Counts().in_flight == 0; }));
}

TEST_P(Epoll, OnePollCompletesWhatWasOverWhenItBegan)
{
    Request request;
    request.op = MakeOp(SKUA_OP_NOP);
    request.then = [&](Request &r) {
        if (r.completions < 3)
            e.Submit(r);
    };
    ASSERT_EQ(e.Submit(request), 0);
    for (int i = 1; i <= 3; i++) {
        EXPECT_EQ(e.Poll(0), 1u);
        EXPECT_EQ(request.completions, i);
    }
    EXPECT_EQ(e.Poll(0), 0u);
}

/* The socket polls writable all the time: it is the addressee that has no room. */
TEST_P(Epoll, ADatagramToAFullQueueWaits)
{
    std::string name = ::testing::TempDir() + "skua-dgram-" + std::to_string(getpid());
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    ASSERT_LT(name.size(), sizeof(address.sun_path));
    memcpy(address.sun_path, name.c_str(), name.size() + 1);
    int to = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int from = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ASSERT_EQ(bind(to, reinterpret_cast<sockaddr *>(&address), sizeof(address)), 0);
    char out = 'x';
    iovec part = {&out, 1};
    msghdr message{};
    message.msg_name = &address;
    message.msg_namelen = sizeof(address);
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    while (sendmsg(from, &message, MSG_DONTWAIT) == 1)
        ;
    ASSERT_EQ(errno, EAGAIN);
    skua_op op = MakeTransfer(SKUA_OP_SENDMSG, from, &message, 1);
    Request request;
    ASSERT_NO_FATAL_FAILURE(Begin(request, op));
    EXPECT_TRUE(Waits(request));
    EXPECT_LT(EntersOfAWait(), 50u); /* it looks again now and then, not all the time */
    EXPECT_EQ(recv(to, &out, 1, MSG_DONTWAIT), 1);
    EXPECT_EQ(End(request), 1);
    ExpectCancelWorks(op);
    unlink(name.c_str());
    close(to);
    close(from);
}

TEST_P(Epoll, ASpliceSleepsUntilThereIsRoom)
{
    Pipe from;
    Pipe to;
    char byte = 'x';
    std::vector<char> memory(4096);
    ASSERT_EQ(fcntl(to.fds[1], F_SETPIPE_SZ, 4096), 4096);
    ASSERT_EQ(write(to.fds[1], memory.data(), memory.size()), 4096);
    from.Put(byte);
    Request request;
    ASSERT_NO_FATAL_FAILURE(Begin(request, MakeSplice(from.in(), to.fds[1], 1)));
    EXPECT_LT(EntersOfAWait(), 4u);
    EXPECT_EQ(read(to.in(), memory.data(), memory.size()), 4096);
    EXPECT_EQ(End(request), 1);
}

/* The kernel's ring cannot end these two waits, so this is no part of EngineSockets. */
TEST_P(Epoll, AConnectThatWaitsForTheBacklogCanBeCancelled)
{
    FullBacklog backlog;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ExpectCancelWorks(MakeConnect(fd, &backlog.address, backlog.size()));
    close(fd);
}

/* More descriptors than are kept together, and more events than are taken at once. */
TEST_P(Epoll, ManyDescriptorsAreServed)
{
    std::deque<Pipe> pipes(300);
    std::vector<Request> requests(pipes.size());
    std::vector<char> bytes(pipes.size());
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < pipes.size(); i++)
            ASSERT_NO_FATAL_FAILURE(
                Begin(requests[i], MakeRw(SKUA_OP_READ, pipes[i].in(), &bytes[i], 1)));
        e.Poll(0);
        for (Pipe &pipe : pipes)
            pipe.Put('x');
        ASSERT_TRUE(e.PollUntil([&] { return e.Counts().in_flight == 0; }));
        for (Request &request : requests)
            ASSERT_EQ(request.op.result, 1);
    }
}

/* ---- what it declines ---- */

TEST_P(Epoll, FilesAreDeclinedButForWhatThePageCacheHas)
{
    std::string name = ::testing::TempDir() + "skua-epoll-XXXXXX";
    int fd = mkstemp(name.data());
    ASSERT_GE(fd, 0);
    unlink(name.c_str());
    char text[] = "0123456789";
    char in[16] = {};
    ASSERT_EQ(pwrite(fd, text, 10, 0), 10);
    Request request;
    for (const skua_op &op :
         {MakeRw(SKUA_OP_READ, fd, in, 4), MakeRw(SKUA_OP_WRITE, fd, text, 4),
          MakeRw(SKUA_OP_WRITE, fd, text, 4, 0), MakeOp(SKUA_OP_FSYNC, fd),
          MakePath(SKUA_OP_OPENAT, AT_FDCWD, "/", O_RDONLY), MakeSplice(fd, 1, 1)}) {
        request.op = op;
        EXPECT_EQ(e.Submit(request), -ENOSYS) << int{op.code};
    }
    EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 0);
    EXPECT_EQ(e.Counts().in_flight, 0u);
    ASSERT_EQ(pread(fd, in, 10, 0), 10);
    request.op = MakeRw(SKUA_OP_READ, fd, in, 16, 3);
    int rc = e.Submit(request);
    EXPECT_TRUE(rc == 0 || rc == -ENOSYS) << rc; /* the file system may have no RWF_NOWAIT */
    if (rc == 0) {
        EXPECT_EQ(End(request), 7);
    }
    close(fd);
}

TEST_P(Epoll, CharacterDevicesAndEventfdsAreReadAndWritten)
{
    char in[4] = {1, 1, 1, 1};
    int zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
    EXPECT_EQ(e.Run(MakeRw(SKUA_OP_READ, zero, in, 4)), 4);
    EXPECT_EQ(in[3], 0);
    EXPECT_EQ(e.Run(MakeRw(SKUA_OP_WRITE, zero, in, 4)), 4);
    close(zero);
    uint64_t count = 0;
    int event = eventfd(0, EFD_CLOEXEC);
    Request request;
    ASSERT_NO_FATAL_FAILURE(Begin(request, MakeRw(SKUA_OP_READ, event, &count, 8)));
    EXPECT_TRUE(Waits(request));
    uint64_t add = 5;
    EXPECT_EQ(e.Run(MakeRw(SKUA_OP_WRITE, event, &add, 8)), 8);
    EXPECT_EQ(End(request), 8);
    EXPECT_EQ(count, 5u);
    close(event);
}

/* ---- what the kernel forgets, and refuses ---- */

TEST_P(Epoll, AnOpOnADescriptorThatWasClosedIsOverWhenCancelled)
{
    SocketPair pair;
    char byte;
    Request request;
    ASSERT_NO_FATAL_FAILURE(Begin(request, MakeTransfer(SKUA_OP_RECV, pair.fds[0], &byte, 1)));
    EXPECT_TRUE(Waits(request));
    EXPECT_EQ(e.Run(MakeOp(SKUA_OP_CLOSE, pair.fds[0])), 0);
    pair.fds[0] = -1;
    EXPECT_TRUE(Waits(request));
    e.Cancel(request);
    EXPECT_EQ(End(request), -ECANCELED);
}

TEST_P(Epoll, AnOpWhoseDescriptorIsClosedBeforeThePollGetsEbadf)
{
    SocketPair pair;
    char byte;
    Request requests[2];
    for (Request &request : requests)
        ASSERT_NO_FATAL_FAILURE(Begin(request, MakeTransfer(SKUA_OP_RECV, pair.fds[0], &byte, 1)));
    pair.Close(0);
    for (Request &request : requests)
        EXPECT_EQ(End(request), -EBADF);
}

/* What was left out for a stream that was drained must not be what the file's reader waits for. */
TEST_P(Epoll, AFileThatTakesTheNumberOfADrainedPipeIsRead)
{
    char in[16] = {};
    Pipe pipe;
    Request request;
    ASSERT_NO_FATAL_FAILURE(Begin(request, MakeRw(SKUA_OP_READ, pipe.in(), in, 16)));
    EXPECT_TRUE(Waits(request));
    pipe.Put('x');
    EXPECT_EQ(End(request), 1);
    int file = open("/proc/self/comm", O_RDONLY | O_CLOEXEC);
    ASSERT_EQ(dup3(file, pipe.in(), O_CLOEXEC), pipe.in());
    close(file);
    EXPECT_GT(e.Run(MakeRw(SKUA_OP_READ, pipe.in(), in, 16, 0)), 0);
    EXPECT_EQ(e.Run(MakeTransfer(SKUA_OP_RECV, pipe.in(), in, 16)), -ENOTSOCK);
}

/* ---- another thread does the owner's work ---- */

/* Runs on a thread of its own while the owner waits for it. */
template <typename Body> void OnAnotherThread(Body body)
{
    std::thread(body).join();
}

TEST(EpollRescue, AnotherThreadArmsCompletesAndCancels)
{
    skua_engine *engine = nullptr;
    ASSERT_EQ(engine_shim_create_shared(engine_shim_epoll(), &engine), 0);
    Pipe pipe;
    char byte = 0;
    Request request;
    for (bool armed : {false, true}) {
        request.completions = 0;
        request.op = MakeRw(SKUA_OP_READ, pipe.in(), &byte, 1);
        ASSERT_EQ(engine_shim_submit(engine, &request.op, OnComplete, request.waiter), 0);
        if (armed)
            engine_shim_poll(engine, 0);
        OnAnotherThread([&] { EXPECT_EQ(engine_shim_rescue(engine), 0u); });
        pipe.Put('x');
        OnAnotherThread([&] { EXPECT_EQ(engine_shim_rescue(engine), 1u); });
        EXPECT_EQ(request.completions, 1);
        EXPECT_EQ(request.op.result, 1);
    }
    ASSERT_EQ(engine_shim_submit(engine, &request.op, OnComplete, request.waiter), 0);
    OnAnotherThread([&] {
        engine_shim_cancel(engine, &request.op);
        EXPECT_EQ(engine_shim_rescue(engine), 1u);
    });
    EXPECT_EQ(request.op.result, -ECANCELED);
    engine_shim_destroy(engine);
}

TEST_P(Epoll, WhatIsNotSharedIsNotRescued)
{
    Request request;
    ASSERT_NO_FATAL_FAILURE(Begin(request, MakeOp(SKUA_OP_NOP)));
    OnAnotherThread([&] { EXPECT_EQ(engine_shim_rescue(e.get()), 0u); });
    EXPECT_EQ(End(request), 0);
}

TEST_P(Epoll, ASignalEndsAWait)
{
    struct sigaction action = {};
    struct sigaction old;
    action.sa_handler = [](int) {};
    ASSERT_EQ(sigaction(SIGUSR1, &action, &old), 0);
    Pipe pipe;
    char byte;
    Request blocked;
    ASSERT_NO_FATAL_FAILURE(Begin(blocked, MakeRw(SKUA_OP_READ, pipe.in(), &byte, 1)));
    pthread_t owner = pthread_self();
    std::atomic<bool> awake{false};
    std::thread sender([&] {
        while (!awake.load(std::memory_order_relaxed)) {
            pthread_kill(owner, SIGUSR1);
            std::this_thread::yield();
        }
    });
    uint64_t start_ns = e.Now();
    EXPECT_EQ(e.Poll(kWaitMaxNs), 0u);
    EXPECT_LT(e.Now() - start_ns, kWaitMaxNs / 2);
    awake.store(true, std::memory_order_relaxed);
    sender.join();
    e.Cancel(blocked);
    EXPECT_EQ(End(blocked), -ECANCELED);
    ASSERT_EQ(sigaction(SIGUSR1, &old, nullptr), 0);
}

TEST_P(Epoll, TooFewDescriptorsGiveEmfileAndLeaveNone)
{
    for (unsigned spare : {0u, 1u}) {
        skua_test::ChildResult child = skua_test::run_child([spare] {
            int before = OpenDescriptors();
            int next = dup(0);
            close(next);
            rlimit limit = {};
            getrlimit(RLIMIT_NOFILE, &limit);
            rlim_t was = limit.rlim_cur;
            limit.rlim_cur = static_cast<rlim_t>(next) + spare;
            setrlimit(RLIMIT_NOFILE, &limit);
            skua_engine *engine = nullptr;
            int rc = engine_shim_create(engine_shim_epoll(), 8, 16, 0, &engine);
            limit.rlim_cur = was;
            return rc == -EMFILE && setrlimit(RLIMIT_NOFILE, &limit) == 0 &&
                           OpenDescriptors() == before
                       ? 0
                       : 1;
        });
        EXPECT_EQ(child.exit_code, 0) << spare << " spare";
    }
}

} // namespace
