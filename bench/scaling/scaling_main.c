/*
 * scaling/scaling_main.c - the simulator's command line: one JSON line for each number of workers.
 *
 *     scaling_sim --tree fib --size 39 --work-ns 5e8 --workers 1,2,4 --seed 1 --cost line=70
 *
 * tools/bench_scale calls it with what it has measured. Exit codes: 0 simulated, 1 impossible or
 * an invariant does not hold, 2 usage.
 */
#include "scaling_sim.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORKERS_MAX = 256, COUNTS_MAX = 32 };

static const char usage_text[] =
    "usage: scaling_sim --tree NAME --size N [--work-ns T] [--roof-gbps R] [--workers LIST]\n"
    "                   [--seed N] [--cost NAME=NS]...\n"
    "Simulates Skua's fork/join scheduler; see bench/README.md. Trees: ";

struct arguments {
    struct scaling_tree_config tree;
    struct scaling_costs costs;
    unsigned workers[COUNTS_MAX];
    unsigned count;
    uint64_t seed;
};

static _Noreturn void usage(int status)
{
    fprintf(status == 0 ? stdout : stderr, "%s%s\n", usage_text, scaling_tree_names());
    exit(status);
}

static double number(const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= 0) || value > 1e18)
        usage(2);
    return value;
}

static void parse_workers(struct arguments *arguments, char *text)
{
    arguments->count = 0;
    for (char *part = strtok(text, ","); part != NULL; part = strtok(NULL, ",")) {
        double value = number(part);
        if (value < 1 || value > WORKERS_MAX || arguments->count == COUNTS_MAX)
            usage(2);
        arguments->workers[arguments->count++] = (unsigned)value;
    }
    if (arguments->count == 0)
        usage(2);
}

static void parse_cost(struct arguments *arguments, char *text)
{
    char *value = strchr(text, '=');
    if (value == NULL)
        usage(2);
    *value = '\0';
    if (!scaling_costs_set(&arguments->costs, text, number(value + 1)))
        usage(2);
}

static void parse(struct arguments *arguments, int argc, char **argv)
{
    static const struct option options[] = {
        {"tree", required_argument, NULL, 't'},
        {"size", required_argument, NULL, 'n'},
        {"work-ns", required_argument, NULL, 'c'},
        {"workers", required_argument, NULL, 'w'},
        {"roof-gbps", required_argument, NULL, 'r'},
        {"seed", required_argument, NULL, 's'},
        {"cost", required_argument, NULL, 'p'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 't')
            arguments->tree.name = optarg;
        else if (option == 'n')
            arguments->tree.size = (uint64_t)number(optarg);
        else if (option == 'c')
            arguments->tree.work_ns = number(optarg);
        else if (option == 'r')
            arguments->tree.roof_gbps = number(optarg);
        else if (option == 's')
            arguments->seed = (uint64_t)number(optarg);
        else if (option == 'w')
            parse_workers(arguments, optarg);
        else if (option == 'p')
            parse_cost(arguments, optarg);
        else
            usage(option == 'h' ? 0 : 2);
    }
    if (arguments->tree.name == NULL || arguments->tree.size == 0 || optind != argc)
        usage(2);
}

static double ns(uint64_t ps)
{
    return (double)ps / (double)SCALING_PS_PER_NS;
}

/* What must hold whatever the costs are; NULL if it does. */
static const char *broken(const struct scaling_result *result, uint64_t cost_ps, uint64_t span_ps,
                          unsigned workers)
{
    if (result->work_ps != cost_ps)
        return "work was lost or done twice";
    if (result->makespan_ps < span_ps || result->makespan_ps < cost_ps / workers)
        return "faster than possible";
    if (workers == 1 && (result->makespan_ps != cost_ps || result->jobs_stolen != 0))
        return "one worker has overhead";
    return NULL;
}

static void print(const struct arguments *arguments, const struct scaling_tree *tree,
                  unsigned workers, const struct scaling_result *r, uint64_t span_ps)
{
    printf("{\"tree\":\"%s\",\"size\":%" PRIu64 ",\"workers\":%u,\"seed\":%" PRIu64 ",",
           arguments->tree.name, arguments->tree.size, workers, arguments->seed);
    printf("\"makespan_ns\":%.3f,\"work_ns\":%.3f,\"span_ns\":%.3f,\"overhead_ns\":%.3f,",
           ns(r->makespan_ps), ns(r->work_ps), ns(span_ps), ns(r->overhead_ps));
    printf("\"forks\":%" PRIu64 ",\"publications\":%" PRIu64 ",\"jobs_published\":%" PRIu64 ",",
           scaling_tree_forks(tree), r->publications, r->jobs_published);
    printf("\"jobs_stolen\":%" PRIu64 ",\"jobs_forced\":%" PRIu64 ",\"steal_attempts\":%" PRIu64
           ",\"cas_failed\":%" PRIu64 ",",
           r->jobs_stolen, r->jobs_forced, r->steal_attempts, r->cas_failed);
    printf("\"requests\":%" PRIu64 ",\"parks\":%" PRIu64 ",\"wakes\":%" PRIu64
           ",\"shared_writes\":%" PRIu64 ",\"events\":%" PRIu64 "}\n",
           r->requests, r->parks, r->wakes, r->shared_writes, r->events);
}

static int simulate(const struct arguments *arguments, struct scaling_tree *tree)
{
    int status = 0;
    for (unsigned i = 0; i < arguments->count; i++) {
        struct scaling_result result;
        unsigned workers = arguments->workers[i];
        scaling_tree_set_workers(tree, workers);
        int rc = scaling_run(tree, &arguments->costs, workers, arguments->seed, &result);
        if (rc < 0) {
            fprintf(stderr, "scaling_sim: %s, %u workers: %s\n", arguments->tree.name, workers,
                    strerror(-rc));
            status = 1;
            continue;
        }
        struct scaling_node root = scaling_tree_root(tree);
        uint64_t span_ps = scaling_tree_span(tree, root);
        const char *what = broken(&result, scaling_tree_cost(tree, root), span_ps, workers);
        if (what != NULL) {
            fprintf(stderr, "scaling_sim: %s, %u workers: %s\n", arguments->tree.name, workers,
                    what);
            status = 1;
        }
        print(arguments, tree, workers, &result, span_ps);
    }
    return status;
}

int main(int argc, char **argv)
{
    struct arguments arguments = {.workers = {1, 2, 4, 8, 16, 32, 64, 128}, .count = 8, .seed = 1};
    const char *why;
    scaling_costs_default(&arguments.costs);
    parse(&arguments, argc, argv);
    struct scaling_tree *tree = scaling_tree_create(&arguments.tree, &why);
    if (tree == NULL) {
        fprintf(stderr, "scaling_sim: %s: %s\n", arguments.tree.name, why);
        return 1;
    }
    int status = simulate(&arguments, tree);
    scaling_tree_destroy(tree);
    return status;
}
