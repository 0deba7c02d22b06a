/*
 * timeout.c - three ways not to wait for ever: for a call, for a task, and for a block of code.
 */
#include "example.h"

static intptr_t slow(void *arg)
{
    (void)arg;
    int rc = skua_sleep(3600 * SKUA_NS_PER_SEC);
    if (rc == -ECANCELED)
        printf("slow: cancelled\n"); /* here is the place to put things in order */
    return rc;
}

static intptr_t quick(void *arg)
{
    (void)arg;
    return 42;
}

static const char *outcome(intptr_t rc)
{
    return rc == -ETIMEDOUT ? "timed out" : SKUA_IS_ERROR(rc) ? "failed" : "done";
}

/* A block with a deadline: it, and the tasks spawned in it, are cancelled when that has passed. */
static int in_a_scope(void)
{
    skua_scope_options options = {.deadline_ns = skua_after(100 * MS)};
    skua_scope scope;
    int rc = skua_scope_open(&scope, &options);
    if (rc < 0)
        return rc;
    (void)skua_scope_spawn(&scope, slow, NULL, NULL);
    return skua_scope_close(&scope);
}

intptr_t example(void *arg)
{
    (void)arg;
    printf("a quick call: %s\n", outcome(skua_timeout(100 * MS, quick, NULL)));
    printf("a slow call: %s\n", outcome(skua_timeout(100 * MS, slow, NULL)));
    intptr_t value = 0;
    int rc = skua_wait_for(skua_spawn(quick, NULL), 100 * MS, &value);
    printf("a quick task: %s, %d\n", outcome(rc), (int)value);
    rc = skua_wait_for(skua_spawn(slow, NULL), 100 * MS, &value);
    printf("a slow task: %s\n", outcome(rc));
    printf("a block: %s\n", outcome(in_a_scope()));
    return 0;
}
