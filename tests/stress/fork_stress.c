/*
 * tests/stress/fork_stress.c - fork and join in random trees, among waits, cancels and thieves.
 *
 * usage: fork_stress [phase [seed]]      phase: tree, cancel, fray or all (default)
 *
 *   tree    random trees of plain and typed jobs, joined in random order where that is allowed.
 *           Nodes yield, sleep, park, await tasks and promises, hop and offload with jobs unjoined.
 *           The value of every tree is known.
 *   cancel  the same, half of the trees cancelled at some time: those give their value or
 *           -ECANCELED, the others their value.
 *   fray    trees of next to nothing, so that thieves are always about. Counts thefts.
 *
 * Each phase runs with 2, 4 and 8 workers that spin before they sleep, and that do not. The seed is
 * printed; the choices follow from it, the interleaving does not. A run without progress for a
 * minute lists its tasks and ends. SKUA_STRESS_SCALE (default 1) multiplies the work. The last line
 * is "ok" and the exit code 0 if all was well; the line before it holds the counters.
 */
#include <skua/skua.h>

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STALL_LIMIT_S 60
#define LOOK_NS (SKUA_NS_PER_SEC / 4)
#define TREES 8u
#define WIDTH_MAX 5u

#if defined(__SANITIZE_THREAD__)
static double scale = 0.05;
#elif defined(__SANITIZE_ADDRESS__)
static double scale = 0.2;
#else
static double scale = 1.0;
#endif

/* Relaxed, all of them: sums, read when everything has been awaited. */
static _Atomic uint64_t wrong, nodes, cancelled_trees;
static uint64_t stolen, published, forced;

/* How restless the nodes are: one wait in so many. 0: none. Set while nothing runs. */
static unsigned wait_period;

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

static void must(const char *what, bool good, intptr_t value)
{
    if (good)
        return;
    add(&wrong, 1);
    fprintf(stderr, "%s: %jd\n", what, (intmax_t)value);
}

/* ---- trees ----------------------------------------------------------------------------------- */

/* A node and all below it follow from these two. */
struct node {
    uint64_t seed;
    unsigned depth;
};

static unsigned width_of(struct node node)
{
    struct random random = random_from(node.seed, 1);
    return node.depth == 0 ? 0 : (unsigned)(next(&random) % (WIDTH_MAX + 1));
}

static struct node below(struct node node, unsigned i)
{
    struct random random = random_from(node.seed, 2 + i);
    return (struct node){next(&random), node.depth - 1};
}

static intptr_t own_value(struct node node)
{
    return (intptr_t)(node.seed % 1009);
}

/* Adds the value of child @i, or an error, to @sum. An error stays. */
static intptr_t combine(intptr_t sum, intptr_t value, unsigned i)
{
    if (sum < 0 || value < 0)
        return sum < 0 ? sum : value;
    return (sum + value * (intptr_t)(i + 1)) & INT32_MAX;
}

static intptr_t serial_value(struct node node)
{
    intptr_t sum = own_value(node);
    for (unsigned i = 0; i < width_of(node); i++)
        sum = combine(sum, serial_value(below(node, i)), i);
    return sum;
}

/* ---- waits ----------------------------------------------------------------------------------- */

static int wait_yield(struct random *random)
{
    (void)random;
    return skua_yield();
}

static int wait_sleep(struct random *random)
{
    return skua_sleep(next(random) % 50 * SKUA_NS_PER_US);
}

static int wait_park(struct random *random)
{
    int rc = skua_park(skua_after(next(random) % 50 * SKUA_NS_PER_US));
    return rc == -ETIMEDOUT ? 0 : rc;
}

static intptr_t give(void *arg)
{
    return (intptr_t)arg;
}

static int wait_task(struct random *random)
{
    intptr_t value = (intptr_t)(next(random) % 1000);
    intptr_t rc = skua_await(skua_spawn(give, (void *)value));
    return rc == value ? 0 : (int)rc;
}

static int wait_offload(struct random *random)
{
    intptr_t value = (intptr_t)(next(random) % 1000);
    intptr_t rc = skua_await(skua_run_in_executor(NULL, give, (void *)value));
    return rc == value ? 0 : (int)rc;
}

static intptr_t set_promise(void *arg)
{
    return skua_promise_set(arg, 7);
}

static int wait_promise(struct random *random)
{
    skua_promise *promise;
    (void)random;
    skua_future *future = skua_promise_create(&promise);
    skua_future *setter = skua_spawn(set_promise, promise);
    intptr_t rc = skua_await(future);
    intptr_t set = skua_await(setter); /* it has the promise borrowed */
    skua_promise_unref(promise);
    must("setter", set == 0 || set == -ECANCELED || set == -EALREADY, set);
    return rc == 7 ? 0 : (int)rc;
}

static int wait_hop(struct random *random)
{
    int rc = skua_hop(NULL);
    if (rc < 0)
        return rc;
    rc = wait_sleep(random);
    int back = skua_hop_back();
    return rc < 0 ? rc : back;
}

/* Perhaps a wait. 0 or -ECANCELED. */
static int perhaps_wait(struct random *random)
{
    static int (*const waits[])(struct random *) = {wait_yield,   wait_yield,   wait_sleep,
                                                    wait_park,    wait_task,    wait_task,
                                                    wait_offload, wait_promise, wait_hop};
    if (wait_period == 0 || next(random) % wait_period != 0)
        return 0;
    int rc = waits[next(random) % (sizeof(waits) / sizeof(waits[0]))](random);
    must("wait", rc == 0 || rc == -ECANCELED, rc);
    return rc;
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static intptr_t run_plain(void *arg);

SKUA_FORKABLE(intptr_t, typed_node, struct node, node)
{
    struct random random = random_from(node.seed, 100);
    SKUA_JOB(typed_node) jobs[WIDTH_MAX];
    intptr_t sum = own_value(node);
    unsigned width = width_of(node);
    unsigned forked[WIDTH_MAX], count = 0;
    add(&nodes, 1);
    for (unsigned i = 0; i < width; i++) {
        sum = combine(sum, perhaps_wait(&random), 0);
        struct node child = below(node, i);
        switch (next(&random) % 4) {
        case 0:
            sum = combine(sum, SKUA_CALL(typed_node, child), i);
            break;
        case 1:
            sum = combine(sum, run_plain(&child), i);
            break;
        default:
            SKUA_FORK(typed_node, &jobs[count], child);
            forked[count++] = i;
        }
    }
    while (count > 0) {
        sum = combine(sum, perhaps_wait(&random), 0);
        count--;
        sum = combine(sum, SKUA_JOIN(typed_node, &jobs[count]), forked[count]);
    }
    return sum;
}

/* A child of a plain node: a job, or part of it already. */
struct plain_child {
    struct node node;
    skua_job job;
    unsigned number;
};

/* Joins one of the @count unjoined ones, any. */
static intptr_t join_any(struct plain_child **unjoined, unsigned count, struct random *random,
                         intptr_t sum)
{
    unsigned at = next(random) % 2 ? count - 1 : (unsigned)(next(random) % count);
    struct plain_child *child = unjoined[at];
    unjoined[at] = unjoined[count - 1];
    unjoined[count - 1] = NULL;
    return combine(sum, skua_join(&child->job), child->number);
}

static intptr_t run_plain(void *arg)
{
    struct node node = *(struct node *)arg;
    struct random random = random_from(node.seed, 200);
    struct plain_child children[WIDTH_MAX], *unjoined[WIDTH_MAX];
    intptr_t sum = own_value(node);
    unsigned width = width_of(node);
    unsigned count = 0;
    add(&nodes, 1);
    for (unsigned i = 0; i < width; i++) {
        struct plain_child *child = &children[i];
        sum = combine(sum, perhaps_wait(&random), 0);
        child->node = below(node, i);
        child->number = i;
        switch (next(&random) % 6) {
        case 0:
            sum = combine(sum, typed_node(child->node), i);
            break;
        case 1:
            sum = combine(sum, skua_await(skua_spawn(run_plain, &child->node)), i);
            break;
        default:
            must("fork", skua_fork(&child->job, run_plain, &child->node) == 0, i);
            unjoined[count++] = child;
        }
        if (count > 0 && next(&random) % 3 == 0)
            sum = join_any(unjoined, count--, &random, sum);
    }
    for (; count > 0; count--) {
        sum = combine(sum, perhaps_wait(&random), 0);
        sum = join_any(unjoined, count, &random, sum);
    }
    return sum;
}

static intptr_t run_typed(void *arg)
{
    return typed_node(*(struct node *)arg);
}

/* ---- worlds ---------------------------------------------------------------------------------- */

static void list_and_die(skua_runtime *runtime)
{
    skua_task_info tasks[64];
    ssize_t count = skua_runtime_list(runtime, tasks, 64);
    fprintf(stderr, "no progress for %d s; %zd tasks:\n", STALL_LIMIT_S, count);
    for (ssize_t i = 0; i < count && i < 64; i++)
        fprintf(stderr, "  %s %s, %s%s\n", tasks[i].kind,
                tasks[i].site != NULL ? tasks[i].site : "?", tasks[i].state,
                tasks[i].cancelled ? ", cancelled" : "");
    abort();
}

/* Awaits @future as long as there is progress. */
static intptr_t await_progress(skua_runtime *runtime, skua_future *future)
{
    intptr_t result = 0;
    uint64_t seen = get(&nodes);
    uint64_t since_ns = skua_now();
    while (skua_await_until(future, skua_after(LOOK_NS), &result) == -ETIMEDOUT) {
        uint64_t now = get(&nodes);
        if (now != seen)
            since_ns = skua_now();
        else if (skua_now() - since_ns > STALL_LIMIT_S * SKUA_NS_PER_SEC)
            list_and_die(runtime);
        seen = now;
    }
    return result;
}

/* Some trees at once; every second one is cancelled if @cancels. */
static void grow(skua_runtime *runtime, struct random *random, unsigned depth, bool cancels)
{
    struct node roots[TREES];
    skua_future *futures[TREES];
    for (unsigned i = 0; i < TREES; i++) {
        roots[i] = (struct node){next(random), depth};
        futures[i] = skua_submit(runtime, i % 4 < 2 ? run_plain : run_typed, &roots[i]);
    }
    if (cancels)
        (void)skua_sleep(next(random) % 300 * SKUA_NS_PER_US);
    for (unsigned i = 1; cancels && i < TREES; i += 2)
        (void)skua_cancel(futures[i]);
    for (unsigned i = 0; i < TREES; i++) {
        intptr_t value = await_progress(runtime, futures[i]);
        bool may_fail = cancels && i % 2 == 1;
        if (may_fail && value == -ECANCELED)
            add(&cancelled_trees, 1);
        else
            must("tree", value == serial_value(roots[i]), value);
    }
}

static void count_stats(skua_runtime *runtime)
{
    skua_worker_stats stats;
    for (unsigned i = 0; skua_runtime_stats(runtime, i, &stats) == 0; i++) {
        stolen += stats.jobs_stolen;
        published += stats.jobs_published;
        forced += stats.jobs_forced;
    }
}

struct phase {
    const char *name;
    unsigned wait_period;
    unsigned depth;
    unsigned rounds;
    bool cancels;
};

static bool run_world(const struct phase *phase, uint64_t seed, unsigned workers, int spin_us)
{
    skua_options options = {.workers = workers, .spin_us = spin_us, .blocking_threads = 8};
    skua_runtime *runtime = NULL;
    struct random random = random_from(seed, workers);
    uint64_t wrong_before = get(&wrong);
    uint64_t began_ns = skua_now();
    int rc = skua_runtime_start(&runtime, &options);
    must("start", rc == 0, rc);
    if (rc < 0)
        return false;
    wait_period = phase->wait_period;
    unsigned rounds = (unsigned)(phase->rounds * scale) + 1;
    for (unsigned i = 0; i < rounds; i++)
        grow(runtime, &random, phase->depth, phase->cancels);
    count_stats(runtime);
    rc = skua_runtime_stop(runtime, SKUA_STOP_DRAIN, SKUA_FOREVER);
    must("stop", rc == 0, rc);
    bool good = get(&wrong) == wrong_before;
    printf("%s, seed %" PRIu64 ", %u workers, spin %d: %s, %.2f s\n", phase->name, seed, workers,
           spin_us, good ? "well" : "WRONG", (double)(skua_now() - began_ns) / SKUA_NS_PER_SEC);
    fflush(stdout);
    return good;
}

static bool run_phase(const struct phase *phase, uint64_t seed)
{
    static const unsigned workers[] = {2, 4, 8};
    bool ok = true;
    for (unsigned i = 0; i < sizeof(workers) / sizeof(workers[0]); i++) {
        ok = run_world(phase, seed + i, workers[i], 0) && ok;
        ok = run_world(phase, seed + i, workers[i], -1) && ok;
    }
    return ok;
}

int main(int argc, char **argv)
{
    static const struct phase phases[] = {
        {"tree", 8, 6, 120, false},
        {"cancel", 6, 6, 200, true},
        {"fray", 0, 8, 150, false},
    };
    const char *text = getenv("SKUA_STRESS_SCALE");
    const char *wanted = argc > 1 ? argv[1] : "all";
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : skua_now() % 1000000;
    bool ok = true;
    if (text != NULL && atof(text) > 0)
        scale *= atof(text);
    printf("seed %" PRIu64 ", scale %g\n", seed, scale);
    for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
        if (strcmp(wanted, "all") == 0 || strcmp(wanted, phases[i].name) == 0)
            ok = run_phase(&phases[i], seed) && ok;
    }
    printf("nodes %" PRIu64 " stolen %" PRIu64 " published %" PRIu64 " forced %" PRIu64
           " cancelled %" PRIu64 "\n",
           get(&nodes), stolen, published, forced, get(&cancelled_trees));
    printf("%s\n", ok ? "ok" : "FAILED");
    return ok ? 0 : 1;
}
