/*
 * crawl_hosts.c - see crawl_hosts.h.
 */
#include "crawl_hosts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HOSTS_IDLE_MAX 4096u /* beyond, one is forgotten for each new one */
#define BREAKER_FAILURES 5u  /* in a row of BREAKER_WINDOW_NS, and a host counts as dead */
#define BREAKER_WINDOW_NS (30 * SKUA_NS_PER_SEC)
#define BREAKER_OPEN_NS (30 * SKUA_NS_PER_SEC)

/* FNV-1a. */
static unsigned bucket_of(const char *origin)
{
    uint32_t hash = 2166136261u;
    for (; *origin != 0; origin++)
        hash = (hash ^ (unsigned char)*origin) * 16777619u;
    return hash % CRAWL_HOST_BUCKETS;
}

void skua_crawl_page_free(struct crawl_page *page)
{
    skua_crawl_url_fini(&page->url);
    free(page);
}

static void free_host(struct crawl_host *host)
{
    while (host->first != NULL) {
        struct crawl_page *page = host->first;
        host->first = page->next;
        skua_crawl_page_free(page);
    }
    skua_crawl_robots_fini(&host->robots);
    free(host->origin);
    free(host);
}

/* Forgets one host that nobody refers to and that need not be waited for; if one is found soon. */
static void forget_one(struct crawl *crawl)
{
    uint64_t now_ns = skua_now();
    for (unsigned i = 0; i < CRAWL_HOST_BUCKETS / 16; i++) {
        crawl->hand = (crawl->hand + 1) % CRAWL_HOST_BUCKETS;
        struct crawl_host **link = &crawl->buckets[crawl->hand];
        while (*link != NULL && ((*link)->refs > 0 || (*link)->next_ns > now_ns))
            link = &(*link)->next;
        struct crawl_host *host = *link;
        if (host == NULL)
            continue;
        *link = host->next;
        crawl->host_count--;
        free_host(host);
        return;
    }
}

/* Only what says that nobody is there makes a host a dead one. */
static bool is_dead(intptr_t result, void *arg)
{
    (void)arg;
    return result == -EHOSTUNREACH;
}

static struct crawl_host *make_host(const struct crawl *crawl, const char *origin)
{
    const struct crawl_options *options = &crawl->options;
    const skua_breaker_options breaker = {
        .failures_max = BREAKER_FAILURES,
        .window_ns = BREAKER_WINDOW_NS,
        .open_ns = BREAKER_OPEN_NS,
        .is_failure = is_dead,
    };
    struct crawl_host *host = calloc(1, sizeof(*host));
    if (host == NULL)
        return NULL;
    host->origin = strdup(origin);
    host->connections = (skua_semaphore)SKUA_SEMAPHORE_INIT(options->per_host);
    host->gate = (skua_semaphore)SKUA_SEMAPHORE_INIT(1);
    host->delay_ns = options->interval_ns;
    if (options->interval_ns > 0)
        (void)skua_rate_limiter_init(&host->limiter, 1, options->interval_ns, 1);
    if (host->origin == NULL || skua_breaker_init(&host->breaker, &breaker) < 0) {
        free_host(host);
        return NULL;
    }
    return host;
}

struct crawl_host *skua_crawl_host_get(struct crawl *crawl, const char *origin)
{
    struct crawl_host **bucket = &crawl->buckets[bucket_of(origin)];
    struct crawl_host *host = *bucket;
    while (host != NULL && strcmp(host->origin, origin) != 0)
        host = host->next;
    if (host == NULL) {
        if (crawl->host_count >= HOSTS_IDLE_MAX)
            forget_one(crawl);
        host = make_host(crawl, origin);
        if (host == NULL)
            return NULL;
        host->next = *bucket;
        *bucket = host;
        crawl->host_count++;
    }
    host->refs++;
    return host;
}

void skua_crawl_host_unref(struct crawl *crawl, struct crawl_host *host)
{
    pthread_mutex_lock(&crawl->lock);
    host->refs--;
    pthread_mutex_unlock(&crawl->lock);
}

void skua_crawl_hosts_fini(struct crawl *crawl)
{
    for (unsigned i = 0; i < CRAWL_HOST_BUCKETS; i++) {
        while (crawl->buckets[i] != NULL) {
            struct crawl_host *host = crawl->buckets[i];
            crawl->buckets[i] = host->next;
            free_host(host);
        }
    }
}
