/*
 * bench/peers/serial/uts_serial.c - the calls of bench/uts_bench.c without any fork.
 */
#include "common/bench_uts.h"

static uint32_t depth;

/* Counts children @first .. @first + @count - 1 of @parent and all below them. */
static struct bench_uts_count search(const struct bench_uts_node *parent, unsigned first,
                                     unsigned count)
{
    if (count > 1) {
        unsigned half = count / 2;
        struct bench_uts_count left = search(parent, first, half);
        return bench_uts_add(left, search(parent, first + half, count - half));
    }
    struct bench_uts_node node = bench_uts_child(parent, first);
    unsigned children = bench_uts_children(&node, depth);
    struct bench_uts_count found = bench_uts_one(&node, children);
    return children == 0 ? found : bench_uts_add(found, search(&node, 0, children));
}

static void run_once(struct bench_options *options)
{
    depth = (uint32_t)options->size;
    uint64_t start = bench_now();
    struct bench_uts_node root = bench_uts_root();
    unsigned children = bench_uts_children(&root, depth);
    struct bench_uts_count found = bench_uts_one(&root, children);
    found = bench_uts_add(found, search(&root, 0, children));
    bench_uts_finish(options, bench_now() - start, found);
}

int main(int argc, char **argv)
{
    struct bench_options options = bench_defaults("uts", "serial", BENCH_UTS_DEPTH);
    bench_parse(&options, argc, argv);
    options.workers = 1;
    bench_repeat(&options, run_once);
    return 0;
}
