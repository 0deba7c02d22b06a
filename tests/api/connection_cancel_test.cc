/*
 * Cancels every call of skua/socket.h, skua/net.h and skua/server.h that makes or ends connections,
 * at every moment of it (support/cancel_sweep.h). A connection that a call did not return is still
 * in the backlog, or closed; no descriptor is left.
 */
#include "support/cancel_sweep.h"
#include "support/name_service.h"
#include "support/net_kit.h"
#include "support/wire.h"

#include <cerrno>
#include <climits>
#include <fcntl.h>
#include <poll.h>

using namespace skua_test;

namespace
{

class ConnectionCancel : public SweepTest
{
};

INSTANTIATE_TEST_SUITE_P(At, ConnectionCancel, everyPace(), PaceName());

/* ---- connections ----------------------------------------------------------------------------- */

/* A name of an abstract Unix socket, never used before. */
std::string freshName()
{
    static int number;
    return "unix:@skua-cancel-" + std::to_string(getpid()) + "-" + std::to_string(number++);
}

/* A client that is connected, or on its way if the backlog is full. */
int client(const skua_address &address)
{
    int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int rc = connect(fd, &address.any, address.size);
    if (rc == 0 || errno == EINPROGRESS)
        return fd;
    close(fd);
    return -1;
}

class Accepting : public Scenario
{
  public:
    explicit Accepting(bool is_tcp) : listener_(is_tcp ? "127.0.0.1:0" : freshName())
    {
    }
    ~Accepting() override
    {
        for (int fd : clients_)
            close(fd);
    }

    intptr_t call() override
    {
        skua_address peer{};
        peer.size = sizeof(peer.storage);
        return skua_accept(listener_.fd, &peer.any, &peer.size, 0);
    }

    bool step() override
    {
        if (clients_.size() == 3)
            return false;
        char number = static_cast<char>('0' + clients_.size());
        clients_.push_back(client(listener_.address));
        pollfd writable = {clients_.back(), POLLOUT, 0};
        EXPECT_EQ(poll(&writable, 1, 10000), 1);
        EXPECT_EQ(send(clients_.back(), &number, 1, MSG_NOSIGNAL), 1);
        return true;
    }

    void check(intptr_t result) override
    {
        expectCountOrCancel(result, INT_MAX);
        while (step()) {
        }
        std::string all;
        if (result >= 0)
            all += numberOf(static_cast<int>(result));
        while (all.size() < 3) {
            pollfd readable = {listener_.fd, POLLIN, 0};
            ASSERT_EQ(poll(&readable, 1, 10000), 1) << "a connection is lost";
            all += numberOf(accept4(listener_.fd, nullptr, nullptr, SOCK_CLOEXEC));
        }
        EXPECT_EQ(all, "012");
    }

  private:
    static std::string numberOf(int fd)
    {
        pollfd readable = {fd, POLLIN, 0};
        EXPECT_EQ(poll(&readable, 1, 10000), 1);
        std::string number = Wire::takeFrom(fd, 10);
        close(fd);
        return number;
    }

    Listener listener_;
    std::vector<int> clients_;
};

TEST_P(ConnectionCancel, AConnectionIsAcceptedOrStaysInTheBacklog)
{
    sweep<Accepting>(true);
    sweep<Accepting>(false);
}

enum class Way { connect, dial, dialAddresses };

/*
 * Connects to a Unix socket whose backlog is full until the peer accepts; by dialling too. A
 * connection that is not returned must be closed: the listener sees nobody at the other end.
 */
class Connecting : public Scenario
{
  public:
    explicit Connecting(Way way) : way_(way), name_(freshName()), listener_(name_)
    {
        EXPECT_EQ(listen(listener_.fd, 0), 0);
        EXPECT_EQ(fcntl(listener_.fd, F_SETFL, O_NONBLOCK), 0);
        for (int fd; (fd = client(listener_.address)) >= 0;)
            before_.push_back(fd);
    }
    ~Connecting() override
    {
        for (int fd : before_)
            close(fd);
        for (int fd : accepted_)
            close(fd);
    }

    intptr_t call() override
    {
        if (way_ == Way::dial)
            return skua_dial(name_.c_str(), nullptr, nullptr);
        if (way_ == Way::dialAddresses)
            return skua_dial_addresses(&listener_.address, 1, nullptr);
        int fd = skua_socket(AF_UNIX, SOCK_STREAM, 0);
        int rc = skua_connect(fd, &listener_.address.any, listener_.address.size);
        if (rc == 0)
            return fd;
        close(fd);
        return rc;
    }

    bool step() override
    {
        /* Blocking: the kernel may hold a closed end for a moment longer, for a request's sake. */
        int fd = accept4(listener_.fd, nullptr, nullptr, SOCK_CLOEXEC);
        if (fd >= 0)
            accepted_.push_back(fd);
        return fd >= 0;
    }

    void check(intptr_t result) override
    {
        expectCountOrCancel(result, INT_MAX);
        if (result >= 0) {
            EXPECT_EQ(send(static_cast<int>(result), "c", 1, MSG_NOSIGNAL), 1);
            close(static_cast<int>(result));
        }
        for (int fd : before_)
            close(fd);
        before_.clear();
        while (step()) {
        }
        std::string all;
        for (int fd : accepted_)
            all += Wire::takeAll(fd);
        EXPECT_EQ(all, result >= 0 ? "c" : "");
    }

  private:
    const Way way_;
    const std::string name_;
    Listener listener_;
    std::vector<int> before_;
    std::vector<int> accepted_;
};

TEST_P(ConnectionCancel, AConnectEndsWithAConnectionOrNone)
{
    for (Way way : {Way::connect, Way::dial, Way::dialAddresses})
        sweepUpTo<Connecting>(SKUA_TESTS_SANITIZED ? 30 : 150, way);
}

/* As above, without waiting for a backlog: on the loopback interface a connect is over at once. */
class ConnectingAtOnce : public Scenario
{
  public:
    explicit ConnectingAtOnce(bool dials) : dials_(dials)
    {
    }

    intptr_t call() override
    {
        std::string port = std::to_string(portOf(listener_.address));
        if (dials_)
            return skua_dial("127.0.0.1", port.c_str(), nullptr);
        int fd = skua_socket(AF_INET, SOCK_STREAM, 0);
        int rc = skua_connect(fd, &listener_.address.any, listener_.address.size);
        if (rc == 0)
            return fd;
        close(fd);
        return rc;
    }

    bool step() override
    {
        return false;
    }

    void check(intptr_t result) override
    {
        expectCountOrCancel(result, INT_MAX);
        if (result < 0)
            return;
        int peer = accept4(listener_.fd, nullptr, nullptr, SOCK_CLOEXEC);
        EXPECT_GE(peer, 0);
        EXPECT_EQ(send(static_cast<int>(result), "c", 1, MSG_NOSIGNAL), 1);
        close(static_cast<int>(result));
        EXPECT_EQ(Wire::takeAll(peer), "c");
        close(peer);
    }

  private:
    Listener listener_;
    const bool dials_;
};

TEST_P(ConnectionCancel, AConnectThatIsOverAtOnceIsReturnedOrClosed)
{
    sweep<ConnectingAtOnce>(false);
    sweep<ConnectingAtOnce>(true);
}

/* ---- names --------------------------------------------------------------------- */

/*
 * The name service answers when the peer lets it. It is there for longer than the lookups are: one
 * that was cancelled may begin after its scenario is over.
 */
class Resolving : public Scenario
{
  public:
    explicit Resolving(NameService *names) : names_(*names)
    {
        names_.close();
    }

    intptr_t call() override
    {
        return skua_resolve("host.test", "7", nullptr, &found_, 1);
    }

    bool step() override
    {
        names_.open();
        return !std::exchange(open_, true);
    }

    void check(intptr_t result) override
    {
        (void)step();
        EXPECT_TRUE(result == 1 || result == -ECANCELED) << result;
        EXPECT_EQ(found_, result == 1 ? addressOf("127.0.0.1:7") : skua_address{});
        EXPECT_TRUE(yieldUntil([&] { return names_.inside() == 0; }));
    }

  private:
    NameService &names_;
    skua_address found_{};
    bool open_ = false;
};

TEST_P(ConnectionCancel, ALookUpGoesOnWithoutWhoIsCancelled)
{
    NameService names; /* looks at its end that every list has been freed */
    names.hosts["host.test"] = {addressOf("127.0.0.1:7")};
    sweepUpTo<Resolving>(100, &names);
}

/* ---- servers --------------------------------------------------------------------------------- */

intptr_t echo(skua_connection *connection, void *)
{
    char buffer[64];
    ssize_t n = 0;
    int fd = skua_connection_fd(connection);
    while ((n = skua_recv(fd, buffer, sizeof(buffer), 0)) > 0) {
        n = skua_send_all(fd, buffer, static_cast<size_t>(n));
        if (n < 0)
            return n;
    }
    return n;
}

intptr_t echoOnce(skua_connection *connection, void *)
{
    char buffer[64];
    int fd = skua_connection_fd(connection);
    ssize_t n = skua_recv(fd, buffer, sizeof(buffer), 0);
    if (n > 0)
        n = skua_send_all(fd, buffer, static_cast<size_t>(n));
    return n > 0 ? SKUA_CONNECTION_KEEP : n;
}

struct Clients {
    Listener listener{freshName()};
    std::vector<int> fds;

    ~Clients()
    {
        for (int fd : fds)
            close(fd);
    }
    skua_server_options options(unsigned flags)
    {
        skua_server_options options{};
        options.listeners = &listener.fd;
        options.listener_count = 1;
        options.handle = flags & SKUA_SERVER_IDLE ? echoOnce : echo;
        options.flags = flags;
        options.stack_size_bytes = size_t{64} << 10;
        return options;
    }
    void add()
    {
        fds.push_back(client(listener.address));
        EXPECT_GE(fds.back(), 0);
    }
    /* After the server: nobody holds the other end of any client, but for the backlog. */
    void expectAllClosed()
    {
        for (int fd; (fd = accept4(listener.fd, nullptr, nullptr, SOCK_CLOEXEC)) >= 0;)
            close(fd); /* the server has made it O_NONBLOCK */
        EXPECT_EQ(errno, EAGAIN);
        for (int fd : fds) {
            char echoed[8];
            ssize_t n;
            while ((n = recv(fd, echoed, sizeof(echoed), 0)) > 0) {
                EXPECT_EQ(n, 1);
            }
            EXPECT_TRUE(n == 0 || errno == ECONNRESET) << "a connection is open still";
        }
    }
};

/* Clients come, and send a byte each; then the server is cancelled. */
class Serving : public Scenario
{
  public:
    explicit Serving(unsigned flags) : flags_(flags)
    {
    }

    intptr_t call() override
    {
        skua_server_options options = clients_.options(flags_);
        return skua_serve(&options);
    }

    bool step() override
    {
        if (steps_ == 8)
            return false;
        if (steps_++ % 2 == 0)
            clients_.add();
        else
            EXPECT_EQ(send(clients_.fds.back(), "x", 1, MSG_NOSIGNAL), 1);
        return true;
    }

    void check(intptr_t result) override
    {
        EXPECT_EQ(result, -ECANCELED);
        EXPECT_EQ(fcntl(clients_.listener.fd, F_SETFL, O_NONBLOCK), 0); /* if it never ran */
        clients_.expectAllClosed();
    }

  private:
    const unsigned flags_;
    Clients clients_;
    int steps_ = 0;
};

TEST_P(ConnectionCancel, AServerThatIsCancelledLeavesNoConnection)
{
    sweepUpTo<Serving>(SKUA_TESTS_SANITIZED ? 40 : 200, 0u);
    sweepUpTo<Serving>(SKUA_TESTS_SANITIZED ? 40 : 200, SKUA_SERVER_IDLE);
}

/* Stopping is no cancellation point: it goes on until the clients have gone, and cancels nobody. */
class Stopping : public Scenario
{
  public:
    Stopping()
    {
        skua_server_options options = clients_.options(0);
        EXPECT_EQ(skua_server_start(&options, &server_), 0);
        for (int i = 0; i < 3; i++)
            clients_.add();
        EXPECT_TRUE(yieldUntil([&] {
            skua_server_stats stats{};
            return skua_server_get_stats(server_, &stats) == 0 && stats.accepted == 3;
        }));
    }

    intptr_t call() override
    {
        began_ = true;
        return static_cast<intptr_t>(skua_server_stop(server_, SKUA_FOREVER));
    }

    bool step() override
    {
        if (gone_ == 3)
            return false;
        EXPECT_EQ(shutdown(clients_.fds[gone_++], SHUT_WR), 0);
        return true;
    }

    bool endsByCancel() const override
    {
        return false;
    }

    void check(intptr_t result) override
    {
        EXPECT_EQ(result, began_ ? 0 : -ECANCELED);
        while (step()) {
        }
        if (!began_) {
            EXPECT_EQ(skua_server_stop(server_, SKUA_FOREVER), 0);
        }
        clients_.expectAllClosed();
    }

  private:
    Clients clients_;
    skua_server *server_ = nullptr;
    size_t gone_ = 0;
    bool began_ = false;
};

TEST_P(ConnectionCancel, StoppingAServerIsNotCutShort)
{
    sweep<Stopping>();
}

} // namespace
