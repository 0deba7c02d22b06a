/*
 * scaling/scaling_sim.h - a simulation of Skua's fork/join scheduler with any number of workers.
 *
 * Event driven, deterministic for a seed. What it keeps of the scheduler and what it leaves out is
 * told in scaling_sim.c and, for users, in bench/README.md.
 */
#ifndef SKUA_SCALING_SIM_H
#define SKUA_SCALING_SIM_H

#include "scaling_tree.h"

/*
 * What things cost, in nanoseconds. Measured by fork_cost_bench on the machine at hand, except the
 * last four, which are constants of the scheduler.
 */
struct scaling_costs {
    double line;        /* a cache line that another core has written comes here */
    double look;        /* a thief looks at a victim whose lines it has */
    double round;       /* what a thief does between two passes over the others */
    double start;       /* from a steal's CAS to the first instruction of the job */
    double publish;     /* an owner publishes at a fork or join */
    double takeback;    /* an owner joins a public job that nobody has taken */
    double settle;      /* an owner joins a job that is stolen and done */
    double park;        /* an owner leaves its task at a join, up to its first look */
    double resume;      /* from the end of a stolen job to its joiner's next instruction */
    double end;         /* from the end of a stolen job nobody waits for to the first look */
    double wake;        /* from the call that wakes a sleeper to its first look */
    double waker;       /* that call */
    double force;       /* a thief publishes jobs of another */
    double spin;        /* SPIN_US_DEFAULT in src/sched/options.c */
    double watch;       /* SKUA_WATCH_NS in src/sched/idle.h */
    double force_every; /* FORCE_EVERY_NS in src/sched/worker.c */
    double worth;       /* OFFER_WORTH_NS in src/sched/fork_typed.c; 0: no backoff */
};

/* What happened in a run. Times in picoseconds. */
struct scaling_result {
    uint64_t makespan_ps;
    uint64_t work_ps;      /* done by all workers; the tree's cost if none was lost */
    uint64_t overhead_ps;  /* of running workers: publishing, joining, starting */
    uint64_t publications; /* forks and joins that published something */
    uint64_t jobs_published;
    uint64_t jobs_stolen;
    uint64_t jobs_forced;
    uint64_t steal_attempts;
    uint64_t cas_failed;
    uint64_t requests;
    uint64_t parks;
    uint64_t wakes;
    uint64_t shared_writes; /* writes to lines that other workers read or write */
    uint64_t events;
};

void scaling_costs_default(struct scaling_costs *costs);

/* Sets the cost called @name. False: there is none. */
bool scaling_costs_set(struct scaling_costs *costs, const char *name, double value);

/* Runs @tree, which is set for @workers. 0; -ENOMEM; -EOVERFLOW if the tree is too deep. */
int scaling_run(const struct scaling_tree *tree, const struct scaling_costs *costs,
                unsigned workers, uint64_t seed, struct scaling_result *result);

#endif /* SKUA_SCALING_SIM_H */
