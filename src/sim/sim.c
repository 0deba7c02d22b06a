/*
 * sim/sim.c - running a function in a simulated world; sweeping seeds; shrinking faults.
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

/* ---- a run ----------------------------------------------------------------------------------- */

static int complete_options(const skua_sim_options *given, skua_sim_options *full)
{
    uint64_t reserved = 0;
    memset(full, 0, sizeof(*full));
    if (given != NULL)
        *full = *given;
    for (size_t i = 0; i < sizeof(full->reserved) / sizeof(full->reserved[0]); i++)
        reserved |= full->reserved[i];
    for (size_t i = 1; i < full->script_count && full->script != NULL; i++) {
        if (full->script[i].operation <= full->script[i - 1].operation)
            return -EINVAL;
    }
    for (size_t i = 0; i < full->script_count && full->script != NULL; i++) {
        if ((unsigned)full->script[i].kind >= SKUA_SIM_FAULT_KINDS)
            return -EINVAL;
    }
    if (reserved != 0 || (full->script == NULL && full->script_count != 0))
        return -EINVAL;
    if (full->workers == 0)
        full->workers = 2;
    if (full->latency_max_ns == 0)
        full->latency_max_ns = LATENCY_DEFAULT_NS;
    if (full->stall_max_ns == 0)
        full->stall_max_ns = STALL_DEFAULT_NS;
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
    skua_future *future = skua_submit_at(runtime, fn, arg, "the task of skua_sim_run()");
    intptr_t result = -EDEADLK;
    uint64_t limit_ns = SKUA_FOREVER;
    rc = skua_await_until(future, limit_ns, &result);
    if (rc < 0) {
        world->report->is_deadlock = true;
        if (!world->options.is_quiet)
            print_deadlock(world, runtime);
        (void)skua_cancel(future);
    }
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
    if (SKUA_TSAN)
        return -ENOTSUP; /* it knows no stacks that are left from several threads */
    skua_sim_set_hooks(&skua_world_hooks);
    struct skua_vthread_policy policy = {
        .point = point, .choose = choose, .idle = idle, .advance = advance, .arg = &world};
    int rc = skua_vthread_begin(&policy, START_NS);
    if (rc < 0)
        return rc;
    current_world = &world;
    intptr_t result = run_runtime(&world, fn, arg);
    world.report->virtual_ns = skua_vthread_now() - START_NS;
    skua_vthread_end();
    current_world = NULL;
    world.report->trace_hash = world.hash;
    world.report->steps = world.steps;
    world.report->operations = world.operations;
    return result;
}

intptr_t skua_sim_sweep(uint64_t first, uint64_t count, const skua_sim_options *options, skua_fn fn,
                        void *arg, skua_sim_report *report)
{
    for (uint64_t i = 0; i < count; i++) {
        intptr_t result = skua_sim_run(first + i, options, fn, arg, report);
        if (!SKUA_IS_ERROR(result))
            continue;
        if (options == NULL || !options->is_quiet)
            (void)fprintf(stderr,
                          "skua: seed %" PRIu64 " fails with %" PRIdPTR "; it fails again with"
                          " skua_sim_run(%" PRIu64 ", ...)\n",
                          first + i, result, first + i);
        return result;
    }
    return 0;
}

/* ---- shrinking ------------------------------------------------------------------------------- */

struct shrinking {
    skua_sim_options options;
    uint64_t seed;
    skua_fn fn;
    void *arg;
    int runs;
    skua_sim_report last;
};

static bool fails(struct shrinking *s, const skua_sim_fault *faults, size_t count)
{
    static const skua_sim_fault none;
    s->options.script = count > 0 ? faults : &none;
    s->options.script_count = count;
    s->runs++;
    return SKUA_IS_ERROR(skua_sim_run(s->seed, &s->options, s->fn, s->arg, &s->last));
}

int skua_sim_shrink(const skua_sim_options *options, skua_fn fn, void *arg, skua_sim_report *report)
{
    if (fn == NULL || report == NULL || report->fault_count > SKUA_SIM_FAULTS_MAX)
        return -EINVAL;
    struct shrinking *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return -ENOMEM;
    if (options != NULL)
        s->options = *options;
    s->options.is_quiet = true;
    s->seed = report->seed;
    s->fn = fn;
    s->arg = arg;
    skua_sim_fault kept[SKUA_SIM_FAULTS_MAX];
    size_t count = report->fault_count;
    memcpy(kept, report->faults, count * sizeof(kept[0]));
    if (!fails(s, kept, count)) {
        free(s);
        return -EAGAIN;
    }
    /* Leaves out ever smaller parts, as long as it fails without them. */
    for (size_t part = count; part > 0; part /= 2) {
        for (size_t at = 0; at < count;) {
            skua_sim_fault fewer[SKUA_SIM_FAULTS_MAX];
            size_t left_out = skua_min(part, count - at);
            memcpy(fewer, kept, at * sizeof(kept[0]));
            memcpy(fewer + at, kept + at + left_out, (count - at - left_out) * sizeof(kept[0]));
            if (fails(s, fewer, count - left_out)) {
                count -= left_out;
                memcpy(kept, fewer, count * sizeof(kept[0]));
            } else {
                at += left_out;
            }
        }
    }
    (void)fails(s, kept, count);
    *report = s->last;
    int runs = s->runs;
    free(s);
    return runs;
}
