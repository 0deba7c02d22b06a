/*
 * bench/common/bench_sort.h - the numbers of the sort workload, and the check. C and C++.
 *
 * The same random 32-bit integers in every program. Right is: in ascending order, with the sum they
 * had before.
 */
#ifndef SKUA_BENCH_SORT_H
#define SKUA_BENCH_SORT_H

#include "bench_workload.h"

#include <stdlib.h>

#define BENCH_SORT_WHOLE 50000000u

/* --size numbers, all touched. Ends the program if there is no memory. */
static inline int32_t *bench_sort_create(const struct bench_options *options)
{
    int32_t *numbers = (int32_t *)malloc(options->size * sizeof(int32_t));
    if (numbers == NULL)
        bench_fail(options, "malloc", -12);
    memset(numbers, 0xff, options->size * sizeof(int32_t));
    return numbers;
}

/* Puts them in disorder, before the clock starts. Returns their sum. */
static inline uint64_t bench_sort_fill(int32_t *numbers, size_t count)
{
    uint64_t state = 1;
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        numbers[i] = (int32_t)(uint32_t)(bench_random(&state) >> 32);
        sum += (uint64_t)(int64_t)numbers[i];
    }
    return sum;
}

/* Ends a run that took @ns: checks and reports. */
static inline void bench_sort_finish(struct bench_options *options, const char *name, uint64_t ns,
                                     const int32_t *numbers, uint64_t expected)
{
    uint64_t sum = 0;
    uint64_t disorder = 0;
    for (size_t i = 0; i < options->size; i++) {
        sum += (uint64_t)(int64_t)numbers[i];
        disorder += i > 0 && numbers[i - 1] > numbers[i];
    }
    bench_check(options, "numbers out of order", disorder, 0);
    bench_finish(options, name, ns, sum, expected);
}

#endif /* SKUA_BENCH_SORT_H */
