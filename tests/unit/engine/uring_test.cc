/*
 * unit/engine/uring_test.cc - the io_uring engine: conformance in every ring mode, and what is its
 * own. The toy engine goes through the same conformance suite: what is tested is the contract.
 *
 * Kernels and limits that refuse are tried in a child process; a kernel that refuses enters is
 * support/uring_fault.c.
 */
#include "unit/engine/engine_conformance.h"
#include "unit/engine/engine_sockets.h"

#include "support/uring_fault.h"

#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <csignal>
#include <cstddef>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

namespace
{

const EngineParam kEngines[] = {
    {"UringBest", engine_shim_uring, 0},  {"UringCoopSingle", engine_shim_uring, 1},
    {"UringCoop", engine_shim_uring, 2},  {"UringPlainSubmitAll", engine_shim_uring, 3},
    {"UringPlain", engine_shim_uring, 4}, {"Toy", engine_shim_toy, 0},
};

INSTANTIATE_TEST_SUITE_P(Engines, EngineConformance, ::testing::ValuesIn(kEngines),
                         [](const auto &param) { return std::string(param.param.name); });

/* The toy engine knows nothing of sockets. */
INSTANTIATE_TEST_SUITE_P(Engines, EngineSockets,
                         ::testing::ValuesIn(kEngines, kEngines + std::size(kEngines) - 1),
                         [](const auto &param) { return std::string(param.param.name); });

class Uring : public ::testing::Test
{
  protected:
    int Create(unsigned entries = 8, unsigned cq_entries = 16, unsigned mode_skip = 0)
    {
        EngineParam param = {"uring", engine_shim_uring, mode_skip};
        return e.Create(param, entries, cq_entries);
    }

    std::string Describe()
    {
        char text[600];
        engine_shim_describe(e.get(), text, sizeof(text));
        return text;
    }

    void TearDown() override
    {
        uring_fault_submit_failures = 0;
        uring_fault_submit_max = 0;
        uring_fault_interrupts = 0;
    }

    TestedEngine e;
};

/* ---- modes ---- */

TEST_F(Uring, EachModeDescribesItselfAndItsSizes)
{
    for (unsigned skip = 0; skip <= 4; skip++) {
        ASSERT_EQ(Create(8, 32, skip), 0);
        std::string text = Describe();
        EXPECT_NE(text.find("sq=8 cq=32"), std::string::npos) << text;
        EXPECT_EQ(text.find("skipped") != std::string::npos, skip > 0) << text;
        EXPECT_EQ(skip > 0 && text.find("defer-taskrun") != std::string::npos, false) << text;
        e.Destroy();
    }
    ASSERT_EQ(Create(8, 32, 1000), 0); /* more than there are: the plainest */
    EXPECT_EQ(Describe().rfind("plain (", 0), 0u) << Describe();
}

TEST_F(Uring, ZeroConfigurationMeansDefaults)
{
    ASSERT_EQ(Create(0, 0), 0);
    EXPECT_NE(Describe().find("sq=256 cq=4096"), std::string::npos) << Describe();
}

TEST_F(Uring, SmallerCompletionQueueThanSubmissionQueueIsRaised)
{
    ASSERT_EQ(Create(16, 1), 0);
    EXPECT_NE(Describe().find("sq=16 cq=16"), std::string::npos) << Describe();
}

TEST_F(Uring, HugeQueuesAreClampedByTheKernel)
{
    ASSERT_EQ(Create(1u << 20, 1u << 21), 0);
    EXPECT_EQ(e.Run(MakeOp(SKUA_OP_NOP)), 0);
}

/* ---- system calls ---- */

TEST_F(Uring, IdlePollMakesNoSystemCall)
{
    ASSERT_EQ(Create(), 0);
    Pipe pipe;
    char byte;
    Request blocked;
    blocked.op = MakeRw(SKUA_OP_READ, pipe.in(), &byte, 1);
    ASSERT_EQ(e.Submit(blocked), 0);
    e.Poll(0);
    uint64_t before = e.Counts().enters_total;
    for (int i = 0; i < 100; i++)
        e.Poll(0);
    EXPECT_EQ(e.Counts().enters_total, before);
    pipe.Put('x');
    ASSERT_TRUE(e.PollUntil([&] { return blocked.completions > 0; }));
}

TEST_F(Uring, ABatchIsOneEnter)
{
    ASSERT_EQ(Create(64, 128), 0);
    std::vector<Request> requests(64);
    for (Request &request : requests) {
        request.op = MakeOp(SKUA_OP_NOP);
        ASSERT_EQ(e.Submit(request), 0);
    }
    EXPECT_EQ(e.Counts().enters_total, 0u);
    EXPECT_EQ(e.Poll(0), 64u);
    EXPECT_EQ(e.Counts().enters_total, 1u);
}

TEST_F(Uring, SleepingWithNothingInFlightDoesNotEnterTheRing)
{
    ASSERT_EQ(Create(), 0);
    e.Poll(SKUA_NS_PER_MS);
    EXPECT_EQ(e.Counts().enters_total, 0u);
}

TEST_F(Uring, ASignalEndsAWait)
{
    ASSERT_EQ(Create(), 0);
    struct sigaction action = {};
    struct sigaction old;
    action.sa_handler = [](int) {};
    ASSERT_EQ(sigaction(SIGUSR1, &action, &old), 0);
    for (bool in_flight : {false, true}) {
        Pipe pipe;
        char byte;
        Request blocked;
        blocked.op = MakeRw(SKUA_OP_READ, pipe.in(), &byte, 1);
        if (in_flight) {
            ASSERT_EQ(e.Submit(blocked), 0);
        }
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
        if (in_flight) {
            e.Cancel(blocked);
            ASSERT_TRUE(e.PollUntil([&] { return blocked.completions > 0; }));
        }
    }
    ASSERT_EQ(sigaction(SIGUSR1, &old, nullptr), 0);
}

/* ---- a kernel that refuses ---- */

TEST_F(Uring, AnInterruptedEnterReturnsZeroAndLosesNothing)
{
    ASSERT_EQ(Create(), 0);
    Request request;
    request.op = MakeOp(SKUA_OP_NOP);
    ASSERT_EQ(e.Submit(request), 0);
    uring_fault_interrupts = 1;
    EXPECT_EQ(e.Poll(kWaitMaxNs), 0u);
    EXPECT_GE(e.Counts().queued, 1u);
    EXPECT_EQ(e.Poll(kWaitMaxNs), 1u);
}

TEST_F(Uring, AShortSubmitIsGoneOnWith)
{
    ASSERT_EQ(Create(), 0);
    std::vector<Request> requests(100);
    uring_fault_submit_max = 1;
    for (Request &request : requests) {
        request.op = MakeOp(SKUA_OP_NOP);
        ASSERT_EQ(e.Submit(request), 0);
    }
    ASSERT_TRUE(e.PollUntil([&] { return e.Counts().in_flight == 0; }));
    for (Request &request : requests)
        EXPECT_EQ(request.completions, 1);
}

class UringRefused : public Uring
{
  protected:
    /* Two reads the kernel has, and a queue full of NOPs it does not take. */
    void Fill(int error)
    {
        ASSERT_EQ(Create(8, 16), 0);
        for (size_t i = 0; i < reads.size(); i++) {
            reads[i].op = MakeRw(SKUA_OP_READ, pipes[i].in(), &bytes[i], 1);
            ASSERT_EQ(e.Submit(reads[i]), 0);
        }
        e.Poll(0);
        uring_fault_submit_errno = error;
        uring_fault_submit_failures = UINT32_MAX;
        for (Request &nop : nops) {
            nop.op = MakeOp(SKUA_OP_NOP);
            ASSERT_EQ(e.Submit(nop), 0);
        }
        Request extra;
        extra.op = MakeOp(SKUA_OP_NOP);
        ASSERT_EQ(e.Submit(extra), -EAGAIN);
        ASSERT_EQ(e.Counts().queued, 8u);
        ASSERT_EQ(e.Counts().in_flight, 10u);
    }

    std::array<Pipe, 2> pipes;
    std::array<char, 2> bytes{};
    std::array<Request, 2> reads;
    std::array<Request, 8> nops;
};

TEST_F(UringRefused, CancelWaitsForRoomAndThenWorks)
{
    for (int error : {EAGAIN, EBUSY}) {
        for (Request &read : reads)
            read.completions = 0;
        ASSERT_NO_FATAL_FAILURE(Fill(error));
        e.Cancel(reads[0]);
        e.Cancel(reads[0]);
        e.Cancel(reads[1]);
        EXPECT_EQ(e.Counts().queued, 10u);
        EXPECT_EQ(e.Poll(0), 0u);
        uint64_t start_ns = e.Now();
        EXPECT_EQ(e.Poll(kWaitMaxNs), 0u); /* returns soon, to try again */
        EXPECT_LT(e.Now() - start_ns, kWaitMaxNs / 2);
        uring_fault_submit_failures = 0;
        ASSERT_TRUE(e.PollUntil([&] { return e.Counts().in_flight == 0; }));
        for (Request &read : reads) {
            EXPECT_EQ(read.completions, 1);
            EXPECT_EQ(read.op.result, -ECANCELED);
        }
        EXPECT_EQ(e.Counts().queued, 0u);
        e.Destroy();
    }
}

TEST_F(UringRefused, ACancelThatWaitsForRoomDoesNotHitTheNextUseOfTheOp)
{
    ASSERT_NO_FATAL_FAILURE(Fill(EAGAIN));
    e.Cancel(reads[0]);
    e.Cancel(reads[1]);
    pipes[1].Put('x'); /* completes while its cancel is still on the list */
    ASSERT_TRUE(e.PollUntil([&] { return reads[1].completions == 1; }));
    EXPECT_EQ(reads[1].op.result, 1);
    EXPECT_EQ(e.Counts().queued, 9u);
    uring_fault_submit_failures = 0;
    e.Poll(0);
    ASSERT_EQ(e.Submit(reads[1]), 0);
    ASSERT_TRUE(e.PollUntil([&] { return reads[0].completions == 1; }));
    EXPECT_EQ(reads[0].op.result, -ECANCELED);
    e.Poll(0);
    EXPECT_EQ(reads[1].completions, 1);
    pipes[1].Put('y');
    ASSERT_TRUE(e.PollUntil([&] { return reads[1].completions == 2; }));
    EXPECT_EQ(reads[1].op.result, 1);
    EXPECT_EQ(bytes[1], 'y');
}

TEST_F(UringRefused, CompletionsFoundBySubmitAreDeliveredByPollInOrder)
{
    ASSERT_NO_FATAL_FAILURE(Fill(EBUSY));
    pipes[0].Put('x');
    pipes[1].Put('y');
    Request extra;
    extra.op = MakeOp(SKUA_OP_NOP);
    ASSERT_EQ(e.Submit(extra), -EAGAIN); /* reaps both, completes none */
    e.Cancel(reads[0]);                  /* over already: changes nothing */
    EXPECT_EQ(reads[0].completions + reads[1].completions, 0);
    EXPECT_EQ(e.Poll(kWaitMaxNs), 2u);
    EXPECT_EQ(reads[0].op.result, 1);
    EXPECT_EQ(reads[1].op.result, 1);
    uring_fault_submit_failures = 0;
    ASSERT_TRUE(e.PollUntil([&] { return e.Counts().in_flight == 0; }));
}

/* The queue is full when the poll of the eventfd is to be armed; making room finds a completion. */
TEST_F(Uring, ACompletionFoundWhileGoingToSleepEndsTheWait)
{
    ASSERT_EQ(Create(8, 16), 0);
    Pipe ready;
    Pipe empty;
    char bytes[2];
    std::array<Request, 9> reads;
    for (Request &read : reads)
        read.op = MakeRw(SKUA_OP_READ, empty.in(), &bytes[0], 1);
    reads[0].op = MakeRw(SKUA_OP_READ, ready.in(), &bytes[1], 1);
    ASSERT_EQ(e.Submit(reads[0]), 0);
    e.Poll(0);
    for (size_t i = 1; i < reads.size(); i++)
        ASSERT_EQ(e.Submit(reads[i]), 0);
    ready.Put('x');
    uring_fault_submit_errno = EAGAIN;
    uring_fault_submit_failures = 1;
    uint64_t start_ns = e.Now();
    EXPECT_EQ(e.Poll(kWaitMaxNs), 1u);
    EXPECT_LT(e.Now() - start_ns, kWaitMaxNs / 2);
    EXPECT_EQ(reads[0].completions, 1);
    for (size_t i = 1; i < reads.size(); i++)
        e.Cancel(reads[i]);
    ASSERT_TRUE(e.PollUntil([&] { return e.Counts().in_flight == 0; }));
}

/* ---- create() that fails leaves nothing; each in a child process ---- */

/* Runs the body in a child; 0 if it returned true, the wait status otherwise. */
template <typename Body> int InChild(Body body)
{
    pid_t pid = fork();
    if (pid == 0) {
        alarm(30);
        _exit(body() ? 0 : 1);
    }
    int status = -1;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    return status;
}

/* Makes one system call fail with EPERM for good, as container profiles do. */
bool ForbidSystemCall(unsigned number)
{
    sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    sock_fprog program = {static_cast<unsigned short>(std::size(filter)), filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

TEST_F(Uring, ARefusedSetupGivesEpermAndLeavesNoDescriptor)
{
    EXPECT_EQ(InChild([&] {
                  int before = OpenDescriptors();
                  return ForbidSystemCall(SYS_io_uring_setup) && Create() == -EPERM &&
                         OpenDescriptors() == before;
              }),
              0);
}

/* Registering is an improvement where it is allowed, except for the probe, which needs it. */
TEST_F(Uring, ARefusedRegisterGivesEnosysAndLeavesNoDescriptor)
{
    EXPECT_EQ(InChild([&] {
                  int before = OpenDescriptors();
                  return ForbidSystemCall(SYS_io_uring_register) && Create() == -ENOSYS &&
                         OpenDescriptors() == before;
              }),
              0);
}

TEST_F(Uring, TooFewDescriptorsGiveEmfileAndLeaveNone)
{
    for (int spare : {0, 1}) {
        int status = InChild([spare] {
            int before = OpenDescriptors();
            int next = dup(0);
            close(next);
            rlimit limit = {};
            getrlimit(RLIMIT_NOFILE, &limit);
            rlim_t was = limit.rlim_cur;
            limit.rlim_cur = static_cast<rlim_t>(next + spare);
            setrlimit(RLIMIT_NOFILE, &limit);
            /* No member calls here: UBSan checks those with a pipe, which it would not get. */
            skua_engine *engine = nullptr;
            int rc = engine_shim_create(engine_shim_uring(), 8, 16, 0, &engine);
            limit.rlim_cur = was;
            return rc == -EMFILE && setrlimit(RLIMIT_NOFILE, &limit) == 0 &&
                   OpenDescriptors() == before;
        });
        EXPECT_EQ(status, 0) << spare << " spare";
    }
}

bool DropIpcLock()
{
    __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2] = {};
    if (syscall(SYS_capget, &header, data) != 0)
        return false;
    data[0].effective &= ~(1u << CAP_IPC_LOCK);
    return syscall(SYS_capset, &header, data) == 0;
}

TEST_F(Uring, WithoutLockedMemoryFixedOpsAreCarriedOutPlainly)
{
    EXPECT_EQ(InChild([&] {
                  rlimit none = {0, 0};
                  if (!DropIpcLock() || setrlimit(RLIMIT_MEMLOCK, &none) != 0)
                      return false;
                  int rc = Create();
                  if (rc == -ENOMEM)
                      return true; /* older kernels charge the ring itself */
                  std::vector<char> memory(1 << 16);
                  iovec buffer = {memory.data(), memory.size()};
                  if (rc != 0 || engine_shim_buffers(e.get(), &buffer, 1) != -ENOMEM)
                      return false;
                  Pipe pipe;
                  pipe.Put('x');
                  bool ok = e.Run(MakeRw(SKUA_OP_READ_FIXED, pipe.in(), memory.data(), 9)) == 1 &&
                            Describe().find("buffers not registered: ENOMEM") != std::string::npos;
                  e.Destroy();
                  return ok;
              }),
              0);
}

TEST_F(Uring, BuffersAreRegisteredOnce)
{
    ASSERT_EQ(Create(), 0);
    std::vector<char> memory(4096);
    iovec buffer = {memory.data(), memory.size()};
    ASSERT_EQ(engine_shim_buffers(e.get(), &buffer, 1), 0);
    EXPECT_EQ(engine_shim_buffers(e.get(), &buffer, 1), -EBUSY);
    EXPECT_NE(Describe().find(" buffers"), std::string::npos);
    Pipe pipe;
    pipe.Put('x');
    EXPECT_EQ(e.Run(MakeRw(SKUA_OP_READ_FIXED, pipe.in(), memory.data(), 9)), 1);
}

/* ---- io-wq: ops that block a kernel thread, not a poll ---- */

TEST_F(Uring, CancelOfASystemCallInAKernelThreadGivesEcanceled)
{
    ASSERT_EQ(Create(), 0);
    Pipe from;
    Pipe to;
    Request request; /* a splice from an empty pipe blocks where only a signal reaches it */
    request.op = MakeOp(SKUA_OP_SPLICE, from.in());
    request.op.offset = SKUA_OFFSET_CURRENT;
    request.op.offset2 = SKUA_OFFSET_CURRENT;
    request.op.fd2 = to.fds[1];
    request.op.len = 1;
    for (int round = 0; round < 50; round++) {
        request.completions = 0;
        ASSERT_EQ(e.Submit(request), 0);
        for (int turn = 0; turn < round % 8; turn++)
            e.Poll(20 * SKUA_NS_PER_US);
        e.Cancel(request);
        ASSERT_TRUE(e.PollUntil([&] { return request.completions > 0; }));
        EXPECT_EQ(request.op.result, -ECANCELED);
    }
}

} // namespace
