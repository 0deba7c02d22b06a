/*
 * crawl_rules.c - see crawl_rules.h.
 */
#include "crawl_rules.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crawl_hosts.h"
#include "crawl_request.h"

#define RULES_REDIRECTS 5u                    /* RFC 9309, 2.3.1.2: at least five */
#define RULES_AGAIN_NS (30 * SKUA_NS_PER_SEC) /* what could not be had is asked for again */
#define RULES_INLINE_STEPS UINT64_C(1000000)  /* about a millisecond */

struct fetch {
    struct crawl *crawl;
    struct crawl_host *host;
};

static bool are_known(struct crawl *crawl, const struct crawl_host *host)
{
    pthread_mutex_lock(&crawl->lock);
    bool known = host->rules == CRAWL_RULES_KNOWN ||
                 (host->rules == CRAWL_RULES_UNREACHABLE && skua_now() < host->rules_until_ns);
    pthread_mutex_unlock(&crawl->lock);
    return known;
}

static void set_unreachable(struct fetch *fetch, const char *error)
{
    struct crawl_host *host = fetch->host;
    pthread_mutex_lock(&fetch->crawl->lock);
    host->rules = CRAWL_RULES_UNREACHABLE;
    host->rules_until_ns = skua_after(RULES_AGAIN_NS);
    snprintf(host->rules_error, sizeof(host->rules_error), "%s", error);
    pthread_mutex_unlock(&fetch->crawl->lock);
}

static void set_known(struct fetch *fetch, const struct crawl_robots *robots)
{
    struct crawl_host *host = fetch->host;
    uint64_t delay_ns = CRAWL_WAIT_MAX_NS;
    if (robots->delay_ms < CRAWL_WAIT_MAX_NS / SKUA_NS_PER_MS)
        delay_ns = robots->delay_ms * SKUA_NS_PER_MS;
    pthread_mutex_lock(&fetch->crawl->lock);
    host->robots = *robots;
    host->rules = CRAWL_RULES_KNOWN;
    if (host->delay_ns < delay_ns)
        host->delay_ns = delay_ns;
    /* The request for this file has been one. */
    uint64_t next_ns = skua_after(delay_ns);
    if (host->next_ns < next_ns)
        host->next_ns = next_ns;
    pthread_mutex_unlock(&fetch->crawl->lock);
}

static int take_rules(struct fetch *fetch, const struct crawl_request *request)
{
    struct crawl_robots robots = {0};
    const struct crawl_text *body = &request->body;
    if (request->status >= 500) {
        set_unreachable(fetch, request->error);
        return 0;
    }
    if (request->status >= 200 && request->status <= 299 && body->size > 0) {
        /* If it cannot go there it is done here. */
        if (body->size > CRAWL_INLINE_BYTES)
            (void)skua_hop(skua_executor_cpu(NULL));
        int rc = skua_crawl_robots_parse(&robots, body->data, body->size, fetch->crawl->agent);
        (void)skua_hop_back();
        if (rc < 0)
            return rc;
    }
    set_known(fetch, &robots);
    return 0;
}

/* One hop. Returns 0 with an answer; -ELOOP if that sends us on, to *@url; else as a request. */
static int ask(struct fetch *fetch, struct crawl_request *request, struct crawl_url *url)
{
    struct crawl_url next;
    pthread_mutex_lock(&fetch->crawl->lock);
    request->host = skua_crawl_host_get(fetch->crawl, url->origin);
    pthread_mutex_unlock(&fetch->crawl->lock);
    if (request->host == NULL)
        return -ENOMEM;
    request->url = url->text;
    int rc = skua_crawl_request(request);
    skua_crawl_host_unref(fetch->crawl, request->host);
    if (rc < 0 || request->redirect == NULL)
        return rc;
    /* One that leads nowhere is as good as none. */
    if (skua_crawl_url_parse(&next, request->redirect, url->text) < 0)
        return 0;
    skua_crawl_url_fini(url);
    *url = next;
    return -ELOOP;
}

static intptr_t fetch_rules(void *arg)
{
    struct fetch *fetch = arg;
    struct crawl_request request = {
        .crawl = fetch->crawl,
        .keep = CRAWL_KEEP_ALL,
        .body_max = CRAWL_ROBOTS_BYTES,
        .cut = true,
    };
    struct crawl_url url;
    /* Somebody may have been here since the caller looked. */
    if (are_known(fetch->crawl, fetch->host))
        return 0;
    int rc = skua_crawl_url_parse(&url, fetch->host->origin, NULL);
    if (rc < 0)
        return rc;
    struct crawl_url root = url;
    rc = skua_crawl_url_parse(&url, "/robots.txt", root.text);
    skua_crawl_url_fini(&root);
    if (rc < 0)
        return rc;
    unsigned hops = 0;
    do {
        rc = ask(fetch, &request, &url);
    } while (rc == -ELOOP && hops++ < RULES_REDIRECTS);
    /* Where redirects do not end there is no file. */
    if (rc == 0 || rc == -ELOOP) {
        rc = take_rules(fetch, &request);
    } else if (rc != -ECANCELED && rc != -ENOMEM) {
        set_unreachable(fetch, request.error);
        rc = 0;
    }
    skua_crawl_request_fini(&request);
    skua_crawl_url_fini(&url);
    return rc;
}

/* The rules do not change once they are known, and the caller's reference keeps the host. */
static bool is_allowed(const struct crawl_host *host, const struct crawl_url *url)
{
    const char *path = url->text + url->path_begin;
    size_t size = url->size - url->path_begin;
    if (skua_crawl_robots_cost(&host->robots, size) > RULES_INLINE_STEPS)
        (void)skua_hop(skua_executor_cpu(NULL));
    bool allowed = skua_crawl_robots_allow(&host->robots, path, size);
    (void)skua_hop_back();
    return allowed;
}

int skua_crawl_rules_check(struct crawl *crawl, struct crawl_host *host,
                           const struct crawl_url *url, char *error, size_t error_size)
{
    struct fetch fetch = {crawl, host};
    if (!are_known(crawl, host)) {
        intptr_t rc = skua_single_flight_call(&crawl->flight, host->origin, strlen(host->origin),
                                              fetch_rules, &fetch, NULL);
        if (rc < 0) {
            snprintf(error, error_size, "%s", rc == -ENOMEM ? "out of memory" : "interrupted");
            return rc == -ENOMEM ? -ENOMEM : -ECANCELED;
        }
    }
    pthread_mutex_lock(&crawl->lock);
    bool unreachable = host->rules == CRAWL_RULES_UNREACHABLE;
    if (unreachable)
        snprintf(error, error_size, "robots.txt: %s", host->rules_error);
    pthread_mutex_unlock(&crawl->lock);
    if (unreachable)
        return -EHOSTUNREACH;
    if (is_allowed(host, url))
        return 0;
    snprintf(error, error_size, "disallowed by robots.txt");
    return -EACCES;
}
