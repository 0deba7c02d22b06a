/*
 * scaling/scaling_sim.c - see scaling_sim.h.
 *
 * WHAT   Each worker runs a task, looks for work, or sleeps. Nothing happens to a task while it
 *        forks and joins private jobs and nobody asks for any. So its worker has one event: that it
 *        comes to its boundary (scaling_task.h). Until a thief asks: then its next fork or join is
 *        one.
 *
 * KEPT   Victims in turn from a random one; a CAS of the oldest public job; a request where there
 *        is none, answered with half of the private jobs; half of the public ones taken back by a
 *        join; forcing after a search, and every FORCE_EVERY; half of the workers search at most;
 *        a publication wakes a sleeper if nobody searches, and so does the last searcher that finds
 *        something; sleepers in order of their numbers; a watcher; joiners go on where their job
 *        ended; leaves of loops that split when asked; the pause after offers that were not worth
 *        it (BACKOFF in src/sched/fork.h), but not that forks read the clock in it.
 *
 * LINES  A line is with one core at a time: who wants a deque's range or one of the two global
 *        words waits until those before it have had it, each for costs.line. A look at a victim
 *        costs a line more if anything has changed there since this thief's last look.
 *
 * LEFT OUT  Everything a worker cannot do to another: caches, SMT, clock rates, NUMA, the kernel's
 *        placement of threads, the interrupts of membarrier(2). Every worker has a core.
 */
#include "scaling_sim.h"

#include "scaling_task.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Constants of src/sched/fork_typed.c and fork.c. */
#define PAUSE_MIN_PS (20000 * SCALING_PS_PER_NS)
#define PAUSE_MAX_PS (10000000 * SCALING_PS_PER_NS)
#define STUCK_PS (10000 * SCALING_PS_PER_NS)

enum event { EVENT_NONE, EVENT_OWNER, EVENT_FIND, EVENT_LOOK, EVENT_CAS, EVENT_FORCE, EVENT_WAKE };

struct worker {
    struct scaling_task *task; /* NULL: looks or sleeps */
    enum event event;          /* what it will do ... */
    uint64_t event_ps;         /* ... and when */
    uint64_t version;          /* of these two: older entries of the heap are stale */
    bool searching;
    bool watched;
    bool sleeping;
    bool watcher;
    unsigned start;
    unsigned index; /* of the victim, from start */
    uint64_t deadline_ps;
    uint64_t force_ps;
    bool forcing_last; /* sleeps if forcing finds nothing */
    /* what was seen before a CAS */
    struct scaling_task *victim;
    uint64_t generation;
    unsigned tail;
    unsigned split;
};

struct entry {
    uint64_t ps;
    uint64_t order;
    uint64_t version;
    unsigned worker;
};

struct prices {
    uint64_t line, look, round, start, publish, takeback, settle, park, resume, end, wake, waker,
        force, spin, watch, force_every, worth;
};

struct sim {
    struct scaling_tasks tasks;
    struct prices prices;
    struct scaling_result *result;
    struct worker *workers;
    unsigned count;
    unsigned searching;
    unsigned sleeping;
    bool watcher;
    uint64_t *seen;     /* by each worker of each other's deque */
    uint64_t word_ps;   /* when the line of idle.word is free */
    uint64_t stolen_ps; /* and that of forks.stolen_count */
    uint64_t now_ps;    /* of the event that happens */
    uint64_t random;
    uint64_t order;
    struct entry *heap;
    size_t heap_count;
    size_t heap_room;
    bool ended;
};

/* ---- costs ----------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    size_t offset;
    double value; /* of the order of what was measured on a virtual machine with two CPUs */
} cost_names[] = {
#define COST(name, value)                                                                          \
    {                                                                                              \
#name, offsetof(struct scaling_costs, name), value                                         \
    }
    COST(line, 70),      COST(look, 10),     COST(round, 100),     COST(start, 300),
    COST(publish, 150),  COST(takeback, 60), COST(settle, 60),     COST(park, 150),
    COST(resume, 300),   COST(end, 150),     COST(wake, 50000),    COST(waker, 3000),
    COST(force, 3000),   COST(spin, 50000),  COST(watch, 1000000), COST(force_every, 100000),
    COST(worth, 100000),
#undef COST
};

enum { COST_NAMES = sizeof(cost_names) / sizeof(cost_names[0]) };

static double *cost_at(struct scaling_costs *costs, size_t index)
{
    return (double *)(void *)((char *)costs + cost_names[index].offset);
}

void scaling_costs_default(struct scaling_costs *costs)
{
    for (size_t i = 0; i < COST_NAMES; i++)
        *cost_at(costs, i) = cost_names[i].value;
}

bool scaling_costs_set(struct scaling_costs *costs, const char *name, double value)
{
    for (size_t i = 0; i < COST_NAMES; i++) {
        if (strcmp(cost_names[i].name, name) == 0) {
            *cost_at(costs, i) = value;
            return true;
        }
    }
    return false;
}

static uint64_t price(double ns)
{
    return ns > 0 ? (uint64_t)(ns * (double)SCALING_PS_PER_NS + 0.5) : 0;
}

static struct prices prices_of(const struct scaling_costs *c)
{
    return (struct prices){price(c->line),        price(c->look),    price(c->round),
                           price(c->start),       price(c->publish), price(c->takeback),
                           price(c->settle),      price(c->park),    price(c->resume),
                           price(c->end),         price(c->wake),    price(c->waker),
                           price(c->force),       price(c->spin),    price(c->watch),
                           price(c->force_every), price(c->worth)};
}

/* ---- events ---------------------------------------------------------------------------------- */

static bool is_before(const struct entry *a, const struct entry *b)
{
    return a->ps != b->ps ? a->ps < b->ps : a->order < b->order;
}

static bool heap_push(struct sim *sim, struct entry entry)
{
    if (sim->heap_count == sim->heap_room) {
        size_t room = sim->heap_room == 0 ? 1024 : 2 * sim->heap_room;
        struct entry *heap = realloc(sim->heap, room * sizeof(*heap));
        if (heap == NULL)
            return false;
        sim->heap = heap;
        sim->heap_room = room;
    }
    size_t at = sim->heap_count++;
    for (; at > 0 && is_before(&entry, &sim->heap[(at - 1) / 2]); at = (at - 1) / 2)
        sim->heap[at] = sim->heap[(at - 1) / 2];
    sim->heap[at] = entry;
    return true;
}

static struct entry heap_pop(struct sim *sim)
{
    struct entry top = sim->heap[0];
    struct entry last = sim->heap[--sim->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= sim->heap_count)
            break;
        if (child + 1 < sim->heap_count && is_before(&sim->heap[child + 1], &sim->heap[child]))
            child++;
        if (!is_before(&sim->heap[child], &last))
            break;
        sim->heap[at] = sim->heap[child];
        at = child;
    }
    sim->heap[at] = last;
    return top;
}

/* Makes @event the next thing that @worker does. */
static void schedule(struct sim *sim, struct worker *worker, enum event event, uint64_t ps)
{
    worker->event = event;
    worker->event_ps = ps;
    worker->version++;
    struct entry entry = {ps, sim->order++, worker->version, (unsigned)(worker - sim->workers)};
    if (event != EVENT_NONE && !heap_push(sim, entry))
        sim->tasks.error = -ENOMEM;
}

/* xorshift64*: Marsaglia 2003 */
static uint64_t next_random(struct sim *sim)
{
    uint64_t x = sim->random;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    sim->random = x;
    return x * UINT64_C(2685821657736338717);
}

/* An access to a line that is wanted by others, from @now_ps: when it is through. */
static uint64_t use_line(const struct sim *sim, uint64_t *free_ps, uint64_t now_ps)
{
    uint64_t begin = *free_ps > now_ps ? *free_ps : now_ps;
    *free_ps = begin + sim->prices.line;
    return *free_ps;
}

/* ---- requests -------------------------------------------------------------------------------- */

/* The next event of the worker that runs @task. */
static void schedule_owner(struct sim *sim, struct worker *worker)
{
    struct scaling_task *task = worker->task;
    uint64_t answers_ps = task->offered_ps + task->pause_ps;
    if (task->wanted && (task->asks_joins || task->at_ps >= answers_ps)) {
        scaling_task_go_to_answer(&sim->tasks, task);
        schedule(sim, worker, EVENT_OWNER, task->at_ps);
        return;
    }
    uint64_t ps = task->at_ps + scaling_task_time_left(&sim->tasks, task);
    if (task->wanted && ps > answers_ps)
        ps = answers_ps;
    schedule(sim, worker, EVENT_OWNER, ps);
}

static void request(struct sim *sim, struct worker *owner, uint64_t now_ps)
{
    struct scaling_task *task = owner->task;
    if (task->wanted)
        return;
    task->wanted = task->asks_joins = true;
    sim->result->requests++;
    sim->result->shared_writes += 2; /* wanted, which is in the line of range; the limits */
    (void)use_line(sim, &task->range_ps, now_ps);
    scaling_task_seek(&sim->tasks, task, sim->now_ps); /* @now_ps may be beyond the boundary */
    schedule_owner(sim, owner);
}

/* ---- idle workers ---------------------------------------------------------------------------- */

static bool any_public(const struct sim *sim, const struct worker *self)
{
    for (unsigned i = 0; i < sim->count; i++) {
        const struct scaling_task *task = sim->workers[i].task;
        if (&sim->workers[i] != self && task != NULL && task->tail < task->split)
            return true;
    }
    return false;
}

/* Wakes one sleeper if nobody searches. What that costs the caller. */
static uint64_t notify(struct sim *sim, uint64_t now_ps)
{
    if (sim->sleeping == 0 || sim->searching > 0)
        return 0;
    struct worker *sleeper = sim->workers;
    while (!sleeper->sleeping)
        sleeper++;
    sleeper->sleeping = false;
    sim->sleeping--;
    sim->searching++;
    sleeper->searching = true;
    sim->result->wakes++;
    sim->result->shared_writes += 3; /* the bit, the word, the sleeper's futex */
    (void)use_line(sim, &sim->word_ps, now_ps);
    schedule(sim, sleeper, EVENT_WAKE, now_ps + sim->prices.waker + sim->prices.wake);
    return sim->prices.waker;
}

/* @worker has found work. What that costs it. */
static uint64_t search_end(struct sim *sim, struct worker *worker, uint64_t now_ps)
{
    uint64_t end_ps = now_ps;
    if (worker->searching) {
        end_ps = use_line(sim, &sim->word_ps, now_ps);
        sim->result->shared_writes++;
        sim->searching--;
    }
    bool unwatched = sim->sleeping > 0 && sim->sleeping + 1 < sim->count && !sim->watcher;
    bool searched = worker->searching || worker->watched;
    worker->searching = worker->watched = false;
    if (searched && sim->searching == 0 && (unwatched || any_public(sim, worker)))
        end_ps += notify(sim, end_ps);
    return end_ps - now_ps;
}

static void begin_pass(struct sim *sim, struct worker *worker, uint64_t now_ps)
{
    worker->start = (unsigned)(next_random(sim) % sim->count);
    worker->index = 0;
    schedule(sim, worker, EVENT_LOOK, now_ps + sim->prices.look);
}

static void go_to_sleep(struct sim *sim, struct worker *worker, uint64_t now_ps)
{
    uint64_t ps = use_line(sim, &sim->word_ps, now_ps);
    sim->result->shared_writes += 2;
    if (worker->searching)
        sim->searching--;
    worker->searching = false;
    if (any_public(sim, worker)) {
        schedule(sim, worker, EVENT_FIND, ps + sim->prices.round);
        return;
    }
    sim->result->parks++;
    worker->sleeping = true;
    sim->sleeping++;
    worker->watcher = !sim->watcher && sim->sleeping < sim->count;
    sim->watcher = sim->watcher || worker->watcher;
    schedule(sim, worker, worker->watcher ? EVENT_WAKE : EVENT_NONE, ps + sim->prices.watch);
}

/* A worker without a task. */
static void find(struct sim *sim, struct worker *worker, uint64_t now_ps)
{
    if (!worker->searching) {
        if (2 * sim->searching >= sim->count) {
            go_to_sleep(sim, worker, now_ps);
            return;
        }
        sim->searching++;
        worker->searching = true;
        sim->result->shared_writes++;
        now_ps = use_line(sim, &sim->word_ps, now_ps);
    }
    worker->deadline_ps = now_ps + sim->prices.spin;
    worker->force_ps = now_ps + sim->prices.force_every;
    begin_pass(sim, worker, now_ps);
}

/* Woken, or, if it still sleeps, a watcher whose time has come. */
static void wake_up(struct sim *sim, struct worker *worker, uint64_t now_ps)
{
    if (worker->watcher) {
        sim->watcher = worker->watcher = false;
        worker->watched = true;
    }
    if (worker->sleeping) {
        worker->sleeping = false;
        sim->sleeping--;
        sim->result->shared_writes += 2;
        now_ps = use_line(sim, &sim->word_ps, now_ps);
    }
    find(sim, worker, now_ps);
}

/* ---- thieves --------------------------------------------------------------------------------- */

static void next_look(struct sim *sim, struct worker *thief, uint64_t now_ps);

/* The CAS has succeeded: @thief runs the oldest public job of @victim from now on. */
static void take(struct sim *sim, struct worker *thief, struct worker *victim, uint64_t now_ps)
{
    struct scaling_task *from = victim->task;
    struct scaling_job *job = &from->jobs[from->tail++];
    sim->result->jobs_stolen++;
    /* range; the job's result and state; stolen_count, twice */
    sim->result->shared_writes += 5;
    if (sim->sleeping > 0)
        request(sim, victim, now_ps);
    uint64_t ps = use_line(sim, &sim->stolen_ps, now_ps);
    ps += search_end(sim, thief, ps);
    struct scaling_task *task = scaling_task_create(&sim->tasks, job->node, job);
    if (task == NULL)
        return;
    thief->task = task;
    task->at_ps = ps + sim->prices.start;
    sim->result->overhead_ps += task->at_ps - now_ps;
    schedule_owner(sim, thief);
}

static void try_cas(struct sim *sim, struct worker *thief, struct worker *victim, uint64_t now_ps)
{
    thief->victim = victim->task;
    thief->generation = victim->task->generation;
    thief->tail = victim->task->tail;
    thief->split = victim->task->split;
    schedule(sim, thief, EVENT_CAS, use_line(sim, &victim->task->range_ps, now_ps));
}

static struct worker *victim_of(struct sim *sim, const struct worker *thief)
{
    return &sim->workers[(thief->start + thief->index) % sim->count];
}

static void cas(struct sim *sim, struct worker *thief, uint64_t now_ps)
{
    struct worker *victim = victim_of(sim, thief);
    struct scaling_task *task = victim->task;
    if (task != NULL && task == thief->victim && task->generation == thief->generation) {
        if (task->tail == thief->tail && task->split == thief->split) {
            take(sim, thief, victim, now_ps);
            return;
        }
        request(sim, victim, now_ps);
    }
    sim->result->cas_failed++;
    next_look(sim, thief, now_ps);
}

/* Publishes half of the private jobs of @task. How many. */
static unsigned publish(struct sim *sim, struct scaling_task *task)
{
    unsigned count = (task->head - task->split + 1) / 2;
    task->split += count;
    if (count > 0)
        task->wanted = false;
    sim->result->jobs_published += count;
    sim->result->shared_writes += count + 2; /* slots; range; limits */
    return count;
}

/* Whether the owner neither forks nor joins for some time. */
static bool is_stuck(const struct sim *sim, const struct worker *owner)
{
    const struct scaling_task *task = owner->task;
    if (sim->now_ps < task->offered_ps + task->pause_ps)
        return false;
    return !task->wanted || owner->event_ps > sim->now_ps + STUCK_PS;
}

/* Finds somebody stuck with private jobs. The event that follows forces them out. */
static bool begin_force(struct sim *sim, struct worker *thief, uint64_t now_ps)
{
    unsigned self = (unsigned)(thief - sim->workers);
    for (unsigned i = 1; i < sim->count; i++) {
        struct worker *victim = &sim->workers[(self + i) % sim->count];
        struct scaling_task *task = victim->task;
        if (task == NULL)
            continue;
        scaling_task_seek(&sim->tasks, task, sim->now_ps);
        if (task->head == task->split || !is_stuck(sim, victim))
            continue;
        thief->start = self;
        thief->index = i;
        schedule(sim, thief, EVENT_FORCE, now_ps + sim->prices.force);
        return true;
    }
    return false;
}

static void end_of_pass(struct sim *sim, struct worker *thief, uint64_t now_ps)
{
    bool last = thief->watched || sim->prices.spin == 0 || now_ps >= thief->deadline_ps;
    thief->forcing_last = last;
    if ((last || now_ps >= thief->force_ps) && begin_force(sim, thief, now_ps))
        return;
    if (last)
        go_to_sleep(sim, thief, now_ps);
    else
        begin_pass(sim, thief, now_ps);
}

static void force(struct sim *sim, struct worker *thief, uint64_t now_ps)
{
    struct worker *victim = victim_of(sim, thief);
    struct scaling_task *task = victim->task;
    if (task != NULL) {
        scaling_task_seek(&sim->tasks, task, sim->now_ps);
        if (task->head > task->split && task->tail == task->split) {
            (void)publish(sim, task);
            sim->result->jobs_forced++;
            schedule_owner(sim, victim);
        }
        if (task->tail < task->split) {
            take(sim, thief, victim, use_line(sim, &task->range_ps, now_ps));
            return;
        }
    }
    thief->force_ps = now_ps + sim->prices.force_every;
    if (thief->forcing_last)
        go_to_sleep(sim, thief, now_ps);
    else
        begin_pass(sim, thief, now_ps);
}

static void next_look(struct sim *sim, struct worker *thief, uint64_t now_ps)
{
    if (++thief->index == sim->count)
        end_of_pass(sim, thief, now_ps + sim->prices.round);
    else
        schedule(sim, thief, EVENT_LOOK, now_ps + sim->prices.look);
}

/* Whether @thief finds other values in the lines of @victim than when it looked last. */
static bool has_changed(struct sim *sim, const struct worker *thief, const struct worker *victim)
{
    const struct scaling_task *task = victim->task;
    uint64_t now = 0;
    if (task != NULL)
        now = task->generation << 17 | (task->tail << 9 | task->split << 1 | task->wanted);
    size_t pair = (size_t)(thief - sim->workers) * sim->count + (size_t)(victim - sim->workers);
    bool changed = sim->seen[pair] != now;
    sim->seen[pair] = now;
    return changed;
}

static void look(struct sim *sim, struct worker *thief, uint64_t now_ps)
{
    struct worker *victim = victim_of(sim, thief);
    if (victim == thief) {
        next_look(sim, thief, now_ps);
        return;
    }
    sim->result->steal_attempts++;
    if (has_changed(sim, thief, victim))
        now_ps += sim->prices.line;
    if (victim->task != NULL && victim->task->tail < victim->task->split) {
        try_cas(sim, thief, victim, now_ps);
        return;
    }
    if (victim->task != NULL)
        request(sim, victim, now_ps);
    next_look(sim, thief, now_ps);
}

/* ---- owners ---------------------------------------------------------------------------------- */

static void spend(struct sim *sim, struct scaling_task *task, uint64_t ps)
{
    task->at_ps += ps;
    sim->result->overhead_ps += ps;
}

/* Publishes because somebody has asked, and wakes somebody if that may help. */
static void answer(struct sim *sim, struct scaling_task *task)
{
    if (publish(sim, task) == 0)
        return;
    sim->result->publications++;
    spend(sim, task, sim->prices.publish);
    spend(sim, task, notify(sim, task->at_ps));
}

/* A fork answers, unless it pauses. */
static void offer(struct sim *sim, struct scaling_task *task)
{
    uint64_t now_ps = task->at_ps;
    if (now_ps < task->offered_ps + task->pause_ps)
        return;
    task->offered_ps = now_ps;
    task->offer_woke = sim->sleeping > 0 && sim->searching == 0;
    answer(sim, task);
}

/* The first join of a public job after a fork has woken a thief. */
static void judge_offer(const struct sim *sim, struct scaling_task *task)
{
    if (!task->offer_woke || sim->prices.worth == 0)
        return;
    task->offer_woke = false;
    uint64_t pause_ps = 2 * task->pause_ps > PAUSE_MIN_PS ? 2 * task->pause_ps : PAUSE_MIN_PS;
    pause_ps = pause_ps < PAUSE_MAX_PS ? pause_ps : PAUSE_MAX_PS;
    task->pause_ps = task->at_ps - task->offered_ps < sim->prices.worth ? pause_ps : 0;
}

/* The newest job is stolen and done: its place is free. */
static void settle(struct sim *sim, struct scaling_task *task)
{
    task->head--;
    task->tail = task->split = task->head;
    scaling_task_top(task)->step++;
    sim->result->shared_writes += 2; /* range, limits */
}

static void park(struct sim *sim, struct worker *worker)
{
    struct scaling_task *task = worker->task;
    task->jobs[task->head - 1].waiter = task;
    sim->result->shared_writes++;
    worker->task = NULL;
    sim->result->overhead_ps += sim->prices.park;
    schedule(sim, worker, EVENT_FIND, task->at_ps + sim->prices.park);
}

/* The join of the newest job, which is public or stolen. */
static void join_public(struct sim *sim, struct worker *worker)
{
    struct scaling_task *task = worker->task;
    unsigned index = task->head - 1;
    judge_offer(sim, task);
    if (task->tail > index) {
        if (!task->jobs[index].done) {
            park(sim, worker);
            return;
        }
        settle(sim, task);
        spend(sim, task, sim->prices.settle);
        schedule_owner(sim, worker);
        return;
    }
    task->split = (task->tail + index + 1) / 2; /* <= index */
    task->head--;
    scaling_task_top(task)->step++;
    sim->result->shared_writes += 2;
    spend(sim, task, use_line(sim, &task->range_ps, task->at_ps) - task->at_ps);
    spend(sim, task, sim->prices.takeback);
    if (task->wanted && task->tail == task->split && index > task->split)
        answer(sim, task);
    else if (task->tail < task->split)
        spend(sim, task, notify(sim, task->at_ps));
    scaling_task_enter(&sim->tasks, task, task->jobs[index].node);
    schedule_owner(sim, worker);
}

/* The join of a private job, by an owner that has been asked. */
static void join_asked(struct sim *sim, struct worker *worker)
{
    struct scaling_task *task = worker->task;
    task->head--;
    scaling_task_top(task)->step++;
    if (task->head > task->split && task->tail == task->split) {
        answer(sim, task);
    } else {
        task->asks_joins = false;
        spend(sim, task, sim->prices.takeback);
    }
    scaling_task_enter(&sim->tasks, task, task->jobs[task->head].node);
    schedule_owner(sim, worker);
}

/* The task of @worker has ended. */
static void end_task(struct sim *sim, struct worker *worker)
{
    struct scaling_task *task = worker->task;
    struct scaling_job *parent = task->parent;
    uint64_t now_ps = task->at_ps;
    worker->task = NULL;
    scaling_task_release(&sim->tasks, task);
    if (parent == NULL) {
        sim->ended = true;
        sim->result->makespan_ps = now_ps;
        return;
    }
    uint64_t ps = use_line(sim, &sim->stolen_ps, now_ps);
    parent->done = true;
    struct scaling_task *waiter = parent->waiter;
    if (waiter == NULL) {
        ps += sim->prices.end;
        schedule(sim, worker, EVENT_FIND, ps);
    } else {
        worker->task = waiter;
        waiter->at_ps = ps = ps + sim->prices.resume;
        settle(sim, waiter);
        schedule_owner(sim, worker);
    }
    sim->result->overhead_ps += ps - now_ps;
}

/* @worker comes to its boundary, or to where it answers. */
static void owner(struct sim *sim, struct worker *worker, uint64_t now_ps)
{
    struct scaling_task *task = worker->task;
    scaling_task_seek(&sim->tasks, task, now_ps);
    struct scaling_op op = scaling_task_op_of(&sim->tasks, scaling_task_top(task));
    while (op.kind == SCALING_END && task->depth > 1) {
        task->depth--;
        op = scaling_task_op_of(&sim->tasks, scaling_task_top(task));
    }
    if (op.kind == SCALING_END) {
        end_task(sim, worker);
    } else if (op.kind == SCALING_JOIN && !scaling_task_newest_is_private(task)) {
        join_public(sim, worker);
    } else if (op.kind == SCALING_JOIN && task->asks_joins) {
        join_asked(sim, worker);
    } else if (op.kind == SCALING_FORK) {
        scaling_task_push(&sim->tasks, task, op.child);
        offer(sim, task);
        schedule_owner(sim, worker);
    } else if (task->wanted) {
        schedule_owner(sim, worker); /* a loop has looked round, or a pause is over */
    } else {
        sim->tasks.error = -EPROTO;
    }
}

/* ---- a run ----------------------------------------------------------------------------------- */

static void happen(struct sim *sim, struct worker *worker, uint64_t now_ps)
{
    switch (worker->event) {
    case EVENT_OWNER:
        owner(sim, worker, now_ps);
        break;
    case EVENT_FIND:
        find(sim, worker, now_ps);
        break;
    case EVENT_LOOK:
        look(sim, worker, now_ps);
        break;
    case EVENT_CAS:
        cas(sim, worker, now_ps);
        break;
    case EVENT_FORCE:
        force(sim, worker, now_ps);
        break;
    case EVENT_WAKE:
        wake_up(sim, worker, now_ps);
        break;
    case EVENT_NONE:
        break;
    }
}

/* All but the first sleep, have asked, and one watches: as in a program that repeats its runs. */
static void begin(struct sim *sim)
{
    struct worker *first = &sim->workers[0];
    for (unsigned i = 1; i < sim->count; i++)
        sim->workers[i].sleeping = true;
    sim->sleeping = sim->count - 1;
    if (sim->count > 1) {
        sim->watcher = sim->workers[1].watcher = true;
        uint64_t look_ps = next_random(sim) % (sim->prices.watch + 1);
        schedule(sim, &sim->workers[1], EVENT_WAKE, look_ps);
    }
    first->task = scaling_task_create(&sim->tasks, scaling_tree_root(sim->tasks.tree), NULL);
    if (first->task == NULL)
        return;
    first->task->at_ps = 0;
    first->task->wanted = first->task->asks_joins = sim->count > 1;
    schedule_owner(sim, first);
}

static void clean_up(struct sim *sim)
{
    scaling_tasks_fini(&sim->tasks);
    free(sim->heap);
    free(sim->seen);
    free(sim->workers);
}

int scaling_run(const struct scaling_tree *tree, const struct scaling_costs *costs,
                unsigned workers, uint64_t seed, struct scaling_result *result)
{
    struct sim sim = {.tasks = {.tree = tree}, .result = result, .count = workers};
    memset(result, 0, sizeof(*result));
    sim.prices = prices_of(costs);
    sim.random = (seed + 1) * UINT64_C(0x9E3779B97F4A7C15);
    sim.workers = calloc(workers, sizeof(*sim.workers));
    sim.seen = calloc((size_t)workers * workers, sizeof(*sim.seen));
    if (sim.workers != NULL && sim.seen != NULL)
        begin(&sim);
    else
        sim.tasks.error = -ENOMEM;
    while (!sim.ended && sim.tasks.error == 0 && sim.heap_count > 0) {
        struct entry entry = heap_pop(&sim);
        struct worker *worker = &sim.workers[entry.worker];
        if (entry.version != worker->version)
            continue;
        result->events++;
        sim.now_ps = entry.ps;
        happen(&sim, worker, entry.ps);
    }
    result->work_ps = sim.tasks.work_ps;
    clean_up(&sim);
    if (sim.tasks.error == 0 && !sim.ended)
        return -EDEADLK; /* nobody has anything to do, and the root has not ended */
    return sim.tasks.error;
}
