/*
 * sim/sim.c - running a function in a simulated world.
 *
 * WHAT   A run is skua_run() on virtual threads (platform/vthread.h) and simulated engines. The
 *        seed makes one sequence of random numbers, drawn for every decision in the order in which
 *        they come up; so an execution is a function of seed and options.
 *
 * END    When nothing can run any more the main thread's wait for the first task ends. Then, and at
 *        the step limit, the tasks are listed, and cancelled. What does not end even so is leaked,
 *        with the threads it is on.
 */
#include <skua/sim.h>

#include <skua/future.h>
#include <skua/runtime.h>
#include <skua/task.h>
#include <skua/time.h>

#include "base/alloc.h"
#include "platform/sanitizer.h"
#include "platform/vthread.h"
#include "sched/runtime_impl.h"
#include "sim/world.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define START_NS SKUA_NS_PER_SEC
#define STEP_LIMIT_DEFAULT UINT64_C(20000000)
#define LATENCY_DEFAULT_NS (100 * SKUA_NS_PER_US)
#define STALL_DEFAULT_NS SKUA_NS_PER_MS
#define LATE_DEFAULT_NS (100 * SKUA_NS_PER_MS)
#define STOP_WITHIN_NS (60 * SKUA_NS_PER_SEC) /* virtual */
#define LIST_MAX 64

/* Of the real thread, which a simulation does not leave. */
static _Thread_local struct skua_world *current_world;

SKUA_NOINLINE struct skua_world *skua_sim_world(void)
{
    return current_world;
}

/* ---- decisions ------------------------------------------------------------------------------- */

static uint64_t next_random(struct skua_world *world)
{
    /* splitmix64: Steele, Lea, Flood 2014 */
    uint64_t z = world->random += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

uint64_t skua_world_random(struct skua_world *world, uint64_t count)
{
    return count > 1 ? next_random(world) % count : 0;
}

void skua_world_trace(struct skua_world *world, uint64_t event)
{
    /* FNV-1a on words */
    world->hash = (world->hash ^ event) * UINT64_C(0x100000001B3);
}

static unsigned choose(void *arg, unsigned count)
{
    struct skua_world *world = arg;
    unsigned chosen = (unsigned)skua_world_random(world, count);
    skua_world_trace(world, (uint64_t)count << 32 | chosen);
    if (++world->steps == world->options.step_limit) {
        world->is_stuck = true;
        skua_vthread_wake_main();
    }
    return chosen;
}

static bool idle(void *arg)
{
    return skua_world_wake_ready(arg);
}

static uint64_t next(void *arg)
{
    return skua_network_next(arg);
}

static void advance(void *arg, uint64_t now_ns)
{
    skua_world_trace(arg, now_ns);
}

/* The running thread may stall: nothing of it happens for a while. */
static void point(void *arg)
{
    struct skua_world *world = arg;
    unsigned rate = world->options.stalls_per_million;
    if (rate != 0 && skua_world_random(world, 1000000) < rate)
        skua_vthread_stall(skua_vthread_now() +
                           skua_world_random(world, world->options.stall_max_ns) + 1);
    skua_vthread_switch();
}

uint64_t skua_sim_random(uint64_t count)
{
    struct skua_world *world = skua_sim_world();
    return world != NULL ? skua_world_random(world, count) : 0;
}

void skua_sim_point(void)
{
    struct skua_world *world = skua_sim_world();
    if (world != NULL)
        point(world);
}

static bool allocation_fails(void)
{
    struct skua_world *world = skua_sim_world();
    return world != NULL && skua_world_allocation_fails(world);
}

/* ---- a run ----------------------------------------------------------------------------------- */

/* Each of the two counters, operations and allocations, must be in order. */
static bool is_valid_script(const skua_sim_options *options)
{
    const skua_sim_fault *last[2] = {NULL, NULL};
    if (options->script == NULL)
        return options->script_count == 0;
    for (size_t i = 0; i < options->script_count; i++) {
        const skua_sim_fault *fault = &options->script[i];
        bool is_allocation = fault->kind == SKUA_SIM_ALLOCATION;
        if ((unsigned)fault->kind >= SKUA_SIM_FAULT_KINDS ||
            (last[is_allocation] != NULL && fault->operation <= last[is_allocation]->operation))
            return false;
        last[is_allocation] = fault;
    }
    return true;
}

static int complete_options(const skua_sim_options *given, skua_sim_options *full)
{
    uint64_t reserved = 0;
    memset(full, 0, sizeof(*full));
    if (given != NULL)
        *full = *given;
    for (size_t i = 0; i < sizeof(full->reserved) / sizeof(full->reserved[0]); i++)
        reserved |= full->reserved[i];
    if (reserved != 0 || full->reserved_rate != 0 || !is_valid_script(full) ||
        skua_network_check(full->network) < 0)
        return -EINVAL;
    if (full->workers == 0)
        full->workers = 2;
    if (full->latency_max_ns == 0)
        full->latency_max_ns = LATENCY_DEFAULT_NS;
    if (full->stall_max_ns == 0)
        full->stall_max_ns = STALL_DEFAULT_NS;
    if (full->late_max_ns == 0)
        full->late_max_ns = LATE_DEFAULT_NS;
    if (full->step_limit == 0)
        full->step_limit = STEP_LIMIT_DEFAULT;
    return 0;
}

static void print_deadlock(const struct skua_world *world, skua_runtime *runtime)
{
    static const char *const what[] = {"nothing can run any more", "the step limit is reached"};
    skua_task_info tasks[LIST_MAX];
    ssize_t count = skua_runtime_list(runtime, tasks, LIST_MAX);
    (void)fprintf(stderr, "skua: seed %" PRIu64 ": %s; %zd tasks:\n", world->report->seed,
                  what[world->is_stuck], count);
    for (ssize_t i = 0; i < count && i < LIST_MAX; i++)
        (void)fprintf(stderr, "  %s%s%s: %s\n", tasks[i].name != NULL ? tasks[i].name : "",
                      tasks[i].name != NULL ? ", " : "",
                      tasks[i].site != NULL ? tasks[i].site : "unknown site", tasks[i].state);
}

/* What the user gave, and where. */
struct first {
    struct skua_world *world;
    skua_fn fn;
    void *arg;
};

/* The first task: from here on allocations may fail. Its own stack is there already. */
static intptr_t run_first(void *arg)
{
    struct first *first = arg;
    first->world->allocations_count = true;
    return first->fn(first->arg);
}

/* In the world, on its main thread. */
static intptr_t run_runtime(struct skua_world *world, skua_fn fn, void *arg)
{
    skua_runtime *runtime;
    skua_options options = {.workers = world->options.workers,
                            .spin_us = -1,
                            .stack_size_bytes = world->options.stack_size_bytes};
    int rc = skua_runtime_start(&runtime, &options);
    if (rc < 0)
        return rc;
    struct first first = {.world = world, .fn = fn, .arg = arg};
    skua_future *future = skua_submit_at(runtime, run_first, &first, "the task of skua_sim_run()");
    intptr_t result = -EDEADLK;
    uint64_t limit_ns = SKUA_FOREVER;
    rc = skua_await_until(future, limit_ns, &result);
    if (rc < 0) {
        world->report->is_deadlock = true;
        if (!world->options.is_quiet)
            print_deadlock(world, runtime);
        (void)skua_cancel(future);
    }
    world->allocations_count = false;
    rc = skua_runtime_stop(runtime, SKUA_STOP_CANCEL, skua_after(STOP_WITHIN_NS));
    if (world->report->is_deadlock) {
        (void)skua_future_peek(future, &(intptr_t){0}); /* read */
        skua_future_unref(future);
        return -EDEADLK;
    }
    return rc < 0 ? -EDEADLK : result;
}

intptr_t skua_sim_run(uint64_t seed, const skua_sim_options *options, skua_fn fn, void *arg,
                      skua_sim_report *report)
{
    skua_sim_report own;
    struct skua_world world = {.random = seed, .hash = UINT64_C(0xCBF29CE484222325)};
    if (fn == NULL || complete_options(options, &world.options) < 0)
        return -EINVAL;
    world.report = report != NULL ? report : &own;
    memset(world.report, 0, sizeof(*world.report));
    world.report->seed = seed;
    world.start_ns = START_NS;
    if (SKUA_TSAN)
        return -ENOTSUP; /* it knows no stacks that are left from several threads */
    skua_sim_set_hooks(&skua_world_hooks);
    /* relaxed: this thread is who needs it */
    atomic_store_explicit(&skua_alloc_fails_hook, allocation_fails, memory_order_relaxed);
    struct skua_vthread_policy policy = {.point = point,
                                         .choose = choose,
                                         .idle = idle,
                                         .next = next,
                                         .advance = advance,
                                         .arg = &world};
    int rc = skua_vthread_begin(&policy, START_NS);
    if (rc < 0)
        return rc;
    current_world = &world;
    intptr_t result = run_runtime(&world, fn, arg);
    world.report->virtual_ns = skua_vthread_now() - START_NS;
    skua_network_end(&world);
    skua_vthread_end();
    current_world = NULL;
    world.report->trace_hash = world.hash;
    world.report->steps = world.steps;
    world.report->operations = world.operations;
    world.report->allocations = world.allocations;
    return result;
}
