/*
 * tests/stress/sync_ends.c - who receives what players send, and what must add up at the end.
 *
 * Each line of items has a task, a job and a thread that take from it, in every way there is; items
 * of one producer must come to each of them in order, and all together exactly once.
 */
#include "stress/sync_stress.h"

#include <errno.h>
#include <stdlib.h>

/* ---- the other ends -------------------------------------------------------------------------- */

void expect_whole(struct world *world, const uint64_t *value)
{
    must(world, "watch, torn", value[1] == ~value[0] && value[2] == value[0], (intmax_t)value[0]);
}

static void note_received(struct end *end, unsigned number, const struct item *item)
{
    struct line *line = &end->world->games->lines[number];
    bool is_known = item->producer < PLAYERS_MAX;
    must(end->world, "a producer", is_known, (intmax_t)item->producer);
    if (!is_known)
        return;
    must(end->world, "order of a producer", item->number > end->last[number][item->producer],
         (intmax_t)item->number);
    end->last[number][item->producer] = item->number;
    /* relaxed, both: see struct line */
    atomic_fetch_add_explicit(&line->received, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&line->received_sum, hash_of(item), memory_order_relaxed);
    if (line->queue != NULL) {
        int rc = skua_queue_task_done(line->queue);
        must(end->world, "task_done", rc == 0, rc);
    }
}

/* One attempt to receive. */
struct attempt {
    const struct line *line;
    struct item item;
    uint64_t deadline_ns;
};

static intptr_t attempt_run(void *arg)
{
    struct attempt *attempt = arg;
    const struct line *line = attempt->line;
    return line->queue != NULL
               ? skua_queue_get_until(line->queue, &attempt->item, attempt->deadline_ns)
               : skua_channel_recv_until(line->channel, &attempt->item, attempt->deadline_ns);
}

static intptr_t attempt_try(struct attempt *attempt)
{
    const struct line *line = attempt->line;
    return line->queue != NULL ? skua_queue_try_get(line->queue, &attempt->item)
                               : skua_channel_try_recv(line->channel, &attempt->item);
}

static intptr_t attempt_somehow(struct end *end, struct attempt *attempt)
{
    uint64_t choice = next(&end->random) % 16;
    if (choice == 0) {
        skua_future *child = skua_submit(end->world->runtime, attempt_run, attempt);
        for (uint64_t turns = next(&end->random) % 6; turns > 0; turns--)
            give_way(false);
        (void)skua_cancel(child);
        return skua_await(child);
    }
    if (choice < 4) {
        intptr_t rc = attempt_try(attempt);
        if (rc != -EAGAIN)
            return rc;
    }
    if (choice < 7)
        attempt->deadline_ns = skua_after(next(&end->random) % (50 * SKUA_NS_PER_US));
    return attempt_run(attempt);
}

static intptr_t consume(void *arg)
{
    struct end *end = arg;
    for (;;) {
        struct attempt attempt = {.line = &end->world->games->lines[end->line],
                                  .deadline_ns = SKUA_FOREVER};
        intptr_t rc = attempt_somehow(end, &attempt);
        if (rc == -EPIPE)
            return 0;
        if (rc == 0)
            note_received(end, end->line, &attempt.item);
        else
            must(end->world, "consumer", rc == -ECANCELED || rc == -ETIMEDOUT, rc);
    }
}

/* Receives from both channels until both are closed. */
static intptr_t consume_both(void *arg)
{
    struct end *end = arg;
    unsigned open = 2;
    struct item items[2];
    skua_select_case cases[3] = {{0}};
    for (unsigned i = 0; i < 2; i++)
        cases[i] = (skua_select_case){.op = SKUA_SELECT_RECV,
                                      .channel = end->world->games->lines[i].channel,
                                      .item = &items[i]};
    while (open > 0) {
        cases[2] = (skua_select_case){.op = SKUA_SELECT_TIMER,
                                      .deadline_ns = skua_after(100 * SKUA_NS_PER_US)};
        int rc = skua_select(cases, 3, SKUA_FOREVER);
        must(end->world, "select", rc >= 0, rc);
        if (rc < 0)
            return rc;
        if (rc == 2)
            continue;
        if (cases[rc].result == 0)
            note_received(end, (unsigned)rc, &items[rc]);
        else
            cases[rc].op = SKUA_SELECT_NONE;
        open -= cases[rc].op == SKUA_SELECT_NONE;
    }
    return 0;
}

/* Every item, or how many were missed: none is left out. */
static intptr_t subscribe(void *arg)
{
    struct end *end = arg;
    uint64_t last = 0;
    for (;;) {
        uint64_t item = 0, missed = 0;
        int rc = skua_subscriber_recv(end->subscriber, &item, &missed);
        if (rc == -EPIPE)
            break;
        must(end->world, "subscriber", rc == 0 || rc == -EOVERFLOW, rc);
        last += rc == 0 ? 1 : missed;
        must(end->world, "broadcast, order", rc != 0 || item == last, (intmax_t)item);
    }
    must(end->world, "broadcast, all of it", last == end->world->games->news.sent, (intmax_t)last);
    return 0;
}

static intptr_t watch(void *arg)
{
    struct end *end = arg;
    struct games *games = end->world->games;
    uint64_t version = 0, value[4], last = 0;
    int rc;
    while ((rc = skua_watch_next(games->news.watch, value, &version)) == 0) {
        expect_whole(end->world, value);
        must(end->world, "watch, order", last == 0 || value[0] > last, (intmax_t)value[0]);
        last = value[0];
    }
    must(end->world, "watcher", rc == -EPIPE && last == games->news.set, rc);
    return 0;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void *run_end(void *arg)
{
    struct end *end = arg;
    return (void *)(end->subscriber != NULL ? subscribe : end->line < LINES ? consume : watch)(end);
}

enum { AS_TASK, AS_JOB, AS_THREAD };

static struct end *add_end(struct world *world, unsigned line)
{
    struct games *games = world->games;
    struct end *end = &games->ends[games->end_count++];
    end->world = world;
    end->random = random_from(world->seed, 1000 + games->end_count);
    end->line = line;
    return end;
}

static void start_end(struct end *end, unsigned kind, skua_fn fn)
{
    skua_runtime *runtime = end->world->runtime;
    if (kind == AS_TASK)
        end->future = skua_submit(runtime, fn, end);
    else if (kind == AS_JOB)
        end->future = skua_run_in_executor(skua_executor_blocking(runtime), fn, end);
    else if (pthread_create(&end->thread, NULL, run_end, end) != 0)
        abort();
}

static void start_ends(struct world *world)
{
    for (unsigned line = 0; line < LINES; line++) {
        for (unsigned kind = AS_TASK; kind <= AS_THREAD; kind++)
            start_end(add_end(world, line), kind, consume);
    }
    start_end(add_end(world, LINES), AS_TASK, consume_both);
    for (unsigned kind = AS_TASK; kind <= AS_THREAD; kind += AS_THREAD) {
        struct end *end = add_end(world, LINES);
        end->subscriber = skua_subscriber_open(world->games->news.broadcast);
        if (end->subscriber == NULL)
            abort();
        start_end(end, kind, subscribe);
        start_end(add_end(world, LINES), kind, watch);
    }
}

static int create_resource(void **resource, void *arg)
{
    struct world *world = arg;
    struct games *games = world->games;
    if (get(&games->pool.created) % 16 == 15 && get(&world->moves) % 2 == 0)
        return -EIO;
    *resource = calloc(1, sizeof(struct resource));
    if (*resource == NULL)
        return -ENOMEM;
    count(&games->pool.created);
    /* relaxed: only the number counts, and the pool orders it */
    uint64_t there = atomic_fetch_add_explicit(&games->pool.there, 1, memory_order_relaxed) + 1;
    must(world, "pool, too many", there <= POOL_MAX, (intmax_t)there);
    return 0;
}

static void destroy_resource(void *resource, void *arg)
{
    struct world *world = arg;
    /* relaxed: as in create_resource() */
    atomic_fetch_sub_explicit(&world->games->pool.there, 1, memory_order_relaxed);
    free(resource);
}

int games_start(struct world *world)
{
    static const uint64_t first[4] = {0, UINT64_MAX, 0, 0};
    struct games *games = calloc(1, sizeof(*games));
    skua_queue_options queue = {.item_size = sizeof(struct item), .capacity = 4};
    skua_pool_options pool = {.create = create_resource,
                              .destroy = destroy_resource,
                              .arg = world,
                              .count_max = POOL_MAX};
    if (games == NULL)
        return -ENOMEM;
    world->games = games;
    games->semaphore.permits = (skua_semaphore)SKUA_SEMAPHORE_BOUNDED_INIT(PERMITS);
    games->condition.tokens = PERMITS;
    games->lines[LINE_CHANNEL].channel = skua_channel_create(sizeof(struct item), 4);
    games->lines[LINE_MEETING].channel = skua_channel_create(sizeof(struct item), 0);
    games->lines[LINE_QUEUE].queue = skua_queue_create(&queue);
    games->news.broadcast = skua_broadcast_create(sizeof(uint64_t), BROADCAST_KEPT);
    games->news.watch = skua_watch_create(sizeof(first), first);
    if (games->lines[LINE_CHANNEL].channel == NULL || games->lines[LINE_MEETING].channel == NULL ||
        games->lines[LINE_QUEUE].queue == NULL || games->news.broadcast == NULL ||
        games->news.watch == NULL || skua_pool_create(&pool, &games->pool.pool) < 0 ||
        skua_barrier_init(&games->barrier.barrier, PARTIES) < 0 ||
        skua_rate_limiter_init(&games->rate.limiter, RATE, SKUA_NS_PER_SEC, BURST) < 0)
        return -ENOMEM;
    games->rate.begun_ns = skua_now();
    start_ends(world);
    return 0;
}

void games_stir(struct world *world)
{
    struct games *games = world->games;
    struct move move = {.world = world,
                        .random = random_from(skua_now(), 0),
                        .deadline_ns = SKUA_FOREVER,
                        .is_foreign = true};
    (void)skua_event_set(&games->event);
    if (next(&move.random) % 4 == 0)
        (void)skua_barrier_abort(&games->barrier.barrier);
    (void)skua_barrier_reset(&games->barrier.barrier);
    int rc = game_tell(&move); /* for those who wait for another version */
    must(world, "stirring", rc == 0, rc);
}

static void end_lines(struct world *world)
{
    struct games *games = world->games;
    int rc =
        skua_queue_join_until(games->lines[LINE_QUEUE].queue, skua_after(SKUA_NS_PER_SEC * 30));
    must(world, "queue, join", rc == 0, rc);
    (void)skua_queue_shutdown(games->lines[LINE_QUEUE].queue, SKUA_QUEUE_DRAIN);
    (void)skua_channel_close(games->lines[LINE_CHANNEL].channel);
    (void)skua_channel_close(games->lines[LINE_MEETING].channel);
    (void)skua_broadcast_close(games->news.broadcast);
    (void)skua_watch_close(games->news.watch);
    for (unsigned i = 0; i < games->end_count; i++) {
        struct end *end = &games->ends[i];
        if (end->future != NULL)
            must(world, "an end", skua_await(end->future) == 0, (intmax_t)i);
        else
            pthread_join(end->thread, NULL);
        skua_subscriber_close(end->subscriber);
    }
}

static void check_lines(struct world *world)
{
    for (unsigned i = 0; i < LINES; i++) {
        struct line *line = &world->games->lines[i];
        uint64_t sent = 0, sum = 0;
        for (unsigned player = 0; player < PLAYERS_MAX; player++) {
            sent += line->sent[player];
            sum += line->sent_sum[player];
        }
        must(world, "items", get(&line->received) == sent,
             (intmax_t)sent - (intmax_t)get(&line->received));
        must(world, "items, which", get(&line->received_sum) == sum, 0);
    }
}

/* Everybody may have what there is, again: nothing is held by somebody who has left. */
static void check_locks(struct world *world)
{
    struct games *games = world->games;
    uint64_t permits = skua_semaphore_value(&games->semaphore.permits);
    must(world, "permits", permits == PERMITS, (intmax_t)permits);
    must(world, "mutex, at the end", skua_mutex_try_lock(&games->mutex.lock) == 0, 0);
    must(world, "rwlock, at the end", skua_rwlock_try_write_lock(&games->rwlock.lock) == 0, 0);
    must(world, "mutex, sum", games->mutex.begun == games->mutex.ended, 0);
    must(world, "rwlock, sum", games->rwlock.begun == games->rwlock.ended, 0);
    must(world, "tokens", games->condition.tokens == PERMITS, (intmax_t)games->condition.tokens);
    uint64_t passed = get(&games->barrier.passed);
    must(world, "barrier, rounds", passed % PARTIES == 0, (intmax_t)passed);
    must(world, "barrier, waiting", skua_barrier_waiting(&games->barrier.barrier) == 0, 0);
}

void games_end(struct world *world)
{
    struct games *games = world->games;
    uint64_t elapsed_ns = skua_now() - games->rate.begun_ns;
    uint64_t most = BURST + elapsed_ns / 1000 * RATE / 1000000 + 1;
    must(world, "rate", get(&games->rate.taken) <= most, (intmax_t)get(&games->rate.taken));
    end_lines(world);
    check_lines(world);
    check_locks(world);
    skua_pool_destroy(games->pool.pool);
    must(world, "pool, at the end", get(&games->pool.there) == 0,
         (intmax_t)get(&games->pool.there));
    skua_channel_unref(games->lines[LINE_CHANNEL].channel);
    skua_channel_unref(games->lines[LINE_MEETING].channel);
    skua_queue_unref(games->lines[LINE_QUEUE].queue);
    skua_broadcast_unref(games->news.broadcast);
    skua_watch_unref(games->news.watch);
    free(games);
}
