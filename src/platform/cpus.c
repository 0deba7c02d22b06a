/*
 * platform/cpus.c - see cpus.h. Sources: sched_setaffinity(2), cgroups(7), cpu.max of cgroup v2,
 * cpu.cfs_quota_us of v1.
 */
#include "platform/cpus.h"

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES 4096
#define CPUS_MAX 65536 /* the largest affinity mask tried */

unsigned skua_cpus_affinity(void)
{
    /* The kernel refuses a mask smaller than its own (EINVAL): try larger ones. */
    for (size_t cpus = 1024; cpus <= CPUS_MAX; cpus *= 4) {
        cpu_set_t *set = CPU_ALLOC(cpus);
        if (set == NULL)
            return 1;
        size_t size = CPU_ALLOC_SIZE(cpus);
        int rc = sched_getaffinity(0, size, set);
        int count = rc == 0 ? CPU_COUNT_S(size, set) : 0;
        CPU_FREE(set);
        if (count > 0)
            return (unsigned)count;
    }
    return 1;
}

unsigned skua_cpus_online(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? (unsigned)count : 1;
}

/* Reads a small file into @text. False if it cannot be read. */
static bool read_text(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    size_t length = fread(text, 1, size - 1, file);
    (void)fclose(file);
    text[length] = '\0';
    return length > 0;
}

static unsigned round_up(double quota, double period)
{
    if (quota <= 0 || period <= 0)
        return 0;
    double cpus = quota / period;
    unsigned whole = (unsigned)cpus;
    return whole + ((double)whole < cpus ? 1 : 0);
}

/* The quota in the cgroup v2 directory @path and all above it: the smallest counts. */
static unsigned quota_v2(char *path)
{
    unsigned smallest = 0;
    for (;;) {
        char file[PATH_BYTES + 64];
        char text[128];
        double quota;
        double period;
        (void)snprintf(file, sizeof(file), "/sys/fs/cgroup%s/cpu.max", path);
        if (read_text(file, text, sizeof(text)) && sscanf(text, "%lf %lf", &quota, &period) == 2) {
            unsigned cpus = round_up(quota, period);
            if (cpus > 0 && (smallest == 0 || cpus < smallest))
                smallest = cpus;
        }
        char *slash = strrchr(path, '/');
        if (slash == NULL)
            return smallest;
        *slash = '\0';
    }
}

static unsigned quota_v1(const char *path)
{
    char file[PATH_BYTES + 64];
    char quota[64];
    char period[64];
    (void)snprintf(file, sizeof(file), "/sys/fs/cgroup/cpu%s/cpu.cfs_quota_us", path);
    if (!read_text(file, quota, sizeof(quota)))
        return 0;
    (void)snprintf(file, sizeof(file), "/sys/fs/cgroup/cpu%s/cpu.cfs_period_us", path);
    if (!read_text(file, period, sizeof(period)))
        return 0;
    return round_up(strtod(quota, NULL), strtod(period, NULL));
}

unsigned skua_cpus_quota(void)
{
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (file == NULL)
        return 0;
    char line[PATH_BYTES];
    unsigned quota = 0;
    while (quota == 0 && fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *path = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
        if (path == NULL)
            continue;
        *path++ = '\0';
        controllers++;
        if (controllers[0] == '\0')
            quota = quota_v2(path);
        else if (strcmp(controllers, "cpu") == 0 || strncmp(controllers, "cpu,", 4) == 0)
            quota = quota_v1(path);
    }
    (void)fclose(file);
    return quota;
}
