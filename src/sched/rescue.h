/*
 * sched/rescue.h - a worker that computes does not hold its I/O and its timers hostage.
 *
 * WHAT   A worker looks at its engine and its timers only between tasks. When one has not done so
 *        for runtime.rescue_ns, another that comes by does it in its place: passes its requests on,
 *        cancels what is to be cancelled, completes what is over, fires what is due. What becomes
 *        ready is queued on the rescuer. (Its queue and its next slot are stolen from in any case.)
 *
 * WHO    Every worker looks at the others when it has looked at its own engine, at most twice in
 *        rescue_ns. When all others sleep the watcher (idle.h) comes by; it does so every
 *        SKUA_WATCH_NS, and as often as rescue_ns for a second after something was rescued: where
 *        tasks compute for long there will be more of them, and where none do a watcher that
 *        looked that often would be all cost.
 *
 * QUIET  Where the others have only computed for a while, with no op in flight, no timer due, and
 *        no job but such as their next fork would offer, the watcher dozes: it sleeps for some
 *        milliseconds, and is the watcher no more, so that whoever makes work meanwhile wakes
 *        somebody (J2 in idle.h). An op that is started, or a timer that is set, by a task which
 *        then goes on computing waits for that long, once: what is in flight keeps it awake.
 *
 * LOCK   engine_lock is tried, never waited for. It is held by an owner that is in its engine, or
 *        sleeps there: then there is nothing to rescue. An owner that comes back while somebody
 *        rescues waits for that: for some ten microseconds.
 *
 * ORDER  polled_ns and rescued_ns are advice, relaxed. Everything else is guarded by engine_lock
 *        and timer_lock.
 */
#ifndef SKUA_SRC_RESCUE_H
#define SKUA_SRC_RESCUE_H

#include "sched/worker.h"

/* Owner, in its loop, having looked at its own engine: sees to others if it is time for that. */
void skua_rescue_look(struct skua_worker *worker, uint64_t now_ns);

/* How long @worker, the watcher, sleeps from @now_ns on. More than SKUA_WATCH_NS: it may doze. */
uint64_t skua_rescue_interval(struct skua_worker *worker, uint64_t now_ns);

#endif /* SKUA_SRC_RESCUE_H */
