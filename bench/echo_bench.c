/*
 * bench/echo_bench.c - an echo server in the blocking style: a task for each connection, which
 * receives and sends, and one that accepts. load/ drives it and measures; see common/bench_echo.h.
 * All workers share one socket to listen on.
 *
 * With --stalls it is a server of the workload stalls (load/load_stalls.h); --rescue-us N is
 * skua_options.rescue_us, with -1 for never.
 */
#include "common/bench_echo.h"
#include "load/load_stalls.h"

#include <skua/skua.h>

#define RESCUE_US_MAX 1000000u

static bool stalls; /* constant once main() has read the command line */

static intptr_t echo(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char buffer[BENCH_ECHO_MESSAGE_MAX];
    ssize_t got;
    while ((got = skua_recv(fd, buffer, sizeof(buffer), 0)) > 0) {
        if (stalls)
            load_stalls_compute(buffer, (size_t)got);
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

/* Takes "--rescue-us N" out of the command line. Returns N; 0, the default, if it was not there. */
static int take_rescue_us(int *argc, char **argv)
{
    int rescue_us = 0;
    int kept = 1;
    for (int i = 1; i < *argc; i++) {
        if (strcmp(argv[i], "--rescue-us") != 0 || i + 1 == *argc)
            argv[kept++] = argv[i];
        else if (strcmp(argv[++i], "-1") == 0)
            rescue_us = -1;
        else
            rescue_us = (int)bench_echo_number("echo_bench", argv[i], RESCUE_US_MAX);
    }
    *argc = kept;
    argv[kept] = NULL;
    return rescue_us;
}

int main(int argc, char **argv)
{
    stalls = load_stalls_take(&argc, argv);
    int rescue_us = take_rescue_us(&argc, argv);
    struct bench_echo options = bench_echo_parse("echo_bench", argc, argv);
    const skua_options settings = {.workers = options.workers, .rescue_us = rescue_us};
    int listener = bench_echo_listen(&options, 0);
    bench_echo_ready(&options);
    intptr_t result = skua_run(&settings, accept_all, &listener);
    bench_echo_fail("skua_run", (long)result);
}
