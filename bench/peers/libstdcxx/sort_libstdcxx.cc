/*
 * bench/peers/libstdcxx/sort_libstdcxx.cc - bench/sort_bench.c with the sorts of GNU's C++ library:
 * std::stable_sort and std::sort in one thread, where one worker is asked for, and the stable sort
 * of its parallel mode (OpenMP) always.
 */
#include "common/bench_sort.h"

#include <algorithm>
#include <functional>
#include <omp.h>
#include <parallel/algorithm>

static bool less(int32_t a, int32_t b)
{
    return a < b;
}

template <typename Sort>
static void measure(const struct bench_options *options, const char *name, const char *by,
                    int32_t *numbers, Sort sort)
{
    struct bench_options line = bench_named(options, by);
    uint64_t sum = bench_sort_fill(numbers, options->size);
    uint64_t start = bench_now();
    sort(numbers, numbers + options->size);
    bench_sort_finish(&line, name, bench_now() - start, numbers, sum);
}

template <typename Less>
static void measure_all(const struct bench_options *options, const char *name, Less compare,
                        int32_t *numbers)
{
    if (!bench_wants(options, name))
        return;
    measure(options, name, "libstdc++ parallel", numbers, [compare](int32_t *begin, int32_t *end) {
        __gnu_parallel::stable_sort(begin, end, compare);
    });
    if (options->workers > 1)
        return;
    measure(options, name, "libstdc++ stable_sort", numbers,
            [compare](int32_t *begin, int32_t *end) { std::stable_sort(begin, end, compare); });
    measure(options, name, "libstdc++ sort", numbers,
            [compare](int32_t *begin, int32_t *end) { std::sort(begin, end, compare); });
}

static void run_once(struct bench_options *options)
{
    bool (*volatile hidden)(int32_t, int32_t) = less;
    int32_t *numbers = bench_sort_create(options);
    measure_all(options, "int32", std::less<int32_t>(), numbers);
    measure_all(options, "comparator", hidden, numbers);
    free(numbers);
}

int main(int argc, char **argv)
{
    struct bench_options options = bench_defaults("sort", "libstdc++", BENCH_SORT_WHOLE);
    bench_parse(&options, argc, argv);
    omp_set_num_threads(static_cast<int>(options.workers));
    bench_repeat(&options, run_once);
    return 0;
}
