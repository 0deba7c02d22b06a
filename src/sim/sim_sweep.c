/*
 * sim/sim_sweep.c - many seeds, several ways to simulate; and of a run that fails, what matters.
 *
 * REPLAY  SKUA_SIM_SEED and SKUA_SIM_SET in the environment choose one run of a sweep, so that any
 *         test which sweeps can be told to run the one that has failed, and nothing else.
 */
#include <skua/sim.h>

#include "base/compiler.h"
#include "sim/world.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- shrinking ------------------------------------------------------------------------------- */

struct shrinking {
    skua_sim_options options;
    uint64_t seed;
    skua_fn fn;
    void *arg;
    int runs;
    size_t count;
    skua_sim_fault kept[SKUA_SIM_FAULTS_MAX];
    skua_sim_fault tried[SKUA_SIM_FAULTS_MAX];
    skua_sim_report last;
};

/* Whether the first @count of those in tried make it fail. */
static bool fails(struct shrinking *s, size_t count)
{
    s->options.script = s->tried; /* not NULL, even for none */
    s->options.script_count = count;
    if (!skua_world_script_is_valid(&s->options))
        return false;
    s->runs++;
    return SKUA_IS_ERROR(skua_sim_run(s->seed, &s->options, s->fn, s->arg, &s->last));
}

/* Puts those kept into tried, but for @left_out from @at on. Returns their number. */
static size_t leave_out(struct shrinking *s, size_t at, size_t left_out)
{
    size_t rest = s->count - at - left_out;
    memcpy(s->tried, s->kept, at * sizeof(s->kept[0]));
    memcpy(s->tried + at, s->kept + at + left_out, rest * sizeof(s->kept[0]));
    return at + rest;
}

/* Those from @at on get other numbers, all, or just the cuts. False: there is no such number. */
static bool renumber(struct shrinking *s, size_t at, size_t count, int by, bool only_cuts)
{
    bool any = false;
    for (size_t i = at; i < count; i++) {
        skua_sim_fault *fault = &s->tried[i];
        if (only_cuts && fault->kind != SKUA_SIM_LINK_CUT)
            continue;
        if (by < 0 && fault->operation < (uint64_t)-by)
            return false;
        fault->operation += (uint64_t)(int64_t)by;
        any = true;
    }
    return any;
}

/*
 * Whether it fails without the one at @at. What that did may have been counted: a retry is one more
 * operation, a datagram's double one more packet. So those after it may have other numbers now.
 */
static bool fails_without(struct shrinking *s, size_t at)
{
    static const int shifts[] = {-1, 1, -2, 2};
    size_t count = leave_out(s, at, 1);
    if (fails(s, count))
        return true;
    for (size_t i = 0; i < 2 * sizeof(shifts) / sizeof(shifts[0]); i++) {
        (void)leave_out(s, at, 1);
        if (renumber(s, at, count, shifts[i / 2], i % 2 == 0) && fails(s, count))
            return true;
    }
    return false;
}

static void keep_tried(struct shrinking *s, size_t count)
{
    memcpy(s->kept, s->tried, count * sizeof(s->kept[0]));
    s->count = count;
}

/* Leaves out ever smaller parts, as long as it fails without them; then one at a time. */
static void shrink(struct shrinking *s)
{
    for (size_t part = s->count; part > 1; part /= 2) {
        for (size_t at = 0; at < s->count;) {
            size_t left_out = skua_min(part, s->count - at);
            size_t count = leave_out(s, at, left_out);
            if (fails(s, count))
                keep_tried(s, count);
            else
                at += left_out;
        }
    }
    for (size_t before = s->count + 1; s->count < before;) {
        before = s->count;
        for (size_t at = s->count; at-- > 0;) { /* the last first: it moves no others */
            if (fails_without(s, at))
                keep_tried(s, s->count - 1);
        }
    }
}

int skua_sim_shrink(const skua_sim_options *options, skua_fn fn, void *arg, skua_sim_report *report)
{
    if (fn == NULL || report == NULL || report->fault_count > SKUA_SIM_FAULTS_MAX)
        return -EINVAL;
    struct shrinking *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return -ENOMEM;
    if (options != NULL)
        s->options = *options;
    s->options.is_quiet = true;
    s->seed = report->seed;
    s->fn = fn;
    s->arg = arg;
    s->count = report->fault_count;
    memcpy(s->kept, report->faults, s->count * sizeof(s->kept[0]));
    int rc = -EAGAIN;
    if (fails(s, leave_out(s, s->count, 0))) {
        shrink(s);
        (void)fails(s, leave_out(s, s->count, 0));
        *report = s->last;
        rc = s->runs;
    }
    free(s);
    return rc;
}

/* ---- sweeping -------------------------------------------------------------------------------- */

struct sweep {
    const skua_sim_plan *plan;
    skua_fn fn;
    void *arg;
    skua_sim_report *report;
    const char *only; /* name of the set; NULL: all */
};

static bool is_seed(const char *text, uint64_t *seed)
{
    char *end;
    errno = 0;
    *seed = strtoull(text, &end, 0);
    return errno == 0 && end != text && *end == '\0' && *text != '-';
}

static bool is_quiet(const skua_sim_set *set)
{
    return set->options != NULL && set->options->is_quiet;
}

static const char *kind_name(skua_sim_fault_kind kind)
{
    static const char *const names[SKUA_SIM_FAULT_KINDS] = {
        [SKUA_SIM_SHORT] = "SHORT",
        [SKUA_SIM_EINTR] = "EINTR",
        [SKUA_SIM_EAGAIN] = "EAGAIN",
        [SKUA_SIM_ECONNRESET] = "ECONNRESET",
        [SKUA_SIM_ENOSPC] = "ENOSPC",
        [SKUA_SIM_EIO] = "EIO",
        [SKUA_SIM_EMFILE] = "EMFILE",
        [SKUA_SIM_ENOMEM] = "ENOMEM",
        [SKUA_SIM_ENOBUFS] = "ENOBUFS",
        [SKUA_SIM_ALLOCATION] = "ALLOCATION",
        [SKUA_SIM_LINK_CUT] = "LINK_CUT",
        [SKUA_SIM_CONNECTION_RESET] = "CONNECTION_RESET",
        [SKUA_SIM_CONNECT_REFUSED] = "CONNECT_REFUSED",
        [SKUA_SIM_CONNECT_UNANSWERED] = "CONNECT_UNANSWERED",
        [SKUA_SIM_DATAGRAM_LOST] = "DATAGRAM_LOST",
        [SKUA_SIM_DATAGRAM_DOUBLED] = "DATAGRAM_DOUBLED",
        [SKUA_SIM_DATAGRAM_LATE] = "DATAGRAM_LATE",
    };
    return names[kind];
}

static void print_faults(const struct sweep *sweep, const skua_sim_set *set)
{
    const char *wanted = getenv("SKUA_SIM_SHRINK");
    skua_sim_report fewest = *sweep->report;
    if (wanted == NULL || strcmp(wanted, "1") != 0)
        return;
    int runs = skua_sim_shrink(set->options, sweep->fn, sweep->arg, &fewest);
    if (runs < 0) {
        (void)fprintf(stderr, "skua: its %zu faults alone do not make it fail (%d)\n",
                      sweep->report->fault_count, runs);
        return;
    }
    (void)fprintf(stderr, "skua: %zu of %zu faults are enough:", fewest.fault_count,
                  sweep->report->fault_count);
    for (size_t i = 0; i < fewest.fault_count; i++)
        (void)fprintf(stderr, " {%" PRIu64 ", SKUA_SIM_%s, %u, %" PRIu64 "}",
                      fewest.faults[i].operation, kind_name(fewest.faults[i].kind),
                      fewest.faults[i].length, fewest.faults[i].delay_ns);
    (void)fprintf(stderr, "\n");
}

static void print_failure(const struct sweep *sweep, const skua_sim_set *set, uint64_t seed,
                          intptr_t result)
{
    const char *name = set->name != NULL ? set->name : "";
    const char *replay = sweep->plan->replay != NULL ? sweep->plan->replay : "...";
    bool is_named = set->name != NULL;
    (void)fprintf(stderr, "skua: seed %" PRIu64 "%s%s fails with %" PRIdPTR "; again:\n", seed,
                  is_named ? " of set " : "", name, result);
    (void)fprintf(stderr, "    SKUA_SIM_SEED=%" PRIu64 "%s%s %s\n", seed,
                  is_named ? " SKUA_SIM_SET=" : "", name, replay);
    print_faults(sweep, set);
}

/* One seed, with the sets that are wanted. The first error, and *@failed is of what set. */
static intptr_t run_seed(const struct sweep *sweep, uint64_t seed, size_t *failed)
{
    for (size_t i = 0; i < sweep->plan->set_count; i++) {
        const skua_sim_set *set = &sweep->plan->sets[i];
        if (sweep->only != NULL && (set->name == NULL || strcmp(set->name, sweep->only) != 0))
            continue;
        intptr_t result = skua_sim_run(seed, set->options, sweep->fn, sweep->arg, sweep->report);
        if (!SKUA_IS_ERROR(result))
            continue;
        *failed = i;
        if (!is_quiet(set))
            print_failure(sweep, set, seed, result);
        return result;
    }
    return 0;
}

static bool has_set(const skua_sim_plan *plan, const char *name)
{
    for (size_t i = 0; i < plan->set_count; i++) {
        if (plan->sets[i].name != NULL && strcmp(plan->sets[i].name, name) == 0)
            return true;
    }
    return false;
}

intptr_t skua_sim_sweep_sets(const skua_sim_plan *plan, skua_fn fn, void *arg,
                             skua_sim_report *report, size_t *failed)
{
    skua_sim_report own;
    size_t ignored;
    if (plan == NULL || plan->sets == NULL || plan->set_count == 0 || fn == NULL ||
        (plan->reserved[0] | plan->reserved[1]) != 0)
        return -EINVAL;
    struct sweep sweep = {.plan = plan,
                          .fn = fn,
                          .arg = arg,
                          .report = report != NULL ? report : &own,
                          .only = getenv("SKUA_SIM_SET")};
    const char *only_seed = getenv("SKUA_SIM_SEED");
    uint64_t first = plan->first;
    uint64_t count = plan->count;
    if (sweep.only != NULL && plan->set_count > 1 && !has_set(plan, sweep.only))
        return -EINVAL;
    if (plan->set_count == 1)
        sweep.only = NULL; /* a variable for other sweeps of the program */
    if (only_seed != NULL && !is_seed(only_seed, &first))
        return -EINVAL;
    if (only_seed != NULL)
        count = 1;
    intptr_t result = 0;
    for (uint64_t i = 0; i < count && result == 0; i++)
        result = run_seed(&sweep, first + i, failed != NULL ? failed : &ignored);
    return result;
}

intptr_t skua_sim_sweep(uint64_t first, uint64_t count, const skua_sim_options *options, skua_fn fn,
                        void *arg, skua_sim_report *report)
{
    skua_sim_set set = {.options = options};
    skua_sim_plan plan = {.first = first, .count = count, .sets = &set, .set_count = 1};
    return skua_sim_sweep_sets(&plan, fn, arg, report, NULL);
}
