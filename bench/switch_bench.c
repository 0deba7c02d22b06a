/*
 * bench/switch_bench.c - the raw price of a context switch.
 *
 * switch_bench [contexts] [depth]: a loop on the thread's own stack switches to each of @contexts
 * contexts (default 2) in turn and back; each of them is suspended @depth calls deep (default 0),
 * and returns through them between two switches. Prints one JSON line, in nanoseconds for one
 * switch. With a depth the calls and returns are in the figure: what grows beyond a nanosecond or
 * so for each is mispredicted returns.
 */
#include "platform/clock.h"
#include "platform/ctx.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/utsname.h>

#ifndef SKUA_COMMIT
#define SKUA_COMMIT "unknown"
#endif

#define CONTEXTS_MAX 1024
#define STACK_BYTES ((size_t)64 << 10)
#define SAMPLES 101
#define SWITCHES_PER_SAMPLE 200000

static struct skua_ctx home;
static struct skua_ctx contexts[CONTEXTS_MAX];
static int depth;

static __attribute__((noinline)) void switch_at_depth(struct skua_ctx *self, int levels)
{
    if (levels == 0)
        skua_ctx_switch(self, &home);
    else
        switch_at_depth(self, levels - 1);
    __asm__ volatile(""); /* or the call above becomes a jump */
}

static void entry(void *arg)
{
    struct skua_ctx *self = arg;
    if (depth == 0) {
        for (;;)
            skua_ctx_switch(self, &home);
    }
    for (;;)
        switch_at_depth(self, depth - 1);
}

static double sample(int count)
{
    int turns = SWITCHES_PER_SAMPLE / 2 / count;
    uint64_t start = skua_clock_now();
    for (int turn = 0; turn < turns; turn++) {
        for (int i = 0; i < count; i++)
            skua_ctx_switch(&home, &contexts[i]);
    }
    return (double)(skua_clock_now() - start) / (2.0 * turns * count);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int number_argument(int argc, char **argv, int index, int otherwise, int max)
{
    if (argc <= index)
        return otherwise;
    int number = atoi(argv[index]);
    return number < 0 ? 0 : number > max ? max : number;
}

int main(int argc, char **argv)
{
    int count = number_argument(argc, argv, 1, 2, CONTEXTS_MAX);
    depth = number_argument(argc, argv, 2, 0, 100);
    if (count == 0)
        count = 1;
    char *stacks = mmap(NULL, (size_t)count * STACK_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stacks == MAP_FAILED)
        return 1;
    skua_ctx_init_thread(&home);
    for (int i = 0; i < count; i++) {
        skua_ctx_init(&contexts[i], stacks + (size_t)i * STACK_BYTES, STACK_BYTES,
                      (size_t)(i % 16) * 64, entry, &contexts[i]);
    }

    double ns[SAMPLES];
    sample(count); /* warms up */
    for (int i = 0; i < SAMPLES; i++)
        ns[i] = sample(count);
    qsort(ns, SAMPLES, sizeof(ns[0]), compare);

    struct utsname system;
    uname(&system);
    printf("{\"bench\":\"switch\",\"commit\":\"%s\",\"kernel\":\"%s\",\"compiler\":\"%s\","
           "\"machine\":\"%s\",\"workers\":1,\"contexts\":%d,\"depth\":%d,\"unit\":\"ns\","
           "\"median\":%.2f,\"p95\":%.2f,\"min\":%.2f}\n",
           SKUA_COMMIT, system.release, __VERSION__, system.machine, count, depth, ns[SAMPLES / 2],
           ns[SAMPLES * 95 / 100], ns[0]);
    return 0;
}
