/*
 * support/fork_kit.h - what tests of fork and join share: bodies as plain jobs, spinning that never
 * waits, so that nothing but a theft can start a job meanwhile.
 */
#ifndef SKUA_TESTS_FORK_KIT_H
#define SKUA_TESTS_FORK_KIT_H

#include "support/runtime_kit.h"

#include <atomic>
#include <sched.h>

namespace skua_test
{

/* Looks, without a wait of the library, until @done() or ten seconds have passed. */
template <class Done> bool spinUntil(Done &&done)
{
    uint64_t deadline = skua_after(10 * SKUA_NS_PER_SEC);
    while (!done()) {
        if (skua_now() > deadline)
            return false;
        sched_yield();
    }
    return true;
}

/* Computes for @ns. */
inline void spinFor(uint64_t ns)
{
    uint64_t end = skua_after(ns);
    while (skua_now() < end)
        ;
}

/* Forks a body with a result; it must outlive the join. */
template <class Body> int forkBody(skua_job *job, Body &body)
{
    return skua_fork(job, callValue<Body>, &body);
}

} // namespace skua_test

#endif /* SKUA_TESTS_FORK_KIT_H */
