/*
 * bench/common/bench_echo_loops.h - echo servers in C with a loop for each worker: a thread and a
 * socket to listen on for each.
 */
#ifndef SKUA_BENCH_ECHO_LOOPS_H
#define SKUA_BENCH_ECHO_LOOPS_H

#include "bench_echo.h"

#include <pthread.h>

/*
 * Runs @loop(@listener) for each worker, in a thread of its own but for the first: a process of one
 * thread has cheaper system calls. @loop gets a pointer to its descriptor and does not return.
 */
static inline void bench_echo_run_loops(struct bench_echo *echo, int flags, void *(*loop)(void *))
{
    static int listeners[BENCH_ECHO_WORKERS_MAX];
    for (unsigned i = 0; i < echo->workers; i++)
        listeners[i] = bench_echo_listen(echo, flags);
    bench_echo_ready(echo);
    for (unsigned i = 1; i < echo->workers; i++) {
        pthread_t thread;
        int rc = pthread_create(&thread, NULL, loop, &listeners[i]);
        if (rc != 0)
            bench_echo_fail("pthread_create", rc);
    }
    loop(&listeners[0]);
}

#endif /* SKUA_BENCH_ECHO_LOOPS_H */
