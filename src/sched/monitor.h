/*
 * sched/monitor.h - a thread that sees to it that one task does not keep everything else waiting.
 *
 * WHAT   A worker that runs a fork/join computation makes no switch for as long as that takes, and
 *        meanwhile nobody looks at its ring, its timers and its queue. The monitor comes by every
 *        SKUA_MONITOR_NS while any deque is attached whose worker something waits for; less often
 *        while nothing does, but when its next timer is due. Where a worker has made no switch
 *        since the last time and something waits, it asks for service: it sets worker.service and
 *        disturbs the deque. So the next join comes to its slow path, which polls the engine and
 *        yields.
 *        Where a worker has come from its sleep by itself and computes, nobody need be watching it:
 *        then one that sleeps is woken, to be the watcher (idle.h). Without the monitor (block_us
 *        -1) that worker's I/O and timers wait until it is done.
 *        It also finds workers in blocking system calls (blocked.h), four times in block_ns while
 *        any worker is awake, and oftener while all are and may soon be found held.
 *
 * LIFE   The thread starts with the runtime, or if it is not to look for blocked workers with the
 *        first attached deque. It sleeps when there has been nothing to look at for a while, and
 *        ends with the runtime. Without it (no thread to be had) nothing is wrong but the waiting.
 *
 * ORDER  ASLEEP  the monitor stores awake = 0, then looks once more. Partners: a worker that wakes
 *                says so in idle.word, then loads awake, all seq_cst: one of them sees the other.
 *                Attach shows its deque, then loads awake. Not seq_cst: one that is missed is
 *                noticed by the next attach, and a computation that attaches only once is waited
 *                for no worse than without a monitor. (Attaching is too frequent for a fence.)
 *        Everything else is relaxed: advice.
 */
#ifndef SKUA_SRC_MONITOR_H
#define SKUA_SRC_MONITOR_H

#include "base/compiler.h"
#include "platform/thread.h"
#include "sched/blocked.h"

#include <skua/runtime.h>

#include <stdatomic.h>
#include <stdbool.h>

#define SKUA_MONITOR_NS SKUA_NS_PER_MS

struct skua_monitor {
    _Atomic uint32_t awake SKUA_CACHE_ALIGNED; /* futex */
    _Atomic uint32_t stop;                     /* futex */
    _Atomic bool started;
    bool running; /* there is a thread to join; by who won started, then the stopping thread */
    struct skua_os_thread thread;
    uint64_t *seen; /* switches of each worker at the last visit; monitor only */
    struct skua_blocked blocked;
};

void skua_monitor_init(struct skua_monitor *monitor);

/* The runtime has started. */
void skua_monitor_start(skua_runtime *runtime);

/* A deque has been attached: somebody may have to look. */
void skua_monitor_wake(skua_runtime *runtime);

/* A worker has woken. */
void skua_monitor_worker_awake(skua_runtime *runtime);

/* Ends the thread. Nothing lives any more. */
void skua_monitor_fini(skua_runtime *runtime);

#endif /* SKUA_SRC_MONITOR_H */
