/*
 * Tests skua/sim_network.h: the simulated network keeps order and time, does what its links, cuts,
 * scripts and rates say, ends connections as TCP does, and is the same under the same seed.
 */
#include "support/sim_net_kit.h"
#include "support/stream_kit.h"

#include <cstring>
#include <set>

using namespace skua_test;

namespace
{

using SimNetwork = SimulatedNetwork;

TEST_F(SimNetwork, RefusesWhatIsNoNetwork)
{
    auto refused = [](const skua_sim_network &network) {
        auto body = []() -> intptr_t { return 0; };
        skua_sim_options options{};
        options.network = &network;
        return skua_sim_run(1, &options, callValue<decltype(body)>, &body, nullptr) == -EINVAL;
    };
    skua_sim_network network{};
    EXPECT_FALSE(refused(network));
    network.reserved[1] = 1;
    EXPECT_TRUE(refused(network));
    network = {};
    network.link.reserved[1] = 1;
    EXPECT_TRUE(refused(network));
    network = {};
    network.buffer_bytes = size_t{1} << 20;
    EXPECT_TRUE(refused(network));
    network = {};
    network.script_count = 1;
    EXPECT_TRUE(refused(network));
    skua_sim_network_event events[] = {{5, SKUA_SIM_CUT, nullptr, nullptr},
                                       {4, SKUA_SIM_HEAL, nullptr, nullptr}};
    network.script = events;
    network.script_count = 2;
    EXPECT_TRUE(refused(network));
    events[1].at_ns = 5;
    EXPECT_FALSE(refused(network));
    events[1].a = "nowhere";
    EXPECT_TRUE(refused(network));
    EXPECT_EQ(skua_sim_network_cut(nullptr, nullptr), -EPERM);
    EXPECT_EQ(skua_sim_network_heal(nullptr, nullptr), -EPERM);
    EXPECT_EQ(skua_sim_network_reset(nullptr, nullptr), -EPERM);
    skua_sim_network_stats stats;
    EXPECT_EQ(skua_sim_network_get_stats(&stats), -EPERM);
    skua_sim_link link{};
    EXPECT_EQ(skua_sim_network_set_link(nullptr, nullptr, &link), -EPERM);
    run([] {
        EXPECT_EQ(skua_sim_network_cut("here", nullptr), -EINVAL);
        EXPECT_EQ(skua_sim_network_set_link(nullptr, nullptr, nullptr), -EINVAL);
        EXPECT_EQ(skua_sim_network_get_stats(nullptr), -EINVAL);
    });
}

/* ---- time ------------------------------------------------------------------------------------ */

TEST_F(SimNetwork, ARoundTripTakesTwiceTheLatency)
{
    run(
        [] {
            uint64_t begun = skua_now();
            Pair pair;
            EXPECT_GE(skua_now() - begun, 40 * kMs);
            EXPECT_LE(skua_now() - begun, 42 * kMs);
            begun = skua_now();
            EXPECT_EQ(put(pair.client, "ping"), 4);
            EXPECT_EQ(take(pair.server), "ping");
            EXPECT_EQ(put(pair.server, "pong"), 4);
            EXPECT_EQ(take(pair.client), "pong");
            EXPECT_GE(skua_now() - begun, 40 * kMs);
            EXPECT_LE(skua_now() - begun, 42 * kMs);
        },
        steady(20 * kMs));
}

TEST_F(SimNetwork, ALinkMayBeSlowerThanOthers)
{
    run(
        [] {
            skua_sim_link slow{};
            slow.latency_ns = 500 * kMs;
            EXPECT_EQ(skua_sim_network_set_link("10.0.0.1:0", "10.0.0.9:0", &slow), 0);
            uint64_t begun = skua_now();
            Pair near("10.0.0.1:80", "10.0.0.2:0");
            EXPECT_LE(skua_now() - begun, 10 * kMs);
            begun = skua_now();
            Pair far("10.0.0.1:81", "10.0.0.9:0");
            EXPECT_GE(skua_now() - begun, 1000 * kMs);
            slow.latency_ns = 2 * kMs; /* it becomes a fast one */
            EXPECT_EQ(skua_sim_network_set_link("10.0.0.9:0", nullptr, &slow), 0);
            begun = skua_now();
            EXPECT_EQ(put(far.client, "x"), 1);
            EXPECT_EQ(take(far.server), "x");
            EXPECT_LE(skua_now() - begun, 5 * kMs);
        },
        steady(kMs));
}

TEST_F(SimNetwork, ABandwidthIsSharedByTheConnectionsOfALink)
{
    skua_sim_network network = steady(kMs);
    network.link.bytes_per_second = 1000000;
    run(
        [] {
            Pair one("10.0.0.1:80");
            Pair two("10.0.0.1:81");
            uint64_t begun = skua_now();
            Tasks tasks;
            for (Pair *pair : {&one, &two}) {
                tasks.add(
                    [=]() -> intptr_t { return put(pair->client, std::string(250000, 'x')); });
                tasks.add([=]() -> intptr_t {
                    std::string bytes(250000, '\0');
                    return skua_recv_all(pair->server, &bytes[0], bytes.size());
                });
            }
            for (size_t i = 0; i < tasks.count(); i++)
                EXPECT_EQ(tasks.result(i), 250000);
            EXPECT_GE(skua_now() - begun, 490 * kMs);
            EXPECT_LE(skua_now() - begun, 560 * kMs);
        },
        network);
}

TEST_F(SimNetwork, OrderIsKeptInAConnectionAndNotBetweenTwo)
{
    skua_sim_network network{};
    network.link.latency_ns = kMs;
    network.link.jitter_ns = 20 * kMs;
    bool overtaken = false, in_order = false;
    for (uint64_t seed = 1; seed <= 20; seed++)
        run(
            [&] {
                Pair one("10.0.0.1:80");
                Pair two("10.0.0.1:81");
                EXPECT_EQ(put(one.client, "a"), 1);
                EXPECT_EQ(put(two.client, "b"), 1);
                uint64_t arrived[2] = {};
                Tasks tasks;
                for (int i : {0, 1})
                    tasks.add([&, i]() -> intptr_t {
                        EXPECT_EQ(take(i ? two.server : one.server), i ? "b" : "a");
                        arrived[i] = skua_now();
                        return 0;
                    });
                EXPECT_EQ(tasks.result(0) + tasks.result(1), 0);
                (arrived[1] < arrived[0] ? overtaken : in_order) = true;
                std::string sent, got, part;
                for (int i = 0; i < 50; i++) {
                    std::string line = std::to_string(i) + ",";
                    sent += line;
                    EXPECT_EQ(put(one.client, line), ssize_t(line.size()));
                    EXPECT_EQ(skua_sleep(kMs), 0);
                }
                EXPECT_EQ(skua_shutdown(one.client, SHUT_WR), 0);
                while (part = take(one.server), !part.empty())
                    got += part;
                EXPECT_EQ(got, sent);
            },
            network, seed);
    EXPECT_TRUE(overtaken);
    EXPECT_TRUE(in_order);
}

TEST_F(SimNetwork, AWriterWaitsForASlowReader)
{
    skua_sim_network network{};
    network.buffer_bytes = 4096;
    run(
        [] {
            Pair pair;
            size_t sent = 0;
            Tasks tasks;
            tasks.add([&]() -> intptr_t {
                char block[1000] = {};
                while (sent < 100000) {
                    ssize_t n = skua_send(pair.client, block, sizeof(block), 0);
                    EXPECT_GT(n, 0);
                    sent += size_t(n);
                }
                return 0;
            });
            EXPECT_EQ(skua_sleep(1000 * kMs), 0);
            EXPECT_GE(sent, 8000u);
            EXPECT_LE(sent, 2 * 4096u);
            char byte;
            EXPECT_EQ(skua_send(pair.client, &byte, 1, MSG_DONTWAIT), -EAGAIN);
            EXPECT_EQ(pollFor(kMs, pair.client, POLLOUT), -ETIMEDOUT);
            size_t got = 0;
            while (got < 100000) {
                got += take(pair.server, 5000).size();
                EXPECT_EQ(skua_sleep(kMs), 0);
                EXPECT_LE(sent - got, 2 * 4096u);
            }
            EXPECT_EQ(tasks.result(0), 0);
            EXPECT_EQ(skua_recv(pair.server, &byte, 1, MSG_DONTWAIT), -EAGAIN);
            EXPECT_EQ(pollFor(kMs, pair.client, POLLOUT), POLLOUT);
            EXPECT_EQ(pollFor(kMs, pair.server, POLLIN), -ETIMEDOUT);
        },
        network);
}

/* ---- ends ------------------------------------------------------------------------------------ */

TEST_F(SimNetwork, HalfOfAConnectionMayBeClosed)
{
    skua_sim_report report = run([] {
        Pair pair;
        EXPECT_EQ(put(pair.client, "request"), 7);
        EXPECT_EQ(skua_shutdown(pair.client, SHUT_WR), 0);
        EXPECT_EQ(take(pair.server), "request");
        EXPECT_EQ(take(pair.server), "");
        EXPECT_EQ(put(pair.client, "more"), -EPIPE);
        EXPECT_EQ(put(pair.server, "answer"), 6);
        pair.closeServer();
        EXPECT_EQ(take(pair.client), "answer");
        EXPECT_EQ(take(pair.client), "");
    });
    EXPECT_EQ(report.network.resets, 0u);
    EXPECT_EQ(report.network.connections, 1u);
    EXPECT_EQ(report.network.sockets_open, 0u);
}

TEST_F(SimNetwork, AResetIsToldOnceAndAfterWhatHasArrived)
{
    skua_sim_report report = run([] {
        Pair pair;
        EXPECT_EQ(put(pair.client, "before"), 6);
        EXPECT_EQ(skua_sleep(kMs), 0);
        EXPECT_EQ(skua_sim_network_reset("10.0.0.1:80", nullptr), 1);
        EXPECT_EQ(take(pair.server), "before");
        EXPECT_EQ(take(pair.server), kReset);
        EXPECT_EQ(take(pair.server), "");
        EXPECT_EQ(put(pair.client, "after"), -ECONNRESET);
        EXPECT_EQ(put(pair.client, "after"), -EPIPE);
        EXPECT_EQ(skua_sim_network_reset("10.0.0.1:80", nullptr), 0);
    });
    EXPECT_EQ(report.network.resets, 2u);
}

TEST_F(SimNetwork, WhoWritesToAClosedSocketIsReset)
{
    run([] {
        Pair pair;
        pair.closeServer();
        EXPECT_EQ(skua_sleep(kMs), 0);
        EXPECT_EQ(put(pair.client, "first"), 5); /* it learns by the answer to that */
        EXPECT_EQ(skua_sleep(kMs), 0);
        EXPECT_EQ(put(pair.client, "second"), -ECONNRESET);
        EXPECT_EQ(put(pair.client, "third"), -EPIPE);
    });
}

TEST_F(SimNetwork, AClosedSocketWithBytesUnreadResetsItsPeer)
{
    run([] {
        Pair pair;
        EXPECT_EQ(put(pair.client, "unread"), 6);
        EXPECT_EQ(skua_sleep(kMs), 0);
        pair.closeServer();
        EXPECT_EQ(take(pair.client), kReset);
    });
}

TEST_F(SimNetwork, AWaitIsEndedByAReset)
{
    run([] {
        Pair pair;
        Tasks tasks;
        tasks.addAndLetWait([&]() -> intptr_t {
            EXPECT_EQ(take(pair.client), kReset);
            return 0;
        });
        tasks.addAndLetWait([&]() -> intptr_t {
            int events = skua_poll(pair.server, POLLIN);
            EXPECT_TRUE(events & POLLERR) << events;
            return 0;
        });
        EXPECT_EQ(skua_sim_network_reset(nullptr, nullptr), 1);
        EXPECT_EQ(tasks.result(0) + tasks.result(1), 0);
        EXPECT_EQ(take(pair.client), "");
    });
}

/* ---- connecting ------------------------------------------------------------------------------ */

TEST_F(SimNetwork, NobodyListensRefuses)
{
    skua_sim_report report = run(
        [] {
            uint64_t begun = skua_now();
            EXPECT_EQ(dial(addressOf("10.0.0.1:80")), -ECONNREFUSED);
            EXPECT_GE(skua_now() - begun, 20 * kMs);
            int fd = skua_socket(AF_INET6, SOCK_STREAM, 0);
            skua_address to = addressOf("[::1]:80");
            EXPECT_EQ(skua_connect(fd, &to.any, to.size), -ECONNREFUSED);
            EXPECT_EQ(skua_connect(fd, &to.any, to.size), -ECONNREFUSED); /* again */
            EXPECT_EQ(skua_close(fd), 0);
        },
        steady(10 * kMs));
    EXPECT_EQ(report.network.refusals, 3u);
}

TEST_F(SimNetwork, AConnectThatIsNotAnsweredTimesOut)
{
    skua_sim_network network{};
    network.unanswered_per_million = 1000000;
    network.connect_timeout_ns = 3000 * kMs;
    run(
        [] {
            Listener listener("10.0.0.1:80");
            uint64_t begun = skua_now();
            EXPECT_EQ(dial(listener.address), -ETIMEDOUT);
            EXPECT_EQ((skua_now() - begun) / (1000 * kMs), 3u);
            begun = skua_now();
            EXPECT_EQ(dial(listener.address, nullptr, skua_after(50 * kMs)), -ETIMEDOUT);
            EXPECT_LE(skua_now() - begun, 51 * kMs);
        },
        network);
    network.unanswered_per_million = 0;
    network.refusals_per_million = 1000000;
    run(
        [] {
            Listener listener("10.0.0.1:80");
            EXPECT_EQ(dial(listener.address), -ECONNREFUSED);
        },
        network);
}

TEST_F(SimNetwork, AFullBacklogAnswersLater)
{
    run([] {
        skua_listen_options options{};
        options.backlog = 1;
        Listener listener("10.0.0.1:80", &options);
        std::vector<int> fds;
        for (int i = 0; i < 2; i++)
            fds.push_back(dial(listener.address));
        uint64_t begun = skua_now();
        Tasks tasks;
        tasks.addAndLetWait([&]() -> intptr_t { return dial(listener.address); });
        EXPECT_EQ(skua_sleep(500 * kMs), 0);
        fds.push_back(skua_accept(listener.fd, nullptr, nullptr, 0));
        fds.push_back(int(tasks.result(0)));
        EXPECT_GE(skua_now() - begun, 1000 * kMs); /* its second packet */
        for (int fd : fds) {
            EXPECT_GE(fd, 0);
            close(fd);
        }
    });
}

/* It has connected, and nobody will accept it. */
TEST_F(SimNetwork, AListenerThatIsClosedResetsItsBacklog)
{
    run([] {
        int fd = -1;
        {
            Listener listener("10.0.0.1:80");
            fd = dial(listener.address);
        }
        EXPECT_EQ(take(fd), kReset);
        close(fd);
        Listener again("10.0.0.1:80");
    });
}

TEST_F(SimNetwork, ADialTriesTheNextAddressWhenOneIsCutOff)
{
    run([] {
        Listener six("[2001:db8::7]:80");
        Listener four("10.0.0.7:80");
        EXPECT_EQ(skua_sim_network_cut("[2001:db8::7]:0", nullptr), 0);
        skua_address addresses[] = {six.address, four.address};
        uint64_t begun = skua_now();
        int fd = skua_dial_addresses(addresses, 2, nullptr);
        ASSERT_GE(fd, 0);
        EXPECT_GE(skua_now() - begun, 250 * kMs);
        EXPECT_LE(skua_now() - begun, 260 * kMs);
        skua_address peer{};
        EXPECT_EQ(skua_address_of_peer(fd, &peer), 0);
        EXPECT_EQ(peer, four.address);
        close(fd);
    });
}

TEST_F(SimNetwork, AnExecutorsThreadDialsToo)
{
    run(
        [] {
            Listener listener("10.0.0.1:80");
            auto job = [&]() -> intptr_t {
                int fd = dial(listener.address);
                EXPECT_EQ(put(fd, "x"), 1);
                return fd;
            };
            skua_future *future = offloadBody(nullptr, job);
            int fd = skua_accept(listener.fd, nullptr, nullptr, 0);
            EXPECT_EQ(take(fd), "x");
            close(fd);
            close(int(skua_await(future)));
            auto late = [&]() -> intptr_t {
                EXPECT_EQ(skua_sim_network_cut("10.0.0.1:0", nullptr), 0);
                return dial(listener.address, nullptr, skua_after(kMs));
            };
            EXPECT_EQ(skua_await(offloadBody(nullptr, late)), -ETIMEDOUT);
        },
        steady(5 * kMs));
}

/* Its accepts fail, it waits, turns some away, and goes on. */
TEST_F(SimNetwork, AServerWithoutDescriptorsPausesAndGoesOn)
{
    skua_server_stats stats{};
    auto body = [&] {
        skua_address at = addressOf("10.0.0.1:80");
        int listener;
        while ((listener = skua_listen_at(&at, nullptr)) < 0)
            EXPECT_EQ(listener, -EMFILE);
        skua_server_options options{};
        options.listeners = &listener;
        options.listener_count = 1;
        options.handle = [](skua_connection *connection, void *) -> intptr_t {
            return skua_send(skua_connection_fd(connection), "x", 1, 0);
        };
        skua_server *server = nullptr;
        EXPECT_EQ(skua_server_start(&options, &server), 0);
        for (int served = 0; served < 10;) {
            int fd = dial(at);
            if (fd < 0)
                continue;
            served += take(fd) == "x";
            close(fd);
        }
        EXPECT_EQ(skua_server_get_stats(server, &stats), 0);
        EXPECT_EQ(skua_server_stop(server, SKUA_FOREVER), 0);
        close(listener);
    };
    skua_sim_options options{};
    options.faults_per_million[SKUA_SIM_EMFILE] = 300000;
    sweepSeeds(body, 20, options);
    EXPECT_GT(stats.pauses, 0u);
    EXPECT_GE(stats.accepted, 10u);
}

/* ---- partitions ------------------------------------------------------------------------------ */

TEST_F(SimNetwork, WhatIsSentDuringACutArrivesWhenItIsHealed)
{
    skua_sim_report report = run([] {
        Pair pair("10.0.0.1:80", "10.0.0.2:0");
        Pair other("10.0.0.1:81", "10.0.0.3:0");
        EXPECT_EQ(skua_sim_network_cut("10.0.0.1:0", "10.0.0.2:0"), 0);
        EXPECT_EQ(put(pair.client, "one "), 4);
        EXPECT_EQ(put(pair.server, "back"), 4);
        EXPECT_EQ(skua_sleep(1000 * kMs), 0);
        EXPECT_EQ(put(pair.client, "two"), 3);
        EXPECT_EQ(skua_shutdown(pair.client, SHUT_WR), 0);
        EXPECT_EQ(put(other.client, "else"), 4);
        EXPECT_EQ(take(other.server), "else"); /* others are not concerned */
        char byte;
        EXPECT_EQ(skua_recv(pair.server, &byte, 1, MSG_DONTWAIT), -EAGAIN);
        EXPECT_EQ(skua_sim_network_heal("10.0.0.2:0", "10.0.0.3:0"), 0);
        EXPECT_EQ(skua_sim_network_heal("10.0.0.2:0", "10.0.0.1:0"), 1);
        std::string got(7, '\0');
        EXPECT_EQ(skua_recv_all(pair.server, &got[0], 7), 7);
        EXPECT_EQ(got, "one two");
        EXPECT_EQ(take(pair.server), "");
        EXPECT_EQ(take(pair.client), "back");
    });
    EXPECT_EQ(report.network.cuts, 1u);
}

TEST_F(SimNetwork, ACutMayResetWhatItCuts)
{
    skua_sim_network network{};
    network.resets_at_cut = true;
    run(
        [] {
            Pair pair("10.0.0.1:80", "10.0.0.2:0");
            Pair other("10.0.0.1:81", "10.0.0.3:0");
            EXPECT_EQ(skua_sim_network_cut("10.0.0.2:0", nullptr), 0);
            EXPECT_EQ(take(pair.client), kReset);
            EXPECT_EQ(take(pair.server), kReset);
            EXPECT_EQ(put(other.client, "x"), 1);
            EXPECT_EQ(take(other.server), "x");
        },
        network);
}

TEST_F(SimNetwork, AScriptCutsAndHealsAtItsTimes)
{
    const skua_sim_network_event events[] = {
        {100 * kMs, SKUA_SIM_CUT, "10.0.0.1:80", nullptr},
        {400 * kMs, SKUA_SIM_HEAL, "10.0.0.1:80", nullptr},
        {600 * kMs, SKUA_SIM_RESET, nullptr, "10.0.0.1:80"},
    };
    skua_sim_network network = steady(kMs);
    network.script = events;
    network.script_count = 3;
    run(
        [] {
            uint64_t begun = skua_now();
            Pair pair;
            EXPECT_EQ(skua_sleep_until(begun + 200 * kMs), 0);
            EXPECT_EQ(put(pair.client, "x"), 1);
            EXPECT_EQ(take(pair.server), "x");
            EXPECT_EQ((skua_now() - begun) / kMs, 401u);
            EXPECT_EQ(take(pair.server), kReset);
            EXPECT_EQ((skua_now() - begun) / kMs, 600u);
        },
        network);
}

TEST_F(SimNetwork, WithNobodyToHealItADeadlockIsReported)
{
    auto body = []() -> intptr_t {
        Pair pair;
        EXPECT_EQ(skua_sim_network_cut(nullptr, nullptr), 0);
        EXPECT_EQ(put(pair.client, "x"), 1);
        EXPECT_EQ(take(pair.server), std::to_string(-ECANCELED));
        return 0;
    };
    skua_sim_options options = withTestStack({});
    options.is_quiet = true;
    EXPECT_EQ(skua_sim_run(1, &options, callValue<decltype(body)>, &body, nullptr), -EDEADLK);
}

/* ---- names ----------------------------------------------------------------------------------- */

TEST_F(SimNetwork, SocketsHaveTheAddressesTheyShould)
{
    run([] {
        Listener any(":0");
        EXPECT_GE(portOf(any.address), 32768u);
        std::string port = std::to_string(portOf(any.address));
        Pair pair("10.0.0.1:80", "10.0.0.2:1234");
        EXPECT_EQ(textOf(ownAddress(pair.client)), "10.0.0.2:1234");
        EXPECT_EQ(textOf(ownAddress(pair.server)), "10.0.0.1:80");
        skua_address peer{};
        EXPECT_EQ(skua_address_of_peer(pair.server, &peer), 0);
        EXPECT_EQ(textOf(peer), "10.0.0.2:1234");
        for (std::string host : {"127.0.0.1", "[::1]", "10.1.2.3", "[2001:db8::5]", "0.0.0.0"}) {
            int fd = dial(addressOf(host + ":" + port));
            ASSERT_GE(fd, 0) << host;
            skua_address from{};
            from.size = sizeof(from.storage);
            int accepted = skua_accept(any.fd, &from.any, &from.size, 0);
            ASSERT_GE(accepted, 0);
            EXPECT_EQ(from.any.sa_family, AF_INET6); /* the listener's */
            EXPECT_EQ(portOf(from), portOf(ownAddress(fd)));
            close(fd);
            close(accepted);
        }
        EXPECT_EQ(skua_address_of_peer(any.fd, &peer), -ENOTCONN);
    });
}

TEST_F(SimNetwork, AnAddressIsTakenUntilItsSocketIsClosed)
{
    run([] {
        skua_address at = addressOf("10.0.0.1:80");
        skua_address any = addressOf("0.0.0.0:80");
        skua_listen_options sharing{};
        sharing.flags = SKUA_LISTEN_REUSEPORT;
        {
            Listener listener("10.0.0.1:80");
            EXPECT_EQ(skua_listen_at(&at, nullptr), -EADDRINUSE);
            EXPECT_EQ(skua_listen_at(&any, nullptr), -EADDRINUSE);
            EXPECT_EQ(skua_listen_at(&any, &sharing), -EADDRINUSE);
            Listener other("10.0.0.2:80");
        }
        Listener one("10.0.0.1:80", &sharing);
        Listener two("10.0.0.1:80", &sharing);
        std::set<int> accepted_by;
        for (int i = 0; i < 20; i++) {
            int fd = dial(at);
            for (Listener *listener : {&one, &two}) {
                int accepted = skua_poll(listener->fd, POLLIN | POLLOUT) & POLLIN
                                   ? skua_accept(listener->fd, nullptr, nullptr, 0)
                                   : -1;
                if (accepted < 0)
                    continue;
                accepted_by.insert(listener->fd);
                close(accepted);
            }
            close(fd);
        }
        EXPECT_EQ(accepted_by.size(), 2u);
    });
}

TEST_F(SimNetwork, CallsOnTheWrongSocketFailAsInLinux)
{
    run([] {
        char byte = 0;
        int fd = skua_socket(AF_INET, SOCK_STREAM, 0);
        skua_address six = addressOf("[::1]:80");
        EXPECT_EQ(skua_recv(fd, &byte, 1, 0), -ENOTCONN);
        EXPECT_EQ(skua_send(fd, &byte, 1, 0), -EPIPE);
        EXPECT_EQ(skua_accept(fd, nullptr, nullptr, 0), -EINVAL);
        EXPECT_EQ(skua_shutdown(fd, SHUT_RD), -ENOTCONN);
        EXPECT_EQ(skua_bind(fd, &six.any, six.size), -EAFNOSUPPORT);
        close(fd);
        Pair pair;
        skua_address to = pair.listener.address;
        EXPECT_EQ(skua_connect(pair.server, &to.any, to.size), -EISCONN);
        EXPECT_EQ(skua_listen(pair.client, 1), -EINVAL);
        int udp = skua_socket(AF_INET, SOCK_DGRAM, 0);
        EXPECT_EQ(skua_listen(udp, 1), -EOPNOTSUPP);
        EXPECT_EQ(skua_send(udp, &byte, 1, 0), -EDESTADDRREQ);
        close(udp);
    });
}

/* ---- all of it ------------------------------------------------------------------------------- */

TEST_F(SimNetwork, SocketsLeftOpenAreCounted)
{
    int fds[2] = {-1, -1};
    skua_sim_report report = run([&] {
        Pair pair;
        fds[0] = std::exchange(pair.client, -1);
        fds[1] = skua_socket(AF_INET, SOCK_DGRAM, 0);
    });
    EXPECT_EQ(report.network.sockets_open, 2u);
    for (int fd : fds)
        close(fd);
}

/* Streams over everything that goes wrong; what is read is a beginning of what was written. */
TEST_F(SimNetwork, TheSameSeedIsTheSameNetwork)
{
    skua_sim_network network{};
    network.buffer_bytes = 3000;
    network.cuts_per_million = 20000;
    network.cut_max_ns = 50 * kMs;
    network.resets_per_million = 3000;
    network.refusals_per_million = 100000;
    network.link.bytes_per_second = 10000000;
    size_t whole = 0, cut_short = 0, cuts = 0;
    std::set<uint64_t> hashes;
    auto body = [&] {
        Listener listener("10.0.0.1:80");
        int client = dial(listener.address);
        if (client < 0)
            return;
        int server = skua_accept(listener.fd, nullptr, nullptr, 0);
        std::string bytes = patternBytes(20000);
        Tasks tasks;
        tasks.add([&]() -> intptr_t {
            (void)put(client, bytes);
            close(client);
            return 0;
        });
        std::string got, part;
        while (part = take(server, 700), !part.empty() && part != kReset)
            got += part;
        close(server);
        EXPECT_EQ(tasks.result(0), 0);
        EXPECT_EQ(got, bytes.substr(0, got.size()));
        (got.size() == bytes.size() ? whole : cut_short)++;
    };
    for (uint64_t seed = 1; seed <= 100; seed++) {
        network.resets_at_cut = seed % 4 == 0;
        skua_sim_report first = run(body, network, seed), again = run(body, network, seed);
        EXPECT_EQ(first.trace_hash, again.trace_hash) << seed;
        EXPECT_EQ(first.virtual_ns, again.virtual_ns) << seed;
        EXPECT_EQ(first.network.packets, again.network.packets) << seed;
        hashes.insert(first.trace_hash);
        cuts += first.network.cuts;
    }
    EXPECT_GT(hashes.size(), 99u);
    EXPECT_GT(cuts, 10u);
    EXPECT_GT(whole, 50u);
    EXPECT_GT(cut_short, 5u);
}

} /* namespace */
