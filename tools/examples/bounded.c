/*
 * bounded.c - twelve workers, of whom a semaphore lets three at a time use what there is little of.
 */
#include "example.h"

#include <stdatomic.h>

#define WORKERS 12
#define AT_ONCE 3

static skua_semaphore permits = SKUA_SEMAPHORE_INIT(AT_ONCE);
static _Atomic int inside, most_inside; /* atomic: tasks run in parallel */

static intptr_t work(void *arg)
{
    (void)arg;
    int rc = skua_semaphore_acquire(&permits);
    if (rc < 0)
        return rc;
    int now = ++inside, most = most_inside;
    while (now > most && !atomic_compare_exchange_weak(&most_inside, &most, now))
        continue;
    rc = skua_sleep(50 * MS);
    inside--;
    skua_semaphore_release(&permits);
    return rc;
}

intptr_t example(void *arg)
{
    (void)arg;
    skua_future *workers[WORKERS];
    uint64_t start_ns = skua_now();
    for (int i = 0; i < WORKERS; i++)
        workers[i] = skua_spawn(work, NULL);
    intptr_t rc = skua_gather(workers, WORKERS, 0, NULL);
    if (SKUA_IS_ERROR(rc))
        return rc;
    printf("%d workers, at most %d at a time\n", WORKERS, most_inside);
    printf("%.1f s: four turns of 0.05\n", seconds_since(start_ns));
    return 0;
}
