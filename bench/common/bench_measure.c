/*
 * bench/common/bench_measure.c - runs a command and prints what it took.
 *
 * Usage: bench_measure COMMAND [ARGUMENT...]
 *
 * The command's standard streams are this program's, but the figures go to descriptor 3 as one JSON
 * object. It exists because the peak memory of a child that a large program starts is that of the
 * large program: the kernel counts what the child had before its exec. This one is small.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: bench_measure COMMAND [ARGUMENT...]\n");
        return 2;
    }
    double start = now_s();
    pid_t child = fork();
    if (child == 0) {
        (void)close(3);
        execvp(argv[1], argv + 1);
        fprintf(stderr, "bench_measure: %s: %s\n", argv[1], strerror(errno));
        _exit(127);
    }
    int status;
    struct rusage usage;
    if (child < 0 || wait4(child, &status, 0, &usage) != child) {
        fprintf(stderr, "bench_measure: %s: %s\n", argv[1], strerror(errno));
        return 127;
    }
    double wall = now_s() - start;
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    dprintf(3,
            "{\"status\":%d,\"wall_s\":%.6f,\"user_s\":%.6f,\"system_s\":%.6f,"
            "\"peak_kib\":%ld}\n",
            code, wall, seconds(usage.ru_utime), seconds(usage.ru_stime), usage.ru_maxrss);
    return code;
}
