/*
 * bench/peers/openmp/uts_openmp.c - bench/uts_bench.c with OpenMP tasks.
 */
#include "common/bench_uts.h"

#include <omp.h>

static uint32_t depth; /* constant during a run */

/* Counts children @first .. @first + @count - 1 of @parent and all below them. */
static struct bench_uts_count search(const struct bench_uts_node *parent, unsigned first,
                                     unsigned count)
{
    if (count > 1) {
        unsigned half = count / 2;
        struct bench_uts_count left;
#pragma omp task shared(left) firstprivate(parent, first, half)
        left = search(parent, first, half);
        struct bench_uts_count right = search(parent, first + half, count - half);
#pragma omp taskwait
        return bench_uts_add(left, right);
    }
    struct bench_uts_node node = bench_uts_child(parent, first);
    unsigned children = bench_uts_children(&node, depth);
    struct bench_uts_count found = bench_uts_one(&node, children);
    return children == 0 ? found : bench_uts_add(found, search(&node, 0, children));
}

static void run_once(struct bench_options *options)
{
    struct bench_uts_node root = bench_uts_root();
    depth = (uint32_t)options->size;
    unsigned children = bench_uts_children(&root, depth);
    struct bench_uts_count found = bench_uts_one(&root, children);
    struct bench_uts_count below = {0};
    uint64_t start = bench_now();
#pragma omp parallel
#pragma omp single
    below = search(&root, 0, children);
    bench_uts_finish(options, bench_now() - start, bench_uts_add(found, below));
}

int main(int argc, char **argv)
{
    struct bench_options options = bench_defaults("uts", "openmp", BENCH_UTS_DEPTH);
    bench_parse(&options, argc, argv);
    omp_set_num_threads((int)options.workers);
    bench_repeat(&options, run_once);
    return 0;
}
