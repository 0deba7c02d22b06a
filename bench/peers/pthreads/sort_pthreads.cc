/*
 * bench/peers/pthreads/sort_pthreads.cc - bench/sort_bench.c as one would write it with plain
 * threads: as many parts as workers, sorted by std::stable_sort in a thread each, then merged in
 * pairs, each pair in a thread. The last merge has one thread for itself.
 */
#include "common/bench_sort.h"

#include <algorithm>
#include <functional>
#include <thread>

template <typename Less>
static void sort_part(int32_t *begin, int32_t *end, unsigned threads, Less compare)
{
    if (threads < 2) {
        std::stable_sort(begin, end, compare);
        return;
    }
    unsigned half = threads / 2;
    int32_t *middle = begin + (end - begin) * half / threads;
    std::thread left([=] { sort_part(begin, middle, half, compare); });
    sort_part(middle, end, threads - half, compare);
    left.join();
    std::inplace_merge(begin, middle, end, compare);
}

template <typename Less>
static void measure(struct bench_options *options, const char *name, Less compare, int32_t *numbers)
{
    if (!bench_wants(options, name))
        return;
    uint64_t sum = bench_sort_fill(numbers, options->size);
    uint64_t start = bench_now();
    sort_part(numbers, numbers + options->size, options->workers, compare);
    bench_sort_finish(options, name, bench_now() - start, numbers, sum);
}

static bool less(int32_t a, int32_t b)
{
    return a < b;
}

static void run_once(struct bench_options *options)
{
    bool (*volatile hidden)(int32_t, int32_t) = less;
    int32_t *numbers = bench_sort_create(options);
    measure(options, "int32", std::less<int32_t>(), numbers);
    measure(options, "comparator", static_cast<bool (*)(int32_t, int32_t)>(hidden), numbers);
    free(numbers);
}

int main(int argc, char **argv)
{
    struct bench_options options = bench_defaults("sort", "pthreads", BENCH_SORT_WHOLE);
    bench_parse(&options, argc, argv);
    bench_repeat(&options, run_once);
    return 0;
}
