/*
 * sched/blocked.h - a worker that sits in a blocking system call is noticed, reported and stood in
 * for; so are workers that compute when all do.
 *
 * WHAT   A task that calls read(2), sleep(3) or a database's client library itself takes its worker
 *        along. The monitor sees that the worker has made no switch for runtime.block_ns, nor gone
 *        to its engine, sleeps in the kernel at two visits in a row, and has used little CPU time
 *        between them. Then it reports the task and where it is (see report.h's hook), and sees to
 *        it that there are as many stand-ins awake as workers are blocked: so as many run tasks as
 *        the user asked for. A stand-in is a worker like any other, with an engine, made when the
 *        first one is needed; the blocked worker's queue is stolen from and its engine and timers
 *        are rescued as those of one that computes.
 *
 * COMPUTE One that computes is no loss: its CPU is busy. But when every worker is held up by a task
 *        that computes or blocks, nobody is left to serve the others. Then, after hold_ns, there
 *        are as many stand-ins as workers, and the kernel shares the CPUs out between them; until
 *        one of the workers is free again. Fork/join has no need of it: its joins serve
 *        (monitor.h).
 *
 * RETIRE When a blocked worker goes on, one stand-in too many runs. The one that came last retires:
 *        it takes nothing from others and searches for nothing any more, and sleeps in its engine
 *        when it has run what is its own: operations in flight end where they began. It is not
 *        among the sleepers who are woken for work. The next time it is needed it is back at once.
 *
 * WHO    Everything here is the monitor's but worker.retired and runtime.blocked, which it stores,
 *        and runtime.present.
 *
 * LOOK   The blocked thread may go on at any moment, so that nothing of it can be read as memory of
 *        ours. The report looks at it as a debugger does: registers from /proc, memory by
 *        process_vm_readv(2), which fails where nothing is mapped (any more). So what it says may
 *        be stale, but not harmful. Frames are found by looking through the stack for addresses
 *        behind a call, as the kernel does for those it marks "?": compilers leave no frame
 *        pointers. Nobody is sent a signal: that would end system calls with EINTR.
 *
 * ORDER  present  release store by the stand-in itself when its engine is there, partner
 *                 skua_runtime_present()'s acquire
 *        retired  relaxed: advice to its owner, who is woken after it has changed
 */
#ifndef SKUA_SRC_BLOCKED_H
#define SKUA_SRC_BLOCKED_H

#include "sched/worker.h"

/*
 * When all have computed for so long stand-ins come. Measured with two workers and 1 % of requests
 * that compute 20 ms (bench/stalls): 2 instead of 20 ms halves the p99.9 of the others.
 */
#define SKUA_HOLD_NS (2 * SKUA_NS_PER_MS)

/* What the monitor remembers of a worker. */
struct skua_blocked_watch {
    uint64_t turns;    /* at the last visit: switches, and visits to its engine */
    uint64_t since_ns; /* how long the number has been the same, as far as is known */
    bool asleep;       /* in the kernel when it was last looked at */
    uint64_t looked_ns;
    uint64_t cpu_ns; /* it had used until then */
    bool computes;   /* has used half the time between the last two looks or more */
    bool blocked;    /* found to be, and counted in runtime.blocked */
    bool outside;    /* of its engine, with the same number of turns, at the last visit */
    bool held;       /* so twice, after hold_ns: in one task, blocked or computing */
};

/* Of all workers. */
struct skua_blocked {
    struct skua_blocked_watch *watches; /* runtime.workers_max of them */
    unsigned standing_in;               /* stand-ins that are not retired: those that came first */
    bool exhausted;                     /* no more stand-ins can be started */
    uint64_t printed_ns;                /* when a report was last printed */
};

/* The monitor's visit: looks at every worker. How soon to come again; 0: all are asleep. */
uint64_t skua_blocked_visit(skua_runtime *runtime, uint64_t now_ns);

#endif /* SKUA_SRC_BLOCKED_H */
