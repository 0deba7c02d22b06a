/*
 * consumer/tls_consumer.c - the smallest program that needs the TLS library.
 */
#include <skua/skua.h>
#include <skua/tls.h>

#include <stdio.h>

static intptr_t first(void *arg)
{
    skua_tls_context_options options = {.role = SKUA_TLS_CLIENT};
    skua_tls_error error;
    skua_tls_context *context;
    (void)arg;
    int rc = skua_tls_context_create(&options, &error, &context);
    if (rc < 0) {
        fprintf(stderr, "consumer: %s\n", error.text);
        return rc;
    }
    skua_tls_context_unref(context);
    return 42;
}

int main(void)
{
    return skua_run(NULL, first, NULL) == 42 ? 0 : 1;
}
