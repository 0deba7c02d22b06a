/*
 * proxy_check.h - health checks: connections whose only purpose is to be made.
 */
#ifndef SKUA_PROXY_CHECK_H
#define SKUA_PROXY_CHECK_H

#include "proxy.h"

#include "proxy_backends.h"

/* What the task that checks one backend gets; outlives it. */
struct proxy_check {
    struct proxy *proxy;
    struct proxy_backend *backend;
};

/* The task: checks until it is cancelled. @arg: a struct proxy_check. */
intptr_t skua_proxy_check(void *arg);

#endif /* SKUA_PROXY_CHECK_H */
