/*
 * loader_schedule.h - when requests are due, and who gets which. Tasks take one after the other.
 *
 * A closed loop has one due whenever somebody asks, until the end. An open loop has the times of
 * all fixed beforehand, by the rate and the seed; what was due before the end may still be taken a
 * while after it, so that a server which stands still at the end does not hide what it delays.
 */
#ifndef SKUA_LOADER_SCHEDULE_H
#define SKUA_LOADER_SCHEDULE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct loader_options;

/* The next number of a splitmix64 generator. */
uint64_t skua_loader_random(uint64_t *state);

/* A request that is taken, or about to be. */
struct loader_ticket {
    uint64_t due_ns;
    bool counted; /* it is due in the window */
};

struct loader_schedule {
    /* Constant after the start. */
    uint64_t start_ns;
    uint64_t window_ns; /* when the window begins */
    uint64_t end_ns;    /* when it ends; SKUA_FOREVER: with the last request */
    uint64_t last_ns;   /* nothing is taken after that */
    uint64_t limit;     /* of requests that count; 0: none */
    double gap_ns;      /* of an open loop, on average; 0: a closed one */
    bool poisson;
    _Atomic uint64_t taken; /* of a closed loop with a limit; may pass it */
    pthread_mutex_t lock;   /* never held across a wait */
    /* Guarded by lock. */
    uint64_t number;  /* of the next request of an open loop */
    double offset_ns; /* when it is due, after start_ns */
    uint64_t due;     /* requests that count, so far */
    uint64_t random;
};

void skua_loader_schedule_init(struct loader_schedule *schedule,
                               const struct loader_options *options);
void skua_loader_schedule_fini(struct loader_schedule *schedule);

/* Sets all times, from @now_ns. */
void skua_loader_schedule_start(struct loader_schedule *schedule,
                                const struct loader_options *options, uint64_t now_ns);

/* Takes the next request; false if there is none any more, or nobody may begin it at @now_ns. */
bool skua_loader_schedule_take(struct loader_schedule *schedule, uint64_t now_ns,
                               struct loader_ticket *ticket);

/*
 * Takes all that count and were due before @end_ns, when nobody else does any more. Returns how
 * many.
 */
uint64_t skua_loader_schedule_drain(struct loader_schedule *schedule, uint64_t end_ns);

#endif /* SKUA_LOADER_SCHEDULE_H */
