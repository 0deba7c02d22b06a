/*
 * support/tls_kit.h - what tests of TLS share: certificates made on the spot, contexts with an end,
 * two ends that shake hands, transports that stall.
 */
#ifndef SKUA_TESTS_TLS_KIT_H
#define SKUA_TESTS_TLS_KIT_H

#include "support/stream_kit.h"

extern "C" {
#include <skua/tls.h>
}

#include <functional>
#include <memory>
#include <string>

namespace skua_test
{

/* PEM texts. */
struct Identity {
    std::string certificate;
    std::string key;
};

/* Made once for a process; keys are of P-256, which takes no time. */
struct Certificates {
    Identity ca;        /* of all the others, if nothing else is said */
    Identity other_ca;  /* whom nobody trusts */
    Identity server;    /* "localhost", "*.wild.test", 127.0.0.1 and ::1 */
    Identity second;    /* "second.test" */
    Identity expired;   /* "localhost", until yesterday */
    Identity early;     /* "localhost", from tomorrow on */
    Identity self_made; /* "localhost", by itself */
    Identity strange;   /* "localhost", by the other CA */
    Identity client;    /* "CN=client,O=Skua" */

    static const Certificates &get();
    /* "localhost", by itself, with a key of RSA, which takes a second to make. */
    static const Identity &rsa();
};

inline skua_tls_pem pemOf(const std::string &text)
{
    return skua_tls_pem{nullptr, text.data(), text.size()};
}

/* What a server and a client ask for, if nothing else is said. */
inline skua_tls_context_options serverHow(const Identity &own = Certificates::get().server)
{
    skua_tls_context_options how{};
    how.role = SKUA_TLS_SERVER;
    how.certificate = pemOf(own.certificate);
    how.key = pemOf(own.key);
    return how;
}

inline skua_tls_context_options
clientHow(const std::string &ca = Certificates::get().ca.certificate)
{
    skua_tls_context_options how{};
    how.role = SKUA_TLS_CLIENT;
    how.ca = pemOf(ca);
    return how;
}

class Context
{
  public:
    explicit Context(const skua_tls_context_options &how)
    {
        skua_tls_error error{};
        EXPECT_EQ(skua_tls_context_create(&how, &error, &context_), 0) << error.text;
    }
    Context(const Context &) = delete;
    Context &operator=(const Context &) = delete;
    ~Context()
    {
        skua_tls_context_unref(context_);
    }
    operator skua_tls_context *() const
    {
        return context_;
    }

  private:
    skua_tls_context *context_ = nullptr;
};

/* One end of a connection, or why there is none. Aborted at its end, if the test has not closed. */
struct End {
    skua_tls *tls = nullptr;
    int rc = 1;
    skua_tls_error error{};

    End() = default;
    End(const End &) = delete;
    End &operator=(const End &) = delete;
    ~End()
    {
        skua_tls_abort(tls);
    }
    int close()
    {
        return skua_tls_close(std::exchange(tls, nullptr));
    }
    int abort()
    {
        return skua_tls_abort(std::exchange(tls, nullptr));
    }
    skua_tls_info info() const
    {
        skua_tls_info info{};
        EXPECT_EQ(skua_tls_get_info(tls, &info), 0);
        return info;
    }
    std::string read(size_t size = 100) const
    {
        std::string bytes(size, '\0');
        ssize_t n = skua_tls_read(tls, &bytes[0], size);
        return n < 0 ? std::to_string(n) : bytes.substr(0, static_cast<size_t>(n));
    }
    ssize_t write(const std::string &bytes) const
    {
        return skua_tls_write(tls, bytes.data(), bytes.size());
    }
    std::string why() const
    {
        skua_tls_error now{};
        EXPECT_EQ(skua_tls_get_error(tls, &now), 0);
        return now.text;
    }
};

inline skua_tls_options to(const char *server_name)
{
    skua_tls_options options{};
    options.server_name = server_name;
    return options;
}

/* Shakes hands on @fd, which is closed if that fails. */
inline int shakeOn(End &end, skua_tls_context *context, int fd, bool is_server,
                   skua_tls_options options)
{
    options.error = &end.error;
    end.rc = is_server ? skua_tls_accept(context, fd, &options, &end.tls)
                       : skua_tls_connect(context, fd, &options, &end.tls);
    if (end.rc < 0)
        ::close(fd);
    return end.rc;
}

/* Two ends that have shaken hands, or tried to. Made in a task. */
struct Pair {
    End client;
    End server;

    Pair(skua_tls_context *client_context, skua_tls_context *server_context,
         const skua_tls_options &options = to("localhost"),
         const skua_tls_options &server_options = {})
    {
        SocketPair sockets;
        auto accept = [&, fd = sockets.take(1)]() -> intptr_t {
            shakeOn(server, server_context, fd, true, server_options);
            return 0;
        };
        skua_future *future = spawnBody(accept);
        shakeOn(client, client_context, sockets.take(0), false, options);
        EXPECT_EQ(skua_await(future), 0);
    }

    /* Something there and back: what was agreed on works, and a client has the tickets. */
    void expectEcho(const std::string &bytes = "ping")
    {
        ASSERT_EQ(client.rc, 0) << client.error.text;
        ASSERT_EQ(server.rc, 0) << server.error.text;
        EXPECT_EQ(client.write(bytes), static_cast<ssize_t>(bytes.size()));
        EXPECT_EQ(server.read(), bytes);
        EXPECT_EQ(server.write(bytes), static_cast<ssize_t>(bytes.size()));
        EXPECT_EQ(client.read(), bytes);
    }
};

/*
 * A transport over @fd that lets so many bytes through, reading pieces of a size, and then waits
 * until it is cancelled. Does not close the descriptor.
 */
struct Limiter {
    int fd;
    size_t readable = SIZE_MAX;
    size_t writable = SIZE_MAX;
    size_t piece = SIZE_MAX;
    std::atomic<bool> has_stalled{false};
    skua_event never = SKUA_EVENT_INIT;

    explicit Limiter(int of) : fd(of)
    {
    }
    static const skua_stream_transport *transport();

    /* Opens a stream over it. */
    skua_stream *open()
    {
        skua_stream *stream = nullptr;
        EXPECT_EQ(skua_stream_open_over(transport(), this, nullptr, &stream), 0);
        return stream;
    }

  private:
    ssize_t stall();
};

} /* namespace skua_test */

#endif /* SKUA_TESTS_TLS_KIT_H */
