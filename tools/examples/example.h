/*
 * example.h - what the examples share: main(), and how much time has passed.
 *
 * An example is one function, example(), that runs as the first task of a runtime. Run for real it
 * takes its time; with --sim SEED it runs in the simulator, where sleeping takes none, and where
 * the seed decides whose turn it is.
 */
#ifndef SKUA_EXAMPLES_EXAMPLE_H
#define SKUA_EXAMPLES_EXAMPLE_H

#include <skua/skua.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS SKUA_NS_PER_MS

intptr_t example(void *arg);

/* Seconds since @start_ns, a time of skua_now(). */
static inline double seconds_since(uint64_t start_ns)
{
    return (double)(skua_now() - start_ns) / (double)SKUA_NS_PER_SEC;
}

int main(int argc, char **argv)
{
    bool is_sim = argc == 3 && strcmp(argv[1], "--sim") == 0;
    char *end = NULL;
    uint64_t seed = is_sim ? strtoull(argv[2], &end, 10) : 0;
    if (argc != 1 && (!is_sim || argv[2][0] < '0' || argv[2][0] > '9' || *end != '\0')) {
        bool is_help = argc == 2 && strcmp(argv[1], "--help") == 0;
        fprintf(is_help ? stdout : stderr,
                "Usage: %s [--sim SEED]\n"
                "An example of the library Skua; see its source.\n"
                "  --sim SEED  in the simulator: in no time, and the same for the same SEED\n",
                argv[0]);
        return is_help ? EXIT_SUCCESS : 2;
    }
    intptr_t rc =
        is_sim ? skua_sim_run(seed, NULL, example, NULL, NULL) : skua_run(NULL, example, NULL);
    if (rc == -ENOTSUP) {
        fprintf(stderr, "%s: no simulations in a build with ThreadSanitizer\n", argv[0]);
        return 77; /* for the tests: skipped */
    }
    if (!SKUA_IS_ERROR(rc) && fclose(stdout) != 0)
        rc = -errno; /* what was printed has not arrived */
    if (SKUA_IS_ERROR(rc))
        fprintf(stderr, "%s: %s\n", argv[0], strerror((int)-rc));
    return SKUA_IS_ERROR(rc) ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif /* SKUA_EXAMPLES_EXAMPLE_H */
