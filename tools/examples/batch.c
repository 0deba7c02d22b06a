/*
 * batch.c - a batch: fetch everything, a few at a time, process what has come on all processors,
 * and tell apart what succeeded and what failed, at which step, and why.
 */
#include "example.h"

#define ITEMS 12

struct item {
    int id;
    int size;       /* set by fetch() */
    uint64_t score; /* set by process() */
};

/* Every fifth is not there. */
static intptr_t fetch(void *arg)
{
    struct item *item = arg;
    int rc = skua_sleep(20 * MS);
    if (rc < 0)
        return rc;
    if (item->id % 5 == 0)
        return -ENOENT;
    item->size = item->id * 100;
    return 0;
}

/* What is too large cannot be processed. */
static intptr_t process(void *arg)
{
    struct item *item = arg;
    if (item->size > 1100)
        return -EFBIG;
    for (int i = 0; i < item->size; i++)
        item->score += (uint64_t)i;
    return 0;
}

/* Fetches and processes: each item goes on when its own fetch is done. */
static intptr_t handle(void *arg)
{
    intptr_t rc = fetch(arg);
    if (!SKUA_IS_ERROR(rc)) /* computing is for other threads than those that wait for I/O */
        rc = skua_await(skua_run_in_executor(skua_executor_cpu(NULL), process, arg));
    return rc;
}

intptr_t example(void *arg)
{
    (void)arg;
    struct item items[ITEMS] = {{0}};
    intptr_t results[ITEMS];
    for (int i = 0; i < ITEMS; i++)
        items[i].id = i + 1;
    skua_map_options options = {.window = 4, .flags = SKUA_GATHER_COLLECT};
    intptr_t failed = skua_map(&options, handle, items, sizeof(items[0]), ITEMS, results);
    if (SKUA_IS_ERROR(failed))
        return failed;

    printf("successful:\n");
    for (int i = 0; i < ITEMS; i++) {
        if (!SKUA_IS_ERROR(results[i]))
            printf("  %d: score %llu\n", items[i].id, (unsigned long long)items[i].score);
    }
    printf("failed:\n");
    for (int i = 0; i < ITEMS; i++) {
        if (SKUA_IS_ERROR(results[i]))
            printf("  %d: %s: %s\n", items[i].id, items[i].size == 0 ? "fetch" : "process",
                   strerror((int)-results[i]));
    }
    printf("%d and %d\n", ITEMS - (int)failed, (int)failed);
    return 0;
}
