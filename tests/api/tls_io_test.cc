/*
 * Tests bytes over TLS: streams, both directions at once, ends and what is no end, cancels, and the
 * messages of the protocol that come between the bytes.
 */
#include "support/tls_kit.h"

#include <openssl/ssl.h>
#include <thread>

using namespace skua_test;

namespace
{

class TlsIo : public testing::Test
{
  protected:
    TlsIo()
    {
        Certificates::get();
    }
    FdGuard fds_;
    HangGuard hang_;
};

/* Two ends that have shaken hands, of that version at most. */
struct Talk {
    Context server_context;
    Context client_context;
    Pair pair;
    End &client = pair.client;
    End &server = pair.server;

    static skua_tls_context_options upTo(int version)
    {
        skua_tls_context_options how = clientHow();
        how.max_version = version;
        return how;
    }
    explicit Talk(int version = 0)
        : server_context(serverHow()), client_context(upTo(version)),
          pair(client_context, server_context)
    {
        EXPECT_EQ(client.rc, 0) << client.error.text;
        EXPECT_EQ(server.rc, 0) << server.error.text;
    }
};

/* A stream over an end. */
class Over
{
  public:
    explicit Over(End &end, const skua_stream_options &options = {})
    {
        EXPECT_EQ(skua_tls_stream_open(end.tls, &options, &stream_), 0);
        end.tls = nullptr;
    }
    Over(const Over &) = delete;
    Over &operator=(const Over &) = delete;
    ~Over()
    {
        EXPECT_EQ(skua_stream_abort(stream_), 0);
    }
    operator skua_stream *() const
    {
        return stream_;
    }
    int close()
    {
        return skua_stream_close(std::exchange(stream_, nullptr));
    }

  private:
    skua_stream *stream_ = nullptr;
};

std::string lineOf(skua_stream *stream)
{
    char *line = nullptr;
    int rc = skua_stream_next_line(stream, &line, nullptr);
    return rc == 1 ? line : std::to_string(rc);
}

} /* namespace */

TEST_F(TlsIo, AStreamOverTlsHasLinesAndBuffers)
{
    runInTask([] {
        Talk talk;
        Over client(talk.client);
        Over server(talk.server);
        EXPECT_EQ(skua_stream_printf(client, "GET %s\r\nHost: %s\r\n", "/", "x"), 16);
        EXPECT_EQ(skua_stream_flush(client), 0);
        EXPECT_EQ(lineOf(server), "GET /");
        EXPECT_EQ(lineOf(server), "Host: x");
        EXPECT_EQ(skua_stream_write(server, "end", 3), 3);
        EXPECT_EQ(server.close(), 0) << "sends what is buffered";
        char bytes[16];
        EXPECT_EQ(skua_stream_read_exactly(client, bytes, 16), 3);
        EXPECT_EQ(skua_stream_read(client, bytes, 16), 0);
        EXPECT_TRUE(skua_stream_at_eof(client));
    });
}

TEST_F(TlsIo, ACloseIsTheEndAndAnAbortIsNot)
{
    for (int version : {SKUA_TLS_1_2, SKUA_TLS_1_3})
        runInTask([&] {
            Talk closed(version);
            EXPECT_EQ(closed.server.write("all"), 3);
            EXPECT_EQ(closed.server.close(), 0);
            EXPECT_EQ(closed.client.read(), "all");
            EXPECT_EQ(closed.client.read(), "");
            EXPECT_EQ(closed.client.read(), "") << "it stays";

            Talk cut(version);
            EXPECT_EQ(cut.server.write("part"), 4);
            EXPECT_EQ(cut.server.abort(), 0);
            EXPECT_EQ(cut.client.read(), "part");
            EXPECT_EQ(cut.client.read(), std::to_string(-ECONNRESET));
            EXPECT_EQ(cut.client.read(), std::to_string(-ECONNRESET)) << "it stays";
            EXPECT_EQ(cut.client.why(), "the peer closed the connection without close_notify");
        });
}

TEST_F(TlsIo, AStreamThatIsAbortedDoesNotPretendToBeWhole)
{
    runInTask([] {
        for (bool aborts : {false, true}) {
            Talk talk;
            skua_stream *stream = nullptr;
            ASSERT_EQ(skua_tls_stream_open(talk.server.tls, nullptr, &stream), 0);
            talk.server.tls = nullptr;
            EXPECT_EQ(aborts ? skua_stream_abort(stream) : skua_stream_close(stream), 0);
            EXPECT_EQ(talk.client.read(), aborts ? std::to_string(-ECONNRESET) : "");
        }
    });
}

TEST_F(TlsIo, OneSideMayEndAndTheOtherGoOn)
{
    for (int version : {SKUA_TLS_1_2, SKUA_TLS_1_3})
        runInTask([&] {
            Talk talk(version);
            EXPECT_EQ(talk.client.write("question"), 8);
            EXPECT_EQ(skua_tls_shutdown_write(talk.client.tls), 0);
            EXPECT_EQ(skua_tls_shutdown_write(talk.client.tls), -EPIPE);
            EXPECT_EQ(talk.client.write("more"), -EPIPE);
            EXPECT_EQ(talk.server.read(), "question");
            EXPECT_EQ(talk.server.read(), "");
            EXPECT_EQ(talk.server.write("answer"), 6);
            EXPECT_EQ(talk.client.read(), "answer");
            EXPECT_EQ(talk.server.close(), 0);
            EXPECT_EQ(talk.client.read(), "");
        });
}

namespace
{

/* Sends all of @bytes in odd pieces, and receives @expected meanwhile. */
void exchange(skua_tls *tls, const std::string &bytes, const std::string &expected)
{
    auto send = [&]() -> intptr_t {
        size_t done = 0;
        for (size_t piece = 1; done < bytes.size(); piece = piece * 3 % 100003) {
            ssize_t n =
                skua_tls_write(tls, bytes.data() + done, std::min(piece, bytes.size() - done));
            if (n <= 0)
                return n;
            done += static_cast<size_t>(n);
        }
        return 0;
    };
    skua_future *sending = spawnBody(send);
    std::string received(expected.size(), '\0');
    size_t done = 0;
    while (done < received.size()) {
        ssize_t n = skua_tls_read(tls, &received[done], received.size() - done);
        if (n <= 0) {
            ADD_FAILURE() << n << " after " << done << " bytes";
            break;
        }
        done += static_cast<size_t>(n);
    }
    EXPECT_EQ(skua_await(sending), 0);
    EXPECT_TRUE(received == expected);
}

} /* namespace */

TEST_F(TlsIo, TenMegabytesGoBothWaysAtOnce)
{
    size_t size = size_t{SKUA_TESTS_SANITIZED ? 1 : 10} << 20;
    std::string up = patternBytes(size, 1);
    std::string down = patternBytes(size, 2);
    runInTask([&] {
        Talk talk;
        auto serve = [&]() -> intptr_t {
            exchange(talk.server.tls, down, up);
            return 0;
        };
        skua_future *serving = spawnBody(serve);
        exchange(talk.client.tls, up, down);
        EXPECT_EQ(skua_await(serving), 0);
        EXPECT_EQ(talk.client.close(), 0);
        EXPECT_EQ(talk.server.read(), "");
    });
}

TEST_F(TlsIo, KeysMayBeChangedWhileBytesGoBothWays)
{
    std::string up = patternBytes(200000, 1);
    std::string down = patternBytes(200000, 2);
    runInTask([&] {
        Talk talk(SKUA_TLS_1_3);
        for (int i = 0; i < 4; i++) {
            End &end = i % 2 == 0 ? talk.client : talk.server;
            auto *ssl = static_cast<SSL *>(skua_tls_native(end.tls));
            ASSERT_EQ(SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED), 1);
            auto serve = [&]() -> intptr_t {
                exchange(talk.server.tls, down, up);
                return 0;
            };
            skua_future *serving = spawnBody(serve);
            exchange(talk.client.tls, up, down);
            EXPECT_EQ(skua_await(serving), 0);
        }
    });
}

TEST_F(TlsIo, AReadThatIsCancelledLosesNothing)
{
    runInTask([] {
        Talk talk;
        for (int i = 0; i < 20; i++) {
            auto read = [&]() -> intptr_t {
                char bytes[10];
                return skua_tls_read(talk.client.tls, bytes, sizeof(bytes));
            };
            skua_future *reading = spawnBody(read);
            for (int n = 0; n < i; n++)
                skua_yield();
            skua_cancel(reading);
            EXPECT_EQ(skua_await(reading), -ECANCELED);
        }
        EXPECT_EQ(talk.server.write("still there"), 11);
        EXPECT_EQ(talk.client.read(), "still there");
    });
}

TEST_F(TlsIo, AWriteThatIsCancelledHasTakenWhatItSays)
{
    std::string bytes = patternBytes(size_t{8} << 20);
    runInTask([&] {
        Talk talk;
        std::atomic<size_t> taken{0};
        auto write = [&]() -> intptr_t {
            for (;;) { /* until the socket is full and the cancel comes */
                ssize_t n =
                    skua_tls_write(talk.server.tls, bytes.data() + taken, bytes.size() - taken);
                if (n < 0)
                    return n;
                taken += static_cast<size_t>(n);
            }
        };
        skua_future *writing = spawnBody(write);
        ASSERT_TRUE(yieldUntil([&] { return taken > 0; }));
        skua_cancel(writing);
        EXPECT_EQ(skua_await(writing), -ECANCELED);
        ASSERT_LT(taken, bytes.size());
        auto rest = [&]() -> intptr_t {
            while (taken < bytes.size()) {
                ssize_t n =
                    skua_tls_write(talk.server.tls, bytes.data() + taken, bytes.size() - taken);
                if (n < 0)
                    return n;
                taken += static_cast<size_t>(n);
            }
            return 0;
        };
        skua_future *going_on = spawnBody(rest);
        std::string received;
        while (received.size() < bytes.size()) {
            std::string piece = talk.client.read(20000);
            if (piece.size() < 4)
                break;
            received += piece;
        }
        EXPECT_EQ(skua_await(going_on), 0);
        EXPECT_TRUE(received == bytes) << received.size();
    });
}

namespace
{

/* A write of @bytes is cancelled when @writable bytes of ciphertext have gone. */
void flushAfterCancel(const std::string &bytes, size_t writable)
{
    runInTask([&] {
        SocketPair sockets;
        Limiter limiter(sockets.ends[0]);
        Context server(serverHow());
        Context client(clientHow());
        End one;
        End two;
        auto accept = [&, fd = sockets.take(1)]() -> intptr_t {
            return shakeOn(two, server, fd, true, {});
        };
        skua_future *accepting = spawnBody(accept);
        skua_tls_options options = to("localhost");
        ASSERT_EQ(skua_tls_connect_over(client, limiter.open(), &options, &one.tls), 0);
        ASSERT_EQ(skua_await(accepting), 0);
        limiter.writable = writable;
        auto write = [&]() -> intptr_t { return one.write(bytes); };
        skua_future *writing = spawnBody(write);
        ASSERT_TRUE(yieldUntil([&] { return limiter.has_stalled.load(); }));
        skua_cancel(writing);
        EXPECT_EQ(skua_await(writing), static_cast<intptr_t>(bytes.size())) << "sealed, so taken";
        limiter.writable = SIZE_MAX;
        EXPECT_EQ(skua_tls_flush(one.tls), 0);
        std::string received = two.read(20000);
        while (received.size() < bytes.size())
            received += two.read(20000);
        EXPECT_TRUE(received == bytes);
    });
}

} /* namespace */

TEST_F(TlsIo, WhatACancelledWriteHasTakenGoesWithAFlush)
{
    flushAfterCancel(patternBytes(30000), 10000);
}

TEST_F(TlsIo, WhatTheStreamBelowHasBufferedGoesWithAFlush)
{
    flushAfterCancel(patternBytes(100), 10);
}

TEST_F(TlsIo, TimeoutsOfAStreamWorkOverTls)
{
    runInTask([] {
        Talk talk;
        skua_stream_options options{};
        options.read_timeout_ns = 10 * SKUA_NS_PER_MS;
        Over client(talk.client, options);
        char byte;
        EXPECT_EQ(skua_stream_read(client, &byte, 1), -ETIMEDOUT);
        EXPECT_EQ(talk.server.write("x"), 1);
        EXPECT_EQ(skua_stream_read(client, &byte, 1), 1);
    });
}

TEST_F(TlsIo, ThreadsAndExecutorsTalkTlsAsTasksDo)
{
    for (Where where : {Where::task, Where::executor, Where::foreignThread}) {
        Context server(serverHow());
        Context client(clientHow());
        SocketPair sockets;
        int fd = sockets.take(1);
        std::thread peer([&] {
            End end;
            ASSERT_EQ(shakeOn(end, server, fd, true, {}), 0) << end.error.text;
            EXPECT_EQ(end.read(), "hello");
            EXPECT_EQ(end.write("world"), 5);
            EXPECT_EQ(end.close(), 0);
        });
        runIn(where, [&] {
            End end;
            ASSERT_EQ(shakeOn(end, client, sockets.take(0), false, to("localhost")), 0);
            EXPECT_EQ(end.write("hello"), 5);
            EXPECT_EQ(end.read(), "world");
            EXPECT_EQ(end.read(), "");
            EXPECT_EQ(end.close(), 0);
        });
        peer.join();
    }
}

namespace
{

/* Handshakes through a transport, then changes what the server sends. */
struct Forger {
    int fd;
    bool forges = false;
    static const skua_stream_transport *transport()
    {
        static const skua_stream_transport table = [] {
            skua_stream_transport made{};
            made.readv = [](void *user, const iovec *iov, unsigned) {
                auto *self = static_cast<Forger *>(user);
                ssize_t n = skua_recv(self->fd, iov->iov_base, iov->iov_len, 0);
                if (n > 0 && self->forges)
                    static_cast<char *>(iov->iov_base)[n - 1] ^= 1;
                return n;
            };
            made.writev = [](void *user, const iovec *iov, unsigned) {
                return skua_send(static_cast<Forger *>(user)->fd, iov->iov_base, iov->iov_len, 0);
            };
            return made;
        }();
        return &table;
    }
};

} /* namespace */

TEST_F(TlsIo, AForgedRecordEndsTheConnectionAndThePeerIsTold)
{
    runInTask([] {
        SocketPair sockets;
        Forger forger{sockets.ends[0]};
        Context server(serverHow());
        Context client(clientHow());
        End one;
        End two;
        auto accept = [&, fd = sockets.take(1)]() -> intptr_t {
            return shakeOn(two, server, fd, true, {});
        };
        skua_future *accepting = spawnBody(accept);
        skua_stream *below = nullptr;
        ASSERT_EQ(skua_stream_open_over(Forger::transport(), &forger, nullptr, &below), 0);
        skua_tls_options options = to("localhost");
        ASSERT_EQ(skua_tls_connect_over(client, below, &options, &one.tls), 0);
        ASSERT_EQ(skua_await(accepting), 0);
        EXPECT_EQ(two.write("true"), 4);
        forger.forges = true;
        EXPECT_EQ(one.read(), std::to_string(-EPROTO));
        EXPECT_NE(one.why().find("decryption failed or bad record mac"), std::string::npos);
        EXPECT_EQ(two.read(), std::to_string(-EPROTO)) << "told by the read alone";
        EXPECT_NE(two.why().find("bad record mac"), std::string::npos) << two.why();
        EXPECT_EQ(one.read(), std::to_string(-EPROTO)) << "it stays";
        EXPECT_EQ(one.write("x"), -EPROTO) << "for both directions";
        EXPECT_EQ(one.close(), 0);
    });
}

TEST_F(TlsIo, APeerThatIsGoneIsAnErrorAndNoSignal)
{
    runInTask([] {
        Talk talk;
        EXPECT_EQ(talk.server.abort(), 0);
        ssize_t n = 0;
        for (int i = 0; i < 100 && n >= 0; i++)
            n = talk.client.write("anybody there?");
        EXPECT_TRUE(n == -EPIPE || n == -ECONNRESET) << n;
    });
}

TEST_F(TlsIo, BytesThatWereBufferedBelowAreNotLost)
{
    runInTask([] {
        SocketPair sockets;
        Context server(serverHow());
        Context client(clientHow());
        End one;
        auto speak = [&, fd = sockets.take(1)]() -> intptr_t {
            skua_stream *plain = nullptr;
            EXPECT_EQ(skua_stream_open(fd, fd, nullptr, &plain), 0);
            EXPECT_EQ(lineOf(plain), "STARTTLS");
            End two;
            EXPECT_EQ(skua_tls_accept_over(server, plain, nullptr, &two.tls), 0);
            EXPECT_EQ(two.read(), "secret");
            return two.close();
        };
        /* All in one: the line and the ClientHello. */
        int fd = sockets.take(0);
        skua_stream *plain = nullptr;
        ASSERT_EQ(skua_stream_open(fd, fd, nullptr, &plain), 0);
        EXPECT_EQ(skua_stream_write(plain, "STARTTLS\n", 9), 9);
        skua_future *speaking = spawnBody(speak);
        skua_tls_options options = to("localhost");
        ASSERT_EQ(skua_tls_connect_over(client, plain, &options, &one.tls), 0);
        EXPECT_EQ(one.write("secret"), 6);
        EXPECT_EQ(one.read(), "");
        EXPECT_EQ(skua_await(speaking), 0);
        EXPECT_EQ(one.close(), 0);
    });
}

TEST_F(TlsIo, ManyConnectionsEchoAtOnce)
{
    const int kConnections = SKUA_TESTS_SANITIZED ? 16 : 64;
    runInTask([&] {
        Context server_context(serverHow());
        Context client_context(clientHow());
        auto one = [&]() -> intptr_t {
            Pair pair(client_context, server_context);
            Over client(pair.client);
            Over server(pair.server);
            auto echo = [&]() -> intptr_t {
                return skua_stream_copy(server, server, UINT64_MAX, nullptr);
            };
            skua_future *echoing = spawnBody(echo);
            for (int i = 0; i < 20; i++) {
                skua_stream_printf(client, "line %d\n", i);
                skua_stream_flush(client);
                EXPECT_EQ(lineOf(client), "line " + std::to_string(i));
            }
            EXPECT_EQ(skua_stream_shutdown_write(client), 0);
            EXPECT_EQ(skua_await(echoing), 0);
            EXPECT_EQ(server.close(), 0);
            EXPECT_EQ(lineOf(client), "0") << "the end";
            return 0;
        };
        std::vector<skua_future *> futures;
        for (int i = 0; i < kConnections; i++)
            futures.push_back(spawnBody(one));
        for (skua_future *future : futures)
            EXPECT_EQ(skua_await(future), 0);
    });
}
