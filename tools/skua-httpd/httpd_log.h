/*
 * httpd_log.h - the access log: lines are kept in memory and written by a task of their own, so
 * that no request waits for a disk, a pipe or a terminal.
 */
#ifndef SKUA_HTTPD_LOG_H
#define SKUA_HTTPD_LOG_H

#include "httpd.h"

/* Opens the log @path, or standard output for "-". Called by main. 0 or -errno. */
int skua_httpd_log_open(const char *path, struct httpd_log **log);

/* Frees the log; no task uses it. NULL is accepted. */
void skua_httpd_log_close(struct httpd_log *log);

/* The task that writes, until it is cancelled; then it writes the rest. @arg: the log. */
intptr_t skua_httpd_log_run(void *arg);

/* Notes the request that @connection has answered; forgotten if the log is behind. Never waits. */
void skua_httpd_log_add(struct httpd_log *log, const struct httpd_connection *connection);

#endif /* SKUA_HTTPD_LOG_H */
