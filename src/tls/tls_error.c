/*
 * tls/tls_error.c - what OpenSSL's queue of errors says, as -errno and in words.
 *
 * The queue is the thread's own: these functions are called right after what has failed, with no
 * wait between. The first entry is the cause; later ones are what came of it.
 */
#include "tls/tls_impl.h"

#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <string.h>

#define ALERT_OFFSET 1000 /* of the reasons that are alerts of the peer: SSL_AD_REASON_OFFSET */
#define ALERT_MAX 255

int skua_tls_note_plain(skua_tls_error *error, int result, const char *what)
{
    if (error == NULL)
        return result;
    memset(error, 0, sizeof(*error));
    error->result = result;
    snprintf(error->text, sizeof(error->text), "%s", what);
    return result;
}

/* Whether it was the peer's certificate, and why. */
static bool note_certificate(skua_tls_error *error, const SSL *ssl)
{
    if (ssl == NULL || ERR_GET_LIB(error->code) != ERR_LIB_SSL ||
        ERR_GET_REASON(error->code) != SSL_R_CERTIFICATE_VERIFY_FAILED)
        return false;
    error->verify_code = (int)SSL_get_verify_result(ssl);
    error->result = -EKEYREJECTED;
    snprintf(error->text, sizeof(error->text), "certificate verify failed: %s",
             X509_verify_cert_error_string(error->verify_code));
    return true;
}

static void note_code(skua_tls_error *error, const char *what, const SSL *ssl)
{
    int reason = ERR_GET_REASON(error->code);
    if (note_certificate(error, ssl))
        return;
    if (ERR_GET_LIB(error->code) == ERR_LIB_SSL) {
        if (reason >= ALERT_OFFSET && reason <= ALERT_OFFSET + ALERT_MAX)
            error->alert = reason - ALERT_OFFSET;
        if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
            error->result = -EKEYREJECTED;
    }
    if (reason == ERR_R_MALLOC_FAILURE)
        error->result = -ENOMEM;
    if (ERR_GET_LIB(error->code) == ERR_LIB_SYS) {
        error->result = -reason;
        char reasons[64];
        snprintf(error->text, sizeof(error->text), "%s: %s", what,
                 strerror_r(reason, reasons, sizeof(reasons)));
        return;
    }
    const char *words = ERR_reason_error_string(error->code);
    snprintf(error->text, sizeof(error->text), "%s: %s", what,
             words != NULL ? words : "no reason given");
}

int skua_tls_note(skua_tls_error *error, int result, const char *what, const SSL *ssl)
{
    skua_tls_error mine;
    error = error != NULL ? error : &mine;
    memset(error, 0, sizeof(*error));
    error->result = result;
    error->code = ERR_peek_error();
    if (error->code != 0)
        note_code(error, what, ssl);
    else
        snprintf(error->text, sizeof(error->text), "%s", what);
    ERR_clear_error();
    return error->result;
}

int skua_tls_get_error(skua_tls *tls, skua_tls_error *error)
{
    if (tls == NULL || error == NULL)
        return -EINVAL;
    pthread_mutex_lock(&tls->lock);
    *error = tls->error;
    pthread_mutex_unlock(&tls->lock);
    return 0;
}
