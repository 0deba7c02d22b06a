/*
 * tls/tls_handshake.c - connecting and accepting.
 *
 * A handshake is a row of steps: OpenSSL is given the whole records that have come, computes, and
 * leaves what is to be sent. A step that follows on bytes of the peer takes long, some 100 us to
 * some ms where a certificate's key is used or checked, so it is run by the cpu executor: there are
 * as many of these as CPUs, below the workers in priority, and however many shake hands, records of
 * other connections are not delayed. Only a client's first step, which makes a key for one use, is
 * run where it is. A job, and not a hop of the task: the task may be one that has hopped, and must
 * come back to where it was; and a job has a thread's stack.
 *
 * DEADLINE  A scope, if in a task. Over a descriptor the stream below has the timeout as well,
 * renewed for every wait: that works on threads where a scope ends no system call.
 */
#include "tls/tls_impl.h"

#include <skua/executor.h>
#include <skua/future.h>
#include <skua/scope.h>
#include <skua/stream.h>
#include <skua/time.h>

#include <stdlib.h>
#include <string.h>

#define TIMEOUT_NS (60 * SKUA_NS_PER_SEC)

/* A handshake under way; in the frame of its task. */
struct handshake {
    skua_tls *tls;
    skua_tls_error error; /* the reason, if there is one */
    uint64_t deadline_ns;
    bool is_server;
    bool owns_below; /* it is over a descriptor that we have opened the stream of */
    bool is_done;
    int rc;
};

/* ---- steps ----------------------------------------------------------------------------------- */

/* No wait here: see tls_impl.h. */
static void step_once(struct handshake *handshake)
{
    skua_tls *tls = handshake->tls;
    ERR_clear_error();
    int returned = SSL_do_handshake(tls->ssl);
    handshake->is_done = returned == 1;
    handshake->rc = 0;
    if (returned == 1 || SSL_get_error(tls->ssl, returned) == SSL_ERROR_WANT_READ)
        return;
    if (tls->is_short)
        handshake->rc = skua_tls_note_plain(&handshake->error, -ENOMEM, "no memory for a record");
    else
        handshake->rc = skua_tls_note(&handshake->error, -EPROTO, "handshake failed", tls->ssl);
    ERR_clear_error();
}

static intptr_t run_step(void *arg)
{
    step_once(arg);
    return 0;
}

/* 0 or -errno: the handshake's, or of the executor. */
static int step(struct handshake *handshake)
{
    skua_shield shield;
    bool is_first = !handshake->is_server && handshake->tls->feeds == 0;
    if (is_first || skua_shield_open(&shield) < 0) {
        step_once(handshake); /* no task: nobody is delayed */
        return handshake->rc;
    }
    /* Shielded: the job works on what we would free. */
    intptr_t rc = skua_await(skua_run_in_executor(skua_executor_cpu(NULL), run_step, handshake));
    (void)skua_shield_close(&shield);
    if (rc < 0)
        return skua_tls_note_plain(&handshake->error, (int)rc,
                                   "the cpu executor did not take the handshake");
    return handshake->rc;
}

/* ---- waits ----------------------------------------------------------------------------------- */

static uint64_t left_ns(const struct handshake *handshake)
{
    uint64_t now_ns = skua_now();
    return now_ns < handshake->deadline_ns ? handshake->deadline_ns - now_ns : 0;
}

/*
 * Opens the stream over our descriptor, in place of the one there is: it buffers nothing, so that
 * nothing is lost. 0 or -errno.
 */
static int renew_below(skua_tls *tls, uint64_t timeout_ns, unsigned flags)
{
    skua_stream *below;
    skua_stream_options options = {.read_buffer_bytes = 1,
                                   .write_buffer_bytes = 1,
                                   .read_timeout_ns = timeout_ns,
                                   .write_timeout_ns = timeout_ns,
                                   .flags = flags};
    int rc = skua_stream_open(tls->fd, tls->fd, &options, &below);
    if (rc < 0)
        return rc;
    (void)skua_stream_abort(tls->below); /* it keeps the descriptor */
    tls->below = below;
    return 0;
}

/* Before a wait. 0 or -errno. */
static int prepare_wait(struct handshake *handshake)
{
    if (handshake->deadline_ns == SKUA_FOREVER)
        return 0;
    uint64_t timeout_ns = left_ns(handshake);
    if (timeout_ns == 0)
        return -ETIMEDOUT;
    return handshake->owns_below ? renew_below(handshake->tls, timeout_ns, SKUA_STREAM_KEEP_FDS)
                                 : 0;
}

static int send_flight(struct handshake *handshake)
{
    int rc = prepare_wait(handshake);
    return rc < 0 ? rc : skua_tls_drain(handshake->tls);
}

static int receive_flight(struct handshake *handshake)
{
    skua_tls *tls = handshake->tls;
    int rc = prepare_wait(handshake);
    if (rc < 0)
        return rc;
    rc = skua_tls_feed_record(tls);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return skua_tls_note_plain(&handshake->error, -ECONNRESET,
                                   "the peer closed the connection in the handshake");
    tls->feeds++;
    return 0;
}

static int shake(struct handshake *handshake)
{
    for (;;) { /* each turn waits for the peer */
        int rc = step(handshake);
        int sent = send_flight(handshake); /* the alert, if it has failed */
        if (rc < 0 || sent < 0)
            return rc < 0 ? rc : sent;
        if (handshake->is_done)
            return 0;
        rc = receive_flight(handshake);
        if (rc < 0)
            return rc;
    }
}

/* shake() until the deadline. */
static int shake_in_time(struct handshake *handshake)
{
    skua_scope scope;
    skua_scope_options options = {.deadline_ns = handshake->deadline_ns, .name = "TLS handshake"};
    if (handshake->deadline_ns == SKUA_FOREVER)
        return shake(handshake);
    int opened = skua_scope_open(&scope, &options);
    if (opened < 0 && opened != -EPERM)
        return opened;
    int rc = shake(handshake);
    int closed = opened == 0 ? skua_scope_close(&scope) : 0;
    return rc == -ECANCELED && closed == -ETIMEDOUT ? -ETIMEDOUT : rc;
}

/* ---- connections ----------------------------------------------------------------------------- */

static bool is_valid(const skua_tls_context *context, const skua_tls_options *options,
                     bool is_server)
{
    for (size_t i = 0; i < sizeof(options->reserved) / sizeof(options->reserved[0]); i++) {
        if (options->reserved[i] != 0)
            return false;
    }
    return (options->flags & ~SKUA_TLS_ANY_NAME) == 0 && options->reserved_flags == 0 &&
           (context->role == SKUA_TLS_SERVER) == is_server &&
           !(is_server && (options->server_name != NULL || options->session != NULL));
}

/* The client's own wishes. 0 or -errno. */
static int set_client(skua_tls *tls, const skua_tls_options *options, skua_tls_error *error)
{
    bool checks = (options->flags & SKUA_TLS_ANY_NAME) == 0;
    if (options->server_name == NULL && checks && tls->context->verify != SKUA_TLS_VERIFY_NONE)
        return skua_tls_note_plain(error, -EINVAL, "there is no server name to check");
    if (options->server_name != NULL) {
        int rc = skua_tls_set_server_name(tls, options->server_name, checks);
        if (rc < 0)
            return skua_tls_note(error, rc, "the server name", NULL);
    }
    skua_tls_offer_session(tls, options->session);
    SSL_set_connect_state(tls->ssl);
    return 0;
}

/* 0 with *@out, which has nothing below yet; or -errno. */
static int make(skua_tls_context *context, const skua_tls_options *options,
                struct handshake *handshake)
{
    skua_tls *tls = calloc(1, sizeof(*tls));
    if (tls == NULL)
        return skua_tls_note_plain(&handshake->error, -ENOMEM, "no memory for a connection");
    handshake->tls = tls;
    pthread_mutex_init(&tls->lock, NULL);
    tls->context = skua_tls_context_ref(context);
    tls->fd = -1;
    ERR_clear_error();
    tls->ssl = SSL_new(context->ssl_ctx);
    if (tls->ssl == NULL || skua_tls_bio_attach(tls) < 0 || SSL_set_app_data(tls->ssl, tls) != 1)
        return skua_tls_note(&handshake->error, -ENOMEM, "no memory for a connection", NULL);
    if (!handshake->is_server)
        return set_client(tls, options, &handshake->error);
    SSL_set_accept_state(tls->ssl);
    return 0;
}

/* Over @below, or, without one, @fd. 0 or -errno. */
static int set_below(struct handshake *handshake, skua_stream *below, int fd)
{
    skua_tls *tls = handshake->tls;
    tls->below = below;
    tls->fd = fd;
    handshake->owns_below = below == NULL;
    return handshake->owns_below ? renew_below(tls, 0, SKUA_STREAM_KEEP_FDS) : 0;
}

/* After the handshake: the stream below is for good, and has the descriptor. */
static int settle(struct handshake *handshake)
{
    skua_tls *tls = handshake->tls;
    tls->visible = tls->in.end;
    return handshake->owns_below ? renew_below(tls, 0, 0) : 0;
}

static void undo(struct handshake *handshake)
{
    skua_tls *tls = handshake->tls;
    if (tls == NULL)
        return;
    if (handshake->owns_below)
        (void)skua_stream_abort(tls->below);
    skua_tls_free(tls);
}

/* Stores the reason, in words that are there already or those of the number. */
static void tell(skua_tls_error *error, const struct handshake *handshake, int rc)
{
    if (error == NULL)
        return;
    if (handshake->error.result == rc) {
        *error = handshake->error;
        return;
    }
    const char *words = rc == -ETIMEDOUT   ? "the handshake did not end in time"
                        : rc == -ECANCELED ? "the handshake was cancelled"
                                           : strerrordesc_np(-rc);
    (void)skua_tls_note_plain(error, rc, words != NULL ? words : "the connection failed");
}

struct where {
    skua_stream *below;
    int fd;
};

static int establish(skua_tls_context *context, struct where where, bool is_server,
                     const skua_tls_options *options, skua_tls **out)
{
    const skua_tls_options none = {0};
    options = options != NULL ? options : &none;
    if (context == NULL || out == NULL || (where.below == NULL && where.fd < 0) ||
        !is_valid(context, options, is_server)) {
        int rc = where.below == NULL && where.fd < 0 && context != NULL ? -EBADF : -EINVAL;
        return skua_tls_note_plain(options->error, rc, "an argument is not valid");
    }
    uint64_t timeout_ns = options->timeout_ns != 0 ? options->timeout_ns : TIMEOUT_NS;
    struct handshake handshake = {.is_server = is_server, .deadline_ns = skua_after(timeout_ns)};
    int rc = make(context, options, &handshake);
    if (rc == 0)
        rc = set_below(&handshake, where.below, where.fd);
    if (rc == 0)
        rc = shake_in_time(&handshake);
    if (rc == 0)
        rc = settle(&handshake);
    if (rc == 0) {
        *out = handshake.tls;
        return 0;
    }
    tell(options->error, &handshake, rc);
    undo(&handshake);
    return rc;
}

int skua_tls_connect(skua_tls_context *context, int fd, const skua_tls_options *options,
                     skua_tls **tls)
{
    return establish(context, (struct where){.fd = fd}, false, options, tls);
}

int skua_tls_connect_over(skua_tls_context *context, skua_stream *below,
                          const skua_tls_options *options, skua_tls **tls)
{
    if (below == NULL)
        return -EINVAL;
    return establish(context, (struct where){.below = below, .fd = -1}, false, options, tls);
}

int skua_tls_accept(skua_tls_context *context, int fd, const skua_tls_options *options,
                    skua_tls **tls)
{
    return establish(context, (struct where){.fd = fd}, true, options, tls);
}

int skua_tls_accept_over(skua_tls_context *context, skua_stream *below,
                         const skua_tls_options *options, skua_tls **tls)
{
    if (below == NULL)
        return -EINVAL;
    return establish(context, (struct where){.below = below, .fd = -1}, true, options, tls);
}
