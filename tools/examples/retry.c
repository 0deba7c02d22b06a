/*
 * retry.c - a service that fails at first is asked again, later each time; one that always does is
 * given up, and one whose error will not pass is not asked twice.
 */
#include "example.h"

struct service {
    const char *name;
    int failures; /* so many times it fails first */
    int error;    /* with this */
    int calls;
    uint64_t start_ns;
};

static intptr_t call_service(void *arg)
{
    struct service *service = arg;
    service->calls++;
    bool fails = service->calls <= service->failures;
    printf("%s, attempt %d after %.1f s: %s\n", service->name, service->calls,
           seconds_since(service->start_ns), fails ? strerror(service->error) : "good");
    return fails ? -service->error : 200;
}

static bool may_pass(intptr_t error, void *arg)
{
    (void)arg;
    return error != -EACCES;
}

static void call_with_retries(struct service *service)
{
    skua_retry_options options = {
        .attempts_max = 4,
        .delay_ns = 100 * MS,      /* then 200, 400 */
        .flags = SKUA_RETRY_EXACT, /* for the sake of the output: use jitter where many call */
        .is_retryable = may_pass,
    };
    service->start_ns = skua_now();
    intptr_t rc = skua_retry(&options, call_service, service);
    if (SKUA_IS_ERROR(rc))
        printf("%s: given up\n", service->name);
    else
        printf("%s: %d\n", service->name, (int)rc);
}

intptr_t example(void *arg)
{
    (void)arg;
    struct service slow_starter = {.name = "slow starter", .failures = 2, .error = ECONNREFUSED};
    struct service dead = {.name = "dead", .failures = 100, .error = ETIMEDOUT};
    struct service forbidden = {.name = "forbidden", .failures = 100, .error = EACCES};
    call_with_retries(&slow_starter);
    call_with_retries(&dead);
    call_with_retries(&forbidden);
    return 0;
}
