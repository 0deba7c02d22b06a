/*
 * bench/common/bench_queens.h - the board of the queens workload. C and C++.
 *
 * The way every program of this workload counts: for each column that is safe in the next row it
 * makes the board with a queen there and forks the call that counts the solutions of that board.
 */
#ifndef SKUA_BENCH_QUEENS_H
#define SKUA_BENCH_QUEENS_H

#include "bench.h"

#define BENCH_QUEENS_MAX 14

/* Rows 0 .. placed - 1 have a queen each. 16 bytes: passed in registers. */
struct bench_board {
    uint8_t size;
    uint8_t placed;
    uint8_t column[BENCH_QUEENS_MAX];
};

/* The board a run starts with. Ends the program if --size is more than it holds. */
static inline struct bench_board bench_board_empty(const struct bench_options *options)
{
    struct bench_board board = {(uint8_t)options->size, 0, {0}};
    if (options->size > BENCH_QUEENS_MAX)
        bench_fail(options, "a --size of at most 14", -22);
    return board;
}

/* True if a queen in @column of the next row is safe from those above. */
static inline bool bench_board_safe(const struct bench_board *board, int column)
{
    for (int row = 0; row < board->placed; row++) {
        int other = board->column[row];
        int distance = board->placed - row;
        if (other == column || other == column - distance || other == column + distance)
            return false;
    }
    return true;
}

static inline struct bench_board bench_board_with(struct bench_board board, int column)
{
    board.column[board.placed++] = (uint8_t)column;
    return board;
}

#endif /* SKUA_BENCH_QUEENS_H */
