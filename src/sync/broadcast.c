/*
 * sync/broadcast.c - broadcasts and watches.
 *
 * WHAT   Both are a ring of the last versions of something, numbered without end, and one queue of
 *        those who wait for the next number (struct feed): a watch is a ring of one. A subscriber,
 *        or a watcher, is the number of the version it has come to.
 *
 * WAKES  A new version wakes everybody who waits. They are handed nothing, but look again; their
 *        position is their own, so one who gives up instead takes nothing from anybody. Who is
 *        woken and cancelled, or too late, looks for the last time.
 *
 * INVARIANTS, whenever the lock is free
 *   B1  Number n is in slot n % capacity if next - capacity <= n < next.
 *   B2  A subscriber's position is not over next.
 *   B3  Nobody waits for a number below next, nor at all at a closed feed.
 */
#include "base/alloc.h"
#include "sync/wait_queue.h"

#include <skua/broadcast.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct feed {
    struct skua_spin lock;
    bool closed;   /* this and all below: guarded by lock, but for what is constant */
    uint64_t next; /* the number of the version to come */
    struct skua_wait_queue waiters;
    size_t capacity;  /* constant */
    size_t item_size; /* constant */
    _Atomic uint32_t refs;
    char items[] SKUA_CACHE_ALIGNED;
};

struct skua_subscriber {
    struct feed *feed;
    uint64_t position; /* the number it wants next; guarded by the feed's lock */
};

static struct feed *feed_of_broadcast(skua_broadcast *broadcast)
{
    return (struct feed *)broadcast;
}

static struct feed *feed_of_watch(skua_watch *watch)
{
    return (struct feed *)watch;
}

/* ---- feeds ----------------------------------------------------------------------------------- */

static struct feed *feed_create(size_t item_size, size_t capacity)
{
    size_t bytes;
    if (__builtin_mul_overflow(item_size, capacity, &bytes) ||
        bytes > (size_t)PTRDIFF_MAX - 2 * sizeof(struct feed))
        return NULL;
    /* A multiple of the alignment, as aligned_alloc() wants it. */
    size_t size =
        (sizeof(struct feed) + bytes + SKUA_CACHE_LINE - 1) / SKUA_CACHE_LINE * SKUA_CACHE_LINE;
    struct feed *feed = skua_aligned_alloc(SKUA_CACHE_LINE, size);
    if (feed == NULL)
        return NULL;
    memset(feed, 0, sizeof(*feed));
    feed->capacity = capacity;
    feed->item_size = item_size;
    atomic_init(&feed->refs, 1);
    return feed;
}

static void feed_ref(struct feed *feed)
{
    /* relaxed: the caller's handle keeps it alive meanwhile */
    if (feed != NULL)
        atomic_fetch_add_explicit(&feed->refs, 1, memory_order_relaxed);
}

static void feed_unref(struct feed *feed)
{
    /* acq_rel: the last one frees what the others have used */
    if (feed == NULL || atomic_fetch_sub_explicit(&feed->refs, 1, memory_order_acq_rel) != 1)
        return;
    skua_assert(skua_wait_queue_empty(&feed->waiters));
    free(feed);
}

static char *slot(struct feed *feed, uint64_t number)
{
    return feed->items + number % feed->capacity * feed->item_size;
}

/* Under the lock: everybody who waits is to look again. */
static void wake_all(struct feed *feed, struct skua_wakes *wakes)
{
    struct skua_queued *waiter;
    while ((waiter = skua_wait_queue_pop(&feed->waiters)) != NULL)
        skua_queued_wake(waiter, wakes);
}

static bool is_bad(const struct feed *feed, const void *item)
{
    return feed == NULL || (item == NULL && feed->item_size != 0);
}

static int feed_send(struct feed *feed, const void *item)
{
    if (is_bad(feed, item))
        return -EINVAL;
    struct skua_wakes wakes;
    skua_wakes_init(&wakes);
    skua_vthread_point();
    skua_spin_lock(&feed->lock);
    bool closed = feed->closed;
    if (!closed) {
        if (item != NULL) /* or items have no size */
            memcpy(slot(feed, feed->next), item, feed->item_size);
        feed->next++;
        wake_all(feed, &wakes); /* B3 */
    }
    skua_spin_unlock(&feed->lock);
    skua_wakes_flush(&wakes);
    return closed ? -EPIPE : 0;
}

static int feed_close(struct feed *feed)
{
    if (feed == NULL)
        return -EINVAL;
    struct skua_wakes wakes;
    skua_wakes_init(&wakes);
    skua_vthread_point();
    skua_spin_lock(&feed->lock);
    bool was_closed = feed->closed;
    feed->closed = true;
    wake_all(feed, &wakes); /* B3 */
    skua_spin_unlock(&feed->lock);
    skua_wakes_flush(&wakes);
    return was_closed ? -EALREADY : 0;
}

/* What somebody wants of a feed. */
struct want {
    struct feed *feed;
    void *item;
    uint64_t *position; /* guarded by the feed's lock: the number wanted */
    bool newest;        /* rather than that number: the newest, if it is not below it */
    uint64_t missed;    /* -EOVERFLOW: so many are gone */
};

/* Under the lock: 0, -EAGAIN, -EPIPE, -EOVERFLOW */
static int take(struct want *want)
{
    struct feed *feed = want->feed;
    uint64_t number = *want->position;
    skua_assert(number <= feed->next || want->newest); /* B2; a watcher may come with anything */
    if (number >= feed->next)
        return feed->closed ? -EPIPE : -EAGAIN;
    if (want->newest) {
        number = feed->next - 1;
    } else if (feed->next - number > feed->capacity) {
        want->missed = feed->next - number - feed->capacity;
        *want->position = feed->next - feed->capacity;
        return -EOVERFLOW;
    }
    if (want->item != NULL)                                      /* or items have no size */
        memcpy(want->item, slot(feed, number), feed->item_size); /* B1 */
    *want->position = number + 1;
    return 0;
}

/* Takes what is wanted, or queues up with @node, unless it is NULL. */
static int attempt(struct want *want, struct skua_queued *node)
{
    skua_vthread_point();
    skua_spin_lock(&want->feed->lock);
    int rc = take(want);
    if (rc == -EAGAIN && node != NULL)
        skua_wait_queue_add(&want->feed->waiters, node);
    skua_spin_unlock(&want->feed->lock);
    return rc;
}

static SKUA_NOINLINE int take_until(struct want *want, uint64_t deadline_ns)
{
    for (;;) {
        struct skua_queue_wait wait;
        int begun = skua_queue_wait_begin(&wait, SKUA_WAIT_CHANNEL, false, deadline_ns);
        if (begun == -ECHILD)
            return begun;
        int rc = attempt(want, begun == 0 ? &wait.node : NULL);
        if (rc != -EAGAIN) {
            if (begun == 0)
                skua_queue_wait_abandon(&wait);
            return rc;
        }
        if (begun < 0)
            return begun;
        rc = skua_queue_wait_park(&wait, &want->feed->waiters, &want->feed->lock);
        if (rc < 0)
            return rc;
    }
}

/* ---- broadcasts ------------------------------------------------------------------------------ */

skua_broadcast *skua_broadcast_create(size_t item_size, size_t capacity)
{
    return capacity != 0 ? (skua_broadcast *)feed_create(item_size, capacity) : NULL;
}

skua_broadcast *skua_broadcast_ref(skua_broadcast *broadcast)
{
    feed_ref(feed_of_broadcast(broadcast));
    return broadcast;
}

void skua_broadcast_unref(skua_broadcast *broadcast)
{
    feed_unref(feed_of_broadcast(broadcast));
}

int skua_broadcast_send(skua_broadcast *broadcast, const void *item)
{
    return feed_send(feed_of_broadcast(broadcast), item);
}

int skua_broadcast_close(skua_broadcast *broadcast)
{
    return feed_close(feed_of_broadcast(broadcast));
}

skua_subscriber *skua_subscriber_open(skua_broadcast *broadcast)
{
    struct feed *feed = feed_of_broadcast(broadcast);
    skua_subscriber *subscriber = feed != NULL ? skua_malloc(sizeof(*subscriber)) : NULL;
    if (subscriber == NULL)
        return NULL;
    feed_ref(feed);
    subscriber->feed = feed;
    skua_vthread_point();
    skua_spin_lock(&feed->lock);
    subscriber->position = feed->next;
    skua_spin_unlock(&feed->lock);
    return subscriber;
}

void skua_subscriber_close(skua_subscriber *subscriber)
{
    if (subscriber == NULL)
        return;
    feed_unref(subscriber->feed);
    free(subscriber);
}

int skua_subscriber_try_recv(skua_subscriber *subscriber, void *item, uint64_t *missed)
{
    if (subscriber == NULL || is_bad(subscriber->feed, item))
        return -EINVAL;
    struct want want = {.feed = subscriber->feed, .item = item, .position = &subscriber->position};
    int rc = attempt(&want, NULL);
    if (rc == -EOVERFLOW && missed != NULL)
        *missed = want.missed;
    return rc;
}

int skua_subscriber_recv_until(skua_subscriber *subscriber, void *item, uint64_t *missed,
                               uint64_t deadline_ns)
{
    int rc = skua_subscriber_try_recv(subscriber, item, missed);
    if (rc != -EAGAIN)
        return rc;
    struct want want = {.feed = subscriber->feed, .item = item, .position = &subscriber->position};
    rc = take_until(&want, deadline_ns);
    if (rc == -EOVERFLOW && missed != NULL)
        *missed = want.missed;
    return rc;
}

int skua_subscriber_recv(skua_subscriber *subscriber, void *item, uint64_t *missed)
{
    return skua_subscriber_recv_until(subscriber, item, missed, SKUA_FOREVER);
}

/* ---- watches --------------------------------------------------------------------------------- */

/* Version v has the number v - 1: who has seen version v wants the number v. */

skua_watch *skua_watch_create(size_t value_size, const void *value)
{
    struct feed *feed = value != NULL || value_size == 0 ? feed_create(value_size, 1) : NULL;
    if (feed == NULL)
        return NULL;
    if (value != NULL)
        memcpy(slot(feed, 0), value, value_size);
    feed->next = 1;
    return (skua_watch *)feed;
}

skua_watch *skua_watch_ref(skua_watch *watch)
{
    feed_ref(feed_of_watch(watch));
    return watch;
}

void skua_watch_unref(skua_watch *watch)
{
    feed_unref(feed_of_watch(watch));
}

int skua_watch_set(skua_watch *watch, const void *value)
{
    return feed_send(feed_of_watch(watch), value);
}

int skua_watch_get(skua_watch *watch, void *value, uint64_t *version)
{
    if (is_bad(feed_of_watch(watch), value))
        return -EINVAL;
    uint64_t seen = 0;
    struct want want = {
        .feed = feed_of_watch(watch), .item = value, .position = &seen, .newest = true};
    int rc = attempt(&want, NULL);
    skua_assert(rc == 0); /* there is always a version */
    if (version != NULL)
        *version = seen;
    return rc;
}

int skua_watch_next_until(skua_watch *watch, void *value, uint64_t *version, uint64_t deadline_ns)
{
    if (is_bad(feed_of_watch(watch), value) || version == NULL)
        return -EINVAL;
    struct want want = {
        .feed = feed_of_watch(watch), .item = value, .position = version, .newest = true};
    int rc = attempt(&want, NULL);
    return rc == -EAGAIN ? take_until(&want, deadline_ns) : rc;
}

int skua_watch_next(skua_watch *watch, void *value, uint64_t *version)
{
    return skua_watch_next_until(watch, value, version, SKUA_FOREVER);
}

int skua_watch_close(skua_watch *watch)
{
    return feed_close(feed_of_watch(watch));
}
