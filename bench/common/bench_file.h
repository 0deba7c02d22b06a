/*
 * bench/common/bench_file.h - the data file of the reading benchmarks, and what is read from it.
 *
 * Every 4 KiB block begins with its own number, so that every read can be checked; the rest is
 * noise. All programs read it in the same way: reader i draws its blocks from the same generator.
 */
#ifndef SKUA_BENCH_FILE_H
#define SKUA_BENCH_FILE_H

#include "bench.h"

#define BENCH_BLOCK_BYTES 4096u
#define BENCH_FILE_BLOCKS 65536u /* 256 MiB */
#define BENCH_DEPTH_MAX 256u

/* One way to read: the case's name, how, and how many reads are in flight. */
struct bench_read_case {
    const char *name; /* "hot/32", "direct/32" ... */
    unsigned depth;
    bool direct;
};

#define BENCH_READ_CASES 3
extern const struct bench_read_case bench_read_cases[BENCH_READ_CASES];

/* Makes the file unless it is there; has the page cache hold it. Ends the program on failure. */
void bench_file_prepare(const struct bench_options *options);

/* Opens it. Returns a descriptor; -EINVAL if @direct and the file system refuses O_DIRECT. */
int bench_file_open(const struct bench_options *options, bool direct);

/* @count buffers of a block each, aligned for O_DIRECT. Ends the program if there is no memory. */
char *bench_file_buffers(const struct bench_options *options, size_t count);

/* The first state of the generator of reader @index, and the next block to read. */
uint64_t bench_file_seed(unsigned index);
uint64_t bench_file_next(uint64_t *state);

/* 1 if @buffer holds block @block, as it should; else 0. */
uint64_t bench_file_right(const char *buffer, uint64_t block);

/* A measurement of @ops reads that began at these clocks: one line for time, one for CPU. */
struct bench_read_start {
    uint64_t wall_ns;
    uint64_t cpu_ns;
};
struct bench_read_start bench_read_begin(void);
void bench_read_end(struct bench_options *options, const struct bench_read_case *which,
                    struct bench_read_start start, uint64_t right, uint64_t ops);

/* Prepares the file, and calls @fn for every case that is wanted and possible, in every run. */
void bench_read_main(struct bench_options *options, int argc, char **argv,
                     void (*fn)(struct bench_options *options, const struct bench_read_case *which,
                                int fd));

#endif /* SKUA_BENCH_FILE_H */
