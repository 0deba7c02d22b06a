/*
 * memory_test.cc - platform/memory: guards that guard, pages that go back, refusals passed on.
 */
extern "C" {
#include "platform/memory.h"
}

#include "support/child.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <sys/mman.h>
#include <vector>

namespace
{

using skua_test::run_child;

/* Which call the hook refuses, with what. */
int refused_call = -1;
int refused_error = 0;
int refused_count = 0;

int refuse(skua_memory_call call, size_t)
{
    if (static_cast<int>(call) != refused_call)
        return 0;
    refused_count++;
    return refused_error;
}

int refuse_installs(skua_memory_call call, size_t)
{
    return call == SKUA_MEMORY_GUARD_INSTALL || call == SKUA_MEMORY_GUARD_VECTOR ? -EINVAL : 0;
}

class Memory : public ::testing::Test
{
  protected:
    void TearDown() override
    {
        skua_memory_set_fault(nullptr);
    }

    static void refuse_with(skua_memory_call call, int error)
    {
        refused_call = static_cast<int>(call);
        refused_error = error;
        refused_count = 0;
        skua_memory_set_fault(refuse);
    }

    const size_t page = skua_memory_page_size();
};

/* The signal a child dies of that touches @address. */
int signal_of_touching(volatile char *address)
{
    auto result = run_child([=] {
        signal(SIGSEGV, SIG_DFL);
        *address = 1;
        return 0;
    });
    EXPECT_FALSE(result.timed_out);
    return result.signal;
}

void expect_guards_at_stride(size_t page)
{
    void *memory = nullptr;
    ASSERT_EQ(skua_memory_reserve(&memory, 100 * 4 * page), 0);
    char *base = static_cast<char *>(memory);
    ASSERT_EQ(skua_memory_guard(memory, 4 * page, 100), 0);
    for (size_t i : {size_t{0}, size_t{1}, size_t{63}, size_t{64}, size_t{99}}) {
        EXPECT_EQ(signal_of_touching(base + i * 4 * page), SIGSEGV);
        EXPECT_EQ(signal_of_touching(base + i * 4 * page + page - 1), SIGSEGV);
    }
    for (size_t i = 0; i < 100; i++)
        memset(base + i * 4 * page + page, 1, 3 * page);
    EXPECT_EQ(skua_memory_unmap(memory, 100 * 4 * page), 0);
}

TEST_F(Memory, ReservedMemoryIsZeroAndWritable)
{
    void *memory = nullptr;
    ASSERT_EQ(skua_memory_reserve(&memory, 16 * page), 0);
    char *base = static_cast<char *>(memory);
    for (size_t i = 0; i < 16 * page; i++)
        ASSERT_EQ(base[i], 0);
    memset(base, 7, 16 * page);
    EXPECT_EQ(skua_memory_unmap(memory, 16 * page), 0);
}

TEST_F(Memory, GuardsKillAndTheirNeighboursDoNot)
{
    expect_guards_at_stride(page);
}

TEST_F(Memory, GuardsByMprotectKillToo)
{
    skua_memory_set_fault(refuse_installs);
    EXPECT_STREQ(skua_memory_guard_name(), "mprotect");
    expect_guards_at_stride(page);
}

TEST_F(Memory, GuardsOneByOneWhereTheVectorIsRefused)
{
    refuse_with(SKUA_MEMORY_GUARD_VECTOR, -EBADF);
    expect_guards_at_stride(page);
    EXPECT_EQ(refused_count, 1) << "the refusal is remembered";
}

TEST_F(Memory, GuardsSurviveADiscard)
{
    for (auto fault : {static_cast<skua_memory_fault *>(nullptr), refuse_installs}) {
        skua_memory_set_fault(fault);
        void *memory = nullptr;
        ASSERT_EQ(skua_memory_reserve(&memory, 8 * page), 0);
        char *base = static_cast<char *>(memory);
        ASSERT_EQ(skua_memory_guard(memory, 4 * page, 2), 0);
        memset(base + page, 1, 3 * page);
        ASSERT_EQ(skua_memory_discard(memory, 8 * page), 0);
        EXPECT_EQ(base[page], 0);
        EXPECT_EQ(signal_of_touching(base), SIGSEGV);
        EXPECT_EQ(signal_of_touching(base + 4 * page), SIGSEGV);
        EXPECT_EQ(skua_memory_unmap(memory, 8 * page), 0);
    }
}

TEST_F(Memory, ResidentTellsTouchedPagesFromOthers)
{
    void *memory = nullptr;
    ASSERT_EQ(skua_memory_reserve(&memory, 8 * page), 0);
    char *base = static_cast<char *>(memory);
    ASSERT_EQ(skua_memory_guard(memory, 8 * page, 1), 0);
    base[3 * page] = 1;
    base[7 * page] = 1;
    std::vector<unsigned char> resident(8);
    ASSERT_EQ(skua_memory_resident(memory, 8 * page, resident.data()), 0);
    for (size_t i = 0; i < 8; i++)
        EXPECT_EQ(resident[i] & 1, i == 3 || i == 7) << i;
    EXPECT_EQ(skua_memory_unmap(memory, 8 * page), 0);
}

TEST_F(Memory, RefusalsArePassedOn)
{
    void *memory = nullptr;
    refuse_with(SKUA_MEMORY_MMAP, -ENOMEM);
    EXPECT_EQ(skua_memory_reserve(&memory, page), -ENOMEM);
    EXPECT_EQ(skua_memory_map(&memory, page), -ENOMEM);
    EXPECT_EQ(memory, nullptr) << "outputs are untouched on error";
    skua_memory_set_fault(nullptr);
    ASSERT_EQ(skua_memory_map(&memory, 4 * page), 0);
    refuse_with(SKUA_MEMORY_DISCARD, -EINVAL);
    EXPECT_EQ(skua_memory_discard(memory, page), -EINVAL);
    refuse_with(SKUA_MEMORY_GUARD_INSTALL, -ENOMEM);
    EXPECT_EQ(skua_memory_guard(memory, page, 1), -ENOMEM);
    refuse_with(SKUA_MEMORY_MUNMAP, -ENOMEM);
    EXPECT_EQ(skua_memory_unmap(memory, 4 * page), -ENOMEM);
    skua_memory_set_fault(nullptr);
    EXPECT_EQ(skua_memory_unmap(memory, 4 * page), 0);
}

TEST_F(Memory, LockedMemoryGetsGuardsByOneMeansOrTheOther)
{
    void *memory = nullptr;
    ASSERT_EQ(skua_memory_reserve(&memory, 4 * page), 0);
    if (mlock(memory, 4 * page) != 0) {
        skua_memory_unmap(memory, 4 * page);
        GTEST_SKIP() << "mlock: " << strerror(errno);
    }
    ASSERT_EQ(skua_memory_guard(memory, 2 * page, 2), 0);
    EXPECT_EQ(signal_of_touching(static_cast<char *>(memory) + 2 * page), SIGSEGV);
    EXPECT_EQ(skua_memory_unmap(memory, 4 * page), 0);
}

} // namespace
