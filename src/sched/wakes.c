/*
 * sched/wakes.c - see wakes.h.
 */
#include "sched/wakes.h"

#include "platform/futex.h"
#include "sched/worker.h"

static void wake_threads(struct skua_wakes *wakes)
{
    for (unsigned i = 0; i < wakes->thread_count; i++)
        skua_futex_wake(wakes->threads[i], 1);
    wakes->thread_count = 0;
}

void skua_wakes_add_thread(struct skua_wakes *wakes, _Atomic uint32_t *futex)
{
    if (wakes->thread_count == SKUA_WAKE_THREADS_MAX)
        wake_threads(wakes);
    wakes->threads[wakes->thread_count++] = futex;
}

void skua_wakes_flush_slow(struct skua_wakes *wakes)
{
    wake_threads(wakes);
    while (wakes->tasks != NULL) {
        struct skua_agent *agent = (struct skua_agent *)(void *)wakes->tasks;
        wakes->tasks = wakes->tasks->next;
        skua_schedule(skua_task_of_agent(agent));
    }
}
