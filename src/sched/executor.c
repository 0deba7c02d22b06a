/*
 * sched/executor.c - pools of plain threads, which run jobs and hopped tasks. The calls that send
 * them here are in offload.c.
 *
 * STATE  Everything is guarded by lock, but for queued, which spinning threads read.
 *          queue     FIFO of jobs and hosts, linked through agent.link
 *          queued    its length, stale entries included
 *          reserved  places promised to hosts that are still on their way off their stacks
 *          threads   that serve the queue or are being made to; alive counts those that still
 *                    have to be joined as well; idle of them sleep and have not been given a
 *                    token, spinning of them look at queued, blocked of them sleep inside a job's
 *                    wait
 *
 * INVARIANTS
 *   K1  If the queue is not empty, then a thread is awake and not blocked and will look at it, or
 *       threads - blocked has reached threads_max, or no thread could be made and others are there
 *       (when the last hope of one fails, what is queued fails with it). So a push wakes an
 *       idle thread or makes one; a thread that takes a job while more are queued does the same
 *       (one spinner stands for one job only); and a thread that blocks hands its turn on.
 *   K2  queued + reserved <= queue_max at every submission.
 *   K3  A job is run by whoever claims it (task.h, RUN): the pool's thread, or its awaiter in
 *       place. Its queue entry holds a reference until a thread pops it.
 *
 * Nested use cannot deadlock: an awaited unstarted job is run in place by its awaiter if that is a
 * thread of the same executor; any other wait blocks the thread, which is replaced: threads may
 * exceed threads_max by the number of blocked ones, up to THREADS_EXTRA.
 */
#include "base/alloc.h"
#include "sched/executor_impl.h"

#include "platform/clock.h"
#include "platform/futex.h"
#include "platform/thread.h"
#include "sched/await.h"
#include "sched/runtime_impl.h"
#include "sched/wait.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS_EXTRA 1024u
#define QUEUE_MAX_DEFAULT 65536u
#define IDLE_TIMEOUT_DEFAULT_NS (UINT64_C(10) * SKUA_NS_PER_SEC)

struct skua_executor {
    pthread_mutex_t lock;
    skua_runtime *runtime; /* constant */
    char name[16];         /* constant */
    unsigned threads_max;  /* constant, like the next four */
    unsigned threads_min;
    unsigned queue_max;
    int nice;
    int cancel_signal; /* constant; 0: none */
    uint64_t idle_timeout_ns;
    bool owned;              /* by the runtime; constant */
    bool stopping;           /* guarded by lock */
    struct skua_link *head;  /* guarded by lock */
    struct skua_link **tail; /* guarded by lock: where the next one is linked */
    unsigned reserved;       /* guarded by lock, like the next eight */
    unsigned threads;
    unsigned alive;
    unsigned idle;
    unsigned blocked;
    unsigned spinning;
    unsigned tokens;              /* wakes given and not yet taken by a thread that slept */
    struct pool_thread *finished; /* have left their loop: to be joined */
    struct pool_thread *spare;    /* joined: memory for the next ones */
    _Atomic unsigned queued;      /* written under lock */
    _Atomic uint32_t wake_word;   /* futex of idle threads: bumped under lock for each wake */
    _Atomic uint32_t ended; /* futex of the stopper: bumped under lock by each leaving thread */
};

struct pool_thread {
    struct skua_thread thread; /* first: the thread pointer leads here */
    struct pool_thread *next;  /* in finished */
    struct skua_task *running; /* where there is a cancel_signal; guarded by the executor's lock */
    struct skua_os_thread os_thread;
};

/* ---- threads --------------------------------------------------------------------------------- */

static void *executor_main(void *arg);

static void thread_free(skua_executor *executor, struct pool_thread *thread)
{
    pthread_mutex_lock(&executor->lock);
    thread->next = executor->spare;
    executor->spare = thread;
    pthread_mutex_unlock(&executor->lock);
}

/* Joins threads that have left their loop. The lock is not held. */
static void reap(skua_executor *executor)
{
    pthread_mutex_lock(&executor->lock);
    struct pool_thread *thread = executor->finished;
    executor->finished = NULL;
    pthread_mutex_unlock(&executor->lock);
    while (thread != NULL) {
        struct pool_thread *next = thread->next;
        skua_os_thread_join(&thread->os_thread);
        thread_free(executor, thread);
        thread = next;
    }
}

/*
 * Memory for a thread. It is not freed before the executor is: somebody may be interrupting a task
 * through the agent in it (task.h, proxy).
 */
static struct pool_thread *thread_alloc(skua_executor *executor)
{
    pthread_mutex_lock(&executor->lock);
    struct pool_thread *thread = executor->spare;
    if (thread != NULL)
        executor->spare = thread->next;
    pthread_mutex_unlock(&executor->lock);
    if (thread == NULL)
        thread = skua_calloc(1, sizeof(*thread));
    return thread;
}

/*
 * A thread could not be made, and there is no other: nobody will look at the queue. Jobs fail with
 * -EAGAIN; tasks that hopped go back where they came from, where skua_hop() says so.
 */
static void strand(struct skua_link *chain)
{
    while (chain != NULL) {
        struct skua_task *item = (struct skua_task *)(void *)chain;
        chain = chain->next;
        if (skua_future_kind(&item->future) != SKUA_OBJECT_JOB)
            skua_schedule(item);
        else if (skua_task_claim(item, SKUA_RUN_ENDED))
            skua_task_end(skua_thread_self(), item, -EAGAIN, true);
        else
            skua_object_unref(skua_thread_self(), item);
    }
}

/* alive has gone down. The lock is held. */
static void wake_stopper(skua_executor *executor)
{
    /* relaxed: under the lock */
    atomic_fetch_add_explicit(&executor->ended, 1, memory_order_relaxed);
    skua_futex_wake(&executor->ended, 1);
}

/* Empties the queue. The lock is held. */
static struct skua_link *take_all(skua_executor *executor)
{
    struct skua_link *chain = executor->head;
    executor->head = NULL;
    executor->tail = &executor->head;
    /* relaxed: under the lock */
    atomic_store_explicit(&executor->queued, 0, memory_order_relaxed);
    return chain;
}

/*
 * Makes one more thread, already counted in threads and alive; the lock is not held. On failure
 * takes the counts back.
 */
static int start_thread(skua_executor *executor)
{
    reap(executor);
    struct pool_thread *thread = thread_alloc(executor);
    int rc = -ENOMEM;
    if (thread != NULL) {
        thread->thread.post = SKUA_POST_NONE;
        thread->thread.runtime = executor->runtime;
        thread->thread.executor = executor;
        skua_agent_init(&thread->thread.agent, SKUA_AGENT_THREAD);
        rc = skua_os_thread_create(&thread->os_thread, executor_main, thread);
    }
    if (rc == 0)
        return 0;
    if (thread != NULL)
        thread_free(executor, thread);
    pthread_mutex_lock(&executor->lock);
    executor->threads--;
    executor->alive--;
    wake_stopper(executor);
    struct skua_link *stranded = executor->threads == 0 ? take_all(executor) : NULL;
    pthread_mutex_unlock(&executor->lock);
    strand(stranded);
    return rc;
}

/* What to do about a queue that is not empty (K1). The lock is held. */
enum need { NEED_NOTHING, NEED_WAKE, NEED_THREAD };

static enum need need(skua_executor *executor)
{
    if (executor->head == NULL || executor->spinning > 0)
        return NEED_NOTHING;
    if (executor->idle > 0) {
        executor->idle--;
        executor->tokens++;
        /* relaxed: under the lock; the futex compares the value */
        atomic_fetch_add_explicit(&executor->wake_word, 1, memory_order_relaxed);
        return NEED_WAKE;
    }
    if (executor->threads - executor->blocked >= executor->threads_max ||
        executor->threads >= executor->threads_max + THREADS_EXTRA)
        return NEED_NOTHING;
    executor->threads++;
    executor->alive++;
    return NEED_THREAD;
}

/* Does it, without the lock. An error only if a thread was needed and could not be made. */
static int satisfy(skua_executor *executor, enum need what)
{
    if (what == NEED_WAKE)
        skua_futex_wake(&executor->wake_word, 1);
    return what == NEED_THREAD ? start_thread(executor) : 0;
}

void skua_executor_block_begin(struct skua_thread *thread)
{
    if (thread == NULL || thread->executor == NULL)
        return;
    skua_executor *executor = thread->executor;
    pthread_mutex_lock(&executor->lock);
    executor->blocked++;
    enum need what = need(executor);
    pthread_mutex_unlock(&executor->lock);
    (void)satisfy(executor, what); /* no thread to be had: the queue waits for the ones there are */
}

void skua_executor_block_end(struct skua_thread *thread)
{
    if (thread == NULL || thread->executor == NULL)
        return;
    pthread_mutex_lock(&thread->executor->lock);
    thread->executor->blocked--;
    pthread_mutex_unlock(&thread->executor->lock);
}

/* ---- queue ----------------------------------------------------------------------------------- */

/* The lock is held. */
static void append(skua_executor *executor, struct skua_task *item)
{
    item->agent.link.next = NULL;
    *executor->tail = &item->agent.link;
    executor->tail = &item->agent.link.next;
    /* relaxed: spinners confirm under the lock */
    atomic_fetch_add_explicit(&executor->queued, 1, memory_order_relaxed);
}

/* The lock is held. */
static struct skua_task *take(skua_executor *executor)
{
    struct skua_link *link = executor->head;
    if (link == NULL)
        return NULL;
    executor->head = link->next;
    if (executor->head == NULL)
        executor->tail = &executor->head;
    atomic_fetch_sub_explicit(&executor->queued, 1, memory_order_relaxed);
    return (struct skua_task *)(void *)link;
}

/* Takes the entry of @job out again if it is still there. Linear. The lock is held. */
static bool take_back(skua_executor *executor, struct skua_task *job)
{
    for (struct skua_link **at = &executor->head; *at != NULL; at = &(*at)->next) {
        if (*at != &job->agent.link)
            continue;
        *at = job->agent.link.next;
        if (*at == NULL)
            executor->tail = at;
        atomic_fetch_sub_explicit(&executor->queued, 1, memory_order_relaxed);
        return true;
    }
    return false;
}

int skua_executor_accept(skua_executor *executor, struct skua_task *job)
{
    enum need what = NEED_NOTHING;
    int rc = 0;
    pthread_mutex_lock(&executor->lock);
    unsigned queued = atomic_load_explicit(&executor->queued, memory_order_relaxed);
    if (executor->stopping) {
        rc = -ESHUTDOWN;
    } else if (queued + executor->reserved >= executor->queue_max) {
        rc = -EAGAIN;
    } else if (job != NULL) {
        append(executor, job);
        what = need(executor);
    } else {
        executor->reserved++;
        if (executor->threads == 0) { /* a hop must not be stranded: see that there is a thread */
            executor->threads++;
            executor->alive++;
            what = NEED_THREAD;
        }
    }
    pthread_mutex_unlock(&executor->lock);
    if (rc == 0 && satisfy(executor, what) < 0 && job == NULL) {
        pthread_mutex_lock(&executor->lock);
        if (executor->threads == 0) {
            executor->reserved--;
            rc = -EAGAIN;
        }
        pthread_mutex_unlock(&executor->lock);
    }
    return rc; /* a job that was stranded says so in its future */
}

bool skua_executor_withdraw(skua_executor *executor, struct skua_task *job)
{
    pthread_mutex_lock(&executor->lock);
    bool found = take_back(executor, job);
    pthread_mutex_unlock(&executor->lock);
    return found;
}

void skua_executor_push_hop(skua_executor *executor, struct skua_task *host)
{
    pthread_mutex_lock(&executor->lock);
    executor->reserved--;
    append(executor, host);
    enum need what = need(executor);
    pthread_mutex_unlock(&executor->lock);
    (void)satisfy(executor, what); /* if that fails and there is no other: see strand() */
}

skua_runtime *skua_executor_runtime(const skua_executor *executor)
{
    return executor->runtime;
}

/* ---- a thread's life ------------------------------------------------------------------------- */

/*
 * Looks at the queue for a while without the lock. The lock is held before and after. Not on an
 * only CPU, where the workers are who bring jobs.
 */
static void spin(skua_executor *executor)
{
    uint64_t spin_ns = executor->runtime->spin_ns;
    if (spin_ns == 0 || executor->runtime->cpus_allowed < 2 || executor->spinning > 0 ||
        executor->stopping)
        return;
    executor->spinning++;
    pthread_mutex_unlock(&executor->lock);
    uint64_t deadline_ns = skua_clock_now() + spin_ns;
    /* relaxed: confirmed under the lock */
    while (atomic_load_explicit(&executor->queued, memory_order_relaxed) == 0 &&
           skua_clock_now() < deadline_ns) {
        for (unsigned i = 0; i < 16; i++)
            skua_cpu_relax();
    }
    pthread_mutex_lock(&executor->lock);
    executor->spinning--;
}

/* Sleeps until woken. False: idle too long. The lock is held before and after. */
static bool sleep_idle(skua_executor *executor)
{
    uint32_t word = atomic_load_explicit(&executor->wake_word, memory_order_relaxed);
    uint64_t deadline_ns = skua_clock_now() + executor->idle_timeout_ns;
    executor->idle++;
    pthread_mutex_unlock(&executor->lock);
    int rc = 0;
    while (rc != -ETIMEDOUT &&
           atomic_load_explicit(&executor->wake_word, memory_order_relaxed) == word)
        rc = skua_futex_wait(&executor->wake_word, word, deadline_ns);
    pthread_mutex_lock(&executor->lock);
    if (executor->tokens > 0) {
        executor->tokens--; /* the waker took one off idle: for this thread or another */
        return true;
    }
    executor->idle--;
    return rc != -ETIMEDOUT;
}

/* The next entry; NULL when this thread is to end. */
static struct skua_task *next_entry(skua_executor *executor)
{
    struct skua_task *item;
    enum need what = NEED_NOTHING;
    pthread_mutex_lock(&executor->lock);
    while ((item = take(executor)) == NULL) {
        spin(executor);
        if ((item = take(executor)) != NULL)
            break;
        if (executor->stopping)
            break;
        if (!sleep_idle(executor) && executor->head == NULL &&
            executor->threads > executor->threads_min && executor->reserved == 0)
            break;
    }
    if (item != NULL)
        what = need(executor); /* K1: this thread is busy now; the rest is for another */
    else
        executor->threads--; /* from here on nobody counts on this thread */
    pthread_mutex_unlock(&executor->lock);
    (void)satisfy(executor, what);
    return item;
}

static void run_host(struct skua_thread *thread, struct skua_task *host)
{
    atomic_store_explicit(&host->proxy, &thread->agent, memory_order_seq_cst);
    thread->host = host;
    thread->task = host;
    skua_ctx_switch(&thread->base, &host->ctx);
    thread->host = NULL;
    thread->task = NULL;
    skua_thread_post(thread);
}

/* The thread runs @job now: one in place is the newest of several. */
static void set_running(struct skua_thread *thread, struct skua_task *job)
{
    skua_executor *executor = thread->executor;
    thread->job = job;
    if (executor->cancel_signal == 0)
        return;
    pthread_mutex_lock(&executor->lock);
    ((struct pool_thread *)(void *)thread)->running = job;
    pthread_mutex_unlock(&executor->lock);
}

void skua_executor_call_job(struct skua_thread *thread, struct skua_task *job, bool drop)
{
    struct skua_task *outer = thread->job;
    set_running(thread, job);
    /* seq_cst: after it a canceller finds the agent, or the waits in the job see the flag */
    atomic_store_explicit(&job->proxy, &thread->agent, memory_order_seq_cst);
    skua_fn fn = atomic_load_explicit(&job->fn, memory_order_relaxed);
    intptr_t value = fn(job->arg);
    atomic_store_explicit(&job->proxy, NULL, memory_order_seq_cst);
    set_running(thread, outer); /* the stack is the thread's own: it is still the same */
    skua_task_end(thread, job, value, drop);
}

void skua_executor_interrupt_job(struct skua_task *job)
{
    skua_executor *executor = job->executor;
    struct skua_agent *agent = atomic_load_explicit(&job->proxy, memory_order_seq_cst);
    if (agent == NULL) /* not there yet, or over */
        return;
    skua_agent_interrupt(agent);
    if (executor->cancel_signal == 0)
        return;
    struct pool_thread *thread = skua_container_of(agent, struct pool_thread, thread.agent);
    pthread_mutex_lock(&executor->lock);
    /* Under the lock: it stays so, and the thread is there. A virtual one has no signals. */
    if (thread->running == job && thread->os_thread.vthread == NULL)
        (void)pthread_kill(thread->os_thread.pthread, executor->cancel_signal);
    pthread_mutex_unlock(&executor->lock);
}

static void run_job(struct skua_thread *thread, struct skua_task *job)
{
    if (skua_task_claim(job, SKUA_RUN_STARTED))
        skua_executor_call_job(thread, job, true);
    else
        skua_object_unref(thread, job);
}

static void *executor_main(void *arg)
{
    struct pool_thread *pool_thread = arg;
    struct skua_thread *self = &pool_thread->thread;
    skua_executor *executor = self->executor;
    self->stack_low = skua_thread_stack_low();
    skua_thread_name(executor->name);
    if (executor->nice != 0)
        skua_thread_nice(executor->nice);
    skua_slab_cache_init(&self->objects, self->runtime->objects);
    skua_stack_cache_init(&self->stacks, self->runtime->stacks);
    skua_ctx_init_thread(&self->base);
    bool covered = skua_fault_thread_init(&self->fault) == 0; /* else: a bare SIGSEGV */
    skua_tls_set(self);
    struct skua_task *item;
    while ((item = next_entry(executor)) != NULL) {
        if (skua_future_kind(&item->future) == SKUA_OBJECT_JOB)
            run_job(self, item);
        else
            run_host(self, item);
    }
    skua_tls_set(NULL);
    if (covered)
        skua_fault_thread_fini(&self->fault);
    skua_ctx_fini(&self->base);
    skua_stack_cache_fini(&self->stacks);
    skua_slab_cache_fini(&self->objects);
    pthread_mutex_lock(&executor->lock);
    executor->alive--;
    pool_thread->next = executor->finished;
    executor->finished = pool_thread;
    wake_stopper(executor);
    pthread_mutex_unlock(&executor->lock); /* last touch: the stopper joins before it frees */
    return NULL;
}

/* ---- creation and end ------------------------------------------------------------------------ */

static int check_options(const skua_executor_options *o)
{
    uint64_t reserved = 0;
    for (size_t i = 0; i < sizeof(o->reserved) / sizeof(o->reserved[0]); i++)
        reserved |= o->reserved[i];
    if (reserved != 0 || o->reserved_int != 0 || o->cancel_signal < 0 ||
        o->cancel_signal > SIGRTMAX || o->nice < 0 || o->nice > 19 ||
        o->threads_max > THREADS_EXTRA || (o->threads_max != 0 && o->threads_min > o->threads_max))
        return -EINVAL;
    return 0;
}

int skua_executor_create_owned(skua_runtime *runtime, const skua_executor_options *options,
                               skua_executor **out)
{
    if (check_options(options) < 0)
        return -EINVAL;
    skua_executor *executor = skua_calloc(1, sizeof(*executor));
    if (executor == NULL)
        return -ENOMEM;
    const char *name = options->name != NULL ? options->name : "executor";
    executor->runtime = runtime;
    (void)snprintf(executor->name, sizeof(executor->name), "%s", name);
    executor->threads_max = options->threads_max ? options->threads_max : runtime->cpus_allowed;
    executor->threads_min = skua_min(options->threads_min, executor->threads_max);
    executor->queue_max = options->queue_max ? options->queue_max : QUEUE_MAX_DEFAULT;
    executor->nice = options->nice;
    executor->cancel_signal = options->cancel_signal;
    executor->idle_timeout_ns =
        options->idle_timeout_ns ? options->idle_timeout_ns : IDLE_TIMEOUT_DEFAULT_NS;
    executor->owned = true;
    executor->tail = &executor->head;
    pthread_mutex_init(&executor->lock, NULL);
    *out = executor;
    return 0;
}

int skua_executor_create(skua_runtime *runtime, const skua_executor_options *options,
                         skua_executor **out)
{
    static const skua_executor_options defaults = {0};
    struct skua_thread *thread = skua_thread_self();
    if (skua_fork_guard_in_child())
        return -ECHILD;
    if (out == NULL)
        return -EINVAL;
    if (runtime == NULL && thread != NULL)
        runtime = thread->runtime;
    if (runtime == NULL)
        return -EPERM;
    if (skua_runtime_refuses(runtime))
        return -ESHUTDOWN;
    skua_executor *executor;
    int rc = skua_executor_create_owned(runtime, options != NULL ? options : &defaults, &executor);
    if (rc < 0)
        return rc;
    executor->owned = false;
    *out = executor;
    return 0;
}

void skua_executor_destroy_owned(skua_executor *executor)
{
    if (executor == NULL)
        return;
    pthread_mutex_lock(&executor->lock);
    executor->stopping = true;
    executor->tokens += executor->idle;
    executor->idle = 0;
    atomic_fetch_add_explicit(&executor->wake_word, 1, memory_order_relaxed);
    skua_futex_wake(&executor->wake_word, INT32_MAX);
    while (executor->alive > 0) {
        uint32_t ended = atomic_load_explicit(&executor->ended, memory_order_relaxed);
        pthread_mutex_unlock(&executor->lock);
        (void)skua_futex_wait(&executor->ended, ended, SKUA_FOREVER);
        pthread_mutex_lock(&executor->lock);
    }
    skua_assert(executor->head == NULL);
    pthread_mutex_unlock(&executor->lock);
    reap(executor);
    /* Somebody may still be at a thread's agent: such pins last for a few instructions. */
    unsigned spins = 0;
    while (atomic_load_explicit(&executor->runtime->pins, memory_order_seq_cst) != 0)
        skua_spin_wait(&spins);
    while (executor->spare != NULL) {
        struct pool_thread *spare = executor->spare;
        executor->spare = spare->next;
        free(spare);
    }
    pthread_mutex_destroy(&executor->lock);
    free(executor);
}

int skua_executor_destroy(skua_executor *executor)
{
    struct skua_thread *thread = skua_thread_self();
    if (executor == NULL)
        return 0;
    if (executor->owned)
        return -EPERM;
    if (thread != NULL && thread->executor == executor)
        return -EBUSY;
    /*
     * The wait is for threads: not on a worker, whose tasks the jobs may be waiting for. The task
     * itself moves: a new job would be refused by a runtime that is stopping. -EAGAIN: it stays.
     */
    bool moved = thread != NULL && thread->worker != NULL && thread->host != NULL &&
                 skua_executor_move_here(thread, thread->runtime->blocking) == 0;
    thread = skua_thread_self();
    skua_executor_block_begin(thread); /* nor in the place of a job those jobs wait for */
    skua_executor_destroy_owned(executor);
    skua_executor_block_end(thread);
    if (moved)
        (void)skua_hop_back();
    return 0;
}

void skua_executor_cancel_all(skua_executor *executor)
{
    pthread_mutex_lock(&executor->lock);
    struct skua_link *chain = take_all(executor);
    struct skua_link *jobs = NULL;
    while (chain != NULL) {
        struct skua_task *item = (struct skua_task *)(void *)chain;
        chain = chain->next;
        if (skua_future_kind(&item->future) != SKUA_OBJECT_JOB) {
            append(executor, item); /* it is running already: it will see that it is cancelled */
            continue;
        }
        item->agent.link.next = jobs;
        jobs = &item->agent.link;
    }
    pthread_mutex_unlock(&executor->lock);
    while (jobs != NULL) {
        struct skua_task *item = (struct skua_task *)(void *)jobs;
        jobs = jobs->next;
        if (skua_task_claim(item, SKUA_RUN_ENDED))
            skua_task_end(skua_thread_self(), item, -ECANCELED, true);
        else
            skua_object_unref(skua_thread_self(), item);
    }
}
