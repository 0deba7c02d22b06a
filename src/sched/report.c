/*
 * sched/report.c - what the runtime says on its own: an error nobody read, a stack that overflowed;
 * and what it says when asked: information, counters, lists.
 */
#include "platform/clock.h"
#include "platform/fault.h"
#include "platform/safe_print.h"
#include "sched/executor_impl.h"
#include "sched/runtime_impl.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- failures -------------------------------------------------------------------------------- */

static void print_failure(const skua_failure *failure)
{
    char error[64];
    const char *text = strerror_r((int)-failure->result, error, sizeof(error));
    fprintf(stderr, "skua: a task failed and nobody took its result: %s%s%s: %s (%ld)\n",
            failure->name != NULL ? failure->name : "", failure->name != NULL ? ", " : "",
            failure->site != NULL ? failure->site : "unknown site", text, (long)failure->result);
}

void skua_report_failure(const struct skua_task *task)
{
    bool promise = skua_future_kind(&task->future) == SKUA_OBJECT_PROMISE;
    skua_failure failure = {
        .name = promise ? "a promise" : skua_task_given_name(task),
        .site = promise ? NULL : atomic_load_explicit(&task->site, memory_order_relaxed),
        .entry = promise ? NULL : atomic_load_explicit(&task->fn, memory_order_relaxed),
        .result = task->future.value};
    const skua_runtime *runtime = task->runtime;
    if (runtime != NULL && runtime->options.on_failure != NULL)
        runtime->options.on_failure(&failure, runtime->options.on_failure_arg);
    else
        print_failure(&failure);
}

/* ---- blocked workers ------------------------------------------------------------------------- */

#define PRINT_EVERY_NS SKUA_NS_PER_SEC
#define PRINT_FRAMES 8u

static void print_frame(FILE *out, const void *address)
{
    Dl_info info;
    if (dladdr(address, &info) == 0)
        return;
    const char *slash = info.dli_fname != NULL ? strrchr(info.dli_fname, '/') : NULL;
    const char *file = slash != NULL ? slash + 1 : info.dli_fname;
    if (info.dli_sname != NULL)
        fprintf(out, "skua:   %s+0x%zx (%s)\n", info.dli_sname,
                (size_t)((const char *)address - (const char *)info.dli_saddr), file);
    else
        fprintf(out, "skua:   %s+0x%zx\n", file,
                (size_t)((const char *)address - (const char *)info.dli_fbase));
}

/* One write for all of it, so that it does not mix with other output. */
static void print_blockage(const skua_blockage *blockage)
{
    char text[4096];
    FILE *out = fmemopen(text, sizeof(text), "w");
    if (out == NULL)
        return;
    fprintf(out, "skua: worker %u has been blocked for %u ms in ", blockage->worker,
            (unsigned)(blockage->for_ns / SKUA_NS_PER_MS));
    if (blockage->syscall >= 0)
        fprintf(out, "system call %ld by ", blockage->syscall);
    else
        fprintf(out, "the kernel by ");
    if (blockage->name != NULL)
        fprintf(out, "%s, ", blockage->name);
    fprintf(out, "%s\n", blockage->site != NULL ? blockage->site : "unknown site");
    for (size_t i = 0; i < blockage->frame_count && i < PRINT_FRAMES; i++)
        print_frame(out, blockage->frames[i]);
    long length = ftell(out);
    if (fclose(out) == 0 && length > 0)
        fwrite(text, 1, (size_t)length, stderr);
}

void skua_report_blockage(skua_runtime *runtime, const skua_blockage *blockage)
{
    struct skua_blocked *blocked = &runtime->monitor.blocked;
    if (runtime->options.on_blocked != NULL) {
        runtime->options.on_blocked(blockage, runtime->options.on_blocked_arg);
        return;
    }
    uint64_t now_ns = skua_clock_now();
    if (blocked->printed_ns != 0 && now_ns - blocked->printed_ns < PRINT_EVERY_NS)
        return;
    blocked->printed_ns = now_ns;
    print_blockage(blockage);
}

/* ---- stack overflow -------------------------------------------------------------------------- */

static const void *lookup(const void *address)
{
    return skua_stack_find_guard(address);
}

/* On the alternate stack of the faulting thread: async-signal-safe calls only. */
static void report_overflow(const void *hit, const void *address)
{
    const struct skua_stack *stack = hit;
    struct skua_thread *thread = skua_thread_self();
    struct skua_safe_print out;
    skua_safe_print_init(&out);
    skua_safe_print_string(&out, "skua: stack overflow");
    struct skua_task *host = thread != NULL ? thread->host : NULL;
    if (host != NULL && host->stack == stack) {
        struct skua_task *task = thread->task;
        const char *name = skua_task_given_name(task);
        const char *site = atomic_load_explicit(&task->site, memory_order_relaxed);
        skua_safe_print_string(&out, " in task ");
        skua_safe_print_string(&out, name != NULL ? name : "(unnamed)");
        skua_safe_print_string(&out, ": ");
        skua_safe_print_string(&out, site != NULL ? site : "unknown site");
        skua_safe_print_string(&out, ", entry ");
        skua_fn fn = atomic_load_explicit(&task->fn, memory_order_relaxed);
        skua_safe_print_hex(&out, (uint64_t)(uintptr_t)fn);
    }
    skua_safe_print_string(&out, ", stack of ");
    skua_safe_print_decimal(&out, skua_stack_size(stack) / 1024);
    skua_safe_print_string(&out, " KiB, address ");
    skua_safe_print_hex(&out, (uint64_t)(uintptr_t)address);
    skua_safe_print_string(&out, "; see skua_task_options.stack_size_bytes\n");
    skua_safe_print_write(&out, STDERR_FILENO);
}

int skua_overflow_install(void)
{
    return skua_fault_install(lookup, report_overflow);
}

void skua_overflow_uninstall(void)
{
    skua_fault_uninstall();
}

/* ---- information ----------------------------------------------------------------------------- */

/* How the engine works, and why it is this one. */
static void describe_engine(skua_runtime *runtime, char *text, size_t size)
{
    struct skua_engine *engine = runtime->workers[0].engine;
    engine->ops->describe(engine, text, size);
    size_t used = strlen(text);
    if (runtime->engine_refusal != 0)
        (void)snprintf(text + used, size - used, " (io_uring refused: %s)",
                       strerrorname_np(-runtime->engine_refusal));
    else if (runtime->engine_why[0] != '\0')
        (void)snprintf(text + used, size - used, " (%s)", runtime->engine_why);
}

int skua_runtime_info(skua_runtime *runtime, skua_info *info)
{
    if (runtime == NULL || info == NULL)
        return -EINVAL;
    struct skua_stack_pool_info stacks;
    skua_stack_pool_info(runtime->stacks, &stacks);
    *info = (skua_info){.workers = runtime->worker_count,
                        .cpus_allowed = runtime->cpus_allowed,
                        .stack_size_bytes = runtime->options.stack_size_bytes,
                        .stacks_created = stacks.created,
                        .stack_high_water_bytes = stacks.high_water_bytes,
                        .tasks_live = skua_runtime_live(runtime),
                        .stand_ins = skua_runtime_present(runtime) - runtime->worker_count,
                        /* relaxed: some recent value */
                        .blocked = atomic_load_explicit(&runtime->blocked, memory_order_relaxed)};
    (void)snprintf(info->engine, sizeof(info->engine), "%s", runtime->engine_ops->name);
    (void)snprintf(info->stack_guard, sizeof(info->stack_guard), "%s", stacks.guard);
    describe_engine(runtime, info->engine_mode, sizeof(info->engine_mode));
    return 0;
}

int skua_runtime_stats(skua_runtime *runtime, unsigned index, skua_worker_stats *stats)
{
    if (runtime == NULL || stats == NULL || index >= skua_runtime_present(runtime))
        return -EINVAL;
    struct skua_worker *worker = &runtime->workers[index];
    struct skua_worker_counters *c = &worker->counters;
    struct skua_engine *engine = worker->engine;
    /* relaxed, all of them: each is some recent value of its own */
#define READ(field) atomic_load_explicit(&(field), memory_order_relaxed)
    *stats = (skua_worker_stats){
        .tasks_run = READ(c->ended),
        .tasks_spawned = READ(c->spawned),
        .tasks_inlined = READ(c->inlined),
        .switches = READ(c->switches),
        .steals = READ(c->steals),
        .steal_attempts = READ(c->steal_attempts),
        .parks = READ(c->parks),
        .wakes = READ(c->wakes),
        .ops_submitted = READ(engine->submitted_total),
        .ops_completed = READ(engine->completed_total),
        .enters = READ(engine->enters_total),
        .offloads = READ(c->offloads),
        .timers_fired = READ(c->timers_fired),
        .stack_high_water_bytes = skua_stack_pool_high_water(runtime->stacks),
        .jobs_stolen = READ(c->jobs_stolen),
        .jobs_published = READ(c->jobs_published),
        .jobs_forced = READ(c->jobs_forced),
        .rescues = READ(c->rescues),
        .ops_rescued = READ(c->ops_rescued),
        .blockages = READ(c->blockages),
    };
#undef READ
    return 0;
}

/* ---- lists ----------------------------------------------------------------------------------- */

struct list {
    skua_task_info *tasks;
    size_t count;
    size_t found;
};

static const char *const wait_names[SKUA_WAIT_KIND_COUNT] = {
    [SKUA_WAIT_NONE] = "running",
    [SKUA_WAIT_FUTURE] = "awaiting",
    [SKUA_WAIT_SLEEP] = "sleeping",
    [SKUA_WAIT_PARK] = "parked",
    [SKUA_WAIT_PARK_INDIRECT] = "parked",
    [SKUA_WAIT_IO] = "in I/O",
    [SKUA_WAIT_JOIN] = "joining",
    [SKUA_WAIT_SCOPE] = "closing a scope",
    [SKUA_WAIT_MUTEX] = "at a mutex",
    [SKUA_WAIT_RWLOCK] = "at a read-write lock",
    [SKUA_WAIT_CONDITION] = "at a condition",
    [SKUA_WAIT_ONCE] = "at a once",
    [SKUA_WAIT_SEMAPHORE] = "at a semaphore",
    [SKUA_WAIT_EVENT] = "at an event",
    [SKUA_WAIT_BARRIER] = "at a barrier",
    [SKUA_WAIT_GROUP] = "at a wait group",
    [SKUA_WAIT_QUEUE] = "at a queue",
    [SKUA_WAIT_CHANNEL] = "at a channel",
    [SKUA_WAIT_SELECT] = "selecting",
    [SKUA_WAIT_DUE] = "not yet due",
    [SKUA_WAIT_SOURCE] = "awaiting its source",
};

static const char *state_name(struct skua_task *task, uint8_t run)
{
    if (run == SKUA_RUN_UNSTARTED || run == SKUA_RUN_PROVIDED)
        return "ready";
    struct skua_task *host = atomic_load_explicit(&task->host, memory_order_seq_cst);
    struct skua_agent *proxy = atomic_load_explicit(&host->proxy, memory_order_seq_cst);
    struct skua_agent *agent = proxy != NULL ? proxy : &host->agent;
    uint32_t state = atomic_load_explicit(&agent->state, memory_order_acquire);
    uint32_t phase = state & SKUA_AGENT_PHASE_MASK;
    uint32_t kind = (state >> SKUA_AGENT_KIND_SHIFT) & 0xff;
    if (phase == SKUA_AGENT_WAITING && kind < SKUA_WAIT_KIND_COUNT)
        return wait_names[kind];
    return phase == SKUA_AGENT_RESOLVED ? "ready" : "running";
}

static void list_object(void *object, void *arg)
{
    struct skua_task *task = object;
    struct list *list = arg;
    uint8_t run = atomic_load_explicit(&task->run, memory_order_acquire);
    if (run == SKUA_RUN_FREE || run == SKUA_RUN_ENDED)
        return;
    enum skua_object_kind kind = skua_future_kind(&task->future);
    if (kind != SKUA_OBJECT_TASK && kind != SKUA_OBJECT_JOB)
        return;
    size_t at = list->found++;
    if (at >= list->count)
        return;
    skua_task_info *info = &list->tasks[at];
    *info = (skua_task_info){.name = skua_task_given_name(task),
                             .site = atomic_load_explicit(&task->site, memory_order_relaxed),
                             .entry = atomic_load_explicit(&task->fn, memory_order_relaxed),
                             .cancelled =
                                 atomic_load_explicit(&task->cancel, memory_order_relaxed) != 0};
    (void)snprintf(info->kind, sizeof(info->kind), "%s", kind == SKUA_OBJECT_TASK ? "task" : "job");
    (void)snprintf(info->state, sizeof(info->state), "%s", state_name(task, run));
}

ssize_t skua_runtime_list(skua_runtime *runtime, skua_task_info *tasks, size_t count)
{
    if (runtime == NULL || (tasks == NULL && count != 0))
        return -EINVAL;
    struct list list = {.tasks = tasks, .count = count};
    if (skua_runtime_pin(runtime)) { /* state_name() looks behind proxies */
        skua_slab_for_each(runtime->objects, list_object, &list);
        skua_runtime_unpin(runtime);
    }
    return (ssize_t)list.found;
}
