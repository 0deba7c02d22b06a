/*
 * tls/tls_flow.c - ciphertext between the buffers of a connection and the stream below it.
 *
 * The only places where a connection waits. No function of OpenSSL is called here.
 *
 * SENDING  The sender takes the whole of `out` away, as `sending`, and sends from there without the
 * lock, while others may seal more. What a cancel leaves in it goes first next time.
 */
#include "tls/tls_impl.h"

#include <skua/stream.h>

#include <stdlib.h>
#include <string.h>

/* What is kept of an empty buffer: a record. */
#define KEEP_BYTES SKUA_TLS_RECORD_BYTES

/* ---- receiving ------------------------------------------------------------------------------- */

/* The bytes move to the front of `in`, which has room for a record. 0, -ENOMEM. */
static int make_room(skua_tls *tls)
{
    struct skua_tls_buffer *in = &tls->in;
    if (in->data == NULL) {
        in->data = malloc(SKUA_TLS_RECORD_BYTES);
        if (in->data == NULL)
            return -ENOMEM;
        in->capacity = SKUA_TLS_RECORD_BYTES;
    }
    if (in->start > 0) {
        memmove(in->data, in->data + in->start, in->end - in->start);
        in->end -= in->start;
        tls->visible -= in->start;
        in->start = 0;
    }
    return 0;
}

/* Under feed_lock. 1; 0 at the end; -errno. */
static int feed(skua_tls *tls, uint64_t feeds)
{
    pthread_mutex_lock(&tls->lock);
    bool is_fed = tls->feeds != feeds;
    int rc = is_fed ? 0 : make_room(tls);
    pthread_mutex_unlock(&tls->lock);
    if (is_fed || rc < 0)
        return is_fed ? 1 : rc;
    ssize_t got =
        skua_stream_read(tls->below, tls->in.data + tls->in.end, tls->in.capacity - tls->in.end);
    if (got <= 0)
        return (int)got;
    pthread_mutex_lock(&tls->lock);
    tls->in.end += (size_t)got;
    tls->visible = tls->in.end;
    tls->feeds++;
    pthread_mutex_unlock(&tls->lock);
    return 1;
}

int skua_tls_feed(skua_tls *tls, uint64_t feeds)
{
    int rc = skua_mutex_lock(&tls->feed_lock);
    if (rc < 0)
        return rc;
    rc = feed(tls, feeds);
    (void)skua_mutex_unlock(&tls->feed_lock);
    return rc;
}

/*
 * The size of the record that begins at @at of `in`; 0: it has not come yet. Of what is no record
 * all there is: OpenSSL will say so.
 */
static size_t record_at(const struct skua_tls_buffer *in, size_t at)
{
    const unsigned char *head = (const unsigned char *)in->data + at;
    size_t held = in->end - at;
    if (held >= 2 && (head[0] < 20 || head[0] > 23 || head[1] != 3)) /* RFC 8446, 5.1 */
        return held;
    if (held < SKUA_TLS_HEADER_BYTES)
        return 0;
    size_t size = SKUA_TLS_HEADER_BYTES + ((size_t)head[3] << 8 | head[4]);
    if (size > SKUA_TLS_RECORD_BYTES)
        return held;
    return held >= size ? size : 0;
}

int skua_tls_feed_record(skua_tls *tls)
{
    for (;;) { /* each turn waits for bytes */
        size_t size;
        size_t old = tls->visible;
        while (tls->visible < tls->in.end && (size = record_at(&tls->in, tls->visible)) > 0)
            tls->visible += size;
        if (tls->visible > old)
            return 1;
        int rc = make_room(tls);
        if (rc < 0)
            return rc;
        ssize_t got = skua_stream_read(tls->below, tls->in.data + tls->in.end,
                                       tls->in.capacity - tls->in.end);
        if (got <= 0)
            return (int)got;
        tls->in.end += (size_t)got;
    }
}

/* ---- sending --------------------------------------------------------------------------------- */

static bool has_unsent(skua_tls *tls)
{
    pthread_mutex_lock(&tls->lock);
    bool has = tls->unsent > 0 || tls->below_is_dirty;
    pthread_mutex_unlock(&tls->lock);
    return has;
}

/* Under send_lock: puts what is to be sent into `sending`. False: nothing. */
static bool take_out(skua_tls *tls)
{
    struct skua_tls_buffer *sending = &tls->sending;
    if (sending->start < sending->end)
        return true;
    sending->start = sending->end = 0;
    if (sending->capacity > KEEP_BYTES) {
        free(sending->data);
        *sending = (struct skua_tls_buffer){0};
    }
    pthread_mutex_lock(&tls->lock);
    struct skua_tls_buffer out = tls->out;
    tls->out = *sending;
    *sending = out;
    tls->below_is_dirty = true;
    pthread_mutex_unlock(&tls->lock);
    return sending->end > 0;
}

/* Under send_lock. */
static int drain(skua_tls *tls)
{
    while (take_out(tls)) {
        struct skua_tls_buffer *sending = &tls->sending;
        ssize_t sent = skua_stream_write(tls->below, sending->data + sending->start,
                                         sending->end - sending->start);
        if (sent < 0)
            return (int)sent;
        sending->start += (size_t)sent;
        pthread_mutex_lock(&tls->lock);
        tls->unsent -= (size_t)sent;
        pthread_mutex_unlock(&tls->lock);
    }
    int rc = skua_stream_flush(tls->below);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&tls->lock);
    tls->below_is_dirty = tls->unsent > 0;
    pthread_mutex_unlock(&tls->lock);
    return 0;
}

int skua_tls_drain(skua_tls *tls)
{
    if (!has_unsent(tls))
        return 0;
    int rc = skua_mutex_lock(&tls->send_lock);
    if (rc < 0)
        return rc;
    rc = drain(tls);
    (void)skua_mutex_unlock(&tls->send_lock);
    return rc;
}

void skua_tls_drain_alert(skua_tls *tls)
{
    if (!has_unsent(tls) || skua_mutex_try_lock(&tls->send_lock) < 0)
        return;
    (void)drain(tls); /* the error that the alert is about counts */
    (void)skua_mutex_unlock(&tls->send_lock);
}
