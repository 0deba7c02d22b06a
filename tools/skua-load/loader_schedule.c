/*
 * loader_schedule.c - see loader_schedule.h.
 */
#include "loader_schedule.h"

#include <math.h>

#include "loader.h"

uint64_t skua_loader_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void skua_loader_schedule_init(struct loader_schedule *schedule,
                               const struct loader_options *options)
{
    *schedule = (struct loader_schedule){
        .limit = options->requests,
        .gap_ns = options->rate > 0 ? 1e9 / options->rate : 0,
        .poisson = options->poisson,
        .random = options->seed,
    };
    pthread_mutex_init(&schedule->lock, NULL);
}

void skua_loader_schedule_fini(struct loader_schedule *schedule)
{
    pthread_mutex_destroy(&schedule->lock);
}

static uint64_t later(uint64_t time_ns, uint64_t delay_ns)
{
    return delay_ns > UINT64_MAX - time_ns ? UINT64_MAX : time_ns + delay_ns;
}

void skua_loader_schedule_start(struct loader_schedule *schedule,
                                const struct loader_options *options, uint64_t now_ns)
{
    schedule->start_ns = now_ns;
    schedule->window_ns = later(now_ns, options->warmup_ns);
    schedule->end_ns = later(schedule->window_ns, options->duration_ns);
    schedule->last_ns = schedule->end_ns;
    if (options->rate > 0)
        schedule->last_ns = later(schedule->end_ns, options->timeout_ns);
}

static bool take_closed(struct loader_schedule *schedule, uint64_t now_ns,
                        struct loader_ticket *ticket)
{
    ticket->due_ns = now_ns;
    ticket->counted = now_ns >= schedule->window_ns;
    /* relaxed: nothing but the number is shared */
    return schedule->limit == 0 || !ticket->counted ||
           atomic_fetch_add_explicit(&schedule->taken, 1, memory_order_relaxed) < schedule->limit;
}

/* Goes to the next request. Called with the lock. */
static void advance(struct loader_schedule *schedule)
{
    schedule->number++;
    if (schedule->poisson) {
        /* In (0, 1], so its logarithm is finite. */
        double share = (double)((skua_loader_random(&schedule->random) >> 11) + 1) * 0x1p-53;
        schedule->offset_ns -= log(share) * schedule->gap_ns;
    } else {
        schedule->offset_ns = (double)schedule->number * schedule->gap_ns;
    }
}

/* Called with the lock. */
static bool take_open(struct loader_schedule *schedule, struct loader_ticket *ticket)
{
    ticket->due_ns = later(schedule->start_ns, (uint64_t)schedule->offset_ns);
    ticket->counted = ticket->due_ns >= schedule->window_ns;
    if (ticket->due_ns >= schedule->end_ns)
        return false;
    if (ticket->counted && schedule->limit != 0 && schedule->due == schedule->limit)
        return false;
    schedule->due += ticket->counted;
    advance(schedule);
    return true;
}

bool skua_loader_schedule_take(struct loader_schedule *schedule, uint64_t now_ns,
                               struct loader_ticket *ticket)
{
    if (now_ns >= schedule->last_ns)
        return false;
    if (schedule->gap_ns <= 0)
        return take_closed(schedule, now_ns, ticket);
    pthread_mutex_lock(&schedule->lock);
    bool taken = take_open(schedule, ticket);
    pthread_mutex_unlock(&schedule->lock);
    return taken;
}

uint64_t skua_loader_schedule_drain(struct loader_schedule *schedule, uint64_t end_ns)
{
    struct loader_ticket ticket;
    uint64_t count = 0;
    if (schedule->gap_ns <= 0)
        return 0;
    if (end_ns < schedule->end_ns)
        schedule->end_ns = end_ns;
    while (take_open(schedule, &ticket))
        count += ticket.counted;
    return count;
}
