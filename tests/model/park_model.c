/*
 * tests/model/park_model.c - explores the waits of sched/agent.h, the real functions: POKE, CLEAR,
 * COMMIT, RESOLVE, and the join of a stolen job (JOIN, DONE in sched/fork.h).
 *
 * Build: this file, explorer.c, memory.c and mutants.c with -DSKUA_DEBUG, all with -include
 * model_atomics.h (see there). For what it does, and its arguments, see mutants.h.
 *
 * Thread 0 is the agent; the others end its wait, interrupt it, or unpark it. Its stack is a plain
 * location: whoever makes it ready touches it, in the stead of the worker that resumes it.
 *
 * COPIES  What is taken from sched/worker.c (skua_thread_post), wait.c (skua_agent_interrupt,
 *         park_thread), task.c (skua_park, skua_unpark, take_token) and fork.c (skua_fork_wait,
 *         stolen_main) stands here with its orders, without runtimes.
 */
#include "explorer.h"
#include "model_atomics.h"
#include "mutants.h"

#include "core/fork_deque.h"
#include "sched/agent.h"

/*
 * agent.h: CLEAR, COMMIT, POKE twice, RESOLVE, resumed, abandon, unpark. Here: the interrupt, its
 * reason stored and looked at, the queue twice, the futex, JOIN twice, DONE, the result, the token
 * three times, and a source twice.
 */
#define LABELS 23u
#define RESULT 42u
#define ROUNDS_MAX 5u

static struct skua_agent agent;
static struct skua_fork_slot slot;
static uint64_t agent_stack; /* plain */
static uint64_t value;       /* plain: what an event brings */
static _Atomic uint32_t queued;
static _Atomic bool armed;
static _Atomic bool cancelled;
static _Atomic uint32_t token;

/* ---- copies ---------------------------------------------------------------------------------- */

/* In a run queue, and taken from it by a worker, which switches to the stack. */
static void schedule(void)
{
    model_plain_write(&agent_stack, 1);
    if (atomic_fetch_add_explicit(&queued, 1, memory_order_release) != 0)
        model_fail("made ready twice");
}

/* A thread is woken by its futex, which is waited for below, not modelled. */
static void resolve(enum skua_reason reason)
{
    enum skua_agent_type type = skua_agent_type(&agent);
    if (skua_agent_resolve(&agent, reason) == SKUA_RESOLVE_WAITING && type == SKUA_AGENT_TASK)
        schedule();
}

static void interrupt(void)
{
    atomic_store_explicit(&agent.poked, true, memory_order_seq_cst); /* POKE */
    resolve(SKUA_REASON_INTERRUPT);
}

/* A task: skua_wait_park(), and what its worker does after the switch. */
static enum skua_reason park(bool looks_at_poke)
{
    model_plain_write(&agent_stack, 0);
    if (!skua_agent_commit(&agent))
        schedule();
    else if (looks_at_poke && skua_agent_poked(&agent))
        interrupt();
    (void)MODEL_AWAIT(&queued, UINT32_MAX, 1, memory_order_acquire);
    atomic_store_explicit(&queued, 0, memory_order_relaxed);
    model_plain_write(&agent_stack, 0);
    return skua_agent_resumed(&agent);
}

/* A thread: park_thread(). */
static enum skua_reason park_thread(void)
{
    if (skua_agent_commit(&agent)) {
        if (skua_agent_poked(&agent))
            (void)skua_agent_resolve(&agent, SKUA_REASON_INTERRUPT);
        (void)MODEL_AWAIT(&agent.state, SKUA_AGENT_PHASE_MASK, SKUA_AGENT_RESOLVED,
                          memory_order_acquire);
    }
    return skua_agent_resumed(&agent);
}

static bool is_cancelled(void)
{
    return atomic_load_explicit(&cancelled, memory_order_seq_cst);
}

static bool take_token(void)
{
    return atomic_load_explicit(&token, memory_order_seq_cst) &&
           atomic_exchange_explicit(&token, 0, memory_order_seq_cst);
}

/* As skua_fork_wait(). */
static void fork_wait(void)
{
    if (__atomic_load_n(&slot.state, __ATOMIC_ACQUIRE) == SKUA_JOB_DONE) /* [result] */
        return;
    skua_agent_prepare(&agent, SKUA_WAIT_JOIN, true);
    uintptr_t expected = 0;
    /* JOIN; acquire on failure: [result] */
    if (!__atomic_compare_exchange_n(&slot.state, &expected, (uintptr_t)&agent, false,
                                     __ATOMIC_RELEASE, __ATOMIC_ACQUIRE)) {
        (void)skua_agent_abandon(&agent);
        return;
    }
    (void)park(true);
}

/* ---- threads --------------------------------------------------------------------------------- */

/* Waits for an event until it is cancelled. */
static void wait_for_event(bool is_thread, bool looks_at_poke)
{
    for (unsigned round = 0; round < ROUNDS_MAX; round++) {
        skua_agent_prepare(&agent, SKUA_WAIT_FUTURE, false);
        if (is_cancelled()) {
            if (skua_agent_abandon(&agent) && model_plain_read(&value) != RESULT)
                model_fail("abandoned with an event, and its result is not there");
            return;
        }
        atomic_store_explicit(&armed, true, memory_order_release);
        enum skua_reason reason = is_thread ? park_thread() : park(looks_at_poke);
        if (reason == SKUA_REASON_EVENT && model_plain_read(&value) != RESULT)
            model_fail("an event, and its result is not there");
        if (reason != SKUA_REASON_INTERRUPT)
            return;
    }
    model_fail("interrupted again and again");
}

static void task_waits(void)
{
    wait_for_event(false, true);
}

static void task_waits_without_poke(void)
{
    wait_for_event(false, false);
}

static void thread_waits(void)
{
    wait_for_event(true, true);
}

static void joiner(void)
{
    fork_wait();
    if (model_plain_read(&value) != RESULT)
        model_fail("joined, and the result is not there");
}

/* As skua_park(). */
static void parker(void)
{
    for (unsigned round = 0; round < ROUNDS_MAX; round++) {
        skua_agent_prepare(&agent, SKUA_WAIT_PARK, false);
        if (take_token()) {
            (void)skua_agent_abandon(&agent);
            return;
        }
        if (park(true) == SKUA_REASON_EVENT)
            return;
    }
    model_fail("interrupted again and again");
}

/* Advice without a reason: what it was for is over. */
static void late_interrupter(void)
{
    interrupt();
}

static void canceller(void)
{
    atomic_store_explicit(&cancelled, true, memory_order_seq_cst);
    interrupt();
}

/* Sources know the agent once they are armed, between prepare and commit. */
static void await_armed(void)
{
    (void)model_await(&armed, 1, 1, memory_order_acquire, true, MODEL_SITE(&armed));
}

static void event(void)
{
    await_armed();
    model_plain_write(&value, RESULT);
    resolve(SKUA_REASON_EVENT);
}

static void deadline(void)
{
    await_armed();
    resolve(SKUA_REASON_TIMEOUT);
}

/* As stolen_main(). */
static void thief(void)
{
    model_plain_write(&value, RESULT);
    uintptr_t waiter = __atomic_exchange_n(&slot.state, SKUA_JOB_DONE, __ATOMIC_ACQ_REL); /* DONE */
    if (waiter != 0)
        resolve(SKUA_REASON_EVENT);
}

/* As skua_unpark(). */
static void unparker(void)
{
    bool waiting;
    if (skua_agent_unpark(&agent, &waiting)) {
        if (waiting)
            schedule();
        return;
    }
    if (!atomic_exchange_explicit(&token, 1, memory_order_seq_cst))
        interrupt();
}

/* What is written before an unpark is visible after the park. */
static void parker_of_value(void)
{
    parker();
    if (model_plain_read(&value) != RESULT)
        model_fail("unparked, and the value is not there");
}

static void unparker_with_value(void)
{
    model_plain_write(&value, RESULT);
    unparker();
}

/* ---- scenarios ------------------------------------------------------------------------------- */

static void setup(enum skua_agent_type type)
{
    model_init(&agent.state, 0);
    model_init(&agent.poked, 0);
    model_init(&agent.type, 0);
    skua_agent_init(&agent, type);
    model_init(&slot.state, 0);
    model_plain(&agent_stack, 0);
    model_plain(&value, 0);
    atomic_init(&queued, 0);
    atomic_init(&armed, false);
    atomic_init(&cancelled, false);
    atomic_init(&token, 0);
}

static void setup_task(void)
{
    setup(SKUA_AGENT_TASK);
}

static void setup_thread(void)
{
    setup(SKUA_AGENT_THREAD);
}

static void finish(void)
{
    if ((atomic_load_explicit(&agent.state, memory_order_relaxed) & SKUA_AGENT_PHASE_MASK) !=
        SKUA_AGENT_RUNNING)
        model_fail("still waiting");
    if (atomic_load_explicit(&queued, memory_order_relaxed) != 0)
        model_fail("ready, and running");
}

static const struct model_scenario scenarios[] = {
    {"a task is cancelled", setup_task, {task_waits, canceller}, finish},
    {"a task is cancelled twice", setup_task, {task_waits, canceller, canceller}, finish},
    {"an event, and a cancel", setup_task, {task_waits, event, canceller}, finish},
    {"an event, and a deadline", setup_task, {task_waits, event, deadline}, finish},
    {"a thread is cancelled", setup_thread, {thread_waits, canceller}, finish},
    {"a thread's event, and a cancel", setup_thread, {thread_waits, event, canceller}, finish},
    {"a stolen job is joined", setup_task, {joiner, thief}, finish},
    {"a stolen job is joined by a cancelled task", setup_task, {joiner, thief, canceller}, finish},
    {"an event", setup_task, {task_waits, event}, finish},
    {"a task is cancelled, and interrupted late",
     setup_task,
     {task_waits, canceller, late_interrupter},
     finish},
    {"unparked", setup_task, {parker_of_value, unparker_with_value}, finish},
    {"unparked twice", setup_task, {parker, unparker, unparker}, finish},
    {"unparked and interrupted late", setup_task, {parker, unparker, late_interrupter}, finish},
};

static const struct model_scenario broken[] = {
    {"no look at poked after the commit", setup_task, {task_waits_without_poke, canceller}, finish},
};

static const struct model_spared spared[] = {
    {"park_thread", memory_order_acquire, MODEL_READS, 1,
     "skua_agent_resumed() acquires once more"},
    {"take_token", memory_order_seq_cst, MODEL_UPDATES, 1, "the load before it decides"},
};

int main(int argc, char **argv)
{
    static const struct model_suite suite = {.scenarios = scenarios,
                                             .scenario_count = MODEL_COUNT(scenarios),
                                             .spared = spared,
                                             .spared_count = MODEL_COUNT(spared),
                                             .broken = broken,
                                             .broken_count = MODEL_COUNT(broken),
                                             .site_count = LABELS};

    return model_main(&suite, argc, argv);
}
