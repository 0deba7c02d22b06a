/*
 * platform/membarrier.c - see membarrier.h.
 */
#include "platform/membarrier.h"

#include "base/check.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

bool skua_membarrier_init(void)
{
    /* Registering again is harmless, and costs a system call. */
    return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

void skua_membarrier(void)
{
    long rc = syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
    skua_check(rc == 0); /* registered: it cannot fail, and going on without would lose a job */
}
