/*
 * bench/common/bench_trip.h - the peers' side of bench/wake_bench.c: a thread hands something to
 * another, which sleeps, and waits for the answer. C++.
 *
 * "paused": after a pause of a millisecond, so that the other is asleep. "back_to_back": ten times
 * as many, one after the other.
 */
#ifndef SKUA_BENCH_TRIP_H
#define SKUA_BENCH_TRIP_H

#include "bench_workload.h"

#include <chrono>
#include <thread>
#include <vector>

/* @trip makes a trip and returns the answer: one more than its argument. */
template <typename Trip>
static void bench_trips(struct bench_options *options, const char *name, size_t count,
                        bool is_paused, Trip trip)
{
    struct bench_label label = {name, "trip", "ns"};
    std::vector<double> ns(count);
    uint64_t answered = 0;
    if (!bench_wants(options, name))
        return;
    for (size_t i = 0; i < count; i++) {
        if (is_paused)
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        uint64_t start = bench_now();
        answered += trip(i) == i + 1 ? 1 : 0;
        ns[i] = static_cast<double>(bench_now() - start);
    }
    bench_check(options, name, answered, count);
    bench_report_samples(options, label, ns.data(), count);
}

template <typename Trip> static void bench_trips_all(struct bench_options *options, Trip trip)
{
    bench_trips(options, "paused", options->size, true, trip);
    bench_trips(options, "back_to_back", 10 * options->size, false, trip);
}

#endif /* SKUA_BENCH_TRIP_H */
