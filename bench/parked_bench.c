/*
 * bench/parked_bench.c - what a million waiting tasks cost: memory and time.
 *
 * Cases, --size tasks (default 1,000,000):
 *   parked/fresh     they are spawned, start, and park; then all are unparked and awaited. Memory
 *                    is the growth of VmRSS + VmPTE of /proc/self/status (the array of handles was
 *                    there before); times are for creating and parking, and for waking and joining.
 *   parked/touched   the same, after the process has touched as much memory and given it back: the
 *                    difference to "fresh" is what the machine below (a hypervisor) asks for pages
 *                    that were never used.
 *   parked/again     the second time in the runtime of "fresh", times only: stacks come from the
 *                    pool, as far as it has kept them.
 *   unstarted        they are spawned on one worker, which is kept from starting them: descriptors
 *                    only. Always one worker, whatever --workers says: another would start them.
 *
 * Every run of "fresh", "touched" and "unstarted" is a process of its own, so that each finds the
 * kernel and the allocator as the first did. No runtime exists in the parent: fork() is harmless.
 */
#include "common/bench_runtime.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define TOUCH_BYTES_PER_TASK ((size_t)6 << 10) /* a page of stack, page tables, a descriptor */

/* One measurement, sent from the child to the parent. */
struct sample {
    double bytes;     /* each */
    double create_ns; /* each: spawn, start and park; or spawn alone */
    double join_ns;   /* each: wake, end and join */
    uint64_t sum;
};

/* What the child runs. */
struct parked {
    struct bench_options *options;
    skua_future **handles;
    struct sample first;
    struct sample again;
};

static atomic_size_t parked_count;

static double memory_bytes(void)
{
    char line[256];
    double kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    if (file == NULL)
        return 0;
    while (fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, "VmRSS:", 6) == 0 || strncmp(line, "VmPTE:", 6) == 0)
            kib += strtod(line + 6, NULL);
    }
    fclose(file);
    return kib * 1024;
}

static double each(const struct parked *parked, double total)
{
    return total / (double)parked->options->size;
}

static intptr_t parking_task(void *arg)
{
    /* relaxed: a count for the spawner, who reads nothing else through it */
    atomic_fetch_add_explicit(&parked_count, 1, memory_order_relaxed);
    return skua_park(SKUA_FOREVER) == 0 ? (intptr_t)arg : 0;
}

static intptr_t empty_task(void *arg)
{
    return (intptr_t)arg;
}

static uint64_t await_all(struct parked *parked)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < parked->options->size; i++)
        sum += (uint64_t)skua_await(parked->handles[i]);
    return sum;
}

static void park_all(struct parked *parked, struct sample *sample)
{
    size_t count = parked->options->size;
    double memory = memory_bytes();
    atomic_store_explicit(&parked_count, 0, memory_order_relaxed); /* no task of it exists */
    uint64_t start = bench_now();
    for (size_t i = 0; i < count; i++)
        parked->handles[i] = skua_spawn(parking_task, (void *)(i + 1));
    while (atomic_load_explicit(&parked_count, memory_order_relaxed) < count) {
        if (skua_yield() != 0)
            return;
    }
    sample->create_ns = each(parked, (double)(bench_now() - start));
    sample->bytes = each(parked, memory_bytes() - memory);
    start = bench_now();
    for (size_t i = 0; i < count; i++)
        (void)skua_unpark(parked->handles[i]);
    sample->sum = await_all(parked);
    sample->join_ns = each(parked, (double)(bench_now() - start));
}

static intptr_t run_parked(void *arg)
{
    struct parked *parked = arg;
    park_all(parked, &parked->first);
    park_all(parked, &parked->again);
    return 0;
}

static intptr_t run_unstarted(void *arg)
{
    struct parked *parked = arg;
    struct sample *sample = &parked->first;
    size_t count = parked->options->size;
    double memory = memory_bytes();
    uint64_t start = bench_now();
    for (size_t i = 0; i < count; i++)
        parked->handles[i] = skua_spawn(empty_task, (void *)(i + 1));
    sample->create_ns = each(parked, (double)(bench_now() - start));
    sample->bytes = each(parked, memory_bytes() - memory);
    start = bench_now();
    sample->sum = await_all(parked);
    sample->join_ns = each(parked, (double)(bench_now() - start));
    return 0;
}

/* Makes the kernel's free pages ones that have been used. */
static void touch_memory(const struct bench_options *options)
{
    size_t size = options->size * TOUCH_BYTES_PER_TASK;
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        bench_fail(options, "mmap", -ENOMEM);
    /* Small pages, as stacks have. */
    (void)madvise(memory, size, MADV_NOHUGEPAGE);
    for (size_t i = 0; i < size; i += 4096)
        ((volatile char *)memory)[i] = 1;
    munmap(memory, size);
}

/* The child's part: measures, and writes its two samples into @fd. */
static int measure(struct bench_options *options, skua_fn fn, bool touched, int fd)
{
    struct parked parked = {.options = options};
    if (touched)
        touch_memory(options);
    parked.handles = malloc(options->size * sizeof(skua_future *));
    if (parked.handles == NULL)
        return 1;
    for (size_t i = 0; i < options->size; i++)
        parked.handles[i] = NULL;
    bench_run_task(options, fn, &parked);
    free(parked.handles);
    struct sample samples[2] = {parked.first, parked.again};
    return write(fd, samples, sizeof(samples)) == (ssize_t)sizeof(samples) ? 0 : 1;
}

static void measure_apart(struct bench_options *options, skua_fn fn, bool touched,
                          struct sample samples[2])
{
    int ends[2];
    int status = 1;
    if (pipe(ends) != 0)
        bench_fail(options, "pipe", errno);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        _exit(measure(options, fn, touched, ends[1]));
    }
    close(ends[1]);
    size_t size = 2 * sizeof(*samples);
    ssize_t got = read(ends[0], samples, size);
    close(ends[0]);
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0 || got != (ssize_t)size)
        bench_fail(options, "measuring in a child", ENOMEM);
}

static void report(struct bench_options *options, const char *name, const struct sample *sample,
                   bool with_memory)
{
    uint64_t n = options->size;
    bench_check(options, name, sample->sum, n * (n + 1) / 2);
    if (with_memory)
        bench_report(options, (struct bench_label){name, "memory", "bytes/task"}, sample->bytes);
    bench_report(options, (struct bench_label){name, "create", "ns/task"}, sample->create_ns);
    bench_report(options, (struct bench_label){name, "join", "ns/task"}, sample->join_ns);
}

static void run_once(struct bench_options *options)
{
    struct sample samples[2];
    if (bench_wants(options, "parked/fresh") || bench_wants(options, "parked/again")) {
        measure_apart(options, run_parked, false, samples);
        report(options, "parked/fresh", &samples[0], true);
        report(options, "parked/again", &samples[1], false);
    }
    if (bench_wants(options, "parked/touched")) {
        measure_apart(options, run_parked, true, samples);
        report(options, "parked/touched", &samples[0], true);
    }
    if (bench_wants(options, "unstarted")) {
        struct bench_options single = *options;
        single.workers = 1;
        measure_apart(&single, run_unstarted, false, samples);
        report(&single, "unstarted", &samples[0], true);
    }
}

int main(int argc, char **argv)
{
    struct bench_options options = {
        .bench = "parked", .by = "skua", .workers = 2, .runs = 7, .warmups = 0, .size = 1000000};
    bench_parse(&options, argc, argv);
    bench_repeat(&options, run_once);
    return 0;
}
