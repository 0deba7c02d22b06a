/*
 * Tests skua_dir_open(), skua_dir_read(), skua_dir_fd() and skua_dir_close().
 */
#include "support/fd_guard.h"
#include "support/hang_guard.h"
#include "support/run_in_task.h"
#include "support/temp_dir.h"

#include <cerrno>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <map>
#include <pthread.h>
#include <set>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

using namespace skua_test;

namespace
{

class Dir : public testing::TestWithParam<Where>
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

INSTANTIATE_TEST_SUITE_P(Everywhere, Dir, everywhere(), WhereName());

class DirInATask : public testing::Test
{
  protected:
    FdGuard fds_;
    HangGuard hang_;
    TempDir dir_;
};

/* Long names, so that a listing needs many fills of the buffer. */
std::string nameOf(size_t index)
{
    return std::string(index % 40, 'n') + "." + std::to_string(index);
}

/* Names of one file: cheaper to make than files. */
void makeNames(const TempDir &dir, size_t count)
{
    int at = open(dir.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ASSERT_GE(at, 0);
    ASSERT_EQ(mknodat(at, nameOf(0).c_str(), S_IFREG | 0600, 0), 0);
    for (size_t i = 1; i < count; i++)
        ASSERT_EQ(linkat(at, nameOf(0).c_str(), at, nameOf(i).c_str(), 0), 0) << i;
    close(at);
}

/* Lists the rest of @dir in batches and checks that no name comes twice. */
void listInto(skua_dir *dir, size_t batch, std::map<std::string, skua_dirent> *found)
{
    std::vector<skua_dirent> entries(batch);
    for (;;) {
        ssize_t n = skua_dir_read(dir, entries.data(), batch);
        ASSERT_GE(n, 0);
        ASSERT_LE(n, static_cast<ssize_t>(batch));
        if (n == 0)
            return;
        for (size_t i = 0; i < static_cast<size_t>(n); i++)
            ASSERT_TRUE(found->emplace(entries[i].name, entries[i]).second) << entries[i].name;
    }
}

std::map<std::string, skua_dirent> list(const std::string &path, size_t batch)
{
    std::map<std::string, skua_dirent> found;
    skua_dir *dir = nullptr;
    EXPECT_EQ(skua_dir_open(AT_FDCWD, path.c_str(), 0, &dir), 0);
    if (dir)
        listInto(dir, batch, &found);
    skua_dir_close(dir);
    return found;
}

void expectNames(const std::map<std::string, skua_dirent> &found, size_t count)
{
    EXPECT_EQ(found.size(), count);
    for (size_t i = 0; i < count; i++)
        ASSERT_EQ(found.count(nameOf(i)), 1u) << nameOf(i);
}

} /* namespace */

TEST_P(Dir, AnEmptyOneHasNoEntries)
{
    run([&] {
        skua_dir *dir = nullptr;
        ASSERT_EQ(skua_dir_open(AT_FDCWD, dir_.path().c_str(), 0, &dir), 0);
        skua_dirent entry;
        EXPECT_EQ(skua_dir_read(dir, &entry, 1), 0);
        EXPECT_EQ(skua_dir_read(dir, &entry, 1), 0);
        skua_dir_close(dir);
    });
}

TEST_P(Dir, FiveThousandEntriesComeInSmallAndLargeBatches)
{
    const size_t count = 5000;
    makeNames(dir_, count);
    run([&] {
        expectNames(list(dir_.path(), 1), count);
        expectNames(list(dir_.path(), 7), count);
        expectNames(list(dir_.path(), 10000), count);
    });
}

TEST_P(Dir, NamesAreBytes)
{
    const std::set<std::string> names = {
        "\x01\x7f", "\xff\xfe\x80",     "line\nbreak",   " ",
        "...",      "..data",           ".hidden",       std::string(255, 'x'),
        "-rf",      "\xf0\x9f\x90\xa6", "quote'\"\\ $*?"};
    for (const std::string &name : names)
        writeFile(dir_.file(name), "");
    run([&] {
        std::set<std::string> found;
        for (const auto &entry : list(dir_.path(), 3))
            found.insert(entry.first);
        EXPECT_EQ(found, names);
    });
}

TEST_P(Dir, EntriesCarryInodeAndType)
{
    writeFile(dir_.file("file"), "");
    ASSERT_EQ(mkdir(dir_.file("sub").c_str(), 0700), 0);
    ASSERT_EQ(symlink("file", dir_.file("link").c_str()), 0);
    run([&] {
        std::map<std::string, skua_dirent> found = list(dir_.path(), 16);
        ASSERT_EQ(found.size(), 3u);
        const std::pair<const char *, uint8_t> expected[] = {
            {"file", DT_REG}, {"sub", DT_DIR}, {"link", DT_LNK}};
        for (const auto &entry : expected) {
            struct stat st;
            ASSERT_EQ(lstat(dir_.file(entry.first).c_str(), &st), 0);
            EXPECT_EQ(found[entry.first].inode, st.st_ino);
            uint8_t type = found[entry.first].type;
            EXPECT_TRUE(type == entry.second || type == DT_UNKNOWN) << entry.first;
        }
    });
}

TEST_P(Dir, ItsDescriptorServesTheAtCalls)
{
    writeFile(dir_.file("f"), "x");
    run([&] {
        skua_dir *dir = nullptr;
        ASSERT_EQ(skua_dir_open(AT_FDCWD, dir_.path().c_str(), O_NOFOLLOW, &dir), 0);
        EXPECT_EQ(fcntl(skua_dir_fd(dir), F_GETFD), FD_CLOEXEC);
        skua_dirent entry;
        ASSERT_EQ(skua_dir_read(dir, &entry, 1), 1);
        EXPECT_STREQ(entry.name, "f");
        EXPECT_EQ(skua_unlinkat(skua_dir_fd(dir), entry.name, 0), 0);
        skua_dir_close(dir);
    });
    EXPECT_NE(access(dir_.file("f").c_str(), F_OK), 0);
}

TEST_P(Dir, WhatIsNoDirectoryIsRefusedAndNothingIsTouched)
{
    writeFile(dir_.file("f"), "");
    ASSERT_EQ(symlink(dir_.path().c_str(), dir_.file("link").c_str()), 0);
    run([&] {
        skua_dir *untouched = reinterpret_cast<skua_dir *>(this);
        skua_dir *dir = untouched;
        EXPECT_EQ(skua_dir_open(AT_FDCWD, dir_.file("f").c_str(), 0, &dir), -ENOTDIR);
        EXPECT_EQ(skua_dir_open(AT_FDCWD, dir_.file("none").c_str(), 0, &dir), -ENOENT);
        EXPECT_EQ(skua_dir_open(AT_FDCWD, dir_.file("link").c_str(), O_NOFOLLOW, &dir), -ENOTDIR);
        EXPECT_EQ(skua_dir_open(-1, "relative", 0, &dir), -EBADF);
        EXPECT_EQ(skua_dir_open(AT_FDCWD, nullptr, 0, &dir), -EINVAL);
        EXPECT_EQ(skua_dir_open(AT_FDCWD, dir_.path().c_str(), O_RDWR, &dir), -EINVAL);
        EXPECT_EQ(skua_dir_open(AT_FDCWD, dir_.path().c_str(), 0, nullptr), -EINVAL);
        EXPECT_EQ(dir, untouched);
        skua_dirent entry;
        EXPECT_EQ(skua_dir_read(nullptr, &entry, 1), -EINVAL);
        EXPECT_EQ(skua_dir_fd(nullptr), -EINVAL);
        skua_dir_close(nullptr);
        ASSERT_EQ(skua_dir_open(AT_FDCWD, dir_.file("link").c_str(), 0, &dir), 0);
        EXPECT_EQ(skua_dir_read(dir, nullptr, 1), -EINVAL);
        EXPECT_EQ(skua_dir_read(dir, &entry, 0), -EINVAL);
        skua_dir_close(dir);
    });
}

TEST_P(Dir, ARemovedDirectoryIsEnoent)
{
    std::string sub = dir_.file("sub");
    ASSERT_EQ(mkdir(sub.c_str(), 0700), 0);
    run([&] {
        skua_dir *dir = nullptr;
        ASSERT_EQ(skua_dir_open(AT_FDCWD, sub.c_str(), 0, &dir), 0);
        EXPECT_EQ(skua_unlinkat(AT_FDCWD, sub.c_str(), AT_REMOVEDIR), 0);
        skua_dirent entry;
        EXPECT_EQ(skua_dir_read(dir, &entry, 1), -ENOENT);
        skua_dir_close(dir);
    });
}

TEST_F(DirInATask, ACancelledReadLosesNoEntry)
{
    const size_t count = 2000;
    makeNames(dir_, count);
    runInTask([&] {
        skua_dir *dir = nullptr;
        ASSERT_EQ(skua_dir_open(AT_FDCWD, dir_.path().c_str(), 0, &dir), 0);
        std::map<std::string, skua_dirent> found;
        std::vector<skua_dirent> entries(100);
        bool over = false;
        for (int round = 0; !over && round < 1000; round++) {
            ssize_t n = -EINPROGRESS; /* stays if it was cancelled before it started */
            auto body = [&] { n = skua_dir_read(dir, entries.data(), entries.size()); };
            skua_future *reader = skua_spawn(callBody<decltype(body)>, &body);
            for (int turn = 0; turn < round % 5; turn++)
                skua_yield();
            (void)skua_cancel(reader);
            (void)skua_await(reader);
            ASSERT_TRUE(n >= 0 || n == -ECANCELED || n == -EINPROGRESS) << n;
            for (ssize_t i = 0; i < n; i++)
                ASSERT_TRUE(
                    found.emplace(entries[static_cast<size_t>(i)].name, skua_dirent{}).second);
            over = n == 0;
        }
        listInto(dir, 50, &found);
        expectNames(found, count);
        skua_dir_close(dir);
    });
}

TEST_F(DirInATask, ACancelledTaskOpensNothingButCanClose)
{
    makeNames(dir_, 10);
    runInTask([&] {
        skua_dir *dir = nullptr;
        ASSERT_EQ(skua_dir_open(AT_FDCWD, dir_.path().c_str(), 0, &dir), 0);
        runInChild([&] {
            EXPECT_EQ(skua_cancel(skua_self()), 0);
            skua_dir *other = nullptr;
            EXPECT_EQ(skua_dir_open(AT_FDCWD, dir_.path().c_str(), 0, &other), -ECANCELED);
            EXPECT_EQ(other, nullptr);
            skua_dirent entry;
            EXPECT_EQ(skua_dir_read(dir, &entry, 1), -ECANCELED);
            skua_dir_close(dir);
        });
    });
}

TEST_F(DirInATask, ACancelledOpenLeaksNothing)
{
    runInTask([&] {
        for (int i = 0; i < 200; i++) {
            skua_dir *dir = nullptr;
            auto body = [&] { (void)skua_dir_open(AT_FDCWD, dir_.path().c_str(), 0, &dir); };
            skua_future *opener = skua_spawn(callBody<decltype(body)>, &body);
            for (int turn = 0; turn < i % 5; turn++)
                skua_yield();
            (void)skua_cancel(opener);
            (void)skua_await(opener);
            skua_dir_close(dir);
        }
    });
}

TEST_F(DirInATask, ManyTasksListAtOnce)
{
    const size_t count = 1500;
    makeNames(dir_, count);
    runInTask([&] {
        auto body = [&] { expectNames(list(dir_.path(), 33), count); };
        std::vector<skua_future *> listers;
        for (int i = 0; i < 20; i++)
            listers.push_back(skua_spawn(callBody<decltype(body)>, &body));
        for (skua_future *lister : listers)
            EXPECT_EQ(skua_await(lister), 0);
    });
}

TEST_F(DirInATask, ATaskThatHoppedStaysWhereItIs)
{
    makeNames(dir_, 100);
    runInTask([&] {
        ASSERT_EQ(skua_hop(skua_executor_cpu(nullptr)), 0);
        pthread_t thread = pthread_self();
        expectNames(list(dir_.path(), 1000), 100);
        EXPECT_TRUE(pthread_equal(thread, pthread_self()));
        EXPECT_EQ(skua_hop_back(), 0);
    });
}
