/*
 * tls/tls_pem.c - certificates, keys and trusted roots from PEM text, in files or in memory.
 */
#include "tls/tls_impl.h"

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

#define OUR_CERTIFICATE "our certificate"
#define OUR_KEY "our key"
#define TRUSTED "trusted certificates"

static bool is_given(const skua_tls_pem *pem)
{
    return pem->file != NULL || pem->data != NULL;
}

/* NULL: the queue of errors says why. */
static BIO *open_pem(const skua_tls_pem *pem)
{
    if (pem->file != NULL)
        return BIO_new_file(pem->file, "r");
    return BIO_new_mem_buf(pem->data, (int)pem->size);
}

/* Instead of OpenSSL's, which asks the terminal. */
static int give_password(char *buffer, int size, int is_for_writing, void *user)
{
    const char *password = user;
    (void)is_for_writing;
    size_t length = password != NULL ? strnlen(password, (size_t)size + 1) : 0;
    if (password == NULL || length > (size_t)size)
        return -1;
    memcpy(buffer, password, length);
    return (int)length;
}

/* Whether reading stopped because there is nothing more in the text. */
static bool is_at_end(void)
{
    unsigned long code = ERR_peek_last_error();
    return ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
}

/* Those behind the first one. */
static bool add_chain(SSL_CTX *ssl_ctx, BIO *bio)
{
    X509 *link;
    while ((link = PEM_read_bio_X509(bio, NULL, give_password, NULL)) != NULL) {
        if (SSL_CTX_add0_chain_cert(ssl_ctx, link) != 1) {
            X509_free(link);
            return false;
        }
    }
    if (!is_at_end())
        return false;
    ERR_clear_error();
    return true;
}

static int load_certificate(SSL_CTX *ssl_ctx, const skua_tls_pem *pem, skua_tls_error *error)
{
    BIO *bio = open_pem(pem);
    if (bio == NULL)
        return skua_tls_note(error, -EBADMSG, OUR_CERTIFICATE, NULL);
    X509 *own = PEM_read_bio_X509_AUX(bio, NULL, give_password, NULL);
    bool is_good =
        own != NULL && SSL_CTX_use_certificate(ssl_ctx, own) == 1 && add_chain(ssl_ctx, bio);
    X509_free(own);
    BIO_free(bio);
    return is_good ? 0 : skua_tls_note(error, -EBADMSG, OUR_CERTIFICATE, NULL);
}

static int load_key(SSL_CTX *ssl_ctx, const skua_tls_pem *pem, const char *password,
                    skua_tls_error *error)
{
    BIO *bio = open_pem(pem);
    if (bio == NULL)
        return skua_tls_note(error, -EBADMSG, OUR_KEY, NULL);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, give_password, (void *)(uintptr_t)password);
    bool is_good = key != NULL && SSL_CTX_use_PrivateKey(ssl_ctx, key) == 1 &&
                   SSL_CTX_check_private_key(ssl_ctx) == 1;
    EVP_PKEY_free(key);
    BIO_free(bio);
    return is_good ? 0 : skua_tls_note(error, -EBADMSG, OUR_KEY, NULL);
}

int skua_tls_load_own(SSL_CTX *ssl_ctx, const skua_tls_context_options *options,
                      skua_tls_error *error)
{
    const skua_tls_pem *key = is_given(&options->key) ? &options->key : &options->certificate;
    if (!is_given(&options->certificate)) {
        if (options->role == SKUA_TLS_SERVER || is_given(&options->key))
            return skua_tls_note_plain(error, -EINVAL, "there is no certificate");
        return 0;
    }
    if (options->certificate.size > INT32_MAX || options->key.size > INT32_MAX)
        return skua_tls_note_plain(error, -EINVAL, "a PEM text is too long");
    int rc = load_certificate(ssl_ctx, &options->certificate, error);
    return rc < 0 ? rc : load_key(ssl_ctx, key, options->key_password, error);
}

/* ---- trust ----------------------------------------------------------------------------------- */

/* How many were added; -1: an error. */
static int add_roots(SSL_CTX *ssl_ctx, BIO *bio, bool are_named)
{
    int count = 0;
    X509 *root;
    while ((root = PEM_read_bio_X509_AUX(bio, NULL, give_password, NULL)) != NULL) {
        bool is_added = X509_STORE_add_cert(SSL_CTX_get_cert_store(ssl_ctx), root) == 1 &&
                        (!are_named || SSL_CTX_add_client_CA(ssl_ctx, root) == 1);
        X509_free(root);
        if (!is_added)
            return -1;
        count++;
    }
    if (count == 0 || !is_at_end())
        return -1;
    ERR_clear_error();
    return count;
}

static int load_roots(SSL_CTX *ssl_ctx, const skua_tls_context_options *options,
                      skua_tls_error *error)
{
    if (options->ca.size > INT32_MAX)
        return skua_tls_note_plain(error, -EINVAL, "a PEM text is too long");
    BIO *bio = open_pem(&options->ca);
    if (bio == NULL)
        return skua_tls_note(error, -EBADMSG, TRUSTED, NULL);
    int added = add_roots(ssl_ctx, bio, options->role == SKUA_TLS_SERVER);
    BIO_free(bio);
    return added < 0 ? skua_tls_note(error, -EBADMSG, TRUSTED, NULL) : 0;
}

int skua_tls_load_trust(SSL_CTX *ssl_ctx, const skua_tls_context_options *options,
                        skua_tls_error *error)
{
    bool asks = options->role == SKUA_TLS_CLIENT ? options->verify != SKUA_TLS_VERIFY_NONE
                                                 : options->verify > SKUA_TLS_VERIFY_NONE;
    if (is_given(&options->ca)) {
        int rc = load_roots(ssl_ctx, options, error);
        if (rc < 0)
            return rc;
    }
    if (options->ca_dir != NULL && SSL_CTX_load_verify_dir(ssl_ctx, options->ca_dir) != 1)
        return skua_tls_note(error, -EBADMSG, TRUSTED, NULL);
    if (is_given(&options->ca) || options->ca_dir != NULL || !asks)
        return 0;
    if (SSL_CTX_set_default_verify_paths(ssl_ctx) != 1)
        return skua_tls_note(error, -EBADMSG, TRUSTED, NULL);
    return 0;
}
