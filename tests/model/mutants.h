/*
 * tests/model/mutants.h - what a model's program does: explores scenarios, then mutants of the
 * source under test.
 *
 * Every scenario must be free of bugs and explored to its end. Then each operation that is stronger
 * than relaxed is taken weaker, one at a time: an acquire or release as relaxed, both as either, a
 * seq_cst as acquire, release or both, a barrier is left out. Some scenario must show a bug.
 */
#ifndef SKUA_TESTS_MODEL_MUTANTS_H
#define SKUA_TESTS_MODEL_MUTANTS_H

#include "explorer.h"

/*
 * Operations of a function whose order this model cannot show to be needed: so many, no more and no
 * less. They are looked for in the smaller scenarios only, or with the argument "large" in all.
 */
struct model_spared {
    const char *function;
    memory_order order; /* as it stands */
    enum model_access access;
    unsigned count;
    const char *why;
};

struct model_suite {
    const struct model_scenario *scenarios;
    unsigned scenario_count;
    unsigned large_count;                /* of them, the last: only with the argument "large" */
    const struct model_scenario *broken; /* copies of code with a step left out: must show a bug */
    unsigned broken_count;
    unsigned site_count; /* ordered operations there must be, so that none is missed */
    const struct model_spared *spared;
    unsigned spared_count;
};

#define MODEL_COUNT(array) ((unsigned)(sizeof(array) / sizeof((array)[0])))

/*
 * The exit status of the program. Arguments: "trace" prints the execution behind each bug; "all"
 * goes on after the first scenario that shows one; "first" leaves the mutants out; "large"
 * takes the large scenarios in.
 */
int model_main(const struct model_suite *suite, int argc, char **argv);

#endif /* SKUA_TESTS_MODEL_MUTANTS_H */
