/*
 * proxy_pipes.c - a few spare pipes, so that not every burst of bytes makes one and closes it.
 */
#include "proxy_pipes.h"

#include <fcntl.h>
#include <unistd.h>

/*
 * Four times what a pipe has at first. The kernel counts in buffers, one for each fragment of what
 * a network card has received; the default 16 are full before 64 KiB are.
 */
#define PIPE_BYTES (256 * 1024)

bool skua_proxy_pipe_take(struct proxy_pipes *pipes, int pipe_fds[2])
{
    bool is_found = false;
    pthread_mutex_lock(&pipes->lock);
    if (pipes->count > 0) {
        pipes->count--;
        pipe_fds[0] = pipes->fds[pipes->count][0];
        pipe_fds[1] = pipes->fds[pipes->count][1];
        is_found = true;
    }
    pthread_mutex_unlock(&pipes->lock);
    if (is_found)
        return true;
    if (pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) < 0)
        return false;
    (void)fcntl(pipe_fds[1], F_SETPIPE_SZ, PIPE_BYTES); /* a smaller one will do */
    return true;
}

void skua_proxy_pipe_give(struct proxy_pipes *pipes, const int pipe_fds[2], bool is_empty)
{
    bool is_kept = false;
    pthread_mutex_lock(&pipes->lock);
    if (is_empty && pipes->count < PROXY_PIPES_SPARE_MAX) {
        pipes->fds[pipes->count][0] = pipe_fds[0];
        pipes->fds[pipes->count][1] = pipe_fds[1];
        pipes->count++;
        is_kept = true;
    }
    pthread_mutex_unlock(&pipes->lock);
    if (is_kept)
        return;
    (void)close(pipe_fds[0]);
    (void)close(pipe_fds[1]);
}

void skua_proxy_pipes_init(struct proxy_pipes *pipes)
{
    pthread_mutex_init(&pipes->lock, NULL);
    pipes->count = 0;
}

void skua_proxy_pipes_fini(struct proxy_pipes *pipes)
{
    for (; pipes->count > 0; pipes->count--) {
        (void)close(pipes->fds[pipes->count - 1][0]);
        (void)close(pipes->fds[pipes->count - 1][1]);
    }
    pthread_mutex_destroy(&pipes->lock);
}
