/*
 * proxy_log.h - lines for a file, a pipe or a terminal: kept in memory and written by a task of
 * their own, so that no connection waits for whoever reads them.
 */
#ifndef SKUA_PROXY_LOG_H
#define SKUA_PROXY_LOG_H

#include "proxy.h"

#include <stdarg.h>

/* Opens a log at @path, or over @fd if that is NULL. Called by main. 0 or -errno. */
int skua_proxy_log_open(const char *path, int fd, struct proxy_log **out);

/* Frees the log; no task uses it. NULL is accepted. */
void skua_proxy_log_close(struct proxy_log *log);

/* The task that writes, until it is cancelled; then it writes the rest. @arg: the log. */
intptr_t skua_proxy_log_run(void *arg);

/* Adds a line, without its newline; it is lost if the log is behind. Never waits. NULL: no log. */
void skua_proxy_log_printf(struct proxy_log *log, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif /* SKUA_PROXY_LOG_H */
