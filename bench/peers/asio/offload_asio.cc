/*
 * bench/peers/asio/offload_asio.cc - bench/offload_bench.c with asio::thread_pool: a function is
 * posted to the pool, which posts what comes of it back to the io_context.
 *
 * "round_trip": the completion handler sends the next call off. "many": 256 calls in flight; a
 * window is sent off when the one before it has come back. The io_context is run by one thread; the
 * pool has as many as there are CPUs.
 */
#include "common/bench_workload.h"

#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <asio/thread_pool.hpp>
#include <thread>

static const size_t window_size = 256;
static const size_t many = 10; /* so many times --size, as in Skua's */

struct calls {
    asio::io_context &context;
    asio::thread_pool &pool;
    size_t window;
    size_t total;
    size_t sent;
    size_t pending; /* of the current window */
    uint64_t sum;

    void send_window()
    {
        size_t left = total - sent;
        pending = left < window ? left : window;
        for (size_t i = 0, count = pending; i < count; i++) {
            uint64_t number = ++sent;
            asio::post(pool, [this, number] {
                uint64_t result = number; /* the work */
                asio::post(context, [this, result] { came_back(result); });
            });
        }
    }

    void came_back(uint64_t result)
    {
        sum += result;
        if (--pending == 0 && sent < total)
            send_window();
    }
};

static void measure(struct bench_options *options, const char *name, size_t window, size_t total)
{
    if (!bench_wants(options, name))
        return;
    asio::io_context context;
    asio::thread_pool pool(std::thread::hardware_concurrency());
    struct calls calls = {context, pool, window, total, 0, 0, 0};
    uint64_t n = total;
    uint64_t start = bench_now();
    auto work = asio::make_work_guard(context);
    calls.send_window();
    while (calls.sent < total || calls.pending > 0)
        context.run_one();
    double ns = static_cast<double>(bench_now() - start) / static_cast<double>(total);
    bench_check(options, name, calls.sum, n * (n + 1) / 2);
    bench_report_as(options, name, "time", "ns/call", ns);
    pool.join();
}

static void run_once(struct bench_options *options)
{
    measure(options, "round_trip", 1, options->size);
    measure(options, "many", window_size, many * options->size);
}

int main(int argc, char **argv)
{
    struct bench_options options = bench_defaults("offload", "asio", 10000);
    bench_parse(&options, argc, argv);
    options.workers = 1;
    bench_repeat(&options, run_once);
    return 0;
}
