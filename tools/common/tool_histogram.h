/*
 * common/tool_histogram.h - counts of durations, from which quantiles are read: 64 classes for each
 * power of two, and the middle of a class stands for all in it, so a quantile is off by at most
 * 1/128 of itself, and exact below 128. Extremes and mean are exact.
 *
 * INVARIANTS  total = sum of counts; min and max are meaningless while total is 0.
 */
#ifndef SKUA_TOOL_HISTOGRAM_H
#define SKUA_TOOL_HISTOGRAM_H

#include <stdint.h>

#define TOOL_HISTOGRAM_BITS 6
#define TOOL_HISTOGRAM_STEPS (1u << TOOL_HISTOGRAM_BITS)
#define TOOL_HISTOGRAM_CLASSES ((64u - TOOL_HISTOGRAM_BITS + 1) * TOOL_HISTOGRAM_STEPS)

struct tool_histogram {
    uint64_t total;
    uint64_t sum_ns;
    uint64_t min_ns;
    uint64_t max_ns;
    uint64_t counts[TOOL_HISTOGRAM_CLASSES];
};

static inline unsigned tool_histogram_class(uint64_t ns)
{
    unsigned shift = 0;
    if (ns >= 2 * TOOL_HISTOGRAM_STEPS)
        shift = (unsigned)(63 - __builtin_clzll(ns)) - TOOL_HISTOGRAM_BITS;
    return shift * TOOL_HISTOGRAM_STEPS + (unsigned)(ns >> shift);
}

/* The least and the greatest duration of class @index. */
static inline void tool_histogram_bounds(unsigned index, uint64_t *first_ns, uint64_t *last_ns)
{
    unsigned shift = 0;
    if (index >= 2 * TOOL_HISTOGRAM_STEPS)
        shift = index / TOOL_HISTOGRAM_STEPS - 1;
    *first_ns = (uint64_t)(index - shift * TOOL_HISTOGRAM_STEPS) << shift;
    *last_ns = *first_ns + ((UINT64_C(1) << shift) - 1);
}

static inline void tool_histogram_add(struct tool_histogram *histogram, uint64_t ns)
{
    if (histogram->total == 0 || ns < histogram->min_ns)
        histogram->min_ns = ns;
    if (ns > histogram->max_ns)
        histogram->max_ns = ns;
    histogram->sum_ns += ns;
    histogram->total++;
    histogram->counts[tool_histogram_class(ns)]++;
}

/* Adds all that is in @from. */
static inline void tool_histogram_merge(struct tool_histogram *histogram,
                                        const struct tool_histogram *from)
{
    if (from->total == 0)
        return;
    if (histogram->total == 0 || from->min_ns < histogram->min_ns)
        histogram->min_ns = from->min_ns;
    if (from->max_ns > histogram->max_ns)
        histogram->max_ns = from->max_ns;
    histogram->sum_ns += from->sum_ns;
    histogram->total += from->total;
    for (unsigned i = 0; i < TOOL_HISTOGRAM_CLASSES; i++)
        histogram->counts[i] += from->counts[i];
}

/* 0 if there is none. */
static inline double tool_histogram_mean(const struct tool_histogram *histogram)
{
    return histogram->total == 0 ? 0 : (double)histogram->sum_ns / (double)histogram->total;
}

/*
 * The duration that @share of all do not exceed: number floor(@share * total) in order, counted
 * from 0, or the last. 0 if there is none.
 */
static inline double tool_histogram_quantile(const struct tool_histogram *histogram, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)histogram->total);
    uint64_t seen = 0;
    for (unsigned i = 0; i < TOOL_HISTOGRAM_CLASSES; i++) {
        seen += histogram->counts[i];
        if (seen > wanted || (seen == histogram->total && seen > 0)) {
            uint64_t first_ns, last_ns;
            tool_histogram_bounds(i, &first_ns, &last_ns);
            double middle_ns = (double)first_ns + (double)(last_ns - first_ns) / 2;
            double min_ns = (double)histogram->min_ns, max_ns = (double)histogram->max_ns;
            return middle_ns < min_ns ? min_ns : middle_ns > max_ns ? max_ns : middle_ns;
        }
    }
    return 0;
}

#endif /* SKUA_TOOL_HISTOGRAM_H */
