/*
 * bench/offload_bench.c - what it costs to have a function run by an executor and to be back.
 *
 * Cases, in nanoseconds of wall time for one call:
 *   round_trip   --size calls in a run (default 10,000), one after the other.
 *                skua_run_in_executor() and skua_await(): "skua cpu" and "skua blocking";
 *                skua_hop() and skua_hop_back(): "skua hop cpu" and "skua hop blocking"
 *   many         256 calls in flight: a window is sent off, then awaited; ten times as many calls
 *
 * A job returns its number; the sums are checked. A hop must really have left the worker: the
 * thread has to be another one.
 */
#include "common/bench_runtime.h"

#include <pthread.h>

#define WINDOW 256
#define MANY 10 /* so many times --size */

static intptr_t job(void *arg)
{
    return (intptr_t)arg;
}

/* @n calls were made since @start_ns; the sum of their numbers is @sum. */
static void report(struct bench_options *options, const char *name, uint64_t start_ns, uint64_t n,
                   uint64_t sum)
{
    double ns = (double)(bench_now() - start_ns) / (double)n;
    bench_check(options, name, sum, n * (n + 1) / 2);
    bench_report(options, (struct bench_label){name, "time", "ns/call"}, ns);
}

static void measure_calls(struct bench_options *options, skua_executor *executor)
{
    uint64_t sum = 0;
    if (!bench_wants(options, "round_trip"))
        return;
    uint64_t start = bench_now();
    for (size_t i = 0; i < options->size; i++)
        sum += (uint64_t)skua_await(skua_run_in_executor(executor, job, (void *)(i + 1)));
    report(options, "round_trip", start, options->size, sum);
}

static void measure_many(struct bench_options *options, skua_executor *executor)
{
    skua_future *window[WINDOW];
    size_t size = MANY * options->size;
    uint64_t sum = 0;
    if (!bench_wants(options, "many"))
        return;
    uint64_t start = bench_now();
    for (size_t first = 0; first < size; first += WINDOW) {
        size_t count = size - first < WINDOW ? size - first : WINDOW;
        for (size_t i = 0; i < count; i++)
            window[i] = skua_run_in_executor(executor, job, (void *)(first + i + 1));
        for (size_t i = 0; i < count; i++)
            sum += (uint64_t)skua_await(window[i]);
    }
    report(options, "many", start, size, sum);
}

/* Not inlined: the compiler may keep the thread's identity in a register across a hop. */
static __attribute__((noinline)) pthread_t this_thread(void)
{
    __asm__ volatile("");
    return pthread_self();
}

static void measure_hops(struct bench_options *options, skua_executor *executor)
{
    uint64_t sum = 0;
    if (!bench_wants(options, "round_trip"))
        return;
    uint64_t start = bench_now();
    for (size_t i = 0; i < options->size; i++) {
        pthread_t worker = this_thread();
        bench_must(options, "skua_hop", skua_hop(executor));
        sum += pthread_equal(worker, this_thread()) ? 0 : i + 1;
        bench_must(options, "skua_hop_back", skua_hop_back());
    }
    report(options, "round_trip", start, options->size, sum);
}

static void measure_executor(const struct bench_options *options, skua_executor *executor,
                             const char *by, const char *by_hop)
{
    struct bench_options line = *options;
    line.by = by;
    measure_calls(&line, executor);
    measure_many(&line, executor);
    line.by = by_hop;
    measure_hops(&line, executor);
}

static intptr_t measure_all(void *arg)
{
    const struct bench_options *options = arg;
    measure_executor(options, skua_executor_cpu(NULL), "skua cpu", "skua hop cpu");
    measure_executor(options, skua_executor_blocking(NULL), "skua blocking", "skua hop blocking");
    return 0;
}

static void run_once(struct bench_options *options)
{
    bench_run_task(options, measure_all, options);
}

int main(int argc, char **argv)
{
    struct bench_options options = {
        .bench = "offload", .by = "skua", .workers = 2, .runs = 7, .warmups = 1, .size = 10000};
    bench_parse(&options, argc, argv);
    bench_repeat(&options, run_once);
    return 0;
}
