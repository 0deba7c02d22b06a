/*
 * sync/single_flight.c - calls with the same key share one execution.
 *
 * STATE  A flight is in its bucket as long as somebody, its leader, runs a function for it.
 *        Followers wait in its queue. It ends with the leader's result, which is handed to all of
 *        them, or goes on with the first of them as the leader.
 *
 * INVARIANTS
 *   F1  A flight is freed by its leader, as it takes it out of its bucket, with its queue empty. A
 *       follower that is still queued, under the lock, therefore may touch it, and no other.
 *   F2  A follower that was handed the lead is the leader before the lock is released; it does not
 *       matter that it is cancelled meanwhile: then it hands over in its turn.
 *
 * ORDERING  All of it is guarded by the spin lock; results are ordered by the resolve of the wait
 *        (RESOLVE in sched/agent.h).
 */
#include "base/alloc.h"
#include "platform/vthread.h"
#include "sync/wait_queue.h"

#include <skua/resilience.h>
#include <skua/task.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 16u

/* What a follower's wait ends with, in index of its node. */
enum { HANDED_RESULT = 0, HANDED_LEAD = 1 };

struct flight {
    struct flight *next; /* in the bucket */
    struct skua_wait_queue followers;
    skua_future *leader; /* its task, to be compared only; NULL: a thread */
    size_t key_size;
    unsigned char key[];
};

/* All zero: nobody flies. */
struct group {
    struct skua_spin lock;
    struct flight *buckets[BUCKETS];
};

_Static_assert(sizeof(struct group) <= sizeof(skua_single_flight),
               "skua_single_flight is its opaque storage");

/* One call. */
struct call {
    struct group *group;
    struct flight **bucket;
    const void *key;
    size_t key_size;
    skua_fn fn;
    void *arg;
};

/* FNV-1a, whose low bits are the better ones. */
static unsigned bucket_of(const unsigned char *key, size_t size)
{
    uint32_t hash = UINT32_C(2166136261);
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ key[i]) * UINT32_C(16777619);
    return (hash ^ hash >> 16) % BUCKETS;
}

static struct flight *make_flight(const struct call *call)
{
    struct flight *flight = skua_calloc(1, sizeof(*flight) + call->key_size);
    if (flight == NULL)
        return NULL;
    flight->leader = skua_self();
    flight->key_size = call->key_size;
    if (call->key_size != 0)
        memcpy(flight->key, call->key, call->key_size);
    return flight;
}

/* Under the lock. */
static struct flight *find(const struct call *call)
{
    struct flight *flight = *call->bucket;
    while (flight != NULL &&
           (flight->key_size != call->key_size ||
            (call->key_size != 0 && memcmp(flight->key, call->key, call->key_size) != 0)))
        flight = flight->next;
    return flight;
}

/* Under the lock. */
static void take_out(const struct call *call, struct flight *flight)
{
    struct flight **link = call->bucket;
    while (*link != flight)
        link = &(*link)->next;
    *link = flight->next;
}

/* The leader has @result, or, if it @hands_over, none. */
static void land(const struct call *call, struct flight *flight, intptr_t result, bool hands_over)
{
    struct skua_wakes wakes;
    skua_wakes_init(&wakes);
    skua_vthread_point();
    skua_spin_lock(&call->group->lock);
    struct skua_queued *heir = hands_over ? skua_wait_queue_pop(&flight->followers) : NULL;
    if (heir != NULL) {
        flight->leader = heir->item; /* F2 */
        heir->index = HANDED_LEAD;
        skua_queued_wake(heir, &wakes);
    } else {
        struct skua_queued *node;
        take_out(call, flight); /* F1 */
        while ((node = skua_wait_queue_pop(&flight->followers)) != NULL) {
            node->value = result;
            skua_queued_wake(node, &wakes);
        }
    }
    skua_spin_unlock(&call->group->lock);
    skua_wakes_flush(&wakes);
    if (heir == NULL)
        free(flight);
}

/* Runs the function as the leader of @flight, which has been @handed to it or is new. */
static intptr_t lead(const struct call *call, struct flight *flight, bool handed)
{
    intptr_t result = handed && skua_cancelled() ? -ECANCELED : call->fn(call->arg);
    land(call, flight, result, result == -ECANCELED && skua_cancelled());
    return result;
}

/*
 * Puts a new flight of the caller's up: 1, with *@own. 0: somebody else's is there. -ENOMEM,
 * -EDEADLK.
 */
static int take_off(const struct call *call, struct flight **own)
{
    struct flight *fresh = NULL;
    skua_future *self = skua_self();
    skua_vthread_point();
    skua_spin_lock(&call->group->lock);
    struct flight *flight = find(call);
    if (flight == NULL) { /* memory is not allocated under the lock */
        skua_spin_unlock(&call->group->lock);
        if ((fresh = make_flight(call)) == NULL)
            return -ENOMEM;
        skua_spin_lock(&call->group->lock);
        flight = find(call);
    }
    int rc = flight == NULL;
    if (flight == NULL) {
        fresh->next = *call->bucket;
        *call->bucket = *own = fresh;
        fresh = NULL;
    } else if (self != NULL && flight->leader == self) {
        rc = -EDEADLK;
    }
    skua_spin_unlock(&call->group->lock);
    free(fresh);
    return rc;
}

/*
 * Waits for the flight with the key. 0 with *@result, or with the lead of *@own. -EAGAIN: there is
 * none any more. -ECANCELED, -ECHILD.
 */
static int follow(const struct call *call, intptr_t *result, struct flight **own)
{
    struct skua_queue_wait wait;
    int rc = skua_queue_wait_begin(&wait, SKUA_WAIT_ONCE, false, SKUA_FOREVER);
    if (rc < 0)
        return rc;
    wait.node.item = skua_self();
    wait.node.index = HANDED_RESULT;
    skua_spin_lock(&call->group->lock);
    struct flight *flight = find(call);
    if (flight != NULL)
        skua_wait_queue_add(&flight->followers, &wait.node);
    skua_spin_unlock(&call->group->lock);
    if (flight == NULL) {
        skua_queue_wait_abandon(&wait);
        return -EAGAIN;
    }
    rc = skua_queue_wait_park(&wait, &flight->followers, &call->group->lock);
    if (rc == 0) {
        *own = wait.node.index == HANDED_LEAD ? flight : NULL;
        *result = wait.node.value;
    }
    return rc;
}

intptr_t skua_single_flight_call(skua_single_flight *opaque, const void *key, size_t key_size,
                                 skua_fn fn, void *arg, bool *is_shared)
{
    struct group *group = (struct group *)(void *)opaque;
    if (group == NULL || fn == NULL || (key == NULL && key_size != 0))
        return -EINVAL;
    struct call call = {group, &group->buckets[bucket_of(key, key_size)], key, key_size, fn, arg};
    struct flight *own = NULL;
    intptr_t result = 0;
    int rc;
    do {
        rc = take_off(&call, &own);
        if (rc < 0)
            return rc;
    } while (rc == 0 && (rc = follow(&call, &result, &own)) == -EAGAIN);
    if (rc < 0)
        return rc;
    if (own != NULL)
        result = lead(&call, own, rc == 0);
    if (is_shared != NULL)
        *is_shared = own == NULL;
    return result;
}
