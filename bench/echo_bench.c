/*
 * bench/echo_bench.c - an echo server in the blocking style: a task for each connection, which
 * receives and sends, and one that accepts. load/ drives it and measures; see common/bench_echo.h.
 * All workers share one socket to listen on.
 */
#include "common/bench_echo.h"

#include <skua/skua.h>

static intptr_t echo(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char buffer[BENCH_ECHO_MESSAGE_MAX];
    ssize_t got;
    while ((got = skua_recv(fd, buffer, sizeof(buffer), 0)) > 0) {
        if (skua_send_all(fd, buffer, (size_t)got) != got)
            break;
    }
    skua_close(fd);
    return 0;
}

static intptr_t accept_all(void *arg)
{
    const skua_task_options detached = {.flags = SKUA_TASK_DETACHED};
    int listener = *(int *)arg;
    for (;;) {
        int fd = skua_accept(listener, NULL, NULL, 0);
        if (fd < 0)
            return fd;
        int rc = skua_spawn_with(&detached, echo, (void *)(intptr_t)fd, NULL);
        if (rc < 0)
            return rc;
    }
}

int main(int argc, char **argv)
{
    struct bench_echo options = bench_echo_parse("echo_bench", argc, argv);
    const skua_options settings = {.workers = options.workers};
    int listener = bench_echo_listen(&options, 0);
    bench_echo_ready(&options);
    intptr_t result = skua_run(&settings, accept_all, &listener);
    bench_echo_fail("skua_run", (long)result);
}
