/*
 * bench/common/bench_matmul.h - the matrices of the matmul workload, the block all programs
 * multiply with, and the check. C and C++.
 *
 * C = A * B of doubles, row by row, all with the same stride. The way every program goes: a product
 * of size n is eight of size n / 2, two for each quarter of C; the four that add A's left half are
 * done in parallel, then the four that add its right half; blocks of 64 are multiplied here.
 *
 * The block is written with the compilers' vector types, of 16 bytes, so that gcc and clang make
 * the same code of it: what differs between programs is the scheduler.
 */
#ifndef SKUA_BENCH_MATMUL_H
#define SKUA_BENCH_MATMUL_H

#include "bench.h"

#include <stdlib.h>

#define BENCH_MATMUL_BLOCK 64u

typedef double bench_pair __attribute__((vector_size(16), may_alias));

/* Rows and columns of all three, a power of two that is at least BENCH_MATMUL_BLOCK. */
struct bench_matrices {
    size_t size;
    double *c;
    double *a;
    double *b;
};

/* Four columns of B's block one row after the other: rows 8 KiB apart would share a cache set. */
struct bench_panel {
    bench_pair row[BENCH_MATMUL_BLOCK][2];
};

/* Four rows and four columns of the block: C += A * B, in registers. */
static inline void bench_matmul_tile(double *c, const double *a, const struct bench_panel *b,
                                     size_t stride)
{
    bench_pair sum[4][2] = {{{0, 0}, {0, 0}}, {{0, 0}, {0, 0}}, {{0, 0}, {0, 0}}, {{0, 0}, {0, 0}}};
    for (size_t k = 0; k < BENCH_MATMUL_BLOCK; k++) {
        for (size_t i = 0; i < 4; i++) {
            bench_pair factor = {a[i * stride + k], a[i * stride + k]};
            sum[i][0] += factor * b->row[k][0];
            sum[i][1] += factor * b->row[k][1];
        }
    }
    for (size_t i = 0; i < 4; i++) {
        bench_pair *row = (bench_pair *)(c + i * stride);
        row[0] += sum[i][0];
        row[1] += sum[i][1];
    }
}

static inline void bench_matmul_block(double *c, const double *a, const double *b, size_t stride)
{
    struct bench_panel panel;
    for (size_t j = 0; j < BENCH_MATMUL_BLOCK; j += 4) {
        for (size_t k = 0; k < BENCH_MATMUL_BLOCK; k++) {
            const bench_pair *row = (const bench_pair *)(b + k * stride + j);
            panel.row[k][0] = row[0];
            panel.row[k][1] = row[1];
        }
        for (size_t i = 0; i < BENCH_MATMUL_BLOCK; i += 4)
            bench_matmul_tile(c + i * stride + j, a + i * stride, &panel, stride);
    }
}

/* Matrices whose product is known. Ends the program if there is no memory or the size is wrong. */
static inline struct bench_matrices bench_matrices_create(const struct bench_options *options)
{
    size_t size = options->size;
    struct bench_matrices m = {size, NULL, NULL, NULL};
    if (size < BENCH_MATMUL_BLOCK || (size & (size - 1)) != 0)
        bench_fail(options, "a power of two of at least 64 as --size", -22);
    m.c = (double *)aligned_alloc(64, size * size * sizeof(double));
    m.a = (double *)aligned_alloc(64, size * size * sizeof(double));
    m.b = (double *)aligned_alloc(64, size * size * sizeof(double));
    if (m.c == NULL || m.a == NULL || m.b == NULL)
        bench_fail(options, "aligned_alloc", -12);
    for (size_t i = 0; i < size * size; i++) {
        m.a[i] = (double)(i / size % 8 + 1);
        m.b[i] = (double)(i % size % 16 + 1);
    }
    return m;
}

/* C = 0, before the clock starts. */
static inline void bench_matrices_clear(struct bench_matrices m)
{
    for (size_t i = 0; i < m.size * m.size; i++)
        m.c[i] = 0;
}

/* How many elements of C are right: m.size * m.size. The numbers are whole: sums are exact. */
static inline uint64_t bench_matrices_right(struct bench_matrices m)
{
    uint64_t right = 0;
    for (size_t i = 0; i < m.size * m.size; i++)
        right += m.c[i] == (double)(m.size * (i / m.size % 8 + 1) * (i % m.size % 16 + 1));
    return right;
}

static inline void bench_matrices_destroy(struct bench_matrices m)
{
    free(m.c);
    free(m.a);
    free(m.b);
}

#endif /* SKUA_BENCH_MATMUL_H */
