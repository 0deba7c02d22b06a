/*
 * bench/mixed_bench.c - fork/join on all workers beside 64 tasks that read: do the readers wait for
 * the computation, and what do they take from it?
 *
 * What is computed and read stands in common/bench_mixed.h; --seconds (default 2) of each. Cases:
 *   readers   in microseconds, of a read: "read" from its start to its end, "due" from when the
 *             task wanted to wake up for it. Median, p95 and, apart, p99
 *   fork      one computation: "alone", "beside" the readers, and how many times longer that is
 *
 * Tasks are not preempted: the computing one yields after every number, that is every few
 * milliseconds. Every block read and every number computed is checked.
 */
#include "common/bench_mixed.h"
#include "common/bench_runtime.h"

#include <skua/fork.h>
#include <stdatomic.h>
#include <unistd.h>

SKUA_FORKABLE(uint64_t, fib, int, n)
{
    if (n < 2)
        return (uint64_t)n;
    SKUA_JOB(fib) job;
    SKUA_FORK(fib, &job, n - 1);
    uint64_t right = SKUA_CALL(fib, n - 2);
    return SKUA_JOIN(fib, &job) + right;
}

struct reader {
    struct bench_mixed *mixed;
    uint64_t start_ns;
    unsigned index;
    atomic_uint *left; /* readers that have not ended */
};

/* Returns how many blocks were right. */
static intptr_t reading_task(void *arg)
{
    struct reader *reader = arg;
    struct bench_mixed *mixed = reader->mixed;
    char *buffer = bench_file_buffers(mixed->options, 1);
    uint64_t state = bench_file_seed(reader->index);
    intptr_t right = 0;
    for (size_t i = 0; i < mixed->reads; i++) {
        uint64_t due_ns = bench_mixed_due(reader->start_ns, reader->index, i);
        uint64_t block = bench_file_next(&state);
        if (skua_sleep_until(due_ns) != 0)
            break;
        uint64_t start_ns = bench_now();
        ssize_t got = skua_pread(mixed->fd, buffer, BENCH_BLOCK_BYTES, block * BENCH_BLOCK_BYTES);
        bench_mixed_store(mixed, reader->index, i, due_ns, start_ns);
        if (got == (ssize_t)BENCH_BLOCK_BYTES)
            right += (intptr_t)bench_file_right(buffer, block);
    }
    free(buffer);
    /* Relaxed: only says when to stop; the results come through the futures. */
    atomic_fetch_sub_explicit(reader->left, 1, memory_order_relaxed);
    return right;
}

/* Computes until --seconds have passed, or, if @left is given, until it is 0. The mean, in us. The
 * yields matter with one worker, where nobody else could run the readers. */
static double compute(struct bench_options *options, atomic_uint *left)
{
    uint64_t start = bench_now();
    uint64_t expected = bench_fib_expected(BENCH_MIXED_FIB);
    uint64_t rounds = 0;
    uint64_t ns = 0;
    do {
        bench_check(options, "fib", fib(BENCH_MIXED_FIB), expected);
        bench_must(options, "skua_yield", skua_yield());
        rounds++;
        ns = bench_now() - start;
    } while (left != NULL ? atomic_load_explicit(left, memory_order_relaxed) > 0
                          : ns < options->seconds * SKUA_NS_PER_SEC);
    return (double)ns / 1e3 / (double)rounds;
}

static void run_once(struct bench_options *options)
{
    struct bench_mixed mixed = bench_mixed_begin(options);
    struct reader readers[BENCH_MIXED_READERS];
    skua_future *futures[BENCH_MIXED_READERS];
    atomic_uint left = BENCH_MIXED_READERS;
    uint64_t right = 0;
    mixed.alone_us = compute(options, NULL);
    uint64_t start_ns = bench_now();
    for (unsigned i = 0; i < BENCH_MIXED_READERS; i++) {
        readers[i] =
            (struct reader){.mixed = &mixed, .start_ns = start_ns, .index = i, .left = &left};
        futures[i] = skua_spawn(reading_task, &readers[i]);
    }
    mixed.beside_us = compute(options, &left);
    for (unsigned i = 0; i < BENCH_MIXED_READERS; i++)
        right += (uint64_t)skua_await(futures[i]);
    bench_mixed_end(&mixed, right);
    close(mixed.fd);
}

static intptr_t run_all(void *arg)
{
    bench_repeat(arg, run_once);
    return 0;
}

int main(int argc, char **argv)
{
    struct bench_options options = bench_defaults("mixed", "skua", 1);
    bench_parse(&options, argc, argv);
    bench_file_prepare(&options);
    bench_run_task(&options, run_all, &options);
    return 0;
}
