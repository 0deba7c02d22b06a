/*
 * Tests skua/sim_network.h: datagrams, which are lost, doubled and late, and simulated Unix
 * sockets, which are not.
 */
#include "support/sim_net_kit.h"
#include "support/temp_dir.h"

#include <algorithm>
#include <set>

using namespace skua_test;

namespace
{

using SimDatagrams = SimulatedNetwork;

/* ---- datagrams ------------------------------------------------------------------------------- */

int udpAt(const std::string &text)
{
    skua_address at = addressOf(text);
    int fd = skua_socket(at.any.sa_family, SOCK_DGRAM, 0);
    EXPECT_EQ(skua_bind(fd, &at.any, at.size), 0);
    return fd;
}

ssize_t sendTo(int fd, const std::string &bytes, const std::string &text)
{
    skua_address to = addressOf(text);
    return skua_sendto(fd, bytes.data(), bytes.size(), 0, &to.any, to.size);
}

TEST_F(SimDatagrams, DatagramsAreWholeAndTellWhoSentThem)
{
    run([] {
        int a = udpAt("10.0.0.1:5000");
        int b = udpAt("10.0.0.2:5001");
        EXPECT_EQ(sendTo(a, "hello", "10.0.0.2:5001"), 5);
        skua_address from{};
        from.size = sizeof(from.storage);
        char buffer[10] = {};
        EXPECT_EQ(skua_recv(b, buffer, 2, MSG_PEEK), 2);
        EXPECT_EQ(skua_recvfrom(b, buffer, sizeof(buffer), 0, &from.any, &from.size), 5);
        EXPECT_STREQ(buffer, "hello");
        EXPECT_EQ(textOf(from), "10.0.0.1:5000");
        EXPECT_EQ(sendTo(a, "truncated", "10.0.0.2:5001"), 9);
        EXPECT_EQ(skua_recv(b, buffer, 4, MSG_TRUNC), 9);
        EXPECT_EQ(skua_recv(b, buffer, 4, MSG_DONTWAIT), -EAGAIN); /* the rest is gone */
        EXPECT_EQ(sendTo(a, std::string(70000, 'x'), "10.0.0.2:5001"), -EMSGSIZE);
        EXPECT_EQ(sendTo(a, "", "10.0.0.2:5001"), 0);
        EXPECT_EQ(skua_recv(b, buffer, 4, 0), 0);
        EXPECT_EQ(pollFor(kMs, b, POLLIN), -ETIMEDOUT);
        skua_address nobody = addressOf("10.0.0.3:9");
        EXPECT_EQ(skua_connect(a, &nobody.any, nobody.size), 0);
        EXPECT_EQ(skua_send(a, "x", 1, 0), 1);
        EXPECT_EQ(take(a), std::to_string(-ECONNREFUSED));
        close(a);
        close(b);
    });
}

/* What becomes of @count datagrams: the numbers that arrive, in their order. */
std::vector<int> arrivals(int count)
{
    std::vector<int> got;
    int a = udpAt("10.0.0.1:5000");
    int b = udpAt("10.0.0.2:5001");
    for (int i = 0; i < count; i++) {
        EXPECT_GT(sendTo(a, std::to_string(i), "10.0.0.2:5001"), 0);
        EXPECT_EQ(skua_sleep(kMs), 0);
    }
    EXPECT_EQ(skua_sleep(100 * kMs), 0);
    char buffer[10];
    ssize_t n;
    while ((n = skua_recv(b, buffer, sizeof(buffer), MSG_DONTWAIT)) > 0)
        got.push_back(std::stoi(std::string(buffer, size_t(n))));
    close(a);
    close(b);
    return got;
}

TEST_F(SimDatagrams, DatagramsAreLostDoubledAndOvertaken)
{
    std::vector<int> got;
    auto body = [&] { got = arrivals(200); };
    skua_sim_network network = steady(kMs / 2);
    run(body, network);
    EXPECT_EQ(got.size(), 200u);
    EXPECT_TRUE(std::is_sorted(got.begin(), got.end()));

    network.link.losses_per_million = 300000;
    skua_sim_report report = run(body, network);
    EXPECT_EQ(got.size() + report.network.losses, 200u);
    EXPECT_GT(report.network.losses, 30u);
    EXPECT_LT(report.network.losses, 90u);

    network.link.losses_per_million = 0;
    network.link.duplicates_per_million = 300000;
    run(body, network);
    EXPECT_GT(got.size(), 230u);
    EXPECT_EQ(std::set<int>(got.begin(), got.end()).size(), 200u);

    network.link.duplicates_per_million = 0;
    network.link.late_per_million = 300000;
    run(body, network);
    EXPECT_EQ(got.size(), 200u);
    EXPECT_FALSE(std::is_sorted(got.begin(), got.end()));

    EXPECT_EQ(run(body, network, 5).trace_hash, run(body, network, 5).trace_hash);
    run(
        [&] {
            EXPECT_EQ(skua_sim_network_cut("10.0.0.1:0", nullptr), 0);
            EXPECT_TRUE(arrivals(5).empty());
        },
        network);
}

/* ---- Unix sockets ---------------------------------------------------------------------------- */

TEST_F(SimDatagrams, UnixSocketsAreSimulatedIfTheyAreToBe)
{
    skua_sim_network network{};
    TempDir dir;
    std::string path = "unix:" + dir.file("socket");
    network.has_unix = true;
    for (std::string name : {std::string("unix:@skua-sim"), path}) {
        skua_sim_report report = run(
            [&] {
                Pair pair(name);
                EXPECT_EQ(put(pair.client, "hello"), 5);
                EXPECT_EQ(take(pair.server), "hello");
                EXPECT_EQ(textOf(ownAddress(pair.server)), name);
                EXPECT_EQ(skua_sim_network_reset(name.c_str(), nullptr), 1);
                EXPECT_EQ(take(pair.client), kReset);
                skua_address at = addressOf(name);
                skua_listen_options options{};
                options.flags = SKUA_LISTEN_REPLACE;
                EXPECT_EQ(skua_listen_at(&at, &options), -EADDRINUSE);
            },
            network);
        EXPECT_GE(report.network.connections, 1u);
    }
    run(
        [&] {
            EXPECT_EQ(dial(addressOf(path)), -ECONNREFUSED); /* the file is still there */
            skua_listen_options options{};
            options.flags = SKUA_LISTEN_REPLACE;
            Listener again(path, &options);
            EXPECT_EQ(unlink(dir.file("socket").c_str()), 0);
            EXPECT_EQ(dial(addressOf(path)), -ENOENT);
        },
        network);
}

TEST_F(SimDatagrams, UnixDatagramsAreNotLost)
{
    skua_sim_network network{};
    network.has_unix = true;
    network.link.losses_per_million = 1000000;
    network.buffer_bytes = 1000;
    run(
        [] {
            int a = udpAt("unix:@a");
            int b = udpAt("unix:@b");
            skua_address to = addressOf("unix:@b");
            EXPECT_EQ(sendTo(a, "x", "unix:@c"), -ECONNREFUSED);
            EXPECT_EQ(skua_connect(a, &to.any, to.size), 0);
            Tasks tasks;
            tasks.addAndLetWait([&]() -> intptr_t {
                for (int i = 0; i < 100; i++)
                    EXPECT_EQ(skua_send(a, "0123456789", 10, 0), 10);
                return 0;
            });
            EXPECT_EQ(skua_sleep(kMs), 0);
            for (int i = 0; i < 100; i++)
                EXPECT_EQ(take(b), "0123456789");
            EXPECT_EQ(tasks.result(0), 0);
            close(a);
            close(b);
        },
        network);
}

} /* namespace */
