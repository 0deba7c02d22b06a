/*
 * stack_bench.c - what a parked task's stack costs: time to create, and memory.
 *
 * Acquires @count stacks of the default class and writes to the top of each, as a task that is
 * parked in its first frame has done; then gives them back and trims. Each round is made in a
 * process of its own, so that each finds the kernel as the first did. One JSON line.
 *
 * Internal: links the static library. Usage: stack_bench [count [rounds]]
 */
#include "core/stack_pool.h"
#include "platform/clock.h"
#include "platform/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS_MAX 101

struct sample {
    double create_ns; /* acquire, guard and first touch */
    double touch_ns;  /* of that: the page fault alone, on plain memory of the same shape */
    double reuse_ns;  /* acquire and release of a stack in the cache */
    double trim_ns;
    double rss_bytes;
    double page_table_bytes;
    double left_bytes; /* of both, after the trim */
};

/* The value of a line of /proc/self/status, in bytes. */
static double status_bytes(const char *name)
{
    char line[256];
    double value = 0;
    FILE *file = fopen("/proc/self/status", "r");
    if (file == NULL)
        return 0;
    while (fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':')
            value = strtod(line + strlen(name) + 1, NULL) * 1024;
    }
    fclose(file);
    return value;
}

static double per(uint64_t since_ns, size_t count)
{
    return (double)(skua_clock_now() - since_ns) / (double)count;
}

/* The floor: one page touched per stack size, without guards. */
static double measure_touch(size_t count)
{
    void *memory;
    if (skua_memory_reserve(&memory, count * SKUA_STACK_DEFAULT) != 0)
        return -1;
    uint64_t start = skua_clock_now();
    for (size_t i = 0; i < count; i++)
        ((volatile char *)memory)[i * SKUA_STACK_DEFAULT] = 1;
    double ns = per(start, count);
    (void)skua_memory_unmap(memory, count * SKUA_STACK_DEFAULT);
    return ns;
}

static double measure_reuse(struct skua_stack_cache *cache, size_t count)
{
    uint64_t start = skua_clock_now();
    for (size_t i = 0; i < count; i++)
        skua_stack_release(cache, skua_stack_acquire(cache, 0));
    return per(start, count);
}

/* Returns 0, or 1 if there is no memory. */
static int measure(struct sample *sample, size_t count)
{
    struct skua_stack_pool *pool;
    struct skua_stack_cache cache;
    struct skua_stack **stacks = calloc(count, sizeof(struct skua_stack *));
    if (stacks == NULL || skua_stack_pool_create(&pool, SKUA_STACK_DEFAULT) != 0)
        return 1;
    memset(stacks, 1, count * sizeof(*stacks));
    sample->touch_ns = measure_touch(count);
    skua_stack_cache_init(&cache, pool);
    double rss = status_bytes("VmRSS");
    double page_tables = status_bytes("VmPTE");

    uint64_t start = skua_clock_now();
    for (size_t i = 0; i < count; i++) {
        stacks[i] = skua_stack_acquire(&cache, 0);
        if (stacks[i] == NULL)
            return 1;
        volatile char *top = (char *)skua_stack_low(stacks[i]) + skua_stack_size(stacks[i]);
        *(top - skua_stack_color(stacks[i]) - 1) = 1;
    }
    sample->create_ns = per(start, count);
    sample->rss_bytes = (status_bytes("VmRSS") - rss) / (double)count;
    sample->page_table_bytes = (status_bytes("VmPTE") - page_tables) / (double)count;

    for (size_t i = 0; i < count; i++)
        skua_stack_release(&cache, stacks[i]);
    start = skua_clock_now();
    while (skua_stack_pool_trim(pool, 1024))
        continue;
    sample->trim_ns = per(start, count);
    sample->left_bytes =
        (status_bytes("VmRSS") - rss + status_bytes("VmPTE") - page_tables) / (double)count;
    sample->reuse_ns = measure_reuse(&cache, 1000000);
    skua_stack_cache_fini(&cache);
    skua_stack_pool_destroy(pool);
    free(stacks);
    return 0;
}

/* Measures in a child, which writes its sample into a pipe. */
static int measure_apart(struct sample *sample, size_t count)
{
    int ends[2];
    if (pipe(ends) != 0)
        return 1;
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        if (measure(sample, count) != 0)
            _exit(1);
        _exit(write(ends[1], sample, sizeof(*sample)) == (ssize_t)sizeof(*sample) ? 0 : 1);
    }
    close(ends[1]);
    ssize_t got = read(ends[0], sample, sizeof(*sample));
    close(ends[0]);
    int status = 1;
    if (child < 0 || waitpid(child, &status, 0) != child)
        return 1;
    return status == 0 && got == (ssize_t)sizeof(*sample) ? 0 : 1;
}

static int compare(const void *a, const void *b)
{
    const struct sample *left = a;
    const struct sample *right = b;
    return (left->create_ns > right->create_ns) - (left->create_ns < right->create_ns);
}

int main(int argc, char **argv)
{
    size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000;
    size_t rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 5;
    static struct sample samples[ROUNDS_MAX];
    struct utsname system;
    if (count == 0 || rounds == 0 || rounds > ROUNDS_MAX || uname(&system) != 0) {
        fprintf(stderr, "usage: stack_bench [count [rounds]], 1 to %d rounds\n", ROUNDS_MAX);
        return 2;
    }
    for (size_t i = 0; i < rounds; i++) {
        if (measure_apart(&samples[i], count) != 0) {
            fprintf(stderr, "stack_bench: not enough memory for %zu stacks\n", count);
            return 1;
        }
    }
    qsort(samples, rounds, sizeof(samples[0]), compare);
    const struct sample *median = &samples[rounds / 2];
    printf("{\"bench\":\"stack\",\"kernel\":\"%s\",\"compiler\":\"%s\",\"guard\":\"%s\","
           "\"count\":%zu,\"rounds\":%zu,\"create_ns\":{\"median\":%.0f,\"p95\":%.0f,"
           "\"min\":%.0f},\"fault_floor_ns\":%.0f,\"reuse_ns\":%.1f,\"trim_ns\":%.0f,"
           "\"rss_bytes\":%.1f,\"page_table_bytes\":%.1f,\"left_after_trim_bytes\":%.1f}\n",
           system.release, __VERSION__, skua_memory_guard_name(), count, rounds, median->create_ns,
           samples[(rounds * 95 - 1) / 100].create_ns, samples[0].create_ns, median->touch_ns,
           median->reuse_ns, median->trim_ns, median->rss_bytes, median->page_table_bytes,
           median->left_bytes);
    return 0;
}
