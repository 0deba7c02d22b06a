/*
 * Cancels every call of skua/socket.h that moves bytes or waits for them, at every moment of it
 * (support/cancel_sweep.h). Whatever the call then says must be true: bytes it did not report are
 * still there or were not sent, none was sent twice, and no descriptor is left.
 */
#include "support/cancel_sweep.h"
#include "support/stream_kit.h"
#include "support/wire.h"

#include <algorithm>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>

using namespace skua_test;

namespace
{

class SocketCancel : public SweepTest
{
};

INSTANTIATE_TEST_SUITE_P(At, SocketCancel, everyPace(), PaceName());

/* ---- receiving ------------------------------------------------------------------------------- */

using Receive = ssize_t (*)(int fd, char *buffer, size_t size);

ssize_t byRecv(int fd, char *buffer, size_t size)
{
    return skua_recv(fd, buffer, size, 0);
}

ssize_t byRecvWaitingForAll(int fd, char *buffer, size_t size)
{
    return skua_recv(fd, buffer, size, MSG_WAITALL);
}

ssize_t byRecvAll(int fd, char *buffer, size_t size)
{
    return skua_recv_all(fd, buffer, size);
}

ssize_t byRecvfrom(int fd, char *buffer, size_t size)
{
    sockaddr_storage from{};
    socklen_t from_size = sizeof(from);
    return skua_recvfrom(fd, buffer, size, 0, reinterpret_cast<sockaddr *>(&from), &from_size);
}

ssize_t byRecvmsg(int fd, char *buffer, size_t size)
{
    iovec iov[] = {{buffer, size / 2}, {buffer + size / 2, size - size / 2}};
    msghdr message{};
    message.msg_iov = iov;
    message.msg_iovlen = 2;
    return skua_recvmsg(fd, &message, 0);
}

/* The call receives some of the bytes that come in pieces; the rest must be there afterwards. */
class Receiving : public Scenario
{
  public:
    Receiving(Wire::Kind kind, Receive receive, size_t size)
        : wire_(kind), receive_(receive), buffer_(size, '\0')
    {
    }

    intptr_t call() override
    {
        return receive_(wire_.ours(), &buffer_[0], buffer_.size());
    }

    bool step() override
    {
        if (sent_ == kPieces)
            return false;
        std::string piece = kAll.substr(sent_++ * kPiece, kPiece);
        EXPECT_EQ(send(wire_.theirs(), piece.data(), piece.size(), MSG_NOSIGNAL),
                  static_cast<ssize_t>(piece.size()));
        return true;
    }

    void check(intptr_t result) override
    {
        expectCountOrCancel(result, buffer_.size());
        EXPECT_NE(result, 0) << "an end that nobody has made";
        while (step()) {
        }
        wire_.closeEnd(1);
        std::string all = buffer_.substr(0, bytesOf(result));
        if (result < 0) {
            EXPECT_EQ(buffer_, std::string(buffer_.size(), '\0'));
        }
        EXPECT_EQ(all + Wire::takeAll(wire_.ours()), kAll);
    }

  private:
    static constexpr size_t kPieces = 5;
    static constexpr size_t kPiece = 100;
    static inline const std::string kAll = patternBytes(kPieces * kPiece);

    Wire wire_;
    const Receive receive_;
    std::string buffer_;
    size_t sent_ = 0;
};

TEST_P(SocketCancel, NoByteIsLostToARecv)
{
    for (Wire::Kind kind : {Wire::unixStream, Wire::unixPackets, Wire::tcp}) {
        sweep<Receiving>(kind, byRecv, size_t{300});
        sweep<Receiving>(kind, byRecvfrom, size_t{150});
        sweep<Receiving>(kind, byRecvmsg, size_t{300});
    }
}

TEST_P(SocketCancel, NoByteIsLostToACallThatReceivesInPieces)
{
    for (Wire::Kind kind : {Wire::unixStream, Wire::tcp}) {
        sweep<Receiving>(kind, byRecvAll, size_t{450});
        sweep<Receiving>(kind, byRecvWaitingForAll, size_t{450});
    }
}

/* ---- sending --------------------------------------------------------------------------------- */

using Send = ssize_t (*)(int fd, const std::string &bytes);

ssize_t bySend(int fd, const std::string &bytes)
{
    return skua_send(fd, bytes.data(), bytes.size(), 0);
}

ssize_t bySendWaitingForAll(int fd, const std::string &bytes)
{
    return skua_send(fd, bytes.data(), bytes.size(), MSG_WAITALL);
}

ssize_t bySendAll(int fd, const std::string &bytes)
{
    return skua_send_all(fd, bytes.data(), bytes.size());
}

ssize_t bySendto(int fd, const std::string &bytes)
{
    return skua_sendto(fd, bytes.data(), bytes.size(), 0, nullptr, 0);
}

ssize_t bySendmsg(int fd, const std::string &bytes)
{
    auto *data = const_cast<char *>(bytes.data());
    iovec iov[] = {{data, bytes.size() / 2},
                   {data + bytes.size() / 2, bytes.size() - bytes.size() / 2}};
    msghdr message{};
    message.msg_iov = iov;
    message.msg_iovlen = 2;
    return skua_sendmsg(fd, &message, 0);
}

ssize_t bySendfile(int fd, const std::string &bytes)
{
    int file = memfd_create("skua-cancel", MFD_CLOEXEC);
    EXPECT_EQ(pwrite(file, bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
    ssize_t sent = skua_sendfile(fd, file, 0, bytes.size());
    close(file);
    return sent;
}

/* More than one sendfile(2) sends to a Unix socket, which takes what a pipe holds at once. */
constexpr size_t kMuch = 600000;

/* The way is full; the peer takes bytes, or packets, and the call sends what there is room for. */
class Sending : public Scenario
{
  public:
    Sending(Wire::Kind kind, Send send, size_t size)
        : wire_(kind), send_(send), bytes_(bytes().substr(0, size)),
          step_(std::max(size / 20, size_t{kind == Wire::tcp ? 10000u : 1000u}))
    {
        wire_.makeSmall();
        filled_ = wire_.fill(std::string(200, 'x'));
    }

    intptr_t call() override
    {
        return send_(wire_.ours(), bytes_);
    }

    bool step() override
    {
        std::string more = wire_.take(step_);
        arrived_ += more;
        return !more.empty();
    }

    void check(intptr_t result) override
    {
        expectCountOrCancel(result, bytes_.size());
        EXPECT_NE(result, 0);
        wire_.closeEnd(0);
        arrived_ += Wire::takeAll(wire_.theirs());
        ASSERT_GE(arrived_.size(), filled_);
        EXPECT_EQ(arrived_.size() - filled_, bytesOf(result)) << "bytes that arrived";
        EXPECT_TRUE(arrived_.substr(filled_) == bytes_.substr(0, bytesOf(result)));
    }

  private:
    static const std::string &bytes()
    {
        static const std::string all = patternBytes(kMuch);
        return all;
    }

    Wire wire_;
    const Send send_;
    const std::string bytes_;
    const size_t step_;
    size_t filled_ = 0;
    std::string arrived_;
};

TEST_P(SocketCancel, WhatASendReportsIsWhatArrives)
{
    for (Wire::Kind kind : {Wire::unixStream, Wire::unixPackets}) {
        sweep<Sending>(kind, bySend, size_t{300});
        sweep<Sending>(kind, bySendto, size_t{300});
        sweep<Sending>(kind, bySendmsg, size_t{300});
    }
    sweepUpTo<Sending>(60, Wire::tcp, bySend, size_t{300});
}

TEST_P(SocketCancel, WhatACallThatSendsInPiecesReportsIsWhatArrives)
{
    for (Send send : {bySendAll, bySendWaitingForAll}) {
        sweepWithPeer<Sending>(Wire::unixStream, send, size_t{20000});
        sweepUpTo<Sending>(60, Wire::tcp, send, size_t{20000});
    }
}

TEST_P(SocketCancel, WhatASendfileReportsIsWhatArrives)
{
    sweepWithPeer<Sending>(Wire::unixStream, bySendfile, kMuch);
    sweepUpTo<Sending>(60, Wire::tcp, bySendfile, kMuch);
}

/* ---- descriptors in messages ----------------------------------------------------------------- */

/* A message of one byte that carries a descriptor, or room for one. */
struct Letter {
    char byte = 0;
    iovec iov = {&byte, 1};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr header{};

    explicit Letter(char text = 0, int fd = -1) : byte(text)
    {
        header.msg_iov = &iov;
        header.msg_iovlen = 1;
        header.msg_control = control;
        header.msg_controllen = sizeof(control);
        if (fd < 0)
            return;
        cmsghdr *part = CMSG_FIRSTHDR(&header);
        part->cmsg_level = SOL_SOCKET;
        part->cmsg_type = SCM_RIGHTS;
        part->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(part), &fd, sizeof(int));
    }
    Letter(const Letter &) = delete;
    Letter &operator=(const Letter &) = delete;

    /* The descriptor that came. */
    int enclosed()
    {
        const cmsghdr *part = CMSG_FIRSTHDR(&header);
        int fd = -1;
        if (part && part->cmsg_type == SCM_RIGHTS)
            memcpy(&fd, CMSG_DATA(part), sizeof(int));
        return fd;
    }
};

/* Whether it is the descriptor of /dev/null that was sent; closes it. */
bool isTheNull(int fd)
{
    char target[64];
    std::string link = "/proc/self/fd/" + std::to_string(fd);
    ssize_t n = readlink(link.c_str(), target, sizeof(target));
    if (fd >= 0)
        close(fd);
    return n > 0 && std::string(target, static_cast<size_t>(n)) == "/dev/null";
}

void sendLetter(int to, char text, int fd)
{
    Letter letter(text, fd);
    EXPECT_EQ(sendmsg(to, &letter.header, MSG_NOSIGNAL), 1);
}

class ReceivingLetters : public Scenario
{
  public:
    explicit ReceivingLetters(Wire::Kind kind) : wire_(kind)
    {
    }
    ~ReceivingLetters() override
    {
        close(null_);
    }

    intptr_t call() override
    {
        return skua_recvmsg(wire_.ours(), &letter_.header, 0);
    }

    bool step() override
    {
        if (sent_ == 2)
            return false;
        sendLetter(wire_.theirs(), static_cast<char>('a' + sent_++), null_);
        return true;
    }

    void check(intptr_t result) override
    {
        expectCountOrCancel(result, 1);
        std::string all;
        if (result == 1) {
            all += letter_.byte;
            EXPECT_TRUE(isTheNull(letter_.enclosed()));
        }
        while (step()) {
        }
        while (all.size() < 2) {
            Letter letter;
            ASSERT_EQ(recvmsg(wire_.ours(), &letter.header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC), 1);
            all += letter.byte;
            EXPECT_TRUE(isTheNull(letter.enclosed()));
        }
        EXPECT_EQ(all, "ab");
    }

  private:
    Wire wire_;
    int null_ = open("/dev/null", O_RDONLY | O_CLOEXEC);
    Letter letter_;
    int sent_ = 0;
};

TEST_P(SocketCancel, NoDescriptorInAMessageIsLost)
{
    sweep<ReceivingLetters>(Wire::unixStream);
    sweep<ReceivingLetters>(Wire::unixPackets);
}

class SendingALetter : public Scenario
{
  public:
    explicit SendingALetter(Wire::Kind kind) : wire_(kind)
    {
        wire_.makeSmall();
        filled_ = wire_.fill(std::string(1, 'x'));
    }
    ~SendingALetter() override
    {
        close(null_);
    }

    intptr_t call() override
    {
        Letter letter('l', null_);
        return skua_sendmsg(wire_.ours(), &letter.header, 0);
    }

    bool step() override
    {
        Letter letter;
        if (recvmsg(wire_.theirs(), &letter.header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != 1)
            return false;
        if (letter.byte == 'l')
            arrived_ += isTheNull(letter.enclosed());
        else
            filled_--;
        return true;
    }

    void check(intptr_t result) override
    {
        expectCountOrCancel(result, 1);
        wire_.closeEnd(0);
        while (step()) {
        }
        EXPECT_EQ(filled_, 0u);
        EXPECT_EQ(arrived_, bytesOf(result));
    }

  private:
    Wire wire_;
    int null_ = open("/dev/null", O_RDONLY | O_CLOEXEC);
    size_t filled_ = 0;
    size_t arrived_ = 0;
};

TEST_P(SocketCancel, ADescriptorIsSentWithItsMessageOrNotAtAll)
{
    sweep<SendingALetter>(Wire::unixStream);
    sweep<SendingALetter>(Wire::unixPackets);
}

/* ---- readiness ------------------------------------------------------------------------------- */

class Polling : public Scenario
{
  public:
    explicit Polling(Wire::Kind kind) : wire_(kind)
    {
    }

    intptr_t call() override
    {
        return skua_poll(wire_.ours(), POLLIN);
    }

    bool step() override
    {
        if (sent_)
            return false;
        sent_ = send(wire_.theirs(), "x", 1, MSG_NOSIGNAL) == 1;
        return sent_;
    }

    void check(intptr_t result) override
    {
        EXPECT_TRUE(result == -ECANCELED || (result == POLLIN && sent_)) << result;
        (void)step();
        wire_.closeEnd(1);
        EXPECT_EQ(Wire::takeAll(wire_.ours()), "x");
    }

  private:
    Wire wire_;
    bool sent_ = false;
};

TEST_P(SocketCancel, APollTakesNothingAway)
{
    for (Wire::Kind kind : {Wire::unixStream, Wire::tcp})
        sweep<Polling>(kind);
}

} // namespace
