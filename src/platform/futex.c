/*
 * platform/futex.c - see futex.h. Source: futex(2), FUTEX_WAIT_BITSET takes an absolute deadline.
 */
#include "platform/futex.h"

#include "platform/clock.h"
#include "platform/vthread.h"

#include <errno.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int skua_futex_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline_ns)
{
    if (skua_vthread_simulated())
        return skua_vthread_wait(word, expected, deadline_ns);
    struct timespec until;
    const struct timespec *timeout = NULL;
    if (deadline_ns != UINT64_MAX) {
        skua_clock_to_timespec(deadline_ns, &until);
        timeout = &until;
    }
    long rc = syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, expected, timeout, NULL,
                      FUTEX_BITSET_MATCH_ANY);
    return rc < 0 ? -errno : 0;
}

void skua_futex_wake(_Atomic uint32_t *word, int count)
{
    if (skua_vthread_simulated()) {
        (void)skua_vthread_wake(word, count);
        return;
    }
    (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}
