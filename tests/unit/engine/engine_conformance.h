/*
 * unit/engine/engine_conformance.h - what every engine must do, as one suite of tests.
 *
 * A test file includes this and instantiates EngineConformance with its engines. The tests use only
 * the contract of engine.h, through support/engine_shim.h.
 */
#ifndef SKUA_TESTS_ENGINE_CONFORMANCE_H
#define SKUA_TESTS_ENGINE_CONFORMANCE_H

#include "support/engine_harness.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <string>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

class EngineConformance : public ::testing::TestWithParam<EngineParam>
{
  protected:
    void SetUp() override
    {
        descriptors_ = OpenDescriptors();
        ASSERT_EQ(e.Create(GetParam(), 64, 256), 0);
        std::string name = ::testing::TempDir() + "skua-engine-XXXXXX";
        ASSERT_NE(mkdtemp(name.data()), nullptr);
        dir_name_ = name;
        dir = open(name.c_str(), O_DIRECTORY | O_CLOEXEC);
        ASSERT_GE(dir, 0);
    }

    void TearDown() override
    {
        e.Destroy();
        for (const char *file : {"a", "b", "c", "d"}) {
            unlinkat(dir, file, 0);
            unlinkat(dir, file, AT_REMOVEDIR);
        }
        close(dir);
        EXPECT_EQ(rmdir(dir_name_.c_str()), 0);
        EXPECT_EQ(OpenDescriptors(), descriptors_);
    }

    int OpenFile(const char *name, const char *content = "")
    {
        int fd = openat(dir, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        EXPECT_GE(fd, 0);
        EXPECT_EQ(pwrite(fd, content, strlen(content), 0), static_cast<ssize_t>(strlen(content)));
        return fd;
    }

    TestedEngine e;
    int dir = -1;

  private:
    std::string dir_name_;
    int descriptors_ = 0;
};

/* ---- op codes ---- */

TEST_P(EngineConformance, NopGivesZero)
{
    EXPECT_EQ(e.Run(MakeOp(SKUA_OP_NOP)), 0);
}

TEST_P(EngineConformance, UnknownCodeIsRefusedBySubmit)
{
    Request request;
    request.op = MakeOp(SKUA_OP_CODE_COUNT);
    EXPECT_EQ(e.Submit(request), -EINVAL);
    request.op.code = 255;
    EXPECT_EQ(e.Submit(request), -EINVAL);
    EXPECT_EQ(e.Counts().in_flight, 0u);
}

TEST_P(EngineConformance, OpenAtOpensCloseOnExecAndCloseCloses)
{
    int64_t fd = e.Run(MakePath(SKUA_OP_OPENAT, dir, "a", O_RDWR | O_CREAT | O_EXCL, 0640));
    ASSERT_GE(fd, 0);
    EXPECT_EQ(fcntl(static_cast<int>(fd), F_GETFD), FD_CLOEXEC);
    struct stat st;
    ASSERT_EQ(fstat(static_cast<int>(fd), &st), 0);
    EXPECT_EQ(st.st_mode & 0600u, 0600u);
    EXPECT_EQ(e.Run(MakePath(SKUA_OP_OPENAT, dir, "a", O_RDWR | O_CREAT | O_EXCL, 0640)), -EEXIST);
    EXPECT_EQ(e.Run(MakeOp(SKUA_OP_CLOSE, static_cast<int>(fd))), 0);
    EXPECT_EQ(e.Run(MakeOp(SKUA_OP_CLOSE, static_cast<int>(fd))), -EBADF);
    EXPECT_EQ(e.Run(MakePath(SKUA_OP_OPENAT, dir, "none", O_RDONLY)), -ENOENT);
}

TEST_P(EngineConformance, ReadAndWriteUseOffsetsAndFilePosition)
{
    int fd = OpenFile("a");
    char out[] = "0123456789";
    char in[16] = {};
    EXPECT_EQ(e.Run(MakeRw(SKUA_OP_WRITE, fd, out, 10, 0)), 10);
    EXPECT_EQ(e.Run(MakeRw(SKUA_OP_READ, fd, in, 4, 3)), 4);
    EXPECT_STREQ(in, "3456");
    EXPECT_EQ(e.Run(MakeRw(SKUA_OP_READ, fd, in, 16)), 10);
    EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 10);
    EXPECT_EQ(e.Run(MakeRw(SKUA_OP_READ, fd, in, 16)), 0);
    close(fd);
    EXPECT_EQ(e.Run(MakeRw(SKUA_OP_READ, -1, in, 16, 0)), -EBADF);
    EXPECT_EQ(e.Run(MakeRw(SKUA_OP_WRITE, -1, out, 1, 0)), -EBADF);
}

TEST_P(EngineConformance, ReadLengthBeyondTheKernelsLimitIsClamped)
{
    int fd = OpenFile("a", "abc");
    /* Address space for what read(2) would carry at most; only its first page is memory. */
    size_t size = size_t{1} << 31;
    void *in = mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ASSERT_NE(in, MAP_FAILED);
    ASSERT_EQ(mprotect(in, 4096, PROT_READ | PROT_WRITE), 0);
    EXPECT_EQ(e.Run(MakeRw(SKUA_OP_READ, fd, in, SIZE_MAX / 2, 0)), 3);
    munmap(in, size);
    close(fd);
}

TEST_P(EngineConformance, VectorsScatterAndGather)
{
    int fd = OpenFile("a");
    char first[] = "abc";
    char second[] = "defg";
    iovec out[2] = {{first, 3}, {second, 4}};
    char back[8] = {};
    iovec in[2] = {{back, 5}, {back + 5, 2}};
    EXPECT_EQ(e.Run(MakeRw(SKUA_OP_WRITEV, fd, out, 2, 0)), 7);
    EXPECT_EQ(e.Run(MakeRw(SKUA_OP_READV, fd, in, 2, 0)), 7);
    EXPECT_STREQ(back, "abcdefg");
    EXPECT_EQ(e.Run(MakeRw(SKUA_OP_READV, -1, in, 2, 0)), -EBADF);
    EXPECT_EQ(e.Run(MakeRw(SKUA_OP_WRITEV, -1, out, 2, 0)), -EBADF);
    skua_op bad_flags = MakeRw(SKUA_OP_READV, fd, in, 2, 0);
    bad_flags.flags = 0x40000000;
    EXPECT_EQ(e.Run(bad_flags), -EOPNOTSUPP);
    close(fd);
}

TEST_P(EngineConformance, FixedOpsWorkWithAndWithoutRegistration)
{
    int fd = OpenFile("a");
    std::vector<char> memory(8192);
    for (bool registered : {false, true}) {
        if (registered) {
            iovec buffer = {memory.data(), memory.size()};
            EXPECT_EQ(engine_shim_buffers(e.get(), &buffer, 1), 0);
        }
        memcpy(memory.data(), "fixed", 5);
        EXPECT_EQ(e.Run(MakeRw(SKUA_OP_WRITE_FIXED, fd, memory.data(), 5, 0)), 5);
        EXPECT_EQ(e.Run(MakeRw(SKUA_OP_READ_FIXED, fd, memory.data() + 4096, 100, 0)), 5);
        EXPECT_EQ(memcmp(memory.data() + 4096, "fixed", 5), 0);
        EXPECT_EQ(e.Run(MakeRw(SKUA_OP_READ_FIXED, -1, memory.data(), 5, 0)), -EBADF);
    }
    close(fd);
    EXPECT_LT(engine_shim_buffers(e.get(), nullptr, 0), 0);
}

TEST_P(EngineConformance, FsyncFallocateAndFtruncateChangeTheFile)
{
    int fd = OpenFile("a", "abc");
    skua_op sync = MakeOp(SKUA_OP_FSYNC, fd);
    EXPECT_EQ(e.Run(sync), 0);
    sync.flags = 1;
    EXPECT_EQ(e.Run(sync), 0);
    EXPECT_EQ(e.Run(MakeOp(SKUA_OP_FSYNC, -1)), -EBADF);

    skua_op allocate = MakeOp(SKUA_OP_FALLOCATE, fd);
    allocate.len = 10000;
    EXPECT_EQ(e.Run(allocate), 0);
    struct stat st;
    ASSERT_EQ(fstat(fd, &st), 0);
    EXPECT_EQ(st.st_size, 10000);
    allocate.len = 0;
    EXPECT_EQ(e.Run(allocate), -EINVAL);

    skua_op truncate = MakeOp(SKUA_OP_FTRUNCATE, fd);
    truncate.len = 2;
    int64_t rc = e.Run(truncate);
    if (rc != -ENOSYS) {
        EXPECT_EQ(rc, 0);
        ASSERT_EQ(fstat(fd, &st), 0);
        EXPECT_EQ(st.st_size, 2);
        truncate.fd = -1;
        EXPECT_EQ(e.Run(truncate), -EBADF);
    }
    close(fd);
}

TEST_P(EngineConformance, StatxTellsTheSize)
{
    close(OpenFile("a", "abcd"));
    struct statx stx = {};
    skua_op op = MakePath(SKUA_OP_STATX, dir, "a", AT_SYMLINK_NOFOLLOW, STATX_SIZE);
    op.addr2 = &stx;
    EXPECT_EQ(e.Run(op), 0);
    EXPECT_EQ(stx.stx_size, 4u);
    op.addr = const_cast<char *>("none");
    EXPECT_EQ(e.Run(op), -ENOENT);
}

TEST_P(EngineConformance, NamesAreMadeRenamedLinkedAndRemoved)
{
    close(OpenFile("a", "x"));
    EXPECT_EQ(e.Run(MakePaths(SKUA_OP_LINKAT, dir, "a", "b")), 0);
    EXPECT_EQ(e.Run(MakePaths(SKUA_OP_LINKAT, dir, "a", "b")), -EEXIST);
    EXPECT_EQ(e.Run(MakePaths(SKUA_OP_RENAMEAT, dir, "b", "c")), 0);
    EXPECT_EQ(e.Run(MakePaths(SKUA_OP_RENAMEAT, dir, "b", "c")), -ENOENT);
    skua_op no_replace = MakePaths(SKUA_OP_RENAMEAT, dir, "c", "a");
    no_replace.flags = 1; /* RENAME_NOREPLACE */
    EXPECT_EQ(e.Run(no_replace), -EEXIST);
    EXPECT_EQ(e.Run(MakePath(SKUA_OP_UNLINKAT, dir, "c")), 0);
    EXPECT_EQ(e.Run(MakePath(SKUA_OP_UNLINKAT, dir, "c")), -ENOENT);
    EXPECT_EQ(e.Run(MakePath(SKUA_OP_MKDIRAT, dir, "d", 0, 0700)), 0);
    EXPECT_EQ(e.Run(MakePath(SKUA_OP_MKDIRAT, dir, "d", 0, 0700)), -EEXIST);
    EXPECT_EQ(e.Run(MakePath(SKUA_OP_UNLINKAT, dir, "d", AT_REMOVEDIR)), 0);
    EXPECT_EQ(e.Run(MakePaths(SKUA_OP_SYMLINKAT, dir, "target", "b")), 0);
    EXPECT_EQ(e.Run(MakePaths(SKUA_OP_SYMLINKAT, dir, "target", "b")), -EEXIST);
    char target[16] = {};
    EXPECT_EQ(readlinkat(dir, "b", target, sizeof(target)), 6);
    EXPECT_STREQ(target, "target");
}

TEST_P(EngineConformance, SpliceMovesBytesFromAFileIntoAPipe)
{
    int fd = OpenFile("a", "abcdef");
    Pipe pipe;
    skua_op op = MakeOp(SKUA_OP_SPLICE, fd);
    op.offset = 2;
    op.fd2 = pipe.fds[1];
    op.offset2 = SKUA_OFFSET_CURRENT;
    op.len = 3;
    EXPECT_EQ(e.Run(op), 3);
    char in[4] = {};
    EXPECT_EQ(read(pipe.in(), in, 3), 3);
    EXPECT_STREQ(in, "cde");
    EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 0);
    op.fd2 = fd; /* neither end is a pipe */
    EXPECT_EQ(e.Run(op), -EINVAL);
    close(fd);
}

TEST_P(EngineConformance, AdviceIsTakenAndBadAdviceRefused)
{
    int fd = OpenFile("a", "abc");
    skua_op op = MakeOp(SKUA_OP_FADVISE, fd);
    op.len = 3;
    op.flags = POSIX_FADV_WILLNEED;
    EXPECT_EQ(e.Run(op), 0);
    op.flags = 99;
    EXPECT_EQ(e.Run(op), -EINVAL);
    op.flags = POSIX_FADV_WILLNEED;
    op.len = UINT64_C(1) << 32;
    int64_t rc = e.Run(op);
    EXPECT_TRUE(rc == 0 || rc == -ENOSYS) << rc;
    close(fd);

    void *page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(page, MAP_FAILED);
    *static_cast<char *>(page) = 1;
    skua_op memory = MakeOp(SKUA_OP_MADVISE);
    memory.addr = page;
    memory.len = 4096;
    memory.flags = MADV_DONTNEED;
    EXPECT_EQ(e.Run(memory), 0);
    EXPECT_EQ(*static_cast<volatile char *>(page), 0);
    memory.flags = 9999;
    EXPECT_EQ(e.Run(memory), -EINVAL);
    munmap(page, 4096);
}

TEST_P(EngineConformance, PollGivesTheReadyEvents)
{
    Pipe pipe;
    skua_op op = MakeOp(SKUA_OP_POLL, pipe.in());
    op.flags = POLLIN;
    Request request;
    request.op = op;
    ASSERT_EQ(e.Submit(request), 0);
    e.Poll(0);
    e.Poll(0);
    EXPECT_EQ(request.completions, 0);
    pipe.Put('x');
    ASSERT_TRUE(e.PollUntil([&] { return request.completions > 0; }));
    EXPECT_EQ(request.op.result, POLLIN);
    pipe.Put('y'); /* single shot: no second completion */
    EXPECT_EQ(e.Run(op), POLLIN);
    EXPECT_EQ(request.completions, 1);
    EXPECT_EQ(e.Run(MakeOp(SKUA_OP_POLL, -1)), -EBADF);
}

/* ---- once, and in order of the contract ---- */

TEST_P(EngineConformance, EveryOpOfABatchCompletesOnce)
{
    std::vector<Request> requests(200);
    for (Request &request : requests) {
        request.op = MakeOp(SKUA_OP_NOP);
        ASSERT_EQ(e.Submit(request), 0);
    }
    ASSERT_TRUE(e.PollUntil([&] { return e.Counts().in_flight == 0; }));
    for (Request &request : requests)
        EXPECT_EQ(request.completions, 1);
}

TEST_P(EngineConformance, APollStopsAtItsBatchAndTheNextOneDoesNotWait)
{
    std::vector<Request> requests(20);
    for (Request &request : requests) {
        request.op = MakeOp(SKUA_OP_NOP);
        ASSERT_EQ(e.Submit(request), 0);
    }
    engine_shim_batch(e.get(), 3);
    unsigned completed = 0;
    for (int polls = 0; completed < 20 && polls < 1000; polls++) {
        unsigned now = e.Poll(polls % 2 == 0 ? 0 : kWaitMaxNs);
        EXPECT_LE(now, 3u);
        completed += now;
        EXPECT_EQ(e.Counts().in_flight, 20 - completed);
    }
    EXPECT_EQ(completed, 20u);
    for (Request &request : requests)
        EXPECT_EQ(request.completions, 1);
    engine_shim_batch(e.get(), 0);
}

TEST_P(EngineConformance, CompleteMaySubmitTheSameOpAgain)
{
    Request request;
    request.op = MakeOp(SKUA_OP_NOP);
    request.then = [&](Request &r) {
        if (r.completions < 1000) {
            EXPECT_EQ(e.Submit(r), 0);
        }
    };
    ASSERT_EQ(e.Submit(request), 0);
    ASSERT_TRUE(e.PollUntil([&] { return request.completions == 1000; }));
    EXPECT_EQ(e.Counts().in_flight, 0u);
}

TEST_P(EngineConformance, CompleteMaySubmitMoreThanTheQueueHolds)
{
    std::vector<Request> children(300);
    Request parent;
    parent.op = MakeOp(SKUA_OP_NOP);
    parent.then = [&](Request &) {
        for (Request &child : children) {
            child.op = MakeOp(SKUA_OP_NOP);
            ASSERT_EQ(e.Submit(child), 0);
        }
        for (Request &child : children)
            EXPECT_EQ(child.completions, 0);
    };
    ASSERT_EQ(e.Submit(parent), 0);
    ASSERT_TRUE(e.PollUntil([&] { return e.Counts().in_flight == 0; }));
    for (Request &child : children)
        EXPECT_EQ(child.completions, 1);
}

TEST_P(EngineConformance, CompleteMayCancelAnotherOp)
{
    Pipe pipe;
    char byte;
    Request blocked;
    blocked.op = MakeRw(SKUA_OP_READ, pipe.in(), &byte, 1);
    Request nop;
    nop.op = MakeOp(SKUA_OP_NOP);
    nop.then = [&](Request &) { e.Cancel(blocked); };
    ASSERT_EQ(e.Submit(blocked), 0);
    ASSERT_EQ(e.Submit(nop), 0);
    ASSERT_TRUE(e.PollUntil([&] { return blocked.completions > 0; }));
    EXPECT_EQ(blocked.op.result, -ECANCELED);
}

TEST_P(EngineConformance, ManyNopsPassThroughATinyRing)
{
    TestedEngine tiny;
    ASSERT_EQ(tiny.Create(GetParam(), 2, 2), 0);
    std::vector<Request> requests(10000);
    for (Request &request : requests) {
        request.op = MakeOp(SKUA_OP_NOP);
        int rc = tiny.Submit(request);
        for (int tries = 0; rc == -EAGAIN && tries < 1000; tries++) {
            tiny.Poll(0);
            rc = tiny.Submit(request);
        }
        ASSERT_EQ(rc, 0);
    }
    ASSERT_TRUE(tiny.PollUntil([&] { return tiny.Counts().in_flight == 0; }));
    for (Request &request : requests)
        ASSERT_EQ(request.completions, 1);
    EXPECT_EQ(tiny.Counts().completed_total, 10000u);
}

/* Nothing may depend on a poll that waits: a busy owner only looks in. */
TEST_P(EngineConformance, PollsThatDoNotWaitBringInEverything)
{
    TestedEngine tiny;
    ASSERT_EQ(tiny.Create(GetParam(), 2, 2), 0);
    Pipe pipe;
    char byte;
    std::vector<Request> requests(50);
    for (Request &request : requests)
        request.op = MakeOp(SKUA_OP_NOP);
    requests[0].op = MakeRw(SKUA_OP_READ, pipe.in(), &byte, 1);
    for (Request &request : requests)
        ASSERT_EQ(tiny.Submit(request), 0);
    uint64_t deadline_ns = tiny.Now() + kWaitMaxNs;
    while (tiny.Counts().in_flight > 1 && tiny.Now() < deadline_ns)
        tiny.Poll(0);
    ASSERT_EQ(tiny.Counts().in_flight, 1u);
    pipe.Put('x');
    while (tiny.Counts().in_flight > 0 && tiny.Now() < deadline_ns)
        tiny.Poll(0);
    ASSERT_EQ(tiny.Counts().in_flight, 0u);
}

TEST_P(EngineConformance, CountersTellWhatHappened)
{
    Pipe pipe;
    char byte;
    Request request;
    request.op = MakeRw(SKUA_OP_READ, pipe.in(), &byte, 1);
    engine_counts before = e.Counts();
    ASSERT_EQ(e.Submit(request), 0);
    engine_counts queued = e.Counts();
    EXPECT_EQ(queued.queued, 1u);
    EXPECT_EQ(queued.in_flight, 1u);
    EXPECT_EQ(queued.submitted_total, before.submitted_total + 1);
    EXPECT_EQ(queued.completed_total, before.completed_total);
    pipe.Put('x');
    ASSERT_TRUE(e.PollUntil([&] { return request.completions > 0; }));
    engine_counts after = e.Counts();
    EXPECT_EQ(after.queued, 0u);
    EXPECT_EQ(after.in_flight, 0u);
    EXPECT_EQ(after.completed_total, before.completed_total + 1);
    EXPECT_GT(after.enters_total, before.enters_total);
}

TEST_P(EngineConformance, DescribeSaysSomethingAndKeepsToTheSize)
{
    char text[600];
    engine_shim_describe(e.get(), text, sizeof(text));
    EXPECT_GT(strlen(text), 3u);
    memset(text, 'x', sizeof(text));
    engine_shim_describe(e.get(), text, 8);
    EXPECT_LT(strnlen(text, sizeof(text)), 8u);
    EXPECT_EQ(text[8], 'x');
}

/* ---- cancel ---- */

TEST_P(EngineConformance, CancelEndsABlockedReadOnce)
{
    Pipe pipe;
    char byte;
    for (bool submitted_before : {false, true}) {
        Request request;
        request.op = MakeRw(SKUA_OP_READ, pipe.in(), &byte, 1);
        ASSERT_EQ(e.Submit(request), 0);
        if (submitted_before)
            e.Poll(0);
        e.Cancel(request);
        e.Cancel(request);
        EXPECT_EQ(request.completions, 0);
        ASSERT_TRUE(e.PollUntil([&] { return request.completions > 0; }));
        EXPECT_EQ(request.op.result, -ECANCELED);
        EXPECT_EQ(e.Run(MakeOp(SKUA_OP_NOP)), 0);
        EXPECT_EQ(request.completions, 1);
    }
}

TEST_P(EngineConformance, CancelEndsABlockedPoll)
{
    Pipe pipe;
    Request request;
    request.op = MakeOp(SKUA_OP_POLL, pipe.in());
    request.op.flags = POLLIN;
    ASSERT_EQ(e.Submit(request), 0);
    e.Poll(0);
    e.Cancel(request);
    ASSERT_TRUE(e.PollUntil([&] { return request.completions > 0; }));
    EXPECT_EQ(request.op.result, -ECANCELED);
}

TEST_P(EngineConformance, CancelFindsRoomInAFullQueue)
{
    TestedEngine tiny;
    ASSERT_EQ(tiny.Create(GetParam(), 2, 2), 0);
    Pipe pipe;
    char byte;
    std::vector<Request> blocked(32);
    for (Request &request : blocked) {
        request.op = MakeRw(SKUA_OP_READ, pipe.in(), &byte, 1);
        ASSERT_EQ(tiny.Submit(request), 0);
    }
    for (Request &request : blocked)
        tiny.Cancel(request);
    ASSERT_TRUE(tiny.PollUntil([&] { return tiny.Counts().in_flight == 0; }));
    for (Request &request : blocked) {
        EXPECT_EQ(request.completions, 1);
        EXPECT_EQ(request.op.result, -ECANCELED);
    }
}

/* The cancel of a round may come before, with or after the data; the op is then used again. */
TEST_P(EngineConformance, CancelRacingACompletionNeverHitsTheNextUseOfTheOp)
{
    Request request;
    for (int round = 0; round < 1000; round++) {
        Pipe first;
        Pipe second;
        char byte = 0;
        request.completions = 0;
        request.op = MakeRw(SKUA_OP_READ, first.in(), &byte, 1);
        /* In some rounds the next use begins in complete(), right behind the late cancel. */
        bool reuse_in_complete = round % 2 == 0;
        auto reuse = [&](Request &r) {
            r.then = nullptr;
            ASSERT_TRUE(r.op.result == 1 || r.op.result == -ECANCELED) << r.op.result;
            r.op = MakeRw(SKUA_OP_READ, second.in(), &byte, 1);
            ASSERT_EQ(e.Submit(r), 0);
        };
        if (reuse_in_complete)
            request.then = reuse;
        ASSERT_EQ(e.Submit(request), 0);
        if (round % 3 != 0)
            e.Poll(0);
        std::thread writer;
        if (round % 16 == 7)
            writer = std::thread([&] { first.Put('1'); });
        else if (round % 5 < 4)
            first.Put('1');
        if (request.completions == 0)
            e.Cancel(request);
        if (round % 7 == 0 && request.completions == 0)
            e.Cancel(request);
        ASSERT_TRUE(e.PollUntil([&] { return request.completions > 0; }));
        if (writer.joinable())
            writer.join();
        if (!reuse_in_complete)
            reuse(request);
        e.Poll(0);
        e.Poll(0);
        ASSERT_EQ(request.completions, 1) << "round " << round;
        second.Put('2');
        ASSERT_TRUE(e.PollUntil([&] { return request.completions > 1; }));
        ASSERT_EQ(request.completions, 2);
        ASSERT_EQ(request.op.result, 1) << "round " << round;
        ASSERT_EQ(byte, '2');
    }
}

/* ---- waiting and waking ---- */

/* Both ways of sleeping: with nothing in flight, and with a read that never ends. */
template <typename Body> void WithAndWithoutAnOpInFlight(TestedEngine &e, Body body)
{
    body();
    Pipe pipe;
    char byte;
    Request blocked;
    blocked.op = MakeRw(SKUA_OP_READ, pipe.in(), &byte, 1);
    ASSERT_EQ(e.Submit(blocked), 0);
    body();
    e.Cancel(blocked);
    ASSERT_TRUE(e.PollUntil([&] { return blocked.completions > 0; }));
}

TEST_P(EngineConformance, PollWithoutDeadlineDoesNotWait)
{
    WithAndWithoutAnOpInFlight(e, [&] { EXPECT_EQ(e.Poll(0), 0u); });
}

TEST_P(EngineConformance, PollReturnsAtItsDeadlineNotBefore)
{
    WithAndWithoutAnOpInFlight(e, [&] {
        e.Poll(0);
        for (uint64_t timeout_ns : {UINT64_C(1), UINT64_C(300000), UINT64_C(5000000)}) {
            uint64_t deadline_ns = e.Now() + timeout_ns;
            EXPECT_EQ(engine_shim_poll(e.get(), deadline_ns), 0u);
            uint64_t now_ns = e.Now();
            EXPECT_GE(now_ns, deadline_ns);
            EXPECT_LT(now_ns, deadline_ns + 2 * SKUA_NS_PER_SEC);
        }
        EXPECT_EQ(engine_shim_poll(e.get(), 1), 0u); /* long past */
    });
}

TEST_P(EngineConformance, WakeBeforePollIsRememberedOnce)
{
    WithAndWithoutAnOpInFlight(e, [&] {
        for (int wakes : {1, 3}) {
            e.Poll(0);
            for (int i = 0; i < wakes; i++)
                engine_shim_wake(e.get());
            e.Poll(0); /* one that does not wait leaves the wake for one that does */
            uint64_t start_ns = e.Now();
            e.Poll(kWaitMaxNs);
            EXPECT_LT(e.Now() - start_ns, kWaitMaxNs / 2);
            uint64_t deadline_ns = e.Now() + 2 * SKUA_NS_PER_MS;
            engine_shim_poll(e.get(), deadline_ns);
            EXPECT_GE(e.Now(), deadline_ns) << "wakes add up";
        }
    });
}

TEST_P(EngineConformance, WakeEndsAWaitForEver)
{
    WithAndWithoutAnOpInFlight(e, [&] {
        for (uint64_t deadline_ns :
             {UINT64_MAX, UINT64_MAX - 1, static_cast<uint64_t>(INT64_MAX)}) {
            std::thread waker([&] { engine_shim_wake(e.get()); });
            EXPECT_EQ(engine_shim_poll(e.get(), deadline_ns), 0u);
            waker.join();
        }
    });
}

/* News that wakers count up, a wake after each addition, and what the owner has seen of it. */
struct CountedWakes {
    static constexpr int kWakers = 4;
    static constexpr int kRounds = 500;
    std::atomic<int> sent{0};
    std::atomic<int> seen{0};

    void WakeManyTimes(skua_engine *engine)
    {
        for (int round = 0; round < kRounds; round++) {
            int mine = sent.fetch_add(1, std::memory_order_relaxed) + 1;
            engine_shim_wake(engine);
            /* Lets the owner fall asleep again from time to time. */
            while (round % 4 == 0 && seen.load(std::memory_order_relaxed) < mine)
                std::this_thread::yield();
        }
    }
};

/* An owner that misses a wake sleeps until the test's deadline. */
TEST_P(EngineConformance, NoWakeOfManyThreadsIsLost)
{
    WithAndWithoutAnOpInFlight(e, [&] {
        CountedWakes counted;
        std::vector<std::thread> wakers;
        for (int i = 0; i < CountedWakes::kWakers; i++)
            wakers.emplace_back([&] { counted.WakeManyTimes(e.get()); });
        uint64_t start_ns = e.Now();
        while (counted.seen.load(std::memory_order_relaxed) <
                   CountedWakes::kWakers * CountedWakes::kRounds &&
               e.Now() < start_ns + kWaitMaxNs) {
            e.Poll(kWaitMaxNs);
            counted.seen.store(counted.sent.load(std::memory_order_relaxed),
                               std::memory_order_relaxed);
        }
        EXPECT_LT(e.Now() - start_ns, kWaitMaxNs);
        counted.seen.store(INT32_MAX, std::memory_order_relaxed);
        for (std::thread &waker : wakers)
            waker.join();
    });
}

/*
 * The news is a plain int, handed over by the wake alone: a race for ThreadSanitizer if the wake
 * did not order it. A poll() may return for no reason, so the owner looks only after the flag is
 * up, which orders nothing itself, and then polls once more.
 */
TEST_P(EngineConformance, WhatAWakerWroteIsVisibleAfterPoll)
{
    WithAndWithoutAnOpInFlight(e, [&] {
        for (int round = 1; round <= 200; round++) {
            int news = 0;
            std::atomic<bool> woken{false};
            std::thread waker([&] {
                news = round;
                engine_shim_wake(e.get());
                woken.store(true, std::memory_order_relaxed);
                engine_shim_wake(e.get()); /* for an owner that has taken the first already */
            });
            ASSERT_TRUE(e.PollUntil([&] { return woken.load(std::memory_order_relaxed); }));
            engine_shim_wake(e.get()); /* the poll has something to take even if all was taken */
            e.Poll(kWaitMaxNs);
            EXPECT_EQ(news, round);
            waker.join();
        }
    });
}

TEST_P(EngineConformance, ACompletionEndsAWait)
{
    Pipe pipe;
    char byte;
    Request request;
    request.op = MakeRw(SKUA_OP_READ, pipe.in(), &byte, 1);
    ASSERT_EQ(e.Submit(request), 0);
    std::thread writer([&] { pipe.Put('x'); });
    ASSERT_TRUE(e.PollUntil([&] { return request.completions > 0; }));
    writer.join();
    EXPECT_EQ(request.op.result, 1);
}

TEST_P(EngineConformance, DestroyAndCreateAgainLeaveNoDescriptor)
{
    int before = OpenDescriptors();
    for (int i = 0; i < 20; i++) {
        TestedEngine other;
        ASSERT_EQ(other.Create(GetParam(), 8, 16), 0);
        EXPECT_EQ(other.Run(MakeOp(SKUA_OP_NOP)), 0);
    }
    EXPECT_EQ(OpenDescriptors(), before);
}

#endif /* SKUA_TESTS_ENGINE_CONFORMANCE_H */
