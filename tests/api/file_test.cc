/*
 * Tests skua/file.h but for listings and skua_copy_file(), which have files of their own. Most
 * cases run in a task, on an executor and on a foreign thread: a call means the same everywhere.
 */
#include "support/fd_guard.h"
#include "support/hang_guard.h"
#include "support/run_in_task.h"
#include "support/temp_dir.h"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace skua_test;

namespace
{

class File : public testing::TestWithParam<Where>
{
  protected:
    template <class Body> void run(Body &&body)
    {
        runIn(GetParam(), body);
    }

    FdGuard fds_;
    HangGuard hang_;
    TempDir dir_;
};

INSTANTIATE_TEST_SUITE_P(Everywhere, File, everywhere(), WhereName());

/* Those that need a runtime. */
class FileInATask : public testing::Test
{
  protected:
    FdGuard fds_;
    HangGuard hang_;
    TempDir dir_;
};

uint64_t opsSubmitted()
{
    uint64_t sum = 0;
    skua_worker_stats stats;
    for (unsigned i = 0; skua_runtime_stats(skua_runtime_current(), i, &stats) == 0; i++)
        sum += stats.ops_submitted;
    return sum;
}

/* Counts the signals a thread has taken, without SA_RESTART, while it lives. */
std::atomic<int> signalsTaken;

class CountSignals
{
  public:
    CountSignals()
    {
        signalsTaken.store(0);
        struct sigaction action = {};
        action.sa_handler = [](int) { signalsTaken.fetch_add(1); };
        action.sa_flags = SA_ONSTACK;
        sigaction(SIGUSR1, &action, &old_);
    }
    ~CountSignals()
    {
        sigaction(SIGUSR1, &old_, nullptr);
    }

  private:
    struct sigaction old_;
};

/*
 * Interrupts @thread until it has taken @count signals. Sends again while it waits: ThreadSanitizer
 * keeps a signal that comes just before a system call until that call is over.
 */
bool interrupt(pthread_t thread, int count)
{
    auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (signalsTaken.load() < count) {
        if (std::chrono::steady_clock::now() > deadline)
            return false;
        pthread_kill(thread, SIGUSR1);
        std::this_thread::yield();
    }
    return true;
}

struct AlignedFree {
    void operator()(void *memory) const
    {
        std::free(memory);
    }
};
using AlignedBytes = std::unique_ptr<char, AlignedFree>;

AlignedBytes alignedBytes(size_t size)
{
    return AlignedBytes(static_cast<char *>(std::aligned_alloc(4096, size)));
}

skua_op fixedTransfer(skua_op_code code, int fd, char *addr, size_t size, uint16_t buffer)
{
    skua_op op{};
    op.code = static_cast<uint8_t>(code);
    op.fd = fd;
    op.addr = addr;
    op.len = size;
    op.buf_index = buffer;
    return op;
}

} /* namespace */

TEST_P(File, OpensWritesReadsAndCloses)
{
    run([&] {
        std::string path = dir_.file("new");
        int fd = skua_open(path.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
        ASSERT_GE(fd, 0);
        EXPECT_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
        EXPECT_EQ(skua_write(fd, "hello", 5), 5);
        EXPECT_EQ(skua_write(fd, " sea", 4), 4);
        char buffer[16] = {};
        EXPECT_EQ(skua_read(fd, buffer, sizeof(buffer)), 0);
        EXPECT_EQ(skua_pread(fd, buffer, 5, 0), 5);
        EXPECT_STREQ(buffer, "hello");
        EXPECT_EQ(skua_pwrite(fd, "J", 1, 0), 1);
        EXPECT_EQ(skua_pread(fd, buffer, sizeof(buffer), 0), 9);
        EXPECT_STREQ(buffer, "Jello sea");
        EXPECT_EQ(skua_close(fd), 0);
        EXPECT_EQ(skua_close(fd), -EBADF);
        EXPECT_EQ(skua_open(path.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600), -EEXIST);
    });
}

TEST_P(File, ReadsAreShortAtTheEndAndThenZero)
{
    writeFile(dir_.file("f"), "12345");
    run([&] {
        int fd = skua_open(dir_.file("f").c_str(), O_RDONLY, 0);
        ASSERT_GE(fd, 0);
        char buffer[8];
        EXPECT_EQ(skua_read(fd, buffer, 3), 3);
        EXPECT_EQ(skua_read(fd, buffer, 8), 2);
        EXPECT_EQ(skua_read(fd, buffer, 8), 0);
        EXPECT_EQ(skua_read(fd, buffer, 0), 0);
        EXPECT_EQ(skua_pread(fd, buffer, 8, 4), 1);
        EXPECT_EQ(skua_pread(fd, buffer, 8, 5), 0);
        EXPECT_EQ(skua_pread(fd, buffer, 8, 1 << 20), 0);
        EXPECT_EQ(skua_pread_all(fd, buffer, 8, 2), 3);
        EXPECT_EQ(skua_pread_all(fd, buffer, 8, 9), 0);
        EXPECT_EQ(skua_pread_all(fd, buffer, 0, 0), 0);
        EXPECT_EQ(skua_close(fd), 0);
    });
}

TEST_P(File, ShortReadsOfAPipeAreReturnedAndTheAllFormGoesOn)
{
    run([&] {
        int ends[2];
        ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
        char buffer[16] = {};
        EXPECT_EQ(skua_write(ends[1], "abc", 3), 3);
        EXPECT_EQ(skua_read(ends[0], buffer, 16), 3);
        std::thread writer([&] {
            EXPECT_EQ(write(ends[1], "de", 2), 2);
            EXPECT_EQ(write(ends[1], "fgh", 3), 3);
        });
        EXPECT_EQ(skua_pread_all(ends[0], buffer, 5, 0), 5);
        EXPECT_STREQ(buffer, "defgh");
        writer.join();
        EXPECT_EQ(skua_close(ends[1]), 0);
        EXPECT_EQ(skua_read(ends[0], buffer, 16), 0);
        EXPECT_EQ(skua_close(ends[0]), 0);
    });
}

TEST_P(File, AWriteToANonBlockingPipeIsShortAndMoreWouldBlock)
{
    run([&] {
        int ends[2];
        ASSERT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
        int capacity = fcntl(ends[1], F_GETPIPE_SZ);
        ASSERT_GT(capacity, 0);
        std::string bytes = pattern(static_cast<size_t>(capacity) + 1000);
        char byte;
        if (GetParam() != Where::task) { /* a ring waits all the same */
            EXPECT_EQ(skua_read(ends[0], &byte, 1), -EAGAIN);
        }
        EXPECT_EQ(skua_write(ends[1], bytes.data(), bytes.size()), capacity);
        if (GetParam() != Where::task) {
            EXPECT_EQ(skua_write(ends[1], bytes.data(), bytes.size()), -EAGAIN);
            EXPECT_EQ(skua_pwrite_all(ends[1], bytes.data(), bytes.size(), 0), -EAGAIN);
        }
        EXPECT_EQ(skua_close(ends[0]), 0);
        EXPECT_EQ(skua_close(ends[1]), 0);
    });
}

TEST_P(File, ARequestThatMustNotWaitIsEagain)
{
    run([&] {
        int ends[2];
        ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
        char byte;
        iovec piece = {&byte, 1};
        skua_op op{};
        op.code = SKUA_OP_READV;
        op.fd = ends[0];
        op.addr = &piece;
        op.len = 1;
        op.offset = SKUA_OFFSET_CURRENT;
        op.flags = RWF_NOWAIT;
        EXPECT_EQ(skua_op_submit(&op, 1), 0);
        EXPECT_EQ(op.result, -EAGAIN);
        EXPECT_EQ(skua_close(ends[0]), 0);
        EXPECT_EQ(skua_close(ends[1]), 0);
    });
}

TEST_P(File, TheAllFormsMoveMegabytes)
{
    run([&] {
        std::string bytes = pattern(size_t{5} << 20);
        int fd = skua_open(dir_.file("big").c_str(), O_RDWR | O_CREAT, 0600);
        ASSERT_GE(fd, 0);
        ssize_t size = static_cast<ssize_t>(bytes.size());
        EXPECT_EQ(skua_pwrite_all(fd, bytes.data(), bytes.size(), 100), size);
        std::string back(bytes.size() + 10, '\0');
        EXPECT_EQ(skua_pread_all(fd, &back[0], back.size(), 100), size);
        back.resize(bytes.size());
        EXPECT_TRUE(back == bytes);
        EXPECT_EQ(skua_close(fd), 0);
    });
}

TEST_P(File, ErrorsAreTheKernels)
{
    run([&] {
        char byte = 'x';
        EXPECT_EQ(skua_open(dir_.file("none").c_str(), O_RDONLY, 0), -ENOENT);
        EXPECT_EQ(skua_open(dir_.path().c_str(), O_WRONLY, 0), -EISDIR);
        EXPECT_EQ(skua_open("", O_RDONLY, 0), -ENOENT);
        EXPECT_EQ(skua_read(-1, &byte, 1), -EBADF);
        EXPECT_EQ(skua_write(-1, &byte, 1), -EBADF);
        EXPECT_EQ(skua_fsync(-1), -EBADF);
        EXPECT_EQ(skua_fdatasync(-1), -EBADF);
        EXPECT_EQ(skua_ftruncate(-1, 0), -EBADF);
        EXPECT_EQ(skua_close(-1), -EBADF);
        int fd = skua_open(dir_.path().c_str(), O_RDONLY | O_DIRECTORY, 0);
        ASSERT_GE(fd, 0);
        EXPECT_EQ(skua_read(fd, &byte, 1), -EISDIR);
        EXPECT_EQ(skua_write(fd, &byte, 1), -EBADF);
        EXPECT_EQ(skua_close(fd), 0);
    });
}

TEST_P(File, AFullDeviceIsEnospc)
{
    run([&] {
        int fd = skua_open("/dev/full", O_WRONLY, 0);
        ASSERT_GE(fd, 0);
        EXPECT_EQ(skua_write(fd, "x", 1), -ENOSPC);
        EXPECT_EQ(skua_pwrite(fd, "x", 1, 0), -ENOSPC);
        EXPECT_EQ(skua_pwrite_all(fd, "x", 1, 0), -ENOSPC);
        iovec piece = {const_cast<char *>("x"), 1};
        EXPECT_EQ(skua_writev(fd, &piece, 1), -ENOSPC);
        EXPECT_EQ(skua_close(fd), 0);
    });
}

TEST_P(File, AFileWithoutPermissionIsEacces)
{
    if (geteuid() == 0)
        GTEST_SKIP() << "root may open anything";
    writeFile(dir_.file("secret"), "x");
    ASSERT_EQ(chmod(dir_.file("secret").c_str(), 0), 0);
    run([&] { EXPECT_EQ(skua_open(dir_.file("secret").c_str(), O_RDONLY, 0), -EACCES); });
}

TEST_P(File, NullAndOutOfRangeArgumentsAreInvalid)
{
    run([&] {
        struct statx info;
        char byte = 'x';
        EXPECT_EQ(skua_open(nullptr, O_RDONLY, 0), -EINVAL);
        EXPECT_EQ(skua_openat(AT_FDCWD, nullptr, O_RDONLY, 0), -EINVAL);
        EXPECT_EQ(skua_statx(AT_FDCWD, nullptr, 0, STATX_SIZE, &info), -EINVAL);
        EXPECT_EQ(skua_statx(AT_FDCWD, "/", 0, STATX_SIZE, nullptr), -EINVAL);
        EXPECT_EQ(skua_rename(nullptr, "b"), -EINVAL);
        EXPECT_EQ(skua_rename("a", nullptr), -EINVAL);
        EXPECT_EQ(skua_unlink(nullptr), -EINVAL);
        EXPECT_EQ(skua_mkdir(nullptr, 0), -EINVAL);
        EXPECT_EQ(skua_link("a", nullptr), -EINVAL);
        EXPECT_EQ(skua_link(nullptr, "b"), -EINVAL);
        EXPECT_EQ(skua_symlink("a", nullptr), -EINVAL);
        EXPECT_EQ(skua_symlink(nullptr, "b"), -EINVAL);
        EXPECT_EQ(skua_pread(0, &byte, 1, SKUA_OFFSET_CURRENT), -EINVAL);
        EXPECT_EQ(skua_pwrite(0, &byte, 1, UINT64_C(1) << 63), -EINVAL);
        EXPECT_EQ(skua_pread_all(0, &byte, SIZE_MAX, 0), -EINVAL);
        EXPECT_EQ(skua_pwrite_all(0, &byte, 1, SKUA_OFFSET_CURRENT), -EINVAL);
    });
}

TEST_P(File, VectorsAreFilledInOrderAtAnOffsetAndAtThePosition)
{
    run([&] {
        int fd = skua_open(dir_.file("v").c_str(), O_RDWR | O_CREAT, 0600);
        ASSERT_GE(fd, 0);
        iovec out[2] = {{const_cast<char *>("abc"), 3}, {const_cast<char *>("defg"), 4}};
        EXPECT_EQ(skua_writev(fd, out, 2), 7);
        EXPECT_EQ(skua_pwritev(fd, out, 1, 7), 3);
        EXPECT_EQ(skua_pwritev(fd, out, 1, SKUA_OFFSET_CURRENT), 3);
        char a[3] = {};
        char b[9] = {};
        iovec in[2] = {{a, 2}, {b, 8}};
        EXPECT_EQ(skua_preadv(fd, in, 2, 0), 10);
        EXPECT_STREQ(a, "ab");
        EXPECT_STREQ(b, "cdefgabc");
        EXPECT_EQ(skua_preadv(fd, in, 2, 10), 0);
        EXPECT_EQ(skua_readv(fd, in, 2), 0);
        EXPECT_EQ(skua_readv(fd, in, 0), 0);
        EXPECT_EQ(skua_readv(fd, in, IOV_MAX + 1), -EINVAL);
        EXPECT_EQ(skua_close(fd), 0);
    });
}

TEST_P(File, APipeIgnoresTheOffset)
{
    run([&] {
        int ends[2];
        ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
        char buffer[4] = {};
        EXPECT_EQ(skua_pwrite(ends[1], "ab", 2, 77), 2);
        EXPECT_EQ(skua_pread(ends[0], buffer, 3, 99), 2);
        EXPECT_STREQ(buffer, "ab");
        EXPECT_EQ(skua_close(ends[0]), 0);
        EXPECT_EQ(skua_close(ends[1]), 0);
    });
}

TEST_P(File, StatxTellsOfPathsAndOfDescriptors)
{
    writeFile(dir_.file("s"), "1234567");
    run([&] {
        struct statx info = {};
        EXPECT_EQ(skua_statx(AT_FDCWD, dir_.file("s").c_str(), 0, STATX_BASIC_STATS, &info), 0);
        EXPECT_EQ(info.stx_size, 7u);
        EXPECT_TRUE(S_ISREG(info.stx_mode));
        int fd = skua_open(dir_.file("s").c_str(), O_RDONLY, 0);
        ASSERT_GE(fd, 0);
        struct statx same = {};
        EXPECT_EQ(skua_statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &same), 0);
        EXPECT_EQ(same.stx_ino, info.stx_ino);
        EXPECT_EQ(skua_statx(fd, "", 0, STATX_BASIC_STATS, &same), -ENOENT);
        EXPECT_EQ(skua_statx(fd, "x", 0, STATX_BASIC_STATS, &same), -ENOTDIR);
        EXPECT_EQ(skua_statx(fd, "", AT_EMPTY_PATH, 0x80000000u, &same), -EINVAL);
        EXPECT_EQ(skua_close(fd), 0);
    });
}

TEST_P(File, LengthIsSetAllocatedAndSynced)
{
    run([&] {
        int fd = skua_open(dir_.file("l").c_str(), O_RDWR | O_CREAT, 0600);
        ASSERT_GE(fd, 0);
        struct statx info = {};
        EXPECT_EQ(skua_ftruncate(fd, 5000), 0);
        EXPECT_EQ(skua_statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &info), 0);
        EXPECT_EQ(info.stx_size, 5000u);
        EXPECT_EQ(skua_ftruncate(fd, UINT64_MAX), -EINVAL);
        int allocated = skua_fallocate(fd, 0, 5000, 5000);
        if (allocated != -EOPNOTSUPP) {
            EXPECT_EQ(allocated, 0);
            EXPECT_EQ(skua_statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &info), 0);
            EXPECT_EQ(info.stx_size, 10000u);
        }
        EXPECT_EQ(skua_fallocate(fd, 0, 0, 0), -EINVAL);
        EXPECT_EQ(skua_fsync(fd), 0);
        EXPECT_EQ(skua_fdatasync(fd), 0);
        EXPECT_EQ(skua_close(fd), 0);
    });
}

TEST_P(File, NamesAreMadeRenamedLinkedAndRemoved)
{
    run([&] {
        std::string a = dir_.file("a");
        std::string b = dir_.file("b");
        std::string sub = dir_.file("sub");
        writeFile(a, "text");
        EXPECT_EQ(skua_link(a.c_str(), b.c_str()), 0);
        EXPECT_EQ(skua_link(a.c_str(), b.c_str()), -EEXIST);
        EXPECT_EQ(skua_unlink(b.c_str()), 0);
        EXPECT_EQ(skua_unlink(b.c_str()), -ENOENT);
        EXPECT_EQ(skua_rename(a.c_str(), b.c_str()), 0);
        EXPECT_EQ(skua_symlink("b", a.c_str()), 0);
        EXPECT_EQ(readFile(a), "text");
        EXPECT_EQ(skua_mkdir(sub.c_str(), 0700), 0);
        EXPECT_EQ(skua_mkdir(sub.c_str(), 0700), -EEXIST);
        int at = skua_open(dir_.path().c_str(), O_RDONLY | O_DIRECTORY, 0);
        ASSERT_GE(at, 0);
        EXPECT_EQ(skua_renameat(at, "b", at, "a", RENAME_NOREPLACE), -EEXIST);
        EXPECT_EQ(skua_renameat(at, "b", at, "sub/b", 0), 0);
        EXPECT_EQ(skua_mkdirat(at, "sub/deep", 0700), 0);
        EXPECT_EQ(skua_unlinkat(at, "sub", 0), -EISDIR);
        EXPECT_EQ(skua_unlinkat(at, "sub", AT_REMOVEDIR), -ENOTEMPTY);
        EXPECT_EQ(skua_unlinkat(at, "sub/deep", AT_REMOVEDIR), 0);
        int fd = skua_openat(at, "sub/b", O_RDONLY, 0);
        EXPECT_GE(fd, 0);
        EXPECT_EQ(skua_close(fd), 0);
        EXPECT_EQ(skua_close(at), 0);
    });
}

TEST_P(File, SpliceMovesFromAFileThroughAPipeToAFile)
{
    std::string bytes = pattern(40000);
    writeFile(dir_.file("from"), bytes);
    run([&] {
        int from = skua_open(dir_.file("from").c_str(), O_RDONLY, 0);
        int to = skua_open(dir_.file("to").c_str(), O_WRONLY | O_CREAT, 0600);
        int ends[2];
        ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
        uint64_t done = 0;
        for (;;) {
            ssize_t in = skua_splice(from, done, ends[1], SKUA_OFFSET_CURRENT, 30000, 0);
            ASSERT_GE(in, 0);
            if (in == 0)
                break;
            for (ssize_t left = in; left > 0;) {
                ssize_t out = skua_splice(ends[0], SKUA_OFFSET_CURRENT, to, done,
                                          static_cast<size_t>(left), SPLICE_F_MOVE);
                ASSERT_GT(out, 0);
                left -= out;
                done += static_cast<uint64_t>(out);
            }
        }
        EXPECT_EQ(done, bytes.size());
        EXPECT_EQ(skua_splice(from, 0, ends[1], 5, 1, 0), -ESPIPE);
        EXPECT_EQ(skua_splice(from, 0, to, 0, 1, 0), -EINVAL);
        for (int fd : {from, to, ends[0], ends[1]})
            EXPECT_EQ(skua_close(fd), 0);
    });
    EXPECT_TRUE(readFile(dir_.file("to")) == bytes);
}

TEST_P(File, AdviceOnFilesAndMemoryIsTaken)
{
    writeFile(dir_.file("f"), "x");
    run([&] {
        int fd = skua_open(dir_.file("f").c_str(), O_RDONLY, 0);
        ASSERT_GE(fd, 0);
        EXPECT_EQ(skua_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL), 0);
        EXPECT_EQ(skua_fadvise(fd, 0, UINT64_C(5) << 30, POSIX_FADV_WILLNEED), 0);
        EXPECT_EQ(skua_fadvise(fd, 0, 0, 999), -EINVAL);
        EXPECT_EQ(skua_close(fd), 0);
        size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
        AlignedBytes memory = alignedBytes(2 * page);
        EXPECT_EQ(skua_madvise(memory.get(), page, MADV_WILLNEED), 0);
        EXPECT_EQ(skua_madvise(memory.get() + 1, page, MADV_WILLNEED), -EINVAL);
    });
}

TEST_P(File, AnInterruptedReadIsRetried)
{
    CountSignals handler;
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    std::atomic<bool> reading{false};
    pthread_t reader{};
    std::thread signaller([&] {
        while (!reading.load())
            std::this_thread::yield();
        EXPECT_TRUE(interrupt(reader, 50));
        EXPECT_EQ(write(ends[1], "whole", 5), 5);
    });
    run([&] {
        char buffer[8] = {};
        reader = pthread_self(); /* the thread it is on now, which outlives the read */
        reading.store(true);
        EXPECT_EQ(skua_read(ends[0], buffer, sizeof(buffer)), 5);
        EXPECT_STREQ(buffer, "whole");
    });
    signaller.join();
    close(ends[0]);
    close(ends[1]);
}

TEST_P(File, ADirectReadIntoAlignedMemoryWorks)
{
    const size_t size = 64 << 10;
    std::string bytes = pattern(size);
    writeFile(dir_.file("d"), bytes);
    int probe = open(dir_.file("d").c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC);
    if (probe < 0)
        GTEST_SKIP() << "the file system refuses O_DIRECT";
    close(probe);
    run([&] {
        int fd = skua_open(dir_.file("d").c_str(), O_RDWR | O_DIRECT, 0);
        ASSERT_GE(fd, 0);
        AlignedBytes buffer = alignedBytes(size);
        EXPECT_EQ(skua_pread_all(fd, buffer.get(), size, 0), static_cast<ssize_t>(size));
        EXPECT_EQ(std::memcmp(buffer.get(), bytes.data(), size), 0);
        std::memset(buffer.get(), 'w', 4096);
        EXPECT_EQ(skua_pwrite(fd, buffer.get(), 4096, 4096), 4096);
        EXPECT_EQ(skua_pread(fd, buffer.get(), 4096, 0), 4096);
        EXPECT_EQ(std::memcmp(buffer.get(), bytes.data(), 4096), 0);
        EXPECT_EQ(skua_close(fd), 0);
    });
    EXPECT_EQ(readFile(dir_.file("d")).substr(4096, 4096), std::string(4096, 'w'));
}

TEST_P(File, ErrnoIsNeitherSetNorNeeded)
{
    run([&] {
        EXPECT_EQ(skua_close(-1), -EBADF);
        EXPECT_EQ(skua_open("/nonexistent/file", O_RDONLY, 0), -ENOENT);
    });
    if (GetParam() == Where::foreignThread) {
        errno = ENOTTY;
        EXPECT_EQ(skua_close(-1), -EBADF);
        EXPECT_EQ(errno, ENOTTY);
        errno = 0;
    }
}

TEST_F(FileInATask, RegisteredBuffersAreReadAndWritten)
{
    const size_t size = 16384;
    AlignedBytes first = alignedBytes(size);
    AlignedBytes second = alignedBytes(size);
    iovec buffers[2] = {{first.get(), size}, {second.get(), size}};
    EXPECT_EQ(skua_buffers_register(buffers, 2), -EPERM);
    runInTask([&] {
        EXPECT_EQ(skua_buffers_register(nullptr, 2), -EINVAL);
        EXPECT_EQ(skua_buffers_register(buffers, 0), -EINVAL);
        ASSERT_EQ(skua_buffers_register(buffers, 2), 0);
        EXPECT_EQ(skua_buffers_register(buffers, 2), -EBUSY);
        int fd = skua_open(dir_.file("r").c_str(), O_RDWR | O_CREAT, 0600);
        ASSERT_GE(fd, 0);
        std::string bytes = pattern(size);
        std::memcpy(first.get(), bytes.data(), size);
        skua_op write = fixedTransfer(SKUA_OP_WRITE_FIXED, fd, first.get(), size, 0);
        EXPECT_EQ(skua_op_submit(&write, 1), 0);
        EXPECT_EQ(write.result, static_cast<int64_t>(size));
        skua_op read = fixedTransfer(SKUA_OP_READ_FIXED, fd, second.get() + 100, 1000, 1);
        EXPECT_EQ(skua_op_submit(&read, 1), 0);
        EXPECT_EQ(read.result, 1000);
        EXPECT_EQ(std::memcmp(second.get() + 100, bytes.data(), 1000), 0);
        EXPECT_EQ(skua_close(fd), 0);
    });
}

TEST_F(FileInATask, ACancelledPipeReadEndsOnceAndLosesNoByte)
{
    runInTask([&] {
        int ends[2];
        ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
        std::atomic<int> returns{0};
        ssize_t result = 0;
        char buffer[8] = {};
        auto body = [&] {
            result = skua_read(ends[0], buffer, sizeof(buffer));
            returns.fetch_add(1);
        };
        uint64_t before = opsSubmitted();
        skua_future *reader = skua_spawn(callBody<decltype(body)>, &body);
        EXPECT_TRUE(yieldUntil([&] { return opsSubmitted() > before; }));
        EXPECT_EQ(skua_cancel(reader), 0);
        EXPECT_EQ(skua_await(reader), 0);
        EXPECT_EQ(returns.load(), 1);
        EXPECT_EQ(result, -ECANCELED);
        EXPECT_EQ(skua_write(ends[1], "later", 5), 5);
        EXPECT_EQ(skua_read(ends[0], buffer, sizeof(buffer)), 5);
        EXPECT_STREQ(buffer, "later");
        EXPECT_EQ(returns.load(), 1);
        EXPECT_EQ(skua_close(ends[0]), 0);
        EXPECT_EQ(skua_close(ends[1]), 0);
    });
}

TEST_F(FileInATask, ACancelThatMeetsAResultLosesNoByte)
{
    runInTask([&] {
        int ends[2];
        ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
        for (int i = 0; i < 300; i++) {
            ssize_t result = -EINPROGRESS; /* stays if it was cancelled before it started */
            char byte = 0;
            auto body = [&] { result = skua_read(ends[0], &byte, 1); };
            skua_future *reader = skua_spawn(callBody<decltype(body)>, &body);
            for (int turn = 0; turn < i % 7; turn++)
                skua_yield();
            char sent = static_cast<char>(i);
            EXPECT_EQ(write(ends[1], &sent, 1), 1);
            (void)skua_cancel(reader);
            (void)skua_await(reader);
            if (result != 1) {
                EXPECT_TRUE(result == -ECANCELED || result == -EINPROGRESS) << result;
                EXPECT_EQ(skua_read(ends[0], &byte, 1), 1);
            }
            EXPECT_EQ(byte, sent);
        }
        EXPECT_EQ(skua_close(ends[0]), 0);
        EXPECT_EQ(skua_close(ends[1]), 0);
    });
}

TEST_F(FileInATask, ACancelledTaskOpensNothingButCanClose)
{
    writeFile(dir_.file("f"), "x");
    runInTask([&] {
        int fd = skua_open(dir_.file("f").c_str(), O_RDONLY, 0);
        ASSERT_GE(fd, 0);
        runInChild([&] {
            EXPECT_EQ(skua_cancel(skua_self()), 0);
            char byte;
            struct statx info;
            EXPECT_EQ(skua_open(dir_.file("f").c_str(), O_RDONLY, 0), -ECANCELED);
            EXPECT_EQ(skua_open(dir_.file("new").c_str(), O_RDWR | O_CREAT, 0600), -ECANCELED);
            EXPECT_EQ(skua_read(fd, &byte, 1), -ECANCELED);
            EXPECT_EQ(skua_pread_all(fd, &byte, 1, 0), -ECANCELED);
            EXPECT_EQ(skua_unlink(dir_.file("f").c_str()), -ECANCELED);
            EXPECT_EQ(skua_statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &info), -ECANCELED);
            EXPECT_EQ(skua_close(fd), 0);
        });
        EXPECT_EQ(skua_close(fd), -EBADF);
        EXPECT_NE(access(dir_.file("new").c_str(), F_OK), 0);
    });
}

TEST_F(FileInATask, ACancelledOpenLeaksNoDescriptor)
{
    writeFile(dir_.file("f"), "x");
    runInTask([&] {
        for (int i = 0; i < 300; i++) {
            int fd = -EINPROGRESS;
            auto body = [&] { fd = skua_open(dir_.file("f").c_str(), O_RDONLY, 0); };
            skua_future *opener = skua_spawn(callBody<decltype(body)>, &body);
            for (int turn = 0; turn < i % 5; turn++)
                skua_yield();
            (void)skua_cancel(opener);
            (void)skua_await(opener);
            if (fd >= 0)
                EXPECT_EQ(skua_close(fd), 0);
            else
                EXPECT_TRUE(fd == -ECANCELED || fd == -EINPROGRESS) << fd;
        }
    });
}

TEST_F(FileInATask, BytesReadBeforeACancelAreReturned)
{
    runInTask([&] {
        int ends[2];
        ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
        ASSERT_EQ(write(ends[1], "abc", 3), 3);
        ssize_t result = 0;
        char buffer[8] = {};
        auto body = [&] { result = skua_pread_all(ends[0], buffer, sizeof(buffer), 0); };
        uint64_t before = opsSubmitted();
        skua_future *reader = skua_spawn(callBody<decltype(body)>, &body);
        EXPECT_TRUE(yieldUntil([&] { return opsSubmitted() > before + 1; }));
        EXPECT_EQ(skua_cancel(reader), 0);
        EXPECT_EQ(skua_await(reader), 0);
        EXPECT_EQ(result, 3);
        EXPECT_STREQ(buffer, "abc");
        EXPECT_EQ(skua_close(ends[0]), 0);
        EXPECT_EQ(skua_close(ends[1]), 0);
    });
}

TEST_F(FileInATask, ManyTasksUseFilesAtOnce)
{
    runInTask([&] {
        struct Job {
            std::string path;
            std::string bytes;
            bool same;
        };
        std::vector<Job> jobs(64);
        std::vector<skua_future *> futures;
        for (size_t i = 0; i < jobs.size(); i++) {
            jobs[i] = {dir_.file(std::to_string(i)), pattern(1000 + i * 777), false};
            skua_fn body = [](void *arg) -> intptr_t {
                Job *job = static_cast<Job *>(arg);
                int fd = skua_open(job->path.c_str(), O_RDWR | O_CREAT, 0600);
                size_t size = job->bytes.size();
                std::string back(size, '\0');
                job->same =
                    skua_pwrite_all(fd, job->bytes.data(), size, 0) == static_cast<ssize_t>(size) &&
                    skua_pread_all(fd, &back[0], size, 0) == static_cast<ssize_t>(size) &&
                    back == job->bytes;
                return skua_close(fd);
            };
            futures.push_back(skua_spawn(body, &jobs[i]));
        }
        for (size_t i = 0; i < jobs.size(); i++) {
            EXPECT_EQ(skua_await(futures[i]), 0);
            EXPECT_TRUE(jobs[i].same) << i;
        }
    });
}
