/*
 * platform/vthread.c - see vthread.h.
 */
#include "platform/vthread.h"

#include "base/check.h"
#include "base/spin.h"
#include "platform/ctx.h"
#include "platform/memory.h"
#include "platform/tls.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#define STACK_BYTES ((size_t)256 << 10)
#define SPIN_NS 1000u  /* one step of a spinning thread */
#define SPARES_MAX 64u /* ended threads whose stacks are kept */

enum state { READY, WAITING, ENDED };

struct skua_vthread {
    struct skua_vthread *next; /* in order of creation, or in spares */
    struct skua_ctx ctx;       /* while another one runs */
    void *tls;                 /* the library's thread pointer, while another one runs */
    enum state state;
    const void *word;     /* WAITING for a wake of it; NULL: for time only */
    uint64_t deadline_ns; /* WAITING until then */
    int result;           /* of the wait */
    void *(*main)(void *arg);
    void *arg;
    char *stack; /* NULL for the main one */
    _Atomic uint32_t ended;
};

struct sim {
    struct skua_vthread_policy policy;
    struct skua_vthread main;
    struct skua_vthread *last; /* of the list that starts with main */
    struct skua_vthread *running;
    struct skua_vthread *dead; /* has ended, and its stack is being left */
    uint64_t now_ns;
    unsigned threads; /* in the list */
};

_Atomic unsigned skua_vthread_sims;

/*
 * Of the real thread, which a simulation does not leave; read by functions of their own only, so
 * that no compiler keeps the address across a switch between real threads elsewhere.
 */
static _Thread_local struct sim *current_sim;

/* Of ended threads, for the next ones. */
static struct {
    pthread_mutex_t lock;
    struct skua_vthread *first; /* guarded by lock */
    unsigned count;             /* guarded by lock */
} spares = {.lock = PTHREAD_MUTEX_INITIALIZER};

static SKUA_NOINLINE struct sim *sim_self(void)
{
    return current_sim;
}

SKUA_NOINLINE bool skua_vthread_simulated_slow(void)
{
    return current_sim != NULL;
}

/* ---- turns ----------------------------------------------------------------------------------- */

static void free_thread(struct skua_vthread *thread)
{
    (void)skua_memory_unmap(thread->stack, STACK_BYTES);
    free(thread);
}

/* First thing after any switch. */
static void arrive(struct sim *sim)
{
    skua_tls_set(sim->running->tls);
    struct skua_vthread *dead = sim->dead;
    sim->dead = NULL;
    if (dead != NULL)
        skua_ctx_fini(&dead->ctx);
}

static void switch_to(struct sim *sim, struct skua_vthread *to)
{
    struct skua_vthread *from = sim->running;
    if (from == to)
        return;
    from->tls = skua_tls_get();
    sim->running = to;
    if (from->state == ENDED) {
        sim->dead = from;
        skua_ctx_leave(&from->ctx, &to->ctx);
    }
    skua_ctx_switch(&from->ctx, &to->ctx);
    arrive(sim_self());
}

static void make_ready(struct skua_vthread *thread, int result)
{
    thread->state = READY;
    thread->result = result;
}

/* Nobody can run: time goes on to the first deadline, or never. */
static void advance(struct sim *sim)
{
    uint64_t first_ns = sim->policy.next(sim->policy.arg);
    for (struct skua_vthread *at = &sim->main; at != NULL; at = at->next) {
        if (at->state == WAITING && at->deadline_ns < first_ns)
            first_ns = at->deadline_ns;
    }
    if (first_ns == UINT64_MAX) {
        skua_check(sim->main.state == WAITING); /* it waits for the others */
        make_ready(&sim->main, -EDEADLK);
        return;
    }
    if (first_ns > sim->now_ns) {
        sim->now_ns = first_ns;
        sim->policy.advance(sim->policy.arg, first_ns);
    }
    for (struct skua_vthread *at = &sim->main; at != NULL; at = at->next) {
        if (at->state == WAITING && at->deadline_ns <= first_ns)
            make_ready(at, at->word != NULL ? -ETIMEDOUT : 0);
    }
}

/* The one whose turn it is. The running one comes first if it can go on. */
static struct skua_vthread *next_thread(struct sim *sim)
{
    struct skua_vthread *running = sim->running;
    unsigned ready;
    for (;;) {
        ready = 0;
        for (struct skua_vthread *at = &sim->main; at != NULL; at = at->next)
            ready += at->state == READY;
        if (ready > 0)
            break;
        if (!sim->policy.idle(sim->policy.arg))
            advance(sim);
    }
    unsigned chosen = sim->policy.choose(sim->policy.arg, ready);
    bool is_ready = running->state == READY;
    if (is_ready && chosen == 0)
        return running;
    unsigned index = is_ready ? 1 : 0;
    for (struct skua_vthread *at = &sim->main; at != NULL; at = at->next) {
        if (at->state == READY && at != running && index++ == chosen)
            return at;
    }
    skua_check(false); /* there were that many */
}

void skua_vthread_switch(void)
{
    struct sim *sim = sim_self();
    switch_to(sim, next_thread(sim));
}

/* Who spins lets time pass, for what it waits for may take some. */
static void give_way(void)
{
    if (skua_vthread_simulated())
        skua_vthread_stall(skua_vthread_now() + SPIN_NS);
    else
        (void)sched_yield();
}

static int wait_for(struct sim *sim, const void *word, uint64_t deadline_ns)
{
    struct skua_vthread *self = sim->running;
    self->state = WAITING;
    self->word = word;
    self->deadline_ns = deadline_ns;
    switch_to(sim, next_thread(sim));
    return self->result;
}

int skua_vthread_wait(const _Atomic uint32_t *word, uint32_t expected, uint64_t deadline_ns)
{
    struct sim *sim = sim_self();
    if (atomic_load_explicit((_Atomic uint32_t *)(uintptr_t)word, memory_order_relaxed) != expected)
        return -EAGAIN;
    if (deadline_ns <= sim->now_ns) {
        skua_vthread_switch(); /* who looks again and again must let the others do something */
        return -ETIMEDOUT;
    }
    return wait_for(sim, word, deadline_ns);
}

int skua_vthread_wake(const _Atomic uint32_t *word, int count)
{
    int woken = 0;
    struct sim *sim = sim_self();
    for (struct skua_vthread *at = &sim->main; at != NULL && woken < count; at = at->next) {
        if (at->state != WAITING || at->word != word)
            continue;
        make_ready(at, 0);
        woken++;
    }
    return woken;
}

void skua_vthread_stall(uint64_t until_ns)
{
    struct sim *sim = sim_self();
    if (until_ns > sim->now_ns)
        (void)wait_for(sim, NULL, until_ns);
}

bool skua_vthread_any_stalls(void)
{
    for (const struct skua_vthread *at = &sim_self()->main; at != NULL; at = at->next) {
        if (at->state == WAITING && at->word == NULL)
            return true;
    }
    return false;
}

void skua_vthread_wake_main(void)
{
    struct sim *sim = sim_self();
    if (sim->main.state == WAITING)
        make_ready(&sim->main, -EDEADLK);
}

SKUA_NOINLINE void skua_vthread_point_slow(void)
{
    struct sim *sim = current_sim;
    if (sim != NULL)
        sim->policy.point(sim->policy.arg);
}

uint64_t skua_vthread_now(void)
{
    return sim_self()->now_ns;
}

unsigned skua_vthread_random(unsigned count)
{
    struct sim *sim = sim_self();
    return count > 1 ? sim->policy.choose(sim->policy.arg, count) : 0;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void thread_main(void *arg)
{
    struct skua_vthread *self = arg;
    arrive(sim_self());
    (void)self->main(self->arg);
    struct sim *sim = sim_self();
    atomic_store_explicit(&self->ended, 1, memory_order_relaxed);
    self->state = ENDED;
    (void)skua_vthread_wake(&self->ended, INT32_MAX);
    switch_to(sim, next_thread(sim));
    skua_check(false); /* nobody resumes it */
}

static struct skua_vthread *take_spare(void)
{
    (void)pthread_mutex_lock(&spares.lock);
    struct skua_vthread *thread = spares.first;
    if (thread != NULL) {
        spares.first = thread->next;
        spares.count--;
    }
    (void)pthread_mutex_unlock(&spares.lock);
    if (thread != NULL)
        return thread;
    thread = calloc(1, sizeof(*thread));
    if (thread == NULL)
        return NULL;
    void *stack;
    if (skua_memory_map(&stack, STACK_BYTES) < 0) {
        free(thread);
        return NULL;
    }
    thread->stack = stack;
    return thread;
}

int skua_vthread_create(struct skua_vthread **out, void *(*main)(void *arg), void *arg)
{
    struct sim *sim = sim_self();
    struct skua_vthread *thread = take_spare();
    if (thread == NULL)
        return -ENOMEM;
    char *stack = thread->stack;
    *thread = (struct skua_vthread){.stack = stack, .main = main, .arg = arg, .state = READY};
    skua_ctx_init(&thread->ctx, stack, STACK_BYTES, 0, thread_main, thread);
    sim->last->next = thread;
    sim->last = thread;
    sim->threads++;
    *out = thread;
    return 0;
}

static void unlink_thread(struct sim *sim, struct skua_vthread *thread)
{
    struct skua_vthread *before = &sim->main;
    while (before->next != thread)
        before = before->next;
    before->next = thread->next;
    if (sim->last == thread)
        sim->last = before;
    sim->threads--;
}

void skua_vthread_join(struct skua_vthread *thread)
{
    struct sim *sim = sim_self();
    while (thread->state != ENDED)
        (void)skua_vthread_wait(&thread->ended, 0, UINT64_MAX);
    unlink_thread(sim, thread);
    (void)pthread_mutex_lock(&spares.lock);
    bool keep = spares.count < SPARES_MAX;
    if (keep) {
        thread->next = spares.first;
        spares.first = thread;
        spares.count++;
    }
    (void)pthread_mutex_unlock(&spares.lock);
    if (!keep)
        free_thread(thread);
}

const char *skua_vthread_stack_low(void)
{
    return sim_self()->running->stack;
}

int skua_vthread_begin(const struct skua_vthread_policy *policy, uint64_t start_ns)
{
    if (current_sim != NULL)
        return -EBUSY;
    struct sim *sim = calloc(1, sizeof(*sim));
    if (sim == NULL)
        return -ENOMEM;
    sim->policy = *policy;
    sim->now_ns = start_ns;
    sim->last = &sim->main;
    sim->running = &sim->main;
    sim->main.tls = skua_tls_get();
    skua_ctx_init_thread(&sim->main.ctx);
    current_sim = sim;
    atomic_store_explicit(&skua_spin_give_way_hook, give_way, memory_order_relaxed);
    atomic_fetch_add_explicit(&skua_vthread_sims, 1, memory_order_relaxed);
    return 0;
}

void skua_vthread_end(void)
{
    struct sim *sim = sim_self();
    while (sim->main.next != NULL) {
        struct skua_vthread *abandoned = sim->main.next;
        unlink_thread(sim, abandoned);
        free_thread(abandoned);
    }
    skua_ctx_fini(&sim->main.ctx);
    atomic_fetch_sub_explicit(&skua_vthread_sims, 1, memory_order_relaxed);
    current_sim = NULL;
    free(sim);
}
