/*
 * bench/read_bench.c - random reads of 4 KiB: operations a second, and CPU time for each.
 *
 * Cases: hot/32 from the page cache, direct/32 and direct/128 with O_DIRECT; the number is how many
 * reads are in flight. --size reads in a run (default 200,000), from the file of
 * common/bench_file.h.
 *   "skua tasks"   as many tasks, each of which reads one block after the other
 *   "skua batch"   one task for each worker; together they submit that many ops and await them all
 *
 * Every block read is checked. CPU time is that of the whole process, kernel threads of its rings
 * included.
 */
#include "common/bench_file.h"
#include "common/bench_runtime.h"

#include <stdlib.h>
#include <string.h>

struct reading {
    struct bench_options *options;
    const struct bench_read_case *which;
    char *buffers; /* one block for each read in flight */
    int fd;
};

/* One task's share. */
struct share {
    const struct reading *reading;
    unsigned index;
    unsigned depth; /* reads in flight in this task */
    size_t ops;     /* a multiple of depth */
    char *buffers;
};

static intptr_t read_single(void *arg)
{
    struct share *share = arg;
    uint64_t state = bench_file_seed(share->index);
    intptr_t right = 0;
    for (size_t i = 0; i < share->ops; i++) {
        uint64_t block = bench_file_next(&state);
        ssize_t got = skua_pread(share->reading->fd, share->buffers, BENCH_BLOCK_BYTES,
                                 block * BENCH_BLOCK_BYTES);
        if (got != (ssize_t)BENCH_BLOCK_BYTES)
            return got < 0 ? got : right;
        right += (intptr_t)bench_file_right(share->buffers, block);
    }
    return right;
}

static intptr_t read_batches(void *arg)
{
    struct share *share = arg;
    uint64_t state = bench_file_seed(share->index);
    intptr_t right = 0;
    skua_op *ops = calloc(share->depth, sizeof(skua_op));
    if (ops == NULL)
        return -12;
    for (size_t done = 0; done < share->ops; done += share->depth) {
        for (unsigned i = 0; i < share->depth; i++) {
            ops[i] = (skua_op){.code = SKUA_OP_READ,
                               .fd = share->reading->fd,
                               .addr = share->buffers + (size_t)i * BENCH_BLOCK_BYTES,
                               .len = BENCH_BLOCK_BYTES,
                               .offset = bench_file_next(&state) * BENCH_BLOCK_BYTES};
        }
        int rc = skua_op_submit(ops, share->depth);
        for (unsigned i = 0; rc == 0 && i < share->depth; i++) {
            if (ops[i].result == (int64_t)BENCH_BLOCK_BYTES)
                right += (intptr_t)bench_file_right(ops[i].addr, ops[i].offset / BENCH_BLOCK_BYTES);
        }
    }
    free(ops);
    return right;
}

/* Runs @count tasks of @depth reads each, and reports. */
static void measure(const struct reading *reading, skua_fn fn, unsigned count, unsigned depth)
{
    struct bench_options *options = reading->options;
    struct share shares[BENCH_DEPTH_MAX];
    skua_future *futures[BENCH_DEPTH_MAX];
    size_t each = options->size / ((size_t)count * depth) * depth;
    uint64_t right = 0;
    if (each == 0)
        each = depth;
    struct bench_read_start start = bench_read_begin();
    for (unsigned i = 0; i < count; i++) {
        shares[i] =
            (struct share){.reading = reading,
                           .index = i,
                           .depth = depth,
                           .ops = each,
                           .buffers = reading->buffers + (size_t)i * depth * BENCH_BLOCK_BYTES};
        futures[i] = skua_spawn(fn, &shares[i]);
    }
    for (unsigned i = 0; i < count; i++) {
        intptr_t result = skua_await(futures[i]);
        bench_must(options, "reading", result);
        right += (uint64_t)result;
    }
    bench_read_end(options, reading->which, start, right, (uint64_t)count * each);
}

static intptr_t measure_tasks(void *arg)
{
    const struct reading *reading = arg;
    measure(reading, read_single, reading->which->depth, 1);
    return 0;
}

static intptr_t measure_batches(void *arg)
{
    const struct reading *reading = arg;
    unsigned depth = reading->which->depth;
    unsigned tasks = reading->options->workers < depth ? reading->options->workers : depth;
    measure(reading, read_batches, tasks, depth / tasks);
    return 0;
}

static void read_case(struct bench_options *options, const struct bench_read_case *which, int fd)
{
    struct bench_options line = *options;
    struct reading reading = {.options = &line, .which = which, .fd = fd};
    reading.buffers = bench_file_buffers(options, which->depth);
    line.by = "skua tasks";
    bench_run_task(options, measure_tasks, &reading);
    line.by = "skua batch";
    bench_run_task(options, measure_batches, &reading);
    free(reading.buffers);
}

int main(int argc, char **argv)
{
    struct bench_options options = {
        .bench = "read", .by = "skua", .workers = 2, .runs = 7, .warmups = 1, .size = 200000};
    bench_read_main(&options, argc, argv, read_case);
    return 0;
}
