/*
 * load/load_server.c - see load_server.h.
 */
#include "load_server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_DEADLINE_MS 30000
#define STOP_DEADLINE_MS 10000

_Noreturn void load_fail(const struct bench_options *options, const char *format, ...)
{
    va_list list;
    fprintf(stderr, "%s (%s): ", options->bench, options->by);
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
    exit(1);
}

/* In the child: becomes the server, which ends when this program does. */
static _Noreturn void become(const struct load_server_config *config, int output, pid_t parent)
{
    char *words[LOAD_WORDS_MAX + 6];
    char workers[16];
    unsigned count = config->word_count;
    memcpy(words, config->words, count * sizeof(*words));
    snprintf(workers, sizeof(workers), "%u", config->options->workers);
    words[count++] = (char *)"--port";
    words[count++] = (char *)"0";
    words[count++] = (char *)"--workers";
    words[count++] = workers;
    if (config->stalls)
        words[count++] = (char *)"--stalls";
    words[count] = NULL;
    bool ready = prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent &&
                 dup2(output, STDOUT_FILENO) >= 0;
    if (ready && config->bound)
        ready = sched_setaffinity(0, sizeof(config->cpus), &config->cpus) == 0;
    if (ready)
        execvp(words[0], words);
    fprintf(stderr, "%s: %s\n", words[0], strerror(errno));
    _exit(127);
}

/* Waits for the child's end. What wait4() says of it is in *@status and *@usage. */
static void reap(const struct load_server *server, int *status, struct rusage *usage)
{
    pid_t found;
    do {
        found = wait4(server->pid, status, 0, usage);
    } while (found < 0 && errno == EINTR);
    if (found < 0)
        bench_fail(server->options, "wait4", errno);
}

static _Noreturn void fail_to_start(struct load_server *server)
{
    int status;
    struct rusage usage;
    kill(server->pid, SIGKILL);
    reap(server, &status, &usage);
    if (WIFEXITED(status))
        load_fail(server->options, "the server ended with status %d before it told its port",
                  WEXITSTATUS(status));
    load_fail(server->options, "the server did not tell its port");
}

/* Reads the line with the port. */
static void read_port(struct load_server *server)
{
    char text[32];
    size_t size = 0;
    for (;;) {
        struct pollfd wait = {.fd = server->output, .events = POLLIN};
        int rc = poll(&wait, 1, START_DEADLINE_MS);
        if (rc < 0 && errno == EINTR)
            continue;
        ssize_t got = rc > 0 ? read(server->output, text + size, sizeof(text) - 1 - size) : 0;
        if (got <= 0)
            fail_to_start(server);
        size += (size_t)got;
        text[size] = '\0';
        if (strchr(text, '\n') != NULL)
            break;
    }
    char *end;
    unsigned long port = strtoul(text, &end, 10);
    if (*end != '\n' || port == 0 || port > UINT16_MAX)
        fail_to_start(server);
    server->port = (uint16_t)port;
}

void load_server_start(struct load_server *server, const struct load_server_config *config)
{
    int ends[2];
    pid_t parent = getpid();
    server->options = config->options;
    if (pipe2(ends, O_CLOEXEC) != 0)
        bench_fail(config->options, "pipe2", errno);
    server->pid = fork();
    if (server->pid < 0)
        bench_fail(config->options, "fork", errno);
    if (server->pid == 0)
        become(config, ends[1], parent);
    close(ends[1]);
    server->output = ends[0];
    read_port(server);
    int rc = clock_getcpuclockid(server->pid, &server->clock);
    if (rc != 0)
        bench_fail(config->options, "clock_getcpuclockid", rc);
}

uint64_t load_server_cpu_now(const struct load_server *server)
{
    struct timespec now;
    if (clock_gettime(server->clock, &now) != 0)
        load_fail(server->options, "the server has ended");
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Waits until the output ends. False if it does not in time. */
static bool output_ends(int output)
{
    uint64_t deadline_ns = bench_now() + STOP_DEADLINE_MS * UINT64_C(1000000);
    while (bench_now() < deadline_ns) {
        char text[256];
        struct pollfd wait = {.fd = output, .events = POLLIN};
        if (poll(&wait, 1, STOP_DEADLINE_MS) > 0 && read(output, text, sizeof(text)) == 0)
            return true;
    }
    return false;
}

static uint64_t time_ns(struct timeval time)
{
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_usec * 1000u;
}

uint64_t load_server_stop(struct load_server *server)
{
    int status;
    struct rusage usage;
    kill(server->pid, SIGTERM);
    bool ended = output_ends(server->output);
    if (!ended)
        kill(server->pid, SIGKILL);
    reap(server, &status, &usage);
    close(server->output);
    if (!ended)
        load_fail(server->options, "the server did not end within %d s", STOP_DEADLINE_MS / 1000);
    bool right = WIFSIGNALED(status) ? WTERMSIG(status) == SIGTERM : WEXITSTATUS(status) == 0;
    if (!right)
        load_fail(server->options, "the server ended with %s %d",
                  WIFSIGNALED(status) ? "signal" : "status",
                  WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return time_ns(usage.ru_utime) + time_ns(usage.ru_stime);
}
