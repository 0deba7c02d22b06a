/*
 * bench/peers/onetbb/nqueens_onetbb.cc - bench/nqueens_bench.c with oneTBB's task_group.
 */
#include "common/bench_queens.h"
#include "common/bench_workload.h"

#include <tbb/global_control.h>
#include <tbb/task_group.h>

static uint64_t queens(struct bench_board board)
{
    if (board.placed == board.size)
        return 1;
    uint64_t found[BENCH_QUEENS_MAX];
    uint64_t solutions = 0;
    int count = 0;
    tbb::task_group group;
    for (int column = 0; column < board.size; column++) {
        if (!bench_board_safe(&board, column))
            continue;
        struct bench_board next = bench_board_with(board, column);
        group.run([&found, next, count] { found[count] = queens(next); });
        count++;
    }
    group.wait();
    while (count > 0)
        solutions += found[--count];
    return solutions;
}

static void run_once(struct bench_options *options)
{
    struct bench_board board = bench_board_empty(options);
    uint64_t start = bench_now();
    uint64_t solutions = queens(board);
    bench_queens_finish(options, bench_now() - start, solutions);
}

int main(int argc, char **argv)
{
    struct bench_options options = bench_defaults("nqueens", "onetbb", BENCH_QUEENS_WHOLE);
    bench_parse(&options, argc, argv);
    tbb::global_control limit(tbb::global_control::max_allowed_parallelism, options.workers);
    bench_repeat(&options, run_once);
    return 0;
}
