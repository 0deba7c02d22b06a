/*
 * stress/sim_semantics_check.c - what must hold at every step of the programs of sim_semantics.
 *
 * At a step each task is between two calls of the library or somewhere in one. What it has counted
 * is done; of a call it is in nobody knows here whether it has had its effect. So the sums below
 * are bounds, as many apart as tasks are in such calls.
 */
#include "stress/sim_semantics.h"

#include <errno.h>

struct sim_state now;

static int verdict(void)
{
    return now.wrong != NULL ? -EIO : 0;
}

int sim_nothing_wrong(void *arg)
{
    (void)arg;
    return verdict();
}

/* ---- locks ----------------------------------------------------------------------------------- */

int sim_mutex_holds(void *arg)
{
    (void)arg;
    EXPECT(now.inside == 0 || (now.inside == 1 && skua_mutex_locked(&now.mutex)));
    return verdict();
}

/* No permit is made, and none is lost but to who is in a call. */
int sim_semaphore_holds(void *arg)
{
    (void)arg;
    int64_t value = (int64_t)skua_semaphore_value(&now.semaphore);
    EXPECT(value + now.inside <= PERMITS);
    EXPECT(value + now.inside + now.sending + now.receiving >= PERMITS);
    return verdict();
}

int sim_rwlock_holds(void *arg)
{
    (void)arg;
    EXPECT(now.writers == 0 || (now.writers == 1 && now.inside == 0));
    return verdict();
}

/* ---- meeting --------------------------------------------------------------------------------- */

/* Nobody clears it. */
int sim_event_holds(void *arg)
{
    (void)arg;
    bool is_set = skua_event_is_set(&now.event);
    EXPECT(is_set || !now.is_closed);
    now.is_closed = is_set;
    return verdict();
}

/* Nobody is in the round after the next. */
int sim_barrier_holds(void *arg)
{
    (void)arg;
    int64_t least = now.counts[0];
    int64_t most = now.counts[0];
    for (int i = 1; i < TASKS; i++) {
        least = now.counts[i] < least ? now.counts[i] : least;
        most = now.counts[i] > most ? now.counts[i] : most;
    }
    EXPECT(most - least <= 1);
    return verdict();
}

int sim_group_holds(void *arg)
{
    (void)arg;
    EXPECT(now.running >= 0 && (!now.is_closed || now.running == 0));
    return verdict();
}

/* ---- messages -------------------------------------------------------------------------------- */

/* @held: are in it. Those sent and not received, give or take the calls. */
static void expect_conserved(int64_t held)
{
    EXPECT(now.received + held <= now.sent + now.sending);
    EXPECT(now.received + now.receiving + held >= now.sent || now.drops);
}

int sim_channels_hold(void *arg)
{
    (void)arg;
    int64_t held = 0;
    for (int i = 0; i < 3; i++)
        held += (int64_t)skua_channel_count(now.channels[i]);
    expect_conserved(held);
    return verdict();
}

/* Who is in a select may have some of the channels locked: then nobody may ask them. */
int sim_selects_hold(void *arg)
{
    return now.sending + now.receiving == 0 ? sim_channels_hold(arg) : verdict();
}

int sim_queue_holds(void *arg)
{
    (void)arg;
    expect_conserved((int64_t)skua_queue_count(now.queue));
    EXPECT(now.running <= now.received);
    return verdict();
}

/* Nobody gets, or misses, more than was sent. */
int sim_broadcast_holds(void *arg)
{
    (void)arg;
    for (int i = 0; i < TASKS; i++)
        EXPECT(now.counts[i] <= now.sent + now.sending);
    return verdict();
}

/* ---- tasks ----------------------------------------------------------------------------------- */

/* A scope lasts longer than its children. */
int sim_scopes_hold(void *arg)
{
    (void)arg;
    for (int i = 0; i < now.scope_count; i++)
        EXPECT(now.scopes[i].children == 0 || !now.scopes[i].is_closed);
    return verdict();
}

int sim_siblings_hold(void *arg)
{
    (void)arg;
    EXPECT(now.running >= 0 && (!now.is_closed || now.running == 0));
    EXPECT(now.running + now.received <= now.sent + now.sending);
    return verdict();
}

/* A promise that has a value has been given it. */
int sim_promises_hold(void *arg)
{
    (void)arg;
    EXPECT(now.received <= now.sent + now.sending);
    return verdict();
}

/* A job runs once at most. */
int sim_jobs_hold(void *arg)
{
    (void)arg;
    for (int i = 0; i < TASKS; i++)
        EXPECT(now.counts[i] <= 1);
    return verdict();
}
