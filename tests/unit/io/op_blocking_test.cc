/*
 * Tests io/op_blocking.c: every op code by plain system calls, with the results a ring gives.
 */
#include <gtest/gtest.h>

extern "C" {
#include "io/op_blocking.h"
}

#include "support/fd_guard.h"
#include "support/hang_guard.h"
#include "support/temp_dir.h"

#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

namespace
{

int64_t run(skua_op op)
{
    op.result = INT64_MIN;
    skua_op_run_blocking(&op);
    return op.result;
}

skua_op makeOp(skua_op_code code, int fd = 0)
{
    skua_op op{};
    op.code = static_cast<uint8_t>(code);
    op.fd = fd;
    return op;
}

skua_op transfer(skua_op_code code, int fd, const void *addr, uint64_t len, uint64_t offset)
{
    skua_op op = makeOp(code, fd);
    op.addr = const_cast<void *>(addr);
    op.len = len;
    op.offset = offset;
    return op;
}

skua_op onPath(skua_op_code code, const std::string &path, uint32_t flags = 0, uint64_t len = 0)
{
    skua_op op = makeOp(code, AT_FDCWD);
    op.addr = const_cast<char *>(path.c_str());
    op.flags = flags;
    op.len = len;
    return op;
}

skua_op onPaths(skua_op_code code, const std::string &from, const std::string &to)
{
    skua_op op = onPath(code, from);
    op.fd2 = AT_FDCWD;
    op.addr2 = const_cast<char *>(to.c_str());
    return op;
}

skua_op pollFor(int fd, uint32_t events)
{
    skua_op op = makeOp(SKUA_OP_POLL, fd);
    op.flags = events;
    return op;
}

class OpBlocking : public testing::Test
{
  protected:
    /* A new file that holds @contents, open for both. */
    int openFile(const std::string &contents)
    {
        std::string path = dir_.file("file");
        skua_test::writeFile(path, contents);
        int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
        EXPECT_GE(fd, 0);
        return fd;
    }

    skua_test::FdGuard fds_;
    skua_test::HangGuard hang_;
    skua_test::TempDir dir_;
};

} /* namespace */

TEST_F(OpBlocking, NopSucceedsAndUnknownCodesAreInvalid)
{
    EXPECT_EQ(run(makeOp(SKUA_OP_NOP)), 0);
    EXPECT_EQ(run(makeOp(SKUA_OP_CODE_COUNT)), -EINVAL);
    EXPECT_EQ(run(makeOp(static_cast<skua_op_code>(255))), -EINVAL);
}

TEST_F(OpBlocking, OpenatSetsCloseOnExecAndCloseCloses)
{
    std::string path = dir_.file("new");
    int64_t fd = run(onPath(SKUA_OP_OPENAT, path, O_RDWR | O_CREAT, 0640));
    ASSERT_GE(fd, 0);
    EXPECT_EQ(fcntl(static_cast<int>(fd), F_GETFD), FD_CLOEXEC);
    struct stat st;
    ASSERT_EQ(fstat(static_cast<int>(fd), &st), 0);
    mode_t mask = umask(0);
    umask(mask);
    EXPECT_EQ(st.st_mode & 0777, 0640u & ~mask);
    EXPECT_EQ(run(makeOp(SKUA_OP_CLOSE, static_cast<int>(fd))), 0);
    EXPECT_EQ(run(makeOp(SKUA_OP_CLOSE, static_cast<int>(fd))), -EBADF);
    EXPECT_EQ(run(onPath(SKUA_OP_OPENAT, dir_.file("none"), O_RDONLY)), -ENOENT);
    EXPECT_EQ(run(onPath(SKUA_OP_OPENAT, dir_.path(), O_WRONLY)), -EISDIR);
}

TEST_F(OpBlocking, ReadAndWriteUseOffsetsAndThePosition)
{
    int fd = openFile("abcdef");
    char buffer[8] = {};
    EXPECT_EQ(run(transfer(SKUA_OP_READ, fd, buffer, 2, 3)), 2);
    EXPECT_STREQ(buffer, "de");
    EXPECT_EQ(run(transfer(SKUA_OP_READ, fd, buffer, 2, SKUA_OFFSET_CURRENT)), 2);
    EXPECT_STREQ(buffer, "ab");
    EXPECT_EQ(run(transfer(SKUA_OP_WRITE, fd, "XY", 2, SKUA_OFFSET_CURRENT)), 2);
    EXPECT_EQ(run(transfer(SKUA_OP_WRITE_FIXED, fd, "Z", 1, 0)), 1);
    EXPECT_EQ(run(transfer(SKUA_OP_READ_FIXED, fd, buffer, 8, 0)), 6);
    EXPECT_EQ(std::memcmp(buffer, "ZbXYef", 6), 0);
    EXPECT_EQ(run(transfer(SKUA_OP_READ, fd, buffer, 8, 6)), 0);
    EXPECT_EQ(run(transfer(SKUA_OP_READ, fd, buffer, 8, UINT64_MAX - 1)), -EINVAL);
    EXPECT_EQ(run(transfer(SKUA_OP_READ, -1, buffer, 8, 0)), -EBADF);
    close(fd);
}

TEST_F(OpBlocking, APipeIgnoresTheOffset)
{
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    char buffer[8] = {};
    iovec out = {const_cast<char *>("cd"), 2};
    iovec in = {buffer + 2, 2};
    EXPECT_EQ(run(transfer(SKUA_OP_WRITE, ends[1], "ab", 2, 100)), 2);
    EXPECT_EQ(run(transfer(SKUA_OP_WRITEV, ends[1], &out, 1, 100)), 2);
    EXPECT_EQ(run(transfer(SKUA_OP_READ, ends[0], buffer, 2, 100)), 2);
    EXPECT_EQ(run(transfer(SKUA_OP_READV, ends[0], &in, 1, 100)), 2);
    EXPECT_STREQ(buffer, "abcd");
    close(ends[0]);
    close(ends[1]);
}

TEST_F(OpBlocking, ReadvAndWritevUseOffsetsAndThePosition)
{
    int fd = openFile("");
    iovec out[2] = {{const_cast<char *>("abc"), 3}, {const_cast<char *>("def"), 3}};
    EXPECT_EQ(run(transfer(SKUA_OP_WRITEV, fd, out, 2, SKUA_OFFSET_CURRENT)), 6);
    EXPECT_EQ(run(transfer(SKUA_OP_WRITEV, fd, out, 1, 6)), 3);
    char a[4] = {};
    char b[8] = {};
    iovec in[2] = {{a, 3}, {b, 7}};
    EXPECT_EQ(run(transfer(SKUA_OP_READV, fd, in, 2, 0)), 9);
    EXPECT_STREQ(a, "abc");
    EXPECT_STREQ(b, "defabc");
    EXPECT_EQ(run(transfer(SKUA_OP_READV, fd, in, 2, SKUA_OFFSET_CURRENT)), 3);
    EXPECT_EQ(run(transfer(SKUA_OP_READV, fd, in, UINT64_MAX, 0)), -EINVAL);
    EXPECT_EQ(run(transfer(SKUA_OP_READV, fd, in, IOV_MAX + 1, 0)), -EINVAL);
    skua_op flagged = transfer(SKUA_OP_READV, fd, in, 1, 0);
    flagged.flags = 1u << 30;
    EXPECT_EQ(run(flagged), -EOPNOTSUPP);
    close(fd);
}

TEST_F(OpBlocking, FsyncKnowsItsOneFlag)
{
    int fd = openFile("x");
    skua_op op = makeOp(SKUA_OP_FSYNC, fd);
    EXPECT_EQ(run(op), 0);
    op.flags = 1;
    EXPECT_EQ(run(op), 0);
    op.flags = 2;
    EXPECT_EQ(run(op), -EINVAL);
    op.flags = 0;
    op.fd = -1;
    EXPECT_EQ(run(op), -EBADF);
    close(fd);
}

TEST_F(OpBlocking, StatxFallocateAndFtruncateAgreeOnTheSize)
{
    int fd = openFile("12345");
    struct statx info = {};
    skua_op stat = onPath(SKUA_OP_STATX, "", AT_EMPTY_PATH, STATX_SIZE);
    std::string empty;
    stat.fd = fd;
    stat.addr = const_cast<char *>(empty.c_str());
    stat.addr2 = &info;
    EXPECT_EQ(run(stat), 0);
    EXPECT_EQ(info.stx_size, 5u);

    skua_op truncate = makeOp(SKUA_OP_FTRUNCATE, fd);
    truncate.len = 3;
    EXPECT_EQ(run(truncate), 0);
    EXPECT_EQ(run(stat), 0);
    EXPECT_EQ(info.stx_size, 3u);
    truncate.len = UINT64_MAX;
    EXPECT_EQ(run(truncate), -EINVAL);

    int64_t allocated = run(transfer(SKUA_OP_FALLOCATE, fd, nullptr, 100, 4000));
    if (allocated != -EOPNOTSUPP) {
        EXPECT_EQ(allocated, 0);
        EXPECT_EQ(run(stat), 0);
        EXPECT_EQ(info.stx_size, 4100u);
    }
    EXPECT_EQ(run(transfer(SKUA_OP_FALLOCATE, fd, nullptr, 0, 0)), -EINVAL);
    close(fd);
}

TEST_F(OpBlocking, NamesAreMadeRenamedLinkedAndRemoved)
{
    std::string sub = dir_.file("sub");
    std::string a = dir_.file("a");
    std::string b = dir_.file("b");
    std::string c = dir_.file("c");
    skua_test::writeFile(a, "text");
    EXPECT_EQ(run(onPath(SKUA_OP_MKDIRAT, sub, 0, 0700)), 0);
    EXPECT_EQ(run(onPath(SKUA_OP_MKDIRAT, sub, 0, 0700)), -EEXIST);
    EXPECT_EQ(run(onPaths(SKUA_OP_RENAMEAT, a, b)), 0);
    EXPECT_EQ(run(onPaths(SKUA_OP_LINKAT, b, a)), 0);
    skua_op rename = onPaths(SKUA_OP_RENAMEAT, a, b);
    rename.flags = 1; /* RENAME_NOREPLACE */
    EXPECT_EQ(run(rename), -EEXIST);
    EXPECT_EQ(run(onPaths(SKUA_OP_SYMLINKAT, b, c)), 0);
    EXPECT_EQ(skua_test::readFile(c), "text");
    EXPECT_EQ(run(onPath(SKUA_OP_UNLINKAT, c)), 0);
    EXPECT_EQ(run(onPath(SKUA_OP_UNLINKAT, c)), -ENOENT);
    EXPECT_EQ(run(onPath(SKUA_OP_UNLINKAT, sub)), -EISDIR);
    EXPECT_EQ(run(onPath(SKUA_OP_UNLINKAT, sub, AT_REMOVEDIR)), 0);
}

TEST_F(OpBlocking, ANullPathIsEfaultAsInTheKernel)
{
    for (skua_op_code code : {SKUA_OP_OPENAT, SKUA_OP_STATX, SKUA_OP_RENAMEAT, SKUA_OP_UNLINKAT,
                              SKUA_OP_MKDIRAT, SKUA_OP_LINKAT, SKUA_OP_SYMLINKAT})
        EXPECT_EQ(run(makeOp(code, AT_FDCWD)), -EFAULT) << code;
    EXPECT_EQ(run(onPath(SKUA_OP_SYMLINKAT, dir_.path())), -EFAULT);
}

TEST_F(OpBlocking, SpliceMovesFromAFileThroughAPipe)
{
    int fd = openFile("abcdef");
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    skua_op in = transfer(SKUA_OP_SPLICE, fd, nullptr, 3, 2);
    in.fd2 = ends[1];
    in.offset2 = SKUA_OFFSET_CURRENT;
    EXPECT_EQ(run(in), 3);
    skua_op out = transfer(SKUA_OP_SPLICE, ends[0], nullptr, 3, SKUA_OFFSET_CURRENT);
    out.fd2 = fd;
    out.offset2 = 6;
    EXPECT_EQ(run(out), 3);
    EXPECT_EQ(skua_test::readFile(dir_.file("file")), "abcdefcde");
    in.offset2 = 0;
    EXPECT_EQ(run(in), -ESPIPE);
    in.fd2 = -1;
    EXPECT_EQ(run(in), -EBADF);
    close(ends[0]);
    close(ends[1]);
    close(fd);
}

TEST_F(OpBlocking, AdviceIsTakenAndItsErrorsAreNegative)
{
    int fd = openFile("x");
    skua_op op = makeOp(SKUA_OP_FADVISE, fd);
    op.flags = POSIX_FADV_SEQUENTIAL;
    EXPECT_EQ(run(op), 0);
    op.flags = 999;
    EXPECT_EQ(run(op), -EINVAL);
    op.fd = -1;
    EXPECT_EQ(run(op), -EBADF);
    close(fd);

    size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    void *memory = mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(memory, MAP_FAILED);
    std::memset(memory, 1, page);
    skua_op advise = transfer(SKUA_OP_MADVISE, 0, memory, page, 0);
    advise.flags = MADV_DONTNEED;
    EXPECT_EQ(run(advise), 0);
    EXPECT_EQ(*static_cast<char *>(memory), 0);
    advise.addr = static_cast<char *>(memory) + 1;
    EXPECT_EQ(run(advise), -EINVAL);
    munmap(memory, page);
}

TEST_F(OpBlocking, PollReturnsTheEvents)
{
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    EXPECT_EQ(run(pollFor(ends[1], POLLOUT)), POLLOUT);
    ASSERT_EQ(write(ends[1], "x", 1), 1);
    EXPECT_EQ(run(pollFor(ends[0], POLLIN)), POLLIN);
    close(ends[1]);
    EXPECT_EQ(run(pollFor(ends[0], POLLIN)), POLLIN | POLLHUP);
    close(ends[0]);
    EXPECT_EQ(run(pollFor(ends[0], POLLIN)), -EBADF);
    EXPECT_EQ(run(pollFor(-1, POLLIN)), -EBADF);
    EXPECT_EQ(run(pollFor(0, 1u << 16)), -EINVAL);
}

TEST_F(OpBlocking, WouldBlockComesBackAsItIs)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    ASSERT_GE(fd, 0);
    uint64_t value;
    EXPECT_EQ(run(transfer(SKUA_OP_READ, fd, &value, 8, SKUA_OFFSET_CURRENT)), -EAGAIN);
    close(fd);
}

TEST_F(OpBlocking, ErrnoIsLeftAlone)
{
    errno = ENOTTY;
    EXPECT_EQ(run(makeOp(SKUA_OP_CLOSE, -1)), -EBADF);
    EXPECT_EQ(errno, ENOTTY);
    errno = 0;
}

TEST_F(OpBlocking, ASignalEndsItWithEintr)
{
    struct sigaction action = {};
    struct sigaction old;
    action.sa_handler = [](int) {};
    ASSERT_EQ(sigaction(SIGUSR1, &action, &old), 0); /* without SA_RESTART */
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    std::atomic<bool> over{false};
    pthread_t reader = pthread_self();
    std::thread signaller([&] {
        while (!over.load()) {
            pthread_kill(reader, SIGUSR1);
            std::this_thread::yield();
        }
    });
    char byte;
    EXPECT_EQ(run(transfer(SKUA_OP_READ, ends[0], &byte, 1, SKUA_OFFSET_CURRENT)), -EINTR);
    over.store(true);
    signaller.join();
    sigaction(SIGUSR1, &old, nullptr);
    close(ends[0]);
    close(ends[1]);
}
