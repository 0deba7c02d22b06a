/*
 * bench/peers/pthreads/wake_pthreads.cc - the trips of bench/wake_bench.c between two plain
 * threads, with a mutex and a condition variable, as one would write it. (wake_bench.c itself has
 * the same with bare futexes.)
 */
#include "common/bench_trip.h"

#include <pthread.h>

/* Guarded by the mutex. */
struct hand_over {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    enum { EMPTY, REQUEST, ANSWER, STOP } state;
    uint64_t number;
};

static void *answer(void *arg)
{
    struct hand_over *hand = static_cast<struct hand_over *>(arg);
    pthread_mutex_lock(&hand->mutex);
    for (;;) {
        while (hand->state != hand_over::REQUEST && hand->state != hand_over::STOP)
            pthread_cond_wait(&hand->changed, &hand->mutex);
        if (hand->state == hand_over::STOP)
            break;
        hand->number++;
        hand->state = hand_over::ANSWER;
        pthread_cond_signal(&hand->changed);
    }
    pthread_mutex_unlock(&hand->mutex);
    return NULL;
}

static uint64_t trip(struct hand_over *hand, uint64_t number)
{
    pthread_mutex_lock(&hand->mutex);
    hand->number = number;
    hand->state = hand_over::REQUEST;
    pthread_cond_signal(&hand->changed);
    while (hand->state != hand_over::ANSWER)
        pthread_cond_wait(&hand->changed, &hand->mutex);
    number = hand->number;
    pthread_mutex_unlock(&hand->mutex);
    return number;
}

static void run_once(struct bench_options *options)
{
    struct hand_over hand = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, hand_over::EMPTY,
                             0};
    pthread_t thread;
    int rc = pthread_create(&thread, NULL, answer, &hand);
    if (rc != 0)
        bench_fail(options, "pthread_create", rc);
    bench_trips_all(options, [&hand](uint64_t number) { return trip(&hand, number); });
    pthread_mutex_lock(&hand.mutex);
    hand.state = hand_over::STOP;
    pthread_cond_signal(&hand.changed);
    pthread_mutex_unlock(&hand.mutex);
    pthread_join(thread, NULL);
}

int main(int argc, char **argv)
{
    struct bench_options options = bench_defaults("wake", "pthreads", 1000);
    bench_parse(&options, argc, argv);
    options.workers = 1; /* one thread answers */
    bench_repeat(&options, run_once);
    return 0;
}
