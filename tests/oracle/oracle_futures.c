/*
 * oracle_futures.c - statements about futures, one and several, deadlines and threads.
 */
#include "oracle.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define FUTURES_MAX WORDS_MAX

static intptr_t do_sleep(struct step *step)
{
    return skua_sleep((uint64_t)oracle_number(step, 1) * UNIT_NS);
}

static intptr_t do_yield(struct step *step)
{
    (void)step;
    return skua_yield();
}

static intptr_t do_await(struct step *step)
{
    return oracle_say(step, skua_await(skua_future_ref(oracle_future(step, 1))));
}

static intptr_t do_cancel(struct step *step)
{
    int rc = skua_cancel(oracle_future(step, 1));
    return rc == 0 || rc == -EALREADY ? oracle_say_truth(step, rc == 0) : rc;
}

static intptr_t do_done(struct step *step)
{
    return oracle_say_truth(step, skua_future_peek(oracle_future(step, 1), NULL) == 0);
}

static intptr_t do_cancelled(struct step *step)
{
    intptr_t result = 0;
    (void)skua_future_peek(oracle_future(step, 1), &result);
    return oracle_say_truth(step, result == -ECANCELED);
}

static intptr_t do_result(struct step *step)
{
    intptr_t result;
    int rc = skua_future_peek(oracle_future(step, 1), &result);
    return rc < 0 ? rc : oracle_say(step, result);
}

static intptr_t do_complete(struct step *step)
{
    return skua_promise_set(oracle_object(step, 1)->promise, oracle_number(step, 2));
}

static intptr_t do_fail(struct step *step)
{
    return skua_promise_set(oracle_object(step, 1)->promise, oracle_error_of(oracle_word(step, 2)));
}

static intptr_t do_current(struct step *step)
{
    return oracle_say_truth(step, skua_self() == oracle_future(step, 1));
}

static intptr_t do_name(struct step *step)
{
    (void)snprintf(step->text, sizeof(step->text), "%s", skua_task_name());
    return 0;
}

/* ---- several --------------------------------------------------------------------------------- */

/* The futures of the words from @index on; with a handle for each if @is_owned. */
static size_t futures_of(const struct step *step, size_t index, bool is_owned,
                         skua_future *futures[FUTURES_MAX])
{
    size_t count = 0;
    for (; index < step->line.count; index++) {
        skua_future *future = oracle_future(step, index);
        futures[count++] = is_owned ? skua_future_ref(future) : future;
    }
    return count;
}

/* Where the futures begin after an optional "timeout UNITS", and the deadline that is. */
static size_t timeout_of(const struct step *step, uint64_t *deadline_ns)
{
    bool is_timed = oracle_is(step, 1, "timeout");
    *deadline_ns = is_timed ? skua_after((uint64_t)oracle_number(step, 2) * UNIT_NS) : SKUA_FOREVER;
    return is_timed ? 3 : 1;
}

static intptr_t wait_futures(struct step *step, skua_wait_when when)
{
    skua_future *futures[FUTURES_MAX] = {NULL};
    bool done[FUTURES_MAX];
    uint64_t deadline_ns;
    size_t begin = timeout_of(step, &deadline_ns);
    size_t count = futures_of(step, begin, false, futures);
    ssize_t rc = skua_wait(futures, count, when, deadline_ns, done);
    if (rc < 0)
        return rc;
    size_t size = (size_t)snprintf(step->text, sizeof(step->text), "done");
    for (size_t i = 0; i < count; i++) {
        if (done[i])
            size += (size_t)snprintf(step->text + size, sizeof(step->text) - size, " %s",
                                     step->line.words[begin + i]);
    }
    return 0;
}

static intptr_t do_wait_all(struct step *step)
{
    return wait_futures(step, SKUA_ALL_COMPLETED);
}

static intptr_t do_wait_first(struct step *step)
{
    return wait_futures(step, SKUA_FIRST_COMPLETED);
}

static intptr_t do_wait_exception(struct step *step)
{
    return wait_futures(step, SKUA_FIRST_EXCEPTION);
}

static intptr_t say_results(struct step *step, const intptr_t *results, size_t count)
{
    size_t size = (size_t)snprintf(step->text, sizeof(step->text), "[");
    char number[24];
    for (size_t i = 0; i < count; i++)
        size += (size_t)snprintf(step->text + size, sizeof(step->text) - size, "%s%s",
                                 i > 0 ? " " : "", oracle_name_of(results[i], number));
    (void)snprintf(step->text + size, sizeof(step->text) - size, "]");
    return 0;
}

static intptr_t gather(struct step *step, unsigned flags, bool is_shielded)
{
    skua_future *futures[FUTURES_MAX] = {NULL};
    intptr_t results[FUTURES_MAX];
    size_t count = futures_of(step, 1, true, futures);
    for (size_t i = 0; i < count && is_shielded; i++)
        futures[i] = skua_future_shield(futures[i]);
    intptr_t rc = skua_gather(futures, count, flags, results);
    return SKUA_IS_ERROR(rc) ? rc : say_results(step, results, count);
}

static intptr_t do_gather(struct step *step)
{
    return gather(step, 0, false);
}

static intptr_t do_gather_collect(struct step *step)
{
    return gather(step, SKUA_GATHER_COLLECT, false);
}

static intptr_t do_gather_shields(struct step *step)
{
    return gather(step, 0, true);
}

static intptr_t wait_for(struct step *step, bool is_shielded)
{
    skua_future *future = skua_future_ref(oracle_future(step, 2));
    intptr_t result;
    uint64_t timeout_ns =
        oracle_is(step, 1, "never") ? SKUA_FOREVER : (uint64_t)oracle_number(step, 1) * UNIT_NS;
    if (is_shielded)
        future = skua_future_shield(future);
    int rc = skua_wait_for(future, timeout_ns, &result);
    return rc < 0 ? rc : oracle_say(step, result);
}

static intptr_t do_wait_for(struct step *step)
{
    return wait_for(step, false);
}

static intptr_t do_wait_for_shield(struct step *step)
{
    return wait_for(step, true);
}

static intptr_t do_shield(struct step *step)
{
    skua_future *future = skua_future_ref(oracle_future(step, 1));
    intptr_t result;
    int rc = skua_await_shielded(future, &result);
    if (rc < 0)
        skua_future_unref(future);
    return rc < 0 ? rc : oracle_say(step, result);
}

/* ---- deadlines ------------------------------------------------------------------------------- */

static intptr_t do_reschedule(struct step *step)
{
    struct object *object = oracle_object(step, 1);
    uint64_t deadline_ns = oracle_is(step, 2, "never")
                               ? SKUA_FOREVER
                               : skua_after((uint64_t)oracle_number(step, 2) * UNIT_NS);
    return skua_scope_set_deadline(object->scope, deadline_ns);
}

static intptr_t do_expired(struct step *step)
{
    return oracle_say_truth(step, oracle_object(step, 1)->is_expired);
}

static intptr_t do_when(struct step *step)
{
    const struct object *object = oracle_object(step, 1);
    uint64_t when_ns =
        object->scope != NULL ? skua_scope_deadline(object->scope) : object->deadline_ns;
    if (when_ns != SKUA_FOREVER)
        return oracle_say(step, (intptr_t)((when_ns - step->run->start_ns) / UNIT_NS));
    (void)snprintf(step->text, sizeof(step->text), "never");
    return 0;
}

/* ---- threads, other runtimes, values --------------------------------------------------------- */

static intptr_t do_thread(struct step *step)
{
    const char *name = oracle_word(step, 1);
    struct instance *instance = oracle_new_instance(step->run, name, name);
    instance->future = skua_run_in_executor(NULL, oracle_body, instance);
    return oracle_say(step, skua_await(skua_future_ref(instance->future)));
}

static intptr_t do_submit(struct step *step)
{
    const char *name = oracle_word(step, 1);
    struct instance *instance = oracle_new_instance(step->run, name, name);
    instance->future = skua_submit(skua_runtime_current(), oracle_body, instance);
    return oracle_say(step, skua_await(skua_future_ref(instance->future)));
}

static intptr_t do_run(struct step *step)
{
    const char *name = oracle_word(step, 1);
    struct instance *instance = oracle_new_instance(step->run, name, name);
    return skua_run(NULL, oracle_body, instance);
}

static intptr_t do_reports(struct step *step)
{
    return oracle_say(step, (intptr_t)oracle_reports());
}

static intptr_t do_local(struct step *step)
{
    return oracle_say(step, skua_local_get(&oracle_object(step, 1)->key, 0));
}

const struct verb oracle_future_verbs[] = {
    {"sleep", do_sleep},
    {"yield", do_yield},
    {"await", do_await},
    {"cancel", do_cancel},
    {"done", do_done},
    {"cancelled", do_cancelled},
    {"result", do_result},
    {"complete", do_complete},
    {"fail", do_fail},
    {"current", do_current},
    {"name", do_name},
    {"wait_all", do_wait_all},
    {"wait_first", do_wait_first},
    {"wait_exception", do_wait_exception},
    {"gather", do_gather},
    {"gather_collect", do_gather_collect},
    {"gather_shields", do_gather_shields},
    {"wait_for", do_wait_for},
    {"wait_for_shield", do_wait_for_shield},
    {"shield", do_shield},
    {"reschedule", do_reschedule},
    {"expired", do_expired},
    {"when", do_when},
    {"thread", do_thread},
    {"submit", do_submit},
    {"run", do_run},
    {"local", do_local},
    {"reports", do_reports},
    {NULL, NULL},
};
