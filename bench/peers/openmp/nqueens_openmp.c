/*
 * bench/peers/openmp/nqueens_openmp.c - bench/nqueens_bench.c with OpenMP tasks.
 */
#include "common/bench_queens.h"
#include "common/bench_workload.h"

#include <omp.h>

static uint64_t queens(struct bench_board board)
{
    uint64_t found[BENCH_QUEENS_MAX];
    uint64_t solutions = 0;
    int count = 0;
    if (board.placed == board.size)
        return 1;
    for (int column = 0; column < board.size; column++) {
        if (!bench_board_safe(&board, column))
            continue;
        struct bench_board next = bench_board_with(board, column);
#pragma omp task shared(found) firstprivate(next, count)
        found[count] = queens(next);
        count++;
    }
#pragma omp taskwait
    while (count > 0)
        solutions += found[--count];
    return solutions;
}

static void run_once(struct bench_options *options)
{
    struct bench_board board = bench_board_empty(options);
    uint64_t solutions = 0;
    uint64_t start = bench_now();
#pragma omp parallel
#pragma omp single
    solutions = queens(board);
    bench_queens_finish(options, bench_now() - start, solutions);
}

int main(int argc, char **argv)
{
    struct bench_options options = bench_defaults("nqueens", "openmp", BENCH_QUEENS_WHOLE);
    bench_parse(&options, argc, argv);
    omp_set_num_threads((int)options.workers);
    bench_repeat(&options, run_once);
    return 0;
}
