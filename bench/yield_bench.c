/*
 * bench/yield_bench.c - what giving way and handing over cost.
 *
 * Cases, in nanoseconds of wall time:
 *   yield/2, yield/16, yield/1000   that many tasks yield in turn; for one yield, --size of them in
 *                                   all (default 1,000,000)
 *   ping_pong                       for one message between two tasks, --size of them in all.
 *                                   "skua park": they wake each other with skua_unpark() and
 *                                   skua_park(); "skua promise": a message is a promise that is
 *                                   made, awaited and set
 *
 * With several workers the time is that of all of them together. The counts are checked.
 */
#include "common/bench_runtime.h"

#include <stdlib.h>

#define TASKS_MAX 1000

/* ---- yield ----------------------------------------------------------------------------------- */

static intptr_t yield_task(void *arg)
{
    intptr_t count = (intptr_t)arg;
    intptr_t done = 0;
    while (done < count && skua_yield() == 0)
        done++;
    return done;
}

static void measure_yield(struct bench_options *options, const char *name, size_t tasks)
{
    static skua_future *handles[TASKS_MAX];
    size_t each = options->size / tasks;
    uint64_t sum = 0;
    if (!bench_wants(options, name) || each == 0)
        return;
    uint64_t start = bench_now();
    for (size_t i = 0; i < tasks; i++)
        handles[i] = skua_spawn(yield_task, (void *)each);
    for (size_t i = 0; i < tasks; i++)
        sum += (uint64_t)skua_await(handles[i]);
    double ns = (double)(bench_now() - start) / (double)(tasks * each);
    bench_check(options, name, sum, tasks * each);
    bench_report(options, (struct bench_label){name, "time", "ns/yield"}, ns);
}

static void report_messages(const struct bench_options *options, const char *by, double ns,
                            uint64_t got, uint64_t expected)
{
    struct bench_options line = *options;
    line.by = by;
    bench_check(&line, "ping_pong", got, expected);
    bench_report(&line, (struct bench_label){"ping_pong", "time", "ns/message"}, ns);
}

/* ---- ping-pong: park and unpark -------------------------------------------------------------- */

struct park_pair {
    skua_future *ping; /* borrowed from the task that runs all of it */
    size_t rounds;
};

static intptr_t park_pong(void *arg)
{
    struct park_pair *pair = arg;
    intptr_t got = 0;
    for (size_t i = 0; i < pair->rounds; i++) {
        if (skua_park(SKUA_FOREVER) != 0)
            break;
        got++;
        (void)skua_unpark(pair->ping); /* it waits for us: it has not ended */
    }
    return got;
}

static void measure_park(struct bench_options *options)
{
    struct park_pair pair = {.ping = skua_self(), .rounds = options->size / 2};
    uint64_t got = 0;
    if (!bench_wants(options, "ping_pong") || pair.rounds == 0)
        return;
    skua_future *pong = skua_spawn(park_pong, &pair);
    uint64_t start = bench_now();
    for (size_t i = 0; i < pair.rounds; i++) {
        bench_must(options, "skua_unpark", skua_unpark(pong));
        bench_must(options, "skua_park", skua_park(SKUA_FOREVER));
        got++;
    }
    double ns = (double)(bench_now() - start) / (double)(2 * pair.rounds);
    got += (uint64_t)skua_await(pong);
    report_messages(options, "skua park", ns, got, 2 * pair.rounds);
}

/* ---- ping-pong: promises --------------------------------------------------------------------- */

/* The receiver of a message puts a promise here before it lets the sender go on: the set of the one
   message is what makes the place of the next visible. */
struct promise_pair {
    skua_promise *to_pong;
    skua_promise *to_ping;
    skua_future *at_pong; /* pong's alone after the first */
    size_t rounds;
};

static bool send_value(skua_promise *promise, intptr_t value)
{
    bool sent = promise != NULL && skua_promise_set(promise, value) == 0;
    skua_promise_unref(promise);
    return sent;
}

static intptr_t promise_pong(void *arg)
{
    struct promise_pair *pair = arg;
    intptr_t sum = 0;
    for (size_t i = 0; i < pair->rounds; i++) {
        intptr_t value = skua_await(pair->at_pong);
        sum += value;
        skua_promise *reply = pair->to_ping;
        pair->at_pong = i + 1 < pair->rounds ? skua_promise_create(&pair->to_pong) : NULL;
        if (!send_value(reply, value + 1))
            return -1;
    }
    return sum;
}

static void measure_promise(struct bench_options *options)
{
    struct promise_pair pair = {.rounds = options->size / 2};
    uint64_t sum = 0;
    if (!bench_wants(options, "ping_pong") || pair.rounds == 0)
        return;
    pair.at_pong = skua_promise_create(&pair.to_pong);
    skua_future *pong = skua_spawn(promise_pong, &pair);
    uint64_t start = bench_now();
    for (size_t i = 0; i < pair.rounds; i++) {
        skua_promise *request = pair.to_pong;
        skua_future *reply = skua_promise_create(&pair.to_ping);
        if (reply == NULL || !send_value(request, (intptr_t)i))
            bench_fail(options, "send", -12);
        sum += (uint64_t)skua_await(reply);
    }
    double ns = (double)(bench_now() - start) / (double)(2 * pair.rounds);
    sum += (uint64_t)skua_await(pong);
    report_messages(options, "skua promise", ns, sum, (uint64_t)pair.rounds * pair.rounds);
}

/* ---- all ------------------------------------------------------------------------------------- */

static intptr_t measure_all(void *arg)
{
    struct bench_options *options = arg;
    measure_yield(options, "yield/2", 2);
    measure_yield(options, "yield/16", 16);
    measure_yield(options, "yield/1000", 1000);
    measure_park(options);
    measure_promise(options);
    return 0;
}

static void run_once(struct bench_options *options)
{
    bench_run_task(options, measure_all, options);
}

int main(int argc, char **argv)
{
    struct bench_options options = {
        .bench = "yield", .by = "skua", .workers = 2, .runs = 7, .warmups = 1, .size = 1000000};
    bench_parse(&options, argc, argv);
    bench_repeat(&options, run_once);
    return 0;
}
