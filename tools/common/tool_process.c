/*
 * common/tool_process.c - see tool_process.h.
 */
#include "tool_process.h"

#include <skua/runtime.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

void skua_tool_open_standard_streams(void)
{
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void)!open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

int skua_tool_catch_signals(int extra)
{
    static const int caught[] = {SIGINT, SIGTERM};
    struct sigaction action;
    sigset_t set;
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    if (extra != 0)
        sigaddset(&set, extra);
    for (unsigned i = 0; i < sizeof(caught) / sizeof(caught[0]); i++)
        if (!sigaction(caught[i], NULL, &action) && action.sa_handler != SIG_IGN)
            sigaddset(&set, caught[i]);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

uint64_t skua_tool_raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return UINT64_MAX; /* cannot be: the call has no other error than a bad argument */
    rlim_t soft = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : soft;
}

int skua_tool_start_error(const char *program, int rc)
{
    const char *engine = getenv("SKUA_ENGINE");
    const char *workers = getenv("SKUA_WORKERS");
    bool is_engine = engine == NULL || *engine == '\0' || strcmp(engine, "uring") == 0 ||
                     strcmp(engine, "epoll") == 0;
    fprintf(stderr, "%s: cannot start: ", program);
    if (rc == -EINVAL && !is_engine)
        fprintf(stderr, "SKUA_ENGINE is '%s', neither uring nor epoll\n", engine);
    else if (rc == -EINVAL && workers != NULL)
        fprintf(stderr, "SKUA_WORKERS is '%s', not a number from 1 to %u\n", workers,
                SKUA_WORKERS_MAX);
    else if (rc == -EPERM || rc == -ENOSYS)
        fputs("io_uring is refused or missing here (a container's seccomp profile, "
              "kernel.io_uring_disabled, or an old kernel)\n",
              stderr);
    else
        fprintf(stderr, "%s\n", strerror(-rc));
    return EXIT_FAILURE;
}
