/*
 * errors.c - one task fails, and the others do not care. Errors are values: a result from -4095 to
 * -1 is an errno.
 */
#include "example.h"

#define TASKS 5

static intptr_t square(void *arg)
{
    int number = *(int *)arg;
    int rc = skua_sleep(50 * MS);
    if (rc < 0)
        return rc;
    return number == 3 ? -EDOM : number * number;
}

intptr_t example(void *arg)
{
    (void)arg;
    skua_future *tasks[TASKS];
    intptr_t results[TASKS];
    int numbers[TASKS];
    for (int i = 0; i < TASKS; i++) {
        numbers[i] = i + 1;
        tasks[i] = skua_spawn(square, &numbers[i]);
    }
    /* COLLECT: errors are results like others. Without it the first one is returned at once. */
    intptr_t failed = skua_gather(tasks, TASKS, SKUA_GATHER_COLLECT, results);
    if (SKUA_IS_ERROR(failed))
        return failed;
    for (int i = 0; i < TASKS; i++) {
        if (SKUA_IS_ERROR(results[i]))
            printf("task %d failed: %s\n", i + 1, strerror((int)-results[i]));
        else
            printf("task %d: %d\n", i + 1, (int)results[i]);
    }
    printf("%d of %d failed\n", (int)failed, TASKS);
    return 0;
}
