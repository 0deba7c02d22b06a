/*
 * crawl_queue.c - see crawl_queue.h; TASKS in crawl_state.h.
 */
#include "crawl_queue.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crawl_hosts.h"
#include "crawl_visit.h"

/* ---- lanes ----------------------------------------------------------------------------------- */

struct lane {
    struct crawl *crawl;
    struct crawl_host *host;
};

/* The next page of the host; NULL ends the lane, which is told in the same moment. */
static struct crawl_page *take_page(struct crawl *crawl, struct crawl_host *host)
{
    pthread_mutex_lock(&crawl->lock);
    struct crawl_page *page = skua_crawl_stopping(crawl) ? NULL : host->first;
    if (page != NULL) {
        host->first = page->next;
        if (host->first == NULL)
            host->last = NULL;
    } else {
        host->lanes--;
    }
    pthread_mutex_unlock(&crawl->lock);
    return page;
}

static void end_page(struct crawl *crawl, struct crawl_page *page)
{
    if (page->has_room)
        (void)skua_semaphore_release(&crawl->room);
    skua_crawl_host_unref(crawl, page->host);
    skua_crawl_page_free(page);
}

static intptr_t run_lane(void *arg)
{
    struct lane *lane = arg;
    struct crawl *crawl = lane->crawl;
    struct crawl_page *page;
    while ((page = take_page(crawl, lane->host)) != NULL) {
        skua_crawl_visit(crawl, page);
        end_page(crawl, page);
    }
    skua_crawl_host_unref(crawl, lane->host);
    free(lane);
    return 0;
}

/* The lane has been counted, in lanes and refs. Without it the page waits for another one. */
static void start_lane(struct crawl *crawl, struct crawl_host *host)
{
    struct lane *lane = malloc(sizeof(*lane));
    if (lane != NULL) {
        *lane = (struct lane){crawl, host};
        if (skua_scope_spawn(&crawl->scope, run_lane, lane, NULL) == 0)
            return;
    }
    free(lane);
    pthread_mutex_lock(&crawl->lock);
    host->lanes--;
    host->refs--;
    pthread_mutex_unlock(&crawl->lock);
}

/* ---- the queue ------------------------------------------------------------------------------- */

/* Whether @url is to be visited. With the lock held. */
static bool is_wanted(struct crawl *crawl, const struct crawl_url *url, bool listed)
{
    struct crawl_counters *counters = &crawl->counters;
    uint64_t pages_max = crawl->options.pages_max;
    /* Relaxed: with the lock held nobody else adds to it. */
    uint64_t accepted = atomic_load_explicit(&counters->accepted, memory_order_relaxed);
    if (pages_max > 0 && accepted >= pages_max) {
        skua_crawl_count(&counters->dropped, 1);
        return false;
    }
    int rc = skua_crawl_seen_add(&crawl->seen, url->text, url->size);
    if (rc == -EEXIST && listed)
        skua_crawl_count(&counters->duplicate, 1);
    if (rc < 0 && rc != -EEXIST && !listed)
        skua_crawl_count(&counters->dropped, 1);
    return rc == 0 || (rc != -EEXIST && listed);
}

/* Puts @page at the end of its host's queue. Returns true if a lane is to be started. */
static bool queue_page(struct crawl *crawl, struct crawl_page *page)
{
    struct crawl_host *host = page->host;
    if (host->last != NULL)
        host->last->next = page;
    else
        host->first = page;
    host->last = page;
    skua_crawl_count(&crawl->counters.accepted, 1);
    if (host->lanes >= crawl->options.per_host)
        return false;
    host->lanes++;
    host->refs++;
    return true;
}

static struct crawl_page *make_page(struct crawl_url *url, unsigned depth, bool listed)
{
    struct crawl_page *page = calloc(1, sizeof(*page));
    if (page == NULL) {
        skua_crawl_url_fini(url);
        return NULL;
    }
    page->url = *url;
    page->depth = depth;
    page->listed = listed;
    *url = (struct crawl_url){0};
    return page;
}

void skua_crawl_submit(struct crawl *crawl, struct crawl_url *url, unsigned depth, bool listed,
                       bool has_room)
{
    struct crawl_page *page = make_page(url, depth, listed);
    struct crawl_host *host = NULL;
    bool wanted = true, starts_lane = false;
    if (page != NULL) {
        page->has_room = has_room;
        pthread_mutex_lock(&crawl->lock);
        wanted = is_wanted(crawl, &page->url, listed);
        host = wanted ? skua_crawl_host_get(crawl, page->url.origin) : NULL;
        page->host = host;
        starts_lane = host != NULL && queue_page(crawl, page);
        pthread_mutex_unlock(&crawl->lock);
    }
    if (starts_lane)
        start_lane(crawl, host);
    if (host != NULL)
        return;   /* the page is its lane's now, and may be gone */
    if (wanted) { /* no memory, not even for saying so */
        skua_crawl_count(&crawl->counters.rejected, 1);
        skua_crawl_count(&crawl->counters.failed, 1);
    }
    if (page != NULL)
        skua_crawl_page_free(page);
    if (has_room)
        (void)skua_semaphore_release(&crawl->room);
}

/* ---- the list -------------------------------------------------------------------------------- */

static const char *text_of(int error)
{
    switch (error) {
    case -EPROTONOSUPPORT:
        return "neither http nor https";
    case -ENAMETOOLONG:
        return "URL too long";
    case -ENOMEM:
        return "out of memory";
    default:
        return "not a URL";
    }
}

/* Returns 0; -ECANCELED. */
static int take_url(struct crawl *crawl, const char *text)
{
    struct crawl_url url;
    int rc = skua_crawl_url_parse(&url, text, NULL);
    if (rc < 0) {
        skua_crawl_reject(crawl, text, text_of(rc));
        return 0;
    }
    rc = skua_semaphore_acquire(&crawl->room);
    if (rc < 0) {
        skua_crawl_url_fini(&url);
        return rc;
    }
    skua_crawl_submit(crawl, &url, 0, true, true);
    return 0;
}

/* A line without its end, with room for a 0. Spaces around it, empty ones and '#' are nothing. */
static int take_line(struct crawl *crawl, char *line, size_t size)
{
    while (size > 0 && skua_crawl_is_space(line[size - 1]))
        size--;
    while (size > 0 && skua_crawl_is_space(*line)) {
        line++;
        size--;
    }
    line[size] = 0;
    return size == 0 || *line == '#' ? 0 : take_url(crawl, line);
}

struct list {
    int fd;
    size_t size;   /* of what is in buffer */
    bool skipping; /* the rest of a line that is too long */
    char buffer[2 * CRAWL_URL_MAX + 1];
};

/* Takes the lines that are whole; the rest goes to the beginning of the buffer. */
static int take_lines(struct crawl *crawl, struct list *list)
{
    char *begin = list->buffer;
    char *end = begin + list->size;
    char *newline;
    int rc = 0;
    while (rc == 0 && (newline = memchr(begin, '\n', (size_t)(end - begin))) != NULL) {
        if (!list->skipping)
            rc = take_line(crawl, begin, (size_t)(newline - begin));
        list->skipping = false;
        begin = newline + 1;
    }
    list->size = (size_t)(end - begin);
    memmove(list->buffer, begin, list->size);
    if (list->size == sizeof(list->buffer) - 1) {
        list->buffer[64] = 0; /* enough to find it */
        if (!list->skipping)
            skua_crawl_reject(crawl, list->buffer, text_of(-ENAMETOOLONG));
        list->skipping = true;
        list->size = 0;
    }
    return rc;
}

static int read_lines(struct crawl *crawl, struct list *list)
{
    while (!skua_crawl_stopping(crawl)) {
        ssize_t n =
            skua_read(list->fd, list->buffer + list->size, sizeof(list->buffer) - 1 - list->size);
        if (n == -EAGAIN && skua_poll(list->fd, POLLIN) >= 0)
            continue;
        if (n < 0)
            return (int)n;
        if (n == 0)
            return list->skipping ? 0 : take_line(crawl, list->buffer, list->size);
        list->size += (size_t)n;
        int rc = take_lines(crawl, list);
        if (rc < 0)
            return rc;
    }
    return 0;
}

intptr_t skua_crawl_read_list(void *arg)
{
    struct crawl *crawl = arg;
    const struct crawl_options *options = &crawl->options;
    int rc = 0;
    for (int i = 0; i < options->url_count && rc == 0 && !skua_crawl_stopping(crawl); i++)
        rc = take_url(crawl, options->urls[i]);
    if (crawl->list_fd < 0 || rc < 0)
        return 0;
    struct list *list = calloc(1, sizeof(*list));
    if (list == NULL) {
        crawl->list_error = -ENOMEM;
        return 0;
    }
    list->fd = crawl->list_fd;
    rc = read_lines(crawl, list);
    if (rc != -ECANCELED)
        crawl->list_error = rc;
    free(list);
    return 0;
}
