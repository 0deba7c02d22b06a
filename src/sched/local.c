/*
 * sched/local.c - see local.h.
 */
#include "sched/local.h"

#include "base/alloc.h"
#include "sched/fork.h"

#include <skua/local.h>

#include <errno.h>
#include <stdlib.h>

/* A value that is to be destroyed with the last list that it is in. */
struct owned {
    _Atomic uint32_t refs;
    void (*destroy)(intptr_t value);
    intptr_t value;
};

struct local {
    const skua_local_key *key;
    intptr_t value;
    struct owned *owned; /* NULL if nobody minds */
};

struct skua_locals {
    _Atomic uint32_t refs;
    uint32_t count;
    struct local locals[]; /* no key twice; constant */
};

static struct skua_locals *list_ref(struct skua_locals *list)
{
    /* relaxed: the caller's own reference, or the lock, keeps it alive meanwhile */
    atomic_fetch_add_explicit(&list->refs, 1, memory_order_relaxed);
    return list;
}

static void owned_unref(struct owned *owned)
{
    /* acq_rel: the last one destroys what the others have used */
    if (owned == NULL || atomic_fetch_sub_explicit(&owned->refs, 1, memory_order_acq_rel) != 1)
        return;
    owned->destroy(owned->value);
    free(owned);
}

static void list_unref(struct skua_locals *list)
{
    /* acq_rel: as above */
    if (list == NULL || atomic_fetch_sub_explicit(&list->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (uint32_t i = list->count; i-- > 0;) /* what was set last may need what was set before */
        owned_unref(list->locals[i].owned);
    free(list);
}

/* Its place in @list, which may be NULL; the end if it is not there. */
static uint32_t find(const struct skua_locals *list, const skua_local_key *key)
{
    uint32_t count = list != NULL ? list->count : 0;
    uint32_t i = 0;
    while (i < count && list->locals[i].key != key)
        i++;
    return i;
}

/* @list, which may be NULL, with another value at @index. NULL: no memory. */
static struct skua_locals *list_with(const struct skua_locals *list, uint32_t index,
                                     const struct local *local)
{
    uint32_t before = list != NULL ? list->count : 0;
    uint32_t count = index < before ? before : index + 1;
    struct skua_locals *made = skua_malloc(sizeof(*made) + count * sizeof(made->locals[0]));
    if (made == NULL)
        return NULL;
    atomic_init(&made->refs, 1);
    made->count = count;
    for (uint32_t i = 0; i < before; i++) {
        made->locals[i] = list->locals[i];
        /* relaxed: @list keeps it alive meanwhile */
        if (i != index && made->locals[i].owned != NULL)
            atomic_fetch_add_explicit(&made->locals[i].owned->refs, 1, memory_order_relaxed);
    }
    made->locals[index] = *local;
    return made;
}

/* Gives @task, which has none, a list. It is its own, or not yet published. */
static void give(struct skua_task *task, struct skua_locals *list)
{
    task->locals = list;
    skua_spin_init(&task->locals_lock);
    /* [first] */
    atomic_fetch_or_explicit(&task->future.flags, SKUA_FUTURE_LOCALS, memory_order_release);
}

static bool has_flag(struct skua_task *task, unsigned flag)
{
    /* acquire: partner [first] */
    return atomic_load_explicit(&task->future.flags, memory_order_acquire) & flag;
}

/* A stolen job takes over what the nearest of its forkers sees who has a list. */
static void take_over(struct skua_task *task)
{
    struct skua_task *from = task;
    while (!has_flag(from, SKUA_FUTURE_LOCALS)) {
        if (!has_flag(from, SKUA_FUTURE_STOLEN) || (from = skua_fork_parent(from)) == NULL)
            return;
    }
    skua_spin_lock(&from->locals_lock);
    struct skua_locals *list = list_ref(from->locals);
    skua_spin_unlock(&from->locals_lock);
    give(task, list);
}

/* What @task sees, for the one who runs it. NULL: nothing. */
static struct skua_locals *list_of(struct skua_task *task)
{
    if (!has_flag(task, SKUA_FUTURE_LOCALS) && has_flag(task, SKUA_FUTURE_STOLEN))
        take_over(task);
    return has_flag(task, SKUA_FUTURE_LOCALS) ? task->locals : NULL;
}

void skua_locals_inherit_slow(struct skua_task *from, struct skua_task *child)
{
    skua_assert(!has_flag(child, SKUA_FUTURE_LOCALS));
    struct skua_locals *list = list_of(from);
    if (list != NULL)
        give(child, list_ref(list));
}

void skua_locals_drop_slow(struct skua_task *task)
{
    struct skua_locals *list = task->locals;
    task->locals = NULL;
    /* relaxed: nobody else looks any more */
    atomic_fetch_and_explicit(&task->future.flags, (uint8_t)~SKUA_FUTURE_LOCALS,
                              memory_order_relaxed);
    list_unref(list);
}

/* ---- public ---------------------------------------------------------------------------------- */

/* The task or job that runs on @thread. */
static struct skua_task *running(const struct skua_thread *thread)
{
    if (thread == NULL)
        return NULL;
    return thread->task != NULL ? thread->task : thread->job;
}

static void replace(struct skua_task *task, struct skua_locals *list)
{
    if (!has_flag(task, SKUA_FUTURE_LOCALS)) {
        give(task, list);
        return;
    }
    skua_spin_lock(&task->locals_lock);
    struct skua_locals *old = task->locals;
    task->locals = list;
    skua_spin_unlock(&task->locals_lock);
    list_unref(old);
}

int skua_local_set(const skua_local_key *key, intptr_t value)
{
    struct skua_thread *thread = skua_thread_self();
    if (thread != NULL && thread->forked)
        return -ECHILD;
    if (key == NULL)
        return -EINVAL;
    struct skua_task *task = running(thread);
    if (task == NULL)
        return -EPERM;
    struct skua_locals *old = list_of(task);
    uint32_t index = find(old, key);
    if (old != NULL && index < old->count && old->locals[index].value == value)
        return 0;
    struct local local = {.key = key, .value = value};
    if (key->destroy != NULL && value != 0) {
        local.owned = skua_malloc(sizeof(*local.owned));
        if (local.owned == NULL)
            return -ENOMEM;
        *local.owned = (struct owned){.refs = 1, .destroy = key->destroy, .value = value};
    }
    struct skua_locals *list = list_with(old, index, &local);
    if (list == NULL) {
        free(local.owned); /* the value stays the caller's */
        return -ENOMEM;
    }
    replace(task, list);
    return 0;
}

intptr_t skua_local_get(const skua_local_key *key, intptr_t fallback)
{
    struct skua_task *task = running(skua_thread_self());
    const struct skua_locals *list = task != NULL ? list_of(task) : NULL;
    uint32_t index = find(list, key);
    return list != NULL && index < list->count ? list->locals[index].value : fallback;
}
