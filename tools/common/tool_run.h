/*
 * common/tool_run.h - a program's root task, and its main thread meanwhile, which waits for the end
 * and for signals.
 *
 * The first SIGINT or SIGTERM asks the root task to end, in the program's way; a second one, or one
 * that has not led to the end within the program's patience, ends the process at once, with
 * 128 + the signal. Both are blocked before there are other threads and read from a descriptor, so
 * they arrive nowhere else. All of it is the main thread's.
 */
#ifndef SKUA_TOOL_RUN_H
#define SKUA_TOOL_RUN_H

#include <skua/runtime.h>
#include <skua/task.h>

#include <stdint.h>

struct tool_run {
    /* What the program sets, before the start. */
    const char *program;
    uint64_t patience_ns;         /* from the first signal on */
    uint64_t stop_ns;             /* for what is left when the root task has ended */
    void (*on_stop)(void *arg);   /* at the first signal; NULL: the root task is cancelled */
    int extra_signal;             /* read, too; 0: none */
    void (*on_extra)(void *arg);  /* ... and what it does */
    void (*on_second)(void *arg); /* each second; NULL: nothing */
    void *arg;                    /* of the root task and of these */

    /* What it may read. */
    skua_runtime *runtime;
    int signal; /* the one that asked for the end; 0: none has */

    /* Of tool_run.c. */
    skua_fn fn;
    int end_fd; /* eventfd, written when the root task ends */
    int signal_fd;
};

/* "program: what: why", @error being -errno, on standard error. Returns EXIT_FAILURE. */
int skua_tool_error(const char *program, const char *what, int error);

/*
 * Catches the signals and starts a runtime. 0, or EXIT_FAILURE: why has been told on standard
 * error. Ignores SIGPIPE: EPIPE says the same with a result.
 */
int skua_tool_run_start(struct tool_run *run, const skua_options *options);

/*
 * Runs @fn with run->arg as a task until it ends, and returns its result; -ECANCELED if a signal
 * came before it began.
 */
intptr_t skua_tool_run_root(struct tool_run *run, skua_fn fn);

/* Stops the runtime, cancelling what is left; if that takes too long, ends the process. */
void skua_tool_run_stop(struct tool_run *run);

#endif /* SKUA_TOOL_RUN_H */
