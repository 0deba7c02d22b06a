/*
 * bench/matmul_bench.c - a product of matrices, divided into quarters: few large jobs.
 *
 * Case "fork": --size rows and columns of doubles, a power of two (default 1024); the time of a
 * run. How the product is divided, and the block of 64 that all programs multiply with, stand in
 * common/bench_matmul.h. Every element is checked. "skua typed" and "skua plain" as in fib_bench.c.
 */
#include "common/bench_matmul.h"
#include "common/bench_runtime.h"
#include "common/bench_workload.h"

#include <skua/fork.h>

static size_t stride; /* constant during a run */

SKUA_FORKABLE_VOID(multiply_typed, double *, c, const double *, a, const double *, b, size_t, size)
{
    SKUA_JOB(multiply_typed) jobs[3];
    size_t half = size / 2;
    size_t down = half * stride;
    if (size <= BENCH_MATMUL_BLOCK) {
        bench_matmul_block(c, a, b, stride);
        return;
    }
    for (int side = 0; side < 2; side++) {
        SKUA_FORK(multiply_typed, &jobs[0], c, a, b, half);
        SKUA_FORK(multiply_typed, &jobs[1], c + half, a, b + half, half);
        SKUA_FORK(multiply_typed, &jobs[2], c + down, a + down, b, half);
        SKUA_CALL(multiply_typed, c + down + half, a + down, b + half, half);
        for (int i = 2; i >= 0; i--)
            SKUA_JOIN(multiply_typed, &jobs[i]);
        a += half;
        b += down;
    }
}

struct product {
    double *c;
    const double *a;
    const double *b;
    size_t size;
};

static intptr_t multiply_plain(void *arg)
{
    struct product p = *(const struct product *)arg;
    size_t half = p.size / 2;
    size_t down = half * stride;
    skua_job jobs[3];
    if (p.size <= BENCH_MATMUL_BLOCK) {
        bench_matmul_block(p.c, p.a, p.b, stride);
        return 0;
    }
    for (int side = 0; side < 2; side++) {
        struct product quarters[4] = {{p.c, p.a, p.b, half},
                                      {p.c + half, p.a, p.b + half, half},
                                      {p.c + down, p.a + down, p.b, half},
                                      {p.c + down + half, p.a + down, p.b + half, half}};
        for (int i = 0; i < 3; i++)
            (void)skua_fork(&jobs[i], multiply_plain, &quarters[i]); /* cannot fail */
        (void)multiply_plain(&quarters[3]);
        for (int i = 2; i >= 0; i--)
            (void)skua_join(&jobs[i]);
        p.a += half;
        p.b += down;
    }
    return 0;
}

static void run_once(struct bench_options *options)
{
    struct bench_options typed = bench_named(options, "skua typed");
    struct bench_options plain = bench_named(options, "skua plain");
    struct bench_matrices m = bench_matrices_create(options);
    struct product whole = {.c = m.c, .a = m.a, .b = m.b, .size = m.size};
    stride = m.size;
    bench_matrices_clear(m);
    uint64_t start = bench_now();
    multiply_typed(m.c, m.a, m.b, m.size);
    uint64_t ns = bench_now() - start;
    bench_finish(&typed, "fork", ns, bench_matrices_right(m), m.size * m.size);
    bench_matrices_clear(m);
    start = bench_now();
    (void)multiply_plain(&whole);
    ns = bench_now() - start;
    bench_finish(&plain, "fork", ns, bench_matrices_right(m), m.size * m.size);
    bench_matrices_destroy(m);
}

static intptr_t run_all(void *arg)
{
    bench_repeat(arg, run_once);
    return 0;
}

int main(int argc, char **argv)
{
    struct bench_options options = bench_defaults("matmul", "skua", 1024);
    bench_parse(&options, argc, argv);
    bench_run_task(&options, run_all, &options);
    return 0;
}
