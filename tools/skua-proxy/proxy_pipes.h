/*
 * proxy_pipes.h - the pipes of --splice. A direction has one only while it has bytes to move: so
 * connections that wait cost no descriptors, and there are few enough pipes for large ones.
 */
#ifndef SKUA_PROXY_PIPES_H
#define SKUA_PROXY_PIPES_H

#include "proxy.h"

/* An empty pipe, both ends non-blocking, in @pipe_fds. False if there can be none. Never waits. */
bool skua_proxy_pipe_take(struct proxy_pipes *pipes, int pipe_fds[2]);

/* Takes back a pipe; one that still holds bytes is closed with them. Never waits. */
void skua_proxy_pipe_give(struct proxy_pipes *pipes, const int pipe_fds[2], bool is_empty);

/* Before there are threads, and when there are none left. */
void skua_proxy_pipes_init(struct proxy_pipes *pipes);
void skua_proxy_pipes_fini(struct proxy_pipes *pipes);

#endif /* SKUA_PROXY_PIPES_H */
