/*
 * bench/sort_bench.c - sorting random 32-bit integers: --size of them (default 50 million); the
 * time of a run.
 *
 * Cases:
 *   int32        skua_parallel_sort() with skua_compare_int32, which it knows: no calls
 *   comparator   with a function of the user's, called for every comparison
 *
 * Peers in C++ get a comparison that is compiled in for "int32", and a pointer to a function for
 * "comparator". Skua's sort is stable, as some of theirs are; their names say which. The order and
 * the sum of the numbers are checked.
 */
#include "common/bench_runtime.h"
#include "common/bench_sort.h"

#include <skua/parallel.h>

static int compare(const void *a, const void *b, void *arg)
{
    int32_t x = *(const int32_t *)a;
    int32_t y = *(const int32_t *)b;
    (void)arg;
    return (x > y) - (x < y);
}

static void measure(struct bench_options *options, const char *name, skua_compare_fn fn,
                    int32_t *numbers)
{
    if (!bench_wants(options, name))
        return;
    uint64_t sum = bench_sort_fill(numbers, options->size);
    uint64_t start = bench_now();
    int rc = skua_parallel_sort(numbers, options->size, sizeof(int32_t), fn, NULL);
    uint64_t ns = bench_now() - start;
    bench_must(options, "skua_parallel_sort", rc);
    bench_sort_finish(options, name, ns, numbers, sum);
}

static void run_once(struct bench_options *options)
{
    int32_t *numbers = bench_sort_create(options);
    measure(options, "int32", skua_compare_int32, numbers);
    measure(options, "comparator", compare, numbers);
    free(numbers);
}

static intptr_t run_all(void *arg)
{
    bench_repeat(arg, run_once);
    return 0;
}

int main(int argc, char **argv)
{
    struct bench_options options = bench_defaults("sort", "skua", BENCH_SORT_WHOLE);
    bench_parse(&options, argc, argv);
    bench_run_task(&options, run_all, &options);
    return 0;
}
