/*
 * Tests the addresses of skua/net.h, as text and of sockets, and listening at them.
 */
#include "support/fd_guard.h"
#include "support/hang_guard.h"
#include "support/net_kit.h"
#include "support/runtime_kit.h"
#include "support/temp_dir.h"

#include <arpa/inet.h>
#include <atomic>
#include <cerrno>
#include <fcntl.h>
#include <memory>
#include <net/if.h>
#include <random>
#include <sys/stat.h>
#include <sys/syscall.h>

/* What the kernel is made to refuse; the library's calls come here first. */
static std::atomic<bool> refuse_in6;
static std::atomic<bool> refuse_listen;

extern "C" __attribute__((visibility("default"))) int socket(int domain, int type,
                                                             int protocol) noexcept
{
    if (refuse_in6 && domain == AF_INET6) {
        errno = EAFNOSUPPORT;
        return -1;
    }
    return static_cast<int>(syscall(SYS_socket, domain, type, protocol));
}

extern "C" __attribute__((visibility("default"))) int listen(int fd, int backlog) noexcept
{
    if (refuse_listen) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return static_cast<int>(syscall(SYS_listen, fd, backlog));
}

using namespace skua_test;

namespace
{

/* ---- as text --------------------------------------------------------------------------------- */

/* Parses a copy with nothing behind it, so that a sanitizer sees a look too far. */
int parse(const std::string &text, skua_address *address)
{
    std::unique_ptr<char[]> copy(new char[text.size() + 1]);
    memcpy(copy.get(), text.c_str(), text.size() + 1);
    return skua_address_parse(copy.get(), address);
}

/* Whatever is read is written and read as the same. */
void expectRoundTrip(const skua_address &address)
{
    char text[SKUA_ADDRESS_TEXT_SIZE];
    ssize_t length = skua_address_format(&address, text, sizeof(text));
    ASSERT_GE(length, 0);
    ASSERT_EQ(strlen(text), static_cast<size_t>(length));
    skua_address again{};
    ASSERT_EQ(parse(text, &again), 0) << text;
    ASSERT_EQ(again, address) << text;
}

TEST(Address, IsWrittenAsItWasRead)
{
    const char *texts[] = {
        "127.0.0.1:80",
        "0.0.0.0:0",
        "255.255.255.255:65535",
        "[::1]:80",
        "[::]:0",
        "[2001:db8::1]:443",
        "[::ffff:1.2.3.4]:9",
        "[fe80::1%7]:80",
        "[fe80::1%4294967295]:1",
        "unix:",
        "unix:/run/a.sock",
        "unix:relative",
        "unix:./@odd",
        "unix:@name",
        "unix:@na me:1",
        "unix:/a:80",
    };
    for (const char *text : texts) {
        EXPECT_EQ(textOf(addressOf(text)), text);
        expectRoundTrip(addressOf(text));
    }
    for (size_t length = 1; length <= 107; length++) {
        EXPECT_EQ(textOf(addressOf("unix:" + std::string(length, 'p'))).size(), 5 + length);
        EXPECT_EQ(textOf(addressOf("unix:@" + std::string(length, 'p'))).size(), 6 + length);
    }
}

TEST(Address, HasWhatItsTextSays)
{
    skua_address address = addressOf("1.2.3.4:258");
    EXPECT_EQ(address.size, sizeof(sockaddr_in));
    EXPECT_EQ(address.in.sin_family, AF_INET);
    EXPECT_EQ(address.in.sin_addr.s_addr, htonl(0x01020304));
    EXPECT_EQ(address.in.sin_port, htons(258));

    address = addressOf("[2001:db8::ff]:65535");
    EXPECT_EQ(address.size, sizeof(sockaddr_in6));
    EXPECT_EQ(address.in6.sin6_family, AF_INET6);
    EXPECT_EQ(address.in6.sin6_addr.s6_addr[1], 0x01);
    EXPECT_EQ(address.in6.sin6_addr.s6_addr[15], 0xff);
    EXPECT_EQ(address.in6.sin6_port, htons(65535));
    EXPECT_EQ(address.in6.sin6_scope_id, 0u);

    EXPECT_EQ(addressOf(":80"), addressOf("[::]:80"));
    EXPECT_EQ(addressOf("[fe80::1%lo]:80").in6.sin6_scope_id, if_nametoindex("lo"));
    EXPECT_EQ(addressOf("[FE80:0::1]:80"), addressOf("[fe80::1]:80"));

    address = addressOf("unix:/a");
    EXPECT_EQ(address.size, offsetof(sockaddr_un, sun_path) + 3);
    EXPECT_STREQ(address.un.sun_path, "/a");
    address = addressOf("unix:@a");
    EXPECT_EQ(address.size, offsetof(sockaddr_un, sun_path) + 2);
    EXPECT_EQ(memcmp(address.un.sun_path, "\0a", 2), 0);
    EXPECT_EQ(addressOf("unix:").size, sizeof(sa_family_t));
}

TEST(Address, IsNothingElse)
{
    const char *texts[] = {
        "",
        ":",
        "80",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:x",
        "127.0.0.1:80x",
        "127.0.0.1:-1",
        "127.0.0.1:+1",
        "127.0.0.1: 1",
        " 127.0.0.1:1",
        "127.0.0.1:65536",
        "127.0.0.1:4294967376",
        "127.0.0.1:18446744073709551696",
        "127.0.0.1:080",
        "127.0.0.1:00",
        "127.0.0.01:80",
        "127.1:80",
        "0x7f.0.0.1:80",
        "2130706433:80",
        "256.0.0.1:80",
        "1.2.3.4.5:80",
        "localhost:80",
        "example.com:80",
        "*:80",
        "::1:80",
        "[::1]",
        "[::1]80",
        "[::1]:",
        "::1",
        "[]:80",
        "[:80",
        "]:80",
        "[::1:80",
        "::1]:80",
        "[[::1]]:80",
        "[1.2.3.4]:80",
        "[::1%]:80",
        "1.2.3.4%lo:80",
        "[:::1]:80",
        "[1:2:3:4:5:6:7:8:9]:80",
        "[g::1]:80",
        "[::1]:80:80",
        "unix",
        "unix/a",
        "UNIX:/a",
        "unix:@",
        "127.0.0.1:80 ",
        "[::1%1%2]:80x",
    };
    for (const char *text : texts) {
        skua_address address;
        memset(&address, 0x5a, sizeof(address));
        skua_address before = address;
        EXPECT_EQ(parse(text, &address), -EINVAL) << text;
        EXPECT_EQ(memcmp(&address, &before, sizeof(address)), 0) << text;
    }
}

TEST(Address, IsNotTooLongNorOfAnInterfaceThatIsNotThere)
{
    skua_address address;
    EXPECT_EQ(parse("unix:" + std::string(108, 'p'), &address), -EINVAL);
    EXPECT_EQ(parse("unix:@" + std::string(108, 'p'), &address), -EINVAL);
    EXPECT_EQ(parse("[" + std::string(500, '1') + "]:80", &address), -EINVAL);
    EXPECT_EQ(parse(std::string(500, '1') + ":80", &address), -EINVAL);
    EXPECT_EQ(parse("[fe80::1%" + std::string(90, 'x') + "]:80", &address), -EINVAL);
    EXPECT_EQ(parse("[fe80::1%skua-no]:80", &address), -ENODEV);
    EXPECT_EQ(parse("[fe80::1%0]:80", &address), -ENODEV);
    EXPECT_EQ(parse("[fe80::1%4294967296]:80", &address), -ENODEV);
    EXPECT_EQ(skua_address_parse(nullptr, &address), -EINVAL);
    EXPECT_EQ(skua_address_parse(":80", nullptr), -EINVAL);
}

TEST(Address, IsWrittenOnlyWhereThereIsRoom)
{
    skua_address address = addressOf("127.0.0.1:80");
    char text[16] = "untouched";
    EXPECT_EQ(skua_address_format(&address, text, 12), -ENOSPC);
    EXPECT_EQ(skua_address_format(&address, text, 0), -ENOSPC);
    EXPECT_STREQ(text, "untouched");
    EXPECT_EQ(skua_address_format(&address, text, 13), 12);
    EXPECT_STREQ(text, "127.0.0.1:80");
}

TEST(Address, IsNotWrittenIfNoTextStandsForIt)
{
    char text[SKUA_ADDRESS_TEXT_SIZE];
    auto format = [&](const skua_address &address) {
        return skua_address_format(&address, text, sizeof(text));
    };
    skua_address address = addressOf("unix:@abc");
    address.un.sun_path[2] = '\0';
    EXPECT_EQ(format(address), -EINVAL);
    address.size = offsetof(sockaddr_un, sun_path) + 1;
    EXPECT_EQ(format(address), -EINVAL);
    address = addressOf("unix:abc");
    address.un.sun_path[0] = '@';
    EXPECT_EQ(format(address), -EINVAL);
    address = addressOf("unix:" + std::string(107, 'p'));
    address.un.sun_path[107] = 'p';
    address.size = sizeof(sockaddr_un);
    EXPECT_EQ(format(address), -EINVAL);
    /* An abstract name that is longer than any that can be read. */
    address = addressOf("unix:@" + std::string(107, 'n'));
    reinterpret_cast<char *>(&address.storage)[address.size++] = 'n';
    EXPECT_EQ(format(address), -EINVAL);
    for (const char *each : {"1.2.3.4:5", "[::1]:5"}) {
        address = addressOf(each);
        address.size--;
        EXPECT_EQ(format(address), -EINVAL);
    }
    address.size = 0;
    EXPECT_EQ(format(address), -EINVAL);
    address.size = sizeof(address.storage) + 1;
    EXPECT_EQ(format(address), -EINVAL);
    address = addressOf(":80");
    address.any.sa_family = AF_NETLINK;
    EXPECT_EQ(format(address), -EAFNOSUPPORT);
    EXPECT_EQ(skua_address_format(nullptr, text, sizeof(text)), -EINVAL);
    EXPECT_EQ(skua_address_format(&address, nullptr, 0), -EINVAL);
}

class RandomAddress
{
  public:
    explicit RandomAddress(unsigned seed) : random_(seed)
    {
    }

    unsigned below(unsigned limit)
    {
        return static_cast<unsigned>(random_() % limit);
    }

    skua_address operator()()
    {
        skua_address address{};
        unsigned kind = below(4);
        if (kind == 0) {
            address.size = sizeof(address.in);
            address.in.sin_family = AF_INET;
            address.in.sin_port = static_cast<in_port_t>(random_());
            address.in.sin_addr.s_addr = static_cast<in_addr_t>(random_());
        } else if (kind == 1) {
            address.size = sizeof(address.in6);
            address.in6.sin6_family = AF_INET6;
            address.in6.sin6_port = static_cast<in_port_t>(random_());
            for (unsigned char &byte : address.in6.sin6_addr.s6_addr)
                byte = below(3) == 0 ? static_cast<unsigned char>(random_()) : 0;
            if (below(2) == 0)
                address.in6.sin6_scope_id = static_cast<uint32_t>(random_());
        } else {
            unsigned length = 1 + below(107);
            bool abstract = kind == 2;
            address.un.sun_family = AF_UNIX;
            for (unsigned i = 0; i < length; i++)
                address.un.sun_path[i + abstract] = static_cast<char>(1 + below(255));
            if (!abstract && address.un.sun_path[0] == '@')
                address.un.sun_path[0] = '/';
            address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + length);
        }
        return address;
    }

  private:
    std::mt19937 random_;
};

TEST(Address, OfAnyKindSurvivesItsText)
{
    RandomAddress random(1);
    for (int i = 0; i < 20000 && !testing::Test::HasFatalFailure(); i++)
        expectRoundTrip(random());
}

/* Texts that are nearly right. What is read of them must survive, and nothing may be overrun. */
TEST(Address, OfDamagedTextIsRefusedOrSurvives)
{
    static const char letters[] = "0123456789.:[]%@/unixlofae \xff";
    RandomAddress random(2);
    int read = 0;
    for (int i = 0; i < 50000 && !testing::Test::HasFatalFailure(); i++) {
        std::string text = textOf(random());
        for (unsigned changes = 1 + random.below(3); changes > 0; changes--) {
            size_t at = random.below(static_cast<unsigned>(text.size()) + 1);
            char letter = letters[random.below(sizeof(letters) - 1)];
            unsigned how = random.below(4);
            if (how == 0)
                text.insert(at, 1, letter);
            else if (how == 1 && at < text.size())
                text.erase(at, 1 + random.below(4));
            else if (how == 2 && at < text.size())
                text[at] = letter;
            else
                text.insert(at, text.substr(random.below(static_cast<unsigned>(at) + 1)));
        }
        skua_address address;
        int rc = parse(text, &address);
        ASSERT_TRUE(rc == 0 || rc == -EINVAL || rc == -ENODEV) << text;
        if (rc == 0) {
            read++;
            expectRoundTrip(address);
        }
    }
    EXPECT_GT(read, 1000);
    EXPECT_LT(read, 49000);
}

/* ---- listening ------------------------------------------------------------------------------- */

class Listen : public testing::TestWithParam<Where>
{
  protected:
    template <class Body> void run(Body &&body)
    {
        runIn(GetParam(), body);
    }

    FdGuard fds_;
    HangGuard hang_;
    TempDir dir_;
};

INSTANTIATE_TEST_SUITE_P(Everywhere, Listen, everywhere(), WhereName());

/* What listening at @text comes to; closed at once. */
int tryListen(const std::string &text, const skua_listen_options *options = nullptr)
{
    skua_address address = addressOf(text);
    int fd = skua_listen_at(&address, options);
    if (fd < 0)
        return fd;
    EXPECT_EQ(skua_close(fd), 0);
    return 0;
}

int dialed(const skua_address &address)
{
    int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(skua_connect(fd, &address.any, address.size), 0);
    return fd;
}

TEST_P(Listen, SocketsTellWhereTheyAreAndWhoTheirPeerIs)
{
    run([this] {
        for (const std::string &text : {std::string("127.0.0.1:0"), std::string("[::1]:0"),
                                        std::string("unix:"), "unix:" + dir_.file("socket")}) {
            Listener listener(text);
            EXPECT_TRUE(fcntl(listener.fd, F_GETFD) & FD_CLOEXEC);
            int client = dialed(listener.address);
            skua_address peer{};
            peer.size = sizeof(peer.storage);
            int server = skua_accept(listener.fd, &peer.any, &peer.size, 0);
            ASSERT_GE(server, 0);
            EXPECT_EQ(peer, ownAddress(client));
            EXPECT_EQ(textOf(peer).empty(), false);
            skua_address seen{};
            EXPECT_EQ(skua_address_of_peer(client, &seen), 0);
            EXPECT_EQ(seen, listener.address);
            EXPECT_EQ(addressOf(textOf(seen)), seen);
            EXPECT_EQ(skua_close(client), 0);
            EXPECT_EQ(skua_close(server), 0);
        }
        skua_address address{};
        EXPECT_EQ(skua_address_of_socket(-1, &address), -EBADF);
        EXPECT_EQ(skua_address_of_peer(-1, &address), -EBADF);
        EXPECT_EQ(skua_address_of_socket(0, nullptr), -EINVAL);
        EXPECT_EQ(skua_address_of_peer(0, nullptr), -EINVAL);
    });
}

TEST_P(Listen, AtAnyAddressBothFamiliesAreTaken)
{
    run([] {
        Listener listener(":0");
        ASSERT_NE(portOf(listener.address), 0u);
        std::string port = std::to_string(portOf(listener.address));
        for (const std::string &text : {"127.0.0.1:" + port, "[::1]:" + port}) {
            int client = dialed(addressOf(text));
            int server = skua_accept(listener.fd, nullptr, nullptr, 0);
            EXPECT_GE(server, 0);
            EXPECT_EQ(skua_close(client), 0);
            EXPECT_EQ(skua_close(server), 0);
        }
    });
}

TEST_P(Listen, WithoutIPv6AnyAddressIsThatOfIPv4)
{
    run([] {
        refuse_in6 = true;
        Listener listener(":0");
        EXPECT_EQ(listener.address.any.sa_family, AF_INET);
        EXPECT_EQ(listener.address.in.sin_addr.s_addr, htonl(INADDR_ANY));
        EXPECT_EQ(tryListen("[::1]:0"), -EAFNOSUPPORT);
        refuse_in6 = false;
    });
}

TEST_P(Listen, OnlyThoseWhoShareAPortHaveIt)
{
    run([] {
        skua_listen_options shared{};
        shared.flags = SKUA_LISTEN_REUSEPORT;
        Listener first("127.0.0.1:0", &shared);
        EXPECT_EQ(tryListen(textOf(first.address), &shared), 0);
        EXPECT_EQ(tryListen(textOf(first.address)), -EADDRINUSE);
    });
}

/* The server closes first, so that its end is in TIME_WAIT. */
TEST_P(Listen, APortThatWasJustUsedIsFree)
{
    run([] {
        std::string text;
        {
            Listener listener;
            text = textOf(listener.address);
            int client = dialed(listener.address);
            int server = skua_accept(listener.fd, nullptr, nullptr, 0);
            char byte;
            EXPECT_EQ(skua_close(server), 0);
            EXPECT_EQ(skua_recv(client, &byte, 1, 0), 0);
            EXPECT_EQ(skua_close(client), 0);
        }
        EXPECT_EQ(tryListen(text), 0);
    });
}

TEST_P(Listen, TheBacklogIsWhatWasAskedFor)
{
    run([] {
        skua_listen_options options{};
        options.backlog = 1;
        Listener listener("unix:", &options);
        int refused = 0;
        std::vector<int> clients;
        for (int i = 0; i < 4; i++) {
            int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
            refused += connect(fd, &listener.address.any, listener.address.size) < 0;
            clients.push_back(fd);
        }
        EXPECT_EQ(refused, 2);
        for (int fd : clients)
            close(fd);
    });
}

TEST_P(Listen, AStaleSocketFileIsReplacedIfAskedFor)
{
    run([this] {
        std::string text = "unix:" + dir_.file("socket");
        skua_listen_options replace{};
        replace.flags = SKUA_LISTEN_REPLACE;
        EXPECT_EQ(tryListen(text), 0); /* leaves the file */
        EXPECT_EQ(tryListen(text), -EADDRINUSE);
        EXPECT_EQ(tryListen(text, &replace), 0);
        Listener living(text, &replace);
        EXPECT_EQ(tryListen(text, &replace), -EADDRINUSE);
        EXPECT_EQ(skua_close(dialed(addressOf(text))), 0); /* and it still is there */
    });
}

TEST_P(Listen, NothingElseIsReplaced)
{
    run([this] {
        skua_listen_options replace{};
        replace.flags = SKUA_LISTEN_REPLACE;
        std::string path = dir_.file("file");
        writeFile(path, "contents");
        EXPECT_EQ(tryListen("unix:" + path, &replace), -EADDRINUSE);
        EXPECT_EQ(readFile(path), "contents");

        std::string link = dir_.file("link"); /* to a stale socket: the link is no socket */
        EXPECT_EQ(tryListen("unix:" + dir_.file("socket")), 0);
        ASSERT_EQ(symlink(dir_.file("socket").c_str(), link.c_str()), 0);
        EXPECT_EQ(tryListen("unix:" + link, &replace), -EADDRINUSE);
        EXPECT_EQ(access(link.c_str(), F_OK), 0);

        skua_address datagram = addressOf("unix:" + dir_.file("datagram"));
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        ASSERT_EQ(bind(fd, &datagram.any, datagram.size), 0);
        EXPECT_EQ(skua_listen_at(&datagram, &replace), -EADDRINUSE);
        EXPECT_EQ(access(datagram.un.sun_path, F_OK), 0);
        close(fd);

        BlackHole full("unix:" + dir_.file("full"));
        EXPECT_EQ(skua_listen_at(&full.address, &replace), -EADDRINUSE);
        EXPECT_EQ(access(full.address.un.sun_path, F_OK), 0);
    });
}

TEST_P(Listen, ASocketFileHasItsModeAndIsNotLeftByAFailure)
{
    run([this] {
        std::string path = dir_.file("socket");
        skua_listen_options options{};
        options.mode = 0620;
        refuse_listen = true;
        EXPECT_EQ(tryListen("unix:" + path, &options), -EOPNOTSUPP);
        refuse_listen = false;
        struct stat status {
        };
        EXPECT_NE(lstat(path.c_str(), &status), 0);
        Listener listener("unix:" + path, &options);
        ASSERT_EQ(lstat(path.c_str(), &status), 0);
        EXPECT_EQ(status.st_mode & 07777, 0620u);
    });
}

TEST_P(Listen, BadArgumentsAreRefused)
{
    run([] {
        skua_address address = addressOf("127.0.0.1:0");
        auto attempt = [&](auto &&change) {
            skua_listen_options options{};
            change(options);
            return skua_listen_at(&address, &options);
        };
        EXPECT_EQ(skua_listen_at(nullptr, nullptr), -EINVAL);
        EXPECT_EQ(attempt([](skua_listen_options &o) { o.flags = 4; }), -EINVAL);
        EXPECT_EQ(attempt([](skua_listen_options &o) { o.backlog = -1; }), -EINVAL);
        EXPECT_EQ(attempt([](skua_listen_options &o) { o.mode = 0600; }), -EINVAL);
        EXPECT_EQ(attempt([](skua_listen_options &o) { o.reserved[3] = 1; }), -EINVAL);
        EXPECT_EQ(attempt([](skua_listen_options &o) { o.reserved_mode = 1; }), -EINVAL);
        address = addressOf("unix:/tmp");
        EXPECT_EQ(attempt([](skua_listen_options &o) { o.mode = 01000; }), -EINVAL);
        EXPECT_EQ(attempt([](skua_listen_options &) {}), -EADDRINUSE);
        address.size = 0;
        EXPECT_EQ(attempt([](skua_listen_options &) {}), -EINVAL);
        address = addressOf("unix:/no/such/directory/socket");
        EXPECT_EQ(attempt([](skua_listen_options &) {}), -ENOENT);
    });
}

} // namespace
