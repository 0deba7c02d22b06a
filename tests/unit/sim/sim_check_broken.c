/*
 * Breaks the library's own invariants by hand, one after the other, in a simulation, and wants
 * sim/sim_check.c to name each. A program in C, for it looks behind the library's headers.
 */
#include <skua/skua.h>

#include "sched/runtime_impl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static struct skua_worker *own_worker(void)
{
    return skua_thread_self()->worker;
}

static struct skua_task *task_of(skua_future *future)
{
    return skua_task_of_future(future);
}

static intptr_t park(void *arg)
{
    (void)arg;
    return skua_park(SKUA_FOREVER);
}

/* A child that waits. */
static skua_future *spawn_parked(void)
{
    skua_future *child = skua_spawn(park, NULL);
    (void)skua_sleep(SKUA_NS_PER_MS);
    return child;
}

static intptr_t end_parked(skua_future *child)
{
    (void)skua_unpark(child);
    return skua_await(child);
}

/* Time for all workers to sleep. */
static void rest(void)
{
    (void)skua_sleep(SKUA_NS_PER_MS);
}

/* @task is in the only worker's queue, which is empty, at one step. */
static void queue_for_a_step(struct skua_task *task)
{
    (void)skua_run_queue_push(&own_worker()->queue, task);
    skua_sim_point();
    (void)skua_run_queue_pop(&own_worker()->queue);
}

/* ---- what is broken -------------------------------------------------------------------------- */

static intptr_t nothing(void *arg)
{
    (void)arg;
    skua_future *child = spawn_parked();
    rest();
    return end_parked(child);
}

static intptr_t count_an_op_too_many(void *arg)
{
    (void)arg;
    skua_gauge_add(&own_worker()->engine->in_flight, 1);
    skua_sim_point();
    skua_gauge_add(&own_worker()->engine->in_flight, -1);
    return 0;
}

static intptr_t complete_an_op_twice(void *arg)
{
    (void)arg;
    skua_counter_add(&own_worker()->engine->completed_total, 1);
    skua_sim_point();
    return 0;
}

static intptr_t queue_what_waits(void *arg)
{
    (void)arg;
    skua_future *child = spawn_parked();
    queue_for_a_step(task_of(child));
    return end_parked(child);
}

static intptr_t queue_what_runs(void *arg)
{
    (void)arg;
    queue_for_a_step(skua_thread_self()->task);
    return 0;
}

static intptr_t queue_what_is_freed(void *arg)
{
    (void)arg;
    skua_future *child = skua_spawn(park, NULL);
    struct skua_task *task = task_of(child);
    (void)skua_cancel(child);
    (void)skua_await(child);
    rest();
    queue_for_a_step(task);
    return 0;
}

static intptr_t queue_twice(void *arg)
{
    (void)arg;
    skua_future *child = skua_spawn(park, NULL);
    (void)skua_run_queue_push(&own_worker()->queue, task_of(child));
    skua_sim_point();
    (void)skua_run_queue_pop(&own_worker()->queue);
    (void)skua_cancel(child);
    return skua_await(child);
}

/* Ready, in the next slot of a worker that sleeps and is not told of it. */
static intptr_t leave_a_task_behind(void *arg)
{
    (void)arg;
    skua_runtime *runtime = skua_thread_self()->runtime;
    skua_future *child = skua_spawn(park, NULL);
    if (skua_run_queue_pop(&own_worker()->queue) != task_of(child))
        return -EAGAIN; /* taken */
    rest();
    for (int i = 0; i < 100; i++) /* who has woken with this one sleeps again */
        skua_sim_point();
    struct skua_worker *other = &runtime->workers[own_worker()->index == 0 ? 1 : 0];
    atomic_store_explicit(&other->next, task_of(child), memory_order_relaxed);
    (void)skua_sleep(SKUA_NS_PER_US); /* it would look after a millisecond */
    return end_parked(child);
}

/* Its wait ends, and it is queued after the others have slept. */
static intptr_t lose_a_wake(void *arg)
{
    (void)arg;
    skua_future *child = spawn_parked();
    struct skua_task *task = task_of(child);
    (void)skua_agent_resolve(&task->agent, SKUA_REASON_EVENT);
    rest();
    skua_schedule(task);
    return end_parked(child);
}

static intptr_t lose_an_op(void *arg)
{
    (void)arg;
    skua_future *child = spawn_parked();
    struct skua_task *task = task_of(child);
    uint16_t before = atomic_load_explicit(&task->io_worker, memory_order_relaxed);
    atomic_store_explicit(&task->io_worker, 0, memory_order_relaxed);
    rest();
    atomic_store_explicit(&task->io_worker, before, memory_order_relaxed);
    return end_parked(child);
}

/* ---- all ------------------------------------------------------------------------------------- */

struct breakage {
    unsigned workers;
    skua_fn fn;
    const char *broken; /* NULL: nothing is */
};

static const struct breakage breakages[] = {
    {1, nothing, NULL},
    {1, count_an_op_too_many, "as many ops are in flight as are counted"},
    {1, complete_an_op_twice, "an op is completed once"},
    {1, queue_what_waits, "a task in a run queue does not wait"},
    {1, queue_what_runs, "a task in a run queue does not run"},
    {1, queue_what_is_freed, "what is in a run queue has not been freed"},
    {1, queue_twice, "a task is in a run queue once"},
    {2, leave_a_task_behind, "no task is ready while all workers sleep"},
    {1, lose_a_wake, "a task whose wait has ended is in a run queue"},
    {1, lose_an_op, "the ops of a task that waits for them are in flight"},
};

/* How many were not noticed; 77: there are no simulations here. */
int main(void)
{
    int missed = 0;
    for (size_t i = 0; i < sizeof(breakages) / sizeof(breakages[0]); i++) {
        skua_sim_report report;
        const char *wanted = breakages[i].broken;
        skua_sim_options options = {.workers = breakages[i].workers, .is_quiet = true};
        intptr_t rc = skua_sim_run(i, &options, breakages[i].fn, NULL, &report);
        if (rc == -ENOTSUP)
            return 77;
        if (rc == (wanted != NULL ? -ENOTRECOVERABLE : 0) &&
            (wanted == NULL || (report.broken != NULL && strcmp(report.broken, wanted) == 0)))
            continue;
        missed++;
        (void)fprintf(stderr, "\"%s\": %" PRIdPTR ", \"%s\"\n", wanted != NULL ? wanted : "nothing",
                      rc, report.broken != NULL ? report.broken : "nothing");
    }
    return missed;
}
