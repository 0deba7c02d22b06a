/*
 * bench/nqueens_bench.c - all solutions of the problem of n queens: an irregular tree whose nodes
 * do a little work each.
 *
 * Case "fork": --size is n (default 14, which has 365,596 solutions). For every column that is safe
 * in the next row a call is forked that goes on with a board of its own; no cutoff. All programs
 * share board and test (common/bench_queens.h). Reported are the time of a run, at the default
 * size, and the time for each fork. "skua typed" and "skua plain" as in fib_bench.c.
 */
#include "common/bench_queens.h"
#include "common/bench_runtime.h"
#include "common/bench_workload.h"

#include <skua/fork.h>

SKUA_FORKABLE(uint64_t, queens_typed, struct bench_board, board)
{
    SKUA_JOB(queens_typed) jobs[BENCH_QUEENS_MAX];
    uint64_t solutions = 0;
    int count = 0;
    if (board.placed == board.size)
        return 1;
    for (int column = 0; column < board.size; column++) {
        if (bench_board_safe(&board, column))
            SKUA_FORK(queens_typed, &jobs[count++], bench_board_with(board, column));
    }
    while (count > 0)
        solutions += SKUA_JOIN(queens_typed, &jobs[--count]);
    return solutions;
}

static intptr_t queens_plain(void *arg)
{
    const struct bench_board *board = arg;
    struct bench_board boards[BENCH_QUEENS_MAX];
    skua_job jobs[BENCH_QUEENS_MAX];
    intptr_t solutions = 0;
    int count = 0;
    if (board->placed == board->size)
        return 1;
    for (int column = 0; column < board->size; column++) {
        if (!bench_board_safe(board, column))
            continue;
        boards[count] = bench_board_with(*board, column);
        (void)skua_fork(&jobs[count], queens_plain, &boards[count]); /* cannot fail */
        count++;
    }
    while (count > 0)
        solutions += skua_join(&jobs[--count]);
    return solutions;
}

static void run_once(struct bench_options *options)
{
    struct bench_options typed = bench_named(options, "skua typed");
    struct bench_options plain = bench_named(options, "skua plain");
    struct bench_board board = bench_board_empty(options);
    uint64_t start = bench_now();
    uint64_t solutions = queens_typed(board);
    bench_queens_finish(&typed, bench_now() - start, solutions);
    start = bench_now();
    solutions = (uint64_t)queens_plain(&board);
    bench_queens_finish(&plain, bench_now() - start, solutions);
}

static intptr_t run_all(void *arg)
{
    bench_repeat(arg, run_once);
    return 0;
}

int main(int argc, char **argv)
{
    struct bench_options options = bench_defaults("nqueens", "skua", BENCH_QUEENS_WHOLE);
    bench_parse(&options, argc, argv);
    bench_run_task(&options, run_all, &options);
    return 0;
}
