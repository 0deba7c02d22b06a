/*
 * unit/sched/blocked_rescued_test.c - a worker that sits in a system call stays found while others
 * rescue its engine, and is reported once. A plain program, because worker.h is not C++.
 */
#include "sched/runtime_impl.h"

#include <skua/skua.h>

#include <stdio.h>
#include <unistd.h>

#define WORKERS 2u
#define BLOCK_US 2000
#define VISITS_US 20000 /* many visits of the monitor, which come every 1 ms or oftener */
#define PATIENCE_MS 20000u

static int failures;

#define EXPECT(cond)                                                                               \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                             \
            failures++;                                                                            \
        }                                                                                          \
    } while (0)

static intptr_t reads(void *arg)
{
    char byte;
    return read(((int *)arg)[0], &byte, 1); /* read(2) itself, not the library's */
}

static void count_report(const skua_blockage *blockage, void *arg)
{
    (void)blockage;
    atomic_fetch_add_explicit((atomic_uint *)arg, 1, memory_order_relaxed); /* a counter */
}

static unsigned blocked_now(skua_runtime *runtime)
{
    skua_info info;
    EXPECT(skua_runtime_info(runtime, &info) == 0);
    return info.blocked;
}

/* The worker that is blocked; NULL, and a failure, if none is found to be in time. */
static struct skua_worker *find_blocked(skua_runtime *runtime)
{
    for (unsigned ms = 0; ms < PATIENCE_MS; ms++) {
        for (unsigned i = 0; i < WORKERS; i++) {
            struct skua_worker *worker = &runtime->workers[i];
            if (atomic_load_explicit(&worker->counters.blockages, memory_order_relaxed) != 0)
                return worker;
        }
        (void)usleep(1000);
    }
    EXPECT(!"found");
    return NULL;
}

/* As rescue() does, but for long enough that the monitor comes by. */
static void is_still_found_while_its_engine_is_locked(void)
{
    atomic_uint reports = 0;
    int fds[2];
    EXPECT(pipe(fds) == 0);
    skua_options options = {.workers = WORKERS,
                            .block_us = BLOCK_US,
                            .stand_ins = -1,
                            .on_blocked = count_report,
                            .on_blocked_arg = &reports};
    skua_runtime *runtime = NULL;
    EXPECT(skua_runtime_start(&runtime, &options) == 0);
    skua_future *future = skua_submit(runtime, reads, fds);
    struct skua_worker *worker = find_blocked(runtime);
    for (unsigned round = 0; worker != NULL && round < 5; round++) {
        EXPECT(blocked_now(runtime) == 1);
        skua_spin_lock(&worker->engine_lock);
        (void)usleep(VISITS_US);
        EXPECT(blocked_now(runtime) == 1);
        skua_spin_unlock(&worker->engine_lock);
        (void)usleep(VISITS_US);
    }
    EXPECT(atomic_load_explicit(&reports, memory_order_relaxed) == 1);
    EXPECT(write(fds[1], "x", 1) == 1);
    EXPECT(skua_await(future) == 1);
    EXPECT(skua_runtime_stop(runtime, SKUA_STOP_DRAIN, SKUA_FOREVER) == 0);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

int main(void)
{
    is_still_found_while_its_engine_is_locked();
    if (failures != 0)
        return 1;
    puts("ok");
    return 0;
}
