/*
 * tests/stress/sync_stress.c - all means of synchronisation, used by tasks, executor threads and
 * foreign threads at once.
 *
 * usage: sync_stress [workers [seed]]      workers: 0 (default) for 4, 8 and 16 one after another
 *
 * Players, tasks and threads of all kinds, make moves in games chosen at random (sync_games.c,
 * sync_ends.c): one game for each means of synchronisation, with invariants that are checked in
 * plain memory. Most moves are in three of the games, in every world others, so that players meet
 * there. A move is made by the player, as it is or with a deadline, or by a child of his that is
 * cancelled at some moment. At the end every permit, item and descriptor is where it belongs,
 * and nobody waits.
 *
 * The seed is printed; the choices follow from it, the interleaving does not. A run without
 * progress for a minute lists its tasks and ends. SKUA_STRESS_SCALE (default 1) multiplies the
 * work. The last line is "ok" and the exit code 0 if all was well; the line before it holds the
 * counters.
 */
#include "stress/sync_stress.h"

#include <dirent.h>
#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STALL_LIMIT_S 60
#define TASKS 12u
#define JOBS 3u
#define THREADS 3u
#define STEPS 1500
/* What the C library may have kept for itself in between. */
#define MEMORY_SLACK_BYTES ((size_t)256 << 10)

#if defined(__SANITIZE_THREAD__)
#define SANITIZED 1
static double scale = 0.1;
#elif defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
static double scale = 0.6;
#else
#define SANITIZED 0
static double scale = 1.0;
#endif

static struct {
    uint64_t moves, cut, late, steals, parks;
} totals;

struct player {
    struct world *world;
    unsigned number;
    bool is_foreign;
    bool is_task;
};

void must(struct world *world, const char *what, bool held, intmax_t got)
{
    if (held)
        return;
    fprintf(stderr, "%s: %jd\n", what, got);
    count(&world->wrong);
}

intptr_t await_surely(skua_future *future)
{
    skua_shield shield;
    intptr_t result = 0;
    bool is_shielded = skua_shield_open(&shield) == 0; /* on a thread that is no task it is not */
    int rc;
    while ((rc = skua_await_until(future, SKUA_FOREVER, &result)) == -ECANCELED)
        (void)poll(NULL, 0, 1); /* a job that is cancelled has no shield */
    if (is_shielded)
        (void)skua_shield_close(&shield);
    return rc < 0 ? rc : result;
}

/* ---- players --------------------------------------------------------------------------------- */

/* @may_be_cut: somebody cancels it. */
static void judge(struct move *move, intptr_t rc, bool may_be_cut)
{
    struct world *world = move->world;
    count(&world->moves);
    if (rc == -ECANCELED)
        count(&world->cut);
    else if (rc == -ETIMEDOUT)
        count(&world->late);
    bool is_good = rc >= 0 || (rc == -ECANCELED && may_be_cut) ||
                   (rc == -ETIMEDOUT && move->deadline_ns != SKUA_FOREVER);
    must(world, game_name(move->game), is_good, rc);
}

static intptr_t play_as_child(void *arg)
{
    return game_play(arg);
}

/* A child makes the move, a task or a job, and is cancelled some time later. */
static void play_cut(struct move *move, uint64_t choice)
{
    skua_runtime *runtime = move->world->runtime;
    uint64_t turns = next(&move->random) % 8;
    struct move own = *move;
    move->is_foreign = false;
    move->is_task = choice % 3 != 0;
    skua_future *child =
        move->is_task ? skua_submit(runtime, play_as_child, move)
                      : skua_run_in_executor(skua_executor_blocking(runtime), play_as_child, move);
    for (; turns > 0; turns--)
        give_way(own.is_task);
    (void)skua_cancel(child);
    judge(move, skua_await(child), true);
    move->is_foreign = own.is_foreign;
    move->is_task = own.is_task;
}

static unsigned choose_game(const struct world *world, struct random *random)
{
    if (next(random) % 4 == 0)
        return (unsigned)(next(random) % game_count());
    return world->favourites[next(random) % FAVOURITES];
}

static void play(struct player *player)
{
    struct world *world = player->world;
    struct random random = random_from(world->seed, player->number);
    for (size_t i = 0; i < world->steps; i++) {
        struct move move = {.world = world,
                            .random = random_from(world->seed, next(&random)),
                            .deadline_ns = SKUA_FOREVER,
                            .player = player->number,
                            .game = choose_game(world, &random),
                            .is_foreign = player->is_foreign,
                            .is_task = player->is_task};
        uint64_t choice = next(&random) % 12;
        if (choice < 3)
            move.deadline_ns = skua_after(next(&random) % (60 * SKUA_NS_PER_US));
        if (choice < 8)
            judge(&move, game_play(&move), false);
        else
            play_cut(&move, choice);
    }
    /* release: partner is the acquire in await_players() */
    atomic_fetch_sub_explicit(&world->players, 1, memory_order_release);
}

static intptr_t play_as_task(void *arg)
{
    play(arg);
    return 0;
}

static void *play_as_thread(void *arg)
{
    play(arg);
    return NULL;
}

/* ---- worlds ---------------------------------------------------------------------------------- */

static void on_failure(const skua_failure *failure, void *arg)
{
    struct world *world = arg;
    fprintf(stderr, "unread: %s: %jd\n", failure->site != NULL ? failure->site : "?",
            (intmax_t)failure->result);
    count(&world->hooked);
}

static void list_and_die(struct world *world)
{
    skua_task_info tasks[64];
    ssize_t count = skua_runtime_list(world->runtime, tasks, 64);
    fprintf(stderr, "no progress for %d s; %" PRIu64 " players; %zd tasks:\n", STALL_LIMIT_S,
            get(&world->players), count);
    for (ssize_t i = 0; i < count && i < 64; i++)
        fprintf(stderr, "  %s %s, %s%s\n", tasks[i].kind,
                tasks[i].site != NULL ? tasks[i].site : "?", tasks[i].state,
                tasks[i].cancelled ? ", cancelled" : "");
    abort();
}

/* Stirs while players play. */
static void await_players(struct world *world)
{
    uint64_t seen = 0;
    uint64_t since_ns = skua_now();
    /* acquire: partner is the release of the last player */
    while (atomic_load_explicit(&world->players, memory_order_acquire) != 0) {
        games_stir(world);
        (void)poll(NULL, 0, 1);
        uint64_t moves = get(&world->moves);
        if (moves != seen)
            since_ns = skua_now();
        else if (skua_now() - since_ns > STALL_LIMIT_S * SKUA_NS_PER_SEC)
            list_and_die(world);
        seen = moves;
    }
}

static bool world_start(struct world *world, uint64_t seed, unsigned workers)
{
    skua_options options = {.workers = workers,
                            .blocking_threads = 16,
                            .spin_us = seed % 2 == 0 ? -1 : 0,
                            .on_failure = on_failure,
                            .on_failure_arg = world};
    memset(world, 0, sizeof(*world));
    world->seed = seed;
    world->steps = (size_t)(STEPS * scale) + 1;
    struct random random = random_from(seed, 5000);
    for (unsigned i = 0; i < FAVOURITES; i++)
        world->favourites[i] = (unsigned)(next(&random) % game_count());
    int rc = skua_runtime_start(&world->runtime, &options);
    if (rc == 0)
        rc = games_start(world);
    if (rc < 0)
        fprintf(stderr, "start with %u workers: %d\n", workers, rc);
    return rc == 0;
}

/* Adds up and stops. True if everything was right. */
static bool world_stop(struct world *world)
{
    skua_worker_stats stats;
    skua_info info = {.tasks_live = 1};
    games_end(world);
    uint64_t since_ns = skua_now();
    while (skua_runtime_info(world->runtime, &info) == 0 && info.tasks_live != 0) {
        if (skua_now() - since_ns > STALL_LIMIT_S * SKUA_NS_PER_SEC)
            list_and_die(world);
        (void)poll(NULL, 0, 1); /* a task counts until its worker has let go of it */
    }
    for (unsigned i = 0; skua_runtime_stats(world->runtime, i, &stats) == 0; i++) {
        totals.steals += stats.steals;
        totals.parks += stats.parks;
    }
    totals.moves += get(&world->moves);
    totals.cut += get(&world->cut);
    totals.late += get(&world->late);
    int rc = skua_runtime_stop(world->runtime, SKUA_STOP_DRAIN, SKUA_FOREVER);
    must(world, "stop", rc == 0, rc);
    return get(&world->wrong) == 0 && get(&world->hooked) == 0;
}

static bool play_world(uint64_t seed, unsigned workers)
{
    struct world world;
    struct player players[TASKS + JOBS + THREADS];
    skua_future *futures[TASKS + JOBS];
    pthread_t threads[THREADS];
    if (!world_start(&world, seed, workers))
        return false;
    atomic_store_explicit(&world.players, TASKS + JOBS + THREADS, memory_order_relaxed);
    for (unsigned i = 0; i < TASKS + JOBS + THREADS; i++)
        players[i] = (struct player){&world, i, i >= TASKS + JOBS, i < TASKS};
    for (unsigned i = 0; i < TASKS; i++)
        futures[i] = skua_submit(world.runtime, play_as_task, &players[i]);
    for (unsigned i = TASKS; i < TASKS + JOBS; i++)
        futures[i] =
            skua_run_in_executor(skua_executor_blocking(world.runtime), play_as_task, &players[i]);
    for (unsigned i = 0; i < THREADS; i++) {
        if (pthread_create(&threads[i], NULL, play_as_thread, &players[TASKS + JOBS + i]) != 0)
            abort();
    }
    await_players(&world);
    for (unsigned i = 0; i < TASKS + JOBS; i++) {
        intptr_t rc = skua_await(futures[i]);
        must(&world, "player", rc == 0, rc);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    return world_stop(&world);
}

/* ---- balance --------------------------------------------------------------------------------- */

static size_t descriptor_count(void)
{
    size_t count = 0;
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL)
        abort();
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

/* What a world leaves behind, after the first one: nothing. */
static bool is_balanced(void)
{
    static size_t descriptors, bytes;
    size_t descriptors_now = descriptor_count();
    size_t bytes_now = SANITIZED ? 0 : mallinfo2().uordblks;
    if (descriptors == 0) {
        descriptors = descriptors_now;
        bytes = bytes_now;
    }
    if (descriptors_now != descriptors)
        fprintf(stderr, "descriptors: %zu, before %zu\n", descriptors_now, descriptors);
    if (bytes_now > bytes + MEMORY_SLACK_BYTES)
        fprintf(stderr, "memory: %zu bytes, before %zu\n", bytes_now, bytes);
    return descriptors_now == descriptors && bytes_now <= bytes + MEMORY_SLACK_BYTES;
}

static bool run(uint64_t seed, unsigned workers)
{
    uint64_t began_ns = skua_now();
    bool is_good = play_world(seed, workers) && is_balanced();
    printf("seed %" PRIu64 ", %u workers: %s, %.2f s\n", seed, workers, is_good ? "well" : "WRONG",
           (double)(skua_now() - began_ns) / SKUA_NS_PER_SEC);
    fflush(stdout);
    return is_good;
}

int main(int argc, char **argv)
{
    static const unsigned sizes[] = {4, 8, 16};
    const char *text = getenv("SKUA_STRESS_SCALE");
    unsigned workers = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : skua_now() % 1000000;
    bool ok = true;
    if (text != NULL && atof(text) > 0)
        scale *= atof(text);
    printf("seed %" PRIu64 ", scale %g\n", seed, scale);
    for (unsigned i = 0; i < 3; i++)
        ok = run(seed + i, workers != 0 ? workers : sizes[i]) && ok;
    printf("moves %" PRIu64 " cut %" PRIu64 " late %" PRIu64 " steals %" PRIu64 " parks %" PRIu64
           "\n",
           totals.moves, totals.cut, totals.late, totals.steals, totals.parks);
    printf("%s\n", ok ? "ok" : "FAILED");
    return ok ? 0 : 1;
}
