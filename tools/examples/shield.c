/*
 * shield.c - a payment that must not be broken off, although who waits for it has no patience.
 */
#include "example.h"

static intptr_t pay(void *arg)
{
    (void)arg;
    int rc = skua_sleep(200 * MS);
    if (rc < 0) {
        printf("the payment was broken off\n");
        return rc;
    }
    printf("paid\n");
    return 42;
}

intptr_t example(void *arg)
{
    (void)arg;
    skua_future *payment = skua_spawn(pay, NULL);

    /* The timeout cancels the shield, and not what is behind it. */
    skua_future *shield = skua_future_shield(skua_future_ref(payment));
    int rc = skua_wait_for(shield, 50 * MS, NULL);
    printf("after 50 ms: %s\n", rc == -ETIMEDOUT ? "timed out, and goes on" : "done");

    printf("receipt %d\n", (int)skua_await(payment));

    /* The same without a shield. */
    rc = skua_wait_for(skua_spawn(pay, NULL), 50 * MS, NULL);
    printf("after 50 ms: %s\n", rc == -ETIMEDOUT ? "timed out" : "done");
    return 0;
}
