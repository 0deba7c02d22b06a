/*
 * tools/tool_histogram_test.cc - the histogram of durations, against the durations themselves.
 */
#include "tool_histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <random>
#include <vector>

namespace
{

const double kShares[] = {0, 0.001, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 0.9999, 1};

using Histogram = std::unique_ptr<tool_histogram>;

Histogram Of(const std::vector<uint64_t> &durations)
{
    Histogram histogram(new tool_histogram());
    for (uint64_t ns : durations)
        tool_histogram_add(histogram.get(), ns);
    return histogram;
}

/* Durations of every order of magnitude below 2^@bits. */
std::vector<uint64_t> Durations(size_t count, unsigned bits)
{
    std::mt19937_64 random(7);
    std::vector<uint64_t> durations;
    for (size_t i = 0; i < count; i++)
        durations.push_back(random() >> (64 - 1 - random() % bits));
    return durations;
}

void ExpectQuantiles(std::vector<uint64_t> durations)
{
    Histogram histogram = Of(durations);
    std::sort(durations.begin(), durations.end());
    for (double share : kShares) {
        size_t place = static_cast<size_t>(share * static_cast<double>(durations.size()));
        double exact = static_cast<double>(durations[std::min(place, durations.size() - 1)]);
        double found = tool_histogram_quantile(histogram.get(), share);
        EXPECT_LE(std::abs(found - exact), exact / 128) << "share " << share;
    }
}

TEST(ToolHistogram, QuantilesAreRightToOne128th)
{
    for (unsigned bits : {8u, 20u, 34u, 63u}) {
        ExpectQuantiles(Durations(10000, bits));
        ExpectQuantiles(Durations(1, bits));
        ExpectQuantiles(Durations(7, bits));
    }
}

TEST(ToolHistogram, ShortDurationsAreExact)
{
    for (uint64_t ns = 0; ns < 128; ns++)
        EXPECT_EQ(tool_histogram_quantile(Of({0, ns, 1000}).get(), 0.4), static_cast<double>(ns));
}

TEST(ToolHistogram, ExtremesAndMeanAreExact)
{
    std::vector<uint64_t> durations = Durations(1000, 40);
    Histogram histogram = Of(durations);
    double sum = 0;
    for (uint64_t ns : durations)
        sum += static_cast<double>(ns);
    EXPECT_EQ(histogram->total, 1000u);
    EXPECT_EQ(histogram->min_ns, *std::min_element(durations.begin(), durations.end()));
    EXPECT_EQ(histogram->max_ns, *std::max_element(durations.begin(), durations.end()));
    EXPECT_NEAR(tool_histogram_mean(histogram.get()), sum / 1000, sum / 1e12);
}

TEST(ToolHistogram, ClassesFollowEachOtherWithoutGapOrOverlap)
{
    uint64_t next = 0;
    for (unsigned i = 0; i < TOOL_HISTOGRAM_CLASSES; i++) {
        uint64_t first, last;
        tool_histogram_bounds(i, &first, &last);
        ASSERT_EQ(first, next) << i;
        ASSERT_GE(last, first) << i;
        ASSERT_EQ(tool_histogram_class(first), i);
        ASSERT_EQ(tool_histogram_class(last), i);
        ASSERT_LE(last - first, first / 64) << i;
        next = last + 1;
    }
    EXPECT_EQ(next, 0u) << "the last class ends with the greatest number";
}

TEST(ToolHistogram, MergingIsAddingAll)
{
    std::vector<uint64_t> durations = Durations(2000, 50);
    std::vector<uint64_t> first(durations.begin(), durations.begin() + 700);
    std::vector<uint64_t> second(durations.begin() + 700, durations.end());
    Histogram whole = Of(durations), empty = Of({});
    for (bool swapped : {false, true}) {
        Histogram merged = Of({});
        tool_histogram_merge(merged.get(), Of(swapped ? second : first).get());
        tool_histogram_merge(merged.get(), empty.get());
        tool_histogram_merge(merged.get(), Of(swapped ? first : second).get());
        EXPECT_EQ(merged->total, whole->total);
        EXPECT_EQ(merged->sum_ns, whole->sum_ns);
        EXPECT_EQ(merged->min_ns, whole->min_ns);
        EXPECT_EQ(merged->max_ns, whole->max_ns);
        EXPECT_TRUE(
            std::equal(merged->counts, merged->counts + TOOL_HISTOGRAM_CLASSES, whole->counts));
    }
}

TEST(ToolHistogram, NothingHasNoTimes)
{
    Histogram histogram = Of({});
    EXPECT_EQ(tool_histogram_quantile(histogram.get(), 0.5), 0);
    EXPECT_EQ(tool_histogram_mean(histogram.get()), 0);
}

} // namespace
