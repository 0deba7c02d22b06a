/*
 * load/load_histogram.h - counts of durations, from which quantiles are read: 64 classes for each
 * power of two, so a quantile is off by less than 1 %.
 */
#ifndef SKUA_LOAD_HISTOGRAM_H
#define SKUA_LOAD_HISTOGRAM_H

#include <stdint.h>

#define LOAD_CLASS_BITS 6
#define LOAD_CLASSES (1u << LOAD_CLASS_BITS)
#define LOAD_POWERS (64u - LOAD_CLASS_BITS + 1)

struct load_histogram {
    uint64_t total;
    uint64_t counts[LOAD_POWERS * LOAD_CLASSES];
};

static inline void load_histogram_add(struct load_histogram *histogram, uint64_t ns)
{
    unsigned shift = 0;
    if (ns >= 2 * LOAD_CLASSES)
        shift = (unsigned)(63 - __builtin_clzll(ns)) - LOAD_CLASS_BITS;
    histogram->total++;
    histogram->counts[shift * LOAD_CLASSES + (unsigned)(ns >> shift)]++;
}

/* The duration that @share of all do not exceed; 0 if there is none. */
static inline double load_histogram_quantile(const struct load_histogram *histogram, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)histogram->total);
    uint64_t seen = 0;
    for (unsigned i = 0; i < LOAD_POWERS * LOAD_CLASSES; i++) {
        seen += histogram->counts[i];
        if (seen > wanted || (seen == histogram->total && seen > 0)) {
            unsigned shift = i < 2 * LOAD_CLASSES ? 0 : i / LOAD_CLASSES - 1;
            uint64_t first = (uint64_t)(i - shift * LOAD_CLASSES) << shift;
            return (double)first + (double)((UINT64_C(1) << shift) - 1) / 2;
        }
    }
    return 0;
}

#endif /* SKUA_LOAD_HISTOGRAM_H */
