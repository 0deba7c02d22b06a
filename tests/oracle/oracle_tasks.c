/*
 * oracle_tasks.c - statements that start tasks and calls, or are blocks of their own: groups,
 * deadlines, "with". They print what they have to say themselves.
 */
#include "oracle.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

typedef intptr_t (*start_fn)(struct step *step, struct instance *instance);

/* DEFINITION as NAME..., or DEFINITION..., from word @index on: @start for each. */
static intptr_t start_each(struct step *step, size_t index, start_fn start)
{
    bool is_named = oracle_is(step, index + 1, "as");
    intptr_t rc = RUN_ON;
    for (size_t i = is_named ? index + 2 : index; i < step->line.count && rc == RUN_ON; i++) {
        const char *name = step->line.words[i];
        const char *task = is_named ? step->line.words[index] : name;
        rc = start(step, oracle_new_instance(step->run, task, name));
    }
    return rc;
}

static intptr_t spawn_one(struct step *step, struct instance *instance)
{
    skua_task_options options = {.name = instance->name};
    (void)step;
    return skua_spawn_with(&options, oracle_body, instance, &instance->future);
}

static intptr_t control_spawn(struct step *step)
{
    return start_each(step, 1, spawn_one);
}

static intptr_t spawn_and_sleep(struct step *step, struct instance *instance)
{
    intptr_t rc = spawn_one(step, instance);
    return rc < 0 ? rc : skua_sleep(UNIT_NS);
}

static intptr_t control_start(struct step *step)
{
    return start_each(step, 1, spawn_and_sleep);
}

static intptr_t spawn_in_scope(struct step *step, struct instance *instance)
{
    char line[128];
    int rc =
        skua_scope_spawn(oracle_object(step, 1)->scope, oracle_body, instance, &instance->future);
    if (rc != -ECANCELED)
        return rc;
    (void)snprintf(line, sizeof(line), "spawn_in %s %s: refused", step->line.words[1],
                   instance->name);
    oracle_print(step->run, step->self, line);
    return RUN_ON;
}

static intptr_t control_spawn_in(struct step *step)
{
    return start_each(step, 2, spawn_in_scope);
}

/* ---- calls ----------------------------------------------------------------------------------- */

static intptr_t call_later(struct step *step, struct instance *instance)
{
    uint64_t delay_ns = (uint64_t)oracle_number(step, 1) * UNIT_NS;
    instance->future = skua_call_later(delay_ns, oracle_body, instance);
    return RUN_ON;
}

static intptr_t control_call_later(struct step *step)
{
    return start_each(step, 2, call_later);
}

static intptr_t call_at(struct step *step, struct instance *instance)
{
    uint64_t when_ns = step->run->start_ns + (uint64_t)oracle_number(step, 1) * UNIT_NS;
    instance->future = skua_call_at(when_ns, oracle_body, instance);
    return RUN_ON;
}

static intptr_t control_call_at(struct step *step)
{
    return start_each(step, 2, call_at);
}

static intptr_t call_soon(struct step *step, struct instance *instance)
{
    (void)step;
    instance->future = skua_call_soon(oracle_body, instance);
    return RUN_ON;
}

static intptr_t control_call_soon(struct step *step)
{
    return start_each(step, 1, call_soon);
}

static intptr_t then_body(intptr_t value, void *arg)
{
    (void)value;
    return oracle_body(arg);
}

static intptr_t call_then(struct step *step, struct instance *instance)
{
    skua_future *future = skua_future_ref(oracle_future(step, 1));
    instance->future = skua_future_then(future, then_body, instance);
    return RUN_ON;
}

static intptr_t control_then(struct step *step)
{
    return start_each(step, 2, call_then);
}

static intptr_t start_thread(struct step *step, struct instance *instance)
{
    (void)step;
    instance->future = skua_run_in_executor(NULL, oracle_body, instance);
    return RUN_ON;
}

static intptr_t control_start_thread(struct step *step)
{
    return start_each(step, 1, start_thread);
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static intptr_t leave_object(struct object *object)
{
    if (object->kind == OBJECT_SEMAPHORE)
        return skua_semaphore_release(&object->semaphore);
    return object->kind == OBJECT_BARRIER ? 0 : skua_mutex_unlock(object->lock);
}

static intptr_t control_with(struct step *step)
{
    struct object *object = oracle_object(step, 1);
    intptr_t rc;
    if (object->kind == OBJECT_SEMAPHORE)
        rc = skua_semaphore_acquire(&object->semaphore);
    else if (object->kind == OBJECT_BARRIER)
        rc = oracle_say(step, skua_barrier_wait(&object->barrier));
    else
        rc = skua_mutex_lock(object->lock);
    oracle_print_step(step, rc);
    if (rc < 0)
        return rc;
    rc = oracle_block(step->self, step->statement->clauses[0].first);
    intptr_t left = leave_object(object);
    return left < 0 ? left : rc;
}

/* The object of a group or timeout; a new one if there is none with its name. */
static struct object *scope_object(struct step *step)
{
    struct run *run = step->run;
    const char *name = oracle_word(step, 1);
    struct object *object = oracle_find_object(run, name);
    if (object != NULL)
        return object;
    if (run->object_count == OBJECTS_MAX)
        oracle_die("too many objects", name);
    object = &run->objects[run->object_count++];
    *object = (struct object){.kind = OBJECT_SCOPE};
    object->name = step->statement->line.words[1];
    return object;
}

/* The errors of children, and of the body, in the step's text. The first is the result. */
static intptr_t say_failures(struct step *step, const skua_scope *scope, intptr_t body)
{
    skua_scope_failure failure = {0};
    intptr_t first = 0;
    char number[24];
    size_t size = (size_t)snprintf(step->text, sizeof(step->text), "failed");
    while (skua_scope_next_failure(scope, &failure)) {
        first = first != 0 ? first : failure.result;
        size += (size_t)snprintf(step->text + size, sizeof(step->text) - size, " %s",
                                 oracle_name_of(failure.result, number));
    }
    if (SKUA_IS_ERROR(body) && body != -ECANCELED) {
        first = first != 0 ? first : body;
        (void)snprintf(step->text + size, sizeof(step->text) - size, " %s",
                       oracle_name_of(body, number));
    }
    return first;
}

/*
 * A group of asyncio: an error of the body is one of its failures, and cancels the children. There
 * it is an exception that passes; here the body says so.
 */
static intptr_t control_group(struct step *step)
{
    skua_scope scope;
    struct object *object = scope_object(step);
    int rc = skua_scope_open(&scope, NULL);
    if (rc < 0)
        return rc;
    object->scope = &scope;
    intptr_t body = oracle_block(step->self, step->statement->clauses[0].first);
    if (SKUA_IS_ERROR(body))
        (void)skua_scope_cancel(&scope);
    (void)skua_scope_wait(&scope);
    intptr_t failed = say_failures(step, &scope, body);
    rc = skua_scope_close(&scope);
    object->scope = NULL;
    if (failed != 0) {
        oracle_print_step(step, 0);
        return failed;
    }
    step->text[0] = '\0';
    intptr_t result = SKUA_IS_ERROR(body) ? body : rc < 0 ? rc : body;
    oracle_print_step(step, result);
    return result;
}

/* timeout NAME UNITS: the scope itself, so that its deadline can be looked at and moved. */
static intptr_t timeout_scope(struct step *step)
{
    skua_scope scope;
    struct object *object = scope_object(step);
    bool is_never = oracle_is(step, 2, "never");
    skua_scope_options options = {.deadline_ns = 0};
    if (!is_never)
        options.deadline_ns = skua_after((uint64_t)oracle_number(step, 2) * UNIT_NS);
    int rc = skua_scope_open(&scope, &options);
    if (rc < 0)
        return rc;
    object->scope = &scope;
    intptr_t body = oracle_block(step->self, step->statement->clauses[0].first);
    object->deadline_ns = skua_scope_deadline(&scope);
    object->is_expired = skua_scope_cancelled(&scope) == SKUA_SCOPE_EXPIRED;
    rc = skua_scope_close(&scope);
    object->scope = NULL;
    return body == -ECANCELED && rc == -ETIMEDOUT ? rc : body;
}

struct timed {
    struct instance *self;
    const struct statement *first;
};

static intptr_t timed_block(void *arg)
{
    struct timed *timed = arg;
    return oracle_block(timed->self, timed->first);
}

/* timeout [NAME] UNITS */
static intptr_t control_timeout(struct step *step)
{
    intptr_t rc;
    struct timed timed = {step->self, step->statement->clauses[0].first};
    if (step->line.count > 2)
        rc = timeout_scope(step);
    else
        rc = skua_timeout((uint64_t)oracle_number(step, 1) * UNIT_NS, timed_block, &timed);
    oracle_print_step(step, rc);
    return rc;
}

/* ---- the rest -------------------------------------------------------------------------------- */

static intptr_t control_as_completed(struct step *step)
{
    skua_as_completed *iterator;
    skua_future *futures[WORDS_MAX];
    bool is_timed = oracle_is(step, 1, "timeout");
    uint64_t deadline_ns =
        is_timed ? skua_after((uint64_t)oracle_number(step, 2) * UNIT_NS) : SKUA_FOREVER;
    size_t count = 0;
    for (size_t i = is_timed ? 3 : 1; i < step->line.count; i++)
        futures[count++] = oracle_future(step, i);
    intptr_t rc = skua_as_completed_open(&iterator, futures, count);
    if (rc < 0)
        return rc;
    step->line.count = 1; /* for print */
    while (rc == 0) {
        intptr_t result = 0;
        ssize_t index = skua_as_completed_next(iterator, deadline_ns);
        if (index == -EALREADY)
            break;
        if (index >= 0)
            (void)skua_future_peek(futures[index], &result);
        rc = index == -ETIMEDOUT ? 1 : index < 0 ? index : result == -ECANCELED ? result : 0;
        if (rc < 0)
            break;
        intptr_t said = index < 0 ? index : oracle_say(step, result);
        oracle_print_step(step, said);
    }
    skua_as_completed_close(iterator);
    return rc < 0 ? rc : RUN_ON;
}

static intptr_t control_clear(struct step *step)
{
    return skua_event_clear(&oracle_object(step, 1)->event);
}

static intptr_t control_set_local(struct step *step)
{
    return skua_local_set(&oracle_object(step, 1)->key, oracle_number(step, 2));
}

/* Gives up what there is of a future, and lets the others run. */
static intptr_t control_drop(struct step *step)
{
    struct instance *instance = oracle_find_instance(step->run, oracle_word(step, 1));
    struct object *object = instance != NULL ? NULL : oracle_object(step, 1);
    skua_future **future = instance != NULL ? &instance->future : &object->future;
    skua_future_unref(*future);
    *future = NULL;
    if (object != NULL) {
        skua_promise_unref(object->promise);
        object->promise = NULL;
    }
    return skua_yield();
}

const struct verb oracle_task_verbs[] = {
    {"spawn", control_spawn},         {"start", control_start},
    {"spawn_in", control_spawn_in},   {"call_later", control_call_later},
    {"call_at", control_call_at},     {"call_soon", control_call_soon},
    {"then", control_then},           {"start_thread", control_start_thread},
    {"with", control_with},           {"group", control_group},
    {"timeout", control_timeout},     {"as_completed", control_as_completed},
    {"clear", control_clear},         {"drop", control_drop},
    {"set_local", control_set_local}, {NULL, NULL},
};
