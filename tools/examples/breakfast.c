/*
 * breakfast.c - three dishes cooked at once: breakfast takes as long as the slowest.
 */
#include "example.h"

struct dish {
    const char *name;
    uint64_t time_ns;
};

/* A task is a function on a stack of its own. While it sleeps, others run. */
static intptr_t cook(void *arg)
{
    const struct dish *dish = arg;
    printf("start cooking %s\n", dish->name);
    int rc = skua_sleep(dish->time_ns);
    if (rc < 0)
        return rc;
    printf("%s ready\n", dish->name);
    return 0;
}

intptr_t example(void *arg)
{
    (void)arg;
    static struct dish dishes[] = {{"toast", 100 * MS}, {"eggs", 200 * MS}, {"coffee", 300 * MS}};
    skua_future *cooking[3];
    uint64_t start_ns = skua_now();
    for (size_t i = 0; i < 3; i++)
        cooking[i] = skua_spawn(cook, &dishes[i]);
    intptr_t rc = skua_gather(cooking, 3, 0, NULL);
    if (SKUA_IS_ERROR(rc))
        return rc;
    printf("breakfast after %.1f s, not 0.6\n", seconds_since(start_ns));
    return 0;
}
