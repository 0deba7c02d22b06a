/*
 * time/sleep.c - the clock and sleeping. A sleep is a wait that only its timer (or a cancel) ends.
 */
#include <skua/task.h>
#include <skua/time.h>

#include "platform/clock.h"
#include "sched/wait.h"

#include <errno.h>

uint64_t skua_now(void)
{
    struct skua_thread *thread = skua_thread_self();
    if (thread != NULL && thread->worker != NULL)
        return thread->worker->engine->ops->now(thread->worker->engine);
    return skua_clock_now();
}

uint64_t skua_after(uint64_t delay_ns)
{
    uint64_t now_ns = skua_now();
    return delay_ns < SKUA_FOREVER - now_ns ? now_ns + delay_ns : SKUA_FOREVER;
}

int skua_sleep(uint64_t delay_ns)
{
    return delay_ns == 0 ? skua_yield() : skua_sleep_until(skua_after(delay_ns));
}

int skua_sleep_until(uint64_t deadline_ns)
{
    struct skua_thread *thread = skua_thread_self();
    if (thread != NULL && thread->forked)
        return -ECHILD;
    if (deadline_ns <= skua_now())
        return skua_yield();
    for (;;) {
        struct skua_wait wait;
        int rc = skua_wait_begin(&wait, SKUA_WAIT_SLEEP, false, deadline_ns);
        if (rc < 0)
            return rc;
        if (skua_wait_cancelled()) {
            (void)skua_wait_abandon(&wait);
            return -ECANCELED;
        }
        enum skua_reason reason = skua_wait_park(&wait);
        if (reason == SKUA_REASON_TIMEOUT)
            return 0;
        if (skua_wait_cancelled())
            return -ECANCELED;
    }
}
