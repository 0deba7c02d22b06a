/*
 * tls/tls_info.c - what a connection has agreed on, and who the peer is.
 */
#include "tls/tls_impl.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

int skua_tls_get_info(skua_tls *tls, skua_tls_info *info)
{
    if (tls == NULL || info == NULL)
        return -EINVAL;
    memset(info, 0, sizeof(*info));
    pthread_mutex_lock(&tls->lock);
    const unsigned char *alpn;
    unsigned alpn_size;
    SSL_get0_alpn_selected(tls->ssl, &alpn, &alpn_size);
    const char *name = SSL_get_servername(tls->ssl, TLSEXT_NAMETYPE_host_name);
    info->version = SSL_get_version(tls->ssl);
    info->cipher = SSL_get_cipher_name(tls->ssl);
    info->resumed = SSL_session_reused(tls->ssl) == 1;
    info->has_peer = SSL_get0_peer_certificate(tls->ssl) != NULL;
    info->verify_code = (int)SSL_get_verify_result(tls->ssl);
    if (alpn_size > 0 && alpn_size < sizeof(info->alpn))
        memcpy(info->alpn, alpn, alpn_size);
    if (name != NULL)
        snprintf(info->server_name, sizeof(info->server_name), "%s", name);
    pthread_mutex_unlock(&tls->lock);
    return 0;
}

/* A reference to the peer's certificate, or NULL. */
static X509 *peer_of(skua_tls *tls)
{
    pthread_mutex_lock(&tls->lock);
    X509 *peer = SSL_get1_peer_certificate(tls->ssl);
    pthread_mutex_unlock(&tls->lock);
    return peer;
}

ssize_t skua_tls_peer_subject(skua_tls *tls, char *text, size_t size)
{
    if (tls == NULL || (text == NULL && size > 0))
        return -EINVAL;
    X509 *peer = peer_of(tls);
    if (peer == NULL)
        return -ENODATA;
    ssize_t result = -ENOMEM;
    char *whole = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    if (bio != NULL &&
        X509_NAME_print_ex(bio, X509_get_subject_name(peer), 0, XN_FLAG_RFC2253) >= 0) {
        result = BIO_get_mem_data(bio, &whole);
        if (size > 0)
            snprintf(text, size, "%.*s", (int)result, result > 0 ? whole : "");
    }
    BIO_free(bio);
    X509_free(peer);
    ERR_clear_error();
    return result;
}

int skua_tls_peer_fingerprint(skua_tls *tls, unsigned char digest[32])
{
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    if (tls == NULL || digest == NULL)
        return -EINVAL;
    X509 *peer = peer_of(tls);
    if (peer == NULL)
        return -ENODATA;
    bool is_good = X509_digest(peer, EVP_sha256(), bytes, &size) == 1 && size == 32;
    X509_free(peer);
    ERR_clear_error();
    if (!is_good)
        return -ENOMEM;
    memcpy(digest, bytes, size);
    return 0;
}

void *skua_tls_native(skua_tls *tls)
{
    return tls != NULL ? tls->ssl : NULL;
}
