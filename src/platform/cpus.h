/*
 * platform/cpus.h - how many CPUs there are for this process.
 */
#ifndef SKUA_SRC_CPUS_H
#define SKUA_SRC_CPUS_H

/* CPUs in the affinity mask of the calling thread; at least 1. */
unsigned skua_cpus_affinity(void);

/* CPUs of the machine that are on line; at least 1. */
unsigned skua_cpus_online(void);

/* CPUs the cgroup's quota pays for, rounded up; 0 if there is no quota or it cannot be read. */
unsigned skua_cpus_quota(void);

#endif /* SKUA_SRC_CPUS_H */
