/*
 * bench/uts_bench.c - Unbalanced Tree Search: counts the 4,130,071 nodes of a tree that nobody can
 * divide fairly in advance. About 100 ns of SHA-1 for each node.
 *
 * Case "fork": tree T1 of the published benchmark; --size is its depth (default 10). The tree, the
 * way it is searched and the counts that are checked stand in common/bench_uts.h, which all
 * programs share. Reported are the time of a run, at the default size, and the time for each fork.
 * "skua typed" and "skua plain" as in fib_bench.c.
 */
#include "common/bench_runtime.h"
#include "common/bench_uts.h"

#include <skua/fork.h>

static uint32_t depth; /* constant during a run */

/* Counts children @first .. @first + @count - 1 of @parent and all below them. */
SKUA_FORKABLE(struct bench_uts_count, search_typed, const struct bench_uts_node *, parent, unsigned,
              first, unsigned, count)
{
    if (count > 1) {
        SKUA_JOB(search_typed) job;
        unsigned half = count / 2;
        SKUA_FORK(search_typed, &job, parent, first, half);
        struct bench_uts_count right = SKUA_CALL(search_typed, parent, first + half, count - half);
        return bench_uts_add(SKUA_JOIN(search_typed, &job), right);
    }
    struct bench_uts_node node = bench_uts_child(parent, first);
    unsigned children = bench_uts_children(&node, depth);
    struct bench_uts_count found = bench_uts_one(&node, children);
    if (children == 0)
        return found;
    return bench_uts_add(found, SKUA_CALL(search_typed, &node, 0, children));
}

struct range {
    const struct bench_uts_node *parent;
    unsigned first;
    unsigned count;
    struct bench_uts_count found;
};

static intptr_t search_plain(void *arg)
{
    struct range *range = arg;
    if (range->count > 1) {
        unsigned half = range->count / 2;
        struct range left = {.parent = range->parent, .first = range->first, .count = half};
        struct range right = {
            .parent = range->parent, .first = range->first + half, .count = range->count - half};
        skua_job job;
        (void)skua_fork(&job, search_plain, &left); /* cannot fail with a function */
        (void)search_plain(&right);
        (void)skua_join(&job);
        range->found = bench_uts_add(left.found, right.found);
        return 0;
    }
    struct bench_uts_node node = bench_uts_child(range->parent, range->first);
    struct range below = {.parent = &node, .count = bench_uts_children(&node, depth)};
    range->found = bench_uts_one(&node, below.count);
    if (below.count > 0) {
        (void)search_plain(&below);
        range->found = bench_uts_add(range->found, below.found);
    }
    return 0;
}

static void run_once(struct bench_options *options)
{
    struct bench_options typed = bench_named(options, "skua typed");
    struct bench_options plain = bench_named(options, "skua plain");
    struct bench_uts_node root = bench_uts_root();
    depth = (uint32_t)options->size;
    unsigned children = bench_uts_children(&root, depth);
    struct bench_uts_count found = bench_uts_one(&root, children);
    struct range all = {.parent = &root, .count = children};
    uint64_t start = bench_now();
    struct bench_uts_count below = search_typed(&root, 0, children);
    bench_uts_finish(&typed, bench_now() - start, bench_uts_add(found, below));
    start = bench_now();
    (void)search_plain(&all);
    bench_uts_finish(&plain, bench_now() - start, bench_uts_add(found, all.found));
}

static intptr_t run_all(void *arg)
{
    bench_repeat(arg, run_once);
    return 0;
}

int main(int argc, char **argv)
{
    struct bench_options options = bench_defaults("uts", "skua", BENCH_UTS_DEPTH);
    bench_parse(&options, argc, argv);
    bench_run_task(&options, run_all, &options);
    return 0;
}
