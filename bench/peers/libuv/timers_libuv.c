/*
 * bench/peers/libuv/timers_libuv.c - bench/timers_bench.c with uv_timer_t: callbacks on a loop,
 * which counts milliseconds. Deadlines are rounded up, so half a millisecond of the lateness is
 * libuv's clock. The loop is one thread.
 */
#include "common/bench_timers.h"

#include <uv.h>

struct timer {
    uv_timer_t handle;
    struct bench_timers *timers;
    size_t index;
};

static void on_timer(uv_timer_t *handle)
{
    struct timer *timer = handle->data;
    bench_timer_fired(timer->timers, timer->index);
}

static void must(struct bench_options *options, const char *what, int rc)
{
    if (rc < 0)
        bench_fail(options, what, rc);
}

static void arm(struct bench_timers *timers, uv_loop_t *loop, struct timer *timer)
{
    /* The loop's clock and the deadlines' are both CLOCK_MONOTONIC. */
    uv_update_time(loop);
    for (size_t i = 0; i < timers->count; i++) {
        uint64_t due_ms = (timers->deadlines[i] + 999999) / 1000000;
        timer[i].timers = timers;
        timer[i].index = i;
        timer[i].handle.data = &timer[i];
        must(timers->options, "uv_timer_init", uv_timer_init(loop, &timer[i].handle));
        must(timers->options, "uv_timer_start",
             uv_timer_start(&timer[i].handle, on_timer, due_ms - uv_now(loop), 0));
    }
    timers->armed_ns = bench_now();
}

static void run_as(struct bench_options *options, const char *name)
{
    uv_loop_t loop;
    struct timer *timer = calloc(options->size, sizeof(*timer));
    if (timer == NULL)
        bench_fail(options, "calloc", -12);
    must(options, "uv_loop_init", uv_loop_init(&loop));
    struct bench_timers timers = bench_timers_begin(options, name, BENCH_TIMER_CALLBACK_NS);
    arm(&timers, &loop, timer);
    for (size_t i = 1; i < timers.count; i += 2)
        must(options, "uv_timer_stop", uv_timer_stop(&timer[i].handle));
    timers.cancelled_ns = bench_now();
    uv_run(&loop, UV_RUN_DEFAULT);
    bench_timers_end(&timers);
    for (size_t i = 0; i < options->size; i++)
        uv_close((uv_handle_t *)&timer[i].handle, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    must(options, "uv_loop_close", uv_loop_close(&loop));
    free(timer);
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
    struct bench_options options = bench_defaults("timers", "libuv", 1000000);
    bench_parse(&options, argc, argv);
    options.workers = 1;
    bench_repeat(&options, run_once);
    return 0;
}
