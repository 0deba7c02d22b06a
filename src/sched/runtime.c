/*
 * sched/runtime.c - the runtime's life: start, pin, drain, stop. See runtime_impl.h.
 *
 * START  1 options, memory pools, executors; 2 worker threads, each makes its own engine; 3 all
 *        report; if one failed, all leave; 4 if the kernel refuses the engine and there is another,
 *        2 and 3 once more with that; 5 if that fails, everything made is unmade.
 * STOP   1 phase STOPPING: new work is refused. 2 by cancel: cancel_all, waits are interrupted,
 *        ops cancelled, unstarted jobs dropped. 3 wait until nothing lives, or the deadline. 4
 *        phase EXITING, wait for pins, wake and join the workers, end the executors. 5 memory goes,
 *        but for what future handles still hold.
 */
#include "base/alloc.h"
#include "sched/runtime_impl.h"

#include "platform/clock.h"
#include "platform/futex.h"
#include "platform/thread.h"
#include "sched/dormant.h"
#include "sched/executor_impl.h"
#include "sched/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define DRAIN_LOOK_NS (5 * SKUA_NS_PER_MS) /* see wait_drained() */

/* ---- counting -------------------------------------------------------------------------------- */

uint64_t skua_runtime_live(skua_runtime *runtime)
{
    /* Ends first: an object counted as ended is then counted as started too. */
    uint64_t ended = atomic_load_explicit(&runtime->foreign_ended, memory_order_seq_cst);
    unsigned present = skua_runtime_present(runtime);
    for (unsigned i = 0; i < present; i++)
        ended += atomic_load_explicit(&runtime->workers[i].counters.ended, memory_order_acquire);
    uint64_t started = atomic_load_explicit(&runtime->foreign_started, memory_order_seq_cst);
    present = skua_runtime_present(runtime); /* again: one may have come and ended some */
    for (unsigned i = 0; i < present; i++)
        started +=
            atomic_load_explicit(&runtime->workers[i].counters.spawned, memory_order_acquire);
    return started - ended;
}

void skua_runtime_count_start(struct skua_thread *thread, skua_runtime *runtime)
{
    if (thread != NULL && thread->worker != NULL && thread->runtime == runtime)
        skua_counter_add(&thread->worker->counters.spawned, 1);
    else
        atomic_fetch_add_explicit(&runtime->foreign_started, 1, memory_order_seq_cst);
}

void skua_runtime_count_end(struct skua_thread *thread, skua_runtime *runtime)
{
    bool mine = thread != NULL && thread->runtime == runtime;
    if (skua_likely(mine && thread->worker != NULL)) {
        struct skua_worker *worker = thread->worker;
        uint64_t ended = atomic_load_explicit(&worker->counters.ended, memory_order_relaxed);
        /* release: the stopping thread that sees the count sees what the task did */
        atomic_store_explicit(&worker->counters.ended, ended + 1, memory_order_release);
        if (skua_likely(!skua_runtime_refuses(runtime)))
            return;
    } else {
        /*
         * A thread that is not of this runtime (a cancel of an unstarted task) holds a handle: the
         * memory is there. The count is its last touch but for the futex word beside it.
         */
        atomic_fetch_add_explicit(&runtime->foreign_ended, 1, memory_order_seq_cst);
        if (!skua_runtime_refuses(runtime))
            return;
    }
    atomic_fetch_add_explicit(&runtime->drained, 1, memory_order_seq_cst);
    skua_futex_wake(&runtime->drained, 1);
}

bool skua_runtime_pin(skua_runtime *runtime)
{
    atomic_fetch_add_explicit(&runtime->pins, 1, memory_order_seq_cst);
    if (atomic_load_explicit(&runtime->phase, memory_order_seq_cst) != SKUA_PHASE_EXITING)
        return true;
    skua_runtime_unpin(runtime);
    return false;
}

void skua_runtime_unpin(skua_runtime *runtime)
{
    /* release: partner is the stopping thread's acquire */
    atomic_fetch_sub_explicit(&runtime->pins, 1, memory_order_release);
}

struct skua_slab_pool *skua_runtime_objects(skua_runtime *runtime)
{
    return runtime->objects;
}

/* ---- start ----------------------------------------------------------------------------------- */

bool skua_runtime_worker_ready(skua_runtime *runtime, int error)
{
    pthread_mutex_lock(&runtime->lock);
    runtime->up++;
    if (error < 0 && runtime->start_error == 0)
        runtime->start_error = error;
    else if (error == 0 && runtime->go) /* a stand-in */
        /* release: partner is skua_runtime_present() */
        atomic_store_explicit(&runtime->present, runtime->up, memory_order_release);
    skua_os_condition_broadcast(&runtime->changed);
    while (!runtime->go)
        skua_os_condition_wait(&runtime->changed, &runtime->lock);
    bool ok = runtime->start_error == 0;
    pthread_mutex_unlock(&runtime->lock);
    return ok;
}

int skua_runtime_add_worker(skua_runtime *runtime)
{
    unsigned index = skua_runtime_present(runtime);
    struct skua_worker *worker = &runtime->workers[index];
    unsigned up = index + 1;
    int rc = skua_os_thread_create(&worker->os_thread, skua_worker_main, worker);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&runtime->lock);
    while (runtime->up < up)
        skua_os_condition_wait(&runtime->changed, &runtime->lock);
    rc = runtime->start_error;
    pthread_mutex_unlock(&runtime->lock);
    if (rc < 0)
        skua_os_thread_join(&worker->os_thread);
    return rc;
}

void skua_runtime_workers_quiet(skua_runtime *runtime)
{
    pthread_mutex_lock(&runtime->lock);
    runtime->quiet++;
    skua_os_condition_broadcast(&runtime->changed);
    while (runtime->quiet < skua_runtime_present(runtime) + 1)
        skua_os_condition_wait(&runtime->changed, &runtime->lock);
    pthread_mutex_unlock(&runtime->lock);
}

/* The stopping thread will wake nobody any more either. */
static void stopper_quiet(skua_runtime *runtime)
{
    pthread_mutex_lock(&runtime->lock);
    runtime->quiet++;
    skua_os_condition_broadcast(&runtime->changed);
    pthread_mutex_unlock(&runtime->lock);
}

/* Starts the worker threads and waits for them. 0, or -errno with all of them gone again. */
static int start_workers(skua_runtime *runtime)
{
    unsigned started = 0;
    int rc = 0;
    while (started < runtime->worker_count && rc == 0) {
        struct skua_worker *worker = &runtime->workers[started];
        rc = skua_os_thread_create(&worker->os_thread, skua_worker_main, worker);
        if (rc == 0)
            started++;
    }
    pthread_mutex_lock(&runtime->lock);
    while (runtime->up < started)
        skua_os_condition_wait(&runtime->changed, &runtime->lock);
    if (rc < 0 && runtime->start_error == 0)
        runtime->start_error = rc;
    rc = runtime->start_error;
    runtime->go = true;
    skua_os_condition_broadcast(&runtime->changed);
    pthread_mutex_unlock(&runtime->lock);
    for (unsigned i = 0; rc < 0 && i < started; i++)
        skua_os_thread_join(&runtime->workers[i].os_thread);
    return rc;
}

static void init_workers(skua_runtime *runtime)
{
    for (unsigned i = 0; i < runtime->workers_max; i++) {
        struct skua_worker *worker = &runtime->workers[i];
        *worker = (struct skua_worker){.index = i, .alone = runtime->worker_count == 1};
        worker->thread.worker = worker;
        worker->thread.runtime = runtime;
        skua_list_init(&worker->cancelled);
        skua_spin_init(&worker->timer_lock);
        skua_spin_init(&worker->cancels.lock);
        skua_spin_init(&worker->engine_lock);
        skua_timer_queue_init(&worker->timers);
        skua_run_queue_init(&worker->queue);
    }
}

/* All threads of an attempt that failed are gone. */
static void reset_workers(skua_runtime *runtime)
{
    for (unsigned i = 0; i < runtime->workers_max; i++)
        skua_timer_queue_fini(&runtime->workers[i].timers);
    init_workers(runtime);
    runtime->up = 0; /* without the lock: nobody else is there */
    runtime->start_error = 0;
    runtime->go = false;
}

static int start_on_engine(skua_runtime *runtime)
{
    struct skua_engine_choice choice;
    int rc = skua_engine_choose(runtime->options.engine, &choice);
    if (rc < 0)
        return rc;
    runtime->options.engine = NULL; /* the caller's memory */
    runtime->engine_ops = choice.first;
    runtime->engine_why = choice.why;
    rc = start_workers(runtime);
    if (rc == 0 || choice.second == NULL || !skua_engine_is_refusal(rc))
        return rc;
    reset_workers(runtime);
    runtime->engine_ops = choice.second;
    runtime->engine_refusal = rc;
    return start_workers(runtime);
}

static int make_executors(skua_runtime *runtime)
{
    skua_executor_options cpu = {.name = "skua-cpu",
                                 .threads_max = runtime->options.cpu_threads,
                                 .queue_max = runtime->options.offload_queue_max,
                                 .nice = 5};
    skua_executor_options blocking = {.name = "skua-blocking",
                                      .threads_max = runtime->options.blocking_threads,
                                      .queue_max = runtime->options.offload_queue_max};
    int rc = skua_executor_create_owned(runtime, &cpu, &runtime->cpu);
    return rc < 0 ? rc : skua_executor_create_owned(runtime, &blocking, &runtime->blocking);
}

/* The last object is gone: nothing points here any more. */
static void runtime_free(void *arg)
{
    skua_runtime *runtime = arg;
    free(atomic_load_explicit(&runtime->buffers, memory_order_relaxed));
    free(runtime->workers);
    pthread_mutex_destroy(&runtime->lock);
    skua_os_condition_fini(&runtime->changed);
    free(runtime);
}

/* Frees what the threads used, when there are no threads. */
static void unmake(skua_runtime *runtime)
{
    skua_executor_destroy_owned(runtime->cpu);
    skua_executor_destroy_owned(runtime->blocking);
    if (runtime->workers != NULL) {
        for (unsigned i = 0; i < runtime->workers_max; i++)
            skua_timer_queue_fini(&runtime->workers[i].timers);
    }
    skua_inject_queue_fini(&runtime->inject);
    skua_stack_pool_destroy(runtime->stacks);
    skua_forks_fini(&runtime->forks);
    if (runtime->objects != NULL)
        skua_slab_pool_retire(runtime->objects, runtime_free, runtime);
    else
        runtime_free(runtime);
}

static int make(skua_runtime *runtime)
{
    runtime->objects = skua_slab_pool_create(SKUA_OBJECT_SIZE);
    if (runtime->objects == NULL)
        return -ENOMEM;
    int rc = skua_stack_pool_create(&runtime->stacks, runtime->options.stack_size_bytes);
    if (rc == 0)
        rc = skua_forks_init(&runtime->forks);
    if (rc < 0)
        return rc;
    runtime->workers =
        skua_aligned_alloc(SKUA_CACHE_LINE, sizeof(struct skua_worker) * runtime->workers_max);
    if (runtime->workers == NULL)
        return -ENOMEM;
    init_workers(runtime);
    rc = make_executors(runtime);
    return rc == 0 ? start_on_engine(runtime) : rc;
}

/* Memory for a runtime with its locks and queues, nothing running. */
static skua_runtime *runtime_alloc(const skua_options *options, unsigned cpus)
{
    size_t size = (sizeof(skua_runtime) + SKUA_CACHE_LINE - 1) / SKUA_CACHE_LINE * SKUA_CACHE_LINE;
    skua_runtime *runtime = skua_aligned_alloc(SKUA_CACHE_LINE, size);
    if (runtime == NULL)
        return NULL;
    *runtime =
        (skua_runtime){.options = *options, .worker_count = options->workers, .cpus_allowed = cpus};
    runtime->spin_ns = options->spin_us > 0 ? (uint64_t)options->spin_us * SKUA_NS_PER_US : 0;
    if (options->workers > 1 && options->rescue_us > 0)
        runtime->rescue_ns = (uint64_t)options->rescue_us * SKUA_NS_PER_US;
    if (options->block_us > 0)
        runtime->block_ns = (uint64_t)options->block_us * SKUA_NS_PER_US;
    runtime->hold_ns = skua_min(runtime->block_ns, SKUA_HOLD_NS);
    runtime->workers_max = options->workers;
    if (runtime->block_ns != 0 && runtime->rescue_ns != 0 && options->stand_ins > 0)
        runtime->workers_max += (unsigned)options->stand_ins;
    atomic_init(&runtime->present, options->workers);
    skua_idle_init(&runtime->idle);
    skua_monitor_init(&runtime->monitor);
    skua_inject_queue_init(&runtime->inject);
    pthread_mutex_init(&runtime->lock, NULL);
    skua_os_condition_init(&runtime->changed);
    return runtime;
}

int skua_runtime_start(skua_runtime **out, const skua_options *options)
{
    struct skua_thread *thread = skua_thread_self();
    skua_options full;
    unsigned cpus;
    if (out == NULL)
        return -EINVAL;
    if (skua_fork_guard_in_child())
        return -ECHILD;
    if (thread != NULL)
        return -EPERM;
    int rc = skua_options_complete(options, &full, &cpus);
    if (rc < 0)
        return rc;
    rc = skua_fork_guard_acquire();
    if (rc < 0)
        return rc;
    rc = skua_overflow_install();
    if (rc < 0) {
        skua_fork_guard_release();
        return rc;
    }
    skua_runtime *runtime = runtime_alloc(&full, cpus);
    rc = runtime != NULL ? make(runtime) : -ENOMEM;
    if (rc < 0) {
        if (runtime != NULL)
            unmake(runtime);
        skua_overflow_uninstall();
        skua_fork_guard_release();
        return rc;
    }
    skua_monitor_start(runtime);
    *out = runtime;
    return 0;
}

/* ---- stop ------------------------------------------------------------------------------------ */

/*
 * Ends @object if it is dormant, otherwise interrupts whatever wait it is in; one that is not of a
 * live task does nothing. The caller has pinned the runtime: so the agent behind proxy stays
 * (skua_executor_destroy_owned()).
 */
static void interrupt_object(void *object, void *arg)
{
    struct skua_task *task = object;
    (void)arg;
    uint8_t run = atomic_load_explicit(&task->run, memory_order_acquire);
    if (run == SKUA_RUN_DORMANT)
        (void)skua_dormant_cancel(task);
    if (run != SKUA_RUN_STARTED)
        return;
    struct skua_agent *proxy = atomic_load_explicit(&task->proxy, memory_order_seq_cst);
    skua_agent_interrupt(proxy != NULL ? proxy : &task->agent);
}

static void cancel_everything(skua_runtime *runtime)
{
    atomic_store_explicit(&runtime->cancel_all, true, memory_order_seq_cst);
    skua_executor_cancel_all(runtime->cpu);
    skua_executor_cancel_all(runtime->blocking);
    if (skua_runtime_pin(runtime)) {
        skua_slab_for_each(runtime->objects, interrupt_object, NULL);
        skua_fork_disturb_all(runtime);
        skua_runtime_unpin(runtime);
    }
    unsigned present = skua_runtime_present(runtime);
    for (unsigned i = 0; i < present; i++)
        atomic_store_explicit(&runtime->workers[i].cancel_scan, true, memory_order_seq_cst);
    skua_idle_wake_all(runtime);
}

/*
 * Waits until nothing lives. The last end wakes us, but for two that end at once on two workers and
 * see each other's count too late (they take no fence for our sake): hence the look every 5 ms.
 * With @cancel each look also interrupts anew: a task may have begun a wait in a way that missed
 * the last.
 */
static int wait_drained(skua_runtime *runtime, bool cancel, uint64_t deadline_ns)
{
    for (;;) {
        uint32_t drained = atomic_load_explicit(&runtime->drained, memory_order_seq_cst);
        if (cancel)
            cancel_everything(runtime);
        if (skua_runtime_live(runtime) == 0)
            return 0;
        uint64_t now_ns = skua_clock_now();
        if (now_ns >= deadline_ns)
            return -ETIMEDOUT;
        uint64_t look_ns = skua_min(deadline_ns, now_ns + DRAIN_LOOK_NS);
        (void)skua_futex_wait(&runtime->drained, drained, look_ns);
    }
}

int skua_runtime_stop(skua_runtime *runtime, skua_stop_mode mode, uint64_t deadline_ns)
{
    if (runtime == NULL)
        return 0;
    if (mode != SKUA_STOP_DRAIN && mode != SKUA_STOP_CANCEL)
        return -EINVAL;
    if (skua_fork_guard_in_child())
        return -ECHILD;
    if (skua_thread_self() != NULL)
        return -EPERM;
    atomic_store_explicit(&runtime->phase, SKUA_PHASE_STOPPING, memory_order_seq_cst);
    int rc = wait_drained(runtime, mode == SKUA_STOP_CANCEL, deadline_ns);
    if (rc < 0)
        return rc;
    skua_monitor_fini(runtime); /* it looks at engines, and starts stand-ins */
    atomic_store_explicit(&runtime->phase, SKUA_PHASE_EXITING, memory_order_seq_cst);
    unsigned spins = 0;
    /* acquire: partner is unpin's release. A pin is held for a push and a wake, no longer. */
    while (atomic_load_explicit(&runtime->pins, memory_order_seq_cst) != 0)
        skua_spin_wait(&spins);
    skua_idle_wake_all(runtime);
    stopper_quiet(runtime);
    unsigned present = skua_runtime_present(runtime);
    for (unsigned i = 0; i < present; i++)
        skua_os_thread_join(&runtime->workers[i].os_thread);
    unmake(runtime);
    skua_overflow_uninstall();
    skua_fork_guard_release();
    return 0;
}

intptr_t skua_run(const skua_options *options, skua_fn fn, void *arg)
{
    skua_runtime *runtime;
    if (fn == NULL)
        return -EINVAL;
    int rc = skua_runtime_start(&runtime, options);
    if (rc < 0)
        return rc;
    intptr_t result = skua_await(skua_submit_at(runtime, fn, arg, SKUA_SITE("skua_run")));
    rc = skua_runtime_stop(runtime, SKUA_STOP_CANCEL, SKUA_FOREVER);
    skua_assert(rc == 0);
    return result;
}

skua_runtime *skua_runtime_current(void)
{
    struct skua_thread *thread = skua_thread_self();
    return thread != NULL ? thread->runtime : NULL;
}
