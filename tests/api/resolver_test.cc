/*
 * Tests skua_resolve() and skua_resolve_name() of skua/net.h: what is looked up and what is not;
 * lookups whose callers do not wait for them; how many there are.
 */
#include "support/fd_guard.h"
#include "support/hang_guard.h"
#include "support/name_service.h"
#include "support/net_kit.h"
#include "support/runtime_kit.h"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

using namespace skua_test;

namespace
{

constexpr unsigned kLookupsMax = 16; /* as skua/net.h says */

using Addresses = std::vector<skua_address>;

/* What resolving gives; the error in *@error, if it is asked for. */
Addresses resolved(const char *host, const char *service,
                   const skua_resolve_options *options = nullptr, ssize_t *error = nullptr,
                   size_t max = 8)
{
    Addresses addresses(max);
    ssize_t count = skua_resolve(host, service, options, addresses.data(), max);
    if (error)
        *error = count;
    else
        EXPECT_GT(count, 0) << (host ? host : "NULL");
    addresses.resize(count > 0 ? static_cast<size_t>(count) : 0);
    return addresses;
}

ssize_t errorOf(const char *host, const char *service,
                const skua_resolve_options *options = nullptr)
{
    ssize_t error = 0;
    (void)resolved(host, service, options, &error);
    return error;
}

Addresses listOf(std::initializer_list<const char *> texts)
{
    Addresses addresses;
    for (const char *text : texts)
        addresses.push_back(addressOf(text));
    return addresses;
}

skua_resolve_options ofFamily(int family, unsigned flags = 0)
{
    skua_resolve_options options{};
    options.family = family;
    options.flags = flags;
    return options;
}

class Resolver : public testing::TestWithParam<Where>
{
  protected:
    template <class Body> void run(Body &&body)
    {
        runIn(GetParam(), body);
    }

    FdGuard fds_;
    HangGuard hang_;
};

INSTANTIATE_TEST_SUITE_P(Everywhere, Resolver, everywhere(), WhereName());

TEST_P(Resolver, NumbersAreNotLookedUp)
{
    NameService names;
    run([&] {
        auto any = ofFamily(0, SKUA_RESOLVE_ANY);
        auto in = ofFamily(AF_INET);
        auto in6 = ofFamily(AF_INET6);
        auto any_in = ofFamily(AF_INET, SKUA_RESOLVE_ANY);
        EXPECT_EQ(resolved("127.0.0.1", "80"), listOf({"127.0.0.1:80"}));
        EXPECT_EQ(resolved("127.0.0.1", nullptr), listOf({"127.0.0.1:0"}));
        EXPECT_EQ(resolved("::1", "65535", &in6), listOf({"[::1]:65535"}));
        EXPECT_EQ(resolved("fe80::1%lo", "1"), listOf({"[fe80::1%lo]:1"}));
        EXPECT_EQ(resolved(nullptr, "80"), listOf({"[::1]:80", "127.0.0.1:80"}));
        EXPECT_EQ(resolved(nullptr, "80", &any), listOf({"[::]:80", "0.0.0.0:80"}));
        EXPECT_EQ(resolved(nullptr, "80", &any_in), listOf({"0.0.0.0:80"}));
        EXPECT_EQ(resolved(nullptr, "80", &in), listOf({"127.0.0.1:80"}));
        EXPECT_EQ(resolved(nullptr, "80", &in6), listOf({"[::1]:80"}));
        EXPECT_EQ(resolved(nullptr, "80", nullptr, nullptr, 1), listOf({"[::1]:80"}));
        EXPECT_EQ(errorOf("::1", "80", &in), -EADDRNOTAVAIL);
        EXPECT_EQ(errorOf("127.0.0.1", "80", &in6), -EADDRNOTAVAIL);
        EXPECT_EQ(errorOf("fe80::1%skua-no", "80"), -ENOENT);
        EXPECT_EQ(errorOf("127.0.0.1", "65536"), -EINVAL);
        EXPECT_EQ(errorOf("name", "080"), -EINVAL);
    });
    EXPECT_EQ(names.calls(), 0u);
}

TEST_P(Resolver, ANameIsAskedForAsItIs)
{
    NameService names;
    names.hosts["host.test"] = listOf({"10.0.0.1:80"});
    names.hosts["10.0.0.2"] = listOf({"10.0.0.2:80"});
    names.hosts["(none)"] = listOf({"10.0.0.3:80"});
    run([&] {
        skua_resolve_options options = ofFamily(AF_INET);
        options.socktype = SOCK_DGRAM;
        EXPECT_EQ(resolved("host.test", "80", &options), listOf({"10.0.0.1:80"}));
        NameService::Question asked = names.last();
        EXPECT_EQ(asked.host, "host.test");
        EXPECT_EQ(asked.service, "80");
        EXPECT_EQ(asked.hints.ai_family, AF_INET);
        EXPECT_EQ(asked.hints.ai_socktype, SOCK_DGRAM);
        EXPECT_EQ(asked.hints.ai_flags, 0);

        EXPECT_EQ(resolved("10.0.0.2", "http"), listOf({"10.0.0.2:80"}));
        asked = names.last();
        EXPECT_EQ(asked.service, "http");
        EXPECT_EQ(asked.hints.ai_family, AF_UNSPEC);
        EXPECT_EQ(asked.hints.ai_socktype, SOCK_STREAM);

        options = ofFamily(0, SKUA_RESOLVE_ANY);
        EXPECT_EQ(resolved(nullptr, "http", &options), listOf({"10.0.0.3:80"}));
        EXPECT_TRUE(names.last().hints.ai_flags & AI_PASSIVE);
        (void)errorOf("host.test", nullptr);
        EXPECT_EQ(names.last().service, "(none)");
    });
}

TEST_P(Resolver, EachAddressIsGivenOnceAndInOrder)
{
    NameService names;
    names.hosts["host.test"] =
        listOf({"[2001:db8::1]:80", "1.1.1.1:80", "[2001:db8::1]:80", "unix:/odd", "1.1.1.2:80",
                "1.1.1.1:80", "[fe80::1%7]:80", "[fe80::1%8]:80"});
    run([&] {
        EXPECT_EQ(resolved("host.test", "80"),
                  listOf({"[2001:db8::1]:80", "1.1.1.1:80", "1.1.1.2:80", "[fe80::1%7]:80",
                          "[fe80::1%8]:80"}));
        EXPECT_EQ(resolved("host.test", "80", nullptr, nullptr, 2),
                  listOf({"[2001:db8::1]:80", "1.1.1.1:80"}));
        names.hosts["unix.test"] = listOf({"unix:/odd"});
        EXPECT_EQ(errorOf("unix.test", "80"), -EADDRNOTAVAIL);
    });
}

TEST_P(Resolver, EachErrorIsOneOfTheTable)
{
    NameService names;
    run([&] {
        EXPECT_EQ(errorOf("nobody.test", "80"), -ENOENT);
        const std::pair<int, int> table[] = {
            {EAI_NONAME, -ENOENT},        {EAI_SERVICE, -ENOENT},
            {EAI_NODATA, -EADDRNOTAVAIL}, {EAI_ADDRFAMILY, -EADDRNOTAVAIL},
            {EAI_AGAIN, -EAGAIN},         {EAI_FAIL, -EIO},
            {EAI_FAMILY, -EAFNOSUPPORT},  {EAI_SOCKTYPE, -ESOCKTNOSUPPORT},
            {EAI_MEMORY, -ENOMEM},        {EAI_BADFLAGS, -EINVAL},
            {EAI_OVERFLOW, -EIO},         {EAI_SYSTEM, -EMFILE},
            {EAI_IDN_ENCODE, -EINVAL},    {-4711, -EIO},
        };
        names.system_error = EMFILE;
        for (auto &entry : table) {
            names.error = entry.first;
            EXPECT_EQ(errorOf("host.test", "80"), entry.second) << entry.first;
        }
        names.error = EAI_SYSTEM;
        names.system_error = 0;
        EXPECT_EQ(errorOf("host.test", "80"), -EIO);
    });
}

TEST_P(Resolver, BadArgumentsAreRefused)
{
    NameService names;
    run([&] {
        skua_address address;
        auto attempt = [&](auto &&change) {
            skua_resolve_options options{};
            change(options);
            return skua_resolve("host.test", "80", &options, &address, 1);
        };
        EXPECT_EQ(skua_resolve("host.test", "80", nullptr, nullptr, 1), -EINVAL);
        EXPECT_EQ(skua_resolve("host.test", "80", nullptr, &address, 0), -EINVAL);
        EXPECT_EQ(skua_resolve(nullptr, nullptr, nullptr, &address, 1), -EINVAL);
        EXPECT_EQ(skua_resolve("", "80", nullptr, &address, 1), -EINVAL);
        EXPECT_EQ(skua_resolve(std::string(1025, 'h').c_str(), "80", nullptr, &address, 1),
                  -ENAMETOOLONG);
        EXPECT_EQ(skua_resolve("h", std::string(1025, 's').c_str(), nullptr, &address, 1),
                  -ENAMETOOLONG);
        EXPECT_EQ(attempt([](skua_resolve_options &o) { o.flags = 2; }), -EINVAL);
        EXPECT_EQ(attempt([](skua_resolve_options &o) { o.reserved[0] = 1; }), -EINVAL);
        EXPECT_EQ(attempt([](skua_resolve_options &o) { o.reserved_flags = 1; }), -EINVAL);
        EXPECT_EQ(attempt([](skua_resolve_options &o) { o.family = AF_UNIX; }), -EAFNOSUPPORT);
        char host[8];
        address = addressOf("1.2.3.4:5");
        EXPECT_EQ(skua_resolve_name(nullptr, SKUA_FOREVER, host, sizeof(host)), -EINVAL);
        EXPECT_EQ(skua_resolve_name(&address, SKUA_FOREVER, nullptr, 0), -EINVAL);
        address = addressOf("unix:/a");
        EXPECT_EQ(skua_resolve_name(&address, SKUA_FOREVER, host, sizeof(host)), -EAFNOSUPPORT);
    });
    EXPECT_EQ(names.calls(), 0u);
}

TEST_P(Resolver, AnAddressHasAName)
{
    NameService names;
    names.name = "host.test";
    run([&] {
        skua_address address = addressOf("127.0.0.1:80");
        char host[16] = "untouched";
        EXPECT_EQ(skua_resolve_name(&address, SKUA_FOREVER, host, 9), -ENOSPC);
        EXPECT_STREQ(host, "untouched");
        EXPECT_EQ(skua_resolve_name(&address, SKUA_FOREVER, host, 10), 9);
        EXPECT_STREQ(host, "host.test");
        names.error = EAI_NONAME;
        EXPECT_EQ(skua_resolve_name(&address, SKUA_FOREVER, host, sizeof(host)), -ENOENT);
    });
}

/* The system's own files; without the network. */
TEST_P(Resolver, LocalhostIsThisHost)
{
    run([] {
        skua_resolve_options options = ofFamily(AF_INET);
        EXPECT_EQ(resolved("localhost", "80", &options), listOf({"127.0.0.1:80"}));
        skua_address address = addressOf("127.0.0.1:0");
        char host[256];
        ssize_t length = skua_resolve_name(&address, SKUA_FOREVER, host, sizeof(host));
        ASSERT_GT(length, 0);
        EXPECT_EQ(resolved(host, "0", &options), listOf({"127.0.0.1:0"})) << host;
    });
}

/* ---- callers that do not wait ---------------------------------------------------------------- */

class ResolverInATask : public testing::Test
{
  protected:
    ResolverInATask()
    {
        names_.hosts["host.test"] = listOf({"10.0.0.1:80"});
    }

    ssize_t resolveOne(uint64_t deadline_ns = 0)
    {
        skua_address address;
        skua_resolve_options options{};
        options.deadline_ns = deadline_ns;
        return skua_resolve("host.test", "80", &options, &address, 1);
    }

    /* That as many lookups as ever go on at once. Runs in a task. */
    void expectAllPermits()
    {
        names_.close();
        auto body = [this]() -> intptr_t { return resolveOne(); };
        std::vector<skua_future *> futures;
        for (unsigned i = 0; i < kLookupsMax; i++)
            futures.push_back(spawnBody(body));
        EXPECT_TRUE(yieldUntil([this] { return names_.inside() == kLookupsMax; }));
        names_.open();
        for (skua_future *future : futures)
            EXPECT_EQ(skua_await(future), 1);
    }

    FdGuard fds_;
    HangGuard hang_;
    NameService names_;
};

TEST_F(ResolverInATask, ACancelledCallerLeavesAtOnce)
{
    runInTask([&] {
        names_.close();
        auto address = [&]() -> intptr_t { return resolveOne(); };
        auto name = [&]() -> intptr_t {
            skua_address of = addressOf("10.0.0.1:80");
            char host[16];
            return skua_resolve_name(&of, SKUA_FOREVER, host, sizeof(host));
        };
        skua_future *first = spawnBody(address);
        skua_future *second = spawnBody(name);
        EXPECT_TRUE(yieldUntil([&] { return names_.inside() == 2; }));
        for (skua_future *future : {first, second}) {
            EXPECT_EQ(skua_cancel(future), 0);
            EXPECT_EQ(skua_await(future), -ECANCELED);
        }
        EXPECT_EQ(names_.inside(), 2u); /* they go on by themselves */
        names_.open();
        expectAllPermits();
    });
}

TEST_F(ResolverInATask, ADeadlineEndsTheWaitOnAnyThreadOfARuntime)
{
    for (Where where : {Where::task, Where::executor})
        runIn(where, [&] {
            names_.close();
            unsigned inside = names_.inside();
            EXPECT_EQ(resolveOne(skua_after(2 * SKUA_NS_PER_MS)), -ETIMEDOUT);
            EXPECT_LE(names_.inside(), inside + 1);
            skua_address address = addressOf("10.0.0.1:80");
            char host[16];
            EXPECT_EQ(skua_resolve_name(&address, skua_after(2 * SKUA_NS_PER_MS), host, 16),
                      -ETIMEDOUT);
            names_.open();
        });
}

TEST_F(ResolverInATask, ACancelledTaskLooksNothingUp)
{
    runInTask([&] {
        std::atomic<bool> begun{false};
        auto body = [&]() -> intptr_t {
            begun = true;
            while (!skua_cancelled())
                skua_yield();
            EXPECT_EQ(resolved("127.0.0.1", "80").size(), 1u);
            for (int i = 0; i < 500; i++) /* a job that is taken back at once may have begun */
                EXPECT_EQ(resolveOne(), -ECANCELED);
            return 0;
        };
        skua_future *future = spawnBody(body);
        EXPECT_TRUE(yieldUntil([&] { return begun.load(); }));
        EXPECT_EQ(skua_cancel(future), 0);
        EXPECT_EQ(skua_await(future), 0);
        EXPECT_EQ(names_.calls(), 0u);
    });
}

TEST_F(ResolverInATask, ATaskOnAnExecutorLooksUpToo)
{
    runInTask([&] {
        EXPECT_EQ(skua_hop(nullptr), 0);
        EXPECT_EQ(resolveOne(), 1);
        EXPECT_EQ(skua_hop_back(), 0);
    });
}

/* ---- how many -------------------------------------------------------------------------------- */

TEST_F(ResolverInATask, ADeadNameServerHoldsUpNothingElse)
{
    skua_options options = testOptions();
    options.blocking_threads = 2;
    Runtime runtime(options);
    runtime.run([&]() -> intptr_t {
        names_.close();
        auto body = [&]() -> intptr_t { return resolveOne(); };
        std::vector<skua_future *> futures;
        for (unsigned i = 0; i < 3 * kLookupsMax; i++)
            futures.push_back(spawnBody(body));
        EXPECT_TRUE(yieldUntil([&] { return names_.inside() == kLookupsMax; }));
        auto other = []() -> intptr_t { return 7; };
        for (unsigned i = 0; i < 20; i++) /* the executor has threads for others */
            EXPECT_EQ(skua_await(offloadBody(nullptr, other)), 7);
        EXPECT_EQ(names_.inside(), kLookupsMax);
        unsigned cancelled = 0;
        for (size_t i = 0; i < futures.size(); i += 2)
            EXPECT_EQ(skua_cancel(futures[i]), 0);
        for (size_t i = 0; i < futures.size(); i += 2)
            cancelled += skua_await(futures[i]) == -ECANCELED;
        EXPECT_EQ(cancelled, futures.size() / 2);
        EXPECT_EQ(resolveOne(skua_after(2 * SKUA_NS_PER_MS)), -ETIMEDOUT);
        EXPECT_EQ(names_.inside(), kLookupsMax); /* those of callers that have left, too */
        names_.open();
        for (size_t i = 1; i < futures.size(); i += 2)
            EXPECT_EQ(skua_await(futures[i]), 1);
        EXPECT_EQ(names_.insideMost(), kLookupsMax);
        expectAllPermits();
        return 0;
    });
}

/* A job of the executor that holds its only thread until it is let go. */
struct Plug {
    std::mutex mutex;
    std::condition_variable changed;
    bool in = false;
    bool out = false;
    std::function<intptr_t()> body = [this]() -> intptr_t {
        std::unique_lock<std::mutex> lock(mutex);
        in = true;
        EXPECT_TRUE(changed.wait_for(lock, std::chrono::seconds(30), [this] { return out; }));
        return 0;
    };

    bool isIn()
    {
        std::lock_guard<std::mutex> lock(mutex);
        return in;
    }
    void pull()
    {
        std::lock_guard<std::mutex> lock(mutex);
        out = true;
        changed.notify_all();
    }
};

TEST_F(ResolverInATask, ALookupThatHasNotStartedIsTakenBack)
{
    skua_options options = testOptions();
    options.blocking_threads = 1;
    Runtime runtime(options);
    runtime.run([&]() -> intptr_t {
        Plug plug;
        skua_future *plugged = offloadBody(nullptr, plug.body);
        EXPECT_TRUE(yieldUntil([&] { return plug.isIn(); }));
        for (unsigned i = 0; i < 2 * kLookupsMax; i++)
            EXPECT_EQ(resolveOne(skua_after(SKUA_NS_PER_MS / 4)), -ETIMEDOUT);
        EXPECT_EQ(names_.calls(), 0u);
        plug.pull();
        EXPECT_EQ(skua_await(plugged), 0);
        expectAllPermits();
        return 0;
    });
}

TEST_F(ResolverInATask, AFullExecutorIsToldAndKeepsNothing)
{
    skua_options options = testOptions();
    options.blocking_threads = 1;
    options.offload_queue_max = 1;
    Runtime runtime(options);
    runtime.run([&]() -> intptr_t {
        Plug plug;
        skua_future *plugged = offloadBody(nullptr, plug.body);
        EXPECT_TRUE(yieldUntil([&] { return plug.isIn(); }));
        auto other = []() -> intptr_t { return 7; };
        skua_future *queued = offloadBody(nullptr, other);
        for (unsigned i = 0; i < 2 * kLookupsMax; i++)
            EXPECT_EQ(resolveOne(), -EAGAIN);
        plug.pull();
        EXPECT_EQ(skua_await(plugged), 0);
        EXPECT_EQ(skua_await(queued), 7);
        return 0;
    });
    runInTask([&] { expectAllPermits(); });
}

/* ---- stopping -------------------------------------------------------------------------------- */

TEST_F(ResolverInATask, AStoppingRuntimeWaitsForLookupsThatRun)
{
    std::vector<skua_future *> futures;
    names_.close();
    Runtime runtime(2);
    auto body = [&]() -> intptr_t { return resolveOne(); };
    for (unsigned i = 0; i < 2 * kLookupsMax; i++)
        futures.push_back(submitBody(runtime.get(), body));
    EXPECT_TRUE(pollUntil([&] { return names_.inside() == kLookupsMax; }));
    EXPECT_EQ(runtime.stop(SKUA_STOP_CANCEL, skua_after(5 * SKUA_NS_PER_MS)), -ETIMEDOUT);
    for (skua_future *future : futures)
        EXPECT_EQ(skua_await(future), -ECANCELED); /* their callers have not waited */
    names_.open();
    EXPECT_EQ(runtime.stop(SKUA_STOP_CANCEL), 0);
    EXPECT_EQ(names_.outstanding(), 0u);
    runInTask([&] { expectAllPermits(); });
}

/* Jobs dropped by the stop, cancelled by their callers, and just started, as chance has it. */
TEST_F(ResolverInATask, AStopAmidLookupsKeepsNothing)
{
    for (int round = 0; round < 60; round++) {
        skua_options options = testOptions();
        options.blocking_threads = 1 + static_cast<unsigned>(round) % 3;
        Plug plug;
        std::vector<skua_future *> futures;
        Runtime runtime(options);
        skua_executor *blocking = skua_executor_blocking(runtime.get());
        futures.push_back(offloadBody(blocking, plug.body));
        std::atomic<uint64_t> deadline_ns{SKUA_FOREVER};
        auto body = [&]() -> intptr_t { return resolveOne(deadline_ns); };
        for (unsigned i = 0; i < kLookupsMax + 4; i++) {
            if (round % 4 >= 2) /* some run out of time as the stop comes */
                deadline_ns = skua_after((40 + 20 * i) * SKUA_NS_PER_US);
            futures.push_back(submitBody(runtime.get(), body));
        }
        if (round % 2 == 0) {
            EXPECT_TRUE(pollUntil([&] { return plug.isIn(); }));
        }
        std::thread puller([&] { plug.pull(); });
        EXPECT_EQ(runtime.stop(SKUA_STOP_CANCEL), 0);
        puller.join();
        for (skua_future *future : futures) {
            intptr_t rc = skua_await(future);
            EXPECT_TRUE(rc == 0 || rc == 1 || rc == -ECANCELED || rc == -ESHUTDOWN ||
                        rc == -ETIMEDOUT)
                << rc;
        }
    }
    runInTask([&] { expectAllPermits(); });
}

/* A cancel at every moment of a lookup. */
TEST_F(ResolverInATask, ACancelThatRacesKeepsNothing)
{
    runInTask([&] {
        int cancelled = 0;
        for (int i = 0; i < 400; i++) {
            auto body = [&]() -> intptr_t { return resolveOne(); };
            skua_future *future = spawnBody(body);
            for (int j = i % 20; j > 0; j--)
                skua_yield();
            (void)skua_cancel(future);
            intptr_t rc = skua_await(future);
            EXPECT_TRUE(rc == 1 || rc == -ECANCELED) << rc;
            cancelled += rc == -ECANCELED;
        }
        EXPECT_GT(cancelled, 0);
        expectAllPermits();
    });
}

} // namespace
