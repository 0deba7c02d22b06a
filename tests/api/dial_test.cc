/*
 * Tests skua_dial() and skua_dial_addresses() of skua/net.h: which address wins, what is told when
 * none does, and that nothing is left when it is cancelled.
 */
#include "support/fd_guard.h"
#include "support/hang_guard.h"
#include "support/name_service.h"
#include "support/net_kit.h"
#include "support/runtime_kit.h"
#include "support/temp_dir.h"

#include <atomic>
#include <cerrno>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <thread>

using namespace skua_test;

namespace
{

using Addresses = std::vector<skua_address>;

constexpr uint64_t kNever = 30 * SKUA_NS_PER_SEC; /* a delay that no test waits for */

skua_dial_options withDelay(uint64_t attempt_delay_ns, uint64_t deadline_ns = 0)
{
    skua_dial_options options{};
    options.attempt_delay_ns = attempt_delay_ns;
    options.deadline_ns = deadline_ns;
    return options;
}

int dial(const Addresses &addresses, const skua_dial_options &options)
{
    return skua_dial_addresses(addresses.data(), addresses.size(), &options);
}

/* Whom @fd is connected to; closes it. */
std::string peerOf(int fd)
{
    EXPECT_GE(fd, 0);
    if (fd < 0)
        return "error " + std::to_string(-fd);
    skua_address peer{};
    EXPECT_EQ(skua_address_of_peer(fd, &peer), 0);
    EXPECT_EQ(skua_close(fd), 0);
    return textOf(peer);
}

bool hasNoDelay(int fd)
{
    int value = 0;
    socklen_t size = sizeof(value);
    EXPECT_EQ(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &size), 0);
    return value != 0;
}

/* Fails the test if more than ten seconds pass in its life: something was waited for in vain. */
struct Prompt {
    uint64_t start_ns = skua_now();

    ~Prompt()
    {
        EXPECT_LT(skua_now() - start_ns, 10 * SKUA_NS_PER_SEC);
    }
};

class Dial : public testing::TestWithParam<Where>
{
  protected:
    template <class Body> void run(Body &&body)
    {
        runIn(GetParam(), body);
    }

    FdGuard fds_;
    HangGuard hang_;
    TempDir dir_;
    Prompt prompt_;
    NameService names_;
};

INSTANTIATE_TEST_SUITE_P(Everywhere, Dial, everywhere(), WhereName());

TEST_P(Dial, ANameIsConnectedTo)
{
    run([&] {
        for (const char *text : {"127.0.0.1:0", "[::1]:0"}) {
            Listener listener(text);
            names_.hosts["host.test"] = {listener.address};
            std::string service = std::to_string(portOf(listener.address));
            int fd = skua_dial("host.test", service.c_str(), nullptr);
            ASSERT_GE(fd, 0);
            EXPECT_EQ(names_.last().service, service);
            EXPECT_TRUE(hasNoDelay(fd));
            EXPECT_FALSE(fcntl(fd, F_GETFL) & O_NONBLOCK);
            EXPECT_TRUE(fcntl(fd, F_GETFD) & FD_CLOEXEC);
            int server = skua_accept(listener.fd, nullptr, nullptr, 0);
            ASSERT_GE(server, 0);
            EXPECT_EQ(skua_send(server, "x", 1, 0), 1);
            char byte = 0;
            EXPECT_EQ(skua_recv(fd, &byte, 1, 0), 1);
            EXPECT_EQ(skua_close(server), 0);
            EXPECT_EQ(peerOf(fd), textOf(listener.address));
        }
    });
}

TEST_P(Dial, ANumberIsConnectedToWithoutALookup)
{
    run([&] {
        Listener listener;
        std::string service = std::to_string(portOf(listener.address));
        skua_dial_options options{};
        options.flags = SKUA_DIAL_NAGLE;
        int fd = skua_dial("127.0.0.1", service.c_str(), &options);
        ASSERT_GE(fd, 0);
        EXPECT_FALSE(hasNoDelay(fd));
        EXPECT_EQ(peerOf(fd), textOf(listener.address));
        /* This host: IPv6, where it is refused, before IPv4. */
        EXPECT_EQ(peerOf(skua_dial(nullptr, service.c_str(), nullptr)), textOf(listener.address));
        EXPECT_EQ(names_.calls(), 0u);
    });
}

TEST_P(Dial, AUnixSocketIsConnectedTo)
{
    run([&] {
        for (const std::string &text :
             {"unix:" + dir_.file("socket"),
              std::string("unix:@skua-dial-test-") + std::to_string(getpid())}) {
            Listener listener(text);
            EXPECT_EQ(peerOf(skua_dial(text.c_str(), nullptr, nullptr)), text);
            skua_dial_options options = withDelay(0, skua_after(kNever));
            EXPECT_EQ(peerOf(skua_dial(text.c_str(), nullptr, &options)), text);
        }
        EXPECT_EQ(skua_dial("unix:/no/such/socket", nullptr, nullptr), -ENOENT);
        EXPECT_EQ(skua_dial(("unix:" + dir_.file("socket")).c_str(), nullptr, nullptr),
                  -ECONNREFUSED);
    });
}

/* ---- who wins -------------------------------------------------------------------------------- */

TEST_P(Dial, AfterARefusalTheNextIsTriedAtOnce)
{
    run([] {
        Refuser refuser;
        Listener good;
        std::string want = textOf(good.address);
        EXPECT_EQ(peerOf(dial({refuser.address, good.address}, withDelay(kNever))), want);
        Addresses many(31, refuser.address);
        many.push_back(good.address);
        EXPECT_EQ(peerOf(dial(many, withDelay(kNever))), want);
        Addresses unix_first = {addressOf("unix:/no/such/socket"), good.address};
        EXPECT_EQ(peerOf(dial(unix_first, withDelay(kNever))), want);
    });
}

TEST_P(Dial, AfterTheDelayTheNextIsTriedToo)
{
    run([] {
        BlackHole hole;
        Listener good;
        uint64_t start_ns = skua_now();
        EXPECT_EQ(peerOf(dial({hole.address, good.address}, withDelay(5 * SKUA_NS_PER_MS))),
                  textOf(good.address));
        EXPECT_GE(skua_now() - start_ns, 5 * SKUA_NS_PER_MS);
        start_ns = skua_now();
        EXPECT_EQ(peerOf(dial({hole.address, good.address}, skua_dial_options{})),
                  textOf(good.address));
        EXPECT_GE(skua_now() - start_ns, 250 * SKUA_NS_PER_MS);
    });
}

/* The refusal comes while the attempt before it still runs. */
TEST_P(Dial, ARefusalAmidOthersEndsTheDelayToo)
{
    run([] {
        BlackHole hole;
        Refuser refuser;
        Listener good;
        uint64_t start_ns = skua_now();
        EXPECT_EQ(peerOf(dial({hole.address, refuser.address, good.address},
                              withDelay(200 * SKUA_NS_PER_MS))),
                  textOf(good.address));
        EXPECT_LT(skua_now() - start_ns, 400 * SKUA_NS_PER_MS);
    });
}

/* Somebody makes room at the first while the second is tried. */
TEST_P(Dial, TheFirstMayStillWin)
{
    run([] {
        BlackHole first;
        BlackHole second;
        std::atomic<bool> over{false};
        std::thread late([&] {
            poll(nullptr, 0, 20);
            while (!over) { /* others wait there, too, and it has room for one at a time */
                pollfd entry = {first.fd, POLLIN, 0};
                if (poll(&entry, 1, 1) == 1)
                    close(accept(first.fd, nullptr, nullptr));
            }
        });
        EXPECT_EQ(peerOf(dial({first.address, second.address}, withDelay(SKUA_NS_PER_MS))),
                  textOf(first.address));
        over = true;
        late.join();
    });
}

TEST_P(Dial, AFullUnixSocketIsWaitedFor)
{
    run([&] {
        BlackHole full("unix:" + dir_.file("full"));
        std::thread late([&] {
            poll(nullptr, 0, 5);
            close(accept(full.fd, nullptr, nullptr));
        });
        EXPECT_EQ(peerOf(dial({full.address}, withDelay(kNever))), textOf(full.address));
        late.join();
    });
}

TEST_P(Dial, FamiliesTakeTurns)
{
    run([] {
        BlackHole hole;
        Listener in;
        Listener in6("[::1]:0");
        auto delay = withDelay(10 * SKUA_NS_PER_MS);
        EXPECT_EQ(peerOf(dial({hole.address, in.address, in6.address}, delay)),
                  textOf(in6.address));
        auto only = delay;
        only.family = AF_INET;
        EXPECT_EQ(peerOf(dial({in6.address, hole.address, in.address}, only)), textOf(in.address));
        only.family = AF_INET6;
        EXPECT_EQ(dial({in.address}, only), -EADDRNOTAVAIL);
    });
}

TEST_P(Dial, TheLocalAddressIsAsWanted)
{
    run([] {
        Listener in("127.0.0.1:0");
        Listener in6("[::1]:0");
        skua_address local = addressOf("127.0.0.2:0");
        auto options = withDelay(kNever);
        options.local = &local;
        int fd = dial({in6.address, in.address}, options);
        ASSERT_GE(fd, 0);
        EXPECT_EQ(ownAddress(fd).in.sin_addr.s_addr, local.in.sin_addr.s_addr);
        EXPECT_EQ(peerOf(fd), textOf(in.address));
        EXPECT_EQ(dial({in6.address}, options), -EADDRNOTAVAIL);
        local = addressOf("192.0.2.1:0"); /* not of this host */
        EXPECT_EQ(dial({in.address}, options), -EADDRNOTAVAIL);
    });
}

/* ---- nobody wins ----------------------------------------------------------------------------- */

TEST_P(Dial, OfSeveralFailuresTheMostTellingIsTold)
{
    run([&] {
        Refuser refuser;
        skua_address nowhere = addressOf("255.255.255.255:80");
        int error = dial({nowhere}, withDelay(kNever));
        EXPECT_TRUE(error == -ENETUNREACH || error == -EACCES) << error;
        EXPECT_EQ(dial({refuser.address}, withDelay(kNever)), -ECONNREFUSED);
        EXPECT_EQ(dial({nowhere, refuser.address}, withDelay(kNever)), -ECONNREFUSED);
        EXPECT_EQ(dial({refuser.address, nowhere}, withDelay(kNever)), -ECONNREFUSED);
        EXPECT_EQ(dial({addressOf("unix:/no/such/socket"), nowhere}, withDelay(kNever)), -ENOENT);
        EXPECT_EQ(skua_dial("nobody.test", "80", nullptr), -ENOENT);
        names_.error = EAI_AGAIN;
        EXPECT_EQ(skua_dial("nobody.test", "80", nullptr), -EAGAIN);
    });
}

TEST_P(Dial, TheDeadlineIsThatOfAll)
{
    run([&] {
        BlackHole hole;
        BlackHole another;
        auto soon = [](uint64_t delay_ns) {
            return withDelay(delay_ns, skua_after(10 * SKUA_NS_PER_MS));
        };
        EXPECT_EQ(dial({hole.address}, soon(kNever)), -ETIMEDOUT);
        EXPECT_EQ(dial({hole.address, another.address}, soon(SKUA_NS_PER_MS)), -ETIMEDOUT);
        EXPECT_EQ(dial({hole.address, another.address}, soon(SKUA_FOREVER)), -ETIMEDOUT);
        Listener good;
        EXPECT_EQ(dial({good.address}, withDelay(0, 1)), -ETIMEDOUT); /* it has passed */
        BlackHole full("unix:" + dir_.file("full"));
        Refuser refuser;
        EXPECT_EQ(dial({full.address}, soon(kNever)), -ETIMEDOUT);
        EXPECT_EQ(dial({refuser.address, full.address}, soon(kNever)), -ETIMEDOUT);
        EXPECT_EQ(dial({full.address}, withDelay(0, 1)), -ETIMEDOUT);
    });
}

TEST_P(Dial, ASocketConnectedToItselfIsNoConnection)
{
    run([] {
        Refuser port;
        skua_address own = port.address;
        close(port.fd);
        port.fd = -1;
        auto options = withDelay(kNever);
        options.local = &own;
        EXPECT_EQ(dial({own}, options), -ECONNREFUSED);
    });
}

TEST_P(Dial, WithoutDescriptorsThatIsTold)
{
    run([] {
        Listener good;
        rlimit before{};
        ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
        int next = dup(good.fd);
        close(next);
        for (int more : {0, 1}) { /* not even to wait; and for no attempt */
            rlimit low = before;
            low.rlim_cur = static_cast<rlim_t>(next + more);
            ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
            EXPECT_EQ(dial({good.address, good.address}, withDelay(kNever)), -EMFILE);
            ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
        }
    });
}

TEST_P(Dial, BadArgumentsAreRefused)
{
    run([&] {
        Addresses one = {addressOf("127.0.0.1:1")};
        auto attempt = [&](auto &&change) {
            skua_dial_options options{};
            change(options);
            int rc = dial(one, options);
            EXPECT_EQ(skua_dial("127.0.0.1", "1", &options), rc);
            return rc;
        };
        EXPECT_EQ(skua_dial_addresses(nullptr, 1, nullptr), -EINVAL);
        EXPECT_EQ(skua_dial_addresses(one.data(), 0, nullptr), -EINVAL);
        Addresses many(33, one[0]);
        EXPECT_EQ(skua_dial_addresses(many.data(), many.size(), nullptr), -EINVAL);
        EXPECT_EQ(attempt([](skua_dial_options &o) { o.flags = 2; }), -EINVAL);
        EXPECT_EQ(attempt([](skua_dial_options &o) { o.reserved[3] = 1; }), -EINVAL);
        EXPECT_EQ(attempt([](skua_dial_options &o) { o.family = AF_UNIX; }), -EAFNOSUPPORT);
        skua_address empty{};
        EXPECT_EQ(attempt([&](skua_dial_options &o) { o.local = &empty; }), -EINVAL);
        EXPECT_EQ(dial({one[0], empty}, skua_dial_options{}), -EINVAL);
        EXPECT_EQ(skua_dial("127.0.0.1", nullptr, nullptr), -EINVAL);
        EXPECT_EQ(skua_dial(nullptr, nullptr, nullptr), -EINVAL);
        EXPECT_EQ(skua_dial("127.0.0.1", "65536", nullptr), -EINVAL);
        EXPECT_EQ(skua_dial("unix:@", nullptr, nullptr), -EINVAL);
        EXPECT_EQ(skua_dial("unix:/a", "80", nullptr), -ENOENT); /* no host of that name */
    });
}

/* ---- cancelling ------------------------------------------------------------------------------ */

class DialInATask : public testing::Test
{
  protected:
    FdGuard fds_;
    HangGuard hang_;
    TempDir dir_;
    Prompt prompt_;
    NameService names_;
};

/* Spawns @call, cancels it once it waits as @state says, and returns its result. */
template <class Call> intptr_t cancelled(const char *state, Call call)
{
    auto body = [&]() -> intptr_t { return call(); };
    skua_future *future = spawnNamed("dials", body);
    EXPECT_TRUE(yieldUntilState("dials", state));
    EXPECT_EQ(skua_cancel(future), 0);
    return skua_await(future);
}

TEST_F(DialInATask, EveryWaitIsCancelled)
{
    runInTask([&] {
        BlackHole hole;
        BlackHole another;
        BlackHole full("unix:" + dir_.file("full"));
        Refuser refuser;
        for (uint64_t deadline_ns : {uint64_t{0}, skua_after(kNever)}) {
            auto options = withDelay(1, deadline_ns);
            EXPECT_EQ(cancelled("in I/O", [&] { return dial({hole.address}, options); }),
                      -ECANCELED);
            EXPECT_EQ(cancelled("in I/O",
                                [&] {
                                    return dial({hole.address, another.address}, options);
                                }),
                      -ECANCELED);
            EXPECT_EQ(cancelled("sleeping", [&] { return dial({full.address}, options); }),
                      -ECANCELED);
            EXPECT_EQ(cancelled("sleeping",
                                [&] {
                                    return dial({refuser.address, full.address}, options);
                                }),
                      -ECANCELED);
            names_.close();
            EXPECT_EQ(cancelled("awaiting", [&] { return skua_dial("host.test", "80", &options); }),
                      -ECANCELED);
            names_.open();
        }
    });
}

TEST_F(DialInATask, TheDeadlineEndsALookupToo)
{
    for (Where where : {Where::task, Where::executor})
        runIn(where, [&] {
            names_.close();
            auto options = withDelay(0, skua_after(2 * SKUA_NS_PER_MS));
            EXPECT_EQ(skua_dial("host.test", "80", &options), -ETIMEDOUT);
            names_.open();
        });
}

TEST_F(DialInATask, AScopesDeadlineEndsItToo)
{
    runInTask([] {
        BlackHole hole;
        skua_scope scope;
        skua_scope_options options{};
        options.deadline_ns = skua_after(2 * SKUA_NS_PER_MS);
        ASSERT_EQ(skua_scope_open(&scope, &options), 0);
        EXPECT_EQ(dial({hole.address}, withDelay(1, skua_after(kNever))), -ECANCELED);
        EXPECT_EQ(skua_scope_close(&scope), -ETIMEDOUT);
    });
}

TEST_F(DialInATask, ManyDialAtOnce)
{
    runInTask([&] {
        BlackHole hole;
        Listener good;
        names_.hosts["host.test"] = {hole.address, good.address};
        auto options = withDelay(SKUA_NS_PER_MS);
        auto body = [&]() -> intptr_t { return skua_dial("host.test", "80", &options); };
        std::vector<skua_future *> futures;
        for (int i = 0; i < 50; i++)
            futures.push_back(spawnBody(body));
        for (skua_future *future : futures)
            EXPECT_EQ(peerOf(static_cast<int>(skua_await(future))), textOf(good.address));
    });
}

/*
 * What @call dials is cancelled after ever more turns; descriptors are counted after each. Where a
 * lookup or a delay is part of it, how many turns that takes is up to the machine: it must have
 * been too late for the cancel at last.
 */
template <class Call> void cancelAtEveryTurn(int rounds, Call call)
{
    constexpr int kTurnsMax = 1 << 24;
    int lost = 0;
    int won = 0;
    auto body = [&]() -> intptr_t { return call(); };
    auto cancelAfter = [&](int turns) {
        size_t before = openDescriptors().size();
        skua_future *future = spawnBody(body);
        for (int j = turns; j > 0; j--)
            skua_yield();
        (void)skua_cancel(future);
        intptr_t fd = skua_await(future);
        if (fd >= 0) {
            won++;
            EXPECT_EQ(skua_close(static_cast<int>(fd)), 0);
        } else {
            lost++;
            EXPECT_EQ(fd, -ECANCELED);
        }
        ASSERT_EQ(openDescriptors().size(), before) << "after " << turns << " turns: " << fd;
    };
    for (int i = 0; i < rounds && !testing::Test::HasFatalFailure();
         i += SKUA_TESTS_SANITIZED ? 5 : 1)
        cancelAfter(i);
    for (int i = rounds; won == 0 && i < kTurnsMax; i *= 2)
        cancelAfter(i);
    EXPECT_GT(lost, 0);
    EXPECT_GT(won, 0);
}

TEST_F(DialInATask, ACancelAtAnyTurnLeavesNoDescriptor)
{
    runInTask(
        [&] {
            Refuser refuser;
            Listener good;
            Listener local("unix:");
            BlackHole hole;
            names_.hosts["host.test"] = {refuser.address, good.address};
            cancelAtEveryTurn(400, [&] { return dial({good.address}, withDelay(kNever)); });
            cancelAtEveryTurn(400, [&] { return dial({local.address}, withDelay(kNever)); });
            cancelAtEveryTurn(400, [&] { return skua_dial("host.test", "80", nullptr); });
            cancelAtEveryTurn(1500, [&] {
                return dial({hole.address, good.address}, withDelay(100 * SKUA_NS_PER_US));
            });
        },
        1, kNoStandIns); /* one worker: nothing but the turns decides how far the dial has come */
}

/* As above, by time: the deadline passes at every moment of it. */
TEST_F(DialInATask, ADeadlineAtAnyMomentLeavesNoDescriptor)
{
    for (Where where : {Where::task, Where::executor, Where::foreignThread})
        runIn(
            where,
            [] {
                Refuser refuser;
                Listener good;
                BlackHole hole;
                size_t before = openDescriptors().size();
                int won = 0;
                for (unsigned i = 0; i < 200; i++) {
                    auto options =
                        withDelay(100 * SKUA_NS_PER_US, skua_after(i * 5 * SKUA_NS_PER_US));
                    int fd = dial({hole.address, refuser.address, good.address}, options);
                    won += fd >= 0;
                    EXPECT_EQ(fd >= 0 ? skua_close(fd) : fd, fd >= 0 ? 0 : -ETIMEDOUT);
                    ASSERT_EQ(openDescriptors().size(), before);
                }
                EXPECT_GT(won, 0);
                EXPECT_LT(won, 200);
            },
            kNoStandIns);
}

} // namespace
