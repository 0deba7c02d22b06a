/*
 * stack_pool_test.cc - core/stack_pool: what a stack is, where free ones go, what is given back.
 */
/* A function and a struct may share a name in C; g++ calls that shadowing. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
extern "C" {
#include "core/stack_pool.h"
#include "platform/memory.h"
}
#pragma GCC diagnostic pop

#include "support/child.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <set>
#include <thread>
#include <vector>

namespace
{

using skua_test::run_child;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool instrumented = true;
#else
constexpr bool instrumented = false;
#endif

constexpr size_t stack_bytes = SKUA_STACK_DEFAULT;

std::atomic<int> calls_until_refusal{-1};
skua_memory_call refused_call;

/* Lets calls_until_refusal calls of refused_call happen, then refuses them. */
int refuse_after(skua_memory_call call, size_t)
{
    if (call != refused_call)
        return 0;
    if (calls_until_refusal > 0) {
        calls_until_refusal--;
        return 0;
    }
    return -ENOMEM;
}

int refuse_installs(skua_memory_call call, size_t)
{
    return call == SKUA_MEMORY_GUARD_INSTALL || call == SKUA_MEMORY_GUARD_VECTOR ? -EINVAL : 0;
}

int refuse_installs_and_later_mprotects(skua_memory_call call, size_t size)
{
    int rc = refuse_installs(call, size);
    return rc != 0 ? rc : refuse_after(call, size);
}

size_t statm_bytes(int field)
{
    size_t values[2] = {0, 0};
    FILE *file = fopen("/proc/self/statm", "r");
    if (file != nullptr) {
        if (fscanf(file, "%zu %zu", &values[0], &values[1]) != 2)
            values[0] = values[1] = 0;
        fclose(file);
    }
    return values[field] * skua_memory_page_size();
}

size_t virtual_bytes()
{
    return statm_bytes(0);
}

size_t resident_bytes()
{
    return statm_bytes(1);
}

char *low_of(const skua_stack *stack)
{
    return static_cast<char *>(skua_stack_low(stack));
}

char *top_of(const skua_stack *stack)
{
    return low_of(stack) + skua_stack_size(stack);
}

class StackPool : public ::testing::Test
{
  protected:
    void SetUp() override
    {
        make(stack_bytes);
    }

    void TearDown() override
    {
        skua_memory_set_fault(nullptr);
        unmake();
    }

    void make(size_t size_bytes)
    {
        unmake();
        ASSERT_EQ(skua_stack_pool_create(&pool, size_bytes), 0);
        skua_stack_cache_init(&cache, pool);
    }

    void unmake()
    {
        if (pool == nullptr)
            return;
        skua_stack_cache_fini(&cache);
        skua_stack_pool_destroy(pool);
        pool = nullptr;
    }

    std::vector<skua_stack *> acquire_many(size_t count, size_t size_bytes = 0)
    {
        std::vector<skua_stack *> stacks;
        for (size_t i = 0; i < count; i++) {
            skua_stack *stack = skua_stack_acquire(&cache, size_bytes);
            if (stack == nullptr)
                break;
            stacks.push_back(stack);
        }
        return stacks;
    }

    void release_all(const std::vector<skua_stack *> &stacks)
    {
        for (skua_stack *stack : stacks)
            skua_stack_release(&cache, stack);
    }

    void trim_all()
    {
        for (int turns = 0; skua_stack_pool_trim(pool, 1000); turns++)
            ASSERT_LT(turns, 10000);
    }

    struct skua_stack_pool_info info()
    {
        struct skua_stack_pool_info result = {};
        skua_stack_pool_info(pool, &result);
        return result;
    }

    skua_stack_pool *pool = nullptr;
    skua_stack_cache cache = {};
    const size_t page = skua_memory_page_size();
};

TEST_F(StackPool, RefusesADefaultLargerThanTheLargestStack)
{
    skua_stack_pool *none = nullptr;
    EXPECT_EQ(skua_stack_pool_create(&none, SKUA_STACK_MAX + 1), -EINVAL);
    EXPECT_EQ(none, nullptr);
    EXPECT_EQ(skua_stack_acquire(&cache, SKUA_STACK_MAX + 1), nullptr);
    skua_stack_pool_destroy(nullptr);
}

TEST_F(StackPool, GivesTheSmallestClassThatHoldsTheSize)
{
    struct {
        size_t asked, got;
    } cases[] = {
        {0, stack_bytes},
        {1, SKUA_STACK_MIN},
        {SKUA_STACK_MIN + 1, 2 * SKUA_STACK_MIN},
        {stack_bytes, stack_bytes},
        {stack_bytes + 1, 2 * stack_bytes},
        {(size_t)1 << 20, (size_t)1 << 20},
        {((size_t)1 << 20) + 1, (size_t)2 << 20},
        {(size_t)64 << 20, (size_t)64 << 20},
    };
    if (page > 4096)
        GTEST_SKIP() << "pages of " << page << " bytes raise the smallest class";
    for (auto &c : cases) {
        skua_stack *stack = skua_stack_acquire(&cache, c.asked);
        ASSERT_NE(stack, nullptr) << c.asked;
        EXPECT_EQ(skua_stack_size(stack), c.got - page) << c.asked;
        EXPECT_EQ(reinterpret_cast<uintptr_t>(skua_stack_low(stack)) % page, 0u);
        memset(top_of(stack) - page, 1, page);
        *low_of(stack) = 1;
        skua_stack_release(&cache, stack);
    }
}

TEST_F(StackPool, StacksDoNotOverlap)
{
    auto stacks = acquire_many(300);
    ASSERT_EQ(stacks.size(), 300u);
    for (size_t i = 0; i < stacks.size(); i++) {
        memcpy(low_of(stacks[i]), &i, sizeof(i));
        memcpy(top_of(stacks[i]) - sizeof(i), &i, sizeof(i));
    }
    for (size_t i = 0; i < stacks.size(); i++) {
        EXPECT_EQ(memcmp(low_of(stacks[i]), &i, sizeof(i)), 0);
        EXPECT_EQ(memcmp(top_of(stacks[i]) - sizeof(i), &i, sizeof(i)), 0);
    }
    EXPECT_GE(info().created, 300u);
    release_all(stacks);
}

TEST_F(StackPool, LastReleasedIsFirstAcquired)
{
    auto stacks = acquire_many(2);
    skua_stack_release(&cache, stacks[0]);
    skua_stack_release(&cache, stacks[1]);
    EXPECT_EQ(skua_stack_acquire(&cache, 0), stacks[1]);
    EXPECT_EQ(skua_stack_acquire(&cache, 0), stacks[0]);
    release_all(stacks);
}

TEST_F(StackPool, ColoursSpreadWithinHalfAPage)
{
    auto stacks = acquire_many(64);
    std::set<size_t> colours;
    for (skua_stack *stack : stacks) {
        size_t colour = skua_stack_color(stack);
        EXPECT_EQ(colour % 64, 0u);
        EXPECT_LT(colour, 2048u);
        colours.insert(colour);
    }
    EXPECT_EQ(colours.size(), 32u);
    release_all(stacks);
}

TEST_F(StackPool, AFullCacheGivesHalfToThePoolForOthers)
{
    skua_stack_cache other;
    skua_stack_cache_init(&other, pool);
    auto stacks = acquire_many(SKUA_STACK_CACHE_MAX + 1);
    uint64_t created = info().created;
    ASSERT_LE(cache.count, SKUA_STACK_CACHE_MAX);
    while (cache.count > 0)
        stacks.push_back(skua_stack_acquire(&cache, 0));
    std::set<skua_stack *> mine(stacks.begin(), stacks.end());
    for (size_t i = 0; i <= SKUA_STACK_CACHE_MAX; i++)
        skua_stack_release(&cache, stacks[i]);
    EXPECT_EQ(cache.count, SKUA_STACK_CACHE_MAX / 2 + 1);
    EXPECT_EQ(cache.free, stacks[SKUA_STACK_CACHE_MAX]);
    skua_stack *stack = skua_stack_acquire(&other, 0);
    EXPECT_EQ(mine.count(stack), 1u) << "what the other cache gets is what this one gave";
    EXPECT_EQ(info().created, created);
    skua_stack_release(&other, stack);
    for (size_t i = SKUA_STACK_CACHE_MAX + 1; i < stacks.size(); i++)
        skua_stack_release(&other, stacks[i]);
    skua_stack_cache_fini(&other);
}

TEST_F(StackPool, FindsTheStackOfAGuardPageAndOfThePageBelow)
{
    auto stacks = acquire_many(200);
    auto more = acquire_many(2, (size_t)4 << 20);
    stacks.insert(stacks.end(), more.begin(), more.end());
    for (skua_stack *stack : stacks) {
        char *low = low_of(stack);
        EXPECT_EQ(skua_stack_find_guard(low - 1), stack);
        EXPECT_EQ(skua_stack_find_guard(low - page), stack);
        EXPECT_NE(skua_stack_find_guard(low - page - 1), nullptr);
        EXPECT_NE(skua_stack_find_guard(low - 2 * page), nullptr);
        EXPECT_EQ(skua_stack_find_guard(low), nullptr);
        EXPECT_EQ(skua_stack_find_guard(top_of(stack) - page - 1), nullptr);
    }
    int local = 0;
    EXPECT_EQ(skua_stack_find_guard(&local), nullptr);
    EXPECT_EQ(skua_stack_find_guard(nullptr), nullptr);
    char *guard = low_of(stacks[0]) - 1;
    release_all(stacks);
    unmake();
    EXPECT_EQ(skua_stack_find_guard(guard), nullptr);
}

TEST_F(StackPool, FindsGuardsOfAllPools)
{
    skua_stack_pool *other_pool = nullptr;
    skua_stack_cache other;
    ASSERT_EQ(skua_stack_pool_create(&other_pool, SKUA_STACK_MIN), 0);
    skua_stack_cache_init(&other, other_pool);
    skua_stack *theirs = skua_stack_acquire(&other, 0);
    skua_stack *ours = skua_stack_acquire(&cache, 0);
    EXPECT_EQ(skua_stack_find_guard(low_of(ours) - 1), ours);
    EXPECT_EQ(skua_stack_find_guard(low_of(theirs) - 1), theirs);
    char *guard = low_of(theirs) - 1;
    skua_stack_release(&other, theirs);
    skua_stack_cache_fini(&other);
    skua_stack_pool_destroy(other_pool);
    EXPECT_EQ(skua_stack_find_guard(guard), nullptr);
    EXPECT_EQ(skua_stack_find_guard(low_of(ours) - 1), ours);
    skua_stack_release(&cache, ours);
}

TEST_F(StackPool, GuardsKillBeforeAndAfterATrim)
{
    for (auto fault : {static_cast<skua_memory_fault *>(nullptr), refuse_installs}) {
        skua_memory_set_fault(fault);
        make(stack_bytes);
        EXPECT_STREQ(info().guard, fault == nullptr ? skua_memory_guard_name() : "mprotect");
        auto stacks = acquire_many(1000);
        ASSERT_EQ(stacks.size(), 1000u);
        for (skua_stack *stack : stacks)
            top_of(stack)[-1] = 1;
        volatile char *guard = low_of(stacks[999]) - 1;
        skua_stack *kept = stacks[999];
        stacks.pop_back();
        for (int round = 0; round < 2; round++) {
            auto result = run_child([=] {
                signal(SIGSEGV, SIG_DFL);
                *guard = 1;
                return 0;
            });
            EXPECT_EQ(result.signal, SIGSEGV) << "round " << round;
            release_all(stacks);
            trim_all();
            stacks = acquire_many(100);
        }
        for (skua_stack *stack : stacks)
            memset(low_of(stack), 1, skua_stack_size(stack));
        release_all(stacks);
        skua_stack_release(&cache, kept);
    }
}

TEST_F(StackPool, TrimReturnsMemoryBeyondTheReserve)
{
    if (instrumented)
        GTEST_SKIP() << "the sanitizer's own memory is in the figures";
    const size_t count = 20000;
    size_t resident = resident_bytes();
    size_t mapped = virtual_bytes();
    auto stacks = acquire_many(count);
    ASSERT_EQ(stacks.size(), count);
    for (skua_stack *stack : stacks)
        top_of(stack)[-1 - static_cast<long>(skua_stack_color(stack))] = 1;
    size_t full = resident_bytes();
    EXPECT_GE(full - resident, count * page * 99 / 100);
    EXPECT_LE(full - resident, count * (page + 256));
    release_all(stacks);
    EXPECT_GE(resident_bytes() - resident, count * page * 99 / 100) << "nothing goes by itself";
    EXPECT_TRUE(skua_stack_pool_trim(pool, 100));
    trim_all();
    EXPECT_FALSE(skua_stack_pool_trim(pool, 100));
    size_t reserve = (256 + SKUA_STACK_CACHE_MAX) * page;
    EXPECT_LT(resident_bytes(), resident + reserve + ((size_t)2 << 20));
    EXPECT_LT(virtual_bytes(), mapped + ((size_t)256 << 20)) << "empty slabs are unmapped";
    for (skua_stack *stack : acquire_many(100)) {
        top_of(stack)[-1] = 1;
        skua_stack_release(&cache, stack);
    }
}

TEST_F(StackPool, TrimLeavesStacksInUseAlone)
{
    auto stacks = acquire_many(3000);
    for (size_t i = 0; i < stacks.size(); i++)
        memcpy(top_of(stacks[i]) - sizeof(i), &i, sizeof(i));
    for (size_t i = 0; i < stacks.size(); i++) {
        if (i % 3 != 0)
            skua_stack_release(&cache, stacks[i]);
    }
    trim_all();
    for (size_t i = 0; i < stacks.size(); i += 3) {
        EXPECT_EQ(memcmp(top_of(stacks[i]) - sizeof(i), &i, sizeof(i)), 0);
        skua_stack_release(&cache, stacks[i]);
    }
    trim_all();
}

TEST_F(StackPool, WarmStacksAreHandedOutBeforeColdOnes)
{
    auto stacks = acquire_many(640);
    for (skua_stack *stack : stacks)
        top_of(stack)[-1] = 1;
    release_all(stacks);
    skua_stack_cache_fini(&cache);
    trim_all();
    auto again = acquire_many(300);
    for (size_t i = 0; i < again.size(); i++) {
        unsigned char resident = 0;
        ASSERT_EQ(skua_memory_resident(top_of(again[i]) - page, page, &resident), 0);
        /* They come in batches, each turned round: the first 256 are whole batches. */
        EXPECT_EQ(resident & 1, i < 256 ? 1 : 0) << i;
    }
    EXPECT_EQ(info().created, 640u);
    release_all(again);
}

TEST_F(StackPool, HighWaterIsRightToThePageAndRememberedAfterATrim)
{
    EXPECT_EQ(info().high_water_bytes, 0u);
    auto stacks = acquire_many(1000);
    EXPECT_EQ(info().high_water_bytes, 0u);
    for (skua_stack *stack : stacks)
        top_of(stack)[-1] = 1;
    EXPECT_EQ(info().high_water_bytes, page);
    top_of(stacks[77])[-static_cast<long>(5 * page)] = 1;
    EXPECT_EQ(info().high_water_bytes, 5 * page);
    top_of(stacks[500])[-static_cast<long>(5 * page) - 1] = 1;
    EXPECT_EQ(info().high_water_bytes, 6 * page);
    *low_of(stacks[900]) = 1;
    EXPECT_EQ(info().high_water_bytes, stack_bytes - page);
    release_all(stacks);
    trim_all();
    EXPECT_EQ(info().high_water_bytes, stack_bytes - page);
    skua_stack *large = skua_stack_acquire(&cache, (size_t)8 << 20);
    ASSERT_NE(large, nullptr);
    top_of(large)[-static_cast<long>((size_t)5 << 20)] = 1;
    EXPECT_EQ(info().high_water_bytes, (size_t)5 << 20);
    skua_stack_release(&cache, large);
}

TEST_F(StackPool, TrimNotesTheHighWaterOfWhatItGivesBack)
{
    auto stacks = acquire_many(1000);
    for (skua_stack *stack : stacks)
        top_of(stack)[-1] = 1;
    /* The first to be given back is the first to be trimmed. */
    char *deepest = top_of(stacks[0]) - 3 * page;
    *deepest = 1;
    release_all(stacks);
    skua_stack_cache_fini(&cache);
    trim_all();
    unsigned char resident = 1;
    ASSERT_EQ(skua_memory_resident(deepest, page, &resident), 0);
    EXPECT_EQ(resident & 1, 0);
    EXPECT_EQ(info().high_water_bytes, 3 * page);
}

TEST_F(StackPool, LargeStacksAreUnmappedByATrim)
{
    size_t mapped = virtual_bytes();
    auto stacks = acquire_many(10, (size_t)64 << 20);
    ASSERT_EQ(stacks.size(), 10u);
    for (skua_stack *stack : stacks)
        *low_of(stack) = 1;
    release_all(stacks);
    EXPECT_GE(virtual_bytes(), mapped + 9 * ((size_t)64 << 20));
    trim_all();
    EXPECT_LT(virtual_bytes(), mapped + 5 * ((size_t)64 << 20));
}

TEST_F(StackPool, ExhaustedAddressSpaceIsNullAndPasses)
{
    if (instrumented)
        GTEST_SKIP() << "RLIMIT_AS and shadow memory do not go together";
    auto result = run_child([] {
        skua_stack_pool *own = nullptr;
        skua_stack_cache own_cache;
        if (skua_stack_pool_create(&own, stack_bytes) != 0)
            return 1;
        skua_stack_cache_init(&own_cache, own);
        skua_stack *large = skua_stack_acquire(&own_cache, (size_t)32 << 20);
        if (large == nullptr)
            return 2;
        skua_stack_release(&own_cache, large);
        struct rlimit limit = {virtual_bytes() + ((size_t)64 << 20), RLIM_INFINITY};
        if (setrlimit(RLIMIT_AS, &limit) != 0)
            return 3;
        std::vector<skua_stack *> stacks;
        stacks.reserve(100000);
        while (skua_stack *stack = skua_stack_acquire(&own_cache, 0)) {
            top_of(stack)[-1] = 1;
            stacks.push_back(stack);
            if (stacks.size() > 1600)
                return 4;
        }
        /* 64 MiB and the idle large stack's 32 make 1536; some goes to malloc. */
        if (stacks.size() < 1400)
            return 5;
        skua_stack_release(&own_cache, stacks.back());
        if (skua_stack_acquire(&own_cache, 0) != stacks.back())
            return 6;
        if (skua_stack_acquire(&own_cache, 0) != nullptr)
            return 7;
        limit.rlim_cur = RLIM_INFINITY;
        setrlimit(RLIMIT_AS, &limit);
        skua_stack *stack = skua_stack_acquire(&own_cache, 0);
        if (stack == nullptr)
            return 8;
        skua_stack_release(&own_cache, stack);
        for (skua_stack *each : stacks)
            skua_stack_release(&own_cache, each);
        skua_stack_cache_fini(&own_cache);
        skua_stack_pool_destroy(own);
        return 0;
    });
    EXPECT_EQ(result.exit_code, 0) << result.output;
}

TEST_F(StackPool, RefusedMapsAndGuardsAreNullAndLeaveNothingBehind)
{
    size_t mapped = virtual_bytes();
    for (auto call : {SKUA_MEMORY_MMAP, SKUA_MEMORY_GUARD_INSTALL}) {
        refused_call = call;
        calls_until_refusal = 0;
        skua_memory_set_fault(call == SKUA_MEMORY_MMAP ? refuse_after : [](auto which, size_t) {
            return which == SKUA_MEMORY_GUARD_VECTOR    ? -ENOSYS
                   : which == SKUA_MEMORY_GUARD_INSTALL ? -ENOMEM
                                                        : 0;
        });
        EXPECT_EQ(skua_stack_acquire(&cache, 0), nullptr);
        EXPECT_EQ(skua_stack_acquire(&cache, (size_t)4 << 20), nullptr);
        skua_memory_set_fault(nullptr);
    }
    EXPECT_LT(virtual_bytes(), mapped + ((size_t)2 << 20));
    skua_stack *stack = skua_stack_acquire(&cache, 0);
    ASSERT_NE(stack, nullptr);
    skua_stack_release(&cache, stack);
}

TEST_F(StackPool, TooManyMprotectGuardsAreNullAtTheLastThatFits)
{
    refused_call = SKUA_MEMORY_MPROTECT;
    skua_memory_set_fault(refuse_installs_and_later_mprotects);
    calls_until_refusal = 128 + 33;
    auto stacks = acquire_many(1000);
    EXPECT_EQ(stacks.size(), 128u) << "two slabs; then 64, 16, 4 and 1 were tried";
    release_all(stacks);
    auto again = acquire_many(128);
    EXPECT_EQ(again.size(), 128u);
    release_all(again);
}

TEST_F(StackPool, ASmallerSlabIsMadeWhenAWholeOneDoesNotFit)
{
    skua_memory_set_fault([](skua_memory_call call, size_t size) {
        return call == SKUA_MEMORY_MMAP && size > 4 * stack_bytes ? -ENOMEM : 0;
    });
    auto stacks = acquire_many(10);
    ASSERT_EQ(stacks.size(), 10u);
    EXPECT_EQ(info().created, 12u);
    for (skua_stack *stack : stacks) {
        memset(low_of(stack), 1, skua_stack_size(stack));
        EXPECT_EQ(skua_stack_find_guard(low_of(stack) - 1), stack);
    }
    release_all(stacks);
}

TEST_F(StackPool, AStackThatCannotBeUnmappedStaysUsable)
{
    auto stacks = acquire_many(10, (size_t)4 << 20);
    for (skua_stack *stack : stacks)
        *low_of(stack) = 1;
    release_all(stacks);
    refused_call = SKUA_MEMORY_MUNMAP;
    calls_until_refusal = 0;
    skua_memory_set_fault(refuse_after);
    trim_all();
    skua_memory_set_fault(nullptr);
    uint64_t created = info().created;
    auto again = acquire_many(10, (size_t)4 << 20);
    EXPECT_EQ(info().created, created);
    for (skua_stack *stack : again) {
        EXPECT_EQ(skua_stack_find_guard(low_of(stack) - 1), stack);
        *low_of(stack) = 1;
    }
    release_all(again);
}

/* Threads hand stacks to one another through shared slots, while another trims and looks. */
TEST_F(StackPool, ThreadsExchangeStacksAndTrimBesideIt)
{
    constexpr int thread_count = 4;
    constexpr size_t slot_count = 512;
    const size_t rounds = instrumented ? 20000 : 100000;
    std::vector<std::atomic<skua_stack *>> slots(slot_count);
    std::atomic<bool> stop{false};
    std::atomic<int> errors{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < thread_count; t++) {
        threads.emplace_back([&, t] {
            skua_stack_cache own;
            skua_stack_cache_init(&own, pool);
            uint64_t random = static_cast<uint64_t>(t) * 7919 + 1;
            for (size_t i = 0; i < rounds; i++) {
                random = random * UINT64_C(6364136223846793005) + 1;
                skua_stack *mine =
                    skua_stack_acquire(&own, random >> 62 == 0 ? 2 * stack_bytes : 0);
                if (mine == nullptr) {
                    errors++;
                    break;
                }
                auto *word = reinterpret_cast<uint64_t *>(top_of(mine)) - 1;
                *word = random;
                *low_of(mine) = 2;
                if (*static_cast<volatile uint64_t *>(word) != random)
                    errors++; /* somebody else has it too */
                skua_stack *theirs = slots[(random >> 33) % slot_count].exchange(mine);
                if (theirs == nullptr)
                    continue;
                *low_of(theirs) = 1;
                skua_stack_release(&own, theirs);
            }
            skua_stack_cache_fini(&own);
        });
    }
    std::thread trimmer([&] {
        while (!stop) {
            skua_stack_pool_trim(pool, 100);
            struct skua_stack_pool_info result;
            skua_stack_pool_info(pool, &result);
        }
    });
    for (auto &thread : threads)
        thread.join();
    stop = true;
    trimmer.join();
    EXPECT_EQ(errors, 0);
    for (auto &slot : slots) {
        if (slot.load() != nullptr)
            skua_stack_release(&cache, slot.load());
    }
    EXPECT_EQ(info().high_water_bytes, 2 * stack_bytes - page);
}

TEST_F(StackPool, TheLookupRunsBesidePoolsThatComeAndGo)
{
    skua_stack *ours = skua_stack_acquire(&cache, 0);
    std::atomic<bool> stop{false};
    std::atomic<int> misses{0};
    std::thread reader([&] {
        while (!stop) {
            if (skua_stack_find_guard(low_of(ours) - 1) != ours)
                misses++;
        }
    });
    /* Groups of pools at once, so that new records appear as well as used ones again. */
    for (unsigned round = 0; round < 20; round++) {
        constexpr size_t group = 20;
        skua_stack_pool *pools[group];
        skua_stack_cache caches[group];
        skua_stack *stacks[group];
        for (size_t i = 0; i < group; i++) {
            ASSERT_EQ(skua_stack_pool_create(&pools[i], SKUA_STACK_MIN << (round % 3)), 0);
            skua_stack_cache_init(&caches[i], pools[i]);
            stacks[i] = skua_stack_acquire(&caches[i], 0);
            ASSERT_NE(stacks[i], nullptr);
        }
        for (size_t i = 0; i < group; i++) {
            EXPECT_EQ(skua_stack_find_guard(low_of(stacks[i]) - 1), stacks[i]);
            skua_stack_release(&caches[i], stacks[i]);
            skua_stack_cache_fini(&caches[i]);
            skua_stack_pool_destroy(pools[i]);
        }
    }
    stop = true;
    reader.join();
    EXPECT_EQ(misses, 0);
    skua_stack_release(&cache, ours);
}

TEST_F(StackPool, AStackGivenBackTwiceIsACheckedError)
{
    auto result = run_child([this] {
        signal(SIGABRT, SIG_DFL);
        skua_stack *large = skua_stack_acquire(&cache, (size_t)2 << 20);
        skua_stack_release(&cache, large);
        skua_stack_release(&cache, large);
        return 0;
    });
    EXPECT_NE(result.exit_code, 0);
    EXPECT_FALSE(result.timed_out);
}

} // namespace
