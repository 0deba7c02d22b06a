/*
 * proxy_backends.c - the table of backends.
 *
 * PASSIVE  A backend that cannot be connected to is left out, for fail_ns at first and twice as
 *          long each time, up to 64 times fail_ns. When that time is over one connection is let
 *          through (the probe); until its verdict the others are still kept away, so that a backend
 *          that hangs costs one client its patience, not all. Failures of those that were under way
 *          when it failed first do not count again.
 * ACTIVE   Checks take a backend down and up by themselves; one that goes up is forgiven all.
 * LAST     If every backend that is not down is left out, the one whose time is over first is tried
 *          once all the same: with a single backend that was restarted, nobody is turned away for
 *          long.
 */
#include "proxy_backends.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define DOUBLINGS_MAX 6u

struct proxy_backends {
    pthread_mutex_t lock;
    const struct proxy_options *options;
    unsigned count; /* constant */
    unsigned turn;  /* where the next search begins; guarded by lock */
    struct proxy_backend backends[];
};

int skua_proxy_backends_create(const struct proxy_options *options, struct proxy_backends **out,
                               const char **bad)
{
    struct proxy_backends *backends =
        calloc(1, sizeof(*backends) + options->backend_count * sizeof(backends->backends[0]));
    if (backends == NULL)
        return -ENOMEM;
    backends->options = options;
    backends->count = options->backend_count;
    pthread_mutex_init(&backends->lock, NULL);
    for (unsigned i = 0; i < backends->count; i++) {
        struct proxy_backend *backend = &backends->backends[i];
        backend->name = options->backends[i];
        if (skua_proxy_address_split(backend->name, backend->host_text, &backend->host,
                                     &backend->service) < 0) {
            *bad = backend->name;
            skua_proxy_backends_destroy(backends);
            return -EINVAL;
        }
    }
    *out = backends;
    return 0;
}

void skua_proxy_backends_destroy(struct proxy_backends *backends)
{
    if (backends == NULL)
        return;
    pthread_mutex_destroy(&backends->lock);
    free(backends);
}

struct proxy_backend *skua_proxy_backend_at(struct proxy_backends *backends, unsigned index)
{
    return &backends->backends[index];
}

/* ---- picking --------------------------------------------------------------------------------- */

/* Whether @a is to be preferred to @b, which was found before it and may be NULL. */
static bool is_better(const struct proxy_backends *backends, const struct proxy_backend *a,
                      const struct proxy_backend *b, bool is_last_resort)
{
    if (b == NULL)
        return true;
    if (is_last_resort)
        return a->out_until_ns < b->out_until_ns;
    return backends->options->balance == PROXY_LEAST_CONNECTIONS && a->open < b->open;
}

/* The search begins one further each time, so equals take turns. */
static struct proxy_backend *search(struct proxy_backends *backends, const struct proxy_pick *pick,
                                    uint64_t now_ns)
{
    struct proxy_backend *best = NULL;
    for (unsigned i = 0; i < backends->count; i++) {
        unsigned index = (backends->turn + i) % backends->count;
        struct proxy_backend *backend = &backends->backends[index];
        bool is_tried = pick->tried[index / 64] >> (index % 64) & 1;
        bool is_out = backend->out_until_ns > now_ns;
        if (!is_tried && !backend->is_down && is_out == pick->is_last_resort &&
            is_better(backends, backend, best, pick->is_last_resort))
            best = backend;
    }
    return best;
}

void skua_proxy_backend_pick(struct proxy_backends *backends, struct proxy_pick *pick)
{
    uint64_t now_ns = skua_now();
    bool is_first = pick->backend == NULL;
    struct proxy_backend *best = NULL;
    pick->is_probe = false;
    pthread_mutex_lock(&backends->lock);
    if (!pick->is_last_resort)
        best = search(backends, pick, now_ns);
    if (best == NULL && is_first) {
        pick->is_last_resort = true;
        best = search(backends, pick, now_ns);
    }
    if (best != NULL) {
        unsigned index = (unsigned)(best - backends->backends);
        backends->turn = (index + 1) % backends->count;
        pick->tried[index / 64] |= UINT64_C(1) << (index % 64);
        best->open++;
        if (best->failure_streak > 0 && !pick->is_last_resort) {
            pick->is_probe = true;
            best->out_until_ns = now_ns + backends->options->connect_timeout_ns;
        }
    }
    pthread_mutex_unlock(&backends->lock);
    pick->backend = best;
}

/* ---- verdicts -------------------------------------------------------------------------------- */

bool skua_proxy_backend_reached(struct proxy_backends *backends, const struct proxy_pick *pick)
{
    struct proxy_backend *backend = pick->backend;
    pthread_mutex_lock(&backends->lock);
    bool was_out = backend->failure_streak > 0;
    backend->connections++;
    backend->failure_streak = 0;
    backend->out_until_ns = 0;
    pthread_mutex_unlock(&backends->lock);
    return was_out;
}

uint64_t skua_proxy_backend_failed(struct proxy_backends *backends, const struct proxy_pick *pick)
{
    struct proxy_backend *backend = pick->backend;
    uint64_t now_ns = skua_now();
    uint64_t out_ns = 0;
    pthread_mutex_lock(&backends->lock);
    backend->open--;
    backend->failures++;
    if (pick->is_probe || backend->out_until_ns <= now_ns) {
        unsigned doublings = backend->failure_streak;
        out_ns = backends->options->fail_ns
                 << (doublings < DOUBLINGS_MAX ? doublings : DOUBLINGS_MAX);
        backend->failure_streak++;
        backend->out_until_ns = now_ns + out_ns;
    }
    pthread_mutex_unlock(&backends->lock);
    return out_ns;
}

void skua_proxy_backend_forgone(struct proxy_backends *backends, const struct proxy_pick *pick)
{
    pthread_mutex_lock(&backends->lock);
    pick->backend->open--;
    if (pick->is_probe)
        pick->backend->out_until_ns = 0; /* the next one may try */
    pthread_mutex_unlock(&backends->lock);
}

void skua_proxy_backend_released(struct proxy_backends *backends, struct proxy_backend *backend)
{
    pthread_mutex_lock(&backends->lock);
    backend->open--;
    pthread_mutex_unlock(&backends->lock);
}

bool skua_proxy_backend_checked(struct proxy_backends *backends, struct proxy_backend *backend,
                                bool is_good)
{
    const struct proxy_options *options = backends->options;
    bool has_turned = false;
    pthread_mutex_lock(&backends->lock);
    if (is_good != backend->is_down) {
        backend->check_streak = 0;
    } else {
        unsigned needed = is_good ? options->check_rise : options->check_fall;
        has_turned = ++backend->check_streak >= needed;
    }
    if (has_turned) {
        backend->is_down = !is_good;
        backend->check_streak = 0;
    }
    if (is_good && !backend->is_down) {
        backend->failure_streak = 0;
        backend->out_until_ns = 0;
    }
    pthread_mutex_unlock(&backends->lock);
    return has_turned;
}

/* ---- counters -------------------------------------------------------------------------------- */

void skua_proxy_backends_print(struct proxy_backends *backends)
{
    for (unsigned i = 0; i < backends->count; i++) {
        uint64_t now_ns = skua_now();
        pthread_mutex_lock(&backends->lock);
        struct proxy_backend copy = backends->backends[i];
        pthread_mutex_unlock(&backends->lock);
        const char *state = copy.is_down ? "down" : copy.out_until_ns > now_ns ? "out" : "up";
        fprintf(stderr,
                PROXY_PROGRAM ": backend %s: %s, %" PRIu64 " open, %" PRIu64 " made, %" PRIu64
                              " failed\n",
                copy.name, state, copy.open, copy.connections, copy.failures);
    }
}
