/*
 * bench/peers/onetbb/sort_onetbb.cc - bench/sort_bench.c with tbb::parallel_sort, a quicksort that
 * is not stable.
 */
#include "common/bench_sort.h"

#include <functional>
#include <tbb/global_control.h>
#include <tbb/parallel_sort.h>

static bool less(int32_t a, int32_t b)
{
    return a < b;
}

template <typename Less>
static void measure(struct bench_options *options, const char *name, Less compare, int32_t *numbers)
{
    if (!bench_wants(options, name))
        return;
    uint64_t sum = bench_sort_fill(numbers, options->size);
    uint64_t start = bench_now();
    tbb::parallel_sort(numbers, numbers + options->size, compare);
    bench_sort_finish(options, name, bench_now() - start, numbers, sum);
}

static void run_once(struct bench_options *options)
{
    bool (*volatile hidden)(int32_t, int32_t) = less;
    int32_t *numbers = bench_sort_create(options);
    measure(options, "int32", std::less<int32_t>(), numbers);
    measure(options, "comparator", hidden, numbers);
    free(numbers);
}

int main(int argc, char **argv)
{
    struct bench_options options = bench_defaults("sort", "onetbb unstable", BENCH_SORT_WHOLE);
    bench_parse(&options, argc, argv);
    tbb::global_control limit(tbb::global_control::max_allowed_parallelism, options.workers);
    bench_repeat(&options, run_once);
    return 0;
}
