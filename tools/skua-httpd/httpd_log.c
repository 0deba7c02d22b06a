/*
 * httpd_log.c - the access log, in the common log format with referer and agent ("combined").
 *
 * Two buffers: one is filled under a lock while the other is written. If writing fails (disk full,
 * pipe closed) those lines are lost, the first error is told on standard error, and the server goes
 * on. A log that is slower than the requests loses lines, and says how many in a line of its own.
 */
#include "httpd_log.h"

#include "httpd_connection.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOG_BYTES ((size_t)256 * 1024)
#define LINE_BYTES 2048u
#define PAUSE_NS (100 * SKUA_NS_PER_MS) /* lines are written in batches */
#define LAST_WRITE_NS SKUA_NS_PER_SEC   /* nobody waits longer for a pipe that is not read */

struct httpd_log {
    int fd;
    bool complained; /* the writer's */
    pthread_mutex_t lock;
    char *filling; /* guarded by lock, as the next two */
    size_t used;
    uint64_t lost;
    char *writing; /* the writer's */
};

int skua_httpd_log_open(const char *path, struct httpd_log **out)
{
    bool standard = strcmp(path, "-") == 0;
    struct httpd_log *log = calloc(1, sizeof(*log));
    int rc = -ENOMEM;
    if (log == NULL)
        return rc;
    log->filling = malloc(LOG_BYTES);
    log->writing = malloc(LOG_BYTES);
    log->fd = STDOUT_FILENO;
    pthread_mutex_init(&log->lock, NULL);
    if (!standard)
        log->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0644);
    if (log->fd < 0)
        rc = -errno;
    if (log->fd >= 0 && log->filling != NULL && log->writing != NULL) {
        *out = log;
        return 0;
    }
    skua_httpd_log_close(log);
    return rc;
}

void skua_httpd_log_close(struct httpd_log *log)
{
    if (log == NULL)
        return;
    if (log->fd > STDERR_FILENO)
        (void)close(log->fd);
    pthread_mutex_destroy(&log->lock);
    free(log->filling);
    free(log->writing);
    free(log);
}

/* ---- writing --------------------------------------------------------------------------------- */

static void complain(struct httpd_log *log, int error)
{
    char buffer[128];
    if (log->complained)
        return;
    log->complained = true;
    fprintf(stderr, HTTPD_PROGRAM ": access log: %s; lines are lost\n",
            strerror_r(error, buffer, sizeof(buffer)));
}

static void write_batch(struct httpd_log *log)
{
    pthread_mutex_lock(&log->lock);
    char *full = log->filling;
    size_t size = log->used;
    uint64_t lost = log->lost;
    log->filling = log->writing;
    log->used = 0;
    log->lost = 0;
    pthread_mutex_unlock(&log->lock);
    log->writing = full;
    if (lost > 0 && size < LOG_BYTES - 80)
        size += (size_t)snprintf(full + size, 80, "# %llu lines lost\n", (unsigned long long)lost);
    for (size_t done = 0; done < size;) {
        ssize_t n = skua_write(log->fd, full + done, size - done);
        if (n <= 0) {
            if (n != -ECANCELED)
                complain(log, n == 0 ? EIO : (int)-n);
            return;
        }
        done += (size_t)n;
    }
}

static intptr_t write_last(void *arg)
{
    write_batch(arg);
    return 0;
}

intptr_t skua_httpd_log_run(void *arg)
{
    skua_shield shield;
    while (skua_sleep(PAUSE_NS) == 0)
        write_batch(arg);
    (void)skua_shield_open(&shield);
    (void)skua_timeout(LAST_WRITE_NS, write_last, arg);
    (void)skua_shield_close(&shield);
    return 0;
}

/* ---- lines ----------------------------------------------------------------------------------- */

struct line {
    char text[LINE_BYTES];
    size_t used;
};

static void line_put(struct line *line, const char *text, size_t size)
{
    size_t room = sizeof(line->text) - line->used;
    if (size > room)
        size = room;
    memcpy(line->text + line->used, text, size);
    line->used += size;
}

/* What the peer has sent, in quotes; nothing in it can end the quotes, or a terminal's peace. */
static void line_put_quoted(struct line *line, const char *text, size_t size, size_t size_max)
{
    static const char digits[] = "0123456789abcdef";
    line_put(line, " \"", 2);
    if (size == 0)
        line_put(line, "-", 1);
    for (size_t i = 0; i < size && i < size_max; i++) {
        unsigned char c = (unsigned char)text[i];
        char escaped[4] = {'\\', 'x', digits[c >> 4], digits[c & 15]};
        if (c < ' ' || c >= 127 || c == '"' || c == '\\')
            line_put(line, escaped, 4);
        else
            line_put(line, &text[i], 1);
    }
    line_put(line, "\"", 1);
}

static void line_make(struct line *line, const struct httpd_connection *connection)
{
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    const struct httpd_request *request = &connection->request;
    struct httpd_slice first = request->line;
    struct httpd_slice referer = request->fields[HTTPD_REFERER];
    struct httpd_slice agent = request->fields[HTTPD_USER_AGENT];
    struct tm tm;
    char text[160];
    time_t now = connection->date_time;
    (void)gmtime_r(&now, &tm);
    int size = snprintf(text, sizeof(text), "%s - - [%02d/%s/%d:%02d:%02d:%02d +0000]",
                        connection->peer, tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900,
                        tm.tm_hour, tm.tm_min, tm.tm_sec);
    line_put(line, text, (size_t)size);
    line_put_quoted(line, skua_httpd_text(connection, first), first.size, 256);
    size = snprintf(text, sizeof(text), " %u %llu", connection->status,
                    (unsigned long long)connection->answer_bytes);
    line_put(line, text, (size_t)size);
    line_put_quoted(line, skua_httpd_text(connection, referer), referer.size, 60);
    line_put_quoted(line, skua_httpd_text(connection, agent), agent.size, 60);
    line_put(line, "\n", 1);
}

void skua_httpd_log_add(struct httpd_log *log, const struct httpd_connection *connection)
{
    struct line line;
    line.used = 0;
    line_make(&line, connection);
    pthread_mutex_lock(&log->lock);
    if (line.used <= LOG_BYTES - log->used) {
        memcpy(log->filling + log->used, line.text, line.used);
        log->used += line.used;
    } else {
        log->lost++;
    }
    pthread_mutex_unlock(&log->lock);
}
