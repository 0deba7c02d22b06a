/*
 * sim/sim.c - running a function in a simulated world.
 *
 * WHAT   A run is skua_run() on virtual threads (platform/vthread.h) and simulated engines. The
 *        seed makes one sequence of random numbers, drawn for every decision in the order in which
 *        they come up; so an execution is a function of seed and options.
 *
 * STEP   A decision. Before each of them what must always hold is checked: sim_check.c.
 *
 * END    When nothing can run any more the main thread's wait for the first task ends. Then, at the
 *        step limit, and when an invariant does not hold, the tasks are listed, and cancelled. What
 *        does not end even so is leaked, with the threads it is on.
 */
#include <skua/sim.h>

#include <skua/future.h>
#include <skua/runtime.h>
#include <skua/task.h>
#include <skua/time.h>

#include "base/alloc.h"
#include "base/check.h"
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

static uint64_t next_random(uint64_t *state)
{
    /* splitmix64: Steele, Lea, Flood 2014 */
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

uint64_t skua_world_random(struct skua_world *world, uint64_t count)
{
    return count > 1 ? next_random(&world->random) % count : 0;
}

uint64_t skua_world_fault_random(struct skua_world *world, uint64_t count)
{
    return count > 1 ? next_random(&world->fault_random) % count : 0;
}

void skua_world_trace(struct skua_world *world, uint64_t event)
{
    /* FNV-1a on words */
    world->hash = (world->hash ^ event) * UINT64_C(0x100000001B3);
}

static unsigned choose(void *arg, unsigned count)
{
    struct skua_world *world = arg;
    skua_check(!world->is_checking); /* the program's invariant must not wait */
    unsigned chosen = (unsigned)skua_world_random(world, count);
    skua_world_trace(world, (uint64_t)count << 32 | chosen);
    if (++world->steps == world->options.step_limit) {
        world->is_stuck = true;
        skua_vthread_wake_main();
    }
    skua_world_check_step(world);
    return chosen;
}

static bool idle(void *arg)
{
    return skua_world_wake_ready(arg) || skua_world_check_rest(arg);
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
    if (world->is_checking)
        return;
    if (rate != 0 && skua_world_random(world, 1000000) < rate)
        skua_vthread_stall(skua_vthread_now() +
                           skua_world_random(world, world->options.stall_max_ns) + 1);
    skua_vthread_switch();
}

uint64_t skua_sim_random(uint64_t count)
{
    struct skua_world *world = skua_sim_world();
    return world != NULL && !world->is_checking ? skua_world_random(world, count) : 0;
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

static int complete_options(const skua_sim_options *given, skua_sim_options *full)
{
    uint64_t reserved = 0;
    memset(full, 0, sizeof(*full));
    if (given != NULL)
        *full = *given;
    for (size_t i = 0; i < sizeof(full->reserved) / sizeof(full->reserved[0]); i++)
        reserved |= full->reserved[i];
    if (reserved != 0 || full->reserved_rate != 0 || !skua_world_script_is_valid(full) ||
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

/* Why a run has not simply ended, and who was there then. */
static void print_end(const struct skua_world *world, skua_runtime *runtime)
{
    skua_task_info tasks[LIST_MAX];
    const skua_sim_report *report = world->report;
    ssize_t count = skua_runtime_list(runtime, tasks, LIST_MAX);
    (void)fprintf(stderr, "skua: seed %" PRIu64 ": ", report->seed);
    if (world->broken != 0)
        (void)fprintf(stderr, "step %" PRIu64 ": this does not hold: %s; result %d",
                      report->broken_step, report->broken, world->broken);
    else
        (void)fputs(world->is_stuck ? "the step limit is reached" : "nothing can run any more",
                    stderr);
    (void)fprintf(stderr, "; %zd tasks:\n", count);
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
    first->world->is_checked = true;
    intptr_t result = first->fn(first->arg);
    first->world->is_checked = false; /* what it is about may have been in fn's frame */
    return result;
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
    world->runtime = runtime;
    struct first first = {.world = world, .fn = fn, .arg = arg};
    skua_future *future = skua_submit_at(runtime, run_first, &first, "the task of skua_sim_run()");
    intptr_t result = -EDEADLK;
    uint64_t limit_ns = SKUA_FOREVER;
    bool has_ended = skua_await_until(future, limit_ns, &result) == 0;
    world->is_checked = false;
    world->runtime = NULL;
    world->report->is_deadlock = !has_ended && world->broken == 0;
    if ((!has_ended || world->broken != 0) && !world->options.is_quiet)
        print_end(world, runtime);
    if (!has_ended)
        (void)skua_cancel(future);
    world->allocations_count = false;
    rc = skua_runtime_stop(runtime, SKUA_STOP_CANCEL, skua_after(STOP_WITHIN_NS));
    if (!has_ended) {
        (void)skua_future_peek(future, &(intptr_t){0}); /* read */
        skua_future_unref(future);
    }
    if (world->broken != 0)
        return world->broken;
    return rc < 0 || !has_ended ? -EDEADLK : result;
}

intptr_t skua_sim_run(uint64_t seed, const skua_sim_options *options, skua_fn fn, void *arg,
                      skua_sim_report *report)
{
    skua_sim_report own;
    struct skua_world world = {
        .random = seed, .fault_random = ~seed, .hash = UINT64_C(0xCBF29CE484222325)};
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
    world.report->operations = world.counts[SIM_OPERATIONS];
    world.report->allocations = world.counts[SIM_ALLOCATIONS];
    return result;
}
