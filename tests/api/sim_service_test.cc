/*
 * A client and a server over a network that fails in every way it can, under ten thousand seeds:
 * skua_serve(), skua_dial() and streams, with timeouts, retries, and requests that have ids.
 *
 * Whatever happens:
 *   - a request that is acknowledged has been executed, and none twice;
 *   - an answer belongs to the request it is taken for;
 *   - once the network lets it, every request is acknowledged, and everything ends;
 *   - no socket is left open, and no descriptor;
 *   - the same seed does the same.
 *
 * SKUA_SIM_SEEDS is how many seeds each case has: 2500, or 126 with a sanitizer.
 */
#include "support/sim_kit.h"
#include "support/stream_kit.h"

#include <cstring>
#include <map>
#include <memory>
#include <sys/socket.h>

using namespace skua_test;

namespace
{

constexpr uint64_t kMs = SKUA_NS_PER_MS;
constexpr unsigned kClients = 2;
constexpr unsigned kRequests = 3;
constexpr uint64_t kSeeds = 2500; /* of each of four cases */
constexpr uint64_t kPatienceNs = 3600 * SKUA_NS_PER_SEC;

struct Request {
    uint64_t id;
    uint64_t value;
    uint64_t check; /* that no bytes are lost in between */
};

struct Answer {
    uint64_t id;
    uint64_t result;
};

uint64_t resultOf(uint64_t id, uint64_t value)
{
    return (id ^ value) * UINT64_C(0x9E3779B97F4A7C15);
}

bool isGood(const Request &request)
{
    return request.check == (request.id ^ ~request.value);
}

const skua_task_options kSure = [] {
    skua_task_options options{};
    options.flags = SKUA_TASK_STACK_NOW; /* or it may end before it starts */
    return options;
}();

/* Fails and is tried again until it has been done: memory may be short for a while. */
template <class Try> void insist(Try &&attempt)
{
    while (!attempt())
        (void)skua_sleep(kMs);
}

/* ---- the server ------------------------------------------------------------------------------ */

/* What outlives connections and servers. */
class Book
{
  public:
    /* Executes a request unless it has been; its result, or -errno. */
    int execute(const Request &request, uint64_t *result)
    {
        Entry &entry = entries_[request.id];
        int rc = skua_mutex_lock(&entry.lock); /* the same may have come twice at once */
        if (rc < 0)
            return rc;
        if (!entry.is_done)
            rc = skua_sleep(skua_sim_random(2 * kMs));
        if (rc == 0 && !entry.is_done) {
            entry.executions++;
            entry.is_done = true;
            entry.result = resultOf(request.id, request.value);
        }
        *result = entry.result;
        EXPECT_EQ(skua_mutex_unlock(&entry.lock), 0);
        return rc;
    }

    unsigned executions(uint64_t id) const
    {
        auto found = entries_.find(id);
        return found == entries_.end() ? 0 : found->second.executions;
    }

  private:
    struct Entry {
        skua_mutex lock = SKUA_MUTEX_INIT;
        bool is_done = false;
        unsigned executions = 0;
        uint64_t result = 0;
    };

    std::map<uint64_t, Entry> entries_;
};

intptr_t handleConnection(skua_connection *connection, void *arg)
{
    auto *book = static_cast<Book *>(arg);
    int fd = skua_connection_take(connection);
    skua_stream *stream = nullptr;
    int rc = skua_stream_open(fd, fd, nullptr, &stream);
    if (rc < 0) {
        (void)skua_close(fd);
        return rc;
    }
    Request request{};
    ssize_t n;
    while ((n = skua_stream_read_exactly(stream, &request, sizeof(request))) == sizeof(request)) {
        Answer answer{request.id, 0};
        EXPECT_TRUE(isGood(request));
        rc = book->execute(request, &answer.result);
        if (rc == 0)
            rc = int(std::min<ssize_t>(skua_stream_write(stream, &answer, sizeof(answer)), 0));
        if (rc == 0)
            rc = skua_stream_flush(stream);
        if (rc < 0)
            break;
    }
    (void)skua_stream_abort(stream);
    return rc < 0 ? rc : std::min<ssize_t>(n, 0);
}

/* Serves at an address until it is told to end. */
class Server
{
  public:
    explicit Server(Book &book)
    {
        skua_address at;
        EXPECT_EQ(skua_address_parse("10.0.0.1:80", &at), 0);
        insist([&] { return (listener_ = skua_listen_at(&at, nullptr)) >= 0; });
        options_.listeners = &listener_;
        options_.listener_count = 1;
        options_.handle = handleConnection;
        options_.arg = &book;
        options_.drain_ns = 5 * kMs;
    }
    ~Server()
    {
        EXPECT_EQ(skua_close(listener_), 0);
    }

    void start()
    {
        insist([&] { return skua_spawn_with(&kSure, serve, &options_, &task_) == 0; });
    }
    void stop()
    {
        (void)skua_cancel(task_);
        intptr_t rc = skua_await(task_);
        EXPECT_EQ(rc, -ECANCELED);
    }

  private:
    static intptr_t serve(void *options)
    {
        int rc;
        do { /* what it needs to start may be missing for a while */
            rc = skua_serve(static_cast<skua_server_options *>(options));
        } while (rc != -ECANCELED && skua_sleep(kMs) != -ECANCELED);
        return -ECANCELED;
    }

    int listener_ = -1;
    skua_server_options options_{};
    skua_future *task_ = nullptr;
};

/* ---- the clients ----------------------------------------------------------------------------- */

class Client
{
  public:
    explicit Client(unsigned number) : number_(number)
    {
        std::string from = "10.0.1." + std::to_string(number + 1) + ":0";
        EXPECT_EQ(skua_address_parse(from.c_str(), &from_), 0);
    }
    ~Client()
    {
        hangUp();
    }

    intptr_t run()
    {
        for (unsigned i = 0; i < kRequests; i++) {
            Request request{(uint64_t(number_) << 32) + i, skua_sim_random(1000), 0};
            request.check = request.id ^ ~request.value;
            if (!ask(request))
                return -ETIMEDOUT;
            acknowledged_.push_back(request.id);
            if (skua_sim_random(3) == 0)
                hangUp();
        }
        hangUp();
        return 0;
    }

    const std::vector<uint64_t> &acknowledged() const
    {
        return acknowledged_;
    }

  private:
    /* True once it has been answered. */
    bool ask(const Request &request)
    {
        uint64_t until_ns = skua_after(kPatienceNs);
        while (skua_now() < until_ns) {
            if (stream_ == nullptr && !call())
                continue;
            if (send(request) && receive(request))
                return true;
            /* The answer may still come: to this connection, or to none. */
            if (is_broken_ || skua_sim_random(2) == 0)
                hangUp();
        }
        return false;
    }

    bool call()
    {
        skua_dial_options options{};
        options.deadline_ns = skua_after(200 * kMs);
        options.local = &from_;
        int fd = skua_dial("10.0.0.1", "80", &options);
        if (fd < 0) {
            (void)skua_sleep(1 + skua_sim_random(50 * kMs));
            return false;
        }
        skua_stream_options how{};
        how.read_timeout_ns = 30 * kMs;
        how.write_timeout_ns = 30 * kMs;
        is_broken_ = false;
        if (skua_stream_open(fd, fd, &how, &stream_) == 0)
            return true;
        (void)skua_close(fd);
        return false;
    }

    bool send(const Request &request)
    {
        ssize_t n = skua_stream_write(stream_, &request, sizeof(request));
        if (n == sizeof(request) && skua_stream_flush(stream_) == 0)
            return true;
        is_broken_ = true; /* a part of it may be on its way */
        return false;
    }

    /* Passes over answers to what was asked before, and again. */
    bool receive(const Request &request)
    {
        for (;;) {
            Answer answer{};
            ssize_t n = skua_stream_read_exactly(stream_, &answer, sizeof(answer));
            if (n != sizeof(answer)) {
                is_broken_ = n != -ETIMEDOUT && n != -ENOMEM && n != -ENOBUFS;
                return false;
            }
            EXPECT_EQ(answer.id >> 32, number_);
            EXPECT_LE(answer.id, request.id);
            if (answer.id != request.id)
                continue;
            EXPECT_EQ(answer.result, resultOf(request.id, request.value));
            return true;
        }
    }

    void hangUp()
    {
        if (stream_ != nullptr)
            (void)skua_stream_abort(stream_);
        stream_ = nullptr;
    }

    unsigned number_;
    skua_address from_{};
    skua_stream *stream_ = nullptr;
    bool is_broken_ = false;
    std::vector<uint64_t> acknowledged_;
};

intptr_t runClient(void *client)
{
    return static_cast<Client *>(client)->run();
}

void requestsAreExecutedOnce()
{
    Book book;
    Server server(book);
    std::vector<std::unique_ptr<Client>> clients;
    std::vector<skua_future *> tasks(kClients);
    server.start();
    for (unsigned i = 0; i < kClients; i++) {
        clients.push_back(std::make_unique<Client>(i));
        insist(
            [&] { return skua_spawn_with(&kSure, runClient, clients[i].get(), &tasks[i]) == 0; });
    }
    if (skua_sim_random(4) == 0) { /* the server is replaced */
        (void)skua_sleep(skua_sim_random(20 * kMs));
        server.stop();
        (void)skua_sleep(skua_sim_random(20 * kMs));
        server.start();
    }
    for (unsigned i = 0; i < kClients; i++) {
        EXPECT_EQ(skua_await(tasks[i]), 0);
        EXPECT_EQ(clients[i]->acknowledged().size(), kRequests);
        for (uint64_t id : clients[i]->acknowledged())
            EXPECT_EQ(book.executions(id), 1u) << id;
    }
    server.stop();
}

/* ---- the cases ------------------------------------------------------------------------------- */

class SimService : public Simulated
{
  protected:
    SimService() : Simulated(std::chrono::seconds(590))
    {
    }

    void SetUp() override
    {
        Simulated::SetUp();
        network_.link.latency_ns = kMs / 2;
        network_.link.jitter_ns = kMs;
        options_ = withTestStack({});
        options_.network = &network_;
    }

    /* Each case has seeds of its own. */
    void sweep(unsigned number)
    {
        uint64_t seeds = seedCount(kSeeds);
        uint64_t first = number * seeds + 1;
        size_t before = openDescriptors().size();
        auto once = []() -> intptr_t {
            requestsAreExecutedOnce();
            return testing::Test::HasFailure() ? -EPROTO : 0;
        };
        std::string replay = replayCommand();
        skua_sim_set set = {nullptr, &options_};
        skua_sim_plan plan{};
        plan.first = first;
        plan.sets = &set;
        plan.set_count = 1;
        plan.count = 1;
        plan.replay = replay.c_str();
        for (uint64_t i = 0; i < seeds && !HasFailure(); i++, plan.first++) {
            skua_sim_report report{}, again{};
            ASSERT_EQ(
                skua_sim_sweep_sets(&plan, callValue<decltype(once)>, &once, &report, nullptr), 0);
            total_.packets += report.network.packets;
            total_.resets += report.network.resets;
            total_.refusals += report.network.refusals;
            total_.cuts += report.network.cuts;
            faults_ += report.fault_count;
            EXPECT_EQ(report.network.sockets_open, 0u) << "seed " << report.seed;
            if (i >= 20)
                continue;
            ASSERT_EQ(skua_sim_sweep_sets(&plan, callValue<decltype(once)>, &once, &again, nullptr),
                      0);
            EXPECT_EQ(report.trace_hash, again.trace_hash) << "seed " << report.seed;
        }
        EXPECT_EQ(openDescriptors().size(), before);
    }

    skua_sim_network network_{};
    skua_sim_options options_{};
    skua_sim_network_stats total_{};
    size_t faults_ = 0;
};

TEST_F(SimService, KeepsItsPromisesWithPartitions)
{
    network_.cuts_per_million = 30000;
    network_.cut_max_ns = 200 * kMs;
    network_.link.bytes_per_second = 100000;
    sweep(0);
    EXPECT_GT(total_.cuts, seedCount(kSeeds) / 4);
}

TEST_F(SimService, KeepsItsPromisesWhenConnectionsBreak)
{
    network_.cuts_per_million = 5000;
    network_.resets_at_cut = true;
    network_.resets_per_million = 30000;
    network_.refusals_per_million = 100000;
    network_.unanswered_per_million = 100000;
    network_.buffer_bytes = 40;
    sweep(1);
    EXPECT_GT(total_.resets, seedCount(kSeeds) / 4);
    EXPECT_GT(total_.refusals, seedCount(kSeeds) / 4);
}

TEST_F(SimService, KeepsItsPromisesWhenCallsFail)
{
    options_.faults_per_million[SKUA_SIM_SHORT] = 100000;
    options_.faults_per_million[SKUA_SIM_EINTR] = 50000;
    options_.faults_per_million[SKUA_SIM_EAGAIN] = 50000;
    options_.faults_per_million[SKUA_SIM_ECONNRESET] = 10000;
    options_.faults_per_million[SKUA_SIM_ENOMEM] = 10000;
    options_.faults_per_million[SKUA_SIM_ENOBUFS] = 10000;
    options_.faults_per_million[SKUA_SIM_EMFILE] = 20000;
    options_.stalls_per_million = 1000;
    options_.stall_max_ns = 50 * kMs;
    network_.cuts_per_million = 3000;
    sweep(2);
    EXPECT_GT(faults_, seedCount(kSeeds));
}

TEST_F(SimService, KeepsItsPromisesWithoutMemoryAndInTime)
{
    options_.faults_per_million[SKUA_SIM_ALLOCATION] = 30000;
    options_.late_per_million = 20000;
    options_.late_max_ns = 100 * kMs;
    network_.resets_per_million = 3000;
    sweep(3);
    EXPECT_GT(faults_, seedCount(kSeeds) / 4);
}

} /* namespace */
