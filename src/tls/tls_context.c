/*
 * tls/tls_context.c - what connections have in common: an SSL_CTX, made from options, and counted
 * references to it.
 *
 * ORDERING
 *   DROP  the acquire-release decrement in skua_tls_context_unref(): who takes the last reference
 *         sees what all the others have done with the context. Taking one is relaxed: the caller
 *         has one already.
 */
#include "tls/tls_impl.h"

#include <skua/executor.h>
#include <skua/future.h>
#include <skua/scope.h>
#include <skua/task.h>

#include <stdlib.h>
#include <string.h>

#define CACHE_MAX 256u

static bool is_valid(const skua_tls_context_options *options)
{
    int least = options->min_version != 0 ? options->min_version : SKUA_TLS_1_2;
    int most = options->max_version != 0 ? options->max_version : SKUA_TLS_1_3;
    bool is_client = options->role == SKUA_TLS_CLIENT;
    for (size_t i = 0; i < sizeof(options->reserved) / sizeof(options->reserved[0]); i++) {
        if (options->reserved[i] != 0)
            return false;
    }
    return (is_client || options->role == SKUA_TLS_SERVER) &&
           options->verify <= SKUA_TLS_VERIFY_REQUIRED && least >= SKUA_TLS_1_2 && least <= most &&
           most <= SKUA_TLS_1_3 && (options->flags & ~SKUA_TLS_NO_SESSIONS) == 0 &&
           !(is_client && options->choose != NULL) &&
           !(is_client && options->verify == SKUA_TLS_VERIFY_OPTIONAL);
}

static int verify_mode(skua_tls_verify verify)
{
    if (verify == SKUA_TLS_VERIFY_REQUIRED)
        return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    return verify == SKUA_TLS_VERIFY_OPTIONAL ? SSL_VERIFY_PEER : SSL_VERIFY_NONE;
}

/* 0 or -errno. */
static int set_protocol(skua_tls_context *context, const skua_tls_context_options *options,
                        skua_tls_error *error)
{
    SSL_CTX *ssl_ctx = context->ssl_ctx;
    int least = options->min_version != 0 ? options->min_version : SKUA_TLS_1_2;
    SSL_CTX_set_options(ssl_ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(ssl_ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_verify(ssl_ctx, verify_mode(context->verify), NULL);
    if (SSL_CTX_set_min_proto_version(ssl_ctx, least) != 1 ||
        SSL_CTX_set_max_proto_version(ssl_ctx, options->max_version) != 1)
        return skua_tls_note(error, -EINVAL, "versions", NULL);
    if (options->ciphers != NULL && SSL_CTX_set_cipher_list(ssl_ctx, options->ciphers) != 1)
        return skua_tls_note(error, -EINVAL, "ciphers", NULL);
    if (options->ciphersuites != NULL &&
        SSL_CTX_set_ciphersuites(ssl_ctx, options->ciphersuites) != 1)
        return skua_tls_note(error, -EINVAL, "ciphersuites", NULL);
    return 0;
}

static int set_up(skua_tls_context *context, const skua_tls_context_options *options,
                  skua_tls_error *error)
{
    bool is_client = options->role == SKUA_TLS_CLIENT;
    context->ssl_ctx = SSL_CTX_new(is_client ? TLS_client_method() : TLS_server_method());
    context->bio_method = skua_tls_bio_method();
    if (context->ssl_ctx == NULL || context->bio_method == NULL)
        return skua_tls_note(error, -ENOMEM, "no memory for a context", NULL);
    int rc = set_protocol(context, options, error);
    if (rc == 0)
        rc = skua_tls_load_own(context->ssl_ctx, options, error);
    if (rc == 0)
        rc = skua_tls_load_trust(context->ssl_ctx, options, error);
    if (rc == 0)
        rc = skua_tls_set_alpn(context, options->alpn, error);
    if (rc < 0)
        return rc;
    if (!is_client)
        skua_tls_set_choice(context);
    unsigned wanted = options->session_cache_max != 0 ? options->session_cache_max : CACHE_MAX;
    rc = skua_tls_set_sessions(context, wanted, (options->flags & SKUA_TLS_NO_SESSIONS) != 0);
    return rc < 0 ? skua_tls_note(error, rc, "sessions", NULL) : 0;
}

static int create(const skua_tls_context_options *options, skua_tls_error *error,
                  skua_tls_context **out)
{
    skua_tls_context *context = calloc(1, sizeof(*context));
    if (context == NULL)
        return skua_tls_note_plain(error, -ENOMEM, "no memory for a context");
    atomic_init(&context->references, 1);
    pthread_mutex_init(&context->cache_lock, NULL);
    context->names_end = &context->names;
    context->role = options->role;
    context->choose = options->choose;
    context->choose_arg = options->choose_arg;
    context->verify = options->verify;
    if (context->verify == SKUA_TLS_VERIFY_DEFAULT)
        context->verify =
            options->role == SKUA_TLS_CLIENT ? SKUA_TLS_VERIFY_REQUIRED : SKUA_TLS_VERIFY_NONE;
    ERR_clear_error();
    int rc = set_up(context, options, error);
    if (rc < 0)
        skua_tls_context_unref(context);
    else
        *out = context;
    return rc;
}

/* ---- away from the workers ------------------------------------------------------------------- */

struct creation {
    const skua_tls_context_options *options;
    skua_tls_error *error;
    skua_tls_context **out;
    int rc;
};

static intptr_t run_creation(void *arg)
{
    struct creation *creation = arg;
    creation->rc = create(creation->options, creation->error, creation->out);
    return 0;
}

int skua_tls_context_create(const skua_tls_context_options *options, skua_tls_error *error,
                            skua_tls_context **context)
{
    skua_shield shield;
    if (options == NULL || context == NULL)
        return skua_tls_note_plain(error, -EINVAL, "an argument is NULL");
    if (!is_valid(options))
        return skua_tls_note_plain(error, -EINVAL, "the options contradict each other");
    if (skua_shield_open(&shield) < 0)
        return create(options, error, context); /* no task: the thread may well block */
    struct creation creation = {options, error, context, 0};
    intptr_t rc = skua_await(skua_run_in_executor(NULL, run_creation, &creation));
    (void)skua_shield_close(&shield);
    if (rc < 0)
        return skua_tls_note_plain(error, (int)rc, "the executor did not take the work");
    return creation.rc;
}

/* ---- references ------------------------------------------------------------------------------ */

skua_tls_context *skua_tls_context_ref(skua_tls_context *context)
{
    if (context != NULL)
        atomic_fetch_add_explicit(&context->references, 1, memory_order_relaxed);
    return context;
}

void skua_tls_context_unref(skua_tls_context *context)
{
    if (context == NULL ||
        atomic_fetch_sub_explicit(&context->references, 1, memory_order_acq_rel) != 1) /* DROP */
        return;
    skua_tls_free_names(context);
    skua_tls_free_sessions(context);
    SSL_CTX_free(context->ssl_ctx);
    BIO_meth_free(context->bio_method);
    free(context->alpn);
    pthread_mutex_destroy(&context->cache_lock);
    free(context);
}

void *skua_tls_context_native(skua_tls_context *context)
{
    return context != NULL ? context->ssl_ctx : NULL;
}
