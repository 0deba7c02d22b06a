/*
 * proxy_log.c - lines that are written behind the back of those who make them.
 *
 * Two buffers: one is filled under a lock while the other is written. The first line in an empty
 * buffer wakes the writer, who takes all that has come by then with one write. A log that is not
 * read loses lines, and says how many; an error of its descriptor loses those at hand and is told
 * once on standard error.
 */
#include "proxy_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOG_BYTES ((size_t)64 * 1024)
#define LINE_BYTES 768u
#define LOST_BYTES 64u                /* room kept for the line that tells of lost ones */
#define LAST_WRITE_NS SKUA_NS_PER_SEC /* at the end nobody waits longer for a pipe's reader */

struct proxy_log {
    int fd;
    bool owns_fd;
    bool complained; /* the writer's */
    skua_event filled;
    pthread_mutex_t lock;
    size_t used; /* guarded by lock, as the next two */
    uint64_t lost;
    char *filling;
    char *writing; /* the writer's, as the next two */
    size_t taken;  /* bytes in writing */
    size_t written;
};

int skua_proxy_log_open(const char *path, int fd, struct proxy_log **out)
{
    struct proxy_log *log = calloc(1, sizeof(*log));
    int rc = -ENOMEM;
    if (log == NULL)
        return rc;
    pthread_mutex_init(&log->lock, NULL);
    log->filling = malloc(LOG_BYTES);
    log->writing = malloc(LOG_BYTES);
    log->fd = fd;
    if (path != NULL) {
        log->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0644);
        if (log->fd < 0)
            rc = -errno;
        log->owns_fd = log->fd >= 0;
    }
    if (log->fd >= 0 && log->filling != NULL && log->writing != NULL) {
        *out = log;
        return 0;
    }
    skua_proxy_log_close(log);
    return rc;
}

void skua_proxy_log_close(struct proxy_log *log)
{
    if (log == NULL)
        return;
    if (log->owns_fd)
        (void)close(log->fd);
    pthread_mutex_destroy(&log->lock);
    free(log->filling);
    free(log->writing);
    free(log);
}

/* ---- writing --------------------------------------------------------------------------------- */

static void complain(struct proxy_log *log, ssize_t error)
{
    char buffer[128];
    if (log->complained || log->fd == STDERR_FILENO)
        return;
    log->complained = true;
    fprintf(stderr, PROXY_PROGRAM ": access log: %s; lines are lost\n",
            strerror_r((int)-error, buffer, sizeof(buffer)));
}

/* Writes what is left of the batch; if it is cancelled the rest stays for the next call. */
static void write_rest(struct proxy_log *log)
{
    while (log->written < log->taken) {
        ssize_t n = skua_write(log->fd, log->writing + log->written, log->taken - log->written);
        if (n == -ECANCELED)
            return;
        if (n <= 0) {
            complain(log, n == 0 ? -EIO : n);
            log->written = log->taken;
            return;
        }
        log->written += (size_t)n;
    }
}

/* Makes what has come a batch, if the last one has been written. */
static void take_batch(struct proxy_log *log)
{
    if (log->written < log->taken)
        return;
    pthread_mutex_lock(&log->lock);
    char *full = log->filling;
    size_t size = log->used;
    uint64_t lost = log->lost;
    log->filling = log->writing;
    log->used = 0;
    log->lost = 0;
    pthread_mutex_unlock(&log->lock);
    log->writing = full;
    if (lost > 0)
        size += (size_t)snprintf(full + size, LOST_BYTES, "# %llu lines lost\n",
                                 (unsigned long long)lost);
    log->taken = size;
    log->written = 0;
}

static void write_batch(struct proxy_log *log)
{
    take_batch(log);
    write_rest(log);
}

static intptr_t write_last(void *arg)
{
    write_rest(arg);
    write_batch(arg);
    return 0;
}

intptr_t skua_proxy_log_run(void *arg)
{
    struct proxy_log *log = arg;
    skua_shield shield;
    while (skua_event_wait(&log->filled) == 0) {
        (void)skua_event_clear(
            &log->filled); /* before the look: a line from now on sets it again */
        write_batch(log);
    }
    (void)skua_shield_open(&shield);
    (void)skua_timeout(LAST_WRITE_NS, write_last, log);
    (void)skua_shield_close(&shield);
    return 0;
}

void skua_proxy_log_printf(struct proxy_log *log, const char *format, ...)
{
    char line[LINE_BYTES];
    va_list arguments;
    if (log == NULL)
        return;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (length < 0)
        return;
    size_t size = (size_t)length < sizeof(line) ? (size_t)length : sizeof(line) - 1;
    line[size++] = '\n'; /* in the place of the zero */
    pthread_mutex_lock(&log->lock);
    bool is_first = log->used == 0;
    if (size <= LOG_BYTES - LOST_BYTES - log->used) {
        memcpy(log->filling + log->used, line, size);
        log->used += size;
    } else {
        log->lost++;
    }
    pthread_mutex_unlock(&log->lock);
    if (is_first)
        (void)skua_event_set(&log->filled);
}
