/*
 * bench/peers/asio/wake_asio.cc - the trips of bench/wake_bench.c to an io_context: a foreign
 * thread posts a function and waits for what it returns in a future. As many threads as workers
 * wait in the io_context.
 */
#include "common/bench_trip.h"

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <future>

static void run_once(struct bench_options *options)
{
    asio::io_context context(static_cast<int>(options->workers));
    auto work = asio::make_work_guard(context);
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < options->workers; i++)
        threads.emplace_back([&context] { context.run(); });
    bench_trips_all(options, [&context](uint64_t number) {
        std::promise<uint64_t> answer;
        std::future<uint64_t> answered = answer.get_future();
        asio::post(context, [&answer, number] { answer.set_value(number + 1); });
        return answered.get();
    });
    context.stop();
    for (std::thread &thread : threads)
        thread.join();
}

int main(int argc, char **argv)
{
    struct bench_options options = bench_defaults("wake", "asio", 1000);
    bench_parse(&options, argc, argv);
    bench_repeat(&options, run_once);
    return 0;
}
