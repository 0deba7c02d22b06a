/*
 * scaling/scaling_tree.h - the workloads as trees of calls, for the simulator.
 *
 * A node is a call. What it does is a list of ops, made on demand: work, forks and calls of
 * children, joins of the newest fork. The simulator takes a whole subtree as one piece of work
 * where nobody interferes, and goes into it only where somebody does; so it needs of every node the
 * cost of all below it, and a tree of 10^8 nodes costs no more than the steals in it.
 *
 * Costs are whole picoseconds: the cost of a node is exactly the sum of its ops'.
 */
#ifndef SKUA_SCALING_TREE_H
#define SKUA_SCALING_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCALING_PS_PER_NS UINT64_C(1000)

/* A call; what the fields mean is the tree's. */
struct scaling_node {
    uint32_t kind;
    uint32_t a;
    uint32_t b;
    uint32_t weight; /* of explicit trees: nodes below and with this one */
};

enum scaling_op_kind { SCALING_END, SCALING_WORK, SCALING_FORK, SCALING_CALL, SCALING_JOIN };

struct scaling_op {
    enum scaling_op_kind kind;
    uint64_t work_ps;          /* SCALING_WORK */
    struct scaling_node child; /* SCALING_FORK, SCALING_CALL */
};

/* What a tree is made of. Zero: default. */
struct scaling_tree_config {
    const char *name; /* see scaling_tree_names() */
    uint64_t size;
    double work_ns;   /* of the whole tree on one worker; 0: one nanosecond for each unit */
    double roof_gbps; /* memory bandwidth of all workers together; 0: no limit */
    unsigned workers;
};

struct scaling_tree;

/* NULL if there is no such tree (*@why says so) or no memory. */
struct scaling_tree *scaling_tree_create(const struct scaling_tree_config *config,
                                         const char **why);
void scaling_tree_destroy(struct scaling_tree *tree);

/* The same tree for another number of workers: costs of memory-bound work and sizes of leaves. */
void scaling_tree_set_workers(struct scaling_tree *tree, unsigned workers);

/* Names of all trees, with commas. */
const char *scaling_tree_names(void);

struct scaling_node scaling_tree_root(const struct scaling_tree *tree);

/* The op number @step of @node; SCALING_END after the last. */
struct scaling_op scaling_tree_op(const struct scaling_tree *tree, struct scaling_node node,
                                  uint32_t step);

/* The cost of @node and all below it on one worker. */
uint64_t scaling_tree_cost(const struct scaling_tree *tree, struct scaling_node node);

/* The longest chain of work in @node that nobody can make shorter. */
uint64_t scaling_tree_span(struct scaling_tree *tree, struct scaling_node node);

/* Forks in the whole tree, where nobody asks for more. */
uint64_t scaling_tree_forks(const struct scaling_tree *tree);

/*
 * A leaf of a loop of which @done_ps have been done, and of which an idle worker wants half: where
 * it looks round next, and the two parts then. False: it does not before it ends.
 */
struct scaling_cut {
    uint64_t at_ps; /* after so much of the leaf */
    struct scaling_node rest;
};
bool scaling_tree_cut(const struct scaling_tree *tree, struct scaling_node node, uint64_t done_ps,
                      struct scaling_cut *cut);

#endif /* SKUA_SCALING_TREE_H */
