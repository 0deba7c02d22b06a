/*
 * breaker.c - a circuit breaker: after three failures the service is left alone for a while, and
 * what the caller has in stock is used instead. Then one call finds out whether it is back.
 */
#include "example.h"

static bool service_is_up;

static intptr_t call_service(void *arg)
{
    (void)arg;
    int rc = skua_sleep(10 * MS);
    if (rc < 0)
        return rc;
    return service_is_up ? 200 : -ECONNREFUSED;
}

static void ask(skua_breaker *breaker)
{
    static const char *const states[] = {"closed", "open", "half open"};
    const char *before = states[skua_breaker_state(breaker)];
    intptr_t rc = skua_breaker_call(breaker, call_service, NULL);
    if (rc == -EHOSTDOWN)
        printf("%s: not asked, the answer of yesterday is used\n", before);
    else
        printf("%s: asked, %s\n", before, SKUA_IS_ERROR(rc) ? "failed" : "good");
}

intptr_t example(void *arg)
{
    (void)arg;
    skua_breaker breaker;
    skua_breaker_options options = {.failures_max = 3, .open_ns = 200 * MS};
    int rc = skua_breaker_init(&breaker, &options);
    if (rc < 0)
        return rc;
    for (int i = 0; i < 5; i++)
        ask(&breaker);

    if ((rc = skua_sleep(250 * MS)) < 0)
        return rc;
    printf("a while later it is still down\n");
    ask(&breaker);
    ask(&breaker);

    if ((rc = skua_sleep(250 * MS)) < 0)
        return rc;
    printf("then it is up\n");
    service_is_up = true;
    ask(&breaker);
    ask(&breaker);
    return 0;
}
