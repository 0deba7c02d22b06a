/*
 * tls/tls_names.c - what is agreed on by name: protocols (ALPN) and certificates (SNI).
 *
 * The context of a connection is chosen at the ClientHello, before OpenSSL looks at anything else
 * in it: so the chosen one decides on sessions, too, and a session that was made under another
 * context's demands is not resumed under this one's.
 */
#include "tls/tls_impl.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES 255

/* ---- ALPN ------------------------------------------------------------------------------------ */

/* A server's choice: the first of its own that the client has as well. */
static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_size,
                       const unsigned char *offered, unsigned offered_size, void *arg)
{
    const skua_tls_context *context = arg;
    unsigned char *chosen;
    (void)ssl;
    if (SSL_select_next_proto(&chosen, out_size, context->alpn, context->alpn_size, offered,
                              offered_size) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

int skua_tls_set_alpn(skua_tls_context *context, const char *const *alpn, skua_tls_error *error)
{
    size_t size = 0;
    for (size_t i = 0; alpn != NULL && alpn[i] != NULL; i++) {
        size_t length = strlen(alpn[i]);
        if (length == 0 || length > NAME_MAX_BYTES || size > UINT16_MAX)
            return skua_tls_note_plain(error, -EINVAL, "a protocol's name is empty or too long");
        size += length + 1;
    }
    if (size == 0)
        return 0;
    context->alpn = malloc(size);
    if (context->alpn == NULL)
        return skua_tls_note_plain(error, -ENOMEM, "no memory for protocols");
    for (size_t i = 0; alpn[i] != NULL; i++) {
        size_t length = strlen(alpn[i]);
        context->alpn[context->alpn_size++] = (unsigned char)length;
        memcpy(context->alpn + context->alpn_size, alpn[i], length);
        context->alpn_size += (unsigned)length;
    }
    if (context->role == SKUA_TLS_SERVER)
        SSL_CTX_set_alpn_select_cb(context->ssl_ctx, select_alpn, context);
    else if (SSL_CTX_set_alpn_protos(context->ssl_ctx, context->alpn, context->alpn_size) != 0)
        return skua_tls_note(error, -ENOMEM, "protocols", NULL);
    return 0;
}

/* ---- a server's certificates ----------------------------------------------------------------- */

static bool fits(const char *pattern, const char *name)
{
    if (pattern[0] != '*')
        return strcmp(pattern, name) == 0;
    const char *rest = strchr(name, '.');
    return rest != NULL && rest != name && strcmp(pattern + 1, rest) == 0;
}

static void lower(char *name)
{
    for (; *name != '\0'; name++)
        *name = (char)tolower((unsigned char)*name);
}

static skua_tls_context *find(const skua_tls_context *context, const char *name)
{
    for (const struct skua_tls_name *entry = context->names; entry != NULL; entry = entry->next) {
        if (name != NULL && fits(entry->name, name))
            return entry->context;
    }
    return context->choose != NULL ? context->choose(name, context->choose_arg) : NULL;
}

/* The name in a ClientHello, RFC 6066: list size, type 0, size, bytes. False: none that is good. */
static bool read_name(SSL *ssl, char name[NAME_MAX_BYTES + 1])
{
    const unsigned char *data;
    size_t size;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &data, &size) != 1 || size < 5 ||
        data[2] != TLSEXT_NAMETYPE_host_name)
        return false;
    size_t length = (size_t)data[3] << 8 | data[4];
    if (length == 0 || length > NAME_MAX_BYTES || length + 5 > size ||
        memchr(data + 5, '\0', length) != NULL)
        return false;
    memcpy(name, data + 5, length);
    name[length] = '\0';
    lower(name);
    return true;
}

static int on_client_hello(SSL *ssl, int *alert, void *arg)
{
    char name[NAME_MAX_BYTES + 1];
    skua_tls *tls = SSL_get_app_data(ssl);
    skua_tls_context *other = find(arg, read_name(ssl, name) ? name : NULL);
    if (other == NULL || other == tls->context)
        return SSL_CLIENT_HELLO_SUCCESS;
    if (other->role != SKUA_TLS_SERVER || SSL_set_SSL_CTX(ssl, other->ssl_ctx) == NULL) {
        *alert = SSL_AD_INTERNAL_ERROR;
        return SSL_CLIENT_HELLO_ERROR;
    }
    /* What SSL_set_SSL_CTX() leaves as it was. */
    SSL_set_verify(ssl, SSL_CTX_get_verify_mode(other->ssl_ctx), NULL);
    (void)SSL_set_min_proto_version(ssl, SSL_CTX_get_min_proto_version(other->ssl_ctx));
    (void)SSL_set_max_proto_version(ssl, SSL_CTX_get_max_proto_version(other->ssl_ctx));
    skua_tls_context_unref(tls->chosen); /* a second ClientHello, after a HelloRetryRequest */
    tls->chosen = skua_tls_context_ref(other);
    return SSL_CLIENT_HELLO_SUCCESS;
}

/* Has the server say that it has seen the name. */
static int acknowledge_name(SSL *ssl, int *alert, void *arg)
{
    (void)alert;
    (void)arg;
    return SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name) != NULL ? SSL_TLSEXT_ERR_OK
                                                                      : SSL_TLSEXT_ERR_NOACK;
}

void skua_tls_set_choice(skua_tls_context *context)
{
    SSL_CTX_set_client_hello_cb(context->ssl_ctx, on_client_hello, context);
    SSL_CTX_set_tlsext_servername_callback(context->ssl_ctx, acknowledge_name);
}

int skua_tls_context_add_name(skua_tls_context *context, const char *name, skua_tls_context *other)
{
    if (context == NULL || name == NULL || other == NULL || context == other ||
        context->role != SKUA_TLS_SERVER || other->role != SKUA_TLS_SERVER || name[0] == '\0')
        return -EINVAL;
    struct skua_tls_name *entry = calloc(1, sizeof(*entry));
    char *copy = strdup(name);
    if (entry == NULL || copy == NULL) {
        free(entry);
        free(copy);
        return -ENOMEM;
    }
    lower(copy);
    entry->name = copy;
    entry->context = skua_tls_context_ref(other);
    *context->names_end = entry;
    context->names_end = &entry->next;
    return 0;
}

void skua_tls_free_names(skua_tls_context *context)
{
    while (context->names != NULL) {
        struct skua_tls_name *entry = context->names;
        context->names = entry->next;
        skua_tls_context_unref(entry->context);
        free(entry->name);
        free(entry);
    }
}

/* ---- a client's wish ------------------------------------------------------------------------- */

static bool is_address(const char *name)
{
    struct in6_addr bytes;
    return inet_pton(AF_INET, name, &bytes) == 1 || inet_pton(AF_INET6, name, &bytes) == 1;
}

/* @name is in lower case. */
static bool set_name(SSL *ssl, const char *name, bool checks)
{
    if (is_address(name))
        return !checks || X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set_tlsext_host_name(ssl, name) == 1 && (!checks || SSL_set1_host(ssl, name) == 1);
}

int skua_tls_set_server_name(skua_tls *tls, const char *name, bool checks)
{
    size_t length = strlen(name);
    if (length > 1 && name[length - 1] == '.')
        length--; /* the root's dot is in no certificate */
    if (length == 0 || length > NAME_MAX_BYTES)
        return -EINVAL;
    char *copy = strndup(name, length);
    if (copy == NULL)
        return -ENOMEM;
    lower(copy);
    bool is_set = set_name(tls->ssl, copy, checks);
    if (is_set && checks)
        tls->server_name = copy; /* a session without the check would spare others theirs */
    else
        free(copy);
    return is_set ? 0 : -ENOMEM;
}
