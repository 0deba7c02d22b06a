/*
 * common/tool_run.c - see tool_run.h.
 */
#include "tool_run.h"

#include <skua/future.h>
#include <skua/time.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* After a signal main looks this often whether the root task was cancelled before it began. */
#define LOOK_NS (50 * SKUA_NS_PER_MS)

int skua_tool_error(const char *program, const char *what, int error)
{
    char buffer[128];
    fprintf(stderr, "%s: %s: %s\n", program, what, strerror_r(-error, buffer, sizeof(buffer)));
    return EXIT_FAILURE;
}

/* Leaves without waiting for anything. */
static _Noreturn void leave(const struct tool_run *run)
{
    _exit(run->signal != 0 ? 128 + run->signal : EXIT_FAILURE);
}

/* ---- the start ------------------------------------------------------------------------------- */

/* A descriptor of signalfd(2), which does not block; -errno. What the caller ignores stays so. */
static int catch_signals(int extra)
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

/* Why skua_runtime_start() has failed, in the user's words where there is a likely cause. */
static int start_error(const char *program, int rc)
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

int skua_tool_run_start(struct tool_run *run, const skua_options *options)
{
    run->signal_fd = catch_signals(run->extra_signal);
    run->end_fd = eventfd(0, EFD_CLOEXEC);
    if (run->signal_fd < 0 || run->end_fd < 0)
        return skua_tool_error(run->program, "cannot start", -EMFILE);
    int rc = skua_runtime_start(&run->runtime, options);
    return rc < 0 ? start_error(run->program, rc) : 0;
}

/* ---- the run --------------------------------------------------------------------------------- */

/* What runs as the root task. */
static intptr_t root_task(void *arg)
{
    struct tool_run *run = arg;
    uint64_t one = 1;
    intptr_t rc = run->fn(run->arg);
    /* Cannot wait or fail: the counter is 0. */
    (void)!write(run->end_fd, &one, sizeof(one));
    return rc;
}

/* How long to poll; leaves if @deadline_ns has passed. */
static int timeout_ms(const struct tool_run *run, uint64_t deadline_ns, uint64_t second_ns)
{
    uint64_t now_ns = skua_now();
    uint64_t until_ns = run->on_second != NULL ? second_ns : SKUA_FOREVER;
    if (deadline_ns != SKUA_FOREVER) {
        if (now_ns >= deadline_ns)
            leave(run);
        uint64_t look_ns = deadline_ns - now_ns < LOOK_NS ? deadline_ns : now_ns + LOOK_NS;
        until_ns = look_ns < until_ns ? look_ns : until_ns;
    }
    if (until_ns == SKUA_FOREVER)
        return -1;
    return until_ns <= now_ns ? 0 : (int)((until_ns - now_ns) / SKUA_NS_PER_MS) + 1;
}

/* A signal that has come. Returns when patience ends. */
static uint64_t take_signal(struct tool_run *run, skua_future *root, uint64_t deadline_ns)
{
    struct signalfd_siginfo info;
    if (read(run->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return deadline_ns;
    if ((int)info.ssi_signo == run->extra_signal) {
        run->on_extra(run->arg);
        return deadline_ns;
    }
    if (run->signal != 0)
        leave(run);
    run->signal = (int)info.ssi_signo;
    if (run->on_stop != NULL)
        run->on_stop(run->arg);
    else
        (void)skua_cancel(root);
    return skua_after(run->patience_ns);
}

static void wait_for_end(struct tool_run *run, skua_future *root)
{
    struct pollfd fds[2] = {{run->end_fd, POLLIN, 0}, {run->signal_fd, POLLIN, 0}};
    uint64_t deadline_ns = SKUA_FOREVER;
    uint64_t second_ns = skua_after(SKUA_NS_PER_SEC);
    for (;;) {
        fds[0].revents = fds[1].revents = 0;
        (void)poll(fds, 2, timeout_ms(run, deadline_ns, second_ns)); /* EINTR: nothing happened */
        /* A root task that was cancelled before it began has ended and written nothing. */
        if (fds[0].revents || (run->signal != 0 && skua_future_peek(root, NULL) == 0))
            return;
        if (run->on_second != NULL && skua_now() >= second_ns) {
            run->on_second(run->arg);
            second_ns = skua_after(SKUA_NS_PER_SEC);
        }
        if (fds[1].revents)
            deadline_ns = take_signal(run, root, deadline_ns);
    }
}

intptr_t skua_tool_run_root(struct tool_run *run, skua_fn fn)
{
    run->fn = fn;
    skua_future *root = skua_submit(run->runtime, root_task, run);
    /* Done already: it was quick, or it never started and nothing will be heard of it. */
    if (skua_future_peek(root, NULL))
        wait_for_end(run, root);
    return skua_await(root);
}

void skua_tool_run_stop(struct tool_run *run)
{
    if (skua_runtime_stop(run->runtime, SKUA_STOP_CANCEL, skua_after(run->stop_ns)) < 0)
        leave(run);
}
