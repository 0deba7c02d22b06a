/*
 * sim/sim_check.c - what must hold in a simulation, before every decision and at every rest.
 *
 * STEP    Before every decision each virtual thread but the one that asks is stopped at a point, in
 *         a wait, or in a spin; that one is at a point or in a wait, too. There are points at the
 *         beginning of calls, and between the end of a wait and the queueing of who waited; none
 *         where a lock is held, but for engine_lock and those of a select's channels. So these
 *         hold, whatever the calls are:
 *           C1  An op is in one engine's list once, from its submit to its completion; as many are
 *               in flight as the engine counts, and it has completed all the others.
 *           C2  What is in a run queue, a next slot or the inject queue is there once, has not been
 *               freed, and does not wait (agent.h, I1); nor does it run.
 *
 * REST    When no thread can run, none of them stalls, and all workers are counted as sleeping, no
 *         call is half done on any of them: time is about to go on. Then:
 *           C3  No task is in those queues (idle.h, J2).
 *           C4  Every task that has started, and is with no executor, waits; so does a dormant one.
 *               One whose wait has ended, and that is in no queue, is a lost wake.
 *           C5  A task that waits for its ops has a worker whose engine has ops in flight.
 *
 * PROGRAM The program's own invariant, at every step, after C1 and C2.
 */
#include "sim/world.h"

#include "platform/vthread.h"
#include "sched/runtime_impl.h"

#include <errno.h>

#define QUEUED_MAX 64u /* more than that are compared with nothing: it would take too long */

static void break_off(struct skua_world *world, int result, const char *what)
{
    world->is_checked = false;
    world->broken = result;
    world->report->broken = what;
    world->report->broken_step = world->steps;
    skua_vthread_wake_main();
}

/* ---- queues ---------------------------------------------------------------------------------- */

struct queued {
    skua_runtime *runtime;
    const char *broken;
    unsigned count;
    const struct skua_task *tasks[QUEUED_MAX];
};

static uint32_t phase_of(const struct skua_task *task)
{
    /* relaxed, here and below: a simulation is one thread */
    return atomic_load_explicit(&((struct skua_task *)(uintptr_t)task)->agent.state,
                                memory_order_relaxed) &
           SKUA_AGENT_PHASE_MASK;
}

/* post_host: it has just left its stack, and thread.host has not been told yet. */
static bool is_running(const struct queued *queued, const struct skua_task *task)
{
    unsigned present = skua_runtime_present(queued->runtime);
    for (unsigned i = 0; i < present; i++) {
        const struct skua_thread *thread = &queued->runtime->workers[i].thread;
        if (thread->host == task && thread->post_host != task)
            return true;
    }
    return false;
}

static void note_queued(struct queued *queued, struct skua_task *task)
{
    uint8_t run = atomic_load_explicit(&task->run, memory_order_relaxed);
    bool is_stale = run == SKUA_RUN_INPLACE || run == SKUA_RUN_ENDED;
    uint32_t phase = phase_of(task);
    if (run == SKUA_RUN_FREE)
        queued->broken = "what is in a run queue has not been freed";
    else if (!is_stale && (phase == SKUA_AGENT_PREPARING || phase == SKUA_AGENT_WAITING))
        queued->broken = "a task in a run queue does not wait";
    else if (!is_stale && is_running(queued, task))
        queued->broken = "a task in a run queue does not run";
    for (unsigned i = 0; i < skua_min(queued->count, QUEUED_MAX); i++) {
        if (queued->tasks[i] == task)
            queued->broken = "a task is in a run queue once";
    }
    if (queued->count < QUEUED_MAX)
        queued->tasks[queued->count] = task;
    queued->count++;
}

static void note_worker(struct queued *queued, struct skua_worker *worker)
{
    struct skua_run_queue *queue = &worker->queue;
    struct skua_task *next = atomic_load_explicit(&worker->next, memory_order_relaxed);
    uint64_t tail = atomic_load_explicit(&queue->tail, memory_order_relaxed);
    if (next != NULL)
        note_queued(queued, next);
    for (uint64_t at = atomic_load_explicit(&queue->head, memory_order_relaxed); at < tail; at++)
        note_queued(queued, atomic_load_explicit(&queue->slots[at % SKUA_RUN_QUEUE_SIZE],
                                                 memory_order_relaxed));
}

/* C2, and what C3 wants to know. */
static void look_at_queues(struct queued *queued, skua_runtime *runtime)
{
    queued->runtime = runtime;
    queued->broken = NULL;
    queued->count = 0;
    unsigned present = skua_runtime_present(runtime);
    for (unsigned i = 0; i < present; i++)
        note_worker(queued, &runtime->workers[i]);
    /* Without its lock, which nobody holds across a point. */
    for (struct skua_link *at = runtime->inject.head; at != NULL; at = at->next)
        note_queued(queued, (struct skua_task *)(void *)at);
}

/* ---- steps ----------------------------------------------------------------------------------- */

void skua_world_check_step(struct skua_world *world)
{
    struct queued queued;
    const skua_sim_options *options = &world->options;
    if (!world->is_checked)
        return;
    const char *broken = skua_world_engines_broken(world);
    look_at_queues(&queued, world->runtime);
    if (broken == NULL)
        broken = queued.broken;
    if (broken != NULL) {
        break_off(world, -ENOTRECOVERABLE, broken);
        return;
    }
    if (options->invariant == NULL)
        return;
    world->is_checking = true;
    int rc = options->invariant(options->invariant_arg);
    world->is_checking = false;
    if (rc != 0)
        break_off(world, rc < 0 ? rc : -EPROTO, "the program's invariant");
}

/* ---- rests ----------------------------------------------------------------------------------- */

struct rest {
    skua_runtime *runtime;
    const char *broken;
};

/* C4 and C5, of any object there is or was. */
static void look_at_object(void *object, void *arg)
{
    struct rest *rest = arg;
    struct skua_task *task = object;
    uint8_t run = atomic_load_explicit(&task->run, memory_order_relaxed);
    if (run != SKUA_RUN_STARTED && run != SKUA_RUN_DORMANT)
        return;
    bool is_elsewhere = skua_future_kind(&task->future) != SKUA_OBJECT_TASK ||
                        task->executor != NULL ||
                        atomic_load_explicit(&task->proxy, memory_order_relaxed) != NULL;
    if (is_elsewhere)
        return;
    uint32_t phase = phase_of(task);
    uint16_t worker = atomic_load_explicit(&task->io_worker, memory_order_relaxed);
    if (phase == SKUA_AGENT_RESOLVED)
        rest->broken = "a task whose wait has ended is in a run queue";
    else if (phase != SKUA_AGENT_WAITING)
        rest->broken = "a task waits, or is in a run queue, or runs";
    else if (worker != SKUA_NO_WORKER &&
             skua_gauge_get(&rest->runtime->workers[worker].engine->in_flight) == 0)
        rest->broken = "the ops of a task that waits for them are in flight";
}

bool skua_world_check_rest(struct skua_world *world)
{
    struct queued queued;
    skua_runtime *runtime = world->runtime;
    if (!world->is_checked || skua_vthread_any_stalls())
        return false;
    uint32_t word = atomic_load_explicit(&runtime->idle.word, memory_order_relaxed);
    if (skua_idle_sleeping(word) != skua_runtime_present(runtime))
        return false;
    struct rest rest = {.runtime = runtime};
    look_at_queues(&queued, runtime);
    if (queued.count > 0)
        rest.broken = "no task is ready while all workers sleep";
    else
        skua_slab_for_each(runtime->objects, look_at_object, &rest);
    if (rest.broken != NULL)
        break_off(world, -ENOTRECOVERABLE, rest.broken);
    return rest.broken != NULL;
}
