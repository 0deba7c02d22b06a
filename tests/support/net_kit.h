/*
 * support/net_kit.h - addresses and listeners for tests of the network, on this host alone.
 */
#ifndef SKUA_TESTS_NET_KIT_H
#define SKUA_TESTS_NET_KIT_H

#include <gtest/gtest.h>

extern "C" {
#include <skua/skua.h>
}

#include <cstring>
#include <ostream>
#include <string>
#include <unistd.h>
#include <vector>

inline bool operator==(const skua_address &a, const skua_address &b)
{
    return a.size == b.size && memcmp(&a.storage, &b.storage, a.size) == 0;
}

inline void PrintTo(const skua_address &address, std::ostream *out)
{
    char text[SKUA_ADDRESS_TEXT_SIZE];
    *out << (skua_address_format(&address, text, sizeof(text)) >= 0 ? text : "(no address)");
}

namespace skua_test
{

/* The address @text stands for. */
inline skua_address addressOf(const std::string &text)
{
    skua_address address{};
    EXPECT_EQ(skua_address_parse(text.c_str(), &address), 0) << text;
    return address;
}

inline std::string textOf(const skua_address &address)
{
    char text[SKUA_ADDRESS_TEXT_SIZE];
    ssize_t length = skua_address_format(&address, text, sizeof(text));
    EXPECT_GE(length, 0);
    return length >= 0 ? std::string(text, static_cast<size_t>(length)) : std::string();
}

/* The address @fd has. */
inline skua_address ownAddress(int fd)
{
    skua_address address{};
    EXPECT_EQ(skua_address_of_socket(fd, &address), 0);
    return address;
}

inline unsigned portOf(const skua_address &address)
{
    return ntohs(address.any.sa_family == AF_INET ? address.in.sin_port : address.in6.sin6_port);
}

/* A socket that listens at @text as long as this lives. */
struct Listener {
    int fd;
    skua_address address{};

    explicit Listener(const std::string &text = "127.0.0.1:0",
                      const skua_listen_options *options = nullptr)
    {
        skua_address at = addressOf(text);
        fd = skua_listen_at(&at, options);
        EXPECT_GE(fd, 0) << text;
        if (fd >= 0)
            address = ownAddress(fd);
    }
    Listener(const Listener &) = delete;
    Listener &operator=(const Listener &) = delete;
    ~Listener()
    {
        if (fd >= 0)
            close(fd);
    }
};

/* A port that is taken, but nobody listens there: it refuses. */
struct Refuser {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    skua_address address{};

    Refuser()
    {
        skua_address any = addressOf("127.0.0.1:0");
        EXPECT_EQ(bind(fd, &any.any, any.size), 0);
        address = ownAddress(fd);
    }
    Refuser(const Refuser &) = delete;
    Refuser &operator=(const Refuser &) = delete;
    ~Refuser()
    {
        close(fd);
    }
};

/* A listener whose backlog is full: it answers nobody. */
struct BlackHole {
    int fd;
    skua_address address{};
    std::vector<int> waiting;

    explicit BlackHole(const std::string &text = "127.0.0.1:0")
    {
        skua_address at = addressOf(text);
        fd = socket(at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        EXPECT_EQ(bind(fd, &at.any, at.size), 0);
        EXPECT_EQ(listen(fd, 0), 0);
        address = ownAddress(fd);
        for (int i = 0; i < 8; i++) {
            int client = socket(at.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
            (void)connect(client, &address.any, address.size);
            waiting.push_back(client);
        }
    }
    BlackHole(const BlackHole &) = delete;
    BlackHole &operator=(const BlackHole &) = delete;
    ~BlackHole()
    {
        for (int client : waiting)
            close(client);
        close(fd);
    }
};

} // namespace skua_test

#endif /* SKUA_TESTS_NET_KIT_H */
