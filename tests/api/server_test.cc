/*
 * Tests skua/server.h: connections served, limited, at rest, timed out, drained and killed; what
 * happens without descriptors; and that nothing is left open.
 */
#include "support/fd_guard.h"
#include "support/hang_guard.h"
#include "support/runtime_kit.h"
#include "support/sim_kit.h"

#include <atomic>
#include <cstring>
#include <functional>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>
#include <vector>

using namespace skua_test;

namespace
{

/* A listening socket of the loopback interface, or a Unix socket without a file. */
class Listener
{
  public:
    explicit Listener(int family = AF_INET, int backlog = 512)
    {
        static std::atomic<int> number;
        auto *in = reinterpret_cast<sockaddr_in *>(&address_);
        auto *un = reinterpret_cast<sockaddr_un *>(&address_);
        address_.ss_family = static_cast<sa_family_t>(family);
        size_ = sizeof(*in);
        if (family == AF_INET) {
            in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        } else {
            std::string name =
                "skua-server-test-" + std::to_string(getpid()) + "-" + std::to_string(number++);
            memcpy(un->sun_path + 1, name.data(), name.size());
            size_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
        }
        fd_ = skua_socket(family, SOCK_STREAM, 0);
        EXPECT_GE(fd_, 0);
        EXPECT_EQ(skua_bind(fd_, address(), size_), 0);
        EXPECT_EQ(skua_listen(fd_, backlog), 0);
        if (family == AF_INET) {
            EXPECT_EQ(getsockname(fd_, address(), &size_), 0);
        }
    }
    Listener(const Listener &) = delete;
    Listener &operator=(const Listener &) = delete;
    ~Listener()
    {
        close(fd_);
    }

    int fd() const
    {
        return fd_;
    }

    int connect()
    {
        int fd = skua_socket(address_.ss_family, SOCK_STREAM, 0);
        EXPECT_GE(fd, 0);
        EXPECT_EQ(skua_connect(fd, address(), size_), 0);
        return fd;
    }

    /* The same, in a task that may be cancelled. */
    int tryConnect()
    {
        int fd = skua_socket(address_.ss_family, SOCK_STREAM, 0);
        (void)skua_connect(fd, address(), size_);
        return fd;
    }

  private:
    sockaddr *address()
    {
        return reinterpret_cast<sockaddr *>(&address_);
    }

    sockaddr_storage address_{};
    socklen_t size_ = 0;
    int fd_ = -1;
};

using Handle = std::function<intptr_t(skua_connection *)>;

intptr_t callHandle(skua_connection *connection, void *arg)
{
    return (*static_cast<Handle *>(arg))(connection);
}

/* A server with that handler on a listener of its own; in a task. */
struct Service {
    Listener listener;
    Handle handle;
    skua_server *server = nullptr;

    explicit Service(Handle h, skua_server_options options = {}, int family = AF_INET)
        : listener(family), handle(std::move(h))
    {
        int fd = listener.fd();
        options.listeners = &fd;
        options.listener_count = 1;
        options.handle = callHandle;
        options.arg = &handle;
        EXPECT_EQ(skua_server_start(&options, &server), 0);
    }

    int64_t stop(uint64_t deadline_ns = SKUA_FOREVER)
    {
        return skua_server_stop(server, deadline_ns);
    }

    skua_server_stats stats() const
    {
        skua_server_stats stats;
        EXPECT_EQ(skua_server_get_stats(server, &stats), 0);
        return stats;
    }
};

intptr_t echoAll(skua_connection *connection)
{
    int fd = skua_connection_fd(connection);
    char block[2000];
    for (;;) {
        ssize_t n = skua_recv(fd, block, sizeof(block), 0);
        if (n <= 0)
            return n;
        if (skua_send_all(fd, block, static_cast<size_t>(n)) != n)
            return -EPIPE;
    }
}

intptr_t echoOnce(skua_connection *connection)
{
    char block[2000];
    int fd = skua_connection_fd(connection);
    ssize_t n = skua_recv(fd, block, sizeof(block), 0);
    if (n <= 0)
        return n;
    return skua_send_all(fd, block, static_cast<size_t>(n)) == n ? SKUA_CONNECTION_KEEP : -EPIPE;
}

/* Sends and gets it back. */
void exchange(int fd, size_t size = 100)
{
    std::vector<char> out(size);
    std::vector<char> in(size);
    for (size_t i = 0; i < size; i++)
        out[i] = static_cast<char>(i * 7 + static_cast<size_t>(fd));
    EXPECT_EQ(skua_send_all(fd, out.data(), size), static_cast<ssize_t>(size));
    EXPECT_EQ(skua_recv_all(fd, in.data(), size), static_cast<ssize_t>(size));
    EXPECT_EQ(in, out);
}

bool isEnded(int fd)
{
    char byte;
    ssize_t n = skua_recv(fd, &byte, 1, 0);
    return n == 0 || n == -ECONNRESET;
}

skua_server_options idleForm()
{
    skua_server_options options{};
    options.flags = SKUA_SERVER_IDLE;
    return options;
}

class Server : public testing::Test
{
  protected:
    FdGuard fds_;
    HangGuard hang_;
};

/* @clients tasks of @rounds exchanges each, on @runtime's workers. */
void load(Service &service, int clients, int rounds)
{
    auto body = [&]() -> intptr_t {
        int fd = service.listener.connect();
        for (int i = 0; i < rounds; i++)
            exchange(fd, static_cast<size_t>(1 + i * 37 % 1500));
        return skua_close(fd);
    };
    std::vector<skua_future *> futures;
    for (int i = 0; i < clients; i++)
        futures.push_back(spawnBody(body));
    for (skua_future *future : futures)
        EXPECT_EQ(skua_await(future), 0);
}

TEST_F(Server, ServesManyConnectionsInBothForms)
{
    Runtime runtime(2);
    for (bool idle : {false, true})
        for (int family : {AF_INET, AF_UNIX})
            runtime.run([=]() -> intptr_t {
                Service service(idle ? echoOnce : echoAll,
                                idle ? idleForm() : skua_server_options{}, family);
                load(service, 40, 20);
                EXPECT_EQ(service.stats().accepted, 40u);
                EXPECT_EQ(service.stats().failed, 0u);
                EXPECT_EQ(service.stop(), 0);
                return 0;
            });
}

TEST_F(Server, ConnectionsInheritNoDelay)
{
    runInTask([] {
        int value = 0;
        Service service([&](skua_connection *connection) -> intptr_t {
            socklen_t size = sizeof(value);
            return getsockopt(skua_connection_fd(connection), IPPROTO_TCP, TCP_NODELAY, &value,
                              &size);
        });
        int fd = service.listener.connect();
        EXPECT_TRUE(isEnded(fd));
        EXPECT_EQ(service.stop(), 0);
        EXPECT_NE(value, 0);
        skua_close(fd);
    });
}

TEST_F(Server, AConnectionAtRestHasNoTaskAndKeepsItsData)
{
    runInTask([] {
        static std::atomic<int> closed;
        closed = 0;
        skua_server_options options = idleForm();
        options.name = "serving";
        options.closed = [](skua_connection *connection, void *) {
            EXPECT_EQ(*static_cast<int *>(*skua_connection_data(connection)), 3);
            delete static_cast<int *>(*skua_connection_data(connection));
            closed++;
        };
        Service service(
            [](skua_connection *connection) -> intptr_t {
                void **data = skua_connection_data(connection);
                if (*data == nullptr)
                    *data = new int(0);
                intptr_t rc = echoOnce(connection);
                if (rc == SKUA_CONNECTION_KEEP)
                    ++*static_cast<int *>(*data);
                return rc;
            },
            options);
        int fd = service.listener.connect();
        for (int i = 0; i < 3; i++) {
            exchange(fd);
            EXPECT_TRUE(
                yieldUntil([] { return stateOf(skua_runtime_current(), "serving").empty(); }));
            EXPECT_EQ(service.stats().open, 1u);
        }
        skua_close(fd);
        EXPECT_TRUE(yieldUntil([&] { return service.stats().open == 0; }));
        EXPECT_EQ(closed, 1);
        EXPECT_EQ(service.stop(), 0);
    });
}

TEST_F(Server, AFailedHandlerIsCountedAndItsConnectionClosed)
{
    runInTask([] {
        for (bool idle : {false, true}) {
            Service service([](skua_connection *) -> intptr_t { return -EPROTO; },
                            idle ? idleForm() : skua_server_options{});
            int fd = service.listener.connect();
            EXPECT_EQ(skua_send(fd, "x", 1, 0), 1);
            EXPECT_TRUE(isEnded(fd));
            EXPECT_TRUE(yieldUntil([&] { return service.stats().open == 0; }));
            EXPECT_EQ(service.stats().failed, 1u);
            EXPECT_EQ(service.stop(), 0);
            skua_close(fd);
        }
    });
}

TEST_F(Server, ATakenDescriptorIsTheHandlers)
{
    runInTask([] {
        int taken = -1;
        Service service(
            [&](skua_connection *connection) -> intptr_t {
                taken = skua_connection_take(connection);
                EXPECT_EQ(skua_connection_fd(connection), -EBADF);
                EXPECT_EQ(skua_connection_take(connection), -EBADF);
                return SKUA_CONNECTION_KEEP; /* but there is nothing to keep */
            },
            idleForm());
        int fd = service.listener.connect();
        EXPECT_EQ(skua_send(fd, "x", 1, 0), 1);
        EXPECT_TRUE(
            yieldUntil([&] { return service.stats().accepted == 1 && service.stats().open == 0; }));
        EXPECT_EQ(service.stop(), 0);
        EXPECT_EQ(skua_send(taken, "x", 1, 0), 1);
        char byte;
        EXPECT_EQ(skua_recv(fd, &byte, 1, 0), 1);
        skua_close(fd);
        skua_close(taken);
    });
}

TEST_F(Server, TheLimitKeepsTheOthersWaiting)
{
    runInTask([] {
        skua_server_options options{};
        options.connections_max = 2;
        Service service(echoAll, options);
        int a = service.listener.connect();
        int b = service.listener.connect();
        int c = service.listener.connect();
        exchange(a);
        exchange(b);
        EXPECT_EQ(skua_send(c, "x", 1, 0), 1);
        EXPECT_EQ(service.stats().accepted, 2u);
        skua_close(a);
        char byte;
        EXPECT_EQ(skua_recv(c, &byte, 1, 0), 1); /* now it has its turn */
        skua_close(b);
        skua_close(c);
        EXPECT_EQ(service.stop(), 0);
    });
}

TEST_F(Server, SeveralListenersShareOneLimit)
{
    runInTask([] {
        Listener first;
        Listener second(AF_UNIX);
        int fds[] = {first.fd(), second.fd()};
        Handle handle = echoAll;
        skua_server_options options{};
        options.listeners = fds;
        options.listener_count = 2;
        options.handle = callHandle;
        options.arg = &handle;
        options.connections_max = 1;
        skua_server *server = nullptr;
        ASSERT_EQ(skua_server_start(&options, &server), 0);
        for (int i = 0; i < 20; i++) {
            int fd = i % 2 ? first.connect() : second.connect();
            exchange(fd);
            skua_close(fd);
        }
        EXPECT_EQ(skua_server_stop(server, SKUA_FOREVER), 0);
    });
}

TEST_F(Server, ADrainLetsHandlersEndAndClosesThoseAtRest)
{
    runInTask([] {
        std::atomic<bool> inside{false};
        skua_event go = SKUA_EVENT_INIT;
        Service service(
            [&](skua_connection *connection) -> intptr_t {
                char byte;
                if (skua_recv(skua_connection_fd(connection), &byte, 1, 0) != 1)
                    return 0;
                if (byte == 'r')
                    return SKUA_CONNECTION_KEEP;
                EXPECT_FALSE(skua_connection_draining(connection));
                inside = true;
                EXPECT_EQ(skua_event_wait(&go), 0);
                EXPECT_TRUE(skua_connection_draining(connection));
                EXPECT_EQ(skua_send(skua_connection_fd(connection), "done", 4, 0), 4);
                return SKUA_CONNECTION_KEEP;
            },
            idleForm());
        int resting = service.listener.connect();
        int busy = service.listener.connect();
        int fresh = service.listener.connect();
        EXPECT_EQ(skua_send(resting, "r", 1, 0), 1);
        EXPECT_EQ(skua_send(busy, "b", 1, 0), 1);
        EXPECT_TRUE(yieldUntil([&] { return inside.load() && service.stats().accepted == 3; }));
        auto later = [&]() -> intptr_t {
            EXPECT_TRUE(isEnded(resting));
            EXPECT_EQ(skua_event_set(&go), 0);
            return 0;
        };
        skua_future *future = spawnBody(later);
        EXPECT_EQ(service.stop(), 0);
        EXPECT_EQ(skua_await(future), 0);
        char text[8];
        EXPECT_EQ(skua_recv(busy, text, sizeof(text), 0), 4);
        EXPECT_TRUE(isEnded(busy));
        EXPECT_TRUE(isEnded(fresh));
        for (int fd : {resting, busy, fresh})
            skua_close(fd);
    });
}

TEST_F(Server, WhoDoesNotEndInTimeIsCancelled)
{
    runInTask([] {
        Service service(echoAll);
        std::vector<int> fds;
        for (int i = 0; i < 5; i++)
            fds.push_back(service.listener.connect());
        for (int fd : fds)
            exchange(fd);
        EXPECT_EQ(service.stop(skua_after(SKUA_NS_PER_MS)), 5);
        for (int fd : fds) {
            EXPECT_TRUE(isEnded(fd));
            skua_close(fd);
        }
    });
}

TEST_F(Server, ConnectionsAtRestTimeOut)
{
    runInTask([] {
        skua_server_options options = idleForm();
        options.idle_timeout_ns = 20 * SKUA_NS_PER_MS;
        Service service(echoOnce, options);
        int fd = service.listener.connect();
        exchange(fd);
        uint64_t before = skua_now();
        EXPECT_TRUE(isEnded(fd));
        EXPECT_GE(skua_now() - before, 10 * SKUA_NS_PER_MS);
        skua_close(fd);
        EXPECT_EQ(service.stop(), 0);
    });
}

TEST_F(Server, ServesUntilItIsCancelled)
{
    runInTask([] {
        Listener listener;
        int listening = listener.fd();
        Handle handle = echoAll;
        skua_server_options options{};
        options.listeners = &listening;
        options.listener_count = 1;
        options.handle = callHandle;
        options.arg = &handle;
        options.drain_ns = 10 * SKUA_NS_PER_SEC;
        auto body = [&]() -> intptr_t { return skua_serve(&options); };
        skua_future *future = spawnBody(body);
        int fd = listener.connect();
        exchange(fd);
        EXPECT_EQ(skua_cancel(future), 0);
        skua_yield();
        exchange(fd); /* it drains */
        skua_close(fd);
        EXPECT_EQ(skua_await(future), -ECANCELED);
    });
}

TEST_F(Server, WithoutDescriptorsItPausesAndGoesOn)
{
    runInTask([] {
        Service service(echoAll);
        int fd = service.listener.connect();
        exchange(fd);
        int late = service.listener.connect();
        exchange(late);
        rlimit before{};
        ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
        int probe = dup(fd); /* the lowest that is free */
        ASSERT_GE(probe, 0);
        close(probe);
        int client = skua_socket(AF_INET, SOCK_STREAM, 0);
        rlimit none = before;
        none.rlim_cur = static_cast<rlim_t>(client) + 1;
        ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
        sockaddr_in address{};
        socklen_t size = sizeof(address);
        getsockname(service.listener.fd(), reinterpret_cast<sockaddr *>(&address), &size);
        EXPECT_EQ(skua_connect(client, reinterpret_cast<sockaddr *>(&address), size), 0);
        EXPECT_TRUE(isEnded(client)); /* turned away, and not left in the dark */
        EXPECT_TRUE(yieldUntil([&] { return service.stats().pauses > 0; }));
        exchange(fd); /* the others go on */
        skua_close(client);
        ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
        int again = service.listener.connect();
        exchange(again);
        EXPECT_GE(service.stats().refused, 1u);
        for (int each : {fd, late, again})
            skua_close(each);
        EXPECT_EQ(service.stop(), 0);
    });
}

TEST_F(Server, BadArgumentsAreRefused)
{
    runInTask([] {
        Listener listener;
        Handle handle = echoAll;
        int fd = listener.fd();
        skua_server *server = nullptr;
        skua_server_options good{};
        good.listeners = &fd;
        good.listener_count = 1;
        good.handle = callHandle;
        good.arg = &handle;
        EXPECT_EQ(skua_server_start(nullptr, &server), -EINVAL);
        EXPECT_EQ(skua_server_start(&good, nullptr), -EINVAL);
        skua_server_options options = good;
        options.listeners = nullptr;
        EXPECT_EQ(skua_server_start(&options, &server), -EINVAL);
        options = good;
        options.listener_count = 0;
        EXPECT_EQ(skua_server_start(&options, &server), -EINVAL);
        options = good;
        options.handle = nullptr;
        EXPECT_EQ(skua_server_start(&options, &server), -EINVAL);
        options = good;
        options.flags = 8;
        EXPECT_EQ(skua_server_start(&options, &server), -EINVAL);
        options = good;
        options.reserved[3] = 1;
        EXPECT_EQ(skua_server_start(&options, &server), -EINVAL);
        int bad = -1;
        options = good;
        options.listeners = &bad;
        EXPECT_EQ(skua_server_start(&options, &server), -EBADF);
        int quiet = skua_socket(AF_INET, SOCK_STREAM, 0);
        options.listeners = &quiet;
        EXPECT_EQ(skua_server_start(&options, &server), -EINVAL);
        skua_close(quiet);
        EXPECT_EQ(server, nullptr);
        EXPECT_EQ(skua_server_stop(nullptr, 0), 0);
        EXPECT_EQ(skua_server_get_stats(nullptr, nullptr), -EINVAL);
        EXPECT_EQ(skua_connection_fd(nullptr), -EINVAL);
        EXPECT_EQ(skua_connection_take(nullptr), -EINVAL);
        EXPECT_EQ(skua_connection_data(nullptr), nullptr);
        EXPECT_FALSE(skua_connection_draining(nullptr));
    });
    skua_server_options options{};
    skua_server *server = nullptr;
    EXPECT_EQ(skua_server_start(&options, &server), -EPERM);
}

/* Clients that come, go, and break off, while the server is stopped at any moment. */
TEST_F(Server, IsStoppedWhateverItsClientsDo)
{
    skua_options options = testOptions(2);
    options.rescue_us = 1; /* and others complete its polls as soon as they can */
    Runtime runtime(options);
    for (int round = 0; round < (SKUA_TESTS_SANITIZED ? 10 : 60); round++)
        runtime.run([=]() -> intptr_t {
            bool idle = round % 2 == 0;
            Service service(idle ? echoOnce : echoAll, idle ? idleForm() : skua_server_options{});
            auto client = [&]() -> intptr_t {
                for (int i = 0; !skua_cancelled(); i++) {
                    int fd = service.listener.tryConnect();
                    char block[64] = {};
                    if (i % 5 != 0)
                        (void)skua_send(fd, block, sizeof(block), 0);
                    if (i % 3 == 0)
                        (void)skua_recv(fd, block, 10, 0);
                    if (i % 7 == 0) {
                        linger hard = {1, 0};
                        setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
                    }
                    skua_close(fd);
                    (void)skua_yield();
                }
                return 0;
            };
            std::vector<skua_future *> futures;
            for (int i = 0; i < 6; i++)
                futures.push_back(spawnBody(client));
            skua_sleep(static_cast<uint64_t>(round % 10 + 1) * 100 * SKUA_NS_PER_US);
            EXPECT_GE(service.stop(round % 3 == 0 ? 0 : skua_after(SKUA_NS_PER_MS)), 0);
            for (skua_future *future : futures)
                EXPECT_EQ(skua_cancel(future), 0);
            for (skua_future *future : futures) {
                intptr_t result = skua_await(future);
                EXPECT_TRUE(result == 0 || result == -ECANCELED); /* the latter never started */
            }
            return 0;
        });
}

class ServerInTime : public Simulated
{
};

TEST_F(ServerInTime, ServesUnderEverySeed)
{
    runSimulated(
        [] {
            for (bool idle : {false, true}) {
                Service service(idle ? echoOnce : echoAll,
                                idle ? idleForm() : skua_server_options{}, AF_UNIX);
                load(service, 3, 4);
                EXPECT_EQ(service.stop(), 0);
            }
        },
        100);
}

} // namespace
