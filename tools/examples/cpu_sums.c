/*
 * cpu_sums.c - sums that keep every processor busy: tasks run on as many threads as there are
 * processors, and whoever has nothing to do takes a task from one who has.
 *
 * For loops over arrays there is more in skua/parallel.h, which also splits the work by itself.
 */
#include "example.h"

#define PARTS 8
#define NUMBERS (UINT64_C(1) << 23) /* in each part */

struct part {
    uint64_t first;
    uint64_t sum; /* of squares, modulo 2^64 */
};

static intptr_t sum_part(void *arg)
{
    struct part *part = arg;
    uint64_t sum = 0;
    for (uint64_t number = part->first; number < part->first + NUMBERS; number++)
        sum += number * number % 1000003;
    part->sum = sum;
    return 0;
}

static uint64_t sum_of(const struct part *parts)
{
    uint64_t sum = 0;
    for (int i = 0; i < PARTS; i++)
        sum += parts[i].sum;
    return sum;
}

intptr_t example(void *arg)
{
    (void)arg;
    struct part parts[PARTS];
    for (uint64_t i = 0; i < PARTS; i++)
        parts[i] = (struct part){.first = i * NUMBERS};

    uint64_t start_ns = skua_now();
    for (int i = 0; i < PARTS; i++)
        (void)sum_part(&parts[i]);
    uint64_t serial = sum_of(parts);
    printf("one after the other: %llu, %.2f s\n", (unsigned long long)serial,
           seconds_since(start_ns));

    start_ns = skua_now();
    skua_future *tasks[PARTS];
    for (int i = 0; i < PARTS; i++)
        tasks[i] = skua_spawn(sum_part, &parts[i]);
    intptr_t rc = skua_gather(tasks, PARTS, SKUA_GATHER_CANCEL, NULL);
    if (SKUA_IS_ERROR(rc))
        return rc;
    printf("in parallel: %llu, %.2f s\n", (unsigned long long)sum_of(parts),
           seconds_since(start_ns));
    return 0;
}
