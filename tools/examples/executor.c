/*
 * executor.c - a function that blocks its thread, handed to an executor's: the tasks go on.
 */
#include "example.h"

/*
 * Stands for a library that knows nothing of tasks, a database client say. On the thread of an
 * executor any call that waits blocks the thread, and that one alone.
 */
static intptr_t query(void *arg)
{
    int rc = skua_sleep(110 * MS);
    if (rc < 0)
        return rc;
    printf("the answer to \"%s\" is there\n", (const char *)arg);
    return 42;
}

static intptr_t tick(void *arg)
{
    (void)arg;
    skua_interval interval;
    int rc = skua_interval_init(&interval, 25 * MS, 0);
    for (int count = 1; rc == 0 && skua_interval_next(&interval) >= 0; count++)
        printf("tick %d\n", count);
    return rc;
}

intptr_t example(void *arg)
{
    (void)arg;
    skua_future *ticker = skua_spawn(tick, NULL);
    skua_future *answer = skua_run_in_executor(NULL, query, "what is six times seven?");
    printf("%d\n", (int)skua_await(answer));
    skua_cancel(ticker); /* ends its wait */
    (void)skua_await(ticker);

    /* A task may also go to an executor itself, and come back. */
    if (skua_hop(skua_executor_cpu(NULL)) == 0) {
        uint64_t product = 1;
        for (uint64_t factor = 2; factor <= 20; factor++)
            product *= factor;
        (void)skua_hop_back();
        printf("20! is %llu\n", (unsigned long long)product);
    }
    return 0;
}
