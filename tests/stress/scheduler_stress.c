/*
 * tests/stress/scheduler_stress.c - everything the scheduler does, at once and in random order.
 *
 * usage: scheduler_stress [phase [seed]]      phase: mix, steal, wake or all (default)
 *
 *   mix    actors on 1..8 workers and two foreign threads: spawn and await, yield, sleep, park and
 *          unpark, promises, cancels, hops, jobs, pipe reads and writes, deadlines. Every result is
 *          checked where it is read, every task is counted when it is made and when it ends.
 *   steal  batches of tiny tasks from one producer; each must run exactly once. Counts steals.
 *   wake   hand-overs between tasks, and from foreign threads, on workers that sleep as soon as
 *          they have nothing to do: one lost wake-up and the game stands still. Counts parks.
 *
 * The seed is printed; the choices follow from it, the interleaving does not. A run without
 * progress for a minute lists its tasks and ends. SKUA_STRESS_SCALE (default 1) multiplies the
 * work. The last line is "ok" and the exit code 0 if all was well; the line before it holds the
 * counters, for tools/soak.
 */
#include <skua/skua.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STALL_LIMIT_S 60
#define LOOK_NS (SKUA_NS_PER_SEC / 4)

/* One runtime under stress, and what it must add up to. The counters are relaxed: they are read
   after everything has been awaited, which orders them. */
struct world {
    skua_runtime *runtime;
    uint64_t seed;
    size_t steps;            /* of each actor */
    _Atomic uint64_t made;   /* bodies that must run to their end */
    _Atomic uint64_t ended;  /* and did */
    _Atomic uint64_t wrong;  /* results that were not what they had to be */
    _Atomic uint64_t hooked; /* failures reported: none, for every error is read */
    _Atomic uint64_t progress;
};

/* Sums over all runtimes of this program. */
static struct {
    uint64_t tasks, steals, parks, wakes, switches, offloads, ops, handovers;
} totals;

#ifdef __SANITIZE_THREAD__
static double scale = 0.05;
#else
static double scale = 1.0;
#endif

struct random {
    uint64_t state;
};

static uint64_t next(struct random *random)
{
    random->state ^= random->state << 13;
    random->state ^= random->state >> 7;
    random->state ^= random->state << 17;
    return random->state * UINT64_C(2685821657736338717) >> 16;
}

static struct random random_from(uint64_t seed, uint64_t salt)
{
    struct random random = {(seed + 1) * UINT64_C(0x9E3779B97F4A7C15) ^
                            (salt + 1) * UINT64_C(0xD1B54A32D192ED03)};
    if (random.state == 0)
        random.state = 1;
    (void)next(&random);
    return random;
}

static void add(_Atomic uint64_t *counter, uint64_t count)
{
    atomic_fetch_add_explicit(counter, count, memory_order_relaxed);
}

static uint64_t get(_Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* Counts, and says, a result that is not what it had to be. */
static void must(struct world *world, const char *what, bool held, intptr_t got)
{
    if (held)
        return;
    fprintf(stderr, "%s: %jd\n", what, (intmax_t)got);
    add(&world->wrong, 1);
}

static void made(struct world *world)
{
    add(&world->made, 1);
}

static void ended(struct world *world)
{
    add(&world->ended, 1);
    add(&world->progress, 1);
}

/* ---- what actors do -------------------------------------------------------------------------- */

/* One step's own: children get its address, and the step ends after they have. */
struct step {
    struct world *world;
    struct random random;
    skua_future *target;
    skua_promise *promise;
    uint64_t at_ns;
    intptr_t value;
    int ends[2];
    _Atomic bool flag;
};

static intptr_t give_value(void *arg)
{
    struct step *step = arg;
    ended(step->world);
    return step->value;
}

static intptr_t yield_and_give_value(void *arg)
{
    struct step *step = arg;
    (void)skua_yield();
    return give_value(step);
}

static void do_spawn(struct step *step)
{
    skua_future *futures[8];
    unsigned count = 1 + (unsigned)(next(&step->random) % 8);
    for (unsigned i = 0; i < count; i++) {
        made(step->world);
        futures[i] = skua_spawn(i % 2 ? give_value : yield_and_give_value, step);
    }
    for (unsigned i = 0; i < count; i++) {
        intptr_t rc = skua_await(futures[i]);
        must(step->world, "spawn", rc == step->value, rc);
    }
}

static intptr_t fib(void *arg)
{
    intptr_t n = (intptr_t)arg;
    if (n < 2)
        return n;
    skua_future *left = skua_spawn(fib, (void *)(n - 1));
    skua_future *right = skua_spawn(fib, (void *)(n - 2));
    intptr_t sum = skua_await(left);
    return sum + skua_await(right);
}

static void do_tree(struct step *step)
{
    intptr_t rc = fib((void *)(intptr_t)9);
    must(step->world, "fib", rc == 34, rc);
}

static void do_sleep(struct step *step)
{
    uint64_t at_ns = skua_after(next(&step->random) % (200 * SKUA_NS_PER_US));
    int rc = skua_sleep_until(at_ns);
    must(step->world, "sleep", rc == 0 && skua_now() >= at_ns, rc);
}

static intptr_t unpark_target(void *arg)
{
    struct step *step = arg;
    /* release: partner is the acquire in do_park() */
    atomic_store_explicit(&step->flag, true, memory_order_release);
    int rc = skua_unpark(step->target);
    ended(step->world);
    return rc;
}

/* Somebody - a task, a job - gives this task a token. */
static void do_park(struct step *step)
{
    step->target = skua_self();
    made(step->world);
    skua_future *waker = next(&step->random) % 2 ? skua_spawn(unpark_target, step)
                                                 : skua_run_in_executor(NULL, unpark_target, step);
    while (!atomic_load_explicit(&step->flag, memory_order_acquire)) {
        uint64_t deadline =
            next(&step->random) % 4 ? SKUA_FOREVER : skua_after(20 * SKUA_NS_PER_US);
        int rc = skua_park(deadline);
        must(step->world, "park", rc == 0 || (rc == -ETIMEDOUT && deadline != SKUA_FOREVER), rc);
    }
    intptr_t rc = skua_await(waker);
    must(step->world, "unpark", rc == 0, rc);
    rc = skua_park(0); /* the token, if it came after the flag was seen */
    must(step->world, "late token", rc == 0 || rc == -ETIMEDOUT, rc);
}

static intptr_t set_promise(void *arg)
{
    struct step *step = arg;
    int rc = skua_promise_set(step->promise, step->value);
    skua_promise_unref(step->promise);
    ended(step->world);
    return rc;
}

static void do_promise(struct step *step)
{
    skua_future *future = skua_promise_create(&step->promise);
    made(step->world);
    skua_future *setter = next(&step->random) % 2
                              ? skua_spawn(set_promise, step)
                              : skua_run_in_executor(skua_executor_cpu(NULL), set_promise, step);
    bool cancelled = next(&step->random) % 4 == 0 && skua_cancel(future) == 0;
    intptr_t rc = skua_await(future);
    must(step->world, "promise", rc == (cancelled ? -ECANCELED : step->value), rc);
    rc = skua_await(setter);
    must(step->world, "promise_set", rc == (cancelled ? -EALREADY : 0), rc);
}

static intptr_t sleep_long(void *arg)
{
    (void)arg;
    return skua_sleep(3600 * SKUA_NS_PER_SEC);
}

static intptr_t park_long(void *arg)
{
    (void)arg;
    return skua_park(SKUA_FOREVER);
}

static intptr_t hop_and_sleep(void *arg)
{
    int rc = skua_hop(NULL);
    return rc < 0 ? rc : sleep_long(arg);
}

static intptr_t await_sleeper(void *arg)
{
    return skua_await(skua_spawn(sleep_long, arg));
}

static intptr_t read_nothing(void *arg)
{
    struct step *step = arg;
    char byte;
    return skua_read(step->ends[0], &byte, 1);
}

/* By the system call: ThreadSanitizer follows descriptors, and does not see a ring close one. */
static void close_ends(struct step *step)
{
    (void)close(step->ends[0]);
    (void)close(step->ends[1]);
}

/* A task that would wait for ever is cancelled at some moment of its life. */
static void do_cancel(struct step *step)
{
    static const skua_fn bodies[] = {sleep_long, park_long, hop_and_sleep, await_sleeper,
                                     read_nothing};
    unsigned choice = (unsigned)(next(&step->random) % 5);
    bool needs_pipe = bodies[choice] == read_nothing;
    if (needs_pipe && pipe2(step->ends, O_CLOEXEC) != 0)
        return;
    skua_future *future = skua_spawn(bodies[choice], step);
    for (uint64_t turns = next(&step->random) % 4; turns > 0; turns--)
        (void)skua_yield();
    int rc = skua_cancel(future);
    must(step->world, "cancel", rc == 0, rc);
    intptr_t result = skua_await(future);
    must(step->world, "cancelled", result == -ECANCELED, result);
    if (needs_pipe) {
        close_ends(step);
    }
}

static intptr_t end_hopped(void *arg)
{
    struct step *step = arg;
    int rc = skua_hop(skua_executor_cpu(NULL));
    ended(step->world);
    return rc < 0 ? rc : step->value;
}

static void do_hop(struct step *step)
{
    skua_future *self = skua_self();
    int rc = skua_hop(next(&step->random) % 2 ? NULL : skua_executor_cpu(NULL));
    must(step->world, "hop", rc == 0 && skua_self() == self, rc);
    if (next(&step->random) % 2)
        do_spawn(step);
    rc = skua_hop_back();
    must(step->world, "hop_back", rc == 0 && skua_self() == self, rc);
    made(step->world);
    intptr_t result = skua_await(skua_spawn(end_hopped, step));
    must(step->world, "end hopped", result == step->value, result);
}

static intptr_t await_job(void *arg)
{
    struct step *step = arg;
    made(step->world);
    intptr_t rc = skua_await(skua_run_in_executor(NULL, give_value, step));
    ended(step->world);
    return rc;
}

static void do_offload(struct step *step)
{
    skua_executor *executor = next(&step->random) % 2 ? skua_executor_cpu(NULL) : NULL;
    made(step->world);
    skua_future *job =
        skua_run_in_executor(executor, next(&step->random) % 2 ? give_value : await_job, step);
    intptr_t rc = skua_await(job);
    must(step->world, "job", rc == step->value, rc);
}

static intptr_t write_byte(void *arg)
{
    struct step *step = arg;
    char byte = (char)step->value;
    ssize_t rc = skua_write(step->ends[1], &byte, 1);
    ended(step->world);
    return rc;
}

static void do_pipe(struct step *step)
{
    char byte = 0;
    if (pipe2(step->ends, O_CLOEXEC) != 0)
        return;
    made(step->world);
    skua_future *writer = skua_spawn(write_byte, step);
    ssize_t got = skua_read(step->ends[0], &byte, 1);
    must(step->world, "read", got == 1 && byte == (char)step->value, got);
    intptr_t rc = skua_await(writer);
    must(step->world, "write", rc == 1, rc);
    close_ends(step);
}

static intptr_t give_value_at(void *arg)
{
    struct step *step = arg;
    int rc = skua_sleep_until(step->at_ns);
    ended(step->world);
    return rc < 0 ? rc : step->value;
}

/* The deadline and the result come at about the same time. */
static void do_deadline(struct step *step)
{
    intptr_t result = INTPTR_MAX;
    step->at_ns = skua_after(next(&step->random) % (100 * SKUA_NS_PER_US));
    made(step->world);
    skua_future *future = skua_spawn(give_value_at, step);
    int rc = skua_await_until(future, step->at_ns, &result);
    must(step->world, "await_until", rc == 0 || (rc == -ETIMEDOUT && result == INTPTR_MAX), rc);
    if (rc != 0)
        result = skua_await(future);
    must(step->world, "late result", result == step->value, result);
}

static intptr_t count_world(void *arg)
{
    ended(arg);
    return 0;
}

static void do_detach(struct step *step)
{
    skua_task_options options = {.flags = SKUA_TASK_DETACHED, .name = "detached"};
    made(step->world);
    int rc = skua_spawn_with(&options, count_world, step->world, NULL);
    must(step->world, "detach", rc == 0, rc);
    made(step->world);
    skua_future_unref(skua_spawn(count_world, step->world));
}

static void do_yield(struct step *step)
{
    int rc = skua_yield();
    must(step->world, "yield", rc == 0, rc);
}

static void act(struct world *world, struct random *random)
{
    static void (*const steps[])(struct step *) = {do_spawn,   do_tree,     do_sleep,  do_park,
                                                   do_promise, do_cancel,   do_hop,    do_offload,
                                                   do_pipe,    do_deadline, do_detach, do_yield};
    struct step step = {.world = world,
                        .random = random_from(world->seed, next(random)),
                        .value = (intptr_t)(next(random) % 100000)};
    steps[next(random) % (sizeof(steps) / sizeof(steps[0]))](&step);
    add(&world->progress, 1);
}

struct actor {
    struct world *world;
    uint64_t number;
};

static intptr_t actor_run(void *arg)
{
    struct actor *actor = arg;
    struct random random = random_from(actor->world->seed, actor->number);
    for (size_t i = 0; i < actor->world->steps; i++)
        act(actor->world, &random);
    ended(actor->world);
    return 0;
}

/* ---- worlds ---------------------------------------------------------------------------------- */

static void on_failure(const skua_failure *failure, void *arg)
{
    struct world *world = arg;
    fprintf(stderr, "unread: %s: %jd\n", failure->site != NULL ? failure->site : "?",
            (intmax_t)failure->result);
    add(&world->hooked, 1);
}

static void list_and_die(struct world *world)
{
    skua_task_info tasks[64];
    ssize_t count = skua_runtime_list(world->runtime, tasks, 64);
    fprintf(stderr, "no progress for %d s; %zd tasks:\n", STALL_LIMIT_S, count);
    for (ssize_t i = 0; i < count && i < 64; i++)
        fprintf(stderr, "  %s %s, %s%s\n", tasks[i].kind,
                tasks[i].site != NULL ? tasks[i].site : "?", tasks[i].state,
                tasks[i].cancelled ? ", cancelled" : "");
    abort();
}

/* Awaits @future as long as there is progress. */
static intptr_t await_progress(struct world *world, skua_future *future)
{
    intptr_t result = 0;
    uint64_t seen = get(&world->progress);
    uint64_t since_ns = skua_now();
    while (skua_await_until(future, skua_after(LOOK_NS), &result) == -ETIMEDOUT) {
        uint64_t progress = get(&world->progress);
        if (progress != seen)
            since_ns = skua_now();
        else if (skua_now() - since_ns > STALL_LIMIT_S * SKUA_NS_PER_SEC)
            list_and_die(world);
        seen = progress;
    }
    return result;
}

static bool world_start(struct world *world, uint64_t seed, unsigned workers, int spin_us)
{
    /* With jobs that await jobs the blocking executor is kept small, so that it is full. */
    skua_options options = {.workers = workers,
                            .spin_us = spin_us,
                            .cpu_threads = 2,
                            .blocking_threads = 3,
                            .ring_entries = seed % 3 == 0 ? 2 : 0,
                            .cq_entries = seed % 3 == 0 ? 2 : 0,
                            .on_failure = on_failure,
                            .on_failure_arg = world};
    memset(world, 0, sizeof(*world));
    world->seed = seed;
    int rc = skua_runtime_start(&world->runtime, &options);
    if (rc < 0)
        fprintf(stderr, "start with %u workers: %d\n", workers, rc);
    return rc == 0;
}

/* Waits until nothing lives any more: detached tasks may still run. */
static void world_drain(struct world *world)
{
    skua_info info;
    uint64_t since_ns = skua_now();
    while (skua_runtime_info(world->runtime, &info) == 0 && info.tasks_live != 0) {
        if (skua_now() - since_ns > STALL_LIMIT_S * SKUA_NS_PER_SEC)
            list_and_die(world);
        (void)skua_sleep(SKUA_NS_PER_MS);
    }
}

/* Adds up and stops. True if everything was right. */
static bool world_stop(struct world *world)
{
    skua_worker_stats stats;
    skua_runtime *runtime = world->runtime;
    world_drain(world);
    uint64_t run = 0, spawned = 0;
    for (unsigned i = 0; skua_runtime_stats(runtime, i, &stats) == 0; i++) {
        run += stats.tasks_run;
        spawned += stats.tasks_spawned;
        totals.steals += stats.steals;
        totals.parks += stats.parks;
        totals.wakes += stats.wakes;
        totals.switches += stats.switches;
        totals.offloads += stats.offloads;
        totals.ops += stats.ops_completed;
    }
    totals.tasks += run;
    must(world, "stop", skua_runtime_stop(runtime, SKUA_STOP_DRAIN, SKUA_FOREVER) == 0, 0);
    must(world, "spawned, but none run", run > 0 || spawned == 0, (intptr_t)spawned);
    must(world, "made and ended", get(&world->made) == get(&world->ended),
         (intptr_t)(get(&world->made) - get(&world->ended)));
    return get(&world->wrong) == 0 && get(&world->hooked) == 0;
}

/* ---- mix ------------------------------------------------------------------------------------- */

#define ACTORS 24
#define MIX_STEPS 400

/* A foreign thread: submits actors' work, awaits, cancels, drops. */
static void *foreign_run(void *arg)
{
    struct actor *self = arg;
    struct world *world = self->world;
    struct random random = random_from(world->seed, 1000 + self->number);
    for (size_t i = 0; i < world->steps; i++) {
        struct step step = {.world = world, .random = random, .value = (intptr_t)i};
        made(world);
        skua_future *future = skua_submit(world->runtime, yield_and_give_value, &step);
        intptr_t rc = skua_await(future);
        must(world, "submit", rc == step.value, rc);
        future = skua_submit(world->runtime, next(&random) % 2 ? park_long : sleep_long, NULL);
        if (next(&random) % 2)
            (void)sched_yield();
        rc = skua_cancel(future);
        must(world, "foreign cancel", rc == 0, rc);
        rc = skua_await(future);
        must(world, "foreign cancelled", rc == -ECANCELED, rc);
        made(world);
        rc = skua_await(skua_run_in_executor(skua_executor_cpu(world->runtime), give_value, &step));
        must(world, "foreign job", rc == step.value, rc);
    }
    return NULL;
}

static bool mix(uint64_t seed, unsigned workers)
{
    struct world world;
    struct actor actors[ACTORS], foreigners[2];
    skua_future *futures[ACTORS];
    pthread_t threads[2];
    if (!world_start(&world, seed, workers, seed % 2 ? -1 : 0))
        return false;
    world.steps = (size_t)(MIX_STEPS * scale) + 1;
    for (unsigned i = 0; i < ACTORS; i++) {
        actors[i] = (struct actor){&world, i};
        made(&world);
        futures[i] = skua_submit(world.runtime, actor_run, &actors[i]);
    }
    for (unsigned i = 0; i < 2; i++) {
        foreigners[i] = (struct actor){&world, i};
        if (pthread_create(&threads[i], NULL, foreign_run, &foreigners[i]) != 0)
            abort();
    }
    for (unsigned i = 0; i < ACTORS; i++) {
        intptr_t rc = await_progress(&world, futures[i]);
        must(&world, "actor", rc == 0, rc);
    }
    for (unsigned i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    return world_stop(&world);
}

/* ---- steal ----------------------------------------------------------------------------------- */

#define BATCH 1024u
#define STEAL_BATCHES 2000

struct batch {
    struct world *world;
    struct item *items;
    skua_future *producer;
    _Atomic unsigned left;
};

struct item {
    struct batch *batch;
    unsigned runs; /* plain: handed over by queues and counters, or a tool for races says so */
};

static intptr_t item_run(void *arg)
{
    struct item *item = arg;
    struct batch *batch = item->batch;
    item->runs++;
    /* acq_rel: the last one hands all of the runs to the producer */
    if (atomic_fetch_sub_explicit(&batch->left, 1, memory_order_acq_rel) == 1)
        (void)skua_unpark(batch->producer);
    return 0;
}

static intptr_t produce(void *arg)
{
    struct batch *batch = arg;
    skua_task_options detached = {.flags = SKUA_TASK_DETACHED};
    batch->producer = skua_self();
    size_t rounds = (size_t)(STEAL_BATCHES * scale) + 1;
    for (size_t round = 0; round < rounds; round++) {
        atomic_store_explicit(&batch->left, BATCH, memory_order_relaxed); /* spawns order it */
        for (unsigned i = 0; i < BATCH; i++) {
            batch->items[i].runs = 0;
            int rc = skua_spawn_with(&detached, item_run, &batch->items[i], NULL);
            must(batch->world, "spawn", rc == 0, rc);
            if (i % 128 == 127)
                (void)skua_yield();
        }
        /* acquire: partner is the last item's release */
        while (atomic_load_explicit(&batch->left, memory_order_acquire) != 0)
            (void)skua_park(SKUA_FOREVER);
        for (unsigned i = 0; i < BATCH; i++)
            must(batch->world, "runs of one item", batch->items[i].runs == 1,
                 (intptr_t)batch->items[i].runs);
        add(&batch->world->progress, 1);
    }
    return 0;
}

static bool steal(uint64_t seed, unsigned workers)
{
    struct world world;
    struct batch batch = {.world = &world, .items = calloc(BATCH, sizeof(struct item))};
    if (batch.items == NULL || !world_start(&world, seed, workers, 0)) {
        free(batch.items);
        return false;
    }
    for (unsigned i = 0; i < BATCH; i++)
        batch.items[i].batch = &batch;
    intptr_t rc = await_progress(&world, skua_submit(world.runtime, produce, &batch));
    must(&world, "producer", rc == 0, rc);
    bool ok = world_stop(&world);
    free(batch.items);
    return ok;
}

/* ---- wake ------------------------------------------------------------------------------------ */

#define WAKE_ROUNDS 5000
#define GAMES 3

/* Two players hand a ball to and fro; whoever has not got it parks. */
struct game {
    struct world *world;
    size_t rounds;
    _Atomic(skua_future *) players[2];
    _Atomic uint64_t ball; /* odd: player 1's turn */
};

static intptr_t play(struct game *game, unsigned me)
{
    skua_future *other;
    atomic_store_explicit(&game->players[me], skua_self(), memory_order_release);
    /* acquire: partner is the store above, of the other */
    while ((other = atomic_load_explicit(&game->players[1 - me], memory_order_acquire)) == NULL)
        (void)skua_yield();
    for (size_t i = 0; i < game->rounds; i++) {
        while (atomic_load_explicit(&game->ball, memory_order_acquire) % 2 != me) {
            int rc = skua_park(SKUA_FOREVER);
            must(game->world, "player's park", rc == 0, rc);
        }
        atomic_fetch_add_explicit(&game->ball, 1, memory_order_release);
        int rc = skua_unpark(other);
        must(game->world, "player's unpark", rc == 0 || rc == -EALREADY, rc);
        add(&game->world->progress, 1);
    }
    return 0;
}

static intptr_t play_first(void *arg)
{
    return play(arg, 0);
}

static intptr_t play_second(void *arg)
{
    return play(arg, 1);
}

/* A foreign thread wakes a worker for each of its tasks, one at a time. */
static void *knock(void *arg)
{
    struct world *world = arg;
    size_t rounds = (size_t)(WAKE_ROUNDS * scale) + 1;
    for (size_t i = 0; i < rounds; i++) {
        made(world);
        intptr_t rc = skua_await(skua_submit(world->runtime, count_world, world));
        must(world, "knock", rc == 0, rc);
    }
    return NULL;
}

static bool wake(uint64_t seed, unsigned workers)
{
    struct world world;
    struct game games[GAMES];
    skua_future *futures[2 * GAMES], *held[2 * GAMES];
    pthread_t thread;
    if (!world_start(&world, seed, workers, -1))
        return false;
    for (unsigned i = 0; i < GAMES; i++) {
        games[i] = (struct game){.world = &world, .rounds = (size_t)(WAKE_ROUNDS * scale) + 1};
        futures[2 * i] = skua_submit(world.runtime, play_first, &games[i]);
        futures[2 * i + 1] = skua_submit(world.runtime, play_second, &games[i]);
    }
    for (unsigned i = 0; i < 2 * GAMES; i++)
        held[i] = skua_future_ref(futures[i]); /* the last unpark may come after the end */
    if (pthread_create(&thread, NULL, knock, &world) != 0)
        abort();
    for (unsigned i = 0; i < 2 * GAMES; i++) {
        intptr_t rc = await_progress(&world, futures[i]);
        must(&world, "player", rc == 0, rc);
    }
    pthread_join(thread, NULL);
    for (unsigned i = 0; i < 2 * GAMES; i++)
        skua_future_unref(held[i]);
    for (unsigned i = 0; i < GAMES; i++)
        totals.handovers += atomic_load_explicit(&games[i].ball, memory_order_relaxed);
    return world_stop(&world);
}

/* ---- main ------------------------------------------------------------------------------------ */

static bool run_phase(const char *name, bool (*phase)(uint64_t, unsigned), uint64_t seed)
{
    static const unsigned workers[] = {1, 2, 3, 4, 8};
    bool ok = true;
    for (unsigned i = 0; i < sizeof(workers) / sizeof(workers[0]); i++) {
        uint64_t began_ns = skua_now();
        bool good = phase(seed + i, workers[i]);
        printf("%s, seed %" PRIu64 ", %u workers: %s, %.2f s\n", name, seed + i, workers[i],
               good ? "well" : "WRONG", (double)(skua_now() - began_ns) / SKUA_NS_PER_SEC);
        fflush(stdout);
        ok = ok && good;
    }
    return ok;
}

static bool is_wanted(const char *wanted, const char *phase)
{
    return strcmp(wanted, phase) == 0 || strcmp(wanted, "all") == 0;
}

int main(int argc, char **argv)
{
    const char *text = getenv("SKUA_STRESS_SCALE");
    const char *phase = argc > 1 ? argv[1] : "all";
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : skua_now() % 1000000;
    bool ok = true;
    if (text != NULL && atof(text) > 0)
        scale *= atof(text);
    printf("seed %" PRIu64 ", scale %g\n", seed, scale);
    if (is_wanted(phase, "mix"))
        ok = run_phase("mix", mix, seed) && ok;
    if (is_wanted(phase, "steal"))
        ok = run_phase("steal", steal, seed) && ok;
    if (is_wanted(phase, "wake"))
        ok = run_phase("wake", wake, seed) && ok;
    printf("tasks %" PRIu64 " steals %" PRIu64 " parks %" PRIu64 " wakes %" PRIu64
           " switches %" PRIu64 " offloads %" PRIu64 " ops %" PRIu64 " handovers %" PRIu64 "\n",
           totals.tasks, totals.steals, totals.parks, totals.wakes, totals.switches,
           totals.offloads, totals.ops, totals.handovers);
    printf("%s\n", ok ? "ok" : "FAILED");
    return ok ? 0 : 1;
}
