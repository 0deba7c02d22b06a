/*
 * sched/options.c - see options.h.
 *
 * Workers: the option, else $SKUA_WORKERS, else the CPUs in the affinity mask, at most what the
 * cgroup quota pays for.
 */
#include "sched/options.h"

#include "platform/cpus.h"
#include "platform/sanitizer.h"
#include "sched/runtime_impl.h"

#include <errno.h>
#include <stdlib.h>

#define RING_ENTRIES_DEFAULT 256u
#define CQ_ENTRIES_DEFAULT 4096u
#define RING_ENTRIES_MAX 32768u
#define CQ_ENTRIES_MAX 65536u
#define BLOCKING_THREADS_DEFAULT 64u
#define SPIN_US_DEFAULT 50
#define RESCUE_US_DEFAULT 200
#define RESCUE_US_MAX 1000000
#define SPIN_US_MAX 1000000
/* ThreadSanitizer sleeps in locks of its own wherever the code is: all would seem to block. */
#define BLOCK_US_DEFAULT (SKUA_TSAN ? -1 : 20000)
#define BLOCK_US_MIN 1000
#define BLOCK_US_MAX 1000000000

/* $SKUA_WORKERS: 0 if unset or empty, -EINVAL if it is not a number from 1 to SKUA_WORKERS_MAX. */
static int workers_from_environment(void)
{
    const char *text = getenv("SKUA_WORKERS");
    if (text == NULL || text[0] == '\0')
        return 0;
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno != 0 || *end != '\0' || value < 1 || value > (long)SKUA_WORKERS_MAX)
        return -EINVAL;
    return (int)value;
}

static int check(const skua_options *o)
{
    uint64_t reserved = o->flags;
    for (size_t i = 0; i < sizeof(o->reserved) / sizeof(o->reserved[0]); i++)
        reserved |= o->reserved[i];
    if (reserved != 0 || o->workers > SKUA_WORKERS_MAX)
        return -EINVAL;
    if (o->ring_entries != 0 && (o->ring_entries < 2 || o->ring_entries > RING_ENTRIES_MAX))
        return -EINVAL;
    if (o->cq_entries > CQ_ENTRIES_MAX || (o->cq_entries != 0 && o->cq_entries < o->ring_entries))
        return -EINVAL;
    if (o->stack_size_bytes != 0 &&
        (o->stack_size_bytes < SKUA_STACK_MIN || o->stack_size_bytes > SKUA_STACK_MAX))
        return -EINVAL;
    if (o->spin_us < -1 || o->spin_us > SPIN_US_MAX)
        return -EINVAL;
    if (o->rescue_us < -1 || o->rescue_us > RESCUE_US_MAX)
        return -EINVAL;
    if (o->block_us < -1 || o->block_us > BLOCK_US_MAX ||
        (o->block_us > 0 && o->block_us < BLOCK_US_MIN))
        return -EINVAL;
    if (o->stand_ins < -1 || o->stand_ins > (int)SKUA_WORKERS_MAX)
        return -EINVAL;
    return 0;
}

/*
 * Whether a worker that has run out of work had better look for more before it sleeps: where those
 * who may bring it have CPUs of their own. They do, too, if this process is bound to one CPU of
 * several, as servers often are, and has but one worker there. (Echo over one connection, the
 * client on the next CPU: 21 us instead of 67, at three quarters of the CPU time; on the same CPU
 * 2 % more.)
 */
static bool is_spinning_worth(unsigned workers, unsigned cpus, unsigned quota)
{
    return cpus > 1 || (workers == 1 && quota != 1 && skua_cpus_online() > 1);
}

int skua_options_complete(const skua_options *given, skua_options *full, unsigned *cpus_allowed)
{
    static const skua_options defaults = {0};
    const skua_options *o = given != NULL ? given : &defaults;
    if (check(o) < 0)
        return -EINVAL;
    unsigned cpus = skua_cpus_affinity();
    unsigned quota = skua_cpus_quota();
    if (quota > 0)
        cpus = skua_min(cpus, quota);
    *full = *o;
    if (full->workers == 0) {
        int workers = workers_from_environment();
        if (workers < 0)
            return workers;
        full->workers = workers > 0 ? (unsigned)workers : skua_min(cpus, SKUA_WORKERS_MAX);
    }
    if (full->ring_entries == 0)
        full->ring_entries = RING_ENTRIES_DEFAULT;
    if (full->cq_entries == 0)
        full->cq_entries = skua_max(CQ_ENTRIES_DEFAULT, full->ring_entries);
    if (full->stack_size_bytes == 0)
        full->stack_size_bytes = SKUA_STACK_DEFAULT;
    if (full->cpu_threads == 0)
        full->cpu_threads = cpus;
    if (full->blocking_threads == 0)
        full->blocking_threads = BLOCKING_THREADS_DEFAULT;
    if (full->spin_us == 0)
        full->spin_us = is_spinning_worth(full->workers, cpus, quota) ? SPIN_US_DEFAULT : -1;
    if (full->rescue_us == 0)
        full->rescue_us = RESCUE_US_DEFAULT;
    if (full->block_us == 0)
        full->block_us = BLOCK_US_DEFAULT;
    if (full->stand_ins == 0)
        full->stand_ins = (int)full->workers;
    full->stand_ins = skua_min(full->stand_ins, (int)(SKUA_WORKERS_MAX - full->workers));
    *cpus_allowed = cpus;
    return 0;
}
