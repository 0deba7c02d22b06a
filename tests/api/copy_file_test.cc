/*
 * Tests skua_copy_file().
 */
#include "support/fd_guard.h"
#include "support/hang_guard.h"
#include "support/run_in_task.h"
#include "support/temp_dir.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

using namespace skua_test;

namespace
{

const size_t kMiB = size_t{1} << 20;

class CopyFile : public testing::TestWithParam<Where>
{
  protected:
    template <class Body> void run(Body &&body)
    {
        runIn(GetParam(), body);
    }

    /* Copies "from" to "to" where the parameter says. */
    int64_t copy()
    {
        return copy(dir_.file("from"), dir_.file("to"));
    }

    int64_t copy(const std::string &from, const std::string &to)
    {
        int64_t result = INT64_MIN;
        run([&] { result = skua_copy_file(from.c_str(), to.c_str()); });
        return result;
    }

    void copiesOf(size_t size)
    {
        std::string bytes = pattern(size);
        writeFile(dir_.file("from"), bytes);
        EXPECT_EQ(copy(), static_cast<int64_t>(size));
        EXPECT_TRUE(readFile(dir_.file("to")) == bytes);
        EXPECT_TRUE(readFile(dir_.file("from")) == bytes);
    }

    FdGuard fds_;
    HangGuard hang_;
    TempDir dir_;
};

INSTANTIATE_TEST_SUITE_P(Everywhere, CopyFile, everywhere(), WhereName());

class CopyFileInATask : public testing::Test
{
  protected:
    FdGuard fds_;
    HangGuard hang_;
    TempDir dir_;
};

mode_t modeOf(const std::string &path)
{
    struct stat st = {};
    EXPECT_EQ(stat(path.c_str(), &st), 0);
    return st.st_mode & 07777;
}

mode_t currentMask()
{
    mode_t mask = umask(0);
    umask(mask);
    return mask;
}

} /* namespace */

TEST_P(CopyFile, OfNoBytes)
{
    copiesOf(0);
}

TEST_P(CopyFile, OfOneByte)
{
    copiesOf(1);
}

TEST_P(CopyFile, OfTenMiB)
{
    copiesOf(10 * kMiB);
}

TEST_P(CopyFile, OfOneChunkAndAByte)
{
    copiesOf(8 * kMiB + 1);
}

TEST_P(CopyFile, OverwritesALongerFileAndKeepsItsMode)
{
    writeFile(dir_.file("from"), "short");
    writeFile(dir_.file("to"), pattern(100000));
    ASSERT_EQ(chmod(dir_.file("to").c_str(), 0622), 0);
    EXPECT_EQ(copy(), 5);
    EXPECT_EQ(readFile(dir_.file("to")), "short");
    EXPECT_EQ(modeOf(dir_.file("to")), 0622u);
}

TEST_P(CopyFile, GivesTheCopyThePermissionBitsWithinTheUmask)
{
    writeFile(dir_.file("from"), "x");
    ASSERT_EQ(chmod(dir_.file("from").c_str(), 04571), 0);
    EXPECT_EQ(copy(), 1);
    EXPECT_EQ(modeOf(dir_.file("to")), 0571u & ~currentMask());
}

TEST_P(CopyFile, OntoItselfIsInvalidAndHarmless)
{
    writeFile(dir_.file("from"), "precious");
    ASSERT_EQ(link(dir_.file("from").c_str(), dir_.file("hard").c_str()), 0);
    ASSERT_EQ(symlink("from", dir_.file("soft").c_str()), 0);
    for (const char *name : {"from", "hard", "soft"})
        EXPECT_EQ(copy(dir_.file("from"), dir_.file(name)), -EINVAL) << name;
    EXPECT_EQ(copy(dir_.file("soft"), dir_.file("hard")), -EINVAL);
    EXPECT_EQ(readFile(dir_.file("from")), "precious");
}

TEST_P(CopyFile, FollowsSymbolicLinks)
{
    writeFile(dir_.file("real"), "text");
    ASSERT_EQ(symlink("real", dir_.file("from").c_str()), 0);
    ASSERT_EQ(symlink("made", dir_.file("to").c_str()), 0);
    EXPECT_EQ(copy(), 4);
    EXPECT_EQ(readFile(dir_.file("made")), "text");
}

TEST_P(CopyFile, ToAFullDeviceIsEnospc)
{
    writeFile(dir_.file("from"), pattern(300000));
    EXPECT_EQ(copy(dir_.file("from"), "/dev/full"), -ENOSPC);
    EXPECT_EQ(copy(dir_.file("from"), "/dev/null"), 300000);
}

TEST_P(CopyFile, OfAFileThatHasBytesButNoSize)
{
    int64_t size = copy("/proc/self/status", dir_.file("to"));
    EXPECT_GT(size, 0);
    EXPECT_EQ(static_cast<int64_t>(readFile(dir_.file("to")).size()), size);
}

TEST_P(CopyFile, ToAnotherFileSystem)
{
    if (access("/dev/shm", W_OK) != 0)
        GTEST_SKIP() << "there is no /dev/shm to write to";
    TempDir other("/dev/shm");
    std::string bytes = pattern(3 * kMiB + 17);
    writeFile(dir_.file("from"), bytes);
    EXPECT_EQ(copy(dir_.file("from"), other.file("to")), static_cast<int64_t>(bytes.size()));
    EXPECT_TRUE(readFile(other.file("to")) == bytes);
}

TEST_P(CopyFile, ToAPipeWritesEverything)
{
    std::string bytes = pattern(200000);
    writeFile(dir_.file("from"), bytes);
    ASSERT_EQ(mkfifo(dir_.file("to").c_str(), 0600), 0);
    std::string received;
    std::thread reader([&] { received = readFile(dir_.file("to")); });
    EXPECT_EQ(copy(), static_cast<int64_t>(bytes.size()));
    reader.join();
    EXPECT_TRUE(received == bytes);
}

TEST_P(CopyFile, OfASparseFileHasTheSameBytes)
{
    int fd = open(dir_.file("from").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ASSERT_GE(fd, 0);
    ASSERT_EQ(pwrite(fd, "middle", 6, 5 * kMiB), 6);
    ASSERT_EQ(ftruncate(fd, static_cast<off_t>(12 * kMiB)), 0);
    close(fd);
    EXPECT_EQ(copy(), static_cast<int64_t>(12 * kMiB));
    EXPECT_TRUE(readFile(dir_.file("to")) == readFile(dir_.file("from")));
}

TEST_P(CopyFile, WhatIsNoRegularFileIsRefusedAndNothingIsMade)
{
    ASSERT_EQ(mkfifo(dir_.file("fifo").c_str(), 0600), 0);
    EXPECT_EQ(copy(dir_.path(), dir_.file("to")), -EISDIR);
    EXPECT_EQ(copy(dir_.file("fifo"), dir_.file("to")), -EINVAL);
    EXPECT_EQ(copy("/dev/zero", dir_.file("to")), -EINVAL);
    EXPECT_EQ(copy(dir_.file("none"), dir_.file("to")), -ENOENT);
    EXPECT_NE(access(dir_.file("to").c_str(), F_OK), 0);
    writeFile(dir_.file("from"), "x");
    EXPECT_EQ(copy(dir_.file("from"), dir_.path()), -EISDIR);
    EXPECT_EQ(copy(dir_.file("from"), dir_.file("none/to")), -ENOENT);
    EXPECT_EQ(skua_copy_file(nullptr, "to"), -EINVAL);
    EXPECT_EQ(skua_copy_file("from", nullptr), -EINVAL);
}

TEST_F(CopyFileInATask, ACancelledTaskCopiesNothing)
{
    writeFile(dir_.file("from"), "x");
    runInTask([&] {
        runInChild([&] {
            EXPECT_EQ(skua_cancel(skua_self()), 0);
            EXPECT_EQ(skua_copy_file(dir_.file("from").c_str(), dir_.file("to").c_str()),
                      -ECANCELED);
        });
    });
    EXPECT_NE(access(dir_.file("to").c_str(), F_OK), 0);
}

TEST_F(CopyFileInATask, ACancelEndsItOrComesTooLateAndLeaksNothing)
{
    std::string bytes = pattern(20 * kMiB);
    writeFile(dir_.file("from"), bytes);
    runInTask([&] {
        for (int i = 0; i < 20; i++) {
            int64_t result = -EINPROGRESS; /* stays if it was cancelled before it started */
            auto body = [&] {
                result = skua_copy_file(dir_.file("from").c_str(), dir_.file("to").c_str());
            };
            skua_future *copier = skua_spawn(callBody<decltype(body)>, &body);
            for (int turn = 0; turn < i * 20; turn++)
                skua_yield();
            (void)skua_cancel(copier);
            (void)skua_await(copier);
            if (result >= 0)
                EXPECT_EQ(result, static_cast<int64_t>(bytes.size()));
            else
                EXPECT_TRUE(result == -ECANCELED || result == -EINPROGRESS) << result;
        }
        EXPECT_EQ(skua_copy_file(dir_.file("from").c_str(), dir_.file("to").c_str()),
                  static_cast<int64_t>(bytes.size()));
    });
    EXPECT_TRUE(readFile(dir_.file("to")) == bytes);
}
