/*
 * bench/peers/serial/sort_serial.c - the case "comparator" of bench/sort_bench.c with qsort_r(3).
 * glibc's is a merge sort, and stable, as long as there is memory for a copy.
 */
#include "common/bench_sort.h"

static int compare(const void *a, const void *b, void *arg)
{
    int32_t x = *(const int32_t *)a;
    int32_t y = *(const int32_t *)b;
    (void)arg;
    return (x > y) - (x < y);
}

static void run_once(struct bench_options *options)
{
    int32_t *numbers = bench_sort_create(options);
    uint64_t sum = bench_sort_fill(numbers, options->size);
    uint64_t start = bench_now();
    qsort_r(numbers, options->size, sizeof(int32_t), compare, NULL);
    bench_sort_finish(options, "comparator", bench_now() - start, numbers, sum);
    free(numbers);
}

int main(int argc, char **argv)
{
    struct bench_options options = bench_defaults("sort", "serial qsort_r", BENCH_SORT_WHOLE);
    bench_parse(&options, argc, argv);
    options.workers = 1;
    bench_repeat(&options, run_once);
    return 0;
}
