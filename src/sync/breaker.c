/*
 * sync/breaker.c - circuit breakers.
 *
 * STATE     CLOSED --(too many failures)--> OPEN --(open_ns, and somebody asks)--> HALF_OPEN
 *           HALF_OPEN --(all probes succeed)--> CLOSED;   HALF_OPEN --(one fails)--> OPEN
 *
 *           A ticket is the number of changes so far. A report whose ticket is older says something
 *           about a time that is over, and is ignored: so probes are told from the calls that were
 *           under way when the breaker opened.
 *
 * WINDOW    Calls and failures are counted in eight slots, a ring; a slot is the eighth of a window
 *           in which a call ended. What is older than the ring is cleared as time goes on.
 *
 * INVARIANTS
 *   B1  HALF_OPEN: probes_out + probes_good <= probes_max. So as many as that are let through until
 *       the state changes, except that a probe that tells nothing is replaced.
 *
 * ORDERING  Everything is guarded by the spin lock. Callbacks are called without it.
 */
#include "base/check.h"
#include "base/compiler.h"
#include "base/spin.h"
#include "platform/vthread.h"

#include <skua/resilience.h>
#include <skua/time.h>

#include <errno.h>
#include <string.h>

#define SLOTS 8u

struct slot {
    uint32_t calls;
    uint32_t failures;
};

struct breaker {
    uint32_t failures_max; /* constant, as what follows; 0: any number */
    uint32_t failure_percent;
    uint32_t calls_min;
    uint32_t probes_max;
    uint64_t slot_ns;
    uint64_t open_ns;
    bool (*is_failure)(intptr_t result, void *arg);
    void *is_failure_arg;
    uint64_t changes;   /* guarded by lock, as what follows */
    uint64_t closes_ns; /* OPEN: until when */
    uint64_t epoch;     /* the slot of now: number, modulo SLOTS its place in the ring */
    uint32_t probes_out;
    uint32_t probes_good;
    struct slot slots[SLOTS];
    uint8_t state;
    struct skua_spin lock;
};

_Static_assert(sizeof(struct breaker) <= sizeof(skua_breaker),
               "skua_breaker is its opaque storage");

static struct breaker *breaker_of(skua_breaker *opaque)
{
    return (struct breaker *)(void *)opaque;
}

static unsigned or_default(unsigned value, unsigned otherwise)
{
    return value != 0 ? value : otherwise;
}

int skua_breaker_init(skua_breaker *opaque, const skua_breaker_options *options)
{
    static const skua_breaker_options defaults = {0};
    struct breaker *breaker = breaker_of(opaque);
    if (options == NULL)
        options = &defaults;
    uint64_t reserved = 0;
    for (size_t i = 0; i < sizeof(options->reserved) / sizeof(options->reserved[0]); i++)
        reserved |= options->reserved[i];
    if (breaker == NULL || options->failure_percent > 100 || reserved != 0)
        return -EINVAL;
    uint64_t window_ns = options->window_ns != 0 ? options->window_ns : 10 * SKUA_NS_PER_SEC;
    *breaker = (struct breaker){
        .failures_max = or_default(options->failures_max, options->failure_percent != 0 ? 0 : 5),
        .failure_percent = options->failure_percent,
        .calls_min = or_default(options->calls_min, 10),
        .probes_max = or_default(options->probes_max, 1),
        .slot_ns = window_ns / SLOTS + (window_ns % SLOTS != 0),
        .open_ns = options->open_ns != 0 ? options->open_ns : 5 * SKUA_NS_PER_SEC,
        .is_failure = options->is_failure,
        .is_failure_arg = options->is_failure_arg,
        .state = SKUA_BREAKER_CLOSED,
    };
    return 0;
}

/* ---- under the lock -------------------------------------------------------------------------- */

static void change(struct breaker *breaker, skua_breaker_state_kind state, uint64_t now_ns)
{
    breaker->state = (uint8_t)state;
    breaker->changes++;
    breaker->probes_out = breaker->probes_good = 0;
    memset(breaker->slots, 0, sizeof(breaker->slots));
    if (state == SKUA_BREAKER_OPEN)
        breaker->closes_ns =
            now_ns > UINT64_MAX - breaker->open_ns ? UINT64_MAX : now_ns + breaker->open_ns;
}

/* The slot of @now_ns, those between the last one and it being cleared. */
static struct slot *slot_at(struct breaker *breaker, uint64_t now_ns)
{
    uint64_t epoch = now_ns / breaker->slot_ns;
    if (epoch > breaker->epoch) { /* else the clock was looked at before somebody else's turn */
        uint64_t passed = skua_min(epoch - breaker->epoch, SLOTS);
        for (uint64_t i = 0; i < passed; i++)
            breaker->slots[(epoch - i) % SLOTS] = (struct slot){0, 0};
        breaker->epoch = epoch;
    }
    return &breaker->slots[breaker->epoch % SLOTS];
}

static bool has_failed_too_often(const struct breaker *breaker)
{
    uint64_t calls = 0, failures = 0;
    for (unsigned i = 0; i < SLOTS; i++) {
        calls += breaker->slots[i].calls;
        failures += breaker->slots[i].failures;
    }
    bool too_many = breaker->failures_max != 0 && failures >= breaker->failures_max;
    bool too_large_a_share = breaker->failure_percent != 0 && calls >= breaker->calls_min &&
                             failures * 100 >= calls * breaker->failure_percent;
    return too_many || too_large_a_share;
}

static void count_call(struct breaker *breaker, bool is_failure, uint64_t now_ns)
{
    struct slot *slot = slot_at(breaker, now_ns);
    if (slot->calls != UINT32_MAX)
        slot->calls++;
    if (is_failure && slot->failures != UINT32_MAX)
        slot->failures++;
    if (is_failure && has_failed_too_often(breaker))
        change(breaker, SKUA_BREAKER_OPEN, now_ns);
}

static void count_probe(struct breaker *breaker, bool is_failure, uint64_t now_ns)
{
    if (is_failure)
        change(breaker, SKUA_BREAKER_OPEN, now_ns);
    else if (++breaker->probes_good == breaker->probes_max)
        change(breaker, SKUA_BREAKER_CLOSED, now_ns);
}

/* ---- calls ----------------------------------------------------------------------------------- */

int skua_breaker_before(skua_breaker *opaque, uint64_t *ticket)
{
    struct breaker *breaker = breaker_of(opaque);
    if (breaker == NULL || ticket == NULL)
        return -EINVAL;
    skua_vthread_point();
    uint64_t now_ns = skua_now();
    skua_spin_lock(&breaker->lock);
    if (breaker->state == SKUA_BREAKER_OPEN && now_ns >= breaker->closes_ns)
        change(breaker, SKUA_BREAKER_HALF_OPEN, now_ns);
    bool may = breaker->state == SKUA_BREAKER_CLOSED;
    if (breaker->state == SKUA_BREAKER_HALF_OPEN)
        may = breaker->probes_out + breaker->probes_good < breaker->probes_max; /* B1 */
    if (may) {
        breaker->probes_out += breaker->state == SKUA_BREAKER_HALF_OPEN;
        *ticket = breaker->changes;
    }
    skua_spin_unlock(&breaker->lock);
    return may ? 0 : -EHOSTDOWN;
}

int skua_breaker_after(skua_breaker *opaque, uint64_t ticket, intptr_t result)
{
    struct breaker *breaker = breaker_of(opaque);
    if (breaker == NULL)
        return -EINVAL;
    bool tells = true, is_failure = SKUA_IS_ERROR(result);
    if (breaker->is_failure != NULL)
        is_failure = breaker->is_failure(result, breaker->is_failure_arg);
    if (result == -ECANCELED && (breaker->is_failure == NULL || !is_failure))
        tells = false;
    skua_vthread_point();
    uint64_t now_ns = skua_now();
    skua_spin_lock(&breaker->lock);
    if (ticket == breaker->changes) {
        skua_assert(breaker->state != SKUA_BREAKER_OPEN); /* it gives no tickets */
        bool is_probe = breaker->state == SKUA_BREAKER_HALF_OPEN;
        breaker->probes_out -= is_probe;
        if (tells && is_probe)
            count_probe(breaker, is_failure, now_ns);
        else if (tells)
            count_call(breaker, is_failure, now_ns);
    }
    skua_spin_unlock(&breaker->lock);
    return 0;
}

intptr_t skua_breaker_call(skua_breaker *opaque, skua_fn fn, void *arg)
{
    uint64_t ticket = 0;
    if (fn == NULL)
        return -EINVAL;
    int rc = skua_breaker_before(opaque, &ticket);
    if (rc < 0)
        return rc;
    intptr_t result = fn(arg);
    (void)skua_breaker_after(opaque, ticket, result);
    return result;
}

skua_breaker_state_kind skua_breaker_state(const skua_breaker *opaque)
{
    struct breaker *breaker = (struct breaker *)(uintptr_t)opaque;
    if (breaker == NULL)
        return SKUA_BREAKER_CLOSED;
    uint64_t now_ns = skua_now();
    skua_spin_lock(&breaker->lock);
    skua_breaker_state_kind state = (skua_breaker_state_kind)breaker->state;
    if (state == SKUA_BREAKER_OPEN && now_ns >= breaker->closes_ns)
        state = SKUA_BREAKER_HALF_OPEN;
    skua_spin_unlock(&breaker->lock);
    return state;
}
