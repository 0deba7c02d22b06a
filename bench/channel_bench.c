/*
 * bench/channel_bench.c - messages through channels, in nanoseconds of wall time for each.
 *
 * Cases:
 *   1 to 1, 4 to 4   that many tasks send --size integers in all (default 1,000,000), as many
 *                    receive them, through one channel that holds 128
 *   unbuffered       one task sends to another, each message is a meeting
 *
 * The sum of what arrives is checked.
 */
#include "common/bench_runtime.h"

#include <skua/channel.h>

#define ENDS_MAX 4
#define CAPACITY 128

struct end {
    skua_channel *channel;
    uint64_t first; /* of a sender */
    uint64_t count;
};

static intptr_t send_all(void *arg)
{
    const struct end *end = arg;
    for (uint64_t i = 0; i < end->count; i++) {
        uint64_t message = end->first + i;
        int rc = skua_channel_send(end->channel, &message);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static intptr_t receive_all(void *arg)
{
    const struct end *end = arg;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < end->count; i++) {
        uint64_t message;
        int rc = skua_channel_recv(end->channel, &message);
        if (rc < 0)
            return rc;
        sum += message;
    }
    return (intptr_t)sum;
}

static void measure(struct bench_options *options, const char *name, unsigned ends, size_t capacity)
{
    struct end senders[ENDS_MAX];
    skua_future *sending[ENDS_MAX];
    skua_future *receiving[ENDS_MAX];
    uint64_t each = options->size / ends;
    uint64_t total = each * ends;
    if (!bench_wants(options, name) || each == 0)
        return;
    skua_channel *channel = skua_channel_create(sizeof(uint64_t), capacity);
    if (channel == NULL)
        bench_fail(options, "skua_channel_create", -12);
    uint64_t start = bench_now();
    for (unsigned i = 0; i < ends; i++) {
        senders[i] = (struct end){.channel = channel, .first = i * each + 1, .count = each};
        sending[i] = skua_spawn(send_all, &senders[i]);
        receiving[i] = skua_spawn(receive_all, &senders[i]);
    }
    uint64_t sum = 0;
    for (unsigned i = 0; i < ends; i++)
        sum += (uint64_t)skua_await(receiving[i]);
    double ns = (double)(bench_now() - start) / (double)total;
    for (unsigned i = 0; i < ends; i++)
        bench_must(options, "skua_channel_send", (int)skua_await(sending[i]));
    skua_channel_unref(channel);
    bench_check(options, name, sum, total * (total + 1) / 2);
    bench_report(options, (struct bench_label){name, "time", "ns/message"}, ns);
}

static intptr_t measure_all(void *arg)
{
    struct bench_options *options = arg;
    measure(options, "1 to 1", 1, CAPACITY);
    measure(options, "4 to 4", 4, CAPACITY);
    measure(options, "unbuffered", 1, 0);
    return 0;
}

static void run_once(struct bench_options *options)
{
    bench_run_task(options, measure_all, options);
}

int main(int argc, char **argv)
{
    struct bench_options options = {
        .bench = "channel", .by = "skua", .workers = 2, .runs = 7, .warmups = 1, .size = 1000000};
    bench_parse(&options, argc, argv);
    bench_repeat(&options, run_once);
    return 0;
}
