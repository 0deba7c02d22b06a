/*
 * skua/sim.h - simulation: a runtime on one thread whose every decision a seed makes.
 *
 * skua_sim_run() runs a function as the first task of a runtime with virtual workers. The seed
 * decides who runs next at each call of the library, how long I/O takes, and which of it fails. The
 * clock is virtual: it moves only when nothing can run, so an hour of sleeping takes no time. The
 * same seed makes the same execution, to which trace_hash attests: a failure that was found once is
 * found again. When nothing can ever run again the tasks and what they wait for are printed.
 *
 * What must hold at every moment, and not just at the end, is checked at every step: the library's
 * own invariants, and that of the program (skua_sim_options.invariant).
 *
 * Programs under test use the ordinary calls of the library. Files, pipes and Unix sockets are the
 * kernel's, which the simulator only asks for what they can do at once; TCP and UDP have a network
 * of the simulation's own, with links, partitions and losses: skua/sim_network.h. What programs
 * must not use, if runs are to be the same, is other clocks, random numbers not from
 * skua_sim_random(), threads of their own, and system calls that block.
 */
#ifndef SKUA_SIM_H
#define SKUA_SIM_H

#include <skua/base.h>
#include <skua/sim_network.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What can go wrong with an operation; with memory; with what the simulated network carries. */
typedef enum skua_sim_fault_kind {
    SKUA_SIM_SHORT = 0,          /* a read or write of less than was asked for */
    SKUA_SIM_EINTR,              /* interrupted, having done nothing */
    SKUA_SIM_EAGAIN,             /* read, write: not ready after all */
    SKUA_SIM_ECONNRESET,         /* read, write of a socket */
    SKUA_SIM_ENOSPC,             /* write, allocate, create */
    SKUA_SIM_EIO,                /* read, write, sync */
    SKUA_SIM_EMFILE,             /* open, accept, and socket() of the simulated network */
    SKUA_SIM_ENOMEM,             /* any: the request cannot be stored */
    SKUA_SIM_ENOBUFS,            /* read, write of a socket */
    SKUA_SIM_ALLOCATION,         /* no operation: the library asks for memory, and there is none */
    SKUA_SIM_LINK_CUT,           /* packet, and all between its two hosts from then on */
    SKUA_SIM_CONNECTION_RESET,   /* packet of a stream's bytes */
    SKUA_SIM_CONNECT_REFUSED,    /* connect that somebody listens for, as it arrives there */
    SKUA_SIM_CONNECT_UNANSWERED, /* connect */
    SKUA_SIM_DATAGRAM_LOST, /* datagram, like the next two; of a doubled one the double first */
    SKUA_SIM_DATAGRAM_DOUBLED,
    SKUA_SIM_DATAGRAM_LATE,
    SKUA_SIM_FAULT_KINDS
} skua_sim_fault_kind;

/* How many kinds have a rate in skua_sim_options: the others have theirs in skua_sim_network. */
#define SKUA_SIM_FAULT_RATES (SKUA_SIM_ALLOCATION + 1)

/*
 * One fault: the operation with this number, counted from 0 in the order in which they end; for
 * SKUA_SIM_ALLOCATION the allocation, counted from 0 since the first task started; for each of the
 * network's kinds what it could have happened to, counted from 0 for that kind alone.
 */
typedef struct skua_sim_fault {
    uint64_t operation;
    skua_sim_fault_kind kind;
    unsigned length;   /* of SKUA_SIM_SHORT: bytes left of the request, 1 at least */
    uint64_t delay_ns; /* of SKUA_SIM_LINK_CUT: until it is healed, 0: never; how late a datagram */
} skua_sim_fault;

/* How to simulate. Zero-initialise; zero means default everywhere. */
typedef struct skua_sim_options {
    unsigned workers;            /* virtual; default 2 */
    unsigned stalls_per_million; /* of the points where another thread may go on; default 0 */
    uint64_t stall_max_ns;       /* a worker that stalls does so for less; default 1 ms */
    uint64_t latency_max_ns;     /* of an operation, at most; default 100 us */
    uint64_t late_max_ns;        /* of one that is late; default 100 ms */
    unsigned late_per_million;   /* of the operations, and of their cancels; default 0 */
    unsigned reserved_rate;
    unsigned faults_per_million[SKUA_SIM_FAULT_RATES]; /* of the operations; default 0 */
    /* Instead of those, and of the network's rates: exactly these, in order of operation. */
    const skua_sim_fault *script;
    size_t script_count;
    uint64_t step_limit;     /* decisions after which it counts as stuck; default 20 million */
    size_t stack_size_bytes; /* of the tasks; default as skua_options */
    bool is_quiet;           /* prints nothing about a deadlock or a failed seed */
    const skua_sim_network *network; /* default NULL: all of that zero */
    /*
     * What holds at every step (decision) from the start of the first task's function to its
     * return: returns 0, or -errno, with which the run then fails. No other thread of the
     * simulation runs meanwhile. It runs on any stack, a task's perhaps, between two points of the
     * library's calls: so one call may be half done in each of the others, and all of what the
     * program does between its calls is done. It must not wait. Calls that never do may be made,
     * but at channels that a skua_select() is going on at, and are no points: they leave the
     * execution as it is. Random numbers are 0 there.
     */
    int (*invariant)(void *arg);
    void *invariant_arg;
    uint64_t reserved[2]; /* zero */
} skua_sim_options;

#define SKUA_SIM_FAULTS_MAX 256

/* What a simulation was like. */
typedef struct skua_sim_report {
    uint64_t seed;
    uint64_t trace_hash; /* of all decisions, results and times */
    uint64_t steps;      /* decisions */
    uint64_t virtual_ns; /* that have passed */
    uint64_t operations;
    uint64_t allocations; /* of the library's, which could have failed */
    skua_sim_network_stats network;
    bool is_deadlock;     /* nothing could run any more, or the step limit was reached */
    uint64_t broken_step; /* at which an invariant did not hold; 0: they did */
    const char *broken;   /* which one: text that stays; NULL: they held */
    size_t fault_count;   /* that happened; the first SKUA_SIM_FAULTS_MAX are in faults */
    skua_sim_fault faults[SKUA_SIM_FAULTS_MAX];
} skua_sim_report;

/**
 * Runs @fn(@arg) as the first task of a simulated runtime, and stops that by cancel.
 *
 * Context: a thread that belongs to no runtime and no simulation.
 * Cancellation: not a cancellation point.
 * Returns: the result of @fn; what the invariant returned, if not 0, and -EPROTO if that is no
 *   error; -ENOTRECOVERABLE if one of the library's own does not hold, which is a bug of it;
 *   -EDEADLK if nothing could run any more, or the step limit was reached (@report, if it is not
 *   NULL, tells of these); -EINVAL (@fn NULL, nonzero reserved field, a script out of order,
 *   workers over SKUA_WORKERS_MAX, a bad network); -EPERM from inside a runtime; -EBUSY
 *   inside a simulation; -ENOMEM; -ECHILD in a forked child; -ENOTSUP in a library built with
 *   ThreadSanitizer.
 * Source: FoundationDB's simulation; W. Thimbleby's and others' work on deterministic scheduling:
 *   Rust's loom and shuttle, Go's testing/synctest.
 */
SKUA_API intptr_t skua_sim_run(uint64_t seed, const skua_sim_options *options, skua_fn fn,
                               void *arg, skua_sim_report *report);

/* One way to simulate, with a name. */
typedef struct skua_sim_set {
    const char *name;                /* a word, or NULL */
    const skua_sim_options *options; /* NULL: all zero */
} skua_sim_set;

/* What skua_sim_sweep_sets() runs. */
typedef struct skua_sim_plan {
    uint64_t first; /* seed */
    uint64_t count; /* of seeds */
    const skua_sim_set *sets;
    size_t set_count;
    const char *replay; /* the command that runs the sweep, for people; NULL: unknown */
    uint64_t reserved[2];
} skua_sim_plan;

/**
 * Runs @count simulations with the seeds from @first on, until one's result is an error.
 *
 * The environment variable SKUA_SIM_SEED names the only seed to be run, instead of those. Prints of
 * a run that fails the seed, the result, how to run it again by that variable, and the fewest
 * faults that skua_sim_shrink() finds if SKUA_SIM_SHRINK=1, on standard error, unless it is to be
 * quiet.
 *
 * Context: as skua_sim_run().
 * Cancellation: not a cancellation point.
 * Returns: 0 if none failed; else the result of the first that did, *@report being about it;
 *   -EINVAL if SKUA_SIM_SEED is no number.
 */
SKUA_API intptr_t skua_sim_sweep(uint64_t first, uint64_t count, const skua_sim_options *options,
                                 skua_fn fn, void *arg, skua_sim_report *report);

/**
 * Does what skua_sim_sweep() does for each of several ways to simulate: a seed with all of them,
 * then the next seed. SKUA_SIM_SET names the only one, and what is printed names the set that
 * failed. *@failed becomes its index, if @failed is not NULL.
 *
 * Context: as skua_sim_run().
 * Cancellation: not a cancellation point.
 * Returns: as skua_sim_sweep(); -EINVAL if @plan is NULL or has no sets, or none of that name.
 */
SKUA_API intptr_t skua_sim_sweep_sets(const skua_sim_plan *plan, skua_fn fn, void *arg,
                                      skua_sim_report *report, size_t *failed);

/**
 * Looks for fewer faults, of operations, memory and network, that make @fn fail with the same seed.
 * @report is of a failed run; in it the faults are replaced by as few as were found to do it. What
 * the network's own script and calls do is the program's, and stays.
 *
 * Context: as skua_sim_run().
 * Cancellation: not a cancellation point.
 * Returns: how many runs it took; -EINVAL if an argument is NULL, or the run had more than
 *   SKUA_SIM_FAULTS_MAX faults; -EAGAIN if its faults alone, as a script, do not make it fail.
 * Source: A. Zeller, R. Hildebrandt, Simplifying and isolating failure-inducing input (2002).
 */
SKUA_API int skua_sim_shrink(const skua_sim_options *options, skua_fn fn, void *arg,
                             skua_sim_report *report);

/**
 * A random number of the simulation's.
 *
 * Context: any thread of a simulation; never waits.
 * Cancellation: not a cancellation point.
 * Returns: a number below @count; 0 if @count is 0, or outside a simulation.
 */
SKUA_API uint64_t skua_sim_random(uint64_t count);

/**
 * Lets the simulation choose who runs next, as every call of the library does. Outside one nothing.
 *
 * Context: any; in a simulation others may run before it returns.
 * Cancellation: not a cancellation point.
 * Returns: nothing.
 */
SKUA_API void skua_sim_point(void);

#ifdef __cplusplus
}
#endif

#endif /* SKUA_SIM_H */
