/*
 * bench/peers/raw_uring/read_raw_uring.c - the cases of bench/read_bench.c as a bare liburing loop.
 *
 * --workers threads, each with a ring of its own and its share of the depth. The loop keeps its
 * reads in flight: it fills every free slot, submits and waits for one completion, and reaps what
 * is there. The ring has the flags that are fastest for a thread alone with its ring, or none on
 * kernels that do not know them.
 */
#include "common/bench_file.h"

#include <liburing.h>
#include <pthread.h>
#include <stdlib.h>

#define THREADS_MAX 64

struct loop {
    struct bench_options *options;
    int fd;
    unsigned index;
    unsigned depth;
    uint64_t ops;
    char *buffers;
    uint64_t right;
    pthread_t thread;
};

static void ring_start(struct loop *loop, struct io_uring *ring)
{
    struct io_uring_params params = {.flags = IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER |
                                              IORING_SETUP_DEFER_TASKRUN};
    int rc = io_uring_queue_init_params(loop->depth, ring, &params);
    if (rc == -EINVAL) {
        params = (struct io_uring_params){0};
        rc = io_uring_queue_init_params(loop->depth, ring, &params);
    }
    if (rc < 0)
        bench_fail(loop->options, "io_uring_queue_init", rc);
    (void)io_uring_register_ring_fd(ring); /* only makes it faster */
}

static void send_read(struct loop *loop, struct io_uring *ring, unsigned slot, uint64_t block)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    if (sqe == NULL)
        bench_fail(loop->options, "io_uring_get_sqe", -ENOSPC);
    io_uring_prep_read(sqe, loop->fd, loop->buffers + (size_t)slot * BENCH_BLOCK_BYTES,
                       BENCH_BLOCK_BYTES, block * BENCH_BLOCK_BYTES);
    io_uring_sqe_set_data64(sqe, slot);
}

static void *read_loop(void *arg)
{
    struct loop *loop = arg;
    struct io_uring ring;
    uint64_t blocks[BENCH_DEPTH_MAX];
    unsigned idle[BENCH_DEPTH_MAX];
    unsigned idle_count = 0;
    uint64_t state = bench_file_seed(loop->index);
    uint64_t sent = 0;
    uint64_t done = 0;
    ring_start(loop, &ring);
    while (idle_count < loop->depth) {
        idle[idle_count] = idle_count;
        idle_count++;
    }
    while (done < loop->ops) {
        while (idle_count > 0 && sent < loop->ops) {
            unsigned slot = idle[--idle_count];
            blocks[slot] = bench_file_next(&state);
            send_read(loop, &ring, slot, blocks[slot]);
            sent++;
        }
        int rc = io_uring_submit_and_wait(&ring, 1);
        if (rc < 0 && rc != -EINTR)
            bench_fail(loop->options, "io_uring_submit_and_wait", rc);
        struct io_uring_cqe *cqe;
        unsigned head;
        unsigned seen = 0;
        io_uring_for_each_cqe(&ring, head, cqe)
        {
            unsigned slot = (unsigned)io_uring_cqe_get_data64(cqe);
            if (cqe->res == (int)BENCH_BLOCK_BYTES)
                loop->right += bench_file_right(loop->buffers + (size_t)slot * BENCH_BLOCK_BYTES,
                                                blocks[slot]);
            idle[idle_count++] = slot;
            seen++;
        }
        io_uring_cq_advance(&ring, seen);
        done += seen;
    }
    io_uring_queue_exit(&ring);
    return NULL;
}

static void read_case(struct bench_options *options, const struct bench_read_case *which, int fd)
{
    static struct loop loops[THREADS_MAX];
    unsigned count = options->workers < THREADS_MAX ? options->workers : THREADS_MAX;
    unsigned depth = which->depth / count > 0 ? which->depth / count : 1;
    char *buffers = bench_file_buffers(options, (size_t)count * depth);
    uint64_t each = options->size / count > 0 ? options->size / count : 1;
    uint64_t right = 0;
    struct bench_read_start start = bench_read_begin();
    for (unsigned i = 0; i < count; i++) {
        loops[i] = (struct loop){.options = options,
                                 .fd = fd,
                                 .index = i,
                                 .depth = depth,
                                 .ops = each,
                                 .buffers = buffers + (size_t)i * depth * BENCH_BLOCK_BYTES};
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
    struct bench_options options = {.bench = "read",
                                    .by = "raw io_uring",
                                    .workers = 2,
                                    .runs = 7,
                                    .warmups = 1,
                                    .size = 200000};
    bench_read_main(&options, argc, argv, read_case);
    return 0;
}
