/*
 * Tests skua_parallel_sort() and the comparators: order and stability for elements of many sizes
 * and many patterns, wherever it is called; comparators that make no sense; cancelling.
 *
 * An element of @size bytes has its key in the first byte or two and its place in the input in the
 * bytes after, as far as there are some, so that the stable order is the only right one.
 */
#include "support/fd_guard.h"
#include "support/hang_guard.h"
#include "support/runtime_kit.h"

#include <skua/parallel.h>

#include <algorithm>
#include <atomic>
#include <climits>
#include <cmath>
#include <cstring>
#include <endian.h>
#include <functional>
#include <limits>
#include <memory>
#include <random>
#include <vector>

using namespace skua_test;

namespace
{

class ParallelSort : public testing::Test
{
  protected:
    FdGuard fds_;
    HangGuard hang_;
};

class ParallelSortAnywhere : public testing::TestWithParam<Where>
{
  protected:
    FdGuard fds_;
    HangGuard hang_;
};

INSTANTIATE_TEST_SUITE_P(Everywhere, ParallelSortAnywhere, everywhere(), WhereName());

using Bytes = std::vector<unsigned char>;

const size_t kCounts[] = {0, 1, 2, 3, 16, 17, 256, 257, 1000, 2049, 10007};

/* What several workers sort; instrumented standard containers take some thirty times as long. */
constexpr size_t kSome = SKUA_TESTS_SANITIZED ? 20000 : 50000;
constexpr size_t kMany = SKUA_TESTS_SANITIZED ? 200000 : 1 << 20;
constexpr unsigned kStep = SKUA_TESTS_SANITIZED ? 3 : 1; /* between rounds */

/* ---- patterns of keys ------------------------------------------------------------------------ */

using Pattern = std::function<uint64_t(size_t index, size_t count)>;

struct NamedPattern {
    const char *name;
    Pattern key;
};

std::vector<NamedPattern> patterns()
{
    auto random = std::make_shared<std::mt19937_64>(1);
    return {
        {"random", [=](size_t, size_t) { return (*random)(); }},
        {"few keys", [=](size_t, size_t) { return (*random)() % 3; }},
        {"rising", [](size_t i, size_t) { return i; }},
        {"falling", [](size_t i, size_t count) { return count - i; }},
        {"falling in pairs", [](size_t i, size_t count) { return (count - i) / 2; }},
        {"equal", [](size_t, size_t) { return 7; }},
        {"organ pipe", [](size_t i, size_t count) { return std::min(i, count - i); }},
        {"saw", [](size_t i, size_t) { return i % 300; }},
        {"rising but the last", [](size_t i, size_t count) { return i + 1 == count ? 0 : i; }},
        {"rising, halves swapped", [](size_t i, size_t count) { return (i + count / 2) % count; }},
        {"nearly rising", [=](size_t i, size_t) { return (*random)() % 100 ? i : (*random)(); }},
    };
}

/* ---- elements of any size -------------------------------------------------------------------- */

/* Of the key, in a record of @size bytes; what is left counts places. */
size_t keyBytes(size_t size)
{
    return size < 4 ? 1 : 2;
}

Bytes makeRecords(size_t count, size_t size, const Pattern &key)
{
    Bytes records(count * size);
    for (size_t i = 0; i < count; i++) {
        uint64_t value = key(i, count);
        unsigned char *record = &records[i * size];
        for (size_t k = 0; k < size; k++) {
            size_t place = k - keyBytes(size);
            record[k] = static_cast<unsigned char>(k < keyBytes(size)
                                                       ? value >> (8 * (keyBytes(size) - 1 - k))
                                                   : place < 4 ? i >> (8 * place)
                                                               : value + k);
        }
    }
    return records;
}

struct Comparing {
    size_t key_bytes;
    std::atomic<size_t> calls{0};
};

int compareRecords(const void *a, const void *b, void *arg)
{
    Comparing *comparing = static_cast<Comparing *>(arg);
    comparing->calls.fetch_add(1, std::memory_order_relaxed);
    return std::memcmp(a, b, comparing->key_bytes);
}

Bytes sortedByStd(const Bytes &records, size_t size)
{
    std::vector<size_t> order(records.size() / size);
    for (size_t i = 0; i < order.size(); i++)
        order[i] = i;
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
        return std::memcmp(&records[a * size], &records[b * size], keyBytes(size)) < 0;
    });
    Bytes sorted;
    sorted.reserve(records.size());
    for (size_t index : order)
        sorted.insert(sorted.end(), &records[index * size], &records[index * size] + size);
    return sorted;
}

void expectSorts(size_t count, size_t size, const NamedPattern &pattern)
{
    Bytes records = makeRecords(count, size, pattern.key);
    const Bytes sorted = sortedByStd(records, size);
    Comparing comparing{keyBytes(size)};
    EXPECT_EQ(skua_parallel_sort(records.data(), count, size, compareRecords, &comparing), 0);
    EXPECT_TRUE(records == sorted) << count << " of " << size << " bytes, " << pattern.name;
}

TEST_P(ParallelSortAnywhere, IsStableForElementsOfAnySize)
{
    runIn(GetParam(), [] {
        for (size_t size : {1, 2, 3, 4, 5, 8, 12, 16, 24, 32, 100})
            for (size_t count : kCounts)
                for (size_t pattern : {0, 1})
                    expectSorts(count, size, patterns()[pattern]);
    });
}

TEST_P(ParallelSortAnywhere, SortsEveryPattern)
{
    runIn(GetParam(), [] {
        for (const NamedPattern &pattern : patterns())
            for (size_t size : {3, 8, 12})
                for (size_t count : kCounts)
                    expectSorts(count, size, pattern);
    });
}

TEST_F(ParallelSort, SortsOnManyWorkers)
{
    runInTask(
        [] {
            for (const NamedPattern &pattern : patterns())
                for (size_t size : {4, 16, 20})
                    expectSorts(kSome, size, pattern);
        },
        4);
}

TEST_F(ParallelSort, ReadsSortedInputOnlyOnce)
{
    runInTask([] {
        const size_t count = 100000;
        for (size_t pattern : {2, 3}) { /* rising, falling */
            Bytes records(count * 4);
            for (size_t i = 0; i < count; i++) {
                uint32_t key = htobe32(static_cast<uint32_t>(patterns()[pattern].key(i, count)));
                std::memcpy(&records[i * 4], &key, sizeof(key));
            }
            Comparing comparing{4};
            EXPECT_EQ(skua_parallel_sort(records.data(), count, 4, compareRecords, &comparing), 0);
            if (pattern == 2) {
                EXPECT_LT(comparing.calls, count * 11 / 10);
            } else {
                EXPECT_LT(comparing.calls, count * 2);
            }
        }
    });
}

/* ---- alignment ------------------------------------------------------------------------------- */

struct alignas(64) Line {
    int key;
};

TEST_F(ParallelSort, ComparesElementsWhereTheirTypeMayStand)
{
    auto compare = [](const void *a, const void *b, void *arg) {
        std::atomic<bool> *aligned = static_cast<std::atomic<bool> *>(arg);
        if ((reinterpret_cast<uintptr_t>(a) | reinterpret_cast<uintptr_t>(b)) % alignof(Line) != 0)
            *aligned = false;
        return static_cast<const Line *>(a)->key - static_cast<const Line *>(b)->key;
    };
    runInTask([=] {
        for (int count : {2, 10, 100, 10000, 100000}) {
            std::atomic<bool> aligned{true};
            std::vector<Line> lines(static_cast<size_t>(count));
            for (int i = 0; i < count; i++)
                lines[static_cast<size_t>(i)].key = i * 7919 % count;
            EXPECT_EQ(
                skua_parallel_sort(lines.data(), lines.size(), sizeof(Line), compare, &aligned), 0);
            EXPECT_TRUE(aligned);
            EXPECT_TRUE(std::is_sorted(lines.begin(), lines.end(),
                                       [](const Line &a, const Line &b) { return a.key < b.key; }));
        }
    });
}

TEST_F(ParallelSort, TakesElementsAtAnyAddress)
{
    for (size_t offset : {1, 2, 3}) {
        std::vector<int32_t> values(5000);
        std::mt19937 random(3);
        for (int32_t &value : values)
            value = static_cast<int32_t>(random());
        Bytes bytes(values.size() * 4 + offset);
        std::memcpy(&bytes[offset], values.data(), values.size() * 4);
        std::sort(values.begin(), values.end());
        EXPECT_EQ(skua_parallel_sort(&bytes[offset], values.size(), 4, skua_compare_int32, nullptr),
                  0);
        EXPECT_EQ(std::memcmp(&bytes[offset], values.data(), values.size() * 4), 0);
    }
}

/* ---- known comparators ----------------------------------------------------------------------- */

template <class T> T valueOf(uint64_t key)
{
    if constexpr (sizeof(T) == 4)
        return static_cast<T>(key ^ key >> 32);
    return static_cast<T>(key);
}

template <class T> void expectSortsNumbers(skua_compare_fn compare)
{
    for (const NamedPattern &pattern : patterns()) {
        for (size_t count : kCounts) {
            std::vector<T> values(count);
            for (size_t i = 0; i < count; i++)
                values[i] = valueOf<T>(pattern.key(i, count));
            std::vector<T> sorted = values;
            std::stable_sort(sorted.begin(), sorted.end());
            EXPECT_EQ(skua_parallel_sort(values.data(), count, sizeof(T), compare, nullptr), 0);
            EXPECT_TRUE(values == sorted) << count << " numbers, " << pattern.name;
        }
    }
}

TEST_P(ParallelSortAnywhere, SortsNumbersAsTheStandardLibraryDoes)
{
    runIn(GetParam(), [] {
        expectSortsNumbers<int32_t>(skua_compare_int32);
        expectSortsNumbers<int64_t>(skua_compare_int64);
        expectSortsNumbers<uint32_t>(skua_compare_uint32);
        expectSortsNumbers<uint64_t>(skua_compare_uint64);
        expectSortsNumbers<double>(skua_compare_double);
    });
}

TEST_F(ParallelSort, SortsManyNumbersOnManyWorkers)
{
    runInTask(
        [] {
            for (size_t count : {kMany + 3, kMany}) {
                std::mt19937_64 random(count);
                std::vector<int64_t> values(count);
                for (int64_t &value : values)
                    value = static_cast<int64_t>(random());
                std::vector<int64_t> sorted = values;
                std::sort(sorted.begin(), sorted.end());
                EXPECT_EQ(skua_parallel_sort(values.data(), count, 8, skua_compare_int64, nullptr),
                          0);
                EXPECT_TRUE(values == sorted);
            }
        },
        4);
}

/* Numbers, both zeros, infinities, and NaNs with different signs and payloads. */
std::vector<double> doublesWithNans(size_t count, unsigned nans_per_mille)
{
    std::mt19937_64 random(count + nans_per_mille);
    const double special[] = {0.0, -0.0, HUGE_VAL, -HUGE_VAL, 1e-320, -1e-320, 1.0};
    std::vector<double> values(count);
    for (double &value : values) {
        uint64_t bits = random();
        if (random() % 1000 < nans_per_mille)
            bits |= UINT64_C(0x7ff8000000000000);
        std::memcpy(&value, &bits, sizeof(value));
        if (!std::isnan(value) && random() % 4 == 0)
            value = special[random() % 7];
    }
    return values;
}

bool lessDouble(double a, double b)
{
    return std::isnan(b) ? !std::isnan(a) : a < b;
}

TEST_P(ParallelSortAnywhere, SortsNansBehindAllNumbersAndKeepsTheirOrder)
{
    runIn(GetParam(), [] {
        for (unsigned nans_per_mille : {0u, 1u, 200u, 1000u})
            for (size_t count : {1, 2, 3, 16, 100, 2048, 5001, 50021}) {
                std::vector<double> values = doublesWithNans(count, nans_per_mille);
                std::vector<double> sorted = values;
                std::stable_sort(sorted.begin(), sorted.end(), lessDouble);
                EXPECT_EQ(skua_parallel_sort(values.data(), count, sizeof(double),
                                             skua_compare_double, nullptr),
                          0);
                /* Bits, so that zeros and NaNs must be the same ones. */
                EXPECT_EQ(std::memcmp(values.data(), sorted.data(), count * sizeof(double)), 0)
                    << count << " with " << nans_per_mille;
            }
    });
}

TEST_F(ParallelSort, TakesAKnownComparatorForLargerElements)
{
    struct Pair {
        int32_t key;
        int32_t place;
    };
    std::mt19937 random(5);
    std::vector<Pair> pairs;
    for (int i = 0; i < 10000; i++)
        pairs.push_back({static_cast<int32_t>(random() % 100), i});
    EXPECT_EQ(
        skua_parallel_sort(pairs.data(), pairs.size(), sizeof(Pair), skua_compare_int32, nullptr),
        0);
    for (size_t i = 1; i < pairs.size(); i++) {
        ASSERT_LE(pairs[i - 1].key, pairs[i].key);
        if (pairs[i - 1].key == pairs[i].key) {
            ASSERT_LT(pairs[i - 1].place, pairs[i].place);
        }
    }
}

template <class T> int compareWith(skua_compare_fn compare, T a, T b)
{
    int result = compare(&a, &b, nullptr);
    EXPECT_EQ(compare(&b, &a, nullptr) < 0, result > 0);
    EXPECT_EQ(compare(&b, &a, nullptr) > 0, result < 0);
    return result;
}

TEST_F(ParallelSort, ComparatorsCompareExtremes)
{
    EXPECT_LT(compareWith(skua_compare_int32, INT32_MIN, INT32_MAX), 0);
    EXPECT_EQ(compareWith(skua_compare_int32, -1, -1), 0);
    EXPECT_LT(compareWith(skua_compare_int64, INT64_MIN, INT64_MAX), 0);
    EXPECT_GT(compareWith(skua_compare_int64, INT64_C(1) << 32, INT64_C(1)), 0);
    EXPECT_LT(compareWith(skua_compare_uint32, 0u, UINT32_MAX), 0);
    EXPECT_LT(compareWith(skua_compare_uint64, UINT64_C(0), UINT64_MAX), 0);
    EXPECT_EQ(compareWith(skua_compare_uint64, UINT64_MAX, UINT64_MAX), 0);
    const double nan = std::numeric_limits<double>::quiet_NaN();
    EXPECT_LT(compareWith(skua_compare_double, -HUGE_VAL, HUGE_VAL), 0);
    EXPECT_EQ(compareWith(skua_compare_double, 0.0, -0.0), 0);
    EXPECT_LT(compareWith(skua_compare_double, HUGE_VAL, nan), 0);
    EXPECT_LT(compareWith(skua_compare_double, HUGE_VAL, -nan), 0);
    EXPECT_EQ(compareWith(skua_compare_double, nan, -nan), 0);
}

TEST_F(ParallelSort, ComparatorsGoWithQsort)
{
    std::vector<double> values = doublesWithNans(1000, 100);
    std::vector<double> sorted = values;
    std::stable_sort(sorted.begin(), sorted.end(), lessDouble);
    qsort_r(values.data(), values.size(), sizeof(double), skua_compare_double, nullptr);
    for (size_t i = 0; i < values.size(); i++)
        EXPECT_TRUE(values[i] == sorted[i] || (std::isnan(values[i]) && std::isnan(sorted[i])));
}

/* ---- what the header forbids, and what it forgives ------------------------------------------- */

TEST_P(ParallelSortAnywhere, RefusesWhatTheHeaderForbids)
{
    runIn(GetParam(), [] {
        int32_t values[] = {3, 1, 2};
        const skua_compare_fn compare = skua_compare_int32;
        EXPECT_EQ(skua_parallel_sort(nullptr, 3, 4, compare, nullptr), -EINVAL);
        EXPECT_EQ(skua_parallel_sort(values, 3, 4, nullptr, nullptr), -EINVAL);
        EXPECT_EQ(skua_parallel_sort(values, 0, 4, nullptr, nullptr), -EINVAL);
        EXPECT_EQ(skua_parallel_sort(values, 3, 0, compare, nullptr), -EINVAL);
        EXPECT_EQ(skua_parallel_sort(values, 0, 0, compare, nullptr), -EINVAL);
        EXPECT_EQ(skua_parallel_sort(values, SIZE_MAX / 4 + 2, 4, compare, nullptr), -EOVERFLOW);
        EXPECT_EQ(skua_parallel_sort(values, SSIZE_MAX / 4 + 1, 4, compare, nullptr), -EOVERFLOW);
        EXPECT_EQ(skua_parallel_sort(values, 2, SIZE_MAX / 2, compare, nullptr), -EOVERFLOW);
        EXPECT_EQ(skua_parallel_sort(nullptr, 0, 4, compare, nullptr), 0);
        EXPECT_EQ(skua_parallel_sort(values, 0, 4, compare, nullptr), 0);
        EXPECT_EQ(skua_parallel_sort(values, 1, 4, compare, nullptr), 0);
        EXPECT_EQ(values[0], 3);
    });
}

TEST_F(ParallelSort, WithoutMemoryLeavesTheElementsAlone)
{
    /* No machine has that much address space. */
    int32_t values[] = {3, 1, 2};
    EXPECT_EQ(skua_parallel_sort(values, SSIZE_MAX / 4, 4, skua_compare_int32, nullptr), -ENOMEM);
    EXPECT_EQ(values[0], 3);
    EXPECT_EQ(values[1], 1);
    EXPECT_EQ(values[2], 2);
}

/* The same for the same records in any order. */
uint64_t mixtureOf(const Bytes &records, size_t size)
{
    uint64_t sum = 0;
    for (size_t begin = 0; begin < records.size(); begin += size) {
        uint64_t hash = UINT64_C(0xcbf29ce484222325);
        for (size_t i = begin; i < begin + size; i++)
            hash = (hash ^ records[i]) * UINT64_C(0x100000001b3);
        sum += hash * hash;
    }
    return sum;
}

/* Comparators that contradict themselves. */
int answerAnything(const void *, const void *, void *arg)
{
    std::atomic<uint64_t> *state = static_cast<std::atomic<uint64_t> *>(arg);
    uint64_t mixed = state->fetch_add(UINT64_C(0x9e3779b97f4a7c15), std::memory_order_relaxed);
    mixed = (mixed ^ mixed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    return static_cast<int>(mixed >> 40) % 3 - 1;
}

int answerLess(const void *, const void *, void *)
{
    return -1;
}

int answerGreater(const void *, const void *, void *)
{
    return INT_MAX;
}

TEST_P(ParallelSortAnywhere, SurvivesComparatorsThatMakeNoSense)
{
    runIn(GetParam(), [] {
        for (skua_compare_fn compare : {answerAnything, answerLess, answerGreater})
            for (size_t size : {1, 3, 4, 8, 12, 16, 100})
                for (size_t count : kCounts) {
                    std::atomic<uint64_t> state{count * size};
                    Bytes records = makeRecords(count, size, patterns()[0].key);
                    const Bytes before = records;
                    EXPECT_EQ(skua_parallel_sort(records.data(), count, size, compare, &state), 0);
                    EXPECT_EQ(mixtureOf(records, size), mixtureOf(before, size))
                        << count << " of " << size;
                }
    });
}

/* ---- cancelling ------------------------------------------------------------------------------ */

TEST_F(ParallelSort, OfACancelledTaskSortsNothing)
{
    runInTask([] {
        std::vector<int32_t> values(100000);
        for (size_t i = 0; i < values.size(); i++)
            values[i] = static_cast<int32_t>(i * 7919 % values.size());
        const std::vector<int32_t> before = values;
        EXPECT_EQ(skua_cancel(skua_self()), 0);
        EXPECT_EQ(skua_parallel_sort(values.data(), values.size(), 4, skua_compare_int32, nullptr),
                  -ECANCELED);
        EXPECT_TRUE(values == before);
    });
}

struct Bomb {
    size_t key_bytes;
    size_t after;
    skua_future *task;
    std::atomic<size_t> calls{0};
};

/* Cancels the task after so many calls. */
int compareAndCancel(const void *a, const void *b, void *arg)
{
    Bomb *bomb = static_cast<Bomb *>(arg);
    if (++bomb->calls == bomb->after)
        skua_cancel(bomb->task);
    return std::memcmp(a, b, bomb->key_bytes);
}

/* Sorts, with a cancel after so many comparisons; returns how many there are without. */
size_t expectAllThereAfterCancel(size_t count, size_t size, size_t after)
{
    size_t calls = 0;
    auto sort = [&]() -> intptr_t {
        Bytes records = makeRecords(count, size, patterns()[0].key);
        const Bytes before = records;
        Bomb bomb{keyBytes(size), after, skua_self()};
        int rc = skua_parallel_sort(records.data(), count, size, compareAndCancel, &bomb);
        calls = bomb.calls;
        if (rc == 0) {
            EXPECT_TRUE(records == sortedByStd(before, size));
        } else {
            EXPECT_EQ(rc, -ECANCELED);
            EXPECT_EQ(mixtureOf(records, size), mixtureOf(before, size))
                << count << " after " << after;
        }
        return 0;
    };
    EXPECT_EQ(skua_await(spawnBody(sort)), 0);
    return calls;
}

TEST_F(ParallelSort, KeepsAllElementsWheneverItIsCancelled)
{
    for (unsigned workers : {1u, 4u}) {
        runInTask(
            [] {
                for (size_t size : {4, 12}) {
                    const size_t count = 4000;
                    const size_t calls = expectAllThereAfterCancel(count, size, 0);
                    for (size_t after = 1; after < calls; after += calls / 41)
                        expectAllThereAfterCancel(count, size, after);
                }
            },
            workers);
    }
}

TEST_F(ParallelSort, KeepsAllNumbersWheneverItIsCancelled)
{
    runInTask(
        [] {
            std::mt19937 random(9);
            for (unsigned round = 0; round < 30; round += kStep) {
                std::vector<int32_t> values(kSome * 2);
                for (int32_t &value : values)
                    value = static_cast<int32_t>(random());
                std::vector<int32_t> sorted = values;
                auto sort = [&]() -> intptr_t {
                    return skua_parallel_sort(values.data(), values.size(), 4, skua_compare_int32,
                                              nullptr);
                };
                skua_future *future = spawnBody(sort);
                skua_sleep(static_cast<uint64_t>(round) * 100 * SKUA_NS_PER_US);
                skua_cancel(future);
                intptr_t rc = skua_await(future);
                EXPECT_TRUE(rc == 0 || rc == -ECANCELED) << rc;
                if (rc < 0)
                    std::sort(values.begin(), values.end());
                std::sort(sorted.begin(), sorted.end());
                EXPECT_TRUE(values == sorted);
            }
        },
        4);
}

TEST_F(ParallelSort, NeedsNoLargeStack)
{
    std::mt19937 random(11);
    std::vector<int32_t> values(500000);
    for (int32_t &value : values)
        value = static_cast<int32_t>(random());
    auto plain = [](const void *a, const void *b, void *) {
        int32_t x = *static_cast<const int32_t *>(a), y = *static_cast<const int32_t *>(b);
        return x < y ? -1 : x > y;
    };
    auto sort = [&]() -> intptr_t {
        return skua_parallel_sort(values.data(), values.size(), 4, plain, nullptr);
    };
    skua_options options{};
    options.workers = 4;
    EXPECT_EQ(skua_run(&options, callValue<decltype(sort)>, &sort), 0);
    EXPECT_TRUE(std::is_sorted(values.begin(), values.end()));
}

} // namespace
