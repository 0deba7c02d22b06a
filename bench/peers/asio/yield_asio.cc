/*
 * bench/peers/asio/yield_asio.cc - bench/yield_bench.c with coroutines on an io_context that is run
 * by one thread for each worker. They are stackless: compilers make them of functions.
 *
 * A yield is asio::post() awaited. A message of the ping-pong goes through a channel without room;
 * with one worker that is one without locks.
 */
#include "common/bench_workload.h"

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/experimental/channel.hpp>
#include <asio/experimental/concurrent_channel.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <asio/use_awaitable.hpp>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

/* Runs the context in as many threads as there are workers, this one among them. */
static void run_context(const struct bench_options *options, asio::io_context &context)
{
    std::vector<std::thread> threads;
    for (unsigned i = 1; i < options->workers; i++)
        threads.emplace_back([&context] { context.run(); });
    context.run();
    for (std::thread &thread : threads)
        thread.join();
}

static asio::awaitable<void> yield_task(size_t count, std::atomic<uint64_t> &sum)
{
    auto executor = co_await asio::this_coro::executor;
    for (size_t i = 0; i < count; i++)
        co_await asio::post(executor, asio::use_awaitable);
    sum += count;
}

static void measure_yield(struct bench_options *options, size_t tasks)
{
    std::string name = "yield/" + std::to_string(tasks);
    size_t each = options->size / tasks;
    if (!bench_wants(options, name.c_str()) || each == 0)
        return;
    asio::io_context context(static_cast<int>(options->workers));
    std::atomic<uint64_t> sum(0);
    uint64_t start = bench_now();
    for (size_t i = 0; i < tasks; i++)
        co_spawn(context, yield_task(each, sum), asio::detached);
    run_context(options, context);
    double ns = static_cast<double>(bench_now() - start) / static_cast<double>(tasks * each);
    bench_check(options, name.c_str(), sum, tasks * each);
    bench_report_as(options, name.c_str(), "time", "ns/yield", ns);
}

template <typename Channel>
static asio::awaitable<void> pong(Channel &to_pong, Channel &to_ping, size_t rounds)
{
    for (size_t i = 0; i < rounds; i++) {
        uint64_t value = co_await to_pong.async_receive(asio::use_awaitable);
        co_await to_ping.async_send(std::error_code(), value + 1, asio::use_awaitable);
    }
}

template <typename Channel>
static asio::awaitable<void> ping(Channel &to_pong, Channel &to_ping, size_t rounds, uint64_t &sum)
{
    for (uint64_t i = 0; i < rounds; i++) {
        co_await to_pong.async_send(std::error_code(), i, asio::use_awaitable);
        sum += co_await to_ping.async_receive(asio::use_awaitable);
    }
}

template <typename Channel> static void measure_ping_pong(struct bench_options *options)
{
    size_t rounds = options->size / 2;
    if (!bench_wants(options, "ping_pong") || rounds == 0)
        return;
    asio::io_context context(static_cast<int>(options->workers));
    Channel to_pong(context);
    Channel to_ping(context);
    uint64_t sum = 0;
    uint64_t start = bench_now();
    co_spawn(context, pong(to_pong, to_ping, rounds), asio::detached);
    co_spawn(context, ping(to_pong, to_ping, rounds, sum), asio::detached);
    run_context(options, context);
    double ns = static_cast<double>(bench_now() - start) / static_cast<double>(2 * rounds);
    bench_check(options, "ping_pong", sum, static_cast<uint64_t>(rounds) * (rounds + 1) / 2);
    bench_report_as(options, "ping_pong", "time", "ns/message", ns);
}

static void run_once(struct bench_options *options)
{
    typedef void signature(std::error_code, uint64_t);
    for (size_t tasks : {2, 16, 1000})
        measure_yield(options, tasks);
    if (options->workers == 1)
        measure_ping_pong<asio::experimental::channel<signature>>(options);
    else
        measure_ping_pong<asio::experimental::concurrent_channel<signature>>(options);
}

int main(int argc, char **argv)
{
    struct bench_options options = bench_defaults("yield", "asio", 1000000);
    bench_parse(&options, argc, argv);
    bench_repeat(&options, run_once);
    return 0;
}
