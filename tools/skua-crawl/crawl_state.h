/*
 * crawl_state.h - a run: hosts, pages that wait for their turn, and what all tasks share.
 *
 * TASKS
 *   The root task has the driver (crawl_driver.h), the writer (crawl_out.h) and the stopper, and a
 *   scope with all others: the reader of the list and the lanes. A lane serves one host: it takes
 *   the host's pages one after the other and ends when there is none. A host has as many lanes as
 *   it may have connections, or as it has pages. So the crawl is over when the scope is empty.
 *
 * ONE REQUEST
 *   The single flight for the host's robots.txt, then skua_retry(), in it the host's breaker, in it
 *   a connection of the host's, then its gate, which one request passes at a time: it waits until
 *   the host may be asked again (--rate, Crawl-delay, Retry-After), takes one of the transfers that
 *   there may be at once, and then a token of the host's limiter. In that order: who waits for its
 *   host holds no transfer, and who has waited for a transfer is still not too early.
 *
 * THE END
 *   stop is set by a signal or by an output that fails. From then on no request is begun: lanes and
 *   gates look at it. When the requests that are under way are done, or the grace is over, the
 *   stopper cancels the scope. What a page has got is put out nevertheless, in a shield.
 */
#ifndef SKUA_CRAWL_STATE_H
#define SKUA_CRAWL_STATE_H

#include <pthread.h>

#include "crawl.h"
#include "crawl_driver.h"
#include "crawl_out.h"
#include "crawl_robots.h"
#include "crawl_seen.h"
#include "crawl_url.h"

#define CRAWL_HOST_BUCKETS 4096u

/* A URL that waits for its turn; its lane's when it has been taken from the queue. */
struct crawl_page {
    struct crawl_url url;
    unsigned depth;
    bool listed; /* from the command line or the list, not from a page */
    bool has_room;
    struct crawl_host *host;
    struct crawl_page *next;
};

/* What is known of a host's robots.txt. */
enum crawl_rules { CRAWL_RULES_UNKNOWN, CRAWL_RULES_KNOWN, CRAWL_RULES_UNREACHABLE };

struct crawl_host {
    char *origin; /* constant, as the limits of what follows */
    skua_semaphore connections;
    skua_semaphore gate;
    skua_rate_limiter limiter; /* with --rate */
    skua_breaker breaker;
    /* Guarded by the run's lock. */
    struct crawl_host *next; /* in its bucket */
    unsigned refs;           /* of pages, lanes and requests; at 0 it may be forgotten */
    unsigned lanes;
    struct crawl_page *first, *last;
    uint64_t next_ns;  /* no request before */
    uint64_t delay_ns; /* between two of them: of --rate, or Crawl-delay if that is longer */
    enum crawl_rules rules;
    uint64_t rules_until_ns;    /* then the file is asked for again */
    char rules_error[160];      /* why it is unreachable */
    struct crawl_robots robots; /* does not change once rules is KNOWN */
};

struct crawl {
    struct crawl_options options;
    char agent[64];             /* the product token of the user agent */
    struct curl_slist *headers; /* of --header; constant */
    struct crawl_counters counters;
    int list_fd;    /* -1: no list */
    int list_error; /* the reader's until it has ended */
    struct crawl_driver *driver;
    struct crawl_out out;
    skua_single_flight flight; /* robots.txt, by origin */
    skua_semaphore slots;      /* transfers at once */
    skua_semaphore room;       /* URLs of the list that may wait */
    skua_event stop;
    skua_wait_group active; /* requests under way */
    skua_scope scope;       /* of the reader and the lanes */
    pthread_mutex_t lock;   /* guards what follows; held for moments, never across a wait */
    struct crawl_seen seen;
    struct crawl_host *buckets[CRAWL_HOST_BUCKETS];
    unsigned host_count;
    unsigned hand; /* the bucket where the search for a host to forget goes on */
};

/* Relaxed: numbers for people, and nothing hangs on their order. */
static inline void skua_crawl_count(_Atomic uint64_t *counter, uint64_t n)
{
    (void)atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static inline bool skua_crawl_stopping(const struct crawl *crawl)
{
    return skua_event_is_set(&crawl->stop);
}

#endif /* SKUA_CRAWL_STATE_H */
