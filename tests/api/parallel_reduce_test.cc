/*
 * Tests skua_parallel_reduce(): order, identities, accumulators of every size, the deterministic
 * form, errors, cancelling.
 */
#include "support/fd_guard.h"
#include "support/hang_guard.h"
#include "support/runtime_kit.h"

#include <skua/parallel.h>

#include <atomic>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

using namespace skua_test;

namespace
{

class ParallelReduce : public testing::Test
{
  protected:
    FdGuard fds_;
    HangGuard hang_;
};

class ParallelReduceAnywhere : public testing::TestWithParam<Where>
{
  protected:
    FdGuard fds_;
    HangGuard hang_;
};

INSTANTIATE_TEST_SUITE_P(Everywhere, ParallelReduceAnywhere, everywhere(), WhereName());

/*
 * x -> factor * x + offset, modulo 2^64: what indices stand for. Applying one after another is
 * associative and not commutative. An accumulator may be larger than that, filled with a pattern.
 */
struct Affine {
    uint64_t factor;
    uint64_t offset;

    bool operator==(const Affine &other) const
    {
        return factor == other.factor && offset == other.offset;
    }
};

Affine then(Affine first, Affine second)
{
    return {first.factor * second.factor, first.offset * second.factor + second.offset};
}

Affine affineOf(size_t index)
{
    return {2 * index + 3, index * index + 1};
}

Affine expected(size_t begin, size_t end)
{
    Affine all{1, 0};
    for (size_t i = begin; i < end; i++)
        all = then(all, affineOf(i));
    return all;
}

/* A reduction of Affines in accumulators of any size from 16 bytes. */
class Composition
{
  public:
    explicit Composition(size_t size_bytes, unsigned flags = 0)
        : identity_(size_bytes, '\x5a'), result_(size_bytes, '\x77')
    {
        const Affine one{1, 0};
        std::memcpy(identity_.data(), &one, sizeof(one));
        ops.size_bytes = size_bytes;
        ops.identity = identity_.data();
        ops.range = range;
        ops.combine = combine;
        ops.flags = flags;
    }

    int run(size_t begin, size_t end, size_t grain)
    {
        return skua_parallel_reduce(begin, end, grain, &ops, this, result_.data());
    }

    Affine result() const
    {
        Affine value;
        std::memcpy(&value, result_.data(), sizeof(value));
        return value;
    }

    bool untouched() const
    {
        return result_ == std::vector<char>(result_.size(), '\x77');
    }

    bool sound() const
    {
        return sound_;
    }

    size_t fail_at = SIZE_MAX;   /* an index whose piece fails ... */
    size_t cancel_at = SIZE_MAX; /* ... or cancels the task that made this */
    std::atomic<size_t> combined{0};
    skua_reduce_ops ops{};

  private:
    /* Whether an accumulator has been moved as a whole and stands right. */
    void check(const void *accumulator)
    {
        const char *bytes = static_cast<const char *>(accumulator);
        if (reinterpret_cast<uintptr_t>(bytes) % alignof(std::max_align_t) != 0)
            sound_ = false;
        for (size_t i = sizeof(Affine); i < identity_.size(); i += 1 + i / 8) {
            if (bytes[i] != '\x5a')
                sound_ = false;
        }
    }

    static int range(size_t begin, size_t end, void *accumulator, void *arg)
    {
        Composition *self = static_cast<Composition *>(arg);
        self->check(accumulator);
        if (begin <= self->fail_at && self->fail_at < end)
            return -EILSEQ;
        if (begin <= self->cancel_at && self->cancel_at < end)
            skua_cancel(self->caller_);
        Affine *all = static_cast<Affine *>(accumulator);
        for (size_t i = begin; i < end; i++)
            *all = then(*all, affineOf(i));
        return 0;
    }

    static void combine(void *left, const void *right, void *arg)
    {
        Composition *self = static_cast<Composition *>(arg);
        self->check(left);
        self->check(right);
        self->combined++;
        *static_cast<Affine *>(left) =
            then(*static_cast<Affine *>(left), *static_cast<const Affine *>(right));
    }

    skua_future *caller_ = skua_self();
    std::vector<char> identity_, result_;
    std::atomic<bool> sound_{true};
};

TEST_P(ParallelReduceAnywhere, KeepsTheOrderOfTheRange)
{
    runIn(GetParam(), [] {
        for (unsigned flags : {0u, SKUA_REDUCE_DETERMINISTIC})
            for (size_t count : {0, 1, 2, 3, 31, 100, 1024, 1025, 50001})
                for (size_t grain : {size_t{0}, size_t{1}, size_t{100}, SIZE_MAX}) {
                    Composition all(sizeof(Affine), flags);
                    EXPECT_EQ(all.run(3, 3 + count, grain), 0);
                    EXPECT_EQ(all.result(), expected(3, 3 + count)) << count << " by " << grain;
                    EXPECT_TRUE(all.sound());
                }
    });
}

TEST_P(ParallelReduceAnywhere, TakesAccumulatorsOfEverySize)
{
    runIn(GetParam(), [] {
        for (unsigned flags : {0u, SKUA_REDUCE_DETERMINISTIC})
            for (size_t size : {16, 24, 127, 128, 129, 200, 4096, 65535, 65536}) {
                Composition all(size, flags);
                EXPECT_EQ(all.run(0, 5000, 100), 0);
                EXPECT_EQ(all.result(), expected(0, 5000)) << size;
                EXPECT_TRUE(all.sound()) << size;
            }
    });
}

TEST_P(ParallelReduceAnywhere, TakesRangesThatEndAtTheLastSize)
{
    runIn(GetParam(), [] {
        for (unsigned flags : {0u, SKUA_REDUCE_DETERMINISTIC}) {
            Composition all(sizeof(Affine), flags);
            EXPECT_EQ(all.run(SIZE_MAX - 5000, SIZE_MAX, 0), 0);
            EXPECT_EQ(all.result(), expected(SIZE_MAX - 5000, SIZE_MAX));
            EXPECT_EQ(all.run(SIZE_MAX, SIZE_MAX, 0), 0);
            EXPECT_EQ(all.result(), expected(0, 0));
        }
    });
}

/* Sums lengths, so that the longest range there is can be reduced. */
int addLength(size_t begin, size_t end, void *accumulator, void *)
{
    *static_cast<size_t *>(accumulator) += end - begin;
    return 0;
}

void addSizes(void *left, const void *right, void *)
{
    *static_cast<size_t *>(left) += *static_cast<const size_t *>(right);
}

TEST_P(ParallelReduceAnywhere, TakesTheLongestRangeThereIs)
{
    runIn(GetParam(), [] {
        skua_reduce_ops ops{};
        ops.size_bytes = sizeof(size_t);
        ops.range = addLength;
        ops.combine = addSizes;
        size_t sum = 1;
        EXPECT_EQ(skua_parallel_reduce(0, SIZE_MAX, 0, &ops, nullptr, &sum), 0);
        EXPECT_EQ(sum, SIZE_MAX);
        ops.flags = SKUA_REDUCE_DETERMINISTIC;
        sum = 1;
        EXPECT_EQ(skua_parallel_reduce(0, SIZE_MAX, SIZE_MAX / 1000, &ops, nullptr, &sum), 0);
        EXPECT_EQ(sum, SIZE_MAX);
    });
}

TEST_P(ParallelReduceAnywhere, GivesTheIdentityForAnEmptyRange)
{
    runIn(GetParam(), [] {
        skua_reduce_ops ops{};
        ops.size_bytes = sizeof(size_t);
        ops.range = addLength;
        ops.combine = addSizes;
        size_t sum = 1;
        EXPECT_EQ(skua_parallel_reduce(7, 7, 0, &ops, nullptr, &sum), 0);
        EXPECT_EQ(sum, 0u);
        const size_t identity = 42;
        ops.identity = &identity;
        EXPECT_EQ(skua_parallel_reduce(7, 7, 0, &ops, nullptr, &sum), 0);
        EXPECT_EQ(sum, 42u);
    });
}

TEST_P(ParallelReduceAnywhere, RefusesWhatTheHeaderForbids)
{
    runIn(GetParam(), [] {
        Composition good(sizeof(Affine));
        size_t result = 99;
        auto refuses = [&](void (*spoil)(skua_reduce_ops &)) {
            skua_reduce_ops ops = good.ops;
            spoil(ops);
            return skua_parallel_reduce(0, 10, 0, &ops, &good, &result) == -EINVAL;
        };
        EXPECT_TRUE(refuses([](skua_reduce_ops &ops) { ops.range = nullptr; }));
        EXPECT_TRUE(refuses([](skua_reduce_ops &ops) { ops.combine = nullptr; }));
        EXPECT_TRUE(refuses([](skua_reduce_ops &ops) { ops.size_bytes = 0; }));
        EXPECT_TRUE(refuses([](skua_reduce_ops &ops) { ops.size_bytes = 65537; }));
        EXPECT_TRUE(refuses([](skua_reduce_ops &ops) { ops.flags = 2; }));
        EXPECT_TRUE(refuses([](skua_reduce_ops &ops) { ops.reserved_flags = 1; }));
        EXPECT_TRUE(refuses([](skua_reduce_ops &ops) { ops.reserved[0] = 1; }));
        EXPECT_TRUE(refuses([](skua_reduce_ops &ops) { ops.reserved[1] = 1; }));
        EXPECT_TRUE(refuses([](skua_reduce_ops &ops) { ops.reserved[2] = 1; }));
        EXPECT_TRUE(refuses([](skua_reduce_ops &ops) { ops.reserved[3] = 1; }));
        EXPECT_EQ(skua_parallel_reduce(0, 10, 0, nullptr, &good, &result), -EINVAL);
        EXPECT_EQ(skua_parallel_reduce(0, 10, 0, &good.ops, &good, nullptr), -EINVAL);
        EXPECT_EQ(skua_parallel_reduce(10, 9, 0, &good.ops, &good, &result), -EINVAL);
        EXPECT_EQ(result, 99u);
    });
}

TEST_P(ParallelReduceAnywhere, LeavesTheResultAloneOnAnError)
{
    runIn(GetParam(), [] {
        for (unsigned flags : {0u, SKUA_REDUCE_DETERMINISTIC})
            for (size_t size : {size_t{16}, size_t{1000}})
                for (size_t bad : {0, 1, 4999, 5000, 9999}) {
                    Composition all(size, flags);
                    all.fail_at = bad;
                    EXPECT_EQ(all.run(0, 10000, 7), -EILSEQ);
                    EXPECT_TRUE(all.untouched());
                    EXPECT_TRUE(all.sound());
                }
    });
}

TEST_F(ParallelReduce, LeavesTheResultAloneIfCancelled)
{
    for (unsigned workers : {1u, 2u, 4u}) {
        for (unsigned flags : {0u, SKUA_REDUCE_DETERMINISTIC}) {
            runInTask(
                [=] {
                    Composition all(sizeof(Affine), flags);
                    all.cancel_at = 0;
                    EXPECT_EQ(all.run(0, 1000000, 7), -ECANCELED);
                    EXPECT_TRUE(all.untouched());
                    /* Now it is cancelled from the start. */
                    EXPECT_EQ(all.run(0, 1, 0), -ECANCELED);
                    EXPECT_TRUE(all.untouched());
                    EXPECT_EQ(all.run(0, 0, 0), 0);
                    EXPECT_EQ(all.result(), expected(0, 0));
                },
                workers);
        }
    }
}

TEST_F(ParallelReduce, MayBeCancelledAtAnyTime)
{
    runInTask(
        [] {
            for (int i = 0; i < 300; i++) {
                Composition all(i % 2 ? 16 : 300, i % 3 ? 0 : SKUA_REDUCE_DETERMINISTIC);
                auto body = [&]() -> intptr_t { return all.run(0, 20000, 7); };
                skua_future *future = spawnBody(body);
                for (int k = 0; k < i % 10; k++)
                    skua_yield();
                skua_cancel(future);
                intptr_t rc = skua_await(future);
                if (rc == 0) {
                    EXPECT_EQ(all.result(), expected(0, 20000));
                } else {
                    EXPECT_EQ(rc, -ECANCELED);
                    EXPECT_TRUE(all.untouched());
                }
            }
        },
        4);
}

TEST_F(ParallelReduce, CombinesNothingWhereNobodyTakesPieces)
{
    auto reduce = [] {
        Composition all(sizeof(Affine));
        EXPECT_EQ(all.run(0, 100000, 10), 0);
        EXPECT_EQ(all.result(), expected(0, 100000));
        EXPECT_EQ(all.combined, 0u);
    };
    reduce();
    runInTask(reduce, 1);
}

TEST_F(ParallelReduce, MayBeNested)
{
    runInTask([] {
        skua_reduce_ops ops{};
        ops.size_bytes = sizeof(size_t);
        ops.range = [](size_t begin, size_t end, void *accumulator, void *arg) {
            for (size_t i = begin; i < end; i++) {
                const skua_reduce_ops *inner = static_cast<const skua_reduce_ops *>(arg);
                size_t sum = 0;
                int rc = skua_parallel_reduce(0, i, 0, inner, nullptr, &sum);
                if (rc < 0)
                    return rc;
                *static_cast<size_t *>(accumulator) += sum;
            }
            return 0;
        };
        ops.combine = addSizes;
        skua_reduce_ops inner = ops;
        inner.range = addLength;
        size_t sum = 0;
        EXPECT_EQ(skua_parallel_reduce(0, 300, 0, &ops, &inner, &sum), 0);
        EXPECT_EQ(sum, 300u * 299u / 2);
    });
}

/* ---- the deterministic form ------------------------------------------------------------------ */

class Sum
{
  public:
    explicit Sum(size_t count) : values_(count)
    {
        std::mt19937_64 random(count);
        std::uniform_real_distribution<double> number(-1e6, 1e6);
        for (double &value : values_)
            value = number(random) * number(random);
        ops_.size_bytes = sizeof(double);
        ops_.range = range;
        ops_.combine = combine;
        ops_.flags = SKUA_REDUCE_DETERMINISTIC;
    }

    /* The sum as bits, so that nothing is overlooked. */
    uint64_t bits(size_t grain)
    {
        double sum = 0;
        EXPECT_EQ(skua_parallel_reduce(0, values_.size(), grain, &ops_, this, &sum), 0);
        uint64_t result;
        std::memcpy(&result, &sum, sizeof(result));
        return result;
    }

  private:
    static int range(size_t begin, size_t end, void *accumulator, void *arg)
    {
        const Sum *self = static_cast<const Sum *>(arg);
        double *sum = static_cast<double *>(accumulator);
        for (size_t i = begin; i < end; i++)
            *sum += self->values_[i];
        return 0;
    }

    static void combine(void *left, const void *right, void *)
    {
        *static_cast<double *>(left) += *static_cast<const double *>(right);
    }

    std::vector<double> values_;
    skua_reduce_ops ops_{};
};

TEST_F(ParallelReduce, RepeatsFloatingPointSumsBitForBitIfAskedTo)
{
    for (size_t count : {1, 1000, 5000, 123457}) {
        Sum sum(count);
        for (size_t grain : {size_t{0}, size_t{1}, size_t{100}, size_t{100000}}) {
            const uint64_t bits = sum.bits(grain);
            runOnExecutor([&] { EXPECT_EQ(sum.bits(grain), bits); });
            for (unsigned workers : {1u, 2u, 4u}) {
                auto again = [&] {
                    for (int i = 0; i < 5; i++)
                        EXPECT_EQ(sum.bits(grain), bits) << workers << " workers";
                };
                runInTask(again, workers);
            }
        }
    }
}

TEST_F(ParallelReduce, TakesNoGrainFor1024IfDeterministic)
{
    Sum sum(123457);
    EXPECT_EQ(sum.bits(0), sum.bits(1024));
    EXPECT_NE(sum.bits(0), sum.bits(1)); /* or these sums prove nothing */
}

} // namespace
