/*
 * Tests skua_parallel_scan(): against std::partial_sum, in place, exclusive, for elements of many
 * sizes and an operation that does not commute; refusals; cancelling.
 */
#include "support/fd_guard.h"
#include "support/hang_guard.h"
#include "support/runtime_kit.h"

#include <skua/parallel.h>

#include <atomic>
#include <climits>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

using namespace skua_test;

namespace
{

class ParallelScan : public testing::Test
{
  protected:
    FdGuard fds_;
    HangGuard hang_;
};

class ParallelScanAnywhere : public testing::TestWithParam<Where>
{
  protected:
    FdGuard fds_;
    HangGuard hang_;
};

INSTANTIATE_TEST_SUITE_P(Everywhere, ParallelScanAnywhere, everywhere(), WhereName());

const size_t kCounts[] = {1, 2, 3, 100, 511, 512, 513, 1024, 1025, 5000, 20000, 524289};

template <class T> void add(void *left, const void *right, void *)
{
    *static_cast<T *>(left) += *static_cast<const T *>(right);
}

template <class T> skua_scan_ops sumOps(unsigned flags = 0)
{
    skua_scan_ops ops{};
    ops.size_bytes = sizeof(T);
    ops.combine = add<T>;
    ops.flags = flags;
    return ops;
}

template <class T> std::vector<T> numbers(size_t count)
{
    std::mt19937 random(static_cast<unsigned>(count));
    std::vector<T> values(count);
    for (T &value : values)
        value = static_cast<T>(random());
    return values;
}

template <class T> std::vector<T> shifted(const std::vector<T> &inclusive, T first)
{
    std::vector<T> exclusive{first};
    exclusive.insert(exclusive.end(), inclusive.begin(), inclusive.end() - 1);
    return exclusive;
}

template <class T> void expectSums(size_t count)
{
    const std::vector<T> input = numbers<T>(count);
    std::vector<T> inclusive(count);
    std::partial_sum(input.begin(), input.end(), inclusive.begin());
    for (unsigned flags : {0u, SKUA_SCAN_EXCLUSIVE}) {
        const std::vector<T> expected = flags ? shifted(inclusive, T{0}) : inclusive;
        const skua_scan_ops ops = sumOps<T>(flags);
        std::vector<T> output(count);
        EXPECT_EQ(skua_parallel_scan(input.data(), output.data(), count, &ops, nullptr), 0);
        EXPECT_TRUE(output == expected) << count << " of " << sizeof(T) << ", flags " << flags;
        std::vector<T> place = input;
        EXPECT_EQ(skua_parallel_scan(place.data(), place.data(), count, &ops, nullptr), 0);
        EXPECT_TRUE(place == expected) << count << " in place, flags " << flags;
    }
}

TEST_P(ParallelScanAnywhere, SumsAsTheStandardLibraryDoes)
{
    runIn(GetParam(), [] {
        for (size_t count : kCounts) {
            expectSums<uint32_t>(count);
            expectSums<uint64_t>(count);
        }
        expectSums<uint8_t>(5000);
        expectSums<uint16_t>(5000);
        expectSums<int64_t>(5000);
    });
}

/* ---- larger elements, and an operation that does not commute -------------------------------- */

/*
 * x -> factor * x + offset, modulo 2^64, in an element of any size that is filled with a pattern.
 */
struct Affine {
    uint64_t factor;
    uint64_t offset;
};

struct Elements {
    Elements(size_t count, size_t size) : size_bytes(size), bytes(count * size, '\x5a')
    {
        for (size_t i = 0; i < count; i++)
            set(i, {2 * i + 3, i * i + 1});
    }

    void set(size_t index, Affine value)
    {
        std::memcpy(&bytes[index * size_bytes], &value, sizeof(value));
    }

    Affine get(size_t index) const
    {
        Affine value;
        std::memcpy(&value, &bytes[index * size_bytes], sizeof(value));
        return value;
    }

    size_t size_bytes;
    std::vector<char> bytes;
};

Affine then(Affine first, Affine second)
{
    return {first.factor * second.factor, first.offset * second.factor + second.offset};
}

void combineAffine(void *left, const void *right, void *)
{
    Affine *first = static_cast<Affine *>(left);
    *first = then(*first, *static_cast<const Affine *>(right));
}

void expectComposes(size_t count, size_t size, unsigned flags)
{
    const Elements input(count, size);
    const Elements identity = [&] {
        Elements one(1, size);
        one.set(0, {1, 0});
        return one;
    }();
    Elements expected(count, size);
    Affine all{1, 0};
    for (size_t i = 0; i < count; i++) {
        Affine with = then(all, input.get(i));
        expected.set(i, flags & SKUA_SCAN_EXCLUSIVE ? all : with);
        all = with;
    }
    skua_scan_ops ops{};
    ops.size_bytes = size;
    ops.identity = identity.bytes.data();
    ops.combine = combineAffine;
    ops.flags = flags;
    Elements output(count, size);
    EXPECT_EQ(skua_parallel_scan(input.bytes.data(), output.bytes.data(), count, &ops, nullptr), 0);
    EXPECT_TRUE(output.bytes == expected.bytes) << count << " of " << size << ", flags " << flags;
    output = input;
    EXPECT_EQ(skua_parallel_scan(output.bytes.data(), output.bytes.data(), count, &ops, nullptr),
              0);
    EXPECT_TRUE(output.bytes == expected.bytes) << count << " in place";
}

TEST_P(ParallelScanAnywhere, KeepsTheOrderOfElementsOfAnySize)
{
    runIn(GetParam(), [] {
        for (size_t size : {16, 24, 128, 136, 1000, 4096})
            for (size_t count : {1, 2, 512, 513, 3000})
                for (unsigned flags : {0u, SKUA_SCAN_EXCLUSIVE})
                    expectComposes(count, size, flags);
    });
}

TEST_F(ParallelScan, KeepsTheOrderOnManyWorkers)
{
    runInTask(
        [] {
            for (int i = 0; i < 5; i++)
                for (unsigned flags : {0u, SKUA_SCAN_EXCLUSIVE})
                    expectComposes(200000, 16, flags);
        },
        4);
}

TEST_F(ParallelScan, RepeatsFloatingPointSumsBitForBit)
{
    for (size_t count : {100, 5000, 600001}) {
        std::vector<double> input(count);
        std::mt19937_64 random(count);
        std::uniform_real_distribution<double> number(-1e6, 1e6);
        for (double &value : input)
            value = number(random) * number(random);
        const skua_scan_ops ops = sumOps<double>();
        auto scan = [&] {
            std::vector<double> output(count);
            EXPECT_EQ(skua_parallel_scan(input.data(), output.data(), count, &ops, nullptr), 0);
            return output;
        };
        const std::vector<double> first = scan();
        for (unsigned workers : {1u, 2u, 4u}) {
            auto again = [&] {
                EXPECT_EQ(std::memcmp(scan().data(), first.data(), count * sizeof(double)), 0);
            };
            runInTask(again, workers);
        }
    }
}

/* ---- refusals and cancelling ----------------------------------------------------------------- */

TEST_P(ParallelScanAnywhere, RefusesWhatTheHeaderForbids)
{
    runIn(GetParam(), [] {
        const skua_scan_ops good = sumOps<int>();
        const int input[] = {1, 2, 3};
        int output[] = {9, 9, 9};
        auto refuses = [&](void (*spoil)(skua_scan_ops &)) {
            skua_scan_ops ops = good;
            spoil(ops);
            return skua_parallel_scan(input, output, 3, &ops, nullptr) == -EINVAL;
        };
        EXPECT_TRUE(refuses([](skua_scan_ops &ops) { ops.combine = nullptr; }));
        EXPECT_TRUE(refuses([](skua_scan_ops &ops) { ops.size_bytes = 0; }));
        EXPECT_TRUE(refuses([](skua_scan_ops &ops) { ops.size_bytes = 4097; }));
        EXPECT_TRUE(refuses([](skua_scan_ops &ops) { ops.flags = 2; }));
        EXPECT_TRUE(refuses([](skua_scan_ops &ops) { ops.reserved_flags = 1; }));
        EXPECT_TRUE(refuses([](skua_scan_ops &ops) { ops.reserved[0] = 1; }));
        EXPECT_TRUE(refuses([](skua_scan_ops &ops) { ops.reserved[1] = 1; }));
        EXPECT_TRUE(refuses([](skua_scan_ops &ops) { ops.reserved[2] = 1; }));
        EXPECT_TRUE(refuses([](skua_scan_ops &ops) { ops.reserved[3] = 1; }));
        EXPECT_EQ(skua_parallel_scan(nullptr, output, 3, &good, nullptr), -EINVAL);
        EXPECT_EQ(skua_parallel_scan(input, nullptr, 3, &good, nullptr), -EINVAL);
        EXPECT_EQ(skua_parallel_scan(input, output, 3, nullptr, nullptr), -EINVAL);
        EXPECT_EQ(skua_parallel_scan(input, output, 0, nullptr, nullptr), -EINVAL);
        EXPECT_EQ(skua_parallel_scan(input, output, SSIZE_MAX / 4 + 1, &good, nullptr), -EOVERFLOW);
        EXPECT_EQ(skua_parallel_scan(nullptr, nullptr, 0, &good, nullptr), 0);
        EXPECT_EQ(skua_parallel_scan(input, output, 0, &good, nullptr), 0);
        EXPECT_EQ(output[0], 9);
    });
}

TEST_F(ParallelScan, OfACancelledTaskDoesNothing)
{
    runInTask([] {
        const skua_scan_ops ops = sumOps<int>();
        std::vector<int> input(10000, 1), output(10000);
        EXPECT_EQ(skua_cancel(skua_self()), 0);
        EXPECT_EQ(skua_parallel_scan(input.data(), output.data(), input.size(), &ops, nullptr),
                  -ECANCELED);
        EXPECT_EQ(output[0], 0);
        EXPECT_EQ(skua_parallel_scan(input.data(), output.data(), 0, &ops, nullptr), 0);
    });
}

struct Bomb {
    size_t after;
    skua_future *task;
    std::atomic<size_t> calls{0};
};

void addAndCancel(void *left, const void *right, void *arg)
{
    Bomb *bomb = static_cast<Bomb *>(arg);
    if (++bomb->calls == bomb->after)
        skua_cancel(bomb->task);
    add<uint64_t>(left, right, nullptr);
}

TEST_F(ParallelScan, StopsWheneverItIsCancelled)
{
    for (unsigned workers : {1u, 4u}) {
        runInTask(
            [] {
                const size_t count = 20000;
                for (size_t after = 1; after < 2 * count; after += count / 17) {
                    auto scan = [=]() -> intptr_t {
                        std::vector<uint64_t> values(count, 1);
                        skua_scan_ops ops = sumOps<uint64_t>();
                        ops.combine = addAndCancel;
                        Bomb bomb{after, skua_self()};
                        int rc =
                            skua_parallel_scan(values.data(), values.data(), count, &ops, &bomb);
                        EXPECT_TRUE(rc == 0 || rc == -ECANCELED) << rc;
                        EXPECT_TRUE(rc < 0 || values[count - 1] == count);
                        EXPECT_TRUE(rc == 0 || bomb.calls < 2 * count);
                        return 0;
                    };
                    EXPECT_EQ(skua_await(spawnBody(scan)), 0);
                }
            },
            workers);
    }
}

} // namespace
