/*
 * Tests contexts and handshakes of TLS: who is trusted, what is agreed on, sessions, and all that
 * can go wrong between two peers before they talk.
 */
#include "support/temp_dir.h"
#include "support/tls_kit.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <thread>

using namespace skua_test;

namespace
{

class Tls : public testing::Test
{
  protected:
    Tls()
    {
        certificates_ = &Certificates::get();
    }
    FdGuard fds_;
    HangGuard hang_;
    const Certificates *certificates_;
};

/* What creating a context says. */
struct Refusal {
    int rc;
    std::string text;

    explicit Refusal(const skua_tls_context_options &how)
    {
        skua_tls_error error{};
        skua_tls_context *context = nullptr;
        rc = skua_tls_context_create(&how, &error, &context);
        EXPECT_EQ(error.result, rc);
        EXPECT_EQ(context == nullptr, rc < 0);
        skua_tls_context_unref(context);
        text = error.text;
    }
};

bool has(const std::string &text, const std::string &part)
{
    return text.find(part) != std::string::npos;
}

} /* namespace */

/* ---- contexts -------------------------------------------------------------------------------- */

TEST_F(Tls, AContextSaysWhatIsWrongWithItsOptions)
{
    EXPECT_EQ(skua_tls_context_create(nullptr, nullptr, nullptr), -EINVAL);
    skua_tls_context_options how{};
    how.role = SKUA_TLS_SERVER;
    EXPECT_EQ(Refusal(how).rc, -EINVAL);
    EXPECT_EQ(Refusal(how).text, "there is no certificate");
    how = clientHow();
    how.reserved[3] = 1;
    EXPECT_EQ(Refusal(how).rc, -EINVAL);
    how = clientHow();
    how.min_version = 0x0302;
    EXPECT_EQ(Refusal(how).rc, -EINVAL);
    how = clientHow();
    how.min_version = SKUA_TLS_1_3;
    how.max_version = SKUA_TLS_1_2;
    EXPECT_EQ(Refusal(how).rc, -EINVAL);
    how = clientHow();
    how.ciphers = "NO-SUCH-CIPHER";
    EXPECT_EQ(Refusal(how).rc, -EINVAL);
    EXPECT_EQ(Refusal(how).text, "ciphers: no cipher match");
    const char *const empty_name[] = {"h2", "", nullptr};
    how = clientHow();
    how.alpn = empty_name;
    EXPECT_EQ(Refusal(how).rc, -EINVAL);
    how = clientHow();
    how.verify = SKUA_TLS_VERIFY_OPTIONAL;
    EXPECT_EQ(Refusal(how).rc, -EINVAL);
}

TEST_F(Tls, AContextSaysWhatIsWrongWithItsPem)
{
    skua_tls_context_options how = serverHow();
    how.key = pemOf(certificates_->second.key);
    EXPECT_EQ(Refusal(how).rc, -EBADMSG);
    EXPECT_EQ(Refusal(how).text, "our key: key values mismatch");
    how = serverHow();
    std::string cut = certificates_->server.certificate.substr(0, 300);
    how.certificate = pemOf(cut);
    EXPECT_EQ(Refusal(how).rc, -EBADMSG);
    EXPECT_TRUE(has(Refusal(how).text, "our certificate: ")) << Refusal(how).text;
    std::string nothing = "nothing\n";
    how = clientHow(nothing);
    EXPECT_EQ(Refusal(how).rc, -EBADMSG);
    how = clientHow();
    how.ca = skua_tls_pem{"/nowhere/ca.pem", nullptr, 0};
    EXPECT_EQ(Refusal(how).rc, -ENOENT);
    EXPECT_EQ(Refusal(how).text, "trusted certificates: No such file or directory");
}

TEST_F(Tls, CertificatesAndKeysMayBeInFilesOrInOnePem)
{
    TempDir dir;
    const Identity &server = certificates_->server;
    writeFile(dir.file("both.pem"), server.certificate + server.key);
    writeFile(dir.file("cert.pem"), server.certificate);
    writeFile(dir.file("key.pem"), server.key);
    writeFile(dir.file("ca.pem"), certificates_->other_ca.certificate + "\n# two of them\n" +
                                      certificates_->ca.certificate);
    std::string both = dir.file("both.pem"), cert = dir.file("cert.pem"), key = dir.file("key.pem"),
                ca = dir.file("ca.pem");
    runInTask([&] {
        skua_tls_context_options how{};
        how.role = SKUA_TLS_SERVER;
        how.certificate.file = both.c_str();
        Context one(how);
        how.certificate.file = cert.c_str();
        how.key.file = key.c_str();
        Context two(how);
        how = skua_tls_context_options{};
        how.ca.file = ca.c_str();
        Context client(how);
        Pair(client, one).expectEcho();
        Pair(client, two).expectEcho();
    });
}

TEST_F(Tls, AKeyWithAPasswordNeedsIt)
{
    BIO *bio = BIO_new_mem_buf(certificates_->server.key.data(), -1);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, nullptr, nullptr, nullptr);
    BIO_free(bio);
    bio = BIO_new(BIO_s_mem());
    char password[] = "sesame";
    PEM_write_bio_PKCS8PrivateKey(bio, key, EVP_aes_128_cbc(), password, 6, nullptr, nullptr);
    char *data = nullptr;
    long size = BIO_get_mem_data(bio, &data);
    std::string locked(data, static_cast<size_t>(size));
    BIO_free(bio);
    EVP_PKEY_free(key);
    skua_tls_context_options how = serverHow();
    how.key = pemOf(locked);
    EXPECT_EQ(Refusal(how).rc, -EBADMSG);
    how.key_password = "wrong";
    EXPECT_EQ(Refusal(how).rc, -EBADMSG);
    how.key_password = "sesame";
    EXPECT_EQ(Refusal(how).rc, 0);
}

/* ---- verification ---------------------------------------------------------------------------- */

namespace
{

/* What a client says to a server with @identity, and the server then. */
void expectRefused(const Identity &identity, const char *name, const std::string &text,
                   const std::string &alert)
{
    runInTask([&] {
        Context server(serverHow(identity));
        Context client(clientHow());
        Pair pair(client, server, to(name));
        EXPECT_EQ(pair.client.rc, -EKEYREJECTED);
        EXPECT_EQ(pair.client.error.result, -EKEYREJECTED);
        EXPECT_NE(pair.client.error.verify_code, 0);
        EXPECT_EQ(pair.client.error.text, "certificate verify failed: " + text);
        EXPECT_EQ(pair.server.rc, -EPROTO);
        EXPECT_TRUE(has(pair.server.error.text, alert)) << pair.server.error.text;
        EXPECT_NE(pair.server.error.alert, 0);
    });
}

} /* namespace */

TEST_F(Tls, AnExpiredCertificateIsRefused)
{
    expectRefused(certificates_->expired, "localhost", "certificate has expired",
                  "certificate expired");
}

TEST_F(Tls, ACertificateOfTheFutureIsRefused)
{
    expectRefused(certificates_->early, "localhost", "certificate is not yet valid",
                  "bad certificate");
}

TEST_F(Tls, ASelfSignedCertificateIsRefused)
{
    expectRefused(certificates_->self_made, "localhost", "self-signed certificate", "unknown ca");
}

TEST_F(Tls, ACertificateOfAnotherCaIsRefused)
{
    expectRefused(certificates_->strange, "localhost", "unable to get local issuer certificate",
                  "unknown ca");
}

TEST_F(Tls, ACertificateOfAnotherHostIsRefused)
{
    expectRefused(certificates_->second, "localhost", "hostname mismatch", "bad certificate");
}

TEST_F(Tls, ACertificateOfAnotherAddressIsRefused)
{
    expectRefused(certificates_->server, "127.0.0.2", "IP address mismatch", "bad certificate");
}

TEST_F(Tls, NamesWildcardsAndAddressesAreFoundInACertificate)
{
    runInTask([&] {
        Context server(serverHow());
        Context client(clientHow());
        for (const char *name :
             {"localhost", "LOCALHOST", "localhost.", "any.wild.test", "127.0.0.1", "::1"})
            Pair(client, server, to(name)).expectEcho();
        Pair two_labels(client, server, to("a.b.wild.test"));
        EXPECT_EQ(two_labels.client.rc, -EKEYREJECTED);
    });
}

TEST_F(Tls, WithoutANameNothingIsTrustedUnlessThatWasAskedFor)
{
    runInTask([&] {
        Context server(serverHow(certificates_->second));
        Context client(clientHow());
        SocketPair sockets;
        skua_tls *tls = nullptr;
        skua_tls_error error{};
        skua_tls_options options{};
        options.error = &error;
        EXPECT_EQ(skua_tls_connect(client, sockets.ends[0], &options, &tls), -EINVAL);
        EXPECT_STREQ(error.text, "there is no server name to check");
        options.flags = SKUA_TLS_ANY_NAME;
        Pair pair(client, server, options);
        pair.expectEcho();
        options.server_name = "localhost";
        Pair(client, server, options).expectEcho();
        /* Nor did that leave a session that would spare others the check. */
        Pair again(client, server, to("localhost"));
        EXPECT_EQ(again.client.rc, -EKEYREJECTED);
    });
}

TEST_F(Tls, AClientThatDoesNotVerifyLearnsWhatItWouldHaveFound)
{
    runInTask([&] {
        Context server(serverHow(certificates_->self_made));
        skua_tls_context_options how = clientHow();
        how.verify = SKUA_TLS_VERIFY_NONE;
        Context client(how);
        Pair pair(client, server);
        pair.expectEcho();
        EXPECT_EQ(pair.client.info().verify_code, X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT);
        EXPECT_TRUE(pair.client.info().has_peer);
        EXPECT_FALSE(pair.server.info().has_peer);
    });
}

TEST_F(Tls, AServerMayAskForACertificate)
{
    runInTask([&] {
        skua_tls_context_options how = serverHow();
        how.ca = pemOf(certificates_->ca.certificate);
        how.verify = SKUA_TLS_VERIFY_REQUIRED;
        Context server(how);
        how.verify = SKUA_TLS_VERIFY_OPTIONAL;
        Context lenient(how);
        Context nobody(clientHow());
        how = clientHow();
        how.certificate = pemOf(certificates_->client.certificate);
        how.key = pemOf(certificates_->client.key);
        Context somebody(how);
        how.certificate = pemOf(certificates_->strange.certificate);
        how.key = pemOf(certificates_->strange.key);
        Context stranger(how);

        Pair good(somebody, server);
        good.expectEcho();
        char subject[64];
        unsigned char digest[32] = {0};
        EXPECT_EQ(skua_tls_peer_subject(good.server.tls, subject, sizeof(subject)), 16);
        EXPECT_STREQ(subject, "CN=client,O=Skua");
        EXPECT_EQ(skua_tls_peer_subject(good.server.tls, subject, 4), 16);
        EXPECT_STREQ(subject, "CN=");
        EXPECT_EQ(skua_tls_peer_fingerprint(good.server.tls, digest), 0);
        EXPECT_NE(digest[0] | digest[1] | digest[2] | digest[3], 0);

        Pair without(nobody, server);
        EXPECT_EQ(without.server.rc, -EKEYREJECTED);
        EXPECT_TRUE(has(without.server.error.text, "did not return a certificate"));
        EXPECT_EQ(without.client.read(), "-71") << "TLS 1.3: a client learns it when it reads";
        EXPECT_TRUE(has(without.client.why(), "certificate required")) << without.client.why();
        Pair strange(stranger, lenient);
        EXPECT_EQ(strange.server.rc, -EKEYREJECTED);
        EXPECT_TRUE(has(strange.server.error.text, "unable to get local issuer certificate"));
        Pair none(nobody, lenient);
        none.expectEcho();
        EXPECT_EQ(skua_tls_peer_subject(none.server.tls, subject, 4), -ENODATA);
        EXPECT_EQ(skua_tls_peer_fingerprint(none.server.tls, digest), -ENODATA);
    });
}

/* ---- what is agreed on ----------------------------------------------------------------------- */

TEST_F(Tls, VersionsAreAgreedOnOrNot)
{
    runInTask([&] {
        Context server(serverHow());
        skua_tls_context_options how = clientHow();
        how.max_version = SKUA_TLS_1_2;
        how.ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256";
        Context old_client(how);
        Pair old_pair(old_client, server);
        old_pair.expectEcho();
        EXPECT_STREQ(old_pair.client.info().version, "TLSv1.2");
        EXPECT_STREQ(old_pair.server.info().cipher, "ECDHE-ECDSA-AES128-GCM-SHA256");
        how = clientHow();
        how.ciphersuites = "TLS_CHACHA20_POLY1305_SHA256";
        Context new_client(how);
        Pair new_pair(new_client, server);
        new_pair.expectEcho();
        EXPECT_STREQ(new_pair.server.info().version, "TLSv1.3");
        EXPECT_STREQ(new_pair.client.info().cipher, "TLS_CHACHA20_POLY1305_SHA256");
        how = serverHow();
        how.min_version = SKUA_TLS_1_3;
        Context strict(how);
        Pair none(old_client, strict);
        EXPECT_EQ(none.server.rc, -EPROTO);
        EXPECT_TRUE(has(none.server.error.text, "unsupported protocol")) << none.server.error.text;
        EXPECT_EQ(none.client.rc, -EPROTO);
        EXPECT_EQ(none.client.error.alert, SSL_AD_PROTOCOL_VERSION);
    });
}

TEST_F(Tls, TheServerPicksTheProtocolItLikesBest)
{
    const char *const servers[] = {"h2", "http/1.1", nullptr};
    const char *const clients[] = {"http/1.1", "h2", nullptr};
    const char *const others[] = {"smtp", nullptr};
    runInTask([&] {
        skua_tls_context_options how = serverHow();
        how.alpn = servers;
        Context server(how);
        how = clientHow();
        how.alpn = clients;
        Context client(how);
        how.alpn = others;
        Context other(how);
        Context none(clientHow());
        Pair pair(client, server);
        pair.expectEcho();
        EXPECT_STREQ(pair.client.info().alpn, "h2");
        EXPECT_STREQ(pair.server.info().alpn, "h2");
        Pair silent(none, server);
        silent.expectEcho();
        EXPECT_STREQ(silent.server.info().alpn, "");
        Pair strange(other, server);
        EXPECT_EQ(strange.server.rc, -EPROTO);
        EXPECT_EQ(strange.client.rc, -EPROTO);
        EXPECT_EQ(strange.client.error.alert, SSL_AD_NO_APPLICATION_PROTOCOL);
    });
}

TEST_F(Tls, TheServerShowsTheCertificateOfTheNameThatIsAskedFor)
{
    const char *const protocol[] = {"of-second", nullptr};
    runInTask([&] {
        skua_tls_context_options how = serverHow(certificates_->second);
        how.alpn = protocol;
        Context second(how);
        Context server(serverHow());
        ASSERT_EQ(skua_tls_context_add_name(server, "Second.test", second), 0);
        EXPECT_EQ(skua_tls_context_add_name(server, "x", server), -EINVAL);
        how = clientHow();
        how.alpn = protocol;
        Context client(how);
        Pair to_second(client, server, to("second.test"));
        to_second.expectEcho();
        EXPECT_STREQ(to_second.server.info().server_name, "second.test");
        EXPECT_STREQ(to_second.server.info().alpn, "of-second");
        Pair to_first(client, server);
        to_first.expectEcho();
        EXPECT_STREQ(to_first.server.info().alpn, "");
    });
}

TEST_F(Tls, AFunctionMayChooseTheCertificateAndRunsOnNoWorker)
{
    struct Seen {
        skua_tls_context *second;
        std::string name{"not called"};
        std::thread::id thread{};
    };
    runInTask(
        [&] {
            Context second(serverHow(certificates_->second));
            Seen seen{second, {}, {}};
            skua_tls_context_options how = serverHow();
            how.choose_arg = &seen;
            how.choose = [](const char *name, void *arg) -> skua_tls_context * {
                auto *told = static_cast<Seen *>(arg);
                told->name = name ? name : "(none)";
                told->thread = std::this_thread::get_id();
                return told->name == "second.test" ? told->second : nullptr;
            };
            Context server(how);
            Context client(clientHow());
            Pair(client, server, to("second.test")).expectEcho();
            EXPECT_EQ(seen.name, "second.test");
            EXPECT_NE(seen.thread, std::this_thread::get_id()) << "of the only worker";
            Pair(client, server, to("127.0.0.1")).expectEcho();
            EXPECT_EQ(seen.name, "(none)") << "addresses are not sent";
        },
        1);
}

/* ---- sessions -------------------------------------------------------------------------------- */

TEST_F(Tls, TheSecondConnectionToAServerIsResumed)
{
    runInTask([&] {
        Context server(serverHow());
        for (int version : {SKUA_TLS_1_2, SKUA_TLS_1_3}) {
            skua_tls_context_options how = clientHow();
            how.max_version = version;
            Context client(how);
            for (bool expected : {false, true, true}) {
                Pair pair(client, server);
                pair.expectEcho();
                EXPECT_EQ(pair.client.info().resumed, expected);
                EXPECT_EQ(pair.server.info().resumed, expected);
                EXPECT_EQ(pair.client.close(), 0);
            }
            Pair elsewhere(client, server, to("127.0.0.1"));
            EXPECT_FALSE(elsewhere.client.info().resumed) << "another name";
        }
    });
}

TEST_F(Tls, WithoutSessionsNothingIsResumed)
{
    runInTask([&] {
        Context server(serverHow());
        skua_tls_context_options how = clientHow();
        how.flags = SKUA_TLS_NO_SESSIONS;
        Context client(how);
        Context keeping(clientHow());
        how = serverHow();
        how.flags = SKUA_TLS_NO_SESSIONS;
        Context forgetful(how);
        for (int i = 0; i < 2; i++) {
            Pair one(client, server);
            one.expectEcho();
            EXPECT_FALSE(one.client.info().resumed);
            Pair two(keeping, forgetful);
            two.expectEcho();
            EXPECT_FALSE(two.client.info().resumed);
        }
    });
}

TEST_F(Tls, ASessionMayBeKeptByHand)
{
    runInTask([&] {
        Context server(serverHow());
        skua_tls_context_options how = clientHow();
        how.flags = SKUA_TLS_NO_SESSIONS;
        Context client(how);
        skua_tls_session *session = nullptr;
        Pair first(client, server);
        EXPECT_EQ(skua_tls_session_get(first.client.tls, &session), -ENODATA) << "no ticket yet";
        first.expectEcho();
        ASSERT_EQ(skua_tls_session_get(first.client.tls, &session), 0);
        skua_tls_options options = to("localhost");
        options.session = session;
        Pair second(client, server, options);
        second.expectEcho();
        EXPECT_TRUE(second.client.info().resumed);
        skua_tls_session_unref(session);
    });
}

TEST_F(Tls, ASessionOfAnotherNameDoesNotSpareTheCertificateThatIsDemanded)
{
    for (int version : {SKUA_TLS_1_2, SKUA_TLS_1_3})
        runInTask([&] {
            skua_tls_context_options how = serverHow(certificates_->second);
            how.ca = pemOf(certificates_->ca.certificate);
            how.verify = SKUA_TLS_VERIFY_REQUIRED;
            Context strict(how);
            Context server(serverHow());
            ASSERT_EQ(skua_tls_context_add_name(server, "second.test", strict), 0);
            how = clientHow();
            how.max_version = version;
            Context client(how);
            Pair first(client, server);
            first.expectEcho();
            skua_tls_options options = to("second.test");
            ASSERT_EQ(skua_tls_session_get(first.client.tls, &options.session), 0);
            Pair second(client, server, options);
            EXPECT_EQ(second.server.rc, -EKEYREJECTED) << second.server.error.text;
            skua_tls_session_unref(options.session);
        });
}

TEST_F(Tls, ASmallCacheForgetsTheOldest)
{
    runInTask([&] {
        Context server(serverHow());
        skua_tls_context_options how = clientHow();
        how.session_cache_max = 2;
        Context client(how);
        for (const char *name : {"localhost", "127.0.0.1", "::1"})
            Pair(client, server, to(name)).expectEcho();
        EXPECT_FALSE(Pair(client, server, to("localhost")).client.info().resumed);
        EXPECT_TRUE(Pair(client, server, to("::1")).client.info().resumed);
    });
}

/* ---- what goes wrong on the way -------------------------------------------------------------- */

namespace
{

/* What a server says to a client that sends @bytes and, perhaps, ends. */
std::string refusalOf(const std::string &bytes, int expected, bool ends)
{
    End end;
    runInTask([&] {
        Context server(serverHow());
        SocketPair sockets;
        sockets.put(bytes);
        if (ends)
            shutdown(sockets.ends[1], SHUT_WR);
        EXPECT_EQ(shakeOn(end, server, sockets.take(0), true, {}), expected);
    });
    return end.error.text;
}

} /* namespace */

TEST_F(Tls, WhatIsNoClientHelloIsRefusedAtOnce)
{
    EXPECT_EQ(refusalOf("GET / HTTP/1.0\r\n\r\n", -EPROTO, false),
              "handshake failed: http request");
    EXPECT_TRUE(has(refusalOf(patternBytes(3000), -EPROTO, false), "handshake failed: "));
    EXPECT_TRUE(has(refusalOf(std::string("\x16\x03\x01\x00\x02\x01\x00", 7) + patternBytes(40),
                              -EPROTO, false),
                    "handshake failed: "));
    EXPECT_TRUE(has(refusalOf(std::string("\x16\x03\x01\xff\xff", 5), -EPROTO, false),
                    "handshake failed: "));
}

TEST_F(Tls, APeerThatLeavesInTheHandshakeIsAReset)
{
    EXPECT_EQ(refusalOf("", -ECONNRESET, true), "the peer closed the connection in the handshake");
    EXPECT_EQ(refusalOf(std::string("\x16\x03\x01\x01", 4), -ECONNRESET, true),
              "the peer closed the connection in the handshake");
}

TEST_F(Tls, AHandshakeHasADeadlineEverywhere)
{
    for (Where where : {Where::task, Where::executor, Where::foreignThread})
        runIn(where, [&] {
            Context server(serverHow());
            SocketPair sockets;
            sockets.put(std::string("\x16\x03\x01\x01\x00\x01", 6));
            End end;
            skua_tls_options options{};
            options.timeout_ns = 20 * SKUA_NS_PER_MS;
            uint64_t deadline = skua_after(options.timeout_ns);
            EXPECT_EQ(shakeOn(end, server, sockets.take(0), true, options), -ETIMEDOUT);
            EXPECT_GE(skua_now(), deadline);
            EXPECT_STREQ(end.error.text, "the handshake did not end in time");
        });
}

TEST_F(Tls, TheDeadlineOfAScopeEndsAHandshakeToo)
{
    runInTask([&] {
        Context client(clientHow());
        SocketPair sockets;
        End end;
        skua_scope scope;
        skua_scope_options options{};
        options.deadline_ns = skua_after(10 * SKUA_NS_PER_MS);
        ASSERT_EQ(skua_scope_open(&scope, &options), 0);
        EXPECT_EQ(shakeOn(end, client, sockets.take(0), false, to("localhost")), -ECANCELED);
        EXPECT_EQ(skua_scope_close(&scope), -ETIMEDOUT);
    });
}

namespace
{

/* Shakes hands through a limiter that stalls, with a good peer, and is cancelled there. */
void cancelAfter(skua_tls_context *client, skua_tls_context *server, bool is_server,
                 size_t readable, size_t writable)
{
    SocketPair sockets;
    Limiter limiter(sockets.ends[0]);
    limiter.readable = readable;
    limiter.writable = writable;
    End end;
    End peer;
    skua_tls_options options = is_server ? skua_tls_options{} : to("localhost");
    auto shake = [&]() -> intptr_t {
        skua_stream *below = limiter.open();
        end.rc = is_server ? skua_tls_accept_over(server, below, &options, &end.tls)
                           : skua_tls_connect_over(client, below, &options, &end.tls);
        if (end.rc < 0)
            skua_stream_abort(below);
        return end.rc;
    };
    auto answer = [&]() -> intptr_t { /* it may be cancelled before it begins */
                                      return shakeOn(peer, is_server ? client : server,
                                                     sockets.take(1), !is_server,
                                                     is_server ? to("localhost")
                                                               : skua_tls_options{});
    };
    skua_future *shaking = spawnBody(shake);
    skua_future *answering = spawnBody(answer);
    ASSERT_TRUE(yieldUntil([&] { return limiter.has_stalled.load(); }));
    skua_cancel(shaking);
    EXPECT_EQ(skua_await(shaking), -ECANCELED);
    skua_cancel(answering);
    (void)skua_await(answering);
}

} /* namespace */

TEST_F(Tls, AHandshakeMayBeCancelledWhereverItWaits)
{
    runInTask([&] {
        skua_tls_context_options how = serverHow();
        how.verify = SKUA_TLS_VERIFY_OPTIONAL;
        how.ca = pemOf(certificates_->ca.certificate);
        Context server(how);
        Context client(clientHow());
        for (bool is_server : {false, true}) {
            size_t step = is_server ? 37 : 111; /* a client sends less */
            for (size_t bytes = 0; bytes < (is_server ? 300u : 900u); bytes += step)
                cancelAfter(client, server, is_server, bytes, SIZE_MAX);
            for (size_t bytes = 0; bytes < (is_server ? 900u : 300u); bytes += 150)
                cancelAfter(client, server, is_server, SIZE_MAX, bytes);
        }
    });
}

TEST_F(Tls, APeerMaySendItsHandshakeByteByByteOrInPartsOfRecords)
{
    runInTask([&] {
        Context server(serverHow());
        for (size_t piece : {1, 2, 3, 50, 100, 300, 700}) {
            skua_tls_context_options how = clientHow();
            how.max_version = piece % 3 == 0 ? SKUA_TLS_1_2 : SKUA_TLS_1_3;
            Context client(how);
            SocketPair sockets;
            Limiter slow_client(sockets.ends[0]);
            Limiter slow_server(sockets.ends[1]);
            slow_client.piece = slow_server.piece = piece;
            End one;
            End two;
            auto accept = [&]() -> intptr_t {
                return skua_tls_accept_over(server, slow_server.open(), nullptr, &two.tls);
            };
            skua_future *future = spawnBody(accept);
            skua_tls_options options = to("localhost");
            ASSERT_EQ(skua_tls_connect_over(client, slow_client.open(), &options, &one.tls), 0);
            ASSERT_EQ(skua_await(future), 0);
            EXPECT_EQ(one.write("slowly"), 6);
            EXPECT_EQ(two.read(), "slowly");
        }
    });
}

TEST_F(Tls, ArgumentsThatAreNotValidAreRefusedAndNothingIsTaken)
{
    runInTask([&] {
        Context server(serverHow());
        Context client(clientHow());
        SocketPair sockets;
        skua_tls *tls = nullptr;
        skua_tls_options options = to("localhost");
        EXPECT_EQ(skua_tls_connect(nullptr, sockets.ends[0], &options, &tls), -EINVAL);
        EXPECT_EQ(skua_tls_connect(client, sockets.ends[0], &options, nullptr), -EINVAL);
        EXPECT_EQ(skua_tls_connect(client, -1, &options, &tls), -EBADF);
        EXPECT_EQ(skua_tls_connect(client, 9999, &options, &tls), -EBADF);
        EXPECT_EQ(skua_tls_connect(server, sockets.ends[0], &options, &tls), -EINVAL);
        EXPECT_EQ(skua_tls_accept(client, sockets.ends[0], nullptr, &tls), -EINVAL);
        EXPECT_EQ(skua_tls_accept_over(server, nullptr, nullptr, &tls), -EINVAL);
        options.reserved[0] = 1;
        EXPECT_EQ(skua_tls_connect(client, sockets.ends[0], &options, &tls), -EINVAL);
        options = to("");
        EXPECT_EQ(skua_tls_connect(client, sockets.ends[0], &options, &tls), -EINVAL);
        std::string long_name(300, 'x');
        options = to(long_name.c_str());
        EXPECT_EQ(skua_tls_connect(client, sockets.ends[0], &options, &tls), -EINVAL);
        EXPECT_EQ(tls, nullptr);
        EXPECT_EQ(skua_tls_read(nullptr, nullptr, 0), -EINVAL);
        EXPECT_EQ(skua_tls_close(nullptr), 0);
        EXPECT_EQ(skua_tls_native(nullptr), nullptr);
    });
}

TEST_F(Tls, HandshakesOfManyConnectionsGoOnAtOnce)
{
    const int kConnections = SKUA_TESTS_SANITIZED ? 20 : 100;
    runInTask([&] {
        Context server(serverHow());
        Context client(clientHow());
        auto one = [&]() -> intptr_t {
            Pair pair(client, server);
            pair.expectEcho();
            return pair.client.close() + pair.server.close();
        };
        std::vector<skua_future *> futures;
        for (int i = 0; i < kConnections; i++)
            futures.push_back(spawnBody(one));
        for (skua_future *future : futures)
            EXPECT_EQ(skua_await(future), 0);
    });
}

TEST_F(Tls, EverythingFitsInTheHalfOfADefaultStackThatIsGuaranteed)
{
    if (SKUA_TESTS_SANITIZED)
        GTEST_SKIP() << "sanitizers need more stack";
    Context server(serverHow(Certificates::rsa()));
    Context client(clientHow(Certificates::rsa().certificate));
    struct Work {
        skua_tls_context *contexts[2];
        int fds[2];
    };
    SocketPair sockets;
    Work work{{client, server}, {sockets.take(0), sockets.take(1)}};
    auto serve = [](void *arg) -> intptr_t {
        auto *w = static_cast<Work *>(arg);
        skua_tls *tls = nullptr;
        int rc = skua_tls_accept(w->contexts[1], w->fds[1], nullptr, &tls);
        static char bytes[1000];
        ssize_t n = rc < 0 ? rc : skua_tls_read(tls, bytes, sizeof(bytes));
        n = n < 0 ? n : skua_tls_write(tls, bytes, static_cast<size_t>(n));
        return n < 0 ? n : skua_tls_close(tls);
    };
    auto connect = [](void *arg) -> intptr_t {
        auto *w = static_cast<Work *>(arg);
        skua_tls *tls = nullptr;
        skua_tls_options options{};
        options.server_name = "localhost";
        int rc = skua_tls_connect(w->contexts[0], w->fds[0], &options, &tls);
        static char bytes[1000];
        ssize_t n = rc < 0 ? rc : skua_tls_write(tls, bytes, sizeof(bytes));
        n = n < 0 ? n : skua_tls_read(tls, bytes, sizeof(bytes));
        return n < 0 ? n : skua_tls_close(tls);
    };
    skua_options options{};
    options.workers = 2;
    Runtime runtime(options);
    skua_future *serving = skua_submit(runtime.get(), serve, &work);
    EXPECT_EQ(skua_await(skua_submit(runtime.get(), connect, &work)), 0);
    EXPECT_EQ(skua_await(serving), 0);
    skua_info info{};
    ASSERT_EQ(skua_runtime_info(runtime.get(), &info), 0);
    RecordProperty("stack_high_water_bytes", static_cast<int>(info.stack_high_water_bytes));
    EXPECT_LE(info.stack_high_water_bytes, 24u << 10);
}
