/*
 * bench/common/bench_uts.h - the tree of the uts workload: Unbalanced Tree Search, tree T1. C and
 * C++; needs libcrypto.
 *
 * A node is 20 bytes of SHA-1 and its depth. The root's are the hash of the seed; those of child i
 * are the hash of its parent's 20 bytes and of i. A node has a geometrically distributed number of
 * children, 4 in the mean (the published branching factor), and none at depth 10.
 *
 * The way every program goes: the children of a node are a range, which is halved, one half forked
 * and the other called, down to one child. So there is a fork for every child but the first.
 *
 * Source: S. Olivier et al., UTS: An Unbalanced Tree Search Benchmark (LCPC 2006); the counts are
 * those published with T1 (-t 1 -a 3 -d 10 -b 4 -r 19).
 */
#ifndef SKUA_BENCH_UTS_H
#define SKUA_BENCH_UTS_H

/* The one-call SHA1() of OpenSSL 3 looks the algorithm up under a lock each time; these do not. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "bench_workload.h"

#include <math.h>
#include <openssl/sha.h>

#define BENCH_UTS_SEED 19u
#define BENCH_UTS_BRANCHING 4.0
#define BENCH_UTS_DEPTH 10u /* --size by default */
#define BENCH_UTS_NODES 4130071u
#define BENCH_UTS_LEAVES 3305118u
#define BENCH_UTS_CHILDREN_MAX 100u

struct bench_uts_node {
    uint8_t state[20];
    uint32_t depth;
};

/* What was found below a node. */
struct bench_uts_count {
    uint32_t nodes;
    uint32_t leaves;
    uint32_t depth;
};

static inline void bench_uts_put(uint8_t *bytes, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(value >> (24 - 8 * i));
}

static inline void bench_uts_hash(const uint8_t *bytes, size_t size, uint8_t *state)
{
    SHA_CTX context;
    SHA1_Init(&context);
    SHA1_Update(&context, bytes, size);
    SHA1_Final(state, &context);
}

static inline struct bench_uts_node bench_uts_root(void)
{
    uint8_t bytes[20] = {0};
    struct bench_uts_node root;
    bench_uts_put(bytes + 16, BENCH_UTS_SEED);
    bench_uts_hash(bytes, sizeof(bytes), root.state);
    root.depth = 0;
    return root;
}

static inline struct bench_uts_node bench_uts_child(const struct bench_uts_node *parent,
                                                    unsigned index)
{
    uint8_t bytes[24];
    struct bench_uts_node child;
    memcpy(bytes, parent->state, 20);
    bench_uts_put(bytes + 20, index);
    bench_uts_hash(bytes, sizeof(bytes), child.state);
    child.depth = parent->depth + 1;
    return child;
}

/* How many children @node has in a tree of @depth levels below the root. */
static inline unsigned bench_uts_children(const struct bench_uts_node *node, uint32_t depth)
{
    const uint8_t *state = node->state;
    uint32_t bits = (uint32_t)state[16] << 24 | (uint32_t)state[17] << 16 |
                    (uint32_t)state[18] << 8 | (uint32_t)state[19];
    double u = (double)(bits & 0x7fffffffu) / 2147483648.0;
    double p = 1.0 / (1.0 + BENCH_UTS_BRANCHING);
    if (node->depth >= depth)
        return 0;
    unsigned count = (unsigned)floor(log(1 - u) / log(1 - p));
    return count < BENCH_UTS_CHILDREN_MAX ? count : BENCH_UTS_CHILDREN_MAX;
}

/* @node alone, of which all children are counted elsewhere. */
static inline struct bench_uts_count bench_uts_one(const struct bench_uts_node *node,
                                                   unsigned children)
{
    struct bench_uts_count count = {1, children == 0 ? 1u : 0u, node->depth};
    return count;
}

static inline struct bench_uts_count bench_uts_add(struct bench_uts_count a,
                                                   struct bench_uts_count b)
{
    a.nodes += b.nodes;
    a.leaves += b.leaves;
    a.depth = a.depth > b.depth ? a.depth : b.depth;
    return a;
}

/* Checks the published counts and reports. Trees of another depth have none to be checked with. */
static inline void bench_uts_finish(struct bench_options *options, uint64_t ns,
                                    struct bench_uts_count count)
{
    bool whole = options->size == BENCH_UTS_DEPTH;
    bench_check(options, "depth", count.depth, options->size);
    bench_check(options, "leaves", count.leaves, whole ? BENCH_UTS_LEAVES : count.leaves);
    bench_check(options, "nodes", count.nodes, whole ? BENCH_UTS_NODES : count.nodes);
    bench_finish_forks(options, ns, whole, count.leaves - 1);
}

#endif /* SKUA_BENCH_UTS_H */
