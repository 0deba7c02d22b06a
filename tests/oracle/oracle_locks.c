/*
 * oracle_locks.c - statements about locks, semaphores, events, conditions, barriers and queues.
 */
#include "oracle.h"

#include <errno.h>

/* The deadline of a "..._within UNITS" statement, or never. */
static uint64_t deadline_of(const struct step *step, bool is_within)
{
    return is_within ? skua_after((uint64_t)oracle_number(step, 1) * UNIT_NS) : SKUA_FOREVER;
}

static intptr_t acquire(struct step *step, bool is_within)
{
    struct object *object = oracle_object(step, is_within ? 2 : 1);
    uint64_t deadline_ns = deadline_of(step, is_within);
    if (object->kind == OBJECT_SEMAPHORE)
        return is_within ? skua_semaphore_acquire_until(&object->semaphore, deadline_ns)
                         : skua_semaphore_acquire(&object->semaphore);
    return is_within ? skua_mutex_lock_until(object->lock, deadline_ns)
                     : skua_mutex_lock(object->lock);
}

static intptr_t do_acquire(struct step *step)
{
    return acquire(step, false);
}

static intptr_t do_acquire_within(struct step *step)
{
    return acquire(step, true);
}

static intptr_t do_release(struct step *step)
{
    struct object *object = oracle_object(step, 1);
    return object->kind == OBJECT_SEMAPHORE ? skua_semaphore_release(&object->semaphore)
                                            : skua_mutex_unlock(object->lock);
}

static intptr_t do_locked(struct step *step)
{
    struct object *object = oracle_object(step, 1);
    if (object->kind == OBJECT_SEMAPHORE)
        return oracle_say_truth(step, skua_semaphore_value(&object->semaphore) == 0);
    return oracle_say_truth(step, skua_mutex_locked(object->lock));
}

static intptr_t do_value(struct step *step)
{
    struct object *object = oracle_object(step, 1);
    if (object->kind == OBJECT_SEMAPHORE)
        return oracle_say(step, (intptr_t)skua_semaphore_value(&object->semaphore));
    return oracle_say(step, object->value);
}

static intptr_t wait_object(struct step *step, bool is_within)
{
    struct object *object = oracle_object(step, is_within ? 2 : 1);
    uint64_t deadline_ns = deadline_of(step, is_within);
    if (object->kind == OBJECT_EVENT)
        return is_within ? skua_event_wait_until(&object->event, deadline_ns)
                         : skua_event_wait(&object->event);
    if (object->kind == OBJECT_CONDITION)
        return is_within ? skua_condition_wait_until(&object->condition, object->lock, deadline_ns)
                         : skua_condition_wait(&object->condition, object->lock);
    return oracle_say(step, is_within ? skua_barrier_wait_until(&object->barrier, deadline_ns)
                                      : skua_barrier_wait(&object->barrier));
}

static intptr_t do_wait(struct step *step)
{
    return wait_object(step, false);
}

static intptr_t do_wait_within(struct step *step)
{
    return wait_object(step, true);
}

/* wait_until CONDITION LEFT OPERATOR RIGHT */
static intptr_t do_wait_until(struct step *step)
{
    struct object *object = oracle_object(step, 1);
    int rc = 0;
    while (rc == 0 && !oracle_holds(step, 2))
        rc = skua_condition_wait(&object->condition, object->lock);
    return rc;
}

static intptr_t do_is_set(struct step *step)
{
    return oracle_say_truth(step, skua_event_is_set(&oracle_object(step, 1)->event));
}

static intptr_t do_notify(struct step *step)
{
    size_t count = step->line.count > 2 ? (size_t)oracle_number(step, 2) : 1;
    return skua_condition_notify(&oracle_object(step, 1)->condition, count);
}

static intptr_t do_notify_all(struct step *step)
{
    return skua_condition_notify_all(&oracle_object(step, 1)->condition);
}

static intptr_t do_new_barrier(struct step *step)
{
    skua_barrier barrier;
    return skua_barrier_init(&barrier, (unsigned)oracle_number(step, 1));
}

static intptr_t do_reset(struct step *step)
{
    return skua_barrier_reset(&oracle_object(step, 1)->barrier);
}

static intptr_t do_abort(struct step *step)
{
    return skua_barrier_abort(&oracle_object(step, 1)->barrier);
}

static intptr_t do_waiting(struct step *step)
{
    return oracle_say(step, (intptr_t)skua_barrier_waiting(&oracle_object(step, 1)->barrier));
}

static intptr_t do_broken(struct step *step)
{
    return oracle_say_truth(step, skua_barrier_broken(&oracle_object(step, 1)->barrier));
}

static intptr_t do_put(struct step *step)
{
    intptr_t item = oracle_number(step, 2);
    return skua_queue_put(oracle_object(step, 1)->queue, &item);
}

static intptr_t do_put_within(struct step *step)
{
    intptr_t item = oracle_number(step, 3);
    return skua_queue_put_until(oracle_object(step, 2)->queue, &item, deadline_of(step, true));
}

static intptr_t do_try_put(struct step *step)
{
    intptr_t item = oracle_number(step, 2);
    return skua_queue_try_put(oracle_object(step, 1)->queue, &item);
}

static intptr_t do_get(struct step *step)
{
    intptr_t item;
    int rc = skua_queue_get(oracle_object(step, 1)->queue, &item);
    return rc < 0 ? rc : oracle_say(step, item);
}

static intptr_t do_get_within(struct step *step)
{
    intptr_t item;
    int rc = skua_queue_get_until(oracle_object(step, 2)->queue, &item, deadline_of(step, true));
    return rc < 0 ? rc : oracle_say(step, item);
}

static intptr_t do_try_get(struct step *step)
{
    intptr_t item;
    int rc = skua_queue_try_get(oracle_object(step, 1)->queue, &item);
    return rc < 0 ? rc : oracle_say(step, item);
}

static intptr_t do_task_done(struct step *step)
{
    return skua_queue_task_done(oracle_object(step, 1)->queue);
}

static intptr_t do_join(struct step *step)
{
    return skua_queue_join(oracle_object(step, 1)->queue);
}

static intptr_t do_join_within(struct step *step)
{
    return skua_queue_join_until(oracle_object(step, 2)->queue, deadline_of(step, true));
}

static intptr_t do_size(struct step *step)
{
    return oracle_say(step, (intptr_t)skua_queue_count(oracle_object(step, 1)->queue));
}

const struct verb oracle_lock_verbs[] = {
    {"acquire", do_acquire},
    {"acquire_within", do_acquire_within},
    {"release", do_release},
    {"locked", do_locked},
    {"value", do_value},
    {"wait", do_wait},
    {"wait_within", do_wait_within},
    {"wait_until", do_wait_until},
    {"is_set", do_is_set},
    {"notify", do_notify},
    {"notify_all", do_notify_all},
    {"new_barrier", do_new_barrier},
    {"reset", do_reset},
    {"abort", do_abort},
    {"waiting", do_waiting},
    {"broken", do_broken},
    {"put", do_put},
    {"put_within", do_put_within},
    {"try_put", do_try_put},
    {"get", do_get},
    {"get_within", do_get_within},
    {"try_get", do_try_get},
    {"task_done", do_task_done},
    {"join", do_join},
    {"join_within", do_join_within},
    {"size", do_size},
    {NULL, NULL},
};
