/*
 * bench/wake_bench.c - waking a sleeping runtime from outside, and what an idle runtime costs.
 *
 * Cases; a run makes --size round trips (default 1000) of each kind in the first:
 *   paused         a foreign thread submits a task and awaits it, then pauses for 1 ms: the workers
 *                  are asleep each time. Beside "skua" stand two hand-overs between two plain
 *                  threads through a futex word, there and back, in turns with Skua's and after the
 *                  same pause: "futex", where the scheduler puts the threads (mostly on one CPU),
 *                  and "futex 2 cpus", where each is bound to a CPU of its own, so that there is an
 *                  exit from idle in each direction. The ratios are those of the medians.
 *   back_to_back   the same without pauses, ten times as many trips, one kind after the other.
 *   idle           CPU time and switches of the whole process, by getrusage, while a runtime has
 *                  nothing to do for --seconds (default 5).
 */
#include "common/bench_runtime.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PAUSE_NS 1000000
#define SETTLE_NS 300000000 /* before the idle case: threads that just started go to sleep */

/* ---- two plain threads ----------------------------------------------------------------------- */

/* The word is odd while the answering thread has something to do, STOP at the end. */
#define STOP UINT32_MAX

struct hand_over {
    _Atomic uint32_t word;
    uint32_t trips; /* made so far */
    pthread_t thread;
};

static void futex_wait(_Atomic uint32_t *word, uint32_t value)
{
    (void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Acquires and releases pair with each other: GIVE in one thread with TAKE in the other. */
static uint32_t take(_Atomic uint32_t *word, uint32_t old)
{
    uint32_t value;
    while ((value = atomic_load_explicit(word, memory_order_acquire)) == old) /* TAKE */
        futex_wait(word, old);
    return value;
}

static void give(_Atomic uint32_t *word, uint32_t value)
{
    atomic_store_explicit(word, value, memory_order_release); /* GIVE */
    futex_wake(word);
}

static void *answer(void *arg)
{
    struct hand_over *hand = arg;
    uint32_t value = 0;
    while ((value = take(&hand->word, value)) != STOP)
        give(&hand->word, ++value);
    return NULL;
}

static uint64_t trip_futex(struct hand_over *hand)
{
    uint32_t request = 2 * hand->trips++ + 1;
    give(&hand->word, request);
    return take(&hand->word, request) == request + 1 ? 1 : 0;
}

static void start_hand(const struct bench_options *options, struct hand_over *hand)
{
    int rc = pthread_create(&hand->thread, NULL, answer, hand);
    if (rc != 0)
        bench_fail(options, "pthread_create", rc);
}

static void stop_hand(struct hand_over *hand)
{
    give(&hand->word, STOP);
    pthread_join(hand->thread, NULL);
}

/* ---- Skua ------------------------------------------------------------------------------------ */

static intptr_t answering_task(void *arg)
{
    (void)arg;
    return 1;
}

static uint64_t trip_skua(skua_runtime *runtime)
{
    return (uint64_t)skua_await(skua_submit(runtime, answering_task, NULL));
}

static skua_runtime *start(const struct bench_options *options)
{
    const skua_options settings = {.workers = options->workers};
    skua_runtime *runtime;
    bench_must(options, "skua_runtime_start", skua_runtime_start(&runtime, &settings));
    return runtime;
}

static void stop(const struct bench_options *options, skua_runtime *runtime)
{
    bench_must(options, "skua_runtime_stop",
               skua_runtime_stop(runtime, SKUA_STOP_DRAIN, skua_after(30 * SKUA_NS_PER_SEC)));
}

/* ---- round trips ----------------------------------------------------------------------------- */

enum kind { KIND_SKUA, KIND_FUTEX, KIND_FUTEX_APART, KIND_COUNT };

struct trips {
    struct bench_options *options;
    skua_runtime *runtime;
    struct hand_over near; /* for KIND_FUTEX */
    struct hand_over far;  /* for KIND_FUTEX_APART: bound to the last CPU */
    cpu_set_t all;         /* where this thread may run */
    cpu_set_t first;       /* its first CPU */
    bool apart;            /* there are two CPUs */
    double *ns[KIND_COUNT];
    uint64_t answered;
};

static void pause_ns(long ns)
{
    const struct timespec time = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    (void)nanosleep(&time, NULL);
}

static double timed_trip(struct trips *trips, enum kind kind)
{
    uint64_t start_ns = bench_now();
    if (kind == KIND_SKUA)
        trips->answered += trip_skua(trips->runtime);
    else
        trips->answered += trip_futex(kind == KIND_FUTEX ? &trips->near : &trips->far);
    return (double)(bench_now() - start_ns);
}

/* Puts this thread where trips of @kind start. */
static void take_place(const struct trips *trips, enum kind kind)
{
    (void)sched_setaffinity(0, sizeof(cpu_set_t),
                            kind == KIND_FUTEX_APART ? &trips->first : &trips->all);
}

static void report_trips(struct trips *trips, const char *name, size_t count)
{
    static const char *const by[KIND_COUNT] = {"skua", "futex", "futex 2 cpus"};
    static const char *const ratio[KIND_COUNT] = {NULL, "to futex", "to futex 2 cpus"};
    struct bench_options *options = trips->options;
    int kinds = trips->apart ? KIND_COUNT : KIND_COUNT - 1;
    bench_check(options, name, trips->answered, (uint64_t)kinds * count);
    trips->answered = 0;
    for (int kind = 0; kind < kinds; kind++) {
        struct bench_options peer = *options;
        peer.by = by[kind];
        if (kind != KIND_SKUA)
            peer.workers = 1; /* one thread answers */
        bench_report_samples(&peer, (struct bench_label){name, "trip", "ns"}, trips->ns[kind],
                             count);
        /* Silent runs do not sort. */
        if (kind != KIND_SKUA && options->run >= 0) {
            bench_report(options, (struct bench_label){name, ratio[kind], "ratio"},
                         trips->ns[KIND_SKUA][count / 2] / trips->ns[kind][count / 2]);
        }
    }
    if (!trips->apart)
        bench_skip(options, name, "futex 2 cpus: only one CPU is allowed");
}

static void measure_paused(struct trips *trips)
{
    size_t count = trips->options->size;
    int kinds = trips->apart ? KIND_COUNT : KIND_COUNT - 1;
    for (size_t i = 0; i < count; i++) {
        for (int kind = 0; kind < kinds; kind++) {
            take_place(trips, (enum kind)kind);
            pause_ns(PAUSE_NS);
            trips->ns[kind][i] = timed_trip(trips, (enum kind)kind);
        }
    }
    take_place(trips, KIND_SKUA);
    report_trips(trips, "paused", count);
}

static void measure_back_to_back(struct trips *trips)
{
    size_t count = 10 * trips->options->size;
    int kinds = trips->apart ? KIND_COUNT : KIND_COUNT - 1;
    for (int kind = 0; kind < kinds; kind++) {
        take_place(trips, (enum kind)kind);
        for (size_t i = 0; i < count; i++)
            trips->ns[kind][i] = timed_trip(trips, (enum kind)kind);
    }
    take_place(trips, KIND_SKUA);
    report_trips(trips, "back_to_back", count);
}

/* Finds the first CPU for this thread and the last for the far one. */
static void find_places(struct trips *trips)
{
    cpu_set_t last;
    size_t low = CPU_SETSIZE;
    size_t high = 0;
    if (sched_getaffinity(0, sizeof(trips->all), &trips->all) != 0)
        bench_fail(trips->options, "sched_getaffinity", errno);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &trips->all)) {
            low = low == CPU_SETSIZE ? cpu : low;
            high = cpu;
        }
    }
    CPU_ZERO(&trips->first);
    CPU_ZERO(&last);
    CPU_SET(low, &trips->first);
    CPU_SET(high, &last);
    trips->apart =
        low != high && pthread_setaffinity_np(trips->far.thread, sizeof(last), &last) == 0;
}

static void measure_trips(struct bench_options *options)
{
    struct trips trips = {.options = options};
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        trips.ns[kind] = calloc(10 * options->size, sizeof(double));
        if (trips.ns[kind] == NULL)
            bench_fail(options, "calloc", -ENOMEM);
    }
    start_hand(options, &trips.near);
    start_hand(options, &trips.far);
    find_places(&trips);
    trips.runtime = start(options);
    if (bench_wants(options, "paused"))
        measure_paused(&trips);
    if (bench_wants(options, "back_to_back"))
        measure_back_to_back(&trips);
    stop(options, trips.runtime);
    stop_hand(&trips.near);
    stop_hand(&trips.far);
    for (int kind = 0; kind < KIND_COUNT; kind++)
        free(trips.ns[kind]);
}

/* ---- idle ------------------------------------------------------------------------------------ */

static double cpu_us(const struct rusage *usage)
{
    return (double)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1e6 +
           (double)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec);
}

static void measure_idle(struct bench_options *options)
{
    struct rusage before;
    struct rusage after;
    skua_runtime *runtime = start(options);
    uint64_t answered = trip_skua(runtime);
    pause_ns(SETTLE_NS);
    getrusage(RUSAGE_SELF, &before);
    pause_ns((long)options->seconds * 1000000000);
    getrusage(RUSAGE_SELF, &after);
    answered += trip_skua(runtime); /* it was idle, not dead */
    stop(options, runtime);
    bench_check(options, "idle", answered, 2);
    double seconds = options->seconds;
    bench_report(options, (struct bench_label){"idle", "cpu", "us per s"},
                 (cpu_us(&after) - cpu_us(&before)) / seconds);
    /* One switch is our own going to sleep. */
    long switches = after.ru_nvcsw - before.ru_nvcsw + after.ru_nivcsw - before.ru_nivcsw;
    bench_report(options, (struct bench_label){"idle", "switches", "per s"},
                 (double)(switches > 0 ? switches - 1 : 0) / seconds);
}

static void run_once(struct bench_options *options)
{
    if (bench_wants(options, "paused") || bench_wants(options, "back_to_back"))
        measure_trips(options);
    if (bench_wants(options, "idle") && options->run >= 0)
        measure_idle(options);
}

int main(int argc, char **argv)
{
    struct bench_options options = {.bench = "wake",
                                    .by = "skua",
                                    .workers = 2,
                                    .runs = 7,
                                    .warmups = 1,
                                    .size = 1000,
                                    .seconds = 5};
    bench_parse(&options, argc, argv);
    bench_repeat(&options, run_once);
    return 0;
}
