/*
 * cancel_call.c - functions that are to be called later, and one that will not be.
 */
#include "example.h"

static intptr_t say(void *arg)
{
    printf("%s\n", (const char *)arg);
    return 0;
}

intptr_t example(void *arg)
{
    (void)arg;
    uint64_t start_ns = skua_now();
    skua_future *calls[] = {
        skua_call_later(150 * MS, say, "world"),
        skua_call_later(50 * MS, say, "hello"),
        skua_call_later(100 * MS, say, "cruel"),
    };
    int rc = skua_cancel(calls[2]);
    printf("cancelled: %s\n", rc == 0 ? "yes" : "too late");
    intptr_t results[3];
    intptr_t failed = skua_gather(calls, 3, SKUA_GATHER_COLLECT, results);
    printf("%d call was not made: %s\n", (int)failed, strerror((int)-results[2]));
    printf("%.2f s\n", seconds_since(start_ns));
    return 0;
}
