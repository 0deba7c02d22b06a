/*
 * tests/stress/sync_games.c - a game for each means of synchronisation, and its invariants.
 *
 * What is said to exclude others, or to come before something, is tried on plain memory: a sum
 * tells of a lost update, and a tool for races of the rest. A move that was cut short leaves its
 * game as it was.
 */
#include "stress/sync_stress.h"

#include <errno.h>
#include <pthread.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define CHILDREN 3u

/* A moment in which others may do something. */
static void stay(struct move *move)
{
    if (next(&move->random) % 2 == 0)
        give_way(move->is_task);
}

static bool tries(struct move *move)
{
    return next(&move->random) % 8 == 0;
}

/* In spite of a cancel. */
static void lock_surely(skua_mutex *mutex)
{
    skua_shield shield;
    bool is_shielded = skua_shield_open(&shield) == 0;
    while (skua_mutex_lock(mutex) == -ECANCELED)
        (void)poll(NULL, 0, 1); /* a job that is cancelled has no shield */
    if (is_shielded)
        (void)skua_shield_close(&shield);
}

static void expect_done(struct move *move, const char *what, int rc)
{
    must(move->world, what, rc == 0, rc);
}

/* ---- exclusion ------------------------------------------------------------------------------- */

static int play_mutex(struct move *move)
{
    struct games *games = move->world->games;
    int rc = tries(move) ? skua_mutex_try_lock(&games->mutex.lock)
                         : skua_mutex_lock_until(&games->mutex.lock, move->deadline_ns);
    if (rc < 0)
        return rc == -EBUSY ? 0 : rc;
    games->mutex.begun++;
    stay(move);
    must(move->world, "mutex", games->mutex.begun == games->mutex.ended + 1, 0);
    games->mutex.ended++;
    expect_done(move, "mutex unlock", skua_mutex_unlock(&games->mutex.lock));
    return 0;
}

static int play_rwlock_write(struct move *move)
{
    struct games *games = move->world->games;
    int rc = tries(move) ? skua_rwlock_try_write_lock(&games->rwlock.lock)
                         : skua_rwlock_write_lock_until(&games->rwlock.lock, move->deadline_ns);
    if (rc < 0)
        return rc == -EBUSY ? 0 : rc;
    games->rwlock.begun++;
    stay(move);
    must(move->world, "rwlock, writing", games->rwlock.begun == games->rwlock.ended + 1, 0);
    games->rwlock.ended++;
    expect_done(move, "write unlock", skua_rwlock_write_unlock(&games->rwlock.lock));
    return 0;
}

static int play_rwlock(struct move *move)
{
    struct games *games = move->world->games;
    if (next(&move->random) % 4 == 0)
        return play_rwlock_write(move);
    int rc = tries(move) ? skua_rwlock_try_read_lock(&games->rwlock.lock)
                         : skua_rwlock_read_lock_until(&games->rwlock.lock, move->deadline_ns);
    if (rc < 0)
        return rc == -EBUSY ? 0 : rc;
    uint64_t seen = games->rwlock.begun;
    stay(move);
    must(move->world, "rwlock, reading", games->rwlock.ended == seen, 0);
    expect_done(move, "read unlock", skua_rwlock_read_unlock(&games->rwlock.lock));
    return 0;
}

static int play_semaphore(struct move *move)
{
    struct games *games = move->world->games;
    int rc = tries(move)
                 ? skua_semaphore_try_acquire(&games->semaphore.permits)
                 : skua_semaphore_acquire_until(&games->semaphore.permits, move->deadline_ns);
    if (rc < 0)
        return rc == -EAGAIN ? 0 : rc;
    /* relaxed, both: only the number counts */
    uint64_t inside =
        atomic_fetch_add_explicit(&games->semaphore.inside, 1, memory_order_relaxed) + 1;
    must(move->world, "semaphore", inside <= PERMITS, (intmax_t)inside);
    stay(move);
    atomic_fetch_sub_explicit(&games->semaphore.inside, 1, memory_order_relaxed);
    expect_done(move, "release", skua_semaphore_release(&games->semaphore.permits));
    return 0;
}

/* A semaphore made of a condition: a notification that is lost leaves somebody waiting. */
static int play_condition(struct move *move)
{
    struct games *games = move->world->games;
    int rc = skua_mutex_lock_until(&games->condition.lock, move->deadline_ns);
    if (rc < 0)
        return rc;
    while (rc == 0 && games->condition.tokens == 0)
        rc = skua_condition_wait_until(&games->condition.there, &games->condition.lock,
                                       move->deadline_ns);
    if (rc == 0)
        games->condition.tokens--;
    expect_done(move, "condition, unlock", skua_mutex_unlock(&games->condition.lock));
    if (rc < 0)
        return rc;
    stay(move);
    lock_surely(&games->condition.lock);
    games->condition.tokens++;
    stay(move);
    must(move->world, "condition", games->condition.tokens <= PERMITS, 0);
    expect_done(move, "notify", skua_condition_notify(&games->condition.there, 1));
    expect_done(move, "condition, unlock", skua_mutex_unlock(&games->condition.lock));
    return 0;
}

static intptr_t run_once(void *arg)
{
    struct move *move = arg;
    struct games *games = move->world->games;
    uint64_t index = next(&move->random) % 2;
    stay(move);
    if (index == 0)
        return -EIO;
    /* relaxed: it cannot change before this has succeeded */
    index = atomic_load_explicit(&games->once.current, memory_order_relaxed);
    games->once.runs[index]++;
    return (intptr_t)index + 1;
}

static int play_once(struct move *move)
{
    struct games *games = move->world->games;
    /* acquire: partner is the release below: what the one before has done is visible */
    uint64_t index = atomic_load_explicit(&games->once.current, memory_order_acquire);
    bool is_over = index == ONCES - 1; /* the last one is for those who are left */
    intptr_t rc =
        skua_once_call_until(&games->once.onces[index], run_once, move, move->deadline_ns);
    if (rc < 0)
        return rc == -EIO ? 0 : (int)rc;
    must(move->world, "once, its result", rc == (intptr_t)index + 1, rc);
    must(move->world, "once", games->once.runs[index] == 1, (intmax_t)games->once.runs[index]);
    if (!is_over)
        (void)atomic_compare_exchange_strong_explicit(&games->once.current, &index, index + 1,
                                                      memory_order_release, memory_order_relaxed);
    return 0;
}

/* ---- moments --------------------------------------------------------------------------------- */

static int play_event(struct move *move)
{
    skua_event *event = &move->world->games->event;
    int rc;
    switch (next(&move->random) % 4) {
    case 0:
        rc = skua_event_set(event);
        return rc == -EALREADY ? 0 : rc;
    case 1:
        rc = skua_event_clear(event);
        return rc == -EALREADY ? 0 : rc;
    default:
        return skua_event_wait_until(event, move->deadline_ns);
    }
}

static int play_barrier(struct move *move)
{
    struct games *games = move->world->games;
    int rc = skua_barrier_wait_until(&games->barrier.barrier, move->deadline_ns);
    must(move->world, "barrier", rc < (int)PARTIES, rc);
    if (rc >= 0)
        count(&games->barrier.passed);
    return rc == -EPIPE ? 0 : rc;
}

/* Children that are waited for by a group or a latch; in the frame of who waits. */
struct children {
    struct move *move;
    skua_wait_group group;
    skua_latch latch;
    bool has_latch;
    _Atomic unsigned number;
    uint64_t done[CHILDREN]; /* plain: handed over by what is waited for */
};

static intptr_t be_child(void *arg)
{
    struct children *children = arg;
    unsigned number = atomic_fetch_add_explicit(&children->number, 1, memory_order_relaxed);
    bool has_latch = children->has_latch;
    children->done[number] = 1;
    return has_latch ? skua_latch_count_down(&children->latch, 1)
                     : skua_wait_group_done(&children->group);
}

static int play_children(struct move *move)
{
    struct world *world = move->world;
    struct children children = {.move = move, .latch = SKUA_LATCH_INIT(CHILDREN)};
    skua_future *futures[CHILDREN];
    children.has_latch = next(&move->random) % 2 == 0;
    expect_done(move, "group add", skua_wait_group_add(&children.group, CHILDREN));
    for (unsigned i = 0; i < CHILDREN; i++)
        futures[i] = i % 2 == 0 ? skua_submit(world->runtime, be_child, &children)
                                : skua_run_in_executor(skua_executor_cpu(world->runtime), be_child,
                                                       &children);
    int rc = children.has_latch ? skua_latch_wait_until(&children.latch, move->deadline_ns)
                                : skua_wait_group_wait_until(&children.group, move->deadline_ns);
    for (unsigned i = 0; rc == 0 && i < CHILDREN; i++)
        must(world, "children waited for", children.done[i] == 1, (intmax_t)i);
    for (unsigned i = 0; i < CHILDREN; i++) {
        intptr_t result = await_surely(futures[i]);
        must(world, "child", result == 0 || result == -ECANCELED, result);
    }
    return rc;
}

struct alarm {
    struct move *move;
    uint64_t due_ns;
    uint64_t rings;
};

static intptr_t ring(void *arg)
{
    struct alarm *alarm = arg;
    must(alarm->move->world, "timer, too early", skua_now() >= alarm->due_ns, 0);
    alarm->rings++;
    return 0;
}

static int play_timer(struct move *move)
{
    struct alarm alarm = {.move = move,
                          .due_ns = skua_after(next(&move->random) % (200 * SKUA_NS_PER_US))};
    if (move->is_foreign)
        return 0; /* who has no runtime has no timers */
    skua_future *future = skua_call_at(alarm.due_ns, ring, &alarm);
    if (next(&move->random) % 2 == 0) {
        stay(move);
        (void)skua_cancel(future);
    }
    intptr_t rc = await_surely(future);
    must(move->world, "timer", alarm.rings == (rc == 0) && (rc == 0 || rc == -ECANCELED), rc);
    return 0;
}

/* ---- lines ----------------------------------------------------------------------------------- */

static struct item next_item(const struct line *line, unsigned player)
{
    return (struct item){.producer = player, .number = line->sent[player] + 1};
}

static void note_sent(struct line *line, const struct item *item)
{
    line->sent[item->producer]++;
    line->sent_sum[item->producer] += hash_of(item);
}

static int put(struct move *move, struct line *line, const struct item *item)
{
    bool is_trying = tries(move);
    if (line->queue != NULL)
        return is_trying ? skua_queue_try_put(line->queue, item)
                         : skua_queue_put_until(line->queue, item, move->deadline_ns);
    return is_trying ? skua_channel_try_send(line->channel, item)
                     : skua_channel_send_until(line->channel, item, move->deadline_ns);
}

static int play_line(struct move *move)
{
    struct line *line = &move->world->games->lines[next(&move->random) % LINES];
    struct item item = next_item(line, move->player);
    int rc = put(move, line, &item);
    if (rc == 0)
        note_sent(line, &item);
    return rc == -EAGAIN ? 0 : rc;
}

/* Sends into the one of two channels that takes it first. */
static int play_select(struct move *move)
{
    struct line *lines = move->world->games->lines;
    struct item items[2];
    skua_select_case cases[2] = {{.op = SKUA_SELECT_SEND}, {.op = SKUA_SELECT_SEND}};
    for (unsigned i = 0; i < 2; i++) {
        items[i] = next_item(&lines[i], move->player);
        cases[i].channel = lines[i].channel;
        cases[i].item = &items[i];
    }
    int rc = skua_select(cases, 2, move->deadline_ns);
    if (rc < 0)
        return rc;
    must(move->world, "select", cases[rc].result == 0, cases[rc].result);
    note_sent(&lines[rc], &items[rc]);
    return 0;
}

/* ---- news ------------------------------------------------------------------------------------ */

int game_tell(struct move *move)
{
    struct games *games = move->world->games;
    int rc = skua_mutex_lock_until(&games->news.lock, move->deadline_ns);
    if (rc < 0)
        return rc;
    uint64_t sent = ++games->news.sent;
    expect_done(move, "broadcast", skua_broadcast_send(games->news.broadcast, &sent));
    uint64_t value[4] = {++games->news.set, ~games->news.set, games->news.set, 0};
    expect_done(move, "watch", skua_watch_set(games->news.watch, value));
    expect_done(move, "news, unlock", skua_mutex_unlock(&games->news.lock));
    return 0;
}

static int play_watch(struct move *move)
{
    struct world *world = move->world;
    uint64_t value[4], version, newer[4];
    expect_done(move, "watch", skua_watch_get(world->games->news.watch, value, &version));
    expect_whole(world, value);
    if (next(&move->random) % 2 == 0)
        return 0;
    int rc = skua_watch_next_until(world->games->news.watch, newer, &version, move->deadline_ns);
    if (rc < 0)
        return rc;
    expect_whole(world, newer);
    must(world, "watch, older", newer[0] > value[0], (intmax_t)newer[0]);
    return 0;
}

/* ---- what is lent ---------------------------------------------------------------------------- */

static int play_pool(struct move *move)
{
    struct world *world = move->world;
    skua_pool *pool = world->games->pool.pool;
    void *lent = NULL;
    int rc = tries(move) ? skua_pool_try_acquire(pool, &lent)
                         : skua_pool_acquire_until(pool, &lent, move->deadline_ns);
    if (rc < 0)
        return rc == -EAGAIN || rc == -EIO ? 0 : rc;
    struct resource *resource = lent;
    uint64_t users = ++resource->users;
    must(world, "pool", users == 1, (intmax_t)users);
    stay(move);
    resource->users--;
    expect_done(move, "pool, back",
                tries(move) ? skua_pool_discard(pool, lent) : skua_pool_release(pool, lent));
    return 0;
}

struct flyer {
    struct move *move;
    uint64_t key;
};

static intptr_t fly(void *arg)
{
    struct flyer *flyer = arg;
    struct games *games = flyer->move->world->games;
    must(flyer->move->world, "single flight", ++games->flight.running[flyer->key] == 1, 0);
    stay(flyer->move);
    games->flight.running[flyer->key]--;
    count(&games->flight.flights);
    return (intptr_t)flyer->key + 1;
}

static int play_flight(struct move *move)
{
    struct flyer flyer = {.move = move, .key = next(&move->random) % KEYS};
    intptr_t rc = skua_single_flight_call(&move->world->games->flight.flight, &flyer.key,
                                          sizeof(flyer.key), fly, &flyer, NULL);
    must(move->world, "flight, its result", rc < 0 || rc == (intptr_t)flyer.key + 1, rc);
    return (int)rc;
}

static int play_rate(struct move *move)
{
    struct games *games = move->world->games;
    uint64_t tokens = 1 + next(&move->random) % 3;
    int rc = tries(move)
                 ? skua_rate_limiter_try_acquire(&games->rate.limiter, tokens)
                 : skua_rate_limiter_acquire_until(&games->rate.limiter, tokens, move->deadline_ns);
    if (rc == 0)
        atomic_fetch_add_explicit(&games->rate.taken, tokens, memory_order_relaxed);
    return rc == -EAGAIN ? 0 : rc;
}

/* ---- scopes ---------------------------------------------------------------------------------- */

static intptr_t play_in_scope(void *arg)
{
    struct move *move = arg;
    int rc = (next(&move->random) % 2 == 0 ? play_mutex : play_semaphore)(move);
    return rc == -ECANCELED ? rc : 0;
}

/* Two children and the body play until they are through, or out of time. */
static int play_scope(struct move *move)
{
    skua_scope scope;
    skua_scope_options options = {.deadline_ns =
                                      skua_after(next(&move->random) % (100 * SKUA_NS_PER_US))};
    if (skua_scope_open(&scope, &options) < 0)
        return 0; /* no task */
    struct move moves[3];
    for (unsigned i = 0; i < 3; i++) {
        moves[i] = *move;
        moves[i].deadline_ns = SKUA_FOREVER;
        moves[i].random = random_from(next(&move->random), i);
    }
    for (unsigned i = 0; i < 2; i++) {
        int rc = skua_scope_spawn(&scope, play_in_scope, &moves[i], NULL);
        must(move->world, "scope, spawn", rc == 0 || rc == -ECANCELED, rc);
    }
    (void)play_in_scope(&moves[2]);
    int rc = skua_scope_close(&scope);
    must(move->world, "scope", rc == 0 || rc == -ETIMEDOUT || rc == -ECANCELED, rc);
    return rc == -ETIMEDOUT ? 0 : rc;
}

/* ---- all of them ----------------------------------------------------------------------------- */

static const struct {
    const char *name;
    int (*play)(struct move *move);
} list[] = {
    {"mutex", play_mutex},         {"rwlock", play_rwlock},     {"semaphore", play_semaphore},
    {"condition", play_condition}, {"once", play_once},         {"event", play_event},
    {"barrier", play_barrier},     {"children", play_children}, {"timer", play_timer},
    {"line", play_line},           {"line", play_line},         {"select", play_select},
    {"news", game_tell},           {"watch", play_watch},       {"pool", play_pool},
    {"flight", play_flight},       {"rate", play_rate},         {"scope", play_scope},
};

int game_play(struct move *move)
{
    return list[move->game].play(move);
}

unsigned game_count(void)
{
    return sizeof(list) / sizeof(list[0]);
}

const char *game_name(unsigned game)
{
    return list[game].name;
}
