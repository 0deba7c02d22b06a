/*
 * bench/sync_bench.c - what synchronisation and structure cost where nobody is in the way.
 *
 * Cases, in nanoseconds of wall time:
 *   mutex, semaphore   for a lock and unlock, an acquire and release that need no wait; "pthread"
 *                      is pthread_mutex_t and sem_t in the same program
 *   future             for making a promise, setting it, and awaiting the future that is done
 *   scope              for ten children that yield once: "skua" in a scope, "skua bare" spawned and
 *                      awaited one after the other
 *   timer              for skua_call_at() a minute ahead, and its cancel
 * and in milliseconds
 *   cancel             a scope with a tenth of --size (100,000) children that sleep: cancelling it,
 *                      and closing it after that
 *
 * --size loops of each (default 1,000,000), a tenth of it for scopes. What is counted is checked.
 */
#include "common/bench_runtime.h"

#include <skua/mutex.h>
#include <skua/scope.h>
#include <skua/semaphore.h>
#include <skua/timer.h>

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>

#define CHILDREN 10

static void report(const struct bench_options *options, const char *by, const char *name, double ns)
{
    struct bench_options line = *options;
    line.by = by;
    bench_report(&line, (struct bench_label){name, "time", "ns"}, ns);
}

static double each(uint64_t start, uint64_t count)
{
    return (double)(bench_now() - start) / (double)count;
}

static void measure_locks(struct bench_options *options)
{
    static skua_mutex mutex = SKUA_MUTEX_INIT;
    static skua_semaphore semaphore = SKUA_SEMAPHORE_INIT(1);
    static pthread_mutex_t theirs = PTHREAD_MUTEX_INITIALIZER;
    static sem_t their_semaphore;
    uint64_t size = options->size;
    int failed = sem_init(&their_semaphore, 0, 1);
    uint64_t start = bench_now();
    for (uint64_t i = 0; i < size; i++)
        failed |= skua_mutex_lock(&mutex) | skua_mutex_unlock(&mutex);
    report(options, "skua", "mutex", each(start, size));
    start = bench_now();
    for (uint64_t i = 0; i < size; i++)
        failed |= pthread_mutex_lock(&theirs) | pthread_mutex_unlock(&theirs);
    report(options, "pthread", "mutex", each(start, size));
    start = bench_now();
    for (uint64_t i = 0; i < size; i++)
        failed |= skua_semaphore_acquire(&semaphore) | skua_semaphore_release(&semaphore);
    report(options, "skua", "semaphore", each(start, size));
    start = bench_now();
    for (uint64_t i = 0; i < size; i++)
        failed |= sem_wait(&their_semaphore) | sem_post(&their_semaphore);
    report(options, "pthread", "semaphore", each(start, size));
    bench_must(options, "a lock", failed == 0 ? 0 : -1);
}

static void measure_futures(struct bench_options *options)
{
    uint64_t sum = 0;
    uint64_t start = bench_now();
    for (uint64_t i = 0; i < options->size; i++) {
        skua_promise *promise;
        skua_future *future = skua_promise_create(&promise);
        (void)skua_promise_set(promise, 1); /* the first set wins */
        skua_promise_unref(promise);
        sum += (uint64_t)skua_await(future);
    }
    report(options, "skua", "future", each(start, options->size));
    bench_check(options, "future", sum, options->size);
}

static intptr_t child(void *arg)
{
    (void)skua_yield();
    return (intptr_t)arg;
}

static void measure_scopes(struct bench_options *options)
{
    uint64_t size = options->size / 10;
    uint64_t sum = 0;
    int failed = 0;
    uint64_t start = bench_now();
    for (uint64_t i = 0; i < size; i++) {
        skua_future *children[CHILDREN];
        for (int j = 0; j < CHILDREN; j++)
            children[j] = skua_spawn(child, (void *)1);
        for (int j = 0; j < CHILDREN; j++)
            sum += (uint64_t)skua_await(children[j]);
    }
    report(options, "skua bare", "scope", each(start, size));
    bench_check(options, "scope", sum, size * CHILDREN);
    start = bench_now();
    for (uint64_t i = 0; i < size; i++) {
        skua_scope scope;
        failed |= skua_scope_open(&scope, NULL);
        for (int j = 0; j < CHILDREN; j++)
            failed |= skua_scope_spawn(&scope, child, (void *)1, NULL);
        failed |= skua_scope_close(&scope);
    }
    report(options, "skua", "scope", each(start, size));
    bench_must(options, "a scope", failed == 0 ? 0 : -1);
}

static intptr_t nothing(void *arg)
{
    (void)arg;
    return 0;
}

static void measure_timers(struct bench_options *options)
{
    uint64_t at = skua_after(60 * SKUA_NS_PER_SEC);
    int failed = 0;
    uint64_t start = bench_now();
    for (uint64_t i = 0; i < options->size; i++) {
        skua_future *future = skua_call_at(at, nothing, NULL);
        failed |= skua_cancel(future);
        skua_future_unref(future);
    }
    report(options, "skua", "timer", each(start, options->size));
    bench_must(options, "a timer", failed == 0 ? 0 : -1);
}

static intptr_t sleep_for_ever(void *arg)
{
    (void)arg;
    return skua_sleep_until(SKUA_FOREVER);
}

static void measure_cancel(struct bench_options *options)
{
    skua_scope scope;
    uint64_t size = options->size / 10;
    bench_must(options, "skua_scope_open", skua_scope_open(&scope, NULL));
    for (uint64_t i = 0; i < size; i++)
        bench_must(options, "skua_scope_spawn",
                   skua_scope_spawn(&scope, sleep_for_ever, NULL, NULL));
    (void)skua_sleep(500 * SKUA_NS_PER_MS); /* until all sleep */
    uint64_t start = bench_now();
    bench_must(options, "skua_scope_cancel", skua_scope_cancel(&scope));
    uint64_t cancelled = bench_now();
    int rc = skua_scope_close(&scope);
    uint64_t closed = bench_now();
    bench_must(options, "skua_scope_close", rc == -ECANCELED ? 0 : -1);
    bench_report(options, (struct bench_label){"cancel", "cancel", "ms"},
                 (double)(cancelled - start) / 1e6);
    bench_report(options, (struct bench_label){"cancel", "all", "ms"},
                 (double)(closed - start) / 1e6);
}

static intptr_t measure_all(void *arg)
{
    struct bench_options *options = arg;
    measure_locks(options);
    measure_futures(options);
    measure_scopes(options);
    measure_timers(options);
    measure_cancel(options);
    return 0;
}

static void run_once(struct bench_options *options)
{
    bench_run_task(options, measure_all, options);
}

int main(int argc, char **argv)
{
    struct bench_options options = {
        .bench = "sync", .by = "skua", .workers = 2, .runs = 7, .warmups = 1, .size = 1000000};
    bench_parse(&options, argc, argv);
    bench_repeat(&options, run_once);
    return 0;
}
