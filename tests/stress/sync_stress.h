/*
 * tests/stress/sync_stress.h - what the players (sync_stress.c), their games (sync_games.c) and the
 * other ends of those (sync_ends.c) share.
 */
#ifndef SKUA_TESTS_SYNC_STRESS_H
#define SKUA_TESTS_SYNC_STRESS_H

#include <skua/skua.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>

#define PLAYERS_MAX 32u
#define FAVOURITES 3u /* games that are played most */

struct random {
    uint64_t state;
};

static inline uint64_t next(struct random *random)
{
    random->state ^= random->state << 13;
    random->state ^= random->state >> 7;
    random->state ^= random->state << 17;
    return random->state * UINT64_C(2685821657736338717) >> 16;
}

static inline struct random random_from(uint64_t seed, uint64_t salt)
{
    struct random random = {(seed + 1) * UINT64_C(0x9E3779B97F4A7C15) ^
                            (salt + 1) * UINT64_C(0xD1B54A32D192ED03)};
    if (random.state == 0)
        random.state = 1;
    (void)next(&random);
    return random;
}

struct games;
struct world;

/*
 * One runtime, the games on it, and what must add up. The counters are relaxed: they are read after
 * everything has been awaited, which orders them.
 */
struct world {
    skua_runtime *runtime;
    struct games *games;
    uint64_t seed;
    size_t steps; /* of each player */
    unsigned favourites[FAVOURITES];
    _Atomic uint64_t moves;   /* made, whatever their end */
    _Atomic uint64_t cut;     /* ended by a cancel */
    _Atomic uint64_t late;    /* ended by a deadline */
    _Atomic uint64_t wrong;   /* that should not have been */
    _Atomic uint64_t hooked;  /* failures reported: none, for every error is read */
    _Atomic uint64_t players; /* still playing */
};

/* One move of a player, who may have it made by a child; never two at once. */
struct move {
    struct world *world;
    struct random random;
    uint64_t deadline_ns; /* of its waits; SKUA_FOREVER: it needs none, others let it go on */
    unsigned player;
    unsigned game;
    bool is_foreign; /* on a thread without a runtime */
    bool is_task;    /* else on a thread that blocks */
};

/* A result that is no error, or -ECANCELED, -ETIMEDOUT of a wait; nothing is held then. */
int game_play(struct move *move);
/* The same, of the game that sends a broadcast and sets a watch. */
int game_tell(struct move *move);
/* How many there are to choose from. */
unsigned game_count(void);
const char *game_name(unsigned game);

/* Makes the games, and those who wait at the other ends, of all kinds. 0 or -errno. */
int games_start(struct world *world);
/* Lets those go on who wait for an event, or at the barrier; again and again while players play. */
void games_stir(struct world *world);
/* After the last move: closes what can be closed, and adds up. */
void games_end(struct world *world);

#define PERMITS 3u
#define PARTIES 3u
#define ONCES 512u
#define KEYS 4u
#define POOL_MAX 3u
#define BURST 20u
#define RATE 40000u /* a second */
#define BROADCAST_KEPT 8u

/* Lines of items from players to consumers. */
enum { LINE_CHANNEL, LINE_MEETING, LINE_QUEUE, LINES };
/* A task, a job and a thread at each, and one at two of them; two subscribers, two watchers. */
#define SELECTORS 1u
#define ENDS_MAX (LINES * 3u + SELECTORS + 4u)

struct item {
    uint64_t producer;
    uint64_t number; /* from 1 on, for each producer on each line */
};

struct line {
    skua_channel *channel; /* or */
    skua_queue *queue;
    uint64_t sent[PLAYERS_MAX];     /* each its player's own */
    uint64_t sent_sum[PLAYERS_MAX]; /* likewise */
    _Atomic uint64_t received;      /* relaxed, both: read after all ends have been joined */
    _Atomic uint64_t received_sum;
};

/* Somebody at the other end, on its own task or thread. */
struct end {
    struct world *world;
    struct random random;
    unsigned line;
    skua_subscriber *subscriber;
    uint64_t last[LINES][PLAYERS_MAX];
    skua_future *future; /* NULL: a thread */
    pthread_t thread;
};

/* What the pool lends. */
struct resource {
    uint64_t users;
};

struct games {
    struct {
        skua_mutex lock;
        uint64_t begun, ended; /* guarded by lock */
    } mutex;
    struct {
        skua_rwlock lock;
        uint64_t begun, ended; /* guarded by lock */
    } rwlock;
    struct {
        skua_semaphore permits;
        _Atomic uint64_t inside;
    } semaphore;
    struct {
        skua_mutex lock;
        skua_condition there;
        uint64_t tokens; /* guarded by lock */
    } condition;
    skua_event event;
    struct {
        skua_barrier barrier;
        _Atomic uint64_t passed;
    } barrier;
    struct {
        skua_once onces[ONCES];
        uint64_t runs[ONCES]; /* guarded by the once of the same index */
        _Atomic uint64_t current;
    } once;
    struct line lines[LINES];
    struct {
        skua_mutex lock;
        skua_broadcast *broadcast;
        skua_watch *watch;
        uint64_t sent, set; /* guarded by lock */
    } news;
    struct {
        skua_pool *pool;
        _Atomic uint64_t created, there; /* ever, and now */
    } pool;
    struct {
        skua_single_flight flight;
        uint64_t running[KEYS]; /* by who flies */
        _Atomic uint64_t flights;
    } flight;
    struct {
        skua_rate_limiter limiter;
        uint64_t begun_ns;
        _Atomic uint64_t taken;
    } rate;
    struct end ends[ENDS_MAX];
    unsigned end_count;
};

static inline void count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed); /* see struct world */
}

static inline uint64_t get(_Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed); /* see struct world */
}

static inline uint64_t hash_of(const struct item *item)
{
    uint64_t hash = (item->producer + 1) * UINT64_C(0x9E3779B97F4A7C15) + item->number;
    hash ^= hash >> 29;
    return hash * UINT64_C(0xBF58476D1CE4E5B9);
}

/*
 * Lets others do something. A thread spins: where many wait for a CPU, sched_yield(2) takes as long
 * as all of them, and a lock may be held meanwhile.
 */
static inline void give_way(bool is_task)
{
    if (is_task) {
        (void)skua_yield();
        return;
    }
    uint64_t until_ns = skua_now() + 1000;
    while (skua_now() < until_ns) {
    }
}

/* Counts, and says, what should not be. */
void must(struct world *world, const char *what, bool held, intmax_t got);
/* Awaits @future in spite of a cancel; the future may hear of it. */
intptr_t await_surely(skua_future *future);
/* A value of the watch must be of one piece. */
void expect_whole(struct world *world, const uint64_t *value);

#endif /* SKUA_TESTS_SYNC_STRESS_H */
