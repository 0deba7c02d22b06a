/*
 * sources.c - a hundred sources, each of which takes 200 ms to answer, read in about 200 ms.
 */
#include "example.h"

#define SOURCES 100

/* Stands for a request over the network: nearly all of it is waiting. */
static intptr_t fetch(void *arg)
{
    int rc = skua_sleep(200 * MS);
    return rc < 0 ? rc : *(int *)arg * 10; /* how many bytes have come */
}

intptr_t example(void *arg)
{
    (void)arg;
    skua_future *fetches[SOURCES];
    intptr_t sizes[SOURCES], total = 0;
    int sources[SOURCES];
    uint64_t start_ns = skua_now();
    for (int i = 0; i < SOURCES; i++) {
        sources[i] = i;
        fetches[i] = skua_spawn(fetch, &sources[i]);
    }
    /* With CANCEL, an error is returned when all have ended, and nobody uses sources[] any more. */
    intptr_t rc = skua_gather(fetches, SOURCES, SKUA_GATHER_CANCEL, sizes);
    if (SKUA_IS_ERROR(rc))
        return rc;
    for (int i = 0; i < SOURCES; i++)
        total += sizes[i];
    printf("%d sources, %d bytes\n", SOURCES, (int)total);
    printf("%.1f s, not %.1f\n", seconds_since(start_ns), SOURCES * 0.2);
    return 0;
}
