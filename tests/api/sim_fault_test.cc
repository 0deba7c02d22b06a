/*
 * Tests the faults of skua/sim.h that the network's rates make: they are recorded, a script of them
 * makes the same execution, and what fails by one of them is shrunk to that one.
 */
#include "support/sim_net_kit.h"

#include <algorithm>
#include <set>
#include <vector>

using namespace skua_test;

namespace
{

class SimFault : public Simulated
{
};

/* What a program has noticed of the network's faults. */
struct Seen {
    std::vector<int> datagrams; /* in the order in which they came */
    bool refused = false;
    bool unanswered = false;
    bool reset = false;
    bool slow = false;
    int firstSlow = -1; /* of the messages */

    bool lost(int number) const
    {
        return std::find(datagrams.begin(), datagrams.end(), number) == datagrams.end();
    }
    bool doubled() const
    {
        return std::set<int>(datagrams.begin(), datagrams.end()).size() < datagrams.size();
    }
    bool overtaken() const
    {
        return !std::is_sorted(datagrams.begin(), datagrams.end());
    }
};

constexpr int kDatagrams = 12;

int udpAt(const char *text)
{
    skua_address at = addressOf(text);
    int fd = skua_socket(at.any.sa_family, SOCK_DGRAM, 0);
    EXPECT_EQ(skua_bind(fd, &at.any, at.size), 0);
    return fd;
}

void exchangeDatagrams(Seen &seen)
{
    int from = udpAt("10.0.0.1:5000"), to = udpAt("10.0.0.2:5001");
    skua_address address = addressOf("10.0.0.2:5001");
    for (int i = 0; i < kDatagrams; i++) {
        std::string text = std::to_string(i);
        EXPECT_GT(skua_sendto(from, text.data(), text.size(), 0, &address.any, address.size), 0);
        EXPECT_EQ(skua_sleep(kMs), 0);
    }
    EXPECT_EQ(skua_sleep(1000 * kMs), 0);
    char buffer[10];
    ssize_t n;
    while ((n = skua_recv(to, buffer, sizeof(buffer), MSG_DONTWAIT)) > 0)
        seen.datagrams.push_back(std::stoi(std::string(buffer, size_t(n))));
    close(from);
    close(to);
}

/* A connection, at the third attempt if need be, and messages over it. */
void exchangeMessages(Seen &seen)
{
    Listener listener("10.0.0.3:80");
    int client = -1;
    for (int i = 0; i < 3 && client < 0; i++) {
        client = dial(listener.address, "10.0.0.1:0");
        seen.refused |= client == -ECONNREFUSED;
        seen.unanswered |= client == -ETIMEDOUT;
    }
    if (client < 0)
        return;
    int server = skua_accept(listener.fd, nullptr, nullptr, 0);
    for (int i = 0; i < 10 && !seen.reset; i++) {
        uint64_t begun = skua_now();
        seen.reset |= put(client, "message") == -ECONNRESET || take(server) != "message";
        bool isSlow = skua_now() - begun > 5 * kMs;
        if (isSlow && !seen.slow)
            seen.firstSlow = i;
        seen.slow |= isSlow;
    }
    close(client);
    close(server);
}

/* Fails if @is_bad says so of what it has seen. */
template <class Judge> auto program(Judge isBad)
{
    return [isBad]() -> intptr_t {
        Seen seen;
        exchangeDatagrams(seen);
        exchangeMessages(seen);
        return isBad(seen) ? -EPROTO : 0;
    };
}

/* One in @one_in of everything. */
skua_sim_network faulty(unsigned one_in)
{
    skua_sim_network network = steady(kMs / 2);
    unsigned rate = 1000000 / one_in;
    network.connect_timeout_ns = 1000 * kMs;
    network.cut_max_ns = 100 * kMs;
    network.cuts_per_million = rate;
    network.resets_per_million = rate;
    network.refusals_per_million = 2 * rate;
    network.unanswered_per_million = 2 * rate;
    network.link.losses_per_million = rate;
    network.link.duplicates_per_million = rate;
    network.link.late_per_million = rate;
    return network;
}

skua_sim_options quietIn(const skua_sim_network &network)
{
    skua_sim_options options = withTestStack({});
    options.network = &network;
    options.is_quiet = true;
    return options;
}

TEST_F(SimFault, WhatTheRatesDidIsAScriptThatMakesTheSameExecution)
{
    skua_sim_network network = faulty(20);
    skua_sim_options options = quietIn(network);
    options.faults_per_million[SKUA_SIM_EINTR] = 20000;
    auto body = program([](const Seen &seen) { return seen.lost(3); });
    std::set<int> kinds;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        skua_sim_report report{}, again{};
        intptr_t rc = skua_sim_run(seed, &options, callValue<decltype(body)>, &body, &report);
        ASSERT_LE(report.fault_count, size_t{SKUA_SIM_FAULTS_MAX});
        static const skua_sim_fault none{};
        skua_sim_options scripted = options; /* the rates are to count for nothing */
        scripted.script = report.fault_count > 0 ? report.faults : &none;
        scripted.script_count = report.fault_count;
        EXPECT_EQ(skua_sim_run(seed, &scripted, callValue<decltype(body)>, &body, &again), rc);
        EXPECT_EQ(again.trace_hash, report.trace_hash) << "seed " << seed;
        EXPECT_EQ(again.fault_count, report.fault_count) << "seed " << seed;
        for (size_t i = 0; i < report.fault_count; i++) {
            kinds.insert(report.faults[i].kind);
            EXPECT_EQ(again.faults[i].operation, report.faults[i].operation);
            EXPECT_EQ(again.faults[i].delay_ns, report.faults[i].delay_ns);
        }
    }
    for (int kind = SKUA_SIM_LINK_CUT; kind < SKUA_SIM_FAULT_KINDS; kind++)
        EXPECT_EQ(kinds.count(kind), 1u) << kind;
}

/* Finds a seed that fails @judge's way among those with faults of all kinds, and shrinks it. */
template <class Judge>
skua_sim_report shrunk(const skua_sim_network &network, Judge judge, size_t *before = nullptr)
{
    skua_sim_options options = quietIn(network);
    skua_sim_report report{};
    auto body = program(judge);
    using Body = decltype(body);
    EXPECT_EQ(skua_sim_sweep(1, 2000, &options, callValue<Body>, &body, &report), -EPROTO);
    if (before != nullptr)
        *before = report.fault_count;
    EXPECT_GT(skua_sim_shrink(&options, callValue<Body>, &body, &report), 0);
    skua_sim_options scripted = quietIn(network);
    scripted.script = report.faults;
    scripted.script_count = report.fault_count;
    skua_sim_report again{};
    EXPECT_EQ(skua_sim_run(report.seed, &scripted, callValue<Body>, &body, &again), -EPROTO);
    EXPECT_EQ(again.fault_count, report.fault_count);
    return report;
}

TEST_F(SimFault, AFailureByOneDatagramIsShrunkToItsLoss)
{
    skua_sim_network network = faulty(8);
    network.cuts_per_million = 0; /* they lose datagrams, too */
    size_t before = 0;
    skua_sim_report report = shrunk(
        network, [](const Seen &seen) { return seen.lost(7) && !seen.lost(8); }, &before);
    EXPECT_GT(before, 1u);
    ASSERT_EQ(report.fault_count, 1u);
    EXPECT_EQ(report.faults[0].kind, SKUA_SIM_DATAGRAM_LOST);
    EXPECT_EQ(report.faults[0].operation, 7u);
}

TEST_F(SimFault, EveryKindOfTheNetworksIsShrunkToTheOneThatMatters)
{
    skua_sim_network network = faulty(12);
    auto only = [&](skua_sim_fault_kind kind, bool (*judge)(const Seen &)) {
        skua_sim_report report = shrunk(network, judge);
        ASSERT_EQ(report.fault_count, 1u) << kind;
        EXPECT_EQ(report.faults[0].kind, kind);
    };
    only(SKUA_SIM_LINK_CUT, [](const Seen &seen) { return seen.slow; });
    only(SKUA_SIM_CONNECTION_RESET, [](const Seen &seen) { return seen.reset; });
    only(SKUA_SIM_CONNECT_REFUSED, [](const Seen &seen) { return seen.refused; });
    only(SKUA_SIM_CONNECT_UNANSWERED, [](const Seen &seen) { return seen.unanswered; });
    only(SKUA_SIM_DATAGRAM_DOUBLED, [](const Seen &seen) { return seen.doubled(); });
    only(SKUA_SIM_DATAGRAM_LATE, [](const Seen &seen) { return seen.overtaken(); });
}

/* One lost, another one late: neither is enough. */
TEST_F(SimFault, TwoFaultsThatMatterAreBothKept)
{
    skua_sim_network network = faulty(6);
    network.cuts_per_million = 0;
    skua_sim_report report = shrunk(network, [](const Seen &seen) {
        return seen.lost(2) && seen.overtaken() && !seen.lost(3);
    });
    ASSERT_EQ(report.fault_count, 2u);
    EXPECT_NE(report.faults[0].kind, report.faults[1].kind);
}

/* The double is one more packet: without it the cut has another number. */
TEST_F(SimFault, WhatComesAfterAFaultThatIsLeftOutIsRenumbered)
{
    skua_sim_network network = steady(kMs / 2);
    const skua_sim_fault faults[] = {{3, SKUA_SIM_DATAGRAM_DOUBLED, 0, 0},
                                     {0, SKUA_SIM_CONNECT_REFUSED, 0, 0},
                                     {22, SKUA_SIM_LINK_CUT, 0, 50 * kMs}};
    auto body = program([](const Seen &seen) { return seen.firstSlow == 5; });
    using Body = decltype(body);
    skua_sim_options options = quietIn(network);
    options.script = faults;
    options.script_count = 3;
    skua_sim_report report{};
    /* Packets: thirteen datagrams, four of two connects, five messages. */
    ASSERT_EQ(skua_sim_run(1, &options, callValue<Body>, &body, &report), -EPROTO);
    ASSERT_EQ(report.fault_count, 3u);
    EXPECT_GT(skua_sim_shrink(&options, callValue<Body>, &body, &report), 0);
    ASSERT_EQ(report.fault_count, 1u);
    EXPECT_EQ(report.faults[0].kind, SKUA_SIM_LINK_CUT);
    EXPECT_EQ(report.faults[0].operation, 19u);
}

TEST_F(SimFault, ASweepPrintsTheFaultsOfTheNetworkThatMatter)
{
    setenv("SKUA_SIM_SHRINK", "1", 1);
    skua_sim_network network = faulty(8);
    network.cuts_per_million = 0;
    skua_sim_options options = quietIn(network);
    options.is_quiet = false;
    auto body = program([](const Seen &seen) { return seen.lost(7); });
    testing::internal::CaptureStderr();
    EXPECT_EQ(skua_sim_sweep(1, 2000, &options, callValue<decltype(body)>, &body, nullptr),
              -EPROTO);
    std::string text = testing::internal::GetCapturedStderr();
    unsetenv("SKUA_SIM_SHRINK");
    EXPECT_NE(text.find("{7, SKUA_SIM_DATAGRAM_LOST, 0, 0}"), std::string::npos) << text;
}

TEST_F(SimFault, AScriptMayBeWrittenByHand)
{
    skua_sim_network network = steady(kMs / 2);
    skua_sim_options options = quietIn(network);
    const skua_sim_fault faults[] = {{4, SKUA_SIM_DATAGRAM_LOST, 0, 0},
                                     {4, SKUA_SIM_DATAGRAM_LATE, 0, 20 * kMs},
                                     {6, SKUA_SIM_DATAGRAM_DOUBLED, 0, 0},
                                     {0, SKUA_SIM_CONNECT_REFUSED, 0, 0},
                                     {3, SKUA_SIM_CONNECTION_RESET, 0, 0}};
    options.script = faults;
    options.script_count = 5;
    Seen seen;
    auto body = [&]() -> intptr_t {
        exchangeDatagrams(seen);
        exchangeMessages(seen);
        return 0;
    };
    skua_sim_report report{};
    EXPECT_EQ(skua_sim_run(3, &options, callValue<decltype(body)>, &body, &report), 0);
    EXPECT_EQ(report.fault_count, 5u);
    EXPECT_TRUE(seen.lost(4) && seen.refused && seen.reset && !seen.unanswered && !seen.slow);
    /* Lateness is counted among those that are not lost: number 4 of them is datagram 5. */
    const std::vector<int> expected = {0, 1, 2, 3, 6, 6, 7, 8, 9, 10, 11, 5};
    EXPECT_EQ(seen.datagrams, expected);
}

TEST_F(SimFault, ACutOfAScriptLastsAsLongAsItSays)
{
    skua_sim_network network = steady(kMs / 2);
    skua_sim_options options = quietIn(network);
    skua_sim_fault fault = {1, SKUA_SIM_LINK_CUT, 0, 300 * kMs};
    options.script = &fault;
    options.script_count = 1;
    auto body = []() -> intptr_t {
        Listener listener("10.0.0.3:80");
        uint64_t begun = skua_now();
        int client = dial(listener.address); /* its answer is packet number 1 */
        uint64_t taken = skua_now() - begun;
        if (client >= 0)
            close(client);
        return client < 0 ? client : intptr_t(taken / kMs);
    };
    intptr_t rc = skua_sim_run(3, &options, callValue<decltype(body)>, &body, nullptr);
    EXPECT_GE(rc, 300);
    EXPECT_LT(rc, 310);
    fault.delay_ns = 0; /* for good */
    EXPECT_EQ(skua_sim_run(3, &options, callValue<decltype(body)>, &body, nullptr), -ETIMEDOUT);
}

TEST_F(SimFault, EachKindOfTheNetworksHasAnOrderOfItsOwn)
{
    skua_sim_options options = withTestStack({});
    skua_sim_fault faults[] = {{3, SKUA_SIM_DATAGRAM_LOST, 0, 0}, {3, SKUA_SIM_LINK_CUT, 0, 0}};
    auto body = []() -> intptr_t { return 0; };
    options.script = faults;
    options.script_count = 2;
    EXPECT_EQ(skua_sim_run(1, &options, callValue<decltype(body)>, &body, nullptr), 0);
    faults[1].kind = SKUA_SIM_DATAGRAM_LOST;
    EXPECT_EQ(skua_sim_run(1, &options, callValue<decltype(body)>, &body, nullptr), -EINVAL);
    faults[1].operation = 4;
    EXPECT_EQ(skua_sim_run(1, &options, callValue<decltype(body)>, &body, nullptr), 0);
}

} /* namespace */
