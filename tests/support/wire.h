/*
 * support/wire.h - two connected sockets of one kind, ours and theirs, and what arrives there.
 */
#ifndef SKUA_TESTS_WIRE_H
#define SKUA_TESTS_WIRE_H

#include "support/net_kit.h"

#include <cerrno>
#include <cstring>
#include <string>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include <utility>

namespace skua_test
{

/* Made connected; closed with it. */
class Wire
{
  public:
    enum Kind { unixStream, unixPackets, tcp };

    explicit Wire(Kind kind)
    {
        if (kind == tcp) {
            connectTcp();
            return;
        }
        int type = kind == unixStream ? SOCK_STREAM : SOCK_SEQPACKET;
        EXPECT_EQ(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends_), 0);
    }
    Wire(const Wire &) = delete;
    Wire &operator=(const Wire &) = delete;
    ~Wire()
    {
        closeEnd(0);
        closeEnd(1);
    }

    int ours() const
    {
        return ends_[0];
    }
    int theirs() const
    {
        return ends_[1];
    }
    void closeEnd(int which)
    {
        int fd = std::exchange(ends_[which], -1);
        if (fd >= 0)
            close(fd);
    }

    /* What there is at their end now, up to @size bytes; one packet. */
    std::string take(size_t size) const
    {
        return takeFrom(theirs(), size);
    }
    static std::string takeFrom(int fd, size_t size)
    {
        std::string bytes(size, '\0');
        ssize_t n = recv(fd, &bytes[0], size, MSG_DONTWAIT);
        bytes.resize(n > 0 ? static_cast<size_t>(n) : 0);
        return bytes;
    }
    /* All until the end, which has been sent: TCP needs a moment for it. */
    static std::string takeAll(int fd)
    {
        std::string all;
        char buffer[4096];
        ssize_t n;
        timeval patience = {10, 0};
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
        while ((n = recv(fd, buffer, sizeof(buffer), 0)) > 0)
            all.append(buffer, static_cast<size_t>(n));
        EXPECT_EQ(n, 0) << strerror(errno);
        return all;
    }
    /* Fills the way to the other end with @block, as often as it goes: how many bytes. */
    size_t fill(const std::string &block) const
    {
        size_t sent = 0;
        ssize_t n;
        while ((n = send(ours(), block.data(), block.size(), MSG_DONTWAIT | MSG_NOSIGNAL)) > 0)
            sent += static_cast<size_t>(n);
        return sent;
    }
    /* Little room on the way. (A small window of TCP's would be one that opens slowly.) */
    void makeSmall() const
    {
        int size = 4096;
        EXPECT_EQ(setsockopt(ours(), SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
    }

  private:
    void connectTcp()
    {
        Listener listener;
        ends_[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        EXPECT_EQ(connect(ends_[0], &listener.address.any, listener.address.size), 0);
        ends_[1] = accept4(listener.fd, nullptr, nullptr, SOCK_CLOEXEC);
        EXPECT_GE(ends_[1], 0);
    }

    int ends_[2] = {-1, -1};
};

} /* namespace skua_test */

#endif /* SKUA_TESTS_WIRE_H */
