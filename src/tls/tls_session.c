/*
 * tls/tls_session.c - sessions, which spare the next connection the certificates.
 *
 * A server keeps nothing: its tickets hold all, sealed with a key that lives as long as the
 * context.
 * A client keeps one session for each server name, in a small table; when it is full the next place
 * in turn is taken. A session of TLS 1.3 is offered once, so that nobody who listens can tell two
 * connections to be of one client; of TLS 1.2, again and again.
 */
#include "tls/tls_impl.h"

#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#define ID_BYTES 16

/* The place of @name, or NULL. The caller holds cache_lock. */
static struct skua_tls_cached *find(skua_tls_context *context, const char *name)
{
    for (unsigned i = 0; i < context->cache_count; i++) {
        if (strcmp(context->cache[i].name, name) == 0)
            return &context->cache[i];
    }
    return NULL;
}

/* A place for @name, whose entry is new or another's until now; NULL without memory. */
static struct skua_tls_cached *make_place(skua_tls_context *context, const char *name)
{
    char *copy = strdup(name);
    if (copy == NULL)
        return NULL;
    struct skua_tls_cached *place;
    if (context->cache_count < context->cache_max) {
        place = &context->cache[context->cache_count++];
    } else {
        place = &context->cache[context->cache_next++ % context->cache_max];
        free(place->name);
        SSL_SESSION_free(place->session);
    }
    place->name = copy;
    place->session = NULL;
    return place;
}

/* OpenSSL has a session that may be resumed. 1: the reference is ours now. */
static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
    skua_tls *tls = SSL_get_app_data(ssl);
    skua_tls_context *context = tls->context;
    if (tls->server_name == NULL)
        return 0;
    pthread_mutex_lock(&context->cache_lock);
    struct skua_tls_cached *place = find(context, tls->server_name);
    if (place == NULL)
        place = make_place(context, tls->server_name);
    if (place != NULL) {
        SSL_SESSION_free(place->session);
        place->session = session;
    }
    pthread_mutex_unlock(&context->cache_lock);
    return place != NULL;
}

/* A reference, or NULL. */
static SSL_SESSION *take_cached(skua_tls_context *context, const char *name)
{
    SSL_SESSION *session = NULL;
    pthread_mutex_lock(&context->cache_lock);
    struct skua_tls_cached *place = find(context, name);
    if (place != NULL && place->session != NULL) {
        session = place->session;
        if (SSL_SESSION_get_protocol_version(session) >= TLS1_3_VERSION)
            place->session = NULL;
        else
            SSL_SESSION_up_ref(session);
    }
    pthread_mutex_unlock(&context->cache_lock);
    return session;
}

void skua_tls_offer_session(skua_tls *tls, skua_tls_session *given)
{
    SSL_SESSION *session = (SSL_SESSION *)(void *)given;
    if (session != NULL)
        SSL_SESSION_up_ref(session);
    else if (tls->context->cache_max > 0 && tls->server_name != NULL)
        session = take_cached(tls->context, tls->server_name);
    if (session == NULL)
        return;
    (void)SSL_set_session(tls->ssl, session); /* else the handshake is a whole one */
    SSL_SESSION_free(session);
}

static int set_client_sessions(skua_tls_context *context, unsigned wanted, bool none)
{
    SSL_CTX *ssl_ctx = context->ssl_ctx;
    if (none) {
        SSL_CTX_set_session_cache_mode(ssl_ctx, SSL_SESS_CACHE_OFF);
        return 0;
    }
    context->cache = calloc(wanted, sizeof(*context->cache));
    if (context->cache == NULL)
        return -ENOMEM;
    context->cache_max = wanted;
    SSL_CTX_set_session_cache_mode(ssl_ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ssl_ctx, on_new_session);
    return 0;
}

int skua_tls_set_sessions(skua_tls_context *context, unsigned wanted, bool none)
{
    unsigned char id[ID_BYTES];
    SSL_CTX *ssl_ctx = context->ssl_ctx;
    if (context->role == SKUA_TLS_CLIENT)
        return set_client_sessions(context, wanted, none);
    SSL_CTX_set_session_cache_mode(ssl_ctx, SSL_SESS_CACHE_OFF);
    if (none) {
        SSL_CTX_set_options(ssl_ctx, SSL_OP_NO_TICKET);
        return SSL_CTX_set_num_tickets(ssl_ctx, 0) == 1 ? 0 : -ENOMEM;
    }
    /* Of this context only: another one's may have been given without its demands. */
    if (RAND_bytes(id, sizeof(id)) != 1 ||
        SSL_CTX_set_session_id_context(ssl_ctx, id, sizeof(id)) != 1)
        return -ENOMEM;
    return 0;
}

void skua_tls_free_sessions(skua_tls_context *context)
{
    for (unsigned i = 0; i < context->cache_count; i++) {
        free(context->cache[i].name);
        SSL_SESSION_free(context->cache[i].session);
    }
    free(context->cache);
}

int skua_tls_session_get(skua_tls *tls, skua_tls_session **session)
{
    if (tls == NULL || session == NULL)
        return -EINVAL;
    pthread_mutex_lock(&tls->lock);
    SSL_SESSION *found = SSL_get1_session(tls->ssl);
    pthread_mutex_unlock(&tls->lock);
    if (found == NULL || SSL_SESSION_is_resumable(found) != 1) {
        SSL_SESSION_free(found);
        return -ENODATA;
    }
    *session = (skua_tls_session *)(void *)found;
    return 0;
}

void skua_tls_session_unref(skua_tls_session *session)
{
    SSL_SESSION_free((SSL_SESSION *)(void *)session);
}
