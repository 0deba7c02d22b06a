/*
 * Tests what the parallel calls do when memory runs out: each allocation fails in turn. The call
 * succeeds all the same, or says -ENOMEM and has changed nothing; nothing is left behind.
 */
#include "support/fault_wrap.h"
#include "support/fd_guard.h"
#include "support/hang_guard.h"
#include "support/runtime_kit.h"

#include <skua/parallel.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

using namespace skua_test;

namespace
{

class ParallelShortage : public testing::Test
{
  protected:
    /*
     * Calls @call() again and again, each time with another allocation failing, until none does.
     * @call checks its result and returns it.
     */
    template <class Call> void failEach(fault_kind kind, Call &&call)
    {
        unsigned nth = 1;
        int shortages = 0;
        for (bool reached = true; reached && !HasFailure(); nth++) {
            long alive = fault_wrap_alive();
            fault_wrap_arm(kind, nth, false);
            int rc = call();
            reached = fault_wrap_disarm();
            shortages += rc == -ENOMEM;
            EXPECT_TRUE(rc == 0 || rc == -ENOMEM) << "call " << nth << ": " << rc;
            EXPECT_TRUE(reached || rc == 0) << "call " << nth;
            EXPECT_LE(fault_wrap_alive(), alive + 2)
                << "call " << nth; /* records of stacks may stay, one of each class */
            ASSERT_LT(nth, 100000u);
        }
        EXPECT_GT(shortages, 0) << "no allocation is ever needed";
    }

    /* The same in a thread and in a task, which may take another way. */
    template <class Call> void failEachAnywhere(fault_kind kind, Call call)
    {
        failEach(kind, call);
        Runtime runtime(2);
        auto body = [&]() -> intptr_t {
            failEach(kind, call);
            return 0;
        };
        EXPECT_EQ(runtime.run(body), 0);
    }

    FdGuard fds_;
    HangGuard hang_{std::chrono::seconds(150)};
};

/* Sums of indices, in an accumulator that fits in no frame. */
struct Large {
    size_t sum;
    char more[1000];
};

int addRange(size_t begin, size_t end, void *accumulator, void *)
{
    for (size_t i = begin; i < end; i++)
        static_cast<Large *>(accumulator)->sum += i;
    return 0;
}

void addLarge(void *left, const void *right, void *)
{
    static_cast<Large *>(left)->sum += static_cast<const Large *>(right)->sum;
}

int reduceLarge(unsigned flags)
{
    skua_reduce_ops ops{};
    ops.size_bytes = sizeof(Large);
    ops.range = addRange;
    ops.combine = addLarge;
    ops.flags = flags;
    Large result;
    std::memset(&result, 0x77, sizeof(result));
    const Large before = result;
    int rc = skua_parallel_reduce(0, 20000, 100, &ops, nullptr, &result);
    if (rc == 0) {
        EXPECT_EQ(result.sum, size_t{20000} * 19999 / 2);
    } else {
        EXPECT_EQ(std::memcmp(&result, &before, sizeof(result)), 0);
    }
    return rc;
}

TEST_F(ParallelShortage, OfMemoryFailsAReduction)
{
    failEachAnywhere(FAULT_MEMORY, [] { return reduceLarge(0); });
}

TEST_F(ParallelShortage, OfMemoryFailsADeterministicReduction)
{
    failEachAnywhere(FAULT_MEMORY, [] { return reduceLarge(SKUA_REDUCE_DETERMINISTIC); });
}

/* Elements without padding: @Size bytes, of which the first four are the key. */
template <size_t Size> struct Element {
    int32_t key;
    char more[Size - sizeof(int32_t)];
};

int compareKeys(const void *a, const void *b, void *)
{
    return skua_compare_int32(a, b, nullptr);
}

template <size_t Size> int sortElements(size_t count)
{
    auto less = [](const Element<Size> &a, const Element<Size> &b) { return a.key < b.key; };
    static std::vector<Element<Size>> elements; /* not counted among what is left behind */
    elements.resize(count);
    for (size_t i = 0; i < count; i++)
        elements[i].key = static_cast<int32_t>(i * 7919 % count);
    int rc = skua_parallel_sort(elements.data(), count, Size, compareKeys, nullptr);
    if (rc == 0) {
        EXPECT_TRUE(std::is_sorted(elements.begin(), elements.end(), less));
    } else {
        for (size_t i = 0; i < count; i++)
            EXPECT_EQ(elements[i].key, static_cast<int32_t>(i * 7919 % count));
    }
    return rc;
}

TEST_F(ParallelShortage, OfMemoryFailsASort)
{
    sortElements<12>(3000);
    sortElements<64>(3000);
    failEachAnywhere(FAULT_MEMORY, [] { return sortElements<12>(3000); });
    failEachAnywhere(FAULT_MEMORY, [] { return sortElements<64>(3000); });
}

TEST_F(ParallelShortage, OfAddressSpaceFailsALargeSort)
{
    const size_t count = 1000000; /* elements of 12 bytes */
    sortElements<12>(count);
    failEachAnywhere(FAULT_MAP, [] { return sortElements<12>(count); });
}

int scanNumbers()
{
    static uint64_t numbers[20000];
    skua_scan_ops ops{};
    ops.size_bytes = sizeof(uint64_t);
    ops.combine = [](void *left, const void *right, void *) {
        *static_cast<uint64_t *>(left) += *static_cast<const uint64_t *>(right);
    };
    std::fill_n(numbers, 20000, 1);
    int rc = skua_parallel_scan(numbers, numbers, 20000, &ops, nullptr);
    EXPECT_EQ(numbers[19999], rc == 0 ? 20000u : 1u);
    return rc;
}

TEST_F(ParallelShortage, OfMemoryFailsAScan)
{
    failEachAnywhere(FAULT_MEMORY, scanNumbers);
}

} // namespace
