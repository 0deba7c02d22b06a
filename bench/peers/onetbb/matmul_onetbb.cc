/*
 * bench/peers/onetbb/matmul_onetbb.cc - bench/matmul_bench.c with oneTBB's task_group.
 */
#include "common/bench_matmul.h"
#include "common/bench_workload.h"

#include <tbb/global_control.h>
#include <tbb/task_group.h>

static size_t stride; /* constant during a run */

static void multiply(double *c, const double *a, const double *b, size_t size)
{
    size_t half = size / 2;
    size_t down = half * stride;
    if (size <= BENCH_MATMUL_BLOCK) {
        bench_matmul_block(c, a, b, stride);
        return;
    }
    for (int side = 0; side < 2; side++) {
        tbb::task_group group;
        group.run([=] { multiply(c, a, b, half); });
        group.run([=] { multiply(c + half, a, b + half, half); });
        group.run([=] { multiply(c + down, a + down, b, half); });
        multiply(c + down + half, a + down, b + half, half);
        group.wait();
        a += half;
        b += down;
    }
}

static void run_once(struct bench_options *options)
{
    struct bench_matrices m = bench_matrices_create(options);
    stride = m.size;
    bench_matrices_clear(m);
    uint64_t start = bench_now();
    multiply(m.c, m.a, m.b, m.size);
    uint64_t ns = bench_now() - start;
    bench_finish(options, "fork", ns, bench_matrices_right(m), m.size * m.size);
    bench_matrices_destroy(m);
}

int main(int argc, char **argv)
{
    struct bench_options options = bench_defaults("matmul", "onetbb", 1024);
    bench_parse(&options, argc, argv);
    tbb::global_control limit(tbb::global_control::max_allowed_parallelism, options.workers);
    bench_repeat(&options, run_once);
    return 0;
}
