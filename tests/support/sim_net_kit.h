/*
 * support/sim_net_kit.h - tests on the simulated network: runs of it, and connections in it.
 */
#ifndef SKUA_TESTS_SIM_NET_KIT_H
#define SKUA_TESTS_SIM_NET_KIT_H

#include "support/net_kit.h"
#include "support/sim_kit.h"

namespace skua_test
{

constexpr uint64_t kMs = SKUA_NS_PER_MS;

/* As skua_poll(), for no longer than that; then -ETIMEDOUT. */
inline int pollFor(uint64_t ns, int fd, unsigned events)
{
    skua_scope scope;
    skua_scope_options options{};
    options.deadline_ns = skua_after(ns);
    EXPECT_EQ(skua_scope_open(&scope, &options), 0);
    int found = skua_poll(fd, events);
    int rc = skua_scope_close(&scope);
    return found == -ECANCELED ? rc : found;
}

class SimulatedNetwork : public Simulated
{
  protected:
    /* One run of @body in @network, without a failure. */
    template <class Body>
    skua_sim_report run(Body &&body, const skua_sim_network &network = {}, uint64_t seed = 1)
    {
        auto once = [&]() -> intptr_t {
            body();
            return 0;
        };
        skua_sim_options options = withTestStack({});
        options.network = &network;
        skua_sim_report report{};
        EXPECT_EQ(skua_sim_run(seed, &options, callValue<decltype(once)>, &once, &report), 0);
        return report;
    }
};

/* A link that takes exactly so long. */
inline skua_sim_network steady(uint64_t latency_ns)
{
    skua_sim_network network{};
    network.link.latency_ns = latency_ns;
    network.link.jitter_ns = 1;
    return network;
}

inline int dial(const skua_address &to, const char *from = nullptr, uint64_t deadline_ns = 0)
{
    skua_dial_options options{};
    skua_address local{};
    options.deadline_ns = deadline_ns;
    if (from != nullptr) {
        local = addressOf(from);
        options.local = &local;
    }
    return skua_dial_addresses(&to, 1, &options);
}

/* Both ends of a connection of the simulated network; closed with it. */
struct Pair {
    Listener listener;
    int client = -1;
    int server = -1;

    explicit Pair(const std::string &text = "10.0.0.1:80", const char *from = nullptr)
        : listener(text)
    {
        client = dial(listener.address, from);
        EXPECT_GE(client, 0);
        server = skua_accept(listener.fd, nullptr, nullptr, 0);
        EXPECT_GE(server, 0);
    }
    ~Pair()
    {
        closeClient();
        closeServer();
    }
    void closeClient()
    {
        if (client >= 0)
            close(client);
        client = -1;
    }
    void closeServer()
    {
        if (server >= 0)
            close(server);
        server = -1;
    }
};

inline ssize_t put(int fd, const std::string &bytes)
{
    return skua_send_all(fd, bytes.data(), bytes.size());
}

/* Up to @size bytes, or "-errno". */
inline std::string take(int fd, size_t size = 100)
{
    std::string bytes(size, '\0');
    ssize_t n = skua_recv(fd, &bytes[0], size, 0);
    return n < 0 ? std::to_string(n) : bytes.substr(0, size_t(n));
}

inline const std::string kReset = std::to_string(-ECONNRESET);

} /* namespace skua_test */

#endif /* SKUA_TESTS_SIM_NET_KIT_H */
