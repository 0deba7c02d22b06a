/*
 * tests/model/mutants.c - see mutants.h.
 */
#include "mutants.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define SCENARIOS_MAX 32
#define SPARED_MAX 16
#define SPARED_STATES_MAX 100000u

static const struct model_suite *suite;
static bool is_tracing;
static bool is_all;
static bool is_first;
static bool is_large;
static unsigned spared_counts[SPARED_MAX];
static uint64_t sizes[SCENARIOS_MAX]; /* states of the unchanged source */

static const char *order_name(memory_order order)
{
    static const char *const names[] = {"relaxed", "consume", "acquire",
                                        "release", "acq_rel", "seq_cst"};
    return names[order];
}

static double seconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static unsigned scenario_count(void)
{
    return suite->scenario_count - (is_large ? 0 : suite->large_count);
}

static unsigned explore_all(void)
{
    unsigned bad = 0;

    for (unsigned i = 0; i < scenario_count(); i++) {
        double start = seconds();
        struct model_result r = model_explore(&suite->scenarios[i], NULL, is_tracing);
        bool is_good = !r.is_bug && !r.is_cut_short && r.end_count > 0;
        sizes[i] = r.state_count;
        printf("%-56s %8llu states %6llu ends %5.1f s  %s\n", suite->scenarios[i].name,
               (unsigned long long)r.state_count, (unsigned long long)r.end_count,
               seconds() - start,
               r.is_bug  ? r.bug
               : is_good ? "ok"
                         : "not explored to the end");
        fflush(stdout);
        bad += !is_good;
    }
    return bad;
}

/* The next scenario in the order of their sizes; @done: bits of those that have been. */
static unsigned next_scenario(uint64_t *done)
{
    unsigned best = scenario_count();

    for (unsigned i = 0; i < scenario_count(); i++) {
        bool is_open = (*done & (UINT64_C(1) << i)) == 0;
        if (is_open && (best == scenario_count() || sizes[i] < sizes[best]))
            best = i;
    }
    *done |= UINT64_C(1) << best;
    return best;
}

/* @is_spared: no bug is expected; then the larger scenarios are too many. */
static bool is_found(const struct model_mutant *mutant, bool is_spared)
{
    const struct model_site *site = &mutant->use.site;
    const char *what = mutant->use.access == MODEL_FENCES ? "left out" : order_name(mutant->order);
    bool is_any = false;
    double start = seconds();
    uint64_t done = 0;

    for (unsigned i = 0; i < scenario_count() && (is_all || !is_any); i++) {
        const struct model_scenario *scenario = &suite->scenarios[next_scenario(&done)];
        if (is_spared && !is_large && sizes[scenario - suite->scenarios] > SPARED_STATES_MAX)
            break;
        struct model_result r = model_explore(scenario, mutant, is_tracing);
        if (!r.is_bug)
            continue;
        printf("%s:%u%s %s: %s: %s (%.1f s)\n", site->function, site->line,
               mutant->use.is_failure ? " failing" : "", what, scenario->name, r.bug,
               seconds() - start);
        is_any = true;
    }
    if (!is_any)
        printf("%s:%u%s %s: no bug found (%.1f s)\n", site->function, site->line,
               mutant->use.is_failure ? " failing" : "", what, seconds() - start);
    fflush(stdout);
    return is_any;
}

/* Its index; spared_count: none. */
static unsigned spared_of(const struct model_site_use *use)
{
    unsigned i = 0;

    while (i < suite->spared_count &&
           (suite->spared[i].order != use->order || suite->spared[i].access != use->access ||
            strcmp(suite->spared[i].function, use->site.function) != 0))
        i++;
    return i;
}

/* The weaker orders to try instead of that of @use: how many. */
static unsigned weaker_orders(const struct model_site_use *use, memory_order weaker[2])
{
    weaker[0] = memory_order_relaxed;
    if (use->order == memory_order_seq_cst) {
        weaker[0] = use->access == MODEL_READS    ? memory_order_acquire
                    : use->access == MODEL_WRITES ? memory_order_release
                                                  : memory_order_acq_rel;
    } else if (use->order == memory_order_acq_rel) {
        weaker[0] = memory_order_acquire;
        weaker[1] = memory_order_release;
        return 2;
    }
    return 1;
}

/* How many of the mutants of @use are not as they should be. */
static unsigned weaken(const struct model_site_use *use)
{
    memory_order weaker[2];
    unsigned count = weaker_orders(use, weaker);
    unsigned spared = spared_of(use);
    unsigned bad = 0;

    for (unsigned i = 0; i < count; i++) {
        struct model_mutant mutant = {.use = *use, .order = weaker[i]};
        if (is_found(&mutant, spared < suite->spared_count))
            continue;
        if (spared < suite->spared_count) {
            spared_counts[spared]++;
            printf("    spared: %s\n", suite->spared[spared].why);
        } else {
            printf("    not needed, or a scenario is missing\n");
            bad++;
        }
    }
    return bad;
}

static unsigned weaken_all(const struct model_site_use *uses, unsigned count)
{
    unsigned bad = 0;

    for (unsigned i = 0; i < count; i++)
        bad += weaken(&uses[i]);
    for (unsigned i = 0; i < suite->spared_count; i++) {
        if (spared_counts[i] != suite->spared[i].count) {
            printf("%s: %u spared, there should be %u\n", suite->spared[i].function,
                   spared_counts[i], suite->spared[i].count);
            bad++;
        }
    }
    return bad;
}

static unsigned explore_broken(void)
{
    unsigned bad = 0;

    for (unsigned i = 0; i < suite->broken_count; i++) {
        struct model_result r = model_explore(&suite->broken[i], NULL, is_tracing);
        printf("broken: %s: %s\n", suite->broken[i].name, r.is_bug ? r.bug : "no bug found");
        bad += !r.is_bug;
    }
    return bad;
}

int model_main(const struct model_suite *which, int argc, char **argv)
{
    const struct model_site_use *uses;
    double start = seconds();

    suite = which;
    for (int i = 1; i < argc; i++) {
        is_tracing |= strcmp(argv[i], "trace") == 0;
        is_all |= strcmp(argv[i], "all") == 0;
        is_first |= strcmp(argv[i], "first") == 0;
        is_large |= strcmp(argv[i], "large") == 0;
    }
    unsigned bad = explore_all();
    unsigned count = model_sites(&uses);
    if (count != suite->site_count) {
        printf("%u ordered operations were reached, there should be %u\n", count,
               suite->site_count);
        bad++;
    }
    if (!is_first)
        bad += weaken_all(uses, count);
    bad += explore_broken();
    printf("%s (%.1f s)\n", bad == 0 ? "ok" : "FAILED", seconds() - start);
    return bad == 0 ? 0 : 1;
}
