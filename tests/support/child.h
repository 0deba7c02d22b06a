/*
 * support/child.h - runs a function in a forked process, with a deadline, and says how it ended.
 *
 * For what kills a process: guard pages, failed checks, resource limits. The child leaves by
 * _exit(), so nothing of the test framework runs in it. Its standard error is collected.
 */
#ifndef SKUA_TESTS_CHILD_H
#define SKUA_TESTS_CHILD_H

#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <functional>
#include <string>

namespace skua_test
{

struct ChildResult {
    bool timed_out = false;
    int exit_code = -1; /* -1: did not exit by itself */
    int signal = 0;     /* 0: was not killed */
    std::string output; /* standard error, at most 64 KiB */
};

inline long child_now_ms()
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* The value @body returns is the exit code. */
inline ChildResult run_child(const std::function<int()> &body, int timeout_ms = 20000)
{
    ChildResult result;
    int ends[2];
    if (pipe(ends) != 0)
        return result;
    pid_t child = fork();
    if (child == 0) {
        struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        _exit(body());
    }
    close(ends[1]);
    if (child < 0) {
        close(ends[0]);
        return result;
    }
    /* The pipe ends with the child: reading to the end is the wait. */
    long deadline = child_now_ms() + timeout_ms;
    char buffer[1024];
    for (;;) {
        struct pollfd waiter = {ends[0], POLLIN, 0};
        long left = deadline - child_now_ms();
        int ready = left > 0 ? poll(&waiter, 1, static_cast<int>(left)) : 0;
        if (ready < 0)
            continue;
        if (ready == 0) {
            result.timed_out = true;
            kill(child, SIGKILL);
            break;
        }
        ssize_t got = read(ends[0], buffer, sizeof(buffer));
        if (got <= 0)
            break;
        if (result.output.size() < 65536)
            result.output.append(buffer, static_cast<size_t>(got));
    }
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    if (WIFEXITED(status))
        result.exit_code = WEXITSTATUS(status);
    else if (WIFSIGNALED(status))
        result.signal = WTERMSIG(status);
    return result;
}

} // namespace skua_test

#endif /* SKUA_TESTS_CHILD_H */
