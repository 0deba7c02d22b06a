/*
 * support/tls_kit.cc - making certificates; transports that stall.
 */
#include "support/tls_kit.h"

#include <ctime>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

namespace skua_test
{

namespace
{

constexpr long kDay = 24 * 60 * 60;

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;

struct Made {
    Key key{nullptr, EVP_PKEY_free};
    Certificate certificate{nullptr, X509_free};
};

/* What is to stand in a certificate. */
struct Wish {
    std::string subject; /* "CN=...": one or more, separated by commas */
    std::string names;   /* subjectAltName; "" for none */
    long from = -kDay;
    long until = 10 * kDay;
    bool is_ca = false;
    unsigned rsa_bits = 0;
};

std::string textOf(BIO *bio)
{
    char *data = nullptr;
    long size = BIO_get_mem_data(bio, &data);
    std::string text(data, static_cast<size_t>(size));
    BIO_free(bio);
    return text;
}

void setSubject(X509 *certificate, const std::string &subject)
{
    X509_NAME *name = X509_get_subject_name(certificate);
    for (size_t at = 0; at < subject.size();) {
        size_t end = std::min(subject.find(',', at), subject.size());
        size_t equals = subject.find('=', at);
        std::string value = subject.substr(equals + 1, end - equals - 1);
        X509_NAME_add_entry_by_txt(name, subject.substr(at, equals - at).c_str(), MBSTRING_ASC,
                                   reinterpret_cast<const unsigned char *>(value.c_str()), -1, -1,
                                   0);
        at = end + 1;
    }
}

void addExtension(X509 *certificate, X509 *issuer, int which, const std::string &value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(nullptr, &context, which, value.c_str());
    EXPECT_TRUE(extension && X509_add_ext(certificate, extension, -1) == 1) << value;
    X509_EXTENSION_free(extension);
}

/* @issuer NULL: by itself. */
Made make(const Wish &wish, const Made *issuer, Identity *identity)
{
    static long serial = 1000;
    Made made;
    made.key.reset(wish.rsa_bits ? EVP_RSA_gen(wish.rsa_bits) : EVP_EC_gen("P-256"));
    made.certificate.reset(X509_new());
    X509 *certificate = made.certificate.get();
    X509 *parent = issuer ? issuer->certificate.get() : certificate;
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
    X509_gmtime_adj(X509_getm_notBefore(certificate), wish.from);
    X509_gmtime_adj(X509_getm_notAfter(certificate), wish.until);
    setSubject(certificate, wish.subject);
    X509_set_issuer_name(certificate, X509_get_subject_name(parent));
    X509_set_pubkey(certificate, made.key.get());
    addExtension(certificate, parent, NID_basic_constraints,
                 wish.is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
    addExtension(certificate, parent, NID_subject_key_identifier, "hash");
    if (issuer)
        addExtension(certificate, parent, NID_authority_key_identifier, "keyid:always");
    if (wish.is_ca)
        addExtension(certificate, parent, NID_key_usage, "critical,keyCertSign,cRLSign");
    if (!wish.names.empty())
        addExtension(certificate, parent, NID_subject_alt_name, wish.names);
    EVP_PKEY *signer = issuer ? issuer->key.get() : made.key.get();
    EXPECT_GT(X509_sign(certificate, signer, EVP_sha256()), 0);

    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, certificate);
    identity->certificate = textOf(bio);
    bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(bio, made.key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    identity->key = textOf(bio);
    return made;
}

Certificates makeAll()
{
    const std::string local = "DNS:localhost,DNS:*.wild.test,IP:127.0.0.1,IP:::1";
    Certificates all;
    Wish ca_wish{"CN=Test CA", "", -kDay, 10 * kDay, true};
    Wish other_wish{"CN=Other CA", "", -kDay, 10 * kDay, true};
    Made ca = make(ca_wish, nullptr, &all.ca);
    Made other = make(other_wish, nullptr, &all.other_ca);
    make({"CN=localhost", local}, &ca, &all.server);
    make({"CN=second.test", "DNS:second.test"}, &ca, &all.second);
    make({"CN=localhost", local, -20 * kDay, -kDay}, &ca, &all.expired);
    make({"CN=localhost", local, kDay, 10 * kDay}, &ca, &all.early);
    make({"CN=localhost", local}, nullptr, &all.self_made);
    make({"CN=localhost", local}, &other, &all.strange);
    make({"O=Skua,CN=client", ""}, &ca, &all.client);
    return all;
}

} /* namespace */

const Certificates &Certificates::get()
{
    static const Certificates all = makeAll();
    return all;
}

const Identity &Certificates::rsa()
{
    static const Identity identity = [] {
        Identity made;
        make({"CN=localhost", "DNS:localhost", -kDay, kDay, false, 2048}, nullptr, &made);
        return made;
    }();
    return identity;
}

ssize_t Limiter::stall()
{
    has_stalled = true;
    return skua_event_wait(&never);
}

const skua_stream_transport *Limiter::transport()
{
    static const skua_stream_transport table = [] {
        skua_stream_transport made{};
        made.readv = [](void *user, const iovec *iov, unsigned) -> ssize_t {
            auto *self = static_cast<Limiter *>(user);
            size_t size = std::min({iov->iov_len, self->readable, self->piece});
            if (size == 0)
                return self->stall();
            ssize_t n = skua_recv(self->fd, iov->iov_base, size, 0);
            self->readable -= n > 0 && self->readable != SIZE_MAX ? static_cast<size_t>(n) : 0;
            return n;
        };
        made.writev = [](void *user, const iovec *iov, unsigned) -> ssize_t {
            auto *self = static_cast<Limiter *>(user);
            size_t size = std::min(iov->iov_len, self->writable);
            if (size == 0)
                return self->stall();
            ssize_t n = skua_send(self->fd, iov->iov_base, size, 0);
            self->writable -= n > 0 && self->writable != SIZE_MAX ? static_cast<size_t>(n) : 0;
            return n;
        };
        return made;
    }();
    return &table;
}

} /* namespace skua_test */
