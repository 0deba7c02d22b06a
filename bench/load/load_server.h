/*
 * load/load_server.h - the server that is measured: a process that is started, asked for its CPU
 * time, and ended. See ../common/bench_echo.h for what it must do.
 *
 * Whatever goes wrong ends this program with status 1, and the server with it.
 */
#ifndef SKUA_LOAD_SERVER_H
#define SKUA_LOAD_SERVER_H

#include "common/bench.h"

#include <sched.h>
#include <sys/types.h>
#include <time.h>

#define LOAD_WORDS_MAX 64

/* How to start a server. */
struct load_server_config {
    const struct bench_options *options;
    char **words; /* program and arguments; --port, --workers, --stalls come after them */
    unsigned word_count;
    bool stalls; /* it is to compute, see load_stalls.h */
    bool bound;  /* to @cpus */
    cpu_set_t cpus;
};

/* One that runs. */
struct load_server {
    const struct bench_options *options;
    pid_t pid;
    int output; /* its standard output; its end is the end of the process */
    uint16_t port;
    clockid_t clock; /* of its CPU time */
};

/* Ends the program with status 1 and a line that begins with the workload and whose it is. */
__attribute__((noreturn, format(printf, 2, 3))) void load_fail(const struct bench_options *options,
                                                               const char *format, ...);

/* Starts it and waits until it takes connections. */
void load_server_start(struct load_server *server, const struct load_server_config *config);

/* CPU time of all its threads until now, in ns. */
uint64_t load_server_cpu_now(const struct load_server *server);

/* Ends it. Returns its CPU time, in ns, as wait4() tells it. */
uint64_t load_server_stop(struct load_server *server);

#endif /* SKUA_LOAD_SERVER_H */
