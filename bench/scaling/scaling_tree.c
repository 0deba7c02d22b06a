/*
 * scaling/scaling_tree.c - see scaling_tree.h. The trees have the shape of the programs'
 * (../<name>_bench.c, src/parallel/); what one unit of work costs follows from the time of the
 * whole, measured with one worker.
 *
 *   fib      a unit is a call
 *   skynet   a unit is a node
 *   nqueens  a unit is a board; the true tree, found by search. All boards cost the same
 *   matmul   a unit is a block of 64 x 64 x 64
 *   uts      a unit is a node; the true tree, found by hashing
 *   sort     a unit is an element in one pass: log2 of the run in a kernel, 1 in a merge. Merges of
 *            more than CACHE_BYTES stream from memory
 *   compare  the same with the smaller runs that are used when comparisons are calls
 *   reduce   a unit is a double; streams from memory
 *   skewed   a unit is a step; the true loop
 */
#include "scaling_tree.h"

#include "common/bench_reduce.h"
#ifdef SCALING_HAS_UTS
#include "common/bench_uts.h"
#endif

#include <stdlib.h>
#include <string.h>

enum { KIND_PLAIN, KIND_SORT, KIND_MERGE, KIND_STREAM, KIND_RANGE, KIND_HALVES };

/* In src/parallel/pieces.h and sort_kernel.c. */
enum { PIECES_EAGER = 4, PACE_CHUNKS = 16 };
#define PACE_PS (10000 * SCALING_PS_PER_NS)
#define CACHE_BYTES (32u << 20)
#define SORT_ELEMENT_BYTES 4u
#define MERGE_BYTES 12u /* read 4, write 4, and read before it is written */
#define SUM_BYTES 8u

enum { CALLS_MAX = 64, MEMO_MAX = 512 };

struct memo {
    struct scaling_node node;
    uint64_t span_ps;
};

struct scaling_tree {
    const struct shape *shape;
    struct scaling_tree_config config;
    struct scaling_node root;
    uint64_t unit_ps;   /* of a unit that does not stream from memory */
    uint64_t stream_ps; /* of one that does, with so many workers */
    /* explicit trees: of each node in preorder how many there are below and with it */
    uint32_t *sizes;
    uint32_t count;
    uint32_t room;
    /* loops */
    uint64_t *before; /* units before an index; NULL: as many as the index says */
    uint32_t leaf;
    /* fib, skynet */
    uint64_t units[CALLS_MAX];
    /* sort */
    uint32_t sort_count;
    uint32_t merge_count;
    uint32_t passes; /* in a kernel's run of sort_count */
    struct memo memo[MEMO_MAX];
    unsigned memo_count;
    uint64_t span_ps; /* of explicit trees, which take long; 0: not known yet */
};

/* A tree's functions. */
struct shape {
    const char *name;
    const char *(*build)(struct scaling_tree *tree); /* NULL, or what is wrong */
    struct scaling_op (*op)(const struct scaling_tree *tree, struct scaling_node node,
                            uint32_t step);
    uint64_t (*cost)(const struct scaling_tree *tree, struct scaling_node node);
    uint64_t (*forks)(const struct scaling_tree *tree);
    unsigned bytes; /* that a unit streams */
    bool memo;      /* few nodes differ: spans are kept */
};

static struct scaling_op op_of(enum scaling_op_kind kind)
{
    return (struct scaling_op){.kind = kind};
}

static struct scaling_op work(uint64_t work_ps)
{
    return (struct scaling_op){.kind = SCALING_WORK, .work_ps = work_ps};
}

static struct scaling_op with_child(enum scaling_op_kind kind, struct scaling_node child)
{
    return (struct scaling_op){.kind = kind, .child = child};
}

/* ---- fib, skynet, matmul: known sizes -------------------------------------------------------- */

static uint64_t units_cost(const struct scaling_tree *tree, struct scaling_node node)
{
    return tree->units[node.a] * tree->unit_ps;
}

static const char *fib_build(struct scaling_tree *tree)
{
    if (tree->config.size < 2 || tree->config.size >= CALLS_MAX)
        return "fib: a size from 2 to 63";
    tree->units[0] = tree->units[1] = 1;
    for (size_t n = 2; n <= tree->config.size; n++)
        tree->units[n] = tree->units[n - 1] + tree->units[n - 2] + 1;
    tree->root = (struct scaling_node){.a = (uint32_t)tree->config.size};
    return NULL;
}

static struct scaling_op fib_op(const struct scaling_tree *tree, struct scaling_node node,
                                uint32_t step)
{
    if (step == 0)
        return work(tree->unit_ps);
    if (node.a < 2)
        return op_of(SCALING_END);
    switch (step) {
    case 1:
        return with_child(SCALING_FORK, (struct scaling_node){.a = node.a - 1});
    case 2:
        return with_child(SCALING_CALL, (struct scaling_node){.a = node.a - 2});
    case 3:
        return op_of(SCALING_JOIN);
    default:
        return op_of(SCALING_END);
    }
}

static uint64_t fib_forks(const struct scaling_tree *tree)
{
    return tree->units[tree->root.a] / 2;
}

static const char *skynet_build(struct scaling_tree *tree)
{
    uint32_t level = 0;
    tree->units[0] = 1;
    for (uint64_t leaves = 1; leaves * 10 <= tree->config.size; leaves *= 10) {
        level++;
        tree->units[level] = 10 * tree->units[level - 1] + 1;
    }
    tree->root = (struct scaling_node){.a = level};
    return NULL;
}

static struct scaling_op skynet_op(const struct scaling_tree *tree, struct scaling_node node,
                                   uint32_t step)
{
    if (step == 0)
        return work(tree->unit_ps);
    if (node.a == 0 || step > 19)
        return op_of(SCALING_END);
    struct scaling_node child = {.a = node.a - 1};
    if (step <= 9)
        return with_child(SCALING_FORK, child);
    return step == 10 ? with_child(SCALING_CALL, child) : op_of(SCALING_JOIN);
}

static uint64_t skynet_forks(const struct scaling_tree *tree)
{
    return (tree->units[tree->root.a] - 1) / 10 * 9;
}

static const char *matmul_build(struct scaling_tree *tree)
{
    uint32_t level = 0;
    tree->units[0] = 1;
    for (uint64_t size = 64; size * 2 <= tree->config.size; size *= 2) {
        level++;
        tree->units[level] = 8 * tree->units[level - 1];
    }
    tree->root = (struct scaling_node){.a = level};
    return NULL;
}

static struct scaling_op matmul_op(const struct scaling_tree *tree, struct scaling_node node,
                                   uint32_t step)
{
    if (node.a == 0)
        return step == 0 ? work(tree->unit_ps) : op_of(SCALING_END);
    if (step >= 14)
        return op_of(SCALING_END);
    struct scaling_node child = {.a = node.a - 1};
    step %= 7;
    if (step < 3)
        return with_child(SCALING_FORK, child);
    return step == 3 ? with_child(SCALING_CALL, child) : op_of(SCALING_JOIN);
}

static uint64_t matmul_forks(const struct scaling_tree *tree)
{
    uint64_t forks = 0;
    for (uint32_t level = 1; level <= tree->root.a; level++)
        forks = 8 * forks + 6;
    return forks;
}

/* ---- nqueens, uts: the true trees ------------------------------------------------------------ */

static uint64_t weight_cost(const struct scaling_tree *tree, struct scaling_node node)
{
    return node.weight * tree->unit_ps;
}

/* Adds a node in preorder. UINT32_MAX: no memory. */
static uint32_t add_node(struct scaling_tree *tree)
{
    if (tree->count == tree->room) {
        uint32_t room = tree->room == 0 ? 1u << 16 : tree->room * 2;
        uint32_t *sizes = realloc(tree->sizes, room * sizeof(*sizes));
        if (sizes == NULL)
            return UINT32_MAX;
        tree->sizes = sizes;
        tree->room = room;
    }
    return tree->count++;
}

/* The boards below one, whose attacked columns and diagonals are bits. */
static bool add_boards(struct scaling_tree *tree, uint32_t columns, uint32_t left, uint32_t right)
{
    uint32_t index = add_node(tree);
    uint32_t all = (1u << tree->config.size) - 1;
    if (index == UINT32_MAX)
        return false;
    uint32_t safe = columns == all ? 0 : all & ~(columns | left | right);
    for (; safe != 0; safe &= safe - 1) {
        uint32_t bit = safe & (~safe + 1);
        if (!add_boards(tree, columns | bit, (left | bit) << 1, (right | bit) >> 1))
            return false;
    }
    tree->sizes[index] = tree->count - index;
    return true;
}

static const char *queens_build(struct scaling_tree *tree)
{
    if (tree->config.size > 14)
        return "nqueens: a size of at most 14";
    if (!add_boards(tree, 0, 0, 0))
        return "no memory";
    tree->root = (struct scaling_node){.weight = tree->sizes[0]};
    return NULL;
}

/* A board forks all it can, then joins all. */
static struct scaling_op queens_op(const struct scaling_tree *tree, struct scaling_node node,
                                   uint32_t step)
{
    uint32_t end = node.a + tree->sizes[node.a];
    uint32_t children = 0;
    if (step == 0)
        return work(tree->unit_ps);
    for (uint32_t child = node.a + 1; child < end; child += tree->sizes[child]) {
        if (++children == step)
            return with_child(SCALING_FORK,
                              (struct scaling_node){.a = child, .weight = tree->sizes[child]});
    }
    return op_of(step <= 2 * children ? SCALING_JOIN : SCALING_END);
}

static uint64_t queens_forks(const struct scaling_tree *tree)
{
    return tree->count - 1;
}

#ifdef SCALING_HAS_UTS
static bool add_uts(struct scaling_tree *tree, const struct bench_uts_node *node)
{
    uint32_t index = add_node(tree);
    unsigned children = bench_uts_children(node, (uint32_t)tree->config.size);
    if (index == UINT32_MAX)
        return false;
    for (unsigned i = 0; i < children; i++) {
        struct bench_uts_node child = bench_uts_child(node, i);
        if (!add_uts(tree, &child))
            return false;
    }
    tree->sizes[index] = tree->count - index;
    return true;
}

/* The siblings from @first on, up to @end in preorder: how many there are. */
static uint32_t siblings(const struct scaling_tree *tree, uint32_t first, uint32_t end)
{
    uint32_t count = 0;
    for (; first < end; first += tree->sizes[first])
        count++;
    return count;
}

static struct scaling_node uts_range(uint32_t first, uint32_t count, uint32_t weight)
{
    return (struct scaling_node){.a = first, .b = count, .weight = weight};
}

static const char *uts_build(struct scaling_tree *tree)
{
    struct bench_uts_node root = bench_uts_root();
    if (!add_uts(tree, &root))
        return "no memory";
    tree->root = uts_range(1, siblings(tree, 1, tree->count), tree->count - 1);
    return tree->count > 1 ? NULL : "uts: the root has no children";
}

/* A node is a range of siblings: halved down to one, which is hashed and has children. */
static struct scaling_op uts_op(const struct scaling_tree *tree, struct scaling_node node,
                                uint32_t step)
{
    if (node.b == 1) {
        uint32_t below = node.weight - 1;
        if (step == 0)
            return work(tree->unit_ps);
        if (step > 1 || below == 0)
            return op_of(SCALING_END);
        uint32_t count = siblings(tree, node.a + 1, node.a + node.weight);
        return with_child(SCALING_CALL, uts_range(node.a + 1, count, below));
    }
    uint32_t half = node.b / 2;
    uint32_t middle = node.a;
    for (uint32_t i = 0; i < half; i++)
        middle += tree->sizes[middle];
    uint32_t lower = middle - node.a;
    switch (step) {
    case 0:
        return with_child(SCALING_FORK, uts_range(node.a, half, lower));
    case 1:
        return with_child(SCALING_CALL, uts_range(middle, node.b - half, node.weight - lower));
    case 2:
        return op_of(SCALING_JOIN);
    default:
        return op_of(SCALING_END);
    }
}

/* One for every child but the first of each node. */
static uint64_t uts_forks(const struct scaling_tree *tree)
{
    uint64_t inner = 0;
    for (uint32_t i = 0; i < tree->count; i++)
        inner += tree->sizes[i] > 1;
    return tree->count - 1 - inner;
}
#endif

/* ---- sort ------------------------------------------------------------------------------------ */

static uint64_t merge_units(const struct scaling_tree *tree, struct scaling_node node)
{
    return node.a * (node.kind == KIND_STREAM ? tree->stream_ps : tree->unit_ps);
}

static struct scaling_node merge_node(uint32_t count)
{
    bool stream = count > CACHE_BYTES / SORT_ELEMENT_BYTES / 2;
    return (struct scaling_node){.kind = stream ? KIND_STREAM : KIND_MERGE, .a = count};
}

static struct scaling_node sort_node(uint32_t count)
{
    return (struct scaling_node){.kind = KIND_SORT, .a = count};
}

static uint64_t sort_cost(const struct scaling_tree *tree, struct scaling_node node)
{
    if (node.kind != KIND_SORT)
        return merge_units(tree, node);
    if (node.a <= tree->sort_count)
        return (uint64_t)node.a * tree->passes * tree->unit_ps;
    uint32_t half = node.a / 2;
    uint64_t low = sort_cost(tree, sort_node(half));
    uint64_t high = half * 2 == node.a ? low : sort_cost(tree, sort_node(node.a - half));
    return low + high + merge_units(tree, merge_node(node.a));
}

static const char *sort_build_with(struct scaling_tree *tree, uint32_t sort_count,
                                   uint32_t merge_count)
{
    if (tree->config.size >= UINT32_MAX)
        return "sort: fewer elements than 2^32";
    tree->sort_count = sort_count;
    tree->merge_count = merge_count;
    for (uint32_t run = sort_count; run > 1; run /= 2)
        tree->passes++;
    tree->root = sort_node((uint32_t)tree->config.size);
    return NULL;
}

static const char *sort_build(struct scaling_tree *tree)
{
    return sort_build_with(tree, 2048, 16384);
}

static const char *compare_build(struct scaling_tree *tree)
{
    return sort_build_with(tree, 256, 1024);
}

static struct scaling_op merge_op(const struct scaling_tree *tree, struct scaling_node node,
                                  uint32_t step)
{
    struct scaling_node low = {.kind = node.kind, .a = node.a / 2};
    struct scaling_node high = {.kind = node.kind, .a = node.a - node.a / 2};
    if (node.a <= tree->merge_count)
        return step == 0 ? work(merge_units(tree, node)) : op_of(SCALING_END);
    if (step < 2)
        return step == 0 ? with_child(SCALING_FORK, high) : with_child(SCALING_CALL, low);
    return op_of(step == 2 ? SCALING_JOIN : SCALING_END);
}

static struct scaling_op sort_op(const struct scaling_tree *tree, struct scaling_node node,
                                 uint32_t step)
{
    if (node.kind != KIND_SORT)
        return merge_op(tree, node, step);
    if (node.a <= tree->sort_count)
        return step == 0 ? work(sort_cost(tree, node)) : op_of(SCALING_END);
    switch (step) {
    case 0:
        return with_child(SCALING_FORK, sort_node(node.a - node.a / 2));
    case 1:
        return with_child(SCALING_CALL, sort_node(node.a / 2));
    case 2:
        return op_of(SCALING_JOIN);
    case 3:
        return with_child(SCALING_CALL, merge_node(node.a));
    default:
        return op_of(SCALING_END);
    }
}

static uint64_t merge_forks(const struct scaling_tree *tree, uint32_t count)
{
    if (count <= tree->merge_count)
        return 0;
    return 1 + merge_forks(tree, count / 2) + merge_forks(tree, count - count / 2);
}

static uint64_t sort_forks_of(const struct scaling_tree *tree, uint32_t count)
{
    if (count <= tree->sort_count)
        return 0;
    return 1 + merge_forks(tree, count) + sort_forks_of(tree, count / 2) +
           sort_forks_of(tree, count - count / 2);
}

static uint64_t sort_forks(const struct scaling_tree *tree)
{
    return sort_forks_of(tree, tree->root.a);
}

/* ---- loops ----------------------------------------------------------------------------------- */

static uint64_t units_before(const struct scaling_tree *tree, uint32_t index)
{
    return tree->before != NULL ? tree->before[index] : index;
}

static uint64_t range_cost(const struct scaling_tree *tree, struct scaling_node node)
{
    return (units_before(tree, node.b) - units_before(tree, node.a)) * tree->stream_ps;
}

static const char *reduce_build(struct scaling_tree *tree)
{
    if (tree->config.size >= UINT32_MAX)
        return "loops: fewer iterations than 2^32";
    tree->root = (struct scaling_node){.kind = KIND_RANGE, .b = (uint32_t)tree->config.size};
    return NULL;
}

static const char *skewed_build(struct scaling_tree *tree)
{
    tree->before = malloc((tree->config.size + 1) * sizeof(*tree->before));
    if (tree->before == NULL)
        return "no memory";
    tree->before[0] = 0;
    for (size_t i = 0; i < tree->config.size; i++)
        tree->before[i + 1] = tree->before[i] + bench_skewed_steps(i);
    return reduce_build(tree);
}

static struct scaling_op range_op(const struct scaling_tree *tree, struct scaling_node node,
                                  uint32_t step)
{
    uint32_t count = node.b - node.a;
    if (count <= 1 || (node.kind == KIND_RANGE && count <= tree->leaf))
        return step == 0 ? work(range_cost(tree, node)) : op_of(SCALING_END);
    uint32_t middle = node.a + count / 2;
    struct scaling_node lower = {.kind = KIND_RANGE, .a = node.a, .b = middle};
    struct scaling_node upper = {.kind = KIND_RANGE, .a = middle, .b = node.b};
    if (step < 2)
        return step == 0 ? with_child(SCALING_FORK, upper) : with_child(SCALING_CALL, lower);
    return op_of(step == 2 ? SCALING_JOIN : SCALING_END);
}

static uint64_t range_forks_of(const struct scaling_tree *tree, uint32_t count)
{
    if (count <= 1 || count <= tree->leaf)
        return 0;
    return 1 + range_forks_of(tree, count / 2) + range_forks_of(tree, count - count / 2);
}

static uint64_t range_forks(const struct scaling_tree *tree)
{
    return range_forks_of(tree, tree->root.b);
}

/* The first index of a leaf before which there is work of @ps. */
static uint32_t index_after(const struct scaling_tree *tree, struct scaling_node node, uint64_t ps)
{
    uint32_t low = node.a;
    uint32_t high = node.b;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        uint64_t units = units_before(tree, middle) - units_before(tree, node.a);
        if (units * tree->stream_ps >= ps)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

bool scaling_tree_cut(const struct scaling_tree *tree, struct scaling_node node, uint64_t done_ps,
                      struct scaling_cut *cut)
{
    uint32_t count = node.b - node.a;
    if (node.kind != KIND_RANGE || count > tree->leaf || count <= 1)
        return false;
    uint64_t whole_ps = range_cost(tree, node);
    uint64_t chunk_ps = whole_ps / PACE_CHUNKS + 1;
    if (chunk_ps > PACE_PS)
        chunk_ps = PACE_PS;
    uint64_t target_ps = (done_ps + chunk_ps - 1) / chunk_ps * chunk_ps;
    uint32_t middle = index_after(tree, node, target_ps);
    cut->rest = (struct scaling_node){.kind = KIND_HALVES, .a = middle, .b = node.b};
    uint64_t rest_ps = range_cost(tree, cut->rest);
    cut->at_ps = whole_ps - rest_ps;
    return node.b - middle >= 2 && rest_ps / 2 >= PACE_PS / 8;
}

/* ---- all ------------------------------------------------------------------------------------- */

static const struct shape shapes[] = {
    {"fib", fib_build, fib_op, units_cost, fib_forks, 0, true},
    {"skynet", skynet_build, skynet_op, units_cost, skynet_forks, 0, true},
    {"nqueens", queens_build, queens_op, weight_cost, queens_forks, 0, false},
    {"matmul", matmul_build, matmul_op, units_cost, matmul_forks, 0, true},
#ifdef SCALING_HAS_UTS
    {"uts", uts_build, uts_op, weight_cost, uts_forks, 0, false},
#endif
    {"sort", sort_build, sort_op, sort_cost, sort_forks, MERGE_BYTES, true},
    {"compare", compare_build, sort_op, sort_cost, sort_forks, MERGE_BYTES, true},
    {"reduce", reduce_build, range_op, range_cost, range_forks, SUM_BYTES, false},
    {"skewed", skewed_build, range_op, range_cost, range_forks, 0, false},
};

const char *scaling_tree_names(void)
{
    return "fib,skynet,nqueens,matmul,"
#ifdef SCALING_HAS_UTS
           "uts,"
#endif
           "sort,compare,reduce,skewed";
}

struct scaling_node scaling_tree_root(const struct scaling_tree *tree)
{
    return tree->root;
}

struct scaling_op scaling_tree_op(const struct scaling_tree *tree, struct scaling_node node,
                                  uint32_t step)
{
    return tree->shape->op(tree, node, step);
}

uint64_t scaling_tree_cost(const struct scaling_tree *tree, struct scaling_node node)
{
    return tree->shape->cost(tree, node);
}

uint64_t scaling_tree_forks(const struct scaling_tree *tree)
{
    return tree->shape->forks(tree);
}

void scaling_tree_set_workers(struct scaling_tree *tree, unsigned workers)
{
    double unit_ns = (double)tree->unit_ps / (double)SCALING_PS_PER_NS;
    double slower = 1;
    tree->config.workers = workers;
    if (tree->shape->bytes != 0 && tree->config.roof_gbps > 0)
        slower = workers * (tree->shape->bytes / unit_ns) / tree->config.roof_gbps;
    tree->stream_ps = slower > 1 ? (uint64_t)((double)tree->unit_ps * slower + 0.5) : tree->unit_ps;
    tree->leaf = (uint32_t)((tree->config.size - 1) / ((uint64_t)workers * PIECES_EAGER) + 1);
    tree->memo_count = 0;
}

struct scaling_tree *scaling_tree_create(const struct scaling_tree_config *config, const char **why)
{
    struct scaling_tree *tree = calloc(1, sizeof(*tree));
    *why = "no memory";
    if (tree == NULL)
        return NULL;
    tree->config = *config;
    *why = "no such tree";
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        if (strcmp(shapes[i].name, config->name) == 0)
            tree->shape = &shapes[i];
    }
    if (tree->shape == NULL || config->size == 0 || (*why = tree->shape->build(tree)) != NULL) {
        scaling_tree_destroy(tree);
        return NULL;
    }
    /* Costs in units, then what a unit costs if the whole is to cost what it does. */
    tree->unit_ps = tree->stream_ps = 1;
    uint64_t units = scaling_tree_cost(tree, tree->root);
    double unit_ps = config->work_ns * (double)SCALING_PS_PER_NS / (double)units;
    tree->unit_ps = config->work_ns > 0 ? (uint64_t)(unit_ps + 0.5) : SCALING_PS_PER_NS;
    if (tree->unit_ps == 0)
        tree->unit_ps = 1;
    scaling_tree_set_workers(tree, config->workers != 0 ? config->workers : 1);
    return tree;
}

void scaling_tree_destroy(struct scaling_tree *tree)
{
    if (tree == NULL)
        return;
    free(tree->sizes);
    free(tree->before);
    free(tree);
}

/* ---- span ------------------------------------------------------------------------------------ */

static uint64_t *memo_find(struct scaling_tree *tree, struct scaling_node node)
{
    for (unsigned i = 0; i < tree->memo_count; i++) {
        if (tree->memo[i].node.kind == node.kind && tree->memo[i].node.a == node.a)
            return &tree->memo[i].span_ps;
    }
    return NULL;
}

static uint64_t span_of_ops(struct scaling_tree *tree, struct scaling_node node)
{
    uint64_t forked_ps[CALLS_MAX];
    unsigned forked = 0;
    uint64_t now_ps = 0;
    for (uint32_t step = 0;; step++) {
        struct scaling_op op = scaling_tree_op(tree, node, step);
        switch (op.kind) {
        case SCALING_END:
            return now_ps;
        case SCALING_WORK:
            now_ps += op.work_ps;
            break;
        case SCALING_FORK:
            forked_ps[forked++] = now_ps + scaling_tree_span(tree, op.child);
            break;
        case SCALING_CALL:
            now_ps += scaling_tree_span(tree, op.child);
            break;
        case SCALING_JOIN:
            forked--;
            if (forked_ps[forked] > now_ps)
                now_ps = forked_ps[forked];
            break;
        }
    }
}

/* A loop can be divided down to one iteration. */
static uint64_t longest_iteration(const struct scaling_tree *tree, struct scaling_node node)
{
    uint64_t longest = 0;
    for (uint32_t i = node.a; i < node.b; i++) {
        uint64_t units = units_before(tree, i + 1) - units_before(tree, i);
        longest = units > longest ? units : longest;
    }
    return longest * tree->stream_ps;
}

uint64_t scaling_tree_span(struct scaling_tree *tree, struct scaling_node node)
{
    if (node.kind == KIND_RANGE || node.kind == KIND_HALVES)
        return longest_iteration(tree, node);
    uint64_t *known = tree->shape->memo ? memo_find(tree, node) : NULL;
    if (known != NULL)
        return *known;
    bool is_root = node.a == tree->root.a && node.weight == tree->root.weight;
    if (tree->sizes != NULL && is_root && tree->span_ps != 0)
        return tree->span_ps;
    uint64_t span_ps = span_of_ops(tree, node);
    if (tree->shape->memo && tree->memo_count < MEMO_MAX)
        tree->memo[tree->memo_count++] = (struct memo){node, span_ps};
    if (tree->sizes != NULL && is_root)
        tree->span_ps = span_ps;
    return span_ps;
}
