/*
 * sync/map.c - a function over many items, a limited number at a time.
 *
 * A window of slots, each with the future of one item and its watcher. A slot whose future is done
 * is given the next item. See sched/watch.h.
 */
#include "base/alloc.h"
#include "sync/combine_impl.h"

#include <skua/executor.h>
#include <skua/task.h>

#include "sched/await.h"
#include "sched/runtime_impl.h"

#include <errno.h>
#include <stdlib.h>

#define WINDOW_DEFAULT 64u

struct slot {
    struct skua_watcher watcher; /* first: the watch gives this back */
    skua_future *future;         /* NULL: the slot is free */
    size_t index;                /* of its item */
    struct slot *next;           /* free slot */
};

struct mapping {
    const skua_map_options *options;
    skua_fn fn;
    char *items;
    size_t item_size_bytes;
    size_t count;
    intptr_t *results;
    size_t next;    /* item to start */
    size_t running; /* slots in use */
    size_t seen;    /* futures the watch has given back */
    intptr_t errors;
    intptr_t error; /* the first one */
    struct skua_watch watch;
    struct slot *slots;
    size_t slot_count;
    struct slot *free;
};

static int check(const skua_map_options *options, skua_fn fn, const void *items, size_t count)
{
    uint64_t reserved = options->reserved_flags;
    for (size_t i = 0; i < sizeof(options->reserved) / sizeof(options->reserved[0]); i++)
        reserved |= options->reserved[i];
    if (fn == NULL || (items == NULL && count != 0) || reserved != 0)
        return -EINVAL;
    return options->flags == 0 || options->flags == SKUA_GATHER_CANCEL ||
                   options->flags == SKUA_GATHER_COLLECT
               ? 0
               : -EINVAL;
}

static int make_slots(struct mapping *map)
{
    size_t window = map->options->window != 0 ? map->options->window : WINDOW_DEFAULT;
    map->slot_count = skua_min(window, map->count);
    map->slots = skua_calloc(map->slot_count, sizeof(*map->slots));
    if (map->slots == NULL)
        return -ENOMEM;
    for (size_t i = map->slot_count; i-- > 0;) {
        map->slots[i].next = map->free;
        map->free = &map->slots[i];
    }
    return 0;
}

static void record(struct mapping *map, size_t index, intptr_t value)
{
    if (map->results != NULL)
        map->results[index] = value;
    if (SKUA_IS_ERROR(value) && map->errors++ == 0)
        map->error = value;
}

/* Whether no more are to be started, because one has failed. */
static bool has_failed(const struct mapping *map)
{
    return map->errors != 0 && map->options->flags != SKUA_GATHER_COLLECT;
}

static skua_future *start(const struct mapping *map, size_t index)
{
    void *item = map->items + index * map->item_size_bytes;
    if (map->options->executor != NULL)
        return skua_run_in_executor_at(map->options->executor, map->fn, item,
                                       SKUA_SITE("skua_map"));
    return skua_spawn_at(map->fn, item, SKUA_SITE("skua_map"));
}

/* Starts items while there are free slots. False: the rest must wait until something has ended. */
static void start_more(struct mapping *map)
{
    while (map->free != NULL && map->next < map->count && !has_failed(map)) {
        skua_future *future = start(map, map->next);
        if (skua_unlikely(skua_future_kind(future) == SKUA_OBJECT_FAILED)) {
            if (future->value == -EAGAIN && map->running != 0)
                return; /* a full queue: of our own jobs, among others */
            record(map, map->next++, future->value);
            continue;
        }
        struct slot *slot = map->free;
        map->free = slot->next;
        slot->future = future;
        slot->index = map->next++;
        map->running++;
        skua_watch_add(&map->watch, &slot->watcher, future);
    }
}

/* Waits for one to end and takes its result. 0 or -errno. */
static int finish_one(struct mapping *map)
{
    struct skua_watch_until until = {map->seen + 1, false, SKUA_FOREVER};
    int rc = skua_watch_wait(&map->watch, &until);
    if (rc < 0)
        return rc;
    struct slot *slot = (struct slot *)(void *)skua_watch_take(&map->watch);
    (void)skua_watch_remove(&slot->watcher, slot->future);
    map->seen++;
    map->running--;
    record(map, slot->index, skua_combine_take(slot->future));
    slot->future = NULL;
    slot->next = map->free;
    map->free = slot;
    return 0;
}

/* Gives up those that run. */
static void abandon(struct mapping *map, bool cancel)
{
    for (size_t i = 0; i < map->slot_count; i++) {
        struct slot *slot = &map->slots[i];
        if (slot->future == NULL)
            continue;
        (void)skua_watch_remove(&slot->watcher, slot->future);
        if (cancel)
            (void)skua_future_cancel(slot->future);
    }
    for (size_t i = 0; i < map->slot_count; i++) {
        struct slot *slot = &map->slots[i];
        if (slot->future == NULL)
            continue;
        if (cancel) {
            (void)skua_future_wait(slot->future, SKUA_FOREVER, true);
            record(map, slot->index, slot->future->value);
        }
        skua_combine_drop(&slot->future, 1);
    }
}

intptr_t skua_map(const skua_map_options *options, skua_fn fn, void *items, size_t item_size_bytes,
                  size_t count, intptr_t *results)
{
    static const skua_map_options defaults = {0};
    struct mapping map = {.options = options != NULL ? options : &defaults,
                          .fn = fn,
                          .items = items,
                          .item_size_bytes = item_size_bytes,
                          .count = count,
                          .results = results};
    if (skua_unlikely(skua_fork_guard_in_child()))
        return -ECHILD;
    int rc = check(map.options, fn, items, count);
    if (rc < 0 || count == 0)
        return rc;
    rc = make_slots(&map);
    if (rc < 0)
        return rc;
    skua_watch_init(&map.watch, true);
    do {
        start_more(&map);
        rc = map.running != 0 && !has_failed(&map) ? finish_one(&map) : 0;
    } while (rc == 0 && !has_failed(&map) && (map.running != 0 || map.next < count));
    intptr_t error = map.error;
    bool failed = has_failed(&map);
    if (map.running != 0)
        abandon(&map, rc < 0 || map.options->flags == SKUA_GATHER_CANCEL);
    free(map.slots);
    if (rc < 0)
        return rc;
    return failed ? error : map.errors;
}
