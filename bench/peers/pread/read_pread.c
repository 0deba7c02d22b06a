/*
 * bench/peers/pread/read_pread.c - the case hot/32 of bench/read_bench.c as a loop of pread(2).
 *
 * --workers threads, one read at a time each: what the same reads cost without a ring. O_DIRECT is
 * skipped: one read at a time would measure the device's latency.
 */
#include "common/bench_file.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define THREADS_MAX 64

struct loop {
    int fd;
    unsigned index;
    uint64_t ops;
    char *buffer;
    uint64_t right;
    pthread_t thread;
};

static void *read_loop(void *arg)
{
    struct loop *loop = arg;
    uint64_t state = bench_file_seed(loop->index);
    for (uint64_t i = 0; i < loop->ops; i++) {
        uint64_t block = bench_file_next(&state);
        ssize_t got =
            pread(loop->fd, loop->buffer, BENCH_BLOCK_BYTES, (off_t)(block * BENCH_BLOCK_BYTES));
        if (got == (ssize_t)BENCH_BLOCK_BYTES)
            loop->right += bench_file_right(loop->buffer, block);
    }
    return NULL;
}

static void read_case(struct bench_options *options, const struct bench_read_case *which, int fd)
{
    static struct loop loops[THREADS_MAX];
    unsigned count = options->workers < THREADS_MAX ? options->workers : THREADS_MAX;
    uint64_t each = options->size / count > 0 ? options->size / count : 1;
    uint64_t right = 0;
    if (which->direct) {
        bench_skip(options, which->name, "one pread at a time has no queue depth");
        return;
    }
    char *buffers = bench_file_buffers(options, count);
    struct bench_read_start start = bench_read_begin();
    for (unsigned i = 0; i < count; i++) {
        loops[i] = (struct loop){
            .fd = fd, .index = i, .ops = each, .buffer = buffers + (size_t)i * BENCH_BLOCK_BYTES};
        int rc = pthread_create(&loops[i].thread, NULL, read_loop, &loops[i]);
        if (rc != 0)
            bench_fail(options, "pthread_create", rc);
    }
    for (unsigned i = 0; i < count; i++) {
        pthread_join(loops[i].thread, NULL);
        right += loops[i].right;
    }
    bench_read_end(options, which, start, right, count * each);
    free(buffers);
}

int main(int argc, char **argv)
{
    struct bench_options options = {
        .bench = "read", .by = "pread", .workers = 2, .runs = 7, .warmups = 1, .size = 200000};
    bench_read_main(&options, argc, argv, read_case);
    return 0;
}
