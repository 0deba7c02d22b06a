/*
 * platform/thread.h - what pthreads lacks: names, priorities, CPUs a process may use.
 */
#ifndef SKUA_SRC_THREAD_H
#define SKUA_SRC_THREAD_H

/* Names the calling thread (15 bytes are kept). Best effort. */
void skua_thread_name(const char *name);

/* Lowers the calling thread's priority by @increment nice steps. Best effort; Linux: per thread. */
void skua_thread_nice(int increment);

/* The lowest address of the calling thread's stack; NULL if that cannot be found out. */
const char *skua_thread_stack_low(void);

/* CPUs in the affinity mask of the calling thread; at least 1. */
unsigned skua_cpus_affinity(void);

/* CPUs the cgroup's quota pays for, rounded up; 0 if there is no quota or it cannot be read. */
unsigned skua_cpus_quota(void);

#endif /* SKUA_SRC_THREAD_H */
