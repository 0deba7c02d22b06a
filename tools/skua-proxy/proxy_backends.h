/*
 * proxy_backends.h - the table of backends: whose turn it is, and who is left out for a while.
 *
 * Every pick is followed by exactly one of reached, failed or forgone, and reached by released.
 */
#ifndef SKUA_PROXY_BACKENDS_H
#define SKUA_PROXY_BACKENDS_H

#include "proxy.h"

#include "proxy_address.h"

struct proxy_backend {
    const char *name; /* as it was given; constant, as the next three */
    char host_text[PROXY_HOST_SIZE];
    const char *host; /* for skua_dial(); NULL: this host */
    const char *service;
    /* All below is guarded by the table's lock. */
    uint64_t open;           /* connections, those that are being made included */
    uint64_t connections;    /* that were made */
    uint64_t failures;       /* to connect */
    unsigned failure_streak; /* since the last success; each doubles the time it is left out */
    uint64_t out_until_ns;   /* left out until then; 0: it is not */
    unsigned check_streak;   /* checks in a row that speak against what is_down says */
    bool is_down;            /* by the checks */
};

/* What one connection has tried; zero at first. */
struct proxy_pick {
    struct proxy_backend *backend; /* the last pick; NULL: there is nobody left */
    bool is_probe;                 /* its time had just passed: the verdict counts anew */
    bool is_last_resort;           /* all are left out: one is tried all the same, and no more */
    uint64_t tried[PROXY_BACKENDS_MAX / 64];
};

/* 0; -EINVAL with the address in *@bad that is none; -ENOMEM. */
int skua_proxy_backends_create(const struct proxy_options *options, struct proxy_backends **out,
                               const char **bad);
void skua_proxy_backends_destroy(struct proxy_backends *backends);

/* Picks one @pick has not tried yet into pick->backend. Never waits, as the others here. */
void skua_proxy_backend_pick(struct proxy_backends *backends, struct proxy_pick *pick);

/* It has been connected to. Returns whether it was thought to be out of order. */
bool skua_proxy_backend_reached(struct proxy_backends *backends, const struct proxy_pick *pick);

/* It could not be connected to. Returns for how long it is left out, 0 if nothing has changed. */
uint64_t skua_proxy_backend_failed(struct proxy_backends *backends, const struct proxy_pick *pick);

/* It could not be tried, for reasons that are not its own. */
void skua_proxy_backend_forgone(struct proxy_backends *backends, const struct proxy_pick *pick);

/* The connection to it has ended. */
void skua_proxy_backend_released(struct proxy_backends *backends, struct proxy_backend *backend);

/* What a check has found. Returns whether the backend has gone up or down by it. */
bool skua_proxy_backend_checked(struct proxy_backends *backends, struct proxy_backend *backend,
                                bool is_good);

struct proxy_backend *skua_proxy_backend_at(struct proxy_backends *backends, unsigned index);

/* Prints a line for each backend to standard error. */
void skua_proxy_backends_print(struct proxy_backends *backends);

#endif /* SKUA_PROXY_BACKENDS_H */
