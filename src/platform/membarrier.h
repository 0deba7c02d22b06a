/*
 * platform/membarrier.h - a memory barrier for every thread of the process, paid by one of them.
 *
 * WHAT   membarrier(2), MEMBARRIER_CMD_PRIVATE_EXPEDITED: interrupts the CPUs that run threads of
 *        this process; when it returns each has passed a full barrier since the call began. So a
 *        hot path needs no fence of its own against a rare one.
 */
#ifndef SKUA_SRC_MEMBARRIER_H
#define SKUA_SRC_MEMBARRIER_H

#include <stdbool.h>

/* Registers the process. False if the kernel (before 4.14) or a filter refuses. Any thread. */
bool skua_membarrier_init(void);

/* The barrier. Only after skua_membarrier_init() returned true. */
void skua_membarrier(void);

#endif /* SKUA_SRC_MEMBARRIER_H */
