/*
 * bench/peers/libuv/offload_libuv.c - the cases of bench/offload_bench.c with uv_queue_work().
 *
 * "round_trip": the completion callback sends the next call off. "many": 256 calls in flight. A
 * window is sent off when the one before it has come back, as in Skua's. The pool has libuv's
 * default of 4 threads unless UV_THREADPOOL_SIZE says otherwise. The loop is one thread: a run with
 * more workers would be the same.
 */
#include "common/bench.h"

#include <uv.h>

#define WINDOW 256
#define MANY 10 /* so many times --size, as in Skua's */

struct call {
    uv_work_t request;
    struct calls *calls;
    uint64_t number;
    uint64_t result;
};

struct calls {
    struct bench_options *options;
    uv_loop_t *loop;
    size_t window;
    size_t total;
    size_t sent;
    size_t pending; /* of the current window */
    uint64_t sum;
    struct call call[WINDOW];
};

static void work(uv_work_t *request)
{
    struct call *call = request->data;
    call->result = call->number;
}

static void send_window(struct calls *calls);

static void after_work(uv_work_t *request, int status)
{
    struct call *call = request->data;
    struct calls *calls = call->calls;
    if (status != 0)
        bench_fail(calls->options, "uv_queue_work", status);
    calls->sum += call->result;
    if (--calls->pending == 0 && calls->sent < calls->total)
        send_window(calls);
}

static void send_window(struct calls *calls)
{
    size_t left = calls->total - calls->sent;
    size_t count = left < calls->window ? left : calls->window;
    calls->pending = count;
    for (size_t i = 0; i < count; i++) {
        struct call *call = &calls->call[i];
        call->calls = calls;
        call->number = ++calls->sent;
        call->request.data = call;
        int rc = uv_queue_work(calls->loop, &call->request, work, after_work);
        if (rc != 0)
            bench_fail(calls->options, "uv_queue_work", rc);
    }
}

static void measure(struct bench_options *options, const char *name, size_t window, size_t total)
{
    static struct calls calls;
    if (!bench_wants(options, name))
        return;
    calls = (struct calls){
        .options = options, .loop = uv_default_loop(), .window = window, .total = total};
    uint64_t start = bench_now();
    send_window(&calls);
    uv_run(calls.loop, UV_RUN_DEFAULT);
    double ns = (double)(bench_now() - start) / (double)total;
    uint64_t n = total;
    bench_check(options, name, calls.sum, n * (n + 1) / 2);
    bench_report(options, (struct bench_label){name, "time", "ns/call"}, ns);
}

static void run_once(struct bench_options *options)
{
    measure(options, "round_trip", 1, options->size);
    measure(options, "many", WINDOW, MANY * options->size);
}

int main(int argc, char **argv)
{
    struct bench_options options = {
        .bench = "offload", .by = "libuv", .workers = 1, .runs = 7, .warmups = 1, .size = 10000};
    bench_parse(&options, argc, argv);
    options.workers = 1;
    bench_repeat(&options, run_once);
    return 0;
}
