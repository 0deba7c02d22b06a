/*
 * bench/skynet_bench.c - a tree in which every inner node has ten children; the result is the sum
 * of the leaves' numbers.
 *
 * Cases:
 *   fork    --size leaves (default 10 million). A node forks nine children, calls the tenth, and
 *           joins: "skua typed" and "skua plain". Reported are the time of a run, at the default
 *           size, and the time for each fork
 *   tasks   a tenth of --size leaves (1 million, as in the original). Every node, leaves included,
 *           is a task of its own, which its parent awaits; for each task
 *
 * Source: A. Temerev's skynet, a comparison of goroutines, actors and promises.
 */
#include "common/bench_runtime.h"
#include "common/bench_workload.h"

#include <skua/fork.h>

#define CHILDREN 10

SKUA_FORKABLE(uint64_t, skynet_typed, uint64_t, first, uint64_t, leaves)
{
    SKUA_JOB(skynet_typed) jobs[CHILDREN - 1];
    if (SKUA_LEAF(leaves == 1))
        return first;
    uint64_t each = leaves / CHILDREN;
    for (uint64_t i = 0; i < CHILDREN - 1; i++)
        SKUA_FORK(skynet_typed, &jobs[i], first + i * each, each);
    uint64_t sum = SKUA_CALL(skynet_typed, first + (CHILDREN - 1) * each, each);
    for (int i = CHILDREN - 2; i >= 0; i--)
        sum += SKUA_JOIN(skynet_typed, &jobs[i]);
    return sum;
}

struct node {
    uint64_t first;
    uint64_t leaves;
};

static struct node child(const struct node *parent, uint64_t index)
{
    uint64_t each = parent->leaves / CHILDREN;
    return (struct node){.first = parent->first + index * each, .leaves = each};
}

static intptr_t skynet_plain(void *arg)
{
    const struct node *node = arg;
    struct node children[CHILDREN];
    skua_job jobs[CHILDREN - 1];
    if (node->leaves == 1)
        return (intptr_t)node->first;
    for (int i = 0; i < CHILDREN; i++)
        children[i] = child(node, (uint64_t)i);
    for (int i = 0; i < CHILDREN - 1; i++)
        (void)skua_fork(&jobs[i], skynet_plain, &children[i]); /* cannot fail with a function */
    intptr_t sum = skynet_plain(&children[CHILDREN - 1]);
    for (int i = CHILDREN - 2; i >= 0; i--)
        sum += skua_join(&jobs[i]);
    return sum;
}

static intptr_t skynet_task(void *arg)
{
    const struct node *node = arg;
    struct node children[CHILDREN];
    skua_future *futures[CHILDREN];
    intptr_t sum = 0;
    if (node->leaves == 1)
        return (intptr_t)node->first;
    for (int i = 0; i < CHILDREN; i++) {
        children[i] = child(node, (uint64_t)i);
        futures[i] = skua_spawn(skynet_task, &children[i]);
    }
    for (int i = CHILDREN - 1; i >= 0; i--)
        sum += skua_await(futures[i]);
    return sum;
}

static void run_forks(const struct bench_options *options)
{
    struct bench_options typed = bench_named(options, "skua typed");
    struct bench_options plain = bench_named(options, "skua plain");
    struct node root = {.first = 0, .leaves = bench_skynet_leaves(options->size)};
    uint64_t start = bench_now();
    uint64_t sum = skynet_typed(root.first, root.leaves);
    bench_skynet_finish(&typed, bench_now() - start, sum);
    start = bench_now();
    sum = (uint64_t)skynet_plain(&root);
    bench_skynet_finish(&plain, bench_now() - start, sum);
}

static void run_tasks(const struct bench_options *options)
{
    struct bench_options line = *options;
    struct node root = {.first = 0, .leaves = bench_skynet_leaves(options->size / CHILDREN)};
    line.size = root.leaves;
    uint64_t start = bench_now();
    uint64_t sum = (uint64_t)skua_await(skua_spawn(skynet_task, &root));
    double ns = (double)(bench_now() - start) / (double)bench_skynet_nodes(root.leaves);
    bench_check(&line, "tasks", sum, bench_skynet_expected(root.leaves));
    bench_report_as(&line, "tasks", "time", "ns/task", ns);
}

static void run_once(struct bench_options *options)
{
    if (bench_wants(options, "fork"))
        run_forks(options);
    if (bench_wants(options, "tasks"))
        run_tasks(options);
}

static intptr_t run_all(void *arg)
{
    bench_repeat(arg, run_once);
    return 0;
}

int main(int argc, char **argv)
{
    struct bench_options options = bench_defaults("skynet", "skua", BENCH_SKYNET_WHOLE);
    bench_parse(&options, argc, argv);
    bench_run_task(&options, run_all, &options);
    return 0;
}
