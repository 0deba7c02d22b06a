/*
 * bench/peers/asio/timers_asio.cc - bench/timers_bench.c with asio::steady_timer: callbacks on an
 * io_context, run by one thread.
 */
#include "common/bench_timers.h"

#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <vector>

typedef std::chrono::steady_clock::time_point time_point;

static void arm(struct bench_timers *timers, asio::io_context &context,
                std::vector<asio::steady_timer> &timer)
{
    timer.reserve(timers->count);
    for (size_t i = 0; i < timers->count; i++) {
        /* libstdc++'s steady_clock is CLOCK_MONOTONIC. */
        timer.emplace_back(context, time_point(std::chrono::nanoseconds(timers->deadlines[i])));
        timer.back().async_wait([timers, i](const std::error_code &error) {
            if (!error)
                bench_timer_fired(timers, i);
        });
    }
    timers->armed_ns = bench_now();
}

static void cancel(struct bench_timers *timers, asio::io_context &context,
                   std::vector<asio::steady_timer> &timer)
{
    for (size_t i = 1; i < timers->count; i += 2)
        timer[i].cancel();
    context.poll(); /* calls the handlers of the cancelled waits */
    timers->cancelled_ns = bench_now();
}

static void run_as(struct bench_options *options, const char *name)
{
    asio::io_context context(1);
    std::vector<asio::steady_timer> timer;
    struct bench_timers timers = bench_timers_begin(options, name, BENCH_TIMER_CALLBACK_NS);
    arm(&timers, context, timer);
    cancel(&timers, context, timer);
    context.run();
    bench_timers_end(&timers);
}

static void run_once(struct bench_options *options)
{
    if (bench_wants(options, "armed"))
        run_as(options, "armed");
    if (bench_wants(options, "burst"))
        run_as(options, "burst");
}

int main(int argc, char **argv)
{
    struct bench_options options = bench_defaults("timers", "asio", 1000000);
    bench_parse(&options, argc, argv);
    options.workers = 1;
    bench_repeat(&options, run_once);
    return 0;
}
