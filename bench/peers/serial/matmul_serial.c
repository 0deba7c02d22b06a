/*
 * bench/peers/serial/matmul_serial.c - the calls of bench/matmul_bench.c without any fork.
 */
#include "common/bench_matmul.h"
#include "common/bench_workload.h"

static size_t stride;

static void multiply(double *c, const double *a, const double *b, size_t size)
{
    if (size <= BENCH_MATMUL_BLOCK) {
        bench_matmul_block(c, a, b, stride);
        return;
    }
    size_t half = size / 2;
    size_t down = half * stride;
    multiply(c, a, b, half);
    multiply(c + half, a, b + half, half);
    multiply(c + down, a + down, b, half);
    multiply(c + down + half, a + down, b + half, half);
    multiply(c, a + half, b + down, half);
    multiply(c + half, a + half, b + down + half, half);
    multiply(c + down, a + down + half, b + down, half);
    multiply(c + down + half, a + down + half, b + down + half, half);
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
    struct bench_options options = bench_defaults("matmul", "serial", 1024);
    bench_parse(&options, argc, argv);
    options.workers = 1;
    bench_repeat(&options, run_once);
    return 0;
}
