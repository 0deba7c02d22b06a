/*
 * bench/peers/serial/nqueens_serial.c - the calls of bench/nqueens_bench.c without any fork.
 */
#include "common/bench_queens.h"
#include "common/bench_workload.h"

static uint64_t queens(struct bench_board board)
{
    uint64_t solutions = 0;
    if (board.placed == board.size)
        return 1;
    for (int column = 0; column < board.size; column++) {
        if (bench_board_safe(&board, column))
            solutions += queens(bench_board_with(board, column));
    }
    return solutions;
}

static void run_once(struct bench_options *options)
{
    struct bench_board board = bench_board_empty(options);
    uint64_t start = bench_now();
    uint64_t solutions = bench_opaque(queens(board));
    bench_queens_finish(options, bench_now() - start, solutions);
}

int main(int argc, char **argv)
{
    struct bench_options options = bench_defaults("nqueens", "serial", BENCH_QUEENS_WHOLE);
    bench_parse(&options, argc, argv);
    options.workers = 1;
    bench_repeat(&options, run_once);
    return 0;
}
